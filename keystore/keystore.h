/* Calls to a key holder, with the arguments checked once.  The table that a holder fills in,
 * and what one can ask about a holder, are public: <earmark/keystore.h>.
 *
 * All calls: EMK_E_USAGE for arguments out of their limits or a table without what every
 * holder needs, EMK_E_UNSUPPORTED for an ability that is absent, EMK_E_KEY_LOST when the
 * device's keys are gone, else what the holder says. */
#ifndef EMK_KEYSTORE_KEYSTORE_H
#define EMK_KEYSTORE_KEYSTORE_H

#include "core/base/span.h"
#include "core/base/status.h"
#include "core/crypto/kem.h"

#include <earmark/keystore.h>

typedef struct emk_keystore_keys {
    uint8_t signing[EMK_KEYSTORE_PUBLIC_LEN];
    uint8_t agreement[EMK_KEYSTORE_PUBLIC_LEN]; /* the P-256 half */
} emk_keystore_keys;

emk_status emk_keystore_public_keys(const emk_keystore *ks, emk_keystore_keys *out,
                                    emk_error *e) EMK_MUST_CHECK;
emk_status emk_keystore_sign(const emk_keystore *ks, emk_span msg,
                             uint8_t sig[EMK_KEYSTORE_SIG_LEN], emk_error *e) EMK_MUST_CHECK;
/* EMK_E_FORMAT for a peer that is not on the curve: checked here, because firmware that
 * computes with such a point gives its key away. */
emk_status emk_keystore_agree(const emk_crypto *c, const emk_keystore *ks,
                              const uint8_t peer[EMK_KEYSTORE_PUBLIC_LEN],
                              uint8_t x[EMK_KEYSTORE_SHARED_LEN], emk_error *e) EMK_MUST_CHECK;

emk_status emk_keystore_counter_get(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                    uint64_t *value, emk_error *e) EMK_MUST_CHECK;
emk_status emk_keystore_counter_set(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                    uint64_t value, emk_error *e) EMK_MUST_CHECK;

emk_status emk_keystore_secret_put(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                   emk_span secret, emk_error *e) EMK_MUST_CHECK;
emk_status emk_keystore_secret_get(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                   uint8_t out[EMK_KEYSTORE_SECRET_MAX], size_t *len,
                                   emk_error *e) EMK_MUST_CHECK;
emk_status emk_keystore_secret_delete(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                      emk_error *e) EMK_MUST_CHECK;

/* Gives the agreement key for HPKE: EMK_KEM_MLKEM768_P256 when the holder has a seed, else
 * EMK_KEM_P256.  Free with emk_kem_private_free.  Keeps c and ks, which must outlive it.
 * EMK_E_UNSUPPORTED when there is a seed and libcrypto has no ML-KEM. */
emk_status emk_keystore_kem_private(const emk_crypto *c, const emk_keystore *ks,
                                    emk_kem_private **out, emk_error *e) EMK_MUST_CHECK;

#endif
