/* Reading a log that was closed, or was not. */
#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_folder.h"
#include "core/base/secret.h"
#include "core/crypto/random.h"
#include "server/journal/internal.h"

#include <stdio.h>
#include <string.h>

#define FILES_MAX 65536u
#define SUFFIX    ".log"

static const uint8_t MAGIC[8] = {'E', 'M', 'K', 'J', 'L', 'O', 'G', '1'};

/* ---- log files ---- */

emk_status emk_log_path(const char *dir, uint64_t first, char out[EMK_LOG_PATH_CAP], emk_error *e)
{
    char name[EMK_LOG_NAME_CAP];

    snprintf(name, sizeof name, "log/%016llx", (unsigned long long)first);
    return emk_os_join(out, EMK_LOG_PATH_CAP, dir, name, SUFFIX, e);
}

bool emk_log_name_read(const char *name, uint64_t *first)
{
    uint64_t v = 0;

    if (strlen(name) != 16 + sizeof SUFFIX - 1 || strcmp(name + 16, SUFFIX) != 0 ||
        strspn(name, "0123456789abcdef") != 16)
        return false;
    for (size_t i = 0; i < 16; i++)
        v = v << 4 | (uint64_t)(name[i] <= '9' ? name[i] - '0' : name[i] - 'a' + 10);
    *first = v;
    return true;
}

static emk_status write_head(int fd, uint64_t first, emk_error *e)
{
    uint8_t head[EMK_LOG_HEAD_LEN];
    emk_status st;

    memcpy(head, MAGIC, sizeof MAGIC);
    emk_store_u64be(head + 8, first);
    st = emk_os_write_at(fd, 0, head, sizeof head, e);
    return st == EMK_OK ? emk_os_sync(fd, e) : st;
}

emk_status emk_log_create(const char *dir, uint64_t first, int *fd, emk_error *e)
{
    char path[EMK_LOG_PATH_CAP], folder[EMK_LOG_PATH_CAP];
    int f = -1;
    emk_status st = emk_log_path(dir, first, path, e);

    if (st == EMK_OK)
        st = emk_os_join(folder, sizeof folder, dir, "log", "", e);
    if (st == EMK_OK)
        st = emk_os_create_new(path, &f, e);
    if (st == EMK_E_USED) /* from a change of files that did not come to its end */
        st = emk_os_open_update(path, &f, e);
    if (st == EMK_OK)
        st = emk_os_truncate(f, 0, e);
    if (st == EMK_OK)
        st = write_head(f, first, e);
    if (st == EMK_OK)
        st = emk_os_folder_sync_path(folder, e);
    if (st != EMK_OK) {
        emk_os_close(f);
        return st;
    }
    *fd = f;
    return EMK_OK;
}

static emk_status list_entry(void *self, const char *name, emk_error *e)
{
    emk_log_files *files = self;
    uint64_t first;
    size_t at;

    if (!emk_log_name_read(name, &first))
        return EMK_OK;
    if (files->n == FILES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "journal: log files", files->n);
    if (files->n == files->cap) {
        size_t cap = files->cap ? files->cap * 2 : 16;
        uint64_t *grown = emk_realloc(files->first, cap, sizeof *grown);

        if (!grown)
            return emk_fail(e, EMK_E_NO_MEMORY, "journal: memory", cap);
        files->first = grown;
        files->cap = cap;
    }
    for (at = files->n++; at > 0 && files->first[at - 1] > first; at--)
        files->first[at] = files->first[at - 1];
    files->first[at] = first;
    return EMK_OK;
}

emk_status emk_log_list(const char *dir, emk_log_files *out, emk_error *e)
{
    emk_log_files files = {0};
    char path[EMK_LOG_PATH_CAP];
    emk_status st = emk_os_join(path, sizeof path, dir, "log", "", e);

    if (st == EMK_OK && emk_os_exists(path))
        st = emk_os_list_dir(path, list_entry, &files, e);
    if (st != EMK_OK) {
        emk_free(files.first);
        return st;
    }
    *out = files;
    return EMK_OK;
}

