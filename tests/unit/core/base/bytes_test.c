#include "core/base/bytes.h"
#include "tests/support/test.h"

static const uint8_t eight[] = {0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8};

static void loads_do_not_depend_on_the_host(void **state)
{
    (void)state;
    assert_int_equal(emk_load_u16be(eight), 0x8192);
    assert_int_equal(emk_load_u16le(eight), 0x9281);
    assert_true(emk_load_u32be(eight) == 0x8192a3b4);
    assert_true(emk_load_u32le(eight) == 0xb4a39281);
    assert_true(emk_load_u64be(eight) == UINT64_C(0x8192a3b4c5d6e7f8));
    assert_true(emk_load_u64le(eight) == UINT64_C(0xf8e7d6c5b4a39281));
}

static void stores_are_what_loads_read(void **state)
{
    uint8_t out[8];

    (void)state;
    emk_store_u16be(out, 0x8192);
    assert_memory_equal(out, eight, 2);
    emk_store_u32be(out, 0x8192a3b4);
    assert_memory_equal(out, eight, 4);
    emk_store_u64be(out, UINT64_C(0x8192a3b4c5d6e7f8));
    assert_memory_equal(out, eight, 8);
}

int main(void)
{
    return EMK_RUN(emk_rule(loads_do_not_depend_on_the_host), emk_rule(stores_are_what_loads_read));
}
