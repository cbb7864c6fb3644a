#include "core/base/fault.h"
#include "core/base/os_mem.h"
#include "tests/support/test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void assert_zeroed_and_writable(const emk_os_map *m, size_t len)
{
    uint8_t *p = m->p;

    assert_non_null(p);
    assert_int_equal(m->used, len);
    assert_true(m->len >= len);
    for (size_t i = 0; i < len; i += 97) {
        assert_int_equal(p[i], 0);
        p[i] = 1;
    }
    p[m->len - 1] = 1;
}

static void memory_is_zeroed_and_page_aligned(void **state)
{
    static const size_t lens[] = {1, 4096, 4097, 1000000};
    emk_os_map m;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        assert_ok(emk_os_map_new(lens[i], 0, &m, &e), &e);
        assert_int_equal((uintptr_t)m.p % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
        assert_zeroed_and_writable(&m, lens[i]);
        assert_false(m.locked || m.secret);
        emk_os_map_free(&m);
        assert_null(m.p);
        emk_os_map_free(&m); /* twice is fine */
    }
}

static void rejects_impossible_lengths(void **state)
{
    emk_os_map m = {.used = 77};
    emk_error e;

    (void)state;
    assert_status(emk_os_map_new(0, 0, &m, &e), EMK_E_USAGE, &e);
    assert_status(emk_os_map_new(SIZE_MAX, 0, &m, &e), EMK_E_USAGE, &e);
    assert_int_equal(m.used, 77);
}

static void huge_maps_begin_on_huge_pages(void **state)
{
    const size_t huge = (size_t)2 << 20;
    emk_os_map m;
    emk_error e;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_ok(emk_os_map_new(huge + 5, EMK_OS_MAP_HUGE, &m, &e), &e);
        assert_int_equal((uintptr_t)m.p % huge, 0);
        assert_int_equal(m.len, 2 * huge);
        assert_zeroed_and_writable(&m, huge + 5);
        emk_os_map_free(&m);
    }
    assert_ok(emk_os_map_new(4096, EMK_OS_MAP_HUGE, &m, &e), &e); /* too small: ordinary */
    assert_true(m.len < huge);
    emk_os_map_free(&m);
}

static void prefault_does_not_change_content(void **state)
{
    emk_os_map m;
    emk_error e;

    (void)state;
    assert_ok(emk_os_map_new(300000, EMK_OS_MAP_PREFAULT | EMK_OS_MAP_LOCK, &m, &e), &e);
    assert_zeroed_and_writable(&m, 300000);
    emk_os_map_free(&m);
}

/* In a child, because a lowered limit cannot be raised again without rights. */
static int under_small_lock_limit(unsigned flags)
{
    struct rlimit limit = {65536, 65536};
    emk_os_map m = {0};
    emk_status st;
    int code;

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 100;
    if (geteuid() == 0 && setuid(65534) != 0) /* root is above the limit */
        return 100;
    if (emk_os_lock_limit() != 65536)
        return 101;
    st = emk_os_map_new((size_t)1 << 20, flags, &m, NULL);
    code = (int)st + (m.locked ? 50 : 0);
    emk_os_map_free(&m);
    return code;
}

static int in_child(int (*fn)(unsigned), unsigned arg)
{
    int st;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFEXITED(st));
    return WEXITSTATUS(st);
}

static void locking_is_best_effort_unless_it_must_be(void **state)
{
    int code = in_child(under_small_lock_limit, EMK_OS_MAP_LOCK);

    (void)state;
    if (code == 100)
        skip();
    assert_int_equal(code, EMK_OK); /* there, not locked */
    assert_int_equal(in_child(under_small_lock_limit, EMK_OS_MAP_MUST_LOCK), EMK_E_LIMIT);
}

static void secret_memory_is_there_or_refused(void **state)
{
    emk_os_map m = {0};
    emk_error e;
    emk_status st = emk_os_map_new(5000, EMK_OS_MAP_SECRET, &m, &e);

    (void)state;
    if (!emk_os_has_secret_memory()) {
        assert_status(st, EMK_E_UNSUPPORTED, &e);
        assert_null(m.p);
        return;
    }
    if (st == EMK_E_LIMIT) /* it is, but the lock limit is lower */
        return;
    assert_ok(st, &e);
    assert_true(m.secret && m.locked);
    assert_zeroed_and_writable(&m, 5000);
    emk_os_map_free(&m);
    assert_null(m.p);
}

