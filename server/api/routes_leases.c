/* POST /v1/leases: a device asks to keep a model for a while longer.
 *
 * Who is not to have it is answered with a refusal that the issuer signed, and status 200: a device
 * closes its model on such a message and on nothing else, so that nobody in between can.  That
 * is why revoked and expired devices pass the gate here. */
#include "server/api/grant.h"
#include "server/api/guarding.h"
#include "server/api/json_out.h"
#include "server/api/lease.h"
#include "server/api/problem.h"

#include "core/base/os_time.h"

#include <string.h>

#define LEASE_BODY_MAX 16384u
#define LEASE_SPACE    0x4C454153u
#define NONCE_LIFE_NS  (UINT64_C(900) * 1000000000)
#define STORE_TRIES    8u

typedef struct lease_body {
    emk_span request;
} lease_body;

static const emk_json_field LEASE[] = {
    {"request", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, 4096, offsetof(lease_body, request), NULL},
};
static const emk_json_shape LEASE_SHAPE = {LEASE, 1};

/* One lease on its way. */
typedef struct renewing {
    lease_body body;
    emk_lease_request request;
    emk_device_record device;
    emk_ticket_entity entity;
    emk_record_info info;
    emk_ticket ticket;
    emk_verdict verdict;
    emk_guarding guard;
    const char *why; /* of a refusal; static */
    emk_span lease;
    uint64_t until;
} renewing;

static bool refuse_object(emk_call *call, emk_status st)
{
    emk_problem_set(call, emk_problem_of_status(st), NULL);
    return false;
}

static emk_status verify_request(emk_call *call, renewing *x, emk_error *e)
{
    emk_verify_key *key = NULL;
    emk_status st = emk_cose_verify_key(
        call->api->crypto,
        emk_span_of(x->device.gate.signing_key, emk_sign_public_len(x->device.gate.alg)), &key, e);

    if (st == EMK_OK)
        st = emk_problem_object_status(
            emk_lease_request_verify(call->api->crypto, x->body.request, key, &x->request, e));
    emk_verify_key_free(key);
    return st;
}

/* A request is taken once; what a kill forgets, the counter of the HTTP signature still knows. */
static emk_status take_nonce(emk_call *call, const renewing *x, emk_error *e)
{
    uint8_t key[EMK_DEVICE_ID_LEN + EMK_ID_LEN];
    emk_counter_key k = {.space = LEASE_SPACE, .bytes = emk_span_of(key, sizeof key)};
    uint64_t now = emk_os_monotonic_ns();

    memcpy(key, call->gate.who.device_id, EMK_DEVICE_ID_LEN);
    memcpy(key + EMK_DEVICE_ID_LEN, x->request.nonce, EMK_ID_LEN);
    return emk_counters_once(&call->api->counters, &k, now + NONCE_LIFE_NS, now, e);
}

static bool read_all(emk_call *call, renewing *x, emk_error *e)
{
    const uint8_t *device = call->gate.who.device_id;
    emk_status st = emk_device_get(&call->api->records, device, &x->device, NULL, e);

    if (st == EMK_OK)
        st = verify_request(call, x, e);
    if (st == EMK_OK)
        st = emk_entity_get(&call->api->records, &emk_ticket_shape,
                            emk_span_of(x->request.ticket_id, EMK_ID_LEN), &x->entity, &x->info, e);
    /* Another's ticket is one that is not there. */
    if (st == EMK_OK && memcmp(x->entity.device, device, EMK_DEVICE_ID_LEN) != 0)
        st = emk_fail(e, EMK_E_NOT_FOUND, "lease: of another device", 0);
    if (st == EMK_OK)
        st = emk_ticket_parse(call->api->crypto,
                              emk_span_of(x->entity.message.p, x->entity.message.len), &x->ticket,
                              e);
    if (st == EMK_OK)
        st = take_nonce(call, x, e);
    return st == EMK_OK ? true : refuse_object(call, st);
}

/* ---- may it ---- */

