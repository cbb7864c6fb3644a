/* Every KEM here is a classical half (a curve), a post-quantum half (ML-KEM), or both: one
 * table, and one way through the code for each operation.  Keys and encs of hybrids are
 * ML-KEM's bytes followed by the curve's. */
#include "core/crypto/kem.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/crypto/dh.h"
#include "core/crypto/hash.h"
#include "core/crypto/hpke_internal.h"
#include "core/crypto/internal.h"
#include "core/crypto/kem_internal.h"
#include "core/crypto/random.h"

#define CANDIDATES     4u /* for the P-256 scalar of MLKEM768-P256 */
#define FIXED_M_LEN    32u
#define DERIVE_TRIES   256u /* [RFC 9180 7.1.3] */
#define CURVE_PUB_MAX  EMK_P256_PUBLIC_LEN
#define CONTEXT_MAX    (3 * CURVE_PUB_MAX)
#define HYBRID_LABEL_X "\\.//^\\" /* 5c 2e 2f 2f 5e 5c */
#define HYBRID_LABEL_P "MLKEM768-P256"

typedef struct kem_row {
    uint16_t id;
    emk_curve curve;
    bool pq;
    size_t private_len;
    const char *label; /* hybrids: the combiner's */
} kem_row;

static const kem_row ROWS[] = {
    {EMK_KEM_P256, EMK_CURVE_P256, false, 32, NULL},
    {EMK_KEM_X25519, EMK_CURVE_X25519, false, 32, NULL},
    {EMK_KEM_ML_KEM_768, EMK_CURVE_NONE, true, ML_KEM_SEED_LEN, NULL},
    {EMK_KEM_MLKEM768_P256, EMK_CURVE_P256, true, 32, HYBRID_LABEL_P},
    {EMK_KEM_XWING, EMK_CURVE_X25519, true, 32, HYBRID_LABEL_X},
};

/* A private key taken apart. */
typedef struct key_halves {
    uint8_t mlkem[ML_KEM_SEED_LEN];
    uint8_t scalar[32];
} key_halves;

struct emk_kem_private {
    const emk_crypto *c;
    const kem_row *row;
    emk_secret *halves; /* a key_halves */
    emk_kem_dh_fn dh;   /* NULL: the scalar is in halves */
    void *dh_self;
    uint8_t pub[EMK_KEM_PUBLIC_MAX];
};

static const kem_row *row_of(uint16_t kem)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (ROWS[i].id == kem)
            return &ROWS[i];
    }
    return NULL;
}

static size_t curve_len(const kem_row *row)
{
    return row->curve == EMK_CURVE_NONE ? 0 : emk_curve_public_len(row->curve);
}

static size_t pq_public_len(const kem_row *row)
{
    return row->pq ? ML_KEM_PUBLIC_LEN : 0;
}

static size_t pq_enc_len(const kem_row *row)
{
    return row->pq ? ML_KEM_ENC_LEN : 0;
}

size_t emk_kem_public_len(uint16_t kem)
{
    const kem_row *row = row_of(kem);

    return row ? pq_public_len(row) + curve_len(row) : 0;
}

size_t emk_kem_private_len(uint16_t kem)
{
    const kem_row *row = row_of(kem);

    return row ? row->private_len : 0;
}

size_t emk_kem_enc_len(uint16_t kem)
{
    const kem_row *row = row_of(kem);

    return row ? pq_enc_len(row) + curve_len(row) : 0;
}

bool emk_kem_is_supported(const emk_crypto *c, uint16_t kem)
{
    const kem_row *row = row_of(kem);

    if (!row || (row->pq && !c->has[EMK_CRYPTO_ML_KEM_768]))
        return false;
    if (row->curve == EMK_CURVE_P256)
        return c->has[EMK_CRYPTO_P256];
    return row->curve == EMK_CURVE_NONE || c->has[EMK_CRYPTO_X25519];
}

bool emk_kem_has_auth(uint16_t kem)
{
    const kem_row *row = row_of(kem);

    return row && !row->pq;
}

static emk_status find_row(const emk_crypto *c, uint16_t kem, const kem_row **out, emk_error *e)
{
    if (!emk_kem_is_supported(c, kem))
        return emk_fail(e, EMK_E_UNSUPPORTED, "kem: id", kem);
    *out = row_of(kem);
    return EMK_OK;
}

/* The first of n 32-byte candidates that is a scalar.  Time tells which was taken: that says
 * something about the refused ones only. */
