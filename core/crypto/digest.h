/* Hashes and HMACs by number, for formats that name theirs: TPM structures.  [FIPS 180-4]
 * [RFC 2104]
 *
 * What Earmark makes itself uses core/crypto/hash.h and kdf.h.  SHA-1 is here to read what old
 * TPMs wrote; whether it counts is for the caller's policy. */
#ifndef EMK_CORE_CRYPTO_DIGEST_H
#define EMK_CORE_CRYPTO_DIGEST_H

#include "core/crypto/crypto.h"

#define EMK_DIGEST_MAX 64u /* bytes of the longest */

typedef enum emk_digest_alg {
    EMK_DIGEST_SHA256 = 1,
    EMK_DIGEST_SHA384,
    EMK_DIGEST_SHA512,
    EMK_DIGEST_SHA1_LEGACY
} emk_digest_alg;

/* Bytes; 0 for a number that is none. */
size_t emk_digest_len(emk_digest_alg alg);

/* Hashes the parts as if they were one string.  Fills out with emk_digest_len bytes.
 * EMK_E_UNSUPPORTED for an unknown number; EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_digest(const emk_crypto *c, emk_digest_alg alg, const emk_span *parts,
                      size_t n_parts, uint8_t *out, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_hmac_key {
    emk_digest_alg alg;
    emk_span bytes; /* any length */
} emk_hmac_key;

/* HMAC over the parts; the same. */
emk_status emk_hmac(const emk_crypto *c, const emk_hmac_key *key, const emk_span *parts,
                    size_t n_parts, uint8_t *out, emk_error *e) EMK_MUST_CHECK;

#endif
