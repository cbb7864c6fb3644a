/* check, replay, diff and explain; simulate is in cmd_fraud_simulate.c. */
#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/fraud.h"
#include "cli/text.h"
#include "core/base/alloc.h"
#include "core/base/os_parallel.h"
#include "server/fraud/explore.h"

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

static emk_status read_labels(emk_cli *cli, job *j)
{
    const char *path = emk_cli_option_value(cli, "labels");
    emk_status st;

    if (!path)
        return EMK_OK;
    st = emk_cli_fraud_log(cli, path, &j->label_text);
    if (st == EMK_OK)
        st = emk_fraud_labels_read(emk_buf_span(&j->label_text), j->o.until_ms, &j->labels,
                                   &cli->error);
    if (st == EMK_OK)
        j->o.labels = &j->labels;
    return emk_cli_about(cli, st, path);
}

static emk_status prepare(emk_cli *cli, job *j)
{
    bool explain = cli->command == &EMK_CLI_FRAUD_EXPLAIN;
    const char *base = explain ? NULL : emk_cli_option_value(cli, "baseline");
    const char *events = emk_cli_option_value(cli, "events");
    emk_status st = read_numbers(cli, j);

    emk_fraud_options_init(&j->o.engine);
    j->o.leave_one_out = !explain && emk_cli_option_given(cli, "leave-one-out");
    if (st == EMK_OK)
        st = emk_cli_fraud_rules(cli, emk_cli_option_value(cli, "rules"), &j->rules);
    if (st == EMK_OK && base)
        st = emk_cli_fraud_rules(cli, base, &j->baseline);
    j->o.baseline = j->baseline;
    if (st == EMK_OK && !explain)
        st = read_labels(cli, j);
    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_cli_fraud_log(cli, events, &j->events), events);
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
    emk_fraud_explored_add(&l->explored, d, c ? c->label : EMK_FRAUD_UNSURE_LABEL, c && c->key);
}

static void put_learnt(emk_cli *cli, const learning *l)
{
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
    /* A log of another kind altogether is a mistake, not an empty log. */
    if (st == EMK_OK && j.report->dropped &&
        (j.report->dropped == j.report->lines || emk_cli_option_given(cli, "strict"))) {
        st = emk_fail(&cli->error, EMK_E_FORMAT, j.report->first_bad, j.report->first_bad_line);
        st = emk_cli_advise(cli, st, "Line %llu of the events, byte %llu.",
                            (unsigned long long)j.report->first_bad_line,
                            (unsigned long long)j.report->first_bad_where);
    }
    if (st == EMK_OK)
        emk_cli_fraud_report(cli, j.rules, j.report, &j.o);
    if (st == EMK_OK)
        put_learnt(cli, &learnt);
    finish(&j);
    return st;
}

/* ---- explain ---- */

/* The decision that is asked for, when the replay comes by it. */
typedef struct asked {
    emk_cli *cli;
    const emk_fraud_ruleset *rs;
    emk_span id;
    bool found;
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
    if (r->now) {
        emk_cli_put_string(&cli->out, "when", info.when);
        put_milli(cli, "value", r->value);
        put_milli(cli, "limit", r->limit);
    }
    emk_cli_end(&cli->out);
}

/* "ID-101 (n >= 3: 5, not 3)" for each of the first n rules. */
static void name_rules(const emk_fraud_ruleset *rs, const emk_fraud_decision *d, unsigned n,
                       char *out, size_t cap)
{
    emk_fraud_rule_info info;
    size_t len = 0;

    for (unsigned i = 0; n > 0 && i < d->n_reasons && len < cap; i++) {
        const emk_fraud_reason *r = &d->reason[i];

        if (r->shadow)
            continue;
        emk_fraud_ruleset_rule(rs, r->rule, &info);
        len +=
            (size_t)snprintf(out + len, cap - len, "%s%s (%s", len ? ", " : "", info.id, info.when);
        if (len < cap && r->now)
            len += (size_t)snprintf(out + len, cap - len, ": it was %lld, the limit is %lld",
                                    (long long)r->value / EMK_FRAUD_MILLI,
                                    (long long)r->limit / EMK_FRAUD_MILLI);
        if (len < cap)
            len += (size_t)snprintf(out + len, cap - len, ")");
        n--;
    }
}

