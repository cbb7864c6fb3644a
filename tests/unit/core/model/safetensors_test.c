#include "core/model/extents.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"

static model_check check;

/* A file of this header and so many bytes behind it. */
typedef struct file {
    uint8_t bytes[4096];
    emk_span span;
} file;

static void make(file *f, const char *header, size_t data_len)
{
    size_t len = strlen(header);

    memset(f->bytes, 0, sizeof f->bytes);
    for (unsigned i = 0; i < 8; i++)
        f->bytes[i] = (uint8_t)((uint64_t)len >> 8 * i);
    memcpy(f->bytes + 8, header, len);
    f->span = emk_span_of(f->bytes, 8 + len + data_len);
}

static emk_status all(const char *header, size_t data_len)
{
    static file f;

    make(&f, header, data_len);
    return model_check_all(&check, EMK_MODEL_SAFETENSORS, f.span, 0);
}

static emk_status scan_only(const char *header, size_t data_len)
{
    static file f;

    make(&f, header, data_len);
    return model_check_scan(&check, EMK_MODEL_SAFETENSORS, f.span, 0);
}

#define T(name, from, to) \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" #from "," #to "]}"

static void emits_each_tensor(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"a\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"
        "\"b\\u0063\":{\"data_offsets\":[12,16],\"shape\":[],\"dtype\":\"I64\"}}  ";
    uint64_t data = 8 + sizeof header - 1;

    (void)state;
    assert_ok(all(header, 16), &check.e);
    assert_int_equal(check.n_seen, 2);
    assert_int_equal(check.seen[0].offset, data);
    assert_int_equal(check.seen[0].length, 12);
    assert_int_equal(check.seen[0].dtype, EMK_DTYPE_BF16);
    assert_int_equal(check.seen[0].rank, 2);
    assert_int_equal(check.seen[0].dims[1], 3);
    assert_int_equal(check.seen[0].name_len, 1);
    assert_int_equal(check.seen[1].offset, data + 12);
    assert_int_equal(check.seen[1].rank, 0);
    assert_int_equal(check.seen[1].name_len, 7);
    assert_int_equal(check.report.weight_bytes, 16);
}

static void accepts_a_file_without_tensors(void **state)
{
    (void)state;
    assert_ok(all("{}", 0), &check.e);
    assert_int_equal(check.n_seen, 0);
}

static void accepts_tensors_in_any_order(void **state)
{
    (void)state;
    assert_ok(all("{" T("b", 4, 8) "," T("a", 0, 4) "," T("c", 8, 8) "}", 8), &check.e);
    assert_int_equal(check.x.n, 2);
}

static void accepts_types_it_does_not_know(void **state)
{
    (void)state;
    assert_ok(all("{\"a\":{\"dtype\":\"Q3_Z\",\"shape\":[],\"data_offsets\":[0,3]}}", 3), &check.e);
    assert_int_equal(check.seen[0].dtype, EMK_DTYPE_OTHER);
}

static void tells_shapes_of_more_than_eight_dimensions(void **state)
{
    (void)state;
    assert_ok(
        all("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4),
        &check.e);
    assert_int_equal(check.seen[0].rank, 8);
    assert_ok(
        all("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4),
        &check.e);
    assert_int_equal(check.seen[0].rank, EMK_MODEL_RANK_MORE);
}

static void rejects_headers_that_are_not_well_formed(void **state)
{
    static const char *const bad[] = {
        "[]",
        " {}",
        "{",
        "{}x",
        "{" T("a", 0, 8) ",}",
        "{" T("a", 0, 8) "}}",
        "{\"a\":[]}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}",
        "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}",
        "{\"a\":{\"shape\":[],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":5,\"shape\":[],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8e0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[-0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":8}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8],\"x\":0}}",
        "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,8]}}",
        "{\"__metadata__\":{\"a\":1}," T("a", 0, 8) "}",
        "{\"__metadata__\":[]," T("a", 0, 8) "}",
        "{\"__metadata__\":{},\"__metadata__\":{}," T("a", 0, 8) "}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (scan_only(bad[i], 8) != EMK_E_FORMAT)
            fail_msg("accepted %s", bad[i]);
    }
}

static void rejects_numbers_beyond_64_bits(void **state)
{
    (void)state;
    assert_status(scan_only("{" T("a", 0, 18446744073709551616) "}", 8), EMK_E_LIMIT, &check.e);
}

