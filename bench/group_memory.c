/* One thread, in memory: what the layers cost beside the cipher alone. */
#include "bench/raw_evp.h"
#include "bench/workdir.h"
#include "bench/world.h"

#include "core/seal/segment.h"

#include <stdlib.h>
#include <string.h>

#define MODEL_LEN    ((size_t)64 << 20)
#define RAW_LEN      ((size_t)65536)
#define TIMES_ROUNDS 5u

typedef struct memory_world {
    world w;
    raw_gcm *gcm;
    uint8_t raw_in[RAW_LEN], raw_out[RAW_LEN + 16], raw_tag[16];
    uint8_t *model, *out; /* out also takes the vault's and the sealed form */
    uint8_t *sealed, *vault;
    size_t out_cap;
    emk_source model_source, sealed_source, vault_source;
    emk_plan plan;
    emk_layout layout;
    emk_schedule keys;
    emk_segment_cipher segments;
    emk_chunk_cipher chunks;
    uint8_t (*tags)[EMK_AEAD_TAG_LEN];
    emk_vault *opened;
} memory_world;

static uint8_t *touched(size_t len)
{
    uint8_t *p = malloc(len);

    if (!p)
        bench_die("no memory", NULL);
    memset(p, 1, len);
    return p;
}

static double raw_seal(void *self)
{
    memory_world *m = self;
    double start = bench_now();

    for (size_t i = 0; i < MODEL_LEN / RAW_LEN; i++)
        raw_gcm_seal(m->gcm, m->raw_in, m->raw_out, RAW_LEN, m->raw_tag);
    return bench_now() - start;
}

static double raw_open(void *self)
{
    memory_world *m = self;
    double start = bench_now();

    for (size_t i = 0; i < MODEL_LEN / RAW_LEN; i++)
        raw_gcm_open(m->gcm, m->raw_out, m->raw_in, RAW_LEN, m->raw_tag);
    return bench_now() - start;
}

static double weights_seal(void *self)
{
    memory_world *m = self;
    double start = bench_now();
    emk_segment seg = emk_layout_segment(&m->layout, 0);
    emk_error e = {0};

    for (uint32_t i = 0; i < m->layout.n_segments; i++) {
        if (i)
            seg = emk_layout_next(&m->layout, &seg);
        bench_need(emk_segment_seal(&m->segments, &seg, m->model + seg.at, m->out + seg.at,
                                    m->tags[i], &e),
                   &e, "segment");
    }
    return bench_now() - start;
}

static double weights_open(void *self)
{
    memory_world *m = self;
    double start = bench_now();
    emk_error e = {0};

    bench_need(emk_vault_read_all(m->opened, m->out, 1, NULL, &e), &e, "vault");
    return bench_now() - start;
}

static double both_seal(void *self)
{
    memory_world *m = self;
    emk_seal_in in = world_seal_in(&m->w, &m->model_source, &m->plan);
    emk_sink sink = emk_sink_from_memory(m->sealed, m->out_cap);
    double start = bench_now();
    emk_sealing *s;
    emk_error e = {0};

    bench_need(emk_sealing_new(m->w.crypto, &in, &s, &e), &e, "seal");
    bench_need(emk_sealing_write(s, &sink, 1, NULL, &e), &e, "seal");
    m->sealed_source = emk_source_from_span(emk_span_of(m->sealed, emk_sealing_len(s)));
    emk_sealing_free(s);
    return bench_now() - start;
}

/* The two layers of opening, a segment after the chunks that hold it.  The cipher sees what
 * it would in accepting; the chunks were sealed here, and segments lie in them end to end. */
static double both_open(void *self)
{
    memory_world *m = self;
    const size_t chunk = EMK_CHUNK_LEN + EMK_AEAD_TAG_LEN;
    uint8_t *room = m->out;
    double start = bench_now();
    uint64_t have = 0, used = 0, c = 0;
    emk_segment seg = emk_layout_segment(&m->layout, 0);
    emk_error e = {0};

    for (uint32_t i = 0; i < m->layout.n_segments; i++) {
        if (i)
            seg = emk_layout_next(&m->layout, &seg);
        for (; have < used + seg.len + EMK_AEAD_TAG_LEN; c++) {
            bench_need(emk_chunk_open(&m->chunks, c, m->vault + c * chunk, room + have, &e), &e,
                       "chunk");
            have += emk_chunk_len(m->chunks.plain_len, c);
        }
        bench_need(emk_segment_open(&m->segments, &seg, room + used, room + used + seg.len,
                                    room + used, &e),
                   &e, "segment");
        used += seg.len + EMK_AEAD_TAG_LEN;
    }
    return bench_now() - start;
}

/* With SHA-256 of everything and the vault's new layer. */
static double accept_all(void *self)
{
    memory_world *m = self;
    emk_accept_in in = world_accept_in(&m->w, &m->sealed_source);
    emk_sink sink = emk_sink_from_memory(m->out, m->out_cap);
    emk_accept_out out = {.vault = &sink, .accepted = in.now, .floor = in.now, .threads = 1};
    uint8_t vault_id[EMK_ID_LEN];
    double start = bench_now();
    emk_accept *a;
    emk_error e = {0};

    bench_need(emk_accept_new(m->w.crypto, &in, &a, &e), &e, "accept");
    bench_need(emk_accept_write(a, &out, vault_id, &e), &e, "accept");
    m->vault_source = emk_source_from_span(emk_span_of(m->out, emk_accept_vault_len(a)));
    emk_accept_free(a);
    return bench_now() - start;
}

