#include "core/base/reader.h"
#include "tests/support/test.h"

static const uint8_t in[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};

static void reads_fields_in_order(void **state)
{
    emk_reader r;
    uint8_t two[2];

    (void)state;
    emk_reader_init(&r, emk_span_of(in, sizeof in));
    assert_int_equal(emk_reader_left(&r), 17);
    assert_int_equal(emk_read_u8(&r), 1);
    assert_int_equal(emk_read_u16be(&r), 0x0203);
    assert_int_equal(emk_read_u32be(&r), 0x04050607);
    assert_true(emk_read_u64be(&r) == UINT64_C(0x08090a0b0c0d0e0f));
    assert_false(emk_reader_at_end(&r));
    emk_read_copy(&r, two, 2);
    assert_memory_equal(two, in + 15, 2);
    assert_true(emk_reader_at_end(&r));
    assert_int_equal(emk_reader_left(&r), 0);
}

static void lends_bytes_of_the_input(void **state)
{
    emk_reader r;
    emk_span s;

    (void)state;
    emk_reader_init(&r, emk_span_of(in, sizeof in));
    s = emk_read_bytes(&r, 17);
    assert_ptr_equal(s.p, in);
    assert_int_equal(s.len, 17);
    assert_int_equal(emk_read_bytes(&r, 0).len, 0);
    assert_true(emk_reader_at_end(&r));
}

static void reading_past_the_end_gives_zeros_for_good(void **state)
{
    uint8_t out[3] = {9, 9, 9};
    emk_reader r;

    (void)state;
    emk_reader_init(&r, emk_span_of(in, 3));
    assert_int_equal(emk_read_u8(&r), 1);
    assert_int_equal(emk_read_u32be(&r), 0);
    assert_true(r.cut);
    assert_int_equal(r.pos, 1);
    assert_int_equal(emk_read_u8(&r), 0); /* though a byte is there */
    assert_int_equal(emk_read_u16be(&r), 0);
    assert_true(emk_read_u64be(&r) == 0);
    emk_read_copy(&r, out, 3);
    assert_memory_equal(out, "\0\0\0", 3);
    assert_int_equal(emk_read_bytes(&r, 1).len, 0);
    assert_int_equal(emk_reader_left(&r), 0);
    assert_false(emk_reader_at_end(&r));
    assert_int_equal(r.pos, 1);
}

static void huge_length_is_refused(void **state)
{
    emk_reader r;

    (void)state;
    emk_reader_init(&r, emk_span_of(in, 3));
    (void)emk_read_u8(&r);
    assert_int_equal(emk_read_bytes(&r, SIZE_MAX).len, 0);
    assert_true(r.cut);
}

static void nothing_is_at_its_end(void **state)
{
    emk_reader r;

    (void)state;
    emk_reader_init(&r, emk_span_of(NULL, 0));
    assert_true(emk_reader_at_end(&r));
    assert_int_equal(emk_read_bytes(&r, 0).len, 0);
    assert_false(r.cut);
    assert_int_equal(emk_read_u8(&r), 0);
    assert_true(r.cut);
}

int main(void)
{
    return EMK_RUN(emk_rule(reads_fields_in_order), emk_rule(lends_bytes_of_the_input),
                   emk_rule(reading_past_the_end_gives_zeros_for_good),
                   emk_rule(huge_length_is_refused), emk_rule(nothing_is_at_its_end));
}
