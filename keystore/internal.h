/* The files of the software holder; not for other folders. */
#ifndef EMK_KEYSTORE_INTERNAL_H
#define EMK_KEYSTORE_INTERNAL_H

#include "core/base/secret.h"
#include "keystore/soft.h"

#define EMK_SOFT_PATH_MAX  4096u
#define EMK_SOFT_KEYS_FILE "keys"
#define EMK_SOFT_SALT_LEN  32u

/* The plaintext of `keys`: signing key, agreement key, store key, and with a post-quantum half
 * ML-KEM's seed. */
#define EMK_SOFT_KEY_LEN      32u
#define EMK_SOFT_SIGNING_AT   0u
#define EMK_SOFT_AGREEMENT_AT 32u
#define EMK_SOFT_STORE_AT     64u
#define EMK_SOFT_SEED_AT      96u
#define EMK_SOFT_PAYLOAD_LEN  96u
#define EMK_SOFT_PAYLOAD_MAX  (EMK_SOFT_PAYLOAD_LEN + EMK_KEYSTORE_SEED_LEN)

/* AES-256-GCM of one string under a key that is used for nothing else, ever: the nonce is
 * zeros.  cipher gets plain.len bytes and the tag behind them. */
emk_status emk_soft_seal(const emk_crypto *c, const uint8_t key[32], emk_span aad, emk_span plain,
                         uint8_t *cipher, emk_error *e) EMK_MUST_CHECK;
/* The reverse: plain gets cipher.len - 16 bytes.  EMK_E_SEALED. */
emk_status emk_soft_unseal(const emk_crypto *c, const uint8_t key[32], emk_span aad,
                           emk_span cipher, uint8_t *plain, emk_error *e) EMK_MUST_CHECK;

/* Writes `keys` in dir around a payload. */
emk_status emk_soft_keys_write(const emk_crypto *c, const char *dir,
                               const emk_keystore_soft_options *options, emk_span payload,
                               emk_error *e) EMK_MUST_CHECK;
/* Gives its payload, and whether a passphrase protects it. */
emk_status emk_soft_keys_read(const emk_crypto *c, const char *dir, emk_span passphrase,
                              emk_secret **payload, bool *by_passphrase,
                              emk_error *e) EMK_MUST_CHECK;

/* Counters and secrets: one sealed file each. */
typedef enum emk_soft_kind { EMK_SOFT_COUNTER = 'c', EMK_SOFT_SECRET = 's' } emk_soft_kind;

typedef struct emk_soft_entry {
    const emk_crypto *crypto;
    const char *dir;
    const uint8_t *store; /* the store key, 32 bytes */
    emk_soft_kind kind;
    const uint8_t *id; /* EMK_KEYSTORE_ID_LEN bytes */
} emk_soft_entry;

/* Fills out (EMK_KEYSTORE_SECRET_MAX bytes) and *len.  EMK_E_NOT_FOUND, EMK_E_SEALED. */
emk_status emk_soft_entry_read(const emk_soft_entry *x, uint8_t *out, size_t *len,
                               emk_error *e) EMK_MUST_CHECK;
/* The next two are called with the directory locked. */
emk_status emk_soft_entry_write(const emk_soft_entry *x, emk_span plain,
                                emk_error *e) EMK_MUST_CHECK;
emk_status emk_soft_entry_delete(const emk_soft_entry *x, emk_error *e) EMK_MUST_CHECK;

#endif
