/* Accepting a delivery, in the order of [container 9].
 *
 * What a kill leaves: before the rename, a temporary file that the next sweep removes, and a
 * request key that still waits.  After it, an entry that is complete: the request's marker
 * names it, so the next accept or sweep destroys the key, and the next open raises the
 * counters. */
#include "core/seal/accept.h"
#include "core/base/os_file.h"
#include "core/proto/receipt.h"
#include "device/client/internal.h"
#include "device/client/lease.h"

/* One accept.  The same issuer need not have signed both ticket and sealing certificate. */
typedef struct work {
    emk_client *client;
    const emk_client_delivery *in;
    emk_ticket ticket;
    uint64_t now; /* [container 8.3] */
    char path[EMK_CLIENT_PATH_MAX];
    char temp[EMK_CLIENT_PATH_MAX + 16];
    int fd; /* of temp, or -1 */
    emk_pending pending;
    emk_accept *accept;
    emk_lease lease; /* all zero: none is needed */
    uint8_t lease_secret[EMK_LEASE_SECRET_LEN];
    uint8_t file_id[EMK_ID_LEN]; /* zeros until the weights layer was seen */
    bool committed;
    emk_client_bindings bindings; /* the accept keeps a pointer to one */
} work;

static emk_status verify_ticket(work *w, emk_error *e)
{
    emk_client *cl = w->client;
    emk_agree_key own = emk_client_agree_key(cl);
    emk_status st = EMK_E_SIGNATURE;

    /* At time 0: whether it is expired is asked once it is known not to be in the vault. */
    for (size_t i = 0; i < cl->n_issuers && st == EMK_E_SIGNATURE; i++)
        st = emk_ticket_verify(cl->crypto, w->in->ticket, cl->issuers[i], 0, &w->ticket, e);
    if (st != EMK_OK)
        return st;
    if (memcmp(w->ticket.device_id, cl->device_id, EMK_DEVICE_ID_LEN) != 0 ||
        !emk_agree_key_equal(&w->ticket.device_key, &own))
        return emk_fail(e, EMK_E_SEALED, "ticket: it is for another device", 0);
    return EMK_OK;
}

/* What follows the rename; all of it may be done again.  [container 9, 6] */
static emk_status finish(work *w, emk_error *e)
{
    const emk_ticket *t = &w->ticket;
    emk_status st;

    st = emk_client_release_raise(w->client, t->identity.model, t->policy.release, e);
    if (st != EMK_OK)
        return st;
    return emk_pending_destroy(w->client, t->request_hash, e);
}

static emk_status check_new(work *w, emk_error *e)
{
    const emk_ticket *t = &w->ticket;
    emk_status st;

    st = emk_client_path(w->client, t->id, EMK_CLIENT_ENTRY, w->path, e);
    if (st != EMK_OK)
        return st;
    if (emk_os_exists(w->path)) {
        st = finish(w, e);
        if (st != EMK_OK)
            return st;
        return emk_fail(e, EMK_E_USED, "ticket: it was accepted already", 0);
    }
    if (emk_client_now(w->client) >= t->expires)
        return emk_fail(e, EMK_E_POLICY, "ticket: expired", t->expires);
    return EMK_OK;
}

static emk_status find_key(work *w, emk_error *e)
{
    emk_agree_key held;
    emk_status st;

    st = emk_pending_find(w->client, w->ticket.request_hash, &w->pending, e);
    if (st != EMK_OK)
        return st;
    held.kem = emk_kem_private_id(w->pending.key);
    held.public_key = emk_kem_private_public(w->pending.key);
    if (!emk_agree_key_equal(&held, &w->ticket.request_key))
        return emk_fail(e, EMK_E_SEALED, "ticket: it is for another request key", 0);
    if (emk_os_exists(w->path)) /* another process got there before we had the lock */
        return emk_fail(e, EMK_E_USED, "ticket: it was accepted already", 0);
    return EMK_OK;
}

