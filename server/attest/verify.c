/* One entrance for all kinds: turns the public policy into each kind's own, sees to the age of
 * roots and lists, and holds the claims to what every kind must satisfy. */
#include <earmark/verify.h>

#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/crypto/x509.h"
#include "server/attest/android_key.h"
#include "server/attest/app_attest.h"
#include "server/attest/none.h"
#include "server/attest/pem.h"
#include "server/attest/play_integrity.h"
#include "server/attest/roots.h"
#include "server/attest/safetynet.h"
#include "server/attest/tpm_enrol.h"

#define POINT_LEN     65u
#define CHALLENGE_MIN 16u
#define CHALLENGE_MAX 128u

typedef struct job {
    const emk_crypto *c;
    const emk_attest_roots *roots;
    const emk_attest_policy *policy;
    const emk_attest_evidence *in;
    emk_claims claims;
    emk_attest_key key;
    emk_span spki; /* of the key that the evidence is about; empty: it says nothing */
} job;

static emk_status check_usage(const job *j, emk_error *e)
{
    const emk_attest_policy *p = j->policy;

    if (p->size != sizeof *p || j->in->size != sizeof *j->in)
        return emk_fail(e, EMK_E_USAGE, "attest: size of policy or evidence", p->size);
    if (p->time_s <= 0)
        return emk_fail(e, EMK_E_USAGE, "attest: no time", 0);
    if (p->n_app_digests > EMK_VERIFY_DIGESTS_MAX)
        return emk_fail(e, EMK_E_USAGE, "attest: digests of apps", p->n_app_digests);
    if (j->in->kind == EMK_ATTEST_NONE)
        return EMK_OK;
    if (p->challenge.len < CHALLENGE_MIN || p->challenge.len > CHALLENGE_MAX)
        return emk_fail(e, EMK_E_USAGE, "attest: length of the challenge", p->challenge.len);
    if (!p->app || !p->app[0])
        return emk_fail(e, EMK_E_USAGE, "attest: no app is expected", 0);
    return EMK_OK;
}

/* What the anchors of a kind may be too old for; lists have their own rule. */
static emk_status anchors(const job *j, emk_attest_role role, const emk_bundle **out, emk_error *e)
{
    emk_status st;

    if (!j->roots)
        return emk_fail(e, EMK_E_NOT_FOUND, "attest: no roots", 0);
    st = emk_attest_roots_check_age(j->roots, role, j->policy->time_s, e);
    *out = emk_attest_roots_bundle(j->roots, role);
    return st;
}

/* --- kinds --------------------------------------------------------------------------------- */

static emk_status app_attest(job *j, emk_error *e)
{
    const emk_attest_policy *p = j->policy;
    emk_app_attest_policy policy = {.app_id = p->app,
                                    .development = p->development,
                                    .time_s = p->time_s,
                                    .simulated = (emk_simulated_mode)p->simulated};
    uint8_t hash[EMK_SHA256_LEN];
    emk_app_attest_evidence in = {.object = j->in->object,
                                  .key_id = j->in->key_id,
                                  .client_data_hash = emk_span_of(hash, sizeof hash)};
    const emk_bundle *roots = NULL;
    emk_app_attest_key key;
    emk_status st = anchors(j, EMK_ROLE_APP_ATTEST, &roots, e);

    if (st == EMK_OK && p->challenge_is_hash)
        in.client_data_hash = p->challenge;
    else if (st == EMK_OK)
        st = emk_sha256(j->c, &p->challenge, 1, hash, e);
    if (st != EMK_OK)
        return st;
    policy.roots = roots->certs;
    policy.n_roots = roots->n;
    policy.memo = emk_attest_roots_memo(j->roots);
    st = emk_app_attest_verify(j->c, &policy, &in, &j->claims, &key, e);
    if (st != EMK_OK)
        return st;
    memcpy(j->key.point, key.public_key, POINT_LEN);
    memcpy(j->key.id, key.id, sizeof j->key.id);
    j->key.receipt = key.receipt;
    return EMK_OK;
}

