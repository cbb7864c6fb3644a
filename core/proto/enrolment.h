/* Device enrolment: a device shows its public keys and proves that it holds the signing key.
 * What the device is, it does not prove: alone it is worth level 0.  [messages 3] */
#ifndef EMK_CORE_PROTO_ENROLMENT_H
#define EMK_CORE_PROTO_ENROLMENT_H

#include "core/proto/message.h"

typedef struct emk_enrolment {
    emk_span signing_key;                 /* P-256, 65 bytes */
    emk_agree_key agree;                  /* EMK_KEM_P256 or EMK_KEM_MLKEM768_P256 */
    emk_span platform;                    /* text for people */
    uint64_t created;                     /* seconds since 1970 */
    uint8_t device_id[EMK_DEVICE_ID_LEN]; /* worked out when read; not read by sign */
} emk_enrolment;

/* Appends the message to out, signed by the device: signer must be in->signing_key's. */
emk_status emk_enrolment_sign(const emk_crypto *c, const emk_signer *signer,
                              const emk_enrolment *in, emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a message that its own signing key signed, and works out the device id.
 * It says nothing on who sent it. */
emk_status emk_enrolment_verify(const emk_crypto *c, emk_span message, emk_enrolment *out,
                                emk_error *e) EMK_MUST_CHECK;

#endif
