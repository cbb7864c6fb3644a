/* Keyed hashes of an event, and the memory its decision will need: what can be done before its
 * turn comes, on any thread, because it depends on rule set and event alone. */
#include "server/fraud/engine_internal.h"

#include "core/base/bytes.h"

#define LINE 64u /* bytes that come into the cache together */

/* Hashes that nobody can predict, mixed so that tenants and kinds share nothing.
 * (Steele and others: SplitMix64, the finaliser) */
uint64_t emk_fraud_entity_key(const emk_fraud_ruleset *rs, emk_fraud_entity what, uint64_t tenant,
                              uint64_t id)
{
    uint64_t x = id + (tenant ^ rs->key[0]) * (2 * (uint64_t)what + 3);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t emk_fraud_hash_of(const emk_fraud_ruleset *rs, const emk_fraud_event *ev,
                           emk_fraud_field f)
{
    uint8_t bytes[8];

    if (!emk_fraud_has(ev, f))
        return 0;
    if (EMK_FRAUD_FIELD[f].kind == EMK_FRAUD_TEXT)
        return emk_fraud_siphash(rs->key, ev->f[f].text);
    emk_store_u64be(bytes, (uint64_t)ev->f[f].number);
    return emk_fraud_siphash(rs->key, emk_span_of(bytes, sizeof bytes));
}

void emk_fraud_look_ahead(const emk_fraud_ruleset *rs, const emk_fraud_event *ev,
                          emk_fraud_ahead *out)
{
    uint64_t left;

    out->hashed = rs->hash_of_type[ev->type];
    out->named = 0;
    for (left = out->hashed; left; left &= left - 1) {
        emk_fraud_field f = (emk_fraud_field)__builtin_ctzll(left);

        out->hash[f] = emk_fraud_hash_of(rs, ev, f);
    }
    for (left = rs->entities; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);

        if (!emk_fraud_has(ev, ENTITY_FIELD[i]))
            continue;
        out->named |= 1u << i;
        out->entity_key[i] = emk_fraud_entity_key(
            rs, (emk_fraud_entity)i, out->hash[EMK_FRAUD_F_TENANT], out->hash[ENTITY_FIELD[i]]);
    }
}

void emk_fraud_fetch_slots(const emk_fraud_engine *en, const emk_fraud_ahead *a)
{
    __builtin_prefetch(&en->dyn->recent[a->hash[EMK_FRAUD_F_ID] % RECENT]);
    for (uint64_t left = a->named; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);

        emk_fraud_table_prefetch(&en->tables[i], a->entity_key[i]);
    }
}

void emk_fraud_fetch_slabs(const emk_fraud_engine *en, const emk_fraud_ahead *a)
{
    for (uint64_t left = a->named; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        const uint8_t *s = emk_fraud_table_guess(&en->tables[i], a->entity_key[i]);

        for (uint32_t at = 0; s && at < en->rs->slab_len[i]; at += LINE)
            __builtin_prefetch(s + at);
    }
}
