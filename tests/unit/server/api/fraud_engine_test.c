#include "server/api/fraud_engine.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define T0   UINT64_C(1767225600000)
#define HOUR UINT64_C(3600000)

static emk_crypto *crypto;
static char dir[64], rules_path[128];
static emk_fraud_host *host;

static emk_status open_host(const char *rules, emk_yaml_diag *d)
{
    emk_fraud_host_config c = {
        .crypto = crypto, .rules = rules, .dir = dir, .users = 1000, .piece_max = 8192};
    emk_error e;

    return emk_fraud_host_open(&c, &host, d, &e);
}

static void start(void)
{
    emk_yaml_diag d = {.line = 0};

    assert_int_equal(open_host(NULL, &d), EMK_OK);
}

static void stop(void)
{
    emk_error e;

    assert_ok(emk_fraud_host_close(host, &e), &e);
    host = NULL;
}

static int begin(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/emk-fraud-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(rules_path, sizeof rules_path, "%s/rules.yaml", dir);
    start();
    return 0;
}

static int end(void **state)
{
    char command[128];

    (void)state;
    if (host)
        stop();
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static emk_fraud_event event(emk_fraud_type type, uint64_t ts, const char *user, const char *device)
{
    emk_fraud_event ev;

    emk_fraud_event_init(&ev, type, ts);
    ev.src = EMK_FRAUD_SRC_SERVER;
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ID, emk_span_str("req"));
    emk_fraud_event_text(&ev, EMK_FRAUD_F_USER, emk_span_str(user));
    emk_fraud_event_text(&ev, EMK_FRAUD_F_DEVICE, emk_span_str(device));
    emk_fraud_event_number(&ev, EMK_FRAUD_F_ATT_LEVEL, 2000);
    return ev;
}

static emk_decide_answer ask(const emk_fraud_event *ev)
{
    emk_decider d = emk_fraud_host_decider(host);
    emk_decide_answer a;
    emk_error e;

    memset(&a, 0, sizeof a);
    assert_ok(d.ops->decide(d.self, ev, &a, &e), &e);
    return a;
}

static emk_fraud_action grant(uint64_t ts, const char *user, const char *device, unsigned artifact)
{
    emk_fraud_event ev = event(EMK_FRAUD_GRANT, ts, user, device);
    char name[32];

    snprintf(name, sizeof name, "a-%u", artifact);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_ARTIFACT, emk_span_str(name));
    return ask(&ev).action;
}

static emk_fraud_action lease(uint64_t ts, const char *user, const char *device)
{
    emk_fraud_event ev = event(EMK_FRAUD_LEASE, ts, user, device);

    return ask(&ev).action;
}

static void tell(emk_fraud_type type, uint64_t ts, const char *user, const char *device)
{
    emk_decider d = emk_fraud_host_decider(host);
    emk_fraud_event ev = event(type, ts, user, device);
    emk_error e;

    assert_ok(d.ops->note(d.self, &ev, NULL, &e), &e);
}

/* Returns the request of the first answer of that strength. */
static unsigned scrape(emk_fraud_action want)
{
    for (unsigned i = 1; i <= 200; i++) {
        if (grant(T0 + i * 20000, "u", "d", i) >= want)
            return i;
    }
    return 0;
}

static void throttles_a_scraping_device_and_then_denies_it(void **state)
{
    unsigned throttled = scrape(EMK_FRAUD_THROTTLE), denied;

    (void)state;
    assert_in_range(throttled, 8, 20);
    denied = scrape(EMK_FRAUD_DENY);
    assert_in_range(denied, 1, 200);
}

static void challenges_a_second_account_on_a_device(void **state)
{
    (void)state;
    assert_int_equal(grant(T0, "first", "d", 1), EMK_FRAUD_ALLOW);
    assert_int_equal(grant(T0 + 60000, "second", "d", 1), EMK_FRAUD_CHALLENGE);
}

