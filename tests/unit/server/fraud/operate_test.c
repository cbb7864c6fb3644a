/* What an engine does to its own rules, and what rules do over time: budgets, the circuit breaker,
 * drafts, paranoia, hysteresis, the explore arm, labels, the promotion gate. */
#include "server/fraud/engine.h"
#include "server/fraud/explore.h"
#include "server/fraud/replay.h"
#include "server/fraud/score.h"
#include "tests/support/test.h"

#include <stdio.h>

#define T0   UINT64_C(1767225600000)
#define HOUR UINT64_C(3600000)
#define DAY  (24 * HOUR)

/* Each rule fires on a type of its own, so that a test says what happens. */
#define FAMILIES "families: {a: {cap: 10}, b: {cap: 10}, p: {cap: 30}}\n"
#define RULE(id, family, on, score, more)                                     \
    "- {id: " id ", name: n, family: " family ", entity: subj.user, on: [" on \
    "], when: \"true\", "                                                     \
    "score: " score ", half_life: 1h, reason: r" more "}\n"
#define RULES_OF(head, more)                                                           \
    "ruleset: {name: t, version: 1, sample_salt: s" head "}\n" FAMILIES more           \
    "rules:\n" RULE("A6", "a", "model.open", "6", ", budget: {fp_user_days: 5e-5}")    \
        RULE("A9", "a", "model.use", "9", "") RULE("B9", "b", "model.delete", "9", "") \
            RULE("H", "p", "canary.touch", "25", ", hard: true")                       \
                RULE("R", "p", "replay", "14", ", hard: true")

static emk_crypto *crypto;
static emk_fraud_ruleset *rules, *draft_rules;
static emk_fraud_engine *engine, *draft;

static emk_fraud_ruleset *compile(const char *text)
{
    emk_fraud_ruleset *rs = NULL;
    emk_yaml_diag d = {.line = 0};
    emk_error e;
    emk_status st = emk_fraud_ruleset_new(crypto, "t.yaml", emk_span_str(text), &rs, &d, &e);

    if (st != EMK_OK)
        print_error("%s\n", d.text);
    assert_ok(st, &e);
    return rs;
}

static emk_fraud_engine *seat(const emk_fraud_ruleset *rs)
{
    emk_fraud_engine *en = NULL;
    emk_fraud_options o;
    emk_error e;

    emk_fraud_options_init(&o);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        o.max[i] = 4096;
    assert_ok(emk_fraud_engine_new(crypto, rs, &o, &en, &e), &e);
    return en;
}

static void leave(void)
{
    emk_fraud_engine_free(engine);
    emk_fraud_engine_free(draft);
    emk_fraud_ruleset_free(rules);
    emk_fraud_ruleset_free(draft_rules);
    engine = draft = NULL;
    rules = draft_rules = NULL;
}

static void use(const char *text)
{
    leave();
    rules = compile(text);
    engine = seat(rules);
}

static int begin(void **state)
{
    (void)state;
    use(RULES_OF("", ""));
    return 0;
}

static int end(void **state)
{
    (void)state;
    leave();
    return 0;
}

static emk_fraud_decision act_cost(emk_fraud_type type, uint64_t ts, const char *user, int64_t cost)
{
    emk_fraud_decision d;
    emk_fraud_event ev;
    emk_error e;

    emk_fraud_event_init(&ev, type, ts);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_USER, emk_span_str(user));
    if (cost)
        emk_fraud_event_number(&ev, EMK_FRAUD_F_COST, cost * EMK_FRAUD_MILLI);
    assert_ok(emk_fraud_decide(engine, &ev, &d, &e), &e);
    return d;
}

static emk_fraud_decision act(emk_fraud_type type, uint64_t ts, const char *user)
{
    return act_cost(type, ts, user, 0);
}

static const char *name(unsigned i)
{
    static char text[16];

    snprintf(text, sizeof text, "u-%u", i);
    return text;
}

/* Both families against one user: a soft denial. */
static emk_fraud_decision deny(uint64_t ts, const char *user)
{
    act(EMK_FRAUD_USE, ts, user);
    return act(EMK_FRAUD_DELETE, ts, user);
}

