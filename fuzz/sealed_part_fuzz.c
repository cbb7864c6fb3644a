/* Four bytes: the model's length; the rest a sealed part.  What is accepted has one encoding,
 * a layout that adds up, and an index inside the model. */
#include "core/base/bytes.h"
#include "fuzz/check.h"
#include "fuzz/seal_common.h"

static emk_status inside(void *self, const emk_index_entry *entry, emk_error *e)
{
    const uint64_t *len = self;

    (void)e;
    must(entry->offset <= *len && entry->length <= *len - entry->offset, "inside the model");
    must(entry->rank <= 8, "dimensions");
    return EMK_OK;
}

static void check_layout(const emk_plan *plan, size_t part_len)
{
    emk_batches b = {0};
    emk_layout l;

    must(emk_layout_init(&l, plan, part_len, NULL) == EMK_OK, "a layout");
    must(emk_layout_vault(&l).end >= plan->model_len, "vault");
    must(emk_layout_delivered(&l, l.n_segments) ==
             part_len + plan->model_len + 16 * (uint64_t)l.n_segments,
         "delivered");
    must(emk_batches_init(&b, &l, 0, NULL) == EMK_OK, "batches");
    must(b.n > 0 && b.first[b.n] == l.n_segments, "batches reach the end");
    emk_batches_done(&b);
    emk_layout_done(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    emk_span in, identity;
    uint64_t model_len;
    emk_plan plan;
    emk_buf again;

    if (size < 5)
        return 0;
    model_len = emk_load_u32be(data);
    in = emk_span_of(data + 4, size - 4);
    if (emk_sealed_part_decode(in, model_len, &plan, &identity, NULL) != EMK_OK)
        return 0;
    must(emk_index_each(&plan, inside, &model_len, NULL) == EMK_OK, "an index");
    check_layout(&plan, in.len);
    emk_buf_init(&again, EMK_SEALED_PART_MAX);
    must(emk_sealed_part_encode(&plan, identity, &again, NULL) == EMK_OK, "written again");
    must(emk_span_equal(emk_buf_span(&again), in), "it is the same");
    emk_buf_done(&again);
    emk_plan_done(&plan);
    return 0;
}
