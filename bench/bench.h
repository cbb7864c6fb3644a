/* The benchmark: what each operation costs beside the plain one on the same machine.
 *
 * It is no test: it prints what it measured and whether that reaches the goal, and ends with
 * status 0.  A figure is only ever compared with another of the same run, measured in turn
 * with it; the table shows the median of the rounds and their smallest and largest ratio. */
#ifndef EMK_BENCH_BENCH_H
#define EMK_BENCH_BENCH_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_ROUNDS_MAX 101u
#define BENCH_ROWS_MAX   96u

typedef enum bench_goal { BENCH_NO_GOAL, BENCH_AT_LEAST, BENCH_AT_MOST } bench_goal;

/* One line of the table.  A value of 0 is printed as nothing. */
typedef struct bench_row {
    const char *group;
    char name[64];
    double ours;
    const char *unit; /* static */
    double beside;    /* the baseline, in the same unit */
    char beside_name[48];
    double ratio, ratio_min, ratio_max; /* ours to beside */
    double cpu, beside_cpu;             /* processor seconds of one run, all threads */
    bench_goal goal;                    /* of the ratio, or of ours where there is none */
    double limit;
    char note[96];
    bool skipped; /* note says why */
} bench_row;

typedef struct bench {
    bool quick;
    unsigned rounds;
    uint64_t size; /* bytes of the model in the groups files and peak */
    const char *json;
    const char *only; /* a group's name; NULL: all */
    const char *dir;
    bench_row rows[BENCH_ROWS_MAX];
    size_t n_rows;
} bench;

/* ---- report.c ---- */

/* Adds a row and prints it. */
void bench_add(bench *b, const bench_row *row);
void bench_print_head(const bench *b);
void bench_print_sum(const bench *b);
/* Exits when the file cannot be written. */
void bench_write_json(const bench *b);

/* ---- measure.c ---- */

double bench_now(void); /* seconds of a steady clock */

/* Ends the program, saying what failed. */
_Noreturn void bench_die(const char *what, const emk_error *e);
/* The same unless st is EMK_OK. */
void bench_need(emk_status st, const emk_error *e, const char *what);

/* One of the things measured in turn.  fn does it once and returns its seconds, so that
 * it can leave preparing and clearing away out of them. */
typedef struct bench_side {
    double (*fn)(void *self);
    void *self;
    double seconds[BENCH_ROUNDS_MAX];
    double cpu[BENCH_ROUNDS_MAX]; /* of this process and of those it started */
} bench_side;

/* The rounds asked for, `times` as many, or as many as there can be: for what is short. */
unsigned bench_rounds(const bench *b, unsigned times);

/* Runs all sides in turn, `rounds` times after one that does not count, every other round in
 * the opposite order. */
void bench_run(bench_side *sides, size_t n, unsigned rounds);
double bench_median(const double *v, unsigned n);

/* How a row is made from two sides. */
typedef enum bench_kind {
    BENCH_SPEED,  /* amount / seconds; ratio of speeds */
    BENCH_TIME,   /* seconds; ratio of times */
    BENCH_TIME_MS /* the same, told in milliseconds */
} bench_kind;

typedef struct bench_pair {
    const bench_side *ours;
    const bench_side *beside; /* NULL: ours alone */
    unsigned rounds;
    bench_kind kind;
    double amount, beside_amount; /* BENCH_SPEED: how much of `unit` one run does */
} bench_pair;

/* Fills the figures of the row, whose texts, goal and limit the caller filled, and adds it. */
void bench_compare(bench *b, const bench_pair *p, const bench_row *row);

/* ---- the groups ---- */

void bench_group_peak(bench *b);
void bench_group_overhead(bench *b);
void bench_group_memory(bench *b);
void bench_group_model(bench *b);
void bench_group_envelope(bench *b);
void bench_group_files(bench *b);
void bench_group_fraud(bench *b); /* where EMK_BENCH_FRAUD */
void bench_group_store(bench *b);
void bench_group_gate(bench *b);
void bench_group_attest(bench *b);
void bench_group_guard(bench *b);
void bench_group_device(bench *b);
void bench_group_server(bench *b); /* where EMK_BENCH_SERVER */

#endif
