/* The conditions of a promotion: each refuses alone. */
#include "server/fraud/promotion.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

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

/* ---- second persons ---- */

#define HEAD      "ruleset: {name: t, version: 1, sample_salt: s, blocking_paranoia: 1}\n"
#define FAMILIES_ "families: {a: {cap: 10}, h: {cap: 30}}\n"
#define FEATURES_                                                          \
    "features:\n"                                                          \
    "  n: {kind: count, key: subj.user, window: 12h, on: [model.grant]}\n" \
    "  m: {kind: count, key: subj.user, window: 12h, on: [model.lease]}\n"
#define LISTS_                                                                                  \
    "lists: {known: {of: subj.device, entries: [{value: d-1, until: 2027-01-01}, {value: d-2, " \
    "until: 2027-01-01}]}}\n"
#define SOFT                                                                                 \
    "- {id: S, name: s, family: a, entity: subj.user, on: [model.grant], when: \"n >= 9\", " \
    "score: "                                                                                \
    "6, half_life: 1h, reason: r}\n"
#define HARD                                                                                      \
    "- {id: H, name: h, family: h, entity: subj.user, on: [model.grant], when: \"n >= "           \
    "plan.devices and m < 3\", score: 14, half_life: 1h, hard: true, reason: r, except: [{list: " \
    "known, field: subj.device}]}\n"
#define SET HEAD FAMILIES_ FEATURES_ LISTS_ "plan: {devices: 5}\nallow: known\nrules:\n" SOFT HARD

static emk_fraud_ruleset *compiled(const char *text)
{
    emk_fraud_ruleset *rs = NULL;
    emk_yaml_diag d = {.line = 0};
    emk_error e;
    emk_status st = emk_fraud_ruleset_new(crypto, "t.yaml", emk_span_str(text), &rs, &d, &e);

    if (st != EMK_OK)
        print_error("%s\n%s\n", text, d.text);
    assert_ok(st, &e);
    return rs;
}

/* SET with `was` replaced by `is`. */
static bool denies_more(const char *was, const char *is)
{
    const char *at = strstr(SET, was);
    emk_fraud_ruleset *a = compiled(SET), *b;
    char text[4096], why[160] = "";
    bool more;

    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - SET), SET, is, at + strlen(was));
    b = compiled(text);
    more = emk_fraud_denies_more(a, b, why, sizeof why);
    assert_int_equal(more, why[0] != 0);
    emk_fraud_ruleset_free(a);
    emk_fraud_ruleset_free(b);
    return more;
}

static void what_denies_nobody_else_needs_no_second_person(void **state)
{
    (void)state;
    assert_false(denies_more("version: 1", "version: 2"));
    assert_false(denies_more("n >= 9", "n >= 2")); /* a challenge */
    assert_false(denies_more(SOFT, ""));
    assert_false(denies_more(HARD, ""));
    assert_false(denies_more("score: 14", "score: 13"));
    assert_false(denies_more("hard: true, ", "hard: true, mode: shadow, "));
    assert_false(denies_more("d-2, until: 2027-01-01}]",
                             "d-2, until: 2027-01-01}, {value: d-3, until: 2027-01-01}]"));
    assert_false(denies_more("h: {cap: 30}", "h: {cap: 20}"));
    assert_false(denies_more("allow:", "actions: {deny: {enter: 15, leave: 10}}\nallow:"));
    assert_false(denies_more("  n: {", "  k: {kind: age, key: subj.user}\n  n: {")); /* moved */
}

static void what_can_deny_more_needs_a_second_person(void **state)
{
    static const char *const changes[][2] = {
        {"rules:\n",
         "rules:\n- {id: N, name: n, family: h, entity: subj.user, on: [model.use], when: "
         "\"true\", score: 3, half_life: 1h, hard: true, reason: r}\n"},
        {"rules:\n",
         "rules:\n- {id: N, name: n, family: h, entity: subj.user, on: [model.use], when: "
         "\"true\", score: 14, half_life: 1h, reason: r}\n"},
        {"rules:\n",
         "rules:\n- {id: N, name: n, family: h, entity: subj.user, on: [model.use], when: "
         "\"true\", score: 2, half_life: 1h, accumulate: true, reason: r}\n"},
        {"score: 6,", "score: 6, hard: true,"},
        {"score: 14", "score: 15"},
        {"score: 14, half_life: 1h", "score: 14, half_life: 2h"},
        {"m < 3", "m < 4"},
        {"m < 3", "n < 3"},
        {"on: [model.grant], when: \"n >= plan", "on: [model.grant, model.use], when: \"n >= plan"},
        {"window: 12h, on: [model.lease]", "window: 6h, on: [model.lease]"},
        {"{devices: 5}", "{devices: 4}"},
        {"{value: d-1, until: 2027-01-01}, ", ""},
        {"d-2, until: 2027-01-01", "d-2, until: 2026-12-01"},
        {", except: [{list: known, field: subj.device}]", ""},
        {"allow: known\n", ""},
        {"h: {cap: 30}", "h: {cap: 31}"},
        {"plan:", "links: {net: 1}\nplan:"},
        {"plan:", "actions: {deny: {enter: 13}}\nplan:"},
        {"plan:", "actions: {deny: {leave: 8}}\nplan:"},
        {"plan:", "actions: {deny: {ttl: 48h}}\nplan:"},
        {"plan:", "actions: {ban: {escalate: {factor: 5}}}\nplan:"},
        {"blocking_paranoia: 1", "blocking_paranoia: 1, detection_paranoia: 2, rollout: 100"},
    };

    (void)state;
    for (size_t i = 0; i + 1 < sizeof changes / sizeof changes[0]; i++) {
        if (!denies_more(changes[i][0], changes[i][1]))
            fail_msg("%s -> %s", changes[i][0], changes[i][1]);
    }
    assert_false(denies_more(changes[21][0], changes[21][1]));
}

static void a_rule_that_becomes_live_is_a_new_one(void **state)
{
    emk_fraud_ruleset *b = compiled(SET), *a;
    const char *at = strstr(SET, "hard: true");
    char text[4096], why[160];

    (void)state;
    snprintf(text, sizeof text, "%.*smode: shadow, %s", (int)(at - SET), SET, at);
    a = compiled(text);
    assert_true(emk_fraud_denies_more(a, b, why, sizeof why));
    assert_string_equal(why, "rule H can deny and was changed");
    emk_fraud_ruleset_free(a);
    snprintf(text, sizeof text, "%.*smode: \"live@10%%\", %s", (int)(at - SET), SET, at);
    a = compiled(text);
    assert_true(emk_fraud_denies_more(a, b, why, sizeof why));
    assert_false(emk_fraud_denies_more(b, a, why, sizeof why));
    emk_fraud_ruleset_free(a);
    emk_fraud_ruleset_free(b);
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
        rule_(counts_for_one_pair_of_sets_only),
        emk_rule(what_denies_nobody_else_needs_no_second_person),
        emk_rule(what_can_deny_more_needs_a_second_person),
        emk_rule(a_rule_that_becomes_live_is_a_new_one));
    emk_fraud_ruleset_free(live);
    emk_fraud_ruleset_free(draft);
    emk_crypto_free(crypto);
    return failed;
}
