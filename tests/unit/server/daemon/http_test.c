/* Bodies that stream, and the three kinds of answers, through the real HTTP server. */
#include "server/daemon/http.h"

#include "core/base/os_file.h"
#include "server/daemon/os_net.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_MAX (8u << 20)

static atomic_uint produced_done, sent_whole, sent_cut;
static char file_path[256];

static emk_status swallow(emk_call *call, emk_error *e)
{
    uint8_t piece[10000];
    uint64_t total = 0, sum = 0;
    size_t n = 1;

    while (n > 0) {
        emk_status st = emk_call_read(call, piece, sizeof piece, &n, e);

        if (st != EMK_OK)
            return st;
        for (size_t i = 0; i < n; i++)
            sum += piece[i];
        total += n;
        if (total % 7 == 0)
            usleep(100); /* slower than the client: the ring fills up */
    }
    emk_reply_bytes(
        call, 200, "text/plain",
        emk_span_str(emk_arena_format(&call->arena, "%llu %llu", (unsigned long long)total,
                                      (unsigned long long)sum)));
    return EMK_OK;
}

static emk_status refuse_at_once(emk_call *call, emk_error *e)
{
    (void)call;
    return emk_fail(e, EMK_E_POLICY, "test: no", 0);
}

typedef struct counter {
    size_t left;
    bool fails;
} counter;

static emk_status count_down(void *self, uint8_t *out, size_t cap, size_t *n, emk_error *e)
{
    counter *c = self;

    *n = c->left < cap ? c->left : cap;
    memset(out, 'x', *n);
    c->left -= *n;
    if (c->left == 0 && c->fails)
        return emk_fail(e, EMK_E_IO, "test: broken", 0);
    return EMK_OK;
}

static void done(void *self)
{
    (void)self;
    atomic_fetch_add(&produced_done, 1);
}

static void sent(void *self, bool whole)
{
    (void)self;
    atomic_fetch_add(whole ? &sent_whole : &sent_cut, 1);
}

static emk_status produce(emk_call *call, emk_error *e)
{
    counter *c = emk_arena_take(&call->arena, sizeof *c);
    emk_http_source source = {
        .fd = -1, .produce = count_down, .length = EMK_HTTP_NO_LENGTH, .done = done, .self = c};
    emk_span fails;

    (void)e;
    c->left = 300000;
    c->fails = emk_call_query(call, "fails", &fails);
    emk_reply_source(call, 200, "text/plain", &source);
    call->response.sent = sent;
    return EMK_OK;
}

static void close_fd(void *self)
{
    emk_os_close((int)(intptr_t)self);
}

static emk_status file(emk_call *call, emk_error *e)
{
    int fd = -1;
    emk_status st = emk_os_open_read(file_path, &fd, e);
    emk_http_source source = {
        .fd = fd, .from = 10, .length = 1000, .done = close_fd, .self = (void *)(intptr_t)fd};

    if (st == EMK_OK) {
        emk_reply_source(call, 206, "application/octet-stream", &source);
        call->response.sent = sent;
    }
    return st;
}

#define STREAM(p, n, h)                                                                  \
    {                                                                                    \
        .method = EMK_HTTP_PUT, .path = (p), .content_type = "application/octet-stream", \
        .body_max = BODY_MAX, .flags = EMK_ROUTE_STREAM | EMK_ROUTE_INTERNAL,            \
        .gate = {.name = (n), .admits = 1}, .handle = (h)                                \
    }
#define GET(p, n, h)                                                      \
    {                                                                     \
        .method = EMK_HTTP_GET, .path = (p), .flags = EMK_ROUTE_INTERNAL, \
        .gate = {.name = (n), .admits = 1}, .handle = (h)                 \
    }

static const emk_route ROWS[] = {
    STREAM("/swallow", "swallow", swallow),
    STREAM("/refuse", "refuse", refuse_at_once),
    GET("/produce", "produce", produce),
    GET("/file", "file", file),
};
static const emk_route_table TABLE = {ROWS, sizeof ROWS / sizeof ROWS[0]};

typedef struct world {
    char *dir;
    emk_crypto *crypto;
    emk_api api;
    emk_router router;
    emk_http_server *server;
    int fd, port;
} world;

