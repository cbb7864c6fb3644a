#include "core/codec/cbor.h"
#include "tests/support/test.h"

static uint8_t input[512];

static emk_span unhex(const char *hex)
{
    return emk_span_of(input, emk_unhex(hex, input, sizeof input));
}

static emk_cbor_reader reader_of(const char *hex)
{
    emk_cbor_reader c;

    emk_cbor_reader_init(&c, unhex(hex));
    return c;
}

static void assert_accepted(const char *hex)
{
    emk_error e;

    assert_ok(emk_cbor_check(unhex(hex), &e), &e);
}

static void assert_refused(const char *hex, emk_status want, uint64_t where)
{
    emk_error e;

    assert_status(emk_cbor_check(unhex(hex), &e), want, &e);
    assert_int_equal(e.where, where);
}

/* The reader's own end: nothing after the failure gives anything but zeros. */
static void assert_failed(emk_cbor_reader *c, emk_status want, uint64_t where)
{
    int64_t key = 77;
    uint8_t out[2] = {1, 1};
    emk_error e;

    assert_false(emk_cbor_ok(c));
    assert_int_equal(emk_cbor_read_uint(c), 0);
    assert_int_equal(emk_cbor_read_int(c), 0);
    assert_false(emk_cbor_read_bool(c));
    assert_int_equal(emk_cbor_read_bytes(c).len, 0);
    assert_int_equal(emk_cbor_read_text(c).len, 0);
    assert_int_equal(emk_cbor_read_raw(c).len, 0);
    assert_int_equal(emk_cbor_enter_array(c), 0);
    assert_int_equal(emk_cbor_enter_map(c), 0);
    assert_false(emk_cbor_next_key(c, &key));
    assert_int_equal(key, 77);
    emk_cbor_read_fixed(c, out, 2);
    assert_int_equal(out[0] | out[1], 0);
    assert_int_equal(emk_cbor_peek(c), EMK_CBOR_BAD);
    assert_status(emk_cbor_finish(c, &e), want, &e);
    assert_int_equal(e.where, where);
}

static void accepts_each_integer_in_its_shortest_form(void **state)
{
    static const struct {
        const char *hex;
        uint64_t v;
    } rows[] = {{"00", 0},
                {"17", 23},
                {"1818", 24},
                {"18ff", 255},
                {"190100", 256},
                {"19ffff", 65535},
                {"1a00010000", 65536},
                {"1affffffff", UINT32_MAX},
                {"1b0000000100000000", UINT32_MAX + UINT64_C(1)},
                {"1bffffffffffffffff", UINT64_MAX}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        emk_cbor_reader c = reader_of(rows[i].hex);
        uint8_t out[9];
        emk_writer w;
        emk_error e;

        assert_true(emk_cbor_read_uint(&c) == rows[i].v);
        assert_ok(emk_cbor_finish(&c, &e), &e);
        emk_writer_init(&w, out, sizeof out);
        emk_cbor_put_uint(&w, rows[i].v);
        assert_bytes(emk_writer_span(&w), unhex(rows[i].hex));
    }
}

static void rejects_integers_in_longer_forms(void **state)
{
    (void)state;
    assert_refused("1817", EMK_E_FORMAT, 0);
    assert_refused("1900ff", EMK_E_FORMAT, 0);
    assert_refused("1a0000ffff", EMK_E_FORMAT, 0);
    assert_refused("1b00000000ffffffff", EMK_E_FORMAT, 0);
    assert_refused("3800", EMK_E_FORMAT, 0);
}

static void rejects_lengths_in_longer_forms(void **state)
{
    (void)state;
    assert_refused("580161", EMK_E_FORMAT, 0);
    assert_refused("780161", EMK_E_FORMAT, 0);
    assert_refused("980100", EMK_E_FORMAT, 0);
    assert_refused("b8010000", EMK_E_FORMAT, 0);
}

static void rejects_indefinite_lengths(void **state)
{
    (void)state;
    assert_refused("5f4100ff", EMK_E_FORMAT, 0);
    assert_refused("7f6161ff", EMK_E_FORMAT, 0);
    assert_refused("9fff", EMK_E_FORMAT, 0);
    assert_refused("bfff", EMK_E_FORMAT, 0);
    assert_refused("ff", EMK_E_FORMAT, 0);
}

