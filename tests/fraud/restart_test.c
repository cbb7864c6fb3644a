/* A server killed at any moment, before, between and after its snapshots, decides afterwards as
 * one that was never killed: the answers of the rest of the day have one hash.
 *
 * A child plays the server and is killed without warning while it works; what it had written
 * into the log by then says where the next one goes on. */
#include "core/base/os_file.h"
#include "server/api/fraud_engine.h"
#include "server/fraud/log.h"
#include "tests/support/test.h"

#include "core/crypto/hash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define T0       UINT64_C(1767225600000)
#define EVENTS   3000u
#define COMPARED 2000u /* from here on answers are compared; nobody lives so long but the last */
#define MORE     100u
#define SNAPSHOT 307u /* one every so many events */

static emk_crypto *crypto;
static char folder[64];

static emk_fraud_host *open_host(const char *dir)
{
    emk_fraud_host_config c = {.crypto = crypto, .dir = dir, .users = 64, .piece_max = 65536};
    emk_yaml_diag d = {.line = 0};
    emk_fraud_host *h = NULL;
    emk_error e;

    if (emk_fraud_host_open(&c, &h, &d, &e) != EMK_OK)
        fail_msg("%s %s", d.text, e.what);
    return h;
}

typedef struct names {
    char user[16], device[16], artifact[16];
} names;

/* The i-th event of the day: a hundred users on ninety devices, more than are remembered, one
 * of whom scrapes. */
static emk_fraud_event event(unsigned i, names *n)
{
    static const emk_fraud_type type[8] = {
        EMK_FRAUD_GRANT,          EMK_FRAUD_GENERATE, EMK_FRAUD_GRANT, EMK_FRAUD_LEASE,
        EMK_FRAUD_DOWNLOAD_START, EMK_FRAUD_REPLAY,   EMK_FRAUD_GRANT, EMK_FRAUD_DEVICE_ENROLL};
    unsigned x = i * 2654435761u >> 8, who = x % 3 ? x % 100 : 0;
    emk_fraud_event ev;

    emk_fraud_event_init(&ev, type[x / 1000 % 8], T0 + i * 5000);
    snprintf(n->user, sizeof n->user, "u%u", who);
    snprintf(n->device, sizeof n->device, "d%u", who % 90);
    snprintf(n->artifact, sizeof n->artifact, "a%u", i);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ID, emk_span_str("req"));
    emk_fraud_event_text(&ev, EMK_FRAUD_F_USER, emk_span_str(n->user));
    emk_fraud_event_text(&ev, EMK_FRAUD_F_DEVICE, emk_span_str(n->device));
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ARTIFACT, emk_span_str(n->artifact));
    emk_fraud_event_number(&ev, EMK_FRAUD_F_COST, 20000);
    emk_fraud_event_number(&ev, EMK_FRAUD_F_ATT_LEVEL, 2000);
    return ev;
}

static emk_decide_answer decide(emk_fraud_host *h, unsigned i)
{
    emk_decider d = emk_fraud_host_decider(h);
    emk_decide_answer a;
    emk_fraud_event ev;
    emk_error e;
    names n;

    memset(&a, 0, sizeof a);
    ev = event(i, &n);
    assert_ok(d.ops->decide(d.self, &ev, &a, &e), &e);
    return a;
}

/* Events of the day; each start adds lines of its own about the rules. */
static emk_status count_line(void *self, emk_span line, uint64_t end, emk_error *e)
{
    emk_fraud_event ev;
    emk_status st = emk_fraud_event_read(line, &ev, e);

    (void)end;
    if (st == EMK_OK)
        *(unsigned *)self += emk_fraud_has(&ev, EMK_FRAUD_F_DEVICE);
    return st;
}

/* As many were taken as stand in the log as whole lines. */
static unsigned taken(const char *dir)
{
    emk_fraud_log *l = NULL;
    unsigned n = 0;
    emk_error e;

    assert_ok(emk_fraud_log_open(dir, 65536, &l, &e), &e);
    assert_ok(emk_fraud_log_read(dir, 0, emk_fraud_log_end(l), count_line, &n, &e), &e);
    emk_fraud_log_close(l);
    return n;
}

