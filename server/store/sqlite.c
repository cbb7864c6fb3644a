/* Records in SQLite.  The only file that knows it.
 *
 * State: one connection that writes, a few that read, each used by one thread at a time.  Who
 * commits queues its batch (core/base/turns.h); whoever leads takes all that is queued into one
 * transaction.  A batch whose expectations fail changes nothing and disturbs no other; a failure
 * of SQLite fails the whole transaction.  Carrying the log over into the database is a thread's
 * work where there is one; commits wait only for what is left of it when the log has grown long, so
 * that it can begin anew.  WAL with synchronous=FULL: the log is synced before COMMIT returns. */
#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "core/base/status.h"
#include "core/base/turns.h"
#include "server/store/records.h"

#include <sqlite3.h>
#include <stdatomic.h>

#define APPLICATION_ID  0x454D4B31 /* "EMK1": another program's database is not touched */
#define BUSY_MS_DEFAULT 2000u
#define READERS_DEFAULT 4u
#define READERS_MAX     64u
#define GROUP_MAX       256u /* batches in one transaction: bounds how long a reader's view ages */
#define SWEEP_STEP      500  /* records deleted before others may write */
#define TIDY_PAGES      4000 /* more of the log: time to carry them over */
/* … and to let it begin anew.  Bounds the time to open it after a kill, too: 135 to 155 MB are read
 * through in 0.05 to 0.2 s (tests/server/device_test.py Killed --kills), of a second that a restart
 * may take. */
#define TIDY_PAGES_MAX 32768
#define TIDY_PASSES    5  /* before that, so that who leads is left with little */
#define TIDY_REST      64 /* pages that are little */

/* One step for each schema version; never changed, only appended. */
static const char *const MIGRATIONS[EMK_RECORDS_SCHEMA] = {
    "CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, number INTEGER NOT NULL);"
    "INSERT INTO meta VALUES ('sequence', 0);"
    "CREATE TABLE record (kind INTEGER NOT NULL, id BLOB NOT NULL, owner BLOB NOT NULL,"
    " value BLOB NOT NULL, version INTEGER NOT NULL, expires INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX record_id ON record (kind, id);"
    "CREATE INDEX record_owner ON record (kind, owner, id) WHERE owner <> x'';"
    "CREATE INDEX record_expires ON record (expires) WHERE expires > 0;",
};

enum { READ_GET, READ_SCAN, READ_SCAN_OWNER, READ_COUNT, READ_COUNT_OWNER, N_READ };
static const char *const READ_SQL[N_READ] = {
    "SELECT value, version, expires, owner FROM record WHERE kind = ?1 AND id = ?2",
    "SELECT value, version, expires, owner, id FROM record WHERE kind = ?1 AND id > ?2"
    " ORDER BY id LIMIT ?3",
    "SELECT value, version, expires, owner, id FROM record WHERE kind = ?1 AND id > ?2"
    " AND owner = ?4 AND owner <> x'' ORDER BY id LIMIT ?3",
    "SELECT count(*) FROM record WHERE kind = ?1",
    "SELECT count(*) FROM record WHERE kind = ?1 AND owner = ?4 AND owner <> x''",
};

enum {
    WRITE_BEGIN,
    WRITE_COMMIT,
    WRITE_ROLLBACK,
    WRITE_SEQUENCE,
    WRITE_SET_SEQUENCE,
    WRITE_VERSION,
    WRITE_PUT,
    WRITE_DELETE,
    WRITE_SWEEP,
    N_WRITE
};
static const char *const WRITE_SQL[N_WRITE] = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SELECT number FROM meta WHERE name = 'sequence'",
    "UPDATE meta SET number = ?1 WHERE name = 'sequence'",
    "SELECT version FROM record WHERE kind = ?1 AND id = ?2",
    ("INSERT INTO record (kind, id, owner, value, version, expires)"
     " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (kind, id) DO UPDATE SET"
     " owner = ?3, value = ?4, version = ?5, expires = ?6"),
    "DELETE FROM record WHERE kind = ?1 AND id = ?2",
    ("DELETE FROM record WHERE rowid IN"
     " (SELECT rowid FROM record WHERE expires > 0 AND expires <= ?1 LIMIT ?2)"),
};

