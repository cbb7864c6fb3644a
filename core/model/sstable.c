#include "core/model/sstable.h"

#include "core/base/bytes.h"
#include "core/model/crc32c.h"

#define FOOTER_LEN   48u
#define HANDLES_LEN  40u /* of the footer: two handles and zeros */
#define MAGIC        0xdb4775248b80fb57u
#define TRAILER_LEN  5u /* behind a block: how it is compressed, checksum */
#define TYPE_PLAIN   0u
#define TYPE_SNAPPY  1u
#define RESTART_LEN  4u
#define VARINT_MAX   10u
#define GROWTH_MAX   32u /* a byte of Snappy gives at most 22 */
#define PIECE        512u
#define BYTES_A_STEP 32u /* decoding costs, too: but less than the file pays for */

static void fail(emk_sstable *t, emk_status st, const char *what, uint64_t where)
{
    if (t->st == EMK_OK)
        t->st = emk_fail(t->e, st, what, where);
}

static bool ok(const emk_sstable *t)
{
    return t->st == EMK_OK && !t->s->im->cut;
}

/* ---- the bytes of a block ---- */

static void read_bytes(emk_sstable *t, uint8_t *out, uint32_t n)
{
    if (n > t->len - t->pos) {
        fail(t, EMK_E_FORMAT, "sstable: block cut short", t->at);
        n = 0;
    }
    t->pos += n;
    if (!t->packed) {
        emk_image_copy(t->s->im, t->raw_pos, out, n);
        t->raw_pos += n;
    } else if (!emk_snappy_read(&t->snappy, out, n)) {
        fail(t, t->snappy.status, t->snappy.what, t->snappy.where);
    }
}

static void pass_over(emk_sstable *t, uint32_t n)
{
    t->raw_pos += n;
    t->pos += n;
}

/* Begins to read the block at t->at, whose bytes in the file are len, without trailer. */
static void begin_block(emk_sstable *t, uint64_t len)
{
    t->pos = 0;
    t->raw_pos = t->at;
    if (t->packed) {
        emk_snappy_begin(&t->snappy, t->s->im, t->at, t->at + len);
        if (t->snappy.status != EMK_OK)
            fail(t, t->snappy.status, t->snappy.what, t->snappy.where);
        if (t->snappy.len > len * GROWTH_MAX)
            fail(t, EMK_E_FORMAT, "sstable: block says it grows too much", t->at);
        len = t->snappy.len;
    }
    if (len > EMK_SSTABLE_BLOCK_MAX)
        fail(t, EMK_E_LIMIT, "sstable: block", len);
    t->len = ok(t) ? (uint32_t)len : 0;
}

static void check_crc(emk_sstable *t, uint64_t len)
{
    uint32_t crc = EMK_CRC32C_INIT, stored = emk_image_u32le(t->s->im, t->at + len + 1);
    uint64_t done = 0;

    while (done < len + 1 && ok(t)) {
        size_t n;
        const uint8_t *p = emk_image_window(t->s->im, t->at + done, &n);

        if (!p)
            return;
        if (n > len + 1 - done)
            n = (size_t)(len + 1 - done);
        crc = emk_crc32c(crc, emk_span_of(p, n));
        done += n;
    }
    crc = (crc >> 15 | crc << 17) + 0xa282ead8u; /* masked: files hold checksums of checksums */
    if (ok(t) && crc != stored)
        fail(t, EMK_E_FORMAT, "sstable: checksum of a block", t->at);
}

/* Where the entries end: the list of restarts and its length follow.  Decodes the block. */
static uint32_t find_entries_end(emk_sstable *t, uint64_t len)
{
    uint8_t piece[PIECE], last[RESTART_LEN] = {0};
    uint32_t n, restarts;

    begin_block(t, len);
    if (t->len < 2 * RESTART_LEN)
        fail(t, EMK_E_FORMAT, "sstable: block cut short", t->at);
    while (ok(t) && t->pos < t->len - RESTART_LEN) {
        n = t->len - RESTART_LEN - t->pos;
        if (!t->packed)
            pass_over(t, n);
        else
            read_bytes(t, piece, n < PIECE ? n : PIECE);
    }
    if (ok(t))
        read_bytes(t, last, RESTART_LEN);
    if (ok(t) && t->packed && !emk_snappy_at_end(&t->snappy))
        fail(t, EMK_E_FORMAT, "sstable: block longer than its contents", t->at);
    restarts = emk_load_u32le(last);
    if (ok(t) && (restarts == 0 || restarts > t->len / RESTART_LEN - 1))
        fail(t, EMK_E_FORMAT, "sstable: restarts of a block", t->at);
    return ok(t) ? t->len - RESTART_LEN * (restarts + 1) : 0;
}

