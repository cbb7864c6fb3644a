/* The baselines without cryptography. */
#ifndef EMK_BENCH_RAW_READ_H
#define EMK_BENCH_RAW_READ_H

#include "bench/bench.h"

/* Maps fresh memory for the file, in huge or in 4 KiB pages, and reads all of it there with
 * read(), one thread.  Returns the seconds; giving the memory back is not counted. */
double raw_read_file(const char *path, bool huge);

#endif
