/* A log run through a rule set again, and what came of it, measured against labels.
 * [docs/spec/fraud-events.md 5] */
#ifndef EMK_SERVER_FRAUD_REPLAY_H
#define EMK_SERVER_FRAUD_REPLAY_H

#include "server/fraud/engine.h"

#define EMK_FRAUD_GROUPS_MAX  256u
#define EMK_FRAUD_LABELS_MAX  (1u << 22)
#define EMK_FRAUD_SAMPLES_MAX 20u

typedef enum emk_fraud_label {
    EMK_FRAUD_OK_LABEL,
    EMK_FRAUD_FRAUD_LABEL,
    EMK_FRAUD_UNSURE_LABEL
} emk_fraud_label;

/* Actions whose beginning is measured: challenge or more, throttle or more, deny or more. */
#define EMK_FRAUD_STEPS 3u

/* What happened to one labelled entity. */
typedef struct emk_fraud_case {
    uint64_t key; /* hash of kind and id */
    emk_fraud_label label;
    uint8_t rank; /* of the label's source */
    bool is_user;
    uint16_t group;
    uint64_t at;
    uint64_t first_ms, requests;
    uint64_t step_requests[EMK_FRAUD_STEPS]; /* 0: never */
    uint64_t step_ms[EMK_FRAUD_STEPS];
    uint64_t day, days, step_days[EMK_FRAUD_STEPS]; /* days seen, and those with the action */
    unsigned day_steps;
    int64_t cost, cost_stopped; /* thousandths asked for, and of it denied or throttled */
    uint64_t fired[EMK_FRAUD_RULES_MAX / 64], fired_shadow[EMK_FRAUD_RULES_MAX / 64];
} emk_fraud_case;

/* Cases by who said so ("by"), or by the label where nobody is named. */
typedef struct emk_fraud_group_row {
    char name[64];
    emk_fraud_label label;
} emk_fraud_group_row;

typedef struct emk_fraud_labels {
    emk_fraud_case *cases; /* owned; open addressing by key */
    uint64_t mask, n;
    uint64_t from_file, from_log; /* labels read; more than n where several are of one entity */
    uint64_t ignored;             /* unknown keys in a file of labels */
    bool bare;                    /* some name an entity without saying what it is */
    emk_fraud_group_row group[EMK_FRAUD_GROUPS_MAX];
    unsigned n_groups;
} emk_fraud_labels;

typedef struct emk_fraud_replay_rule {
    uint64_t hits, hits_shadow; /* events */
    uint64_t unique;            /* entities of the rule's kind that it fired for, of either kind */
    uint64_t entities;          /* labelled ones */
    uint64_t tp, fp;            /* labelled fraud, labelled ok */
    uint64_t tp_shadow, fp_shadow;
    uint64_t first_ms, last_ms; /* of hits of either kind */
    uint64_t lost;              /* leave-one-out: fraud cases no longer found */
    uint64_t spared;            /* leave-one-out: ok cases no longer touched */
    emk_fraud_rule_stats stats;
} emk_fraud_replay_rule;

typedef struct emk_fraud_sample {
    char id[EMK_FRAUD_ID_MAX + 1];
    uint64_t line;
    uint8_t was, is;
} emk_fraud_sample;

/* Called with every event and its decision, in order. */
typedef void (*emk_fraud_watch)(void *self, uint64_t line, const emk_fraud_event *ev,
                                const emk_fraud_decision *d);

/* Whether to replay once more without each rule that fired, where there are labels. */
#define EMK_FRAUD_LEAVE_SHORT UINT64_C(2000000) /* events in all of these replays */
typedef enum emk_fraud_leave {
    EMK_FRAUD_LEAVE_NEVER,
    EMK_FRAUD_LEAVE_IF_SHORT,
    EMK_FRAUD_LEAVE_ALWAYS
} emk_fraud_leave;

typedef struct emk_fraud_replay_options {
    uint64_t until_ms;                 /* events and labels after it are left out; 0: none */
    bool strict;                       /* unknown keys make a line no event */
    unsigned threads;                  /* that read lines; 1..64 */
    const emk_fraud_ruleset *baseline; /* NULL: none */
    emk_fraud_leave leave_one_out;
    emk_fraud_labels *labels; /* NULL: none */
    emk_fraud_watch watch;    /* NULL: none */
    void *watch_self;
    emk_fraud_options engine;
} emk_fraud_replay_options;