#define N_STATEMENTS_MAX N_WRITE

typedef struct connection {
    sqlite3 *db;
    sqlite3_stmt *statement[N_STATEMENTS_MAX];
    struct connection *next; /* free readers */
} connection;

/* A batch on its way; on the stack of who commits it. */
typedef struct batch {
    emk_turn turn; /* first */
    const emk_record_change *changes;
    size_t n;
    uint64_t version;
    emk_status status;
    emk_error error;
} batch;

typedef struct store {
    emk_lock *writes; /* of the turns */
    emk_turns turns;
    connection writer; /* of who leads */
    emk_lock *reads;   /* over idle */
    connection *idle;
    connection readers[READERS_MAX];
    uint32_t n_readers;
    int pages,
        told; /* of the log: after the last commit, when the thread was woken; of who leads */
    emk_thread *thread; /* NULL: commits carry over themselves */
    emk_lock *carries;  /* one carries over at a time; before `tidy`, behind the turns */
    connection carrier; /* under `carries` */
    emk_lock *tidy;     /* over the next two */
    bool due, ending;
    atomic_bool is_long; /* nearly all of it was carried over: the rest now, and it begins anew */
} store;

static emk_status map_error(sqlite3 *db, int rc, emk_error *e)
{
    uint64_t err = db ? (uint64_t)sqlite3_system_errno(db) : 0;

    switch (rc & 0xFF) {
    case SQLITE_NOMEM:
        return emk_fail(e, EMK_E_NO_MEMORY, "records: memory of SQLite", 0);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return emk_fail(e, EMK_E_BUSY, "records: the database is locked by another process", 0);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return emk_fail(e, EMK_E_FORMAT, "records: the database is damaged", (uint64_t)rc);
    case SQLITE_FULL:
        return emk_fail(e, EMK_E_IO, "records: no space left for the database", ENOSPC);
    case SQLITE_READONLY:
        return emk_fail(e, EMK_E_IO, "records: the database cannot be written", EACCES);
    default:
        return emk_fail(e, EMK_E_IO, "records: the database cannot be read or written",
                        err ? err : EIO);
    }
}

/* ---- connections ---- */

static emk_status exec(sqlite3 *db, const char *sql, emk_error *e)
{
    int rc = emk_fault_hit(EMK_FAULT_IO) ? SQLITE_IOERR : sqlite3_exec(db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? EMK_OK : map_error(db, rc, e);
}

/* The one number that a statement gives. */
static emk_status ask_number(sqlite3 *db, const char *sql, int64_t *out, emk_error *e)
{
    sqlite3_stmt *s = NULL;
    int rc = emk_fault_hit(EMK_FAULT_IO) ? SQLITE_IOERR : sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    emk_status st = EMK_OK;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(s, 0);
    else
        st = map_error(db, rc, e);
    sqlite3_finalize(s);
    return st;
}

static void connection_done(connection *c)
{
    for (size_t i = 0; i < N_STATEMENTS_MAX; i++)
        sqlite3_finalize(c->statement[i]);
    sqlite3_close(c->db);
    *c = (connection){0};
}

static emk_status connection_init(connection *c, const char *path, uint32_t busy_ms, emk_error *e)
{
    int rc = SQLITE_IOERR;
    emk_status st;

    if (!emk_fault_hit(EMK_FAULT_IO))
        rc = sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return map_error(c->db, rc, e);
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, (int)busy_ms);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    /* secure_delete: what was deleted may have been a key. */
    st = exec(c->db,
              "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;"
              "PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-4096;",
              e);
    return st;
}

static emk_status prepare(connection *c, const char *const *sql, size_t n, emk_error *e)
{
    for (size_t i = 0; i < n; i++) {
        int rc = sqlite3_prepare_v3(c->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &c->statement[i],
                                    NULL);

        if (rc != SQLITE_OK)
            return map_error(c->db, rc, e);
    }
    return EMK_OK;
}

static int step(sqlite3_stmt *s)
{
    return emk_fault_hit(EMK_FAULT_IO) ? SQLITE_IOERR : sqlite3_step(s);
}

