#include "server/journal/audit.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/secret.h"
#include "server/journal/handover.h"
#include "server/journal/internal.h"

#include <string.h>

const char *emk_audit_verdict_name(emk_audit_verdict v)
{
    switch (v) {
    case EMK_AUDIT_INTACT:
        return "intact";
    case EMK_AUDIT_INCOMPLETE:
        return "incomplete";
    case EMK_AUDIT_TAMPERED:
        return "tampered";
    case EMK_AUDIT_NOT_CHECKED:
        break;
    }
    return "not checked";
}

emk_audit_verdict emk_audit_sum(const emk_audit_report *r)
{
    const emk_audit_verdict all[6] = {r->records.verdict,   r->tree.verdict,
                                      r->signature.verdict, r->completeness.verdict,
                                      r->macs.verdict,      r->consistency.verdict};
    emk_audit_verdict worst = EMK_AUDIT_INTACT;

    for (size_t i = 0; i < 6; i++) {
        if (all[i] > worst)
            worst = all[i];
    }
    for (size_t i = 0; i < 4 && worst == EMK_AUDIT_INTACT; i++)
        worst = all[i]; /* what the other two need may be elsewhere */
    return worst;
}

/* ---- entries ---- */

struct emk_audit_entries {
    const char *dir;
    uint64_t size, next;
    emk_log_files files;
    emk_buf buf;      /* a bundle or a log file */
    size_t at;        /* in it */
    uint64_t buf_end; /* the entry behind the last one of the bundle; 0: no bundle in buf */
    bool in_log;
};

static emk_status read_small(const char *dir, const char *name, size_t max, emk_buf *out,
                             emk_error *e)
{
    char path[EMK_LOG_PATH_CAP];
    emk_status st = emk_os_join(path, sizeof path, dir, name, "", e);

    return st == EMK_OK ? emk_os_read_file(path, max, out, e) : st;
}

/* size 0 when there is none. */
static emk_status read_checkpoint(const char *dir, emk_tree_head *out, emk_error *e)
{
    emk_buf note;
    emk_status st;

    *out = (emk_tree_head){0};
    emk_buf_init(&note, EMK_NOTE_MAX);
    st = read_small(dir, "checkpoint", EMK_NOTE_MAX, &note, e);
    if (st == EMK_OK)
        st = emk_checkpoint_read(emk_buf_span(&note), out, e);
    else if (st == EMK_E_NOT_FOUND)
        st = EMK_OK;
    emk_buf_done(&note);
    return st;
}

emk_status emk_audit_entries_new(const char *dir, uint64_t from, emk_audit_entries **out,
                                 emk_error *e)
{
    emk_audit_entries *x = emk_alloc(1, sizeof *x);
    emk_tree_head head;
    emk_status st;

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "audit: memory", sizeof *x);
    x->dir = dir;
    x->next = from;
    emk_buf_init(&x->buf, EMK_LOG_FILE_MAX);
    if (read_checkpoint(dir, &head, NULL) != EMK_OK)
        head.size = 0;
    st = emk_log_list(dir, &x->files, e);
    if (st != EMK_OK) {
        emk_audit_entries_free(x);
        return st;
    }
    x->size = head.size;
    *out = x;
    return EMK_OK;
}

uint64_t emk_audit_entries_size(const emk_audit_entries *x)
{
    return x->size;
}

void emk_audit_entries_free(emk_audit_entries *x)
{
    if (!x)
        return;
    emk_buf_done(&x->buf);
    emk_free(x->files.first);
    emk_free(x);
}

static bool bundle_entry(emk_audit_entries *x, emk_span *entry)
{
    size_t left = x->buf.len - x->at, len;

    if (left < 2)
        return false;
    len = emk_load_u16be(x->buf.p + x->at);
    if (len > EMK_JOURNAL_RECORD_MAX || left - 2 < len)
        return false;
    *entry = emk_span_of(x->buf.p + x->at + 2, len);
    x->at += 2 + len;
    return true;
}