static emk_lease_refusal refusal_of_standing(emk_call *call, renewing *x)
{
    if (x->device.gate.revoked) {
        x->why = "device revoked";
        return EMK_LEASE_REVOKED;
    }
    if (x->entity.state == EMK_TICKET_REVOKED) {
        x->why = "ticket revoked";
        return EMK_LEASE_REVOKED;
    }
    if (x->device.gate.not_after <= emk_api_now(call->api)) {
        x->why = "certificate over";
        return EMK_LEASE_ATTEST;
    }
    return EMK_LEASE_GRANTED;
}

static emk_lease_refusal refusal_of_verdict(renewing *x)
{
    const emk_verdict *v = &x->verdict;

    if (v->pass)
        return EMK_LEASE_GRANTED;
    x->why = v->banned ? "banned" : "decision";
    return v->help == EMK_HELP_ATTEST ? EMK_LEASE_ATTEST : EMK_LEASE_REVOKED;
}

/* What the device's guard says; the refusal is one that a new start of the app may undo. */
static emk_status ask_guard(emk_call *call, renewing *x, emk_lease_refusal *why, emk_error *e)
{
    emk_guarding_in in = {.device_id = call->gate.who.device_id,
                          .device = &x->device,
                          .message = x->body.request,
                          .summary = x->request.summary,
                          .min_guard = x->ticket.policy.min_guard};
    emk_status st = emk_api_guarding(call, &in, &x->guard, e);

    if (st == EMK_OK && x->guard == EMK_GUARDING_REFUSE) {
        x->why = "guard";
        *why = EMK_LEASE_ATTEST;
    }
    return st;
}

/* Fills *why; false when it was answered: nobody could be asked, or too often. */
static bool judge(emk_call *call, renewing *x, emk_lease_refusal *why, emk_error *e)
{
    emk_decide_in in = {.point = EMK_DECIDE_LEASE,
                        .device_id = call->gate.who.device_id,
                        .device = &x->device,
                        .model = emk_span_str(x->entity.model),
                        .app = emk_span_str(x->entity.app),
                        .ticket_id = x->entity.message.len ? x->ticket.id : NULL};
    emk_status st = EMK_OK;

    *why = refusal_of_standing(call, x);
    if (*why != EMK_LEASE_GRANTED)
        return true;
    st = emk_lease_request_check(&x->request, &x->ticket, emk_api_now(call->api), e);
    if (st == EMK_E_POLICY && x->request.guard < x->ticket.policy.min_guard) {
        x->why = "guard level";
        *why = EMK_LEASE_UPGRADE;
        return true;
    }
    if (st == EMK_OK)
        st = emk_problem_object_status(ask_guard(call, x, why, e));
    if (st == EMK_OK)
        st = emk_api_decide(call, &in, &x->verdict, e);
    if (st != EMK_OK)
        return refuse_object(call, st);
    if (!x->verdict.pass && x->verdict.help == EMK_HELP_WAIT) {
        emk_api_decide_refuse(call, &x->verdict); /* the lease that is there goes on */
        return false;
    }
    if (*why == EMK_LEASE_GRANTED || !x->verdict.pass)
        *why = refusal_of_verdict(x);
    if (*why == EMK_LEASE_GRANTED &&
        (x->guard == EMK_GUARDING_SHORT || x->verdict.marked || x->entity.marked))
        emk_guarding_shorten(&x->ticket.policy);
    return true;
}

/* A clock that was set back is a signal, for the engine to judge. */
static void note_clock(emk_call *call, const renewing *x)
{
    emk_decide_in in = {.device_id = call->gate.who.device_id, .device = &x->device};
    emk_fraud_event ev;

    if (x->request.created >= x->request.floor)
        return;
    emk_fraud_event_init(&ev, EMK_FRAUD_CLOCK, emk_api_now(call->api) * 1000);
    if (x->request.created < EMK_FRAUD_TS_MAX / 1000)
        emk_fraud_event_number(&ev, EMK_FRAUD_F_TS_CLIENT,
                               (int64_t)(x->request.created * 1000) * EMK_FRAUD_MILLI);
    emk_api_note(call, &in, &ev);
}

/* ---- the answer ---- */

