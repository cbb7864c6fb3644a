#include "server/fraud/promotion.h"

#include "server/fraud/internal.h"
#include "server/fraud/replay.h"

#include <stdio.h>

#define MILLION 1000000u
#define GONE    UINT64_MAX /* an entry that was taken out: the search goes on behind it */
#define FULL    ((uint64_t)EMK_FRAUD_SHADOW_USERS / 4 * 3)

#define PRECISION_DENY  900000u
#define PRECISION_LESS  600000u
#define BUDGET_DENY     100u
#define BUDGET_THROTTLE 1000u
#define BUDGET_LESS     5000u

const char *const EMK_FRAUD_CONDITION_NAME[EMK_FRAUD_CONDITIONS + 1] = {
    "shadow_seconds", "decisions", "differ_ppm",      "precision_ppm", "false_positives_ppm",
    "rules_demoted",  "breaker",   "draft_unchanged", "tests_passed",  NULL};

/* ---- what was seen ---- */

void emk_fraud_shadow_begin(emk_fraud_shadow *s, const emk_fraud_ruleset *live,
                            const emk_fraud_ruleset *draft, uint64_t user_days)
{
    memset(s, 0, sizeof *s);
    memcpy(s->live, live->hash, sizeof s->live);
    memcpy(s->draft, draft->hash, sizeof s->draft);
    s->user_days = user_days;
}

bool emk_fraud_shadow_is_of(const emk_fraud_shadow *s, const emk_fraud_ruleset *live,
                            const emk_fraud_ruleset *draft)
{
    return memcmp(s->live, live->hash, sizeof s->live) == 0 &&
           memcmp(s->draft, draft->hash, sizeof s->draft) == 0;
}

static uint64_t key_of(const emk_fraud_ruleset *draft, emk_span name)
{
    uint64_t key = emk_fraud_siphash(draft->key, name);

    return key == 0 || key == GONE ? 1 : key;
}

/* The user's entry, or a free one; NULL when there is none. */
static emk_fraud_shadow_user *place_of(emk_fraud_shadow *s, uint64_t key)
{
    for (uint64_t i = 0; i < EMK_FRAUD_SHADOW_USERS; i++) {
        emk_fraud_shadow_user *u = &s->user[(key + i) % EMK_FRAUD_SHADOW_USERS];

        if (u->key == key || u->key == 0)
            return u;
    }
    return NULL;
}

static emk_fraud_shadow_user *user_of(emk_fraud_shadow *s, const emk_fraud_ruleset *draft,
                                      const emk_fraud_event *ev)
{
    emk_fraud_shadow_user *u;
    uint64_t key;

    if (!emk_fraud_has(ev, EMK_FRAUD_F_USER))
        return NULL;
    key = key_of(draft, ev->f[EMK_FRAUD_F_USER].text);
    u = place_of(s, key);
    if (u && u->key == key)
        return u;
    if (!u || s->n_users >= FULL) {
        s->unseen++;
        return NULL;
    }
    u->key = key;
    s->n_users++;
    return u;
}

static void note_label(emk_fraud_shadow *s, const emk_fraud_ruleset *draft,
                       const emk_fraud_event *ev)
{
    emk_fraud_shadow_user *u = user_of(s, draft, ev);

    if (!u)
        return;
    if (ev->type == EMK_FRAUD_LABEL_UNSURE)
        u->label = EMK_FRAUD_SHADOW_NONE;
    else
        u->label = ev->type == EMK_FRAUD_LABEL_OK ? EMK_FRAUD_SHADOW_OK : EMK_FRAUD_SHADOW_FRAUD;
}

static void note_harder(emk_fraud_shadow *s, const emk_fraud_ruleset *draft,
                        const emk_fraud_event *ev, emk_fraud_action a)
{
    emk_fraud_shadow_user *u;

    s->harder++;
    /* Observing stops nobody: it needs no precision. */
    if (a < EMK_FRAUD_CHALLENGE)
        return;
    s->worst = a > s->worst ? a : s->worst;
    u = user_of(s, draft, ev);
    if (u && a > u->worst)
        u->worst = a;
}

