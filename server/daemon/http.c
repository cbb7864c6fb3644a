/* HTTP by libmicrohttpd.
 *
 * State: an exchange for each request, hung on its connection.  Who may touch it:
 *   event thread   from the request line to the answer, but not while `held`
 *   worker         from the push of its job until it sets `done`
 * What both touch (ring, flags) is under server->lock.  A connection is suspended when its exchange
 * waits for a worker, or its ring is full; whoever ends the wait resumes it.  An exchange that is
 * streamed is not suspended while its worker reads, so the client may be gone before the worker is
 * done: `users` counts, the last one frees. */
#include "server/daemon/http.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "core/crypto/random.h"
#include "server/daemon/conns.h"
#include "server/daemon/log.h"
#include "server/daemon/os_net.h"
#include "server/daemon/tls.h"
#include "server/daemon/workers.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S      UINT64_C(1000000000)
#define POOL_BYTES    ((size_t)EMK_HTTP_HEAD_MAX) /* a connection's memory: its head must fit */
#define POOL_STEP     ((size_t)2048)
#define RING_BYTES    262144u
#define SLACK_BYTES   1048576u /* of a body refused too late to stop it: read and thrown away */
#define BLOCK_BYTES   65536u
#define AT_ONCE_BYTES 8192u /* of a body that comes with its head, or right behind it */
#define TLS_PRIORITY  "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"
#define DRAIN_TICK_NS UINT64_C(5000000)

typedef enum exchange_state {
    EX_HEAD,    /* nothing seen but the request line */
    EX_BODY,    /* reading it into memory */
    EX_STREAM,  /* a worker pulls it */
    EX_WAIT,    /* suspended while a worker runs; or refused, and the head is all there is */
    EX_ANSWERED /* it was queued */
} exchange_state;

typedef struct ring {
    uint8_t *p; /* RING_BYTES */
    size_t from, n;
    bool ended, aborted, too_long;
} ring;

struct emk_http_server;

typedef struct exchange {
    emk_call call;
    struct emk_http_server *server;
    struct MHD_Connection *connection;
    emk_conn *conn;
    exchange_state state;
    unsigned users;
    bool taken; /* counted in the server's `taken` */
    bool suspended;
    bool done; /* the worker has finished; under the lock */
    emk_job job;
    emk_buf body;
    uint64_t body_seen;
    uint64_t thrown; /* bytes of a body that nobody wanted any more */
    uint64_t bytes_out;
    ring ring;
    emk_span target;
} exchange;

struct emk_http_server {
    emk_http_config config;
    struct MHD_Daemon *mhd;
    emk_conns *conns;
    emk_workers *workers;
    emk_lock *lock;
    atomic_bool draining, retiring;
    bool stopping; /* under the lock: no worker is started any more */
    _Atomic uint64_t busy, streams;
    _Atomic uint64_t taken; /* requests that were not refused, until their answer is sent */
};

/* ---- metrics, shared by all servers of the process ---- */

#define NAMES_MAX (EMK_ROUTER_ROUTES_MAX + 1)

static struct {
    emk_metric *requests, *seconds, *in, *out;
    const char *names[NAMES_MAX];
    size_t n;
    const emk_router *router;
} counted; /* filled once at start, before any server */

