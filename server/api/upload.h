/* The body of a publication, read once from its beginning to its end: the bytes of one file, or a
 * tree: a list of its files, then their bytes one behind the other.  [http 6]
 *
 *     "1024 config.json\n"  "1048576 weights/a.safetensors\n"  "\n"  bytes …
 *
 * A line is a length in decimal, one space, a path; an empty line ends the list.  Paths come in the
 * order of the container (emk_path_compare), none twice.  The whole body is hashed on its way. */
#ifndef EMK_SERVER_API_UPLOAD_H
#define EMK_SERVER_API_UPLOAD_H

#include "core/crypto/hash.h"
#include "core/seal/io.h"
#include "server/api/http.h"

#include <earmark/seal.h>

#define EMK_UPLOAD_STEP     65536u
#define EMK_UPLOAD_LINE_MAX (EMK_PATH_MAX + 21u) /* 19 digits, a space, a path, a line feed */

typedef struct emk_upload {
    emk_call *call;
    emk_sha256_ctx *hash;
    uint8_t *step; /* EMK_UPLOAD_STEP bytes */
    size_t from, n;
    uint64_t seen;  /* bytes of the body so far */
    uint64_t len;   /* of the model */
    uint64_t given; /* of the model so far */
    emk_seal_file *files;
    uint32_t n_files; /* 0: one file */
} emk_upload;

/* Begins to read the call's body, whose length was said.  The list of a tree is read, checked and
 * held against that length.  End with emk_upload_done, also after a failure.  EMK_E_FORMAT,
 * EMK_E_LIMIT, EMK_E_NO_MEMORY; what emk_call_read says. */
emk_status emk_upload_begin(emk_upload *u, emk_call *call, bool tree, emk_error *e) EMK_MUST_CHECK;
/* The next bytes of the model, lent until the next call; none at the end, when the whole body has
 * been seen.  EMK_E_LIMIT when it is shorter or longer than was said. */
emk_status emk_upload_next(emk_upload *u, emk_span *out, emk_error *e) EMK_MUST_CHECK;
/* After the end: SHA-256 of the body. */
emk_status emk_upload_digest(emk_upload *u, uint8_t out[EMK_SHA256_LEN],
                             emk_error *e) EMK_MUST_CHECK;
/* Wipes what is left of it.  A zeroed one is fine. */
void emk_upload_done(emk_upload *u);

#endif
