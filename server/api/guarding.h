/* What the server makes of a guard's summary [messages 11]: short leases, refusals, and signals for
 * the fraud engine.  A summary is what the device says of itself: here it may only make things
 * worse.  docs/operate/guard.md says the same to operators.
 *
 * Of a device that showed a summary once, the last one is kept (EMK_KIND_GUARD), so that one that
 * is missing, or does not fit, is seen.
 *
 * Thread rule: any thread. */
#ifndef EMK_SERVER_API_GUARDING_H
#define EMK_SERVER_API_GUARDING_H

#include "core/proto/guard_summary.h"
#include "server/api/api.h"

#define EMK_GUARDING_SHORT_S 900u /* lease of a device whose guard asks for short ones */

typedef struct emk_guarding_in {
    const uint8_t *device_id;        /* 32 bytes */
    const emk_device_record *device; /* not NULL */
    emk_span summary;                /* as it came; empty: none */
    emk_span message;                /* that it was in: sent again, it is no other */
    unsigned min_guard;              /* the policy's; 0: none */
    bool optional;                   /* a message that need not have one */
} emk_guarding_in;

typedef enum emk_guarding {
    EMK_GUARDING_PASS,
    EMK_GUARDING_SHORT, /* grant, with short leases */
    EMK_GUARDING_REFUSE /* no ticket, no lease */
} emk_guarding;

/* Fills *out and tells the engine what does not fit.  EMK_E_FORMAT, EMK_E_LIMIT for a summary that
 * is none; of another version what can be read counts, and the rest is missing.  What the store
 * says: then nothing may be granted. */
emk_status emk_api_guarding(emk_call *call, const emk_guarding_in *in, emk_guarding *out,
                            emk_error *e) EMK_MUST_CHECK;

/* Makes a policy one of short leases, also where it had none. */
void emk_guarding_shorten(emk_policy *p);

/* What a client is told of a refusal: static, and coarse. */
#define EMK_GUARDING_WHY \
    "the app's surroundings are not in order: start the app again without what watches it"

#endif
