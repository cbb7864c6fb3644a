/* The audit log: entries that, once acknowledged, cannot be lost by a kill and cannot be changed
 * without being seen.
 *
 * Entries are chained by a MAC whose key is hashed forward and wiped, are the leaves of an RFC
 * 6962 tree, and are published as plain files in the C2SP tlog-tiles layout under signed
 * checkpoints; docs/spec/journal.md says how, verify.h checks it with files and a public key.
 *
 * A folder belongs to one process.  In it:
 *   log/<first entry>     what is durable, from the last checkpoint at the latest
 *   chain, head           the chain's key (secret), and how far was acknowledged
 *   tile/…, checkpoint    what may be shown to everybody
 *
 * When the log cannot be written, emk_journal_append fails and what was to be granted is not.
 * emk_journal_append_always is for what must happen anyway (revocations): its entries then wait
 * in bounded memory, are written first when writing works again, marked late, and what did not
 * fit is counted in an entry of its own.
 *
 * Thread rule: any number of threads may append; those that wait share one write. */
#ifndef EMK_SERVER_JOURNAL_JOURNAL_H
#define EMK_SERVER_JOURNAL_JOURNAL_H

#include "core/crypto/crypto.h"
#include "server/journal/record.h"

#define EMK_JOURNAL_ORIGIN_MAX 128u       /* bytes */
#define EMK_JOURNAL_BATCH_MAX  1024u      /* events of one append */
#define EMK_JOURNAL_QUEUE_MAX  (8u << 20) /* bytes that wait for being written */
#define EMK_JOURNAL_SPOOL_MAX  (1u << 20) /* bytes that wait for the disk, in memory */
#define EMK_JOURNAL_KEY_LEN    32u

/* Makes an Ed25519 signature over msg: the keyholder's answer.  Called by one thread at a time,
 * without any lock of an appender held. */
typedef emk_status (*emk_journal_sign_fn)(void *self, emk_span msg, uint8_t sig[64], emk_error *e);

/* Takes the first key of a chain away from this machine, or at least from this process, so that
 * an auditor can check the MACs.  Called once for each epoch, before its first entry.  The key
 * must not stay where the log is. */
typedef emk_status (*emk_journal_escrow_fn)(void *self, uint64_t epoch,
                                            const uint8_t key[EMK_JOURNAL_KEY_LEN], emk_error *e);

typedef struct emk_journal_options {
    const char *dir;        /* made (mode 0700) unless it is there */
    const char *origin;     /* the log's name: "audit.example.com/earmark"; no '+', no spaces */
    uint8_t public_key[32]; /* Ed25519, of the signer */
    emk_journal_sign_fn sign;
    void *sign_self;
    emk_journal_escrow_fn escrow; /* NULL: nobody will be able to check the MACs */
    void *escrow_self;
    uint32_t checkpoint_ms;    /* a checkpoint at least so often while there is something new;
                                  0: only emk_journal_checkpoint makes them, and no thread runs */
    uint32_t checkpoint_every; /* … or after so many entries; 0: 1000 */
    uint32_t heartbeat_s;      /* an entry at least so often; 0: none.  Needs the thread */
} emk_journal_options;

typedef struct emk_journal emk_journal;

/* Where appended events went. */
typedef struct emk_journal_place {
    uint64_t first_seq; /* the first of them; UINT64_MAX: not written yet (append_always) */
    bool durable;
} emk_journal_place;

typedef struct emk_journal_state {
    uint64_t size;              /* entries acknowledged */
    uint64_t checkpoint_size;   /* entries under the last checkpoint */
    uint64_t checkpoint_age_ms; /* since the last one that was signed, or since opening */
    uint64_t spooled, lost;     /* events that wait for the disk; that did not fit */
    uint64_t n_groups;          /* writes so far: size / n_groups is how well they are shared */
    uint64_t last_commit_ns;    /* of the last write */
    uint64_t epoch;
    bool writable;     /* false: grants must stop.  Readiness asks this */
    bool signing;      /* false: the last checkpoint could not be signed or written */
    bool recovered;    /* what was read at opening had not been closed in order */
    bool new_epoch;    /* the chain's key was missing: somebody should ask why */
    uint64_t torn_len; /* bytes of an unfinished, never acknowledged write cut off */
} emk_journal_state;

/* Opens a log, making it or recovering it, and gives it in *out; end with emk_journal_close.
 * Keeps c and what the options point to.
 *   EMK_E_BUSY       another process has it
 *   EMK_E_STALE      acknowledged entries are missing, or the checkpoint is ahead of the data:
 *                    the log is not continued (where = the entry)
 *   EMK_E_SIGNATURE  the checkpoint is not this key's
 *   EMK_E_SEALED     entries do not fit the chain or the tree: somebody changed them
 *   EMK_E_FORMAT     a file is damaged
 *   EMK_E_IO, EMK_E_USAGE, EMK_E_LIMIT, EMK_E_NO_MEMORY, EMK_E_CRYPTO */
emk_status emk_journal_open(const emk_crypto *c, const emk_journal_options *options,
                            emk_journal **out, emk_error *e) EMK_MUST_CHECK;

/* Appends n (1..EMK_JOURNAL_BATCH_MAX) events, next to each other and in this order; borrows
 * them.  They are durable when it returns EMK_OK; place may be NULL.  EMK_E_IO: the log cannot be
 * written, nothing was acknowledged, do not grant.  EMK_E_BUSY: too much is waiting already.
 * EMK_E_USAGE, EMK_E_LIMIT or EMK_E_FORMAT (where = the event's index is not told): an event
 * cannot become an entry. */
emk_status emk_journal_append(emk_journal *j, const emk_journal_event *events, size_t n,
                              emk_journal_place *place, emk_error *e) EMK_MUST_CHECK;

/* The same for one event that must not be stopped by a disk: when it cannot be written it waits
 * in memory and this is EMK_OK with place->durable false. */
emk_status emk_journal_append_always(emk_journal *j, const emk_journal_event *event,
                                     emk_journal_place *place, emk_error *e) EMK_MUST_CHECK;

/* Publishes what is durable: tiles, then the signed checkpoint.  EMK_OK also when there is
 * nothing new.  What `sign` says; EMK_E_IO; EMK_E_SEALED when the published tree no longer fits
 * the last checkpoint: then nothing is signed. */
emk_status emk_journal_checkpoint(emk_journal *j, emk_error *e) EMK_MUST_CHECK;

void emk_journal_state_get(emk_journal *j, emk_journal_state *out);

/* Appends `stop`, makes a last checkpoint and frees; no other thread may use it any more.
 * Returns what went wrong on the way, when the log is freed all the same.  NULL is fine. */
emk_status emk_journal_close(emk_journal *j, emk_error *e);

#endif
