/* One emk_crypto for a whole test program, and small conveniences. */
#ifndef EMK_TESTS_UNIT_CORE_CRYPTO_CONTEXT_H
#define EMK_TESTS_UNIT_CORE_CRYPTO_CONTEXT_H

#include "core/crypto/crypto.h"
#include "tests/support/test.h"

static inline emk_crypto *test_crypto(void)
{
    static emk_crypto *c;
    emk_error e;

    if (!c)
        assert_ok(emk_crypto_new(NULL, NULL, &c, &e), &e);
    return c;
}

#define NONE      emk_span_of(NULL, 0)
#define SPAN(arr) emk_span_of((arr), sizeof(arr))

static inline void flip(uint8_t *p, size_t bit)
{
    p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
}

#endif
