/* ONNX: a Protocol Buffers message, perhaps with data in files beside it.  [models 2]
 *
 * Raw bytes and packed floats can be sealed where they are.  What is stored as varints or
 * value by value cannot, and is reported. */
#include "core/model/wire_walk.h"

#define EXTERNAL   1u  /* data_location */
#define DIGITS_MAX 19u /* of an offset or a length: fits 64 bits for sure */

enum { MODEL, TRAINING, FUNCTION, GRAPH, NODE, ATTRIBUTE, SPARSE, TENSOR };

static const emk_walk_row rows[] = {
    {MODEL, 7, GRAPH},
    {MODEL, 20, TRAINING},
    {MODEL, 25, FUNCTION},
    {TRAINING, 1, GRAPH},
    {TRAINING, 2, GRAPH},
    {FUNCTION, 7, NODE},
    {FUNCTION, 11, ATTRIBUTE},
    {GRAPH, 1, NODE},
    {GRAPH, 5, TENSOR | EMK_WALK_LEAF},
    {GRAPH, 15, SPARSE},
    {NODE, 5, ATTRIBUTE},
    {ATTRIBUTE, 5, TENSOR | EMK_WALK_LEAF},
    {ATTRIBUTE, 6, GRAPH},
    {ATTRIBUTE, 10, TENSOR | EMK_WALK_LEAF},
    {ATTRIBUTE, 11, GRAPH},
    {ATTRIBUTE, 22, SPARSE},
    {ATTRIBUTE, 23, SPARSE},
    {SPARSE, 1, TENSOR | EMK_WALK_LEAF},
    {SPARSE, 2, TENSOR | EMK_WALK_LEAF},
};

enum {
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_FLOATS = 4,
    TENSOR_INT32S = 5,
    TENSOR_STRINGS = 6,
    TENSOR_INT64S = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_DOUBLES = 10,
    TENSOR_UINT64S = 11,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14,
    NODE_NAME = 3,
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_STRINGS = 9,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2
};

static const uint8_t dtypes[] = {
    EMK_DTYPE_OTHER, EMK_DTYPE_F32,  EMK_DTYPE_U8,      EMK_DTYPE_I8,      EMK_DTYPE_U16,
    EMK_DTYPE_I16,   EMK_DTYPE_I32,  EMK_DTYPE_I64,     EMK_DTYPE_STRING,  EMK_DTYPE_BOOL,
    EMK_DTYPE_F16,   EMK_DTYPE_F64,  EMK_DTYPE_U32,     EMK_DTYPE_U64,     EMK_DTYPE_C64,
    EMK_DTYPE_C128,  EMK_DTYPE_BF16, EMK_DTYPE_F8_E4M3, EMK_DTYPE_OTHER,   EMK_DTYPE_F8_E5M2,
    EMK_DTYPE_OTHER, EMK_DTYPE_U4,   EMK_DTYPE_I4,      EMK_DTYPE_F4_E2M1,
};

/* What a tensor says of data in another file. */
typedef struct external {
    emk_pb_range location; /* empty: none */
    uint64_t offset, length;
    bool has_length;
} external;

static bool text_is(emk_walk *w, emk_pb_range r, const char *text)
{
    return emk_walk_len(r) == strlen(text) && emk_image_equal(w->s->im, r.pos, emk_span_str(text));
}

static uint64_t decimal(emk_walk *w, emk_pb_range r)
{
    uint64_t v = 0;

    if (emk_walk_len(r) == 0 || emk_walk_len(r) > DIGITS_MAX)
        emk_pb_fail(&w->pb, EMK_E_FORMAT, "onnx: external number", r.pos);
    for (; r.pos < r.end && emk_walk_ok(w); r.pos++) {
        uint8_t c = emk_image_u8(w->s->im, r.pos);

        if (c < '0' || c > '9')
            emk_pb_fail(&w->pb, EMK_E_FORMAT, "onnx: external number", r.pos);
        v = v * 10 + (uint64_t)(c - '0');
    }
    return v;
}

/* The SHA-1 of a whole external file, in hexadecimal. */
static void emit_checksum(emk_walk *w, emk_pb_range r)
{
    emk_tensor t = {.kind = EMK_TENSOR_CHECKSUM};

    if (emk_walk_len(r) > 0)
        emk_walk_emit(w, &t, r);
}

/* One key and value of external_data. */
static void read_external_entry(emk_walk *w, emk_pb_range r, external *out)
{
    emk_pb_range key = {0, 0}, value = {0, 0};
    emk_pb_field f;

    while (emk_pb_next(&w->pb, &r, &f)) {
        if (f.number == ENTRY_KEY && emk_pb_want(&w->pb, &f, EMK_PB_BYTES))
            key = f.bytes;
        else if (f.number == ENTRY_VALUE && emk_pb_want(&w->pb, &f, EMK_PB_BYTES))
            value = f.bytes;
    }
    if (text_is(w, key, "location")) {
        out->location = value;
    } else if (text_is(w, key, "offset")) {
        out->offset = decimal(w, value);
    } else if (text_is(w, key, "length")) {
        out->length = decimal(w, value);
        out->has_length = true;
    } else if (text_is(w, key, "checksum")) {
        emit_checksum(w, value);
    }
}

static void emit_external(emk_walk *w, emk_tensor t, const external *x)
{
    emk_pb_range bytes = {x->offset, x->offset + x->length};
    emk_part_text name = {x->location.pos, emk_walk_len(x->location)};

    if (!emk_walk_ok(w))
        return;
    if (x->length > UINT64_MAX - x->offset) {
        emk_pb_fail(&w->pb, EMK_E_FORMAT, "onnx: external range", x->location.pos);
        return;
    }
    w->st = emk_scan_part(w->s, name, &t.part, w->e);
    if (!x->has_length)
        t.flags = EMK_TENSOR_TO_END;
    emk_walk_emit(w, &t, bytes);
}

