/* stats: a server's numbers, as they change.
 *
 * The server counts since its start; what is shown are differences between two answers.  On a
 * terminal the picture is drawn anew each time, elsewhere (also TERM=dumb) a line is added. */
#include "cli/admin.h"
#include "cli/commands.h"
#include "cli/os_terminal.h"
#include "cli/text.h"
#include "core/base/os_thread.h"

#include <stdlib.h>
#include <string.h>

#define CLASSES      32u
#define HISTORY      48u
#define INTERVAL_S   2u
#define INTERVAL_MAX 3600u
#define NS_PER_S     UINT64_C(1000000000)

typedef struct sample {
    uint64_t time, uptime_s, ok, refused, failed, at_work;
    uint64_t latencies[CLASSES];
    uint64_t actions[7];
    uint64_t users, devices, tickets, models, blobs;
    uint64_t entries, waiting, checkpoint_age_ms;
    bool writable, ready;
} sample;

typedef struct view {
    emk_cli *cli;
    emk_cli_admin admin;
    emk_lock *lock; /* to wait with */
    sample last, now;
    uint64_t rates[HISTORY]; /* requests a second, in tenths */
    size_t n_rates, n;
    bool screen, unicode;
} view;

static const char *const ACTIONS[] = {"allow", "observe", "challenge", "throttle",
                                      "mark",  "deny",    "ban"};

static uint64_t number(const emk_dom *object, const char *name)
{
    uint64_t v = 0;

    return emk_dom_u64(emk_dom_get_kind(object, name, EMK_DOM_NUMBER), &v) ? v : 0;
}

static bool truth(const emk_dom *object, const char *name)
{
    const emk_dom *d = emk_dom_get_kind(object, name, EMK_DOM_BOOL);

    return d && d->truth;
}

static void read_sample(const emk_dom *json, sample *out)
{
    const emk_dom *requests = emk_dom_get(json, "requests"),
                  *records = emk_dom_get(json, "records");
    const emk_dom *audit = emk_dom_get(json, "audit"), *process = emk_dom_get(json, "process");
    const emk_dom *classes = emk_dom_get_kind(json, "latency_classes", EMK_DOM_ARRAY);
    size_t i = 0;

    *out = (sample){.time = number(json, "time"),
                    .uptime_s = number(json, "uptime_s"),
                    .ok = number(requests, "ok"),
                    .refused = number(requests, "refused"),
                    .failed = number(requests, "failed"),
                    .at_work = number(process, "at_work"),
                    .users = number(records, "users"),
                    .devices = number(records, "devices"),
                    .tickets = number(records, "tickets"),
                    .models = number(records, "models"),
                    .blobs = number(records, "blobs"),
                    .entries = number(audit, "entries"),
                    .waiting = number(audit, "waiting"),
                    .checkpoint_age_ms = number(audit, "checkpoint_age_ms"),
                    .writable = truth(audit, "writable"),
                    .ready = truth(process, "ready")};
    for (const emk_dom *d = classes ? classes->first : NULL; d && i < CLASSES; d = d->next, i++)
        if (!emk_dom_u64(d, &out->latencies[i]))
            out->latencies[i] = 0;
    for (i = 0; i < 7; i++)
        out->actions[i] = number(emk_dom_get(json, "decisions"), ACTIONS[i]);
}

/* A server that was started anew counts from 0. */
static uint64_t since(uint64_t now, uint64_t before)
{
    return now >= before ? now - before : now;
}

static uint64_t all(const sample *s)
{
    return s->ok + s->refused + s->failed;
}

/* The upper end of the class in which the q-th of 1000 answers lies; microseconds. */
static uint64_t quantile_us(const view *v, uint64_t q)
{
    uint64_t n = 0, seen = 0;

    for (size_t i = 0; i < CLASSES; i++)
        n += since(v->now.latencies[i], v->last.latencies[i]);
    for (size_t i = 0; i < CLASSES && n > 0; i++) {
        seen += since(v->now.latencies[i], v->last.latencies[i]);
        if (seen * 1000 >= n * q)
            return UINT64_C(1) << i;
    }
    return 0;
}

