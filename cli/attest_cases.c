/* App Attest, Android Key Attestation, Play Integrity and SafetyNet; TPM is in its own file. */
#include "cli/attest_case.h"
#include "core/crypto/hash.h"
#include "server/attest/android_key.h"
#include "server/attest/app_attest.h"
#include "server/attest/app_attest_receipt.h"
#include "server/attest/pem.h"
#include "server/attest/play_integrity.h"
#include "server/attest/safetynet.h"

#include <string.h>

#define LIST_MAX 65536u /* bytes of a status list made of a case's entries */

/* --- App Attest -------------------------------------------------------------------------- */

static emk_span client_data_hash(emk_attest_case *c)
{
    emk_span data;
    uint8_t *hash;

    if (emk_case_has(c, "client_data_hash_hex") || !emk_case_has(c, "client_data_hex"))
        return emk_case_hex(c, "client_data_hash_hex");
    data = emk_case_hex(c, "client_data_hex");
    hash = emk_case_take(c, EMK_SHA256_LEN);
    if (emk_case_is_good(c) && emk_sha256(c->run->crypto, &data, 1, hash, NULL) != EMK_OK)
        emk_case_problem(c, "SHA-256", "client_data_hex");
    return emk_case_is_good(c) ? emk_span_of(hash, EMK_SHA256_LEN) : data;
}

static bool is_development(emk_attest_case *c)
{
    const char *word = emk_case_string(c, "environment");
    bool yes = strcmp(word, "development") == 0 || strcmp(word, "sandbox") == 0;

    if (!yes && strcmp(word, "production") != 0)
        emk_case_problem(c, "not an environment", word);
    return yes;
}

static void run_attestation(emk_attest_case *c)
{
    emk_app_attest_policy policy = {.app_id = emk_case_string(c, "app_id"),
                                    .roots = c->run->anchors.certs,
                                    .n_roots = c->run->anchors.n,
                                    .simulated = emk_case_simulated(c)};
    emk_app_attest_evidence in;
    emk_app_attest_key key;
    emk_claims claims;
    emk_error e = {0};
    emk_status st = EMK_E_USAGE;

    policy.development = is_development(c);
    policy.time_s = emk_case_time(c, "verify_time");
    in.object = emk_case_file(c, "file");
    in.key_id = emk_case_base64(c, "key_id_b64");
    in.client_data_hash = client_data_hash(c);
    if (emk_case_is_good(c))
        st = emk_app_attest_verify(c->run->crypto, &policy, &in, &claims, &key, &e);
    if (st == EMK_OK && emk_case_has(c, "public_key_x962_hex") &&
        !emk_span_equal(emk_case_hex(c, "public_key_x962_hex"),
                        emk_span_of(key.public_key, sizeof key.public_key)))
        st = emk_fail(&e, EMK_E_SIGNATURE, "another key than the manifest's", 0);
    emk_case_verdict(c, "expect", st, &e);
}

static void run_assertion(emk_attest_case *c)
{
    emk_app_attest_record record = {.app_id = emk_case_string(c, "app_id")};
    emk_span file = emk_case_file(c, "file"), hash = client_data_hash(c);
    uint64_t stored = emk_case_number(c, "stored_counter");
    uint32_t counter = 0;
    emk_error e = {0};
    emk_status st = EMK_E_USAGE;

    record.public_key = emk_case_hex(c, "public_key_x962_hex");
    record.counter = (uint32_t)stored;
    if (stored > UINT32_MAX)
        emk_case_problem(c, "too large", "stored_counter");
    if (emk_case_is_good(c))
        st = emk_app_attest_assert(c->run->crypto, &record, file, hash, &counter, &e);
    if (st == EMK_OK && emk_case_has(c, "counter_in_assertion") &&
        emk_case_number(c, "counter_in_assertion") != counter)
        st = emk_fail(&e, EMK_E_FORMAT, "another counter than the manifest's", counter);
    emk_case_verdict(c, "expect", st, &e);
}

static bool same_time(emk_attest_case *c, const char *name, int64_t got)
{
    return !emk_case_has(c, name) || emk_case_time(c, name) == got;
}

/* What the manifest says stands in the receipt. */
static bool is_as_told(emk_attest_case *c, const emk_app_attest_receipt *r)
{
    if (emk_case_has(c, "receipt_type") &&
        strcmp(emk_case_string(c, "receipt_type"), r->refreshed ? "RECEIPT" : "ATTEST") != 0)
        return false;
    if (emk_case_has(c, "risk_metric") &&
        (!r->has_risk || emk_case_number(c, "risk_metric") != r->risk))
        return false;
    return same_time(c, "creation_time", r->created_s) &&
           same_time(c, "expiration_time", r->expires_s) &&
           same_time(c, "not_before", r->not_before_s);
}

