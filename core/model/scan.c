#include "core/model/internal.h"

#define SMALL_INT_MAX 64u /* bytes: shapes and axes are no longer than this */

emk_status emk_scan_step(emk_scan *s, uint64_t n, emk_error *e)
{
    if (n > s->limits.max_steps - s->report.steps)
        return emk_fail(e, EMK_E_LIMIT, "model: too much work for its size", s->limits.max_steps);
    s->report.steps += n;
    return EMK_OK;
}

static bool is_small_int(const emk_tensor *t)
{
    return t->flags == 0 && t->length <= SMALL_INT_MAX && t->kind == EMK_TENSOR_WEIGHT &&
           (t->dtype == EMK_DTYPE_I32 || t->dtype == EMK_DTYPE_I64 || t->dtype == EMK_DTYPE_BOOL);
}

static bool is_inside(const emk_scan *s, const emk_tensor *t)
{
    return t->offset >= s->base && t->offset - s->base <= s->len &&
           t->length <= s->len - (t->offset - s->base);
}

emk_status emk_scan_emit(emk_scan *s, const emk_tensor *t, emk_error *e)
{
    emk_model_report *r = &s->report;

    if (t->part == 0 && !is_inside(s, t))
        return emk_fail(e, EMK_E_FORMAT, "model: tensor outside the file", t->offset);
    if (t->length > UINT64_MAX - t->offset || t->length > UINT64_MAX - r->weight_bytes)
        return emk_fail(e, EMK_E_FORMAT, "model: tensor length", t->length);
    if ((s->limits.flags & EMK_MODEL_KEEP_SMALL_INT) && is_small_int(t))
        return emk_scan_clear(s, EMK_CLEAR_SMALL_INT, t->length, e);
    if (r->tensors >= s->limits.max_tensors)
        return emk_fail(e, EMK_E_LIMIT, "model: too many tensors", s->limits.max_tensors);
    r->tensors++;
    r->weight_bytes += t->length;
    if (t->kind == EMK_TENSOR_CHECKSUM)
        r->checksum_bytes += t->length;
    if (t->part != 0)
        r->external_bytes += t->length;
    return s->fn ? s->fn(s->self, t, e) : EMK_OK;
}

emk_status emk_scan_whole(emk_scan *s, emk_tensor_kind kind, emk_error *e)
{
    emk_tensor t = {.offset = s->base, .length = s->len, .kind = (uint8_t)kind};

    t.flags = EMK_TENSOR_WHOLE;
    return emk_scan_emit(s, &t, e);
}

emk_status emk_scan_clear(emk_scan *s, emk_clear why, uint64_t bytes, emk_error *e)
{
    uint64_t *sum = &s->report.clear[why];

    if (bytes == 0)
        return EMK_OK;
    *sum = bytes > UINT64_MAX - *sum ? UINT64_MAX : *sum + bytes;
    if ((s->limits.flags & EMK_MODEL_STRICT) && why != EMK_CLEAR_STRING &&
        why != EMK_CLEAR_SMALL_INT && why != EMK_CLEAR_MEMBER)
        return emk_fail(e, EMK_E_UNSUPPORTED, "model: weights may stay clear", bytes);
    return EMK_OK;
}
