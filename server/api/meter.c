#include "server/api/meter.h"

#include <stddef.h>
#include <string.h>

#define NS_PER_S     UINT64_C(1000000000)
#define LEVELS_MAX   4u
#define EFFECTS      8u
#define MILLI        1000u
#define SKEW_MAX_S   (UINT64_C(100) * 365 * 86400)
#define PARTS        3u
#define LIMIT_EVENTS 2u

enum { SPENT, SAVED };
enum { LIMITED, NEAR };
enum { LIVE, SHADOW, DRAFT };

static const char *const ACTIONS[EMK_FRAUD_ACTIONS] = {"allow", "observe", "challenge", "throttle",
                                                       "mark",  "deny",    "ban"};
static const char *const PART_NAMES[PARTS] = {"live", "shadow", "draft"};
static const char *const COSTS[] = {"spent", "saved"};
static const char *const LEVELS[LEVELS_MAX] = {"0", "1", "2", "3"};
static const char *const BATCHES[EMK_METER_BATCHES] = {"accepted", "repeated", "gap", "forged"};
static const char *const KNOWN[] = {"accepted", "known"};
static const char *const LIMIT_RESULTS[LIMIT_EVENTS] = {"limited", "near"};

static const uint64_t DECISION_NS[] = {5000,     10000,    25000,    50000,     100000,
                                       250000,   500000,   1000000,  2500000,   5000000,
                                       10000000, 25000000, 50000000, 100000000, 1000000000};
static const uint64_t SCORES[] = {0,    1000,  2000,  3000,  4000,  6000,
                                  8000, 10000, 15000, 20000, 30000, 50000};
static const uint64_t SKEWS[] = {1, 5, 30, 60, 300, 3600, 86400};

#define BUCKETS(of_) .buckets = (of_), .n_buckets = sizeof(of_) / sizeof(of_)[0]

static const struct {
    size_t to; /* in emk_meter */
    emk_metric_def def;
} ALL[] = {
    {offsetof(emk_meter, decisions),
     {.name = "earmark_decisions_total",
      .help = "Decisions by action; part shadow: with shadow rules, draft: of the draft set",
      .labels = {{"action", ACTIONS, EMK_FRAUD_ACTIONS}, {"part", PART_NAMES, PARTS}}}},
    {offsetof(emk_meter, decision_seconds),
     {.name = "earmark_decision_seconds",
      .help = "Asking the fraud engine, its log included",
      .type = EMK_METRIC_HISTOGRAM,
      .divisor = NS_PER_S,
      BUCKETS(DECISION_NS)}},
    {offsetof(emk_meter, scores),
     {.name = "earmark_decision_score",
      .help = "Scores of the fraud engine",
      .type = EMK_METRIC_HISTOGRAM,
      .divisor = MILLI,
      BUCKETS(SCORES)}},
    {offsetof(emk_meter, cost),
     {.name = "earmark_cost_units_total",
      .help = "Cost units of tickets that were granted, and of those that the engine refused",
      .labels = {{"result", COSTS, 2}}}},
    {offsetof(emk_meter, clock_ahead),
     {.name = "earmark_device_clock_ahead_seconds",
      .help = "Requests of devices by how far their clock is ahead, or right",
      .type = EMK_METRIC_HISTOGRAM,
      BUCKETS(SKEWS)}},
    {offsetof(emk_meter, clock_behind),
     {.name = "earmark_device_clock_behind_seconds",
      .help = "Requests of devices by how far their clock is behind",
      .type = EMK_METRIC_HISTOGRAM,
      BUCKETS(SKEWS)}},
    {offsetof(emk_meter, attested),
     {.name = "earmark_attestations_total",
      .help = "Certificates given to devices, by attestation level",
      .labels = {{"level", LEVELS, LEVELS_MAX}}}},
    {offsetof(emk_meter, attest_refused),
     {.name = "earmark_attestations_refused_total",
      .help = "Attestations that did not pass, or could not be looked at"}},
    {offsetof(emk_meter, effects),
     {.name = "earmark_fraud_effects_total",
      .help = "What rules did besides their score, by effect",
      .labels = {{"effect", EMK_FRAUD_EFFECT_NAME, EFFECTS}}}},
    {offsetof(emk_meter, batches),
     {.name = "earmark_event_batches_total",
      .help = "Batches of events of devices",
      .labels = {{"result", BATCHES, EMK_METER_BATCHES}}}},
    {offsetof(emk_meter, device_events),
     {.name = "earmark_device_events_total", .help = "Events in batches that were taken"}},
    {offsetof(emk_meter, missing),
     {.name = "earmark_device_events_missing_total", .help = "Numbers of events that never came"}},
    {offsetof(emk_meter, backend_events),
     {.name = "earmark_backend_events_total",
      .help = "Events of backends; known: told before",
      .labels = {{"result", KNOWN, 2}}}},
    {offsetof(emk_meter, limits_shadow),
     {.name = "earmark_limit_shadow_total",
      .help = "Requests that limits in shadow would have refused, once for each"}},
};

