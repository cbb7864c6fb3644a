/* From what rules left at the entities to one decision.
 *
 * Of each family counts the entity that has most of it, weighed by its link (a shared network
 * cannot convict a user); the families' shares are added up.  So one device with three rules
 * of a family has that family once, and two families that agree weigh more than one. */
#include "server/fraud/score.h"

#include "server/fraud/engine_internal.h"

#define RETRY_THROTTLE_S 120u
#define BREAKER_MIN      50u /* denied entities an hour below which nothing trips */
#define BREAKER_MS       3600000u
#define DEMOTE_MIN       50u /* challenges before a rule is judged by them */
#define DEMOTE_PASSED    60u /* per cent */
#define BUDGET_MIN       5u

typedef struct sums {
    int64_t live[EMK_FRAUD_FAMILIES_MAX], all[EMK_FRAUD_FAMILIES_MAX];
    int64_t own[EMK_FRAUD_ENTITIES]; /* live, of the entity */
    bool hard_of[EMK_FRAUD_ENTITIES];
    bool hard, hard_all;
    int64_t score, score_all;
    unsigned families, families_all;
} sums;

static int64_t capped(int64_t v, int64_t cap)
{
    return v < 0 ? 0 : v > cap ? cap : v;
}

static void add_reason(emk_fraud_engine *en, emk_fraud_decision *d, unsigned entity,
                       const contribution *c, int64_t left)
{
    emk_fraud_reason r = {c->rule, (uint8_t)entity, false, c->shadow != 0, left, 0, 0};
    unsigned i;

    r.now = en->fired_now[c->rule / 64] >> (c->rule % 64) & 1;
    if (r.now) {
        r.value = en->left[c->rule];
        r.limit = en->right[c->rule];
    }
    for (i = d->n_reasons; i > 0 && d->reason[i - 1].add < left; i--) {
        if (i < EMK_FRAUD_REASONS)
            d->reason[i] = d->reason[i - 1];
    }
    if (i < EMK_FRAUD_REASONS)
        d->reason[i] = r;
    d->n_reasons += d->n_reasons < EMK_FRAUD_REASONS;
}

/* Most entities have done nothing. */
static bool is_clean(const slab *e)
{
    unsigned used = 0;

    for (unsigned i = 0; i < CONTRIBUTIONS; i++)
        used |= e->c[i].used;
    return used == 0;
}

static void add_entity(emk_fraud_engine *en, emk_fraud_decision *d, unsigned entity, sums *s)
{
    int64_t live[EMK_FRAUD_FAMILIES_MAX] = {0}, all[EMK_FRAUD_FAMILIES_MAX] = {0};
    const emk_fraud_ruleset *rs = en->rs;
    const slab *e = en->of[entity];
    bool any = false;

    for (unsigned i = 0; i < CONTRIBUTIONS; i++) {
        const contribution *c = &e->c[i];
        const rule *r = &rs->rules[c->rule];
        int64_t left;

        if (!c->used || (left = emk_fraud_left(rs, c, en->now)) == 0)
            continue;
        any = true;
        all[r->family] += left;
        live[r->family] += c->shadow ? 0 : left;
        s->hard_all |= r->hard && left * 2 >= r->score;
        s->hard_of[entity] |= !c->shadow && r->hard && left * 2 >= r->score;
        if (left > 0)
            add_reason(en, d, entity, c, left);
    }
    for (unsigned f = 0; any && f < rs->n_families; f++) {
        int64_t l = capped(live[f], rs->family[f].cap), a = capped(all[f], rs->family[f].cap);

        s->own[entity] += l;
        l = l * rs->link[entity] / 1000;
        a = a * rs->link[entity] / 1000;
        s->live[f] = l > s->live[f] ? l : s->live[f];
        s->all[f] = a > s->all[f] ? a : s->all[f];
    }
    s->hard |= s->hard_of[entity] && rs->link[entity] == 1000;
}

static void add_up(emk_fraud_engine *en, emk_fraud_decision *d, sums *s)
{
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        if (en->of[i] && !is_clean(en->of[i]))
            add_entity(en, d, i, s);
    }
    for (unsigned f = 0; f < en->rs->n_families; f++) {
        s->score += s->live[f];
        s->score_all += s->all[f];
        s->families += s->live[f] >= FAMILY_MIN;
        s->families_all += s->all[f] >= FAMILY_MIN;
    }
}

static bool permitted(emk_fraud_action a, bool hard, unsigned families)
{
    if (a == EMK_FRAUD_BAN)
        return hard;
    return a != EMK_FRAUD_DENY || hard || families >= 2;
}

