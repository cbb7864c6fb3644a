/* State: in.pos is always where an item begins or ends.  depth says how many levels are
 * open; level[depth - 1] counts what its array or map still wants.  Every item, whoever
 * asks for it, passes begin_item and end_item: there the counting is done, and there the
 * bytes of a map key are compared with the key before. */
#include "core/codec/cbor.h"

#include "core/codec/utf8.h"

enum major { UINT, NINT, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };

#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE  21u
#define SIMPLE_NULL  22u

typedef struct head {
    enum major major;
    uint64_t arg; /* SIMPLE: its number */
    size_t at;    /* offset of its first byte */
} head;

void emk_cbor_reader_init(emk_cbor_reader *c, emk_span in)
{
    memset(c, 0, sizeof *c);
    emk_reader_init(&c->in, in);
    c->status = EMK_OK;
}

void emk_cbor_fail(emk_cbor_reader *c, emk_status st, const char *what, uint64_t where)
{
    if (c->status != EMK_OK)
        return;
    c->status = st;
    c->what = what;
    c->where = where;
}

bool emk_cbor_ok(const emk_cbor_reader *c)
{
    return c->status == EMK_OK;
}

static void bad(emk_cbor_reader *c, const char *what, uint64_t where)
{
    emk_cbor_fail(c, EMK_E_FORMAT, what, where);
}

static emk_cbor_level *top(emk_cbor_reader *c)
{
    return c->depth ? &c->level[c->depth - 1] : NULL;
}

static bool is_through(const emk_cbor_level *l)
{
    return l->left == 0 && !l->value_next;
}

static bool begin_item(emk_cbor_reader *c)
{
    emk_cbor_level *l = top(c);

    if (!emk_cbor_ok(c))
        return false;
    if (c->tag_open) {
        c->tag_open = false; /* the tag began this item already */
        return true;
    }
    if (l && is_through(l)) {
        bad(c, "cbor: fewer items than wanted", c->in.pos);
        return false;
    }
    if (l)
        l->item_at = c->in.pos;
    return true;
}

/* RFC 8949 4.2.1: bytewise order of the encoded keys; equal keys have no order. */
static bool is_after(emk_span key, emk_span before)
{
    size_t n = key.len < before.len ? key.len : before.len;
    int order = memcmp(key.p, before.p, n);

    return order > 0 || (order == 0 && key.len > before.len);
}

static void end_key(emk_cbor_reader *c, emk_cbor_level *l)
{
    const uint8_t *p = c->in.in.p;
    emk_span key = emk_span_of(p + l->item_at, c->in.pos - l->item_at);

    if (l->key_len && !is_after(key, emk_span_of(p + l->key_at, l->key_len)))
        bad(c, "cbor: map keys not in order", l->item_at);
    l->key_at = l->item_at;
    l->key_len = key.len;
    l->left--;
    l->value_next = true;
}

static void end_item(emk_cbor_reader *c)
{
    emk_cbor_level *l = top(c);

    if (!l || !emk_cbor_ok(c))
        return;
    if (!l->map)
        l->left--;
    else if (l->value_next)
        l->value_next = false;
    else
        end_key(c, l);
}

/* The argument behind an initial byte.  Only the shortest form passes. */
static uint64_t read_long_arg(emk_cbor_reader *c, unsigned info, size_t at)
{
    uint64_t arg = 0, least = 0;

    if (info == 24) {
        arg = emk_read_u8(&c->in);
        least = 24;
    } else if (info == 25) {
        arg = emk_read_u16be(&c->in);
        least = UINT8_MAX + UINT64_C(1);
    } else if (info == 26) {
        arg = emk_read_u32be(&c->in);
        least = UINT16_MAX + UINT64_C(1);
    } else if (info == 27) {
        arg = emk_read_u64be(&c->in);
        least = UINT32_MAX + UINT64_C(1);
    } else if (info == 31) {
        bad(c, "cbor: indefinite length", at);
    } else {
        bad(c, "cbor: reserved length form", at);
    }
    if (c->in.cut)
        bad(c, "cbor: cut short", at);
    else if (arg < least)
        bad(c, "cbor: not the shortest form", at);
    return arg;
}

