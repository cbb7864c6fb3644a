/* Appending, and the life of a journal.
 *
 * Who appends queues its events (core/base/turns.h); whoever leads takes what is queued, numbers
 * and chains it and writes it with one write and one sync.  The chain is stepped
 * on a copy, which takes the place of the old one when the entries are durable. */
#include "server/journal/journal.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/base/secret.h"
#include "core/codec/cbor.h"
#include "server/journal/internal.h"

#include <string.h>

#define EVENT_OVERHEAD      192u       /* bytes that an entry has beside the event's own, at most */
#define LOG_ROTATE          (4u << 20) /* bytes after which a new log file is begun */
#define GROUP_LEN           (4u << 20) /* bytes of one write, unless one append alone has more */
#define CHUNK_MAX           (48u << 20) /* bytes */
#define FRESH_PUBLISH       (8u << 20)  /* bytes unpublished: who appends helps */
#define FRESH_MAX           (64u << 20) /* … and here appending ends */
#define SPOOL_WHILE_FAILING 16u
#define EVERY_DEFAULT       1000u
#define NS_PER_MS           UINT64_C(1000000)
#define HEARTBEAT_ACTOR     "earmarkd"

static size_t event_len(const emk_journal_event *v)
{
    return v->type.len + v->actor.len + v->tenant.len + v->subject.len + v->object.len +
           v->decision.len + v->ruleset.len + v->detail.len + v->pii.len + EVENT_OVERHEAD;
}

/* The time without a disk, as it was when a group began. */
typedef struct degraded {
    uint64_t n_failed, spooled, lost;
    emk_spooled *first, *last; /* events to write first; borrowed */
} degraded;

static emk_waiting *waiting_of(emk_turn *t)
{
    return (emk_waiting *)(void *)t;
}

static emk_waiting *next_waiting(const emk_waiting *w)
{
    return w->turn.next ? waiting_of(w->turn.next) : NULL;
}

/* ---- writing one group: by the one thread that leads ---- */

static emk_status add_entry(emk_journal *j, emk_chain *ch, emk_chunk *to,
                            const emk_journal_event *event, bool late, emk_error *e)
{
    emk_journal_record r = {.event = *event, .seq = ch->seq, .epoch = ch->epoch, .late = late};
    uint8_t entry[EMK_JOURNAL_RECORD_MAX], head[EMK_LOG_FRAME_LEN];
    emk_tree_hash leaf;
    size_t len = 0;
    emk_status st;

    memcpy(r.link, ch->link, sizeof r.link);
    st = emk_journal_record_write(&r, entry, sizeof entry, &len, e);
    if (st == EMK_OK)
        st = emk_tree_leaf(j->sha, emk_span_of(entry, len), &leaf, e);
    if (st == EMK_OK)
        st = emk_chain_step(j->c, ch, emk_span_of(entry, len), e);
    if (st != EMK_OK)
        return st;
    emk_store_u16be(head, (uint16_t)len);
    memcpy(head + 2, leaf.b, sizeof leaf.b);
    st = emk_buf_append(&to->frames, emk_span_of(head, sizeof head), e);
    if (st == EMK_OK)
        st = emk_buf_append(&to->frames, emk_span_of(entry, len), e);
    to->n++;
    return st;
}

/* What happened while the log could not be written: {1: failed writes, 2: events that waited,
 * 3: events that did not fit}. */
static emk_status add_resumed(emk_journal *j, emk_chain *ch, emk_chunk *to, const degraded *d,
                              emk_error *e)
{
    uint8_t detail[40];
    emk_writer w;
    emk_journal_event event = {.time_ms = emk_os_now_ms(),
                               .type = emk_span_str("journal.resumed"),
                               .actor = emk_span_str("earmarkd"),
                               .outcome = EMK_JOURNAL_DONE};

    emk_writer_init(&w, detail, sizeof detail);
    emk_cbor_put_map(&w, 3);
    emk_cbor_put_uint(&w, 1);
    emk_cbor_put_uint(&w, d->n_failed);
    emk_cbor_put_uint(&w, 2);
    emk_cbor_put_uint(&w, d->spooled);
    emk_cbor_put_uint(&w, 3);
    emk_cbor_put_uint(&w, d->lost);
    event.detail = emk_writer_span(&w);
    return add_entry(j, ch, to, &event, false, e);
}

