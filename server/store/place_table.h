/* A fixed number of places, found by a 16-byte key that is a hash already; for counters_memory.c
 * alone.
 *
 * Split into shards, each with a lock of its own that the caller takes: a shard is chained
 * places over one array, a list of free ones, and a hand that goes round when none is free.
 * Times are nanoseconds of the caller's clock. */
#ifndef EMK_SERVER_STORE_PLACE_TABLE_H
#define EMK_SERVER_STORE_PLACE_TABLE_H

#include "core/base/os_thread.h"

#include <stddef.h>
#include <stdint.h>

#define EMK_PLACE_SHARDS 16u
#define EMK_PLACE_KEY    16u

typedef struct emk_place {
    uint8_t key[EMK_PLACE_KEY];
    uint64_t until; /* dead from then on; 0: free */
    uint64_t a, b, c;
    uint32_t next; /* index + 1 in the chain or the free list */
} emk_place;

typedef struct emk_place_shard {
    emk_lock *lock;
    uint64_t last_ns; /* the latest time seen */
    emk_place *places;
    uint32_t *heads; /* index + 1 */
    uint32_t n, n_used, mask;
    uint32_t free, hand;
    uint64_t n_evicted, n_full, sequence;
} emk_place_shard;

typedef struct emk_place_table {
    emk_place_shard shard[EMK_PLACE_SHARDS];
    bool may_evict; /* the place that would die first may be given away */
} emk_place_table;

/* Allocates n places (at least one in each shard).  EMK_E_NO_MEMORY. */
emk_status emk_place_table_init(emk_place_table *t, uint32_t n, bool may_evict,
                                emk_error *e) EMK_MUST_CHECK;
/* A zeroed one is fine. */
void emk_place_table_done(emk_place_table *t);

size_t emk_place_shard_of(const uint8_t key[EMK_PLACE_KEY]);
/* The shard's time: now, or later where it has seen later. */
uint64_t emk_place_now(emk_place_shard *s, uint64_t now_ns);

/* The first place with this key, dead or alive, or NULL; and those after it. */
emk_place *emk_place_find(const emk_place_shard *s, const uint8_t key[EMK_PLACE_KEY]);
emk_place *emk_place_next(const emk_place_shard *s, const emk_place *p);
/* A zeroed place in the chain of this key; NULL when all that may be given away are alive. */
emk_place *emk_place_add(emk_place_table *t, emk_place_shard *s, const uint8_t key[EMK_PLACE_KEY],
                         uint64_t now_ns);

#endif
