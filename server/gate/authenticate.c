#include "core/base/secret.h"
#include "core/crypto/hash.h"
#include "server/gate/internal.h"
#include "server/gate/service_key.h"
#include "server/gate/signature.h"

#include <stdio.h>

#define BEARER "bearer "

/* Which credentials came along; nothing about them is known yet. */
typedef struct credentials {
    emk_span bearer; /* what follows "Bearer "; empty: none */
    emk_principal_kind kind;
} credentials;

static emk_gate_reason because(const emk_gate_pass *p, emk_gate_reason reason, const emk_error *e)
{
    return emk_gate_because(p->d, reason, e);
}

/* ---- which credentials ---- */

static bool starts(emk_span s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.len >= n && memcmp(s.p, prefix, n) == 0;
}

static bool bearer_read(emk_span value, emk_span *out)
{
    size_t n = strlen(BEARER);

    if (value.len <= n || value.len > EMK_REQUEST_VALUE_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((value.p[i] | 0x20) != (uint8_t)BEARER[i])
            return false;
    *out = emk_span_of(value.p + n, value.len - n);
    return true;
}

static emk_principal_kind bearer_kind(emk_span bearer)
{
    if (starts(bearer, EMK_SERVICE_KEY_PREFIX))
        return EMK_PRINCIPAL_SERVICE;
    if (starts(bearer, EMK_SESSION_PREFIX))
        return EMK_PRINCIPAL_OPERATOR;
    return EMK_PRINCIPAL_USER;
}

static bool is_signed(const emk_gate_request *rq)
{
    return emk_request_count(rq, "signature", NULL) > 0 ||
           emk_request_count(rq, "signature-input", NULL) > 0;
}

static emk_gate_reason credentials_find(const emk_gate_pass *p, credentials *out)
{
    emk_span value = {0};
    size_t n = emk_request_count(p->rq, "authorization", &value);
    bool by_device = is_signed(p->rq);

    out->kind = by_device ? EMK_PRINCIPAL_DEVICE : EMK_PRINCIPAL_ANYONE;
    if (p->rq->tls_client_bad)
        return EMK_GATE_CERTIFICATE_BAD;
    if (n > 1)
        return EMK_GATE_MIXED_CREDENTIALS;
    if (n == 1) {
        if (!bearer_read(value, &out->bearer))
            return EMK_GATE_BAD_CREDENTIALS;
        out->kind = bearer_kind(out->bearer);
        if (by_device && out->kind != EMK_PRINCIPAL_USER)
            return EMK_GATE_MIXED_CREDENTIALS;
        if (by_device)
            out->kind = EMK_PRINCIPAL_DEVICE_USER;
    } else if (!by_device && p->rq->tls_client_der.len > 0 &&
               (p->rule->admits & EMK_PRINCIPAL_SERVICE) != 0) {
        out->kind = EMK_PRINCIPAL_SERVICE;
    }
    return EMK_GATE_PASSED;
}

/* ---- users ---- */

static emk_gate_reason token_reason(emk_status st)
{
    switch (st) {
    case EMK_E_SIGNATURE:
        return EMK_GATE_TOKEN_SIGNATURE;
    case EMK_E_POLICY:
        return EMK_GATE_TOKEN_CLAIMS;
    case EMK_E_NOT_FOUND:
        return EMK_GATE_TOKEN_KEY;
    case EMK_E_STALE:
        return EMK_GATE_KEYS_UNAVAILABLE;
    case EMK_E_FORMAT:
    case EMK_E_LIMIT:
    case EMK_E_UNSUPPORTED:
        return EMK_GATE_TOKEN_FORMAT;
    default:
        return EMK_GATE_INTERNAL;
    }
}

/* device NULL: the user alone. */
static emk_gate_reason user_authenticate(const emk_gate_pass *p, emk_span token,
                                         const emk_known_device *device)
{
    emk_principal *who = &p->d->who;
    emk_token_claims claims;
    emk_error e = {0};
    emk_status st;

    if (!p->config->tokens)
        return EMK_GATE_TOKEN_KEY;
    st = emk_token_verify(p->config->tokens, token, p->rq->now_s, &claims, &e);
    if (st != EMK_OK)
        return because(p, token_reason(st), &e);
    if (claims.bound && !device && !p->rule->checks_binding)
        return EMK_GATE_TOKEN_BINDING;
    if (claims.bound && device && !emk_ct_equal(claims.jkt, device->jkt, sizeof claims.jkt))
        return EMK_GATE_TOKEN_BINDING;
    (void)snprintf(who->user, sizeof who->user, "%s", claims.user);
    (void)snprintf(who->tenant, sizeof who->tenant, "%s",
                   emk_tokens_tenant(p->config->tokens, claims.issuer));
    who->token_is_bound = claims.bound;
    memcpy(who->jkt, claims.jkt, sizeof who->jkt);
    return EMK_GATE_PASSED;
}

/* ---- devices ---- */

static void nonce_add(const emk_gate_pass *p, const uint8_t id[EMK_GATE_DEVICE_ID_LEN])
{
    char text[EMK_NONCE_CHARS + 1];

    if (emk_nonce_make(p->config->nonces, emk_span_of(id, EMK_GATE_DEVICE_ID_LEN), p->rq->now_s,
                       text, NULL) == EMK_OK)
        emk_gate_header_add(p->d, "Earmark-Nonce", text);
}

static emk_gate_reason nonce_reason(const emk_gate_pass *p, const emk_device_proof *proof)
{
    emk_span id = emk_span_of(proof->device_id, sizeof proof->device_id);
    emk_error e = {0};
    emk_status st;

    if (proof->nonce.len == 0)
        return EMK_GATE_NONCE_MISSING;
    st = emk_nonce_verify(p->config->nonces, id, proof->nonce, p->rq->now_s, &e);
    if (st == EMK_OK)
        return EMK_GATE_PASSED;
    return because(
        p, st == EMK_E_CRYPTO || st == EMK_E_NO_MEMORY ? EMK_GATE_INTERNAL : EMK_GATE_NONCE_STALE,
        &e);
}

/* Nobody's key where there is no device, or one of another kind of key. */
static emk_gate_reason signature_reason(const emk_gate_pass *p, const emk_device_proof *proof,
                                        const emk_known_device *device)
{
    bool real = device && device->record.alg == proof->alg;
    const emk_verify_key *key = real ? device->key : p->nobody[proof->alg];
    emk_error e = {0};
    emk_status st = emk_http_signature_verify(p->rq, &proof->signature, key, &e);

    if (st == EMK_OK && real)
        return EMK_GATE_PASSED;
    if (st == EMK_E_CRYPTO || st == EMK_E_NO_MEMORY)
        return because(p, EMK_GATE_INTERNAL, &e);
    if (!device)
        return EMK_GATE_DEVICE_UNKNOWN;
    return because(p,
                   st == EMK_E_FORMAT || st == EMK_E_LIMIT ? EMK_GATE_SIGNATURE_FORMAT
                                                           : EMK_GATE_SIGNATURE_BAD,
                   &e);
}

/* Whoever comes here holds the key: from here on the truth may be told. */
static emk_gate_reason standing_reason(const emk_gate_pass *p, const emk_known_device *device)
{
    if (device->record.revoked && !p->rule->takes_revoked_device)
        return EMK_GATE_DEVICE_REVOKED;
    if (device->record.not_after <= p->rq->now_s && !p->rule->takes_expired_device)
        return EMK_GATE_DEVICE_EXPIRED;
    return EMK_GATE_PASSED;
}

static emk_gate_reason replay_reason(const emk_gate_pass *p, const emk_device_proof *proof)
{
    char text[24];
    uint64_t next = 0;
    emk_error e = {0};
    emk_status st;

    st = emk_replay_take(p->config->replay, proof->device_id, proof->counter, p->rq->now_ns, &next,
                         &e);
    if (st == EMK_OK)
        return EMK_GATE_PASSED;
    if (st == EMK_E_FORMAT)
        return because(p, EMK_GATE_SIGNATURE_FORMAT, &e);
    if (st != EMK_E_USED)
        return because(p, EMK_GATE_COUNTERS_FAILED, &e);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)next);
    emk_gate_header_add(p->d, "Earmark-Counter", text);
    memcpy(p->d->proven, proof->device_id, sizeof p->d->proven);
    p->d->has_proven = true;
    return because(p, EMK_GATE_REPLAYED, &e);
}

