#include "server/attest/sim/tpm_evidence.h"

#include "core/base/bytes.h"
#include "core/base/secret.h"
#include "core/crypto/dh.h"
#include "core/crypto/hash.h"

#include <stdlib.h>

#define ROOM      16384u
#define EK_KEY    2u
#define AK_KEY    4u
#define SIGNING   5u
#define AGREEMENT 6u
#define POINT_LEN 65u
#define COORD_LEN 32u

#define AK_ATTRIBUTES        (EMK_TPM_KEY_MUST | EMK_TPM_RESTRICTED | EMK_TPM_SIGN | (UINT32_C(1) << 6))
#define SIGNING_ATTRIBUTES   (EMK_TPM_KEY_MUST | EMK_TPM_SIGN | (UINT32_C(1) << 6))
#define AGREEMENT_ATTRIBUTES (EMK_TPM_KEY_MUST | EMK_TPM_DECRYPT | (UINT32_C(1) << 6))

static const char OID_PURPOSES[] = "551d25";
static const char OID_NAMES[] = "551d11";

static void put16(emk_buf *b, uint16_t v)
{
    uint8_t bytes[2];

    emk_store_u16be(bytes, v);
    forge_raw(b, emk_span_of(bytes, sizeof bytes));
}

static void put32(emk_buf *b, uint32_t v)
{
    put16(b, (uint16_t)(v >> 16));
    put16(b, (uint16_t)v);
}

static void put_sized(emk_buf *b, emk_span v)
{
    put16(b, (uint16_t)v.len);
    forge_raw(b, v);
}

static void put_hex(emk_buf *b, const char *hex)
{
    if (hex)
        forge_hex(b, hex);
}

static void cut(emk_buf *b, size_t n)
{
    b->len -= n < b->len ? n : b->len;
}

/* A TPMT_PUBLIC on P-256.  x: what differs in an AK; NULL: another key. */
static void public_area(const forge *f, size_t key, uint32_t attributes, const fake_tpm *x,
                        emk_buf *b)
{
    emk_span point = forge_public(f, key);
    uint16_t scheme = attributes & EMK_TPM_SIGN ? EMK_TPM_ALG_ECDSA : EMK_TPM_ALG_NULL;
    uint16_t hash = EMK_TPM_ALG_SHA256;

    if (x && x->ak_scheme)
        scheme = x->ak_scheme;
    if (x && x->ak_hash)
        hash = x->ak_hash;
    put16(b, x && x->ak_type ? x->ak_type : EMK_TPM_ALG_ECC);
    put16(b, x && x->ak_name_alg ? x->ak_name_alg : EMK_TPM_ALG_SHA256);
    put32(b, attributes);
    put16(b, 0);                /* no policy */
    put16(b, EMK_TPM_ALG_NULL); /* symmetric */
    put16(b, scheme);
    if (scheme != EMK_TPM_ALG_NULL)
        put16(b, hash);
    put16(b, x && x->ak_curve ? x->ak_curve : EMK_TPM_CURVE_P256);
    put16(b, EMK_TPM_ALG_NULL); /* key derivation */
    put_sized(b, emk_span_of(point.p + 1, COORD_LEN));
    put_sized(b, emk_span_of(point.p + 1 + COORD_LEN, COORD_LEN));
}

/* --- certificates ------------------------------------------------------------------------------
 */

static void attribute(emk_buf *names, const char *oid, const char *value)
{
    emk_buf in;

    emk_buf_init(&in, ROOM);
    forge_hex(&in, oid);
    forge_wrap(&in, 0x06);
    forge_tlv(&in, 0x0c, emk_span_str(value));
    forge_wrap(&in, 0x30);
    forge_wrap(&in, 0x31);
    forge_raw(names, emk_buf_span(&in));
    emk_buf_done(&in);
}