/* ---- budget ---- */

static void a_rule_that_burns_its_budget_demotes_itself_and_says_so(void **state)
{
    unsigned told = 0, i;
    emk_fraud_decision d;
    emk_fraud_rule_stats st;

    (void)state;
    for (i = 0; i < 40 && !told; i++) {
        d = act(EMK_FRAUD_OPEN, T0 + i * 1000, name(i));
        told += (d.news & EMK_FRAUD_NEWS_DEMOTED) != 0;
        act(EMK_FRAUD_CHALLENGE_PASS, T0 + i * 1000, name(i));
    }
    assert_int_equal(told, 1);
    assert_int_equal(d.news_rule, 0);
    /* Five false positives of a handful of user-days are more than 5e-5; four say nothing yet. */
    assert_int_equal(i, 6);
    emk_fraud_engine_rule(engine, 0, &st);
    assert_true(st.demoted);
    d = act(EMK_FRAUD_OPEN, T0 + HOUR, "new");
    assert_int_equal(d.action, EMK_FRAUD_ALLOW);
    assert_int_equal(d.shadow, EMK_FRAUD_CHALLENGE);
    assert_int_equal(d.news, 0);
    d = act(EMK_FRAUD_USE, T0 + HOUR, "new"); /* others are as they were */
    assert_int_equal(d.action, EMK_FRAUD_THROTTLE);
}

/* Of a hundred challenges sixty may be passed; one more, and the rule was wrong too often. */
static void a_rule_whose_challenges_are_mostly_passed_demotes_itself(void **state)
{
    emk_fraud_decision d;

    (void)state;
    use("ruleset: {name: t, version: 1}\n" FAMILIES
        "rules:\n" RULE("C6", "a", "model.open", "6", ""));
    for (unsigned i = 0; i < 50; i++) {
        d = act(EMK_FRAUD_OPEN, T0 + i * 1000, name(i));
        assert_int_equal(d.action, EMK_FRAUD_CHALLENGE);
        assert_int_equal(d.news, 0);
        if (i < 30)
            act(EMK_FRAUD_CHALLENGE_PASS, T0 + i * 1000, name(i));
    }
    act(EMK_FRAUD_CHALLENGE_PASS, T0 + 50000, name(40));
    d = act(EMK_FRAUD_OPEN, T0 + 51000, "next");
    assert_int_equal(d.news, EMK_FRAUD_NEWS_DEMOTED);
    assert_int_equal(act(EMK_FRAUD_OPEN, T0 + 52000, "after").action, EMK_FRAUD_ALLOW);
}

static void a_budget_begins_anew_after_28_days(void **state)
{
    const uint64_t period = 28 * DAY, edge = (T0 / period + 1) * period;
    emk_fraud_rule_stats st;

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t t = i < 4 ? edge - HOUR + i * 1000 : edge + HOUR + i * 1000;

        act(EMK_FRAUD_OPEN, t, name(i));
        act(EMK_FRAUD_CHALLENGE_PASS, t, name(i));
    }
    assert_int_equal(act(EMK_FRAUD_OPEN, edge + 2 * HOUR, "next").action, EMK_FRAUD_CHALLENGE);
    emk_fraud_engine_rule(engine, 0, &st);
    assert_false(st.demoted);
    assert_int_equal(st.passed, 4);
}

/* ---- what is still served ---- */

static uint32_t pace_with(const char *more, int64_t an_hour)
{
    char text[2048];
    emk_fraud_event ev;

    snprintf(text, sizeof text,
             "ruleset: {name: t, version: 1}\n" FAMILIES
             "%srules:\n" RULE("C6", "a", "model.open", "6", ""),
             more);
    use(text);
    emk_fraud_event_init(&ev, EMK_FRAUD_GRANT, T0);
    if (an_hour)
        emk_fraud_event_number(&ev, EMK_FRAUD_F_PLAN_ARTIFACTS_HOUR, an_hour * EMK_FRAUD_MILLI);
    return emk_fraud_pace_s(rules, &ev);
}

