/* State: for each target the messages that wait, oldest first, as their ids and when they are due;
 * what they say is in the records only.  `lock` guards all of it; the store is never asked under
 * it.  Which targets there are, and in which places, is changed by the one thread that sends, under
 * the lock: it reads them without, everybody else under the lock, and remembers names, not places.
 */
#include "server/api/hooks.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "core/codec/base64url.h"
#include "core/crypto/random.h"
#include "server/api/api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define QUEUE_DEFAULT  1000u
#define RATE_DEFAULT   600u
#define RETRY_DEFAULT  5000u
#define MS_PER_MINUTE  60000u
#define ENVELOPE_CAP   256u
#define ERROR_PAUSE_MS 1000u /* when the records do not answer */
#define RARE_PART      4u    /* of a queue is for what devices cannot cause at will */
#define BY_DEVICES     (UINT32_C(1) << EMK_WEBHOOK_DENY | UINT32_C(1) << EMK_WEBHOOK_BAN)

typedef struct waiting {
    uint8_t id[EMK_HOOK_ID_LEN];
    uint64_t next_ms, created_s;
} waiting;

typedef struct target {
    emk_hook_target is;
    waiting *queue; /* owned; in the order of arrival */
    size_t n;
    bool busy, disabled;
    bool loading;           /* the records are being looked through for it */
    uint64_t not_before_ms; /* the rate */
    uint64_t dead, sent, failed, dropped, last_sent_s;
    unsigned last_code;
} target;

struct emk_hooks {
    const emk_crypto *crypto;
    const emk_records *records;
    emk_lock *lock;
    uint32_t queue_max, gap_ms;
    uint64_t retry_ms;
    target target[EMK_HOOK_TARGETS_MAX];
    size_t n;
};

/* ---- ids ---- */

/* One message to two targets are two records. */
static size_t record_id(const uint8_t id[EMK_HOOK_ID_LEN], const char *name,
                        uint8_t out[EMK_HOOK_ID_LEN + EMK_HOOK_NAME_CAP])
{
    size_t n = strlen(name);

    memcpy(out, id, EMK_HOOK_ID_LEN);
    memcpy(out + EMK_HOOK_ID_LEN, name, n);
    return EMK_HOOK_ID_LEN + n;
}

static emk_status message_name(const uint8_t id[EMK_HOOK_ID_LEN], char out[EMK_HOOK_ID_CAP],
                               emk_error *e)
{
    size_t len;

    memcpy(out, "msg_", 4);
    return emk_base64url_encode(emk_span_of(id, EMK_HOOK_ID_LEN), out + 4, EMK_HOOK_ID_CAP - 4,
                                &len, e);
}

/* ---- life ---- */

static size_t place_of(const emk_hooks *h, emk_span name)
{
    for (size_t i = 0; i < h->n; i++)
        if (emk_span_equal(name, emk_span_str(h->target[i].is.name)))
            return i;
    return EMK_HOOK_TARGETS_MAX;
}

static bool waits_already(const target *t, const uint8_t id[EMK_HOOK_ID_LEN])
{
    for (size_t i = 0; i < t->n; i++)
        if (memcmp(t->queue[i].id, id, EMK_HOOK_ID_LEN) == 0)
            return true;
    return false;
}

/* Under the lock.  Others may have filled it meanwhile: then it waits in the records for a
 * restart. */
static void put_waiting(const emk_hooks *h, target *t, const waiting *w)
{
    if (t->n < h->queue_max && !waits_already(t, w->id))
        t->queue[t->n++] = *w;
}

/* Of a target that is not configured any more: it waits until it is again, or expires. */
static emk_status load_one(emk_hooks *h, const emk_record_view *r, emk_error *e)
{
    emk_outbox_entity *m = emk_alloc(1, sizeof *m);
    size_t i = place_of(h, r->owner);
    emk_status st;

    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "hooks: memory", sizeof *m);
    st = emk_entity_read(&emk_outbox_shape, r->value, m, e);
    if (st == EMK_OK && i < h->n && h->target[i].loading) {
        waiting w = {.next_ms = m->next_ms, .created_s = m->created_s};

        memcpy(w.id, m->id, sizeof w.id);
        emk_lock_take(h->lock);
        if (m->dead)
            h->target[i].dead++;
        else
            put_waiting(h, &h->target[i], &w);
        emk_lock_give(h->lock);
    }
    emk_free(m);
    return st;
}

