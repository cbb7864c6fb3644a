/* Whether a draft set may take the place of the one that decides: what its running beside has
 * shown, against what is asked for.  [docs/operate/fraud.md]
 *
 * Numbers are of one pair of sets; with another pair they begin again.  Single-threaded. */
#ifndef EMK_SERVER_FRAUD_PROMOTION_H
#define EMK_SERVER_FRAUD_PROMOTION_H

#include "server/fraud/engine.h"

#define EMK_FRAUD_SHADOW_USERS 4096u

/* A user of whom the draft thinks worse, or who has a label. */
typedef struct emk_fraud_shadow_user {
    uint64_t key;   /* keyed hash of the name; 0: free */
    uint32_t worst; /* emk_fraud_action of the draft where it was harder; 0: never */
    uint32_t label; /* emk_fraud_shadow_label */
} emk_fraud_shadow_user;
enum emk_fraud_shadow_label { EMK_FRAUD_SHADOW_NONE, EMK_FRAUD_SHADOW_OK, EMK_FRAUD_SHADOW_FRAUD };

/* Plain numbers: it is kept as it is in snapshots. */
typedef struct emk_fraud_shadow {
    uint8_t live[32], draft[32]; /* hashes of the sets */
    uint64_t since_ms, last_ms;  /* first and last decision with the draft's answer beside it */
    uint64_t decisions, harder, milder;
    uint64_t worst;           /* emk_fraud_action: the draft's hardest answer where it was harder */
    uint64_t user_days;       /* of the draft's engine when this began */
    uint64_t n_users, unseen; /* unseen: users who came when there was no room any more */
    emk_fraud_shadow_user user[EMK_FRAUD_SHADOW_USERS];
} emk_fraud_shadow;

/* Begins anew for this pair. */
void emk_fraud_shadow_begin(emk_fraud_shadow *s, const emk_fraud_ruleset *live,
                            const emk_fraud_ruleset *draft, uint64_t user_days);
bool emk_fraud_shadow_is_of(const emk_fraud_shadow *s, const emk_fraud_ruleset *live,
                            const emk_fraud_ruleset *draft);
/* Takes an event and its decision into account. */
void emk_fraud_shadow_note(emk_fraud_shadow *s, const emk_fraud_ruleset *draft,
                           const emk_fraud_event *ev, const emk_fraud_decision *d);
/* Forgets a user (erasure). */
void emk_fraud_shadow_forget(emk_fraud_shadow *s, const emk_fraud_ruleset *draft, emk_span user);

/* What is asked for, besides what is fixed: fraud.md's numbers. */
typedef struct emk_fraud_needs {
    uint64_t seconds;   /* that the draft ran beside */
    uint64_t decisions; /* that had its answer beside */
    uint64_t differ;    /* of a million decisions, at most, that it would have given otherwise */
} emk_fraud_needs;

/* What is known at the moment of asking. */
typedef struct emk_fraud_facts {
    uint64_t user_days; /* of the draft's engine */
    uint64_t demoted;   /* rules of the draft that demoted themselves */
    bool breaker;       /* of either engine: open */
    bool unchanged;     /* the draft's file is the set that runs */
    bool sound;         /* it compiles and passes its own tests */
} emk_fraud_facts;

typedef enum emk_fraud_condition {
    EMK_FRAUD_GATE_SECONDS,
    EMK_FRAUD_GATE_DECISIONS,
    EMK_FRAUD_GATE_DIFFER,    /* of a million decisions */
    EMK_FRAUD_GATE_PRECISION, /* lower bound (Wilson, 95 %), millionths, of those whom it would have
                                 stopped and whose label is known */
    EMK_FRAUD_GATE_BUDGET,    /* users with label ok stopped, of a million user-days */
    EMK_FRAUD_GATE_DEMOTED,   /* rules */
    EMK_FRAUD_GATE_BREAKER,   /* 0: closed */
    EMK_FRAUD_GATE_UNCHANGED, /* 1: yes */
    EMK_FRAUD_GATE_TESTS,     /* 1: passed */
    EMK_FRAUD_CONDITIONS
} emk_fraud_condition;
extern const char *const EMK_FRAUD_CONDITION_NAME[EMK_FRAUD_CONDITIONS + 1]; /* NULL ends them */

typedef struct emk_fraud_check {
    bool ok, at_most; /* at_most: `needs` is an upper bound, else a lower one */
    uint64_t is, needs;
} emk_fraud_check;

typedef struct emk_fraud_readiness {
    bool ready;
    emk_fraud_check check[EMK_FRAUD_CONDITIONS];
} emk_fraud_readiness;

/* Whether the draft can deny or ban somebody in a way that the live set cannot: a rule that is hard
 * or reaches the band of deny by itself is new, or fires sooner, for more, or for longer; deny or
 * ban begin lower or last longer; caps or links let more come together; somebody is no longer
 * excepted.  why gets the first such thing.  Rules that deny only together with others are seen
 * while the draft runs beside. */
bool emk_fraud_denies_more(const emk_fraud_ruleset *live, const emk_fraud_ruleset *draft, char *why,
                           size_t cap);

void emk_fraud_ready(const emk_fraud_shadow *s, const emk_fraud_facts *facts,
                     const emk_fraud_needs *needs, emk_fraud_readiness *out);

#endif
