/* Enrolment and revocation: POST /v1/devices, DELETE /v1/devices/{id}.  The group that other
 * groups are modelled on; see docs/spec/http.md.
 *
 * Steps of a route that grants: read the body by a table, check what was signed, sign (what nobody
 * gets has no effect), write the audit entry, then the records, with what is good for one use
 * among them, then answer.  A kill between two steps leaves an entry without an effect, never an
 * effect without an entry. */
#include "core/proto/enrolment.h"
#include "server/api/effects.h"
#include "server/api/grant.h"
#include "server/api/hooks.h"
#include "server/api/idempotency.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"
#include "server/api/signals.h"
#include "server/gate/device_cache.h"

#include <string.h>

#define ENROL_BODY_MAX EMK_HTTP_BODY_DEFAULT
#define REVOKE_TRIES   8u

typedef struct enrol_body {
    emk_span challenge;
    emk_span enrolment;
    emk_evidence attestation;
    emk_span user, tenant;
} enrol_body;

static const emk_json_field ENROL[] = {
    {"challenge", EMK_JSON_BYTES, EMK_JSON_REQUIRED, EMK_CHALLENGE_LEN, EMK_CHALLENGE_LEN,
     offsetof(enrol_body, challenge), NULL},
    {"enrolment", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, 8192, offsetof(enrol_body, enrolment),
     NULL},
    {"attestation", EMK_JSON_STRUCT, EMK_JSON_REQUIRED, 0, 0, offsetof(enrol_body, attestation),
     &emk_evidence_shape},
    {"user", EMK_JSON_TEXT, 0, 1, EMK_PRINCIPAL_NAME_MAX, offsetof(enrol_body, user), NULL},
    {"tenant", EMK_JSON_TEXT, 0, 1, EMK_PRINCIPAL_NAME_MAX, offsetof(enrol_body, tenant), NULL},
};
static const emk_json_shape ENROL_SHAPE = {ENROL, sizeof ENROL / sizeof ENROL[0]};

/* One enrolment on its way. */
typedef struct enrolling {
    enrol_body body;
    emk_enrolment in;
    emk_device_record device;
    emk_user_entity user;
    uint8_t owner[32];
    uint64_t expect, user_expect;
    emk_grant_batch batch;
} enrolling;

/* A token says who its user is; an operator enrols for the user that the body names. */
static bool find_user(emk_call *call, const enrol_body *body, emk_gate_device *out)
{
    const emk_principal *who = &call->gate.who;
    bool by_operator = who->kind == EMK_PRINCIPAL_OPERATOR;

    if (by_operator != (body->user.len > 0) || (!by_operator && body->tenant.len > 0)) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "user: for operators, and only for them");
        return false;
    }
    if (by_operator) {
        memcpy(out->user, body->user.p, body->user.len);
        out->user[body->user.len] = 0;
        if (body->tenant.len > 0)
            memcpy(out->tenant, body->tenant.p, body->tenant.len);
    } else {
        memcpy(out->user, who->user, sizeof out->user);
        memcpy(out->tenant, who->tenant, sizeof out->tenant);
    }
    return true;
}

static void fill_record(const emk_call *call, const emk_enrolment *in, emk_device_record *d)
{
    uint64_t now = emk_api_now(call->api);
    size_t platform = in->platform.len < EMK_PLATFORM_MAX ? in->platform.len : EMK_PLATFORM_MAX;

    d->gate.alg = EMK_SIGN_ES256;
    d->gate.not_after = now + call->api->settings.certificate_s;
    d->kem = in->agree.kem;
    d->agreement_len = in->agree.public_key.len;
    d->enrolled = now;
    memcpy(d->gate.signing_key, in->signing_key.p, in->signing_key.len);
    memcpy(d->agreement, in->agree.public_key.p, in->agree.public_key.len);
    /* The record's text is cut at a character. */
    while (platform > 0 && platform < in->platform.len && (in->platform.p[platform] & 0xC0) == 0x80)
        platform--;
    if (platform > 0)
        memcpy(d->platform, in->platform.p, platform);
}

/* A token that is bound to a key is taken here without that key's proof, which the enrolment is:
 * hold one against the other. */
static bool fits_token(emk_call *call, const emk_enrolment *in, emk_error *e)
{
    const emk_principal *who = &call->gate.who;
    uint8_t jkt[32];

    if (who->kind != EMK_PRINCIPAL_USER || !who->token_is_bound)
        return true;
    if (emk_signing_key_thumbprint(call->api->crypto, EMK_SIGN_ES256, in->signing_key.p, jkt, e) ==
            EMK_OK &&
        memcmp(jkt, who->jkt, sizeof jkt) == 0)
        return true;
    emk_problem_set(call, EMK_API_POLICY, "the token is bound to another key");
    return false;
}

