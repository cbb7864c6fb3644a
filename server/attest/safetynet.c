#include "server/attest/safetynet.h"

#include "core/codec/base64.h"
#include "core/codec/der.h"
#include "core/jose/jws.h"
#include "core/jose/object.h"

#define NONCE_TEXT (EMK_SAFETYNET_NONCE_MAX / 3 * 4 + 8)
#define EVAL_MAX   128u
#define DIGEST_LEN 32u

static const uint8_t OID_ALT_NAME[] = {0x55, 0x1d, 0x11};

/* --- payload ------------------------------------------------------------------------------ */

typedef struct payload {
    uint8_t nonce[EMK_SAFETYNET_NONCE_MAX];
    size_t nonce_len;
    int64_t time_ms;
    bool cts, basic, hardware, has_error;
    char package[EMK_CLAIMS_APP_MAX];
    bool digest_matches;    /* the one digest that was asked for is among them */
    const emk_span *wanted; /* lent; may be empty */
    uint32_t seen;          /* bit per name below */
} payload;

static const char *const NAMES[] = {
    "nonce",
    "timestampMs",
    "ctsProfileMatch",
    "basicIntegrity",
    "evaluationType",
    "apkPackageName",
    "apkCertificateDigestSha256",
    "error",
};

enum { P_NONCE, P_TIME, P_CTS, P_BASIC, P_EVAL, P_PACKAGE, P_DIGESTS, P_ERROR };

#define N_NAMES (sizeof NAMES / sizeof NAMES[0])

static void read_nonce(emk_json *j, payload *p)
{
    char text[NONCE_TEXT];

    if (emk_jose_read_text(j, text, sizeof text) &&
        emk_base64_decode(emk_span_str(text), p->nonce, sizeof p->nonce, &p->nonce_len, NULL) !=
            EMK_OK)
        emk_json_fail(j, EMK_E_FORMAT, "safetynet: nonce is not base64", j->text_off);
}

/* A verdict is true or false; "true" and 1 are neither. */
static bool read_bool(emk_json *j)
{
    emk_json_token t = emk_json_next(j);

    if (t != EMK_JSON_TRUE && t != EMK_JSON_FALSE)
        emk_json_fail(j, EMK_E_FORMAT, "safetynet: a verdict is not a boolean", j->pos);
    return t == EMK_JSON_TRUE;
}

/* A list with commas. */
static void read_evaluation(emk_json *j, payload *p)
{
    char text[EVAL_MAX], *at = text;

    if (!emk_jose_read_text(j, text, sizeof text))
        return;
    while (at) {
        char *comma = strchr(at, ',');

        if (comma)
            *comma = 0;
        p->hardware = p->hardware || strcmp(at, "HARDWARE_BACKED") == 0;
        at = comma ? comma + 1 : NULL;
    }
}

static void read_digests(emk_json *j, payload *p)
{
    char text[64];
    uint8_t digest[DIGEST_LEN];
    size_t len = 0;

    (void)emk_json_expect(j, EMK_JSON_ARRAY_BEGIN);
    while (emk_json_ok(j) && emk_json_next(j) == EMK_JSON_STRING) {
        if (!emk_json_copy_string(j, text, sizeof text, &len))
            return;
        if (emk_base64_decode(emk_span_of(text, len), digest, sizeof digest, &len, NULL) != EMK_OK)
            emk_json_fail(j, EMK_E_FORMAT, "safetynet: certificate digest", j->text_off);
        else if (emk_span_equal(*p->wanted, emk_span_of(digest, len)))
            p->digest_matches = true;
    }
    if (emk_json_ok(j) && j->token != EMK_JSON_ARRAY_END)
        emk_json_fail(j, EMK_E_FORMAT, "safetynet: certificate digests", j->pos);
}

static void read_member(emk_json *j, size_t i, payload *p)
{
    if (i < N_NAMES)
        p->seen |= 1u << i;
    switch (i) {
    case P_NONCE:
        read_nonce(j, p);
        break;
    case P_TIME:
        (void)emk_json_expect(j, EMK_JSON_NUMBER);
        (void)emk_json_i64(j, &p->time_ms);
        break;
    case P_CTS:
        p->cts = read_bool(j);
        break;
    case P_BASIC:
        p->basic = read_bool(j);
        break;
    case P_EVAL:
        read_evaluation(j, p);
        break;
    case P_PACKAGE:
        (void)emk_jose_read_text(j, p->package, sizeof p->package);
        break;
    case P_DIGESTS:
        read_digests(j, p);
        break;
    default:
        emk_json_skip_value(j);
    }
}

static emk_status read_payload(emk_span json, payload *p, emk_error *e)
{
    emk_jose_text t;
    emk_jose_object o;
    emk_status st;
    size_t i;

    st = emk_jose_text_open(&t, json, EMK_SAFETYNET_TOKEN_MAX, e);
    if (st != EMK_OK)
        return st;
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, NAMES, N_NAMES, &i))
        read_member(&t.j, i, p);
    st = emk_jose_text_close(&t, e);
    if (st == EMK_OK && !(p->seen & 1u << P_NONCE))
        st = emk_fail(e, EMK_E_FORMAT, "safetynet: no nonce", 0);
    if (st == EMK_OK && !(p->seen & 1u << P_TIME))
        st = emk_fail(e, EMK_E_FORMAT, "safetynet: no timestampMs", 0);
    return st;
}

