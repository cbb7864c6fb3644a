#include "server/fraud/engine.h"
#include "server/fraud/replay.h"
#include "tests/support/test.h"

#define T0   UINT64_C(1767225600000)
#define HOUR UINT64_C(3600000)
#define DAY  (24 * HOUR)

static const char RULES[] =
    "ruleset: {name: t, version: 1, detection_paranoia: 2, blocking_paranoia: 1}\n"
    "families: {a: {cap: 10}, b: {cap: 10}, p: {cap: 30}}\n"
    "lists:\n"
    "  friends: {of: subj.device, entries: [{value: d-friend, until: 2030-01-01}]}\n"
    "  tests: {of: subj.device, entries: [{value: d-test, until: 2030-01-01}]}\n"
    "allow: tests\n"
    "features:\n"
    "  grants: {kind: count, key: subj.user, window: 12h, on: [model.grant]}\n"
    "  users: {kind: distinct, of: subj.user, key: subj.device, window: 24h, size: 4, on: "
    "[model.grant]}\n"
    "  many: {kind: distinct, of: subj.user, key: subj.net, window: 24h, approx: true, on: "
    "[model.grant]}\n"
    "  fails: {kind: sketch, key: subj.ip, window: 10m, on: [auth.fail]}\n"
    "  again: {kind: replay, of: res.counter, key: subj.device, on: [model.lease]}\n"
    "  kmh: {kind: geo_velocity, key: subj.user, min_km: 500, on: [model.lease]}\n"
    "  cost: {kind: rate, of: obj.cost, key: subj.user, limit: 100, window: 1h, on: "
    "[model.generate]}\n"
    "rules:\n"
    "- {id: A1, name: a, family: a, entity: subj.user, on: [model.grant], when: \"grants >= 3\", "
    "score: 9, half_life: 1h, reason: r, except: [{list: friends, field: subj.device}]}\n"
    "- {id: B1, name: b, family: b, entity: subj.device, on: [model.grant], when: \"users >= 3\", "
    "score: 8, half_life: 1h, reason: r}\n"
    "- {id: H1, name: h, family: p, hard: true, entity: subj.device, on: [canary.touch], when: "
    "\"true\", score: 25, half_life: 1h, reason: r, effect: [open_case]}\n"
    "- {id: S1, name: s, family: a, mode: shadow, entity: subj.user, on: [model.grant], when: "
    "\"grants >= 2\", score: 6, half_life: 1h, reason: r}\n"
    "- {id: P2, name: p, family: b, paranoia: 2, entity: subj.user, on: [model.grant], when: "
    "\"grants >= 2\", score: 6, half_life: 1h, reason: r}\n"
    "- {id: N1, name: n, family: a, entity: subj.net, on: [model.grant], when: \"many >= 40\", "
    "score: 10, half_life: 1h, reason: r}\n"
    "- {id: F1, name: f, family: b, entity: subj.user, on: [device.enroll], when: \"fails >= 5\", "
    "score: 6, half_life: 1h, reason: r}\n"
    "- {id: R1, name: r, family: p, hard: true, entity: subj.device, on: [model.lease], when: "
    "\"again >= 1\", score: 14, half_life: 1h, reason: r}\n"
    "- {id: G1, name: g, family: a, entity: subj.user, on: [model.lease], when: \"kmh > 1200\", "
    "score: 6, half_life: 1h, reason: r}\n"
    "- {id: C1, name: c, family: a, entity: subj.user, on: [model.generate], when: \"cost > 100\", "
    "score: 9, half_life: 1h, reason: r}\n";

static emk_crypto *crypto;
static emk_fraud_ruleset *rules;
static emk_fraud_engine *engine;

static emk_fraud_engine *fresh(uint32_t max)
{
    emk_fraud_engine *en = NULL;
    emk_fraud_options o;
    emk_error e;

    emk_fraud_options_init(&o);
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        o.max[i] = max;
    o.max_jump_ms = 400 * DAY;
    assert_ok(emk_fraud_engine_new(crypto, rules, &o, &en, &e), &e);
    return en;
}

static int begin(void **state)
{
    (void)state;
    engine = fresh(1000);

    return 0;
}

static int end(void **state)
{
    (void)state;
    emk_fraud_engine_free(engine);
    return 0;
}

