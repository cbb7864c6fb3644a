/* State: `expect` is what the grammar allows at pos; depth and the bits of `objects` say
 * what is open.  window and window_len are the bytes at pos, borrowed from the image until
 * its epoch changes: between two calls the caller may use the image. */
#include "core/codec/json.h"

#include "core/base/bytes.h"
#include "core/codec/utf8.h"

enum expect {
    VALUE,
    FIRST_ITEM, /* of an array: a value or its end */
    FIRST_KEY,  /* of an object: a key or its end */
    KEY,
    COLON,
    AFTER, /* an item: a comma or the end of what is open */
    DONE
};

enum number_flag { NEGATIVE = 1, NO_INTEGER = 2, TOO_BIG = 4 };

/* Takes decoded text piece by piece; false: enough. */
typedef struct sink {
    bool (*put)(void *self, const uint8_t *p, size_t len);
    void *self;
} sink;

void emk_json_fail(emk_json *j, emk_status st, const char *what, uint64_t where)
{
    j->token = EMK_JSON_BAD;
    if (j->status != EMK_OK)
        return;
    j->status = st;
    j->what = what;
    j->where = where;
}

bool emk_json_ok(const emk_json *j)
{
    return j->status == EMK_OK;
}

static bool bad(emk_json *j, const char *what, uint64_t where)
{
    emk_json_fail(j, EMK_E_FORMAT, what, where);
    return false;
}

void emk_json_init(emk_json *j, emk_image *im, uint64_t begin, uint64_t end)
{
    memset(j, 0, sizeof *j);
    j->im = im;
    j->pos = begin;
    j->end = end;
    j->what = "";
    j->expect = VALUE;
    if (begin > end || end > im->len)
        bad(j, "json: range outside the file", begin);
}

static bool refill(emk_json *j)
{
    size_t n = 0;

    if (j->pos >= j->end || !emk_json_ok(j))
        return false;
    j->window = emk_image_window(j->im, j->pos, &n);
    if (!j->window) {
        emk_json_fail(j, j->im->status, "json: file cannot be read", j->im->cut_at);
        return false;
    }
    j->window_len = n < j->end - j->pos ? n : (size_t)(j->end - j->pos);
    j->epoch = j->im->epoch;
    return true;
}

/* The byte at pos, or -1 at the range's end or on failure. */
static inline int look(emk_json *j)
{
    if (j->window_len == 0 && !refill(j))
        return -1;
    return j->window[0];
}

/* Passes over n bytes of the window. */
static inline void take(emk_json *j, size_t n)
{
    j->window += n;
    j->window_len -= n;
    j->pos += n;
}

static int look_past_space(emk_json *j)
{
    int c = look(j);

    while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        take(j, 1);
        c = look(j);
    }
    return c;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static bool pass(const sink *to, const uint8_t *p, size_t len)
{
    return !to || to->put(to->self, p, len);
}

/* The four digits of \uXXXX. */
static bool hex_unit(emk_json *j, uint32_t *out)
{
    uint32_t unit = 0;

    for (int i = 0; i < 4; i++) {
        int v = emk_hex_digit(look(j));

        if (v < 0)
            return bad(j, "json: \\u without four digits", j->pos);
        unit = unit << 4 | (uint32_t)v;
        take(j, 1);
    }
    *out = unit;
    return true;
}

/* What follows \u: one UTF-16 unit, or two that are a pair. */
static bool unicode_escape(emk_json *j, uint32_t *code)
{
    uint64_t at = j->pos;
    uint32_t high, low;

    if (!hex_unit(j, &high))
        return false;
    *code = high;
    if (high < 0xd800 || high > 0xdfff)
        return true;
    if (high > 0xdbff || look(j) != '\\')
        return bad(j, "json: surrogate alone", at);
    take(j, 1);
    if (look(j) != 'u')
        return bad(j, "json: surrogate alone", at);
    take(j, 1);
    if (!hex_unit(j, &low))
        return false;
    if (low < 0xdc00 || low > 0xdfff)
        return bad(j, "json: surrogate alone", at);
    *code = 0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00));
    return true;
}

