/* The strict reader of one line and the writer of its canonical form.
 *
 * A reader of its own, beside core/codec/json: an event is two levels of known keys with
 * texts that need no escapes, and hundreds of thousands of them are read a second.  What is
 * accepted here is a subset of JSON.
 *
 * State of a reading: a cursor `p` that never passes `end`, and the first failure. */
#include "server/fraud/event.h"

#include "core/base/bytes.h"

#include <inttypes.h>
#include <stdio.h>

#define WRITE_MAX (EMK_FRAUD_LINE_MAX)

typedef struct scan {
    const uint8_t *begin, *p, *end;
    const char *what; /* NULL until something fails */
    emk_status status;
    const uint8_t *at;
    emk_fraud_event ev;
    uint32_t groups; /* seen: bit i */
    bool version;
    unsigned hint;              /* field that is likely next */
    uint64_t absent;            /* bit f: null or an empty text stood there, which is nothing */
    emk_fraud_ignored *ignored; /* NULL: a strict reading */
} scan;

static bool fail_as(scan *s, emk_status st, const char *what)
{
    if (!s->what) {
        s->what = what;
        s->status = st;
        s->at = s->p;
    }
    return false;
}

static bool fail(scan *s, const char *what)
{
    return fail_as(s, EMK_E_FORMAT, what);
}

static inline void skip_space(scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r'))
        s->p++;
}

static inline bool take(scan *s, char c)
{
    if (s->p < s->end && *s->p <= ' ')
        skip_space(s);
    if (s->p == s->end || *s->p != (uint8_t)c)
        return false;
    s->p++;
    return true;
}

static inline bool need(scan *s, char c, const char *what)
{
    return take(s, c) || fail(s, what);
}

static inline bool in_alphabet(uint8_t c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* The high bit of each byte that is zero; beyond the lowest one it may be wrong. */
static inline uint64_t zeros(uint64_t w)
{
    return (w - EACH(1)) & ~w & EACH(0x80);
}

/* Up to the first byte that is outside the alphabet, eight at a time as far as they are there.
 * In each of the tests below the lowest bit is right, so the lowest of all is. */
static const uint8_t *skip_text(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t w = emk_load_u64le(p);
        uint64_t stop = (w & EACH(0x80)) | ((w - EACH(0x21)) & ~w & EACH(0x80)) |
                        zeros(w ^ EACH('"')) | zeros(w ^ EACH('\\')) | zeros(w ^ EACH(0x7f));

        if (stop)
            return p + __builtin_ctzll(stop) / 8;
    }
    while (p < end && in_alphabet(*p))
        p++;
    return p;
}

/* The end of a text as others write it: spaces, UTF-8 and escapes stand for themselves. */
static const uint8_t *skip_any_text(const uint8_t *p, const uint8_t *end)
{
    for (; p < end && *p != '"' && *p >= ' '; p++)
        p += *p == '\\' && end - p > 1;
    return p;
}

/* A text of any length. */
static bool take_long_text(scan *s, emk_span *out)
{
    const uint8_t *from;

    if (!need(s, '"', "event: a text was expected"))
        return false;
    from = s->p;
    s->p = skip_text(from, s->end);
    if (s->ignored && s->p < s->end && *s->p != '"')
        s->p = skip_any_text(s->p, s->end);
    if (s->p == s->end || *s->p != '"')
        return fail(s, s->ignored
                           ? "event: a text without its end"
                           : "event: a text of visible ASCII without quotes and backslashes");
    *out = emk_span_of(from, (size_t)(s->p - from));
    s->p++;
    return true;
}

static bool take_text(scan *s, emk_span *out)
{
    if (!take_long_text(s, out))
        return false;
    return out->len <= EMK_FRAUD_ID_MAX || fail_as(s, EMK_E_LIMIT, "event: text too long");
}

static bool is_digit(const scan *s)
{
    return s->p < s->end && *s->p >= '0' && *s->p <= '9';
}

