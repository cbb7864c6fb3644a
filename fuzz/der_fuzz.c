/* Walks any bytes as DER, as deep as a stack of its own: whatever is taken is inside the input,
 * every value is entered or read by the reader of its kind, and the walk ends. */
#include "core/codec/der.h"
#include "fuzz/check.h"

#define DEPTH 16

static void read_one(emk_der *d, uint32_t tag)
{
    uint8_t unused;

    if (tag == EMK_DER_INTEGER)
        (void)emk_der_read_integer(d);
    else if (tag == EMK_DER_BITS)
        (void)emk_der_read_bits(d, &unused);
    else if (tag == EMK_DER_OID)
        (void)emk_der_read_oid(d);
    else if (tag == EMK_DER_UTC_TIME || tag == EMK_DER_GENERALIZED_TIME)
        (void)emk_der_read_time(d);
    else
        (void)emk_der_read_raw(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_der stack[DEPTH];
    size_t depth = 1;

    emk_der_init(&stack[0], emk_span_of(data, size));
    while (depth > 0) {
        emk_der *d = &stack[depth - 1];
        uint32_t tag = emk_der_peek(d);

        must(d->base + d->in.pos <= size, "inside the input");
        if (!emk_der_more(d) && depth-- > 1)
            emk_der_leave(&stack[depth - 1], d);
        else if (depth > 0 && (tag & EMK_DER_TAG(0x20, 0)) && depth < DEPTH)
            emk_der_enter(d, tag, &stack[depth++]);
        else if (depth > 0)
            read_one(d, tag);
    }
    return 0;
}
