/* The HTTP server: libmicrohttpd under our limits.  http.c is the only file that knows it.
 *
 * Connections are read and written by a few event threads; handlers run on workers, while their
 * connection is suspended, or on the event thread when their row is INLINE.  A reaper looks at all
 * connections twice a second and breaks those whose time is over: for the head, the body, the
 * answer, or doing nothing.  Time for bodies and answers grows with their length, so what is asked
 * of a client is a least rate, and dripping bytes does not keep a place. */
#ifndef EMK_SERVER_DAEMON_HTTP_H
#define EMK_SERVER_DAEMON_HTTP_H

#include "server/api/frame.h"

typedef struct emk_http_limits {
    uint32_t threads;          /* event threads, 1..16 */
    uint32_t workers;          /* 1..64 */
    uint32_t streams;          /* bodies pulled at once; below workers */
    uint32_t connections;      /* in all */
    uint32_t connections_net;  /* of one /24 or /64, trusted proxies excepted */
    uint32_t head_s;           /* from the first byte to the end of the head */
    uint32_t idle_s;           /* between two requests */
    uint32_t body_s, answer_s; /* what a body or an answer may take beside its length ... */
    uint32_t least_rate;       /* ... at so many bytes a second */
} emk_http_limits;

typedef struct emk_http_config {
    emk_api *api; /* kept, like all of it */
    const emk_router *router;
    int fd;                                /* listening; stays the caller's */
    const char *tls_certificate, *tls_key; /* PEM texts; NULL: no TLS */
    const char *tls_clients; /* PEM: who signs clients' certificates; NULL: none are asked for */
    const emk_trusted_proxies *proxies; /* NULL: none */
    emk_http_limits limits;
    bool counts; /* requests go into the metrics and the log */
} emk_http_config;

typedef struct emk_http_server emk_http_server;

/* Starts it; end with emk_http_stop.  EMK_E_USAGE for limits that contradict each other;
 * EMK_E_UNSUPPORTED when TLS was asked for and the library has none; EMK_E_IO, EMK_E_NO_MEMORY. */
emk_status emk_http_start(const emk_http_config *config, emk_http_server **out,
                          emk_error *e) EMK_MUST_CHECK;

/* No new connections from now on; requests that were taken go on, others are answered 503.  The
 * listening socket is free for another server. */
void emk_http_drain(emk_http_server *s);
/* The same, but who is connected is served until the connection ends, which each answer asks for:
 * another server has taken over. */
void emk_http_retire(emk_http_server *s);
/* Requests that are at work. */
uint64_t emk_http_busy(const emk_http_server *s);
/* Requests that were taken and whose answer is not sent whole: a body that comes in, a handler at
 * work, a download that goes out. */
uint64_t emk_http_unanswered(const emk_http_server *s);
/* Connections that are open, that were refused (too many of one net), that were too slow. */
uint64_t emk_http_connections(const emk_http_server *s);
uint64_t emk_http_refused(const emk_http_server *s);
uint64_t emk_http_timed_out(const emk_http_server *s);
/* Breaks what is left and frees it.  NULL is fine. */
void emk_http_stop(emk_http_server *s);

/* Adds the families that all servers of this process share.  Once. */
emk_status emk_http_metrics_add(emk_api *api, const emk_router *router,
                                emk_error *e) EMK_MUST_CHECK;

#endif
