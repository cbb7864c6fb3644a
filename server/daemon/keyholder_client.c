/* The HTTP process's side of the keyholder.  State: one socket and its buffers, of whoever leads
 * (core/base/turns.h): it asks for all that wait, with one message, and takes one with all answers.
 * Once an answer did not come, `alive` stays false. */
#include "server/daemon/keyholder_internal.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/base/reader.h"
#include "core/base/turns.h"
#include "core/base/writer.h"
#include "server/daemon/os_process.h"
#include "server/daemon/ring.h"

#include <stdatomic.h>
#include <string.h>

#define SHARE_MAX UINT64_C(32)       /* questions in a message ... */
#define SHARE_NS  UINT64_C(10000000) /* ... that take no longer than this: a TPM is slow */

struct emk_keyholder_client {
    int fd, pid;
    emk_lock *lock; /* of the turns */
    emk_turns turns;
    uint64_t share; /* questions that may go together, as fast as the last ones were answered */
    atomic_bool alive;
    uint8_t out[EMK_KEYHOLDER_MESSAGE_MAX], in[EMK_KEYHOLDER_MESSAGE_MAX];
};

/* One question. */
typedef struct question {
    emk_turn turn; /* first */
    emk_keyholder_operation operation;
    uint16_t number;
    const emk_span *parts;
    size_t n_parts;
    uint8_t *answer; /* filled with exactly answer_len bytes */
    size_t answer_len;
    emk_status status; /* of the answer */
    emk_error error;
} question;

static question *question_of(emk_turn *t)
{
    return (question *)(void *)t;
}

static question *next_question(const question *q)
{
    return q->turn.next ? question_of(q->turn.next) : NULL;
}

static size_t question_len(const question *q)
{
    size_t len = EMK_KEYHOLDER_HEAD_LEN;

    for (size_t i = 0; i < q->n_parts; i++)
        len += q->parts[i].len;
    return len;
}

/* ---- by who leads ---- */

static void write_question(emk_writer *w, const question *q)
{
    uint8_t head[EMK_KEYHOLDER_HEAD_LEN];

    emk_keyholder_head_write(head, (uint8_t)q->operation, q->number,
                             question_len(q) - EMK_KEYHOLDER_HEAD_LEN);
    emk_write_bytes(w, emk_span_of(head, sizeof head));
    for (size_t i = 0; i < q->n_parts; i++)
        emk_write_bytes(w, q->parts[i]);
}

static emk_status send_questions(emk_keyholder_client *k, const question *first, emk_error *e)
{
    emk_writer w;
    emk_status st;

    emk_writer_init(&w, k->out, sizeof k->out);
    for (const question *q = first; q; q = next_question(q))
        write_question(&w, q);
    if (w.full)
        st = emk_fail(e, EMK_E_LIMIT, "keyholder: question too long", w.pos);
    else
        st = emk_proc_send(k->fd, emk_writer_span(&w), e);
    emk_wipe(k->out, w.pos); /* a chain's first key goes in one */
    return st;
}

/* Takes one answer off the front of *in.  EMK_OK also when it says no, in m->number. */
static emk_status next_answer(const question *q, emk_span *in, emk_keyholder_message *m,
                              emk_error *e)
{
    emk_status st = emk_keyholder_message_next(in, m, e);

    if (st == EMK_OK && m->operation != q->operation)
        st = emk_fail(e, EMK_E_FORMAT, "keyholder: answers something else", m->operation);
    return st;
}

static emk_status refusal(const emk_keyholder_message *m, emk_error *e)
{
    return emk_fail(e, m->number <= EMK_E_CRYPTO ? (emk_status)m->number : EMK_E_CRYPTO,
                    "keyholder: refused", m->number);
}

static void take_answer(question *q, const emk_keyholder_message *m)
{
    if (m->number != EMK_OK)
        q->status = refusal(m, &q->error);
    else if (m->body.len != q->answer_len)
        q->status =
            emk_fail(&q->error, EMK_E_FORMAT, "keyholder: length of an answer", m->body.len);
    else
        q->status = EMK_OK;
    if (q->status == EMK_OK && m->body.len > 0)
        memcpy(q->answer, m->body.p, m->body.len);
}