static emk_fraud_event event(emk_fraud_type type, uint64_t ts, const char *user, const char *device)
{
    emk_fraud_event ev;

    emk_fraud_event_init(&ev, type, ts);
    if (user)
        emk_fraud_event_text(&ev, EMK_FRAUD_F_USER, emk_span_str(user));
    if (device)
        emk_fraud_event_text(&ev, EMK_FRAUD_F_DEVICE, emk_span_str(device));
    return ev;
}

static emk_fraud_decision decide(const emk_fraud_event *ev)
{
    emk_fraud_decision d;
    emk_error e;

    assert_ok(emk_fraud_decide(engine, ev, &d, &e), &e);
    return d;
}

static emk_fraud_decision act(emk_fraud_type type, uint64_t ts, const char *user,
                              const char *device)
{
    emk_fraud_event ev = event(type, ts, user, device);

    return decide(&ev);
}

static void throttles_on_one_family_and_denies_on_two(void **state)
{
    emk_fraud_decision d;

    (void)state;
    assert_int_equal(act(EMK_FRAUD_GRANT, T0, "u", "d").action, EMK_FRAUD_ALLOW);
    act(EMK_FRAUD_GRANT, T0 + 1, "u", "d");
    d = act(EMK_FRAUD_GRANT, T0 + 2, "u", "d");
    assert_int_equal(d.action, EMK_FRAUD_THROTTLE);
    assert_int_equal(d.score, 9000);
    assert_int_equal(d.reason[0].value, 3000);
    assert_int_equal(d.reason[0].limit, 3000);
    act(EMK_FRAUD_GRANT, T0 + 3, "v", "d");
    act(EMK_FRAUD_GRANT, T0 + 4, "w", "d");
    d = act(EMK_FRAUD_GRANT, T0 + 5, "u", "d");
    assert_int_equal(d.score, 17000);
    assert_int_equal(d.families, 2);
    assert_int_equal(d.action, EMK_FRAUD_DENY);
}

static void another_user_of_the_same_device_is_not_the_first_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        act(EMK_FRAUD_GRANT, T0 + i, "u", "d1");
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 9, "v", "d1").action, EMK_FRAUD_ALLOW);
}

static void score_decays_and_hysteresis_holds_the_action(void **state)
{
    emk_fraud_decision d;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        act(EMK_FRAUD_GRANT, T0 + i, "u", "d");
    d = act(EMK_FRAUD_LEASE, T0 + HOUR / 3, "u", "d");
    assert_in_range(d.score, 7000, 7300);
    assert_int_equal(d.action, EMK_FRAUD_THROTTLE);
    assert_true(d.flags & EMK_FRAUD_IS_HELD);
    d = act(EMK_FRAUD_LEASE, T0 + HOUR, "u", "d");
    assert_in_range(d.score, 4400, 4600);
    assert_int_equal(d.action, EMK_FRAUD_OBSERVE);
}

static void windows_forget(void **state)
{
    (void)state;
    act(EMK_FRAUD_GRANT, T0, "u", "d");
    act(EMK_FRAUD_GRANT, T0 + HOUR, "u", "d");
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 12 * HOUR + HOUR / 2, "u", "d").action,
                     EMK_FRAUD_ALLOW);
}

static void a_hard_rule_bans_alone_and_bans_grow(void **state)
{
    emk_fraud_decision d = act(EMK_FRAUD_CANARY, T0, "u", "d");
    emk_fraud_view v;

    (void)state;
    assert_int_equal(d.action, EMK_FRAUD_BAN);
    assert_true(d.flags & EMK_FRAUD_IS_HARD);
    assert_int_equal(d.effects, EMK_FRAUD_OPEN_CASE);
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 20 * HOUR, "u", "d").action, EMK_FRAUD_BAN);
    /* The device, not its user, brought the evidence. */
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 20 * HOUR, "u", "other").action, EMK_FRAUD_ALLOW);
    assert_int_equal(act(EMK_FRAUD_LEASE, T0 + 30 * HOUR, "u", "d").action, EMK_FRAUD_ALLOW);
    act(EMK_FRAUD_CANARY, T0 + 31 * HOUR, "u", "d");
    assert_true(
        emk_fraud_look(engine, EMK_FRAUD_DEVICE, emk_span_of(NULL, 0), emk_span_str("d"), &v));
    assert_true(v.ban_until_ms == T0 + 31 * HOUR + 4 * DAY);
}

