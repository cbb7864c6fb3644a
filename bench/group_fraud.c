/* The fraud engine: decisions and replayed events a second on one core, how long the slowest in
 * a hundred takes, memory for a user, and a restart with a million of them.  Beside each stands
 * the least that anything of the kind has to do: count in a hash table, find the ends of lines
 * and read their JSON, copy the bytes of a snapshot. */
#include "bench/bench.h"
#include "bench/workdir.h"

#include "core/base/buf.h"
#include "core/base/image.h"
#include "core/base/os_file.h"
#include "core/codec/json.h"
#include "server/fraud/fixed.h"
#include "server/fraud/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define T0         UINT64_C(1767225600000)
#define RULES      "rules/base.yaml"
#define SAMPLES    100096u /* of a round, whole blocks */
#define BLOCK      256u    /* events made, then timed together */
#define LINES      400000u /* of a replay */
#define COUNTERS   (1u << 21)
#define JSON_LINES 100000u
#define PIECE      ((size_t)1 << 20)

typedef struct fraud_world {
    emk_crypto *crypto;
    emk_fraud_ruleset *rules;
    emk_fraud_engine *engine;
    uint32_t users;
    uint64_t random, ts;
    int fd; /* of the snapshot */
    uint64_t at, dump_len;
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

typedef struct counter {
    uint64_t key, n;
} counter;

typedef struct block {
    names n[BLOCK];
    emk_fraud_event ev[BLOCK];
} block;

static void make_block(fraud_world *w, block *k)
{
    for (unsigned i = 0; i < BLOCK; i++)
        make(w, (uint32_t)(next(w) % w->users), &k->n[i], &k->ev[i]);
}

/* The same users, one count each: what a table alone costs. */
static double count_plainly(fraud_world *w, block *k, counter *table)
{
    static const uint64_t key[2] = {1, 2};
    double sum = 0;

    for (unsigned at = 0; at < SAMPLES; at += BLOCK) {
        double begin;

        make_block(w, k);
        begin = cpu_now();
        for (unsigned i = 0; i < BLOCK; i++) {
            uint64_t h = emk_fraud_siphash(key, k->ev[i].f[EMK_FRAUD_F_USER].text);
            uint64_t slot = h % COUNTERS;

            while (table[slot].key && table[slot].key != h)
                slot = (slot + 1) % COUNTERS;
            table[slot].key = h;
            table[slot].n++;
        }
        sum += cpu_now() - begin;
    }
    return SAMPLES / sum;
}

static double decide_blocks(fraud_world *w, block *k)
{
    emk_fraud_decision d;
    emk_error e = {0};
    double sum = 0;

    for (unsigned at = 0; at < SAMPLES; at += BLOCK) {
        double begin;

        make_block(w, k);
        begin = cpu_now();
        for (unsigned i = 0; i < BLOCK; i++)
            bench_need(emk_fraud_decide(w->engine, &k->ev[i], &d, &e), &e, "decide");
        sum += cpu_now() - begin;
    }
    return SAMPLES / sum;
}

/* The 99th of a hundred in microseconds, asking for the time included. */
static double slow_decision(fraud_world *w, double *each)
{
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
    }
    qsort(each, SAMPLES, sizeof *each, by_size);
    return each[(size_t)SAMPLES / 100 * 99] * 1e6;
}

static void measure_decisions(bench *b, fraud_world *w)
{
    bench_row row = {.group = "fraud",
                     .unit = "/s",
                     .beside_name = "one counter",
                     .goal = BENCH_AT_LEAST,
                     .limit = 150000};
    bench_row p99 = {.group = "fraud",
                     .name = "decision, p99",
                     .unit = "us",
                     .goal = BENCH_AT_MOST,
                     .limit = 50};
    double *each = calloc(SAMPLES, sizeof *each), speed[BENCH_ROUNDS_MAX], slow[BENCH_ROUNDS_MAX];
    double plain[BENCH_ROUNDS_MAX];
    counter *table = calloc(COUNTERS, sizeof *table);
    block *k = calloc(1, sizeof *k);

    for (unsigned i = 0; i < b->rounds; i++) {
        speed[i] = decide_blocks(w, k);
        plain[i] = count_plainly(w, k, table);
        slow[i] = slow_decision(w, each);
    }
    snprintf(row.name, sizeof row.name, "decisions, %u users", w->users);
    snprintf(row.note, sizeof row.note, "%zu rules, %zu features, one core",
             emk_fraud_ruleset_rules(w->rules), emk_fraud_ruleset_features(w->rules));
    row.ours = bench_median(speed, b->rounds);
    row.beside = bench_median(plain, b->rounds);
    bench_add(b, &row);
    p99.ours = bench_median(slow, b->rounds);
    bench_add(b, &p99);
    free(k);
    free(table);
    free(each);
}

