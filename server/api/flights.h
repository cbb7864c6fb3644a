/* Short things under way, so that an erasure can wait for those that began before it.
 *
 * Who tells the engine of a device enters, looks whether the device is still there, tells, and
 * leaves.  Who erased the device's record waits: then whoever looked before that has told, and is
 * forgotten with the rest; whoever looks later finds nobody.
 *
 * Two counts take turns, so that those who come do not keep a waiting one waiting.
 *
 * Thread rule: any thread; waiting is for threads that may wait, and not between enter and leave.
 */
#ifndef EMK_SERVER_API_FLIGHTS_H
#define EMK_SERVER_API_FLIGHTS_H

#include "core/base/status.h"

#include <stdatomic.h>

/* Zeroed is ready. */
typedef struct emk_flights {
    atomic_uint turn;
    atomic_uint n[2];
} emk_flights;

/* What emk_flights_leave takes. */
unsigned emk_flights_enter(emk_flights *f);
void emk_flights_leave(emk_flights *f, unsigned ticket);
/* Returns when all who had entered before have left.  EMK_E_NO_MEMORY: at once. */
emk_status emk_flights_wait(emk_flights *f, emk_error *e) EMK_MUST_CHECK;

#endif
