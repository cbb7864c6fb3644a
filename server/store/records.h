/* Durable records: the users, devices, tickets, bans … of the server, as opaque bytes.
 *
 * A record is (kind, id) → value, with an owner to find it by and a version to change it by.
 * Kinds are small numbers that the caller declares; what is in a value only the caller knows.
 * A batch of changes is done whole or not at all, and once emk_records_commit has returned it
 * survives a killed process and a power cut.  Batches that wait at the same time share one
 * transaction.
 *
 * The store has no clock: a record whose time has come stays until emk_records_sweep.  Who
 * cares asks emk_record_is_expired.
 *
 * Statuses of all calls beside their own: EMK_E_USAGE for arguments that make no sense,
 * EMK_E_LIMIT beyond a limit below, EMK_E_BUSY when another process kept the store locked for
 * too long, EMK_E_IO when it cannot be read or written (where = errno, ENOSPC when it is full),
 * EMK_E_FORMAT when it is damaged, EMK_E_NO_MEMORY.
 *
 * Thread rule: one store may be used by any number of threads. */
#ifndef EMK_SERVER_STORE_RECORDS_H
#define EMK_SERVER_STORE_RECORDS_H

#include "core/base/buf.h"

#define EMK_RECORD_ID_MAX    64u         /* bytes; at least 1 */
#define EMK_RECORD_OWNER_MAX 64u         /* bytes; 0: none */
#define EMK_RECORD_VALUE_MAX 65536u      /* bytes */
#define EMK_RECORD_BATCH_MAX 64u         /* changes in one batch */
#define EMK_RECORD_SCAN_MAX  1000u       /* records of one scan */
#define EMK_RECORD_KIND_MAX  0x7FFFFFFFu /* largest kind; 0 is none */

/* Instead of a version: whatever is there, or nothing. */
#define EMK_RECORD_ANY    UINT64_MAX
#define EMK_RECORD_ABSENT UINT64_C(0)

/* What a scan shows of a record (emk_record is a public type: earmark/policy.h). */
typedef struct emk_record_view {
    uint32_t kind;
    emk_span id;
    emk_span owner;
    emk_span value;
    uint64_t version;   /* of the store's one sequence: never the same twice, also not after a
                           delete; all records put by one batch have the same */
    uint64_t expires_s; /* 0: never */
} emk_record_view;

/* What emk_records_get tells beside the value. */
typedef struct emk_record_info {
    uint64_t version;
    uint64_t expires_s;
    uint8_t owner[EMK_RECORD_OWNER_MAX];
    size_t owner_len;
} emk_record_info;

typedef enum emk_record_op {
    EMK_RECORD_PUT = 1, /* new, or in place of what is there */
    EMK_RECORD_DELETE,  /* one that is not there is fine, unless `expect` says otherwise */
    EMK_RECORD_CHECK    /* changes nothing, but the batch fails unless `expect` holds */
} emk_record_op;

typedef struct emk_record_change {
    emk_record_op op;
    uint32_t kind;
    emk_span id;
    uint64_t expect; /* a version, EMK_RECORD_ANY or EMK_RECORD_ABSENT */
    emk_span owner;  /* PUT; the rest too */
    emk_span value;
    uint64_t expires_s; /* 0: never */
} emk_record_change;

typedef struct emk_record_scan {
    uint32_t kind;
    emk_span owner; /* empty: all */
    emk_span after; /* begins behind this id; empty: at the first */
    size_t limit;   /* 1..EMK_RECORD_SCAN_MAX */
} emk_record_scan;

/* Borrows the record for the call and must not use the store; a status other than EMK_OK ends
 * the scan with it. */
typedef emk_status (*emk_record_fn)(void *self, const emk_record_view *r, emk_error *e);