static emk_status repair(emk_journal *j, emk_error *e)
{
    emk_status st;

    if (!j->broken)
        return EMK_OK;
    st = emk_os_truncate(j->log_fd, j->log_len, e);
    if (st == EMK_OK)
        st = emk_os_sync(j->log_fd, e);
    if (st == EMK_OK)
        j->broken = false;
    return st;
}

static emk_status rotate(emk_journal *j, emk_error *e)
{
    int fd = -1;
    emk_status st;

    if (j->log_len < LOG_ROTATE)
        return EMK_OK;
    st = emk_log_create(j->o.dir, j->chain.seq, &fd, e);
    if (st != EMK_OK)
        return st;
    emk_os_close(j->log_fd);
    j->log_fd = fd;
    j->log_len = EMK_LOG_HEAD_LEN;
    emk_lock_take(j->lock);
    j->rotated = true;
    emk_lock_give(j->lock);
    return EMK_OK;
}

/* The key for the next entry, over the old one, and how far was acknowledged.  Not synced: the
 * entries are, and both files may lag behind them after a power cut, never lead. */
static void store_chain(emk_journal *j)
{
    emk_chain_head h = {.epoch = j->chain.epoch, .size = j->chain.seq};
    uint8_t chain[EMK_CHAIN_FILE_LEN], head[EMK_HEAD_FILE_LEN];

    memcpy(h.link, j->chain.link, sizeof h.link);
    if (emk_chain_write(j->c, &j->chain, chain, NULL) == EMK_OK)
        (void)!emk_os_write_at(j->chain_fd, 0, chain, sizeof chain, NULL);
    if (emk_chain_head_write(j->c, &h, head, NULL) == EMK_OK)
        (void)!emk_os_write_at(j->head_fd, 0, head, sizeof head, NULL);
    emk_wipe(chain, sizeof chain);
}

static emk_status write_chunk(emk_journal *j, const emk_chunk *c, emk_error *e)
{
    emk_status st = rotate(j, e);

    if (st != EMK_OK)
        return st;
    st = emk_os_write_at(j->log_fd, j->log_len, c->frames.p, c->frames.len, e);
    if (st == EMK_OK)
        st = emk_os_sync_data(j->log_fd, e);
    if (st != EMK_OK)
        j->broken = true;
    else
        j->log_len += c->frames.len;
    return st;
}

static emk_status make_entries(emk_journal *j, emk_chain *ch, emk_chunk *c, const degraded *d,
                               emk_waiting *group, emk_error *e)
{
    emk_status st = d->n_failed ? add_resumed(j, ch, c, d, e) : EMK_OK;

    for (emk_spooled *s = d->first; s && st == EMK_OK; s = s == d->last ? NULL : s->next)
        st = add_entry(j, ch, c, &s->event, true, e);
    for (; group && st == EMK_OK; group = next_waiting(group)) {
        group->first_seq = ch->seq;
        for (size_t i = 0; i < group->n && st == EMK_OK; i++)
            st = add_entry(j, ch, c, &group->events[i], false, e);
    }
    return st;
}

/* Gives in *out what was written, NULL when there was nothing to write. */
static emk_status write_group(emk_journal *j, const degraded *d, emk_waiting *group,
                              emk_chunk **out, emk_error *e)
{
    emk_chain ch = j->chain;
    emk_chunk *c = emk_alloc(1, sizeof *c);
    emk_status st = c ? repair(j, e) : emk_fail(e, EMK_E_NO_MEMORY, "journal: memory", sizeof *c);

    if (st == EMK_OK) {
        emk_buf_init(&c->frames, CHUNK_MAX);
        c->first = ch.seq;
        st = make_entries(j, &ch, c, d, group, e);
    }
    if (st == EMK_OK && c->frames.len)
        st = write_chunk(j, c, e);
    if (st == EMK_OK && c->frames.len) {
        j->chain = ch;
        store_chain(j);
        *out = c;
        c = NULL;
    }
    emk_chunk_free(c);
    emk_wipe(&ch, sizeof ch);
    return st;
}

