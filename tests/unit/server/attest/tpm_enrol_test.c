#include "server/attest/tpm_enrol.h"

#include "core/base/fault.h"
#include "core/crypto/hash.h"
#include "server/attest/challenge.h"
#include "server/attest/sim/tpm_evidence.h"
#include "tests/unit/core/crypto/context.h"

static forge f;
static emk_buf root_der;
static emk_x509 root;
static uint8_t binding[EMK_BINDING_LEN];
static uint8_t good[1][32];

static emk_tpm_roots trusted(void)
{
    return (emk_tpm_roots){.roots = &root, .n_roots = 1, .time_s = FORGE_NOW};
}

static emk_tpm_policy wanted(void)
{
    return (emk_tpm_policy){.time_s = FORGE_NOW + 10,
                            .binding = SPAN(binding),
                            .signing = forge_public(&f, 5),
                            .agreement = forge_public(&f, 6),
                            .pcrs = {.n = 1, .banks = {{EMK_TPM_ALG_SHA256, FAKE_TPM_PCRS}}},
                            .good = (const uint8_t(*)[32])good,
                            .n_good = 1};
}

/* Both steps, the messages written and read as they travel. */
static emk_status first(const fake_tpm *x, const emk_tpm_roots *roots, emk_tpm_pending *pending,
                        emk_tpm_credential *credential, emk_error *e)
{
    fake_tpm_hello made;
    emk_tpm_hello hello;
    emk_buf wire;
    emk_status st;

    fake_make_tpm_hello(&f, x, &made);
    hello = fake_tpm_hello_of(&made, x->no_middle);
    emk_buf_init(&wire, EMK_TPM_HELLO_MAX);
    assert_ok(emk_tpm_hello_write(&hello, &wire, e), e);
    st = emk_tpm_hello_read(emk_buf_span(&wire), &hello, e);
    if (st == EMK_OK)
        st = emk_tpm_enrol_begin(test_crypto(), roots, &hello, pending, credential, e);
    emk_buf_done(&wire);
    fake_tpm_hello_done(&made);
    return st;
}

static emk_status second(const fake_tpm *x, const emk_tpm_policy *policy,
                         const emk_tpm_pending *pending, const emk_tpm_credential *credential,
                         emk_claims *claims, emk_error *e)
{
    fake_tpm_proof made;
    emk_tpm_proof proof;
    emk_buf wire;
    emk_status st;

    st = fake_make_tpm_proof(&f, x, credential, SPAN(binding), &made, e);
    if (st != EMK_OK)
        return st;
    proof = fake_tpm_proof_of(&made);
    emk_buf_init(&wire, EMK_TPM_PROOF_MAX);
    assert_ok(emk_tpm_proof_write(&proof, &wire, e), e);
    st = emk_tpm_proof_read(emk_buf_span(&wire), &proof, e);
    if (st == EMK_OK)
        st = emk_tpm_enrol_finish(test_crypto(), policy, pending, &proof, claims, NULL, e);
    emk_buf_done(&wire);
    fake_tpm_proof_done(&made);
    return st;
}

static emk_status enrol(const fake_tpm *x, emk_claims *claims, emk_error *e)
{
    const emk_tpm_roots roots = trusted();
    const emk_tpm_policy policy = wanted();
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    emk_status st = first(x, &roots, &pending, &credential, e);

    return st == EMK_OK ? second(x, &policy, &pending, &credential, claims, e) : st;
}

static void accepts_a_device_with_a_tpm(void **state)
{
    emk_claims claims;
    emk_error e;

    (void)state;
    assert_ok(enrol(&(fake_tpm){0}, &claims, &e), &e);
    assert_int_equal(claims.kind, EMK_ATTEST_TPM);
    assert_int_equal(claims.level, 2);
    assert_int_equal(claims.key_home, EMK_KEY_HOME_SEPARATE);
    assert_true(emk_claims_has_warning(&claims, EMK_WARN_APP_UNBOUND));
    assert_int_equal(claims.n_warnings, 1);
}

