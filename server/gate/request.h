/* What the gate needs to know of an HTTP request, whatever library read it.
 *
 * Everything is borrowed for the call.  Nothing in it is believed: the method and the path are
 * what the request line said, the names of fields are in lower case, values are without the
 * white space around them, and fields that came several times stand several times in order of
 * arrival.  A field with obs-fold must have been refused before.  [RFC 9110 5] [RFC 9112 5.2] */
#ifndef EMK_SERVER_GATE_REQUEST_H
#define EMK_SERVER_GATE_REQUEST_H

#include "server/gate/address.h"

#define EMK_REQUEST_FIELDS_MAX 64u   /* header fields that are looked at; more is refused */
#define EMK_REQUEST_VALUE_MAX  8192u /* bytes of one value that gate may have to read */
#define EMK_REQUEST_TARGET_MAX 4096u /* bytes of path and query together */
#define EMK_REQUEST_HOST_MAX   256u  /* bytes of the authority */

typedef struct emk_http_field {
    emk_span name; /* lower case */
    emk_span value;
} emk_http_field;

typedef struct emk_gate_request {
    emk_span method;    /* "POST" */
    emk_span scheme;    /* "https" or "http": decides which port is the default one */
    emk_span authority; /* Host or :authority as sent */
    emk_span path;      /* raw, not decoded, from the first '/' */
    emk_span query;     /* raw, without the '?'; see has_query */
    bool has_query;     /* there was a '?' */
    const emk_http_field *fields;
    size_t n_fields;
    emk_address peer; /* other end of the connection, or what PROXY said of it */
    uint16_t peer_port;
    emk_span tls_client_der;    /* certificate the TLS layer has VERIFIED; empty: none */
    bool tls_client_bad;        /* one was shown that is not good */
    const uint8_t *body_sha256; /* 32 bytes when the body is here already; else NULL */
    bool admitted;              /* emk_gate_admit let its body come: it is not shed any more */
    uint64_t now_s;             /* arrival, seconds since 1970 */
    uint64_t now_ns;            /* arrival, by emk_os_monotonic_ns */
} emk_gate_request;

/* How often a field came; *value lends the last one (may be NULL). */
size_t emk_request_count(const emk_gate_request *rq, const char *name, emk_span *value);

/* Lends the value of a field that may come once at most: false when it is absent or came twice.
 * Whoever must tell these two apart asks emk_request_count. */
bool emk_request_only(const emk_gate_request *rq, const char *name, emk_span *value);

/* Lends the authority without the port that its scheme has anyway; the case is as it came. */
emk_span emk_request_authority(const emk_gate_request *rq);

#endif