static void rejects_reserved_length_forms(void **state)
{
    (void)state;
    assert_refused("1c", EMK_E_FORMAT, 0);
    assert_refused("3d", EMK_E_FORMAT, 0);
    assert_refused("5e", EMK_E_FORMAT, 0);
    assert_refused("1f", EMK_E_FORMAT, 0);
    assert_refused("fc", EMK_E_FORMAT, 0);
}

static void rejects_floats_undefined_and_simple_values(void **state)
{
    (void)state;
    assert_refused("f93c00", EMK_E_UNSUPPORTED, 0);
    assert_refused("fa47c35000", EMK_E_UNSUPPORTED, 0);
    assert_refused("fb3ff199999999999a", EMK_E_UNSUPPORTED, 0);
    assert_refused("f7", EMK_E_UNSUPPORTED, 0);
    assert_refused("e0", EMK_E_UNSUPPORTED, 0);
    assert_refused("f820", EMK_E_UNSUPPORTED, 0);
}

static void rejects_null_and_tags_nobody_asked_for(void **state)
{
    (void)state;
    assert_refused("f6", EMK_E_UNSUPPORTED, 0);
    assert_refused("81f6", EMK_E_UNSUPPORTED, 1);
    assert_refused("c100", EMK_E_UNSUPPORTED, 0);
    assert_refused("d28440a04040", EMK_E_UNSUPPORTED, 0);
}

static void rejects_input_that_is_cut(void **state)
{
    (void)state;
    assert_refused("", EMK_E_FORMAT, 0);
    assert_refused("18", EMK_E_FORMAT, 0);
    assert_refused("1b00000001", EMK_E_FORMAT, 0);
    assert_refused("8201", EMK_E_FORMAT, 0);
    assert_refused("a101", EMK_E_FORMAT, 0);
    assert_refused("82 81 00", EMK_E_FORMAT, 3);
}

static void rejects_lengths_beyond_the_bytes_left(void **state)
{
    (void)state;
    assert_refused("4261", EMK_E_FORMAT, 0);
    assert_refused("6261", EMK_E_FORMAT, 0);
    assert_refused("5bffffffffffffffff", EMK_E_FORMAT, 0);
    assert_refused("9bffffffffffffffff", EMK_E_FORMAT, 0);
    assert_refused("bbffffffffffffffff00", EMK_E_FORMAT, 0);
    assert_refused("a2000100", EMK_E_FORMAT, 0); /* two pairs need four bytes */
}

static void rejects_text_that_is_not_utf8(void **state)
{
    (void)state;
    assert_accepted("63e282ac");
    assert_refused("62c080", EMK_E_FORMAT, 0);
    assert_refused("63eda080", EMK_E_FORMAT, 0);
    assert_refused("61c3", EMK_E_FORMAT, 0);
}

static void rejects_bytes_after_the_end(void **state)
{
    (void)state;
    assert_refused("0000", EMK_E_FORMAT, 1);
    assert_refused("8000", EMK_E_FORMAT, 1);
}

static void rejects_map_with_duplicate_keys(void **state)
{
    (void)state;
    assert_refused("a201010102", EMK_E_FORMAT, 3);
    assert_refused("a261610161 6102", EMK_E_FORMAT, 4);
    assert_refused("a2810101810102", EMK_E_FORMAT, 4);
}

static void rejects_map_keys_out_of_order(void **state)
{
    (void)state;
    assert_refused("a202000100", EMK_E_FORMAT, 3);
    assert_refused("a2200001 00", EMK_E_FORMAT, 3);      /* -1 sorts behind 1 */
    assert_refused("a262616200616300", EMK_E_FORMAT, 5); /* longer first */
    assert_refused("a2616100 4161 00", EMK_E_FORMAT, 4); /* bytes sort before text */
}

