/* Requests of a device count upwards, and each number is taken once.
 *
 * Of each device the highest number and the 63 below it are known, so requests may overtake each
 * other.  What is too old is refused like what was seen.  The key is (device, counter), never the
 * signature, which has a second valid form for each first one.
 *
 * Windows live in counters (server/store), which a kill loses.  So a bound is written to lasting
 * storage before the numbers up to it are used, in steps of EMK_REPLAY_AHEAD: after a restart
 * everything up to the bound counts as taken.  A device that is refused is told the next number
 * that is free; it signs anew and comes again.
 *
 * Thread rule: shared by all threads. */
#ifndef EMK_SERVER_GATE_REPLAY_H
#define EMK_SERVER_GATE_REPLAY_H

#include "server/store/counters.h"

/* What a field can say.  [RFC 8941 3.3.1] */
#define EMK_REPLAY_COUNTER_MAX UINT64_C(999999999999999)
/* Longer than any nonce is taken, and than two tries. */
#define EMK_REPLAY_WINDOW_LIFE_S 900u
#define EMK_REPLAY_SPACE         0x52504C59u

/* Where bounds last.  load: fills *bound, 0 for a device that has none.  save: returns once the
 * bound is on disk; a lower one than the stored must not replace it.  Both may be called from any
 * thread, and wait. */
typedef struct emk_replay_store {
    emk_status (*load)(void *self, const uint8_t device[32], uint64_t *bound, emk_error *e);
    emk_status (*save)(void *self, const uint8_t device[32], uint64_t bound, emk_error *e);
    void *self;
} emk_replay_store;

/* Nothing but the two it stands between; both are kept.  No heap. */
typedef struct emk_replay_guard {
    const emk_counters *counters;
    emk_replay_store store;
} emk_replay_guard;

/* EMK_OK when this number of this device is new; from then on it is not, also after a crash.
 * EMK_E_USED when it was taken, or is too old to know; then *next (else untouched) is a number
 * that is free.  EMK_E_FORMAT for 0 and beyond EMK_REPLAY_COUNTER_MAX; else what store or counters
 * said: nothing was let in.  now_ns: the counters' clock. */
emk_status emk_replay_take(const emk_replay_guard *r, const uint8_t device[32], uint64_t counter,
                           uint64_t now_ns, uint64_t *next, emk_error *e) EMK_MUST_CHECK;

#endif
