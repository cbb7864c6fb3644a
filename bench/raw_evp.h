/* The baselines in libcrypto: its own calls, used as well as we know how, with nothing around
 * them.  The only source outside core/crypto that includes <openssl/...>. */
#ifndef EMK_BENCH_RAW_EVP_H
#define EMK_BENCH_RAW_EVP_H

#include "bench/bench.h"

/* AES-256-GCM, one context, one key set once, a new nonce for each message. */
typedef struct raw_gcm raw_gcm;
raw_gcm *raw_gcm_new(void);
void raw_gcm_free(raw_gcm *g);
void raw_gcm_seal(raw_gcm *g, const uint8_t *in, uint8_t *out, size_t len, uint8_t tag[16]);
/* The message that was sealed last. */
void raw_gcm_open(raw_gcm *g, const uint8_t *in, uint8_t *out, size_t len, uint8_t tag[16]);

/* SHA-256 of len bytes. */
void raw_sha256(const uint8_t *in, size_t len);

/* The public-key operations behind one device's file. */
typedef struct raw_exchange raw_exchange;
raw_exchange *raw_exchange_new(void);
void raw_exchange_free(raw_exchange *x);
/* A key pair on X25519 and one on P-256 with their public bytes, the peer's public keys imported
 * (P-256: checked to be on the curve), both shared secrets. */
void raw_exchange_agree(raw_exchange *x);
/* An Ed25519 signature over len bytes (at most 4096). */
void raw_exchange_sign(raw_exchange *x, size_t len);

#endif
