#include "server/gate/token.h"

#include "tests/unit/server/gate/kit.h"

#define ISS "https://id.example"

/* 1700000000 is now. */
#define GOOD                                                                        \
    "{\"iss\":\"" ISS "\",\"sub\":\"anna\",\"aud\":\"earmark\",\"iat\":1699999900," \
    "\"exp\":1700000500}"

static kit_device signer, other;
static emk_jwks_cache *keys;
static emk_tokens *tokens;
static char text[32768];
static char jwks[2048];

static const char *const audiences[] = {"earmark", "earmark-2"};

static emk_token_issuer row(void)
{
    emk_token_issuer r = {.iss = ISS, .tenant = "main", .audiences = audiences, .n_audiences = 2};

    r.algs = EMK_JOSE_BITS_USER;
    r.keys = keys;
    return r;
}

static int setup(void **state)
{
    emk_token_issuer r;
    emk_error e;

    (void)state;
    signer = kit_device_make(EMK_SIGN_ES256, 0);
    other = kit_device_make(EMK_SIGN_ES256, 0);
    kit_jwks(jwks, sizeof jwks, &signer, 1);
    assert_ok(emk_jwks_cache_new(kit_crypto(), NULL, &keys, &e), &e);
    assert_ok(emk_jwks_cache_put(keys, emk_span_str(jwks), KIT_NOW_S, &e), &e);
    r = row();
    assert_ok(emk_tokens_new(kit_crypto(), &r, 1, 16, &tokens, &e), &e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    emk_tokens_free(tokens);
    emk_jwks_cache_free(keys);
    kit_device_done(&signer);
    kit_device_done(&other);
    return 0;
}

static emk_status verify_at(uint64_t now_s, emk_token_claims *out)
{
    return emk_token_verify(tokens, emk_span_str(text), now_s, out, NULL);
}

static emk_status verify(void)
{
    emk_token_claims c;

    return verify_at(KIT_NOW_S, &c);
}

static void takes_a_good_token_and_remembers_it(void **state)
{
    emk_token_claims c;
    uint64_t hits, misses;

    (void)state;
    kit_token(text, sizeof text, &signer, "k0", "", GOOD);
    for (int i = 0; i < 3; i++)
        assert_ok(verify_at(KIT_NOW_S, &c), NULL);
    assert_string_equal(c.user, "anna");
    assert_string_equal(emk_tokens_tenant(tokens, c.issuer), "main");
    assert_false(c.bound);
    emk_tokens_counts(tokens, &hits, &misses);
    assert_int_equal(hits, 2);
    assert_int_equal(misses, 1);
}

static void remembered_token_ends_with_its_time(void **state)
{
    emk_token_claims c;

    (void)state;
    kit_token(text, sizeof text, &signer, "k0", "", GOOD);
    assert_ok(verify_at(KIT_NOW_S, &c), NULL);
    assert_ok(verify_at(1700000559, &c), NULL); /* the skew of 60 s */
    assert_status(verify_at(1700000560, &c), EMK_E_POLICY, NULL);
}

static void remembered_token_ends_with_its_key(void **state)
{
    char without[2048];

    (void)state;
    kit_token(text, sizeof text, &signer, "k0", "", GOOD);
    assert_ok(verify(), NULL);
    assert_ok(emk_jwks_cache_put(keys, emk_span_str(jwks), KIT_NOW_S, NULL), NULL);
    assert_ok(verify(), NULL);
    kit_jwks(without, sizeof without, &other, 1);
    assert_ok(emk_jwks_cache_put(keys, emk_span_str(without), KIT_NOW_S, NULL), NULL);
    assert_status(verify(), EMK_E_SIGNATURE, NULL);
}

static void refuses_forged_headers(void **state)
{
    static const struct {
        const char *header;
        emk_status st;
    } rows[] = {
        {"{\"alg\":\"none\",\"kid\":\"k0\"}", EMK_E_SIGNATURE},
        {"{\"alg\":\"None\",\"kid\":\"k0\"}", EMK_E_SIGNATURE},
        {"{\"alg\":\"HS256\",\"kid\":\"k0\"}", EMK_E_SIGNATURE},
        {"{\"alg\":\"RS256\",\"kid\":\"k0\"}", EMK_E_SIGNATURE}, /* not of this kind of key */
        {"{\"alg\":\"EdDSA\",\"kid\":\"k0\"}", EMK_E_SIGNATURE},
        {"{\"alg\":\"ES384\",\"kid\":\"k0\"}", EMK_E_SIGNATURE},
        {"{\"alg\":[\"ES256\"],\"kid\":\"k0\"}", EMK_E_FORMAT},
        {"{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"k0\"}", EMK_E_FORMAT},
        {"{\"kid\":\"k0\"}", EMK_E_FORMAT},
        {"{\"alg\":\"ES256\",\"kid\":\"k9\"}", EMK_E_NOT_FOUND},
        {"{\"alg\":\"ES256\",\"kid\":\"../../etc/passwd\"}", EMK_E_NOT_FOUND},
        {"{\"alg\":\"ES256\",\"kid\":\"k0' OR 1=1 --\"}", EMK_E_NOT_FOUND},
        {"{\"alg\":\"ES256\",\"kid\":\"k0\\u0000\"}", EMK_E_FORMAT},
        {"{\"alg\":\"ES256\",\"kid\":7}", EMK_E_FORMAT},
        {"{\"alg\":\"ES256\",\"kid\":\"k0\",\"jku\":\"https://evil.example/k\"}", EMK_E_SIGNATURE},
        {"{\"alg\":\"ES256\",\"kid\":\"k0\",\"x5u\":\"https://evil.example/k\"}", EMK_E_SIGNATURE},
        {"{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\"}}", EMK_E_SIGNATURE},
        {"{\"alg\":\"ES256\",\"kid\":\"k0\",\"crit\":[\"exp\"]}", EMK_E_UNSUPPORTED},
        {"{\"alg\":\"ES256\",\"kid\":\"k0\",\"b64\":false}", EMK_E_UNSUPPORTED},
        {"{\"alg\":\"ES256\",\"kid\":\"k0\",\"typ\":\"dpop+jwt\"}", EMK_E_POLICY},
        {"{\"alg\":\"ES256\",\"kid\":\"k0\",\"typ\":\"logout+jwt\"}", EMK_E_POLICY},
        {"[]", EMK_E_FORMAT},
    };
    emk_status st;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kit_token_raw(text, sizeof text, &signer, rows[i].header, GOOD);
        st = verify();
        if (st != rows[i].st)
            fail_msg("%s: %s", rows[i].header, emk_status_name(st));
    }
}