static emk_status load_switch(emk_hooks *h, const char *name, bool *disabled, emk_error *e)
{
    emk_webhook_entity w;
    emk_status st = emk_entity_get(h->records, &emk_webhook_shape, emk_span_str(name), &w, NULL, e);

    if (st == EMK_OK)
        *disabled = w.disabled;
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

typedef struct scanning {
    emk_hooks *h;
    uint8_t last[EMK_RECORD_ID_MAX];
    size_t last_len, seen;
} scanning;

static emk_status scan_one(void *self, const emk_record_view *r, emk_error *e)
{
    scanning *s = self;

    memcpy(s->last, r->id.p, r->id.len);
    s->last_len = r->id.len;
    s->seen++;
    return load_one(s->h, r, e);
}

static void swap(waiting *a, waiting *b)
{
    waiting x = *a;

    *a = *b;
    *b = x;
}

/* Oldest first again: ids are random, and the scan goes by them.  Heap sort, in place. */
static void sink(waiting *q, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && q[child + 1].created_s > q[child].created_s)
            child++;
        if (q[i].created_s >= q[child].created_s)
            return;
        swap(&q[i], &q[child]);
    }
}

static void sort_by_age(waiting *q, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sink(q, i, n);
    for (size_t end = n; end > 1; end--) {
        swap(&q[0], &q[end - 1]);
        sink(q, 0, end - 1);
    }
}

/* What the records have for the targets that are `loading`. */
static emk_status load(emk_hooks *h, emk_error *e)
{
    scanning s = {.h = h};
    emk_status st = EMK_OK;

    do {
        emk_record_scan scan = {.kind = EMK_KIND_OUTBOX,
                                .after = emk_span_of(s.last, s.last_len),
                                .limit = EMK_RECORD_SCAN_MAX};
        s.seen = 0;
        st = emk_records_scan(h->records, &scan, scan_one, &s, e);
    } while (st == EMK_OK && s.seen == EMK_RECORD_SCAN_MAX);
    emk_lock_take(h->lock);
    for (size_t i = 0; i < h->n; i++) {
        if (h->target[i].loading)
            sort_by_age(h->target[i].queue, h->target[i].n);
        h->target[i].loading = false;
    }
    emk_lock_give(h->lock);
    return st;
}

/* ---- which targets ---- */

static void free_queues(target *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        emk_free(t[i].queue);
}

/* Those that are new with a queue of their own; the others as they are, without one. */
static emk_status make_targets(emk_hooks *h, const emk_hook_target *from, size_t n, target *out,
                               emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < n; i++) {
        out[i].is = from[i];
        if (place_of(h, emk_span_str(from[i].name)) < h->n)
            continue;
        out[i].loading = true;
        out[i].queue = emk_alloc(h->queue_max, sizeof(waiting));
        st = out[i].queue ? load_switch(h, from[i].name, &out[i].disabled, e)
                          : emk_fail(e, EMK_E_NO_MEMORY, "hooks: memory", h->queue_max);
    }
    return st;
}

/* Under the lock.  Leaves in `fresh` what is to be freed. */
static void change_targets(emk_hooks *h, target *fresh, size_t n)
{
    target was[EMK_HOOK_TARGETS_MAX];
    size_t n_was = h->n;

    memcpy(was, h->target, sizeof was);
    for (size_t i = 0; i < n; i++) {
        size_t k =
            fresh[i].loading ? EMK_HOOK_TARGETS_MAX : place_of(h, emk_span_str(fresh[i].is.name));

        if (k >= n_was)
            continue;
        was[k].is = fresh[i].is;
        fresh[i] = was[k];
        was[k].queue = NULL; /* has moved */
    }
    memcpy(h->target, fresh, EMK_HOOK_TARGETS_MAX * sizeof *fresh);
    h->n = n;
    memcpy(fresh, was, sizeof was);
}

static bool has_new(const emk_hooks *h)
{
    for (size_t i = 0; i < h->n; i++)
        if (h->target[i].loading)
            return true;
    return false;
}

emk_status emk_hooks_retarget(emk_hooks *h, const emk_hook_target *targets, size_t n, emk_error *e)
{
    target *fresh;
    emk_status st;

    if (n > EMK_HOOK_TARGETS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "hooks: too many", n);
    fresh = emk_alloc(EMK_HOOK_TARGETS_MAX, sizeof *fresh);
    if (!fresh)
        return emk_fail(e, EMK_E_NO_MEMORY, "hooks: memory", sizeof *fresh);
    st = make_targets(h, targets, n, fresh, e);
    if (st == EMK_OK) {
        emk_lock_take(h->lock);
        change_targets(h, fresh, n);
        emk_lock_give(h->lock);
        st = has_new(h) ? load(h, e) : EMK_OK;
    }
    free_queues(fresh, EMK_HOOK_TARGETS_MAX);
    emk_free(fresh);
    return st;
}

