/* Where a request may go is asked before anything goes there. */
#include "core/fetch/fetch.h"

#include "tests/support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

typedef struct asked {
    bool v4, v6; /* what is allowed */
    unsigned n;
    bool odd; /* an address of another length came */
} asked;

static bool may(void *self, emk_span address)
{
    asked *a = self;

    a->n++;
    a->odd = a->odd || (address.len != 4 && address.len != 16);
    return address.len == 4 ? a->v4 : a->v6;
}

static int listen_here(char url[64])
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(url, 64, "http://localhost:%u/", ntohs(a.sin_port));
    return fd;
}

static emk_status ask(const char *url, asked *a, unsigned *code, emk_error *e)
{
    emk_fetch_request rq = {.method = "GET",
                            .url = url,
                            .max_response = 100,
                            .timeout_s = 60,
                            .address = may,
                            .address_self = a,
                            .no_proxy = true,
                            .allow_http = true};
    emk_fetch_response rs = {.code = 0};
    emk_status st;

    emk_buf_init(&rs.body, 100);
    st = emk_fetch_run(&rq, &rs, e);
    emk_buf_done(&rs.body);
    *code = rs.code;
    return st;
}

static void an_address_that_is_not_allowed_is_not_connected_to(void **state)
{
    asked a = {.v4 = false};
    emk_error e = {0};
    unsigned code;
    char url[64];
    int fd = listen_here(url);

    (void)state;
    assert_status(ask(url, &a, &code, &e), EMK_E_POLICY, &e);
    assert_true(a.n >= 1 && !a.odd);
    assert_int_equal(code, 0);
    assert_int_equal(accept(fd, NULL, NULL), -1); /* nobody has knocked */
    assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
    close(fd);
}

static void *answer(void *self)
{
    const int *fd = self;
    char in[1000];
    int s = accept(*fd, NULL, NULL);

    if (s >= 0 && read(s, in, sizeof in) > 0)
        (void)!write(s, ANSWER, sizeof ANSWER - 1);
    if (s >= 0)
        close(s);
    return NULL;
}

/* A name may have both: the one that is allowed is used. */
static void an_address_that_is_allowed_is_used_beside_one_that_is_not(void **state)
{
    asked a = {.v4 = true};
    emk_error e = {0};
    unsigned code;
    char url[64];
    int fd = listen_here(url);
    pthread_t thread;

    (void)state;
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, answer, &fd), 0);
    assert_ok(ask(url, &a, &code, &e), &e);
    assert_int_equal(code, 200);
    pthread_join(thread, NULL);
    close(fd);
}

static void nobody_there_is_not_an_address_that_is_refused(void **state)
{
    asked a = {.v4 = true, .v6 = true};
    emk_error e = {0};
    unsigned code;
    char url[64];

    (void)state;
    close(listen_here(url));
    assert_status(ask(url, &a, &code, &e), EMK_E_IO, &e);
}

int main(void)
{
    asked a = {.v4 = true};
    emk_error e = {0};
    unsigned code;

    if (ask("http://localhost:1/", &a, &code, &e) == EMK_E_UNSUPPORTED) {
        puts("SKIP libcurl is not here");
        return EMK_TEST_SKIP;
    }
    return EMK_RUN(emk_rule(an_address_that_is_not_allowed_is_not_connected_to),
                   emk_rule(an_address_that_is_allowed_is_used_beside_one_that_is_not),
                   emk_rule(nobody_there_is_not_an_address_that_is_refused));
}
