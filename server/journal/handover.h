/* Handing a log over to another key, while nobody has it open.  [docs/spec/journal.md 5]
 *
 * The log gets an entry `journal.key` that names the new key, and is closed; a note
 * `handover-<size>` in its folder, signed by both keys, says that the new one signs from there on;
 * the checkpoint is then signed by both.  Who trusts the old key finds the way to the new one.
 *
 * Killed in between, the log is still the old key's, and all of it may be done again. */
#ifndef EMK_SERVER_JOURNAL_HANDOVER_H
#define EMK_SERVER_JOURNAL_HANDOVER_H

#include "core/crypto/sign.h"
#include "server/journal/note.h"

#define EMK_HANDOVER_TYPE  "journal.key"
#define EMK_HANDOVERS_MAX  64u /* in a log */
#define EMK_HANDOVER_CHARS 25u /* of a file's name: "handover-" and 16 hex digits */

typedef struct emk_handover {
    const char *dir, *origin; /* of the journal */
    const emk_sign_key *from, *to;
} emk_handover;

/* EMK_E_USED for two keys that are one; EMK_E_LIMIT after EMK_HANDOVERS_MAX; EMK_E_POLICY when the
 * log would begin a new chain: open it in order once.  As emk_journal_open and emk_journal_close.
 */
emk_status emk_handover_make(const emk_crypto *c, const emk_handover *h,
                             emk_error *e) EMK_MUST_CHECK;

/* The handovers of a log, by size. */
typedef struct emk_handover_list {
    uint64_t size[EMK_HANDOVERS_MAX];
    size_t n;
} emk_handover_list;
/* EMK_E_LIMIT. */
emk_status emk_handover_list_read(const char *dir, emk_handover_list *out,
                                  emk_error *e) EMK_MUST_CHECK;
/* Appends the note of that size to *out. */
emk_status emk_handover_read(const char *dir, uint64_t size, emk_buf *out,
                             emk_error *e) EMK_MUST_CHECK;

#endif
