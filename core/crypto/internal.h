/* What the sources of this folder share.  Never included from outside it. */
#ifndef EMK_CORE_CRYPTO_INTERNAL_H
#define EMK_CORE_CRYPTO_INTERNAL_H

#include "core/base/fault.h"
#include "core/crypto/crypto.h"

#include <openssl/ec.h>
#include <openssl/evp.h>

#define P256_LEN 32u /* bytes of a scalar or a coordinate */

#define ML_KEM_SEED_LEN   64u /* d || z [FIPS 203 7.1] */
#define ML_KEM_PUBLIC_LEN 1184u
#define ML_KEM_ENC_LEN    1088u

struct emk_crypto {
    OSSL_LIB_CTX *lib; /* kept */
    char *propq;       /* owned; NULL: none */
    EVP_MD *sha256;
    EVP_MD *sha3_256; /* this and all below: NULL when absent */
    EVP_MD *shake256;
    EVP_KDF *pbkdf2;
    EVP_KDF *scrypt;
    EVP_CIPHER *aead[3];   /* by HPKE id - 1 */
    EC_GROUP *p256;        /* only for public keys from private ones */
    EVP_PKEY *p256_params; /* an EC key without a key: copying it is cheaper than naming it */
    bool has[EMK_CRYPTO_ABILITIES];
    emk_secret_pool *secrets; /* owned */
};

typedef enum emk_curve { EMK_CURVE_NONE, EMK_CURVE_X25519, EMK_CURVE_P256 } emk_curve;

/* Stands before every call into libcrypto that can fail:
 *     if (emk_lib_hit() || EVP_X(...) != 1) return emk_lib_fail(e, "...");
 * True: pretend that the call failed, do not make it. */
static inline bool emk_lib_hit(void)
{
    return emk_fault_hit(EMK_FAULT_CRYPTO);
}

/* For a libcrypto call that failed although its input was right: EMK_E_NO_MEMORY when that was
 * the reason, else EMK_E_CRYPTO.  Empties the thread's error queue: whoever embeds us must
 * not find our errors in it. */
emk_status emk_lib_fail(emk_error *e, const char *what);

/* For one that fails when the input is bad: `bad`, unless memory was the reason. */
emk_status emk_lib_refuse(emk_error *e, emk_status bad, const char *what);

/* Writes over the stack below the caller.  Stands behind the libcrypto calls that leave secrets
 * there, as the residue test showed: multiplication on P-256 by the generator and X25519 (the
 * scalar; so key generation, and an ECDSA nonce too), and of 3.5 PBKDF2 and ML-KEM. */
void emk_lib_wipe_stack(void);

/* ec.c, Diffie-Hellman on either curve with libcrypto's key objects.  Public keys have
 * emk_curve_public_len bytes.  EMK_E_UNSUPPORTED when the curve is not there. */
size_t emk_curve_public_len(emk_curve curve);
/* Gives a fresh key (EVP_PKEY_free) whose private half never leaves libcrypto; fills pub. */
emk_status emk_ec_generate(const emk_crypto *c, emk_curve curve, EVP_PKEY **out, uint8_t *pub,
                           emk_error *e) EMK_MUST_CHECK;
/* Gives a key from 32 private bytes; EMK_E_FORMAT for a bad P-256 scalar. */
emk_status emk_ec_import(const emk_crypto *c, emk_curve curve, const uint8_t priv[32],
                         EVP_PKEY **out, emk_error *e) EMK_MUST_CHECK;
/* Gives a public key object; EMK_E_FORMAT when the bytes are none. */
emk_status emk_ec_import_public(const emk_crypto *c, emk_curve curve, const uint8_t *pub,
                                EVP_PKEY **out, emk_error *e) EMK_MUST_CHECK;
/* Fills pub from 32 private bytes. */
emk_status emk_ec_public(const emk_crypto *c, emk_curve curve, const uint8_t priv[32], uint8_t *pub,
                         emk_error *e) EMK_MUST_CHECK;
/* Fills x; EMK_E_FORMAT for a bad peer or a result of zeros. */
emk_status emk_ec_derive(const emk_crypto *c, emk_curve curve, EVP_PKEY *mine, const uint8_t *peer,
                         uint8_t x[32], emk_error *e) EMK_MUST_CHECK;
/* A P-256 key pair object for ECDSA from both halves. */
emk_status emk_ec_import_pair(const emk_crypto *c, const uint8_t priv[32], const uint8_t pub[65],
                              EVP_PKEY **out, emk_error *e) EMK_MUST_CHECK;

/* mlkem.c.  EMK_E_UNSUPPORTED without ML-KEM. */
emk_status emk_mlkem_public(const emk_crypto *c, const uint8_t seed[ML_KEM_SEED_LEN],
                            uint8_t ek[ML_KEM_PUBLIC_LEN], emk_error *e) EMK_MUST_CHECK;
/* EMK_E_FORMAT when ek fails the modulus check of FIPS 203 7.2. */
emk_status emk_mlkem_check_public(const emk_crypto *c, const uint8_t ek[ML_KEM_PUBLIC_LEN],
                                  emk_error *e) EMK_MUST_CHECK;
/* m: 32 bytes that make it repeatable, for tests; NULL: random. */
emk_status emk_mlkem_encap(const emk_crypto *c, const uint8_t ek[ML_KEM_PUBLIC_LEN],
                           const uint8_t *m, uint8_t enc[ML_KEM_ENC_LEN], uint8_t secret[32],
                           emk_error *e) EMK_MUST_CHECK;
emk_status emk_mlkem_decap(const emk_crypto *c, const uint8_t seed[ML_KEM_SEED_LEN],
                           const uint8_t enc[ML_KEM_ENC_LEN], uint8_t secret[32],
                           emk_error *e) EMK_MUST_CHECK;

/* labeled.c: HPKE's labelled HKDF.  [RFC 9180 4] */
typedef struct emk_labeled {
    const emk_crypto *c;
    uint8_t suite[10]; /* "KEM" || kem, or "HPKE" || kem || kdf || aead: never mixed */
    size_t suite_len;
} emk_labeled;

typedef struct emk_label {
    const char *text;
    emk_span rest; /* what follows the label: ikm, or info */
} emk_label;

void emk_labeled_init_kem(emk_labeled *l, const emk_crypto *c, uint16_t kem);
void emk_labeled_init_hpke(emk_labeled *l, const emk_crypto *c, const uint16_t ids[3]);
emk_status emk_labeled_extract(const emk_labeled *l, emk_span salt, emk_label label,
                               uint8_t prk[32], emk_error *e) EMK_MUST_CHECK;
emk_status emk_labeled_expand(const emk_labeled *l, const uint8_t prk[32], emk_label label,
                              uint8_t *out, size_t len, emk_error *e) EMK_MUST_CHECK;
/* The one-stage SHAKE256 form, which only DeriveKeyPair of the post-quantum KEMs uses.
 * [draft-ietf-hpke-pq] */
emk_status emk_labeled_derive(const emk_labeled *l, emk_span ikm, const char *label, uint8_t *out,
                              size_t len, emk_error *e) EMK_MUST_CHECK;

#endif