static emk_status pick_scalar(const kem_row *row, emk_span candidates, uint8_t scalar[32],
                              emk_error *e)
{
    for (size_t at = 0; at + 32 <= candidates.len; at += 32) {
        if (row->curve == EMK_CURVE_P256 && !emk_p256_private_is_valid(candidates.p + at))
            continue;
        memcpy(scalar, candidates.p + at, 32);
        return EMK_OK;
    }
    return emk_fail(e, EMK_E_FORMAT, "kem: private key outside 1..n-1", 0);
}

/* seed -> SHAKE256 -> d || z || scalar candidates.  [draft-connolly-cfrg-xwing-kem 5.2] */
static emk_status split_hybrid(const emk_crypto *c, const kem_row *row, emk_span seed,
                               key_halves *out, emk_error *e)
{
    uint8_t wide[ML_KEM_SEED_LEN + 32 * CANDIDATES];
    size_t n = row->curve == EMK_CURVE_P256 ? CANDIDATES : 1;
    size_t len = ML_KEM_SEED_LEN + 32 * n;
    emk_status st;

    st = emk_shake256(c, seed, wide, len, e);
    if (st == EMK_OK)
        st = pick_scalar(row, emk_span_of(wide + ML_KEM_SEED_LEN, 32 * n), out->scalar, e);
    if (st == EMK_OK)
        memcpy(out->mlkem, wide, ML_KEM_SEED_LEN);
    emk_wipe(wide, sizeof wide);
    return st;
}

/* raw has the row's private_len. */
static emk_status split(const emk_crypto *c, const kem_row *row, emk_span raw, key_halves *out,
                        emk_error *e)
{
    if (row->pq && row->curve != EMK_CURVE_NONE)
        return split_hybrid(c, row, raw, out, e);
    if (!row->pq)
        return pick_scalar(row, raw, out->scalar, e);
    memcpy(out->mlkem, raw.p, sizeof out->mlkem);
    return EMK_OK;
}

static emk_status pq_public(const emk_crypto *c, const kem_row *row, const key_halves *h,
                            uint8_t *pub, emk_error *e)
{
    return row->pq ? emk_mlkem_public(c, h->mlkem, pub, e) : EMK_OK;
}

static emk_status halves_public(const emk_crypto *c, const kem_row *row, const key_halves *h,
                                uint8_t *pub, emk_error *e)
{
    emk_status st = pq_public(c, row, h, pub, e);

    if (st != EMK_OK || row->curve == EMK_CURVE_NONE)
        return st;
    return emk_ec_public(c, row->curve, h->scalar, pub + pq_public_len(row), e);
}

static emk_status raw_public(const emk_crypto *c, const kem_row *row, emk_span raw, uint8_t *pub,
                             emk_error *e)
{
    key_halves h = {0};
    emk_status st;

    st = split(c, row, raw, &h, e);
    if (st == EMK_OK)
        st = halves_public(c, row, &h, pub, e);
    emk_wipe(&h, sizeof h);
    return st;
}

/* Works the public key out and hands both to the caller. */
static emk_status give_pair(const emk_crypto *c, const kem_row *row, const uint8_t *made,
                            uint8_t *priv, uint8_t *pub, emk_error *e)
{
    uint8_t made_pub[EMK_KEM_PUBLIC_MAX];
    emk_status st;

    st = raw_public(c, row, emk_span_of(made, row->private_len), made_pub, e);
    if (st != EMK_OK)
        return st;
    memcpy(priv, made, row->private_len);
    memcpy(pub, made_pub, emk_kem_public_len(row->id));
    return EMK_OK;
}

static emk_status generate_curve(const emk_crypto *c, const kem_row *row, uint8_t *priv,
                                 uint8_t *pub, emk_error *e)
{
    if (row->curve == EMK_CURVE_P256)
        return emk_p256_generate(c, priv, pub, e);
    return emk_x25519_generate(c, priv, pub, e);
}

emk_status emk_kem_generate(const emk_crypto *c, uint16_t kem, uint8_t *priv, uint8_t *pub,
                            emk_error *e)
{
    uint8_t made[EMK_KEM_PRIVATE_MAX];
    const kem_row *row = NULL;
    emk_status st;

    st = find_row(c, kem, &row, e);
    if (st != EMK_OK)
        return st;
    if (!row->pq)
        return generate_curve(c, row, priv, pub, e);
    st = emk_random_secret(c, made, row->private_len, e);
    if (st == EMK_OK)
        st = give_pair(c, row, made, priv, pub, e);
    emk_wipe(made, sizeof made);
    return st;
}

