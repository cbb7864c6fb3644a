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

#define EMK_FILES_MAX 512u /* in a model of several */
#define EMK_PATH_MAX  255u /* bytes of the name of one */

/* Where a model or a sealed file is read from. */
typedef struct emk_source {
    uint64_t len;
    const uint8_t *p; /* borrowed; NULL: use read */
    emk_status (*read)(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e);
    void *self;
} emk_source;

/* Where one is written to. */
typedef struct emk_sink {
    uint8_t *p; /* borrowed, `cap` bytes; NULL: use write */
    uint64_t cap;
    emk_status (*write)(void *self, uint64_t off, const uint8_t *p, size_t len, emk_error *e);
    void *self;
} emk_sink;

/* Bytes in memory, which stay the caller's. */
emk_source emk_source_from_span(emk_span s);
/* fd stays the caller's; *fd must outlive the source.  The length is the file's now.  EMK_E_IO. */
emk_status emk_source_from_fd(const int *fd, emk_source *out, emk_error *e) EMK_MUST_CHECK;

/* Into cap bytes at p: writing beyond them is EMK_E_USAGE. */
emk_sink emk_sink_from_memory(uint8_t *p, uint64_t cap);
/* Into a file; *fd must outlive the sink. */
emk_sink emk_sink_from_fd(const int *fd);

/* One file of a model of several.  The path is borrowed.  [container 6.5] */
typedef struct emk_file_entry {
    emk_span path;
    uint64_t offset; /* in the model */
    uint64_t length;
} emk_file_entry;

/* Told from time to time how far a long call is.  Called from one thread at a time. */
typedef struct emk_progress {
    void (*fn)(void *self, uint64_t done, uint64_t total); /* NULL: nobody asks */
    void *self;
} emk_progress;

#ifdef __cplusplus
}
#endif

#endif
