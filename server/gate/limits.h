/* How much of everything one may have: rates and places at work, over counters (server/store).
 *
 * A limit has a name, says by whom it counts and what: requests, cost units, or failed
 * authentications.  All that apply to a request are looked at before any is taken from, so that
 * the strict one does not drain the others; the tightest is what the answer tells.  A limit in
 * shadow is counted and never refuses.
 *
 * Thread rule: shared by all threads.  Which rules there are never changes; how much they allow
 * may, at any time (emk_limits_change), and one request sees the old numbers or the new ones. */
#ifndef EMK_SERVER_GATE_LIMITS_H
#define EMK_SERVER_GATE_LIMITS_H

#include "server/gate/address.h"
#include "server/gate/principal.h"
#include "server/store/counters.h"

#define EMK_LIMIT_RULES_MAX       64u
#define EMK_CONCURRENCY_RULES_MAX 16u
#define EMK_LIMIT_NAME_MAX        32u /* bytes: it goes into headers; [a-z0-9-] */
#define EMK_LIMIT_HEADER_MAX      256u

/* What is shed first under overload, last to first. */
typedef enum emk_gate_class {
    EMK_GATE_CLASS_ALWAYS,   /* revocation, events, operators: never shed */
    EMK_GATE_CLASS_OPEN,     /* leases */
    EMK_GATE_CLASS_DOWNLOAD, /* blobs */
    EMK_GATE_CLASS_GENERATE, /* tickets, seals, enrolment */
    EMK_GATE_CLASSES
} emk_gate_class;

typedef enum emk_limit_by {
    EMK_LIMIT_BY_ALL,   /* one for everybody */
    EMK_LIMIT_BY_ROUTE, /* one for each route */
    EMK_LIMIT_BY_NET,   /* /24, /64, and wider ones: widen.h */
    EMK_LIMIT_BY_USER,  /* with its tenant */
    EMK_LIMIT_BY_DEVICE,
    EMK_LIMIT_BY_NAME, /* service or operator */
    EMK_LIMIT_BY_TENANT
} emk_limit_by;

typedef enum emk_limit_unit {
    EMK_LIMIT_REQUESTS,
    EMK_LIMIT_COST,    /* the route's cost units */
    EMK_LIMIT_FAILURES /* refused credentials; looked at before any are checked.  By net or all */
} emk_limit_unit;

typedef struct emk_limit_rule {
    const char *name; /* static or kept */
    emk_limit_by by;
    emk_limit_unit unit;
    uint64_t quota;      /* units ... */
    uint64_t window_s;   /* ... in this time */
    uint64_t burst;      /* units at once; 0: quota */
    const char *route;   /* only there; NULL: everywhere */
    uint8_t limit_class; /* only clients that the firewall put there; 0: all */
    bool shadow;
} emk_limit_rule;

/* At most `max` calls at work at once; a place that was not given back ends after life_s. */
typedef struct emk_concurrency_rule {
    const char *name; /* what emk_gate_rule.concurrency says */
    emk_limit_by by;
    uint32_t max;
    uint32_t life_s;
    bool shadow;
} emk_concurrency_rule;

typedef struct emk_limits_config {
    const emk_counters *counters; /* kept */
    const emk_limit_rule *rules;  /* copied; strings kept */
    size_t n_rules;
    const emk_concurrency_rule *concurrency;
    size_t n_concurrency;
    uint8_t seed[16]; /* random: of the table of networks that are wider than one customer's */
} emk_limits_config;

typedef struct emk_limits emk_limits;

/* Gives the limits; free with emk_limits_free.  EMK_E_USAGE for a row that makes no sense (no
 * name, two of one name, quota or window 0, failures by somebody who is not known yet);
 * EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_limits_new(const emk_limits_config *config, emk_limits **out,
                          emk_error *e) EMK_MUST_CHECK;
void emk_limits_free(emk_limits *l);

/* What may change of a rule while requests run. */
typedef struct emk_limit_change {
    uint64_t quota, window_s, burst; /* burst 0: quota */
    bool shadow;
} emk_limit_change;

/* From now on the rule `name` allows that much.  With other
 * numbers than before it counts anew; shadow alone changes nothing of that.
 * EMK_E_NOT_FOUND for a name that no rule has; EMK_E_USAGE for numbers that make no sense. */