/* For statements without an answer. */
static emk_status run(connection *c, size_t which, emk_error *e)
{
    sqlite3_stmt *s = c->statement[which];
    int rc = step(s);

    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return rc == SQLITE_DONE ? EMK_OK : map_error(c->db, rc, e);
}

/* SQLITE_STATIC: bound bytes stay until the statement is reset, within the same call.  An empty
 * span is an empty blob, not NULL. */
static void bind(sqlite3_stmt *s, int at, emk_span bytes)
{
    sqlite3_bind_blob(s, at, bytes.len ? (const void *)bytes.p : "", (int)bytes.len, SQLITE_STATIC);
}

static void bind_number(sqlite3_stmt *s, int at, uint64_t v)
{
    sqlite3_bind_int64(s, at, (sqlite3_int64)v);
}

static emk_span column(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_blob(s, at);

    return emk_span_of(p, p ? (size_t)sqlite3_column_bytes(s, at) : 0);
}

/* ---- reading ---- */

static connection *take_reader(store *t)
{
    connection *c;

    emk_lock_take(t->reads);
    while (!t->idle)
        emk_lock_wait(t->reads);
    c = t->idle;
    t->idle = c->next;
    emk_lock_give(t->reads);
    return c;
}

static void give_reader(store *t, connection *c, sqlite3_stmt *s)
{
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    emk_lock_take(t->reads);
    c->next = t->idle;
    t->idle = c;
    emk_lock_wake_one(t->reads);
    emk_lock_give(t->reads);
}

/* Another program may have written into the file: limits hold for what is read, too. */
static emk_status read_row(sqlite3_stmt *s, emk_record_view *r, emk_error *e)
{
    r->value = column(s, 0);
    r->version = (uint64_t)sqlite3_column_int64(s, 1);
    r->expires_s = (uint64_t)sqlite3_column_int64(s, 2);
    r->owner = column(s, 3);
    if (r->value.len > EMK_RECORD_VALUE_MAX || r->owner.len > EMK_RECORD_OWNER_MAX)
        return emk_fail(e, EMK_E_FORMAT, "records: the database is damaged", 0);
    return EMK_OK;
}

static emk_status give_row(sqlite3_stmt *s, emk_record_info *info, emk_buf *value, emk_error *e)
{
    emk_record_view r = {0};
    emk_status st = read_row(s, &r, e);

    if (st == EMK_OK && value)
        st = emk_buf_append(value, r.value, e);
    if (st == EMK_OK && info) {
        *info = (emk_record_info){
            .version = r.version, .expires_s = r.expires_s, .owner_len = r.owner.len};
        if (r.owner.len)
            memcpy(info->owner, r.owner.p, r.owner.len);
    }
    return st;
}

static emk_status sqlite_get(void *self, uint32_t kind, emk_span id, emk_record_info *info,
                             emk_buf *value, emk_error *e)
{
    store *t = self;
    connection *c = take_reader(t);
    sqlite3_stmt *s = c->statement[READ_GET];
    emk_status st;
    int rc;

    bind_number(s, 1, kind);
    bind(s, 2, id);
    rc = step(s);
    if (rc == SQLITE_ROW)
        st = give_row(s, info, value, e);
    else if (rc == SQLITE_DONE)
        st = emk_fail(e, EMK_E_NOT_FOUND, "records: no such record", 0);
    else
        st = map_error(c->db, rc, e);
    give_reader(t, c, s);
    return st;
}

static emk_status sqlite_scan(void *self, const emk_record_scan *scan, emk_record_fn fn,
                              void *fn_self, emk_error *e)
{
    store *t = self;
    connection *c = take_reader(t);
    sqlite3_stmt *s = c->statement[scan->owner.len ? READ_SCAN_OWNER : READ_SCAN];
    emk_record_view r = {.kind = scan->kind};
    emk_status st = EMK_OK;
    int rc = SQLITE_DONE;

    bind_number(s, 1, scan->kind);
    bind(s, 2, scan->after);
    bind_number(s, 3, scan->limit);
    if (scan->owner.len)
        bind(s, 4, scan->owner);
    while (st == EMK_OK && (rc = step(s)) == SQLITE_ROW) {
        st = read_row(s, &r, e);
        r.id = column(s, 4);
        if (st == EMK_OK)
            st = fn(fn_self, &r, e);
    }
    if (st == EMK_OK && rc != SQLITE_DONE)
        st = map_error(c->db, rc, e);
    give_reader(t, c, s);
    return st;
}