/* pos is behind the backslash. */
static bool escape(emk_json *j, const sink *to)
{
    static const char from[] = "\"\\/bfnrt";
    static const char into[] = "\"\\/\b\f\n\r\t";
    uint8_t bytes[4];
    uint32_t code;
    int c = look(j);
    const char *at = c > 0 ? strchr(from, c) : NULL;

    j->has_escapes = true;
    if (at) {
        bytes[0] = (uint8_t)into[at - from];
        take(j, 1);
        return pass(to, bytes, 1);
    }
    if (c != 'u')
        return bad(j, "json: unknown escape", j->pos);
    take(j, 1);
    return unicode_escape(j, &code) && pass(to, bytes, emk_utf8_encode(code, bytes));
}

/* One character of two bytes or more. */
static bool wide_char(emk_json *j, const sink *to)
{
    emk_utf8 u = {0, 0, 0};
    uint64_t at = j->pos;
    uint8_t bytes[4];
    size_t n = 0;

    do {
        int c = look(j);

        if (c < 0 || !emk_utf8_step(&u, (uint8_t)c))
            return bad(j, "json: text is not UTF-8", at);
        bytes[n++] = (uint8_t)c;
        take(j, 1);
    } while (u.need);
    return pass(to, bytes, n);
}

/* True when all eight bytes are plain: none has its high bit, is below 0x20, a quote or a
 * backslash.  Each term puts a high bit where x - y borrows, that is where a byte is less. */
static bool eight_plain(const uint8_t *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones * 0x80;
    uint64_t x, quote, backslash;

    memcpy(&x, p, sizeof x);
    quote = x ^ ones * '"';
    backslash = x ^ ones * '\\';
    return ((x | (x - ones * 0x20) | (quote - ones) | (backslash - ones)) & high) == 0;
}

static bool plain_run(emk_json *j, const sink *to)
{
    const uint8_t *p = j->window;
    size_t n = 0;

    while (j->window_len - n >= 8 && eight_plain(p + n))
        n += 8;
    while (n < j->window_len && is_plain(p[n]))
        n++;
    take(j, n);
    return n == 0 || pass(to, p, n);
}

/* From the first byte inside the quotes past the closing one.  Scanning and decoding are
 * the same walk, so a file that changes in between is checked again, not trusted. */
static bool string_body(emk_json *j, const sink *to)
{
    for (;;) {
        int c = look(j);

        if (c < 0)
            return bad(j, "json: cut short in a string", j->pos);
        if (is_plain((uint8_t)c)) {
            if (!plain_run(j, to))
                return false;
        } else if (c == '"') {
            take(j, 1);
            return true;
        } else if (c == '\\') {
            take(j, 1);
            if (!escape(j, to))
                return false;
        } else if (c < 0x20) {
            return bad(j, "json: control character in a string", j->pos);
        } else if (!wide_char(j, to)) {
            return false;
        }
    }
}

static emk_json_token string_token(emk_json *j, emk_json_token token)
{
    take(j, 1); /* the quote */
    j->text_off = j->pos;
    j->has_escapes = false;
    if (!string_body(j, NULL))
        return EMK_JSON_BAD;
    j->text_len = j->pos - 1 - j->text_off;
    return token;
}

static void count_digit(emk_json *j, unsigned v)
{
    if (j->magnitude > (UINT64_MAX - v) / 10)
        j->number_flags |= TOO_BIG;
    else
        j->magnitude = j->magnitude * 10 + v;
}

/* Digits, at least one; counted into the magnitude where they are of the integer part. */
static bool digits(emk_json *j, bool count)
{
    if (!is_digit(look(j)))
        return bad(j, "json: digit missing", j->pos);
    do {
        const uint8_t *p = j->window;
        size_t n = 0;

        for (; n < j->window_len && is_digit(p[n]); n++) {
            if (count)
                count_digit(j, p[n] - (unsigned)'0');
        }
        take(j, n);
    } while (is_digit(look(j)));
    return true;
}

