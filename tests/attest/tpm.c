#include "server/attest/tpm.h"

#include "core/base/os_file.h"
#include "server/attest/bundle.h"
#include "server/attest/pem.h"
#include "server/attest/tpm_credential.h"
#include "tests/attest/run.h"

#include <stdio.h>

#define FILE_MAX ((size_t)1 << 20)

/* Evidence of a museum: what old TPMs signed over SHA-1 counts, and quotes without a nonce where
 * the manifest itself has none. */
static const emk_tpm_lenience OLD = {.sha1 = true, .no_nonce = true};

/* The file that member `name` names; empty when there is none. */
static void open_file(const emk_run *r, const emk_dom *test, const char *name, emk_buf *out)
{
    const emk_dom *node = emk_dom_get(test, name);

    emk_buf_init(out, FILE_MAX);
    if (node && node->kind == EMK_DOM_STRING)
        run_file(r, test, name, out);
}

static uint16_t hash_number(emk_span name)
{
    static const struct {
        const char *name;
        uint16_t number;
    } ROWS[] = {
        {"sha1", EMK_TPM_ALG_SHA1},     {"SHA1", EMK_TPM_ALG_SHA1},
        {"sha256", EMK_TPM_ALG_SHA256}, {"SHA256", EMK_TPM_ALG_SHA256},
        {"sha384", EMK_TPM_ALG_SHA384}, {"SHA384", EMK_TPM_ALG_SHA384},
    };

    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        if (emk_span_equal(name, emk_span_str(ROWS[i].name)))
            return ROWS[i].number;
    run_die("hash", (const char *)name.p);
}

/* --- PEM public keys ------------------------------------------------------------------------- */

/* One PUBLIC KEY block. */
static emk_span read_spki(emk_span pem, uint8_t *out, size_t cap)
{
    static const char BEGIN[] = "-----BEGIN PUBLIC KEY-----\n", END[] = "-----END";
    uint8_t text[4096];
    size_t n = 0, len = 0;
    const uint8_t *p = pem.p, *end = pem.p + pem.len;

    if (pem.len < sizeof BEGIN || memcmp(p, BEGIN, sizeof BEGIN - 1) != 0)
        run_die("public key", "no PEM");
    for (p += sizeof BEGIN - 1; p + sizeof END <= end && memcmp(p, END, sizeof END - 1) != 0; p++)
        if (*p != '\n' && n < sizeof text)
            text[n++] = *p;
    if (emk_base64_decode(emk_span_of(text, n), out, cap, &len, NULL) != EMK_OK)
        run_die("public key", "no base64");
    return emk_span_of(out, len);
}

/* --- quotes ---------------------------------------------------------------------------------- */

static size_t append_hex(const emk_dom *bank, const char *index, uint8_t *out, size_t cap)
{
    return run_hex(bank, index, out, cap).len;
}

/* The selection, and the values of its PCRs in order. */
static emk_tpm_pcrs read_pcrs(const emk_dom *test, const emk_dom *values, uint8_t *out, size_t cap,
                              size_t *len)
{
    const emk_dom *banks = emk_dom_get_kind(test, "pcr_selection", EMK_DOM_ARRAY);
    emk_tpm_pcrs pcrs = {0};

    *len = 0;
    for (const emk_dom *b = banks->first; b; b = b->next) {
        const emk_dom *bank = emk_dom_get(values, (const char *)b->first->text.p);

        pcrs.banks[pcrs.n].hash = hash_number(b->first->text);
        for (const emk_dom *i = b->first->next->first; i; i = i->next) {
            uint64_t index = 0;
            char name[8];

            if (!emk_dom_u64(i, &index) || index > 31)
                run_die("pcr_selection", "not a PCR");
            pcrs.banks[pcrs.n].pcrs |= UINT32_C(1) << index;
            (void)snprintf(name, sizeof name, "%u", (unsigned)index);
            *len += append_hex(bank, name, out + *len, cap - *len);
        }
        pcrs.n++;
    }
    return pcrs;
}

/* A TPMT_SIGNATURE around what is a raw RSASSA signature. */
static void wrap_signature(uint16_t hash, emk_buf *sig)
{
    uint8_t head[6] = {0x00,          EMK_TPM_ALG_RSASSA,       (uint8_t)(hash >> 8),
                       (uint8_t)hash, (uint8_t)(sig->len >> 8), (uint8_t)sig->len};
    emk_buf whole;

    emk_buf_init(&whole, FILE_MAX);
    if (emk_buf_append(&whole, emk_span_of(head, sizeof head), NULL) != EMK_OK ||
        emk_buf_append(&whole, emk_buf_span(sig), NULL) != EMK_OK)
        run_die("signature", "no memory");
    emk_buf_done(sig);
    *sig = whole;
}

