/* Keys of services: "emks.<id>.<secret>", the secret 32 random bytes that we keep only a hash
 * of.  Such a secret needs no slow hash: it cannot be guessed. */
#ifndef EMK_SERVER_GATE_SERVICE_KEY_H
#define EMK_SERVER_GATE_SERVICE_KEY_H

#include "core/crypto/crypto.h"

#define EMK_SERVICE_KEY_PREFIX     "emks."
#define EMK_SERVICE_KEY_ID_CHARS   16u /* 12 random bytes */
#define EMK_SERVICE_KEY_TEXT_CHARS 65u /* 5 + 16 + 1 + 43 */

typedef struct emk_service_key {
    char id[EMK_SERVICE_KEY_ID_CHARS + 1]; /* names the record; no secret */
    uint8_t hash[32];                      /* what the record keeps */
} emk_service_key;

/* Fills text with a new key and a zero, to be shown once and wiped, and *out with what to store.
 * EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_service_key_make(const emk_crypto *c, char text[EMK_SERVICE_KEY_TEXT_CHARS + 1],
                                emk_service_key *out, emk_error *e) EMK_MUST_CHECK;
/* Fills *out with id and hash of a key that was shown.  Compare the hash with the stored one by
 * emk_ct_equal; where there is no record, with anything, so that time does not tell.
 * EMK_E_FORMAT, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_service_key_parse(const emk_crypto *c, emk_span text, emk_service_key *out,
                                 emk_error *e) EMK_MUST_CHECK;

#endif
