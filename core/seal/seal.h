/* Sealing: a model and a ticket in, an .emk out.  [container 2, 5, 6]
 *
 * Two steps: emk_sealing_new makes headers, envelopes and keys and so knows the exact length;
 * emk_sealing_write (public: <earmark/seal.h>) then streams both layers in bounded memory, with
 * several threads if asked, each byte of the model read once. */
#ifndef EMK_CORE_SEAL_SEAL_H
#define EMK_CORE_SEAL_SEAL_H

#include "core/seal/plan.h"

#include <earmark/seal.h>

/* All borrowed for the call, plan and model until the sealing is freed. */
typedef struct emk_seal_in {
    const emk_source *model;
    const emk_plan *plan;
    const emk_signer *signer;
    emk_span certificate; /* of the signer; empty: the signer is the issuer */
    /* from the ticket */
    uint8_t ticket_id[EMK_ID_LEN];
    uint8_t ticket_hash[EMK_HASH_LEN];
    uint8_t request_hash[EMK_HASH_LEN];
    emk_span policy;
    emk_span identity;
    emk_span lease_key; /* empty: it needs no lease */
    emk_agree_key device_key;
    emk_agree_key request_key;
    uint64_t now;
    bool chacha; /* ChaCha20-Poly1305 for the bytes, for devices without AES instructions */
} emk_seal_in;

/* EMK_E_USAGE for a plan that does not fit the model, EMK_E_UNSUPPORTED, EMK_E_FORMAT (a bad
 * key or policy), EMK_E_LIMIT, EMK_E_CRYPTO, EMK_E_NO_MEMORY, what the signer says. */
emk_status emk_sealing_new(const emk_crypto *c, const emk_seal_in *in, emk_sealing **out,
                           emk_error *e) EMK_MUST_CHECK;

/* Bytes of the finished .emk. */
uint64_t emk_sealing_len(const emk_sealing *s);
/* The weights layer's file id, 16 bytes, lent: for receipts and logs. */
const uint8_t *emk_sealing_file_id(const emk_sealing *s);

#endif
