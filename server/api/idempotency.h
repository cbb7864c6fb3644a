/* One answer for a request that comes again because the first answer got lost.
 * [draft-ietf-httpapi-idempotency-key-header]
 *
 *     switch (emk_idempotency_begin(call, &once)) {
 *     case EMK_IDEMPOTENCY_ANSWERED: return EMK_OK;      // the old answer, or a problem
 *     case EMK_IDEMPOTENCY_GO: break;                     // also when there is no key
 *     }
 *     ... the effect and the answer ...
 *     emk_idempotency_finish(call, &once);
 *
 * A key belongs to who sent it and to the route.  The same key with another body is refused.
 * Answers of 500 and above are forgotten: the client may try again. */
#ifndef EMK_SERVER_API_IDEMPOTENCY_H
#define EMK_SERVER_API_IDEMPOTENCY_H

#include "server/api/api.h"

#define EMK_IDEMPOTENCY_KEY_MAX   128u
#define EMK_IDEMPOTENCY_BODY_MAX  32768u /* bytes of an answer that is kept */
#define EMK_IDEMPOTENCY_RUNNING_S 60u    /* a first request that was killed blocks that long */

typedef struct emk_idempotency {
    bool active;
    uint8_t id[32];
    uint8_t request[32];
    uint64_t version;
} emk_idempotency;

typedef enum emk_idempotency_step {
    EMK_IDEMPOTENCY_GO,
    EMK_IDEMPOTENCY_ANSWERED
} emk_idempotency_step;

emk_idempotency_step emk_idempotency_begin(emk_call *call, emk_idempotency *once) EMK_MUST_CHECK;
/* Keeps call->response for the next time.  Best effort: the effect has happened. */
void emk_idempotency_finish(emk_call *call, const emk_idempotency *once);

#endif
