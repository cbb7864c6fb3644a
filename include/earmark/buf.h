/* A growable byte buffer with a limit: where calls append what they make.  Not for secrets:
 * growing leaves copies behind. */
#ifndef EARMARK_BUF_H
#define EARMARK_BUF_H

#include <earmark/span.h>
#include <earmark/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct emk_buf {
    uint8_t *p; /* owned */
    size_t len; /* bytes in use */
    size_t cap; /* bytes allocated */
    size_t max; /* never grows beyond this many bytes */
} emk_buf;

/* An empty buffer that will hold at most max bytes.  Allocates nothing. */
void emk_buf_init(emk_buf *b, size_t max);

/* Appends a copy of s.  EMK_E_LIMIT or EMK_E_NO_MEMORY; then b is unchanged. */
emk_status emk_buf_append(emk_buf *b, emk_span s, emk_error *e) EMK_MUST_CHECK;

/* Lends what is in it, until the next call. */
emk_span emk_buf_span(const emk_buf *b);

/* Frees the bytes; the buffer is empty again and may be used. */
void emk_buf_done(emk_buf *b);

#ifdef __cplusplus
}
#endif

#endif
