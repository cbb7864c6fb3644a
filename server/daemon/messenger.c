/* State here: what is on its way to each target.  State in the child: a letter box for each
 * target, filled by the one that reads the line, emptied by the target's thread. */
#include "server/daemon/messenger.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "core/base/reader.h"
#include "core/base/writer.h"
#include "core/crypto/hash.h"
#include "core/fetch/fetch.h"
#include "server/daemon/config.h"
#include "server/daemon/log.h"
#include "server/daemon/os_process.h"
#include "server/daemon/os_sandbox.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define TICK_MS      100u
#define LETTER_MAX   (EMK_WEBHOOK_BODY_MAX + 64u)
#define ANSWER_LEN   14u
#define ANSWER_BODY  4096u /* bytes of a receiver's answer; nobody reads them */
#define FIELD_CAP    192u
#define EXIT_SANDBOX 1
#define EXIT_GONE    0
#define RELOAD       0xFFu /* instead of a target */
#define RELOAD_LEN   (1 + EMK_SHA256_LEN)

typedef struct wanted {
    emk_hook_target target[EMK_HOOK_TARGETS_MAX];
    size_t n;
    uint8_t digest[EMK_SHA256_LEN];
} wanted;

struct emk_messenger {
    int fd, pid;
    atomic_bool alive, stopping;
    emk_hooks *hooks;
    emk_thread *thread;
    emk_hook_job job;                          /* the one in hand */
    emk_hook_job on_way[EMK_HOOK_TARGETS_MAX]; /* body unused */
    bool busy[EMK_HOOK_TARGETS_MAX];
    void (*reloaded)(void *self, bool good);
    void *reloaded_self;
    wanted asked; /* of the child, which has not answered yet */
    bool asking;
    emk_lock *lock; /* of what follows */
    wanted next;
    bool has_next;
};

/* ---- the line: one letter, one answer ---- */

static emk_span write_letter(const emk_hook_job *job, uint8_t out[LETTER_MAX])
{
    emk_writer w;

    emk_writer_init(&w, out, LETTER_MAX);
    emk_write_u8(&w, (uint8_t)job->target);
    emk_write_u8(&w, (uint8_t)strlen(job->name));
    emk_write_bytes(&w, emk_span_str(job->name));
    emk_write_bytes(&w, emk_span_of(job->body, job->len));
    return emk_writer_span(&w);
}

bool emk_messenger_letter_read(emk_span in, emk_messenger_letter *out)
{
    emk_reader r;
    emk_messenger_letter letter;

    emk_reader_init(&r, in);
    letter.target = emk_read_u8(&r);
    letter.name = emk_read_bytes(&r, emk_read_u8(&r));
    letter.body = emk_read_bytes(&r, in.len - r.pos);
    if (!emk_reader_at_end(&r) || letter.name.len >= EMK_HOOK_ID_CAP ||
        letter.body.len > EMK_WEBHOOK_BODY_MAX)
        return false;
    *out = letter;
    return true;
}

static emk_span write_answer(size_t target, const emk_hook_result *r, uint8_t out[ANSWER_LEN])
{
    emk_writer w;

    emk_writer_init(&w, out, ANSWER_LEN);
    emk_write_u8(&w, (uint8_t)target);
    emk_write_u8(&w, r->delivered);
    emk_write_u32be(&w, r->code);
    emk_write_u64be(&w, r->asked_s);
    return emk_writer_span(&w);
}

static bool read_answer(emk_span in, size_t *target, emk_hook_result *r)
{
    emk_reader rd;

    emk_reader_init(&rd, in);
    *target = emk_read_u8(&rd);
    r->delivered = emk_read_u8(&rd) != 0;
    r->code = emk_read_u32be(&rd);
    r->asked_s = emk_read_u64be(&rd);
    return emk_reader_at_end(&rd) && (*target < EMK_HOOK_TARGETS_MAX || *target == RELOAD);
}

/* ---- the child ---- */

typedef struct box {
    struct post *post;
    emk_lock *lock;
    emk_thread *thread;
    emk_messenger_target is;
    emk_webhook_keys keys;
    bool full;
    size_t target, len;
    char name[EMK_HOOK_ID_CAP];
    uint8_t body[EMK_WEBHOOK_BODY_MAX];
} box;