/* What a back end fills in; `self` is its own.  Arguments have been checked. */
typedef struct emk_records_ops {
    uint32_t size;    /* sizeof of the back end's table: it can grow */
    const char *name; /* "sqlite"; static */
    emk_status (*get)(void *self, uint32_t kind, emk_span id, emk_record_info *info, emk_buf *value,
                      emk_error *e);
    emk_status (*commit)(void *self, const emk_record_change *changes, size_t n, uint64_t *version,
                         emk_error *e);
    emk_status (*scan)(void *self, const emk_record_scan *scan, emk_record_fn fn, void *fn_self,
                       emk_error *e);
    emk_status (*count)(void *self, uint32_t kind, emk_span owner, uint64_t *n, emk_error *e);
    emk_status (*sweep)(void *self, uint64_t now_s, uint64_t *n, emk_error *e);
    emk_status (*scrub)(void *self, emk_error *e); /* NULL: deleted is gone at once */
    void (*close)(void *self);
} emk_records_ops;

/* An open store; copied freely, closed once. */
typedef struct emk_records {
    const emk_records_ops *ops;
    void *self;
} emk_records;

/* Appends the value to *value (NULL: not wanted) and fills *info (NULL: not wanted).
 * EMK_E_NOT_FOUND; EMK_E_LIMIT when the value does not fit value->max. */
emk_status emk_records_get(const emk_records *r, uint32_t kind, emk_span id, emk_record_info *info,
                           emk_buf *value, emk_error *e) EMK_MUST_CHECK;

/* Does all n (1..EMK_RECORD_BATCH_MAX) changes or none; durable when it returns EMK_OK, and then
 * *version (NULL: not wanted) is what the records put have.  A batch names each record at most
 * once (EMK_E_USAGE).  EMK_E_STALE when an `expect` does not hold; where = the change's index.
 * After EMK_E_IO it may have happened or not, as after a lost answer: read before you repeat. */
emk_status emk_records_commit(const emk_records *r, const emk_record_change *changes, size_t n,
                              uint64_t *version, emk_error *e) EMK_MUST_CHECK;

/* Calls fn for records of one kind in the order of their ids' bytes. */
emk_status emk_records_scan(const emk_records *r, const emk_record_scan *scan, emk_record_fn fn,
                            void *self, emk_error *e) EMK_MUST_CHECK;

/* Fills *n with the records of a kind, of one owner unless that is empty. */
emk_status emk_records_count(const emk_records *r, uint32_t kind, emk_span owner, uint64_t *n,
                             emk_error *e) EMK_MUST_CHECK;

/* Deletes what has expired by now_s and fills *n with their number. */
emk_status emk_records_sweep(const emk_records *r, uint64_t now_s, uint64_t *n,
                             emk_error *e) EMK_MUST_CHECK;

/* Overwrites what was deleted, as far as the back end can: after the erasure of a key. */
emk_status emk_records_scrub(const emk_records *r, emk_error *e) EMK_MUST_CHECK;

/* Waits for batches on their way.  No other thread may use the store any more.  A zeroed
 * emk_records is fine. */
void emk_records_close(emk_records *r);

static inline int emk_record_is_expired(uint64_t expires_s, uint64_t now_s)
{
    return expires_s != 0 && expires_s <= now_s;
}

#define EMK_RECORDS_SCHEMA 1u /* of the SQLite back end; raised with each migration */

typedef struct emk_records_sqlite {
    const char *path; /* the database; made (mode 0600) unless it is there */
    uint32_t busy_ms; /* how long to wait for another process; 0: 2000 */
    uint32_t readers; /* connections for reading, 1..64; 0: 4 */
    int check;        /* not 0: look through the whole file first (EMK_E_FORMAT): 1 s a GB or so */
    int tidies;       /* not 0: a thread carries the log into the database, so that commits do not
                       * wait for that; the process must not fork any more */
} emk_records_sqlite;

/* Opens the SQLite back end and brings its schema up to date.  Fills *out; end with
 * emk_records_close.  EMK_E_UNSUPPORTED when a newer version of Earmark made it (where = its
 * schema), EMK_E_FORMAT when the file is something else. */
emk_status emk_records_open_sqlite(const emk_records_sqlite *options, emk_records *out,
                                   emk_error *e) EMK_MUST_CHECK;

/* Opens an empty store in this process's memory, for tests and for `--dev` without a folder: it
 * is as durable as the process.  Fills *out; end with emk_records_close. */
emk_status emk_records_open_memory(emk_records *out, emk_error *e) EMK_MUST_CHECK;

#endif
