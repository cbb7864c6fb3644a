#include "server/fraud/campaign.h"
#include "tests/support/test.h"

#include <stdio.h>

#define T0     UINT64_C(1767225600000)
#define BUCKET UINT64_C(600000)

static emk_buf events;

static int begin(void **state)
{
    (void)state;
    emk_buf_init(&events, 1u << 22);
    return 0;
}

static int end(void **state)
{
    (void)state;
    emk_buf_done(&events);
    return 0;
}

/* tenant: `"tenant":"…",` or "". */
static void grant_to(const char *tenant, unsigned user, unsigned artifact, uint64_t ts)
{
    char line[256];
    emk_error e;
    int n = snprintf(line, sizeof line,
                     "{\"v\":1,\"src\":\"server\",\"type\":\"model.grant\",\"ts\":%llu,%s\"subj\":{"
                     "\"user\":\"u-%03u\"},\"obj\":{\"artifact\":\"a-%u\"}}\n",
                     (unsigned long long)ts, tenant, user, artifact);

    assert_ok(emk_buf_append(&events, emk_span_of(line, (size_t)n), &e), &e);
}

static void grant(unsigned user, unsigned artifact, uint64_t ts)
{
    grant_to("", user, artifact, ts);
}

/* Users first .. first + n - 1 take the artifacts 0 .. times - 1 together. */
static void lockstep(unsigned first, unsigned n, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        for (unsigned k = 0; k < n; k++)
            grant(first + k, 100 * first + i, T0 + i * 7 * BUCKET + k * 1000);
    }
}

static emk_fraud_campaigns find(void)
{
    emk_fraud_campaign_options o = {.times = 0};
    emk_fraud_campaigns c;
    emk_error e;

    assert_ok(emk_fraud_campaign(emk_buf_span(&events), &o, &c, &e), &e);
    return c;
}

static void finds_users_that_act_in_lockstep_largest_group_first(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    lockstep(1, 5, 3);
    lockstep(20, 8, 4);
    c = find();
    assert_int_equal(c.groups, 2);
    assert_int_equal(c.n, 13);
    assert_int_equal(c.pairs, 10 + 28);
    assert_string_equal(c.member[0].user, "u-020");
    assert_int_equal(c.member[0].links, 7);
    assert_int_equal(c.member[8].group, 1);
    assert_string_equal(c.member[8].user, "u-001");
    emk_fraud_campaigns_done(&c);
}

static void leaves_small_groups_and_rare_meetings_alone(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    lockstep(1, 4, 5);
    lockstep(20, 9, 2);
    c = find();
    assert_int_equal(c.groups, 0);
    emk_fraud_campaigns_done(&c);
}

static void counts_artifacts_and_not_repetitions(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned k = 0; k < 6; k++)
            grant(k, 1, T0 + i * BUCKET + k);
    }
    c = find();
    assert_int_equal(c.groups, 0);
    emk_fraud_campaigns_done(&c);
}

static void takes_no_meaning_from_a_crowd(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    lockstep(0, 150, 4);
    c = find();
    assert_int_equal(c.groups, 0);
    emk_fraud_campaigns_done(&c);
}

static void passes_over_what_is_no_event_and_does_not_mind_the_order(void **state)
{
    emk_fraud_campaigns c;
    emk_error e;

    (void)state;
    assert_ok(emk_buf_append(&events, emk_span_str("nonsense\n\n"), &e), &e);
    for (unsigned i = 4; i-- > 0;) {
        for (unsigned k = 0; k < 6; k++)
            grant(k, i, T0 + i * BUCKET);
    }
    assert_ok(emk_buf_append(&events, emk_span_str("{\"v\":1"), &e), &e);
    c = find();
    assert_int_equal(c.groups, 1);
    assert_int_equal(c.n, 6);
    emk_fraud_campaigns_done(&c);
}

/* One name at two tenants are two people: neither meets the others often enough. */
static void does_not_take_one_tenants_user_for_anothers(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    lockstep(0, 5, 4);
    for (unsigned i = 0; i < 4; i++)
        grant_to(i % 2 ? "\"tenant\":\"acme\"," : "\"tenant\":\"other\",", 9, i,
                 T0 + i * 7 * BUCKET);
    c = find();
    assert_int_equal(c.n, 5);
    for (size_t i = 0; i < c.n; i++)
        assert_string_not_equal(c.member[i].user, "u-009");
    emk_fraud_campaigns_done(&c);
}

static void finds_nothing_in_nothing(void **state)
{
    emk_fraud_campaigns c;

    (void)state;
    c = find();
    assert_int_equal(c.n, 0);
    emk_fraud_campaigns_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(finds_users_that_act_in_lockstep_largest_group_first, begin,
                                        end),
        cmocka_unit_test_setup_teardown(leaves_small_groups_and_rare_meetings_alone, begin, end),
        cmocka_unit_test_setup_teardown(counts_artifacts_and_not_repetitions, begin, end),
        cmocka_unit_test_setup_teardown(takes_no_meaning_from_a_crowd, begin, end),
        cmocka_unit_test_setup_teardown(passes_over_what_is_no_event_and_does_not_mind_the_order,
                                        begin, end),
        cmocka_unit_test_setup_teardown(does_not_take_one_tenants_user_for_anothers, begin, end),
        cmocka_unit_test_setup_teardown(finds_nothing_in_nothing, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
