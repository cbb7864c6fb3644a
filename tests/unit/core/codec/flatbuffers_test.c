#include "core/codec/flatbuffers.h"
#include "tests/support/test.h"

/* One small buffer, bent by each test:
 *   0 root -> 20   4 "TEST"   8 vtable {12, 16, 4, 8, 12, 0}   20 table, vtable at 8:
 *   24 field 0 -> 36 (vector)   28 field 1 -> 44 (string)   32 field 2 (u32)
 *   36 vector {3, bytes 1 2 3}   44 string {3, "abc", 0}
 *   52 vector {2, -> 64, -> 80}   64 and 80: tables with the same vtable; 96 the end */
static uint8_t good[96];
static emk_image im;

static void put16(size_t at, unsigned v)
{
    good[at] = (uint8_t)v;
    good[at + 1] = (uint8_t)(v >> 8);
}

static void put32(size_t at, uint32_t v)
{
    put16(at, v & 0xffff);
    put16(at + 2, v >> 16);
}

static void make_good(void)
{
    memset(good, 0, sizeof good);
    put32(0, 20);
    memcpy(good + 4, "TEST", 4);
    put16(8, 12);
    put16(10, 16);
    put16(12, 4);
    put16(14, 8);
    put16(16, 12);
    put32(20, 12);
    put32(24, 12);
    put32(28, 16);
    put32(32, 0xfffffff9);
    put32(36, 3);
    memcpy(good + 40, "\1\2\3", 3);
    put32(44, 3);
    memcpy(good + 48, "abc", 3);
    put32(52, 2); /* vector of two offsets: 56 -> 64, 60 -> 80 */
    put32(56, 8);
    put32(60, 20);
    put32(64, 56); /* table with the same vtable */
    put32(80, 72); /* another; it ends where the buffer ends */
}

static emk_fb reader_now(void)
{
    emk_fb fb;

    emk_image_from_span(&im, emk_span_of(good, sizeof good));
    emk_fb_init(&fb, &im, 0, sizeof good);
    return fb;
}

static emk_fb_table root_of(emk_fb *fb)
{
    emk_fb_table t;

    make_good();
    *fb = reader_now();
    assert_true(emk_fb_root(fb, &t));
    return t;
}

static void assert_root_refused(uint64_t where)
{
    emk_fb fb = reader_now();
    emk_fb_table t;
    emk_error e;

    assert_false(emk_fb_root(&fb, &t));
    assert_int_equal(t.at, 0);
    assert_status(emk_fb_finish(&fb, &e), EMK_E_FORMAT, &e);
    assert_int_equal(e.where, where);
    make_good();
}

static void reads_table_fields(void **state)
{
    emk_fb fb;
    emk_fb_table t = root_of(&fb);
    emk_fb_vector v;
    emk_error e;

    (void)state;
    assert_true(emk_fb_has_identifier(&fb, "TEST"));
    assert_false(emk_fb_has_identifier(&fb, "TFL3"));
    assert_true(t.at == 20 && t.vtable == 8 && t.vtable_len == 12 && t.table_len == 16);
    assert_true(emk_fb_vector_field(&fb, &t, 0, 1, &v));
    assert_true(v.at == 40 && v.n_items == 3 && v.item_len == 1);
    assert_true(emk_fb_string_field(&fb, &t, 1, &v));
    assert_true(v.at == 48 && v.n_items == 3);
    assert_true(emk_fb_u32(&fb, &t, 2, 5) == 0xfffffff9);
    assert_true(emk_fb_i32(&fb, &t, 2, 5) == -7);
    assert_true(emk_fb_u16(&fb, &t, 2, 5) == 0xfff9);
    assert_true(emk_fb_u8(&fb, &t, 2, 5) == 0xf9);
    assert_true(emk_fb_i8(&fb, &t, 2, 5) == -7);
    assert_ok(emk_fb_finish(&fb, &e), &e);
}