static void accepts_keys_of_any_kind_in_order(void **state)
{
    (void)state;
    assert_accepted("a0");
    assert_accepted("a7 00 00 1818 00 20 00 4100 00 6161 00 8100 00 f4 00");
    assert_accepted("a2 80 00 8100 00");
    assert_accepted("a2 a0 00 a10000 00");
    assert_accepted("a2 6161 a201020304 6162 82 81 00 a0");
}

static void order_of_keys_starts_anew_in_each_map(void **state)
{
    (void)state;
    assert_accepted("82 a10500 a10400");
    assert_accepted("a2 05 a10600 06 a10500");
    assert_refused("a2 05 a10400 05 00", EMK_E_FORMAT, 5);
}

static void nesting_ends_at_sixteen(void **state)
{
    (void)state;
    assert_accepted("818181818181818181818181818181 80");
    assert_refused("81818181818181818181818181818181 80", EMK_E_LIMIT, 16);
    assert_refused("81818181818181818181818181818181 a0", EMK_E_LIMIT, 16);
    assert_accepted("82 818181818181818181818181818180 818181818181818181818181818180");
}

static void reads_like_a_schema(void **state)
{
    emk_cbor_reader c = reader_of("d2 84 43a10126 a0 f6 a4 01 1903e8 02 6161 20 f5 21 3903e7");
    uint8_t fixed[3];
    int64_t key, keys[4];
    emk_span text = {NULL, 0};
    bool flag = false;
    int64_t number = 0;
    uint64_t count = 0;
    size_t n = 0;
    emk_error e;

    (void)state;
    assert_int_equal(emk_cbor_peek(&c), EMK_CBOR_TAG);
    emk_cbor_read_tag(&c, 18);
    assert_int_equal(emk_cbor_enter_array(&c), 4);
    emk_cbor_read_fixed(&c, fixed, sizeof fixed);
    assert_int_equal(emk_cbor_enter_map(&c), 0);
    assert_int_equal(emk_cbor_peek(&c), EMK_CBOR_END);
    assert_false(emk_cbor_next_key(&c, &key));
    emk_cbor_leave(&c);
    assert_int_equal(emk_cbor_peek(&c), EMK_CBOR_NULL);
    emk_cbor_read_null(&c);
    assert_int_equal(emk_cbor_enter_map(&c), 4);
    while (n < 4 && emk_cbor_next_key(&c, &key)) {
        keys[n++] = key;
        if (key == 1)
            count = emk_cbor_read_uint(&c);
        else if (key == 2)
            text = emk_cbor_read_text(&c);
        else if (key == -1)
            flag = emk_cbor_read_bool(&c);
        else
            number = emk_cbor_read_int(&c);
    }
    assert_false(emk_cbor_next_key(&c, &key));
    emk_cbor_leave(&c);
    emk_cbor_leave(&c);
    assert_int_equal(emk_cbor_peek(&c), EMK_CBOR_END);
    assert_ok(emk_cbor_finish(&c, &e), &e);
    assert_memory_equal(fixed, "\xa1\x01\x26", 3);
    assert_true(n == 4 && keys[0] == 1 && keys[1] == 2 && keys[2] == -1 && keys[3] == -2);
    assert_int_equal(count, 1000);
    assert_bytes(text, emk_span_str("a"));
    assert_true(flag);
    assert_int_equal(number, -1000);
}

static void reader_refuses_duplicate_and_unordered_integer_keys(void **state)
{
    emk_cbor_reader c = reader_of("a201010102");
    int64_t key;

    (void)state;
    emk_cbor_enter_map(&c);
    assert_true(emk_cbor_next_key(&c, &key));
    assert_int_equal(emk_cbor_read_uint(&c), 1);
    assert_false(emk_cbor_next_key(&c, &key));
    assert_failed(&c, EMK_E_FORMAT, 3);

    c = reader_of("a220000100");
    emk_cbor_enter_map(&c);
    assert_true(emk_cbor_next_key(&c, &key));
    emk_cbor_skip(&c);
    assert_false(emk_cbor_next_key(&c, &key));
    assert_failed(&c, EMK_E_FORMAT, 3);
}

