/* An operator's word, given on the server's machine, for one change of the keys.
 *
 * A file `permit` in the keys' folder, which the HTTP process can neither read nor write: made by
 * `earmarkd permit`, taken away by the keyholder before the change begins.  It is as strong as the
 * key files beside it: who can write there has the keys anyway.
 *
 *     "EMKPERM1", action 1, force 1, good until 8, id of a key 8 (zeros where a key is made)
 *
 * Numbers big-endian. */
#ifndef EMK_SERVER_DAEMON_KEYHOLDER_PERMIT_H
#define EMK_SERVER_DAEMON_KEYHOLDER_PERMIT_H

#include "core/seal/cose.h"

#include <stdbool.h>

#define EMK_PERMIT_FILE   "permit"
#define EMK_PERMIT_LEN    26u
#define EMK_PERMIT_LIFE_S 900u /* one that is good for longer is none */

typedef enum emk_key_action {
    EMK_KEY_ROTATE_ISSUER = 1,
    EMK_KEY_ROTATE_SEALING,
    EMK_KEY_RETIRE_ISSUER,
    EMK_KEY_ACTIONS
} emk_key_action;

typedef struct emk_permit {
    emk_key_action action;
    bool force; /* also before its time */
    uint64_t until_s;
    uint8_t kid[EMK_COSE_KID_LEN]; /* of the key to be retired */
} emk_permit;

/* EMK_E_FORMAT. */
emk_status emk_permit_parse(emk_span in, emk_permit *out, emk_error *e) EMK_MUST_CHECK;
/* Reads the one of a folder.  EMK_E_NOT_FOUND; EMK_E_USAGE when others may open it; EMK_E_FORMAT;
 * EMK_E_IO. */
emk_status emk_permit_read(const char *dir, emk_permit *out, emk_error *e) EMK_MUST_CHECK;
/* Puts one there, in the place of what is there. */
emk_status emk_permit_write(const char *dir, const emk_permit *p, emk_error *e) EMK_MUST_CHECK;
/* Takes it away, durably.  One that is gone is fine. */
emk_status emk_permit_remove(const char *dir, emk_error *e) EMK_MUST_CHECK;

#endif
