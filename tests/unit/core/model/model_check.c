#include "tests/unit/core/model/model_check.h"

static emk_status keep(void *self, const emk_tensor *t, emk_error *e)
{
    model_check *c = self;

    if (c->n_seen < CHECK_MAX)
        c->seen[c->n_seen++] = *t;
    return emk_extents_add(&c->x, t, e);
}

emk_status model_check_scan(model_check *c, emk_model_format f, emk_span bytes, uint32_t flags)
{
    emk_model_limits limits = {.flags = flags};

    c->n_seen = 0;
    memset(&c->report, 0, sizeof c->report);
    emk_extents_init(&c->x, c->v, CHECK_MAX);
    emk_image_from_span(&c->im, bytes);
    return emk_model_scan(f, &c->im, &limits, keep, c, &c->report, &c->e);
}

emk_status model_check_all(model_check *c, emk_model_format f, emk_span bytes, uint32_t flags)
{
    emk_model_limits limits = {.flags = flags};
    uint64_t part_len[1 + EMK_MODEL_PARTS_MAX];
    emk_status st = model_check_scan(c, f, bytes, flags);

    if (st != EMK_OK)
        return st;
    for (uint32_t i = 1; i <= EMK_MODEL_PARTS_MAX; i++)
        part_len[i] = 1 << 20;
    part_len[0] = bytes.len;
    st = emk_extents_settle(&c->x, part_len, 1 + c->report.n_parts, &c->e);
    if (st != EMK_OK)
        return st;
    return emk_extents_check_stable(&c->x, f, &c->im, &limits, &c->e);
}
