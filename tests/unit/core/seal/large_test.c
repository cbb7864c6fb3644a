/* A model of more than 4 GiB, whose bytes are made when they are asked for.  It is sealed whole,
 * into a sink that keeps only windows of the file, which are then opened by hand; and read
 * from a vault whose bytes, too, are made when they are asked for. */
#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/crypto/hash.h"
#include "core/seal/record.h"
#include "tests/unit/core/seal/world.h"

#include <stdatomic.h>

/* 4 GiB and an odd end: offsets, lengths and counts all need more than 32 bits. */
#define MODEL_LEN ((UINT64_C(1) << 32) + 3 * EMK_SEGMENT_LEN + 12345)
#define SLACK     UINT64_C(524288)

/* Segments that hold these bytes of the model are looked at. */
static const uint64_t PLACES[] = {
    0, 999, UINT64_C(1) << 31, (UINT64_C(1) << 32) - 1, UINT64_C(1) << 32, MODEL_LEN - 1};
#define N_PLACES (sizeof PLACES / sizeof PLACES[0])

static world w;

/* Byte i is a hash of i / 8. */
static void make_bytes(uint64_t off, uint8_t *out, size_t len)
{
    size_t i = 0;

    while (i < len) {
        uint64_t word = (off + i) / 8, x = word * 0x9E3779B97F4A7C15u;
        size_t from = (size_t)((off + i) % 8), n = 8 - from < len - i ? 8 - from : len - i;
        uint8_t bytes[8];

        x ^= x >> 29;
        memcpy(bytes, &x, 8);
        memcpy(out + i, bytes + from, n);
        i += n;
    }
}

static emk_status read_model(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    (void)self;
    (void)e;
    make_bytes(off, out, len);
    return EMK_OK;
}

/* A sparse file: what is not in the windows of interest is a hole that was counted. */
typedef struct windows {
    uint64_t from[8], to[8]; /* kept ranges */
    uint8_t *bytes[8];
    size_t n;
    atomic_ullong written;
    uint64_t end;
} windows;

static emk_status write_windows(void *self, uint64_t off, const uint8_t *p, size_t len,
                                emk_error *e)
{
    windows *s = self;

    (void)e;
    atomic_fetch_add(&s->written, len);
    if (off > s->end || len > s->end - off)
        return emk_fail(e, EMK_E_USAGE, "test: beyond the end", off);
    for (size_t i = 0; i < s->n; i++) {
        uint64_t from = off > s->from[i] ? off : s->from[i];
        uint64_t to = off + len < s->to[i] ? off + len : s->to[i];

        if (from < to)
            memcpy(s->bytes[i] + (from - s->from[i]), p + (from - off), (size_t)(to - from));
    }
    return EMK_OK;
}

static emk_status read_windows(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    const windows *s = self;

    for (size_t i = 0; i < s->n; i++) {
        if (off >= s->from[i] && off + len <= s->to[i]) {
            memcpy(out, s->bytes[i] + (off - s->from[i]), len);
            return EMK_OK;
        }
    }
    return emk_fail(e, EMK_E_IO, "test: not kept", off);
}

static void keep(windows *s, uint64_t from, uint64_t to)
{
    s->from[s->n] = from;
    s->to[s->n] = to < s->end ? to : s->end;
    s->bytes[s->n] = emk_alloc((size_t)(s->to[s->n] - from), 1);
    assert_non_null(s->bytes[s->n]);
    s->n++;
}

static void drop(windows *s)
{
    for (size_t i = 0; i < s->n; i++)
        emk_free(s->bytes[i]);
}

static void make_plan(emk_plan *plan)
{
    emk_error e;

    assert_ok(emk_plan_init(plan, w.crypto, MODEL_LEN, 4, &e), &e);
    plan->regions[0] = (emk_region){1000, 0};
    plan->regions[1] = (emk_region){UINT64_C(3) << 30, 1};
    plan->regions[2] = (emk_region){5, 2};
    plan->regions[3] = (emk_region){MODEL_LEN - 1005 - (UINT64_C(3) << 30), 0};
}

