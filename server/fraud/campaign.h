/* Groups that act in lockstep: users who, again and again, took the same artifact within the same
 * ten minutes.  Each alone stays below every limit; together they are one thief with many accounts.
 * What is found is proposed to a person, never acted upon.
 *
 * A function of the log alone: the same lines give the same groups, in the same order. */
#ifndef EMK_SERVER_FRAUD_CAMPAIGN_H
#define EMK_SERVER_FRAUD_CAMPAIGN_H

#include "core/base/buf.h"
#include "server/fraud/event.h"

typedef struct emk_fraud_campaign_options {
    uint64_t from_ms, to_ms; /* of the events that count; 0: no bound */
    uint32_t bucket_s;       /* 0: 600 */
    uint32_t times;          /* different artifacts that two must share; 0: 3 */
    uint32_t group;          /* members that make a group; 0: 5 */
    uint32_t crowd;          /* more users of an artifact in a bucket say nothing; 0: 100 */
} emk_fraud_campaign_options;

typedef struct emk_fraud_member {
    uint32_t group;                                                /* from 0, largest group first */
    uint32_t links;                                                /* others it acted with */
    char user[EMK_FRAUD_ID_MAX + 1], tenant[EMK_FRAUD_ID_MAX + 1]; /* "": none was named */
} emk_fraud_member;

typedef struct emk_fraud_campaigns {
    emk_fraud_member *member; /* owned; by group, then by name */
    size_t n;
    uint32_t groups;
    uint64_t events, pairs;
    uint64_t last_ms; /* the latest event: proposals expire from here */
} emk_fraud_campaigns;

/* Reads the lines, in any order, passing over those that are no events; gives the groups, end with
 * emk_fraud_campaigns_done.  EMK_E_LIMIT (2^24 grants, 2^20 users), EMK_E_NO_MEMORY. */
emk_status emk_fraud_campaign(emk_span events, const emk_fraud_campaign_options *o,
                              emk_fraud_campaigns *out, emk_error *e) EMK_MUST_CHECK;
void emk_fraud_campaigns_done(emk_fraud_campaigns *c);

#endif