static void device_fill(const emk_gate_pass *p, const emk_device_proof *proof,
                        const emk_known_device *device)
{
    emk_principal *who = &p->d->who;

    memcpy(who->device_id, proof->device_id, sizeof who->device_id);
    who->attestation_level = device->record.attestation_level;
    who->clock_skew_s = (int64_t)proof->created - (int64_t)p->rq->now_s;
    (void)snprintf(who->user, sizeof who->user, "%s", device->record.user);
    (void)snprintf(who->tenant, sizeof who->tenant, "%s", device->record.tenant);
    memcpy(p->d->body_sha256, proof->body_sha256, sizeof p->d->body_sha256);
    p->d->has_body_digest = true;
}

static bool is_of_another(const emk_gate_pass *p, const emk_known_device *device)
{
    return device->record.user[0] != 0 && (strcmp(device->record.user, p->d->who.user) != 0 ||
                                           strcmp(device->record.tenant, p->d->who.tenant) != 0);
}

/* The signature is good. */
static emk_gate_reason device_admit(const emk_gate_pass *p, const credentials *c,
                                    const emk_device_proof *proof, const emk_known_device *device)
{
    emk_gate_reason reason = standing_reason(p, device);

    if (reason != EMK_GATE_PASSED)
        return reason;
    if (p->rq->body_sha256 && !emk_ct_equal(p->rq->body_sha256, proof->body_sha256, 32))
        return EMK_GATE_DIGEST_BAD;
    device_fill(p, proof, device);
    if (c->kind == EMK_PRINCIPAL_DEVICE_USER) {
        reason = user_authenticate(p, c->bearer, device);
        if (reason != EMK_GATE_PASSED)
            return reason;
        if (is_of_another(p, device))
            return EMK_GATE_DEVICE_OF_ANOTHER;
    }
    return replay_reason(p, proof);
}

