/* Enrolment: POST /v1/devices.  The group that other groups are modelled on; see docs/spec/http.md.
 *
 * Steps of a route that grants: read the body by a table, check what was signed, use what is good
 * for one use, write the audit entry, then the record, then sign and answer.  A kill between two
 * steps leaves an entry without an effect, never an effect without an entry. */
#include "core/crypto/hash.h"
#include "core/proto/device_certificate.h"
#include "core/proto/enrolment.h"
#include "server/api/api.h"
#include "server/api/directory.h"
#include "server/api/idempotency.h"
#include "server/api/json_in.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"

#include <string.h>

typedef struct attestation_body {
    emk_span kind;
} attestation_body;

typedef struct enrol_body {
    emk_span challenge;
    emk_span enrolment;
    attestation_body attestation;
    emk_span user;
} enrol_body;

static const emk_json_field ATTESTATION[] = {
    {"kind", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 32, offsetof(attestation_body, kind), NULL},
};
static const emk_json_shape ATTESTATION_SHAPE = {ATTESTATION, 1};

static const emk_json_field ENROL[] = {
    {"challenge", EMK_JSON_BYTES, EMK_JSON_REQUIRED, EMK_CHALLENGE_LEN, EMK_CHALLENGE_LEN,
     offsetof(enrol_body, challenge), NULL},
    {"enrolment", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, 8192, offsetof(enrol_body, enrolment),
     NULL},
    {"attestation", EMK_JSON_STRUCT, EMK_JSON_REQUIRED, 0, 0, offsetof(enrol_body, attestation),
     &ATTESTATION_SHAPE},
    {"user", EMK_JSON_TEXT, 0, 1, EMK_PRINCIPAL_NAME_MAX, offsetof(enrol_body, user), NULL},
};
static const emk_json_shape ENROL_SHAPE = {ENROL, 4};

/* A token says who its user is; an operator enrols for the user that the body names. */
static bool find_user(emk_call *call, const enrol_body *body, char user[EMK_PRINCIPAL_NAME_MAX + 1])
{
    const emk_principal *who = &call->gate.who;
    bool by_operator = who->kind == EMK_PRINCIPAL_OPERATOR;

    if (by_operator != (body->user.len > 0)) {
        emk_problem_set(call, EMK_API_INVALID_BODY, "user: for operators, and only for them");
        return false;
    }
    if (by_operator) {
        memcpy(user, body->user.p, body->user.len);
        user[body->user.len] = 0;
    } else {
        memcpy(user, who->user, EMK_PRINCIPAL_NAME_MAX + 1);
    }
    return true;
}

