#include "core/pack/pack.h"

#include "core/base/alloc.h"
#include "core/codec/utf8.h"
#include "core/model/extents.h"

#include <stdlib.h>

#define INDEX_SHARE   4096u               /* the index may take 1/4096 of the model ... */
#define INDEX_MAX     (UINT32_C(4) << 20) /* ... and never more than this */
#define REGIONS_SHARE 16384u              /* tensors with regions of their own, at most */

typedef struct packer {
    const emk_crypto *crypto;
    const emk_pack_in *in;
    emk_image image;
    emk_model_limits limits;
    emk_extents extents;
    emk_tensor *tensors; /* owned: what extents lists */
    emk_pack_report report;
} packer;

/* ---- what is in the file ---- */

static emk_status scan(packer *p, emk_error *e)
{
    uint32_t n;
    emk_status st;

    st = emk_model_scan(p->report.format, &p->image, &p->limits, NULL, NULL, &p->report.scan, e);
    if (st != EMK_OK)
        return st;
    n = p->report.scan.tensors;
    if (p->report.scan.external_bytes)
        return emk_fail(e, EMK_E_UNSUPPORTED, "model: keeps weights in other files",
                        p->report.scan.external_bytes);
    p->tensors = emk_alloc(n, sizeof *p->tensors);
    if (!p->tensors)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory for its tensors", n);
    emk_extents_init(&p->extents, p->tensors, n);
    st = emk_model_scan(p->report.format, &p->image, &p->limits, emk_extents_add, &p->extents, NULL,
                        e);
    if (st == EMK_OK)
        st = emk_extents_settle(&p->extents, &p->in->model->len, 1, e);
    if (st == EMK_OK)
        st = emk_extents_check_stable(&p->extents, p->report.format, &p->image, &p->limits, e);
    return st;
}

static emk_status look_inside(packer *p, emk_error *e)
{
    emk_model_format f = p->in->format;

    p->report.model_len = p->in->model->len;
    if (p->in->whole)
        return EMK_OK;
    if (f == EMK_MODEL_UNKNOWN)
        f = emk_model_detect(&p->image, p->in->file_name);
    p->report.format = f;
    if (f == EMK_MODEL_UNKNOWN)
        return EMK_OK;
    return scan(p, e);
}

/* ---- regions ---- */

/* Appends a region, or lengthens the last one when that has the same kind and may grow. */
static emk_status put_region(emk_plan *plan, uint64_t length, emk_region_kind kind, bool own,
                             emk_error *e)
{
    if (length == 0)
        return EMK_OK;
    if (plan->n_regions && !own && plan->regions[plan->n_regions - 1].kind == kind) {
        plan->regions[plan->n_regions - 1].length += length;
        return EMK_OK;
    }
    if (plan->n_regions == EMK_REGIONS_MAX)
        return emk_fail(e, EMK_E_LIMIT,
                        "model: too many separate weights to leave its structure clear",
                        EMK_REGIONS_MAX);
    plan->regions[plan->n_regions].length = length;
    plan->regions[plan->n_regions].kind = (uint8_t)kind;
    plan->n_regions++;
    return EMK_OK;
}

static emk_status cut_by_size(const packer *p, emk_plan *plan, emk_error *e)
{
    uint64_t own = p->in->model->len / REGIONS_SHARE, at = 0;
    emk_status st = EMK_OK;

    if (own < EMK_PACK_OWN_REGION)
        own = EMK_PACK_OWN_REGION;
    for (uint32_t i = 0; st == EMK_OK && i < p->extents.n; i++) {
        const emk_tensor *t = &p->extents.v[i];

        if (t->length < own)
            continue;
        st = put_region(plan, t->offset - at, EMK_REGION_SEALED, false, e);
        if (st == EMK_OK)
            st = put_region(plan, t->length, EMK_REGION_TENSOR, true, e);
        at = t->offset + t->length;
    }
    if (st == EMK_OK)
        st = put_region(plan, p->in->model->len - at, EMK_REGION_SEALED, false, e);
    return st;
}

static emk_status cut_by_kind(const packer *p, emk_plan *plan, emk_error *e)
{
    uint64_t at = 0;
    emk_status st = EMK_OK;

    for (uint32_t i = 0; st == EMK_OK && i < p->extents.n; i++) {
        const emk_tensor *t = &p->extents.v[i];

        st = put_region(plan, t->offset - at, EMK_REGION_CLEAR, false, e);
        if (st == EMK_OK)
            st = put_region(plan, t->length, EMK_REGION_TENSOR, false, e);
        at = t->offset + t->length;
    }
    if (st == EMK_OK)
        st = put_region(plan, p->in->model->len - at, EMK_REGION_CLEAR, false, e);
    return st;
}

static uint32_t regions_needed(const packer *p)
{
    uint64_t most = 2 * (uint64_t)p->extents.n + 1;

    return most < EMK_REGIONS_MAX ? (uint32_t)most : EMK_REGIONS_MAX;
}

/* ---- index ---- */