/* ---- life ---- */

emk_status emk_hooks_new(const emk_hooks_config *config, emk_hooks **out, emk_error *e)
{
    emk_hooks *h;
    emk_status st;

    if (config->n_targets > EMK_HOOK_TARGETS_MAX || config->queue > EMK_HOOK_QUEUE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "hooks: too many", config->n_targets);
    h = emk_alloc(1, sizeof *h);
    if (!h)
        return emk_fail(e, EMK_E_NO_MEMORY, "hooks: memory", sizeof *h);
    h->crypto = config->crypto;
    h->records = config->records;
    h->queue_max = config->queue ? config->queue : QUEUE_DEFAULT;
    h->gap_ms = MS_PER_MINUTE / (config->per_minute ? config->per_minute : RATE_DEFAULT);
    h->retry_ms = config->retry_ms ? config->retry_ms : RETRY_DEFAULT;
    st = emk_lock_new(&h->lock, e);
    if (st == EMK_OK)
        st = emk_hooks_retarget(h, config->targets, config->n_targets, e);
    if (st != EMK_OK) {
        emk_hooks_free(h);
        return st;
    }
    *out = h;
    return EMK_OK;
}

void emk_hooks_free(emk_hooks *h)
{
    if (!h)
        return;
    free_queues(h->target, h->n);
    emk_lock_free(h->lock);
    emk_free(h);
}

/* ---- telling ---- */

static emk_status envelope(const emk_hook_news *news, const uint8_t id[EMK_HOOK_ID_LEN],
                           emk_outbox_entity *m, emk_error *e)
{
    char name[EMK_HOOK_ID_CAP], head[ENVELOPE_CAP];
    emk_status st = message_name(id, name, e);
    int n = snprintf(head, sizeof head,
                     "{\"id\":\"%s\",\"type\":\"%s\",\"time\":%" PRIu64 ",\"data\":", name,
                     EMK_WEBHOOK_KIND_NAME[news->kind], news->now_s);

    if (st != EMK_OK)
        return st;
    if (n < 0 || (size_t)n + news->data.len + 1 > sizeof m->body.p)
        return emk_fail(e, EMK_E_LIMIT, "hooks: message", news->data.len);
    memcpy(m->body.p, head, (size_t)n);
    memcpy(m->body.p + n, news->data.p, news->data.len);
    m->body.p[(size_t)n + news->data.len] = '}';
    m->body.len = (size_t)n + news->data.len + 1;
    return EMK_OK;
}

static emk_status add_item(emk_outbox_entity *m, const char *name, emk_hook_batch *b, emk_error *e)
{
    emk_record_change *c = &b->change[b->n];
    size_t len = record_id(m->id, name, b->item[b->n].id);
    emk_status st;

    emk_buf_init(&b->item[b->n].value, EMK_ENTITY_VALUE_MAX);
    st = emk_entity_write(&emk_outbox_shape, m, &b->item[b->n].value, e);
    if (st != EMK_OK) {
        emk_buf_done(&b->item[b->n].value);
        return st;
    }
    memcpy(b->item[b->n].name, name, strlen(name) + 1);
    *c = (emk_record_change){.op = EMK_RECORD_PUT,
                             .kind = EMK_KIND_OUTBOX,
                             .id = emk_span_of(b->item[b->n].id, len),
                             .expect = EMK_RECORD_ANY,
                             .owner = emk_span_str(b->item[b->n].name),
                             .value = emk_buf_span(&b->item[b->n].value),
                             .expires_s = m->created_s + EMK_HOOK_DEAD_S};
    b->n++;
    return EMK_OK;
}

/* A device may be denied as often as it likes: that does not keep a breaker's news out. */
static size_t room_for(const emk_hooks *h, const target *t, emk_webhook_kind kind)
{
    bool shares = (BY_DEVICES >> kind & 1) && (t->is.kinds & ~BY_DEVICES);

    return shares ? h->queue_max - h->queue_max / RARE_PART : h->queue_max;
}