static emk_status sqlite_count(void *self, uint32_t kind, emk_span owner, uint64_t *n, emk_error *e)
{
    store *t = self;
    connection *c = take_reader(t);
    sqlite3_stmt *s = c->statement[owner.len ? READ_COUNT_OWNER : READ_COUNT];
    emk_status st = EMK_OK;
    int rc;

    bind_number(s, 1, kind);
    if (owner.len)
        bind(s, 4, owner);
    rc = step(s);
    if (rc == SQLITE_ROW)
        *n = (uint64_t)sqlite3_column_int64(s, 0);
    else
        st = map_error(c->db, rc, e);
    give_reader(t, c, s);
    return st;
}

/* ---- writing ---- */

static emk_status version_of(connection *w, const emk_record_change *c, uint64_t *out, emk_error *e)
{
    sqlite3_stmt *s = w->statement[WRITE_VERSION];
    emk_status st = EMK_OK;
    int rc;

    bind_number(s, 1, c->kind);
    bind(s, 2, c->id);
    rc = step(s);
    if (rc == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(s, 0);
    else if (rc == SQLITE_DONE)
        *out = EMK_RECORD_ABSENT;
    else
        st = map_error(w->db, rc, e);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return st;
}

static emk_status check_expected(connection *w, const batch *b, emk_error *e)
{
    for (size_t i = 0; i < b->n; i++) {
        uint64_t version = 0;
        emk_status st;

        if (b->changes[i].expect == EMK_RECORD_ANY)
            continue;
        st = version_of(w, &b->changes[i], &version, e);
        if (st != EMK_OK)
            return st;
        if (version != b->changes[i].expect)
            return emk_fail(e, EMK_E_STALE, "records: changed meanwhile", i);
    }
    return EMK_OK;
}

static emk_status apply(connection *w, const emk_record_change *c, uint64_t version, emk_error *e)
{
    size_t which = c->op == EMK_RECORD_PUT ? WRITE_PUT : WRITE_DELETE;
    sqlite3_stmt *s = w->statement[which];

    if (c->op == EMK_RECORD_CHECK)
        return EMK_OK;
    bind_number(s, 1, c->kind);
    bind(s, 2, c->id);
    if (c->op == EMK_RECORD_PUT) {
        bind(s, 3, c->owner);
        bind(s, 4, c->value);
        bind_number(s, 5, version);
        bind_number(s, 6, c->expires_s);
    }
    return run(w, which, e);
}

/* EMK_E_STALE is this batch's own affair and stays with it; what is returned ends the group. */
static emk_status apply_batch(connection *w, batch *b, uint64_t *sequence, emk_error *e)
{
    emk_status st;

    b->status = check_expected(w, b, &b->error);
    if (b->status == EMK_E_STALE)
        return EMK_OK;
    st = b->status;
    if (st != EMK_OK) {
        *e = b->error;
        return st;
    }
    b->version = ++*sequence;
    for (size_t i = 0; i < b->n && st == EMK_OK; i++)
        st = apply(w, &b->changes[i], b->version, e);
    return st;
}

static emk_status read_sequence(connection *w, uint64_t *out, emk_error *e)
{
    sqlite3_stmt *s = w->statement[WRITE_SEQUENCE];
    emk_status st = EMK_OK;
    int rc = step(s);

    if (rc == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(s, 0);
    else if (rc == SQLITE_DONE)
        st = emk_fail(e, EMK_E_FORMAT, "records: the database is damaged", 0);
    else
        st = map_error(w->db, rc, e);
    sqlite3_reset(s);
    return st;
}

static void roll_back(connection *w)
{
    /* SQLite has done so itself after some failures. */
    if (!sqlite3_get_autocommit(w->db)) {
        sqlite3_step(w->statement[WRITE_ROLLBACK]);
        sqlite3_reset(w->statement[WRITE_ROLLBACK]);
    }
}

static batch *batch_of(emk_turn *t)
{
    return (batch *)(void *)t;
}

static batch *next_batch(const batch *b)
{
    return b->turn.next ? batch_of(b->turn.next) : NULL;
}

static emk_status write_group(connection *w, batch *first, emk_error *e)
{
    uint64_t sequence = 0;
    emk_status st = run(w, WRITE_BEGIN, e);

    if (st != EMK_OK)
        return st;
    st = read_sequence(w, &sequence, e);
    for (batch *b = first; b && st == EMK_OK; b = next_batch(b))
        st = apply_batch(w, b, &sequence, e);
    if (st == EMK_OK) {
        bind_number(w->statement[WRITE_SET_SEQUENCE], 1, sequence);
        st = run(w, WRITE_SET_SEQUENCE, e);
    }
    if (st == EMK_OK)
        st = run(w, WRITE_COMMIT, e);
    if (st != EMK_OK)
        roll_back(w);
    return st;
}

static bool fits_group(void *self, const emk_turn *next)
{
    size_t *n = self;

    (void)next;
    return ++*n < GROUP_MAX;
}

/* Another thread's turn comes meanwhile; what it writes is carried over the next time.  Fills
 * *pages of the log (NULL: not wanted) and how many of them are `over`. */
static int carry(store *t, sqlite3 *db, int mode, int *pages, int *over)
{
    int rc;

    emk_lock_take(t->carries);
    rc = emk_fault_hit(EMK_FAULT_IO) ? SQLITE_IOERR
                                     : sqlite3_wal_checkpoint_v2(db, NULL, mode, pages, over);
    emk_lock_give(t->carries);
    return rc;
}

/* Of a log that is to begin anew the rest is carried over by who leads, while everybody else
 * waits.  So first again and again what came in the time of the pass before, until that is little.
 * What fails stays in the log, as safe as before, until the next time. */
static bool carry_nearly_all(store *t)
{
    int pages = 0, over = 0, before = 0;

    for (unsigned i = 0; i < TIDY_PASSES; i++) {
        if (carry(t, t->carrier.db, SQLITE_CHECKPOINT_PASSIVE, &pages, &over) != SQLITE_OK ||
            pages <= TIDY_PAGES_MAX)
            return false;
        if (over - before <= TIDY_REST)
            break;
        before = over;
    }
    return true;
}

static void tidy_up(void *self)
{
    store *t = self;

    emk_lock_take(t->tidy);
    while (!t->ending) {
        if (!t->due) {
            emk_lock_wait(t->tidy);
            continue;
        }
        t->due = false;
        emk_lock_give(t->tidy);
        atomic_store(&t->is_long, carry_nearly_all(t));
        emk_lock_take(t->tidy);
    }
    emk_lock_give(t->tidy);
}

/* By who leads, before it writes. */
static void tidy_rest(store *t)
{
    if (!t->thread)
        return;
    if (atomic_exchange(&t->is_long, false)) {
        (void)carry(t, t->writer.db, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        return;
    }
    if (t->pages < t->told)
        t->told = 0; /* it began anew */
    if (t->pages - t->told < TIDY_PAGES)
        return;
    t->told = t->pages;
    emk_lock_take(t->tidy);
    t->due = true;
    emk_lock_wake_one(t->tidy);
    emk_lock_give(t->tidy);
}

static int log_grew(void *self, sqlite3 *db, const char *name, int pages)
{
    store *t = self;

    (void)db;
    (void)name;
    t->pages = pages;
    return SQLITE_OK;
}

static void lead(store *t)
{
    size_t n = 0;
    batch *group;
    emk_error error = {0};
    emk_status st;

    emk_turns_gather(&t->turns);
    group = batch_of(emk_turns_take(&t->turns, fits_group, &n));
    emk_lock_give(t->writes);
    tidy_rest(t);
    st = write_group(&t->writer, group, &error);
    for (batch *b = group; b && st != EMK_OK; b = next_batch(b)) {
        b->status = st;
        b->error = error;
    }
    emk_lock_take(t->writes);
    emk_turns_end(&t->turns, &group->turn);
}

static emk_status sqlite_commit(void *self, const emk_record_change *changes, size_t n,
                                uint64_t *version, emk_error *e)
{
    store *t = self;
    batch b = {.changes = changes, .n = n};

    emk_lock_take(t->writes);
    if (emk_turns_wait(&t->turns, &b.turn))
        lead(t);
    if (b.status != EMK_OK)
        return emk_fail(e, b.status, b.error.what, b.error.where);
    *version = b.version;
    return EMK_OK;
}

static emk_status sqlite_sweep(void *self, uint64_t now_s, uint64_t *n, emk_error *e)
{
    store *t = self;
    sqlite3_stmt *s = t->writer.statement[WRITE_SWEEP];
    uint64_t gone = 0;
    emk_turn mine;
    emk_status st;
    int step_n;

    do {
        emk_turns_enter(&t->turns, &mine);
        bind_number(s, 1, now_s);
        bind_number(s, 2, SWEEP_STEP);
        st = run(&t->writer, WRITE_SWEEP, e);
        step_n = st == EMK_OK ? sqlite3_changes(t->writer.db) : 0;
        emk_turns_leave(&t->turns, &mine);
        gone += (uint64_t)step_n;
    } while (step_n == SWEEP_STEP);
    if (st == EMK_OK)
        *n = gone;
    return st;
}

/* Deleted bytes are zeros in the database, but older pages of it are still in the log. */
static emk_status sqlite_scrub(void *self, emk_error *e)
{
    store *t = self;
    emk_turn mine;
    int rc;

    emk_turns_enter(&t->turns, &mine);
    rc = carry(t, t->writer.db, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    emk_turns_leave(&t->turns, &mine);
    return rc == SQLITE_OK ? EMK_OK : map_error(t->writer.db, rc, e);
}

/* ---- opening ---- */

static emk_status check_owner(sqlite3 *db, int64_t schema, emk_error *e)
{
    int64_t id = 0, tables = 0;
    emk_status st = ask_number(db, "PRAGMA application_id", &id, e);

    if (st == EMK_OK)
        st = ask_number(db, "SELECT count(*) FROM sqlite_schema", &tables, e);
    if (st != EMK_OK)
        return st;
    if (id != APPLICATION_ID && (id != 0 || schema != 0 || tables != 0))
        return emk_fail(e, EMK_E_FORMAT, "records: another program's database", (uint64_t)id);
    if (schema > (int64_t)EMK_RECORDS_SCHEMA)
        return emk_fail(e, EMK_E_UNSUPPORTED, "records: made by a newer version of Earmark",
                        (uint64_t)schema);
    if (schema < 0)
        return emk_fail(e, EMK_E_FORMAT, "records: the database is damaged", 0);
    return EMK_OK;
}

static emk_status migrate_step(sqlite3 *db, int64_t schema, emk_error *e)
{
    char pragma[96];
    emk_status st = exec(db, MIGRATIONS[schema], e);

    sqlite3_snprintf(sizeof pragma, pragma, "PRAGMA application_id=%d; PRAGMA user_version=%lld",
                     APPLICATION_ID, (long long)schema + 1);
    return st == EMK_OK ? exec(db, pragma, e) : st;
}

/* All steps in one transaction, so that another process sees the old schema or the new one. */
static emk_status migrate(connection *w, emk_error *e)
{
    int64_t schema = 0;
    emk_status st = exec(w->db, "BEGIN IMMEDIATE", e);

    if (st == EMK_OK)
        st = ask_number(w->db, "PRAGMA user_version", &schema, e);
    if (st == EMK_OK)
        st = check_owner(w->db, schema, e);
    for (; st == EMK_OK && schema < (int64_t)EMK_RECORDS_SCHEMA; schema++)
        st = migrate_step(w->db, schema, e);
    if (st == EMK_OK)
        st = exec(w->db, "COMMIT", e);
    if (st != EMK_OK && w->db && !sqlite3_get_autocommit(w->db))
        sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static emk_status look_through(sqlite3 *db, emk_error *e)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s, NULL);
    emk_status st = EMK_OK;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc != SQLITE_ROW)
        st = map_error(db, rc, e);
    else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0)
        st = emk_fail(e, EMK_E_FORMAT, "records: the database is damaged", 0);
    sqlite3_finalize(s);
    return st;
}

/* Made by us first, so that it, and the log that takes over its mode, are this user's alone. */
static emk_status make_file(const char *path, emk_error *e)
{
    int fd = -1;
    emk_status st = emk_os_create_new(path, &fd, e);

    emk_os_close(fd);
    return st == EMK_E_USED ? EMK_OK : st;
}

static emk_status open_connections(store *t, const emk_records_sqlite *o, emk_error *e)
{
    uint32_t busy_ms = o->busy_ms ? o->busy_ms : BUSY_MS_DEFAULT;
    emk_status st = connection_init(&t->writer, o->path, busy_ms, e);

    if (st == EMK_OK)
        st = migrate(&t->writer, e);
    if (st == EMK_OK && o->check)
        st = look_through(t->writer.db, e);
    if (st == EMK_OK)
        st = prepare(&t->writer, WRITE_SQL, N_WRITE, e);
    for (uint32_t i = 0; i < t->n_readers && st == EMK_OK; i++) {
        connection *c = &t->readers[i];

        st = connection_init(c, o->path, busy_ms, e);
        if (st == EMK_OK)
            st = prepare(c, READ_SQL, N_READ, e);
        c->next = t->idle;
        t->idle = c;
    }
    return st;
}

static emk_status start_tidying(store *t, const emk_records_sqlite *o, emk_error *e)
{
    uint32_t busy_ms = o->busy_ms ? o->busy_ms : BUSY_MS_DEFAULT;
    emk_status st;

    if (!o->tidies)
        return EMK_OK;
    st = connection_init(&t->carrier, o->path, busy_ms, e);
    if (st == EMK_OK)
        st = emk_thread_start(tidy_up, t, &t->thread, e);
    if (st == EMK_OK)
        sqlite3_wal_hook(t->writer.db, log_grew, t);
    return st;
}

static void stop_tidying(store *t)
{
    if (t->thread) {
        emk_lock_take(t->tidy);
        t->ending = true;
        emk_lock_wake_one(t->tidy);
        emk_lock_give(t->tidy);
        emk_thread_join(t->thread);
    }
    connection_done(&t->carrier);
}

static void sqlite_close(void *self)
{
    store *t = self;

    if (!t)
        return;
    stop_tidying(t);
    for (uint32_t i = 0; i < t->n_readers; i++)
        connection_done(&t->readers[i]);
    connection_done(&t->writer);
    emk_lock_free(t->writes);
    emk_lock_free(t->reads);
    emk_lock_free(t->carries);
    emk_lock_free(t->tidy);
    emk_free(t);
}

static const emk_records_ops SQLITE_OPS = {
    .size = sizeof(emk_records_ops),
    .name = "sqlite",
    .get = sqlite_get,
    .commit = sqlite_commit,
    .scan = sqlite_scan,
    .count = sqlite_count,
    .sweep = sqlite_sweep,
    .scrub = sqlite_scrub,
    .close = sqlite_close,
};

emk_status emk_records_open_sqlite(const emk_records_sqlite *options, emk_records *out,
                                   emk_error *e)
{
    store *t = NULL;
    emk_status st;

    if (!options->path || !options->path[0])
        return emk_fail(e, EMK_E_USAGE, "records: no path", 0);
    if (options->readers > READERS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "records: connections", options->readers);
    t = emk_alloc(1, sizeof *t);
    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "records: memory", sizeof *t);
    t->n_readers = options->readers ? options->readers : READERS_DEFAULT;
    st = emk_lock_new(&t->writes, e);
    emk_turns_init(&t->turns, t->writes);
    if (st == EMK_OK)
        st = emk_lock_new(&t->reads, e);
    if (st == EMK_OK)
        st = emk_lock_new(&t->carries, e);
    if (st == EMK_OK)
        st = emk_lock_new(&t->tidy, e);
    if (st == EMK_OK)
        st = make_file(options->path, e);
    if (st == EMK_OK)
        st = open_connections(t, options, e);
    if (st == EMK_OK)
        st = start_tidying(t, options, e);
    if (st != EMK_OK) {
        sqlite_close(t);
        return st;
    }
    *out = (emk_records){&SQLITE_OPS, t};
    return EMK_OK;
}
