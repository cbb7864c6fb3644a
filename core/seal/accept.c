/* How a delivered file is taken apart: see seal.c for how its bytes lie.  The head and the
 * sealed part are read first, by one thread; then workers take batches of segments.  Each
 * decrypts the chunks that hold its batch (the one at each end twice, once here and once in
 * the neighbour), opens the segments, hashes them, seals them again under the vault's keys
 * and writes them, all while they are in the cache. */
#include "core/seal/accept.h"

#include "core/base/alloc.h"
#include "core/base/os_parallel.h"
#include "core/crypto/random.h"
#include "core/seal/digest.h"
#include "core/seal/record.h"
#include "core/seal/segment.h"

#include <stdatomic.h>

#define STORED_CHUNK (EMK_CHUNK_LEN + EMK_AEAD_TAG_LEN)
/* a batch with its tags, and a chunk's worth at each end */
#define SCRATCH_LEN                                                          \
    ((size_t)EMK_BATCH_LEN + (size_t)EMK_BATCH_SEGMENTS * EMK_AEAD_TAG_LEN + \
     (size_t)2 * EMK_CHUNK_LEN)
#define IO_LEN (SCRATCH_LEN / EMK_CHUNK_LEN * EMK_AEAD_TAG_LEN + SCRATCH_LEN + EMK_CHUNK_LEN)

struct emk_accept {
    const emk_crypto *crypto;
    emk_accept_in in;
    emk_buf outer_head, inner_head; /* preamble and header */
    emk_header outer, inner;        /* spans point into the heads */
    uint8_t inner_hh[EMK_HASH_LEN];
    emk_schedule outer_keys, inner_keys;
    uint64_t chunks_at; /* offset of chunk 0 in the file */
    uint64_t inner_len;
    uint64_t segments_at; /* inner offset of the first segment of region 0 */
    emk_buf sealed_part;
    emk_plan plan;
    emk_layout layout;
    bool written;
    const uint8_t *binding; /* of step 2 */
};

/* ---- step 1 ---- */

static emk_status refuse_binding(emk_accept *a, const char *what, emk_error *e)
{
    return emk_notice(a->in.noticed, EMK_NOTICED_BINDING, emk_fail(e, EMK_E_SIGNATURE, what, 0));
}

/* Reads preamble and header at the start of the file. */
static emk_status read_outer_head(emk_accept *a, emk_error *e)
{
    uint8_t preamble[EMK_PREAMBLE_LEN];
    uint32_t header_len;
    uint8_t *room;
    emk_status st;

    st = emk_source_read(a->in.sealed, 0, preamble, sizeof preamble, e);
    if (st == EMK_OK)
        st = emk_preamble_read(preamble, EMK_LAYER_FILE, &header_len, e);
    if (st != EMK_OK)
        return emk_notice(a->in.noticed, EMK_NOTICED_PREAMBLE, st);
    st = emk_buf_grow(&a->outer_head, EMK_PREAMBLE_LEN + header_len, &room, e);
    if (st == EMK_OK)
        st = emk_source_read(a->in.sealed, 0, room, EMK_PREAMBLE_LEN + header_len, e);
    if (st != EMK_OK)
        return emk_notice(a->in.noticed, EMK_NOTICED_CBOR, st);
    st = emk_header_parse(a->crypto, emk_buf_span(&a->outer_head), EMK_LAYER_FILE, &a->outer, e);
    return emk_notice(a->in.noticed, a->outer.noticed, st);
}

static emk_status open_outer(emk_accept *a, emk_error *e)
{
    uint8_t hh[EMK_HASH_LEN], commit[EMK_COMMIT_LEN];
    emk_unseal_in in = {
        .layer = EMK_LAYER_FILE,
        .recipients = a->outer.recipients,
        .n_recipients = a->outer.n_recipients,
        .key = a->in.request_key,
        .context = {.content_alg = a->outer.core.content_alg, .extra = a->outer.core_hash},
        .hh = hh,
        .commit = commit,
        .noticed = a->in.noticed};
    emk_status st;

    st = emk_header_verify(a->crypto, &a->outer, a->in.issuer, a->in.now, hh, e);
    if (st != EMK_OK)
        return emk_notice(a->in.noticed, EMK_NOTICED_SIGNATURE, st);
    if (memcmp(a->outer.core.request_hash, a->in.request_hash, EMK_HASH_LEN) != 0)
        return refuse_binding(a, "sealed: answers another request", e);
    a->inner_len = a->outer.core.plain_len;
    a->chunks_at = a->outer_head.len + EMK_COMMIT_LEN;
    if (a->in.sealed->len !=
        a->chunks_at + a->inner_len + emk_chunks_of(a->inner_len) * EMK_AEAD_TAG_LEN)
        return emk_notice(a->in.noticed, EMK_NOTICED_LENGTH,
                          emk_fail(e, EMK_E_FORMAT, "sealed: cut short, or something follows",
                                   a->in.sealed->len));
    st = emk_source_read(a->in.sealed, a->outer_head.len, commit, sizeof commit, e);
    if (st == EMK_OK)
        st = emk_unseal(a->crypto, &in, &a->outer_keys, e);
    return st;
}

