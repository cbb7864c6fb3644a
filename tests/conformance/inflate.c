#include "tests/conformance/inflate.h"

#define BITS_MAX     15u  /* longest code */
#define LITERALS     288u /* literals and lengths; 286 and 287 are in the fixed code only */
#define DISTANCES    30u
#define WINDOW       32768u
#define END_OF_BLOCK 256u

/* A canonical Huffman code: how many codes of each length, and the symbols in code order. */
typedef struct huffman {
    uint16_t count[BITS_MAX + 1];
    uint16_t symbol[LITERALS];
} huffman;

typedef struct inflater {
    emk_span in;
    size_t pos;    /* next byte */
    uint32_t bits; /* read and not used, low bits first */
    unsigned n_bits;
    bool bad; /* cut short, or not a code; stays */
    emk_buf *out;
    size_t begin; /* out's length at the start */
    huffman literals, distances;
} inflater;

static uint32_t take_bits(inflater *s, unsigned n)
{
    uint32_t v;

    while (s->n_bits < n) {
        if (s->pos == s->in.len) {
            s->bad = true;
            return 0;
        }
        s->bits |= (uint32_t)s->in.p[s->pos++] << s->n_bits;
        s->n_bits += 8;
    }
    v = s->bits & ((1u << n) - 1);
    s->bits >>= n;
    s->n_bits -= n;
    return v;
}

/* False when the lengths ask for more codes than there are. */
static bool build(huffman *h, const uint8_t *lengths, size_t n)
{
    uint16_t at[BITS_MAX + 1];
    int left = 1;

    memset(h->count, 0, sizeof h->count);
    for (size_t i = 0; i < n; i++)
        h->count[lengths[i]]++;
    h->count[0] = 0;
    for (unsigned len = 1; len <= BITS_MAX; len++) {
        left = left * 2 - h->count[len];
        if (left < 0)
            return false;
    }
    at[1] = 0;
    for (unsigned len = 1; len < BITS_MAX; len++)
        at[len + 1] = (uint16_t)(at[len] + h->count[len]);
    for (size_t i = 0; i < n; i++)
        if (lengths[i])
            h->symbol[at[lengths[i]]++] = (uint16_t)i;
    return true;
}

static unsigned take_symbol(inflater *s, const huffman *h)
{
    unsigned code = 0, first = 0, index = 0;

    for (unsigned len = 1; len <= BITS_MAX && !s->bad; len++) {
        code |= take_bits(s, 1);
        if (code - first < h->count[len])
            return h->symbol[index + (code - first)];
        index += h->count[len];
        first = (first + h->count[len]) << 1;
        code <<= 1;
    }
    s->bad = true;
    return END_OF_BLOCK;
}

static emk_status put(inflater *s, const uint8_t *p, size_t len, emk_error *e)
{
    return emk_buf_append(s->out, emk_span_of(p, len), e);
}

static emk_status stored_block(inflater *s, emk_error *e)
{
    size_t len, check;

    s->bits = s->n_bits = 0; /* to the next byte */
    len = take_bits(s, 16);
    check = take_bits(s, 16);
    if (s->bad || len != (check ^ 0xffff) || len > s->in.len - s->pos)
        return emk_fail(e, EMK_E_FORMAT, "inflate: stored block", s->pos);
    s->pos += len;
    return put(s, s->in.p + s->pos - len, len, e);
}

static emk_status copy_match(inflater *s, size_t len, size_t distance, emk_error *e)
{
    size_t have = s->out->len;
    uint8_t *to;
    emk_status st;

    if (s->bad || distance > have - s->begin || distance > WINDOW)
        return emk_fail(e, EMK_E_FORMAT, "inflate: distance", distance);
    st = emk_buf_grow(s->out, len, &to, e);
    for (size_t i = 0; st == EMK_OK && i < len; i++)
        s->out->p[have + i] = s->out->p[have + i - distance];
    return st;
}

/* Lengths 257.. and distances 0..: a base and some extra bits, doubling every few symbols. */
static size_t take_length(inflater *s, unsigned symbol)
{
    unsigned n = symbol - 257, extra;

    if (n == 28)
        return 258;
    if (n > 28) {
        s->bad = true;
        return 0;
    }
    if (n < 8)
        return n + 3;
    extra = (n - 4) / 4;
    return ((size_t)(4 + n % 4) << extra) + 3 + take_bits(s, extra);
}

