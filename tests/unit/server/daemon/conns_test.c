#include "server/daemon/conns.h"
#include "server/daemon/workers.h"

#include "tests/support/test.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

static emk_address address(const char *text)
{
    emk_address a;
    emk_error e = {0};

    assert_ok(emk_address_parse(emk_span_str(text), &a, &e), &e);
    return a;
}

static void counts_connections_of_a_net(void **state)
{
    emk_address a = address("192.0.2.1"), same = address("192.0.2.200"),
                other = address("198.51.100.1");
    emk_conns_stats stats;
    emk_conns *t;
    emk_conn *c[2];
    emk_error e = {0};

    (void)state;
    assert_ok(emk_conns_new(2, 1, &t, &e), &e);
    assert_true(emk_conns_may(t, &a));
    c[0] = emk_conns_add(t, -1, &a, false);
    c[1] = emk_conns_add(t, -1, &same, false);
    assert_false(emk_conns_may(t, &a));
    assert_true(emk_conns_may(t, &other));
    emk_conns_remove(t, c[0]);
    assert_true(emk_conns_may(t, &a));
    c[0] = emk_conns_add(t, -1, &a, true); /* of a trusted proxy: not counted */
    assert_true(emk_conns_may(t, &a));
    emk_conns_stats_get(t, &stats);
    assert_int_equal(stats.open, 2);
    assert_int_equal(stats.refused, 1);
    emk_conns_remove(t, c[0]);
    emk_conns_remove(t, c[1]);
    emk_conns_free(t);
}

/* The other side writes on after our end was closed: without lingering that is a reset. */
static void swallows_what_a_lingering_client_sends_and_ends(void **state)
{
    static const uint8_t block[65536];
    emk_address a = address("192.0.2.1");
    size_t sent = 0;
    int pair[2];
    emk_conns *t;
    emk_conn *c;
    emk_error e = {0};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_ok(emk_conns_new(0, 1, &t, &e), &e);
    c = emk_conns_add(t, pair[0], &a, false);
    emk_conn_linger(c);
    emk_conns_remove(t, c);
    close(pair[0]);
    for (ssize_t n; (n = send(pair[1], block, sizeof block, MSG_NOSIGNAL)) > 0;)
        sent += (size_t)n;
    assert_true(sent >= EMK_CONNS_LINGER_BYTES);
    assert_true(sent < EMK_CONNS_LINGER_BYTES + 64 * sizeof block);
    close(pair[1]);
    emk_conns_free(t);
}

static void closes_what_lingers_at_the_end(void **state)
{
    emk_address a = address("192.0.2.1");
    int pair[2];
    char byte;
    emk_conns *t;
    emk_conn *c;
    emk_error e = {0};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_ok(emk_conns_new(0, 1, &t, &e), &e);
    c = emk_conns_add(t, pair[0], &a, false);
    emk_conn_linger(c);
    emk_conns_remove(t, c);
    close(pair[0]);
    emk_conns_free(t);
    assert_int_equal(recv(pair[1], &byte, 1, 0), 0);
    close(pair[1]);
}

static void breaks_what_is_late_and_nothing_else(void **state)
{
    emk_address a = address("192.0.2.1");
    int late[2], early[2];
    emk_conns_stats stats;
    emk_conns *t;
    emk_conn *c, *d;
    char byte;
    emk_error e = {0};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, late), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, early), 0);
    assert_ok(emk_conns_new(0, 1, &t, &e), &e);
    c = emk_conns_add(t, late[0], &a, false);
    d = emk_conns_add(t, early[0], &a, false);
    emk_conn_deadline(c, 1);
    assert_int_equal(read(late[1], &byte, 1), 0); /* waits until it is shut down */
    assert_int_equal(read(early[1], &byte, 1), -1);
    emk_conns_stats_get(t, &stats);
    assert_int_equal(stats.timed_out, 1);
    emk_conns_remove(t, c);
    emk_conns_remove(t, d);
    emk_conns_free(t);
    for (int i = 0; i < 2; i++) {
        close(late[i]);
        close(early[i]);
    }
}

static atomic_uint done;

static void work(void *self)
{
    (void)self;
    usleep(100);
    atomic_fetch_add(&done, 1);
}

static void runs_every_job_before_it_ends(void **state)
{
    static emk_job jobs[1000];
    emk_workers *w;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_workers_new(8, &w, &e), &e);
    for (size_t i = 0; i < 1000; i++) {
        jobs[i] = (emk_job){.run = work};
        emk_workers_push(w, &jobs[i]);
    }
    emk_workers_free(w);
    assert_int_equal(atomic_load(&done), 1000);
    assert_status(emk_workers_new(0, &w, &e), EMK_E_USAGE, &e);
    assert_status(emk_workers_new(EMK_WORKERS_MAX + 1, &w, &e), EMK_E_USAGE, &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(counts_connections_of_a_net),
                   emk_rule(swallows_what_a_lingering_client_sends_and_ends),
                   emk_rule(closes_what_lingers_at_the_end),
                   emk_rule(breaks_what_is_late_and_nothing_else),
                   emk_rule(runs_every_job_before_it_ends));
}
