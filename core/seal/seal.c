/* How the bulk is written.
 *
 * The plaintext of the file layer ("inner bytes") is: the weights layer's head (preamble,
 * header, commit), then for each segment its ciphertext and tag.  Chunks of the file layer
 * are cut from the inner bytes every 64 KiB, wherever segments end.  Workers take batches of
 * whole segments; each also makes the few inner bytes after its batch that its last chunk
 * needs, by encrypting the beginning of the next segments a second time (to the same
 * ciphertext).  So workers share nothing but the number of the next batch. */
#include "core/seal/seal.h"

#include "core/base/alloc.h"
#include "core/base/os_parallel.h"
#include "core/crypto/hash.h"
#include "core/crypto/random.h"
#include "core/seal/segment.h"

#include <stdatomic.h>

#define HEAD_MAX (EMK_PREAMBLE_LEN + EMK_HEADER_MAX + EMK_COMMIT_LEN)
/* head, batch, its tags, and what the last chunk needs from the next segments */
#define SCRATCH_LEN                                                                     \
    ((size_t)HEAD_MAX + EMK_BATCH_LEN + (size_t)EMK_BATCH_SEGMENTS * EMK_AEAD_TAG_LEN + \
     EMK_CHUNK_LEN)
#define OUT_LEN (SCRATCH_LEN / EMK_CHUNK_LEN * EMK_AEAD_TAG_LEN + SCRATCH_LEN + EMK_CHUNK_LEN)
#define DAY_S   86400u

_Static_assert(2 * EMK_SCHEDULE_PRK_LEN <= EMK_SECRET_PLACE_LEN, "both layers' keys in a place");

struct emk_sealing {
    const emk_crypto *crypto;
    const emk_source *model;
    emk_layout layout;
    emk_buf sealed_part;
    uint8_t *prks;   /* of both layers: a place of the pool, or in own */
    emk_secret *own; /* NULL: the pool had a place */
    emk_schedule inner, outer;
    uint16_t inner_aead, outer_aead;
    emk_buf inner_head, outer_head; /* preamble, header, commit */
    uint64_t inner_len;             /* bytes of the weights layer */
    uint8_t file_id[EMK_ID_LEN];
    emk_batches batches;
    bool written;
};

/* ---- step 1: headers and keys ---- */

/* One layer: a fresh CEK, the header that carries it, the keys that follow from both. */
static emk_status make_layer(emk_sealing *s, emk_header_in *in, emk_buf *head,
                             emk_schedule *schedule, emk_error *e)
{
    const emk_crypto *c = s->crypto;
    uint8_t cek[EMK_CEK_LEN], hh[EMK_HASH_LEN];
    emk_schedule_in keys = {.crypto = c, .layer = in->core.layer, .cek = cek, .hh = hh};
    emk_status st;

    keys.prk = s->prks;
    if (keys.layer == EMK_LAYER_WEIGHTS)
        keys.prk += EMK_SCHEDULE_PRK_LEN;
    emk_buf_init(head, HEAD_MAX);
    in->cek = cek;
    st = emk_random_secret(c, cek, sizeof cek, e);
    if (st == EMK_OK)
        st = emk_random_public(c, in->core.file_id, EMK_ID_LEN, e);
    if (st == EMK_OK)
        st = emk_header_make(c, in, head, hh, e);
    if (st == EMK_OK)
        st = emk_schedule_init_in(schedule, &keys, e);
    if (st == EMK_OK)
        st = emk_buf_append(head, emk_span_of(schedule->commit, EMK_COMMIT_LEN), e);
    in->cek = NULL;
    emk_wipe(cek, sizeof cek);
    return st;
}

static emk_status make_weights_layer(emk_sealing *s, const emk_seal_in *in, emk_error *e)
{
    emk_header_in h = {.signer = in->signer, .to = in->device_key};
    emk_span part = emk_buf_span(&s->sealed_part);
    emk_status st;

    h.core.layer = EMK_LAYER_WEIGHTS;
    h.core.content_alg = in->chacha ? EMK_CONTENT_WEIGHTS_CHACHA : EMK_CONTENT_WEIGHTS_AES;
    h.core.plain_len = in->model->len;
    h.core.certificate = in->certificate;
    h.core.created_day = in->now / DAY_S;
    memcpy(h.core.ticket_id, in->ticket_id, EMK_ID_LEN);
    memcpy(h.core.ticket_hash, in->ticket_hash, EMK_HASH_LEN);
    h.core.policy = in->policy;
    h.core.lease_key = in->lease_key;
    h.core.sealed_part_len = part.len;
    s->inner_aead = emk_content_aead(EMK_LAYER_WEIGHTS, h.core.content_alg);
    st = emk_sha256(s->crypto, &part, 1, h.core.sealed_part_hash, e);
    if (st == EMK_OK)
        st = make_layer(s, &h, &s->inner_head, &s->inner, e);
    memcpy(s->file_id, h.core.file_id, EMK_ID_LEN);
    return st;
}

