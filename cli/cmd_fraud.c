/* check, replay, diff and explain; simulate is in cmd_fraud_simulate.c. */
#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/fraud.h"
#include "cli/text.h"
#include "core/base/alloc.h"
#include "core/base/os_parallel.h"
#include "server/fraud/explore.h"
#include "server/fraud/score.h"

#include <string.h>

/* ---- check ---- */

static void put_rule_row(emk_cli *cli, const emk_fraud_rule_info *r)
{
    static const char *const modes[] = {"live", "shadow", "off"};

    emk_cli_begin(&cli->out, NULL);
    emk_cli_put_string(&cli->out, "rule", r->id);
    emk_cli_put_string(&cli->out, "family", r->family);
    emk_cli_put_string(&cli->out, "entity", r->entity);
    emk_cli_put_string(&cli->out, "mode", modes[r->mode]);
    emk_cli_put_number(&cli->out, "percent", r->percent);
    emk_cli_put_bool(&cli->out, "hard", r->hard);
    emk_cli_put_string(&cli->out, "when", r->when);
    emk_cli_put_number(&cli->out, "line", r->line);
    emk_cli_end(&cli->out);
}

static emk_status run_check(emk_cli *cli)
{
    emk_fraud_ruleset *rs = NULL;
    emk_fraud_rule_info info;
    emk_status st = emk_cli_fraud_rules(cli, emk_cli_operand_at(cli, 0), &rs);

    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "ruleset", emk_fraud_ruleset_label(rs));
    emk_cli_put_hex(&cli->out, "sha256", emk_span_of(emk_fraud_ruleset_hash(rs), 32));
    emk_cli_put_number(&cli->out, "features", emk_fraud_ruleset_features(rs));
    emk_cli_put_number(&cli->out, "tests", emk_fraud_ruleset_tests(rs));
    emk_cli_put_number(&cli->out, "n_rules", emk_fraud_ruleset_rules(rs));
    emk_cli_begin_list(&cli->out, "rules");
    for (size_t i = 0; i < emk_fraud_ruleset_rules(rs); i++) {
        emk_fraud_ruleset_rule(rs, i, &info);
        put_rule_row(cli, &info);
    }
    emk_cli_end(&cli->out);
    emk_fraud_ruleset_free(rs);
    return EMK_OK;
}

/* ---- replay and diff ---- */

/* All that a replay holds on to. */
typedef struct job {
    emk_fraud_ruleset *rules, *baseline;
    emk_buf events, label_text;
    emk_fraud_labels labels;
    emk_fraud_replay_options o;
    emk_fraud_replay_report *report;
} job;

static emk_status read_numbers(emk_cli *cli, job *j)
{
    const char *until = emk_cli_option_value(cli, "until");
    const char *threads = emk_cli_option_value(cli, "threads");
    uint64_t n = 1;
    emk_status st = EMK_OK;

    if (until && emk_cli_parse_number(until, &j->o.until_ms, &cli->error) != EMK_OK)
        return emk_cli_usage(cli, "--until takes milliseconds since 1970");
    if (threads)
        st = emk_cli_parse_number(threads, &n, &cli->error);
    if (st != EMK_OK || n < 1 || n > EMK_PARALLEL_MAX)
        return emk_cli_usage(cli, "--threads takes a number from 1 to %u", EMK_PARALLEL_MAX);
    j->o.threads = (unsigned)n;
    return EMK_OK;
}

/* From the file, and from the log, which is there already. */
static emk_status read_labels(emk_cli *cli, job *j)
{
    const char *path = emk_cli_option_value(cli, "labels");
    emk_fraud_label_sources from = {.until_ms = j->o.until_ms, .strict = j->o.strict};
    emk_status st = EMK_OK;

    if (!emk_cli_option_given(cli, "no-log-labels"))
        from.log = emk_buf_span(&j->events);
    if (path)
        st = emk_cli_fraud_log(cli, path, &j->label_text);
    from.file = emk_buf_span(&j->label_text);
    if (st == EMK_OK) {
        st = emk_fraud_labels_read(&from, &j->labels, &cli->error);
        if (st == EMK_E_FORMAT)
            st = emk_cli_advise(cli, st, "Line %llu of the labels.",
                                (unsigned long long)cli->error.where);
    }
    if (st == EMK_OK && (path || j->labels.n > 0))
        j->o.labels = &j->labels;
    return path ? emk_cli_about(cli, st, path) : st;
}

