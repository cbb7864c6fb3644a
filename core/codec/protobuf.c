#include "core/codec/protobuf.h"

#define VARINT_MAX 10u /* bytes that hold 64 bits */

void emk_pb_fail(emk_pb *pb, emk_status st, const char *what, uint64_t where)
{
    if (pb->status != EMK_OK)
        return;
    pb->status = st;
    pb->what = what;
    pb->where = where;
}

bool emk_pb_ok(const emk_pb *pb)
{
    return pb->status == EMK_OK;
}

static void bad(emk_pb *pb, const char *what, uint64_t where)
{
    emk_pb_fail(pb, EMK_E_FORMAT, what, where);
}

void emk_pb_init(emk_pb *pb, emk_image *im, uint64_t begin, uint64_t len, emk_pb_range *all)
{
    pb->im = im;
    pb->steps = len > UINT64_MAX - EMK_PB_STEPS_SPARE ? UINT64_MAX : len + EMK_PB_STEPS_SPARE;
    pb->status = EMK_OK;
    pb->what = "";
    pb->where = 0;
    all->pos = all->end = begin;
    if (emk_image_has(im, begin, len))
        all->end = begin + len;
    else
        bad(pb, "protobuf: range outside the file", begin);
}

static bool take_step(emk_pb *pb, uint64_t where)
{
    if (pb->steps == 0)
        emk_pb_fail(pb, EMK_E_LIMIT, "protobuf: too much work for this file", where);
    else
        pb->steps--;
    return emk_pb_ok(pb);
}

/* After each look at the image: a failed read gave zeros that mean nothing. */
static bool image_ok(emk_pb *pb)
{
    if (pb->im->cut)
        emk_pb_fail(pb, pb->im->status, "protobuf: file cannot be read", pb->im->cut_at);
    return emk_pb_ok(pb);
}

static bool read_varint(emk_pb *pb, emk_pb_range *r, uint64_t *out)
{
    uint8_t bytes[VARINT_MAX] = {0};
    uint64_t left = r->end - r->pos, v = 0;
    size_t n = left < VARINT_MAX ? (size_t)left : VARINT_MAX;

    emk_image_copy(pb->im, r->pos, bytes, n);
    if (!image_ok(pb))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (i == VARINT_MAX - 1 && bytes[i] > 1)
            break; /* more than 64 bits */
        v |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
        if (bytes[i] < 0x80) {
            r->pos += i + 1;
            *out = v;
            return true;
        }
    }
    bad(pb, n < VARINT_MAX ? "protobuf: cut short" : "protobuf: varint beyond 64 bits", r->pos);
    return false;
}

static bool read_fixed(emk_pb *pb, emk_pb_range *r, emk_pb_field *f)
{
    unsigned len = f->type == EMK_PB_FIXED64 ? 8 : 4;

    if (r->end - r->pos < len) {
        bad(pb, "protobuf: cut short", r->pos);
        return false;
    }
    f->value = len == 8 ? emk_image_u64le(pb->im, r->pos) : emk_image_u32le(pb->im, r->pos);
    r->pos += len;
    return image_ok(pb);
}

static bool read_value(emk_pb *pb, emk_pb_range *r, emk_pb_field *f)
{
    f->bytes.pos = r->pos;
    if (f->type == EMK_PB_FIXED32 || f->type == EMK_PB_FIXED64) {
        if (!read_fixed(pb, r, f))
            return false;
    } else if (!read_varint(pb, r, &f->value)) {
        return false;
    }
    if (f->type == EMK_PB_BYTES) {
        f->bytes.pos = r->pos;
        if (f->value > r->end - r->pos) {
            bad(pb, "protobuf: longer than what is left", r->pos);
            return false;
        }
        r->pos += f->value;
    }
    f->bytes.end = r->pos;
    return true;
}

static bool type_of(uint64_t key, emk_pb_type *type)
{
    switch (key & 7) {
    case EMK_PB_VARINT:
        *type = EMK_PB_VARINT;
        return true;
    case EMK_PB_FIXED64:
        *type = EMK_PB_FIXED64;
        return true;
    case EMK_PB_BYTES:
        *type = EMK_PB_BYTES;
        return true;
    case EMK_PB_FIXED32:
        *type = EMK_PB_FIXED32;
        return true;
    default:
        return false; /* groups are long gone from every format read here */
    }
}

bool emk_pb_next(emk_pb *pb, emk_pb_range *r, emk_pb_field *out)
{
    emk_pb_range rest = *r;
    emk_pb_field f = {0, EMK_PB_VARINT, 0, {0, 0}};
    uint64_t key;

    if (!emk_pb_ok(pb) || rest.pos >= rest.end || !take_step(pb, rest.pos))
        return false;
    if (!read_varint(pb, &rest, &key))
        return false;
    if (key > UINT32_MAX || key >> 3 == 0) {
        bad(pb, "protobuf: field number", r->pos);
        return false;
    }
    if (!type_of(key, &f.type)) {
        bad(pb, "protobuf: wire type", r->pos);
        return false;
    }
    f.number = (uint32_t)(key >> 3);
    if (!read_value(pb, &rest, &f))
        return false;
    *r = rest;
    *out = f;
    return true;
}

bool emk_pb_next_varint(emk_pb *pb, emk_pb_range *r, uint64_t *out)
{
    if (!emk_pb_ok(pb) || r->pos >= r->end || !take_step(pb, r->pos))
        return false;
    return read_varint(pb, r, out);
}

bool emk_pb_want(emk_pb *pb, const emk_pb_field *f, emk_pb_type type)
{
    if (emk_pb_ok(pb) && f->type != type)
        bad(pb, "protobuf: field of another wire type", f->bytes.pos);
    return emk_pb_ok(pb);
}

emk_status emk_pb_finish(const emk_pb *pb, emk_error *e)
{
    return emk_pb_ok(pb) ? EMK_OK : emk_fail(e, pb->status, pb->what, pb->where);
}
