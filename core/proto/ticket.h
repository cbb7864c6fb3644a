/* Ticket: the issuer allows one sealed model, for one user on one device, to two keys, under a
 * policy, until a time.  [messages 7] */
#ifndef EMK_CORE_PROTO_TICKET_H
#define EMK_CORE_PROTO_TICKET_H

#include "core/proto/request.h"

typedef struct emk_ticket {
    uint8_t id[EMK_ID_LEN]; /* random */
    uint8_t device_id[EMK_DEVICE_ID_LEN];
    emk_agree_key device_key;  /* EMK_KEM_P256 or EMK_KEM_MLKEM768_P256 */
    emk_agree_key request_key; /* EMK_KEM_XWING, EMK_KEM_X25519 or EMK_KEM_P256 */
    emk_policy policy;
    emk_identity identity; /* its device is device_id */
    uint8_t request_hash[EMK_HASH_LEN];
    uint64_t issued;  /* seconds since 1970 */
    uint64_t expires; /* after issued: sealing and accepting end here */
    /* Both where the policy wants a lease, else empty and 0: see emk_lease_prepare. */
    emk_span lease_key; /* EMK_LEASE_KEY_LEN bytes */
    uint64_t lease_epoch;
    /* Filled by emk_ticket_verify, not read by sign: */
    emk_span policy_bytes;      /* as issued: copied into the header byte for byte */
    emk_span identity_bytes;    /* as issued: copied into the sealed part */
    uint8_t hash[EMK_HASH_LEN]; /* of the message */
} emk_ticket;

/* Fills *out with what a ticket takes from the (verified) request it answers: device, keys,
 * request hash and identity.  The issuer adds id, policy, issued and expires.  Borrows from
 * the request. */
void emk_ticket_answer(const emk_request *request, emk_ticket *out);

/* Appends the message to out, signed by the issuer.  EMK_E_USAGE also when expires is not after
 * issued, the identity names another device, or a lease key is there without a lease or the
 * other way round. */
emk_status emk_ticket_sign(const emk_crypto *c, const emk_signer *signer, const emk_ticket *in,
                           emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a ticket that `issuer` signed.  EMK_E_POLICY when now (seconds since 1970) is
 * not before `expires`.  Whether it was used before, the caller must find out. */
emk_status emk_ticket_verify(const emk_crypto *c, emk_span message, const emk_verify_key *issuer,
                             uint64_t now, emk_ticket *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a payload alone, whoever signs it: for the process that is asked to.  The
 * hash stays zero. */
emk_status emk_ticket_read(emk_span payload, emk_ticket *out, emk_error *e) EMK_MUST_CHECK;

/* The same of a ticket that comes from where nobody else writes: the issuer's own records, in
 * which tickets outlive the key that signed them.  NO SIGNATURE AND NO TIME IS VERIFIED. */
emk_status emk_ticket_parse(const emk_crypto *c, emk_span message, emk_ticket *out,
                            emk_error *e) EMK_MUST_CHECK;

#endif
