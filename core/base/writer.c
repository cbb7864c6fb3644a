#include "core/base/writer.h"

#include "core/base/bytes.h"

void emk_writer_init(emk_writer *w, uint8_t *p, size_t cap)
{
    w->p = p;
    w->cap = p ? cap : 0;
    w->pos = 0;
    w->full = false;
}

void emk_write_bytes(emk_writer *w, emk_span s)
{
    if (w->full || w->pos > w->cap || s.len > w->cap - w->pos)
        w->full = true;
    else if (s.len)
        memcpy(w->p + w->pos, s.p, s.len);
    w->pos += s.len;
}

void emk_write_u8(emk_writer *w, uint8_t v)
{
    emk_write_bytes(w, emk_span_of(&v, 1));
}

void emk_write_u16be(emk_writer *w, uint16_t v)
{
    uint8_t b[2];

    emk_store_u16be(b, v);
    emk_write_bytes(w, emk_span_of(b, sizeof b));
}

void emk_write_u32be(emk_writer *w, uint32_t v)
{
    uint8_t b[4];

    emk_store_u32be(b, v);
    emk_write_bytes(w, emk_span_of(b, sizeof b));
}

void emk_write_u64be(emk_writer *w, uint64_t v)
{
    uint8_t b[8];

    emk_store_u64be(b, v);
    emk_write_bytes(w, emk_span_of(b, sizeof b));
}

emk_span emk_writer_span(const emk_writer *w)
{
    return emk_span_of(w->p, w->full ? 0 : w->pos);
}
