/* Rules that change while the server runs: each change is an event, and a replay of the log gives
 * the decisions that were given. */
#include "server/api/fraud_engine.h"
#include "server/fraud/history.h"
#include "server/fraud/log.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define T0       UINT64_C(1767225600000)
#define MOST     400u
#define LOG_MAX  (1u << 20)
#define PATH_CAP 128u

static emk_crypto *crypto;
static char dir[64], rules_path[PATH_CAP], draft_path[PATH_CAP];
static emk_fraud_host *host;

/* What was answered, in order; and what the host told. */
static emk_fraud_action given[MOST];
static int64_t scores[MOST];
static size_t n_given;
static char told[1024];

static void hear(void *self, const emk_fraud_host_news *n)
{
    size_t len = strlen(told);

    (void)self;
    if (n->change)
        snprintf(told + len, sizeof told - len, "%s ", n->change);
    if (n->demoted)
        snprintf(told + len, sizeof told - len, "demoted:%s ", n->demoted);
    if (n->breaker)
        snprintf(told + len, sizeof told - len, "breaker ");
    assert_non_null(n->ruleset);
}

static void start(bool with_draft)
{
    emk_fraud_host_config c = {.crypto = crypto,
                               .rules = rules_path,
                               .draft = with_draft ? draft_path : NULL,
                               .dir = dir,
                               .users = 1000,
                               .piece_max = 8192,
                               .pieces = 1000,
                               .news = hear};
    emk_yaml_diag d = {.line = 0};
    emk_error e;
    emk_status st = emk_fraud_host_open(&c, &host, &d, &e);

    if (st != EMK_OK)
        print_error("%s\n", d.text);
    assert_ok(st, &e);
}

static void stop(void)
{
    emk_error e;

    assert_ok(emk_fraud_host_close(host, &e), &e);
    host = NULL;
}

/* A set that does `score` from the third grant on, and for drafts decides for `rollout` per cent.
 */
static void write_rules(const char *path, unsigned version, const char *score, unsigned rollout)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fprintf(f,
            "ruleset: {name: t, version: %u, sample_salt: s, rollout: %u}\n"
            "families: {a: {cap: 10}}\n"
            "features:\n"
            "  n: {kind: count, key: subj.user, window: 12h, on: [model.grant]}\n"
            "rules:\n"
            "- {id: A1, name: a, family: a, entity: subj.user, on: [model.grant], when: \"n >= "
            "3\", score: %s, half_life: 1h, reason: r, tests: [{fire: {n: 3}}, {no: {n: 2}}]}\n",
            version, rollout, score);
    fclose(f);
}

