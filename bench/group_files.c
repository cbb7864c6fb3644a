/* File to file and file to memory, two threads, beside age and beside plain reading. */
#include "bench/raw_age.h"
#include "bench/raw_read.h"
#include "bench/workdir.h"
#include "bench/world.h"

#include "core/base/os_file.h"

#include <stdio.h>
#include <string.h>

#define THREADS   2u
#define SMALL_LEN UINT64_C(10000000)

typedef struct files_world {
    world w;
    emk_plan plan;
    bool locked;
} files_world;

static double side_seal(void *self)
{
    files_world *f = self;

    return world_seal_file(&f->w, &f->plan, THREADS);
}

static double side_accept(void *self)
{
    files_world *f = self;

    return world_accept_file(&f->w, THREADS);
}

static double side_open(void *self)
{
    files_world *f = self;

    return world_open_file(&f->w, THREADS, &f->locked);
}

static double side_plan(void *self)
{
    files_world *f = self;
    double start = bench_now();
    emk_plan plan;
    int fd;
    emk_source model = world_source(bench_path(BENCH_MODEL), &fd);

    world_plan(&f->w, &model, THREADS, &plan);
    emk_plan_done(&plan);
    emk_os_close(fd);
    return bench_now() - start;
}

static double side_age_encrypt(void *self)
{
    (void)self;
    return raw_age_encrypt();
}

static double side_age_decrypt(void *self)
{
    (void)self;
    return raw_age_decrypt();
}

static double side_read_huge(void *self)
{
    (void)self;
    return raw_read_file(bench_path(BENCH_MODEL), true);
}

static double side_read_small(void *self)
{
    (void)self;
    return raw_read_file(bench_path(BENCH_MODEL), false);
}

static void compare(bench *b, const bench_side *ours, const bench_side *beside,
                    const bench_row *text)
{
    bench_pair p = {.ours = ours, .beside = beside, .rounds = b->rounds, .kind = BENCH_TIME};
    bench_row row = *text;

    row.group = "files";
    row.unit = "s";
    bench_compare(b, &p, &row);
}

static void without_age(bench *b, const bench_side *ours, bench_row row)
{
    compare(b, ours, NULL, &(bench_row){.name = "seal or accept, alone"});
    row.group = "files";
    row.skipped = true;
    strcpy(row.note, "age is not installed");
    bench_add(b, &row);
}

static void seal_and_accept(bench *b, files_world *f)
{
    static const bench_row seal = {.name = "seal, two layers, file to file",
                                   .beside_name = "age -e",
                                   .goal = BENCH_AT_MOST,
                                   .limit = 0.45};
    static const bench_row accept = {.name = "accept, two layers off, one on",
                                     .beside_name = "age -d",
                                     .goal = BENCH_AT_MOST,
                                     .limit = 0.8};
    bool age = raw_age_prepare();
    bench_side s[2] = {{.fn = side_seal, .self = f}, {.fn = side_age_encrypt}};
    bench_side a[2] = {{.fn = side_accept, .self = f}, {.fn = side_age_decrypt}};

    bench_run(s, age ? 2 : 1, b->rounds);
    if (age)
        compare(b, &s[0], &s[1], &seal);
    else
        without_age(b, &s[0], seal);
    bench_run(a, age ? 2 : 1, b->rounds);
    if (age)
        compare(b, &a[0], &a[1], &accept);
    else
        without_age(b, &a[0], accept);
    bench_remove(BENCH_AGE_SEALED);
}

static void open_and_read(bench *b, files_world *f)
{
    bench_row row = {.name = "open into locked huge pages",
                     .beside_name = "read, huge pages",
                     .goal = BENCH_AT_MOST,
                     .limit = 1.35};
    bench_side s[3] = {
        {.fn = side_open, .self = f}, {.fn = side_read_huge}, {.fn = side_read_small}};

    bench_run(s, 3, b->rounds);
    strcpy(row.note, f->locked ? "locked" : "NOT locked: over the limit (ulimit -l)");
    compare(b, &s[0], &s[1], &row);
    strcpy(row.beside_name, "read, 4 KiB pages");
    row.limit = 1;
    compare(b, &s[0], &s[2], &row);
}

static void make_plan(files_world *f)
{
    int fd;
    emk_source model = world_source(bench_path(BENCH_MODEL), &fd);

    world_plan(&f->w, &model, THREADS, &f->plan);
    emk_os_close(fd);
}

static void small_model(bench *b, files_world *f)
{
    bench_row row = {.name = "open a model of 10 MB", .goal = BENCH_AT_MOST, .limit = 0.015};
    bench_side s[1] = {{.fn = side_open, .self = f}};

    bench_write_model(SMALL_LEN);
    make_plan(f);
    world_seal_file(&f->w, &f->plan, THREADS);
    world_accept_file(&f->w, THREADS);
    bench_run(s, 1, b->rounds);
    strcpy(row.note, f->locked ? "locked" : "NOT locked: over the limit (ulimit -l)");
    compare(b, &s[0], NULL, &row);
    emk_plan_done(&f->plan);
}

void bench_group_files(bench *b)
{
    files_world f = {0};
    bench_side plan = {.fn = side_plan, .self = &f};

    if (!bench_workdir_in_memory())
        printf("files: not on a tmpfs, so the disk is measured too\n");
    world_init(&f.w);
    bench_write_model(b->size);
    make_plan(&f);
    bench_run(&plan, 1, b->rounds);
    compare(b, &plan, NULL, &(bench_row){.name = "plan: digests, once for each version"});
    seal_and_accept(b, &f);
    open_and_read(b, &f);
    emk_plan_done(&f.plan);
    small_model(b, &f);
    world_done(&f.w);
}
