/* Entities in fixed memory: open addressing with linear probing over slabs of one size.
 *
 * Keys are 64-bit keyed hashes: nobody without the key can aim at a slot.  When all slabs are
 * taken the worst of a few dozen behind a moving hand goes: expired ones first, then low
 * scores, then the oldest; never one that is banned or under review.  The choice depends on
 * the memory's content alone, so a replay makes the same. */
#include "server/fraud/internal.h"

#include "core/base/alloc.h"

#define LOOK_AT   48u /* slabs compared at an eviction */
#define EXPIRE_MS (UINT64_C(30) * 86400000)

emk_status emk_fraud_table_init(table *t, uint32_t max, uint32_t slab_len, emk_error *e)
{
    uint64_t slots = 16;

    while (slots < (uint64_t)max * 3 / 2)
        slots *= 2;
    t->keys = emk_alloc(slots, sizeof *t->keys);
    t->index = emk_alloc(slots, sizeof *t->index);
    t->slabs = emk_alloc(max, slab_len);
    t->mask = slots - 1;
    t->max = max;
    t->slab_len = slab_len;
    if (!t->keys || !t->index || !t->slabs) {
        emk_fraud_table_done(t);
        return emk_fail(e, EMK_E_NO_MEMORY, "fraud: no memory for entities",
                        (uint64_t)max * slab_len);
    }
    return EMK_OK;
}

void emk_fraud_table_done(table *t)
{
    emk_free(t->keys);
    emk_free(t->index);
    emk_free(t->slabs);
    memset(t, 0, sizeof *t);
}

slab *emk_fraud_table_at(const table *t, uint32_t i)
{
    return (slab *)(void *)(t->slabs + (size_t)i * t->slab_len);
}

/* The slot of key, or the empty one where it would be. */
static uint64_t slot_of(const table *t, uint64_t key)
{
    uint64_t s = key & t->mask;

    while (t->index[s] && t->keys[s] != key)
        s = (s + 1) & t->mask;
    return s;
}

slab *emk_fraud_table_find(const table *t, uint64_t key)
{
    uint32_t i = t->index[slot_of(t, key)];

    return i ? emk_fraud_table_at(t, i - 1) : NULL;
}

/* Empties a slot and moves those behind it up, so that no probe ends early. */
static void clear_slot(table *t, uint64_t s)
{
    uint64_t hole = s;

    for (s = (s + 1) & t->mask; t->index[s]; s = (s + 1) & t->mask) {
        uint64_t home = t->keys[s] & t->mask;

        if (((s - home) & t->mask) < ((s - hole) & t->mask))
            continue;
        t->keys[hole] = t->keys[s];
        t->index[hole] = t->index[s];
        hole = s;
    }
    t->index[hole] = 0;
    t->keys[hole] = 0;
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
    return band << 48 | ((UINT64_C(1) << 48) - 1 - (age < (UINT64_C(1) << 48) ? age : 0));
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
    uint64_t at = slot_of(t, key);
    slab *s;

    if (t->index[at])
        return emk_fraud_table_at(t, t->index[at] - 1);
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
    s->first_ms = now;
    s->last_ms = now;
    t->keys[at] = key;
    t->index[at] = (uint32_t)(((uint8_t *)s - t->slabs) / t->slab_len) + 1;
    return s;
}

bool emk_fraud_table_remove(table *t, uint64_t key)
{
    uint64_t at = slot_of(t, key);
    uint32_t i = t->index[at], last = t->n - 1;

    if (!i)
        return false;
    clear_slot(t, at);
    if (i - 1 != last) {
        memcpy(emk_fraud_table_at(t, i - 1), emk_fraud_table_at(t, last), t->slab_len);
        t->index[slot_of(t, emk_fraud_table_at(t, i - 1)->key)] = i;
    }
    memset(emk_fraud_table_at(t, last), 0, t->slab_len);
    t->n--;
    t->hand = 0;
    return true;
}

bool emk_fraud_table_index(table *t)
{
    for (uint32_t i = 0; i < t->n; i++) {
        uint64_t key = emk_fraud_table_at(t, i)->key, at = slot_of(t, key);

        if (t->index[at])
            return false;
        t->keys[at] = key;
        t->index[at] = i + 1;
    }
    return true;
}
