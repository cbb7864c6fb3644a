/* A stored file is the commitment of its key schedule (32 bytes) and then chunks of 64 KiB, each
 * with its tag, as in the file layer of the container: same cipher, same nonces, a different hash
 * in the schedule, so that no key is shared with anything else.  [storage 2] */
#include "server/api/storage.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/crypto/hash.h"
#include "core/seal/header.h"
#include "core/seal/segment.h"

#include <errno.h>
#include <string.h>

#define SEALED_CHUNK ((size_t)EMK_CHUNK_LEN + EMK_AEAD_TAG_LEN)
#define NO_CHUNK     UINT64_MAX

struct emk_storage_writer {
    emk_blob_writer blob;
    emk_chunk_cipher cipher;
    uint64_t at; /* plain bytes so far */
    size_t held; /* of the chunk that is being filled */
    uint8_t plain[EMK_CHUNK_LEN];
    uint8_t sealed[SEALED_CHUNK];
};

struct emk_storage_reader {
    const emk_blobs *blobs;
    emk_blob blob;
    emk_chunk_cipher cipher;
    uint64_t chunk; /* which one is in plain; NO_CHUNK: none */
    uint8_t plain[EMK_CHUNK_LEN];
    uint8_t sealed[SEALED_CHUNK];
};

/* Ids of blobs are seen in the folder: they tell nothing of the object but to who knows it. */
static emk_status hash_of(const emk_storage_file *f, const char *label, uint8_t out[32],
                          emk_error *e)
{
    uint8_t part = (uint8_t)f->part, zero = 0;
    emk_span parts[] = {emk_span_str(label), emk_span_of(&zero, 1), emk_span_of(&part, 1),
                        emk_span_of(f->object, EMK_STORAGE_OBJECT_LEN)};

    return emk_sha256(f->crypto, parts, sizeof parts / sizeof *parts, out, e);
}

static emk_status blob_id(const emk_storage_file *f, uint8_t id[32], emk_error *e)
{
    return hash_of(f, "earmark/1 storage id", id, e);
}

/* Keys the cipher; the schedule itself is not kept. */
static emk_status key_cipher(const emk_storage_file *f, uint64_t len, emk_chunk_cipher *cipher,
                             uint8_t commit[EMK_COMMIT_LEN], emk_error *e)
{
    uint8_t hh[EMK_HASH_LEN], prk[EMK_SCHEDULE_PRK_LEN] = {0};
    emk_schedule_in in = {
        .crypto = f->crypto, .layer = EMK_LAYER_FILE, .cek = f->key, .hh = hh, .prk = prk};
    emk_schedule schedule = {0};
    emk_status st = hash_of(f, "earmark/1 storage", hh, e);

    if (st == EMK_OK)
        st = emk_schedule_init_in(&schedule, &in, e);
    if (st == EMK_OK)
        st = emk_chunk_cipher_init(cipher, &schedule, EMK_AEAD_AES_256_GCM, len, e);
    if (st == EMK_OK)
        memcpy(commit, schedule.commit, EMK_COMMIT_LEN);
    emk_schedule_done(&schedule);
    emk_wipe(prk, sizeof prk);
    return st;
}

/* ---- writing ---- */

/* To who stores, a quota and a disk are full alike. */
static emk_status put(emk_storage_writer *w, emk_span bytes, emk_error *e)
{
    emk_status st = emk_blob_append(&w->blob, bytes, e);

    return st == EMK_E_LIMIT ? emk_fail(e, EMK_E_IO, "storage: no room", ENOSPC) : st;
}

static void writer_free(emk_storage_writer *w)
{
    emk_blob_abort(&w->blob);
    emk_chunk_cipher_done(&w->cipher);
    emk_wipe(w->plain, sizeof w->plain);
    emk_free(w);
}

static emk_status writer_start(const emk_storage_new *n, emk_storage_writer *w, emk_error *e)
{
    uint8_t id[32], commit[EMK_COMMIT_LEN];
    emk_blob_new blob = {
        .id = emk_span_of(id, sizeof id), .expires_s = n->expires_s, .durable = n->expires_s == 0};
    emk_status st = key_cipher(&n->file, n->len, &w->cipher, commit, e);

    if (st == EMK_OK)
        st = blob_id(&n->file, id, e);
    if (st == EMK_OK)
        st = emk_blob_create(n->file.blobs, &blob, &w->blob, e);
    if (st == EMK_OK)
        st = put(w, emk_span_of(commit, sizeof commit), e);
    return st;
}

