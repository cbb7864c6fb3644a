/* Random bytes from libcrypto's generators.  There is no other source in Earmark. */
#ifndef EMK_CORE_CRYPTO_RANDOM_H
#define EMK_CORE_CRYPTO_RANDOM_H

#include "core/crypto/crypto.h"

/* Fills out with len bytes for keys: the generator whose output never leaves the process.
 * EMK_E_CRYPTO; then out is zeroed. */
emk_status emk_random_secret(const emk_crypto *c, uint8_t *out, size_t len,
                             emk_error *e) EMK_MUST_CHECK;

/* The same for nonces, ids and salts that others will see. */
emk_status emk_random_public(const emk_crypto *c, uint8_t *out, size_t len,
                             emk_error *e) EMK_MUST_CHECK;

#endif