static const char *const CLASSES[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
static const uint64_t SECONDS[] = {500000,    1000000,    2500000,    5000000,
                                   10000000,  25000000,   50000000,   100000000,
                                   250000000, 1000000000, 5000000000, 30000000000};

emk_status emk_http_metrics_add(emk_api *api, const emk_router *router, emk_error *e)
{
    emk_metric_label route = {"route", counted.names, router->n + 1};
    emk_metric_def requests = {"earmark_http_requests_total",
                               "Requests answered",
                               EMK_METRIC_COUNTER,
                               {route, {"status", CLASSES, 5}},
                               0,
                               NULL,
                               0};
    emk_metric_def seconds = {"earmark_http_request_seconds",
                              "From the head to the answer",
                              EMK_METRIC_HISTOGRAM,
                              {route, {NULL, NULL, 0}},
                              NS_PER_S,
                              SECONDS,
                              sizeof SECONDS / sizeof *SECONDS};
    emk_metric_def in = {"earmark_http_request_bytes_total",
                         "Bytes of bodies read",
                         EMK_METRIC_COUNTER,
                         {route, {NULL, NULL, 0}},
                         0,
                         NULL,
                         0};
    emk_metric_def out = {"earmark_http_response_bytes_total",
                          "Bytes of bodies answered",
                          EMK_METRIC_COUNTER,
                          {route, {NULL, NULL, 0}},
                          0,
                          NULL,
                          0};
    emk_status st;

    counted.router = router;
    for (size_t i = 0; i < router->n; i++)
        counted.names[i] = router->rows[i]->gate.name;
    counted.names[router->n] = "none";
    counted.n = router->n + 1;
    st = emk_metrics_add(api->metrics, &requests, &counted.requests, e);
    if (st == EMK_OK)
        st = emk_metrics_add(api->metrics, &seconds, &counted.seconds, e);
    if (st == EMK_OK)
        st = emk_metrics_add(api->metrics, &in, &counted.in, e);
    if (st == EMK_OK)
        st = emk_metrics_add(api->metrics, &out, &counted.out, e);
    return st;
}

static size_t route_place(const emk_route *route)
{
    for (size_t i = 0; route && i < counted.router->n; i++)
        if (counted.router->rows[i] == route)
            return i;
    return counted.n - 1;
}

static void count_exchange(const exchange *x, const char *ended)
{
    emk_log_call facts = {.status = x->call.response.status,
                          .bytes_in = x->body_seen,
                          .bytes_out = x->bytes_out,
                          .duration_ns = emk_os_monotonic_ns() - x->call.request.now_ns,
                          .ended = ended};
    size_t route;

    if (!x->server->config.counts || x->state == EX_HEAD)
        return;
    route = route_place(x->call.route);
    if (facts.status >= 100 && facts.status < 600)
        emk_metric_count(counted.requests, route, facts.status / 100 - 1, 1);
    emk_metric_observe(counted.seconds, route, 0, facts.duration_ns);
    emk_metric_count(counted.in, route, 0, facts.bytes_in);
    emk_metric_count(counted.out, route, 0, facts.bytes_out);
    emk_log_call_write(&x->call, &facts);
}

/* ---- exchanges ---- */

static exchange *exchange_new(emk_http_server *s, struct MHD_Connection *c, const char *target)
{
    exchange *x = emk_alloc(1, sizeof *x);
    emk_error ignored;

    if (!x)
        return NULL;
    emk_call_init(&x->call, s->config.api);
    x->server = s;
    x->connection = c;
    x->users = 1;
    emk_buf_init(&x->body, 0);
    /* The library cuts the query off its own copy and decodes the path: ours stays raw. */
    if (emk_arena_copy(&x->call.arena, emk_span_str(target), &x->target, &ignored) != EMK_OK) {
        emk_call_done(&x->call);
        emk_free(x);
        return NULL;
    }
    return x;
}

static void exchange_drop(exchange *x)
{
    emk_http_server *s = x->server;
    bool last;

    emk_lock_take(s->lock);
    last = --x->users == 0;
    emk_lock_give(s->lock);
    if (!last)
        return;
    emk_frame_close(&x->call);
    emk_call_done(&x->call);
    emk_buf_done(&x->body);
    emk_free(x->ring.p);
    emk_free(x);
}

static uint64_t rate_ns(const emk_http_limits *l, uint64_t bytes)
{
    return bytes / l->least_rate >= UINT32_MAX ? UINT64_MAX / 4
                                               : bytes * 1000 / l->least_rate * 1000000;
}

/* ---- the head ---- */

typedef struct heads {
    exchange *x;
    emk_http_field *fields;
    size_t n;
    bool bad;
} heads;

static bool copy_field(heads *h, emk_span name, emk_span value)
{
    emk_arena *a = &h->x->call.arena;
    emk_http_field *f = &h->fields[h->n];
    emk_error ignored;
    uint8_t *lower = emk_arena_take(a, name.len + 1);

    if (!lower || emk_arena_copy(a, value, &f->value, &ignored) != EMK_OK)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];

        lower[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
    }
    f->name = emk_span_of(lower, name.len);
    h->n++;
    return true;
}

/* Token characters of a name [RFC 9110 5.6.2]; no control characters in a value. */
static bool field_is_sound(emk_span name, emk_span value)
{
    static const char more[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c != 0 && strchr(more, c))))
            return false;
    }
    for (size_t i = 0; i < value.len; i++)
        if ((value.p[i] < 0x20 && value.p[i] != '\t') || value.p[i] == 0x7F)
            return false;
    return name.len > 0;
}