static uint64_t clock_of(void *self)
{
    (void)self;
    return 1;
}

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    uint8_t bytes[2000];
    char text[EMK_LISTEN_TEXT_MAX];
    emk_http_config c = {.router = &w->router,
                         .limits = {.threads = 2,
                                    .workers = 4,
                                    .streams = 2,
                                    .connections = 64,
                                    .head_s = 5,
                                    .idle_s = 5,
                                    .body_s = 5,
                                    .answer_s = 5,
                                    .least_rate = 65536}};
    emk_error e = {0};

    w->dir = emk_test_dir_make();
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    snprintf(file_path, sizeof file_path, "%s/file", w->dir);
    assert_ok(emk_os_write_file(file_path, emk_span_of(bytes, sizeof bytes), &e), &e);
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    w->api.crypto = w->crypto;
    w->api.clock = clock_of;
    assert_ok(emk_router_init(&w->router, &TABLE, 1, &e), &e);
    assert_ok(emk_net_listen("127.0.0.1:0", &w->fd, text, &e), &e);
    w->port = atoi(strrchr(text, ':') + 1);
    c.api = &w->api;
    c.fd = w->fd;
    assert_ok(emk_http_start(&c, &w->server, &e), &e);
    atomic_store(&produced_done, 0);
    atomic_store(&sent_whole, 0);
    atomic_store(&sent_cut, 0);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_http_stop(w->server);
    close(w->fd);
    emk_crypto_free(w->crypto);
    emk_test_dir_remove(w->dir);
    free(w);
    return 0;
}

static int dial(const world *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
    int s = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(s, (const struct sockaddr *)&a, sizeof a), 0);
    return s;
}

