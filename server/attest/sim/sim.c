/* Fields are named here and nowhere else: a row tells where in the kind's structure a value goes.
 * Everything that a user gave is checked before the forge sees it: the forge ends the program at
 * what it cannot make. */
#include "server/attest/sim/sim.h"

#include "core/base/alloc.h"
#include "core/crypto/kdf.h"
#include "server/attest/sim/evidence.h"
#include "server/attest/sim/play_evidence.h"
#include "server/attest/sim/safetynet_evidence.h"
#include "server/attest/sim/tpm_evidence.h"
#include "server/attest/simulated.h"

#include <stddef.h>

#define HASH_MAX      64u
#define NUMBER_DIGITS 10u
#define PEM_LINE      48u /* bytes */
#define PART_MAX      65536u

struct emk_sim {
    forge f;
    uint8_t play_key[32]; /* what Play Integrity tokens are sealed under */
};

typedef enum value_kind { TEXT, HEX, NUMBER32, NUMBER_INT, NUMBER_SIZE, NUMBER16, FLAG } value_kind;

typedef struct row {
    const char *name;
    size_t at;
    value_kind kind;
} row;

#define ROW(type, field, kind)              \
    {                                       \
#field, offsetof(type, field), kind \
    }

static const row APP_ATTEST[] = {
    ROW(fake_app_attest, fmt, TEXT),
    ROW(fake_app_attest, app_id, TEXT),
    ROW(fake_app_attest, aaguid, TEXT),
    ROW(fake_app_attest, tail, HEX),
    ROW(fake_app_attest, nonce_front, HEX),
    ROW(fake_app_attest, nonce_back, HEX),
    ROW(fake_app_attest, object_tail, HEX),
    ROW(fake_app_attest, leaf_to, TEXT),
    ROW(fake_app_attest, counter, NUMBER32),
    ROW(fake_app_attest, cose_key, NUMBER_SIZE),
    ROW(fake_app_attest, middle_signer, NUMBER_SIZE),
    ROW(fake_app_attest, n_certs, NUMBER_SIZE),
    ROW(fake_app_attest, no_nonce, FLAG),
    ROW(fake_app_attest, other_credential, FLAG),
    ROW(fake_app_attest, no_receipt, FLAG),
    ROW(fake_app_attest, double_key, FLAG),
};

static const row ANDROID[] = {
    ROW(fake_android, package, TEXT),
    ROW(fake_android, software, HEX),
    ROW(fake_android, hardware, HEX),
    ROW(fake_android, description, HEX),
    ROW(fake_android, issuer_level, TEXT),
    ROW(fake_android, issuer_to, TEXT),
    ROW(fake_android, serial, HEX),
    ROW(fake_android, version, NUMBER_INT),
    ROW(fake_android, attest_level, NUMBER_INT),
    ROW(fake_android, key_level, NUMBER_INT),
    ROW(fake_android, boot_state, NUMBER_INT),
    ROW(fake_android, middle_signer, NUMBER_SIZE),
    ROW(fake_android, factory, FLAG),
    ROW(fake_android, unlocked, FLAG),
    ROW(fake_android, statement_above, FLAG),
    ROW(fake_android, two_statements, FLAG),
    ROW(fake_android, statement_only_above, FLAG),
    ROW(fake_android, other_digest, FLAG),
};

static const row PLAY[] = {
    ROW(fake_play, package, TEXT),        ROW(fake_play, request_package, TEXT),
    ROW(fake_play, nonce, TEXT),          ROW(fake_play, request_hash, TEXT),
    ROW(fake_play, timestamp_ms, TEXT),   ROW(fake_play, digest, TEXT),
    ROW(fake_play, version_code, TEXT),   ROW(fake_play, app_verdict, TEXT),
    ROW(fake_play, device_verdict, TEXT), ROW(fake_play, license, TEXT),
    ROW(fake_play, outer_header, TEXT),   ROW(fake_play, inner_header, TEXT),
    ROW(fake_play, signer, NUMBER_SIZE),  ROW(fake_play, no_testing, FLAG),
};