/* Whole digits, at most 15 of them, without leading zeros. */
static bool take_digits(scan *s, int64_t *out)
{
    const uint8_t *from = s->p;
    int64_t v = 0;

    for (; is_digit(s); s->p++) {
        if (s->p - from >= 15)
            return fail_as(s, EMK_E_LIMIT, "event: number too long");
        v = v * 10 + (*s->p - '0');
    }
    if (s->p == from || (*from == '0' && s->p - from > 1))
        return fail(s, "event: a number was expected");
    *out = v;
    return true;
}

/* A JSON number without exponent, as thousandths; more places are cut, and with them what
 * differs below a thousandth. */
static bool take_number(scan *s, bool fraction, int64_t *out)
{
    int64_t v = 0, unit = 100;
    bool minus;

    skip_space(s);
    minus = s->p < s->end && *s->p == '-';
    s->p += minus;
    if (!take_digits(s, &v))
        return false;
    v *= EMK_FRAUD_MILLI;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!is_digit(s))
            return fail(s, "event: a number was expected");
        for (; is_digit(s); s->p++, unit /= 10) {
            if (!fraction && *s->p != '0')
                return fail(s, "event: a whole number was expected");
            v += (*s->p - '0') * unit;
        }
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E'))
        return fail(s, "event: numbers have no exponents here");
    *out = minus ? -v : v;
    return true;
}

static bool take_word(scan *s, const char *word)
{
    size_t len = strlen(word);

    skip_space(s);
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return false;
    s->p += len;
    return true;
}

static bool in_range(scan *s, emk_fraud_field f, int64_t v)
{
    if (v < EMK_FRAUD_FIELD[f].min || v > EMK_FRAUD_FIELD[f].max)
        return fail_as(s, EMK_E_LIMIT, "event: number out of range");
    return true;
}

/* null and "" say that there is nothing. */
static bool is_nothing(scan *s)
{
    const uint8_t *from = s->p;

    skip_space(s);
    if (s->p < s->end && *s->p == 'n')
        return take_word(s, "null");
    if (s->end - s->p >= 2 && s->p[0] == '"' && s->p[1] == '"') {
        s->p += 2;
        return true;
    }
    s->p = from;
    return false;
}

static bool take_value(scan *s, emk_fraud_field f)
{
    const emk_fraud_field_row *row = &EMK_FRAUD_FIELD[f];
    emk_fraud_value *v = &s->ev.f[f];
    int64_t number = 0;

    if (emk_fraud_has(&s->ev, f))
        return fail(s, "event: this key is here twice");
    s->ev.has |= UINT64_C(1) << f;
    s->hint = f + 1u;
    if (is_nothing(s)) {
        s->absent |= UINT64_C(1) << f;
        return true;
    }
    switch (row->kind) {
    case EMK_FRAUD_TEXT:
        return take_text(s, &v->text);
    case EMK_FRAUD_NUMBER:
        if (!take_number(s, row->fraction, &number) || !in_range(s, f, number))
            return false;
        v->number = number;
        return true;
    default:
        v->number = take_word(s, "true") ? EMK_FRAUD_MILLI : 0;
        return v->number || take_word(s, "false") || fail(s, "event: true or false was expected");
    }
}

/* "geo":[lat, lon, km] is short for three keys. */
static bool take_geo(scan *s)
{
    static const emk_fraud_field part[3] = {EMK_FRAUD_F_LAT, EMK_FRAUD_F_LON, EMK_FRAUD_F_GEO_KM};

    if (is_nothing(s))
        return true;
    if (!need(s, '[', "event: geo is a list of three numbers"))
        return false;
    for (unsigned i = 0; i < 3; i++) {
        if (i && !need(s, ',', "event: geo is a list of three numbers"))
            return false;
        if (!take_value(s, part[i]))
            return false;
    }
    return need(s, ']', "event: geo is a list of three numbers");
}