/* The child: works on events from .. to - 1 until it is killed, telling after each that it lives.
 */
static void serve(const char *dir, unsigned from, unsigned to, int tell)
{
    emk_fraud_host *h = open_host(dir);
    emk_error e;

    for (unsigned i = from; i < to; i++) {
        decide(h, i);
        if (i % SNAPSHOT == SNAPSHOT - 1 && emk_fraud_host_keep(h, &e) != EMK_OK)
            _exit(2);
        if (write(tell, "x", 1) != 1)
            _exit(3);
    }
    for (;;)
        pause();
}

/* One life that ends after n events or up to MORE of them later. */
static void live_and_be_killed(const char *dir, unsigned from, unsigned n)
{
    int fds[2], status = 0;
    pid_t child;
    char byte;

    assert_int_equal(pipe(fds), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[0]);
        serve(dir, from, from + n + MORE, fds[1]);
    }
    close(fds[1]);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(read(fds[0], &byte, 1), 1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(fds[0]);
}

/* The last life, and the hash of what it answers from COMPARED on. */
static void finish(const char *dir, unsigned from, uint8_t out[32], unsigned *n_refused)
{
    emk_sha256_ctx *hash = NULL;
    emk_fraud_host *h = open_host(dir);
    emk_error e;

    *n_refused = 0;
    assert_ok(emk_sha256_ctx_new(crypto, &hash, &e), &e);
    for (unsigned i = from; i < EVENTS; i++) {
        emk_decide_answer a = decide(h, i);
        char text[EMK_REASON_CAP * 4];
        int n = snprintf(text, sizeof text, "%d %lld %u %s %s\n", (int)a.action, (long long)a.score,
                         (unsigned)a.retry_after_s, a.reasons, a.rules);

        if (i < COMPARED)
            continue;
        *n_refused += a.action >= EMK_FRAUD_THROTTLE;
        assert_true(n > 0 && (size_t)n < sizeof text);
        assert_ok(emk_sha256_ctx_update(hash, emk_span_of(text, (size_t)n), &e), &e);
    }
    assert_ok(emk_sha256_ctx_finish(hash, out, &e), &e);
    emk_sha256_ctx_free(hash);
    assert_ok(emk_fraud_host_close(h, &e), &e);
}

static void after_a_kill_the_decisions_are_the_same(void **state)
{
    /* How long each life is: before the first snapshot, right behind one, between two. */
    static const unsigned lives[][4] = {
        {20}, {SNAPSHOT}, {SNAPSHOT + 150}, {100, SNAPSHOT, 1, 600}};
    uint8_t whole[32], parts[32];
    unsigned n_refused = 0, again = 0;
    char dir[96];

    (void)state;
    snprintf(dir, sizeof dir, "%s/whole", folder);
    finish(dir, 0, whole, &n_refused);
    assert_in_range(n_refused, 10, EVENTS - COMPARED - 10);
    for (unsigned k = 0; k < sizeof lives / sizeof lives[0]; k++) {
        unsigned from = 0;

        snprintf(dir, sizeof dir, "%s/k%u", folder, k);
        for (unsigned i = 0; i < 4 && lives[k][i]; i++) {
            live_and_be_killed(dir, from, lives[k][i]);
            assert_true(taken(dir) >= from + lives[k][i]);
            from = taken(dir);
            assert_in_range(from, 1, COMPARED);
        }
        finish(dir, from, parts, &again);
        assert_bytes(emk_span_of(parts, 32), emk_span_of(whole, 32));
        assert_int_equal(again, n_refused);
    }
}

int main(void)
{
    char command[128];
    int r;

    snprintf(folder, sizeof folder, "/tmp/emk-restart-XXXXXX");
    if (!mkdtemp(folder) || emk_crypto_new(NULL, NULL, &crypto, NULL) != EMK_OK)
        return 1;
    r = EMK_RUN(emk_rule(after_a_kill_the_decisions_are_the_same));
    emk_crypto_free(crypto);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 ? r : 1;
}
