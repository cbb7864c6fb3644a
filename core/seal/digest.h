/* Salted digests of regions: what the signature says about the bytes themselves, against
 * somebody who holds the key and could make the tags fit.  [container 6.4] */
#ifndef EMK_CORE_SEAL_DIGEST_H
#define EMK_CORE_SEAL_DIGEST_H

#include "core/crypto/hash.h"
#include "core/seal/layout.h"

/* leaf(r, s) over the plaintext of one segment. */
emk_status emk_digest_leaf(emk_sha256_ctx *h, const uint8_t dsalt[EMK_DSALT_LEN],
                           const emk_segment *seg, emk_span plain, uint8_t out[EMK_HASH_LEN],
                           emk_error *e) EMK_MUST_CHECK;

/* digest(r) from the leaves of one region, n of them behind each other. */
typedef struct emk_digest_region_in {
    const uint8_t *dsalt;
    uint32_t region;
    uint64_t length;
    const uint8_t (*leaves)[EMK_HASH_LEN];
    uint32_t n_leaves;
} emk_digest_region_in;
emk_status emk_digest_region(emk_sha256_ctx *h, const emk_digest_region_in *in,
                             uint8_t out[EMK_HASH_LEN], emk_error *e) EMK_MUST_CHECK;

/* Compares the leaves of the whole model (for segments from the first of region 1 on) with a
 * plan's digests.  EMK_E_SEALED on a difference, EMK_OK when the plan has none. */
emk_status emk_digest_check(const emk_crypto *c, const emk_plan *plan, const emk_layout *l,
                            const uint8_t (*leaves)[EMK_HASH_LEN], emk_error *e) EMK_MUST_CHECK;

#endif
