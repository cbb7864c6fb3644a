#include "core/jose/jwe.h"

#include "core/base/secret.h"
#include "core/codec/base64url.h"
#include "core/crypto/aead.h"
#include "core/crypto/keywrap.h"
#include "core/crypto/random.h"
#include "core/jose/object.h"

#define N_PARTS     5u
#define HEADER_MAX  1024u /* bytes, decoded */
#define WORD_MAX    32u
#define CEK_LEN     32u
#define WRAPPED_LEN (CEK_LEN + EMK_KEYWRAP_EXTRA)

enum { PART_HEADER, PART_KEY, PART_NONCE, PART_CONTENT, PART_TAG };

static emk_status split(emk_span token, emk_span parts[N_PARTS], emk_error *e)
{
    size_t n = 0, at = 0;

    for (size_t i = 0; i <= token.len; i++) {
        if (i < token.len && token.p[i] != '.')
            continue;
        if (n == N_PARTS)
            return emk_fail(e, EMK_E_FORMAT, "jwe: more than five parts", i);
        parts[n++] = emk_span_of(token.p + at, i - at);
        at = i + 1;
    }
    return n == N_PARTS ? EMK_OK : emk_fail(e, EMK_E_FORMAT, "jwe: fewer than five parts", n);
}

/* --- header ------------------------------------------------------------------------------- */

static const char *const NAMES[] = {"alg", "enc", "zip", "crit"};

enum { NAME_ALG, NAME_ENC, N_KNOWN };

#define N_NAMES (sizeof NAMES / sizeof NAMES[0])

static void read_member(emk_json *j, size_t i, uint32_t *seen)
{
    static const char *const WANT[] = {"A256KW", "A256GCM"};
    char word[WORD_MAX];

    if (i >= N_NAMES) {
        emk_json_skip_value(j);
        return;
    }
    if (i >= N_KNOWN) {
        emk_json_fail(j, EMK_E_UNSUPPORTED, "jwe: zip or crit", j->text_off);
        return;
    }
    if (emk_jose_read_text(j, word, sizeof word) && strcmp(word, WANT[i]) != 0)
        emk_json_fail(j, EMK_E_UNSUPPORTED, "jwe: algorithm is not allowed", j->text_off);
    *seen |= 1u << i;
}

static emk_status check_header(emk_span text, emk_error *e)
{
    uint8_t json[HEADER_MAX];
    emk_jose_text t;
    emk_jose_object o;
    uint32_t seen = 0;
    size_t len = 0, i;
    emk_status st;

    st = emk_base64url_decode(text, json, sizeof json, &len, e);
    if (st != EMK_OK)
        return st;
    st = emk_jose_text_open(&t, emk_span_of(json, len), sizeof json, e);
    if (st != EMK_OK)
        return st;
    emk_jose_object_enter(&o, &t.j);
    while (emk_jose_object_next(&o, NAMES, N_NAMES, &i))
        read_member(&t.j, i, &seen);
    st = emk_jose_text_close(&t, e);
    if (st == EMK_OK && seen != (1u << NAME_ALG | 1u << NAME_ENC))
        st = emk_fail(e, EMK_E_FORMAT, "jwe: no alg or no enc", 0);
    return st;
}

/* --- open --------------------------------------------------------------------------------- */

/* Whose length is wrong is a token damaged or made to be tried out: the same refusal as for one
 * that does not decrypt. */
static emk_status refuse(emk_error *e)
{
    return emk_fail(e, EMK_E_SEALED, "jwe: cannot be decrypted", 0);
}

static emk_status decode_exactly(emk_span text, uint8_t *out, size_t want, emk_error *e)
{
    size_t len = 0;
    emk_status st;

    if (text.len != EMK_BASE64URL_CHARS(want))
        return refuse(e);
    st = emk_base64url_decode(text, out, want, &len, e);
    if (st == EMK_OK && len != want)
        return refuse(e);
    return st;
}

static emk_status with_key(const emk_crypto *c, const uint8_t *key, emk_aead **out, emk_error *e)
{
    emk_aead *a = NULL;
    emk_status st = emk_aead_new(c, EMK_AEAD_AES_256_GCM, &a, e);

    if (st == EMK_OK)
        st = emk_aead_set_key(a, key, e);
    if (st != EMK_OK) {
        emk_aead_free(a);
        return st;
    }
    *out = a;
    return EMK_OK;
}

static emk_status unwrap(const emk_crypto *c, emk_span kek, emk_span text, emk_aead **out,
                         emk_error *e)
{
    uint8_t wrapped[WRAPPED_LEN], cek[CEK_LEN];
    emk_status st = decode_exactly(text, wrapped, sizeof wrapped, e);

    if (st != EMK_OK)
        return st;
    st = emk_keywrap_unwrap(c, kek, emk_span_of(wrapped, sizeof wrapped), cek, e);
    if (st == EMK_OK)
        st = with_key(c, cek, out, e);
    emk_wipe(cek, sizeof cek);
    return st;
}

typedef struct content {
    uint8_t nonce[EMK_AEAD_NONCE_LEN], tag[EMK_AEAD_TAG_LEN];
    emk_span aad;
    emk_buf cipher; /* owned */
} content;

