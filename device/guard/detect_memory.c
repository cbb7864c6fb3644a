/* Somebody reads this process's memory.  Who reads all of it, whichever way, reads pages that are
 * there for nobody (decoy.h).  Who opens the file of it, as gdb, gcore and dumpers do, with or
 * without attaching, is told of by the kernel, within a moment; a reader who also stops the
 * process when it goes on.  Before reading, the map is read as a rule: that alone is a hint.
 * Evaded by process_vm_readv of the model's own pages alone, and by a kernel module, which open
 * nothing.  (Memory of the kind memfd_secret is read by none of them; a kernel module maps it.)
 * Honest look-alikes: security agents that scan memory (but then they have the model); for the
 * map pmap, lsof, monitoring, and code of this process that reads its own. */
#include "device/guard/internal.h"

static void look(emk_guard_look *l)
{
    emk_guard_memory *m = l->memory;
    emk_guard_opens opens;

    if (emk_guard_decoys_were_read(&m->decoys))
        emk_guard_saw(l, EMK_GUARD_MEMORY_READ, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      "memory that is there for nobody was read");
    if (!m->events)
        return;
    opens = emk_guard_events_take(m->events);
    if (opens.memory > 0)
        emk_guard_saw(l, EMK_GUARD_MEMORY_READ, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      "the file of this process's memory was opened");
    else if (opens.maps > m->own_maps)
        emk_guard_saw(l, EMK_GUARD_MEMORY_READ, EMK_GUARD_HINT,
                      "the map of this process's memory was read");
    m->own_maps = 0;
    if (l->whole)
        emk_guard_events_follow(m->events);
}

const emk_detector emk_detect_memory = {"memory", look, false};