emk_status emk_limits_change(emk_limits *l, const char *name, const emk_limit_change *to,
                             emk_error *e) EMK_MUST_CHECK;
/* Fills out with the rules as they count now, up to EMK_LIMIT_RULES_MAX; returns their number. */
size_t emk_limits_rules(const emk_limits *l, emk_limit_rule out[EMK_LIMIT_RULES_MAX]);
/* Lends up to cap names, of rates and of concurrency limits, each once; returns their number. */
size_t emk_limits_names(const emk_limits *l, const char **out, size_t cap);

/* One request. */
typedef struct emk_limits_ask {
    const emk_principal *who;
    emk_address client;
    const char *route;
    uint32_t cost;
    uint8_t limit_class;
    uint64_t now_ns;
} emk_limits_ask;

typedef struct emk_limits_answer {
    bool limited;
    bool any;             /* some limit applies: the fields below say something */
    const char *name;     /* the tightest */
    uint64_t remaining;   /* its units */
    uint64_t retry_ns;    /* limited: how long at least */
    uint64_t reset_ns;    /* until all of it is there again */
    bool soft;            /* under a fifth is left */
    uint32_t shadow_hits; /* limits in shadow that would have refused */
    uint64_t applied;     /* bit i: rule i */
} emk_limits_answer;

/* Before authentication: is there room for another failure from here?  Takes nothing.  Fills
 * *out.  Statuses of server/store. */
emk_status emk_limits_look(const emk_limits *l, const emk_limits_ask *ask, emk_limits_answer *out,
                           emk_error *e) EMK_MUST_CHECK;
/* A failure came from here.  Best effort: when it cannot be counted, the request was refused
 * anyway. */
void emk_limits_failed(const emk_limits *l, const emk_limits_ask *ask);
/* Whether emk_limits_take would find room now.  Takes nothing, of limits in shadow neither.  Fills
 * *out. */
emk_status emk_limits_peek(const emk_limits *l, const emk_limits_ask *ask, emk_limits_answer *out,
                           emk_error *e) EMK_MUST_CHECK;
/* Takes one request and its cost from all limits that apply, or from none.  Fills *out. */
emk_status emk_limits_take(const emk_limits *l, const emk_limits_ask *ask, emk_limits_answer *out,
                           emk_error *e) EMK_MUST_CHECK;
/* Gives `units` of cost back to the live cost limits: the work cost less than was taken. */
void emk_limits_refund(const emk_limits *l, const emk_limits_ask *ask, uint32_t units);

/* A place at work; all zero: none.  Private. */
typedef struct emk_limits_hold {
    uint64_t id;
    uint8_t key[EMK_COUNTER_KEY_MAX];
    size_t key_len;
} emk_limits_hold;

/* Takes a place under the concurrency rule `name`; a name that no rule has, and a principal that
 * it does not count, needs none.  EMK_E_BUSY when all are taken; statuses of server/store. */
emk_status emk_limits_hold_take(const emk_limits *l, const char *name, const emk_limits_ask *ask,
                                emk_limits_hold *out, emk_error *e) EMK_MUST_CHECK;
/* All-zero is fine. */
void emk_limits_hold_give(const emk_limits *l, emk_limits_hold *h);

/* Overload: from now on classes above `highest` are shed. */
void emk_limits_shed_set(emk_limits *l, emk_gate_class highest);
/* Overload: of this class so many percent are shed, spread evenly.  Beside emk_limits_shed_set. */
void emk_limits_shed_share(emk_limits *l, emk_gate_class klass, unsigned percent);
bool emk_limits_sheds(emk_limits *l, emk_gate_class klass);

/* The header fields of draft-ietf-httpapi-ratelimit-headers: `"user";q=60;w=60` and
 * `"user";r=12;t=31`, with a zero.  Policies that do not fit are left out, the tightest first is
 * in.  Empty when no limit applies. */
void emk_limits_policy_write(const emk_limits *l, const emk_limits_answer *a,
                             char out[EMK_LIMIT_HEADER_MAX]);
void emk_limits_state_write(const emk_limits_answer *a, char out[EMK_LIMIT_HEADER_MAX]);
/* Seconds for Retry-After: not before retry_ns, at most a fifth later, by `jitter` (random
 * byte); at least 1. */
uint32_t emk_limits_retry_s(uint64_t retry_ns, uint8_t jitter);

#endif