static emk_fraud_leave leave_of(emk_cli *cli)
{
    if (emk_cli_option_given(cli, "leave-one-out"))
        return EMK_FRAUD_LEAVE_ALWAYS;
    return emk_cli_option_given(cli, "no-leave-one-out") ? EMK_FRAUD_LEAVE_NEVER
                                                         : EMK_FRAUD_LEAVE_IF_SHORT;
}

static emk_status prepare(emk_cli *cli, job *j)
{
    bool explain = cli->command == &EMK_CLI_FRAUD_EXPLAIN;
    const char *base = explain ? NULL : emk_cli_option_value(cli, "baseline");
    const char *events = emk_cli_option_value(cli, "events");
    emk_status st = read_numbers(cli, j);

    emk_fraud_options_init(&j->o.engine);
    if (!explain) {
        j->o.leave_one_out = leave_of(cli);
        j->o.strict = emk_cli_option_given(cli, "strict");
    }
    if (st == EMK_OK)
        st = emk_cli_fraud_rules(cli, emk_cli_option_value(cli, "rules"), &j->rules);
    if (st == EMK_OK && base)
        st = emk_cli_fraud_rules(cli, base, &j->baseline);
    j->o.baseline = j->baseline;
    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_cli_fraud_log(cli, events, &j->events), events);
    if (st == EMK_OK && !explain)
        st = read_labels(cli, j);
    if (st != EMK_OK)
        return st;
    j->report = emk_alloc(1, sizeof *j->report);
    return j->report ? EMK_OK : emk_fail(&cli->error, EMK_E_NO_MEMORY, "replay: no memory", 0);
}

static void finish(job *j)
{
    emk_free(j->report);
    emk_buf_done(&j->events);
    emk_buf_done(&j->label_text);
    emk_fraud_labels_done(&j->labels);
    emk_fraud_ruleset_free(j->rules);
    emk_fraud_ruleset_free(j->baseline);
}

/* What the explore arm learnt, with the labels of users. */
typedef struct learning {
    const emk_fraud_labels *labels;
    emk_fraud_explored explored;
} learning;

static void learn(void *self, uint64_t line, const emk_fraud_event *ev, const emk_fraud_decision *d)
{
    learning *l = self;
    const emk_fraud_case *c = NULL;

    (void)line;
    if (d->explore_ppm && l->labels && emk_fraud_has(ev, EMK_FRAUD_F_USER))
        c = emk_fraud_case_find(l->labels,
                                emk_fraud_case_key("user", ev->f[EMK_FRAUD_F_USER].text));
    if (c && !c->key)
        c = emk_fraud_case_find(l->labels, emk_fraud_case_key("any", ev->f[EMK_FRAUD_F_USER].text));
    emk_fraud_explored_add(&l->explored, d, c ? c->label : EMK_FRAUD_UNSURE_LABEL, c && c->key);
}

static void put_learnt(emk_cli *cli, const learning *l)
{
    uint64_t any = 0;

    for (unsigned a = 0; a < EMK_FRAUD_ACTIONS; a++)
        any += l->explored.of[a].eligible;
    if (!any && !cli->out.json)
        return;
    emk_cli_begin_list(&cli->out, "explore");
    for (unsigned a = 0; a < EMK_FRAUD_ACTIONS; a++) {
        const emk_fraud_explored_row *row = &l->explored.of[a];

        if (!row->eligible)
            continue;
        emk_cli_begin(&cli->out, NULL);
        emk_cli_put_string(&cli->out, "would", EMK_FRAUD_ACTION_NAME[a]);
        emk_cli_put_number(&cli->out, "eligible", row->eligible);
        emk_cli_put_number(&cli->out, "let_through", row->taken);
        emk_cli_put_number(&cli->out, "labelled", row->labelled);
        if (row->labelled)
            emk_cli_put_number(&cli->out, "precision_ppm", emk_fraud_explored_precision(row));
        emk_cli_end(&cli->out);
    }
    emk_cli_end(&cli->out);
}