static void exceptions_and_test_devices_are_spared(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(act(EMK_FRAUD_GRANT, T0 + i, "u", "d-friend").action, EMK_FRAUD_ALLOW);
    assert_int_equal(act(EMK_FRAUD_CANARY, T0 + 9, "t", "d-test").action, EMK_FRAUD_ALLOW);
}

static void shadow_rules_and_high_paranoia_only_show(void **state)
{
    emk_fraud_decision d;

    (void)state;
    act(EMK_FRAUD_GRANT, T0, "u", "d");
    d = act(EMK_FRAUD_GRANT, T0 + 1, "u", "d");
    assert_int_equal(d.action, EMK_FRAUD_ALLOW);
    assert_int_equal(d.score, 0);
    assert_int_equal(d.shadow, EMK_FRAUD_MARK);
    assert_int_equal(d.shadow_score, 12000);
    assert_int_equal(d.n_reasons, 2);
}

static void a_shared_network_cannot_convict(void **state)
{
    emk_fraud_decision d = {.action = EMK_FRAUD_ALLOW};
    char user[16];

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        emk_fraud_event ev;

        snprintf(user, sizeof user, "n%u", i);
        ev = event(EMK_FRAUD_GRANT, T0 + i, user, user);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_NET, emk_span_str("10.0.0.0/24"));
        d = decide(&ev);
    }
    assert_int_equal(d.score, 2500);
    assert_int_equal(d.action, EMK_FRAUD_ALLOW);
    assert_in_range(d.reason[0].value, 150000, 250000);
}

static void unauthenticated_events_take_no_memory(void **state)
{
    emk_fraud_stats s;
    emk_fraud_event ev;
    char user[16];

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        snprintf(user, sizeof user, "x%u", i);
        ev = event(EMK_FRAUD_AUTH_FAIL, T0 + i, user, user);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_IP, emk_span_str("tok:1"));
        decide(&ev);
    }
    emk_fraud_engine_stats(engine, &s);
    assert_int_equal(s.entities[EMK_FRAUD_USER], 0);
    ev = event(EMK_FRAUD_DEVICE_ENROLL, T0 + 99, "u", "d");
    emk_fraud_event_text(&ev, EMK_FRAUD_F_IP, emk_span_str("tok:1"));
    assert_int_equal(decide(&ev).action, EMK_FRAUD_CHALLENGE);
}

static void floods_evict_but_never_who_is_banned(void **state)
{
    emk_fraud_stats s;
    char name[16];

    (void)state;
    act(EMK_FRAUD_CANARY, T0, "bad", "bad");
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "f%u", i);
        act(EMK_FRAUD_GRANT, T0 + i, name, name);
    }
    emk_fraud_engine_stats(engine, &s);
    assert_int_equal(s.entities[EMK_FRAUD_USER], 1000);
    assert_true(s.evicted[EMK_FRAUD_USER] > 3000);
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 6000, "bad", "bad").action, EMK_FRAUD_BAN);
}

static emk_fraud_decision lease(uint64_t ts, int64_t counter)
{
    emk_fraud_event ev = event(EMK_FRAUD_LEASE, ts, "u", "d");

    emk_fraud_event_number(&ev, EMK_FRAUD_F_COUNTER, counter * 1000);
    return decide(&ev);
}

static void a_counter_used_again_is_a_replay(void **state)
{
    (void)state;
    assert_int_equal(lease(T0, 5).action, EMK_FRAUD_ALLOW);
    assert_int_equal(lease(T0 + 1, 7).action, EMK_FRAUD_ALLOW);
    assert_int_equal(lease(T0 + 2, 6).action, EMK_FRAUD_ALLOW);
    assert_int_equal(lease(T0 + 3, 6).action, EMK_FRAUD_DENY);
}

static void a_counter_behind_the_window_is_a_replay(void **state)
{
    (void)state;
    lease(T0, 100);
    assert_int_equal(lease(T0 + 1, 37).action, EMK_FRAUD_ALLOW);
    assert_int_equal(lease(T0 + 2, 36).action, EMK_FRAUD_DENY);
}

static emk_fraud_decision from_place(uint64_t ts, const char *net, int64_t lat, int64_t lon)
{
    emk_fraud_event ev = event(EMK_FRAUD_LEASE, ts, "u", "d");

    emk_fraud_event_text(&ev, EMK_FRAUD_F_NET, emk_span_str(net));
    emk_fraud_event_number(&ev, EMK_FRAUD_F_LAT, lat);
    emk_fraud_event_number(&ev, EMK_FRAUD_F_LON, lon);
    return decide(&ev);
}

