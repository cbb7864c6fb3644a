#include "core/codec/json.h"
#include "tests/support/test.h"

static emk_image im;

static emk_json reader_of(const char *text)
{
    emk_json j;

    emk_image_from_span(&im, emk_span_str(text));
    emk_json_init(&j, &im, 0, im.len);
    return j;
}

/* Tokens as letters: { } [ ] k s n t f 0, E for the end, B for a failure. */
static void assert_tokens(const char *text, const char *want)
{
    static const char letters[] = "BE{}[]ksntf0";
    emk_json j = reader_of(text);
    char got[256];
    size_t n = 0;
    emk_json_token t;

    do {
        t = emk_json_next(&j);
        got[n++] = letters[t];
    } while (n < sizeof got - 1 && t != EMK_JSON_END && t != EMK_JSON_BAD);
    got[n] = 0;
    assert_string_equal(got, want);
}

static emk_status verdict(const char *text, size_t len, emk_error *e)
{
    emk_json j;

    emk_image_from_span(&im, emk_span_of(text, len));
    emk_json_init(&j, &im, 0, len);
    emk_json_skip_value(&j);
    return emk_json_finish(&j, e);
}

static void assert_refused(const char *text, emk_status want, uint64_t where)
{
    emk_error e;

    assert_status(verdict(text, strlen(text), &e), want, &e);
    assert_int_equal(e.where, where);
}

static void assert_accepted(const char *text)
{
    emk_error e;

    assert_ok(verdict(text, strlen(text), &e), &e);
}

static void gives_tokens_in_order(void **state)
{
    (void)state;
    assert_tokens("{}", "{}E");
    assert_tokens(" [ ] ", "[]E");
    assert_tokens("{\"a\":1,\"b\":[true,false,null,\"x\"],\"c\":{}}", "{knk[tf0s]k{}}E");
    assert_tokens("\t\r\n 5 \n", "nE");
    assert_tokens("\"x\"", "sE");
    assert_tokens("[[],[[]],{\"a\":{\"b\":[]}}]", "[[][[]]{k{k[]}}]E");
}

static void end_stays_the_end_and_failure_failure(void **state)
{
    emk_json j = reader_of("1");

    (void)state;
    assert_int_equal(emk_json_next(&j), EMK_JSON_NUMBER);
    assert_int_equal(emk_json_next(&j), EMK_JSON_END);
    assert_int_equal(emk_json_next(&j), EMK_JSON_END);
    j = reader_of("1 1");
    assert_int_equal(emk_json_next(&j), EMK_JSON_NUMBER);
    assert_int_equal(emk_json_next(&j), EMK_JSON_BAD);
    assert_int_equal(emk_json_next(&j), EMK_JSON_BAD);
}

static void rejects_broken_structure(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "{,}",
        "{1:2}",
        "{\"a\":1 \"b\":2}",
        "[1:2]",
        "{\"a\":1:2}",
        "[1",
        "[1,",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\",1}",
        ",",
        ":",
        "{:1}",
        "{true:1}",
        "[\"a\":1]",
        "[{]}",
        "{\"a\":[}]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        emk_error e;

        if (verdict(texts[i], strlen(texts[i]), &e) != EMK_E_FORMAT)
            fail_msg("accepted: %s", texts[i]);
    }
}

static void rejects_bytes_after_the_value(void **state)
{
    (void)state;
    assert_refused("{}{}", EMK_E_FORMAT, 2);
    assert_refused("1 2", EMK_E_FORMAT, 2);
    assert_refused("[],", EMK_E_FORMAT, 2);
    assert_refused("[]]", EMK_E_FORMAT, 2);
}

static void rejects_byte_order_mark(void **state)
{
    (void)state;
    assert_refused("\xef\xbb\xbf{}", EMK_E_FORMAT, 0);
}

static void rejects_comments_and_other_white_space(void **state)
{
    (void)state;
    assert_refused("//\n1", EMK_E_FORMAT, 0);
    assert_refused("/**/1", EMK_E_FORMAT, 0);
    assert_refused("\v1", EMK_E_FORMAT, 0);
    assert_refused("\xc2\xa0"
                   "1",
                   EMK_E_FORMAT, 0);
}