/* Copies inner bytes [from, from + len) to out, decrypting the chunks that hold them. */
static emk_status read_inner(emk_accept *a, uint64_t from, uint8_t *out, size_t len, emk_error *e)
{
    uint16_t aead = emk_content_aead(EMK_LAYER_FILE, a->outer.core.content_alg);
    uint8_t *room = emk_alloc(STORED_CHUNK + EMK_CHUNK_LEN, 1);
    emk_chunk_cipher cipher = {0};
    emk_status st;

    if (!room)
        return emk_fail(e, EMK_E_NO_MEMORY, "accept: no memory", STORED_CHUNK);
    if (from > a->inner_len || len > a->inner_len - from)
        st = emk_notice(a->in.noticed, EMK_NOTICED_LENGTH,
                        emk_fail(e, EMK_E_FORMAT, "sealed: weights layer is cut short", from));
    else
        st = emk_chunk_cipher_init(&cipher, &a->outer_keys, aead, a->inner_len, e);
    /* At least one chunk, also for no bytes: an empty layer has a tag too. */
    for (bool first = true; st == EMK_OK && (len > 0 || first); first = false) {
        uint64_t i = from / EMK_CHUNK_LEN;
        size_t skip = (size_t)(from % EMK_CHUNK_LEN);
        size_t plain = emk_chunk_len(a->inner_len, i);
        size_t n = plain - skip < len ? plain - skip : len;

        st = emk_source_read(a->in.sealed, a->chunks_at + i * STORED_CHUNK, room,
                             plain + EMK_AEAD_TAG_LEN, e);
        if (st == EMK_OK)
            st = emk_notice(a->in.noticed, EMK_NOTICED_CHUNK,
                            emk_chunk_open(&cipher, i, room, room + STORED_CHUNK, e));
        if (st != EMK_OK)
            break;
        memcpy(out, room + STORED_CHUNK + skip, n);
        out += n;
        from += n;
        len -= n;
    }
    emk_chunk_cipher_done(&cipher);
    emk_wipe(room, STORED_CHUNK + EMK_CHUNK_LEN);
    emk_free(room);
    return st;
}

static emk_status read_inner_head(emk_accept *a, emk_error *e)
{
    uint8_t preamble[EMK_PREAMBLE_LEN];
    uint32_t header_len;
    uint8_t *room;
    emk_status st;

    st = read_inner(a, 0, preamble, a->inner_len < sizeof preamble ? 0 : sizeof preamble, e);
    if (st != EMK_OK)
        return st;
    if (a->inner_len < sizeof preamble)
        return emk_notice(a->in.noticed, EMK_NOTICED_PREAMBLE,
                          emk_fail(e, EMK_E_FORMAT, "preamble: cut short", a->inner_len));
    st = emk_preamble_read(preamble, EMK_LAYER_WEIGHTS, &header_len, e);
    if (st != EMK_OK)
        return emk_notice(a->in.noticed, EMK_NOTICED_PREAMBLE, st);
    if (header_len > a->inner_len - EMK_PREAMBLE_LEN)
        return emk_notice(a->in.noticed, EMK_NOTICED_CBOR,
                          emk_fail(e, EMK_E_FORMAT, "header: cut short", a->inner_len));
    st = emk_buf_grow(&a->inner_head, EMK_PREAMBLE_LEN + header_len, &room, e);
    if (st == EMK_OK)
        st = read_inner(a, 0, room, EMK_PREAMBLE_LEN + header_len, e);
    if (st != EMK_OK)
        return st;
    st = emk_header_parse(a->crypto, emk_buf_span(&a->inner_head), EMK_LAYER_WEIGHTS, &a->inner, e);
    return emk_notice(a->in.noticed, a->inner.noticed, st);
}