/* Lines that are no events, by what is wrong with them. */
#define EMK_FRAUD_REFUSALS_MAX  32u
#define EMK_FRAUD_REFUSED_FIRST 3u
typedef struct emk_fraud_refusal {
    const char *what; /* static text */
    uint64_t lines;
    uint64_t line[EMK_FRAUD_REFUSED_FIRST], byte[EMK_FRAUD_REFUSED_FIRST]; /* the first ones */
} emk_fraud_refusal;

/* Names of keys that were passed over, as the log has them, cut. */
#define EMK_FRAUD_UNKNOWN_MAX 8u
#define EMK_FRAUD_UNKNOWN_CAP 48u

typedef struct emk_fraud_replay_report {
    uint64_t lines, blank, events, dropped, duplicate, future;
    uint64_t first_bad_line, first_bad_where;
    const char *first_bad; /* static text, or NULL */
    unsigned n_refusals;
    emk_fraud_refusal refusal[EMK_FRAUD_REFUSALS_MAX];
    uint64_t unknown_keys, unknown_lines; /* passed over, and lines that had any */
    unsigned n_unknown;
    char unknown[EMK_FRAUD_UNKNOWN_MAX][EMK_FRAUD_UNKNOWN_CAP];
    bool left_one_out; /* the rules' lost and spared are there */
    uint64_t first_ms, last_ms;
    uint8_t stream[32], baseline_stream[32];
    emk_fraud_stats stats;
    uint64_t actions[EMK_FRAUD_ACTIONS], shadow_actions[EMK_FRAUD_ACTIONS];
    uint64_t newly_denied, newly_allowed, harder, milder; /* against the baseline */
    unsigned n_samples;
    emk_fraud_sample sample[EMK_FRAUD_SAMPLES_MAX];
    emk_fraud_replay_rule rule[EMK_FRAUD_RULES_MAX];
    uint64_t ns; /* of the main pass */
} emk_fraud_replay_report;

/* Where labels come from; each may be empty. */
typedef struct emk_fraud_label_sources {
    emk_span file;     /* a JSON object a line: {"id" or "entity", "label", "source", "at", "by"} */
    emk_span log;      /* events, of which those of types label.* count */
    uint64_t until_ms; /* labels after it are left out; 0: none */
    bool strict;       /* unknown keys of the file are refused */
} emk_fraud_label_sources;

/* Reads labels.  Free with emk_fraud_labels_done.  EMK_E_FORMAT (e->where is the line of the file),
 * EMK_E_LIMIT. */
emk_status emk_fraud_labels_read(const emk_fraud_label_sources *from, emk_fraud_labels *out,
                                 emk_error *e) EMK_MUST_CHECK;
void emk_fraud_labels_done(emk_fraud_labels *l);
/* Forgets what was measured, keeps the labels. */
void emk_fraud_labels_reset(emk_fraud_labels *l);

/* The key of a labelled entity: kind is "user", "device" or "id" (of an event); "any" of one that
 * a label names without its kind. */
uint64_t emk_fraud_case_key(const char *kind, emk_span id);
/* Its case; one whose key is 0 when there is none. */
emk_fraud_case *emk_fraud_case_find(const emk_fraud_labels *l, uint64_t key);

/* Runs the lines of `events`; fills *out and the cases of o->labels.  Lines that are no
 * events are dropped and counted.  EMK_E_NO_MEMORY, EMK_E_CRYPTO. */
emk_status emk_fraud_replay(const emk_crypto *c, const emk_fraud_ruleset *rs, emk_span events,
                            const emk_fraud_replay_options *o, emk_fraud_replay_report *out,
                            emk_error *e) EMK_MUST_CHECK;

/* 95 % interval of k of n, in millionths.  (Wilson, 1927) */
void emk_fraud_wilson(uint64_t k, uint64_t n, uint64_t *low, uint64_t *high);

/* Whether a shadow rule may go live as far as numbers can say. */
typedef struct emk_fraud_gate {
    bool days, hits, precision, budget;
    uint64_t shadow_days, n_hits, precision_low; /* millionths */
} emk_fraud_gate;
/* action: what the rule's score alone would lead to. */
void emk_fraud_promotion(const emk_fraud_replay_rule *r, emk_fraud_action action,
                         emk_fraud_gate *out);

#endif