/* A log of another kind altogether is a mistake, not an empty log. */
static emk_status refuse_bad_lines(emk_cli *cli, const emk_fraud_replay_report *r)
{
    bool all = r->dropped == r->lines - r->blank;
    emk_status st;

    if (r->dropped == 0 || !(all || emk_cli_option_given(cli, "strict")))
        return EMK_OK;
    st = emk_fail(&cli->error, EMK_E_FORMAT, r->first_bad, r->first_bad_line);
    if (all)
        st =
            emk_cli_advise(cli, st,
                           "None of the %llu lines is an event; this is line %llu, byte %llu. What "
                           "an event is: docs/spec/fraud-events.md.",
                           (unsigned long long)r->dropped, (unsigned long long)r->first_bad_line,
                           (unsigned long long)r->first_bad_where);
    else
        st = emk_cli_advise(cli, st, "Line %llu of the events, byte %llu.",
                            (unsigned long long)r->first_bad_line,
                            (unsigned long long)r->first_bad_where);
    return st;
}

static emk_status run_replay(emk_cli *cli)
{
    const emk_crypto *c = NULL;
    learning learnt;
    job j;
    emk_status st;

    memset(&j, 0, sizeof j);
    memset(&learnt, 0, sizeof learnt);
    st = prepare(cli, &j);
    learnt.labels = j.o.labels;
    j.o.watch = learn;
    j.o.watch_self = &learnt;
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_fraud_replay(c, j.rules, emk_buf_span(&j.events), &j.o, j.report, &cli->error);
    if (st == EMK_OK)
        st = refuse_bad_lines(cli, j.report);
    if (st == EMK_OK)
        (cli->out.json ? emk_cli_fraud_report : emk_cli_fraud_tables)(cli, j.rules, j.report, &j.o);
    if (st == EMK_OK)
        put_learnt(cli, &learnt);
    finish(&j);
    return st;
}

/* ---- explain ---- */

/* The decision that is asked for, when the replay comes by it. */
typedef struct asked {
    emk_span id;
    bool found;
    uint64_t line;
    emk_fraud_type type;
    emk_fraud_decision d;
} asked;

static void put_milli(emk_cli *cli, const char *key, int64_t v)
{
    char text[40];

    snprintf(text, sizeof text, "%s%lld.%03lld", v < 0 ? "-" : "",
             (long long)(v < 0 ? -v : v) / 1000, (long long)(v < 0 ? -v : v) % 1000);
    emk_cli_put_string(&cli->out, key, text);
}

static void put_reason(emk_cli *cli, const emk_fraud_ruleset *rs, const emk_fraud_reason *r)
{
    emk_fraud_rule_info info;

    emk_fraud_ruleset_rule(rs, r->rule, &info);
    emk_cli_begin(&cli->out, NULL);
    emk_cli_put_string(&cli->out, "rule", info.id);
    emk_cli_put_string(&cli->out, "name", info.name);
    emk_cli_put_string(&cli->out, "family", info.family);
    emk_cli_put_string(&cli->out, "entity", EMK_FRAUD_ENTITY_NAME[r->entity]);
    put_milli(cli, "adds", r->add);
    emk_cli_put_bool(&cli->out, "shadow", r->shadow);
    emk_cli_put_bool(&cli->out, "fired_now", r->now);
    emk_cli_put_string(&cli->out, "when", info.when);
    if (r->now) {
        put_milli(cli, "value", r->value);
        put_milli(cli, "limit", r->limit);
        if (emk_fraud_opposite(rs, r->rule))
            emk_cli_put_string(&cli->out, "needs", emk_fraud_opposite(rs, r->rule));
    } else {
        emk_cli_put_number(&cli->out, "half_life_s", emk_fraud_half_s(rs, r->rule));
    }
    emk_cli_end(&cli->out);
}

