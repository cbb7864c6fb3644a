/* Refusals as clients see them: application/problem+json with a stable type.  [RFC 9457]
 * The gate's own are in server/gate/problem.h; these are the API's.  The list, with what a
 * client can do about each, is docs/spec/http.md. */
#ifndef EMK_SERVER_API_PROBLEM_H
#define EMK_SERVER_API_PROBLEM_H

#include "server/api/http.h"
#include "server/api/json_in.h"

typedef enum emk_api_problem {
    EMK_API_BAD_REQUEST,         /* 400: not HTTP as we take it */
    EMK_API_INVALID_BODY,        /* 400: JSON or one of its fields */
    EMK_API_INVALID_QUERY,       /* 400 */
    EMK_API_INVALID_OBJECT,      /* 422: a signed object that does not verify */
    EMK_API_INVALID_MODEL,       /* 422: a model that is not what its format wants */
    EMK_API_POLICY,              /* 403: well-formed, and not allowed */
    EMK_API_NOT_FOUND,           /* 404 */
    EMK_API_NO_METHOD,           /* 405 */
    EMK_API_TIMEOUT,             /* 408: the body came too slowly */
    EMK_API_CONFLICT,            /* 409: exists already, or changed meanwhile */
    EMK_API_USED,                /* 409: good for one use, and used */
    EMK_API_GONE,                /* 410: was there, its time is over */
    EMK_API_LENGTH_REQUIRED,     /* 411 */
    EMK_API_TOO_LARGE,           /* 413 */
    EMK_API_BAD_RANGE,           /* 416 */
    EMK_API_URI_TOO_LONG,        /* 414 */
    EMK_API_BAD_TYPE,            /* 415 */
    EMK_API_IDEMPOTENCY_REUSED,  /* 422: the key came before with another request */
    EMK_API_IDEMPOTENCY_RUNNING, /* 409: the same request is being answered right now */
    EMK_API_INTERNAL,            /* 500 */
    EMK_API_UNSUPPORTED,         /* 501: not by this build */
    EMK_API_UNAVAILABLE,         /* 503: something this hangs on is not there; try again */
    EMK_API_DRAINING,            /* 503: this server is going down; another one is not */
    EMK_API_NO_STORAGE,          /* 507: no room for what was sent */
    EMK_API_PROBLEMS
} emk_api_problem;

/* Static: "/problems/not-found", its HTTP status, and its title. */
const char *emk_api_problem_uri(emk_api_problem p);
unsigned emk_api_problem_status(emk_api_problem p);
const char *emk_api_problem_title(emk_api_problem p);

/* Answers with it, replacing any answer before.  detail is static text for people, or NULL.
 * Cannot fail: where memory is short the answer has no body. */
void emk_problem_set(emk_call *call, emk_api_problem p, const char *detail);
/* INVALID_BODY, naming the field. */
void emk_problem_set_field(emk_call *call, const emk_json_complaint *why);
/* A condition that is not met: its number and what is asked for. */
typedef struct emk_problem_failure {
    const char *condition;
    bool at_most; /* needs is an upper bound, else a lower one */
    uint64_t is, needs;
} emk_problem_failure;
/* CONFLICT, naming the conditions. */
void emk_problem_set_failed(emk_call *call, const char *detail, const emk_problem_failure *failed,
                            size_t n);
/* The problem that fits a handler's status. */
emk_api_problem emk_problem_of_status(emk_status st);
/* The status of reading a client's signed object.  Of what this server does not know (a kind of
 * value, an algorithm) the object is at fault, not the server: EMK_E_FORMAT instead of
 * EMK_E_UNSUPPORTED. */
emk_status emk_problem_object_status(emk_status st) EMK_MUST_CHECK;
/* Answers with what the gate decided, its header lines included. */
void emk_problem_set_gate(emk_call *call);
/* Adds a Retry-After line. */
void emk_problem_retry_after(emk_call *call, uint32_t seconds);

#endif