/* What would have had to be different for a milder answer. */
static void put_change(emk_cli *cli, const emk_fraud_ruleset *rs, const emk_fraud_decision *d)
{
    int64_t adds[EMK_FRAUD_REASONS];
    char rules[512] = "", text[640];
    emk_fraud_action then = EMK_FRAUD_ALLOW;
    unsigned n = 0;

    if (d->action == EMK_FRAUD_ALLOW)
        return;
    if (d->flags & EMK_FRAUD_IS_BANNED) {
        emk_cli_put_string(&cli->out, "would_change",
                           "a ban was there before: its end, or admin.unban");
        return;
    }
    put_milli(cli, "score_over_limit", d->score - emk_fraud_ruleset_enter(rs, d->action));
    for (unsigned i = 0; i < d->n_reasons; i++)
        if (!d->reason[i].shadow)
            adds[n++] = d->reason[i].add;
    n = emk_fraud_counterfactual(rs, d->action, d->score, adds, n, &then);
    name_rules(rs, d, n, rules, sizeof rules);
    if (d->flags & EMK_FRAUD_IS_HELD)
        snprintf(text, sizeof text, "an earlier %s still holds: %s",
                 EMK_FRAUD_ACTION_NAME[d->action], "its time, a passed challenge, or admin.clear");
    else if (n)
        snprintf(text, sizeof text, "without %s it would have been %s", rules,
                 EMK_FRAUD_ACTION_NAME[then]);
    else
        snprintf(text, sizeof text, "%s", "no rule alone or together: the emergency switch");
    emk_cli_put_string(&cli->out, "would_change", text);
}

static void watch(void *self, uint64_t line, const emk_fraud_event *ev, const emk_fraud_decision *d)
{
    asked *a = self;
    emk_cli *cli = a->cli;

    if (a->found || !emk_fraud_has(ev, EMK_FRAUD_F_ID) ||
        !emk_span_equal(ev->f[EMK_FRAUD_F_ID].text, a->id))
        return;
    a->found = true;
    emk_cli_put_text(&cli->out, "event", a->id);
    emk_cli_put_number(&cli->out, "line", line);
    emk_cli_put_string(&cli->out, "type", EMK_FRAUD_TYPE[ev->type].name);
    emk_cli_put_string(&cli->out, "ruleset", emk_fraud_ruleset_label(a->rs));
    emk_cli_put_string(&cli->out, "action", EMK_FRAUD_ACTION_NAME[d->action]);
    emk_cli_put_string(&cli->out, "with_shadow", EMK_FRAUD_ACTION_NAME[d->shadow]);
    put_milli(cli, "score", d->score);
    emk_cli_put_number(&cli->out, "families", d->families);
    emk_cli_put_bool(&cli->out, "hard", (d->flags & EMK_FRAUD_IS_HARD) != 0);
    emk_cli_put_bool(&cli->out, "held", (d->flags & EMK_FRAUD_IS_HELD) != 0);
    emk_cli_put_bool(&cli->out, "late", (d->flags & EMK_FRAUD_IS_LATE) != 0);
    emk_cli_put_number(&cli->out, "retry_after", d->retry_after_s);
    put_change(cli, a->rs, d);
    emk_cli_begin_list(&cli->out, "reasons");
    for (unsigned i = 0; i < d->n_reasons; i++)
        put_reason(cli, a->rs, &d->reason[i]);
    emk_cli_end(&cli->out);
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

static emk_status explain_event(emk_cli *cli)
{
    const emk_crypto *c = NULL;
    asked a = {.cli = cli, .id = emk_span_str(emk_cli_operand_at(cli, 0))};
    job j;
    emk_status st;

    memset(&j, 0, sizeof j);
    st = prepare(cli, &j);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    a.rs = j.rules;
    j.o.watch = watch;
    j.o.watch_self = &a;
    if (st == EMK_OK)
        st = emk_fraud_replay(c, j.rules, emk_buf_span(&j.events), &j.o, j.report, &cli->error);
    if (st == EMK_OK && !a.found)
        st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "fraud explain: no event has this id", 0);
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
#define STRICT                                                                       \
    {                                                                                \
        "strict", 0, EMK_CLI_FLAG, NULL,                                             \
            "fail at the first line that is no event, instead of counting it", false \
    }
#define LEAVE                                                                           \
    {                                                                                   \
        "leave-one-out", 0, EMK_CLI_FLAG, NULL,                                         \
            "replay once more without each rule that fired: what it alone finds", false \
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
    "events are left out and counted. Nothing outside the files is looked up.",
    NULL};
static const emk_cli_option replay_options[] = {
    RULES,
    EVENTS,
    LABELS,
    UNTIL,
    THREADS,
    STRICT,
    LEAVE,
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
    RULES,   EVENTS,
    LABELS,  UNTIL,
    THREADS, STRICT,
    LEAVE,   {"baseline", 0, EMK_CLI_FILE, "FILE", "the rule set to compare with", true},
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