static void ek_extensions(const fake_tpm *x, emk_buf *list)
{
    emk_buf value;

    emk_buf_init(&value, ROOM);
    if (x->ek_name) {
        forge_hex(&value, x->ek_name);
    } else {
        attribute(&value, "6781050201", "id:53494D00");
        attribute(&value, "6781050202", "simulator");
        attribute(&value, "6781050203", "id:00000001");
        forge_wrap(&value, 0x30);
        forge_wrap(&value, 0xa4);
        forge_wrap(&value, 0x30);
    }
    if (value.len > 0)
        forge_extension(list, OID_NAMES, !x->ek_name_not_critical, emk_buf_span(&value));
    emk_buf_done(&value);
    emk_buf_init(&value, ROOM);
    forge_hex(&value, x->ek_purpose ? x->ek_purpose : "3007 0605 6781050801");
    if (value.len > 0)
        forge_extension(list, OID_PURPOSES, false, emk_buf_span(&value));
    emk_buf_done(&value);
    forge_hex(list, x->ek_usage ? x->ek_usage : "300e0603551d0f0101ff040403020308");
    forge_hex(list,
              x->ek_ca ? "300f0603551d130101ff040530030101ff" : "300c0603551d130101ff04023000");
}

void fake_make_tpm_hello(const forge *f, const fake_tpm *x, fake_tpm_hello *out)
{
    emk_buf list, ca;

    emk_buf_init(&out->ek, ROOM);
    emk_buf_init(&out->middle, ROOM);
    emk_buf_init(&out->ak, ROOM);
    emk_buf_init(&list, ROOM);
    emk_buf_init(&ca, ROOM);
    ek_extensions(x, &list);
    forge_certificate(f,
                      &(forge_cert){.key = EK_KEY,
                                    .issuer_key = x->ek_signer ? x->ek_signer : 1,
                                    .issuer = "maker",
                                    .not_before = x->ek_from,
                                    .not_after = x->ek_to,
                                    .extensions = emk_buf_span(&list)},
                      &out->ek);
    put_hex(&out->ek, x->ek_tail);
    if (x->middle_no_ca)
        forge_hex(&ca, "300c0603551d130101ff04023000");
    else
        forge_ca(&ca);
    forge_certificate(f,
                      &(forge_cert){.key = 1,
                                    .issuer_key = x->middle_signer,
                                    .subject = "maker",
                                    .issuer = f->root,
                                    .not_after = x->middle_to,
                                    .extensions = emk_buf_span(&ca)},
                      &out->middle);
    public_area(f, AK_KEY, x->ak_attributes ? x->ak_attributes : AK_ATTRIBUTES, x, &out->ak);
    put_hex(&out->ak, x->ak_tail);
    cut(&out->ak, x->ak_cut);
    emk_buf_done(&ca);
    emk_buf_done(&list);
}

void fake_tpm_hello_done(fake_tpm_hello *h)
{
    emk_buf_done(&h->ek);
    emk_buf_done(&h->middle);
    emk_buf_done(&h->ak);
}

emk_tpm_hello fake_tpm_hello_of(const fake_tpm_hello *h, bool no_middle)
{
    return (emk_tpm_hello){.ek = emk_buf_span(&h->ek),
                           .issuers = {emk_buf_span(&h->middle)},
                           .n_issuers = no_middle ? 0 : 1,
                           .ak = emk_buf_span(&h->ak)};
}

/* --- the TPM's side of a credential ------------------------------------------------------------
 */

/* TPM2B(x) || TPM2B(y) */
static bool read_point(emk_span in, uint8_t point[POINT_LEN])
{
    emk_reader r;

    emk_reader_init(&r, in);
    point[0] = 0x04;
    for (size_t i = 0; i < 2; i++) {
        if (emk_read_u16be(&r) != COORD_LEN)
            return false;
        emk_read_copy(&r, point + 1 + i * COORD_LEN, COORD_LEN);
    }
    return emk_reader_at_end(&r);
}

