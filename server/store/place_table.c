#include "server/store/place_table.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/status.h"

#include <string.h>

#define HAND_STEPS  1024u /* places looked at for a dead one: what a flood can cost each call */
#define EVICT_AMONG 64u

static emk_status shard_init(emk_place_shard *s, uint32_t n, emk_error *e)
{
    uint32_t heads = 1;

    while (heads < n)
        heads *= 2;
    s->places = emk_alloc(n, sizeof *s->places);
    s->heads = emk_alloc(heads, sizeof *s->heads);
    if (!s->places || !s->heads)
        return emk_fail(e, EMK_E_NO_MEMORY, "counters: memory", n);
    s->n = n;
    s->mask = heads - 1;
    for (uint32_t i = 0; i < n; i++)
        s->places[i].next = i + 1 < n ? i + 2 : 0;
    s->free = 1;
    return emk_lock_new(&s->lock, e);
}

emk_status emk_place_table_init(emk_place_table *t, uint32_t n, bool may_evict, emk_error *e)
{
    uint32_t each = (n + EMK_PLACE_SHARDS - 1) / EMK_PLACE_SHARDS;

    t->may_evict = may_evict;
    for (size_t i = 0; i < EMK_PLACE_SHARDS; i++) {
        emk_status st = shard_init(&t->shard[i], each ? each : 1, e);

        if (st != EMK_OK)
            return st;
    }
    return EMK_OK;
}

void emk_place_table_done(emk_place_table *t)
{
    for (size_t i = 0; i < EMK_PLACE_SHARDS; i++) {
        emk_free(t->shard[i].places);
        emk_free(t->shard[i].heads);
        emk_lock_free(t->shard[i].lock);
    }
}

size_t emk_place_shard_of(const uint8_t key[EMK_PLACE_KEY])
{
    return key[EMK_PLACE_KEY - 1] % EMK_PLACE_SHARDS;
}

uint64_t emk_place_now(emk_place_shard *s, uint64_t now_ns)
{
    if (s->last_ns < now_ns)
        s->last_ns = now_ns;
    return s->last_ns;
}

static uint32_t *head_of(const emk_place_shard *s, const uint8_t key[EMK_PLACE_KEY])
{
    return &s->heads[emk_load_u32le(key) & s->mask];
}

static emk_place *walk(const emk_place_shard *s, uint32_t at, const uint8_t key[EMK_PLACE_KEY])
{
    for (; at; at = s->places[at - 1].next) {
        if (memcmp(s->places[at - 1].key, key, EMK_PLACE_KEY) == 0)
            return &s->places[at - 1];
    }
    return NULL;
}

emk_place *emk_place_find(const emk_place_shard *s, const uint8_t key[EMK_PLACE_KEY])
{
    return walk(s, *head_of(s, key), key);
}

emk_place *emk_place_next(const emk_place_shard *s, const emk_place *p)
{
    return walk(s, p->next, p->key);
}

static void take_out(emk_place_shard *s, uint32_t at)
{
    uint32_t *link = head_of(s, s->places[at].key);

    while (*link != at + 1)
        link = &s->places[*link - 1].next;
    *link = s->places[at].next;
    s->n_used--;
}

/* A place that is dead, or the one that would be first among some; n: there is none. */
static uint32_t reclaim(emk_place_shard *s, bool may_evict, uint64_t now_ns)
{
    uint32_t steps = s->n < HAND_STEPS ? s->n : HAND_STEPS;
    uint32_t best = s->n;

    for (uint32_t i = 0; i < steps; i++) {
        uint32_t at = s->hand;

        s->hand = at + 1 < s->n ? at + 1 : 0;
        if (s->places[at].until <= now_ns)
            return at;
        if (best == s->n || s->places[at].until < s->places[best].until)
            best = at;
        if (may_evict && i + 1 >= EVICT_AMONG)
            break;
    }
    if (may_evict) {
        s->n_evicted++;
        return best;
    }
    s->n_full++;
    return s->n;
}

emk_place *emk_place_add(emk_place_table *t, emk_place_shard *s, const uint8_t key[EMK_PLACE_KEY],
                         uint64_t now_ns)
{
    uint32_t at, *head;

    if (s->free) {
        at = s->free - 1;
        s->free = s->places[at].next;
    } else {
        at = reclaim(s, t->may_evict, now_ns);
        if (at == s->n)
            return NULL;
        take_out(s, at);
    }
    head = head_of(s, key);
    s->places[at] = (emk_place){.next = *head};
    memcpy(s->places[at].key, key, EMK_PLACE_KEY);
    *head = at + 1;
    s->n_used++;
    return &s->places[at];
}