static void read_simple(emk_cbor_reader *c, unsigned info, head *h)
{
    if (info == 31)
        bad(c, "cbor: break without an indefinite length", h->at);
    else if (info >= 28)
        bad(c, "cbor: reserved length form", h->at);
    else if (info >= 25)
        emk_cbor_fail(c, EMK_E_UNSUPPORTED, "cbor: float", h->at);
    else if (info < SIMPLE_FALSE || info > SIMPLE_NULL)
        emk_cbor_fail(c, EMK_E_UNSUPPORTED, "cbor: simple value", h->at);
    h->arg = info;
}

/* Lengths and counts against the bytes left: an item is at least one byte, a pair two. */
static void check_room(emk_cbor_reader *c, const head *h)
{
    size_t left = emk_reader_left(&c->in);

    if (h->major == MAP)
        left /= 2;
    if (h->major >= BYTES && h->major <= MAP && h->arg > left)
        bad(c, "cbor: longer than what is left", h->at);
}

/* Any head of the profile.  False when the reader failed; h is then not to be used. */
static bool read_head(emk_cbor_reader *c, head *h)
{
    unsigned info;
    uint8_t first;

    if (!begin_item(c))
        return false;
    h->at = c->in.pos;
    if (emk_reader_left(&c->in) == 0) {
        bad(c, "cbor: cut short", h->at);
        return false;
    }
    first = emk_read_u8(&c->in);
    info = first & 31u;
    h->major = (enum major)(first >> 5);
    if (h->major == SIMPLE)
        read_simple(c, info, h);
    else
        h->arg = info < 24 ? info : read_long_arg(c, info, h->at);
    if (emk_cbor_ok(c))
        check_room(c, h);
    return emk_cbor_ok(c);
}

static bool read_kind(emk_cbor_reader *c, enum major want, const char *what, head *h)
{
    if (!read_head(c, h))
        return false;
    if (h->major != want)
        bad(c, what, h->at);
    return emk_cbor_ok(c);
}

static emk_cbor_type type_of(uint8_t first)
{
    static const emk_cbor_type types[] = {
        [UINT] = EMK_CBOR_UINT, [NINT] = EMK_CBOR_NINT,   [BYTES] = EMK_CBOR_BYTES,
        [TEXT] = EMK_CBOR_TEXT, [ARRAY] = EMK_CBOR_ARRAY, [MAP] = EMK_CBOR_MAP,
        [TAG] = EMK_CBOR_TAG,   [SIMPLE] = EMK_CBOR_BAD,
    };
    unsigned info = first & 31u;

    if (first >> 5 != SIMPLE)
        return info < 28 ? types[first >> 5] : EMK_CBOR_BAD;
    if (info == SIMPLE_FALSE || info == SIMPLE_TRUE)
        return EMK_CBOR_BOOL;
    return info == SIMPLE_NULL ? EMK_CBOR_NULL : EMK_CBOR_BAD;
}

emk_cbor_type emk_cbor_peek(emk_cbor_reader *c)
{
    const emk_cbor_level *l = top(c);

    if (!emk_cbor_ok(c))
        return EMK_CBOR_BAD;
    if (l && is_through(l) && !c->tag_open)
        return EMK_CBOR_END;
    if (emk_reader_left(&c->in) == 0)
        return l || c->tag_open ? EMK_CBOR_BAD : EMK_CBOR_END;
    return type_of(c->in.in.p[c->in.pos]);
}

uint64_t emk_cbor_read_uint(emk_cbor_reader *c)
{
    head h;

    if (!read_kind(c, UINT, "cbor: not an unsigned integer", &h))
        return 0;
    end_item(c);
    return emk_cbor_ok(c) ? h.arg : 0;
}

int64_t emk_cbor_read_int(emk_cbor_reader *c)
{
    head h;

    if (!read_head(c, &h))
        return 0;
    if (h.major > NINT)
        bad(c, "cbor: not an integer", h.at);
    else if (h.arg > INT64_MAX)
        emk_cbor_fail(c, EMK_E_LIMIT, "cbor: integer beyond 64 bits with sign", h.at);
    end_item(c);
    if (!emk_cbor_ok(c))
        return 0;
    return h.major == UINT ? (int64_t)h.arg : -1 - (int64_t)h.arg;
}

