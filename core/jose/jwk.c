/* A JWK is turned into the SubjectPublicKeyInfo of the same key, so that keys from certificates
 * and keys from JSON pass the same checks, and the thumbprint is made from what was checked. */
#include "core/jose/jwk.h"

#include "core/base/alloc.h"
#include "core/base/writer.h"
#include "core/codec/base64url.h"
#include "core/codec/der.h"
#include "core/crypto/hash.h"
#include "core/crypto/pubkey.h"
#include "core/jose/object.h"

#define P256_LEN     32u
#define P384_LEN     48u
#define RSA_N_MAX    EMK_X509_RSA_MAX
#define RSA_E_MAX    8u
#define PART_MAX     RSA_N_MAX /* bytes of one binary member */
#define PART_TEXT    (EMK_BASE64URL_CHARS(PART_MAX) + 1)
#define WORD_MAX     32u /* bytes of a kty, crv, use, alg */
#define KEY_OPS_MAX  8u
#define SPKI_MAX     (RSA_N_MAX + 64u)
#define CANON_MAX    (PART_TEXT + 128u)
#define ALL_ALGS     UINT32_MAX
#define DER_LONG_TWO 0x82u

struct emk_jwk {
    emk_pubkey *key; /* owned */
    uint32_t algs;
    uint8_t thumbprint[EMK_SHA256_LEN];
    char kid[EMK_JOSE_ID_MAX];
};

struct emk_jwks {
    emk_jwk *key[EMK_JWKS_KEYS]; /* owned */
    size_t n;
};

/* "Ed25519" stands behind EdDSA, so that the first name found is the usual one. */
static const struct alg_row {
    emk_jose_alg alg;
    const char *name;
    emk_pubkey_alg does;
} ALGS[] = {
    {EMK_JOSE_ES256, "ES256", EMK_PUBKEY_ES256},   {EMK_JOSE_ES384, "ES384", EMK_PUBKEY_ES384},
    {EMK_JOSE_EDDSA, "EdDSA", EMK_PUBKEY_ED25519}, {EMK_JOSE_EDDSA, "Ed25519", EMK_PUBKEY_ED25519},
    {EMK_JOSE_RS256, "RS256", EMK_PUBKEY_RS256},   {EMK_JOSE_PS256, "PS256", EMK_PUBKEY_PS256},
};

#define N_ALGS (sizeof ALGS / sizeof ALGS[0])

const char *emk_jose_alg_name(emk_jose_alg alg)
{
    for (size_t i = 0; i < N_ALGS; i++)
        if (ALGS[i].alg == alg)
            return ALGS[i].name;
    return "";
}

emk_jose_alg emk_jose_alg_find(emk_span name)
{
    for (size_t i = 0; i < N_ALGS; i++)
        if (emk_span_equal(name, emk_span_str(ALGS[i].name)))
            return ALGS[i].alg;
    return EMK_JOSE_NONE_OF_OURS;
}

static uint32_t algs_of_kind(emk_x509_key kind)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < N_ALGS; i++)
        if (emk_pubkey_fits(kind, ALGS[i].does))
            bits |= EMK_JOSE_BIT(ALGS[i].alg);
    return bits;
}

/* --- members ---------------------------------------------------------------------------- */

typedef struct part {
    uint8_t bytes[PART_MAX];
    size_t len;
    bool is_there;
} part;

typedef enum part_id { PART_X, PART_Y, PART_N, PART_E, N_PARTS } part_id;

typedef struct members {
    char kty[WORD_MAX], crv[WORD_MAX], use[WORD_MAX], alg[WORD_MAX];
    char kid[EMK_JOSE_ID_MAX];
    bool has_ops, may_verify;
    part parts[N_PARTS];
} members;

static const char *const NAMES[] = {
    "x", "y", "n", "e",  "kty", "crv", "use", "alg", "kid",  "key_ops",
    "d", "p", "q", "dp", "dq",  "qi",  "oth", "k",   "priv",
};

enum { NAME_KTY = N_PARTS, NAME_CRV, NAME_USE, NAME_ALG, NAME_KID, NAME_OPS, NAME_PRIVATE };

#define N_NAMES (sizeof NAMES / sizeof NAMES[0])

static void read_part(emk_json *j, part *out)
{
    char text[PART_TEXT];
    size_t len = 0;

    if (!emk_jose_read_text(j, text, sizeof text))
        return;
    if (emk_base64url_decode(emk_span_str(text), out->bytes, sizeof out->bytes, &len, NULL) !=
            EMK_OK ||
        len == 0)
        emk_json_fail(j, EMK_E_FORMAT, "jwk: base64url", j->text_off);
    out->len = len;
    out->is_there = true;
}

