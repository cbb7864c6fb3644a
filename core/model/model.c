#include "core/model/model.h"

#include "core/model/internal.h"

static const emk_model_row rows[] = {
    {EMK_MODEL_TFLITE, "tflite", " .tflite .lite ", emk_tflite_detect, emk_tflite_scan},
    {EMK_MODEL_SAFETENSORS, "safetensors", " .safetensors ", emk_safetensors_detect,
     emk_safetensors_scan},
    {EMK_MODEL_GGUF, "gguf", " .gguf ", emk_gguf_detect, emk_gguf_scan},
    {EMK_MODEL_ONNX, "onnx", " .onnx ", NULL, emk_onnx_scan},
    {EMK_MODEL_GRAPHDEF, "graphdef", "", NULL, emk_graphdef_scan},
    {EMK_MODEL_SAVEDMODEL, "savedmodel", " saved_model.pb ", NULL, emk_savedmodel_scan},
    {EMK_MODEL_TENSORBUNDLE, "tensorbundle", "", emk_tensorbundle_detect, emk_tensorbundle_scan},
    {EMK_MODEL_SAFETENSORS_INDEX, "safetensors-index", " .safetensors.index.json ", NULL,
     emk_safetensors_index_scan},
    {EMK_MODEL_COREML_WEIGHTS, "coreml-weights", "", emk_coreml_weights_detect,
     emk_coreml_weights_scan},
    {EMK_MODEL_COREML_MODEL, "coreml-model", " .mlmodel ", NULL, emk_coreml_model_scan},
    {EMK_MODEL_NCNN, "ncnn", "", emk_ncnn_detect, emk_ncnn_scan},
    {EMK_MODEL_NCNN_BIN, "ncnn-bin", "", NULL, emk_ncnn_bin_scan},
    {EMK_MODEL_OPENVINO, "openvino", "", emk_openvino_detect, emk_openvino_scan},
    {EMK_MODEL_ORT, "ort", " .ort ", emk_ort_detect, emk_ort_scan},
    /* Last: it looks for its magic in many places, and other files may end in an archive.
     * PyTorch's suffixes are not here: what is no archive under them is a pickle. */
    {EMK_MODEL_ZIP, "zip", " .task .keras .pt2 ", emk_zip_detect, emk_zip_scan},
};

#define N_ROWS (sizeof rows / sizeof rows[0])

static const char *const dtype_names[] = {
    [EMK_DTYPE_OTHER] = "other",     [EMK_DTYPE_F32] = "f32",
    [EMK_DTYPE_F16] = "f16",         [EMK_DTYPE_BF16] = "bf16",
    [EMK_DTYPE_F64] = "f64",         [EMK_DTYPE_I8] = "i8",
    [EMK_DTYPE_U8] = "u8",           [EMK_DTYPE_I16] = "i16",
    [EMK_DTYPE_U16] = "u16",         [EMK_DTYPE_I32] = "i32",
    [EMK_DTYPE_U32] = "u32",         [EMK_DTYPE_I64] = "i64",
    [EMK_DTYPE_U64] = "u64",         [EMK_DTYPE_BOOL] = "bool",
    [EMK_DTYPE_STRING] = "string",   [EMK_DTYPE_C64] = "c64",
    [EMK_DTYPE_C128] = "c128",       [EMK_DTYPE_I4] = "i4",
    [EMK_DTYPE_U4] = "u4",           [EMK_DTYPE_I2] = "i2",
    [EMK_DTYPE_U2] = "u2",           [EMK_DTYPE_F8_E4M3] = "f8_e4m3",
    [EMK_DTYPE_F8_E5M2] = "f8_e5m2", [EMK_DTYPE_F8_E8M0] = "f8_e8m0",
    [EMK_DTYPE_F4_E2M1] = "f4_e2m1", [EMK_DTYPE_F6_E2M3] = "f6_e2m3",
    [EMK_DTYPE_F6_E3M2] = "f6_e3m2", [EMK_DTYPE_QUANT_BLOCKS] = "quant_blocks",
};

static const char *const clear_names[EMK_CLEAR_REASONS] = {
    [EMK_CLEAR_CUSTOM] = "custom-options", [EMK_CLEAR_STRING] = "strings",
    [EMK_CLEAR_TRAILING] = "trailing",     [EMK_CLEAR_SMALL_INT] = "small-ints",
    [EMK_CLEAR_VARINT] = "varints",        [EMK_CLEAR_ATTRIBUTE] = "attributes",
    [EMK_CLEAR_COMPRESSED] = "compressed", [EMK_CLEAR_CHECKSUM] = "checksums",
    [EMK_CLEAR_MEMBER] = "members",        [EMK_CLEAR_UNREAD] = "not-read",
};