typedef struct post {
    int fd;
    emk_crypto *crypto;
    const char *ca_file;
    const emk_messenger_options *options;
    emk_config *config; /* owned; since the last reload */
    size_t n;
    box box[EMK_HOOK_TARGETS_MAX];
} post;

static bool may_reach(void *self, emk_span address)
{
    const box *b = self;
    emk_address a = emk_address_of(address);

    return emk_webhook_may_reach(b->is.url, b->is.allow, &a);
}

static emk_status swallow(void *self, emk_span bytes, emk_error *e)
{
    (void)self;
    (void)bytes;
    (void)e;
    return EMK_OK;
}

static emk_status send_signed(box *b, const char *const headers[], emk_hook_result *r, emk_error *e)
{
    emk_fetch_request rq = {.method = "POST",
                            .url = b->is.url,
                            .headers = headers,
                            .body = emk_span_of(b->body, b->len),
                            .write = swallow,
                            .max_response = ANSWER_BODY,
                            .timeout_s = EMK_MESSENGER_TIMEOUT_S,
                            .ca_file = b->post->ca_file,
                            .address = may_reach,
                            .address_self = b,
                            .no_proxy = true,
                            .allow_http = true}; /* the URL was checked */
    emk_fetch_response rs = {.code = 0};
    emk_status st;

    emk_buf_init(&rs.body, ANSWER_BODY);
    st = emk_fetch_run(&rq, &rs, e);
    emk_buf_done(&rs.body);
    r->code = rs.code;
    r->asked_s = rs.retry_after_s;
    r->delivered = rs.code / 100 == 2; /* what comes behind a 2xx head changes nothing */
    return st;
}

/* The time is that of the sending: a second try is signed anew. */
static void deliver(box *b, emk_hook_result *r)
{
    char signature[EMK_WEBHOOK_SIGNATURE_CAP], id[FIELD_CAP], time[FIELD_CAP], mac[FIELD_CAP];
    const char *const headers[] = {"Content-Type: application/json", id, time, mac, NULL};
    emk_webhook_message m = {.id = emk_span_str(b->name),
                             .time_s = emk_os_now_s(),
                             .body = emk_span_of(b->body, b->len)};
    emk_error e = {0};
    emk_status st = emk_webhook_sign(b->post->crypto, &b->keys, &m, signature, &e);

    *r = (emk_hook_result){.delivered = false};
    snprintf(id, sizeof id, "webhook-id: %s", b->name);
    snprintf(time, sizeof time, "webhook-timestamp: %" PRIu64, m.time_s);
    snprintf(mac, sizeof mac, "webhook-signature: %s", signature);
    if (st == EMK_OK)
        st = send_signed(b, headers, r, &e);
    if (!r->delivered)
        emk_log_write(EMK_LOG_WARNING, "a webhook was not delivered", b->is.url,
                      st == EMK_OK ? NULL : &e);
}

static void work(void *self)
{
    box *b = self;
    uint8_t out[ANSWER_LEN];
    emk_hook_result r;
    emk_error e;

    for (;;) {
        emk_lock_take(b->lock);
        while (!b->full)
            emk_lock_wait(b->lock);
        emk_lock_give(b->lock);
        deliver(b, &r);
        emk_lock_take(b->lock);
        b->full = false;
        emk_lock_give(b->lock);
        if (emk_proc_send(b->post->fd, write_answer(b->target, &r, out), &e) != EMK_OK)
            emk_proc_exit(EXIT_GONE);
    }
}

/* One letter at a time for each target: the other side waits for the answer. */
static void put_into_box(post *p, emk_span in)
{
    emk_messenger_letter letter;
    box *b;

    if (!emk_messenger_letter_read(in, &letter) || letter.target >= p->n)
        return;
    b = &p->box[letter.target];
    emk_lock_take(b->lock);
    if (!b->full) {
        snprintf(b->name, sizeof b->name, "%.*s", (int)letter.name.len,
                 (const char *)letter.name.p);
        b->target = letter.target;
        b->len = letter.body.len;
        if (b->len > 0)
            memcpy(b->body, letter.body.p, b->len);
        b->full = true;
        emk_lock_wake_one(b->lock);
    }
    emk_lock_give(b->lock);
}