/* What it takes to open any byte of the sealed file. */
typedef struct opener {
    const windows *file;
    emk_header outer, inner;
    emk_schedule outer_keys, inner_keys;
    emk_chunk_cipher chunks;
    emk_segment_cipher segments;
    uint64_t chunks_at, segments_at;
} opener;

static void read_inner(opener *o, uint64_t at, uint8_t *out, size_t len)
{
    static uint8_t stored[EMK_CHUNK_LEN + 16], plain[EMK_CHUNK_LEN];
    emk_error e;

    while (len > 0) {
        uint64_t i = at / EMK_CHUNK_LEN;
        size_t skip = (size_t)(at % EMK_CHUNK_LEN), n = emk_chunk_len(o->outer.core.plain_len, i);
        emk_source source = {.len = o->file->end, .read = read_windows};

        memcpy(&source.self, &o->file, sizeof source.self);
        assert_ok(emk_source_read(&source, o->chunks_at + i * sizeof stored, stored, n + 16, &e),
                  &e);
        assert_ok(emk_chunk_open(&o->chunks, i, stored, plain, &e), &e);
        n = n - skip < len ? n - skip : len;
        memcpy(out, plain + skip, n);
        at += n;
        out += n;
        len -= n;
    }
}

static void unseal(const emk_header *h, const emk_kem_private *key, const uint8_t *hh,
                   const uint8_t *commit, emk_schedule *keys)
{
    emk_unseal_in in = {.layer = h->core.layer,
                        .recipients = h->recipients,
                        .n_recipients = h->n_recipients,
                        .key = key,
                        .hh = hh,
                        .commit = commit};
    emk_error e;

    in.context = (emk_envelope_context){.content_alg = h->core.content_alg,
                                        .extra = h->core_hash,
                                        .hint = h->core.layer == EMK_LAYER_WEIGHTS};
    assert_ok(emk_unseal(w.crypto, &in, keys, &e), &e);
}

static void opener_init(opener *o, const windows *file)
{
    static uint8_t head[EMK_CHUNK_LEN];
    const uint8_t *start = file->bytes[0];
    size_t len = 16 + emk_load_u32be(start + 12);
    uint8_t hh[32];
    emk_error e;

    o->file = file;
    assert_ok(emk_header_parse(w.crypto, emk_span_of(start, len), EMK_LAYER_FILE, &o->outer, &e),
              &e);
    assert_ok(emk_header_verify(w.crypto, &o->outer, w.issuer_public, WORLD_NOW, hh, &e), &e);
    unseal(&o->outer, w.request_key, hh, start + len, &o->outer_keys);
    o->chunks_at = len + 32;
    assert_ok(emk_chunk_cipher_init(&o->chunks, &o->outer_keys, EMK_AEAD_AES_256_GCM,
                                    o->outer.core.plain_len, &e),
              &e);
    read_inner(o, 0, head, sizeof head);
    len = 16 + emk_load_u32be(head + 12);
    assert_ok(emk_header_parse(w.crypto, emk_span_of(head, len), EMK_LAYER_WEIGHTS, &o->inner, &e),
              &e);
    assert_ok(emk_header_verify(w.crypto, &o->inner, w.issuer_public, WORLD_NOW, hh, &e), &e);
    unseal(&o->inner, w.device_key, hh, head + len, &o->inner_keys);
    o->segments_at = len + 32;
    assert_ok(emk_segment_cipher_init(&o->segments, &o->inner_keys, EMK_AEAD_AES_256_GCM, &e), &e);
}

static void opener_done(opener *o)
{
    emk_chunk_cipher_done(&o->chunks);
    emk_segment_cipher_done(&o->segments);
    emk_schedule_done(&o->outer_keys);
    emk_schedule_done(&o->inner_keys);
}

static void expect_segment(opener *o, const emk_layout *l, uint64_t model_off)
{
    static uint8_t stored[EMK_SEGMENT_LEN + 16], want[EMK_SEGMENT_LEN];
    emk_segment seg = emk_layout_find(l, model_off);
    emk_error e;

    read_inner(o, o->segments_at + emk_layout_delivered(l, seg.number), stored,
               (size_t)seg.len + 16);
    assert_ok(emk_segment_open(&o->segments, &seg, stored, stored + seg.len, stored, &e), &e);
    make_bytes(seg.at, want, seg.len);
    assert_memory_equal(stored, want, seg.len);
}

