/* The fraud engine as a running server has it: a rule set, the engine, the log of its events, and
 * snapshots.  Stands behind emk_api.decider.
 *
 * Every event is appended to the log before the engine takes it, under one lock, so that the
 * engine's state is a function of rule set and log.  A restart reads the snapshot and the lines
 * behind it; a snapshot that is missing, damaged or of another rule set costs a longer start and
 * nothing else.  A new rule set passes its own tests, is warmed by the whole log beside the one
 * that is live, and then takes its place; one that does not compile changes nothing.
 *
 * Thread rule: decide, note, look and explain from any thread; reload, keep and close by one. */
#ifndef EMK_SERVER_API_FRAUD_ENGINE_H
#define EMK_SERVER_API_FRAUD_ENGINE_H

#include "server/api/decide.h"
#include "server/api/json_out.h"
#include "server/fraud/campaign.h"
#include "server/fraud/engine.h"
#include "server/fraud/promotion.h"

typedef struct emk_fraud_host emk_fraud_host;

/* What becomes of a file of rules that decides and was not promoted. */
typedef enum emk_fraud_file {
    EMK_FRAUD_FILE_ALLOW,
    EMK_FRAUD_FILE_WARN,  /* it decides, and is told as news */
    EMK_FRAUD_FILE_REFUSE /* what decided before goes on */
} emk_fraud_file;

/* What happened to the engine itself: one of the four. */
typedef struct emk_fraud_host_news {
    bool breaker;           /* opened */
    const char *demoted;    /* id of the rule; NULL: none */
    const char *change;     /* EMK_FRAUD_CHANGE_NAME; NULL: none */
    const char *unpromoted; /* a file of rules that nobody promoted: "decides" or "refused" */
    const char *ruleset;    /* label of the set */
    uint64_t ts;            /* ms */
} emk_fraud_host_news;
/* Called without any lock of the host, on the thread of the event that brought it. */
typedef void (*emk_fraud_news_fn)(void *self, const emk_fraud_host_news *n);

typedef struct emk_fraud_host_config {
    const emk_crypto *crypto;
    const char *rules;      /* file; NULL: the set that Earmark ships */
    const char *draft;      /* file of a set that runs beside it; NULL: none */
    const char *dir;        /* of the log, the snapshot and the sets that were used; made */
    uint32_t users;         /* remembered at once; 0: 65536 */
    uint64_t piece_max;     /* bytes of a piece of the log; 0: 64 MiB */
    unsigned pieces;        /* that are kept for new rule sets; 0: 8 */
    emk_fraud_needs needs;  /* of a draft, before it is promoted */
    emk_fraud_file file;    /* what becomes of rules that were not promoted */
    bool fixed;             /* the file of rules cannot be written */
    emk_fraud_news_fn news; /* NULL: nobody is told */
    void *news_self;
    uint64_t (*now_ms)(void *self); /* when rules change; NULL: the engine's own clock */
    void *now_self;
} emk_fraud_host_config;

/* The rule set that Earmark ships, rules/base.yaml. */
emk_span emk_fraud_base_rules(void);

/* Gives a host; close with emk_fraud_host_close.  Keeps crypto, copies the texts.  d gets the
 * complaint about a rule set.  EMK_E_FORMAT (rules), EMK_E_IO, EMK_E_NO_MEMORY and others. */
emk_status emk_fraud_host_open(const emk_fraud_host_config *config, emk_fraud_host **out,
                               emk_yaml_diag *d, emk_error *e) EMK_MUST_CHECK;
/* Takes a snapshot first.  NULL is fine.  What the snapshot says; it is closed all the same. */
emk_status emk_fraud_host_close(emk_fraud_host *h, emk_error *e);

/* What emk_api.decider is to be; good as long as the host. */
emk_decider emk_fraud_host_decider(emk_fraud_host *h);

/* Reads the rule files again.  Until the new sets have passed their tests and seen the log, the
 * ones before decide; after a failure they go on. */
emk_status emk_fraud_host_reload(emk_fraud_host *h, emk_yaml_diag *d, emk_error *e) EMK_MUST_CHECK;
/* ---- fraud_promote.c: any thread ---- */

