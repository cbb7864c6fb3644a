/* What the engine is told of refusals, and that nobody is blamed for what others did. */
#include "server/api/signals.h"

#include "server/api/api.h"
#include "server/api/fraud_engine.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MS   UINT64_C(1000000)
#define HERE "203.0.113.7"
#define AWAY "198.51.100.9"

/* A minute that begins: sketches count by minutes. */
#define NOW_S UINT64_C(1800000000)

typedef struct world {
    emk_crypto *crypto;
    emk_api api;
    emk_fraud_host *host;
    emk_decider real;
    char dir[64];
    uint64_t now_ns;
    unsigned n_noted;
    emk_fraud_event last; /* its texts are gone */
} world;

static uint64_t clock_of(void *self)
{
    return NOW_S + ((world *)self)->now_ns / (1000 * MS);
}

static emk_status decide(void *self, const emk_fraud_event *ev, emk_decide_answer *out,
                         emk_error *e)
{
    world *w = self;

    return w->real.ops->decide(w->real.self, ev, out, e);
}

static emk_status note(void *self, const emk_fraud_event *ev, emk_decide_answer *out, emk_error *e)
{
    world *w = self;

    w->n_noted++;
    w->last = *ev;
    return w->real.ops->note(w->real.self, ev, out, e);
}

static const emk_decide_ops OPS = {
    .size = sizeof(emk_decide_ops), .name = "test", .decide = decide, .note = note};

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_fraud_host_config config = {.users = 1000};
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};

    assert_non_null(w);
    snprintf(w->dir, sizeof w->dir, "/tmp/emk-signals-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    assert_ok(emk_records_open_memory(&w->api.records, &e), &e);
    config.crypto = w->crypto;
    config.dir = w->dir;
    assert_ok(emk_fraud_host_open(&config, &w->host, &d, &e), &e);
    assert_ok(emk_signals_new(w->crypto, &w->api.signals, &e), &e);
    w->real = emk_fraud_host_decider(w->host);
    w->api.crypto = w->crypto;
    w->api.clock = clock_of;
    w->api.clock_self = w;
    w->api.decider = (emk_decider){&OPS, w};
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;
    char command[128];
    emk_error e;

    assert_ok(emk_fraud_host_close(w->host, &e), &e);
    emk_signals_free(w->api.signals);
    emk_records_close(&w->api.records);
    emk_crypto_free(w->crypto);
    snprintf(command, sizeof command, "rm -r %s", w->dir);
    free(w);
    return system(command);
}

/* ---- who and where ---- */

static void device_id(unsigned i, uint8_t id[32])
{
    memset(id, (int)i, 32);
}

static void device_of(unsigned i, emk_device_record *d)
{
    memset(d, 0, sizeof *d);
    snprintf(d->gate.user, sizeof d->gate.user, "user-%u", i);
    snprintf(d->gate.tenant, sizeof d->gate.tenant, "main");
    d->gate.alg = EMK_SIGN_ED25519;
    d->gate.not_after = NOW_S + 86400;
    d->gate.attestation_level = 2;
    d->enrolled = NOW_S - 86400;
}

static void enrol(world *w, unsigned i)
{
    static emk_device_change change;
    emk_device_record d;
    uint8_t id[32];
    emk_error e;

    device_id(i, id);
    device_of(i, &d);
    assert_ok(emk_device_change_make(w->crypto, id, &d, EMK_RECORD_ABSENT, &change, &e), &e);
    assert_ok(emk_records_commit(&w->api.records, &change.change, 1, NULL, &e), &e);
}

static void call_from(world *w, emk_call *call, const char *address)
{
    static unsigned n;

    emk_call_init(call, &w->api);
    call->request.now_ns = w->now_ns + 1;
    snprintf(call->id, sizeof call->id, "call%u", n++);
    assert_ok(emk_address_parse(emk_span_str(address), &call->gate.client, NULL), NULL);
}

/* The gate refused a request in the name of device i. */
static void refused(world *w, unsigned i, const char *address, emk_gate_reason reason)
{
    emk_call call;

    call_from(w, &call, address);
    call.gate.reason = reason;
    call.gate.has_proven = reason == EMK_GATE_REPLAYED;
    if (call.gate.has_proven)
        device_id(i, call.gate.proven);
    emk_signal_refused(&call);
    emk_call_done(&call);
}

static emk_fraud_action ticket(world *w, unsigned i, const char *address)
{
    emk_device_record d;
    uint8_t id[32];
    emk_decide_in in = {.point = EMK_DECIDE_TICKET, .device_id = id, .device = &d};
    emk_verdict v;
    emk_call call;
    emk_error e = {0};

    device_id(i, id);
    device_of(i, &d);
    call_from(w, &call, address);
    assert_ok(emk_api_decide(&call, &in, &v, &e), &e);
    emk_call_done(&call);
    return v.answer.action;
}

/* ---- rules ---- */

static void forged_requests_name_nobody(void **state)
{
    world *w = *state;

    enrol(w, 1);
    refused(w, 1, HERE, EMK_GATE_SIGNATURE_BAD);
    assert_int_equal(w->n_noted, 1);
    assert_int_equal(w->last.type, EMK_FRAUD_SIG_FAIL);
    assert_false(emk_fraud_has(&w->last, EMK_FRAUD_F_DEVICE));
    assert_false(emk_fraud_has(&w->last, EMK_FRAUD_F_USER));
    assert_true(emk_fraud_has(&w->last, EMK_FRAUD_F_NET));
    assert_true(emk_fraud_has(&w->last, EMK_FRAUD_F_IP));
}

