/* Anchors, pools and lists in a directory, with an index that says where each file is from, when
 * it was fetched and how long it is good for:
 *
 *     {"version": 1, "files": [{"name": "x.pem", "role": "android_key", "source": "https://...",
 *                               "fetched_at": "2026-01-02T03:04:05Z", "sha256": "...",
 *                               "max_age_s": 0}]}
 *
 * The index is trusted: who can write it can trust any root.  It is public: <earmark/verify.h>;
 * here is what only this folder and the program need. */
#ifndef EMK_SERVER_ATTEST_ROOTS_H
#define EMK_SERVER_ATTEST_ROOTS_H

#include "server/attest/attest.h"
#include "server/attest/bundle.h"
#include "server/attest/revocation.h"

#define EMK_ROOTS_INDEX      "index.json"
#define EMK_ROOTS_INDEX_MAX  65536u /* bytes */
#define EMK_ROOTS_FILES_MAX  64u
#define EMK_ROOTS_NAME_MAX   128u
#define EMK_ROOTS_SOURCE_MAX 512u
#define EMK_ROOTS_STATUS_DAYS                                           \
    2 /* what Google's Cache-Control allows is a day; one more for them \
       */

/* One row of the index. */
typedef struct emk_roots_row {
    char name[EMK_ROOTS_NAME_MAX]; /* a plain file name */
    char source[EMK_ROOTS_SOURCE_MAX];
    emk_attest_role role;
    int64_t fetched_s;
    int64_t max_age_s;
    uint8_t sha256[32];
    size_t n_entries; /* filled when the file was read */
} emk_roots_row;

typedef struct emk_roots_index {
    emk_roots_row row[EMK_ROOTS_FILES_MAX];
    size_t n;
} emk_roots_index;

/* Reads and writes the text of an index.  EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED for a later
 * version, EMK_E_NO_MEMORY. */
emk_status emk_roots_index_read(emk_span json, emk_roots_index *out, emk_error *e) EMK_MUST_CHECK;
emk_status emk_roots_index_write(const emk_roots_index *index, emk_buf *out,
                                 emk_error *e) EMK_MUST_CHECK;

/* Reads the contents of a file of that role, to see that they are what they should be, and fills
 * *n with certificates or serials in it.  EMK_E_FORMAT (also for none), and so on. */
emk_status emk_roots_check_file(emk_attest_role role, emk_span file, size_t *n,
                                emk_error *e) EMK_MUST_CHECK;

/* A name that files of this role usually have, found by `name`; false when it is unknown. */
bool emk_roots_role_of_name(const char *name, emk_attest_role *role);
/* How long a file of this role is good for unless somebody says; 0: for ever. */
int64_t emk_roots_default_age(emk_attest_role role);

/* The same as emk_attest_roots_open for a directory without an index: files whose names are known
 * are taken, times are unknown (0), and nothing grows old.  For tools; a server wants an index. */
emk_status emk_attest_roots_open_plain(const emk_crypto *c, const char *dir, emk_attest_roots **out,
                                       emk_error *e) EMK_MUST_CHECK;

/* Lends the certificates of a role; empty where there are none. */
const emk_bundle *emk_attest_roots_bundle(const emk_attest_roots *r, emk_attest_role role);
/* Lends what remembers which issuers' certificates verified: makers sign with the same few. */
emk_x509_memo *emk_attest_roots_memo(const emk_attest_roots *r);
/* Lends the revocation list; NULL when there is none. */
const emk_revocation *emk_attest_roots_status(const emk_attest_roots *r);

#endif
