#include "core/base/bytes.h"
#include "server/fraud/fixed.h"
#include "tests/support/test.h"

/* (Aumasson, Bernstein: SipHash, appendix A) and the first vectors of its reference table. */
static void siphash_gives_the_published_values(void **state)
{
    uint8_t key[16], in[15];
    uint64_t k[2];

    (void)state;
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (uint8_t i = 0; i < 15; i++)
        in[i] = i;
    k[0] = emk_load_u64le(key);
    k[1] = emk_load_u64le(key + 8);
    assert_true(emk_fraud_siphash(k, emk_span_of(in, 15)) == UINT64_C(0xa129ca6149be45e5));
    assert_true(emk_fraud_siphash(k, emk_span_of(in, 0)) == UINT64_C(0x726fdb47dd0e0e31));
    assert_true(emk_fraud_siphash(k, emk_span_of(in, 8)) == UINT64_C(0x93f5f5799a932462));
}

static void decay_halves_after_each_half_life(void **state)
{
    (void)state;
    assert_int_equal(emk_fraud_decay(8000, 0, 3600), 8000);
    assert_int_equal(emk_fraud_decay(8000, 3600, 3600), 4000);
    assert_int_equal(emk_fraud_decay(8000, 3 * 3600, 3600), 1000);
    assert_int_equal(emk_fraud_decay(1000000, 1800, 3600), 707106);
    assert_int_equal(emk_fraud_decay(UINT64_MAX, 64 * 10, 10), 0);
    assert_int_equal(emk_fraud_decay(5, 100, 0), 5);
    assert_true(emk_fraud_decay(UINT64_MAX, 1, 1) == UINT64_MAX / 2);
}

static void square_root_is_the_floor(void **state)
{
    (void)state;
    assert_int_equal(emk_fraud_isqrt(0), 0);
    assert_int_equal(emk_fraud_isqrt(15), 3);
    assert_int_equal(emk_fraud_isqrt(16), 4);
    assert_true(emk_fraud_isqrt(UINT64_MAX) == UINT32_MAX);
}

static void assert_near_km(uint64_t metres, uint64_t km)
{
    assert_in_range(metres, km * 990, km * 1010);
}

static void distances_are_within_one_per_cent(void **state)
{
    (void)state;
    assert_near_km(emk_fraud_metres(38700, -9100, 52500, 13400), 2311); /* Lisbon, Berlin */
    assert_near_km(emk_fraud_metres(40700, -74000, 35700, 139700), 10852);
    assert_near_km(emk_fraud_metres(0, 179000, 0, -179000), 222); /* across the date line */
    assert_near_km(emk_fraud_metres(90000, 0, -90000, 0), 20015);
    assert_int_equal(emk_fraud_metres(10000, 10000, 10000, 10000), 0);
}

static void arithmetic_stops_at_the_ends(void **state)
{
    (void)state;
    assert_true(emk_fraud_add(INT64_MAX, 1) == INT64_MAX);
    assert_true(emk_fraud_sub(INT64_MIN, 1) == INT64_MIN);
    assert_true(emk_fraud_mul(INT64_MAX, 2000) == INT64_MAX);
    assert_true(emk_fraud_mul(INT64_MAX, -2000) == INT64_MIN);
    assert_true(emk_fraud_mul(400000, 800) == 320000);
    assert_true(emk_fraud_div(1000, 3000) == 333);
    assert_true(emk_fraud_div(INT64_MAX, 1) == INT64_MAX);
    assert_true(emk_fraud_div(INT64_MIN, -1) == INT64_MAX);
}

int main(void)
{
    return EMK_RUN(emk_rule(siphash_gives_the_published_values),
                   emk_rule(decay_halves_after_each_half_life), emk_rule(square_root_is_the_floor),
                   emk_rule(distances_are_within_one_per_cent),
                   emk_rule(arithmetic_stops_at_the_ends));
}
