/* Cases of TPM 2.0 evidence: quotes, certified keys, endorsement certificates, creation,
 * credentials.  Evidence of a museum: what old TPMs signed over SHA-1 counts, and quotes without
 * a nonce where the case itself has none. */
#include "cli/attest_case.h"
#include "cli/attest_tpm_raw.h"
#include "server/attest/pem.h"
#include "server/attest/tpm.h"
#include "server/attest/tpm_credential.h"
#include "server/attest/tpm_enrol.h"

#include <string.h>

#define PCR_MAX     31u
#define PEM_KEY_MAX 4096u

static const emk_tpm_lenience OLD = {.sha1 = true, .no_nonce = true};

static uint16_t hash_number(emk_attest_case *c, emk_span name)
{
    uint16_t number = emk_tpm_raw_hash(name);

    if (number == 0)
        emk_case_problem(c, "hash is not known", (const char *)name.p);
    return number;
}

static emk_span read_spki(emk_attest_case *c, const char *name)
{
    emk_span pem = emk_case_file(c, name);
    uint8_t *out = emk_case_take(c, PEM_KEY_MAX);
    size_t len = 0;

    if (emk_case_is_good(c) && !emk_tpm_raw_key(pem, out, PEM_KEY_MAX, &len))
        emk_case_problem(c, "not a public key in PEM", name);
    return emk_case_is_good(c) ? emk_span_of(out, len) : emk_span_str("");
}

/* --- quotes ---------------------------------------------------------------------------------- */

typedef struct pcr_values {
    uint8_t *p;
    size_t len, cap;
} pcr_values;

static void add_value(emk_attest_case *c, const emk_dom *bank, unsigned index, pcr_values *out)
{
    emk_attest_case inner = *c; /* the value is a member of another file's object */
    char name[8];
    emk_span v;

    (void)snprintf(name, sizeof name, "%u", index);
    inner.node = bank;
    v = emk_case_hex(&inner, name);
    c->arena = inner.arena;
    if (!emk_case_is_good(&inner))
        emk_case_problem(c, "value of PCR", inner.problem);
    if (!emk_case_is_good(c))
        return;
    if (v.len > out->cap - out->len) {
        emk_case_problem(c, "too many values of PCRs", name);
        return;
    }
    if (v.len > 0)
        memcpy(out->p + out->len, v.p, v.len);
    out->len += v.len;
}

static void read_bank(emk_attest_case *c, const emk_dom *node, const emk_dom *values,
                      emk_tpm_pcrs *pcrs, pcr_values *out)
{
    const emk_dom *name = node->first, *list = name ? name->next : NULL;
    const emk_dom *bank;

    if (!name || name->kind != EMK_DOM_STRING || !list || list->kind != EMK_DOM_ARRAY ||
        pcrs->n == EMK_TPM_BANKS_MAX) {
        emk_case_problem(c, "not a list of banks", "pcr_selection");
        return;
    }
    bank = emk_dom_get(values, (const char *)name->text.p);
    pcrs->banks[pcrs->n].hash = hash_number(c, name->text);
    for (const emk_dom *i = list->first; i && emk_case_is_good(c); i = i->next) {
        uint64_t index = 0;

        if (!emk_dom_u64(i, &index) || index > PCR_MAX) {
            emk_case_problem(c, "not a PCR", "pcr_selection");
            return;
        }
        pcrs->banks[pcrs->n].pcrs |= UINT32_C(1) << index;
        add_value(c, bank, (unsigned)index, out);
    }
    pcrs->n++;
}

/* The selection, and the values of its PCRs in order. */
static emk_tpm_pcrs read_pcrs(emk_attest_case *c, const emk_dom *values, emk_span *out)
{
    const emk_dom *banks = emk_dom_get_kind(c->node, "pcr_selection", EMK_DOM_ARRAY);
    size_t cap = (size_t)EMK_TPM_BANKS_MAX * (PCR_MAX + 1) * EMK_DIGEST_MAX;
    pcr_values v = {.p = emk_case_take(c, cap), .cap = cap};
    emk_tpm_pcrs pcrs = {0};

    if (!banks)
        emk_case_problem(c, "the case lacks the list", "pcr_selection");
    for (const emk_dom *b = banks ? banks->first : NULL; b && emk_case_is_good(c); b = b->next)
        read_bank(c, b, values, &pcrs, &v);
    *out = emk_span_of(v.p, v.len);
    return pcrs;
}

