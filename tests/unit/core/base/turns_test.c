#include "core/base/turns.h"
#include "tests/support/test.h"

#include <stdatomic.h>

#define N_THREADS 8u
#define N_STEPS   500u

typedef struct room {
    emk_lock *lock;
    emk_turns turns;
    atomic_int inside; /* who works now: one at a time */
    uint64_t done, groups, alone;
} room;

typedef struct step {
    emk_turn turn; /* first */
    bool worked;
} step;

static void make_room(room *r)
{
    emk_error e = {0};

    *r = (room){.lock = NULL};
    assert_ok(emk_lock_new(&r->lock, &e), &e);
    emk_turns_init(&r->turns, r->lock);
}

static bool up_to_three(void *self, const emk_turn *next)
{
    size_t *n = self;

    assert_non_null(next);
    return ++*n < 3;
}

static void work(room *r)
{
    size_t n = 0;
    emk_turn *group;

    emk_turns_gather(&r->turns);
    group = emk_turns_take(&r->turns, up_to_three, &n);
    emk_lock_give(r->lock);
    assert_int_equal(atomic_fetch_add(&r->inside, 1), 0);
    r->groups++;
    for (emk_turn *t = group; t; t = t->next) {
        step *s = (step *)(void *)t;

        assert_false(s->worked);
        s->worked = true;
        r->done++;
    }
    atomic_fetch_sub(&r->inside, 1);
    emk_lock_take(r->lock);
    emk_turns_end(&r->turns, group);
}

static void take_steps(void *self)
{
    room *r = self;

    for (unsigned i = 0; i < N_STEPS; i++) {
        step s = {.worked = false};

        emk_lock_take(r->lock);
        if (emk_turns_wait(&r->turns, &s.turn))
            work(r);
        assert_true(s.worked);
    }
}

static void go_alone(void *self)
{
    room *r = self;

    for (unsigned i = 0; i < N_STEPS; i++) {
        emk_turn mine;

        emk_turns_enter(&r->turns, &mine);
        assert_int_equal(atomic_fetch_add(&r->inside, 1), 0);
        r->alone++;
        atomic_fetch_sub(&r->inside, 1);
        emk_turns_leave(&r->turns, &mine);
    }
}

static void does_every_turn_once_and_nothing_beside_it(void **state)
{
    emk_thread *threads[N_THREADS] = {0}, *loner = NULL;
    emk_error e = {0};
    room r;

    (void)state;
    make_room(&r);
    for (unsigned i = 0; i < N_THREADS; i++)
        assert_ok(emk_thread_start(take_steps, &r, &threads[i], &e), &e);
    assert_ok(emk_thread_start(go_alone, &r, &loner, &e), &e);
    for (unsigned i = 0; i < N_THREADS; i++)
        emk_thread_join(threads[i]);
    emk_thread_join(loner);
    assert_int_equal(r.done, (uint64_t)N_THREADS * N_STEPS);
    assert_int_equal(r.alone, N_STEPS);
    assert_true(r.groups <= r.done);
    assert_false(r.turns.led);
    assert_null(r.turns.first);
    assert_int_equal(r.turns.queued, 0);
    emk_lock_free(r.lock);
}

static void wait_one_step(void *self)
{
    room *r = self;
    step s = {.worked = false};

    emk_lock_take(r->lock);
    if (emk_turns_wait(&r->turns, &s.turn))
        work(r);
    assert_true(s.worked);
}

static size_t queued(room *r)
{
    size_t n;

    emk_lock_take(r->lock);
    n = r->turns.queued;
    emk_lock_give(r->lock);
    return n;
}

static void shares_what_came_while_it_worked(void **state)
{
    emk_thread *threads[3] = {0};
    emk_error e = {0};
    emk_turn mine;
    room r;

    (void)state;
    make_room(&r);
    emk_turns_enter(&r.turns, &mine);
    for (size_t i = 0; i < 3; i++)
        assert_ok(emk_thread_start(wait_one_step, &r, &threads[i], &e), &e);
    while (queued(&r) < 3)
        ;
    emk_turns_leave(&r.turns, &mine);
    for (size_t i = 0; i < 3; i++)
        emk_thread_join(threads[i]);
    assert_int_equal(r.done, 3);
    assert_int_equal(r.groups, 1);
    emk_lock_free(r.lock);
}

int main(void)
{
    return EMK_RUN(emk_rule(does_every_turn_once_and_nothing_beside_it),
                   emk_rule(shares_what_came_while_it_worked));
}