/* A list that is too old: refuse, or say so. */
static emk_status check_list(const job *j, emk_attest_stale *stale, emk_error *e)
{
    emk_status st =
        emk_attest_roots_check_age(j->roots, EMK_ROLE_ANDROID_STATUS, j->policy->time_s, e);

    *stale = EMK_STALE_REFUSE;
    if (st != EMK_E_STALE || j->policy->stale == EMK_STALE_REFUSE)
        return st;
    *stale = j->policy->stale;
    return EMK_OK;
}

static void note_stale(job *j, emk_attest_stale stale)
{
    if (stale == EMK_STALE_REFUSE)
        return;
    emk_claims_warn(&j->claims, EMK_WARN_STALE_LIST);
    if (stale != EMK_STALE_WARN)
        j->claims.level = 0;
}

static emk_status android_digest(job *j, emk_android_policy *policy, const emk_span *certs,
                                 size_t n, emk_x509 *leaf, emk_error *e)
{
    emk_status st = emk_fail(e, EMK_E_USAGE, "attest: no digest of the app's certificate", 0);

    for (size_t i = 0; i < j->policy->n_app_digests; i++) {
        policy->app_digest = j->policy->app_digests[i];
        st = emk_android_key_verify(j->c, policy, certs, n, &j->claims, leaf, e);
        if (st != EMK_E_POLICY)
            break; /* good, or bad whatever the digest */
    }
    return st;
}

static emk_status android_chain(job *j, const emk_span *certs, size_t n, emk_error *e)
{
    const emk_attest_policy *p = j->policy;
    emk_android_policy policy = {.challenge = p->challenge,
                                 .time_s = p->time_s,
                                 .verified_boot = !p->unverified_boot,
                                 .package = p->app,
                                 .min_os_patch = p->min_os_patch,
                                 .simulated = (emk_simulated_mode)p->simulated};
    emk_attest_stale stale = EMK_STALE_REFUSE;
    const emk_bundle *roots = NULL;
    emk_x509 leaf;
    emk_status st = anchors(j, EMK_ROLE_ANDROID_KEY, &roots, e);

    if (st == EMK_OK)
        st = check_list(j, &stale, e);
    if (st != EMK_OK)
        return st;
    policy.roots = roots->certs;
    policy.n_roots = roots->n;
    policy.memo = emk_attest_roots_memo(j->roots);
    policy.revocation = emk_attest_roots_status(j->roots);
    st = android_digest(j, &policy, certs, n, &leaf, e);
    if (st != EMK_OK)
        return st;
    note_stale(j, stale);
    j->spki = leaf.spki;
    if (leaf.key_kind == EMK_X509_KEY_P256)
        memcpy(j->key.point, leaf.key.p, POINT_LEN);
    return EMK_OK;
}

static emk_status compare_key(job *j, emk_error *e);

static emk_status android_key(job *j, emk_error *e)
{
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    emk_span certs[EMK_X509_CHAIN_MAX];
    emk_buf der;
    size_t n = 0;
    emk_status st;

    if (j->in->n_certs > 0) {
        st = android_chain(j, j->in->certs, j->in->n_certs, e);
        return st == EMK_OK ? compare_key(j, e) : st;
    }
    emk_buf_init(&der, EMK_PEM_MAX);
    st = emk_pem_read_chain(j->in->object, &der, chain, EMK_X509_CHAIN_MAX, &n, e);
    for (size_t i = 0; i < n; i++)
        certs[i] = chain[i].der;
    if (st == EMK_OK)
        st = android_chain(j, certs, n, e);
    if (st == EMK_OK)
        st = compare_key(j, e); /* the key lends from der */
    emk_buf_done(&der);
    return st;
}