static void run_quote(emk_run *r, const emk_dom *test)
{
    static uint8_t values[EMK_TPM_BANKS_MAX * 32 * EMK_DIGEST_MAX];
    uint8_t nonce[64], spki[EMK_TPM_SPKI_MAX];
    emk_buf msg, sig, ak_public, ak_pem, json;
    emk_tpm_quote_in in = {.lenience = OLD};
    const emk_dom *pcrs = NULL;
    emk_tpm_public ak;
    emk_arena arena;
    emk_error e;
    emk_status st;

    emk_arena_init(&arena, 4 * FILE_MAX);
    open_file(r, test, "msg", &msg);
    open_file(r, test, "sig", &sig);
    open_file(r, test, "ak_public", &ak_public);
    open_file(r, test, "ak_pem", &ak_pem);
    open_file(r, test, "pcrs", &json);
    if (emk_dom_parse(&arena, emk_buf_span(&json), &pcrs, &e) != EMK_OK)
        run_die("pcrs", e.what);
    if (!emk_dom_is_text(emk_dom_get(test, "sig_form"), "TPMT_SIGNATURE"))
        wrap_signature(hash_number(run_text(test, "pcr_digest_hash")), &sig);
    in.attest = emk_buf_span(&msg);
    in.sig = emk_buf_span(&sig);
    in.nonce = run_hex(test, "nonce_hex", nonce, sizeof nonce);
    in.selection = read_pcrs(test, pcrs, values, sizeof values, &in.values.len);
    in.values.p = values;
    in.ak_spki = read_spki(emk_buf_span(&ak_pem), spki, sizeof spki);
    st = EMK_OK;
    if (ak_public.len > 0) {
        st = emk_tpm_public_read(emk_buf_span(&ak_public), &ak, &e);
        in.ak = &ak;
    }
    if (st == EMK_OK)
        st = emk_tpm_quote_verify(r->crypto, &in, NULL, &e);
    run_report(r, test, "expect", st, &e);
    emk_buf_done(&json);
    emk_buf_done(&ak_pem);
    emk_buf_done(&ak_public);
    emk_buf_done(&sig);
    emk_buf_done(&msg);
    emk_arena_reset(&arena);
}

/* --- WebAuthn -------------------------------------------------------------------------------- */

static emk_status verify_certify(emk_run *r, const emk_dom *test, const emk_x509 *aik, emk_error *e)
{
    emk_buf info, area, sig;
    uint8_t extra[64];
    emk_tpm_certify_in in = {.ak_spki = aik->spki, .lenience = OLD};
    emk_status st;

    open_file(r, test, "certinfo", &info);
    open_file(r, test, "pubarea", &area);
    open_file(r, test, "sig", &sig);
    wrap_signature(hash_number(run_text(test, "hash")), &sig);
    in.attest = emk_buf_span(&info);
    in.key = emk_buf_span(&area);
    in.sig = emk_buf_span(&sig);
    in.nonce = run_hex(test, "expected_extra_data_hex", extra, sizeof extra);
    st = emk_tpm_certify_verify(r->crypto, &in, NULL, e);
    emk_buf_done(&sig);
    emk_buf_done(&area);
    emk_buf_done(&info);
    return st;
}

static emk_tpm_roots roots_of(const emk_run *r, const emk_dom *test)
{
    return (emk_tpm_roots){.roots = r->bundle.certs,
                           .n_roots = r->bundle.n,
                           .time_s = run_time(test, "verify_time"),
                           .sha1_leaf = true};
}

static void run_certify(emk_run *r, const emk_dom *test)
{
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    emk_tpm_roots roots = roots_of(r, test);
    emk_tpm_vendor vendor;
    emk_x509_list list = {chain, 0};
    emk_buf pem, der;
    emk_error e;
    emk_status st;

    open_file(r, test, "aik_chain", &pem);
    emk_buf_init(&der, FILE_MAX);
    if (emk_pem_read_chain(emk_buf_span(&pem), &der, chain, EMK_X509_CHAIN_MAX, &list.n, &e) !=
        EMK_OK)
        run_die("aik_chain", e.what);
    st = verify_certify(r, test, &chain[0], &e);
    run_report(r, test, "expect_crypto", st, &e);
    if (emk_dom_get(test, "expect_trust")) {
        st = emk_tpm_aik_verify(r->crypto, &roots, &list, &vendor, &e);
        run_report(r, test, "expect_trust", st, &e);
    }
    emk_buf_done(&der);
    emk_buf_done(&pem);
}