static bool number_tail(emk_json *j)
{
    int c = look(j);

    if (c == '.') {
        j->number_flags |= NO_INTEGER;
        take(j, 1);
        if (!digits(j, false))
            return false;
        c = look(j);
    }
    if (c != 'e' && c != 'E')
        return true;
    j->number_flags |= NO_INTEGER;
    take(j, 1);
    c = look(j);
    if (c == '+' || c == '-')
        take(j, 1);
    return digits(j, false);
}

static emk_json_token number_token(emk_json *j)
{
    j->text_off = j->pos;
    j->magnitude = 0;
    j->number_flags = 0;
    j->has_escapes = false;
    if (look(j) == '-') {
        j->number_flags |= NEGATIVE;
        take(j, 1);
    }
    if (look(j) == '0')
        take(j, 1); /* nothing may follow a leading zero: 01 is no number */
    else if (!digits(j, true))
        return EMK_JSON_BAD;
    if (!number_tail(j) || !emk_json_ok(j))
        return EMK_JSON_BAD;
    j->text_len = j->pos - j->text_off;
    return EMK_JSON_NUMBER;
}

static emk_json_token literal(emk_json *j, const char *word, emk_json_token token)
{
    uint64_t at = j->pos;

    for (; *word; word++) {
        if (look(j) != *word) {
            bad(j, "json: unknown word", at);
            return EMK_JSON_BAD;
        }
        take(j, 1);
    }
    return token;
}

static bool in_object(const emk_json *j)
{
    return j->depth && (j->objects >> (j->depth - 1) & 1);
}

static void after_item(emk_json *j)
{
    j->expect = j->depth ? AFTER : DONE;
}

static emk_json_token open_level(emk_json *j, bool object)
{
    uint64_t bit;

    if (j->depth == EMK_JSON_DEPTH) {
        emk_json_fail(j, EMK_E_LIMIT, "json: nested too deep", j->pos);
        return EMK_JSON_BAD;
    }
    bit = UINT64_C(1) << j->depth++;
    j->objects = object ? j->objects | bit : j->objects & ~bit;
    j->expect = object ? FIRST_KEY : FIRST_ITEM;
    take(j, 1);
    return object ? EMK_JSON_OBJECT_BEGIN : EMK_JSON_ARRAY_BEGIN;
}

/* True when c closes what is open, here. */
static bool closes(const emk_json *j, int c)
{
    if (in_object(j))
        return c == '}' && (j->expect == FIRST_KEY || j->expect == AFTER);
    return c == ']' && (j->expect == FIRST_ITEM || j->expect == AFTER);
}

static emk_json_token close_level(emk_json *j)
{
    bool object = in_object(j);

    take(j, 1);
    j->depth--;
    after_item(j);
    return object ? EMK_JSON_OBJECT_END : EMK_JSON_ARRAY_END;
}

static emk_json_token value(emk_json *j, int c)
{
    if (c == '{' || c == '[')
        return open_level(j, c == '{');
    after_item(j);
    if (c == '"')
        return string_token(j, EMK_JSON_STRING);
    if (c == '-' || is_digit(c))
        return number_token(j);
    if (c == 't')
        return literal(j, "true", EMK_JSON_TRUE);
    if (c == 'f')
        return literal(j, "false", EMK_JSON_FALSE);
    return literal(j, "null", EMK_JSON_NULL);
}

/* Passes the comma or colon that stands before the next item; gives the byte behind. */
static int punctuation(emk_json *j, int c)
{
    if (j->expect == AFTER && c == ',')
        j->expect = in_object(j) ? KEY : VALUE;
    else if (j->expect == COLON && c == ':')
        j->expect = VALUE;
    else
        return c;
    take(j, 1);
    return look_past_space(j);
}