static emk_status play_integrity(job *j, emk_error *e)
{
    const emk_attest_policy *p = j->policy;
    emk_play_policy policy = {.package = p->app,
                              .n_digests = p->n_app_digests,
                              .nonce = p->challenge,
                              .time_s = p->time_s,
                              .max_age_s = p->max_age_s,
                              .min_version = p->min_app_version,
                              .licensed = p->licensed,
                              .allow_testing = p->allow_testing};
    char text[EMK_BASE64URL_CHARS(CHALLENGE_MAX) + 1];
    size_t len = 0;
    emk_status st = emk_base64url_encode(p->challenge, text, sizeof text, &len, e);

    if (st != EMK_OK)
        return st;
    policy.request_hash = emk_span_of(text, len);
    for (size_t i = 0; i < p->n_app_digests; i++)
        policy.digests[i] = p->app_digests[i];
    if (p->weak_device)
        policy.device = EMK_PLAY_ANY;
    if (p->strong_device)
        policy.device = EMK_PLAY_STRONG;
    if (p->allow_decoded) {
        st = emk_play_integrity_check(&policy, j->in->object, &j->claims, e);
        if (st == EMK_OK)
            emk_claims_warn(&j->claims, EMK_WARN_RELAYED);
        return st;
    }
    if (!p->play_keys)
        return emk_fail(e, EMK_E_USAGE, "attest: no keys of the Play Console", 0);
    return emk_play_integrity_verify(p->play_keys, &policy, j->in->object, &j->claims, e);
}

static emk_status safetynet(job *j, emk_error *e)
{
    const emk_attest_policy *p = j->policy;
    emk_safetynet_policy policy = {.time_s = p->time_s,
                                   .max_age_s = p->max_age_s,
                                   .nonce = p->challenge,
                                   .package = p->app,
                                   .device = !p->weak_device,
                                   .hardware = p->strong_device,
                                   .simulated = (emk_simulated_mode)p->simulated};
    const emk_bundle *roots = NULL;
    emk_status st;

    if (!p->allow_retired)
        return emk_fail(e, EMK_E_POLICY, "attest: SafetyNet is retired and not allowed", 0);
    st = anchors(j, EMK_ROLE_SAFETYNET, &roots, e);
    if (st != EMK_OK)
        return st;
    policy.roots = roots->certs;
    policy.n_roots = roots->n;
    st = emk_fail(e, EMK_E_USAGE, "attest: no digest of the app's certificate", 0);
    for (size_t i = 0; i < p->n_app_digests; i++) {
        policy.app_digest = p->app_digests[i];
        st = emk_safetynet_verify(j->c, &policy, j->in->object, &j->claims, e);
        if (st != EMK_E_POLICY)
            break;
    }
    return st;
}

static emk_tpm_policy tpm_policy(const emk_attest_policy *p)
{
    return (emk_tpm_policy){
        .time_s = p->time_s,
        .binding = p->challenge,
        .signing = p->tpm_signing,
        .agreement = p->tpm_agreement,
        .pcrs = {.n = 1, .banks = {{.hash = EMK_TPM_ALG_SHA256, .pcrs = p->tpm_pcrs}}},
        .good = p->tpm_good,
        .n_good = p->n_tpm_good};
}

static emk_status tpm(job *j, emk_error *e)
{
    const emk_attest_policy *p = j->policy;
    const emk_tpm_policy policy = tpm_policy(p);
    const emk_bundle *roots = NULL, *pool;
    emk_tpm_hello hello;
    emk_tpm_proof proof;
    emk_tpm_kept kept = {.hello = &hello, .secret = p->tpm_secret, .proof = &proof};
    emk_tpm_roots trusted = {.time_s = p->time_s,
                             .sha1_leaf = p->tpm_sha1,
                             .simulated = (emk_simulated_mode)p->simulated};
    emk_status st = anchors(j, EMK_ROLE_TPM, &roots, e);

    if (st == EMK_OK)
        st = emk_tpm_hello_read(j->in->hello, &hello, e);
    if (st == EMK_OK)
        st = emk_tpm_proof_read(j->in->object, &proof, e);
    if (st != EMK_OK)
        return st;
    pool = emk_attest_roots_bundle(j->roots, EMK_ROLE_TPM_POOL);
    trusted.roots = roots->certs;
    trusted.n_roots = roots->n;
    trusted.pool = pool->certs;
    trusted.n_pool = pool->n;
    trusted.memo = emk_attest_roots_memo(j->roots);
    st = emk_tpm_enrol_check(j->c, &trusted, &policy, &kept, &j->claims, e);
    if (st == EMK_OK)
        memcpy(j->key.point, p->tpm_signing.p, POINT_LEN);
    return st;
}

