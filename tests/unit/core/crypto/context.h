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

/* Generators, 04 || x || y.  [FIPS 186-4 D.1.2] */
#define TEST_P256_G                                                      \
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296" \
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
#define TEST_P384_G                                                      \
    "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38" \
    "5502f25dbf55296c3a545e3872760ab73617de4a96262c6f5d9e98bf9292dc29f8" \
    "f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"

#define NONE      emk_span_of(NULL, 0)
#define SPAN(arr) emk_span_of((arr), sizeof(arr))

static inline void flip(uint8_t *p, size_t bit)
{
    p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
}

#endif
