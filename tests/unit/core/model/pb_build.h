/* Writes Protocol Buffers for tests, inside out: a message is made, then put into another. */
#ifndef EMK_TESTS_UNIT_CORE_MODEL_PB_BUILD_H
#define EMK_TESTS_UNIT_CORE_MODEL_PB_BUILD_H

#include "core/base/span.h"

#define PB_BUILD_MAX 32768u

typedef struct pb_build {
    uint8_t p[PB_BUILD_MAX];
    size_t len;
} pb_build;

void pb_varint(pb_build *b, uint32_t field, uint64_t v);
void pb_fixed32(pb_build *b, uint32_t field, uint32_t v);
void pb_bytes(pb_build *b, uint32_t field, emk_span s);
void pb_text(pb_build *b, uint32_t field, const char *text);
/* Bytes of that value, so many. */
void pb_fill(pb_build *b, uint32_t field, size_t len, uint8_t value);
void pb_message(pb_build *b, uint32_t field, const pb_build *m);
emk_span pb_span(const pb_build *b);

#endif
