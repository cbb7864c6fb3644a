/* A vault file: a model under this device's key, with its local record.  [container 7]
 *
 * emk_vault_open verifies and decrypts all but the model's bytes.  The caller (who holds the
 * lock on the file) then judges rollback and policy with what is lent here, writes a new
 * record if opens are counted, and reads.
 *
 * A model under a lease has two envelopes for one key: one for this device, there while a lease
 * is, and one that also needs the lease secret.  Without the first it sleeps.  [container 7.6] */
#ifndef EMK_CORE_SEAL_VAULT_H
#define EMK_CORE_SEAL_VAULT_H

#include "core/seal/plan.h"
#include "core/seal/seal.h"

/* How a record's envelopes are bound to a guard: not at all (0), to its having found nothing, to
 * that and to the program's code.  [container 7.7] */
#define EMK_VAULT_BOUND_VERDICT 2u
#define EMK_VAULT_BOUND_CODE    3u

typedef struct emk_vault emk_vault;

/* All borrowed until the vault is closed. */
typedef struct emk_vault_in {
    const emk_source *file;
    const emk_verify_key *issuer;
    const emk_kem_private *device_key;
    const uint8_t *lease_secret; /* EMK_LEASE_SECRET_LEN bytes; NULL: none, and none is needed
                                  * unless it sleeps */
    emk_noticed *noticed;        /* which check refused; NULL: nobody asks */
    /* What the guard gives for records that are bound at level 2 and 3, EMK_HASH_LEN bytes each;
     * NULL: there is no guard.  [container 7.7] */
    const uint8_t *bindings[2];
} emk_vault_in;

/* EMK_E_FORMAT, EMK_E_UNSUPPORTED, EMK_E_SIGNATURE, EMK_E_SEALED, EMK_E_POLICY (it sleeps and
 * there is no secret, or is bound and there is no guard), EMK_E_NO_MEMORY, what the source and the
 * key holder say. */
emk_status emk_vault_open(const emk_crypto *c, const emk_vault_in *in, emk_vault **out,
                          emk_error *e) EMK_MUST_CHECK;

/* Wipes and frees.  NULL is fine. */
void emk_vault_close(emk_vault *v);

/* Lent until close. */
const emk_core *emk_vault_core(const emk_vault *v);
const emk_plan *emk_vault_plan(const emk_vault *v);
const emk_policy *emk_vault_policy(const emk_vault *v);
const emk_identity *emk_vault_identity(const emk_vault *v);
const emk_record *emk_vault_record(const emk_vault *v);

/* Writes the next record (generation + 1) with these opens and floor into the slot that is not
 * in use; `sync` makes it durable.  EMK_E_IO and so on: then the record in use is the old one. */
emk_status emk_vault_write_record(emk_vault *v, const emk_sink *file, uint64_t opens,
                                  uint64_t floor, emk_error *e) EMK_MUST_CHECK;

/* The same for a model under a lease: until when, as of when, whether it sleeps from now on.
 * Where it slept and wakes, it gets an envelope for the key it was opened with.
 * EMK_E_USAGE for a model that needs no lease. */
typedef struct emk_vault_lease {
    uint64_t time; /* of the issuer, when it granted or refused */
    uint64_t until;
    uint64_t floor;
    bool asleep;
} emk_vault_lease;
emk_status emk_vault_write_lease(emk_vault *v, const emk_sink *file, const emk_vault_lease *lease,
                                 emk_error *e) EMK_MUST_CHECK;

/* Zeros over the slot that is not in use: what was kept of an older record is gone.  After a
 * sync of the one in use. */
emk_status emk_vault_clear_other(emk_vault *v, const emk_sink *file, emk_error *e) EMK_MUST_CHECK;

/* What the bytes of a vault file say before any key is used.  NOTHING IS VERIFIED: enough to ask
 * the issuer something, and to close what is open. */
typedef struct emk_vault_glance {
    uint8_t ticket_id[EMK_ID_LEN];
    uint8_t ticket_hash[EMK_HASH_LEN];
    bool leased;
    bool asleep;
    uint64_t expires;  /* of the policy */
    uint64_t release;  /* of the policy */
    uint64_t other;    /* where in the file the other slot is, EMK_VAULT_SLOT_LEN bytes */
    emk_record record; /* of the well-formed slot with the higher generation */
} emk_vault_glance;
/* EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED, EMK_E_NO_MEMORY, what the source says. */
emk_status emk_vault_look(const emk_crypto *c, const emk_source *file, emk_vault_glance *out,
                          emk_error *e) EMK_MUST_CHECK;

/* The same with a new envelope, for another key of this device: re-wrap. */
emk_status emk_vault_rewrap(emk_vault *v, const emk_sink *file, const emk_agree_key *to,
                            emk_error *e) EMK_MUST_CHECK;

/* Decrypts the whole model into out (model_len bytes of private memory that nobody reads yet).
 * EMK_E_SEALED when a tag does not fit; then out is wiped. */
emk_status emk_vault_read_all(emk_vault *v, uint8_t *out, unsigned threads,
                              const emk_progress *progress, emk_error *e) EMK_MUST_CHECK;

/* Decrypts a part of the model.  Every segment it touches is verified whole; of what is not asked
 * for, EMK_AEAD_PIECE bytes at a time are in the clear. */
emk_status emk_vault_read(emk_vault *v, uint64_t off, uint8_t *out, size_t len,
                          emk_error *e) EMK_MUST_CHECK;

/* Checks every tag, and the digests where there are any, releasing nothing. */
emk_status emk_vault_verify(emk_vault *v, unsigned threads, const emk_progress *progress,
                            emk_error *e) EMK_MUST_CHECK;

#endif
