/* What lies between the HTTP library and the routes: a call with its request, its body, its
 * response, and the row of the route table that it met.  Nothing here knows the library; tests
 * make calls by hand.
 *
 * The life of a call.  The event loop parses the head, finds the row, and refuses at once what
 * the row does not allow (method, content type, length).  Then
 *   - a row without flags: the body is read into memory, up to row->body_max, and the handler
 *     runs on a worker thread, where it may wait (for the disk, the keyholder, a group commit);
 *   - EMK_ROUTE_STREAM: the handler runs at once, on a worker, and pulls the body with
 *     emk_call_read; what was not pulled when it returns is thrown away with the connection;
 *   - EMK_ROUTE_INLINE: the handler runs on the event loop.  It must never wait.
 * Before the handler the gate has said yes: call->who says to whom.
 *
 * A handler fills call->response and returns EMK_OK; emk_problem_set (problem.h) does that for
 * refusals.  A status that it returns instead becomes the problem that fits it, without detail.
 *
 * Spans of a call live until it ends.  A call is used by one thread at a time. */
#ifndef EMK_SERVER_API_HTTP_H
#define EMK_SERVER_API_HTTP_H

#include "core/crypto/hash.h"
#include "server/api/arena.h"
#include "server/gate/gate.h"

#include <stdbool.h>

#define EMK_HTTP_HEAD_MAX     16384u /* bytes of request line and header lines */
#define EMK_HTTP_PARAMS_MAX   4u     /* {names} in a path pattern */
#define EMK_HTTP_REPLY_FIELDS 24u    /* header lines that a handler may add */
#define EMK_HTTP_BODY_DEFAULT 65536u /* bytes of a JSON body */
#define EMK_HTTP_NO_LENGTH    UINT64_MAX
#define EMK_CALL_ARENA_MAX    ((size_t)256 * 1024)
#define EMK_CALL_ID_CHARS     22u /* base64url of 16 random bytes */

typedef enum emk_http_method {
    EMK_HTTP_GET,
    EMK_HTTP_HEAD,
    EMK_HTTP_POST,
    EMK_HTTP_PUT,
    EMK_HTTP_DELETE,
    EMK_HTTP_OPTIONS,
    EMK_HTTP_OTHER
} emk_http_method;

/* Fills out with up to cap (> 0) bytes; *n = 0 is the end.  Called on the event loop: it may read a
 * file, it must not wait for anybody.  Any failure breaks the connection, so that the client
 * sees a body cut short, never one that looks whole. */
typedef emk_status (*emk_http_produce_fn)(void *self, uint8_t *out, size_t cap, size_t *n,
                                          emk_error *e);

/* A body that is not in memory: a range of a file, or what a function makes while it is sent. */
typedef struct emk_http_source {
    int fd; /* -1: produce; lent until `done` */
    uint64_t from;
    emk_http_produce_fn produce;
    uint64_t length;          /* EMK_HTTP_NO_LENGTH for a producer that does not know */
    void (*done)(void *self); /* called once, whatever happened; may be NULL */
    void *self;
} emk_http_source;

typedef struct emk_http_response {
    unsigned status; /* 200 .. 599; 0: nothing was answered yet */
    emk_http_field fields[EMK_HTTP_REPLY_FIELDS];
    size_t n_fields;
    emk_span bytes;         /* arena or static; when there is no source */
    emk_http_source source; /* has_source */
    bool has_source;
    /* Called once when the response went out whole, or did not; may be NULL.  For blobs that
     * are deleted after a complete delivery.  On the event loop. */
    void (*sent)(void *self, bool whole);
    void *sent_self;
} emk_http_response;

struct emk_api;
struct emk_route;

