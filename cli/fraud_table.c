/* What a replay found, as tables for people; all of it is in the JSON report. */
#include "cli/fraud.h"
#include "cli/fraud_figures.h"
#include "cli/text.h"

#include <string.h>

#define CELL 24u
#define NAME 28

static void line_of_time(uint64_t ms, char out[EMK_CLI_TIME_TEXT])
{
    emk_cli_format_time(ms / 1000, out);
}

static void say_input(emk_cli *cli, const emk_fraud_ruleset *rs, const emk_fraud_replay_report *r)
{
    char from[EMK_CLI_TIME_TEXT], to[EMK_CLI_TIME_TEXT];

    line_of_time(r->first_ms, from);
    line_of_time(r->last_ms, to);
    emk_cli_say(&cli->out, "%s, %llu events from %s to %s", emk_fraud_ruleset_label(rs),
                (unsigned long long)r->events, from, to);
    if (r->first_bad)
        emk_cli_say(&cli->out, "%llu lines are no events; the first is line %llu: %s",
                    (unsigned long long)r->dropped, (unsigned long long)r->first_bad_line,
                    r->first_bad);
}

static void say_actions(emk_cli *cli, const emk_fraud_replay_report *r)
{
    emk_cli_say(&cli->out, "%s", "");
    emk_cli_say(&cli->out, "%-10s %12s %14s", "DECISION", "live", "with shadow");
    for (unsigned i = 0; i < EMK_FRAUD_ACTIONS; i++)
        emk_cli_say(&cli->out, "%-10s %12llu %14llu", EMK_FRAUD_ACTION_NAME[i],
                    (unsigned long long)r->actions[i], (unsigned long long)r->shadow_actions[i]);
}

/* "97 %", of nothing "-". */
static const char *percent(uint64_t k, uint64_t n, char out[CELL])
{
    unsigned long long rounded;

    if (n == 0)
        return "-";
    rounded = (k * 100 + n / 2) / n;
    snprintf(out, CELL, "%llu %%", rounded);
    return out;
}

static void say_group(emk_cli *cli, const char *name, const emk_fraud_totals *t,
                      const emk_fraud_spread *when)
{
    const uint64_t *k = when ? t->reached : t->step_days;
    uint64_t n = when ? t->n : t->days;
    char cell[EMK_FRAUD_STEPS + 1][CELL], requests[CELL] = "-";

    if (when && when->n)
        snprintf(requests, sizeof requests, "%llu / %llu", (unsigned long long)when->median,
                 (unsigned long long)when->p95);
    if (when)
        emk_cli_say(&cli->out, "%-*.*s %8llu %10s %10s %8s %12s %8s", NAME, NAME, name,
                    (unsigned long long)t->n, percent(k[0], n, cell[0]), percent(k[1], n, cell[1]),
                    percent(k[2], n, cell[2]), requests,
                    percent((uint64_t)t->stopped, (uint64_t)t->cost, cell[3]));
    else
        emk_cli_say(&cli->out, "%-*.*s %8llu %10llu %10llu %8llu %12llu", NAME, NAME, name,
                    (unsigned long long)t->n, (unsigned long long)k[0], (unsigned long long)k[1],
                    (unsigned long long)k[2], (unsigned long long)n);
}

static void say_groups_of(emk_cli *cli, const emk_fraud_labels *l, emk_fraud_label label)
{
    bool fraud = label == EMK_FRAUD_FRAUD_LABEL;

    for (unsigned g = 0; g <= l->n_groups; g++) {
        int which = g == l->n_groups ? EMK_FRAUD_ALL_GROUPS : (int)g;
        emk_fraud_totals t = emk_fraud_totals_of(l, which, label);
        emk_fraud_spread when = emk_fraud_spread_of(l, which, 1, false);

        if (t.n && (which == EMK_FRAUD_ALL_GROUPS || l->group[g].label == label))
            say_group(cli, which == EMK_FRAUD_ALL_GROUPS ? "all" : l->group[g].name, &t,
                      fraud ? &when : NULL);
    }
}