/* ---- entries ---- */

static uint32_t read_varint(emk_sstable *t)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 35 && ok(t); shift += 7) {
        uint8_t byte = 0;

        read_bytes(t, &byte, 1);
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80 && v <= UINT32_MAX)
            return (uint32_t)v;
    }
    fail(t, EMK_E_FORMAT, "sstable: length in an entry", t->at);
    return 0;
}

/* Makes the key at hand from what it shares with the last one and n new bytes. */
static void take_key(emk_sstable *t, uint32_t shared, uint32_t n)
{
    uint32_t old = t->key_len - shared;
    int order;

    read_bytes(t, t->fresh, n);
    order = memcmp(t->fresh, t->key + shared, n < old ? n : old);
    if (t->has_key && (order < 0 || (order == 0 && n <= old)))
        fail(t, EMK_E_FORMAT, "sstable: keys do not go up", t->at);
    memcpy(t->key + shared, t->fresh, n);
    t->key_len = shared + n;
    t->key[t->key_len] = 0;
    t->has_key = true;
}

static void read_entry(emk_sstable *t, bool first)
{
    uint32_t shared, n, value_len;

    shared = read_varint(t);
    n = read_varint(t);
    value_len = read_varint(t);
    if (shared > t->key_len || (first && shared != 0))
        fail(t, EMK_E_FORMAT, "sstable: shares more than there is", t->at);
    else if (n > EMK_SSTABLE_KEY_MAX - shared)
        fail(t, EMK_E_LIMIT, "sstable: key", n);
    if (value_len > EMK_SSTABLE_VALUE_MAX)
        fail(t, EMK_E_LIMIT, "sstable: value", value_len);
    if (!ok(t))
        return;
    take_key(t, shared, n);
    read_bytes(t, t->value, value_len);
    t->value_len = value_len;
}

static void check_restarts(emk_sstable *t, uint32_t entries_end)
{
    uint32_t last = 0;

    for (uint32_t i = 0; ok(t) && t->pos < t->len - RESTART_LEN; i++) {
        uint8_t raw[RESTART_LEN];
        uint32_t at;

        read_bytes(t, raw, sizeof raw);
        at = emk_load_u32le(raw);
        if (ok(t) && (i == 0 ? at != 0 : at <= last || at >= entries_end))
            fail(t, EMK_E_FORMAT, "sstable: restarts of a block", t->at);
        last = at;
    }
}

typedef void (*entry_fn)(emk_sstable *t, emk_span key, emk_span value, uint64_t block);

static void walk_block(emk_sstable *t, const emk_sstable_handle *h, entry_fn fn)
{
    uint64_t size = t->s->len - FOOTER_LEN;
    uint32_t entries_end;
    uint8_t type;

    if (h->offset > size || h->len > size - h->offset || size - h->offset - h->len < TRAILER_LEN) {
        fail(t, EMK_E_FORMAT, "sstable: block outside the file", h->offset);
        return;
    }
    t->at = t->s->base + h->offset;
    type = emk_image_u8(t->s->im, t->at + h->len);
    t->packed = type == TYPE_SNAPPY;
    if (type != TYPE_PLAIN && type != TYPE_SNAPPY)
        fail(t, EMK_E_UNSUPPORTED, "sstable: compression of a block", type);
    check_crc(t, h->len);
    entries_end = find_entries_end(t, h->len);
    if (ok(t))
        t->st = emk_scan_step(t->s, 1 + t->len / BYTES_A_STEP, t->e);
    if (ok(t))
        begin_block(t, h->len);
    while (ok(t) && t->pos < entries_end) {
        t->st = emk_scan_step(t->s, 1, t->e);
        read_entry(t, t->pos == 0);
        if (ok(t) && t->pos > entries_end)
            fail(t, EMK_E_FORMAT, "sstable: entry runs into the restarts", t->at);
        if (ok(t))
            fn(t, emk_span_of(t->key, t->key_len), emk_span_of(t->value, t->value_len), t->at);
    }
    check_restarts(t, entries_end);
}

