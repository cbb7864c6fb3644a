#include "core/proto/lease.h"

#include "core/crypto/hpke.h"
#include "core/proto/internal.h"

enum { TICKET_ID = 1, DEVICE_ID, TIME, UNTIL, SEALED, REFUSAL };

#define CIPHER_LEN (EMK_LEASE_SECRET_LEN + EMK_AEAD_TAG_LEN)
#define SEALED_MAX (EMK_KEM_ENC_MAX + CIPHER_LEN)
#define INFO_LEN   (sizeof INFO_LABEL + EMK_ID_LEN + EMK_DEVICE_ID_LEN)

static const char INFO_LABEL[] = "earmark/1 lease"; /* with its zero */

/* ---- the message ---- */

static emk_status check(const emk_lease *l, emk_status st, emk_error *e)
{
    if (l->refusal > EMK_LEASE_REFUSAL_MAX)
        return emk_fail(e, st, "lease: reason of the refusal", l->refusal);
    if ((l->refusal != 0) == (l->sealed.len != 0))
        return emk_fail(e, st, "lease: granted and refused, or neither", l->refusal);
    if (l->refusal ? l->until != l->time : l->until <= l->time)
        return emk_fail(e, st, "lease: its end", l->until);
    if (l->sealed.len > SEALED_MAX)
        return emk_fail(e, st, "lease: length of the sealed secret", l->sealed.len);
    return EMK_OK;
}

emk_status emk_lease_sign(const emk_crypto *c, const emk_signer *signer, const emk_lease *in,
                          emk_buf *out, emk_error *e)
{
    uint8_t payload[EMK_MESSAGE_MAX];
    emk_writer w;
    emk_status st;

    st = check(in, EMK_E_USAGE, e);
    if (st != EMK_OK)
        return st;
    emk_writer_init(&w, payload, sizeof payload);
    emk_cbor_put_map(&w, 5);
    emk_proto_put_bytes(&w, TICKET_ID, emk_span_of(in->ticket_id, sizeof in->ticket_id));
    emk_proto_put_bytes(&w, DEVICE_ID, emk_span_of(in->device_id, sizeof in->device_id));
    emk_proto_put_uint(&w, TIME, in->time);
    emk_proto_put_uint(&w, UNTIL, in->until);
    if (in->refusal)
        emk_proto_put_uint(&w, REFUSAL, in->refusal);
    else
        emk_proto_put_bytes(&w, SEALED, in->sealed);
    return emk_proto_sign(c, signer, EMK_COSE_LEASE, &w, out, e);
}

static void read_value(emk_cbor_reader *r, int64_t key, void *out)
{
    emk_lease *l = out;

    switch (key) {
    case TICKET_ID:
        emk_cbor_read_fixed(r, l->ticket_id, sizeof l->ticket_id);
        break;
    case DEVICE_ID:
        emk_cbor_read_fixed(r, l->device_id, sizeof l->device_id);
        break;
    case TIME:
        l->time = emk_cbor_read_uint(r);
        break;
    case UNTIL:
        l->until = emk_cbor_read_uint(r);
        break;
    case SEALED:
        l->sealed = emk_cbor_read_bytes(r);
        if (l->sealed.len == 0)
            emk_cbor_fail(r, EMK_E_FORMAT, "lease: a secret of no bytes", 0);
        break;
    case REFUSAL:
        l->refusal = emk_proto_read_small(r, EMK_LEASE_REFUSAL_MAX);
        if (l->refusal == 0)
            emk_cbor_fail(r, EMK_E_FORMAT, "lease: a refusal without a reason", 0);
        break;
    }
}

static const emk_proto_map map = {
    .must = EMK_PROTO_KEY(TICKET_ID) | EMK_PROTO_KEY(DEVICE_ID) | EMK_PROTO_KEY(TIME) |
            EMK_PROTO_KEY(UNTIL),
    .may = EMK_PROTO_KEY(SEALED) | EMK_PROTO_KEY(REFUSAL),
    .read = read_value,
};

emk_status emk_lease_read(emk_span payload, emk_lease *out, emk_error *e)
{
    emk_lease l = {.sealed = {NULL, 0}};
    emk_status st = emk_proto_read_map(payload, &map, &l, e);

    if (st == EMK_OK)
        st = check(&l, EMK_E_FORMAT, e);
    if (st == EMK_OK)
        *out = l;
    return st;
}

emk_status emk_lease_verify(const emk_crypto *c, emk_span message, const emk_verify_key *issuer,
                            emk_lease *out, emk_error *e)
{
    emk_cose o;
    emk_status st = emk_proto_verify(c, message, EMK_COSE_LEASE, issuer, &o, e);

    return st == EMK_OK ? emk_lease_read(o.payload, out, e) : st;
}

/* ---- the secret inside ---- */

static emk_status fill_in(uint16_t kem, const emk_lease *l, uint8_t info[INFO_LEN], emk_hpke_in *in,
                          emk_error *e)
{
    int64_t alg;

    memcpy(info, INFO_LABEL, sizeof INFO_LABEL);
    memcpy(info + sizeof INFO_LABEL, l->ticket_id, EMK_ID_LEN);
    memcpy(info + sizeof INFO_LABEL + EMK_ID_LEN, l->device_id, EMK_DEVICE_ID_LEN);
    in->mode = EMK_HPKE_BASE;
    in->info = emk_span_of(info, INFO_LEN);
    return emk_recipient_alg(kem, &alg, &in->suite, e);
}

