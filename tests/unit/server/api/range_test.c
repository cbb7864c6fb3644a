#include "server/api/range.h"

#include "tests/support/test.h"

#define SIZE 1000u
#define ETAG "\"abc\""

typedef struct row {
    const char *range, *if_range;
    emk_range_result result;
    uint64_t from, len;
} row;

static emk_range ask(const char *range, const char *if_range, uint64_t size)
{
    emk_http_field fields[2] = {{emk_span_str("range"), emk_span_str(range)},
                                {emk_span_str("if-range"), emk_span_str(if_range ? if_range : "")}};
    emk_gate_request rq = {.fields = fields, .n_fields = if_range ? 2 : 1};
    emk_range out = {EMK_RANGE_PART, 7, 7};

    emk_range_read(&rq, emk_span_str(ETAG), size, &out);
    return out;
}

static void check(const row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        emk_range got = ask(rows[i].range, rows[i].if_range, SIZE);

        if (got.result != rows[i].result || got.from != rows[i].from || got.len != rows[i].len)
            fail_msg("%s: %d %llu %llu", rows[i].range, (int)got.result,
                     (unsigned long long)got.from, (unsigned long long)got.len);
    }
}

static void gives_parts(void **state)
{
    static const row ROWS[] = {
        {"bytes=0-0", NULL, EMK_RANGE_PART, 0, 1},
        {"bytes=0-", NULL, EMK_RANGE_PART, 0, SIZE},
        {"bytes=10-19", NULL, EMK_RANGE_PART, 10, 10},
        {"Bytes=999-", NULL, EMK_RANGE_PART, 999, 1},
        {"bytes=990-5000", NULL, EMK_RANGE_PART, 990, 10},
        {"bytes=0-999999999999999999", NULL, EMK_RANGE_PART, 0, SIZE},
        {"bytes=-1", NULL, EMK_RANGE_PART, 999, 1},
        {"bytes=-1000", NULL, EMK_RANGE_PART, 0, SIZE},
        {"bytes=-999999999999999999", NULL, EMK_RANGE_PART, 0, SIZE},
        {"bytes=5-6", ETAG, EMK_RANGE_PART, 5, 2},
    };

    (void)state;
    check(ROWS, sizeof ROWS / sizeof *ROWS);
}

static void refuses_parts_that_are_not_there(void **state)
{
    static const row ROWS[] = {
        {"bytes=1000-", NULL, EMK_RANGE_NONE_THERE, 0, 0},
        {"bytes=1000-1000", NULL, EMK_RANGE_NONE_THERE, 0, 0},
        {"bytes=999999999999999999-", NULL, EMK_RANGE_NONE_THERE, 0, 0},
        {"bytes=-0", NULL, EMK_RANGE_NONE_THERE, 0, 0},
    };

    (void)state;
    check(ROWS, sizeof ROWS / sizeof *ROWS);
    assert_int_equal(ask("bytes=-5", NULL, 0).result, EMK_RANGE_NONE_THERE);
    assert_int_equal(ask("bytes=0-", NULL, 0).result, EMK_RANGE_NONE_THERE);
}

static void ignores_what_it_does_not_take(void **state)
{
    static const char *const OTHERS[] = {
        "",           "bytes",       "bytes=",      "bytes=-",
        "bytes=a-b",  "bytes=5-4",   "bytes=0-1,3", "bytes=0-1,3-4",
        "lines=0-1",  "bytes =0-1",  "bytes= 0-1",  "bytes=0-1 ",
        "bytes=0--1", "bytes=+1-2",  "bytes=0x1-2", "bytes=1111111111111111111-",
        "byte=0-1",   "bytes=0-1\t", "bytes=--1",   "bytes=-1111111111111111111",
    };

    (void)state;
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        assert_int_equal(ask(OTHERS[i], NULL, SIZE).result, EMK_RANGE_ALL);
}

static void gives_all_where_the_condition_fails(void **state)
{
    (void)state;
    assert_int_equal(ask("bytes=0-1", "\"abd\"", SIZE).result, EMK_RANGE_ALL);
    assert_int_equal(ask("bytes=0-1", "W/" ETAG, SIZE).result, EMK_RANGE_ALL);
    assert_int_equal(ask("bytes=0-1", "abc", SIZE).result, EMK_RANGE_ALL);
    assert_int_equal(ask("bytes=0-1", "", SIZE).result, EMK_RANGE_ALL);
    assert_int_equal(ask("bytes=0-1", "Sun, 22 Nov 2026 09:00:00 GMT", SIZE).result, EMK_RANGE_ALL);
}

static void ignores_two_ranges_and_two_conditions(void **state)
{
    emk_http_field fields[3] = {{emk_span_str("range"), emk_span_str("bytes=0-1")},
                                {emk_span_str("range"), emk_span_str("bytes=0-1")},
                                {emk_span_str("if-range"), emk_span_str(ETAG)}};
    emk_gate_request rq = {.fields = fields, .n_fields = 2};
    emk_range out;

    (void)state;
    emk_range_read(&rq, emk_span_str(ETAG), SIZE, &out);
    assert_int_equal(out.result, EMK_RANGE_ALL);
    fields[1] = fields[2];
    rq.n_fields = 3;
    emk_range_read(&rq, emk_span_str(ETAG), SIZE, &out);
    assert_int_equal(out.result, EMK_RANGE_ALL);
}

int main(void)
{
    return EMK_RUN(emk_rule(gives_parts), emk_rule(refuses_parts_that_are_not_there),
                   emk_rule(ignores_what_it_does_not_take),
                   emk_rule(gives_all_where_the_condition_fails),
                   emk_rule(ignores_two_ranges_and_two_conditions));
}