#define CLAIMS(iss, sub, aud, times) "{\"iss\":" iss ",\"sub\":" sub ",\"aud\":" aud "," times "}"
#define I                            "\"" ISS "\""
#define S                            "\"anna\""
#define A                            "\"earmark\""
#define TIME                         "\"iat\":1699999900,\"exp\":1700000500"

static void refuses_wrong_claims(void **state)
{
    static const struct {
        const char *claims;
        emk_status st;
    } rows[] = {
        {CLAIMS("\"https://id.example/\"", S, A, TIME), EMK_E_POLICY},
        {CLAIMS("\"http://id.example\"", S, A, TIME), EMK_E_POLICY},
        {CLAIMS("\"\"", S, A, TIME), EMK_E_POLICY},
        {CLAIMS("\"" ISS "\\u0000x\"", S, A, TIME), EMK_E_FORMAT},
        {CLAIMS("[" I "]", S, A, TIME), EMK_E_FORMAT},
        {CLAIMS(I, S, "\"Earmark\"", TIME), EMK_E_POLICY},
        {CLAIMS(I, S, "\"earmark\\u0000\"", TIME), EMK_E_FORMAT},
        {CLAIMS(I, S, "[]", TIME), EMK_E_POLICY},
        {CLAIMS(I, S, "[\"a\",\"b\"]", TIME), EMK_E_POLICY},
        {CLAIMS(I, S, "[[\"earmark\"]]", TIME), EMK_E_FORMAT},
        {CLAIMS(I, S, "{\"x\":\"earmark\"}", TIME), EMK_E_FORMAT},
        {CLAIMS(I, S, "[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"earmark\"]", TIME),
         EMK_E_LIMIT},
        {CLAIMS(I, "\"\"", A, TIME), EMK_E_POLICY},
        {CLAIMS(I, "\"a\\nb\"", A, TIME), EMK_E_POLICY},
        {CLAIMS(I, "\"a\\u0000b\"", A, TIME), EMK_E_FORMAT},
        {CLAIMS(I, "7", A, TIME), EMK_E_FORMAT},
        {CLAIMS(I, S, A, "\"iat\":1699998000,\"exp\":1699998500"), EMK_E_POLICY}, /* expired */
        {CLAIMS(I, S, A, "\"iat\":1699999900,\"exp\":1700000801"), EMK_E_POLICY}, /* too long */
        {CLAIMS(I, S, A, "\"iat\":1699999900,\"exp\":9999999999"), EMK_E_POLICY},
        {CLAIMS(I, S, A, "\"iat\":1700000061,\"exp\":1700000500"), EMK_E_POLICY}, /* future */
        {CLAIMS(I, S, A, TIME ",\"nbf\":1700000061"), EMK_E_POLICY},
        {CLAIMS(I, S, A, "\"iat\":1700000500,\"exp\":1699999900"), EMK_E_POLICY},
        {CLAIMS(I, S, A, "\"iat\":-1,\"exp\":1700000500"), EMK_E_FORMAT},
        {CLAIMS(I, S, A, "\"iat\":1699999900,\"exp\":\"1700000500\""), EMK_E_FORMAT},
        {CLAIMS(I, S, A, "\"iat\":1699999900,\"exp\":1.7e9"), EMK_E_FORMAT},
        {CLAIMS(I, S, A, "\"iat\":1699999900,\"exp\":18446744073709551615"), EMK_E_FORMAT},
        {CLAIMS(I, S, A, "\"iat\":1699999900"), EMK_E_POLICY},
        {CLAIMS(I, S, A, "\"exp\":1700000500"), EMK_E_POLICY},
        {CLAIMS(I, S, A, TIME ",\"exp\":1700000600"), EMK_E_FORMAT}, /* twice */
        {CLAIMS(I, S, A, TIME ",\"s\\u0075b\":\"eve\""), EMK_E_FORMAT},
        {CLAIMS(I, S, A, TIME ",\"x\":1,\"x\":2"), EMK_E_FORMAT},
        {CLAIMS(I, S, A, TIME ",\"cnf\":{\"x5t#S256\":\"abc\"}"), EMK_E_UNSUPPORTED},
        {CLAIMS(I, S, A, TIME ",\"cnf\":{\"jkt\":\"abc\"}"), EMK_E_FORMAT},
        {CLAIMS(I, S, A, TIME ",\"cnf\":\"x\""), EMK_E_FORMAT},
        {CLAIMS(I, S, A, TIME) " x", EMK_E_FORMAT},
        {"", EMK_E_FORMAT},
        {"{}", EMK_E_POLICY},
    };
    emk_status st;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        kit_token(text, sizeof text, &signer, "k0", "", rows[i].claims);
        st = verify();
        if (st != rows[i].st)
            fail_msg("%s: %s", rows[i].claims, emk_status_name(st));
    }
}

