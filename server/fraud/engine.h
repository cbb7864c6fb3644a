/* The engine: events in, decisions with reasons out.
 *
 * Deterministic: its only clock is the events' ts, there is no random number, no floating
 * point and no network; the same events in the same order give the same bytes, whatever
 * compiler or number of threads prepared them.  So a replay can be compared with what was
 * decided, by one SHA-256.  [docs/spec/fraud-rules.md] [docs/decisions/0021]
 *
 * Memory is fixed when the engine is made.
 *
 * Thread rule: all calls on one engine may come from any thread; they take turns, in the
 * order that the log must have too. */
#ifndef EMK_SERVER_FRAUD_ENGINE_H
#define EMK_SERVER_FRAUD_ENGINE_H

#include "server/fraud/event.h"
#include "server/fraud/ruleset.h"

#define EMK_FRAUD_REASONS   8u
#define EMK_FRAUD_LATE_MS   60000u /* behind the engine's clock: flagged late */
#define EMK_FRAUD_RULE_NONE UINT16_MAX

typedef struct emk_fraud_engine emk_fraud_engine;

typedef struct emk_fraud_options {
    uint32_t max[EMK_FRAUD_ENTITIES]; /* how many are remembered; 0: the default */
    uint64_t max_jump_ms; /* an event further ahead of the clock is refused; 0: no limit */
    uint16_t without;     /* a rule left out, for leave-one-out; EMK_FRAUD_RULE_NONE */
    bool no_stream;       /* do not hash the decisions */
} emk_fraud_options;

/* Flags of a decision. */
typedef enum emk_fraud_flag {
    EMK_FRAUD_IS_HARD = 1,       /* a hard rule's evidence is in it */
    EMK_FRAUD_IS_LATE = 2,       /* the event came far behind the clock */
    EMK_FRAUD_IS_FULL = 4,       /* an entity had no room: decided on this event alone */
    EMK_FRAUD_IS_ALLOWED = 8,    /* on the list of test devices */
    EMK_FRAUD_IS_BANNED = 16,    /* a ban was there already */
    EMK_FRAUD_IS_HELD = 32,      /* an earlier action still holds (hysteresis) */
    EMK_FRAUD_IS_SWITCHED = 64,  /* the emergency switch decided */
    EMK_FRAUD_IS_BROKEN = 128,   /* the circuit breaker made a soft denial a throttle */
    EMK_FRAUD_IS_EXPLORED = 256, /* let through to learn whether `would` was right */
    EMK_FRAUD_IS_DRAFTED = 512   /* the draft decided: reasons and score are of its rule set */
} emk_fraud_flag;

/* What happened to the engine itself at this event. */
typedef enum emk_fraud_news {
    EMK_FRAUD_NEWS_BREAKER = 1, /* the circuit breaker opened */
    EMK_FRAUD_NEWS_DEMOTED = 2  /* a rule demoted itself to shadow */
} emk_fraud_news;

typedef struct emk_fraud_reason {
    uint16_t rule;  /* of the rule set */
    uint8_t entity; /* emk_fraud_entity */
    bool now;       /* fired at this event: value and limit are those compared first */
    bool shadow;    /* counts in the shadow decision only */
    int64_t add;    /* what it adds now, thousandths, before the family's cap */
    int64_t value, limit;
} emk_fraud_reason;

/* Keyed hashes of an event: what a decision needs and can be worked out before. */
typedef struct emk_fraud_ahead {
    uint64_t hashed; /* bit f: hash[f] is good */
    unsigned named;  /* bit i: entity i is remembered and named by the event */
    uint64_t hash[EMK_FRAUD_FIELDS];
    uint64_t entity_key[EMK_FRAUD_ENTITIES];
} emk_fraud_ahead;

typedef struct emk_fraud_decision {
    uint64_t number; /* of events taken so far */
    emk_fraud_action action;
    int64_t score;     /* thousandths */
    unsigned families; /* that count */
    unsigned flags;
    unsigned effects; /* emk_fraud_effect, of rules that fired now */
    uint32_t retry_after_s;
    emk_fraud_action shadow; /* with shadow rules counted as well */
    int64_t shadow_score;
    bool has_draft;
    emk_fraud_action draft; /* by the draft set beside, see emk_fraud_attach_draft */
    emk_fraud_action live;  /* has_draft: by the set that it runs beside, also where it decided */
    uint32_t explore_ppm;   /* the probability with which this one was let through; 0: it could not
                               have been */
    emk_fraud_action would; /* without exploring; where explore_ppm is not 0 */
    unsigned news;          /* emk_fraud_news */
    uint16_t news_rule;     /* NEWS_DEMOTED: which one */
    unsigned n_reasons;     /* largest first */
    emk_fraud_reason reason[EMK_FRAUD_REASONS];
} emk_fraud_decision;

/* What happened to a rule so far. */
typedef struct emk_fraud_rule_stats {
    uint64_t run, fired, unknown, fired_shadow;
    uint64_t challenged; /* decisions "challenge" it had a part in */
    uint64_t passed;     /* challenges passed by entities it had a part in: false positives */
    bool demoted;        /* by its budget or by passed challenges: shadow until a new set */
    uint64_t demoted_ms;
} emk_fraud_rule_stats;

