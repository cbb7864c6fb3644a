#include "server/attest/safetynet.h"

#include "core/codec/base64.h"
#include "core/jose/jws.h"
#include "server/attest/sim/forge.h"
#include "tests/unit/core/crypto/context.h"

#include <stdio.h>

static forge f;
static emk_buf root_der;
static emk_x509 root;
static uint8_t digest[32];
static const char NONCE[] = "sixteen bytes or more of a nonce";

static const char HEADER[] = "{\"alg\":\"ES256\",\"x5c\":[%s]}";
static const char PAYLOAD[] =
    "{\"nonce\":\"c2l4dGVlbiBieXRlcyBvciBtb3JlIG9mIGEgbm9uY2U=\",\"timestampMs\":1800000000123,"
    "\"apkPackageName\":\"com.example.app\",\"ctsProfileMatch\":true,"
    "\"apkCertificateDigestSha256\":[\"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\"],"
    "\"basicIntegrity\":true,\"evaluationType\":\"BASIC,HARDWARE_BACKED\"}";

/* What a leaf says of itself; zeros: as Google's. */
typedef struct leaf_like {
    const char *san;       /* hex of the extension's value; NULL: attest.android.com */
    const char *not_after; /* UTCTime */
    size_t issuer_key;
    const char *issuer;
    const char *subject;
    bool bad_signature;
    bool no_san;
} leaf_like;

static void san_of(const char *host, emk_buf *out)
{
    emk_buf_init(out, 4096);
    forge_tlv(out, 0x82, emk_span_str(host));
    forge_wrap(out, 0x30);
}

static void make_leaf(const leaf_like *x, emk_buf *out)
{
    emk_buf list, san;

    emk_buf_init(&list, 4096);
    emk_buf_init(out, 8192);
    san_of("attest.android.com", &san);
    if (x->san) {
        san.len = 0;
        forge_hex(&san, x->san);
    }
    if (!x->no_san)
        forge_extension(&list, "551d11", false, emk_buf_span(&san));
    forge_hex(&list, "300c0603551d130101ff04023000");
    forge_certificate(&f,
                      &(forge_cert){.key = 2,
                                    .issuer_key = x->issuer_key,
                                    .subject = x->subject ? x->subject : "attest.android.com",
                                    .issuer = x->issuer ? x->issuer : "root",
                                    .not_after = x->not_after,
                                    .bad_signature = x->bad_signature,
                                    .extensions = emk_buf_span(&list)},
                      out);
    emk_buf_done(&san);
    emk_buf_done(&list);
}

