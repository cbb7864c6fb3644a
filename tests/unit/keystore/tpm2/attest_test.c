/* A device and a server go through the whole enrolment with a TPM that has a certificate of its
 * own maker: swtpm and its local authority. */
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/crypto/hash.h"
#include "keystore/tpm2/tpm2.h"
#include "server/attest/bundle.h"
#include "server/attest/challenge.h"
#include "server/attest/tpm_enrol.h"
#include "tests/support/test.h"
#include "tests/unit/keystore/tpm2/swtpm.h"

#include <string.h>

#define PCRS     ((UINT32_C(1) << 0) | (UINT32_C(1) << 7) | (UINT32_C(1) << 16))
#define N_PCRS   3u
#define PEM_MAX  65536u
#define APP      "com.example.desk"
#define DIR_CAP  4096
#define PATH_CAP 5000

static emk_crypto *crypto;
static swtpm tpm;
static char *ca;
static emk_bundle roots, pool;
static int64_t now_s;

typedef struct device {
    char *dir;
    char keys[DIR_CAP];
    emk_keystore ks;
    uint8_t binding[EMK_BINDING_LEN];
    emk_keystore_keys pub;
} device;

static const uint8_t challenge[EMK_BINDING_CHALLENGE_LEN] = "a challenge of thirty-six bytes ....";

static emk_status bind(device *d, const char *app, emk_error *e)
{
    emk_binding b = {{challenge, sizeof challenge},
                     {d->pub.signing, sizeof d->pub.signing},
                     {d->pub.agreement, sizeof d->pub.agreement},
                     emk_span_str(app)};

    return emk_binding_make(crypto, &b, d->binding, e);
}

static void begin(device *d, emk_span pin)
{
    emk_tpm2_options o = {.tcti = tpm.tcti, .pin = pin};
    emk_error e = {0};

    d->dir = emk_test_dir_make();
    snprintf(d->keys, sizeof d->keys, "%s/holder", d->dir);
    assert_ok(emk_tpm2_create(crypto, d->keys, &o, &e), &e);
    assert_ok(emk_tpm2_open(crypto, d->keys, &o, &d->ks, &e), &e);
    assert_ok(emk_keystore_public_keys(&d->ks, &d->pub, &e), &e);
    assert_ok(bind(d, APP, &e), &e);
}

static void end(device *d)
{
    emk_keystore_close(&d->ks);
    emk_test_dir_remove(d->dir);
}

static void add_pem(emk_bundle *b, const char *name)
{
    char path[PATH_CAP];
    emk_error e = {0};
    emk_buf pem;

    snprintf(path, sizeof path, "%s/%s", ca, name);
    emk_buf_init(&pem, PEM_MAX);
    assert_ok(emk_os_read_file(path, PEM_MAX, &pem, &e), &e);
    assert_ok(emk_bundle_add(b, emk_buf_span(&pem), &e), &e);
    emk_buf_done(&pem);
}

static emk_tpm_roots trusted(void)
{
    return (emk_tpm_roots){.roots = roots.certs,
                           .n_roots = roots.n,
                           .pool = pool.certs,
                           .n_pool = pool.n,
                           .time_s = now_s};
}

/* --- the first step -------------------------------------------------------------------------- */

static emk_status hello(const device *d, emk_tpm_pending *pending, emk_tpm_credential *out,
                        emk_error *e)
{
    const emk_tpm_roots r = trusted();
    uint8_t ak[EMK_TPM2_PUBLIC_MAX];
    emk_tpm_hello h = {0}, read;
    emk_buf cert, wire;
    emk_status st;

    emk_buf_init(&cert, EMK_TPM2_EK_MAX);
    emk_buf_init(&wire, EMK_TPM_HELLO_MAX);
    assert_ok(emk_tpm2_ek_certificate(&d->ks, &cert, e), e);
    assert_ok(emk_tpm2_ak_public(&d->ks, ak, &h.ak.len, e), e);
    h.ak.p = ak;
    h.ek = emk_buf_span(&cert);
    assert_ok(emk_tpm_hello_write(&h, &wire, e), e);
    assert_ok(emk_tpm_hello_read(emk_buf_span(&wire), &read, e), e);
    st = emk_tpm_enrol_begin(crypto, &r, &read, pending, out, e);
    emk_buf_done(&wire);
    emk_buf_done(&cert);
    return st;
}

