/* Where the system tells nobody who opens what: no events, only waiting.  Not for Linux, which
 * has os_events.c. */
#include "core/base/os_thread.h"
#include "device/guard/events.h"

void emk_guard_events_init(emk_guard_events *ev)
{
    *ev = (emk_guard_events){.watch = -1, .wake = -1};
    if (emk_lock_new(&ev->sleep, NULL) != EMK_OK)
        ev->sleep = NULL;
}

void emk_guard_events_done(emk_guard_events *ev)
{
    emk_lock_free(ev->sleep);
    ev->sleep = NULL;
}

void emk_guard_events_follow(emk_guard_events *ev)
{
    (void)ev;
}

bool emk_guard_events_can_wait(const emk_guard_events *ev)
{
    return ev->sleep != NULL;
}

/* Waking is the only thing that ends it early. */
bool emk_guard_events_pause(const emk_guard_events *ev, uint64_t timeout_ns)
{
    bool woken;

    emk_lock_take(ev->sleep);
    woken = emk_lock_wait_for(ev->sleep, timeout_ns);
    emk_lock_give(ev->sleep);
    return woken;
}

bool emk_guard_events_wait(const emk_guard_events *ev, uint64_t timeout_ns)
{
    (void)emk_guard_events_pause(ev, timeout_ns);
    return false;
}

void emk_guard_events_wake(const emk_guard_events *ev)
{
    if (!ev->sleep)
        return;
    emk_lock_take(ev->sleep);
    emk_lock_wake_all(ev->sleep);
    emk_lock_give(ev->sleep);
}

emk_guard_opens emk_guard_events_take(const emk_guard_events *ev)
{
    (void)ev;
    return (emk_guard_opens){0, 0};
}
