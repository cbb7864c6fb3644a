/* OpenVINO IR: an .xml that says where in the .bin beside it each constant is.  [models 9]
 *
 * Of XML it reads elements, attributes and comments.  Refused: document types, so that no
 * entity is ever defined or expanded, and marked sections, which no IR has.  Names are kept as
 * they stand; numbers are digits and nothing else. */
#include "core/model/internal.h"

#define DEPTH_MAX   64u   /* elements open at once */
#define NAME_KEPT   24u   /* longer names mean nothing here */
#define PROBE_LEN   1024u /* where the root must begin to be recognised */
#define DIGITS_MAX  19u   /* of an offset or a length: fits 64 bits for sure */
#define VERSION_MIN 10u   /* of the IR: older ones keep weights otherwise */
#define VERSION_MAX 11u

typedef struct range {
    uint64_t off, len; /* off is 0 where there is none: an attribute never stands there */
} range;

enum { NAME, TYPE, VERSION, ELEMENT_TYPE, SHAPE, OFFSET, SIZE, N_ATTRIBUTES };
static const char *const attribute_names[N_ATTRIBUTES] = {
    "name", "type", "version", "element_type", "shape", "offset", "size"};

typedef enum element_kind { OTHER, NET, LAYER, CONSTANT, DATA, BLOBS } element_kind;

typedef struct element {
    uint64_t name_hash; /* of its own name, which the closing tag must have, too */
    element_kind kind;
    range label; /* of a layer: its name */
} element;

typedef struct ir {
    emk_scan *s;
    emk_error *e;
    emk_status st;
    uint64_t pos, end; /* in the image */
    const uint8_t *window;
    uint64_t window_at, epoch;
    size_t window_len;
    uint32_t depth;
    bool has_root;
    element open[DEPTH_MAX];
    uint32_t part; /* the .bin */
} ir;

static const struct {
    const char *name;
    uint8_t dtype;
} dtypes[] = {
    {"f32", EMK_DTYPE_F32},        {"f16", EMK_DTYPE_F16},        {"bf16", EMK_DTYPE_BF16},
    {"f64", EMK_DTYPE_F64},        {"i8", EMK_DTYPE_I8},          {"u8", EMK_DTYPE_U8},
    {"i16", EMK_DTYPE_I16},        {"u16", EMK_DTYPE_U16},        {"i32", EMK_DTYPE_I32},
    {"u32", EMK_DTYPE_U32},        {"i64", EMK_DTYPE_I64},        {"u64", EMK_DTYPE_U64},
    {"boolean", EMK_DTYPE_BOOL},   {"string", EMK_DTYPE_STRING},  {"i4", EMK_DTYPE_I4},
    {"u4", EMK_DTYPE_U4},          {"u2", EMK_DTYPE_U2},          {"f8e4m3", EMK_DTYPE_F8_E4M3},
    {"f8e5m2", EMK_DTYPE_F8_E5M2}, {"f8e8m0", EMK_DTYPE_F8_E8M0}, {"f4e2m1", EMK_DTYPE_F4_E2M1},
};

/* ---- characters ---- */

static void fail(ir *x, emk_status st, const char *what, uint64_t where)
{
    if (x->st == EMK_OK)
        x->st = emk_fail(x->e, st, what, where);
}

static bool ok(const ir *x)
{
    return x->st == EMK_OK && !x->s->im->cut;
}

static void refill(ir *x)
{
    x->window = emk_image_window(x->s->im, x->pos, &x->window_len);
    x->window_at = x->pos;
    x->epoch = x->s->im->epoch;
    if (!x->window)
        x->window_len = 0;
    else if (x->window_len > x->end - x->pos)
        x->window_len = (size_t)(x->end - x->pos);
}

/* Bytes at hand from the next one on: at least one unless there is none. */
static size_t at_hand(ir *x)
{
    if (x->pos - x->window_at < x->window_len && x->epoch == x->s->im->epoch)
        return x->window_len - (size_t)(x->pos - x->window_at);
    if (x->pos >= x->end || !ok(x))
        return 0;
    refill(x);
    return x->window_len;
}

