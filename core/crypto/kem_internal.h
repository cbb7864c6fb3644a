/* Encapsulation with everything that HPKE's auth modes and the tests add. */
#ifndef EMK_CORE_CRYPTO_KEM_INTERNAL_H
#define EMK_CORE_CRYPTO_KEM_INTERNAL_H

#include "core/crypto/kem.h"

typedef struct emk_kem_encap_in {
    uint16_t kem;
    emk_span pub;
    const emk_kem_private *sender; /* AuthEncap; NULL: Encap */
    const emk_span *fixed;         /* see emk_kem_encap_fixed; NULL: random */
} emk_kem_encap_in;

emk_status emk_kem_encap_full(const emk_crypto *c, const emk_kem_encap_in *in, uint8_t *enc,
                              uint8_t secret[32], emk_error *e) EMK_MUST_CHECK;

/* sender_public: AuthDecap; empty: Decap. */
emk_status emk_kem_decap_full(const emk_kem_private *k, emk_span enc, emk_span sender_public,
                              uint8_t secret[32], emk_error *e) EMK_MUST_CHECK;

/* DHKEM only: AuthEncap exists. */
bool emk_kem_has_auth(uint16_t kem);

/* What the key was made with; lent. */
const emk_crypto *emk_kem_private_crypto(const emk_kem_private *k);

#endif