static void refuses_the_next_lease_of_who_was_banned(void **state)
{
    (void)state;
    assert_int_equal(lease(T0, "u", "d"), EMK_FRAUD_ALLOW);
    tell(EMK_FRAUD_ADMIN_BAN, T0 + 1000, "u", "d");
    assert_int_equal(lease(T0 + 2000, "u", "d"), EMK_FRAUD_BAN);
    assert_int_equal(lease(T0 + 2000, "u2", "d2"), EMK_FRAUD_ALLOW);
}

static void remembers_after_a_restart(void **state)
{
    (void)state;
    assert_true(scrape(EMK_FRAUD_THROTTLE) > 0);
    tell(EMK_FRAUD_ADMIN_BAN, T0 + HOUR, "v", "e");
    stop();
    start();
    assert_true(grant(T0 + HOUR + 1, "u", "d", 999) >= EMK_FRAUD_THROTTLE);
    assert_int_equal(lease(T0 + HOUR + 2, "v", "e"), EMK_FRAUD_BAN);
}

/* A kill leaves the log and an old snapshot, or none. */
static void reads_the_tail_behind_an_older_snapshot(void **state)
{
    char from[128], to[128];
    emk_error e;

    (void)state;
    tell(EMK_FRAUD_HEARTBEAT, T0, "u", "d");
    assert_ok(emk_fraud_host_keep(host, &e), &e);
    snprintf(from, sizeof from, "%s/snapshot", dir);
    snprintf(to, sizeof to, "%s/old", dir);
    assert_int_equal(link(from, to), 0);
    tell(EMK_FRAUD_ADMIN_BAN, T0 + HOUR, "v", "e");
    stop();
    assert_int_equal(rename(to, from), 0);
    start();
    assert_int_equal(lease(T0 + HOUR + 2, "v", "e"), EMK_FRAUD_BAN);
    stop();
    assert_int_equal(unlink(from), 0);
    start();
    assert_int_equal(lease(T0 + HOUR + 3, "v", "e"), EMK_FRAUD_BAN);
}

static void goes_on_after_a_line_that_was_not_finished(void **state)
{
    char path[160];
    FILE *f;

    (void)state;
    tell(EMK_FRAUD_ADMIN_BAN, T0, "v", "e");
    stop();
    snprintf(path, sizeof path, "%s/events-%020d.jsonl", dir, 0);
    f = fopen(path, "a");
    assert_non_null(f);
    fputs("{\"v\":1,\"src\":\"ser", f);
    fclose(f);
    start();
    assert_int_equal(lease(T0 + 1, "v", "e"), EMK_FRAUD_BAN);
    stop();
    start();
    assert_int_equal(lease(T0 + 2, "v", "e"), EMK_FRAUD_BAN);
}

static void starts_from_the_log_when_the_snapshot_is_damaged(void **state)
{
    char path[128];
    FILE *f;

    (void)state;
    tell(EMK_FRAUD_ADMIN_BAN, T0, "v", "e");
    stop();
    snprintf(path, sizeof path, "%s/snapshot", dir);
    f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, 5000, SEEK_SET);
    fputs("damage", f);
    fclose(f);
    start();
    assert_int_equal(lease(T0 + 1, "v", "e"), EMK_FRAUD_BAN);
}

static void cuts_the_log_into_pieces(void **state)
{
    emk_fraud_host_stats stats;
    char path[160];

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        tell(EMK_FRAUD_HEARTBEAT, T0 + i, "u", "d");
    emk_fraud_host_stats_of(host, &stats);
    assert_int_equal(stats.engine.events, 100 + 2); /* two say which rules decide */
    assert_true(stats.log_bytes > 8192);
    snprintf(path, sizeof path, "%s/events-%020d.jsonl", dir, 0);
    assert_int_equal(access(path, F_OK), 0);
}