static emk_fraud_action band(const emk_fraud_ruleset *rs, int64_t score, bool hard,
                             unsigned families)
{
    for (int a = EMK_FRAUD_BAN; a > EMK_FRAUD_ALLOW; a--) {
        if (score >= rs->action[a].enter && permitted((emk_fraud_action)a, hard, families))
            return (emk_fraud_action)a;
    }
    return EMK_FRAUD_ALLOW;
}

/* Entities that can be acted upon: who asks, not where from. */
static bool is_subject(unsigned i)
{
    return i == EMK_FRAUD_USER || i == EMK_FRAUD_DEVICE || i == EMK_FRAUD_SESSION ||
           i == EMK_FRAUD_KEY || i == EMK_FRAUD_PAYMENT;
}

/* An action entered before goes on while the score stays above where it is left. */
static void hold(emk_fraud_engine *en, const sums *s, emk_fraud_decision *d)
{
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        const slab *e = is_subject(i) ? en->of[i] : NULL;

        if (!e || e->until_ms <= en->now || e->action <= d->action)
            continue;
        if (s->score < en->rs->action[e->action].leave)
            continue;
        d->action = (emk_fraud_action)e->action;
        d->flags |= EMK_FRAUD_IS_HELD;
    }
}

static void trip_breaker(emk_fraud_engine *en, emk_fraud_decision *d)
{
    dynamic *y = en->dyn;
    uint32_t now = y->denied[y->hour % HOURS], before = y->denied[(y->hour + 1) % HOURS];
    bool spike = y->hours_seen >= HOURS && now > 5 * (before ? before : 1);
    bool many = y->hours_seen > 24 && now * 50 > y->active[(y->hour + HOURS - 1) % HOURS] * 1u &&
                y->active[(y->hour + HOURS - 1) % HOURS] > 0;

    if (now < BREAKER_MIN || !(spike || many))
        return;
    if (y->breaker_until <= en->now)
        d->news |= EMK_FRAUD_NEWS_BREAKER;
    y->breaker_until = en->now + BREAKER_MS;
}

/* Each ban in a row is `factor` times the one before; good time forgets them. */
static void ban(emk_fraud_engine *en, slab *e)
{
    const emk_fraud_ruleset *rs = en->rs;
    uint64_t len = rs->ban.base_ms;

    if (e->ban_level && en->now > e->ban_until_ms + rs->ban.forgive_ms)
        e->ban_level = 0;
    for (unsigned i = 0; i < e->ban_level && len < rs->ban.max_ms; i++)
        len *= rs->ban.factor ? rs->ban.factor : 1;
    len = len < rs->ban.max_ms ? len : rs->ban.max_ms;
    e->ban_until_ms = (en->now + len) & EMK_FRAUD_MS_MASK;
    e->ban_level = (uint8_t)(e->ban_level + (e->ban_level < 20));
}

/* What the decision does to those who brought its evidence. */
static void mark_entities(emk_fraud_engine *en, const sums *s, const emk_fraud_decision *d)
{
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        slab *e = is_subject(i) ? en->of[i] : NULL;

        if (!e)
            continue;
        if (e->action && (e->until_ms <= en->now || s->score < en->rs->action[e->action].leave))
            e->action = EMK_FRAUD_ALLOW;
        if (s->own[i] <= 0 || d->action < EMK_FRAUD_CHALLENGE)
            continue;
        if (d->action == EMK_FRAUD_BAN && s->hard_of[i] && e->ban_until_ms <= en->now)
            ban(en, e);
        if (d->action > e->action) {
            en->dyn->denied[en->dyn->hour % HOURS] +=
                d->action == EMK_FRAUD_DENY && !s->hard_of[i] && i == EMK_FRAUD_USER;
            e->action = (uint8_t)d->action;
            e->until_ms = (en->now + en->rs->action[d->action].ttl_ms) & EMK_FRAUD_MS_MASK;
        }
    }
}

static void demote_if_wrong(emk_fraud_engine *en, unsigned i, emk_fraud_decision *d)
{
    emk_fraud_rule_stats *st = &en->dyn->rule[i];
    const rule *r = &en->rs->rules[i];
    bool passed = st->challenged >= DEMOTE_MIN && st->passed * 100 > DEMOTE_PASSED * st->challenged;
    bool spent = r->budget_ppb && st->passed >= BUDGET_MIN &&
                 st->passed * 1000000000 > r->budget_ppb * (en->dyn->period_days + 1);

    if ((passed || spent) && !st->demoted && !r->hard) {
        st->demoted = true;
        st->demoted_ms = en->now;
        d->news |= EMK_FRAUD_NEWS_DEMOTED;
        d->news_rule = (uint16_t)i;
    }
}

