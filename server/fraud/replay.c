/* Lines are read by several threads, a batch at a time, and decided by one, in the order of
 * the log: the number of threads cannot change the result.
 *
 * State of a pass: a batch of lines, the engine (and the baseline's), and the report. */
#include "server/fraud/replay.h"

#include "core/base/alloc.h"
#include "core/base/os_parallel.h"
#include "core/base/os_time.h"
#include "server/fraud/fixed.h"

#include <stdio.h>

#define BATCH  4096u
#define ALONE  512u /* of one thread: what was read is still near when it is decided */
#define NEAR   2u   /* events ahead whose entities are asked for, and twice that their slots */
#define DAY_MS UINT64_C(86400000)

typedef struct item {
    emk_fraud_event ev;
    emk_fraud_ignored unknown;
    emk_fraud_ahead ahead;
    emk_span line;
    emk_error error;
    emk_status status;
} item;

/* Which rule fired for which entity: keys of both, open addressing. */
#define UNIQUE_MAX (UINT64_C(1) << 24)
typedef struct unique {
    uint64_t *slot; /* owned; 0: free */
    uint64_t mask, n;
} unique;

typedef struct pass {
    const emk_crypto *crypto;
    const emk_fraud_ruleset *rules;
    const emk_fraud_replay_options *o;
    emk_fraud_replay_report *out;
    emk_fraud_engine *engine, *baseline;
    emk_fraud_labels *labels;
    emk_span text;
    size_t at;
    item *items; /* owned; BATCH of them */
    unsigned n, threads;
    unique unique;
    bool quiet; /* leave-one-out: only the cases matter */
} pass;

static emk_status read_share(void *self, unsigned worker, emk_error *e)
{
    pass *p = self;

    (void)e;
    for (unsigned i = worker; i < p->n; i += p->threads) {
        item *it = &p->items[i];

        it->unknown.n = 0;
        it->status = p->o->strict ? emk_fraud_event_read(it->line, &it->ev, &it->error)
                                  : emk_fraud_event_read_foreign(it->line, &it->ev, &it->unknown,
                                                                 &it->error);
        if (it->status == EMK_OK)
            emk_fraud_look_ahead(p->rules, &it->ev, &it->ahead);
    }
    return EMK_OK;
}

static void cut_batch(pass *p)
{
    p->n = 0;
    while (p->n < (p->threads > 1 ? BATCH : ALONE) && p->at < p->text.len) {
        const uint8_t *from = p->text.p + p->at;
        const uint8_t *end = memchr(from, '\n', p->text.len - p->at);
        size_t len = end ? (size_t)(end - from) : p->text.len - p->at;

        p->at += len + 1;
        p->items[p->n++].line = emk_span_of(from, len);
    }
}

static bool is_blank(emk_span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
            return false;
    return true;
}

static emk_fraud_refusal *refusal_of(emk_fraud_replay_report *r, const char *what)
{
    for (unsigned i = 0; i < r->n_refusals; i++)
        if (strcmp(r->refusal[i].what, what) == 0)
            return &r->refusal[i];
    if (r->n_refusals == EMK_FRAUD_REFUSALS_MAX)
        return &r->refusal[EMK_FRAUD_REFUSALS_MAX - 1];
    r->refusal[r->n_refusals].what = what;
    return &r->refusal[r->n_refusals++];
}

static void drop(pass *p, const item *it)
{
    emk_fraud_replay_report *r = p->out;
    emk_fraud_refusal *why;

    if (p->quiet)
        return;
    if (is_blank(it->line)) {
        r->blank++;
        return;
    }
    why = refusal_of(r, it->error.what);
    if (why->lines < EMK_FRAUD_REFUSED_FIRST) {
        why->line[why->lines] = r->lines;
        why->byte[why->lines] = it->error.where;
    }
    why->lines++;
    r->dropped++;
    if (r->first_bad)
        return;
    r->first_bad = it->error.what;
    r->first_bad_line = r->lines;
    r->first_bad_where = it->error.where;
}

static void name_unknown(emk_fraud_replay_report *r, emk_span key)
{
    char name[EMK_FRAUD_UNKNOWN_CAP];

    snprintf(name, sizeof name, "%.*s", (int)(key.len < sizeof name ? key.len : sizeof name - 1),
             (const char *)key.p);
    for (unsigned i = 0; i < r->n_unknown; i++)
        if (strcmp(r->unknown[i], name) == 0)
            return;
    if (r->n_unknown < EMK_FRAUD_UNKNOWN_MAX)
        memcpy(r->unknown[r->n_unknown++], name, sizeof name);
}

