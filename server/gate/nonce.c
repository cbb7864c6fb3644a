#include "server/gate/nonce.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/secret.h"
#include "core/codec/base64url.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"

#define EPOCH_LEN  4u
#define MAC_LEN    16u
#define RANDOM_LEN 16u

struct emk_nonces {
    const emk_crypto *crypto;
    emk_secret *key;
};

emk_status emk_nonces_new(const emk_crypto *c, emk_span key, emk_nonces **out, emk_error *e)
{
    emk_nonces *n;
    emk_status st;

    if (key.len != EMK_NONCE_KEY_LEN)
        return emk_fail(e, EMK_E_USAGE, "nonces: length of the key", key.len);
    n = emk_alloc(1, sizeof *n);
    if (!n)
        return emk_fail(e, EMK_E_NO_MEMORY, "nonces: memory", sizeof *n);
    n->crypto = c;
    st = emk_secret_new(EMK_NONCE_KEY_LEN, &n->key, e);
    if (st != EMK_OK) {
        emk_free(n);
        return st;
    }
    memcpy(emk_secret_bytes(n->key), key.p, key.len);
    *out = n;
    return EMK_OK;
}

void emk_nonces_free(emk_nonces *n)
{
    if (!n)
        return;
    emk_secret_free(n->key);
    emk_free(n);
}

/* The label ends in a zero and every part before the last has a fixed length, so no two inputs
 * meet. */
static emk_status mac_of(const emk_nonces *n, const char *label, const uint8_t epoch[EPOCH_LEN],
                         emk_span subject, uint8_t out[MAC_LEN], emk_error *e)
{
    const emk_span parts[] = {emk_span_of(label, strlen(label) + 1), emk_span_of(epoch, EPOCH_LEN),
                              subject};
    uint8_t mac[EMK_HMAC_LEN];
    emk_status st;

    st = emk_hmac_sha256(n->crypto, emk_secret_span(n->key), parts, 3, mac, e);
    if (st == EMK_OK)
        memcpy(out, mac, MAC_LEN);
    emk_wipe(mac, sizeof mac);
    return st;
}

static const char nonce_label[] = "earmark request nonce 1";
static const char challenge_label[] = "earmark challenge 1";

static uint32_t epoch_of(uint64_t now_s)
{
    return (uint32_t)(now_s / EMK_NONCE_EPOCH_S);
}

/* In this span or the last one; and in the next, for another node whose clock is ahead. */
static bool epoch_is_open(uint32_t epoch, uint64_t now_s)
{
    uint32_t now = epoch_of(now_s);

    return epoch == now || epoch + 1 == now || epoch == now + 1;
}

emk_status emk_nonce_make(const emk_nonces *n, emk_span subject, uint64_t now_s,
                          char text[EMK_NONCE_CHARS + 1], emk_error *e)
{
    uint8_t nonce[EMK_NONCE_LEN];
    size_t len;
    emk_status st;

    emk_store_u32be(nonce, epoch_of(now_s));
    st = mac_of(n, nonce_label, nonce, subject, nonce + EPOCH_LEN, e);
    if (st != EMK_OK)
        return st;
    return emk_base64url_encode(emk_span_of(nonce, sizeof nonce), text, EMK_NONCE_CHARS + 1, &len,
                                e);
}

emk_status emk_nonce_verify(const emk_nonces *n, emk_span subject, emk_span text, uint64_t now_s,
                            emk_error *e)
{
    uint8_t nonce[EMK_NONCE_LEN], want[MAC_LEN];
    size_t len;
    emk_status st;

    if (text.len != EMK_NONCE_CHARS)
        return emk_fail(e, EMK_E_FORMAT, "nonce: length", text.len);
    st = emk_base64url_decode(text, nonce, sizeof nonce, &len, e);
    if (st != EMK_OK)
        return st;
    st = mac_of(n, nonce_label, nonce, subject, want, e);
    if (st != EMK_OK)
        return st;
    if (!emk_ct_equal(want, nonce + EPOCH_LEN, MAC_LEN))
        return emk_fail(e, EMK_E_SIGNATURE, "nonce: not one of ours", 0);
    if (!epoch_is_open(emk_load_u32be(nonce), now_s))
        return emk_fail(e, EMK_E_STALE, "nonce: over", emk_load_u32be(nonce));
    return EMK_OK;
}

emk_status emk_challenge_make(const emk_nonces *n, uint64_t now_s, uint8_t out[EMK_CHALLENGE_LEN],
                              emk_error *e)
{
    uint8_t challenge[EMK_CHALLENGE_LEN];
    emk_status st;

    emk_store_u32be(challenge, epoch_of(now_s));
    st = emk_random_public(n->crypto, challenge + EPOCH_LEN, RANDOM_LEN, e);
    if (st != EMK_OK)
        return st;
    st = mac_of(n, challenge_label, challenge, emk_span_of(challenge + EPOCH_LEN, RANDOM_LEN),
                challenge + EPOCH_LEN + RANDOM_LEN, e);
    if (st == EMK_OK)
        memcpy(out, challenge, sizeof challenge);
    return st;
}

emk_status emk_challenge_verify(const emk_nonces *n, emk_span challenge, uint64_t now_s,
                                emk_error *e)
{
    uint8_t want[MAC_LEN];
    emk_status st;

    if (challenge.len != EMK_CHALLENGE_LEN)
        return emk_fail(e, EMK_E_FORMAT, "challenge: length", challenge.len);
    st = mac_of(n, challenge_label, challenge.p, emk_span_of(challenge.p + EPOCH_LEN, RANDOM_LEN),
                want, e);
    if (st != EMK_OK)
        return st;
    if (!emk_ct_equal(want, challenge.p + EPOCH_LEN + RANDOM_LEN, MAC_LEN))
        return emk_fail(e, EMK_E_SIGNATURE, "challenge: not one of ours", 0);
    if (!epoch_is_open(emk_load_u32be(challenge.p), now_s))
        return emk_fail(e, EMK_E_STALE, "challenge: over", emk_load_u32be(challenge.p));
    return EMK_OK;
}
