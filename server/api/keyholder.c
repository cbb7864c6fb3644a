#include "server/api/keyholder.h"

#include <stdatomic.h>

static emk_status sign_by_slot(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    const emk_keyholder_slot *slot = self;
    const emk_keyholder *k = slot->keyholder;

    return k->ops->sign(k->self, slot->purpose, msg, sig, e);
}

emk_span emk_keyholder_issuer(const emk_keyholder *k)
{
    const emk_keyholder_publics *now = atomic_load(&k->rotated);

    return now ? emk_span_of(now->issuer, now->issuer_len)
               : emk_span_of(k->issuer_public, k->issuer_public_len);
}

emk_span emk_keyholder_sealing(const emk_keyholder *k)
{
    const emk_keyholder_publics *now = atomic_load(&k->rotated);

    return now ? emk_span_of(now->sealing, now->sealing_len)
               : emk_span_of(k->sealing_public, k->sealing_public_len);
}

emk_status emk_keyholder_signer(const emk_crypto *c, const emk_keyholder *k,
                                emk_keyholder_purpose purpose, emk_keyholder_slot *slot,
                                emk_signer *out, emk_error *e)
{
    emk_span pub = emk_keyholder_issuer(k);

    if (purpose == EMK_KEYHOLDER_FILE_HEADER || purpose == EMK_KEYHOLDER_WEIGHTS_HEADER)
        pub = emk_keyholder_sealing(k);
    if (purpose < EMK_KEYHOLDER_DEVICE_CERTIFICATE || purpose >= EMK_KEYHOLDER_CHECKPOINT)
        return emk_fail(e, EMK_E_USAGE, "keyholder: no signer for this purpose", purpose);
    if (pub.len == 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: has no such key", purpose);
    *slot = (emk_keyholder_slot){k, purpose};
    return emk_signer_from_fn(c, pub, sign_by_slot, slot, out, e);
}

emk_status emk_keyholder_lease_secret(const emk_keyholder *k, const uint8_t ticket_id[16],
                                      uint64_t epoch, uint8_t out[EMK_KEYHOLDER_LEASE_LEN],
                                      emk_error *e)
{
    if (!k->ops->lease_secret)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: no leases", 0);
    return k->ops->lease_secret(k->self, ticket_id, epoch, out, e);
}

emk_status emk_keyholder_lease_key(const emk_keyholder *k, const uint8_t ticket_id[16],
                                   uint64_t *epoch, uint8_t out[EMK_KEYHOLDER_LEASE_KEY],
                                   emk_error *e)
{
    if (!k->ops->lease_key)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: no leases", 0);
    return k->ops->lease_key(k->self, ticket_id, epoch, out, e);
}

emk_status emk_keyholder_storage_new(const emk_keyholder *k, const uint8_t object[32],
                                     uint8_t key[EMK_KEYHOLDER_STORAGE_LEN],
                                     uint8_t wrapped[EMK_KEYHOLDER_WRAPPED_LEN], emk_error *e)
{
    if (!k->ops->storage_new)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: no storage key", 0);
    return k->ops->storage_new(k->self, object, key, wrapped, e);
}

emk_status emk_keyholder_storage_open(const emk_keyholder *k, const uint8_t object[32],
                                      const uint8_t wrapped[EMK_KEYHOLDER_WRAPPED_LEN],
                                      uint8_t key[EMK_KEYHOLDER_STORAGE_LEN], emk_error *e)
{
    if (!k->ops->storage_open)
        return emk_fail(e, EMK_E_UNSUPPORTED, "keyholder: no storage key", 0);
    return k->ops->storage_open(k->self, object, wrapped, key, e);
}
