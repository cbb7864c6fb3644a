/* State: the cipher context holds the key schedule from set_key on; `keyed` says so.  Each
 * message gives it only a nonce. */
#include "core/crypto/aead.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/crypto/internal.h"
#include "core/crypto/test_hooks.h"

#define STEP ((size_t)1 << 30) /* bytes per call: libcrypto's lengths are int */

struct emk_aead {
    const emk_crypto *c;
    const EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    size_t step;
    bool keyed;
};

size_t emk_aead_key_len(uint16_t id)
{
    switch (id) {
    case EMK_AEAD_AES_128_GCM:
        return 16;
    case EMK_AEAD_AES_256_GCM:
    case EMK_AEAD_CHACHA20_POLY1305:
        return 32;
    default:
        return 0;
    }
}

bool emk_aead_is_supported(const emk_crypto *c, uint16_t id)
{
    return emk_aead_key_len(id) != 0 && c->aead[id - 1] != NULL;
}

emk_status emk_aead_new(const emk_crypto *c, uint16_t id, emk_aead **out, emk_error *e)
{
    emk_aead *a;

    if (!emk_aead_is_supported(c, id))
        return emk_fail(e, EMK_E_UNSUPPORTED, "aead: cipher", id);
    a = emk_alloc(1, sizeof *a);
    if (!a)
        return emk_fail(e, EMK_E_NO_MEMORY, "aead: object", sizeof *a);
    a->c = c;
    a->cipher = c->aead[id - 1];
    a->step = STEP;
    a->ctx = emk_lib_hit() ? NULL : EVP_CIPHER_CTX_new();
    if (!a->ctx || emk_lib_hit() || EVP_EncryptInit_ex2(a->ctx, a->cipher, NULL, NULL, NULL) != 1) {
        emk_aead_free(a);
        return emk_lib_fail(e, "aead: object");
    }
    *out = a;
    return EMK_OK;
}

void emk_aead_free(emk_aead *a)
{
    if (!a)
        return;
    EVP_CIPHER_CTX_free(a->ctx);
    emk_free(a);
}

#ifdef EMK_FAULTS
void emk_aead_hook_step(emk_aead *a, size_t step)
{
    a->step = step;
}
#endif

emk_status emk_aead_set_key(emk_aead *a, const uint8_t *key, emk_error *e)
{
    a->keyed = !emk_lib_hit() && EVP_EncryptInit_ex2(a->ctx, NULL, key, NULL, NULL) == 1;
    return a->keyed ? EMK_OK : emk_lib_fail(e, "aead: key");
}

static emk_status check_args(const emk_aead *a, emk_span aad, size_t len, emk_error *e)
{
    if (!a->keyed)
        return emk_fail(e, EMK_E_USAGE, "aead: no key", 0);
    if (aad.len > EMK_AEAD_MSG_MAX)
        return emk_fail(e, EMK_E_LIMIT, "aead: associated data", aad.len);
    if (len > EMK_AEAD_MSG_MAX)
        return emk_fail(e, EMK_E_LIMIT, "aead: message", len);
    return EMK_OK;
}

static bool begin(emk_aead *a, const uint8_t nonce[12], int encrypt)
{
    return !emk_lib_hit() && EVP_CipherInit_ex2(a->ctx, NULL, NULL, nonce, encrypt, NULL) == 1;
}

/* out NULL: `in` is associated data.  libcrypto's ChaCha20 for 32-bit x86 and Arm leaves the key in
 * its dead frame. */
static bool feed(emk_aead *a, emk_span in, uint8_t *out)
{
    bool fine = true;

    for (size_t done = 0; fine && done < in.len;) {
        size_t take = in.len - done < a->step ? in.len - done : a->step;
        int n = 0;

        fine = !emk_lib_hit() &&
               EVP_CipherUpdate(a->ctx, out ? out + done : NULL, &n, in.p + done, (int)take) == 1 &&
               n >= 0 && (size_t)n == take; /* none of these ciphers holds bytes back */
        done += take;
    }
    if (sizeof(void *) < sizeof(uint64_t))
        emk_lib_wipe_stack();
    return fine;
}

/* GCM and ChaCha20-Poly1305 give no bytes at the end. */
static bool end(emk_aead *a)
{
    uint8_t none[16];
    int n = 0;

    return EVP_CipherFinal_ex(a->ctx, none, &n) == 1 && n == 0;
}

