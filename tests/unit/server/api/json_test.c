#include "server/api/json_in.h"
#include "server/api/json_out.h"

#include "core/base/fault.h"
#include "tests/support/test.h"

typedef struct inner {
    uint64_t n;
} inner;

typedef struct body {
    emk_span text, bytes, raw;
    uint64_t number;
    int64_t signed_;
    bool flag;
    inner in;
    emk_json_texts list;
} body;

static const emk_json_field INNER[] = {
    {"n", EMK_JSON_UINT, EMK_JSON_REQUIRED, 1, 9, offsetof(inner, n), NULL},
};
static const emk_json_shape INNER_SHAPE = {INNER, 1};
static const emk_json_field FIELDS[] = {
    {"text", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 8, offsetof(body, text), NULL},
    {"bytes", EMK_JSON_BYTES, 0, 2, 4, offsetof(body, bytes), NULL},
    {"number", EMK_JSON_UINT, 0, 10, 20, offsetof(body, number), NULL},
    {"signed", EMK_JSON_INT, 0, 0, 5, offsetof(body, signed_), NULL},
    {"flag", EMK_JSON_BOOL, 0, 0, 0, offsetof(body, flag), NULL},
    {"in", EMK_JSON_STRUCT, 0, 0, 0, offsetof(body, in), &INNER_SHAPE},
    {"list", EMK_JSON_TEXT_LIST, 0, 1, 3, offsetof(body, list), NULL},
    {"raw", EMK_JSON_RAW, 0, 1, 20, offsetof(body, raw), NULL},
};
static const emk_json_shape SHAPE = {FIELDS, sizeof FIELDS / sizeof FIELDS[0]};

static emk_status read(const char *text, body *out, emk_json_complaint *why, emk_arena *a)
{
    emk_error e = {0};

    *out = (body){.number = 0};
    emk_arena_init(a, 65536);
    return emk_json_read(a, emk_span_str(text), &SHAPE, out, why, &e);
}

static void reads_every_kind(void **state)
{
    emk_json_complaint why;
    emk_arena a;
    body b;

    (void)state;
    assert_ok(read(" {\"text\":\"a\\u00e9\",\"bytes\":\"AQID\",\"number\":20,\"signed\":-5,"
                   "\"flag\":true,\"in\":{\"n\":9},\"list\":[\"x\",\"yz\"], \"raw\" : [1, {}] } ",
                   &b, &why, &a),
              NULL);
    assert_bytes(b.text, emk_span_str("a\xc3\xa9"));
    assert_bytes(b.bytes, emk_span_of("\1\2\3", 3));
    assert_int_equal(b.number, 20);
    assert_int_equal(b.signed_, -5);
    assert_true(b.flag);
    assert_int_equal(b.in.n, 9);
    assert_int_equal(b.list.n, 2);
    assert_bytes(b.list.v[1], emk_span_str("yz"));
    assert_bytes(b.raw, emk_span_str("[1, {}]"));
    emk_arena_done(&a);
}

static void what_is_absent_stays_zero(void **state)
{
    emk_json_complaint why;
    emk_arena a;
    body b;

    (void)state;
    assert_ok(read("{\"text\":\"a\"}", &b, &why, &a), NULL);
    assert_null(b.bytes.p);
    assert_int_equal(b.list.n, 0);
    emk_arena_done(&a);
}

static void rejects(const char *text, const char *pointer, const char *reason)
{
    emk_json_complaint why;
    emk_arena a;
    body b;
    emk_status st = read(text, &b, &why, &a);

    assert_true(st == EMK_E_FORMAT || st == EMK_E_LIMIT);
    assert_string_equal(why.pointer, pointer);
    assert_string_equal(why.why, reason);
    emk_arena_done(&a);
}

static void rejects_what_is_not_in_the_table(void **state)
{
    (void)state;
    rejects("{\"text\":\"a\",\"x\":1}", "", "has an unknown field");
    rejects("{\"text\":\"a\",\"in\":{\"n\":1,\"m\":2}}", "/in", "has an unknown field");
    rejects("{\"text\":\"a\",\"text\":\"a\"}", "", "has a field twice");
    rejects("{\"text\":\"a\",\"t\\u0065xt\":\"a\"}", "", "has a field twice");
}

static void rejects_what_is_missing(void **state)
{
    (void)state;
    rejects("{}", "/text", "is missing");
    rejects("{\"text\":\"a\",\"in\":{}}", "/in/n", "is missing");
}

static void rejects_values_of_another_kind(void **state)
{
    (void)state;
    rejects("{\"text\":1}", "/text", "must be a string");
    rejects("{\"text\":null}", "/text", "must be a string");
    rejects("{\"text\":\"a\",\"number\":\"1\"}", "/number", "must be an integer");
    rejects("{\"text\":\"a\",\"number\":1.5}", "/number", "must be an integer within its limits");
    rejects("{\"text\":\"a\",\"number\":-1}", "/number", "must be an integer within its limits");
    rejects("{\"text\":\"a\",\"flag\":0}", "/flag", "must be true or false");
    rejects("{\"text\":\"a\",\"in\":[]}", "/in", "must be an object");
    rejects("{\"text\":\"a\",\"list\":{}}", "/list", "must be a list of strings");
    rejects("{\"text\":\"a\",\"list\":[1]}", "/list", "must be a list of strings");
    rejects("[]", "", "must be an object");
}