static emk_status activate(const device *d, const emk_tpm_credential *c, uint8_t *secret,
                           size_t *len, emk_error *e)
{
    return emk_tpm2_activate(&d->ks, emk_span_of(c->id_object, c->id_object_len),
                             emk_span_of(c->enc_secret, c->enc_secret_len), secret, len, e);
}

/* --- the second step ------------------------------------------------------------------------- */

/* What a device sends, with the storage that it lends from. */
typedef struct sent {
    emk_tpm2_quote quote;
    emk_tpm2_certified signing, agreement;
    uint8_t secret[EMK_TPM2_CREDENTIAL_MAX], quote_sig[EMK_TPM2_SIG_LEN], values[32 * N_PCRS];
    size_t secret_len;
    emk_tpm_proof proof;
} sent;

static emk_tpm_certified lend(const emk_tpm2_certified *x)
{
    return (emk_tpm_certified){
        {x->key, x->key_len}, {x->attest, x->attest_len}, {x->sig, sizeof x->sig}};
}

/* The PCRs that were never extended are zeros. */
static void prove(const device *d, sent *s)
{
    const emk_span nonce = {d->binding, sizeof d->binding};
    emk_error e = {0};

    assert_ok(emk_tpm2_quote_make(&d->ks, nonce, PCRS, &s->quote, &e), &e);
    assert_ok(emk_tpm2_certify(&d->ks, EMK_TPM2_KEY_SIGNING, nonce, &s->signing, &e), &e);
    assert_ok(emk_tpm2_certify(&d->ks, EMK_TPM2_KEY_AGREEMENT, nonce, &s->agreement, &e), &e);
    emk_tpm2_sig_wire(s->quote.sig, s->quote_sig);
    memset(s->values, 0, sizeof s->values);
    s->proof = (emk_tpm_proof){.secret = {s->secret, s->secret_len},
                               .quote = {s->quote.attest, s->quote.attest_len},
                               .quote_sig = {s->quote_sig, sizeof s->quote_sig},
                               .pcr_values = {s->values, sizeof s->values},
                               .signing = lend(&s->signing),
                               .agreement = lend(&s->agreement)};
}

static emk_tpm_policy policy_of(const device *d)
{
    return (emk_tpm_policy){.time_s = now_s + 5,
                            .binding = {d->binding, sizeof d->binding},
                            .signing = {d->pub.signing, 65},
                            .agreement = {d->pub.agreement, 65},
                            .pcrs = {.n = 1, .banks = {{EMK_TPM_ALG_SHA256, PCRS}}}};
}

static void enrols_a_device_end_to_end(void **state)
{
    const emk_span pins[] = {{NULL, 0}, emk_span_str("4711")};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        device d = {0};
        emk_tpm_credential credential;
        emk_tpm_pending pending;
        emk_tpm_policy policy;
        emk_tpm_state after;
        emk_claims claims;
        uint8_t good[1][32];
        emk_error e = {0};
        emk_buf wire;
        sent s = {0};

        begin(&d, pins[i]);
        assert_ok(hello(&d, &pending, &credential, &e), &e);
        assert_ok(activate(&d, &credential, s.secret, &s.secret_len, &e), &e);
        prove(&d, &s);
        policy = policy_of(&d);
        emk_buf_init(&wire, EMK_TPM_PROOF_MAX);
        assert_ok(emk_tpm_proof_write(&s.proof, &wire, &e), &e);
        assert_ok(emk_tpm_proof_read(emk_buf_span(&wire), &s.proof, &e), &e);
        assert_ok(emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, &after, &e),
                  &e);
        assert_int_equal(claims.kind, EMK_ATTEST_TPM);
        assert_int_equal(claims.level, 1);
        assert_ok(emk_sha256(crypto, &s.proof.pcr_values, 1, good[0], &e), &e);
        policy.good = (const uint8_t(*)[32])good;
        policy.n_good = 1;
        assert_ok(emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, &after, &e),
                  &e);
        assert_int_equal(claims.level, 2);
        good[0][0] ^= 1;
        assert_status(
            emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, &after, &e),
            EMK_E_POLICY, &e);
        emk_buf_done(&wire);
        end(&d);
    }
}