static void write_rules(const char *score)
{
    FILE *f = fopen(rules_path, "w");

    assert_non_null(f);
    fprintf(f,
            "ruleset: {name: t, version: 1, detection_paranoia: 2, blocking_paranoia: 1}\n"
            "families: {a: {cap: 10}}\n"
            "features:\n"
            "  n: {kind: count, key: subj.user, window: 12h, on: [model.grant]}\n"
            "rules:\n"
            "- {id: A1, name: a, family: a, entity: subj.user, on: [model.grant], when: \"n >= "
            "3\", score: %s, half_life: 1h, reason: r, tests: [{fire: {n: 3}}, {no: {n: 2}}]}\n",
            score);
    fclose(f);
}

static void keeps_live_rules_until_new_ones_pass_their_tests(void **state)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e;

    (void)state;
    stop();
    write_rules("9");
    assert_int_equal(open_host(rules_path, &d), EMK_OK);
    grant(T0, "u", "d", 1);
    grant(T0 + 1, "u", "d", 2);
    assert_int_equal(grant(T0 + 2, "u", "d", 3), EMK_FRAUD_THROTTLE);
    write_rules("nine");
    assert_int_equal(emk_fraud_host_reload(host, &d, &e), EMK_E_FORMAT);
    assert_true(d.text[0] != '\0');
    assert_int_equal(grant(T0 + 3, "u", "d", 4), EMK_FRAUD_THROTTLE);
    write_rules("6");
    assert_ok(emk_fraud_host_reload(host, &d, &e), &e);
    /* The new set has seen the log: the count goes on. */
    assert_int_equal(grant(T0 + 4, "u", "d", 5), EMK_FRAUD_CHALLENGE);
}

static void says_what_would_change_a_decision(void **state)
{
    emk_decision_entity entity;
    emk_decide_answer a;
    emk_fraud_event ev;
    emk_arena arena;
    emk_json_out o;
    emk_span text;
    emk_error e;

    (void)state;
    memset(&entity, 0, sizeof entity);
    grant(T0, "first", "d", 1);
    ev = event(EMK_FRAUD_GRANT, T0 + 60000, "second", "d");
    a = ask(&ev);
    assert_string_equal(a.reasons, "device_shared");
    memcpy(entity.rules, a.rules, sizeof entity.rules);
    memcpy(entity.ruleset, a.ruleset, sizeof entity.ruleset);
    snprintf(entity.action, sizeof entity.action, "challenge");
    entity.score = (uint64_t)a.score / 10;
    emk_arena_init(&arena, 65536);
    emk_json_out_init(&o, &arena, 8192);
    emk_json_out_open(&o, NULL, '{');
    emk_fraud_host_explain(host, &entity, &o);
    emk_json_out_close(&o);
    assert_ok(emk_json_out_finish(&o, &text, &e), &e);
    assert_non_null(memmem(text.p, text.len, "without ID-101", 14));
    assert_non_null(memmem(text.p, text.len, "\"value\":\"2\"", 11));
    emk_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(throttles_a_scraping_device_and_then_denies_it, begin, end),
        cmocka_unit_test_setup_teardown(challenges_a_second_account_on_a_device, begin, end),
        cmocka_unit_test_setup_teardown(refuses_the_next_lease_of_who_was_banned, begin, end),
        cmocka_unit_test_setup_teardown(remembers_after_a_restart, begin, end),
        cmocka_unit_test_setup_teardown(reads_the_tail_behind_an_older_snapshot, begin, end),
        cmocka_unit_test_setup_teardown(goes_on_after_a_line_that_was_not_finished, begin, end),
        cmocka_unit_test_setup_teardown(starts_from_the_log_when_the_snapshot_is_damaged, begin,
                                        end),
        cmocka_unit_test_setup_teardown(cuts_the_log_into_pieces, begin, end),
        cmocka_unit_test_setup_teardown(keeps_live_rules_until_new_ones_pass_their_tests, begin,
                                        end),
        cmocka_unit_test_setup_teardown(says_what_would_change_a_decision, begin, end),
    };
    emk_error e;
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    emk_crypto_free(crypto);
    return failed;
}
