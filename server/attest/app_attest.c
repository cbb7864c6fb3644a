#include "server/attest/app_attest.h"

#include "core/base/secret.h"
#include "core/codec/der.h"
#include "core/crypto/hash.h"
#include "core/crypto/sign.h"
#include "server/attest/cbor.h"

#define N_CERTS     2u /* the leaf and its issuer, no more and no less */
#define RP_HASH_LEN 32u
#define AAGUID_LEN  16u
#define KEY_ID_LEN  32u
#define COORD_LEN   32u
#define COSE_PAIRS  5u

#define OID(...)                                                               \
    {                                                                          \
        (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
    }

/* 1.2.840.113635.100.8.2: the nonce */
static const emk_span OID_NONCE = OID(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x63, 0x64, 0x08, 0x02);

static const char AAGUID_DEVELOPMENT[] = "appattestdevelop";
static const char AAGUID_PRODUCTION[] = "appattest\0\0\0\0\0\0\0";

typedef struct object {
    emk_span auth_data;
    emk_span receipt;
    emk_span certs[N_CERTS];
} object;

typedef struct auth_data {
    emk_span rp_hash, aaguid, cred_id, x, y;
    uint32_t counter;
} auth_data;

/* --- reading ---------------------------------------------------------------------------- */

static void read_x5c(emk_lax_cbor *c, object *o)
{
    if (emk_lax_array(c) != N_CERTS) {
        emk_lax_fail(c, EMK_E_FORMAT, "app_attest: x5c is not two certificates");
        return;
    }
    o->certs[0] = emk_lax_bytes(c);
    o->certs[1] = emk_lax_bytes(c);
}

static void read_statement(emk_lax_cbor *c, object *o)
{
    static const char *const NAMES[] = {"x5c", "receipt"};
    size_t n = emk_lax_map(c);
    uint32_t seen = 0;

    while (n-- > 0 && emk_lax_ok(c)) {
        switch (emk_lax_key(c, NAMES, 2, &seen)) {
        case 0:
            read_x5c(c, o);
            break;
        case 1:
            o->receipt = emk_lax_bytes(c);
            break;
        default:
            emk_lax_fail(c, EMK_E_FORMAT, "app_attest: unknown key in the statement");
        }
    }
    if (!(seen & 1))
        emk_lax_fail(c, EMK_E_FORMAT, "app_attest: no x5c");
}

static emk_status read_object(emk_span in, object *o, emk_error *e)
{
    static const char *const NAMES[] = {"fmt", "attStmt", "authData"};
    emk_lax_cbor c;
    uint32_t seen = 0;
    size_t n;

    emk_lax_init(&c, in);
    n = emk_lax_map(&c);
    while (n-- > 0 && emk_lax_ok(&c)) {
        switch (emk_lax_key(&c, NAMES, 3, &seen)) {
        case 0:
            if (!emk_span_equal(emk_lax_text(&c), emk_span_str("apple-appattest")))
                emk_lax_fail(&c, EMK_E_FORMAT, "app_attest: another fmt");
            break;
        case 1:
            read_statement(&c, o);
            break;
        case 2:
            o->auth_data = emk_lax_bytes(&c);
            break;
        default:
            emk_lax_fail(&c, EMK_E_FORMAT, "app_attest: unknown key");
        }
    }
    if (seen != 7)
        emk_lax_fail(&c, EMK_E_FORMAT, "app_attest: a key is missing");
    return emk_lax_finish(&c, e);
}

static void expect_int(emk_lax_cbor *c, int64_t want)
{
    if (emk_lax_int(c) != want)
        emk_lax_fail(c, EMK_E_FORMAT, "app_attest: COSE key is not ES256 on P-256");
}

/* {1: 2, 3: -7, -1: 1, -2: x, -3: y} in any order, each once. */
static void read_cose_key(emk_lax_cbor *c, auth_data *a)
{
    uint32_t seen = 0;

    if (emk_lax_map(c) != COSE_PAIRS)
        emk_lax_fail(c, EMK_E_FORMAT, "app_attest: COSE key");
    for (size_t i = 0; i < COSE_PAIRS && emk_lax_ok(c); i++) {
        int64_t label = emk_lax_int(c);

        if (label < -3 || label > 3 || seen & 1u << (label + 3))
            emk_lax_fail(c, EMK_E_FORMAT, "app_attest: COSE key");
        else
            seen |= 1u << (label + 3);
        if (label == 1)
            expect_int(c, 2);
        else if (label == 3)
            expect_int(c, -7);
        else if (label == -1)
            expect_int(c, 1);
        else if (label == -2)
            a->x = emk_lax_bytes(c);
        else if (label == -3)
            a->y = emk_lax_bytes(c);
        else
            emk_lax_fail(c, EMK_E_FORMAT, "app_attest: COSE key");
    }
    if (a->x.len != COORD_LEN || a->y.len != COORD_LEN)
        emk_lax_fail(c, EMK_E_FORMAT, "app_attest: COSE key");
}

/* Nothing, or one map with text keys, each once: its values are covered by the nonce, and none
 * is needed yet. */
static void read_tail(emk_lax_cbor *c)
{
    emk_span keys[EMK_LAX_CBOR_ITEMS];
    size_t n;

    if (!emk_lax_ok(c) || emk_reader_left(&c->in) == 0)
        return;
    n = emk_lax_map(c);
    for (size_t i = 0; i < n && emk_lax_ok(c); i++) {
        keys[i] = emk_lax_text(c);
        for (size_t j = 0; j < i; j++)
            if (emk_span_equal(keys[i], keys[j]))
                emk_lax_fail(c, EMK_E_FORMAT, "app_attest: key comes twice");
        emk_lax_skip(c);
    }
}

/* What attestation and assertion share: rpIdHash, flags, counter. */
static void read_front(emk_reader *r, auth_data *a)
{
    a->rp_hash = emk_read_bytes(r, RP_HASH_LEN);
    (void)emk_read_u8(r); /* flags: see the header */
    a->counter = emk_read_u32be(r);
}

static emk_status read_auth_data(emk_span in, auth_data *a, emk_error *e)
{
    emk_lax_cbor c;
    emk_reader r;

    emk_reader_init(&r, in);
    read_front(&r, a);
    a->aaguid = emk_read_bytes(&r, AAGUID_LEN);
    a->cred_id = emk_read_bytes(&r, emk_read_u16be(&r));
    if (r.cut)
        return emk_fail(e, EMK_E_FORMAT, "app_attest: authenticator data is cut short", r.pos);
    emk_lax_init(&c, emk_read_bytes(&r, emk_reader_left(&r)));
    read_cose_key(&c, a);
    read_tail(&c);
    return emk_lax_finish(&c, e);
}

/* SEQUENCE { [1] EXPLICIT OCTET STRING }, all of it. */
static emk_status check_nonce(const emk_x509 *leaf, const uint8_t want[32], emk_error *e)
{
    emk_span value, nonce;
    emk_der d, seq, tagged;
    bool critical;
    emk_status st;

    if (!emk_x509_extension(leaf, OID_NONCE, &value, &critical))
        return emk_fail(e, EMK_E_FORMAT, "app_attest: no nonce in the certificate", 0);
    emk_der_init(&d, value);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &seq);
    emk_der_enter(&seq, EMK_DER_CONTEXT(1), &tagged);
    nonce = emk_der_read(&tagged, EMK_DER_OCTETS);
    emk_der_leave(&seq, &tagged);
    emk_der_leave(&d, &seq);
    st = emk_der_finish(&d, e);
    if (st != EMK_OK)
        return st;
    if (nonce.len != 32 || !emk_ct_equal(nonce.p, want, 32))
        return emk_fail(e, EMK_E_SIGNATURE, "app_attest: nonce mismatch", 0);
    return EMK_OK;
}

