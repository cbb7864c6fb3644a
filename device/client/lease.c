/* Leases on the device.  An entry that is awake has an envelope for the device's key alone, so
 * opening it takes one operation with that key; a renewal then only writes a new end.  An entry
 * that sleeps has none: the lease secret, which comes sealed with each lease, is opened once, to
 * make one again.  [container 7.6] */
#include "core/proto/lease.h"

#include "core/base/os_file.h"
#include "core/crypto/random.h"
#include "device/client/internal.h"
#include "device/client/lease.h"

emk_status emk_client_lease_request(emk_client *cl, const char *name, emk_span summary,
                                    emk_buf *out, emk_error *e)
{
    emk_lease_request q = {.created = emk_client_now(cl), .guard = cl->guard, .summary = summary};
    emk_vault_glance g;
    emk_buf own;
    emk_status st;

    st = emk_entry_look(cl, name, &g, e);
    if (st != EMK_OK)
        return st;
    if (!g.leased)
        return emk_fail(e, EMK_E_USAGE, "lease: this entry needs none", 0);
    st = emk_random_public(cl->crypto, q.nonce, sizeof q.nonce, e);
    if (st != EMK_OK)
        return st;
    q.floor = g.record.floor;
    memcpy(q.ticket_id, g.ticket_id, sizeof q.ticket_id);
    memcpy(q.ticket_hash, g.ticket_hash, sizeof q.ticket_hash);
    memcpy(q.device_id, cl->device_id, sizeof q.device_id);
    emk_buf_init(&own, EMK_LEASE_SUMMARY_MAX);
    emk_client_guard_look(cl, false);
    if (summary.len == 0)
        st = emk_client_guard_summary(cl, emk_span_of(q.nonce, sizeof q.nonce), &own, e);
    if (own.len)
        q.summary = emk_buf_span(&own);
    if (st == EMK_OK)
        st = emk_lease_request_sign(cl->crypto, &cl->signer, &q, out, e);
    emk_buf_done(&own);
    return st;
}

static bool is_ours(const emk_client *cl, const uint8_t *device_id)
{
    for (size_t i = 0; i < cl->n_former; i++)
        if (memcmp(cl->former[i], device_id, EMK_DEVICE_ID_LEN) == 0)
            return true;
    return memcmp(cl->device_id, device_id, EMK_DEVICE_ID_LEN) == 0;
}

emk_status emk_client_verify_lease(const emk_client *cl, emk_span message, emk_lease *out,
                                   emk_error *e)
{
    emk_status st = EMK_E_SIGNATURE;
    emk_lease lease;

    for (size_t i = 0; i < cl->n_issuers && st == EMK_E_SIGNATURE; i++)
        st = emk_lease_verify(cl->crypto, message, cl->issuers[i], &lease, e);
    if (st != EMK_OK)
        return st;
    if (!is_ours(cl, lease.device_id))
        return emk_fail(e, EMK_E_SEALED, "lease: it is another device's", 0);
    *out = lease;
    return EMK_OK;
}

/* Opens the entry that the lease is for: with the secret only where it sleeps. */
static emk_status open_for(emk_client *cl, const emk_lease *lease, const char *name, emk_entry *x,
                           emk_error *e)
{
    uint8_t secret[EMK_LEASE_SECRET_LEN];
    emk_vault_glance g;
    emk_status st;

    st = emk_entry_look(cl, name, &g, e);
    if (st != EMK_OK)
        return st;
    if (!g.leased)
        return emk_fail(e, EMK_E_USAGE, "lease: this entry needs none", 0);
    if (!g.asleep || lease->refusal)
        return emk_entry_open(cl, name, x, e);
    st = emk_lease_open(lease, cl->device_key, secret, e);
    if (st == EMK_OK)
        st = emk_entry_open_with(cl, name, secret, x, e);
    emk_wipe(secret, sizeof secret);
    return st;
}

static uint64_t renew_at(const emk_policy *p, const emk_lease *lease)
{
    uint64_t delay = p->renewal_delay_s ? p->renewal_delay_s : (lease->until - lease->time) / 2;

    return delay < lease->until - lease->time ? lease->time + delay : lease->until;
}

static emk_status apply(emk_client *cl, emk_entry *x, const emk_lease *lease, emk_client_lease *out,
                        emk_error *e)
{
    const emk_policy *policy = emk_vault_policy(x->vault);
    emk_vault_lease next = {.time = lease->time,
                            .until = lease->until,
                            .floor = lease->time,
                            .asleep = lease->refusal != 0};
    emk_status st;

    if (lease->time <= emk_vault_record(x->vault)->lease_time)
        return emk_fail(e, EMK_E_STALE, "lease: not newer than the last", lease->time);
    if (next.asleep)
        return emk_entry_sleep(cl, x, &next, e);
    st = emk_vault_write_lease(x->vault, &x->sink, &next, e);
    if (st == EMK_OK)
        st = emk_entry_commit(cl, x, e);
    if (st != EMK_OK)
        return st;
    out->ends = emk_policy_lease_end(policy, lease->until);
    out->renew_at = renew_at(policy, lease);
    return EMK_OK;
}

/* A refusal closes what is open whatever becomes of the entry: it may sleep already, or its file
 * may be gone. */
static emk_status settle(emk_client *cl, const emk_lease *lease, const char *name,
                         emk_client_lease *out, emk_error *e)
{
    emk_error why = {0};
    emk_entry x;
    emk_status st;

    st = open_for(cl, lease, name, &x, &why);
    if (st == EMK_OK) {
        st = apply(cl, &x, lease, out, &why);
        emk_entry_close(&x);
    }
    if (lease->refusal && st == EMK_E_POLICY) /* it sleeps already, perhaps not quite */
        st = emk_entry_finish_sleep(cl, name, &why);
    if (lease->refusal && st != EMK_E_STALE)
        emk_watch_move(cl->watch, lease->ticket_id, 0, emk_client_now(cl));
    if (st != EMK_OK)
        return emk_fail(e, st, why.what, why.where);
    if (!lease->refusal)
        emk_watch_move(cl->watch, lease->ticket_id, out->ends, emk_client_now(cl));
    return EMK_OK;
}

emk_status emk_client_lease_accept(emk_client *cl, emk_span message, emk_client_lease *out,
                                   emk_error *e)
{
    emk_client_lease made = {.refusal = 0};
    emk_lease lease;
    emk_status st;

    st = emk_client_verify_lease(cl, message, &lease, e);
    if (st != EMK_OK)
        return st;
    emk_client_hex(lease.ticket_id, made.name);
    made.refusal = lease.refusal;
    made.until = lease.until;
    made.ends = lease.until;
    /* A longer time is something new; a refusal is taken always. */
    if (!lease.refusal) {
        emk_client_guard_look(cl, false);
        st = emk_client_guard_check(cl, 0, e);
        if (st != EMK_OK)
            return st;
    }
    st = settle(cl, &lease, made.name, &made, e);
    if (st == EMK_OK)
        *out = made;
    return st;
}