/* The next character, or 0 at the end. */
static uint8_t peek(ir *x)
{
    return at_hand(x) > 0 ? x->window[x->pos - x->window_at] : 0;
}

static uint8_t next(ir *x)
{
    uint8_t c = peek(x);

    if (x->pos < x->end)
        x->pos++;
    else
        fail(x, EMK_E_FORMAT, "openvino: cut short", x->pos);
    return c;
}

/* Passes over what is neither a nor b, which is most of a file. */
static void skip_plain(ir *x, uint8_t a, uint8_t b)
{
    size_t n;

    while ((n = at_hand(x)) > 0) {
        const uint8_t *p = x->window + (x->pos - x->window_at);
        size_t i = 0;

        while (i < n && p[i] != a && p[i] != b)
            i++;
        x->pos += i;
        if (i < n)
            return;
    }
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(ir *x)
{
    while (is_space(peek(x)))
        x->pos++;
}

static void want(ir *x, char c)
{
    uint64_t at = x->pos;

    if (next(x) != (uint8_t)c)
        fail(x, EMK_E_FORMAT, "openvino: tag", at);
}

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':' || c >= 0x80;
}

/* A name; its text is empty when it is longer than any that matters.  Returns its hash. */
static uint64_t take_name(ir *x, char text[NAME_KEPT])
{
    uint64_t hash = 0xCBF29CE484222325u, at = x->pos;
    uint32_t len = 0;

    for (uint8_t c = peek(x); is_name_char(c); c = peek(x)) {
        x->pos++;
        if (len < NAME_KEPT)
            text[len++] = (char)c;
        hash = (hash ^ c) * 0x100000001B3u;
    }
    if (len == 0)
        fail(x, EMK_E_FORMAT, "openvino: name in a tag", at);
    text[len < NAME_KEPT ? len : 0] = 0;
    return hash;
}

/* Passes over everything up to and with `end`. */
static void skip_past(ir *x, const char *end)
{
    size_t len = strlen(end), seen = 0;

    while (seen < len && ok(x)) {
        uint8_t c = next(x);

        if (c == (uint8_t)end[seen])
            seen++;
        else if (!(c == '-' && seen == len - 1 && end[0] == '-')) /* "--->" ends with "-->" */
            seen = c == (uint8_t)end[0];
    }
}

/* ---- values ---- */

static bool range_is(ir *x, range r, const char *text)
{
    return r.off != 0 && r.len == strlen(text) &&
           emk_image_equal(x->s->im, r.off, emk_span_str(text));
}

static uint64_t decimal(ir *x, range r)
{
    uint64_t v = 0;

    if (r.len == 0 || r.len > DIGITS_MAX)
        fail(x, EMK_E_FORMAT, "openvino: number", r.off);
    for (uint64_t i = 0; i < r.len && ok(x); i++) {
        uint8_t c = emk_image_u8(x->s->im, r.off + i);

        if (c < '0' || c > '9')
            fail(x, EMK_E_FORMAT, "openvino: number", r.off);
        v = v * 10 + (uint64_t)(c - '0');
    }
    return v;
}

static void read_dtype(ir *x, range r, emk_tensor *t)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (range_is(x, r, dtypes[i].name)) {
            t->dtype = dtypes[i].dtype;
            return;
        }
    }
}

/* "64, 3, 7": a label, so what does not read like one is no shape. */
static void read_shape(ir *x, range r, emk_tensor *t)
{
    uint64_t dim = 0;
    bool digits = false;

    t->rank = 0;
    for (uint64_t i = 0; i <= r.len && r.off != 0 && ok(x); i++) {
        uint8_t c = i < r.len ? emk_image_u8(x->s->im, r.off + i) : ',';

        if (c >= '0' && c <= '9' && dim <= INT64_MAX / 16) {
            dim = dim * 10 + (uint64_t)(c - '0');
            digits = true;
        } else if (c == ',' && digits && t->rank < EMK_MODEL_DIMS_MAX) {
            t->dims[t->rank++] = dim;
            dim = 0;
            digits = false;
        } else if (c != ' ' && (r.len > 0 || c != ',')) {
            t->rank = EMK_MODEL_RANK_MORE;
            return;
        }
    }
}