/* ---- the queue: with the lock held ---- */

static bool fits_group(void *self, const emk_turn *next)
{
    size_t *len = self;

    *len += ((const emk_waiting *)(const void *)next)->len;
    return *len <= GROUP_LEN;
}

static emk_waiting *take_group(emk_journal *j)
{
    size_t len = waiting_of(j->turns.first)->len;
    emk_waiting *first;

    emk_turns_gather(&j->turns);
    first = waiting_of(emk_turns_take(&j->turns, fits_group, &len));
    for (const emk_waiting *w = first; w; w = next_waiting(w))
        j->queued_len -= w->len;
    return first;
}

static void free_spool(emk_spooled *s)
{
    while (s) {
        emk_spooled *next = s->next;

        emk_free(s);
        s = next;
    }
}

/* What waited in memory is written now, up to and with what was there when the group began. */
static void note_success(emk_journal *j, emk_chunk *c, const degraded *d, uint64_t took_ns)
{
    emk_spooled *written = NULL;

    if (d->last) {
        written = j->spool;
        j->spool = d->last->next;
        if (!j->spool)
            j->spool_last = &j->spool;
        d->last->next = NULL;
        for (emk_spooled *s = written; s; s = s->next) {
            j->spool_len -= s->len;
            j->state.spooled--;
        }
    }
    free_spool(written);
    if (c) {
        *j->fresh_last = c;
        j->fresh_last = &c->next;
        j->fresh_len += c->frames.len;
        j->state.size += c->n;
        j->state.n_groups++;
        j->state.last_commit_ns = took_ns;
    }
    j->n_failed = 0;
    j->state.lost -= d->lost;
    j->state.writable = true;
}

/* The last event of the spool that goes into the next write: few while writing fails, because
 * they are encoded anew each time. */
static emk_spooled *last_spooled(emk_journal *j)
{
    size_t left = j->n_failed ? SPOOL_WHILE_FAILING : SIZE_MAX;
    emk_spooled *s = j->spool;

    while (s && s->next && --left > 0)
        s = s->next;
    return s;
}

/* Writes what is queued; called with the lock held and gives it back. */
static void lead(emk_journal *j)
{
    emk_waiting *group = take_group(j);
    degraded d = {j->n_failed, j->state.spooled, j->state.lost, j->spool, last_spooled(j)};
    emk_error error = {0};
    emk_chunk *written = NULL;
    bool too_much = j->fresh_len > FRESH_MAX;
    uint64_t start = emk_os_monotonic_ns();
    emk_status st;

    emk_lock_give(j->lock);
    st = too_much ? emk_fail(&error, EMK_E_IO, "journal: nothing can be published", 0)
                  : write_group(j, &d, group, &written, &error);
    for (emk_waiting *w = group;; w = next_waiting(w)) { /* whoever leads is in it: never empty */
        w->status = st;
        w->error = error;
        if (!w->turn.next)
            break;
    }
    emk_lock_take(j->lock);
    if (st == EMK_OK) {
        note_success(j, written, &d, emk_os_monotonic_ns() - start);
    } else {
        j->n_failed++;
        j->state.writable = false;
    }
    group->hurry = j->state.size - j->state.checkpoint_size >= j->o.checkpoint_every;
    group->help = j->fresh_len > FRESH_PUBLISH;
    emk_turns_end(&j->turns, &group->turn);
}

/* Called with the lock held and gives it back. */
static void queue_and_wait(emk_journal *j, emk_waiting *w)
{
    j->queued_len += w->len;
    if (emk_turns_wait(&j->turns, &w->turn))
        lead(j);
}

