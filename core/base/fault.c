#include "core/base/fault.h"

#ifdef EMK_FAULTS

#include <signal.h>
#include <stdatomic.h>

static _Atomic uint64_t counts[EMK_FAULT_KINDS];
static _Atomic uint64_t fail_targets[EMK_FAULT_KINDS];
static _Atomic uint64_t kill_targets[EMK_FAULT_KINDS];

bool emk_fault_hit(emk_fault_kind kind)
{
    uint64_t n = atomic_fetch_add(&counts[kind], 1) + 1;

    if (n == atomic_load(&kill_targets[kind]))
        raise(SIGKILL);
    return n == atomic_load(&fail_targets[kind]);
}

static void set_targets(emk_fault_kind kind, uint64_t fail, uint64_t kill)
{
    atomic_store(&fail_targets[kind], fail);
    atomic_store(&kill_targets[kind], kill);
    atomic_store(&counts[kind], 0);
}

void emk_fault_fail_at(emk_fault_kind kind, uint64_t n)
{
    set_targets(kind, n, 0);
}

void emk_fault_kill_at(emk_fault_kind kind, uint64_t n)
{
    set_targets(kind, 0, n);
}

uint64_t emk_fault_count(emk_fault_kind kind)
{
    return atomic_load(&counts[kind]);
}

#else
typedef int emk_fault_is_off; /* ISO C wants a declaration in every file */
#endif