/* "ID-101 (n >= 3: it was 5, and would have to be below 3)". */
static size_t name_rule(const emk_fraud_ruleset *rs, const emk_fraud_reason *r, char *out,
                        size_t cap)
{
    const char *needs = emk_fraud_opposite(rs, r->rule);
    emk_fraud_rule_info info;
    int n;

    emk_fraud_ruleset_rule(rs, r->rule, &info);
    if (!r->now)
        n = snprintf(out, cap, "%s (from an earlier event; half of it is gone every %u s)", info.id,
                     (unsigned)emk_fraud_half_s(rs, r->rule));
    else if (needs)
        n = snprintf(out, cap, "%s (%s: it was %lld, and would have to be %s %lld)", info.id,
                     info.when, (long long)r->value / EMK_FRAUD_MILLI, needs,
                     (long long)r->limit / EMK_FRAUD_MILLI);
    else
        n = snprintf(out, cap, "%s (%s: must not hold)", info.id, info.when);
    return n < 0 || (size_t)n >= cap ? cap - 1 : (size_t)n;
}

static const char *no_rule(const emk_fraud_decision *d)
{
    if (d->flags & EMK_FRAUD_IS_SWITCHED)
        return "the emergency switch decided: admin.switch normal";
    if (d->flags & EMK_FRAUD_IS_BANNED)
        return "a ban was there before: its end, or admin.unban";
    return "an earlier action still holds: its time, a passed challenge, or admin.clear";
}

static void put_text_of_change(emk_cli *cli, const emk_fraud_ruleset *rs, const asked *a,
                               const emk_fraud_what_if *w, const asked *again)
{
    char text[1536] = "without ";
    size_t len = strlen(text);
    emk_fraud_action then = again->found ? again->d.action : w->then;

    for (unsigned i = 0; i < w->n && len < sizeof text - 1; i++) {
        if (i)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s", " and ");
        if (len < sizeof text)
            len += name_rule(rs, &a->d.reason[w->reason[i]], text + len, sizeof text - len);
    }
    if (len < sizeof text)
        snprintf(text + len, sizeof text - len, " it would have been %s",
                 EMK_FRAUD_ACTION_NAME[then]);
    emk_cli_put_string(&cli->out, "would_change", text);
}

static void put_change(emk_cli *cli, const emk_fraud_ruleset *rs, const asked *a,
                       const emk_fraud_what_if *w, const asked *again)
{
    emk_fraud_rule_info info;

    put_text_of_change(cli, rs, a, w, again);
    emk_cli_begin(&cli->out, "change");
    emk_cli_begin_list(&cli->out, "without");
    for (unsigned i = 0; i < w->n; i++) {
        emk_fraud_ruleset_rule(rs, a->d.reason[w->reason[i]].rule, &info);
        emk_cli_put_string(&cli->out, NULL, info.id);
    }
    emk_cli_end(&cli->out);
    emk_cli_put_string(&cli->out, "then",
                       EMK_FRAUD_ACTION_NAME[again->found ? again->d.action : w->then]);
    emk_cli_put_bool(&cli->out, "replayed", again->found);
    emk_cli_end(&cli->out);
}

static void watch(void *self, uint64_t line, const emk_fraud_event *ev, const emk_fraud_decision *d)
{
    asked *a = self;

    if (a->found || !emk_fraud_has(ev, EMK_FRAUD_F_ID) ||
        !emk_span_equal(ev->f[EMK_FRAUD_F_ID].text, a->id))
        return;
    a->found = true;
    a->line = line;
    a->type = ev->type;
    a->d = *d;
}

static void put_decision(emk_cli *cli, const emk_fraud_ruleset *rs, const asked *a)
{
    const emk_fraud_decision *d = &a->d;

    emk_cli_put_text(&cli->out, "event", a->id);
    emk_cli_put_number(&cli->out, "line", a->line);
    emk_cli_put_string(&cli->out, "type", EMK_FRAUD_TYPE[a->type].name);
    emk_cli_put_string(&cli->out, "ruleset", emk_fraud_ruleset_label(rs));
    emk_cli_put_string(&cli->out, "action", EMK_FRAUD_ACTION_NAME[d->action]);
    emk_cli_put_string(&cli->out, "with_shadow", EMK_FRAUD_ACTION_NAME[d->shadow]);
    put_milli(cli, "score", d->score);
    if (d->action > EMK_FRAUD_ALLOW)
        put_milli(cli, "score_over_limit", d->score - emk_fraud_ruleset_enter(rs, d->action));
    emk_cli_put_number(&cli->out, "families", d->families);
    emk_cli_put_bool(&cli->out, "hard", (d->flags & EMK_FRAUD_IS_HARD) != 0);
    emk_cli_put_bool(&cli->out, "held", (d->flags & EMK_FRAUD_IS_HELD) != 0);
    emk_cli_put_bool(&cli->out, "late", (d->flags & EMK_FRAUD_IS_LATE) != 0);
    emk_cli_put_number(&cli->out, "retry_after", d->retry_after_s);
}