static void text_keys_can_be_read_like_values(void **state)
{
    emk_cbor_reader c = reader_of("a2 6161 01 6162 02");
    emk_error e;

    (void)state;
    emk_cbor_enter_map(&c);
    assert_bytes(emk_cbor_read_text(&c), emk_span_str("a"));
    assert_int_equal(emk_cbor_read_uint(&c), 1);
    assert_bytes(emk_cbor_read_text(&c), emk_span_str("b"));
    assert_int_equal(emk_cbor_read_uint(&c), 2);
    assert_int_equal(emk_cbor_peek(&c), EMK_CBOR_END);
    emk_cbor_leave(&c);
    assert_ok(emk_cbor_finish(&c, &e), &e);
}

static void next_key_refuses_text_keys(void **state)
{
    emk_cbor_reader c = reader_of("a1616101");
    int64_t key;

    (void)state;
    emk_cbor_enter_map(&c);
    assert_false(emk_cbor_next_key(&c, &key));
    assert_failed(&c, EMK_E_FORMAT, 1);
}

static void next_key_refuses_a_value_left_unread(void **state)
{
    emk_cbor_reader c = reader_of("a201010202");
    int64_t key;

    (void)state;
    emk_cbor_enter_map(&c);
    assert_true(emk_cbor_next_key(&c, &key));
    assert_false(emk_cbor_next_key(&c, &key));
    assert_failed(&c, EMK_E_USAGE, 2);
}

static void next_key_refuses_an_array(void **state)
{
    emk_cbor_reader c = reader_of("8101");
    int64_t key;

    (void)state;
    emk_cbor_enter_array(&c);
    assert_false(emk_cbor_next_key(&c, &key));
    assert_failed(&c, EMK_E_USAGE, 1);
}

static void each_getter_refuses_other_kinds(void **state)
{
    static const char *const items[] = {"01", "20", "4100", "6161", "80", "a0", "f4", "f6", "d200"};
    uint8_t fixed[1];

    (void)state;
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        for (int getter = 0; getter < 10; getter++) {
            emk_cbor_reader c = reader_of(items[i]);
            /* which getter may succeed on which item */
            static const char *const allowed[10] = {
                "100000000", "110000000", "000000100", "000000010", "001000000",
                "001000000", "000100000", "000010000", "000001000", "000000001"};
            switch (getter) {
            case 0:
                emk_cbor_read_uint(&c);
                break;
            case 1:
                emk_cbor_read_int(&c);
                break;
            case 2:
                emk_cbor_read_bool(&c);
                break;
            case 3:
                emk_cbor_read_null(&c);
                break;
            case 4:
                emk_cbor_read_bytes(&c);
                break;
            case 5:
                emk_cbor_read_fixed(&c, fixed, 1);
                break;
            case 6:
                emk_cbor_read_text(&c);
                break;
            case 7:
                emk_cbor_enter_array(&c);
                break;
            case 8:
                emk_cbor_enter_map(&c);
                break;
            default:
                emk_cbor_read_tag(&c, 18);
                break;
            }
            assert_int_equal(emk_cbor_ok(&c), allowed[getter][i] == '1');
            assert_true(emk_cbor_ok(&c) || c.status == EMK_E_FORMAT);
        }
    }
}

static void read_int_ends_at_64_bits_with_sign(void **state)
{
    emk_cbor_reader c = reader_of("82 1b7fffffffffffffff 3b7fffffffffffffff");
    emk_error e;

    (void)state;
    emk_cbor_enter_array(&c);
    assert_true(emk_cbor_read_int(&c) == INT64_MAX);
    assert_true(emk_cbor_read_int(&c) == INT64_MIN);
    emk_cbor_leave(&c);
    assert_ok(emk_cbor_finish(&c, &e), &e);

    c = reader_of("1b8000000000000000");
    assert_int_equal(emk_cbor_read_int(&c), 0);
    assert_failed(&c, EMK_E_LIMIT, 0);
    c = reader_of("3b8000000000000000");
    assert_int_equal(emk_cbor_read_int(&c), 0);
    assert_failed(&c, EMK_E_LIMIT, 0);
}

