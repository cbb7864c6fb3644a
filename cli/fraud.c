#include "cli/fraud.h"

#include "cli/files.h"
#include "cli/fraud_figures.h"
#include "core/base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define RULES_MAX (1u << 20)
#define LOG_MAX   (UINT64_C(8) << 30)

emk_status emk_cli_fraud_rules(emk_cli *cli, const char *path, emk_fraud_ruleset **out)
{
    const emk_crypto *c = NULL;
    emk_yaml_diag d = {.line = 0};
    emk_buf text;
    emk_status st = emk_cli_read_input(cli, path, RULES_MAX, &text);

    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_fraud_ruleset_new(c, path, emk_buf_span(&text), out, &d, &cli->error);
    emk_buf_done(&text);
    if (st != EMK_OK && d.text[0]) {
        st = emk_cli_advise(cli, st, "The language of rule sets: docs/spec/fraud-rules.md.");
        snprintf(cli->message, sizeof cli->message, "%.250s", d.text);
    }
    return st == EMK_OK ? st : emk_cli_about(cli, st, path);
}

/* Packed files would be one bad line; whoever sends one wants to hear it. */
static bool is_packed(emk_span s)
{
    static const char *const MAGIC[] = {"\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh", "\3757zXZ",
                                        "PK\x03\x04"};

    for (size_t i = 0; i < sizeof MAGIC / sizeof MAGIC[0]; i++) {
        size_t n = strlen(MAGIC[i]);

        if (s.len >= n && memcmp(s.p, MAGIC[i], n) == 0)
            return true;
    }
    return false;
}

emk_status emk_cli_fraud_log(emk_cli *cli, const char *path, emk_buf *out)
{
    emk_status st = emk_cli_read_input(cli, path, LOG_MAX, out);

    if (st == EMK_OK && is_packed(emk_buf_span(out)))
        return emk_fail(&cli->error, EMK_E_UNSUPPORTED,
                        "fraud: the file is compressed: unpack it first", 0);
    /* A byte order mark is no part of the first line. */
    if (st == EMK_OK && out->len >= 3 && memcmp(out->p, "\xef\xbb\xbf", 3) == 0) {
        out->len -= 3;
        memmove(out->p, out->p + 3, out->len);
    }
    return st;
}

static void put_actions(emk_cli *cli, const char *key, const uint64_t *n)
{
    emk_cli_begin(&cli->out, key);
    for (unsigned i = 0; i < EMK_FRAUD_ACTIONS; i++)
        emk_cli_put_number(&cli->out, EMK_FRAUD_ACTION_NAME[i], n[i]);
    emk_cli_end(&cli->out);
}

static void put_interval(emk_cli *cli, const char *key, uint64_t k, uint64_t n)
{
    uint64_t low, high;

    emk_fraud_wilson(k, n, &low, &high);
    emk_cli_begin(&cli->out, key);
    emk_cli_put_ratio(&cli->out, "value", k, n);
    emk_cli_put_ratio(&cli->out, "low", low, 1000000);
    emk_cli_put_ratio(&cli->out, "high", high, 1000000);
    emk_cli_put_number(&cli->out, "k", k);
    emk_cli_put_number(&cli->out, "n", n);
    emk_cli_end(&cli->out);
}

static uint64_t count_fraud(const emk_fraud_labels *l)
{
    uint64_t n = 0;

    for (uint64_t i = 0; l && i <= l->mask; i++)
        n += l->cases[i].key && l->cases[i].label == EMK_FRAUD_FRAUD_LABEL &&
             l->cases[i].first_ms != 0;
    return n;
}

static emk_fraud_action alone(const emk_fraud_ruleset *rs, const emk_fraud_rule_info *info)
{
    emk_fraud_action a = EMK_FRAUD_ALLOW;

    for (unsigned i = EMK_FRAUD_OBSERVE; i < EMK_FRAUD_BAN; i++) {
        if (info->score >= emk_fraud_ruleset_enter(rs, (emk_fraud_action)i))
            a = (emk_fraud_action)i;
    }
    return a;
}

static void put_gate(emk_cli *cli, const emk_fraud_replay_rule *r, emk_fraud_action a)
{
    emk_fraud_gate g;

    emk_fraud_promotion(r, a, &g);
    emk_cli_begin(&cli->out, "promotion");
    emk_cli_put_bool(&cli->out, "ready", g.days && g.hits && g.precision && g.budget);
    emk_cli_put_number(&cli->out, "days", g.shadow_days);
    emk_cli_put_bool(&cli->out, "days_enough", g.days);
    emk_cli_put_bool(&cli->out, "hits_enough", g.hits);
    emk_cli_put_bool(&cli->out, "precision_enough", g.precision);
    emk_cli_put_bool(&cli->out, "within_budget", g.budget);
    emk_cli_end(&cli->out);
}

