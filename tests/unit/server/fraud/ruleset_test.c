#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "server/fraud/ruleset.h"
#include "tests/support/test.h"

#define HEAD "ruleset: {name: t, version: 1}\nfamilies: {f: {cap: 10}}\n"
#define FEATURES                                                                            \
    "features:\n"                                                                           \
    "  n: {kind: count, key: subj.user, window: 1h, on: [model.grant]}\n"                   \
    "  opens: {kind: count, key: subj.user, window: 1h, on: [model.open]}\n"                \
    "  sure: {kind: count, key: subj.user, window: 1h, from: attested, on: [model.open]}\n" \
    "  cv: {kind: gap_cv, key: subj.user, on: [model.grant]}\n"
#define RULE(score, when, rest)                                                                 \
    "rules:\n- {id: R, name: r, family: f, entity: subj.user, on: [model.grant], when: \"" when \
    "\", score: " score ", half_life: 1h, reason: r" rest "}\n"

static emk_crypto *crypto;
static emk_yaml_diag diag;

static emk_status compile(const char *text, emk_fraud_ruleset **out, emk_error *e)
{
    memset(&diag, 0, sizeof diag);
    return emk_fraud_ruleset_new(crypto, "r.yaml", emk_span_str(text), out, &diag, e);
}

static void assert_refused(const char *text, const char *complaint)
{
    emk_fraud_ruleset *rs = NULL;
    emk_error e;

    assert_status(compile(text, &rs, &e), EMK_E_FORMAT, &e);
    if (!strstr(diag.text, complaint))
        fail_msg("\"%s\" does not say \"%s\"", diag.text, complaint);
    assert_memory_equal(diag.text, "r.yaml:", 7);
}

static void assert_compiles(const char *text)
{
    emk_fraud_ruleset *rs = NULL;
    emk_error e;

    if (compile(text, &rs, &e) != EMK_OK)
        fail_msg("%s", diag.text);
    emk_fraud_ruleset_free(rs);
}

static void compiles_comparisons_arithmetic_and_logic(void **state)
{
    (void)state;
    assert_compiles(HEAD FEATURES RULE("1", "n >= 3", ""));
    assert_compiles(HEAD FEATURES RULE("1", "n * 2 + 1 > plan.devices / 3 - 1", ""));
    assert_compiles(HEAD FEATURES RULE("1", "(n > 1 or att.virtual) and not (n == 7)", ""));
    assert_compiles(HEAD FEATURES RULE("1", "cv.n >= 3 and cv.cv < 0.1", ""));
    assert_compiles(HEAD FEATURES RULE("1", "subj.cc == 'PT'", ""));
    assert_compiles(HEAD FEATURES RULE("1", "not seen(subj.net, 30d)", ""));
    assert_compiles(HEAD RULE("1", "true", ""));
}

static void refuses_a_claim_that_lowers_a_score(void **state)
{
    (void)state;
    assert_refused(HEAD FEATURES RULE("-1", "x.rtt_ms > 3", ""), "a claim could lower");
    assert_refused(HEAD FEATURES RULE("-1", "n > 3 and opens > 3", ""), "a claim could lower");
    assert_refused(HEAD FEATURES RULE("-1", "app.ver > 3", ""), "a claim could lower");
    assert_compiles(HEAD FEATURES RULE("-1", "att.level >= 2", ""));
    assert_compiles(HEAD FEATURES RULE("-1", "sure > 3", ""));
}