/* [RFC 9180 7.1.3]; bitmask 0xff changes nothing and is left out. */
static emk_status derive_p256(const emk_labeled *l, const uint8_t prk[32], uint8_t *priv,
                              emk_error *e)
{
    for (unsigned i = 0; i < DERIVE_TRIES; i++) {
        uint8_t counter = (uint8_t)i;
        emk_label label = {"candidate", emk_span_of(&counter, 1)};
        emk_status st = emk_labeled_expand(l, prk, label, priv, 32, e);

        if (st != EMK_OK || emk_p256_private_is_valid(priv))
            return st;
    }
    return emk_fail(e, EMK_E_CRYPTO, "kem: no key from this material", 0);
}

static emk_status derive_curve(const emk_labeled *l, const kem_row *row, emk_span ikm,
                               uint8_t *priv, emk_error *e)
{
    emk_span none = {NULL, 0};
    uint8_t prk[32];
    emk_status st;

    st = emk_labeled_extract(l, none, (emk_label){"dkp_prk", ikm}, prk, e);
    if (st == EMK_OK)
        st = row->curve == EMK_CURVE_P256
                 ? derive_p256(l, prk, priv, e)
                 : emk_labeled_expand(l, prk, (emk_label){"sk", none}, priv, 32, e);
    emk_wipe(prk, sizeof prk);
    return st;
}

emk_status emk_kem_derive(const emk_crypto *c, uint16_t kem, emk_span ikm, uint8_t *priv,
                          uint8_t *pub, emk_error *e)
{
    uint8_t made[EMK_KEM_PRIVATE_MAX];
    const kem_row *row = NULL;
    emk_labeled l;
    emk_status st;

    st = find_row(c, kem, &row, e);
    if (st != EMK_OK)
        return st;
    if (ikm.len < row->private_len || ikm.len > EMK_KEM_IKM_MAX)
        return emk_fail(e, EMK_E_LIMIT, "kem: length of key material", ikm.len);
    emk_labeled_init_kem(&l, c, kem);
    st = row->pq ? emk_labeled_derive(&l, ikm, "DeriveKeyPair", made, row->private_len, e)
                 : derive_curve(&l, row, ikm, made, e);
    if (st == EMK_OK)
        st = give_pair(c, row, made, priv, pub, e);
    emk_wipe(made, sizeof made);
    return st;
}

static emk_status check_curve_public(const emk_crypto *c, const kem_row *row, const uint8_t *pub,
                                     emk_error *e)
{
    /* any 32 bytes are an X25519 key; those of low order show in the exchange */
    return row->curve == EMK_CURVE_P256 ? emk_p256_check_public(c, pub, e) : EMK_OK;
}

emk_status emk_kem_check_public(const emk_crypto *c, uint16_t kem, emk_span pub, emk_error *e)
{
    const kem_row *row = NULL;
    emk_status st;

    st = find_row(c, kem, &row, e);
    if (st != EMK_OK)
        return st;
    if (pub.len != emk_kem_public_len(kem))
        return emk_fail(e, EMK_E_FORMAT, "kem: length of a public key", pub.len);
    if (row->pq)
        st = emk_mlkem_check_public(c, pub.p, e);
    return st == EMK_OK ? check_curve_public(c, row, pub.p + pq_public_len(row), e) : st;
}

static emk_status private_alloc(const emk_crypto *c, const kem_row *row, emk_kem_private **out,
                                emk_error *e)
{
    emk_kem_private *k = emk_alloc(1, sizeof *k);
    emk_status st;

    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "kem: private key", sizeof *k);
    k->c = c;
    k->row = row;
    st = emk_secret_new(sizeof(key_halves), &k->halves, e);
    if (st != EMK_OK) {
        emk_free(k);
        return st;
    }
    *out = k;
    return EMK_OK;
}

/* key_halves has only bytes, so any address will do. */
static key_halves *halves_of(const emk_kem_private *k)
{
    return (key_halves *)emk_secret_bytes(k->halves);
}

