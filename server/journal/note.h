/* Checkpoints: what a log says about itself, as a signed note.  [C2SP tlog-checkpoint]
 * [C2SP signed-note]
 *
 *     <origin>\n<size>\n<root in base64>\n\n— <origin> <base64 of key id and signature>\n
 *
 * Keys are Ed25519 (type 0x01); the name of the key is the origin of the log.  Other signatures,
 * of witnesses, may stand beside ours and are not looked at. */
#ifndef EMK_SERVER_JOURNAL_NOTE_H
#define EMK_SERVER_JOURNAL_NOTE_H

#include "core/base/buf.h"
#include "core/crypto/crypto.h"
#include "server/journal/journal.h"
#include "server/journal/tree.h"

#define EMK_NOTE_MAX        8192u /* bytes of a note */
#define EMK_NOTE_LINES_MAX  64u
#define EMK_NOTE_KEY_ID_LEN 4u
#define EMK_NOTE_VKEY_MAX   256u /* bytes of a verifier key */

typedef struct emk_note_key {
    char name[EMK_JOURNAL_ORIGIN_MAX + 1];
    uint8_t public_key[32];
    uint8_t id[EMK_NOTE_KEY_ID_LEN];
} emk_note_key;

/* Fills *out.  EMK_E_USAGE for a name that is empty, too long, or has spaces, '+' or controls. */
emk_status emk_note_key_init(const emk_crypto *c, const char *name, const uint8_t public_key[32],
                             emk_note_key *out, emk_error *e) EMK_MUST_CHECK;

/* The verifier key "name+id+key", as a text of one line without its end.  EMK_E_FORMAT. */
emk_status emk_note_key_read(const emk_crypto *c, emk_span text, emk_note_key *out,
                             emk_error *e) EMK_MUST_CHECK;
emk_status emk_note_key_write(const emk_note_key *k, char out[EMK_NOTE_VKEY_MAX],
                              emk_error *e) EMK_MUST_CHECK;

/* Appends the checkpoint to *out, signed by `sign`. */
emk_status emk_checkpoint_sign(const emk_note_key *k, emk_journal_sign_fn sign, void *self,
                               const emk_tree_head *head, emk_buf *out,
                               emk_error *e) EMK_MUST_CHECK;

/* Appends one more signature to a checkpoint in *note, of another key of the same log. */
emk_status emk_checkpoint_cosign(const emk_note_key *k, emk_journal_sign_fn sign, void *self,
                                 emk_buf *note, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a checkpoint, without looking at signatures.  EMK_E_FORMAT, EMK_E_LIMIT. */
emk_status emk_checkpoint_read(emk_span note, emk_tree_head *out, emk_error *e) EMK_MUST_CHECK;

/* The same when it is of the log k->name and k signed it.  EMK_E_SIGNATURE otherwise. */
emk_status emk_checkpoint_verify(const emk_crypto *c, const emk_note_key *k, emk_span note,
                                 emk_tree_head *out, emk_error *e) EMK_MUST_CHECK;

/* A key, and who signs with it. */
typedef struct emk_note_signer {
    const emk_note_key *key;
    emk_journal_sign_fn sign;
    void *self;
} emk_note_signer;

/* A handover: a checkpoint with one line more, the verifier key of who signs from then on.
 * Appends it to *out, signed by `by`; the new key cosigns, to show that it is there. */
emk_status emk_handover_sign(const emk_note_signer *by, const emk_note_key *next,
                             const emk_tree_head *head, emk_buf *out, emk_error *e) EMK_MUST_CHECK;
/* Fills *head and *next when k and the key that it names have signed it.  EMK_E_SIGNATURE;
 * EMK_E_FORMAT for what is none. */
emk_status emk_handover_verify(const emk_crypto *c, const emk_note_key *k, emk_span note,
                               emk_tree_head *head, emk_note_key *next,
                               emk_error *e) EMK_MUST_CHECK;

#endif