static void refuses_bombs_and_what_is_too_long(void **state)
{
    static char claims[20000];
    size_t n = (size_t)snprintf(claims, sizeof claims, "%.*s,\"x\":", (int)strlen(GOOD) - 1, GOOD);

    (void)state;
    memset(claims + n, '[', 200);
    memset(claims + n + 200, ']', 200);
    strcpy(claims + n + 400, "}");
    kit_token(text, sizeof text, &signer, "k0", "", claims);
    assert_status(verify(), EMK_E_LIMIT, NULL);
    claims[n] = '"';
    memset(claims + n + 1, 'a', 9000);
    strcpy(claims + n + 9001, "\"}");
    kit_token(text, sizeof text, &signer, "k0", "", claims);
    assert_status(verify(), EMK_E_LIMIT, NULL);
}

static void refuses_changed_and_mutilated_tokens(void **state)
{
    static const char *const rows[] = {"",      ".",       "..",       "a.b",
                                       "a.b.c", "a.b.c.d", "e30.e30.", "\xff.\xff.\xff"};
    char good[4096];
    char *dot;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        strcpy(text, rows[i]);
        assert_true(verify() != EMK_OK);
    }
    kit_token(good, sizeof good, &signer, "k0", "", GOOD);
    for (size_t i = 0; i < strlen(good); i += 3) {
        strcpy(text, good);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        assert_true(verify() != EMK_OK);
    }
    strcpy(text, good);
    dot = strrchr(text, '.');
    dot[1] = 0; /* the signature gone */
    assert_true(verify() != EMK_OK);
    strcpy(text, good);
    strcat(text, "=");
    assert_true(verify() != EMK_OK);
    kit_token(text, sizeof text, &other, "k0", "", GOOD);
    assert_status(verify(), EMK_E_SIGNATURE, NULL);
}