/* What happened to a child that did `fn` to m: its exit code, or 1000 and the signal. */
static int child_does(void (*fn)(emk_os_map *m), emk_os_map *m)
{
    pid_t pid = fork();
    int st;

    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL); /* the test library's handler would go on */
        fn(m);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &st, 0), pid);
    return WIFSIGNALED(st) ? 1000 + WTERMSIG(st) : WEXITSTATUS(st);
}

static void read_zeros_and_free(emk_os_map *m)
{
    const volatile uint8_t *p = m->p;

    for (size_t i = 0; i < m->len; i++)
        if (p[i] != 0)
            _exit(1);
    emk_os_map_free(m);
}

static void touch(emk_os_map *m)
{
    (void)*(const volatile uint8_t *)m->p;
}

static void put(emk_os_map *m)
{
    *(volatile uint8_t *)m->p = 1;
}

static void child_reads_zeros_and_may_free(void **state)
{
    static const unsigned flags[] = {0, EMK_OS_MAP_LOCK, EMK_OS_MAP_HUGE};
    const size_t len = (size_t)4 << 20;
    emk_os_map m;
    emk_error e;

    (void)state;
    if (emk_test_is_emulated())
        skip(); /* qemu-user knows no MADV_WIPEONFORK */
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        assert_ok(emk_os_map_new(len, flags[i], &m, &e), &e);
        memset(m.p, 0x5a, len);
        assert_int_equal(child_does(read_zeros_and_free, &m), 0);
        assert_int_equal(((uint8_t *)m.p)[len - 1], 0x5a);
        assert_ok(emk_os_map_protect(&m, &e), &e);
        assert_int_equal(child_does(read_zeros_and_free, &m), 0);
        emk_os_map_free(&m);
    }
}

static void child_has_no_secret_memory_but_may_free(void **state)
{
    emk_os_map m;

    (void)state;
    if (emk_os_map_new(5000, EMK_OS_MAP_SECRET, &m, NULL) != EMK_OK)
        skip();
    memset(m.p, 0x5a, 5000);
    assert_int_equal(child_does(touch, &m), 1000 + SIGSEGV);
    assert_int_equal(child_does(emk_os_map_free, &m), 0);
    assert_int_equal(((uint8_t *)m.p)[4999], 0x5a);
    emk_os_map_free(&m);
}

static void write_to_protected_memory_faults(void **state)
{
    static const unsigned flags[] = {0, EMK_OS_MAP_LOCK | EMK_OS_MAP_HUGE, EMK_OS_MAP_SECRET};
    emk_os_map m;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (emk_os_map_new(5000, flags[i], &m, &e) != EMK_OK)
            continue;
        memset(m.p, 0x5a, 5000);
        if (!m.secret)
            assert_int_equal(child_does(put, &m), 0);
        assert_ok(emk_os_map_protect(&m, &e), &e);
        assert_int_equal(((uint8_t *)m.p)[4999], 0x5a);
        assert_int_equal(child_does(put, &m), 1000 + SIGSEGV);
        emk_os_map_free(&m);
        assert_null(m.p);
    }
}

static void no_memory_is_reported(void **state)
{
#ifdef EMK_FAULTS
    emk_os_map m = {.used = 77};
    emk_error e;

    (void)state;
    emk_fault_fail_at(EMK_FAULT_ALLOC, 1);
    assert_status(emk_os_map_new(100, 0, &m, &e), EMK_E_NO_MEMORY, &e);
    emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
    assert_int_equal(m.used, 77);
#else
    (void)state;
    skip();
#endif
}

static void all_zero_map_may_be_freed(void **state)
{
    emk_os_map m;

    (void)state;
    memset(&m, 0, sizeof m);
    emk_os_map_free(&m);
    (void)emk_os_has_huge_pages();
}

int main(void)
{
    return EMK_RUN(
        emk_rule(memory_is_zeroed_and_page_aligned), emk_rule(rejects_impossible_lengths),
        emk_rule(huge_maps_begin_on_huge_pages), emk_rule(prefault_does_not_change_content),
        emk_rule(locking_is_best_effort_unless_it_must_be),
        emk_rule(secret_memory_is_there_or_refused), emk_rule(child_reads_zeros_and_may_free),
        emk_rule(child_has_no_secret_memory_but_may_free),
        emk_rule(write_to_protected_memory_faults), emk_rule(no_memory_is_reported),
        emk_rule(all_zero_map_may_be_freed));
}
