#include "server/gate/limits.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "server/gate/widen.h"

#include <stdatomic.h>
#include <stdio.h>

#define NS             UINT64_C(1000000000)
#define SPACE_RATE     0x52415445u
#define SPACE_PLACE    0x504C4143u
#define SOFT_PART      5u /* a fifth left */
#define JITTER_DIVISOR 5u
#define PERCENT        100u
#define SHED_STEP      37u

/* The rules are copied whole for each request, so that all its steps go by the same numbers. */
typedef struct rule_table {
    emk_limit_rule rules[EMK_LIMIT_RULES_MAX];
    size_t n_rules;
} rule_table;

struct emk_limits {
    const emk_counters *counters;
    emk_lock *lock; /* of the table's numbers */
    emk_widen *widen;
    rule_table table;
    emk_concurrency_rule concurrency[EMK_CONCURRENCY_RULES_MAX];
    size_t n_concurrency;
    atomic_int highest_class;
    atomic_uint share[EMK_GATE_CLASSES]; /* percent that is shed */
    atomic_uint turn;
};

/* ---- the table ---- */

static bool name_is_sound(const char *name)
{
    size_t n = name ? strlen(name) : 0;

    for (size_t i = 0; i < n; i++)
        if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') &&
            name[i] != '-')
            return false;
    return n > 0 && n <= EMK_LIMIT_NAME_MAX;
}

static bool rule_is_sound(const emk_limit_rule *r)
{
    uint64_t burst = r->burst ? r->burst : r->quota;

    if (!name_is_sound(r->name) || r->quota == 0 || r->window_s == 0)
        return false;
    if (r->quota > EMK_LIMIT_UNITS_MAX || burst > EMK_LIMIT_UNITS_MAX ||
        r->window_s > EMK_LIMIT_SPAN_MAX_NS / NS || r->window_s * NS / r->quota == 0)
        return false;
    if (r->window_s * NS / r->quota > EMK_LIMIT_SPAN_MAX_NS / burst)
        return false;
    return r->unit != EMK_LIMIT_FAILURES || r->by == EMK_LIMIT_BY_NET || r->by == EMK_LIMIT_BY_ALL;
}

static emk_status rules_copy(emk_limits *l, const emk_limits_config *config, emk_error *e)
{
    for (size_t i = 0; i < config->n_rules; i++) {
        if (!rule_is_sound(&config->rules[i]))
            return emk_fail(e, EMK_E_USAGE, "limits: a rule makes no sense", i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(config->rules[k].name, config->rules[i].name) == 0)
                return emk_fail(e, EMK_E_USAGE, "limits: a name twice", i);
        l->table.rules[i] = config->rules[i];
        if (l->table.rules[i].burst == 0)
            l->table.rules[i].burst = l->table.rules[i].quota;
    }
    l->table.n_rules = config->n_rules;
    for (size_t i = 0; i < config->n_concurrency; i++) {
        const emk_concurrency_rule *r = &config->concurrency[i];

        if (!name_is_sound(r->name) || r->max == 0 || r->max > EMK_LEASES_MAX || r->life_s == 0)
            return emk_fail(e, EMK_E_USAGE, "limits: a concurrency rule makes no sense", i);
        l->concurrency[i] = *r;
    }
    l->n_concurrency = config->n_concurrency;
    return EMK_OK;
}

emk_status emk_limits_new(const emk_limits_config *config, emk_limits **out, emk_error *e)
{
    emk_limits *l;
    emk_status st;

    if (config->n_rules > EMK_LIMIT_RULES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "limits: rules", config->n_rules);
    if (config->n_concurrency > EMK_CONCURRENCY_RULES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "limits: concurrency rules", config->n_concurrency);
    if (!config->counters)
        return emk_fail(e, EMK_E_USAGE, "limits: no counters", 0);
    l = emk_alloc(1, sizeof *l);
    if (!l)
        return emk_fail(e, EMK_E_NO_MEMORY, "limits: memory", sizeof *l);
    l->counters = config->counters;
    atomic_init(&l->highest_class, EMK_GATE_CLASSES - 1);
    atomic_init(&l->turn, 0);
    for (size_t i = 0; i < EMK_GATE_CLASSES; i++)
        atomic_init(&l->share[i], 0);
    st = rules_copy(l, config, e);
    if (st == EMK_OK)
        st = emk_lock_new(&l->lock, e);
    if (st == EMK_OK)
        st = emk_widen_new(config->seed, &l->widen, e);
    if (st != EMK_OK) {
        emk_limits_free(l);
        return st;
    }
    *out = l;
    return EMK_OK;
}

