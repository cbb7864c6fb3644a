/* Rule sets over time.  Each set that a server used is kept beside the log under its hash, and each
 * change is an event in the log ("admin.rules"), so that a replay changes at the same place: it
 * gives the decisions that were given, across changes.  [docs/spec/fraud-events.md 4] */
#ifndef EMK_SERVER_FRAUD_HISTORY_H
#define EMK_SERVER_FRAUD_HISTORY_H

#include "server/fraud/engine.h"
#include "server/fraud/replay.h"

#define EMK_FRAUD_HASH_CAP 65u /* hex of a rule set's hash, with a zero */

typedef enum emk_fraud_change {
    EMK_FRAUD_RULES_LOAD,     /* at a start, or another file */
    EMK_FRAUD_RULES_PROMOTE,  /* what was the draft decides now */
    EMK_FRAUD_RULES_ROLLBACK, /* what decided before the last change decides again */
    EMK_FRAUD_RULES_DRAFT,    /* runs beside from now on */
    EMK_FRAUD_RULES_DRAFT_END,
    EMK_FRAUD_CHANGES
} emk_fraud_change;
extern const char *const EMK_FRAUD_CHANGE_NAME[EMK_FRAUD_CHANGES + 1]; /* NULL ends them */

/* Keeps the text of a set in dir, as rules-<hash>.yaml; once is enough.  EMK_E_IO, EMK_E_LIMIT. */
emk_status emk_fraud_archive_put(const char *dir, const emk_fraud_ruleset *rs, emk_span text,
                                 emk_error *e) EMK_MUST_CHECK;
/* Fills out with the text of the set of that hash.  EMK_E_NOT_FOUND; EMK_E_FORMAT when the file is
 * not what its name says. */
emk_status emk_fraud_archive_text(const emk_crypto *c, const char *dir, const uint8_t hash[32],
                                  emk_buf *out, emk_error *e) EMK_MUST_CHECK;
/* Gives the set of that hash; free with emk_fraud_ruleset_free.  EMK_E_NOT_FOUND; EMK_E_FORMAT
 * when the file is not what its name says. */
emk_status emk_fraud_archive_get(const emk_crypto *c, const char *dir, emk_span hash,
                                 emk_fraud_ruleset **out, emk_error *e) EMK_MUST_CHECK;

/* Fills *ev, which borrows hash. */
void emk_fraud_change_event(const emk_fraud_ruleset *rs, emk_fraud_change what, uint64_t ts,
                            char hash[EMK_FRAUD_HASH_CAP], emk_fraud_event *ev);

typedef struct emk_fraud_history_options {
    const char *dir;       /* of the kept sets */
    emk_fraud_watch watch; /* NULL: none */
    void *watch_self;
    emk_fraud_options engine;
} emk_fraud_history_options;

typedef struct emk_fraud_history_report {
    uint64_t lines, events, dropped, changes;
    uint64_t actions[EMK_FRAUD_ACTIONS]; /* of events that ask */
    char ruleset[128];                   /* the last */
    uint8_t sha256[32]; /* over time, type, action, score and flags of each decision */
} emk_fraud_history_report;

/* Runs the lines, each by the sets that were live and draft at its place.  The first event must say
 * which set that is.  EMK_E_NOT_FOUND for a set that is not kept, EMK_E_FORMAT for a log that
 * begins without one; EMK_E_NO_MEMORY, EMK_E_CRYPTO. */
emk_status emk_fraud_history(const emk_crypto *c, emk_span events,
                             const emk_fraud_history_options *o, emk_fraud_history_report *out,
                             emk_error *e) EMK_MUST_CHECK;

#endif
