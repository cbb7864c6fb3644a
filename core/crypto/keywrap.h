/* AES key wrap with a 256-bit key and the default initial value.  [RFC 3394] [SP 800-38F 6.2]
 * Deterministic and authenticated; for keys only. */
#ifndef EMK_CORE_CRYPTO_KEYWRAP_H
#define EMK_CORE_CRYPTO_KEYWRAP_H

#include "core/crypto/crypto.h"

#define EMK_KEYWRAP_KEK_LEN 32u
#define EMK_KEYWRAP_MIN     16u /* bytes of a key that is wrapped; a multiple of 8 */
#define EMK_KEYWRAP_MAX     64u
#define EMK_KEYWRAP_EXTRA   8u /* what wrapping adds */

/* Wraps key (EMK_KEYWRAP_MIN..MAX bytes, a multiple of 8) under kek (EMK_KEYWRAP_KEK_LEN bytes);
 * fills out with key.len + EMK_KEYWRAP_EXTRA bytes.  EMK_E_USAGE for other lengths, EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY. */
emk_status emk_keywrap_wrap(const emk_crypto *c, emk_span kek, emk_span key, uint8_t *out,
                            emk_error *e) EMK_MUST_CHECK;

/* The reverse: fills key with wrapped.len - EMK_KEYWRAP_EXTRA bytes.  EMK_E_SEALED for another
 * key, damage, or a length that no wrapped key has (then and on every other failure key is
 * untouched); EMK_E_USAGE for a kek of another length, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_keywrap_unwrap(const emk_crypto *c, emk_span kek, emk_span wrapped, uint8_t *key,
                              emk_error *e) EMK_MUST_CHECK;

#endif