/* What it says when a key may do more is ignored; that it must be able to verify is not. */
static void read_ops(emk_json *j, members *m)
{
    char op[WORD_MAX];
    size_t n = 0;

    m->has_ops = true;
    (void)emk_json_expect(j, EMK_JSON_ARRAY_BEGIN);
    while (emk_json_ok(j) && emk_json_next(j) == EMK_JSON_STRING) {
        size_t len = 0;

        if (n++ == KEY_OPS_MAX)
            emk_json_fail(j, EMK_E_LIMIT, "jwk: key_ops", n);
        if (!emk_json_copy_string(j, op, sizeof op, &len))
            return;
        if (len != strlen(op) || (m->may_verify && strcmp(op, "verify") == 0))
            emk_json_fail(j, EMK_E_FORMAT, "jwk: key_ops", j->text_off);
        m->may_verify = m->may_verify || strcmp(op, "verify") == 0;
    }
    if (emk_json_ok(j) && j->token != EMK_JSON_ARRAY_END)
        emk_json_fail(j, EMK_E_FORMAT, "jwk: key_ops", j->pos);
}

static void read_member(emk_json *j, size_t i, members *m)
{
    char *const words[] = {m->kty, m->crv, m->use, m->alg};

    if (i < N_PARTS)
        read_part(j, &m->parts[i]);
    else if (i < NAME_KID)
        (void)emk_jose_read_text(j, words[i - N_PARTS], WORD_MAX);
    else if (i == NAME_KID)
        (void)emk_jose_read_text(j, m->kid, sizeof m->kid);
    else if (i == NAME_OPS)
        read_ops(j, m);
    else if (i < N_NAMES)
        emk_json_fail(j, EMK_E_FORMAT, "jwk: a private or shared key", j->text_off);
    else
        emk_json_skip_value(j);
}

static emk_status read_members(emk_span json, members *m, emk_error *e)
{
    emk_jose_text t;
    emk_jose_object o;
    emk_status st;
    size_t i;

    st = emk_jose_text_open(&t, json, EMK_JWK_MAX, e);
    if (st != EMK_OK)
        return st;
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, NAMES, N_NAMES, &i))
        read_member(&t.j, i, m);
    return emk_jose_text_close(&t, e);
}

/* --- to SubjectPublicKeyInfo ---------------------------------------------------------- */

