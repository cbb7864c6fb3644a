/* The engine's event log: JSON lines in pieces, "events-<offset>.jsonl", each named after the
 * bytes before it.  A restart reads the lines behind the snapshot again, a new rule set all that
 * are there; `earmark fraud replay` reads the pieces one after the other.
 *
 * Lines are with the operating system when append returns, and on the disk at the next sync: a
 * killed server loses nothing, a power cut the events since then.
 *
 * Thread rule: append, sync and drop are called by one thread at a time; reading may run beside
 * appending, up to an end that was asked for before. */
#ifndef EMK_SERVER_FRAUD_LOG_H
#define EMK_SERVER_FRAUD_LOG_H

#include "server/fraud/event.h"

#define EMK_FRAUD_PIECES_MAX 4096u
#define EMK_FRAUD_DIR_MAX    900u

typedef struct emk_fraud_log emk_fraud_log;

/* Opens or begins the log in dir, which it makes; cuts off a last line that was not finished.
 * Gives; close with emk_fraud_log_close.  Copies dir.  EMK_E_IO, EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_fraud_log_open(const char *dir, uint64_t piece_max, emk_fraud_log **out,
                              emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_fraud_log_close(emk_fraud_log *l);

/* Bytes so far, over all pieces, also of those that are gone. */
uint64_t emk_fraud_log_end(const emk_fraud_log *l);

/* Appends a line, without its newline.  Nothing is appended unless EMK_OK: EMK_E_IO,
 * EMK_E_LIMIT. */
emk_status emk_fraud_log_append(emk_fraud_log *l, emk_span line, emk_error *e) EMK_MUST_CHECK;
emk_status emk_fraud_log_sync(emk_fraud_log *l, emk_error *e) EMK_MUST_CHECK;
/* Removes pieces that end before `below`, but for the newest `keep`. */
emk_status emk_fraud_log_drop(emk_fraud_log *l, uint64_t below, unsigned keep,
                              emk_error *e) EMK_MUST_CHECK;

/* Overwrites lines from the beginning to `to` that have one of the names between quotes, with
 * blanks: they stay where they are, and are no events any more.  May run beside append and read,
 * not beside drop.  EMK_E_IO, EMK_E_LIMIT, EMK_E_NO_MEMORY. */
#define EMK_FRAUD_BLANK_MAX 64u
emk_status emk_fraud_log_blank(const char *dir, uint64_t to, const emk_span *names, size_t n_names,
                               emk_error *e) EMK_MUST_CHECK;

/* What is done with each line; end: the offset behind it. */
typedef emk_status (*emk_fraud_log_fn)(void *self, emk_span line, uint64_t end, emk_error *e);
/* Calls fn for the lines from `from` to `to` (offsets at which lines begin); begins later where
 * older pieces are gone.  EMK_E_IO, EMK_E_NO_MEMORY, what fn says. */
emk_status emk_fraud_log_read(const char *dir, uint64_t from, uint64_t to, emk_fraud_log_fn fn,
                              void *self, emk_error *e) EMK_MUST_CHECK;

#endif
