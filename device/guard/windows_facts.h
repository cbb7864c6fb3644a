/* What Windows says of this process: asked in one place, judged in the detectors, which run
 * against made-up facts in tests. */
#ifndef EMK_DEVICE_GUARD_WINDOWS_FACTS_H
#define EMK_DEVICE_GUARD_WINDOWS_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct emk_windows_facts {
    bool debugged_here;     /* IsDebuggerPresent: a byte of our own memory */
    bool debugged_remote;   /* CheckRemoteDebuggerPresent: the kernel's word */
    bool has_port;          /* the kernel's debug port */
    bool has_object;        /* a debug object */
    bool knows_port;        /* the last two could be asked */
    unsigned n_hard_breaks; /* addresses in this thread's debug registers */
} emk_windows_facts;

/* Never fails: what is not known says so. */
void emk_windows_facts_get(emk_windows_facts *out);

/* A stretch of memory that can be executed and is no image's. */
typedef struct emk_windows_region {
    uintptr_t start;
    size_t len;
    bool writable, from_file;
} emk_windows_region;
/* Calls fn with each until it returns false; false when there were more than can be looked at. */
typedef bool (*emk_windows_region_fn)(void *self, const emk_windows_region *r);
bool emk_windows_regions_each(emk_windows_region_fn fn, void *self);

#endif
