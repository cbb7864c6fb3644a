#include "core/model/model.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"

static emk_image im;

static emk_model_format detect(emk_span s, const char *name)
{
    emk_image_from_span(&im, s);
    return emk_model_detect(&im, name);
}

static void detects_by_the_first_bytes(void **state)
{
    (void)state;
    assert_int_equal(detect(emk_span_of("\x20\0\0\0TFL3....", 12), NULL), EMK_MODEL_TFLITE);
    assert_int_equal(detect(emk_span_of("\2\0\0\0\0\0\0\0{}", 10), NULL), EMK_MODEL_SAFETENSORS);
    /* The bytes win over the name. */
    assert_int_equal(detect(emk_span_of("\2\0\0\0\0\0\0\0{}", 10), "x.tflite"),
                     EMK_MODEL_SAFETENSORS);
}

static void detects_a_graphdef_by_its_name_and_its_first_node(void **state)
{
    static const uint8_t graph[] = {0x0A, 0x08, 0x0A, 0x01, 'a', 0x12, 0x03, 'A', 'd', 'd'};
    static const uint8_t no_op[] = {0x0A, 0x03, 0x0A, 0x01, 'a'};
    static const uint8_t text[] = "\n\x04some";
    emk_span s = emk_span_of(graph, sizeof graph);

    (void)state;
    assert_int_equal(detect(s, "frozen.pb"), EMK_MODEL_GRAPHDEF);
    assert_int_equal(detect(s, "saved_model.pb"), EMK_MODEL_SAVEDMODEL);
    assert_int_equal(detect(s, "frozen.bin"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(s, NULL), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(emk_span_of(graph, sizeof graph - 1), "x.pb"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(emk_span_of(no_op, sizeof no_op), "x.pb"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(emk_span_of(text, sizeof text - 1), "x.pb"), EMK_MODEL_UNKNOWN);
}

static void detects_by_the_end_of_the_name_where_bytes_say_nothing(void **state)
{
    (void)state;
    assert_int_equal(detect(emk_span_of("", 0), "dir/Model.TFLite"), EMK_MODEL_TFLITE);
    assert_int_equal(detect(emk_span_of("1234", 4), "a.safetensors"), EMK_MODEL_SAFETENSORS);
    assert_int_equal(detect(emk_span_of("", 0), "tflite"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(emk_span_of("", 0), ".tflit"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(emk_span_of("", 0), ""), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(emk_span_of("", 0), NULL), EMK_MODEL_UNKNOWN);
    assert_false(im.cut);
}

static emk_model_format detect_text(const char *text, const char *name)
{
    return detect(emk_span_str(text), name);
}

/* Every file of a folder must be told apart by itself. */
static void detects_the_files_of_a_saved_model(void **state)
{
    static const uint8_t index[56] = {[48] = 0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb};
    emk_span s = emk_span_of(index, sizeof index);

    (void)state;
    assert_int_equal(detect_text("\x08\x01", "m/saved_model.pb"), EMK_MODEL_SAVEDMODEL);
    assert_int_equal(detect_text("\x08\x01", "m/fingerprint.pb"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect_text("\x08\x01", "m/frozen.pb"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(s, "m/variables/variables.index"), EMK_MODEL_TENSORBUNDLE);
    assert_int_equal(detect(s, NULL), EMK_MODEL_TENSORBUNDLE);
    assert_int_equal(detect_text("abcd", "variables.data-00000-of-00001"), EMK_MODEL_UNKNOWN);
}

static void detects_formats_of_several_files(void **state)
{
    static const char index[] = "model.safetensors.index.json";

    (void)state;
    assert_int_equal(detect_text("{}", index), EMK_MODEL_SAFETENSORS_INDEX);
    assert_int_equal(detect_text("{}", "config.json"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect_text("7767517\n1 1\n", "m.param"), EMK_MODEL_NCNN);
    assert_int_equal(detect_text("7767517\r\n1 1\n", NULL), EMK_MODEL_NCNN);
    assert_int_equal(detect_text("77675170\n", "m.param"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect_text("\1\2\3\4", "m.bin"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect_text("<?xml version=\"1.0\"?>\n<net name=\"x\">", "m.xml"),
                     EMK_MODEL_OPENVINO);
    assert_int_equal(detect_text("\xef\xbb\xbf <net\tname=\"x\">", NULL), EMK_MODEL_OPENVINO);
    assert_int_equal(detect_text("<network>", "m.xml"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect_text("a <net >", "m.xml"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect_text("1234ORTM....", NULL), EMK_MODEL_ORT);
    assert_int_equal(detect_text("\x08\x01", "a.mlmodel"), EMK_MODEL_COREML_MODEL);
}

/* What PyTorch wrote before 2020 has no archive in it, whatever its name; what begins like
 * an archive and ends too early is still taken for one, and refused by the scan. */
static void takes_old_pickles_for_no_archive(void **state)
{
    static const uint8_t pickle[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                     0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e};
    emk_span s = emk_span_of(pickle, sizeof pickle);

    (void)state;
    assert_int_equal(detect(s, "model.pth"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect(s, "model.task"), EMK_MODEL_UNKNOWN);
    assert_non_null(emk_model_unknown_note(&im));
    s.len--;
    assert_int_equal(detect(s, NULL), EMK_MODEL_UNKNOWN);
    assert_non_null(emk_model_unknown_note(&im));
    s.len--;
    assert_int_equal(detect(s, NULL), EMK_MODEL_UNKNOWN);
    assert_null(emk_model_unknown_note(&im));
    assert_int_equal(detect_text("\x80\x04}", "model.pt"), EMK_MODEL_UNKNOWN);
    assert_int_equal(detect_text("PK\3\4", "model.pt"), EMK_MODEL_ZIP);
    assert_int_equal(detect_text("PK\3\4", NULL), EMK_MODEL_ZIP);
    assert_int_equal(detect_text("", "a.task"), EMK_MODEL_ZIP);
    assert_int_equal(detect_text("", "a.keras"), EMK_MODEL_ZIP);
}

static void knows_formats_by_name_and_number(void **state)
{
    (void)state;
    for (unsigned f = 1; f < 32; f++) {
        const char *name = emk_model_format_name((emk_model_format)f);

        if (strcmp(name, "unknown") != 0)
            assert_int_equal(emk_model_format_named(name), f);
    }
    assert_string_equal(emk_model_format_name(EMK_MODEL_TFLITE), "tflite");
    assert_string_equal(emk_model_format_name(EMK_MODEL_UNKNOWN), "unknown");
    assert_int_equal(emk_model_format_named("unknown"), EMK_MODEL_UNKNOWN);
}

static void names_every_dtype_and_reason(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= EMK_DTYPE_QUANT_BLOCKS; i++)
        assert_non_null(emk_model_dtype_name((uint16_t)i));
    assert_string_equal(emk_model_dtype_name(EMK_DTYPE_BF16), "bf16");
    assert_string_equal(emk_model_dtype_name(9999), "other");
    for (unsigned i = 0; i < EMK_CLEAR_REASONS; i++)
        assert_non_null(emk_model_clear_name((emk_clear)i));
    assert_string_equal(emk_model_clear_name(EMK_CLEAR_REASONS), "unknown");
}

static void refuses_a_format_without_a_reader(void **state)
{
    emk_error e;

    (void)state;
    emk_image_from_span(&im, emk_span_of("", 0));
    assert_status(emk_model_scan(EMK_MODEL_UNKNOWN, &im, NULL, NULL, NULL, NULL, &e), EMK_E_USAGE,
                  &e);
    assert_status(emk_model_scan((emk_model_format)9999, &im, NULL, NULL, NULL, NULL, &e),
                  EMK_E_USAGE, &e);
}

static emk_status broken_disk(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    (void)self;
    (void)out;
    (void)len;
    return emk_fail(e, EMK_E_IO, "test: read", off);
}

static void passes_on_why_the_file_cannot_be_read(void **state)
{
    emk_error e;

    (void)state;
    for (unsigned f = 1; f < 32; f++) {
        if (strcmp(emk_model_format_name((emk_model_format)f), "unknown") == 0)
            continue;
        emk_image_from_reader(&im, 1 << 20, broken_disk, NULL);
        assert_status(emk_model_scan((emk_model_format)f, &im, NULL, NULL, NULL, NULL, &e),
                      EMK_E_IO, &e);
    }
}

/* Reads well so many times, then no more. */
typedef struct dying_disk {
    emk_span bytes;
    int reads;
} dying_disk;

static emk_status read_dying(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    dying_disk *d = self;

    if (d->reads-- <= 0)
        return emk_fail(e, EMK_E_IO, "test: read", off);
    memcpy(out, d->bytes.p + off, len);
    return EMK_OK;
}

static void calls_a_failed_read_no_fault_of_the_model(void **state)
{
    static const uint8_t bytes[] =
        "\x3a\0\0\0\0\0\0\0"
        "{\"a\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]}}     abcd";
    dying_disk disk = {emk_span_of(bytes, sizeof bytes - 1), 1};
    uint64_t part_len[1] = {sizeof bytes - 1};
    emk_tensor room[4];
    emk_extents x;
    emk_error e;

    (void)state;
    emk_extents_init(&x, room, 4);
    emk_image_from_reader(&im, disk.bytes.len, read_dying, &disk);
    assert_ok(emk_model_scan(EMK_MODEL_SAFETENSORS, &im, NULL, emk_extents_add, &x, NULL, &e), &e);
    assert_ok(emk_extents_settle(&x, part_len, 1, &e), &e);
    assert_status(emk_extents_check_stable(&x, EMK_MODEL_SAFETENSORS, &im, NULL, &e), EMK_E_IO, &e);
    disk.reads = 1;
    assert_ok(emk_extents_check_stable(&x, EMK_MODEL_SAFETENSORS, &im, NULL, &e), &e);
    assert_null(im.mask);
}

/* Fails one read after the other, over a file of many pages. */
static void reports_every_failed_read_as_such(void **state)
{
    static uint8_t bytes[256 * 1024];
    dying_disk disk = {emk_span_of(bytes, 0), 0};
    FILE *f = fopen(EMK_SOURCE_DIR "/examples/cat-ears/cat-ears.tflite", "rb");
    emk_status st = EMK_E_IO;
    int n = 0;

    (void)state;
    assert_non_null(f);
    disk.bytes.len = fread(bytes, 1, sizeof bytes, f);
    (void)fclose(f);
    assert_in_range(disk.bytes.len, 100000, sizeof bytes - 1);
    for (; st != EMK_OK; n++) {
        emk_error e;

        disk.reads = n;
        emk_image_from_reader(&im, disk.bytes.len, read_dying, &disk);
        st = emk_model_scan(EMK_MODEL_TFLITE, &im, NULL, NULL, NULL, NULL, &e);
        if (st != EMK_OK)
            assert_status(st, EMK_E_IO, &e);
    }
    assert_in_range(n, 2, 60);
}

/* A good file of one format under the name of each other one. */
static void refuses_files_of_another_format(void **state)
{
    static uint8_t bytes[256 * 1024];
    FILE *file = fopen(EMK_SOURCE_DIR "/examples/cat-ears/cat-ears.tflite", "rb");
    size_t len;

    (void)state;
    assert_non_null(file);
    len = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    for (unsigned f = 1; f < 32; f++) {
        emk_error e = {EMK_OK, NULL, 0};
        emk_status st;

        if (strcmp(emk_model_format_name((emk_model_format)f), "unknown") == 0)
            continue;
        emk_image_from_span(&im, emk_span_of(bytes, len));
        st = emk_model_scan((emk_model_format)f, &im, NULL, NULL, NULL, NULL, &e);
        if (f == EMK_MODEL_TFLITE || f == EMK_MODEL_NCNN_BIN) {
            assert_ok(st, &e);
            continue;
        }
        assert_true(st == EMK_E_FORMAT || st == EMK_E_UNSUPPORTED || st == EMK_E_LIMIT);
        assert_int_equal(e.status, st);
        assert_non_null(e.what);
    }
}

int main(void)
{
    return EMK_RUN(
        emk_rule(detects_by_the_first_bytes),
        emk_rule(detects_a_graphdef_by_its_name_and_its_first_node),
        emk_rule(detects_by_the_end_of_the_name_where_bytes_say_nothing),
        emk_rule(detects_the_files_of_a_saved_model), emk_rule(detects_formats_of_several_files),
        emk_rule(takes_old_pickles_for_no_archive), emk_rule(knows_formats_by_name_and_number),
        emk_rule(names_every_dtype_and_reason), emk_rule(refuses_a_format_without_a_reader),
        emk_rule(refuses_files_of_another_format), emk_rule(passes_on_why_the_file_cannot_be_read),
        emk_rule(calls_a_failed_read_no_fault_of_the_model),
        emk_rule(reports_every_failed_read_as_such));
}