static void help_publishing(emk_journal *j)
{
    emk_lock_take(j->pub.lock);
    (void)!emk_publish_fresh(j, NULL); /* told by emk_journal_checkpoint, and by FRESH_MAX */
    emk_lock_give(j->pub.lock);
}

static void wake_ticker(emk_journal *j)
{
    emk_lock_take(j->tick);
    j->hurry = true;
    emk_lock_wake_all(j->tick);
    emk_lock_give(j->tick);
}

static emk_status append_now(emk_journal *j, emk_waiting *w, emk_error *e)
{
    emk_lock_take(j->lock);
    if (j->queued_len > EMK_JOURNAL_QUEUE_MAX) {
        emk_lock_give(j->lock);
        return emk_fail(e, EMK_E_BUSY, "journal: too much is waiting", w->len);
    }
    queue_and_wait(j, w);
    if (w->status != EMK_OK)
        return emk_fail(e, EMK_E_IO, w->error.what, w->error.where);
    if (j->thread && w->hurry)
        wake_ticker(j);
    if (w->help)
        help_publishing(j);
    return EMK_OK;
}

emk_status emk_journal_append(emk_journal *j, const emk_journal_event *events, size_t n,
                              emk_journal_place *place, emk_error *e)
{
    emk_waiting w = {.events = events, .n = n};
    emk_status st;

    if (n == 0 || n > EMK_JOURNAL_BATCH_MAX)
        return emk_fail(e, EMK_E_USAGE, "journal: events in an append", n);
    for (size_t i = 0; i < n; i++) {
        st = emk_journal_event_check(&events[i], e);
        if (st != EMK_OK)
            return st;
        w.len += event_len(&events[i]);
    }
    st = append_now(j, &w, e);
    if (st == EMK_OK && place)
        *place = (emk_journal_place){w.first_seq, true};
    return st;
}

/* ---- what must happen anyway ---- */

static void keep_span(emk_span *s, uint8_t **to)
{
    if (s->len)
        memcpy(*to, s->p, s->len);
    s->p = *to;
    *to += s->len;
}

static emk_spooled *spooled_new(const emk_journal_event *event)
{
    size_t len = event_len(event);
    emk_spooled *s = emk_alloc(1, sizeof *s + len);
    uint8_t *p;

    if (!s)
        return NULL;
    p = (uint8_t *)(s + 1);
    s->event = *event;
    s->len = len;
    keep_span(&s->event.type, &p);
    keep_span(&s->event.actor, &p);
    keep_span(&s->event.tenant, &p);
    keep_span(&s->event.subject, &p);
    keep_span(&s->event.object, &p);
    keep_span(&s->event.decision, &p);
    keep_span(&s->event.ruleset, &p);
    keep_span(&s->event.detail, &p);
    keep_span(&s->event.pii, &p);
    return s;
}

emk_status emk_journal_append_always(emk_journal *j, const emk_journal_event *event,
                                     emk_journal_place *place, emk_error *e)
{
    emk_status st = emk_journal_append(j, event, 1, place, e);
    emk_spooled *s;

    if (st != EMK_E_IO && st != EMK_E_BUSY && st != EMK_E_NO_MEMORY)
        return st;
    s = spooled_new(event);
    emk_lock_take(j->lock);
    if (s && s->len <= EMK_JOURNAL_SPOOL_MAX - j->spool_len) {
        *j->spool_last = s;
        j->spool_last = &s->next;
        j->spool_len += s->len;
        j->state.spooled++;
        s = NULL;
    } else {
        j->state.lost++;
    }
    emk_lock_give(j->lock);
    emk_free(s);
    if (place)
        *place = (emk_journal_place){UINT64_MAX, false};
    return EMK_OK;
}

/* ---- the thread ---- */

/* Tries to write again what waits, so that a disk that has room again is noticed. */
static void retry(emk_journal *j)
{
    emk_waiting w = {0};

    emk_lock_take(j->lock);
    if (!j->state.writable || j->spool)
        queue_and_wait(j, &w);
    else
        emk_lock_give(j->lock);
}

