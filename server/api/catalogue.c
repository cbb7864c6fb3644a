#include "server/api/catalogue.h"

#include "core/base/alloc.h"
#include "core/pack/pack.h"

#include <string.h>

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static emk_status check_word(emk_span s, emk_error *e)
{
    if (s.len == 0)
        return emk_fail(e, EMK_E_FORMAT, "model: an empty name or version", 0);
    for (size_t i = 0; i < s.len; i++)
        if (!is_unreserved(s.p[i]))
            return emk_fail(e, EMK_E_FORMAT, "model: a character in a name or version", i);
    return EMK_OK;
}

emk_status emk_model_id_make(emk_span name, emk_span version, emk_model_id *out, emk_error *e)
{
    emk_status st;

    if (!name.p || !version.p)
        return emk_fail(e, EMK_E_FORMAT, "model: an empty name or version", 0);
    st = check_word(name, e);
    if (st == EMK_OK)
        st = check_word(version, e);
    if (st != EMK_OK)
        return st;
    if (name.len > EMK_RECORD_ID_MAX || version.len > EMK_RECORD_ID_MAX ||
        name.len + 1 + version.len > EMK_RECORD_ID_MAX)
        return emk_fail(e, EMK_E_LIMIT, "model: name and version are too long",
                        name.len + 1 + version.len);
    memcpy(out->text, name.p, name.len);
    out->text[name.len] = '/';
    memcpy(out->text + name.len + 1, version.p, version.len);
    out->text[name.len + 1 + version.len] = 0;
    return EMK_OK;
}

/* ---- finding ---- */

typedef struct newest {
    emk_model_entity *best;
    bool any;
    emk_buf last; /* id of the last record seen */
    size_t seen;
    emk_model_entity one;
    uint64_t version;
    const char *tenant;
} newest;

static bool is_for(const emk_model_entity *m, const char *tenant)
{
    return !tenant || !m->tenant[0] || strcmp(m->tenant, tenant) == 0;
}

static bool is_newer(const emk_model_entity *a, const emk_model_entity *b)
{
    return a->release != b->release ? a->release > b->release : a->published_s >= b->published_s;
}

static emk_status judge_version(void *self, const emk_record_view *r, emk_error *e)
{
    newest *n = self;
    emk_status st = emk_entity_read(&emk_model_shape, r->value, &n->one, e);

    n->seen++;
    n->last.len = 0;
    if (st == EMK_OK)
        st = emk_buf_append(&n->last, r->id, e);
    if (st == EMK_OK && !n->one.withdrawn && is_for(&n->one, n->tenant) &&
        (!n->any || is_newer(&n->one, n->best))) {
        *n->best = n->one;
        n->version = r->version;
        n->any = true;
    }
    return st;
}

#define SCAN_STEP 64u

static emk_status find_newest(const emk_records *r, const emk_catalogue_ask *ask,
                              emk_model_entity *out, uint64_t *version, emk_error *e)
{
    newest *n = emk_alloc(1, sizeof *n);
    emk_record_scan scan = {.kind = EMK_KIND_MODEL, .owner = ask->name, .limit = SCAN_STEP};
    emk_status st;

    if (!n)
        return emk_fail(e, EMK_E_NO_MEMORY, "catalogue: memory", sizeof *n);
    n->best = out;
    n->tenant = ask->tenant;
    emk_buf_init(&n->last, EMK_RECORD_ID_MAX);
    do {
        uint8_t after[EMK_RECORD_ID_MAX];
        size_t len = n->last.len;

        if (len > 0)
            memcpy(after, n->last.p, len);
        scan.after = emk_span_of(after, len);
        n->seen = 0;
        st = emk_records_scan(r, &scan, judge_version, n, e);
    } while (st == EMK_OK && n->seen == SCAN_STEP);
    if (st == EMK_OK && !n->any)
        st = emk_fail(e, EMK_E_NOT_FOUND, "catalogue: no version of this model", 0);
    if (st == EMK_OK && version)
        *version = n->version;
    emk_buf_done(&n->last);
    emk_free(n);
    return st;
}

emk_status emk_catalogue_find(const emk_records *r, const emk_catalogue_ask *ask,
                              emk_model_entity *out, uint64_t *version, emk_error *e)
{
    emk_record_info info;
    emk_model_id id;
    emk_status st;

    if (ask->version.len == 0) {
        st = emk_model_id_make(ask->name, emk_span_str("0"), &id, e);
        return st == EMK_OK ? find_newest(r, ask, out, version, e) : st;
    }
    st = emk_model_id_make(ask->name, ask->version, &id, e);
    if (st == EMK_OK)
        st = emk_entity_get(r, &emk_model_shape, emk_span_str(id.text), out, &info, e);
    if (st == EMK_OK && !is_for(out, ask->tenant))
        return emk_fail(e, EMK_E_NOT_FOUND, "catalogue: of another tenant", 0);
    if (st == EMK_OK && version)
        *version = info.version;
    return st;
}

