#include "core/model/extents.h"
#include "tests/support/test.h"

enum { CAP = 64, FILE_LEN = 1000 };

static emk_tensor room[CAP];
static emk_extents x;
static emk_error e;

static void begin(void **state)
{
    (void)state;
    emk_extents_init(&x, room, CAP);
}

static emk_status add(uint64_t offset, uint64_t length)
{
    emk_tensor t = {.offset = offset, .length = length};

    return emk_extents_add(&x, &t, &e);
}

static emk_status settle(void)
{
    static const uint64_t part_len[] = {FILE_LEN, 50};

    return emk_extents_settle(&x, part_len, 2, &e);
}

static void sorts_by_offset(void **state)
{
    begin(state);
    for (uint64_t i = 0; i < CAP; i++) /* 37 is prime to CAP: every place once, in disorder */
        assert_ok(add((i * 37) % CAP * 10, 5), &e);
    assert_ok(settle(), &e);
    assert_int_equal(x.n, CAP);
    for (uint32_t i = 0; i < x.n; i++)
        assert_int_equal(x.v[i].offset, 10 * i);
    assert_int_equal(emk_extents_bytes(&x, 0), CAP * 5);
}

static void sorts_every_order_of_five(void **state)
{
    for (uint32_t code = 0; code < 3125; code++) {
        uint32_t c = code;

        begin(state);
        for (int i = 0; i < 5; i++, c /= 5)
            assert_ok(add((uint64_t)c % 5 * 10, 10), &e);
        assert_ok(settle(), &e);
        for (uint32_t i = 1; i < x.n; i++)
            assert_true(x.v[i - 1].offset < x.v[i].offset);
    }
}

static void forgets_names_that_were_only_lent(void **state)
{
    emk_tensor t = {.length = 4, .name_text = "lent"};

    begin(state);
    assert_ok(emk_extents_add(&x, &t, &e), &e);
    assert_null(x.v[0].name_text);
}

static void puts_parts_one_after_the_other(void **state)
{
    emk_tensor t = {.offset = 10, .length = 40, .part = 1};

    begin(state);
    assert_ok(emk_extents_add(&x, &t, &e), &e);
    assert_ok(add(500, 5), &e);
    assert_ok(settle(), &e);
    assert_int_equal(x.v[0].part, 0);
    assert_int_equal(x.v[1].part, 1);
    assert_int_equal(emk_extents_bytes(&x, 1), 40);
}

static void keeps_one_of_equal_ranges(void **state)
{
    begin(state);
    assert_ok(add(20, 5), &e);
    assert_ok(add(10, 5), &e);
    assert_ok(add(20, 5), &e);
    assert_ok(add(20, 5), &e);
    assert_ok(settle(), &e);
    assert_int_equal(x.n, 2);
}

static void drops_empty_ranges(void **state)
{
    begin(state);
    assert_ok(add(10, 0), &e);
    assert_ok(add(FILE_LEN, 0), &e);
    assert_ok(add(10, 5), &e);
    assert_ok(settle(), &e);
    assert_int_equal(x.n, 1);
    assert_int_equal(x.added, 3);
}

static void gives_open_ranges_their_length(void **state)
{
    emk_tensor t = {.offset = 10, .part = 1, .flags = EMK_TENSOR_TO_END};

    begin(state);
    assert_ok(emk_extents_add(&x, &t, &e), &e);
    assert_ok(settle(), &e);
    assert_int_equal(x.v[0].length, 40);
    begin(state);
    t.offset = 51;
    assert_ok(emk_extents_add(&x, &t, &e), &e);
    assert_status(settle(), EMK_E_FORMAT, &e);
}

static void ends_ranges_where_the_next_begins(void **state)
{
    emk_tensor t = {.flags = EMK_TENSOR_TO_NEXT};
    static const uint64_t offsets[] = {700, 100, 300, 100, FILE_LEN};

    begin(state);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        t.offset = offsets[i];
        assert_ok(emk_extents_add(&x, &t, &e), &e);
    }
    assert_ok(settle(), &e);
    assert_int_equal(x.n, 3);
    assert_int_equal(x.v[0].length, 200);
    assert_int_equal(x.v[1].length, 400);
    assert_int_equal(x.v[2].length, 300);
}

