#include "server/api/json_in.h"

#include "core/codec/base64url.h"
#include "core/codec/json.h"
#include "server/api/problem.h"

#include <stdio.h>
#include <string.h>

/* One object that is being read. */
typedef struct level {
    const emk_json_shape *shape;
    uint8_t *out;
    uint64_t seen;
    const char *name; /* in its parent; NULL at the top */
} level;

typedef struct reading {
    emk_json j;
    emk_image im;
    emk_arena *arena;
    emk_span body;
    level levels[EMK_JSON_SHAPE_DEPTH];
    unsigned depth;          /* levels in use */
    const char *field;       /* being read */
    emk_json_complaint *why; /* filled by the first refusal */
    bool no_memory;
} reading;

static void point(reading *r)
{
    char *out = r->why->pointer;
    size_t n = 0, cap = sizeof r->why->pointer;

    out[0] = 0;
    for (unsigned i = 1; i < r->depth && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "/%s", r->levels[i].name);
    if (r->field && n < cap)
        snprintf(out + n, cap - n, "/%s", r->field);
}

static void refuse(reading *r, emk_status st, const char *why)
{
    if (!r->why->why) {
        r->why->why = why;
        point(r);
    }
    emk_json_fail(&r->j, st, why, r->j.pos);
}

static void *take(reading *r, size_t len)
{
    void *p = emk_arena_take(r->arena, len);

    if (!p) {
        r->no_memory = true;
        emk_json_fail(&r->j, EMK_E_NO_MEMORY, "json: arena full", len);
    }
    return p;
}

static bool want(reading *r, emk_json_token token, const char *why)
{
    emk_json_token got = emk_json_next(&r->j);

    if (got == token)
        return true;
    if (emk_json_ok(&r->j))
        refuse(r, EMK_E_FORMAT, why);
    return false;
}

/* The string token just read; decoded it is never longer than it came. */
static void copy_text(reading *r, uint64_t min, uint64_t max, emk_span *out)
{
    char *p;
    size_t len;

    if (r->j.text_len > max * 6) { /* the longest escape of one byte has six */
        refuse(r, EMK_E_LIMIT, "is too long");
        return;
    }
    p = take(r, (size_t)r->j.text_len + 1);
    if (!p || !emk_json_copy_string(&r->j, p, (size_t)r->j.text_len + 1, &len))
        return;
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)p[i] < 0x20 || p[i] == 0x7F) {
            refuse(r, EMK_E_FORMAT, "has a control character");
            return;
        }
    if (len < min || len > max) {
        refuse(r, EMK_E_LIMIT, len < min ? "is too short" : "is too long");
        return;
    }
    *out = emk_span_of(p, len);
}

static void read_text(reading *r, uint64_t min, uint64_t max, void *out)
{
    emk_span text = {0};

    if (!want(r, EMK_JSON_STRING, "must be a string"))
        return;
    copy_text(r, min, max, &text);
    if (emk_json_ok(&r->j))
        memcpy(out, &text, sizeof text);
}

static void read_bytes(reading *r, const emk_json_field *f, void *out)
{
    emk_span text = {0}, bytes;
    emk_error ignored;
    uint8_t *p;
    size_t len = 0;

    if (!want(r, EMK_JSON_STRING, "must be a string"))
        return;
    copy_text(r, 0, EMK_BASE64URL_CHARS(f->max), &text);
    if (!emk_json_ok(&r->j))
        return;
    p = take(r, text.len / 4 * 3 + 4);
    if (!p)
        return;
    if (emk_base64url_decode(text, p, text.len / 4 * 3 + 4, &len, &ignored) != EMK_OK) {
        refuse(r, EMK_E_FORMAT, "must be base64url without padding");
        return;
    }
    if (len < f->min || len > f->max) {
        refuse(r, EMK_E_LIMIT, len < f->min ? "is too short" : "is too long");
        return;
    }
    bytes = emk_span_of(p, len);
    memcpy(out, &bytes, sizeof bytes);
}

