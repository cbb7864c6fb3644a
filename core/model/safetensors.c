/* safetensors: a length, a JSON header, and nothing but weights behind it.  [models 3]
 *
 * Strict: tensors must fill the data exactly.  The reader checks that their lengths add up
 * to it; core/model/extents.c that no two share bytes and no two have one name, for which
 * each tensor carries a hash of its name.  Together that leaves no hole. */
#include "core/codec/json.h"
#include "core/model/internal.h"

#define HEADER_MAX   100000000u /* bytes of JSON; the reference reader's limit */
#define HEADER_AT    8u
#define METADATA_KEY "__metadata__"

typedef struct safetensors {
    emk_scan *s;
    emk_error *e;
    emk_status st; /* the visitor's, or another failure that is not the JSON reader's */
    emk_json j;
    uint64_t data;     /* where the data begins, in the image */
    uint64_t data_len; /* bytes, to the end of the file */
    uint64_t sum;      /* bytes of all tensors so far */
    bool has_metadata;
} safetensors;

static const struct {
    const char *name;
    uint8_t dtype;
} dtypes[] = {
    {"F32", EMK_DTYPE_F32},         {"F16", EMK_DTYPE_F16},         {"BF16", EMK_DTYPE_BF16},
    {"I8", EMK_DTYPE_I8},           {"U8", EMK_DTYPE_U8},           {"I64", EMK_DTYPE_I64},
    {"I32", EMK_DTYPE_I32},         {"F64", EMK_DTYPE_F64},         {"I16", EMK_DTYPE_I16},
    {"U16", EMK_DTYPE_U16},         {"U32", EMK_DTYPE_U32},         {"U64", EMK_DTYPE_U64},
    {"BOOL", EMK_DTYPE_BOOL},       {"C64", EMK_DTYPE_C64},         {"F4", EMK_DTYPE_F4_E2M1},
    {"F8_E4M3", EMK_DTYPE_F8_E4M3}, {"F8_E5M2", EMK_DTYPE_F8_E5M2}, {"F8_E8M0", EMK_DTYPE_F8_E8M0},
    {"F6_E2M3", EMK_DTYPE_F6_E2M3}, {"F6_E3M2", EMK_DTYPE_F6_E3M2},
};

enum { KEY_DTYPE, KEY_SHAPE, KEY_OFFSETS, N_KEYS };
static const char *const keys[N_KEYS] = {"dtype", "shape", "data_offsets"};

static void bad(safetensors *m, const char *what, uint64_t where)
{
    emk_json_fail(&m->j, EMK_E_FORMAT, what, where);
}

static bool ok(const safetensors *m)
{
    return m->st == EMK_OK && emk_json_ok(&m->j);
}

static void read_dtype(safetensors *m, emk_tensor *t)
{
    t->dtype = EMK_DTYPE_OTHER;
    if (!emk_json_expect(&m->j, EMK_JSON_STRING))
        return;
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (emk_json_string_equals(&m->j, dtypes[i].name)) {
            t->dtype = dtypes[i].dtype;
            return;
        }
    }
}

static void read_shape(safetensors *m, emk_tensor *t)
{
    uint32_t rank = 0;

    if (!emk_json_expect(&m->j, EMK_JSON_ARRAY_BEGIN))
        return;
    while (emk_json_next(&m->j) != EMK_JSON_ARRAY_END && ok(m)) {
        uint64_t dim;

        if (!emk_json_u64(&m->j, &dim))
            return;
        if (rank < EMK_MODEL_DIMS_MAX)
            t->dims[rank] = dim;
        if (rank < EMK_MODEL_RANK_MORE)
            rank++;
    }
    t->rank = (uint8_t)(rank > EMK_MODEL_DIMS_MAX ? EMK_MODEL_RANK_MORE : rank);
}

static void read_offsets(safetensors *m, emk_tensor *t)
{
    uint64_t at = m->j.pos, begin = 0, end = 0;

    if (!emk_json_expect(&m->j, EMK_JSON_ARRAY_BEGIN) || !emk_json_expect(&m->j, EMK_JSON_NUMBER) ||
        !emk_json_u64(&m->j, &begin) || !emk_json_expect(&m->j, EMK_JSON_NUMBER) ||
        !emk_json_u64(&m->j, &end) || !emk_json_expect(&m->j, EMK_JSON_ARRAY_END))
        return;
    if (begin > end || end > m->data_len) {
        bad(m, "safetensors: data_offsets", at);
        return;
    }
    t->offset = m->data + begin;
    t->length = end - begin;
}

