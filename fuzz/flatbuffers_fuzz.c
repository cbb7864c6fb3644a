/* A walk that takes every field for everything stays inside the buffer and ends. */
#include "core/codec/flatbuffers.h"
#include "fuzz/check.h"

#define DEPTH 6u
#define SLOTS 6u

static void visit(emk_fb fb, const emk_fb_table *t, uint32_t slot, emk_fb_table *sub)
{
    emk_fb_vector v, s;
    emk_fb f = fb; /* a copy each: a wrong guess about a field must not end the walk */

    if (emk_fb_vector_field(&f, t, slot, 8, &v) && v.n_items)
        (void)emk_fb_u64_item(&f, &v, v.n_items - 1);
    if (emk_fb_vector_field(&f, t, slot, 4, &v) && v.n_items) {
        must(v.at + (uint64_t)v.n_items * 4 <= fb.end, "a vector lies inside");
        if (!emk_fb_table_item(&f, &v, 0, sub))
            sub->at = 0;
    }
    f = fb;
    if (emk_fb_string_field(&f, t, slot, &s))
        must(s.at + s.n_items < fb.end, "a string and its zero lie inside");
    f = fb;
    (void)emk_fb_u64(&f, t, slot, 7);
    (void)emk_fb_i8(&f, t, slot, -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static emk_image im;
    emk_fb_table t, sub = {0, 0, 0, 0}, next = {0, 0, 0, 0};
    emk_fb fb;

    emk_image_from_span(&im, emk_span_of(data, size));
    emk_fb_init(&fb, &im, 0, size);
    (void)emk_fb_has_identifier(&fb, "TFL3");
    for (uint32_t depth = 0; depth < DEPTH && (depth || emk_fb_root(&fb, &t)); depth++) {
        for (uint32_t slot = 0; slot < SLOTS; slot++, next = sub.at ? sub : next)
            visit(fb, &t, slot, &sub);
        if (!next.at)
            break;
        t = next;
    }
    must(!im.cut, "nothing was read outside");
    return 0;
}
