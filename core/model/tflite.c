/* TensorFlow Lite: a FlatBuffer, perhaps with data behind it.  [models 1]
 *
 * Constants lie in buffers, which tensors name by number.  To know of each buffer who names
 * it without a heap, the buffers are taken in windows of WINDOW, with one bit each for
 * "emitted", "text" and "metadata", and all tensors are visited once for each window: files
 * with more than one window are rare.  What a tensor of any other type names is a weight,
 * even if a text or metadata names it too. */
#include "core/codec/flatbuffers.h"
#include "core/model/internal.h"

#define VERSION 3u
#define WINDOW  65536u /* buffers */
#define MAX_TRAILING                                                         \
    1024u /* bytes behind the last thing looked at that may still be padding \
             or a table this reader has no interest in */

/* Slots of the schema's tables. */
enum {
    MODEL_VERSION = 0,
    MODEL_OPCODES = 1,
    MODEL_SUBGRAPHS = 2,
    MODEL_DESCRIPTION = 3,
    MODEL_BUFFERS = 4,
    MODEL_METADATA_BUFFER = 5,
    MODEL_METADATA = 6,
    MODEL_EXTERNAL_GROUPS = 8,
    MODEL_EXTERNAL_BUFFERS = 9,
    OPCODE_CUSTOM_CODE = 1,
    SUBGRAPH_TENSORS = 0,
    SUBGRAPH_OPERATORS = 3,
    TENSOR_SHAPE = 0,
    TENSOR_TYPE = 1,
    TENSOR_BUFFER = 2,
    TENSOR_NAME = 3,
    BUFFER_DATA = 0,
    BUFFER_OFFSET = 1,
    BUFFER_SIZE = 2,
    METADATA_BUFFER = 1,
    OPERATOR_CUSTOM = 5,
    OPERATOR_LARGE_OFFSET = 9,
    OPERATOR_LARGE_SIZE = 10,
    GROUP_NAME = 0,
    EXTERNAL_GROUP = 1,
    EXTERNAL_OFFSET = 2,
    EXTERNAL_LENGTH = 3
};

#define TYPE_STRING 5

static const uint8_t dtypes[] = {
    EMK_DTYPE_F32,    EMK_DTYPE_F16,  EMK_DTYPE_I32, EMK_DTYPE_U8,    EMK_DTYPE_I64,
    EMK_DTYPE_STRING, EMK_DTYPE_BOOL, EMK_DTYPE_I16, EMK_DTYPE_C64,   EMK_DTYPE_I8,
    EMK_DTYPE_F64,    EMK_DTYPE_C128, EMK_DTYPE_U64, EMK_DTYPE_OTHER, EMK_DTYPE_OTHER,
    EMK_DTYPE_U32,    EMK_DTYPE_U16,  EMK_DTYPE_I4,  EMK_DTYPE_BF16,  EMK_DTYPE_I2,
    EMK_DTYPE_U4,
};

typedef struct tflite {
    emk_scan *s;
    emk_error *e;
    emk_status st; /* the visitor's, or another failure that is not fb's */
    emk_fb fb;
    emk_fb_table model;
    emk_fb_vector buffers, subgraphs;
    uint32_t n_groups;                        /* of external buffers */
    uint32_t group_part[EMK_MODEL_PARTS_MAX]; /* two groups may name one file */
    uint64_t reach;                           /* end of the last thing seen; in the image */
    uint32_t first;                           /* buffer of the window's first bit */
    uint8_t emitted[WINDOW / 8], text[WINDOW / 8], metadata[WINDOW / 8];
} tflite;

/* A range of the image. */
typedef struct range {
    uint64_t off, len;
} range;

static bool get_bit(const uint8_t *bits, uint32_t i)
{
    return bits[i / 8] >> (i % 8) & 1;
}

static void set_bit(uint8_t *bits, uint32_t i)
{
    bits[i / 8] = (uint8_t)(bits[i / 8] | 1u << (i % 8));
}

static bool ok(const tflite *m)
{
    return m->st == EMK_OK && emk_fb_ok(&m->fb);
}

static bool in_window(const tflite *m, uint32_t buffer)
{
    return buffer >= m->first && buffer - m->first < WINDOW;
}

static void reached(tflite *m, uint64_t end)
{
    if (end > m->reach)
        m->reach = end;
}

static void reached_table(tflite *m, const emk_fb_table *t)
{
    reached(m, t->at + t->table_len);
    reached(m, t->vtable + t->vtable_len);
}

/* Reads a string and remembers that it was there; empty when absent. */
static emk_fb_vector text_field(tflite *m, const emk_fb_table *t, uint32_t slot)
{
    emk_fb_vector v = {0, 0, 1};

    if (emk_fb_string_field(&m->fb, t, slot, &v))
        reached(m, v.at + v.n_items + 1);
    return v;
}