static void put_rule(emk_cli *cli, const emk_fraud_rule_info *info, const emk_fraud_ruleset *rs,
                     const emk_fraud_replay_rule *r, const emk_fraud_replay_options *o,
                     bool left_out)
{
    emk_cli_begin(&cli->out, NULL);
    emk_cli_put_string(&cli->out, "rule", info->id);
    emk_cli_put_string(&cli->out, "name", info->name);
    emk_cli_put_number(&cli->out, "hits", r->hits);
    emk_cli_put_number(&cli->out, "hits_shadow", r->hits_shadow);
    emk_cli_put_number(&cli->out, "unique_entities", r->unique);
    emk_cli_put_number(&cli->out, "unknown", r->stats.unknown);
    emk_cli_put_bool(&cli->out, "demoted", r->stats.demoted);
    if (o->labels) {
        emk_cli_put_number(&cli->out, "entities", r->entities);
        emk_cli_put_number(&cli->out, "true_positives", r->tp);
        emk_cli_put_number(&cli->out, "false_positives", r->fp);
        put_interval(cli, "precision", r->tp, r->tp + r->fp);
        put_interval(cli, "recall", r->tp, count_fraud(o->labels));
        put_gate(cli, r, alone(rs, info));
    }
    if (left_out) {
        emk_cli_put_number(&cli->out, "lost_without", r->lost);
        emk_cli_put_number(&cli->out, "spared_without", r->spared);
    }
    emk_cli_end(&cli->out);
}

static const char *const STEP[EMK_FRAUD_STEPS] = {"challenge", "throttle", "deny"};

static void put_detection(emk_cli *cli, const emk_fraud_labels *l, int group)
{
    emk_cli_begin(&cli->out, "to_detect");
    for (unsigned i = 0; i < EMK_FRAUD_STEPS; i++) {
        emk_fraud_spread requests = emk_fraud_spread_of(l, group, i, false),
                         seconds = emk_fraud_spread_of(l, group, i, true);

        emk_cli_begin(&cli->out, STEP[i]);
        emk_cli_put_number(&cli->out, "entities", requests.n);
        emk_cli_put_number(&cli->out, "requests_median", requests.median);
        emk_cli_put_number(&cli->out, "requests_p95", requests.p95);
        emk_cli_put_number(&cli->out, "seconds_median", seconds.median);
        emk_cli_put_number(&cli->out, "seconds_p95", seconds.p95);
        emk_cli_end(&cli->out);
    }
    emk_cli_end(&cli->out);
}

static void put_totals(emk_cli *cli, const emk_fraud_totals *t, bool fraud)
{
    emk_cli_put_number(&cli->out, "entities", t->n);
    emk_cli_put_number(&cli->out, "entity_days", t->days);
    for (unsigned s = 0; s < EMK_FRAUD_STEPS; s++) {
        emk_cli_begin(&cli->out, STEP[s]);
        put_interval(cli, fraud ? "recall" : "false_positive_entities", t->reached[s], t->n);
        put_interval(cli, "entity_days_touched", t->step_days[s], t->days);
        emk_cli_put_number(&cli->out, "entity_days_touched_ppm",
                           t->days ? t->step_days[s] * 1000000 / t->days : 0);
        if (!fraud)
            put_interval(cli, "false_positives_per_user_day", t->user_step_days[s], t->user_days);
        emk_cli_end(&cli->out);
    }
    emk_cli_put_number(&cli->out, "cost_asked", (uint64_t)(t->cost / 1000));
    emk_cli_put_number(&cli->out, "cost_stopped", (uint64_t)(t->stopped / 1000));
    emk_cli_put_ratio(&cli->out, "cost_stopped_share", (uint64_t)t->stopped, (uint64_t)t->cost);
}

static void put_groups(emk_cli *cli, const emk_fraud_labels *l)
{
    static const char *const words[] = {"ok", "fraud", "unsure"};

    emk_cli_begin_list(&cli->out, "groups");
    for (unsigned g = 0; g < l->n_groups; g++) {
        emk_fraud_totals t = emk_fraud_totals_of(l, (int)g, l->group[g].label);
        bool fraud = l->group[g].label == EMK_FRAUD_FRAUD_LABEL;

        emk_cli_begin(&cli->out, NULL);
        emk_cli_put_string(&cli->out, "group", l->group[g].name);
        emk_cli_put_string(&cli->out, "label", words[l->group[g].label]);
        put_totals(cli, &t, fraud);
        if (fraud)
            put_detection(cli, l, (int)g);
        emk_cli_end(&cli->out);
    }
    emk_cli_end(&cli->out);
}