/* Two operations with the hardware key are needed under a lease, here and in open_delivery. */
static emk_status open_lease(work *w, emk_error *e)
{
    const emk_ticket *t = &w->ticket;
    emk_status st;

    if (!t->policy.lease_s && w->in->lease.len)
        return emk_fail(e, EMK_E_USAGE, "lease: this model needs none", 0);
    if (!t->policy.lease_s)
        return EMK_OK;
    if (!w->in->lease.len || !t->lease_key.len)
        return emk_fail(e, EMK_E_POLICY, "policy: needs a lease, and there is none", 0);
    st = emk_client_verify_lease(w->client, w->in->lease, &w->lease, e);
    if (st != EMK_OK)
        return st;
    if (memcmp(w->lease.ticket_id, t->id, EMK_ID_LEN) != 0)
        return emk_fail(e, EMK_E_SEALED, "lease: it is for another ticket", 0);
    if (w->lease.refusal)
        return emk_fail(e, EMK_E_POLICY, "lease: it is refused", w->lease.refusal);
    return emk_lease_open(&w->lease, w->client->device_key, w->lease_secret, e);
}

static emk_status open_delivery(work *w, emk_error *e)
{
    emk_client *cl = w->client;
    const emk_ticket *t = &w->ticket;
    emk_accept_in in = {.sealed = w->in->sealed,
                        .request_key = w->pending.key,
                        .device_key = cl->device_key,
                        .policy = t->policy_bytes,
                        .identity = t->identity_bytes,
                        .lease_key = t->lease_key,
                        .lease_secret = t->lease_key.len ? w->lease_secret : NULL,
                        .now = w->now};
    emk_status st = EMK_E_SIGNATURE;

    memcpy(in.request_hash, t->request_hash, sizeof in.request_hash);
    memcpy(in.ticket_id, t->id, sizeof in.ticket_id);
    memcpy(in.ticket_hash, t->hash, sizeof in.ticket_hash);
    for (size_t i = 0; i < cl->n_issuers && st == EMK_E_SIGNATURE; i++) {
        in.issuer = cl->issuers[i];
        st = emk_accept_new(cl->crypto, &in, &w->accept, e);
    }
    if (st == EMK_OK)
        memcpy(w->file_id, emk_accept_file_id(w->accept), EMK_ID_LEN);
    return st;
}

/* The ticket's user is the one who asked; whether that one is there is judged at each open. */
static emk_status judge(work *w, emk_error *e)
{
    const emk_ticket *t = &w->ticket;
    emk_policy_ask ask = {.now = w->now,
                          .guard = w->client->guard,
                          .user = t->identity.user,
                          .app = t->identity.app,
                          .use = t->identity.use,
                          .device = w->client->device_id,
                          .lease_until = w->lease.until};
    emk_status st;

    st = emk_policy_check(&t->policy, &t->identity, &ask, e);
    if (st == EMK_OK)
        st = emk_client_guard_check(w->client, t->policy.min_guard, e);
    if (st != EMK_OK)
        return st;
    return emk_client_release_check(w->client, t->identity.model, t->policy.release, e);
}

/* Under the directory's lock until the file has a lock of its own: a sweep takes what has
 * none. */
