/* The keyholder as handlers see it: a table of questions to the process that has the keys.
 * server/daemon fills it with a client of that process; tests with keys of their own.
 *
 * Nothing secret comes out but what a handler must have to work: the secret of one lease, the
 * key that opens one stored model.  A question that the keyholder refuses is EMK_E_POLICY, a
 * keyholder that is gone EMK_E_BUSY: grants are then answered 503.
 *
 * Thread rule: every call may come from any thread at any time. */
#ifndef EMK_SERVER_API_KEYHOLDER_H
#define EMK_SERVER_API_KEYHOLDER_H

#include "core/seal/cose.h"

#define EMK_KEYHOLDER_LEASE_LEN   32u
#define EMK_KEYHOLDER_LEASE_KEY   65u /* bytes of a lease key, public */
#define EMK_KEYHOLDER_STORAGE_LEN 32u
#define EMK_KEYHOLDER_WRAPPED_LEN 61u /* version, nonce, key, tag */
#define EMK_KEYHOLDER_MAC_LEN     32u

/* What a signature is for.  The keyholder parses what it is asked to sign, and signs only what
 * is of that kind. */
typedef enum emk_keyholder_purpose {
    EMK_KEYHOLDER_DEVICE_CERTIFICATE = 1,
    EMK_KEYHOLDER_TICKET,
    EMK_KEYHOLDER_LEASE,
    EMK_KEYHOLDER_FILE_HEADER, /* by the sealing key, as the next */
    EMK_KEYHOLDER_WEIGHTS_HEADER,
    EMK_KEYHOLDER_CHECKPOINT, /* of the audit log: text of a signed note */
    EMK_KEYHOLDER_PURPOSES
} emk_keyholder_purpose;

typedef struct emk_keyholder_ops {
    uint32_t size; /* sizeof of the writer's table: it can grow */
    emk_status (*sign)(void *self, emk_keyholder_purpose purpose, emk_span message, uint8_t sig[64],
                       emk_error *e);
    emk_status (*lease_secret)(void *self, const uint8_t ticket_id[16], uint64_t epoch,
                               uint8_t out[EMK_KEYHOLDER_LEASE_LEN], emk_error *e);
    /* A fresh key for one stored model, and the form in which it is kept; and back. */
    emk_status (*storage_new)(void *self, const uint8_t object[32],
                              uint8_t key[EMK_KEYHOLDER_STORAGE_LEN],
                              uint8_t wrapped[EMK_KEYHOLDER_WRAPPED_LEN], emk_error *e);
    emk_status (*storage_open)(void *self, const uint8_t object[32],
                               const uint8_t wrapped[EMK_KEYHOLDER_WRAPPED_LEN],
                               uint8_t key[EMK_KEYHOLDER_STORAGE_LEN], emk_error *e);
    /* The public lease key of a ticket under the present master, and that one's number. */
    emk_status (*lease_key)(void *self, const uint8_t ticket_id[16], uint64_t *epoch,
                            uint8_t out[EMK_KEYHOLDER_LEASE_KEY], emk_error *e);
} emk_keyholder_ops;

/* What its keys are; a rotation makes new ones and keeps the old until the server ends. */
typedef struct emk_keyholder_publics {
    uint8_t issuer[EMK_SIGN_PUBLIC_MAX];
    size_t issuer_len;
    uint8_t sealing[EMK_SIGN_PUBLIC_MAX];
    size_t sealing_len;
} emk_keyholder_publics;

typedef struct emk_keyholder {
    const emk_keyholder_ops *ops;
    void *self;
    uint8_t issuer_public[EMK_SIGN_PUBLIC_MAX];
    size_t issuer_public_len;
    uint8_t sealing_public[EMK_SIGN_PUBLIC_MAX];
    size_t sealing_public_len;                    /* 0: this server does not seal */
    const emk_keyholder_publics *_Atomic rotated; /* NULL: the keys above */
} emk_keyholder;

/* Its keys as they are now.  Lends. */
emk_span emk_keyholder_issuer(const emk_keyholder *k);
emk_span emk_keyholder_sealing(const emk_keyholder *k);

/* A signer for one purpose, for emk_device_certificate_sign and so on.  Lives in the caller;
 * `slot` and k must outlive it. */
typedef struct emk_keyholder_slot {
    const emk_keyholder *keyholder;
    emk_keyholder_purpose purpose;
} emk_keyholder_slot;
emk_status emk_keyholder_signer(const emk_crypto *c, const emk_keyholder *k,
                                emk_keyholder_purpose purpose, emk_keyholder_slot *slot,
                                emk_signer *out, emk_error *e) EMK_MUST_CHECK;

/* The secrets, with the arguments checked once; the caller wipes what it got. */
emk_status emk_keyholder_lease_secret(const emk_keyholder *k, const uint8_t ticket_id[16],
                                      uint64_t epoch, uint8_t out[EMK_KEYHOLDER_LEASE_LEN],
                                      emk_error *e) EMK_MUST_CHECK;
/* What goes into a ticket whose policy wants a lease: see emk_ticket.lease_key. */
emk_status emk_keyholder_lease_key(const emk_keyholder *k, const uint8_t ticket_id[16],
                                   uint64_t *epoch, uint8_t out[EMK_KEYHOLDER_LEASE_KEY],
                                   emk_error *e) EMK_MUST_CHECK;
/* `object` is a hash that names the stored model: a key wrapped for one opens no other. */
emk_status emk_keyholder_storage_new(const emk_keyholder *k, const uint8_t object[32],
                                     uint8_t key[EMK_KEYHOLDER_STORAGE_LEN],
                                     uint8_t wrapped[EMK_KEYHOLDER_WRAPPED_LEN],
                                     emk_error *e) EMK_MUST_CHECK;
/* EMK_E_SEALED for a key of another object or another storage key. */
emk_status emk_keyholder_storage_open(const emk_keyholder *k, const uint8_t object[32],
                                      const uint8_t wrapped[EMK_KEYHOLDER_WRAPPED_LEN],
                                      uint8_t key[EMK_KEYHOLDER_STORAGE_LEN],
                                      emk_error *e) EMK_MUST_CHECK;

#endif