static void a_throttle_leaves_its_share_of_the_plan(void **state)
{
    (void)state;
    assert_int_equal(pace_with("", 0), 480); /* a quarter of 30 an hour */
    assert_int_equal(pace_with("plan: {artifacts_hour: 60}\n", 0), 240);
    assert_int_equal(pace_with("plan: {artifacts_hour: 60}\n", 6), 2400); /* the event's own */
    assert_int_equal(pace_with("actions: {throttle: {factor: 0.5}}\n", 0), 240);
    assert_int_equal(pace_with("actions: {throttle: {factor: 7}}\n", 0),
                     120); /* never more than it */
    assert_int_equal(pace_with("actions: {throttle: {factor: 0}}\n", 0), 0);
    assert_int_equal(pace_with("plan: {artifacts_hour: 0}\n", 0), 0);
    assert_int_equal(pace_with("actions: {throttle: {factor: 0.001}}\n", 1), 2592000);
    assert_int_equal(pace_with("actions: {throttle: {factor: 1}}\n", 1000000), 1);
}

/* ---- circuit breaker ---- */

static void fill_a_day(void)
{
    for (unsigned h = 0; h < 26; h++)
        for (unsigned i = 0; i < 200; i++)
            act(EMK_FRAUD_GRANT, T0 + h * HOUR + i, name(i));
}

static void a_spike_of_soft_denials_opens_the_breaker_for_an_hour(void **state)
{
    uint64_t t = T0 + 26 * HOUR;
    unsigned denied = 0, broken = 0, told = 0;
    emk_fraud_stats st;
    emk_fraud_decision d;

    (void)state;
    fill_a_day();
    for (unsigned i = 1000; i < 1100; i++) {
        d = deny(t + i, name(i));
        denied += d.action == EMK_FRAUD_DENY;
        broken += (d.flags & EMK_FRAUD_IS_BROKEN) != 0;
        told += (d.news & EMK_FRAUD_NEWS_BREAKER) != 0;
        if (d.flags & EMK_FRAUD_IS_BROKEN)
            assert_int_equal(d.action, EMK_FRAUD_THROTTLE);
    }
    assert_int_equal(told, 1);
    assert_in_range(denied, 40, 60);
    assert_int_equal(broken, 100 - denied);
    emk_fraud_engine_stats(engine, &st);
    assert_true(st.breaker);
    assert_int_equal(act(EMK_FRAUD_REPLAY, t + 2000, "hard").action, EMK_FRAUD_DENY);
    assert_int_equal(deny(t + HOUR + 1000, "still").action, EMK_FRAUD_THROTTLE);
    assert_int_equal(deny(t + HOUR + 600000, "after").action, EMK_FRAUD_DENY);
    assert_int_equal(deny(t + 3 * HOUR, "later").action, EMK_FRAUD_DENY);
}

/* An hour in which nobody is active: what is compared is the same hour a week ago. */
static void tick(uint64_t ts)
{
    emk_fraud_decision d;
    emk_fraud_event ev;
    emk_error e;

    emk_fraud_event_init(&ev, EMK_FRAUD_GRANT, ts);
    assert_ok(emk_fraud_decide(engine, &ev, &d, &e), &e);
}

static void five_times_last_weeks_denials_open_the_breaker(void **state)
{
    unsigned denied = 0, told = 0;

    (void)state;
    for (unsigned h = 0; h < 170; h++) {
        tick(T0 + h * HOUR);
        for (unsigned i = 0; h == 2 && i < 11; i++)
            assert_int_equal(deny(T0 + h * HOUR + i, name(i)).action, EMK_FRAUD_DENY);
    }
    for (unsigned i = 1000; i < 1100; i++) {
        emk_fraud_decision d = deny(T0 + 170 * HOUR + i, name(i));

        denied += d.action == EMK_FRAUD_DENY;
        told += (d.news & EMK_FRAUD_NEWS_BREAKER) != 0;
    }
    assert_int_equal(told, 1);
    assert_int_equal(denied, 55);
}

