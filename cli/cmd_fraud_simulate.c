#include "cli/commands.h"
#include "cli/files.h"
#include "cli/text.h"
#include "core/base/buf.h"
#include "server/fraud/trace.h"

#include <string.h>

#define START_MS UINT64_C(1767225600000) /* 2026-01-01 */

static emk_status number(emk_cli *cli, const char *name, uint64_t usual, uint64_t max,
                         uint64_t *out)
{
    const char *text = emk_cli_option_value(cli, name);

    *out = usual;
    if (text && (emk_cli_parse_number(text, out, &cli->error) != EMK_OK || *out > max))
        return emk_cli_usage(cli, "--%s takes a number up to %llu", name, (unsigned long long)max);
    return EMK_OK;
}

static emk_status read_options(emk_cli *cli, emk_fraud_trace_options *o)
{
    const char *set = emk_cli_option_value(cli, "attacks");
    uint64_t users = 0, days = 0, each = 0;
    emk_status st = number(cli, "seed", 1, UINT64_MAX, &o->seed);

    if (st == EMK_OK)
        st = number(cli, "users", 1000, EMK_FRAUD_TRACE_USERS_MAX, &users);
    if (st == EMK_OK)
        st = number(cli, "days", 14, EMK_FRAUD_TRACE_DAYS_MAX, &days);
    if (st == EMK_OK)
        st = number(cli, "each", 5, 10000, &each);
    if (st != EMK_OK)
        return st;
    o->sets = EMK_FRAUD_TRACE_DEVELOP | EMK_FRAUD_TRACE_HELD_OUT;
    if (set && strcmp(set, "develop") == 0)
        o->sets = EMK_FRAUD_TRACE_DEVELOP;
    else if (set && strcmp(set, "held-out") == 0)
        o->sets = EMK_FRAUD_TRACE_HELD_OUT;
    else if (set && strcmp(set, "blind") == 0)
        o->sets = EMK_FRAUD_TRACE_BLIND;
    else if (set && strcmp(set, "blind2") == 0)
        o->sets = EMK_FRAUD_TRACE_BLIND2;
    else if (set && strcmp(set, "none") == 0)
        o->sets = 0;
    else if (set && strcmp(set, "all") != 0)
        return emk_cli_usage(cli, "--attacks is develop, held-out, blind, blind2, all or none");
    o->users = (uint32_t)users;
    o->days = (uint32_t)days;
    o->attacks = (uint32_t)each;
    o->adaptive = emk_cli_option_given(cli, "adaptive");
    o->start_ms = START_MS;
    return EMK_OK;
}

static emk_status run(emk_cli *cli)
{
    emk_fraud_trace_options o = {.seed = 1};
    emk_buf events, labels;
    emk_status st = read_options(cli, &o);

    emk_buf_init(&events, EMK_FRAUD_TRACE_LEN_MAX);
    emk_buf_init(&labels, EMK_FRAUD_TRACE_LEN_MAX);
    if (st == EMK_OK)
        st = emk_fraud_trace(&o, &events, &labels, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, emk_cli_option_value(cli, "events"), emk_buf_span(&events));
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, emk_cli_option_value(cli, "labels"), emk_buf_span(&labels));
    if (st == EMK_OK) {
        emk_cli_put_number(&cli->out, "seed", o.seed);
        emk_cli_put_size(&cli->out, "events_bytes", events.len);
        emk_cli_put_size(&cli->out, "labels_bytes", labels.len);
    }
    emk_buf_done(&events);
    emk_buf_done(&labels);
    return st;
}

static const char *const paragraphs[] = {
    "Writes a log of events and the truth about it: ten kinds of people who mean well, and attacks "
    "of the catalogue, with parameters drawn from ranges. The same seed gives the same bytes. "
    "Attacks come in sets: those the shipped rules were written with, those held out (all: both), "
    "and, only by their names, two (blind, blind2) of people who had not read the rules; with the "
    "second come three more kinds of people who mean well.",
    NULL};
static const emk_cli_option options[] = {
    {"events", 0, EMK_CLI_FILE, "FILE", "where the events go, JSON lines", true},
    {"labels", 0, EMK_CLI_FILE, "FILE", "where the labels go, JSON lines", true},
    {"seed", 0, EMK_CLI_WORD, "N", "another log for each number (1)", false},
    {"users", 0, EMK_CLI_WORD, "N", "people who mean well (1000)", false},
    {"days", 0, EMK_CLI_WORD, "N", "length of the log, 4 to 90 (14)", false},
    {"each", 0, EMK_CLI_WORD, "N", "attackers of each family (5)", false},
    {"attacks", 0, EMK_CLI_WORD, "SET", "develop, held-out, blind, blind2, all or none (all)",
     false},
    {"adaptive", 0, EMK_CLI_FLAG, NULL, "attackers know the thresholds and stay just below", false},
    {0},
};
static const emk_cli_example examples[] = {
    {"A log to try rules on:",
     "earmark fraud simulate --seed 7 --events e.jsonl --labels l.jsonl --users 2000"},
    {0},
};
const emk_cli_command EMK_CLI_FRAUD_SIMULATE = {
    .name = "fraud simulate",
    .summary = "makes a log with known truth",
    .synopsis = "--events FILE --labels FILE [--seed N]",
    .paragraphs = paragraphs,
    .options = options,
    .examples = examples,
    .run = run,
};
