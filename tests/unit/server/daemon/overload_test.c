#include "server/daemon/overload.h"

#include "tests/support/test.h"

#define TICK_NS   UINT64_C(200000000)
#define TARGET_MS 1000u

/* Seconds of five samples each, with this many waiting and this many answered in each second. */
static void run(emk_overload *o, emk_overload_sample *s, unsigned seconds, uint64_t waiting,
                uint64_t pace)
{
    for (unsigned i = 0; i < seconds * 5; i++) {
        s->now_ns += TICK_NS;
        s->served += pace / 5;
        s->waiting = waiting;
        (void)emk_overload_step(o, s);
    }
}

static emk_overload_sample begin(void)
{
    return (emk_overload_sample){.now_ns = 5 * TICK_NS, .target_ms = TARGET_MS};
}

static void refuses_nothing_while_the_queue_moves(void **state)
{
    emk_overload o = {0};
    emk_overload_sample s = begin();

    (void)state;
    run(&o, &s, 20, 900, 1000); /* 0.9 s */
    assert_int_equal(o.level, 0);
    assert_in_range(o.wait_ms, 850, 950);
}

static void refuses_nothing_for_a_burst_that_passes(void **state)
{
    emk_overload o = {0};
    emk_overload_sample s = begin();

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        s.now_ns += TICK_NS;
        s.served += 20;
        s.waiting = i % 5 == 0 ? 0 : 5000;
        (void)emk_overload_step(&o, &s);
    }
    assert_int_equal(o.level, 0);
}

static void refuses_tickets_first_and_revocation_never(void **state)
{
    emk_overload o = {0};
    emk_overload_sample s = begin();

    (void)state;
    run(&o, &s, 4, 2000, 1000); /* 2 s */
    assert_in_range(emk_overload_share(&o, EMK_GATE_CLASS_GENERATE), 1, 99);
    assert_int_equal(emk_overload_share(&o, EMK_GATE_CLASS_DOWNLOAD), 0);
    run(&o, &s, 4, 2000, 1000);
    assert_int_equal(emk_overload_share(&o, EMK_GATE_CLASS_GENERATE), 100);
    assert_in_range(emk_overload_share(&o, EMK_GATE_CLASS_DOWNLOAD), 1, 99);
    assert_int_equal(emk_overload_share(&o, EMK_GATE_CLASS_OPEN), 0);
    run(&o, &s, 60, 2000, 1000);
    assert_int_equal(emk_overload_share(&o, EMK_GATE_CLASS_OPEN), 100);
    assert_int_equal(emk_overload_share(&o, EMK_GATE_CLASS_ALWAYS), 0);
}

static void is_faster_where_nothing_is_answered_at_all(void **state)
{
    emk_overload o = {0};
    emk_overload_sample s = begin();

    (void)state;
    run(&o, &s, 5, 40, 0);
    assert_int_equal(emk_overload_share(&o, EMK_GATE_CLASS_GENERATE), 100);
}

static void lets_in_again_slowly(void **state)
{
    emk_overload o = {0};
    emk_overload_sample s = begin();
    unsigned was;

    (void)state;
    run(&o, &s, 6, 2000, 1000);
    was = o.level;
    assert_in_range(was, 60, 120);
    run(&o, &s, 2, 0, 1000);
    assert_in_range(o.level, was - 30, was - 10);
    run(&o, &s, 40, 0, 1000);
    assert_int_equal(o.level, 0);
}

static void can_be_switched_off(void **state)
{
    emk_overload o = {0};
    emk_overload_sample s = begin();

    (void)state;
    s.target_ms = 0;
    run(&o, &s, 30, 50000, 10);
    assert_int_equal(o.level, 0);
}

int main(void)
{
    return EMK_RUN(emk_rule(refuses_nothing_while_the_queue_moves),
                   emk_rule(refuses_nothing_for_a_burst_that_passes),
                   emk_rule(refuses_tickets_first_and_revocation_never),
                   emk_rule(is_faster_where_nothing_is_answered_at_all),
                   emk_rule(lets_in_again_slowly), emk_rule(can_be_switched_off));
}