static emk_status gone(emk_keyholder_client *k, emk_status why, emk_error *e)
{
    /* Whatever comes now could be the answer to an older question. */
    atomic_store(&k->alive, false);
    return emk_fail(e, EMK_E_BUSY, "keyholder: gone", (uint64_t)why);
}

/* Asks; the answers are in k->in. */
static emk_status exchange(emk_keyholder_client *k, const question *first, emk_span *answers,
                           emk_error *e)
{
    size_t len = 0;
    emk_status st;

    if (!atomic_load(&k->alive))
        return emk_fail(e, EMK_E_BUSY, "keyholder: gone", 0);
    st = send_questions(k, first, e);
    if (st == EMK_E_LIMIT)
        return st;
    if (st == EMK_OK)
        st = emk_proc_receive(k->fd, k->in, sizeof k->in, &len, EMK_KEYHOLDER_TIMEOUT_MS, e);
    if (st != EMK_OK)
        return gone(k, st, e);
    *answers = emk_span_of(k->in, len);
    return EMK_OK;
}

static void ask_group(emk_keyholder_client *k, question *first)
{
    emk_span answers = {0}, left;
    emk_keyholder_message m;
    emk_error e = {0};
    emk_status st = exchange(k, first, &answers, &e);

    left = answers;
    for (question *q = first; q; q = next_question(q)) {
        if (st == EMK_OK)
            st = next_answer(q, &left, &m, &e);
        if (st == EMK_OK) {
            take_answer(q, &m);
        } else {
            q->status = st;
            q->error = e;
        }
    }
    if (answers.len > 0 && (st != EMK_OK || left.len > 0))
        (void)!gone(k, st, &e); /* what was answered by then is */
    emk_wipe(k->in, answers.len);
}

typedef struct sharing {
    uint64_t n, most;
    size_t asked, answered; /* bytes */
} sharing;

static void share(sharing *s, const question *q)
{
    s->n++;
    s->asked += question_len(q);
    s->answered += EMK_KEYHOLDER_HEAD_LEN + q->answer_len;
}

static bool fits_message(void *self, const emk_turn *next)
{
    sharing *s = self;

    share(s, (const question *)(const void *)next);
    return s->n <= s->most && s->asked <= EMK_KEYHOLDER_MESSAGE_MAX &&
           s->answered <= EMK_KEYHOLDER_MESSAGE_MAX;
}

/* Called with the lock held and gives it back. */
static void lead(emk_keyholder_client *k)
{
    sharing s = {.most = k->share};
    question *first;
    uint64_t n = 1, start, each;

    share(&s, question_of(k->turns.first));
    first = question_of(emk_turns_take(&k->turns, fits_message, &s));
    emk_lock_give(k->lock);
    start = emk_os_monotonic_ns();
    ask_group(k, first);
    for (const question *q = next_question(first); q; q = next_question(q))
        n++;
    each = (emk_os_monotonic_ns() - start) / n + 1;
    k->share = SHARE_NS / each < 1 ? 1 : SHARE_NS / each;
    k->share = k->share < SHARE_MAX ? k->share : SHARE_MAX;
    emk_lock_take(k->lock);
    emk_turns_end(&k->turns, &first->turn);
}

/* ---- by who asks ---- */

static emk_status ask(emk_keyholder_client *k, question *q, emk_error *e)
{
    emk_lock_take(k->lock);
    if (emk_turns_wait(&k->turns, &q->turn))
        lead(k);
    return q->status == EMK_OK ? EMK_OK : emk_fail(e, q->status, q->error.what, q->error.where);
}