#define OWN_FILES 2u /* besides secrets: what a reload reads */

/* Names, certificates and the libraries that resolve names, and what a reload reads; nothing below
 * the keys' folder. */
static emk_status confine_files(const emk_messenger_options *o, emk_error *e)
{
    static const char *const NEEDED[] = {"/etc/resolv.conf",
                                         "/etc/hosts",
                                         "/etc/nsswitch.conf",
                                         "/etc/host.conf",
                                         "/etc/gai.conf",
                                         "/etc/services",
                                         "/etc/ssl",
                                         "/etc/pki",
                                         "/etc/localtime",
                                         "/usr",
                                         "/lib",
                                         "/lib64",
                                         "/run/systemd/resolve",
                                         "/etc/ca-certificates"};
    const char *own[OWN_FILES + EMK_HOOK_TARGETS_MAX] = {o->ca_file, o->config_file};
    char around[OWN_FILES + EMK_HOOK_TARGETS_MAX][EMK_SANDBOX_PATH_MAX];
    const char *read[sizeof NEEDED / sizeof NEEDED[0] + OWN_FILES + EMK_HOOK_TARGETS_MAX];
    emk_sandbox_paths p = {.read = read};

    for (size_t i = 0; i < sizeof NEEDED / sizeof NEEDED[0]; i++)
        if (!o->keys_dir || !emk_sandbox_contains(NEEDED[i], o->keys_dir))
            read[p.n_read++] = NEEDED[i];
    for (size_t i = 0; i < o->n_targets; i++)
        own[OWN_FILES + i] = o->targets[i].secret_file;
    for (size_t i = 0; i < OWN_FILES + o->n_targets; i++) {
        if (!own[i])
            continue;
        emk_sandbox_around(own[i], o->keys_dir, around[i]);
        read[p.n_read++] = around[i];
    }
    return emk_sandbox_files(&p, e);
}

static emk_status confine(const emk_messenger_options *o, emk_error *e)
{
    emk_status st = emk_sandbox_private(e);

    if (st == EMK_OK && o->user && emk_proc_is_root())
        st = emk_sandbox_user(o->user, e);
    if (st == EMK_OK && o->sandbox)
        st = confine_files(o, e);
    if (st == EMK_E_UNSUPPORTED)
        st = EMK_OK; /* the HTTP process says so */
    if (st == EMK_OK && o->sandbox)
        st = emk_sandbox_calls(EMK_SANDBOX_MESSENGER, e);
    return st == EMK_E_UNSUPPORTED ? EMK_OK : st;
}

/* A thread for each of the first n. */
static emk_status man_boxes(post *p, size_t n, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < n; i++)
        if (!p->box[i].thread)
            st = emk_thread_start(work, &p->box[i], &p->box[i].thread, e);
    return st;
}

static emk_status open_boxes(post *p, emk_error *e)
{
    emk_status st = emk_crypto_new(NULL, NULL, &p->crypto, e);

    for (size_t i = 0; st == EMK_OK && i < EMK_HOOK_TARGETS_MAX; i++) {
        p->box[i].post = p;
        st = emk_lock_new(&p->box[i].lock, e);
    }
    return st == EMK_OK ? man_boxes(p, p->n, e) : st;
}

static emk_status read_secrets(const emk_messenger_options *o, post *p, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < o->n_targets; i++) {
        p->box[i].is = o->targets[i];
        st = emk_webhook_keys_load(o->targets[i].secret_file, &p->box[i].keys, e);
    }
    p->n = o->n_targets;
    p->ca_file = o->ca_file;
    p->options = o;
    return st;
}

