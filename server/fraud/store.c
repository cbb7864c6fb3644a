/* Entities in fixed memory: open addressing with linear probing over slabs of one size.
 *
 * Keys are 64-bit keyed hashes: nobody without the key can aim at a slot.  When all slabs are
 * taken the worst of a few dozen behind a moving hand goes: expired ones first, then low
 * scores, then the oldest; never one that is banned or under review.  The choice depends on
 * the memory's content alone, so a replay makes the same. */
#include "server/fraud/internal.h"

#include "core/base/alloc.h"

#define LOOK_AT   48u /* slabs compared at an eviction */
#define GUESSES   8u  /* slots looked at ahead of time */
#define EXPIRE_MS (UINT64_C(30) * 86400000)

emk_status emk_fraud_table_init(table *t, uint32_t max, uint32_t slab_len, emk_error *e)
{
    /* Three of four slots are taken at most. */
    uint64_t slots = (uint64_t)max + max / 3 + 16;
    emk_status st;

    if (max == 0 || max > EMK_FRAUD_ENTITIES_MAX || (uint64_t)max * slab_len > SIZE_MAX / 4)
        return emk_fail(e, EMK_E_LIMIT, "fraud: entities", max);
    t->index = emk_alloc(slots, sizeof *t->index);
    t->n_slots = (uint32_t)slots;
    t->slab_mask = 1;
    while (t->slab_mask <= max)
        t->slab_mask = t->slab_mask << 1 | 1;
    t->max = max;
    t->slab_len = slab_len;
    if (!t->index)
        return emk_fail(e, EMK_E_NO_MEMORY, "fraud: no memory for entities", slots);
    st = emk_os_map_new((size_t)max * slab_len, EMK_OS_MAP_HUGE, &t->map, e);
    t->slabs = t->map.p;
    return st;
}

void emk_fraud_table_done(table *t)
{
    emk_free(t->index);
    /* Pages that nothing was written to need no wiping, and would be made by it. */
    t->map.used = (size_t)t->n * t->slab_len;
    emk_os_map_free(&t->map);
    memset(t, 0, sizeof *t);
}

uint64_t emk_fraud_table_bytes(const table *t)
{
    return t->map.len + (uint64_t)t->n_slots * sizeof *t->index;
}

slab *emk_fraud_table_at(const table *t, uint32_t i)
{
    return (slab *)(void *)(t->slabs + (size_t)i * t->slab_len);
}

/* Slots are spread by a key's high half; its low half is the tag. */
static uint32_t home_of(const table *t, uint64_t key)
{
    return (uint32_t)((key >> 32) * t->n_slots >> 32);
}

static uint32_t after(const table *t, uint32_t s)
{
    return s + 1 == t->n_slots ? 0 : s + 1;
}

/* Steps from one slot up to another. */
static uint32_t steps(const table *t, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + t->n_slots - from;
}

static slab *slab_in(const table *t, uint32_t slot)
{
    return emk_fraud_table_at(t, (t->index[slot] & t->slab_mask) - 1);
}

static uint32_t slot_word(const table *t, uint64_t key, uint32_t i)
{
    return ((uint32_t)key & ~t->slab_mask) | (i + 1);
}

void emk_fraud_table_prefetch(const table *t, uint64_t key)
{
    __builtin_prefetch(&t->index[home_of(t, key)]);
}

const uint8_t *emk_fraud_table_guess(const table *t, uint64_t key)
{
    uint32_t s = home_of(t, key);

    for (unsigned i = 0; i < GUESSES && t->index[s]; i++, s = after(t, s)) {
        if (((t->index[s] ^ (uint32_t)key) & ~t->slab_mask) == 0)
            return (const uint8_t *)slab_in(t, s);
    }
    return NULL;
}

/* The slot of key, or the empty one where it would be. */
static uint32_t slot_of(const table *t, uint64_t key)
{
    uint32_t s = home_of(t, key), v;

    while ((v = t->index[s]) != 0 &&
           (((v ^ (uint32_t)key) & ~t->slab_mask) != 0 || slab_in(t, s)->key != key))
        s = after(t, s);
    return s;
}

slab *emk_fraud_table_find(const table *t, uint64_t key)
{
    uint32_t s = slot_of(t, key);

    return t->index[s] ? slab_in(t, s) : NULL;
}