/* Biggest first: those are the ones worth opening alone. */
static int by_length(const void *a, const void *b)
{
    const emk_tensor *x = *(const emk_tensor *const *)a, *y = *(const emk_tensor *const *)b;

    if (x->length != y->length)
        return x->length < y->length ? 1 : -1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int by_offset(const void *a, const void *b)
{
    const emk_tensor *x = *(const emk_tensor *const *)a, *y = *(const emk_tensor *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Encodes one entry into w; false for a tensor that cannot be named. */
static bool put_entry(packer *p, const emk_tensor *t, emk_writer *w)
{
    uint8_t name[EMK_INDEX_NAME_MAX];
    emk_index_entry entry = {.offset = t->offset, .length = t->length};

    if (t->name_len == 0 || t->name_len > sizeof name || t->rank > EMK_MODEL_DIMS_MAX)
        return false;
    emk_image_copy(&p->image, t->name_off, name, t->name_len);
    entry.name = emk_span_of(name, t->name_len);
    if (p->image.cut || !emk_utf8_check(entry.name))
        return false;
    entry.dtype = emk_span_str(emk_model_dtype_name(t->dtype));
    entry.rank = t->rank;
    memcpy(entry.dims, t->dims, sizeof entry.dims);
    emk_index_put(w, &entry);
    return true;
}

/* How many of the biggest tensors fit the budget; sets *all when that is each one. */
static uint32_t choose(packer *p, const emk_tensor **list, bool *all)
{
    uint64_t budget = p->in->model->len / INDEX_SHARE, used = 0;
    uint32_t n = 0;

    if (budget > INDEX_MAX)
        budget = INDEX_MAX;
    *all = p->extents.added == p->extents.n;
    for (uint32_t i = 0; i < p->extents.n; i++) {
        emk_writer count;

        emk_writer_init(&count, NULL, 0);
        if (!put_entry(p, list[i], &count)) {
            *all = false;
            continue;
        }
        if (used + count.pos > budget || n == EMK_INDEX_TENSORS_MAX) {
            *all = false;
            break;
        }
        used += count.pos;
        list[n++] = list[i];
    }
    return n;
}

static emk_status make_index(packer *p, emk_plan *plan, emk_error *e)
{
    const emk_tensor **list = emk_alloc(p->extents.n, sizeof *list);
    emk_status st = EMK_OK;
    uint32_t n;

    if (!list)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory for its index", p->extents.n);
    for (uint32_t i = 0; i < p->extents.n; i++)
        list[i] = &p->extents.v[i];
    qsort(list, p->extents.n, sizeof *list, by_length);
    n = choose(p, list, &plan->index_complete);
    qsort(list, n, sizeof *list, by_offset);
    for (uint32_t i = 0; st == EMK_OK && i < n; i++) {
        uint8_t space[EMK_INDEX_NAME_MAX + 256];
        emk_writer w;

        emk_writer_init(&w, space, sizeof space);
        (void)put_entry(p, list[i], &w);
        st = emk_buf_append(&plan->index, emk_writer_span(&w), e);
    }
    plan->n_index = n;
    p->report.indexed = n;
    emk_free(list);
    return st;
}

/* ---- together ---- */

static emk_status fill_plan(packer *p, emk_plan *plan, emk_error *e)
{
    emk_status st;

    strncpy(plan->format, emk_model_format_name(p->report.format), sizeof plan->format - 1);
    plan->n_regions = 0; /* put_region counts them up to what was allocated */
    st = p->in->clear_structure ? cut_by_kind(p, plan, e) : cut_by_size(p, plan, e);
    if (st == EMK_OK)
        st = make_index(p, plan, e);
    if (st == EMK_OK && !p->in->no_digests)
        st = emk_plan_digest(plan, p->crypto, p->in->model, p->in->threads, p->in->progress, e);
    return st;
}

emk_status emk_pack_plan(const emk_crypto *c, const emk_pack_in *in, emk_plan *plan,
                         emk_pack_report *report, emk_error *e)
{
    packer *p = emk_alloc(1, sizeof *p); /* an image is too large for a stack */
    emk_plan made;
    emk_status st;

    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory", sizeof *p);
    p->crypto = c;
    p->in = in;
    p->limits.flags = in->model_flags;
    emk_image_from_source(&p->image, in->model);
    st = look_inside(p, e);
    if (st == EMK_OK && in->clear_structure && p->report.format == EMK_MODEL_UNKNOWN)
        st = emk_fail(e, EMK_E_UNSUPPORTED, "model: of no known format, so nothing can stay clear",
                      0);
    if (st == EMK_OK)
        st = emk_plan_init(&made, c, in->model->len, regions_needed(p), e);
    if (st == EMK_OK) {
        st = fill_plan(p, &made, e);
        if (st != EMK_OK)
            emk_plan_done(&made);
    }
    if (st == EMK_OK) {
        p->report.tensors = p->report.scan.tensors;
        p->report.weight_bytes = p->tensors ? emk_extents_bytes(&p->extents, 0) : 0;
        if (report)
            *report = p->report;
        *plan = made;
    }
    emk_free(p->tensors);
    emk_free(p);
    return st;
}
