#include "core/model/snappy.h"

#define LEN_BYTES_MAX  5u  /* of the head: a varint of 32 bits */
#define LITERAL_INLINE 60u /* longer literals have their length in 1 to 4 bytes of their own */

static void fail(emk_snappy *d, emk_status st, const char *what)
{
    if (d->status != EMK_OK)
        return;
    d->status = st;
    d->what = what;
    d->where = d->pos;
}

/* The next n (at most 4) bytes of the input as a number. */
static uint32_t take(emk_snappy *d, uint32_t n)
{
    uint32_t v = 0;

    if (n > d->end - d->pos) {
        fail(d, EMK_E_FORMAT, "snappy: cut short");
        return 0;
    }
    for (uint32_t i = 0; i < n; i++)
        v |= (uint32_t)emk_image_u8(d->im, d->pos + i) << (8 * i);
    d->pos += n;
    if (d->im->cut)
        fail(d, d->im->status, "snappy: file cannot be read");
    return d->status == EMK_OK ? v : 0;
}

static void read_len(emk_snappy *d)
{
    for (uint32_t i = 0; i < LEN_BYTES_MAX; i++) {
        uint32_t byte = take(d, 1);

        if (i == LEN_BYTES_MAX - 1 && byte > 0x0f)
            break; /* more than 32 bits */
        d->len |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80)
            return;
    }
    fail(d, EMK_E_FORMAT, "snappy: length");
}

void emk_snappy_begin(emk_snappy *d, emk_image *im, uint64_t begin, uint64_t end)
{
    d->im = im;
    d->pos = begin;
    d->end = end;
    d->len = d->produced = d->literal = d->copy = d->back = 0;
    d->status = EMK_OK;
    d->what = "";
    d->where = 0;
    read_len(d);
}

static void begin_literal(emk_snappy *d, uint32_t tag)
{
    uint32_t len = tag >> 2;

    if (len >= LITERAL_INLINE)
        len = take(d, len - LITERAL_INLINE + 1);
    if (len == UINT32_MAX)
        fail(d, EMK_E_FORMAT, "snappy: length of a literal");
    else
        d->literal = len + 1;
}

static void begin_copy(emk_snappy *d, uint32_t tag)
{
    if ((tag & 3) == 1) {
        d->copy = (tag >> 2 & 7) + 4;
        d->back = (tag >> 5) << 8 | take(d, 1);
    } else {
        d->copy = (tag >> 2) + 1;
        d->back = take(d, (tag & 3) == 2 ? 2 : 4);
    }
    if (d->back == 0 || d->back > d->produced)
        fail(d, EMK_E_FORMAT, "snappy: copies what was not there yet");
    else if (d->back > EMK_SNAPPY_WINDOW)
        fail(d, EMK_E_UNSUPPORTED, "snappy: refers far back");
}

static void begin_element(emk_snappy *d)
{
    uint32_t tag = take(d, 1);

    if (d->status != EMK_OK)
        return;
    if ((tag & 3) == 0)
        begin_literal(d, tag);
    else
        begin_copy(d, tag);
    if (d->literal > d->len - d->produced || d->copy > d->len - d->produced)
        fail(d, EMK_E_FORMAT, "snappy: more than its head says");
}

/* n bytes of the literal at hand. */
static void read_literal(emk_snappy *d, uint8_t *out, uint32_t n)
{
    if (n > d->end - d->pos) {
        fail(d, EMK_E_FORMAT, "snappy: cut short");
        return;
    }
    emk_image_copy(d->im, d->pos, out, n);
    if (d->im->cut)
        fail(d, d->im->status, "snappy: file cannot be read");
    for (uint32_t i = 0; i < n; i++)
        d->window[(d->produced + i) % EMK_SNAPPY_WINDOW] = out[i];
    d->pos += n;
    d->literal -= n;
}

/* n bytes of the copy at hand, which may read what it wrote. */
static void read_copy(emk_snappy *d, uint8_t *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        out[i] = d->window[(d->produced + i - d->back) % EMK_SNAPPY_WINDOW];
        d->window[(d->produced + i) % EMK_SNAPPY_WINDOW] = out[i];
    }
    d->copy -= n;
}

bool emk_snappy_read(emk_snappy *d, uint8_t *out, size_t n)
{
    size_t done = 0;

    if (n > d->len - d->produced)
        fail(d, EMK_E_FORMAT, "snappy: less than was expected");
    while (done < n && d->status == EMK_OK) {
        uint32_t run;

        if (d->literal == 0 && d->copy == 0)
            begin_element(d);
        run = d->literal ? d->literal : d->copy;
        if (run > n - done)
            run = (uint32_t)(n - done);
        if (d->status == EMK_OK && d->literal)
            read_literal(d, out + done, run);
        else if (d->status == EMK_OK)
            read_copy(d, out + done, run);
        d->produced += run;
        done += run;
    }
    if (d->status != EMK_OK)
        memset(out, 0, n);
    return d->status == EMK_OK;
}

bool emk_snappy_at_end(const emk_snappy *d)
{
    return d->status == EMK_OK && d->produced == d->len && d->pos == d->end;
}
