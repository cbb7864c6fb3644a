/* SHAKE128, from which vectors make their long plaintexts.  Earmark itself has no use for it. */
#ifndef EMK_TESTS_CONFORMANCE_SHAKE128_H
#define EMK_TESTS_CONFORMANCE_SHAKE128_H

#include "core/base/span.h"

/* Fills out with len bytes.  [FIPS 202 6.2] */
void emk_shake128(emk_span in, uint8_t *out, size_t len);

#endif
