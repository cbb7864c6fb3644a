#include "server/attest/play_integrity.h"

#include "core/jose/jwe.h"
#include "core/jose/jws.h"
#include "server/attest/sim/forge.h"
#include "tests/unit/core/crypto/context.h"

#define NOW     FORGE_NOW
#define PACKAGE "com.example.app"

static forge f;
static emk_play_keys *keys;
static uint8_t kek[32], digest[32];
static const char NONCE[] = "sixteen bytes or more of a nonce";

static const char OUTER[] = "{\"alg\":\"A256KW\",\"enc\":\"A256GCM\"}";
static const char INNER[] = "{\"alg\":\"ES256\"}";
static const char PAYLOAD[] =
    "{\"requestDetails\":{\"requestPackageName\":\"com.example.app\","
    "\"nonce\":\"c2l4dGVlbiBieXRlcyBvciBtb3JlIG9mIGEgbm9uY2U=\","
    "\"timestampMillis\":\"1800000000123\"},"
    "\"appIntegrity\":{\"appRecognitionVerdict\":\"PLAY_RECOGNIZED\","
    "\"packageName\":\"com.example.app\","
    "\"certificateSha256Digest\":[\"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo\"],"
    "\"versionCode\":\"42\"},"
    "\"deviceIntegrity\":{\"deviceRecognitionVerdict\":[\"MEETS_BASIC_INTEGRITY\","
    "\"MEETS_DEVICE_INTEGRITY\"],\"deviceAttributes\":{\"sdkVersion\":34}},"
    "\"accountDetails\":{\"appLicensingVerdict\":\"LICENSED\"}}";

static int set_up(void **state)
{
    static const char HEAD[] = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    uint8_t spki[128];
    size_t n = emk_unhex(HEAD, spki, sizeof spki);
    emk_span point;

    (void)state;
    forge_init(&f, test_crypto());
    memset(kek, 0x42, sizeof kek);
    memset(digest, 0xaa, sizeof digest);
    point = forge_public(&f, 1);
    memcpy(spki + n, point.p, point.len);
    return emk_play_keys_new(test_crypto(), SPAN(kek), emk_span_of(spki, n + point.len), &keys,
                             NULL) != EMK_OK;
}

static int tear_down(void **state)
{
    (void)state;
    emk_play_keys_free(keys);
    forge_done(&f);
    return 0;
}

static emk_play_policy good_policy(void)
{
    emk_play_policy p = {.package = PACKAGE, .n_digests = 1, .time_s = NOW};

    p.digests[0] = SPAN(digest);
    p.nonce = emk_span_str(NONCE);
    return p;
}

/* `text` with the one place of `find` replaced. */
static void replaced(const char *text, const char *find, const char *with, emk_buf *out)
{
    const char *at = find ? strstr(text, find) : NULL;

    emk_buf_init(out, 1u << 16);
    if (!at) {
        assert_null(find);
        assert_ok(emk_buf_append(out, emk_span_str(text), NULL), NULL);
        return;
    }
    assert_ok(emk_buf_append(out, emk_span_of(text, (size_t)(at - text)), NULL), NULL);
    assert_ok(emk_buf_append(out, emk_span_str(with), NULL), NULL);
    assert_ok(emk_buf_append(out, emk_span_str(at + strlen(find)), NULL), NULL);
}

static void make_token(const char *outer, const char *inner, size_t key, emk_span payload,
                       emk_buf *out)
{
    emk_buf jws;

    emk_buf_init(&jws, 1u << 16);
    emk_buf_init(out, 1u << 17);
    assert_ok(emk_jws_make(f.key[key], emk_span_str(inner), payload, &jws, NULL), NULL);
    assert_ok(
        emk_jwe_seal(test_crypto(), SPAN(kek), emk_span_str(outer), emk_buf_span(&jws), out, NULL),
        NULL);
    emk_buf_done(&jws);
}

