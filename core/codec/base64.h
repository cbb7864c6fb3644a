/* Standard base64 with padding [RFC 4648 4], canonical: no white space, no other alphabet, the
 * bits left over zero.  Not constant-time: not for secrets that somebody else could time. */
#ifndef EMK_CORE_CODEC_BASE64_H
#define EMK_CORE_CODEC_BASE64_H

#include "core/base/span.h"
#include "core/base/status.h"

/* Fills out and *len; out may be text.p itself.  EMK_E_FORMAT (where = offset), or EMK_E_LIMIT when
 * cap is too small. */
emk_status emk_base64_decode(emk_span text, uint8_t *out, size_t cap, size_t *len,
                             emk_error *e) EMK_MUST_CHECK;

#endif