emk_status emk_kem_private_new(const emk_crypto *c, uint16_t kem, emk_span raw,
                               emk_kem_private **out, emk_error *e)
{
    const kem_row *row = NULL;
    emk_kem_private *k;
    emk_status st;

    st = find_row(c, kem, &row, e);
    if (st != EMK_OK)
        return st;
    if (raw.len != row->private_len)
        return emk_fail(e, EMK_E_FORMAT, "kem: length of a private key", raw.len);
    st = private_alloc(c, row, &k, e);
    if (st != EMK_OK)
        return st;
    st = split(c, row, raw, halves_of(k), e);
    if (st == EMK_OK)
        st = halves_public(c, row, halves_of(k), k->pub, e);
    if (st != EMK_OK) {
        emk_kem_private_free(k);
        return st;
    }
    *out = k;
    return EMK_OK;
}

static emk_status check_hardware(const emk_crypto *c, const kem_row *row,
                                 const emk_kem_hardware *hw, emk_error *e)
{
    if (row->curve != EMK_CURVE_P256 || !hw->dh)
        return emk_fail(e, EMK_E_USAGE, "kem: no hardware keys for this KEM", row->id);
    if (hw->seed.len != (row->pq ? ML_KEM_SEED_LEN : 0))
        return emk_fail(e, EMK_E_FORMAT, "kem: length of the ML-KEM seed", hw->seed.len);
    if (hw->public_key.len != EMK_P256_PUBLIC_LEN)
        return emk_fail(e, EMK_E_FORMAT, "kem: length of a public key", hw->public_key.len);
    return emk_p256_check_public(c, hw->public_key.p, e);
}

emk_status emk_kem_private_new_hardware(const emk_crypto *c, uint16_t kem,
                                        const emk_kem_hardware *hw, emk_kem_private **out,
                                        emk_error *e)
{
    const kem_row *row = NULL;
    emk_kem_private *k;
    emk_status st;

    st = find_row(c, kem, &row, e);
    if (st == EMK_OK)
        st = check_hardware(c, row, hw, e);
    if (st == EMK_OK)
        st = private_alloc(c, row, &k, e);
    if (st != EMK_OK)
        return st;
    k->dh = hw->dh;
    k->dh_self = hw->self;
    memcpy(k->pub + pq_public_len(row), hw->public_key.p, EMK_P256_PUBLIC_LEN);
    if (row->pq)
        memcpy(halves_of(k)->mlkem, hw->seed.p, ML_KEM_SEED_LEN);
    st = pq_public(c, row, halves_of(k), k->pub, e);
    if (st != EMK_OK) {
        emk_kem_private_free(k);
        return st;
    }
    *out = k;
    return EMK_OK;
}

uint16_t emk_kem_private_id(const emk_kem_private *k)
{
    return k->row->id;
}

emk_span emk_kem_private_public(const emk_kem_private *k)
{
    return emk_span_of(k->pub, emk_kem_public_len(k->row->id));
}

const emk_crypto *emk_kem_private_crypto(const emk_kem_private *k)
{
    return k->c;
}

void emk_kem_private_free(emk_kem_private *k)
{
    if (!k)
        return;
    emk_secret_free(k->halves);
    emk_free(k);
}

/* The curve half of k times peer. */
static emk_status private_dh(const emk_kem_private *k, const uint8_t *peer, uint8_t x[32],
                             emk_error *e)
{
    EVP_PKEY *mine;
    emk_status st;

    if (k->dh) {
        /* on the curve, or a chip's firmware could be asked about another curve */
        st = emk_p256_check_public(k->c, peer, e);
        return st == EMK_OK ? k->dh(k->dh_self, peer, x, e) : st;
    }
    st = emk_ec_import(k->c, k->row->curve, halves_of(k)->scalar, &mine, e);
    if (st != EMK_OK)
        return st;
    st = emk_ec_derive(k->c, k->row->curve, mine, peer, x, e);
    EVP_PKEY_free(mine);
    return st;
}

/* [RFC 9180 4.1]; context is enc || pkR, and pkS in auth mode. */
static emk_status extract_and_expand(const emk_crypto *c, const kem_row *row, emk_span dh,
                                     emk_span context, uint8_t secret[32], emk_error *e)
{
    emk_span none = {NULL, 0};
    uint8_t prk[32], made[EMK_KEM_SECRET_LEN];
    emk_labeled l;
    emk_status st;

    emk_labeled_init_kem(&l, c, row->id);
    st = emk_labeled_extract(&l, none, (emk_label){"eae_prk", dh}, prk, e);
    if (st == EMK_OK)
        st = emk_labeled_expand(&l, prk, (emk_label){"shared_secret", context}, made, sizeof made,
                                e);
    if (st == EMK_OK)
        memcpy(secret, made, sizeof made);
    emk_wipe(prk, sizeof prk);
    emk_wipe(made, sizeof made);
    return st;
}

