/* Events that change an entity by themselves: challenges, people's decisions, the emergency
 * switch; and what operators ask about one entity. */
#include "server/fraud/engine_internal.h"

#define HUMAN_BAN_MS (UINT64_C(30) * 86400000)

static const emk_fraud_entity SUBJECTS[] = {EMK_FRAUD_USER, EMK_FRAUD_DEVICE, EMK_FRAUD_SESSION,
                                            EMK_FRAUD_KEY, EMK_FRAUD_PAYMENT};
#define N_SUBJECTS (sizeof SUBJECTS / sizeof SUBJECTS[0])

/* A passed challenge is seen by the server, so it may lower: what is soft is halved.  Only the one
 * that was asked for, and once: or passes of many small challenges would lower anything, and make
 * rules that they have nothing to do with look wrong. */
static void pass_challenge(emk_fraud_engine *en, slab *s)
{
    if (s->action != EMK_FRAUD_CHALLENGE || s->until_ms <= en->now)
        return;
    for (unsigned i = 0; i < CONTRIBUTIONS; i++) {
        contribution *c = &s->c[i];

        if (!c->used || en->rs->rules[c->rule].hard || emk_fraud_left(en->rs, c, en->now) < 1000)
            continue;
        en->dyn->rule[c->rule].passed += !c->shadow;
        c->milli /= 2;
    }
    s->action = EMK_FRAUD_ALLOW;
}

static void clear(slab *s)
{
    memset(s->c, 0, sizeof s->c);
    s->action = EMK_FRAUD_ALLOW;
    s->until_ms = s->ban_until_ms = 0;
    s->flags = 0;
}

static void apply_to(emk_fraud_engine *en, slab *s)
{
    switch (en->ev->type) {
    case EMK_FRAUD_CHALLENGE_PASS:
        pass_challenge(en, s);
        break;
    case EMK_FRAUD_ADMIN_BAN:
        s->ban_until_ms = (en->now + HUMAN_BAN_MS) & EMK_FRAUD_MS_MASK;
        s->ban_level = (uint8_t)(s->ban_level + (s->ban_level < 20));
        break;
    case EMK_FRAUD_ADMIN_UNBAN:
        s->ban_until_ms = 0;
        s->ban_level = 0;
        break;
    case EMK_FRAUD_ADMIN_REVIEW:
        s->flags = SLAB_REVIEW;
        break;
    case EMK_FRAUD_ADMIN_CLEAR:
        clear(s);
        break;
    default:
        break;
    }
}

static void turn_switch(emk_fraud_engine *en)
{
    emk_span to = emk_fraud_has(en->ev, EMK_FRAUD_F_REASON) ? en->ev->f[EMK_FRAUD_F_REASON].text
                                                            : emk_span_of(NULL, 0);

    if (emk_span_equal(to, emk_span_str("open")))
        en->dyn->emergency = SWITCH_OPEN;
    else if (emk_span_equal(to, emk_span_str("closed")))
        en->dyn->emergency = SWITCH_CLOSED;
    else
        en->dyn->emergency = SWITCH_NORMAL;
}

void emk_fraud_apply_event(emk_fraud_engine *en)
{
    if (en->ev->type == EMK_FRAUD_ADMIN_SWITCH) {
        turn_switch(en);
        return;
    }
    for (size_t i = 0; i < N_SUBJECTS; i++) {
        slab *s = en->of[SUBJECTS[i]];

        if (s)
            apply_to(en, s);
    }
}

static uint64_t key_of(const emk_fraud_engine *en, emk_fraud_entity what, emk_span tenant,
                       emk_span id)
{
    const uint64_t *key = en->rs->key;

    return emk_fraud_entity_key(en->rs, what, tenant.len ? emk_fraud_siphash(key, tenant) : 0,
                                emk_fraud_siphash(key, id));
}

static void show(const emk_fraud_engine *en, emk_fraud_entity what, const slab *s,
                 emk_fraud_view *v)
{
    uint64_t now = en->dyn->clock;

    *v = (emk_fraud_view){.first_ms = (uint64_t)s->first_s * 1000,
                          .last_ms = s->last_ms,
                          .until_ms = s->until_ms,
                          .ban_until_ms = s->ban_until_ms,
                          .action = (emk_fraud_action)s->action,
                          .review = (s->flags & SLAB_REVIEW) != 0};
    for (unsigned i = 0; i < CONTRIBUTIONS; i++) {
        const contribution *c = &s->c[i];
        int64_t left = c->used ? emk_fraud_left(en->rs, c, now) : 0;

        if (left == 0)
            continue;
        v->score += c->shadow ? 0 : left;
        v->reason[v->n_reasons++] = (emk_fraud_reason){
            .rule = c->rule, .entity = (uint8_t)what, .shadow = c->shadow != 0, .add = left};
    }
}

bool emk_fraud_look(emk_fraud_engine *en, emk_fraud_entity what, emk_span tenant, emk_span id,
                    emk_fraud_view *out)
{
    const slab *s = NULL;

    emk_lock_take(en->lock);
    if (en->rs->entities >> what & 1)
        s = emk_fraud_table_find(&en->tables[what], key_of(en, what, tenant, id));
    if (s)
        show(en, what, s, out);
    emk_lock_give(en->lock);
    return s != NULL;
}

bool emk_fraud_forget(emk_fraud_engine *en, emk_fraud_entity what, emk_span tenant, emk_span id)
{
    bool was = false;

    emk_lock_take(en->lock);
    if (en->rs->entities >> what & 1)
        was = emk_fraud_table_remove(&en->tables[what], key_of(en, what, tenant, id));
    emk_lock_give(en->lock);
    return was;
}

uint64_t emk_fraud_engine_clock(emk_fraud_engine *en)
{
    uint64_t ms;

    emk_lock_take(en->lock);
    ms = en->dyn->clock;
    emk_lock_give(en->lock);
    return ms;
}