emk_status emk_storage_create(const emk_storage_new *n, emk_storage_writer **out, emk_error *e)
{
    emk_storage_writer *w;
    emk_status st;

    if (n->len == 0 || n->len > EMK_MODEL_LEN_MAX)
        return emk_fail(e, EMK_E_USAGE, "storage: length", n->len);
    w = emk_alloc(1, sizeof *w);
    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "storage: memory", sizeof *w);
    st = writer_start(n, w, e);
    if (st != EMK_OK) {
        writer_free(w);
        return st;
    }
    *out = w;
    return EMK_OK;
}

static emk_status put_chunk(emk_storage_writer *w, emk_error *e)
{
    emk_status st = emk_chunk_seal(&w->cipher, (w->at - 1) / EMK_CHUNK_LEN, w->plain, w->sealed, e);

    if (st == EMK_OK)
        st = put(w, emk_span_of(w->sealed, w->held + EMK_AEAD_TAG_LEN), e);
    w->held = 0;
    return st;
}

emk_status emk_storage_append(emk_storage_writer *w, emk_span plain, emk_error *e)
{
    emk_status st = EMK_OK;

    if (plain.len > w->cipher.plain_len - w->at)
        return emk_fail(e, EMK_E_LIMIT, "storage: longer than was said", w->at + plain.len);
    while (st == EMK_OK && plain.len > 0) {
        size_t n = EMK_CHUNK_LEN - w->held;

        n = plain.len < n ? plain.len : n;
        memcpy(w->plain + w->held, plain.p, n);
        w->held += n;
        w->at += n;
        plain = emk_span_of(plain.p + n, plain.len - n);
        if (w->held == EMK_CHUNK_LEN || w->at == w->cipher.plain_len)
            st = put_chunk(w, e);
    }
    return st;
}

emk_status emk_storage_finish(emk_storage_writer *w, emk_error *e)
{
    emk_status st = w->at == w->cipher.plain_len
                        ? emk_blob_finish(&w->blob, e)
                        : emk_fail(e, EMK_E_USAGE, "storage: shorter than was said", w->at);

    writer_free(w);
    return st;
}

void emk_storage_abort(emk_storage_writer *w)
{
    if (w)
        writer_free(w);
}

/* ---- reading ---- */

/* The length of the plain bytes follows from the blob's; the last chunk's nonce proves it. */
static emk_status plain_len(uint64_t blob_len, uint64_t *out, emk_error *e)
{
    uint64_t body = blob_len - EMK_COMMIT_LEN, chunks;

    if (blob_len <= EMK_COMMIT_LEN + EMK_AEAD_TAG_LEN ||
        blob_len > EMK_MODEL_LEN_MAX + EMK_MODEL_LEN_MAX / 16)
        return emk_fail(e, EMK_E_FORMAT, "storage: length of a file", blob_len);
    chunks = (body + SEALED_CHUNK - 1) / SEALED_CHUNK;
    if (body - (chunks - 1) * SEALED_CHUNK <= EMK_AEAD_TAG_LEN)
        return emk_fail(e, EMK_E_FORMAT, "storage: length of a file", blob_len);
    *out = body - chunks * EMK_AEAD_TAG_LEN;
    return EMK_OK;
}

static emk_status reader_start(const emk_storage_file *f, uint64_t now_s, emk_storage_reader *r,
                               emk_error *e)
{
    uint8_t id[32], commit[EMK_COMMIT_LEN], found[EMK_COMMIT_LEN];
    uint64_t len = 0;
    emk_status st = blob_id(f, id, e);

    if (st == EMK_OK)
        st = emk_blob_open(f->blobs, emk_span_of(id, sizeof id), now_s, &r->blob, e);
    if (st == EMK_OK)
        st = plain_len(r->blob.info.len, &len, e);
    if (st == EMK_OK)
        st = key_cipher(f, len, &r->cipher, commit, e);
    if (st == EMK_OK)
        st = emk_blob_read(f->blobs, &r->blob, 0, found, sizeof found, e);
    if (st == EMK_OK && !emk_ct_equal(found, commit, sizeof found))
        st = emk_fail(e, EMK_E_SEALED, "storage: not this object's file", 0);
    return st;
}