static enum MHD_Result take_field(void *self, enum MHD_ValueKind kind, const char *name,
                                  size_t name_len, const char *value, size_t value_len)
{
    heads *h = self;
    emk_span n = emk_span_of(name, name_len), v = emk_span_of(value, value ? value_len : 0);

    (void)kind;
    if (h->n == EMK_REQUEST_FIELDS_MAX || !field_is_sound(n, v) || !copy_field(h, n, v)) {
        h->bad = true;
        return MHD_NO;
    }
    return MHD_YES;
}

static bool parse_length(emk_span s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.len == 0 || s.len > 18)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = v;
    return true;
}

/* One length at most, said in one way; one host.  What two parsers could read in two ways is not
 * read at all.  [RFC 9112 6.3] [RFC 9112 3.2] */
static bool framing_is_sound(exchange *x, const char *version)
{
    const emk_gate_request *rq = &x->call.request;
    emk_span length = {0}, coding = {0};
    size_t lengths = emk_request_count(rq, "content-length", &length);
    size_t codings = emk_request_count(rq, "transfer-encoding", &coding);
    bool old = strcmp(version, "HTTP/1.0") == 0;

    if (!old && strcmp(version, "HTTP/1.1") != 0)
        return false;
    if (lengths > 1 || codings > 1 || (lengths && codings) || (codings && old))
        return false;
    if (codings && !emk_span_equal(coding, emk_span_str("chunked")))
        return false;
    if (lengths && !parse_length(length, &x->call.content_length))
        return false;
    return emk_request_count(rq, "host", NULL) ==
           (old ? emk_request_count(rq, "host", NULL) > 0 : 1);
}

/* A client's certificate counts when somebody is named who signs them. */
static bool take_certificate(exchange *x)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    emk_gate_request *rq = &x->call.request;
    emk_error ignored;
    emk_span der;

    if (!x->server->config.tls_clients || !info)
        return true;
    rq->tls_client_bad = emk_tls_client_certificate(info->tls_session, &der) == EMK_TLS_CLIENT_BAD;
    return emk_arena_copy(&x->call.arena, der, &rq->tls_client_der, &ignored) == EMK_OK;
}

static void split_target(emk_gate_request *rq, emk_span target)
{
    const uint8_t *q = target.len ? memchr(target.p, '?', target.len) : NULL;
    size_t path = q ? (size_t)(q - target.p) : target.len;

    rq->path = emk_span_of(target.p, path);
    rq->has_query = q != NULL;
    rq->query = q ? emk_span_of(q + 1, target.len - path - 1) : emk_span_of(NULL, 0);
}

static bool fill_request(exchange *x, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *peer =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    emk_gate_request *rq = &x->call.request;
    heads h = {.x = x};
    emk_error ignored;

    rq->now_ns = emk_os_monotonic_ns();
    rq->now_s = emk_api_now(x->call.api);
    rq->scheme = emk_span_str(x->server->config.tls_certificate ? "https" : "http");
    rq->peer = emk_net_peer(peer ? peer->client_addr : NULL, &rq->peer_port);
    split_target(rq, x->target);
    h.fields = emk_arena_take(&x->call.arena, EMK_REQUEST_FIELDS_MAX * sizeof *h.fields);
    if (!h.fields ||
        emk_arena_copy(&x->call.arena, emk_span_str(method), &rq->method, &ignored) != EMK_OK)
        return false;
    rq->fields = h.fields;
    (void)MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, take_field, &h);
    rq->n_fields = h.n;
    if (h.bad || !framing_is_sound(x, version) || !take_certificate(x))
        return false;
    (void)emk_request_count(rq, "host", &rq->authority);
    return true;
}

/* ---- the answer ---- */

static ssize_t produce(void *self, uint64_t pos, char *out, size_t cap)
{
    exchange *x = self;
    const emk_http_source *source = &x->call.response.source;
    emk_error ignored = {0};
    size_t n = 0;

    (void)pos;
    if (source->produce(source->self, (uint8_t *)out, cap, &n, &ignored) != EMK_OK || n > cap)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    emk_conn_deadline(x->conn, (uint64_t)x->server->config.limits.answer_s * NS_PER_S);
    x->bytes_out += n;
    return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)n;
}