/* Whether it gets the message; one whose queue is full does not, which is counted. */
static bool takes(emk_hooks *h, target *t, const emk_hook_news *news)
{
    bool named = news->only && strcmp(news->only, t->is.name) == 0;
    bool wants = news->only ? named : (t->is.kinds >> news->kind & 1) && !t->disabled;
    bool room = t->n < room_for(h, t, news->kind);

    t->dropped += wants && !room;
    return wants && room;
}

/* Their names, all asked at one moment. */
static size_t who_takes(emk_hooks *h, const emk_hook_news *news,
                        char names[EMK_HOOK_TARGETS_MAX][EMK_HOOK_NAME_CAP])
{
    size_t n = 0;

    emk_lock_take(h->lock);
    for (size_t i = 0; i < h->n; i++)
        if (takes(h, &h->target[i], news))
            memcpy(names[n++], h->target[i].is.name, EMK_HOOK_NAME_CAP);
    emk_lock_give(h->lock);
    return n;
}

static emk_status fill_batch(emk_hooks *h, const emk_hook_news *news, emk_outbox_entity *m,
                             emk_hook_batch *b, emk_error *e)
{
    char names[EMK_HOOK_TARGETS_MAX][EMK_HOOK_NAME_CAP];
    emk_status st = EMK_OK;
    size_t n;

    if (news->id)
        memcpy(m->id, news->id, sizeof m->id);
    else
        st = emk_random_public(h->crypto, m->id, sizeof m->id, e);
    if (st == EMK_OK)
        st = envelope(news, m->id, m, e);
    m->kind = news->kind;
    m->created_s = news->now_s;
    n = st == EMK_OK ? who_takes(h, news, names) : 0;
    for (size_t i = 0; st == EMK_OK && i < n; i++)
        st = add_item(m, names[i], b, e);
    return st;
}

emk_status emk_hooks_prepare(emk_hooks *h, const emk_hook_news *news, emk_hook_batch *out,
                             emk_error *e)
{
    emk_outbox_entity *m;
    emk_status st;

    out->n = 0;
    out->now_s = news->now_s;
    if (!h)
        return EMK_OK;
    m = emk_alloc(1, sizeof *m);
    if (!m)
        return emk_fail(e, EMK_E_NO_MEMORY, "hooks: memory", sizeof *m);
    st = fill_batch(h, news, m, out, e);
    emk_free(m);
    if (st != EMK_OK)
        emk_hooks_batch_done(out);
    return st;
}

void emk_hooks_queued(emk_hooks *h, const emk_hook_batch *b)
{
    if (b->n == 0)
        return;
    emk_lock_take(h->lock);
    for (size_t k = 0; k < b->n; k++) {
        waiting w = {.created_s = b->now_s};
        size_t i = place_of(h, emk_span_str(b->item[k].name));

        memcpy(w.id, b->item[k].id, sizeof w.id);
        if (i < h->n)
            put_waiting(h, &h->target[i], &w);
    }
    emk_lock_give(h->lock);
}

void emk_hooks_batch_done(emk_hook_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        emk_buf_done(&b->item[i].value);
    b->n = 0;
}

emk_status emk_hooks_post(emk_hooks *h, const emk_hook_news *news, size_t *n, emk_error *e)
{
    emk_hook_batch *b = emk_alloc(1, sizeof *b);
    emk_status st = b ? emk_hooks_prepare(h, news, b, e)
                      : emk_fail(e, EMK_E_NO_MEMORY, "hooks: memory", sizeof *b);

    if (st == EMK_OK && b->n > 0) {
        st = emk_records_commit(h->records, b->change, b->n, NULL, e);
        if (st == EMK_OK)
            emk_hooks_queued(h, b);
    }
    if (st == EMK_OK && n)
        *n = b->n;
    if (b)
        emk_hooks_batch_done(b);
    emk_free(b);
    return st;
}

void emk_api_tell_revoked(emk_call *call, const uint8_t device_id[32])
{
    emk_hook_news news = {.kind = EMK_WEBHOOK_REVOKED, .now_s = emk_api_now(call->api)};
    emk_json_out o;
    emk_error ignored;
    emk_status st;

    emk_json_out_init(&o, &call->arena, ENVELOPE_CAP);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_base64url(&o, "device", emk_span_of(device_id, 32));
    emk_json_out_close(&o);
    st = emk_json_out_finish(&o, &news.data, &ignored);
    if (st == EMK_OK && emk_hooks_post(call->api->hooks, &news, NULL, &ignored) != EMK_OK)
        return; /* the audit log has it */
}

/* ---- sending ---- */