/* A device that is there already stays its user's, and a revoked one stays revoked. */
static bool may_replace(emk_call *call, enrolling *x)
{
    emk_device_record *old = emk_arena_take(&call->arena, sizeof *old);
    emk_error e = {0};
    emk_status st = EMK_E_NO_MEMORY;

    if (old)
        st = emk_device_get(&call->api->records, x->in.device_id, old, &x->expect, &e);
    if (st == EMK_E_NOT_FOUND) {
        x->expect = EMK_RECORD_ABSENT;
        return true;
    }
    if (st != EMK_OK) {
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
        return false;
    }
    if (old->gate.revoked || strcmp(old->gate.user, x->device.gate.user) != 0 ||
        strcmp(old->gate.tenant, x->device.gate.tenant) != 0) {
        emk_problem_set(call, EMK_API_CONFLICT, "this device is another user's, or was revoked");
        return false;
    }
    memcpy(x->device.app_key_id, old->app_key_id, sizeof old->app_key_id);
    x->device.demand = old->demand;
    x->device.asked_s = old->asked_s;
    x->device.ended_s = old->ended_s;
    x->device.held_until_s = old->held_until_s;
    return true;
}

/* ---- the user ---- */

typedef struct counting {
    const uint8_t *but; /* the one being enrolled */
    uint32_t n;
} counting;

static emk_status count_one(void *self, const emk_record_view *r, emk_error *e)
{
    counting *c = self;
    emk_device_record d;

    if (r->id.len == EMK_GATE_DEVICE_ID_LEN && memcmp(r->id.p, c->but, r->id.len) == 0)
        return EMK_OK;
    if (emk_device_read(r->value, &d, e) != EMK_OK || !d.gate.revoked)
        c->n++; /* one that cannot be read counts */
    return EMK_OK;
}

static emk_status read_user(emk_call *call, enrolling *x, emk_error *e)
{
    emk_record_info info = {.version = EMK_RECORD_ABSENT};
    emk_status st =
        emk_user_owner(call->api->crypto, x->device.gate.tenant, x->device.gate.user, x->owner, e);

    if (st == EMK_OK)
        st = emk_entity_get(&call->api->records, &emk_user_shape,
                            emk_span_of(x->owner, sizeof x->owner), &x->user, &info, e);
    x->user_expect = info.version;
    if (st != EMK_E_NOT_FOUND)
        return st;
    *e = (emk_error){.status = EMK_OK}; /* a new user is no fault */
    x->user = (emk_user_entity){.created_s = emk_api_now(call->api)};
    memcpy(x->user.subject, x->device.gate.user, sizeof x->user.subject);
    memcpy(x->user.tenant, x->device.gate.tenant, sizeof x->user.tenant);
    return EMK_OK;
}

/* Made by the first enrolment.  Its version goes into the batch: two enrolments at once cannot
 * both be the last one that is allowed. */
static bool admit_user(emk_call *call, enrolling *x, emk_error *e)
{
    uint32_t most = call->api->settings.devices_per_user;
    counting devices = {.but = x->in.device_id};
    emk_record_scan scan = {.kind = EMK_KIND_DEVICE,
                            .owner = emk_span_of(x->owner, sizeof x->owner),
                            .limit = EMK_RECORD_SCAN_MAX};
    emk_status st = read_user(call, x, e);

    if (st == EMK_OK && most > 0)
        st = emk_records_scan(&call->api->records, &scan, count_one, &devices, e);
    if (st != EMK_OK)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    else if (emk_user_is_banned(&x->user, emk_api_now(call->api)))
        emk_problem_set_help(call, "this is not allowed", EMK_HELP_NONE);
    else if (most > 0 && devices.n >= most)
        emk_problem_set_help(call, "too many devices; remove one", EMK_HELP_UPGRADE);
    else
        return true;
    return false;
}

static emk_status add_user(emk_call *call, enrolling *x, emk_error *e)
{
    emk_entity_put put = {.shape = &emk_user_shape,
                          .in = &x->user,
                          .id = emk_span_of(x->owner, sizeof x->owner),
                          .expect = x->user_expect};
    emk_entity_change change;
    emk_span value = {0};
    emk_status st;

    x->user.last_seen_s = emk_api_now(call->api);
    st = emk_entity_change_make(&put, &change, e);
    if (st != EMK_OK)
        return st;
    st = emk_arena_copy(&call->arena, change.change.value, &value, e);
    change.change.value = value;
    if (st == EMK_OK)
        emk_grant_add(&x->batch, &change.change, EMK_API_CONFLICT, "the user changed meanwhile");
    emk_entity_change_done(&change);
    return st;
}

