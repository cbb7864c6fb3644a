#include "tests/unit/core/model/pb_build.h"

#include <stdlib.h>

static void put(pb_build *b, const void *p, size_t len)
{
    if (len > PB_BUILD_MAX - b->len)
        abort();
    if (len)
        memcpy(b->p + b->len, p, len);
    b->len += len;
}

static void raw_varint(pb_build *b, uint64_t v)
{
    uint8_t byte;

    for (; v >= 0x80; v >>= 7) {
        byte = (uint8_t)(v | 0x80);
        put(b, &byte, 1);
    }
    byte = (uint8_t)v;
    put(b, &byte, 1);
}

void pb_varint(pb_build *b, uint32_t field, uint64_t v)
{
    raw_varint(b, (uint64_t)field << 3);
    raw_varint(b, v);
}

void pb_fixed32(pb_build *b, uint32_t field, uint32_t v)
{
    raw_varint(b, (uint64_t)field << 3 | 5);
    for (int i = 0; i < 4; i++, v >>= 8) {
        uint8_t byte = (uint8_t)v;

        put(b, &byte, 1);
    }
}

void pb_bytes(pb_build *b, uint32_t field, emk_span s)
{
    raw_varint(b, (uint64_t)field << 3 | 2);
    raw_varint(b, s.len);
    put(b, s.p, s.len);
}

void pb_text(pb_build *b, uint32_t field, const char *text)
{
    pb_bytes(b, field, emk_span_str(text));
}

void pb_fill(pb_build *b, uint32_t field, size_t len, uint8_t value)
{
    static uint8_t bytes[PB_BUILD_MAX];

    memset(bytes, value, len);
    pb_bytes(b, field, emk_span_of(bytes, len));
}

void pb_message(pb_build *b, uint32_t field, const pb_build *m)
{
    pb_bytes(b, field, pb_span(m));
}

emk_span pb_span(const pb_build *b)
{
    return emk_span_of(b->p, b->len);
}