/* Data at an offset from the model's start, behind the FlatBuffer.  Offsets 0 and 1 stand
 * for "none".  False when there is none, or on failure. */
static bool far_range(tflite *m, uint64_t off, uint64_t len, range *out)
{
    if (off <= 1 || len == 0)
        return false;
    if (off > m->s->len || len > m->s->len - off) {
        emk_fb_fail(&m->fb, EMK_E_FORMAT, "tflite: data outside the file", off);
        return false;
    }
    out->off = m->s->base + off;
    out->len = len;
    reached(m, out->off + len);
    return true;
}

/* Where buffer i has its data.  False when it has none, or on failure. */
static bool buffer_range(tflite *m, uint32_t i, range *out)
{
    emk_fb_table t;
    emk_fb_vector data;
    uint64_t off, len;
    bool here, far;

    if (!emk_fb_table_item(&m->fb, &m->buffers, i, &t))
        return false;
    reached_table(m, &t);
    here = emk_fb_vector_field(&m->fb, &t, BUFFER_DATA, 1, &data) && data.n_items > 0;
    off = emk_fb_u64(&m->fb, &t, BUFFER_OFFSET, 0);
    len = emk_fb_u64(&m->fb, &t, BUFFER_SIZE, 0);
    far = far_range(m, off, len, out);
    if (here && far)
        emk_fb_fail(&m->fb, EMK_E_FORMAT, "tflite: buffer has data twice", i);
    if (here) {
        out->off = data.at;
        out->len = data.n_items;
        reached(m, data.at + data.n_items);
    }
    return (here || far) && ok(m);
}

static void fill_shape(tflite *m, const emk_fb_table *table, emk_tensor *t)
{
    emk_fb_vector shape;

    if (!emk_fb_vector_field(&m->fb, table, TENSOR_SHAPE, 4, &shape))
        return;
    reached(m, shape.at + 4 * (uint64_t)shape.n_items);
    t->rank = EMK_MODEL_RANK_MORE;
    if (shape.n_items > EMK_MODEL_DIMS_MAX)
        return;
    t->rank = (uint8_t)shape.n_items;
    for (uint32_t i = 0; i < shape.n_items; i++) {
        int32_t dim = emk_fb_i32_item(&m->fb, &shape, i);

        t->dims[i] = dim > 0 ? (uint64_t)dim : 0;
    }
}

static void emit(tflite *m, const range *r, emk_tensor *t)
{
    t->offset = r->off;
    t->length = r->len;
    if (ok(m))
        m->st = emk_scan_emit(m->s, t, m->e);
}

static void note_clear(tflite *m, emk_clear why, uint64_t bytes)
{
    if (ok(m))
        m->st = emk_scan_clear(m->s, why, bytes, m->e);
}

/* A tensor that names a buffer of the window. */
static void visit_tensor(tflite *m, const emk_fb_table *table)
{
    emk_tensor t = {.kind = EMK_TENSOR_WEIGHT};
    uint32_t buffer = emk_fb_u32(&m->fb, table, TENSOR_BUFFER, 0);
    int8_t type;
    emk_fb_vector name;
    range r;

    if (buffer >= m->buffers.n_items && buffer != 0) {
        emk_fb_fail(&m->fb, EMK_E_FORMAT, "tflite: buffer number", buffer);
        return;
    }
    if (buffer == 0 || !in_window(m, buffer) || get_bit(m->emitted, buffer - m->first))
        return;
    type = emk_fb_i8(&m->fb, table, TENSOR_TYPE, 0);
    if (type == TYPE_STRING) {
        set_bit(m->text, buffer - m->first);
        return;
    }
    set_bit(m->emitted, buffer - m->first);
    name = text_field(m, table, TENSOR_NAME);
    fill_shape(m, table, &t);
    if (!buffer_range(m, buffer, &r))
        return;
    t.name_off = name.at;
    t.name_len = name.n_items;
    t.dtype = type >= 0 && (size_t)type < sizeof dtypes ? dtypes[type] : EMK_DTYPE_OTHER;
    emit(m, &r, &t);
}

static void visit_tensors(tflite *m)
{
    for (uint32_t g = 0; g < m->subgraphs.n_items && ok(m); g++) {
        emk_fb_table graph, tensor;
        emk_fb_vector tensors;

        if (!emk_fb_table_item(&m->fb, &m->subgraphs, g, &graph))
            return;
        reached_table(m, &graph);
        if (!emk_fb_vector_field(&m->fb, &graph, SUBGRAPH_TENSORS, 4, &tensors))
            continue;
        for (uint32_t i = 0; i < tensors.n_items && ok(m); i++) {
            if (!emk_fb_table_item(&m->fb, &tensors, i, &tensor))
                return;
            reached_table(m, &tensor);
            visit_tensor(m, &tensor);
        }
    }
}