emk_status emk_lease_open(const emk_lease *l, const emk_kem_private *key,
                          uint8_t secret[EMK_LEASE_SECRET_LEN], emk_error *e)
{
    size_t enc_len = emk_kem_enc_len(emk_kem_private_id(key));
    uint8_t info[INFO_LEN];
    emk_hpke_in in = {0};
    emk_status st;

    if (l->sealed.len != enc_len + CIPHER_LEN)
        return emk_fail(e, EMK_E_SEALED, "lease: not for a key of this kind", l->sealed.len);
    st = fill_in(emk_kem_private_id(key), l, info, &in, e);
    if (st != EMK_OK)
        return st;
    return emk_hpke_open_once(&in, key, emk_span_of(l->sealed.p, enc_len),
                              emk_span_of(l->sealed.p + enc_len, CIPHER_LEN), secret, e);
}

/* ---- the issuer ---- */

static emk_lease lease_for(const emk_ticket *ticket, uint64_t now)
{
    emk_lease l = {.time = now, .until = now};

    memcpy(l.ticket_id, ticket->id, sizeof l.ticket_id);
    memcpy(l.device_id, ticket->device_id, sizeof l.device_id);
    return l;
}

emk_status emk_lease_prepare(const emk_crypto *c, const emk_lease_source *from, uint8_t *key,
                             emk_ticket *ticket, emk_error *e)
{
    uint8_t secret[EMK_LEASE_SECRET_LEN];
    emk_status st = emk_lease_derive(c, from, ticket->id, secret, e);

    if (st == EMK_OK)
        st = emk_lease_key(c, secret, key, e);
    emk_wipe(secret, sizeof secret);
    if (st != EMK_OK)
        return st;
    ticket->lease_epoch = from->epoch;
    ticket->lease_key = emk_span_of(key, EMK_LEASE_KEY_LEN);
    return EMK_OK;
}

/* The secret of this ticket: its key is in the ticket, or it is another master's. */
static emk_status derive_for(const emk_crypto *c, const emk_lease_grant_in *in, uint8_t *secret,
                             emk_error *e)
{
    const emk_ticket *ticket = in->ticket;
    uint8_t key[EMK_LEASE_KEY_LEN];
    emk_status st = EMK_OK;

    if (in->secret)
        memcpy(secret, in->secret, EMK_LEASE_SECRET_LEN);
    else if (in->from.epoch != ticket->lease_epoch)
        return emk_fail(e, EMK_E_USAGE, "lease: epoch of the master", ticket->lease_epoch);
    else
        st = emk_lease_derive(c, &in->from, ticket->id, secret, e);
    if (st == EMK_OK)
        st = emk_lease_key(c, secret, key, e);
    if (st != EMK_OK)
        return st;
    if (!emk_span_equal(emk_span_of(key, sizeof key), ticket->lease_key))
        return emk_fail(e, EMK_E_USAGE, "lease: the ticket is not of this master", 0);
    return EMK_OK;
}

static emk_status seal_secret(const emk_crypto *c, const emk_ticket *ticket, const uint8_t *secret,
                              emk_lease *l, uint8_t room[SEALED_MAX], emk_error *e)
{
    uint8_t info[INFO_LEN];
    emk_hpke_in in = {0};
    emk_status st;

    st = fill_in(ticket->device_key.kem, l, info, &in, e);
    if (st == EMK_OK)
        st = emk_hpke_seal_once(c, &in, ticket->device_key.public_key,
                                emk_span_of(secret, EMK_LEASE_SECRET_LEN), room, e);
    if (st == EMK_OK)
        l->sealed = emk_span_of(room, emk_kem_enc_len(ticket->device_key.kem) + CIPHER_LEN);
    return st;
}

emk_status emk_lease_grant(const emk_crypto *c, const emk_lease_grant_in *in, emk_buf *out,
                           emk_error *e)
{
    uint8_t secret[EMK_LEASE_SECRET_LEN], room[SEALED_MAX];
    const emk_policy *policy = &in->ticket->policy;
    emk_lease l = lease_for(in->ticket, in->now);
    emk_status st;

    if (!policy->lease_s)
        return emk_fail(e, EMK_E_USAGE, "lease: this ticket needs none", 0);
    if (in->now >= policy->expires)
        return emk_fail(e, EMK_E_POLICY, "lease: the policy is over", policy->expires);
    l.until = policy->expires;
    if (policy->lease_s < policy->expires - in->now)
        l.until = in->now + policy->lease_s;
    st = derive_for(c, in, secret, e);
    if (st == EMK_OK)
        st = seal_secret(c, in->ticket, secret, &l, room, e);
    emk_wipe(secret, sizeof secret);
    if (st != EMK_OK)
        return st;
    return emk_lease_sign(c, in->signer, &l, out, e);
}

emk_status emk_lease_refuse(const emk_crypto *c, const emk_lease_refuse_in *in, emk_buf *out,
                            emk_error *e)
{
    emk_lease l = lease_for(in->ticket, in->now);

    l.refusal = (uint8_t)in->why;
    return emk_lease_sign(c, in->signer, &l, out, e);
}