static void base64_of(emk_span in, char *out)
{
    static const char ABC[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;

    for (size_t i = 0; i < in.len; i += 3) {
        uint32_t v = (uint32_t)in.p[i] << 16;
        size_t left = in.len - i;

        v |= left > 1 ? (uint32_t)in.p[i + 1] << 8 : 0;
        v |= left > 2 ? in.p[i + 2] : 0;
        out[at++] = ABC[v >> 18];
        out[at++] = ABC[v >> 12 & 63];
        out[at++] = left > 1 ? ABC[v >> 6 & 63] : '=';
        out[at++] = left > 2 ? ABC[v & 63] : '=';
    }
    out[at] = 0;
}

typedef struct token_like {
    const char *header; /* with %s for the certificates; NULL: as Google's */
    const char *payload;
    size_t key; /* that signs; 0: the leaf's */
    leaf_like leaf;
    bool with_root, root_only;
} token_like;

static void make_token(const token_like *x, emk_buf *out)
{
    static char certs[16384], header[20000], b64[8192];
    emk_buf leaf;

    make_leaf(&x->leaf, &leaf);
    base64_of(emk_buf_span(&leaf), b64);
    (void)snprintf(certs, sizeof certs, "\"%s\"", b64);
    base64_of(emk_buf_span(&root_der), b64);
    if (x->with_root)
        (void)snprintf(certs + strlen(certs), sizeof certs - strlen(certs), ",\"%s\"", b64);
    if (x->root_only)
        (void)snprintf(certs, sizeof certs, "\"%s\"", b64);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(header, sizeof header, x->header ? x->header : HEADER, certs);
#pragma GCC diagnostic pop
    emk_buf_init(out, 1u << 16);
    assert_ok(emk_jws_make(f.key[x->key ? x->key : 2], emk_span_str(header),
                           emk_span_str(x->payload ? x->payload : PAYLOAD), out, NULL),
              NULL);
    emk_buf_done(&leaf);
}

static emk_safetynet_policy good_policy(void)
{
    return (emk_safetynet_policy){.roots = &root,
                                  .n_roots = 1,
                                  .time_s = FORGE_NOW,
                                  .nonce = emk_span_str(NONCE),
                                  .package = "com.example.app",
                                  .app_digest = SPAN(digest),
                                  .device = true,
                                  .hardware = true};
}

static emk_status verify(const token_like *x, const emk_safetynet_policy *policy,
                         emk_claims *claims, emk_error *e)
{
    emk_buf token;
    emk_status st;

    make_token(x, &token);
    st = emk_safetynet_verify(test_crypto(), policy, emk_buf_span(&token), claims, e);
    emk_buf_done(&token);
    return st;
}

static int set_up(void **state)
{
    emk_buf ca;

    (void)state;
    forge_init(&f, test_crypto());
    memset(digest, 0xaa, sizeof digest);
    emk_buf_init(&ca, 4096);
    emk_buf_init(&root_der, 8192);
    forge_ca(&ca);
    forge_certificate(
        &f, &(forge_cert){.subject = "root", .issuer = "root", .extensions = emk_buf_span(&ca)},
        &root_der);
    emk_buf_done(&ca);
    return emk_x509_parse(emk_buf_span(&root_der), &root, NULL) != EMK_OK;
}

static int tear_down(void **state)
{
    (void)state;
    emk_buf_done(&root_der);
    forge_done(&f);
    return 0;
}

static void accepts_with_and_without_the_root_and_never_above_level_1(void **state)
{
    emk_safetynet_policy p = good_policy();
    emk_claims claims;
    emk_error e;

    (void)state;
    assert_ok(verify(&(token_like){0}, &p, &claims, &e), &e);
    assert_int_equal(claims.level, 1);
    assert_true(emk_claims_has_warning(&claims, EMK_WARN_RETIRED));
    assert_true(emk_claims_has_warning(&claims, EMK_WARN_KEY_UNBOUND));
    assert_string_equal(claims.app, "com.example.app");
    assert_ok(verify(&(token_like){.with_root = true}, &p, &claims, &e), &e);
    assert_ok(verify(&(token_like){.leaf = {.san = "30148212"
                                                   "4154544553542e616e64726f69642e636f6d"}},
                     &p, &claims, &e),
              &e); /* case does not count in host names */
}

static const struct defect {
    const char *find, *with; /* in the payload */
    emk_status st;
    const char *what;
} DEFECTS[] = {
    {"c2l4dGVl", "d2l4dGVl", EMK_E_SIGNATURE, "safetynet: another nonce"},
    {"bm9uY2U=", "bm9uY2V=", EMK_E_FORMAT, "safetynet: nonce is not base64"},
    {"\"nonce\":\"c2l4dGVlbiBieXRlcyBvciBtb3JlIG9mIGEgbm9uY2U=\",", "", EMK_E_FORMAT,
     "safetynet: no nonce"},
    {"\"nonce\":", "\"nonce\":\"AAAA\",\"nonce\":", EMK_E_FORMAT, "jose: member comes twice"},
    {"1800000000123", "1799999939000", EMK_E_STALE, "safetynet: timestampMs is too old"},
    {"1800000000123", "1800000006000", EMK_E_STALE, "safetynet: timestampMs is in the future"},
    {"1800000000123", "\"1800000000123\"", EMK_E_FORMAT, NULL},
    {"1800000000123", "1800000000.123", EMK_E_FORMAT, NULL},
    {"1800000000123", "18e11", EMK_E_FORMAT, NULL},
    {"1800000000123", "-1", EMK_E_FORMAT, "safetynet: timestampMs"},
    {"\"timestampMs\"", "\"timestamp\"", EMK_E_FORMAT, "safetynet: no timestampMs"},
    {"\"ctsProfileMatch\":true", "\"ctsProfileMatch\":false", EMK_E_POLICY,
     "safetynet: ctsProfileMatch is not true"},
    {"\"ctsProfileMatch\":true", "\"ctsProfileMatch\":\"true\"", EMK_E_FORMAT,
     "safetynet: a verdict is not a boolean"},
    {"\"ctsProfileMatch\":true", "\"ctsProfileMatch\":1", EMK_E_FORMAT,
     "safetynet: a verdict is not a boolean"},
    {"\"ctsProfileMatch\":true", "\"ctsprofilematch\":true", EMK_E_POLICY,
     "safetynet: ctsProfileMatch is not true"},
    {"\"basicIntegrity\":true", "\"basicIntegrity\":false", EMK_E_POLICY,
     "safetynet: basicIntegrity is not true"},
    {"\"basicIntegrity\":true", "\"basicIntegrity\":null", EMK_E_FORMAT,
     "safetynet: a verdict is not a boolean"},
    {"\"basicIntegrity\":true,", "", EMK_E_POLICY, "safetynet: basicIntegrity is not true"},
    {"\"basicIntegrity\"", "\"error\":\"internal_error\",\"basicIntegrity\"", EMK_E_POLICY,
     "safetynet: the service reported an error"},
    {"BASIC,HARDWARE_BACKED", "BASIC", EMK_E_POLICY, "safetynet: not hardware backed"},
    {"BASIC,HARDWARE_BACKED", "BASIC,NOT_HARDWARE_BACKED", EMK_E_POLICY,
     "safetynet: not hardware backed"},
    {"com.example.app", "com.example.apq", EMK_E_POLICY, "safetynet: another package"},
    {"com.example.app", "com.example.app\\u0000", EMK_E_FORMAT, "jose: U+0000 in a text"},
    {"qqqqqqo=", "qqqqqqs=", EMK_E_POLICY, "safetynet: the app is signed by somebody else"},
    {"[\"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\"]", "[]", EMK_E_POLICY,
     "safetynet: the app is signed by somebody else"},
    {"[\"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\"]", "{}", EMK_E_FORMAT, NULL},
    {"BACKED\"}", "BACKED\"}}", EMK_E_FORMAT, NULL},
};

static void refuses_each_payload_with_one_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof DEFECTS / sizeof DEFECTS[0]; i++) {
        const struct defect *d = &DEFECTS[i];
        emk_safetynet_policy p = good_policy();
        char payload[2048];
        const char *at = strstr(PAYLOAD, d->find);
        emk_claims claims;
        emk_error e = {0};
        emk_status st;

        assert_non_null(at);
        (void)snprintf(payload, sizeof payload, "%.*s%s%s", (int)(at - PAYLOAD), PAYLOAD, d->with,
                       at + strlen(d->find));
        st = verify(&(token_like){.payload = payload}, &p, &claims, &e);
        if (st != d->st)
            print_error("defect %zu: %s %s\n", i, emk_status_name(st), e.what);
        assert_status(st, d->st, &e);
        if (d->what)
            assert_string_equal(e.what, d->what);
    }
}

