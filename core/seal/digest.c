#include "core/seal/digest.h"

#include "core/base/bytes.h"

static const char LEAF[] = "earmark/1 leaf"; /* hashed with their trailing zeros */
static const char REGION[] = "earmark/1 region";

emk_status emk_digest_leaf(emk_sha256_ctx *h, const uint8_t dsalt[EMK_DSALT_LEN],
                           const emk_segment *seg, emk_span plain, uint8_t out[EMK_HASH_LEN],
                           emk_error *e)
{
    uint8_t head[sizeof LEAF + EMK_DSALT_LEN + 8];
    emk_status st;

    memcpy(head, LEAF, sizeof LEAF);
    memcpy(head + sizeof LEAF, dsalt, EMK_DSALT_LEN);
    emk_store_u32be(head + sizeof LEAF + EMK_DSALT_LEN, seg->region);
    emk_store_u32be(head + sizeof LEAF + EMK_DSALT_LEN + 4, seg->in_region);
    st = emk_sha256_ctx_reset(h, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_update(h, emk_span_of(head, sizeof head), e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_update(h, plain, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_finish(h, out, e);
    return st;
}

emk_status emk_digest_region(emk_sha256_ctx *h, const emk_digest_region_in *in,
                             uint8_t out[EMK_HASH_LEN], emk_error *e)
{
    uint8_t head[sizeof REGION + EMK_DSALT_LEN + 12];
    emk_status st;

    memcpy(head, REGION, sizeof REGION);
    memcpy(head + sizeof REGION, in->dsalt, EMK_DSALT_LEN);
    emk_store_u32be(head + sizeof REGION + EMK_DSALT_LEN, in->region);
    emk_store_u64be(head + sizeof REGION + EMK_DSALT_LEN + 4, in->length);
    st = emk_sha256_ctx_reset(h, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_update(h, emk_span_of(head, sizeof head), e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_update(h, emk_span_of(in->leaves, (size_t)in->n_leaves * EMK_HASH_LEN),
                                   e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_finish(h, out, e);
    return st;
}

emk_status emk_digest_check(const emk_crypto *c, const emk_plan *plan, const emk_layout *l,
                            const uint8_t (*leaves)[EMK_HASH_LEN], emk_error *e)
{
    emk_digest_region_in in = {.dsalt = plan->dsalt, .leaves = leaves};
    emk_sha256_ctx *h = NULL;
    emk_status st;

    if (!plan->digests)
        return EMK_OK;
    st = emk_sha256_ctx_new(c, &h, e);
    for (uint32_t i = 0; st == EMK_OK && i < plan->n_regions; i++) {
        uint8_t digest[EMK_HASH_LEN];

        in.region = i + 1;
        in.length = plan->regions[i].length;
        in.n_leaves = emk_segments_of(in.length);
        in.leaves = leaves + (l->regions[i + 1].first_segment - l->regions[1].first_segment);
        st = emk_digest_region(h, &in, digest, e);
        if (st == EMK_OK && memcmp(digest, plan->digests[i], EMK_HASH_LEN) != 0)
            st = emk_fail(e, EMK_E_SEALED, "sealed: the model is not what its issuer signed", i);
    }
    emk_sha256_ctx_free(h);
    return st;
}
