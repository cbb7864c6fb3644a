#include "core/base/buf.h"
#include "core/base/fault.h"
#include "tests/support/test.h"

static void appends_and_lends(void **state)
{
    emk_buf b;
    emk_error e;

    (void)state;
    emk_buf_init(&b, 1000);
    assert_int_equal(emk_buf_span(&b).len, 0);
    assert_ok(emk_buf_append(&b, emk_span_str("one"), &e), &e);
    assert_ok(emk_buf_append(&b, emk_span_of(NULL, 0), &e), &e);
    assert_ok(emk_buf_append(&b, emk_span_str("two"), &e), &e);
    assert_bytes(emk_buf_span(&b), emk_span_str("onetwo"));
    emk_buf_done(&b);
    assert_int_equal(emk_buf_span(&b).len, 0);
    assert_ok(emk_buf_append(&b, emk_span_str("again"), &e), &e);
    assert_bytes(emk_buf_span(&b), emk_span_str("again"));
    emk_buf_done(&b);
    emk_buf_done(&b);
}

static void grown_room_is_zero(void **state)
{
    emk_buf b;
    uint8_t *room;
    emk_error e;

    (void)state;
    emk_buf_init(&b, 100000);
    for (size_t step = 1; step < 5000; step *= 3) {
        assert_ok(emk_buf_grow(&b, step, &room, &e), &e);
        for (size_t i = 0; i < step; i++)
            assert_int_equal(room[i], 0);
        memset(room, 0xff, step);
    }
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(b.p[i], 0xff);
    emk_buf_done(&b);
}

static void limit_is_exact(void **state)
{
    emk_buf b;
    uint8_t *room = NULL;
    emk_error e;

    (void)state;
    emk_buf_init(&b, 10);
    assert_ok(emk_buf_append(&b, emk_span_str("0123456789"), &e), &e);
    assert_status(emk_buf_append(&b, emk_span_str("x"), &e), EMK_E_LIMIT, &e);
    assert_status(emk_buf_grow(&b, SIZE_MAX, &room, &e), EMK_E_LIMIT, &e);
    assert_null(room);
    assert_bytes(emk_buf_span(&b), emk_span_str("0123456789"));
    emk_buf_done(&b);
    emk_buf_init(&b, 0);
    assert_status(emk_buf_append(&b, emk_span_str("x"), &e), EMK_E_LIMIT, &e);
    emk_buf_done(&b);
}

static void failed_growth_leaves_the_buffer_alone(void **state)
{
#ifdef EMK_FAULTS
    emk_buf b;
    emk_error e;

    (void)state;
    emk_buf_init(&b, 100000);
    assert_ok(emk_buf_append(&b, emk_span_str("kept"), &e), &e);
    emk_fault_fail_at(EMK_FAULT_ALLOC, 1);
    assert_status(emk_buf_grow(&b, 50000, &(uint8_t *){NULL}, &e), EMK_E_NO_MEMORY, &e);
    emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
    assert_bytes(emk_buf_span(&b), emk_span_str("kept"));
    emk_buf_done(&b);
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    return EMK_RUN(emk_rule(appends_and_lends), emk_rule(grown_room_is_zero),
                   emk_rule(limit_is_exact), emk_rule(failed_growth_leaves_the_buffer_alone));
}
