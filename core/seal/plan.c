#include "core/seal/plan.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_parallel.h"
#include "core/codec/cbor.h"
#include "core/crypto/random.h"
#include "core/seal/digest.h"

#include <stdatomic.h>

#define REGION_ROW 9u /* bytes of one region in the sealed part */

emk_status emk_plan_init(emk_plan *p, const emk_crypto *c, uint64_t model_len, uint32_t n_regions,
                         emk_error *e)
{
    emk_plan made = {.model_len = model_len, .n_regions = n_regions, .format = "unknown"};
    emk_status st;

    if (model_len > EMK_MODEL_LEN_MAX)
        return emk_fail(e, EMK_E_LIMIT, "model: too large", model_len);
    if (n_regions > EMK_REGIONS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "model: too many regions", n_regions);
    st = emk_random_public(c, made.dsalt, sizeof made.dsalt, e);
    if (st != EMK_OK)
        return st;
    made.regions = emk_alloc(n_regions, sizeof *made.regions);
    if (!made.regions)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory for regions", n_regions);
    emk_buf_init(&made.index, EMK_SEALED_PART_MAX);
    emk_buf_init(&made.files, EMK_SEALED_PART_MAX);
    *p = made;
    return EMK_OK;
}

static emk_status add_length(void *self, const emk_file_entry *entry, emk_error *e)
{
    (void)e;
    *(uint64_t *)self = entry->offset + entry->length;
    return EMK_OK;
}

emk_status emk_plan_check(const emk_plan *p, emk_error *e)
{
    uint64_t left = p->model_len, files = p->model_len;
    emk_status st;

    for (uint32_t i = 0; i < p->n_regions; i++) {
        const emk_region *r = &p->regions[i];

        if (r->length == 0 || r->length > left || r->kind > EMK_REGION_CLEAR)
            return emk_fail(e, EMK_E_USAGE, "plan: a region", i);
        left -= r->length;
    }
    if (left != 0)
        return emk_fail(e, EMK_E_USAGE, "plan: regions do not cover the model", left);
    st = emk_files_each(p, add_length, &files, e);
    if (st == EMK_OK && files != p->model_len)
        st = emk_fail(e, EMK_E_USAGE, "plan: files are not the model", files);
    return st;
}

void emk_plan_done(emk_plan *p)
{
    emk_free(p->regions);
    emk_free(p->digests);
    emk_buf_done(&p->index);
    emk_buf_done(&p->files);
    p->regions = NULL;
    p->digests = NULL;
    p->n_regions = 0;
}

/* ---- digests ---- */

typedef struct digest_job {
    emk_plan *plan;
    const emk_crypto *crypto;
    const emk_source *model;
    const emk_progress *progress;
    emk_layout layout;
    uint8_t (*leaves)[EMK_HASH_LEN];
    atomic_uint next;
    atomic_bool stop;
} digest_job;

static emk_status digest_segment(digest_job *job, emk_sha256_ctx *h, uint32_t number,
                                 uint8_t *scratch, emk_error *e)
{
    emk_segment seg = emk_layout_segment(&job->layout, number);
    const uint8_t *bytes = scratch;
    emk_status st = EMK_OK;

    if (job->model->p)
        bytes = job->model->p + seg.at;
    else
        st = emk_source_read(job->model, seg.at, scratch, seg.len, e);
    if (st == EMK_OK)
        st = emk_digest_leaf(h, job->plan->dsalt, &seg, emk_span_of(bytes, seg.len),
                             job->leaves[number], e);
    return st;
}