/* ---- elements ---- */

static range take_value(ir *x)
{
    uint64_t at = x->pos;
    uint8_t quote = next(x), c;
    range r = {x->pos, 0};

    if (quote != '"' && quote != '\'')
        fail(x, EMK_E_FORMAT, "openvino: value without quotes", at);
    skip_plain(x, quote, '<');
    c = next(x);
    if (c != quote)
        fail(x, EMK_E_FORMAT, "openvino: value", at);
    r.len = x->pos - 1 - r.off;
    return r;
}

/* An attribute; those that matter are kept, and may not come again. */
static void take_attribute(ir *x, range values[N_ATTRIBUTES])
{
    char name[NAME_KEPT];
    uint64_t at = x->pos;
    range value;

    (void)take_name(x, name);
    skip_space(x);
    want(x, '=');
    skip_space(x);
    value = take_value(x);
    for (size_t i = 0; i < N_ATTRIBUTES && ok(x); i++) {
        if (name[0] != attribute_names[i][0] || strcmp(name, attribute_names[i]) != 0)
            continue;
        if (values[i].off != 0)
            fail(x, EMK_E_FORMAT, "openvino: attribute comes again", at);
        values[i] = value;
    }
}

static void check_net(ir *x, const range *values)
{
    uint64_t version = decimal(x, values[VERSION]);
    emk_model_part bin = {.naming = EMK_PART_BIN};

    if (!ok(x))
        return;
    if (version < VERSION_MIN || version > VERSION_MAX)
        fail(x, EMK_E_UNSUPPORTED, "openvino: version", version);
    else
        x->st = emk_scan_new_part(x->s, &bin, &x->part, x->e);
}

static void emit(ir *x, const range *values, range label, uint64_t at)
{
    emk_tensor t = {.kind = EMK_TENSOR_WEIGHT, .part = x->part};

    if (values[OFFSET].off == 0 || values[SIZE].off == 0) {
        fail(x, EMK_E_FORMAT, "openvino: constant without offset and size", at);
        return;
    }
    t.offset = decimal(x, values[OFFSET]);
    t.length = decimal(x, values[SIZE]);
    read_dtype(x, values[ELEMENT_TYPE], &t);
    read_shape(x, values[SHAPE], &t);
    if (label.len <= UINT32_MAX) {
        t.name_off = label.off;
        t.name_len = (uint32_t)label.len;
    }
    if (!ok(x))
        return;
    if (t.dtype == EMK_DTYPE_STRING)
        x->st = emk_scan_clear(x->s, EMK_CLEAR_STRING, t.length, x->e);
    else
        x->st = emk_scan_emit(x->s, &t, x->e);
}

static element_kind kind_of(ir *x, const char *name, const range *values)
{
    if (strcmp(name, "layer") == 0)
        return range_is(x, values[TYPE], "Const") ? CONSTANT : LAYER;
    if (strcmp(name, "data") == 0)
        return DATA;
    if (strcmp(name, "blobs") == 0)
        return BLOBS;
    return strcmp(name, "net") == 0 ? NET : OTHER;
}

/* What an element means where it stands. */
static void enter(ir *x, element *made, const range *values, uint64_t at)
{
    const element *parent = x->depth ? &x->open[x->depth - 1] : NULL;

    if (!parent) {
        if (made->kind != NET || x->has_root)
            fail(x, EMK_E_FORMAT, "openvino: no <net>", at);
        else
            check_net(x, values);
        x->has_root = true;
        return;
    }
    if (made->kind == LAYER || made->kind == CONSTANT)
        made->label = values[NAME];
    else
        made->label = parent->label;
    if ((parent->kind == CONSTANT && made->kind == DATA) || parent->kind == BLOBS)
        emit(x, values, made->label, at);
}

