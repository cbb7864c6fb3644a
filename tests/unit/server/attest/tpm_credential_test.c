#include "server/attest/tpm_credential.h"

#include "core/crypto/rsa.h"
#include "server/attest/bundle.h"
#include "server/attest/tpm.h"
#include "tests/unit/core/crypto/context.h"

static emk_rsa_private *ek;
static uint8_t spki[EMK_RSA_SPKI_MAX];
static size_t spki_len;
static const uint8_t SECRET[32] = "what only the right TPM can open";
static const emk_tpm_name NAME = {.bytes = {0x00, 0x0b, 1, 2, 3}, .len = 34};

static emk_tpm_credential_in right(void)
{
    return (emk_tpm_credential_in){
        .ek_spki = {spki, spki_len}, .name = &NAME, .secret = SPAN(SECRET)};
}

static emk_status open_rsa(const emk_tpm_credential_in *in, const emk_tpm_credential *made,
                           const emk_tpm_name *name, uint8_t *out, size_t *len, emk_error *e)
{
    static const uint8_t LABEL[] = "IDENTITY";
    const emk_rsa_oaep how = {in->ek.name_alg == EMK_TPM_ALG_SHA384 ? EMK_RSA_OAEP_SHA384
                                                                    : EMK_RSA_OAEP_SHA256,
                              SPAN(LABEL)};
    uint8_t seed[EMK_RSA_MODULUS_MAX];
    emk_tpm_activation a = {
        .ek = in->ek, .name = name, .id_object = {made->id_object, made->id_object_len}};
    size_t seed_len = 0;

    assert_ok(emk_rsa_oaep_decrypt(ek, &how, emk_span_of(made->enc_secret, made->enc_secret_len),
                                   seed, &seed_len, e),
              e);
    a.seed = emk_span_of(seed, seed_len);
    return emk_tpm_credential_open(test_crypto(), &a, out, len, e);
}

static void an_rsa_key_opens_it_for_that_name_only(void **state)
{
    static const emk_tpm_ek_template TEMPLATES[] = {
        {0, 0}, {EMK_TPM_ALG_SHA256, 128}, {EMK_TPM_ALG_SHA256, 256}, {EMK_TPM_ALG_SHA384, 256}};

    (void)state;
    for (size_t i = 0; i < sizeof TEMPLATES / sizeof TEMPLATES[0]; i++) {
        emk_tpm_credential_in in = right();
        emk_tpm_name other = NAME;
        emk_tpm_credential made;
        uint8_t out[EMK_DIGEST_MAX];
        emk_error e;
        size_t len = 0;

        in.ek = TEMPLATES[i];
        assert_ok(emk_tpm_credential_make(test_crypto(), &in, &made, &e), &e);
        assert_ok(open_rsa(&in, &made, &NAME, out, &len, &e), &e);
        assert_bytes(emk_span_of(out, len), SPAN(SECRET));
        other.bytes[33] ^= 1;
        assert_status(open_rsa(&in, &made, &other, out, &len, &e), EMK_E_SEALED, &e);
        for (size_t j = 0; j < made.id_object_len; j++) {
            made.id_object[j] ^= 1;
            assert_status(open_rsa(&in, &made, &NAME, out, &len, &e), EMK_E_SEALED, &e);
            made.id_object[j] ^= 1;
        }
    }
}

/* SubjectPublicKeyInfo of id-ecPublicKey on a curve, with its generator. */
#define SPKI_P256 "3059301306072a8648ce3d020106082a8648ce3d030107034200"
#define SPKI_P384 "3076301006072a8648ce3d020106052b81040022036200"

static void the_template_follows_from_the_key(void **state)
{
    static const struct {
        const char *head, *point;
        size_t point_len;
        uint16_t hash, bits;
    } ROWS[] = {
        {SPKI_P256, TEST_P256_G, 65, EMK_TPM_ALG_SHA256, 128},
        {SPKI_P384, TEST_P384_G, 97, EMK_TPM_ALG_SHA384, 256},
    };
    emk_tpm_credential_in in = right();
    emk_tpm_credential made;
    emk_tpm_ek_template t;
    uint8_t ephemeral[32] = {1}, der[128];
    emk_error e;

    (void)state;
    assert_ok(emk_tpm_ek_template_of(test_crypto(), in.ek_spki, &t, &e), &e);
    assert_int_equal(t.name_alg, EMK_TPM_ALG_SHA256);
    assert_int_equal(t.symmetric_bits, 128);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        size_t head = strlen(ROWS[i].head) / 2;

        emk_unhex(ROWS[i].head, der, head);
        emk_unhex(ROWS[i].point, der + head, ROWS[i].point_len);
        in.ek_spki = emk_span_of(der, head + ROWS[i].point_len);
        assert_ok(emk_tpm_ek_template_of(test_crypto(), in.ek_spki, &t, &e), &e);
        assert_int_equal(t.name_alg, ROWS[i].hash);
        assert_int_equal(t.symmetric_bits, ROWS[i].bits);
        in.ek = t;
        assert_ok(emk_tpm_credential_make(test_crypto(), &in, &made, &e), &e);
        assert_int_equal(made.enc_secret_len, 4 + ROWS[i].point_len - 1);
        der[head + 1] ^= 1;
        assert_status(emk_tpm_credential_make(test_crypto(), &in, &made, &e), EMK_E_FORMAT, &e);
    }
    der[strlen(SPKI_P384) / 2 + 1] ^= 1;
    assert_status(emk_tpm_credential_make_fixed(test_crypto(), &in, ephemeral, &made, &e),
                  EMK_E_UNSUPPORTED, &e);
    in.ek_spki.len--;
    assert_status(emk_tpm_ek_template_of(test_crypto(), in.ek_spki, &t, &e), EMK_E_FORMAT, &e);
}