static const struct token_defect {
    token_like token;
    emk_status st;
    const char *what;
} TOKENS[] = {
    {{.leaf = {.san = "30138211"
                      "6174746573742e616e64726f69642e636f"}},
     EMK_E_SIGNATURE,
     "safetynet: the certificate is for another host"},
    {{.leaf = {.san = "30178215"
                      "6174746573742e616e64726f69642e636f6d2e6576"}},
     EMK_E_SIGNATURE,
     "safetynet: the certificate is for another host"},
    {{.leaf = {.san = "30178215"
                      "782e6174746573742e616e64726f69642e636f6d78"}},
     EMK_E_SIGNATURE,
     "safetynet: the certificate is for another host"},
    {{.leaf = {.san = "300f820d"
                      "2a2e616e64726f69642e636f6d"}},
     EMK_E_SIGNATURE,
     "safetynet: the certificate is for another host"},
    {{.leaf = {.san = "30158213"
                      "6174746573742e616e64726f69642e636f6d00"}},
     EMK_E_SIGNATURE,
     "safetynet: the certificate is for another host"},
    {{.leaf = {.san = "30148612"
                      "6174746573742e616e64726f69642e636f6d"}},
     EMK_E_SIGNATURE,
     "safetynet: the certificate is for another host"},
    {{.leaf = {.san = "30148212"
                      "6174746573742e616e64726f69642e636f6d00"}},
     EMK_E_FORMAT,
     NULL},
    {{.leaf = {.no_san = true}}, EMK_E_SIGNATURE, "safetynet: the certificate names no host"},
    {{.leaf = {.not_after = "270101000000Z"}}, EMK_E_STALE, "x509: certificate has expired"},
    {{.leaf = {.issuer_key = 3}}, EMK_E_SIGNATURE, NULL},
    {{.leaf = {.issuer = "other"}}, EMK_E_SIGNATURE, "x509: chain does not end at a trusted root"},
    {{.leaf = {.bad_signature = true}}, EMK_E_SIGNATURE, NULL},
    {{.leaf = {.issuer = "attest.android.com", .issuer_key = 2}},
     EMK_E_SIGNATURE,
     "x509: chain does not end at a trusted root"},
    {{.root_only = true}, EMK_E_SIGNATURE, NULL},
    {{.key = 3}, EMK_E_SIGNATURE, "sign: signature does not fit"},
    {{.key = 1}, EMK_E_SIGNATURE, "sign: signature does not fit"},
    {{.header = "{\"alg\":\"none\",\"x5c\":[%s]}"},
     EMK_E_SIGNATURE,
     "jws: algorithm is not allowed"},
    {{.header = "{\"alg\":\"HS256\",\"x5c\":[%s]}"},
     EMK_E_SIGNATURE,
     "jws: algorithm is not allowed"},
    {{.header = "{\"alg\":\"PS256\",\"x5c\":[%s]}"},
     EMK_E_SIGNATURE,
     "jws: algorithm is not allowed"},
    {{.header = "{\"alg\":\"RS256\",\"x5c\":[%s]}"},
     EMK_E_SIGNATURE,
     "safetynet: algorithm of another kind of key"},
    {{.header = "{\"alg\":\"ES256\"}%.0s"}, EMK_E_FORMAT, NULL},
    {{.header = "{\"alg\":\"ES256\",\"x5c\":[]%.0s}"}, EMK_E_FORMAT, "jws: x5c"},
    {{.header = "{\"alg\":\"ES256\",\"x5c\":%s}"}, EMK_E_FORMAT, NULL},
    {{.header = "{\"alg\":\"ES256\",\"x5c\":[%s,null]}"}, EMK_E_FORMAT, NULL},
    {{.header = "{\"alg\":\"ES256\",\"x5c\":[%s,\"AA-_\"]}"}, EMK_E_FORMAT, "jws: base64 in x5c"},
    {{.header = "{\"alg\":\"ES256\",\"x5c\":[%s,\"AAAA\"]}"}, EMK_E_FORMAT, NULL},
    {{.header = "{\"alg\":\"ES256\",\"jwk\":{},\"x5c\":[%s]}"},
     EMK_E_SIGNATURE,
     "jws: the header brings a key"},
    {{.header = "{\"alg\":\"ES256\",\"x5c\":[%s],\"crit\":[\"x\"]}"},
     EMK_E_UNSUPPORTED,
     "jws: crit or b64"},
    {{.header = "{\"alg\":\"ES256\",\"x5c\":[%s],\"alg\":\"ES256\"}"},
     EMK_E_FORMAT,
     "jose: member comes twice"},
};

