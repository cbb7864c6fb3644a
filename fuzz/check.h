/* For fuzzers: the entry point, and what must hold whatever the input and the build's flags
 * are (NDEBUG would take assert() away). */
#ifndef EMK_FUZZ_CHECK_H
#define EMK_FUZZ_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

#endif
