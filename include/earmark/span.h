/* Borrowed views of bytes. */
#ifndef EARMARK_SPAN_H
#define EARMARK_SPAN_H

#include <stddef.h>
#include <stdint.h>

/* `len` bytes at `p`, owned by somebody else.  p may be NULL only when len is 0. */
typedef struct emk_span {
    const uint8_t *p;
    size_t len;
} emk_span;

#endif
