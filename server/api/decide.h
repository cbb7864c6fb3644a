/* What stands between a handler and the fraud engine: the exact checks (bans, lists), then one
 * question, then what has to be remembered of the answer.
 *
 * The engine is a table of functions in emk_api; without one everybody passes, and the stored
 * decision says that nobody was asked.  A decision that is not "allow" is kept as a record to be
 * explained; of those that are, one in EMK_DECIDE_SAMPLE.
 *
 * What a device says of itself goes in as a claim: it may raise a risk and never lower one. */
#ifndef EMK_SERVER_API_DECIDE_H
#define EMK_SERVER_API_DECIDE_H

#include "server/api/directory.h"
#include "server/api/entities.h"
#include "server/api/http.h"
#include "server/fraud/event.h"
#include "server/fraud/ruleset.h"

#define EMK_DECIDE_SAMPLE 256u /* of allowed ones, one in so many is kept */
#define EMK_DECIDE_KEEP_S (UINT64_C(90) * 86400)

typedef enum emk_decide_point {
    EMK_DECIDE_TICKET,
    EMK_DECIDE_REDEEM,
    EMK_DECIDE_BLOB,
    EMK_DECIDE_LEASE,
    EMK_DECIDE_POINTS
} emk_decide_point;

/* What an engine answers.  Zeros: allowed. */
typedef struct emk_decide_answer {
    emk_fraud_action action;
    int64_t score; /* thousandths */
    uint32_t retry_after_s;
    uint32_t pace_s; /* THROTTLE, MARK: one thing is served in so many seconds; 0: nothing */
    char reasons[EMK_REASON_CAP]; /* coarse, for people and clients: "too_many_models", by commas */
    char rules[EMK_REASON_CAP];   /* for operators only */
    uint8_t ruleset[32];
    uint32_t explore_ppm;    /* the probability of having been let through; 0: it could not be */
    emk_fraud_action would;  /* without that; where explore_ppm is not 0 */
    emk_fraud_action shadow; /* with shadow rules counted as well */
    emk_fraud_action draft;  /* of the draft set; where has_draft */
    bool has_draft;
    unsigned effects; /* emk_fraud_effect, to be done now */
} emk_decide_answer;

typedef struct emk_decide_ops {
    uint32_t size;    /* sizeof of the writer's table: it can grow */
    const char *name; /* static */
    /* Takes the event into account and fills *out (zeroed).  Borrows.  Any failure is answered
     * 503: nobody passes because the engine is down. */
    emk_status (*decide)(void *self, const emk_fraud_event *ev, emk_decide_answer *out,
                         emk_error *e);
    /* The same where nobody waits.  EMK_E_USED: it was told before. */
    emk_status (*note)(void *self, const emk_fraud_event *ev, emk_decide_answer *out, emk_error *e);
} emk_decide_ops;

/* Thread rule: every call may come from any thread. */
typedef struct emk_decider {
    const emk_decide_ops *ops; /* NULL: everybody passes */
    void *self;
} emk_decider;

/* What a handler knows.  NULL and zero: not known. */
typedef struct emk_decide_in {
    emk_decide_point point;
    const uint8_t *device_id;        /* 32 bytes */
    const emk_device_record *device; /* not NULL */
    emk_span model, app;
    const uint8_t *ticket_id; /* 16 bytes */
    uint64_t cost;
    /* Where a decision that passes and has to be kept is put, to be committed with what is granted;
     * NULL: it is committed at once, like every one that refuses. */
    struct emk_grant_batch *with;
    bool again; /* the same was let pass a moment ago: only bans and lists are looked at, nothing is
                 * counted */
} emk_decide_in;

typedef enum emk_decide_help {
    EMK_HELP_NONE,
    EMK_HELP_ATTEST,  /* show again what you are */
    EMK_HELP_WAIT,    /* Retry-After */
    EMK_HELP_UPGRADE, /* of the app, the system or the plan */
    EMK_HELP_ENROL    /* begin anew with a device */
} emk_decide_help;

typedef struct emk_verdict {
    bool pass;
    bool banned;     /* an exact check refused: a ban or a list */
    bool marked;     /* serve a watermarked or reduced variant, and for a short time */
    char id[33];     /* of the decision; in call->decision too */
    const char *why; /* static, coarse: what the client may be told */
    emk_decide_help help;
    unsigned did; /* emk_fraud_effect: what was done besides */
    emk_decide_answer answer;
} emk_verdict;

/* Asks.  EMK_OK with *out filled, whatever was decided; else nobody could be asked, and nothing may
 * be granted. */
emk_status emk_api_decide(emk_call *call, const emk_decide_in *in, emk_verdict *out,
                          emk_error *e) EMK_MUST_CHECK;
/* Answers with the problem that fits a verdict that does not pass. */
void emk_api_decide_refuse(emk_call *call, const emk_verdict *v);

/* Tells the engine; best effort.  Subject fields are filled in from in; `ev` has its type, and what
 * else is known. */
void emk_api_note(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev);
/* Without what the event makes rules do: for events of their own making. */
void emk_api_note_quietly(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev);
/* Tells the engine of an event that is complete, and does what its rules ask for.  EMK_E_USED: it
 * was told before.  What the engine says; there must be one that takes notes. */
emk_status emk_api_tell(emk_call *call, const emk_fraud_event *ev, emk_error *e) EMK_MUST_CHECK;
/* The same with another source: what a device says of itself is not the server's word. */
void emk_api_note_as(emk_call *call, const emk_decide_in *in, emk_fraud_event *ev,
                     emk_fraud_source source);

/* Static: "attest", "wait", "upgrade", "enrol"; NULL for none. */
const char *emk_decide_help_name(emk_decide_help help);
/* POLICY with a member "help", and Retry-After where that is to wait. */
void emk_problem_set_help(emk_call *call, const char *detail, emk_decide_help help);

/* The id of a value on a list: SHA-256("earmark/1 list" || 0 || list || 0 || value). */
emk_status emk_list_id(const emk_crypto *c, emk_span list, emk_span value, uint8_t id[32],
                       emk_error *e) EMK_MUST_CHECK;
/* Whether it is on the list now.  EMK_OK, EMK_E_NOT_FOUND, or what the store says. */
emk_status emk_list_has(emk_call *call, const char *list, emk_span value,
                        emk_error *e) EMK_MUST_CHECK;
/* Lists that refuse, whoever else would let it pass. */
#define EMK_LIST_BANNED_DEVICES "banned_devices" /* device id, base64url */
#define EMK_LIST_BANNED_USERS   "banned_users"   /* subject */
#define EMK_LIST_BANNED_APPS    "banned_apps"

/* Whether a ban of this user holds now. */
bool emk_user_is_banned(const emk_user_entity *u, uint64_t now);

#endif