static void seals_more_than_4_gib(void **state)
{
    static opener o;
    emk_source model = {.len = MODEL_LEN, .read = read_model};
    windows file = {.n = 0};
    emk_sink sink = {.write = write_windows, .self = &file};
    emk_seal_in in;
    emk_sealing *s;
    emk_layout l;
    emk_plan plan;
    emk_error e;

    (void)state;
    make_plan(&plan);
    world_seal_in(&w, &model, &plan, &in);
    assert_ok(emk_sealing_new(w.crypto, &in, &s, &e), &e);
    file.end = emk_sealing_len(s);
    keep(&file, 0, 2 * SLACK);
    for (size_t i = 2; i < N_PLACES; i++) {
        /* about where that segment will be: tags of chunks and segments lie before it */
        uint64_t at = PLACES[i] + PLACES[i] / EMK_CHUNK_LEN * 16 + PLACES[i] / EMK_SEGMENT_LEN * 16;

        keep(&file, at - EMK_SEGMENT_LEN - SLACK, at + EMK_SEGMENT_LEN + SLACK);
    }
    assert_ok(emk_sealing_write(s, &sink, 2, NULL, &e), &e);
    assert_int_equal(atomic_load(&file.written), file.end); /* each byte once */
    emk_sealing_free(s);
    opener_init(&o, &file);
    assert_ok(emk_layout_init(&l, &plan, o.inner.core.sealed_part_len, &e), &e);
    for (size_t i = 0; i < N_PLACES; i++)
        expect_segment(&o, &l, PLACES[i]);
    emk_layout_done(&l);
    opener_done(&o);
    drop(&file);
    emk_plan_done(&plan);
}

/* ---- the vault ---- */

typedef struct made_vault {
    uint8_t head[EMK_VAULT_SEALED + 2 * EMK_VAULT_ALIGN]; /* all before the tags */
    emk_schedule keys;
    emk_layout layout;
    emk_vault_places places;
} made_vault;

/* Ciphertext or tag of the segment that the byte belongs to. */
static emk_status read_vault(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    static uint8_t bytes[EMK_SEGMENT_LEN];
    made_vault *v = self;
    emk_segment_cipher cipher;
    emk_segment seg;
    uint8_t tag[16];

    if (off + len <= v->places.tags) {
        memcpy(out, v->head + off, len);
        return EMK_OK;
    }
    assert_ok(emk_segment_cipher_init(&cipher, &v->keys, EMK_AEAD_AES_256_GCM, e), e);
    if (off >= v->places.payload) {
        seg = emk_layout_find(&v->layout, off - v->places.payload);
        assert_int_equal(seg.at, off - v->places.payload);
        assert_int_equal(seg.len, len);
        make_bytes(seg.at, bytes, seg.len);
        assert_ok(emk_segment_seal(&cipher, &seg, bytes, out, tag, e), e);
    } else {
        assert_int_equal(off, v->places.tags); /* the whole table, of which some are wanted */
        memset(out, 0, len);
        for (size_t i = 0; i < N_PLACES; i++) {
            seg = emk_layout_find(&v->layout, PLACES[i]);
            make_bytes(seg.at, bytes, seg.len);
            assert_ok(emk_segment_seal(&cipher, &seg, bytes, bytes, tag, e), e);
            memcpy(out + 16 * (seg.number - 1), tag, 16);
        }
    }
    emk_segment_cipher_done(&cipher);
    return EMK_OK;
}