/* --- attestation --------------------------------------------------------------------------- */

/* Where the evidence comes from, once its chain holds. */
typedef struct origin {
    emk_x509 leaf;
    const emk_x509 *root; /* lent from the policy */
} origin;

static emk_status check_chain(const emk_crypto *c, const emk_app_attest_policy *policy,
                              const object *o, origin *out, emk_error *e)
{
    const emk_x509_rules rules = {.roots = policy->roots,
                                  .n_roots = policy->n_roots,
                                  .time_s = policy->time_s,
                                  .memo = policy->memo};
    emk_x509 chain[N_CERTS];
    size_t root = 0;
    emk_status st = EMK_OK;

    for (size_t i = 0; i < N_CERTS && st == EMK_OK; i++)
        st = emk_x509_parse(o->certs[i], &chain[i], e);
    if (st == EMK_OK)
        st = emk_x509_verify_chain(c, chain, N_CERTS, &rules, &root, e);
    if (st == EMK_OK)
        *out = (origin){chain[0], &policy->roots[root]};
    return st;
}

static emk_status check_app(const emk_crypto *c, const char *app_id, emk_span rp_hash, emk_error *e)
{
    emk_span app = emk_span_str(app_id);
    uint8_t hash[32];
    emk_status st;

    if (app.len == 0 || app.len >= EMK_CLAIMS_APP_MAX)
        return emk_fail(e, EMK_E_USAGE, "app_attest: App ID", app.len);
    st = emk_sha256(c, &app, 1, hash, e);
    if (st == EMK_OK && !emk_span_equal(rp_hash, emk_span_of(hash, sizeof hash)))
        st = emk_fail(e, EMK_E_POLICY, "app_attest: rpIdHash mismatch", 0);
    return st;
}