static const uint8_t HEAD_P256[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
static const uint8_t HEAD_P384[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                    0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
                                    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00, 0x04};
static const uint8_t HEAD_ED25519[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                       0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
static const uint8_t ALG_RSA[] = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                  0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};

static emk_span part_span(const part *p)
{
    return emk_span_of(p->bytes, p->len);
}

static emk_status put_curve(const members *m, emk_writer *w, emk_error *e)
{
    const part *x = &m->parts[PART_X], *y = &m->parts[PART_Y];
    bool p256 = strcmp(m->crv, "P-256") == 0;
    size_t len = p256 ? P256_LEN : P384_LEN;

    if (!p256 && strcmp(m->crv, "P-384") != 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "jwk: curve", 0);
    if (x->len != len || y->len != len)
        return emk_fail(e, EMK_E_FORMAT, "jwk: coordinates", x->len);
    emk_write_bytes(w, p256 ? emk_span_of(HEAD_P256, sizeof HEAD_P256)
                            : emk_span_of(HEAD_P384, sizeof HEAD_P384));
    emk_write_bytes(w, part_span(x));
    emk_write_bytes(w, part_span(y));
    return EMK_OK;
}

static emk_status put_okp(const members *m, emk_writer *w, emk_error *e)
{
    const part *x = &m->parts[PART_X];

    if (strcmp(m->crv, "Ed25519") != 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "jwk: curve", 0);
    if (x->len != P256_LEN || m->parts[PART_Y].is_there)
        return emk_fail(e, EMK_E_FORMAT, "jwk: coordinates", x->len);
    emk_write_bytes(w, emk_span_of(HEAD_ED25519, sizeof HEAD_ED25519));
    emk_write_bytes(w, part_span(x));
    return EMK_OK;
}

/* Lengths are always written in two bytes' form where the value is that long. */
static size_t head_len(size_t len)
{
    return len < 0x80 ? 2 : len < 0x100 ? 3 : 4;
}

static void put_head(emk_writer *w, uint8_t tag, size_t len)
{
    emk_write_u8(w, tag);
    if (len >= 0x100) {
        emk_write_u8(w, DER_LONG_TWO);
        emk_write_u16be(w, (uint16_t)len);
        return;
    }
    if (len >= 0x80)
        emk_write_u8(w, DER_LONG_TWO - 1);
    emk_write_u8(w, (uint8_t)len);
}

static size_t integer_len(const part *p)
{
    return p->len + (p->bytes[0] >> 7);
}

static void put_integer(emk_writer *w, const part *p)
{
    put_head(w, 0x02, integer_len(p));
    if (p->bytes[0] >> 7)
        emk_write_u8(w, 0);
    emk_write_bytes(w, part_span(p));
}

static emk_status put_rsa(const members *m, emk_writer *w, emk_error *e)
{
    const part *n = &m->parts[PART_N], *x = &m->parts[PART_E];
    size_t pair, bits;

    if (n->len == 0 || x->len == 0 || n->bytes[0] == 0 || x->bytes[0] == 0)
        return emk_fail(e, EMK_E_FORMAT, "jwk: n or e", n->len);
    if (x->len > RSA_E_MAX)
        return emk_fail(e, EMK_E_LIMIT, "jwk: e", x->len);
    if ((n->bytes[n->len - 1] & 1) == 0 || (x->bytes[x->len - 1] & 1) == 0 ||
        (x->len == 1 && x->bytes[0] == 1)) /* then anything is its own signature */
        return emk_fail(e, EMK_E_FORMAT, "jwk: n or e", 0);
    pair = head_len(integer_len(n)) + integer_len(n) + head_len(integer_len(x)) + integer_len(x);
    bits = 1 + head_len(pair) + pair;
    put_head(w, 0x30, sizeof ALG_RSA + head_len(bits) + bits);
    emk_write_bytes(w, emk_span_of(ALG_RSA, sizeof ALG_RSA));
    put_head(w, 0x03, bits);
    emk_write_u8(w, 0);
    put_head(w, 0x30, pair);
    put_integer(w, n);
    put_integer(w, x);
    return EMK_OK;
}

static emk_status put_spki(const members *m, emk_writer *w, emk_error *e)
{
    if (strcmp(m->kty, "EC") == 0)
        return put_curve(m, w, e);
    if (strcmp(m->kty, "OKP") == 0)
        return put_okp(m, w, e);
    if (strcmp(m->kty, "RSA") == 0)
        return put_rsa(m, w, e);
    if (m->kty[0] == 0)
        return emk_fail(e, EMK_E_FORMAT, "jwk: no kty", 0);
    return emk_fail(e, EMK_E_UNSUPPORTED, "jwk: kty", 0);
}

/* --- thumbprints [RFC 7638] ------------------------------------------------------------- */

static void put_text(emk_writer *w, const char *text)
{
    emk_write_bytes(w, emk_span_str(text));
}

static emk_status put_base64url(emk_writer *w, emk_span bytes, emk_error *e)
{
    char text[PART_TEXT];
    size_t len = 0;
    emk_status st = emk_base64url_encode(bytes, text, sizeof text, &len, e);

    if (st == EMK_OK)
        emk_write_bytes(w, emk_span_of(text, len));
    return st;
}

static emk_status put_member(emk_writer *w, const char *before, emk_span bytes, emk_error *e)
{
    put_text(w, before);
    return put_base64url(w, bytes, e);
}

static emk_span without_sign(emk_span integer)
{
    return integer.len > 1 && integer.p[0] == 0 ? emk_span_of(integer.p + 1, integer.len - 1)
                                                : integer;
}

static emk_status put_canonical_rsa(emk_span bits, emk_writer *w, emk_error *e)
{
    emk_der d, in;
    emk_span n, x;
    emk_status st;

    emk_der_init(&d, bits);
    emk_der_enter(&d, EMK_DER_SEQUENCE, &in);
    n = without_sign(emk_der_read_integer(&in));
    x = without_sign(emk_der_read_integer(&in));
    emk_der_leave(&d, &in);
    st = emk_der_finish(&d, e);
    if (st == EMK_OK)
        st = put_member(w, "{\"e\":\"", x, e);
    if (st == EMK_OK)
        st = put_member(w, "\",\"kty\":\"RSA\",\"n\":\"", n, e);
    put_text(w, "\"}");
    return st;
}

static emk_status put_canonical(emk_x509_key kind, emk_span bits, emk_writer *w, emk_error *e)
{
    size_t half = bits.len / 2; /* 04 || x || y */
    emk_status st;

    if (kind == EMK_X509_KEY_RSA)
        return put_canonical_rsa(bits, w, e);
    if (kind == EMK_X509_KEY_ED25519) {
        st = put_member(w, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"", bits, e);
        put_text(w, "\"}");
        return st;
    }
    put_text(w, kind == EMK_X509_KEY_P256 ? "{\"crv\":\"P-256\"" : "{\"crv\":\"P-384\"");
    st = put_member(w, ",\"kty\":\"EC\",\"x\":\"", emk_span_of(bits.p + 1, half), e);
    if (st == EMK_OK)
        st = put_member(w, "\",\"y\":\"", emk_span_of(bits.p + 1 + half, half), e);
    put_text(w, "\"}");
    return st;
}

static emk_status make_thumbprint(const emk_crypto *c, emk_span spki, uint8_t out[EMK_SHA256_LEN],
                                  emk_error *e)
{
    uint8_t text[CANON_MAX];
    emk_writer w;
    emk_span bits, whole;
    emk_x509_key kind;
    emk_status st;

    emk_writer_init(&w, text, sizeof text);
    st = emk_x509_read_key(spki, &kind, &bits, e);
    if (st == EMK_OK)
        st = put_canonical(kind, bits, &w, e);
    if (st != EMK_OK)
        return st;
    if (w.full)
        return emk_fail(e, EMK_E_LIMIT, "jwk: size of a key", w.pos);
    whole = emk_writer_span(&w);
    return emk_sha256(c, &whole, 1, out, e);
}

/* --- keys --------------------------------------------------------------------------------- */

emk_status emk_jwk_from_spki(const emk_crypto *c, emk_span spki, uint32_t algs, emk_jwk **out,
                             emk_error *e)
{
    emk_jwk *k = emk_alloc(1, sizeof *k);
    emk_status st;

    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "jwk: key", sizeof *k);
    st = emk_pubkey_new(c, spki, &k->key, e);
    if (st == EMK_OK) {
        k->algs = algs & algs_of_kind(emk_pubkey_kind(k->key));
        st = make_thumbprint(c, spki, k->thumbprint, e);
    }
    if (st == EMK_OK && k->algs == 0)
        st = emk_fail(e, EMK_E_USAGE, "jwk: none of these algorithms fits the key", algs);
    if (st != EMK_OK) {
        emk_jwk_free(k);
        return st;
    }
    *out = k;
    return EMK_OK;
}