static emk_status make_file_layer(emk_sealing *s, const emk_seal_in *in, emk_error *e)
{
    emk_header_in h = {.signer = in->signer, .to = in->request_key};

    s->inner_len = s->inner_head.len + emk_layout_delivered(&s->layout, s->layout.n_segments);
    h.core.layer = EMK_LAYER_FILE;
    h.core.content_alg = in->chacha ? EMK_CONTENT_FILE_CHACHA : EMK_CONTENT_FILE_AES;
    h.core.plain_len = s->inner_len;
    h.core.certificate = in->certificate;
    h.core.created_day = in->now / DAY_S;
    memcpy(h.core.request_hash, in->request_hash, EMK_HASH_LEN);
    s->outer_aead = emk_content_aead(EMK_LAYER_FILE, h.core.content_alg);
    return make_layer(s, &h, &s->outer_head, &s->outer, e);
}

static emk_status check_in(const emk_seal_in *in, emk_error *e)
{
    emk_policy policy;
    emk_identity identity;
    emk_status st;

    if (in->model->len != in->plan->model_len)
        return emk_fail(e, EMK_E_USAGE, "seal: not the model that was planned", in->model->len);
    if (in->certificate.len > EMK_CERTIFICATE_MAX)
        return emk_fail(e, EMK_E_USAGE, "seal: length of the sealing certificate",
                        in->certificate.len);
    st = emk_plan_check(in->plan, e);
    if (st == EMK_OK)
        st = emk_policy_decode(in->policy, &policy, e);
    if (st == EMK_OK)
        st = emk_identity_decode(in->identity, &identity, e);
    if (st == EMK_OK && (policy.lease_s != 0) != (in->lease_key.len != 0))
        return emk_fail(e, EMK_E_USAGE, "seal: a lease, and no lease key", in->lease_key.len);
    return st;
}

/* Secret memory for the keys of both layers. */
static emk_status take_prks(emk_sealing *s, emk_error *e)
{
    emk_status st;

    s->prks = emk_secret_pool_take(emk_crypto_secrets(s->crypto));
    if (s->prks)
        return EMK_OK;
    st = emk_secret_new((size_t)2 * EMK_SCHEDULE_PRK_LEN, &s->own, e);
    if (st == EMK_OK)
        s->prks = emk_secret_bytes(s->own);
    return st;
}

