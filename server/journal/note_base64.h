/* base64 with padding [RFC 4648 4], canonical: what signed notes are written in. */
#ifndef EMK_SERVER_JOURNAL_NOTE_BASE64_H
#define EMK_SERVER_JOURNAL_NOTE_BASE64_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_NOTE_BASE64_CHARS(n) (((n) + 2) / 3 * 4)

/* Fills out with the text and a terminating zero.  EMK_E_LIMIT when cap is below
 * EMK_NOTE_BASE64_CHARS(in.len) + 1. */
emk_status emk_note_base64_encode(emk_span in, char *out, size_t cap, emk_error *e) EMK_MUST_CHECK;

/* Fills out with exactly len bytes.  EMK_E_FORMAT for any other length or encoding. */
emk_status emk_note_base64_decode(emk_span text, uint8_t *out, size_t len,
                                  emk_error *e) EMK_MUST_CHECK;

#endif