/* Good, and not used before. */
static bool use_challenge(emk_call *call, emk_span challenge)
{
    uint64_t now = emk_api_now(call->api);
    uint8_t id[32];
    emk_record_change used = {.op = EMK_RECORD_PUT,
                              .kind = EMK_KIND_CHALLENGE,
                              .id = emk_span_of(id, sizeof id),
                              .expect = EMK_RECORD_ABSENT,
                              .expires_s = now + EMK_CHALLENGE_LIFE_S};
    emk_error e = {0};
    emk_status st = emk_challenge_verify(call->api->nonces, challenge, now, &e);

    if (st == EMK_OK)
        st = emk_sha256(call->api->crypto, &challenge, 1, id, &e);
    if (st == EMK_OK)
        st = emk_records_commit(&call->api->records, &used, 1, NULL, &e);
    if (st == EMK_OK)
        return true;
    if (st == EMK_E_FORMAT || st == EMK_E_SIGNATURE || st == EMK_E_STALE || st == EMK_E_USED)
        emk_problem_set(call, EMK_API_USED, "challenge: used, over, or not ours; ask for another");
    else
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

static void fill_record(const emk_enrolment *in, const char *user, const emk_api *api,
                        emk_device_record *out)
{
    uint64_t now = emk_api_now(api);
    size_t platform = in->platform.len < EMK_PLATFORM_MAX ? in->platform.len : EMK_PLATFORM_MAX;

    *out = (emk_device_record){.gate = {.alg = EMK_SIGN_ES256,
                                        .attestation_level = 0,
                                        .not_after = now + api->settings.certificate_s},
                               .kem = in->agree.kem,
                               .agreement_len = in->agree.public_key.len,
                               .attestation_kind = EMK_ATTESTATION_NONE,
                               .enrolled = now};
    memcpy(out->gate.signing_key, in->signing_key.p, in->signing_key.len);
    memcpy(out->agreement, in->agree.public_key.p, in->agree.public_key.len);
    memcpy(out->gate.user, user, sizeof out->gate.user);
    if (platform > 0)
        memcpy(out->platform, in->platform.p, platform);
}

/* A device that is there already stays its user's, and a revoked one stays revoked. */
static bool may_replace(emk_call *call, const emk_enrolment *in, const char *user, uint64_t *expect)
{
    emk_device_record old;
    emk_error e = {0};
    emk_status st = emk_device_get(&call->api->records, in->device_id, &old, expect, &e);

    if (st == EMK_E_NOT_FOUND) {
        *expect = EMK_RECORD_ABSENT;
        return true;
    }
    if (st != EMK_OK)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    else if (old.gate.revoked || strcmp(old.gate.user, user) != 0)
        emk_problem_set(call, EMK_API_CONFLICT, "this device is another user's, or was revoked");
    else
        return true;
    return false;
}

static emk_status sign_certificate(emk_call *call, const emk_enrolment *in,
                                   const emk_device_record *d, emk_span *out, emk_error *e)
{
    emk_device_certificate cert = {.signing_key = in->signing_key,
                                   .agree = in->agree,
                                   .attestation_kind = d->attestation_kind,
                                   .attestation_level = d->gate.attestation_level,
                                   .issued = d->enrolled,
                                   .not_after = d->gate.not_after};
    const emk_api *api = call->api;
    emk_keyholder_slot slot;
    emk_signer signer;
    emk_buf message;
    emk_status st;

    emk_buf_init(&message, EMK_HTTP_BODY_DEFAULT);
    st = emk_keyholder_signer(api->crypto, &api->keyholder, EMK_KEYHOLDER_DEVICE_CERTIFICATE, &slot,
                              &signer, e);
    if (st == EMK_OK)
        st = emk_device_certificate_sign(api->crypto, &signer, &cert, &message, e);
    if (st == EMK_OK)
        st = emk_arena_copy(&call->arena, emk_buf_span(&message), out, e);
    emk_buf_done(&message);
    return st;
}

static emk_status store_device(emk_call *call, const emk_enrolment *in, const emk_device_record *d,
                               uint64_t expect, emk_error *e)
{
    emk_device_change *put = emk_arena_take(&call->arena, sizeof *put);
    emk_status st;

    if (!put)
        return emk_fail(e, EMK_E_NO_MEMORY, "devices: memory", 0);
    st = emk_device_change_make(call->api->crypto, in->device_id, d, expect, put, e);
    if (st == EMK_OK)
        st = emk_records_commit(&call->api->records, &put->change, 1, NULL, e);
    if (st == EMK_OK)
        emk_gate_forget_device(call->api->gate, in->device_id);
    return st;
}

static emk_status answer(emk_call *call, const emk_enrolment *in, const emk_device_record *d,
                         emk_span certificate, emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 8192);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "device", emk_span_of(in->device_id, sizeof in->device_id));
    emk_json_out_base64url(&o, "certificate", certificate);
    emk_json_out_uint(&o, "attestation_level", d->gate.attestation_level);
    emk_json_out_uint(&o, "not_after", d->gate.not_after);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, 201, e);
}

static emk_status enrol_checked(emk_call *call, const emk_enrolment *in, const char *user,
                                emk_error *e)
{
    emk_device_record d;
    emk_journal_event event;
    emk_span certificate = {0};
    uint64_t expect;
    emk_status st;

    fill_record(in, user, call->api, &d);
    if (!may_replace(call, in, user, &expect))
        return EMK_OK;
    /* First what can fail without harm: a certificate that nobody gets has no effect. */
    st = sign_certificate(call, in, &d, &certificate, e);
    if (st != EMK_OK)
        return st;
    emk_api_event(call, "device.enrol", EMK_JOURNAL_DONE, &event);
    event.subject = emk_span_of(in->device_id, sizeof in->device_id);
    event.object = emk_span_str("attestation:none");
    if (!emk_api_audit(call, &event))
        return EMK_OK;
    st = store_device(call, in, &d, expect, e);
    return st == EMK_OK ? answer(call, in, &d, certificate, e) : st;
}

static emk_status enrol_once(emk_call *call, emk_error *e)
{
    char user[EMK_PRINCIPAL_NAME_MAX + 1] = "";
    enrol_body body = {.user = {0}};
    emk_enrolment enrolment;
    emk_status st;

    if (!emk_json_body(call, &ENROL_SHAPE, &body) || !find_user(call, &body, user))
        return EMK_OK;
    if (!emk_span_equal(body.attestation.kind, emk_span_str("none")) ||
        !call->api->settings.allow_no_attestation) {
        emk_problem_set(call, EMK_API_POLICY, "attestation: this kind is not taken here");
        return EMK_OK;
    }
    st = emk_enrolment_verify(call->api->crypto, body.enrolment, &enrolment, e);
    if (st != EMK_OK || !use_challenge(call, body.challenge))
        return st;
    return enrol_checked(call, &enrolment, user, e);
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

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/devices",
     .content_type = "application/json",
     .body_max = EMK_HTTP_BODY_DEFAULT,
     .gate = {.name = "enrolDevice",
              .admits = EMK_PRINCIPAL_USER | EMK_PRINCIPAL_OPERATOR,
              .scopes = EMK_SCOPE_MODERATE,
              .cost = 10,
              .klass = EMK_GATE_CLASS_GENERATE},
     .handle = enrol},
};

const emk_route_table emk_routes_devices = {ROWS, sizeof ROWS / sizeof ROWS[0]};
