/* The guard in surroundings that are against it: thousands of mappings, a storm of children,
 * signals all the time, a filter that refuses calls, one that kills.  Each has an end, and it is
 * never a crash or a wait without one. */
#include "device/guard/internal.h"
#include "tests/support/test.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_mmap /* 32-bit Arm has the one that counts in pages alone */
#define SYS_mmap SYS_mmap2
#endif

#define MAPPINGS  10000u
#define CHILDREN  300
#define ROUNDS    20
#define PROBES    100
#define TOO_LONG  60 /* seconds: a deadlock ends the test */
#define FINE      0
#define FOUND     2  /* more than a hint */
#define NO_FILTER 77 /* emulators have no seccomp */
#define CALLS_MAX 64

static emk_crypto *crypto;

static emk_guard *new_guard(void)
{
    const emk_guard_config config = {
        .crypto = crypto, .level = EMK_GUARD_STRICT, .development = true};
    emk_guard *g = NULL;
    emk_error e = {0};

    assert_ok(emk_guard_new(&config, &g, &e), &e);
    return g;
}

static unsigned surest(emk_guard *g)
{
    emk_guard_report r;
    unsigned most = 0;

    emk_guard_report_get(g, &r);
    for (uint32_t i = 0; i < r.n_findings; i++) {
        /* Sanitizers and coverage tools live here as well; what they are is not the question. */
        if (r.findings[i].signal != EMK_GUARD_FOREIGN_CODE && r.findings[i].confidence > most)
            most = r.findings[i].confidence;
    }
    return most;
}

static void looks_among_thousands_of_mappings(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *all =
        mmap(NULL, MAPPINGS * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t start;
    emk_guard *g;

    (void)state;
    assert_true(all != MAP_FAILED);
    for (size_t i = 0; i < MAPPINGS; i += 2) /* every other one differs: none are joined */
        assert_int_equal(mprotect(all + i * page, page, PROT_NONE), 0);
    start = emk_env_cpu_ns();
    g = new_guard();
    emk_guard_round(g);
    assert_true(emk_env_cpu_ns() - start < UINT64_C(2000000000));
    assert_true(surest(g) <= EMK_GUARD_HINT);
    emk_guard_free(g);
    munmap(all, MAPPINGS * page);
}

static void goes_on_in_a_storm_of_children(void **state)
{
    emk_guard *g = new_guard();
    emk_error e = {0};
    int status;

    (void)state;
    assert_ok(emk_guard_start(g, &e), &e);
    for (int i = 0; i < CHILDREN; i++) {
        const pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0)
            _exit(FINE);
        if (i % 10 == 0)
            emk_guard_probe(g);
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    assert_true(surest(g) <= EMK_GUARD_HINT);
    emk_guard_free(g);
}

static volatile sig_atomic_t n_signals;

static void count_signal(int number)
{
    (void)number;
    n_signals++;
}

static void is_not_cut_short_by_signals(void **state)
{
    const struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = count_signal}; /* without SA_RESTART */
    emk_guard *g = new_guard();

    (void)state;
    assert_int_equal(sigaction(SIGVTALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_VIRTUAL, &often, NULL), 0);
    for (int i = 0; i < ROUNDS || n_signals < 2; i++)
        emk_guard_round(g);
    assert_int_equal(setitimer(ITIMER_VIRTUAL, &never, NULL), 0);
    assert_true(surest(g) <= EMK_GUARD_HINT);
    emk_guard_free(g);
}

/* Everything the guard asks of the kernel, for sandboxes; docs/operate/guard.md has the list.
 * What the C library and libcrypto need beside it is here, too. */
static const int calls[] = {
    SYS_openat,
    SYS_read,
    SYS_pread64,
    SYS_close,
    SYS_getdents64,
    SYS_fstat,
    SYS_readlinkat,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_inotify_init1,
    SYS_eventfd2,
    SYS_ppoll,
    SYS_socket,
    SYS_connect,
    SYS_sendto,
    SYS_recvfrom,
    SYS_prctl,
    SYS_clock_gettime,
    SYS_getrandom,
    SYS_futex,
    SYS_getpid,
    SYS_gettid,
    SYS_munmap,
    SYS_mprotect,
    SYS_madvise,
    SYS_mincore,
    SYS_prlimit64,
    SYS_brk,
    SYS_write,
    SYS_lseek,
    SYS_fcntl,
    SYS_exit_group,
    SYS_rt_sigprocmask,
    SYS_mlock,
    SYS_inotify_add_watch,
    SYS_sigaltstack,
    SYS_sched_yield,
#ifdef SYS_open /* older machines' calls of the same kind */
    SYS_open,
    SYS_readlink,
    SYS_access,
    SYS_poll,
#endif
    SYS_mmap,
#ifdef SYS_newfstatat
    SYS_newfstatat,
#else /* 32 bits: the same with longer numbers */
    SYS_fstatat64,
    SYS_fstat64,
    SYS_mmap2,
    SYS__llseek,
    SYS_fcntl64,
    SYS_clock_gettime64,
    SYS_futex_time64,
    SYS_ppoll_time64,
    SYS_statx,
#endif
#ifdef SYS_socketcall
    SYS_socketcall,
#endif
};