static emk_status digest_worker(void *self, unsigned worker, emk_error *e)
{
    digest_job *job = self;
    emk_sha256_ctx *h = NULL;
    uint8_t *scratch = NULL;
    emk_status st = EMK_OK;

    if (!job->model->p) {
        scratch = emk_alloc(EMK_SEGMENT_LEN, 1);
        if (!scratch)
            st = emk_fail(e, EMK_E_NO_MEMORY, "digests: no memory", EMK_SEGMENT_LEN);
    }
    if (st == EMK_OK)
        st = emk_sha256_ctx_new(job->crypto, &h, e);
    while (st == EMK_OK && !atomic_load(&job->stop)) {
        uint32_t number = atomic_fetch_add(&job->next, 1);

        if (number >= job->layout.n_segments)
            break;
        st = digest_segment(job, h, number, scratch, e);
        if (worker == 0 && job->progress && job->progress->fn)
            job->progress->fn(job->progress->self, number, job->layout.n_segments);
    }
    if (st != EMK_OK)
        atomic_store(&job->stop, true);
    emk_sha256_ctx_free(h);
    if (scratch)
        emk_wipe(scratch, EMK_SEGMENT_LEN); /* plaintext, if only the publisher's own */
    emk_free(scratch);
    return st;
}

static emk_status digest_regions(digest_job *job, emk_error *e)
{
    emk_plan *p = job->plan;
    emk_sha256_ctx *h;
    emk_status st = emk_sha256_ctx_new(job->crypto, &h, e);

    if (st != EMK_OK)
        return st;
    for (uint32_t i = 0; st == EMK_OK && i < p->n_regions; i++) {
        const emk_layout_region *r = &job->layout.regions[i + 1];
        emk_digest_region_in in = {.dsalt = p->dsalt,
                                   .region = i + 1,
                                   .length = r->length,
                                   .leaves = (const uint8_t(*)[EMK_HASH_LEN])job->leaves +
                                             r->first_segment,
                                   .n_leaves = emk_segments_of(r->length)};

        st = emk_digest_region(h, &in, p->digests[i], e);
    }
    emk_sha256_ctx_free(h);
    return st;
}

emk_status emk_plan_digest(emk_plan *p, const emk_crypto *c, const emk_source *model,
                           unsigned threads, const emk_progress *progress, emk_error *e)
{
    digest_job job = {.plan = p, .crypto = c, .model = model, .progress = progress};
    emk_status st;

    if (model->len != p->model_len)
        return emk_fail(e, EMK_E_USAGE, "digests: not the model that was planned", model->len);
    if (threads == 0 || threads > EMK_SEAL_THREADS_MAX)
        return emk_fail(e, EMK_E_USAGE, "threads: number", threads);
    st = emk_plan_check(p, e);
    if (st != EMK_OK)
        return st;
    st = emk_layout_init(&job.layout, p, 0, e); /* without region 0: numbers start at 0 */
    if (st != EMK_OK)
        return st;
    job.leaves = emk_alloc(job.layout.n_segments, EMK_HASH_LEN);
    if (!p->digests)
        p->digests = emk_alloc(p->n_regions, EMK_HASH_LEN);
    if (!job.leaves || !p->digests)
        st = emk_fail(e, EMK_E_NO_MEMORY, "digests: no memory", job.layout.n_segments);
    if (st == EMK_OK)
        st = emk_parallel_run(threads, digest_worker, &job, e);
    if (st == EMK_OK)
        st = digest_regions(&job, e);
    if (st != EMK_OK) {
        emk_free(p->digests);
        p->digests = NULL;
    }
    emk_free(job.leaves);
    emk_layout_done(&job.layout);
    return st;
}

/* ---- the sealed part ---- */

static size_t region_bytes(const emk_plan *p)
{
    return (size_t)p->n_regions * REGION_ROW;
}

static void put_head(emk_writer *w, const emk_plan *p)
{
    emk_cbor_put_map(w, 6u + (p->digests ? 1u : 0u) + (p->n_files ? 1u : 0u));
    emk_cbor_put_uint(w, 1);
    emk_cbor_put_bytes(w, emk_span_of(p->dsalt, EMK_DSALT_LEN));
    emk_cbor_put_uint(w, 2);
}

static void put_tail(emk_writer *w, const emk_plan *p, emk_span identity)
{
    emk_cbor_put_uint(w, 4);
    emk_cbor_put_bytes(w, identity);
    emk_cbor_put_uint(w, 5);
    emk_cbor_put_text(w, emk_span_str(p->format));
    emk_cbor_put_uint(w, 6);
    emk_cbor_put_array(w, p->n_index);
    emk_cbor_put_raw(w, emk_buf_span(&p->index));
    emk_cbor_put_uint(w, 7);
    emk_cbor_put_bool(w, p->index_complete);
    if (p->n_files) {
        emk_cbor_put_uint(w, 8);
        emk_cbor_put_array(w, p->n_files);
        emk_cbor_put_raw(w, emk_buf_span(&p->files));
    }
}

