/* Protocol Buffers' wire format, read in bounds from ranges of an image: no schema, no
 * copies; a message inside a message is a range again.  [models 2]
 *
 * Refused: groups (wire types 3, 4), types 6 and 7, field 0, keys beyond 32 bits, varints
 * beyond 10 bytes or 64 bits, lengths beyond the range.  Each field and each varint costs
 * one step of a budget that all ranges share, so that deep nesting cannot cost more than
 * the file is worth.
 *
 * The reader keeps its first failure; from then on everything gives false.  No heap, no
 * recursion: how deep messages go is up to the caller. */
#ifndef EMK_CORE_CODEC_PROTOBUF_H
#define EMK_CORE_CODEC_PROTOBUF_H

#include "core/base/image.h"

#define EMK_PB_STEPS_SPARE 4096u /* steps beyond one for each byte */

typedef enum emk_pb_type { /* the numbers of the wire */
                           EMK_PB_VARINT = 0,
                           EMK_PB_FIXED64 = 1,
                           EMK_PB_BYTES = 2, /* bytes, text, a message, packed scalars */
                           EMK_PB_FIXED32 = 5
} emk_pb_type;

typedef struct emk_pb {
    emk_image *im;
    uint64_t steps;    /* left; the caller may set another number after init */
    emk_status status; /* EMK_OK until something fails */
    const char *what;
    uint64_t where;
} emk_pb;

/* Bytes of the image not yet read: [pos, end). */
typedef struct emk_pb_range {
    uint64_t pos, end;
} emk_pb_range;

typedef struct emk_pb_field {
    uint32_t number;
    emk_pb_type type;
    uint64_t value;     /* of a scalar; for BYTES its length */
    emk_pb_range bytes; /* where the value lies: the payload of BYTES, the 4 or 8 bytes of a
                           fixed one, those of a varint */
} emk_pb_field;

/* A reader on im, which it keeps, with a budget for len bytes; *all is [begin, begin + len),
 * which must lie inside the image (EMK_E_FORMAT). */
void emk_pb_init(emk_pb *pb, emk_image *im, uint64_t begin, uint64_t len, emk_pb_range *all);

/* The next field of r.  False when r is through, or on failure. */
bool emk_pb_next(emk_pb *pb, emk_pb_range *r, emk_pb_field *out);

/* The next varint of packed scalars.  False when r is through, or on failure. */
bool emk_pb_next_varint(emk_pb *pb, emk_pb_range *r, uint64_t *out);

/* True when f is of this type; else it fails the reader with EMK_E_FORMAT. */
bool emk_pb_want(emk_pb *pb, const emk_pb_field *f, emk_pb_type type);

/* The parser's own refusal; the first failure stays. */
void emk_pb_fail(emk_pb *pb, emk_status st, const char *what, uint64_t where);
bool emk_pb_ok(const emk_pb *pb);
/* EMK_OK, or the first failure. */
emk_status emk_pb_finish(const emk_pb *pb, emk_error *e) EMK_MUST_CHECK;

#endif
