/* Who opens the files through which the kernel shows a process's memory: told by the kernel, so
 * that a reader is noticed at once and not by chance.  Where the kernel does not tell (no /proc,
 * no inotify left) there are simply no events. */
#ifndef EMK_DEVICE_GUARD_EVENTS_H
#define EMK_DEVICE_GUARD_EVENTS_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define EMK_GUARD_EVENTS_THREADS 64u
#define EMK_GUARD_EVENTS_MAPS    8u

typedef struct emk_guard_events {
    int watch;                            /* -1: none */
    int wake;                             /* -1: none */
    int memory[EMK_GUARD_EVENTS_THREADS]; /* numbers of the watches of memory */
    size_t n_memory;
    int maps[EMK_GUARD_EVENTS_MAPS]; /* and of its map, which has several files */
    size_t n_maps;
    struct emk_lock *sleep; /* of events_none.c */
} emk_guard_events;

/* Never fails: what cannot be watched is not. */
void emk_guard_events_init(emk_guard_events *ev);
void emk_guard_events_done(emk_guard_events *ev);
/* Watches the memory files of threads that are new. */
void emk_guard_events_follow(emk_guard_events *ev);
/* False when there is nothing to wait with: then no thread may. */
bool emk_guard_events_can_wait(const emk_guard_events *ev);
/* True when something was opened or emk_guard_events_wake was called within timeout_ns. */
bool emk_guard_events_wait(const emk_guard_events *ev, uint64_t timeout_ns);
/* The same for waking alone. */
bool emk_guard_events_pause(const emk_guard_events *ev, uint64_t timeout_ns);
void emk_guard_events_wake(const emk_guard_events *ev);
/* How often each was opened since the last time; equal ones that follow each other are one. */
typedef struct emk_guard_opens {
    unsigned memory, maps;
} emk_guard_opens;
emk_guard_opens emk_guard_events_take(const emk_guard_events *ev);

#endif
