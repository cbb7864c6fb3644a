/* Threads that run handlers, first come first served.
 *
 * Thread rule: any number of threads may push; one makes and frees. */
#ifndef EMK_SERVER_DAEMON_WORKERS_H
#define EMK_SERVER_DAEMON_WORKERS_H

#include "core/base/status.h"

#include <stdbool.h>

#define EMK_WORKERS_MAX 64u

/* Lies in what it belongs to; in one queue at a time. */
typedef struct emk_job {
    struct emk_job *next;
    void (*run)(void *self);
    void *self;
} emk_job;

typedef struct emk_workers emk_workers;

/* Gives n (1..EMK_WORKERS_MAX) running threads; end with emk_workers_free. */
emk_status emk_workers_new(unsigned n, emk_workers **out, emk_error *e) EMK_MUST_CHECK;
/* Runs what is queued, then ends.  NULL is fine. */
void emk_workers_free(emk_workers *w);
void emk_workers_push(emk_workers *w, emk_job *job);
/* Jobs that wait. */
unsigned emk_workers_waiting(emk_workers *w);

#endif