void emk_fraud_shadow_note(emk_fraud_shadow *s, const emk_fraud_ruleset *draft,
                           const emk_fraud_event *ev, const emk_fraud_decision *d)
{
    if (ev->type == EMK_FRAUD_LABEL_OK || ev->type == EMK_FRAUD_LABEL_FRAUD ||
        ev->type == EMK_FRAUD_LABEL_UNSURE)
        note_label(s, draft, ev);
    if (!d->has_draft || !EMK_FRAUD_TYPE[ev->type].decides)
        return;
    s->since_ms = s->decisions ? s->since_ms : ev->ts;
    s->last_ms = ev->ts > s->last_ms ? ev->ts : s->last_ms;
    s->decisions++;
    if (d->draft > d->live)
        note_harder(s, draft, ev, d->draft);
    s->milder += d->draft < d->live;
}

void emk_fraud_shadow_forget(emk_fraud_shadow *s, const emk_fraud_ruleset *draft, emk_span user)
{
    uint64_t key = key_of(draft, user);
    emk_fraud_shadow_user *u = place_of(s, key);

    /* n_users stays: the entry is not free again. */
    if (u && u->key == key)
        *u = (emk_fraud_shadow_user){.key = GONE};
}

/* ---- what is asked for ---- */

static emk_fraud_check at_least(uint64_t is, uint64_t needs)
{
    return (emk_fraud_check){.ok = is >= needs, .is = is, .needs = needs};
}

static emk_fraud_check at_most(uint64_t is, uint64_t needs)
{
    return (emk_fraud_check){.ok = is <= needs, .at_most = true, .is = is, .needs = needs};
}

/* Of a million, rounded up. */
static uint64_t share(uint64_t k, uint64_t n)
{
    if (n == 0)
        return k ? MILLION : 0;
    return (k * MILLION + n - 1) / n;
}

static emk_fraud_check precision(const emk_fraud_shadow *s, uint64_t fraud, uint64_t ok)
{
    uint64_t low, high;

    /* One that stops nobody else cannot be wrong about anybody. */
    if (!s->worst)
        return at_least(0, 0);
    emk_fraud_wilson(fraud, fraud + ok, &low, &high);
    return at_least(low, s->worst >= EMK_FRAUD_DENY ? PRECISION_DENY : PRECISION_LESS);
}

static uint64_t budget_of(uint64_t worst)
{
    if (worst >= EMK_FRAUD_DENY)
        return BUDGET_DENY;
    return worst >= EMK_FRAUD_THROTTLE ? BUDGET_THROTTLE : BUDGET_LESS;
}

void emk_fraud_ready(const emk_fraud_shadow *s, const emk_fraud_facts *facts,
                     const emk_fraud_needs *needs, emk_fraud_readiness *out)
{
    /* An engine that was warmed by a shorter log has counted less. */
    uint64_t days = facts->user_days > s->user_days ? facts->user_days - s->user_days : 0;
    uint64_t of[3] = {0};
    emk_fraud_check *c = out->check;

    for (size_t i = 0; i < EMK_FRAUD_SHADOW_USERS; i++)
        if (s->user[i].worst && s->user[i].label <= EMK_FRAUD_SHADOW_FRAUD)
            of[s->user[i].label]++;
    c[EMK_FRAUD_GATE_SECONDS] = at_least((s->last_ms - s->since_ms) / 1000, needs->seconds);
    c[EMK_FRAUD_GATE_DECISIONS] = at_least(s->decisions, needs->decisions);
    c[EMK_FRAUD_GATE_DIFFER] = at_most(share(s->harder + s->milder, s->decisions), needs->differ);
    c[EMK_FRAUD_GATE_PRECISION] = precision(s, of[EMK_FRAUD_SHADOW_FRAUD], of[EMK_FRAUD_SHADOW_OK]);
    c[EMK_FRAUD_GATE_BUDGET] = at_most(share(of[EMK_FRAUD_SHADOW_OK], days), budget_of(s->worst));
    c[EMK_FRAUD_GATE_DEMOTED] = at_most(facts->demoted, 0);
    c[EMK_FRAUD_GATE_BREAKER] = at_most(facts->breaker, 0);
    c[EMK_FRAUD_GATE_UNCHANGED] = at_least(facts->unchanged, 1);
    c[EMK_FRAUD_GATE_TESTS] = at_least(facts->sound, 1);
    out->ready = true;
    for (size_t i = 0; i < EMK_FRAUD_CONDITIONS; i++)
        out->ready = out->ready && c[i].ok;
}

