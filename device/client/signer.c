#include "device/client/signer.h"

static emk_status sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    return emk_keystore_sign(self, msg, sig, e);
}

emk_status emk_keystore_signer(const emk_crypto *c, const emk_keystore *ks, emk_signer *out,
                               emk_error *e)
{
    emk_keystore_keys keys;
    emk_status st;

    st = emk_keystore_public_keys(ks, &keys, e);
    if (st != EMK_OK)
        return st;
    /* The signer hands ks back to sign, which changes nothing in it. */
    return emk_signer_from_fn(c, emk_span_of(keys.signing, sizeof keys.signing), sign,
                              (void *)(uintptr_t)ks, out, e);
}