bool emk_log_frame(emk_span log, size_t *at, emk_span *leaf, emk_span *entry)
{
    size_t left = log.len - *at, len;

    if (left < EMK_LOG_FRAME_LEN)
        return false;
    len = emk_load_u16be(log.p + *at);
    if (len == 0 || len > EMK_JOURNAL_RECORD_MAX || left - EMK_LOG_FRAME_LEN < len)
        return false;
    *leaf = emk_span_of(log.p + *at + 2, EMK_TREE_HASH_LEN);
    *entry = emk_span_of(log.p + *at + EMK_LOG_FRAME_LEN, len);
    *at += EMK_LOG_FRAME_LEN + len;
    return true;
}

/* ---- recovery ---- */

/* What is found out on the way. */
typedef struct recovery {
    emk_log_files files;
    emk_tree_head checkpoint; /* size 0: none */
    emk_chain_head head;      /* size 0: none */
    emk_chain chain;
    bool has_chain;
    uint64_t size;        /* entries so far */
    uint64_t base;        /* the first that goes into the tree anew */
    uint64_t epoch;       /* of the last entry */
    uint64_t log_len;     /* of the last file, good part */
    bool closed_in_order; /* the last entry says so */
} recovery;

static emk_status read_small(const char *dir, const char *name, size_t max, emk_buf *out,
                             emk_error *e)
{
    char path[EMK_LOG_PATH_CAP];
    emk_status st = emk_os_join(path, sizeof path, dir, name, "", e);

    if (st == EMK_OK && emk_os_exists(path))
        st = emk_os_read_file(path, max, out, e);
    return st;
}

static emk_status read_checkpoint(emk_journal *j, recovery *r, emk_error *e)
{
    emk_buf note;
    emk_status st;

    emk_buf_init(&note, EMK_NOTE_MAX);
    st = read_small(j->o.dir, "checkpoint", EMK_NOTE_MAX, &note, e);
    if (st == EMK_OK && note.len)
        st = emk_checkpoint_verify(j->c, &j->key, emk_buf_span(&note), &r->checkpoint, e);
    emk_buf_done(&note);
    return st;
}

/* Damaged ones are as missing: the head then shows less, and the chain begins anew. */
static emk_status read_chain(emk_journal *j, recovery *r, emk_error *e)
{
    uint8_t bytes[EMK_CHAIN_FILE_LEN];
    uint64_t len = 0;
    emk_status st = emk_os_file_size(j->chain_fd, &len, e);

    if (st == EMK_OK && len == sizeof bytes) {
        st = emk_os_read_at(j->chain_fd, 0, bytes, sizeof bytes, e);
        if (st == EMK_OK)
            r->has_chain =
                emk_chain_read(j->c, emk_span_of(bytes, sizeof bytes), &r->chain, NULL) == EMK_OK;
        emk_wipe(bytes, sizeof bytes);
    }
    if (st == EMK_OK)
        st = emk_os_file_size(j->head_fd, &len, e);
    if (st == EMK_OK && len == EMK_HEAD_FILE_LEN) {
        st = emk_os_read_at(j->head_fd, 0, bytes, EMK_HEAD_FILE_LEN, e);
        if (st == EMK_OK && emk_chain_head_read(j->c, emk_span_of(bytes, EMK_HEAD_FILE_LEN),
                                                &r->head, NULL) != EMK_OK)
            r->head = (emk_chain_head){0};
    }
    return st;
}

static emk_status follow_chain(emk_journal *j, recovery *r, const emk_journal_record *rec,
                               emk_span entry, emk_error *e)
{
    if (!r->has_chain || rec->seq != r->chain.seq)
        return EMK_OK;
    if (rec->epoch != r->chain.epoch || memcmp(rec->link, r->chain.link, sizeof rec->link) != 0)
        return emk_fail(e, EMK_E_SEALED, "journal: an entry does not fit the chain", rec->seq);
    return emk_chain_step(j->c, &r->chain, entry, e);
}

static emk_status take_frame(emk_journal *j, recovery *r, emk_span leaf, emk_span entry,
                             emk_error *e)
{
    emk_journal_record rec;
    emk_tree_hash hash;
    emk_status st = emk_tree_leaf(j->sha, entry, &hash, e);

    if (st != EMK_OK)
        return st;
    if (memcmp(hash.b, leaf.p, sizeof hash.b) != 0)
        return emk_fail(e, EMK_E_FORMAT, "journal: a damaged entry", r->size);
    st = emk_journal_record_read(entry, &rec, e);
    if (st == EMK_OK && rec.seq != r->size)
        st = emk_fail(e, EMK_E_SEALED, "journal: an entry with another number", r->size);
    if (st == EMK_OK)
        st = follow_chain(j, r, &rec, entry, e);
    if (st != EMK_OK)
        return st;
    r->epoch = rec.epoch;
    r->closed_in_order = emk_span_equal(rec.event.type, emk_span_str("journal.stop"));
    r->size++;
    return EMK_OK;
}