static emk_status verify(const emk_play_policy *p, emk_span token, emk_claims *claims, emk_error *e)
{
    return emk_play_integrity_verify(keys, p, token, claims, e);
}

static void accepts_what_google_would_say(void **state)
{
    emk_play_policy p = good_policy();
    emk_claims claims;
    emk_error e;
    emk_buf token;

    (void)state;
    make_token(OUTER, INNER, 1, emk_span_str(PAYLOAD), &token);
    assert_ok(verify(&p, emk_buf_span(&token), &claims, &e), &e);
    assert_int_equal(claims.level, 1);
    assert_string_equal(claims.app, PACKAGE);
    assert_true(claims.device_certified);
    assert_int_equal(claims.os_version, 34);
    assert_int_equal(claims.issued_s, NOW);
    assert_int_equal(claims.n_warnings, 1);
    assert_true(emk_claims_has_warning(&claims, EMK_WARN_KEY_UNBOUND));
    emk_buf_done(&token);
}

/* One defect each: what is replaced in the payload, what then is said. */
static const struct defect {
    const char *find, *with;
    emk_status st;
    const char *what;
} DEFECTS[] = {
    {"\"com.example.app\",\"nonce", "\"com.example.evil\",\"nonce", EMK_E_SIGNATURE,
     "play_integrity: requested by another package"},
    {"\"requestPackageName\":\"com.example.app\",", "", EMK_E_SIGNATURE,
     "play_integrity: requested by another package"},
    {"com.example.app", "com.example.app\\u0000", EMK_E_FORMAT, "jose: U+0000 in a text"},
    {"c2l4dGVl", "d2l4dGVl", EMK_E_SIGNATURE, "play_integrity: another nonce"},
    {"bm9uY2U=", "bm9uY2UA", EMK_E_SIGNATURE, "play_integrity: another nonce"},
    {"bm9uY2U=", "bm9uY2V=", EMK_E_FORMAT, "play_integrity: nonce"},
    {"bm9uY2U=", "bm9uY2U\\n", EMK_E_FORMAT, "play_integrity: nonce"},
    {"\"nonce\":", "\"requestHash\":\"x\",\"nonce\":", EMK_E_FORMAT,
     "play_integrity: a nonce or a requestHash"},
    {"\"nonce\":", "\"nonsense\":", EMK_E_FORMAT, "play_integrity: a nonce or a requestHash"},
    {"\"nonce\":", "\"requestHash\":", EMK_E_SIGNATURE, "play_integrity: another request hash"},
    {"\"nonce\":", "\"nonce\":\"AAAA\",\"nonce\":", EMK_E_FORMAT, "jose: member comes twice"},
    {"\"nonce\":", "\"\\u006eonce\":\"AAAA\",\"nonce\":", EMK_E_FORMAT, "jose: member comes twice"},
    {"1800000000123", "1799999399000", EMK_E_STALE, "play_integrity: timestampMillis is too old"},
    {"1800000000123", "1800000006000", EMK_E_STALE,
     "play_integrity: timestampMillis is in the future"},
    {"\"1800000000123\"", "1800000000123", EMK_E_FORMAT, NULL},
    {"1800000000123", "-1800000000123", EMK_E_FORMAT, "play_integrity: number"},
    {"1800000000123", "01800000000123", EMK_E_FORMAT, "play_integrity: number"},
    {"1800000000123", "99999999999999999999", EMK_E_FORMAT, "play_integrity: number"},
    {"1800000000123", "", EMK_E_FORMAT, "play_integrity: number"},
    {"\"timestampMillis\"", "\"timestamp\"", EMK_E_FORMAT, "play_integrity: no timestampMillis"},
    {"PLAY_RECOGNIZED", "UNRECOGNIZED_VERSION", EMK_E_POLICY,
     "play_integrity: Play does not recognise the app"},
    {"PLAY_RECOGNIZED", "UNEVALUATED", EMK_E_POLICY,
     "play_integrity: Play does not recognise the app"},
    {"PLAY_RECOGNIZED", "play_recognized", EMK_E_POLICY,
     "play_integrity: Play does not recognise the app"},
    {"\"appRecognitionVerdict\":\"PLAY_RECOGNIZED\",", "", EMK_E_POLICY,
     "play_integrity: Play does not recognise the app"},
    {"\"PLAY_RECOGNIZED\"", "true", EMK_E_FORMAT, NULL},
    {"\"packageName\":\"com.example.app\"", "\"packageName\":\"com.example.ap\"", EMK_E_POLICY,
     "play_integrity: another package"},
    {"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo", "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqs",
     EMK_E_POLICY, "play_integrity: the app is signed by somebody else"},
    {"[\"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo\"]", "[]", EMK_E_POLICY,
     "play_integrity: the app is signed by somebody else"},
    {"[\"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo\"]",
     "\"qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo\"", EMK_E_FORMAT, NULL},
    {"\"MEETS_DEVICE_INTEGRITY\"", "\"MEETS_VIRTUAL_INTEGRITY\"", EMK_E_POLICY,
     "play_integrity: the device does not pass"},
    {"\"MEETS_DEVICE_INTEGRITY\"", "\"meets_device_integrity\"", EMK_E_POLICY,
     "play_integrity: the device does not pass"},
    {"[\"MEETS_BASIC_INTEGRITY\",\"MEETS_DEVICE_INTEGRITY\"]", "\"MEETS_DEVICE_INTEGRITY\"",
     EMK_E_FORMAT, NULL},
    {"[\"MEETS_BASIC_INTEGRITY\",\"MEETS_DEVICE_INTEGRITY\"]", "[]", EMK_E_POLICY,
     "play_integrity: the device does not pass"},
    {"[\"MEETS_BASIC_INTEGRITY\",", "[[\"MEETS_DEVICE_INTEGRITY\"],", EMK_E_FORMAT, NULL},
    {"\"deviceIntegrity\"", "\"deviceintegrity\"", EMK_E_POLICY,
     "play_integrity: the device does not pass"},
    {"\"accountDetails\"", "\"testingDetails\":{\"isTestingResponse\":true},\"accountDetails\"",
     EMK_E_POLICY, "play_integrity: a testing response"},
    {"\"accountDetails\"", "\"testingDetails\":{\"isTestingResponse\":\"no\"},\"accountDetails\"",
     EMK_E_POLICY, "play_integrity: a testing response"},
    {"\"accountDetails\"", "\"deviceIntegrity\":{},\"accountDetails\"", EMK_E_FORMAT,
     "jose: member comes twice"},
    {"\"accountDetails\"", "\"tokenPayloadExternal\":{\"deviceIntegrity\":{}},\"accountDetails\"",
     EMK_E_FORMAT, "play_integrity: section comes twice"},
    {"LICENSED\"}}", "LICENSED\"}}x", EMK_E_FORMAT, NULL},
    {"LICENSED\"}}", "LICENSED\"}", EMK_E_FORMAT, NULL},
    {"LICENSED\"}}", "LICENSED\"}}{}", EMK_E_FORMAT, NULL},
    {"LICENSED\"}}", "LICENSED\"},}", EMK_E_FORMAT, NULL},
};