static uint64_t rate_tenths(const view *v)
{
    uint64_t s = since(v->now.time, v->last.time);

    return since(all(&v->now), all(&v->last)) * 10 / (s > 0 ? s : 1);
}

static void remember(view *v)
{
    if (v->n_rates == HISTORY)
        memmove(v->rates, v->rates + 1, (HISTORY - 1) * sizeof v->rates[0]);
    else
        v->n_rates++;
    v->rates[v->n_rates - 1] = rate_tenths(v);
}

static void put_spark(const view *v)
{
    static const char *const BARS[] = {"\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83",
                                       "\xe2\x96\x84", "\xe2\x96\x85", "\xe2\x96\x86",
                                       "\xe2\x96\x87", "\xe2\x96\x88"};
    static const char PLAIN[] = "_.-=+*#@";
    uint64_t most = 1;

    for (size_t i = 0; i < v->n_rates; i++)
        most = v->rates[i] > most ? v->rates[i] : most;
    for (size_t i = 0; i < v->n_rates; i++) {
        size_t level = (size_t)(v->rates[i] * 7 / most);

        if (v->unicode)
            fputs(BARS[level], stdout);
        else
            putchar(PLAIN[level]);
    }
    putchar('\n');
}

static void put_us(const char *name, uint64_t us)
{
    if (us >= 1000000)
        printf("  %s < %.1f s", name, (double)us / 1e6);
    else if (us >= 1000)
        printf("  %s < %.1f ms", name, (double)us / 1e3);
    else if (us > 0)
        printf("  %s < %llu us", name, (unsigned long long)us);
    else
        printf("  %s -", name);
}

static void put_decisions(const view *v)
{
    printf("decisions  ");
    for (size_t i = 0; i < 7; i++)
        printf("%s%s %llu", i ? ", " : "", ACTIONS[i], (unsigned long long)v->now.actions[i]);
    putchar('\n');
}

static void draw(const view *v)
{
    const sample *s = &v->now;

    fputs("\033[H\033[2J", stdout);
    printf("%s   up %llu s   %s\n\n", v->admin.profile.url, (unsigned long long)s->uptime_s,
           s->ready ? "ready" : "NOT READY");
    printf("requests   %.1f a second", (double)rate_tenths(v) / 10.0);
    put_us("median", quantile_us(v, 500));
    put_us("p99", quantile_us(v, 990));
    printf("  at work %llu\n           ", (unsigned long long)s->at_work);
    put_spark(v);
    printf("answers    ok %llu, refused %llu, failed %llu\n", (unsigned long long)s->ok,
           (unsigned long long)s->refused, (unsigned long long)s->failed);
    put_decisions(v);
    printf("records    users %llu, devices %llu, tickets %llu, models %llu, waiting %llu\n",
           (unsigned long long)s->users, (unsigned long long)s->devices,
           (unsigned long long)s->tickets, (unsigned long long)s->models,
           (unsigned long long)s->blobs);
    printf("audit      entries %llu, checkpoint %.1f s old, %s\n", (unsigned long long)s->entries,
           (double)s->checkpoint_age_ms / 1e3, s->writable ? "writable" : "CANNOT BE WRITTEN");
    printf("\nends with Ctrl-C\n");
    fflush(stdout);
}

static void add_line(const view *v)
{
    printf("%s%.1f requests/s", v->now.ready ? "" : "NOT READY  ", (double)rate_tenths(v) / 10.0);
    put_us("p99", quantile_us(v, 990));
    printf("  refused %llu  failed %llu  tickets %llu  audit %llu%s\n",
           (unsigned long long)since(v->now.refused, v->last.refused),
           (unsigned long long)since(v->now.failed, v->last.failed),
           (unsigned long long)v->now.tickets, (unsigned long long)v->now.entries,
           v->now.writable ? "" : " CANNOT BE WRITTEN");
    fflush(stdout);
}

