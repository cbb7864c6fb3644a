#include "server/gate/replay.h"

#include "core/base/status.h"
#include "tests/unit/server/gate/kit.h"

static const uint8_t device[32] = {7};
static uint64_t bound;
static unsigned saves;
static emk_status save_says;
static emk_counters counters;
static emk_replay_guard guard;

static emk_status load(void *self, const uint8_t id[32], uint64_t *out, emk_error *e)
{
    (void)self;
    (void)e;
    assert_memory_equal(id, device, 32);
    *out = bound;
    return EMK_OK;
}

static emk_status save(void *self, const uint8_t id[32], uint64_t new_bound, emk_error *e)
{
    (void)self;
    (void)id;
    if (save_says != EMK_OK)
        return emk_fail(e, save_says, "test: save", 0);
    assert_true(new_bound > bound);
    bound = new_bound;
    saves++;
    return EMK_OK;
}

/* What a start of the server is. */
static void start(void)
{
    const emk_counters_memory options = {.windows = 64, .limits = 64, .once = 64, .leases = 64};
    emk_error e;

    assert_ok(emk_counters_open_memory(&options, &counters, &e), &e);
    guard.counters = &counters;
    guard.store.load = load;
    guard.store.save = save;
}

static int setup(void **state)
{
    (void)state;
    bound = 0;
    saves = 0;
    save_says = EMK_OK;
    start();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    emk_counters_close(&counters);
    return 0;
}

static emk_status take(uint64_t counter, uint64_t *next)
{
    return emk_replay_take(&guard, device, counter, KIT_NOW_NS, next, NULL);
}

static void each_number_is_taken_once_in_any_order(void **state)
{
    static const uint64_t order[] = {5, 3, 9, 4, 64, 8, 66};
    uint64_t next = 0;

    (void)state;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        assert_ok(take(order[i], &next), NULL);
    assert_int_equal(next, 0);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        assert_status(take(order[i], &next), EMK_E_USED, NULL);
    assert_status(take(1, &next), EMK_E_USED, NULL); /* behind the window */
    assert_ok(take(next, &next), NULL);
}

static void refuses_numbers_that_no_field_can_say(void **state)
{
    uint64_t next;

    (void)state;
    assert_status(take(0, &next), EMK_E_FORMAT, NULL);
    assert_status(take(EMK_REPLAY_COUNTER_MAX + 1, &next), EMK_E_FORMAT, NULL);
}

static void crash_does_not_open_the_window_again(void **state)
{
    uint64_t next = 0;

    (void)state;
    for (uint64_t i = 1; i <= 20; i++)
        assert_ok(take(i, &next), NULL);
    emk_counters_close(&counters);
    start();
    for (uint64_t i = 1; i <= 30; i++)
        assert_status(take(i, &next), EMK_E_USED, NULL);
    assert_true(next > 20);
    assert_ok(take(next, &next), NULL);
}

static void bound_is_written_once_in_a_thousand(void **state)
{
    uint64_t next = 0;

    (void)state;
    for (uint64_t i = 1; i <= 3000; i++)
        assert_ok(take(i, &next), NULL);
    assert_in_range(saves, 3, 8);
    assert_true(bound >= 3000);
}

static void nothing_passes_while_the_bound_cannot_be_written(void **state)
{
    uint64_t next = 0;

    (void)state;
    save_says = EMK_E_IO;
    assert_status(take(1, &next), EMK_E_IO, NULL);
    assert_status(take(2, &next), EMK_E_IO, NULL);
    save_says = EMK_OK;
    assert_ok(take(3, &next), NULL);
}

#define on_counters(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    return EMK_RUN(on_counters(each_number_is_taken_once_in_any_order),
                   on_counters(refuses_numbers_that_no_field_can_say),
                   on_counters(crash_does_not_open_the_window_again),
                   on_counters(bound_is_written_once_in_a_thousand),
                   on_counters(nothing_passes_while_the_bound_cannot_be_written));
}
