#include "server/gate/limits.h"
#include "server/gate/problem.h"

#include "tests/unit/server/gate/kit.h"

#define SECOND UINT64_C(1000000000)

static emk_counters counters;
static emk_limits *limits;
static emk_principal who;
static emk_limits_ask ask;

static emk_limits *limits_of(const emk_limit_rule *rules, size_t n)
{
    static const emk_concurrency_rule places[] = {
        {"generate", EMK_LIMIT_BY_USER, 2, 60, false},
        {"shadow", EMK_LIMIT_BY_USER, 1, 60, true},
    };
    const emk_limits_config config = {&counters, rules, n, places, 2, {0}};
    emk_limits *l = NULL;
    emk_error e;

    assert_ok(emk_limits_new(&config, &l, &e), &e);
    return l;
}

static int setup(void **state)
{
    static const emk_limit_rule rules[] = {
        {.name = "user", .by = EMK_LIMIT_BY_USER, .quota = 3, .window_s = 60},
        {.name = "cost",
         .by = EMK_LIMIT_BY_USER,
         .unit = EMK_LIMIT_COST,
         .quota = 100,
         .window_s = 100},
        {.name = "net", .by = EMK_LIMIT_BY_NET, .quota = 5, .window_s = 50},
        {.name = "slow", .by = EMK_LIMIT_BY_NET, .quota = 1, .window_s = 60, .limit_class = 3},
        {.name = "seals", .by = EMK_LIMIT_BY_ALL, .quota = 2, .window_s = 60, .route = "seals"},
        {.name = "later", .by = EMK_LIMIT_BY_USER, .quota = 1, .window_s = 60, .shadow = true},
        {.name = "failed",
         .by = EMK_LIMIT_BY_NET,
         .unit = EMK_LIMIT_FAILURES,
         .quota = 2,
         .window_s = 60},
    };
    const emk_counters_memory options = {.windows = 64, .limits = 256, .once = 64, .leases = 64};
    emk_error e;

    (void)state;
    assert_ok(emk_counters_open_memory(&options, &counters, &e), &e);
    limits = limits_of(rules, sizeof rules / sizeof rules[0]);
    who = (emk_principal){.kind = EMK_PRINCIPAL_USER, .user = "anna", .tenant = "main"};
    ask = (emk_limits_ask){.who = &who, .route = "tickets", .cost = 10, .now_ns = KIT_NOW_NS};
    assert_ok(emk_address_parse(emk_span_str("203.0.113.9"), &ask.client, &e), &e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    emk_limits_free(limits);
    emk_counters_close(&counters);
    return 0;
}

static emk_limits_answer take(void)
{
    emk_limits_answer a = {0};

    assert_ok(emk_limits_take(limits, &ask, &a, NULL), NULL);
    return a;
}

static void counts_each_user_and_tells_the_tightest(void **state)
{
    char text[EMK_LIMIT_HEADER_MAX];
    emk_limits_answer a;

    (void)state;
    for (int i = 0; i < 3; i++) {
        a = take();
        assert_false(a.limited);
    }
    assert_string_equal(a.name, "user");
    assert_int_equal(a.remaining, 0);
    assert_true(a.soft);
    a = take();
    assert_true(a.limited);
    assert_string_equal(a.name, "user");
    assert_in_range(a.retry_ns, 19 * SECOND, 20 * SECOND);
    emk_limits_state_write(&a, text);
    assert_string_equal(text, "\"user\";r=0;t=20");
    emk_limits_policy_write(limits, &a, text);
    assert_string_equal(text, "\"user\";q=3;w=60, \"cost\";q=100;qu=\"earmark-cost\";w=100, "
                              "\"net\";q=5;w=50");
    strcpy(who.tenant, "other"); /* somebody else with the same name */
    a = take();
    assert_false(a.limited);
    ask.now_ns += 20 * SECOND;
    strcpy(who.tenant, "main");
    a = take();
    assert_false(a.limited);
}

static void strict_limit_does_not_drain_the_others(void **state)
{
    emk_limits_answer a;

    (void)state;
    for (int i = 0; i < 20; i++)
        (void)take(); /* three pass, the rest is stopped by "user" */
    strcpy(who.user, "bert");
    a = take();
    assert_false(a.limited); /* five from this net: 3 + this one */
    a = take();
    assert_false(a.limited);
    a = take();
    assert_true(a.limited);
    assert_string_equal(a.name, "net");
}

static void cost_counts_and_comes_back(void **state)
{
    emk_limits_answer a;

    (void)state;
    ask.cost = 60;
    assert_false(take().limited);
    a = take();
    assert_true(a.limited);
    assert_string_equal(a.name, "cost");
    emk_limits_refund(limits, &ask, 40);
    assert_false(take().limited);
    ask.cost = 101; /* more than there ever is */
    a = take();
    assert_true(a.limited);
    assert_int_equal(a.retry_ns, EMK_COUNTER_NEVER);
}

static void firewall_class_and_route_have_limits_of_their_own(void **state)
{
    emk_limits_answer a;

    (void)state;
    ask.limit_class = 3;
    assert_false(take().limited);
    a = take();
    assert_true(a.limited);
    assert_string_equal(a.name, "slow");
    ask.limit_class = 0;
    ask.route = "seals";
    (void)take();
    strcpy(who.user, "bert");
    (void)take();
    strcpy(who.user, "cara");
    a = take();
    assert_true(a.limited);
    assert_string_equal(a.name, "seals");
}

static void limit_in_shadow_is_told_and_never_refuses(void **state)
{
    emk_limits_answer a;

    (void)state;
    a = take();
    assert_int_equal(a.shadow_hits, 0);
    a = take();
    assert_int_equal(a.shadow_hits, 1);
    assert_false(a.limited);
}

static void failures_shut_the_door_before_anything_is_checked(void **state)
{
    emk_limits_answer a = {0};
    emk_error e;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_ok(emk_limits_look(limits, &ask, &a, &e), &e);
        assert_false(a.limited);
        emk_limits_failed(limits, &ask);
    }
    assert_ok(emk_limits_look(limits, &ask, &a, &e), &e);
    assert_true(a.limited);
    assert_string_equal(a.name, "failed");
    assert_false(take().limited); /* other limits were not touched */
    ask.client.b[2] ^= 1;
    assert_ok(emk_limits_look(limits, &ask, &a, &e), &e);
    assert_false(a.limited);
}

