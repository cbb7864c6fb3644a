/* A device as an app has it: open through the client, with software keys and with keys in a TPM
 * (Debian's swtpm, started here), beside reading the plain file.  And how often an open asks the
 * key holder. */
#include "bench/raw_evp.h"
#include "bench/raw_read.h"
#include "bench/workdir.h"
#include "bench/world.h"

#include "core/base/os_file.h"
#include "core/base/os_folder.h"
#include "core/base/os_mem.h"
#include "core/base/os_time.h"
#include "core/crypto/random.h"
#include "core/proto/device_certificate.h"
#include "core/proto/enrolment.h"
#include "core/proto/ticket.h"
#include "device/client/client.h"
#include "keystore/soft.h"
#include "keystore/tpm2/tpm2.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MODEL_LEN UINT64_C(100000000)
#define LIMIT_MS  150.0
#define DAY_S     86400u
#define THREADS   2u
#define FILL_LEN  ((size_t)64 << 20)
#define PIECE_LEN ((size_t)65536)

/* So that even --rounds 3 is nine: others on the machine must not decide. */
#define ROUNDS_TIMES 3u

/* A holder that counts what is asked of the one behind it. */
typedef struct counting {
    emk_keystore behind;
    unsigned keys, counters;
} counting;

typedef struct device {
    world *w;
    char dir[512], keys[600], vault[600];
    char entry[EMK_CLIENT_NAME_LEN + 1]; /* by its name: by the model's all entries are looked at */
    counting counted;
    emk_keystore keystore;
    emk_client *client;
    bool locked;
} device;

static emk_status count_public(void *self, uint8_t a[65], uint8_t b[65], emk_error *e)
{
    counting *c = self;

    return c->behind.ops->public_keys(c->behind.self, a, b, e);
}

static emk_status count_sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    counting *c = self;

    c->keys++;
    return c->behind.ops->sign(c->behind.self, msg, sig, e);
}

static emk_status count_agree(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    counting *c = self;

    c->keys++;
    return c->behind.ops->agree(c->behind.self, peer, x, e);
}

static emk_status count_get(void *self, const uint8_t id[16], uint64_t *v, emk_error *e)
{
    counting *c = self;

    c->counters++;
    return c->behind.ops->counter_get(c->behind.self, id, v, e);
}

static emk_status count_set(void *self, const uint8_t id[16], uint64_t v, emk_error *e)
{
    counting *c = self;

    c->counters++;
    return c->behind.ops->counter_set(c->behind.self, id, v, e);
}

static emk_status count_put(void *self, const uint8_t id[16], emk_span s, emk_error *e)
{
    counting *c = self;

    return c->behind.ops->secret_put(c->behind.self, id, s, e);
}

static emk_status count_secret(void *self, const uint8_t id[16], uint8_t *out, size_t *len,
                               emk_error *e)
{
    counting *c = self;

    return c->behind.ops->secret_get(c->behind.self, id, out, len, e);
}

static emk_status count_delete(void *self, const uint8_t id[16], emk_error *e)
{
    counting *c = self;

    return c->behind.ops->secret_delete(c->behind.self, id, e);
}

static const emk_keystore_ops counting_ops = {
    .size = sizeof counting_ops,
    .name = "counting",
    .public_keys = count_public,
    .sign = count_sign,
    .agree = count_agree,
    .counter_get = count_get,
    .counter_set = count_set,
    .secret_put = count_put,
    .secret_get = count_secret,
    .secret_delete = count_delete,
};

/* ---- the life of the model until it can be opened ---- */

static void make_dir(device *d, const char *name)
{
    emk_error e = {0};

    snprintf(d->dir, sizeof d->dir, "%.500s-%s", bench_path(BENCH_VAULT), name);
    snprintf(d->keys, sizeof d->keys, "%s/keys", d->dir);
    snprintf(d->vault, sizeof d->vault, "%s/vault", d->dir);
    bench_need(emk_os_make_dir(d->dir, &e), &e, d->dir);
}

static void start_client(device *d)
{
    emk_span issuer = emk_sign_key_public(d->w->issuer_key);
    emk_error e = {0};
    emk_client_config config = {.crypto = d->w->crypto,
                                .keystore = &d->keystore,
                                .vault = d->vault,
                                .issuers = &issuer,
                                .n_issuers = 1};

    d->keystore = (emk_keystore){.ops = &counting_ops, .self = &d->counted};
    bench_need(emk_client_new(&config, &d->client, &e), &e, "client");
}

