/* The baselines without cryptography. */
#ifndef EMK_BENCH_RAW_READ_H
#define EMK_BENCH_RAW_READ_H

#include "bench/bench.h"

/* Maps fresh memory for the file, in huge or in 4 KiB pages, and reads all of it there with
 * read(), one thread.  Returns the seconds; giving the memory back is not counted. */
double raw_read_file(const char *path, bool huge);

/* The same file in pieces of `piece` bytes into memory that is there, and a file of its length
 * written in such pieces, synced: what handling a file costs without looking into it. */
void raw_copy_file(const char *from, const char *to, uint8_t *memory, size_t piece);

#endif
