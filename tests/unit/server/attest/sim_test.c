#include "server/attest/sim/sim.h"

#include "core/crypto/hash.h"
#include "server/attest/android_key.h"
#include "server/attest/app_attest.h"
#include "server/attest/bundle.h"
#include "server/attest/pem.h"
#include "server/attest/play_integrity.h"
#include "server/attest/tpm_enrol.h"
#include "tests/unit/core/crypto/context.h"

#define NOW 1800000000

static emk_sim *sim;
static emk_bundle roots;
static uint8_t hash[32];

static emk_sim_evidence make(emk_attest_kind kind, const emk_sim_field *fields, size_t n)
{
    const emk_sim_request q = {.kind = kind, .hash = SPAN(hash), .fields = fields, .n_fields = n};
    emk_sim_evidence out;
    emk_error e;

    assert_ok(emk_sim_make(sim, &q, &out, &e), &e);
    return out;
}

static emk_status verify_app_attest(const emk_sim_evidence *x, emk_simulated_mode mode,
                                    emk_claims *claims, emk_error *e)
{
    const emk_app_attest_policy policy = {.app_id = "TEAM123456.com.example.cam",
                                          .roots = roots.certs,
                                          .n_roots = roots.n,
                                          .time_s = NOW,
                                          .simulated = mode};
    const emk_app_attest_evidence in = {.object = emk_buf_span(&x->parts[0].bytes),
                                        .key_id = emk_buf_span(&x->parts[1].bytes),
                                        .client_data_hash = SPAN(hash)};
    emk_app_attest_key key;

    return emk_app_attest_verify(test_crypto(), &policy, &in, claims, &key, e);
}