static void certify(device *d, uint64_t now)
{
    emk_device_certificate cert = {.issued = now, .not_after = now + DAY_S};
    emk_enrolment shown;
    emk_buf enrolment, message;
    emk_error e = {0};

    emk_buf_init(&enrolment, EMK_MESSAGE_MAX);
    emk_buf_init(&message, EMK_MESSAGE_MAX);
    bench_need(emk_client_enrolment(d->client, emk_span_str("bench"), &enrolment, &e), &e, "enrol");
    bench_need(emk_enrolment_verify(d->w->crypto, emk_buf_span(&enrolment), &shown, &e), &e,
               "enrolment");
    cert.signing_key = shown.signing_key;
    cert.agree = shown.agree;
    bench_need(emk_device_certificate_sign(d->w->crypto, &d->w->issuer, &cert, &message, &e), &e,
               "certificate");
    bench_need(emk_client_set_certificate(d->client, emk_buf_span(&message), &e), &e,
               "certificate");
    emk_buf_done(&enrolment);
    emk_buf_done(&message);
}

static void get_ticket(device *d, uint64_t now, emk_buf *ticket)
{
    const emk_client_want want = {.model = emk_span_str("bench"), .user = emk_span_str("user")};
    emk_request request;
    emk_ticket t;
    emk_buf message;
    uint8_t hash[EMK_HASH_LEN];
    emk_error e = {0};

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    bench_need(emk_client_request(d->client, &want, &message, hash, &e), &e, "request");
    bench_need(emk_request_verify(d->w->crypto, emk_buf_span(&message), d->w->issuer_public, now,
                                  &request, &e),
               &e, "request");
    emk_ticket_answer(&request, &t);
    t.policy = (emk_policy){.expires = now + DAY_S};
    t.issued = now;
    t.expires = now + DAY_S;
    bench_need(emk_random_public(d->w->crypto, t.id, EMK_ID_LEN, &e), &e, "random");
    bench_need(emk_ticket_sign(d->w->crypto, &d->w->issuer, &t, ticket, &e), &e, "ticket");
    emk_buf_done(&message);
}

static void seal(device *d, const emk_ticket *t, uint64_t now)
{
    emk_sealing *s;
    emk_plan plan;
    emk_error e = {0};
    int from, to;
    emk_source model = world_source(bench_path(BENCH_MODEL), &from);
    emk_sink sink = emk_sink_from_fd(&to);
    emk_seal_in in = {.model = &model,
                      .plan = &plan,
                      .signer = &d->w->issuer,
                      .policy = t->policy_bytes,
                      .identity = t->identity_bytes,
                      .device_key = t->device_key,
                      .request_key = t->request_key,
                      .now = now};

    memcpy(in.ticket_id, t->id, sizeof in.ticket_id);
    memcpy(in.ticket_hash, t->hash, sizeof in.ticket_hash);
    memcpy(in.request_hash, t->request_hash, sizeof in.request_hash);
    world_plan(d->w, &model, THREADS, &plan);
    bench_remove(BENCH_SEALED);
    bench_need(emk_sealing_new(d->w->crypto, &in, &s, &e), &e, "seal");
    bench_need(emk_os_create_new(bench_path(BENCH_SEALED), &to, &e), &e, "seal");
    bench_need(emk_sealing_write(s, &sink, THREADS, NULL, &e), &e, "seal");
    emk_sealing_free(s);
    emk_plan_done(&plan);
    emk_os_close(from);
    emk_os_close(to);
}

static void deliver(device *d)
{
    uint64_t now = emk_os_now_s();
    emk_client_accepted done;
    emk_ticket t;
    emk_buf ticket;
    emk_error e = {0};
    int fd;

    emk_buf_init(&ticket, EMK_MESSAGE_MAX);
    certify(d, now);
    get_ticket(d, now, &ticket);
    bench_need(
        emk_ticket_verify(d->w->crypto, emk_buf_span(&ticket), d->w->issuer_public, now, &t, &e),
        &e, "ticket");
    seal(d, &t, now);
    {
        emk_source sealed = world_source(bench_path(BENCH_SEALED), &fd);
        const emk_client_delivery in = {
            .ticket = emk_buf_span(&ticket), .sealed = &sealed, .threads = THREADS};

        bench_need(emk_client_accept(d->client, &in, &done, NULL, &e), &e, "accept");
    }
    memcpy(d->entry, done.name, sizeof d->entry);
    emk_os_close(fd);
    emk_buf_done(&ticket);
}