static const row SAFETYNET[] = {
    ROW(fake_safetynet, alg, TEXT),
    ROW(fake_safetynet, header_extra, TEXT),
    ROW(fake_safetynet, nonce, TEXT),
    ROW(fake_safetynet, timestamp_ms, TEXT),
    ROW(fake_safetynet, package, TEXT),
    ROW(fake_safetynet, digest, TEXT),
    ROW(fake_safetynet, cts, TEXT),
    ROW(fake_safetynet, basic, TEXT),
    ROW(fake_safetynet, evaluation, TEXT),
    ROW(fake_safetynet, payload_extra, TEXT),
    ROW(fake_safetynet, san, HEX),
    ROW(fake_safetynet, leaf_to, TEXT),
    ROW(fake_safetynet, issuer, TEXT),
    ROW(fake_safetynet, signer, NUMBER_SIZE),
    ROW(fake_safetynet, leaf_signer, NUMBER_SIZE),
    ROW(fake_safetynet, no_certs, FLAG),
    ROW(fake_safetynet, root_only, FLAG),
    ROW(fake_safetynet, leaf_signature, FLAG),
};

static const row ASSERTION[] = {
    ROW(fake_assertion, app_id, TEXT),     ROW(fake_assertion, tail, HEX),
    ROW(fake_assertion, hash, TEXT),       ROW(fake_assertion, counter, NUMBER32),
    ROW(fake_assertion, key, NUMBER_SIZE), ROW(fake_assertion, digest_signed, FLAG),
    ROW(fake_assertion, double_key, FLAG),
};

static const row TPM[] = {
    ROW(fake_tpm, ek_purpose, HEX),
    ROW(fake_tpm, ek_name, HEX),
    ROW(fake_tpm, ek_usage, HEX),
    ROW(fake_tpm, ek_to, TEXT),
    ROW(fake_tpm, ek_from, TEXT),
    ROW(fake_tpm, ek_tail, HEX),
    ROW(fake_tpm, middle_to, TEXT),
    ROW(fake_tpm, ek_signer, NUMBER_SIZE),
    ROW(fake_tpm, middle_signer, NUMBER_SIZE),
    ROW(fake_tpm, ek_ca, FLAG),
    ROW(fake_tpm, no_middle, FLAG),
    ROW(fake_tpm, ak_attributes, NUMBER32),
    ROW(fake_tpm, ak_scheme, NUMBER16),
    ROW(fake_tpm, ak_hash, NUMBER16),
    ROW(fake_tpm, ak_tail, HEX),
    ROW(fake_tpm, pcr_values, HEX),
    ROW(fake_tpm, secret_wrong, FLAG),
    ROW(fake_tpm, swap_keys, FLAG),
    ROW(fake_tpm, middle_no_ca, FLAG),
    ROW(fake_tpm, ek_name_not_critical, FLAG),
    ROW(fake_tpm, ak_name_alg, NUMBER16),
    ROW(fake_tpm, ak_type, NUMBER16),
    ROW(fake_tpm, ak_curve, NUMBER16),
    ROW(fake_tpm, ak_cut, NUMBER_SIZE),
    ROW(fake_tpm, secret_short, FLAG),
    ROW(fake_tpm, quote.magic, NUMBER32),
    ROW(fake_tpm, quote.type, NUMBER16),
    ROW(fake_tpm, quote.extra, HEX),
    ROW(fake_tpm, quote.tail, HEX),
    ROW(fake_tpm, quote.cut, NUMBER_SIZE),
    ROW(fake_tpm, quote.signer, NUMBER_SIZE),
    ROW(fake_tpm, quote.sig_scheme, NUMBER16),
    ROW(fake_tpm, quote.sig_hash, NUMBER16),
    ROW(fake_tpm, quote.sig_tail, HEX),
    ROW(fake_tpm, quote.bad_signature, FLAG),
    ROW(fake_tpm, quote.zero_r, FLAG),
    ROW(fake_tpm, quote.selection, HEX),
    ROW(fake_tpm, quote.digest, HEX),
    ROW(fake_tpm, signing.magic, NUMBER32),
    ROW(fake_tpm, signing.type, NUMBER16),
    ROW(fake_tpm, signing.extra, HEX),
    ROW(fake_tpm, signing.tail, HEX),
    ROW(fake_tpm, signing.cut, NUMBER_SIZE),
    ROW(fake_tpm, signing.signer, NUMBER_SIZE),
    ROW(fake_tpm, signing.sig_scheme, NUMBER16),
    ROW(fake_tpm, signing.sig_hash, NUMBER16),
    ROW(fake_tpm, signing.sig_tail, HEX),
    ROW(fake_tpm, signing.bad_signature, FLAG),
    ROW(fake_tpm, signing.zero_r, FLAG),
    ROW(fake_tpm, signing.name, HEX),
    ROW(fake_tpm, signing.attributes, NUMBER32),
    ROW(fake_tpm, signing.key, NUMBER_SIZE),
    ROW(fake_tpm, signing.key_tail, HEX),
    ROW(fake_tpm, agreement.magic, NUMBER32),
    ROW(fake_tpm, agreement.type, NUMBER16),
    ROW(fake_tpm, agreement.extra, HEX),
    ROW(fake_tpm, agreement.tail, HEX),
    ROW(fake_tpm, agreement.cut, NUMBER_SIZE),
    ROW(fake_tpm, agreement.signer, NUMBER_SIZE),
    ROW(fake_tpm, agreement.sig_scheme, NUMBER16),
    ROW(fake_tpm, agreement.sig_hash, NUMBER16),
    ROW(fake_tpm, agreement.sig_tail, HEX),
    ROW(fake_tpm, agreement.bad_signature, FLAG),
    ROW(fake_tpm, agreement.zero_r, FLAG),
    ROW(fake_tpm, agreement.name, HEX),
    ROW(fake_tpm, agreement.attributes, NUMBER32),
    ROW(fake_tpm, agreement.key, NUMBER_SIZE),
    ROW(fake_tpm, agreement.key_tail, HEX),
};