/* An opening tag behind its "<". */
static void read_open(ir *x)
{
    range values[N_ATTRIBUTES] = {{0, 0}};
    element made = {0, OTHER, {0, 0}};
    uint64_t at = x->pos - 1;
    char name[NAME_KEPT];
    uint8_t c;

    made.name_hash = take_name(x, name);
    for (skip_space(x); ok(x) && (c = peek(x)) != '/' && c != '>'; skip_space(x))
        take_attribute(x, values);
    if (!ok(x))
        return;
    made.kind = kind_of(x, name, values);
    enter(x, &made, values, at);
    if (peek(x) == '/') {
        want(x, '/');
        want(x, '>');
        return;
    }
    want(x, '>');
    if (x->depth == DEPTH_MAX) {
        fail(x, EMK_E_LIMIT, "openvino: elements nested too deep", at);
        return;
    }
    x->open[x->depth++] = made;
}

static void read_close(ir *x)
{
    char name[NAME_KEPT];
    uint64_t at = x->pos, hash = take_name(x, name);

    skip_space(x);
    want(x, '>');
    if (x->depth == 0 || x->open[x->depth - 1].name_hash != hash)
        fail(x, EMK_E_FORMAT, "openvino: closing tag", at);
    else
        x->depth--;
}

/* A comment; everything else that begins with "<!" is refused. */
static void read_comment(ir *x)
{
    uint64_t at = x->pos;

    for (unsigned i = 0; i < 2 && ok(x); i++) {
        if (next(x) != '-')
            fail(x, EMK_E_UNSUPPORTED, "openvino: document type or marked section", at);
    }
    skip_past(x, "-->");
}

static void read_markup(ir *x)
{
    x->st = emk_scan_step(x->s, 1, x->e);
    want(x, '<');
    switch (peek(x)) {
    case '!':
        (void)next(x);
        read_comment(x);
        break;
    case '?':
        skip_past(x, "?>");
        break;
    case '/':
        (void)next(x);
        read_close(x);
        break;
    default:
        read_open(x);
    }
}

static void skip_text(ir *x)
{
    if (x->depth == 0)
        skip_space(x);
    if (x->depth == 0 && x->pos < x->end && peek(x) != '<')
        fail(x, EMK_E_FORMAT, "openvino: text outside the root", x->pos);
    skip_plain(x, '<', '<');
}

static uint64_t mark_len(emk_image *im, uint64_t at)
{
    return emk_image_has(im, at, 3) && emk_image_equal(im, at, emk_span_str("\xef\xbb\xbf")) ? 3
                                                                                             : 0;
}

bool emk_openvino_detect(emk_image *im)
{
    char head[PROBE_LEN + 1];
    uint64_t mark = mark_len(im, 0), left = im->len - mark;
    size_t len = left < PROBE_LEN ? (size_t)left : PROBE_LEN;
    const char *net;

    emk_image_copy(im, mark, (uint8_t *)head, len);
    head[len] = 0;
    net = strstr(head, "<net");
    return head[strspn(head, " \t\r\n")] == '<' && net && is_space((uint8_t)net[4]);
}

emk_status emk_openvino_scan(emk_scan *s, emk_error *e)
{
    ir x = {.s = s, .e = e, .pos = s->base, .end = s->base + s->len};

    x.pos += mark_len(s->im, s->base);
    skip_text(&x);
    while (x.pos < x.end && ok(&x)) {
        read_markup(&x);
        skip_text(&x);
    }
    if (ok(&x) && (x.depth > 0 || !x.has_root))
        fail(&x, EMK_E_FORMAT, "openvino: cut short", x.end);
    if (x.st == EMK_OK)
        x.st = emk_image_check(s->im, "openvino: file cannot be read", e);
    return x.st;
}
