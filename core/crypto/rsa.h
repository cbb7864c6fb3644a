/* RSA public keys: verifying what others signed, and encrypting a short secret to a TPM.
 * [RFC 8017]
 *
 * Nothing of Earmark's own is signed or sealed with RSA; it is here for what vendors made:
 * JSON tokens, TPM attestation keys, endorsement keys.  The caller names the scheme, never the
 * message.  SHA-1 verifies only under names that say so, for TPMs of their time.
 *
 * Thread rule: a finished key is immutable and may be shared. */
#ifndef EMK_CORE_CRYPTO_RSA_H
#define EMK_CORE_CRYPTO_RSA_H

#include "core/crypto/crypto.h"

#define EMK_RSA_MODULUS_MIN  256u /* bytes: 2048 bits */
#define EMK_RSA_MODULUS_MAX  1024u
#define EMK_RSA_EXPONENT_MAX 4u    /* bytes; odd, and at least 3 */
#define EMK_RSA_LABEL_MAX    64u   /* bytes of an OAEP label */
#define EMK_RSA_SPKI_MAX     1100u /* bytes of a SubjectPublicKeyInfo within these limits */

typedef enum emk_rsa_scheme {
    EMK_RSA_PKCS1_SHA256 = 1, /* RSASSA-PKCS1-v1_5 */
    EMK_RSA_PKCS1_SHA384,
    EMK_RSA_PKCS1_SHA512,
    EMK_RSA_PKCS1_SHA1_LEGACY,
    EMK_RSA_PSS_SHA256, /* RSASSA-PSS, MGF1 with the same hash, salt as long as the hash */
    EMK_RSA_PSS_SHA384,
    EMK_RSA_PSS_SHA512,
    EMK_RSA_PSS_SHA1_LEGACY,
    EMK_RSA_PSS_SHA256_ANY_SALT, /* the same with salts of any length, as TPMs make them */
    EMK_RSA_PSS_SHA384_ANY_SALT
} emk_rsa_scheme;

/* Whether the modulus (big endian) has the mark of CVE-2017-15361: its factors can be found. */
bool emk_rsa_is_roca(emk_span modulus);

typedef struct emk_rsa_public emk_rsa_public;

/* Gives a key from n and e, unsigned big endian (zeros in front are ignored; borrowed); free with
 * emk_rsa_public_free.  Keeps c.  EMK_E_LIMIT for a modulus or exponent out of the limits above,
 * EMK_E_FORMAT for an even modulus or exponent, and for a key that is known to be weak
 * (emk_rsa_is_roca); EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_rsa_public_new(const emk_crypto *c, emk_span n, emk_span exponent,
                              emk_rsa_public **out, emk_error *e) EMK_MUST_CHECK;

/* The same from a SubjectPublicKeyInfo in DER, all of it: rsaEncryption [RFC 3279 2.3.1], or
 * id-RSAES-OAEP, which some makers of TPMs wrote into endorsement certificates.  EMK_E_FORMAT;
 * EMK_E_UNSUPPORTED for a key of another kind. */
emk_status emk_rsa_public_from_spki(const emk_crypto *c, emk_span spki, emk_rsa_public **out,
                                    emk_error *e) EMK_MUST_CHECK;

/* Bytes of the modulus, of a signature and of a ciphertext. */
size_t emk_rsa_public_len(const emk_rsa_public *k);
/* Lends the modulus without zeros in front.  Two keys are one when this and the exponent agree. */
emk_span emk_rsa_public_modulus(const emk_rsa_public *k);
uint32_t emk_rsa_public_exponent(const emk_rsa_public *k);
/* NULL is fine. */
void emk_rsa_public_free(emk_rsa_public *k);

/* EMK_OK when sig is the key's over msg; EMK_E_SIGNATURE when not; EMK_E_UNSUPPORTED for an
 * unknown scheme; EMK_E_CRYPTO or EMK_E_NO_MEMORY when that could not be found out. */
emk_status emk_rsa_verify(const emk_rsa_public *k, emk_rsa_scheme scheme, emk_span msg,
                          emk_span sig, emk_error *e) EMK_MUST_CHECK;

typedef enum emk_rsa_oaep_hash {
    EMK_RSA_OAEP_SHA256 = 1,
    EMK_RSA_OAEP_SHA384,
    EMK_RSA_OAEP_SHA1
} emk_rsa_oaep_hash;

typedef struct emk_rsa_oaep {
    emk_rsa_oaep_hash hash; /* of the label and in MGF1 */
    emk_span label;         /* at most EMK_RSA_LABEL_MAX bytes; may be empty */
} emk_rsa_oaep;

/* RSAES-OAEP: fills out with emk_rsa_public_len bytes.  EMK_E_USAGE for a message or label that
 * is too long, or an unknown hash; EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_rsa_oaep_encrypt(const emk_rsa_public *k, const emk_rsa_oaep *how, emk_span msg,
                                uint8_t *out, emk_error *e) EMK_MUST_CHECK;

/* --- private keys, for simulators and tests -------------------------------------------------- */

typedef struct emk_rsa_private emk_rsa_private;

/* Gives a fresh key of 2048..4096 bits with e = 65537, or one from an unencrypted PKCS #8 file in
 * DER (borrowed).  Free with emk_rsa_private_free.  Keeps c.  The key lives in libcrypto's
 * ordinary memory: for nothing that must stay secret. */
emk_status emk_rsa_private_generate(const emk_crypto *c, unsigned bits, emk_rsa_private **out,
                                    emk_error *e) EMK_MUST_CHECK;
emk_status emk_rsa_private_from_pkcs8(const emk_crypto *c, emk_span der, emk_rsa_private **out,
                                      emk_error *e) EMK_MUST_CHECK;
/* Lends the public half. */
const emk_rsa_public *emk_rsa_private_public(const emk_rsa_private *k);
void emk_rsa_private_free(emk_rsa_private *k);

/* Fills sig with emk_rsa_public_len bytes.  EMK_E_UNSUPPORTED, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_rsa_sign(const emk_rsa_private *k, emk_rsa_scheme scheme, emk_span msg, uint8_t *sig,
                        emk_error *e) EMK_MUST_CHECK;
/* Fills out (emk_rsa_public_len bytes of room) and *len.  EMK_E_SEALED. */
emk_status emk_rsa_oaep_decrypt(const emk_rsa_private *k, const emk_rsa_oaep *how, emk_span cipher,
                                uint8_t *out, size_t *len, emk_error *e) EMK_MUST_CHECK;

/* Fills out with the SubjectPublicKeyInfo [RFC 3279 2.3.1] and *len. */
emk_status emk_rsa_public_to_spki(const emk_rsa_public *k, uint8_t out[EMK_RSA_SPKI_MAX],
                                  size_t *len, emk_error *e) EMK_MUST_CHECK;

#endif
