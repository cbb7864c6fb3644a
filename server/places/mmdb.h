/* One MaxMind database in memory: an address leads to a record, a path of keys to a value of it.
 *
 * The file is copied into an anonymous one before the library maps it: whoever cuts the original
 * short would else end the server with SIGBUS, and what was checked would not be what is read.
 *
 * Built without libmaxminddb, opening is EMK_E_UNSUPPORTED and nothing else is ever called.
 * Thread rule: an open database is immutable and may be shared. */
#ifndef EMK_SERVER_PLACES_MMDB_H
#define EMK_SERVER_PLACES_MMDB_H

#include "core/base/span.h"
#include "server/gate/address.h"

#define EMK_MMDB_FILE_MAX  (UINT64_C(512) << 20) /* bytes; cities of the world are 130 MB */
#define EMK_MMDB_PATH_KEYS 3u

typedef struct emk_mmdb emk_mmdb;

/* A place in an open database. */
typedef struct emk_mmdb_record {
    const emk_mmdb *db;
    uint32_t at;
} emk_mmdb_record;

/* Keys, NULL behind the last: {"country", "iso_code"}. */
typedef struct emk_mmdb_path {
    const char *keys[EMK_MMDB_PATH_KEYS];
} emk_mmdb_path;

/* Gives the open database; free with emk_mmdb_free.  EMK_E_NOT_FOUND, EMK_E_USAGE (not a regular
 * file), EMK_E_LIMIT, EMK_E_FORMAT, EMK_E_IO, EMK_E_NO_MEMORY, EMK_E_UNSUPPORTED. */
emk_status emk_mmdb_open(const char *path, emk_mmdb **out, emk_error *e) EMK_MUST_CHECK;
/* The same from memory, borrowed for the call. */
emk_status emk_mmdb_read(emk_span file, emk_mmdb **out, emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_mmdb_free(emk_mmdb *db);

/* What its metadata say: seconds since 1970, and "GeoLite2-City" (lent). */
uint64_t emk_mmdb_built(const emk_mmdb *db);
const char *emk_mmdb_type(const emk_mmdb *db);

/* The record of this address.  EMK_E_NOT_FOUND: it has none.  EMK_E_FORMAT or EMK_E_LIMIT: the
 * database is damaged there. */
emk_status emk_mmdb_find(const emk_mmdb *db, const emk_address *a, emk_mmdb_record *out,
                         emk_error *e) EMK_MUST_CHECK;

/* A value of a record that was found; false when there is none, or of another kind.  The text is
 * lent and not UTF-8 that anybody has checked.  A number is any of the format's; it may be NaN. */
bool emk_mmdb_text(const emk_mmdb_record *r, const emk_mmdb_path *path, emk_span *out);
bool emk_mmdb_number(const emk_mmdb_record *r, const emk_mmdb_path *path, double *out);
bool emk_mmdb_flag(const emk_mmdb_record *r, const emk_mmdb_path *path, bool *out);

#endif