emk_status emk_storage_open(const emk_storage_file *f, uint64_t now_s, emk_storage_reader **out,
                            emk_error *e)
{
    emk_storage_reader *r = emk_alloc(1, sizeof *r);
    emk_status st;

    if (!r)
        return emk_fail(e, EMK_E_NO_MEMORY, "storage: memory", sizeof *r);
    r->blobs = f->blobs;
    r->blob.fd = -1;
    r->chunk = NO_CHUNK;
    st = reader_start(f, now_s, r, e);
    if (st != EMK_OK) {
        emk_storage_close(r);
        return st;
    }
    *out = r;
    return EMK_OK;
}

uint64_t emk_storage_len(const emk_storage_reader *r)
{
    return r->cipher.plain_len;
}

/* Chunk i, decrypted to `to`: EMK_CHUNK_LEN bytes of room. */
static emk_status open_chunk(emk_storage_reader *r, uint64_t i, uint8_t *to, emk_error *e)
{
    size_t len = emk_chunk_len(r->cipher.plain_len, i) + EMK_AEAD_TAG_LEN;
    emk_status st =
        emk_blob_read(r->blobs, &r->blob, EMK_COMMIT_LEN + i * SEALED_CHUNK, r->sealed, len, e);

    return st == EMK_OK ? emk_chunk_open(&r->cipher, i, r->sealed, to, e) : st;
}

/* A chunk that is wanted whole goes straight to its place; of others the last one is kept, for
 * parsers that read on in small steps. */
static emk_status read_some(emk_storage_reader *r, uint64_t off, uint8_t *out, size_t len,
                            size_t *n, emk_error *e)
{
    uint64_t i = off / EMK_CHUNK_LEN;
    size_t from = (size_t)(off % EMK_CHUNK_LEN), have = emk_chunk_len(r->cipher.plain_len, i);
    emk_status st = EMK_OK;

    *n = len < have - from ? len : have - from;
    if (r->chunk != i && *n == have)
        return open_chunk(r, i, out, e);
    if (r->chunk != i) {
        r->chunk = NO_CHUNK;
        st = open_chunk(r, i, r->plain, e);
        if (st != EMK_OK)
            return st;
        r->chunk = i;
    }
    memcpy(out, r->plain + from, *n);
    return EMK_OK;
}

emk_status emk_storage_read(emk_storage_reader *r, uint64_t off, uint8_t *out, size_t len,
                            emk_error *e)
{
    emk_status st = EMK_OK;

    if (off > r->cipher.plain_len || len > r->cipher.plain_len - off)
        return emk_fail(e, EMK_E_LIMIT, "storage: beyond the end", off);
    while (st == EMK_OK && len > 0) {
        size_t n = 0;

        st = read_some(r, off, out, len, &n, e);
        off += n;
        out += n;
        len -= n;
    }
    return st;
}

static emk_status source_read(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    return emk_storage_read(self, off, out, len, e);
}

emk_source emk_storage_source(emk_storage_reader *r)
{
    return (emk_source){.len = r->cipher.plain_len, .read = source_read, .self = r};
}

void emk_storage_close(emk_storage_reader *r)
{
    if (!r)
        return;
    emk_blob_close(r->blobs, &r->blob);
    emk_chunk_cipher_done(&r->cipher);
    emk_wipe(r->plain, sizeof r->plain);
    emk_free(r);
}

emk_status emk_storage_remove(const emk_storage_file *f, emk_error *e)
{
    uint8_t id[32];
    emk_error why = {0};
    emk_status st = blob_id(f, id, e);

    if (st != EMK_OK)
        return st;
    st = emk_blob_remove(f->blobs, emk_span_of(id, sizeof id), &why);
    if (st == EMK_E_NOT_FOUND)
        return EMK_OK;
    return st == EMK_OK ? EMK_OK
                        : emk_fail(e, st, why.what ? why.what : "storage: remove", why.where);
}