static emk_status check_device(const payload *p, bool hardware, emk_error *e)
{
    if (p->seen & 1u << P_ERROR)
        return emk_fail(e, EMK_E_POLICY, "safetynet: the service reported an error", 0);
    if (!p->cts)
        return emk_fail(e, EMK_E_POLICY, "safetynet: ctsProfileMatch is not true", 0);
    if (!p->basic)
        return emk_fail(e, EMK_E_POLICY, "safetynet: basicIntegrity is not true", 0);
    if (hardware && !p->hardware)
        return emk_fail(e, EMK_E_POLICY, "safetynet: not hardware backed", 0);
    return EMK_OK;
}

/* --- chain and host ------------------------------------------------------------------------- */

static uint8_t lower(uint8_t ch)
{
    return ch >= 'A' && ch <= 'Z' ? (uint8_t)(ch + ('a' - 'A')) : ch;
}

/* By length and bytes: a NUL inside is a byte like others and never equal. */
static bool is_host(emk_span name, const char *host)
{
    if (name.len != strlen(host))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (lower(name.p[i]) != lower((uint8_t)host[i]))
            return false;
    return true;
}

/* A dNSName that is the host, whole: no wildcard, and no common name instead. */
static emk_status check_host(const emk_x509 *leaf, const char *host, emk_error *e)
{
    emk_span value;
    emk_der d, list;
    bool critical, found = false;
    emk_status st;

    if (!emk_x509_extension(leaf, emk_span_of(OID_ALT_NAME, sizeof OID_ALT_NAME), &value,
                            &critical))
        return emk_fail(e, EMK_E_SIGNATURE, "safetynet: the certificate names no host", 0);
    emk_der_init(&d, value);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &list);
    while (emk_der_more(&list)) {
        if (emk_der_peek(&list) == EMK_DER_CONTEXT_PRIMITIVE(2))
            found = is_host(emk_der_read(&list, EMK_DER_CONTEXT_PRIMITIVE(2)), host) || found;
        else
            (void)emk_der_read_raw(&list);
    }
    emk_der_leave(&d, &list);
    st = emk_der_finish(&d, e);
    if (st == EMK_OK && !found)
        st = emk_fail(e, EMK_E_SIGNATURE, "safetynet: the certificate is for another host", 0);
    return st;
}

static bool is_anchor(const emk_x509 *cert, const emk_safetynet_policy *policy)
{
    for (size_t i = 0; i < policy->n_roots; i++)
        if (emk_span_equal(cert->subject, policy->roots[i].subject) &&
            emk_span_equal(cert->spki, policy->roots[i].spki))
            return true;
    return false;
}

/* Google sends a root along, signed by an older one: the chain ends where an anchor begins. */
static emk_status check_chain(const emk_crypto *c, const emk_safetynet_policy *policy,
                              const emk_jws *jws, emk_x509 *leaf, const emk_x509 **root,
                              emk_error *e)
{
    emk_x509_rules rules = {
        .roots = policy->roots, .n_roots = policy->n_roots, .time_s = policy->time_s};
    emk_x509 chain[EMK_JWS_X5C_MAX];
    size_t n = 0, at = 0;
    emk_status st = EMK_OK;

    if (jws->n_certs == 0)
        return emk_fail(e, EMK_E_FORMAT, "safetynet: no x5c", 0);
    for (size_t i = 0; st == EMK_OK && i < jws->n_certs; i++) {
        st = emk_x509_parse(jws->certs[i], &chain[i], e);
        if (st == EMK_OK && i > 0 && is_anchor(&chain[i], policy))
            break;
        n = i + 1;
    }
    if (st == EMK_OK)
        st = emk_x509_verify_chain(c, chain, n, &rules, &at, e);
    if (st != EMK_OK)
        return st;
    *leaf = chain[0];
    *root = &policy->roots[at];
    return EMK_OK;
}

static emk_status check_signature(const emk_crypto *c, const emk_jws *jws, const emk_x509 *leaf,
                                  emk_error *e)
{
    emk_jwk *key = NULL;
    emk_status st = emk_jwk_from_spki(c, leaf->spki, EMK_JOSE_BIT(jws->alg), &key, e);

    if (st == EMK_E_USAGE)
        return emk_fail(e, EMK_E_SIGNATURE, "safetynet: algorithm of another kind of key", 0);
    if (st == EMK_OK)
        st = emk_jws_verify(jws, key, e);
    emk_jwk_free(key);
    return st;
}

/* --- policy ----------------------------------------------------------------------------------- */

static emk_status check_usage(const emk_safetynet_policy *policy, emk_error *e)
{
    if (policy->nonce.len == 0 || policy->nonce.len > EMK_SAFETYNET_NONCE_MAX)
        return emk_fail(e, EMK_E_USAGE, "safetynet: no nonce is expected", policy->nonce.len);
    if (policy->package && policy->app_digest.len != DIGEST_LEN)
        return emk_fail(e, EMK_E_USAGE, "safetynet: digest of the app's certificate",
                        policy->app_digest.len);
    return EMK_OK;
}