/* The object behind a tensor's name. */
static void read_tensor(safetensors *m, emk_tensor *t)
{
    uint64_t seen = 0, at = m->j.pos;

    if (!emk_json_expect(&m->j, EMK_JSON_OBJECT_BEGIN))
        return;
    while (emk_json_next(&m->j) == EMK_JSON_KEY) {
        size_t key;

        if (!emk_json_which_key(&m->j, keys, N_KEYS, &key, &seen))
            return;
        if (key == KEY_DTYPE)
            read_dtype(m, t);
        else if (key == KEY_SHAPE)
            read_shape(m, t);
        else if (key == KEY_OFFSETS)
            read_offsets(m, t);
        else
            bad(m, "safetensors: unknown key in a tensor", m->j.text_off);
    }
    if (seen != (1u << N_KEYS) - 1)
        bad(m, "safetensors: tensor without dtype, shape or data_offsets", at);
}

static void read_metadata(safetensors *m)
{
    if (m->has_metadata)
        bad(m, "safetensors: " METADATA_KEY " comes again", m->j.text_off);
    m->has_metadata = true;
    if (!emk_json_expect(&m->j, EMK_JSON_OBJECT_BEGIN))
        return;
    while (emk_json_next(&m->j) == EMK_JSON_KEY) {
        if (!emk_json_expect(&m->j, EMK_JSON_STRING))
            return;
    }
}

static void read_entry(safetensors *m)
{
    emk_tensor t = {.kind = EMK_TENSOR_WEIGHT};

    if (emk_json_string_equals(&m->j, METADATA_KEY)) {
        read_metadata(m);
        return;
    }
    t.name_off = m->j.text_off;
    t.name_len = (uint32_t)m->j.text_len;
    if (!emk_json_string_hash(&m->j, &t.name_hash))
        return;
    if (t.name_hash == 0)
        t.name_hash = 1;
    read_tensor(m, &t);
    if (!ok(m))
        return;
    if (t.length > m->data_len - m->sum) {
        bad(m, "safetensors: tensors overlap", t.name_off);
        return;
    }
    m->sum += t.length;
    m->st = emk_scan_step(m->s, 1, m->e);
    if (m->st == EMK_OK)
        m->st = emk_scan_emit(m->s, &t, m->e);
}

static void read_header(safetensors *m)
{
    if (!emk_json_expect(&m->j, EMK_JSON_OBJECT_BEGIN))
        return;
    while (ok(m) && emk_json_next(&m->j) == EMK_JSON_KEY)
        read_entry(m);
    if (ok(m))
        (void)emk_json_expect(&m->j, EMK_JSON_END);
    if (ok(m) && m->sum != m->data_len)
        bad(m, "safetensors: data that belongs to no tensor", m->data + m->sum);
}

bool emk_safetensors_detect(emk_image *im)
{
    uint64_t len;

    if (!emk_image_has(im, 0, HEADER_AT + 2) || emk_image_u8(im, HEADER_AT) != '{')
        return false;
    len = emk_image_u64le(im, 0);
    return len >= 2 && len <= HEADER_MAX && emk_image_has(im, HEADER_AT, len);
}

emk_status emk_safetensors_scan(emk_scan *s, emk_error *e)
{
    safetensors m = {.s = s, .e = e};
    uint64_t header_len;

    if (s->len < HEADER_AT + 2)
        return emk_fail(e, EMK_E_FORMAT, "safetensors: cut short", s->len);
    header_len = emk_image_u64le(s->im, s->base);
    if (header_len > HEADER_MAX)
        return emk_fail(e, EMK_E_LIMIT, "safetensors: header length", header_len);
    if (header_len > s->len - HEADER_AT)
        return emk_fail(e, EMK_E_FORMAT, "safetensors: header longer than the file", header_len);
    if (emk_image_u8(s->im, s->base + HEADER_AT) != '{')
        return emk_fail(e, EMK_E_FORMAT, "safetensors: header does not begin with {", HEADER_AT);
    m.data = s->base + HEADER_AT + header_len;
    m.data_len = s->len - HEADER_AT - header_len;
    emk_json_init(&m.j, s->im, s->base + HEADER_AT, m.data);
    read_header(&m);
    s->report.tiled_bytes = m.data_len;
    return m.st != EMK_OK ? m.st : emk_json_finish(&m.j, e);
}