static void filter(const int *allowed, size_t n, unsigned otherwise)
{
    struct sock_filter f[2 * CALLS_MAX + 2] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    struct sock_fprog program = {.filter = f};
    size_t at = 1;

    for (size_t i = 0; i < n; i++) {
        f[at++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
        f[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    f[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise);
    program.len = (unsigned short)at;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
        _exit(NO_FILTER);
}

/* What became of a child in which fn set a filter first. */
static int in_child(void (*set_filter)(void))
{
    int status = 0;
    const pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        emk_guard *g;

        setenv("CMOCKA_TEST_ABORT", "1", 1);
        set_filter();
        g = new_guard();
        for (int i = 0; i < PROBES; i++)
            emk_guard_probe(g);
        _exit(surest(g) > EMK_GUARD_HINT ? FOUND : FINE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void kill_the_rest(void)
{
    filter(calls, sizeof calls / sizeof calls[0], SECCOMP_RET_KILL_PROCESS);
}

static void is_fine_under(void (*set_filter)(void))
{
    const int status = in_child(set_filter);

    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER) {
        print_message("SKIP seccomp is not here\n");
        skip();
    }
    assert_int_equal(status, FINE);
}

static void needs_no_other_call_than_those_listed(void **state)
{
    (void)state;
    is_fine_under(kill_the_rest);
}

/* Nothing can be opened, watched or asked any more. */
static void refuse_all_looks(void)
{
    static const int rest[] = {SYS_close,  SYS_clock_gettime, SYS_getrandom,      SYS_futex,
                               SYS_mmap,   SYS_munmap,        SYS_mprotect,       SYS_madvise,
                               SYS_brk,    SYS_write,         SYS_exit_group,     SYS_getpid,
                               SYS_gettid, SYS_read,          SYS_rt_sigprocmask, SYS_mlock,
                               SYS_prctl};

    filter(rest, sizeof rest / sizeof rest[0], SECCOMP_RET_ERRNO | EPERM);
}

static void is_blind_and_no_worse_where_everything_is_refused(void **state)
{
    (void)state;
    is_fine_under(refuse_all_looks);
}

/* Stopped, as phones and laptops do it to everything, and continued. */
static void a_process_that_was_stopped_finds_nothing_new(void **state)
{
    const struct timespec pause = {0, 600000000};
    int ready[2], status = 0;
    char byte = 0;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        emk_guard *g = new_guard();

        if (emk_guard_start(g, NULL) != EMK_OK || write(ready[1], &byte, 1) != 1)
            _exit(1);
        (void)!raise(SIGSTOP);
        for (int i = 0; i < 3; i++)
            emk_guard_round(g);
        _exit(surest(g) > EMK_GUARD_HINT ? FOUND : FINE);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    nanosleep(&pause, NULL);
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, FINE);
    close(ready[0]);
    close(ready[1]);
}

static void a_forked_child_can_ask_its_copy(void **state)
{
    emk_guard *g = new_guard();
    int status = 0;
    pid_t child;

    (void)state;
    /* A child that asks its copy of a guard whose thread it does not have. */
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        emk_guard_round(g);
        _exit(FINE);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, FINE);
    emk_guard_free(g);
}

int main(void)
{
    emk_error e = {0};
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    alarm(TOO_LONG);
    failed = EMK_RUN(
        emk_rule(looks_among_thousands_of_mappings), emk_rule(goes_on_in_a_storm_of_children),
        emk_rule(is_not_cut_short_by_signals), emk_rule(needs_no_other_call_than_those_listed),
        emk_rule(is_blind_and_no_worse_where_everything_is_refused),
        emk_rule(a_process_that_was_stopped_finds_nothing_new),
        emk_rule(a_forked_child_can_ask_its_copy));
    emk_crypto_free(crypto);
    return failed;
}
