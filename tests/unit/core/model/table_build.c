#include "tests/unit/core/model/table_build.h"

#include "core/model/crc32c.h"

#include <stdlib.h>

static void put_to(uint8_t *p, size_t cap, size_t *len, emk_span s)
{
    if (s.len > cap - *len)
        abort();
    if (s.len)
        memcpy(p + *len, s.p, s.len);
    *len += s.len;
}

static void put(uint8_t *p, size_t *len, const void *bytes, size_t n)
{
    put_to(p, TABLE_MAX, len, emk_span_of(bytes, n));
}

static void put_file(table_build *t, emk_span s)
{
    put_to(t->p, sizeof t->p, &t->len, s);
}

static void put_u32(uint8_t *p, size_t *len, uint32_t v)
{
    uint8_t raw[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};

    put(p, len, raw, 4);
}

size_t table_varint(uint8_t *p, size_t len, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        p[len++] = (uint8_t)(v | 0x80);
    p[len++] = (uint8_t)v;
    return len;
}

static void clear(table_block *b)
{
    b->len = b->last_len = 0;
    b->n_restarts = b->n_entries = 0;
}

void table_begin(table_build *t)
{
    t->len = 0;
    t->pack = false;
    clear(&t->block);
    clear(&t->index);
}

void table_raw_entry(table_block *b, uint32_t shared, emk_span rest, emk_span value)
{
    b->len = table_varint(b->p, b->len, shared);
    b->len = table_varint(b->p, b->len, rest.len);
    b->len = table_varint(b->p, b->len, value.len);
    put(b->p, &b->len, rest.p, rest.len);
    put(b->p, &b->len, value.p, value.len);
}

static void add(table_block *b, emk_span key, emk_span value)
{
    uint32_t shared = 0;

    if (b->n_entries++ % TABLE_INTERVAL == 0)
        b->restarts[b->n_restarts++] = (uint32_t)b->len;
    else
        while (shared < key.len && shared < b->last_len && key.p[shared] == b->last[shared])
            shared++;
    table_raw_entry(b, shared, emk_span_of(key.p + shared, key.len - shared), value);
    memcpy(b->last, key.p, key.len);
    b->last_len = key.len;
}

static void end_block(table_block *b)
{
    if (b->n_restarts == 0)
        b->restarts[b->n_restarts++] = 0;
    for (uint32_t i = 0; i < b->n_restarts; i++)
        put_u32(b->p, &b->len, b->restarts[i]);
    put_u32(b->p, &b->len, b->n_restarts);
}

void table_add(table_build *t, emk_span key, emk_span value)
{
    add(&t->block, key, value);
}

void table_resum(table_build *t, size_t at, size_t len)
{
    uint32_t crc = emk_crc32c(EMK_CRC32C_INIT, emk_span_of(t->p + at, len + 1));
    uint8_t *out = t->p + at + len + 1;

    crc = (crc >> 15 | crc << 17) + 0xa282ead8u;
    for (int i = 0; i < 4; i++, crc >>= 8)
        out[i] = (uint8_t)crc;
}

void table_write(table_build *t, emk_span content, uint8_t type, uint64_t at_len[2])
{
    at_len[0] = t->len;
    at_len[1] = content.len;
    put_file(t, content);
    put_file(t, emk_span_of(&type, 1));
    put_file(t, emk_span_of("\0\0\0", 4));
    table_resum(t, (size_t)at_len[0], content.len);
}

static void write_block(table_build *t, table_block *b, uint64_t at_len[2])
{
    static uint8_t packed[2 * TABLE_MAX + 16];

    end_block(b);
    if (t->pack)
        table_write(t, emk_span_of(packed, snappy_pack(emk_span_of(b->p, b->len), packed)), 1,
                    at_len);
    else
        table_write(t, emk_span_of(b->p, b->len), 0, at_len);
}

size_t table_cut(table_build *t)
{
    uint8_t handle[20];
    uint64_t at_len[2];
    size_t len = 0;

    write_block(t, &t->block, at_len);
    len = table_varint(handle, len, at_len[0]);
    len = table_varint(handle, len, at_len[1]);
    add(&t->index, emk_span_of(t->block.last, t->block.last_len), emk_span_of(handle, len));
    clear(&t->block);
    return (size_t)at_len[0];
}

void table_footer(table_build *t, uint64_t index_at, uint64_t index_len)
{
    static const uint8_t magic[] = {0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb};
    uint8_t handles[40] = {0};
    size_t len = 2;

    len = table_varint(handles, len, index_at);
    (void)table_varint(handles, len, index_len);
    put_file(t, emk_span_of(handles, sizeof handles));
    put_file(t, emk_span_of(magic, sizeof magic));
}

void table_end(table_build *t)
{
    uint64_t at_len[2];

    if (t->block.n_entries)
        (void)table_cut(t);
    write_block(t, &t->index, at_len);
    t->index_at = at_len[0];
    t->index_len = at_len[1];
    table_footer(t, at_len[0], at_len[1]);
}

static size_t put_literal(uint8_t *out, size_t n, const uint8_t *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        size_t piece = len - done < 60 ? len - done : 60;

        out[n++] = (uint8_t)((piece - 1) << 2);
        memcpy(out + n, p + done, piece);
        n += piece;
        done += piece;
    }
    return n;
}

/* How long the bytes at i are the same as those `back` before. */
static size_t match(emk_span s, size_t i, size_t back)
{
    size_t len = 0;

    while (len < 64 && i + len < s.len && s.p[i + len] == s.p[i + len - back])
        len++;
    return len;
}

/* Looks back over 256 bytes only: it need not be good. */
size_t snappy_pack(emk_span s, uint8_t *out)
{
    size_t n = table_varint(out, 0, s.len), literal = 0, i = 0;

    while (i < s.len) {
        size_t best = 0, back = 0;

        for (size_t k = 1; k <= 256 && k <= i && best < 64; k++) {
            size_t len = match(s, i, k);

            if (len > best) {
                best = len;
                back = k;
            }
        }
        if (best < 4) {
            i++;
            continue;
        }
        n = put_literal(out, n, s.p + literal, i - literal);
        out[n++] = (uint8_t)((best - 1) << 2 | 2);
        out[n++] = (uint8_t)back;
        out[n++] = (uint8_t)(back >> 8);
        i += best;
        literal = i;
    }
    return put_literal(out, n, s.p + literal, s.len - literal);
}
