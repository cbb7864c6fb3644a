/* Walks the messages of a Protocol Buffers file that a table names, without recursion: the
 * ONNX and TensorFlow readers differ in the table and in what they do with a tensor. */
#ifndef EMK_CORE_MODEL_WIRE_WALK_H
#define EMK_CORE_MODEL_WIRE_WALK_H

#include "core/codec/protobuf.h"
#include "core/model/internal.h"

#define EMK_WALK_DEPTH 128u /* messages open at once; a nested graph takes three or four */
#define EMK_WALK_LEAF  0x80u

/* In a message of kind `message`, field `field` is a message of kind `child`. */
typedef struct emk_walk_row {
    uint8_t message;
    uint8_t field;
    uint8_t child; /* with EMK_WALK_LEAF it is visited, not walked */
} emk_walk_row;

typedef struct emk_walk {
    emk_scan *s;
    emk_error *e;
    emk_status st; /* a failure that is not pb's */
    emk_pb pb;
    const emk_walk_row *rows; /* borrowed */
    size_t n_rows;
    /* Called for each message the table names, before what is in it is walked. */
    void (*visit)(struct emk_walk *w, uint8_t message, emk_pb_range range);
    emk_pb_range name; /* of the node last seen, for labels */
    uint64_t n_messages;
    struct {
        emk_pb_range left;
        uint8_t message;
    } stack[EMK_WALK_DEPTH];
} emk_walk;

/* Walks the whole model, a message of kind `root`, within the scan's budget. */
emk_status emk_walk_run(emk_walk *w, uint8_t root) EMK_MUST_CHECK;

/* For visitors. */
bool emk_walk_ok(const emk_walk *w);
void emk_walk_emit(emk_walk *w, emk_tensor *t, emk_pb_range bytes);
void emk_walk_clear(emk_walk *w, emk_clear why, uint64_t bytes);
/* The next size of a shape, from a varint field or packed ones; negative ones count as 0. */
void emk_walk_add_dims(emk_walk *w, const emk_pb_field *f, emk_tensor *t);

static inline uint64_t emk_walk_len(emk_pb_range r)
{
    return r.end - r.pos;
}

#endif