static emk_span wrap_signature(emk_attest_case *c, uint16_t hash, emk_span sig)
{
    uint8_t *p = emk_case_take(c, sig.len + EMK_TPM_RAW_HEAD);

    if (!emk_case_is_good(c) || sig.len == 0)
        return sig;
    return emk_span_of(p, emk_tpm_raw_wrap(hash, sig, p));
}

/* The form as the case says, or as it looks. */
static emk_span quote_signature(emk_attest_case *c, emk_span sig)
{
    uint16_t hash = EMK_TPM_ALG_SHA256;

    if (emk_case_has(c, "sig_form")
            ? emk_dom_is_text(emk_dom_get(c->node, "sig_form"), "TPMT_SIGNATURE")
            : emk_tpm_raw_has_head(sig))
        return sig;
    if (emk_case_has(c, "pcr_digest_hash"))
        hash = hash_number(c, emk_case_text(c, "pcr_digest_hash"));
    return wrap_signature(c, hash, sig);
}

static emk_status verify_quote(emk_attest_case *c, emk_tpm_quote_in *in, emk_span ak_public,
                               emk_error *e)
{
    emk_tpm_public ak;
    emk_status st = EMK_OK;

    if (!emk_case_is_good(c))
        return EMK_E_USAGE;
    if (ak_public.len > 0) {
        st = emk_tpm_public_read(ak_public, &ak, e);
        in->ak = &ak;
    }
    if (st == EMK_OK)
        st = emk_tpm_quote_verify(c->run->crypto, in, NULL, e);
    in->ak = NULL; /* it ends here */
    return st;
}

static void run_quote(emk_attest_case *c)
{
    emk_tpm_quote_in in = {.lenience = OLD};
    emk_span ak_public = emk_span_str(""), json = emk_case_file(c, "pcrs");
    const emk_dom *values = NULL;
    emk_error e = {0};

    in.attest = emk_case_file(c, "msg");
    in.sig = emk_case_file(c, "sig");
    if (emk_case_has(c, "ak_public"))
        ak_public = emk_case_file(c, "ak_public");
    if (emk_case_is_good(c) && emk_dom_parse(&c->arena, json, &values, &e) != EMK_OK)
        emk_case_problem(c, "pcrs", e.what);
    in.sig = quote_signature(c, in.sig);
    in.nonce = emk_case_hex(c, "nonce_hex");
    if (emk_case_is_good(c))
        in.selection = read_pcrs(c, values, &in.values);
    if (emk_case_has(c, "ak_pem"))
        in.ak_spki = read_spki(c, "ak_pem");
    emk_case_verdict(c, "expect", verify_quote(c, &in, ak_public, &e), &e);
}

/* --- WebAuthn -------------------------------------------------------------------------------- */

static emk_tpm_roots roots_of(emk_attest_case *c)
{
    return (emk_tpm_roots){.roots = c->run->anchors.certs,
                           .n_roots = c->run->anchors.n,
                           .time_s = emk_case_time(c, "verify_time"),
                           .sha1_leaf = true,
                           .simulated = emk_case_simulated(c)};
}

static emk_status verify_certify(emk_attest_case *c, const emk_x509 *aik, emk_error *e)
{
    emk_tpm_certify_in in = {.ak_spki = aik->spki, .lenience = OLD};

    in.attest = emk_case_file(c, "certinfo");
    in.key = emk_case_file(c, "pubarea");
    in.sig = wrap_signature(c, hash_number(c, emk_case_text(c, "hash")), emk_case_file(c, "sig"));
    in.nonce = emk_case_hex(c, "expected_extra_data_hex");
    return emk_case_is_good(c) ? emk_tpm_certify_verify(c->run->crypto, &in, NULL, e) : EMK_E_USAGE;
}

