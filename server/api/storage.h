/* Model files at rest: encrypted blobs that only whoever has their key can read, chunk by
 * chunk, at any place.  [storage 2]
 *
 * A stored file is one part of an object (the model, or its plan) under the object's key: the
 * keyholder's for the catalogue (emk_keyholder_storage_new), a random one for a model that stays
 * for one request.  Nobody sees a file before it was finished, and a changed, cut or swapped one is
 * not opened.
 *
 * Statuses beside their own: what the blob store says, but a quota that is used up is EMK_E_IO with
 * ENOSPC like a full disk; EMK_E_CRYPTO, EMK_E_NO_MEMORY.  Thread rule: one object, one thread. */
#ifndef EMK_SERVER_API_STORAGE_H
#define EMK_SERVER_API_STORAGE_H

#include "core/crypto/crypto.h"
#include "core/seal/io.h"
#include "server/store/blobs.h"

#include <stdbool.h>

#define EMK_STORAGE_OBJECT_LEN 32u
#define EMK_STORAGE_KEY_LEN    32u

typedef enum emk_storage_part { EMK_STORAGE_MODEL = 1, EMK_STORAGE_PLAN = 2 } emk_storage_part;

/* All borrowed for the call, crypto and blobs until the writer or reader has ended. */
typedef struct emk_storage_file {
    const emk_crypto *crypto;
    const emk_blobs *blobs;
    const uint8_t *object; /* EMK_STORAGE_OBJECT_LEN random bytes */
    const uint8_t *key;    /* EMK_STORAGE_KEY_LEN bytes; the caller wipes */
    emk_storage_part part;
} emk_storage_file;

typedef struct emk_storage_writer emk_storage_writer;

typedef struct emk_storage_new {
    emk_storage_file file;
    uint64_t len;       /* of the plain bytes; at least 1, at most EMK_MODEL_LEN_MAX */
    uint64_t expires_s; /* 0: never, and then it survives a power cut once finished */
} emk_storage_new;

/* Gives a writer; end with emk_storage_finish or emk_storage_abort.  EMK_E_USAGE for a length that
 * is out of bounds, EMK_E_USED when there is such a file. */
emk_status emk_storage_create(const emk_storage_new *n, emk_storage_writer **out,
                              emk_error *e) EMK_MUST_CHECK;
/* EMK_E_LIMIT beyond len. */
emk_status emk_storage_append(emk_storage_writer *w, emk_span plain, emk_error *e) EMK_MUST_CHECK;
/* Shows it to readers.  EMK_E_USAGE unless len bytes came.  Whatever it returns, the writer is
 * freed; unless it is EMK_OK there is no file. */
emk_status emk_storage_finish(emk_storage_writer *w, emk_error *e) EMK_MUST_CHECK;
/* Forgets it.  NULL is fine. */
void emk_storage_abort(emk_storage_writer *w);

typedef struct emk_storage_reader emk_storage_reader;

/* Gives a reader; free with emk_storage_close.  EMK_E_NOT_FOUND; EMK_E_SEALED for a file of another
 * object, key or part. */
emk_status emk_storage_open(const emk_storage_file *f, uint64_t now_s, emk_storage_reader **out,
                            emk_error *e) EMK_MUST_CHECK;
uint64_t emk_storage_len(const emk_storage_reader *r);
/* EMK_E_SEALED for bytes that are not what was written, EMK_E_LIMIT beyond the end. */
emk_status emk_storage_read(emk_storage_reader *r, uint64_t off, uint8_t *out, size_t len,
                            emk_error *e) EMK_MUST_CHECK;
/* A source over the reader, for one thread. */
emk_source emk_storage_source(emk_storage_reader *r);
/* Wipes and frees.  NULL is fine. */
void emk_storage_close(emk_storage_reader *r);

/* EMK_OK also when there is none. */
emk_status emk_storage_remove(const emk_storage_file *f, emk_error *e) EMK_MUST_CHECK;

#endif