static int begin(void **state)
{
    (void)state;
    n_given = 0;
    told[0] = 0;
    snprintf(dir, sizeof dir, "/tmp/emk-fraud-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(rules_path, sizeof rules_path, "%s/live.yaml", dir);
    snprintf(draft_path, sizeof draft_path, "%s/draft.yaml", dir);
    return 0;
}

static int end(void **state)
{
    char command[PATH_CAP];

    (void)state;
    if (host)
        stop();
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void reload(void)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e;

    assert_ok(emk_fraud_host_reload(host, &d, &e), &e);
}

/* One grant for each of ten users. */
static void round_of_grants(unsigned at)
{
    emk_decider d = emk_fraud_host_decider(host);

    for (unsigned i = 0; i < 10; i++) {
        emk_decide_answer a;
        emk_fraud_event ev;
        emk_error e;
        char user[16];

        snprintf(user, sizeof user, "u-%u", i);
        emk_fraud_event_init(&ev, EMK_FRAUD_GRANT, T0 + at * 60000);
        emk_fraud_event_text(&ev, EMK_FRAUD_F_USER, emk_span_str(user));
        memset(&a, 0, sizeof a);
        assert_ok(d.ops->decide(d.self, &ev, &a, &e), &e);
        assert_true(n_given < MOST);
        given[n_given] = a.action;
        scores[n_given++] = a.score;
    }
}

static emk_status keep_line(void *self, emk_span line, uint64_t at, emk_error *e)
{
    emk_status st = emk_buf_append(self, line, e);

    (void)at;
    return st == EMK_OK ? emk_buf_append(self, emk_span_str("\n"), e) : st;
}

static size_t n_seen, n_changes;

static void compare(void *self, uint64_t line, const emk_fraud_event *ev,
                    const emk_fraud_decision *d)
{
    (void)self;
    (void)line;
    if (ev->type != EMK_FRAUD_GRANT)
        return;
    assert_true(n_seen < n_given);
    assert_int_equal(d->action, given[n_seen]);
    assert_int_equal(d->score, scores[n_seen]);
    n_seen++;
}

static void replay_gives_what_was_given(uint8_t hash[32])
{
    emk_fraud_history_options o = {.dir = dir, .watch = compare};
    emk_fraud_history_report report;
    emk_buf events;
    emk_error e;

    emk_fraud_options_init(&o.engine);
    emk_buf_init(&events, LOG_MAX);
    assert_ok(emk_fraud_log_read(dir, 0, UINT64_MAX, keep_line, &events, &e), &e);
    n_seen = 0;
    assert_ok(emk_fraud_history(crypto, emk_buf_span(&events), &o, &report, &e), &e);
    assert_int_equal(n_seen, n_given);
    n_changes = report.changes;
    memcpy(hash, report.sha256, 32);
    emk_buf_done(&events);
}

static void a_replay_decides_as_was_decided_across_load_draft_promotion_and_rollback(void **state)
{
    uint8_t hash[32], again[32];

    (void)state;
    write_rules(rules_path, 1, "6", 0);
    write_rules(draft_path, 2, "9", 50);
    start(false);
    for (unsigned i = 0; i < 4; i++)
        round_of_grants(i);
    stop();
    start(true); /* half of the users are the draft's now */
    round_of_grants(4);
    write_rules(rules_path, 2, "9", 50);
    reload(); /* promoted */
    round_of_grants(5);
    stop();
    start(true); /* from the snapshot */
    round_of_grants(6);
    write_rules(rules_path, 3, "3", 0);
    reload();
    round_of_grants(7);
    write_rules(rules_path, 2, "9", 50);
    reload(); /* back */
    round_of_grants(8);
    stop();
    assert_string_equal(told, "load load promote load load rollback ");
    replay_gives_what_was_given(hash);
    replay_gives_what_was_given(again);
    assert_memory_equal(hash, again, sizeof hash);
    assert_true(n_changes >= 5);
    /* The rounds differ: else this would show nothing. */
    assert_int_equal(given[35], EMK_FRAUD_CHALLENGE);
    assert_int_equal(given[55], EMK_FRAUD_THROTTLE);
    assert_int_not_equal(memcmp(&given[40], &given[30], 10 * sizeof given[0]), 0);
}

static void a_reload_of_the_same_rules_is_no_change(void **state)
{
    emk_fraud_host_stats before, after;

    (void)state;
    write_rules(rules_path, 1, "6", 0);
    start(false);
    round_of_grants(0);
    emk_fraud_host_stats_of(host, &before);
    reload();
    emk_fraud_host_stats_of(host, &after);
    assert_int_equal(before.log_bytes, after.log_bytes);
    assert_string_equal(told, "load ");
}

static void a_kept_set_that_was_changed_or_lost_is_noticed(void **state)
{
    emk_fraud_history_options o = {.dir = dir};
    emk_fraud_history_report report;
    char command[2 * PATH_CAP];
    emk_buf events;
    emk_error e;
    emk_status st;

    (void)state;
    write_rules(rules_path, 1, "6", 0);
    start(false);
    round_of_grants(0);
    stop();
    emk_fraud_options_init(&o.engine);
    emk_buf_init(&events, LOG_MAX);
    assert_ok(emk_fraud_log_read(dir, 0, UINT64_MAX, keep_line, &events, &e), &e);
    snprintf(command, sizeof command, "for f in %s/rules-*.yaml; do echo '# x' >> $f; done", dir);
    assert_int_equal(system(command), 0);
    st = emk_fraud_history(crypto, emk_buf_span(&events), &o, &report, &e);
    assert_status(st, EMK_E_FORMAT, &e);
    snprintf(command, sizeof command, "rm %s/rules-*.yaml", dir);
    assert_int_equal(system(command), 0);
    st = emk_fraud_history(crypto, emk_buf_span(&events), &o, &report, &e);
    assert_status(st, EMK_E_NOT_FOUND, &e);
    emk_buf_done(&events);
}

static void a_log_that_does_not_say_its_rules_is_refused(void **state)
{
    emk_fraud_history_options o = {.dir = dir};
    emk_fraud_history_report report;
    emk_error e;
    emk_status st;

    (void)state;
    emk_fraud_options_init(&o.engine);
    st = emk_fraud_history(crypto,
                           emk_span_str("{\"v\":1,\"src\":\"server\",\"type\":"
                                        "\"model.grant\",\"ts\":1767225600000}\n"),
                           &o, &report, &e);
    assert_status(st, EMK_E_FORMAT, &e);
    st = emk_fraud_history(crypto,
                           emk_span_str("{\"v\":1,\"src\":\"server\",\"type\":"
                                        "\"admin.rules\",\"ts\":1767225600000,\"obj\":"
                                        "{\"grant\":\"../../etc/passwd\"},\"res\":"
                                        "{\"reason\":\"load\"}}\n"),
                           &o, &report, &e);
    assert_status(st, EMK_E_FORMAT, &e);
    st = emk_fraud_history(crypto,
                           emk_span_str("{\"v\":1,\"src\":\"server\",\"type\":"
                                        "\"admin.rules\",\"ts\":1767225600000,\"obj\":"
                                        "{\"grant\":\"x\"},\"res\":"
                                        "{\"reason\":\"draft_end\"}}\n"),
                           &o, &report, &e);
    assert_status(st, EMK_E_FORMAT, &e);
}

#define rule_(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    emk_error e;
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    failed =
        EMK_RUN(rule_(a_replay_decides_as_was_decided_across_load_draft_promotion_and_rollback),
                rule_(a_reload_of_the_same_rules_is_no_change),
                rule_(a_kept_set_that_was_changed_or_lost_is_noticed),
                rule_(a_log_that_does_not_say_its_rules_is_refused));
    emk_crypto_free(crypto);
    return failed;
}
