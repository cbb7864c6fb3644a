/* Counters: rate limits, replay windows, things good for one use, and work in flight.  Fast and
 * forgetful: what must survive a kill belongs into records.h.
 *
 * Keys are any bytes; inside they are 16 bytes of SipHash under a random key, so that nobody
 * outside can choose two that meet.  Each of the four has a fixed number of places of its own,
 * so that a flood of one cannot push out another, and a defined answer when they are taken:
 *   limits          the place nearest to full recovery is given away and counted (n_evicted)
 *   windows, once, leases   what is alive is never given away: EMK_E_LIMIT
 *
 * All times are nanoseconds of one steady clock, emk_os_monotonic_ns, passed with each call; a
 * clock that goes back is taken as standing still.
 *
 * Statuses of all calls beside their own: EMK_E_USAGE, EMK_E_NO_MEMORY, EMK_E_IO (a back end
 * over a network).  Thread rule: any number of threads. */
#ifndef EMK_SERVER_STORE_COUNTERS_H
#define EMK_SERVER_STORE_COUNTERS_H

#include "core/base/buf.h"

#include <stdbool.h>

#define EMK_COUNTER_KEY_MAX   256u                /* bytes; at least 1 */
#define EMK_LIMITS_MAX        16u                 /* limits taken in one call */
#define EMK_LIMIT_UNITS_MAX   (UINT64_C(1) << 32) /* cost and burst */
#define EMK_LIMIT_SPAN_MAX_NS (UINT64_C(1) << 61) /* burst * unit_ns: 73 years */
#define EMK_LEASES_MAX        1024u               /* at once under one key */
#define EMK_REPLAY_WINDOW     64u                 /* counters behind the highest still told apart */
#define EMK_REPLAY_AHEAD      1024u               /* the stored bound runs ahead by this */
#define EMK_COUNTER_NEVER     UINT64_MAX

/* A key, and which thing it counts: the same bytes under two spaces are two keys. */
typedef struct emk_counter_key {
    uint32_t space; /* the caller's number for "per user", "per net" … */
    emk_span bytes;
} emk_counter_key;

/* One limit (GCRA): `burst` units at once, and one more every unit_ns. */
typedef struct emk_limit {
    emk_counter_key key;
    uint64_t unit_ns; /* 1.. ; 60 a minute: 1000000000 */
    uint64_t burst;   /* 1..EMK_LIMIT_UNITS_MAX */
    uint64_t cost;    /* units; 0 only looks */
} emk_limit;

/* The five figures of redis-cell, of one limit. */
typedef struct emk_limit_state {
    bool limited;
    uint64_t limit;     /* burst */
    uint64_t remaining; /* units that could be taken now */
    uint64_t retry_ns;  /* limited: when this cost fits; EMK_COUNTER_NEVER: more than burst */
    uint64_t reset_ns;  /* until all of burst is there again */
} emk_limit_state;

/* A request's counter, asked of the window of its device. */
typedef struct emk_replay_ask {
    emk_counter_key key;
    uint64_t counter;  /* 1..2^63 */
    uint64_t until_ns; /* the window then lives at least so long */
} emk_replay_ask;

/* What emk_counters_replay tells beside its status. */
typedef struct emk_replay {
    uint64_t store; /* 0, or: make this bound durable for the device BEFORE the request has any
                       effect, then call emk_counters_replay_stored */
    uint64_t next;  /* a counter that is certainly fresh: for the refusal */
} emk_replay;

typedef struct emk_counter_lease {
    emk_counter_key key;
    uint32_t max;      /* at once under this key, 1..EMK_LEASES_MAX */
    uint64_t until_ns; /* ends by itself */
} emk_counter_lease;

typedef struct emk_counters_stats {
    uint64_t n_limits, n_windows, n_once, n_leases; /* places in use, expired ones included */
    uint64_t n_evicted;                             /* limits given away before they recovered */
    uint64_t n_full;                                /* answers EMK_E_LIMIT */
} emk_counters_stats;

/* What a back end fills in; `self` is its own.  Arguments have been checked. */
typedef struct emk_counters_ops {
    uint32_t size;    /* sizeof of the back end's table: it can grow */
    const char *name; /* "memory"; static */
    emk_status (*take)(void *self, const emk_limit *limits, size_t n, uint64_t now_ns,
                       emk_limit_state *states, emk_error *e);
    emk_status (*refund)(void *self, const emk_limit *limit, uint64_t now_ns, emk_error *e);
    emk_status (*replay)(void *self, const emk_replay_ask *ask, uint64_t now_ns, emk_replay *out,
                         emk_error *e);
    emk_status (*replay_seed)(void *self, const emk_counter_key *key, uint64_t bound,
                              uint64_t until_ns, uint64_t now_ns, emk_error *e);
    emk_status (*replay_stored)(void *self, const emk_counter_key *key, uint64_t bound,
                                emk_error *e);
    emk_status (*once)(void *self, const emk_counter_key *key, uint64_t until_ns, uint64_t now_ns,
                       emk_error *e);
    emk_status (*lease_take)(void *self, const emk_counter_lease *lease, uint64_t now_ns,
                             uint64_t *id, emk_error *e);
    emk_status (*lease_keep)(void *self, const emk_counter_lease *lease, uint64_t id,
                             uint64_t now_ns, emk_error *e);
    void (*lease_give)(void *self, const emk_counter_key *key, uint64_t id);
    void (*stats)(void *self, emk_counters_stats *out);
    /* NULL: the back end keeps its state elsewhere. */
    emk_status (*save)(void *self, uint64_t now_ns, uint64_t wall_s, emk_buf *out, emk_error *e);
    emk_status (*load)(void *self, emk_span in, uint64_t now_ns, uint64_t wall_s, emk_error *e);
    void (*close)(void *self);
} emk_counters_ops;