static void refuses_a_claim_that_keeps_a_rule_from_firing(void **state)
{
    (void)state;
    assert_refused(HEAD FEATURES RULE("1", "n > 3 and opens < 2", ""), "keep this rule");
    assert_refused(HEAD FEATURES RULE("1", "n - opens > 2", ""), "keep this rule");
    assert_refused(HEAD FEATURES RULE("1", "n > opens", ""), "keep this rule");
    assert_refused(HEAD FEATURES RULE("1", "n > -1 * (0 - opens)", ""), "keep this rule");
    assert_refused(HEAD FEATURES RULE("1", "not (opens > 2)", ""), "keep this rule");
    assert_refused(HEAD FEATURES RULE("1", "opens == 0", ""), "keep this rule");
    assert_refused(HEAD FEATURES RULE("1", "n / opens > 2", ""), "keep this rule");
    assert_refused(HEAD FEATURES RULE("1", "n > 3 and not x.gap > 0", ""), "under \"not\"");
    assert_compiles(HEAD FEATURES RULE("1", "n > 3 and sure < 2", ""));
    assert_compiles(HEAD FEATURES RULE("1", "opens > 3 and x.weight > 1", ""));
}

static void refuses_a_claimed_field_in_an_exception(void **state)
{
    (void)state;
    assert_refused(HEAD FEATURES "lists: {l: {of: app.build, entries: []}}\n" RULE(
                       "1", "n > 1", ", except: [{list: l, field: app.build}]"),
                   "could claim the exception");
    assert_compiles(HEAD FEATURES "lists: {l: {of: subj.device, entries: []}}\n" RULE(
        "1", "n > 1", ", except: [{list: l, field: subj.device}]"));
}

static void refuses_an_exception_by_a_list_that_is_not_declared(void **state)
{
    (void)state;
    assert_refused(HEAD FEATURES RULE("1", "n > 1", ", except: [{list: l, field: subj.device}]"),
                   "declare it: lists: {l: {of: subj.device, entries: []}}");
    assert_refused(HEAD FEATURES "lists: {l: {of: subj.user, entries: []}}\n" RULE(
                       "1", "n > 1", ", except: [{list: l, field: subj.device}]"),
                   "whose \"of\" is subj.device");
}

static void refuses_effects_that_nothing_could_do(void **state)
{
    (void)state;
    assert_refused(HEAD FEATURES RULE("1", "n > 1", ", effect: [revoke_key]"), "hard: true");
    assert_refused(HEAD FEATURES RULE("1", "n > 1", ", effect: [ban_forever]"), "not known here");
    assert_refused(HEAD FEATURES "rules:\n- {id: N-1, name: n, family: f, entity: subj.net, on: "
                                 "[model.grant], when: \"n > 1\", score: 1, half_life: 1h, "
                                 "reason: r, effect: [reattest]}\n",
                   "there are open_case, page and alert_owner");
    assert_compiles(HEAD FEATURES RULE("1", "n > 1", ", hard: true, effect: [revoke_key]"));
    assert_compiles(HEAD FEATURES RULE("1", "opens > 1", ", effect: [reattest, hold_generate]"));
}

static void refuses_a_debt_that_claims_can_pay(void **state)
{
    (void)state;
    assert_refused(HEAD "features:\n  d: {kind: decay, key: subj.user, half_life: 1h, "
                        "add: {model.grant: 1, model.open: -1}}\n" RULE("1", "d > 1", ""),
                   "from: attested");
    assert_compiles(HEAD
                    "features:\n  d: {kind: decay, key: subj.user, half_life: 1h, from: "
                    "attested, add: {model.grant: 1, model.open: -1}}\n" RULE("1", "d > 1", ""));
}

#define OF_KIND(text) HEAD "features:\n  x: {" text "}\n" RULE("1", "x >= 1", "")

