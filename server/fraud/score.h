/* What follows from a decision's score: what would have had to be otherwise, and how much of what
 * is asked for is still served while an action holds.  The score itself is in score.c. */
#ifndef EMK_SERVER_FRAUD_SCORE_H
#define EMK_SERVER_FRAUD_SCORE_H

#include "server/fraud/engine.h"

/* The fewest reasons without which the answer would have been milder, and what it is then:
 * families' caps, links of entities, and what deny and ban need besides a score, are taken into
 * account. */
typedef struct emk_fraud_what_if {
    unsigned n;
    uint8_t reason[EMK_FRAUD_REASONS]; /* places in emk_fraud_decision.reason */
    emk_fraud_action then;
} emk_fraud_what_if;

/* Fills *out.  False when reasons do not make the action: an earlier one still holds, a ban was
 * there, or the emergency switch decided.  Reads action, score and reasons of d. */
bool emk_fraud_without(const emk_fraud_ruleset *rs, const emk_fraud_decision *d,
                       emk_fraud_what_if *out);

/* What rule i's first comparison would have to be, "below" and so on, where that alone keeps it
 * from firing; NULL: the whole condition has to be looked at.  Static text. */
const char *emk_fraud_opposite(const emk_fraud_ruleset *rs, size_t i);
/* Seconds in which half of what rule i adds is gone. */
uint32_t emk_fraud_half_s(const emk_fraud_ruleset *rs, size_t i);
/* Who remembers what rule i adds. */
emk_fraud_entity emk_fraud_entity_of(const emk_fraud_ruleset *rs, size_t i);
/* Turns rule i off, as `mode: off`.  Before any engine uses the set. */
void emk_fraud_silence(emk_fraud_ruleset *rs, size_t i);

/* While somebody is throttled or marked: seconds from one thing that is served to the next, so that
 * `factor` of the plan's artifacts an hour is left.  0: nothing is served. */
uint32_t emk_fraud_pace_s(const emk_fraud_ruleset *rs, const emk_fraud_event *ev);

#endif