static void impossible_travel_is_between_networks_only(void **state)
{
    (void)state;
    from_place(T0, "n1", 38700, -9100);
    assert_int_equal(from_place(T0 + HOUR, "n1", 52500, 13400).action, EMK_FRAUD_ALLOW);
    assert_int_equal(from_place(T0 + 2 * HOUR, "n2", 38700, -9100).action, EMK_FRAUD_CHALLENGE);
}

static void a_rate_leaks(void **state)
{
    emk_fraud_event ev = event(EMK_FRAUD_GENERATE, T0, "u", "d");

    (void)state;
    emk_fraud_event_number(&ev, EMK_FRAUD_F_COST, 60000);
    assert_int_equal(decide(&ev).action, EMK_FRAUD_ALLOW);
    ev.ts = T0 + HOUR / 2;
    assert_int_equal(decide(&ev).action, EMK_FRAUD_ALLOW);
    ev.ts += 1000;
    assert_int_equal(decide(&ev).action, EMK_FRAUD_THROTTLE);
}

/* Of an address with failed logins: F1 challenges. */
static emk_fraud_decision challenge(uint64_t ts, const char *user, const char *device)
{
    emk_fraud_event ev;

    for (unsigned k = 0; k < 6; k++) {
        ev = event(EMK_FRAUD_AUTH_FAIL, ts, NULL, NULL);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_IP, emk_span_str("tok:1"));
        decide(&ev);
    }
    ev = event(EMK_FRAUD_DEVICE_ENROLL, ts + 1, user, device);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_IP, emk_span_str("tok:1"));
    return decide(&ev);
}

static void a_pass_counts_once_and_only_of_a_challenge(void **state)
{
    emk_fraud_rule_stats s, grants;

    (void)state;
    assert_int_equal(challenge(T0, "u", "d").action, EMK_FRAUD_CHALLENGE);
    for (unsigned i = 0; i < 9; i++)
        act(EMK_FRAUD_CHALLENGE_PASS, T0 + 10 + i, "u", "d");
    emk_fraud_engine_rule(engine, 6, &s);
    assert_int_equal(s.passed, 1);
    /* Nobody asked these: they lower nothing, and no rule looks wrong by them. */
    for (unsigned i = 0; i < 3; i++)
        act(EMK_FRAUD_GRANT, T0 + 20 + i, "v", "e");
    for (unsigned i = 0; i < 9; i++)
        act(EMK_FRAUD_CHALLENGE_PASS, T0 + 30 + i, "v", "e");
    emk_fraud_engine_rule(engine, 0, &grants);
    assert_int_equal(grants.passed, 0);
    assert_int_equal(act(EMK_FRAUD_LEASE, T0 + 50, "v", "e").score, 9000);
}

static void a_passed_challenge_halves_what_is_soft(void **state)
{
    emk_fraud_decision asked = challenge(T0, "u", "d");

    (void)state;
    assert_int_equal(asked.action, EMK_FRAUD_CHALLENGE);
    act(EMK_FRAUD_CHALLENGE_PASS, T0 + 10, "u", "d");
    assert_int_equal(act(EMK_FRAUD_LEASE, T0 + 11, "u", "d").score, asked.score / 2);
    act(EMK_FRAUD_CANARY, T0 + 12, "u", "e");
    act(EMK_FRAUD_CHALLENGE_PASS, T0 + 13, "u", "e");
    assert_int_equal(act(EMK_FRAUD_LEASE, T0 + 14, "u", "e").action, EMK_FRAUD_BAN);
}

static void rules_whose_challenges_are_passed_demote_themselves(void **state)
{
    emk_fraud_rule_stats s;
    char user[16], device[16];

    (void)state;
    /* The rate of grants is not enough for a challenge here: F1 challenges at enrolment. */
    for (unsigned i = 0; i < 70; i++) {
        snprintf(user, sizeof user, "c%u", i);
        snprintf(device, sizeof device, "cd%u", i);
        challenge(T0 + i * 1000, user, device);
        act(EMK_FRAUD_CHALLENGE_PASS, T0 + i * 1000 + 2, user, device);
    }
    emk_fraud_engine_rule(engine, 6, &s);
    assert_true(s.challenged >= 50);
    assert_true(s.demoted);
    assert_true(s.fired_shadow > 0);
}

