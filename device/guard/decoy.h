/* Memory that nobody has reason to read: large, empty, never touched by this process, shown in its
 * map like an opened model.  The system makes a page of it only when somebody reads there, and
 * says later whether it did.  So a scan of the whole memory leaves a trace whichever way it
 * reads: process_vm_readv, /proc/PID/mem, ptrace, code that was injected.
 *
 * One lies below all else, where a scan in the order of addresses begins: going through it takes
 * the reader longer than noticing takes us.  Evaded by who knows the one address to read. */
#ifndef EMK_DEVICE_GUARD_DECOY_H
#define EMK_DEVICE_GUARD_DECOY_H

#include <stdbool.h>
#include <stddef.h>

#define EMK_GUARD_DECOYS 2u

typedef struct emk_guard_decoy {
    void *p; /* NULL: none; also where the system does not say what was read */
    size_t len;
} emk_guard_decoy;

typedef struct emk_guard_decoys {
    emk_guard_decoy of[EMK_GUARD_DECOYS];
} emk_guard_decoys;

/* Fills an all-zero *d.  Never fails: what cannot be had is not there. */
void emk_guard_decoys_init(emk_guard_decoys *d);
void emk_guard_decoys_done(emk_guard_decoys *d);
/* True when one was read since the last time. */
bool emk_guard_decoys_were_read(emk_guard_decoys *d);

#endif