/* The results of both halves and the public bytes that go into the shared secret. */
typedef struct exchange {
    uint8_t pq[32];
    uint8_t dh[64]; /* the second half: AuthEncap's */
    size_t dh_len;
    const uint8_t *curve_enc;
    const uint8_t *curve_pub;
    const uint8_t *sender_pub; /* NULL: not auth */
} exchange;

/* [draft-connolly-cfrg-xwing-kem 5.3] [draft-irtf-cfrg-hybrid-kems] */
static emk_status combine_hybrid(const emk_crypto *c, const kem_row *row, const exchange *x,
                                 uint8_t secret[32], emk_error *e)
{
    size_t n = curve_len(row);
    const emk_span parts[] = {emk_span_of(x->pq, sizeof x->pq), emk_span_of(x->dh, 32),
                              emk_span_of(x->curve_enc, n), emk_span_of(x->curve_pub, n),
                              emk_span_str(row->label)};

    return emk_sha3_256(c, parts, sizeof parts / sizeof parts[0], secret, e);
}

static emk_status combine(const emk_crypto *c, const kem_row *row, const exchange *x,
                          uint8_t secret[32], emk_error *e)
{
    uint8_t context[CONTEXT_MAX];
    size_t n = curve_len(row);

    if (row->curve == EMK_CURVE_NONE) {
        memcpy(secret, x->pq, sizeof x->pq);
        return EMK_OK;
    }
    if (row->pq)
        return combine_hybrid(c, row, x, secret, e);
    memcpy(context, x->curve_enc, n);
    memcpy(context + n, x->curve_pub, n);
    if (x->sender_pub)
        memcpy(context + 2 * n, x->sender_pub, n);
    return extract_and_expand(c, row, emk_span_of(x->dh, x->dh_len),
                              emk_span_of(context, x->sender_pub ? 3 * n : 2 * n), secret, e);
}

/* fixed: the curve's part, candidates of 32 bytes. */
static emk_status ephemeral(const emk_crypto *c, const kem_row *row, const emk_span *fixed,
                            EVP_PKEY **key, uint8_t *pub, emk_error *e)
{
    uint8_t scalar[32];
    emk_status st;

    if (!fixed)
        return emk_ec_generate(c, row->curve, key, pub, e);
    st = pick_scalar(row, *fixed, scalar, e);
    if (st == EMK_OK)
        st = emk_ec_public(c, row->curve, scalar, pub, e);
    if (st == EMK_OK)
        st = emk_ec_import(c, row->curve, scalar, key, e);
    emk_wipe(scalar, sizeof scalar);
    return st;
}

static emk_status encap_curve(const emk_crypto *c, const kem_row *row, const emk_kem_encap_in *in,
                              exchange *x, uint8_t *enc, emk_error *e)
{
    const uint8_t *peer = in->pub.p + pq_public_len(row);
    size_t m = row->pq ? FIXED_M_LEN : 0;
    emk_span rest = {NULL, 0};
    EVP_PKEY *key = NULL;
    emk_status st;

    if (in->fixed)
        rest = emk_span_of(in->fixed->p + m, in->fixed->len - m);
    st = ephemeral(c, row, in->fixed ? &rest : NULL, &key, enc, e);
    if (st != EMK_OK)
        return st;
    st = emk_ec_derive(c, row->curve, key, peer, x->dh, e);
    EVP_PKEY_free(key);
    if (st == EMK_OK && in->sender) {
        st = private_dh(in->sender, peer, x->dh + 32, e);
        x->sender_pub = in->sender->pub;
    }
    x->dh_len = in->sender ? 64 : 32;
    x->curve_enc = enc;
    x->curve_pub = peer;
    return st;
}

static emk_status check_fixed(const kem_row *row, const emk_span *fixed, emk_error *e)
{
    size_t m = row->pq ? FIXED_M_LEN : 0;
    size_t max = row->curve == EMK_CURVE_NONE ? m : m + 32;

    if (row->pq && row->curve == EMK_CURVE_P256)
        max = m + (size_t)32 * CANDIDATES;
    if (!fixed)
        return EMK_OK;
    if (fixed->len < m || fixed->len > max || fixed->len % 32 != 0 || (max > m && fixed->len == m))
        return emk_fail(e, EMK_E_USAGE, "kem: length of the fixed input", fixed->len);
    return EMK_OK;
}