static emk_json_token at_end(emk_json *j)
{
    if (emk_json_ok(j) && j->expect == DONE)
        return EMK_JSON_END;
    bad(j, "json: cut short", j->pos); /* unless it failed before */
    return EMK_JSON_BAD;
}

static emk_json_token next(emk_json *j)
{
    int c = punctuation(j, look_past_space(j));

    if (c < 0)
        return at_end(j);
    if (closes(j, c))
        return close_level(j);
    if (j->expect == VALUE || j->expect == FIRST_ITEM)
        return value(j, c);
    if ((j->expect == KEY || j->expect == FIRST_KEY) && c == '"') {
        j->expect = COLON;
        return string_token(j, EMK_JSON_KEY);
    }
    bad(j, j->expect == DONE ? "json: bytes after the value" : "json: unexpected character",
        j->pos);
    return EMK_JSON_BAD;
}

emk_json_token emk_json_next(emk_json *j)
{
    if (j->epoch != j->im->epoch)
        j->window_len = 0; /* the caller used the image for something else */
    j->token = emk_json_ok(j) ? next(j) : EMK_JSON_BAD;
    return j->token;
}

bool emk_json_expect(emk_json *j, emk_json_token want)
{
    if (emk_json_next(j) != want)
        return bad(j, "json: another kind of value is wanted", j->pos);
    return true;
}

/* Integers.  "-0" is refused, not read as 0: one integer, one text. */
static bool check_integer(emk_json *j)
{
    if (!emk_json_ok(j))
        return false;
    if (j->token != EMK_JSON_NUMBER)
        return bad(j, "json: not a number", j->pos);
    if (j->number_flags & NO_INTEGER)
        return bad(j, "json: not an integer", j->text_off);
    if ((j->number_flags & NEGATIVE) && j->magnitude == 0)
        return bad(j, "json: minus zero", j->text_off);
    if (j->number_flags & TOO_BIG)
        emk_json_fail(j, EMK_E_LIMIT, "json: integer too big", j->text_off);
    return emk_json_ok(j);
}

bool emk_json_u64(emk_json *j, uint64_t *out)
{
    if (!check_integer(j))
        return false;
    if (j->number_flags & NEGATIVE)
        return bad(j, "json: negative", j->text_off);
    *out = j->magnitude;
    return true;
}

bool emk_json_i64(emk_json *j, int64_t *out)
{
    bool negative = j->number_flags & NEGATIVE;

    if (!check_integer(j))
        return false;
    if (j->magnitude > (uint64_t)INT64_MAX + negative) {
        emk_json_fail(j, EMK_E_LIMIT, "json: integer too big", j->text_off);
        return false;
    }
    *out = negative ? -1 - (int64_t)(j->magnitude - 1) : (int64_t)j->magnitude;
    return true;
}

static bool check_string(emk_json *j)
{
    if (!emk_json_ok(j))
        return false;
    if (j->token != EMK_JSON_KEY && j->token != EMK_JSON_STRING)
        return bad(j, "json: not a string", j->pos);
    return true;
}

/* Walks the last string again.  False when the sink had enough, or on failure. */
static bool decode(emk_json *j, const sink *to)
{
    emk_json walk = *j;
    bool through;

    walk.pos = j->text_off;
    walk.end = j->text_off + j->text_len + 1;
    walk.window_len = 0;
    through = string_body(&walk, to);
    if (!emk_json_ok(&walk))
        emk_json_fail(j, walk.status, walk.what, walk.where);
    return through;
}

typedef struct copy_sink {
    char *out; /* NULL: only count */
    size_t cap;
    uint64_t len;
} copy_sink;

static bool put_copy(void *self, const uint8_t *p, size_t len)
{
    copy_sink *s = self;

    if (s->out && (s->len > s->cap || len > s->cap - s->len))
        return false;
    if (s->out)
        memcpy(s->out + s->len, p, len);
    s->len += len;
    return true;
}

