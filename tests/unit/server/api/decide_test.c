/* What a decision makes of an engine's answer, and that nobody passes when nobody can be asked. */
#include "server/api/decide.h"

#include "server/api/api.h"
#include "tests/support/test.h"

#include <string.h>

typedef struct world {
    emk_crypto *crypto;
    emk_counters counters; /* behind those of api, which have a clock of ours */
    uint64_t later_ns;
    emk_api api;
    emk_call call;
    emk_device_record device;
    uint8_t device_id[32];
    emk_decide_answer answer; /* of the engine */
    emk_status status;
    emk_fraud_event last;
    char user[64];
    unsigned n_asked, n_noted;
} world;

static uint64_t clock_of(void *self)
{
    (void)self;
    return 1800000000;
}

static emk_status decide(void *self, const emk_fraud_event *ev, emk_decide_answer *out,
                         emk_error *e)
{
    world *w = self;

    w->n_asked++;
    w->last = *ev;
    snprintf(w->user, sizeof w->user, "%.*s", (int)ev->f[EMK_FRAUD_F_USER].text.len,
             (const char *)ev->f[EMK_FRAUD_F_USER].text.p);
    *out = w->answer;
    return w->status == EMK_OK ? EMK_OK : emk_fail(e, w->status, "engine", 0);
}

static emk_status note(void *self, const emk_fraud_event *ev, emk_decide_answer *out, emk_error *e)
{
    (void)out;
    (void)e;
    ((world *)self)->n_noted++;
    ((world *)self)->last = *ev;
    return EMK_OK;
}

static const emk_decide_ops OPS = {
    .size = sizeof(emk_decide_ops), .name = "test", .decide = decide, .note = note};

static emk_status take_later(void *self, const emk_limit *limits, size_t n, uint64_t now_ns,
                             emk_limit_state *states, emk_error *e)
{
    world *w = self;

    return w->counters.ops->take(w->counters.self, limits, n, now_ns + w->later_ns, states, e);
}

static const emk_counters_ops LATER = {
    .size = sizeof(emk_counters_ops), .name = "later", .take = take_later};

static const emk_counters_memory SIZES = {.limits = 64, .windows = 16, .once = 16, .leases = 16};

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_error e = {0};

    assert_non_null(w);
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    assert_ok(emk_records_open_memory(&w->api.records, &e), &e);
    w->api.crypto = w->crypto;
    w->api.clock = clock_of;
    w->api.decider = (emk_decider){&OPS, w};
    assert_ok(emk_counters_open_memory(&SIZES, &w->counters, &e), &e);
    w->api.counters = (emk_counters){&LATER, w};
    snprintf(w->device.gate.user, sizeof w->device.gate.user, "jane doe");
    emk_call_init(&w->call, &w->api);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_call_done(&w->call);
    emk_records_close(&w->api.records);
    emk_counters_close(&w->counters);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static emk_status ask(world *w, emk_verdict *v)
{
    emk_decide_in in = {.point = EMK_DECIDE_TICKET,
                        .device_id = w->device_id,
                        .device = &w->device,
                        .model = emk_span_str("cats")};
    emk_error e = {0};

    return emk_api_decide(&w->call, &in, v, &e);
}

static emk_verdict asked(world *w, emk_fraud_action action)
{
    emk_error e = {0};
    emk_verdict v;

    w->answer.action = action;
    assert_ok(ask(w, &v), &e);
    return v;
}

static bool is_stored(world *w, const emk_verdict *v)
{
    emk_decision_entity d;
    emk_error e = {0};

    return emk_entity_get(&w->api.records, &emk_decision_shape, emk_span_str(v->id), &d, NULL,
                          &e) == EMK_OK;
}