static emk_metric **metric_at(emk_meter *m, size_t offset)
{
    return (emk_metric **)(void *)((uint8_t *)m + offset);
}

static emk_status add_limits(emk_metrics *m, const emk_limits *limits, emk_meter *out, emk_error *e)
{
    emk_metric_def def = {.name = "earmark_limit_total",
                          .help = "Requests that a limit refused, and that left under a fifth "
                                  "of the tightest one"};

    out->n_limits = emk_limits_names(limits, out->limit_names, EMK_METER_LIMITS);
    if (out->n_limits == 0)
        return EMK_OK;
    def.labels[0] = (emk_metric_label){"limit", out->limit_names, out->n_limits};
    def.labels[1] = (emk_metric_label){"result", LIMIT_RESULTS, LIMIT_EVENTS};
    return emk_metrics_add(m, &def, &out->limits, e);
}

emk_status emk_meter_add(emk_metrics *m, const emk_limits *limits, emk_meter *out, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < sizeof ALL / sizeof ALL[0]; i++)
        st = emk_metrics_add(m, &ALL[i].def, metric_at(out, ALL[i].to), e);
    return st == EMK_OK && limits ? add_limits(m, limits, out, e) : st;
}

void emk_meter_decided(const emk_meter *m, const emk_meter_decision *d)
{
    emk_metric_count(m->decisions, d->live, LIVE, 1);
    emk_metric_count(m->cost, d->pass ? SPENT : SAVED, 0, d->cost);
    if (!d->asked)
        return;
    emk_metric_count(m->decisions, d->shadow, SHADOW, 1);
    if (d->has_draft)
        emk_metric_count(m->decisions, d->draft, DRAFT, 1);
    emk_metric_observe(m->decision_seconds, 0, 0, d->ns);
    emk_metric_observe(m->scores, 0, 0, d->score > 0 ? (uint64_t)d->score : 0);
}

void emk_meter_effects(const emk_meter *m, unsigned effects)
{
    for (unsigned i = 0; i < EFFECTS; i++)
        if (effects >> i & 1)
            emk_metric_count(m->effects, i, 0, 1);
}

static void count_limit(const emk_meter *m, const char *name, size_t what)
{
    for (size_t i = 0; name && i < m->n_limits; i++)
        if (strcmp(m->limit_names[i], name) == 0) {
            emk_metric_count(m->limits, i, what, 1);
            return;
        }
}

void emk_meter_gate(const emk_meter *m, const emk_gate_decision *d)
{
    bool signs = d->who.kind == EMK_PRINCIPAL_DEVICE || d->who.kind == EMK_PRINCIPAL_DEVICE_USER;
    int64_t skew = d->who.clock_skew_s;

    if (!d->pass)
        count_limit(m, d->limit, LIMITED);
    else if (d->soft)
        count_limit(m, d->tightest, NEAR);
    emk_metric_count(m->limits_shadow, 0, 0, d->shadow_hits);
    if (!signs || !d->pass)
        return;
    if (skew > (int64_t)SKEW_MAX_S || skew < -(int64_t)SKEW_MAX_S)
        skew = skew > 0 ? (int64_t)SKEW_MAX_S : -(int64_t)SKEW_MAX_S;
    if (skew >= 0)
        emk_metric_observe(m->clock_ahead, 0, 0, (uint64_t)skew);
    else
        emk_metric_observe(m->clock_behind, 0, 0, (uint64_t)-skew);
}

void emk_meter_attested(const emk_meter *m, unsigned level)
{
    emk_metric_count(m->attested, level < LEVELS_MAX ? level : LEVELS_MAX - 1, 0, 1);
}

void emk_meter_attest_refused(const emk_meter *m)
{
    emk_metric_count(m->attest_refused, 0, 0, 1);
}

void emk_meter_batch_seen(const emk_meter *m, emk_meter_batch what, uint64_t n, uint64_t missing)
{
    emk_metric_count(m->batches, what, 0, 1);
    if (what == EMK_METER_BATCH_ACCEPTED || what == EMK_METER_BATCH_GAP)
        emk_metric_count(m->device_events, 0, 0, n);
    emk_metric_count(m->missing, 0, 0, missing);
}

void emk_meter_backend(const emk_meter *m, uint64_t accepted, uint64_t known)
{
    emk_metric_count(m->backend_events, 0, 0, accepted);
    emk_metric_count(m->backend_events, 1, 0, known);
}