static void rejects_zero_bytes(void **state)
{
    emk_error e;

    (void)state;
    assert_status(verdict("1\0", 2, &e), EMK_E_FORMAT, &e);
    assert_status(verdict("\"\0\"", 3, &e), EMK_E_FORMAT, &e);
    assert_status(verdict("\"\\\0\"", 4, &e), EMK_E_FORMAT, &e);
}

static void rejects_unknown_words(void **state)
{
    (void)state;
    assert_refused("tru", EMK_E_FORMAT, 0);
    assert_refused("True", EMK_E_FORMAT, 0);
    assert_refused("truE", EMK_E_FORMAT, 0);
    assert_refused("truex", EMK_E_FORMAT, 4);
    assert_refused("NaN", EMK_E_FORMAT, 0);
    assert_refused("Infinity", EMK_E_FORMAT, 0);
    assert_refused("'a'", EMK_E_FORMAT, 0);
    assert_refused("undefined", EMK_E_FORMAT, 0);
}

static void rejects_malformed_numbers(void **state)
{
    static const char *const texts[] = {"01",    "-",   "+1",   "1.",   ".5",  "1.e1", "1e",
                                        "1e+",   "-01", "0x10", "1e5.", "--1", "1_0",  "-a",
                                        "1.2.3", "00",  "1e-",  "-.5",  "1a"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        emk_error e;

        if (verdict(texts[i], strlen(texts[i]), &e) != EMK_E_FORMAT)
            fail_msg("accepted: %s", texts[i]);
    }
    assert_accepted("[0,-0,1,-1,0.5,1e1,1E+1,1e-1,-0.0e0,123456789012345678901234567890]");
}

static void keeps_numbers_as_text(void **state)
{
    emk_json j = reader_of("[ -1.50e+3 ]");

    (void)state;
    emk_json_next(&j);
    assert_true(emk_json_expect(&j, EMK_JSON_NUMBER));
    assert_int_equal(j.text_off, 2);
    assert_int_equal(j.text_len, 8);
}

static emk_status u64_of(const char *text, uint64_t *v)
{
    emk_json j = reader_of(text);

    emk_json_next(&j);
    return emk_json_u64(&j, v) ? EMK_OK : j.status;
}

static emk_status i64_of(const char *text, int64_t *v)
{
    emk_json j = reader_of(text);

    emk_json_next(&j);
    return emk_json_i64(&j, v) ? EMK_OK : j.status;
}

static void integers_are_exact_up_to_their_ends(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;

    (void)state;
    assert_int_equal(u64_of("0", &u), EMK_OK);
    assert_true(u == 0);
    assert_int_equal(u64_of("18446744073709551615", &u), EMK_OK);
    assert_true(u == UINT64_MAX);
    assert_int_equal(i64_of("9223372036854775807", &i), EMK_OK);
    assert_true(i == INT64_MAX);
    assert_int_equal(i64_of("-9223372036854775808", &i), EMK_OK);
    assert_true(i == INT64_MIN);
    assert_int_equal(i64_of("-1", &i), EMK_OK);
    assert_true(i == -1);
}

static void rejects_integers_that_do_not_fit(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;

    (void)state;
    assert_int_equal(u64_of("18446744073709551616", &u), EMK_E_LIMIT);
    assert_int_equal(u64_of("184467440737095516150", &u), EMK_E_LIMIT);
    assert_int_equal(u64_of("99999999999999999999999999", &u), EMK_E_LIMIT);
    assert_int_equal(i64_of("9223372036854775808", &i), EMK_E_LIMIT);
    assert_int_equal(i64_of("-9223372036854775809", &i), EMK_E_LIMIT);
    assert_int_equal(i64_of("-99999999999999999999999999", &i), EMK_E_LIMIT);
    assert_true(u == 7 && i == 7);
}

static void rejects_numbers_that_are_no_integers(void **state)
{
    uint64_t u;
    int64_t i;

    (void)state;
    assert_int_equal(u64_of("1.0", &u), EMK_E_FORMAT);
    assert_int_equal(u64_of("1e3", &u), EMK_E_FORMAT);
    assert_int_equal(u64_of("-1", &u), EMK_E_FORMAT);
    assert_int_equal(u64_of("-0", &u), EMK_E_FORMAT);
    assert_int_equal(i64_of("-0", &i), EMK_E_FORMAT);
    assert_int_equal(u64_of("\"1\"", &u), EMK_E_FORMAT);
    assert_int_equal(u64_of("true", &u), EMK_E_FORMAT);
}