static void actions_become_verdicts(void **state)
{
    static const struct {
        emk_fraud_action action;
        bool pass, marked;
        emk_decide_help help;
    } ROWS[] = {{EMK_FRAUD_ALLOW, true, false, EMK_HELP_NONE},
                {EMK_FRAUD_OBSERVE, true, false, EMK_HELP_NONE},
                {EMK_FRAUD_MARK, false, true, EMK_HELP_WAIT},
                {EMK_FRAUD_CHALLENGE, false, false, EMK_HELP_ATTEST},
                {EMK_FRAUD_THROTTLE, false, false, EMK_HELP_WAIT},
                {EMK_FRAUD_DENY, false, false, EMK_HELP_NONE},
                {EMK_FRAUD_BAN, false, false, EMK_HELP_NONE}};
    world *w = *state;

    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        emk_verdict v = asked(w, ROWS[i].action);

        assert_int_equal(v.pass, ROWS[i].pass);
        assert_int_equal(v.marked, ROWS[i].marked);
        assert_int_equal(v.help, ROWS[i].help);
        assert_string_equal(w->call.decision, v.id);
        if (ROWS[i].action != EMK_FRAUD_ALLOW)
            assert_true(is_stored(w, &v));
    }
}

static emk_status sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    (void)self;
    (void)msg;
    (void)e;
    memset(sig, 1, 64);
    return EMK_OK;
}

/* A device in the records, as enrolled ones are. */
static void keep_device(world *w)
{
    emk_device_change put;
    emk_error e = {0};

    w->device.gate.alg = EMK_SIGN_ES256;
    assert_ok(emk_device_change_make(w->crypto, w->device_id, &w->device, EMK_RECORD_ANY, &put, &e),
              &e);
    assert_ok(emk_records_commit(&w->api.records, &put.change, 1, NULL, &e), &e);
    assert_ok(emk_device_get(&w->api.records, w->device_id, &w->device, NULL, &e), &e);
}

static void an_effect_that_was_cut_off_is_made_good_by_the_next_decision(void **state)
{
    world *w = *state;
    char *dir = emk_test_dir_make();
    emk_journal_options o = {.origin = "test", .sign = sign, .dir = dir};
    emk_journal_state before, after;
    emk_error e = {0};
    emk_verdict v;

    keep_device(w);
    w->answer.effects = EMK_FRAUD_REATTEST | EMK_FRAUD_OPEN_CASE;
    assert_int_equal(ask(w, &v), EMK_E_BUSY); /* not written down, so not done, nor granted */
    assert_false(v.pass);
    assert_ok(emk_device_get(&w->api.records, w->device_id, &w->device, NULL, &e), &e);
    assert_int_equal(w->device.demand, 0);
    assert_ok(emk_journal_open(w->crypto, &o, &w->api.journal, &e), &e);
    emk_journal_state_get(w->api.journal, &before);
    v = asked(w, EMK_FRAUD_ALLOW);
    assert_int_equal(v.help, EMK_HELP_ATTEST);
    assert_int_equal(v.did, EMK_FRAUD_REATTEST | EMK_FRAUD_OPEN_CASE);
    assert_true(is_stored(w, &v));
    assert_ok(emk_device_get(&w->api.records, w->device_id, &w->device, NULL, &e), &e);
    v = asked(w, EMK_FRAUD_ALLOW);
    assert_int_equal(v.help, EMK_HELP_ATTEST); /* it stands; nothing is done twice */
    assert_int_equal(v.did, 0);
    emk_journal_state_get(w->api.journal, &after);
    assert_int_equal(after.size - before.size, 2);
    (void)!emk_journal_close(w->api.journal, &e);
    w->api.journal = NULL;
    emk_test_dir_remove(dir);
}

static void nobody_passes_when_the_engine_fails(void **state)
{
    world *w = *state;
    emk_verdict v;

    w->status = EMK_E_BUSY;
    assert_int_equal(ask(w, &v), EMK_E_BUSY);
    assert_false(v.pass);
}

static void everybody_passes_without_an_engine(void **state)
{
    world *w = *state;
    emk_verdict v;

    w->api.decider = (emk_decider){NULL, NULL};
    v = asked(w, EMK_FRAUD_DENY);
    assert_true(v.pass);
    assert_string_equal(v.answer.rules, "no engine");
}

