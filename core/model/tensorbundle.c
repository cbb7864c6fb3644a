/* TensorBundle: the variables of a SavedModel.  The index is a table whose entries say where
 * each variable lies in the shards beside it.  [models 5.3]
 *
 * With each variable stands a CRC-32C of its bytes, and the checksum of each block covers
 * those, and blocks may be compressed: so the index is sealed whole. */
#include "core/model/sstable.h"

#define DTYPE_STRING   7u
#define DTYPE_RESOURCE 20u
#define DTYPE_VARIANT  21u
#define SHARDS_MAX     99999u /* their numbers have five digits */

enum {
    HEADER_SHARDS = 1,
    HEADER_ENDIANNESS = 2,
    ENTRY_DTYPE = 1,
    ENTRY_SHAPE = 2,
    ENTRY_SHARD = 3,
    ENTRY_OFFSET = 4,
    ENTRY_SIZE = 5,
    ENTRY_SLICES = 7,
    SHAPE_DIM = 2,
    SHAPE_UNKNOWN_RANK = 3,
    DIM_SIZE = 1
};

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

typedef struct bundle {
    bool has_header;
    uint32_t n_shards;
} bundle;

/* A message in memory: values are copies of what the table decoded, so the reader of
 * core/codec, which reads from images, is of no use here. */
typedef struct message {
    emk_span left;
    bool bad;
} message;

typedef struct field {
    uint64_t number, value;
    unsigned type;
    emk_span bytes;
} field;

static emk_span cut(message *m, uint64_t n)
{
    emk_span s = {m->left.p, 0};

    if (n > m->left.len) {
        m->bad = true;
        return s;
    }
    s.len = (size_t)n;
    m->left.p += n;
    m->left.len -= (size_t)n;
    return s;
}

static uint64_t take_varint(message *m)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 64 && !m->bad; shift += 7) {
        emk_span byte = cut(m, 1);

        if (m->bad || (shift == 63 && byte.p[0] > 1))
            break;
        v |= (uint64_t)(byte.p[0] & 0x7f) << shift;
        if (byte.p[0] < 0x80)
            return v;
    }
    m->bad = true;
    return 0;
}

/* The next field; false when there is none, or the message is bad. */
static bool next_field(message *m, field *f)
{
    uint64_t key;

    if (m->bad || m->left.len == 0)
        return false;
    key = take_varint(m);
    f->number = key >> 3;
    f->type = (unsigned)(key & 7);
    f->value = 0;
    if (f->type == WIRE_VARINT)
        f->value = take_varint(m);
    else if (f->type == WIRE_BYTES)
        f->bytes = cut(m, take_varint(m));
    else if (f->type == WIRE_64 || f->type == WIRE_32)
        (void)cut(m, f->type == WIRE_64 ? 8 : 4);
    else
        m->bad = true;
    return !m->bad;
}

static bool is(message *m, const field *f, uint64_t number, unsigned type)
{
    if (f->number != number)
        return false;
    if (f->type != type)
        m->bad = true;
    return !m->bad;
}

static void fail(emk_sstable *t, emk_status st, const char *what, uint64_t where)
{
    if (t->st == EMK_OK)
        t->st = emk_fail(t->e, st, what, where);
}

static void read_dim(message *shape, emk_span bytes, emk_tensor *out)
{
    message m = {bytes, false};
    uint64_t size = 0;
    field f;

    while (next_field(&m, &f)) {
        if (is(&m, &f, DIM_SIZE, WIRE_VARINT))
            size = f.value <= INT64_MAX ? f.value : 0;
    }
    shape->bad |= m.bad;
    if (out->rank < EMK_MODEL_DIMS_MAX)
        out->dims[out->rank++] = size;
    else
        out->rank = EMK_MODEL_RANK_MORE;
}

static void read_shape(message *entry, emk_span bytes, emk_tensor *out)
{
    message m = {bytes, false};
    field f;

    out->rank = 0;
    while (next_field(&m, &f)) {
        if (is(&m, &f, SHAPE_DIM, WIRE_BYTES))
            read_dim(&m, f.bytes, out);
        else if (is(&m, &f, SHAPE_UNKNOWN_RANK, WIRE_VARINT) && f.value)
            out->rank = EMK_MODEL_RANK_MORE;
    }
    entry->bad |= m.bad;
}

static void add_shards(emk_sstable *t, uint32_t n)
{
    for (uint32_t i = 0; i < n && t->st == EMK_OK; i++) {
        emk_model_part shard = {.naming = EMK_PART_SHARD, .number = i, .of = n};
        uint32_t part;

        t->st = emk_scan_new_part(t->s, &shard, &part, t->e);
    }
}

