/* UTF-8, checked as RFC 3629 has it: shortest forms only, no surrogates, up to U+10FFFF. */
#ifndef EMK_CORE_CODEC_UTF8_H
#define EMK_CORE_CODEC_UTF8_H

#include "core/base/span.h"

/* Where a check stands between two bytes; all zero at the start of a character. */
typedef struct emk_utf8 {
    uint8_t need; /* bytes this character still wants */
    uint8_t low;  /* what the next one may be at least ... */
    uint8_t high; /* ... and at most */
} emk_utf8;

/* Takes the next byte; false when no text goes on like this.  A text is complete when
 * need is 0 after its last byte. */
bool emk_utf8_step(emk_utf8 *u, uint8_t byte);

/* True when s is text. */
bool emk_utf8_check(emk_span s);

/* Writes the 1..4 bytes of a code point (not a surrogate, at most 0x10FFFF) to out and
 * returns how many. */
size_t emk_utf8_encode(uint32_t code, uint8_t out[4]);

#endif
