/* zlib streams (RFC 1950, RFC 1951), for vectors that are stored compressed.
 * Small and slow; this program is the only user. */
#ifndef EMK_TESTS_CONFORMANCE_INFLATE_H
#define EMK_TESTS_CONFORMANCE_INFLATE_H

#include "core/base/buf.h"

/* Appends what `in` holds, up to out's limit.  EMK_E_FORMAT, EMK_E_LIMIT or EMK_E_NO_MEMORY;
 * then out holds what came before. */
emk_status emk_inflate(emk_span in, emk_buf *out, emk_error *e) EMK_MUST_CHECK;

#endif