typedef struct emk_fraud_host_rules {
    char live[128], draft[128]; /* labels; empty: no draft */
    uint8_t before[32];         /* what a rollback brings back; zeros: nothing */
    uint8_t draft_hash[32];     /* names the draft to emk_fraud_host_promote */
    bool has_file;              /* fraud.rules is configured */
    bool fixed;                 /* and cannot be written */
    char second[160];           /* why the draft needs a second person; empty: it does not */
    uint64_t user_days;         /* that the draft has seen */
    uint64_t decisions, harder, milder;
    emk_fraud_readiness readiness; /* where there is a draft */
} emk_fraud_host_rules;
/* What decides, what runs beside it, and whether that may take its place.  Reads the draft's
 * file.  EMK_E_NO_MEMORY, EMK_E_CRYPTO. */
emk_status emk_fraud_host_rules_of(emk_fraud_host *h, emk_fraud_host_rules *out,
                                   emk_error *e) EMK_MUST_CHECK;
/* Writes the draft that runs over the file of rules and reloads; afterwards it decides.  A failure
 * leaves file and engine as they were.  force: whatever its numbers are.  EMK_E_STALE when the
 * draft is not that of hash any more, EMK_E_POLICY when the numbers do not suffice,
 * EMK_E_NOT_FOUND without a draft or a file of rules that can be written, EMK_E_IO when that
 * fails;
 * what reload says. */
emk_status emk_fraud_host_promote(emk_fraud_host *h, const uint8_t hash[32], bool force,
                                  emk_yaml_diag *d, emk_error *e) EMK_MUST_CHECK;
/* Brings back the set that decided before the last change, once; what decided until now does not
 * run as the draft either.  EMK_E_STALE when that is not `hash` any more, EMK_E_NOT_FOUND when
 * there is none; else as promote. */
emk_status emk_fraud_host_rollback(emk_fraud_host *h, const uint8_t hash[32], emk_yaml_diag *d,
                                   emk_error *e) EMK_MUST_CHECK;

/* Now and then: syncs the log, takes a snapshot, drops old pieces. */
emk_status emk_fraud_host_keep(emk_fraud_host *h, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_fraud_host_stats {
    emk_fraud_stats engine;
    uint64_t log_bytes, refused; /* refused: events that could not be logged or taken */
    uint64_t unpromoted;         /* files of rules that nobody promoted */
    char ruleset[128];
} emk_fraud_host_stats;
void emk_fraud_host_stats_of(emk_fraud_host *h, emk_fraud_host_stats *out);

/* Appends its numbers and those of its rules as Prometheus text.  fraud_numbers.c.  EMK_E_LIMIT,
 * EMK_E_NO_MEMORY. */
emk_status emk_fraud_host_numbers(emk_fraud_host *h, emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* What is remembered of a user (as events name it) or a device: members score, action, until and
 * reasons into the object in hand.  False when there is nothing. */
bool emk_fraud_host_look(emk_fraud_host *h, emk_fraud_entity what, emk_span tenant, emk_span id,
                         emk_json_out *o);
/* Erasure, of up to EMK_FRAUD_ERASE_MAX names: the engines forget them, lines of the log that have
 * them are overwritten with blanks, and a snapshot without them is taken.  Adds to *n how many were
 * remembered.  May be repeated.  Any thread.  EMK_E_LIMIT, EMK_E_IO, EMK_E_NO_MEMORY. */
#define EMK_FRAUD_ERASE_MAX 64u
typedef struct emk_fraud_name {
    emk_fraud_entity what;
    emk_span tenant, id;
} emk_fraud_name;
emk_status emk_fraud_host_erase(emk_fraud_host *h, const emk_fraud_name *names, size_t n_names,
                                uint64_t *n, emk_error *e) EMK_MUST_CHECK;

/* Looks for groups in the log; gives, end with emk_fraud_campaigns_done.  Takes a while, during
 * which decisions go on.  EMK_E_LIMIT as the job says; EMK_E_IO, EMK_E_NO_MEMORY. */
emk_status emk_fraud_host_campaign(emk_fraud_host *h, const emk_fraud_campaign_options *o,
                                   emk_fraud_campaigns *out, emk_error *e) EMK_MUST_CHECK;

/* Explains a stored decision: members "rules" (id, name, when, adds, value, limit) and
 * "would_change" into the object in hand. */
void emk_fraud_host_explain(emk_fraud_host *h, const emk_decision_entity *d, emk_json_out *o);

#endif
