#include "server/api/certified.h"

/* The lock is held. */
static emk_status put(emk_certified *c, const emk_certified_key *fresh, emk_error *e)
{
    const emk_certified_key *now = &c->keys[c->now];

    if (emk_span_equal(emk_span_of(now->bytes, now->len), emk_span_of(fresh->bytes, fresh->len)))
        return EMK_OK;
    for (unsigned i = 1; i < EMK_CERTIFIED_MAX; i++) {
        unsigned place = (c->now + i) % EMK_CERTIFIED_MAX;

        if (c->keys[place].users > 0)
            continue;
        c->keys[place] = *fresh;
        c->keys[place].users = 0;
        c->now = place;
        return EMK_OK;
    }
    return emk_fail(e, EMK_E_LIMIT, "seals: models are at work under all certificates", 0);
}

emk_status emk_certified_put(emk_certified *c, const emk_certified_key *fresh, emk_error *e)
{
    emk_status st;

    emk_lock_take(c->lock);
    st = put(c, fresh, e);
    emk_lock_give(c->lock);
    return st;
}

const emk_certified_key *emk_certified_take(emk_certified *c)
{
    emk_certified_key *k;

    emk_lock_take(c->lock);
    k = &c->keys[c->now];
    k->users++;
    emk_lock_give(c->lock);
    return k;
}

void emk_certified_give(emk_certified *c, const emk_certified_key *k)
{
    emk_lock_take(c->lock);
    c->keys[k - c->keys].users--;
    emk_lock_give(c->lock);
}