static void count_challenge(emk_fraud_engine *en, emk_fraud_decision *d)
{
    for (unsigned i = 0; d->action == EMK_FRAUD_CHALLENGE && i < d->n_reasons; i++) {
        if (d->reason[i].shadow)
            continue;
        en->dyn->rule[d->reason[i].rule].challenged++;
        demote_if_wrong(en, d->reason[i].rule, d);
    }
}

static uint64_t banned_until(const emk_fraud_engine *en)
{
    uint64_t until = 0;

    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
        if (is_subject(i) && en->of[i] && en->of[i]->ban_until_ms > until)
            until = en->of[i]->ban_until_ms;
    }
    return until > en->now ? until : 0;
}

static uint32_t retry_after(const emk_fraud_engine *en, const emk_fraud_decision *d)
{
    uint64_t until = banned_until(en);

    for (unsigned i = 0; !until && i < EMK_FRAUD_ENTITIES; i++) {
        if (is_subject(i) && en->of[i] && en->of[i]->action == d->action)
            until = en->of[i]->until_ms;
    }
    if (d->action == EMK_FRAUD_THROTTLE || d->action == EMK_FRAUD_MARK)
        return RETRY_THROTTLE_S;
    return d->action >= EMK_FRAUD_DENY && until > en->now ? (uint32_t)((until - en->now) / 1000)
                                                          : 0;
}

/* Emergency switch > list of test devices > bans > hard rules > bands. */
static void override(emk_fraud_engine *en, emk_fraud_decision *d)
{
    const emk_fraud_ruleset *rs = en->rs;

    if (banned_until(en)) {
        d->action = EMK_FRAUD_BAN;
        d->flags |= EMK_FRAUD_IS_BANNED;
    }
    if (rs->allow_list != NO_INDEX &&
        emk_fraud_on_list(en, rs->allow_list, rs->lists[rs->allow_list].of)) {
        d->action = EMK_FRAUD_ALLOW;
        d->flags |= EMK_FRAUD_IS_ALLOWED;
    }
    if (en->dyn->emergency == SWITCH_OPEN && d->action > EMK_FRAUD_OBSERVE)
        d->action = EMK_FRAUD_OBSERVE;
    if (en->dyn->emergency == SWITCH_CLOSED && EMK_FRAUD_TYPE[en->ev->type].decides)
        d->action = EMK_FRAUD_DENY;
    if (en->dyn->emergency != SWITCH_NORMAL)
        d->flags |= EMK_FRAUD_IS_SWITCHED;
}

void emk_fraud_score(emk_fraud_engine *en, emk_fraud_decision *d)
{
    sums s;

    memset(&s, 0, sizeof s);
    add_up(en, d, &s);
    d->score = s.score;
    d->families = s.families;
    d->shadow_score = s.score_all;
    d->effects = en->effects;
    d->flags |= s.hard ? EMK_FRAUD_IS_HARD : 0u;
    d->action = band(en->rs, s.score, s.hard, s.families);
    hold(en, &s, d);
    d->shadow = band(en->rs, s.score_all, s.hard_all, s.families_all);
    d->shadow = d->shadow > d->action ? d->shadow : d->action;
    mark_entities(en, &s, d);
    trip_breaker(en, d);
    if (d->action == EMK_FRAUD_DENY && !s.hard && en->dyn->breaker_until > en->now) {
        d->action = EMK_FRAUD_THROTTLE;
        d->flags |= EMK_FRAUD_IS_BROKEN;
    }
    count_challenge(en, d);
    emk_fraud_explore(en, d);
    override(en, d);
    d->retry_after_s = retry_after(en, d);
}

/* ---- what would have had to be otherwise ---- */

typedef struct outcome {
    int64_t score;
    emk_fraud_action action;
} outcome;

