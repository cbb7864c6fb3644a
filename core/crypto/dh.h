/* X25519, P-256 and (one-sided) P-384 Diffie-Hellman over raw bytes.  [RFC 7748] [SP 800-56A]
 *
 * Private keys are 32 bytes that the caller draws here, stores and wipes; libcrypto never
 * exports one.  P-256 public keys are 65 bytes: 04 || x || y, no other form. */
#ifndef EMK_CORE_CRYPTO_DH_H
#define EMK_CORE_CRYPTO_DH_H

#include "core/crypto/crypto.h"

#define EMK_X25519_LEN       32u
#define EMK_P256_PRIVATE_LEN 32u
#define EMK_P256_PUBLIC_LEN  65u
#define EMK_P256_SHARED_LEN  32u
#define EMK_P384_PUBLIC_LEN  97u
#define EMK_P384_SHARED_LEN  48u

/* Fills a fresh key pair.  EMK_E_UNSUPPORTED, EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_x25519_generate(const emk_crypto *c, uint8_t priv[32], uint8_t pub[32],
                               emk_error *e) EMK_MUST_CHECK;
emk_status emk_p256_generate(const emk_crypto *c, uint8_t priv[32], uint8_t pub[65],
                             emk_error *e) EMK_MUST_CHECK;

/* Fills pub from a private key.  P-256: EMK_E_FORMAT for 0, n and above. */
emk_status emk_x25519_public(const emk_crypto *c, const uint8_t priv[32], uint8_t pub[32],
                             emk_error *e) EMK_MUST_CHECK;
emk_status emk_p256_public(const emk_crypto *c, const uint8_t priv[32], uint8_t pub[65],
                           emk_error *e) EMK_MUST_CHECK;

/* Whether priv is in 1..n-1; time does not depend on the value. */
bool emk_p256_private_is_valid(const uint8_t priv[32]);

/* Refuses, with EMK_E_FORMAT, whatever is not 04 || x || y of a point on the curve with x and
 * y below p.  EMK_E_UNSUPPORTED, EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_p256_check_public(const emk_crypto *c, const uint8_t pub[65],
                                 emk_error *e) EMK_MUST_CHECK;

/* Fills x with the shared secret (P-256: the x coordinate, 32 bytes always).  The peer's key
 * is checked first.  EMK_E_FORMAT for a bad peer, a bad private key, or an X25519 result of
 * zeros (a low-order peer) [RFC 9180 7.1.4]; EMK_E_UNSUPPORTED, EMK_E_CRYPTO or
 * EMK_E_NO_MEMORY. */
emk_status emk_dh_x25519(const emk_crypto *c, const uint8_t priv[32], const uint8_t peer[32],
                         uint8_t x[32], emk_error *e) EMK_MUST_CHECK;
emk_status emk_dh_p256(const emk_crypto *c, const uint8_t priv[32], const uint8_t peer[65],
                       uint8_t x[32], emk_error *e) EMK_MUST_CHECK;

/* P-384, for endorsement keys of TPMs: draws a key that nobody keeps, fills pub (04 || x || y)
 * with its public half and x with the coordinate shared with peer (of the same form).
 * EMK_E_FORMAT for a peer that is no point; EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_dh_p384_once(const emk_crypto *c, const uint8_t peer[EMK_P384_PUBLIC_LEN],
                            uint8_t pub[EMK_P384_PUBLIC_LEN], uint8_t x[EMK_P384_SHARED_LEN],
                            emk_error *e) EMK_MUST_CHECK;

#endif
