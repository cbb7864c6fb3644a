/* How improbable a count is, in bits, by Chernoff's bounds: never more than the truth but for the
 * last digits of logarithms.  Integers alone, so that all machines agree. */
#include "server/fraud/campaign_internal.h"

#define Q        16u
#define LOG2_E   94548 /* log2(e) in Q16 */
#define NANO     UINT64_C(1000000000)
#define NANO_MAX (UINT64_C(100000000) * NANO)
#define MILLI    1000
#define MILLION  1000000

uint32_t campaign_log2_q16(uint64_t v)
{
    uint32_t whole = 63u - (uint32_t)__builtin_clzll(v), out = whole << Q;
    uint64_t x = whole > 31 ? v >> (whole - 31) : v << (31 - whole); /* 1 .. 2 in Q31 */

    for (uint32_t bit = 1u << (Q - 1); bit > 0; bit >>= 1) {
        x = x * x >> 31;
        if (x >> 32) {
            x >>= 1;
            out |= bit;
        }
    }
    return out;
}

static uint32_t whole_bits(int64_t q)
{
    return q <= 0 ? 0 : (uint32_t)(q >> Q);
}

/* n * log2(n / expected), the latter being a/b */
static int64_t weigh(uint64_t n, uint64_t a, uint64_t b)
{
    return n == 0 ? 0
                  : (int64_t)n * ((int64_t)campaign_log2_q16(n) + campaign_log2_q16(b) -
                                  (int64_t)campaign_log2_q16(a));
}

uint32_t campaign_bits_share(uint64_t k, uint64_t n, uint64_t a, uint64_t b)
{
    if (a == 0 || a >= b || k > n || k * b <= n * a)
        return 0;
    return whole_bits(weigh(k, n * a, b) + weigh(n - k, n * (b - a), b));
}

static int64_t shift(uint64_t high, uint64_t low)
{
    return (int64_t)((high - low) / MILLI) * LOG2_E / MILLION;
}

uint32_t campaign_bits_many(uint64_t k, uint64_t nano)
{
    if (nano == 0 || nano > NANO_MAX || k > NANO_MAX / NANO || k * NANO <= nano)
        return 0;
    return whole_bits(weigh(k, nano, NANO) - shift(k * NANO, nano));
}

uint32_t campaign_bits_few(uint64_t k, uint64_t nano)
{
    if (nano > NANO_MAX || k >= NANO_MAX / NANO || k * NANO >= nano)
        return 0;
    return whole_bits(shift(nano, k * NANO) + weigh(k, nano, NANO));
}
