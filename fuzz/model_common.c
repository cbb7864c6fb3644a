#include "fuzz/model_common.h"

#include "fuzz/check.h"

#define CAP 4096u

static emk_tensor first[CAP], second[CAP];
static uint64_t part_len[1 + EMK_MODEL_PARTS_MAX];

static emk_status scan(emk_model_format f, emk_span s, uint32_t flags, emk_extents *x)
{
    static emk_image im;
    emk_model_limits limits = {.max_tensors = CAP, .flags = flags};
    emk_model_report report;
    emk_status st;

    emk_image_from_span(&im, s);
    st = emk_model_scan(f, &im, &limits, emk_extents_add, x, &report, NULL);
    if (st != EMK_OK)
        return st;
    must(report.tensors == x->added, "the report counts what was emitted");
    must(report.steps <= s.len + EMK_MODEL_STEPS_EXTRA, "the budget holds");
    st = emk_extents_settle(x, part_len, 1 + report.n_parts, NULL);
    if (st != EMK_OK)
        return st;
    st = emk_extents_check_stable(x, f, &im, &limits, NULL);
    must(im.mask == NULL, "the gate takes its mask with it");
    return st;
}

static void check_list(const emk_extents *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const emk_tensor *t = &x->v[i], *last = i ? t - 1 : NULL;

        must(t->length > 0 && t->length <= part_len[t->part] &&
                 t->offset <= part_len[t->part] - t->length,
             "ranges lie inside");
        must(!last || last->part < t->part || last->offset + last->length <= t->offset,
             "ranges are sorted and disjoint");
        must(t->name_len == 0 ||
                 (t->name_off <= part_len[0] && t->name_len <= part_len[0] - t->name_off),
             "names lie inside");
        must(t->name_text == NULL, "lent names are not kept");
    }
}

static void change_bytes(const emk_extents *x, uint8_t *bytes)
{
    for (uint32_t i = 0; i < x->n && x->v[i].part == 0; i++) {
        if (x->v[i].flags & EMK_TENSOR_WHOLE)
            continue;
        for (uint64_t k = 0; k < x->v[i].length; k++)
            bytes[x->v[i].offset + k] ^= 0xA5;
    }
}

void model_fuzz(emk_model_format f, const uint8_t *data, size_t size, uint32_t flags)
{
    emk_extents x, y;
    uint8_t *copy;

    for (uint32_t i = 1; i <= EMK_MODEL_PARTS_MAX; i++)
        part_len[i] = 1 << 20;
    part_len[0] = size;
    emk_extents_init(&x, first, CAP);
    if (scan(f, emk_span_of(data, size), flags, &x) != EMK_OK)
        return;
    check_list(&x);
    copy = malloc(size + 1);
    must(copy != NULL, "memory");
    memcpy(copy, data, size);
    change_bytes(&x, copy);
    emk_extents_init(&y, second, CAP);
    must(scan(f, emk_span_of(copy, size), flags, &y) == EMK_OK, "a changed file scans again");
    must(x.n == y.n && x.print == y.print, "the list does not depend on the weights");
    must(memcmp(first, second, x.n * sizeof first[0]) == 0, "the lists are the same");
    free(copy);
}
