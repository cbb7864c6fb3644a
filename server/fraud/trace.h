/* Logs with known truth: people who mean well, and attacks of the catalogue, with parameters
 * drawn from ranges by a seed.  [docs/spec/fraud-attacks.md]
 *
 * Attacks of trace_develop.c and trace_known.c are those the shipped rules were written with in
 * mind; those of trace_heldout.c were not run while rules were chosen, and published figures are
 * theirs.  Who wrote those of trace_blind.c, and later those of trace_blind2.c, had not read the
 * rules; the second set has honest people of its own, labelled ok.  The files share nothing but
 * trace_internal.h. */
#ifndef EMK_SERVER_FRAUD_TRACE_H
#define EMK_SERVER_FRAUD_TRACE_H

#include "server/fraud/event.h"

#define EMK_FRAUD_TRACE_USERS_MAX 2000000u
#define EMK_FRAUD_TRACE_DAYS_MAX  90u
/* A quarter of what can be addressed where that is less. */
#define EMK_FRAUD_TRACE_LEN_MAX (SIZE_MAX > UINT32_MAX ? (size_t)(UINT64_C(8) << 30) : SIZE_MAX / 4)

typedef enum emk_fraud_trace_set {
    EMK_FRAUD_TRACE_DEVELOP = 1,
    EMK_FRAUD_TRACE_HELD_OUT = 2,
    EMK_FRAUD_TRACE_BLIND = 4,
    EMK_FRAUD_TRACE_BLIND2 = 8
} emk_fraud_trace_set;

typedef struct emk_fraud_trace_options {
    uint64_t seed;
    uint32_t users;   /* who mean well, all personas together */
    uint32_t days;    /* the log's length; attacks begin after the first two */
    uint32_t attacks; /* attackers of each family */
    unsigned sets;    /* emk_fraud_trace_set */
    bool adaptive;    /* attackers know the thresholds and stay at 95 % of them */
    uint64_t start_ms;
} emk_fraud_trace_options;

/* Appends events, in order of time, and labels, both as JSON lines.  EMK_E_LIMIT,
 * EMK_E_NO_MEMORY. */
emk_status emk_fraud_trace(const emk_fraud_trace_options *o, emk_buf *events, emk_buf *labels,
                           emk_error *e) EMK_MUST_CHECK;

#endif
