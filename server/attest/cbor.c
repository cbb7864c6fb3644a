#include "server/attest/cbor.h"

enum major { UINT, NINT, BYTES, TEXT, ARRAY, MAP };

void emk_lax_init(emk_lax_cbor *c, emk_span in)
{
    *c = (emk_lax_cbor){0};
    emk_reader_init(&c->in, in);
}

bool emk_lax_ok(const emk_lax_cbor *c)
{
    return c->status == EMK_OK;
}

void emk_lax_fail(emk_lax_cbor *c, emk_status st, const char *what)
{
    if (c->status != EMK_OK)
        return;
    c->status = st;
    c->what = what;
    c->where = c->in.pos;
}

/* The head of an item.  31 (indefinite) and the reserved 28..30 are refused with tags, floats
 * and simple values. */
static uint64_t read_head(emk_lax_cbor *c, enum major *major)
{
    uint8_t byte, low;
    uint64_t v = 0;

    *major = UINT;
    if (!emk_lax_ok(c))
        return 0;
    byte = emk_read_u8(&c->in);
    low = byte & 0x1f;
    *major = (enum major)(byte >> 5);
    if (byte >> 5 > MAP || low > 27) {
        emk_lax_fail(c, EMK_E_FORMAT, "cbor: kind or length of an item");
        return 0;
    }
    if (low < 24)
        v = low;
    for (uint32_t i = low < 24 ? 0 : 1u << (low - 24); i > 0; i--)
        v = v << 8 | emk_read_u8(&c->in);
    if (c->in.cut)
        emk_lax_fail(c, EMK_E_FORMAT, "cbor: cut short");
    return emk_lax_ok(c) ? v : 0;
}

static uint64_t expect(emk_lax_cbor *c, enum major want)
{
    enum major got;
    uint64_t v = read_head(c, &got);

    if (emk_lax_ok(c) && got != want)
        emk_lax_fail(c, EMK_E_FORMAT, "cbor: another kind than expected");
    return emk_lax_ok(c) ? v : 0;
}

static size_t count(emk_lax_cbor *c, enum major want)
{
    uint64_t n = expect(c, want);

    if (n > EMK_LAX_CBOR_ITEMS)
        emk_lax_fail(c, EMK_E_LIMIT, "cbor: items");
    return emk_lax_ok(c) ? (size_t)n : 0;
}

static emk_span string(emk_lax_cbor *c, uint64_t len)
{
    if (emk_lax_ok(c) && len > emk_reader_left(&c->in))
        emk_lax_fail(c, EMK_E_FORMAT, "cbor: cut short");
    return emk_lax_ok(c) ? emk_read_bytes(&c->in, (size_t)len) : emk_span_of(NULL, 0);
}

size_t emk_lax_map(emk_lax_cbor *c)
{
    return count(c, MAP);
}

size_t emk_lax_array(emk_lax_cbor *c)
{
    return count(c, ARRAY);
}

emk_span emk_lax_bytes(emk_lax_cbor *c)
{
    uint64_t len = expect(c, BYTES);

    return string(c, len);
}

emk_span emk_lax_text(emk_lax_cbor *c)
{
    uint64_t len = expect(c, TEXT);

    return string(c, len);
}

int64_t emk_lax_int(emk_lax_cbor *c)
{
    enum major major;
    uint64_t v = read_head(c, &major);

    if (emk_lax_ok(c) && major > NINT)
        emk_lax_fail(c, EMK_E_FORMAT, "cbor: another kind than expected");
    if (v > INT64_MAX)
        emk_lax_fail(c, EMK_E_LIMIT, "cbor: integer");
    if (!emk_lax_ok(c))
        return 0;
    return major == NINT ? -1 - (int64_t)v : (int64_t)v;
}

void emk_lax_skip(emk_lax_cbor *c)
{
    uint64_t left[EMK_LAX_CBOR_DEPTH];
    size_t depth = 0;
    enum major major;

    do {
        uint64_t v = read_head(c, &major);

        if (depth > 0)
            left[depth - 1]--;
        if (major == BYTES || major == TEXT)
            (void)string(c, v);
        if ((major == ARRAY || major == MAP) && v > 0) {
            if (v > EMK_LAX_CBOR_ITEMS || depth == EMK_LAX_CBOR_DEPTH) {
                emk_lax_fail(c, EMK_E_LIMIT, "cbor: items or nesting");
                return;
            }
            left[depth++] = major == MAP ? 2 * v : v;
        }
        while (depth > 0 && left[depth - 1] == 0)
            depth--;
    } while (emk_lax_ok(c) && depth > 0);
}

size_t emk_lax_key(emk_lax_cbor *c, const char *const *names, size_t n, uint32_t *seen)
{
    emk_span key = emk_lax_text(c);
    size_t i = 0;

    while (i < n && !emk_span_equal(key, emk_span_str(names[i])))
        i++;
    if (i == n || !emk_lax_ok(c))
        return n;
    if (*seen & 1u << i)
        emk_lax_fail(c, EMK_E_FORMAT, "cbor: key comes twice");
    *seen |= 1u << i;
    return i;
}

emk_status emk_lax_finish(emk_lax_cbor *c, emk_error *e)
{
    if (emk_lax_ok(c) && emk_reader_left(&c->in) > 0)
        emk_lax_fail(c, EMK_E_FORMAT, "cbor: bytes behind the item");
    return emk_lax_ok(c) ? EMK_OK : emk_fail(e, c->status, c->what, c->where);
}
