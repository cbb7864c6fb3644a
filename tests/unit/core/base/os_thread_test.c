#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "tests/support/test.h"

#define N_THREADS 4u
#define N_STEPS   20000u

typedef struct shared {
    emk_lock *lock;
    uint64_t count;
    bool open;
} shared;

static void count_up(void *self)
{
    shared *s = self;

    for (unsigned i = 0; i < N_STEPS; i++) {
        emk_lock_take(s->lock);
        s->count++;
        emk_lock_give(s->lock);
    }
}

static void counts_every_step_of_every_thread(void **state)
{
    emk_thread *threads[N_THREADS] = {0};
    shared s = {0};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_lock_new(&s.lock, &e), &e);
    for (unsigned i = 0; i < N_THREADS; i++)
        assert_ok(emk_thread_start(count_up, &s, &threads[i], &e), &e);
    for (unsigned i = 0; i < N_THREADS; i++)
        emk_thread_join(threads[i]);
    assert_int_equal(s.count, (uint64_t)N_THREADS * N_STEPS);
    emk_lock_free(s.lock);
}

static void open_the_door(void *self)
{
    shared *s = self;

    emk_lock_take(s->lock);
    s->open = true;
    emk_lock_wake_all(s->lock);
    emk_lock_give(s->lock);
}

static void wakes_who_waits(void **state)
{
    emk_thread *t = NULL;
    shared s = {0};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_lock_new(&s.lock, &e), &e);
    emk_lock_take(s.lock);
    assert_ok(emk_thread_start(open_the_door, &s, &t, &e), &e);
    while (!s.open)
        emk_lock_wait(s.lock);
    emk_lock_give(s.lock);
    emk_thread_join(t);
    emk_lock_free(s.lock);
}

static void says_that_time_passed(void **state)
{
    const uint64_t timeout = 20000000u;
    shared s = {0};
    emk_error e = {0};
    uint64_t start = emk_os_monotonic_ns();

    (void)state;
    assert_ok(emk_lock_new(&s.lock, &e), &e);
    emk_lock_take(s.lock);
    while (emk_lock_wait_for(s.lock, timeout))
        ;
    emk_lock_give(s.lock);
    assert_true(emk_os_monotonic_ns() - start >= timeout);
    emk_lock_free(s.lock);
}

static void open_the_latch(void *self)
{
    emk_latch_open(self);
}

static void a_latch_lets_through_before_and_after_it_is_waited_for(void **state)
{
    emk_error e = {0};

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        emk_thread *t = NULL;
        emk_latch latch;

        emk_latch_init(&latch);
        assert_ok(emk_thread_start(open_the_latch, &latch, &t, &e), &e);
        if (i % 2)
            emk_thread_join(t);
        emk_latch_wait(&latch);
        if (i % 2 == 0)
            emk_thread_join(t);
    }
}

int main(void)
{
    emk_thread_join(NULL);
    emk_lock_free(NULL);
    return EMK_RUN(emk_rule(counts_every_step_of_every_thread), emk_rule(wakes_who_waits),
                   emk_rule(says_that_time_passed),
                   emk_rule(a_latch_lets_through_before_and_after_it_is_waited_for));
}