void emk_limits_free(emk_limits *l)
{
    if (!l)
        return;
    emk_widen_free(l->widen);
    emk_lock_free(l->lock);
    emk_free(l);
}

static void table_get(const emk_limits *l, rule_table *out)
{
    emk_lock_take(l->lock);
    memcpy(out->rules, l->table.rules, l->table.n_rules * sizeof out->rules[0]);
    emk_lock_give(l->lock);
    out->n_rules = l->table.n_rules;
}

size_t emk_limits_rules(const emk_limits *l, emk_limit_rule out[EMK_LIMIT_RULES_MAX])
{
    emk_lock_take(l->lock);
    memcpy(out, l->table.rules, l->table.n_rules * sizeof out[0]);
    emk_lock_give(l->lock);
    return l->table.n_rules;
}

static void name_add(const char **out, size_t cap, size_t *n, const char *name)
{
    for (size_t i = 0; i < *n; i++)
        if (strcmp(out[i], name) == 0)
            return;
    if (*n < cap)
        out[(*n)++] = name;
}

/* Names never change, so the lock is not needed. */
size_t emk_limits_names(const emk_limits *l, const char **out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < l->table.n_rules; i++)
        name_add(out, cap, &n, l->table.rules[i].name);
    for (size_t i = 0; i < l->n_concurrency; i++)
        name_add(out, cap, &n, l->concurrency[i].name);
    return n;
}

emk_status emk_limits_change(emk_limits *l, const char *name, const emk_limit_change *to,
                             emk_error *e)
{
    for (size_t i = 0; i < l->table.n_rules; i++) {
        emk_limit_rule r;

        if (strcmp(l->table.rules[i].name, name) != 0)
            continue;
        emk_lock_take(l->lock);
        r = l->table.rules[i];
        emk_lock_give(l->lock);
        r.quota = to->quota;
        r.window_s = to->window_s;
        r.burst = to->burst ? to->burst : to->quota;
        r.shadow = to->shadow;
        if (!rule_is_sound(&r))
            return emk_fail(e, EMK_E_USAGE, "limits: these numbers make no sense", i);
        emk_lock_take(l->lock);
        l->table.rules[i] = r;
        emk_lock_give(l->lock);
        return EMK_OK;
    }
    return emk_fail(e, EMK_E_NOT_FOUND, "limits: no such limit", 0);
}

/* ---- whom a rule counts ---- */

typedef struct key {
    uint8_t b[EMK_COUNTER_KEY_MAX];
    size_t n;
} key;

static void key_put(key *k, const void *p, size_t n)
{
    if (n > sizeof k->b - k->n)
        n = sizeof k->b - k->n;
    memcpy(k->b + k->n, p, n);
    k->n += n;
}

/* With the zero: what follows is told apart from it. */
static void key_put_text(key *k, const char *s)
{
    key_put(k, s, strlen(s) + 1);
}

static void key_put_net(key *k, const emk_limits *l, const emk_limits_ask *ask)
{
    emk_net net = emk_widen_net(l->widen, &ask->client, ask->now_ns / NS);
    uint8_t family = (uint8_t)net.base.family;

    key_put(k, &family, 1);
    key_put(k, &net.bits, 1);
    key_put(k, net.base.b, sizeof net.base.b);
}

