/* The audit log and the records of the server. */
#include "bench/bench.h"
#include "bench/workdir.h"

#include "core/base/os_file.h"
#include "core/base/os_folder.h"
#include "core/base/os_thread.h"
#include "core/crypto/sign.h"
#include "server/journal/audit.h"
#include "server/store/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH   256u
#define THREADS 32u
#define INSERTS 200u /* of each thread */

typedef struct store_world {
    emk_crypto *c;
    emk_sign_key *key;
    emk_note_key note_key;
    char dir[512]; /* on a disk that can sync, not in memory */
    size_t entries;
    emk_records records;
    unsigned round;
} store_world;

static emk_status sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    store_world *w = self;

    return emk_sign_make(w->key, msg, sig, e);
}

static void path_of(const store_world *w, const char *name, char out[600])
{
    snprintf(out, 600, "%s/%s", w->dir, name);
}

static void clear(const store_world *w, const char *name)
{
    char path[600];
    int dir;

    path_of(w, name, path);
    if (emk_os_folder_open(path, &dir, NULL) != EMK_OK)
        return;
    (void)!emk_os_folder_clear(dir, NULL);
    emk_os_close(dir);
    (void)!emk_os_folder_remove(path, NULL);
}

static emk_journal *open_journal(store_world *w, const char *path)
{
    emk_journal_options o = {.dir = path,
                             .origin = "bench.example/audit",
                             .sign = sign,
                             .sign_self = w,
                             .checkpoint_ms = 1000};
    emk_journal *j = NULL;
    emk_error e = {0};

    memcpy(o.public_key, w->note_key.public_key, sizeof o.public_key);
    bench_need(emk_journal_open(w->c, &o, &j, &e), &e, "journal");
    return j;
}

/* A grant as the server writes one: about 200 bytes. */
static emk_journal_event grant(void)
{
    static const uint8_t id[16] = {1, 2, 3}, subject[32] = {4, 5, 6};

    return (emk_journal_event){.time_ms = 1700000000000u,
                               .type = emk_span_str("ticket.grant"),
                               .actor = emk_span_str("device:00112233445566778899aabbccddeeff"),
                               .tenant = emk_span_str("acme"),
                               .subject = emk_span_of(subject, sizeof subject),
                               .object = emk_span_str("model:cat-ears/3"),
                               .outcome = EMK_JOURNAL_DONE,
                               .decision = emk_span_of(id, sizeof id),
                               .ruleset = emk_span_str("2026-11-01/4")};
}

static double side_append(void *self)
{
    store_world *w = self;
    emk_journal_event events[BATCH];
    emk_error e = {0};
    emk_journal *j;
    char path[600];
    double start, took;

    path_of(w, "journal", path);
    clear(w, "journal");
    j = open_journal(w, path);
    for (size_t i = 0; i < BATCH; i++)
        events[i] = grant();
    start = bench_now();
    for (size_t n = 0; n < w->entries; n += BATCH)
        bench_need(emk_journal_append(j, events, BATCH, NULL, &e), &e, "append");
    took = bench_now() - start;
    bench_need(emk_journal_close(j, &e), &e, "close");
    return took;
}

static double side_verify(void *self)
{
    store_world *w = self;
    emk_audit_report r = {0};
    emk_error e = {0};
    char path[600];
    emk_audit a = {.dir = path, .key = &w->note_key};
    double start = bench_now();

    path_of(w, "journal", path);
    bench_need(emk_audit_verify(w->c, &a, &r, &e), &e, "verify");
    if (emk_audit_sum(&r) != EMK_AUDIT_INTACT || r.n_entries < w->entries)
        bench_die("the log does not verify", NULL);
    return bench_now() - start;
}

typedef struct inserter {
    store_world *w;
    unsigned number, n;
} inserter;

static void insert(void *self)
{
    inserter *in = self;
    uint8_t value[200] = {0};
    emk_error e = {0};

    for (unsigned i = 0; i < in->n; i++) {
        uint32_t id[4] = {in->w->round * 2654435761u, in->number * 40503u, i, in->number};
        emk_record_change c = {.op = EMK_RECORD_PUT,
                               .kind = 1,
                               .id = emk_span_of(id, sizeof id),
                               .expect = EMK_RECORD_ABSENT,
                               .value = emk_span_of(value, sizeof value)};

        bench_need(emk_records_commit(&in->w->records, &c, 1, NULL, &e), &e, "commit");
    }
}