/* --- all ---------------------------------------------------------------------------------------
 */

/* The key that the caller was told must be the one that the evidence is about. */
static emk_status compare_key(job *j, emk_error *e)
{
    emk_span want = j->in->key;

    if (want.len == 0)
        return EMK_OK;
    if (want.len == POINT_LEN && j->key.point[0] == 0x04 &&
        memcmp(want.p, j->key.point, POINT_LEN) == 0)
        return EMK_OK;
    if (j->spki.len > 0 && emk_span_equal(want, j->spki))
        return EMK_OK;
    return emk_fail(e, EMK_E_SIGNATURE, "attest: the evidence is about another key", 0);
}

static emk_status run_kind(job *j, emk_error *e)
{
    emk_status st;

    switch (j->in->kind) {
    case EMK_ATTEST_NONE:
        return emk_attest_none_verify(j->policy->allow_none, &j->claims, e);
    case EMK_ATTEST_APP_ATTEST:
        st = app_attest(j, e);
        return st == EMK_OK ? compare_key(j, e) : st;
    case EMK_ATTEST_ANDROID_KEY:
        return android_key(j, e);
    case EMK_ATTEST_PLAY_INTEGRITY:
        return play_integrity(j, e); /* it says nothing of a key: the challenge binds it */
    case EMK_ATTEST_SAFETYNET:
        return safetynet(j, e);
    case EMK_ATTEST_TPM:
        st = tpm(j, e);
        return st == EMK_OK ? compare_key(j, e) : st;
    default:
        return emk_fail(e, EMK_E_USAGE, "attest: there is no such kind", (unsigned)j->in->kind);
    }
}

/* A public call: what goes in and what comes out stands apart. */
/* NOLINTNEXTLINE(readability-function-size) */
emk_status emk_attest_verify(const emk_crypto *c, const emk_attest_roots *roots,
                             const emk_attest_policy *policy, const emk_attest_evidence *evidence,
                             emk_claims *claims, emk_attest_key *key, emk_error *e)
{
    job j = {.c = c, .roots = roots, .policy = policy, .in = evidence};
    emk_status st = check_usage(&j, e);

    if (st == EMK_OK)
        st = run_kind(&j, e);
    if (st == EMK_OK && j.claims.level < policy->min_level)
        st = emk_fail(e, EMK_E_POLICY, "attest: the level is too low", j.claims.level);
    if (st != EMK_OK)
        return st;
    *claims = j.claims;
    if (key)
        *key = j.key;
    return EMK_OK;
}

emk_status emk_attest_assert(const emk_crypto *c, const emk_attest_assertion *a, uint32_t *counter,
                             emk_error *e)
{
    emk_app_attest_record record = {
        .app_id = a->app, .public_key = a->point, .counter = a->counter};
    uint8_t hash[EMK_SHA256_LEN];
    emk_status st;

    if (!a->app || a->point.len != POINT_LEN)
        return emk_fail(e, EMK_E_USAGE, "attest: app and key of an assertion", a->point.len);
    st = emk_sha256(c, &a->client_data, 1, hash, e);
    if (st != EMK_OK)
        return st;
    return emk_app_attest_assert(c, &record, a->assertion, emk_span_of(hash, sizeof hash), counter,
                                 e);
}
