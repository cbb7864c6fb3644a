#include "core/pack/survey.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"

#include <stdio.h>
#include <stdlib.h>

#define SMALL_INT_MAX 64u /* bytes; no integer that is kept is longer */

static void tell(const emk_survey *s, const char *path)
{
    if (s->in.about)
        snprintf(s->in.about, EMK_SURVEY_ABOUT, "%s", path);
}

static emk_status read_file(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    const emk_survey_file *f = self;

    return emk_source_read(f->model, f->offset + off, out, len, e);
}

static emk_status set_up_file(emk_survey *s, uint32_t i, emk_error *e)
{
    const emk_pack_file *in = &s->in.files[i];
    emk_survey_file *f = &s->files[i];

    if (in->offset > s->in.model->len || in->length > s->in.model->len - in->offset)
        return emk_fail(e, EMK_E_USAGE, "model: a file outside it", i);
    f->model = s->in.model;
    f->offset = in->offset;
    f->source.len = in->length;
    if (s->in.model->p) {
        f->source.p = s->in.model->p + in->offset;
    } else {
        f->source.read = read_file;
        f->source.self = f;
    }
    return EMK_OK;
}

bool emk_survey_is_model(const emk_survey *s, uint32_t file)
{
    return s->files[file].format != EMK_MODEL_UNKNOWN && !s->files[file].is_part;
}

/* ---- parts ---- */