static emk_gate_reason device_authenticate(const emk_gate_pass *p, const credentials *c)
{
    emk_known_device *device = NULL;
    emk_device_proof proof;
    emk_gate_reason reason;
    emk_error e = {0};
    emk_status st;

    st = emk_device_proof_check(p->rq, &proof, &e);
    if (st != EMK_OK)
        return because(
            p, st == EMK_E_POLICY ? EMK_GATE_SIGNATURE_COMPONENTS : EMK_GATE_SIGNATURE_FORMAT, &e);
    nonce_add(p, proof.device_id);
    reason = nonce_reason(p, &proof);
    if (reason != EMK_GATE_PASSED)
        return reason;
    st = emk_device_cache_get(p->devices, proof.device_id, p->rq->now_ns, &device, &e);
    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return because(p, EMK_GATE_DIRECTORY_FAILED, &e);
    reason = signature_reason(p, &proof, device);
    if (reason == EMK_GATE_PASSED)
        reason = device_admit(p, c, &proof, device);
    emk_device_cache_give(p->devices, device);
    return reason;
}

/* ---- services ---- */

static emk_gate_reason service_admit(const emk_gate_pass *p, const emk_gate_service *service)
{
    emk_principal *who = &p->d->who;

    if (service->revoked || (service->not_after != 0 && service->not_after <= p->rq->now_s))
        return EMK_GATE_SERVICE_BAD;
    (void)snprintf(who->name, sizeof who->name, "%s", service->name);
    (void)snprintf(who->tenant, sizeof who->tenant, "%s", service->tenant);
    who->scopes = service->scopes;
    return EMK_GATE_PASSED;
}

static emk_gate_reason service_by_key(const emk_gate_pass *p, emk_span bearer)
{
    const emk_gate_directory *dir = &p->config->directory;
    emk_gate_service service = {0};
    emk_service_key key;
    emk_error e = {0};
    emk_status st;
    bool same;

    st = emk_service_key_parse(p->config->crypto, bearer, &key, &e);
    if (st != EMK_OK)
        return because(p,
                       st == EMK_E_CRYPTO || st == EMK_E_NO_MEMORY ? EMK_GATE_INTERNAL
                                                                   : EMK_GATE_SERVICE_BAD,
                       &e);
    st = dir->ops->service ? dir->ops->service(dir->self, key.id, &service, &e) : EMK_E_NOT_FOUND;
    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return because(p, EMK_GATE_DIRECTORY_FAILED, &e);
    same = emk_ct_equal(key.hash, service.secret_hash, sizeof key.hash);
    return same && st == EMK_OK ? service_admit(p, &service) : EMK_GATE_SERVICE_BAD;
}

static emk_gate_reason service_by_certificate(const emk_gate_pass *p)
{
    const emk_gate_directory *dir = &p->config->directory;
    uint8_t fingerprint[EMK_SHA256_LEN];
    emk_gate_service service = {0};
    emk_error e = {0};
    emk_status st;

    st = emk_sha256(p->config->crypto, &p->rq->tls_client_der, 1, fingerprint, &e);
    if (st != EMK_OK)
        return because(p, EMK_GATE_INTERNAL, &e);
    st = dir->ops->certificate ? dir->ops->certificate(dir->self, fingerprint, &service, &e)
                               : EMK_E_NOT_FOUND;
    if (st == EMK_E_NOT_FOUND)
        return EMK_GATE_SERVICE_BAD;
    if (st != EMK_OK)
        return because(p, EMK_GATE_DIRECTORY_FAILED, &e);
    return service_admit(p, &service);
}