static void put_sealed_part(emk_writer *w, const emk_plan *p, emk_span rows, emk_span identity)
{
    put_head(w, p);
    emk_cbor_put_bytes(w, rows);
    if (p->digests) {
        emk_cbor_put_uint(w, 3);
        emk_cbor_put_bytes(w, emk_span_of(p->digests, (size_t)p->n_regions * EMK_HASH_LEN));
    }
    put_tail(w, p, identity);
}

emk_status emk_sealed_part_encode(const emk_plan *p, emk_span identity, emk_buf *out, emk_error *e)
{
    uint8_t *rows = emk_alloc(p->n_regions, REGION_ROW);
    emk_writer count, w;
    emk_span row_span;
    uint8_t *room;
    emk_status st;

    if (!rows)
        return emk_fail(e, EMK_E_NO_MEMORY, "sealed part: no memory", p->n_regions);
    for (uint32_t i = 0; i < p->n_regions; i++) {
        emk_store_u64be(rows + (size_t)i * REGION_ROW, p->regions[i].length);
        rows[(size_t)i * REGION_ROW + 8] = p->regions[i].kind;
    }
    row_span = emk_span_of(rows, region_bytes(p));
    emk_writer_init(&count, NULL, 0);
    put_sealed_part(&count, p, row_span, identity);
    st = count.pos > EMK_SEALED_PART_MAX
             ? emk_fail(e, EMK_E_LIMIT, "sealed part: too long", count.pos)
             : emk_buf_grow(out, count.pos, &room, e);
    if (st == EMK_OK) {
        emk_writer_init(&w, room, count.pos);
        put_sealed_part(&w, p, row_span, identity);
    }
    emk_free(rows);
    return st;
}

static emk_status take_regions(emk_plan *p, emk_span rows, emk_error *e)
{
    uint64_t sum = 0;
    bool covers = true;

    if (rows.len % REGION_ROW || rows.len / REGION_ROW > EMK_REGIONS_MAX)
        return emk_fail(e, EMK_E_FORMAT, "sealed part: region list", rows.len);
    p->n_regions = (uint32_t)(rows.len / REGION_ROW);
    p->regions = emk_alloc(p->n_regions, sizeof *p->regions);
    if (!p->regions)
        return emk_fail(e, EMK_E_NO_MEMORY, "sealed part: no memory", p->n_regions);
    for (uint32_t i = 0; i < p->n_regions; i++) {
        emk_region *r = &p->regions[i];

        r->length = emk_load_u64be(rows.p + (size_t)i * REGION_ROW);
        r->kind = rows.p[(size_t)i * REGION_ROW + 8];
        if (r->length == 0 || r->kind > EMK_REGION_CLEAR)
            return emk_fail(e, EMK_E_FORMAT, "sealed part: a region", i);
        covers = covers && r->length <= p->model_len - sum;
        sum += covers ? r->length : 0;
    }
    if (!covers || sum != p->model_len)
        return emk_fail(e, EMK_E_FORMAT, "sealed part: regions do not cover the model", sum);
    return EMK_OK;
}

static emk_status take_digests(emk_plan *p, emk_span digests, emk_error *e)
{
    if (digests.len != (size_t)p->n_regions * EMK_HASH_LEN)
        return emk_fail(e, EMK_E_FORMAT, "sealed part: number of digests", digests.len);
    p->digests = emk_alloc(p->n_regions, EMK_HASH_LEN);
    if (!p->digests)
        return emk_fail(e, EMK_E_NO_MEMORY, "sealed part: no memory", p->n_regions);
    if (digests.len)
        memcpy(p->digests, digests.p, digests.len);
    return EMK_OK;
}