static void absent_fields_give_the_default(void **state)
{
    emk_fb fb;
    emk_fb_table t = root_of(&fb), sub;
    emk_fb_vector v;
    static const uint32_t slots[] = {3, 4, 1000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof slots / sizeof slots[0]; i++) {
        assert_int_equal(emk_fb_field(&fb, &t, slots[i], 4), 0);
        assert_true(emk_fb_u8(&fb, &t, slots[i], 5) == 5);
        assert_true(emk_fb_i8(&fb, &t, slots[i], -5) == -5);
        assert_true(emk_fb_u16(&fb, &t, slots[i], 5) == 5);
        assert_true(emk_fb_u32(&fb, &t, slots[i], 5) == 5);
        assert_true(emk_fb_i32(&fb, &t, slots[i], -5) == -5);
        assert_true(emk_fb_u64(&fb, &t, slots[i], 5) == 5);
        assert_false(emk_fb_table_field(&fb, &t, slots[i], &sub));
        assert_false(emk_fb_vector_field(&fb, &t, slots[i], 4, &v));
        assert_int_equal(v.n_items, 0);
        assert_false(emk_fb_string_field(&fb, &t, slots[i], &v));
    }
    assert_true(emk_fb_ok(&fb));
}

static void vector_elements_are_reached_by_index(void **state)
{
    emk_fb fb;
    emk_fb_table t, sub;
    emk_fb_vector v, s;

    (void)state;
    root_of(&fb);
    put32(24, 28); /* field 0 -> 52 */
    fb = reader_now();
    assert_true(emk_fb_root(&fb, &t));
    assert_true(emk_fb_vector_field(&fb, &t, 0, 4, &v));
    assert_int_equal(v.n_items, 2);
    assert_int_equal(emk_fb_u32_item(&fb, &v, 0), 8);
    assert_int_equal(emk_fb_i32_item(&fb, &v, 1), 20);
    assert_true(emk_fb_table_item(&fb, &v, 0, &sub));
    assert_int_equal(sub.at, 64);
    assert_int_equal(sub.vtable, 8);
    assert_true(emk_fb_table_item(&fb, &v, 1, &sub));
    assert_int_equal(sub.at, 80);
    assert_true(emk_fb_ok(&fb));
    fb = reader_now();
    assert_false(emk_fb_string_item(&fb, &v, 1, &s)); /* 72 bytes at 84 */
    assert_int_equal(fb.status, EMK_E_FORMAT);
    put32(60, 28); /* -> 88 */
    put32(88, 2);
    memcpy(good + 92, "ab", 3);
    fb = reader_now();
    assert_true(emk_fb_string_item(&fb, &v, 1, &s));
    assert_true(s.at == 92 && s.n_items == 2);
    make_good();
}

static void u64_elements_are_eight_bytes(void **state)
{
    emk_fb fb;
    emk_fb_vector v = {40, 1, 8};

    (void)state;
    root_of(&fb);
    assert_true(emk_fb_u64_item(&fb, &v, 0) == UINT64_C(0x0000000300030201));
}

static void element_beyond_the_end_is_refused(void **state)
{
    emk_fb fb;
    emk_fb_table t = root_of(&fb);
    emk_fb_vector v = {40, 1, 4};

    (void)state;
    assert_int_equal(emk_fb_u32_item(&fb, &v, 1), 0);
    assert_int_equal(fb.status, EMK_E_USAGE);
    fb = reader_now();
    assert_int_equal(emk_fb_u64_item(&fb, &v, 0), 0); /* the elements are of another size */
    assert_int_equal(fb.status, EMK_E_USAGE);
    assert_true(emk_fb_u32(&fb, &t, 2, 5) == 5);
}

static void rejects_buffers_that_are_too_short(void **state)
{
    (void)state;
    make_good();
    for (uint64_t len = 0; len < 36; len++) {
        emk_fb_table t;
        emk_fb fb;

        emk_image_from_span(&im, emk_span_of(good, (size_t)len));
        emk_fb_init(&fb, &im, 0, len);
        assert_false(emk_fb_root(&fb, &t));
        assert_false(emk_fb_ok(&fb));
        assert_false(im.cut);
    }
}