/* ---- operators ---- */

static emk_gate_reason operator_authenticate(const emk_gate_pass *p, emk_span bearer)
{
    const emk_gate_directory *dir = &p->config->directory;
    emk_principal *who = &p->d->who;
    emk_gate_operator record = {0};
    emk_session session;
    emk_error e = {0};
    emk_status st;

    if (!p->config->sessions || !dir->ops->operator_)
        return EMK_GATE_SESSION_BAD;
    st = emk_session_verify(p->config->sessions, bearer, p->rq->now_s, &session, &e);
    if (st != EMK_OK)
        return because(p,
                       st == EMK_E_CRYPTO || st == EMK_E_NO_MEMORY ? EMK_GATE_INTERNAL
                                                                   : EMK_GATE_SESSION_BAD,
                       &e);
    st = dir->ops->operator_(dir->self, session.name, &record, &e);
    if (st == EMK_E_NOT_FOUND)
        return EMK_GATE_SESSION_BAD;
    if (st != EMK_OK)
        return because(p, EMK_GATE_DIRECTORY_FAILED, &e);
    if (record.disabled || record.generation != session.generation)
        return EMK_GATE_SESSION_BAD;
    (void)snprintf(who->name, sizeof who->name, "%s", session.name);
    who->scopes = record.scopes;
    who->step_up = session.step_up_until > p->rq->now_s;
    return EMK_GATE_PASSED;
}

/* ---- all ---- */

static emk_gate_reason by_kind(const emk_gate_pass *p, const credentials *c)
{
    switch (c->kind) {
    case EMK_PRINCIPAL_ANYONE:
        return EMK_GATE_PASSED;
    case EMK_PRINCIPAL_USER:
        return user_authenticate(p, c->bearer, NULL);
    case EMK_PRINCIPAL_DEVICE:
    case EMK_PRINCIPAL_DEVICE_USER:
        return device_authenticate(p, c);
    case EMK_PRINCIPAL_SERVICE:
        return c->bearer.len > 0 ? service_by_key(p, c->bearer) : service_by_certificate(p);
    case EMK_PRINCIPAL_OPERATOR:
        return operator_authenticate(p, c->bearer);
    }
    return EMK_GATE_INTERNAL;
}

bool emk_gate_is_signed(const emk_gate_pass *p)
{
    return is_signed(p->rq);
}

bool emk_gate_asks_nobody(const emk_gate_pass *p)
{
    return p->rule->admits == EMK_PRINCIPAL_ANYONE &&
           !(p->rule->device_may_sign && is_signed(p->rq));
}

/* The device that signs where anyone may come. */
static emk_gate_reason signer_authenticate(const emk_gate_pass *p)
{
    const credentials c = {.kind = EMK_PRINCIPAL_DEVICE};
    emk_gate_reason reason = device_authenticate(p, &c);

    if (reason != EMK_GATE_PASSED)
        p->d->who = (emk_principal){.kind = EMK_PRINCIPAL_ANYONE};
    else
        p->d->who.kind = EMK_PRINCIPAL_DEVICE;
    p->d->has_body_digest = p->d->has_body_digest && reason == EMK_GATE_PASSED;
    return reason;
}

emk_gate_reason emk_gate_authenticate(const emk_gate_pass *p)
{
    credentials c = {0};
    emk_gate_reason reason;

    if (emk_gate_asks_nobody(p))
        return EMK_GATE_PASSED; /* credentials that nobody asked for are not looked at */
    if (p->rule->admits == EMK_PRINCIPAL_ANYONE)
        return signer_authenticate(p);
    reason = credentials_find(p, &c);
    if (reason != EMK_GATE_PASSED)
        return reason;
    if ((p->rule->admits & (uint32_t)c.kind) == 0)
        return c.kind == EMK_PRINCIPAL_ANYONE ? EMK_GATE_NO_CREDENTIALS : EMK_GATE_NOT_ADMITTED;
    if ((p->config->needs_certificate & (uint32_t)c.kind) != 0 && p->rq->tls_client_der.len == 0)
        return EMK_GATE_CERTIFICATE_MISSING;
    reason = by_kind(p, &c);
    if (reason != EMK_GATE_PASSED) {
        p->d->who = (emk_principal){.kind = EMK_PRINCIPAL_ANYONE};
        p->d->has_body_digest = false;
        return reason;
    }
    p->d->who.kind = c.kind;
    return EMK_GATE_PASSED;
}
