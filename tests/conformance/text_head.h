/* Vector files with a text head: lines "key: value", an empty line, then the body. */
#ifndef EMK_TESTS_CONFORMANCE_TEXT_HEAD_H
#define EMK_TESTS_CONFORMANCE_TEXT_HEAD_H

#include "tests/conformance/vec.h"

#define EMK_HEAD_LINES_MAX 64u
#define EMK_HEAD_MAX       65536u /* bytes of all lines */

typedef struct emk_head_line {
    emk_span key, value;
} emk_head_line;

typedef struct emk_text_head {
    emk_head_line line[EMK_HEAD_LINES_MAX];
    size_t n;
    emk_span body; /* as stored */
} emk_text_head;

/* Reads the lines; false when there is no such head.  All lent from `file`. */
bool emk_head_read(emk_span file, emk_text_head *out);

/* The value of the first line with that key; false (and empty) when there is none. */
bool emk_head_get(const emk_text_head *h, const char *key, emk_span *out);
bool emk_head_is(const emk_text_head *h, const char *key, const char *value);

/* The value as a decimal number, or as hex.  Malformed, and 0 or empty, where it is not that. */
uint64_t emk_head_number(emk_vec *v, const emk_text_head *h, const char *key);
emk_span emk_head_hex(emk_vec *v, const emk_text_head *h, const char *key);
bool emk_text_number(emk_span text, uint64_t *out);

/* The body, inflated where the head says "compressed: zlib".  Malformed where that fails. */
emk_span emk_head_body(emk_vec *v, const emk_text_head *h);

#endif
