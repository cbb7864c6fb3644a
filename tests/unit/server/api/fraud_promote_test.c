/* The draft takes the place of the live set, and back, and no moment of it is a bad one to die. */
#include "core/base/fault.h"
#include "core/base/os_file.h"
#include "server/api/fraud_engine.h"
#include "server/fraud/history.h"
#include "server/fraud/log.h"
#include "tests/support/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define T0       UINT64_C(1767225600000)
#define LOG_MAX  (1u << 20)
#define PATH_CAP 128u

static emk_crypto *crypto;
static char dir[64], rules_path[PATH_CAP], draft_path[PATH_CAP];
static emk_fraud_host *host;
static char told[1024];
static emk_fraud_file file_policy;
static bool fixed;

static void hear(void *self, const emk_fraud_host_news *n)
{
    size_t len = strlen(told);

    (void)self;
    if (n->change)
        snprintf(told + len, sizeof told - len, "%s ", n->change);
    if (n->unpromoted)
        snprintf(told + len, sizeof told - len, "unpromoted:%s ", n->unpromoted);
}

static void start(void)
{
    emk_fraud_host_config c = {.crypto = crypto,
                               .rules = rules_path,
                               .draft = draft_path,
                               .dir = dir,
                               .users = 100,
                               .needs = {60, 20, 50000},
                               .file = file_policy,
                               .fixed = fixed,
                               .news = hear};
    emk_yaml_diag d = {.line = 0};
    emk_error e;

    assert_ok(emk_fraud_host_open(&c, &host, &d, &e), &e);
}

static void stop(void)
{
    emk_error e;

    assert_ok(emk_fraud_host_close(host, &e), &e);
    host = NULL;
}

static void write_rules(const char *path, unsigned version, unsigned limit)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fprintf(f,
            "ruleset: {name: t, version: %u, sample_salt: s}\n"
            "families: {a: {cap: 10}}\n"
            "features:\n"
            "  n: {kind: count, key: subj.user, window: 12h, on: [model.grant]}\n"
            "rules:\n"
            "- {id: A1, name: a, family: a, entity: subj.user, on: [model.grant], when: \"n >= "
            "%u\", score: 6, half_life: 1h, reason: r}\n",
            version, limit);
    fclose(f);
}

