/* From memory and across a page border the tokens are the same, and lie inside the range. */
#include "core/codec/json.h"
#include "fuzz/check.h"

static void leave_alone(void *self, uint64_t off, uint8_t *bytes, size_t len)
{
    (void)self, (void)off, (void)bytes, (void)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t padded[2 * EMK_IMAGE_PAGE];
    static emk_image whole, paged;
    static char text[EMK_IMAGE_PAGE];
    const uint64_t shift = EMK_IMAGE_PAGE - size / 2; /* the border falls into the middle */
    emk_json_token t, u;
    emk_json j, k;
    size_t len;

    if (size > EMK_IMAGE_PAGE)
        return 0;
    memcpy(padded + shift, data, size);
    emk_image_from_span(&whole, emk_span_of(data, size));
    emk_image_from_span(&paged, emk_span_of(padded, sizeof padded));
    emk_image_set_mask(&paged, leave_alone, NULL);
    emk_json_init(&j, &whole, 0, size);
    emk_json_init(&k, &paged, shift, shift + size);
    do {
        t = emk_json_next(&j);
        u = emk_json_next(&k);
        must(t == u && j.pos + shift == k.pos && j.pos <= size, "two windows, one token");
        if (t == EMK_JSON_KEY || t == EMK_JSON_STRING) {
            must(j.text_off + j.text_len < j.pos, "text inside");
            must(emk_json_copy_string(&j, text, sizeof text, &len), "text decodes");
            must(strlen(text) != len || emk_json_string_equals(&k, text), "and equals itself");
        }
    } while (t != EMK_JSON_BAD && t != EMK_JSON_END);
    must(emk_json_finish(&j, NULL) == emk_json_finish(&k, NULL), "one verdict");
    return 0;
}