static emk_status load_bundle(emk_audit_entries *x, emk_error *e)
{
    emk_tile t = {EMK_TILE_ENTRIES, x->next / EMK_TILE_WIDTH, 0};
    emk_span skipped;
    emk_status st;

    t.width = emk_tile_width(x->size, EMK_TILE_ENTRIES, t.index);
    x->buf.len = x->at = 0;
    x->buf_end = 0;
    st = emk_tile_read(x->dir, &t, &x->buf, e);
    if (st == EMK_E_NOT_FOUND)
        return emk_fail(e, st, "audit: a bundle is missing", x->next);
    for (uint64_t i = x->next % EMK_TILE_WIDTH; i > 0 && st == EMK_OK; i--) {
        if (!bundle_entry(x, &skipped))
            st = emk_fail(e, EMK_E_FORMAT, "audit: a damaged bundle", x->next);
    }
    if (st == EMK_OK)
        x->buf_end = t.index * EMK_TILE_WIDTH + t.width;
    return st;
}

static emk_status next_in_bundle(emk_audit_entries *x, emk_span *entry, emk_error *e)
{
    emk_status st = x->next >= x->buf_end ? load_bundle(x, e) : EMK_OK;

    if (st == EMK_OK && !bundle_entry(x, entry))
        st = emk_fail(e, EMK_E_FORMAT, "audit: a damaged bundle", x->next);
    if (st == EMK_OK && x->next + 1 == x->buf_end && x->at != x->buf.len)
        st = emk_fail(e, EMK_E_FORMAT, "audit: more in a bundle than its entries", x->next);
    return st;
}

/* Loads the log file that has entry x->next and goes to it. */
static emk_status load_log(emk_audit_entries *x, emk_error *e)
{
    char path[EMK_LOG_PATH_CAP];
    emk_span leaf, entry;
    size_t i = x->files.n;
    uint64_t skip;
    emk_status st;

    while (i > 0 && x->files.first[i - 1] > x->next)
        i--;
    if (i == 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "audit: no more entries", x->next);
    st = emk_log_path(x->dir, x->files.first[i - 1], path, e);
    x->buf.len = 0;
    x->at = EMK_LOG_HEAD_LEN;
    if (st == EMK_OK)
        st = emk_os_read_file(path, EMK_LOG_FILE_MAX, &x->buf, e);
    if (st != EMK_OK)
        return st;
    if (x->buf.len < EMK_LOG_HEAD_LEN)
        return emk_fail(e, EMK_E_NOT_FOUND, "audit: no more entries", x->next);
    for (skip = x->next - x->files.first[i - 1]; skip > 0; skip--) {
        if (!emk_log_frame(emk_buf_span(&x->buf), &x->at, &leaf, &entry))
            return emk_fail(e, EMK_E_NOT_FOUND, "audit: no more entries", x->next);
    }
    return EMK_OK;
}

static bool is_log_start(const emk_audit_entries *x)
{
    for (size_t i = 0; i < x->files.n; i++) {
        if (x->files.first[i] == x->next)
            return true;
    }
    return false;
}

static emk_status next_in_log(emk_audit_entries *x, emk_span *entry, emk_error *e)
{
    emk_span leaf;
    emk_status st = EMK_OK;

    if (!x->in_log || is_log_start(x))
        st = load_log(x, e);
    x->in_log = st == EMK_OK;
    if (st != EMK_OK)
        return st;
    return emk_log_frame(emk_buf_span(&x->buf), &x->at, &leaf, entry)
               ? EMK_OK
               : emk_fail(e, EMK_E_NOT_FOUND, "audit: no more entries", x->next);
}

/* Whether the checkpoint has gone on since this reader was made: then partial bundles have become
 * full ones, and log files that are published are gone. */
static bool has_grown(emk_audit_entries *x)
{
    emk_log_files files = {0};
    emk_tree_head head;

    if (read_checkpoint(x->dir, &head, NULL) != EMK_OK || head.size <= x->size ||
        emk_log_list(x->dir, &files, NULL) != EMK_OK)
        return false;
    emk_free(x->files.first);
    x->files = files;
    x->size = head.size;
    x->buf_end = 0;
    x->in_log = false;
    return true;
}

