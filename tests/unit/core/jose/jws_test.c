#include "core/jose/jws.h"

#include "core/base/fault.h"
#include "tests/unit/core/crypto/context.h"

/* RFC 7515 A.3: a published token and its key. */
static const char TOKEN[] =
    "eyJhbGciOiJFUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char KEY[] =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";

static const emk_jws_rules RULES = {.algs = EMK_JOSE_BITS_USER};

static void verifies_the_token_of_rfc_7515(void **state)
{
    emk_jwk *k = NULL;
    emk_jws jws;
    emk_error e;

    (void)state;
    assert_ok(emk_jwk_parse(test_crypto(), emk_span_str(KEY), &k, &e), &e);
    assert_ok(emk_jws_parse(&RULES, emk_span_str(TOKEN), &jws, &e), &e);
    assert_int_equal(jws.alg, EMK_JOSE_ES256);
    assert_string_equal(jws.kid, "");
    assert_int_equal(jws.payload.len, 70);
    assert_ok(emk_jws_verify(&jws, k, &e), &e);
    jws.alg = EMK_JOSE_RS256; /* a key does not do what it is not for */
    assert_status(emk_jws_verify(&jws, k, &e), EMK_E_SIGNATURE, &e);
    emk_jws_done(&jws);
    emk_jwk_free(k);
}

/* RFC 8037 A.4, and a token of our own on P-384. */
static const struct published {
    const char *key, *token;
} PUBLISHED[] = {
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
     "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
     "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
    {"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"eunh2xFgeUxwwe8HG-"
     "UZH2xmJA9GCPvopE7NNsPtXbl1APLk2E4_tFhQ_W9DAzAr\","
     "\"y\":\"2KwhREzYDSQVONgDSzmaDe42NutcsAuUmdBhpXHbDxS7R-15RTlI7WPzpsy79udP\"}",
     "eyJhbGciOiJFUzM4NCJ9.eyJhIjoxfQ.11OwdePea_"
     "nfexF0f3uIw90NXUqC1mVt3W1fnsXRbFHliNPOCRicnoUyFvAXmWGT9jn1cSAfoZx8JTdHWC9ZaHqUwDNfOKDAcr3hY5H"
     "KvpwNoslWDOuhoW-RpFEt2k2P"},
};

static void verifies_the_other_algorithms_and_no_changed_signature(void **state)
{
    emk_jws_rules rules = {.algs = EMK_JOSE_BIT(EMK_JOSE_EDDSA) | EMK_JOSE_BIT(EMK_JOSE_ES384)};

    (void)state;
    for (size_t i = 0; i < sizeof PUBLISHED / sizeof PUBLISHED[0]; i++) {
        uint8_t sig[128] = {0};
        emk_jwk *k = NULL;
        emk_jws jws;
        emk_error e;
        size_t n;

        assert_ok(emk_jwk_parse(test_crypto(), emk_span_str(PUBLISHED[i].key), &k, &e), &e);
        assert_ok(emk_jws_parse(&rules, emk_span_str(PUBLISHED[i].token), &jws, &e), &e);
        assert_ok(emk_jws_verify(&jws, k, &e), &e);
        n = jws.sig.len;
        memcpy(sig, jws.sig.p, n);
        jws.sig.p = sig;
        for (size_t bit = 0; bit < 8 * n; bit += 13) {
            flip(sig, bit);
            assert_status(emk_jws_verify(&jws, k, &e), EMK_E_SIGNATURE, &e);
            flip(sig, bit);
        }
        jws.sig.len = n - 1;
        assert_status(emk_jws_verify(&jws, k, &e), EMK_E_SIGNATURE, &e);
        jws.sig.len = n + 1;
        assert_status(emk_jws_verify(&jws, k, &e), EMK_E_SIGNATURE, &e);
        memset(sig, 0, sizeof sig);
        jws.sig.len = n;
        assert_status(emk_jws_verify(&jws, k, &e), EMK_E_SIGNATURE, &e);
        emk_jws_done(&jws);
        emk_jwk_free(k);
    }
}

static emk_status parse(const emk_jws_rules *rules, const char *header, emk_jws *out, emk_error *e)
{
    static const uint8_t PRIV[32] = {1};
    emk_sign_key *key = NULL;
    emk_buf token;
    emk_status st;

    emk_buf_init(&token, 1u << 16);
    assert_ok(emk_sign_key_new(test_crypto(), EMK_SIGN_ED25519, SPAN(PRIV), &key, e), e);
    assert_ok(emk_jws_make(key, emk_span_str(header), emk_span_str("{}"), &token, e), e);
    st = emk_jws_parse(rules, emk_buf_span(&token), out, e);
    emk_sign_key_free(key);
    emk_buf_done(&token);
    return st;
}

static void reads_kid_typ_and_passes_over_the_rest(void **state)
{
    emk_jws jws;
    emk_error e;

    (void)state;
    assert_ok(parse(&RULES,
                    "{\"typ\":\"at+jwt\",\"kid\":\"k\\u0031\",\"alg\":\"EdDSA\",\"cty\":\"x\","
                    "\"x5c\":[\"not looked at\"],\"x5t#S256\":\"y\",\"o\":{\"alg\":\"none\"}}",
                    &jws, &e),
              &e);
    assert_string_equal(jws.typ, "at+jwt");
    assert_string_equal(jws.kid, "k1");
    assert_int_equal(jws.n_certs, 0);
    emk_jws_done(&jws);
}