static int begin(void **state)
{
    (void)state;
    told[0] = 0;
    file_policy = EMK_FRAUD_FILE_WARN;
    fixed = false;
    snprintf(dir, sizeof dir, "/tmp/emk-fraud-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(rules_path, sizeof rules_path, "%s/live.yaml", dir);
    snprintf(draft_path, sizeof draft_path, "%s/draft.yaml", dir);
    write_rules(rules_path, 1, 100);
    write_rules(draft_path, 2, 200);
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

static void send(emk_fraud_type type, unsigned user, uint64_t ts)
{
    emk_decider d = emk_fraud_host_decider(host);
    emk_fraud_event ev;
    emk_error e;
    char name[16];

    snprintf(name, sizeof name, "u-%u", user);
    emk_fraud_event_init(&ev, type, ts);
    emk_fraud_event_text(&ev, EMK_FRAUD_F_USER, emk_span_str(name));
    assert_ok(d.ops->note(d.self, &ev, NULL, &e), &e);
}

/* Ten grants of ten users, with ten seconds between them. */
static void grants(unsigned at)
{
    for (unsigned i = 0; i < 10; i++)
        send(EMK_FRAUD_GRANT, i, T0 + (at * 10 + i) * 10000);
}

static emk_fraud_host_rules look(void)
{
    emk_fraud_host_rules r;
    emk_error e;

    assert_ok(emk_fraud_host_rules_of(host, &r, &e), &e);
    return r;
}

static emk_status promote(bool force, emk_error *e)
{
    emk_fraud_host_rules r = look();
    emk_yaml_diag d = {.line = 0};

    return emk_fraud_host_promote(host, r.draft_hash, force, &d, e);
}

static emk_status roll_back(emk_error *e)
{
    emk_fraud_host_rules r = look();
    emk_yaml_diag d = {.line = 0};

    return emk_fraud_host_rollback(host, r.before, &d, e);
}

static bool decides(unsigned version)
{
    char label[16];

    snprintf(label, sizeof label, "t@%u#", version);
    return strncmp(look().live, label, strlen(label)) == 0;
}

static bool same_files(const char *a, const char *b)
{
    char command[3 * PATH_CAP];

    snprintf(command, sizeof command, "cmp -s %s %s", a, b);
    return system(command) == 0;
}

static emk_status keep_line(void *self, emk_span line, uint64_t at, emk_error *e)
{
    emk_status st = emk_buf_append(self, line, e);

    (void)at;
    return st == EMK_OK ? emk_buf_append(self, emk_span_str("\n"), e) : st;
}

static void the_log_can_be_replayed(void)
{
    emk_fraud_history_options o = {.dir = dir};
    emk_fraud_history_report report;
    emk_buf events;
    emk_error e;

    emk_fraud_options_init(&o.engine);
    emk_buf_init(&events, LOG_MAX);
    assert_ok(emk_fraud_log_read(dir, 0, UINT64_MAX, keep_line, &events, &e), &e);
    assert_ok(emk_fraud_history(crypto, emk_buf_span(&events), &o, &report, &e), &e);
    assert_string_equal(report.ruleset, look().live);
    emk_buf_done(&events);
}

static void a_draft_is_promoted_when_it_has_shown_enough(void **state)
{
    emk_error e;

    (void)state;
    start();
    grants(0);
    assert_status(promote(false, &e), EMK_E_POLICY, &e);
    assert_true(decides(1));
    assert_false(look().readiness.check[EMK_FRAUD_GATE_DECISIONS].ok);
    grants(1);
    assert_true(look().readiness.ready);
    assert_ok(promote(false, &e), &e);
    assert_true(decides(2));
    assert_true(same_files(rules_path, draft_path));
    assert_string_equal(look().draft, "");
    assert_string_equal(told, "load promote ");
    assert_status(promote(true, &e), EMK_E_NOT_FOUND, &e);
}

static void force_promotes_one_that_has_shown_nothing(void **state)
{
    emk_error e;

    (void)state;
    start();
    assert_ok(promote(true, &e), &e);
    assert_true(decides(2));
}

static void a_rollback_brings_the_set_before_once_also_after_a_restart(void **state)
{
    emk_error e;

    (void)state;
    start();
    assert_status(roll_back(&e), EMK_E_NOT_FOUND, &e);
    assert_ok(promote(true, &e), &e);
    stop();
    start();
    assert_ok(roll_back(&e), &e);
    assert_true(decides(1));
    assert_string_equal(told, "load promote load rollback ");
    /* It does not go on beside, where its share would let it decide. */
    assert_string_equal(look().draft, "");
    assert_status(roll_back(&e), EMK_E_NOT_FOUND, &e);
    stop();
    start();
    assert_true(decides(1));
    assert_string_equal(look().draft, "");
    stop();
    write_rules(draft_path, 3, 200);
    start();
    assert_ok(promote(true, &e), &e);
    assert_true(decides(3));
    assert_ok(roll_back(&e), &e);
    assert_true(decides(1));
    the_log_can_be_replayed();
}

static void a_draft_that_changed_meanwhile_is_not_promoted(void **state)
{
    emk_fraud_host_rules r;
    emk_yaml_diag d = {.line = 0};
    emk_error e;

    (void)state;
    start();
    grants(0);
    grants(1);
    r = look();
    assert_true(r.readiness.ready);
    write_rules(draft_path, 3, 200); /* on the disk, not loaded */
    assert_false(look().readiness.check[EMK_FRAUD_GATE_UNCHANGED].ok);
    assert_status(promote(false, &e), EMK_E_POLICY, &e);
    assert_ok(emk_fraud_host_reload(host, &d, &e), &e);
    assert_int_equal(look().decisions, 0); /* another draft begins anew */
    assert_status(emk_fraud_host_promote(host, r.draft_hash, true, &d, &e), EMK_E_STALE, &e);
    assert_true(decides(1));
}

static void numbers_outlive_a_restart_and_a_kill(void **state)
{
    emk_fraud_host_rules was, is;
    emk_error e;
    pid_t child;
    int status;

    (void)state;
    write_rules(draft_path, 2, 2); /* stops at the second grant */
    start();
    grants(0);
    grants(1);
    send(EMK_FRAUD_LABEL_FRAUD, 3, T0 + 300000);
    was = look();
    assert_int_equal(was.decisions, 20);
    assert_int_equal(was.harder, 10);
    stop();
    start();
    is = look();
    assert_int_equal(is.decisions, was.decisions);
    assert_int_equal(is.harder, was.harder);
    assert_memory_equal(is.readiness.check, was.readiness.check, sizeof was.readiness.check);
    stop();
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        start();
        grants(5);
        if (emk_fraud_host_keep(host, &e) == EMK_OK) {
            grants(6);
            raise(SIGKILL); /* the last ten are in the log, not in the snapshot */
        }
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    start();
    assert_int_equal(look().decisions, 40);
    assert_int_equal(look().harder, 30);
}

static emk_status reload(void)
{
    emk_yaml_diag d = {.line = 0};
    emk_error e;
    emk_status st = emk_fraud_host_reload(host, &d, &e);

    assert_true(st != EMK_E_POLICY || strstr(d.text, "nobody promoted") != NULL);
    return st;
}

static uint64_t unpromoted(void)
{
    emk_fraud_host_stats s;

    emk_fraud_host_stats_of(host, &s);
    return s.unpromoted;
}

static void a_file_that_nobody_promoted_is_told(void **state)
{
    (void)state;
    start();
    assert_int_equal(reload(), EMK_OK); /* the same file */
    write_rules(rules_path, 5, 100);
    assert_int_equal(reload(), EMK_OK);
    assert_true(decides(5));
    assert_string_equal(told, "load unpromoted:decides load ");
    assert_int_equal(unpromoted(), 1);
    stop();
    start(); /* it is what decided */
    assert_int_equal(unpromoted(), 0);
    stop();
    told[0] = 0;
    write_rules(rules_path, 6, 100); /* while nobody was there */
    start();
    assert_true(decides(6));
    assert_string_equal(told, "unpromoted:decides load ");
    stop();
    told[0] = 0;
    file_policy = EMK_FRAUD_FILE_ALLOW;
    write_rules(rules_path, 7, 100);
    start();
    assert_string_equal(told, "load ");
    assert_int_equal(unpromoted(), 1);
}

static void a_file_that_nobody_promoted_is_refused(void **state)
{
    emk_error e;

    (void)state;
    file_policy = EMK_FRAUD_FILE_REFUSE;
    start();
    assert_true(decides(1)); /* the first one is */
    write_rules(rules_path, 5, 100);
    assert_int_equal(reload(), EMK_E_POLICY);
    assert_true(decides(1));
    assert_string_equal(told, "load unpromoted:refused ");
    stop();
    told[0] = 0;
    start(); /* also at a start */
    assert_true(decides(1));
    assert_string_equal(told, "unpromoted:refused load ");
    grants(0); /* it works as ever, and the way by the draft is open */
    assert_ok(promote(true, &e), &e);
    assert_true(decides(2));
    assert_int_equal(reload(), EMK_OK);
    assert_ok(roll_back(&e), &e);
    assert_true(decides(1));
    assert_int_equal(reload(), EMK_OK);
    stop();
    told[0] = 0;
    start();
    assert_true(decides(1));
    assert_string_equal(told, "load ");
    the_log_can_be_replayed();
}

/* A draft that is copied over the live file is no promotion, however ready it is. */
static void a_draft_that_is_copied_by_hand_is_not_promoted(void **state)
{
    char command[3 * PATH_CAP];

    (void)state;
    file_policy = EMK_FRAUD_FILE_REFUSE;
    start();
    grants(0);
    grants(1);
    assert_true(look().readiness.ready);
    snprintf(command, sizeof command, "cp %s %s", draft_path, rules_path);
    assert_int_equal(system(command), 0);
    assert_int_equal(reload(), EMK_E_POLICY);
    assert_true(decides(1));
}

static void a_file_of_three_lines_of_an_older_version_is_read(void **state)
{
    char path[PATH_CAP];
    emk_error e;

    (void)state;
    start();
    assert_ok(promote(true, &e), &e);
    stop();
    snprintf(path, sizeof path, "%s/decided", dir);
    assert_int_equal(truncate(path, 3 * 65), 0);
    start();
    assert_ok(roll_back(&e), &e);
    assert_true(decides(1));
}

static void a_file_that_cannot_be_written_promotes_nothing(void **state)
{
    emk_error e;

    (void)state;
    fixed = true;
    start();
    assert_true(look().fixed);
    assert_status(promote(true, &e), EMK_E_NOT_FOUND, &e);
    assert_true(decides(1));
}

static void a_draft_that_denies_says_that_it_needs_a_second_person(void **state)
{
    FILE *f;

    (void)state;
    start();
    assert_string_equal(look().second, "");
    stop();
    f = fopen(draft_path, "a");
    assert_non_null(f);
    fprintf(f, "- {id: H, name: h, family: a, entity: subj.user, on: [model.use], when: \"true\", "
               "score: 3, half_life: 1h, hard: true, reason: r}\n");
    fclose(f);
    start();
    assert_string_equal(look().second, "rule H is new and can deny");
}

#ifdef EMK_FAULTS
/* In a process of its own: the n-th touch of the disk fails, or is the last. */
static int change_in_child(bool back, bool kill, uint64_t n)
{
    emk_error e;
    emk_status st;
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        emk_fraud_host_rules r;
        emk_yaml_diag d = {.line = 0};

        start();
        r = look();
        (kill ? emk_fault_kill_at : emk_fault_fail_at)(EMK_FAULT_IO, n);
        st = back ? emk_fraud_host_rollback(host, r.before, &d, &e)
                  : emk_fraud_host_promote(host, r.draft_hash, true, &d, &e);
        if (emk_fault_count(EMK_FAULT_IO) < n)
            _exit(2); /* all of them were tried */
        _exit(st == EMK_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

static void sweep(bool back, bool kill)
{
    const emk_fraud_file policy = file_policy;
    emk_error e;
    unsigned n_before = 0;
    int ended = 0;

    for (uint64_t n = 1; n < 500 && ended != 2; n++) {
        write_rules(rules_path, 1, 100);
        write_rules(draft_path, 2, 200);
        if (back) {
            start();
            assert_ok(promote(true, &e), &e);
            stop();
        }
        ended = change_in_child(back, kill, n);
        start();
        assert_true(decides(1) || decides(2));
        n_before += decides(back ? 2 : 1);
        /* What decides is what the file says, and what the log says. */
        assert_int_equal(same_files(rules_path, draft_path), decides(2));
        the_log_can_be_replayed();
        assert_ok(decides(1) ? EMK_OK : roll_back(&e), &e);
        assert_true(decides(1));
        stop();
        assert_int_equal(end(NULL), 0);
        assert_int_equal(begin(NULL), 0);
        file_policy = policy;
    }
    assert_int_equal(ended, 2);
    assert_true(n_before > 0);
}
#endif

static void a_kill_or_a_failing_disk_at_any_moment_leaves_one_set_or_the_other(void **state)
{
    (void)state;
#ifdef EMK_FAULTS
    sweep(false, false);
    sweep(true, true);
    file_policy = EMK_FRAUD_FILE_REFUSE; /* and a start in between knows its own file */
    sweep(false, true);
#else
    skip();
#endif
}

#define rule_(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    emk_error e;
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    failed = EMK_RUN(rule_(a_draft_is_promoted_when_it_has_shown_enough),
                     rule_(force_promotes_one_that_has_shown_nothing),
                     rule_(a_rollback_brings_the_set_before_once_also_after_a_restart),
                     rule_(a_draft_that_changed_meanwhile_is_not_promoted),
                     rule_(a_file_that_nobody_promoted_is_told),
                     rule_(a_file_that_nobody_promoted_is_refused),
                     rule_(a_draft_that_is_copied_by_hand_is_not_promoted),
                     rule_(a_file_of_three_lines_of_an_older_version_is_read),
                     rule_(a_file_that_cannot_be_written_promotes_nothing),
                     rule_(a_draft_that_denies_says_that_it_needs_a_second_person),
                     rule_(numbers_outlive_a_restart_and_a_kill),
                     rule_(a_kill_or_a_failing_disk_at_any_moment_leaves_one_set_or_the_other));
    emk_crypto_free(crypto);
    return failed;
}
