/* base64url without padding [RFC 4648 5], canonical: one text for each byte string, so no
 * padding, no white space, no other alphabet, and the bits left over are zero.
 * Not constant-time: not for secrets. */
#ifndef EMK_CORE_CODEC_BASE64URL_H
#define EMK_CORE_CODEC_BASE64URL_H

#include "core/base/span.h"
#include "core/base/status.h"

/* Characters for n bytes, without a terminating zero. */
#define EMK_BASE64URL_CHARS(n) ((n) / 3 * 4 + ((n) % 3 ? (n) % 3 + 1 : 0))

/* Fills out with the text of `in` and a terminating zero, and *len with the characters
 * before it.  EMK_E_LIMIT when cap is below EMK_BASE64URL_CHARS(in.len) + 1. */
emk_status emk_base64url_encode(emk_span in, char *out, size_t cap, size_t *len,
                                emk_error *e) EMK_MUST_CHECK;

/* Fills out with the bytes of `text`, and *len with their number (text.len / 4 * 3 and a
 * few).  EMK_E_FORMAT (where = offset of the character), EMK_E_LIMIT when cap is too small. */
emk_status emk_base64url_decode(emk_span text, uint8_t *out, size_t cap, size_t *len,
                                emk_error *e) EMK_MUST_CHECK;

#endif