#define N_DEFECTS (sizeof DEFECTS / sizeof DEFECTS[0])

static void refuses_each_payload_with_one_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_DEFECTS; i++) {
        const struct defect *d = &DEFECTS[i];
        emk_play_policy p = good_policy();
        emk_claims claims;
        emk_buf json, token;
        emk_error e = {0};
        emk_status st;

        replaced(PAYLOAD, d->find, d->with, &json);
        make_token(OUTER, INNER, 1, emk_buf_span(&json), &token);
        st = verify(&p, emk_buf_span(&token), &claims, &e);
        if (st != d->st || (d->what && strcmp(d->what, e.what) != 0))
            print_error("defect %zu (%s -> %s): %s %s\n", i, d->find, d->with, emk_status_name(st),
                        e.what);
        assert_status(st, d->st, &e);
        if (d->what)
            assert_string_equal(e.what, d->what);
        emk_buf_done(&token);
        emk_buf_done(&json);
    }
}

/* Headers of either layer, and who signed. */
static const struct layer_defect {
    const char *outer, *inner;
    size_t key;
    emk_status st;
    const char *what;
} LAYERS[] = {
    {"{\"alg\":\"dir\",\"enc\":\"A256GCM\"}", INNER, 1, EMK_E_UNSUPPORTED,
     "jwe: algorithm is not allowed"},
    {"{\"alg\":\"A128KW\",\"enc\":\"A256GCM\"}", INNER, 1, EMK_E_UNSUPPORTED,
     "jwe: algorithm is not allowed"},
    {"{\"alg\":\"RSA-OAEP\",\"enc\":\"A256GCM\"}", INNER, 1, EMK_E_UNSUPPORTED,
     "jwe: algorithm is not allowed"},
    {"{\"alg\":\"PBES2-HS256+A128KW\",\"p2c\":2147483647,\"enc\":\"A256GCM\"}", INNER, 1,
     EMK_E_UNSUPPORTED, "jwe: algorithm is not allowed"},
    {"{\"alg\":\"A256KW\",\"enc\":\"A256CBC-HS512\"}", INNER, 1, EMK_E_UNSUPPORTED,
     "jwe: algorithm is not allowed"},
    {"{\"alg\":\"A256KW\",\"enc\":\"A256GCM\",\"zip\":\"DEF\"}", INNER, 1, EMK_E_UNSUPPORTED,
     "jwe: zip or crit"},
    {"{\"alg\":\"A256KW\",\"enc\":\"A256GCM\",\"crit\":[]}", INNER, 1, EMK_E_UNSUPPORTED,
     "jwe: zip or crit"},
    {"{\"alg\":\"A256KW\",\"alg\":\"A256KW\",\"enc\":\"A256GCM\"}", INNER, 1, EMK_E_FORMAT,
     "jose: member comes twice"},
    {"{\"alg\":\"A256KW\"}", INNER, 1, EMK_E_FORMAT, "jwe: no alg or no enc"},
    {"{\"enc\":\"A256GCM\"}", INNER, 1, EMK_E_FORMAT, "jwe: no alg or no enc"},
    {"{\"alg\":[\"A256KW\"],\"enc\":\"A256GCM\"}", INNER, 1, EMK_E_FORMAT, NULL},
    {"[]", INNER, 1, EMK_E_FORMAT, NULL},
    {"{\"alg\":\"A256KW\",\"enc\":\"A256GCM\"} x", INNER, 1, EMK_E_FORMAT, NULL},
    {OUTER, "{\"alg\":\"none\"}", 1, EMK_E_SIGNATURE, "jws: algorithm is not allowed"},
    {OUTER, "{\"alg\":\"None\"}", 1, EMK_E_SIGNATURE, "jws: algorithm is not allowed"},
    {OUTER, "{\"alg\":\"\"}", 1, EMK_E_SIGNATURE, "jws: algorithm is not allowed"},
    {OUTER, "{\"alg\":\"HS256\"}", 1, EMK_E_SIGNATURE, "jws: algorithm is not allowed"},
    {OUTER, "{\"alg\":\"RS256\"}", 1, EMK_E_SIGNATURE, "jws: algorithm is not allowed"},
    {OUTER, "{\"alg\":\"ES384\"}", 1, EMK_E_SIGNATURE, "jws: algorithm is not allowed"},
    {OUTER, "{\"alg\":\"EdDSA\"}", 1, EMK_E_SIGNATURE, "jws: algorithm is not allowed"},
    {OUTER, "{\"alg\":\"es256\"}", 1, EMK_E_SIGNATURE, "jws: algorithm is not allowed"},
    {OUTER, "{\"alg\":\"ES256\\u0000\"}", 1, EMK_E_FORMAT, "jose: U+0000 in a text"},
    {OUTER, "{\"alg\":\"ES256\",\"alg\":\"none\"}", 1, EMK_E_FORMAT, "jose: member comes twice"},
    {OUTER, "{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\"}}", 2, EMK_E_SIGNATURE,
     "jws: the header brings a key"},
    {OUTER, "{\"alg\":\"ES256\",\"jku\":\"https://evil.example\"}", 2, EMK_E_SIGNATURE,
     "jws: the header brings a key"},
    {OUTER, "{\"alg\":\"ES256\",\"x5u\":\"https://evil.example\"}", 2, EMK_E_SIGNATURE,
     "jws: the header brings a key"},
    {OUTER, "{\"alg\":\"ES256\",\"crit\":[\"exp\"],\"exp\":1}", 1, EMK_E_UNSUPPORTED,
     "jws: crit or b64"},
    {OUTER, "{\"alg\":\"ES256\",\"b64\":false}", 1, EMK_E_UNSUPPORTED, "jws: crit or b64"},
    {OUTER, "{}", 1, EMK_E_FORMAT, "jws: no alg"},
    {OUTER, "{\"alg\":7}", 1, EMK_E_FORMAT, NULL},
    {OUTER, "null", 1, EMK_E_FORMAT, NULL},
    {OUTER, "{\"alg\":\"ES256\"}{}", 1, EMK_E_FORMAT, NULL},
    {OUTER, INNER, 2, EMK_E_SIGNATURE, "sign: signature does not fit"},
};