/* Asks alone, for an answer of any length; *body is good until emk_turns_leave. */
static emk_status ask_alone(emk_keyholder_client *k, const question *q, emk_span *body,
                            emk_error *e)
{
    emk_span answers = {0};
    emk_keyholder_message m;
    emk_status st = exchange(k, q, &answers, e);

    if (st != EMK_OK)
        return st;
    st = next_answer(q, &answers, &m, e);
    if (st != EMK_OK || answers.len > 0)
        return gone(k, st, e);
    if (m.number != EMK_OK)
        return refusal(&m, e);
    *body = m.body;
    return EMK_OK;
}

/* ---- hello ---- */

static void read_sized(emk_reader *r, uint8_t *out, size_t cap, size_t *len)
{
    size_t n = emk_read_u16be(r);
    emk_span s = emk_read_bytes(r, n);

    if (n > cap) {
        r->cut = true;
        return;
    }
    if (s.len > 0)
        memcpy(out, s.p, s.len);
    *len = s.len;
}

static emk_status read_hello(emk_span body, emk_keyholder_hello *out, emk_error *e)
{
    emk_keyholder_hello h = {.keys = NULL};
    size_t audit_len = 0;
    emk_reader r;
    emk_status st = emk_secret_new((size_t)EMK_KEYHOLDER_SERVER_KEYS * 32, &h.keys, e);

    if (st != EMK_OK)
        return st;
    emk_reader_init(&r, body);
    read_sized(&r, h.issuer_public, sizeof h.issuer_public, &h.issuer_public_len);
    read_sized(&r, h.audit_public, sizeof h.audit_public, &audit_len);
    read_sized(&r, h.sealing_public, sizeof h.sealing_public, &h.sealing_public_len);
    read_sized(&r, h.certificate, sizeof h.certificate, &h.certificate_len);
    emk_read_copy(&r, emk_secret_bytes(h.keys), (size_t)EMK_KEYHOLDER_SERVER_KEYS * 32);
    if (!emk_reader_at_end(&r) || audit_len != 32) {
        emk_secret_free(h.keys);
        return emk_fail(e, EMK_E_FORMAT, "keyholder: hello", r.pos);
    }
    *out = h;
    return EMK_OK;
}

void emk_keyholder_hello_done(emk_keyholder_hello *hello)
{
    emk_secret_free(hello->keys);
    hello->keys = NULL;
}

static emk_status say_hello(emk_keyholder_client *k, emk_keyholder_hello *hello, emk_error *e)
{
    question q = {.operation = EMK_KEYHOLDER_OP_HELLO};
    emk_span body = {0};
    emk_turn mine;
    emk_status st;

    emk_turns_enter(&k->turns, &mine);
    st = ask_alone(k, &q, &body, e);
    if (st == EMK_OK)
        st = read_hello(body, hello, e);
    emk_wipe(k->in, sizeof k->in);
    emk_turns_leave(&k->turns, &mine);
    return st;
}

emk_status emk_keyholder_start(const emk_keyholder_options *o, emk_keyholder_client **out,
                               emk_keyholder_hello *hello, emk_error *e)
{
    emk_keyholder_client *k = emk_alloc(1, sizeof *k);
    bool child = false;
    emk_status st;

    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "keyholder: memory", sizeof *k);
    k->fd = -1;
    st = emk_lock_new(&k->lock, e);
    emk_turns_init(&k->turns, k->lock);
    k->share = 1;
    if (st == EMK_OK)
        st = emk_proc_fork(&child, &k->fd, &k->pid, e);
    if (st == EMK_OK && child) {
        if (o->in_child)
            o->in_child(o->in_child_self);
        emk_proc_exit(emk_keyholder_run(k->fd, o));
    }
    if (st == EMK_OK) {
        atomic_store(&k->alive, true);
        st = say_hello(k, hello, e);
    }
    if (st == EMK_OK)
        *out = k;
    else
        emk_keyholder_stop(k);
    return st;
}

void emk_keyholder_stop(emk_keyholder_client *k)
{
    if (!k)
        return;
    emk_os_close(k->fd); /* the keyholder ends when nobody can ask any more */
    emk_lock_free(k->lock);
    emk_wipe(k->in, sizeof k->in);
    emk_wipe(k->out, sizeof k->out);
    emk_free(k);
}