static void read_uint(reading *r, const emk_json_field *f, void *out)
{
    uint64_t v;

    if (!want(r, EMK_JSON_NUMBER, "must be an integer"))
        return;
    if (!emk_json_u64(&r->j, &v)) {
        refuse(r, EMK_E_FORMAT, "must be an integer within its limits");
        return;
    }
    if (v < f->min || v > f->max) {
        refuse(r, EMK_E_LIMIT, v < f->min ? "is too small" : "is too large");
        return;
    }
    memcpy(out, &v, sizeof v);
}

static void read_int(reading *r, const emk_json_field *f, void *out)
{
    int64_t v;
    uint64_t magnitude;

    if (!want(r, EMK_JSON_NUMBER, "must be an integer"))
        return;
    if (!emk_json_i64(&r->j, &v)) {
        refuse(r, EMK_E_FORMAT, "must be an integer within its limits");
        return;
    }
    magnitude = v < 0 ? ~(uint64_t)v + 1 : (uint64_t)v;
    if (magnitude < f->min || magnitude > f->max) {
        refuse(r, EMK_E_LIMIT, "is out of its limits");
        return;
    }
    memcpy(out, &v, sizeof v);
}

static void read_bool(reading *r, void *out)
{
    emk_json_token got = emk_json_next(&r->j);
    bool v = got == EMK_JSON_TRUE;

    if (!v && got != EMK_JSON_FALSE) {
        if (emk_json_ok(&r->j))
            refuse(r, EMK_E_FORMAT, "must be true or false");
        return;
    }
    memcpy(out, &v, sizeof v);
}

static void read_texts(reading *r, const emk_json_field *f, void *out)
{
    uint64_t max = f->max < EMK_JSON_LIST_MAX ? f->max : EMK_JSON_LIST_MAX;
    emk_json_texts list = {0};
    emk_json_token got;

    if (!want(r, EMK_JSON_ARRAY_BEGIN, "must be a list of strings"))
        return;
    list.v = take(r, (size_t)(max ? max : 1) * sizeof *list.v);
    while (list.v && (got = emk_json_next(&r->j)) != EMK_JSON_ARRAY_END) {
        if (!emk_json_ok(&r->j))
            return;
        if (got != EMK_JSON_STRING || list.n == max) {
            refuse(r, EMK_E_LIMIT,
                   got != EMK_JSON_STRING ? "must be a list of strings" : "has too many entries");
            return;
        }
        copy_text(r, 1, EMK_JSON_LIST_TEXT_MAX, &list.v[list.n]);
        if (!emk_json_ok(&r->j))
            return;
        list.n++;
    }
    if (list.v && list.n < f->min)
        refuse(r, EMK_E_LIMIT, "has too few entries");
    else
        memcpy(out, &list, sizeof list);
}

/* Any value, as it came. */
static void read_raw(reading *r, const emk_json_field *f, void *out)
{
    uint64_t from = r->j.pos, to;
    emk_span raw;

    emk_json_skip_value(&r->j);
    if (!emk_json_ok(&r->j))
        return;
    to = r->j.pos;
    /* Between the key and the value lie a colon and white space. */
    while (from < to && strchr(" \t\r\n:", r->body.p[from]))
        from++;
    raw = emk_span_of(r->body.p + from, (size_t)(to - from));
    if (raw.len < f->min || raw.len > f->max)
        refuse(r, EMK_E_LIMIT, raw.len < f->min ? "is too short" : "is too long");
    else
        memcpy(out, &raw, sizeof raw);
}

static void enter(reading *r, const emk_json_shape *shape, void *out, const char *name)
{
    if (!want(r, EMK_JSON_OBJECT_BEGIN, "must be an object"))
        return;
    if (r->depth == EMK_JSON_SHAPE_DEPTH) {
        refuse(r, EMK_E_LIMIT, "is too deep");
        return;
    }
    r->levels[r->depth++] = (level){.shape = shape, .out = out, .name = name};
}

