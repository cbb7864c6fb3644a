/* A device's signing key, in whatever holder, as somebody who signs messages. */
#ifndef EMK_DEVICE_CLIENT_SIGNER_H
#define EMK_DEVICE_CLIENT_SIGNER_H

#include "core/seal/cose.h"
#include "keystore/keystore.h"

/* Fills *out.  Keeps ks.  EMK_E_KEY_LOST and what the holder says, EMK_E_CRYPTO. */
emk_status emk_keystore_signer(const emk_crypto *c, const emk_keystore *ks, emk_signer *out,
                               emk_error *e) EMK_MUST_CHECK;

#endif
