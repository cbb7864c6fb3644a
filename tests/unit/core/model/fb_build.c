#include "tests/unit/core/model/fb_build.h"

#include <stdlib.h>
#include <string.h>

static uint32_t grow(fb_build *b, size_t extra)
{
    size_t at = (b->len + 7) & ~(size_t)7;

    while (at + extra > b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 4096;
        uint8_t *p = realloc(b->p, cap);

        if (!p)
            abort();
        memset(p + b->cap, 0, cap - b->cap);
        b->p = p;
        b->cap = cap;
    }
    b->len = at + extra;
    return (uint32_t)at;
}

void fb_build_put(fb_build *b, uint32_t at, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        b->p[at + i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const fb_build *b, uint32_t at, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)b->p[at + i] << 8 * i;
    return value;
}

void fb_build_init(fb_build *b, const char *identifier)
{
    memset(b, 0, sizeof *b);
    grow(b, 8);
    memcpy(b->p + 4, identifier, 4);
}

void fb_build_done(fb_build *b)
{
    free(b->p);
    memset(b, 0, sizeof *b);
}

uint32_t fb_build_table(fb_build *b, const uint8_t *widths, uint32_t n_slots)
{
    uint32_t vtable = grow(b, 4 + 2 * n_slots);
    uint32_t table = grow(b, 8 + 8 * n_slots);
    uint32_t next = 8;

    fb_build_put(b, vtable, 4 + 2 * n_slots, 2);
    fb_build_put(b, vtable + 2, 8 + 8 * n_slots, 2);
    fb_build_put(b, table, table - vtable, 4);
    for (uint32_t i = 0; i < n_slots; i++) {
        if (widths[i] == 0)
            continue;
        fb_build_put(b, vtable + 4 + 2 * i, next, 2);
        next += 8;
    }
    return table;
}

uint32_t fb_build_slot(const fb_build *b, uint32_t table, uint32_t slot)
{
    uint32_t vtable = table - (uint32_t)get(b, table, 4);

    return table + (uint32_t)get(b, vtable + 4 + 2 * slot, 2);
}

uint32_t fb_build_vector(fb_build *b, uint32_t n, uint32_t item_len)
{
    uint32_t at = grow(b, 4 + (size_t)n * item_len);

    fb_build_put(b, at, n, 4);
    return at;
}

uint32_t fb_build_text(fb_build *b, const char *text)
{
    size_t len = strlen(text);
    uint32_t at = fb_build_vector(b, (uint32_t)len, 1);

    grow(b, 1);
    memcpy(b->p + at + 4, text, len);
    return at;
}

void fb_build_ref(fb_build *b, uint32_t at, uint32_t target)
{
    fb_build_put(b, at, target - at, 4);
}

void fb_build_ref_slot(fb_build *b, uint32_t table, uint32_t slot, uint32_t target)
{
    fb_build_ref(b, fb_build_slot(b, table, slot), target);
}

void fb_build_put_slot(fb_build *b, uint32_t table, uint32_t slot, uint64_t value, unsigned width)
{
    fb_build_put(b, fb_build_slot(b, table, slot), value, width);
}