/* The place of what is due at a target; n: nothing. */
static size_t due(const target *t, uint64_t now_ms)
{
    if (t->busy || t->disabled || t->not_before_ms > now_ms)
        return t->n;
    for (size_t i = 0; i < t->n; i++)
        if (t->queue[i].next_ms <= now_ms)
            return i;
    return t->n;
}

static bool pick(emk_hooks *h, uint64_t now_ms, emk_hook_job *out)
{
    bool found = false;

    emk_lock_take(h->lock);
    for (size_t i = 0; !found && i < h->n; i++) {
        target *t = &h->target[i];
        size_t at = due(t, now_ms);

        if (at == t->n)
            continue;
        found = true;
        out->target = i;
        memcpy(out->id, t->queue[at].id, sizeof out->id);
        t->busy = true;
        t->not_before_ms = now_ms + h->gap_ms;
    }
    emk_lock_give(h->lock);
    return found;
}

static void remove_waiting(target *t, const uint8_t id[EMK_HOOK_ID_LEN])
{
    for (size_t i = 0; i < t->n; i++) {
        if (memcmp(t->queue[i].id, id, EMK_HOOK_ID_LEN) != 0)
            continue;
        memmove(&t->queue[i], &t->queue[i + 1], (t->n - i - 1) * sizeof t->queue[0]);
        t->n--;
        return;
    }
}

static void wait_until(target *t, const uint8_t id[EMK_HOOK_ID_LEN], uint64_t next_ms)
{
    for (size_t i = 0; i < t->n; i++)
        if (memcmp(t->queue[i].id, id, EMK_HOOK_ID_LEN) == 0)
            t->queue[i].next_ms = next_ms;
}

static emk_status read_message(emk_hooks *h, const emk_hook_job *job, emk_outbox_entity *m,
                               emk_error *e)
{
    uint8_t id[EMK_HOOK_ID_LEN + EMK_HOOK_NAME_CAP];
    size_t len = record_id(job->id, h->target[job->target].is.name, id);

    return emk_entity_get(h->records, &emk_outbox_shape, emk_span_of(id, len), m, NULL, e);
}

static emk_status fill_job(emk_hooks *h, emk_hook_job *job, emk_error *e)
{
    emk_outbox_entity *m = emk_alloc(1, sizeof *m);
    emk_status st = m ? read_message(h, job, m, e) : EMK_E_NO_MEMORY;

    if (st == EMK_OK) {
        job->tries = (unsigned)m->tries;
        job->len = m->body.len;
        memcpy(job->body, m->body.p, m->body.len);
        st = message_name(job->id, job->name, e);
    }
    emk_free(m);
    return st;
}

/* Not in the records (expired): it waits no longer.  Cannot be read now: later. */
static void put_back(emk_hooks *h, const emk_hook_job *job, emk_status st, uint64_t now_ms)
{
    target *t = &h->target[job->target];

    emk_lock_take(h->lock);
    t->busy = false;
    if (st == EMK_E_NOT_FOUND)
        remove_waiting(t, job->id);
    else
        wait_until(t, job->id, now_ms + ERROR_PAUSE_MS);
    emk_lock_give(h->lock);
}

bool emk_hooks_next(emk_hooks *h, uint64_t now_ms, emk_hook_job *out)
{
    emk_error e;

    while (h && pick(h, now_ms, out)) {
        emk_status st = fill_job(h, out, &e);

        if (st == EMK_OK)
            return true;
        put_back(h, out, st, now_ms);
    }
    return false;
}

/* What the record is to say after this try.  EMK_OK with *dead, *next_ms. */
static emk_status store_failure(emk_hooks *h, const emk_hook_job *job, const emk_hook_result *r,
                                uint64_t now_ms, emk_outbox_entity *m, emk_error *e)
{
    uint8_t id[EMK_HOOK_ID_LEN + EMK_HOOK_NAME_CAP];
    const char *name = h->target[job->target].is.name;
    emk_entity_put put = {.shape = &emk_outbox_shape,
                          .in = m,
                          .id = emk_span_of(id, record_id(job->id, name, id)),
                          .owner = emk_span_str(name),
                          .expect = EMK_RECORD_ANY};
    emk_status st = read_message(h, job, m, e);

    if (st != EMK_OK)
        return st;
    m->tries++;
    m->code = r->code;
    m->dead = m->tries >= EMK_WEBHOOK_TRIES;
    m->next_ms =
        now_ms + emk_webhook_pause_ms(h->retry_ms, (unsigned)m->tries, r->asked_s, r->random);
    put.expires_s = now_ms / 1000 + EMK_HOOK_DEAD_S;
    return emk_entity_store(h->records, &put, NULL, e);
}