/* The text that was meant, and no other: the other side reads it by itself. */
static emk_status read_config(const post *p, const uint8_t digest[EMK_SHA256_LEN], emk_config *out,
                              emk_error *e)
{
    const char *file = p->options->config_file;
    uint8_t is[EMK_SHA256_LEN];
    emk_yaml_diag d = {.line = 0};
    emk_span text;
    emk_buf b;
    emk_status st = file ? EMK_OK : emk_fail(e, EMK_E_USAGE, "messenger: no configuration", 0);

    emk_buf_init(&b, EMK_YAML_TEXT_MAX);
    if (st == EMK_OK)
        st = emk_os_read_file(file, EMK_YAML_TEXT_MAX, &b, e);
    text = emk_buf_span(&b);
    if (st == EMK_OK)
        st = emk_sha256(p->crypto, &text, 1, is, e);
    if (st == EMK_OK && memcmp(is, digest, sizeof is) != 0)
        st = emk_fail(e, EMK_E_STALE, "messenger: the configuration has changed again", 0);
    if (st == EMK_OK)
        st = emk_config_parse(file, text, out, &d, e);
    emk_buf_done(&b);
    return st;
}

static emk_status load_keys(const emk_config *c, emk_webhook_keys keys[EMK_CONFIG_HOOKS_MAX],
                            emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < c->n_hooks; i++) {
        st = emk_webhook_keys_load(c->hooks[i].secret_file, &keys[i], e);
        if (st != EMK_OK)
            emk_log_write(EMK_LOG_ERROR, "a webhook's secret cannot be used",
                          c->hooks[i].secret_file, e);
    }
    return st;
}

/* Nobody delivers: the other side waits for that, and is not believed. */
static emk_status check_idle(post *p, emk_error *e)
{
    bool full = false;

    for (size_t i = 0; i < p->n; i++) {
        emk_lock_take(p->box[i].lock);
        full = full || p->box[i].full;
        emk_lock_give(p->box[i].lock);
    }
    return full ? emk_fail(e, EMK_E_BUSY, "messenger: something is on its way", 0) : EMK_OK;
}

/* Takes c and the keys. */
static void change_boxes(post *p, emk_config *c, emk_webhook_keys keys[EMK_CONFIG_HOOKS_MAX])
{
    for (size_t i = 0; i < EMK_HOOK_TARGETS_MAX; i++) {
        box *b = &p->box[i];
        const emk_config_hook *h = &c->hooks[i];

        emk_lock_take(b->lock);
        emk_webhook_keys_done(&b->keys);
        b->keys = keys[i];
        b->is = (emk_messenger_target){h->url, h->allow, h->secret_file};
        emk_lock_give(b->lock);
        keys[i].n = 0;
    }
    p->n = c->n_hooks;
    if (p->config)
        emk_config_done(p->config);
    emk_free(p->config);
    p->config = c;
}

static emk_status read_again(post *p, const uint8_t digest[EMK_SHA256_LEN], emk_error *e)
{
    emk_webhook_keys keys[EMK_CONFIG_HOOKS_MAX] = {{.n = 0}};
    emk_config *c = emk_alloc(1, sizeof *c);
    emk_status st = c ? read_config(p, digest, c, e)
                      : emk_fail(e, EMK_E_NO_MEMORY, "messenger: memory", sizeof *c);

    if (st != EMK_OK) {
        emk_free(c);
        return st;
    }
    st = load_keys(c, keys, e);
    if (st == EMK_OK)
        st = man_boxes(p, c->n_hooks, e);
    if (st == EMK_OK)
        st = check_idle(p, e);
    if (st == EMK_OK) {
        change_boxes(p, c, keys);
        return EMK_OK;
    }
    for (size_t i = 0; i < EMK_CONFIG_HOOKS_MAX; i++)
        emk_webhook_keys_done(&keys[i]);
    emk_config_done(c);
    emk_free(c);
    return st;
}

static emk_status obey(post *p, emk_span in, emk_error *e)
{
    emk_hook_result r = {.delivered = false};
    uint8_t out[ANSWER_LEN];
    emk_error why = {0};

    if (in.len != RELOAD_LEN || in.p[0] != RELOAD) {
        put_into_box(p, in);
        return EMK_OK;
    }
    r.delivered = read_again(p, in.p + 1, &why) == EMK_OK;
    if (!r.delivered)
        emk_log_write(EMK_LOG_ERROR, "reload: the webhooks' targets stay as they were", NULL, &why);
    return emk_proc_send(p->fd, write_answer(RELOAD, &r, out), e);
}

