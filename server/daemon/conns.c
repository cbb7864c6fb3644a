#include "server/daemon/conns.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "server/daemon/os_net.h"

#include <stdatomic.h>

#define BUCKETS 65536u
#define TICK_NS UINT64_C(500000000)
#define SOON_NS UINT64_C(20000000) /* while somebody is still sending */

struct emk_conn {
    emk_conn *next, *prev;
    int fd;
    bool counted;
    uint32_t bucket;
    _Atomic uint64_t deadline; /* emk_os_monotonic_ns */
    atomic_bool watched;
    bool lingers;
    void *owner;
};

/* What is left of a removed connection. */
typedef struct leaving {
    int fd; /* a descriptor of our own: the owner closes the other one */
    size_t left;
    uint64_t until;
} leaving;

struct emk_conns {
    emk_lock *lock; /* of the list, and of what it leads to */
    emk_thread *reaper;
    emk_conn *first;
    leaving leaving[EMK_CONNS_LINGER_MAX];
    size_t n_leaving;
    bool ending;
    uint32_t per_net;
    uint64_t seed;
    _Atomic uint64_t open, refused, timed_out;
    _Atomic uint32_t nets[BUCKETS]; /* two nets in one place share a limit; rare, and harmless */
};

static uint32_t bucket_of(const emk_conns *t, const emk_address *from)
{
    emk_net net = emk_net_of_client(from);
    uint64_t h = t->seed ^ UINT64_C(0x9E3779B97F4A7C15) * from->family;

    for (unsigned i = 0; i < sizeof net.base.b; i++) {
        h ^= net.base.b[i];
        h *= UINT64_C(0xFF51AFD7ED558CCD);
        h ^= h >> 29;
    }
    return (uint32_t)(h >> 16) % BUCKETS;
}

/* Breaks what is late; under the lock, so that no fd is closed and taken by another meanwhile. */
static void reap(emk_conns *t, uint64_t now)
{
    for (emk_conn *c = t->first; c; c = c->next)
        if (atomic_load_explicit(&c->deadline, memory_order_relaxed) <= now) {
            atomic_store(&c->deadline, EMK_CONNS_NEVER);
            atomic_fetch_add(&t->timed_out, 1);
            emk_net_break(c->fd);
        } else if (atomic_load_explicit(&c->watched, memory_order_relaxed) &&
                   emk_net_is_left(c->fd)) {
            atomic_store(&c->watched, false);
            emk_net_break(c->fd);
        }
}

static void swallow(emk_conns *t, uint64_t now)
{
    for (size_t i = 0; i < t->n_leaving;) {
        leaving *l = &t->leaving[i];
        size_t n;
        bool more = emk_net_swallow(l->fd, l->left, &n);

        l->left -= n < l->left ? n : l->left;
        if (more && l->left > 0 && now < l->until) {
            i++;
            continue;
        }
        emk_os_close(l->fd);
        *l = t->leaving[--t->n_leaving];
    }
}

static void run_reaper(void *self)
{
    emk_conns *t = self;

    emk_lock_take(t->lock);
    while (!t->ending) {
        (void)emk_lock_wait_for(t->lock, t->n_leaving > 0 ? SOON_NS : TICK_NS);
        reap(t, emk_os_monotonic_ns());
        swallow(t, emk_os_monotonic_ns());
    }
    emk_lock_give(t->lock);
}

emk_status emk_conns_new(uint32_t per_net, uint64_t seed, emk_conns **out, emk_error *e)
{
    emk_conns *t = emk_alloc(1, sizeof *t);
    emk_status st;

    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "connections: memory", sizeof *t);
    t->per_net = per_net;
    t->seed = seed;
    st = emk_lock_new(&t->lock, e);
    if (st == EMK_OK)
        st = emk_thread_start(run_reaper, t, &t->reaper, e);
    if (st == EMK_OK)
        *out = t;
    else
        emk_conns_free(t);
    return st;
}

void emk_conns_free(emk_conns *t)
{
    if (!t)
        return;
    if (t->reaper) {
        emk_lock_take(t->lock);
        t->ending = true;
        emk_lock_wake_all(t->lock);
        emk_lock_give(t->lock);
        emk_thread_join(t->reaper);
    }
    for (size_t i = 0; i < t->n_leaving; i++)
        emk_os_close(t->leaving[i].fd);
    emk_lock_free(t->lock);
    emk_free(t);
}

bool emk_conns_may(emk_conns *t, const emk_address *from)
{
    if (t->per_net == 0 || from->family == EMK_ADDRESS_NONE ||
        atomic_load(&t->nets[bucket_of(t, from)]) < t->per_net)
        return true;
    atomic_fetch_add(&t->refused, 1);
    return false;
}

emk_conn *emk_conns_add(emk_conns *t, int fd, const emk_address *from, bool trusted)
{
    emk_conn *c = emk_alloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->fd = fd;
    c->counted = !trusted && from->family != EMK_ADDRESS_NONE;
    c->bucket = bucket_of(t, from);
    atomic_store(&c->deadline, EMK_CONNS_NEVER);
    if (c->counted)
        atomic_fetch_add(&t->nets[c->bucket], 1);
    atomic_fetch_add(&t->open, 1);
    emk_lock_take(t->lock);
    c->next = t->first;
    if (t->first)
        t->first->prev = c;
    t->first = c;
    emk_lock_give(t->lock);
    return c;
}

/* Under the lock. */
static void leave(emk_conns *t, const emk_conn *c)
{
    int fd = t->n_leaving < EMK_CONNS_LINGER_MAX ? emk_net_dup(c->fd) : -1;

    if (fd < 0)
        return;
    t->leaving[t->n_leaving++] =
        (leaving){fd, EMK_CONNS_LINGER_BYTES, emk_os_monotonic_ns() + EMK_CONNS_LINGER_NS};
    emk_lock_wake_all(t->lock);
}

void emk_conns_remove(emk_conns *t, emk_conn *c)
{
    emk_lock_take(t->lock);
    if (c->lingers)
        leave(t, c);
    if (c->prev)
        c->prev->next = c->next;
    else
        t->first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    emk_lock_give(t->lock);
    if (c->counted)
        atomic_fetch_sub(&t->nets[c->bucket], 1);
    atomic_fetch_sub(&t->open, 1);
    emk_free(c);
}

void emk_conn_deadline(emk_conn *c, uint64_t in_ns)
{
    atomic_store_explicit(&c->deadline,
                          in_ns == EMK_CONNS_NEVER ? in_ns : emk_os_monotonic_ns() + in_ns,
                          memory_order_relaxed);
}

void emk_conn_watch(emk_conn *c, bool on)
{
    atomic_store_explicit(&c->watched, on, memory_order_relaxed);
}

void emk_conn_linger(emk_conn *c)
{
    c->lingers = true;
}

void *emk_conn_owner(const emk_conn *c)
{
    return c->owner;
}

void emk_conn_own(emk_conn *c, void *owner)
{
    c->owner = owner;
}

void emk_conns_stats_get(const emk_conns *t, emk_conns_stats *out)
{
    *out = (emk_conns_stats){.open = atomic_load(&t->open),
                             .refused = atomic_load(&t->refused),
                             .timed_out = atomic_load(&t->timed_out)};
}

void emk_conns_break_all(emk_conns *t)
{
    emk_lock_take(t->lock);
    for (emk_conn *c = t->first; c; c = c->next)
        emk_net_break(c->fd);
    emk_lock_give(t->lock);
}
