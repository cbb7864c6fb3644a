/* What an attestation at enrolment is made over: SHA-256 of the server's challenge, both device
 * keys and the app.  [docs/spec/attestation.md 2]
 *
 * A proof for other keys, another app or another challenge has another value, so evidence cannot
 * be moved from one enrolment to the next.  The challenge has one length, as have the keys: what
 * is hashed reads in one way only. */
#ifndef EMK_SERVER_ATTEST_CHALLENGE_H
#define EMK_SERVER_ATTEST_CHALLENGE_H

#include "core/base/span.h"
#include "core/base/status.h"
#include "core/crypto/crypto.h"

#define EMK_BINDING_LEN           32u
#define EMK_BINDING_CHALLENGE_LEN 36u  /* bytes; EMK_CHALLENGE_LEN of server/gate/nonce.h */
#define EMK_BINDING_KEY_LEN       65u  /* 04 || x || y on P-256 */
#define EMK_BINDING_APP_MAX       255u /* bytes */

typedef struct emk_binding {
    emk_span challenge; /* EMK_BINDING_CHALLENGE_LEN bytes */
    emk_span signing;   /* EMK_BINDING_KEY_LEN bytes each */
    emk_span agreement;
    emk_span app; /* as the claims name it; 1..EMK_BINDING_APP_MAX bytes */
} emk_binding;

/* Fills out.  EMK_E_USAGE for another length, for keys that do not begin with 04 and for one key
 * given as both; EMK_E_CRYPTO or EMK_E_NO_MEMORY.  Whether the keys are points is not looked
 * at. */
emk_status emk_binding_make(const emk_crypto *c, const emk_binding *b, uint8_t out[EMK_BINDING_LEN],
                            emk_error *e) EMK_MUST_CHECK;

/* EMK_E_SIGNATURE unless `got` is that value.  Statuses as above. */
emk_status emk_binding_verify(const emk_crypto *c, const emk_binding *b, emk_span got,
                              emk_error *e) EMK_MUST_CHECK;

#endif