/* ---- changing ---- */

static emk_record_change stored(emk_record_op op, const uint8_t object[32])
{
    return (emk_record_change){.op = op,
                               .kind = EMK_KIND_STORED,
                               .id = emk_span_of(object, EMK_STORAGE_OBJECT_LEN),
                               .expect = EMK_RECORD_ANY};
}

emk_status emk_catalogue_intend(const emk_api *api, const uint8_t object[32], emk_error *e)
{
    emk_record_change put = stored(EMK_RECORD_PUT, object);

    return emk_records_commit(&api->records, &put, 1, NULL, e);
}

void emk_catalogue_discard(const emk_api *api, const uint8_t object[32])
{
    emk_record_change drop = stored(EMK_RECORD_DELETE, object);
    emk_storage_file f = {.crypto = api->crypto, .blobs = &api->blobs, .object = object};
    emk_error ignored;
    emk_status st = EMK_OK;

    for (f.part = EMK_STORAGE_MODEL; st == EMK_OK && f.part <= EMK_STORAGE_PLAN; f.part++)
        st = emk_storage_remove(&f, &ignored);
    if (st == EMK_OK)
        st = emk_records_commit(&api->records, &drop, 1, NULL, &ignored);
    (void)st; /* found again by recover */
}

static emk_status commit_model(const emk_api *api, const emk_model_entity *m, uint64_t expect,
                               const emk_record_change *with, emk_error *e)
{
    emk_model_id id;
    emk_entity_change put = {.value = {0}};
    emk_entity_put what = {.shape = &emk_model_shape,
                           .in = m,
                           .id = {0},
                           .owner = emk_span_str(m->name),
                           .expect = expect};
    emk_status st = emk_model_id_make(emk_span_str(m->name), emk_span_str(m->version), &id, e);

    if (st != EMK_OK)
        return st;
    what.id = emk_span_str(id.text);
    st = emk_entity_change_make(&what, &put, e);
    if (st == EMK_OK) {
        emk_record_change both[] = {put.change, *with};

        st = emk_records_commit(&api->records, both, 2, NULL, e);
        emk_entity_change_done(&put);
    }
    return st;
}

emk_status emk_catalogue_add(const emk_api *api, const emk_model_entity *m, emk_error *e)
{
    emk_record_change drop = stored(EMK_RECORD_DELETE, m->object);

    return commit_model(api, m, EMK_RECORD_ABSENT, &drop, e);
}

emk_status emk_catalogue_withdraw(const emk_api *api, emk_model_entity *m, uint64_t version,
                                  emk_error *e)
{
    emk_record_change put = stored(EMK_RECORD_PUT, m->object);
    emk_status st;

    m->withdrawn = true;
    memset(m->wrapped.p, 0, sizeof m->wrapped.p);
    m->wrapped.len = 0;
    st = commit_model(api, m, version, &put, e);
    if (st == EMK_OK)
        emk_catalogue_discard(api, m->object);
    return st;
}

#define RECOVER_STEP 64u

typedef struct left_over {
    uint8_t v[RECOVER_STEP][32];
    size_t n;
} left_over;

static emk_status note_left(void *self, const emk_record_view *r, emk_error *e)
{
    left_over *l = self;

    if (r->id.len != sizeof l->v[0])
        return emk_fail(e, EMK_E_FORMAT, "catalogue: a stored object's id", r->id.len);
    memcpy(l->v[l->n++], r->id.p, sizeof l->v[0]);
    return EMK_OK;
}

emk_status emk_catalogue_recover(const emk_api *api, emk_error *e)
{
    emk_record_scan scan = {.kind = EMK_KIND_STORED, .limit = RECOVER_STEP};
    left_over l;
    uint8_t after[32];
    emk_status st;

    do {
        l.n = 0;
        st = emk_records_scan(&api->records, &scan, note_left, &l, e);
        for (size_t i = 0; st == EMK_OK && i < l.n; i++)
            emk_catalogue_discard(api, l.v[i]);
        if (l.n > 0) {
            memcpy(after, l.v[l.n - 1], sizeof after);
            scan.after = emk_span_of(after, sizeof after);
        }
    } while (st == EMK_OK && l.n == RECOVER_STEP);
    return st;
}

/* ---- plans ---- */

/* A stored plan is a sealed part of the container with an empty identity. */
static emk_status store_plan(const emk_storage_file *f, const emk_plan *plan, emk_error *e)
{
    emk_storage_new n = {.file = *f};
    emk_storage_writer *w = NULL;
    emk_buf part;
    emk_status st;

    n.file.part = EMK_STORAGE_PLAN;
    emk_buf_init(&part, EMK_SEALED_PART_MAX);
    st = emk_sealed_part_encode(plan, emk_span_of(NULL, 0), &part, e);
    n.len = part.len;
    if (st == EMK_OK)
        st = emk_storage_create(&n, &w, e);
    if (st == EMK_OK) {
        st = emk_storage_append(w, emk_buf_span(&part), e);
        if (st == EMK_OK)
            st = emk_storage_finish(w, e);
        else
            emk_storage_abort(w);
    }
    emk_buf_done(&part);
    return st;
}