bool emk_json_copy_string(emk_json *j, char *out, size_t cap, size_t *len)
{
    copy_sink count = {NULL, 0, 0};
    copy_sink copy = {out, cap ? cap - 1 : 0, 0};

    if (!check_string(j) || !decode(j, &(sink){put_copy, &count}))
        return false;
    if (count.len >= cap) {
        emk_json_fail(j, EMK_E_LIMIT, "json: string too long", j->text_off);
        return false;
    }
    if (!decode(j, &(sink){put_copy, &copy})) {
        bad(j, "json: file changed while it was read", j->text_off);
        return false;
    }
    out[copy.len] = 0;
    if (len)
        *len = (size_t)copy.len;
    return true;
}

typedef struct compare_sink {
    emk_span left; /* of the wanted text */
} compare_sink;

static bool put_compare(void *self, const uint8_t *p, size_t len)
{
    compare_sink *s = self;

    if (len > s->left.len || memcmp(p, s->left.p, len) != 0)
        return false;
    s->left = emk_span_of(s->left.p + len, s->left.len - len);
    return true;
}

static bool raw_equals(emk_json *j, emk_span text)
{
    bool equal = j->text_len == text.len && emk_image_equal(j->im, j->text_off, text);

    if (j->im->cut)
        emk_json_fail(j, j->im->status, "json: file cannot be read", j->im->cut_at);
    return equal && emk_json_ok(j);
}

bool emk_json_string_equals(emk_json *j, const char *text)
{
    compare_sink s = {emk_span_str(text)};

    if (!emk_json_ok(j) || (j->token != EMK_JSON_KEY && j->token != EMK_JSON_STRING))
        return false;
    if (!j->has_escapes)
        return raw_equals(j, s.left);
    return decode(j, &(sink){put_compare, &s}) && s.left.len == 0;
}

bool emk_json_which_key(emk_json *j, const char *const *names, size_t n, size_t *i, uint64_t *seen)
{
    size_t k = 0;

    if (!emk_json_ok(j))
        return false;
    if (j->token != EMK_JSON_KEY || n > 64) {
        emk_json_fail(j, EMK_E_USAGE, "json: no key was read", j->pos);
        return false;
    }
    while (k < n && !emk_json_string_equals(j, names[k]))
        k++;
    if (!emk_json_ok(j))
        return false;
    if (k < n && (*seen >> k & 1))
        return bad(j, "json: a key twice", j->text_off);
    if (k < n)
        *seen |= UINT64_C(1) << k;
    *i = k;
    return true;
}

/* FNV-1a, 64 bits. */
static bool put_hash(void *self, const uint8_t *p, size_t len)
{
    uint64_t *h = self;

    for (size_t i = 0; i < len; i++)
        *h = (*h ^ p[i]) * UINT64_C(0x100000001b3);
    return true;
}

bool emk_json_string_hash(emk_json *j, uint64_t *out)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    if (!check_string(j) || !decode(j, &(sink){put_hash, &h}))
        return false;
    *out = h;
    return true;
}

void emk_json_skip_value(emk_json *j)
{
    uint32_t depth = j->depth;
    emk_json_token t = emk_json_next(j);

    if (t == EMK_JSON_OBJECT_END || t == EMK_JSON_ARRAY_END || t == EMK_JSON_KEY ||
        t == EMK_JSON_END)
        emk_json_fail(j, EMK_E_USAGE, "json: no value is next", j->pos);
    while (emk_json_ok(j) && j->depth > depth)
        emk_json_next(j);
}

emk_status emk_json_finish(emk_json *j, emk_error *e)
{
    if (emk_json_ok(j) && emk_json_next(j) != EMK_JSON_END)
        bad(j, "json: more than was wanted", j->pos);
    return emk_json_ok(j) ? EMK_OK : emk_fail(e, j->status, j->what, j->where);
}