static void few_denials_or_a_first_day_open_no_breaker(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(deny(T0 + i, name(i)).action, EMK_FRAUD_DENY);
    use(RULES_OF("", ""));
    fill_a_day();
    for (unsigned i = 1000; i < 1049; i++)
        assert_int_equal(deny(T0 + 26 * HOUR + i, name(i)).action, EMK_FRAUD_DENY);
}

/* ---- drafts ---- */

/* Bits of the users for whom a draft with this rollout decides. */
static void drafted(const char *rollout, bool out[200])
{
    char text[2048];

    use(RULES_OF("", ""));
    snprintf(text, sizeof text,
             "ruleset: {name: d, version: 2, sample_salt: s, rollout: %s}\n" FAMILIES
             "rules:\n" RULE("A9", "a", "model.grant", "9", ""),
             rollout);
    draft_rules = compile(text);
    draft = seat(draft_rules);
    emk_fraud_attach_draft(engine, draft);
    for (unsigned i = 0; i < 200; i++) {
        emk_fraud_decision d = act(EMK_FRAUD_GRANT, T0, name(i));

        assert_true(d.has_draft);
        assert_int_equal(d.draft, EMK_FRAUD_THROTTLE);
        out[i] = d.action == EMK_FRAUD_THROTTLE;
        assert_int_equal((d.flags & EMK_FRAUD_IS_DRAFTED) != 0, out[i]);
        assert_int_equal(d.n_reasons, out[i]); /* reasons are those of who decided */
    }
}

static unsigned count(const bool in[200])
{
    unsigned n = 0;

    for (unsigned i = 0; i < 200; i++)
        n += in[i];
    return n;
}

static void who_is_in_at_ten_per_cent_is_in_at_twenty(void **state)
{
    static const char *const STEPS[] = {"0", "1", "10", "20", "50", "100"};
    bool before[200] = {false}, now[200];

    (void)state;
    for (size_t k = 0; k < 6; k++) {
        drafted(STEPS[k], now);
        for (unsigned i = 0; i < 200; i++)
            assert_true(!before[i] || now[i]);
        memcpy(before, now, sizeof now);
        if (k == 0)
            assert_int_equal(count(now), 0);
        if (k == 3)
            assert_in_range(count(now), 20, 60);
    }
    assert_int_equal(count(now), 200);
}

static void a_draft_without_rollout_only_shows(void **state)
{
    (void)state;
    draft_rules = compile("ruleset: {name: d, version: 2}\n" FAMILIES
                          "rules:\n" RULE("A9", "a", "model.grant", "9", ""));
    draft = seat(draft_rules);
    emk_fraud_attach_draft(engine, draft);
    assert_int_equal(act(EMK_FRAUD_GRANT, T0, "u").action, EMK_FRAUD_ALLOW);
}

static void a_share_of_entities_only_grows(void **state)
{
    bool before[200] = {false};

    (void)state;
    for (unsigned percent = 5; percent <= 100; percent += 19) {
        char text[1024];

        snprintf(text, sizeof text,
                 "ruleset: {name: t, version: 1}\n" FAMILIES
                 "rules:\n" RULE("A9", "a", "model.grant", "9", ", mode: \"live@%u%%\""),
                 percent);
        use(text);
        for (unsigned i = 0; i < 200; i++) {
            bool in = act(EMK_FRAUD_GRANT, T0, name(i)).action == EMK_FRAUD_THROTTLE;

            assert_true(!before[i] || in);
            before[i] = in;
        }
        /* And it is that share, more or less. */
        assert_in_range(count(before) + 25, 2 * percent, 2 * percent + 50);
    }
    assert_int_equal(count(before), 200);
}

/* ---- paranoia ---- */