static void refuses_each_header_and_signer_with_one_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof LAYERS / sizeof LAYERS[0]; i++) {
        const struct layer_defect *d = &LAYERS[i];
        emk_play_policy p = good_policy();
        emk_claims claims;
        emk_error e = {0};
        emk_buf token;
        emk_status st;

        make_token(d->outer, d->inner, d->key, emk_span_str(PAYLOAD), &token);
        st = verify(&p, emk_buf_span(&token), &claims, &e);
        if (st != d->st)
            print_error("layer %zu: %s %s\n", i, emk_status_name(st), e.what);
        assert_status(st, d->st, &e);
        if (d->what)
            assert_string_equal(e.what, d->what);
        emk_buf_done(&token);
    }
}

/* Every byte of the token changed: no place is without protection.  A change that keeps the
 * base64url canonical is found by the tag, others by the form. */
static void refuses_a_token_with_any_character_changed(void **state)
{
    emk_play_policy p = good_policy();
    emk_claims claims;
    emk_buf token;

    (void)state;
    make_token(OUTER, INNER, 1, emk_span_str(PAYLOAD), &token);
    for (size_t i = 0; i < token.len; i += 3) {
        uint8_t was = token.p[i];
        emk_error e = {0};

        token.p[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify(&p, emk_buf_span(&token), &claims, &e), EMK_OK);
        token.p[i] = was;
    }
    emk_buf_done(&token);
}

