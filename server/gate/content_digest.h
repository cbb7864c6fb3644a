/* Content-Digest [RFC 9530]: the one form `sha-256=:...:`, and nothing beside it.
 *
 * The field is under a device's signature, so the head of a request already says what its body
 * must be; the body is hashed while it streams (core/crypto/hash.h) and compared at its end,
 * before it has any effect. */
#ifndef EMK_SERVER_GATE_CONTENT_DIGEST_H
#define EMK_SERVER_GATE_CONTENT_DIGEST_H

#include "core/crypto/hash.h"

#define EMK_CONTENT_DIGEST_TEXT_MAX 64u /* characters with a zero */

/* Fills out from a field's value.  EMK_E_FORMAT; EMK_E_UNSUPPORTED for another algorithm. */
emk_status emk_content_digest_parse(emk_span value, uint8_t out[EMK_SHA256_LEN],
                                    emk_error *e) EMK_MUST_CHECK;
/* Fills out with the field's value for a digest, and a zero. */
void emk_content_digest_format(const uint8_t digest[EMK_SHA256_LEN],
                               char out[EMK_CONTENT_DIGEST_TEXT_MAX]);

/* Finishes `body`, which has been fed all of it.  EMK_OK when it is what was signed, else
 * EMK_E_SIGNATURE; EMK_E_USAGE, EMK_E_CRYPTO. */
emk_status emk_content_digest_verify(emk_sha256_ctx *body, const uint8_t want[EMK_SHA256_LEN],
                                     emk_error *e) EMK_MUST_CHECK;

#endif
