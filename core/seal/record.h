/* The local record: what a device writes beside a model it keeps.  [container 7.2 - 7.4] */
#ifndef EMK_CORE_SEAL_RECORD_H
#define EMK_CORE_SEAL_RECORD_H

#include "core/seal/layout.h"
#include "core/seal/vault.h"

#define EMK_RECORD_ENVELOPE_MAX 3968u
#define EMK_RECORD_LEASED_MAX   3920u /* both envelopes of a leased record */

/* A slot as it stands in the file; spans point into its bytes.  Nothing is verified. */
typedef struct emk_slot {
    emk_record record;
    emk_span envelope; /* a leased record may have none: it sleeps */
    bool leased;
    emk_span sleeping;  /* leased: the envelope that needs the lease secret */
    const uint8_t *sum; /* leased: EMK_HASH_LEN bytes, over sum_input */
    emk_span sum_input;
    const uint8_t *commit; /* EMK_COMMIT_LEN bytes */
    emk_span mac_input;
    const uint8_t *mac; /* 32 bytes */
} emk_slot;

/* EMK_E_FORMAT for what is not a record (also: an empty slot). */
emk_status emk_slot_parse(const uint8_t bytes[EMK_VAULT_SLOT_LEN], emk_slot *out,
                          emk_error *e) EMK_MUST_CHECK;

/* EMK_E_FORMAT for a leased record that was torn: its MAC needs a key that is not there while it
 * sleeps, so it has a sum as well, which proves nothing else. */
emk_status emk_slot_check(const emk_crypto *c, const emk_slot *slot, emk_error *e) EMK_MUST_CHECK;

/* Fills a slot, MAC and all. */
emk_status emk_slot_make(const emk_schedule *s, const emk_record *record, emk_span envelope,
                         uint8_t bytes[EMK_VAULT_SLOT_LEN], emk_error *e) EMK_MUST_CHECK;

/* The same for a model under a lease; `envelope` may be empty. */
typedef struct emk_envelopes {
    emk_span envelope;
    emk_span sleeping;
} emk_envelopes;
emk_status emk_slot_make_leased(const emk_schedule *s, const emk_record *record,
                                const emk_envelopes *envelopes, uint8_t bytes[EMK_VAULT_SLOT_LEN],
                                emk_error *e) EMK_MUST_CHECK;

/* vhh, what vault keys are bound to.  [container 7.2] */
emk_status emk_vault_hash(const emk_crypto *c, const uint8_t hh[EMK_HASH_LEN],
                          const uint8_t vault_id[EMK_ID_LEN], uint8_t vhh[EMK_HASH_LEN],
                          emk_error *e) EMK_MUST_CHECK;

/* `extra` of a local envelope.  [container 7.4] */
emk_status emk_local_extra(const emk_crypto *c, const uint8_t core_hash[EMK_HASH_LEN],
                           const uint8_t vault_id[EMK_ID_LEN], uint8_t extra[EMK_HASH_LEN],
                           emk_error *e) EMK_MUST_CHECK;

/* The same bound to a guard as well: EMK_HASH_LEN bytes that only a guard which is content gives;
 * NULL: not bound. */
emk_status emk_local_extra_bound(const emk_crypto *c, const uint8_t *core_hash,
                                 const uint8_t *vault_id, const uint8_t *binding,
                                 uint8_t extra[EMK_HASH_LEN], emk_error *e) EMK_MUST_CHECK;

/* Writes an envelope for cek to w, bound to this header and vault.  EMK_E_UNSUPPORTED for a KEM
 * that no device's own key has [container 7.4], else as emk_recipient_wrap. */
typedef struct emk_local_envelope {
    const emk_header *header;
    const uint8_t *vault_id;
    emk_agree_key to;
    const uint8_t *cek;
    bool sleeping;          /* to be opened with the lease secret; the header has a lease key */
    const uint8_t *binding; /* of the guard, EMK_HASH_LEN bytes; NULL: none */
} emk_local_envelope;
emk_status emk_local_wrap(const emk_crypto *c, const emk_local_envelope *in, emk_writer *w,
                          emk_error *e) EMK_MUST_CHECK;

/* Zeros into [from, to). */
emk_status emk_vault_zeros(const emk_sink *out, uint64_t from, uint64_t to,
                           emk_error *e) EMK_MUST_CHECK;

#endif
