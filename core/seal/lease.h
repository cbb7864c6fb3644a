/* The keys of a lease: what the issuer derives, what a sealer needs of it, and what a device
 * gets.  [container 3.5]
 *
 *   lease master --HMAC--> lease secret --DeriveKeyPair--> lease key (public: in the ticket)
 *
 * Whoever has the public key can make a psk that only the holder of the secret finds again, so a
 * sealer, who is given tickets by devices, needs no secret at all. */
#ifndef EMK_CORE_SEAL_LEASE_H
#define EMK_CORE_SEAL_LEASE_H

#include "core/crypto/kem.h"

#include <earmark/policy.h>

#define EMK_LEASE_KEM        EMK_KEM_P256
#define EMK_LEASE_MASTER_LEN 32u
#define EMK_LEASE_SECRET_LEN 32u
#define EMK_LEASE_KEY_LEN    65u /* public */
#define EMK_LEASE_PSK_ID_LEN 65u /* an encapsulation */
#define EMK_LEASE_PSK_LEN    32u

/* The issuer's side: the secret of one ticket under the master of an epoch.  Fills secret, which
 * the caller wipes.  EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
typedef struct emk_lease_source {
    const uint8_t *master; /* EMK_LEASE_MASTER_LEN bytes; borrowed */
    uint64_t epoch;        /* number of the master */
} emk_lease_source;
emk_status emk_lease_derive(const emk_crypto *c, const emk_lease_source *from,
                            const uint8_t ticket_id[EMK_ID_LEN],
                            uint8_t secret[EMK_LEASE_SECRET_LEN], emk_error *e) EMK_MUST_CHECK;

/* Fills the lease key that belongs to a secret. */
emk_status emk_lease_key(const emk_crypto *c, const uint8_t secret[EMK_LEASE_SECRET_LEN],
                         uint8_t key[EMK_LEASE_KEY_LEN], emk_error *e) EMK_MUST_CHECK;

/* Makes a psk for one envelope, from the lease key alone; psk_id stands beside the envelope.
 * The caller wipes psk.  EMK_E_FORMAT for a key that is none. */
typedef struct emk_lease_psk {
    uint8_t psk[EMK_LEASE_PSK_LEN];
    uint8_t id[EMK_LEASE_PSK_ID_LEN];
} emk_lease_psk;
emk_status emk_lease_psk_make(const emk_crypto *c, emk_span key,
                              const uint8_t ticket_id[EMK_ID_LEN], emk_lease_psk *out,
                              emk_error *e) EMK_MUST_CHECK;

/* Finds it again with the secret.  EMK_E_SEALED for an id that is none; another lease's secret
 * gives another psk, which the envelope notices. */
typedef struct emk_lease_opener {
    const emk_crypto *crypto; /* kept */
    const uint8_t *secret;    /* EMK_LEASE_SECRET_LEN bytes, borrowed; NULL: no lease */
    const uint8_t *ticket_id; /* EMK_ID_LEN bytes, borrowed */
} emk_lease_opener;
emk_status emk_lease_psk_find(const emk_lease_opener *with, emk_span psk_id,
                              uint8_t psk[EMK_LEASE_PSK_LEN], emk_error *e) EMK_MUST_CHECK;

#endif
