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

int main(void)
{
    return EMK_RUN(emk_rule(detects_by_the_first_bytes),
                   emk_rule(detects_by_the_end_of_the_name_where_bytes_say_nothing),
                   emk_rule(knows_formats_by_name_and_number),
                   emk_rule(names_every_dtype_and_reason),
                   emk_rule(refuses_a_format_without_a_reader),
                   emk_rule(passes_on_why_the_file_cannot_be_read),
                   emk_rule(calls_a_failed_read_no_fault_of_the_model),
                   emk_rule(reports_every_failed_read_as_such));
}