/* One answer; with --json or --once it is what is printed. */
static emk_status ask(view *v, bool print)
{
    emk_cli_admin_call call = {.method = "GET", .path = "/v1/admin/stats"};
    emk_cli_answer answer;
    emk_status st = emk_cli_admin_run(v->cli, &v->admin, &call, &answer);

    if (st == EMK_OK && !answer.json)
        st = emk_fail(&v->cli->error, EMK_E_FORMAT, "server: its answer has no numbers", 0);
    if (st == EMK_OK && print)
        emk_cli_admin_show(v->cli, NULL, answer.json);
    if (st == EMK_OK) {
        v->last = v->now;
        read_sample(answer.json, &v->now);
        if (v->n++ == 0)
            v->last = v->now;
        else
            remember(v);
    }
    emk_cli_answer_done(&answer);
    return st;
}

static void pause_s(view *v, uint64_t s)
{
    emk_lock_take(v->lock);
    while (emk_lock_wait_for(v->lock, s * NS_PER_S))
        ; /* woken for no reason */
    emk_lock_give(v->lock);
}

static emk_status live(view *v, uint64_t interval_s, uint64_t count)
{
    emk_status st = emk_lock_new(&v->lock, &v->cli->error);

    if (st == EMK_OK)
        st = ask(v, false);
    for (uint64_t i = 0; st == EMK_OK && (count == 0 || i < count); i++) {
        pause_s(v, interval_s);
        st = ask(v, false);
        if (st != EMK_OK)
            break;
        if (v->screen)
            draw(v);
        else
            add_line(v);
    }
    emk_lock_free(v->lock);
    return st;
}

static bool speaks_unicode(void)
{
    static const char *const NAMES[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < 3; i++) {
        const char *value = getenv(NAMES[i]);

        if (value && value[0])
            return strstr(value, "UTF-8") || strstr(value, "utf8");
    }
    return false;
}

static emk_status read_option(emk_cli *cli, const char *name, uint64_t max, uint64_t *out)
{
    const char *text = emk_cli_option_value(cli, name);

    if (!text)
        return EMK_OK;
    if (emk_cli_parse_number(text, out, NULL) != EMK_OK || *out == 0 || *out > max)
        return emk_cli_usage(cli, "--%s takes a number from 1 to %llu", name,
                             (unsigned long long)max);
    return EMK_OK;
}

static emk_status run(emk_cli *cli)
{
    view v = {.cli = cli, .screen = emk_cli_stdout_is_terminal(), .unicode = speaks_unicode()};
    bool once = emk_cli_option_given(cli, "once") || cli->out.json;
    uint64_t interval_s = INTERVAL_S, count = 0;
    emk_status st = read_option(cli, "interval", INTERVAL_MAX, &interval_s);

    if (st == EMK_OK)
        st = read_option(cli, "count", UINT32_MAX, &count);
    if (st == EMK_OK)
        st = emk_cli_admin_open(cli, true, &v.admin);
    if (st == EMK_OK)
        st = once ? ask(&v, true) : live(&v, interval_s, count);
    emk_cli_admin_close(&v.admin);
    return st;
}

static const char *const paragraphs[] = {
    "Shows requests, how long they take, decisions, records and the audit log, again and again "
    "until Ctrl-C. Times are classes: \"p99 < 4.1 ms\" says that 99 of 100 answers of the last "
    "interval took less. On a terminal that cannot be drawn on, each interval is a line.",
    NULL};
static const emk_cli_option options[] = {
    EMK_CLI_OPTION_SERVER,
    EMK_CLI_OPTION_CA,
    EMK_CLI_OPTION_PIN,
    EMK_CLI_OPTION_SESSION,
    EMK_CLI_OPTION_PASSWORD,
    {"once", 0, EMK_CLI_FLAG, NULL, "print the numbers once; so does --json", false},
    {"interval", 0, EMK_CLI_WORD, "SECONDS", "how often (2)", false},
    {"count", 0, EMK_CLI_WORD, "N", "end after so many", false},
    {0},
};
static const emk_cli_example examples[] = {
    {"Watch.", "earmark stats"},
    {"For a script.", "earmark stats --once --json"},
    {0},
};
static const emk_cli_exit exits[] = {
    {EMK_E_POLICY, "not signed in, or without the scope read"},
    {0},
};

const emk_cli_command EMK_CLI_STATS = {
    .name = "stats",
    .summary = "shows a server's numbers live",
    .synopsis = "[--once] [--interval SECONDS]",
    .paragraphs = paragraphs,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