static void mark_metadata(tflite *m)
{
    emk_fb_vector v;
    emk_fb_table entry;

    if (emk_fb_vector_field(&m->fb, &m->model, MODEL_METADATA_BUFFER, 4, &v)) {
        for (uint32_t i = 0; i < v.n_items && ok(m); i++) {
            uint32_t buffer = emk_fb_u32_item(&m->fb, &v, i);

            if (in_window(m, buffer))
                set_bit(m->metadata, buffer - m->first);
        }
    }
    if (!emk_fb_vector_field(&m->fb, &m->model, MODEL_METADATA, 4, &v))
        return;
    for (uint32_t i = 0; i < v.n_items && ok(m); i++) {
        uint32_t buffer;

        if (!emk_fb_table_item(&m->fb, &v, i, &entry))
            return;
        reached_table(m, &entry);
        buffer = emk_fb_u32(&m->fb, &entry, METADATA_BUFFER, 0);
        if (in_window(m, buffer))
            set_bit(m->metadata, buffer - m->first);
    }
}

/* The window's buffers that no tensor but text names. */
static void visit_leftovers(tflite *m)
{
    for (uint32_t i = m->first; i < m->buffers.n_items && in_window(m, i) && ok(m); i++) {
        emk_tensor t = {.kind = EMK_TENSOR_OTHER};
        range r;

        if (get_bit(m->emitted, i - m->first) || !buffer_range(m, i, &r))
            continue;
        if (i == 0)
            emk_fb_fail(&m->fb, EMK_E_FORMAT, "tflite: buffer 0 is not empty", r.off);
        else if (get_bit(m->text, i - m->first))
            note_clear(m, EMK_CLEAR_STRING, r.len);
        else if (!get_bit(m->metadata, i - m->first))
            emit(m, &r, &t);
    }
}

static void visit_buffers(tflite *m)
{
    uint32_t n = m->buffers.n_items;

    for (uint32_t first = 0; first < n && ok(m); first += WINDOW) {
        m->first = first;
        memset(m->emitted, 0, sizeof m->emitted);
        memset(m->text, 0, sizeof m->text);
        memset(m->metadata, 0, sizeof m->metadata);
        mark_metadata(m);
        visit_tensors(m);
        visit_leftovers(m);
        if (n - first <= WINDOW)
            break;
    }
}

static void visit_custom(tflite *m, const range *r)
{
    emk_tensor t = {.kind = EMK_TENSOR_CUSTOM};

    if (r->len <= EMK_MODEL_CUSTOM_MIN)
        return;
    if (m->s->limits.flags & EMK_MODEL_CUSTOM)
        emit(m, r, &t);
    else
        note_clear(m, EMK_CLEAR_CUSTOM, r->len);
}

static void visit_operator(tflite *m, const emk_fb_table *op)
{
    emk_fb_vector v;
    uint64_t off, len;
    range r;

    reached_table(m, op);
    if (emk_fb_vector_field(&m->fb, op, OPERATOR_CUSTOM, 1, &v) && v.n_items > 0) {
        reached(m, v.at + v.n_items);
        r.off = v.at;
        r.len = v.n_items;
        visit_custom(m, &r);
    }
    off = emk_fb_u64(&m->fb, op, OPERATOR_LARGE_OFFSET, 0);
    len = emk_fb_u64(&m->fb, op, OPERATOR_LARGE_SIZE, 0);
    if (far_range(m, off, len, &r))
        visit_custom(m, &r);
}

static void visit_operators(tflite *m)
{
    for (uint32_t g = 0; g < m->subgraphs.n_items && ok(m); g++) {
        emk_fb_table graph, op;
        emk_fb_vector ops;

        if (!emk_fb_table_item(&m->fb, &m->subgraphs, g, &graph))
            return;
        if (!emk_fb_vector_field(&m->fb, &graph, SUBGRAPH_OPERATORS, 4, &ops))
            continue;
        for (uint32_t i = 0; i < ops.n_items && ok(m); i++) {
            if (emk_fb_table_item(&m->fb, &ops, i, &op))
                visit_operator(m, &op);
        }
    }
}