static uint32_t find_file(const emk_survey *s, const char *path)
{
    uint32_t lo = 0, hi = s->in.n_files;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int way = emk_path_compare(emk_span_str(s->in.files[mid].path), emk_span_str(path));

        if (way == 0)
            return mid;
        if (way < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return EMK_SURVEY_ABSENT;
}

static emk_status find_part(emk_survey *s, uint32_t file, const emk_model_part *part, uint32_t *out,
                            emk_error *e)
{
    const char *path = s->in.files[file].path, *slash = strrchr(path, '/');
    char name[EMK_MODEL_PART_NAME], whole[EMK_PATH_MAX + 1 + EMK_MODEL_PART_NAME];
    emk_status st;

    if (part->naming == EMK_PART_UNNAMED)
        return emk_fail(e, EMK_E_UNSUPPORTED, "model: does not say which file has its weights",
                        part->number);
    if (s->in.n_files == 1)
        return emk_fail(e, EMK_E_UNSUPPORTED, "model: keeps weights in other files",
                        s->report.n_parts);
    st = emk_model_part_name(&s->image, path, part, name, e);
    if (st != EMK_OK)
        return st;
    snprintf(whole, sizeof whole, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name);
    *out = find_file(s, whole);
    if (*out != EMK_SURVEY_ABSENT)
        return EMK_OK;
    tell(s, whole);
    return emk_fail(e, EMK_E_NOT_FOUND, "model: a file with weights of it is not here", 0);
}

static emk_status map_parts(emk_survey *s, uint32_t file, emk_error *e)
{
    emk_status st = EMK_OK;

    s->map[0] = file;
    for (uint32_t i = 0; st == EMK_OK && i < s->report.n_parts; i++) {
        s->map[i + 1] = EMK_SURVEY_ABSENT;
        if (!s->in.lone)
            st = find_part(s, file, &s->report.parts[i], &s->map[i + 1], e);
    }
    for (uint32_t i = 0; i <= s->report.n_parts; i++)
        s->part_len[i] =
            s->map[i] == EMK_SURVEY_ABSENT ? UINT64_MAX : s->in.files[s->map[i]].length;
    return st;
}

static emk_status scan_file(emk_survey *s, uint32_t file, emk_tensor_fn fn, void *self,
                            emk_error *e)
{
    const emk_model_limits limits = {.flags = s->in.flags};

    emk_image_from_source(&s->image, &s->files[file].source);
    return emk_model_scan(s->files[file].format, &s->image, &limits, fn, self, &s->report, e);
}

emk_status emk_survey_scan(emk_survey *s, uint32_t file, emk_tensor_fn fn, void *self, emk_error *e)
{
    const emk_error *why = &s->files[file].why;
    emk_status st;

    tell(s, s->in.files[file].path);
    if (why->status != EMK_OK)
        return emk_fail(e, why->status, why->what, why->where);
    st = scan_file(s, file, fn, self, e);
    return st == EMK_OK ? map_parts(s, file, e) : st;
}

/* ---- the first look at each file ---- */

static emk_status note_part(void *self, const emk_tensor *t, emk_error *e)
{
    emk_survey *s = self;

    (void)e;
    s->used[t->part] = true; /* at most EMK_MODEL_PARTS_MAX, as the scan counts them */
    return EMK_OK;
}

/* True for what a reader says of a file, as opposed to a file that cannot be read at all. */
static bool is_verdict(emk_status st)
{
    return st == EMK_E_FORMAT || st == EMK_E_LIMIT || st == EMK_E_UNSUPPORTED || st == EMK_E_USAGE;
}

static emk_status detect(emk_survey *s, uint32_t i, emk_error *e)
{
    const char *path = s->in.files[i].path;

    emk_image_from_source(&s->image, &s->files[i].source);
    s->files[i].format = s->in.format != EMK_MODEL_UNKNOWN
                             ? s->in.format
                             : emk_model_detect(&s->image, path && *path ? path : NULL);
    /* a file too short for any format is no failure, one that cannot be read is */
    if (s->image.status != EMK_OK && s->image.status != EMK_E_FORMAT)
        return emk_fail(e, s->image.status, "model: cannot be read", s->image.cut_at);
    return EMK_OK;
}

/* Counts the tensors of a file and marks the files they are in. */
static emk_status count(emk_survey *s, uint32_t i, emk_error *e)
{
    emk_survey_file *f = &s->files[i];
    emk_status st;

    memset(s->used, 0, sizeof s->used);
    st = scan_file(s, i, note_part, s, &f->why);
    if (st != EMK_OK && !is_verdict(st))
        return emk_fail(e, st, f->why.what, f->why.where);
    if (st != EMK_OK)
        return EMK_OK; /* kept in f->why: it may be nothing but a part */
    f->why.status = EMK_OK;
    f->tensors = s->report.tensors;
    /* a part that is not here is found again, and told, when the file is gathered */
    st = map_parts(s, i, NULL);
    if (st != EMK_OK && !is_verdict(st) && st != EMK_E_NOT_FOUND)
        return emk_fail(e, st, "model: the name of another file", i);
    for (uint32_t k = 1; st == EMK_OK && k <= s->report.n_parts; k++) {
        if (s->map[k] == EMK_SURVEY_ABSENT)
            continue;
        if (!s->used[k] && s->files[s->map[k]].format != EMK_MODEL_UNKNOWN)
            continue; /* only wanted: it stands alone */
        s->files[s->map[k]].is_part = true;
        f->has_parts = true;
    }
    return EMK_OK;
}

static emk_status sum_up(emk_survey *s, emk_error *e)
{
    for (uint32_t i = 0; i < s->in.n_files; i++) {
        emk_survey_file *f = &s->files[i];

        tell(s, s->in.files[i].path);
        /* who is a part is not read by itself: of two that name each other neither would be */
        if (f->is_part && f->has_parts)
            return emk_fail(e, EMK_E_FORMAT, "model: a file with its weights names others", i);
        if (!emk_survey_is_model(s, i))
            continue;
        if (f->tensors > EMK_MODEL_TENSORS_MAX - s->tensors)
            return emk_fail(e, EMK_E_LIMIT, "model: too many tensors", EMK_MODEL_TENSORS_MAX);
        s->tensors += f->tensors;
    }
    return EMK_OK;
}

static emk_status look(emk_survey *s, emk_error *e)
{
    emk_status st = EMK_OK;

    for (uint32_t i = 0; st == EMK_OK && i < s->in.n_files; i++) {
        tell(s, s->in.files[i].path);
        st = set_up_file(s, i, e);
        if (st == EMK_OK)
            st = detect(s, i, e);
    }
    for (uint32_t i = 0; st == EMK_OK && i < s->in.n_files; i++) {
        tell(s, s->in.files[i].path);
        if (s->files[i].format != EMK_MODEL_UNKNOWN)
            st = count(s, i, e);
    }
    return st == EMK_OK ? sum_up(s, e) : st;
}

emk_status emk_survey_new(const emk_survey_in *in, emk_survey **out, emk_error *e)
{
    emk_survey *s;
    emk_status st;

    if (in->n_files == 0 || in->n_files > EMK_FILES_MAX)
        return emk_fail(e, EMK_E_USAGE, "model: number of files", in->n_files);
    if (in->n_files > 1 && (in->format != EMK_MODEL_UNKNOWN || in->lone))
        return emk_fail(e, EMK_E_USAGE, "model: one format for several files", in->n_files);
    s = emk_alloc(1, sizeof *s);
    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory", sizeof *s);
    s->in = *in;
    emk_buf_init(&s->kept, EMK_MODEL_TENSORS_MAX * sizeof(emk_survey_kept));
    s->files = emk_alloc(in->n_files, sizeof *s->files);
    st = s->files ? look(s, e)
                  : emk_fail(e, EMK_E_NO_MEMORY, "model: no memory for its files", in->n_files);
    if (st != EMK_OK) {
        emk_survey_free(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

/* ---- one list ---- */

static void add_clear(emk_survey *s)
{
    for (int i = 0; i < (int)EMK_CLEAR_REASONS; i++) {
        uint64_t more = s->report.clear[i];

        s->clear[i] = more > UINT64_MAX - s->clear[i] ? UINT64_MAX : s->clear[i] + more;
    }
}

bool emk_survey_is_weight(const emk_tensor *t)
{
    return t->kind != EMK_TENSOR_CHECKSUM &&
           !(t->kind == EMK_TENSOR_OTHER && (t->flags & EMK_TENSOR_WHOLE));
}

/* Moves a file's ranges to where they are in the whole model. */
static void place(emk_survey *s, uint32_t file, emk_extents *own)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < own->n; i++) {
        emk_tensor t = own->v[i];

        if (s->map[t.part] == EMK_SURVEY_ABSENT)
            continue;
        t.offset += s->in.files[s->map[t.part]].offset;
        t.name_off += s->in.files[file].offset;
        t.part = 0;
        t.name_hash = 0;             /* two files may use the same names */
        t.flags &= EMK_TENSOR_WHOLE; /* all lengths are known by now */
        if (emk_survey_is_weight(&t))
            s->files[file].weight_bytes += t.length;
        own->v[n++] = t;
    }
    own->n = n;
}

static emk_status note_kept(void *self, const emk_tensor *t, emk_error *e)
{
    emk_survey *s = self;
    emk_survey_kept kept = {t->offset, t->length};

    if (t->part == 0 || t->length == 0 || t->length > SMALL_INT_MAX ||
        s->map[t->part] == EMK_SURVEY_ABSENT)
        return EMK_OK;
    kept.offset += s->in.files[s->map[t->part]].offset;
    return emk_buf_append(&s->kept, emk_span_of(&kept, sizeof kept), e);
}

/* A part has no structure, so nothing else tells which of its bytes are small integers: what this
 * scan emits beyond the other one. */
static emk_status gather_kept(emk_survey *s, uint32_t file, emk_error *e)
{
    const emk_model_limits all = {.flags = s->in.flags & ~EMK_MODEL_KEEP_SMALL_INT};

    if (!(s->in.flags & EMK_MODEL_KEEP_SMALL_INT) || !s->files[file].has_parts)
        return EMK_OK;
    return emk_model_scan(s->files[file].format, &s->image, &all, note_kept, s, NULL, e);
}

static int by_offset(const void *a, const void *b)
{
    const emk_survey_kept *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static emk_status gather_file(emk_survey *s, uint32_t file, emk_extents *all, emk_error *e)
{
    emk_model_limits limits = {.flags = s->in.flags};
    emk_extents own;
    emk_status st;

    emk_extents_init(&own, all->v + all->n, s->files[file].tensors);
    st = emk_survey_scan(s, file, emk_extents_add, &own, e);
    if (st == EMK_OK)
        st = emk_extents_settle(&own, s->part_len, s->report.n_parts + 1, e);
    if (st == EMK_OK)
        st = emk_extents_check_stable(&own, s->files[file].format, &s->image, &limits, e);
    if (st == EMK_OK)
        st = gather_kept(s, file, e);
    if (st != EMK_OK)
        return st;
    add_clear(s);
    place(s, file, &own);
    all->n += own.n;
    all->added += own.added;
    return EMK_OK;
}

emk_status emk_survey_gather(emk_survey *s, emk_extents *out, emk_error *e)
{
    emk_extents all;
    emk_status st = EMK_OK;

    emk_free(s->tensor_room);
    s->tensor_room = emk_alloc(s->tensors + (size_t)1, sizeof *s->tensor_room);
    if (!s->tensor_room)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory for its tensors", s->tensors);
    memset(s->clear, 0, sizeof s->clear);
    s->kept.len = 0;
    emk_extents_init(&all, s->tensor_room, s->tensors);
    for (uint32_t i = 0; st == EMK_OK && i < s->in.n_files; i++) {
        s->files[i].weight_bytes = 0;
        if (emk_survey_is_model(s, i))
            st = gather_file(s, i, &all, e);
    }
    if (st != EMK_OK)
        return st;
    if (s->kept.len)
        qsort(s->kept.p, s->kept.len / sizeof(emk_survey_kept), sizeof(emk_survey_kept), by_offset);
    if (s->in.n_files > 1)
        tell(s, "");
    st = emk_extents_settle(&all, &s->in.model->len, 1, e);
    if (st == EMK_OK)
        *out = all;
    return st;
}

void emk_survey_free(emk_survey *s)
{
    if (!s)
        return;
    emk_buf_done(&s->kept);
    emk_free(s->tensor_room);
    emk_free(s->files);
    emk_wipe(&s->image, sizeof s->image); /* pages of the model */
    emk_free(s);
}
