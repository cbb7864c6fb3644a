#include "server/api/entity.h"

#include "core/base/alloc.h"
#include "core/codec/cbor.h"
#include "core/seal/policy.h"

#include <string.h>

/* A field's place in a struct. */
typedef union place {
    const void *v;
    const uint64_t *number;
    const bool *flag;
    const char *text;
    const uint8_t *bytes;
    const emk_entity_bytes *some;
} place;

static place place_of(const emk_entity_field *f, const void *in)
{
    return (place){.v = (const uint8_t *)in + f->offset};
}

static bool is_zero(const uint8_t *p, size_t n)
{
    uint8_t any = 0;

    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return any == 0;
}

static bool is_there(const emk_entity_field *f, const void *in)
{
    const place at = place_of(f, in);

    switch (f->kind) {
    case EMK_ENTITY_UINT:
    case EMK_ENTITY_TIME:
        return *at.number != 0;
    case EMK_ENTITY_BOOL:
        return *at.flag;
    case EMK_ENTITY_TEXT:
        return at.text[0] != 0;
    case EMK_ENTITY_FIXED:
        return !is_zero(at.bytes, f->size);
    case EMK_ENTITY_BYTES:
        return at.some->len > 0;
    }
    return false;
}

static emk_status write_field(const emk_entity_field *f, const void *in, emk_writer *w,
                              emk_error *e)
{
    const place at = place_of(f, in);

    emk_cbor_put_uint(w, f->number);
    switch (f->kind) {
    case EMK_ENTITY_UINT:
    case EMK_ENTITY_TIME:
        emk_cbor_put_uint(w, *at.number);
        break;
    case EMK_ENTITY_BOOL:
        emk_cbor_put_bool(w, true);
        break;
    case EMK_ENTITY_FIXED:
        emk_cbor_put_bytes(w, emk_span_of(at.bytes, f->size));
        break;
    case EMK_ENTITY_BYTES:
        if (at.some->len > f->size)
            return emk_fail(e, EMK_E_LIMIT, "entity: bytes", at.some->len);
        emk_cbor_put_bytes(w, emk_span_of(at.some->p, at.some->len));
        break;
    case EMK_ENTITY_TEXT:
        if (!memchr(at.text, 0, f->size) || !emk_text_is_clean(emk_span_str(at.text)))
            return emk_fail(e, EMK_E_FORMAT, "entity: text", f->number);
        emk_cbor_put_text(w, emk_span_str(at.text));
        break;
    }
    return EMK_OK;
}

static emk_status write_fields(const emk_entity_shape *shape, const void *in, emk_writer *w,
                               emk_error *e)
{
    size_t n = 0;
    emk_status st;

    for (size_t i = 0; i < shape->n; i++)
        n += is_there(&shape->fields[i], in);
    emk_cbor_put_map(w, n);
    for (size_t i = 0; i < shape->n; i++) {
        if (!is_there(&shape->fields[i], in))
            continue;
        st = write_field(&shape->fields[i], in, w, e);
        if (st != EMK_OK)
            return st;
    }
    return EMK_OK;
}

emk_status emk_entity_write(const emk_entity_shape *shape, const void *in, emk_buf *out,
                            emk_error *e)
{
    uint8_t *p = emk_alloc(1, EMK_ENTITY_VALUE_MAX);
    emk_writer w;
    emk_status st;

    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "entity: memory", EMK_ENTITY_VALUE_MAX);
    emk_writer_init(&w, p, EMK_ENTITY_VALUE_MAX);
    st = write_fields(shape, in, &w, e);
    if (st == EMK_OK && w.full)
        st = emk_fail(e, EMK_E_LIMIT, "entity: value", w.pos);
    if (st == EMK_OK)
        st = emk_buf_append(out, emk_writer_span(&w), e);
    emk_free(p);
    return st;
}

static void read_text(emk_cbor_reader *r, const emk_entity_field *f, uint8_t *to)
{
    const emk_span s = emk_cbor_read_text(r);

    if (s.len >= f->size)
        emk_cbor_fail(r, EMK_E_FORMAT, "entity: text too long", s.len);
    else if (!emk_text_is_clean(s)) /* a zero would make it another text */
        emk_cbor_fail(r, EMK_E_FORMAT, "entity: text", f->number);
    else if (s.len > 0)
        memcpy(to, s.p, s.len);
}

static void read_some(emk_cbor_reader *r, const emk_entity_field *f, uint8_t *to)
{
    const emk_span s = emk_cbor_read_bytes(r);

    if (s.len > f->size) {
        emk_cbor_fail(r, EMK_E_FORMAT, "entity: bytes too long", s.len);
        return;
    }
    memcpy(to, &s.len, sizeof s.len);
    if (s.len > 0)
        memcpy(to + offsetof(emk_entity_bytes, p), s.p, s.len);
}

