/* TensorFlow's GraphDef and SavedModel: Protocol Buffers with tensors in the attributes of
 * nodes.  [models 5]
 *
 * Neither has a magic.  A SavedModel is known by the name of its file; a GraphDef by the end
 * of its name and the first node.  The variables of a SavedModel are in other files, in another
 * format. */
#include "core/model/wire_walk.h"

#define NAME_MAX_BYTES 4096u /* of a node or an operation, to be taken for one */

enum { SAVED_MODEL, META_GRAPH, GRAPH, LIBRARY, FUNCTION, NODE, ENTRY, VALUE, LIST, FUNC, TENSOR };

static const emk_walk_row rows[] = {
    {SAVED_MODEL, 2, META_GRAPH},
    {META_GRAPH, 2, GRAPH},
    {GRAPH, 1, NODE},
    {GRAPH, 2, LIBRARY},
    {LIBRARY, 1, FUNCTION},
    {FUNCTION, 3, NODE},
    {FUNCTION, 5, ENTRY},
    {NODE, 5, ENTRY},
    {ENTRY, 2, VALUE},
    {VALUE, 1, LIST},
    {VALUE, 8, TENSOR | EMK_WALK_LEAF},
    {VALUE, 10, FUNC},
    {LIST, 8, TENSOR | EMK_WALK_LEAF},
    {LIST, 9, FUNC},
    {FUNC, 2, ENTRY},
};

enum {
    NODE_NAME = 1,
    NODE_OP = 2,
    VALUE_TEXT = 2,
    TENSOR_TYPE = 1,
    TENSOR_SHAPE = 2,
    TENSOR_CONTENT = 4,
    TENSOR_FLOATS = 5,
    TENSOR_DOUBLES = 6,
    TENSOR_INTS = 7,
    TENSOR_STRINGS = 8,
    TENSOR_COMPLEX = 9,
    TENSOR_INT64S = 10,
    TENSOR_BOOLS = 11,
    TENSOR_DCOMPLEX = 12,
    TENSOR_HALVES = 13,
    TENSOR_UINT32S = 16,
    TENSOR_UINT64S = 17,
    TENSOR_FLOAT8S = 18,
    SHAPE_DIM = 2,
    DIM_SIZE = 1
};

static const uint8_t dtypes[] = {
    EMK_DTYPE_OTHER,   EMK_DTYPE_F32,   EMK_DTYPE_F64,    EMK_DTYPE_I32,   EMK_DTYPE_U8,
    EMK_DTYPE_I16,     EMK_DTYPE_I8,    EMK_DTYPE_STRING, EMK_DTYPE_C64,   EMK_DTYPE_I64,
    EMK_DTYPE_BOOL,    EMK_DTYPE_I8,    EMK_DTYPE_U8,     EMK_DTYPE_I32,   EMK_DTYPE_BF16,
    EMK_DTYPE_I16,     EMK_DTYPE_U16,   EMK_DTYPE_U16,    EMK_DTYPE_C128,  EMK_DTYPE_F16,
    EMK_DTYPE_OTHER,   EMK_DTYPE_OTHER, EMK_DTYPE_U32,    EMK_DTYPE_U64,   EMK_DTYPE_F8_E5M2,
    EMK_DTYPE_F8_E4M3, EMK_DTYPE_OTHER, EMK_DTYPE_OTHER,  EMK_DTYPE_OTHER, EMK_DTYPE_I4,
    EMK_DTYPE_U4,      EMK_DTYPE_I2,    EMK_DTYPE_U2,
};

uint16_t emk_tensorflow_dtype(uint64_t number)
{
    return number < sizeof dtypes ? dtypes[number] : EMK_DTYPE_OTHER;
}

static void read_shape(emk_walk *w, emk_pb_range r, emk_tensor *t)
{
    emk_pb_field f, size;

    t->rank = 0;
    while (emk_pb_next(&w->pb, &r, &f)) {
        if (f.number != SHAPE_DIM || !emk_pb_want(&w->pb, &f, EMK_PB_BYTES))
            continue;
        while (emk_pb_next(&w->pb, &f.bytes, &size)) {
            if (size.number == DIM_SIZE && emk_pb_want(&w->pb, &size, EMK_PB_VARINT))
                emk_walk_add_dims(w, &size, t);
        }
    }
}

static void read_labels(emk_walk *w, emk_pb_range r, emk_tensor *t)
{
    emk_pb_field f;

    t->name_off = w->name.pos;
    t->name_len = (uint32_t)emk_walk_len(w->name);
    while (emk_pb_next(&w->pb, &r, &f)) {
        if (f.number == TENSOR_TYPE && emk_pb_want(&w->pb, &f, EMK_PB_VARINT))
            t->dtype = emk_tensorflow_dtype(f.value);
        else if (f.number == TENSOR_SHAPE && emk_pb_want(&w->pb, &f, EMK_PB_BYTES))
            read_shape(w, f.bytes, t);
    }
}

