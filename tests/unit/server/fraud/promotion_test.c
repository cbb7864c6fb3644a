/* The conditions of a promotion: each refuses alone. */
#include "server/fraud/promotion.h"
#include "tests/support/test.h"

#include <stdio.h>

#define T0   UINT64_C(1767225600000)
#define WEEK UINT64_C(604800)

static emk_crypto *crypto;
static emk_fraud_ruleset *live, *draft;
static emk_fraud_shadow shadow;
static emk_fraud_readiness out;

static const emk_fraud_needs NEEDS = {.seconds = WEEK, .decisions = 1000, .differ = 50000};
static const emk_fraud_facts GOOD = {.user_days = 100000, .unchanged = true, .sound = true};

static emk_fraud_ruleset *set_of(unsigned version)
{
    emk_fraud_ruleset *rs = NULL;
    emk_yaml_diag d = {.line = 0};
    emk_error e;
    char text[512];

    snprintf(text, sizeof text,
             "ruleset: {name: t, version: %u, sample_salt: s}\n"
             "families: {a: {cap: 10}}\n"
             "features:\n"
             "  n: {kind: count, key: subj.user, window: 12h, on: [model.grant]}\n"
             "rules:\n"
             "- {id: A1, name: a, family: a, entity: subj.user, on: [model.grant], when: \"n >= "
             "3\", score: 6, half_life: 1h, reason: r}\n",
             version);
    assert_ok(emk_fraud_ruleset_new(crypto, "t.yaml", emk_span_str(text), &rs, &d, &e), &e);
    return rs;
}

static void note(emk_fraud_type type, const char *user, emk_fraud_action was, emk_fraud_action is)
{
    emk_fraud_decision d = {.has_draft = true, .live = was, .draft = is};
    emk_fraud_event ev;

    emk_fraud_event_init(&ev, type, T0);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_USER, emk_span_str(user));
    emk_fraud_shadow_note(&shadow, draft, &ev, &d);
}

static void grant(const char *user, emk_fraud_action was, emk_fraud_action is)
{
    note(EMK_FRAUD_GRANT, user, was, is);
}

/* n users, from the first on, whom the draft alone stops, with that label. */
static void stopped(unsigned first, unsigned n, emk_fraud_action is, emk_fraud_type label)
{
    for (unsigned i = first; i < first + n; i++) {
        char user[16];

        snprintf(user, sizeof user, "u-%u", i);
        grant(user, EMK_FRAUD_ALLOW, is);
        note(label, user, EMK_FRAUD_ALLOW, EMK_FRAUD_ALLOW);
    }
}

/* All is well: a week, enough decisions, no difference. */
static int begin(void **state)
{
    emk_fraud_event ev;
    emk_fraud_decision d = {.has_draft = true};

    (void)state;
    emk_fraud_shadow_begin(&shadow, live, draft, 0);
    for (unsigned i = 0; i < 1999; i++)
        grant("somebody", EMK_FRAUD_ALLOW, EMK_FRAUD_ALLOW);
    emk_fraud_event_init(&ev, EMK_FRAUD_GRANT, T0 + WEEK * 1000);
    emk_fraud_shadow_note(&shadow, draft, &ev, &d);
    return 0;
}

static void ready(const emk_fraud_facts *facts)
{
    emk_fraud_ready(&shadow, facts, &NEEDS, &out);
}

static void refused_by(const emk_fraud_facts *facts, emk_fraud_condition only)
{
    ready(facts);
    assert_false(out.ready);
    for (unsigned i = 0; i < EMK_FRAUD_CONDITIONS; i++)
        assert_int_equal(out.check[i].ok, i != only);
}

static void lets_one_through_that_meets_all(void **state)
{
    (void)state;
    ready(&GOOD);
    assert_true(out.ready);
    assert_int_equal(out.check[EMK_FRAUD_GATE_SECONDS].is, WEEK);
    assert_int_equal(out.check[EMK_FRAUD_GATE_DECISIONS].is, 2000);
    stopped(0, 60, EMK_FRAUD_DENY, EMK_FRAUD_LABEL_FRAUD);
    ready(&GOOD);
    assert_true(out.ready);
    assert_true(out.check[EMK_FRAUD_GATE_PRECISION].is >= 900000);
}

static void refuses_one_that_ran_too_short(void **state)
{
    (void)state;
    shadow.last_ms -= 1000;
    refused_by(&GOOD, EMK_FRAUD_GATE_SECONDS);
    assert_int_equal(out.check[EMK_FRAUD_GATE_SECONDS].is, WEEK - 1);
}

static void refuses_too_few_decisions(void **state)
{
    (void)state;
    shadow.decisions = 999;
    refused_by(&GOOD, EMK_FRAUD_GATE_DECISIONS);
}

static void refuses_one_that_decides_otherwise_too_often(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 105; i++)
        grant("somebody", EMK_FRAUD_DENY, EMK_FRAUD_ALLOW);
    ready(&GOOD);
    assert_true(out.ready); /* 105 of 2105 */
    for (unsigned i = 0; i < 2; i++)
        grant("somebody", EMK_FRAUD_DENY, EMK_FRAUD_ALLOW);
    refused_by(&GOOD, EMK_FRAUD_GATE_DIFFER);
}

