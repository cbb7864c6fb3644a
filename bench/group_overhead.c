/* How much longer a sealed model is. */
#include "bench/workdir.h"
#include "bench/world.h"

#include "core/base/os_file.h"
#include "core/pack/pack.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERHEAD_MAX 0.2 /* percent, of models longer than MODEL_MIN */
#define MODEL_MIN    1048576u
#define OPEN_DIRS    16

static double percent(uint64_t sealed, uint64_t model)
{
    return ((double)sealed / (double)model - 1) * 100;
}

static uint64_t file_len(bench_file which)
{
    uint64_t len = 0;
    emk_error e = {0};
    int fd;

    bench_need(emk_os_open_read(bench_path(which), &fd, &e), &e, bench_path(which));
    bench_need(emk_os_file_size(fd, &len, &e), &e, bench_path(which));
    emk_os_close(fd);
    return len;
}

static void sealed_file(bench *b, world *w, uint64_t len, const char *name)
{
    bench_row row = {
        .group = "overhead", .unit = "%", .goal = BENCH_AT_MOST, .limit = OVERHEAD_MAX};
    emk_plan plan;
    int fd;

    bench_write_model(len);
    {
        emk_source model = world_source(bench_path(BENCH_MODEL), &fd);

        world_plan(w, &model, 2, &plan);
        emk_os_close(fd);
    }
    world_seal_file(w, &plan, 2);
    world_accept_file(w, 2);
    emk_plan_done(&plan);
    snprintf(row.name, sizeof row.name, "%s, sealed file", name);
    row.ours = percent(file_len(BENCH_SEALED), len);
    bench_add(b, &row);
    snprintf(row.name, sizeof row.name, "%s, vault file", name);
    row.ours = percent(file_len(BENCH_VAULT), len);
    row.goal = BENCH_NO_GOAL;
    bench_add(b, &row);
    for (unsigned f = BENCH_MODEL; f <= BENCH_VAULT; f++)
        bench_remove((bench_file)f);
}

/* nftw has no argument for its function. */
static struct {
    world *w;
    unsigned models;
    double worst;
    char worst_name[64];
} walk;

/* The sealed length of one real model, planned as the tools plan it. */
static int one_model(const char *path, const struct stat *st, int type, struct FTW *place)
{
    emk_pack_in in = {.file_name = path + place->base, .threads = 2};
    emk_source model;
    emk_plan plan;
    emk_sealing *s;
    emk_error e = {0};
    double p;
    int fd;

    if (type != FTW_F || st->st_size <= (off_t)MODEL_MIN)
        return 0;
    model = world_source(path, &fd);
    in.model = &model;
    if (emk_pack_plan(walk.w->crypto, &in, &plan, NULL, &e) == EMK_OK) {
        emk_seal_in seal = world_seal_in(walk.w, &model, &plan);

        bench_need(emk_sealing_new(walk.w->crypto, &seal, &s, &e), &e, path);
        p = percent(emk_sealing_len(s), model.len);
        walk.models++;
        if (p > walk.worst) {
            walk.worst = p;
            snprintf(walk.worst_name, sizeof walk.worst_name, "%s", in.file_name);
        }
        emk_sealing_free(s);
        emk_plan_done(&plan);
    }
    emk_os_close(fd);
    return 0;
}

static void real_models(bench *b, world *w)
{
    bench_row row = {.group = "overhead",
                     .name = "real models over 1 MiB, the worst",
                     .unit = "%",
                     .goal = BENCH_AT_MOST,
                     .limit = OVERHEAD_MAX};
    const char *shared = getenv("EMK_SHARED");
    char dir[512];

    snprintf(dir, sizeof dir, "%s/models", shared ? shared : "../shared");
    walk.w = w;
    if (!emk_os_exists(dir) || nftw(dir, one_model, OPEN_DIRS, FTW_PHYS) != 0 || !walk.models) {
        row.skipped = true;
        strcpy(row.note, "no models in ../shared or $EMK_SHARED");
    } else {
        row.ours = walk.worst;
        snprintf(row.note, sizeof row.note, "of %u: %s", walk.models, walk.worst_name);
    }
    bench_add(b, &row);
}

void bench_group_overhead(bench *b)
{
    world w;

    world_init(&w);
    sealed_file(b, &w, MODEL_MIN, "1 MiB");
    sealed_file(b, &w, 10000000, "10 MB");
    sealed_file(b, &w, b->size, b->size == (uint64_t)1 << 30 ? "1 GiB" : "--size");
    real_models(b, &w);
    world_done(&w);
}
