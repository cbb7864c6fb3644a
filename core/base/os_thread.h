/* Threads, locks and signals, for what lives longer than one call: the server, and on a device
 * the watchdog of opened models.  Core itself keeps no thread; see os_parallel.h. */
#ifndef EMK_CORE_BASE_OS_THREAD_H
#define EMK_CORE_BASE_OS_THREAD_H

#include "core/base/status.h"

#include <stdbool.h>

#define EMK_LATCH_ROOM 32u /* bytes: the system's semaphore */

/* A lock and the signal that goes with it.  Not recursive. */
typedef struct emk_lock emk_lock;

/* Gives a lock; free with emk_lock_free, when nobody holds it.  EMK_E_NO_MEMORY. */
emk_status emk_lock_new(emk_lock **out, emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_lock_free(emk_lock *l);
void emk_lock_take(emk_lock *l);
void emk_lock_give(emk_lock *l);

/* The rest with the lock held.  Waking may be spurious: test the condition in a loop. */
void emk_lock_wait(emk_lock *l);
/* False when `timeout_ns` passed first, by a clock that does not jump. */
bool emk_lock_wait_for(emk_lock *l, uint64_t timeout_ns);
void emk_lock_wake_one(emk_lock *l);
void emk_lock_wake_all(emk_lock *l);

/* A door that is opened once, for one thread that waits in front of it; on that thread's stack. */
typedef union emk_latch {
    uint8_t room[EMK_LATCH_ROOM];
    void *aligned;
} emk_latch;

void emk_latch_init(emk_latch *l);
/* Returns when it was opened, at once if it was before.  What the other thread did before opening
 * it is seen; *l may go away then. */
void emk_latch_wait(emk_latch *l);
void emk_latch_open(emk_latch *l);

typedef struct emk_thread emk_thread;

/* Gives a running thread; end with emk_thread_join.  It gets no signals: those are for the
 * main thread.  EMK_E_NO_MEMORY, EMK_E_IO when the system starts no more threads. */
emk_status emk_thread_start(void (*fn)(void *self), void *self, emk_thread **out,
                            emk_error *e) EMK_MUST_CHECK;
/* Waits for its end and frees it.  NULL is fine. */
void emk_thread_join(emk_thread *t);

#endif