static struct MHD_Response *make_file(exchange *x)
{
    const emk_http_source *source = &x->call.response.source;
    int fd = emk_net_dup(source->fd);
    struct MHD_Response *r;

    if (fd < 0)
        return NULL;
    r = MHD_create_response_from_fd_at_offset64(source->length, fd, source->from);
    if (!r)
        emk_os_close(fd);
    return r;
}

static struct MHD_Response *make_response(exchange *x)
{
    emk_http_response *r = &x->call.response;
    union {
        const uint8_t *in;
        void *out;
    } bytes = {r->bytes.p}; /* PERSISTENT: the library only reads it */

    if (!r->has_source) {
        x->bytes_out = r->bytes.len;
        return MHD_create_response_from_buffer(r->bytes.len, bytes.out, MHD_RESPMEM_PERSISTENT);
    }
    if (r->source.fd >= 0) {
        x->bytes_out = r->source.length;
        return make_file(x);
    }
    return MHD_create_response_from_callback(
        r->source.length == EMK_HTTP_NO_LENGTH ? MHD_SIZE_UNKNOWN : r->source.length, BLOCK_BYTES,
        produce, x, NULL);
}

static bool add_fields(const exchange *x, struct MHD_Response *out)
{
    const emk_http_response *r = &x->call.response;

    for (size_t i = 0; i < r->n_fields; i++) {
        char value[EMK_GATE_HEADER_MAX * 4];
        char name[64];

        if (r->fields[i].value.len >= sizeof value || r->fields[i].name.len >= sizeof name)
            return false;
        snprintf(name, sizeof name, "%.*s", (int)r->fields[i].name.len,
                 (const char *)r->fields[i].name.p);
        snprintf(value, sizeof value, "%.*s", (int)r->fields[i].value.len,
                 r->fields[i].value.len ? (const char *)r->fields[i].value.p : "");
        if (value[0] && MHD_add_response_header(out, name, value) != MHD_YES)
            return false;
    }
    if ((atomic_load(&x->server->draining) || atomic_load(&x->server->retiring)) &&
        MHD_add_response_header(out, "connection", "close") != MHD_YES)
        return false;
    return true;
}

static enum MHD_Result queue_answer(exchange *x)
{
    struct MHD_Response *r = make_response(x);
    enum MHD_Result result;

    if (!r)
        return MHD_NO;
    x->state = EX_ANSWERED;
    emk_conn_deadline(x->conn, (uint64_t)x->server->config.limits.answer_s * NS_PER_S +
                                   rate_ns(&x->server->config.limits, x->bytes_out));
    result =
        add_fields(x, r) ? MHD_queue_response(x->connection, x->call.response.status, r) : MHD_NO;
    MHD_destroy_response(r);
    return result;
}

/* ---- bodies ---- */

/* What the worker of a streamed call asks for more. */
static emk_status ring_read(void *self, uint8_t *out, size_t cap, size_t *n, emk_error *e)
{
    exchange *x = self;
    emk_http_server *s = x->server;
    ring *r = &x->ring;
    size_t take, until_end;
    emk_status st = EMK_OK;

    emk_lock_take(s->lock);
    while (r->n == 0 && !r->ended && !r->aborted && !r->too_long)
        emk_lock_wait(s->lock);
    take = r->n < cap ? r->n : cap;
    until_end = RING_BYTES - r->from;
    if (take > until_end)
        take = until_end;
    if (take > 0)
        memcpy(out, r->p + r->from, take);
    r->from = (r->from + take) % RING_BYTES;
    r->n -= take;
    if (x->suspended && !r->ended && r->n <= RING_BYTES / 2) {
        x->suspended = false;
        MHD_resume_connection(x->connection);
    }
    if (r->too_long)
        st = emk_fail(e, EMK_E_LIMIT, "body: longer than the route takes", 0);
    else if (r->aborted)
        st = emk_fail(e, EMK_E_IO, "body: the client went away", 0);
    else
        *n = take;
    emk_lock_give(s->lock);
    return st;
}

