/* The engine's numbers as Prometheus text.  Rules come and go with a reload, so their lines are
 * made here and not by families; what they are called is in the rule set, never in an event. */
#include "core/base/alloc.h"
#include "server/api/fraud_engine_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX 256u
#define ID_CAP   64u

static const char *const ENTITIES[EMK_FRAUD_ENTITIES] = {
    "user", "device", "session", "net", "asn", "artifact", "build", "key", "payment"};

typedef struct rule_numbers {
    char id[ID_CAP];
    bool live;
    emk_fraud_rule_stats stats;
} rule_numbers;

typedef struct numbers {
    emk_fraud_host_stats host;
    rule_numbers *rules; /* owned */
    size_t n_rules;
} numbers;

static emk_status put(emk_buf *out, const char *text, int n, emk_error *e)
{
    if (n < 0 || (size_t)n >= LINE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "metrics: line too long", LINE_MAX);
    return emk_buf_append(out, emk_span_of(text, (size_t)n), e);
}

static emk_status head(emk_buf *out, const char *name, const char *type, const char *help,
                       emk_error *e)
{
    char text[LINE_MAX];

    return put(out, text,
               snprintf(text, sizeof text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type),
               e);
}

static emk_status one(emk_buf *out, const char *name, uint64_t v, emk_error *e)
{
    char text[LINE_MAX];

    return put(out, text, snprintf(text, sizeof text, "%s %" PRIu64 "\n", name, v), e);
}

static emk_status labelled(emk_buf *out, const char *name, const char *label, const char *value,
                           uint64_t v, emk_error *e)
{
    char text[LINE_MAX];

    return put(out, text,
               snprintf(text, sizeof text, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, v),
               e);
}

/* ---- the engine ---- */

static emk_status write_single(const numbers *n, emk_buf *out, emk_error *e)
{
    const emk_fraud_stats *s = &n->host.engine;
    const struct {
        const char *name, *type, *help;
        uint64_t v;
    } rows[] = {
        {"earmark_fraud_events_total", "counter", "Events that the engine took", s->events},
        {"earmark_fraud_events_late_total", "counter", "Events far behind its clock", s->late},
        {"earmark_fraud_events_duplicate_total", "counter", "Events told twice", s->duplicate},
        {"earmark_fraud_events_future_total", "counter", "Events too far ahead, refused",
         s->future},
        {"earmark_fraud_events_full_total", "counter", "Events of somebody who found no room",
         s->full},
        {"earmark_fraud_events_refused_total", "counter",
         "Events that could not be logged or taken", n->host.refused},
        {"earmark_fraud_rules_unpromoted_total", "counter",
         "Files of rules that nobody promoted, at the start or a reload", n->host.unpromoted},
        {"earmark_fraud_user_days_total", "counter", "Users seen, once a day each", s->user_days},
        {"earmark_fraud_memory_bytes", "gauge", "Memory of the engine, fixed at its start",
         s->memory},
        {"earmark_fraud_log_bytes", "gauge", "End of the log of events", n->host.log_bytes},
        {"earmark_fraud_breaker_open", "gauge", "1: soft denials are throttles", s->breaker},
    };
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < sizeof rows / sizeof rows[0]; i++) {
        st = head(out, rows[i].name, rows[i].type, rows[i].help, e);
        if (st == EMK_OK)
            st = one(out, rows[i].name, rows[i].v, e);
    }
    return st;
}

static emk_status write_entities(const numbers *n, emk_buf *out, emk_error *e)
{
    const emk_fraud_stats *s = &n->host.engine;
    emk_status st =
        head(out, "earmark_fraud_entities", "gauge", "Remembered at once, by their kind", e);

    for (size_t i = 0; st == EMK_OK && i < EMK_FRAUD_ENTITIES; i++)
        if (s->slab[i] != 0)
            st = labelled(out, "earmark_fraud_entities", "kind", ENTITIES[i], s->entities[i], e);
    if (st == EMK_OK)
        st = head(out, "earmark_fraud_evicted_total", "counter", "Forgotten to make room", e);
    for (size_t i = 0; st == EMK_OK && i < EMK_FRAUD_ENTITIES; i++)
        if (s->slab[i] != 0)
            st =
                labelled(out, "earmark_fraud_evicted_total", "kind", ENTITIES[i], s->evicted[i], e);
    return st;
}