static void put_label_counts(emk_cli *cli, const emk_fraud_labels *l)
{
    uint64_t by[3] = {0};

    for (uint64_t i = 0; i <= l->mask; i++)
        if (l->cases[i].key)
            by[l->cases[i].label]++;
    emk_cli_begin(&cli->out, "labels");
    emk_cli_put_number(&cli->out, "from_file", l->from_file);
    emk_cli_put_number(&cli->out, "from_log", l->from_log);
    emk_cli_put_number(&cli->out, "entities", l->n);
    emk_cli_put_number(&cli->out, "fraud", by[EMK_FRAUD_FRAUD_LABEL]);
    emk_cli_put_number(&cli->out, "ok", by[EMK_FRAUD_OK_LABEL]);
    emk_cli_put_number(&cli->out, "unsure", by[EMK_FRAUD_UNSURE_LABEL]);
    emk_cli_put_number(&cli->out, "never_seen", emk_fraud_never_seen(l));
    emk_cli_put_number(&cli->out, "unknown_keys", l->ignored);
    emk_cli_end(&cli->out);
}

static void put_labels(emk_cli *cli, const emk_fraud_labels *l)
{
    emk_fraud_totals ok = emk_fraud_totals_of(l, -1, EMK_FRAUD_OK_LABEL),
                     bad = emk_fraud_totals_of(l, -1, EMK_FRAUD_FRAUD_LABEL);

    put_label_counts(cli, l);
    emk_cli_begin(&cli->out, "fraud");
    put_totals(cli, &bad, true);
    put_detection(cli, l, -1);
    emk_cli_end(&cli->out);
    emk_cli_begin(&cli->out, "ok");
    put_totals(cli, &ok, false);
    emk_cli_end(&cli->out);
    put_groups(cli, l);
}

static void put_refusals(emk_cli *cli, const emk_fraud_replay_report *r)
{
    emk_cli_begin_list(&cli->out, "refused");
    for (unsigned i = 0; i < r->n_refusals; i++) {
        const emk_fraud_refusal *f = &r->refusal[i];

        emk_cli_begin(&cli->out, NULL);
        emk_cli_put_string(&cli->out, "why", f->what);
        emk_cli_put_number(&cli->out, "lines", f->lines);
        emk_cli_begin_list(&cli->out, "first");
        for (unsigned k = 0; k < EMK_FRAUD_REFUSED_FIRST && k < f->lines; k++) {
            emk_cli_begin(&cli->out, NULL);
            emk_cli_put_number(&cli->out, "line", f->line[k]);
            emk_cli_put_number(&cli->out, "byte", f->byte[k]);
            emk_cli_end(&cli->out);
        }
        emk_cli_end(&cli->out);
        emk_cli_end(&cli->out);
    }
    emk_cli_end(&cli->out);
}

static void put_unknown(emk_cli *cli, const emk_fraud_replay_report *r)
{
    emk_cli_begin(&cli->out, "unknown_keys");
    emk_cli_put_number(&cli->out, "keys", r->unknown_keys);
    emk_cli_put_number(&cli->out, "lines", r->unknown_lines);
    emk_cli_begin_list(&cli->out, "names");
    for (unsigned i = 0; i < r->n_unknown; i++)
        emk_cli_put_string(&cli->out, NULL, r->unknown[i]);
    emk_cli_end(&cli->out);
    emk_cli_end(&cli->out);
}

static void put_input(emk_cli *cli, const emk_fraud_replay_report *r)
{
    emk_cli_begin(&cli->out, "input");
    emk_cli_put_number(&cli->out, "lines", r->lines);
    emk_cli_put_number(&cli->out, "blank", r->blank);
    emk_cli_put_number(&cli->out, "events", r->events);
    emk_cli_put_number(&cli->out, "dropped", r->dropped);
    emk_cli_put_number(&cli->out, "duplicate", r->duplicate);
    emk_cli_put_number(&cli->out, "late", r->stats.late);
    emk_cli_put_number(&cli->out, "from_ms", r->first_ms);
    emk_cli_put_number(&cli->out, "to_ms", r->last_ms);
    if (r->first_bad) {
        emk_cli_put_string(&cli->out, "first_dropped", r->first_bad);
        emk_cli_put_number(&cli->out, "first_dropped_line", r->first_bad_line);
        emk_cli_put_number(&cli->out, "first_dropped_at", r->first_bad_where);
        put_refusals(cli, r);
    }
    if (r->unknown_keys)
        put_unknown(cli, r);
    emk_cli_end(&cli->out);
}

