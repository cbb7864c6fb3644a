/* Files that are recognised and sealed as they are: those whose weights fill them, and those
 * whose weights are not told apart.  [models 8] [models 10] */
#include "core/model/internal.h"

#define ORT_IDENTIFIER      "ORTM" /* of the FlatBuffer, at offset 4 */
#define MLMODEL_FIRST_FIELD 0x08u  /* specificationVersion, the first one that is written */
#define NCNN_MAGIC          "7767517"
#define HEAD_NUMBERS        3u /* magic, layers, blobs */
#define DIGITS_MAX          9u

static emk_status seal_unread(emk_scan *s, emk_error *e)
{
    emk_status st = emk_scan_clear(s, EMK_CLEAR_UNREAD, s->len, e);

    return st == EMK_OK ? emk_scan_whole(s, EMK_TENSOR_OTHER, e) : st;
}

bool emk_ort_detect(emk_image *im)
{
    return emk_image_has(im, 0, 8) && emk_image_equal(im, 4, emk_span_str(ORT_IDENTIFIER));
}

emk_status emk_ort_scan(emk_scan *s, emk_error *e)
{
    if (!emk_image_equal(s->im, s->base + 4, emk_span_str(ORT_IDENTIFIER)))
        return emk_fail(e, EMK_E_FORMAT, "ort: identifier", s->base);
    return seal_unread(s, e);
}

emk_status emk_coreml_model_scan(emk_scan *s, emk_error *e)
{
    if (emk_image_u8(s->im, s->base) != MLMODEL_FIRST_FIELD)
        return emk_fail(e, EMK_E_FORMAT, "coreml: no model", s->base);
    return seal_unread(s, e);
}

/* ncnn's .bin says nothing about itself: what is in it follows from the layers' code. */
emk_status emk_ncnn_bin_scan(emk_scan *s, emk_error *e)
{
    emk_tensor t = {.kind = EMK_TENSOR_WEIGHT, .offset = s->base, .length = s->len};

    if (s->len == 0)
        return emk_fail(e, EMK_E_FORMAT, "ncnn: empty file", 0);
    (void)emk_image_u8(s->im, s->base);
    return emk_scan_emit(s, &t, e);
}

bool emk_ncnn_detect(emk_image *im)
{
    uint8_t next;

    if (!emk_image_has(im, 0, strlen(NCNN_MAGIC) + 1) ||
        !emk_image_equal(im, 0, emk_span_str(NCNN_MAGIC)))
        return false;
    next = emk_image_u8(im, strlen(NCNN_MAGIC));
    return next == '\n' || next == '\r';
}

/* A decimal number with white space before it; false when there is none. */
static bool take_number(emk_scan *s, uint64_t *at)
{
    uint64_t end = s->base + s->len;
    uint32_t digits = 0;
    uint8_t c = ' ';

    while (*at < end && (c == ' ' || c == '\r' || c == '\n')) {
        c = emk_image_u8(s->im, *at);
        (*at)++;
    }
    for (; c >= '0' && c <= '9' && digits <= DIGITS_MAX; digits++) {
        c = *at < end ? emk_image_u8(s->im, *at) : 0;
        (*at)++;
    }
    return digits > 0 && digits <= DIGITS_MAX;
}

/* The layers are structure; the head is checked so that another file is not taken for one. */
emk_status emk_ncnn_scan(emk_scan *s, emk_error *e)
{
    emk_model_part bin = {.naming = EMK_PART_BIN};
    emk_tensor t = {.kind = EMK_TENSOR_WEIGHT, .flags = EMK_TENSOR_TO_END};
    uint64_t at = s->base;
    emk_status st;

    if (!emk_ncnn_detect(s->im))
        return emk_fail(e, EMK_E_FORMAT, "ncnn: magic", s->base);
    for (uint32_t i = 0; i < HEAD_NUMBERS; i++) {
        if (!take_number(s, &at))
            return emk_fail(e, EMK_E_FORMAT, "ncnn: numbers of layers and blobs", at);
    }
    st = emk_scan_new_part(s, &bin, &t.part, e);
    return st == EMK_OK ? emk_scan_emit(s, &t, e) : st;
}
