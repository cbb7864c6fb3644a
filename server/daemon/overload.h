/* How much is refused while the workers do not keep up.
 *
 * What is held down is the time that a request waits for a worker, not how many wait: every second
 * the least queue of that second, divided by the pace at which requests were answered.  A queue
 * that came and went is no overload.  While the wait is longer than the target more is refused, in
 * the order of classes: tickets, seals and enrolment, then downloads, then leases; revocation,
 * events and operators never.  The share goes up fast and down slowly. */
#ifndef EMK_SERVER_DAEMON_OVERLOAD_H
#define EMK_SERVER_DAEMON_OVERLOAD_H

#include "server/gate/limits.h"

typedef struct emk_overload {
    uint64_t from_ns;     /* of the second under way; 0: not begun */
    uint64_t served_from; /* answers at its beginning */
    uint64_t least;       /* that waited in it */
    uint64_t wait_ms;     /* of the last one */
    unsigned level; /* percent: 0 none, 100 all of the first class, 150 half of the second too */
} emk_overload;

typedef struct emk_overload_sample {
    uint64_t now_ns;
    uint64_t waiting;   /* requests that wait for a worker */
    uint64_t served;    /* answers since the start */
    uint64_t target_ms; /* 0: nothing is refused */
} emk_overload_sample;

/* Takes a sample, several a second.  True when a second is over and the level may have changed. */
bool emk_overload_step(emk_overload *o, const emk_overload_sample *s);
/* Percent of this class that are to be refused. */
unsigned emk_overload_share(const emk_overload *o, emk_gate_class klass);

#endif