static void end(device *d)
{
    emk_error e = {0};
    int fd = -1;

    emk_client_free(d->client);
    emk_keystore_close(&d->counted.behind);
    if (emk_os_folder_open(d->dir, &fd, &e) == EMK_OK &&
        (emk_os_folder_clear(fd, &e) != EMK_OK || emk_os_folder_remove(d->dir, &e) != EMK_OK))
        fprintf(stderr, "device: %s stays: %s\n", d->dir, e.what);
    emk_os_close(fd);
}

/* ---- what is measured ---- */

static double side_open(void *self)
{
    const emk_client_ask ask = {.user = emk_span_str("user"), .threads = THREADS};
    device *d = self;
    double start = bench_now();
    emk_opened *o;
    emk_error e = {0};

    bench_need(emk_client_open(d->client, d->entry, &ask, &o, &e), &e, "open");
    start = bench_now() - start;
    d->locked = emk_opened_memory(o) != EMK_POLICY_MEMORY_ANY;
    emk_opened_close(o);
    return start;
}

static double side_read(void *self)
{
    (void)self;
    return raw_read_file(bench_path(BENCH_MODEL), true);
}

static double side_accept(void *self)
{
    return world_accept_file(self, 1);
}

static uint8_t *bench_memory(size_t len)
{
    uint8_t *p = calloc(1, len);

    if (!p)
        bench_die("no memory", NULL);
    return p;
}

/* What accepting is made of, each by itself and on one buffer that stays in the cache: reading and
 * writing a file, three passes of AES-256-GCM, one of SHA-256. */
typedef struct parts {
    raw_gcm *gcm;
    uint8_t *in, *out; /* PIECE_LEN */
} parts;

static double side_parts(void *self)
{
    const parts *p = self;
    double start = bench_now();
    uint8_t tag[16];

    raw_copy_file(bench_path(BENCH_SEALED), bench_path(BENCH_VAULT), p->in, PIECE_LEN);
    for (uint64_t at = 0; at < MODEL_LEN; at += PIECE_LEN) {
        raw_gcm_seal(p->gcm, p->in, p->out, PIECE_LEN, tag);
        raw_gcm_open(p->gcm, p->out, p->in, PIECE_LEN, tag);
        raw_gcm_open(p->gcm, p->out, p->in, PIECE_LEN, tag);
        raw_sha256(p->in, PIECE_LEN);
    }
    return bench_now() - start;
}

/* Both write over the file of the one before: giving its pages back is not theirs. */
static double side_clear(void *self)
{
    double start = bench_now();

    (void)self;
    bench_remove(BENCH_VAULT);
    return bench_now() - start;
}

static double least(const double *v, unsigned n)
{
    double best = v[0];

    for (unsigned i = 1; i < n; i++)
        best = v[i] < best ? v[i] : best;
    return best;
}

static void report(bench *b, device *d, const char *name)
{
    bench_row row = {.group = "device", .unit = "ms", .beside_name = "read, huge pages"};
    bench_row above = {.group = "device", .unit = "ms", .goal = BENCH_AT_MOST, .limit = LIMIT_MS};
    bench_row best = {.group = "device", .name = "  in the best rounds", .unit = "ms"};
    bench_side s[2] = {{.fn = side_open, .self = d}, {.fn = side_read}};
    bench_pair p = {.ours = &s[0],
                    .beside = &s[1],
                    .rounds = bench_rounds(b, ROUNDS_TIMES),
                    .kind = BENCH_TIME_MS};
    unsigned keys, counters;

    snprintf(row.name, sizeof row.name, "open 100 MB, %s", name);
    bench_run(s, 2, p.rounds);
    d->counted.keys = d->counted.counters = 0;
    (void)side_open(d);
    keys = d->counted.keys;
    counters = d->counted.counters;
    snprintf(row.note, sizeof row.note, "%u use of a key, %u of counters%s", keys, counters,
             d->locked ? ", locked" : ", NOT locked (ulimit -l)");
    bench_compare(b, &p, &row);
    snprintf(above.name, sizeof above.name, "  above the plain load, %s", name);
    above.ours =
        1000 * (bench_median(s[0].seconds, p.rounds) - bench_median(s[1].seconds, p.rounds));
    bench_add(b, &above);
    best.ours = 1000 * (least(s[0].seconds, p.rounds) - least(s[1].seconds, p.rounds));
    bench_add(b, &best);
}

