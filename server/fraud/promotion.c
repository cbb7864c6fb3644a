#include "server/fraud/promotion.h"

#include "server/fraud/internal.h"
#include "server/fraud/replay.h"

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
