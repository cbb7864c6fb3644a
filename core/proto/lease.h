/* Leases: the device asks for a while longer, the issuer grants or refuses.  [messages 9, 10]
 *
 * The issuer keeps the lease master and the tickets, or what they say; it keeps no lease.
 * Whether a device was revoked, whether a request is new and how the guard's summary looks are
 * the issuer's to judge, before it grants. */
#ifndef EMK_CORE_PROTO_LEASE_H
#define EMK_CORE_PROTO_LEASE_H

#include "core/proto/ticket.h"

#define EMK_LEASE_SUMMARY_MAX 1024u /* bytes of the guard's summary in a request */

/* ---- the request, signed by the device ---- */

typedef struct emk_lease_request {
    uint8_t nonce[EMK_ID_LEN]; /* random */
    uint8_t ticket_id[EMK_ID_LEN];
    uint8_t ticket_hash[EMK_HASH_LEN];
    uint8_t device_id[EMK_DEVICE_ID_LEN];
    uint64_t created; /* seconds since 1970, by the device's clock */
    uint64_t floor;   /* the latest time it is sure of */
    uint8_t guard;    /* level, 0..3 */
    emk_span summary; /* the guard's, opaque here; empty: none */
} emk_lease_request;

/* Appends the message to out, signed by the device. */
emk_status emk_lease_request_sign(const emk_crypto *c, const emk_signer *signer,
                                  const emk_lease_request *in, emk_buf *out,
                                  emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a request that `device`, the signing key of the ticket's device, signed. */
emk_status emk_lease_request_verify(const emk_crypto *c, emk_span message,
                                    const emk_verify_key *device, emk_lease_request *out,
                                    emk_error *e) EMK_MUST_CHECK;

/* EMK_E_POLICY unless the request is for this ticket and device, the ticket's policy wants a
 * lease and is not over at `now`, and the guard's level is high enough. */
emk_status emk_lease_request_check(const emk_lease_request *q, const emk_ticket *ticket,
                                   uint64_t now, emk_error *e) EMK_MUST_CHECK;

/* ---- the answer, signed by the issuer ---- */

/* Why it is refused; a device shows it and does not decide by it. */
typedef enum emk_lease_refusal {
    EMK_LEASE_GRANTED = 0,
    EMK_LEASE_REVOKED = 1,
    EMK_LEASE_ATTEST = 2,  /* show again what you are */
    EMK_LEASE_UPGRADE = 3, /* app or system is too old */
    EMK_LEASE_REFUSAL_MAX = 3
} emk_lease_refusal;

typedef struct emk_lease {
    uint8_t ticket_id[EMK_ID_LEN];
    uint8_t device_id[EMK_DEVICE_ID_LEN];
    uint64_t time;   /* of the issuer */
    uint64_t until;  /* after time; in a refusal: time */
    emk_span sealed; /* the lease secret for the device; empty in a refusal */
    uint8_t refusal; /* emk_lease_refusal */
} emk_lease;

/* Appends a lease for a verified ticket: from `now` for lease_s, no longer than the policy.
 * Who has no master, because another process keeps it, gives the secret of this ticket instead.
 * EMK_E_POLICY when that is over; EMK_E_USAGE for a ticket that wants no lease, or whose lease
 * key is not of this master and epoch. */
typedef struct emk_lease_grant_in {
    const emk_signer *signer;
    emk_lease_source from;
    const emk_ticket *ticket;
    uint64_t now;          /* seconds since 1970 */
    const uint8_t *secret; /* EMK_LEASE_SECRET_LEN bytes, borrowed; then `from` is not read */
} emk_lease_grant_in;
emk_status emk_lease_grant(const emk_crypto *c, const emk_lease_grant_in *in, emk_buf *out,
                           emk_error *e) EMK_MUST_CHECK;

/* Appends a refusal: the device closes the model, and needs a lease to open it again. */
typedef struct emk_lease_refuse_in {
    const emk_signer *signer;
    const emk_ticket *ticket;
    emk_lease_refusal why;
    uint64_t now;
} emk_lease_refuse_in;
emk_status emk_lease_refuse(const emk_crypto *c, const emk_lease_refuse_in *in, emk_buf *out,
                            emk_error *e) EMK_MUST_CHECK;

/* The message as such: what grant and refuse make.  EMK_E_USAGE for one that says both. */
emk_status emk_lease_sign(const emk_crypto *c, const emk_signer *signer, const emk_lease *in,
                          emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a payload alone, whoever signs it: for the process that is asked to. */
emk_status emk_lease_read(emk_span payload, emk_lease *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a lease or refusal that `issuer` signed. */
emk_status emk_lease_verify(const emk_crypto *c, emk_span message, const emk_verify_key *issuer,
                            emk_lease *out, emk_error *e) EMK_MUST_CHECK;

/* Opens the lease secret with the device's agreement key; the caller wipes it.  EMK_E_SEALED,
 * what the key holder says. */
emk_status emk_lease_open(const emk_lease *lease, const emk_kem_private *key,
                          uint8_t secret[EMK_LEASE_SECRET_LEN], emk_error *e) EMK_MUST_CHECK;

/* What the issuer puts into a ticket whose policy wants a lease: fills ticket->lease_epoch and
 * `key` (EMK_LEASE_KEY_LEN bytes), to which ticket->lease_key then points. */
emk_status emk_lease_prepare(const emk_crypto *c, const emk_lease_source *from, uint8_t *key,
                             emk_ticket *ticket, emk_error *e) EMK_MUST_CHECK;

#endif
