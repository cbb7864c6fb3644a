#include "core/codec/utf8.h"
#include "tests/support/test.h"

static bool is_text(const char *hex)
{
    uint8_t bytes[64];

    return emk_utf8_check(emk_span_of(bytes, emk_unhex(hex, bytes, sizeof bytes)));
}

static void accepts_the_edges_of_each_length(void **state)
{
    (void)state;
    assert_true(emk_utf8_check(emk_span_of(NULL, 0)));
    assert_true(is_text("00 7f"));
    assert_true(is_text("c280 dfbf"));
    assert_true(is_text("e0a080 ed9fbf ee8080 efbfbf"));
    assert_true(is_text("f0908080 f48fbfbf"));
}

static void rejects_long_forms(void **state)
{
    (void)state;
    assert_false(is_text("c080"));
    assert_false(is_text("c1bf"));
    assert_false(is_text("e09fbf"));
    assert_false(is_text("f08fbfbf"));
}

static void rejects_surrogates(void **state)
{
    (void)state;
    assert_false(is_text("eda080"));
    assert_false(is_text("edbfbf"));
}

static void rejects_what_lies_beyond_the_code_space(void **state)
{
    (void)state;
    assert_false(is_text("f4908080"));
    assert_false(is_text("f5808080"));
    assert_false(is_text("ff"));
}

static void rejects_characters_cut_or_begun_in_the_middle(void **state)
{
    (void)state;
    assert_false(is_text("80"));
    assert_false(is_text("c3"));
    assert_false(is_text("e282"));
    assert_false(is_text("e28241"));
    assert_false(is_text("f09f98"));
}

static void every_code_point_encodes_to_text_of_its_own(void **state)
{
    uint8_t bytes[4];

    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        size_t n = emk_utf8_encode(code, bytes);
        bool surrogate = code >= 0xd800 && code <= 0xdfff;

        assert_int_equal(n, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        assert_int_equal(emk_utf8_check(emk_span_of(bytes, n)), !surrogate);
    }
    assert_int_equal(emk_utf8_encode(0x1f600, bytes), 4);
    assert_memory_equal(bytes, "\xf0\x9f\x98\x80", 4);
}

int main(void)
{
    return EMK_RUN(emk_rule(accepts_the_edges_of_each_length), emk_rule(rejects_long_forms),
                   emk_rule(rejects_surrogates), emk_rule(rejects_what_lies_beyond_the_code_space),
                   emk_rule(rejects_characters_cut_or_begun_in_the_middle),
                   emk_rule(every_code_point_encodes_to_text_of_its_own));
}