static void beat(emk_journal *j, uint64_t *last_ms)
{
    uint64_t now_ms = emk_os_monotonic_ns() / NS_PER_MS;
    emk_journal_event event = {.time_ms = emk_os_now_ms(),
                               .type = emk_span_str("journal.heartbeat"),
                               .actor = emk_span_str(HEARTBEAT_ACTOR),
                               .outcome = EMK_JOURNAL_DONE};

    if (!j->o.heartbeat_s || now_ms - *last_ms < j->o.heartbeat_s * UINT64_C(1000))
        return;
    *last_ms = now_ms;
    (void)!emk_journal_append(j, &event, 1, NULL, NULL); /* missing, it is missing: that is it */
}

static void run_ticker(void *self)
{
    emk_journal *j = self;
    uint64_t last_beat_ms = emk_os_monotonic_ns() / NS_PER_MS;

    emk_lock_take(j->tick);
    while (!j->stop) {
        if (!j->hurry)
            emk_lock_wait_for(j->tick, j->o.checkpoint_ms * NS_PER_MS);
        j->hurry = false;
        emk_lock_give(j->tick);
        retry(j);
        beat(j, &last_beat_ms);
        (void)!emk_journal_checkpoint(j, NULL); /* state.signing tells */
        emk_lock_take(j->tick);
    }
    emk_lock_give(j->tick);
}

/* ---- life ---- */

void emk_journal_state_get(emk_journal *j, emk_journal_state *out)
{
    emk_lock_take(j->lock);
    *out = j->state;
    out->checkpoint_age_ms = emk_os_monotonic_ns() / NS_PER_MS - j->checkpoint_at_ms;
    emk_lock_give(j->lock);
}

static emk_status append_own(emk_journal *j, const char *type, emk_span detail, emk_error *e)
{
    emk_journal_event event = {.time_ms = emk_os_now_ms(),
                               .type = emk_span_str(type),
                               .actor = emk_span_str("earmarkd"),
                               .outcome = EMK_JOURNAL_DONE,
                               .detail = detail};

    return emk_journal_append(j, &event, 1, NULL, e);
}

/* {1: not closed in order, 2: the chain began anew, 3: bytes of an unfinished write cut off} */
static emk_status append_start(emk_journal *j, emk_error *e)
{
    uint8_t detail[24];
    emk_writer w;

    emk_writer_init(&w, detail, sizeof detail);
    emk_cbor_put_map(&w, 3);
    emk_cbor_put_uint(&w, 1);
    emk_cbor_put_bool(&w, j->state.recovered);
    emk_cbor_put_uint(&w, 2);
    emk_cbor_put_bool(&w, j->state.new_epoch);
    emk_cbor_put_uint(&w, 3);
    emk_cbor_put_uint(&w, j->state.torn_len);
    return append_own(j, "journal.start", emk_writer_span(&w), e);
}

void emk_journal_abandon(emk_journal *j)
{
    emk_chunk_free(j->fresh);
    emk_chunk_free(j->pub.work);
    free_spool(j->spool);
    emk_buf_done(&j->pub.bundle);
    emk_sha256_ctx_free(j->pub.sha);
    emk_sha256_ctx_free(j->sha);
    emk_os_close(j->log_fd);
    emk_os_close(j->chain_fd);
    emk_os_close(j->head_fd);
    emk_os_close(j->lock_fd);
    emk_lock_free(j->pub.lock);
    emk_lock_free(j->lock);
    emk_lock_free(j->tick);
    emk_wipe(&j->chain, sizeof j->chain);
    emk_free(j);
}

/* A file of ours that is there or is made now. */
static emk_status open_own(const char *dir, const char *name, int *fd, emk_error *e)
{
    char path[EMK_LOG_PATH_CAP];
    emk_status st = emk_os_join(path, sizeof path, dir, name, "", e);

    if (st == EMK_OK)
        st = emk_os_create_new(path, fd, e);
    return st == EMK_E_USED ? emk_os_open_update(path, fd, e) : st;
}

