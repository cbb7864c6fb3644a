/* HMAC-SHA256, HKDF-SHA256 and the two passphrase functions.
 * [RFC 2104] [RFC 5869] [RFC 8018] [RFC 7914]
 *
 * Outputs are secrets as a rule: the caller owns them and wipes them.  After a failure that
 * came late an output of the caller's length (out, out_len) is zeroed, not untouched. */
#ifndef EMK_CORE_CRYPTO_KDF_H
#define EMK_CORE_CRYPTO_KDF_H

#include "core/crypto/crypto.h"

#define EMK_HMAC_LEN         32u
#define EMK_HKDF_OUT_MAX     8160u     /* bytes: 255 blocks of 32 [RFC 5869 2.3] */
#define EMK_PBKDF2_ITER_MAX  10000000u /* a file must not buy a minute of our time */
#define EMK_SCRYPT_P_MAX     16u
#define EMK_SCRYPT_MEM_LIMIT (UINT64_C(1) << 30) /* bytes: beyond any sane mem_max */

/* HMAC-SHA256 over the parts, as if they were one string.  Fills mac.  The key may have any
 * length; short keys and the same padded with zeros are one key, so keys of Earmark's own
 * always have 32 bytes.  Compare with emk_ct_equal.  EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_hmac_sha256(const emk_crypto *c, emk_span key, const emk_span *parts, size_t n_parts,
                           uint8_t mac[32], emk_error *e) EMK_MUST_CHECK;

/* HKDF-Extract.  Fills prk.  An empty salt means 32 zeros; ikm may be empty.  EMK_E_CRYPTO or
 * EMK_E_NO_MEMORY. */
emk_status emk_hkdf_extract(const emk_crypto *c, emk_span salt, emk_span ikm, uint8_t prk[32],
                            emk_error *e) EMK_MUST_CHECK;

/* HKDF-Expand.  Fills out with len bytes; 0 bytes is fine and does nothing.  EMK_E_LIMIT when
 * len is over EMK_HKDF_OUT_MAX; EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_hkdf_expand(const emk_crypto *c, const uint8_t prk[32], emk_span info, uint8_t *out,
                           size_t len, emk_error *e) EMK_MUST_CHECK;

#define EMK_KDF_PARTS_MAX 16u

/* The two above for callers that have their strings in pieces (info: at most
 * EMK_KDF_PARTS_MAX, else EMK_E_USAGE). */
typedef struct emk_kdf_parts {
    const emk_span *v; /* borrowed */
    size_t n;
} emk_kdf_parts;

emk_status emk_hkdf_extract_parts(const emk_crypto *c, emk_span salt, emk_kdf_parts ikm,
                                  uint8_t prk[32], emk_error *e) EMK_MUST_CHECK;
emk_status emk_hkdf_expand_parts(const emk_crypto *c, const uint8_t prk[32], emk_kdf_parts info,
                                 uint8_t *out, size_t len, emk_error *e) EMK_MUST_CHECK;

/* PBKDF2-HMAC-SHA256, iterations 1..EMK_PBKDF2_ITER_MAX.  `pass`, `salt` and `out` belong to
 * the caller; out_len is 1..1024.  EMK_E_LIMIT, EMK_E_UNSUPPORTED, EMK_E_CRYPTO or
 * EMK_E_NO_MEMORY. */
typedef struct emk_pbkdf2 {
    emk_span pass;
    emk_span salt;
    uint32_t iterations;
} emk_pbkdf2;
emk_status emk_pbkdf2_derive(const emk_crypto *c, const emk_pbkdf2 *p, uint8_t *out, size_t out_len,
                             emk_error *e) EMK_MUST_CHECK;

/* scrypt.  mem_max is the most memory (bytes) it may take, about 128 * n * r: a stored
 * parameter never decides that alone.  n is a power of two above 1 (and below 2^(16 r)), r
 * at least 1, p 1..EMK_SCRYPT_P_MAX; out_len is 1..1024.  EMK_E_LIMIT when the memory or a
 * parameter is beyond; EMK_E_UNSUPPORTED, EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
typedef struct emk_scrypt {
    emk_span pass;
    emk_span salt;
    uint64_t n;
    uint32_t r;
    uint32_t p;
    uint64_t mem_max;
} emk_scrypt;
emk_status emk_scrypt_derive(const emk_crypto *c, const emk_scrypt *s, uint8_t *out, size_t out_len,
                             emk_error *e) EMK_MUST_CHECK;

#endif
