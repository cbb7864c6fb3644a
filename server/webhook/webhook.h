/* Webhooks: how a message is signed, what happens after a failure, and where one may go.  Pure:
 * no network, no clock, no records.  [docs/spec/webhooks.md]
 *
 * The scheme is that of Standard Webhooks 1.0 with symmetric keys, so that receivers have a
 * library for it: header lines webhook-id, webhook-timestamp, webhook-signature. */
#ifndef EMK_SERVER_WEBHOOK_WEBHOOK_H
#define EMK_SERVER_WEBHOOK_WEBHOOK_H

#include "core/base/secret.h"
#include "core/crypto/crypto.h"
#include "server/gate/address.h"

#define EMK_WEBHOOK_ID_MAX        64u
#define EMK_WEBHOOK_BODY_MAX      8192u /* bytes of a message that is sent */
#define EMK_WEBHOOK_KEYS_MAX      2u    /* the one in use, and the one that is on its way out */
#define EMK_WEBHOOK_KEY_MIN       24u   /* bytes of a key */
#define EMK_WEBHOOK_KEY_MAX       64u
#define EMK_WEBHOOK_FILE_MAX      512u  /* bytes of a file of keys */
#define EMK_WEBHOOK_SIGNATURE_CAP 128u  /* of all signatures as text, with a zero */
#define EMK_WEBHOOK_URL_CAP       1024u /* bytes of a target's URL, with a zero */
#define EMK_WEBHOOK_TOLERANCE_S   300u  /* a message is refused beyond that, both ways */
#define EMK_WEBHOOK_TRIES         12u   /* then it is a dead letter */
#define EMK_WEBHOOK_PAUSE_MAX_MS  (UINT64_C(6) * 3600000)

/* What is told.  Append: numbers are in records. */
typedef enum emk_webhook_kind {
    EMK_WEBHOOK_DENY,
    EMK_WEBHOOK_BAN,
    EMK_WEBHOOK_BREAKER,
    EMK_WEBHOOK_DEMOTED,
    EMK_WEBHOOK_PROMOTED,
    EMK_WEBHOOK_CAMPAIGN,
    EMK_WEBHOOK_REVOKED,
    EMK_WEBHOOK_TEST, /* on an operator's word, to one target */
    EMK_WEBHOOK_CASE, /* a rule asks for a person: its effect page, open_case or alert_owner */
    EMK_WEBHOOK_KINDS
} emk_webhook_kind;
/* "decision.deny" and so on; NULL ends them. */
extern const char *const EMK_WEBHOOK_KIND_NAME[EMK_WEBHOOK_KINDS + 1];

/* ---- keys and signatures ---- */

typedef struct emk_webhook_keys {
    emk_secret *key[EMK_WEBHOOK_KEYS_MAX]; /* owned; [0] is the one in use */
    size_t n;
} emk_webhook_keys;

/* Reads lines "whsec_" and base64 of 24 to 64 bytes; one or two of them.  Fills *out; end with
 * emk_webhook_keys_done.  EMK_E_FORMAT (where: the line), EMK_E_NO_MEMORY. */
emk_status emk_webhook_keys_read(emk_span text, emk_webhook_keys *out, emk_error *e) EMK_MUST_CHECK;
/* The same from a file, which is secret.  What the file says too. */
emk_status emk_webhook_keys_load(const char *path, emk_webhook_keys *out,
                                 emk_error *e) EMK_MUST_CHECK;
void emk_webhook_keys_done(emk_webhook_keys *k);

typedef struct emk_webhook_message {
    emk_span id;
    uint64_t time_s; /* when it was sent */
    emk_span body;
} emk_webhook_message;

/* Fills out with one "v1,<base64>" for each key, with spaces between.  EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY. */
emk_status emk_webhook_sign(const emk_crypto *c, const emk_webhook_keys *keys,
                            const emk_webhook_message *m, char out[EMK_WEBHOOK_SIGNATURE_CAP],
                            emk_error *e) EMK_MUST_CHECK;
/* One good signature by one of the keys is enough; signatures of other versions are passed over.
 * EMK_E_SIGNATURE, EMK_E_STALE beyond the tolerance, EMK_E_FORMAT for an id that is none. */
emk_status emk_webhook_verify(const emk_crypto *c, const emk_webhook_keys *keys,
                              const emk_webhook_message *m, emk_span signatures, uint64_t now_s,
                              emk_error *e) EMK_MUST_CHECK;

/* ---- after a failure ---- */

/* How long to wait after try number `tries` (from 1): base_ms, then three times as long each time,
 * at most EMK_WEBHOOK_PAUSE_MAX_MS, and between half and all of that by `random`; never shorter
 * than what the receiver asked for, if that is below the most. */
uint64_t emk_webhook_pause_ms(uint64_t base_ms, unsigned tries, uint64_t asked_s, uint32_t random);

/* ---- where to ---- */

enum emk_webhook_allow {
    EMK_WEBHOOK_PRIVATE = 1, /* addresses of the inner network: 10/8, fc00::/7 and the like */
    EMK_WEBHOOK_PLAIN = 2    /* http to others than this machine */
};

/* Whether a target may be configured: https to anywhere, http to this machine only (127.0.0.1,
 * [::1], localhost), without user, password and fragment.  NULL: it may; else why not, static. */
const char *emk_webhook_url_check(const char *url, unsigned allow);
/* Whether a request to this URL may go to this address, asked before it is connected to.  This
 * machine only where the URL says so itself; one of the inner network only where that is allowed;
 * link-local ones, where clouds keep their metadata, multicast, and what hides another address,
 * never.  An address by NAT64's well-known prefix is judged as the one behind it. */
bool emk_webhook_may_reach(const char *url, unsigned allow, const emk_address *address);

#endif
