/* Receipt: the device says what became of a delivery.  [messages 8] */
#ifndef EMK_CORE_PROTO_RECEIPT_H
#define EMK_CORE_PROTO_RECEIPT_H

#include "core/proto/message.h"

#define EMK_RECEIPT_SUMMARY_MAX 1024u /* bytes of the guard's summary */
#define EMK_RECEIPT_OUTCOME_MAX 255u  /* statuses are appended: a newer device may send one */

typedef struct emk_receipt {
    uint8_t ticket_id[EMK_ID_LEN];
    uint8_t file_id[EMK_ID_LEN]; /* of the weights layer; zeros: never seen */
    uint8_t outcome;             /* 0 accepted, else an emk_status */
    uint64_t time;               /* seconds since 1970, by the device's clock */
    uint8_t guard;               /* level, 0..3 */
    emk_span summary;            /* the guard's [messages 11], opaque here; empty: none */
} emk_receipt;

/* Appends the message to out, signed by the device. */
emk_status emk_receipt_sign(const emk_crypto *c, const emk_signer *signer, const emk_receipt *in,
                            emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a receipt that `device`, the signing key of the ticket's device, signed. */
emk_status emk_receipt_verify(const emk_crypto *c, emk_span message, const emk_verify_key *device,
                              emk_receipt *out, emk_error *e) EMK_MUST_CHECK;

#endif
