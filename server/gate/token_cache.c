#include "server/gate/token_cache.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_thread.h"

#define WAYS     4u
#define SHARDS   16u
#define SETS_MAX (1u << 20)

typedef struct slot {
    uint8_t hash[32];
    emk_token_claims claims; /* exp 0: empty */
    uint64_t generation;
} slot;

struct emk_token_cache {
    emk_lock *locks[SHARDS]; /* of the sets whose number ends in it */
    slot *slots;
    uint64_t n_sets;
};

emk_status emk_token_cache_new(uint32_t n, emk_token_cache **out, emk_error *e)
{
    emk_token_cache *t;
    emk_status st = EMK_OK;

    if (n == 0 || n > SETS_MAX * WAYS)
        return emk_fail(e, EMK_E_LIMIT, "token cache: size", n);
    t = emk_alloc(1, sizeof *t);
    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "token cache: memory", sizeof *t);
    t->n_sets = (n + WAYS - 1) / WAYS;
    t->slots = emk_alloc(t->n_sets * WAYS, sizeof *t->slots);
    if (!t->slots)
        st = emk_fail(e, EMK_E_NO_MEMORY, "token cache: memory", n);
    for (size_t i = 0; i < SHARDS && st == EMK_OK; i++)
        st = emk_lock_new(&t->locks[i], e);
    if (st != EMK_OK) {
        emk_token_cache_free(t);
        return st;
    }
    *out = t;
    return EMK_OK;
}

void emk_token_cache_free(emk_token_cache *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < SHARDS; i++)
        emk_lock_free(t->locks[i]);
    emk_free(t->slots);
    emk_free(t);
}

static slot *set_of(emk_token_cache *t, const uint8_t hash[32], emk_lock **lock)
{
    uint64_t set = emk_load_u64be(hash) % t->n_sets;

    *lock = t->locks[set % SHARDS];
    return &t->slots[set * WAYS];
}

bool emk_token_cache_find(emk_token_cache *t, const uint8_t hash[32], emk_token_claims *out,
                          uint64_t *generation)
{
    emk_lock *lock;
    slot *set = set_of(t, hash, &lock);
    bool found = false;

    emk_lock_take(lock);
    for (size_t i = 0; i < WAYS && !found; i++) {
        found = set[i].claims.exp != 0 && memcmp(set[i].hash, hash, sizeof set[i].hash) == 0;
        if (found) {
            *out = set[i].claims;
            *generation = set[i].generation;
        }
    }
    emk_lock_give(lock);
    return found;
}

/* Its own place, else the one that is over first (an empty one is over since 1970). */
static slot *place(slot *set, const uint8_t hash[32])
{
    slot *best = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].hash, hash, sizeof set[i].hash) == 0)
            return &set[i];
        if (set[i].claims.exp < best->claims.exp)
            best = &set[i];
    }
    return best;
}

void emk_token_cache_put(emk_token_cache *t, const uint8_t hash[32], const emk_token_claims *claims,
                         uint64_t generation)
{
    emk_lock *lock;
    slot *set = set_of(t, hash, &lock);
    slot *s;

    emk_lock_take(lock);
    s = place(set, hash);
    memcpy(s->hash, hash, sizeof s->hash);
    s->claims = *claims;
    s->generation = generation;
    emk_lock_give(lock);
}