static size_t take_distance(inflater *s)
{
    unsigned n = take_symbol(s, &s->distances), extra;

    if (s->bad || n >= DISTANCES) {
        s->bad = true;
        return 0;
    }
    if (n < 4)
        return n + 1;
    extra = (n - 2) / 2;
    return ((size_t)(2 + n % 2) << extra) + 1 + take_bits(s, extra);
}

static emk_status coded_block(inflater *s, emk_error *e)
{
    for (;;) {
        unsigned symbol = take_symbol(s, &s->literals);
        emk_status st;

        if (s->bad)
            return emk_fail(e, EMK_E_FORMAT, "inflate: code", s->pos);
        if (symbol == END_OF_BLOCK)
            return EMK_OK;
        if (symbol < END_OF_BLOCK) {
            uint8_t byte = (uint8_t)symbol;

            st = put(s, &byte, 1, e);
        } else {
            size_t len = take_length(s, symbol);

            st = copy_match(s, len, take_distance(s), e);
        }
        if (st != EMK_OK)
            return st;
    }
}

static void fixed_codes(inflater *s)
{
    uint8_t lengths[LITERALS];

    for (size_t i = 0; i < LITERALS; i++)
        lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    (void)build(&s->literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    (void)build(&s->distances, lengths, DISTANCES);
}

/* The code lengths themselves are coded: literal, or a repetition. */
static bool take_lengths(inflater *s, uint8_t *lengths, size_t n)
{
    size_t i = 0;

    while (i < n && !s->bad) {
        unsigned symbol = take_symbol(s, &s->literals);
        uint8_t value = 0;
        size_t times = 1;

        if (symbol < 16) {
            value = (uint8_t)symbol;
        } else if (symbol == 16) {
            if (i == 0)
                return false;
            value = lengths[i - 1];
            times = 3 + take_bits(s, 2);
        } else {
            times = symbol == 17 ? 3 + take_bits(s, 3) : 11 + take_bits(s, 7);
        }
        if (times > n - i)
            return false;
        memset(lengths + i, value, times);
        i += times;
    }
    return !s->bad;
}

static bool dynamic_codes(inflater *s)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[286 + DISTANCES] = {0}, first[19] = {0};
    size_t n_literals = 257 + take_bits(s, 5), n_distances = 1 + take_bits(s, 5);
    size_t n_first = 4 + take_bits(s, 4);

    if (s->bad || n_literals > 286 || n_distances > DISTANCES)
        return false;
    for (size_t i = 0; i < n_first; i++)
        first[order[i]] = (uint8_t)take_bits(s, 3);
    if (!build(&s->literals, first, sizeof first) ||
        !take_lengths(s, lengths, n_literals + n_distances))
        return false;
    return build(&s->literals, lengths, n_literals) &&
           build(&s->distances, lengths + n_literals, n_distances);
}

static emk_status one_block(inflater *s, bool *last, emk_error *e)
{
    *last = take_bits(s, 1) == 1;
    switch (take_bits(s, 2)) {
    case 0:
        return stored_block(s, e);
    case 1:
        fixed_codes(s);
        return coded_block(s, e);
    case 2:
        if (dynamic_codes(s))
            return coded_block(s, e);
        break;
    default:
        break;
    }
    return emk_fail(e, EMK_E_FORMAT, "inflate: block", s->pos);
}

static uint32_t adler32(const uint8_t *p, size_t len)
{
    uint32_t a = 1, b = 0;

    for (size_t i = 0; i < len; i++) {
        a = (a + p[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

emk_status emk_inflate(emk_span in, emk_buf *out, emk_error *e)
{
    inflater s = {.in = in, .pos = 2, .out = out, .begin = out->len};
    emk_status st = EMK_OK;
    uint32_t sum = 0;
    bool last = false;

    if (in.len < 2 || (in.p[0] & 15) != 8 || (in.p[0] >> 4) > 7 || (in.p[1] & 32) ||
        ((unsigned)in.p[0] << 8 | in.p[1]) % 31)
        return emk_fail(e, EMK_E_FORMAT, "inflate: no zlib header", 0);
    while (st == EMK_OK && !last)
        st = one_block(&s, &last, e);
    if (st != EMK_OK)
        return st;
    if (in.len - s.pos != 4)
        return emk_fail(e, EMK_E_FORMAT, "inflate: does not end with its sum", s.pos);
    for (size_t i = 0; i < 4; i++)
        sum = sum << 8 | in.p[s.pos + i];
    if (sum != adler32(out->p + s.begin, out->len - s.begin))
        return emk_fail(e, EMK_E_FORMAT, "inflate: another sum", sum);
    return EMK_OK;
}