static void read_fixed_refuses_another_length(void **state)
{
    emk_cbor_reader c = reader_of("43010203");
    uint8_t out[4] = {9, 9, 9, 9};

    (void)state;
    emk_cbor_read_fixed(&c, out, 4);
    assert_memory_equal(out, "\0\0\0\0", 4);
    assert_failed(&c, EMK_E_FORMAT, 0);
    c = reader_of("43010203");
    emk_cbor_read_fixed(&c, out, 2);
    assert_failed(&c, EMK_E_FORMAT, 0);
}

static void read_tag_refuses_another_tag(void **state)
{
    emk_cbor_reader c = reader_of("d100");

    (void)state;
    emk_cbor_read_tag(&c, 18);
    assert_failed(&c, EMK_E_UNSUPPORTED, 17);
    c = reader_of("d81200"); /* 18 in two bytes */
    emk_cbor_read_tag(&c, 18);
    assert_failed(&c, EMK_E_FORMAT, 0);
}

static void tag_without_an_item_is_refused(void **state)
{
    emk_cbor_reader c = reader_of("d2");

    (void)state;
    emk_cbor_read_tag(&c, 18);
    assert_int_equal(emk_cbor_peek(&c), EMK_CBOR_BAD);
    assert_status(emk_cbor_finish(&c, NULL), EMK_E_USAGE, NULL);
    c = reader_of("d2");
    emk_cbor_read_tag(&c, 18);
    emk_cbor_skip(&c);
    assert_failed(&c, EMK_E_FORMAT, 1);
    c = reader_of("81d2");
    emk_cbor_enter_array(&c);
    emk_cbor_read_tag(&c, 18);
    emk_cbor_leave(&c);
    assert_failed(&c, EMK_E_USAGE, 2);
}

static void tagged_item_counts_once(void **state)
{
    emk_cbor_reader c = reader_of("82 d205 06");
    emk_error e;

    (void)state;
    assert_int_equal(emk_cbor_enter_array(&c), 2);
    emk_cbor_read_tag(&c, 18);
    assert_int_equal(emk_cbor_read_uint(&c), 5);
    assert_int_equal(emk_cbor_read_uint(&c), 6);
    emk_cbor_leave(&c);
    assert_ok(emk_cbor_finish(&c, &e), &e);
}

static void leave_refuses_items_not_read(void **state)
{
    emk_cbor_reader c = reader_of("820102");
    int64_t key;

    (void)state;
    emk_cbor_enter_array(&c);
    emk_cbor_read_uint(&c);
    emk_cbor_leave(&c);
    assert_failed(&c, EMK_E_FORMAT, 2);

    c = reader_of("a10102");
    emk_cbor_enter_map(&c);
    emk_cbor_next_key(&c, &key);
    emk_cbor_leave(&c);
    assert_failed(&c, EMK_E_FORMAT, 2);

    c = reader_of("00");
    emk_cbor_leave(&c);
    assert_failed(&c, EMK_E_USAGE, 0);
}

static void reading_past_the_items_is_refused(void **state)
{
    emk_cbor_reader c = reader_of("82 8101 02");

    (void)state;
    emk_cbor_enter_array(&c);
    emk_cbor_enter_array(&c);
    emk_cbor_read_uint(&c);
    assert_int_equal(emk_cbor_peek(&c), EMK_CBOR_END);
    assert_int_equal(emk_cbor_read_uint(&c), 0); /* the 02 is not of this array */
    assert_failed(&c, EMK_E_FORMAT, 3);
}

static void finish_refuses_what_was_left_open(void **state)
{
    emk_cbor_reader c = reader_of("8101");

    (void)state;
    emk_cbor_enter_array(&c);
    emk_cbor_read_uint(&c);
    assert_status(emk_cbor_finish(&c, NULL), EMK_E_USAGE, NULL);
}

static void skip_and_raw_take_one_whole_item(void **state)
{
    emk_cbor_reader c = reader_of("83 a2 01 820203 02 4101 80 07");
    emk_error e;

    (void)state;
    emk_cbor_enter_array(&c);
    assert_bytes(emk_cbor_read_raw(&c), emk_span_of(input + 1, 8));
    emk_cbor_skip(&c);
    assert_int_equal(emk_cbor_read_uint(&c), 7);
    emk_cbor_leave(&c);
    assert_ok(emk_cbor_finish(&c, &e), &e);
}

