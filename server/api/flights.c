#include "server/api/flights.h"

#include "core/base/os_thread.h"

#include <stddef.h>

#define LOOK_EVERY_NS UINT64_C(1000000)

unsigned emk_flights_enter(emk_flights *f)
{
    unsigned ticket = atomic_load(&f->turn) & 1;

    atomic_fetch_add(&f->n[ticket], 1);
    return ticket;
}

void emk_flights_leave(emk_flights *f, unsigned ticket)
{
    atomic_fetch_sub(&f->n[ticket], 1);
}

/* Both counts, since somebody else may have turned them: each was zero once after this began. */
emk_status emk_flights_wait(emk_flights *f, emk_error *e)
{
    emk_lock *nobodys = NULL; /* to wait with */
    emk_status st = emk_lock_new(&nobodys, e);

    if (st != EMK_OK)
        return st;
    emk_lock_take(nobodys);
    for (unsigned i = 0; i < 2; i++) {
        unsigned old = atomic_fetch_add(&f->turn, 1) & 1;

        while (atomic_load(&f->n[old]) != 0)
            (void)emk_lock_wait_for(nobodys, LOOK_EVERY_NS);
    }
    emk_lock_give(nobodys);
    emk_lock_free(nobodys);
    return EMK_OK;
}