static double side_insert_threads(void *self)
{
    store_world *w = self;
    emk_thread *t[THREADS];
    inserter in[THREADS];
    emk_error e = {0};
    double start;

    w->round++;
    start = bench_now();
    for (unsigned i = 0; i < THREADS; i++) {
        in[i] = (inserter){w, i, INSERTS};
        bench_need(emk_thread_start(insert, &in[i], &t[i], &e), &e, "thread");
    }
    for (unsigned i = 0; i < THREADS; i++)
        emk_thread_join(t[i]);
    return bench_now() - start;
}

static double side_insert_alone(void *self)
{
    store_world *w = self;
    inserter in = {w, 99, INSERTS * THREADS / 8};
    double start;

    w->round++;
    start = bench_now();
    insert(&in);
    return bench_now() - start;
}

static void world_begin(store_world *w, const bench *b)
{
    const char *tmp = getenv("TMPDIR");
    uint8_t priv[32], pub[32];
    emk_error e = {0};
    char path[600];

    w->entries = b->quick ? 100u * BATCH : 3907u * BATCH; /* a million and a few */
    snprintf(w->dir, sizeof w->dir, "%s/earmark-bench-XXXXXX",
             tmp && tmp[0] == '/' ? tmp : "/var/tmp");
    if (!mkdtemp(w->dir))
        bench_die("cannot make a folder", NULL);
    bench_need(emk_crypto_new(NULL, NULL, &w->c, &e), &e, "crypto");
    bench_need(emk_sign_generate(w->c, EMK_SIGN_ED25519, priv, pub, &e), &e, "key");
    bench_need(emk_sign_key_new(w->c, EMK_SIGN_ED25519, emk_span_of(priv, 32), &w->key, &e), &e,
               "key");
    bench_need(emk_note_key_init(w->c, "bench.example/audit", pub, &w->note_key, &e), &e, "key");
    path_of(w, "records", path);
    bench_need(emk_records_open_sqlite(&(emk_records_sqlite){.path = path}, &w->records, &e), &e,
               "records");
}

static void world_end(store_world *w)
{
    int dir;

    emk_records_close(&w->records);
    if (emk_os_folder_open(w->dir, &dir, NULL) == EMK_OK) {
        (void)!emk_os_folder_clear(dir, NULL);
        emk_os_close(dir);
        (void)!emk_os_folder_remove(w->dir, NULL);
    }
    emk_sign_key_free(w->key);
    emk_crypto_free(w->c);
}

void bench_group_store(bench *b)
{
    store_world w = {0};
    bench_side append = {.fn = side_append, .self = &w}, verify = {.fn = side_verify, .self = &w};
    bench_side insert_sides[2] = {{.fn = side_insert_threads, .self = &w},
                                  {.fn = side_insert_alone, .self = &w}};
    unsigned rounds = b->quick ? 1 : 2;
    bench_row row = {.group = "store",
                     .name = "audit: append in batches of 256",
                     .unit = "entries/s",
                     .goal = BENCH_AT_LEAST,
                     .limit = 20000};

    world_begin(&w, b);
    bench_run(&append, 1, rounds);
    bench_compare(b, &(bench_pair){.ours = &append, .rounds = rounds, .amount = (double)w.entries},
                  &row);
    row = (bench_row){.group = "store",
                      .name = "audit: verify",
                      .unit = "entries/s",
                      .goal = BENCH_AT_LEAST,
                      .limit = 100000};
    bench_run(&verify, 1, rounds);
    bench_compare(b, &(bench_pair){.ours = &verify, .rounds = rounds, .amount = (double)w.entries},
                  &row);
    row = (bench_row){.group = "store",
                      .name = "records: 32 threads, durable inserts",
                      .unit = "inserts/s",
                      .beside_name = "one thread"};
    bench_run(insert_sides, 2, b->rounds);
    bench_compare(b,
                  &(bench_pair){.ours = &insert_sides[0],
                                .beside = &insert_sides[1],
                                .rounds = b->rounds,
                                .amount = THREADS * INSERTS,
                                .beside_amount = THREADS * INSERTS / 8},
                  &row);
    world_end(&w);
}
