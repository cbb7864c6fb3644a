#include "server/api/lease.h"

#include "core/base/bytes.h"
#include "core/base/secret.h"

static emk_status signer_of(emk_call *call, emk_keyholder_slot *slot, emk_signer *out, emk_error *e)
{
    return emk_keyholder_signer(call->api->crypto, &call->api->keyholder, EMK_KEYHOLDER_LEASE, slot,
                                out, e);
}

static uint64_t until_of(const emk_ticket *t, uint64_t now)
{
    return t->policy.lease_s < t->policy.expires - now ? now + t->policy.lease_s
                                                       : t->policy.expires;
}

emk_status emk_api_lease_grant(emk_call *call, const emk_ticket *ticket, emk_span *out,
                               uint64_t *until, emk_error *e)
{
    uint64_t longest = call->api->settings.lease_max_s;
    uint8_t secret[EMK_KEYHOLDER_LEASE_LEN];
    emk_ticket capped = *ticket; /* an earlier one may want more than is signed now */
    emk_keyholder_slot slot;
    emk_signer signer;
    emk_lease_grant_in in = {
        .signer = &signer, .ticket = &capped, .now = emk_api_now(call->api), .secret = secret};
    emk_buf message;
    emk_status st = signer_of(call, &slot, &signer, e);

    if (longest && capped.policy.lease_s > longest)
        capped.policy.lease_s = longest;
    emk_buf_init(&message, EMK_MESSAGE_MAX);
    if (st == EMK_OK)
        st = emk_keyholder_lease_secret(&call->api->keyholder, ticket->id, ticket->lease_epoch,
                                        secret, e);
    if (st == EMK_OK)
        st = emk_lease_grant(call->api->crypto, &in, &message, e);
    if (st == EMK_E_USAGE) /* the master was changed: the device keeps the lease it has */
        st = emk_fail(e, EMK_E_BUSY, "lease: the ticket is of another master", 0);
    emk_wipe(secret, sizeof secret);
    if (st == EMK_OK)
        st = emk_arena_copy(&call->arena, emk_buf_span(&message), out, e);
    if (st == EMK_OK)
        *until = until_of(&capped, in.now);
    emk_buf_done(&message);
    return st;
}

emk_status emk_api_lease_refuse(emk_call *call, const emk_ticket *ticket, emk_lease_refusal why,
                                emk_span *out, emk_error *e)
{
    emk_keyholder_slot slot;
    emk_signer signer;
    emk_lease_refuse_in in = {
        .signer = &signer, .ticket = ticket, .why = why, .now = emk_api_now(call->api)};
    emk_buf message;
    emk_status st = signer_of(call, &slot, &signer, e);

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    if (st == EMK_OK)
        st = emk_lease_refuse(call->api->crypto, &in, &message, e);
    if (st == EMK_OK)
        st = emk_arena_copy(&call->arena, emk_buf_span(&message), out, e);
    emk_buf_done(&message);
    return st;
}
