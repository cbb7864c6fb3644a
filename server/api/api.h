/* What handlers work with: the parts of a running server, made and ended by server/daemon, and
 * the settings that answers depend on.
 *
 * Thread rule: immutable while the server runs but for what has rules of its own. */
#ifndef EMK_SERVER_API_API_H
#define EMK_SERVER_API_API_H

#include "server/api/attestation.h"
#include "server/api/decide.h"
#include "server/api/flights.h"
#include "server/api/issuers.h"
#include "server/api/json_out.h"
#include "server/api/keyholder.h"
#include "server/api/kinds.h"
#include "server/api/meter.h"
#include "server/api/metrics.h"
#include "server/api/router.h"
#include "server/journal/journal.h"
#include "server/places/places.h"
#include "server/store/blobs.h"
#include "server/store/records.h"
#include "server/webhook/webhook.h"

#define EMK_API_VERSION "1"

typedef struct emk_api_settings {
    const char *origin;         /* "https://models.example.com": what clients reach us by */
    const char *version;        /* of this build */
    bool dev;                   /* --dev: simulated attestation is taken, http is fine */
    uint32_t certificate_s;     /* life of a device certificate */
    uint32_t ticket_s;          /* life of a ticket */
    uint32_t blob_ttl_s;        /* life of a sealed model */
    uint32_t idempotency_s;     /* how long an answer is given again */
    bool allow_no_attestation;  /* kind "none" enrols, at level 0 */
    bool ticket_without_token;  /* a device alone asks for its user; else the token is shown too */
    uint32_t devices_per_user;  /* 0: any number */
    bool blob_require_device;   /* sealed models go to their own device's signed requests only */
    const char *default_tenant; /* of services and users that have none; NULL: "" */
    uint64_t lease_max_s;       /* no lease is longer; 0: however long.  The keyholder looks, too */
    uint64_t policy_max_s;      /* the same of a policy's life */
    uint32_t use_life_s;        /* life of a model that a backend makes for a use; 0: none are */
    uint32_t use_cost;          /* units of one */
    uint64_t model_max; /* bytes of a model, published or sealed; 0: what a container takes */
    const emk_api_attestation *attestation; /* NULL: only "none", where that is allowed */
    unsigned approvals;        /* emk_approval_rule: second persons for rule sets that deny */
    emk_span root_certificate; /* of the issuer key by the root; empty: the issuer is the root */
} emk_api_settings;

/* NULL or zeroed parts are absent: a handler that needs one answers EMK_API_UNAVAILABLE. */
typedef struct emk_api {
    const emk_crypto *crypto;
    emk_records records;
    emk_counters counters;
    emk_blobs blobs;
    emk_journal *journal;
    emk_gate *gate;
    emk_nonces *nonces;
    emk_sessions *sessions;
    emk_limits *limits;
    emk_firewall *firewall;
    emk_keyholder keyholder;
    const emk_verify_key *issuer;       /* the keyholder's public key at the start, parsed once */
    const emk_issuers *_Atomic issuers; /* NULL: `issuer` is all there is */
    emk_signing signing;
    void (*reload)(void *daemon);                 /* reads files again, soon; NULL: cannot */
    void (*files)(void *daemon, emk_json_out *o); /* how old what was read is */
    emk_metrics *metrics;
    emk_meter meter; /* of metrics */
    emk_decider decider;
    struct emk_seals *seals; /* sealing.h; NULL: this server does not seal */
    emk_api_settings settings;
    const char *origin_host;       /* authority of settings.origin */
    uint64_t (*clock)(void *self); /* seconds since 1970 */
    void *clock_self;
    struct emk_admin *admin;               /* admin.h; NULL: no operators' routes but login */
    struct emk_fraud_host *fraud;          /* fraud_engine.h, also behind decider; NULL: none */
    struct emk_signals *signals;           /* signals.h; NULL: refusals are not told */
    emk_places *places;                    /* NULL: nobody knows where an address is */
    struct emk_hooks *hooks;               /* hooks.h; NULL: no webhooks go out */
    struct emk_hook_sources *hook_sources; /* hook_sources.h; whose webhooks come in */
    emk_flights flights;                   /* of what the engine is told */
    void *daemon; /* server/daemon's own, for the routes of the internal listener */
} emk_api;

uint64_t emk_api_now(const emk_api *api);
/* Lends the keys whose certificates and tickets are taken, newest first; how many. */
size_t emk_api_issuer_keys(const emk_api *api, const emk_verify_key *out[EMK_ISSUERS_MAX]);

/* The groups of routes, one file each: routes_<group>.c ends in its table.  A new group is a file,
 * a line here, a line in emk_api_tables, and its part of openapi.json. */
extern const emk_route_table emk_routes_meta;       /* well-known, openapi.json */
extern const emk_route_table emk_routes_challenges; /* challenges */
extern const emk_route_table emk_routes_devices;    /* enrolment */
extern const emk_route_table emk_routes_attestations;
extern const emk_route_table emk_routes_tickets;
extern const emk_route_table emk_routes_leases;
extern const emk_route_table emk_routes_receipts;
extern const emk_route_table emk_routes_events;
extern const emk_route_table emk_routes_models; /* the catalogue */
extern const emk_route_table emk_routes_seals;  /* sealing for backends */
extern const emk_route_table emk_routes_blobs;  /* sealed models, to be fetched */

extern const emk_route_table emk_routes_admin_access;  /* login, operators, service keys */
extern const emk_route_table emk_routes_admin_people;  /* users, devices, tickets, decisions */
extern const emk_route_table emk_routes_admin_person;  /* export, erasure, legal hold */
extern const emk_route_table emk_routes_admin_rules;   /* lists, limits, firewall */
extern const emk_route_table emk_routes_admin_server;  /* reload */
extern const emk_route_table emk_routes_admin_signing; /* keys of the keyholder */
extern const emk_route_table emk_routes_admin_fraud;   /* what the engine remembers, labels */
extern const emk_route_table emk_routes_admin_audit;   /* audit log, numbers */

extern const emk_route_table emk_routes_campaigns; /* groups that were found, for a person */
extern const emk_route_table emk_routes_webhooks;  /* webhooks in; out: list, test, disable */

/* Lends all of them. */
const emk_route_table *emk_api_tables(size_t *n);

/* The OpenAPI 3.1 document, as it is in openapi.json. */
emk_span emk_openapi_document(void);

/* Writes an audit entry that must be durable before the answer: EMK_OK, or the call was answered
 * with 503 and false is returned. */
bool emk_api_audit(emk_call *call, const emk_journal_event *event) EMK_MUST_CHECK;
/* Fills the fields that come from the call: time, actor (of gate.who), decision.  The actor's text
 * lives in the arena. */
void emk_api_event(emk_call *call, const char *type, emk_journal_outcome outcome,
                   emk_journal_event *out);

#endif