/* What the reasons in mask come to; `rest` is what no reason stands for. */
static outcome outcome_of(const emk_fraud_ruleset *rs, const emk_fraud_decision *d, unsigned mask,
                          int64_t rest)
{
    int64_t sum[EMK_FRAUD_ENTITIES][EMK_FRAUD_FAMILIES_MAX] = {{0}};
    outcome out = {.score = rest};
    unsigned families = 0;
    bool hard = false;

    for (unsigned i = 0; i < d->n_reasons; i++) {
        const emk_fraud_reason *r = &d->reason[i];
        const rule *is = &rs->rules[r->rule];

        if (r->shadow || !(mask >> i & 1))
            continue;
        sum[r->entity][is->family] += r->add;
        hard |= is->hard && r->add * 2 >= is->score && rs->link[r->entity] == 1000;
    }
    for (unsigned f = 0; f < rs->n_families; f++) {
        int64_t most = 0;

        for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++) {
            int64_t v = capped(sum[i][f], rs->family[f].cap) * rs->link[i] / 1000;

            most = v > most ? v : most;
        }
        out.score += most;
        families += most >= FAMILY_MIN;
    }
    out.action = band(rs, out.score, hard, families);
    return out;
}

static void take_mask(unsigned mask, emk_fraud_action then, emk_fraud_what_if *out)
{
    out->n = 0;
    out->then = then;
    for (unsigned i = 0; i < EMK_FRAUD_REASONS; i++)
        if (mask >> i & 1)
            out->reason[out->n++] = (uint8_t)i;
}

static unsigned live_reasons(const emk_fraud_decision *d)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < d->n_reasons; i++)
        mask |= d->reason[i].shadow ? 0 : 1u << i;
    return mask;
}

bool emk_fraud_without(const emk_fraud_ruleset *rs, const emk_fraud_decision *d,
                       emk_fraud_what_if *out)
{
    unsigned all = live_reasons(d), fewest = EMK_FRAUD_REASONS + 1;
    int64_t rest = d->score - outcome_of(rs, d, all, 0).score;

    if (d->action == EMK_FRAUD_ALLOW || outcome_of(rs, d, all, rest).action < d->action)
        return false;
    /* All subsets of at most eight; the mildest of the smallest. */
    for (unsigned gone = 1; gone <= all; gone++) {
        unsigned n = (unsigned)__builtin_popcount(gone);
        emk_fraud_action then;

        if ((gone & ~all) || n > fewest)
            continue;
        then = outcome_of(rs, d, all & ~gone, rest).action;
        if (then >= d->action || (n == fewest && then >= out->then))
            continue;
        fewest = n;
        take_mask(gone, then, out);
    }
    return fewest <= EMK_FRAUD_REASONS;
}

const char *emk_fraud_opposite(const emk_fraud_ruleset *rs, size_t i)
{
    static const char *const opposite[] = {
        [OP_LT] = "at least", [OP_LE] = "above", [OP_GT] = "at most",
        [OP_GE] = "below",    [OP_EQ] = "not",   [OP_NE] = "exactly"};
    const code *c = &rs->rules[i].when_code;
    const char *first = NULL;

    for (unsigned k = 0; k < c->n; k++) {
        unsigned what = c->ops[k].code;

        if (what == OP_OR || what == OP_NOT)
            return NULL;
        if (what >= OP_LT && what <= OP_NE && !first)
            first = opposite[what];
    }
    return first;
}

uint32_t emk_fraud_half_s(const emk_fraud_ruleset *rs, size_t i)
{
    return rs->rules[i].half_s;
}

emk_fraud_entity emk_fraud_entity_of(const emk_fraud_ruleset *rs, size_t i)
{
    return rs->rules[i].entity;
}

void emk_fraud_silence(emk_fraud_ruleset *rs, size_t i)
{
    rs->rules[i].mode = EMK_FRAUD_OFF;
}

/* ---- what is still served ---- */

#define HOUR_S        3600
#define PACE_MAX_S    INT64_C(2592000) /* 30 days */
#define USUAL_AN_HOUR 30               /* where no plan says anything */

uint32_t emk_fraud_pace_s(const emk_fraud_ruleset *rs, const emk_fraud_event *ev)
{
    const emk_fraud_field f = EMK_FRAUD_F_PLAN_ARTIFACTS_HOUR;
    int64_t factor = rs->action[EMK_FRAUD_THROTTLE].factor;
    int64_t an_hour = USUAL_AN_HOUR * (int64_t)EMK_FRAUD_MILLI, each;

    if (emk_fraud_has(ev, f))
        an_hour = ev->f[f].number;
    else if (rs->plan_has >> f & 1)
        an_hour = rs->plan[f];
    if (factor <= 0 || an_hour <= 0)
        return 0;
    factor = factor < EMK_FRAUD_MILLI ? factor : EMK_FRAUD_MILLI;
    each = (int64_t)HOUR_S * EMK_FRAUD_MILLI * EMK_FRAUD_MILLI / factor / an_hour;
    return each < 1 ? 1 : (uint32_t)(each < PACE_MAX_S ? each : PACE_MAX_S);
}
