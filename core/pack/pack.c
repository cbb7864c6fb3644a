#include "core/pack/pack.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/codec/utf8.h"

#include <stdio.h>
#include <stdlib.h>

#define INDEX_SHARE   4096u               /* the index may take 1/4096 of the model ... */
#define INDEX_MAX     (UINT32_C(4) << 20) /* ... and never more than this */
#define REGIONS_SHARE 16384u              /* tensors with regions of their own, at most */

typedef struct packer {
    const emk_crypto *crypto;
    const emk_pack_in *in;
    const emk_pack_file *files; /* in's, or `only` */
    uint32_t n_files;
    emk_pack_file only;
    emk_survey *survey; /* owned; NULL: nobody looked inside */
    size_t next_kept;   /* of the survey's, while regions are cut */
    emk_extents extents;
    emk_image image; /* of the whole model: names of tensors are read there */
    emk_pack_report report;
} packer;

/* ---- what is in the files ---- */

/* The model is of the format that most of its weights come in. */
static void note_formats(packer *p)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < p->n_files; i++) {
        const emk_survey_file *f = &p->survey->files[i];
        bool first = p->report.format == EMK_MODEL_UNKNOWN;

        p->report.files[i].format = (uint8_t)f->format;
        p->report.files[i].is_part = f->is_part;
        if (f->is_part)
            p->report.files[i].format = EMK_MODEL_UNKNOWN;
        if (!emk_survey_is_model(p->survey, i)) {
            if (!f->is_part)
                p->report.unknown_bytes += p->files[i].length;
            continue;
        }
        if (first || f->weight_bytes > most) {
            p->report.format = f->format;
            most = f->weight_bytes;
        }
    }
}

static void note_extents(packer *p)
{
    for (uint32_t i = 0; i < p->extents.n; i++) {
        const emk_tensor *t = &p->extents.v[i];

        if (t->kind == EMK_TENSOR_CHECKSUM)
            p->report.checksum_bytes += t->length;
        else if (emk_survey_is_weight(t))
            p->report.weight_bytes += t->length;
    }
    p->report.tensors = p->survey->tensors;
    memcpy(p->report.not_told, p->survey->clear, sizeof p->report.not_told);
}

unsigned emk_pack_coverage(const emk_pack_report *report)
{
    uint64_t hundredth = report->model_len / 100;

    if (report->model_len == 0)
        return 100;
    return hundredth > UINT32_MAX ? (unsigned)(report->weight_bytes / hundredth)
                                  : (unsigned)(report->weight_bytes * 100 / report->model_len);
}

