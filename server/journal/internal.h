/* What the files of the journal share: journal.c appends, publish.c makes the published files,
 * recover.c reads what was left.
 *
 * A log file ("log/<first entry, 16 hex digits>.log") is 16 bytes, magic and first number, and
 * then frames: length of the entry in 2 bytes, its leaf hash, the entry. */
#ifndef EMK_SERVER_JOURNAL_INTERNAL_H
#define EMK_SERVER_JOURNAL_INTERNAL_H

#include "core/base/buf.h"
#include "core/base/turns.h"
#include "server/journal/chain.h"
#include "server/journal/journal.h"
#include "server/journal/note.h"
#include "server/journal/tiles.h"

#define EMK_LOG_HEAD_LEN  16u
#define EMK_LOG_FRAME_LEN (2u + EMK_TREE_HASH_LEN)
#define EMK_LOG_FILE_MAX  (64u << 20)
#define EMK_LOG_NAME_CAP  32u
#define EMK_LOG_PATH_CAP  4096u

/* Frames of entries one after the other: what one write took. */
typedef struct emk_chunk {
    struct emk_chunk *next;
    uint64_t first; /* number of the first entry */
    size_t n;
    size_t at; /* publisher: next byte */
    emk_buf frames;
} emk_chunk;

/* The right edge of the tree as tiles that are not full, and the bundle beside them.  Used by
 * one thread at a time, under `lock`. */
typedef struct emk_publisher {
    /* Takes a tile that is ready: the journal writes it, an auditor compares it. */
    emk_status (*put)(void *self, const emk_tile *t, emk_span bytes, emk_error *e);
    void *put_self;
    emk_lock *lock; /* NULL: an auditor's */
    emk_sha256_ctx *sha;
    emk_chunk *work; /* not yet in the tree */
    uint64_t size;   /* entries in it */
    emk_buf bundle;
    unsigned n[EMK_TILE_LEVELS]; /* hashes in each tile; 256: full, not yet written */
    emk_tree_hash tile[EMK_TILE_LEVELS][EMK_TILE_WIDTH];
    emk_tree_head last; /* what the last checkpoint says */
} emk_publisher;

/* An event that waits in memory for the disk. */
typedef struct emk_spooled {
    struct emk_spooled *next;
    emk_journal_event event; /* points behind this struct */
    size_t len;
} emk_spooled;

struct emk_journal {
    const emk_crypto *c;
    emk_journal_options o;
    emk_note_key key;
    int lock_fd;

    emk_lock *lock;  /* over this block */
    emk_turns turns; /* who leads writes a group, and owns the next block */
    size_t queued_len;
    emk_spooled *spool, **spool_last;
    size_t spool_len;
    emk_chunk *fresh, **fresh_last; /* written, for the publisher */
    size_t fresh_len;
    bool rotated; /* there may be log files to drop */
    uint64_t n_failed, checkpoint_at_ms;
    emk_journal_state state;

    emk_chain chain;
    emk_sha256_ctx *sha;
    int log_fd, chain_fd, head_fd;
    uint64_t log_len;
    bool broken; /* behind log_len there may be the rest of a failed write */

    emk_publisher pub;

    emk_lock *tick;
    emk_thread *thread;
    bool stop, hurry;
};

/* An append on its way; on the stack of who makes it. */
typedef struct emk_waiting {
    emk_turn turn; /* first */
    const emk_journal_event *events;
    size_t n, len;
    uint64_t first_seq;
    emk_status status;
    emk_error error;
    bool hurry, help; /* told to who led: a checkpoint is due, publishing lags */
} emk_waiting;

void emk_chunk_free(emk_chunk *c);

/* Lets go of everything without writing anything, as a kill would. */
void emk_journal_abandon(emk_journal *j);

/* ---- publish.c ---- */

/* Puts the work that is there into the tree, writing tiles that are full.  What could not be
 * written stays for the next call. */
emk_status emk_publish_work(emk_publisher *p, emk_error *e) EMK_MUST_CHECK;
/* One entry into the tree, when no tile is full; and what is full then, put out. */
emk_status emk_publish_entry(emk_publisher *p, emk_span leaf, emk_span entry,
                             emk_error *e) EMK_MUST_CHECK;
emk_status emk_publish_full(emk_publisher *p, emk_error *e) EMK_MUST_CHECK;
/* The root of what is in the tree. */
emk_status emk_publish_root(emk_publisher *p, emk_tree_hash *out, emk_error *e) EMK_MUST_CHECK;
/* Takes over what was appended meanwhile, then the same. */
emk_status emk_publish_fresh(emk_journal *j, emk_error *e) EMK_MUST_CHECK;
/* Puts out the tiles that are not full. */
emk_status emk_publish_edge(emk_publisher *p, emk_error *e) EMK_MUST_CHECK;
/* Loads the edge at `size`, a multiple of 256, from full tiles. */
emk_status emk_publish_load(emk_publisher *p, const char *dir, uint64_t size,
                            emk_error *e) EMK_MUST_CHECK;
/* The root of the first `size` entries, from the files of a tree of p->size. */
emk_status emk_publish_root_at(emk_publisher *p, const char *dir, uint64_t size, emk_tree_hash *out,
                               emk_error *e) EMK_MUST_CHECK;

/* ---- recover.c ---- */

/* "<dir>/log/<first>.log" */
emk_status emk_log_path(const char *dir, uint64_t first, char out[EMK_LOG_PATH_CAP],
                        emk_error *e) EMK_MUST_CHECK;
/* The first number of a log file's name; false for other names. */
bool emk_log_name_read(const char *name, uint64_t *first);
/* Makes an empty log file that begins with entry `first`, durably. */
emk_status emk_log_create(const char *dir, uint64_t first, int *fd, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_log_files {
    uint64_t *first; /* ascending; free with emk_free */
    size_t n, cap;
} emk_log_files;
/* Fills *out.  A folder without log files, or none at all, is fine. */
emk_status emk_log_list(const char *dir, emk_log_files *out, emk_error *e) EMK_MUST_CHECK;

/* One frame at *at, which is moved behind it.  False at the end or where it is cut short. */
bool emk_log_frame(emk_span log, size_t *at, emk_span *leaf, emk_span *entry);

/* Brings an emk_journal whose options, key, locks and contexts are set to where it was. */
emk_status emk_journal_recover(emk_journal *j, emk_error *e) EMK_MUST_CHECK;

#endif
