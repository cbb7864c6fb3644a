/* Keys as JSON Web Keys, the few kinds that the vectors use.  [RFC 7517] [RFC 8037] */
#ifndef EMK_TESTS_CONFORMANCE_JWK_H
#define EMK_TESTS_CONFORMANCE_JWK_H

#include "tests/conformance/vec.h"

typedef enum emk_jwk_kind {
    EMK_JWK_OTHER,
    EMK_JWK_P256,
    EMK_JWK_X25519,
    EMK_JWK_ED25519,
    EMK_JWK_OCT
} emk_jwk_kind;

typedef struct emk_jwk {
    emk_jwk_kind kind;
    emk_span public_key;  /* P-256: 04 || x || y; empty when the key has none */
    emk_span private_key; /* d or k; empty when the key has none */
} emk_jwk;

/* Reads a key.  True also for a kind that is not known (EMK_JWK_OTHER); false for one that is
 * not well-formed: no kty or crv, no canonical base64url, a coordinate of another length.
 * COSE's examples write x_hex for x, and so on: also fine. */
bool emk_jwk_read(emk_vec *v, const emk_dom *jwk, emk_jwk *out);

#endif