static void refuses_other_numbers_of_parts_and_shortened_ones(void **state)
{
    emk_play_policy p = good_policy();
    emk_claims claims;
    emk_error e = {0};
    emk_buf token;
    emk_span t;

    (void)state;
    make_token(OUTER, INNER, 1, emk_span_str(PAYLOAD), &token);
    t = emk_buf_span(&token);
    assert_status(verify(&p, emk_span_of(t.p, t.len - 1), &claims, &e), EMK_E_SEALED, &e);
    assert_status(verify(&p, emk_span_of(t.p, t.len - 22), &claims, &e), EMK_E_SEALED, &e);
    assert_status(verify(&p, emk_span_of(t.p, t.len - 23), &claims, &e), EMK_E_FORMAT, &e);
    assert_status(verify(&p, emk_span_of(t.p, 0), &claims, &e), EMK_E_FORMAT, &e);
    assert_ok(emk_buf_append(&token, emk_span_str("."), &e), &e);
    assert_status(verify(&p, emk_buf_span(&token), &claims, &e), EMK_E_FORMAT, &e);
    token.len--;
    assert_ok(emk_buf_append(&token, emk_span_str("\n"), &e), &e);
    assert_status(verify(&p, emk_buf_span(&token), &claims, &e), EMK_E_SEALED, &e);
    emk_buf_done(&token);
}

