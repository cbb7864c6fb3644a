/* Where bytes come from and where they go: memory or a file, at offsets, from several threads.
 *
 * When `p` is set the bytes are in memory and are used in place; otherwise the function is
 * called, and must be safe to call from several threads at once. */
#ifndef EARMARK_IO_H
#define EARMARK_IO_H

#include <earmark/span.h>
#include <earmark/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_SEAL_THREADS_MAX 6u /* keeps the memory of sealing and accepting under 32 MiB */

typedef struct emk_source {
    uint64_t len;
    const uint8_t *p; /* borrowed; NULL: use read */
    emk_status (*read)(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e);
    void *self;
} emk_source;

typedef struct emk_sink {
    uint8_t *p; /* borrowed, `cap` bytes; NULL: use write */
    uint64_t cap;
    emk_status (*write)(void *self, uint64_t off, const uint8_t *p, size_t len, emk_error *e);
    void *self;
} emk_sink;

emk_source emk_source_from_span(emk_span s);
/* fd stays the caller's; *fd must outlive the source.  Length from the file now. */
emk_status emk_source_from_fd(const int *fd, emk_source *out, emk_error *e) EMK_MUST_CHECK;
emk_sink emk_sink_from_memory(uint8_t *p, uint64_t cap);
emk_sink emk_sink_from_fd(const int *fd);

/* Told from time to time how far a long call is.  Called from one thread at a time. */
typedef struct emk_progress {
    void (*fn)(void *self, uint64_t done, uint64_t total); /* NULL: nobody asks */
    void *self;
} emk_progress;

#ifdef __cplusplus
}
#endif

#endif