static void read_field(reading *r, const emk_json_field *f, uint8_t *out)
{
    r->field = f->name;
    switch (f->kind) {
    case EMK_JSON_TEXT:
        read_text(r, f->min, f->max, out);
        break;
    case EMK_JSON_BYTES:
        read_bytes(r, f, out);
        break;
    case EMK_JSON_UINT:
        read_uint(r, f, out);
        break;
    case EMK_JSON_INT:
        read_int(r, f, out);
        break;
    case EMK_JSON_BOOL:
        read_bool(r, out);
        break;
    case EMK_JSON_STRUCT:
        enter(r, f->shape, out, f->name);
        break;
    case EMK_JSON_TEXT_LIST:
        read_texts(r, f, out);
        break;
    case EMK_JSON_RAW:
        read_raw(r, f, out);
        break;
    }
    if (emk_json_ok(&r->j))
        r->field = NULL;
}

static void leave(reading *r)
{
    const level *l = &r->levels[r->depth - 1];

    for (size_t i = 0; i < l->shape->n; i++)
        if ((l->shape->fields[i].flags & EMK_JSON_REQUIRED) && !(l->seen & UINT64_C(1) << i)) {
            r->field = l->shape->fields[i].name;
            refuse(r, EMK_E_FORMAT, "is missing");
            return;
        }
    r->depth--;
    r->field = NULL;
}

static void read_key(reading *r)
{
    level *l = &r->levels[r->depth - 1];
    const char *names[EMK_JSON_SHAPE_FIELDS];
    size_t i;

    for (i = 0; i < l->shape->n; i++)
        names[i] = l->shape->fields[i].name;
    if (!emk_json_which_key(&r->j, names, l->shape->n, &i, &l->seen)) {
        refuse(r, EMK_E_FORMAT, "has a field twice");
        return;
    }
    if (i == l->shape->n) {
        refuse(r, EMK_E_FORMAT, "has an unknown field");
        return;
    }
    read_field(r, &l->shape->fields[i], l->out + l->shape->fields[i].offset);
}

static void read_all(reading *r)
{
    while (r->depth > 0 && emk_json_ok(&r->j)) {
        switch (emk_json_next(&r->j)) {
        case EMK_JSON_KEY:
            read_key(r);
            break;
        case EMK_JSON_OBJECT_END:
            leave(r);
            break;
        default:
            refuse(r, EMK_E_FORMAT, "is not JSON");
            break;
        }
    }
}

emk_status emk_json_read(emk_arena *arena, emk_span body, const emk_json_shape *shape, void *out,
                         emk_json_complaint *why, emk_error *e)
{
    reading r; /* mostly the image's pages, which a span does not use: not zeroed */
    emk_status st;

    *why = (emk_json_complaint){.why = NULL};
    r.arena = arena;
    r.body = body;
    r.depth = 0;
    r.field = NULL;
    r.why = why;
    r.no_memory = false;
    emk_image_from_span(&r.im, body);
    emk_json_init(&r.j, &r.im, 0, body.len);
    enter(&r, shape, out, NULL);
    read_all(&r);
    if (emk_json_ok(&r.j) && emk_json_next(&r.j) != EMK_JSON_END)
        refuse(&r, EMK_E_FORMAT, "is not JSON");
    st = emk_json_finish(&r.j, e);
    if (st != EMK_OK && !why->why) {
        why->why = st == EMK_E_LIMIT ? "is beyond a limit" : "is not JSON";
        point(&r);
    }
    return r.no_memory ? EMK_E_NO_MEMORY : st;
}

bool emk_json_body(emk_call *call, const emk_json_shape *shape, void *out)
{
    emk_json_complaint why;
    emk_error ignored;
    emk_status st = emk_json_read(&call->arena, call->body, shape, out, &why, &ignored);

    if (st == EMK_OK)
        return true;
    if (st == EMK_E_NO_MEMORY)
        emk_problem_set(call, EMK_API_UNAVAILABLE, NULL);
    else
        emk_problem_set_field(call, &why);
    return false;
}