static void accepts_a_certificate_in_an_index_that_is_too_long(void **state)
{
    emk_claims claims;
    emk_error e;

    (void)state;
    assert_ok(enrol(&(fake_tpm){.ek_tail = "0000000000"}, &claims, &e), &e);
    assert_ok(enrol(&(fake_tpm){.ek_tail = "ffff"}, &claims, &e), &e);
}

#define MUST       (EMK_TPM_KEY_MUST)
#define AK         (MUST | EMK_TPM_RESTRICTED | EMK_TPM_SIGN)
#define ZEROS32    "0000000000000000000000000000000000000000000000000000000000000000"
#define NAME_OTHER "0022 000b" ZEROS32

/* One defect each, the status and the text it must get. */
static const struct {
    fake_tpm x;
    emk_status want;
    const char *what;
} DEFECTS[] = {
    /* endorsement certificate */
    {{.ek_signer = 3}, EMK_E_SIGNATURE, "tpm: no path to a root"},
    {{.middle_signer = 3}, EMK_E_SIGNATURE, "tpm: no path to a root"},
    {{.no_middle = true}, EMK_E_SIGNATURE, "tpm: no path to a root"},
    {{.middle_no_ca = true}, EMK_E_SIGNATURE, "x509: issuer is no certificate authority"},
    {{.ek_to = "270101000000Z"}, EMK_E_STALE, "x509: certificate has expired"},
    {{.ek_from = "270201000000Z"}, EMK_E_STALE, "x509: certificate is not yet valid"},
    {{.middle_to = "270101000000Z"}, EMK_E_STALE, "x509: certificate has expired"},
    {{.ek_ca = true}, EMK_E_POLICY, "tpm: certificate of an authority"},
    {{.ek_purpose = ""}, EMK_E_POLICY, "tpm: certificate names no purpose"},
    {{.ek_purpose = "3007 0605 6781050803"},
     EMK_E_POLICY,
     "tpm: certificate is for another purpose"},
    {{.ek_purpose = "300a 0608 2b06010505070301"},
     EMK_E_POLICY,
     "tpm: certificate is for another purpose"},
    {{.ek_purpose = "3008 0605 6781050801 00"}, EMK_E_FORMAT, NULL},
    {{.ek_name = ""}, EMK_E_POLICY, "tpm: certificate does not name the TPM"},
    {{.ek_name = "3003 820161"}, EMK_E_POLICY, "tpm: certificate does not name the TPM"},
    {{.ek_name = "3004 a4023000"}, EMK_E_POLICY, "tpm: certificate does not name the TPM"},
    {{.ek_name_not_critical = true}, EMK_E_POLICY, "tpm: alternative name is not critical"},
    {{.ek_usage = "300e0603551d0f0101ff040403020780"},
     EMK_E_POLICY,
     "tpm: endorsement key does not decrypt"},
    {{.ek_usage = "300e0603551d0f0101ff040403020204"},
     EMK_E_POLICY,
     "tpm: certificate of an authority"},
    {{.ek_tail = "0001"}, EMK_E_FORMAT, "tpm: bytes behind the certificate"},
    {{.ek_tail = "00ff"}, EMK_E_FORMAT, "tpm: bytes behind the certificate"},
    {{.ek_tail = "30"}, EMK_E_FORMAT, "tpm: bytes behind the certificate"},
    /* attestation key */
    {{.ak_attributes = AK & ~EMK_TPM_FIXED_TPM},
     EMK_E_POLICY,
     "tpm: attestation key may leave or sign anything"},
    {{.ak_attributes = AK & ~EMK_TPM_FIXED_PARENT},
     EMK_E_POLICY,
     "tpm: attestation key may leave or sign anything"},
    {{.ak_attributes = AK & ~EMK_TPM_ORIGIN},
     EMK_E_POLICY,
     "tpm: attestation key may leave or sign anything"},
    {{.ak_attributes = AK & ~EMK_TPM_RESTRICTED},
     EMK_E_POLICY,
     "tpm: attestation key may leave or sign anything"},
    {{.ak_attributes = AK & ~EMK_TPM_SIGN},
     EMK_E_POLICY,
     "tpm: attestation key may leave or sign anything"},
    {{.ak_attributes = AK | EMK_TPM_DECRYPT}, EMK_E_POLICY, "tpm: attestation key decrypts too"},
    {{.ak_scheme = EMK_TPM_ALG_NULL}, EMK_E_POLICY, "tpm: attestation key has no scheme"},
    {{.ak_scheme = EMK_TPM_ALG_RSASSA}, EMK_E_UNSUPPORTED, "tpm: scheme of a key"},
    {{.ak_hash = EMK_TPM_ALG_SHA1}, EMK_E_POLICY, "tpm: attestation key signs over SHA-1"},
    {{.ak_hash = 0x0012}, EMK_E_UNSUPPORTED, "tpm: hash algorithm"},
    {{.ak_name_alg = EMK_TPM_ALG_SHA1}, EMK_E_POLICY, "tpm: Name over SHA-1"},
    {{.ak_name_alg = EMK_TPM_ALG_NULL}, EMK_E_UNSUPPORTED, "tpm: hash algorithm"},
    {{.ak_type = 0x0008}, EMK_E_UNSUPPORTED, "tpm: kind of object"},
    {{.ak_type = EMK_TPM_ALG_RSA}, EMK_E_UNSUPPORTED, "tpm: scheme of a key"},
    {{.ak_curve = 0x0005}, EMK_E_UNSUPPORTED, "tpm: curve"},
    {{.ak_tail = "00"}, EMK_E_FORMAT, "tpm: bytes behind the structure"},
    {{.ak_cut = 1}, EMK_E_FORMAT, "tpm: structure is cut short"},
    {{.ak_cut = 80}, EMK_E_FORMAT, "tpm: structure is cut short"},
    /* activation */
    {{.secret_wrong = true}, EMK_E_SIGNATURE, "tpm: credential was not opened"},
    {{.secret_short = true}, EMK_E_SIGNATURE, "tpm: credential was not opened"},
    /* quote */
    {{.quote = {.magic = 0xFF544348}}, EMK_E_FORMAT, "tpm: magic number"},
    {{.quote = {.magic = 0x54434700}}, EMK_E_FORMAT, "tpm: magic number"},
    {{.quote = {.type = EMK_TPM_ST_CERTIFY}}, EMK_E_FORMAT, "tpm: bytes behind the structure"},
    {{.quote = {.type = EMK_TPM_ST_CREATION}}, EMK_E_FORMAT, NULL},
    {{.quote = {.type = 0x8014}}, EMK_E_UNSUPPORTED, "tpm: kind of attestation"},
    {{.quote = {.extra = ""}}, EMK_E_SIGNATURE, "tpm: nonce mismatch"},
    {{.quote = {.extra = ZEROS32}}, EMK_E_SIGNATURE, "tpm: nonce mismatch"},
    {{.quote = {.extra = "00"}}, EMK_E_SIGNATURE, "tpm: nonce mismatch"},
    {{.quote = {.extra = ZEROS32 ZEROS32 "00"}}, EMK_E_LIMIT, "tpm: extraData"},
    {{.quote = {.selection = "00000001 000b 03 010000"}},
     EMK_E_SIGNATURE,
     "tpm: quote of other PCRs"},
    {{.quote = {.selection = "00000001 000b 03 810001"}},
     EMK_E_SIGNATURE,
     "tpm: quote of other PCRs"},
    {{.quote = {.selection = "00000001 0004 03 810000"}},
     EMK_E_SIGNATURE,
     "tpm: quote of other PCRs"},
    {{.quote = {.selection = "00000000"}}, EMK_E_SIGNATURE, "tpm: quote of other PCRs"},
    {{.quote = {.selection = "00000002 000b 03 810000 0004 03 010000"}},
     EMK_E_SIGNATURE,
     "tpm: quote of other PCRs"},
    {{.quote = {.selection = "00000002 000b 03 810000 000b 03 010000"}},
     EMK_E_FORMAT,
     "tpm: PCR bank comes twice"},
    {{.quote = {.selection = "00000005"}}, EMK_E_LIMIT, "tpm: PCR banks"},
    {{.quote = {.selection = "ffffffff"}}, EMK_E_LIMIT, "tpm: PCR banks"},
    {{.quote = {.selection = "00000001 000b 05 8100000000"}}, EMK_E_LIMIT, "tpm: PCR bitmap"},
    {{.quote = {.selection = "00000001 0099 03 810000"}}, EMK_E_UNSUPPORTED, "tpm: hash algorithm"},
    {{.quote = {.digest = "0020" ZEROS32}},
     EMK_E_SIGNATURE,
     "tpm: PCR values are not the quoted ones"},
    {{.quote = {.digest = "0000"}}, EMK_E_SIGNATURE, "tpm: PCR values are not the quoted ones"},
    {{.quote = {.digest = "0041" ZEROS32 ZEROS32 "00"}}, EMK_E_LIMIT, "tpm: PCR digest"},
    {{.pcr_values = ZEROS32}, EMK_E_FORMAT, "tpm: PCR values"},
    {{.pcr_values = ""}, EMK_E_FORMAT, "tpm: PCR values"},
    {{.pcr_values = ZEROS32 ZEROS32 "00"}, EMK_E_FORMAT, "tpm: PCR values"},
    {{.pcr_values = ZEROS32 ZEROS32}, EMK_E_POLICY, "tpm: PCR values are not among the allowed"},
    {{.quote = {.safe = 2}}, EMK_E_FORMAT, "tpm: clockInfo.safe"},
    {{.quote = {.tail = "00"}}, EMK_E_FORMAT, "tpm: bytes behind the structure"},
    {{.quote = {.cut = 1}}, EMK_E_FORMAT, "tpm: structure is cut short"},
    {{.quote = {.cut = 60}}, EMK_E_FORMAT, "tpm: structure is cut short"},
    {{.quote = {.signer = 7}}, EMK_E_SIGNATURE, "x509: signature"},
    {{.quote = {.signer = 5}}, EMK_E_SIGNATURE, "x509: signature"},
    {{.quote = {.bad_signature = true}}, EMK_E_SIGNATURE, "x509: signature"},
    {{.quote = {.zero_r = true}}, EMK_E_SIGNATURE, "tpm: r or s"},
    {{.quote = {.sig_scheme = EMK_TPM_ALG_RSASSA}}, EMK_E_FORMAT, NULL},
    {{.quote = {.sig_scheme = 0x0005}}, EMK_E_UNSUPPORTED, "tpm: scheme of a signature"},
    {{.quote = {.sig_scheme = EMK_TPM_ALG_NULL}}, EMK_E_UNSUPPORTED, "tpm: scheme of a signature"},
    {{.quote = {.sig_hash = EMK_TPM_ALG_SHA384}},
     EMK_E_SIGNATURE,
     "tpm: scheme is not the attestation key's"},
    {{.quote = {.sig_hash = EMK_TPM_ALG_SHA1}},
     EMK_E_SIGNATURE,
     "tpm: scheme is not the attestation key's"},
    {{.quote = {.sig_hash = 0x0027}}, EMK_E_UNSUPPORTED, "tpm: hash algorithm"},
    {{.quote = {.sig_tail = "00"}}, EMK_E_FORMAT, "tpm: bytes behind the structure"},
    /* signing key */
    {{.signing = {.magic = 1}}, EMK_E_FORMAT, "tpm: magic number"},
    {{.signing = {.type = EMK_TPM_ST_QUOTE}}, EMK_E_LIMIT, "tpm: PCR banks"},
    {{.signing = {.type = EMK_TPM_ST_CREATION}},
     EMK_E_SIGNATURE,
     "tpm: attestation of another kind"},
    {{.signing = {.type = 0x801b}}, EMK_E_UNSUPPORTED, "tpm: kind of attestation"},
    {{.signing = {.extra = ZEROS32}}, EMK_E_SIGNATURE, "tpm: nonce mismatch"},
    {{.signing = {.extra = ""}}, EMK_E_SIGNATURE, "tpm: nonce mismatch"},
    {{.signing = {.name = NAME_OTHER}}, EMK_E_SIGNATURE, "tpm: Name is not the key's"},
    {{.signing = {.name = "0000"}}, EMK_E_SIGNATURE, "tpm: Name is not the key's"},
    {{.signing = {.name = "0043" ZEROS32 ZEROS32 "000000"}}, EMK_E_LIMIT, "tpm: name"},
    {{.signing = {.key = 3}}, EMK_E_SIGNATURE, "tpm: another key is certified"},
    {{.signing = {.key = 4, .attributes = AK}}, EMK_E_POLICY, "tpm: key may do more than it must"},
    {{.signing = {.attributes = MUST}}, EMK_E_POLICY, "tpm: key lacks an attribute"},
    {{.signing = {.attributes = EMK_TPM_SIGN}}, EMK_E_POLICY, "tpm: key lacks an attribute"},
    {{.signing = {.attributes = EMK_TPM_SIGN | EMK_TPM_FIXED_PARENT | EMK_TPM_ORIGIN}},
     EMK_E_POLICY,
     "tpm: key lacks an attribute"},
    {{.signing = {.attributes = EMK_TPM_SIGN | EMK_TPM_FIXED_TPM | EMK_TPM_ORIGIN}},
     EMK_E_POLICY,
     "tpm: key lacks an attribute"},
    {{.signing = {.attributes = EMK_TPM_SIGN | EMK_TPM_FIXED_TPM | EMK_TPM_FIXED_PARENT}},
     EMK_E_POLICY,
     "tpm: key lacks an attribute"},
    {{.signing = {.attributes = MUST | EMK_TPM_SIGN | EMK_TPM_DECRYPT}},
     EMK_E_POLICY,
     "tpm: key may do more than it must"},
    {{.signing = {.attributes = MUST | EMK_TPM_SIGN | EMK_TPM_RESTRICTED}},
     EMK_E_POLICY,
     "tpm: key may do more than it must"},
    {{.signing = {.key_tail = "00"}}, EMK_E_FORMAT, "tpm: bytes behind the structure"},
    {{.signing = {.tail = "00"}}, EMK_E_FORMAT, "tpm: bytes behind the structure"},
    {{.signing = {.cut = 2}}, EMK_E_FORMAT, "tpm: structure is cut short"},
    {{.signing = {.signer = 7}}, EMK_E_SIGNATURE, "x509: signature"},
    {{.signing = {.signer = 5}}, EMK_E_SIGNATURE, "x509: signature"},
    {{.signing = {.bad_signature = true}}, EMK_E_SIGNATURE, "x509: signature"},
    {{.signing = {.sig_hash = EMK_TPM_ALG_SHA512}},
     EMK_E_SIGNATURE,
     "tpm: scheme is not the attestation key's"},
    {{.signing = {.sig_tail = "0000"}}, EMK_E_FORMAT, "tpm: bytes behind the structure"},
    /* agreement key */
    {{.agreement = {.magic = 1}}, EMK_E_FORMAT, "tpm: magic number"},
    {{.agreement = {.type = EMK_TPM_ST_CREATION}},
     EMK_E_SIGNATURE,
     "tpm: attestation of another kind"},
    {{.agreement = {.extra = ZEROS32}}, EMK_E_SIGNATURE, "tpm: nonce mismatch"},
    {{.agreement = {.name = NAME_OTHER}}, EMK_E_SIGNATURE, "tpm: Name is not the key's"},
    {{.agreement = {.key = 3}}, EMK_E_SIGNATURE, "tpm: another key is certified"},
    {{.agreement = {.key = 5}}, EMK_E_SIGNATURE, "tpm: another key is certified"},
    {{.agreement = {.attributes = MUST}}, EMK_E_POLICY, "tpm: key lacks an attribute"},
    {{.agreement = {.attributes = EMK_TPM_DECRYPT}}, EMK_E_POLICY, "tpm: key lacks an attribute"},
    {{.agreement = {.attributes = MUST | EMK_TPM_DECRYPT | EMK_TPM_SIGN}},
     EMK_E_POLICY,
     "tpm: key may do more than it must"},
    {{.agreement = {.attributes = MUST | EMK_TPM_DECRYPT | EMK_TPM_RESTRICTED}},
     EMK_E_POLICY,
     "tpm: key may do more than it must"},
    {{.agreement = {.cut = 1}}, EMK_E_FORMAT, "tpm: structure is cut short"},
    {{.agreement = {.signer = 7}}, EMK_E_SIGNATURE, "x509: signature"},
    {{.agreement = {.bad_signature = true}}, EMK_E_SIGNATURE, "x509: signature"},
    {{.agreement = {.zero_r = true}}, EMK_E_SIGNATURE, "tpm: r or s"},
    {{.swap_keys = true}, EMK_E_POLICY, "tpm: key lacks an attribute"},
};