static emk_status encap_halves(const emk_crypto *c, const kem_row *row, const emk_kem_encap_in *in,
                               exchange *x, uint8_t *enc, emk_error *e)
{
    const uint8_t *m = in->fixed ? in->fixed->p : NULL;
    emk_status st = EMK_OK;

    if (row->pq)
        st = emk_mlkem_encap(c, in->pub.p, m, enc, x->pq, e);
    if (st == EMK_OK && row->curve != EMK_CURVE_NONE)
        st = encap_curve(c, row, in, x, enc + pq_enc_len(row), e);
    return st;
}

emk_status emk_kem_encap_full(const emk_crypto *c, const emk_kem_encap_in *in, uint8_t *enc,
                              uint8_t secret[32], emk_error *e)
{
    uint8_t made[EMK_KEM_ENC_MAX];
    exchange x = {0};
    const kem_row *row = NULL;
    emk_status st;

    st = find_row(c, in->kem, &row, e);
    if (st == EMK_OK)
        st = check_fixed(row, in->fixed, e);
    if (st != EMK_OK)
        return st;
    if (in->pub.len != emk_kem_public_len(in->kem))
        return emk_fail(e, EMK_E_FORMAT, "kem: length of a public key", in->pub.len);
    if (in->sender && in->sender->row != row)
        return emk_fail(e, EMK_E_USAGE, "kem: sender's key is of another KEM", in->kem);
    st = encap_halves(c, row, in, &x, made, e);
    if (st == EMK_OK)
        st = combine(c, row, &x, secret, e);
    if (st == EMK_OK)
        memcpy(enc, made, emk_kem_enc_len(in->kem));
    emk_wipe(&x, sizeof x);
    return st;
}

emk_status emk_kem_encap(const emk_crypto *c, uint16_t kem, emk_span pub, uint8_t *enc,
                         uint8_t secret[32], emk_error *e)
{
    emk_kem_encap_in in = {.kem = kem, .pub = pub};

    return emk_kem_encap_full(c, &in, enc, secret, e);
}

// NOLINTNEXTLINE(readability-function-size): its public twin and one more
emk_status emk_kem_encap_fixed(const emk_crypto *c, uint16_t kem, emk_span pub, emk_span fixed,
                               uint8_t *enc, uint8_t secret[32], emk_error *e)
{
    emk_kem_encap_in in = {.kem = kem, .pub = pub, .fixed = &fixed};

    return emk_kem_encap_full(c, &in, enc, secret, e);
}

static emk_status decap_curve(const emk_kem_private *k, const uint8_t *enc, emk_span sender_public,
                              exchange *x, emk_error *e)
{
    emk_status st = private_dh(k, enc, x->dh, e);

    if (st == EMK_E_FORMAT)
        return emk_fail(e, EMK_E_SEALED, "kem: enc", 0);
    if (st == EMK_OK && sender_public.len)
        st = private_dh(k, sender_public.p, x->dh + 32, e);
    x->sender_pub = sender_public.len ? sender_public.p : NULL;
    x->dh_len = sender_public.len ? 64 : 32;
    x->curve_enc = enc;
    x->curve_pub = k->pub + pq_public_len(k->row);
    return st;
}

emk_status emk_kem_decap_full(const emk_kem_private *k, emk_span enc, emk_span sender_public,
                              uint8_t secret[32], emk_error *e)
{
    exchange x = {0};
    emk_status st = EMK_OK;

    if (enc.len != emk_kem_enc_len(k->row->id))
        return emk_fail(e, EMK_E_SEALED, "kem: enc", 0);
    if (sender_public.len && sender_public.len != emk_kem_public_len(k->row->id))
        return emk_fail(e, EMK_E_FORMAT, "kem: length of a public key", sender_public.len);
    if (k->row->pq)
        st = emk_mlkem_decap(k->c, halves_of(k)->mlkem, enc.p, x.pq, e);
    if (st == EMK_OK && k->row->curve != EMK_CURVE_NONE)
        st = decap_curve(k, enc.p + pq_enc_len(k->row), sender_public, &x, e);
    if (st == EMK_OK)
        st = combine(k->c, k->row, &x, secret, e);
    emk_wipe(&x, sizeof x);
    return st;
}

emk_status emk_kem_decap(const emk_kem_private *k, emk_span enc, uint8_t secret[32], emk_error *e)
{
    return emk_kem_decap_full(k, enc, emk_span_of(NULL, 0), secret, e);
}