static void behaviour_over_time_has_its_own_limits(void **state)
{
    (void)state;
    assert_compiles(OF_KIND("kind: hours, key: subj.user, window: 14d, on: [model.grant]"));
    assert_refused(OF_KIND("kind: hours, key: subj.user, on: [model.grant]"), "needs \"window\"");
    assert_refused(OF_KIND("kind: hours, key: subj.user, window: 36h, on: [model.grant]"),
                   "whole days");
    assert_refused(OF_KIND("kind: hours, key: subj.user, window: 15d, on: [model.grant]"),
                   "whole days");
    assert_compiles(OF_KIND("kind: known, key: subj.user, of: subj.net, on: [model.grant]"));
    assert_refused(OF_KIND("kind: known, key: subj.user"), "needs \"of\"");
    assert_compiles(OF_KIND("kind: since, key: subj.user, on: [pay.trial]"));
    assert_refused(OF_KIND("kind: since, key: subj.user"), "needs \"on\"");
    assert_compiles(OF_KIND("kind: drift, key: subj.user, ttl: 1h, step: 30s, on: [sdk.clock]"));
    assert_refused(OF_KIND("kind: drift, key: subj.user, ttl: 1h, on: [sdk.clock]"),
                   "needs \"step\"");
    assert_refused(OF_KIND("kind: drift, key: subj.user, step: 30s, on: [sdk.clock]"),
                   "needs \"ttl\"");
    assert_refused(OF_KIND("kind: drift, key: subj.user, ttl: 1h, step: 10ms, on: [sdk.clock]"),
                   "at least 1s");
}

/* A clock's drift is a claim: it may only raise.  Rest and "since" go both ways. */
static void behaviour_over_time_is_no_better_than_who_told_it(void **state)
{
    (void)state;
    assert_refused(HEAD "features: {x: {kind: drift, key: subj.user, ttl: 1h, step: 30s, on: "
                        "[sdk.clock]}}\n" RULE("1", "x < 3", ""),
                   "keep this rule");
    assert_refused(HEAD "features: {x: {kind: hours, key: subj.user, window: 4d, on: "
                        "[model.use]}}\n" RULE("1", "x.n >= 3", ""),
                   "keep this rule");
    assert_refused(HEAD "features: {x: {kind: since, key: subj.user, on: [model.open]}}\n" RULE(
                       "1", "x < 3", ""),
                   "keep this rule");
    assert_compiles(HEAD
                    "features: {x: {kind: hours, key: subj.user, window: 4d, on: "
                    "[model.grant]}}\n" RULE("1", "x.rest <= 3 and x.n > 2 and x.days > 1", ""));
}

static void refuses_what_is_unknown_and_names_what_is_near(void **state)
{
    (void)state;
    assert_refused(HEAD FEATURES RULE("1", "opns > 1", ""), "did you mean \"opens\"?");
    assert_refused(HEAD FEATURES RULE("1", "cv.x > 1", ""), "no such part");
    assert_refused(HEAD FEATURES RULE("1", "n > 1", ", wen: x"), "did you mean \"when\"?");
    assert_refused(HEAD "features: {n: {kind: cont, key: subj.user}}\n" RULE("1", "n > 1", ""),
                   "did you mean \"count\"?");
    assert_refused(HEAD "features: {n: {kind: count, key: subj.user}}\n" RULE("1", "n > 1", ""),
                   "needs \"window\"");
    assert_refused(HEAD "features: {n: {kind: count, key: obj.cost, window: 1h, on: []}}\n" RULE(
                       "1", "n > 1", ""),
                   "nothing is remembered of obj.cost");
}

static void refuses_expressions_that_make_no_sense(void **state)
{
    (void)state;
    assert_refused(HEAD FEATURES RULE("1", "n >", ""), "a value was expected");
    assert_refused(HEAD FEATURES RULE("1", "n", ""), "wrong kind of value");
    assert_refused(HEAD FEATURES RULE("1", "n > 'a'", ""), "cannot be compared");
    assert_refused(HEAD FEATURES RULE("1", "subj.cc < 'a'", ""), "cannot be compared");
    assert_refused(HEAD FEATURES RULE("1", "(n > 1", ""), "not closed");
    assert_refused(HEAD FEATURES RULE("1", "n > 1 n", ""), "makes no sense");
    assert_refused(HEAD FEATURES RULE("1", "n > 1.2345", ""), "not a number");
    assert_refused(HEAD FEATURES RULE("1", "((((((((((((((((((n > 1))))))))))))))))))", ""),
                   "too deep");
}