/* ---- questions ---- */

static emk_status do_sign(void *self, emk_keyholder_purpose purpose, emk_span message,
                          uint8_t sig[64], emk_error *e)
{
    question q = {.operation = EMK_KEYHOLDER_OP_SIGN,
                  .number = (uint16_t)purpose,
                  .parts = &message,
                  .n_parts = 1,
                  .answer = sig,
                  .answer_len = EMK_SIGN_LEN};

    return ask(self, &q, e);
}

static emk_status do_lease(void *self, const uint8_t ticket_id[16], uint64_t epoch,
                           uint8_t out[EMK_KEYHOLDER_LEASE_LEN], emk_error *e)
{
    uint8_t number[8];
    emk_span parts[] = {emk_span_of(ticket_id, 16), emk_span_of(number, sizeof number)};
    question q = {.operation = EMK_KEYHOLDER_OP_LEASE,
                  .parts = parts,
                  .n_parts = 2,
                  .answer = out,
                  .answer_len = EMK_KEYHOLDER_LEASE_LEN};

    emk_store_u64be(number, epoch);
    return ask(self, &q, e);
}

static emk_status do_lease_key(void *self, const uint8_t ticket_id[16], uint64_t *epoch,
                               uint8_t out[EMK_KEYHOLDER_LEASE_KEY], emk_error *e)
{
    uint8_t both[8 + EMK_KEYHOLDER_LEASE_KEY];
    emk_span part = emk_span_of(ticket_id, 16);
    question q = {.operation = EMK_KEYHOLDER_OP_LEASE_KEY,
                  .parts = &part,
                  .n_parts = 1,
                  .answer = both,
                  .answer_len = sizeof both};
    emk_status st = ask(self, &q, e);

    if (st == EMK_OK) {
        *epoch = emk_load_u64be(both);
        memcpy(out, both + 8, EMK_KEYHOLDER_LEASE_KEY);
    }
    emk_wipe(both, sizeof both);
    return st;
}

static emk_status do_storage_new(void *self, const uint8_t object[32],
                                 uint8_t key[EMK_KEYHOLDER_STORAGE_LEN],
                                 uint8_t wrapped[EMK_KEYHOLDER_WRAPPED_LEN], emk_error *e)
{
    uint8_t both[EMK_KEYHOLDER_STORAGE_LEN + EMK_KEYHOLDER_WRAPPED_LEN];
    emk_span part = emk_span_of(object, 32);
    question q = {.operation = EMK_KEYHOLDER_OP_STORAGE_NEW,
                  .parts = &part,
                  .n_parts = 1,
                  .answer = both,
                  .answer_len = sizeof both};
    emk_status st = ask(self, &q, e);

    if (st == EMK_OK) {
        memcpy(key, both, EMK_KEYHOLDER_STORAGE_LEN);
        memcpy(wrapped, both + EMK_KEYHOLDER_STORAGE_LEN, EMK_KEYHOLDER_WRAPPED_LEN);
    }
    emk_wipe(both, sizeof both);
    return st;
}

static emk_status do_storage_open(void *self, const uint8_t object[32],
                                  const uint8_t wrapped[EMK_KEYHOLDER_WRAPPED_LEN],
                                  uint8_t key[EMK_KEYHOLDER_STORAGE_LEN], emk_error *e)
{
    emk_span parts[] = {emk_span_of(object, 32), emk_span_of(wrapped, EMK_KEYHOLDER_WRAPPED_LEN)};
    question q = {.operation = EMK_KEYHOLDER_OP_STORAGE_OPEN,
                  .parts = parts,
                  .n_parts = 2,
                  .answer = key,
                  .answer_len = EMK_KEYHOLDER_STORAGE_LEN};

    return ask(self, &q, e);
}

emk_status emk_keyholder_sign_checkpoint(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    return do_sign(self, EMK_KEYHOLDER_CHECKPOINT, msg, sig, e);
}