/* Name, type, shape and where the data is: whatever order they come in. */
static void read_labels(emk_walk *w, emk_pb_range r, emk_tensor *t, external *x)
{
    uint64_t location = 0;
    emk_pb_field f;

    t->name_off = w->name.pos; /* a Constant's tensor has none of its own */
    t->name_len = (uint32_t)emk_walk_len(w->name);
    while (emk_pb_next(&w->pb, &r, &f)) {
        if (f.number == TENSOR_DIMS) {
            emk_walk_add_dims(w, &f, t);
        } else if (f.number == TENSOR_TYPE && emk_pb_want(&w->pb, &f, EMK_PB_VARINT)) {
            t->dtype = f.value < sizeof dtypes ? dtypes[f.value] : EMK_DTYPE_OTHER;
        } else if (f.number == TENSOR_NAME && emk_pb_want(&w->pb, &f, EMK_PB_BYTES)) {
            if (f.value > 0 && f.value <= UINT32_MAX) {
                t->name_off = f.bytes.pos;
                t->name_len = (uint32_t)f.value;
            }
        } else if (f.number == TENSOR_EXTERNAL && emk_pb_want(&w->pb, &f, EMK_PB_BYTES)) {
            read_external_entry(w, f.bytes, x);
        } else if (f.number == TENSOR_LOCATION && emk_pb_want(&w->pb, &f, EMK_PB_VARINT)) {
            location = f.value;
        }
    }
    if (location != EXTERNAL)
        x->location.pos = x->location.end = 0;
    else if (emk_walk_len(x->location) == 0)
        emk_pb_fail(&w->pb, EMK_E_FORMAT, "onnx: external data without a file", r.end);
}

static void visit_data(emk_walk *w, const emk_pb_field *f, emk_tensor *t)
{
    uint64_t len = emk_walk_len(f->bytes);
    unsigned width = f->number == TENSOR_FLOATS ? 4 : f->number == TENSOR_DOUBLES ? 8 : 1;

    switch (f->number) {
    case TENSOR_FLOATS:
    case TENSOR_DOUBLES:
    case TENSOR_RAW:
        if (f->type != EMK_PB_BYTES)
            emk_walk_clear(w, EMK_CLEAR_VARINT, len);
        else if (len % width != 0)
            emk_pb_fail(&w->pb, EMK_E_FORMAT, "onnx: packed values", f->bytes.pos);
        else if (t->dtype == EMK_DTYPE_STRING)
            emk_walk_clear(w, EMK_CLEAR_STRING, len);
        else
            emk_walk_emit(w, t, f->bytes);
        break;
    case TENSOR_INT32S:
    case TENSOR_INT64S:
    case TENSOR_UINT64S:
        emk_walk_clear(w, EMK_CLEAR_VARINT, len);
        break;
    case TENSOR_STRINGS:
        emk_walk_clear(w, EMK_CLEAR_STRING, len);
        break;
    default:
        break;
    }
}

static void visit_tensor(emk_walk *w, emk_pb_range r)
{
    emk_tensor t = {.kind = EMK_TENSOR_WEIGHT};
    external x = {{0, 0}, 0, 0, false};
    emk_pb_field f;

    read_labels(w, r, &t, &x);
    if (emk_walk_ok(w) && emk_walk_len(x.location) > 0)
        emit_external(w, t, &x);
    while (emk_walk_ok(w) && emk_pb_next(&w->pb, &r, &f))
        visit_data(w, &f, &t);
}

/* Trees and linear models keep all they know in lists of numbers. */
static void visit_attribute(emk_walk *w, emk_pb_range r)
{
    uint64_t bytes = 0;
    emk_pb_field f;

    while (emk_pb_next(&w->pb, &r, &f)) {
        if (f.number == ATTRIBUTE_FLOATS || f.number == ATTRIBUTE_INTS ||
            f.number == ATTRIBUTE_STRINGS)
            bytes += emk_walk_len(f.bytes);
    }
    if (bytes > EMK_MODEL_CUSTOM_MIN)
        emk_walk_clear(w, EMK_CLEAR_ATTRIBUTE, bytes);
}

static void visit_node(emk_walk *w, emk_pb_range r)
{
    emk_pb_field f;

    w->name.pos = w->name.end = 0;
    while (emk_pb_next(&w->pb, &r, &f)) {
        if (f.number == NODE_NAME && emk_pb_want(&w->pb, &f, EMK_PB_BYTES) && f.value <= UINT32_MAX)
            w->name = f.bytes;
    }
}

static void visit(emk_walk *w, uint8_t message, emk_pb_range r)
{
    if (message == TENSOR)
        visit_tensor(w, r);
    else if (message == ATTRIBUTE)
        visit_attribute(w, r);
    else if (message == NODE)
        visit_node(w, r);
    else if (message == GRAPH)
        w->name.pos = w->name.end = 0;
}

emk_status emk_onnx_scan(emk_scan *s, emk_error *e)
{
    emk_walk w = {
        .s = s, .e = e, .rows = rows, .n_rows = sizeof rows / sizeof rows[0], .visit = visit};
    emk_status st = emk_walk_run(&w, MODEL);

    if (st == EMK_OK && w.n_messages < 2)
        return emk_fail(e, EMK_E_FORMAT, "onnx: no graph", s->base);
    return st;
}