static bool has_device(const emk_principal *who)
{
    return who->kind == EMK_PRINCIPAL_DEVICE || who->kind == EMK_PRINCIPAL_DEVICE_USER;
}

/* False when the rule does not count this one. */
static bool key_of(const emk_limits *l, const char *name, emk_limit_by by,
                   const emk_limits_ask *ask, key *out)
{
    out->n = 0;
    key_put_text(out, name);
    switch (by) {
    case EMK_LIMIT_BY_ALL:
        return true;
    case EMK_LIMIT_BY_ROUTE:
        key_put_text(out, ask->route);
        return true;
    case EMK_LIMIT_BY_NET:
        key_put_net(out, l, ask);
        return ask->client.family != EMK_ADDRESS_NONE;
    case EMK_LIMIT_BY_USER:
        key_put_text(out, ask->who->tenant);
        key_put_text(out, ask->who->user);
        return ask->who->user[0] != 0;
    case EMK_LIMIT_BY_DEVICE:
        key_put(out, ask->who->device_id, sizeof ask->who->device_id);
        return has_device(ask->who);
    case EMK_LIMIT_BY_NAME:
        key_put_text(out, emk_principal_kind_name(ask->who->kind));
        key_put_text(out, ask->who->name);
        return ask->who->name[0] != 0;
    case EMK_LIMIT_BY_TENANT:
        key_put_text(out, ask->who->tenant);
        return ask->who->tenant[0] != 0;
    }
    return false;
}

static bool rule_applies(const emk_limit_rule *r, const emk_limits_ask *ask)
{
    if (r->route && (!ask->route || strcmp(r->route, ask->route) != 0))
        return false;
    return r->limit_class == 0 || r->limit_class == ask->limit_class;
}

/* ---- asking the counters ---- */

/* The limits of one call to the counters, and which rules they are. */
typedef struct batch {
    emk_limit limits[EMK_LIMITS_MAX];
    emk_limit_state states[EMK_LIMITS_MAX];
    key keys[EMK_LIMITS_MAX];
    size_t rules[EMK_LIMITS_MAX];
    size_t n;
} batch;

static void batch_begin(batch *b)
{
    memset(b->states, 0, sizeof b->states);
    b->n = 0;
}

/* Other numbers are another limit, which counts anew: what was taken of a narrow one would bar
 * from a wide one for as long as the narrow one lasts. */
static uint32_t space_of(const emk_limit_rule *r)
{
    uint64_t h = (r->quota * 31 + r->window_s) * 31 + r->burst;

    return SPACE_RATE ^ (uint32_t)(h * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static void batch_add(batch *b, const rule_table *l, size_t rule, const key *k, uint64_t cost)
{
    const emk_limit_rule *r = &l->rules[rule];
    emk_limit *limit = &b->limits[b->n];

    b->keys[b->n] = *k;
    limit->key.space = space_of(r);
    limit->key.bytes = emk_span_of(b->keys[b->n].b, b->keys[b->n].n);
    limit->unit_ns = r->window_s * NS / r->quota;
    limit->burst = r->burst;
    limit->cost = cost;
    b->rules[b->n] = rule;
    b->n++;
}

/* The tightest: a limited one with the longest wait, else the one with the smallest part left. */
static bool is_tighter(const emk_limit_state *a, const emk_limit_state *b)
{
    if (a->limited != b->limited)
        return a->limited;
    if (a->limited)
        return a->retry_ns > b->retry_ns;
    return a->remaining * b->limit < b->remaining * a->limit;
}

static void batch_answer(const batch *b, const rule_table *l, emk_limits_answer *out)
{
    const emk_limit_state *tightest = &b->states[0];
    size_t which = 0;

    for (size_t i = 0; i < b->n; i++) {
        out->applied |= UINT64_C(1) << b->rules[i];
        if (is_tighter(&b->states[i], tightest)) {
            tightest = &b->states[i];
            which = i;
        }
    }
    if (b->n == 0)
        return;
    out->any = true;
    out->limited = tightest->limited;
    out->name = l->rules[b->rules[which]].name;
    out->remaining = tightest->remaining;
    out->retry_ns = tightest->limited ? tightest->retry_ns : 0;
    out->reset_ns = tightest->reset_ns;
    out->soft = tightest->remaining * SOFT_PART < tightest->limit;
}

static uint64_t cost_of(const emk_limit_rule *r, const emk_limits_ask *ask)
{
    return r->unit == EMK_LIMIT_COST ? ask->cost : 1;
}

/* A limit in shadow is asked alone: it must neither hold up the others nor be held up. */
static void shadow_take(const emk_counters *counters, const rule_table *l, size_t rule,
                        const key *k, const emk_limits_ask *ask, emk_limits_answer *out)
{
    batch b = {0};

    batch_add(&b, l, rule, k, cost_of(&l->rules[rule], ask));
    if (emk_counters_take(counters, b.limits, 1, ask->now_ns, b.states, NULL) == EMK_OK &&
        b.states[0].limited)
        out->shadow_hits++;
}

/* One of a customer's networks met a limit: the ones around it may count as one. */
static void note_nets(const emk_limits *l, const batch *b, const rule_table *t,
                      const emk_limits_ask *ask)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->states[i].limited && t->rules[b->rules[i]].by == EMK_LIMIT_BY_NET) {
            emk_widen_limited(l->widen, &ask->client, ask->now_ns / NS);
            return;
        }
}

