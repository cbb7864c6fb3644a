#include "core/base/os_parallel.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct shared {
    _Atomic unsigned calls[EMK_PARALLEL_MAX];
    unsigned fail_first, fail_second; /* workers that fail; EMK_PARALLEL_MAX: none */
    pthread_t caller;
    _Atomic bool zero_was_caller;
} shared;

static emk_status work(void *self, unsigned worker, emk_error *e)
{
    shared *s = self;

    atomic_fetch_add(&s->calls[worker], 1);
    if (worker == 0)
        atomic_store(&s->zero_was_caller, pthread_equal(pthread_self(), s->caller) != 0);
    if (worker == s->fail_first)
        return emk_fail(e, EMK_E_FORMAT, "first", worker);
    if (worker == s->fail_second)
        return emk_fail(e, EMK_E_IO, "second", worker);
    return EMK_OK;
}

static shared fresh(void)
{
    shared s;

    memset(&s, 0, sizeof s);
    s.fail_first = s.fail_second = EMK_PARALLEL_MAX;
    s.caller = pthread_self();
    return s;
}

static void each_worker_runs_once(void **state)
{
    static const unsigned counts[] = {1, 2, 7, EMK_PARALLEL_MAX};
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        shared s = fresh();

        assert_ok(emk_parallel_run(counts[i], work, &s, &e), &e);
        for (unsigned k = 0; k < EMK_PARALLEL_MAX; k++)
            assert_int_equal(s.calls[k], k < counts[i]);
        assert_true(s.zero_was_caller);
    }
}

static void lowest_failing_worker_is_reported(void **state)
{
    shared s = fresh();
    emk_error e;

    (void)state;
    s.fail_first = 2;
    s.fail_second = 5;
    assert_status(emk_parallel_run(8, work, &s, &e), EMK_E_FORMAT, &e);
    assert_string_equal(e.what, "first");
    assert_int_equal(e.where, 2);
    assert_int_equal(s.calls[7], 1); /* the others went on */
    assert_int_equal(emk_parallel_run(8, work, &s, NULL), EMK_E_FORMAT);
}

static void rejects_impossible_numbers(void **state)
{
    shared s = fresh();
    emk_error e;

    (void)state;
    assert_status(emk_parallel_run(0, work, &s, &e), EMK_E_USAGE, &e);
    assert_status(emk_parallel_run(EMK_PARALLEL_MAX + 1, work, &s, &e), EMK_E_USAGE, &e);
    assert_int_equal(s.calls[0], 0);
}

static void there_is_a_processor(void **state)
{
    (void)state;
    assert_in_range(emk_os_processors(), 1, EMK_PARALLEL_MAX);
}

int main(void)
{
    return EMK_RUN(emk_rule(each_worker_runs_once), emk_rule(lowest_failing_worker_is_reported),
                   emk_rule(rejects_impossible_numbers), emk_rule(there_is_a_processor));
}