static void run_certify(emk_attest_case *c)
{
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    emk_tpm_roots roots;
    emk_tpm_vendor vendor;
    emk_x509_list list = {chain, 0};
    emk_span pem = emk_case_file(c, "aik_chain");
    emk_buf der;
    emk_error e = {0};
    emk_status st = EMK_E_USAGE;

    emk_buf_init(&der, EMK_CASE_FILE_MAX);
    if (emk_case_is_good(c))
        st = emk_case_read_chain(pem, &der, &(emk_case_chain){chain, EMK_X509_CHAIN_MAX, &list.n},
                                 &e);
    if (st == EMK_OK)
        st = verify_certify(c, &chain[0], &e);
    emk_case_verdict(c, "expect_crypto", st, &e);
    if (emk_case_has(c, "expect_trust")) {
        roots = roots_of(c);
        st = !emk_case_is_good(c) ? EMK_E_USAGE
             : list.n > 0         ? emk_tpm_aik_verify(c->run->crypto, &roots, &list, &vendor, &e)
                                  : st;
        emk_case_verdict(c, "expect_trust", st, &e);
    }
    emk_buf_done(&der);
}

/* --- certificates, creation, credentials ------------------------------------------------------ */

static void run_ek_cert(emk_attest_case *c)
{
    emk_x509 sent[EMK_X509_CHAIN_MAX];
    emk_x509_list list = {sent, 0};
    emk_tpm_roots roots = roots_of(c);
    emk_span ek = emk_case_file(c, "file"), pem = emk_span_str("");
    emk_buf der;
    emk_tpm_ek out;
    emk_error e = {0};
    emk_status st = EMK_E_USAGE;

    emk_buf_init(&der, EMK_CASE_FILE_MAX);
    if (emk_case_has(c, "issuers"))
        pem = emk_case_file(c, "issuers");
    if (emk_case_is_good(c))
        st = EMK_OK;
    if (st == EMK_OK && pem.len > 0)
        st = emk_case_read_chain(pem, &der, &(emk_case_chain){sent, EMK_X509_CHAIN_MAX, &list.n},
                                 &e);
    if (st == EMK_OK)
        st = emk_tpm_ek_verify(c->run->crypto, &roots, ek, &list, &out, &e);
    emk_case_verdict(c, "expect", st, &e);
    emk_buf_done(&der);
}

static void run_creation(emk_attest_case *c)
{
    emk_tpm_creation_in in = {.lenience = OLD};
    emk_tpm_public key;
    emk_error e = {0};
    emk_status st = EMK_E_USAGE;

    in.key = emk_case_file(c, "public");
    in.creation_data = emk_case_file(c, "creation_data");
    in.attest = emk_case_file(c, "attest");
    in.sig = emk_case_file(c, "sig");
    if (emk_case_has(c, "nonce_hex"))
        in.nonce = emk_case_hex(c, "nonce_hex");
    if (emk_case_is_good(c))
        st = emk_tpm_public_read(in.key, &key, &e);
    in.signer = &key;
    if (st == EMK_OK)
        st = emk_tpm_creation_verify(c->run->crypto, &in, &e);
    emk_case_verdict(c, "expect", st, &e);
}

/* The files are TPM2Bs: two bytes of length in front. */
static bool is_sized(emk_span file, const uint8_t *p, size_t len)
{
    return file.len == len + 2 && file.p[0] == len >> 8 && file.p[1] == (len & 0xff) &&
           memcmp(file.p + 2, p, len) == 0;
}