static void measure_memory(bench *b, fraud_world *w)
{
    bench_row row = {.group = "fraud",
                     .name = "memory for a user",
                     .unit = "bytes",
                     .beside_name = "one counter",
                     .beside = sizeof(counter) * (double)COUNTERS / 1e6,
                     .goal = BENCH_AT_MOST,
                     .limit = 1536};
    emk_fraud_stats s;

    emk_fraud_engine_stats(w->engine, &s);
    row.ours = (double)s.memory / w->users;
    snprintf(row.note, sizeof row.note,
             "all tables; a user %u bytes, a device, one each, %u, a net %u",
             s.slab[EMK_FRAUD_USER], s.slab[EMK_FRAUD_DEVICE], s.slab[EMK_FRAUD_NET]);
    bench_add(b, &row);
}

static emk_status put(void *self, emk_span s, emk_error *e)
{
    fraud_world *w = self;
    emk_status st = emk_os_write_at(w->fd, w->at, s.p, s.len, e);

    w->at += s.len;
    return st;
}

static emk_status get(void *self, uint8_t *p, size_t len, emk_error *e)
{
    fraud_world *w = self;
    emk_status st = emk_os_read_at(w->fd, w->at, p, len, e);

    w->at += len;
    return st;
}

/* The file read once, and nothing done with it. */
static double read_snapshot(fraud_world *w)
{
    uint8_t *piece = malloc(PIECE);
    emk_error e = {0};
    double begin = cpu_now();

    for (w->at = 0; w->at < w->dump_len;) {
        uint64_t left = w->dump_len - w->at;

        bench_need(get(w, piece, left < PIECE ? (size_t)left : PIECE, &e), &e, "read");
    }
    free(piece);
    return cpu_now() - begin;
}

static double restart(fraud_world *w)
{
    uint64_t offset = 0;
    emk_error e = {0};
    double begin;

    emk_fraud_engine_free(w->engine);
    w->engine = NULL;
    w->at = 0;
    begin = cpu_now();
    w->engine = new_engine(w);
    bench_need(emk_fraud_restore(w->engine, get, w, &offset, &e), &e, "restore");
    return cpu_now() - begin;
}

static void measure_restart(bench *b, fraud_world *w)
{
    bench_row row = {.group = "fraud",
                     .name = "restart from a snapshot",
                     .unit = "s",
                     .beside_name = "reading the file",
                     .goal = BENCH_AT_MOST,
                     .limit = 3};
    double took[BENCH_ROUNDS_MAX], plain[BENCH_ROUNDS_MAX];
    emk_error e = {0};

    bench_need(emk_os_create_new(bench_path(BENCH_MODEL), &w->fd, &e), &e, "snapshot");
    w->at = 0;
    bench_need(emk_fraud_snapshot(w->engine, 1, put, w, &e), &e, "snapshot");
    w->dump_len = w->at;
    for (unsigned i = 0; i < b->rounds; i++) {
        took[i] = restart(w);
        plain[i] = read_snapshot(w);
    }
    row.ours = bench_median(took, b->rounds);
    row.beside = bench_median(plain, b->rounds);
    snprintf(row.note, sizeof row.note, "%u users, %.2f GiB, checked; processor time", w->users,
             (double)w->dump_len / (1u << 30));
    bench_add(b, &row);
    emk_os_close(w->fd);
    bench_remove(BENCH_MODEL);
}

/* ---- lines ---- */