static emk_status open_credential(const forge *f, const fake_tpm *x, const emk_tpm_credential *in,
                                  fake_tpm_proof *out, emk_error *e)
{
    uint8_t point[POINT_LEN], z[COORD_LEN], seed[EMK_SHA256_LEN];
    emk_span own = forge_public(f, EK_KEY);
    const emk_tpm_kdf k = {EMK_DIGEST_SHA256,
                           {z, sizeof z},
                           "IDENTITY",
                           {point + 1, COORD_LEN},
                           {own.p + 1, COORD_LEN}};
    fake_tpm_hello hello;
    emk_tpm_public ak;
    emk_tpm_name name;
    emk_status st;

    if (!read_point(emk_span_of(in->enc_secret, in->enc_secret_len), point))
        return emk_fail(e, EMK_E_SEALED, "sim: credential is not for this endorsement key", 0);
    fake_make_tpm_hello(f, x, &hello);
    st = emk_tpm_public_read(emk_buf_span(&hello.ak), &ak, e);
    if (st == EMK_OK)
        st = emk_tpm_public_name(f->crypto, &ak, &name, e);
    if (st == EMK_OK)
        st = emk_dh_p256(f->crypto, f->priv[EK_KEY], point, z, e);
    if (st == EMK_OK)
        st = emk_tpm_kdfe(f->crypto, &k, seed, sizeof seed, e);
    if (st == EMK_OK) {
        const emk_tpm_activation a = {.seed = {seed, sizeof seed},
                                      .name = &name,
                                      .id_object = {in->id_object, in->id_object_len}};

        st = emk_tpm_credential_open(f->crypto, &a, out->secret, &out->secret_len, e);
    }
    fake_tpm_hello_done(&hello);
    return st;
}

/* --- attestations ------------------------------------------------------------------------------
 */

static void attest_head(const fake_attest *x, uint16_t type, emk_span binding, emk_buf *b)
{
    uint8_t safe = x->safe ? x->safe : 1;

    put32(b, x->magic ? x->magic : 0xFF544347u);
    put16(b, x->type ? x->type : type);
    forge_hex(b, "0022 000b 1111111111111111111111111111111111111111111111111111111111111111");
    if (x->extra) {
        emk_buf extra;

        emk_buf_init(&extra, ROOM);
        forge_hex(&extra, x->extra);
        put_sized(b, emk_buf_span(&extra));
        emk_buf_done(&extra);
    } else {
        put_sized(b, binding);
    }
    forge_hex(b, "0000000000001000"); /* clock */
    put32(b, 7);                      /* resetCount */
    put32(b, 3);                      /* restartCount */
    forge_raw(b, emk_span_of(&safe, 1));
    forge_hex(b, "2026010100000001"); /* firmwareVersion */
}

static void signature(const forge *f, const fake_attest *x, emk_span msg, emk_buf *b)
{
    uint8_t sig[EMK_SIGN_LEN];

    if (emk_sign_make(f->key[x->signer ? x->signer : AK_KEY], msg, sig, NULL) != EMK_OK)
        abort();
    if (x->bad_signature)
        sig[EMK_SIGN_LEN - 1] ^= 1;
    if (x->zero_r)
        memset(sig, 0, COORD_LEN);
    put16(b, x->sig_scheme ? x->sig_scheme : EMK_TPM_ALG_ECDSA);
    put16(b, x->sig_hash ? x->sig_hash : EMK_TPM_ALG_SHA256);
    put_sized(b, emk_span_of(sig, COORD_LEN));
    put_sized(b, emk_span_of(sig + COORD_LEN, COORD_LEN));
    put_hex(b, x->sig_tail);
}

static void quote(const forge *f, const fake_tpm *x, emk_span binding, fake_tpm_proof *out)
{
    const fake_attest *q = &x->quote;
    emk_span values;
    uint8_t digest[EMK_SHA256_LEN];

    forge_hex(&out->values,
              x->pcr_values ? x->pcr_values
                            : "2222222222222222222222222222222222222222222222222222222222222222"
                              "3333333333333333333333333333333333333333333333333333333333333333");
    values = emk_buf_span(&out->values);
    if (emk_sha256(f->crypto, &values, 1, digest, NULL) != EMK_OK)
        abort();
    attest_head(q, EMK_TPM_ST_QUOTE, binding, &out->quote);
    forge_hex(&out->quote, q->selection ? q->selection : "00000001 000b 03 810000");
    if (q->digest)
        forge_hex(&out->quote, q->digest);
    else
        put_sized(&out->quote, emk_span_of(digest, sizeof digest));
    put_hex(&out->quote, q->tail);
    cut(&out->quote, q->cut);
    signature(f, q, emk_buf_span(&out->quote), &out->quote_sig);
}

