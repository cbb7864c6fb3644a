/* What handlers count for operators: decisions, devices' clocks, attestations, events, limits,
 * units of cost.  The labels are few and known at the start; nothing here names anybody.
 *
 * A meter of zeros counts nothing, so that tests need none.
 *
 * Thread rule: added by one thread before any counting; then any number of threads. */
#ifndef EMK_SERVER_API_METER_H
#define EMK_SERVER_API_METER_H

#include "server/api/metrics.h"
#include "server/fraud/engine.h"
#include "server/gate/gate.h"

#define EMK_METER_LIMITS (EMK_LIMIT_RULES_MAX + EMK_CONCURRENCY_RULES_MAX)

/* What became of a device's batch of events. */
typedef enum emk_meter_batch {
    EMK_METER_BATCH_ACCEPTED,
    EMK_METER_BATCH_REPEATED,
    EMK_METER_BATCH_GAP,
    EMK_METER_BATCH_FORGED,
    EMK_METER_BATCHES
} emk_meter_batch;

/* One answer of the fraud engine. */
typedef struct emk_meter_decision {
    emk_fraud_action live, shadow, draft;
    bool asked; /* else an exact check decided: there is no shadow, no score and no time */
    bool has_draft;
    int64_t score; /* thousandths */
    uint64_t ns;   /* in the engine, waiting for its turn and the log included */
    uint64_t cost; /* units of what was asked for; 0: nothing is made for it */
    bool pass;
} emk_meter_decision;

typedef struct emk_meter {
    emk_metric *decisions, *decision_seconds, *scores, *cost;
    emk_metric *clock_ahead, *clock_behind;
    emk_metric *attested, *attest_refused;
    emk_metric *effects;
    emk_metric *batches, *device_events, *missing, *backend_events;
    emk_metric *limits, *limits_shadow;
    const char *limit_names[EMK_METER_LIMITS];
    size_t n_limits;
} emk_meter;

/* Adds the families.  Keeps `limits` and their names (NULL: none are counted).  What
 * emk_metrics_add says. */
emk_status emk_meter_add(emk_metrics *m, const emk_limits *limits, emk_meter *out,
                         emk_error *e) EMK_MUST_CHECK;

/* What rules did besides their score: bits of emk_fraud_effect. */
void emk_meter_effects(const emk_meter *m, unsigned effects);
void emk_meter_decided(const emk_meter *m, const emk_meter_decision *d);
/* One decision of the gate: limits, and how far the clock of a device that signed is off. */
void emk_meter_gate(const emk_meter *m, const emk_gate_decision *d);
/* A device got a certificate at this level. */
void emk_meter_attested(const emk_meter *m, unsigned level);
void emk_meter_attest_refused(const emk_meter *m);
/* A batch of n events; `missing` numbers are not there before it. */
void emk_meter_batch_seen(const emk_meter *m, emk_meter_batch what, uint64_t n, uint64_t missing);
void emk_meter_backend(const emk_meter *m, uint64_t accepted, uint64_t known);

#endif
