/* POST /v1/devices/{id}/attestations: a device shows again what it is and gets a new certificate,
 * also when the old one is over. */
#include "server/api/effects.h"
#include "server/api/grant.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"
#include "server/api/signals.h"

#include <string.h>

#define REFRESH_BODY_MAX EMK_HTTP_BODY_DEFAULT

typedef struct refresh_body {
    emk_span challenge;
    emk_evidence attestation;
} refresh_body;

static const emk_json_field REFRESH[] = {
    {"challenge", EMK_JSON_BYTES, EMK_JSON_REQUIRED, EMK_CHALLENGE_LEN, EMK_CHALLENGE_LEN,
     offsetof(refresh_body, challenge), NULL},
    {"attestation", EMK_JSON_STRUCT, EMK_JSON_REQUIRED, 0, 0, offsetof(refresh_body, attestation),
     &emk_evidence_shape},
};
static const emk_json_shape REFRESH_SHAPE = {REFRESH, 2};

typedef struct refreshing {
    refresh_body body;
    uint8_t id[EMK_GATE_DEVICE_ID_LEN];
    emk_device_record device;
    uint64_t version;
    emk_grant_batch batch;
} refreshing;

static emk_status commit(emk_call *call, refreshing *x, emk_error *e)
{
    const char *object =
        emk_arena_format(&call->arena, "attestation:%s level:%u",
                         emk_attest_kind_name((emk_attest_kind)x->device.attestation_kind),
                         (unsigned)x->device.gate.attestation_level);
    emk_decide_in about = {.device_id = x->id, .device = &x->device};
    emk_fraud_event note;
    emk_journal_event event;
    emk_span certificate = {0};
    bool was_asked = emk_effects_answered(&x->device, emk_api_now(call->api));
    emk_status st;

    x->device.gate.not_after = emk_api_now(call->api) + call->api->settings.certificate_s;
    st = emk_grant_certificate(call, &x->device, &certificate, e);
    /* The version that the counter was read with: of two assertions one fails. */
    if (st == EMK_OK)
        st = emk_grant_add_device(call, &x->batch, x->id, &x->device, x->version, e);
    if (st != EMK_OK)
        return st;
    emk_api_event(call, "device.attest", EMK_JOURNAL_DONE, &event);
    event.subject = emk_span_of(x->id, sizeof x->id);
    event.object = emk_span_str(object ? object : "");
    if (!emk_api_audit(call, &event) || !emk_grant_commit(call, &x->batch, e))
        return EMK_OK;
    emk_gate_forget_device(call->api->gate, x->id);
    emk_meter_attested(&call->api->meter, x->device.gate.attestation_level);
    emk_fraud_event_init(&note, EMK_FRAUD_DEVICE_ATTEST, emk_api_now(call->api) * 1000);
    emk_api_note(call, &about, &note);
    if (was_asked) {
        emk_fraud_event_init(&note, EMK_FRAUD_CHALLENGE_PASS, emk_api_now(call->api) * 1000);
        emk_api_note(call, &about, &note);
    }
    return emk_grant_answer(call, x->id, &x->device, certificate, 201, e);
}

/* It has signed this request, so it is about the device.  That we could not look is not its doing.
 */
static void note_failed(emk_call *call, const refreshing *x)
{
    const emk_decide_in about = {.device_id = x->id, .device = &x->device};

    if (x->device.demand != 0 &&
        call->response.status != emk_api_problem_status(EMK_API_UNAVAILABLE))
        emk_signal_device(call, &about, EMK_FRAUD_CHALLENGE_FAIL);
}

static bool find_device(emk_call *call, refreshing *x, emk_error *e)
{
    emk_status st;

    if (!emk_grant_id(call, x->id, sizeof x->id))
        return false;
    if (memcmp(x->id, call->gate.who.device_id, sizeof x->id) != 0) {
        emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
        return false;
    }
    st = emk_device_get(&call->api->records, x->id, &x->device, &x->version, e);
    if (st == EMK_OK && !x->device.gate.revoked)
        return true;
    emk_problem_set(call, st == EMK_OK ? EMK_API_POLICY : emk_problem_of_status(st), NULL);
    return false;
}

static emk_status refresh(emk_call *call, emk_error *e)
{
    refreshing *x = emk_arena_take(&call->arena, sizeof *x);
    emk_evidence_for who;
    emk_evidence_changes also;

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "attestations: memory", sizeof *x);
    if (!emk_json_body(call, &REFRESH_SHAPE, &x->body) || !find_device(call, x, e) ||
        !emk_grant_challenge(call, x->body.challenge, &x->batch))
        return EMK_OK;
    who = (emk_evidence_for){
        .device_id = x->id,
        .signing = emk_span_of(x->device.gate.signing_key, emk_sign_public_len(x->device.gate.alg)),
        .agreement = emk_span_of(x->device.agreement, x->device.agreement_len),
        .challenge = x->body.challenge,
        .device = &x->device,
        .refresh = true};
    switch (emk_evidence_verify(call, &x->body.attestation, &who, &also, e)) {
    case EMK_EVIDENCE_GOOD:
        break;
    case EMK_EVIDENCE_REFUSED:
        note_failed(call, x);
        return EMK_OK;
    default:
        return EMK_OK;
    }
    for (size_t i = 0; i < also.n; i++)
        emk_grant_add(&x->batch, &also.v[i], EMK_API_CONFLICT,
                      "attestation: this key is another device's");
    return commit(call, x, e);
}

static const emk_route ROWS[] = {
    {.method = EMK_HTTP_POST,
     .path = "/v1/devices/{id}/attestations",
     .content_type = "application/json",
     .body_max = REFRESH_BODY_MAX,
     .gate = {.name = "attestDevice",
              .admits = EMK_PRINCIPAL_DEVICE | EMK_PRINCIPAL_DEVICE_USER,
              .cost = 10,
              .takes_expired_device = true,
              .klass = EMK_GATE_CLASS_OPEN},
     .handle = refresh},
};

const emk_route_table emk_routes_attestations = {ROWS, sizeof ROWS / sizeof ROWS[0]};
