/* The queue of webhooks that go out: one record for each message and target, so that what was
 * queued is sent, once at least, whatever happens to the process.  A message that tells of a stored
 * decision is stored in the decision's own batch: there is no moment between the two.
 *
 * Nobody waits for a receiver.  A target's queue is bounded; what finds it full is dropped and
 * counted.  Sending itself is server/daemon/messenger.h's business, which asks emk_hooks_next.
 *
 * Thread rule: any thread, but next and result are called by one. */
#ifndef EMK_SERVER_API_HOOKS_H
#define EMK_SERVER_API_HOOKS_H

#include "server/api/entities.h"
#include "server/api/http.h"
#include "server/store/records.h"
#include "server/webhook/webhook.h"

#define EMK_HOOK_TARGETS_MAX 8u
#define EMK_HOOK_NAME_CAP    33u
#define EMK_HOOK_URL_CAP     EMK_WEBHOOK_URL_CAP
#define EMK_HOOK_QUEUE_MAX   100000u
#define EMK_HOOK_DEAD_S      (UINT64_C(7) * 86400) /* dead letters are kept so long */
#define EMK_HOOK_ID_LEN      16u
#define EMK_HOOK_ID_CAP      32u /* "msg_" and base64url, with a zero */

typedef struct emk_hook_target {
    char name[EMK_HOOK_NAME_CAP]; /* 1 to 32 of a-z, 0-9, '-' and '_' */
    char url[EMK_HOOK_URL_CAP];
    uint32_t kinds; /* bits of emk_webhook_kind; TEST always comes */
} emk_hook_target;

typedef struct emk_hooks_config {
    const emk_crypto *crypto;       /* kept */
    const emk_records *records;     /* kept */
    const emk_hook_target *targets; /* copied */
    size_t n_targets;
    uint32_t queue;      /* messages that wait for one target; 0: 1000 */
    uint32_t per_minute; /* sent to one target at most; 0: 600 */
    uint64_t retry_ms;   /* the first pause; 0: 5000 */
} emk_hooks_config;

typedef struct emk_hooks emk_hooks;

/* Gives the queue with what is in the records; free with emk_hooks_free.  EMK_E_LIMIT,
 * EMK_E_NO_MEMORY, what the store says. */
emk_status emk_hooks_new(const emk_hooks_config *config, emk_hooks **out,
                         emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_hooks_free(emk_hooks *h);
/* From now on these are the targets.  One whose name was there keeps what waits for it, and whether
 * it is disabled; what waits for one that is gone stays in the records, and waits again when the
 * name comes back.  Called by who calls next and result, with nothing on its way; while it runs
 * messages may be queued.  EMK_E_LIMIT, EMK_E_NO_MEMORY: nothing changed.  What the store says:
 * what waited for a new name waits for a restart. */
emk_status emk_hooks_retarget(emk_hooks *h, const emk_hook_target *targets, size_t n,
                              emk_error *e) EMK_MUST_CHECK;

/* ---- telling ---- */

typedef struct emk_hook_news {
    emk_webhook_kind kind;
    emk_span data; /* a JSON object */
    uint64_t now_s;
    const char *only;  /* one target by name; NULL: all that want the kind */
    const uint8_t *id; /* EMK_HOOK_ID_LEN bytes; NULL: random.  The same news twice with the
                        * same id is one message */
} emk_hook_news;

/* The changes that queue one message for every target that wants it. */
typedef struct emk_hook_batch {
    emk_record_change change[EMK_HOOK_TARGETS_MAX];
    size_t n;
    /* Private. */
    struct {
        char name[EMK_HOOK_NAME_CAP];
        uint8_t id[EMK_HOOK_ID_LEN + EMK_HOOK_NAME_CAP];
        emk_buf value;
    } item[EMK_HOOK_TARGETS_MAX];
    uint64_t now_s;
} emk_hook_batch;

/* Fills *out, with no change where nobody wants it or the queues are full; h may be NULL.  Commit
 * the changes, call emk_hooks_queued when that went well, then emk_hooks_batch_done in any case. */
emk_status emk_hooks_prepare(emk_hooks *h, const emk_hook_news *news, emk_hook_batch *out,
                             emk_error *e) EMK_MUST_CHECK;
void emk_hooks_queued(emk_hooks *h, const emk_hook_batch *b);
void emk_hooks_batch_done(emk_hook_batch *b);
/* All of it in a batch of its own.  *n (NULL: not wanted) is for how many targets. */
emk_status emk_hooks_post(emk_hooks *h, const emk_hook_news *news, size_t *n,
                          emk_error *e) EMK_MUST_CHECK;

/* Tells that a device is revoked; best effort: the revocation itself is done. */
void emk_api_tell_revoked(emk_call *call, const uint8_t device_id[32]);

/* ---- sending ---- */

typedef struct emk_hook_job {
    size_t target;
    uint8_t id[EMK_HOOK_ID_LEN];
    char name[EMK_HOOK_ID_CAP]; /* what the receiver sees */
    unsigned tries;             /* before this one */
    size_t len;
    uint8_t body[EMK_WEBHOOK_BODY_MAX];
} emk_hook_job;

/* The message that is due for a target that nothing is on its way to; false: none.  Until its
 * result is told, that target gets no other. */
bool emk_hooks_next(emk_hooks *h, uint64_t now_ms, emk_hook_job *out);

typedef struct emk_hook_result {
    bool delivered;
    bool busy;        /* it was not even tried: the same again, and no try is counted */
    unsigned code;    /* HTTP; 0: no answer */
    uint64_t asked_s; /* Retry-After */
    uint32_t random;  /* for the pause */
} emk_hook_result;
void emk_hooks_result(emk_hooks *h, const emk_hook_job *job, const emk_hook_result *r,
                      uint64_t now_ms);

/* ---- looking and steering ---- */

typedef struct emk_hook_state {
    emk_hook_target is;
    bool disabled;
    uint64_t waiting, dead, sent, failed, dropped; /* the last three since it became a target */
    unsigned last_code;
    uint64_t last_sent_s, oldest_s;
} emk_hook_state;
/* Targets have no fixed places: a reload may change them at any time.  False: none at `place`. */
bool emk_hooks_state(emk_hooks *h, size_t place, emk_hook_state *out);
/* Copies the name into out; false: there is none of this name. */
bool emk_hooks_find(emk_hooks *h, emk_span name, char out[EMK_HOOK_NAME_CAP]);
/* Stored: it holds after a restart.  What the store says. */
emk_status emk_hooks_disable(emk_hooks *h, const char *name, bool disabled, const char *by,
                             uint64_t now_s, emk_error *e) EMK_MUST_CHECK;

#endif