static emk_status prepare(const emk_messenger_options *o, post *p, emk_error *e)
{
    emk_status st =
        p ? read_secrets(o, p, e) : emk_fail(e, EMK_E_NO_MEMORY, "messenger: memory", sizeof *p);

    if (st == EMK_OK)
        st = confine(o, e);
    return st == EMK_OK ? open_boxes(p, e) : st;
}

/* Ends with the process, so nothing is given back. */
static int run_child(const emk_messenger_options *o, int fd)
{
    post *p = emk_alloc(1, sizeof *p);
    uint8_t letter[LETTER_MAX];
    emk_error e = {0};
    size_t len = 0;

    emk_proc_name("earmarkd-hooks");
    if (p)
        p->fd = fd;
    if (prepare(o, p, &e) != EMK_OK) {
        emk_log_write(EMK_LOG_ERROR, "the messenger cannot start", NULL, &e);
        return EXIT_SANDBOX;
    }
    while (emk_proc_receive(fd, letter, sizeof letter, &len, 0, &e) == EMK_OK &&
           obey(p, emk_span_of(letter, len), &e) == EMK_OK) {
    }
    return EXIT_GONE;
}

/* ---- this side ---- */

/* Said here, where the operator looks; the child reads them again, as secrets do not outlive a
 * fork. */
static emk_status check_secrets(const emk_messenger_options *o, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < o->n_targets; i++) {
        emk_webhook_keys keys = {.n = 0};

        st = emk_webhook_keys_load(o->targets[i].secret_file, &keys, e);
        if (st != EMK_OK)
            emk_log_write(EMK_LOG_ERROR, "a webhook's secret cannot be used",
                          o->targets[i].secret_file, e);
        emk_webhook_keys_done(&keys);
    }
    return st;
}

static emk_status start(const emk_messenger_options *o, emk_messenger *m, emk_error *e)
{
    bool child = false;
    emk_status st = check_secrets(o, e);

    if (st == EMK_OK)
        st = emk_proc_fork(&child, &m->fd, &m->pid, e);
    if (st == EMK_OK && child)
        emk_proc_exit(run_child(o, m->fd));
    return st;
}

emk_status emk_messenger_start(const emk_messenger_options *o, emk_messenger **out, emk_error *e)
{
    emk_messenger *m = emk_alloc(1, sizeof *m);
    emk_status st;

    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "messenger: memory", sizeof *m);
    m->fd = -1;
    m->reloaded = o->reloaded;
    m->reloaded_self = o->reloaded_self;
    st = start(o, m, e);
    if (st == EMK_OK)
        st = emk_lock_new(&m->lock, e);
    if (st != EMK_OK) {
        emk_messenger_stop(m);
        return st;
    }
    atomic_store(&m->alive, true);
    *out = m;
    return EMK_OK;
}

void emk_messenger_forget(void *self)
{
    emk_messenger *m = self;

    if (m)
        emk_os_close(m->fd);
}

bool emk_messenger_is_alive(const emk_messenger *m)
{
    return m && atomic_load(&m->alive);
}

/* Nothing on its way will be answered any more. */
static void lose(emk_messenger *m, const emk_error *why)
{
    emk_hook_result again = {.busy = true};

    atomic_store(&m->alive, false);
    if (m->asking && m->reloaded)
        m->reloaded(m->reloaded_self, false);
    emk_log_write(EMK_LOG_ERROR, "the messenger is gone: webhooks wait for a restart", NULL, why);
    for (size_t i = 0; i < EMK_HOOK_TARGETS_MAX; i++)
        if (m->busy[i])
            emk_hooks_result(m->hooks, &m->on_way[i], &again, emk_os_now_ms());
}

