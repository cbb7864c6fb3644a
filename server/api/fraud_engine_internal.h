/* The host's state, shared by fraud_engine.c and fraud_promote.c. */
#ifndef EMK_SERVER_API_FRAUD_ENGINE_INTERNAL_H
#define EMK_SERVER_API_FRAUD_ENGINE_INTERNAL_H

#include "core/base/os_thread.h"
#include "server/api/fraud_engine.h"
#include "server/fraud/history.h"
#include "server/fraud/log.h"

#define EMK_FRAUD_PATH_CAP  1024u
#define EMK_FRAUD_RULES_LEN (1u << 20) /* bytes of a rule set at most */

/* A compiled set and the engine that runs it. */
typedef struct emk_fraud_seat {
    emk_fraud_ruleset *rules;
    emk_fraud_engine *engine;
} emk_fraud_seat;

/* Who decided: what a restart and a rollback have to know.  Hashes of sets; zeros: none. */
typedef struct emk_fraud_past {
    uint8_t live[32];
    uint8_t before[32]; /* decided before the last change */
    uint8_t barred[32]; /* was rolled back: does not run as the draft either */
    uint8_t coming[32]; /* a promotion or a rollback writes it into the file of rules */
} emk_fraud_past;

struct emk_fraud_host {
    const emk_crypto *crypto;
    char *rules_file, *draft_file; /* owned; NULL: shipped, none */
    char dir[EMK_FRAUD_DIR_MAX], snapshot[EMK_FRAUD_PATH_CAP], past_file[EMK_FRAUD_PATH_CAP];
    emk_fraud_options options;
    emk_fraud_needs needs;
    emk_fraud_file file;
    bool fixed;
    uint64_t unpromoted;
    unsigned pieces;
    emk_lock *lock;
    emk_lock *files; /* snapshot, pieces of the log, rule sets: one thread at a time; taken before
                        `lock` */
    emk_fraud_seat live, draft;
    emk_fraud_shadow *shadow; /* owned; of live and draft, while there is a draft */
    emk_fraud_log *log;
    emk_fraud_news_fn news;
    void *news_self;
    uint64_t (*now_ms)(void *self);
    void *now_self;
    emk_fraud_past past;
    emk_fraud_change doing;  /* promote or rollback while one is under way, else load */
    uint64_t refused, saved; /* saved: the log's end at the last snapshot */
};

/* emk_fraud_host_reload while `files` is held. */
emk_status emk_fraud_host_reload_held(emk_fraud_host *h, emk_yaml_diag *d,
                                      emk_error *e) EMK_MUST_CHECK;
/* Whether this set came into the file of rules by itself: nobody promoted it, and it is not the one
 * that decided before.  The first one that ever decides is nobody's promotion either, and fine. */
bool emk_fraud_is_unpromoted(const emk_fraud_host *h, const emk_fraud_ruleset *rs);
bool emk_fraud_is_barred(const emk_fraud_host *h, const emk_fraud_ruleset *rs);
/* Reads what is remembered of before; nothing is fine. */
emk_status emk_fraud_past_read(emk_fraud_host *h, emk_error *e) EMK_MUST_CHECK;
/* Makes the set that decides now the one of h->past, and writes it. */
emk_status emk_fraud_past_move(emk_fraud_host *h, emk_error *e) EMK_MUST_CHECK;

#endif