/* Open counters; copied freely, closed once. */
typedef struct emk_counters {
    const emk_counters_ops *ops;
    void *self;
} emk_counters;

/* Looks at all n (1..EMK_LIMITS_MAX) limits first and takes from all of them only when none is
 * limited.  Fills states[0..n-1]; which one is the tightest the caller sees there.  EMK_OK also
 * when limited.  One key twice in a call is EMK_E_USAGE, as far as a back end notices. */
emk_status emk_counters_take(const emk_counters *c, const emk_limit *limits, size_t n,
                             uint64_t now_ns, emk_limit_state *states, emk_error *e) EMK_MUST_CHECK;

/* Gives limit->cost units back: the work cost less than was taken for it. */
emk_status emk_counters_refund(const emk_counters *c, const emk_limit *limit, uint64_t now_ns,
                               emk_error *e) EMK_MUST_CHECK;

/* Takes a request's counter into the window of its device.  EMK_OK: it is fresh; see
 * emk_replay.store.  EMK_E_USED: this counter was there already.  EMK_E_STALE: too far behind to
 * know.  EMK_E_NOT_FOUND: the window is not in memory: seed it from the stored bound and ask again.
 * EMK_E_LIMIT: no place.  *out is filled on EMK_OK, EMK_E_USED and EMK_E_STALE. */
emk_status emk_counters_replay(const emk_counters *c, const emk_replay_ask *ask, uint64_t now_ns,
                               emk_replay *out, emk_error *e) EMK_MUST_CHECK;
/* Makes the window, with everything up to the bound (0: a new device) taken.  A window that is
 * there already stays as it is. */
emk_status emk_counters_replay_seed(const emk_counters *c, const emk_counter_key *key,
                                    uint64_t bound, uint64_t until_ns, uint64_t now_ns,
                                    emk_error *e) EMK_MUST_CHECK;
/* The bound is durable now. */
emk_status emk_counters_replay_stored(const emk_counters *c, const emk_counter_key *key,
                                      uint64_t bound, emk_error *e) EMK_MUST_CHECK;

/* EMK_OK for the first one who asks before until_ns, EMK_E_USED for all others.  EMK_E_LIMIT: no
 * place, so it cannot be known.  Forgotten by a kill: a ticket is consumed in records.h. */
emk_status emk_counters_once(const emk_counters *c, const emk_counter_key *key, uint64_t until_ns,
                             uint64_t now_ns, emk_error *e) EMK_MUST_CHECK;

/* Work in flight.  Fills *id (never 0).  EMK_E_BUSY when lease->max are out already; EMK_E_LIMIT:
 * no place. */
emk_status emk_counters_lease_take(const emk_counters *c, const emk_counter_lease *lease,
                                   uint64_t now_ns, uint64_t *id, emk_error *e) EMK_MUST_CHECK;
/* The heartbeat: it now ends at lease->until_ns.  EMK_E_NOT_FOUND when it has ended already. */
emk_status emk_counters_lease_keep(const emk_counters *c, const emk_counter_lease *lease,
                                   uint64_t id, uint64_t now_ns, emk_error *e) EMK_MUST_CHECK;
/* Ends it.  One that has ended already is fine. */
void emk_counters_lease_give(const emk_counters *c, const emk_counter_key *key, uint64_t id);

void emk_counters_stats_get(const emk_counters *c, emk_counters_stats *out);

/* Writes what is in memory to a file, for an orderly stop (leases are not in it: their holders
 * end with us).  wall_s is the time of day: the steady clock begins anew with each boot.
 * EMK_E_IO. */
emk_status emk_counters_save(const emk_counters *c, const char *path, uint64_t now_ns,
                             uint64_t wall_s, emk_error *e) EMK_MUST_CHECK;
/* Removes the file and takes in what was in it: it is good for one start, because after a kill
 * old windows would let old requests in again.  EMK_E_NOT_FOUND: there is none, which is fine
 * after a kill.  EMK_E_FORMAT: not one of ours, or damaged; then nothing was taken in. */
emk_status emk_counters_restore(const emk_counters *c, const char *path, uint64_t now_ns,
                                uint64_t wall_s, emk_error *e) EMK_MUST_CHECK;

/* A zeroed emk_counters is fine.  No other thread may use them any more. */
void emk_counters_close(emk_counters *c);

#define EMK_COUNTERS_SEED_LEN 16u

/* Places for each of the four, all allocated at once: 64 bytes for each. */
typedef struct emk_counters_memory {
    uint8_t seed[EMK_COUNTERS_SEED_LEN]; /* random; for the hash */
    uint32_t limits;                     /* 0: 65536; at most 16 Mi each */
    uint32_t windows;                    /* 0: 65536 */
    uint32_t once;                       /* 0: 65536 */
    uint32_t leases;                     /* 0: 4096 */
} emk_counters_memory;

/* Fills *out; end with emk_counters_close.  EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_counters_open_memory(const emk_counters_memory *options, emk_counters *out,
                                    emk_error *e) EMK_MUST_CHECK;

#endif