/* Collects the live rules of one kind into *b; shadow ones are asked on the way, unless out is
 * NULL. */
static emk_status collect(const emk_limits *l, const rule_table *t, const emk_limits_ask *ask,
                          batch *b, emk_limits_answer *out, emk_error *e)
{
    key k;

    for (size_t i = 0; i < t->n_rules; i++) {
        const emk_limit_rule *r = &t->rules[i];
        uint64_t cost = cost_of(r, ask);

        if (r->unit == EMK_LIMIT_FAILURES || cost == 0 || !rule_applies(r, ask) ||
            !key_of(l, r->name, r->by, ask, &k))
            continue;
        if (r->shadow) {
            if (out)
                shadow_take(l->counters, t, i, &k, ask, out);
            continue;
        }
        if (b->n == EMK_LIMITS_MAX)
            return emk_fail(e, EMK_E_LIMIT, "limits: too many apply to one request", i);
        batch_add(b, t, i, &k, cost);
    }
    return EMK_OK;
}

emk_status emk_limits_take(const emk_limits *l, const emk_limits_ask *ask, emk_limits_answer *out,
                           emk_error *e)
{
    emk_limits_answer answer = {0};
    rule_table t;
    batch b;
    emk_status st;

    batch_begin(&b);
    table_get(l, &t);
    st = collect(l, &t, ask, &b, &answer, e);
    if (st == EMK_OK && b.n > 0)
        st = emk_counters_take(l->counters, b.limits, b.n, ask->now_ns, b.states, e);
    if (st != EMK_OK)
        return st;
    note_nets(l, &b, &t, ask);
    batch_answer(&b, &t, &answer);
    *out = answer;
    return EMK_OK;
}

emk_status emk_limits_peek(const emk_limits *l, const emk_limits_ask *ask, emk_limits_answer *out,
                           emk_error *e)
{
    emk_limits_answer answer = {0};
    rule_table t;
    batch b;
    emk_status st;

    batch_begin(&b);
    table_get(l, &t);
    st = collect(l, &t, ask, &b, NULL, e);
    for (size_t i = 0; i < b.n; i++)
        b.limits[i].cost = 0;
    if (st == EMK_OK && b.n > 0)
        st = emk_counters_take(l->counters, b.limits, b.n, ask->now_ns, b.states, e);
    if (st != EMK_OK)
        return st;
    for (size_t i = 0; i < b.n; i++) {
        uint64_t cost = cost_of(&t.rules[b.rules[i]], ask), left = b.states[i].remaining;

        b.states[i].limited = left < cost;
        b.states[i].retry_ns = left < cost ? (cost - left) * b.limits[i].unit_ns : 0;
    }
    batch_answer(&b, &t, &answer);
    *out = answer;
    return EMK_OK;
}

