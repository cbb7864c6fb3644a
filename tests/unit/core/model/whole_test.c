#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"

static model_check check;

static emk_status run(emk_model_format f, emk_span s, uint32_t flags)
{
    return model_check_all(&check, f, s, flags);
}

static emk_status text(emk_model_format f, const char *s)
{
    return run(f, emk_span_str(s), 0);
}

static void is_sealed_whole(emk_model_format f, emk_span s)
{
    assert_ok(run(f, s, 0), &check.e);
    assert_int_equal(check.x.n, 1);
    assert_int_equal(check.v[0].offset, 0);
    assert_int_equal(check.v[0].length, s.len);
    assert_int_equal(check.v[0].flags, EMK_TENSOR_WHOLE);
    assert_int_equal(check.report.clear[EMK_CLEAR_UNREAD], s.len);
    assert_status(run(f, s, EMK_MODEL_STRICT), EMK_E_UNSUPPORTED, &check.e);
}

static void gives_what_it_does_not_read_as_a_whole(void **state)
{
    (void)state;
    is_sealed_whole(EMK_MODEL_COREML_MODEL, emk_span_of("\x08\x04\x12\x00", 4));
    is_sealed_whole(EMK_MODEL_ORT, emk_span_of("\x20\0\0\0ORTM1234", 12));
}

static void rejects_other_files_under_these_names(void **state)
{
    (void)state;
    assert_status(text(EMK_MODEL_COREML_MODEL, "{}"), EMK_E_FORMAT, &check.e);
    assert_status(text(EMK_MODEL_COREML_MODEL, ""), EMK_E_FORMAT, &check.e);
    assert_status(text(EMK_MODEL_ORT, "1234TFL3"), EMK_E_FORMAT, &check.e);
    assert_status(text(EMK_MODEL_ORT, "1234ORT"), EMK_E_FORMAT, &check.e);
    assert_status(text(EMK_MODEL_NCNN_BIN, ""), EMK_E_FORMAT, &check.e);
}

static void takes_all_of_a_bin_of_ncnn_for_weights(void **state)
{
    (void)state;
    assert_ok(text(EMK_MODEL_NCNN_BIN, "whatever"), &check.e);
    assert_int_equal(check.x.n, 1);
    assert_int_equal(check.v[0].length, 8);
    assert_int_equal(check.v[0].kind, EMK_TENSOR_WEIGHT);
}

static void finds_the_bin_beside_a_param(void **state)
{
    char name[EMK_MODEL_PART_NAME];

    (void)state;
    assert_ok(text(EMK_MODEL_NCNN, "7767517\n1 2\nInput x 0 1 x\n"), &check.e);
    assert_int_equal(check.report.n_parts, 1);
    assert_int_equal(check.x.n, 1);
    assert_int_equal(check.v[0].part, 1);
    assert_int_equal(check.v[0].length, 1 << 20);
    assert_ok(emk_model_part_name(&check.im, "m.param", &check.report.parts[0], name, &check.e),
              &check.e);
    assert_string_equal(name, "m.bin");
    assert_ok(text(EMK_MODEL_NCNN, "7767517\r\n12 2"), &check.e);
}

static void rejects_params_that_do_not_begin_like_one(void **state)
{
    static const char *const bad[] = {"",
                                      "7767517",
                                      "7767517\n",
                                      "7767517\n1",
                                      "7767517\n1 ",
                                      "7767517\nx 1",
                                      "7767517\n1 x",
                                      "77675171 1 1",
                                      "7767517\n1 1234567890"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (text(EMK_MODEL_NCNN, bad[i]) != EMK_E_FORMAT)
            fail_msg("accepted %s", bad[i]);
    }
}

int main(void)
{
    return EMK_RUN(emk_rule(gives_what_it_does_not_read_as_a_whole),
                   emk_rule(rejects_other_files_under_these_names),
                   emk_rule(takes_all_of_a_bin_of_ncnn_for_weights),
                   emk_rule(finds_the_bin_beside_a_param),
                   emk_rule(rejects_params_that_do_not_begin_like_one));
}