static void note_unknown(pass *p, const item *it)
{
    if (it->unknown.n == 0 || p->quiet)
        return;
    p->out->unknown_keys += it->unknown.n;
    p->out->unknown_lines++;
    for (unsigned i = 0; i < it->unknown.n && i < EMK_FRAUD_IGNORED_FIRST; i++)
        name_unknown(p->out, it->unknown.first[i]);
}

/* ---- cases ---- */

static void note_steps(emk_fraud_case *c, const emk_fraud_event *ev, emk_fraud_action a)
{
    static const emk_fraud_action step[EMK_FRAUD_STEPS] = {EMK_FRAUD_CHALLENGE, EMK_FRAUD_THROTTLE,
                                                           EMK_FRAUD_DENY};
    uint64_t day = ev->ts / DAY_MS;

    if (c->days == 0 || day != c->day) {
        c->days++;
        c->day = day;
        c->day_steps = 0;
    }
    for (unsigned i = 0; i < EMK_FRAUD_STEPS; i++) {
        if (a < step[i])
            continue;
        c->step_days[i] += !(c->day_steps >> i & 1);
        c->day_steps |= 1u << i;
        if (c->step_requests[i])
            continue;
        c->step_requests[i] = c->requests;
        c->step_ms[i] = ev->ts - c->first_ms;
    }
}

static void note_rules(emk_fraud_case *c, const emk_fraud_decision *d)
{
    for (unsigned i = 0; i < d->n_reasons; i++) {
        const emk_fraud_reason *r = &d->reason[i];

        if (!r->now)
            continue;
        if (r->shadow)
            c->fired_shadow[r->rule / 64] |= UINT64_C(1) << (r->rule % 64);
        else
            c->fired[r->rule / 64] |= UINT64_C(1) << (r->rule % 64);
    }
}

static void note_case(emk_fraud_case *c, const emk_fraud_event *ev, const emk_fraud_decision *d)
{
    if (c->key == 0)
        return;
    if (c->first_ms == 0)
        c->first_ms = ev->ts;
    note_rules(c, d);
    if (!EMK_FRAUD_TYPE[ev->type].decides)
        return;
    c->requests++;
    if (emk_fraud_has(ev, EMK_FRAUD_F_COST)) {
        int64_t cost = ev->f[EMK_FRAUD_F_COST].number;

        c->cost = emk_fraud_add(c->cost, cost);
        if (d->action >= EMK_FRAUD_THROTTLE)
            c->cost_stopped = emk_fraud_add(c->cost_stopped, cost);
    }
    note_steps(c, ev, d->action);
}

static void note_cases(pass *p, const emk_fraud_event *ev, const emk_fraud_decision *d)
{
    static const struct {
        const char *kind;
        emk_fraud_field f;
    } of[] = {{"user", EMK_FRAUD_F_USER}, {"device", EMK_FRAUD_F_DEVICE}, {"id", EMK_FRAUD_F_ID}};

    emk_fraud_case *c = NULL;

    for (unsigned i = 0; p->labels && i < 3; i++) {
        if (emk_fraud_has(ev, of[i].f))
            note_case(
                emk_fraud_case_find(p->labels, emk_fraud_case_key(of[i].kind, ev->f[of[i].f].text)),
                ev, d);
    }
    /* A label that does not say of what: of the user of that name, else of the device. */
    for (unsigned i = 0; p->labels && p->labels->bare && i < 2 && !(c && c->key); i++) {
        if (emk_fraud_has(ev, of[i].f))
            c = emk_fraud_case_find(p->labels, emk_fraud_case_key("any", ev->f[of[i].f].text));
    }
    if (c)
        note_case(c, ev, d);
}

/* ---- events ---- */

static bool insert(unique *u, uint64_t key)
{
    uint64_t i = key & u->mask;

    while (u->slot[i] && u->slot[i] != key)
        i = (i + 1) & u->mask;
    if (u->slot[i])
        return false;
    u->slot[i] = key;
    u->n++;
    return true;
}

static emk_status grow(unique *u, emk_error *e)
{
    unique next = {.mask = u->slot ? 2 * u->mask + 1 : 1023};

    next.slot = emk_alloc((size_t)next.mask + 1, sizeof *next.slot);
    if (!next.slot)
        return emk_fail(e, EMK_E_NO_MEMORY, "replay: no memory", (size_t)next.mask);
    for (uint64_t i = 0; u->slot && i <= u->mask; i++)
        if (u->slot[i])
            (void)insert(&next, u->slot[i]);
    emk_free(u->slot);
    *u = next;
    return EMK_OK;
}

