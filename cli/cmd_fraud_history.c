/* Runs a server's own log again, each line by the rules that decided it. */
#include "cli/commands.h"
#include "cli/fraud.h"
#include "cli/text.h"
#include "server/fraud/history.h"
#include "server/fraud/log.h"

#include <string.h>

#define LOG_MAX (UINT64_C(1) << 32)

static emk_status keep(void *self, emk_span line, uint64_t end, emk_error *e)
{
    emk_status st = emk_buf_append(self, line, e);

    (void)end;
    return st == EMK_OK ? emk_buf_append(self, emk_span_str("\n"), e) : st;
}

static void put_report(emk_cli *cli, const emk_fraud_history_report *r)
{
    emk_cli_put_number(&cli->out, "events", r->events);
    emk_cli_put_number(&cli->out, "dropped", r->dropped);
    emk_cli_put_number(&cli->out, "rule_changes", r->changes);
    emk_cli_put_string(&cli->out, "ruleset", r->ruleset);
    emk_cli_put_hex(&cli->out, "decisions_sha256", emk_span_of(r->sha256, sizeof r->sha256));
    emk_cli_begin(&cli->out, "decisions");
    for (unsigned i = 0; i < EMK_FRAUD_ACTIONS; i++)
        emk_cli_put_number(&cli->out, EMK_FRAUD_ACTION_NAME[i], r->actions[i]);
    emk_cli_end(&cli->out);
}

static emk_status run(emk_cli *cli)
{
    const char *dir = emk_cli_operand_at(cli, 0);
    emk_fraud_history_options o = {.dir = dir};
    emk_fraud_history_report report;
    const emk_crypto *c = NULL;
    emk_buf events;
    emk_status st;

    emk_fraud_options_init(&o.engine);
    emk_buf_init(&events, LOG_MAX);
    st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_fraud_log_read(dir, 0, UINT64_MAX, keep, &events, &cli->error);
    if (st == EMK_OK)
        st = emk_fraud_history(c, emk_buf_span(&events), &o, &report, &cli->error);
    emk_buf_done(&events);
    if (st == EMK_OK)
        put_report(cli, &report);
    return emk_cli_about(cli, st, dir);
}

static const char *const paragraphs[] = {
    "Reads the log of a server (its folder \"fraud\", or a copy) and decides every event again, "
    "each by the rule set and draft that decided then: they are kept beside the log, and each "
    "change is an event in it. The same folder gives the same decisions and the same hash.",
    NULL};
static const emk_cli_operand operands[] = {
    {"DIR", EMK_CLI_FILE, "the folder with events-*.jsonl and rules-*.yaml", false},
    {0},
};
static const emk_cli_example examples[] = {
    {"What was decided, across changes of the rules?", "earmark fraud history fraud --json"},
    {0},
};
const emk_cli_command EMK_CLI_FRAUD_HISTORY = {
    .name = "fraud history",
    .summary = "decides a server's log again, across changes of its rules",
    .synopsis = "DIR",
    .paragraphs = paragraphs,
    .operands = operands,
    .examples = examples,
    .run = run,
};
