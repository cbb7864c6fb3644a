/* What rules ask for besides a score (`effect:`), done: on the device that the event was about, or
 * on all of the user's where it names none.  Everything is done once: what is demanded already, or
 * was a short while ago, is not demanded again, so a decision that a kill cut short is made good by
 * the next one.  [docs/spec/fraud-rules.md, effects]
 *
 * Audit entries come first: a kill leaves an entry without an effect, never the other way round. */
#ifndef EMK_SERVER_API_EFFECTS_H
#define EMK_SERVER_API_EFFECTS_H

#include "server/api/api.h"
#include "server/api/decide.h"

#define EMK_EFFECT_HOLD_S  600u   /* nothing is made for a device for so long */
#define EMK_EFFECT_AGAIN_S 3600u  /* the same is not demanded of a device before */
#define EMK_EFFECT_CASE_S  86400u /* nor an operator told of it */

/* Effects that change what a device may. */
#define EMK_EFFECTS_OF_DEVICES                                                   \
    (EMK_FRAUD_REVOKE_SESSION | EMK_FRAUD_REVOKE_GRANTS | EMK_FRAUD_REVOKE_KEY | \
     EMK_FRAUD_REATTEST | EMK_FRAUD_HOLD_GENERATE)
/* Those that are for people. */
#define EMK_EFFECTS_FOR_PEOPLE (EMK_FRAUD_OPEN_CASE | EMK_FRAUD_ALERT_OWNER | EMK_FRAUD_PAGE)

typedef struct emk_effects {
    const emk_fraud_event *ev;       /* as the engine saw it */
    const emk_decide_answer *answer; /* with effects */
    const char *decision;            /* id */
    const char *point;               /* "ticket" ..., "event" */
} emk_effects;

/* Does them.  *did (from 0) has what was new.  EMK_E_BUSY without an audit log; EMK_E_NO_MEMORY,
 * what journal and store say: then some of it may have been done. */
emk_status emk_api_effects(emk_call *call, const emk_effects *in, unsigned *did,
                           emk_error *e) EMK_MUST_CHECK;
/* The same for what nobody waits for: with a decision of its own where anything was done. */
void emk_api_effects_of_note(emk_call *call, const emk_fraud_event *ev,
                             const emk_decide_answer *answer);
/* Names by commas; out holds all of them. */
void emk_effects_text(unsigned effects, char out[EMK_NAME_CAP]);

/* The device was told to attest: remembered until it does. */
emk_status emk_api_effects_challenged(emk_call *call, const uint8_t id[32],
                                      emk_error *e) EMK_MUST_CHECK;
/* It did: nothing is demanded any more.  Whether anything was.  The caller stores the record. */
bool emk_effects_answered(emk_device_record *d, uint64_t now_s);

/* Writes a ticket as revoked, whatever else changes it; *t and *info as they were read, and
 * changed. EMK_E_NOT_FOUND, EMK_E_STALE, what the store says. */
emk_status emk_api_revoke_ticket(const emk_api *api, emk_span id, emk_ticket_entity *t,
                                 emk_record_info *info, emk_error *e) EMK_MUST_CHECK;

#endif
