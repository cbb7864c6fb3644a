#include "cli/attest_tpm.h"

#include "cli/attest_tpm_raw.h"
#include "cli/json_dom.h"
#include "core/base/bytes.h"
#include "server/attest/pem.h"
#include "server/attest/tpm_enrol.h"

#include <stdlib.h>
#include <string.h>

#define PCR_MAX    31u
#define VALUES_MAX 8192u
#define TAG_HELLO  0xa3u /* CBOR maps of 3 and of 6 */
#define TAG_PROOF  0xa6u

static const emk_tpm_lenience OLD = {.sha1 = true, .no_nonce = false};

/* What the files are. */
typedef struct tpm_files {
    emk_span hello, proof;
    emk_span attest, sig, public_area, raw_sig;
    emk_span cert, chain_pem, key_pem, json;
    emk_buf pem; /* owned: what the PEM decodes to */
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    size_t n_chain;
    uint8_t values[VALUES_MAX], sig_room[EMK_TPM_SIG_MAX], spki[EMK_TPM_SPKI_MAX];
    size_t n_values, n_spki;
    emk_tpm_pcrs selection;
} tpm_files;

static bool begins(emk_span file, const char *text)
{
    return file.len >= strlen(text) && memcmp(file.p, text, strlen(text)) == 0;
}

static bool is_hash(uint32_t n)
{
    return n == EMK_TPM_ALG_SHA1 || (n >= EMK_TPM_ALG_SHA256 && n <= EMK_TPM_ALG_SHA512);
}

/* Where the file belongs; what is nothing else is a signature without its head. */
static emk_span *place_of(tpm_files *t, emk_span f)
{
    uint32_t first = f.len > 3 ? emk_load_u16be(f.p) : 0;
    uint32_t second = f.len > 3 ? emk_load_u16be(f.p + 2) : 0;

    if (begins(f, "-----BEGIN PUBLIC KEY"))
        return &t->key_pem;
    if (begins(f, "-----BEGIN"))
        return &t->chain_pem;
    if (begins(f, "{"))
        return &t->json;
    if (f.len > 0 && f.p[0] == TAG_HELLO)
        return &t->hello;
    if (f.len > 0 && f.p[0] == TAG_PROOF)
        return &t->proof;
    if (first == 0xff54 || second == 0x4347)
        return &t->attest;
    if ((first == EMK_TPM_ALG_RSA || first == EMK_TPM_ALG_ECC) && is_hash(second))
        return &t->public_area;
    if (emk_tpm_raw_has_head(f) && is_hash(second))
        return &t->sig;
    return first == 0x3082 ? &t->cert : &t->raw_sig;
}

static emk_status sort_files(emk_cli *cli, const emk_attest_input *in, tpm_files *t)
{
    for (size_t i = 0; i < in->n_files; i++) {
        emk_span *at = place_of(t, in->certs[i]);

        if (at->len > 0)
            return emk_cli_usage(cli, "file %zu is of the same kind as one before it", i + 1);
        *at = in->certs[i];
    }
    return EMK_OK;
}

/* --- PCRs --------------------------------------------------------------------------------------
 */

/* "sha256:0,1,7" with "+" between banks; "0,7" is of SHA-256. */
static bool read_selection(const char *text, emk_tpm_pcrs *out)
{
    while (*text) {
        size_t n = strcspn(text, ":+"), bank = out->n;
        bool named = text[n] == ':';

        if (bank == EMK_TPM_BANKS_MAX)
            return false;
        out->n++;
        out->banks[bank].hash = named ? emk_tpm_raw_hash(emk_span_of(text, n)) : EMK_TPM_ALG_SHA256;
        text += named ? n + 1 : 0;
        do {
            char *end;
            unsigned long v = *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : PCR_MAX + 1;

            if (v > PCR_MAX)
                return false;
            out->banks[bank].pcrs |= UINT32_C(1) << v;
            text = end;
        } while (*text++ == ',');
        if (text[-1] == 0)
            return out->banks[bank].hash != 0;
        if (text[-1] != '+' || out->banks[bank].hash == 0)
            return false;
    }
    return out->n > 0;
}

static bool append_hex(tpm_files *t, emk_span text)
{
    for (size_t i = 0; i + 1 < text.len; i += 2) {
        char two[3] = {(char)text.p[i], (char)text.p[i + 1], 0};

        if (strspn(two, "0123456789abcdefABCDEF") != 2 || t->n_values == VALUES_MAX)
            return false;
        t->values[t->n_values++] = (uint8_t)strtoul(two, NULL, 16);
    }
    return text.len > 0 && text.len % 2 == 0;
}

static const emk_dom *find_bank(const emk_dom *values, uint16_t number)
{
    for (const emk_dom *x = values->first; x; x = x->next)
        if (emk_tpm_raw_hash(x->key) == number)
            return x;
    return NULL;
}