static emk_status hand_over(emk_journal *j, emk_span frames, uint64_t first, emk_error *e)
{
    emk_chunk *c;
    emk_status st;

    if (frames.len == 0)
        return EMK_OK;
    c = emk_alloc(1, sizeof *c);
    if (!c)
        return emk_fail(e, EMK_E_NO_MEMORY, "journal: memory", sizeof *c);
    emk_buf_init(&c->frames, EMK_LOG_FILE_MAX);
    c->first = first;
    st = emk_buf_append(&c->frames, frames, e);
    if (st != EMK_OK) {
        emk_chunk_free(c);
        return st;
    }
    j->pub.work = c;
    return emk_publish_work(&j->pub, e);
}

/* Reads the frames of one file.  Returns EMK_OK also when it ends in something that is no frame:
 * *good then is less than the file has. */
static emk_status read_frames(emk_journal *j, recovery *r, emk_span log, size_t *good, emk_error *e)
{
    size_t at = EMK_LOG_HEAD_LEN, from = at, start = at;
    emk_span leaf, entry;
    emk_status st = EMK_OK;
    uint64_t first;

    while (st == EMK_OK && emk_log_frame(log, &at, &leaf, &entry)) {
        st = take_frame(j, r, leaf, entry, e);
        if (st != EMK_OK)
            break;
        if (r->size <= r->base)
            from = at;
        start = at;
    }
    if (st == EMK_E_FORMAT) /* a torn write, or damage: who called knows */
        st = EMK_OK;
    first = r->size;
    *good = start;
    return st == EMK_OK ? hand_over(j, emk_span_of(log.p + from, start - from), first, e) : st;
}

static emk_status check_end(emk_journal *j, recovery *r, bool last, uint64_t len, emk_error *e)
{
    if (r->log_len == len)
        return EMK_OK;
    if (!last)
        return emk_fail(e, EMK_E_FORMAT, "journal: a damaged log file", r->size);
    if (r->size < r->head.size || (r->has_chain && r->size < r->chain.seq))
        return emk_fail(e, EMK_E_FORMAT, "journal: an acknowledged entry is damaged", r->size);
    j->state.torn_len = len - r->log_len;
    return EMK_OK;
}

static emk_status read_log(emk_journal *j, recovery *r, size_t i, emk_error *e)
{
    char path[EMK_LOG_PATH_CAP];
    bool last = i + 1 == r->files.n;
    size_t good = 0;
    emk_buf log;
    emk_status st = emk_log_path(j->o.dir, r->files.first[i], path, e);

    emk_buf_init(&log, EMK_LOG_FILE_MAX);
    if (st == EMK_OK)
        st = emk_os_read_file(path, EMK_LOG_FILE_MAX, &log, e);
    if (st == EMK_OK && r->files.first[i] != r->size)
        st = emk_fail(e, EMK_E_STALE, "journal: a log file is missing", r->size);
    if (st == EMK_OK && log.len >= EMK_LOG_HEAD_LEN) {
        if (memcmp(log.p, MAGIC, sizeof MAGIC) != 0 ||
            emk_load_u64be(log.p + 8) != r->files.first[i])
            st = emk_fail(e, EMK_E_FORMAT, "journal: not a log file", r->size);
        else
            st = read_frames(j, r, emk_buf_span(&log), &good, e);
    }
    r->log_len = good;
    if (st == EMK_OK)
        st = check_end(j, r, last, log.len, e);
    emk_buf_done(&log);
    return st;
}

static emk_status read_logs(emk_journal *j, recovery *r, emk_error *e)
{
    uint64_t first = r->files.first[0];
    emk_status st;

    r->size = first;
    r->base = (first + EMK_TILE_WIDTH - 1) / EMK_TILE_WIDTH * EMK_TILE_WIDTH;
    st = emk_publish_load(&j->pub, j->o.dir, r->base, e);
    if (st == EMK_E_NOT_FOUND)
        st = emk_fail(e, EMK_E_STALE, "journal: published files are missing", r->base);
    for (size_t i = 0; i < r->files.n && st == EMK_OK; i++)
        st = read_log(j, r, i, e);
    if (st == EMK_OK && r->size < r->base)
        st = emk_fail(e, EMK_E_STALE, "journal: entries are missing", r->size);
    return st;
}