static void nobody_is_framed_by_forged_requests(void **state)
{
    world *w = *state;

    enrol(w, 1);
    assert_int_equal(ticket(w, 1, AWAY), EMK_FRAUD_ALLOW);
    for (unsigned i = 0; i < 200; i++)
        refused(w, 1, HERE, EMK_GATE_SIGNATURE_BAD);
    assert_int_equal(ticket(w, 1, AWAY), EMK_FRAUD_ALLOW);
    /* The network is slowed down while it lasts; nothing of that stays with who was there. */
    assert_int_equal(ticket(w, 1, HERE), EMK_FRAUD_THROTTLE);
    assert_int_equal(ticket(w, 1, AWAY), EMK_FRAUD_ALLOW);
    w->now_ns += 3600 * 1000 * MS;
    assert_int_equal(ticket(w, 1, HERE), EMK_FRAUD_ALLOW);
}

static void ten_forged_within_a_minute_throttle_the_network(void **state)
{
    world *w = *state;

    for (unsigned i = 0; i < 9; i++)
        refused(w, i, HERE, i % 2 ? EMK_GATE_SIGNATURE_BAD : EMK_GATE_DEVICE_UNKNOWN);
    assert_int_not_equal(ticket(w, 100, HERE), EMK_FRAUD_THROTTLE);
    refused(w, 9, HERE, EMK_GATE_SIGNATURE_BAD);
    assert_int_equal(ticket(w, 101, HERE), EMK_FRAUD_THROTTLE);
    assert_int_equal(ticket(w, 102, AWAY), EMK_FRAUD_ALLOW);
}

static void one_honest_retry_does_not_deny(void **state)
{
    world *w = *state;

    enrol(w, 1);
    refused(w, 1, HERE, EMK_GATE_REPLAYED);
    assert_int_equal(w->last.type, EMK_FRAUD_REPLAY);
    assert_true(emk_fraud_has(&w->last, EMK_FRAUD_F_DEVICE));
    assert_true(emk_fraud_has(&w->last, EMK_FRAUD_F_USER));
    assert_int_equal(ticket(w, 1, HERE), EMK_FRAUD_ALLOW);
}

/* All that were under way when the server came back are refused together, and once more. */
static void many_retries_at_once_are_one(void **state)
{
    world *w = *state;

    enrol(w, 1);
    for (unsigned i = 0; i < 50; i++)
        refused(w, 1, HERE, EMK_GATE_REPLAYED);
    w->now_ns += 2001 * MS;
    for (unsigned i = 0; i < 50; i++)
        refused(w, 1, HERE, EMK_GATE_REPLAYED);
    assert_int_equal(w->n_noted, 2);
    assert_int_equal(ticket(w, 1, HERE), EMK_FRAUD_ALLOW);
}

static void who_replays_again_and_again_is_denied(void **state)
{
    world *w = *state;

    enrol(w, 1);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(ticket(w, 1, HERE), EMK_FRAUD_ALLOW);
        refused(w, 1, HERE, EMK_GATE_REPLAYED);
        w->now_ns += 3000 * MS;
    }
    assert_int_equal(ticket(w, 1, HERE), EMK_FRAUD_DENY);
    assert_int_equal(ticket(w, 2, HERE), EMK_FRAUD_ALLOW);
    w->now_ns += 3600 * 1000 * MS;
    assert_int_equal(ticket(w, 1, HERE), EMK_FRAUD_ALLOW);
}

static void replay_of_a_device_that_is_gone_is_not_told(void **state)
{
    world *w = *state;

    refused(w, 1, HERE, EMK_GATE_REPLAYED);
    assert_int_equal(w->n_noted, 0);
}

static void floods_are_dropped_and_counted(void **state)
{
    world *w = *state;
    emk_signals_stats s;

    for (unsigned i = 0; i < 1000; i++)
        refused(w, i, HERE, EMK_GATE_SIGNATURE_BAD);
    assert_int_equal(w->n_noted, 30);
    /* From more networks than there are places for. */
    for (unsigned i = 0; i < 10000; i++) {
        char address[40];

        snprintf(address, sizeof address, "2001:db8:%x:%x::1", i / 256, i % 256);
        refused(w, i, address, EMK_GATE_SIGNATURE_BAD);
    }
    assert_true(w->n_noted <= 201);
    emk_signals_stats_of(w->api.signals, &s);
    assert_int_equal(s.told, w->n_noted);
    assert_int_equal(s.told + s.dropped, 11000);
    /* What is proven has a pace of its own. */
    enrol(w, 1);
    refused(w, 1, HERE, EMK_GATE_REPLAYED);
    assert_int_equal(w->last.type, EMK_FRAUD_REPLAY);
}

static void other_refusals_are_not_told(void **state)
{
    world *w = *state;

    for (int r = 0; r < EMK_GATE_REASONS; r++)
        if (r != EMK_GATE_SIGNATURE_BAD && r != EMK_GATE_DEVICE_UNKNOWN && r != EMK_GATE_REPLAYED)
            refused(w, 1, HERE, (emk_gate_reason)r);
    assert_int_equal(w->n_noted, 0);
    emk_signals_free(w->api.signals);
    w->api.signals = NULL;
    refused(w, 1, HERE, EMK_GATE_SIGNATURE_BAD);
    assert_int_equal(w->n_noted, 0);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    return EMK_RUN(RULE(forged_requests_name_nobody), RULE(nobody_is_framed_by_forged_requests),
                   RULE(ten_forged_within_a_minute_throttle_the_network),
                   RULE(one_honest_retry_does_not_deny), RULE(many_retries_at_once_are_one),
                   RULE(who_replays_again_and_again_is_denied),
                   RULE(replay_of_a_device_that_is_gone_is_not_told),
                   RULE(floods_are_dropped_and_counted), RULE(other_refusals_are_not_told));
}