static void with_software(bench *b, world *w)
{
    device d = {.w = w};
    const emk_keystore_soft_options options = {.scrypt_log_n = 0};
    emk_error e = {0};

    make_dir(&d, "soft");
    bench_need(emk_keystore_soft_create(w->crypto, d.keys, &options, &e), &e, "keys");
    bench_need(
        emk_keystore_soft_open(w->crypto, d.keys, emk_span_of(NULL, 0), &d.counted.behind, &e), &e,
        "keys");
    start_client(&d);
    deliver(&d);
    report(b, &d, "software keys");
    end(&d);
}

/* ---- with a TPM ---- */

static pid_t start_tpm(const char *dir, unsigned port)
{
    char state[700], server[80], control[80];
    pid_t pid;

    snprintf(state, sizeof state, "dir=%s", dir);
    snprintf(server, sizeof server, "type=tcp,bindaddr=127.0.0.1,port=%u", port);
    snprintf(control, sizeof control, "type=tcp,bindaddr=127.0.0.1,port=%u", port + 1);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server,
               "--ctrl", control, "--flags", "not-need-init,startup-clear", (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* Fresh keys, as soon as the TPM answers. */
static bool make_keys(device *d, const char *tcti, pid_t pid)
{
    const emk_tpm2_options options = {.tcti = tcti};
    emk_error e = {0};
    int status;

    setenv("TSS2_LOG", "all+none", 0);
    for (int i = 0; i < 100 && waitpid(pid, &status, WNOHANG) == 0; i++) {
        emk_status st = emk_tpm2_create(d->w->crypto, d->keys, &options, &e);

        if (st == EMK_OK)
            return emk_tpm2_open(d->w->crypto, d->keys, &options, &d->counted.behind, &e) == EMK_OK;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return false;
}

static void with_tpm(bench *b, world *w)
{
    device d = {.w = w};
    unsigned port = 20000 + (unsigned)getpid() * 2 % 12000;
    char tcti[64];
    pid_t pid;

    make_dir(&d, "tpm");
    pid = start_tpm(d.dir, port);
    snprintf(tcti, sizeof tcti, "swtpm:host=127.0.0.1,port=%u", port);
    if (pid > 0 && make_keys(&d, tcti, pid)) {
        start_client(&d);
        deliver(&d);
        report(b, &d, "TPM emulator");
    } else {
        bench_row row = {.group = "device", .name = "open 100 MB, TPM emulator", .skipped = true};

        snprintf(row.note, sizeof row.note, "%s", "swtpm is not here");
        bench_add(b, &row);
    }
    end(&d);
    if (pid > 0) {
        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
    }
}

/* By processor time, which others on the machine change least; and what its parts cost then. */
static void by_processor(bench *b, const bench_pair *p)
{
    bench_row accept = {.group = "device",
                        .name = "accept, by processor time",
                        .unit = "GB/s",
                        .goal = BENCH_AT_LEAST,
                        .limit = 0.5};
    bench_row best = {.group = "device", .name = "  in the best round", .unit = "GB/s"};
    bench_row made_of = {.group = "device",
                         .name = "  its parts, by processor time",
                         .unit = "GB/s",
                         .note = "read, write, 3 times AES-GCM, SHA-256"};
    bench_row made_of_best = {.group = "device", .name = "  in the best round", .unit = "GB/s"};

    accept.ours = p->amount / bench_median(p->ours->cpu, p->rounds);
    best.ours = p->amount / least(p->ours->cpu, p->rounds);
    made_of.ours = p->amount / bench_median(p->beside->cpu, p->rounds);
    made_of_best.ours = p->amount / least(p->beside->cpu, p->rounds);
    bench_add(b, &accept);
    bench_add(b, &best);
    bench_add(b, &made_of);
    bench_add(b, &made_of_best);
}

static void accept_speed(bench *b, world *w)
{
    parts made_of = {raw_gcm_new(), bench_memory(PIECE_LEN), bench_memory(PIECE_LEN)};
    bench_side s[] = {{.fn = side_clear},
                      {.fn = side_accept, .self = w},
                      {.fn = side_clear},
                      {.fn = side_parts, .self = &made_of},
                      {.fn = side_clear}};
    bench_pair p = {.ours = &s[1],
                    .beside = &s[3],
                    .rounds = bench_rounds(b, ROUNDS_TIMES),
                    .kind = BENCH_SPEED,
                    .amount = (double)MODEL_LEN / 1e9,
                    .beside_amount = (double)MODEL_LEN / 1e9};
    const bench_row row = {.group = "device",
                           .name = "accept, one thread",
                           .unit = "GB/s",
                           .beside_name = "its parts, each alone"};
    emk_plan plan;
    int fd;
    emk_source model = world_source(bench_path(BENCH_MODEL), &fd);

    world_plan(w, &model, THREADS, &plan);
    emk_os_close(fd);
    world_seal_file(w, &plan, THREADS);
    emk_plan_done(&plan);
    bench_run(s, sizeof s / sizeof s[0], p.rounds);
    bench_compare(b, &p, &row);
    by_processor(b, &p);
    raw_gcm_free(made_of.gcm);
    free(made_of.in);
    free(made_of.out);
}

/* ---- what kinds of memory cost ---- */

typedef struct fill {
    unsigned flags;
    emk_status status; /* of getting it */
} fill;

/* Gets the memory, writes all of it once, gives it back: what an open does besides decrypting. */
static double side_fill(void *self)
{
    fill *f = self;
    double start = bench_now();
    emk_os_map m;

    f->status = emk_os_map_new(FILL_LEN, f->flags, &m, NULL);
    if (f->status != EMK_OK)
        return 1;
    memset(m.p, 1, FILL_LEN);
    emk_os_map_free(&m);
    return bench_now() - start;
}

static void per_page(bench *b, const bench_side *s, const char *name)
{
    bench_row row = {.group = "device", .unit = "us", .note = "per 4 KiB, wiping included"};

    snprintf(row.name, sizeof row.name, "  per page, %s", name);
    row.ours = 1e6 * bench_median(s->seconds, b->rounds) / ((double)FILL_LEN / 4096);
    bench_add(b, &row);
}

static void memory_kinds(bench *b)
{
    fill secret = {.flags = EMK_OS_MAP_SECRET};
    fill locked = {.flags = EMK_OS_MAP_MUST_LOCK | EMK_OS_MAP_HUGE};
    fill small = {.flags = EMK_OS_MAP_MUST_LOCK};
    bench_row row = {.group = "device",
                     .name = "memory: 64 MiB of memfd_secret",
                     .unit = "ms",
                     .beside_name = "locked, huge pages"};
    bench_side s[3] = {{.fn = side_fill, .self = &secret},
                       {.fn = side_fill, .self = &locked},
                       {.fn = side_fill, .self = &small}};
    bench_pair p = {.ours = &s[0], .beside = &s[1], .rounds = b->rounds, .kind = BENCH_TIME_MS};

    bench_run(s, 3, b->rounds);
    if (secret.status != EMK_OK || locked.status != EMK_OK) {
        row.skipped = true;
        snprintf(row.note, sizeof row.note, "%s",
                 secret.status != EMK_OK ? "no such memory here" : "ulimit -l is too low");
        bench_add(b, &row);
        return;
    }
    bench_compare(b, &p, &row);
    per_page(b, &s[0], "memfd_secret");
    per_page(b, &s[1], "locked, huge pages");
    per_page(b, &s[2], "locked, 4 KiB pages");
}

void bench_group_device(bench *b)
{
    world w;

    world_init(&w);
    bench_write_model(MODEL_LEN);
    with_software(b, &w);
    with_tpm(b, &w);
    accept_speed(b, &w);
    memory_kinds(b);
    world_done(&w);
}