static void assert_string(const char *json, const char *want, size_t want_len)
{
    emk_json j = reader_of(json);
    char out[64];
    size_t len;

    assert_int_equal(emk_json_next(&j), EMK_JSON_STRING);
    assert_true(emk_json_copy_string(&j, out, sizeof out, &len));
    assert_bytes(emk_span_of(out, len), emk_span_of(want, want_len));
    assert_int_equal(out[len], 0);
    if (strlen(want) == want_len)
        assert_true(emk_json_string_equals(&j, want));
    assert_false(emk_json_string_equals(&j, "something else"));
    assert_int_equal(emk_json_next(&j), EMK_JSON_END);
}

static void decodes_strings(void **state)
{
    (void)state;
    assert_string("\"\"", "", 0);
    assert_string("\"plain and long enough for eight\"", "plain and long enough for eight", 31);
    assert_string("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    assert_string("\"a\\u0000b\"", "a\0b", 3);
    assert_string("\"\\u00e9\\u20AC\\ud83d\\uDE00\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9);
    assert_string("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
                  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9);
    assert_string("\"\x7f\"", "\x7f", 1);
}

static void reports_where_a_string_lies(void **state)
{
    emk_json j = reader_of("  {\"ab\\n\" : \"cd\"}");

    (void)state;
    emk_json_next(&j);
    assert_int_equal(emk_json_next(&j), EMK_JSON_KEY);
    assert_int_equal(j.text_off, 4);
    assert_int_equal(j.text_len, 4);
    assert_true(j.has_escapes);
    assert_int_equal(emk_json_next(&j), EMK_JSON_STRING);
    assert_int_equal(j.text_off, 13);
    assert_int_equal(j.text_len, 2);
    assert_false(j.has_escapes);
}

static void rejects_malformed_strings(void **state)
{
    (void)state;
    assert_refused("\"a", EMK_E_FORMAT, 2);
    assert_refused("\"a\\", EMK_E_FORMAT, 3);
    assert_refused("\"\\x\"", EMK_E_FORMAT, 2);
    assert_refused("\"\\u12\"", EMK_E_FORMAT, 5);
    assert_refused("\"\\u12g4\"", EMK_E_FORMAT, 5);
    assert_refused("\"\\U0041\"", EMK_E_FORMAT, 2);
    assert_refused("\"12345678\n\"", EMK_E_FORMAT, 9);
    assert_refused("\"\x1f\"", EMK_E_FORMAT, 1);
}

static void finds_each_bad_byte_at_each_place_of_a_word(void **state)
{
    char text[] = "\"0123456789ABCDEGHIJK\"";

    (void)state;
    for (size_t i = 1; i < sizeof text - 2; i++) {
        for (int c = 0; c < 256; c++) {
            char was = text[i];
            bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            emk_error e;

            text[i] = (char)c;
            assert_int_equal(verdict(text, sizeof text - 1, &e) == EMK_OK, plain);
            text[i] = was;
        }
    }
}

static void rejects_surrogates_alone(void **state)
{
    (void)state;
    assert_refused("\"\\ud83d\"", EMK_E_FORMAT, 3);
    assert_refused("\"\\ud83dx\"", EMK_E_FORMAT, 3);
    assert_refused("\"\\ud83d\\n\"", EMK_E_FORMAT, 3);
    assert_refused("\"\\ud83d\\u0041\"", EMK_E_FORMAT, 3);
    assert_refused("\"\\ud83d\\ud83d\"", EMK_E_FORMAT, 3);
    assert_refused("\"\\ude00\"", EMK_E_FORMAT, 3);
    assert_refused("\"\\ude00\\ude00\"", EMK_E_FORMAT, 3);
}

static void rejects_text_that_is_not_utf8(void **state)
{
    (void)state;
    assert_refused("\"\xc0\xaf\"", EMK_E_FORMAT, 1);
    assert_refused("\"\xed\xa0\x80\"", EMK_E_FORMAT, 1);
    assert_refused("\"\xff\"", EMK_E_FORMAT, 1);
    assert_refused("\"a\xe2\x82\"", EMK_E_FORMAT, 2);
    assert_refused("{\"\x80\":1}", EMK_E_FORMAT, 2);
}

static void copy_refuses_storage_that_is_too_small(void **state)
{
    emk_json j = reader_of("[\"abc\",\"\\u00e9\"]");
    char out[8] = "xxxxxxx";
    size_t len = 55;

    (void)state;
    emk_json_next(&j);
    emk_json_next(&j);
    assert_true(emk_json_copy_string(&j, out, 4, NULL));
    assert_string_equal(out, "abc");
    emk_json_next(&j);
    assert_false(emk_json_copy_string(&j, out, 2, &len));
    assert_int_equal(j.status, EMK_E_LIMIT);
    assert_string_equal(out, "abc");
    assert_int_equal(len, 55);
    j = reader_of("\"\"");
    emk_json_next(&j);
    assert_false(emk_json_copy_string(&j, out, 0, &len));
}

static void string_getters_refuse_other_tokens(void **state)
{
    emk_json j = reader_of("[1]");
    char out[8];
    uint64_t h;

    (void)state;
    emk_json_next(&j);
    assert_false(emk_json_string_equals(&j, ""));
    assert_true(emk_json_ok(&j));
    assert_false(emk_json_copy_string(&j, out, sizeof out, NULL));
    assert_int_equal(j.status, EMK_E_FORMAT);
    j = reader_of("[1]");
    emk_json_next(&j);
    assert_false(emk_json_string_hash(&j, &h));
    assert_int_equal(j.status, EMK_E_FORMAT);
}

static void equal_texts_have_equal_hashes(void **state)
{
    emk_json j = reader_of("[\"dtype\",\"\\u0064t\\u0079pe\",\"dtypf\"]");
    uint64_t h[3] = {0, 0, 0};

    (void)state;
    emk_json_next(&j);
    for (int i = 0; i < 3; i++) {
        emk_json_next(&j);
        assert_true(emk_json_string_hash(&j, &h[i]));
    }
    assert_true(h[0] == h[1]);
    assert_true(h[0] != h[2]);
}

static void equality_is_of_the_whole_text(void **state)
{
    static const char *const texts[] = {"\"ab\"", "\"\\u0061b\""};

    (void)state;
    for (int i = 0; i < 2; i++) {
        emk_json j = reader_of(texts[i]);

        emk_json_next(&j);
        assert_true(emk_json_string_equals(&j, "ab"));
        assert_false(emk_json_string_equals(&j, "a"));
        assert_false(emk_json_string_equals(&j, "abc"));
        assert_false(emk_json_string_equals(&j, "ac"));
        assert_false(emk_json_string_equals(&j, ""));
    }
}

static void which_key_finds_names_however_they_are_written(void **state)
{
    static const char *const names[] = {"a", "bb"};
    emk_json j = reader_of("{\"b\\u0062\":1,\"zz\":2,\"a\":3,\"zz\":4}");
    static const size_t want[] = {1, 2, 0, 2};
    uint64_t seen = 0;
    size_t i;

    (void)state;
    emk_json_next(&j);
    for (size_t n = 0; n < 4; n++) {
        assert_int_equal(emk_json_next(&j), EMK_JSON_KEY);
        assert_true(emk_json_which_key(&j, names, 2, &i, &seen));
        assert_int_equal(i, want[n]);
        emk_json_skip_value(&j);
    }
    assert_int_equal(seen, 3);
}

static void which_key_refuses_a_key_twice(void **state)
{
    static const char *const names[] = {"a", "bb"};
    emk_json j = reader_of("{\"a\":1,\"\\u0061\":2}");
    uint64_t seen = 0;
    size_t i = 9;

    (void)state;
    emk_json_next(&j);
    emk_json_next(&j);
    assert_true(emk_json_which_key(&j, names, 2, &i, &seen));
    emk_json_skip_value(&j);
    emk_json_next(&j);
    i = 9;
    assert_false(emk_json_which_key(&j, names, 2, &i, &seen));
    assert_int_equal(j.status, EMK_E_FORMAT);
    assert_int_equal(j.where, 8);
    assert_int_equal(i, 9);
}

static void skip_value_passes_one_value(void **state)
{
    emk_json j = reader_of("{\"a\":{\"x\":[1,{\"y\":2}]},\"b\":5}");
    uint64_t v;
    emk_error e;

    (void)state;
    emk_json_next(&j);
    emk_json_next(&j);
    emk_json_skip_value(&j);
    assert_int_equal(emk_json_next(&j), EMK_JSON_KEY);
    assert_true(emk_json_string_equals(&j, "b"));
    assert_true(emk_json_expect(&j, EMK_JSON_NUMBER));
    assert_true(emk_json_u64(&j, &v));
    assert_int_equal(v, 5);
    assert_true(emk_json_expect(&j, EMK_JSON_OBJECT_END));
    assert_ok(emk_json_finish(&j, &e), &e);
}

static void skip_value_refuses_where_no_value_is(void **state)
{
    emk_json j = reader_of("{\"a\":1}");

    (void)state;
    emk_json_next(&j);
    emk_json_skip_value(&j);
    assert_int_equal(j.status, EMK_E_USAGE);
}

static void expect_refuses_another_token(void **state)
{
    emk_json j = reader_of("[]");

    (void)state;
    assert_false(emk_json_expect(&j, EMK_JSON_OBJECT_BEGIN));
    assert_int_equal(j.status, EMK_E_FORMAT);
    assert_int_equal(emk_json_next(&j), EMK_JSON_BAD);
}

static void finish_refuses_a_value_half_read(void **state)
{
    emk_json j = reader_of("[1]");
    emk_error e;

    (void)state;
    emk_json_next(&j);
    assert_status(emk_json_finish(&j, &e), EMK_E_FORMAT, &e);
    j = reader_of("[1");
    emk_json_fail(&j, EMK_E_POLICY, "mine", 3);
    assert_status(emk_json_finish(&j, &e), EMK_E_POLICY, &e);
}

static void nesting_ends_at_sixty_four(void **state)
{
    char text[2 * 65 + 1] = "";
    emk_error e;

    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_ok(verdict(text, 128, &e), &e);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_status(verdict(text, 130, &e), EMK_E_LIMIT, &e);
    assert_int_equal(e.where, 64);
}

static void closing_brackets_match_at_every_depth(void **state)
{
    /* objects and arrays in turn: the bits of the levels must not be confused */
    (void)state;
    assert_tokens("[{\"a\":[{\"b\":[]}]}]", "[{k[{k[]}]}]E");
    assert_tokens("[{\"a\":[{\"b\":[}]}]}]", "[{k[{k[B");
    assert_tokens("[{},[]]", "[{}[]]E");
    assert_tokens("[{},[}]", "[{}[B");
    assert_tokens("[[{}],[]]", "[[{}][]]E");
    assert_tokens("[[{}],[}]", "[[{}][B");
}

static void reads_a_range_inside_an_image(void **state)
{
    emk_json j;
    emk_error e;

    (void)state;
    emk_image_from_span(&im, emk_span_str("xx[1]yy"));
    emk_json_init(&j, &im, 2, 5);
    emk_json_skip_value(&j);
    assert_ok(emk_json_finish(&j, &e), &e);
    emk_json_init(&j, &im, 2, 4);
    emk_json_skip_value(&j);
    assert_status(emk_json_finish(&j, &e), EMK_E_FORMAT, &e);
    emk_json_init(&j, &im, 2, 8);
    assert_int_equal(emk_json_next(&j), EMK_JSON_BAD);
    emk_json_init(&j, &im, 5, 2);
    assert_int_equal(emk_json_next(&j), EMK_JSON_BAD);
}

typedef struct source {
    const uint8_t *p;
    uint64_t fail_from; /* reads at or behind this offset fail */
} source;

static emk_status read_source(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    const source *s = self;

    if (off >= s->fail_from)
        return emk_fail(e, EMK_E_IO, "read", 5);
    memcpy(out, s->p + off, len);
    return EMK_OK;
}

#define BIG_LEN 20000u

static uint8_t big[BIG_LEN];

/* An array of one string, the string's interesting part across a page border. */
static void make_big(size_t shift)
{
    memset(big, ' ', sizeof big);
    memcpy(big + EMK_IMAGE_PAGE - shift, "[\"\\ud83d\\ude00\xe2\x82\xac\",true,-123]", 29);
}

static void tokens_may_cross_page_borders_anywhere(void **state)
{
    source s = {big, UINT64_MAX};

    (void)state;
    for (size_t shift = 0; shift <= 29; shift++) {
        emk_json j;
        char out[16];
        int64_t v = 0;
        emk_error e;

        make_big(shift);
        emk_image_from_reader(&im, sizeof big, read_source, &s);
        emk_json_init(&j, &im, 0, sizeof big);
        assert_true(emk_json_expect(&j, EMK_JSON_ARRAY_BEGIN));
        assert_true(emk_json_expect(&j, EMK_JSON_STRING));
        assert_true(emk_json_copy_string(&j, out, sizeof out, NULL));
        assert_string_equal(out, "\xf0\x9f\x98\x80\xe2\x82\xac");
        assert_true(emk_json_expect(&j, EMK_JSON_TRUE));
        assert_true(emk_json_expect(&j, EMK_JSON_NUMBER));
        assert_true(emk_json_i64(&j, &v));
        assert_int_equal(v, -123);
        assert_true(emk_json_expect(&j, EMK_JSON_ARRAY_END));
        assert_ok(emk_json_finish(&j, &e), &e);
    }
}

static void image_may_be_used_between_tokens(void **state)
{
    source s = {big, UINT64_MAX};
    static uint8_t far[17 * EMK_IMAGE_PAGE];
    emk_json j;

    (void)state;
    memset(far, 'z', sizeof far);
    memcpy(far, "[1,2]", 5);
    s.p = far;
    emk_image_from_reader(&im, sizeof far, read_source, &s);
    emk_json_init(&j, &im, 0, 5);
    assert_int_equal(emk_json_next(&j), EMK_JSON_ARRAY_BEGIN);
    for (uint64_t page = 1; page <= EMK_IMAGE_PAGES; page++)
        emk_image_u8(&im, page * EMK_IMAGE_PAGE); /* pushes the reader's page out */
    assert_int_equal(emk_json_next(&j), EMK_JSON_NUMBER);
    assert_int_equal(emk_json_next(&j), EMK_JSON_NUMBER);
    assert_int_equal(emk_json_next(&j), EMK_JSON_ARRAY_END);
    assert_int_equal(emk_json_next(&j), EMK_JSON_END);
}

static void read_failure_is_reported_as_such(void **state)
{
    source s = {big, EMK_IMAGE_PAGE};
    emk_error e;

    (void)state;
    for (size_t shift = 0; shift <= 29; shift++) {
        emk_json j;

        make_big(shift);
        emk_image_from_reader(&im, sizeof big, read_source, &s);
        emk_json_init(&j, &im, 0, sizeof big);
        emk_json_skip_value(&j);
        assert_status(emk_json_finish(&j, &e), EMK_E_IO, &e);
    }
}

int main(void)
{
    return EMK_RUN(
        emk_rule(gives_tokens_in_order), emk_rule(end_stays_the_end_and_failure_failure),
        emk_rule(rejects_broken_structure), emk_rule(rejects_bytes_after_the_value),
        emk_rule(rejects_byte_order_mark), emk_rule(rejects_comments_and_other_white_space),
        emk_rule(rejects_zero_bytes), emk_rule(rejects_unknown_words),
        emk_rule(rejects_malformed_numbers), emk_rule(keeps_numbers_as_text),
        emk_rule(integers_are_exact_up_to_their_ends), emk_rule(rejects_integers_that_do_not_fit),
        emk_rule(rejects_numbers_that_are_no_integers), emk_rule(decodes_strings),
        emk_rule(reports_where_a_string_lies), emk_rule(rejects_malformed_strings),
        emk_rule(finds_each_bad_byte_at_each_place_of_a_word), emk_rule(rejects_surrogates_alone),
        emk_rule(rejects_text_that_is_not_utf8), emk_rule(copy_refuses_storage_that_is_too_small),
        emk_rule(string_getters_refuse_other_tokens), emk_rule(equal_texts_have_equal_hashes),
        emk_rule(equality_is_of_the_whole_text),
        emk_rule(which_key_finds_names_however_they_are_written),
        emk_rule(which_key_refuses_a_key_twice), emk_rule(skip_value_passes_one_value),
        emk_rule(skip_value_refuses_where_no_value_is), emk_rule(expect_refuses_another_token),
        emk_rule(finish_refuses_a_value_half_read), emk_rule(nesting_ends_at_sixty_four),
        emk_rule(closing_brackets_match_at_every_depth), emk_rule(reads_a_range_inside_an_image),
        emk_rule(tokens_may_cross_page_borders_anywhere),
        emk_rule(image_may_be_used_between_tokens), emk_rule(read_failure_is_reported_as_such));
}
