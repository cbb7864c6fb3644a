/* What the explore arm learnt: of those who would have been refused and were let through by chance,
 * how many were labelled fraud, each weighed by one over the probability with which it was let
 * through.  (Horvitz and Thompson, 1952)  So the share is that of all who would have been refused,
 * not of those whose label happens to be known. */
#ifndef EMK_SERVER_FRAUD_EXPLORE_H
#define EMK_SERVER_FRAUD_EXPLORE_H

#include "server/fraud/replay.h"

typedef struct emk_fraud_explored_row {
    uint64_t eligible, taken, labelled;
    uint64_t weight_fraud, weight_ok; /* sums of 1/p, thousandths */
} emk_fraud_explored_row;

typedef struct emk_fraud_explored {
    emk_fraud_explored_row of[EMK_FRAUD_ACTIONS]; /* by what would have been done */
} emk_fraud_explored;

/* Takes one decision into account; from an emk_fraud_watch. */
void emk_fraud_explored_add(emk_fraud_explored *x, const emk_fraud_decision *d,
                            emk_fraud_label label, bool labelled);
/* Of those who would have been treated so, the share that is fraud, in millionths; 0 where nothing
 * is known. */
uint64_t emk_fraud_explored_precision(const emk_fraud_explored_row *row);

#endif
