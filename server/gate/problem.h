/* What a refusal says: outwards a problem type [RFC 9457], inwards a reason.
 *
 * Many reasons share one type, so that an answer does not tell an attacker which lock held:
 * the table in problem.c is the whole of what the outside can tell apart. */
#ifndef EMK_SERVER_GATE_PROBLEM_H
#define EMK_SERVER_GATE_PROBLEM_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_DECISION_ID_LEN       22u  /* characters: 16 random bytes as base64url */
#define EMK_GATE_PROBLEM_BODY_MAX 512u /* bytes with a zero */
#define EMK_GATE_REQUEST_MAX      64u  /* characters of a request's name */

typedef enum emk_gate_problem_type {
    EMK_GATE_PROBLEM_NONE,
    EMK_GATE_PROBLEM_BAD_REQUEST,        /* 400 */
    EMK_GATE_PROBLEM_UNAUTHENTICATED,    /* 401: show who you are */
    EMK_GATE_PROBLEM_USE_NONCE,          /* 401: again, with the nonce in this answer */
    EMK_GATE_PROBLEM_STEP_UP,            /* 401: an operator must log in again */
    EMK_GATE_PROBLEM_FORBIDDEN,          /* 403 */
    EMK_GATE_PROBLEM_DEVICE_REVOKED,     /* 403: told only to who proved to be that device */
    EMK_GATE_PROBLEM_DEVICE_EXPIRED,     /* 403: likewise; attest again */
    EMK_GATE_PROBLEM_CHALLENGE_REQUIRED, /* 403 */
    EMK_GATE_PROBLEM_QUOTA_EXCEEDED,     /* 429 */
    EMK_GATE_PROBLEM_REDUCED_CAPACITY,   /* 503: temporary */
    EMK_GATE_PROBLEM_ABNORMAL_USAGE,     /* 429 */
    EMK_GATE_PROBLEM_UNAVAILABLE,        /* 503: something this answer hangs on is not there */
    EMK_GATE_PROBLEM_DIGEST,             /* 400: the body is not the one that was signed */
    EMK_GATE_PROBLEM_TYPES
} emk_gate_problem_type;

typedef enum emk_gate_reason {
    EMK_GATE_PASSED,
    EMK_GATE_BAD_REQUEST,       /* shape: too many fields, a field twice, no authority */
    EMK_GATE_WALL_DENY,         /* firewall */
    EMK_GATE_WALL_CHALLENGE,    /* likewise: a device without attestation */
    EMK_GATE_NO_CREDENTIALS,    /* none at all */
    EMK_GATE_MIXED_CREDENTIALS, /* two that exclude each other */
    EMK_GATE_BAD_CREDENTIALS,   /* Authorization is not one of ours */
    EMK_GATE_TOKEN_FORMAT,      /* not a JWT, or one of a kind never taken */
    EMK_GATE_TOKEN_CLAIMS,      /* iss, aud, exp, nbf, lifetime, typ */
    EMK_GATE_TOKEN_KEY,         /* no key for it */
    EMK_GATE_TOKEN_SIGNATURE,
    EMK_GATE_TOKEN_BINDING, /* cnf.jkt names another key */
    EMK_GATE_SIGNATURE_FORMAT,
    EMK_GATE_SIGNATURE_COMPONENTS, /* not the exact set */
    EMK_GATE_SIGNATURE_BAD,
    EMK_GATE_DIGEST_BAD, /* content-digest and body differ */
    EMK_GATE_NONCE_MISSING,
    EMK_GATE_NONCE_STALE,
    EMK_GATE_REPLAYED,
    EMK_GATE_DEVICE_UNKNOWN,
    EMK_GATE_DEVICE_REVOKED,
    EMK_GATE_DEVICE_EXPIRED,
    EMK_GATE_DEVICE_OF_ANOTHER, /* enrolled by another user */
    EMK_GATE_SERVICE_BAD,       /* unknown, revoked, over, wrong secret */
    EMK_GATE_SESSION_BAD,
    EMK_GATE_NOT_ADMITTED, /* credentials of a kind that this route does not take */
    EMK_GATE_SCOPE_MISSING,
    EMK_GATE_STEP_UP_MISSING,
    EMK_GATE_LIMITED,
    EMK_GATE_CONCURRENCY,
    EMK_GATE_SHED,             /* overload */
    EMK_GATE_KEYS_UNAVAILABLE, /* token keys: none yet, or too old */
    EMK_GATE_COUNTERS_FAILED,
    EMK_GATE_DIRECTORY_FAILED,
    EMK_GATE_INTERNAL,
    EMK_GATE_CERTIFICATE_BAD,     /* of TLS: of nobody we trust, or over */
    EMK_GATE_CERTIFICATE_MISSING, /* the configuration wants one of this kind of principal */
    EMK_GATE_REASONS
} emk_gate_reason;

/* Static: "replayed". */
const char *emk_gate_reason_name(emk_gate_reason reason);
/* What the outside is told of it. */
emk_gate_problem_type emk_gate_reason_type(emk_gate_reason reason);

/* Static: the URI reference, and the status of the answer. */
const char *emk_gate_problem_uri(emk_gate_problem_type type);
uint16_t emk_gate_problem_status(emk_gate_problem_type type);

/* One answer. */
typedef struct emk_gate_problem {
    emk_gate_problem_type type;
    const char *request;        /* names it in the log; NULL: none */
    const char *decision;       /* id; NULL: none */
    const char *quota_policies; /* names of limits, for the two 429 types; NULL: none */
} emk_gate_problem;

/* Fills out with the JSON of it and a zero, and *len without it.  EMK_E_LIMIT when cap is below
 * EMK_GATE_PROBLEM_BODY_MAX, or a name is too long. */
emk_status emk_gate_problem_write(const emk_gate_problem *p, char *out, size_t cap, size_t *len,
                                  emk_error *e) EMK_MUST_CHECK;

#endif