static void places_at_work_are_given_back(void **state)
{
    emk_limits_hold h[3] = {{0}};
    emk_error e;

    (void)state;
    assert_ok(emk_limits_hold_take(limits, "generate", &ask, &h[0], &e), &e);
    assert_ok(emk_limits_hold_take(limits, "generate", &ask, &h[1], &e), &e);
    assert_status(emk_limits_hold_take(limits, "generate", &ask, &h[2], &e), EMK_E_BUSY, &e);
    emk_limits_hold_give(limits, &h[0]);
    emk_limits_hold_give(limits, &h[0]); /* twice is once */
    assert_ok(emk_limits_hold_take(limits, "generate", &ask, &h[2], &e), &e);
    assert_status(emk_limits_hold_take(limits, "generate", &ask, &h[0], &e), EMK_E_BUSY, &e);
    ask.now_ns += 61 * SECOND; /* they end by themselves */
    assert_ok(emk_limits_hold_take(limits, "generate", &ask, &h[0], &e), &e);
    memset(h, 0, sizeof h);
    assert_ok(emk_limits_hold_take(limits, "shadow", &ask, &h[0], &e), &e);
    assert_ok(emk_limits_hold_take(limits, "shadow", &ask, &h[1], &e), &e);
    assert_ok(emk_limits_hold_take(limits, "no such", &ask, &h[2], &e), &e);
    assert_ok(emk_limits_hold_take(limits, NULL, &ask, &h[2], &e), &e);
    assert_int_equal(h[2].id, 0);
}

