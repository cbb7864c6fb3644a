#include "core/base/fault.h"
#include "tests/support/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef EMK_FAULTS

static void only_the_call_asked_for_fails(void **state)
{
    (void)state;
    emk_fault_fail_at(EMK_FAULT_IO, 3);
    assert_false(emk_fault_hit(EMK_FAULT_IO));
    assert_false(emk_fault_hit(EMK_FAULT_IO));
    assert_true(emk_fault_hit(EMK_FAULT_IO));
    assert_false(emk_fault_hit(EMK_FAULT_IO));
    assert_int_equal(emk_fault_count(EMK_FAULT_IO), 4);
}

static void kinds_count_for_themselves(void **state)
{
    (void)state;
    emk_fault_fail_at(EMK_FAULT_CRYPTO, 1);
    emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
    assert_false(emk_fault_hit(EMK_FAULT_ALLOC));
    assert_true(emk_fault_hit(EMK_FAULT_CRYPTO));
    assert_int_equal(emk_fault_count(EMK_FAULT_ALLOC), 1);
}

static void zero_means_none_and_resets_the_count(void **state)
{
    (void)state;
    emk_fault_fail_at(EMK_FAULT_IO, 1);
    emk_fault_fail_at(EMK_FAULT_IO, 0);
    assert_int_equal(emk_fault_count(EMK_FAULT_IO), 0);
    for (int i = 0; i < 10; i++)
        assert_false(emk_fault_hit(EMK_FAULT_IO));
    assert_int_equal(emk_fault_count(EMK_FAULT_IO), 10);
}

static void kill_ends_the_process_at_the_call(void **state)
{
    int st;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0) {
        emk_fault_kill_at(EMK_FAULT_IO, 2);
        if (emk_fault_hit(EMK_FAULT_IO))
            _exit(1);
        emk_fault_hit(EMK_FAULT_IO);
        _exit(2);
    }
    assert_int_equal(waitpid(pid, &st, 0), pid);
    assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
}

int main(void)
{
    return EMK_RUN(emk_rule(only_the_call_asked_for_fails), emk_rule(kinds_count_for_themselves),
                   emk_rule(zero_means_none_and_resets_the_count),
                   emk_rule(kill_ends_the_process_at_the_call));
}

#else

static void without_the_option_nothing_ever_fails(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_false(emk_fault_hit(EMK_FAULT_IO));
}

int main(void)
{
    return EMK_RUN(emk_rule(without_the_option_nothing_ever_fails));
}

#endif