/* ---- what needs a second person ---- */

/* Both sets, and what was found. */
typedef struct pair {
    const emk_fraud_ruleset *live, *draft;
    char *why;
    size_t cap;
} pair;

static bool found(const pair *p, const char *before, const char *name, const char *behind)
{
    (void)snprintf(p->why, p->cap, "%s%s%s", before, name, behind);
    return true;
}

static bool same_adds(const feature *a, const feature *b)
{
    return memcmp(a->add, b->add, sizeof a->add) == 0 &&
           memcmp(a->add_field, b->add_field, sizeof a->add_field) == 0 && a->max_add == b->max_add;
}

static bool same_times(const feature *a, const feature *b)
{
    return a->window_ms == b->window_ms && a->half_ms == b->half_ms && a->ttl_ms == b->ttl_ms &&
           a->step_ms == b->step_ms;
}

/* Names may differ, and places in memory. */
static bool same_feature(const feature *a, const feature *b)
{
    return a->kind == b->kind && a->entity == b->entity && a->key == b->key &&
           a->has_of == b->has_of && (!a->has_of || a->of == b->of) && a->on == b->on &&
           a->off == b->off && same_adds(a, b) && same_times(a, b) && a->limit == b->limit &&
           a->min_m == b->min_m && a->places == b->places && a->approx == b->approx &&
           a->from == b->from;
}

static bool same_plan(const pair *p, unsigned f)
{
    bool a = p->live->plan_has >> f & 1, b = p->draft->plan_has >> f & 1;

    return a == b && (!a || p->live->plan[f] == p->draft->plan[f]);
}

static bool same_op(const pair *p, const op *a, const op *b)
{
    if (a->code != b->code || a->sub != b->sub || a->k != b->k)
        return false;
    if (a->code == OP_FEATURE)
        return same_feature(&p->live->features[a->a], &p->draft->features[b->a]);
    if (a->code == OP_NUMBER || a->code == OP_TEXT)
        return a->a == b->a && same_plan(p, a->a);
    return true;
}

static bool same_condition(const pair *p, const code *a, const code *b)
{
    for (unsigned i = 0; a->n == b->n && i < a->n; i++)
        if (!same_op(p, &a->ops[i], &b->ops[i]))
            return false;
    return a->n == b->n;
}

/* Whether who is on list a is on list b for as long; both are sorted. */
static bool covers(const list *b, const list *a)
{
    size_t k = 0;

    for (size_t i = 0; i < a->n; i++) {
        while (k < b->n && b->entries[k].hash < a->entries[i].hash)
            k++;
        if (k == b->n || b->entries[k].hash != a->entries[i].hash ||
            b->entries[k].until < a->entries[i].until)
            return false;
    }
    return a->of == b->of;
}

static bool still_excepted(const pair *p, const rule *a, const rule *b)
{
    for (unsigned i = 0; i < a->n_except; i++) {
        bool is = false;

        for (unsigned k = 0; !is && k < b->n_except; k++)
            is = b->except[k].field == a->except[i].field &&
                 covers(&p->draft->lists[b->except[k].list], &p->live->lists[a->except[i].list]);
        if (!is)
            return false;
    }
    return true;
}

