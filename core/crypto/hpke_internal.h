/* For tests and published vectors only: encapsulation without randomness, and a look at the
 * key schedule.  Nothing outside this folder and the tests may include it: an ephemeral key
 * used twice gives everything away. */
#ifndef EMK_CORE_CRYPTO_HPKE_INTERNAL_H
#define EMK_CORE_CRYPTO_HPKE_INTERNAL_H

#include "core/crypto/hpke.h"

/* emk_kem_encap with its random input given:
 *   P-256, X25519     the ephemeral private key (skEm, 32 bytes; from ikmE by emk_kem_derive)
 *   ML-KEM-768        m (32)
 *   X-Wing            m || ephemeral X25519 private key (64)
 *   MLKEM768-P256     m || one to four 32-byte candidates for the scalar (64..160)
 * EMK_E_USAGE for another length; otherwise as emk_kem_encap. */
emk_status emk_kem_encap_fixed(const emk_crypto *c, uint16_t kem, emk_span pub, emk_span fixed,
                               uint8_t *enc, uint8_t secret[32], emk_error *e) EMK_MUST_CHECK;

/* emk_hpke_sender_new with the random input `fixed` of emk_kem_encap_fixed. */
emk_status emk_hpke_sender_new_fixed(const emk_crypto *c, const emk_hpke_in *in, emk_span pub,
                                     emk_span fixed, uint8_t *enc, emk_hpke **out,
                                     emk_error *e) EMK_MUST_CHECK;

/* The key schedule's results, copied out.  key_len is 0 for export-only. */
typedef struct emk_hpke_schedule {
    uint8_t key[EMK_AEAD_KEY_MAX];
    size_t key_len;
    uint8_t base_nonce[12];
    uint8_t exporter_secret[32];
} emk_hpke_schedule;
void emk_hpke_peek(const emk_hpke *h, emk_hpke_schedule *out);

/* Sets the sequence number of either side. */
void emk_hpke_force_seq(emk_hpke *h, const uint8_t seq[12]);

#endif