static emk_status look_inside(packer *p, emk_error *e)
{
    emk_survey_in in = {.model = p->in->model,
                        .files = p->files,
                        .n_files = p->n_files,
                        .format = p->in->format,
                        .flags = p->in->model_flags,
                        .about = p->in->about};
    emk_status st = emk_survey_new(&in, &p->survey, e);

    if (st == EMK_OK)
        st = emk_survey_gather(p->survey, &p->extents, e);
    if (st != EMK_OK)
        return st;
    note_formats(p);
    note_extents(p);
    if ((p->in->model_flags & EMK_MODEL_STRICT) &&
        emk_pack_coverage(&p->report) < EMK_PACK_LOW_COVERAGE)
        return emk_fail(e, EMK_E_UNSUPPORTED, "model: too little of it is known to be weights",
                        emk_pack_coverage(&p->report));
    return EMK_OK;
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

/* What may stay readable of a file: all but weights where a reader knows it, nothing where none
 * does, and nothing of a part, where what no tensor names may be anything. */
static emk_region_kind kind_between(const packer *p, uint32_t file)
{
    return emk_survey_is_model(p->survey, file) ? EMK_REGION_CLEAR : EMK_REGION_SEALED;
}

/* Bytes between weights: of one kind, but for small integers that are to stay clear. */
static emk_status put_between(packer *p, uint64_t from, uint64_t to, emk_region_kind kind,
                              emk_plan *plan, emk_error *e)
{
    const emk_survey_kept *kept = (const void *)p->survey->kept.p;
    size_t n = p->survey->kept.len / sizeof *kept;
    emk_status st = EMK_OK;

    for (; st == EMK_OK && p->next_kept < n && kept[p->next_kept].offset < to; p->next_kept++) {
        uint64_t begin = kept[p->next_kept].offset, end = begin + kept[p->next_kept].length;

        begin = begin < from ? from : begin;
        end = end > to ? to : end;
        if (end <= begin)
            continue;
        st = put_region(plan, begin - from, kind, false, e);
        if (st == EMK_OK)
            st = put_region(plan, end - begin, EMK_REGION_CLEAR, false, e);
        from = end;
    }
    return st == EMK_OK ? put_region(plan, to - from, kind, false, e) : st;
}

static emk_status cut_file_by_kind(packer *p, uint32_t file, uint32_t *next, emk_plan *plan,
                                   emk_error *e)
{
    uint64_t at = p->files[file].offset, end = at + p->files[file].length;
    emk_region_kind kind = kind_between(p, file);
    emk_status st = EMK_OK;

    for (; st == EMK_OK && *next < p->extents.n && p->extents.v[*next].offset < end; ++*next) {
        const emk_tensor *t = &p->extents.v[*next];

        st = put_between(p, at, t->offset, kind, plan, e);
        if (st == EMK_OK)
            st = put_region(plan, t->length, EMK_REGION_TENSOR, false, e);
        at = t->offset + t->length;
    }
    return st == EMK_OK ? put_between(p, at, end, kind, plan, e) : st;
}

static emk_status cut_by_kind(packer *p, emk_plan *plan, emk_error *e)
{
    uint32_t next = 0;
    emk_status st = EMK_OK;

    for (uint32_t i = 0; st == EMK_OK && i < p->n_files; i++)
        st = cut_file_by_kind(p, i, &next, plan, e);
    for (uint32_t i = 0; i < plan->n_regions; i++) {
        if (plan->regions[i].kind == EMK_REGION_CLEAR)
            p->report.clear_bytes += plan->regions[i].length;
    }
    return st;
}

static uint32_t regions_needed(const packer *p)
{
    uint64_t most = 2 * (uint64_t)p->extents.n + p->n_files + 1;

    if (p->survey)
        most += 2 * (p->survey->kept.len / sizeof(emk_survey_kept));
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
    const emk_tensor **list = emk_alloc(p->extents.n, sizeof(const emk_tensor *));
    emk_status st;
    uint32_t n;

    if (!list)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory for its index", p->extents.n);
    for (uint32_t i = 0; i < p->extents.n; i++)
        list[i] = &p->extents.v[i];
    qsort(list, p->extents.n, sizeof(const emk_tensor *), by_length);
    n = choose(p, list, &plan->index_complete);
    st = emk_image_check(&p->image, "model: the name of a tensor", e);
    qsort(list, n, sizeof(const emk_tensor *), by_offset);
    for (uint32_t i = 0; st == EMK_OK && i < n; i++) {
        uint8_t space[EMK_INDEX_NAME_MAX + 256];
        emk_writer w;

        emk_writer_init(&w, space, sizeof space);
        st = put_entry(p, list[i], &w)
                 ? EMK_OK
                 : emk_image_check(&p->image, "model: the name of a tensor", e);
        if (st == EMK_OK)
            st = emk_buf_append(&plan->index, emk_writer_span(&w), e);
    }
    plan->n_index = n;
    p->report.indexed = n;
    emk_free(list);
    return st;
}

/* ---- together ---- */

static emk_status add_files(const packer *p, emk_plan *plan, emk_error *e)
{
    emk_status st = EMK_OK;

    for (uint32_t i = 0; st == EMK_OK && i < p->in->n_files; i++) {
        if (p->in->about)
            snprintf(p->in->about, EMK_SURVEY_ABOUT, "%s", p->in->files[i].path);
        st = emk_plan_add_file(plan, emk_span_str(p->in->files[i].path), p->in->files[i].length, e);
    }
    return st;
}

static emk_status fill_plan(packer *p, emk_plan *plan, emk_error *e)
{
    emk_status st;

    strncpy(plan->format, emk_model_format_name(p->report.format), sizeof plan->format - 1);
    plan->n_regions = 0; /* put_region counts them up to what was allocated */
    st = add_files(p, plan, e);
    if (st == EMK_OK)
        st = p->in->clear_structure ? cut_by_kind(p, plan, e) : cut_by_size(p, plan, e);
    if (st == EMK_OK)
        st = make_index(p, plan, e);
    if (st == EMK_OK && !p->in->no_digests)
        st = emk_plan_digest(plan, p->crypto, p->in->model, p->in->threads, p->in->progress, e);
    return st;
}

/* EMK_E_USAGE unless the files are the model, one behind the other. */
static emk_status take_files(packer *p, emk_error *e)
{
    const emk_pack_in *in = p->in;
    uint64_t at = 0;

    p->only = (emk_pack_file){in->file_name ? in->file_name : "", 0, in->model->len};
    p->files = in->n_files ? in->files : &p->only;
    p->n_files = in->n_files ? in->n_files : 1;
    if (p->n_files > EMK_FILES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "model: too many files", p->n_files);
    for (uint32_t i = 0; i < p->n_files; i++) {
        if (p->files[i].offset != at || p->files[i].length > in->model->len - at)
            return emk_fail(e, EMK_E_USAGE, "model: its files are not all of it", i);
        at += p->files[i].length;
    }
    if (at != in->model->len)
        return emk_fail(e, EMK_E_USAGE, "model: its files are not all of it", at);
    p->report.n_files = in->n_files;
    p->report.model_len = in->model->len;
    return EMK_OK;
}

static emk_status prepare(packer *p, emk_error *e)
{
    emk_status st = take_files(p, e);

    if (st == EMK_OK && !p->in->whole)
        st = look_inside(p, e);
    if (st == EMK_OK && p->in->clear_structure && p->report.format == EMK_MODEL_UNKNOWN)
        st = emk_fail(e, EMK_E_UNSUPPORTED, "model: of no known format, so nothing can stay clear",
                      0);
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
    emk_image_from_source(&p->image, in->model);
    st = prepare(p, e);
    if (st == EMK_OK)
        st = emk_plan_init(&made, c, in->model->len, regions_needed(p), e);
    if (st == EMK_OK) {
        st = fill_plan(p, &made, e);
        if (st != EMK_OK)
            emk_plan_done(&made);
    }
    if (st == EMK_OK) {
        if (report)
            *report = p->report;
        *plan = made;
    }
    emk_survey_free(p->survey);
    emk_wipe(&p->image, sizeof p->image); /* pages of the model */
    emk_free(p);
    return st;
}
