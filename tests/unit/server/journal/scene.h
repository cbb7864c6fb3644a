/* What the tests of the journal share: a folder, a key, a journal in it, and an audit of it. */
#ifndef EMK_TESTS_UNIT_SERVER_JOURNAL_SCENE_H
#define EMK_TESTS_UNIT_SERVER_JOURNAL_SCENE_H

#include "core/crypto/sign.h"
#include "server/journal/audit.h"
#include "server/journal/journal.h"

#include <stdbool.h>

#define SCENE_ORIGIN "test.example/audit"

typedef struct scene {
    emk_crypto *c;
    char *dir;      /* a test folder */
    char log[4096]; /* the journal's, in it */
    emk_sign_key *key;
    emk_note_key note_key;
    emk_journal_options options;
    emk_audit_key chain_keys[16]; /* what the escrow got */
    size_t n_chain_keys;
    bool no_signer; /* the keyholder does not answer */
    emk_journal *j;
} scene;

void scene_open(scene *s);  /* everything but the journal */
void scene_close(scene *s); /* the journal too, if it is open */
void scene_start(scene *s); /* opens the journal; fails the test unless that is EMK_OK */
void scene_stop(scene *s);
/* Frees the journal's folder lock as a kill would: only in a child that ends by _exit. */

emk_journal_event scene_event(const char *type);
/* Appends n entries in batches. */
void scene_append(scene *s, size_t n);
/* Audits with the public key and all chain keys. */
emk_audit_report scene_audit(scene *s);

#endif