emk_status emk_keyholder_escrow(void *self, uint64_t epoch, const uint8_t key[32], emk_error *e)
{
    uint8_t number[8];
    emk_span parts[] = {emk_span_of(number, sizeof number), emk_span_of(key, 32)};
    question q = {.operation = EMK_KEYHOLDER_OP_ESCROW, .parts = parts, .n_parts = 2};

    emk_store_u64be(number, epoch);
    return ask(self, &q, e);
}

emk_status emk_keyholder_ping(emk_keyholder_client *k, emk_error *e)
{
    question q = {.operation = EMK_KEYHOLDER_OP_PING};

    return ask(k, &q, e);
}

static emk_status read_keys(emk_span body, emk_keyholder_keys *out, emk_error *e)
{
    emk_keyholder_keys keys = {.sealing_public_len = 0};
    emk_reader r;
    size_t n;
    emk_span ring;
    emk_status st;

    emk_reader_init(&r, body);
    n = emk_read_u16be(&r);
    ring = emk_read_bytes(&r, n);
    read_sized(&r, keys.sealing_public, sizeof keys.sealing_public, &keys.sealing_public_len);
    read_sized(&r, keys.certificate, sizeof keys.certificate, &keys.certificate_len);
    if (!emk_reader_at_end(&r))
        return emk_fail(e, EMK_E_FORMAT, "keyholder: keys", r.pos);
    st = emk_ring_take(ring, &keys.issuers, e);
    if (st == EMK_OK)
        *out = keys;
    return st;
}

static emk_status ask_keys(emk_keyholder_client *k, const question *q, emk_keyholder_keys *out,
                           emk_error *e)
{
    emk_span body = {0};
    emk_turn mine;
    emk_status st;

    emk_turns_enter(&k->turns, &mine);
    st = ask_alone(k, q, &body, e);
    if (st == EMK_OK)
        st = read_keys(body, out, e);
    emk_turns_leave(&k->turns, &mine);
    return st;
}

emk_status emk_keyholder_keys_get(emk_keyholder_client *k, emk_keyholder_keys *out, emk_error *e)
{
    question q = {.operation = EMK_KEYHOLDER_OP_KEYS};

    return ask_keys(k, &q, out, e);
}

emk_status emk_keyholder_rotate(emk_keyholder_client *k, emk_signing_key which,
                                emk_keyholder_keys *out, emk_error *e)
{
    question q = {.operation = EMK_KEYHOLDER_OP_ROTATE, .number = (uint16_t)which};

    return ask_keys(k, &q, out, e);
}

emk_status emk_keyholder_retire(emk_keyholder_client *k, const uint8_t kid[EMK_COSE_KID_LEN],
                                emk_keyholder_keys *out, emk_error *e)
{
    emk_span part = emk_span_of(kid, EMK_COSE_KID_LEN);
    question q = {.operation = EMK_KEYHOLDER_OP_RETIRE, .parts = &part, .n_parts = 1};

    return ask_keys(k, &q, out, e);
}

bool emk_keyholder_is_alive(const emk_keyholder_client *k)
{
    return atomic_load(&k->alive);
}

int emk_keyholder_pid(const emk_keyholder_client *k)
{
    return k->pid;
}

static const emk_keyholder_ops OPS = {
    .size = sizeof(emk_keyholder_ops),
    .sign = do_sign,
    .lease_secret = do_lease,
    .storage_new = do_storage_new,
    .storage_open = do_storage_open,
    .lease_key = do_lease_key,
};

emk_keyholder emk_keyholder_table(emk_keyholder_client *k, const emk_keyholder_hello *hello)
{
    emk_keyholder t = {.ops = &OPS,
                       .self = k,
                       .issuer_public_len = hello->issuer_public_len,
                       .sealing_public_len = hello->sealing_public_len};

    memcpy(t.issuer_public, hello->issuer_public, hello->issuer_public_len);
    memcpy(t.sealing_public, hello->sealing_public, hello->sealing_public_len);
    return t;
}
