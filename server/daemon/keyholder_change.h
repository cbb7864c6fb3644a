/* Whether keys may be changed now, asked of the keyholder's own folder and clock, because whoever
 * asks for it may be a taken-over HTTP process.  [docs/decisions/0024]
 *
 * The life of a change: begin (locks the folder, judges; nothing is written), commit (notes it and
 * uses the permit up: the last step before the first write), end (notes how it went, unlocks).
 *
 * Rules, whichever permit there is: a key is never forgotten while something that it signed may be
 * good, and only so many are kept.  With a permit that says force: an issuer key less than
 * EMK_KEY_INTERVAL_S old is replaced, and a key is retired before its time.  Without any permit:
 * the sealing key is renewed when a third of its certificate's life is left. */
#ifndef EMK_SERVER_DAEMON_KEYHOLDER_CHANGE_H
#define EMK_SERVER_DAEMON_KEYHOLDER_CHANGE_H

#include "server/api/issuers.h"
#include "server/daemon/keyholder_permit.h"

#define EMK_KEY_INTERVAL_S 3600u
#define EMK_KEY_LOCK_FILE  "lock"

/* The keys as they are. */
typedef struct emk_key_state {
    const char *dir;
    const emk_crypto *crypto;
    const emk_issuers *ring;
    const uint8_t *ring_digest; /* of its file, as this process knows it */
    uint64_t needed_s; /* how long after its last day something of an issuer key may be good */
    uint64_t sealing_s, sealing_until_s;
    bool unattended; /* no permits: for --dev, whose keys are nobody's */
} emk_key_state;

typedef struct emk_key_change {
    emk_key_action action;
    size_t at;                     /* RETIRE: place in the ring */
    uint8_t kid[EMK_COSE_KID_LEN]; /* of the key that is replaced or retired */
    int lock;                      /* from here on ours; -1 */
    const char *by;                /* static: "permit", "time" … */
    bool takes_permit;             /* uses it up */
    bool has_begun;                /* it is noted */
} emk_key_change;

/* The rules alone, for action, at and kid of *c; permit NULL: there is none.  Fills by and
 * takes_permit.  EMK_E_POLICY when it wants a permit; EMK_E_LIMIT when it is too early, or there is
 * no room. */
emk_status emk_key_change_judge(const emk_key_state *s, emk_key_change *c, const emk_permit *permit,
                                uint64_t now_s, emk_error *e) EMK_MUST_CHECK;

/* Fills what is not filled in *c.  As the above; EMK_E_BUSY when another process is at it,
 * EMK_E_STALE when another has changed the ring's file since.  After EMK_OK end must follow. */
emk_status emk_key_change_begin(const emk_key_state *s, emk_key_change *c,
                                emk_error *e) EMK_MUST_CHECK;
/* EMK_E_IO: then nothing may be changed. */
emk_status emk_key_change_commit(const emk_key_state *s, emk_key_change *c,
                                 emk_error *e) EMK_MUST_CHECK;
/* `kid` is that of the key that signs from now on, NULL: as before.  *e tells when it could not be
 * noted; the change stands all the same. */
emk_status emk_key_change_end(const emk_key_state *s, emk_key_change *c, emk_status how,
                              const uint8_t *kid, emk_error *e) EMK_MUST_CHECK;

/* Notes that something was refused. */
emk_status emk_key_change_refused(const emk_key_state *s, const emk_key_change *c, emk_status why,
                                  emk_error *e) EMK_MUST_CHECK;

#endif
