/* Signatures: Ed25519 and ES256 (ECDSA on P-256 with SHA-256), as 64 raw bytes.
 * [RFC 8032] [FIPS 186-5] [RFC 9053 2.1]
 *
 * The key decides the algorithm, never the message.  Domain separation belongs into the
 * message: context parameters are silently ignored by OpenSSL 3.0.  Messages are whole,
 * Ed25519 cannot be fed in steps.
 *
 * Thread rule: a finished key is immutable and may be shared. */
#ifndef EMK_CORE_CRYPTO_SIGN_H
#define EMK_CORE_CRYPTO_SIGN_H

#include "core/crypto/crypto.h"

#define EMK_SIGN_LEN         64u /* bytes of a signature: Ed25519's, or r || s */
#define EMK_SIGN_PRIVATE_LEN 32u
#define EMK_SIGN_PUBLIC_MAX  65u
#define EMK_SIGN_DER_MAX     72u /* bytes of a DER ECDSA signature on P-256 */

typedef enum emk_sign_alg { EMK_SIGN_ED25519 = 1, EMK_SIGN_ES256 = 2 } emk_sign_alg;

typedef struct emk_verify_key emk_verify_key;
typedef struct emk_sign_key emk_sign_key;

/* 32 for Ed25519, 65 (04 || x || y) for ES256, 0 for anything else. */
size_t emk_sign_public_len(emk_sign_alg alg);

/* Fills a fresh key pair: 32 private bytes, emk_sign_public_len public ones.
 * EMK_E_UNSUPPORTED, EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_sign_generate(const emk_crypto *c, emk_sign_alg alg, uint8_t priv[32], uint8_t *pub,
                             emk_error *e) EMK_MUST_CHECK;

/* Gives a key that verifies; free with emk_verify_key_free.  Keeps c, borrows pub.
 * EMK_E_FORMAT for a wrong length or a point that is not on the curve; EMK_E_UNSUPPORTED,
 * EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_verify_key_new(const emk_crypto *c, emk_sign_alg alg, emk_span pub,
                              emk_verify_key **out, emk_error *e) EMK_MUST_CHECK;
emk_sign_alg emk_verify_key_alg(const emk_verify_key *k);
/* Lends the public bytes. */
emk_span emk_verify_key_public(const emk_verify_key *k);
void emk_verify_key_free(emk_verify_key *k);

/* EMK_OK when sig (exactly 64 bytes) is k's over msg; else EMK_E_SIGNATURE, or EMK_E_CRYPTO or
 * EMK_E_NO_MEMORY when that could not be found out.  ES256: r and s in 1..n-1, both of the
 * two valid s are accepted, as COSE and JOSE do: never use a signature as an identifier. */
emk_status emk_sign_verify(const emk_verify_key *k, emk_span msg, emk_span sig,
                           emk_error *e) EMK_MUST_CHECK;

/* The same for ES256 with sig in strict DER, Ecdsa-Sig-Value [RFC 3279 2.2.3]; EMK_E_USAGE for
 * an Ed25519 key, EMK_E_SIGNATURE for any other encoding. */
emk_status emk_sign_verify_der(const emk_verify_key *k, emk_span msg, emk_span sig,
                               emk_error *e) EMK_MUST_CHECK;

/* Gives a key that signs; free with emk_sign_key_free.  Keeps c, borrows the 32 private bytes
 * and works out the public key itself.  EMK_E_FORMAT for a wrong length or a scalar outside
 * 1..n-1; EMK_E_UNSUPPORTED, EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_sign_key_new(const emk_crypto *c, emk_sign_alg alg, emk_span priv,
                            emk_sign_key **out, emk_error *e) EMK_MUST_CHECK;
emk_sign_alg emk_sign_key_alg(const emk_sign_key *k);
/* Lends the public bytes. */
emk_span emk_sign_key_public(const emk_sign_key *k);
/* Wipes and frees.  NULL is fine. */
void emk_sign_key_free(emk_sign_key *k);

/* Fills sig.  EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_sign_make(const emk_sign_key *k, emk_span msg, uint8_t sig[64],
                         emk_error *e) EMK_MUST_CHECK;

/* r || s into DER and back, for hardware and files that speak DER.  From DER: EMK_E_FORMAT
 * unless it is the one strict encoding of r and s in 1..2^256-1.  To DER: fills out and
 * *out_len; EMK_E_FORMAT when r or s is 0. */
emk_status emk_sign_from_der(emk_span der, uint8_t sig[64], emk_error *e) EMK_MUST_CHECK;
emk_status emk_sign_to_der(const uint8_t sig[64], uint8_t out[EMK_SIGN_DER_MAX], size_t *out_len,
                           emk_error *e) EMK_MUST_CHECK;

#endif
