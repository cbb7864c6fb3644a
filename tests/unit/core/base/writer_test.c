#include "core/base/writer.h"
#include "tests/support/test.h"

static void write_all(emk_writer *w)
{
    emk_write_u8(w, 1);
    emk_write_u16be(w, 0x0203);
    emk_write_u32be(w, 0x04050607);
    emk_write_u64be(w, UINT64_C(0x08090a0b0c0d0e0f));
    emk_write_bytes(w, emk_span_of("\x10\x11", 2));
    emk_write_bytes(w, emk_span_of(NULL, 0));
}

static void writes_fields_in_order(void **state)
{
    uint8_t out[17], want[17];
    emk_writer w;

    (void)state;
    for (size_t i = 0; i < sizeof want; i++)
        want[i] = (uint8_t)(i + 1);
    emk_writer_init(&w, out, sizeof out);
    write_all(&w);
    assert_false(w.full);
    assert_bytes(emk_writer_span(&w), emk_span_of(want, sizeof want));
}

static void counts_without_storage(void **state)
{
    emk_writer w;

    (void)state;
    emk_writer_init(&w, NULL, 100);
    write_all(&w);
    assert_int_equal(w.pos, 17);
    assert_true(w.full);
    assert_int_equal(emk_writer_span(&w).len, 0);
}

static void never_writes_behind_the_end(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 17; cap++) {
        uint8_t out[18];
        emk_writer w;

        memset(out, 0xee, sizeof out);
        emk_writer_init(&w, out, cap);
        write_all(&w);
        assert_true(w.full);
        assert_int_equal(w.pos, 17);
        assert_int_equal(emk_writer_span(&w).len, 0);
        for (size_t i = cap; i < sizeof out; i++)
            assert_int_equal(out[i], 0xee);
    }
}

static void full_stays_full(void **state)
{
    uint8_t out[2] = {0xee, 0xee};
    emk_writer w;

    (void)state;
    emk_writer_init(&w, out, 2);
    emk_write_u32be(&w, 1);
    emk_write_u8(&w, 1); /* would fit */
    assert_true(w.full);
    assert_int_equal(out[0], 0xee);
}

int main(void)
{
    return EMK_RUN(emk_rule(writes_fields_in_order), emk_rule(counts_without_storage),
                   emk_rule(never_writes_behind_the_end), emk_rule(full_stays_full));
}