static void run_receipt(emk_attest_case *c)
{
    emk_app_attest_receipt_policy policy = {.app_id = emk_case_string(c, "app_id"),
                                            .roots = c->run->receipt_anchors.certs,
                                            .n_roots = c->run->receipt_anchors.n,
                                            .time_s = emk_case_time(c, "verify_time")};
    emk_span file = emk_case_file(c, "file");
    emk_app_attest_receipt info;
    emk_error e = {0};
    emk_status st = EMK_E_USAGE;

    if (emk_case_has(c, "environment"))
        policy.env = is_development(c) ? "sandbox" : "production";
    if (emk_case_has(c, "public_key_x962_hex"))
        policy.public_key = emk_case_hex(c, "public_key_x962_hex");
    if (emk_case_has(c, "max_age_seconds"))
        policy.max_age_s = (int64_t)emk_case_number(c, "max_age_seconds");
    if (emk_case_is_good(c))
        st = emk_app_attest_receipt_verify(c->run->crypto, &policy, file, &info, &e);
    if (st == EMK_OK && !is_as_told(c, &info))
        st = emk_fail(&e, EMK_E_FORMAT, "other contents than the manifest's", 0);
    emk_case_verdict(c, "expect", st, &e);
}

/* --- Android ------------------------------------------------------------------------------ */

/* The case's own entries as a status list; none: an empty one. */
static emk_revocation *list_of(emk_attest_case *c)
{
    const emk_dom *entries = emk_dom_get_kind(c->node, "revocation_entries", EMK_DOM_OBJECT);
    char *json = emk_case_take(c, LIST_MAX);
    emk_revocation *list = NULL;
    emk_error e = {0};
    size_t at = 0;

    if (!json)
        return NULL;
    at += (size_t)snprintf(json, LIST_MAX, "{\"entries\": {");
    for (const emk_dom *x = entries ? entries->first : NULL; x && at < LIST_MAX; x = x->next) {
        const emk_dom *status = emk_dom_get_kind(x, "status", EMK_DOM_STRING);

        if (!status)
            status = x->kind == EMK_DOM_STRING ? x : NULL;
        at += (size_t)snprintf(json + at, LIST_MAX - at, "%s\"%.*s\": {\"status\": \"%.*s\"}",
                               x == entries->first ? "" : ",", (int)x->key.len,
                               (const char *)x->key.p, status ? (int)status->text.len : 0,
                               status ? (const char *)status->text.p : "");
    }
    if (at < LIST_MAX)
        at += (size_t)snprintf(json + at, LIST_MAX - at, "}}");
    if (at >= LIST_MAX)
        emk_case_problem(c, "too many", "revocation_entries");
    else if (emk_revocation_new(emk_span_of(json, at), 0, &list, &e) != EMK_OK)
        emk_case_problem(c, "revocation_entries", e.what);
    return list;
}

static void run_android_policy(emk_attest_case *c, const char *name, emk_android_policy *policy,
                               emk_span pem)
{
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    emk_span certs[EMK_X509_CHAIN_MAX];
    emk_claims claims;
    emk_buf der;
    emk_error e = {0};
    size_t n = 0;
    emk_status st = EMK_E_USAGE;

    if (!emk_case_has(c, name))
        return;
    emk_buf_init(&der, EMK_PEM_MAX);
    policy->verified_boot = strcmp(name, "google_reference") != 0;
    if (emk_case_is_good(c))
        st = emk_case_read_chain(pem, &der, &(emk_case_chain){chain, EMK_X509_CHAIN_MAX, &n}, &e);
    for (size_t i = 0; i < n; i++)
        certs[i] = chain[i].der;
    if (st == EMK_OK)
        st = emk_android_key_verify(c->run->crypto, policy, certs, n, &claims, NULL, &e);
    emk_case_verdict(c, name, st, &e);
    emk_buf_done(&der);
}

static void run_android_key(emk_attest_case *c)
{
    emk_android_policy policy = {.roots = c->run->anchors.certs,
                                 .n_roots = c->run->anchors.n,
                                 .simulated = emk_case_simulated(c)};
    emk_revocation *list = list_of(c);
    emk_span pem = emk_case_file(c, "file");

    policy.challenge = emk_case_hex(c, "challenge_hex");
    policy.time_s = emk_case_time(c, "verify_time");
    policy.revocation = list;
    if (emk_case_has(c, "package"))
        policy.package = emk_case_string(c, "package");
    if (emk_case_has(c, "certificate_sha256_hex"))
        policy.app_digest = emk_case_hex(c, "certificate_sha256_hex");
    if (emk_case_has(c, "min_os_patch"))
        policy.min_os_patch = (uint32_t)emk_case_number(c, "min_os_patch");
    run_android_policy(c, "google_reference", &policy, pem);
    run_android_policy(c, "strict", &policy, pem);
    run_android_policy(c, "expect", &policy, pem);
    emk_revocation_free(list);
}

