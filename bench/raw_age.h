/* The program age beside us, where it is installed. */
#ifndef EMK_BENCH_RAW_AGE_H
#define EMK_BENCH_RAW_AGE_H

#include "bench/bench.h"

/* Makes a key in the work directory; false when age or age-keygen is not installed. */
bool raw_age_prepare(void);
/* model -> age-sealed -> age-opened; seconds. */
double raw_age_encrypt(void);
double raw_age_decrypt(void);

#endif
