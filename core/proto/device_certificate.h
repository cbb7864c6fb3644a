/* Device certificate: the issuer says which keys a device has and how well it knows that.
 * [messages 4] */
#ifndef EMK_CORE_PROTO_DEVICE_CERTIFICATE_H
#define EMK_CORE_PROTO_DEVICE_CERTIFICATE_H

#include "core/proto/message.h"

#define EMK_ATTESTATION_NONE      0u
#define EMK_ATTESTATION_KIND_MAX  5u /* kinds are those of <earmark/verify.h> */
#define EMK_ATTESTATION_LEVEL_MAX 3u

typedef struct emk_device_certificate {
    uint8_t device_id[EMK_DEVICE_ID_LEN]; /* compared with the keys when read; not read by sign */
    emk_span signing_key;                 /* P-256, 65 bytes */
    emk_agree_key agree;                  /* EMK_KEM_P256 or EMK_KEM_MLKEM768_P256 */
    uint8_t attestation_kind;
    uint8_t attestation_level; /* 0..3 */
    uint64_t issued;           /* seconds since 1970 */
    uint64_t not_after;        /* good before this time */
} emk_device_certificate;

/* Appends the message to out, signed by the issuer; the device id is worked out here. */
emk_status emk_device_certificate_sign(const emk_crypto *c, const emk_signer *signer,
                                       const emk_device_certificate *in, emk_buf *out,
                                       emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a payload alone, whoever signs it: for the process that is asked to.  Keys
 * are not looked at. */
emk_status emk_device_certificate_read(emk_span payload, emk_device_certificate *out,
                                       emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a message that `issuer` signed.  EMK_E_POLICY when now (seconds since 1970) is
 * not before not_after. */
emk_status emk_device_certificate_verify(const emk_crypto *c, emk_span message,
                                         const emk_verify_key *issuer, uint64_t now,
                                         emk_device_certificate *out, emk_error *e) EMK_MUST_CHECK;

/* A reader's memory of what it verified before.  Only what is true for ever goes in: names are
 * hashes over the issuer's key and the certificate, keys are known by their bytes. */
typedef struct emk_certificate_memory {
    void *self;
    bool (*has)(void *self, const uint8_t name[EMK_HASH_LEN]);
    void (*keep)(void *self, const uint8_t name[EMK_HASH_LEN]);
    /* Lends the key that verifies for a device, until give; *loan is for give. */
    emk_status (*lend)(void *self, emk_span signing_key, const emk_verify_key **out, void **loan,
                       emk_error *e);
    void (*give)(void *self, void *loan);
} emk_certificate_memory;

/* The same with a memory of signatures (NULL: none).  All but the signature is looked at anew. */
typedef struct emk_certificate_check {
    const emk_verify_key *issuer;
    uint64_t now; /* seconds since 1970 */
    const emk_certificate_memory *memory;
} emk_certificate_check;
emk_status emk_device_certificate_check(const emk_crypto *c, emk_span message,
                                        const emk_certificate_check *check,
                                        emk_device_certificate *out, emk_error *e) EMK_MUST_CHECK;

#endif