typedef struct table {
    const row *rows;
    size_t n;
} table;

static table table_of(emk_attest_kind kind, bool assertion)
{
    if (assertion)
        return (table){ASSERTION, sizeof ASSERTION / sizeof ASSERTION[0]};
    switch (kind) {
    case EMK_ATTEST_SAFETYNET:
        return (table){SAFETYNET, sizeof SAFETYNET / sizeof SAFETYNET[0]};
    case EMK_ATTEST_APP_ATTEST:
        return (table){APP_ATTEST, sizeof APP_ATTEST / sizeof APP_ATTEST[0]};
    case EMK_ATTEST_ANDROID_KEY:
        return (table){ANDROID, sizeof ANDROID / sizeof ANDROID[0]};
    case EMK_ATTEST_PLAY_INTEGRITY:
        return (table){PLAY, sizeof PLAY / sizeof PLAY[0]};
    case EMK_ATTEST_TPM:
        return (table){TPM, sizeof TPM / sizeof TPM[0]};
    default:
        return (table){NULL, 0};
    }
}

const char *emk_sim_field_name(emk_attest_kind kind, bool assertion, size_t i, const char **values)
{
    static const char *const WORDS[] = {[TEXT] = "text",          [HEX] = "hex",
                                        [NUMBER32] = "number",    [NUMBER_INT] = "number",
                                        [NUMBER_SIZE] = "number", [NUMBER16] = "number",
                                        [FLAG] = "flag"};
    table t = table_of(kind, assertion);

    if (i >= t.n)
        return NULL;
    *values = WORDS[t.rows[i].kind];
    return t.rows[i].name;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool is_hex(const char *v)
{
    size_t n = strspn(v, "0123456789abcdef");

    return v[n] == 0 && n % 2 == 0;
}

/* Decimal; a minus only where `sign` says so. */
static bool read_number(const char *v, bool sign, int64_t *out)
{
    bool minus = sign && *v == '-';
    int64_t n = 0;

    v += minus;
    if (*v == 0 || strlen(v) > NUMBER_DIGITS)
        return false;
    for (; *v; v++) {
        if (*v < '0' || *v > '9')
            return false;
        n = 10 * n + (*v - '0');
    }
    *out = minus ? -n : n;
    return true;
}

static bool put_number(value_kind kind, int64_t n, void *at)
{
    switch (kind) {
    case NUMBER32:
        *(uint32_t *)at = (uint32_t)n;
        return n <= UINT32_MAX;
    case NUMBER16:
        *(uint16_t *)at = (uint16_t)n;
        return n <= UINT16_MAX;
    case NUMBER_INT:
        *(int *)at = (int)n;
        return n >= -1 && n <= INT16_MAX;
    default: /* NUMBER_SIZE: which key, or how many certificates */
        *(size_t *)at = (size_t)n;
        return n < (int64_t)FORGE_KEYS;
    }
}

static bool put_value(const row *r, const char *value, void *into)
{
    void *at = (uint8_t *)into + r->at;
    int64_t n;

    if (strlen(value) > EMK_SIM_VALUE_MAX)
        return false;
    switch (r->kind) {
    case TEXT:
        *(const char **)at = value;
        return value[strspn(value, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~")] == 0;
    case HEX:
        *(const char **)at = value;
        return is_hex(value);
    case FLAG:
        *(bool *)at = strcmp(value, "true") == 0;
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
    default:
        return read_number(value, r->kind == NUMBER_INT, &n) && put_number(r->kind, n, at);
    }
}

static emk_status set_fields(const emk_sim_request *q, void *into, emk_error *e)
{
    table t = table_of(q->kind, q->assertion);

    if (q->n_fields > EMK_SIM_FIELDS_MAX)
        return emk_fail(e, EMK_E_USAGE, "sim: fields", q->n_fields);
    for (size_t i = 0; i < q->n_fields; i++) {
        size_t j = 0;

        while (j < t.n && strcmp(t.rows[j].name, q->fields[i].name) != 0)
            j++;
        if (j == t.n)
            return emk_fail(e, EMK_E_USAGE, "sim: no such field", i);
        if (!put_value(&t.rows[j], q->fields[i].value, into))
            return emk_fail(e, EMK_E_USAGE, "sim: value does not fit its field", i);
    }
    return EMK_OK;
}

/* --- the authority -----------------------------------------------------------------------------
 */

emk_status emk_sim_new(const emk_crypto *c, const uint8_t seed[EMK_SIM_SEED_LEN], emk_sim **out,
                       emk_error *e)
{
    emk_sim *s = emk_alloc(1, sizeof *s);
    emk_status st;

    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "sim: authority", sizeof *s);
    st = emk_hkdf_expand(c, seed, emk_span_str("earmark simulator play key"), s->play_key,
                         sizeof s->play_key, e);
    if (st != EMK_OK) {
        emk_free(s);
        return st;
    }
    forge_init_seed(&s->f, c, seed);
    s->f.root = EMK_SIMULATED_NAME " root";
    *out = s;
    return EMK_OK;
}

void emk_sim_free(emk_sim *s)
{
    if (!s)
        return;
    forge_done(&s->f);
    emk_free(s);
}

emk_span emk_sim_signing_key(const emk_sim *s)
{
    return forge_public(&s->f, 5);
}

emk_span emk_sim_app_key(const emk_sim *s)
{
    return forge_public(&s->f, 2);
}

emk_span emk_sim_agreement_key(const emk_sim *s)
{
    return forge_public(&s->f, 6);
}

emk_status emk_sim_root(const emk_sim *s, emk_buf *der, emk_error *e)
{
    emk_status st;
    emk_buf made;

    emk_buf_init(&made, PART_MAX);
    fake_make_root(&s->f, &made);
    st = emk_buf_append(der, emk_buf_span(&made), e);
    emk_buf_done(&made);
    return st;
}

static emk_status append_text(emk_buf *b, const char *text, emk_error *e)
{
    return emk_buf_append(b, emk_span_str(text), e);
}

static emk_status append_pem(emk_buf *pem, emk_span der, emk_error *e)
{
    emk_status st = append_text(pem, "-----BEGIN CERTIFICATE-----\n", e);

    for (size_t at = 0; at < der.len && st == EMK_OK; at += PEM_LINE) {
        size_t n = der.len - at < PEM_LINE ? der.len - at : PEM_LINE;

        forge_base64(pem, emk_span_of(der.p + at, n), false);
        st = append_text(pem, "\n", e);
    }
    return st == EMK_OK ? append_text(pem, "-----END CERTIFICATE-----\n", e) : st;
}

emk_status emk_sim_root_pem(const emk_sim *s, emk_buf *pem, emk_error *e)
{
    emk_buf der;
    emk_status st;

    emk_buf_init(&der, PART_MAX);
    st = emk_sim_root(s, &der, e);
    if (st == EMK_OK)
        st = append_pem(pem, emk_buf_span(&der), e);
    emk_buf_done(&der);
    return st;
}

/* --- evidence ----------------------------------------------------------------------------------
 */

static emk_buf *part(emk_sim_evidence *out, const char *name)
{
    emk_sim_part *p = &out->parts[out->n++];

    p->name = name;
    emk_buf_init(&p->bytes, PART_MAX);
    return &p->bytes;
}

void emk_sim_evidence_done(emk_sim_evidence *x)
{
    for (size_t i = 0; i < x->n; i++)
        emk_buf_done(&x->parts[i].bytes);
    x->n = 0;
}

static emk_status make_app_attest(const emk_sim *s, const emk_sim_request *q, emk_sim_evidence *out,
                                  emk_error *e)
{
    fake_app_attest x = {.signed_hash = q->hash};
    uint8_t id[32];
    emk_status st = set_fields(q, &x, e);

    if (st == EMK_OK && x.aaguid && strlen(x.aaguid) != 16)
        st = emk_fail(e, EMK_E_USAGE, "sim: aaguid has 16 characters", strlen(x.aaguid));
    if (st == EMK_OK && x.n_certs > 3)
        st = emk_fail(e, EMK_E_USAGE, "sim: at most 3 certificates", x.n_certs);
    if (st != EMK_OK)
        return st;
    fake_make_attestation(&s->f, &x, part(out, "object.cbor"), id);
    return emk_buf_append(part(out, "key_id.bin"), emk_span_of(id, sizeof id), e);
}

static emk_status make_assertion(const emk_sim *s, const emk_sim_request *q, emk_sim_evidence *out,
                                 emk_error *e)
{
    fake_assertion x = {.counter = 1};
    emk_status st = set_fields(q, &x, e);

    if (st == EMK_OK)
        x.signed_hash = x.hash ? emk_span_str(x.hash) : q->hash;
    if (st == EMK_OK)
        fake_make_assertion(&s->f, &x, part(out, "assertion.cbor"));
    return st;
}

static emk_status make_safetynet(const emk_sim *s, const emk_sim_request *q, emk_sim_evidence *out,
                                 emk_error *e)
{
    fake_safetynet x = {.signed_hash = q->hash};
    emk_status st = set_fields(q, &x, e);

    return st == EMK_OK ? fake_make_safetynet(&s->f, &x, part(out, "token.jws"), e) : st;
}

static emk_status make_android(const emk_sim *s, const emk_sim_request *q, emk_sim_evidence *out,
                               emk_error *e)
{
    fake_android x = {.signed_hash = q->hash};
    emk_buf der[FAKE_CERTS], *pem;
    emk_status st = set_fields(q, &x, e);

    if (st != EMK_OK)
        return st;
    for (size_t i = 0; i < FAKE_CERTS; i++)
        emk_buf_init(&der[i], PART_MAX);
    fake_make_android(&s->f, &x, der);
    pem = part(out, "chain.pem");
    for (size_t i = 0; i < FAKE_CERTS; i++) {
        if (st == EMK_OK)
            st = append_pem(pem, emk_buf_span(&der[i]), e);
        emk_buf_done(&der[i]);
    }
    return st;
}

static const uint8_t SPKI_HEAD[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

static emk_status make_play(const emk_sim *s, const emk_sim_request *q, emk_sim_evidence *out,
                            emk_error *e)
{
    fake_play x = {.signed_hash = q->hash};
    const emk_span kek = {s->play_key, sizeof s->play_key};
    emk_buf *spki;
    emk_status st = set_fields(q, &x, e);

    if (st == EMK_OK)
        st = fake_make_play(&s->f, &x, kek, part(out, "token.jwe"), e);
    if (st == EMK_OK)
        st = emk_buf_append(part(out, "decryption.key"), kek, e);
    if (st != EMK_OK)
        return st;
    spki = part(out, "verification.spki");
    st = emk_buf_append(spki, emk_span_of(SPKI_HEAD, sizeof SPKI_HEAD), e);
    return st == EMK_OK ? emk_buf_append(spki, forge_public(&s->f, 1), e) : st;
}

static emk_status make_tpm_hello(const emk_sim *s, const fake_tpm *x, emk_sim_evidence *out,
                                 emk_error *e)
{
    fake_tpm_hello made;
    emk_tpm_hello hello;
    emk_status st;

    fake_make_tpm_hello(&s->f, x, &made);
    hello = fake_tpm_hello_of(&made, x->no_middle);
    st = emk_tpm_hello_write(&hello, part(out, "hello.cbor"), e);
    fake_tpm_hello_done(&made);
    return st;
}

/* Proof to a credential; fields of the hello do not touch it, so that one defect is one. */
static emk_status make_tpm_proof(const emk_sim *s, const emk_sim_request *q, const fake_tpm *x,
                                 emk_sim_evidence *out, emk_error *e)
{
    const fake_tpm later = {.quote = x->quote,
                            .signing = x->signing,
                            .agreement = x->agreement,
                            .pcr_values = x->pcr_values,
                            .secret_wrong = x->secret_wrong,
                            .secret_short = x->secret_short,
                            .swap_keys = x->swap_keys};
    fake_tpm_proof made;
    emk_tpm_proof proof;
    emk_status st = fake_make_tpm_proof(&s->f, &later, q->credential, q->hash, &made, e);

    if (st != EMK_OK)
        return st;
    proof = fake_tpm_proof_of(&made);
    st = emk_tpm_proof_write(&proof, part(out, "proof.cbor"), e);
    fake_tpm_proof_done(&made);
    return st;
}

/* What a server would answer to a right hello, with this secret in it. */
static emk_status make_credential(const emk_sim *s, emk_span secret, emk_tpm_credential *out,
                                  emk_error *e)
{
    static const fake_tpm RIGHT = {.no_middle = false};
    fake_tpm_hello made;
    emk_tpm_credential_in in = {.secret = secret};
    emk_tpm_public ak;
    emk_tpm_name name;
    emk_x509 ek;
    emk_status st;

    fake_make_tpm_hello(&s->f, &RIGHT, &made);
    st = emk_x509_parse(emk_buf_span(&made.ek), &ek, e);
    if (st == EMK_OK)
        st = emk_tpm_public_read(emk_buf_span(&made.ak), &ak, e);
    if (st == EMK_OK)
        st = emk_tpm_public_name(s->f.crypto, &ak, &name, e);
    in.ek_spki = ek.spki;
    in.name = &name;
    if (st == EMK_OK)
        st = emk_tpm_credential_make(s->f.crypto, &in, out, e);
    fake_tpm_hello_done(&made);
    return st;
}

static emk_status make_tpm_whole(const emk_sim *s, const emk_sim_request *q, const fake_tpm *x,
                                 emk_sim_evidence *out, emk_error *e)
{
    emk_tpm_credential credential;
    emk_sim_request later = *q;
    emk_status st = make_tpm_hello(s, x, out, e);

    if (st == EMK_OK)
        st = make_credential(s, q->secret, &credential, e);
    if (st != EMK_OK)
        return st;
    later.credential = &credential;
    st = make_tpm_proof(s, &later, x, out, e);
    if (st == EMK_OK)
        st = emk_buf_append(part(out, "id_object.bin"),
                            emk_span_of(credential.id_object, credential.id_object_len), e);
    if (st == EMK_OK)
        st = emk_buf_append(part(out, "enc_secret.bin"),
                            emk_span_of(credential.enc_secret, credential.enc_secret_len), e);
    if (st == EMK_OK)
        st = emk_buf_append(part(out, "signing_key.bin"), emk_sim_signing_key(s), e);
    return st == EMK_OK
               ? emk_buf_append(part(out, "agreement_key.bin"), emk_sim_agreement_key(s), e)
               : st;
}

static emk_status make_tpm(const emk_sim *s, const emk_sim_request *q, emk_sim_evidence *out,
                           emk_error *e)
{
    fake_tpm x = {0};
    emk_status st = set_fields(q, &x, e);

    if (st != EMK_OK)
        return st;
    if (q->credential)
        return make_tpm_proof(s, q, &x, out, e);
    return q->secret.len > 0 ? make_tpm_whole(s, q, &x, out, e) : make_tpm_hello(s, &x, out, e);
}

emk_status emk_sim_make(const emk_sim *s, const emk_sim_request *request, emk_sim_evidence *out,
                        emk_error *e)
{
    emk_sim_evidence made = {0};
    emk_status st;

    if (request->hash.len == 0 || request->hash.len > HASH_MAX)
        return emk_fail(e, EMK_E_USAGE, "sim: what is signed over", request->hash.len);
    switch (request->kind) {
    case EMK_ATTEST_APP_ATTEST:
        st = request->assertion ? make_assertion(s, request, &made, e)
                                : make_app_attest(s, request, &made, e);
        break;
    case EMK_ATTEST_SAFETYNET:
        st = make_safetynet(s, request, &made, e);
        break;
    case EMK_ATTEST_ANDROID_KEY:
        st = make_android(s, request, &made, e);
        break;
    case EMK_ATTEST_PLAY_INTEGRITY:
        st = make_play(s, request, &made, e);
        break;
    case EMK_ATTEST_TPM:
        st = make_tpm(s, request, &made, e);
        break;
    default:
        return emk_fail(e, EMK_E_UNSUPPORTED, "sim: kind", (unsigned)request->kind);
    }
    if (st != EMK_OK) {
        emk_sim_evidence_done(&made);
        return st;
    }
    *out = made;
    return EMK_OK;
}
