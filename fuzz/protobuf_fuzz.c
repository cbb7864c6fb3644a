/* Fields lie inside their message, and the budget ends every walk: odd fields are messages. */
#include "core/codec/protobuf.h"
#include "fuzz/check.h"

#define DEPTH 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static emk_image im;
    emk_pb_range stack[DEPTH], packed;
    uint32_t depth = 1;
    emk_pb_field f;
    uint64_t v;
    emk_pb pb;

    emk_image_from_span(&im, emk_span_of(data, size));
    emk_pb_init(&pb, &im, 0, size, &stack[0]);
    while (depth) {
        emk_pb_range *r = &stack[depth - 1], before = *r;

        if (!emk_pb_next(&pb, r, &f)) {
            depth--;
            continue;
        }
        must(f.number > 0 && r->pos > before.pos && r->end == before.end, "goes on");
        must(f.bytes.pos > before.pos && f.bytes.pos <= f.bytes.end && f.bytes.end == r->pos &&
                 r->pos <= r->end,
             "a field lies inside");
        packed = f.bytes;
        if (f.type == EMK_PB_BYTES && f.number % 2 && depth < DEPTH)
            stack[depth++] = f.bytes;
        else if (f.type == EMK_PB_BYTES && f.number % 4 == 0)
            while (emk_pb_next_varint(&pb, &packed, &v))
                must(packed.pos <= packed.end, "a varint lies inside");
    }
    must(!im.cut, "nothing was read outside");
    return 0;
}
