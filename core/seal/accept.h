/* Accepting: an .emk off the wire becomes a file of the vault.  [container 7, 9]
 *
 * Two steps.  emk_accept_new checks everything that can be checked without the bulk of the
 * bytes: headers, chain, bindings, envelopes, commitments, sealed part.  The caller then
 * judges policy and release, opens a file that nobody else sees yet, and emk_accept_write
 * fills it, checking every tag and every digest.  Only after EMK_OK, a sync and a rename is
 * there a model. */
#ifndef EMK_CORE_SEAL_ACCEPT_H
#define EMK_CORE_SEAL_ACCEPT_H

#include "core/seal/plan.h"
#include "core/seal/seal.h"

/* All borrowed until the accept is freed. */
typedef struct emk_accept_in {
    const emk_source *sealed;
    const emk_verify_key *issuer;
    const emk_kem_private *request_key;
    const emk_kem_private *device_key;
    uint8_t request_hash[EMK_HASH_LEN];
    /* from the verified ticket */
    uint8_t ticket_id[EMK_ID_LEN];
    uint8_t ticket_hash[EMK_HASH_LEN];
    emk_span policy;
    emk_span identity;
    emk_span lease_key;          /* empty: it needs no lease */
    const uint8_t *lease_secret; /* EMK_LEASE_SECRET_LEN bytes; NULL where it needs no lease */
    uint64_t now;
    emk_noticed *noticed; /* tests only; else NULL */
} emk_accept_in;

typedef struct emk_accept emk_accept;

/* EMK_E_FORMAT, EMK_E_UNSUPPORTED, EMK_E_SIGNATURE (signer, or bound to another request or
 * ticket), EMK_E_SEALED, EMK_E_NO_MEMORY, what the source says. */
emk_status emk_accept_new(const emk_crypto *c, const emk_accept_in *in, emk_accept **out,
                          emk_error *e) EMK_MUST_CHECK;

/* Of the weights layer; 16 bytes, lent. */
const uint8_t *emk_accept_file_id(const emk_accept *a);
/* Bytes of the model, and of the vault file to be written. */
uint64_t emk_accept_model_len(const emk_accept *a);
uint64_t emk_accept_vault_len(const emk_accept *a);

/* Writes the vault form under a fresh key sealed to the device key.  generation is the first
 * record's (1 in a new vault), `floor` the latest sure time.  vault_id (16 bytes) is filled.
 * The caller syncs.  After a failure the sink holds no usable file. */
typedef struct emk_accept_out {
    const emk_sink *vault;
    uint64_t accepted; /* time of acceptance */
    uint64_t floor;
    uint64_t lease_time, lease_until; /* 0 where it needs no lease */
    unsigned threads;                 /* 1..EMK_SEAL_THREADS_MAX */
    const emk_progress *progress;     /* NULL: nobody asks */
    uint8_t bound;                    /* EMK_VAULT_BOUND_...; 0: not bound to a guard */
    const uint8_t *binding;           /* of the guard, EMK_HASH_LEN bytes, where it is */
} emk_accept_out;
emk_status emk_accept_write(emk_accept *a, const emk_accept_out *out, uint8_t vault_id[EMK_ID_LEN],
                            emk_error *e) EMK_MUST_CHECK;

/* Wipes and frees.  NULL is fine. */
void emk_accept_free(emk_accept *a);

#endif
