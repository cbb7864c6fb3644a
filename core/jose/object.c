#include "core/jose/object.h"

#include "core/base/alloc.h"
#include "core/codec/base64url.h"

emk_status emk_jose_text_open(emk_jose_text *t, emk_span json, size_t max, emk_error *e)
{
    t->im = NULL;
    if (json.len > max)
        return emk_fail(e, EMK_E_LIMIT, "jose: JSON text", json.len);
    t->im = emk_alloc(1, sizeof *t->im);
    if (!t->im)
        return emk_fail(e, EMK_E_NO_MEMORY, "jose: JSON text", sizeof *t->im);
    emk_image_from_span(t->im, json);
    emk_json_init(&t->j, t->im, 0, json.len);
    return EMK_OK;
}

emk_status emk_jose_text_close(emk_jose_text *t, emk_error *e)
{
    emk_status st;

    if (!t->im)
        return emk_fail(e, EMK_E_USAGE, "jose: JSON text is not open", 0);
    st = emk_json_finish(&t->j, e);
    emk_free(t->im);
    t->im = NULL;
    return st;
}

void emk_jose_object_opened(emk_jose_object *o, emk_json *j)
{
    o->j = j;
    o->n = 0;
}

void emk_jose_object_enter(emk_jose_object *o, emk_json *j)
{
    (void)emk_json_expect(j, EMK_JSON_OBJECT_BEGIN);
    emk_jose_object_opened(o, j);
}

/* Two names with one hash are taken for one name: nobody needs such names but a forger. */
static void note(emk_jose_object *o)
{
    uint64_t hash = 0;

    if (!emk_json_string_hash(o->j, &hash))
        return;
    for (size_t i = 0; i < o->n; i++)
        if (o->hashes[i] == hash)
            emk_json_fail(o->j, EMK_E_FORMAT, "jose: member comes twice", o->j->text_off);
    if (o->n == EMK_JOSE_MEMBERS_MAX)
        emk_json_fail(o->j, EMK_E_LIMIT, "jose: members", o->n);
    else
        o->hashes[o->n++] = hash;
}

bool emk_jose_object_next(emk_jose_object *o, const char *const *names, size_t n, size_t *i)
{
    if (emk_json_next(o->j) != EMK_JSON_KEY)
        return false;
    note(o);
    for (*i = 0; *i < n; (*i)++)
        if (emk_json_string_equals(o->j, names[*i]))
            break;
    return emk_json_ok(o->j);
}

bool emk_jose_read_text(emk_json *j, char *out, size_t cap)
{
    size_t len = 0;

    if (!emk_json_expect(j, EMK_JSON_STRING) || !emk_json_copy_string(j, out, cap, &len))
        return false;
    if (strlen(out) == len)
        return true;
    emk_json_fail(j, EMK_E_FORMAT, "jose: U+0000 in a text", j->text_off);
    return false;
}

/* The last token is the brace. */
static emk_span rest_of_object(emk_json *j)
{
    uint32_t depth = j->depth - 1;
    uint64_t at = j->pos - 1;

    while (emk_json_ok(j) && j->depth > depth)
        (void)emk_json_next(j);
    return emk_json_ok(j) ? emk_span_of(j->im->p + at, (size_t)(j->pos - at))
                          : emk_span_of(NULL, 0);
}

emk_span emk_jose_read_raw_object(emk_json *j)
{
    if (!emk_json_expect(j, EMK_JSON_OBJECT_BEGIN))
        return emk_span_of(NULL, 0);
    return rest_of_object(j);
}

size_t emk_jose_read_raw_objects(emk_json *j, emk_span *out, size_t cap)
{
    size_t n = 0;

    (void)emk_json_expect(j, EMK_JSON_ARRAY_BEGIN);
    while (emk_json_ok(j) && emk_json_next(j) == EMK_JSON_OBJECT_BEGIN) {
        if (n == cap) {
            emk_json_fail(j, EMK_E_LIMIT, "jose: objects", n);
            break;
        }
        out[n++] = rest_of_object(j);
    }
    if (emk_json_ok(j) && j->token != EMK_JSON_ARRAY_END)
        emk_json_fail(j, EMK_E_FORMAT, "jose: not an object", j->pos);
    return n;
}

emk_status emk_jose_append_part(emk_span bytes, size_t max, emk_buf *out, emk_error *e)
{
    size_t len = 0, before = out->len;
    uint8_t *p;
    emk_status st;

    if (bytes.len > max)
        return emk_fail(e, EMK_E_LIMIT, "jose: part", bytes.len);
    st = emk_buf_grow(out, EMK_BASE64URL_CHARS(bytes.len) + 1, &p, e);
    if (st != EMK_OK)
        return st;
    st = emk_base64url_encode(bytes, (char *)p, EMK_BASE64URL_CHARS(bytes.len) + 1, &len, e);
    out->len = before + len;
    return st;
}