typedef struct emk_fraud_stats {
    uint64_t events, late, duplicate, future, full;
    uint64_t decisions[EMK_FRAUD_ACTIONS]; /* of events that ask */
    uint64_t entities[EMK_FRAUD_ENTITIES], evicted[EMK_FRAUD_ENTITIES];
    uint64_t user_days;
    uint64_t memory;                   /* bytes reserved */
    uint32_t slab[EMK_FRAUD_ENTITIES]; /* bytes for one; 0: none is remembered */
    bool breaker;                      /* open: soft denials are throttles */
} emk_fraud_stats;

/* Options with every default. */
void emk_fraud_options_init(emk_fraud_options *o);

/* Gives an engine; free with emk_fraud_engine_free.  Keeps c and rs.  EMK_E_NO_MEMORY. */
emk_status emk_fraud_engine_new(const emk_crypto *c, const emk_fraud_ruleset *rs,
                                const emk_fraud_options *o, emk_fraud_engine **out,
                                emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_fraud_engine_free(emk_fraud_engine *en);

/* Takes the event into account and fills *out.  The event was read or checked before.
 * EMK_E_USED for an id that was there before, EMK_E_STALE beyond max_jump_ms: then nothing
 * changed but a count.  EMK_E_CRYPTO when the stream's hash fails. */
emk_status emk_fraud_decide(emk_fraud_engine *en, const emk_fraud_event *ev,
                            emk_fraud_decision *out, emk_error *e) EMK_MUST_CHECK;
/* The same in two steps, the first of which any thread may do at any time: for engines of the
 * rule set rs.  decide_ahead may add to *a. */
void emk_fraud_look_ahead(const emk_fraud_ruleset *rs, const emk_fraud_event *ev,
                          emk_fraud_ahead *out);
emk_status emk_fraud_decide_ahead(emk_fraud_engine *en, const emk_fraud_event *ev,
                                  emk_fraud_ahead *a, emk_fraud_decision *out,
                                  emk_error *e) EMK_MUST_CHECK;
/* Asks the processor for the memory of an event that comes soon: its places in the tables, and
 * later what stands there.  For the one thread that decides, while no other uses the engine. */
void emk_fraud_fetch_slots(const emk_fraud_engine *en, const emk_fraud_ahead *a);
void emk_fraud_fetch_slabs(const emk_fraud_engine *en, const emk_fraud_ahead *a);
/* The same where nobody waits for an answer. */
emk_status emk_fraud_note(emk_fraud_engine *en, const emk_fraud_event *ev,
                          emk_error *e) EMK_MUST_CHECK;
/* Lets a draft set run beside on every event; its answer stands in the decision.  Where the
 * draft's rollout covers the user, its action is the decision's.  Takes nothing: the draft
 * is kept until another, or NULL, is attached. */
void emk_fraud_attach_draft(emk_fraud_engine *en, emk_fraud_engine *draft);

/* SHA-256 over the rule set's hash and all decisions so far. */
emk_status emk_fraud_stream_hash(emk_fraud_engine *en, uint8_t out[32],
                                 emk_error *e) EMK_MUST_CHECK;

const emk_fraud_ruleset *emk_fraud_engine_ruleset(const emk_fraud_engine *en);
/* The latest time of an event, ms; 0: none yet. */
uint64_t emk_fraud_engine_clock(emk_fraud_engine *en);
void emk_fraud_engine_stats(emk_fraud_engine *en, emk_fraud_stats *out);
void emk_fraud_engine_rule(emk_fraud_engine *en, size_t i, emk_fraud_rule_stats *out);

/* One entity as an operator sees it. */
typedef struct emk_fraud_view {
    uint64_t first_ms, last_ms, until_ms, ban_until_ms;
    emk_fraud_action action;
    bool review;
    int64_t score;
    unsigned n_reasons;
    emk_fraud_reason reason[EMK_FRAUD_REASONS];
} emk_fraud_view;
/* False when nothing is remembered of it.  tenant may be empty. */
bool emk_fraud_look(emk_fraud_engine *en, emk_fraud_entity what, emk_span tenant, emk_span id,
                    emk_fraud_view *out);
/* Forgets it (erasure).  False when there was nothing. */
bool emk_fraud_forget(emk_fraud_engine *en, emk_fraud_entity what, emk_span tenant, emk_span id);

/* ---- snapshot.c ---- */

/* Writes the whole state, in pieces, with the log offset it belongs to.  What put says. */
emk_status emk_fraud_snapshot(emk_fraud_engine *en, uint64_t log_offset,
                              emk_status (*put)(void *self, emk_span s, emk_error *e), void *self,
                              emk_error *e) EMK_MUST_CHECK;
/* Fills a new engine of the same rule set and options.  get must fill all len bytes.
 * EMK_E_STALE for another rule set, EMK_E_FORMAT for other options or damage: then the engine
 * must be freed. */
emk_status emk_fraud_restore(emk_fraud_engine *en,
                             emk_status (*get)(void *self, uint8_t *p, size_t len, emk_error *e),
                             void *self, uint64_t *log_offset, emk_error *e) EMK_MUST_CHECK;

#endif
