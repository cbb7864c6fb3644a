#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"

static model_check check;
static uint8_t file[2048];
static size_t len;

static void put(size_t at, uint64_t v, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        file[at + i] = (uint8_t)(v >> 8 * i);
}

static void begin(uint32_t n)
{
    memset(file, 0xEE, sizeof file); /* reserved words have been seen to hold anything */
    put(0, n, 4);
    put(4, 2, 4);
    len = 64;
}

/* Adds a blob; returns where its description is. */
static size_t add(uint32_t dtype, uint64_t size)
{
    size_t at = (len + 63) / 64 * 64;

    put(at, 0xDEADBEEF, 4);
    put(at + 4, dtype, 4);
    put(at + 8, size, 8);
    put(at + 16, at + 64, 8);
    len = at + 64 + (size_t)size;
    return at;
}

static emk_status run(uint32_t flags)
{
    return model_check_all(&check, EMK_MODEL_COREML_WEIGHTS, emk_span_of(file, len), flags);
}

#define refuses(st, why)                        \
    do {                                        \
        assert_status(run(0), st, &check.e);    \
        assert_string_equal(check.e.what, why); \
    } while (0)

static void emits_each_blob(void **state)
{
    (void)state;
    begin(3);
    add(1, 10);
    add(2, 64);
    add(99, 4);
    assert_ok(run(0), &check.e);
    assert_int_equal(check.x.n, 3);
    assert_int_equal(check.v[0].offset, 128);
    assert_int_equal(check.v[0].length, 10);
    assert_int_equal(check.v[0].dtype, EMK_DTYPE_F16);
    assert_int_equal(check.v[1].offset, 192 + 64);
    assert_int_equal(check.v[1].dtype, EMK_DTYPE_F32);
    assert_int_equal(check.v[2].dtype, EMK_DTYPE_OTHER);
    assert_int_equal(emk_model_detect(&check.im, NULL), EMK_MODEL_COREML_WEIGHTS);
}

static void accepts_a_file_without_blobs(void **state)
{
    (void)state;
    begin(0);
    assert_ok(run(0), &check.e);
    assert_int_equal(check.x.n, 0);
}

static void reports_bytes_behind_the_last_blob(void **state)
{
    (void)state;
    begin(1);
    add(1, 10);
    len += 64;
    assert_ok(run(0), &check.e);
    assert_int_equal(check.report.clear[EMK_CLEAR_TRAILING], 0);
    len += 100;
    assert_ok(run(0), &check.e);
    assert_int_equal(check.report.clear[EMK_CLEAR_TRAILING], 164);
}

static void rejects_heads_that_do_not_fit(void **state)
{
    (void)state;
    begin(1);
    add(1, 10);
    put(4, 1, 4);
    refuses(EMK_E_UNSUPPORTED, "coreml: version");
    put(4, 2, 4);
    put(0, 2, 4);
    refuses(EMK_E_FORMAT, "coreml: fewer blobs than the head says");
    put(0, UINT32_MAX, 4);
    refuses(EMK_E_FORMAT, "coreml: more blobs than the file can hold");
    len = 63;
    refuses(EMK_E_FORMAT, "coreml: cut short");
}

static void rejects_descriptions_that_do_not_fit(void **state)
{
    size_t at;

    (void)state;
    begin(2);
    add(1, 10);
    at = add(1, 10);
    put(at, 0, 4);
    refuses(EMK_E_FORMAT, "coreml: description of a blob");
    put(at, 0xDEADBEEF, 4);
    put(at + 8, 11, 8);
    refuses(EMK_E_FORMAT, "coreml: blob outside the file");
    put(at + 8, UINT64_MAX, 8);
    refuses(EMK_E_FORMAT, "coreml: blob outside the file");
    put(at + 8, 10, 8);
    put(at + 16, at + 63, 8);
    refuses(EMK_E_FORMAT, "coreml: blob outside the file");
    put(at + 16, 128, 8); /* the first blob's bytes, again */
    refuses(EMK_E_FORMAT, "coreml: blob outside the file");
    put(at + 16, UINT64_MAX, 8);
    refuses(EMK_E_FORMAT, "coreml: blob outside the file");
}

static void rejects_files_cut_short(void **state)
{
    size_t all;

    (void)state;
    begin(2);
    add(1, 10);
    add(2, 20);
    all = len;
    for (len = 0; len < all; len++)
        assert_int_not_equal(run(0), EMK_OK);
}

static void spends_no_more_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 1};

    (void)state;
    begin(2);
    add(1, 10);
    add(2, 20);
    emk_image_from_span(&check.im, emk_span_of(file, len));
    assert_status(
        emk_model_scan(EMK_MODEL_COREML_WEIGHTS, &check.im, &limits, NULL, NULL, NULL, &check.e),
        EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(emk_rule(emits_each_blob), emk_rule(accepts_a_file_without_blobs),
                   emk_rule(reports_bytes_behind_the_last_blob),
                   emk_rule(rejects_heads_that_do_not_fit),
                   emk_rule(rejects_descriptions_that_do_not_fit),
                   emk_rule(rejects_files_cut_short), emk_rule(spends_no_more_than_its_budget));
}