static void refuses_each_token_with_one_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof TOKENS / sizeof TOKENS[0]; i++) {
        emk_safetynet_policy p = good_policy();
        emk_claims claims;
        emk_error e = {0};
        emk_status st = verify(&TOKENS[i].token, &p, &claims, &e);

        if (st != TOKENS[i].st)
            print_error("token %zu: %s %s\n", i, emk_status_name(st), e.what);
        assert_status(st, TOKENS[i].st, &e);
        if (TOKENS[i].what)
            assert_string_equal(e.what, TOKENS[i].what);
    }
}

static void refuses_a_token_with_any_character_changed(void **state)
{
    emk_safetynet_policy p = good_policy();
    emk_claims claims;
    emk_error e = {0};
    emk_buf token;

    (void)state;
    make_token(&(token_like){0}, &token);
    for (size_t i = 0; i < token.len; i += 7) {
        uint8_t was = token.p[i];

        token.p[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(
            emk_safetynet_verify(test_crypto(), &p, emk_buf_span(&token), &claims, &e), EMK_OK);
        token.p[i] = was;
    }
    emk_buf_done(&token);
}

static void an_impossible_policy_is_usage(void **state)
{
    emk_safetynet_policy p = good_policy();
    emk_claims claims;
    emk_error e = {0};

    (void)state;
    p.nonce = emk_span_str("");
    assert_status(verify(&(token_like){0}, &p, &claims, &e), EMK_E_USAGE, &e);
    p = good_policy();
    p.app_digest.len = 31;
    assert_status(verify(&(token_like){0}, &p, &claims, &e), EMK_E_USAGE, &e);
    p = good_policy();
    p.n_roots = 0;
    assert_status(verify(&(token_like){0}, &p, &claims, &e), EMK_E_USAGE, &e);
}

int main(void)
{
    const struct CMUnitTest rules[] = {
        emk_rule(accepts_with_and_without_the_root_and_never_above_level_1),
        emk_rule(refuses_each_payload_with_one_defect),
        emk_rule(refuses_each_token_with_one_defect),
        emk_rule(refuses_a_token_with_any_character_changed),
        emk_rule(an_impossible_policy_is_usage),
    };

    return cmocka_run_group_tests(rules, set_up, tear_down);
}