/* Puts what fits; the rest comes again when the worker has made room. */
static size_t ring_write(exchange *x, const char *data, size_t len)
{
    ring *r = &x->ring;
    size_t put = 0;

    emk_lock_take(x->server->lock);
    while (put < len && r->n < RING_BYTES && !x->done) {
        size_t at = (r->from + r->n) % RING_BYTES;
        size_t step = len - put, room = RING_BYTES - r->n, until_end = RING_BYTES - at;

        step = step < room ? step : room;
        step = step < until_end ? step : until_end;
        memcpy(r->p + at, data + put, step);
        r->n += step;
        put += step;
    }
    if (x->done || r->too_long)
        put = len; /* nobody reads it any more: see SLACK_BYTES */
    if (put < len) {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    emk_lock_wake_all(x->server->lock);
    emk_lock_give(x->server->lock);
    return put;
}

/* False: more than we are ready to throw away; the connection is closed. */
static bool stream_data(exchange *x, const char *data, size_t *len)
{
    size_t put = ring_write(x, data, *len);
    uint64_t thrown;

    x->body_seen += put;
    *len -= put;
    emk_lock_take(x->server->lock);
    if (x->body_seen > x->call.route->body_max) {
        x->ring.too_long = true;
        emk_lock_wake_all(x->server->lock);
    }
    if (x->done || x->ring.too_long)
        x->thrown += put;
    thrown = x->thrown;
    emk_lock_give(x->server->lock);
    return thrown <= SLACK_BYTES;
}

static bool body_data(exchange *x, const char *data, size_t *len)
{
    emk_error ignored;

    x->body_seen += *len;
    if (x->body_seen <= x->body.max &&
        emk_buf_append(&x->body, emk_span_of(data, *len), &ignored) != EMK_OK)
        return false;
    *len = 0;
    return x->body_seen <= x->body.max + SLACK_BYTES;
}

/* ---- workers ---- */

/* The worker's last touch: from here on the exchange is the event thread's, or nobody's. */
static void finish_job(exchange *x)
{
    emk_http_server *s = x->server;

    emk_lock_take(s->lock);
    x->done = true;
    if (x->suspended) {
        x->suspended = false;
        MHD_resume_connection(x->connection);
    }
    emk_lock_give(s->lock);
}

static void run_job(void *self)
{
    exchange *x = self;
    emk_http_server *s = x->server;
    bool streamed = x->call.read != NULL;

    emk_frame_run(&x->call);
    finish_job(x);
    if (streamed) {
        atomic_fetch_sub(&s->streams, 1);
        exchange_drop(x);
    }
    atomic_fetch_sub(&s->busy, 1);
}

static enum MHD_Result start_worker(exchange *x)
{
    emk_http_server *s = x->server;

    emk_conn_deadline(x->conn, EMK_CONNS_NEVER);
    x->state = EX_WAIT;
    x->job = (emk_job){.run = run_job, .self = x};
    emk_lock_take(s->lock);
    if (s->stopping) {
        emk_lock_give(s->lock);
        return MHD_NO;
    }
    atomic_fetch_add(&s->busy, 1);
    x->suspended = true;
    MHD_suspend_connection(x->connection);
    emk_lock_give(s->lock);
    emk_workers_push(s->workers, &x->job);
    return MHD_YES;
}

static enum MHD_Result start_stream(exchange *x)
{
    emk_http_server *s = x->server;

    if (atomic_fetch_add(&s->streams, 1) >= s->config.limits.streams ||
        !(x->ring.p = emk_alloc(1, RING_BYTES))) {
        atomic_fetch_sub(&s->streams, 1);
        emk_frame_refuse(&x->call, EMK_API_UNAVAILABLE);
        return queue_answer(x);
    }
    emk_lock_take(s->lock);
    if (s->stopping) {
        emk_lock_give(s->lock);
        atomic_fetch_sub(&s->streams, 1);
        return MHD_NO;
    }
    atomic_fetch_add(&s->busy, 1);
    x->users = 2;
    emk_lock_give(s->lock);
    x->state = EX_STREAM;
    x->call.read = ring_read;
    x->call.read_self = x;
    x->job = (emk_job){.run = run_job, .self = x};
    emk_workers_push(s->workers, &x->job);
    return MHD_YES;
}

/* ---- steps of a request, on the event thread ---- */

static bool has_body(const exchange *x)
{
    return emk_request_count(&x->call.request, "transfer-encoding", NULL) > 0 ||
           (x->call.content_length != EMK_HTTP_NO_LENGTH && x->call.content_length > 0);
}

/* An answer before the body is read costs the connection; without a body it need not. */
static enum MHD_Result refuse_early(exchange *x)
{
    if (has_body(x)) {
        emk_conn_linger(x->conn);
        return queue_answer(x);
    }
    x->state = EX_WAIT;
    return MHD_YES;
}

/* A body that is not here yet, most likely: the gate is asked before the client is told to send it.
 * Others are read first, which costs less than the directory on this thread. */
static bool is_worth_asking(const exchange *x)
{
    return has_body(x) && (x->call.content_length == EMK_HTTP_NO_LENGTH ||
                           x->call.content_length > AT_ONCE_BYTES ||
                           emk_request_count(&x->call.request, "expect", NULL) > 0);
}

static void untake(exchange *x)
{
    if (x->taken)
        atomic_fetch_sub(&x->server->taken, 1);
    x->taken = false;
}

static enum MHD_Result open_exchange(exchange *x, const char *method, const char *version)
{
    const emk_http_limits *l = &x->server->config.limits;
    emk_frame_step step;
    uint64_t body;

    x->state = EX_BODY;
    if (!fill_request(x, method, version)) {
        emk_frame_refuse(&x->call, EMK_API_BAD_REQUEST);
        return queue_answer(x);
    }
    /* First counted, then asked: who drains sees the request, or it sees who drains. */
    x->taken = true;
    atomic_fetch_add(&x->server->taken, 1);
    if (atomic_load(&x->server->draining)) {
        untake(x);
        emk_frame_refuse(&x->call, EMK_API_DRAINING);
        return queue_answer(x);
    }
    step = emk_frame_open(&x->call, x->server->config.router);
    if (step == EMK_FRAME_ANSWERED || (is_worth_asking(x) && !emk_frame_admit(&x->call)))
        return refuse_early(x);
    body = x->call.content_length == EMK_HTTP_NO_LENGTH ? x->call.route->body_max
                                                        : x->call.content_length;
    emk_conn_deadline(x->conn, (uint64_t)l->body_s * NS_PER_S + rate_ns(l, body));
    emk_conn_watch(x->conn, true);
    if (step == EMK_FRAME_STREAM)
        return start_stream(x);
    emk_buf_init(&x->body, (size_t)x->call.route->body_max);
    return MHD_YES;
}

static enum MHD_Result end_stream(exchange *x)
{
    emk_http_server *s = x->server;
    bool done;

    emk_lock_take(s->lock);
    x->ring.ended = true;
    emk_lock_wake_all(s->lock);
    done = x->done;
    if (!done) {
        emk_conn_deadline(x->conn, EMK_CONNS_NEVER);
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    emk_lock_give(s->lock);
    return done ? queue_answer(x) : MHD_YES;
}

static enum MHD_Result end_body(exchange *x)
{
    if (x->body_seen > x->body.max) {
        emk_frame_refuse(&x->call, EMK_API_TOO_LARGE);
        return queue_answer(x);
    }
    x->call.body = emk_buf_span(&x->body);
    if (!(x->call.route->flags & EMK_ROUTE_INLINE))
        return start_worker(x);
    emk_frame_run(&x->call);
    return queue_answer(x);
}

/* Eight parameters are what libmicrohttpd gives.  NOLINTNEXTLINE */
static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **hook)
{
    exchange *x = *hook;

    (void)self;
    (void)connection;
    (void)url;
    if (!x)
        return MHD_NO;
    if (*len == 0 && x->state != EX_HEAD)
        emk_conn_watch(x->conn, false); /* the body is through */
    switch (x->state) {
    case EX_HEAD:
        return open_exchange(x, method, version);
    case EX_BODY:
        if (*len > 0)
            return body_data(x, data, len) ? MHD_YES : MHD_NO;
        return end_body(x);
    case EX_STREAM:
        if (*len > 0)
            return stream_data(x, data, len) ? MHD_YES : MHD_NO;
        return end_stream(x);
    case EX_WAIT:
        return queue_answer(x); /* resumed: the worker is done */
    case EX_ANSWERED:
        break;
    }
    *len = 0;
    return MHD_YES;
}

static emk_conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

/* The request line is here. */
static void *on_target(void *self, const char *target, struct MHD_Connection *connection)
{
    emk_conn *conn = conn_of(connection);
    exchange *x;

    if (!conn)
        return NULL;
    x = exchange_new(self, connection, target);
    if (x)
        x->conn = conn;
    emk_conn_own(conn, x);
    return x;
}

/* The request is over, however. */
static void end_exchange(exchange *x, bool whole, const char *ended)
{
    emk_http_server *s = x->server;
    emk_http_response *r = &x->call.response;

    if (r->sent && x->state == EX_ANSWERED)
        r->sent(r->sent_self, whole);
    r->sent = NULL;
    count_exchange(x, ended);
    untake(x);
    emk_lock_take(s->lock);
    x->ring.aborted = true; /* for a worker that still reads */
    emk_lock_wake_all(s->lock);
    emk_lock_give(s->lock);
    exchange_drop(x);
}

static void on_completed(void *self, struct MHD_Connection *connection, void **hook,
                         enum MHD_RequestTerminationCode code)
{
    static const char *const ENDS[] = {"done",     "error",      "timeout",
                                       "shutdown", "read-error", "client-gone"};
    emk_http_server *s = self;
    exchange *x = *hook;
    emk_conn *conn = conn_of(connection);

    if (!x || !conn)
        return;
    *hook = NULL;
    emk_conn_own(conn, NULL);
    emk_conn_deadline(conn, (uint64_t)s->config.limits.idle_s * NS_PER_S);
    end_exchange(x, code == MHD_REQUEST_TERMINATED_COMPLETED_OK,
                 (size_t)code < sizeof ENDS / sizeof *ENDS ? ENDS[code] : "unknown");
}

static enum MHD_Result on_accept(void *self, const struct sockaddr *address, socklen_t len)
{
    emk_http_server *s = self;
    uint16_t port;
    emk_address from = emk_net_peer(address, &port);

    (void)len;
    if (s->config.proxies && emk_trusted_proxies_contain(s->config.proxies, &from))
        return MHD_YES;
    return emk_conns_may(s->conns, &from) ? MHD_YES : MHD_NO;
}

static void conn_started(emk_http_server *s, struct MHD_Connection *connection, void **hook)
{
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *peer =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    uint16_t port;
    emk_address from = emk_net_peer(peer ? peer->client_addr : NULL, &port);
    bool trusted = s->config.proxies && emk_trusted_proxies_contain(s->config.proxies, &from);
    emk_conn *conn = emk_conns_add(s->conns, fd ? fd->connect_fd : -1, &from, trusted);

    *hook = conn; /* NULL: every request on it is refused */
    if (conn)
        emk_conn_deadline(conn, (uint64_t)s->config.limits.head_s * NS_PER_S);
}

static void on_connection(void *self, struct MHD_Connection *connection, void **hook,
                          enum MHD_ConnectionNotificationCode code)
{
    emk_http_server *s = self;
    emk_conn *conn = *hook;
    exchange *left;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        conn_started(s, connection, hook);
        return;
    }
    if (!conn)
        return;
    /* A head that the library itself refused. */
    left = emk_conn_owner(conn);
    if (left)
        end_exchange(left, false, "refused");
    emk_conns_remove(s->conns, conn);
    *hook = NULL;
}