static const emk_model_row *row_of(emk_model_format f)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (rows[i].format == f)
            return &rows[i];
    }
    return NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* True when the name ends in one of the row's suffixes, in any case. */
static bool has_suffix(const char *name, const char *suffixes)
{
    size_t name_len = strlen(name);

    while (*suffixes == ' ' && suffixes[1]) {
        size_t len = strcspn(++suffixes, " "), i = 0;

        while (len <= name_len && i < len && lower(name[name_len - len + i]) == suffixes[i])
            i++;
        if (len <= name_len && i == len)
            return true;
        suffixes += len;
    }
    return false;
}

/* What PyTorch wrote before version 1.6: pickles, whose ends are known only to who runs them. */
static bool is_old_pytorch(emk_image *im)
{
    static const uint8_t magic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c,
                                    0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    bool is = emk_image_has(im, 0, sizeof magic) &&
              emk_image_equal(im, 0, emk_span_of(magic, sizeof magic));

    im->cut = false;
    return is;
}

const char *emk_model_unknown_note(emk_image *im)
{
    return is_old_pytorch(im) ? "a PyTorch pickle of before version 1.6" : NULL;
}

/* GraphDef has no magic and shares its suffix with much else: it is one when the name ends so
 * and the whole file reads as one, from the first byte as a node with a name. */
static bool is_graphdef(emk_image *im, const char *file_name)
{
    emk_error why;

    if (!file_name || !has_suffix(file_name, " .pb ") || im->len < 4)
        return false;
    if (emk_image_u8(im, 0) != 0x0A) /* field 1, a message: the first node */
        return false;
    return emk_graphdef_has_named_node(im) &&
           emk_model_scan(EMK_MODEL_GRAPHDEF, im, NULL, NULL, NULL, NULL, &why) == EMK_OK;
}

emk_model_format emk_model_detect(emk_image *im, const char *file_name)
{
    emk_model_format found = EMK_MODEL_UNKNOWN;

    if (is_old_pytorch(im))
        return EMK_MODEL_UNKNOWN;
    for (size_t i = 0; i < N_ROWS && found == EMK_MODEL_UNKNOWN; i++) {
        if (rows[i].detect && rows[i].detect(im))
            found = rows[i].format;
    }
    for (size_t i = 0; i < N_ROWS && found == EMK_MODEL_UNKNOWN && file_name; i++) {
        if (has_suffix(file_name, rows[i].suffixes))
            found = rows[i].format;
    }
    if (found == EMK_MODEL_UNKNOWN && is_graphdef(im, file_name))
        found = EMK_MODEL_GRAPHDEF;
    im->cut = false;
    return found;
}

static void fill_limits(emk_model_limits *out, const emk_model_limits *in, uint64_t len)
{
    if (in)
        *out = *in;
    if (out->max_steps == 0)
        out->max_steps =
            len > UINT64_MAX - EMK_MODEL_STEPS_EXTRA ? UINT64_MAX : len + EMK_MODEL_STEPS_EXTRA;
    if (out->max_tensors == 0)
        out->max_tensors = EMK_MODEL_TENSORS_MAX;
}

emk_status emk_model_scan_job(const emk_model_job *job, emk_model_report *report, emk_error *e)
{
    const emk_model_row *row = row_of(job->format);
    emk_image *im = job->im;
    emk_scan s = {.im = im, .len = im->len, .fn = job->fn, .self = job->self};
    emk_status st;

    if (!row)
        return emk_fail(e, EMK_E_USAGE, "model: no reader for this format", job->format);
    fill_limits(&s.limits, job->limits, im->len);
    im->cut = false;
    st = row->scan(&s, e);
    /* What a reader made of missing bytes does not matter: say that they were missing. */
    if (im->cut && (st == EMK_OK || st == EMK_E_FORMAT || im->status != EMK_E_FORMAT))
        st = emk_image_check(im, "model: cut short", e);
    if (st == EMK_OK && report)
        *report = s.report;
    return st;
}

const char *emk_model_format_name(emk_model_format f)
{
    const emk_model_row *row = row_of(f);

    return row ? row->name : "unknown";
}

emk_model_format emk_model_format_named(const char *name)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].format;
    }
    return EMK_MODEL_UNKNOWN;
}

const char *emk_model_dtype_name(uint16_t dtype)
{
    return dtype < sizeof dtype_names / sizeof dtype_names[0] ? dtype_names[dtype] : "other";
}

const char *emk_model_clear_name(emk_clear reason)
{
    return (unsigned)reason < EMK_CLEAR_REASONS ? clear_names[reason] : "unknown";
}
