/* Forgetting a person, or one of their devices: keys of the audit log, records, lists, sealed
 * models that wait, and what the fraud engine remembers.
 *
 * Requests of those who are erased may be under way.  First their devices are revoked and forgotten
 * at the gate: then nothing new begins.  Whatever is written of a device checks in its own
 * transaction that the device is as it was read, so what began before that is written before the
 * revocation, and found, or not at all.  Then the records go, the device's before those that check
 * it; then the engine forgets, after waiting for what it is being told (flights.h).  Nobody enrols
 * for a user, or with a device, that is being erased.
 *
 * What is to be erased is a record (EMK_KIND_ERASURE) before anything goes, and that record goes
 * last: a server that was killed on the way goes on at its start.  Every step may be done again.
 *
 * Thread rule: erase from any thread; resume by one, before there are others. */
#ifndef EMK_SERVER_API_ERASURE_H
#define EMK_SERVER_API_ERASURE_H

#include "server/api/api.h"
#include "server/api/entities.h"

typedef struct emk_erasure_ask {
    bool device;       /* id is a device's; else a user's */
    const uint8_t *id; /* 32 bytes */
    emk_span basis;    /* the legal ground: 1 to 128 bytes of UTF-8 */
    emk_span actor;    /* as in entries of the audit log */
} emk_erasure_ask;

typedef struct emk_erasure_count {
    uint64_t users, devices, tickets, blobs, decisions, keys, lists, remembered;
} emk_erasure_count;

/* Erases; *out says what.  Nobody has such an id: nothing is erased, and that is EMK_OK.
 * EMK_E_POLICY under a legal hold (then nothing is touched); EMK_E_BUSY without keys of subjects
 * or without an audit log; EMK_E_LIMIT; what the store, the log and the engine say: then it goes
 * on when it is asked for again, or at the next start. */
emk_status emk_api_erase(emk_api *api, const emk_erasure_ask *ask, emk_erasure_count *out,
                         emk_error *e) EMK_MUST_CHECK;
/* Ends erasures that a kill or a failure cut short; *n is their number. */
emk_status emk_api_erase_resume(emk_api *api, uint64_t *n, emk_error *e) EMK_MUST_CHECK;

/* Calls fn for the ids of an owner's records (an empty owner: all of the kind), page by page: as
 * many as there are.  fn may use the store, and delete the record. */
typedef emk_status (*emk_owned_fn)(void *self, emk_span id, emk_error *e);
typedef struct emk_owned {
    uint32_t kind;
    emk_span owner;
} emk_owned;
emk_status emk_api_each_owned(const emk_api *api, const emk_owned *what, emk_owned_fn fn,
                              void *self, emk_error *e) EMK_MUST_CHECK;

#endif