static void app_attest_verifies_where_simulators_are_allowed(void **state)
{
    emk_sim_evidence x = make(EMK_ATTEST_APP_ATTEST, NULL, 0);
    emk_claims claims;
    emk_error e;

    (void)state;
    assert_status(verify_app_attest(&x, EMK_SIMULATED_REFUSED, &claims, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, "attest: made by a simulator");
    assert_ok(verify_app_attest(&x, EMK_SIMULATED_LEVEL_0, &claims, &e), &e);
    assert_int_equal(claims.level, 0);
    assert_ok(verify_app_attest(&x, EMK_SIMULATED_COUNTS, &claims, &e), &e);
    assert_int_equal(claims.level, 3);
    assert_true(emk_claims_has_warning(&claims, EMK_WARN_SIMULATED));
    emk_sim_evidence_done(&x);
}

static void a_field_that_is_set_is_the_defect(void **state)
{
    static const emk_sim_field COUNTER[] = {{"counter", "1"}};
    emk_sim_evidence x = make(EMK_ATTEST_APP_ATTEST, COUNTER, 1);
    emk_claims claims;
    emk_error e;

    (void)state;
    assert_status(verify_app_attest(&x, EMK_SIMULATED_COUNTS, &claims, &e), EMK_E_FORMAT, &e);
    assert_string_equal(e.what, "app_attest: counter is not 0");
    emk_sim_evidence_done(&x);
}

static void android_verifies_where_simulators_are_allowed(void **state)
{
    emk_sim_evidence x = make(EMK_ATTEST_ANDROID_KEY, NULL, 0);
    emk_android_policy policy = {.challenge = SPAN(hash),
                                 .roots = roots.certs,
                                 .n_roots = roots.n,
                                 .time_s = NOW,
                                 .verified_boot = true};
    emk_revocation *list = NULL;
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    emk_span certs[EMK_X509_CHAIN_MAX];
    emk_claims claims;
    emk_buf der;
    emk_error e;
    size_t n = 0;

    (void)state;
    emk_buf_init(&der, EMK_PEM_MAX);
    assert_ok(emk_revocation_new(emk_span_str("{\"entries\": {}}"), NOW, &list, &e), &e);
    policy.revocation = list;
    assert_ok(emk_pem_read_chain(emk_buf_span(&x.parts[0].bytes), &der, chain, EMK_X509_CHAIN_MAX,
                                 &n, &e),
              &e);
    for (size_t i = 0; i < n; i++)
        certs[i] = chain[i].der;
    assert_status(emk_android_key_verify(test_crypto(), &policy, certs, n, &claims, NULL, &e),
                  EMK_E_POLICY, &e);
    policy.simulated = EMK_SIMULATED_COUNTS;
    assert_ok(emk_android_key_verify(test_crypto(), &policy, certs, n, &claims, NULL, &e), &e);
    assert_int_equal(claims.level, 2);
    emk_revocation_free(list);
    emk_buf_done(&der);
    emk_sim_evidence_done(&x);
}

static void tpm_goes_through_both_steps(void **state)
{
    const emk_tpm_roots trusted = {
        .roots = roots.certs, .n_roots = roots.n, .time_s = NOW, .simulated = EMK_SIMULATED_COUNTS};
    const emk_tpm_policy policy = {.time_s = NOW,
                                   .binding = SPAN(hash),
                                   .signing = emk_sim_signing_key(sim),
                                   .agreement = emk_sim_agreement_key(sim),
                                   .pcrs = {.n = 1, .banks = {{EMK_TPM_ALG_SHA256, 0x81}}}};
    emk_sim_request q = {.kind = EMK_ATTEST_TPM, .hash = SPAN(hash)};
    emk_sim_evidence x;
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    emk_tpm_hello hello;
    emk_tpm_proof proof;
    emk_claims claims;
    emk_error e;

    (void)state;
    assert_ok(emk_sim_make(sim, &q, &x, &e), &e);
    assert_ok(emk_tpm_hello_read(emk_buf_span(&x.parts[0].bytes), &hello, &e), &e);
    assert_ok(emk_tpm_enrol_begin(test_crypto(), &trusted, &hello, &pending, &credential, &e), &e);
    emk_sim_evidence_done(&x);
    q.credential = &credential;
    assert_ok(emk_sim_make(sim, &q, &x, &e), &e);
    assert_ok(emk_tpm_proof_read(emk_buf_span(&x.parts[0].bytes), &proof, &e), &e);
    assert_ok(emk_tpm_enrol_finish(test_crypto(), &policy, &pending, &proof, &claims, NULL, &e),
              &e);
    assert_int_equal(claims.level, 1);
    emk_sim_evidence_done(&x);
    credential.id_object[10] ^= 1;
    assert_status(emk_sim_make(sim, &q, &x, &e), EMK_E_SEALED, &e);
}

static void play_integrity_is_a_testing_response(void **state)
{
    static const uint8_t DIGEST[32] = {0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
                                       0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
                                       0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
                                       0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa};
    emk_sim_evidence x = make(EMK_ATTEST_PLAY_INTEGRITY, NULL, 0);
    emk_play_policy policy = {.package = "com.example.cam",
                              .digests = {SPAN(DIGEST)},
                              .n_digests = 1,
                              .nonce = SPAN(hash),
                              .time_s = NOW};
    emk_play_keys *keys = NULL;
    emk_claims claims;
    emk_error e;

    (void)state;
    assert_int_equal(x.n, 3);
    assert_ok(emk_play_keys_new(test_crypto(), emk_buf_span(&x.parts[1].bytes),
                                emk_buf_span(&x.parts[2].bytes), &keys, &e),
              &e);
    assert_status(
        emk_play_integrity_verify(keys, &policy, emk_buf_span(&x.parts[0].bytes), &claims, &e),
        EMK_E_POLICY, &e);
    policy.allow_testing = true;
    assert_ok(
        emk_play_integrity_verify(keys, &policy, emk_buf_span(&x.parts[0].bytes), &claims, &e), &e);
    emk_play_keys_free(keys);
    emk_sim_evidence_done(&x);
}

static void rejects_fields_and_values_that_do_not_fit(void **state)
{
    static const struct {
        emk_attest_kind kind;
        emk_sim_field field;
        emk_status want;
    } ROWS[] = {
        {EMK_ATTEST_APP_ATTEST, {"colour", "red"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"counter", "-1"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"counter", "4294967296"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"counter", ""}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"counter", "1x"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"aaguid", "short"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"n_certs", "4"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"tail", "abc"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"tail", "zz"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"no_nonce", "yes"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"fmt", "a\nb"}, EMK_E_USAGE},
        {EMK_ATTEST_APP_ATTEST, {"cose_key", "8"}, EMK_E_USAGE},
        {EMK_ATTEST_ANDROID_KEY, {"version", "99999"}, EMK_E_USAGE},
        {EMK_ATTEST_ANDROID_KEY, {"counter", "1"}, EMK_E_USAGE},
        {EMK_ATTEST_TPM, {"quote.type", "65536"}, EMK_E_USAGE},
        {EMK_ATTEST_NONE, {"x", "1"}, EMK_E_UNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        emk_sim_request q = {
            .kind = ROWS[i].kind, .hash = SPAN(hash), .fields = &ROWS[i].field, .n_fields = 1};
        emk_sim_evidence x;
        emk_error e;

        assert_status(emk_sim_make(sim, &q, &x, &e), ROWS[i].want, &e);
        q.n_fields = 0;
        q.hash.len = 0;
        assert_status(emk_sim_make(sim, &q, &x, &e), EMK_E_USAGE, &e);
    }
}

static void lists_its_fields(void **state)
{
    const char *values = NULL;
    size_t n = 0;

    (void)state;
    while (emk_sim_field_name(EMK_ATTEST_TPM, false, n, &values)) {
        assert_non_null(values);
        n++;
    }
    assert_true(n > 30);
    assert_null(emk_sim_field_name(EMK_ATTEST_NONE, false, 0, &values));
}

static void another_seed_is_another_root(void **state)
{
    static const uint8_t OTHER[EMK_SIM_SEED_LEN] = {9};
    emk_sim *other = NULL;
    emk_buf a, b;
    emk_x509 one, two;
    emk_error e;

    (void)state;
    emk_buf_init(&a, EMK_PEM_MAX);
    emk_buf_init(&b, EMK_PEM_MAX);
    assert_ok(emk_sim_new(test_crypto(), OTHER, &other, &e), &e);
    assert_ok(emk_sim_root(sim, &a, &e), &e);
    assert_ok(emk_sim_root(other, &b, &e), &e);
    assert_ok(emk_x509_parse(emk_buf_span(&a), &one, &e), &e);
    assert_ok(emk_x509_parse(emk_buf_span(&b), &two, &e), &e);
    assert_true(emk_simulated_is_root(&one));
    assert_false(emk_span_equal(one.spki, two.spki));
    emk_buf_done(&a);
    emk_buf_done(&b);
    emk_sim_free(other);
}

int main(void)
{
    static const uint8_t SEED[EMK_SIM_SEED_LEN] = {7};
    emk_buf pem;
    int rc;

    memset(hash, 0xb1, sizeof hash);
    emk_bundle_init(&roots);
    emk_buf_init(&pem, EMK_PEM_MAX);
    if (emk_sim_new(test_crypto(), SEED, &sim, NULL) != EMK_OK ||
        emk_sim_root_pem(sim, &pem, NULL) != EMK_OK ||
        emk_bundle_add(&roots, emk_buf_span(&pem), NULL) != EMK_OK)
        return 1;
    rc = EMK_RUN(emk_rule(app_attest_verifies_where_simulators_are_allowed),
                 emk_rule(a_field_that_is_set_is_the_defect),
                 emk_rule(android_verifies_where_simulators_are_allowed),
                 emk_rule(tpm_goes_through_both_steps),
                 emk_rule(play_integrity_is_a_testing_response),
                 emk_rule(rejects_fields_and_values_that_do_not_fit), emk_rule(lists_its_fields),
                 emk_rule(another_seed_is_another_root));
    emk_buf_done(&pem);
    emk_bundle_done(&roots);
    emk_sim_free(sim);
    return rc;
}