emk_status emk_sealing_new(const emk_crypto *c, const emk_seal_in *in, emk_sealing **out,
                           emk_error *e)
{
    emk_sealing *s;
    emk_status st;

    st = check_in(in, e);
    if (st != EMK_OK)
        return st;
    s = emk_alloc(1, sizeof *s);
    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "seal: no memory", sizeof *s);
    s->crypto = c;
    s->model = in->model;
    emk_buf_init(&s->sealed_part, EMK_SEALED_PART_MAX);
    st = take_prks(s, e);
    if (st == EMK_OK)
        st = emk_sealed_part_encode(in->plan, in->identity, &s->sealed_part, e);
    if (st == EMK_OK)
        st = emk_layout_init(&s->layout, in->plan, s->sealed_part.len, e);
    if (st == EMK_OK)
        st = emk_batches_init(&s->batches, &s->layout, 0, e);
    if (st == EMK_OK)
        st = make_weights_layer(s, in, e);
    if (st == EMK_OK)
        st = make_file_layer(s, in, e);
    if (st != EMK_OK) {
        emk_sealing_free(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

uint64_t emk_sealing_len(const emk_sealing *s)
{
    return s->outer_head.len + s->inner_len + emk_chunks_of(s->inner_len) * EMK_AEAD_TAG_LEN;
}

const uint8_t *emk_sealing_file_id(const emk_sealing *s)
{
    return s->file_id;
}

void emk_sealing_free(emk_sealing *s)
{
    if (!s)
        return;
    emk_schedule_done(&s->inner);
    emk_schedule_done(&s->outer);
    if (s->own)
        emk_secret_free(s->own);
    else
        emk_secret_pool_give(emk_crypto_secrets(s->crypto), s->prks);
    emk_layout_done(&s->layout);
    emk_buf_done(&s->sealed_part);
    emk_buf_done(&s->inner_head);
    emk_buf_done(&s->outer_head);
    emk_batches_done(&s->batches);
    emk_free(s);
}

/* ---- step 2: the bulk ---- */

typedef struct seal_job {
    emk_sealing *s;
    const emk_sink *out;
    const emk_progress *progress;
    atomic_uint next;
    atomic_bool stop;
} seal_job;

typedef struct seal_worker {
    seal_job *job;
    emk_segment_cipher segments;
    emk_chunk_cipher chunks;
    uint8_t *scratch; /* inner bytes of this batch, SCRATCH_LEN */
    uint8_t *out;     /* file bytes of this batch, OUT_LEN; NULL when they go straight to memory */
    uint8_t *small;   /* a whole segment of which only the beginning is wanted */
} seal_worker;

/* The plaintext of the first `len` bytes of a segment: lent from memory, or read into room. */
static emk_status segment_plain(const emk_sealing *s, const emk_segment *seg, size_t len,
                                uint8_t *room, const uint8_t **plain, emk_error *e)
{
    if (seg->region == 0) {
        *plain = s->sealed_part.p + seg->at;
        return EMK_OK;
    }
    if (s->model->p) {
        *plain = s->model->p + seg->at;
        return EMK_OK;
    }
    *plain = room;
    return emk_source_read(s->model, seg->at, room, len, e);
}

static emk_status put_whole(seal_worker *w, const emk_segment *seg, uint8_t *to, emk_error *e)
{
    const uint8_t *plain;
    emk_status st = segment_plain(w->job->s, seg, seg->len, to, &plain, e);

    if (st == EMK_OK)
        st = emk_segment_seal(&w->segments, seg, plain, to, to + seg->len, e);
    return st;
}

/* The first `want` of the segment's len + 16 inner bytes. */
static emk_status put_beginning(seal_worker *w, const emk_segment *seg, uint8_t *to, size_t want,
                                emk_error *e)
{
    const uint8_t *plain;
    emk_status st;

    if (want > seg->len) { /* part of the tag, so the segment is shorter than a chunk */
        st = put_whole(w, seg, w->small, e);
        if (st == EMK_OK)
            memcpy(to, w->small, want);
        return st;
    }
    st = segment_plain(w->job->s, seg, want, to, &plain, e);
    if (st == EMK_OK)
        st = emk_segment_seal_prefix(&w->segments, seg, plain, to, want, e);
    return st;
}

/* Fills scratch with inner bytes [from, to): `first` is the segment that begins at from. */
static emk_status fill_scratch(seal_worker *w, uint32_t first, uint64_t from, uint64_t to,
                               emk_error *e)
{
    emk_sealing *s = w->job->s;
    uint64_t at = from;
    emk_segment seg;
    emk_status st = EMK_OK;

    if (first == 0) {
        memcpy(w->scratch, s->inner_head.p, s->inner_head.len);
        at += s->inner_head.len;
    }
    for (uint32_t i = first; st == EMK_OK && at < to; i++) {
        uint64_t want;

        seg = i == first ? emk_layout_segment(&s->layout, i) : emk_layout_next(&s->layout, &seg);
        want = (uint64_t)seg.len + EMK_AEAD_TAG_LEN;
        if (want <= to - at) {
            st = put_whole(w, &seg, w->scratch + (at - from), e);
        } else {
            want = to - at;
            st = put_beginning(w, &seg, w->scratch + (at - from), (size_t)want, e);
        }
        at += want;
    }
    return st;
}

/* Seals chunks [c0, c1) whose inner bytes begin at scratch[skip]. */
static emk_status put_chunks(seal_worker *w, uint64_t c0, uint64_t c1, size_t skip, emk_error *e)
{
    emk_sealing *s = w->job->s;
    uint64_t file_at = s->outer_head.len + c0 * (EMK_CHUNK_LEN + EMK_AEAD_TAG_LEN);
    uint8_t *to = w->out ? w->out : w->job->out->p + file_at;
    size_t len = 0;

    for (uint64_t i = c0; i < c1; i++) {
        emk_status st = emk_chunk_seal(&w->chunks, i, w->scratch + skip, to + len, e);

        if (st != EMK_OK)
            return st;
        len += emk_chunk_len(s->inner_len, i) + EMK_AEAD_TAG_LEN;
        skip += EMK_CHUNK_LEN;
    }
    return w->out ? emk_sink_write(w->job->out, file_at, w->out, len, e) : EMK_OK;
}

static uint64_t inner_offset(const emk_sealing *s, uint32_t segment)
{
    return segment ? s->inner_head.len + emk_layout_delivered(&s->layout, segment) : 0;
}

static emk_status seal_batch(seal_worker *w, uint32_t batch, emk_error *e)
{
    const emk_sealing *s = w->job->s;
    uint32_t first = s->batches.first[batch];
    uint64_t from = inner_offset(s, first);
    uint64_t end = inner_offset(s, s->batches.first[batch + 1]);
    uint64_t c0 = (from + EMK_CHUNK_LEN - 1) / EMK_CHUNK_LEN;
    uint64_t c1 = (end + EMK_CHUNK_LEN - 1) / EMK_CHUNK_LEN;
    uint64_t to = c1 * EMK_CHUNK_LEN;
    emk_status st;

    if (c0 * EMK_CHUNK_LEN >= end)
        return EMK_OK; /* lies whole in a chunk of the batch before */
    if (to > s->inner_len)
        to = s->inner_len;
    st = fill_scratch(w, first, from, to, e);
    if (st == EMK_OK)
        st = put_chunks(w, c0, c1, (size_t)(c0 * EMK_CHUNK_LEN - from), e);
    return st;
}

static emk_status worker_init(seal_worker *w, seal_job *job, emk_error *e)
{
    emk_sealing *s = job->s;
    emk_status st;

    w->job = job;
    w->scratch = emk_alloc(SCRATCH_LEN, 1);
    w->small = emk_alloc(EMK_CHUNK_LEN + EMK_AEAD_TAG_LEN, 1);
    w->out = job->out->p ? NULL : emk_alloc(OUT_LEN, 1);
    if (!w->scratch || !w->small || (!w->out && !job->out->p))
        return emk_fail(e, EMK_E_NO_MEMORY, "seal: no memory", SCRATCH_LEN);
    st = emk_segment_cipher_init(&w->segments, &s->inner, s->inner_aead, e);
    if (st == EMK_OK)
        st = emk_chunk_cipher_init(&w->chunks, &s->outer, s->outer_aead, s->inner_len, e);
    return st;
}

static void worker_done(seal_worker *w)
{
    emk_segment_cipher_done(&w->segments);
    emk_chunk_cipher_done(&w->chunks);
    if (w->scratch)
        emk_wipe(w->scratch, SCRATCH_LEN); /* held plaintext before it was encrypted in place */
    if (w->small)
        emk_wipe(w->small, EMK_CHUNK_LEN + EMK_AEAD_TAG_LEN); /* so did this, for a moment */
    emk_free(w->scratch);
    emk_free(w->small);
    emk_free(w->out);
}

static emk_status seal_thread(void *self, unsigned number, emk_error *e)
{
    seal_job *job = self;
    seal_worker w = {0};
    emk_status st;

    st = worker_init(&w, job, e);
    while (st == EMK_OK && !atomic_load(&job->stop)) {
        uint32_t batch = atomic_fetch_add(&job->next, 1);

        if (batch >= job->s->batches.n)
            break;
        st = seal_batch(&w, batch, e);
        if (number == 0 && job->progress && job->progress->fn)
            job->progress->fn(job->progress->self, batch, job->s->batches.n);
    }
    if (st != EMK_OK)
        atomic_store(&job->stop, true);
    worker_done(&w);
    return st;
}

emk_status emk_sealing_write(emk_sealing *s, const emk_sink *out, unsigned threads,
                             const emk_progress *progress, emk_error *e)
{
    seal_job job = {.s = s, .out = out, .progress = progress};
    emk_status st;

    if (s->written)
        return emk_fail(e, EMK_E_USAGE, "seal: written already", 0);
    if (threads == 0 || threads > EMK_SEAL_THREADS_MAX)
        return emk_fail(e, EMK_E_USAGE, "threads: number", threads);
    if (out->p && out->cap < emk_sealing_len(s))
        return emk_fail(e, EMK_E_USAGE, "memory: too small for the file", out->cap);
    s->written = true;
    st = emk_sink_write(out, 0, s->outer_head.p, s->outer_head.len, e);
    if (st == EMK_OK)
        st = emk_parallel_run(threads, seal_thread, &job, e);
    return st;
}