static void reads_binding_and_typ(void **state)
{
    emk_token_claims c;

    (void)state;
    kit_token(text, sizeof text, &signer, "k0", ",\"typ\":\"AT+jwt\"",
              CLAIMS(I, S, "[\"x\",\"earmark-2\"]",
                     TIME ",\"nbf\":1700000000,\"cnf\":{\"jkt\":"
                          "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":[1]}"));
    assert_ok(verify_at(KIT_NOW_S, &c), NULL);
    assert_true(c.bound);
    assert_int_equal(c.nbf, 1700000000);
}

static void issuer_says_which_algorithm_and_typ(void **state)
{
    emk_token_issuer r = row();
    emk_tokens *strict = NULL;
    emk_token_claims c;
    emk_error e;

    (void)state;
    r.algs = EMK_JOSE_BIT(EMK_JOSE_EDDSA);
    r.typ = "at+jwt";
    assert_ok(emk_tokens_new(kit_crypto(), &r, 1, 0, &strict, &e), &e);
    kit_token(text, sizeof text, &signer, "k0", ",\"typ\":\"at+jwt\"", GOOD);
    assert_status(emk_token_verify(strict, emk_span_str(text), KIT_NOW_S, &c, &e), EMK_E_SIGNATURE,
                  &e);
    emk_tokens_free(strict);
    r.algs = EMK_JOSE_BITS_USER;
    assert_ok(emk_tokens_new(kit_crypto(), &r, 1, 0, &strict, &e), &e);
    assert_ok(emk_token_verify(strict, emk_span_str(text), KIT_NOW_S, &c, &e), &e);
    kit_token(text, sizeof text, &signer, "k0", "", GOOD);
    assert_status(emk_token_verify(strict, emk_span_str(text), KIT_NOW_S, &c, &e), EMK_E_POLICY,
                  &e);
    emk_tokens_free(strict);
    r.algs = 1;
    assert_status(emk_tokens_new(kit_crypto(), &r, 1, 0, &strict, &e), EMK_E_USAGE, &e);
    r.algs = EMK_JOSE_BITS_USER | EMK_JOSE_BIT(EMK_JOSE_ES384);
    assert_status(emk_tokens_new(kit_crypto(), &r, 1, 0, &strict, &e), EMK_E_USAGE, &e);
    r.algs = EMK_JOSE_BITS_USER;
    r.n_audiences = 0;
    assert_status(emk_tokens_new(kit_crypto(), &r, 1, 0, &strict, &e), EMK_E_USAGE, &e);
}

/* ---- the keys' cache ---- */

static void keys_are_wanted_at_once_then_in_the_background(void **state)
{
    emk_jwks_cache *j;
    emk_jwks_state s;
    emk_error e;

    (void)state;
    assert_ok(emk_jwks_cache_new(kit_crypto(), NULL, &j, &e), &e);
    assert_true(emk_jwks_cache_wants(j, 1000));
    assert_false(emk_jwks_cache_wants(j, 1001)); /* under way */
    assert_true(emk_jwks_cache_wants(j, 1060));  /* lost */
    assert_ok(emk_jwks_cache_put(j, emk_span_str(jwks), 1061, &e), &e);
    assert_false(emk_jwks_cache_wants(j, 1061 + EMK_JWKS_REFRESH_S - 1));
    assert_true(emk_jwks_cache_wants(j, 1061 + EMK_JWKS_REFRESH_S));
    emk_jwks_cache_state(j, 1070, &s);
    assert_true(s.usable);
    assert_int_equal(s.n_keys, 1);
    assert_int_equal(s.age_s, 9);
    emk_jwks_cache_free(j);
}

static void unknown_names_force_one_refresh_in_half_a_minute(void **state)
{
    char kid[16];

    (void)state;
    assert_false(emk_jwks_cache_wants(keys, KIT_NOW_S));
    for (int i = 0; i < 200; i++) {
        (void)snprintf(kid, sizeof kid, "x%d", i);
        kit_token(text, sizeof text, &signer, kid, "", GOOD);
        assert_status(verify(), EMK_E_NOT_FOUND, NULL);
    }
    assert_true(emk_jwks_cache_wants(keys, KIT_NOW_S));
    emk_jwks_cache_failed(keys, KIT_NOW_S);
    kit_token(text, sizeof text, &signer, "y", "", GOOD);
    assert_status(verify(), EMK_E_NOT_FOUND, NULL);
    assert_false(emk_jwks_cache_wants(keys, KIT_NOW_S + 4));
    /* what failed is tried again by itself, but no stranger hastens it */
    assert_true(emk_jwks_cache_wants(keys, KIT_NOW_S + 5));
    assert_ok(emk_jwks_cache_put(keys, emk_span_str(jwks), KIT_NOW_S + 5, NULL), NULL);
    kit_token(text, sizeof text, &signer, "z", "", GOOD);
    assert_status(verify(), EMK_E_NOT_FOUND, NULL);
    assert_false(emk_jwks_cache_wants(keys, KIT_NOW_S + 29));
    assert_true(emk_jwks_cache_wants(keys, KIT_NOW_S + 35));
}

static void rotated_key_is_fetched_and_then_taken(void **state)
{
    kit_device both[2] = {signer, other};
    char rotated[2048];

    (void)state;
    kit_token(text, sizeof text, &other, "k1", "", GOOD);
    assert_status(verify(), EMK_E_NOT_FOUND, NULL);
    assert_true(emk_jwks_cache_wants(keys, KIT_NOW_S));
    kit_jwks(rotated, sizeof rotated, both, 2);
    assert_ok(emk_jwks_cache_put(keys, emk_span_str(rotated), KIT_NOW_S, NULL), NULL);
    assert_ok(verify(), NULL);
}

static void outage_keeps_the_last_good_set_for_a_bounded_time(void **state)
{
    emk_token_claims c;
    emk_jwks_state s;
    char claims[256];
    uint64_t now = KIT_NOW_S;

    (void)state;
    assert_status(emk_jwks_cache_put(keys, emk_span_str("<html>"), now, NULL), EMK_E_FORMAT, NULL);
    assert_status(emk_jwks_cache_put(keys, emk_span_str("{\"keys\":[]}"), now, NULL),
                  EMK_E_NOT_FOUND, NULL);
    kit_token(text, sizeof text, &signer, "k0", "", GOOD);
    assert_ok(verify(), NULL);
    emk_jwks_cache_state(keys, now, &s);
    assert_int_equal(s.failures, 2);
    now = KIT_NOW_S + EMK_JWKS_USABLE_S + 1;
    (void)snprintf(claims, sizeof claims,
                   "{\"iss\":\"" ISS "\",\"sub\":\"anna\",\"aud\":\"earmark\",\"iat\":%llu,"
                   "\"exp\":%llu}",
                   (unsigned long long)now, (unsigned long long)now + 60);
    kit_token(text, sizeof text, &signer, "k0", "", claims);
    assert_status(verify_at(now, &c), EMK_E_STALE, NULL);
    assert_ok(emk_jwks_cache_put(keys, emk_span_str(jwks), now, NULL), NULL);
    assert_ok(verify_at(now, &c), NULL);
}

static void failures_are_retried_less_and_less_often(void **state)
{
    emk_jwks_cache *j;
    uint64_t now = 1000;
    emk_error e;

    (void)state;
    assert_ok(emk_jwks_cache_new(kit_crypto(), NULL, &j, &e), &e);
    for (int i = 0; i < 20; i++) {
        assert_true(emk_jwks_cache_wants(j, now));
        emk_jwks_cache_failed(j, now);
        assert_in_range(emk_jwks_cache_next(j) - now, EMK_JWKS_RETRY_MIN_S, EMK_JWKS_RETRY_MAX_S);
        now = emk_jwks_cache_next(j);
    }
    emk_jwks_cache_free(j);
}

#define with_tokens(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    return EMK_RUN(
        with_tokens(takes_a_good_token_and_remembers_it),
        with_tokens(remembered_token_ends_with_its_time),
        with_tokens(remembered_token_ends_with_its_key), with_tokens(refuses_forged_headers),
        with_tokens(refuses_wrong_claims), with_tokens(refuses_bombs_and_what_is_too_long),
        with_tokens(refuses_changed_and_mutilated_tokens), with_tokens(reads_binding_and_typ),
        with_tokens(issuer_says_which_algorithm_and_typ),
        with_tokens(keys_are_wanted_at_once_then_in_the_background),
        with_tokens(unknown_names_force_one_refresh_in_half_a_minute),
        with_tokens(rotated_key_is_fetched_and_then_taken),
        with_tokens(outage_keeps_the_last_good_set_for_a_bounded_time),
        with_tokens(failures_are_retried_less_and_less_often));
}
