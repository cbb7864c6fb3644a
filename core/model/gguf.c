/* GGUF: keys and values, a list of tensors, and their data behind both.  [models 4]
 *
 * A tensor says where it begins, not how long it is; it goes up to the next one.  So no
 * table of block types is needed, which grows every year. */
#include "core/model/internal.h"

#define ALIGNMENT_KEY     "general.alignment"
#define ALIGNMENT_DEFAULT 32u
#define KV_MIN            13u /* bytes of the smallest key and value */
#define INFO_MIN          24u /* bytes of the smallest tensor description */
#define NAME_MAX_LEN      63u
#define DIMS_MAX          4u
#define NESTING_MAX       4u /* arrays of arrays */

enum { TYPE_U16 = 2, TYPE_U32 = 4, TYPE_STRING = 8, TYPE_ARRAY = 9, N_TYPES = 13 };

/* Bytes of a value; 0: not fixed. */
static const uint8_t type_len[N_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

typedef struct gguf {
    emk_scan *s;
    emk_error *e;
    emk_status st;
    uint64_t pos; /* next byte, in the image */
    uint64_t end;
    uint64_t n_kv, n_tensors;
    uint64_t data; /* where the data begins */
    uint32_t alignment;
    bool has_alignment;
} gguf;

/* The reader keeps its first failure, and reads zeros from then on. */
static void fail(gguf *m, emk_status st, const char *what, uint64_t where)
{
    if (m->st == EMK_OK)
        m->st = emk_fail(m->e, st, what, where);
}

static bool ok(const gguf *m)
{
    return m->st == EMK_OK && !m->s->im->cut;
}

static void step(gguf *m)
{
    if (m->st == EMK_OK)
        m->st = emk_scan_step(m->s, 1, m->e);
}

/* Passes over n bytes; returns where they are. */
static uint64_t take(gguf *m, uint64_t n)
{
    uint64_t at = m->pos;

    if (n > m->end - m->pos)
        fail(m, EMK_E_FORMAT, "gguf: cut short", m->pos);
    else
        m->pos += n;
    return at;
}

static uint32_t take_u32(gguf *m)
{
    uint64_t at = take(m, 4);

    return ok(m) ? emk_image_u32le(m->s->im, at) : 0;
}

static uint64_t take_u64(gguf *m)
{
    uint64_t at = take(m, 8);

    return ok(m) ? emk_image_u64le(m->s->im, at) : 0;
}

/* Passes over a string; returns where its characters are. */
static uint64_t take_string(gguf *m, uint64_t *len)
{
    *len = take_u64(m);
    return take(m, *len);
}

static void skip_strings(gguf *m, uint64_t n)
{
    for (uint64_t i = 0; i < n && ok(m); i++) {
        uint64_t len;

        step(m);
        take_string(m, &len);
    }
}

/* Passes over the head of an array and, unless it holds arrays, its values.  How many arrays
 * it holds. */
static uint64_t skip_flat_array(gguf *m)
{
    uint32_t type = take_u32(m);
    uint64_t n = take_u64(m);
    uint64_t smallest = type == TYPE_ARRAY ? 12 : type == TYPE_STRING ? 8 : 1;

    step(m);
    if (type >= N_TYPES)
        fail(m, EMK_E_FORMAT, "gguf: type of an array", type);
    else if (n > (m->end - m->pos) / (type_len[type] ? type_len[type] : smallest))
        fail(m, EMK_E_FORMAT, "gguf: array longer than the file", n);
    if (!ok(m) || type == TYPE_ARRAY)
        return ok(m) ? n : 0;
    if (type == TYPE_STRING)
        skip_strings(m, n);
    else
        take(m, n * type_len[type]);
    return 0;
}

static void skip_array(gguf *m)
{
    uint64_t left[NESTING_MAX];
    uint32_t depth = 0;

    left[0] = 1;
    while (ok(m)) {
        uint64_t inner;

        while (left[depth] == 0) {
            if (depth == 0)
                return;
            depth--;
        }
        left[depth]--;
        inner = skip_flat_array(m);
        if (inner == 0)
            continue;
        if (++depth == NESTING_MAX)
            fail(m, EMK_E_LIMIT, "gguf: arrays of arrays", depth);
        else
            left[depth] = inner;
    }
}

static void read_alignment(gguf *m, uint32_t type)
{
    uint32_t value;

    if (m->has_alignment || type != TYPE_U32) {
        fail(m, EMK_E_FORMAT, "gguf: " ALIGNMENT_KEY, m->pos);
        return;
    }
    value = take_u32(m);
    if (value == 0 || (value & (value - 1)) != 0)
        fail(m, EMK_E_FORMAT, "gguf: alignment is no power of two", value);
    m->alignment = value;
    m->has_alignment = true;
}

static bool is_key(gguf *m, emk_span key, uint64_t at, uint64_t len)
{
    return len == key.len && emk_image_equal(m->s->im, at, key);
}

/* split.no and split.count: a label, so whatever else they hold is passed over. */
static bool read_split(gguf *m, uint64_t key, uint64_t len, uint32_t type)
{
    emk_model_report *r = &m->s->report;
    uint64_t at;

    if (type != TYPE_U16)
        return false;
    if (is_key(m, emk_span_str("split.no"), key, len)) {
        at = take(m, 2);
        r->split_number = ok(m) ? emk_image_u16le(m->s->im, at) : 0;
    } else if (is_key(m, emk_span_str("split.count"), key, len)) {
        at = take(m, 2);
        r->split_of = ok(m) ? emk_image_u16le(m->s->im, at) : 0;
    } else {
        return false;
    }
    return true;
}

static void read_kv(gguf *m)
{
    uint64_t len, key = take_string(m, &len);
    uint32_t type = take_u32(m);

    step(m);
    if (type >= N_TYPES)
        fail(m, EMK_E_FORMAT, "gguf: type of a value", type);
    if (!ok(m))
        return;
    if (is_key(m, emk_span_str(ALIGNMENT_KEY), key, len))
        read_alignment(m, type);
    else if (read_split(m, key, len, type))
        return;
    else if (type == TYPE_STRING)
        take_string(m, &len);
    else if (type == TYPE_ARRAY)
        skip_array(m);
    else
        take(m, type_len[type]);
}

/* Labels only. */
static uint16_t dtype_of(uint32_t type)
{
    switch (type) {
    case 0:
        return EMK_DTYPE_F32;
    case 1:
        return EMK_DTYPE_F16;
    case 24:
        return EMK_DTYPE_I8;
    case 25:
        return EMK_DTYPE_I16;
    case 26:
        return EMK_DTYPE_I32;
    case 27:
        return EMK_DTYPE_I64;
    case 28:
        return EMK_DTYPE_F64;
    case 30:
        return EMK_DTYPE_BF16;
    default:
        return EMK_DTYPE_QUANT_BLOCKS;
    }
}

/* A tensor's description; its offset counts from the data's begin. */
static void read_info(gguf *m, emk_tensor *t)
{
    uint64_t name_len;
    uint32_t n_dims;

    step(m);
    t->name_off = take_string(m, &name_len);
    if (name_len > NAME_MAX_LEN)
        fail(m, EMK_E_LIMIT, "gguf: name of a tensor", name_len);
    t->name_len = (uint32_t)name_len;
    n_dims = take_u32(m);
    if (n_dims > DIMS_MAX)
        fail(m, EMK_E_LIMIT, "gguf: dimensions", n_dims);
    if (!ok(m))
        return;
    t->rank = (uint8_t)n_dims;
    for (uint32_t i = 0; i < n_dims; i++)
        t->dims[i] = take_u64(m);
    t->dtype = dtype_of(take_u32(m));
    t->offset = take_u64(m);
}

static void emit(gguf *m, emk_tensor *t)
{
    if (!ok(m))
        return;
    if (t->offset > m->end - m->data || t->offset % m->alignment != 0) {
        fail(m, EMK_E_FORMAT, "gguf: offset of a tensor", t->offset);
        return;
    }
    t->offset += m->data;
    m->st = emk_scan_emit(m->s, t, m->e);
}

/* The offsets count from behind the list, so it is read twice: once to find its end. */
static void read_infos(gguf *m)
{
    uint64_t list = m->pos, size;

    for (uint64_t i = 0; i < m->n_tensors && ok(m); i++) {
        emk_tensor t = {0};

        read_info(m, &t);
    }
    if (m->n_tensors == 0 || !ok(m))
        return;
    size = m->pos - m->s->base;
    m->data = m->pos + (m->alignment - size % m->alignment) % m->alignment;
    if (m->data > m->end) {
        fail(m, EMK_E_FORMAT, "gguf: no data", m->data);
        return;
    }
    m->s->report.weight_bytes += m->end - m->data;
    m->pos = list;
    for (uint64_t i = 0; i < m->n_tensors && ok(m); i++) {
        emk_tensor t = {.flags = EMK_TENSOR_TO_NEXT};

        read_info(m, &t);
        emit(m, &t);
    }
}

static void read_head(gguf *m)
{
    uint64_t magic = take(m, 4);
    uint32_t version;

    if (ok(m) && !emk_image_equal(m->s->im, magic, emk_span_str("GGUF")))
        fail(m, EMK_E_FORMAT, "gguf: magic", magic);
    version = take_u32(m);
    if (version != 2 && version != 3)
        fail(m, EMK_E_UNSUPPORTED, "gguf: version or byte order", version);
    m->n_tensors = take_u64(m);
    m->n_kv = take_u64(m);
    if (m->n_kv > m->s->len / KV_MIN)
        fail(m, EMK_E_FORMAT, "gguf: more values than the file can hold", m->n_kv);
    if (m->n_tensors > m->s->len / INFO_MIN)
        fail(m, EMK_E_FORMAT, "gguf: more tensors than the file can hold", m->n_tensors);
}

bool emk_gguf_detect(emk_image *im)
{
    return emk_image_has(im, 0, 8) && emk_image_equal(im, 0, emk_span_str("GGUF"));
}

emk_status emk_gguf_scan(emk_scan *s, emk_error *e)
{
    gguf m = {
        .s = s, .e = e, .pos = s->base, .end = s->base + s->len, .alignment = ALIGNMENT_DEFAULT};

    read_head(&m);
    for (uint64_t i = 0; i < m.n_kv && ok(&m); i++)
        read_kv(&m);
    if (ok(&m))
        read_infos(&m);
    if (m.st == EMK_OK)
        m.st = emk_image_check(s->im, "gguf: file cannot be read", e);
    return m.st;
}