bool emk_cbor_read_bool(emk_cbor_reader *c)
{
    head h;

    if (!read_kind(c, SIMPLE, "cbor: not a boolean", &h))
        return false;
    if (h.arg == SIMPLE_NULL)
        bad(c, "cbor: not a boolean", h.at);
    end_item(c);
    return emk_cbor_ok(c) && h.arg == SIMPLE_TRUE;
}

void emk_cbor_read_null(emk_cbor_reader *c)
{
    head h;

    if (!read_kind(c, SIMPLE, "cbor: not null", &h))
        return;
    if (h.arg != SIMPLE_NULL)
        bad(c, "cbor: not null", h.at);
    end_item(c);
}

/* The payload of a string whose head was read; check_room has seen its length. */
static emk_span read_payload(emk_cbor_reader *c, const head *h)
{
    emk_span s = emk_read_bytes(&c->in, (size_t)h->arg);

    if (h->major == TEXT && !emk_utf8_check(s))
        bad(c, "cbor: text is not UTF-8", h->at);
    end_item(c);
    return emk_cbor_ok(c) ? s : emk_span_of(NULL, 0);
}

emk_span emk_cbor_read_bytes(emk_cbor_reader *c)
{
    head h;

    if (!read_kind(c, BYTES, "cbor: not a byte string", &h))
        return emk_span_of(NULL, 0);
    return read_payload(c, &h);
}

emk_span emk_cbor_read_text(emk_cbor_reader *c)
{
    head h;

    if (!read_kind(c, TEXT, "cbor: not a text string", &h))
        return emk_span_of(NULL, 0);
    return read_payload(c, &h);
}

void emk_cbor_read_fixed(emk_cbor_reader *c, uint8_t *out, size_t len)
{
    size_t at = c->in.pos;
    emk_span s = emk_cbor_read_bytes(c);

    if (emk_cbor_ok(c) && s.len != len)
        bad(c, "cbor: byte string of another length", at);
    if (!emk_cbor_ok(c))
        memset(out, 0, len);
    else if (len)
        memcpy(out, s.p, len);
}

void emk_cbor_read_tag(emk_cbor_reader *c, uint64_t want)
{
    head h;

    if (!read_kind(c, TAG, "cbor: not a tag", &h))
        return;
    if (h.arg != want)
        emk_cbor_fail(c, EMK_E_UNSUPPORTED, "cbor: another tag", h.arg);
    c->tag_open = true;
}

static void push(emk_cbor_reader *c, const head *h)
{
    emk_cbor_level *l;

    if (c->depth == EMK_CBOR_DEPTH) {
        emk_cbor_fail(c, EMK_E_LIMIT, "cbor: nested too deep", h->at);
        return;
    }
    l = &c->level[c->depth++];
    memset(l, 0, sizeof *l);
    l->map = h->major == MAP;
    l->left = h->arg;
}

static size_t enter(emk_cbor_reader *c, enum major want, const char *what)
{
    head h;

    if (!read_kind(c, want, what, &h))
        return 0;
    push(c, &h);
    return emk_cbor_ok(c) ? (size_t)h.arg : 0;
}

size_t emk_cbor_enter_array(emk_cbor_reader *c)
{
    return enter(c, ARRAY, "cbor: not an array");
}

size_t emk_cbor_enter_map(emk_cbor_reader *c)
{
    return enter(c, MAP, "cbor: not a map");
}

bool emk_cbor_next_key(emk_cbor_reader *c, int64_t *key)
{
    const emk_cbor_level *l = top(c);
    int64_t v;

    if (!emk_cbor_ok(c))
        return false;
    if (!l || !l->map || l->value_next || c->tag_open) {
        emk_cbor_fail(c, EMK_E_USAGE, "cbor: no map key is next", c->in.pos);
        return false;
    }
    if (is_through(l))
        return false;
    v = emk_cbor_read_int(c);
    if (!emk_cbor_ok(c))
        return false;
    *key = v;
    return true;
}

void emk_cbor_leave(emk_cbor_reader *c)
{
    const emk_cbor_level *l = top(c);

    if (!emk_cbor_ok(c))
        return;
    if (!l || c->tag_open) {
        emk_cbor_fail(c, EMK_E_USAGE, "cbor: nothing to leave", c->in.pos);
        return;
    }
    if (!is_through(l)) {
        bad(c, "cbor: more items than wanted", c->in.pos);
        return;
    }
    c->depth--;
    end_item(c); /* for the level below, what was left is one item */
}