static void refuses_more_than_64_operations(void **state)
{
    char text[2048] =
        HEAD FEATURES "rules:\n- {id: R, name: r, family: f, entity: subj.user, on: "
                      "[model.grant], score: 1, half_life: 1h, reason: r, when: \"n > 1";

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        strcat(text, " or n > 1");
    strcat(text, "\"}\n");
    assert_refused(text, "64 operations");
}

/* What a hostile file could be made of, one after the other; each limit is met before the work. */
static void append(emk_buf *b, const char *text)
{
    emk_error e;

    assert_ok(emk_buf_append(b, emk_span_str(text), &e), &e);
}

static void assert_too_much(const char *head, const char *each, unsigned n, const char *tail)
{
    emk_fraud_ruleset *rs = NULL;
    char line[512];
    emk_error e = {0};
    emk_buf b;

    emk_buf_init(&b, 8u << 20);
    append(&b, head);
    for (unsigned i = 0; i < n; i++) {
        const char *number = strchr(each, '%');

        if (number)
            snprintf(line, sizeof line, "%.*s%u%s", (int)(number - each), each, i, number + 1);
        append(&b, number ? line : each);
    }
    append(&b, tail);
    memset(&diag, 0, sizeof diag);
    assert_int_not_equal(emk_fraud_ruleset_new(crypto, "r.yaml", emk_buf_span(&b), &rs, &diag, &e),
                         EMK_OK);
    assert_true(diag.text[0] != 0);
    emk_buf_done(&b);
}

static void refuses_enormous_and_deep_sets(void **state)
{
    (void)state;
    assert_too_much(HEAD "features:\n",
                    "  n%: {kind: count, key: subj.user, window: 1h, on: [model.grant]}\n",
                    EMK_FRAUD_FEATURES_MAX + 1, "rules: []\n");
    assert_too_much(HEAD "rules:\n",
                    "- {id: R%, name: r, family: f, entity: subj.user, on: [model.grant], when: "
                    "\"true\", score: 1, half_life: 1h, reason: r}\n",
                    EMK_FRAUD_RULES_MAX + 1, "");
    assert_too_much(HEAD "lists:\n  l: {of: subj.device, entries: [", "{value: d%},",
                    EMK_FRAUD_LIST_MAX + 1, "{value: x}]}\nrules: []\n");
    assert_too_much(HEAD "features:\n",
                    "  d%: {kind: distinct, of: subj.user, key: subj.device, window: 1h, size: 64, "
                    "approx: true, on: [model.grant]}\n",
                    EMK_FRAUD_FEATURES_MAX, "rules: []\n"); /* 8 KiB an entity */
    assert_too_much(HEAD "rules: ", "[", 100000, "\n");
    assert_too_much(HEAD "rules: ", "{a: ", 100000, "\n");
    assert_too_much(HEAD, "# nothing but a remark\n", 60000, "");
    assert_too_much(HEAD "a: &a [1]\nb: ", "[*a, *a, ", 10, "\n");
    assert_too_much(HEAD FEATURES "rules:\n- {id: R, name: r, family: f, entity: subj.user, on: "
                                  "[model.grant], score: 1, half_life: 1h, reason: r, when: \"",
                    "not ", 4000, "true\"}\n");
    assert_too_much(HEAD FEATURES "rules:\n- {id: R, name: r, family: f, entity: subj.user, on: "
                                  "[model.grant], score: 1, half_life: 1h, reason: r, when: \"",
                    "(", 100, "true\"}\n");
}

