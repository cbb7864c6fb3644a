/* One HTTP request, for what the command line fetches and sends and for a server's webhooks.
 * fetch.c is the only file that knows libcurl; a build without it answers EMK_E_UNSUPPORTED.
 *
 * https only unless the caller says otherwise; certificates by the system's store; no redirects,
 * unless allowed, and then only to https; limits on size and time always.  Proxies come from the
 * environment, as with curl. */
#ifndef EMK_CORE_FETCH_FETCH_H
#define EMK_CORE_FETCH_FETCH_H

#include "core/base/buf.h"

#include <stdbool.h>

#define EMK_FETCH_HEADERS_MAX 32u
#define EMK_FETCH_CONNECT_S   10u
#define EMK_FETCH_TIMEOUT_S   60u   /* whole request, where body sizes are small */
#define EMK_FETCH_LOW_SPEED   1024u /* bytes a second, below which for 30 s it is given up */
#define EMK_FETCH_RETRIES_MAX 8u
#define EMK_FETCH_WHERE       10000u /* where = this and libcurl's number, for EMK_E_IO */
#define EMK_FETCH_WANT_MAX    8u     /* fields of an answer that a caller looks at */
#define EMK_FETCH_FIELD_CAP   512u   /* bytes of one of them, with a zero; a longer one is absent */

/* Where a large body comes from, and goes to: called in order; a failure ends the request. */
typedef emk_status (*emk_fetch_read_fn)(void *self, uint8_t *out, size_t cap, size_t *len,
                                        emk_error *e);
typedef emk_status (*emk_fetch_write_fn)(void *self, emk_span bytes, emk_error *e);
/* Starts the body again, for a retry. */
typedef emk_status (*emk_fetch_rewind_fn)(void *self, emk_error *e);
/* Bytes so far and in all (0: not known); false ends the request. */
typedef bool (*emk_fetch_progress_fn)(void *self, uint64_t done, uint64_t all);
/* Whether a request may go to this address (4 or 16 bytes in network order), asked of each one that
 * a name resolved to before it is connected to, and of those of redirects: a name that points
 * inside is found out whatever it pointed to before, and nothing inside sees as much as a SYN. */
typedef bool (*emk_fetch_address_fn)(void *self, emk_span address);

typedef struct emk_fetch_request {
    const char *method; /* "GET" and so on */
    const char *url;
    const char *const *headers; /* "Name: value"; NULL ends them; NULL: none */
    emk_span body;              /* small; or: */
    emk_fetch_read_fn read;     /* of body_len bytes */
    emk_fetch_rewind_fn rewind; /* NULL: no retry once it has begun */
    void *read_self;
    uint64_t body_len;
    emk_fetch_write_fn write; /* gets the body of a 2xx; NULL, and other answers: response.body */
    void *write_self;
    emk_fetch_progress_fn progress; /* NULL: nobody asks */
    void *progress_self;
    size_t max_response; /* bytes; required */
    unsigned timeout_s;  /* 0: EMK_FETCH_TIMEOUT_S; of a streamed body only the low speed counts */
    unsigned retries;    /* after failures of the network, 429 and 5xx; with pauses and jitter */
    const char *ca_file; /* PEM instead of the system's store; NULL: that */
    const char *pin;     /* "sha256//<base64>" of the server's public key; NULL: any */
    const char *const *want; /* names of the answer's fields to keep; NULL ends them; NULL: none */
    const char *unix_socket; /* NULL: TCP */
    emk_fetch_address_fn address; /* NULL: any */
    void *address_self;
    bool no_proxy;   /* whatever the environment says: `address` must see the server's own */
    bool allow_http; /* plain http: for localhost and tests */
    bool allow_redirects;
} emk_fetch_request;

typedef struct emk_fetch_response {
    unsigned code;          /* 200 and so on */
    emk_buf body;           /* the caller sets it up and frees it; unused with write */
    uint64_t retry_after_s; /* 0: not said */
    char content_type[128];
    char field[EMK_FETCH_WANT_MAX][EMK_FETCH_FIELD_CAP]; /* by request.want; "": absent */
} emk_fetch_response;

/* Runs it.  Any answer of the server is EMK_OK: look at code.  All of the response but its body is
 * there when `write` is called first.  EMK_E_UNSUPPORTED without libcurl;
 * EMK_E_USAGE for a URL or scheme that is not allowed; EMK_E_LIMIT for an answer too large;
 * EMK_E_POLICY when `address` said
 * no to all there were; EMK_E_SIGNATURE when the server's certificate is not trusted or its key not
 * the pinned one; EMK_E_IO for the network (where = EMK_FETCH_WHERE and libcurl's number);
 * EMK_E_NO_MEMORY; what the functions say.  After a failure bytes may have been written. */
emk_status emk_fetch_run(const emk_fetch_request *request, emk_fetch_response *response,
                         emk_error *e) EMK_MUST_CHECK;

/* Waits before try number `attempt` (from 1): longer each time, never shorter than what the server
 * asked for (0: nothing), at most half a minute, and a little different each time. */
void emk_fetch_pause(unsigned attempt, uint64_t asked_s);

#endif
