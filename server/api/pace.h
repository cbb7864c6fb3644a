/* What throttled and marked users still get: one thing, and after `pace_s` the next.  Whoever comes
 * into this state waits that long first, as the share that is left of their plan is used up.  By
 * user and by device, so that neither many devices of a user nor many users of a device get more.
 *
 * A ticket that was let through may be redeemed and fetched without waiting again.
 *
 * Kept in the counters: several servers with counters of their own each have a pace of their own.
 */
#ifndef EMK_SERVER_API_PACE_H
#define EMK_SERVER_API_PACE_H

#include "server/api/decide.h"

/* True: it is served now, and that is counted.  False: *retry_s is when to come again, at the
 * earliest; also where nothing can be counted, or pace_s is 0. */
bool emk_api_pace(emk_call *call, const emk_decide_in *in, uint32_t pace_s, uint32_t *retry_s);

#endif