static void on_library_log(void *self, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void on_library_log(void *self, const char *format, va_list args)
{
    char text[256];
    int n;

    (void)self;
    if (!emk_log_wants(EMK_LOG_DEBUG))
        return;
    n = vsnprintf(text, sizeof text, format, args);
    if (n > 0)
        emk_log_write(EMK_LOG_DEBUG, "http library", text, NULL);
}

/* ---- life ---- */

static bool limits_make_sense(const emk_http_limits *l)
{
    return l->threads >= 1 && l->threads <= 16 && l->workers >= 1 &&
           l->workers <= EMK_WORKERS_MAX && l->streams < l->workers &&
           l->connections >= l->threads && l->head_s > 0 && l->idle_s > 0 && l->body_s > 0 &&
           l->answer_s > 0 && l->least_rate > 0;
}

static emk_status start_library(emk_http_server *s, emk_error *e)
{
    const emk_http_config *c = &s->config;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     MHD_USE_ITC | (c->tls_certificate ? MHD_USE_TLS : 0u);
    union {
        const char *in;
        void *out;
    } certificate = {c->tls_certificate}, key = {c->tls_key}, priority = {TLS_PRIORITY},
      clients = {c->tls_clients};
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, certificate.out},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, key.out},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, priority.out},
        {c->tls_clients ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, clients.out},
        {MHD_OPTION_END, 0, NULL},
    };
    int fd = emk_net_dup(c->fd); /* the library closes what it is given */

    if (c->tls_clients && !emk_tls_knows_clients())
        return emk_fail(e, EMK_E_UNSUPPORTED, "http: this build takes no client certificates", 0);
    if (c->tls_certificate && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return emk_fail(e, EMK_E_UNSUPPORTED, "http: the library has no TLS", 0);
    if (fd < 0)
        return emk_fail_errno(e, "http: socket");
    s->mhd = MHD_start_daemon(
        flags, 0, on_accept, s, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_library_log, s,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE,
        c->limits.threads > 1 ? c->limits.threads : 0u, MHD_OPTION_CONNECTION_LIMIT,
        c->limits.connections, MHD_OPTION_CONNECTION_TIMEOUT, c->limits.idle_s + c->limits.answer_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, POOL_BYTES, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
        POOL_STEP, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        s, MHD_OPTION_ARRAY, c->tls_certificate ? tls : tls + 4, MHD_OPTION_END);
    if (s->mhd)
        return EMK_OK;
    emk_os_close(fd);
    return emk_fail(e, EMK_E_IO, "http: cannot start (certificate, key, or limits)", 0);
}

