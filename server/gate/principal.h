/* Who a request turned out to come from, and who may come at all. */
#ifndef EMK_SERVER_GATE_PRINCIPAL_H
#define EMK_SERVER_GATE_PRINCIPAL_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_PRINCIPAL_NAME_MAX 128u /* bytes of a user, service or operator name */
#define EMK_GATE_DEVICE_ID_LEN 32u

/* Kinds are bits, so that a route can name those it admits. */
typedef enum emk_principal_kind {
    EMK_PRINCIPAL_ANYONE = 1 << 0,
    EMK_PRINCIPAL_USER = 1 << 1,        /* OIDC token alone */
    EMK_PRINCIPAL_DEVICE = 1 << 2,      /* signature of an enrolled device alone */
    EMK_PRINCIPAL_DEVICE_USER = 1 << 3, /* both, on one request */
    EMK_PRINCIPAL_SERVICE = 1 << 4,     /* service key, or a client certificate on the list */
    EMK_PRINCIPAL_OPERATOR = 1 << 5     /* session of an operator */
} emk_principal_kind;

/* What services and operators may do.  A route names those it wants; each one must be there. */
typedef enum emk_scope {
    EMK_SCOPE_SEAL = 1 << 0,      /* redeem tickets, ask for seals */
    EMK_SCOPE_PUBLISH = 1 << 1,   /* models of the catalogue */
    EMK_SCOPE_EVENTS = 1 << 2,    /* report events of the backend */
    EMK_SCOPE_READ = 1 << 3,      /* look at users, devices, decisions, models */
    EMK_SCOPE_MODERATE = 1 << 4,  /* ban, unban, revoke, limits, lists */
    EMK_SCOPE_RULES = 1 << 5,     /* publish rules */
    EMK_SCOPE_AUDIT = 1 << 6,     /* read and export the audit log */
    EMK_SCOPE_OPERATORS = 1 << 7, /* make and end operators and service keys */
    EMK_SCOPE_ERASE = 1 << 8      /* erase a person's data */
} emk_scope;

typedef struct emk_principal {
    emk_principal_kind kind;
    char user[EMK_PRINCIPAL_NAME_MAX + 1];   /* sub of the token; of a device alone: who
                                              * enrolled it; else "" */
    char tenant[EMK_PRINCIPAL_NAME_MAX + 1]; /* whose user that is: name of the issuer; whose
                                              * service */
    char name[EMK_PRINCIPAL_NAME_MAX + 1];   /* service or operator, else "" */
    uint8_t device_id[EMK_GATE_DEVICE_ID_LEN];
    uint8_t attestation_level; /* of a device */
    bool token_is_bound;       /* the token names a key (cnf.jkt) */
    uint8_t jkt[32];           /* that key's thumbprint [RFC 7638] */
    bool step_up;              /* an operator who showed a second time, minutes ago */
    uint64_t scopes;           /* emk_scope bits of a service or operator */
    int64_t clock_skew_s;      /* what a device's clock is ahead: a hint, decides nothing here */
} emk_principal;

/* Static, for logs: "device+user". */
const char *emk_principal_kind_name(emk_principal_kind kind);
/* Bits from "seal publish"; EMK_E_FORMAT for a word that is none, where = its offset. */
emk_status emk_scopes_parse(emk_span text, uint64_t *out, emk_error *e) EMK_MUST_CHECK;
/* Static name of one bit, NULL when it is none. */
const char *emk_scope_name(emk_scope one);

#endif
