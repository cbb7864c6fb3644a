/* A vault file: a model under this device's key, with its local record.  [container 7]
 *
 * emk_vault_open verifies and decrypts all but the model's bytes.  The caller (who holds the
 * lock on the file) then judges rollback and policy with what is lent here, writes a new
 * record if opens are counted, and reads. */
#ifndef EMK_CORE_SEAL_VAULT_H
#define EMK_CORE_SEAL_VAULT_H

#include "core/seal/plan.h"
#include "core/seal/seal.h"

typedef struct emk_vault emk_vault;

/* All borrowed until the vault is closed. */
typedef struct emk_vault_in {
    const emk_source *file;
    const emk_verify_key *issuer;
    const emk_kem_private *device_key;
    emk_noticed *noticed; /* tests only; else NULL */
} emk_vault_in;

/* EMK_E_FORMAT, EMK_E_UNSUPPORTED, EMK_E_SIGNATURE, EMK_E_SEALED, EMK_E_NO_MEMORY, what the
 * source and the key holder say. */
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

/* The same with a new envelope, for another key of this device: re-wrap. */
emk_status emk_vault_rewrap(emk_vault *v, const emk_sink *file, const emk_agree_key *to,
                            emk_error *e) EMK_MUST_CHECK;

/* Decrypts the whole model into out (model_len bytes of private memory that nobody reads yet).
 * EMK_E_SEALED when a tag does not fit; then out is wiped. */
emk_status emk_vault_read_all(emk_vault *v, uint8_t *out, unsigned threads,
                              const emk_progress *progress, emk_error *e) EMK_MUST_CHECK;

/* Decrypts a part of the model.  Every segment it touches is verified whole. */
emk_status emk_vault_read(emk_vault *v, uint64_t off, uint8_t *out, size_t len,
                          emk_error *e) EMK_MUST_CHECK;

/* Checks every tag, and the digests where there are any, releasing nothing. */
emk_status emk_vault_verify(emk_vault *v, unsigned threads, const emk_progress *progress,
                            emk_error *e) EMK_MUST_CHECK;

#endif
