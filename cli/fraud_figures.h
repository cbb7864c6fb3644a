/* What the labels say about a replay, counted: for the tables and for the JSON report. */
#ifndef EMK_CLI_FRAUD_FIGURES_H
#define EMK_CLI_FRAUD_FIGURES_H

#include "server/fraud/replay.h"

#define EMK_FRAUD_ALL_GROUPS (-1)

/* Median and 95th percentile of the requests (or seconds) after which fraudulent entities of a
 * group reached a step; n of them did. */
typedef struct emk_fraud_spread {
    uint64_t n, median, p95;
} emk_fraud_spread;
emk_fraud_spread emk_fraud_spread_of(const emk_fraud_labels *l, int group, unsigned step,
                                     bool seconds);

/* Labelled entities that the log has, days on which they were seen, and those of both with each
 * step; cost in thousandths. */
typedef struct emk_fraud_totals {
    uint64_t n, reached[EMK_FRAUD_STEPS], days, step_days[EMK_FRAUD_STEPS];
    uint64_t user_days, user_step_days[EMK_FRAUD_STEPS];
    int64_t cost, stopped;
} emk_fraud_totals;
emk_fraud_totals emk_fraud_totals_of(const emk_fraud_labels *l, int group, emk_fraud_label label);

/* Labelled entities that no event names. */
uint64_t emk_fraud_never_seen(const emk_fraud_labels *l);

#endif