static void people_decide_last(void **state)
{
    emk_fraud_event ev = event(EMK_FRAUD_ADMIN_SWITCH, T0 + 5, NULL, NULL);

    (void)state;
    act(EMK_FRAUD_ADMIN_BAN, T0, "u", NULL);
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 1, "u", "d").action, EMK_FRAUD_BAN);
    act(EMK_FRAUD_ADMIN_UNBAN, T0 + 2, "u", NULL);
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 3, "u", "d").action, EMK_FRAUD_ALLOW);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_REASON, emk_span_str("closed"));
    decide(&ev);
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + 6, "new", "new").action, EMK_FRAUD_DENY);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_REASON, emk_span_str("open"));
    decide(&ev);
    assert_int_equal(act(EMK_FRAUD_CANARY, T0 + 7, "new", "new").action, EMK_FRAUD_OBSERVE);
}

static void duplicates_and_the_far_future_change_nothing(void **state)
{
    emk_fraud_event ev = event(EMK_FRAUD_GRANT, T0, "u", "d");
    emk_fraud_decision d;
    emk_fraud_stats s;

    (void)state;
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ID, emk_span_str("e1"));
    decide(&ev);
    assert_status(emk_fraud_decide(engine, &ev, &d, NULL), EMK_E_USED, NULL);
    ev = event(EMK_FRAUD_GRANT, T0 + 401 * DAY, "u", "d");
    assert_status(emk_fraud_decide(engine, &ev, &d, NULL), EMK_E_STALE, NULL);
    emk_fraud_engine_stats(engine, &s);
    assert_int_equal(s.events, 1);
    assert_int_equal(s.duplicate, 1);
    assert_int_equal(s.future, 1);
}

static void late_events_are_taken_at_the_engines_clock(void **state)
{
    (void)state;
    act(EMK_FRAUD_GRANT, T0 + DAY, "u", "d");
    assert_true(act(EMK_FRAUD_GRANT, T0, "u", "d").flags & EMK_FRAUD_IS_LATE);
    assert_int_equal(act(EMK_FRAUD_GRANT, T0 + DAY, "u", "d").action, EMK_FRAUD_THROTTLE);
}

static void what_is_forgotten_is_gone(void **state)
{
    emk_fraud_view v;

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        act(EMK_FRAUD_GRANT, T0 + i, "u", "d");
    act(EMK_FRAUD_GRANT, T0 + 4, "v", "e");
    assert_true(emk_fraud_forget(engine, EMK_FRAUD_USER, emk_span_of(NULL, 0), emk_span_str("u")));
    assert_false(emk_fraud_forget(engine, EMK_FRAUD_USER, emk_span_of(NULL, 0), emk_span_str("u")));
    assert_false(
        emk_fraud_look(engine, EMK_FRAUD_USER, emk_span_of(NULL, 0), emk_span_str("u"), &v));
    assert_true(
        emk_fraud_look(engine, EMK_FRAUD_USER, emk_span_of(NULL, 0), emk_span_str("v"), &v));
}

static void a_draft_runs_beside(void **state)
{
    emk_fraud_engine *draft = fresh(100);
    emk_fraud_decision d;

    (void)state;
    emk_fraud_attach_draft(engine, draft);
    d = act(EMK_FRAUD_CANARY, T0, "u", "d");
    assert_true(d.has_draft);
    assert_int_equal(d.draft, EMK_FRAUD_BAN);
    emk_fraud_attach_draft(engine, NULL);
    emk_fraud_engine_free(draft);
}

/* ---- snapshots ---- */

static emk_buf dump;
static size_t dump_at;

static emk_status put(void *self, emk_span s, emk_error *e)
{
    (void)self;
    return emk_buf_append(&dump, s, e);
}

static emk_status get(void *self, uint8_t *p, size_t len, emk_error *e)
{
    (void)self;
    if (len > dump.len - dump_at)
        return emk_fail(e, EMK_E_FORMAT, "cut", dump_at);
    memcpy(p, dump.p + dump_at, len);
    dump_at += len;
    return EMK_OK;
}

static void run_some(uint64_t from, uint64_t to)
{
    char user[16], device[16];

    for (uint64_t i = from; i < to; i++) {
        snprintf(user, sizeof user, "u%u", (unsigned)(i * 7 % 40));
        snprintf(device, sizeof device, "d%u", (unsigned)(i * 11 % 30));
        act(i % 97 == 0 ? EMK_FRAUD_CANARY : EMK_FRAUD_GRANT, T0 + i * 60000, user, device);
    }
}