static emk_status make_temp(work *w, uint64_t len, emk_error *e)
{
    emk_status st;
    int lock;

    st = emk_client_lock(w->client, &lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_client_check_quota(w->client, len, e);
    if (st == EMK_OK)
        st = emk_os_create_beside(w->path, &w->fd, w->temp, sizeof w->temp, e);
    if (st == EMK_OK)
        st = emk_os_lock(w->fd, false, e);
    if (st == EMK_OK) /* under the lock, so that the next one's quota counts it */
        st = emk_os_reserve(w->fd, len, e);
    emk_os_close(lock);
    return st;
}

/* The policy decides to what: its guard's verdict, or also the program's code. */
static emk_status bind_to_guard(work *w, emk_accept_out *out, emk_error *e)
{
    const uint8_t level = w->ticket.policy.min_guard;
    emk_status st = emk_client_guard_bindings(w->client, &w->bindings, e);

    if (st != EMK_OK || !w->bindings.there || level < EMK_VAULT_BOUND_VERDICT)
        return st;
    out->bound = level;
    out->binding = w->bindings.bytes[level - EMK_VAULT_BOUND_VERDICT];
    return EMK_OK;
}

static emk_status write_vault(work *w, uint8_t vault_id[EMK_ID_LEN], emk_error *e)
{
    emk_sink sink = emk_sink_from_fd(&w->fd);
    emk_accept_out out = {.vault = &sink,
                          .accepted = w->now,
                          .floor = w->ticket.issued,
                          .lease_time = w->lease.time,
                          .lease_until = w->lease.until,
                          .threads = emk_client_threads(w->in->threads),
                          .progress = w->in->progress};
    emk_status st;

    if (w->lease.time > out.floor)
        out.floor = w->lease.time;
    st = bind_to_guard(w, &out, e);
    if (st == EMK_OK)
        st = make_temp(w, emk_accept_vault_len(w->accept), e);
    if (st == EMK_OK)
        st = emk_accept_write(w->accept, &out, vault_id, e);
    if (st == EMK_OK)
        st = emk_os_sync(w->fd, e);
    return st;
}

static emk_status add_receipt(const work *w, emk_status outcome, emk_buf *receipt, emk_error *e)
{
    const emk_client *cl = w->client;
    emk_receipt in = {.outcome = (uint8_t)outcome, .time = emk_client_now(cl), .guard = cl->guard};

    emk_buf summary;
    emk_status st;

    if (!receipt)
        return EMK_OK;
    emk_buf_init(&summary, EMK_RECEIPT_SUMMARY_MAX);
    memcpy(in.ticket_id, w->ticket.id, sizeof in.ticket_id);
    memcpy(in.file_id, w->file_id, sizeof in.file_id);
    st = emk_client_guard_summary(cl, emk_span_of(in.ticket_id, sizeof in.ticket_id), &summary, e);
    in.summary = emk_buf_span(&summary);
    if (st == EMK_OK)
        st = emk_receipt_sign(cl->crypto, &cl->signer, &in, receipt, e);
    emk_buf_done(&summary);
    return st;
}

static emk_status commit(work *w, const uint8_t vault_id[EMK_ID_LEN], emk_error *e)
{
    emk_status st;

    st = emk_pending_intend(&w->pending, w->ticket.id, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_replace(w->temp, w->path, e);
    w->committed = emk_os_exists(w->path); /* also when only the directory's sync failed */
    if (st != EMK_OK)
        return st;
    st = emk_entry_raise(w->client->keystore, vault_id, 1, e);
    if (st != EMK_OK)
        return st;
    return finish(w, e);
}

static emk_status deliver(work *w, emk_buf *receipt, emk_error *e)
{
    uint8_t vault_id[EMK_ID_LEN];
    emk_status st;

    st = check_new(w, e);
    if (st == EMK_OK)
        st = find_key(w, e);
    if (st == EMK_OK)
        st = open_lease(w, e);
    if (st == EMK_OK)
        st = open_delivery(w, e);
    if (st == EMK_OK)
        st = judge(w, e);
    if (st == EMK_OK)
        st = write_vault(w, vault_id, e);
    /* Signed while all can still be undone: an accepted model without a receipt would look
     * lost to the issuer. */
    if (st == EMK_OK)
        st = add_receipt(w, EMK_OK, receipt, e);
    if (st == EMK_OK)
        st = commit(w, vault_id, e);
    return st;
}

/* A refusal is told, too; that it cannot be is not worth another error. */
static void settle_receipt(const work *w, emk_status outcome, emk_buf *receipt, size_t before)
{
    if (!receipt || outcome == EMK_OK || w->committed)
        return;
    receipt->len = before;
    if (outcome != EMK_E_BUSY && add_receipt(w, outcome, receipt, NULL) != EMK_OK)
        receipt->len = before;
}

static void end(work *w)
{
    emk_status st = EMK_OK;

    emk_accept_free(w->accept);
    emk_wipe(w->lease_secret, sizeof w->lease_secret);
    emk_pending_done(&w->pending);
    if (w->fd >= 0 && !w->committed)
        st = emk_os_remove(w->temp, NULL);
    (void)st; /* the next sweep will */
    emk_os_close(w->fd);
}

emk_status emk_client_accept(emk_client *cl, const emk_client_delivery *in,
                             emk_client_accepted *out, emk_buf *receipt, emk_error *e)
{
    work w = {.client = cl, .in = in, .fd = -1, .pending = {.fd = -1}};
    size_t before = receipt ? receipt->len : 0, n_waiting = 0;
    emk_status st;

    st = verify_ticket(&w, e);
    if (st != EMK_OK)
        return st;
    w.now = emk_client_now(cl);
    if (w.now < w.ticket.issued)
        w.now = w.ticket.issued;
    emk_client_guard_look(cl, true);
    st = emk_client_sweep(cl, &n_waiting, e);
    if (st == EMK_OK)
        st = deliver(&w, receipt, e);
    settle_receipt(&w, st, receipt, before);
    if (st == EMK_OK) {
        memcpy(out->ticket_id, w.ticket.id, sizeof out->ticket_id);
        emk_client_hex(w.ticket.id, out->name);
        out->model_len = emk_accept_model_len(w.accept);
    }
    end(&w);
    return st;
}