/* An attacker with a /56: 256 networks, each with a quota of its own until eight of them met it. */
static void networks_of_one_site_do_not_add_up(void **state)
{
    unsigned passed = 0;

    (void)state;
    who.user[0] = 0; /* of limits by network alone */
    for (unsigned round = 0; round < 256; round++) {
        ask.client = (emk_address){.family = EMK_ADDRESS_V6, .b = {0x20, 0x01, 0x0d, 0xb8}};
        ask.client.b[7] = (uint8_t)round;
        for (unsigned i = 0; i < 6; i++)
            passed += !take().limited;
    }
    assert_in_range(passed, 8 * 5, 9 * 5 + 1);
}

static void sheds_from_the_last_class_on(void **state)
{
    (void)state;
    assert_false(emk_limits_sheds(limits, EMK_GATE_CLASS_GENERATE));
    emk_limits_shed_set(limits, EMK_GATE_CLASS_OPEN);
    assert_true(emk_limits_sheds(limits, EMK_GATE_CLASS_GENERATE));
    assert_true(emk_limits_sheds(limits, EMK_GATE_CLASS_DOWNLOAD));
    assert_false(emk_limits_sheds(limits, EMK_GATE_CLASS_OPEN));
    emk_limits_shed_set(limits, EMK_GATE_CLASS_ALWAYS);
    assert_false(emk_limits_sheds(limits, EMK_GATE_CLASS_ALWAYS));
}

static void sheds_a_share_of_a_class_evenly(void **state)
{
    unsigned shed = 0, in_a_row = 0;

    (void)state;
    emk_limits_shed_share(limits, EMK_GATE_CLASS_GENERATE, 30);
    for (unsigned i = 0; i < 1000; i++) {
        bool sheds = emk_limits_sheds(limits, EMK_GATE_CLASS_GENERATE);

        shed += sheds;
        in_a_row = sheds ? in_a_row + 1 : 0;
        assert_in_range(in_a_row, 0, 2);
    }
    assert_int_equal(shed, 300);
    assert_false(emk_limits_sheds(limits, EMK_GATE_CLASS_DOWNLOAD));
    emk_limits_shed_share(limits, EMK_GATE_CLASS_GENERATE, 100);
    for (unsigned i = 0; i < 200; i++)
        assert_true(emk_limits_sheds(limits, EMK_GATE_CLASS_GENERATE));
    emk_limits_shed_share(limits, EMK_GATE_CLASS_GENERATE, 0);
    assert_false(emk_limits_sheds(limits, EMK_GATE_CLASS_GENERATE));
}

static void retry_is_never_early_and_at_most_a_fifth_late(void **state)
{
    (void)state;
    for (unsigned j = 0; j <= 255; j++)
        assert_in_range(emk_limits_retry_s(100 * SECOND, (uint8_t)j), 100, 120);
    assert_int_equal(emk_limits_retry_s(100 * SECOND, 255), 120);
    assert_int_equal(emk_limits_retry_s(0, 0), 1);
    assert_int_equal(emk_limits_retry_s(SECOND + 1, 0), 2);
    assert_in_range(emk_limits_retry_s(EMK_COUNTER_NEVER, 255), 1, 200000);
}

static void refuses_rules_that_make_no_sense(void **state)
{
    static const emk_limit_rule bad[] = {
        {.name = NULL, .quota = 1, .window_s = 1},
        {.name = "", .quota = 1, .window_s = 1},
        {.name = "a\"b", .quota = 1, .window_s = 1},
        {.name = "UPPER", .quota = 1, .window_s = 1},
        {.name = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", .quota = 1, .window_s = 1},
        {.name = "a", .quota = 0, .window_s = 1},
        {.name = "a", .quota = 1, .window_s = 0},
        {.name = "a", .quota = EMK_LIMIT_UNITS_MAX + 1, .window_s = 1},
        {.name = "a", .quota = EMK_LIMIT_UNITS_MAX, .window_s = 1},
        {.name = "a", .quota = 1, .window_s = UINT64_MAX},
        {.name = "a", .quota = 1, .window_s = 1000000, .burst = EMK_LIMIT_UNITS_MAX},
        {.name = "a",
         .by = EMK_LIMIT_BY_USER,
         .unit = EMK_LIMIT_FAILURES,
         .quota = 1,
         .window_s = 1},
    };
    static const emk_limit_rule twice[] = {{.name = "a", .quota = 1, .window_s = 1},
                                           {.name = "a", .quota = 2, .window_s = 1}};
    emk_limits_config config = {.counters = &counters, .n_rules = 1};
    emk_limits *l = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config.rules = &bad[i];
        if (emk_limits_new(&config, &l, NULL) != EMK_E_USAGE)
            fail_msg("row %zu", i);
    }
    config.rules = twice;
    config.n_rules = 2;
    assert_status(emk_limits_new(&config, &l, NULL), EMK_E_USAGE, NULL);
    config.n_rules = EMK_LIMIT_RULES_MAX + 1;
    assert_status(emk_limits_new(&config, &l, NULL), EMK_E_LIMIT, NULL);
}