static void skip_one(emk_cbor_reader *c)
{
    head h;

    if (!read_head(c, &h))
        return;
    if (h.major == TAG || (h.major == SIMPLE && h.arg == SIMPLE_NULL))
        emk_cbor_fail(c, EMK_E_UNSUPPORTED, "cbor: a tag or null nobody asked for", h.at);
    else if (h.major == ARRAY || h.major == MAP)
        push(c, &h);
    else if (h.major == BYTES || h.major == TEXT)
        (void)read_payload(c, &h);
    else
        end_item(c);
}

void emk_cbor_skip(emk_cbor_reader *c)
{
    uint32_t depth = c->depth;

    /* Ends: each turn reads a byte, leaves a level, or has failed. */
    do {
        skip_one(c);
        while (emk_cbor_ok(c) && c->depth > depth && is_through(top(c)))
            emk_cbor_leave(c);
    } while (emk_cbor_ok(c) && c->depth > depth);
}

emk_span emk_cbor_read_raw(emk_cbor_reader *c)
{
    size_t at = c->in.pos;

    emk_cbor_skip(c);
    return emk_cbor_ok(c) ? emk_span_of(c->in.in.p + at, c->in.pos - at) : emk_span_of(NULL, 0);
}

emk_status emk_cbor_finish(emk_cbor_reader *c, emk_error *e)
{
    if (c->depth || c->tag_open)
        emk_cbor_fail(c, EMK_E_USAGE, "cbor: an item was left open", c->in.pos);
    if (emk_reader_left(&c->in))
        bad(c, "cbor: bytes after the end", c->in.pos);
    return emk_cbor_ok(c) ? EMK_OK : emk_fail(e, c->status, c->what, c->where);
}

emk_status emk_cbor_check(emk_span in, emk_error *e)
{
    emk_cbor_reader c;

    emk_cbor_reader_init(&c, in);
    emk_cbor_skip(&c);
    return emk_cbor_finish(&c, e);
}

static void put_head(emk_writer *w, enum major major, uint64_t arg)
{
    uint8_t high = (uint8_t)(major << 5);

    if (arg < 24) {
        emk_write_u8(w, (uint8_t)(high | arg));
    } else if (arg <= UINT8_MAX) {
        emk_write_u8(w, high | 24);
        emk_write_u8(w, (uint8_t)arg);
    } else if (arg <= UINT16_MAX) {
        emk_write_u8(w, high | 25);
        emk_write_u16be(w, (uint16_t)arg);
    } else if (arg <= UINT32_MAX) {
        emk_write_u8(w, high | 26);
        emk_write_u32be(w, (uint32_t)arg);
    } else {
        emk_write_u8(w, high | 27);
        emk_write_u64be(w, arg);
    }
}

void emk_cbor_put_uint(emk_writer *w, uint64_t v)
{
    put_head(w, UINT, v);
}

void emk_cbor_put_int(emk_writer *w, int64_t v)
{
    if (v < 0)
        put_head(w, NINT, (uint64_t)(-1 - v));
    else
        put_head(w, UINT, (uint64_t)v);
}

void emk_cbor_put_bool(emk_writer *w, bool v)
{
    put_head(w, SIMPLE, v ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void emk_cbor_put_null(emk_writer *w)
{
    put_head(w, SIMPLE, SIMPLE_NULL);
}

void emk_cbor_put_bytes(emk_writer *w, emk_span s)
{
    put_head(w, BYTES, s.len);
    emk_write_bytes(w, s);
}

void emk_cbor_put_text(emk_writer *w, emk_span s)
{
    put_head(w, TEXT, s.len);
    emk_write_bytes(w, s);
}

void emk_cbor_put_array(emk_writer *w, size_t n_items)
{
    put_head(w, ARRAY, n_items);
}

void emk_cbor_put_map(emk_writer *w, size_t n_pairs)
{
    put_head(w, MAP, n_pairs);
}

void emk_cbor_put_tag(emk_writer *w, uint64_t tag)
{
    put_head(w, TAG, tag);
}

void emk_cbor_put_raw(emk_writer *w, emk_span item)
{
    emk_write_bytes(w, item);
}
