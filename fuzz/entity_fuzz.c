/* Records that the server keeps, as a damaged database would give them back: what is read is
 * written as bytes that read to the same.  The first byte chooses the kind. */
#include "fuzz/check.h"
#include "server/api/entities.h"

#include "core/base/alloc.h"

static void *take(const emk_entity_shape *shape, emk_span value)
{
    void *out = emk_alloc(1, shape->struct_size);

    must(out != NULL, "memory");
    if (emk_entity_read(shape, value, out, NULL) == EMK_OK)
        return out;
    emk_free(out);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const emk_entity_shape *shape;
    emk_buf once, twice;
    void *first, *second;

    if (size == 0)
        return 0;
    shape = emk_entity_shapes[data[0] % emk_n_entity_shapes];
    first = take(shape, emk_span_of(data + 1, size - 1));
    if (!first)
        return 0;
    emk_buf_init(&once, 1u << 20);
    emk_buf_init(&twice, 1u << 20);
    must(emk_entity_write(shape, first, &once, NULL) == EMK_OK, "what was read can be written");
    second = take(shape, emk_buf_span(&once));
    must(second != NULL, "it reads back");
    must(emk_entity_write(shape, second, &twice, NULL) == EMK_OK &&
             emk_span_equal(emk_buf_span(&once), emk_buf_span(&twice)),
         "to the same");
    emk_buf_done(&once);
    emk_buf_done(&twice);
    emk_free(first);
    emk_free(second);
    return 0;
}
