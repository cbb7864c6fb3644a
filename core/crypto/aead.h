/* Authenticated encryption: AES-GCM and ChaCha20-Poly1305 with 12-byte nonces and 16-byte
 * tags.  Other lengths, which libcrypto would take, cannot be said here.
 *
 * One object, one thread.  Setting a key costs about ten times what a new nonce costs: set
 * it once and seal many messages.  Nonces are the caller's: never twice under one key.
 * None of the three commits to its key: whoever opens what others sealed must also compare
 * a commitment. */
#ifndef EMK_CORE_CRYPTO_AEAD_H
#define EMK_CORE_CRYPTO_AEAD_H

#include "core/crypto/crypto.h"

/* Ids as in the HPKE registry.  [RFC 9180 7.3] */
#define EMK_AEAD_AES_128_GCM       0x0001u
#define EMK_AEAD_AES_256_GCM       0x0002u
#define EMK_AEAD_CHACHA20_POLY1305 0x0003u
#define EMK_AEAD_EXPORT_ONLY       0xFFFFu /* HPKE only: there is no such cipher */

#define EMK_AEAD_NONCE_LEN 12u
#define EMK_AEAD_TAG_LEN   16u
#define EMK_AEAD_KEY_MAX   32u
#define EMK_AEAD_MSG_MAX   ((UINT64_C(1) << 36) - 32) /* bytes under one GCM nonce [SP 800-38D] */

typedef struct emk_aead emk_aead;

/* 16 or 32; 0 for an id that is no cipher. */
size_t emk_aead_key_len(uint16_t id);
/* Whether emk_aead_new will work here. */
bool emk_aead_is_supported(const emk_crypto *c, uint16_t id);

/* Gives an object without a key; free with emk_aead_free.  Keeps c.  EMK_E_UNSUPPORTED for an
 * unknown or absent cipher, EMK_E_NO_MEMORY or EMK_E_CRYPTO. */
emk_status emk_aead_new(const emk_crypto *c, uint16_t id, emk_aead **out,
                        emk_error *e) EMK_MUST_CHECK;

/* Wipes the key and frees.  NULL is fine. */
void emk_aead_free(emk_aead *a);

/* Borrows emk_aead_key_len bytes.  EMK_E_CRYPTO; then there is no key. */
emk_status emk_aead_set_key(emk_aead *a, const uint8_t *key, emk_error *e) EMK_MUST_CHECK;

/* Encrypts plain.len bytes into cipher, which may be plain.p itself but must not overlap it
 * otherwise, and fills tag.  EMK_E_USAGE without a key, EMK_E_LIMIT beyond EMK_AEAD_MSG_MAX,
 * EMK_E_CRYPTO; on failure cipher is zeroed and tag untouched. */
emk_status emk_aead_seal(emk_aead *a, const uint8_t nonce[12], emk_span aad, emk_span plain,
                         uint8_t *cipher, uint8_t tag[16], emk_error *e) EMK_MUST_CHECK;

/* The reverse.  EMK_E_SEALED when the tag does not fit.  On every failure after the arguments
 * were accepted plain is zeroed: unverified bytes never get out.  While it runs plain does
 * hold them, so plain must not be memory that another thread may read. */
emk_status emk_aead_open(emk_aead *a, const uint8_t nonce[12], emk_span aad, emk_span cipher,
                         const uint8_t tag[16], uint8_t *plain, emk_error *e) EMK_MUST_CHECK;

/* As emk_aead_open without associated data, but of the plaintext only a part is kept: the rest
 * passes through EMK_AEAD_PIECE bytes at a time, which are wiped.  EMK_E_USAGE for a part that is
 * not in the message; else as emk_aead_open. */
#define EMK_AEAD_PIECE 4096u
typedef struct emk_aead_part {
    const uint8_t *tag;
    size_t from, len; /* in the plaintext */
    uint8_t *out;     /* len bytes; must not overlap the ciphertext */
    uint8_t *piece;   /* EMK_AEAD_PIECE bytes of memory as good as out's */
} emk_aead_part;
emk_status emk_aead_open_part(emk_aead *a, const uint8_t nonce[12], emk_span cipher,
                              const emk_aead_part *part, emk_error *e) EMK_MUST_CHECK;

/* Only the first prefix.len bytes of what emk_aead_seal would make of a longer message that
 * begins with `prefix`, without a tag.  The keystream of these ciphers depends on nothing
 * but key and nonce, so two workers may each make their half of one message.  It is safe
 * only because the very same bytes are sealed, with a tag, under this (key, nonce) by
 * somebody: with other bytes it would reuse the keystream.  For the container writer inside
 * Earmark, not for general use.  Statuses as emk_aead_seal. */
emk_status emk_aead_seal_prefix(emk_aead *a, const uint8_t nonce[12], emk_span prefix,
                                uint8_t *cipher, emk_error *e) EMK_MUST_CHECK;

#endif