/* Is what is there all that was promised? */
static emk_status check_promises(emk_journal *j, recovery *r, emk_error *e)
{
    emk_tree_hash root;
    emk_status st;

    if (r->size < r->head.size || (r->has_chain && r->size < r->chain.seq))
        return emk_fail(e, EMK_E_STALE, "journal: acknowledged entries are missing", r->size);
    if (r->size < r->checkpoint.size)
        return emk_fail(e, EMK_E_STALE, "journal: the checkpoint is ahead of the data", r->size);
    if (r->checkpoint.size == 0)
        return EMK_OK;
    st = emk_publish_edge(&j->pub, e);
    if (st == EMK_OK)
        st = emk_publish_root_at(&j->pub, j->o.dir, r->checkpoint.size, &root, e);
    if (st == EMK_OK && memcmp(root.b, r->checkpoint.root.b, sizeof root.b) != 0)
        st = emk_fail(e, EMK_E_SEALED, "journal: the data are not what the checkpoint says",
                      r->checkpoint.size);
    return st;
}

/* A new key, taken to the auditor before anything is authenticated with it. */
static emk_status new_epoch(emk_journal *j, recovery *r, emk_error *e)
{
    uint64_t before = r->epoch > r->head.epoch ? r->epoch : r->head.epoch;
    emk_chain ch = {.epoch = before + 1, .seq = r->size};
    emk_status st = emk_random_secret(j->c, ch.key, sizeof ch.key, e);

    if (st == EMK_OK && j->o.escrow)
        st = j->o.escrow(j->o.escrow_self, ch.epoch, ch.key, e);
    if (st == EMK_OK) {
        j->chain = ch;
        j->state.new_epoch = r->size > 0;
    }
    emk_wipe(&ch, sizeof ch);
    return st;
}

static emk_status open_last(emk_journal *j, recovery *r, emk_error *e)
{
    char path[EMK_LOG_PATH_CAP];
    uint64_t first = r->files.n ? r->files.first[r->files.n - 1] : 0;
    emk_status st;

    if (r->files.n == 0 || r->log_len == 0) { /* none, or killed before its head was whole */
        st = emk_log_create(j->o.dir, first, &j->log_fd, e);
        r->log_len = EMK_LOG_HEAD_LEN;
        return st;
    }
    st = emk_log_path(j->o.dir, first, path, e);
    if (st == EMK_OK)
        st = emk_os_open_update(path, &j->log_fd, e);
    if (st == EMK_OK)
        st = emk_os_truncate(j->log_fd, r->log_len, e);
    return st == EMK_OK ? emk_os_sync(j->log_fd, e) : st;
}

static emk_status recover(emk_journal *j, recovery *r, emk_error *e)
{
    emk_status st = read_checkpoint(j, r, e);

    if (st == EMK_OK)
        st = read_chain(j, r, e);
    if (st == EMK_OK)
        st = emk_log_list(j->o.dir, &r->files, e);
    if (st == EMK_OK && r->files.n > 0)
        st = read_logs(j, r, e);
    if (st == EMK_OK)
        st = check_promises(j, r, e);
    if (st == EMK_OK)
        st = open_last(j, r, e);
    if (st != EMK_OK)
        return st;
    if (r->has_chain && r->chain.seq == r->size)
        j->chain = r->chain;
    else
        st = new_epoch(j, r, e);
    j->pub.last = r->checkpoint;
    j->log_len = r->log_len;
    j->rotated = r->files.n > 1;
    j->state.recovered = r->size > 0 && !r->closed_in_order;
    j->state.size = r->size;
    j->state.epoch = j->chain.epoch;
    j->state.checkpoint_size = r->checkpoint.size;
    return st;
}

emk_status emk_journal_recover(emk_journal *j, emk_error *e)
{
    recovery r = {0};
    emk_status st = recover(j, &r, e);

    emk_free(r.files.first);
    emk_wipe(&r.chain, sizeof r.chain);
    return st;
}