emk_status emk_audit_entries_next(emk_audit_entries *x, emk_span *entry, uint64_t *seq,
                                  emk_error *e)
{
    emk_span found = {0};
    emk_status st;

    do
        st = x->next < x->size ? next_in_bundle(x, &found, e) : next_in_log(x, &found, e);
    while (st == EMK_E_NOT_FOUND && has_grown(x));
    if (st != EMK_OK)
        return st;
    *entry = found;
    *seq = x->next++;
    return EMK_OK;
}

/* ---- the walk ---- */

/* One step from the key that was given to the one that signs. */
typedef struct succession {
    emk_tree_head head;
    emk_note_key next;
    bool reached; /* the walk came by */
} succession;

typedef struct auditor {
    const emk_crypto *c;
    const emk_audit *a;
    emk_audit_report *r;
    emk_publisher p;
    emk_tree_head trusted; /* size 0: none */
    emk_chain_head head;   /* size 0: none */
    emk_chain chain;
    bool has_chain, mac_gap; /* there is a key for this epoch; there was none for some */
    uint64_t epoch, seq;
    succession keys[EMK_HANDOVERS_MAX];
    size_t n_keys;
    char named[EMK_NOTE_VKEY_MAX]; /* the key that the log named last */
} auditor;

/* The first of its kind stays, but TAMPERED goes before INCOMPLETE. */
static void find(emk_audit_finding *f, emk_audit_verdict v, const char *what, uint64_t where)
{
    if (f->verdict < v)
        *f = (emk_audit_finding){v, what, where};
}

static emk_status put_compare(void *self, const emk_tile *t, emk_span bytes, emk_error *e)
{
    auditor *u = self;
    emk_buf have;
    emk_status st;

    if (t->level == EMK_TILE_ENTRIES) /* read from there */
        return EMK_OK;
    emk_buf_init(&have, (size_t)EMK_TILE_WIDTH * EMK_TREE_HASH_LEN);
    st = emk_tile_read(u->a->dir, t, &have, e);
    if (st == EMK_E_NOT_FOUND)
        find(&u->r->completeness, EMK_AUDIT_INCOMPLETE, "a tile is missing", u->p.size - 1);
    else if (st == EMK_E_LIMIT || (st == EMK_OK && !emk_span_equal(emk_buf_span(&have), bytes)))
        find(&u->r->tree, EMK_AUDIT_TAMPERED, "a tile is not that of the entries", u->p.size - 1);
    emk_buf_done(&have);
    return st == EMK_E_NOT_FOUND || st == EMK_E_LIMIT ? EMK_OK : st;
}

static const emk_audit_key *find_key(const emk_audit *a, uint64_t epoch)
{
    for (size_t i = 0; i < a->n_chain_keys; i++) {
        if (a->chain_keys[i].epoch == epoch)
            return &a->chain_keys[i];
    }
    return NULL;
}

static void begin_epoch(auditor *u, const emk_journal_record *rec)
{
    const emk_audit_key *key = find_key(u->a, rec->epoch);

    if (rec->epoch != u->epoch + 1)
        find(&u->r->records, EMK_AUDIT_TAMPERED, "an epoch that does not follow", u->seq);
    u->epoch = rec->epoch;
    u->r->n_epochs++;
    u->has_chain = key != NULL;
    u->mac_gap |= !key;
    if (key) {
        u->chain = (emk_chain){.epoch = rec->epoch, .seq = u->seq};
        memcpy(u->chain.key, key->key, sizeof u->chain.key);
    }
}

static void compare_head(auditor *u)
{
    if (u->has_chain && u->head.size == u->chain.seq && u->head.epoch == u->chain.epoch &&
        memcmp(u->head.link, u->chain.link, sizeof u->head.link) != 0)
        find(&u->r->macs, EMK_AUDIT_TAMPERED, "the head is not that of the chain", u->seq);
}