/* --- certificates, creation, credentials -------------------------------------------------------
 */

static void run_ek_cert(emk_run *r, const emk_dom *test)
{
    emk_x509 sent[EMK_X509_CHAIN_MAX];
    emk_x509_list list = {sent, 0};
    emk_tpm_roots roots = roots_of(r, test);
    emk_buf ek, pem, der;
    emk_tpm_ek out;
    emk_error e;
    emk_status st;

    open_file(r, test, "file", &ek);
    open_file(r, test, "issuers", &pem);
    emk_buf_init(&der, FILE_MAX);
    st = emk_pem_read_chain(emk_buf_span(&pem), &der, sent, EMK_X509_CHAIN_MAX, &list.n, &e);
    if (st == EMK_OK)
        st = emk_tpm_ek_verify(r->crypto, &roots, emk_buf_span(&ek), &list, &out, &e);
    run_report(r, test, "expect", st, &e);
    emk_buf_done(&der);
    emk_buf_done(&pem);
    emk_buf_done(&ek);
}

static void run_creation(emk_run *r, const emk_dom *test)
{
    emk_buf pub, data, attest, sig;
    emk_tpm_public key;
    emk_error e;
    emk_status st;

    open_file(r, test, "public", &pub);
    open_file(r, test, "creation_data", &data);
    open_file(r, test, "attest", &attest);
    open_file(r, test, "sig", &sig);
    st = emk_tpm_public_read(emk_buf_span(&pub), &key, &e);
    if (st == EMK_OK) {
        emk_tpm_creation_in in = {.signer = &key,
                                  .attest = emk_buf_span(&attest),
                                  .sig = emk_buf_span(&sig),
                                  .key = emk_buf_span(&pub),
                                  .creation_data = emk_buf_span(&data),
                                  .lenience = OLD};

        st = emk_tpm_creation_verify(r->crypto, &in, &e);
    }
    run_report(r, test, "expect", st, &e);
    emk_buf_done(&sig);
    emk_buf_done(&attest);
    emk_buf_done(&data);
    emk_buf_done(&pub);
}

/* The files are TPM2Bs: two bytes of length in front. */
static bool is_sized(emk_span file, const uint8_t *p, size_t len)
{
    return file.len == len + 2 && file.p[0] == len >> 8 && file.p[1] == (len & 0xff) &&
           memcmp(file.p + 2, p, len) == 0;
}

static void run_credential(emk_run *r, const emk_dom *test)
{
    uint8_t spki[EMK_TPM_SPKI_MAX], secret[64], name[EMK_TPM_NAME_MAX], priv[32];
    emk_tpm_name ak = {.len = run_hex(test, "ak_name_hex", name, sizeof name).len};
    emk_tpm_credential_in in = {.name = &ak};
    emk_tpm_credential made;
    emk_buf pem, object, enc;
    emk_error e;
    emk_status st;

    memcpy(ak.bytes, name, ak.len);
    open_file(r, test, "ek_pem", &pem);
    open_file(r, test, "expected_id_object", &object);
    open_file(r, test, "expected_enc_secret", &enc);
    in.ek_spki = read_spki(emk_buf_span(&pem), spki, sizeof spki);
    in.secret = run_hex(test, "credential_hex", secret, sizeof secret);
    (void)run_hex(test, "ephemeral_private_hex", priv, sizeof priv);
    st = emk_tpm_credential_make_fixed(r->crypto, &in, priv, &made, &e);
    if (st == EMK_OK && (!is_sized(emk_buf_span(&object), made.id_object, made.id_object_len) ||
                         !is_sized(emk_buf_span(&enc), made.enc_secret, made.enc_secret_len)))
        st = emk_fail(&e, EMK_E_FORMAT, "another credential than the manifest's", 0);
    run_report(r, test, "expect", st, &e);
    emk_buf_done(&enc);
    emk_buf_done(&object);
    emk_buf_done(&pem);
}

bool run_tpm(emk_run *r, const emk_dom *test)
{
    static const struct {
        const char *type;
        void (*run)(emk_run *, const emk_dom *);
    } TYPES[] = {
        {"quote", run_quote},
        {"certify", run_certify},
        {"ek_cert", run_ek_cert},
        {"creation", run_creation},
        {"make_credential", run_credential},
    };
    const emk_dom *type = emk_dom_get(test, "type");

    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++)
        if (emk_dom_is_text(type, TYPES[i].type)) {
            TYPES[i].run(r, test);
            return true;
        }
    return false;
}