#define N_DEFECTS (sizeof DEFECTS / sizeof DEFECTS[0])

static void rejects_each_single_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_DEFECTS; i++) {
        emk_claims claims;
        emk_error e;
        emk_status st;

        memset(&claims, 0x55, sizeof claims);
        st = enrol(&DEFECTS[i].x, &claims, &e);
        if (st != DEFECTS[i].want || (DEFECTS[i].what && strcmp(e.what, DEFECTS[i].what) != 0))
            printf("defect %zu\n", i);
        assert_status(st, DEFECTS[i].want, &e);
        if (DEFECTS[i].what)
            assert_string_equal(e.what, DEFECTS[i].what);
        assert_int_equal(((uint8_t *)&claims)[0], 0x55);
    }
    printf("forged proofs refused: tpm %zu\n", N_DEFECTS);
}

static void rejects_what_another_enrolment_was_given(void **state)
{
    const emk_tpm_roots roots = trusted();
    emk_tpm_policy policy = wanted();
    emk_tpm_credential credential, other;
    emk_tpm_pending pending, pending2;
    const fake_tpm x = {0};
    emk_claims claims;
    emk_error e;

    (void)state;
    assert_ok(first(&x, &roots, &pending, &credential, &e), &e);
    assert_ok(first(&x, &roots, &pending2, &other, &e), &e);
    assert_ok(second(&x, &policy, &pending, &credential, &claims, &e), &e);
    assert_status(second(&x, &policy, &pending2, &credential, &claims, &e), EMK_E_SIGNATURE, &e);
    policy.time_s = FORGE_NOW + EMK_TPM_PENDING_S + 1;
    assert_status(second(&x, &policy, &pending, &credential, &claims, &e), EMK_E_STALE, &e);
    policy.time_s = FORGE_NOW - 1;
    assert_status(second(&x, &policy, &pending, &credential, &claims, &e), EMK_E_STALE, &e);
    /* an AK that the credential was not made for */
    policy = wanted();
    assert_status(
        second(&(fake_tpm){.ak_attributes = AK}, &policy, &pending, &credential, &claims, &e),
        EMK_E_SEALED, &e);
    pending.ak[20] ^= 1;
    assert_int_not_equal(second(&x, &policy, &pending, &credential, &claims, &e), EMK_OK);
}