static emk_status check_mac(auditor *u, const emk_journal_record *rec, emk_span entry, emk_error *e)
{
    emk_status st;

    if (!u->has_chain)
        return EMK_OK;
    if (memcmp(rec->link, u->chain.link, sizeof rec->link) != 0)
        find(&u->r->macs, EMK_AUDIT_TAMPERED, "an entry that does not follow the one before",
             u->seq);
    st = emk_chain_step(u->c, &u->chain, entry, e);
    if (st == EMK_OK)
        compare_head(u);
    return st;
}

static void note_time(auditor *u, const emk_journal_record *rec)
{
    emk_audit_report *r = u->r;
    uint64_t limit = u->a->heartbeat_s * UINT64_C(2000);

    if (u->seq == 0)
        r->first_ms = rec->event.time_ms;
    else if (limit && !r->closed && rec->event.time_ms > r->last_ms + limit) {
        r->n_gaps++;
        find(&r->completeness, EMK_AUDIT_INCOMPLETE, "a time without a heartbeat", u->seq);
    }
    if (rec->event.time_ms > r->last_ms)
        r->last_ms = rec->event.time_ms;
    r->closed = emk_span_equal(rec->event.type, emk_span_str("journal.stop"));
    r->n_starts += emk_span_equal(rec->event.type, emk_span_str("journal.start"));
    r->n_late += rec->late;
}

static void note_key(auditor *u, const emk_journal_record *rec)
{
    emk_span key = rec->event.object;

    if (!emk_span_equal(rec->event.type, emk_span_str(EMK_HANDOVER_TYPE)) ||
        key.len >= sizeof u->named)
        return;
    memset(u->named, 0, sizeof u->named);
    if (key.len > 0)
        memcpy(u->named, key.p, key.len);
}

static emk_status check_record(auditor *u, emk_span entry, emk_error *e)
{
    emk_journal_record rec;

    if (emk_journal_record_read(entry, &rec, NULL) != EMK_OK) {
        find(&u->r->records, EMK_AUDIT_TAMPERED, "not an entry", u->seq);
        u->has_chain = false; /* nothing behind it can be told to follow */
        u->mac_gap = true;
        return EMK_OK;
    }
    if (rec.seq != u->seq)
        find(&u->r->records, EMK_AUDIT_TAMPERED, "an entry with another number", u->seq);
    if (rec.epoch != u->epoch)
        begin_epoch(u, &rec);
    note_time(u, &rec);
    note_key(u, &rec);
    return check_mac(u, &rec, entry, e);
}

static emk_status compare_root(auditor *u, const emk_tree_head *head, emk_audit_finding *f,
                               const char *what, emk_error *e)
{
    emk_tree_hash root;
    emk_status st = emk_publish_root(&u->p, &root, e);

    if (st != EMK_OK)
        return st;
    if (memcmp(root.b, head->root.b, sizeof root.b) == 0)
        find(f, EMK_AUDIT_INTACT, NULL, head->size);
    else
        find(f, EMK_AUDIT_TAMPERED, what, head->size);
    return EMK_OK;
}

/* A handover is of this log, and the log names the new key before it. */
static emk_status check_handover(auditor *u, succession *s, emk_error *e)
{
    char key[EMK_NOTE_VKEY_MAX];
    emk_status st = emk_note_key_write(&s->next, key, e);

    s->reached = true;
    if (st == EMK_OK && strcmp(key, u->named) != 0)
        find(&u->r->signature, EMK_AUDIT_TAMPERED, "a handover to a key that the log does not name",
             u->seq);
    return st == EMK_OK
               ? compare_root(u, &s->head, &u->r->signature, "a handover that is of another log", e)
               : st;
}

static emk_status check_handovers(auditor *u, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < u->n_keys; i++)
        if (u->keys[i].head.size == u->p.size)
            st = check_handover(u, &u->keys[i], e);
    return st;
}