/* {"sha256": {"0": "hex", ...}, ...} */
static emk_status read_values(emk_cli *cli, tpm_files *t)
{
    const emk_dom *values = NULL;
    emk_arena arena;
    emk_status st;

    emk_arena_init(&arena, (size_t)8 << 20);
    st = emk_dom_parse(&arena, t->json, &values, &cli->error);
    for (size_t b = 0; st == EMK_OK && b < t->selection.n; b++) {
        const emk_dom *bank = find_bank(values, t->selection.banks[b].hash);

        for (unsigned i = 0; st == EMK_OK && i <= PCR_MAX; i++) {
            char name[4];
            const emk_dom *v;

            if (!(t->selection.banks[b].pcrs & UINT32_C(1) << i))
                continue;
            (void)snprintf(name, sizeof name, "%u", i);
            v = bank ? emk_dom_get_kind(bank, name, EMK_DOM_STRING) : NULL;
            if (!v || !append_hex(t, v->text))
                st = emk_fail(&cli->error, EMK_E_FORMAT, "attest: value of a PCR that is asked for",
                              i);
        }
    }
    emk_arena_reset(&arena);
    return st;
}

/* --- keys and signatures -----------------------------------------------------------------------
 */

static emk_status read_key(emk_cli *cli, tpm_files *t)
{
    if (t->key_pem.len > 0 && !emk_tpm_raw_key(t->key_pem, t->spki, sizeof t->spki, &t->n_spki))
        return emk_fail(&cli->error, EMK_E_FORMAT, "attest: public key in PEM", 0);
    return EMK_OK;
}

static emk_status read_chain(emk_cli *cli, tpm_files *t)
{
    emk_buf_init(&t->pem, EMK_PEM_MAX);
    if (t->chain_pem.len > 0)
        return emk_pem_read_chain(t->chain_pem, &t->pem, t->chain, EMK_X509_CHAIN_MAX, &t->n_chain,
                                  &cli->error);
    return EMK_OK;
}

/* Bare signatures, as WebAuthn and some clouds carry them. */
static emk_status wrap_signature(emk_cli *cli, tpm_files *t)
{
    const char *name = emk_cli_option_value(cli, "hash");
    uint16_t hash = emk_tpm_raw_hash(emk_span_str(name ? name : "sha256"));
    emk_span raw = t->raw_sig;

    if (t->sig.len > 0 || raw.len == 0)
        return EMK_OK;
    if (hash == 0 || raw.len > sizeof t->sig_room - EMK_TPM_RAW_HEAD)
        return emk_cli_usage(cli, "--hash: sha1, sha256, sha384 or sha512, of the signature");
    t->sig = emk_span_of(t->sig_room, emk_tpm_raw_wrap(hash, raw, t->sig_room));
    return EMK_OK;
}

static emk_span signer(const tpm_files *t)
{
    return t->n_chain > 0 ? t->chain[0].spki : emk_span_of(t->spki, t->n_spki);
}

/* --- kinds -------------------------------------------------------------------------------------
 */

static emk_status run_quote(emk_cli *cli, const emk_attest_input *in, tpm_files *t)
{
    emk_tpm_quote_in q = {.ak_spki = signer(t),
                          .attest = t->attest,
                          .sig = t->sig,
                          .nonce = in->policy.challenge,
                          .selection = t->selection,
                          .values = emk_span_of(t->values, t->n_values),
                          .lenience = OLD};
    emk_tpm_public ak;
    emk_tpm_attest said;
    emk_status st = EMK_OK;

    if (t->public_area.len > 0) {
        st = emk_tpm_public_read(t->public_area, &ak, &cli->error);
        q.ak = &ak;
    }
    if (st == EMK_OK)
        st = emk_tpm_quote_verify(in->crypto, &q, &said, &cli->error);
    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "kind", "tpm_quote");
    emk_cli_put_hex(&cli->out, "pcr_digest", said.pcr_digest);
    emk_cli_put_number(&cli->out, "reset_count", said.reset_count);
    emk_cli_put_number(&cli->out, "restart_count", said.restart_count);
    return EMK_OK;
}

static emk_status run_certify(emk_cli *cli, const emk_attest_input *in, const tpm_files *t)
{
    emk_tpm_certify_in x = {.ak_spki = signer(t),
                            .attest = t->attest,
                            .sig = t->sig,
                            .nonce = in->policy.challenge,
                            .key = t->public_area,
                            .lenience = OLD};
    emk_tpm_public key;
    emk_tpm_name name;
    emk_status st = emk_tpm_certify_verify(in->crypto, &x, &key, &cli->error);

    if (st == EMK_OK)
        st = emk_tpm_public_name(in->crypto, &key, &name, &cli->error);
    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "kind", "tpm_certify");
    emk_cli_put_hex(&cli->out, "name", emk_span_of(name.bytes, name.len));
    emk_cli_put_bool(&cli->out, "fixed_in_tpm",
                     (key.attributes & EMK_TPM_KEY_MUST) == EMK_TPM_KEY_MUST);
    return EMK_OK;
}

static emk_tpm_roots roots_of(const emk_attest_input *in)
{
    const emk_bundle *roots = emk_attest_roots_bundle(in->roots, EMK_ROLE_TPM);
    const emk_bundle *pool = emk_attest_roots_bundle(in->roots, EMK_ROLE_TPM_POOL);

    return (emk_tpm_roots){.roots = roots->certs,
                           .n_roots = roots->n,
                           .pool = pool->certs,
                           .n_pool = pool->n,
                           .time_s = in->policy.time_s,
                           .sha1_leaf = in->policy.tpm_sha1,
                           .simulated = (emk_simulated_mode)in->policy.simulated};
}

