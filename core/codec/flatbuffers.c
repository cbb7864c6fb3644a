#include "core/codec/flatbuffers.h"

#define OFFSET_LEN 4u /* bytes of an offset, a vtable distance, a count */

void emk_fb_fail(emk_fb *fb, emk_status st, const char *what, uint64_t where)
{
    if (fb->status != EMK_OK)
        return;
    fb->status = st;
    fb->what = what;
    fb->where = where;
}

static void bad(emk_fb *fb, const char *what, uint64_t where)
{
    emk_fb_fail(fb, EMK_E_FORMAT, what, where);
}

/* A failed read gave zeros that mean nothing, so the image's state counts as ours. */
bool emk_fb_ok(const emk_fb *fb)
{
    return fb->status == EMK_OK && !fb->im->cut;
}

emk_status emk_fb_finish(const emk_fb *fb, emk_error *e)
{
    if (fb->status != EMK_OK)
        return emk_fail(e, fb->status, fb->what, fb->where);
    return emk_image_check(fb->im, "flatbuffer: file cannot be read", e);
}

void emk_fb_init(emk_fb *fb, emk_image *im, uint64_t begin, uint64_t end)
{
    fb->im = im;
    fb->begin = begin;
    fb->end = end;
    fb->steps = 0;
    fb->status = EMK_OK;
    fb->what = "";
    fb->where = 0;
    if (begin > end || end > im->len)
        bad(fb, "flatbuffer: range outside the file", begin);
    else
        fb->steps = end - begin > UINT64_MAX - EMK_FB_STEPS_SPARE
                        ? UINT64_MAX
                        : end - begin + EMK_FB_STEPS_SPARE;
}

static bool has(const emk_fb *fb, uint64_t off, uint64_t len)
{
    return off >= fb->begin && off <= fb->end && len <= fb->end - off;
}

static bool is_aligned(const emk_fb *fb, uint64_t off, unsigned to)
{
    return (off - fb->begin) % to == 0;
}

static bool take_step(emk_fb *fb, uint64_t where)
{
    if (!emk_fb_ok(fb))
        return false;
    if (fb->steps == 0)
        emk_fb_fail(fb, EMK_E_LIMIT, "flatbuffer: too much work for this file", where);
    else
        fb->steps--;
    return fb->status == EMK_OK;
}

bool emk_fb_has_identifier(emk_fb *fb, const char *id)
{
    return emk_fb_ok(fb) && has(fb, fb->begin, 8) && strlen(id) == 4 &&
           emk_image_equal(fb->im, fb->begin + 4, emk_span_str(id));
}

/* Follows the offset stored at `at`; 0 on failure.  Offsets only point forward. */
static uint64_t follow(emk_fb *fb, uint64_t at)
{
    uint64_t target;

    if (!has(fb, at, OFFSET_LEN)) {
        bad(fb, "flatbuffer: cut short", at);
        return 0;
    }
    target = at + emk_image_u32le(fb->im, at);
    if (!emk_fb_ok(fb))
        return 0;
    if (target == at || !has(fb, target, OFFSET_LEN) || !is_aligned(fb, target, OFFSET_LEN)) {
        bad(fb, "flatbuffer: offset", at);
        return 0;
    }
    return target;
}

/* The distance is signed: a vtable may stand before or behind its tables. */
static bool find_vtable(emk_fb *fb, uint64_t at, uint64_t *out)
{
    int64_t distance = (int32_t)emk_image_u32le(fb->im, at);
    uint64_t vtable = at - (uint64_t)distance; /* wraps where it points outside; caught below */

    if (!emk_fb_ok(fb))
        return false;
    if (!has(fb, vtable, 4) || !is_aligned(fb, vtable, 2)) {
        bad(fb, "flatbuffer: vtable outside the file", at);
        return false;
    }
    *out = vtable;
    return true;
}

static bool open_table(emk_fb *fb, uint64_t at, emk_fb_table *out)
{
    emk_fb_table t = {at, 0, 0, 0};

    if (!find_vtable(fb, at, &t.vtable))
        return false;
    t.vtable_len = emk_image_u16le(fb->im, t.vtable);
    t.table_len = emk_image_u16le(fb->im, t.vtable + 2);
    if (!emk_fb_ok(fb))
        return false;
    if (t.vtable_len < 4 || t.vtable_len % 2 || !has(fb, t.vtable, t.vtable_len))
        bad(fb, "flatbuffer: vtable size", t.vtable);
    else if (t.table_len < OFFSET_LEN || !has(fb, at, t.table_len))
        bad(fb, "flatbuffer: table size", at);
    if (!emk_fb_ok(fb))
        return false;
    *out = t;
    return true;
}

static bool table_behind(emk_fb *fb, uint64_t at, emk_fb_table *out)
{
    uint64_t target;

    if (!take_step(fb, at))
        return false;
    target = follow(fb, at);
    return target && open_table(fb, target, out);
}

bool emk_fb_root(emk_fb *fb, emk_fb_table *out)
{
    *out = (emk_fb_table){0, 0, 0, 0};
    return table_behind(fb, fb->begin, out);
}