typedef struct emk_call {
    struct emk_api *api;
    const struct emk_route *route; /* NULL: no row was met */
    emk_gate_request request;
    emk_http_method method;
    uint64_t content_length;              /* EMK_HTTP_NO_LENGTH: not said (chunked, or no body) */
    emk_span params[EMK_HTTP_PARAMS_MAX]; /* what the {names} of the pattern met, in its order;
                                           * decoded: [A-Za-z0-9._~-] and nothing else */
    emk_span body;                        /* whole, of a row that is not streamed */
    emk_http_response response;
    emk_span kept; /* what an Idempotency-Key gets again instead of the response's bytes, where
                    * those have a secret; empty: those */
    emk_arena arena;
    char id[EMK_CALL_ID_CHARS + 1]; /* names this request in the log and in problems */
    emk_span traceparent;           /* W3C, checked; empty: none came */
    emk_gate_decision gate;         /* who it is: gate.who; nothing before the gate was asked */
    bool gate_asked;                /* gate has to be given back */
    char decision[EMK_CALL_ID_CHARS + 1]; /* of the fraud engine, for support; empty: none */
    emk_error error;                      /* what the handler's status meant, for the log */
    /* Private from here: the daemon's side. */
    emk_sha256_ctx *body_hash; /* of a streamed body under a signed digest */
    bool body_over;
    emk_status (*read)(void *self, uint8_t *out, size_t cap, size_t *n, emk_error *e);
    void *read_self;
} emk_call;

typedef emk_status (*emk_handler)(emk_call *call, emk_error *e);

typedef enum emk_route_flags {
    EMK_ROUTE_STREAM = 1,
    EMK_ROUTE_INLINE = 2,
    EMK_ROUTE_INTERNAL = 4, /* of the internal listener only: the gate is not asked */
    EMK_ROUTE_REPEATS = 8   /* an operator's, and an Idempotency-Key is not looked at: it changes
                             * nothing, or its answer is not to be kept */
} emk_route_flags;

typedef struct emk_route {
    emk_http_method method;   /* HEAD is answered by GET's row, OPTIONS by the frame */
    const char *path;         /* "/v1/devices/{id}/attestations" */
    const char *content_type; /* what a body must be; NULL: no body allowed */
    uint64_t body_max;        /* bytes */
    unsigned flags;           /* emk_route_flags */
    emk_gate_rule gate;       /* its name is the operationId of the OpenAPI document too */
    emk_handler handle;
} emk_route;

/* A call that has nothing yet; end with emk_call_done. */
void emk_call_init(emk_call *call, struct emk_api *api);
/* Frees what it holds, response included. */
void emk_call_done(emk_call *call);

/* The decoded value of a query parameter; false when it is absent, comes twice or is malformed.
 * Lent from the arena. */
bool emk_call_query(emk_call *call, const char *name, emk_span *out);

/* The next bytes of a streamed body; *n = 0 is its end.  Waits.  EMK_E_LIMIT beyond body_max,
 * EMK_E_IO when the client went away or was too slow, EMK_E_SIGNATURE at the end when the body is
 * not the one that the device signed: no effect before the end was seen. */
emk_status emk_call_read(emk_call *call, uint8_t *out, size_t cap, size_t *n,
                         emk_error *e) EMK_MUST_CHECK;

/* Answers.  Each replaces what was answered before, header lines stay.  `bytes` is lent until the
 * call ends: arena or static. */
void emk_reply_empty(emk_call *call, unsigned status);
void emk_reply_bytes(emk_call *call, unsigned status, const char *content_type, emk_span bytes);
/* Takes the source: its done is called once. */
void emk_reply_source(emk_call *call, unsigned status, const char *content_type,
                      const emk_http_source *source);

/* Adds a header line.  The name is static; the value is lent until the call ends, and one with
 * a control character is EMK_E_USAGE: nobody splits a response.  EMK_E_LIMIT when there are
 * EMK_HTTP_REPLY_FIELDS. */
emk_status emk_reply_field(emk_call *call, const char *name, emk_span value,
                           emk_error *e) EMK_MUST_CHECK;

#endif