emk_status emk_http_start(const emk_http_config *config, emk_http_server **out, emk_error *e)
{
    emk_http_server *s;
    uint64_t seed = 0;
    emk_status st;

    if (!limits_make_sense(&config->limits))
        return emk_fail(e, EMK_E_USAGE, "http: limits contradict each other", 0);
    s = emk_alloc(1, sizeof *s);
    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "http: memory", sizeof *s);
    s->config = *config;
    st = emk_random_public(config->api->crypto, (uint8_t *)&seed, sizeof seed, e);
    if (st == EMK_OK)
        st = emk_lock_new(&s->lock, e);
    if (st == EMK_OK)
        st = emk_conns_new(config->limits.connections_net, seed, &s->conns, e);
    if (st == EMK_OK)
        st = emk_workers_new(config->limits.workers, &s->workers, e);
    if (st == EMK_OK)
        st = start_library(s, e);
    if (st == EMK_OK)
        *out = s;
    else
        emk_http_stop(s);
    return st;
}

void emk_http_drain(emk_http_server *s)
{
    atomic_store(&s->draining, true);
    emk_http_retire(s);
}

void emk_http_retire(emk_http_server *s)
{
    MHD_socket fd;

    if (atomic_exchange(&s->retiring, true))
        return;
    fd = MHD_quiesce_daemon(s->mhd);
    if (fd != MHD_INVALID_SOCKET)
        emk_os_close(fd);
}

