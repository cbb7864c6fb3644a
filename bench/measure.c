#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

_Noreturn void bench_die(const char *what, const emk_error *e)
{
    fflush(stdout);
    if (e)
        fprintf(stderr, "earmark-bench: %s: %s (%llu)\n", what, e->what,
                (unsigned long long)e->where);
    else
        fprintf(stderr, "earmark-bench: %s\n", what);
    exit(1);
}

void bench_need(emk_status st, const emk_error *e, const char *what)
{
    if (st != EMK_OK)
        bench_die(what, e);
}

static double cpu_of(int who)
{
    struct rusage u;

    getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double cpu_now(void)
{
    return cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
}

unsigned bench_rounds(const bench *b, unsigned times)
{
    return b->rounds > BENCH_ROUNDS_MAX / times ? BENCH_ROUNDS_MAX : b->rounds * times;
}

void bench_run(bench_side *sides, size_t n, unsigned rounds)
{
    for (size_t i = 0; i < n; i++)
        sides[i].fn(sides[i].self); /* the first touch of a machine's memory can cost the most */
    for (unsigned r = 0; r < rounds; r++) {
        for (size_t i = 0; i < n; i++) {
            bench_side *s = &sides[r % 2 ? n - 1 - i : i];
            double before = cpu_now();

            s->seconds[r] = s->fn(s->self);
            s->cpu[r] = cpu_now() - before;
        }
    }
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

double bench_median(const double *v, unsigned n)
{
    double sorted[BENCH_ROUNDS_MAX];

    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double figure(const bench_pair *p, double seconds, double amount)
{
    if (p->kind == BENCH_SPEED)
        return amount / seconds;
    return p->kind == BENCH_TIME_MS ? seconds * 1e3 : seconds;
}

static void fill_ratio(const bench_pair *p, bench_row *row)
{
    double ratio[BENCH_ROUNDS_MAX];

    for (unsigned r = 0; r < p->rounds; r++) {
        ratio[r] = figure(p, p->ours->seconds[r], p->amount) /
                   figure(p, p->beside->seconds[r], p->beside_amount);
        if (r == 0 || ratio[r] < row->ratio_min)
            row->ratio_min = ratio[r];
        if (r == 0 || ratio[r] > row->ratio_max)
            row->ratio_max = ratio[r];
    }
    row->ratio = bench_median(ratio, p->rounds);
}

void bench_compare(bench *b, const bench_pair *p, const bench_row *texts)
{
    bench_row row = *texts;

    row.ours = figure(p, bench_median(p->ours->seconds, p->rounds), p->amount);
    row.cpu = bench_median(p->ours->cpu, p->rounds);
    if (p->beside) {
        row.beside = figure(p, bench_median(p->beside->seconds, p->rounds), p->beside_amount);
        row.beside_cpu = bench_median(p->beside->cpu, p->rounds);
        fill_ratio(p, &row);
    }
    bench_add(b, &row);
}