static emk_status check_inner_bindings(emk_accept *a, emk_error *e)
{
    const emk_core *core = &a->inner.core;

    if (a->outer.core.certificate.len != core->certificate.len ||
        !emk_span_equal(a->outer.core.certificate, core->certificate) ||
        memcmp(a->outer.core.signer, core->signer, EMK_COSE_KID_LEN) != 0)
        return emk_notice(a->in.noticed, EMK_NOTICED_SIGNATURE,
                          emk_fail(e, EMK_E_SIGNATURE, "sealed: two layers, two signers", 0));
    if (memcmp(core->ticket_id, a->in.ticket_id, EMK_ID_LEN) != 0 ||
        memcmp(core->ticket_hash, a->in.ticket_hash, EMK_HASH_LEN) != 0)
        return refuse_binding(a, "sealed: made for another ticket", e);
    if (!emk_span_equal(core->policy, a->in.policy))
        return refuse_binding(a, "sealed: its policy is not the ticket's", e);
    if (!emk_span_equal(core->lease_key, a->in.lease_key))
        return refuse_binding(a, "sealed: its lease key is not the ticket's", e);
    return EMK_OK;
}

static emk_status open_inner(emk_accept *a, emk_error *e)
{
    uint8_t commit[EMK_COMMIT_LEN];
    emk_unseal_in in = {.layer = EMK_LAYER_WEIGHTS,
                        .recipients = a->inner.recipients,
                        .n_recipients = a->inner.n_recipients,
                        .key = a->in.device_key,
                        .context = {.content_alg = a->inner.core.content_alg,
                                    .extra = a->inner.core_hash,
                                    .hint = true,
                                    .lease = {.crypto = a->crypto,
                                              .secret = a->in.lease_secret,
                                              .ticket_id = a->in.ticket_id}},
                        .hh = a->inner_hh,
                        .commit = commit,
                        .noticed = a->in.noticed};
    emk_status st;

    st = emk_header_verify(a->crypto, &a->inner, a->in.issuer, a->in.now, a->inner_hh, e);
    if (st != EMK_OK)
        return emk_notice(a->in.noticed, EMK_NOTICED_SIGNATURE, st);
    st = check_inner_bindings(a, e);
    if (st == EMK_OK)
        st = read_inner(a, a->inner_head.len, commit, sizeof commit, e);
    if (st == EMK_OK)
        st = emk_unseal(a->crypto, &in, &a->inner_keys, e);
    a->segments_at = a->inner_head.len + EMK_COMMIT_LEN;
    return st;
}

static emk_status read_sealed_part(emk_accept *a, emk_error *e)
{
    emk_sealed_part part = {.schedule = &a->inner_keys,
                            .aead = emk_content_aead(EMK_LAYER_WEIGHTS, a->inner.core.content_alg),
                            .len = a->inner.core.sealed_part_len,
                            .hash = a->inner.core.sealed_part_hash,
                            .noticed = a->in.noticed};
    size_t stored_len = (size_t)emk_sealed_part_stored(part.len);
    uint8_t *stored, *room;
    emk_status st;

    st = emk_buf_grow(&a->sealed_part, (size_t)part.len, &room, e);
    if (st != EMK_OK)
        return st;
    stored = emk_alloc(stored_len, 1);
    if (!stored)
        return emk_fail(e, EMK_E_NO_MEMORY, "accept: no memory", stored_len);
    st = read_inner(a, a->segments_at, stored, stored_len, e);
    if (st == EMK_OK)
        st = emk_sealed_part_open(&part, stored, room, e);
    emk_free(stored);
    return st;
}

