/* Borrowed views of bytes. */
#ifndef EARMARK_SPAN_H
#define EARMARK_SPAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `len` bytes at `p`, owned by somebody else.  p may be NULL only when len is 0. */
typedef struct emk_span {
    const uint8_t *p;
    size_t len;
} emk_span;

/* `len` bytes at p. */
static inline emk_span emk_span_of(const void *p, size_t len)
{
    emk_span s = {(const uint8_t *)p, len};
    return s;
}

/* A string's characters without its terminating zero. */
static inline emk_span emk_span_str(const char *s)
{
    return emk_span_of(s, s ? strlen(s) : 0);
}

#endif