/* What it may add at most. */
static int64_t reach(const emk_fraud_ruleset *rs, const rule *r)
{
    int64_t cap = rs->family[r->family].cap;

    return r->accumulate || r->score > cap ? cap : r->score;
}

static bool can_deny(const emk_fraud_ruleset *rs, const rule *r)
{
    return r->mode == EMK_FRAUD_LIVE && r->percent > 0 && r->paranoia <= rs->blocking_paranoia &&
           r->score > 0 && (r->hard || reach(rs, r) >= rs->action[EMK_FRAUD_DENY].enter);
}

static const rule *rule_of(const emk_fraud_ruleset *rs, const char *id)
{
    for (unsigned i = 0; i < rs->n_rules; i++)
        if (strcmp(rs->rules[i].id, id) == 0)
            return &rs->rules[i];
    return NULL;
}

/* b is no harder than a. */
static bool is_no_harder(const pair *p, const rule *a, const rule *b)
{
    return can_deny(p->live, a) && (a->hard || !b->hard) && a->entity == b->entity &&
           b->score <= a->score && reach(p->draft, b) <= reach(p->live, a) &&
           b->half_s <= a->half_s && b->percent <= a->percent && (b->on & ~a->on) == 0 &&
           a->jitter == b->jitter && same_condition(p, &a->when_code, &b->when_code) &&
           still_excepted(p, a, b);
}

static bool rules_deny_more(const pair *p)
{
    for (unsigned i = 0; i < p->draft->n_rules; i++) {
        const rule *b = &p->draft->rules[i], *a;

        if (!can_deny(p->draft, b))
            continue;
        a = rule_of(p->live, b->id);
        if (!a)
            return found(p, "rule ", b->id, " is new and can deny");
        if (!is_no_harder(p, a, b))
            return found(p, "rule ", b->id, " can deny and was changed");
    }
    return false;
}

static bool bands_deny_more(const pair *p)
{
    for (unsigned i = EMK_FRAUD_DENY; i <= EMK_FRAUD_BAN; i++) {
        const action_row *a = &p->live->action[i], *b = &p->draft->action[i];

        if (b->enter < a->enter || b->leave < a->leave)
            return found(p, EMK_FRAUD_ACTION_NAME[i], " begins or ends at a lower score", "");
        if (b->ttl_ms > a->ttl_ms)
            return found(p, EMK_FRAUD_ACTION_NAME[i], " lasts longer", "");
    }
    if (p->draft->ban.base_ms > p->live->ban.base_ms ||
        p->draft->ban.max_ms > p->live->ban.max_ms || p->draft->ban.factor > p->live->ban.factor ||
        p->draft->ban.forgive_ms > p->live->ban.forgive_ms)
        return found(p, "bans last longer", "", "");
    return false;
}

static bool sums_deny_more(const pair *p)
{
    for (unsigned i = 0; i < p->draft->n_families; i++)
        for (unsigned k = 0; k < p->live->n_families; k++)
            if (strcmp(p->draft->family[i].name, p->live->family[k].name) == 0 &&
                p->draft->family[i].cap > p->live->family[k].cap)
                return found(p, "family ", p->draft->family[i].name, " has a higher cap");
    for (unsigned i = 0; i < EMK_FRAUD_ENTITIES; i++)
        if (p->draft->link[i] > p->live->link[i])
            return found(p, "the link of ", EMK_FRAUD_ENTITY_NAME[i], " weighs more");
    if (p->live->allow_list != NO_INDEX &&
        (p->draft->allow_list == NO_INDEX ||
         !covers(&p->draft->lists[p->draft->allow_list], &p->live->lists[p->live->allow_list])))
        return found(p, "somebody is no longer on the list of \"allow\"", "", "");
    return false;
}

bool emk_fraud_denies_more(const emk_fraud_ruleset *live, const emk_fraud_ruleset *draft, char *why,
                           size_t cap)
{
    const pair p = {live, draft, why, cap};

    return rules_deny_more(&p) || bands_deny_more(&p) || sums_deny_more(&p);
}