static void a_bare_jws_is_no_token(void **state)
{
    emk_play_policy p = good_policy();
    emk_claims claims;
    emk_error e = {0};
    emk_buf jws;

    (void)state;
    emk_buf_init(&jws, 1u << 16);
    assert_ok(emk_jws_make(f.key[1], emk_span_str(INNER), emk_span_str(PAYLOAD), &jws, &e), &e);
    assert_status(verify(&p, emk_buf_span(&jws), &claims, &e), EMK_E_FORMAT, &e);
    emk_buf_done(&jws);
}

static void holds_to_what_the_policy_asks_for(void **state)
{
    emk_play_policy p = good_policy();
    emk_claims claims;
    emk_error e = {0};

    (void)state;
    p.device = EMK_PLAY_STRONG;
    assert_status(emk_play_integrity_check(&p, emk_span_str(PAYLOAD), &claims, &e), EMK_E_POLICY,
                  &e);
    p = good_policy();
    p.min_version = 43;
    assert_status(emk_play_integrity_check(&p, emk_span_str(PAYLOAD), &claims, &e), EMK_E_POLICY,
                  &e);
    assert_string_equal(e.what, "play_integrity: the app is too old");
    p.min_version = 42;
    p.licensed = true;
    assert_ok(emk_play_integrity_check(&p, emk_span_str(PAYLOAD), &claims, &e), &e);
    p = good_policy();
    p.nonce = emk_span_str("");
    assert_status(emk_play_integrity_check(&p, emk_span_str(PAYLOAD), &claims, &e), EMK_E_USAGE,
                  &e);
    p = good_policy();
    p.n_digests = 0;
    assert_status(emk_play_integrity_check(&p, emk_span_str(PAYLOAD), &claims, &e), EMK_E_USAGE,
                  &e);
}

static void what_google_decoded_is_checked_the_same(void **state)
{
    emk_play_policy p = good_policy();
    emk_claims claims;
    emk_error e = {0};
    emk_buf json;

    (void)state;
    emk_buf_init(&json, 1u << 16);
    assert_ok(emk_buf_append(&json, emk_span_str("{\"tokenPayloadExternal\":"), &e), &e);
    assert_ok(emk_buf_append(&json, emk_span_str(PAYLOAD), &e), &e);
    assert_ok(emk_buf_append(&json, emk_span_str("}"), &e), &e);
    assert_ok(emk_play_integrity_check(&p, emk_buf_span(&json), &claims, &e), &e);
    p.nonce = emk_span_str("another nonce");
    assert_status(emk_play_integrity_check(&p, emk_buf_span(&json), &claims, &e), EMK_E_SIGNATURE,
                  &e);
    emk_buf_done(&json);
}

int main(void)
{
    const struct CMUnitTest rules[] = {
        emk_rule(accepts_what_google_would_say),
        emk_rule(refuses_each_payload_with_one_defect),
        emk_rule(refuses_each_header_and_signer_with_one_defect),
        emk_rule(refuses_a_token_with_any_character_changed),
        emk_rule(refuses_other_numbers_of_parts_and_shortened_ones),
        emk_rule(a_bare_jws_is_no_token),
        emk_rule(holds_to_what_the_policy_asks_for),
        emk_rule(what_google_decoded_is_checked_the_same),
    };

    return cmocka_run_group_tests(rules, set_up, tear_down);
}
