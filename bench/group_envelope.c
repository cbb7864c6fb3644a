/* Headers and envelopes for one device: what a server does for each download besides the bulk. */
#include "bench/raw_evp.h"
#include "bench/workdir.h"
#include "bench/world.h"

#include "core/base/os_file.h"

#include <string.h>

#define MODEL_LEN    ((size_t)10000000)
#define TIMES        25u /* few, and many rounds: a short one is seldom interrupted */
#define TIMES_ROUNDS 20u
#define SIGNED_LEN   800u /* about what one of our headers signs */

typedef struct envelope_world {
    world w;
    raw_exchange *raw;
    emk_source model;
    emk_plan plan;
    unsigned signatures;
} envelope_world;

static double seal_headers(void *self)
{
    envelope_world *x = self;
    double start = bench_now();
    emk_error e = {0};

    for (unsigned i = 0; i < TIMES; i++) {
        emk_seal_in in = world_seal_in(&x->w, &x->model, &x->plan);
        emk_sealing *s;

        bench_need(emk_sealing_new(x->w.crypto, &in, &s, &e), &e, "seal");
        emk_sealing_free(s);
    }
    return bench_now() - start;
}

static double raw(envelope_world *x, unsigned signatures)
{
    double start = bench_now();

    for (unsigned i = 0; i < TIMES; i++) {
        raw_exchange_agree(x->raw);
        for (unsigned k = 0; k < signatures; k++)
            raw_exchange_sign(x->raw, SIGNED_LEN);
    }
    return bench_now() - start;
}

static double raw_two(void *self)
{
    return raw(self, 2);
}

static double raw_one(void *self)
{
    return raw(self, 1);
}

static void compare(bench *b, const bench_side *ours, const bench_side *beside,
                    const bench_row *row)
{
    bench_pair p = {.ours = ours,
                    .beside = beside,
                    .rounds = bench_rounds(b, TIMES_ROUNDS),
                    .kind = BENCH_SPEED,
                    .amount = TIMES,
                    .beside_amount = TIMES};

    bench_compare(b, &p, row);
}

void bench_group_envelope(bench *b)
{
    static const bench_row two = {.group = "envelope",
                                  .name = "headers and envelopes of one device",
                                  .unit = "/s",
                                  .beside_name = "X25519, P-256, 2 Ed25519",
                                  .goal = BENCH_AT_LEAST,
                                  .limit = 0.85};
    bench_row one = two;
    envelope_world x = {0};
    bench_side s[3] = {
        {.fn = seal_headers, .self = &x}, {.fn = raw_two, .self = &x}, {.fn = raw_one, .self = &x}};
    int fd;

    world_init(&x.w);
    x.raw = raw_exchange_new();
    bench_write_model(MODEL_LEN);
    x.model = world_source(bench_path(BENCH_MODEL), &fd);
    world_plan(&x.w, &x.model, 1, &x.plan);
    bench_run(s, 3, bench_rounds(b, TIMES_ROUNDS));
    compare(b, &s[0], &s[1], &two);
    strcpy(one.beside_name, "X25519, P-256, 1 Ed25519");
    strcpy(one.note, "both headers are signed: there are two signatures to pay");
    one.goal = BENCH_NO_GOAL;
    compare(b, &s[0], &s[2], &one);
    emk_plan_done(&x.plan);
    emk_os_close(fd);
    raw_exchange_free(x.raw);
    world_done(&x.w);
}