typedef struct sealed_part_fields {
    uint32_t seen; /* bit per key */
    emk_span rows, digests, identity, format, index, files;
    size_t n_files;
} sealed_part_fields;

/* An array of items that are looked at later: its items' bytes, one behind the other. */
static emk_span read_items(emk_cbor_reader *r, size_t *n)
{
    size_t from;

    *n = emk_cbor_enter_array(r);
    from = r->in.pos;
    for (size_t i = 0; emk_cbor_ok(r) && i < *n; i++)
        emk_cbor_skip(r);
    emk_cbor_leave(r);
    return emk_cbor_ok(r) ? emk_span_of(r->in.in.p + from, r->in.pos - from) : emk_span_of(NULL, 0);
}

static void read_sealed_field(emk_cbor_reader *r, int64_t key, emk_plan *p, sealed_part_fields *f)
{
    size_t n;

    switch (key) {
    case 1:
        emk_cbor_read_fixed(r, p->dsalt, EMK_DSALT_LEN);
        break;
    case 2:
        f->rows = emk_cbor_read_bytes(r);
        break;
    case 3:
        f->digests = emk_cbor_read_bytes(r);
        break;
    case 4:
        f->identity = emk_cbor_read_bytes(r);
        break;
    case 5:
        f->format = emk_cbor_read_text(r);
        break;
    case 6:
        f->index = read_items(r, &n);
        p->n_index = n > EMK_INDEX_TENSORS_MAX ? UINT32_MAX : (uint32_t)n;
        break;
    case 7:
        p->index_complete = emk_cbor_read_bool(r);
        break;
    case 8:
        f->files = read_items(r, &f->n_files);
        break;
    default:
        emk_cbor_fail(r, EMK_E_FORMAT, "sealed part: unknown key", (uint64_t)key);
        return;
    }
    f->seen |= 1u << key;
}

static emk_status take_format(emk_plan *p, emk_span format, emk_error *e)
{
    emk_error why;

    if (format.len >= sizeof p->format || emk_text_check(format, &why) != EMK_OK)
        return emk_fail(e, EMK_E_FORMAT, "sealed part: name of the format", format.len);
    memset(p->format, 0, sizeof p->format);
    memcpy(p->format, format.p, format.len);
    return EMK_OK;
}

static emk_status check_entry(void *self, const emk_index_entry *entry, emk_error *e)
{
    uint64_t *last = self;

    if (entry->offset < *last)
        return emk_fail(e, EMK_E_FORMAT, "sealed part: index is not sorted", entry->offset);
    *last = entry->offset;
    return EMK_OK;
}

static emk_status take_files(emk_plan *p, const sealed_part_fields *f, emk_error *e)
{
    uint64_t sum = 0;
    emk_cbor_reader r;

    if (f->n_files == 0 || f->n_files > EMK_FILES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "sealed part: number of files", f->n_files);
    emk_cbor_reader_init(&r, f->files);
    for (size_t i = 0; i < f->n_files; i++) {
        emk_span path;
        uint64_t length;
        emk_status st;

        if (emk_cbor_enter_array(&r) != 2)
            emk_cbor_fail(&r, EMK_E_FORMAT, "sealed part: a file", i);
        path = emk_cbor_read_text(&r);
        length = emk_cbor_read_uint(&r);
        emk_cbor_leave(&r);
        if (!emk_cbor_ok(&r))
            return emk_fail(e, r.status, r.what, r.where);
        if (length > p->model_len - sum)
            return emk_fail(e, EMK_E_FORMAT, "sealed part: files are not the model", i);
        sum += length;
        st = emk_plan_add_file(p, path, length, e);
        if (st != EMK_OK)
            return st;
    }
    if (sum != p->model_len)
        return emk_fail(e, EMK_E_FORMAT, "sealed part: files are not the model", sum);
    return EMK_OK;
}