/* What stands behind an unknown key of "x": any single value. */
static bool pass_scalar(scan *s)
{
    emk_span text;
    int64_t number;

    skip_space(s);
    if (s->p < s->end && *s->p == '"')
        return take_text(s, &text);
    if (take_word(s, "true") || take_word(s, "false") || take_word(s, "null"))
        return true;
    return take_number(s, true, &number);
}

/* Any value, with all that is in it: brackets are counted, texts passed over.  What is malformed
 * inside is not looked at, but the line's own structure must hold. */
static bool pass_value(scan *s)
{
    unsigned depth = 0;
    emk_span text;

    do {
        skip_space(s);
        if (s->p == s->end)
            return fail(s, "event: a value was expected");
        if (*s->p == '"') {
            if (!take_long_text(s, &text))
                return false;
            continue;
        }
        depth += *s->p == '{' || *s->p == '[';
        if ((*s->p == '}' || *s->p == ']' || *s->p == ',') && depth == 0)
            return fail(s, "event: a value was expected");
        depth -= *s->p == '}' || *s->p == ']';
        s->p++;
        /* A number or a word ends where the next thing begins. */
        while (depth == 0 && s->p < s->end && (s->p[-1] != '}' && s->p[-1] != ']') &&
               *s->p != ',' && *s->p != '}' && *s->p != ']' && *s->p > ' ')
            s->p++;
    } while (depth > 0);
    return true;
}

/* A key that the schema does not have: no rule can ask for it. */
static bool pass_unknown(scan *s, emk_span key)
{
    emk_fraud_ignored *g = s->ignored;

    if (!g)
        return fail(s, "event: unknown key");
    if (g->n < EMK_FRAUD_IGNORED_FIRST)
        g->first[g->n] = key;
    g->n++;
    return pass_value(s);
}

/* A key as two words, zeros behind it: the table's rows are compared with it at once.  What is
 * longer than any key of the table is none of them. */
typedef struct word16 {
    uint64_t low, high;
} word16;

static word16 word_of(emk_span key)
{
    uint8_t bytes[16] = {0};

    if (key.p && key.len < sizeof bytes)
        memcpy(bytes, key.p, key.len);
    return (word16){emk_load_u64le(bytes), emk_load_u64le(bytes + 8)};
}

static bool is_word(const char text[16], word16 w)
{
    const uint8_t *bytes = (const uint8_t *)text;

    return emk_load_u64le(bytes) == w.low && emk_load_u64le(bytes + 8) == w.high;
}

/* The field called `key` in `group`, from where the last one was found on. */
static bool find(const scan *s, emk_fraud_group group, word16 key, emk_fraud_field *out)
{
    for (unsigned i = 0; i < EMK_FRAUD_FIELDS && key.low; i++) {
        unsigned f = s->hint + i;

        f = f >= EMK_FRAUD_FIELDS ? f - EMK_FRAUD_FIELDS : f;
        if (EMK_FRAUD_FIELD[f].group == group && is_word(EMK_FRAUD_FIELD[f].key, key)) {
            *out = (emk_fraud_field)f;
            return true;
        }
    }
    return false;
}

static bool equals(emk_span s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.p, text, s.len) == 0;
}

/* The usual form of a key, without spaces, read at once: "key": with both quotes and the colon
 * within the 18 bytes that are there.  False, and nothing taken, for all others. */
static bool take_short_key(scan *s, word16 *out)
{
    uint64_t low, high, at;
    unsigned len;

    if (s->end - s->p < 18 || *s->p != '"')
        return false;
    low = emk_load_u64le(s->p + 1);
    high = emk_load_u64le(s->p + 9);
    if ((at = zeros(low ^ EACH('"'))) != 0) {
        len = (unsigned)__builtin_ctzll(at) / 8;
        *out = (word16){low & ((UINT64_C(1) << 8 * len) - 1), 0};
    } else if ((at = zeros(high ^ EACH('"'))) != 0) {
        len = (unsigned)__builtin_ctzll(at) / 8;
        *out = (word16){low, high & ((UINT64_C(1) << 8 * len) - 1)};
        len += 8;
    } else {
        return false;
    }
    /* A zero in the key would look like its end. */
    if (s->p[len] == 0 || s->p[len + 2] != ':')
        return false;
    s->p += len + 3;
    return true;
}

