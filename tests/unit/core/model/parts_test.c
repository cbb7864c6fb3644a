#include "tests/support/test.h"
#include "tests/unit/core/model/model_check.h"

static emk_image im;
static emk_error e;
static char out[EMK_MODEL_PART_NAME];

static emk_status named(const char *text)
{
    static char bytes[2048];
    emk_model_part part = {.name_off = 3, .name_len = (uint32_t)strlen(text)};

    memset(bytes, 'x', 3);
    memcpy(bytes + 3, text, part.name_len);
    emk_image_from_span(&im, emk_span_of(bytes, 3 + part.name_len));
    strcpy(out, "untouched");
    return emk_model_part_name(&im, "folder/model.onnx", &part, out, &e);
}

static emk_status derived(const char *file_name, emk_part_naming naming)
{
    emk_model_part part = {.naming = (uint8_t)naming, .number = 3, .of = 12};

    emk_image_from_span(&im, emk_span_of("", 0));
    strcpy(out, "untouched");
    return emk_model_part_name(&im, file_name, &part, out, &e);
}

static void gives_names_that_stay_below_the_folder(void **state)
{
    static const char *const good[] = {"w", "a/b/c.bin", "...", "..w", ".w", "\xc3\xa4 b", "-w"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(named(good[i]), &e);
        assert_string_equal(out, good[i]);
    }
}

static void rejects_names_that_lead_elsewhere(void **state)
{
    static const char *const bad[] = {"",     "/",    "/w",          "../w",  "a/../w", "a/..",
                                      "..",   ".",    "./w",         "a/./w", "a//w",   "a/",
                                      "a\\w", "C:w",  "C:/w",        "w\n",   "\x1b[",  "a\x7f",
                                      "\xff", "\xc3", "\xed\xa0\x80"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (named(bad[i]) != EMK_E_FORMAT)
            fail_msg("accepted \"%s\"", bad[i]);
        assert_int_equal(e.where, 3);
        assert_string_equal(out, "untouched");
    }
}

static void rejects_a_name_that_leads_back_to_the_model(void **state)
{
    (void)state;
    assert_status(named("model.onnx"), EMK_E_FORMAT, &e);
    assert_string_equal(e.what, "model: names itself as another file");
    assert_ok(named("a/model.onnx"), &e);
    assert_status(derived("model.bin", EMK_PART_BIN), EMK_E_FORMAT, &e);
}

static void rejects_names_beyond_the_limit(void **state)
{
    char name[EMK_MODEL_PART_NAME + 1];

    (void)state;
    memset(name, 'w', sizeof name);
    name[EMK_MODEL_PART_NAME] = 0;
    assert_status(named(name), EMK_E_LIMIT, &e);
    name[EMK_MODEL_PART_NAME - 1] = 0;
    assert_ok(named(name), &e);
    assert_string_equal(out, name);
    memcpy(name + EMK_MODEL_PART_NAME - 5, ".xml", 5);
    assert_ok(derived(name, EMK_PART_BIN), &e);
    memcpy(name + EMK_MODEL_PART_NAME - 4, ".ml", 4);
    assert_status(derived(name, EMK_PART_BIN), EMK_E_LIMIT, &e);
    memcpy(name + EMK_MODEL_PART_NAME - 7, ".index", 7);
    assert_status(derived(name, EMK_PART_SHARD), EMK_E_LIMIT, &e);
}

static void derives_names_from_that_of_the_model(void **state)
{
    (void)state;
    assert_ok(derived("a.b/variables.index", EMK_PART_SHARD), &e);
    assert_string_equal(out, "variables.data-00003-of-00012");
    assert_ok(derived("a/b.c.xml", EMK_PART_BIN), &e);
    assert_string_equal(out, "b.c.bin");
    assert_ok(derived("m.param", EMK_PART_BIN), &e);
    assert_string_equal(out, "m.bin");
}

static void refuses_to_guess(void **state)
{
    (void)state;
    assert_status(derived(NULL, EMK_PART_SHARD), EMK_E_USAGE, &e);
    assert_status(derived("variables", EMK_PART_SHARD), EMK_E_USAGE, &e);
    assert_status(derived("variables.idx", EMK_PART_SHARD), EMK_E_USAGE, &e);
    assert_status(derived(".index", EMK_PART_SHARD), EMK_E_USAGE, &e);
    assert_status(derived("a.b/model", EMK_PART_BIN), EMK_E_USAGE, &e);
    assert_status(derived("model.xml", EMK_PART_UNNAMED), EMK_E_USAGE, &e);
    assert_status(derived("a\nb.xml", EMK_PART_BIN), EMK_E_FORMAT, &e);
    assert_string_equal(out, "untouched");
}

static emk_status broken_disk(void *self, uint64_t off, uint8_t *bytes, size_t len, emk_error *err)
{
    (void)self;
    (void)bytes;
    (void)len;
    return emk_fail(err, EMK_E_IO, "test: read", off);
}

static void passes_on_why_a_name_cannot_be_read(void **state)
{
    emk_model_part part = {.name_off = 10, .name_len = 4};

    (void)state;
    emk_image_from_span(&im, emk_span_of("123", 3));
    assert_status(emk_model_part_name(&im, NULL, &part, out, &e), EMK_E_FORMAT, &e);
    emk_image_from_reader(&im, 100, broken_disk, NULL);
    assert_status(emk_model_part_name(&im, NULL, &part, out, &e), EMK_E_IO, &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(gives_names_that_stay_below_the_folder),
                   emk_rule(rejects_names_that_lead_elsewhere),
                   emk_rule(rejects_a_name_that_leads_back_to_the_model),
                   emk_rule(rejects_names_beyond_the_limit),
                   emk_rule(derives_names_from_that_of_the_model), emk_rule(refuses_to_guess),
                   emk_rule(passes_on_why_a_name_cannot_be_read));
}
