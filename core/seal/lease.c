#include "core/seal/lease.h"

#include "core/base/bytes.h"
#include "core/base/secret.h"
#include "core/crypto/hpke.h"
#include "core/crypto/kdf.h"

#define INFO_LEN (sizeof INFO_LABEL + EMK_ID_LEN)

static const char INFO_LABEL[] = "earmark/1 lease psk"; /* with its zero */
static const char EXPORT_LABEL[] = "psk";

emk_status emk_lease_derive(const emk_crypto *c, const emk_lease_source *from,
                            const uint8_t ticket_id[EMK_ID_LEN],
                            uint8_t secret[EMK_LEASE_SECRET_LEN], emk_error *e)
{
    uint8_t epoch[8];
    emk_span parts[2] = {emk_span_of(ticket_id, EMK_ID_LEN), emk_span_of(epoch, sizeof epoch)};

    emk_store_u64be(epoch, from->epoch);
    return emk_hmac_sha256(c, emk_span_of(from->master, EMK_LEASE_MASTER_LEN), parts, 2, secret, e);
}

/* [RFC 9180 7.1.3] */
static emk_status derive_pair(const emk_crypto *c, const uint8_t *secret, uint8_t priv[32],
                              uint8_t pub[EMK_LEASE_KEY_LEN], emk_error *e)
{
    return emk_kem_derive(c, EMK_LEASE_KEM, emk_span_of(secret, EMK_LEASE_SECRET_LEN), priv, pub,
                          e);
}

emk_status emk_lease_key(const emk_crypto *c, const uint8_t secret[EMK_LEASE_SECRET_LEN],
                         uint8_t key[EMK_LEASE_KEY_LEN], emk_error *e)
{
    uint8_t priv[32], pub[EMK_LEASE_KEY_LEN];
    emk_status st = derive_pair(c, secret, priv, pub, e);

    if (st == EMK_OK)
        memcpy(key, pub, sizeof pub);
    emk_wipe(priv, sizeof priv);
    return st;
}

/* Export-only HPKE in base mode: the lease key receives nothing but a shared secret. */
static void fill_in(emk_hpke_in *in, const uint8_t *ticket_id, uint8_t info[INFO_LEN])
{
    memcpy(info, INFO_LABEL, sizeof INFO_LABEL);
    memcpy(info + sizeof INFO_LABEL, ticket_id, EMK_ID_LEN);
    in->suite = (emk_hpke_suite){EMK_LEASE_KEM, EMK_HPKE_KDF_HKDF_SHA256, EMK_AEAD_EXPORT_ONLY};
    in->mode = EMK_HPKE_BASE;
    in->info = emk_span_of(info, INFO_LEN);
}

static emk_status export_psk(emk_hpke *h, uint8_t psk[EMK_LEASE_PSK_LEN], emk_error *e)
{
    emk_status st = emk_hpke_export(h, emk_span_of(EXPORT_LABEL, sizeof EXPORT_LABEL - 1), psk,
                                    EMK_LEASE_PSK_LEN, e);

    emk_hpke_free(h);
    return st;
}

emk_status emk_lease_psk_make(const emk_crypto *c, emk_span key,
                              const uint8_t ticket_id[EMK_ID_LEN], emk_lease_psk *out, emk_error *e)
{
    uint8_t info[INFO_LEN];
    emk_hpke_in in = {0};
    emk_hpke *h;
    emk_status st;

    fill_in(&in, ticket_id, info);
    st = emk_hpke_sender_new(c, &in, key, out->id, &h, e);
    if (st != EMK_OK)
        return st;
    return export_psk(h, out->psk, e);
}

emk_status emk_lease_psk_find(const emk_lease_opener *with, emk_span psk_id,
                              uint8_t psk[EMK_LEASE_PSK_LEN], emk_error *e)
{
    uint8_t info[INFO_LEN], priv[32], pub[EMK_LEASE_KEY_LEN];
    emk_kem_private *key = NULL;
    emk_hpke_in in = {0};
    emk_hpke *h;
    emk_status st;

    fill_in(&in, with->ticket_id, info);
    st = derive_pair(with->crypto, with->secret, priv, pub, e);
    if (st == EMK_OK)
        st = emk_kem_private_new(with->crypto, EMK_LEASE_KEM, emk_span_of(priv, sizeof priv), &key,
                                 e);
    emk_wipe(priv, sizeof priv);
    if (st == EMK_OK)
        st = emk_hpke_receiver_new(&in, key, psk_id, &h, e);
    if (st == EMK_OK)
        st = export_psk(h, psk, e);
    emk_kem_private_free(key);
    return st;
}