/* ---- rules ---- */

static uint64_t run_of(const rule_numbers *r)
{
    return r->stats.run;
}
static uint64_t fired_of(const rule_numbers *r)
{
    return r->stats.fired;
}
static uint64_t shadow_of(const rule_numbers *r)
{
    return r->stats.fired_shadow;
}
static uint64_t unknown_of(const rule_numbers *r)
{
    return r->stats.unknown;
}
static uint64_t challenged_of(const rule_numbers *r)
{
    return r->stats.challenged;
}
static uint64_t passed_of(const rule_numbers *r)
{
    return r->stats.passed;
}
static uint64_t live_of(const rule_numbers *r)
{
    return r->live && !r->stats.demoted;
}
static uint64_t demoted_of(const rule_numbers *r)
{
    return r->stats.demoted;
}

static const struct {
    const char *name, *type, *help;
    uint64_t (*of)(const rule_numbers *r);
} RULE_ROWS[] = {
    {"earmark_rule_runs_total", "counter", "How often a rule was looked at", run_of},
    {"earmark_rule_hits_total", "counter", "How often it fired, and counted", fired_of},
    {"earmark_rule_shadow_hits_total", "counter", "How often it fired in shadow", shadow_of},
    {"earmark_rule_unknown_total", "counter", "How often a value that it needs was not there",
     unknown_of},
    {"earmark_rule_challenged_total", "counter", "Challenges that it had a part in", challenged_of},
    {"earmark_rule_challenges_passed_total", "counter", "Of those, passed: it was probably wrong",
     passed_of},
    {"earmark_rule_live", "gauge", "1: it decides; 0: shadow or demoted", live_of},
    {"earmark_rule_demoted", "gauge", "1: it has used up its budget of false alarms", demoted_of},
};

static emk_status write_rules(const numbers *n, emk_buf *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t k = 0; st == EMK_OK && k < sizeof RULE_ROWS / sizeof RULE_ROWS[0]; k++) {
        st = head(out, RULE_ROWS[k].name, RULE_ROWS[k].type, RULE_ROWS[k].help, e);
        for (size_t i = 0; st == EMK_OK && i < n->n_rules; i++)
            st = labelled(out, RULE_ROWS[k].name, "rule", n->rules[i].id,
                          RULE_ROWS[k].of(&n->rules[i]), e);
    }
    return st;
}

/* A label's value needs no escaping then. */
static void copy_id(const char *id, char out[ID_CAP])
{
    size_t n = 0;

    for (; id[n] && n < ID_CAP - 1; n++)
        out[n] = (id[n] < ' ' || id[n] > '~' || id[n] == '"' || id[n] == '\\') ? '_' : id[n];
    out[n] = 0;
}

/* The copy is short; the text is made without the lock that decisions wait for. */
static emk_status copy(emk_fraud_host *h, numbers *n, emk_error *e)
{
    emk_fraud_rule_info info;

    emk_fraud_host_stats_of(h, &n->host);
    emk_lock_take(h->lock);
    n->n_rules = emk_fraud_ruleset_rules(h->live.rules);
    n->rules = n->n_rules > 0 ? emk_alloc(n->n_rules, sizeof *n->rules) : NULL;
    for (size_t i = 0; n->rules && i < n->n_rules; i++) {
        emk_fraud_ruleset_rule(h->live.rules, i, &info);
        copy_id(info.id, n->rules[i].id);
        n->rules[i].live = info.mode == EMK_FRAUD_LIVE;
        emk_fraud_engine_rule(h->live.engine, i, &n->rules[i].stats);
    }
    emk_lock_give(h->lock);
    return n->n_rules == 0 || n->rules
               ? EMK_OK
               : emk_fail(e, EMK_E_NO_MEMORY, "metrics: memory", n->n_rules);
}

emk_status emk_fraud_host_numbers(emk_fraud_host *h, emk_buf *out, emk_error *e)
{
    numbers n = {.rules = NULL};
    emk_status st = copy(h, &n, e);

    if (st == EMK_OK)
        st = write_single(&n, out, e);
    if (st == EMK_OK)
        st = write_entities(&n, out, e);
    if (st == EMK_OK)
        st = write_rules(&n, out, e);
    emk_free(n.rules);
    return st;
}