static void rejects_policies_that_are_none(void **state)
{
    emk_tpm_roots roots = trusted();
    emk_tpm_policy policy = wanted();
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    const fake_tpm x = {0};
    emk_claims claims;
    emk_error e;

    (void)state;
    roots.n_roots = 0;
    assert_status(first(&x, &roots, &pending, &credential, &e), EMK_E_USAGE, &e);
    roots = trusted();
    assert_ok(first(&x, &roots, &pending, &credential, &e), &e);
    policy.binding.len = 31;
    assert_status(second(&x, &policy, &pending, &credential, &claims, &e), EMK_E_USAGE, &e);
    policy = wanted();
    policy.signing.len = 64;
    assert_status(second(&x, &policy, &pending, &credential, &claims, &e), EMK_E_USAGE, &e);
    policy = wanted();
    policy.pcrs.n = 0;
    assert_status(second(&x, &policy, &pending, &credential, &claims, &e), EMK_E_USAGE, &e);
    policy = wanted();
    policy.n_good = EMK_TPM_GOOD_MAX + 1;
    assert_status(second(&x, &policy, &pending, &credential, &claims, &e), EMK_E_USAGE, &e);
}

static void a_simulator_counts_only_where_that_is_said(void **state)
{
    emk_tpm_roots roots = trusted();
    const emk_tpm_policy policy = wanted();
    const fake_tpm x = {0};
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    emk_buf der;
    emk_x509 sim;
    emk_claims claims;
    emk_error e;

    (void)state;
    emk_buf_init(&der, EMK_X509_CERT_MAX);
    f.root = EMK_SIMULATED_NAME " root";
    fake_make_root(&f, &der);
    assert_ok(emk_x509_parse(emk_buf_span(&der), &sim, &e), &e);
    roots.roots = &sim;
    assert_status(first(&x, &roots, &pending, &credential, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, "attest: made by a simulator");
    roots.simulated = EMK_SIMULATED_LEVEL_0;
    assert_ok(first(&x, &roots, &pending, &credential, &e), &e);
    assert_ok(second(&x, &policy, &pending, &credential, &claims, &e), &e);
    assert_int_equal(claims.level, 0);
    assert_true(emk_claims_has_warning(&claims, EMK_WARN_SIMULATED));
    roots.simulated = EMK_SIMULATED_COUNTS;
    assert_ok(first(&x, &roots, &pending, &credential, &e), &e);
    assert_ok(second(&x, &policy, &pending, &credential, &claims, &e), &e);
    assert_int_equal(claims.level, 2);
    assert_true(emk_claims_has_warning(&claims, EMK_WARN_SIMULATED));
    f.root = "root";
    emk_buf_done(&der);
}

static void resets_never_go_back(void **state)
{
    const emk_tpm_state before = {7, 3, 1};
    emk_error e;

    (void)state;
    assert_ok(emk_tpm_state_check(&before, &(emk_tpm_state){7, 3, 1}, &e), &e);
    assert_ok(emk_tpm_state_check(&before, &(emk_tpm_state){8, 0, 1}, &e), &e);
    assert_status(emk_tpm_state_check(&before, &(emk_tpm_state){6, 9, 1}, &e), EMK_E_STALE, &e);
    assert_status(emk_tpm_state_check(&before, &(emk_tpm_state){7, 2, 1}, &e), EMK_E_STALE, &e);
}

static void refuse_message(const char *hex, emk_status hello, emk_status proof)
{
    uint8_t bytes[256];
    emk_span in = {bytes, emk_unhex(hex, bytes, sizeof bytes)};
    emk_tpm_hello h;
    emk_tpm_proof p;
    emk_error e;

    assert_status(emk_tpm_hello_read(in, &h, &e), hello, &e);
    assert_status(emk_tpm_proof_read(in, &p, &e), proof, &e);
}

static void rejects_messages_of_another_form(void **state)
{
    (void)state;
    refuse_message("", EMK_E_FORMAT, EMK_E_FORMAT);
    refuse_message("a0", EMK_E_FORMAT, EMK_E_FORMAT);
    refuse_message("a3014101 0280 034102", EMK_OK, EMK_E_FORMAT);
    refuse_message("a3014101 0280 034102 00", EMK_E_FORMAT, EMK_E_FORMAT);
    refuse_message("a3014101 0280 044102", EMK_E_FORMAT, EMK_E_FORMAT);
    refuse_message("a2014101 0280", EMK_E_FORMAT, EMK_E_FORMAT);
    refuse_message("a3014101 0285 4101 4101 4101 4101 4101 034102", EMK_E_LIMIT, EMK_E_FORMAT);
    refuse_message("a3 0280 014101 034102", EMK_E_FORMAT, EMK_E_FORMAT);
    refuse_message("a60140024003400440 05834040400683404040", EMK_E_FORMAT, EMK_OK);
    refuse_message("a60140024003400440 0582404006 83404040", EMK_E_FORMAT, EMK_E_FORMAT);
    refuse_message("a60140024003400440 0584404040400683404040", EMK_E_FORMAT, EMK_E_FORMAT);
    refuse_message("a70140024003400440 058340404006834040400740", EMK_E_FORMAT, EMK_E_FORMAT);
}

static void every_failing_call_ends_in_an_error(void **state)
{
#ifdef EMK_FAULTS
    static const emk_fault_kind KINDS[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};
    const emk_tpm_roots roots = trusted();
    const emk_tpm_policy policy = wanted();
    const fake_tpm x = {0};
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    fake_tpm_hello hello;
    fake_tpm_proof proof;
    emk_tpm_hello sent;
    emk_tpm_proof answer;
    emk_error e;

    (void)state;
    fake_make_tpm_hello(&f, &x, &hello);
    sent = fake_tpm_hello_of(&hello, false);
    assert_ok(emk_tpm_enrol_begin(test_crypto(), &roots, &sent, &pending, &credential, &e), &e);
    assert_ok(fake_make_tpm_proof(&f, &x, &credential, SPAN(binding), &proof, &e), &e);
    answer = fake_tpm_proof_of(&proof);
    for (size_t k = 0; k < 2; k++) {
        emk_status st;
        uint64_t n = 0;

        do {
            emk_tpm_pending again;
            emk_claims claims;

            emk_fault_fail_at(KINDS[k], ++n);
            st = emk_tpm_enrol_begin(test_crypto(), &roots, &sent, &again, &credential, &e);
            if (st == EMK_OK)
                st = emk_tpm_enrol_finish(test_crypto(), &policy, &pending, &answer, &claims, NULL,
                                          &e);
            assert_true(st == EMK_OK || st == EMK_E_NO_MEMORY || st == EMK_E_CRYPTO);
        } while (emk_fault_count(KINDS[k]) >= n);
        assert_int_equal(st, EMK_OK);
        emk_fault_fail_at(KINDS[k], 0);
    }
    fake_tpm_proof_done(&proof);
    fake_tpm_hello_done(&hello);
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    static const uint8_t VALUES[64] = {
        0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22,
        0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22,
        0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33,
        0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33,
        0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33};
    const emk_span values = SPAN(VALUES);
    int rc;

    forge_init(&f, test_crypto());
    memset(binding, 0xb1, sizeof binding);
    emk_buf_init(&root_der, EMK_X509_CERT_MAX);
    fake_make_root(&f, &root_der);
    if (emk_x509_parse(emk_buf_span(&root_der), &root, NULL) != EMK_OK ||
        emk_sha256(test_crypto(), &values, 1, good[0], NULL) != EMK_OK)
        return 1;
    rc = EMK_RUN(
        emk_rule(accepts_a_device_with_a_tpm),
        emk_rule(accepts_a_certificate_in_an_index_that_is_too_long),
        emk_rule(rejects_each_single_defect), emk_rule(rejects_what_another_enrolment_was_given),
        emk_rule(rejects_policies_that_are_none),
        emk_rule(a_simulator_counts_only_where_that_is_said), emk_rule(resets_never_go_back),
        emk_rule(rejects_messages_of_another_form), emk_rule(every_failing_call_ends_in_an_error));
    emk_buf_done(&root_der);
    forge_done(&f);
    return rc;
}