// NOLINTNEXTLINE(readability-function-size): what an AEAD takes, as everybody knows it
emk_status emk_aead_seal(emk_aead *a, const uint8_t nonce[12], emk_span aad, emk_span plain,
                         uint8_t *cipher, uint8_t tag[16], emk_error *e)
{
    uint8_t made[EMK_AEAD_TAG_LEN];
    emk_status st = check_args(a, aad, plain.len, e);

    if (st != EMK_OK)
        return st;
    if (!begin(a, nonce, 1) || !feed(a, aad, NULL) || !feed(a, plain, cipher) || emk_lib_hit() ||
        !end(a) || emk_lib_hit() ||
        EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG, sizeof made, made) != 1) {
        emk_wipe(cipher, plain.len);
        return emk_lib_fail(e, "aead: seal");
    }
    memcpy(tag, made, sizeof made);
    return EMK_OK;
}

// NOLINTNEXTLINE(readability-function-size): what an AEAD takes, as everybody knows it
emk_status emk_aead_open(emk_aead *a, const uint8_t nonce[12], emk_span aad, emk_span cipher,
                         const uint8_t tag[16], uint8_t *plain, emk_error *e)
{
    uint8_t expected[EMK_AEAD_TAG_LEN];
    emk_status st = check_args(a, aad, cipher.len, e);

    if (st != EMK_OK)
        return st;
    memcpy(expected, tag, sizeof expected);
    if (!begin(a, nonce, 0) || !feed(a, aad, NULL) || !feed(a, cipher, plain) || emk_lib_hit() ||
        EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, sizeof expected, expected) != 1 ||
        emk_lib_hit())
        st = emk_lib_fail(e, "aead: open");
    else if (!end(a))
        st = emk_lib_refuse(e, EMK_E_SEALED, "aead: tag does not fit");
    if (st != EMK_OK)
        emk_wipe(plain, cipher.len);
    return st;
}

/* What comes out is nobody's. */
static bool feed_away(emk_aead *a, emk_span in, uint8_t piece[EMK_AEAD_PIECE])
{
    bool fine = true;

    for (size_t done = 0; fine && done < in.len;) {
        const size_t take = in.len - done < EMK_AEAD_PIECE ? in.len - done : EMK_AEAD_PIECE;

        fine = feed(a, emk_span_of(in.p + done, take), piece);
        done += take;
    }
    emk_wipe(piece, EMK_AEAD_PIECE);
    return fine;
}

static bool feed_part(emk_aead *a, emk_span in, const emk_aead_part *part)
{
    const size_t behind = part->from + part->len;

    return feed_away(a, emk_span_of(in.p, part->from), part->piece) &&
           feed(a, emk_span_of(in.p + part->from, part->len), part->out) &&
           feed_away(a, emk_span_of(in.p + behind, in.len - behind), part->piece);
}

emk_status emk_aead_open_part(emk_aead *a, const uint8_t nonce[12], emk_span cipher,
                              const emk_aead_part *part, emk_error *e)
{
    uint8_t expected[EMK_AEAD_TAG_LEN];
    emk_status st = check_args(a, emk_span_of(NULL, 0), cipher.len, e);

    if (st != EMK_OK)
        return st;
    if (part->from > cipher.len || part->len > cipher.len - part->from)
        return emk_fail(e, EMK_E_USAGE, "aead: a part outside the message", part->from);
    memcpy(expected, part->tag, sizeof expected);
    if (!begin(a, nonce, 0) || !feed_part(a, cipher, part) || emk_lib_hit() ||
        EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, sizeof expected, expected) != 1 ||
        emk_lib_hit())
        st = emk_lib_fail(e, "aead: open");
    else if (!end(a))
        st = emk_lib_refuse(e, EMK_E_SEALED, "aead: tag does not fit");
    if (st != EMK_OK)
        emk_wipe(part->out, part->len);
    return st;
}

emk_status emk_aead_seal_prefix(emk_aead *a, const uint8_t nonce[12], emk_span prefix,
                                uint8_t *cipher, emk_error *e)
{
    emk_status st = check_args(a, emk_span_of(NULL, 0), prefix.len, e);

    if (st != EMK_OK)
        return st;
    if (!begin(a, nonce, 1) || !feed(a, prefix, cipher)) {
        emk_wipe(cipher, prefix.len);
        return emk_lib_fail(e, "aead: seal");
    }
    return EMK_OK;
}
