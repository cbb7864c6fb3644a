/* State: a list of what is open, its lock, and at most one thread.  The thread sleeps until the
 * nearest end, at most a second: the clock may be set, and entries removed by others. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "device/client/internal.h"

#define NS_PER_S UINT64_C(1000000000)

struct emk_watch {
    emk_lock *lock;
    unsigned holders;
    emk_watched *first;
    emk_thread *thread; /* NULL: none */
    emk_client *client; /* the thread's */
    bool stop;
};

emk_status emk_watch_new(emk_watch **out, emk_error *e)
{
    emk_watch *w = emk_alloc(1, sizeof *w);
    emk_status st;

    if (!w)
        return emk_fail(e, EMK_E_NO_MEMORY, "client: no memory", sizeof *w);
    st = emk_lock_new(&w->lock, e);
    if (st != EMK_OK) {
        emk_free(w);
        return st;
    }
    w->holders = 1;
    *out = w;
    return EMK_OK;
}

emk_watch *emk_watch_hold(emk_watch *w)
{
    emk_lock_take(w->lock);
    w->holders++;
    emk_lock_give(w->lock);
    return w;
}

void emk_watch_drop(emk_watch *w)
{
    bool last;

    if (!w)
        return;
    emk_lock_take(w->lock);
    last = --w->holders == 0;
    emk_lock_give(w->lock);
    if (!last)
        return;
    emk_lock_free(w->lock);
    emk_free(w);
}

static void wipe(emk_watched *item)
{
    emk_status st;

    if (item->wiped)
        return;
    item->wiped = true;
    if (item->map && item->map->p)
        emk_os_map_blank(item->map);
    if (!item->copy || *item->copy < 0)
        return;
    st = emk_os_memory_blank(*item->copy, NULL);
    (void)st; /* nothing is left to be done about it */
}

static uint64_t until_ns(uint64_t ends, uint64_t now)
{
    uint64_t mono = emk_os_monotonic_ns();

    if (ends <= now)
        return mono;
    if (ends - now > (UINT64_MAX - mono) / NS_PER_S)
        return UINT64_MAX;
    return mono + (ends - now) * NS_PER_S;
}

void emk_watch_add(emk_watch *w, emk_watched *item, uint64_t ends, uint64_t now)
{
    emk_lock_take(w->lock);
    item->ends = ends;
    item->ends_ns = until_ns(ends, now);
    item->next = w->first;
    w->first = item;
    emk_lock_wake_all(w->lock);
    emk_lock_give(w->lock);
}

void emk_watch_remove(emk_watch *w, emk_watched *item)
{
    emk_lock_take(w->lock);
    for (emk_watched **at = &w->first; *at; at = &(*at)->next) {
        if (*at == item) {
            *at = item->next;
            break;
        }
    }
    emk_lock_give(w->lock);
}

void emk_watch_move(emk_watch *w, const uint8_t ticket_id[EMK_ID_LEN], uint64_t ends, uint64_t now)
{
    emk_lock_take(w->lock);
    for (emk_watched *item = w->first; item; item = item->next) {
        if (memcmp(item->ticket_id, ticket_id, EMK_ID_LEN) != 0)
            continue;
        item->ends = ends;
        item->ends_ns = until_ns(ends, now);
        if (ends <= now)
            wipe(item);
    }
    emk_lock_give(w->lock);
}

uint64_t emk_watch_end_of(emk_watch *w, const emk_watched *item)
{
    uint64_t ends;

    emk_lock_take(w->lock);
    ends = item->ends;
    emk_lock_give(w->lock);
    return ends;
}

bool emk_watch_is_wiped(emk_watch *w, const emk_watched *item)
{
    bool wiped;

    emk_lock_take(w->lock);
    wiped = item->wiped;
    emk_lock_give(w->lock);
    return wiped;
}

void emk_watch_take(emk_watch *w)
{
    emk_lock_take(w->lock);
}

void emk_watch_give(emk_watch *w)
{
    emk_lock_give(w->lock);
}

/* Whether another process removed the entry, or put it to sleep.  The glance is not verified:
 * who can forge it can close models, which they can do by removing the file. */
static bool is_withdrawn(emk_client *cl, const emk_watched *item)
{
    char name[EMK_CLIENT_NAME_LEN + 1];
    emk_vault_glance g;
    emk_status st;

    emk_client_hex(item->ticket_id, name);
    st = emk_entry_look(cl, name, &g, NULL);
    return st == EMK_E_NOT_FOUND || (st == EMK_OK && g.leased && g.asleep);
}

void emk_watch_judge(emk_watch *w, const uint8_t verdicts[EMK_CLIENT_LEVELS])
{
    emk_lock_take(w->lock);
    for (emk_watched *item = w->first; item; item = item->next) {
        if (verdicts[item->min_guard] >= EMK_GUARD_DO_WIPE)
            wipe(item);
    }
    emk_lock_give(w->lock);
}

/* With the lock held. */
static uint64_t tick(emk_watch *w, emk_client *cl, const uint8_t *verdicts)
{
    uint64_t now = emk_client_now(cl), mono = emk_os_monotonic_ns(), next = UINT64_MAX;

    for (emk_watched *item = w->first; item; item = item->next) {
        if (item->wiped)
            continue;
        if (verdicts[item->min_guard] >= EMK_GUARD_DO_WIPE || now >= item->ends ||
            mono >= item->ends_ns || is_withdrawn(cl, item))
            wipe(item);
        else if (item->ends < next)
            next = item->ends;
    }
    return next;
}

void emk_client_tick(emk_client *cl, uint64_t *next)
{
    uint8_t verdicts[EMK_CLIENT_LEVELS];

    /* Not with the lock held: the guard may be in the middle of a look. */
    emk_client_guard_verdicts(cl, verdicts);
    emk_lock_take(cl->watch->lock);
    *next = tick(cl->watch, cl, verdicts);
    emk_lock_give(cl->watch->lock);
}

static void watch(void *self)
{
    emk_watch *w = self;

    uint8_t verdicts[EMK_CLIENT_LEVELS];

    emk_lock_take(w->lock);
    while (!w->stop) {
        uint64_t next;

        emk_lock_give(w->lock);
        emk_client_guard_verdicts(w->client, verdicts);
        emk_lock_take(w->lock);
        if (w->stop)
            break;
        next = tick(w, w->client, verdicts);
        if (next == UINT64_MAX)
            emk_lock_wait(w->lock);
        else
            (void)emk_lock_wait_for(w->lock, NS_PER_S);
    }
    emk_lock_give(w->lock);
}

emk_status emk_watch_start(emk_watch *w, emk_client *cl, emk_error *e)
{
    w->client = cl;
    return emk_thread_start(watch, w, &w->thread, e);
}

void emk_watch_stop(emk_watch *w)
{
    if (!w || !w->thread)
        return;
    emk_lock_take(w->lock);
    w->stop = true;
    emk_lock_wake_all(w->lock);
    emk_lock_give(w->lock);
    emk_thread_join(w->thread);
    w->thread = NULL;
}
