/* Several threads for the length of one call: core keeps none of its own. */
#ifndef EMK_CORE_BASE_OS_PARALLEL_H
#define EMK_CORE_BASE_OS_PARALLEL_H

#include "core/base/status.h"

#define EMK_PARALLEL_MAX 64u /* threads */

typedef emk_status (*emk_parallel_fn)(void *self, unsigned worker, emk_error *e);

/* Calls fn(self, i) for i = 0 .. n-1 side by side, i = 0 on the calling thread, and waits
 * for all.  Returns the first failure by worker number (and its error); when a thread
 * cannot be started its share runs on the calling thread.  n is 1..EMK_PARALLEL_MAX. */
emk_status emk_parallel_run(unsigned n, emk_parallel_fn fn, void *self,
                            emk_error *e) EMK_MUST_CHECK;

/* Processors this process may use; at least 1, at most EMK_PARALLEL_MAX. */
unsigned emk_os_processors(void);

#endif
