/* The directory of a run: made once, emptied and removed however the program ends. */
#ifndef EMK_BENCH_WORKDIR_H
#define EMK_BENCH_WORKDIR_H

#include "bench/bench.h"

typedef enum bench_file {
    BENCH_MODEL,
    BENCH_SEALED,
    BENCH_VAULT,
    BENCH_AGE_KEY,
    BENCH_AGE_SEALED,
    BENCH_AGE_OPENED,
    BENCH_FILES
} bench_file;

/* Makes it below b->dir, or where there is room: /dev/shm, else $TMPDIR, else /tmp. */
void bench_workdir_open(const bench *b);
/* The path of a file in it; lent. */
const char *bench_path(bench_file which);
void bench_remove(bench_file which);
/* Whether it is a tmpfs. */
bool bench_workdir_in_memory(void);

/* Writes len bytes that do not repeat.  Returns nothing; ends the program on failure. */
void bench_write_model(uint64_t len);
/* Fills memory with the same. */
void bench_fill(uint8_t *p, size_t len, uint64_t seed);

#endif