static void visit_opcodes(tflite *m)
{
    emk_fb_vector v;
    emk_fb_table t;

    if (!emk_fb_vector_field(&m->fb, &m->model, MODEL_OPCODES, 4, &v))
        return;
    for (uint32_t i = 0; i < v.n_items && ok(m); i++) {
        if (!emk_fb_table_item(&m->fb, &v, i, &t))
            return;
        reached_table(m, &t);
        (void)text_field(m, &t, OPCODE_CUSTOM_CODE);
    }
}

/* The part of an external group; without a name it is a file of its own. */
static void add_group(tflite *m, const emk_fb_vector *name)
{
    emk_model_part unnamed = {.naming = EMK_PART_UNNAMED, .number = m->n_groups};
    emk_part_text text = {name->at, name->n_items};
    uint32_t *part = &m->group_part[m->n_groups++];

    if (!ok(m))
        return;
    if (text.len > 0)
        m->st = emk_scan_part(m->s, text, part, m->e);
    else
        m->st = emk_scan_new_part(m->s, &unnamed, part, m->e);
}

static void visit_groups(tflite *m)
{
    emk_fb_vector v, name;
    emk_fb_table t;

    if (!emk_fb_vector_field(&m->fb, &m->model, MODEL_EXTERNAL_GROUPS, 4, &v))
        return;
    if (v.n_items > EMK_MODEL_PARTS_MAX) {
        emk_fb_fail(&m->fb, EMK_E_LIMIT, "tflite: external files", v.n_items);
        return;
    }
    for (uint32_t i = 0; i < v.n_items && ok(m); i++) {
        if (!emk_fb_table_item(&m->fb, &v, i, &t))
            return;
        reached_table(m, &t);
        name = text_field(m, &t, GROUP_NAME);
        add_group(m, &name);
    }
}

static void visit_external_buffers(tflite *m)
{
    emk_fb_vector v;
    emk_fb_table t;

    if (!emk_fb_vector_field(&m->fb, &m->model, MODEL_EXTERNAL_BUFFERS, 4, &v))
        return;
    for (uint32_t i = 0; i < v.n_items && ok(m); i++) {
        emk_tensor tensor = {.kind = EMK_TENSOR_WEIGHT};
        range r;
        uint32_t group;

        if (!emk_fb_table_item(&m->fb, &v, i, &t))
            return;
        reached_table(m, &t);
        group = emk_fb_u32(&m->fb, &t, EXTERNAL_GROUP, 0);
        r.off = emk_fb_u64(&m->fb, &t, EXTERNAL_OFFSET, 0);
        r.len = emk_fb_u64(&m->fb, &t, EXTERNAL_LENGTH, 0);
        if (group >= m->n_groups) {
            emk_fb_fail(&m->fb, EMK_E_FORMAT, "tflite: external group", group);
            return;
        }
        tensor.part = m->group_part[group];
        emit(m, &r, &tensor);
    }
}

static void visit_model(tflite *m)
{
    uint32_t version;

    if (!emk_fb_has_identifier(&m->fb, "TFL3")) {
        emk_fb_fail(&m->fb, EMK_E_FORMAT, "tflite: identifier", m->s->base);
        return;
    }
    if (!emk_fb_root(&m->fb, &m->model))
        return;
    reached_table(m, &m->model);
    version = emk_fb_u32(&m->fb, &m->model, MODEL_VERSION, 0);
    if (version != VERSION)
        emk_fb_fail(&m->fb, EMK_E_UNSUPPORTED, "tflite: version", version);
    (void)emk_fb_vector_field(&m->fb, &m->model, MODEL_BUFFERS, 4, &m->buffers);
    (void)emk_fb_vector_field(&m->fb, &m->model, MODEL_SUBGRAPHS, 4, &m->subgraphs);
    (void)text_field(m, &m->model, MODEL_DESCRIPTION);
    visit_opcodes(m);
    visit_groups(m);
    visit_buffers(m);
    visit_operators(m);
    visit_external_buffers(m);
}

bool emk_tflite_detect(emk_image *im)
{
    return emk_image_has(im, 0, 8) && emk_image_equal(im, 4, emk_span_str("TFL3"));
}

emk_status emk_tflite_scan(emk_scan *s, emk_error *e)
{
    tflite m;
    uint64_t left = s->limits.max_steps - s->report.steps;
    uint64_t end = s->base + s->len;

    memset(&m, 0, sizeof m);
    m.s = s;
    m.e = e;
    emk_fb_init(&m.fb, s->im, s->base, end);
    m.fb.steps = left;
    visit_model(&m);
    if (ok(&m) && end - m.reach > MAX_TRAILING)
        note_clear(&m, EMK_CLEAR_TRAILING, end - m.reach);
    s->report.steps += left - m.fb.steps;
    return m.st != EMK_OK ? m.st : emk_fb_finish(&m.fb, e);
}