uint64_t emk_http_busy(const emk_http_server *s)
{
    return atomic_load(&s->busy);
}

uint64_t emk_http_unanswered(const emk_http_server *s)
{
    return atomic_load(&s->taken);
}

uint64_t emk_http_connections(const emk_http_server *s)
{
    emk_conns_stats stats;

    emk_conns_stats_get(s->conns, &stats);
    return stats.open;
}

uint64_t emk_http_refused(const emk_http_server *s)
{
    emk_conns_stats stats;

    emk_conns_stats_get(s->conns, &stats);
    return stats.refused;
}

uint64_t emk_http_timed_out(const emk_http_server *s)
{
    emk_conns_stats stats;

    emk_conns_stats_get(s->conns, &stats);
    return stats.timed_out;
}

/* Suspended connections must be resumed before the library stops: the workers do that. */
static void wait_for_workers(emk_http_server *s)
{
    emk_lock_take(s->lock);
    s->stopping = true;
    while (atomic_load(&s->busy) > 0)
        (void)emk_lock_wait_for(s->lock, DRAIN_TICK_NS);
    emk_lock_give(s->lock);
}

void emk_http_stop(emk_http_server *s)
{
    if (!s)
        return;
    if (s->mhd) {
        emk_http_drain(s);
        emk_conns_break_all(s->conns); /* a client that drips must not hold a worker */
        wait_for_workers(s);
        MHD_stop_daemon(s->mhd);
    }
    emk_workers_free(s->workers);
    emk_conns_free(s->conns);
    emk_lock_free(s->lock);
    emk_free(s);
}