/* The algorithms that use, key_ops and alg leave. */
static emk_status allowed_algs(const members *m, uint32_t *algs, emk_error *e)
{
    emk_jose_alg alg = emk_jose_alg_find(emk_span_str(m->alg));

    if (m->use[0] && strcmp(m->use, "sig") != 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "jwk: use", 0);
    if (m->has_ops && !m->may_verify)
        return emk_fail(e, EMK_E_UNSUPPORTED, "jwk: key_ops", 0);
    if (m->alg[0] && alg == EMK_JOSE_NONE_OF_OURS)
        return emk_fail(e, EMK_E_UNSUPPORTED, "jwk: alg", 0);
    *algs = m->alg[0] ? EMK_JOSE_BIT(alg) : ALL_ALGS;
    return EMK_OK;
}

static emk_status from_members(const emk_crypto *c, const members *m, emk_jwk **out, emk_error *e)
{
    uint8_t spki[SPKI_MAX];
    uint32_t algs = 0;
    emk_writer w;
    emk_jwk *k = NULL;
    emk_status st;

    emk_writer_init(&w, spki, sizeof spki);
    st = allowed_algs(m, &algs, e);
    if (st == EMK_OK)
        st = put_spki(m, &w, e);
    if (st == EMK_OK && w.full)
        st = emk_fail(e, EMK_E_LIMIT, "jwk: size of a key", w.pos);
    if (st == EMK_OK)
        st = emk_jwk_from_spki(c, emk_writer_span(&w), algs, &k, e);
    if (st == EMK_E_USAGE)
        return emk_fail(e, EMK_E_FORMAT, "jwk: alg is not for this kty", 0);
    if (st != EMK_OK)
        return st;
    memcpy(k->kid, m->kid, sizeof k->kid);
    *out = k;
    return EMK_OK;
}