static void paranoia_up_to_blocking_counts_and_up_to_detection_shows(void **state)
{
    emk_fraud_rule_stats st;
    emk_fraud_decision d;

    (void)state;
    use("ruleset: {name: t, version: 1, detection_paranoia: 3, blocking_paranoia: 2}\n"
        "families: {a: {cap: 10}, b: {cap: 10}, c: {cap: 10}, d: {cap: 10}}\n"
        "rules:\n" RULE("P1", "a", "model.grant", "2", ", paranoia: 1")
            RULE("P2", "b", "model.grant", "2", ", paranoia: 2")
                RULE("P3", "c", "model.grant", "2", ", paranoia: 3")
                    RULE("P4", "d", "model.grant", "2", ", paranoia: 4"));
    d = act(EMK_FRAUD_GRANT, T0, "u");
    assert_int_equal(d.score, 4000);
    assert_int_equal(d.shadow_score, 6000);
    emk_fraud_engine_rule(engine, 3, &st);
    assert_int_equal(st.run, 0);
}

/* ---- actions over time ---- */

static void an_action_holds_above_leave_and_expires_with_its_ttl(void **state)
{
    (void)state;
    use(RULES_OF("", "actions: {challenge: {enter: 6, leave: 4, ttl: 1h}, throttle: {enter: 9, "
                     "leave: 6, ttl: 20m}}\n"));
    assert_int_equal(act(EMK_FRAUD_USE, T0, "u").action, EMK_FRAUD_THROTTLE);
    /* 9 has become 7.9 after 11 minutes: below where it is entered, above where it is left. */
    assert_true(act(EMK_FRAUD_GRANT, T0 + 11 * 60000, "u").flags & EMK_FRAUD_IS_HELD);
    /* After its ttl it is over, though the score would still hold it. */
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 21 * 60000, "u").action, EMK_FRAUD_CHALLENGE);
}

static uint64_t ban_length(uint64_t ts)
{
    emk_fraud_view v;

    act(EMK_FRAUD_CANARY, ts, "u");
    assert_true(
        emk_fraud_look(engine, EMK_FRAUD_USER, emk_span_of(NULL, 0), emk_span_str("u"), &v));
    return v.ban_until_ms - ts;
}

static void bans_escalate_to_a_limit_and_good_time_forgives(void **state)
{
    uint64_t t = T0;

    (void)state;
    use(RULES_OF("", "actions: {ban: {enter: 24, escalate: {base: 1h, factor: 4, max: 10h, "
                     "forgive: 2d}}}\n"));
    assert_int_equal(ban_length(t), HOUR);
    t += 2 * HOUR;
    assert_int_equal(ban_length(t), 4 * HOUR);
    t += 5 * HOUR;
    assert_int_equal(ban_length(t), 10 * HOUR);
    t += 10 * HOUR + DAY; /* not yet */
    assert_int_equal(ban_length(t), 10 * HOUR);
    t += 10 * HOUR + 2 * DAY + 1;
    assert_int_equal(ban_length(t), HOUR);
}

/* ---- the explore arm ---- */

#define EXPLORE "explore: {percent: 10, per_hour: 100000}\n"

static unsigned explored(bool out[200], emk_fraud_type type, int64_t cost)
{
    unsigned n = 0;

    for (unsigned i = 0; i < 200; i++) {
        emk_fraud_decision d;

        deny(T0, name(i));
        d = act_cost(type, T0 + 1, name(i), cost);
        out[i] = (d.flags & EMK_FRAUD_IS_EXPLORED) != 0;
        n += out[i];
        assert_int_equal(d.action, out[i] ? EMK_FRAUD_OBSERVE : EMK_FRAUD_DENY);
        if (d.explore_ppm) {
            assert_int_equal(d.explore_ppm, 100000);
            assert_int_equal(d.would, EMK_FRAUD_DENY);
        }
    }
    return n;
}

static void a_share_of_soft_refusals_is_let_through_the_same_each_time(void **state)
{
    bool first[200], again[200];

    (void)state;
    assert_int_equal(explored(first, EMK_FRAUD_GRANT, 0), 0); /* off by default */
    use(RULES_OF("", EXPLORE));
    assert_in_range(explored(first, EMK_FRAUD_GRANT, 0), 8, 40);
    use(RULES_OF("", EXPLORE));
    (void)explored(again, EMK_FRAUD_GRANT, 0);
    assert_memory_equal(first, again, sizeof first);
}