static void rejects_range_outside_the_image(void **state)
{
    emk_fb_table t;
    emk_fb fb;

    (void)state;
    make_good();
    emk_image_from_span(&im, emk_span_of(good, sizeof good));
    emk_fb_init(&fb, &im, 0, sizeof good + 1);
    assert_false(emk_fb_root(&fb, &t));
    assert_int_equal(fb.status, EMK_E_FORMAT);
    emk_fb_init(&fb, &im, 8, 4);
    assert_int_equal(fb.status, EMK_E_FORMAT);
}

static void rejects_root_offset(void **state)
{
    (void)state;
    make_good();
    put32(0, 0);
    assert_root_refused(0);
    put32(0, 22); /* not aligned */
    assert_root_refused(0);
    put32(0, 96);
    assert_root_refused(0);
    put32(0, UINT32_MAX);
    assert_root_refused(0);
}

static void rejects_vtable_outside(void **state)
{
    (void)state;
    make_good();
    put32(20, 21); /* before the begin */
    assert_root_refused(20);
    put32(20, (uint32_t)-76); /* at the end */
    assert_root_refused(20);
    put32(20, 0x80000000);
    assert_root_refused(20);
    put32(20, 0x7fffffff);
    assert_root_refused(20);
    put32(20, 11); /* not aligned */
    assert_root_refused(20);
}

static void vtable_may_stand_behind_its_table(void **state)
{
    emk_fb_table t;
    emk_fb fb;

    (void)state;
    make_good();
    put32(20, (uint32_t)-64); /* at 84 */
    put16(84, 4);
    put16(86, 4);
    fb = reader_now();
    assert_true(emk_fb_root(&fb, &t));
    assert_int_equal(t.vtable, 84);
    make_good();
}

static void rejects_vtable_size(void **state)
{
    (void)state;
    make_good();
    put16(8, 2);
    assert_root_refused(8);
    put16(8, 11);
    assert_root_refused(8);
    put16(8, 90);
    assert_root_refused(8);
}

static void rejects_table_size(void **state)
{
    (void)state;
    make_good();
    put16(10, 3);
    assert_root_refused(20);
    put16(10, 77);
    assert_root_refused(20);
}

static void rejects_field_outside_its_table(void **state)
{
    emk_fb fb;
    emk_fb_table t = root_of(&fb);

    (void)state;
    assert_true(emk_fb_u64(&fb, &t, 2, 5) == 5); /* 12 + 8 > 16 */
    assert_int_equal(fb.status, EMK_E_FORMAT);
    put16(16, 3);
    fb = reader_now();
    assert_int_equal(emk_fb_field(&fb, &t, 2, 1), 0);
    assert_int_equal(fb.status, EMK_E_FORMAT);
    put16(16, 0xffff);
    fb = reader_now();
    assert_int_equal(emk_fb_field(&fb, &t, 2, 1), 0);
    assert_int_equal(fb.status, EMK_E_FORMAT);
    make_good();
}

static void rejects_vector_beyond_the_end(void **state)
{
    emk_fb fb;
    emk_fb_table t = root_of(&fb);
    emk_fb_vector v;

    (void)state;
    put32(36, 57); /* 40 + 57 > 96 */
    fb = reader_now();
    assert_false(emk_fb_vector_field(&fb, &t, 0, 1, &v));
    assert_int_equal(fb.status, EMK_E_FORMAT);
    put32(36, 56);
    fb = reader_now();
    assert_true(emk_fb_vector_field(&fb, &t, 0, 1, &v));
    put32(36, 0x40000001); /* times 4 is 4 in 32 bits */
    fb = reader_now();
    assert_false(emk_fb_vector_field(&fb, &t, 0, 4, &v));
    assert_int_equal(fb.status, EMK_E_FORMAT);
    make_good();
}

static void rejects_string_without_its_zero(void **state)
{
    emk_fb fb;
    emk_fb_table t = root_of(&fb);
    emk_fb_vector v;

    (void)state;
    good[51] = 'd';
    fb = reader_now();
    assert_false(emk_fb_string_field(&fb, &t, 1, &v));
    assert_int_equal(v.n_items, 0);
    assert_int_equal(fb.status, EMK_E_FORMAT);
    put32(44, 48); /* fills the buffer: the zero would be behind it */
    fb = reader_now();
    assert_false(emk_fb_string_field(&fb, &t, 1, &v));
    assert_int_equal(fb.status, EMK_E_FORMAT);
    assert_false(im.cut);
    make_good();
}