static void failed(emk_hooks *h, const emk_hook_job *job, const emk_hook_result *r, uint64_t now_ms)
{
    emk_outbox_entity *m = emk_alloc(1, sizeof *m);
    target *t = &h->target[job->target];
    emk_error e;
    emk_status st = m ? store_failure(h, job, r, now_ms, m, &e) : EMK_E_NO_MEMORY;

    emk_lock_take(h->lock);
    t->failed++;
    if (st == EMK_OK && m->dead)
        t->dead++;
    if (st == EMK_E_NOT_FOUND || (st == EMK_OK && m->dead))
        remove_waiting(t, job->id);
    else
        wait_until(t, job->id, st == EMK_OK ? m->next_ms : now_ms + h->retry_ms);
    t->busy = false;
    emk_lock_give(h->lock);
    emk_free(m);
}

static void delivered(emk_hooks *h, const emk_hook_job *job, uint64_t now_ms)
{
    uint8_t id[EMK_HOOK_ID_LEN + EMK_HOOK_NAME_CAP];
    target *t = &h->target[job->target];
    emk_record_change gone = {.op = EMK_RECORD_DELETE,
                              .kind = EMK_KIND_OUTBOX,
                              .id = emk_span_of(id, record_id(job->id, t->is.name, id)),
                              .expect = EMK_RECORD_ANY};
    emk_error e;
    emk_status st = emk_records_commit(h->records, &gone, 1, NULL, &e);

    emk_lock_take(h->lock);
    t->busy = false;
    t->sent++;
    t->last_sent_s = now_ms / 1000;
    if (st == EMK_OK)
        remove_waiting(t, job->id);
    else
        wait_until(t, job->id, now_ms + ERROR_PAUSE_MS); /* it will come twice: same id */
    emk_lock_give(h->lock);
}

void emk_hooks_result(emk_hooks *h, const emk_hook_job *job, const emk_hook_result *r,
                      uint64_t now_ms)
{
    if (r->busy) {
        put_back(h, job, EMK_E_BUSY, now_ms);
        return;
    }
    emk_lock_take(h->lock);
    h->target[job->target].last_code = r->code;
    emk_lock_give(h->lock);
    if (r->delivered)
        delivered(h, job, now_ms);
    else
        failed(h, job, r, now_ms);
}

/* ---- looking and steering ---- */

bool emk_hooks_state(emk_hooks *h, size_t place, emk_hook_state *out)
{
    const target *t;
    bool there;

    if (!h || place >= EMK_HOOK_TARGETS_MAX)
        return false;
    t = &h->target[place];
    emk_lock_take(h->lock);
    there = place < h->n;
    if (there)
        *out = (emk_hook_state){.is = t->is,
                                .disabled = t->disabled,
                                .waiting = t->n,
                                .dead = t->dead,
                                .sent = t->sent,
                                .failed = t->failed,
                                .dropped = t->dropped,
                                .last_code = t->last_code,
                                .last_sent_s = t->last_sent_s,
                                .oldest_s = t->n ? t->queue[0].created_s : 0};
    emk_lock_give(h->lock);
    return there;
}

bool emk_hooks_find(emk_hooks *h, emk_span name, char out[EMK_HOOK_NAME_CAP])
{
    size_t i;

    if (!h)
        return false;
    emk_lock_take(h->lock);
    i = place_of(h, name);
    if (i < h->n)
        memcpy(out, h->target[i].is.name, EMK_HOOK_NAME_CAP);
    emk_lock_give(h->lock);
    return i != EMK_HOOK_TARGETS_MAX;
}

emk_status emk_hooks_disable(emk_hooks *h, const char *name, bool disabled, const char *by,
                             uint64_t now_s, emk_error *e)
{
    emk_webhook_entity w = {.disabled = disabled, .changed_s = now_s};
    emk_entity_put put = {
        .shape = &emk_webhook_shape, .in = &w, .id = emk_span_str(name), .expect = EMK_RECORD_ANY};
    emk_status st;
    size_t i;

    snprintf(w.by, sizeof w.by, "%s", by);
    st = emk_entity_store(h->records, &put, NULL, e);
    if (st != EMK_OK)
        return st;
    emk_lock_take(h->lock);
    i = place_of(h, emk_span_str(name));
    if (i < h->n)
        h->target[i].disabled = disabled;
    emk_lock_give(h->lock);
    return EMK_OK;
}