static void rejects_offsets_that_are_no_range_of_the_data(void **state)
{
    (void)state;
    assert_status(scan_only("{" T("a", 0, 9) "}", 8), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "safetensors: data_offsets");
    assert_status(scan_only("{" T("a", 5, 4) "}", 8), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "safetensors: data_offsets");
    assert_status(scan_only("{" T("a", 18446744073709551615, 18446744073709551615) "}", 8),
                  EMK_E_FORMAT, &check.e);
}

static void rejects_bytes_that_belong_to_no_tensor(void **state)
{
    static const char *const bad[] = {"{" T("a", 0, 7) "}", "{" T("a", 1, 8) "}",
                                      "{" T("a", 0, 3) "," T("b", 4, 8) "}", "{}"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_status(scan_only(bad[i], 8), EMK_E_FORMAT, &check.e);
        assert_string_equal(check.e.what, "safetensors: data that belongs to no tensor");
    }
}

static void rejects_tensors_that_overlap(void **state)
{
    (void)state;
    assert_status(all("{" T("a", 0, 4) "," T("b", 3, 8) "}", 8), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "safetensors: tensors overlap");
    /* The lengths add up here; only sorting shows it. */
    assert_status(all("{" T("a", 0, 4) "," T("b", 3, 7) "}", 8), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "model: tensors overlap");
}

static void rejects_a_hole_beside_tensors_that_share_bytes(void **state)
{
    (void)state;
    assert_status(all("{" T("a", 0, 4) "," T("b", 0, 4) "}", 8), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "model: tensors share bytes and leave holes");
}

static void rejects_two_tensors_of_one_name(void **state)
{
    (void)state;
    assert_status(all("{" T("a", 0, 4) "," T("\\u0061", 4, 8) "}", 8), EMK_E_FORMAT, &check.e);
    assert_string_equal(check.e.what, "model: name comes again");
    assert_status(all("{" T("a", 0, 8) "," T("b", 8, 8) "," T("b", 8, 8) "}", 8), EMK_E_FORMAT,
                  &check.e);
    assert_string_equal(check.e.what, "model: name comes again");
}

static void rejects_a_header_length_beyond_limit_or_file(void **state)
{
    static file f;

    (void)state;
    make(&f, "{}", 0);
    f.bytes[0] = 3;
    assert_status(model_check_scan(&check, EMK_MODEL_SAFETENSORS, f.span, 0), EMK_E_FORMAT,
                  &check.e);
    assert_string_equal(check.e.what, "safetensors: header longer than the file");
    memcpy(f.bytes, "\x01\xe1\xf5\x05", 4); /* 100,000,001 */
    assert_status(model_check_scan(&check, EMK_MODEL_SAFETENSORS, f.span, 0), EMK_E_LIMIT,
                  &check.e);
    memset(f.bytes, 0xff, 8);
    assert_status(model_check_scan(&check, EMK_MODEL_SAFETENSORS, f.span, 0), EMK_E_LIMIT,
                  &check.e);
}

static void rejects_every_file_cut_short(void **state)
{
    static file f;

    (void)state;
    make(&f, "{" T("a", 0, 8) "}", 8);
    for (size_t len = 0; len < f.span.len; len++) {
        emk_span s = emk_span_of(f.bytes, len);

        assert_int_not_equal(model_check_scan(&check, EMK_MODEL_SAFETENSORS, s, 0), EMK_OK);
    }
}

static void rejects_more_work_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 1};
    static file f;

    (void)state;
    make(&f, "{" T("a", 0, 4) "," T("b", 4, 8) "}", 8);
    emk_image_from_span(&check.im, f.span);
    assert_status(
        emk_model_scan(EMK_MODEL_SAFETENSORS, &check.im, &limits, NULL, NULL, NULL, &check.e),
        EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(emits_each_tensor), emk_rule(accepts_a_file_without_tensors),
        emk_rule(accepts_tensors_in_any_order), emk_rule(accepts_types_it_does_not_know),
        emk_rule(tells_shapes_of_more_than_eight_dimensions),
        emk_rule(rejects_headers_that_are_not_well_formed),
        emk_rule(rejects_numbers_beyond_64_bits),
        emk_rule(rejects_offsets_that_are_no_range_of_the_data),
        emk_rule(rejects_bytes_that_belong_to_no_tensor), emk_rule(rejects_tensors_that_overlap),
        emk_rule(rejects_a_hole_beside_tensors_that_share_bytes),
        emk_rule(rejects_two_tensors_of_one_name),
        emk_rule(rejects_a_header_length_beyond_limit_or_file),
        emk_rule(rejects_every_file_cut_short), emk_rule(rejects_more_work_than_its_budget));
}
