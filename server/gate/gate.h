/* The gate: may this request pass, and if not, why.
 *
 * One call before the API does anything: finds the client's address behind trusted proxies, asks
 * the firewall, finds out who it is (authentication), whether this route is for them
 * (authorisation), whether it is new (replay) and whether there is room (limits).  Whatever
 * fails, also inside, is a refusal.  It does no I/O of its own: devices, services and operators
 * come from a directory, counters from server/store.
 *
 * Order of a request's way, and what each step may tell: docs/spec/authentication.md.
 *
 * Thread rule: one gate is shared by all threads. */
#ifndef EMK_SERVER_GATE_H
#define EMK_SERVER_GATE_H

#include "server/gate/content_digest.h"
#include "server/gate/directory.h"
#include "server/gate/firewall.h"
#include "server/gate/forwarded.h"
#include "server/gate/known.h"
#include "server/gate/limits.h"
#include "server/gate/nonce.h"
#include "server/gate/operator.h"
#include "server/gate/problem.h"
#include "server/gate/replay.h"
#include "server/gate/request.h"
#include "server/gate/token.h"

/* What a row of the API's route table says to the gate. */
typedef struct emk_gate_rule {
    const char *name;          /* static; label of the route in limits, logs and metrics */
    uint32_t admits;           /* emk_principal_kind bits; none: nobody */
    uint64_t scopes;           /* emk_scope bits that a service or operator needs, all of them */
    bool needs_step_up;        /* an operator must have shown again, minutes ago */
    uint32_t cost;             /* cost units of one call; every call is also one request */
    emk_gate_class klass;      /* what is shed first under overload */
    const char *concurrency;   /* static name of a concurrency limit, or NULL */
    bool keeps_in_outage;      /* revocation: goes on when limits cannot be counted */
    bool checks_binding;       /* enrolment: a token bound to a key is taken without its proof, and
                                * the handler holds who.jkt against the key being enrolled */
    bool takes_expired_device; /* attestation: a device whose certificate is over may come here */
    bool device_may_sign; /* of a route for anyone: who signs as a device is found out, and refused
                           * where that fails; other credentials are not looked at */
    bool takes_revoked_device; /* leases: a revoked device is refused in a signed message, by the
                                * handler, which must look */
} emk_gate_rule;

typedef struct emk_gate_config {
    const emk_crypto *crypto;     /* kept, like everything below */
    emk_gate_directory directory; /* its self is kept */
    emk_nonces *nonces;
    const emk_replay_guard *replay;
    emk_tokens *tokens;     /* NULL: no user tokens */
    emk_sessions *sessions; /* NULL: no operators */
    emk_limits *limits;
    emk_firewall *firewall;         /* NULL: everybody passes */
    emk_trusted_proxies *proxies;   /* NULL: the peer is the client */
    const char *const *authorities; /* host[:port], lower case, without a default port, that we
                                     * answer to; a signature for another server is not for us */
    size_t n_authorities;           /* 0: any */
    uint32_t needs_certificate;     /* emk_principal_kind bits that must show a TLS client
                                     * certificate besides; services and operators */
    uint32_t n_cached_devices;      /* 0: EMK_GATE_CACHED_DEVICES */
    uint32_t cached_device_s;       /* how long a device is not asked for again; 0: never kept */
} emk_gate_config;

#define EMK_GATE_CACHED_DEVICES 16384u
#define EMK_GATE_KNOWN          16384u /* keys and certificates, see known.h */
#define EMK_GATE_HEADERS_MAX    8u
#define EMK_GATE_HEADER_MAX     256u /* bytes of a value, with a zero */

typedef struct emk_gate_header {
    const char *name; /* static, as it is written: "RateLimit-Policy" */
    char value[EMK_GATE_HEADER_MAX];
} emk_gate_header;

typedef struct emk_gate_decision {
    bool pass;
    uint16_t status;            /* HTTP; 200 when it passes */
    emk_gate_problem_type type; /* what the client is told */
    emk_gate_reason reason;     /* for the operator's log; never sent */
    const char *detail;      /* static, for the log: the refusing module's own words; never NULL */
    const char *limit;       /* name of the limit that refused; NULL: none did */
    const char *tightest;    /* of those that applied; NULL: none did */
    bool soft;               /* it passed with less than a fifth left of some limit */
    uint32_t shadow_hits;    /* limits in shadow that would have refused */
    uint32_t retry_after_s;  /* 0: no such field */
    emk_principal who;       /* kind ANYONE until somebody was authenticated */
    emk_address client;      /* behind trusted proxies */
    emk_firewall_hit wall;   /* what the firewall said: challenge and limit-class are here */
    bool has_body_digest;    /* the signature covers the body: hold the body to it ... */
    uint8_t body_sha256[32]; /* ... emk_content_digest_verify */
    bool has_proven;         /* refused as a replay, under a good signature ... */
    uint8_t proven[EMK_GATE_DEVICE_ID_LEN];        /* ... of this device; lets nobody in */
    char id[EMK_DECISION_ID_LEN + 1];              /* names this decision in answer and log */
    emk_gate_header headers[EMK_GATE_HEADERS_MAX]; /* to be added to the answer, pass or not */
    size_t n_headers;
    emk_limits_hold hold; /* private: what emk_gate_done gives back */
} emk_gate_decision;

typedef struct emk_gate emk_gate;

/* Gives a gate; free with emk_gate_free, before its parts.  EMK_E_USAGE when a part is missing
 * that must be there; EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_gate_new(const emk_gate_config *config, emk_gate **out, emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_gate_free(emk_gate *g);

/* Before the body is here: what its head alone decides.  Fills *out; when it passes, the body may
 * come, and emk_gate_check decides.  Takes and grants nothing: no limit is used up, no place at
 * work is taken, no replay window moves; a refusal counts as one.  Of who signs as a device, whose
 * signature holds for the body too, nothing is looked at but address, firewall, overload and
 * failures.  Cannot fail, as emk_gate_check. */
void emk_gate_admit(emk_gate *g, const emk_gate_request *rq, const emk_gate_rule *rule,
                    emk_gate_decision *out);
/* Fills *out.  Cannot fail: what could not be found out is a refusal with 503.  Each decision,
 * pass or not, is ended by exactly one emk_gate_done. */
void emk_gate_check(emk_gate *g, const emk_gate_request *rq, const emk_gate_rule *rule,
                    emk_gate_decision *out);
/* The request is over: gives back its place in concurrency limits. */
void emk_gate_done(emk_gate *g, emk_gate_decision *d);

/* Fills a body of application/problem+json for a refusal, with a zero, and *len without it.
 * `request` names it in the log (NULL: not); cap: EMK_GATE_PROBLEM_BODY_MAX. */
void emk_gate_problem_body(const emk_gate_decision *d, const char *request, char *out, size_t cap,
                           size_t *len);

/* Lends what the gate has found out about keys and signatures, for handlers that verify more. */
emk_known *emk_gate_known(const emk_gate *g);

/* After a revocation or a new enrolment: the next request of this device asks the directory. */
void emk_gate_forget_device(emk_gate *g, const uint8_t device_id[32]);

/* Decisions by reason since the start: EMK_GATE_REASONS numbers, for metrics. */
void emk_gate_counts_get(const emk_gate *g, uint64_t out[EMK_GATE_REASONS]);

#endif
