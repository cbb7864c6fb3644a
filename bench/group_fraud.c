/* The fraud engine: decisions and replayed events a second on one core, how long the slowest in
 * a hundred takes, memory for a user, and a restart with a million of them. */
#include "bench/bench.h"

#include "core/base/buf.h"
#include "core/base/os_file.h"
#include "server/fraud/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define T0      UINT64_C(1767225600000)
#define RULES   "rules/base.yaml"
#define SAMPLES 200000u
#define LINES   800000u /* of a replay */

typedef struct fraud_world {
    emk_crypto *crypto;
    emk_fraud_ruleset *rules;
    emk_fraud_engine *engine;
    uint32_t users;
    uint64_t random, ts;
    emk_buf dump;
    size_t dump_at;
} fraud_world;

/* Processor seconds of this thread: what others do on the machine is not counted. */
static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t next(fraud_world *w)
{
    uint64_t x = w->random += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

typedef struct names {
    char user[24], device[24], session[24], net[24], artifact[24];
} names;

static void make(fraud_world *w, uint32_t user, names *n, emk_fraud_event *ev)
{
    static const emk_fraud_type type[8] = {
        EMK_FRAUD_GENERATE,       EMK_FRAUD_GRANT, EMK_FRAUD_GRANT,    EMK_FRAUD_LEASE,
        EMK_FRAUD_DOWNLOAD_START, EMK_FRAUD_GRANT, EMK_FRAUD_GENERATE, EMK_FRAUD_AUTH_OK};
    uint64_t r = next(w);

    emk_fraud_event_init(ev, type[r & 7], w->ts);
    snprintf(n->user, sizeof n->user, "u-%u", user);
    snprintf(n->device, sizeof n->device, "d-%u", user);
    snprintf(n->session, sizeof n->session, "s-%u", user % 100000);
    snprintf(n->net, sizeof n->net, "net-%u", user % 50000);
    snprintf(n->artifact, sizeof n->artifact, "a-%u", (unsigned)(r >> 8 & 8191));
    emk_fraud_event_text(ev, EMK_FRAUD_F_USER, emk_span_str(n->user));
    emk_fraud_event_text(ev, EMK_FRAUD_F_DEVICE, emk_span_str(n->device));
    emk_fraud_event_text(ev, EMK_FRAUD_F_SESSION, emk_span_str(n->session));
    emk_fraud_event_text(ev, EMK_FRAUD_F_NET, emk_span_str(n->net));
    emk_fraud_event_text(ev, EMK_FRAUD_F_ARTIFACT, emk_span_str(n->artifact));
    emk_fraud_event_number(ev, EMK_FRAUD_F_ASN, 64500000 + (int64_t)(user % 300) * 1000);
    emk_fraud_event_number(ev, EMK_FRAUD_F_COST, 20000);
    emk_fraud_event_number(ev, EMK_FRAUD_F_LAT, 38700);
    emk_fraud_event_number(ev, EMK_FRAUD_F_LON, -9100);
    emk_fraud_event_number(ev, EMK_FRAUD_F_ATT_LEVEL, 2000);
    emk_fraud_event_number(ev, EMK_FRAUD_F_ATT_APP_OK, 1000);
    emk_fraud_event_number(ev, EMK_FRAUD_F_ATT_VIRTUAL, 0);
    w->ts += 40;
}

static emk_fraud_engine *new_engine(fraud_world *w)
{
    emk_fraud_options o;
    emk_fraud_engine *en = NULL;
    emk_error e = {0};

    emk_fraud_options_init(&o);
    o.max[EMK_FRAUD_USER] = o.max[EMK_FRAUD_DEVICE] = w->users;
    bench_need(emk_fraud_engine_new(w->crypto, w->rules, &o, &en, &e), &e, "engine");
    return en;
}

static void fill(fraud_world *w)
{
    emk_fraud_decision d;
    emk_fraud_event ev;
    emk_error e = {0};
    names n;

    for (uint32_t u = 0; u < w->users; u++) {
        make(w, u, &n, &ev);
        bench_need(emk_fraud_decide(w->engine, &ev, &d, &e), &e, "decide");
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure_decisions(bench *b, fraud_world *w)
{
    bench_row row = {.group = "fraud", .unit = "/s", .goal = BENCH_AT_LEAST, .limit = 150000};
    double *each = calloc(SAMPLES, sizeof *each), sum = 0;
    emk_fraud_decision d;
    emk_fraud_event ev;
    emk_error e = {0};
    names n;

    for (unsigned i = 0; i < SAMPLES; i++) {
        double begin;

        make(w, (uint32_t)(next(w) % w->users), &n, &ev);
        begin = cpu_now();
        bench_need(emk_fraud_decide(w->engine, &ev, &d, &e), &e, "decide");
        each[i] = cpu_now() - begin;
        sum += each[i];
    }
    qsort(each, SAMPLES, sizeof *each, by_size);
    snprintf(row.name, sizeof row.name, "decisions, %u users", w->users);
    snprintf(row.note, sizeof row.note, "%zu rules, %zu features, one core",
             emk_fraud_ruleset_rules(w->rules), emk_fraud_ruleset_features(w->rules));
    row.ours = SAMPLES / sum;
    bench_add(b, &row);
    row = (bench_row){.group = "fraud",
                      .name = "decision, p99",
                      .unit = "us",
                      .ours = each[SAMPLES / 100 * 99] * 1e6,
                      .goal = BENCH_AT_MOST,
                      .limit = 50};
    bench_add(b, &row);
    free(each);
}

static void measure_memory(bench *b, fraud_world *w)
{
    bench_row row = {.group = "fraud",
                     .name = "memory for a user",
                     .unit = "bytes",
                     .goal = BENCH_AT_MOST,
                     .limit = 1536};
    emk_fraud_stats s;

    emk_fraud_engine_stats(w->engine, &s);
    row.ours = (double)s.memory / w->users;
    snprintf(row.note, sizeof row.note, "with one device each and all other tables");
    bench_add(b, &row);
}

static emk_status put(void *self, emk_span s, emk_error *e)
{
    fraud_world *w = self;

    return emk_buf_append(&w->dump, s, e);
}

static emk_status get(void *self, uint8_t *p, size_t len, emk_error *e)
{
    fraud_world *w = self;

    if (len > w->dump.len - w->dump_at)
        return emk_fail(e, EMK_E_FORMAT, "cut", 0);
    memcpy(p, w->dump.p + w->dump_at, len);
    w->dump_at += len;
    return EMK_OK;
}

static void measure_restart(bench *b, fraud_world *w)
{
    bench_row row = {.group = "fraud",
                     .name = "restart from a snapshot",
                     .unit = "s",
                     .goal = BENCH_AT_MOST,
                     .limit = 3};
    uint64_t offset = 0;
    emk_error e = {0};
    double begin;

    emk_buf_init(&w->dump, (size_t)4 << 30);
    bench_need(emk_fraud_snapshot(w->engine, 1, put, w, &e), &e, "snapshot");
    emk_fraud_engine_free(w->engine);
    w->engine = NULL;
    begin = cpu_now();
    w->engine = new_engine(w);
    bench_need(emk_fraud_restore(w->engine, get, w, &offset, &e), &e, "restore");
    row.ours = cpu_now() - begin;
    snprintf(row.note, sizeof row.note, "%u users, %.2f GiB, from memory", w->users,
             (double)w->dump.len / (1u << 30));
    bench_add(b, &row);
    emk_buf_done(&w->dump);
}

static void measure_replay(bench *b, fraud_world *w)
{
    bench_row row = {.group = "fraud",
                     .name = "replay of lines",
                     .unit = "/s",
                     .goal = BENCH_AT_LEAST,
                     .limit = 300000};
    emk_fraud_replay_report *r = calloc(1, sizeof *r);
    emk_fraud_replay_options o = {.threads = 1};
    emk_buf lines;
    emk_fraud_event ev;
    emk_error e = {0};
    double begin;
    names n;

    emk_buf_init(&lines, (size_t)1 << 30);
    emk_fraud_options_init(&o.engine);
    for (unsigned i = 0; i < LINES; i++) {
        make(w, (uint32_t)(next(w) % 20000), &n, &ev);
        bench_need(emk_fraud_event_write(&ev, &lines, &e), &e, "write");
        bench_need(emk_buf_append(&lines, emk_span_of("\n", 1), &e), &e, "write");
    }
    begin = cpu_now();
    bench_need(emk_fraud_replay(w->crypto, w->rules, emk_buf_span(&lines), &o, r, &e), &e,
               "replay");
    row.ours = LINES / (cpu_now() - begin);
    snprintf(row.note, sizeof row.note, "%zu bytes a line, 20000 users, hash included",
             lines.len / LINES);
    bench_add(b, &row);
    emk_buf_done(&lines);
    free(r);
}

void bench_group_fraud(bench *b)
{
    fraud_world w = {.users = b->quick ? 100000 : 1000000, .random = 1, .ts = T0};
    emk_yaml_diag d = {.line = 0};
    emk_error e = {0};
    emk_buf text;

    emk_buf_init(&text, 1 << 20);
    bench_need(emk_crypto_new(NULL, NULL, &w.crypto, &e), &e, "libcrypto");
    if (emk_os_read_file(EMK_BENCH_SOURCE_DIR "/" RULES, 1 << 20, &text, &e) != EMK_OK) {
        bench_row row = {
            .group = "fraud", .name = "decisions", .skipped = true, .note = RULES " is not here"};

        bench_add(b, &row);
        emk_crypto_free(w.crypto);
        return;
    }
    bench_need(emk_fraud_ruleset_new(w.crypto, RULES, emk_buf_span(&text), &w.rules, &d, &e), &e,
               "rules");
    w.engine = new_engine(&w);
    fill(&w);
    measure_decisions(b, &w);
    measure_memory(b, &w);
    measure_restart(b, &w);
    measure_replay(b, &w);
    emk_fraud_engine_free(w.engine);
    emk_fraud_ruleset_free(w.rules);
    emk_buf_done(&text);
    emk_crypto_free(w.crypto);
}
