/* Records in SQLite.  The only file that knows it.
 *
 * State: one connection that writes, a few that read, each used by one thread at a time.  Who
 * commits queues its batch; whoever finds nobody writing takes all that is queued into one
 * transaction and wakes the others (`writing` says that somebody is at it).  A batch whose
 * expectations fail changes nothing and disturbs no other; a failure of SQLite fails the whole
 * transaction.  WAL with synchronous=FULL: the log is synced before COMMIT returns. */
#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "core/base/status.h"
#include "server/store/records.h"

#include <sqlite3.h>

#define APPLICATION_ID  0x454D4B31 /* "EMK1": another program's database is not touched */
#define BUSY_MS_DEFAULT 2000u
#define READERS_DEFAULT 4u
#define READERS_MAX     64u
#define GROUP_MAX       256u /* batches in one transaction: bounds how long a reader's view ages */
#define SWEEP_STEP      500  /* records deleted before others may write */

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
    const emk_record_change *changes;
    size_t n;
    uint64_t version;
    emk_status status;
    emk_error error;
    bool done;
    struct batch *next;
} batch;

typedef struct store {
    emk_lock *writes; /* over first, last, writing */
    batch *first, **last;
    bool writing;
    connection writer;
    emk_lock *reads; /* over idle */
    connection *idle;
    connection readers[READERS_MAX];
    uint32_t n_readers;
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

static emk_status write_group(connection *w, batch *first, emk_error *e)
{
    uint64_t sequence = 0;
    emk_status st = run(w, WRITE_BEGIN, e);

    if (st != EMK_OK)
        return st;
    st = read_sequence(w, &sequence, e);
    for (batch *b = first; b && st == EMK_OK; b = b->next)
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

/* Takes up to GROUP_MAX batches out of the queue.  The lock is held. */
static batch *take_group(store *t)
{
    batch *first = t->first, *b = first;

    for (size_t n = 1; b && b->next && n < GROUP_MAX; n++)
        b = b->next;
    t->first = b ? b->next : NULL;
    if (!t->first)
        t->last = &t->first;
    if (b)
        b->next = NULL;
    return first;
}

/* Writes what is queued; called with the lock held and gives it back meanwhile. */
static void lead(store *t)
{
    batch *group = take_group(t);
    emk_error error = {0};
    emk_status st;

    t->writing = true;
    emk_lock_give(t->writes);
    st = write_group(&t->writer, group, &error);
    emk_lock_take(t->writes);
    t->writing = false;
    while (group) {
        batch *next = group->next; /* gone with its owner once it is done */

        if (st != EMK_OK) {
            group->status = st;
            group->error = error;
        }
        group->done = true;
        group = next;
    }
    emk_lock_wake_all(t->writes);
}

static emk_status sqlite_commit(void *self, const emk_record_change *changes, size_t n,
                                uint64_t *version, emk_error *e)
{
    store *t = self;
    batch b = {.changes = changes, .n = n};

    emk_lock_take(t->writes);
    *t->last = &b;
    t->last = &b.next;
    while (!b.done) {
        if (t->writing)
            emk_lock_wait(t->writes);
        else
            lead(t);
    }
    emk_lock_give(t->writes);
    if (b.status != EMK_OK)
        return emk_fail(e, b.status, b.error.what, b.error.where);
    *version = b.version;
    return EMK_OK;
}

static void take_writer(store *t)
{
    emk_lock_take(t->writes);
    while (t->writing)
        emk_lock_wait(t->writes);
    t->writing = true;
    emk_lock_give(t->writes);
}

static void give_writer(store *t)
{
    emk_lock_take(t->writes);
    t->writing = false;
    emk_lock_wake_all(t->writes);
    emk_lock_give(t->writes);
}

static emk_status sqlite_sweep(void *self, uint64_t now_s, uint64_t *n, emk_error *e)
{
    store *t = self;
    sqlite3_stmt *s = t->writer.statement[WRITE_SWEEP];
    uint64_t gone = 0;
    emk_status st;
    int step_n;

    do {
        take_writer(t);
        bind_number(s, 1, now_s);
        bind_number(s, 2, SWEEP_STEP);
        st = run(&t->writer, WRITE_SWEEP, e);
        step_n = st == EMK_OK ? sqlite3_changes(t->writer.db) : 0;
        give_writer(t);
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
    int rc;

    take_writer(t);
    rc =
        emk_fault_hit(EMK_FAULT_IO)
            ? SQLITE_IOERR
            : sqlite3_wal_checkpoint_v2(t->writer.db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    give_writer(t);
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

static void sqlite_close(void *self)
{
    store *t = self;

    if (!t)
        return;
    for (uint32_t i = 0; i < t->n_readers; i++)
        connection_done(&t->readers[i]);
    connection_done(&t->writer);
    emk_lock_free(t->writes);
    emk_lock_free(t->reads);
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
    t->last = &t->first;
    t->n_readers = options->readers ? options->readers : READERS_DEFAULT;
    st = emk_lock_new(&t->writes, e);
    if (st == EMK_OK)
        st = emk_lock_new(&t->reads, e);
    if (st == EMK_OK)
        st = make_file(options->path, e);
    if (st == EMK_OK)
        st = open_connections(t, options, e);
    if (st != EMK_OK) {
        sqlite_close(t);
        return st;
    }
    *out = (emk_records){&SQLITE_OPS, t};
    return EMK_OK;
}