static void bans_and_lists_go_before_the_engine(void **state)
{
    world *w = *state;
    emk_user_entity user = {.banned = true, .banned_until_s = 1800000001};
    uint8_t owner[32];
    emk_entity_put put = {.shape = &emk_user_shape,
                          .in = &user,
                          .id = emk_span_of(owner, sizeof owner),
                          .expect = EMK_RECORD_ANY};
    emk_error e = {0};
    emk_verdict v;

    assert_ok(emk_user_owner(w->crypto, w->device.gate.tenant, w->device.gate.user, owner, &e), &e);
    assert_ok(emk_entity_store(&w->api.records, &put, NULL, &e), &e);
    v = asked(w, EMK_FRAUD_ALLOW);
    assert_false(v.pass);
    assert_true(v.banned);
    assert_int_equal(w->n_asked, 0);
    user.banned_until_s = 1800000000; /* over */
    assert_ok(emk_entity_store(&w->api.records, &put, NULL, &e), &e);
    assert_true(asked(w, EMK_FRAUD_ALLOW).pass);
    w->device.gate.revoked = true;
    assert_true(asked(w, EMK_FRAUD_ALLOW).banned);
}

static void list_entries_end(void **state)
{
    world *w = *state;
    emk_list_entity entry = {.expires_s = 1800000001};
    uint8_t id[32];
    emk_entity_put put = {.shape = &emk_list_shape,
                          .in = &entry,
                          .id = emk_span_of(id, sizeof id),
                          .expect = EMK_RECORD_ANY};
    emk_error e = {0};

    assert_ok(emk_list_id(w->crypto, emk_span_str(EMK_LIST_BANNED_USERS),
                          emk_span_str(w->device.gate.user), id, &e),
              &e);
    assert_ok(emk_entity_store(&w->api.records, &put, NULL, &e), &e);
    assert_true(asked(w, EMK_FRAUD_ALLOW).banned);
    entry.expires_s = 1800000000;
    assert_ok(emk_entity_store(&w->api.records, &put, NULL, &e), &e);
    assert_true(asked(w, EMK_FRAUD_ALLOW).pass);
}

static void events_name_nobody(void **state)
{
    world *w = *state;

    (void)asked(w, EMK_FRAUD_ALLOW);
    assert_int_equal(w->last.type, EMK_FRAUD_GRANT);
    assert_int_equal(strlen(w->user), 43); /* a pseudonym */
    assert_null(strstr(w->user, "jane"));
}

#define SECOND UINT64_C(1000000000)

static emk_verdict asked_at(world *w, emk_decide_point point, const uint8_t *ticket)
{
    emk_decide_in in = {
        .point = point, .device_id = w->device_id, .device = &w->device, .ticket_id = ticket};
    emk_error e = {0};
    emk_verdict v;

    assert_ok(emk_api_decide(&w->call, &in, &v, &e), &e);
    return v;
}

/* Whoever worsens from throttle to mark is not served more than before. */
static void a_mark_is_a_throttle_of_a_marked_variant(void **state)
{
    static const emk_fraud_action ACTIONS[] = {EMK_FRAUD_THROTTLE, EMK_FRAUD_MARK};
    world *w = *state;

    w->answer.pace_s = 480;
    for (unsigned i = 0; i < 2; i++) {
        emk_verdict v;

        w->device_id[0] = (uint8_t)i;
        w->device.gate.user[0] = (char)('a' + i);
        v = asked(w, ACTIONS[i]);
        assert_false(v.pass); /* the share is used up when this begins */
        assert_int_equal(v.answer.retry_after_s, 480);
        w->later_ns += 479 * SECOND;
        v = asked(w, ACTIONS[i]);
        assert_false(v.pass);
        assert_true(v.answer.retry_after_s <= 1);
        w->later_ns += 2 * SECOND;
        v = asked(w, ACTIONS[i]);
        assert_true(v.pass);
        assert_int_equal(v.marked, i == 1);
        assert_false(asked(w, ACTIONS[i]).pass);
    }
}

static void worse_does_not_begin_anew_and_who_stays_away_does_not_save_up(void **state)
{
    world *w = *state;

    w->answer.pace_s = 100;
    assert_false(asked(w, EMK_FRAUD_THROTTLE).pass);
    assert_false(asked(w, EMK_FRAUD_MARK).pass);
    w->later_ns += 1000 * SECOND; /* ten times as long */
    assert_true(asked(w, EMK_FRAUD_MARK).pass);
    assert_false(asked(w, EMK_FRAUD_THROTTLE).pass);
    w->later_ns += 101 * SECOND;
    assert_true(asked(w, EMK_FRAUD_THROTTLE).pass);
    /* After a day it is as if nothing had been. */
    w->later_ns += 86400 * SECOND;
    assert_false(asked(w, EMK_FRAUD_THROTTLE).pass);
}