static emk_status take_sealed_part(emk_accept *a, emk_error *e)
{
    emk_span identity = {NULL, 0};
    emk_status st;

    st = emk_sealed_part_decode(emk_buf_span(&a->sealed_part), a->inner.core.plain_len, &a->plan,
                                &identity, e);
    if (st != EMK_OK)
        return emk_notice(a->in.noticed, EMK_NOTICED_CBOR, st);
    if (!emk_span_equal(identity, a->in.identity))
        return refuse_binding(a, "sealed: its identity is not the ticket's", e);
    st = emk_layout_init(&a->layout, &a->plan, a->sealed_part.len, e);
    if (st != EMK_OK)
        return st;
    if (a->inner_len != a->segments_at + emk_layout_delivered(&a->layout, a->layout.n_segments))
        return emk_notice(
            a->in.noticed, EMK_NOTICED_LENGTH,
            emk_fail(e, EMK_E_FORMAT, "sealed: length of the weights layer", a->inner_len));
    return EMK_OK;
}

emk_status emk_accept_new(const emk_crypto *c, const emk_accept_in *in, emk_accept **out,
                          emk_error *e)
{
    emk_accept *a = emk_alloc(1, sizeof *a);
    emk_status st;

    if (!a)
        return emk_fail(e, EMK_E_NO_MEMORY, "accept: no memory", sizeof *a);
    a->crypto = c;
    a->in = *in;
    emk_buf_init(&a->outer_head, EMK_PREAMBLE_LEN + EMK_HEADER_MAX);
    emk_buf_init(&a->inner_head, EMK_PREAMBLE_LEN + EMK_HEADER_MAX);
    emk_buf_init(&a->sealed_part, EMK_SEALED_PART_MAX);
    st = read_outer_head(a, e);
    if (st == EMK_OK)
        st = open_outer(a, e);
    if (st == EMK_OK)
        st = read_inner_head(a, e);
    if (st == EMK_OK)
        st = open_inner(a, e);
    if (st == EMK_OK)
        st = read_sealed_part(a, e);
    if (st == EMK_OK)
        st = take_sealed_part(a, e);
    if (st != EMK_OK) {
        emk_accept_free(a);
        return st;
    }
    *out = a;
    return EMK_OK;
}

const uint8_t *emk_accept_file_id(const emk_accept *a)
{
    return a->inner.core.file_id;
}

uint64_t emk_accept_model_len(const emk_accept *a)
{
    return a->plan.model_len;
}

uint64_t emk_accept_vault_len(const emk_accept *a)
{
    return emk_layout_vault(&a->layout).end;
}

void emk_accept_free(emk_accept *a)
{
    if (!a)
        return;
    emk_schedule_done(&a->outer_keys);
    emk_schedule_done(&a->inner_keys);
    emk_layout_done(&a->layout);
    emk_plan_done(&a->plan);
    if (a->sealed_part.p)
        emk_wipe(a->sealed_part.p, a->sealed_part.len);
    emk_buf_done(&a->sealed_part);
    emk_buf_done(&a->outer_head);
    emk_buf_done(&a->inner_head);
    emk_free(a);
}

/* ---- step 2 ---- */

typedef struct accept_job {
    emk_accept *a;
    const emk_accept_out *out;
    emk_vault_places places;
    emk_schedule *vault_keys;
    uint16_t weights_aead, file_aead;
    uint32_t first_segment;            /* of region 1 */
    uint8_t (*tags)[EMK_AEAD_TAG_LEN]; /* from first_segment on, as leaves */
    uint8_t (*leaves)[EMK_HASH_LEN];   /* NULL: no digests */
    emk_batches batches;
    atomic_uint next;
    atomic_bool stop;
    _Atomic(emk_noticed) noticed;
} accept_job;

typedef struct accept_worker {
    accept_job *job;
    emk_chunk_cipher chunks;
    emk_segment_cipher from, to; /* delivered, vault */
    emk_sha256_ctx *hash;
    uint8_t *scratch; /* inner bytes, SCRATCH_LEN */
    uint8_t *io;      /* what is read, then what is written, IO_LEN */
} accept_worker;

/* Decrypts chunks [c0, c1) to the start of scratch. */
static emk_status open_chunks(accept_worker *w, uint64_t c0, uint64_t c1, emk_error *e)
{
    const emk_accept *a = w->job->a;
    uint64_t file_at = a->chunks_at + c0 * STORED_CHUNK;
    uint64_t plain_end = c1 * EMK_CHUNK_LEN < a->inner_len ? c1 * EMK_CHUNK_LEN : a->inner_len;
    size_t len = (size_t)(plain_end - c0 * EMK_CHUNK_LEN + (c1 - c0) * EMK_AEAD_TAG_LEN);
    const uint8_t *stored = w->io;
    emk_status st = EMK_OK;

    if (a->in.sealed->p)
        stored = a->in.sealed->p + file_at;
    else
        st = emk_source_read(a->in.sealed, file_at, w->io, len, e);
    for (uint64_t i = c0; st == EMK_OK && i < c1; i++)
        st = emk_chunk_open(&w->chunks, i, stored + (i - c0) * STORED_CHUNK,
                            w->scratch + (i - c0) * EMK_CHUNK_LEN, e);
    if (st == EMK_E_SEALED)
        atomic_store(&w->job->noticed, EMK_NOTICED_CHUNK);
    return st;
}