static void problem_body_names_type_decision_and_limit(void **state)
{
    const emk_gate_problem p = {EMK_GATE_PROBLEM_QUOTA_EXCEEDED, "q-1", "abc", "user"};
    char out[EMK_GATE_PROBLEM_BODY_MAX];
    size_t len;
    emk_error e;

    (void)state;
    assert_ok(emk_gate_problem_write(&p, out, sizeof out, &len, &e), &e);
    assert_string_equal(
        out,
        "{\"type\":\"https://iana.org/assignments/http-problem-types#quota-exceeded\","
        "\"title\":\"Too many requests\",\"status\":429,\"request\":\"q-1\",\"decision\":\"abc\","
        "\"violated-policies\":[\"user\"]}");
    assert_int_equal(len, strlen(out));
    assert_status(emk_gate_problem_write(&p, out, 100, &len, &e), EMK_E_LIMIT, &e);
    for (int r = 0; r < EMK_GATE_REASONS; r++) {
        assert_non_null(emk_gate_reason_name((emk_gate_reason)r));
        assert_non_null(emk_gate_problem_uri(emk_gate_reason_type((emk_gate_reason)r)));
        assert_in_range(emk_gate_problem_status(emk_gate_reason_type((emk_gate_reason)r)),
                        r == 0 ? 200 : 400, 503);
    }
}

static void other_numbers_count_at_once_and_anew(void **state)
{
    const emk_limit_change narrow = {.quota = 1, .window_s = 3600},
                           wide = {.quota = 5, .window_s = 60};
    const emk_limit_change none = {.quota = 0, .window_s = 60}, shadow = {1, 3600, 1, true};
    emk_limit_rule rules[EMK_LIMIT_RULES_MAX];
    emk_error e;

    (void)state;
    assert_ok(emk_limits_change(limits, "user", &narrow, &e), &e);
    assert_false(take().limited);
    assert_true(take().limited);
    assert_ok(emk_limits_change(limits, "user", &shadow, &e), &e);
    assert_false(take().limited);
    assert_ok(emk_limits_change(limits, "user", &wide, &e), &e);
    assert_false(take().limited); /* not held up by what the narrow one counted */
    assert_status(emk_limits_change(limits, "user", &none, &e), EMK_E_USAGE, &e);
    assert_status(emk_limits_change(limits, "nobody", &wide, &e), EMK_E_NOT_FOUND, &e);
    assert_int_equal(emk_limits_rules(limits, rules), 7);
    assert_int_equal(rules[0].quota, 5);
    assert_int_equal(rules[0].burst, 5);
}

#define with_limits(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    return EMK_RUN(
        with_limits(counts_each_user_and_tells_the_tightest),
        with_limits(strict_limit_does_not_drain_the_others),
        with_limits(cost_counts_and_comes_back),
        with_limits(firewall_class_and_route_have_limits_of_their_own),
        with_limits(limit_in_shadow_is_told_and_never_refuses),
        with_limits(failures_shut_the_door_before_anything_is_checked),
        with_limits(places_at_work_are_given_back), with_limits(networks_of_one_site_do_not_add_up),
        with_limits(sheds_from_the_last_class_on), with_limits(sheds_a_share_of_a_class_evenly),
        emk_rule(retry_is_never_early_and_at_most_a_fifth_late),
        with_limits(other_numbers_count_at_once_and_anew),
        with_limits(refuses_rules_that_make_no_sense),
        emk_rule(problem_body_names_type_decision_and_limit));
}