static void skip_checks_what_it_passes(void **state)
{
    emk_cbor_reader c = reader_of("82 a2 02 00 01 00 07");

    (void)state;
    emk_cbor_enter_array(&c);
    emk_cbor_skip(&c);
    assert_failed(&c, EMK_E_FORMAT, 4);
    c = reader_of("81 82 01 f6");
    emk_cbor_enter_array(&c);
    assert_int_equal(emk_cbor_read_raw(&c).len, 0);
    assert_failed(&c, EMK_E_UNSUPPORTED, 3);
}

static void first_failure_stays(void **state)
{
    emk_cbor_reader c = reader_of("01");
    emk_error e;

    (void)state;
    emk_cbor_fail(&c, EMK_E_POLICY, "mine", 5);
    emk_cbor_fail(&c, EMK_E_FORMAT, "another", 6);
    assert_status(emk_cbor_finish(&c, &e), EMK_E_POLICY, &e);
    assert_string_equal(e.what, "mine");
    assert_int_equal(e.where, 5);
}

static void writes_shortest_forms(void **state)
{
    uint8_t out[64], payload[24] = {0};
    emk_writer w;

    (void)state;
    emk_writer_init(&w, out, sizeof out);
    emk_cbor_put_tag(&w, 18);
    emk_cbor_put_array(&w, 7);
    emk_cbor_put_int(&w, -1);
    emk_cbor_put_int(&w, INT64_MIN);
    emk_cbor_put_int(&w, 24);
    emk_cbor_put_bool(&w, true);
    emk_cbor_put_null(&w);
    emk_cbor_put_bytes(&w, emk_span_of(payload, 24));
    emk_cbor_put_map(&w, 1);
    emk_cbor_put_text(&w, emk_span_str("a"));
    emk_cbor_put_raw(&w, emk_span_of("\x80", 1));
    assert_bytes(emk_writer_span(&w),
                 unhex("d2 87 20 3b7fffffffffffffff 1818 f5 f6 5818"
                       "000000000000000000000000000000000000000000000000 a1 6161 80"));
}

int main(void)
{
    return EMK_RUN(
        emk_rule(accepts_each_integer_in_its_shortest_form),
        emk_rule(rejects_integers_in_longer_forms), emk_rule(rejects_lengths_in_longer_forms),
        emk_rule(rejects_indefinite_lengths), emk_rule(rejects_reserved_length_forms),
        emk_rule(rejects_floats_undefined_and_simple_values),
        emk_rule(rejects_null_and_tags_nobody_asked_for), emk_rule(rejects_input_that_is_cut),
        emk_rule(rejects_lengths_beyond_the_bytes_left), emk_rule(rejects_text_that_is_not_utf8),
        emk_rule(rejects_bytes_after_the_end), emk_rule(rejects_map_with_duplicate_keys),
        emk_rule(rejects_map_keys_out_of_order), emk_rule(accepts_keys_of_any_kind_in_order),
        emk_rule(order_of_keys_starts_anew_in_each_map), emk_rule(nesting_ends_at_sixteen),
        emk_rule(reads_like_a_schema),
        emk_rule(reader_refuses_duplicate_and_unordered_integer_keys),
        emk_rule(text_keys_can_be_read_like_values), emk_rule(next_key_refuses_text_keys),
        emk_rule(next_key_refuses_a_value_left_unread), emk_rule(next_key_refuses_an_array),
        emk_rule(each_getter_refuses_other_kinds), emk_rule(read_int_ends_at_64_bits_with_sign),
        emk_rule(read_fixed_refuses_another_length), emk_rule(read_tag_refuses_another_tag),
        emk_rule(tag_without_an_item_is_refused), emk_rule(tagged_item_counts_once),
        emk_rule(leave_refuses_items_not_read), emk_rule(reading_past_the_items_is_refused),
        emk_rule(finish_refuses_what_was_left_open), emk_rule(skip_and_raw_take_one_whole_item),
        emk_rule(skip_checks_what_it_passes), emk_rule(first_failure_stays),
        emk_rule(writes_shortest_forms));
}