static void read_field(emk_cbor_reader *r, const emk_entity_field *f, void *out)
{
    uint8_t *to = (uint8_t *)out + f->offset;
    uint64_t number;
    bool flag;

    switch (f->kind) {
    case EMK_ENTITY_UINT:
    case EMK_ENTITY_TIME:
        number = emk_cbor_read_uint(r);
        memcpy(to, &number, sizeof number);
        break;
    case EMK_ENTITY_BOOL:
        flag = emk_cbor_read_bool(r);
        memcpy(to, &flag, sizeof flag);
        break;
    case EMK_ENTITY_FIXED:
        emk_cbor_read_fixed(r, to, f->size);
        break;
    case EMK_ENTITY_BYTES:
        read_some(r, f, to);
        break;
    case EMK_ENTITY_TEXT:
        read_text(r, f, to);
        break;
    }
}

static const emk_entity_field *find_field(const emk_entity_shape *shape, int64_t number)
{
    for (size_t i = 0; i < shape->n; i++) {
        if ((int64_t)shape->fields[i].number == number)
            return &shape->fields[i];
    }
    return NULL;
}

emk_status emk_entity_read(const emk_entity_shape *shape, emk_span value, void *out, emk_error *e)
{
    emk_cbor_reader r;
    int64_t number;

    memset(out, 0, shape->struct_size);
    emk_cbor_reader_init(&r, value);
    emk_cbor_enter_map(&r);
    while (emk_cbor_next_key(&r, &number)) {
        const emk_entity_field *f = find_field(shape, number);

        if (f)
            read_field(&r, f, out);
        else
            emk_cbor_fail(&r, EMK_E_UNSUPPORTED, "entity: of a newer server", (uint64_t)number);
    }
    emk_cbor_leave(&r);
    return emk_cbor_finish(&r, e);
}

void emk_entity_json(const emk_entity_shape *shape, const void *in, emk_json_out *o)
{
    for (size_t i = 0; i < shape->n; i++) {
        const emk_entity_field *f = &shape->fields[i];
        const place at = place_of(f, in);

        if (f->flags & EMK_ENTITY_HIDDEN)
            continue;
        switch (f->kind) {
        case EMK_ENTITY_UINT:
            emk_json_out_uint(o, f->name, *at.number);
            break;
        case EMK_ENTITY_BOOL:
            emk_json_out_bool(o, f->name, *at.flag);
            break;
        case EMK_ENTITY_TEXT:
            emk_json_out_text(o, f->name, emk_span_str(at.text));
            break;
        case EMK_ENTITY_TIME:
            if (*at.number != 0)
                emk_json_out_time(o, f->name, *at.number);
            break;
        case EMK_ENTITY_FIXED:
            if (!is_zero(at.bytes, f->size))
                emk_json_out_base64url(o, f->name, emk_span_of(at.bytes, f->size));
            break;
        case EMK_ENTITY_BYTES:
            emk_json_out_base64url(o, f->name, emk_span_of(at.some->p, at.some->len));
            break;
        }
    }
}

emk_status emk_entity_get(const emk_records *r, const emk_entity_shape *shape, emk_span id,
                          void *out, emk_record_info *info, emk_error *e)
{
    emk_buf value;
    emk_status st;

    emk_buf_init(&value, EMK_ENTITY_VALUE_MAX);
    st = emk_records_get(r, (uint32_t)shape->kind, id, info, &value, e);
    if (st == EMK_OK)
        st = emk_entity_read(shape, emk_buf_span(&value), out, e);
    emk_buf_done(&value);
    return st;
}

emk_status emk_entity_change_make(const emk_entity_put *put, emk_entity_change *out, emk_error *e)
{
    emk_entity_change c = {.change = {.op = EMK_RECORD_PUT,
                                      .kind = (uint32_t)put->shape->kind,
                                      .id = put->id,
                                      .owner = put->owner,
                                      .expect = put->expect,
                                      .expires_s = put->expires_s}};
    emk_status st;

    emk_buf_init(&c.value, EMK_ENTITY_VALUE_MAX);
    st = emk_entity_write(put->shape, put->in, &c.value, e);
    if (st != EMK_OK) {
        emk_buf_done(&c.value);
        return st;
    }
    c.change.value = emk_buf_span(&c.value);
    *out = c;
    return EMK_OK;
}

void emk_entity_change_done(emk_entity_change *c)
{
    emk_buf_done(&c->value);
}

emk_status emk_entity_store(const emk_records *r, const emk_entity_put *put, uint64_t *version,
                            emk_error *e)
{
    emk_entity_change c;
    emk_status st = emk_entity_change_make(put, &c, e);

    if (st != EMK_OK)
        return st;
    st = emk_records_commit(r, &c.change, 1, version, e);
    emk_entity_change_done(&c);
    return st;
}
