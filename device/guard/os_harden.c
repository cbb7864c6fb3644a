#include "core/base/status.h"

#include <earmark/guard.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static bool make_undumpable(void)
{
    const struct rlimit none = {0, 0};

    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && setrlimit(RLIMIT_CORE, &none) == 0;
}

#define REFUSE(number)                                   \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM */)

/* A program of another architecture's numbers is let through: it cannot mean these calls by
 * them, and a 32-bit helper must not die. */
static bool refuse_tracing(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        REFUSE(SYS_ptrace),
        REFUSE(SYS_process_vm_readv),
        REFUSE(SYS_process_vm_writev),
        REFUSE(SYS_perf_event_open),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    /* For all threads at once: an agent may have some already. */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

emk_status emk_guard_harden(unsigned what, unsigned *done, emk_error *e)
{
    unsigned took = 0;

    if (what == 0 || (what & ~EMK_GUARD_HARDEN_ALL))
        return emk_fail(e, EMK_E_USAGE, "guard: hardening", what);
    if ((what & EMK_GUARD_HARDEN_UNDUMPABLE) && make_undumpable())
        took |= EMK_GUARD_HARDEN_UNDUMPABLE;
    if ((what & EMK_GUARD_HARDEN_NO_PRIVILEGES) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        took |= EMK_GUARD_HARDEN_NO_PRIVILEGES;
    if ((what & EMK_GUARD_HARDEN_NO_NEW_CODE) &&
        prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0)
        took |= EMK_GUARD_HARDEN_NO_NEW_CODE;
    /* A filter needs the promise of no new privileges. */
    if ((what & EMK_GUARD_HARDEN_NO_TRACING) && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
        refuse_tracing())
        took |= EMK_GUARD_HARDEN_NO_TRACING;
    *done = took;
    return EMK_OK;
}