/* A decision that a server stored, with the rules that counted. */
static emk_status explain_stored(emk_cli *cli)
{
    char path[256];
    emk_cli_admin_call call = {.method = "GET", .path = path};
    emk_cli_answer answer;
    emk_cli_admin a;
    const char *id = emk_cli_operand_at(cli, 0);
    emk_status st;

    if (strlen(id) == 0 || strlen(id) > 128 ||
        strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") !=
            strlen(id))
        return emk_cli_usage(cli, "this is not the id of a decision");
    (void)snprintf(path, sizeof path, "/v1/admin/decisions/%s", id);
    st = emk_cli_admin_open(cli, true, &a);
    if (st == EMK_OK) {
        st = emk_cli_admin_run(cli, &a, &call, &answer);
        if (st == EMK_OK && answer.json)
            emk_cli_admin_show(cli, NULL, answer.json);
        emk_cli_answer_done(&answer);
    }
    emk_cli_admin_close(&a);
    return st;
}

static emk_status replay_for(emk_cli *cli, job *j, const emk_fraud_ruleset *rs, asked *a)
{
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    j->o.watch = watch;
    j->o.watch_self = a;
    if (st == EMK_OK)
        st = emk_fraud_replay(c, rs, emk_buf_span(&j->events), &j->o, j->report, &cli->error);
    j->o.watch_self = NULL;
    return st;
}

/* The same again by a set that is without the rules of *w; *again stays empty where that cannot be
 * read twice, and where an earlier action would hold all the same. */
static emk_status check_change(emk_cli *cli, job *j, const asked *a, const emk_fraud_what_if *w,
                               asked *again)
{
    const char *path = emk_cli_option_value(cli, "rules");
    emk_fraud_ruleset *rs = NULL;
    emk_status st;

    if (strcmp(path, "-") == 0)
        return EMK_OK;
    st = emk_cli_fraud_rules(cli, path, &rs);
    for (unsigned i = 0; st == EMK_OK && i < w->n; i++)
        emk_fraud_silence(rs, a->d.reason[w->reason[i]].rule);
    if (st == EMK_OK)
        st = replay_for(cli, j, rs, again);
    emk_fraud_ruleset_free(rs);
    return st;
}

static emk_status explain_found(emk_cli *cli, job *j, const asked *a)
{
    asked again = {.id = a->id};
    emk_fraud_what_if w = {.n = 0};
    bool by_rules = !(a->d.flags & (EMK_FRAUD_IS_SWITCHED | EMK_FRAUD_IS_BANNED)) &&
                    emk_fraud_without(j->rules, &a->d, &w);
    emk_status st = by_rules ? check_change(cli, j, a, &w, &again) : EMK_OK;

    if (st != EMK_OK)
        return st;
    put_decision(cli, j->rules, a);
    if (by_rules)
        put_change(cli, j->rules, a, &w, &again);
    else if (a->d.action != EMK_FRAUD_ALLOW)
        emk_cli_put_string(&cli->out, "would_change", no_rule(&a->d));
    emk_cli_begin_list(&cli->out, "reasons");
    for (unsigned i = 0; i < a->d.n_reasons; i++)
        put_reason(cli, j->rules, &a->d.reason[i]);
    emk_cli_end(&cli->out);
    return EMK_OK;
}

static emk_status explain_event(emk_cli *cli)
{
    asked a = {.id = emk_span_str(emk_cli_operand_at(cli, 0))};
    job j;
    emk_status st;

    memset(&j, 0, sizeof j);
    st = prepare(cli, &j);
    if (st == EMK_OK)
        st = replay_for(cli, &j, j.rules, &a);
    if (st == EMK_OK && !a.found)
        st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "fraud explain: no event has this id", 0);
    if (st == EMK_OK)
        st = explain_found(cli, &j, &a);
    finish(&j);
    return st;
}

