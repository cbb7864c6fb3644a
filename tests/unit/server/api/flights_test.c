#include "core/base/os_thread.h"
#include "server/api/flights.h"
#include "tests/support/test.h"

#include <stdatomic.h>

typedef struct waiting {
    emk_flights f;
    atomic_bool over, stop;
    atomic_uint told, wrong;
    atomic_bool record; /* there is a device */
} waiting;

static void wait_once(void *self)
{
    waiting *w = self;
    emk_error e = {0};

    if (emk_flights_wait(&w->f, &e) != EMK_OK)
        atomic_fetch_add(&w->wrong, 1);
    atomic_store(&w->over, true);
}

static void waits_for_those_who_came_before(void **state)
{
    static waiting w;
    emk_thread *t = NULL;
    unsigned before = emk_flights_enter(&w.f), after;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_thread_start(wait_once, &w, &t, &e), &e);
    while (atomic_load(&w.f.turn) == 0)
        ; /* it has begun */
    after = emk_flights_enter(&w.f);
    assert_false(atomic_load(&w.over));
    emk_flights_leave(&w.f, before);
    while (atomic_load(&w.f.turn) < 2)
        ; /* the first are away; the second turn is of those who came then */
    emk_flights_leave(&w.f, after);
    emk_thread_join(t);
    assert_true(atomic_load(&w.over));
    assert_int_equal(atomic_load(&w.wrong), 0);
    assert_ok(emk_flights_wait(&w.f, &e), &e); /* nobody is there */
}

/* As the server does: look whether it is there, then tell. */
static void tell(void *self)
{
    waiting *w = self;

    while (!atomic_load(&w->stop)) {
        unsigned ticket = emk_flights_enter(&w->f);

        if (atomic_load(&w->record))
            atomic_fetch_add(&w->told, 1);
        emk_flights_leave(&w->f, ticket);
    }
}

static void nobody_tells_after_the_wait(void **state)
{
    enum { THREADS = 3, ROUNDS = 300 };
    static waiting w;
    emk_thread *t[THREADS] = {NULL};
    emk_error e = {0};

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_ok(emk_thread_start(tell, &w, &t[i], &e), &e);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (atomic_load(&w.told) != 0) /* forgotten in the round before, and told after that */
            atomic_fetch_add(&w.wrong, 1);
        atomic_store(&w.record, true);
        atomic_store(&w.record, false); /* erased */
        assert_ok(emk_flights_wait(&w.f, &e), &e);
        atomic_store(&w.told, 0); /* forgotten */
    }
    atomic_store(&w.stop, true);
    for (unsigned i = 0; i < THREADS; i++)
        emk_thread_join(t[i]);
    assert_int_equal(atomic_load(&w.told) + atomic_load(&w.wrong), 0);
}

int main(void)
{
    return EMK_RUN(emk_rule(waits_for_those_who_came_before),
                   emk_rule(nobody_tells_after_the_wait));
}