static void rejects_offset_of_a_field(void **state)
{
    emk_fb fb;
    emk_fb_table t = root_of(&fb), sub;
    static const uint32_t bad[] = {0, 3, 72, UINT32_MAX, 0x80000000};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put32(24, bad[i]);
        fb = reader_now();
        assert_false(emk_fb_table_field(&fb, &t, 0, &sub));
        assert_int_equal(fb.status, EMK_E_FORMAT);
        assert_int_equal(fb.where, 24);
    }
    make_good();
}

static void budget_ends_the_walk(void **state)
{
    emk_fb fb;
    emk_fb_table t = root_of(&fb);
    emk_fb_vector v;
    uint64_t n = 0;

    (void)state;
    assert_int_equal(fb.steps, sizeof good + EMK_FB_STEPS_SPARE - 1); /* the root took one */
    fb.steps = 100;
    while (emk_fb_vector_field(&fb, &t, 0, 1, &v))
        n++;
    assert_int_equal(n, 100);
    assert_int_equal(fb.status, EMK_E_LIMIT);
}

static void buffer_may_begin_inside_the_image(void **state)
{
    static uint8_t shifted[sizeof good + 6];
    emk_fb_table t;
    emk_fb_vector v;
    emk_fb fb;

    (void)state;
    make_good();
    memcpy(shifted + 6, good, sizeof good);
    emk_image_from_span(&im, emk_span_of(shifted, sizeof shifted));
    emk_fb_init(&fb, &im, 6, sizeof shifted);
    assert_true(emk_fb_root(&fb, &t));
    assert_true(emk_fb_vector_field(&fb, &t, 0, 1, &v));
    assert_int_equal(v.at, 46);
    put32(20, 22); /* a good vtable, but before the range */
    memcpy(shifted + 6, good, sizeof good);
    shifted[4] = 4;
    emk_fb_init(&fb, &im, 6, sizeof shifted);
    assert_false(emk_fb_root(&fb, &t));
    make_good();
}

static emk_status no_read(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    (void)self;
    (void)off;
    (void)out;
    (void)len;
    return emk_fail(e, EMK_E_IO, "read", 5);
}

static void read_failure_is_reported_as_such(void **state)
{
    emk_fb_table t;
    emk_error e;
    emk_fb fb;

    (void)state;
    emk_image_from_reader(&im, 100, no_read, NULL);
    emk_fb_init(&fb, &im, 0, 100);
    assert_false(emk_fb_root(&fb, &t));
    assert_false(emk_fb_ok(&fb));
    assert_status(emk_fb_finish(&fb, &e), EMK_E_IO, &e);
}

static void first_failure_stays(void **state)
{
    emk_error e;
    emk_fb fb;

    (void)state;
    root_of(&fb);
    emk_fb_fail(&fb, EMK_E_POLICY, "mine", 5);
    emk_fb_fail(&fb, EMK_E_FORMAT, "another", 6);
    assert_status(emk_fb_finish(&fb, &e), EMK_E_POLICY, &e);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(reads_table_fields), emk_rule(absent_fields_give_the_default),
        emk_rule(vector_elements_are_reached_by_index), emk_rule(u64_elements_are_eight_bytes),
        emk_rule(element_beyond_the_end_is_refused), emk_rule(rejects_buffers_that_are_too_short),
        emk_rule(rejects_range_outside_the_image), emk_rule(rejects_root_offset),
        emk_rule(rejects_vtable_outside), emk_rule(vtable_may_stand_behind_its_table),
        emk_rule(rejects_vtable_size), emk_rule(rejects_table_size),
        emk_rule(rejects_field_outside_its_table), emk_rule(rejects_vector_beyond_the_end),
        emk_rule(rejects_string_without_its_zero), emk_rule(rejects_offset_of_a_field),
        emk_rule(budget_ends_the_walk), emk_rule(buffer_may_begin_inside_the_image),
        emk_rule(read_failure_is_reported_as_such), emk_rule(first_failure_stays));
}