/* --- Play Integrity ------------------------------------------------------------------------- */

/* A case that says what was asked for is held to it; one that does not is about the token. */
static emk_status check_verdicts(emk_attest_case *c, emk_span json, emk_error *e)
{
    emk_play_policy policy = {.package = emk_case_string(c, "package"),
                              .time_s = emk_case_time(c, "verify_time"),
                              .allow_testing = c->run->accept->allow_testing};
    emk_claims claims;

    policy.digests[0] = emk_case_hex(c, "certificate_sha256_hex");
    policy.n_digests = 1;
    if (emk_case_has(c, "request_hash"))
        policy.request_hash = emk_case_text(c, "request_hash");
    else
        policy.nonce = emk_case_base64(c, "nonce_b64");
    if (emk_case_has(c, "max_age_seconds"))
        policy.max_age_s = (int64_t)emk_case_number(c, "max_age_seconds");
    return emk_case_is_good(c) ? emk_play_integrity_check(&policy, json, &claims, e)
                               : emk_fail(e, EMK_E_USAGE, "inputs", 0);
}

static void run_play_integrity(emk_attest_case *c)
{
    emk_span decryption = emk_case_base64(c, "decryption_key_b64");
    emk_span verification = emk_case_base64(c, "verification_key_spki_b64");
    emk_span token = emk_case_file(c, "file");
    emk_play_keys *keys = NULL;
    emk_error e = {0};
    emk_buf json;
    emk_status st = EMK_E_USAGE;

    while (token.len > 0 && (token.p[token.len - 1] == '\n' || token.p[token.len - 1] == '\r'))
        token.len--; /* of the text file, not of the token */
    emk_buf_init(&json, EMK_PLAY_TOKEN_MAX);
    if (emk_case_is_good(c))
        st = emk_play_keys_new(c->run->crypto, decryption, verification, &keys, &e);
    if (st == EMK_OK)
        st = emk_play_integrity_open(keys, token, &json, &e);
    if (st == EMK_OK && emk_case_has(c, "package"))
        st = check_verdicts(c, emk_buf_span(&json), &e);
    emk_case_verdict(c, "expect", st, &e);
    emk_buf_done(&json);
    emk_play_keys_free(keys);
}

/* --- SafetyNet ------------------------------------------------------------------------------- */

static void run_safetynet(emk_attest_case *c)
{
    emk_safetynet_policy policy = {.roots = c->run->anchors.certs,
                                   .n_roots = c->run->anchors.n,
                                   .time_s = emk_case_time(c, "verify_time"),
                                   .nonce = emk_case_base64(c, "nonce_b64"),
                                   .simulated = emk_case_simulated(c)};
    emk_span token = emk_case_file(c, "file");
    emk_claims claims;
    emk_error e = {0};
    emk_status st = EMK_E_USAGE;

    while (token.len > 0 && (token.p[token.len - 1] == '\n' || token.p[token.len - 1] == '\r'))
        token.len--;
    if (emk_case_has(c, "max_age_seconds"))
        policy.max_age_s = (int64_t)emk_case_number(c, "max_age_seconds");
    if (emk_case_has(c, "expected_hostname"))
        policy.host = emk_case_string(c, "expected_hostname");
    if (emk_case_has(c, "package")) {
        policy.package = emk_case_string(c, "package");
        policy.app_digest = emk_case_hex(c, "certificate_sha256_hex");
    }
    policy.device = emk_case_has(c, "expect"); /* one verdict on all of it */
    if (emk_case_is_good(c))
        st = emk_safetynet_verify(c->run->crypto, &policy, token, &claims, &e);
    if (policy.device)
        emk_case_verdict(c, "expect", st, &e);
    if (emk_case_has(c, "token_genuine"))
        emk_case_verdict(c, "token_genuine", st, &e);
    if (!emk_case_has(c, "device_verdict"))
        return;
    st = emk_case_is_good(c) ? emk_safetynet_peek_device(token, &e) : EMK_E_USAGE;
    emk_case_verdict(c, "device_verdict", st, &e);
}

const emk_attest_type EMK_ATTEST_TYPES[] = {
    {"attestation", run_attestation},
    {"assertion", run_assertion},
    {"receipt", run_receipt},
    {"key_attestation_chain", run_android_key},
    {"jwe_jws", run_play_integrity},
    {"safetynet_jws", run_safetynet},
    {0},
};