static bool send_all(int s, const void *p, size_t len)
{
    const uint8_t *at = p;

    while (len > 0) {
        ssize_t n = send(s, at, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* Reads until the other side closes; returns the bytes, zero-terminated. */
static size_t receive_all(int s, char *out, size_t cap)
{
    size_t n = 0;
    ssize_t got;

    while (n + 1 < cap && (got = recv(s, out + n, cap - 1 - n, 0)) > 0)
        n += (size_t)got;
    out[n] = 0;
    return n;
}

static void put_head(int s, const char *path, size_t len)
{
    char head[256];

    snprintf(head, sizeof head,
             "PUT %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: "
             "application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
             path, len);
    assert_true(send_all(s, head, strlen(head)));
}

static void streams_a_body_through_a_small_ring(void **state)
{
    world *w = *state;
    size_t len = 5000000;
    uint8_t *body = malloc(len);
    unsigned long long sum = 0;
    char answer[4096], want[64];
    int s = dial(w);

    for (size_t i = 0; i < len; i++) {
        body[i] = (uint8_t)(i * 7);
        sum += body[i];
    }
    put_head(s, "/swallow", len);
    assert_true(send_all(s, body, len));
    receive_all(s, answer, sizeof answer);
    snprintf(want, sizeof want, "\r\n\r\n%zu %llu", len, sum);
    assert_non_null(strstr(answer, "HTTP/1.1 200"));
    assert_non_null(strstr(answer, want));
    close(s);
    free(body);
}

static void streams_chunks_up_to_the_limit(void **state)
{
    static const char head[] = "PUT /swallow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                               "Content-Type: application/octet-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    world *w = *state;
    static char chunk[65536 + 16];
    char answer[4096];
    int s = dial(w);
    int n = snprintf(chunk, sizeof chunk, "10000\r\n");

    memset(chunk + n, 'y', 65536);
    memcpy(chunk + n + 65536, "\r\n", 2);
    assert_true(send_all(s, head, strlen(head)));
    for (size_t i = 0; i < BODY_MAX / 65536 + 2; i++)
        assert_true(send_all(s, chunk, (size_t)n + 65538));
    assert_true(send_all(s, "0\r\n\r\n", 5));
    receive_all(s, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 413"));
    close(s);
}

static void answers_though_the_body_was_not_read(void **state)
{
    world *w = *state;
    static uint8_t body[900000];
    char answer[4096];
    int s = dial(w);

    put_head(s, "/refuse", sizeof body);
    assert_true(send_all(s, body, sizeof body));
    receive_all(s, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 403"));
    close(s);
}

static void a_client_that_leaves_frees_its_worker(void **state)
{
    world *w = *state;
    char answer[4096];

    for (int i = 0; i < 8; i++) {
        int s = dial(w);

        put_head(s, "/swallow", 1000000);
        assert_true(send_all(s, "half", 4));
        for (int t = 0; t < 200 && emk_http_busy(w->server) == 0; t++)
            usleep(10000);
        close(s);
        for (int t = 0; t < 200 && emk_http_busy(w->server) > 0; t++)
            usleep(10000);
        assert_int_equal(emk_http_busy(w->server), 0);
    }
    {
        int s = dial(w);

        put_head(s, "/swallow", 4);
        assert_true(send_all(s, "done", 4));
        receive_all(s, answer, sizeof answer);
        assert_non_null(strstr(answer, "HTTP/1.1 200"));
        close(s);
    }
}

static void more_streams_than_allowed_are_refused(void **state)
{
    world *w = *state;
    char answer[4096];
    int a = dial(w), b = dial(w), c;

    put_head(a, "/swallow", 10);
    put_head(b, "/swallow", 10);
    for (int t = 0; t < 200 && emk_http_busy(w->server) < 2; t++)
        usleep(10000);
    c = dial(w);
    put_head(c, "/swallow", 10);
    receive_all(c, answer, sizeof answer);
    assert_non_null(strstr(answer, "HTTP/1.1 503"));
    close(a);
    close(b);
    close(c);
}

static void get(const world *w, const char *target, char *out, size_t cap, size_t *len)
{
    char head[256];
    int s = dial(w);

    snprintf(head, sizeof head, "GET %s HTTP/1.0\r\nHost: a\r\n\r\n", target);
    assert_true(send_all(s, head, strlen(head)));
    *len = receive_all(s, out, cap);
    close(s);
}

static void sends_a_range_of_a_file(void **state)
{
    static char answer[8192];
    world *w = *state;
    const char *body;
    size_t len;

    get(w, "/file", answer, sizeof answer, &len);
    body = strstr(answer, "\r\n\r\n") + 4;
    assert_non_null(strstr(answer, " 206 "));
    assert_int_equal(len - (size_t)(body - answer), 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal((uint8_t)body[i], (uint8_t)(i + 10));
    for (int t = 0; t < 200 && atomic_load(&sent_whole) == 0; t++)
        usleep(10000);
    assert_int_equal(atomic_load(&sent_whole), 1);
}

static void sends_what_is_produced_and_breaks_off_on_failure(void **state)
{
    static char answer[400000];
    world *w = *state;
    size_t len;

    get(w, "/produce", answer, sizeof answer, &len);
    assert_true(len > 300000);
    get(w, "/produce?fails=1", answer, sizeof answer, &len);
    assert_true(len < 300000);
    for (int t = 0; t < 200 && atomic_load(&produced_done) < 2; t++)
        usleep(10000);
    assert_int_equal(atomic_load(&produced_done), 2);
    assert_int_equal(atomic_load(&sent_whole), 1);
    assert_int_equal(atomic_load(&sent_cut), 1);
}

static void stops_while_clients_hang_on(void **state)
{
    world *w = *state;
    int s = dial(w), idle = dial(w);

    put_head(s, "/swallow", 1000000);
    assert_true(send_all(s, "some", 4));
    for (int t = 0; t < 200 && emk_http_busy(w->server) < 1; t++)
        usleep(10000);
    emk_http_stop(w->server); /* returns, and nobody is left waiting */
    w->server = NULL;
    close(s);
    close(idle);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    return EMK_RUN(
        RULE(streams_a_body_through_a_small_ring), RULE(streams_chunks_up_to_the_limit),
        RULE(answers_though_the_body_was_not_read), RULE(a_client_that_leaves_frees_its_worker),
        RULE(more_streams_than_allowed_are_refused), RULE(sends_a_range_of_a_file),
        RULE(sends_what_is_produced_and_breaks_off_on_failure), RULE(stops_while_clients_hang_on));
}
