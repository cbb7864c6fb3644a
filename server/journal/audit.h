/* Checking a log with nothing but its files and a public key.
 *
 * Six verdicts, never one "ok": each says what was checked and what was found first. */
#ifndef EMK_SERVER_JOURNAL_AUDIT_H
#define EMK_SERVER_JOURNAL_AUDIT_H

#include "server/journal/journal.h"
#include "server/journal/note.h"

typedef enum emk_audit_verdict {
    EMK_AUDIT_NOT_CHECKED, /* what is needed for it was not given, or not reached */
    EMK_AUDIT_INTACT,
    EMK_AUDIT_INCOMPLETE, /* something is not there */
    EMK_AUDIT_TAMPERED
} emk_audit_verdict;

/* "intact" and so on.  Never NULL. */
const char *emk_audit_verdict_name(emk_audit_verdict v);

typedef struct emk_audit_finding {
    emk_audit_verdict verdict;
    const char *what; /* static; NULL when intact */
    uint64_t where;   /* an entry */
} emk_audit_finding;

typedef struct emk_audit_report {
    emk_audit_finding records;      /* each parses and has its number */
    emk_audit_finding macs;         /* the chain, from the keys given */
    emk_audit_finding tree;         /* entries, tiles and the checkpoint's root agree */
    emk_audit_finding signature;    /* of the checkpoint, and of handovers to its key */
    emk_audit_finding consistency;  /* with the checkpoint trusted before */
    emk_audit_finding completeness; /* nothing that was promised is missing */
    emk_tree_head checkpoint;       /* size 0: none */
    uint64_t n_entries;             /* seen, those behind the checkpoint included */
    uint64_t n_epochs, n_starts;
    uint64_t n_handovers;    /* from the key that was given to the one that signs */
    uint64_t n_late, n_gaps; /* gaps: longer than twice the heartbeat without an entry */
    uint64_t first_ms, last_ms;
    bool closed; /* the last entry is a stop */
} emk_audit_report;

/* The first key of an epoch, as the escrow got it. */
typedef struct emk_audit_key {
    uint64_t epoch;
    uint8_t key[EMK_JOURNAL_KEY_LEN];
} emk_audit_key;

typedef struct emk_audit {
    const char *dir;
    const emk_note_key *key; /* NULL: the signature is not checked.  Where this one handed the log
                              * over to another, that one's counts [handover.h] */
    emk_span trusted;        /* an earlier checkpoint; empty: none */
    const emk_audit_key *chain_keys;
    size_t n_chain_keys;
    uint32_t heartbeat_s; /* entries are at most twice so far apart; 0: not asked */
} emk_audit;

/* Reads the whole log and fills *out.  EMK_OK whatever was found; else the log could not be
 * looked at: EMK_E_NOT_FOUND, EMK_E_IO, EMK_E_NO_MEMORY, EMK_E_CRYPTO, EMK_E_SIGNATURE or
 * EMK_E_FORMAT of the checkpoint that is to be trusted. */
emk_status emk_audit_verify(const emk_crypto *c, const emk_audit *a, emk_audit_report *out,
                            emk_error *e) EMK_MUST_CHECK;

/* All verdicts as one: TAMPERED before INCOMPLETE before NOT_CHECKED (of records, tree, signature
 * or completeness) before INTACT. */
emk_audit_verdict emk_audit_sum(const emk_audit_report *r);

/* ---- entries ---- */

/* The entries of a log in order: from the bundles as far as the checkpoint goes, then from the
 * log files. */
typedef struct emk_audit_entries emk_audit_entries;

/* Gives a reader that begins with entry `from`; free with emk_audit_entries_free.  Keeps dir.
 * A log without a checkpoint, or with something else in its place, is read from its log files
 * alone.  The log may be written meanwhile: the reader follows its checkpoint. */
emk_status emk_audit_entries_new(const char *dir, uint64_t from, emk_audit_entries **out,
                                 emk_error *e) EMK_MUST_CHECK;
/* Entries under the checkpoint. */
uint64_t emk_audit_entries_size(const emk_audit_entries *x);
/* Lends the next entry until the next call.  EMK_E_NOT_FOUND: no more (where = its number), or a
 * bundle that must be there is not; EMK_E_FORMAT: a damaged bundle. */
emk_status emk_audit_entries_next(emk_audit_entries *x, emk_span *entry, uint64_t *seq,
                                  emk_error *e) EMK_MUST_CHECK;
void emk_audit_entries_free(emk_audit_entries *x);

/* ---- proofs ---- */

typedef struct emk_audit_proof {
    emk_tree_head head; /* of the checkpoint */
    uint64_t index;
    emk_tree_hash leaf;
    emk_tree_proof proof;
} emk_audit_proof;

/* Proves from the tiles that entry `index` is under the checkpoint, or that an older tree is its
 * beginning (then leaf is not filled).  The proof has been verified.  EMK_E_NOT_FOUND for an
 * entry behind the checkpoint; EMK_E_SEALED when the files do not fit it. */
emk_status emk_audit_prove(const emk_crypto *c, const char *dir, uint64_t index,
                           emk_audit_proof *out, emk_error *e) EMK_MUST_CHECK;
emk_status emk_audit_prove_growth(const emk_crypto *c, const char *dir, const emk_tree_head *old,
                                  emk_audit_proof *out, emk_error *e) EMK_MUST_CHECK;

#endif