static void put_vendor(emk_cli_out *o, const emk_tpm_vendor *v)
{
    emk_cli_put_string(o, "manufacturer", v->manufacturer);
    emk_cli_put_string(o, "model", v->model);
    emk_cli_put_string(o, "version", v->version);
}

static emk_status run_ek(emk_cli *cli, const emk_attest_input *in, const tpm_files *t)
{
    const emk_tpm_roots roots = roots_of(in);
    const emk_x509_list sent = {t->chain, t->n_chain};
    emk_tpm_ek ek;
    emk_status st = emk_tpm_ek_verify(in->crypto, &roots, t->cert, &sent, &ek, &cli->error);

    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "kind", "tpm_endorsement");
    put_vendor(&cli->out, &ek.vendor);
    emk_cli_put_bool(&cli->out, "sha1", ek.sha1);
    return EMK_OK;
}

/* The chain above a signer counts where roots are given; a bare key is the caller's to trust. */
static emk_status check_signer(emk_cli *cli, const emk_attest_input *in, const tpm_files *t)
{
    const emk_x509_list chain = {t->chain, t->n_chain};
    emk_tpm_vendor vendor;
    emk_tpm_roots roots;
    emk_status st;

    emk_cli_put_bool(&cli->out, "signer_verified", in->roots && t->n_chain > 0);
    if (!in->roots || t->n_chain == 0)
        return EMK_OK;
    roots = roots_of(in);
    st = emk_tpm_aik_verify(in->crypto, &roots, &chain, &vendor, &cli->error);
    if (st == EMK_OK)
        put_vendor(&cli->out, &vendor);
    return st;
}

static emk_status run_attest(emk_cli *cli, const emk_attest_input *in, tpm_files *t)
{
    const char *pcrs = emk_cli_option_value(cli, "pcrs");
    bool quote = t->attest.len > 5 && emk_load_u16be(t->attest.p + 4) == EMK_TPM_ST_QUOTE;
    emk_status st;

    if (in->policy.challenge.len == 0)
        return emk_cli_usage(cli, "--nonce is missing");
    if (t->sig.len == 0)
        return emk_cli_usage(cli, "the signature is missing");
    if (quote && (!pcrs || !read_selection(pcrs, &t->selection) || t->json.len == 0))
        return emk_cli_usage(cli, "--pcrs (like sha256:0,7) and a JSON file with their values");
    if (quote)
        st = read_values(cli, t);
    else
        st = EMK_OK;
    if (st == EMK_OK)
        st = quote ? run_quote(cli, in, t) : run_certify(cli, in, t);
    return st == EMK_OK ? check_signer(cli, in, t) : st;
}

static emk_status run_files(emk_cli *cli, const emk_attest_input *in, tpm_files *t)
{
    emk_status st = read_chain(cli, t);

    if (st == EMK_OK)
        st = read_key(cli, t);
    if (st == EMK_OK)
        st = wrap_signature(cli, t);
    if (st != EMK_OK)
        return st;
    if (t->attest.len > 0)
        return run_attest(cli, in, t);
    if (t->cert.len > 0)
        return in->roots ? run_ek(cli, in, t) : emk_cli_usage(cli, "--roots is missing");
    return emk_cli_usage(cli, "a hello and a proof, a quote, a certified key or a certificate");
}

/* Both messages: what the entrance for all kinds takes. */
static emk_status run_enrolment(emk_cli *cli, emk_attest_input *in, const tpm_files *t,
                                emk_claims *claims)
{
    const char *pcrs = emk_cli_option_value(cli, "pcrs");
    emk_tpm_pcrs selection = {0};

    if (!in->roots || !in->policy.app)
        return emk_cli_usage(cli, "--roots and --app are needed");
    if (!pcrs || !read_selection(pcrs, &selection) || selection.n != 1 ||
        selection.banks[0].hash != EMK_TPM_ALG_SHA256)
        return emk_cli_usage(cli, "--pcrs: of the SHA-256 bank, like 0,7");
    in->policy.tpm_pcrs = selection.banks[0].pcrs;
    in->policy.tpm_signing = in->evidence.key;
    in->evidence.hello = t->hello;
    in->evidence.object = t->proof;
    return emk_attest_verify(in->crypto, in->roots, &in->policy, &in->evidence, claims, NULL,
                             &cli->error);
}

emk_status emk_attest_tpm_run(emk_cli *cli, emk_attest_input *in, emk_claims *claims, bool *has)
{
    static tpm_files t;
    emk_status st;

    t = (tpm_files){0};
    st = sort_files(cli, in, &t);
    *has = t.hello.len > 0 && t.proof.len > 0;
    if (st == EMK_OK)
        st = *has ? run_enrolment(cli, in, &t, claims) : run_files(cli, in, &t);
    emk_buf_done(&t.pem);
    return st;
}
