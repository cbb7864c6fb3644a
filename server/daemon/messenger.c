/* State here: what is on its way to each target.  State in the child: a letter box for each
 * target, filled by the one that reads the line, emptied by the target's thread. */
#include "server/daemon/messenger.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "core/base/reader.h"
#include "core/base/writer.h"
#include "core/fetch/fetch.h"
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

struct emk_messenger {
    int fd, pid;
    atomic_bool alive, stopping;
    emk_hooks *hooks;
    emk_thread *thread;
    emk_hook_job job;                          /* the one in hand */
    emk_hook_job on_way[EMK_HOOK_TARGETS_MAX]; /* body unused */
    bool busy[EMK_HOOK_TARGETS_MAX];
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
    return emk_reader_at_end(&rd) && *target < EMK_HOOK_TARGETS_MAX;
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
    size_t n;
    box box[EMK_HOOK_TARGETS_MAX];
} post;

static bool may_reach(void *self, const char *address)
{
    const box *b = self;

    return emk_webhook_may_reach(b->is.url, b->is.allow, address);
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

/* Names, certificates and the libraries that resolve names; nothing below the keys' folder. */
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
    const char *read[sizeof NEEDED / sizeof NEEDED[0] + 1];
    emk_sandbox_paths p = {.read = read};

    for (size_t i = 0; i < sizeof NEEDED / sizeof NEEDED[0]; i++)
        if (!o->keys_dir || !emk_sandbox_contains(NEEDED[i], o->keys_dir))
            read[p.n_read++] = NEEDED[i];
    if (o->ca_file)
        read[p.n_read++] = o->ca_file;
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

static emk_status open_boxes(post *p, emk_error *e)
{
    emk_status st = emk_crypto_new(NULL, NULL, &p->crypto, e);

    for (size_t i = 0; st == EMK_OK && i < p->n; i++) {
        p->box[i].post = p;
        st = emk_lock_new(&p->box[i].lock, e);
        if (st == EMK_OK)
            st = emk_thread_start(work, &p->box[i], &p->box[i].thread, e);
    }
    return st;
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
    return st;
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
    while (emk_proc_receive(fd, letter, sizeof letter, &len, 0, &e) == EMK_OK)
        put_into_box(p, emk_span_of(letter, len));
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
    st = start(o, m, e);
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
    emk_log_write(EMK_LOG_ERROR, "the messenger is gone: webhooks wait for a restart", NULL, why);
    for (size_t i = 0; i < EMK_HOOK_TARGETS_MAX; i++)
        if (m->busy[i])
            emk_hooks_result(m->hooks, &m->on_way[i], &again, emk_os_now_ms());
}

static void take_answer(emk_messenger *m, emk_span answer)
{
    emk_hook_result r = {.random = (uint32_t)emk_os_monotonic_ns()};
    size_t target;

    if (!read_answer(answer, &target, &r) || !m->busy[target])
        return;
    m->busy[target] = false;
    emk_hooks_result(m->hooks, &m->on_way[target], &r, emk_os_now_ms());
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
        emk_status st = send_due(m, &e);

        if (st == EMK_OK)
            st = emk_proc_receive(m->fd, answer, sizeof answer, &len, TICK_MS, &e);
        if (st == EMK_OK)
            take_answer(m, emk_span_of(answer, len));
        else if (st != EMK_E_BUSY) {
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
    emk_free(m);
}
