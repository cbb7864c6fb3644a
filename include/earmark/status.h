/* Statuses and errors: what every Earmark call returns and how it explains itself.
 *
 * A function either returns an emk_status or cannot fail.  A status says what the caller
 * can do about it; the emk_error says what was found and where.  Shared rules stand once
 * in docs/api-conventions.md.
 */
#ifndef EARMARK_STATUS_H
#define EARMARK_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EMK_MUST_CHECK __attribute__((warn_unused_result))
#else
#define EMK_MUST_CHECK
#endif

/* The numbers are part of the ABI and of the CLI's exit codes: append, never renumber. */
typedef enum emk_status {
    EMK_OK = 0,
    EMK_E_USAGE = 1,       /* the caller passed something impossible */
    EMK_E_NO_MEMORY = 2,   /* an allocation failed */
    EMK_E_IO = 3,          /* the operating system refused; where = errno */
    EMK_E_FORMAT = 4,      /* bytes from outside are not well-formed; where = offset or value */
    EMK_E_LIMIT = 5,       /* beyond a named limit; where = the value */
    EMK_E_UNSUPPORTED = 6, /* well-formed, but not by this version, build or machine */
    EMK_E_SIGNATURE = 7,   /* not signed by anyone trusted for this */
    EMK_E_SEALED = 8,      /* cannot be opened with the keys held: other device, or damaged */
    EMK_E_POLICY = 9,      /* the policy refuses: expired, opens used up, other user ... */
    EMK_E_USED = 10,       /* something good for one use was used already */
    EMK_E_STALE = 11,      /* older than what this device has already seen: rollback */
    EMK_E_NOT_FOUND = 12,  /* there is no such thing */
    EMK_E_BUSY = 13,       /* somebody else is at it: try again */
    EMK_E_KEY_LOST = 14,   /* the device key is gone: enrol and fetch again */
    EMK_E_CRYPTO = 15      /* libcrypto failed where it must not: report it */
} emk_status;

/* What went wrong, for people and logs.  Owned by the caller, who may pass NULL.
 * `what` is a static text without secrets ("header: wrong magic"); `where` is an offset,
 * a value or an errno, as the status says. */
typedef struct emk_error {
    emk_status status;
    const char *what;
    uint64_t where;
} emk_error;

/* "E_FORMAT" and so on: stable, for logs and machines.  Never NULL. */
const char *emk_status_name(emk_status st);

/* One sentence on what a user can do about `st`.  Never NULL. */
const char *emk_status_fix(emk_status st);

#ifdef __cplusplus
}
#endif

#endif