/* Empties a slot and moves those behind it up, so that no probe ends early. */
static void clear_slot(table *t, uint32_t hole)
{
    for (uint32_t s = after(t, hole); t->index[s]; s = after(t, s)) {
        if (steps(t, home_of(t, slab_in(t, s)->key), s) < steps(t, hole, s))
            continue;
        t->index[hole] = t->index[s];
        hole = s;
    }
    t->index[hole] = 0;
}

int64_t emk_fraud_left(const emk_fraud_ruleset *rs, const contribution *c, uint64_t now)
{
    uint64_t dt = now / 1000 - c->time_s;
    uint64_t v = c->milli < 0 ? (uint64_t) - (int64_t)c->milli : (uint64_t)c->milli;

    v = emk_fraud_decay(v, dt, rs->rules[c->rule].half_s);
    return c->milli < 0 ? -(int64_t)v : (int64_t)v;
}

static int64_t score_of(const emk_fraud_ruleset *rs, const slab *s, uint64_t now)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < CONTRIBUTIONS; i++) {
        if (s->c[i].used)
            sum += emk_fraud_left(rs, &s->c[i], now);
    }
    return sum;
}

/* The order in which slabs may go; the lowest goes first, UINT64_MAX never. */
static uint64_t worth(const emk_fraud_ruleset *rs, const slab *s, uint64_t now)
{
    uint64_t age = now - s->last_ms, band;
    int64_t score;

    if (s->ban_until_ms > now || s->flags & SLAB_REVIEW)
        return UINT64_MAX;
    score = score_of(rs, s, now);
    if (age > EXPIRE_MS && score < 1000)
        band = 0;
    else
        band = 1 + (uint64_t)(score < 0 ? 0 : score < 100000 ? score / 1000 : 100);
    return band << 48 | (EMK_FRAUD_MS_MASK - (age & EMK_FRAUD_MS_MASK));
}

/* A slab that is free again, or NULL. */
static slab *evict(table *t, const emk_fraud_ruleset *rs, uint64_t now)
{
    uint64_t least = UINT64_MAX;
    uint32_t worst = 0;

    for (uint32_t i = 0; i < LOOK_AT && i < t->max; i++) {
        uint32_t k = t->hand;
        uint64_t w = worth(rs, emk_fraud_table_at(t, k), now);

        t->hand = t->hand + 1 == t->max ? 0 : t->hand + 1;
        if (w < least) {
            least = w;
            worst = k;
        }
    }
    if (least == UINT64_MAX)
        return NULL;
    clear_slot(t, slot_of(t, emk_fraud_table_at(t, worst)->key));
    t->evicted++;
    return emk_fraud_table_at(t, worst);
}

slab *emk_fraud_table_take(table *t, const emk_fraud_ruleset *rs, uint64_t key, uint64_t now)
{
    uint32_t at = slot_of(t, key);
    slab *s;

    if (t->index[at])
        return slab_in(t, at);
    if (t->n < t->max) {
        s = emk_fraud_table_at(t, t->n++);
    } else {
        s = evict(t, rs, now);
        if (!s) {
            t->refused++;
            return NULL;
        }
        at = slot_of(t, key);
    }
    memset(s, 0, t->slab_len);
    s->key = key;
    s->first_s = (uint32_t)(now / 1000);
    t->index[at] = slot_word(t, key, (uint32_t)((size_t)((uint8_t *)s - t->slabs) / t->slab_len));
    return s;
}

bool emk_fraud_table_remove(table *t, uint64_t key)
{
    uint32_t at = slot_of(t, key), i, last = t->n - 1;

    if (!t->index[at])
        return false;
    i = (t->index[at] & t->slab_mask) - 1;
    clear_slot(t, at);
    if (i != last) {
        uint64_t moved = emk_fraud_table_at(t, last)->key;

        at = slot_of(t, moved);
        memcpy(emk_fraud_table_at(t, i), emk_fraud_table_at(t, last), t->slab_len);
        t->index[at] = slot_word(t, moved, i);
    }
    memset(emk_fraud_table_at(t, last), 0, t->slab_len);
    t->n--;
    t->hand = 0;
    return true;
}

bool emk_fraud_table_index(table *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        uint64_t key = emk_fraud_table_at(t, i)->key;
        uint32_t at = slot_of(t, key);

        if (t->index[at])
            return false;
        t->index[at] = slot_word(t, key, i);
    }
    return true;
}