/* Up to UNIQUE_MAX pairs are told apart; beyond that nobody is new any more. */
static emk_status note_unique(pass *p, const item *it, const emk_fraud_reason *r, emk_error *e)
{
    uint64_t key = it->ahead.entity_key[r->entity] ^ (r->rule + 1) * UINT64_C(0x9e3779b97f4a7c15);
    emk_status st = EMK_OK;

    if (p->unique.n * 2 >= p->unique.mask && p->unique.n < UNIQUE_MAX)
        st = grow(&p->unique, e);
    if (st == EMK_OK && p->unique.n < UNIQUE_MAX)
        p->out->rule[r->rule].unique += insert(&p->unique, key ? key : 1);
    return st;
}

static emk_status note_hits(pass *p, const item *it, const emk_fraud_decision *d, emk_error *e)
{
    emk_status st = EMK_OK;

    for (unsigned i = 0; st == EMK_OK && i < d->n_reasons; i++) {
        emk_fraud_replay_rule *r = &p->out->rule[d->reason[i].rule];

        if (!d->reason[i].now)
            continue;
        r->hits += !d->reason[i].shadow;
        r->hits_shadow += d->reason[i].shadow;
        r->first_ms = r->first_ms ? r->first_ms : it->ev.ts;
        r->last_ms = it->ev.ts;
        st = note_unique(p, it, &d->reason[i], e);
    }
    return st;
}

static void take_sample(pass *p, const emk_fraud_event *ev, emk_fraud_action was,
                        emk_fraud_action is)
{
    emk_fraud_replay_report *r = p->out;
    emk_fraud_sample *s = &r->sample[r->n_samples];

    if (r->n_samples == EMK_FRAUD_SAMPLES_MAX)
        return;
    r->n_samples++;
    s->line = r->lines;
    s->was = (uint8_t)was;
    s->is = (uint8_t)is;
    if (emk_fraud_has(ev, EMK_FRAUD_F_ID))
        snprintf(s->id, sizeof s->id, "%.*s", (int)ev->f[EMK_FRAUD_F_ID].text.len,
                 (const char *)ev->f[EMK_FRAUD_F_ID].text.p);
}

static emk_status compare(pass *p, const emk_fraud_event *ev, const emk_fraud_decision *d,
                          emk_error *e)
{
    emk_fraud_replay_report *r = p->out;
    emk_fraud_decision b;
    emk_status st = emk_fraud_decide(p->baseline, ev, &b, e);

    if (st != EMK_OK || b.action == d->action || !EMK_FRAUD_TYPE[ev->type].decides)
        return st;
    r->harder += d->action > b.action;
    r->milder += d->action < b.action;
    r->newly_denied += d->action >= EMK_FRAUD_DENY && b.action < EMK_FRAUD_DENY;
    r->newly_allowed += d->action < EMK_FRAUD_DENY && b.action >= EMK_FRAUD_DENY;
    if ((d->action >= EMK_FRAUD_DENY) != (b.action >= EMK_FRAUD_DENY))
        take_sample(p, ev, b.action, d->action);
    return EMK_OK;
}

static emk_status decide(pass *p, item *it, emk_error *e)
{
    const emk_fraud_event *ev = &it->ev;
    emk_fraud_replay_report *r = p->out;
    emk_fraud_decision d;
    emk_status st = emk_fraud_decide_ahead(p->engine, ev, &it->ahead, &d, e);

    if (st == EMK_E_USED || st == EMK_E_STALE) {
        r->duplicate += st == EMK_E_USED && !p->quiet;
        r->future += st == EMK_E_STALE && !p->quiet;
        return EMK_OK;
    }
    if (st != EMK_OK)
        return st;
    note_cases(p, ev, &d);
    if (p->quiet)
        return EMK_OK;
    r->events++;
    note_unknown(p, it);
    r->first_ms = r->first_ms && r->first_ms < ev->ts ? r->first_ms : ev->ts;
    r->last_ms = ev->ts > r->last_ms ? ev->ts : r->last_ms;
    if (EMK_FRAUD_TYPE[ev->type].decides) {
        r->actions[d.action]++;
        r->shadow_actions[d.shadow]++;
    }
    st = note_hits(p, it, &d, e);
    if (p->o->watch)
        p->o->watch(p->o->watch_self, r->lines, ev, &d);
    return st == EMK_OK && p->baseline ? compare(p, ev, &d, e) : st;
}

