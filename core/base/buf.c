#include "core/base/buf.h"

#include "core/base/alloc.h"

void emk_buf_init(emk_buf *b, size_t max)
{
    b->p = NULL;
    b->len = 0;
    b->cap = 0;
    b->max = max;
}

static emk_status reserve(emk_buf *b, size_t want, emk_error *e)
{
    size_t cap = b->cap ? b->cap : 256;
    uint8_t *p;

    while (cap < want)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    p = emk_realloc(b->p, cap, 1);
    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "buffer: no memory", cap);
    b->p = p;
    b->cap = cap;
    return EMK_OK;
}

emk_status emk_buf_grow(emk_buf *b, size_t extra, uint8_t **out, emk_error *e)
{
    if (extra > b->max - b->len)
        return emk_fail(e, EMK_E_LIMIT, "buffer: over its limit", extra);
    if (!b->p || b->len + extra > b->cap) {
        emk_status st = reserve(b, b->len + extra, e);
        if (st != EMK_OK)
            return st;
    }
    memset(b->p + b->len, 0, extra);
    *out = b->p + b->len;
    b->len += extra;
    return EMK_OK;
}

emk_status emk_buf_append(emk_buf *b, emk_span s, emk_error *e)
{
    uint8_t *room;
    emk_status st = emk_buf_grow(b, s.len, &room, e);

    if (st == EMK_OK && s.len)
        memcpy(room, s.p, s.len);
    return st;
}

emk_span emk_buf_span(const emk_buf *b)
{
    return emk_span_of(b->p, b->len);
}

void emk_buf_done(emk_buf *b)
{
    emk_free(b->p);
    emk_buf_init(b, b->max);
}