static void make_lines(fraud_world *w, emk_buf *lines)
{
    emk_fraud_event ev;
    emk_error e = {0};
    names n;

    for (unsigned i = 0; i < LINES; i++) {
        make(w, (uint32_t)(next(w) % 20000), &n, &ev);
        bench_need(emk_fraud_event_write(&ev, lines, &e), &e, "write");
        bench_need(emk_buf_append(lines, emk_span_of("\n", 1), &e), &e, "write");
    }
}

/* The next line of the rest, which it is cut from. */
static emk_span cut_line(emk_span *rest)
{
    const uint8_t *end = memchr(rest->p, '\n', rest->len);
    emk_span line = emk_span_of(rest->p, end ? (size_t)(end - rest->p) : rest->len);
    size_t used = line.len + (end != NULL);

    *rest = emk_span_of(rest->p + used, rest->len - used);
    return line;
}

static double read_lines(emk_span rest)
{
    emk_fraud_event ev;
    emk_error e = {0};
    double begin = cpu_now();

    while (rest.len > 0)
        bench_need(emk_fraud_event_read(cut_line(&rest), &ev, &e), &e, "event");
    return LINES / (cpu_now() - begin);
}

/* A general reader of JSON over the same lines, tokens only. */
static double read_json(emk_span rest)
{
    double begin = cpu_now();

    for (unsigned i = 0; i < JSON_LINES; i++) {
        emk_span line = cut_line(&rest);
        emk_image im;
        emk_json j;

        emk_image_from_span(&im, line);
        emk_json_init(&j, &im, 0, line.len);
        while (emk_json_next(&j) != EMK_JSON_END) {
            if (j.status != EMK_OK)
                bench_die("json", NULL);
        }
    }
    return JSON_LINES / (cpu_now() - begin);
}

/* Each line found and copied: no reader can be faster. */
static double copy_lines(emk_span rest)
{
    uint8_t copy[EMK_FRAUD_LINE_MAX];
    double begin = cpu_now();
    unsigned sum = 0;

    while (rest.len > 0) {
        emk_span line = cut_line(&rest);

        memcpy(copy, line.p, line.len);
        sum += copy[line.len - 1];
    }
    if (sum == 0)
        bench_die("lines", NULL);
    return LINES / (cpu_now() - begin);
}

static double replay_round(fraud_world *w, emk_span lines, emk_fraud_replay_report *r)
{
    emk_fraud_replay_options o = {.threads = 1};
    emk_error e = {0};
    double begin;

    emk_fraud_options_init(&o.engine);
    begin = cpu_now();
    bench_need(emk_fraud_replay(w->crypto, w->rules, lines, &o, r, &e), &e, "replay");
    return LINES / (cpu_now() - begin);
}

static void measure_replay(bench *b, fraud_world *w)
{
    bench_row row = {.group = "fraud",
                     .name = "replay of lines",
                     .unit = "/s",
                     .beside_name = "lines found, copied",
                     .goal = BENCH_AT_LEAST,
                     .limit = 300000};
    bench_row reader = {.group = "fraud",
                        .name = "lines read as events",
                        .unit = "/s",
                        .beside_name = "as any JSON"};
    double speed[BENCH_ROUNDS_MAX], read[BENCH_ROUNDS_MAX], json[BENCH_ROUNDS_MAX];
    double plain[BENCH_ROUNDS_MAX];
    emk_fraud_replay_report *r = calloc(1, sizeof *r);
    emk_buf lines;

    emk_buf_init(&lines, (size_t)1 << 30);
    make_lines(w, &lines);
    for (unsigned i = 0; i < b->rounds; i++) {
        speed[i] = replay_round(w, emk_buf_span(&lines), r);
        plain[i] = copy_lines(emk_buf_span(&lines));
        read[i] = read_lines(emk_buf_span(&lines));
        json[i] = read_json(emk_buf_span(&lines));
    }
    row.ours = bench_median(speed, b->rounds);
    row.beside = bench_median(plain, b->rounds);
    snprintf(row.note, sizeof row.note, "one core, %zu bytes a line, 20000 users, hash included",
             lines.len / LINES);
    bench_add(b, &row);
    reader.ours = bench_median(read, b->rounds);
    reader.beside = bench_median(json, b->rounds);
    bench_add(b, &reader);
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