static emk_status check_age(const emk_safetynet_policy *policy, const payload *p, emk_error *e)
{
    int64_t made = p->time_ms / 1000;
    int64_t max = policy->max_age_s > 0 ? policy->max_age_s : EMK_SAFETYNET_AGE_S;

    if (p->time_ms < 0)
        return emk_fail(e, EMK_E_FORMAT, "safetynet: timestampMs", 0);
    if (made > policy->time_s + EMK_SAFETYNET_SKEW_S)
        return emk_fail(e, EMK_E_STALE, "safetynet: timestampMs is in the future", (uint64_t)made);
    if (policy->time_s - made > max)
        return emk_fail(e, EMK_E_STALE, "safetynet: timestampMs is too old", (uint64_t)made);
    return EMK_OK;
}

/* Package and certificate only mean something when the device's system was not changed. */
static emk_status check_app(const emk_safetynet_policy *policy, const payload *p, emk_error *e)
{
    if (!policy->package)
        return EMK_OK;
    if (!p->cts)
        return emk_fail(e, EMK_E_POLICY, "safetynet: ctsProfileMatch is not true", 0);
    if (strcmp(policy->package, p->package) != 0)
        return emk_fail(e, EMK_E_POLICY, "safetynet: another package", 0);
    if (!p->digest_matches)
        return emk_fail(e, EMK_E_POLICY, "safetynet: the app is signed by somebody else", 0);
    return EMK_OK;
}

static emk_status check_payload(const emk_safetynet_policy *policy, const payload *p, emk_error *e)
{
    emk_status st;

    if (!emk_span_equal(policy->nonce, emk_span_of(p->nonce, p->nonce_len)))
        return emk_fail(e, EMK_E_SIGNATURE, "safetynet: another nonce", 0);
    st = check_age(policy, p, e);
    if (st == EMK_OK && policy->device)
        st = check_device(p, policy->hardware, e);
    return st == EMK_OK ? check_app(policy, p, e) : st;
}

static void fill(const payload *p, const emk_x509 *leaf, emk_claims *claims)
{
    emk_claims out = {.kind = EMK_ATTEST_SAFETYNET};

    out.device_certified = p->cts && p->basic && !(p->seen & 1u << P_ERROR);
    if (p->cts)
        memcpy(out.app, p->package, sizeof out.app);
    out.issued_s = p->time_ms / 1000;
    out.valid_until_s = leaf->not_after;
    emk_claims_warn(&out, EMK_WARN_RETIRED);
    emk_claims_warn(&out, EMK_WARN_KEY_UNBOUND);
    if (!out.device_certified)
        emk_claims_warn(&out, EMK_WARN_DEVICE_WEAK);
    if (!out.app[0])
        emk_claims_warn(&out, EMK_WARN_APP_UNBOUND);
    out.level = emk_claims_level(&out);
    *claims = out;
}

static const emk_jws_rules RULES = {.algs =
                                        EMK_JOSE_BIT(EMK_JOSE_RS256) | EMK_JOSE_BIT(EMK_JOSE_ES256),
                                    .max_len = EMK_SAFETYNET_TOKEN_MAX,
                                    .x5c = true};

emk_status emk_safetynet_verify(const emk_crypto *c, const emk_safetynet_policy *policy,
                                emk_span token, emk_claims *claims, emk_error *e)
{
    payload p = {.wanted = &policy->app_digest};
    emk_jws jws = {0};
    const emk_x509 *root = NULL;
    emk_claims out;
    emk_x509 leaf;
    emk_status st;

    st = check_usage(policy, e);
    if (st != EMK_OK)
        return st;
    st = emk_jws_parse(&RULES, token, &jws, e);
    if (st == EMK_OK)
        st = check_chain(c, policy, &jws, &leaf, &root, e);
    if (st == EMK_OK)
        st = check_host(&leaf, policy->host ? policy->host : EMK_SAFETYNET_HOST, e);
    if (st == EMK_OK)
        st = check_signature(c, &jws, &leaf, e);
    if (st == EMK_OK)
        st = read_payload(jws.payload, &p, e);
    if (st == EMK_OK)
        st = check_payload(policy, &p, e);
    if (st == EMK_OK) {
        fill(&p, &leaf, &out);
        st = emk_simulated_judge(root, policy->simulated, &out, e);
    }
    if (st == EMK_OK)
        *claims = out;
    emk_jws_done(&jws);
    return st;
}

emk_status emk_safetynet_peek_device(emk_span token, emk_error *e)
{
    static const emk_span NOTHING = {NULL, 0};
    payload p = {.wanted = &NOTHING};
    emk_jws jws = {0};
    emk_status st = emk_jws_parse(&RULES, token, &jws, e);

    if (st == EMK_OK)
        st = read_payload(jws.payload, &p, e);
    if (st == EMK_OK)
        st = check_device(&p, false, e);
    emk_jws_done(&jws);
    return st;
}