static emk_status check_tree(auditor *u, emk_span entry, emk_error *e)
{
    emk_tree_hash leaf;
    emk_status st = emk_tree_leaf(u->p.sha, entry, &leaf, e);

    if (st == EMK_OK)
        st = emk_publish_entry(&u->p, emk_span_of(leaf.b, sizeof leaf.b), entry, e);
    if (st == EMK_OK)
        st = emk_publish_full(&u->p, e);
    if (st == EMK_OK && u->trusted.size == u->p.size)
        st = compare_root(u, &u->trusted, &u->r->consistency,
                          "the log is not the one that was trusted", e);
    if (st == EMK_OK)
        st = check_handovers(u, e);
    if (st != EMK_OK || u->p.size != u->r->checkpoint.size)
        return st;
    st = emk_publish_edge(&u->p, e);
    return st == EMK_OK ? compare_root(u, &u->r->checkpoint, &u->r->tree,
                                       "the entries are not those of the checkpoint", e)
                        : st;
}

static emk_status walk(auditor *u, emk_error *e)
{
    emk_audit_entries *x = NULL;
    emk_span entry;
    emk_error why = {0};
    emk_status st = emk_audit_entries_new(u->a->dir, 0, &x, e);

    while (st == EMK_OK) {
        st = emk_audit_entries_next(x, &entry, &u->seq, &why);
        if (st != EMK_OK)
            break;
        st = check_record(u, entry, e);
        if (st == EMK_OK && u->seq < u->r->checkpoint.size)
            st = check_tree(u, entry, e);
        u->r->n_entries++;
    }
    emk_audit_entries_free(x);
    if (!x || why.status == EMK_OK || st != why.status)
        return st;
    if (st == EMK_E_FORMAT)
        find(&u->r->records, EMK_AUDIT_TAMPERED, why.what, why.where);
    else if (st != EMK_E_NOT_FOUND)
        return emk_fail(e, st, why.what, why.where);
    return EMK_OK;
}

/* ---- before and after ---- */

/* The key that signs now, as far as the handovers lead. */
static const emk_note_key *key_now(const auditor *u)
{
    return u->n_keys ? &u->keys[u->n_keys - 1].next : u->a->key;
}

/* One that the key of now has not signed is of before the key that was given, or nobody's. */
static emk_status follow_one(auditor *u, uint64_t size, emk_error *e)
{
    succession *s = &u->keys[u->n_keys];
    emk_error why = {0};
    emk_buf note;
    emk_status st;

    *s = (succession){.reached = false};
    emk_buf_init(&note, EMK_NOTE_MAX);
    st = emk_handover_read(u->a->dir, size, &note, &why);
    if (st == EMK_OK)
        st = emk_handover_verify(u->c, key_now(u), emk_buf_span(&note), &s->head, &s->next, &why);
    emk_buf_done(&note);
    if (st == EMK_OK && s->head.size == size)
        u->n_keys++;
    else if (st == EMK_OK || st == EMK_E_FORMAT || st == EMK_E_LIMIT || st == EMK_E_UNSUPPORTED)
        find(&u->r->signature, EMK_AUDIT_TAMPERED, "a handover that is none", size);
    else if (st != EMK_E_SIGNATURE)
        return emk_fail(e, st, why.what, why.where);
    return EMK_OK;
}

static emk_status follow_keys(auditor *u, emk_error *e)
{
    emk_handover_list list = {.n = 0};
    emk_error why = {0};
    emk_status st = u->a->key ? emk_handover_list_read(u->a->dir, &list, &why) : EMK_OK;

    if (st == EMK_E_LIMIT)
        find(&u->r->signature, EMK_AUDIT_TAMPERED, why.what, why.where);
    else if (st != EMK_OK)
        return emk_fail(e, st, why.what, why.where);
    st = EMK_OK;
    for (size_t i = 0; st == EMK_OK && i < list.n; i++)
        st = follow_one(u, list.size[i], e);
    return st;
}