static bool audit(emk_call *call, renewing *x, emk_lease_refusal why)
{
    const char *object =
        emk_arena_format(&call->arena, "model:%.100s %.40s", x->entity.model, x->why ? x->why : "");
    emk_journal_event event;
    emk_error ignored;

    emk_api_event(call, why == EMK_LEASE_GRANTED ? "lease.grant" : "lease.refuse",
                  why == EMK_LEASE_GRANTED ? EMK_JOURNAL_DONE : EMK_JOURNAL_DENIED, &event);
    event.subject = emk_span_of(x->entity.user, sizeof x->entity.user);
    event.object = emk_span_str(object ? object : "");
    if (x->verdict.id[0])
        event.decision = emk_span_str(x->verdict.id);
    if (why == EMK_LEASE_GRANTED)
        return emk_api_audit(call, &event);
    /* A refusal must reach its device, also when the disk is full. */
    if (call->api->journal &&
        emk_journal_append_always(call->api->journal, &event, NULL, &ignored) != EMK_OK)
        return true;
    return true;
}

/* Writes down until when it was given, against whatever else changed the ticket meanwhile. */
static emk_status store_until(emk_call *call, renewing *x, emk_error *e)
{
    emk_entity_put put = {.shape = &emk_ticket_shape,
                          .in = &x->entity,
                          .id = emk_span_of(x->request.ticket_id, EMK_ID_LEN)};
    emk_status st = EMK_E_STALE;

    for (unsigned i = 0; st == EMK_E_STALE && i < STORE_TRIES; i++) {
        if (i > 0) {
            st = emk_entity_get(&call->api->records, &emk_ticket_shape, put.id, &x->entity,
                                &x->info, e);
            if (st != EMK_OK)
                break;
            if (x->entity.state == EMK_TICKET_REVOKED)
                return emk_fail(e, EMK_E_POLICY, "lease: the ticket was revoked meanwhile", 0);
        }
        if (x->until > x->entity.lease_until_s)
            x->entity.lease_until_s = x->until;
        x->entity.n_leases++;
        put.owner = emk_span_of(x->info.owner, x->info.owner_len);
        put.expect = x->info.version;
        put.expires_s = x->info.expires_s;
        st = emk_entity_store(&call->api->records, &put, NULL, e);
    }
    return st;
}

static emk_status answer(emk_call *call, const renewing *x, emk_lease_refusal why, emk_error *e)
{
    static const char *const NAMES[] = {"", "revoked", "attest", "upgrade"};
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 8192);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "lease", x->lease);
    if (why == EMK_LEASE_GRANTED)
        emk_json_out_uint(&o, "until", x->until);
    else
        emk_json_out_text(&o, "refused", emk_span_str(NAMES[why]));
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 200, e);
}

static emk_status renew(emk_call *call, emk_error *e)
{
    renewing *x = emk_arena_take(&call->arena, sizeof *x);
    emk_lease_refusal why;
    emk_status st;

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "leases: memory", sizeof *x);
    if (!emk_json_body(call, &LEASE_SHAPE, &x->body) || !read_all(call, x, e))
        return EMK_OK;
    note_clock(call, x);
    if (!judge(call, x, &why, e))
        return EMK_OK;
    if (why == EMK_LEASE_GRANTED)
        st = emk_api_lease_grant(call, &x->ticket, &x->lease, &x->until, e);
    else
        st = emk_api_lease_refuse(call, &x->ticket, why, &x->lease, e);
    if (st != EMK_OK || !audit(call, x, why))
        return st;
    if (why == EMK_LEASE_GRANTED)
        st = store_until(call, x, e);
    return st == EMK_OK ? answer(call, x, why, e) : st;
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/leases",
     .content_type = "application/json",
     .body_max = LEASE_BODY_MAX,
     .gate = {.name = "renewLease",
              .admits = EMK_PRINCIPAL_DEVICE | EMK_PRINCIPAL_DEVICE_USER,
              .cost = 2,
              .takes_expired_device = true,
              .takes_revoked_device = true,
              .klass = EMK_GATE_CLASS_OPEN},
     .handle = renew},
};

const emk_route_table emk_routes_leases = {ROWS, sizeof ROWS / sizeof ROWS[0]};
