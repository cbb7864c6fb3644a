/* Blobs: sealed models that wait some minutes to be fetched, and catalogue models at rest.
 *
 * A blob is written once and then never changes.  Nobody sees one before emk_blob_finish, also
 * not after a kill in between.  Ids are the caller's and random: who knows one may read it, and
 * nothing here lists them.  What is in a blob is opaque; whoever stores a model in the clear
 * does so himself.
 *
 * Statuses of all calls beside their own: EMK_E_USAGE, EMK_E_NO_MEMORY, EMK_E_IO (where = errno,
 * ENOSPC when the disk is full).  Thread rule: any number of threads for the store, one for a
 * writer or a reader. */
#ifndef EMK_SERVER_STORE_BLOBS_H
#define EMK_SERVER_STORE_BLOBS_H

#include "core/base/buf.h"

#include <stdbool.h>

#define EMK_BLOB_ID_MIN 16u /* bytes */
#define EMK_BLOB_ID_MAX 32u

typedef struct emk_blob_info {
    uint64_t len;       /* bytes */
    uint64_t expires_s; /* 0: never */
} emk_blob_info;

typedef struct emk_blob_new {
    emk_span id;
    uint64_t expires_s; /* seconds since 1970; 0: never */
    uint64_t max_len;   /* EMK_E_LIMIT beyond; 0: only the quota counts */
    bool durable;       /* survives a power cut too, once finished: for the catalogue */
} emk_blob_new;

typedef struct emk_blobs_usage {
    uint64_t bytes, quota; /* finished and unfinished; quota 0: none */
    uint64_t n_blobs;      /* finished */
} emk_blobs_usage;

/* An open blob.  Deleting and expiry do not disturb who has it open. */
typedef struct emk_blob {
    emk_blob_info info;
    int fd; /* bytes are at fd from `offset` on, for sendfile; -1: only emk_blob_read */
    uint64_t offset;
    void *handle; /* the back end's */
} emk_blob;

/* What a back end fills in; `self` is its own.  Arguments have been checked. */
typedef struct emk_blobs_ops {
    uint32_t size;    /* sizeof of the back end's table: it can grow */
    const char *name; /* "directory"; static */
    emk_status (*create)(void *self, const emk_blob_new *n, void **writer, emk_error *e);
    emk_status (*append)(void *self, void *writer, emk_span bytes, emk_error *e);
    emk_status (*finish)(void *self, void *writer, emk_error *e);
    void (*abort)(void *self, void *writer);
    emk_status (*open)(void *self, emk_span id, emk_blob *out, emk_error *e);
    emk_status (*read)(void *self, const emk_blob *b, uint64_t off, uint8_t *out, size_t len,
                       emk_error *e);
    void (*close_blob)(void *self, emk_blob *b);
    emk_status (*remove)(void *self, emk_span id, emk_error *e);
    emk_status (*sweep)(void *self, uint64_t now_s, uint64_t *n, emk_error *e);
    void (*usage)(void *self, emk_blobs_usage *out);
    void (*close)(void *self);
} emk_blobs_ops;

/* An open store; copied freely, closed once. */
typedef struct emk_blobs {
    const emk_blobs_ops *ops;
    void *self;
} emk_blobs;

/* A blob being written.  Ends with emk_blob_finish or emk_blob_abort. */
typedef struct emk_blob_writer {
    const emk_blobs *store;
    void *handle;
} emk_blob_writer;

/* Fills *w; keeps `b`.  EMK_E_USED when there is such a blob, or one being written. */
emk_status emk_blob_create(const emk_blobs *b, const emk_blob_new *n, emk_blob_writer *w,
                           emk_error *e) EMK_MUST_CHECK;
/* EMK_E_LIMIT beyond max_len or the quota (where = bytes it would have); then nothing of `bytes`
 * is in it.  After EMK_E_IO only abort is left. */
emk_status emk_blob_append(emk_blob_writer *w, emk_span bytes, emk_error *e) EMK_MUST_CHECK;
/* Shows it to readers, whole.  Whatever it returns, the writer has ended; unless it is EMK_OK
 * there is no blob. */
emk_status emk_blob_finish(emk_blob_writer *w, emk_error *e) EMK_MUST_CHECK;
/* Forgets it.  A writer that has ended, or a zeroed one, is fine. */
void emk_blob_abort(emk_blob_writer *w);

/* Fills *out; end with emk_blob_close.  EMK_E_NOT_FOUND, also when it has expired by now_s;
 * EMK_E_FORMAT when what is stored is damaged. */
emk_status emk_blob_open(const emk_blobs *b, emk_span id, uint64_t now_s, emk_blob *out,
                         emk_error *e) EMK_MUST_CHECK;
/* Fills out with len bytes from off on.  EMK_E_LIMIT beyond its end. */
emk_status emk_blob_read(const emk_blobs *b, const emk_blob *blob, uint64_t off, uint8_t *out,
                         size_t len, emk_error *e) EMK_MUST_CHECK;
/* A zeroed one is fine. */
void emk_blob_close(const emk_blobs *b, emk_blob *blob);

/* EMK_E_NOT_FOUND. */
emk_status emk_blob_remove(const emk_blobs *b, emk_span id, emk_error *e) EMK_MUST_CHECK;

/* Removes what has expired by now_s and fills *n with their number. */
emk_status emk_blobs_sweep(const emk_blobs *b, uint64_t now_s, uint64_t *n,
                           emk_error *e) EMK_MUST_CHECK;

void emk_blobs_usage_get(const emk_blobs *b, emk_blobs_usage *out);

/* A zeroed one is fine.  Writers and readers must have ended. */
void emk_blobs_close(emk_blobs *b);

typedef struct emk_blobs_directory {
    const char *path;     /* a folder of its own, made (mode 0700) unless it is there */
    uint64_t quota_bytes; /* 0: what the disk has */
} emk_blobs_directory;

/* Removes what was not finished and counts the rest.  Fills *out; end with emk_blobs_close.
 * EMK_E_BUSY when another process has this folder open. */
emk_status emk_blobs_open_directory(const emk_blobs_directory *options, emk_blobs *out,
                                    emk_error *e) EMK_MUST_CHECK;

#endif
