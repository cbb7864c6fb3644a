/* A world with fixed keys for the container's fuzzers: one small model, sealed and accepted
 * once, and bytes from the fuzzer put into it. */
#ifndef EMK_FUZZ_SEAL_COMMON_H
#define EMK_FUZZ_SEAL_COMMON_H

#include "core/seal/accept.h"
#include "core/seal/record.h"
#include "core/seal/seal.h"
#include "core/seal/segment.h"
#include "core/seal/vault.h"

#define SEAL_NOW       UINT64_C(1800000000)
#define SEAL_MODEL_LEN 70000u
#define SEAL_FILE_MAX  ((size_t)1 << 20)

typedef struct seal_world {
    emk_crypto *crypto;
    emk_sign_key *issuer_key;
    emk_signer issuer;
    emk_verify_key *issuer_public;
    emk_kem_private *device_key, *request_key;
    emk_buf policy, identity;
    uint8_t model[SEAL_MODEL_LEN]; /* 50000 sealed, 10000 tensor, 10000 clear */
    emk_buf sealed, inner, vault;  /* the .emk, its weights layer, the vault file */
    uint8_t part[1024];            /* the plaintext of the sealed part */
    size_t part_len;
} seal_world;

/* Made at the first call. */
seal_world *seal_world_get(void);

void seal_accept_in(seal_world *w, const emk_source *sealed, emk_accept_in *in);

/* A copy of `bytes` with patches from the fuzzer: u32 offset, u8 count, so many bytes, again
 * and again.  Free with emk_buf_done. */
void seal_patched(emk_span bytes, emk_span patches, emk_buf *out);

/* Puts a file layer around a weights layer. */
void seal_wrap(seal_world *w, emk_span inner, emk_buf *out);

/* A weights layer, all in order but for what stands in the sealed part and how long the model
 * is said to be; its segments are zeros. */
void seal_layer_around(seal_world *w, emk_span part, uint64_t model_len, emk_buf *out);

/* Signs any payload as a header. */
void seal_header(seal_world *w, emk_layer layer, emk_span payload, emk_buf *out);

#endif
