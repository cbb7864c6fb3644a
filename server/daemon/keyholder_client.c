/* The HTTP process's side of the keyholder.  State: one socket, one question at a time under a
 * lock; once an answer did not come, `alive` stays false. */
#include "server/daemon/keyholder_internal.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "core/base/reader.h"
#include "core/base/writer.h"
#include "server/daemon/os_process.h"

#include <stdatomic.h>
#include <string.h>

struct emk_keyholder_client {
    int fd, pid;
    emk_lock *lock;
    atomic_bool alive;
    uint8_t out[EMK_KEYHOLDER_MESSAGE_MAX], in[EMK_KEYHOLDER_MESSAGE_MAX];
};

/* One question. */
typedef struct question {
    emk_keyholder_operation operation;
    uint16_t number;
    const emk_span *parts;
    size_t n_parts;
    uint8_t *answer; /* filled with exactly answer_len bytes */
    size_t answer_len;
} question;

static emk_status send_question(emk_keyholder_client *k, const question *q, emk_error *e)
{
    emk_writer w;

    emk_writer_init(&w, k->out + EMK_KEYHOLDER_HEAD_LEN, sizeof k->out - EMK_KEYHOLDER_HEAD_LEN);
    for (size_t i = 0; i < q->n_parts; i++)
        emk_write_bytes(&w, q->parts[i]);
    if (w.full)
        return emk_fail(e, EMK_E_LIMIT, "keyholder: question too long", w.pos);
    emk_keyholder_head_write(k->out, (uint8_t)q->operation, q->number, w.pos);
    return emk_proc_send(k->fd, emk_span_of(k->out, EMK_KEYHOLDER_HEAD_LEN + w.pos), e);
}

/* Lends the body of the answer, in k->in.  *refused: it answered, with no. */
static emk_status receive_answer(emk_keyholder_client *k, const question *q, emk_span *body,
                                 bool *refused, emk_error *e)
{
    emk_keyholder_message m;
    size_t len;
    emk_status st = emk_proc_receive(k->fd, k->in, sizeof k->in, &len, EMK_KEYHOLDER_TIMEOUT_MS, e);

    if (st == EMK_OK)
        st = emk_keyholder_message_read(emk_span_of(k->in, len), &m, e);
    if (st != EMK_OK)
        return st;
    if (m.operation != q->operation)
        return emk_fail(e, EMK_E_FORMAT, "keyholder: answers something else", m.operation);
    *body = m.body;
    if (m.number == EMK_OK)
        return EMK_OK;
    *refused = true;
    *body = emk_span_of(NULL, 0);
    return emk_fail(e, m.number <= EMK_E_CRYPTO ? (emk_status)m.number : EMK_E_CRYPTO,
                    "keyholder: refused", m.number);
}

/* Asks under the lock; *body is good until the lock is given. */
static emk_status ask_locked(emk_keyholder_client *k, const question *q, emk_span *body,
                             emk_error *e)
{
    bool refused = false;
    emk_status st;

    if (!atomic_load(&k->alive))
        return emk_fail(e, EMK_E_BUSY, "keyholder: gone", 0);
    st = send_question(k, q, e);
    if (st == EMK_E_LIMIT)
        return st;
    if (st == EMK_OK)
        st = receive_answer(k, q, body, &refused, e);
    if (st == EMK_OK || refused)
        return st;
    /* Whatever comes now could be the answer to an older question. */
    atomic_store(&k->alive, false);
    return emk_fail(e, EMK_E_BUSY, "keyholder: gone", (uint64_t)st);
}

static emk_status ask(emk_keyholder_client *k, const question *q, emk_error *e)
{
    emk_span body = {0};
    emk_status st;

    emk_lock_take(k->lock);
    st = ask_locked(k, q, &body, e);
    if (st == EMK_OK && body.len != q->answer_len)
        st = emk_fail(e, EMK_E_FORMAT, "keyholder: length of an answer", body.len);
    if (st == EMK_OK && body.len > 0)
        memcpy(q->answer, body.p, body.len);
    emk_wipe(k->in, EMK_KEYHOLDER_HEAD_LEN + body.len);
    emk_lock_give(k->lock);
    return st;
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
    emk_status st;

    emk_lock_take(k->lock);
    st = ask_locked(k, &q, &body, e);
    if (st == EMK_OK)
        st = read_hello(body, hello, e);
    emk_wipe(k->in, sizeof k->in);
    emk_lock_give(k->lock);
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
    if (st == EMK_OK)
        st = emk_proc_fork(&child, &k->fd, &k->pid, e);
    if (st == EMK_OK && child)
        emk_proc_exit(emk_keyholder_run(k->fd, o));
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

    if (st != EMK_OK)
        return st;
    *epoch = emk_load_u64be(both);
    memcpy(out, both + 8, EMK_KEYHOLDER_LEASE_KEY);
    return EMK_OK;
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

emk_status emk_keyholder_rotate(emk_keyholder_client *k, emk_keyholder_hello *hello, emk_error *e)
{
    question q = {.operation = EMK_KEYHOLDER_OP_ROTATE};
    emk_span body = {0};
    emk_reader r;
    emk_status st;

    emk_lock_take(k->lock);
    st = ask_locked(k, &q, &body, e);
    if (st == EMK_OK) {
        emk_reader_init(&r, body);
        read_sized(&r, hello->sealing_public, sizeof hello->sealing_public,
                   &hello->sealing_public_len);
        read_sized(&r, hello->certificate, sizeof hello->certificate, &hello->certificate_len);
        if (!emk_reader_at_end(&r))
            st = emk_fail(e, EMK_E_FORMAT, "keyholder: rotation", r.pos);
    }
    emk_lock_give(k->lock);
    return st;
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
