/* Which network an IPv6 client is counted as.
 *
 * One customer has a /64, and often a /56 or a /48, from which a new /64 costs nothing.  When
 * eight /64 of a /56 have met a limit, that /56 is counted as one network; when eight /56 of a /48
 * have, so is the /48.  It lasts an hour after the last time.
 *
 * A table of fixed size: whoever fills it makes it forget networks that were not wide yet before
 * those that are.
 *
 * Thread rule: shared by all threads. */
#ifndef EMK_SERVER_GATE_WIDEN_H
#define EMK_SERVER_GATE_WIDEN_H

#include "server/gate/address.h"

#define EMK_WIDEN_CHILDREN 8u
#define EMK_WIDEN_LIFE_S   3600u
#define EMK_WIDEN_PLACES   4096u

typedef struct emk_widen emk_widen;

/* Gives one; free with emk_widen_free.  seed is copied: who does not know it cannot choose networks
 * that meet in the table.  EMK_E_NO_MEMORY. */
emk_status emk_widen_new(const uint8_t seed[16], emk_widen **out, emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_widen_free(emk_widen *w);

/* What stands for this client now: /24, /64, /56 or /48. */
emk_net emk_widen_net(emk_widen *w, const emk_address *client, uint64_t now_s);
/* This client, as it is counted now, met a limit. */
void emk_widen_limited(emk_widen *w, const emk_address *client, uint64_t now_s);

#endif