emk_status emk_jwk_parse(const emk_crypto *c, emk_span json, emk_jwk **out, emk_error *e)
{
    members *m = emk_alloc(1, sizeof *m);
    emk_status st;

    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "jwk: members", sizeof *m);
    st = read_members(json, m, e);
    if (st == EMK_OK)
        st = from_members(c, m, out, e);
    emk_free(m);
    return st;
}

void emk_jwk_free(emk_jwk *k)
{
    if (!k)
        return;
    emk_pubkey_free(k->key);
    emk_free(k);
}

const char *emk_jwk_kid(const emk_jwk *k)
{
    return k->kid;
}

uint32_t emk_jwk_algs(const emk_jwk *k)
{
    return k->algs;
}

emk_span emk_jwk_thumbprint(const emk_jwk *k)
{
    return emk_span_of(k->thumbprint, sizeof k->thumbprint);
}

emk_status emk_jwk_verify(const emk_jwk *k, emk_jose_alg alg, emk_span msg, emk_span sig,
                          emk_error *e)
{
    for (size_t i = 0; i < N_ALGS; i++)
        if (ALGS[i].alg == alg && (k->algs & EMK_JOSE_BIT(alg)) != 0)
            return emk_pubkey_verify(k->key, ALGS[i].does, msg, sig, e);
    return emk_fail(e, EMK_E_SIGNATURE, "jwk: the key is not for this algorithm", (unsigned)alg);
}

/* --- sets --------------------------------------------------------------------------------- */

static emk_status add(const emk_crypto *c, emk_span json, emk_jwks *set, emk_error *e)
{
    emk_jwk *k = NULL;
    emk_status st = emk_jwk_parse(c, json, &k, e);

    if (st == EMK_E_UNSUPPORTED || st == EMK_E_LIMIT)
        return EMK_OK; /* somebody else's */
    if (st != EMK_OK)
        return st;
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->key[i]->kid, k->kid) == 0)
            st = emk_fail(e, EMK_E_FORMAT, "jwks: two keys with one kid", i);
    if (st != EMK_OK)
        emk_jwk_free(k);
    else
        set->key[set->n++] = k;
    return st;
}

/* Keys are found first and parsed behind, each from its own text. */
static emk_status find_keys(emk_span json, emk_span *keys, size_t *n, emk_error *e)
{
    static const char *const KEYS[] = {"keys"};
    emk_jose_text t;
    emk_jose_object o;
    bool found = false;
    emk_status st;
    size_t i;

    st = emk_jose_text_open(&t, json, EMK_JWKS_MAX, e);
    if (st != EMK_OK)
        return st;
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, KEYS, 1, &i)) {
        if (i == 1) {
            emk_json_skip_value(&t.j);
            continue;
        }
        found = true;
        *n = emk_jose_read_raw_objects(&t.j, keys, EMK_JWKS_KEYS);
    }
    st = emk_jose_text_close(&t, e);
    if (st == EMK_OK && !found)
        st = emk_fail(e, EMK_E_FORMAT, "jwks: no keys", 0);
    return st;
}

emk_status emk_jwks_parse(const emk_crypto *c, emk_span json, emk_jwks **out, emk_error *e)
{
    emk_span keys[EMK_JWKS_KEYS];
    size_t n = 0;
    emk_jwks *set;
    emk_status st = find_keys(json, keys, &n, e);

    if (st != EMK_OK)
        return st;
    set = emk_alloc(1, sizeof *set);
    if (!set)
        return emk_fail(e, EMK_E_NO_MEMORY, "jwks: set", sizeof *set);
    for (size_t i = 0; st == EMK_OK && i < n; i++)
        st = add(c, keys[i], set, e);
    if (st == EMK_OK && set->n == 0)
        st = emk_fail(e, EMK_E_NOT_FOUND, "jwks: no key that verifies here", n);
    if (st != EMK_OK) {
        emk_jwks_free(set);
        return st;
    }
    *out = set;
    return EMK_OK;
}

void emk_jwks_free(emk_jwks *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->n; i++)
        emk_jwk_free(set->key[i]);
    emk_free(set);
}

size_t emk_jwks_count(const emk_jwks *set)
{
    return set->n;
}

const emk_jwk *emk_jwks_at(const emk_jwks *set, size_t i)
{
    return i < set->n ? set->key[i] : NULL;
}

const emk_jwk *emk_jwks_find(const emk_jwks *set, const char *kid)
{
    if (kid[0] == 0)
        return set->n == 1 ? set->key[0] : NULL;
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->key[i]->kid, kid) == 0)
            return set->key[i];
    return NULL;
}
