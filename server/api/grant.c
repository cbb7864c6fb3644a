#include "server/api/grant.h"

#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/proto/device_certificate.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"

#include <string.h>

#define ID_MAX 32u

void emk_grant_add(emk_grant_batch *b, const emk_record_change *change, emk_api_problem clash,
                   const char *why)
{
    b->v[b->n] = *change;
    b->clash[b->n] = clash;
    b->why[b->n] = why;
    b->n++;
}

emk_status emk_grant_add_device(emk_call *call, emk_grant_batch *b, const uint8_t id[32],
                                const emk_device_record *d, uint64_t expect, emk_error *e)
{
    emk_device_change *put = emk_arena_take(&call->arena, sizeof *put);
    emk_status st;

    if (!put)
        return emk_fail(e, EMK_E_NO_MEMORY, "devices: memory", sizeof *put);
    st = emk_device_change_make(call->api->crypto, id, d, expect, put, e);
    if (st == EMK_OK)
        emk_grant_add(b, &put->change, EMK_API_CONFLICT, "the device changed meanwhile");
    return st;
}

bool emk_grant_commit(emk_call *call, const emk_grant_batch *b, emk_error *e)
{
    emk_status st = emk_records_commit(&call->api->records, b->v, b->n, NULL, e);

    if (st == EMK_OK)
        return true;
    if (st == EMK_E_STALE && e->where < b->n)
        emk_problem_set(call, b->clash[e->where], b->why[e->where]);
    else
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

bool emk_grant_challenge(emk_call *call, emk_span challenge, emk_grant_batch *b)
{
    static const char why[] = "challenge: used, over, or not ours; ask for another";
    uint64_t now = emk_api_now(call->api);
    uint8_t *id = emk_arena_take(&call->arena, EMK_SHA256_LEN);
    emk_record_change used = {.op = EMK_RECORD_PUT,
                              .kind = EMK_KIND_CHALLENGE,
                              .id = emk_span_of(id, EMK_SHA256_LEN),
                              .expect = EMK_RECORD_ABSENT,
                              .expires_s = now + (uint64_t)EMK_CHALLENGE_LIFE_S};
    emk_error e = {0};
    emk_status st = emk_fail(&e, EMK_E_NO_MEMORY, "challenge: memory", 0);

    if (id && call->api->nonces)
        st = emk_challenge_verify(call->api->nonces, challenge, now, &e);
    if (st == EMK_OK)
        st = emk_sha256(call->api->crypto, &challenge, 1, id, &e);
    if (st == EMK_OK) {
        emk_grant_add(b, &used, EMK_API_USED, why);
        return true;
    }
    if (st == EMK_E_FORMAT || st == EMK_E_SIGNATURE || st == EMK_E_STALE)
        emk_problem_set(call, EMK_API_USED, why);
    else
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    return false;
}

emk_status emk_grant_certificate(emk_call *call, const emk_device_record *d, emk_span *out,
                                 emk_error *e)
{
    const emk_api *api = call->api;
    emk_device_certificate cert = {
        .signing_key = emk_span_of(d->gate.signing_key, emk_sign_public_len(d->gate.alg)),
        .agree = {.kem = d->kem, .public_key = emk_span_of(d->agreement, d->agreement_len)},
        .attestation_kind = d->attestation_kind,
        .attestation_level = d->gate.attestation_level,
        .issued = emk_api_now(api),
        .not_after = d->gate.not_after};
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

emk_status emk_grant_answer(emk_call *call, const uint8_t id[32], const emk_device_record *d,
                            emk_span certificate, unsigned status, emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &call->arena, 8192);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "device", emk_span_of(id, 32));
    emk_json_out_base64url(&o, "certificate", certificate);
    emk_json_out_uint(&o, "attestation_level", d->gate.attestation_level);
    emk_json_out_uint(&o, "not_after", d->gate.not_after);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, call, status, e);
}

bool emk_grant_id(emk_call *call, uint8_t *out, size_t len)
{
    uint8_t room[ID_MAX + 3];
    emk_error ignored;
    size_t n = 0;

    if (call->params[0].len == EMK_BASE64URL_CHARS(len) &&
        emk_base64url_decode(call->params[0], room, sizeof room, &n, &ignored) == EMK_OK &&
        n == len) {
        memcpy(out, room, len);
        return true;
    }
    emk_problem_set(call, EMK_API_NOT_FOUND, NULL);
    return false;
}
