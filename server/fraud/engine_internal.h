/* The engine's state, shared by engine.c, score.c, admin.c and snapshot.c. */
#ifndef EMK_SERVER_FRAUD_ENGINE_INTERNAL_H
#define EMK_SERVER_FRAUD_ENGINE_INTERNAL_H

#include "server/fraud/engine.h"
#include "server/fraud/internal.h"

#include "core/base/os_thread.h"
#include "core/crypto/hash.h"

#define RECENT     65536u /* ids remembered against duplicates */
#define HOURS      (24u * 7u + 1u)
#define HOUR_MS    UINT64_C(3600000)
#define RECORD_MAX 512u /* bytes of one decision in the stream */
#define STREAM_LEN 65536u
#define FAMILY_MIN 2000 /* from here on a family counts as one of two */
#define SLAB_MAX_  8192u

enum emergency { SWITCH_NORMAL, SWITCH_OPEN, SWITCH_CLOSED };

/* What goes into a snapshot besides tables and sketches; plain integers. */
typedef struct dynamic {
    uint64_t clock, number;
    uint64_t late, duplicate, future, full, user_days;
    uint64_t decisions[EMK_FRAUD_ACTIONS];
    uint64_t emergency;
    uint64_t period;      /* of 28 days, in which rules' budgets are counted */
    uint64_t period_days; /* user-days in it */
    uint64_t breaker_until;
    uint64_t hour; /* the one that denied[hour % HOURS] counts */
    uint64_t hours_seen;
    uint64_t explore_hour, explored; /* let through in that hour, for the budget */
    uint32_t denied[HOURS], active[HOURS];
    emk_fraud_rule_stats rule[EMK_FRAUD_RULES_MAX];
    uint64_t recent[RECENT];
    uint8_t chain[32]; /* hash of all full blocks of the stream */
    uint64_t stream_len;
    uint8_t stream[STREAM_LEN];
} dynamic;

struct emk_fraud_engine {
    const emk_crypto *crypto;
    const emk_fraud_ruleset *rs;
    emk_fraud_options options;
    emk_lock *lock;
    emk_fraud_engine *draft;
    table tables[EMK_FRAUD_ENTITIES];
    sketch *sketches; /* owned */
    dynamic *dyn;     /* owned */

    /* The event in hand. */
    const emk_fraud_event *ev;
    uint64_t now;
    emk_fraud_ahead *ahead;               /* the caller's */
    slab *of[EMK_FRAUD_ENTITIES];         /* NULL: not named by the event */
    uint8_t *scratch[EMK_FRAUD_ENTITIES]; /* owned: stands in where nothing may be kept */
    uint32_t stamp, value_stamp[EMK_FRAUD_FEATURES_MAX];
    value values[EMK_FRAUD_FEATURES_MAX];
    uint64_t fired_now[EMK_FRAUD_RULES_MAX / 64];
    int64_t left[EMK_FRAUD_RULES_MAX], right[EMK_FRAUD_RULES_MAX]; /* of rules in fired_now */
    unsigned effects;
    uint8_t full;
};

/* The keyed hash of a field of the event in hand; 0 when it is not there. */
uint64_t emk_fraud_field_hash(emk_fraud_engine *en, emk_fraud_field f);
uint64_t emk_fraud_hash_of(const emk_fraud_ruleset *rs, const emk_fraud_event *ev,
                           emk_fraud_field f);
uint64_t emk_fraud_entity_key(const emk_fraud_ruleset *rs, emk_fraud_entity what, uint64_t tenant,
                              uint64_t id);
bool emk_fraud_is_live(const emk_fraud_engine *en, unsigned rule, uint64_t entity_key);
bool emk_fraud_on_list(emk_fraud_engine *en, unsigned list, emk_fraud_field f);

/* score.c: from contributions to the decision, and what it does to the entities. */
void emk_fraud_score(emk_fraud_engine *en, emk_fraud_decision *d);

/* explore.c: whether a soft refusal is let through this time.  d is whole but for override. */
void emk_fraud_explore(emk_fraud_engine *en, emk_fraud_decision *d);

/* Whether the draft decides for the user of the event in hand, by a keyed hash: who is in at ten
 * per cent is in at twenty. */
bool emk_fraud_draft_decides(const emk_fraud_engine *en);
void emk_fraud_take_draft(emk_fraud_decision *d, const emk_fraud_decision *draft);

/* admin.c: events that change state by themselves. */
void emk_fraud_apply_event(emk_fraud_engine *en);

#endif