static void asking_again_within_the_hour_is_no_second_chance(void **state)
{
    (void)state;
    use(RULES_OF("", EXPLORE));
    for (unsigned i = 0; i < 50; i++) {
        unsigned now, later;

        deny(T0, name(i));
        now = act(EMK_FRAUD_GRANT, T0 + 1, name(i)).flags & EMK_FRAUD_IS_EXPLORED;
        later = act(EMK_FRAUD_GRANT, T0 + 60000, name(i)).flags & EMK_FRAUD_IS_EXPLORED;
        assert_int_equal(now, later);
    }
}

static void hard_evidence_generations_and_cost_are_never_let_through(void **state)
{
    bool out[200];

    (void)state;
    use(RULES_OF("", EXPLORE));
    assert_int_equal(explored(out, EMK_FRAUD_GENERATE, 0), 0);
    use(RULES_OF("", EXPLORE));
    assert_int_equal(explored(out, EMK_FRAUD_GRANT, 11), 0);
    use(RULES_OF("", EXPLORE));
    for (unsigned i = 0; i < 200; i++) {
        act(EMK_FRAUD_REPLAY, T0, name(i));
        assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 1, name(i)).action, EMK_FRAUD_DENY);
    }
}

static void a_spent_budget_lets_nobody_through(void **state)
{
    bool out[200];

    (void)state;
    use(RULES_OF("", "explore: {percent: 10, per_hour: 3}\n"));
    assert_int_equal(explored(out, EMK_FRAUD_GRANT, 0), 3);
}

/* Of those who would be refused every fourth is innocent; labels are known of those who were let
 * through only. */
static void weighing_by_probability_finds_the_precision_of_all(void **state)
{
    emk_fraud_explored x;
    uint64_t p;

    (void)state;
    memset(&x, 0, sizeof x);
    use(RULES_OF("", EXPLORE));
    for (unsigned i = 0; i < 3000; i++) {
        emk_fraud_decision d;
        bool innocent = i % 4 == 0;

        deny(T0, name(i));
        d = act(EMK_FRAUD_GRANT, T0 + 1, name(i));
        emk_fraud_explored_add(&x, &d, innocent ? EMK_FRAUD_OK_LABEL : EMK_FRAUD_FRAUD_LABEL,
                               (d.flags & EMK_FRAUD_IS_EXPLORED) != 0);
    }
    p = emk_fraud_explored_precision(&x.of[EMK_FRAUD_DENY]);
    assert_int_equal(x.of[EMK_FRAUD_DENY].eligible, 3000);
    assert_in_range(x.of[EMK_FRAUD_DENY].taken, 220, 390);
    assert_in_range(p, 680000, 820000);
    assert_int_equal(emk_fraud_explored_precision(&x.of[EMK_FRAUD_CHALLENGE]), 0);
}

/* ---- labels ---- */

static const emk_fraud_case *labelled(const char *text, uint64_t until)
{
    static emk_fraud_labels labels;
    emk_error e;

    emk_fraud_labels_done(&labels);
    memset(&labels, 0, sizeof labels);
    assert_ok(
        emk_fraud_labels_read(
            &(emk_fraud_label_sources){.file = emk_span_str(text), .until_ms = until}, &labels, &e),
        &e);
    return emk_fraud_case_find(&labels, emk_fraud_case_key("user", emk_span_str("u")));
}

#define LABEL(label, source, at) \
    "{\"entity\":\"user:u\",\"label\":\"" label "\",\"source\":\"" source "\",\"at\":" at "}\n"

static void a_label_from_later_does_not_exist_yet(void **state)
{
    const char *text = LABEL("ok", "analyst", "100") LABEL("fraud", "analyst", "200");

    (void)state;
    assert_int_equal(labelled(text, 150)->label, EMK_FRAUD_OK_LABEL);
    assert_int_equal(labelled(text, 0)->label, EMK_FRAUD_FRAUD_LABEL);
    assert_int_equal(labelled(text, 50)->key, 0);
    assert_int_equal(labelled("", 0)->key, 0);
}