/* One segment: open, hash, seal again; the vault's ciphertext goes to `to`. */
static emk_status turn_segment(accept_worker *w, const emk_segment *seg, uint8_t *from, uint8_t *to,
                               emk_error *e)
{
    accept_job *job = w->job;
    uint32_t i = seg->number - job->first_segment;
    emk_status st;

    st = emk_segment_open(&w->from, seg, from, from + seg->len, from, e);
    if (st == EMK_E_SEALED)
        atomic_store(&job->noticed, EMK_NOTICED_REGION);
    if (st == EMK_OK && job->leaves)
        st = emk_digest_leaf(w->hash, job->a->plan.dsalt, seg, emk_span_of(from, seg->len),
                             job->leaves[i], e);
    if (st == EMK_OK)
        st = emk_segment_seal(&w->to, seg, from, to, job->tags[i], e);
    return st;
}

static emk_status turn_batch(accept_worker *w, uint32_t batch, emk_error *e)
{
    accept_job *job = w->job;
    const emk_accept *a = job->a;
    uint32_t first = job->batches.first[batch], end = job->batches.first[batch + 1];
    uint64_t from = a->segments_at + emk_layout_delivered(&a->layout, first);
    uint64_t to = a->segments_at + emk_layout_delivered(&a->layout, end);
    uint64_t c0 = from / EMK_CHUNK_LEN, c1 = (to + EMK_CHUNK_LEN - 1) / EMK_CHUNK_LEN;
    uint8_t *in = w->scratch + (from - c0 * EMK_CHUNK_LEN);
    emk_segment seg = emk_layout_segment(&a->layout, first);
    uint64_t model_at = seg.at;
    size_t out_len = 0;
    emk_status st;

    st = open_chunks(w, c0, c1, e);
    for (uint32_t i = first; st == EMK_OK && i < end; i++) {
        if (i > first)
            seg = emk_layout_next(&a->layout, &seg);
        st = turn_segment(w, &seg, in, w->io + out_len, e);
        in += seg.len + EMK_AEAD_TAG_LEN;
        out_len += seg.len;
    }
    if (st == EMK_OK)
        st = emk_sink_write(job->out->vault, job->places.payload + model_at, w->io, out_len, e);
    return st;
}