static bool take_key(scan *s, emk_span *key)
{
    return (s->ignored ? take_long_text(s, key) : take_text(s, key)) &&
           need(s, ':', "event: a colon was expected");
}

static bool take_member(scan *s, emk_fraud_group group)
{
    const uint8_t *from = s->p;
    emk_fraud_field f;
    emk_span key = {NULL, 0};
    word16 w;

    if (take_short_key(s, &w) && find(s, group, w, &f))
        return take_value(s, f);
    s->p = from;
    if (!take_key(s, &key))
        return false;
    if (find(s, group, word_of(key), &f))
        return take_value(s, f);
    if (group == EMK_FRAUD_G_SUBJ && equals(key, "geo"))
        return take_geo(s);
    if (group == EMK_FRAUD_G_X && !s->ignored)
        return pass_scalar(s);
    return group == EMK_FRAUD_G_X ? pass_value(s) : pass_unknown(s, key);
}

static bool take_group(scan *s, emk_fraud_group group)
{
    if (s->groups >> group & 1)
        return fail(s, "event: this key is here twice");
    s->groups |= 1u << group;
    if (take_word(s, "null"))
        return true;
    if (!need(s, '{', "event: an object was expected"))
        return false;
    if (take(s, '}'))
        return true;
    do {
        if (!take_member(s, group))
            return false;
    } while (take(s, ','));
    return need(s, '}', "event: a comma or a closing brace was expected");
}

static bool take_version(scan *s)
{
    int64_t v;

    if (s->version)
        return fail(s, "event: this key is here twice");
    s->version = true;
    if (!take_number(s, false, &v))
        return false;
    return v == EMK_FRAUD_MILLI || fail_as(s, EMK_E_UNSUPPORTED, "event: version");
}

static bool take_top(scan *s)
{
    const uint8_t *from = s->p;
    emk_fraud_field f;
    emk_span key = {NULL, 0};
    word16 w;

    if (!take_short_key(s, &w)) {
        if (!take_key(s, &key))
            return false;
        w = word_of(key);
    }
    /* Groups first: a search among the fields would look at all of them for nothing. */
    for (unsigned g = EMK_FRAUD_G_APP; g < EMK_FRAUD_GROUPS; g++) {
        if (is_word(EMK_FRAUD_GROUP[g], w))
            return take_group(s, (emk_fraud_group)g);
    }
    if (w.low == 'v' && w.high == 0)
        return take_version(s);
    if (find(s, EMK_FRAUD_G_TOP, w, &f))
        return take_value(s, f);
    /* The short form did not keep the key's place. */
    s->p = key.p ? s->p : from;
    return (key.p || take_key(s, &key)) && pass_unknown(s, key);
}

static bool take_line(scan *s)
{
    if (!need(s, '{', "event: not an object"))
        return false;
    do {
        if (!take_top(s))
            return false;
    } while (take(s, ','));
    if (!need(s, '}', "event: a comma or a closing brace was expected"))
        return false;
    skip_space(s);
    return s->p == s->end || fail(s, "event: something follows the object");
}

/* src, type and ts have places of their own in the struct. */
static bool settle(scan *s)
{
    static const emk_fraud_field must[] = {EMK_FRAUD_F_SRC, EMK_FRAUD_F_TYPE, EMK_FRAUD_F_TS};
    emk_fraud_event *ev = &s->ev;
    unsigned src = 0;

    ev->has &= ~s->absent;
    if (!s->version)
        return fail(s, "event: \"v\" is missing");
    for (unsigned i = 0; i < 3; i++) {
        if (!emk_fraud_has(ev, must[i]))
            return fail(s, "event: src, type or ts is missing");
    }
    while (src < 3 && !equals(ev->f[EMK_FRAUD_F_SRC].text, EMK_FRAUD_SOURCE[src]))
        src++;
    if (src == 3)
        return fail(s, "event: unknown src");
    ev->src = (emk_fraud_source)src;
    if (!emk_fraud_type_find(ev->f[EMK_FRAUD_F_TYPE].text, &ev->type))
        return fail(s, "event: unknown type");
    ev->ts = (uint64_t)ev->f[EMK_FRAUD_F_TS].number / EMK_FRAUD_MILLI;
    return true;
}