static void fetch(const pass *p, unsigned i)
{
    if (i + 2 * NEAR < p->n && p->items[i + 2 * NEAR].status == EMK_OK)
        emk_fraud_fetch_slots(p->engine, &p->items[i + 2 * NEAR].ahead);
    if (i + NEAR < p->n && p->items[i + NEAR].status == EMK_OK)
        emk_fraud_fetch_slabs(p->engine, &p->items[i + NEAR].ahead);
}

static emk_status run_batches(pass *p, emk_error *e)
{
    emk_status st = EMK_OK;

    while (st == EMK_OK) {
        cut_batch(p);
        if (p->n == 0)
            return EMK_OK;
        st = emk_parallel_run(p->threads, read_share, p, e);
        for (unsigned i = 0; st == EMK_OK && i < p->n; i++) {
            item *it = &p->items[i];

            fetch(p, i);
            p->out->lines += !p->quiet;
            if (it->status != EMK_OK)
                drop(p, it);
            else if (p->o->until_ms == 0 || it->ev.ts <= p->o->until_ms)
                st = decide(p, it, e);
        }
    }
    return st;
}

static emk_status run_pass(pass *p, const emk_fraud_ruleset *rs, uint16_t without, emk_error *e)
{
    emk_fraud_options options = p->o->engine;
    emk_status st;

    options.without = without;
    options.no_stream = p->quiet;
    p->at = 0;
    st = emk_fraud_engine_new(p->crypto, rs, &options, &p->engine, e);
    if (st == EMK_OK && p->o->baseline && !p->quiet)
        st = emk_fraud_engine_new(p->crypto, p->o->baseline, &p->o->engine, &p->baseline, e);
    return st == EMK_OK ? run_batches(p, e) : st;
}

static void end_pass(pass *p)
{
    emk_fraud_engine_free(p->engine);
    emk_fraud_engine_free(p->baseline);
    p->engine = p->baseline = NULL;
}

/* ---- what it comes to ---- */

static void count_rule(const emk_fraud_labels *l, unsigned i, emk_fraud_replay_rule *r)
{
    uint64_t bit = UINT64_C(1) << (i % 64);

    for (uint64_t k = 0; k <= l->mask; k++) {
        const emk_fraud_case *c = &l->cases[k];
        bool fraud = c->label == EMK_FRAUD_FRAUD_LABEL, ok = c->label == EMK_FRAUD_OK_LABEL;

        if (!c->key)
            continue;
        if (c->fired[i / 64] & bit) {
            r->entities++;
            r->tp += fraud;
            r->fp += ok;
        }
        if (c->fired_shadow[i / 64] & bit) {
            r->tp_shadow += fraud;
            r->fp_shadow += ok;
        }
    }
}

static emk_status sum_up(pass *p, const emk_fraud_ruleset *rs, emk_error *e)
{
    emk_fraud_replay_report *r = p->out;
    emk_status st = emk_fraud_stream_hash(p->engine, r->stream, e);

    if (st == EMK_OK && p->baseline)
        st = emk_fraud_stream_hash(p->baseline, r->baseline_stream, e);
    emk_fraud_engine_stats(p->engine, &r->stats);
    for (unsigned i = 0; i < emk_fraud_ruleset_rules(rs); i++) {
        emk_fraud_engine_rule(p->engine, i, &r->rule[i].stats);
        if (p->labels)
            count_rule(p->labels, i, &r->rule[i]);
    }
    return st;
}

/* Cases that reach a throttle without the rule, compared with those that do with it. */
static emk_status leave_out(pass *p, const emk_fraud_ruleset *rs, unsigned i,
                            const emk_fraud_labels *full, emk_error *e)
{
    emk_fraud_replay_rule *r = &p->out->rule[i];
    emk_status st;

    if (r->hits == 0)
        return EMK_OK;
    emk_fraud_labels_reset(p->labels);
    st = run_pass(p, rs, (uint16_t)i, e);
    end_pass(p);
    for (uint64_t k = 0; st == EMK_OK && k <= full->mask; k++) {
        bool was = full->cases[k].step_requests[1] != 0;
        bool is = p->labels->cases[k].step_requests[1] != 0;

        r->lost += was && !is && full->cases[k].label == EMK_FRAUD_FRAUD_LABEL;
        r->spared += was && !is && full->cases[k].label == EMK_FRAUD_OK_LABEL;
    }
    return st;
}