static emk_status open_folder(emk_journal *j, emk_error *e)
{
    char path[EMK_LOG_PATH_CAP];
    emk_status st = emk_os_make_dir(j->o.dir, e);

    if (st == EMK_OK)
        st = emk_os_join(path, sizeof path, j->o.dir, "lock", "", e);
    if (st == EMK_OK)
        st = emk_os_lock_file(path, false, &j->lock_fd, e);
    if (st == EMK_OK)
        st = emk_os_join(path, sizeof path, j->o.dir, "log", "", e);
    if (st == EMK_OK)
        st = emk_os_make_dir(path, e);
    if (st == EMK_OK)
        st = open_own(j->o.dir, "chain", &j->chain_fd, e);
    return st == EMK_OK ? open_own(j->o.dir, "head", &j->head_fd, e) : st;
}

static emk_status prepare(emk_journal *j, emk_error *e)
{
    emk_status st = emk_note_key_init(j->c, j->o.origin, j->o.public_key, &j->key, e);

    if (st == EMK_OK)
        st = emk_lock_new(&j->lock, e);
    emk_turns_init(&j->turns, j->lock);
    if (st == EMK_OK)
        st = emk_lock_new(&j->tick, e);
    if (st == EMK_OK)
        st = emk_lock_new(&j->pub.lock, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_new(j->c, &j->sha, e);
    if (st == EMK_OK)
        st = emk_sha256_ctx_new(j->c, &j->pub.sha, e);
    return st == EMK_OK ? open_folder(j, e) : st;
}

static emk_status put_file(void *self, const emk_tile *t, emk_span bytes, emk_error *e)
{
    const emk_journal *j = self;

    return emk_tile_write(j->o.dir, t, bytes, e);
}

emk_status emk_journal_open(const emk_crypto *c, const emk_journal_options *options,
                            emk_journal **out, emk_error *e)
{
    emk_journal *j;
    emk_status st;

    if (!options->dir || !options->origin || !options->sign)
        return emk_fail(e, EMK_E_USAGE, "journal: options", 0);
    j = emk_alloc(1, sizeof *j);
    if (!j)
        return emk_fail(e, EMK_E_NO_MEMORY, "journal: memory", sizeof *j);
    j->c = c;
    j->o = *options;
    if (!j->o.checkpoint_every)
        j->o.checkpoint_every = EVERY_DEFAULT;
    j->lock_fd = j->log_fd = j->chain_fd = j->head_fd = -1;
    j->spool_last = &j->spool;
    j->fresh_last = &j->fresh;
    j->checkpoint_at_ms = emk_os_monotonic_ns() / NS_PER_MS;
    j->state.writable = j->state.signing = true;
    emk_buf_init(&j->pub.bundle, EMK_TILE_BUNDLE_MAX);
    j->pub.put = put_file;
    j->pub.put_self = j;
    st = prepare(j, e);
    if (st == EMK_OK)
        st = emk_journal_recover(j, e);
    if (st == EMK_OK)
        st = append_start(j, e);
    if (st == EMK_OK && j->o.checkpoint_ms)
        st = emk_thread_start(run_ticker, j, &j->thread, e);
    if (st != EMK_OK) {
        emk_journal_abandon(j);
        return st;
    }
    *out = j;
    return EMK_OK;
}

emk_status emk_journal_close(emk_journal *j, emk_error *e)
{
    emk_status st, st2;

    if (!j)
        return EMK_OK;
    emk_lock_take(j->tick);
    j->stop = true;
    emk_lock_wake_all(j->tick);
    emk_lock_give(j->tick);
    emk_thread_join(j->thread);
    retry(j); /* the rest of the spool goes out with the stop */
    st = append_own(j, "journal.stop", emk_span_of(NULL, 0), e);
    st2 = emk_journal_checkpoint(j, st == EMK_OK ? e : NULL);
    if (st == EMK_OK)
        st = st2;
    st2 = emk_os_sync(j->chain_fd, st == EMK_OK ? e : NULL);
    if (st == EMK_OK)
        st = st2;
    emk_journal_abandon(j);
    return st;
}