/* From a log of events, or from a server that decided. */
static emk_status run_explain(emk_cli *cli)
{
    bool rules = emk_cli_option_given(cli, "rules"), events = emk_cli_option_given(cli, "events");

    if (!rules && !events)
        return explain_stored(cli);
    if (!rules || !events || emk_cli_option_given(cli, "server"))
        return emk_cli_usage(cli, "--rules and --events together, or --server");
    return explain_event(cli);
}

/* ---- tables ---- */

#define RULES                                                  \
    {                                                          \
        "rules", 0, EMK_CLI_FILE, "FILE", "the rule set", true \
    }
#define EVENTS                                                                                 \
    {                                                                                          \
        "events", 0, EMK_CLI_FILE, "FILE", "the events, JSON lines; - is standard input", true \
    }
#define UNTIL                                                                                  \
    {                                                                                          \
        "until", 0, EMK_CLI_WORD, "MS", "leave out what is later (ms since 1970), labels too", \
            false                                                                              \
    }
#define THREADS                                                                                 \
    {                                                                                           \
        "threads", 0, EMK_CLI_WORD, "N", "threads that read lines (1); the result is the same", \
            false                                                                               \
    }
#define LABELS                                                                            \
    {                                                                                     \
        "labels", 0, EMK_CLI_FILE, "FILE", "what is known to be fraud, JSON lines", false \
    }
#define STRICT                                                                                \
    {                                                                                         \
        "strict", 0, EMK_CLI_FLAG, NULL,                                                      \
            "fail where a line is no event or has an unknown key, instead of counting", false \
    }
#define NO_LEAVE                                                                             \
    {                                                                                        \
        "no-leave-one-out", 0, EMK_CLI_FLAG, NULL, "do not, however short the log is", false \
    }
#define NO_LOG_LABELS                                                         \
    {                                                                         \
        "no-log-labels", 0, EMK_CLI_FLAG, NULL,                               \
            "leave aside the labels that are events of the log itself", false \
    }
#define LEAVE                                                                               \
    {                                                                                       \
        "leave-one-out", 0, EMK_CLI_FLAG, NULL,                                             \
            "replay once more without each rule that fired, however long that takes", false \
    }

static const emk_cli_exit exits[] = {
    {EMK_E_FORMAT,
     "the rule set does not compile, or one of its own tests fails; with --strict: a bad line"},
    {EMK_E_LIMIT, "a file is larger than it may be"},
    {0},
};

static const emk_cli_operand check_operands[] = {
    {"RULES", EMK_CLI_FILE, "a rule set", false},
    {0},
};
static const char *const check_paragraphs[] = {
    "Compiles a rule set, runs the tests its rules bring, and lists the rules. A mistake is named "
    "with file, line and column, and with what to write instead.",
    NULL};
static const emk_cli_example check_examples[] = {
    {"Before it goes anywhere:", "earmark fraud check rules/base.yaml"},
    {0},
};
const emk_cli_command EMK_CLI_FRAUD_CHECK = {
    .name = "fraud check",
    .summary = "checks a rule set and runs its tests",
    .synopsis = "RULES",
    .paragraphs = check_paragraphs,
    .operands = check_operands,
    .examples = check_examples,
    .exits = exits,
    .run = run_check,
};

static const char *const replay_paragraphs[] = {
    "Runs a log of events through a rule set and says what would have been decided: actions, each "
    "rule's hits, and with labels precision and recall with 95 % Wilson intervals, requests and "
    "seconds until each fraudulent entity was challenged, throttled and denied, cost stopped, and "
    "false positives by entity and day, over all and by the group that the labels name.",
    "The same events and rules give the same stream_sha256 on every machine. Lines that are no "
    "events are left out and counted by what is wrong with them; keys that are not in the schema "
    "are passed over and counted. Nothing outside the files is looked up.",
    "Labels are those of the log's own label.* events, and those of --labels, which go first "
    "where both are as good and as late. With labels, and where that is soon done, each rule that "
    "fired is left out once: what it alone finds.",
    NULL};
