/* FlatBuffers, read in bounds from a range of an image: the format's general part, no
 * schema.  [models 1]
 *
 * A FlatBuffer is a graph of offsets that anyone can bend: each table, vtable, field and
 * vector is checked against the range when it is reached, and every such step costs one
 * from a budget, because a small file can share one table a million times.
 *
 * The reader keeps its first failure; from then on getters give false or the default.
 * Offsets are those of the image, also when the buffer begins somewhere inside.  Slots are
 * counted from 0 as the schema numbers its fields.  No heap, no recursion. */
#ifndef EMK_CORE_CODEC_FLATBUFFERS_H
#define EMK_CORE_CODEC_FLATBUFFERS_H

#include "core/base/image.h"

#define EMK_FB_STEPS_SPARE 4096u /* steps beyond one for each byte */

typedef struct emk_fb {
    emk_image *im;
    uint64_t begin, end; /* the FlatBuffer's range in the image */
    uint64_t steps;      /* left; the caller may set another number after init */
    emk_status status;   /* EMK_OK until something fails */
    const char *what;
    uint64_t where;
} emk_fb;

typedef struct emk_fb_table {
    uint64_t at; /* offset of the table */
    uint64_t vtable;
    uint16_t vtable_len, table_len;
} emk_fb_table;

typedef struct emk_fb_vector {
    uint64_t at; /* offset of the first element; of an absent vector 0 */
    uint32_t n_items;
    uint32_t item_len; /* bytes of one element */
} emk_fb_vector;

/* A reader of the FlatBuffer in [begin, end) of im, which it keeps. */
void emk_fb_init(emk_fb *fb, emk_image *im, uint64_t begin, uint64_t end);

/* True when the four bytes of the file identifier are `id` ("TFL3").  Fails nothing. */
bool emk_fb_has_identifier(emk_fb *fb, const char *id);

/* The root table.  EMK_E_FORMAT like all that follows; EMK_E_LIMIT: budget. */
bool emk_fb_root(emk_fb *fb, emk_fb_table *out);

/* Offset of a field of len bytes, or 0 when it is absent (or on failure). */
uint64_t emk_fb_field(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint32_t len);

/* A scalar, or `absent` where the table does not have it. */
uint8_t emk_fb_u8(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint8_t absent);
int8_t emk_fb_i8(emk_fb *fb, const emk_fb_table *t, uint32_t slot, int8_t absent);
uint16_t emk_fb_u16(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint16_t absent);
uint32_t emk_fb_u32(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint32_t absent);
int32_t emk_fb_i32(emk_fb *fb, const emk_fb_table *t, uint32_t slot, int32_t absent);
uint64_t emk_fb_u64(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint64_t absent);

/* What a field refers to.  False when it is absent (emk_fb_ok stays true) or on failure;
 * *out is then empty. */
bool emk_fb_table_field(emk_fb *fb, const emk_fb_table *t, uint32_t slot, emk_fb_table *out);
/* item_len is the schema's: 1 for [ubyte], 4 for offsets. */
bool emk_fb_vector_field(emk_fb *fb, const emk_fb_table *t, uint32_t slot, uint32_t item_len,
                         emk_fb_vector *out);
/* A vector of bytes with a zero behind them.  The bytes are not checked. */
bool emk_fb_string_field(emk_fb *fb, const emk_fb_table *t, uint32_t slot, emk_fb_vector *out);

/* Element i of a vector; i beyond its end fails the reader.  Costs a step. */
uint32_t emk_fb_u32_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i);
int32_t emk_fb_i32_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i);
uint64_t emk_fb_u64_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i);
bool emk_fb_table_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i, emk_fb_table *out);
bool emk_fb_string_item(emk_fb *fb, const emk_fb_vector *v, uint32_t i, emk_fb_vector *out);

/* The parser's own refusal; the first failure stays. */
void emk_fb_fail(emk_fb *fb, emk_status st, const char *what, uint64_t where);
bool emk_fb_ok(const emk_fb *fb);
/* EMK_OK, or the first failure, also one of the image. */
emk_status emk_fb_finish(const emk_fb *fb, emk_error *e) EMK_MUST_CHECK;

#endif
