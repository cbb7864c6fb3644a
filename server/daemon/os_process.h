/* Processes and signals of the server: the fork of the keyholder, messages to it, signals. */
#ifndef EMK_SERVER_DAEMON_OS_PROCESS_H
#define EMK_SERVER_DAEMON_OS_PROCESS_H

#include "core/base/span.h"
#include "core/base/status.h"

#include <stdbool.h>

/* Forks.  *child says on which side this returns; *fd is this side's end of a socketpair that keeps
 * messages apart, *pid (in the parent) the child.  The child dies with its parent.  EMK_E_IO. */
emk_status emk_proc_fork(bool *child, int *fd, int *pid, emk_error *e) EMK_MUST_CHECK;

/* One message, whole.  EMK_E_IO; EMK_E_LIMIT when it is longer than cap; EMK_E_NOT_FOUND when the
 * other side is gone.  timeout_ms 0: wait for ever; EMK_E_BUSY when it passed. */
emk_status emk_proc_send(int fd, emk_span message, emk_error *e) EMK_MUST_CHECK;
emk_status emk_proc_receive(int fd, uint8_t *out, size_t cap, size_t *len, unsigned timeout_ms,
                            emk_error *e) EMK_MUST_CHECK;

/* Signals are never handled asynchronously: they are blocked in all threads and taken here. */
typedef enum emk_proc_signal {
    EMK_PROC_NONE, /* the time passed */
    EMK_PROC_STOP,
    EMK_PROC_RELOAD,
    EMK_PROC_CHILD /* a child ended */
} emk_proc_signal;
void emk_proc_signals_block(void);
emk_proc_signal emk_proc_signal_wait(unsigned timeout_ms);

/* True when the child has ended; fills *code with its exit code, or 128 + signal. */
bool emk_proc_ended(int pid, int *code);
void emk_proc_terminate(int pid);
/* In a child: ends the process without running anything of its parent's. */
void emk_proc_exit(int code) __attribute__((noreturn));

/* Names this process for `ps`. */
void emk_proc_name(const char *name);
bool emk_proc_is_root(void);
uint64_t emk_proc_pid(void);
/* Writes to standard error / output, whole lines, best effort. */
void emk_proc_log(emk_span line);

#endif