static void another_device_or_another_user_does_not_help(void **state)
{
    world *w = *state;

    w->answer.pace_s = 100;
    assert_false(asked(w, EMK_FRAUD_THROTTLE).pass);
    w->later_ns += 101 * SECOND;
    assert_true(asked(w, EMK_FRAUD_THROTTLE).pass);
    w->device_id[0] = 9; /* of the same user */
    assert_false(asked(w, EMK_FRAUD_THROTTLE).pass);
    w->device_id[0] = 0;
    w->device.gate.user[0] = 'x'; /* of the same device */
    assert_false(asked(w, EMK_FRAUD_THROTTLE).pass);
}

static void a_ticket_that_waited_is_redeemed_and_fetched_at_once(void **state)
{
    static const uint8_t ONE[16] = {1}, OTHER[16] = {2};
    world *w = *state;

    w->answer = (emk_decide_answer){.action = EMK_FRAUD_MARK, .pace_s = 100};
    assert_false(asked_at(w, EMK_DECIDE_TICKET, ONE).pass);
    assert_false(asked_at(w, EMK_DECIDE_REDEEM, ONE).pass); /* it was not let through */
    w->later_ns += 101 * SECOND;
    assert_true(asked_at(w, EMK_DECIDE_TICKET, ONE).pass);
    assert_true(asked_at(w, EMK_DECIDE_REDEEM, ONE).pass);
    assert_true(asked_at(w, EMK_DECIDE_REDEEM, ONE).marked);
    assert_true(asked_at(w, EMK_DECIDE_BLOB, ONE).pass);
    assert_false(asked_at(w, EMK_DECIDE_REDEEM, OTHER).pass);
    assert_false(asked_at(w, EMK_DECIDE_TICKET, ONE).pass);
    assert_false(asked_at(w, EMK_DECIDE_LEASE, ONE).pass);
}

static void nothing_is_served_where_no_share_is_left(void **state)
{
    world *w = *state;

    for (unsigned i = 0; i < 3; i++) {
        assert_false(asked(w, EMK_FRAUD_THROTTLE).pass);
        assert_false(asked(w, EMK_FRAUD_MARK).pass);
        w->later_ns += 100000 * SECOND;
    }
    w->answer.pace_s = 1;
    w->api.counters = (emk_counters){NULL, NULL}; /* and where nobody can count */
    assert_false(asked(w, EMK_FRAUD_MARK).pass);
}

static void refusals_say_what_would_help(void **state)
{
    world *w = *state;
    emk_verdict v = asked(w, EMK_FRAUD_THROTTLE);
    char body[1024];

    v.answer.retry_after_s = 7;
    emk_api_decide_refuse(&w->call, &v);
    assert_int_equal(w->call.response.status, 403);
    snprintf(body, sizeof body, "%.*s", (int)w->call.response.bytes.len,
             (const char *)w->call.response.bytes.p);
    assert_non_null(strstr(body, "\"help\":\"wait\""));
    assert_non_null(strstr(body, v.id));
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    return EMK_RUN(RULE(actions_become_verdicts), RULE(nobody_passes_when_the_engine_fails),
                   RULE(everybody_passes_without_an_engine),
                   RULE(bans_and_lists_go_before_the_engine), RULE(list_entries_end),
                   RULE(events_name_nobody), RULE(a_mark_is_a_throttle_of_a_marked_variant),
                   RULE(worse_does_not_begin_anew_and_who_stays_away_does_not_save_up),
                   RULE(another_device_or_another_user_does_not_help),
                   RULE(a_ticket_that_waited_is_redeemed_and_fetched_at_once),
                   RULE(nothing_is_served_where_no_share_is_left),
                   RULE(an_effect_that_was_cut_off_is_made_good_by_the_next_decision),
                   RULE(refusals_say_what_would_help));
}