static emk_status place_files(const emk_catalogue_plan *in, emk_pack_file **out, emk_error *e)
{
    emk_pack_file *files;
    uint64_t at = 0;

    if (in->n_files == 0)
        return EMK_OK;
    files = emk_alloc(in->n_files, sizeof *files);
    if (!files)
        return emk_fail(e, EMK_E_NO_MEMORY, "catalogue: memory", in->n_files);
    for (uint32_t i = 0; i < in->n_files; i++) {
        files[i] = (emk_pack_file){in->files[i].path, at, in->files[i].len};
        at += files[i].length;
    }
    *out = files;
    return EMK_OK;
}

static emk_status make_plan(const emk_api *api, const emk_catalogue_plan *in,
                            const emk_source *model, emk_plan *plan, emk_pack_report *report,
                            emk_error *e)
{
    emk_pack_file *files = NULL;
    emk_pack_in pack = {.model = model,
                        .n_files = in->n_files,
                        .file_name = in->n_files ? NULL : in->file_name,
                        .whole = in->as_bytes,
                        .threads = 1}; /* a storage reader is one thread's */
    emk_status st = place_files(in, &files, e);

    pack.files = files;
    if (st == EMK_OK)
        st = emk_pack_plan(api->crypto, &pack, plan, report, e);
    emk_free(files);
    return st;
}

static void describe(const emk_pack_report *report, emk_model_entity *m)
{
    const char *format = emk_model_format_name(report->format);
    size_t len = strlen(format);

    len = len < sizeof m->format ? len : sizeof m->format - 1;
    memcpy(m->format, format, len);
    m->format[len] = 0;
    m->size = report->model_len;
    m->n_tensors = report->tensors;
}

static emk_status plan_reader(const emk_api *api, const emk_catalogue_plan *in,
                              const emk_storage_file *f, emk_model_entity *m, emk_error *e)
{
    emk_storage_reader *r = NULL;
    emk_pack_report *report = emk_alloc(1, sizeof *report);
    emk_source model;
    emk_plan plan;
    emk_status st;

    if (!report)
        return emk_fail(e, EMK_E_NO_MEMORY, "catalogue: memory", sizeof *report);
    st = emk_storage_open(f, emk_api_now(api), &r, e);
    if (st == EMK_OK) {
        model = emk_storage_source(r);
        st = make_plan(api, in, &model, &plan, report, e);
    }
    if (st == EMK_OK) {
        describe(report, m);
        st = store_plan(f, &plan, e);
        emk_plan_done(&plan);
    }
    emk_storage_close(r);
    emk_free(report);
    return st;
}

emk_status emk_catalogue_plan_make(const emk_api *api, const emk_catalogue_plan *in,
                                   emk_model_entity *m, emk_error *e)
{
    emk_storage_file f = {.crypto = api->crypto,
                          .blobs = &api->blobs,
                          .object = m->object,
                          .key = in->key,
                          .part = EMK_STORAGE_MODEL};

    return plan_reader(api, in, &f, m, e);
}

static emk_status decode_plan(emk_storage_reader *r, uint64_t model_len, emk_plan *out,
                              emk_error *e)
{
    uint64_t len = emk_storage_len(r);
    emk_span identity;
    uint8_t *p;
    emk_status st;

    if (len > EMK_SEALED_PART_MAX)
        return emk_fail(e, EMK_E_LIMIT, "catalogue: a stored plan is too long", len);
    p = emk_alloc((size_t)len, 1);
    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "catalogue: memory", len);
    st = emk_storage_read(r, 0, p, (size_t)len, e);
    if (st == EMK_OK)
        st = emk_sealed_part_decode(emk_span_of(p, (size_t)len), model_len, out, &identity, e);
    emk_free(p);
    return st;
}

emk_status emk_catalogue_plan_load(const emk_api *api, const emk_model_entity *m,
                                   const uint8_t key[EMK_STORAGE_KEY_LEN], emk_plan *out,
                                   emk_error *e)
{
    emk_storage_file f = {.crypto = api->crypto,
                          .blobs = &api->blobs,
                          .object = m->object,
                          .key = key,
                          .part = EMK_STORAGE_PLAN};
    emk_storage_reader *r = NULL;
    emk_status st = emk_storage_open(&f, emk_api_now(api), &r, e);

    if (st == EMK_OK)
        st = decode_plan(r, m->size, out, e);
    emk_storage_close(r);
    return st;
}