/* It may be of any key on the way: it is the caller's own copy. */
static emk_status read_trusted(auditor *u, emk_error *e)
{
    emk_status st = EMK_E_SIGNATURE;

    if (!u->a->key)
        return emk_checkpoint_read(u->a->trusted, &u->trusted, e);
    for (size_t i = 0; i <= u->n_keys && st == EMK_E_SIGNATURE; i++)
        st = emk_checkpoint_verify(u->c, i ? &u->keys[i - 1].next : u->a->key, u->a->trusted,
                                   &u->trusted, e);
    return st;
}

static emk_status check_signature(auditor *u, emk_error *e)
{
    emk_audit_finding *f = &u->r->signature;
    emk_tree_head seen;
    emk_error why = {0};
    emk_buf note;
    emk_status st;

    emk_buf_init(&note, EMK_NOTE_MAX);
    st = read_small(u->a->dir, "checkpoint", EMK_NOTE_MAX, &note, &why);
    if (st == EMK_OK && u->a->key)
        st = emk_checkpoint_verify(u->c, key_now(u), emk_buf_span(&note), &seen, &why);
    emk_buf_done(&note);
    if (st == EMK_E_NOT_FOUND)
        find(f, EMK_AUDIT_INCOMPLETE, "there is no checkpoint", 0);
    else if (st == EMK_E_SIGNATURE || st == EMK_E_FORMAT || st == EMK_E_LIMIT)
        find(f, EMK_AUDIT_TAMPERED, why.what, 0);
    else if (st != EMK_OK)
        return emk_fail(e, st, why.what, why.where);
    else if (u->a->key)
        find(f, EMK_AUDIT_INTACT, NULL, 0);
    return EMK_OK;
}

static emk_status load(auditor *u, emk_error *e)
{
    uint8_t bytes[EMK_HEAD_FILE_LEN];
    emk_buf head;
    emk_status st = follow_keys(u, e);

    if (st == EMK_OK)
        st = check_signature(u, e);
    /* A checkpoint that is none has been told by now; entries are then read from the log files. */
    if (st == EMK_OK && read_checkpoint(u->a->dir, &u->r->checkpoint, NULL) != EMK_OK)
        u->r->checkpoint = (emk_tree_head){0};
    if (st == EMK_OK && u->a->trusted.len)
        st = read_trusted(u, e);
    if (st != EMK_OK)
        return st;
    emk_buf_init(&head, sizeof bytes);
    if (read_small(u->a->dir, "head", sizeof bytes, &head, NULL) == EMK_OK)
        (void)!emk_chain_head_read(u->c, emk_buf_span(&head), &u->head, NULL);
    emk_buf_done(&head);
    return EMK_OK;
}

static void conclude(auditor *u)
{
    emk_audit_report *r = u->r;

    find(&r->records, EMK_AUDIT_INTACT, NULL, 0);
    r->n_handovers = u->n_keys;
    for (size_t i = 0; i < u->n_keys; i++)
        if (!u->keys[i].reached)
            find(&r->signature, EMK_AUDIT_TAMPERED, "a handover ahead of the log",
                 u->keys[i].head.size);
    if (r->n_entries < r->checkpoint.size)
        find(&r->completeness, EMK_AUDIT_INCOMPLETE, "entries under the checkpoint are missing",
             r->n_entries);
    if (r->n_entries < u->head.size)
        find(&r->completeness, EMK_AUDIT_INCOMPLETE, "acknowledged entries are missing",
             r->n_entries);
    if (u->trusted.size > r->checkpoint.size)
        find(&r->consistency, EMK_AUDIT_TAMPERED, "shorter than the log that was trusted",
             r->checkpoint.size);
    find(&r->completeness, EMK_AUDIT_INTACT, NULL, 0);
    if (u->a->n_chain_keys && !u->mac_gap)
        find(&r->macs, EMK_AUDIT_INTACT, NULL, 0);
}