static emk_status worker_init(accept_worker *w, accept_job *job, emk_error *e)
{
    emk_accept *a = job->a;
    emk_status st;

    w->job = job;
    w->scratch = emk_alloc(SCRATCH_LEN, 1);
    w->io = emk_alloc(IO_LEN, 1);
    if (!w->scratch || !w->io)
        return emk_fail(e, EMK_E_NO_MEMORY, "accept: no memory", SCRATCH_LEN);
    st = emk_chunk_cipher_init(&w->chunks, &a->outer_keys, job->file_aead, a->inner_len, e);
    if (st == EMK_OK)
        st = emk_segment_cipher_init(&w->from, &a->inner_keys, job->weights_aead, e);
    if (st == EMK_OK)
        st = emk_segment_cipher_init(&w->to, job->vault_keys, job->weights_aead, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_new(a->crypto, &w->hash, e);
    return st;
}

static void worker_done(accept_worker *w)
{
    emk_chunk_cipher_done(&w->chunks);
    emk_segment_cipher_done(&w->from);
    emk_segment_cipher_done(&w->to);
    emk_sha256_ctx_free(w->hash);
    if (w->scratch)
        emk_wipe(w->scratch, SCRATCH_LEN);
    emk_free(w->scratch);
    emk_free(w->io);
}

static emk_status accept_thread(void *self, unsigned number, emk_error *e)
{
    accept_job *job = self;
    const emk_progress *progress = job->out->progress;
    accept_worker w = {0};
    emk_status st;

    st = worker_init(&w, job, e);
    while (st == EMK_OK && !atomic_load(&job->stop)) {
        uint32_t batch = atomic_fetch_add(&job->next, 1);

        if (batch >= job->batches.n)
            break;
        st = turn_batch(&w, batch, e);
        if (number == 0 && progress && progress->fn)
            progress->fn(progress->self, batch, job->batches.n);
    }
    if (st != EMK_OK)
        atomic_store(&job->stop, true);
    worker_done(&w);
    return st;
}

static emk_status write_sealed_part(accept_job *job, emk_error *e)
{
    emk_accept *a = job->a;
    emk_sealed_part part = {
        .schedule = job->vault_keys, .aead = job->weights_aead, .len = a->sealed_part.len};
    uint64_t stored_len = emk_sealed_part_stored(part.len);
    uint8_t *stored = emk_alloc((size_t)stored_len, 1);
    emk_status st;

    if (!stored)
        return emk_fail(e, EMK_E_NO_MEMORY, "accept: no memory", stored_len);
    st = emk_sealed_part_seal(&part, a->sealed_part.p, stored, e);
    if (st == EMK_OK)
        st = emk_sink_write(job->out->vault, EMK_VAULT_SEALED, stored, (size_t)stored_len, e);
    if (st == EMK_OK)
        st = emk_vault_zeros(job->out->vault, EMK_VAULT_SEALED + stored_len, job->places.tags, e);
    emk_free(stored);
    return st;
}

static emk_status write_tags(accept_job *job, emk_error *e)
{
    size_t len = (size_t)(job->a->layout.n_segments - job->first_segment) * EMK_AEAD_TAG_LEN;
    emk_status st =
        emk_sink_write(job->out->vault, job->places.tags, (const uint8_t *)job->tags, len, e);

    if (st == EMK_OK)
        st = emk_vault_zeros(job->out->vault, job->places.tags + len, job->places.payload, e);
    return st;
}

/* Head, first record, empty second slot. */
static emk_status make_record(accept_job *job, const uint8_t *vault_id,
                              const emk_envelopes *envelopes, uint8_t slot[EMK_VAULT_SLOT_LEN],
                              emk_error *e)
{
    emk_record record = {.generation = 1,
                         .accepted = job->out->accepted,
                         .floor = job->out->floor,
                         .lease_time = job->out->lease_time,
                         .lease_until = job->out->lease_until,
                         .bound = job->out->binding ? job->out->bound : 0};

    memcpy(record.vault_id, vault_id, EMK_ID_LEN);
    if (envelopes->sleeping.len)
        return emk_slot_make_leased(job->vault_keys, &record, envelopes, slot, e);
    return emk_slot_make(job->vault_keys, &record, envelopes->envelope, slot, e);
}

static emk_status write_record(accept_job *job, const uint8_t *vault_id,
                               const emk_envelopes *envelopes, emk_error *e)
{
    const emk_sink *out = job->out->vault;
    emk_span head = emk_buf_span(&job->a->inner_head);
    uint8_t slot[EMK_VAULT_SLOT_LEN];
    emk_status st;

    st = make_record(job, vault_id, envelopes, slot, e);
    if (st == EMK_OK)
        st = emk_sink_write(out, 0, head.p, head.len, e);
    if (st == EMK_OK)
        st = emk_vault_zeros(out, head.len, EMK_VAULT_SLOT_A, e);
    if (st == EMK_OK)
        st = emk_sink_write(out, EMK_VAULT_SLOT_A, slot, sizeof slot, e);
    if (st == EMK_OK)
        st = emk_vault_zeros(out, EMK_VAULT_SLOT_A + EMK_VAULT_SLOT_LEN, EMK_VAULT_SEALED, e);
    return st;
}

/* One envelope, or both of a model under a lease. */
static emk_status wrap_vault_key(const emk_accept *a, emk_local_envelope *in, emk_writer w[2],
                                 emk_error *e)
{
    emk_status st = emk_local_wrap(a->crypto, in, &w[0], e);

    in->sleeping = true;
    if (st == EMK_OK && a->inner.core.lease_key.len)
        st = emk_local_wrap(a->crypto, in, &w[1], e);
    return st;
}

/* A fresh vault key, its envelopes and its schedule. */
static emk_status make_vault_keys(emk_accept *a, uint8_t vault_id[EMK_ID_LEN], emk_writer w[2],
                                  emk_schedule *keys, emk_error *e)
{
    uint8_t cek[EMK_CEK_LEN], vhh[EMK_HASH_LEN];
    emk_local_envelope in = {
        .header = &a->inner,
        .vault_id = vault_id,
        .to = {emk_kem_private_id(a->in.device_key), emk_kem_private_public(a->in.device_key)},
        .cek = cek,
        .binding = a->binding};
    emk_status st;

    st = emk_random_secret(a->crypto, cek, sizeof cek, e);
    if (st == EMK_OK)
        st = emk_random_public(a->crypto, vault_id, EMK_ID_LEN, e);
    if (st == EMK_OK)
        st = emk_vault_hash(a->crypto, a->inner_hh, vault_id, vhh, e);
    if (st == EMK_OK)
        st = wrap_vault_key(a, &in, w, e);
    if (st == EMK_OK)
        st = emk_schedule_init(keys, a->crypto, EMK_LAYER_WEIGHTS, cek, vhh, e);
    emk_wipe(cek, sizeof cek);
    return st;
}

static emk_status write_all(accept_job *job, const uint8_t *vault_id,
                            const emk_envelopes *envelopes, emk_error *e)
{
    emk_accept *a = job->a;
    uint32_t n = a->layout.n_segments - job->first_segment;
    emk_status st;

    job->tags = emk_alloc(n, EMK_AEAD_TAG_LEN);
    job->leaves = a->plan.digests ? emk_alloc(n, EMK_HASH_LEN) : NULL;
    if (!job->tags || (a->plan.digests && !job->leaves))
        return emk_fail(e, EMK_E_NO_MEMORY, "accept: no memory", n);
    st = emk_batches_init(&job->batches, &a->layout, job->first_segment, e);
    if (st == EMK_OK)
        st = write_sealed_part(job, e);
    if (st == EMK_OK && job->batches.n)
        st = emk_parallel_run(job->out->threads, accept_thread, job, e);
    if (st != EMK_OK)
        return emk_notice(a->in.noticed, atomic_load(&job->noticed), st);
    st = emk_digest_check(a->crypto, &a->plan, &a->layout,
                          (const uint8_t(*)[EMK_HASH_LEN])job->leaves, e);
    if (st != EMK_OK)
        return emk_notice(a->in.noticed, EMK_NOTICED_DIGEST, st);
    st = write_tags(job, e);
    if (st == EMK_OK)
        st = write_record(job, vault_id, envelopes, e);
    return st;
}

emk_status emk_accept_write(emk_accept *a, const emk_accept_out *out, uint8_t vault_id[EMK_ID_LEN],
                            emk_error *e)
{
    accept_job job = {.a = a, .out = out};
    uint8_t space[2][EMK_RECIPIENT_MAX], id[EMK_ID_LEN];
    emk_schedule keys = {0};
    emk_envelopes envelopes;
    emk_writer w[2];
    emk_status st;

    if (a->written)
        return emk_fail(e, EMK_E_USAGE, "accept: written already", 0);
    if (out->threads == 0 || out->threads > EMK_SEAL_THREADS_MAX)
        return emk_fail(e, EMK_E_USAGE, "threads: number", out->threads);
    a->written = true;
    a->binding = out->bound ? out->binding : NULL;
    job.places = emk_layout_vault(&a->layout);
    job.vault_keys = &keys;
    job.weights_aead = emk_content_aead(EMK_LAYER_WEIGHTS, a->inner.core.content_alg);
    job.file_aead = emk_content_aead(EMK_LAYER_FILE, a->outer.core.content_alg);
    job.first_segment = emk_segments_of(a->sealed_part.len);
    emk_writer_init(&w[0], space[0], sizeof space[0]);
    emk_writer_init(&w[1], space[1], sizeof space[1]);
    st = make_vault_keys(a, id, w, &keys, e);
    envelopes = (emk_envelopes){emk_writer_span(&w[0]), emk_writer_span(&w[1])};
    if (st == EMK_OK)
        st = write_all(&job, id, &envelopes, e);
    if (st == EMK_OK)
        memcpy(vault_id, id, EMK_ID_LEN);
    emk_free(job.tags);
    emk_free(job.leaves);
    emk_batches_done(&job.batches);
    emk_schedule_done(&keys);
    return st;
}
