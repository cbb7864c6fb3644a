/* Model files made in memory: as many tensors of one length as are asked for.  Well-formed as
 * far as the readers look; checksums in them are zero. */
#ifndef EMK_BENCH_MODEL_BUILD_H
#define EMK_BENCH_MODEL_BUILD_H

#include "bench/bench.h"

#include "core/base/span.h"

typedef struct model_build {
    uint8_t *p; /* free() */
    size_t len, cap;
    uint32_t n;      /* tensors */
    uint32_t length; /* bytes of each, a multiple of 32 */
} model_build;

typedef void (*model_build_fn)(model_build *m);

void model_build_safetensors(model_build *m);
void model_build_gguf(model_build *m);
/* As PyTorch has it: one stored member for each tensor. */
void model_build_zip(model_build *m);

/* Makes one with `fn`.  Ends the program when there is no memory. */
model_build model_build_new(model_build_fn fn, uint32_t n, uint32_t length);

#endif
