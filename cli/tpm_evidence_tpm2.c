#include "cli/tpm_evidence.h"
#include "core/base/secret.h"
#include "core/proto/binding.h"
#include "server/attest/tpm_enrol.h"

/* What firmware, boot loader and secure boot leave there: 0 to 7, as servers ask for by default. */
#define PCRS       0xFFu
#define OBJECT_MAX 4096u

emk_status emk_cli_tpm_hello(emk_cli *cli, const emk_cli_evidence_in *in, emk_buf *out)
{
    const emk_keystore *ks = &in->device->keystore;
    uint8_t ak[EMK_TPM2_PUBLIC_MAX];
    emk_tpm_hello hello = {.ak = {ak, 0}};
    emk_buf ek;
    emk_status st;

    emk_buf_init(&ek, EMK_TPM2_EK_MAX);
    st = emk_tpm2_ek_certificate(ks, &ek, &cli->error);
    if (st == EMK_E_NOT_FOUND)
        st = emk_cli_advise(cli, st,
                            "This TPM came without a certificate of its maker: it cannot "
                            "show what it is. Enrol with --attestation none.");
    if (st == EMK_OK)
        st = emk_tpm2_ak_public(ks, ak, &hello.ak.len, &cli->error);
    hello.ek = emk_buf_span(&ek);
    if (st == EMK_OK)
        st = emk_tpm_hello_write(&hello, out, &cli->error);
    emk_buf_done(&ek);
    return st;
}

/* ---- the second step ---- */

/* What goes out, with the storage that it lends from. */
typedef struct showing {
    uint8_t binding[EMK_SHA256_LEN];
    uint8_t secret[EMK_TPM2_CREDENTIAL_MAX];
    uint8_t quote_sig[EMK_TPM2_SIG_LEN];
    uint8_t values[EMK_TPM2_VALUES_MAX];
    size_t secret_len, values_len;
    emk_tpm2_quote quote;
    emk_tpm2_certified signing, agreement;
} showing;

static emk_status activate(emk_cli *cli, const emk_keystore *ks, const emk_dom *credential,
                           showing *s)
{
    emk_buf object, secret;
    emk_status st;

    emk_buf_init(&object, OBJECT_MAX);
    emk_buf_init(&secret, OBJECT_MAX);
    st = emk_cli_member_bytes(cli, credential, "id_object", &object);
    if (st == EMK_OK)
        st = emk_cli_member_bytes(cli, credential, "secret", &secret);
    if (st == EMK_OK)
        st = emk_tpm2_activate(ks, emk_buf_span(&object), emk_buf_span(&secret), s->secret,
                               &s->secret_len, &cli->error);
    emk_buf_done(&object);
    emk_buf_done(&secret);
    return st;
}

static emk_status bind(emk_cli *cli, const emk_cli_evidence_in *in, uint8_t out[EMK_SHA256_LEN])
{
    emk_keystore_keys keys;
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = emk_keystore_public_keys(&in->device->keystore, &keys, &cli->error);
    if (st != EMK_OK)
        return st;
    return emk_enrolment_binding_make(
        c,
        &(emk_enrolment_binding){.challenge = in->challenge,
                                 .signing = emk_span_of(keys.signing, sizeof keys.signing),
                                 .agreement = emk_span_of(keys.agreement, sizeof keys.agreement),
                                 .app = emk_span_str(in->app)},
        out, &cli->error);
}

static emk_status ask_tpm(emk_cli *cli, const emk_cli_evidence_in *in, showing *s)
{
    const emk_keystore *ks = &in->device->keystore;
    const emk_span nonce = emk_span_of(s->binding, sizeof s->binding);
    emk_cli_keys_config config;
    emk_status st = emk_cli_keys_config_read(cli, in->device->dir, &config);

    if (st == EMK_OK)
        st = emk_tpm2_quote_make(ks, nonce, PCRS, &s->quote, &cli->error);
    if (st == EMK_OK)
        st = emk_tpm2_certify(ks, EMK_TPM2_KEY_SIGNING, nonce, &s->signing, &cli->error);
    if (st == EMK_OK)
        st = emk_tpm2_certify(ks, EMK_TPM2_KEY_AGREEMENT, nonce, &s->agreement, &cli->error);
    if (st == EMK_OK)
        st = emk_tpm2_pcr_values(config.tcti[0] ? config.tcti : NULL, PCRS, s->values,
                                 &s->values_len, &cli->error);
    if (st == EMK_OK)
        emk_tpm2_sig_wire(s->quote.sig, s->quote_sig);
    return st;
}

static emk_tpm_certified lend(const emk_tpm2_certified *x)
{
    return (emk_tpm_certified){
        {x->key, x->key_len}, {x->attest, x->attest_len}, {x->sig, sizeof x->sig}};
}

emk_status emk_cli_tpm_proof(emk_cli *cli, const emk_cli_evidence_in *in, const emk_dom *credential,
                             emk_buf *out)
{
    showing s = {.secret_len = 0};
    emk_tpm_proof proof;
    emk_status st = bind(cli, in, s.binding);

    if (st == EMK_OK)
        st = activate(cli, &in->device->keystore, credential, &s);
    if (st == EMK_OK)
        st = ask_tpm(cli, in, &s);
    if (st == EMK_OK) {
        proof = (emk_tpm_proof){.secret = {s.secret, s.secret_len},
                                .quote = {s.quote.attest, s.quote.attest_len},
                                .quote_sig = {s.quote_sig, sizeof s.quote_sig},
                                .pcr_values = {s.values, s.values_len},
                                .signing = lend(&s.signing),
                                .agreement = lend(&s.agreement)};
        st = emk_tpm_proof_write(&proof, out, &cli->error);
    }
    emk_wipe(s.secret, sizeof s.secret);
    return st;
}
