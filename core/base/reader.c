#include "core/base/reader.h"

#include "core/base/bytes.h"

void emk_reader_init(emk_reader *r, emk_span in)
{
    r->in = in;
    r->pos = 0;
    r->cut = false;
}

emk_span emk_read_bytes(emk_reader *r, size_t len)
{
    emk_span s = {NULL, 0};

    if (r->cut || len > r->in.len - r->pos) {
        r->cut = true;
        return s;
    }
    s = emk_span_of(r->in.p ? r->in.p + r->pos : NULL, len);
    r->pos += len;
    return s;
}

void emk_read_copy(emk_reader *r, uint8_t *out, size_t len)
{
    emk_span s = emk_read_bytes(r, len);

    if (s.p)
        memcpy(out, s.p, len);
    else
        memset(out, 0, len);
}

uint8_t emk_read_u8(emk_reader *r)
{
    uint8_t b;

    emk_read_copy(r, &b, 1);
    return b;
}

uint16_t emk_read_u16be(emk_reader *r)
{
    uint8_t b[2];

    emk_read_copy(r, b, sizeof b);
    return emk_load_u16be(b);
}

uint32_t emk_read_u32be(emk_reader *r)
{
    uint8_t b[4];

    emk_read_copy(r, b, sizeof b);
    return emk_load_u32be(b);
}

uint64_t emk_read_u64be(emk_reader *r)
{
    uint8_t b[8];

    emk_read_copy(r, b, sizeof b);
    return emk_load_u64be(b);
}

size_t emk_reader_left(const emk_reader *r)
{
    return r->cut ? 0 : r->in.len - r->pos;
}

bool emk_reader_at_end(const emk_reader *r)
{
    return !r->cut && r->pos == r->in.len;
}