static void run_credential(emk_attest_case *c)
{
    emk_span name = emk_case_hex(c, "ak_name_hex"), object = emk_case_file(c, "expected_id_object");
    emk_span enc = emk_case_file(c, "expected_enc_secret");
    emk_span priv = emk_case_hex(c, "ephemeral_private_hex");
    emk_tpm_name ak = {.len = name.len};
    emk_tpm_credential_in in = {.name = &ak};
    emk_tpm_credential made;
    emk_error e = {0};
    emk_status st = EMK_E_USAGE;

    in.ek_spki = read_spki(c, "ek_pem");
    in.secret = emk_case_hex(c, "credential_hex");
    if (name.len > sizeof ak.bytes)
        emk_case_problem(c, "too long", "ak_name_hex");
    if (priv.len != 32)
        emk_case_problem(c, "only credentials for a key on P-256 can be made again",
                         "ephemeral_private_hex");
    if (emk_case_is_good(c)) {
        memcpy(ak.bytes, name.p, name.len);
        st = emk_tpm_credential_make_fixed(c->run->crypto, &in, priv.p, &made, &e);
    }
    if (st == EMK_OK && (!is_sized(object, made.id_object, made.id_object_len) ||
                         !is_sized(enc, made.enc_secret, made.enc_secret_len)))
        st = emk_fail(&e, EMK_E_FORMAT, "another credential than the manifest's", 0);
    emk_case_verdict(c, "expect", st, &e);
}

/* --- enrolments --------------------------------------------------------------------------------
 */

static uint32_t read_pcr_numbers(emk_attest_case *c)
{
    const emk_dom *list = emk_dom_get_kind(c->node, "pcrs", EMK_DOM_ARRAY);
    uint32_t pcrs = 0;

    if (!list)
        emk_case_problem(c, "the case lacks the list", "pcrs");
    for (const emk_dom *i = list ? list->first : NULL; i; i = i->next) {
        uint64_t index = 0;

        if (!emk_dom_u64(i, &index) || index > PCR_MAX)
            emk_case_problem(c, "not a PCR", "pcrs");
        else
            pcrs |= UINT32_C(1) << index;
    }
    return pcrs;
}

static emk_status verify_enrolment(emk_attest_case *c, const emk_tpm_policy *policy,
                                   emk_span secret, emk_error *e)
{
    emk_tpm_roots roots = roots_of(c);
    emk_tpm_hello hello;
    emk_tpm_proof proof;
    emk_tpm_kept kept = {.hello = &hello, .secret = secret, .proof = &proof};
    emk_span first = emk_case_file(c, "hello"), second = emk_case_file(c, "proof");
    emk_claims claims;
    emk_status st;

    roots.sha1_leaf = false;
    if (!emk_case_is_good(c))
        return EMK_E_USAGE;
    st = emk_tpm_hello_read(first, &hello, e);
    if (st == EMK_OK)
        st = emk_tpm_proof_read(second, &proof, e);
    return st == EMK_OK ? emk_tpm_enrol_check(c->run->crypto, &roots, policy, &kept, &claims, e)
                        : st;
}

static void run_enrolment(emk_attest_case *c)
{
    emk_tpm_policy policy = {.time_s = emk_case_time(c, "verify_time"),
                             .binding = emk_case_hex(c, "binding_hex"),
                             .signing = emk_case_hex(c, "signing_key_x962_hex"),
                             .agreement = emk_case_hex(c, "agreement_key_x962_hex"),
                             .pcrs = {.n = 1, .banks = {{.hash = EMK_TPM_ALG_SHA256}}}};
    emk_span secret = emk_case_hex(c, "secret_hex"), good;
    void *allowed = emk_case_take(c, sizeof *policy.good);
    emk_error e = {0};
    emk_status st;

    policy.pcrs.banks[0].pcrs = read_pcr_numbers(c);
    if (emk_case_has(c, "allowed_pcr_sha256_hex")) {
        good = emk_case_hex(c, "allowed_pcr_sha256_hex");
        if (good.len != sizeof *policy.good || !allowed)
            emk_case_problem(c, "not 32 bytes", "allowed_pcr_sha256_hex");
        else
            memcpy(allowed, good.p, good.len);
        policy.good = allowed;
        policy.n_good = 1;
    }
    st = verify_enrolment(c, &policy, secret, &e);
    emk_case_verdict(c, "expect", st, &e);
}

const emk_attest_type EMK_ATTEST_TYPES_TPM[] = {
    {"tpm_enrolment", run_enrolment},
    {"quote", run_quote},
    {"certify", run_certify},
    {"ek_cert", run_ek_cert},
    {"creation", run_creation},
    {"make_credential", run_credential},
    {0},
};
