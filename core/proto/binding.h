/* What an attestation at enrolment is made over: SHA-256 of the server's challenge, both device
 * keys and the app, one after the other.  [docs/spec/attestation.md 2]
 *
 * Each part but the last has one length, so what is hashed reads in one way only.  The server's
 * half is server/attest/challenge.h; a test holds the two to each other. */
#ifndef EMK_CORE_PROTO_BINDING_H
#define EMK_CORE_PROTO_BINDING_H

#include "core/base/span.h"
#include "core/crypto/hash.h"

#define EMK_CHALLENGE_TO_BIND_LEN 36u  /* bytes */
#define EMK_BOUND_KEY_LEN         65u  /* 04 || x || y on P-256 */
#define EMK_BOUND_APP_MAX         255u /* bytes */

typedef struct emk_enrolment_binding {
    emk_span challenge;
    emk_span signing; /* public keys */
    emk_span agreement;
    emk_span app; /* as the attestation names it */
} emk_enrolment_binding;

/* Fills out.  EMK_E_USAGE for a part of another length, for a key that does not begin with 04, and
 * for one key given as both; EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_enrolment_binding_make(const emk_crypto *c, const emk_enrolment_binding *b,
                                      uint8_t out[EMK_SHA256_LEN], emk_error *e) EMK_MUST_CHECK;

#endif