/* keyId is SHA-256 of the leaf's point, which is also the COSE key's and the credential's. */
static emk_status check_key(const emk_crypto *c, const emk_app_attest_evidence *in,
                            const emk_x509 *leaf, const auth_data *a, emk_error *e)
{
    uint8_t id[32];
    emk_status st;

    if (leaf->key_kind != EMK_X509_KEY_P256)
        return emk_fail(e, EMK_E_FORMAT, "app_attest: leaf key is not on P-256", 0);
    st = emk_sha256(c, &leaf->key, 1, id, e);
    if (st != EMK_OK)
        return st;
    if (!emk_span_equal(in->key_id, emk_span_of(id, sizeof id)))
        return emk_fail(e, EMK_E_SIGNATURE, "app_attest: keyId is not the hash of the key", 0);
    if (!emk_span_equal(a->cred_id, in->key_id))
        return emk_fail(e, EMK_E_SIGNATURE, "app_attest: credential is not keyId", 0);
    if (!emk_span_equal(a->x, emk_span_of(leaf->key.p + 1, COORD_LEN)) ||
        !emk_span_equal(a->y, emk_span_of(leaf->key.p + 1 + COORD_LEN, COORD_LEN)))
        return emk_fail(e, EMK_E_SIGNATURE, "app_attest: COSE key is not the leaf's", 0);
    return EMK_OK;
}

static emk_status check_environment(const emk_app_attest_policy *policy, const auth_data *a,
                                    emk_error *e)
{
    const char *want = policy->development ? AAGUID_DEVELOPMENT : AAGUID_PRODUCTION;

    if (!emk_span_equal(a->aaguid, emk_span_of(want, AAGUID_LEN)))
        return emk_fail(e, EMK_E_POLICY, "app_attest: aaguid of the other environment", 0);
    if (a->counter != 0)
        return emk_fail(e, EMK_E_FORMAT, "app_attest: counter is not 0", a->counter);
    return EMK_OK;
}

static emk_status check_usage(emk_span hash, size_t len, size_t max, emk_error *e)
{
    if (hash.len == 0 || hash.len > EMK_APP_ATTEST_HASH_MAX)
        return emk_fail(e, EMK_E_USAGE, "app_attest: client data hash", hash.len);
    if (len > max)
        return emk_fail(e, EMK_E_LIMIT, "app_attest: evidence", len);
    return EMK_OK;
}

static emk_status fill(const emk_crypto *c, const emk_app_attest_policy *policy,
                       const emk_app_attest_evidence *in, const origin *from, emk_claims *claims,
                       emk_error *e)
{
    const emk_x509 *leaf = &from->leaf;
    emk_claims out = {.kind = EMK_ATTEST_APP_ATTEST,
                      .key_home = EMK_KEY_HOME_SEPARATE,
                      .issued_s = leaf->not_before,
                      .valid_until_s = leaf->not_after};
    emk_status st = emk_sha256(c, &leaf->spki, 1, out.key_thumbprint, e);

    if (st != EMK_OK)
        return st;
    memcpy(out.app, policy->app_id, strlen(policy->app_id)); /* check_app held it to its limit */
    if (policy->development)
        emk_claims_warn(&out, EMK_WARN_DEVELOPMENT);
    if (in->client_data_hash.len != 32)
        emk_claims_warn(&out, EMK_WARN_SIGNED_RAW);
    out.level = emk_claims_level(&out);
    st = emk_simulated_judge(from->root, policy->simulated, &out, e);
    if (st == EMK_OK)
        *claims = out;
    return st;
}

