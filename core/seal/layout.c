#include "core/seal/layout.h"

#include "core/base/alloc.h"

uint32_t emk_segments_of(uint64_t region_len)
{
    return (uint32_t)((region_len + EMK_SEGMENT_LEN - 1) / EMK_SEGMENT_LEN);
}

emk_status emk_layout_init(emk_layout *l, const emk_plan *plan, uint64_t sealed_part_len,
                           emk_error *e)
{
    emk_layout made = {.n_regions = plan->n_regions + 1,
                       .sealed_part_len = sealed_part_len,
                       .model_len = plan->model_len};
    uint64_t at = 0;

    made.regions = emk_alloc(made.n_regions, sizeof *made.regions);
    if (!made.regions)
        return emk_fail(e, EMK_E_NO_MEMORY, "layout: no memory", made.n_regions);
    made.regions[0] = (emk_layout_region){.length = sealed_part_len};
    made.n_segments = emk_segments_of(sealed_part_len);
    for (uint32_t i = 0; i < plan->n_regions; i++) {
        made.regions[i + 1] = (emk_layout_region){.length = plan->regions[i].length,
                                                  .at = at,
                                                  .first_segment = made.n_segments,
                                                  .kind = plan->regions[i].kind};
        at += plan->regions[i].length;
        made.n_segments += emk_segments_of(plan->regions[i].length);
    }
    *l = made;
    return EMK_OK;
}

void emk_layout_done(emk_layout *l)
{
    emk_free(l->regions);
    l->regions = NULL;
}

static emk_segment segment_of(const emk_layout *l, uint32_t region, uint32_t in_region)
{
    const emk_layout_region *r = &l->regions[region];
    uint64_t at = (uint64_t)in_region * EMK_SEGMENT_LEN;
    uint64_t left = r->length - at;
    emk_segment seg = {.number = r->first_segment + in_region,
                       .region = region,
                       .in_region = in_region,
                       .len = left < EMK_SEGMENT_LEN ? (uint32_t)left : EMK_SEGMENT_LEN,
                       .at = r->at + at,
                       .kind = r->kind,
                       .last = left <= EMK_SEGMENT_LEN};
    return seg;
}

emk_segment emk_layout_segment(const emk_layout *l, uint32_t number)
{
    uint32_t low = 0, high = l->n_regions; /* the region is in [low, high) */

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (l->regions[mid].first_segment <= number)
            low = mid;
        else
            high = mid;
    }
    return segment_of(l, low, number - l->regions[low].first_segment);
}

emk_segment emk_layout_next(const emk_layout *l, const emk_segment *seg)
{
    return seg->last ? segment_of(l, seg->region + 1, 0)
                     : segment_of(l, seg->region, seg->in_region + 1);
}

emk_segment emk_layout_find(const emk_layout *l, uint64_t model_off)
{
    uint32_t low = 1, high = l->n_regions;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;

        if (l->regions[mid].at <= model_off)
            low = mid;
        else
            high = mid;
    }
    return segment_of(l, low, (uint32_t)((model_off - l->regions[low].at) / EMK_SEGMENT_LEN));
}

uint64_t emk_layout_delivered(const emk_layout *l, uint32_t number)
{
    uint64_t tags = (uint64_t)number * EMK_AEAD_TAG_LEN;
    emk_segment seg;

    if (number == l->n_segments)
        return l->sealed_part_len + l->model_len + tags;
    seg = emk_layout_segment(l, number);
    return (seg.region ? l->sealed_part_len : 0) + seg.at + tags;
}

static uint64_t round_up(uint64_t n, uint64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

uint64_t emk_sealed_part_stored(uint64_t sealed_part_len)
{
    return sealed_part_len + (uint64_t)emk_segments_of(sealed_part_len) * EMK_AEAD_TAG_LEN;
}

emk_vault_places emk_layout_vault(const emk_layout *l)
{
    uint64_t align = l->model_len >= EMK_VAULT_BIG ? EMK_VAULT_BIG_ALIGN : EMK_VAULT_ALIGN;
    uint32_t n_tags = l->n_segments - emk_segments_of(l->sealed_part_len);
    emk_vault_places p;

    p.tags =
        EMK_VAULT_SEALED + round_up(emk_sealed_part_stored(l->sealed_part_len), EMK_VAULT_ALIGN);
    p.payload = round_up(p.tags + (uint64_t)n_tags * EMK_AEAD_TAG_LEN, align);
    p.end = p.payload + l->model_len;
    return p;
}

emk_status emk_batches_init(emk_batches *b, const emk_layout *l, uint32_t from, emk_error *e)
{
    /* Any two batches in a row are longer than one may be. */
    uint64_t bytes = l->model_len + l->sealed_part_len;
    uint64_t max = 2 * (bytes / EMK_BATCH_LEN + l->n_segments / EMK_BATCH_SEGMENTS) + 4;
    uint64_t in_batch = 0;
    emk_segment seg;

    b->n = 0;
    b->first = emk_alloc((size_t)max, sizeof *b->first);
    if (!b->first)
        return emk_fail(e, EMK_E_NO_MEMORY, "layout: no memory", max);
    b->first[0] = from;
    for (uint32_t i = from; i < l->n_segments; i++) {
        seg = i > from ? emk_layout_next(l, &seg) : emk_layout_segment(l, i);
        if (in_batch + seg.len > EMK_BATCH_LEN || i - b->first[b->n] == EMK_BATCH_SEGMENTS) {
            b->first[++b->n] = i;
            in_batch = 0;
        }
        in_batch += seg.len;
    }
    if (from < l->n_segments)
        b->first[++b->n] = l->n_segments;
    return EMK_OK;
}

void emk_batches_done(emk_batches *b)
{
    emk_free(b->first);
    b->first = NULL;
    b->n = 0;
}
