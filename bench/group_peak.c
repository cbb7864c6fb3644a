/* Peak memory: each operation in a process of its own. */
#include "bench/workdir.h"
#include "bench/world.h"

#include "core/base/os_file.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024.0 * 1024.0)

typedef void (*child_fn)(world *w, unsigned threads);

static void child_nothing(world *w, unsigned threads)
{
    (void)w;
    (void)threads;
}

static void child_seal(world *w, unsigned threads)
{
    emk_plan plan;
    int fd;
    emk_source model = world_source(bench_path(BENCH_MODEL), &fd);

    world_plan(w, &model, threads, &plan);
    emk_os_close(fd);
    world_seal_file(w, &plan, threads);
    emk_plan_done(&plan);
}

static void child_accept(world *w, unsigned threads)
{
    world_accept_file(w, threads);
}

static void child_open(world *w, unsigned threads)
{
    world_open_file(w, threads, NULL);
}

/* MiB at the most, of the whole process: program, libraries and all. */
static double peak_of(child_fn fn, unsigned threads)
{
    struct rusage usage;
    pid_t child;
    int status;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        world w;

        world_init(&w);
        fn(&w, threads);
        world_done(&w);
        _exit(0);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0)
        bench_die("a process for measuring memory failed", NULL);
    return (double)usage.ru_maxrss * 1024 / MIB;
}

static void add(bench *b, const char *what, uint64_t len, double ours, double limit)
{
    bench_row row = {.group = "peak", .unit = "MiB", .ours = ours};

    snprintf(row.name, sizeof row.name, "%s", what);
    if (limit > 0) {
        row.goal = BENCH_AT_MOST;
        row.limit = limit;
        snprintf(row.note, sizeof row.note, "a model of %.0f MiB", (double)len / MIB);
    }
    bench_add(b, &row);
}

static void measure(bench *b, uint64_t len)
{
    bench_write_model(len);
    add(b, "seal, 2 threads", len, peak_of(child_seal, 2), 32);
    add(b, "seal, 6 threads", len, peak_of(child_seal, EMK_SEAL_THREADS_MAX), 32);
    bench_remove(BENCH_MODEL);
    add(b, "accept, 2 threads", len, peak_of(child_accept, 2), 32);
    add(b, "accept, 6 threads", len, peak_of(child_accept, EMK_SEAL_THREADS_MAX), 32);
    bench_remove(BENCH_SEALED);
    add(b, "open, 2 threads", len, peak_of(child_open, 2), (double)len / MIB + 16);
    bench_remove(BENCH_VAULT);
}

void bench_group_peak(bench *b)
{
    add(b, "a process that does nothing", 0, peak_of(child_nothing, 1), 0);
    measure(b, UINT64_C(64) << 20);
    measure(b, b->size);
}
