/* What the fuzzers of JOSE share. */
#ifndef EMK_FUZZ_JOSE_COMMON_H
#define EMK_FUZZ_JOSE_COMMON_H

#include "core/crypto/crypto.h"

static inline const emk_crypto *jose_crypto(void)
{
    static emk_crypto *c;

    if (!c && emk_crypto_new(NULL, NULL, &c, NULL) != EMK_OK)
        __builtin_trap();
    return c;
}

#endif
