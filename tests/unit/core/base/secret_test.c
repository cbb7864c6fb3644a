#include "core/base/fault.h"
#include "core/base/secret.h"
#include "tests/support/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void secret_is_zeroed_and_writable(void **state)
{
    emk_secret *s = NULL;
    emk_error e;

    (void)state;
    assert_ok(emk_secret_new(32, &s, &e), &e);
    assert_int_equal(emk_secret_len(s), 32);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(emk_secret_bytes(s)[i], 0);
    memset(emk_secret_bytes(s), 0x5a, 32);
    assert_int_equal(emk_secret_span(s).len, 32);
    assert_int_equal(emk_secret_span(s).p[31], 0x5a);
    emk_secret_free(s);
    emk_secret_free(NULL);
}

static void rejects_lengths_beyond_the_limit(void **state)
{
    emk_secret *s = NULL;
    emk_error e;

    (void)state;
    assert_status(emk_secret_new(0, &s, &e), EMK_E_USAGE, &e);
    assert_status(emk_secret_new(EMK_SECRET_MAX + 1, &s, &e), EMK_E_USAGE, &e);
    assert_null(s);
    assert_ok(emk_secret_new(EMK_SECRET_MAX, &s, &e), &e);
    memset(emk_secret_bytes(s), 1, EMK_SECRET_MAX);
    emk_secret_free(s);
}

static void two_secrets_share_no_page(void **state)
{
    emk_secret *a = NULL, *b = NULL;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    emk_error e;

    (void)state;
    assert_ok(emk_secret_new(16, &a, &e), &e);
    assert_ok(emk_secret_new(16, &b, &e), &e);
    assert_true((uintptr_t)emk_secret_bytes(a) / page != (uintptr_t)emk_secret_bytes(b) / page);
    emk_secret_free(a);
    emk_secret_bytes(b)[0] = 1;
    emk_secret_free(b);
}

static void child_process_sees_zeros_and_may_free(void **state)
{
    emk_secret *s = NULL;
    emk_error e;
    pid_t pid;
    int st;

    (void)state;
    if (emk_test_is_emulated())
        skip(); /* qemu-user knows no MADV_WIPEONFORK */
    assert_ok(emk_secret_new(16, &s, &e), &e);
    memset(emk_secret_bytes(s), 0x5a, 16);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        uint8_t seen = 0;

        signal(SIGSEGV, SIG_DFL); /* the test library's handler would go on */
        for (size_t i = 0; i < 16; i++)
            seen |= ((volatile uint8_t *)emk_secret_bytes(s))[i];
        emk_secret_free(s);
        _exit(seen);
    }
    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFEXITED(st));
    assert_int_equal(WEXITSTATUS(st), 0);
    assert_int_equal(emk_secret_bytes(s)[15], 0x5a);
    emk_secret_free(s);
}

static void no_memory_is_reported(void **state)
{
#ifdef EMK_FAULTS
    emk_secret *s = NULL;
    emk_error e;

    (void)state;
    emk_fault_fail_at(EMK_FAULT_ALLOC, 1);
    assert_status(emk_secret_new(16, &s, &e), EMK_E_NO_MEMORY, &e);
    emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
    assert_null(s);
#else
    (void)state;
    skip();
#endif
}

static void wipe_clears_exactly_its_bytes(void **state)
{
    uint8_t b[10];

    (void)state;
    memset(b, 0xff, sizeof b);
    emk_wipe(b + 1, 8);
    assert_int_equal(b[0], 0xff);
    for (size_t i = 1; i < 9; i++)
        assert_int_equal(b[i], 0);
    assert_int_equal(b[9], 0xff);
    emk_wipe(NULL, 0);
}

static void comparison_sees_every_bit(void **state)
{
    uint8_t a[33], b[33];

    (void)state;
    memset(a, 0xa5, sizeof a);
    memcpy(b, a, sizeof b);
    assert_true(emk_ct_equal(a, b, sizeof a));
    assert_true(emk_ct_equal(a, b, 0));
    for (size_t i = 0; i < 8 * sizeof a; i++) {
        b[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_false(emk_ct_equal(a, b, sizeof a));
        b[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    b[32] ^= 1;
    assert_true(emk_ct_equal(a, b, 32));
}

int main(void)
{
    return EMK_RUN(emk_rule(secret_is_zeroed_and_writable),
                   emk_rule(rejects_lengths_beyond_the_limit), emk_rule(two_secrets_share_no_page),
                   emk_rule(child_process_sees_zeros_and_may_free), emk_rule(no_memory_is_reported),
                   emk_rule(wipe_clears_exactly_its_bytes), emk_rule(comparison_sees_every_bit));
}
