#include "server/gate/widen.h"

#include "tests/support/test.h"

#define NOW UINT64_C(1000000)

static emk_widen *widen;

static int setup(void **state)
{
    static const uint8_t seed[16] = {1, 2, 3};
    emk_error e = {0};

    (void)state;
    assert_ok(emk_widen_new(seed, &widen, &e), &e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    emk_widen_free(widen);
    return 0;
}

#define with_widen(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* 2001:db8:0:SSCC::1 with the byte of the /56 and of the /64. */
static emk_address client(unsigned site, unsigned child)
{
    emk_address a = {.family = EMK_ADDRESS_V6, .b = {0x20, 0x01, 0x0d, 0xb8}};

    a.b[6] = (uint8_t)site;
    a.b[7] = (uint8_t)child;
    a.b[15] = 1;
    return a;
}

static void limit(unsigned site, unsigned child, uint64_t now)
{
    emk_address a = client(site, child);

    emk_widen_limited(widen, &a, now);
}

static unsigned bits(unsigned site, unsigned child, uint64_t now)
{
    emk_address a = client(site, child);

    return emk_widen_net(widen, &a, now).bits;
}

static void counts_one_customer_as_one_network(void **state)
{
    emk_address v4 = {.family = EMK_ADDRESS_V4, .b = {192, 0, 2, 1}};

    (void)state;
    assert_int_equal(bits(1, 1, NOW), 64);
    assert_int_equal(emk_widen_net(widen, &v4, NOW).bits, 24);
    for (unsigned i = 0; i < 100; i++) {
        limit(1, 1, NOW); /* the same one, again and again */
        emk_widen_limited(widen, &v4, NOW);
    }
    assert_int_equal(bits(1, 2, NOW), 64);
    assert_int_equal(emk_widen_net(widen, &v4, NOW).bits, 24);
}

static void eight_limited_networks_are_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++)
        limit(1, i, NOW);
    assert_int_equal(bits(1, 99, NOW), 64);
    limit(1, 7, NOW);
    assert_int_equal(bits(1, 99, NOW), 56);
    assert_int_equal(bits(2, 99, NOW), 64);
}

static void eight_wide_ones_are_wider(void **state)
{
    (void)state;
    for (unsigned site = 0; site < 8; site++) {
        assert_int_equal(bits(200, 1, NOW), 64);
        for (unsigned i = 0; i < 8; i++)
            limit(site, i, NOW);
        limit(site, 200, NOW); /* as the /56 that it is now */
    }
    assert_int_equal(bits(200, 1, NOW), 48);
}

static void is_forgotten_an_hour_after_the_last_time(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        limit(1, i, NOW);
    limit(1, 50, NOW + 3000);
    assert_int_equal(bits(1, 99, NOW + 3000 + EMK_WIDEN_LIFE_S - 1), 56);
    assert_int_equal(bits(1, 99, NOW + 3000 + EMK_WIDEN_LIFE_S), 64);
}

static void a_flood_of_networks_does_not_make_it_forget_wide_ones(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        limit(1, i, NOW);
    for (unsigned i = 0; i < 200000; i++) {
        emk_address a = client(0, 0);

        a.b[3] = (uint8_t)(i >> 16);
        a.b[4] = (uint8_t)(i >> 8);
        a.b[5] = (uint8_t)i;
        emk_widen_limited(widen, &a, NOW);
    }
    assert_int_equal(bits(1, 99, NOW), 56);
}

int main(void)
{
    return EMK_RUN(
        with_widen(counts_one_customer_as_one_network), with_widen(eight_limited_networks_are_one),
        with_widen(eight_wide_ones_are_wider), with_widen(is_forgotten_an_hour_after_the_last_time),
        with_widen(a_flood_of_networks_does_not_make_it_forget_wide_ones));
}