static void refuses_a_set_whose_own_test_fails(void **state)
{
    (void)state;
    assert_refused(HEAD FEATURES RULE("1", "n > 1", ", tests: [{fire: {n: 1}}]"),
                   "test of R failed");
    assert_refused(HEAD FEATURES RULE("1", "n > 1", ", tests: [{no: {n: 2}}]"), "test of R failed");
    assert_compiles(HEAD FEATURES RULE("1", "n > 1", ", tests: [{fire: {n: 2}}, {no: {}}]"));
}

static void refuses_the_same_id_twice(void **state)
{
    (void)state;
    assert_refused(
        HEAD FEATURES RULE(
            "1", "n > 1",
            "") "- {id: R, name: r, family: f, entity: subj.user, on: [model.grant], when: "
                "\"n > 1\", score: 1, half_life: 1h, reason: r}\n",
        "give it another");
}

static void refuses_needs_that_are_weaker_than_the_law(void **state)
{
    (void)state;
    assert_refused(HEAD "actions: {deny: {enter: 14, leave: 9, needs: nothing}}\n" FEATURES RULE(
                       "1", "n > 1", ""),
                   "hard_or_2_families");
    assert_refused(HEAD "actions: {deny: {enter: 1, leave: 1}}\n" FEATURES RULE("1", "n > 1", ""),
                   "begins below");
}

static void the_shipped_set_compiles_and_passes_its_tests(void **state)
{
    emk_fraud_ruleset *rs = NULL;
    emk_buf text;
    emk_error e;

    (void)state;
    emk_buf_init(&text, 1 << 20);
    assert_ok(emk_os_read_file(EMK_SOURCE_DIR "/rules/base.yaml", 1 << 20, &text, &e), &e);
    memset(&diag, 0, sizeof diag);
    if (emk_fraud_ruleset_new(crypto, "base.yaml", emk_buf_span(&text), &rs, &diag, &e) != EMK_OK)
        fail_msg("%s", diag.text);
    assert_true(emk_fraud_ruleset_tests(rs) > 2 * emk_fraud_ruleset_rules(rs));
    emk_fraud_ruleset_free(rs);
    emk_buf_done(&text);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
#ifdef EMK_FAULTS
    emk_status st = EMK_E_NO_MEMORY;

    for (uint64_t n = 1; st != EMK_OK; n++) {
        emk_fraud_ruleset *rs = NULL;
        emk_error e;

        emk_fault_fail_at(EMK_FAULT_ALLOC, n);
        st = compile(HEAD FEATURES RULE("1", "n > 1", ""), &rs, &e);
        emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
        assert_true(st == EMK_OK || st == EMK_E_NO_MEMORY);
        assert_true(n < 1000);
        emk_fraud_ruleset_free(rs);
    }
#endif
}

int main(void)
{
    int r;

    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    r = EMK_RUN(emk_rule(compiles_comparisons_arithmetic_and_logic),
                emk_rule(refuses_a_claim_that_lowers_a_score),
                emk_rule(refuses_a_claim_that_keeps_a_rule_from_firing),
                emk_rule(refuses_a_claimed_field_in_an_exception),
                emk_rule(refuses_an_exception_by_a_list_that_is_not_declared),
                emk_rule(refuses_effects_that_nothing_could_do),
                emk_rule(refuses_a_debt_that_claims_can_pay),
                emk_rule(behaviour_over_time_has_its_own_limits),
                emk_rule(behaviour_over_time_is_no_better_than_who_told_it),
                emk_rule(refuses_what_is_unknown_and_names_what_is_near),
                emk_rule(refuses_expressions_that_make_no_sense),
                emk_rule(refuses_more_than_64_operations), emk_rule(refuses_enormous_and_deep_sets),
                emk_rule(refuses_a_set_whose_own_test_fails), emk_rule(refuses_the_same_id_twice),
                emk_rule(refuses_needs_that_are_weaker_than_the_law),
                emk_rule(the_shipped_set_compiles_and_passes_its_tests),
                emk_rule(survives_every_failed_allocation));
    emk_crypto_free(crypto);
    return r;
}
