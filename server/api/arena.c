#include "server/api/arena.h"

#include "core/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ALIGN      16u
#define FORMAT_MAX 4096u

struct emk_arena_block {
    emk_arena_block *next;
    size_t used, cap;
    _Alignas(ALIGN) uint8_t bytes[];
};

void emk_arena_init(emk_arena *a, size_t max)
{
    *a = (emk_arena){.max = max};
}

static emk_arena_block *add_block(emk_arena *a, size_t len)
{
    size_t cap = len > EMK_ARENA_BLOCK ? len : EMK_ARENA_BLOCK;
    emk_arena_block *b;

    if (cap > a->max - a->taken)
        cap = a->max - a->taken;
    if (cap < len)
        return NULL;
    b = emk_alloc(1, sizeof *b + cap);
    if (!b)
        return NULL;
    b->cap = cap;
    b->next = a->blocks;
    a->blocks = b;
    a->taken += cap;
    return b;
}

void *emk_arena_take(emk_arena *a, size_t len)
{
    emk_arena_block *b = a->blocks;
    void *p;

    if (len == 0 || len > a->max)
        return NULL;
    len = (len + ALIGN - 1) / ALIGN * ALIGN;
    if (!b || b->cap - b->used < len)
        b = add_block(a, len);
    if (!b)
        return NULL;
    p = b->bytes + b->used;
    b->used += len;
    return p;
}

emk_status emk_arena_copy(emk_arena *a, emk_span s, emk_span *out, emk_error *e)
{
    uint8_t *p;

    if (s.len >= a->max)
        return emk_fail(e, EMK_E_LIMIT, "arena: full", s.len);
    p = emk_arena_take(a, s.len + 1);
    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "arena: full", s.len);
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    *out = emk_span_of(p, s.len);
    return EMK_OK;
}

const char *emk_arena_format(emk_arena *a, const char *format, ...)
{
    char text[FORMAT_MAX];
    emk_span copy;
    emk_error ignored;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text ||
        emk_arena_copy(a, emk_span_of(text, (size_t)n), &copy, &ignored) != EMK_OK)
        return NULL;
    return (const char *)copy.p;
}

void emk_arena_done(emk_arena *a)
{
    while (a->blocks) {
        emk_arena_block *next = a->blocks->next;

        emk_free(a->blocks);
        a->blocks = next;
    }
    a->taken = 0;
}
