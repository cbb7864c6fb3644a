#include "core/codec/protobuf.h"
#include "tests/support/test.h"

static uint8_t input[128];
static emk_image im;

static emk_pb reader_of(const char *hex, emk_pb_range *all)
{
    size_t n = emk_unhex(hex, input, sizeof input);
    emk_pb pb;

    emk_image_from_span(&im, emk_span_of(input, n));
    emk_pb_init(&pb, &im, 0, n, all);
    return pb;
}

static void assert_refused(const char *hex, uint64_t where)
{
    emk_pb_range r;
    emk_pb pb = reader_of(hex, &r);
    emk_pb_field f = {99, EMK_PB_VARINT, 0, {0, 0}};
    emk_error e;

    while (emk_pb_next(&pb, &r, &f))
        continue;
    assert_status(emk_pb_finish(&pb, &e), EMK_E_FORMAT, &e);
    assert_int_equal(e.where, where);
    assert_false(emk_pb_next(&pb, &r, &f));
}

static void reads_each_wire_type(void **state)
{
    emk_pb_range r;
    emk_pb pb = reader_of("089601 110102030405060708 1a03616263 250a0b0c0d", &r);
    emk_pb_field f;
    emk_error e;

    (void)state;
    assert_true(emk_pb_next(&pb, &r, &f));
    assert_true(f.number == 1 && f.type == EMK_PB_VARINT && f.value == 150);
    assert_true(f.bytes.pos == 1 && f.bytes.end == 3);
    assert_true(emk_pb_next(&pb, &r, &f));
    assert_true(f.number == 2 && f.type == EMK_PB_FIXED64);
    assert_true(f.value == UINT64_C(0x0807060504030201));
    assert_true(f.bytes.pos == 4 && f.bytes.end == 12);
    assert_true(emk_pb_next(&pb, &r, &f));
    assert_true(f.number == 3 && f.type == EMK_PB_BYTES && f.value == 3);
    assert_true(f.bytes.pos == 14 && f.bytes.end == 17);
    assert_true(emk_pb_next(&pb, &r, &f));
    assert_true(f.number == 4 && f.type == EMK_PB_FIXED32 && f.value == 0x0d0c0b0a);
    assert_true(f.bytes.pos == 18 && f.bytes.end == 22);
    assert_false(emk_pb_next(&pb, &r, &f));
    assert_ok(emk_pb_finish(&pb, &e), &e);
}

static void message_inside_is_a_range_again(void **state)
{
    emk_pb_range r, inner;
    emk_pb pb = reader_of("0a04 0a02 1005 1007", &r);
    emk_pb_field f;

    (void)state;
    assert_true(emk_pb_next(&pb, &r, &f));
    inner = f.bytes;
    assert_true(emk_pb_next(&pb, &inner, &f));
    assert_false(emk_pb_next(&pb, &inner, &(emk_pb_field){0, EMK_PB_VARINT, 0, {0, 0}}));
    inner = f.bytes;
    assert_true(emk_pb_next(&pb, &inner, &f));
    assert_true(f.number == 2 && f.value == 5);
    assert_true(emk_pb_next(&pb, &r, &f));
    assert_true(f.number == 2 && f.value == 7);
    assert_true(emk_pb_ok(&pb));
}

static void packed_varints_are_read_one_by_one(void **state)
{
    emk_pb_range r;
    emk_pb pb = reader_of("01 ac02 ffffffffffffffffff01", &r);
    uint64_t v;

    (void)state;
    assert_true(emk_pb_next_varint(&pb, &r, &v) && v == 1);
    assert_true(emk_pb_next_varint(&pb, &r, &v) && v == 300);
    assert_true(emk_pb_next_varint(&pb, &r, &v) && v == UINT64_MAX);
    assert_false(emk_pb_next_varint(&pb, &r, &v));
    assert_true(emk_pb_ok(&pb));
    pb = reader_of("01 80", &r);
    assert_true(emk_pb_next_varint(&pb, &r, &v));
    assert_false(emk_pb_next_varint(&pb, &r, &v));
    assert_int_equal(pb.status, EMK_E_FORMAT);
}

static void largest_field_number_is_read(void **state)
{
    emk_pb_range r;
    emk_pb pb = reader_of("f8ffffff0f01", &r);
    emk_pb_field f;

    (void)state;
    assert_true(emk_pb_next(&pb, &r, &f));
    assert_int_equal(f.number, (1u << 29) - 1);
}

static void rejects_groups_and_unknown_wire_types(void **state)
{
    (void)state;
    assert_refused("0b", 0);
    assert_refused("0c", 0);
    assert_refused("0e", 0);
    assert_refused("0f", 0);
    assert_refused("0801 0b", 2);
}

static void rejects_field_zero(void **state)
{
    (void)state;
    assert_refused("0001", 0);
    assert_refused("0200", 0);
}