static emk_status leave_each_out(pass *p, const emk_fraud_ruleset *rs, emk_error *e)
{
    size_t len = (size_t)(p->labels->mask + 1) * sizeof *p->labels->cases;
    emk_fraud_labels full = *p->labels;
    emk_status st = EMK_OK;

    full.cases = emk_alloc(1, len);
    if (!full.cases)
        return emk_fail(e, EMK_E_NO_MEMORY, "replay: no memory", len);
    memcpy(full.cases, p->labels->cases, len);
    p->quiet = true;
    for (unsigned i = 0; st == EMK_OK && i < emk_fraud_ruleset_rules(rs); i++)
        st = leave_out(p, rs, i, &full, e);
    memcpy(p->labels->cases, full.cases, len);
    emk_free(full.cases);
    p->out->left_one_out = st == EMK_OK;
    return st;
}

/* Once more for each rule that fired: by itself only where that is soon done. */
static bool wants_leave_one_out(const pass *p, const emk_fraud_ruleset *rs)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < emk_fraud_ruleset_rules(rs); i++)
        n += p->out->rule[i].hits != 0;
    return p->o->leave_one_out == EMK_FRAUD_LEAVE_ALWAYS ||
           (p->o->leave_one_out == EMK_FRAUD_LEAVE_IF_SHORT &&
            n * p->out->events <= EMK_FRAUD_LEAVE_SHORT);
}

emk_status emk_fraud_replay(const emk_crypto *c, const emk_fraud_ruleset *rs, emk_span events,
                            const emk_fraud_replay_options *o, emk_fraud_replay_report *out,
                            emk_error *e)
{
    pass p = {.crypto = c, .rules = rs, .o = o, .out = out, .labels = o->labels, .text = events};
    uint64_t begin = emk_os_monotonic_ns();
    emk_status st;

    memset(out, 0, sizeof *out);
    p.threads = o->threads ? o->threads : 1;
    p.items = emk_alloc(BATCH, sizeof *p.items);
    if (!p.items)
        return emk_fail(e, EMK_E_NO_MEMORY, "replay: no memory", BATCH);
    st = run_pass(&p, rs, EMK_FRAUD_RULE_NONE, e);
    out->ns = emk_os_monotonic_ns() - begin;
    if (st == EMK_OK)
        st = sum_up(&p, rs, e);
    end_pass(&p);
    if (st == EMK_OK && p.labels && wants_leave_one_out(&p, rs))
        st = leave_each_out(&p, rs, e);
    emk_free(p.unique.slot);
    emk_free(p.items);
    return st;
}

#define WILSON_MAX (UINT64_C(1) << 22)

void emk_fraud_wilson(uint64_t k, uint64_t n, uint64_t *low, uint64_t *high)
{
    /* In millionths; z = 1.96.  n is brought below 2^22, so that all products fit: of more, the
     * interval is a little too wide. */
    uint64_t centre, half, below;

    for (; n >= WILSON_MAX; n /= 2)
        k /= 2;
    if (n == 0) {
        *low = 0;
        *high = 1000000;
        return;
    }
    below = n * 1000000 + 3841600;
    centre = k * 1000000 + 1920800;
    /* 1.96 * sqrt(k (n - k) / n + 0.9604): the root in thousandths */
    half = 1960 * emk_fraud_isqrt(k * (n - k) * 1000000 / n + 960400);
    *low = centre > half ? (centre - half) * 1000 / (below / 1000) : 0;
    *high = (centre + half) * 1000 / (below / 1000);
    *high = *high > 1000000 ? 1000000 : *high;
}

void emk_fraud_promotion(const emk_fraud_replay_rule *r, emk_fraud_action action,
                         emk_fraud_gate *out)
{
    uint64_t tp = r->tp_shadow + r->tp, fp = r->fp_shadow + r->fp, high;

    out->shadow_days = (r->last_ms - r->first_ms) / DAY_MS;
    out->n_hits = r->hits_shadow + r->hits;
    emk_fraud_wilson(tp, tp + fp, &out->precision_low, &high);
    out->days = out->shadow_days >= 7;
    out->hits = out->n_hits >= 30;
    out->precision = out->precision_low >= (action >= EMK_FRAUD_DENY ? 900000u : 600000u);
    out->budget = !r->stats.demoted;
}