static void collect_failures(const emk_limits *l, const rule_table *t, const emk_limits_ask *ask,
                             uint64_t cost, batch *b)
{
    key k;

    for (size_t i = 0; i < t->n_rules && b->n < EMK_LIMITS_MAX; i++) {
        const emk_limit_rule *r = &t->rules[i];

        if (r->unit == EMK_LIMIT_FAILURES && !r->shadow && rule_applies(r, ask) &&
            key_of(l, r->name, r->by, ask, &k))
            batch_add(b, t, i, &k, cost);
    }
}

emk_status emk_limits_look(const emk_limits *l, const emk_limits_ask *ask, emk_limits_answer *out,
                           emk_error *e)
{
    emk_limits_answer answer = {0};
    rule_table t;
    batch b;
    emk_status st;

    batch_begin(&b);
    table_get(l, &t);
    collect_failures(l, &t, ask, 0, &b);
    if (b.n > 0) {
        st = emk_counters_take(l->counters, b.limits, b.n, ask->now_ns, b.states, e);
        if (st != EMK_OK)
            return st;
    }
    for (size_t i = 0; i < b.n; i++) {
        b.states[i].limited = b.states[i].remaining == 0;
        b.states[i].retry_ns = b.limits[i].unit_ns;
    }
    note_nets(l, &b, &t, ask);
    batch_answer(&b, &t, &answer);
    *out = answer;
    return EMK_OK;
}

void emk_limits_failed(const emk_limits *l, const emk_limits_ask *ask)
{
    rule_table t;
    batch b;

    batch_begin(&b);
    table_get(l, &t);
    collect_failures(l, &t, ask, 1, &b);
    /* One at a time: a full one must not keep the others from counting. */
    for (size_t i = 0; i < b.n; i++)
        (void)!emk_counters_take(l->counters, &b.limits[i], 1, ask->now_ns, b.states, NULL);
}

void emk_limits_refund(const emk_limits *l, const emk_limits_ask *ask, uint32_t units)
{
    rule_table t;
    key k;

    table_get(l, &t);
    for (size_t i = 0; i < t.n_rules && units > 0; i++) {
        const emk_limit_rule *r = &t.rules[i];
        batch b;

        if (r->unit != EMK_LIMIT_COST || r->shadow || !rule_applies(r, ask) ||
            !key_of(l, r->name, r->by, ask, &k))
            continue;
        batch_begin(&b);
        batch_add(&b, &t, i, &k, units);
        (void)!emk_counters_refund(l->counters, &b.limits[0], ask->now_ns, NULL);
    }
}

/* ---- places at work ---- */

static const emk_concurrency_rule *concurrency_find(const emk_limits *l, const char *name)
{
    for (size_t i = 0; name && i < l->n_concurrency; i++)
        if (strcmp(l->concurrency[i].name, name) == 0)
            return &l->concurrency[i];
    return NULL;
}

emk_status emk_limits_hold_take(const emk_limits *l, const char *name, const emk_limits_ask *ask,
                                emk_limits_hold *out, emk_error *e)
{
    const emk_concurrency_rule *r = concurrency_find(l, name);
    emk_counter_lease lease;
    emk_status st;
    uint64_t id;
    key k;

    if (!r || !key_of(l, r->name, r->by, ask, &k))
        return EMK_OK;
    lease.key.space = SPACE_PLACE;
    lease.key.bytes = emk_span_of(k.b, k.n);
    lease.max = r->max;
    lease.until_ns = ask->now_ns + r->life_s * NS;
    st = emk_counters_lease_take(l->counters, &lease, ask->now_ns, &id, e);
    if (st != EMK_OK)
        return r->shadow ? EMK_OK : st;
    out->id = id;
    memcpy(out->key, k.b, k.n);
    out->key_len = k.n;
    return EMK_OK;
}