static emk_status read_content(const emk_span parts[N_PARTS], content *x, emk_error *e)
{
    size_t len = 0;
    uint8_t *p;
    emk_status st;

    x->aad = parts[PART_HEADER];
    emk_buf_init(&x->cipher, EMK_JWE_MAX);
    st = decode_exactly(parts[PART_NONCE], x->nonce, sizeof x->nonce, e);
    if (st == EMK_OK)
        st = decode_exactly(parts[PART_TAG], x->tag, sizeof x->tag, e);
    if (st == EMK_OK)
        st = emk_buf_grow(&x->cipher, parts[PART_CONTENT].len, &p, e);
    if (st == EMK_OK)
        st = emk_base64url_decode(parts[PART_CONTENT], p, parts[PART_CONTENT].len, &len, e);
    x->cipher.len = len;
    return st;
}

static emk_status decrypt(emk_aead *a, const content *x, emk_buf *out, emk_error *e)
{
    size_t before = out->len;
    uint8_t *p;
    emk_status st = emk_buf_grow(out, x->cipher.len, &p, e);

    if (st != EMK_OK)
        return st;
    st = emk_aead_open(a, x->nonce, x->aad, emk_buf_span(&x->cipher), x->tag, p, e);
    if (st != EMK_OK)
        out->len = before;
    return st;
}

emk_status emk_jwe_open(const emk_crypto *c, emk_span key, emk_span token, emk_buf *out,
                        emk_error *e)
{
    emk_span parts[N_PARTS];
    content x = {0};
    emk_aead *a = NULL;
    emk_status st;

    if (key.len != EMK_JWE_KEY_LEN)
        return emk_fail(e, EMK_E_USAGE, "jwe: length of the key", key.len);
    if (token.len > EMK_JWE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "jwe: token", token.len);
    st = split(token, parts, e);
    if (st == EMK_OK)
        st = check_header(parts[PART_HEADER], e);
    if (st == EMK_OK)
        st = read_content(parts, &x, e);
    if (st == EMK_OK)
        st = unwrap(c, key, parts[PART_KEY], &a, e);
    if (st == EMK_OK)
        st = decrypt(a, &x, out, e);
    emk_aead_free(a);
    emk_buf_done(&x.cipher);
    return st == EMK_E_SEALED ? refuse(e) : st;
}

/* --- seal ----------------------------------------------------------------------------------- */

static emk_status append_next(emk_span bytes, emk_buf *out, emk_error *e)
{
    emk_status st = emk_buf_append(out, emk_span_str("."), e);

    return st == EMK_OK ? emk_jose_append_part(bytes, EMK_JWE_MAX, out, e) : st;
}

/* A fresh content key, wrapped into `wrapped`. */
static emk_status make_key(const emk_crypto *c, emk_span kek, uint8_t wrapped[WRAPPED_LEN],
                           emk_aead **out, emk_error *e)
{
    uint8_t cek[CEK_LEN];
    emk_status st = emk_random_secret(c, cek, sizeof cek, e);

    if (st == EMK_OK)
        st = emk_keywrap_wrap(c, kek, emk_span_of(cek, sizeof cek), wrapped, e);
    if (st == EMK_OK)
        st = with_key(c, cek, out, e);
    emk_wipe(cek, sizeof cek);
    return st;
}

/* out holds the header's text from `aad_at` on. */
static emk_status append_content(emk_aead *a, content *x, emk_span plain, size_t aad_at,
                                 emk_buf *out, emk_error *e)
{
    uint8_t *p;
    emk_status st = emk_buf_grow(&x->cipher, plain.len, &p, e);

    if (st != EMK_OK)
        return st;
    x->aad = emk_span_of(out->p + aad_at, x->aad.len);
    st = emk_aead_seal(a, x->nonce, x->aad, plain, p, x->tag, e);
    if (st == EMK_OK)
        st = append_next(emk_span_of(x->nonce, sizeof x->nonce), out, e);
    if (st == EMK_OK)
        st = append_next(emk_buf_span(&x->cipher), out, e);
    return st == EMK_OK ? append_next(emk_span_of(x->tag, sizeof x->tag), out, e) : st;
}

emk_status emk_jwe_seal(const emk_crypto *c, emk_span key, emk_span header, emk_span plain,
                        emk_buf *out, emk_error *e)
{
    uint8_t wrapped[WRAPPED_LEN];
    size_t before = out->len;
    content x = {0};
    emk_aead *a = NULL;
    emk_status st;

    if (key.len != EMK_JWE_KEY_LEN)
        return emk_fail(e, EMK_E_USAGE, "jwe: length of the key", key.len);
    emk_buf_init(&x.cipher, EMK_JWE_MAX);
    st = make_key(c, key, wrapped, &a, e);
    if (st == EMK_OK)
        st = emk_random_public(c, x.nonce, sizeof x.nonce, e);
    if (st == EMK_OK)
        st = emk_jose_append_part(header, EMK_JWE_MAX, out, e);
    x.aad.len = out->len - before;
    if (st == EMK_OK)
        st = append_next(emk_span_of(wrapped, sizeof wrapped), out, e);
    if (st == EMK_OK)
        st = append_content(a, &x, plain, before, out, e);
    if (st != EMK_OK)
        out->len = before;
    emk_aead_free(a);
    emk_buf_done(&x.cipher);
    return st;
}