static void rejects_ranges_that_overlap_in_part(void **state)
{
    static const uint64_t bad[][4] = {
        {10, 10, 19, 1}, {10, 10, 19, 10}, {10, 10, 10, 9}, {10, 10, 10, 11}, {0, 1000, 500, 1}};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(state);
        assert_ok(add(bad[i][0], bad[i][1]), &e);
        assert_ok(add(bad[i][2], bad[i][3]), &e);
        assert_status(settle(), EMK_E_FORMAT, &e);
        assert_string_equal(e.what, "model: tensors overlap");
        assert_int_equal(e.where, bad[i][2]);
    }
}

static void rejects_ranges_outside_the_file(void **state)
{
    static const uint64_t bad[][2] = {
        {FILE_LEN, 1}, {FILE_LEN - 1, 2}, {UINT64_MAX, 2}, {2, UINT64_MAX}, {FILE_LEN + 1, 0}};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(state);
        assert_ok(add(bad[i][0], bad[i][1]), &e);
        assert_status(settle(), EMK_E_FORMAT, &e);
        assert_false(x.settled);
    }
}

static void rejects_a_part_that_is_not_there(void **state)
{
    emk_tensor t = {.length = 1, .part = 2};

    begin(state);
    assert_ok(emk_extents_add(&x, &t, &e), &e);
    assert_status(settle(), EMK_E_UNSUPPORTED, &e);
}

static void rejects_more_than_it_has_room_for(void **state)
{
    begin(state);
    for (uint64_t i = 0; i < CAP; i++)
        assert_ok(add(i, 1), &e);
    assert_status(add(CAP, 1), EMK_E_LIMIT, &e);
}

static void rejects_a_name_that_comes_again(void **state)
{
    emk_tensor t = {.name_hash = 7};

    begin(state);
    assert_ok(add(0, 1), &e); /* no hash: any number of them */
    assert_ok(add(1, 1), &e);
    for (uint64_t i = 1; i < 40; i++) {
        t.name_hash = i;
        assert_ok(emk_extents_add(&x, &t, &e), &e);
    }
    assert_ok(settle(), &e);
    begin(state);
    for (uint64_t i = 1; i < 40; i++) {
        t.name_hash = i == 39 ? 7 : i;
        t.name_off = i;
        assert_ok(emk_extents_add(&x, &t, &e), &e);
    }
    assert_status(settle(), EMK_E_FORMAT, &e);
    assert_string_equal(e.what, "model: name comes again");
    assert_int_equal(e.where, 39);
}

static void joins_neighbours_of_one_kind(void **state)
{
    emk_tensor other = {.offset = 30, .length = 10, .kind = EMK_TENSOR_CUSTOM};

    begin(state);
    assert_ok(add(20, 10), &e);
    assert_ok(add(10, 10), &e);
    assert_ok(add(50, 10), &e);
    assert_ok(emk_extents_add(&x, &other, &e), &e);
    assert_ok(settle(), &e);
    emk_extents_merge(&x);
    assert_int_equal(x.n, 3);
    assert_int_equal(x.v[0].offset, 10);
    assert_int_equal(x.v[0].length, 20);
    assert_int_equal(x.v[0].name_len, 0);
    assert_int_equal(x.v[1].kind, EMK_TENSOR_CUSTOM);
    assert_int_equal(x.v[2].offset, 50);
}

static void checks_nothing_before_it_is_settled(void **state)
{
    static emk_image im;

    begin(state);
    emk_image_from_span(&im, emk_span_of("", 0));
    assert_status(emk_extents_check_stable(&x, EMK_MODEL_SAFETENSORS, &im, NULL, &e), EMK_E_USAGE,
                  &e);
}

static void settles_an_empty_list(void **state)
{
    begin(state);
    assert_ok(settle(), &e);
    assert_int_equal(x.n, 0);
    assert_true(x.settled);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(sorts_by_offset), emk_rule(sorts_every_order_of_five),
        emk_rule(forgets_names_that_were_only_lent), emk_rule(puts_parts_one_after_the_other),
        emk_rule(keeps_one_of_equal_ranges), emk_rule(drops_empty_ranges),
        emk_rule(gives_open_ranges_their_length), emk_rule(ends_ranges_where_the_next_begins),
        emk_rule(rejects_ranges_that_overlap_in_part), emk_rule(rejects_ranges_outside_the_file),
        emk_rule(rejects_a_part_that_is_not_there), emk_rule(rejects_more_than_it_has_room_for),
        emk_rule(rejects_a_name_that_comes_again), emk_rule(joins_neighbours_of_one_kind),
        emk_rule(checks_nothing_before_it_is_settled), emk_rule(settles_an_empty_list));
}
