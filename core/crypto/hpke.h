/* Hybrid public key encryption.  [RFC 9180] [draft-ietf-hpke-pq]
 *
 * All four modes; KDF 1 (HKDF-SHA256) only.  Auth modes exist for interoperation, only with
 * the two DHKEMs: whoever gets a receiver's key can then impersonate any sender to it.
 * Base mode says nothing about the sender: sign.
 *
 * One context, one thread.  The sequence number is 96 bits wide and a context stops before
 * it would repeat; there is no way to set a sender's. */
#ifndef EMK_CORE_CRYPTO_HPKE_H
#define EMK_CORE_CRYPTO_HPKE_H

#include "core/crypto/aead.h"
#include "core/crypto/kem.h"

#define EMK_HPKE_KDF_HKDF_SHA256 0x0001u
#define EMK_HPKE_PSK_MIN         32u /* bytes [RFC 9180 5.1.2] */
#define EMK_HPKE_SEQ_LEN         12u

typedef enum emk_hpke_mode {
    EMK_HPKE_BASE = 0,
    EMK_HPKE_PSK = 1,
    EMK_HPKE_AUTH = 2,
    EMK_HPKE_AUTH_PSK = 3
} emk_hpke_mode;

typedef struct emk_hpke_suite {
    uint16_t kem;  /* EMK_KEM_... */
    uint16_t kdf;  /* EMK_HPKE_KDF_HKDF_SHA256 */
    uint16_t aead; /* EMK_AEAD_... */
} emk_hpke_suite;

/* What both sides must agree on.  All of it borrowed; zero what is not used. */
typedef struct emk_hpke_in {
    emk_hpke_suite suite;
    emk_hpke_mode mode;
    emk_span info;
    emk_span aad; /* of the one message; only the _once calls read it */
    emk_span psk; /* psk modes: at least EMK_HPKE_PSK_MIN bytes; else empty */
    emk_span psk_id;
    const emk_kem_private *sender_key; /* auth modes, sender's side; else NULL */
    emk_span sender_public;            /* auth modes, receiver's side; else empty */
} emk_hpke_in;

typedef struct emk_hpke emk_hpke;

/* EMK_OK when this context can do the suite, else EMK_E_UNSUPPORTED (where = the id). */
emk_status emk_hpke_check_suite(const emk_crypto *c, emk_hpke_suite suite,
                                emk_error *e) EMK_MUST_CHECK;

/* Gives a sending context for the holder of pub; free with emk_hpke_free.  Fills enc
 * (emk_kem_enc_len bytes).  Keeps c.  EMK_E_UNSUPPORTED; EMK_E_FORMAT for a bad pub;
 * EMK_E_USAGE when psk, psk_id or sender_key do not go with the mode; EMK_E_CRYPTO or
 * EMK_E_NO_MEMORY. */
emk_status emk_hpke_sender_new(const emk_crypto *c, const emk_hpke_in *in, emk_span pub,
                               uint8_t *enc, emk_hpke **out, emk_error *e) EMK_MUST_CHECK;

/* Gives the receiving context.  key is borrowed.  EMK_E_SEALED when enc is not one; EMK_E_USAGE
 * also for a key of another KEM; otherwise as emk_hpke_sender_new. */
emk_status emk_hpke_receiver_new(const emk_hpke_in *in, const emk_kem_private *key, emk_span enc,
                                 emk_hpke **out, emk_error *e) EMK_MUST_CHECK;

/* Wipes and frees.  NULL is fine. */
void emk_hpke_free(emk_hpke *h);

/* Encrypts the next message: fills cipher with plain.len + 16 bytes; cipher may be plain.p.
 * EMK_E_USAGE on a receiver, on export-only, or in a forked child (it would repeat the
 * parent's nonces); EMK_E_LIMIT when the sequence is used up; EMK_E_CRYPTO, after which the
 * context refuses further messages. */
emk_status emk_hpke_seal(emk_hpke *h, emk_span aad, emk_span plain, uint8_t *cipher,
                         emk_error *e) EMK_MUST_CHECK;

/* Decrypts the next message: fills plain with cipher.len - 16 bytes; plain may be cipher.p.
 * EMK_E_SEALED when it does not fit; then the sequence stays where it is, and plain is
 * zeroed.  EMK_E_USAGE on a sender or export-only; EMK_E_LIMIT when the sequence is used up. */
emk_status emk_hpke_open(emk_hpke *h, emk_span aad, emk_span cipher, uint8_t *plain,
                         emk_error *e) EMK_MUST_CHECK;

/* Receiver only: the number (big-endian) that the next message to open has, for transports
 * that lose or reorder.  EMK_E_USAGE on a sender. */
emk_status emk_hpke_set_seq(emk_hpke *h, const uint8_t seq[12], emk_error *e) EMK_MUST_CHECK;

/* Fills out with len (0..EMK_HKDF_OUT_MAX, else EMK_E_LIMIT) bytes of a secret both sides know.
 * [RFC 9180 5.3] */
emk_status emk_hpke_export(const emk_hpke *h, emk_span context, uint8_t *out, size_t len,
                           emk_error *e) EMK_MUST_CHECK;

/* One message in one call.  Fills out with enc || ciphertext: emk_kem_enc_len + plain.len + 16
 * bytes; out must not overlap the inputs.  Statuses as emk_hpke_sender_new. */
emk_status emk_hpke_seal_once(const emk_crypto *c, const emk_hpke_in *in, emk_span pub,
                              emk_span plain, uint8_t *out, emk_error *e) EMK_MUST_CHECK;

/* The reverse: fills plain with cipher.len - 16 bytes.  A bad enc, a failed decapsulation and a
 * bad tag are one and the same EMK_E_SEALED with one text. */
emk_status emk_hpke_open_once(const emk_hpke_in *in, const emk_kem_private *key, emk_span enc,
                              emk_span cipher, uint8_t *plain, emk_error *e) EMK_MUST_CHECK;

#endif