/* ---- what a person should know before believing the numbers ---- */

static void put_remark(emk_cli *cli, uint64_t n, const char *text)
{
    char line[256];

    if (n == 0)
        return;
    snprintf(line, sizeof line, "%llu %s", (unsigned long long)n, text);
    if (cli->out.json)
        emk_cli_put_string(&cli->out, NULL, line);
    else
        emk_cli_say(&cli->out, "note: %s", line);
}

#define LEAST_MS UINT64_C(100000000000) /* 1973 in milliseconds: earlier ones are seconds */

void emk_cli_fraud_remarks(emk_cli *cli, const emk_fraud_replay_report *r,
                           const emk_fraud_labels *l)
{
    if (cli->out.json)
        emk_cli_begin_list(&cli->out, "remarks");
    put_remark(
        cli, r->stats.late,
        "events more than 60 s late: they count as if they had come at the clock; sort by ts");
    put_remark(cli, r->dropped, "lines are no events; see input.refused");
    put_remark(cli, r->unknown_lines,
               "lines have keys that no rule can use; see input.unknown_keys");
    put_remark(cli, r->duplicate,
               "events have an id that was there before, and do not count again");
    put_remark(cli, r->events > 0 && r->last_ms < LEAST_MS ? r->events : 0,
               "events are before 1973: ts is in milliseconds");
    if (l)
        put_remark(cli, emk_fraud_never_seen(l), "labelled entities do not appear in the events");
    if (cli->out.json)
        emk_cli_end(&cli->out);
}

static void put_diff(emk_cli *cli, const emk_fraud_replay_report *r)
{
    emk_cli_begin(&cli->out, "against_baseline");
    emk_cli_put_hex(&cli->out, "baseline_stream_sha256", emk_span_of(r->baseline_stream, 32));
    emk_cli_put_number(&cli->out, "newly_denied", r->newly_denied);
    emk_cli_put_number(&cli->out, "newly_allowed", r->newly_allowed);
    emk_cli_put_number(&cli->out, "harder", r->harder);
    emk_cli_put_number(&cli->out, "milder", r->milder);
    emk_cli_begin_list(&cli->out, "samples");
    for (unsigned i = 0; i < r->n_samples; i++) {
        emk_cli_begin(&cli->out, NULL);
        emk_cli_put_string(&cli->out, "id", r->sample[i].id);
        emk_cli_put_number(&cli->out, "line", r->sample[i].line);
        emk_cli_put_string(&cli->out, "was", EMK_FRAUD_ACTION_NAME[r->sample[i].was]);
        emk_cli_put_string(&cli->out, "is", EMK_FRAUD_ACTION_NAME[r->sample[i].is]);
        emk_cli_end(&cli->out);
    }
    emk_cli_end(&cli->out);
    emk_cli_end(&cli->out);
}

void emk_cli_fraud_report(emk_cli *cli, const emk_fraud_ruleset *rs,
                          const emk_fraud_replay_report *r, const emk_fraud_replay_options *o)
{
    emk_fraud_rule_info info;

    emk_cli_put_string(&cli->out, "ruleset", emk_fraud_ruleset_label(rs));
    emk_cli_put_hex(&cli->out, "stream_sha256", emk_span_of(r->stream, 32));
    put_input(cli, r);
    emk_cli_fraud_remarks(cli, r, o->labels);
    put_actions(cli, "decisions", r->actions);
    put_actions(cli, "decisions_with_shadow", r->shadow_actions);
    emk_cli_put_number(&cli->out, "user_days", r->stats.user_days);
    emk_cli_put_number(&cli->out, "events_per_second", r->ns ? r->events * 1000000000 / r->ns : 0);
    if (o->labels)
        put_labels(cli, o->labels);
    if (o->baseline)
        put_diff(cli, r);
    emk_cli_begin_list(&cli->out, "rules");
    for (size_t i = 0; i < emk_fraud_ruleset_rules(rs); i++) {
        emk_fraud_ruleset_rule(rs, i, &info);
        put_rule(cli, &info, rs, &r->rule[i], o, r->left_one_out);
    }
    emk_cli_end(&cli->out);
}
