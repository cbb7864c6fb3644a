/* What must hold for every reader of core/model, whatever the file says. */
#ifndef EMK_FUZZ_MODEL_COMMON_H
#define EMK_FUZZ_MODEL_COMMON_H

#include "core/model/extents.h"

/* Scans, settles, checks; then changes every byte of the ranges and expects the same list.
 * Files of other parts are taken to be 1 MiB long. */
void model_fuzz(emk_model_format f, const uint8_t *data, size_t size, uint32_t flags);

#endif