static void rejects_keys_beyond_32_bits(void **state)
{
    (void)state;
    assert_refused("888080801001", 0);
    assert_refused("f8ffffffffffffffff0101", 0);
}

static void rejects_varints_beyond_64_bits(void **state)
{
    (void)state;
    assert_refused("08ffffffffffffffffff02", 1);
    assert_refused("08ffffffffffffffffffff01", 1);
    assert_refused("0880808080808080808080808000", 1);
}

static void rejects_lengths_beyond_the_range(void **state)
{
    (void)state;
    assert_refused("0a0361 62", 2);
    assert_refused("0affffffffffffffffff01", 11);
}

static void rejects_input_that_is_cut(void **state)
{
    (void)state;
    assert_refused("08", 1);
    assert_refused("0880", 1);
    assert_refused("88", 0);
    assert_refused("0901020304050607", 1);
    assert_refused("0d010203", 1);
    assert_refused("0a", 1);
}

static void inner_field_may_not_leave_its_message(void **state)
{
    emk_pb_range r, inner;
    emk_pb pb = reader_of("0a02 0a03 616263", &r);
    emk_pb_field f;

    (void)state;
    assert_true(emk_pb_next(&pb, &r, &f));
    inner = f.bytes;
    assert_false(emk_pb_next(&pb, &inner, &f));
    assert_int_equal(pb.status, EMK_E_FORMAT);
    assert_int_equal(pb.where, 4);

    pb = reader_of("0a02 0d01 02030405060708", &r);
    assert_true(emk_pb_next(&pb, &r, &f));
    inner = f.bytes;
    assert_false(emk_pb_next(&pb, &inner, &f));
    assert_int_equal(pb.status, EMK_E_FORMAT);
    assert_int_equal(pb.where, 3);
}

static void budget_ends_the_walk(void **state)
{
    emk_pb_range r, again;
    emk_pb pb = reader_of("0801 0801", &r);
    emk_pb_field f;
    size_t steps = 0;

    (void)state;
    assert_int_equal(pb.steps, 4 + EMK_PB_STEPS_SPARE);
    while (emk_pb_ok(&pb)) {
        again = r;
        steps += emk_pb_next(&pb, &again, &f);
    }
    assert_int_equal(pb.status, EMK_E_LIMIT);
    assert_int_equal(steps, 4 + EMK_PB_STEPS_SPARE);
}

static void want_refuses_another_wire_type(void **state)
{
    emk_pb_range r;
    emk_pb pb = reader_of("0801", &r);
    emk_pb_field f;

    (void)state;
    assert_true(emk_pb_next(&pb, &r, &f));
    assert_true(emk_pb_want(&pb, &f, EMK_PB_VARINT));
    assert_false(emk_pb_want(&pb, &f, EMK_PB_BYTES));
    assert_int_equal(pb.status, EMK_E_FORMAT);
    emk_pb_fail(&pb, EMK_E_POLICY, "later", 0);
    assert_int_equal(pb.status, EMK_E_FORMAT);
}

static void rejects_range_outside_the_image(void **state)
{
    emk_pb_range r;
    emk_pb pb = reader_of("0801", &r);
    emk_pb_field f;

    (void)state;
    emk_pb_init(&pb, &im, 1, 2, &r);
    assert_int_equal(pb.status, EMK_E_FORMAT);
    assert_false(emk_pb_next(&pb, &r, &f));
    emk_pb_init(&pb, &im, 1, UINT64_MAX, &r);
    assert_int_equal(pb.status, EMK_E_FORMAT);
}

static emk_status no_read(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    (void)self;
    (void)off;
    memset(out, 0x08, len); /* half read, then failed: must not be used */
    return emk_fail(e, EMK_E_IO, "read", 5);
}

static void read_failure_is_reported_as_such(void **state)
{
    emk_pb_range r;
    emk_pb_field f;
    emk_pb pb;

    (void)state;
    emk_image_from_reader(&im, 100, no_read, NULL);
    emk_pb_init(&pb, &im, 0, 100, &r);
    assert_false(emk_pb_next(&pb, &r, &f));
    assert_int_equal(pb.status, EMK_E_IO);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(reads_each_wire_type), emk_rule(message_inside_is_a_range_again),
        emk_rule(packed_varints_are_read_one_by_one), emk_rule(largest_field_number_is_read),
        emk_rule(rejects_groups_and_unknown_wire_types), emk_rule(rejects_field_zero),
        emk_rule(rejects_keys_beyond_32_bits), emk_rule(rejects_varints_beyond_64_bits),
        emk_rule(rejects_lengths_beyond_the_range), emk_rule(rejects_input_that_is_cut),
        emk_rule(inner_field_may_not_leave_its_message), emk_rule(budget_ends_the_walk),
        emk_rule(want_refuses_another_wire_type), emk_rule(rejects_range_outside_the_image),
        emk_rule(read_failure_is_reported_as_such));
}