static void certify(const forge *f, const fake_attest *x, size_t at, emk_span binding,
                    fake_tpm_proof *out)
{
    static const uint32_t ATTRIBUTES[] = {SIGNING_ATTRIBUTES, AGREEMENT_ATTRIBUTES};
    emk_span area;
    uint8_t hash[EMK_SHA256_LEN];

    public_area(f, x->key ? x->key : SIGNING + at, x->attributes ? x->attributes : ATTRIBUTES[at],
                NULL, &out->key[at]);
    put_hex(&out->key[at], x->key_tail);
    area = emk_buf_span(&out->key[at]);
    if (emk_sha256(f->crypto, &area, 1, hash, NULL) != EMK_OK)
        abort();
    attest_head(x, EMK_TPM_ST_CERTIFY, binding, &out->attest[at]);
    if (x->name) {
        forge_hex(&out->attest[at], x->name);
    } else {
        forge_hex(&out->attest[at], "0022 000b");
        forge_raw(&out->attest[at], emk_span_of(hash, sizeof hash));
    }
    forge_hex(&out->attest[at], "0000"); /* qualified name */
    put_hex(&out->attest[at], x->tail);
    cut(&out->attest[at], x->cut);
    signature(f, x, emk_buf_span(&out->attest[at]), &out->sig[at]);
}

emk_status fake_make_tpm_proof(const forge *f, const fake_tpm *x,
                               const emk_tpm_credential *credential, emk_span binding,
                               fake_tpm_proof *out, emk_error *e)
{
    emk_status st;

    *out = (fake_tpm_proof){0};
    st = open_credential(f, x, credential, out, e);
    if (st != EMK_OK)
        return st;
    if (x->secret_wrong)
        out->secret[0] ^= 1;
    if (x->secret_short)
        out->secret_len--;
    emk_buf_init(&out->quote, ROOM);
    emk_buf_init(&out->quote_sig, ROOM);
    emk_buf_init(&out->values, ROOM);
    for (size_t i = 0; i < 2; i++) {
        emk_buf_init(&out->key[i], ROOM);
        emk_buf_init(&out->attest[i], ROOM);
        emk_buf_init(&out->sig[i], ROOM);
    }
    quote(f, x, binding, out);
    certify(f, &x->signing, 0, binding, out);
    certify(f, &x->agreement, 1, binding, out);
    out->swapped = x->swap_keys;
    return EMK_OK;
}

void fake_tpm_proof_done(fake_tpm_proof *p)
{
    emk_buf_done(&p->quote);
    emk_buf_done(&p->quote_sig);
    emk_buf_done(&p->values);
    for (size_t i = 0; i < 2; i++) {
        emk_buf_done(&p->key[i]);
        emk_buf_done(&p->attest[i]);
        emk_buf_done(&p->sig[i]);
    }
    emk_wipe(p->secret, sizeof p->secret);
}

static emk_tpm_certified lend(const fake_tpm_proof *p, size_t i)
{
    return (emk_tpm_certified){emk_buf_span(&p->key[i]), emk_buf_span(&p->attest[i]),
                               emk_buf_span(&p->sig[i])};
}

emk_tpm_proof fake_tpm_proof_of(const fake_tpm_proof *p)
{
    return (emk_tpm_proof){.secret = {p->secret, p->secret_len},
                           .quote = emk_buf_span(&p->quote),
                           .quote_sig = emk_buf_span(&p->quote_sig),
                           .pcr_values = emk_buf_span(&p->values),
                           .signing = lend(p, p->swapped),
                           .agreement = lend(p, !p->swapped)};
}
