/* The guard: a whole round, a probe, and what its thread takes while nothing happens. */
#include "bench/bench.h"

#include "core/base/os_time.h"

#include <earmark/guard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROBES         400u
#define MS             1000.0
#define ROUND_GOAL_MS  5.0
#define PROBE_GOAL_MS  0.5
#define THREAD_GOAL    0.1 /* per cent of one processor */
#define THREAD_S       10
#define THREAD_S_QUICK 3
#define PER_CENT       100.0

typedef struct guard_world {
    emk_crypto *crypto;
    emk_guard *guard;
} guard_world;

/* Seconds on the processor, of all threads. */
static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static emk_guard *new_guard(const emk_crypto *crypto)
{
    static const char *const engines[] = {"libonnxruntime"};
    const emk_guard_config config = {
        .crypto = crypto, .level = EMK_GUARD_STRICT, .engines = engines, .n_engines = 1};
    emk_guard *g = NULL;
    emk_error e = {0};

    bench_need(emk_guard_new(&config, &g, &e), &e, "guard");
    return g;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* Time on the processor: a busy machine is not the guard's. */
static void looks(bench *b, guard_world *w, bool whole)
{
    static double ms[PROBES];
    const unsigned n = whole ? bench_rounds(b, 1) : PROBES;
    bench_row row = {.group = "guard", .unit = "ms", .goal = BENCH_AT_MOST};

    for (unsigned i = 0; i < n && i < PROBES; i++) {
        const double start = cpu_now();

        if (whole)
            emk_guard_round(w->guard);
        else
            emk_guard_probe(w->guard);
        ms[i] = (cpu_now() - start) * MS;
    }
    qsort(ms, n, sizeof ms[0], by_size);
    snprintf(row.name, sizeof row.name, whole ? "a full round" : "a probe");
    row.ours = ms[n / 2];
    row.limit = whole ? ROUND_GOAL_MS : PROBE_GOAL_MS;
    snprintf(row.note, sizeof row.note, "processor time; 95 of 100 below %.3f, longest %.3f",
             ms[n * 95 / 100], ms[n - 1]);
    bench_add(b, &row);
}

static void thread_row(bench *b, guard_world *w)
{
    const struct timespec pause = {.tv_sec = b->quick ? THREAD_S_QUICK : THREAD_S};
    bench_row row = {.group = "guard",
                     .name = "its thread while nothing happens",
                     .unit = "%",
                     .goal = BENCH_AT_MOST,
                     .limit = THREAD_GOAL};
    emk_error e = {0};
    double start;

    bench_need(emk_guard_start(w->guard, &e), &e, "thread");
    start = cpu_now();
    nanosleep(&pause, NULL);
    row.ours = (cpu_now() - start) / (double)pause.tv_sec * PER_CENT;
    bench_add(b, &row);
}

void bench_group_guard(bench *b)
{
    guard_world w = {NULL, NULL};
    emk_error e = {0};

    bench_need(emk_crypto_new(NULL, NULL, &w.crypto, &e), &e, "libcrypto");
    w.guard = new_guard(w.crypto);
    looks(b, &w, true);
    looks(b, &w, false);
    thread_row(b, &w);
    emk_guard_free(w.guard);
    emk_crypto_free(w.crypto);
}