/* The entry without a key, which comes first. */
static void read_header(emk_sstable *t, emk_span value, uint64_t block)
{
    bundle *b = t->self;
    message m = {value, false};
    uint64_t shards = 0, endianness = 0;
    field f;

    while (next_field(&m, &f)) {
        if (is(&m, &f, HEADER_SHARDS, WIRE_VARINT))
            shards = f.value;
        else if (is(&m, &f, HEADER_ENDIANNESS, WIRE_VARINT))
            endianness = f.value;
    }
    if (m.bad || shards == 0 || shards > SHARDS_MAX)
        fail(t, EMK_E_FORMAT, "tensorbundle: header", block);
    else if (endianness != 0)
        fail(t, EMK_E_UNSUPPORTED, "tensorbundle: big-endian", block);
    else
        add_shards(t, (uint32_t)shards);
    b->n_shards = (uint32_t)shards;
    b->has_header = true;
}

typedef struct entry {
    emk_tensor t;
    uint64_t dtype, shard;
    bool has_slices;
} entry;

static bool read_entry(emk_span value, entry *out)
{
    message m = {value, false};
    field f;

    while (next_field(&m, &f)) {
        if (is(&m, &f, ENTRY_DTYPE, WIRE_VARINT))
            out->dtype = f.value;
        else if (is(&m, &f, ENTRY_SHAPE, WIRE_BYTES))
            read_shape(&m, f.bytes, &out->t);
        else if (is(&m, &f, ENTRY_SHARD, WIRE_VARINT))
            out->shard = f.value;
        else if (is(&m, &f, ENTRY_OFFSET, WIRE_VARINT))
            out->t.offset = f.value;
        else if (is(&m, &f, ENTRY_SIZE, WIRE_VARINT))
            out->t.length = f.value;
        else if (f.number == ENTRY_SLICES)
            out->has_slices = true;
    }
    return !m.bad;
}

/* Keys of slices are binary, and begin with a zero. */
static void name_tensor(emk_sstable *t, emk_span key, emk_tensor *out)
{
    if (memchr(key.p, 0, key.len))
        return;
    out->name_text = (const char *)t->key;
}

/* A variable, or one slice of one: a sliced variable's own entry holds no place. */
static void read_variable(emk_sstable *t, emk_span key, emk_span value, uint64_t block)
{
    const bundle *b = t->self;
    entry x = {.t = {.kind = EMK_TENSOR_WEIGHT}};

    if (!read_entry(value, &x)) {
        fail(t, EMK_E_FORMAT, "tensorbundle: entry", block);
        return;
    }
    if (x.has_slices)
        return;
    if (x.shard >= b->n_shards) {
        fail(t, EMK_E_FORMAT, "tensorbundle: number of a shard", block);
        return;
    }
    if (x.t.offset > INT64_MAX || x.t.length > INT64_MAX) {
        fail(t, EMK_E_FORMAT, "tensorbundle: range of a variable", block);
        return;
    }
    if (x.dtype == DTYPE_STRING || x.dtype == DTYPE_RESOURCE || x.dtype == DTYPE_VARIANT) {
        t->st = emk_scan_clear(t->s, EMK_CLEAR_STRING, x.t.length, t->e);
        return;
    }
    x.t.part = (uint32_t)x.shard + 1;
    x.t.dtype = emk_tensorflow_dtype(x.dtype);
    name_tensor(t, key, &x.t);
    t->st = emk_scan_emit(t->s, &x.t, t->e);
}

static void visit(emk_sstable *t, emk_span key, emk_span value, uint64_t block)
{
    bundle *b = t->self;

    if (key.len == 0)
        read_header(t, value, block);
    else if (!b->has_header)
        fail(t, EMK_E_FORMAT, "tensorbundle: no header", block);
    else
        read_variable(t, key, value, block);
}

bool emk_tensorbundle_detect(emk_image *im)
{
    return emk_sstable_detect(im);
}

emk_status emk_tensorbundle_scan(emk_scan *s, emk_error *e)
{
    bundle b = {false, 0};
    emk_sstable t;
    emk_status st = emk_scan_whole(s, EMK_TENSOR_CHECKSUM, e);

    if (st != EMK_OK)
        return st;
    memset(&t, 0, sizeof t);
    t.s = s;
    t.e = e;
    t.visit = visit;
    t.self = &b;
    st = emk_sstable_walk(&t);
    if (st == EMK_OK && !b.has_header)
        return emk_fail(e, EMK_E_FORMAT, "tensorbundle: no header", s->base);
    return st;
}