static void refuses_what_belongs_to_another_enrolment(void **state)
{
    device d = {0}, other = {0};
    emk_tpm_credential credential, not_mine;
    emk_tpm_pending pending, pending2;
    emk_tpm_policy policy;
    emk_claims claims;
    emk_error e = {0};
    sent s = {0}, s2 = {0};

    (void)state;
    begin(&d, emk_span_of(NULL, 0));
    begin(&other, emk_span_of(NULL, 0));
    assert_ok(hello(&d, &pending, &credential, &e), &e);
    assert_ok(hello(&other, &pending2, &not_mine, &e), &e);
    /* a credential for another key of the same TPM */
    assert_status(activate(&d, &not_mine, s.secret, &s.secret_len, &e), EMK_E_SEALED, &e);
    assert_ok(activate(&d, &credential, s.secret, &s.secret_len, &e), &e);
    credential.id_object[4] ^= 1;
    assert_status(activate(&d, &credential, s2.secret, &s2.secret_len, &e), EMK_E_SEALED, &e);
    assert_ok(activate(&other, &not_mine, s2.secret, &s2.secret_len, &e), &e);
    prove(&d, &s);
    prove(&other, &s2);
    policy = policy_of(&d);
    assert_ok(emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, NULL, &e), &e);
    assert_status(emk_tpm_enrol_finish(crypto, &policy, &pending, &s2.proof, &claims, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    s2.proof.secret = s.proof.secret;
    assert_status(emk_tpm_enrol_finish(crypto, &policy, &pending, &s2.proof, &claims, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "tpm: nonce mismatch");
    assert_status(emk_tpm_enrol_finish(crypto, &policy, &pending2, &s.proof, &claims, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "tpm: credential was not opened");
    policy.signing = policy.agreement;
    assert_status(emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "tpm: another key is certified");
    policy = policy_of(&d);
    policy.time_s += EMK_TPM_PENDING_S;
    assert_status(emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, NULL, &e),
                  EMK_E_STALE, &e);
    policy = policy_of(&d);
    s.values[0] ^= 1;
    assert_status(emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    end(&other);
    end(&d);
}

static void a_pcr_that_changed_is_seen(void **state)
{
    static const uint8_t zeros[32 * N_PCRS];
    device d = {0};
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    emk_tpm_policy policy;
    emk_claims claims;
    emk_error e = {0};
    sent s = {0};

    (void)state;
    begin(&d, emk_span_of(NULL, 0));
    assert_ok(hello(&d, &pending, &credential, &e), &e);
    assert_ok(activate(&d, &credential, s.secret, &s.secret_len, &e), &e);
    swtpm_extend(&tpm, 16, 0x11);
    prove(&d, &s);
    policy = policy_of(&d);
    assert_memory_equal(s.values, zeros, sizeof zeros);
    assert_status(emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "tpm: PCR values are not the quoted ones");
    end(&d);
    swtpm_restart(&tpm); /* and PCR 16 is zero again */
}

static void a_root_that_is_not_trusted_is_refused(void **state)
{
    emk_x509 kept = roots.certs[0];
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    device d = {0};
    emk_error e = {0};

    (void)state;
    begin(&d, emk_span_of(NULL, 0));
    roots.certs[0] = pool.certs[0]; /* an anchor, but not the one at the end of this path */
    roots.certs[0].subject = kept.subject;
    assert_status(hello(&d, &pending, &credential, &e), EMK_E_SIGNATURE, &e);
    roots.certs[0] = kept;
    end(&d);
}

static void refuses_calls_that_make_no_sense(void **state)
{
    uint8_t secret[EMK_TPM2_CREDENTIAL_MAX], big[2000];
    emk_tpm2_certified made;
    device d = {0};
    emk_error e = {0};
    size_t len;

    (void)state;
    memset(big, 0x5a, sizeof big); /* not zeros: at an RSA block of zeros this TPM gives up */
    begin(&d, emk_span_of(NULL, 0));
    assert_status(emk_tpm2_certify(&d.ks, EMK_TPM2_KEY_SIGNING, emk_span_str(""), &made, &e),
                  EMK_E_USAGE, &e);
    assert_status(emk_tpm2_certify(&d.ks, EMK_TPM2_KEY_SIGNING, emk_span_of(big, 33), &made, &e),
                  EMK_E_USAGE, &e);
    assert_status(emk_tpm2_activate(&d.ks, emk_span_of(big, sizeof big), emk_span_of(big, 256),
                                    secret, &len, &e),
                  EMK_E_SEALED, &e);
    /* Nobody sealed this block: a chip calls that a bad value, this one gives up altogether. */
    assert_int_not_equal(
        emk_tpm2_activate(&d.ks, emk_span_of(big, 60), emk_span_of(big, 256), secret, &len, &e),
        EMK_OK);
    end(&d);
}

/* Goes the whole way on this TPM, with a key whose encrypted secrets have this length. */
static void enrol_with(size_t enc_secret_len)
{
    emk_tpm_credential credential;
    emk_tpm_pending pending;
    emk_tpm_policy policy;
    emk_claims claims;
    device d = {0};
    emk_error e = {0};
    sent s = {0};

    begin(&d, emk_span_of(NULL, 0));
    assert_ok(hello(&d, &pending, &credential, &e), &e);
    assert_int_equal(credential.enc_secret_len, enc_secret_len);
    credential.id_object[9] ^= 1;
    assert_status(activate(&d, &credential, s.secret, &s.secret_len, &e), EMK_E_SEALED, &e);
    credential.id_object[9] ^= 1;
    assert_ok(activate(&d, &credential, s.secret, &s.secret_len, &e), &e);
    prove(&d, &s);
    policy = policy_of(&d);
    assert_ok(emk_tpm_enrol_finish(crypto, &policy, &pending, &s.proof, &claims, NULL, &e), &e);
    assert_int_equal(claims.level, 1);
    end(&d);
}

/* swtpm_setup makes certificates of L-1 and H-3; many new chips have the second only. */
static void a_chip_with_a_p384_key_only_enrols(void **state)
{
    emk_buf cert;
    device d = {0};
    emk_error e = {0};

    (void)state;
    swtpm_undefine(&tpm, 0x01C00002);
    enrol_with(2 * (2 + 48));
    swtpm_undefine(&tpm, 0x01C00016);
    begin(&d, emk_span_of(NULL, 0));
    emk_buf_init(&cert, EMK_TPM2_EK_MAX);
    assert_status(emk_tpm2_ek_certificate(&d.ks, &cert, &e), EMK_E_NOT_FOUND, &e);
    emk_buf_done(&cert);
    end(&d);
}

static void a_chip_with_a_long_rsa_key_only_enrols(void **state)
{
    swtpm kept = tpm;

    (void)state;
    if (swtpm_start_certified(&tpm, ca, 3072)) {
        swtpm_undefine(&tpm, 0x01C00016);
        enrol_with(384);
        swtpm_end(&tpm);
    } else {
        print_message("SKIP this swtpm makes no RSA keys of 3,072 bits\n");
    }
    tpm = kept;
}

int main(void)
{
    int failed;

    setenv("TSS2_LOG", "all+none", 1); /* refusals are expected here */
    ca = emk_test_dir_make();
    if (!swtpm_start_certified(&tpm, ca, 2048)) {
        emk_test_dir_remove(ca);
        return EMK_TEST_SKIP;
    }
    if (emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    now_s = (int64_t)emk_os_now_s() + 60;
    emk_bundle_init(&roots);
    emk_bundle_init(&pool);
    add_pem(&roots, "swtpm-localca-rootca-cert.pem");
    add_pem(&pool, "issuercert.pem");
    failed = EMK_RUN(
        emk_rule(enrols_a_device_end_to_end), emk_rule(refuses_what_belongs_to_another_enrolment),
        emk_rule(a_pcr_that_changed_is_seen), emk_rule(a_root_that_is_not_trusted_is_refused),
        emk_rule(refuses_calls_that_make_no_sense), emk_rule(a_chip_with_a_p384_key_only_enrols),
        emk_rule(a_chip_with_a_long_rsa_key_only_enrols));
    emk_bundle_done(&pool);
    emk_bundle_done(&roots);
    swtpm_end(&tpm);
    emk_test_dir_remove(ca);
    emk_crypto_free(crypto);
    return failed;
}
