#include "server/daemon/os_process.h"

#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

emk_status emk_proc_fork(bool *child, int *fd, int *pid, emk_error *e)
{
    int pair[2];
    pid_t parent = getpid(), p;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return emk_fail_errno(e, "fork: socketpair");
    p = fork();
    if (p < 0) {
        emk_status st = emk_fail_errno(e, "fork");

        emk_os_close(pair[0]);
        emk_os_close(pair[1]);
        return st;
    }
    *child = p == 0;
    *pid = (int)p;
    *fd = pair[p == 0];
    emk_os_close(pair[p != 0]);
    /* The parent may have died before the first line took effect. */
    if (p == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(1);
    return EMK_OK;
}

emk_status emk_proc_send(int fd, emk_span message, emk_error *e)
{
    ssize_t n;

    if (emk_fault_hit(EMK_FAULT_IO)) {
        errno = EIO;
        return emk_fail_errno(e, "message: send");
    }
    do
        n = send(fd, message.p, message.len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN))
        return emk_fail(e, EMK_E_NOT_FOUND, "message: the other side is gone", 0);
    if (n < 0 || (size_t)n != message.len)
        return emk_fail_errno(e, "message: send");
    return EMK_OK;
}

static emk_status wait_readable(int fd, unsigned timeout_ms, emk_error *e)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, (int)timeout_ms);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return emk_fail_errno(e, "message: poll");
    return n == 0 ? emk_fail(e, EMK_E_BUSY, "message: no answer", timeout_ms) : EMK_OK;
}

emk_status emk_proc_receive(int fd, uint8_t *out, size_t cap, size_t *len, unsigned timeout_ms,
                            emk_error *e)
{
    struct iovec v = {.iov_base = out, .iov_len = cap};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    ssize_t n;

    if (emk_fault_hit(EMK_FAULT_IO)) {
        errno = EIO;
        return emk_fail_errno(e, "message: receive");
    }
    if (timeout_ms > 0) {
        emk_status st = wait_readable(fd, timeout_ms, e);

        if (st != EMK_OK)
            return st;
    }
    do
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return emk_fail(e, EMK_E_NOT_FOUND, "message: the other side is gone", 0);
    if (n < 0)
        return emk_fail_errno(e, "message: receive");
    if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return emk_fail(e, EMK_E_LIMIT, "message: too long", cap);
    *len = (size_t)n;
    return EMK_OK;
}

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGCHLD);
}

void emk_proc_signals_block(void)
{
    sigset_t set;

    signal_set(&set);
    sigaddset(&set, SIGPIPE);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

emk_proc_signal emk_proc_signal_wait(unsigned timeout_ms)
{
    struct timespec t = {.tv_sec = timeout_ms / 1000,
                         .tv_nsec = (long)(timeout_ms % 1000) * 1000000L};
    sigset_t set;

    signal_set(&set);
    switch (sigtimedwait(&set, NULL, &t)) {
    case SIGTERM:
    case SIGINT:
        return EMK_PROC_STOP;
    case SIGHUP:
        return EMK_PROC_RELOAD;
    case SIGCHLD:
        return EMK_PROC_CHILD;
    default:
        return EMK_PROC_NONE;
    }
}

bool emk_proc_ended(int pid, int *code)
{
    int status;

    if (waitpid(pid, &status, WNOHANG) != pid)
        return false;
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return true;
}

void emk_proc_terminate(int pid)
{
    if (pid > 1)
        (void)kill(pid, SIGKILL);
}

void emk_proc_exit(int code)
{
    _exit(code);
}

void emk_proc_name(const char *name)
{
    (void)prctl(PR_SET_NAME, name);
}

bool emk_proc_is_root(void)
{
    return geteuid() == 0;
}

uint64_t emk_proc_pid(void)
{
    return (uint64_t)getpid();
}

void emk_proc_log(emk_span line)
{
    while (line.len > 0) {
        ssize_t n = write(STDERR_FILENO, line.p, line.len);

        if (n <= 0)
            return; /* nobody to tell */
        line = emk_span_of(line.p + n, line.len - (size_t)n);
    }
}
