/* What is accepted has one encoding: read item by item and written again, it is the same. */
#include "core/codec/cbor.h"
#include "fuzz/check.h"

static bool copy_one(emk_cbor_reader *c, emk_writer *w)
{
    switch (emk_cbor_peek(c)) {
    case EMK_CBOR_UINT:
        emk_cbor_put_uint(w, emk_cbor_read_uint(c));
        return true;
    case EMK_CBOR_NINT:
        emk_cbor_put_int(w, emk_cbor_read_int(c));
        return true;
    case EMK_CBOR_BYTES:
        emk_cbor_put_bytes(w, emk_cbor_read_bytes(c));
        return true;
    case EMK_CBOR_TEXT:
        emk_cbor_put_text(w, emk_cbor_read_text(c));
        return true;
    case EMK_CBOR_BOOL:
        emk_cbor_put_bool(w, emk_cbor_read_bool(c));
        return true;
    case EMK_CBOR_ARRAY:
        emk_cbor_put_array(w, emk_cbor_enter_array(c));
        return true;
    case EMK_CBOR_MAP:
        emk_cbor_put_map(w, emk_cbor_enter_map(c));
        return true;
    case EMK_CBOR_END:
        emk_cbor_leave(c);
        return true;
    default:
        return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[8192];
    emk_span in = emk_span_of(data, size);
    emk_cbor_reader c;
    emk_writer w;

    emk_writer_init(&w, again, sizeof again);
    if (size > sizeof again || emk_cbor_check(in, NULL) != EMK_OK)
        return 0;
    emk_cbor_reader_init(&c, in);
    while ((c.depth || emk_cbor_peek(&c) != EMK_CBOR_END) && copy_one(&c, &w))
        continue;
    if (c.status == EMK_E_LIMIT)
        return 0; /* a negative integer beyond 64 bits passes the check, not the getter */
    must(emk_cbor_finish(&c, NULL) == EMK_OK, "what passes the check can be read");
    must(emk_span_equal(emk_writer_span(&w), in), "read and written again it is the same");
    return 0;
}