static void lends_a_jwk_only_where_told(void **state)
{
    emk_jws_rules rules = {.algs = EMK_JOSE_BITS_USER, .jwk = true};
    static const char HEADER[] =
        "{\"alg\":\"EdDSA\", \"jwk\" : {\"kty\":\"OKP\",\"o\":{}} ,\"typ\":\"dpop+jwt\"}";
    emk_jws jws;
    emk_error e;

    (void)state;
    assert_ok(parse(&rules, HEADER, &jws, &e), &e);
    assert_bytes(jws.jwk, emk_span_str("{\"kty\":\"OKP\",\"o\":{}}"));
    emk_jws_done(&jws);
    assert_status(parse(&RULES, HEADER, &jws, &e), EMK_E_SIGNATURE, &e);
}

static void refuses_forms_that_are_not_compact(void **state)
{
    static const char *const BAD[] = {
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        ".eyJ9.AA",
        "eyJhbGciOiJFUzI1NiJ9..",
        "e30..AA",
        "eyJhbGciOiJFUzI1NiJ9.e30=.AA",
        "eyJhbGciOiJFUzI1NiJ9.e3 0.AA",
        "eyJhbGciOiJFUzI1NiJ9.e30.AB",
        "eyJhbGciOiJFUzI1NiJ9\n.e30.AA",
        "eyJhbGciOiJFUzI1NiJ9.e30.A+/A",
        "{\"payload\":\"e30\",\"signatures\":[]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        emk_jws jws;
        emk_error e = {0};

        assert_status(emk_jws_parse(&RULES, emk_span_str(BAD[i]), &jws, &e), EMK_E_FORMAT, &e);
        assert_null(jws.bytes.p);
    }
}

static void limits_and_rules_come_first(void **state)
{
    emk_jws_rules rules = {.algs = 0};
    emk_jws jws;
    emk_error e = {0};

    (void)state;
    assert_status(emk_jws_parse(&rules, emk_span_str(TOKEN), &jws, &e), EMK_E_USAGE, &e);
    rules = (emk_jws_rules){.algs = EMK_JOSE_BIT(EMK_JOSE_ES256), .max_len = 10};
    assert_status(emk_jws_parse(&rules, emk_span_str(TOKEN), &jws, &e), EMK_E_LIMIT, &e);
    rules.max_len = EMK_JWS_MAX + 1;
    assert_status(emk_jws_parse(&rules, emk_span_str(TOKEN), &jws, &e), EMK_E_USAGE, &e);
    rules = (emk_jws_rules){.algs = EMK_JOSE_BIT(EMK_JOSE_RS256)};
    assert_status(emk_jws_parse(&rules, emk_span_str(TOKEN), &jws, &e), EMK_E_SIGNATURE, &e);
}

static void a_set_gives_the_key_that_the_token_names(void **state)
{
    static const char SET[] = "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"a\",\"crv\":\"P-256\","
                              "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                              "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
    const emk_jwk *used = NULL;
    emk_jwks *set = NULL;
    emk_jws jws;
    emk_error e;

    (void)state;
    assert_ok(emk_jwks_parse(test_crypto(), emk_span_str(SET), &set, &e), &e);
    assert_ok(emk_jws_parse(&RULES, emk_span_str(TOKEN), &jws, &e), &e);
    assert_ok(emk_jws_verify_by_set(&jws, set, &used, &e), &e);
    assert_ptr_equal(used, emk_jwks_at(set, 0));
    jws.kid[0] = 'b';
    assert_status(emk_jws_verify_by_set(&jws, set, &used, &e), EMK_E_NOT_FOUND, &e);
    emk_jws_done(&jws);
    emk_jwks_free(set);
}

/* Memory or libcrypto failing at any point leaves nothing behind and is no acceptance. */
static void every_failure_of_memory_or_libcrypto_ends_well(void **state)
{
    (void)state;
#ifdef EMK_FAULTS
    static const emk_fault_kind KINDS[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};

    (void)test_crypto();
    for (size_t kind = 0; kind < 2; kind++) {
        emk_status st = EMK_E_NO_MEMORY;

        for (uint64_t n = 1; st != EMK_OK; n++) {
            emk_jwk *k = NULL;
            emk_jws jws = {0};
            emk_error e;

            assert_true(n < 1000);
            emk_fault_fail_at(KINDS[kind], n);
            st = emk_jwk_parse(test_crypto(), emk_span_str(KEY), &k, &e);
            if (st == EMK_OK)
                st = emk_jws_parse(&RULES, emk_span_str(TOKEN), &jws, &e);
            if (st == EMK_OK)
                st = emk_jws_verify(&jws, k, &e);
            emk_fault_fail_at(KINDS[kind], 0);
            emk_jws_done(&jws);
            emk_jwk_free(k);
        }
    }
#endif
}

int main(void)
{
    return EMK_RUN(
        emk_rule(verifies_the_token_of_rfc_7515),
        emk_rule(verifies_the_other_algorithms_and_no_changed_signature),
        emk_rule(reads_kid_typ_and_passes_over_the_rest), emk_rule(lends_a_jwk_only_where_told),
        emk_rule(refuses_forms_that_are_not_compact), emk_rule(limits_and_rules_come_first),
        emk_rule(a_set_gives_the_key_that_the_token_names),
        emk_rule(every_failure_of_memory_or_libcrypto_ends_well));
}