static void a_restored_engine_goes_on_with_the_same_stream(void **state)
{
    uint8_t whole[32], halves[32];
    uint64_t offset = 0;
    emk_error e;

    (void)state;
    emk_buf_init(&dump, 64 << 20);
    run_some(0, 500);
    assert_ok(emk_fraud_snapshot(engine, 4711, put, NULL, &e), &e);
    run_some(500, 1000);
    assert_ok(emk_fraud_stream_hash(engine, whole, &e), &e);
    emk_fraud_engine_free(engine);
    engine = fresh(1000);
    dump_at = 0;
    assert_ok(emk_fraud_restore(engine, get, NULL, &offset, &e), &e);
    assert_int_equal(offset, 4711);
    run_some(500, 1000);
    assert_ok(emk_fraud_stream_hash(engine, halves, &e), &e);
    assert_bytes(emk_span_of(halves, 32), emk_span_of(whole, 32));
    emk_buf_done(&dump);
}

static void refuses_damaged_and_foreign_snapshots(void **state)
{
    uint64_t offset = 0;
    emk_fraud_engine *other;
    emk_error e;

    (void)state;
    emk_buf_init(&dump, 64 << 20);
    run_some(0, 50);
    assert_ok(emk_fraud_snapshot(engine, 1, put, NULL, &e), &e);
    for (size_t at = 0; at < dump.len; at += at < 512 ? 8 : 99991) {
        dump.p[at] ^= 0x40;
        other = fresh(1000);
        dump_at = 0;
        assert_true(emk_fraud_restore(other, get, NULL, &offset, &e) != EMK_OK);
        emk_fraud_engine_free(other);
        dump.p[at] ^= 0x40;
    }
    other = fresh(500);
    dump_at = 0;
    assert_status(emk_fraud_restore(other, get, NULL, &offset, &e), EMK_E_FORMAT, &e);
    emk_fraud_engine_free(other);
    emk_buf_done(&dump);
}

static void wilson_gives_the_known_interval(void **state)
{
    uint64_t low, high;

    (void)state;
    emk_fraud_wilson(9, 10, &low, &high); /* 0.5958 .. 0.9821 */
    assert_in_range(low, 595500, 596200);
    assert_in_range(high, 981800, 982500);
    emk_fraud_wilson(0, 0, &low, &high);
    assert_true(low == 0 && high == 1000000);
}

static int make_rules(void)
{
    emk_yaml_diag d = {.line = 0};

    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    if (emk_fraud_ruleset_new(crypto, "t", emk_span_str(RULES), &rules, &d, NULL) == EMK_OK)
        return 0;
    fprintf(stderr, "%s\n", d.text);
    return 1;
}

#define rule_(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
    int r;

    if (make_rules() != 0)
        return 1;
    r = EMK_RUN(
        rule_(throttles_on_one_family_and_denies_on_two),
        rule_(another_user_of_the_same_device_is_not_the_first_one),
        rule_(score_decays_and_hysteresis_holds_the_action), rule_(windows_forget),
        rule_(a_hard_rule_bans_alone_and_bans_grow), rule_(exceptions_and_test_devices_are_spared),
        rule_(shadow_rules_and_high_paranoia_only_show), rule_(a_shared_network_cannot_convict),
        rule_(unauthenticated_events_take_no_memory), rule_(floods_evict_but_never_who_is_banned),
        rule_(a_counter_used_again_is_a_replay), rule_(a_counter_behind_the_window_is_a_replay),
        rule_(impossible_travel_is_between_networks_only), rule_(a_rate_leaks),
        rule_(a_passed_challenge_halves_what_is_soft),
        rule_(a_pass_counts_once_and_only_of_a_challenge),
        rule_(rules_whose_challenges_are_passed_demote_themselves), rule_(people_decide_last),
        rule_(duplicates_and_the_far_future_change_nothing),
        rule_(late_events_are_taken_at_the_engines_clock), rule_(what_is_forgotten_is_gone),
        rule_(a_draft_runs_beside), rule_(a_restored_engine_goes_on_with_the_same_stream),
        rule_(refuses_damaged_and_foreign_snapshots), rule_(wilson_gives_the_known_interval));
    emk_fraud_ruleset_free(rules);
    emk_crypto_free(crypto);
    return r;
}