static emk_status take_fields(emk_plan *p, const sealed_part_fields *f, emk_error *e)
{
    uint64_t last = 0;
    emk_status st;

    if ((f->seen & 0xF6u) != 0xF6u) /* all but the digests */
        return emk_fail(e, EMK_E_FORMAT, "sealed part: a key is missing", f->seen);
    if (p->n_index > EMK_INDEX_TENSORS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "sealed part: tensors in the index", p->n_index);
    st = take_regions(p, f->rows, e);
    if (st == EMK_OK && (f->seen & 1u << 3))
        st = take_digests(p, f->digests, e);
    if (st == EMK_OK)
        st = take_format(p, f->format, e);
    if (st == EMK_OK)
        st = emk_buf_append(&p->index, f->index, e);
    if (st == EMK_OK)
        st = emk_index_each(p, check_entry, &last, e);
    if (st == EMK_OK && (f->seen & 1u << 8))
        st = take_files(p, f, e);
    return st;
}

emk_status emk_sealed_part_decode(emk_span in, uint64_t model_len, emk_plan *out,
                                  emk_span *identity, emk_error *e)
{
    emk_plan p = {.model_len = model_len};
    sealed_part_fields f = {0};
    emk_cbor_reader r;
    int64_t key;
    emk_status st;

    emk_buf_init(&p.index, EMK_SEALED_PART_MAX);
    emk_buf_init(&p.files, EMK_SEALED_PART_MAX);
    emk_cbor_reader_init(&r, in);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &key))
        read_sealed_field(&r, key, &p, &f);
    emk_cbor_leave(&r);
    st = emk_cbor_finish(&r, e);
    if (st == EMK_OK)
        st = take_fields(&p, &f, e);
    if (st != EMK_OK) {
        emk_plan_done(&p);
        return st;
    }
    *identity = f.identity;
    *out = p;
    return EMK_OK;
}

/* ---- the index ---- */

void emk_index_put(emk_writer *w, const emk_index_entry *entry)
{
    emk_cbor_put_array(w, 5);
    emk_cbor_put_uint(w, entry->offset);
    emk_cbor_put_uint(w, entry->length);
    emk_cbor_put_text(w, entry->name);
    emk_cbor_put_text(w, entry->dtype);
    emk_cbor_put_array(w, entry->rank);
    for (unsigned i = 0; i < entry->rank; i++)
        emk_cbor_put_uint(w, entry->dims[i]);
}

static void read_entry(emk_cbor_reader *r, uint64_t model_len, emk_index_entry *entry)
{
    size_t rank;

    if (emk_cbor_enter_array(r) != 5)
        emk_cbor_fail(r, EMK_E_FORMAT, "sealed part: index entry", 0);
    entry->offset = emk_cbor_read_uint(r);
    entry->length = emk_cbor_read_uint(r);
    entry->name = emk_cbor_read_text(r);
    entry->dtype = emk_cbor_read_text(r);
    rank = emk_cbor_enter_array(r);
    if (rank > 8)
        emk_cbor_fail(r, EMK_E_FORMAT, "sealed part: dimensions of a tensor", rank);
    for (size_t i = 0; emk_cbor_ok(r) && i < rank; i++)
        entry->dims[i] = emk_cbor_read_uint(r);
    entry->rank = (uint8_t)rank;
    emk_cbor_leave(r);
    emk_cbor_leave(r);
    if (entry->name.len == 0 || entry->name.len > EMK_INDEX_NAME_MAX || entry->dtype.len == 0 ||
        entry->dtype.len >= EMK_FORMAT_NAME_MAX)
        emk_cbor_fail(r, EMK_E_FORMAT, "sealed part: a name in the index", entry->name.len);
    if (entry->offset > model_len || entry->length > model_len - entry->offset)
        emk_cbor_fail(r, EMK_E_FORMAT, "sealed part: a tensor outside the model", entry->offset);
}

emk_status emk_index_each(const emk_plan *p,
                          emk_status (*fn)(void *self, const emk_index_entry *entry, emk_error *e),
                          void *self, emk_error *e)
{
    emk_span all = emk_buf_span(&p->index);
    emk_cbor_reader r;

    emk_cbor_reader_init(&r, all);
    for (uint32_t i = 0; i < p->n_index; i++) {
        emk_index_entry entry = {0};
        emk_status st;

        read_entry(&r, p->model_len, &entry);
        if (!emk_cbor_ok(&r))
            return emk_fail(e, r.status, r.what, r.where);
        st = fn(self, &entry, e);
        if (st != EMK_OK)
            return st;
    }
    return EMK_OK;
}