static void rejects_values_beyond_their_limits(void **state)
{
    (void)state;
    rejects("{\"text\":\"\"}", "/text", "is too short");
    rejects("{\"text\":\"123456789\"}", "/text", "is too long");
    rejects("{\"text\":\"a\\n\"}", "/text", "has a control character");
    rejects("{\"text\":\"a\\u0000\"}", "/text", "has a control character");
    rejects("{\"text\":\"a\",\"bytes\":\"AQ\"}", "/bytes", "is too short");
    rejects("{\"text\":\"a\",\"bytes\":\"AQIDBAU\"}", "/bytes", "is too long");
    rejects("{\"text\":\"a\",\"bytes\":\"AQ==\"}", "/bytes", "must be base64url without padding");
    rejects("{\"text\":\"a\",\"number\":9}", "/number", "is too small");
    rejects("{\"text\":\"a\",\"number\":21}", "/number", "is too large");
    rejects("{\"text\":\"a\",\"signed\":-6}", "/signed", "is out of its limits");
    rejects("{\"text\":\"a\",\"list\":[]}", "/list", "has too few entries");
    rejects("{\"text\":\"a\",\"list\":[\"1\",\"2\",\"3\",\"4\"]}", "/list", "has too many entries");
    rejects("{\"text\":\"a\",\"raw\":\"1234567890123456789012\"}", "/raw", "is too long");
}

static void rejects_what_is_not_json(void **state)
{
    (void)state;
    rejects("", "", "is not JSON");
    rejects("{\"text\":\"a\"", "", "is not JSON");
    rejects("{\"text\":\"a\"} x", "", "is not JSON");
    rejects("{\"text\":\"a\"}{}", "", "is not JSON");
    rejects("{\"text\":\"\xff\"}", "/text", "is not JSON");
}

static void says_when_memory_is_short(void **state)
{
    emk_json_complaint why;
    emk_error e = {0};
    emk_arena a;
    body b = {.number = 0};

    (void)state;
    emk_arena_init(&a, 16);
    assert_status(emk_json_read(&a, emk_span_str("{\"text\":\"abcdefgh\",\"list\":[\"a\"]}"),
                                &SHAPE, &b, &why, &e),
                  EMK_E_NO_MEMORY, &e);
    emk_arena_done(&a);
}

static void writes_commas_and_escapes(void **state)
{
    emk_json_out o;
    emk_arena a;
    emk_span out = {0};
    emk_error e = {0};

    (void)state;
    emk_arena_init(&a, 8192);
    emk_json_out_init(&o, &a, 1024);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_text(&o, "t", emk_span_str("a\"\\\n\x7f\xc3\xa9"));
    emk_json_out_open(&o, "l", '[');
    emk_json_out_uint(&o, NULL, UINT64_MAX);
    emk_json_out_int(&o, NULL, INT64_MIN);
    emk_json_out_bool(&o, NULL, true);
    emk_json_out_null(&o, NULL);
    emk_json_out_close(&o);
    emk_json_out_open(&o, "e", '{');
    emk_json_out_close(&o);
    emk_json_out_base64url(&o, "b", emk_span_of("\xff\xff", 2));
    emk_json_out_time(&o, "w", 0);
    emk_json_out_close(&o);
    assert_ok(emk_json_out_finish(&o, &out, &e), &e);
    assert_bytes(out, emk_span_str("{\"t\":\"a\\\"\\\\\\u000a\\u007f\xc3\xa9\",\"l\":["
                                   "18446744073709551615,-9223372036854775808,true,null],\"e\":{},"
                                   "\"b\":\"__8\",\"w\":\"1970-01-01T00:00:00Z\"}"));
    emk_arena_done(&a);
}

static void refuses_to_write_nonsense(void **state)
{
    emk_json_out o;
    emk_arena a;
    emk_span out;
    emk_error e = {0};

    (void)state;
    emk_arena_init(&a, 65536);
    emk_json_out_init(&o, &a, 64); /* open at the end */
    emk_json_out_open(&o, NULL, '{');
    assert_status(emk_json_out_finish(&o, &out, &e), EMK_E_USAGE, &e);
    emk_json_out_init(&o, &a, 64); /* no key in an object */
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_uint(&o, NULL, 1);
    emk_json_out_close(&o);
    assert_status(emk_json_out_finish(&o, &out, &e), EMK_E_USAGE, &e);
    emk_json_out_init(&o, &a, 64); /* not text */
    emk_json_out_text(&o, NULL, emk_span_str("\xff"));
    assert_status(emk_json_out_finish(&o, &out, &e), EMK_E_FORMAT, &e);
    emk_json_out_init(&o, &a, 4); /* too long */
    emk_json_out_text(&o, NULL, emk_span_str("abcd"));
    assert_status(emk_json_out_finish(&o, &out, &e), EMK_E_LIMIT, &e);
    emk_arena_done(&a);
}

int main(void)
{
    return EMK_RUN(emk_rule(reads_every_kind), emk_rule(what_is_absent_stays_zero),
                   emk_rule(rejects_what_is_not_in_the_table), emk_rule(rejects_what_is_missing),
                   emk_rule(rejects_values_of_another_kind),
                   emk_rule(rejects_values_beyond_their_limits), emk_rule(rejects_what_is_not_json),
                   emk_rule(says_when_memory_is_short), emk_rule(writes_commas_and_escapes),
                   emk_rule(refuses_to_write_nonsense));
}