/* ---- enrolment ---- */

/* Who is being erased is not made anew before that has ended. */
static void add_not_erased(enrolling *x, const uint8_t id[32])
{
    emk_record_change no = {.op = EMK_RECORD_CHECK,
                            .kind = EMK_KIND_ERASURE,
                            .id = emk_span_of(id, 32),
                            .expect = EMK_RECORD_ABSENT};

    emk_grant_add(&x->batch, &no, EMK_API_UNAVAILABLE, "an erasure is under way; again");
}

static emk_status commit(emk_call *call, enrolling *x, emk_error *e)
{
    const char *object =
        emk_arena_format(&call->arena, "attestation:%s level:%u",
                         emk_attest_kind_name((emk_attest_kind)x->device.attestation_kind),
                         (unsigned)x->device.gate.attestation_level);
    emk_decide_in about = {.device_id = x->in.device_id, .device = &x->device};
    emk_fraud_event note;
    emk_journal_event event;
    emk_span certificate = {0};
    bool was_asked = emk_effects_answered(&x->device, emk_api_now(call->api));
    emk_status st = emk_grant_certificate(call, &x->device, &certificate, e);

    if (st == EMK_OK)
        st = add_user(call, x, e);
    if (st == EMK_OK)
        st = emk_grant_add_device(call, &x->batch, x->in.device_id, &x->device, x->expect, e);
    if (st != EMK_OK)
        return st;
    emk_api_event(call, "device.enrol", EMK_JOURNAL_DONE, &event);
    event.subject = emk_span_of(x->in.device_id, sizeof x->in.device_id);
    event.object = emk_span_str(object ? object : "");
    add_not_erased(x, x->owner);
    add_not_erased(x, x->in.device_id);
    if (!emk_api_audit(call, &event) || !emk_grant_commit(call, &x->batch, e))
        return EMK_OK;
    x->device.version = EMK_RECORD_ANY;
    emk_gate_forget_device(call->api->gate, x->in.device_id);
    emk_meter_attested(&call->api->meter, x->device.gate.attestation_level);
    emk_fraud_event_init(&note, EMK_FRAUD_DEVICE_ENROLL, emk_api_now(call->api) * 1000);
    emk_api_note(call, &about, &note);
    if (was_asked) {
        emk_fraud_event_init(&note, EMK_FRAUD_CHALLENGE_PASS, emk_api_now(call->api) * 1000);
        emk_api_note(call, &about, &note);
    }
    return emk_grant_answer(call, x->in.device_id, &x->device, certificate, 201, e);
}

/* Of the network: a device that did not pass is nobody yet.  That we could not look is not its
 * doing. */
static void note_refused(emk_call *call)
{
    if (call->response.status != emk_api_problem_status(EMK_API_UNAVAILABLE))
        emk_signal_net(call, EMK_FRAUD_ENROLL_REFUSED);
}

static emk_status enrol_checked(emk_call *call, enrolling *x, emk_error *e)
{
    emk_evidence_for who = {.device_id = x->in.device_id,
                            .signing = x->in.signing_key,
                            .agreement = x->in.agree.public_key,
                            .challenge = x->body.challenge,
                            .device = &x->device};
    emk_evidence_changes also;

    fill_record(call, &x->in, &x->device);
    if (!fits_token(call, &x->in, e) || !may_replace(call, x) || !admit_user(call, x, e))
        return EMK_OK;
    switch (emk_evidence_verify(call, &x->body.attestation, &who, &also, e)) {
    case EMK_EVIDENCE_GOOD:
        break;
    case EMK_EVIDENCE_REFUSED:
        note_refused(call);
        return EMK_OK;
    default:
        return EMK_OK;
    }
    for (size_t i = 0; i < also.n; i++)
        emk_grant_add(&x->batch, &also.v[i], EMK_API_CONFLICT,
                      "attestation: this key is another device's");
    return commit(call, x, e);
}

static emk_status enrol_once(emk_call *call, emk_error *e)
{
    enrolling *x = emk_arena_take(&call->arena, sizeof *x);
    emk_status st;

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "devices: memory", sizeof *x);
    if (!emk_json_body(call, &ENROL_SHAPE, &x->body) || !find_user(call, &x->body, &x->device.gate))
        return EMK_OK;
    st = emk_problem_object_status(
        emk_enrolment_verify(call->api->crypto, x->body.enrolment, &x->in, e));
    if (st != EMK_OK || !emk_grant_challenge(call, x->body.challenge, &x->batch))
        return st;
    return enrol_checked(call, x, e);
}