emk_status emk_audit_verify(const emk_crypto *c, const emk_audit *a, emk_audit_report *out,
                            emk_error *e)
{
    emk_audit_report r = {0};
    auditor *u = emk_alloc(1, sizeof *u);
    emk_status st;

    if (!u)
        return emk_fail(e, EMK_E_NO_MEMORY, "audit: memory", sizeof *u);
    if (!emk_os_exists(a->dir)) {
        emk_free(u);
        return emk_fail(e, EMK_E_NOT_FOUND, "audit: there is no such log", 0);
    }
    *u = (auditor){.c = c, .a = a, .r = &r};
    u->p.put = put_compare;
    u->p.put_self = u;
    emk_buf_init(&u->p.bundle, EMK_TILE_BUNDLE_MAX);
    st = emk_sha256_ctx_new(c, &u->p.sha, e);
    if (st == EMK_OK)
        st = load(u, e);
    if (st == EMK_OK)
        st = walk(u, e);
    if (st == EMK_OK) {
        conclude(u);
        *out = r;
    }
    emk_sha256_ctx_free(u->p.sha);
    emk_buf_done(&u->p.bundle);
    emk_wipe(&u->chain, sizeof u->chain);
    emk_free(u);
    return st;
}

/* ---- proofs ---- */

typedef struct prover {
    emk_sha256_ctx *h;
    emk_tile_reader *tiles;
    emk_tree_source source;
    emk_audit_proof proof;
} prover;

static void prover_free(prover *p)
{
    if (!p)
        return;
    emk_sha256_ctx_free(p->h);
    emk_free(p->tiles);
    emk_free(p);
}

static emk_status prover_new(const emk_crypto *c, const char *dir, prover **out, emk_error *e)
{
    prover *p = emk_alloc(1, sizeof *p);
    emk_status st;

    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "audit: memory", sizeof *p);
    p->tiles = emk_alloc(1, sizeof *p->tiles);
    st = p->tiles ? emk_sha256_ctx_new(c, &p->h, e)
                  : emk_fail(e, EMK_E_NO_MEMORY, "audit: memory", sizeof *p->tiles);
    if (st == EMK_OK)
        st = read_checkpoint(dir, &p->proof.head, e);
    if (st != EMK_OK) {
        prover_free(p);
        return st;
    }
    emk_tile_reader_init(p->tiles, dir, p->h, p->proof.head.size);
    p->source = (emk_tree_source){emk_tile_reader_get, p->tiles, p->proof.head.size};
    *out = p;
    return EMK_OK;
}

emk_status emk_audit_prove(const emk_crypto *c, const char *dir, uint64_t index,
                           emk_audit_proof *out, emk_error *e)
{
    prover *p = NULL;
    emk_status st = prover_new(c, dir, &p, e);

    if (st != EMK_OK)
        return st;
    if (index >= p->proof.head.size)
        st = emk_fail(e, EMK_E_NOT_FOUND, "audit: not under the checkpoint", index);
    p->proof.index = index;
    if (st == EMK_OK)
        st = emk_tile_reader_get(p->tiles, 0, index, &p->proof.leaf, e);
    if (st == EMK_OK)
        st = emk_tree_prove_inclusion(p->h, &p->source, index, &p->proof.proof, e);
    if (st == EMK_OK)
        st = emk_tree_verify_inclusion(p->h, &p->proof.head, index, &p->proof.leaf, &p->proof.proof,
                                       e);
    if (st == EMK_OK)
        *out = p->proof;
    prover_free(p);
    return st;
}

emk_status emk_audit_prove_growth(const emk_crypto *c, const char *dir, const emk_tree_head *old,
                                  emk_audit_proof *out, emk_error *e)
{
    prover *p = NULL;
    emk_status st = prover_new(c, dir, &p, e);

    if (st != EMK_OK)
        return st;
    if (old->size == 0 || old->size > p->proof.head.size)
        st = emk_fail(e, EMK_E_NOT_FOUND, "audit: not an older checkpoint", old->size);
    p->proof.index = old->size;
    if (st == EMK_OK)
        st = emk_tree_prove_consistency(p->h, &p->source, old->size, &p->proof.proof, e);
    if (st == EMK_OK)
        st = emk_tree_verify_consistency(p->h, old, &p->proof.head, &p->proof.proof, e);
    if (st == EMK_OK)
        *out = p->proof;
    prover_free(p);
    return st;
}
