/* SHA-256, and the SHA-3 functions that the hybrid KEMs need.  [FIPS 180-4] [FIPS 202] */
#ifndef EMK_CORE_CRYPTO_HASH_H
#define EMK_CORE_CRYPTO_HASH_H

#include "core/crypto/crypto.h"

#define EMK_SHA256_LEN   32u
#define EMK_SHA3_256_LEN 32u

/* Hashes the parts one after the other, as if they were one string (parts carry no length:
 * the caller's encoding must be unambiguous).  Fills out.  n_parts may be 0.  EMK_E_CRYPTO or
 * EMK_E_NO_MEMORY. */
emk_status emk_sha256(const emk_crypto *c, const emk_span *parts, size_t n_parts, uint8_t out[32],
                      emk_error *e) EMK_MUST_CHECK;

/* The same with SHA3-256.  EMK_E_UNSUPPORTED when the providers have none. */
emk_status emk_sha3_256(const emk_crypto *c, const emk_span *parts, size_t n_parts, uint8_t out[32],
                        emk_error *e) EMK_MUST_CHECK;

/* SHAKE256 of one string, out_len (1..65536) bytes of it.  EMK_E_USAGE for another length;
 * EMK_E_UNSUPPORTED when the providers have none. */
emk_status emk_shake256(const emk_crypto *c, emk_span in, uint8_t *out, size_t out_len,
                        emk_error *e) EMK_MUST_CHECK;

/* SHA-256 in steps.  One object, one thread; made to be reset many times. */
typedef struct emk_sha256_ctx emk_sha256_ctx;

/* Gives a context that has hashed nothing yet; free with emk_sha256_ctx_free.  Keeps c. */
emk_status emk_sha256_ctx_new(const emk_crypto *c, emk_sha256_ctx **out,
                              emk_error *e) EMK_MUST_CHECK;

/* Starts a new message.  After a failure of any call below this is the only way on. */
emk_status emk_sha256_ctx_reset(emk_sha256_ctx *h, emk_error *e) EMK_MUST_CHECK;
emk_status emk_sha256_ctx_update(emk_sha256_ctx *h, emk_span data, emk_error *e) EMK_MUST_CHECK;

/* Fills out.  Until the next reset, update and finish are EMK_E_USAGE. */
emk_status emk_sha256_ctx_finish(emk_sha256_ctx *h, uint8_t out[32], emk_error *e) EMK_MUST_CHECK;

/* Wipes and frees.  NULL is fine. */
void emk_sha256_ctx_free(emk_sha256_ctx *h);

#endif