static void say_labels(emk_cli *cli, const emk_fraud_labels *l)
{
    emk_cli_say(&cli->out, "%s", "");
    emk_cli_say(&cli->out, "%-*s %8s %10s %10s %8s %12s %8s", NAME, "FRAUD: share of entities",
                "entities", "challenged", "throttled", "denied", "req. to thr.", "cost");
    emk_cli_say(&cli->out, "%-*s %8s %10s %10s %8s %12s %8s", NAME, "", "", "or more", "or more",
                "", "median / p95", "stopped");
    say_groups_of(cli, l, EMK_FRAUD_FRAUD_LABEL);
    emk_cli_say(&cli->out, "%s", "");
    emk_cli_say(&cli->out, "%-*s %8s %10s %10s %8s %12s", NAME, "OK: days touched", "entities",
                "challenged", "throttled", "denied", "of days");
    say_groups_of(cli, l, EMK_FRAUD_OK_LABEL);
}

static void say_rule(emk_cli *cli, const emk_fraud_rule_info *info, const emk_fraud_replay_rule *r,
                     const emk_fraud_replay_report *all, const emk_fraud_labels *l)
{
    static const char *const MODES[] = {"shadow", "live"};
    uint64_t low, high, n = r->tp + r->fp;
    unsigned long long hits = r->hits;
    char precision[CELL] = "-", alone[CELL] = "-";

    hits += r->hits_shadow;
    emk_fraud_wilson(r->tp, n, &low, &high);
    if (l && n)
        snprintf(precision, sizeof precision, "%.2f (%.2f-%.2f)", (double)r->tp / (double)n,
                 (double)low / 1e6, (double)high / 1e6);
    if (all->left_one_out)
        snprintf(alone, sizeof alone, "%llu / %llu", (unsigned long long)r->lost,
                 (unsigned long long)r->spared);
    emk_cli_say(&cli->out, "%-8.8s %-11.11s %-7s %10llu %9llu %8llu %7llu  %-17s %s", info->id,
                info->family, r->stats.demoted ? "demoted" : MODES[r->hits > 0], hits,
                (unsigned long long)r->unique, (unsigned long long)r->tp, (unsigned long long)r->fp,
                precision, alone);
}

static void say_rules(emk_cli *cli, const emk_fraud_ruleset *rs, const emk_fraud_replay_report *r,
                      const emk_fraud_labels *l)
{
    emk_fraud_rule_info info;
    size_t n = emk_fraud_ruleset_rules(rs), silent = 0;

    emk_cli_say(&cli->out, "%s", "");
    emk_cli_say(&cli->out, "%-8s %-11s %-7s %10s %9s %8s %7s  %-17s %s", "RULE", "family", "mode",
                "hits", "entities", "fraud", "ok", "precision (95 %)",
                r->left_one_out ? "only it: found / hit wrongly" : "");
    for (size_t i = 0; i < n; i++) {
        emk_fraud_ruleset_rule(rs, i, &info);
        if (r->rule[i].hits + r->rule[i].hits_shadow)
            say_rule(cli, &info, &r->rule[i], r, l);
        else
            silent++;
    }
    emk_cli_say(&cli->out, "%zu of %zu rules never fired; --json names them", silent, n);
}

static void say_baseline(emk_cli *cli, const emk_fraud_replay_report *r)
{
    emk_cli_say(&cli->out, "%s", "");
    emk_cli_say(&cli->out,
                "Against the baseline: %llu newly denied, %llu newly allowed, %llu harder, %llu "
                "milder; `earmark fraud diff` shows them",
                (unsigned long long)r->newly_denied, (unsigned long long)r->newly_allowed,
                (unsigned long long)r->harder, (unsigned long long)r->milder);
}

void emk_cli_fraud_tables(emk_cli *cli, const emk_fraud_ruleset *rs,
                          const emk_fraud_replay_report *r, const emk_fraud_replay_options *o)
{
    char hash[2 * sizeof r->stream + 1];

    say_input(cli, rs, r);
    emk_cli_fraud_remarks(cli, r, o->labels);
    say_actions(cli, r);
    if (o->labels && o->labels->n)
        say_labels(cli, o->labels);
    say_rules(cli, rs, r, o->labels);
    if (o->baseline)
        say_baseline(cli, r);
    emk_cli_format_hex(emk_span_of(r->stream, sizeof r->stream), hash, sizeof hash);
    emk_cli_say(&cli->out, "%s", "");
    emk_cli_say(&cli->out, "Hash of all decisions: %s", hash);
}
