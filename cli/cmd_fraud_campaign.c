/* Looks for groups that act together; proposes, and changes nothing. */
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/fraud.h"
#include "cli/text.h"
#include "server/fraud/campaign.h"

#define EXPIRES_MS (UINT64_C(14) * 86400000)

static emk_status number(emk_cli *cli, const char *name, uint64_t max, uint64_t *out)
{
    const char *text = emk_cli_option_value(cli, name);
    emk_status st;

    *out = 0;
    if (!text)
        return EMK_OK;
    st = emk_cli_parse_number(text, out, &cli->error);
    if (st != EMK_OK || *out == 0 || *out > max)
        return emk_cli_usage(cli, "--%s takes a number from 1 to %llu", name,
                             (unsigned long long)max);
    return EMK_OK;
}

static emk_status read_options(emk_cli *cli, emk_fraud_campaign_options *o)
{
    uint64_t times, group, bucket;
    emk_status st = number(cli, "since", EMK_FRAUD_TS_MAX, &o->from_ms);

    if (st == EMK_OK)
        st = number(cli, "until", EMK_FRAUD_TS_MAX, &o->to_ms);
    if (st == EMK_OK)
        st = number(cli, "times", 1000, &times);
    if (st == EMK_OK)
        st = number(cli, "group", 1000000, &group);
    if (st == EMK_OK)
        st = number(cli, "bucket", 86400, &bucket);
    if (st != EMK_OK)
        return st;
    o->times = (uint32_t)times;
    o->group = (uint32_t)group;
    o->bucket_s = (uint32_t)bucket;
    return EMK_OK;
}

static void put_users(emk_cli *cli, const emk_fraud_campaigns *c, const emk_fraud_group_found *g)
{
    emk_cli_begin_list(&cli->out, "users");
    for (size_t i = g->first; i < g->first + g->n; i++) {
        emk_cli_begin(&cli->out, NULL);
        emk_cli_put_string(&cli->out, "user", c->member[i].user);
        if (c->member[i].tenant[0])
            emk_cli_put_string(&cli->out, "tenant", c->member[i].tenant);
        emk_cli_put_number(&cli->out, "acted_with", c->member[i].links);
        emk_cli_end(&cli->out);
    }
    emk_cli_end(&cli->out);
}

static void put_group(emk_cli *cli, const emk_fraud_campaigns *c, const emk_fraud_group_found *g)
{
    const emk_fraud_campaign_row *row = &EMK_FRAUD_CAMPAIGN[g->kind];

    emk_cli_begin(&cli->out, NULL);
    emk_cli_put_string(&cli->out, "kind", row->name);
    emk_cli_put_string(&cli->out, "they", row->says);
    emk_cli_put_number(&cli->out, "members", g->n);
    emk_cli_begin(&cli->out, "evidence");
    for (size_t i = 0; i < EMK_FRAUD_EVIDENCE && row->number[i]; i++)
        emk_cli_put_number(&cli->out, row->number[i], g->number[i]);
    if (g->chance_bits > 0)
        emk_cli_put_number(&cli->out, "by_chance_once_in_2_to_the", g->chance_bits);
    emk_cli_end(&cli->out);
    put_users(cli, c, g);
    emk_cli_end(&cli->out);
}

static void put_campaigns(emk_cli *cli, const emk_fraud_campaigns *c)
{
    emk_cli_put_number(&cli->out, "grants", c->events);
    emk_cli_put_number(&cli->out, "pairs", c->pairs);
    emk_cli_put_number(&cli->out, "n_groups", c->groups);
    emk_cli_put_string(&cli->out, "proposal",
                       c->groups ? "put the users on a list that a rule of yours asks for, after a "
                                   "person has looked at them"
                                 : "none");
    emk_cli_put_number(&cli->out, "proposal_expires_ms", c->last_ms + EXPIRES_MS);
    emk_cli_begin_list(&cli->out, "groups");
    for (size_t i = 0; i < c->groups; i++)
        put_group(cli, c, &c->group[i]);
    emk_cli_end(&cli->out);
}

static emk_status run(emk_cli *cli)
{
    const char *path = emk_cli_option_value(cli, "events");
    emk_fraud_campaign_options o = {.times = 0};
    emk_fraud_campaigns found = {.n = 0};
    emk_buf events;
    emk_status st = read_options(cli, &o);

    if (st != EMK_OK)
        return st;
    st = emk_cli_about(cli, emk_cli_fraud_log(cli, path, &events), path);
    if (st == EMK_OK)
        st = emk_fraud_campaign(emk_buf_span(&events), &o, &found, &cli->error);
    if (st == EMK_OK)
        put_campaigns(cli, &found);
    emk_fraud_campaigns_done(&found);
    emk_buf_done(&events);
    return st;
}

static const char *const paragraphs[] = {
    "Finds groups of accounts that are one thief's. Each member may stay below every limit; "
    "together they are one who takes everything. Kinds: lockstep (the same artifacts within the "
    "same ten minutes, again and again), shared_list (made in one day, one list shared out), "
    "rhythm (the same sequence of pauses), hoard (made in one day at one place or on one kind of "
    "device, and open little), burst (of one network, fetch much at the same times and open none), "
    "key_few (a service key's few who wake on one day), trials (by one payment instrument, or "
    "several in one network).",
    "Meant to be run every hour over the log of the last week. It changes nothing: what it finds "
    "is for a person to look at. The same log gives the same groups. Each has its evidence, and "
    "how improbable it is by chance where that can be computed.",
    NULL};
static const emk_cli_option options[] = {
    {"events", 0, EMK_CLI_FILE, "FILE", "the events, JSON lines; - is standard input", true},
    {"since", 0, EMK_CLI_WORD, "MS", "leave out what is earlier (ms since 1970)", false},
    {"until", 0, EMK_CLI_WORD, "MS", "leave out what is later (ms since 1970)", false},
    {"bucket", 0, EMK_CLI_WORD, "S", "lockstep: seconds that count as together (600)", false},
    {"times", 0, EMK_CLI_WORD, "N", "lockstep: different artifacts that two must share (3)", false},
    {"group", 0, EMK_CLI_WORD, "N", "members that make a group (5; 3 or 4 by kind)", false},
    {0},
};
static const emk_cli_example examples[] = {
    {"Who acts together?", "earmark fraud campaign --events e.jsonl --json"},
    {0},
};
const emk_cli_command EMK_CLI_FRAUD_CAMPAIGN = {
    .name = "fraud campaign",
    .summary = "finds groups of accounts that act as one",
    .synopsis = "--events FILE [--since MS] [--until MS]",
    .paragraphs = paragraphs,
    .options = options,
    .examples = examples,
    .run = run,
};