static void rejects_inputs_that_are_none(void **state)
{
    static const uint8_t LONG[49];
    emk_tpm_name name = NAME;
    emk_tpm_credential made;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 7; i++) {
        emk_tpm_credential_in in = right();
        emk_status want = EMK_E_USAGE;

        switch (i) {
        case 0:
            in.secret.len = 15;
            break;
        case 1:
            in.secret = SPAN(LONG);
            break;
        case 2:
            in.ek.name_alg = EMK_TPM_ALG_SHA1;
            break;
        case 3:
            in.ek.symmetric_bits = 192;
            break;
        case 4:
            name.len = 0;
            in.name = &name;
            break;
        case 5:
            in.ek_spki.len--;
            want = EMK_E_FORMAT;
            break;
        default:
            in.ek_spki = NONE;
            want = EMK_E_FORMAT;
        }
        assert_status(emk_tpm_credential_make(test_crypto(), &in, &made, &e), want, &e);
    }
}

static void verifies_rsa_schemes_of_tpms(void **state)
{
    static const struct {
        uint16_t scheme, hash;
        emk_rsa_scheme how;
    } ROWS[] = {
        {EMK_TPM_ALG_RSASSA, EMK_TPM_ALG_SHA256, EMK_RSA_PKCS1_SHA256},
        {EMK_TPM_ALG_RSASSA, EMK_TPM_ALG_SHA384, EMK_RSA_PKCS1_SHA384},
        {EMK_TPM_ALG_RSASSA, EMK_TPM_ALG_SHA512, EMK_RSA_PKCS1_SHA512},
        {EMK_TPM_ALG_RSAPSS, EMK_TPM_ALG_SHA256, EMK_RSA_PSS_SHA256},
        {EMK_TPM_ALG_RSAPSS, EMK_TPM_ALG_SHA384, EMK_RSA_PSS_SHA384},
        {EMK_TPM_ALG_RSASSA, EMK_TPM_ALG_SHA1, EMK_RSA_PKCS1_SHA1_LEGACY},
    };
    uint8_t sig[EMK_RSA_MODULUS_MAX];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        bool sha1 = ROWS[i].hash == EMK_TPM_ALG_SHA1;
        emk_tpm_sig s = {.scheme = ROWS[i].scheme, .hash = ROWS[i].hash, .rsa = {sig, 256}};
        emk_tpm_signed in = {{spki, spki_len}, &s, emk_span_str("attested"), {.sha1 = true}};

        assert_ok(emk_rsa_sign(ek, ROWS[i].how, in.msg, sig, &e), &e);
        assert_ok(emk_tpm_signature_verify(test_crypto(), &in, &e), &e);
        in.lenience.sha1 = false;
        assert_status(emk_tpm_signature_verify(test_crypto(), &in, &e),
                      sha1 ? EMK_E_POLICY : EMK_OK, &e);
        s.scheme = EMK_TPM_ALG_ECDSA;
        in.lenience.sha1 = true;
        assert_status(emk_tpm_signature_verify(test_crypto(), &in, &e), EMK_E_SIGNATURE, &e);
    }
}

static void a_bundle_takes_what_can_be_read(void **state)
{
    static const char BAD[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    emk_bundle b;
    emk_error e;

    (void)state;
    emk_bundle_init(&b);
    assert_ok(emk_bundle_add(&b, emk_span_str("# nothing here\n"), &e), &e);
    assert_ok(emk_bundle_add(&b, emk_span_str(BAD), &e), &e);
    assert_int_equal(b.n, 0);
    assert_int_equal(b.n_skipped, 1);
    assert_status(emk_bundle_add(&b, emk_span_str("-----BEGIN CERTIFICATE-----\nMIIB\n"), &e),
                  EMK_E_FORMAT, &e);
    assert_status(emk_bundle_add(&b, emk_span_str("-----BEGIN PRIVATE KEY-----\n"), &e),
                  EMK_E_FORMAT, &e);
    assert_int_equal(b.n_skipped, 1);
    emk_bundle_done(&b);
}

int main(void)
{
    int rc;

    if (emk_rsa_private_generate(test_crypto(), 2048, &ek, NULL) != EMK_OK ||
        emk_rsa_public_to_spki(emk_rsa_private_public(ek), spki, &spki_len, NULL) != EMK_OK)
        return 1;
    rc =
        EMK_RUN(emk_rule(an_rsa_key_opens_it_for_that_name_only),
                emk_rule(the_template_follows_from_the_key), emk_rule(rejects_inputs_that_are_none),
                emk_rule(verifies_rsa_schemes_of_tpms), emk_rule(a_bundle_takes_what_can_be_read));
    emk_rsa_private_free(ek);
    return rc;
}
