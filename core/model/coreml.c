/* Core ML's weight.bin: a head, then blobs that each begin with a description of 64 bytes.
 * [models 7]
 *
 * Everything stands at multiples of 64.  The descriptions stay: the model beside the file
 * refers to them by offset. */
#include "core/model/internal.h"

#define HEAD_LEN     64u
#define BLOB_LEN     64u
#define ALIGNMENT    64u
#define VERSION      2u
#define SENTINEL     0xDEADBEEFu
#define TRAILING_MAX 64u /* bytes behind the last blob that may still be padding */

static const uint8_t dtypes[] = {
    EMK_DTYPE_OTHER, EMK_DTYPE_F16,   EMK_DTYPE_F32, EMK_DTYPE_U8,    EMK_DTYPE_I8, EMK_DTYPE_BF16,
    EMK_DTYPE_I16,   EMK_DTYPE_U16,   EMK_DTYPE_I4,  EMK_DTYPE_OTHER, EMK_DTYPE_U2, EMK_DTYPE_U4,
    EMK_DTYPE_OTHER, EMK_DTYPE_OTHER, EMK_DTYPE_I32, EMK_DTYPE_U32,
};

static uint64_t align(uint64_t pos)
{
    return pos + (ALIGNMENT - pos % ALIGNMENT) % ALIGNMENT;
}

/* The blob whose description is at *pos, from the model's start; *pos is its end afterwards. */
static emk_status read_blob(emk_scan *s, uint64_t *pos, emk_error *e)
{
    emk_tensor t = {.kind = EMK_TENSOR_WEIGHT};
    uint64_t at = s->base + *pos, data;
    uint32_t dtype;

    if (*pos > s->len || s->len - *pos < BLOB_LEN)
        return emk_fail(e, EMK_E_FORMAT, "coreml: fewer blobs than the head says", at);
    if (emk_image_u32le(s->im, at) != SENTINEL)
        return emk_fail(e, EMK_E_FORMAT, "coreml: description of a blob", at);
    dtype = emk_image_u32le(s->im, at + 4);
    t.dtype = dtype < sizeof dtypes ? dtypes[dtype] : EMK_DTYPE_OTHER;
    t.length = emk_image_u64le(s->im, at + 8);
    data = emk_image_u64le(s->im, at + 16);
    if (data < *pos + BLOB_LEN || data > s->len || t.length > s->len - data)
        return emk_fail(e, EMK_E_FORMAT, "coreml: blob outside the file", at);
    t.offset = s->base + data;
    *pos = data + t.length;
    return emk_scan_emit(s, &t, e);
}

bool emk_coreml_weights_detect(emk_image *im)
{
    return emk_image_has(im, 0, HEAD_LEN + BLOB_LEN) && emk_image_u32le(im, 4) == VERSION &&
           emk_image_u32le(im, HEAD_LEN) == SENTINEL;
}

emk_status emk_coreml_weights_scan(emk_scan *s, emk_error *e)
{
    uint64_t pos = HEAD_LEN;
    uint32_t n, version;
    emk_status st = EMK_OK;

    if (s->len < HEAD_LEN)
        return emk_fail(e, EMK_E_FORMAT, "coreml: cut short", s->len);
    n = emk_image_u32le(s->im, s->base);
    version = emk_image_u32le(s->im, s->base + 4);
    if (version != VERSION)
        return emk_fail(e, EMK_E_UNSUPPORTED, "coreml: version", version);
    if (n > s->len / BLOB_LEN)
        return emk_fail(e, EMK_E_FORMAT, "coreml: more blobs than the file can hold", n);
    for (uint32_t i = 0; st == EMK_OK && i < n && !s->im->cut; i++) {
        st = emk_scan_step(s, 1, e);
        pos = align(pos);
        if (st == EMK_OK)
            st = read_blob(s, &pos, e);
    }
    if (st == EMK_OK && s->len - pos > TRAILING_MAX)
        st = emk_scan_clear(s, EMK_CLEAR_TRAILING, s->len - pos, e);
    return st;
}
