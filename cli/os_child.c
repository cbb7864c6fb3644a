#include "cli/os_child.h"

#include "core/base/os_file.h"
#include "core/base/os_time.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_S  30 /* the clock may be set: look again at least this often */
#define GRACE_S 5u

static const int FORWARDED[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

emk_status emk_cli_memory_model_new(emk_span bytes, emk_cli_memory_model *out, emk_error *e)
{
    const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    emk_cli_memory_model m = {.fd = -1, .len = bytes.len};
    emk_status st = emk_os_memory_file("model", false, &m.fd, e);

    if (st == EMK_OK)
        st = emk_os_write_at(m.fd, 0, bytes.p, bytes.len, e);
    if (st == EMK_OK && fcntl(m.fd, F_ADD_SEALS, seals) != 0)
        st = emk_fail_errno(e, "memory file: cannot be protected against changes");
    if (st == EMK_OK)
        *out = m;
    else
        emk_cli_memory_model_done(&m);
    return st;
}

bool emk_cli_memory_model_lock(emk_cli_memory_model *m)
{
    void *p;

    if (m->locked || m->len == 0)
        return true;
    /* Private, because the file may not be mapped shared once it cannot be written; the pages
     * are the file's own as long as nobody writes. */
    p = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE, m->fd, 0);
    if (p == MAP_FAILED)
        return false;
    if (mlock(p, m->len) != 0) {
        munmap(p, m->len);
        return false;
    }
    m->held = p;
    m->locked = true;
    return true;
}

void emk_cli_memory_model_done(emk_cli_memory_model *m)
{
    if (m->held)
        munmap(m->held, m->len);
    emk_os_close(m->fd);
    m->held = NULL;
    m->fd = -1;
}

void emk_cli_memory_model_path(const emk_cli_memory_model *m, char out[EMK_CLI_MODEL_PATH_MAX])
{
    snprintf(out, EMK_CLI_MODEL_PATH_MAX, "/proc/self/fd/%d", m->fd);
}

/* In the child.  Tells the parent by `report` why it could not start; silence means it did. */
static void become(const emk_cli_child *child, const sigset_t *mask, int report, pid_t parent)
{
    int why;

    /* Without its parent nobody would end it when its time is over. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent &&
        (!child->model || fcntl(child->model->fd, F_SETFD, 0) == 0) &&
        sigprocmask(SIG_SETMASK, mask, NULL) == 0)
        execvp(child->argv[0], child->argv);
    why = errno;
    if (write(report, &why, sizeof why) != (ssize_t)sizeof why)
        _exit(126);
    _exit(127);
}

/* Waits until the child has become the program; EMK_OK, or why it did not. */
static emk_status check_started(int report, pid_t pid, emk_error *e)
{
    int why = 0;
    ssize_t n;

    do {
        n = read(report, &why, sizeof why);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof why)
        return EMK_OK;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    errno = why;
    return emk_fail_errno(e, "command: cannot start it");
}

static void forwarded_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGCHLD);
    for (size_t i = 0; i < sizeof FORWARDED / sizeof FORWARDED[0]; i++)
        sigaddset(set, FORWARDED[i]);
}

static sigset_t held_before;
static bool holding;

void emk_cli_signals_hold(void)
{
    sigset_t set;

    if (holding)
        return;
    forwarded_set(&set);
    sigprocmask(SIG_BLOCK, &set, &held_before);
    holding = true;
}

bool emk_cli_signals_pending(void)
{
    sigset_t set;

    sigpending(&set);
    for (size_t i = 0; i < sizeof FORWARDED / sizeof FORWARDED[0]; i++) {
        if (sigismember(&set, FORWARDED[i]) == 1)
            return true;
    }
    return false;
}

void emk_cli_signals_release(void)
{
    if (holding)
        sigprocmask(SIG_SETMASK, &held_before, NULL);
    holding = false;
}

static bool has_ended(pid_t pid, int *code)
{
    int how = 0;

    if (waitpid(pid, &how, WNOHANG) != pid)
        return false;
    *code = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
    return true;
}

/* Passes on signals and keeps an eye on the clock until the child has ended. */
static void attend(pid_t pid, const sigset_t *set, uint64_t until, int *code, bool *expired)
{
    uint64_t asked = 0; /* when it was asked to end; 0: not yet */

    while (!has_ended(pid, code)) {
        uint64_t now = emk_os_now_s();
        struct timespec wait = {.tv_sec = asked ? 1 : LOOK_S};
        siginfo_t info = {0};
        int got;

        if (!asked && now >= until) {
            kill(pid, SIGTERM);
            asked = now;
            *expired = true;
        } else if (asked && now >= asked + GRACE_S) {
            kill(pid, SIGKILL);
        } else if (!asked && until - now < LOOK_S) {
            wait.tv_sec = (time_t)(until - now);
        }
        got = sigtimedwait(set, &info, &wait);
        /* What the terminal sends it sends to the child as well. */
        if (got > 0 && got != SIGCHLD && info.si_code <= 0)
            kill(pid, got);
    }
}

emk_status emk_cli_child_run(const emk_cli_child *child, int *code, bool *expired, emk_error *e)
{
    sigset_t set, before;
    int report[2];
    emk_status st;
    pid_t pid, parent = getpid();

    if (pipe2(report, O_CLOEXEC) != 0)
        return emk_fail_errno(e, "command: cannot start it");
    forwarded_set(&set);
    sigprocmask(SIG_BLOCK, &set, &before);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        become(child, holding ? &held_before : &before, report[1], parent);
    close(report[1]);
    st = pid > 0 ? check_started(report[0], pid, e) : emk_fail_errno(e, "command: cannot fork");
    close(report[0]);
    *expired = false;
    if (st == EMK_OK)
        attend(pid, &set, child->until, code, expired);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return st;
}