emk_status emk_app_attest_verify(const emk_crypto *c, const emk_app_attest_policy *policy,
                                 const emk_app_attest_evidence *evidence, emk_claims *claims,
                                 emk_app_attest_key *key, emk_error *e)
{
    object o = {0};
    auth_data a = {0};
    origin from;
    uint8_t nonce[32];
    emk_status st;

    st =
        check_usage(evidence->client_data_hash, evidence->object.len, EMK_APP_ATTEST_OBJECT_MAX, e);
    if (st == EMK_OK)
        st = read_object(evidence->object, &o, e);
    if (st == EMK_OK)
        st = read_auth_data(o.auth_data, &a, e);
    if (st == EMK_OK)
        st = check_app(c, policy->app_id, a.rp_hash, e);
    if (st == EMK_OK)
        st = check_environment(policy, &a, e);
    if (st == EMK_OK)
        st = check_chain(c, policy, &o, &from, e);
    if (st == EMK_OK)
        st =
            emk_sha256(c, (const emk_span[]){o.auth_data, evidence->client_data_hash}, 2, nonce, e);
    if (st == EMK_OK)
        st = check_nonce(&from.leaf, nonce, e);
    if (st == EMK_OK)
        st = check_key(c, evidence, &from.leaf, &a, e);
    if (st == EMK_OK)
        st = fill(c, policy, evidence, &from, claims, e);
    if (st != EMK_OK)
        return st;
    memcpy(key->id, evidence->key_id.p, KEY_ID_LEN);
    memcpy(key->public_key, from.leaf.key.p, EMK_APP_ATTEST_KEY_LEN);
    key->receipt = o.receipt;
    return EMK_OK;
}

/* --- assertion --------------------------------------------------------------------------- */

static emk_status read_assertion(emk_span in, emk_span *sig, emk_span *auth, emk_error *e)
{
    static const char *const NAMES[] = {"signature", "authenticatorData"};
    emk_lax_cbor c;
    uint32_t seen = 0;
    size_t n;

    emk_lax_init(&c, in);
    n = emk_lax_map(&c);
    while (n-- > 0 && emk_lax_ok(&c)) {
        size_t i = emk_lax_key(&c, NAMES, 2, &seen);

        if (i == 2)
            emk_lax_fail(&c, EMK_E_FORMAT, "app_attest: unknown key");
        *(i == 0 ? sig : auth) = emk_lax_bytes(&c);
    }
    if (seen != 3)
        emk_lax_fail(&c, EMK_E_FORMAT, "app_attest: a key is missing");
    return emk_lax_finish(&c, e);
}

/* 37 bytes, and since iOS 27 perhaps a map; the flag for attested data means nothing here. */
static emk_status read_short_auth_data(emk_span in, auth_data *a, emk_error *e)
{
    emk_lax_cbor c;
    emk_reader r;

    emk_reader_init(&r, in);
    read_front(&r, a);
    if (r.cut)
        return emk_fail(e, EMK_E_FORMAT, "app_attest: authenticator data is cut short", in.len);
    emk_lax_init(&c, emk_read_bytes(&r, emk_reader_left(&r)));
    read_tail(&c);
    return emk_lax_finish(&c, e);
}

/* The signature is over the nonce as a message: ECDSA hashes it once more. */
static emk_status check_assertion(const emk_crypto *c, const emk_app_attest_record *record,
                                  emk_span nonce, emk_span sig, emk_error *e)
{
    emk_verify_key *key = NULL;
    emk_status st;

    st = emk_verify_key_new(c, EMK_SIGN_ES256, record->public_key, &key, e);
    if (st != EMK_OK)
        return st;
    st = emk_sign_verify_der(key, nonce, sig, e);
    emk_verify_key_free(key);
    return st;
}

emk_status emk_app_attest_assert(const emk_crypto *c, const emk_app_attest_record *record,
                                 emk_span assertion, emk_span client_data_hash, uint32_t *counter,
                                 emk_error *e)
{
    emk_span sig = {NULL, 0}, auth = {NULL, 0};
    auth_data a = {0};
    uint8_t nonce[32];
    emk_status st;

    st = check_usage(client_data_hash, assertion.len, EMK_APP_ATTEST_ASSERT_MAX, e);
    if (st == EMK_OK)
        st = read_assertion(assertion, &sig, &auth, e);
    if (st == EMK_OK)
        st = read_short_auth_data(auth, &a, e);
    if (st == EMK_OK)
        st = check_app(c, record->app_id, a.rp_hash, e);
    if (st == EMK_OK)
        st = emk_sha256(c, (const emk_span[]){auth, client_data_hash}, 2, nonce, e);
    if (st == EMK_OK)
        st = check_assertion(c, record, emk_span_of(nonce, sizeof nonce), sig, e);
    if (st == EMK_OK && a.counter <= record->counter)
        st = emk_fail(e, EMK_E_USED, "app_attest: counter did not grow", a.counter);
    if (st == EMK_OK)
        *counter = a.counter;
    return st;
}