static const emk_cli_option replay_options[] = {
    RULES,
    EVENTS,
    LABELS,
    UNTIL,
    THREADS,
    NO_LOG_LABELS,
    STRICT,
    LEAVE,
    NO_LEAVE,
    {"baseline", 0, EMK_CLI_FILE, "FILE", "another rule set to compare decisions with", false},
    {0},
};
static const emk_cli_example replay_examples[] = {
    {"Would it have caught them?",
     "earmark fraud replay --rules rules/base.yaml --events e.jsonl --labels l.jsonl --json"},
    {0},
};
const emk_cli_command EMK_CLI_FRAUD_REPLAY = {
    .name = "fraud replay",
    .summary = "runs a log through a rule set and measures it",
    .synopsis = "--rules FILE --events FILE [--labels FILE] [--baseline FILE]",
    .paragraphs = replay_paragraphs,
    .options = replay_options,
    .examples = replay_examples,
    .exits = exits,
    .run = run_replay,
};

static const char *const diff_paragraphs[] = {
    "Runs a log through two rule sets side by side and says where their decisions differ: who "
    "would newly be denied, who no longer, with samples.",
    NULL};
static const emk_cli_option diff_options[] = {
    RULES,         EVENTS,
    LABELS,        UNTIL,
    THREADS,       STRICT,
    LEAVE,         NO_LEAVE,
    NO_LOG_LABELS, {"baseline", 0, EMK_CLI_FILE, "FILE", "the rule set to compare with", true},
    {0},
};
static const emk_cli_example diff_examples[] = {
    {"What would the draft change?",
     "earmark fraud diff --rules draft.yaml --baseline rules/base.yaml --events e.jsonl"},
    {0},
};
const emk_cli_command EMK_CLI_FRAUD_DIFF = {
    .name = "fraud diff",
    .summary = "compares the decisions of two rule sets",
    .synopsis = "--rules FILE --baseline FILE --events FILE",
    .paragraphs = diff_paragraphs,
    .options = diff_options,
    .examples = diff_examples,
    .exits = exits,
    .run = run_replay,
};

static const emk_cli_operand explain_operands[] = {
    {"EVENT", EMK_CLI_WORD, "the id of the event; with --server, of the decision", false},
    {0},
};
static const char *const explain_paragraphs[] = {
    "Replays the log up to one event and shows its decision: every reason with the value it saw "
    "and the limit, and what would have had to be different for a milder answer.",
    "Without --rules and --events it asks the server of `earmark admin login` (or --server) for a "
    "decision that it stored.",
    NULL};
static const emk_cli_option explain_options[] = {
    {"rules", 0, EMK_CLI_FILE, "FILE", "the rule set", false},
    {"events", 0, EMK_CLI_FILE, "FILE", "the events, JSON lines; - is standard input", false},
    UNTIL,
    THREADS,
    EMK_CLI_OPTION_SERVER,
    EMK_CLI_OPTION_CA,
    EMK_CLI_OPTION_PIN,
    EMK_CLI_OPTION_SESSION,
    EMK_CLI_OPTION_PASSWORD,
    {0},
};
static const emk_cli_example explain_examples[] = {
    {"Why was this refused?",
     "earmark fraud explain 01K3ABC --rules rules/base.yaml --events e.jsonl"},
    {"And what did the server say?",
     "earmark fraud explain hE3kq0aVt8s9mB2c --server https://models.example.com"},
    {0},
};
static const emk_cli_exit explain_exits[] = {
    {EMK_E_NOT_FOUND, "no event of the log, or no decision of the server, has this id"},
    {EMK_E_FORMAT, "the rule set does not compile"},
    {0},
};
const emk_cli_command EMK_CLI_FRAUD_EXPLAIN = {
    .name = "fraud explain",
    .summary = "says why an event was decided as it was",
    .synopsis = "EVENT (--rules FILE --events FILE | --server URL)",
    .paragraphs = explain_paragraphs,
    .operands = explain_operands,
    .options = explain_options,
    .examples = explain_examples,
    .exits = explain_exits,
    .run = run_explain,
};