/* Both layers, as plain strings of segments and chunks, for both_open; into m->vault. */
static void seal_for_both_open(memory_world *m)
{
    const size_t chunk = EMK_CHUNK_LEN + EMK_AEAD_TAG_LEN;
    uint64_t inner_len = emk_layout_delivered(&m->layout, m->layout.n_segments);
    uint8_t *inner = m->out;
    emk_error e = {0};

    for (uint32_t i = 0; i < m->layout.n_segments; i++) {
        emk_segment seg = emk_layout_segment(&m->layout, i);

        bench_need(
            emk_segment_seal(&m->segments, &seg, m->model + seg.at, inner, inner + seg.len, &e), &e,
            "segment");
        inner += seg.len + EMK_AEAD_TAG_LEN;
    }
    bench_need(emk_chunk_cipher_init(&m->chunks, &m->keys, EMK_AEAD_AES_256_GCM, inner_len, &e), &e,
               "chunks");
    for (uint64_t c = 0; c < emk_chunks_of(inner_len); c++)
        bench_need(
            emk_chunk_seal(&m->chunks, c, m->out + c * EMK_CHUNK_LEN, m->vault + c * chunk, &e), &e,
            "chunk");
}

static void prepare(memory_world *m)
{
    uint8_t cek[EMK_CEK_LEN] = {1}, hh[EMK_HASH_LEN] = {2};
    emk_error e = {0};

    world_init(&m->w);
    m->gcm = raw_gcm_new();
    m->out_cap = MODEL_LEN + MODEL_LEN / 16;
    m->model = touched(MODEL_LEN);
    m->out = touched(m->out_cap);
    m->sealed = touched(m->out_cap);
    m->vault = touched(m->out_cap);
    bench_fill(m->model, MODEL_LEN, 0);
    m->model_source = emk_source_from_span(emk_span_of(m->model, MODEL_LEN));
    world_plan(&m->w, &m->model_source, 1, &m->plan);
    bench_need(emk_layout_init(&m->layout, &m->plan, 0, &e), &e, "layout");
    bench_need(emk_schedule_init(&m->keys, m->w.crypto, EMK_LAYER_WEIGHTS, cek, hh, &e), &e,
               "keys");
    bench_need(emk_segment_cipher_init(&m->segments, &m->keys, EMK_AEAD_AES_256_GCM, &e), &e,
               "keys");
    m->tags = calloc(m->layout.n_segments, EMK_AEAD_TAG_LEN);
    if (!m->tags)
        bench_die("no memory", NULL);
}

static void open_vault(memory_world *m)
{
    emk_vault_in in = world_vault_in(&m->w, &m->vault_source);
    emk_error e = {0};

    memcpy(m->vault, m->vault_source.p, (size_t)m->vault_source.len);
    m->vault_source.p = m->vault;
    bench_need(emk_vault_open(m->w.crypto, &in, &m->opened, &e), &e, "vault");
}

static void clear(memory_world *m)
{
    emk_vault_close(m->opened);
    emk_chunk_cipher_done(&m->chunks);
    emk_segment_cipher_done(&m->segments);
    emk_schedule_done(&m->keys);
    emk_layout_done(&m->layout);
    emk_plan_done(&m->plan);
    raw_gcm_free(m->gcm);
    world_done(&m->w);
    free(m->tags);
    free(m->model);
    free(m->out);
    free(m->sealed);
    free(m->vault);
}

static const bench_row TEXTS[] = {
    {.name = "weights layer, seal", .goal = BENCH_AT_LEAST, .limit = 0.85},
    {.name = "weights layer, open", .goal = BENCH_AT_LEAST, .limit = 0.85},
    {.name = "both layers, seal", .goal = BENCH_AT_LEAST, .limit = 0.42},
    {.name = "both layers, open", .goal = BENCH_AT_LEAST, .limit = 0.42},
    {.name = "accept: open both, SHA-256, seal one"},
};

/* ours beside raw; `first` of TEXTS. */
static void compare(bench *b, const bench_side *ours, const bench_side *raw, const bench_row *text)
{
    bench_pair p = {.ours = ours,
                    .beside = raw,
                    .rounds = bench_rounds(b, TIMES_ROUNDS),
                    .kind = BENCH_SPEED,
                    .amount = (double)MODEL_LEN / 1e9,
                    .beside_amount = (double)MODEL_LEN / 1e9};
    bench_row row = *text;

    row.group = "memory";
    row.unit = "GB/s";
    strcpy(row.beside_name, "EVP GCM 64 KiB");
    bench_compare(b, &p, &row);
}

void bench_group_memory(bench *b)
{
    memory_world *m = calloc(1, sizeof *m);
    unsigned rounds = bench_rounds(b, TIMES_ROUNDS);
    bench_side s[7];

    if (!m)
        bench_die("no memory", NULL);
    prepare(m);
    seal_for_both_open(m);
    s[0] = (bench_side){.fn = raw_seal, .self = m};
    s[1] = (bench_side){.fn = weights_seal, .self = m};
    s[2] = (bench_side){.fn = both_seal, .self = m};
    s[3] = (bench_side){.fn = raw_open, .self = m};
    s[4] = (bench_side){.fn = both_open, .self = m};
    s[5] = (bench_side){.fn = accept_all, .self = m};
    both_seal(m); /* so that accept has its input in any order */
    bench_run(s, 6, rounds);
    open_vault(m); /* the last accept's */
    s[6] = (bench_side){.fn = weights_open, .self = m};
    {
        bench_side open[2] = {s[3], s[6]};

        bench_run(open, 2, rounds);
        compare(b, &s[1], &s[0], &TEXTS[0]);
        compare(b, &open[1], &open[0], &TEXTS[1]);
        compare(b, &s[2], &s[0], &TEXTS[2]);
        compare(b, &s[4], &s[3], &TEXTS[3]);
        compare(b, &s[5], &s[3], &TEXTS[4]);
    }
    clear(m);
    free(m);
}