static void refuses_one_that_stops_users_nobody_knows(void **state)
{
    (void)state;
    grant("u-1", EMK_FRAUD_ALLOW, EMK_FRAUD_CHALLENGE);
    refused_by(&GOOD, EMK_FRAUD_GATE_PRECISION);
    assert_int_equal(out.check[EMK_FRAUD_GATE_PRECISION].is, 0);
    assert_int_equal(out.check[EMK_FRAUD_GATE_PRECISION].needs, 600000);
}

static void asks_more_of_one_that_denies(void **state)
{
    (void)state;
    stopped(0, 20, EMK_FRAUD_CHALLENGE, EMK_FRAUD_LABEL_FRAUD);
    ready(&GOOD);
    assert_true(out.ready);
    grant("u-1", EMK_FRAUD_ALLOW, EMK_FRAUD_DENY);
    refused_by(&GOOD, EMK_FRAUD_GATE_PRECISION);
    assert_int_equal(out.check[EMK_FRAUD_GATE_PRECISION].needs, 900000);
}

static void refuses_false_positives_beyond_the_budget(void **state)
{
    emk_fraud_facts few = GOOD;

    (void)state;
    stopped(0, 60, EMK_FRAUD_DENY, EMK_FRAUD_LABEL_FRAUD);
    stopped(60, 1, EMK_FRAUD_DENY, EMK_FRAUD_LABEL_OK);
    ready(&GOOD);
    assert_true(out.ready); /* one of 100,000 user-days */
    few.user_days = 9999;
    refused_by(&few, EMK_FRAUD_GATE_BUDGET);
    /* The days are those since it began. */
    shadow.user_days = GOOD.user_days - 5000;
    refused_by(&GOOD, EMK_FRAUD_GATE_BUDGET);
    assert_int_equal(out.check[EMK_FRAUD_GATE_BUDGET].is, 200);
}

static void takes_the_last_label_and_forgets_the_erased(void **state)
{
    emk_fraud_facts few = GOOD;

    (void)state;
    few.user_days = 1000;
    stopped(0, 100, EMK_FRAUD_DENY, EMK_FRAUD_LABEL_FRAUD);
    stopped(100, 2, EMK_FRAUD_DENY, EMK_FRAUD_LABEL_OK);
    refused_by(&few, EMK_FRAUD_GATE_BUDGET);
    note(EMK_FRAUD_LABEL_UNSURE, "u-100", EMK_FRAUD_ALLOW, EMK_FRAUD_ALLOW);
    emk_fraud_shadow_forget(&shadow, draft, emk_span_str("u-101"));
    ready(&few);
    assert_true(out.ready);
}

static void counts_users_for_whom_there_is_no_room(void **state)
{
    (void)state;
    stopped(0, EMK_FRAUD_SHADOW_USERS, EMK_FRAUD_CHALLENGE, EMK_FRAUD_LABEL_FRAUD);
    assert_true(shadow.n_users < EMK_FRAUD_SHADOW_USERS);
    assert_true(shadow.unseen > 0);
}

static void refuses_demoted_rules_an_open_breaker_a_changed_and_a_broken_file(void **state)
{
    emk_fraud_facts f = GOOD;

    (void)state;
    f.demoted = 1;
    refused_by(&f, EMK_FRAUD_GATE_DEMOTED);
    f = GOOD;
    f.breaker = true;
    refused_by(&f, EMK_FRAUD_GATE_BREAKER);
    f = GOOD;
    f.unchanged = false;
    refused_by(&f, EMK_FRAUD_GATE_UNCHANGED);
    f = GOOD;
    f.sound = false;
    refused_by(&f, EMK_FRAUD_GATE_TESTS);
}

static void counts_for_one_pair_of_sets_only(void **state)
{
    (void)state;
    assert_true(emk_fraud_shadow_is_of(&shadow, live, draft));
    assert_false(emk_fraud_shadow_is_of(&shadow, draft, live));
    emk_fraud_shadow_begin(&shadow, draft, live, 7);
    assert_int_equal(shadow.decisions, 0);
    assert_int_equal(shadow.user_days, 7);
}

#define rule_(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
    emk_error e;
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    live = set_of(1);
    draft = set_of(2);
    failed = EMK_RUN(
        rule_(lets_one_through_that_meets_all), rule_(refuses_one_that_ran_too_short),
        rule_(refuses_too_few_decisions), rule_(refuses_one_that_decides_otherwise_too_often),
        rule_(refuses_one_that_stops_users_nobody_knows), rule_(asks_more_of_one_that_denies),
        rule_(refuses_false_positives_beyond_the_budget),
        rule_(takes_the_last_label_and_forgets_the_erased),
        rule_(counts_users_for_whom_there_is_no_room),
        rule_(refuses_demoted_rules_an_open_breaker_a_changed_and_a_broken_file),
        rule_(counts_for_one_pair_of_sets_only));
    emk_fraud_ruleset_free(live);
    emk_fraud_ruleset_free(draft);
    emk_crypto_free(crypto);
    return failed;
}