/* ---- models of several files ---- */

static bool is_component(emk_span c)
{
    if (c.len == 0 || (c.len == 1 && c.p[0] == '.'))
        return false;
    return !(c.len == 2 && c.p[0] == '.' && c.p[1] == '.');
}

emk_status emk_path_check(emk_span path, emk_error *e)
{
    size_t from = 0;

    if (path.len == 0 || path.len > EMK_PATH_MAX)
        return emk_fail(e, EMK_E_FORMAT, "path: length", path.len);
    if (!emk_text_is_clean(path) || memchr(path.p, '\\', path.len))
        return emk_fail(e, EMK_E_FORMAT, "path: not UTF-8, or a character no path may have", 0);
    for (size_t i = 0; i <= path.len; i++) {
        if (i < path.len && path.p[i] != '/')
            continue;
        if (!is_component(emk_span_of(path.p + from, i - from)))
            return emk_fail(e, EMK_E_FORMAT, "path: leaves its folder, or has an empty name", from);
        from = i + 1;
    }
    return EMK_OK;
}

static int path_byte(uint8_t b)
{
    return b == '/' ? 0 : b; /* no path has a zero byte */
}

int emk_path_compare(emk_span a, emk_span b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        if (a.p[i] != b.p[i])
            return path_byte(a.p[i]) - path_byte(b.p[i]);
    }
    return (a.len > b.len) - (a.len < b.len);
}

/* In this order a folder's name stands right before what is in it. */
static bool is_folder_of(emk_span folder, emk_span path)
{
    return path.len > folder.len && path.p[folder.len] == '/' &&
           memcmp(path.p, folder.p, folder.len) == 0;
}

static emk_status last_file(void *self, const emk_file_entry *entry, emk_error *e)
{
    (void)e;
    *(emk_span *)self = entry->path;
    return EMK_OK;
}

emk_status emk_plan_add_file(emk_plan *p, emk_span path, uint64_t length, emk_error *e)
{
    uint8_t space[EMK_PATH_MAX + 16];
    emk_span before = {NULL, 0};
    emk_writer w;
    emk_status st;

    st = emk_path_check(path, e);
    if (st == EMK_OK && p->n_files == EMK_FILES_MAX)
        st = emk_fail(e, EMK_E_LIMIT, "model: too many files", EMK_FILES_MAX);
    if (st == EMK_OK)
        st = emk_files_each(p, last_file, &before, e);
    if (st != EMK_OK)
        return st;
    if (before.p && (emk_path_compare(before, path) >= 0 || is_folder_of(before, path)))
        return emk_fail(e, EMK_E_FORMAT, "model: paths out of order, twice, or inside one another",
                        p->n_files);
    emk_writer_init(&w, space, sizeof space);
    emk_cbor_put_array(&w, 2);
    emk_cbor_put_text(&w, path);
    emk_cbor_put_uint(&w, length);
    st = emk_buf_append(&p->files, emk_writer_span(&w), e);
    if (st == EMK_OK)
        p->n_files++;
    return st;
}

emk_status emk_files_each(const emk_plan *p,
                          emk_status (*fn)(void *self, const emk_file_entry *entry, emk_error *e),
                          void *self, emk_error *e)
{
    emk_file_entry entry = {.offset = 0};
    emk_cbor_reader r;

    emk_cbor_reader_init(&r, emk_buf_span(&p->files));
    for (uint32_t i = 0; i < p->n_files; i++) {
        emk_status st;

        emk_cbor_enter_array(&r);
        entry.path = emk_cbor_read_text(&r);
        entry.length = emk_cbor_read_uint(&r);
        emk_cbor_leave(&r);
        if (!emk_cbor_ok(&r))
            return emk_fail(e, r.status, r.what, r.where);
        st = fn(self, &entry, e);
        if (st != EMK_OK)
            return st;
        entry.offset += entry.length;
    }
    return EMK_OK;
}