/* Bytes of one value, where a list of them can be sealed in place. */
static unsigned width_of(uint32_t field)
{
    switch (field) {
    case TENSOR_CONTENT:
    case TENSOR_FLOAT8S:
        return 1;
    case TENSOR_FLOATS:
    case TENSOR_COMPLEX:
        return 4;
    case TENSOR_DOUBLES:
    case TENSOR_DCOMPLEX:
        return 8;
    default:
        return 0;
    }
}

static void visit_data(emk_walk *w, const emk_pb_field *f, emk_tensor *t)
{
    uint64_t len = emk_walk_len(f->bytes);
    unsigned width = width_of(f->number);

    switch (f->number) {
    case TENSOR_INTS:
    case TENSOR_INT64S:
    case TENSOR_BOOLS:
    case TENSOR_HALVES:
    case TENSOR_UINT32S:
    case TENSOR_UINT64S:
        emk_walk_clear(w, EMK_CLEAR_VARINT, len);
        return;
    case TENSOR_STRINGS:
        emk_walk_clear(w, EMK_CLEAR_STRING, len);
        return;
    default:
        break;
    }
    if (width == 0)
        return;
    if (f->type != EMK_PB_BYTES)
        emk_walk_clear(w, EMK_CLEAR_VARINT, len);
    else if (len % width != 0)
        emk_pb_fail(&w->pb, EMK_E_FORMAT, "tensorflow: packed values", f->bytes.pos);
    else if (t->dtype == EMK_DTYPE_STRING)
        emk_walk_clear(w, EMK_CLEAR_STRING, len);
    else
        emk_walk_emit(w, t, f->bytes);
}

static void visit_tensor(emk_walk *w, emk_pb_range r)
{
    emk_tensor t = {.kind = EMK_TENSOR_WEIGHT};
    emk_pb_field f;

    read_labels(w, r, &t);
    while (emk_walk_ok(w) && emk_pb_next(&w->pb, &r, &f))
        visit_data(w, &f, &t);
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

/* Compiled engines sit in attributes of text. */
static void visit_value(emk_walk *w, emk_pb_range r)
{
    emk_pb_field f;

    while (emk_pb_next(&w->pb, &r, &f)) {
        if (f.number == VALUE_TEXT && emk_walk_len(f.bytes) > EMK_MODEL_CUSTOM_MIN)
            emk_walk_clear(w, EMK_CLEAR_ATTRIBUTE, emk_walk_len(f.bytes));
    }
}

static void visit(emk_walk *w, uint8_t message, emk_pb_range r)
{
    if (message == TENSOR)
        visit_tensor(w, r);
    else if (message == NODE)
        visit_node(w, r);
    else if (message == VALUE)
        visit_value(w, r);
}

static emk_status scan(emk_scan *s, uint8_t root, emk_error *e)
{
    emk_walk w = {
        .s = s, .e = e, .rows = rows, .n_rows = sizeof rows / sizeof rows[0], .visit = visit};
    emk_status st = emk_walk_run(&w, root);

    if (st == EMK_OK && w.n_messages < 2)
        return emk_fail(e, EMK_E_FORMAT, "tensorflow: no graph", s->base);
    return st;
}

static bool is_name_byte(uint8_t b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
           strchr("_-./>\\", b) != NULL;
}

static bool is_name(emk_image *im, const emk_pb_range *r)
{
    if (r->end - r->pos == 0 || r->end - r->pos > NAME_MAX_BYTES)
        return false;
    for (uint64_t at = r->pos; at < r->end; at++) {
        uint8_t b = emk_image_u8(im, at);

        if (!b || !is_name_byte(b))
            return false;
    }
    return true;
}

bool emk_graphdef_has_named_node(emk_image *im)
{
    emk_pb_range all, node;
    emk_pb_field f;
    emk_pb pb;
    unsigned seen = 0;

    emk_pb_init(&pb, im, 0, im->len, &all);
    if (!emk_pb_next(&pb, &all, &f) || f.number != 1 || f.type != EMK_PB_BYTES)
        return false;
    node = f.bytes;
    while (emk_pb_next(&pb, &node, &f) && f.number <= NODE_OP && f.type == EMK_PB_BYTES) {
        if (!is_name(im, &f.bytes))
            return false;
        seen |= 1u << f.number;
    }
    return pb.status == EMK_OK && seen == (1u << NODE_NAME | 1u << NODE_OP);
}

emk_status emk_graphdef_scan(emk_scan *s, emk_error *e)
{
    return scan(s, GRAPH, e);
}

emk_status emk_savedmodel_scan(emk_scan *s, emk_error *e)
{
    return scan(s, SAVED_MODEL, e);
}