static emk_status enrol(emk_call *call, emk_error *e)
{
    emk_idempotency once;
    emk_status st;

    if (emk_idempotency_begin(call, &once) == EMK_IDEMPOTENCY_ANSWERED)
        return EMK_OK;
    st = enrol_once(call, e);
    if (st != EMK_OK)
        emk_problem_set(call, emk_problem_of_status(st), NULL);
    emk_idempotency_finish(call, &once);
    return EMK_OK;
}

/* ---- revocation ---- */

/* A user's own devices only; of others' nothing is told. */
static bool may_revoke(const emk_call *call, const emk_device_record *d)
{
    const emk_principal *who = &call->gate.who;

    return who->kind == EMK_PRINCIPAL_OPERATOR ||
           (strcmp(who->user, d->gate.user) == 0 && strcmp(who->tenant, d->gate.tenant) == 0);
}

static emk_status revoke_record(emk_call *call, const uint8_t id[32], emk_device_record *d,
                                emk_error *e)
{
    emk_device_change *put = emk_arena_take(&call->arena, sizeof *put);
    uint64_t version = 0;
    emk_status st = put ? EMK_E_STALE : emk_fail(e, EMK_E_NO_MEMORY, "devices: memory", 0);

    /* Others may write the record at the same time (an assertion's counter). */
    for (unsigned i = 0; st == EMK_E_STALE && i < REVOKE_TRIES; i++) {
        st = emk_device_get(&call->api->records, id, d, &version, e);
        if (st != EMK_OK || !may_revoke(call, d))
            break;
        d->gate.revoked = true;
        st = emk_device_change_make(call->api->crypto, id, d, version, put, e);
        if (st == EMK_OK)
            st = emk_records_commit(&call->api->records, &put->change, 1, NULL, e);
    }
    return st;
}

/* Goes on when the audit log cannot be written: its entry waits in memory and is marked late. */
static emk_status revoke(emk_call *call, emk_error *e)
{
    emk_device_record *d = emk_arena_take(&call->arena, sizeof *d);
    emk_decide_in about = {.device = d};
    emk_fraud_event note;
    emk_journal_event event;
    uint8_t id[EMK_GATE_DEVICE_ID_LEN];
    emk_status st;

    if (!emk_grant_id(call, id, sizeof id))
        return EMK_OK;
    st = d ? revoke_record(call, id, d, e) : EMK_E_NO_MEMORY;
    if (st == EMK_E_NOT_FOUND || (st == EMK_OK && !d->gate.revoked)) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    if (st != EMK_OK)
        return st;
    if (!may_revoke(call, d)) { /* revoked already, and not by this one */
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return EMK_OK;
    }
    emk_gate_forget_device(call->api->gate, id);
    emk_api_event(call, "device.revoke", EMK_JOURNAL_DONE, &event);
    event.subject = emk_span_of(id, sizeof id);
    st = call->api->journal ? emk_journal_append_always(call->api->journal, &event, NULL, e)
                            : emk_fail(e, EMK_E_BUSY, "devices: no audit log", 0);
    if (st != EMK_OK)
        return st;
    about.device_id = id;
    emk_fraud_event_init(&note, EMK_FRAUD_DEVICE_REVOKE, emk_api_now(call->api) * 1000);
    emk_api_note(call, &about, &note);
    emk_api_tell_revoked(call, id);
    emk_reply_empty(call, 204);
    return EMK_OK;
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/devices",
     .content_type = "application/json",
     .body_max = ENROL_BODY_MAX,
     .gate = {.name = "enrolDevice",
              .admits = EMK_PRINCIPAL_USER | EMK_PRINCIPAL_OPERATOR,
              .scopes = EMK_SCOPE_MODERATE,
              .cost = 10,
              .checks_binding = true,
              .klass = EMK_GATE_CLASS_GENERATE},
     .handle = enrol},
    {.method = EMK_HTTP_DELETE,
     .path = "/v1/devices/{id}",
     .gate = {.name = "revokeDevice",
              .admits = EMK_PRINCIPAL_USER | EMK_PRINCIPAL_OPERATOR,
              .scopes = EMK_SCOPE_MODERATE,
              .cost = 1,
              .keeps_in_outage = true,
              .klass = EMK_GATE_CLASS_ALWAYS},
     .handle = revoke},
};

const emk_route_table emk_routes_devices = {ROWS, sizeof ROWS / sizeof ROWS[0]};