static void make_vault(made_vault *v, const emk_plan *plan)
{
    static emk_header header;
    uint8_t cek[32] = {5}, hh[32], vhh[32], space[EMK_RECIPIENT_MAX];
    emk_header_in in = {.signer = &w.issuer, .cek = cek};
    emk_record record = {.generation = 1, .accepted = WORLD_NOW};
    emk_local_envelope local = {.header = &header, .vault_id = record.vault_id, .cek = cek};
    emk_sealed_part stored = {.schedule = &v->keys, .aead = EMK_AEAD_AES_256_GCM};
    emk_buf part, head;
    emk_writer envelope;
    emk_span span;
    emk_error e;

    emk_buf_init(&part, EMK_SEALED_PART_MAX);
    emk_buf_init(&head, EMK_HEADER_MAX + 16);
    assert_ok(emk_sealed_part_encode(plan, emk_buf_span(&w.identity_bytes), &part, &e), &e);
    in.to = local.to = (emk_agree_key){EMK_KEM_P256, emk_kem_private_public(w.device_key)};
    in.core.layer = EMK_LAYER_WEIGHTS;
    in.core.content_alg = EMK_CONTENT_WEIGHTS_AES;
    in.core.plain_len = MODEL_LEN;
    in.core.policy = emk_buf_span(&w.policy_bytes);
    in.core.sealed_part_len = stored.len = part.len;
    span = emk_buf_span(&part);
    assert_ok(emk_sha256(w.crypto, &span, 1, in.core.sealed_part_hash, &e), &e);
    assert_ok(emk_header_make(w.crypto, &in, &head, hh, &e), &e);
    memcpy(v->head, head.p, head.len);
    assert_ok(emk_header_parse(w.crypto, emk_buf_span(&head), EMK_LAYER_WEIGHTS, &header, &e), &e);
    assert_ok(emk_vault_hash(w.crypto, hh, record.vault_id, vhh, &e), &e);
    assert_ok(emk_schedule_init(&v->keys, w.crypto, EMK_LAYER_WEIGHTS, cek, vhh, &e), &e);
    emk_writer_init(&envelope, space, sizeof space);
    assert_ok(emk_local_wrap(w.crypto, &local, &envelope, &e), &e);
    assert_ok(emk_slot_make(&v->keys, &record, emk_writer_span(&envelope),
                            v->head + EMK_VAULT_SLOT_A, &e),
              &e);
    assert_ok(emk_sealed_part_seal(&stored, part.p, v->head + EMK_VAULT_SEALED, &e), &e);
    assert_ok(emk_layout_init(&v->layout, plan, part.len, &e), &e);
    v->places = emk_layout_vault(&v->layout);
    emk_buf_done(&part);
    emk_buf_done(&head);
}

static void reads_behind_4_gib_of_a_vault(void **state)
{
    static made_vault made;
    emk_source file = {.read = read_vault, .self = &made};
    uint8_t got[3000], want[3000];
    emk_vault_in in;
    emk_vault *v;
    emk_plan plan;
    emk_error e;

    (void)state;
    make_plan(&plan);
    make_vault(&made, &plan);
    file.len = made.places.end;
    assert_true(made.places.payload % (2 << 20) == 0);
    world_vault_in(&w, &file, &in);
    assert_ok(emk_vault_open(w.crypto, &in, &v, &e), &e);
    for (size_t i = 0; i < N_PLACES; i++) {
        emk_segment seg = emk_layout_find(&made.layout, PLACES[i]);
        uint64_t end = seg.at + seg.len;
        size_t len = end - PLACES[i] < sizeof got ? (size_t)(end - PLACES[i]) : sizeof got;

        assert_ok(emk_vault_read(v, PLACES[i], got, len, &e), &e);
        make_bytes(PLACES[i], want, len);
        assert_memory_equal(got, want, len);
    }
    /* one whose tag is not in the table */
    assert_status(emk_vault_read(v, UINT64_C(1) << 30, got, 1, &e), EMK_E_SEALED, &e);
    assert_status(emk_vault_read(v, MODEL_LEN - 1, got, 2, &e), EMK_E_USAGE, &e);
    emk_vault_close(v);
    emk_schedule_done(&made.keys);
    emk_layout_done(&made.layout);
    emk_plan_done(&plan);
}

int main(void)
{
    int failed;

    world_init(&w, EMK_KEM_X25519);
    failed = EMK_RUN(emk_rule(reads_behind_4_gib_of_a_vault), emk_rule(seals_more_than_4_gib));
    world_done(&w);
    return failed;
}