static void the_better_source_wins_whatever_came_last(void **state)
{
    static const char *const BETTER[] = {"canary",     "analyst",        "appeal",   "support",
                                         "chargeback", "challenge_pass", "complaint"};

    (void)state;
    for (size_t i = 0; i + 1 < sizeof BETTER / sizeof BETTER[0]; i++) {
        char text[512];

        snprintf(text, sizeof text,
                 "{\"entity\":\"user:u\",\"label\":\"fraud\",\"source\":\"%s\",\"at\":1}\n"
                 "{\"entity\":\"user:u\",\"label\":\"ok\",\"source\":\"%s\",\"at\":2}\n",
                 BETTER[i], BETTER[i + 1]);
        assert_int_equal(labelled(text, 0)->label, EMK_FRAUD_FRAUD_LABEL);
        snprintf(text, sizeof text,
                 "{\"entity\":\"user:u\",\"label\":\"ok\",\"source\":\"%s\",\"at\":1}\n"
                 "{\"entity\":\"user:u\",\"label\":\"fraud\",\"source\":\"%s\",\"at\":2}\n",
                 BETTER[i + 1], BETTER[i]);
        assert_int_equal(labelled(text, 0)->label, EMK_FRAUD_FRAUD_LABEL);
    }
}

/* ---- the promotion gate ---- */

static emk_fraud_gate gate_of(uint64_t days, uint64_t hits, uint64_t tp, uint64_t fp)
{
    emk_fraud_replay_rule r;
    emk_fraud_gate g;

    memset(&r, 0, sizeof r);
    r.hits_shadow = hits;
    r.tp_shadow = tp;
    r.fp_shadow = fp;
    r.first_ms = T0;
    r.last_ms = T0 + days * DAY;
    emk_fraud_promotion(&r, EMK_FRAUD_DENY, &g);
    return g;
}

static void the_promotion_gate_says_what_is_missing(void **state)
{
    emk_fraud_gate g = gate_of(8, 400, 400, 0);

    (void)state;
    assert_true(g.days && g.hits && g.precision);
    g = gate_of(5, 400, 400, 0);
    assert_false(g.days);
    g = gate_of(8, 29, 29, 0);
    assert_false(g.hits);
    g = gate_of(8, 400, 360, 40); /* nine of ten, but the interval begins below that */
    assert_false(g.precision);
    assert_true(g.precision_low < 900000);
    g = gate_of(8, 400, 30, 0); /* 30 of 30 say less than 0.9 */
    assert_false(g.precision);
}

#define rule_(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    emk_error e;
    int r;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    r = EMK_RUN(rule_(a_rule_that_burns_its_budget_demotes_itself_and_says_so),
                rule_(a_rule_whose_challenges_are_mostly_passed_demotes_itself),
                rule_(a_budget_begins_anew_after_28_days),
                rule_(a_throttle_leaves_its_share_of_the_plan),
                rule_(five_times_last_weeks_denials_open_the_breaker),
                rule_(a_spike_of_soft_denials_opens_the_breaker_for_an_hour),
                rule_(few_denials_or_a_first_day_open_no_breaker),
                rule_(who_is_in_at_ten_per_cent_is_in_at_twenty),
                rule_(a_draft_without_rollout_only_shows), rule_(a_share_of_entities_only_grows),
                rule_(paranoia_up_to_blocking_counts_and_up_to_detection_shows),
                rule_(an_action_holds_above_leave_and_expires_with_its_ttl),
                rule_(bans_escalate_to_a_limit_and_good_time_forgives),
                rule_(a_share_of_soft_refusals_is_let_through_the_same_each_time),
                rule_(asking_again_within_the_hour_is_no_second_chance),
                rule_(hard_evidence_generations_and_cost_are_never_let_through),
                rule_(a_spent_budget_lets_nobody_through),
                rule_(weighing_by_probability_finds_the_precision_of_all),
                rule_(a_label_from_later_does_not_exist_yet),
                rule_(the_better_source_wins_whatever_came_last),
                rule_(the_promotion_gate_says_what_is_missing));
    emk_crypto_free(crypto);
    return r;
}