static emk_status check_texts(const emk_fraud_event *ev, emk_error *e)
{
    for (unsigned f = 0; f < EMK_FRAUD_FIELDS; f++) {
        emk_span t = ev->f[f].text;

        if (!(ev->has >> f & 1) || EMK_FRAUD_FIELD[f].kind != EMK_FRAUD_TEXT)
            continue;
        if (t.len == 0 || t.len > EMK_FRAUD_ID_MAX)
            return emk_fail(e, EMK_E_LIMIT, "event: text empty or too long", f);
        for (size_t i = 0; i < t.len; i++) {
            if (!in_alphabet(t.p[i]))
                return emk_fail(e, EMK_E_FORMAT, "event: text outside the alphabet", f);
        }
    }
    return EMK_OK;
}

/* What both ways in have in common. */
static emk_status check_meaning(const emk_fraud_event *ev, emk_error *e)
{
    if (!(EMK_FRAUD_TYPE[ev->type].sources >> ev->src & 1))
        return emk_fail(e, EMK_E_FORMAT, "event: this src may not send this type", ev->type);
    if (ev->ts == 0 || ev->ts > EMK_FRAUD_TS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "event: ts", ev->ts);
    return EMK_OK;
}

emk_status emk_fraud_event_check(const emk_fraud_event *ev, emk_error *e)
{
    emk_status st;

    if ((unsigned)ev->type >= EMK_FRAUD_TYPES || (unsigned)ev->src > EMK_FRAUD_SRC_BACKEND)
        return emk_fail(e, EMK_E_FORMAT, "event: type or src", (uint64_t)ev->type);
    st = check_texts(ev, e);
    if (st != EMK_OK)
        return st;
    for (unsigned f = 0; f < EMK_FRAUD_FIELDS; f++) {
        if ((ev->has >> f & 1) && EMK_FRAUD_FIELD[f].kind == EMK_FRAUD_NUMBER &&
            (ev->f[f].number < EMK_FRAUD_FIELD[f].min || ev->f[f].number > EMK_FRAUD_FIELD[f].max))
            return emk_fail(e, EMK_E_LIMIT, "event: number out of range", f);
    }
    return check_meaning(ev, e);
}

static emk_status read_as(emk_span line, emk_fraud_ignored *ignored, emk_fraud_event *out,
                          emk_error *e)
{
    scan s;
    emk_status st;

    if (line.len > EMK_FRAUD_LINE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "event: line too long", line.len);
    s.begin = s.p = line.p;
    s.end = line.p + line.len;
    s.what = NULL;
    s.groups = 0;
    s.version = false;
    s.hint = 0;
    s.absent = 0;
    s.ignored = ignored;
    s.ev.has = 0;
    if (!take_line(&s) || !settle(&s))
        return emk_fail(e, s.status, s.what, (uint64_t)(s.at - s.begin));
    st = check_meaning(&s.ev, e);
    if (st == EMK_OK)
        *out = s.ev;
    return st;
}

emk_status emk_fraud_event_read(emk_span line, emk_fraud_event *out, emk_error *e)
{
    return read_as(line, NULL, out, e);
}

emk_status emk_fraud_event_read_foreign(emk_span line, emk_fraud_event *out,
                                        emk_fraud_ignored *ignored, emk_error *e)
{
    ignored->n = 0;
    return read_as(line, ignored, out, e);
}

void emk_fraud_event_init(emk_fraud_event *ev, emk_fraud_type type, uint64_t ts)
{
    ev->has = 0;
    ev->type = type;
    ev->src = EMK_FRAUD_SRC_SERVER;
    ev->ts = ts;
}