/* The child has the new targets by now: when we cannot, letters would go astray. */
static emk_status end_reload(emk_messenger *m, bool good, emk_error *e)
{
    emk_status st = EMK_OK;

    if (!m->asking)
        return EMK_OK;
    if (good)
        st = emk_hooks_retarget(m->hooks, m->asked.target, m->asked.n, e);
    if (st != EMK_OK)
        return st;
    m->asking = false;
    if (good)
        emk_log_write(EMK_LOG_INFO, "reload: webhooks go to the targets of the configuration", NULL,
                      NULL);
    if (m->reloaded)
        m->reloaded(m->reloaded_self, good);
    return EMK_OK;
}

static emk_status take_answer(emk_messenger *m, emk_span answer, emk_error *e)
{
    emk_hook_result r = {.random = (uint32_t)emk_os_monotonic_ns()};
    size_t target;

    if (!read_answer(answer, &target, &r))
        return EMK_OK;
    if (target == RELOAD)
        return end_reload(m, r.delivered, e);
    if (!m->busy[target])
        return EMK_OK;
    m->busy[target] = false;
    emk_hooks_result(m->hooks, &m->on_way[target], &r, emk_os_now_ms());
    return EMK_OK;
}

/* True while nothing new is to be sent: a reload waits for what is on its way, or for its answer.
 */
static bool reloads(emk_messenger *m)
{
    bool waits;

    emk_lock_take(m->lock);
    waits = m->has_next;
    emk_lock_give(m->lock);
    return waits || m->asking;
}

static emk_status ask_reload(emk_messenger *m, emk_error *e)
{
    uint8_t out[RELOAD_LEN] = {RELOAD};

    for (size_t i = 0; i < EMK_HOOK_TARGETS_MAX; i++)
        if (m->busy[i] || m->asking)
            return EMK_OK; /* 10 s at most: EMK_MESSENGER_TIMEOUT_S */
    emk_lock_take(m->lock);
    m->asked = m->next;
    m->has_next = false;
    emk_lock_give(m->lock);
    m->asking = true;
    memcpy(out + 1, m->asked.digest, sizeof m->asked.digest);
    return emk_proc_send(m->fd, emk_span_of(out, sizeof out), e);
}

static emk_status send_due(emk_messenger *m, emk_error *e)
{
    emk_status st = EMK_OK;

    while (st == EMK_OK && emk_hooks_next(m->hooks, emk_os_now_ms(), &m->job)) {
        uint8_t letter[LETTER_MAX];

        m->on_way[m->job.target] = m->job;
        m->busy[m->job.target] = true;
        st = emk_proc_send(m->fd, write_letter(&m->job, letter), e);
    }
    return st;
}

static void feed(void *self)
{
    emk_messenger *m = self;
    uint8_t answer[ANSWER_LEN];
    emk_error e = {0};
    size_t len;

    while (!atomic_load(&m->stopping)) {
        emk_status st = reloads(m) ? ask_reload(m, &e) : send_due(m, &e);

        if (st == EMK_OK)
            st = emk_proc_receive(m->fd, answer, sizeof answer, &len, TICK_MS, &e);
        if (st == EMK_OK)
            st = take_answer(m, emk_span_of(answer, len), &e);
        if (st != EMK_OK && st != EMK_E_BUSY) {
            lose(m, &e);
            return;
        }
    }
}

emk_status emk_messenger_feed(emk_messenger *m, emk_hooks *hooks, emk_error *e)
{
    m->hooks = hooks;
    return emk_thread_start(feed, m, &m->thread, e);
}

void emk_messenger_reload(emk_messenger *m, const emk_hook_target *targets, size_t n,
                          const uint8_t digest[EMK_SHA256_LEN])
{
    emk_lock_take(m->lock);
    memcpy(m->next.target, targets, n * sizeof *targets);
    m->next.n = n;
    memcpy(m->next.digest, digest, EMK_SHA256_LEN);
    m->has_next = true;
    emk_lock_give(m->lock);
}

void emk_messenger_stop(emk_messenger *m)
{
    if (!m)
        return;
    atomic_store(&m->stopping, true);
    if (m->thread)
        emk_thread_join(m->thread);
    emk_os_close(m->fd);
    if (m->pid > 0)
        emk_proc_terminate(m->pid);
    emk_lock_free(m->lock);
    emk_free(m);
}
