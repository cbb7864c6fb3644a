/* What looking inside a model costs: beside sealing it, and where its header is huge.  All in
 * memory, one thread. */
#include "bench/model_build.h"
#include "bench/world.h"

#include "core/pack/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMATS      3u
#define USUAL_N      200u
#define USUAL_LEN    (((64u << 20) / USUAL_N) & ~31u) /* of a tensor: 64 MiB together */
#define MANY_N       100000u
#define MANY_LEN     32u
#define TIMES_ROUNDS 5u

static const struct format {
    const char *name;
    emk_model_format format;
    model_build_fn build;
} FORMAT[FORMATS] = {
    {"safetensors", EMK_MODEL_SAFETENSORS, model_build_safetensors},
    {"GGUF", EMK_MODEL_GGUF, model_build_gguf},
    {"zip", EMK_MODEL_ZIP, model_build_zip},
};

/* One made file and what is done with it. */
typedef struct model_world {
    world *w;
    const struct format *format;
    model_build file;
    emk_source source;
    uint8_t *sealed; /* lent; of sealed_cap bytes */
    size_t sealed_cap;
    emk_plan plan; /* for sealing */
} model_world;

static void make_plan(const model_world *m, emk_plan *plan)
{
    emk_pack_in in = {.model = &m->source, .no_digests = true, .threads = 1};
    static emk_pack_report report;
    emk_error e = {0};

    bench_need(emk_pack_plan(m->w->crypto, &in, plan, &report, &e), &e, "plan");
    if (report.format != m->format->format || report.tensors < m->file.n)
        bench_die("a made model is not read as what it is", NULL);
}

static double plan_it(void *self)
{
    const model_world *m = self;
    double start = bench_now(), seconds;
    emk_plan plan;

    make_plan(m, &plan);
    seconds = bench_now() - start;
    emk_plan_done(&plan);
    return seconds;
}

static double scan_it(void *self)
{
    const model_world *m = self;
    static emk_image image;
    static emk_model_report report;
    double start = bench_now(), seconds;
    emk_error e = {0};

    emk_image_from_span(&image, emk_span_of(m->file.p, m->file.len));
    bench_need(emk_model_scan(m->format->format, &image, NULL, NULL, NULL, &report, &e), &e,
               "scan");
    seconds = bench_now() - start;
    if (report.tensors < m->file.n)
        bench_die("a made model is not read as what it is", NULL);
    return seconds;
}

static double seal_it(void *self)
{
    const model_world *m = self;
    emk_seal_in in = world_seal_in(m->w, &m->source, &m->plan);
    emk_sink sink = emk_sink_from_memory(m->sealed, m->sealed_cap);
    double start = bench_now(), seconds;
    emk_sealing *s;
    emk_error e = {0};

    bench_need(emk_sealing_new(m->w->crypto, &in, &s, &e), &e, "seal");
    bench_need(emk_sealing_write(s, &sink, 1, NULL, &e), &e, "seal");
    seconds = bench_now() - start;
    emk_sealing_free(s);
    return seconds;
}

static void make(world *w, model_world m[FORMATS], uint32_t n, uint32_t length)
{
    for (size_t i = 0; i < FORMATS; i++) {
        m[i] = (model_world){.w = w, .format = &FORMAT[i]};
        m[i].file = model_build_new(FORMAT[i].build, n, length);
        m[i].source = emk_source_from_span(emk_span_of(m[i].file.p, m[i].file.len));
        make_plan(&m[i], &m[i].plan);
    }
}

static void clear(model_world m[FORMATS])
{
    for (size_t i = 0; i < FORMATS; i++) {
        emk_plan_done(&m[i].plan);
        free(m[i].file.p);
    }
}

/* Adds a row "<what>, <format>". */
static void add(bench *b, const bench_pair *p, const char *what, const char *format, bench_row row)
{
    row.group = "model";
    row.unit = "ms";
    snprintf(row.name, sizeof row.name, "%s, %s", what, format);
    bench_compare(b, p, &row);
}

static void usual(bench *b, world *w)
{
    bench_row row = {.beside_name = "seal, 1 thread", .goal = BENCH_AT_MOST, .limit = 0.02};
    unsigned rounds = bench_rounds(b, TIMES_ROUNDS);
    bench_side s[2 * FORMATS];
    model_world m[FORMATS];
    size_t cap;
    uint8_t *sealed;

    make(w, m, USUAL_N, USUAL_LEN);
    cap = m[0].file.cap + m[0].file.cap / 16;
    sealed = malloc(cap);
    if (!sealed)
        bench_die("no memory", NULL);
    memset(sealed, 1, cap);
    for (size_t i = 0; i < FORMATS; i++) {
        m[i].sealed = sealed;
        m[i].sealed_cap = cap;
        s[2 * i] = (bench_side){.fn = plan_it, .self = &m[i]};
        s[2 * i + 1] = (bench_side){.fn = seal_it, .self = &m[i]};
    }
    bench_run(s, 2 * FORMATS, rounds);
    for (size_t i = 0; i < FORMATS; i++) {
        bench_pair p = {&s[2 * i], &s[2 * i + 1], rounds, BENCH_TIME_MS, 0, 0};

        add(b, &p, "plan 64 MiB, 200 tensors", FORMAT[i].name, row);
    }
    free(sealed);
    clear(m);
}

static void many(bench *b, world *w)
{
    bench_row scan = {.goal = BENCH_AT_MOST, .limit = 100}, plan = {.unit = NULL};
    unsigned rounds = bench_rounds(b, TIMES_ROUNDS);
    bench_side s[2 * FORMATS];
    model_world m[FORMATS];

    make(w, m, MANY_N, MANY_LEN);
    for (size_t i = 0; i < FORMATS; i++) {
        s[2 * i] = (bench_side){.fn = scan_it, .self = &m[i]};
        s[2 * i + 1] = (bench_side){.fn = plan_it, .self = &m[i]};
    }
    bench_run(s, 2 * FORMATS, rounds);
    for (size_t i = 0; i < FORMATS; i++) {
        bench_pair one = {&s[2 * i], NULL, rounds, BENCH_TIME_MS, 0, 0};
        bench_pair all = {&s[2 * i + 1], NULL, rounds, BENCH_TIME_MS, 0, 0};

        add(b, &one, "scan 100,000 tensors", FORMAT[i].name, scan);
        add(b, &all, "plan 100,000 tensors", FORMAT[i].name, plan);
    }
    clear(m);
}

void bench_group_model(bench *b)
{
    world w;

    world_init(&w);
    usual(b, &w);
    many(b, &w);
    world_done(&w);
}