void emk_limits_hold_give(const emk_limits *l, emk_limits_hold *h)
{
    const emk_counter_key k = {SPACE_PLACE, emk_span_of(h->key, h->key_len)};

    if (h->id != 0)
        emk_counters_lease_give(l->counters, &k, h->id);
    h->id = 0;
}

/* ---- overload ---- */

void emk_limits_shed_set(emk_limits *l, emk_gate_class highest)
{
    atomic_store_explicit(&l->highest_class, (int)highest, memory_order_relaxed);
}

void emk_limits_shed_share(emk_limits *l, emk_gate_class klass, unsigned percent)
{
    atomic_store_explicit(&l->share[klass], percent, memory_order_relaxed);
}

/* Steps of 37 through 100: of any few in a row about the share is shed. */
bool emk_limits_sheds(emk_limits *l, emk_gate_class klass)
{
    unsigned share = atomic_load_explicit(&l->share[klass], memory_order_relaxed);

    if ((int)klass > atomic_load_explicit(&l->highest_class, memory_order_relaxed))
        return true;
    return share > 0 &&
           atomic_fetch_add_explicit(&l->turn, 1, memory_order_relaxed) * SHED_STEP % PERCENT <
               share;
}

/* ---- what the client reads ---- */

static uint64_t seconds_up(uint64_t ns)
{
    return ns / NS + (ns % NS != 0);
}

/* Appends one policy when it fits whole. */
static void policy_append(char *out, const emk_limit_rule *r)
{
    char one[EMK_LIMIT_NAME_MAX + 80];
    size_t have = strlen(out);
    const char *unit = r->unit == EMK_LIMIT_COST ? ";qu=\"earmark-cost\"" : "";
    int n = snprintf(one, sizeof one, "%s\"%s\";q=%llu%s;w=%llu", have > 0 ? ", " : "", r->name,
                     (unsigned long long)r->quota, unit, (unsigned long long)r->window_s);

    if (n > 0 && (size_t)n < sizeof one && have + (size_t)n < EMK_LIMIT_HEADER_MAX)
        memcpy(out + have, one, (size_t)n + 1);
}

void emk_limits_policy_write(const emk_limits *l, const emk_limits_answer *a,
                             char out[EMK_LIMIT_HEADER_MAX])
{
    rule_table t;

    out[0] = 0;
    table_get(l, &t);
    for (size_t i = 0; a->any && i < t.n_rules; i++)
        if (strcmp(t.rules[i].name, a->name) == 0)
            policy_append(out, &t.rules[i]);
    for (size_t i = 0; a->any && i < t.n_rules; i++)
        if ((a->applied >> i & 1) != 0 && strcmp(t.rules[i].name, a->name) != 0)
            policy_append(out, &t.rules[i]);
}

void emk_limits_state_write(const emk_limits_answer *a, char out[EMK_LIMIT_HEADER_MAX])
{
    uint64_t wait = a->limited ? a->retry_ns : a->reset_ns;

    out[0] = 0;
    if (!a->any)
        return;
    if (wait == EMK_COUNTER_NEVER)
        (void)snprintf(out, EMK_LIMIT_HEADER_MAX, "\"%s\";r=%llu", a->name,
                       (unsigned long long)a->remaining);
    else
        (void)snprintf(out, EMK_LIMIT_HEADER_MAX, "\"%s\";r=%llu;t=%llu", a->name,
                       (unsigned long long)a->remaining, (unsigned long long)seconds_up(wait));
}

uint32_t emk_limits_retry_s(uint64_t retry_ns, uint8_t jitter)
{
    uint64_t most = 86400u;
    uint64_t s = retry_ns == EMK_COUNTER_NEVER ? most : seconds_up(retry_ns);

    s = s > most ? most : s;
    s = s == 0 ? 1 : s;
    return (uint32_t)(s + s * jitter / ((uint64_t)JITTER_DIVISOR * UINT8_MAX));
}
