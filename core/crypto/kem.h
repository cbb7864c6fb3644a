/* Key encapsulation: the KEMs that HPKE runs on.  [RFC 9180 4.1] [draft-ietf-hpke-pq]
 *
 *   id      name             public  private  enc
 *   0x0010  DHKEM(P-256)         65       32    65
 *   0x0020  DHKEM(X25519)        32       32    32
 *   0x0041  ML-KEM-768         1184       64  1088   private: FIPS 203's d || z
 *   0x0050  MLKEM768-P256      1249       32  1153   private: a seed
 *   0x647a  X-Wing             1216       32  1120   private: a seed
 *
 * The last three are there when libcrypto has ML-KEM: ask emk_kem_is_supported. */
#ifndef EMK_CORE_CRYPTO_KEM_H
#define EMK_CORE_CRYPTO_KEM_H

#include "core/crypto/crypto.h"

#define EMK_KEM_PUBLIC_MAX  1249u
#define EMK_KEM_PRIVATE_MAX 64u
#define EMK_KEM_ENC_MAX     1153u
#define EMK_KEM_SECRET_LEN  32u
#define EMK_KEM_IKM_MAX     1024u /* bytes of input to emk_kem_derive */

/* Bytes; 0 for an id this file does not know. */
size_t emk_kem_public_len(uint16_t kem);
size_t emk_kem_private_len(uint16_t kem);
size_t emk_kem_enc_len(uint16_t kem);
/* Whether it can be used with this context. */
bool emk_kem_is_supported(const emk_crypto *c, uint16_t kem);

/* Fills a fresh key pair (emk_kem_private_len and emk_kem_public_len bytes).
 * EMK_E_UNSUPPORTED, EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_kem_generate(const emk_crypto *c, uint16_t kem, uint8_t *priv, uint8_t *pub,
                            emk_error *e) EMK_MUST_CHECK;

/* DeriveKeyPair: the same from ikm, which needs the entropy of a private key (at least
 * emk_kem_private_len bytes, at most EMK_KEM_IKM_MAX: EMK_E_LIMIT).  [RFC 9180 7.1.3] */
emk_status emk_kem_derive(const emk_crypto *c, uint16_t kem, emk_span ikm, uint8_t *priv,
                          uint8_t *pub, emk_error *e) EMK_MUST_CHECK;

/* EMK_E_FORMAT when pub cannot be a public key of this KEM; EMK_E_UNSUPPORTED. */
emk_status emk_kem_check_public(const emk_crypto *c, uint16_t kem, emk_span pub,
                                emk_error *e) EMK_MUST_CHECK;

/* A private key made ready: its bytes in locked memory, its public key worked out.
 * Thread rule: immutable, may be shared; with a hardware key as far as its dh may be. */
typedef struct emk_kem_private emk_kem_private;

/* A P-256 key in hardware: plain ECDH.  Fills x, the 32-byte x coordinate of peer times the
 * key, left-padded.  `peer` has been found on the curve before.  Its failures reach the
 * caller of open unchanged. */
typedef emk_status (*emk_kem_dh_fn)(void *self, const uint8_t peer[65], uint8_t x[32],
                                    emk_error *e);

typedef struct emk_kem_hardware {
    emk_kem_dh_fn dh;
    void *self;          /* kept */
    emk_span public_key; /* borrowed: the P-256 key's 65 bytes */
    emk_span seed;       /* borrowed: EMK_KEM_MLKEM768_P256: ML-KEM's 64 bytes d || z; else empty */
} emk_kem_hardware;

/* Gives a key from its raw bytes (borrowed); free with emk_kem_private_free.  Keeps c.
 * EMK_E_FORMAT for a wrong length or a P-256 scalar outside 1..n-1; EMK_E_UNSUPPORTED,
 * EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_kem_private_new(const emk_crypto *c, uint16_t kem, emk_span raw,
                               emk_kem_private **out, emk_error *e) EMK_MUST_CHECK;

/* The same with the P-256 half in hardware; kem is EMK_KEM_P256 or EMK_KEM_MLKEM768_P256, else
 * EMK_E_USAGE. */
emk_status emk_kem_private_new_hardware(const emk_crypto *c, uint16_t kem,
                                        const emk_kem_hardware *hw, emk_kem_private **out,
                                        emk_error *e) EMK_MUST_CHECK;

uint16_t emk_kem_private_id(const emk_kem_private *k);
/* Lends the public key, worked out here, not taken from anybody. */
emk_span emk_kem_private_public(const emk_kem_private *k);
/* Wipes and frees.  NULL is fine. */
void emk_kem_private_free(emk_kem_private *k);

/* Encap: fills enc (emk_kem_enc_len bytes) and the shared secret.  EMK_E_FORMAT for a bad
 * public key; EMK_E_UNSUPPORTED, EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_kem_encap(const emk_crypto *c, uint16_t kem, emk_span pub, uint8_t *enc,
                         uint8_t secret[32], emk_error *e) EMK_MUST_CHECK;

/* Decap: fills the shared secret.  EMK_E_SEALED for an enc of a wrong length or not on the
 * curve, or a result of zeros.  ML-KEM answers a wrong enc with a random secret: only the
 * AEAD behind it notices.  EMK_E_CRYPTO, EMK_E_NO_MEMORY, or what the hardware said. */
emk_status emk_kem_decap(const emk_kem_private *k, emk_span enc, uint8_t secret[32],
                         emk_error *e) EMK_MUST_CHECK;

#endif