uint64_t emk_fb_field(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint32_t len)
{
    uint64_t entry = 4 + (uint64_t)slot * 2;
    uint16_t off;

    if (!emk_fb_ok(fb) || entry + 2 > t->vtable_len)
        return 0;
    off = emk_image_u16le(fb->im, t->vtable + entry);
    if (!emk_fb_ok(fb) || off == 0)
        return 0;
    if (off < OFFSET_LEN || off > t->table_len || len > (uint32_t)t->table_len - off) {
        bad(fb, "flatbuffer: field outside its table", t->vtable + entry);
        return 0;
    }
    return t->at + off;
}

uint8_t emk_fb_u8(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint8_t absent)
{
    uint64_t at = emk_fb_field(fb, t, slot, 1);

    return at ? emk_image_u8(fb->im, at) : absent;
}

int8_t emk_fb_i8(emk_fb *fb, const emk_fb_table *t, uint32_t slot, int8_t absent)
{
    return (int8_t)emk_fb_u8(fb, t, slot, (uint8_t)absent);
}

uint16_t emk_fb_u16(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint16_t absent)
{
    uint64_t at = emk_fb_field(fb, t, slot, 2);

    return at ? emk_image_u16le(fb->im, at) : absent;
}

uint32_t emk_fb_u32(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint32_t absent)
{
    uint64_t at = emk_fb_field(fb, t, slot, 4);

    return at ? emk_image_u32le(fb->im, at) : absent;
}

int32_t emk_fb_i32(emk_fb *fb, const emk_fb_table *t, uint32_t slot, int32_t absent)
{
    return (int32_t)emk_fb_u32(fb, t, slot, (uint32_t)absent);
}

uint64_t emk_fb_u64(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint64_t absent)
{
    uint64_t at = emk_fb_field(fb, t, slot, 8);

    return at ? emk_image_u64le(fb->im, at) : absent;
}

bool emk_fb_table_field(emk_fb *fb, const emk_fb_table *t, uint32_t slot, emk_fb_table *out)
{
    uint64_t at = emk_fb_field(fb, t, slot, OFFSET_LEN);

    *out = (emk_fb_table){0, 0, 0, 0};
    return at && table_behind(fb, at, out);
}

static bool vector_behind(emk_fb *fb, uint64_t at, uint32_t item_len, emk_fb_vector *out)
{
    emk_fb_vector v = {0, 0, item_len};
    uint64_t target;

    if (!take_step(fb, at))
        return false;
    target = follow(fb, at);
    if (!target)
        return false;
    v.n_items = emk_image_u32le(fb->im, target);
    v.at = target + OFFSET_LEN;
    if (!emk_fb_ok(fb))
        return false;
    if (!has(fb, v.at, (uint64_t)v.n_items * item_len)) {
        bad(fb, "flatbuffer: vector longer than what is left", target);
        return false;
    }
    *out = v;
    return true;
}

bool emk_fb_vector_field(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint32_t item_len,
                         emk_fb_vector *out)
{
    uint64_t at = emk_fb_field(fb, t, slot, OFFSET_LEN);

    *out = (emk_fb_vector){0, 0, item_len};
    return at && vector_behind(fb, at, item_len, out);
}

static bool string_behind(emk_fb *fb, uint64_t at, emk_fb_vector *out)
{
    emk_fb_vector v;

    if (!vector_behind(fb, at, 1, &v))
        return false;
    if (!has(fb, v.at, (uint64_t)v.n_items + 1) || emk_image_u8(fb->im, v.at + v.n_items) != 0)
        bad(fb, "flatbuffer: string without its zero", v.at);
    if (!emk_fb_ok(fb))
        return false;
    *out = v;
    return true;
}

bool emk_fb_string_field(emk_fb *fb, const emk_fb_table *t, uint32_t slot, emk_fb_vector *out)
{
    uint64_t at = emk_fb_field(fb, t, slot, OFFSET_LEN);

    *out = (emk_fb_vector){0, 0, 1};
    return at && string_behind(fb, at, out);
}

/* Offset of element i, which is len bytes; 0 on failure. */
static uint64_t item_at(emk_fb *fb, const emk_fb_vector *v, uint32_t i, uint32_t len)
{
    if (!take_step(fb, v->at))
        return 0;
    if (i >= v->n_items || v->item_len != len) {
        emk_fb_fail(fb, EMK_E_USAGE, "flatbuffer: no such element", i);
        return 0;
    }
    return v->at + (uint64_t)i * len;
}

uint32_t emk_fb_u32_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i)
{
    uint64_t at = item_at(fb, v, i, 4);

    return at ? emk_image_u32le(fb->im, at) : 0;
}

int32_t emk_fb_i32_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i)
{
    return (int32_t)emk_fb_u32_item(fb, v, i);
}

uint64_t emk_fb_u64_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i)
{
    uint64_t at = item_at(fb, v, i, 8);

    return at ? emk_image_u64le(fb->im, at) : 0;
}

bool emk_fb_table_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i, emk_fb_table *out)
{
    uint64_t at = item_at(fb, v, i, OFFSET_LEN);

    *out = (emk_fb_table){0, 0, 0, 0};
    return at && table_behind(fb, at, out);
}

bool emk_fb_string_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i, emk_fb_vector *out)
{
    uint64_t at = item_at(fb, v, i, OFFSET_LEN);

    *out = (emk_fb_vector){0, 0, 1};
    return at && string_behind(fb, at, out);
}
