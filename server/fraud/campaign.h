/* Groups of accounts that are one thief's: each stays below every limit, and only together they
 * show it.  Seven detectors look for what honest people do not do by chance; what is found is
 * proposed to a person, never acted upon.  [docs/operate/fraud.md]
 *
 * A function of the log alone: the same lines, in any order, give the same groups in the same
 * order.  No floating point.  Memory: at most 2^24 facts of 24 bytes, 2^24 meetings of 16, 2^20
 * users of some 150 and 2^21 things of 32, at most 1.4 GiB in all and usually 40 bytes an event. */
#ifndef EMK_SERVER_FRAUD_CAMPAIGN_H
#define EMK_SERVER_FRAUD_CAMPAIGN_H

#include "core/base/buf.h"
#include "server/fraud/event.h"

typedef enum emk_fraud_campaign_kind {
    EMK_FRAUD_LOCKSTEP,    /* the same artifacts at the same time */
    EMK_FRAUD_SHARED_LIST, /* one list of artifacts, shared out: fewer in common than by chance */
    EMK_FRAUD_RHYTHM,      /* the same sequence of pauses */
    EMK_FRAUD_HOARD,       /* made together at one place or device type, and open little */
    EMK_FRAUD_BURST,       /* of one network, fetch much at once, again and again, and open none */
    EMK_FRAUD_KEY_FEW,     /* a service key's few, who wake on one day and get far more */
    EMK_FRAUD_TRIALS,      /* trials by one payment instrument, or several in one network */
    EMK_FRAUD_CAMPAIGN_KINDS
} emk_fraud_campaign_kind;

#define EMK_FRAUD_EVIDENCE 4u

typedef struct emk_fraud_campaign_row {
    const char *name, *says;
    const char *number[EMK_FRAUD_EVIDENCE]; /* names of the numbers; NULL: fewer */
} emk_fraud_campaign_row;

extern const emk_fraud_campaign_row EMK_FRAUD_CAMPAIGN[EMK_FRAUD_CAMPAIGN_KINDS];

typedef struct emk_fraud_campaign_options {
    uint64_t from_ms, to_ms;   /* of the events that count; 0: no bound */
    uint64_t lockstep_from_ms; /* of those in which lockstep is looked for; 0: from_ms */
    uint32_t bucket_s;         /* 0: 600 */
    uint32_t times;            /* different artifacts that two must share; 0: 3 */
    uint32_t group;            /* members that make a group; 0: 5, and 3 where few are enough */
    uint32_t crowd;            /* more users of one artifact, rhythm or card say nothing; 0: 100 */
} emk_fraud_campaign_options;

typedef struct emk_fraud_member {
    uint32_t group;
    uint32_t links;                                                /* others it acted with */
    char user[EMK_FRAUD_ID_MAX + 1], tenant[EMK_FRAUD_ID_MAX + 1]; /* "": none was named */
} emk_fraud_member;

typedef struct emk_fraud_group_found {
    emk_fraud_campaign_kind kind;
    size_t first, n;                     /* its members */
    uint64_t number[EMK_FRAUD_EVIDENCE]; /* as the kind's row names them */
    uint32_t chance_bits; /* by chance this is seen less than once in 2^bits; 0: not computed */
} emk_fraud_group_found;

typedef struct emk_fraud_campaigns {
    emk_fraud_group_found *group; /* owned; by kind, largest first, then by name */
    emk_fraud_member *member;     /* owned; by group, then by name */
    size_t n;
    uint32_t groups;
    uint64_t events, pairs; /* grants; pairs in lockstep */
    uint64_t last_ms;       /* the latest event: proposals expire from here */
} emk_fraud_campaigns;

typedef struct emk_fraud_campaign_job emk_fraud_campaign_job;

/* Gives a job, end with emk_fraud_campaign_free.  EMK_E_NO_MEMORY. */
emk_status emk_fraud_campaign_new(const emk_fraud_campaign_options *o, emk_fraud_campaign_job **out,
                                  emk_error *e) EMK_MUST_CHECK;
/* Takes one line, which it copies from; passes over what is no event.  EMK_E_LIMIT,
 * EMK_E_NO_MEMORY. */
emk_status emk_fraud_campaign_line(emk_fraud_campaign_job *job, emk_span line,
                                   emk_error *e) EMK_MUST_CHECK;
/* What the lines so far show; once.  Gives the groups, end with emk_fraud_campaigns_done.
 * EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_fraud_campaign_find(emk_fraud_campaign_job *job, emk_fraud_campaigns *out,
                                   emk_error *e) EMK_MUST_CHECK;
void emk_fraud_campaign_free(emk_fraud_campaign_job *job);

/* All of that on lines in memory. */
emk_status emk_fraud_campaign(emk_span events, const emk_fraud_campaign_options *o,
                              emk_fraud_campaigns *out, emk_error *e) EMK_MUST_CHECK;
void emk_fraud_campaigns_done(emk_fraud_campaigns *c);

#endif
