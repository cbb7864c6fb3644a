/* What happened to the keys, for people: the file `changes` in the keys' folder, one line for each
 * thing, appended and synced, never cut.  The HTTP process cannot reach it, so it also tells what
 * the audit log, which that process writes, does not.
 *
 *     2026-01-31T12:00:00Z begins rotate-issuer key=7Zb… by=permit
 *
 * What has no limit of its own (starts, refusals) is left out once the file is EMK_RECORD_FULL
 * bytes long, so that nobody fills the disk with it; changes are always written. */
#ifndef EMK_SERVER_DAEMON_KEYHOLDER_RECORD_H
#define EMK_SERVER_DAEMON_KEYHOLDER_RECORD_H

#include "core/seal/cose.h"

#define EMK_RECORD_FILE "changes"
#define EMK_RECORD_FULL (UINT64_C(4) << 20)

typedef struct emk_record_line {
    const char *what;   /* "begins rotate-issuer" */
    const uint8_t *key; /* EMK_COSE_KID_LEN bytes; NULL: none */
    const char *name;   /* of the other fact, "by"; NULL: none */
    const char *value;
    bool must; /* false: may be left out */
} emk_record_line;

/* EMK_OK: it is durable, or was left out.  EMK_E_IO. */
emk_status emk_record_append(const char *dir, const emk_record_line *line,
                             emk_error *e) EMK_MUST_CHECK;

#endif