/* ---- index and footer ---- */

/* A number of a handle; false when it is cut short. */
static bool handle_number(emk_span in, size_t *pos, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < VARINT_MAX && *pos < in.len; i++) {
        uint8_t byte = in.p[(*pos)++];

        if (i == VARINT_MAX - 1 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool read_handle(emk_span in, size_t *pos, emk_sstable_handle *h)
{
    return handle_number(in, pos, &h->offset) && handle_number(in, pos, &h->len);
}

static void keep_handle(emk_sstable *t, emk_span key, emk_span value, uint64_t block)
{
    emk_sstable_handle h;
    size_t pos = 0;

    (void)key;
    if (!read_handle(value, &pos, &h) || pos != value.len) {
        fail(t, EMK_E_FORMAT, "sstable: entry of the index", block);
        return;
    }
    if (h.offset < t->blocks_end || h.len > t->s->len - TRAILER_LEN ||
        h.offset > t->s->len - TRAILER_LEN - h.len) {
        fail(t, EMK_E_FORMAT, "sstable: blocks not one behind the other", h.offset);
        return;
    }
    if (t->n_blocks == EMK_SSTABLE_BLOCKS_MAX) {
        fail(t, EMK_E_LIMIT, "sstable: blocks", t->n_blocks);
        return;
    }
    t->blocks_end = h.offset + h.len + TRAILER_LEN;
    t->blocks[t->n_blocks++] = h;
}

static void forget_key(emk_sstable *t)
{
    t->has_key = false;
    t->key_len = 0;
}

static void read_footer(emk_sstable *t, emk_sstable_handle *index)
{
    uint8_t r[FOOTER_LEN];
    emk_sstable_handle meta = {0, 0};
    uint64_t at;
    size_t pos = 0;

    if (t->s->len < FOOTER_LEN + TRAILER_LEN) {
        fail(t, EMK_E_FORMAT, "sstable: cut short", t->s->len);
        return;
    }
    at = t->s->base + t->s->len - FOOTER_LEN;
    emk_image_copy(t->s->im, at, r, sizeof r);
    if (!ok(t))
        return;
    if (emk_load_u64le(r + HANDLES_LEN) != MAGIC) {
        fail(t, EMK_E_FORMAT, "sstable: magic", at + HANDLES_LEN);
        return;
    }
    if (!read_handle(emk_span_of(r, HANDLES_LEN), &pos, &meta) ||
        !read_handle(emk_span_of(r, HANDLES_LEN), &pos, index))
        fail(t, EMK_E_FORMAT, "sstable: footer", at);
    for (; pos < HANDLES_LEN; pos++) {
        if (r[pos] != 0)
            fail(t, EMK_E_FORMAT, "sstable: footer", at);
    }
}

bool emk_sstable_detect(emk_image *im)
{
    return im->len >= FOOTER_LEN && emk_image_u64le(im, im->len - 8) == MAGIC;
}

emk_status emk_sstable_walk(emk_sstable *t)
{
    emk_sstable_handle index = {0, 0};

    read_footer(t, &index);
    if (ok(t))
        walk_block(t, &index, keep_handle);
    if (ok(t) && t->blocks_end > index.offset)
        fail(t, EMK_E_FORMAT, "sstable: blocks behind the index", t->blocks_end);
    forget_key(t);
    for (uint32_t i = 0; i < t->n_blocks && ok(t); i++)
        walk_block(t, &t->blocks[i], t->visit);
    if (t->st == EMK_OK)
        t->st = emk_image_check(t->s->im, "sstable: file cannot be read", t->e);
    return t->st;
}