void emk_fraud_event_text(emk_fraud_event *ev, emk_fraud_field f, emk_span text)
{
    ev->has |= UINT64_C(1) << f;
    ev->f[f].text = text;
}

void emk_fraud_event_number(emk_fraud_event *ev, emk_fraud_field f, int64_t milli)
{
    ev->has |= UINT64_C(1) << f;
    ev->f[f].number = milli;
}

/* ---- the canonical form ---- */

typedef struct sheet {
    char text[WRITE_MAX];
    size_t len;
} sheet;

static void put(sheet *o, const char *p, size_t len)
{
    if (!p || len > sizeof o->text - o->len)
        return;
    memcpy(o->text + o->len, p, len);
    o->len += len;
}

static void put_string(sheet *o, const char *s)
{
    put(o, s, strlen(s));
}

static void put_number(sheet *o, int64_t milli)
{
    uint64_t v = milli < 0 ? (uint64_t)-milli : (uint64_t)milli;
    char text[32];
    int n = snprintf(text, sizeof text, "%s%" PRIu64 ".%03u", milli < 0 ? "-" : "", v / 1000,
                     (unsigned)(v % 1000));

    while (n > 0 && text[n - 1] == '0')
        n--;
    if (n > 0 && text[n - 1] == '.')
        n--;
    put(o, text, (size_t)n);
}

static void put_value(sheet *o, const emk_fraud_event *ev, emk_fraud_field f)
{
    put_string(o, "\"");
    put_string(o, EMK_FRAUD_FIELD[f].key);
    put_string(o, "\":");
    switch (EMK_FRAUD_FIELD[f].kind) {
    case EMK_FRAUD_TEXT:
        put_string(o, "\"");
        put(o, (const char *)ev->f[f].text.p, ev->f[f].text.len);
        put_string(o, "\"");
        break;
    case EMK_FRAUD_NUMBER:
        put_number(o, ev->f[f].number);
        break;
    default:
        put_string(o, ev->f[f].number ? "true" : "false");
    }
}

/* src, type and ts come from the struct, so that events made by hand have them too. */
static emk_fraud_event with_head(const emk_fraud_event *ev)
{
    emk_fraud_event full = *ev;

    emk_fraud_event_text(&full, EMK_FRAUD_F_SRC, emk_span_str(EMK_FRAUD_SOURCE[ev->src]));
    emk_fraud_event_text(&full, EMK_FRAUD_F_TYPE, emk_span_str(EMK_FRAUD_TYPE[ev->type].name));
    emk_fraud_event_number(&full, EMK_FRAUD_F_TS, (int64_t)ev->ts * EMK_FRAUD_MILLI);
    return full;
}

emk_status emk_fraud_event_write(const emk_fraud_event *ev, emk_buf *out, emk_error *e)
{
    emk_fraud_group group = EMK_FRAUD_G_TOP;
    emk_fraud_event full;
    sheet o;
    emk_status st = emk_fraud_event_check(ev, e);

    if (st != EMK_OK)
        return st;
    full = with_head(ev);
    o.len = 0;
    put_string(&o, "{\"v\":1");
    for (unsigned f = 0; f < EMK_FRAUD_FIELDS; f++) {
        emk_fraud_group of = EMK_FRAUD_FIELD[f].group;

        if (!(full.has >> f & 1))
            continue;
        if (of != group && group != EMK_FRAUD_G_TOP)
            put_string(&o, "}");
        put_string(&o, ",");
        if (of != group && of != EMK_FRAUD_G_TOP) {
            put_string(&o, "\"");
            put_string(&o, EMK_FRAUD_GROUP[of]);
            put_string(&o, "\":{");
        }
        group = of;
        put_value(&o, &full, (emk_fraud_field)f);
    }
    put_string(&o, group != EMK_FRAUD_G_TOP ? "}}" : "}");
    return emk_buf_append(out, emk_span_of(o.text, o.len), e);
}
