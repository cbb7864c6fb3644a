#include "core/crypto/random.h"

#include "core/base/secret.h"
#include "core/crypto/internal.h"

#include <openssl/rand.h>

emk_status emk_random_secret(const emk_crypto *c, uint8_t *out, size_t len, emk_error *e)
{
    if (len == 0)
        return EMK_OK;
    if (emk_lib_hit() || RAND_priv_bytes_ex(c->lib, out, len, 0) != 1) {
        emk_wipe(out, len);
        return emk_lib_fail(e, "random: generator");
    }
    return EMK_OK;
}

emk_status emk_random_public(const emk_crypto *c, uint8_t *out, size_t len, emk_error *e)
{
    if (len == 0)
        return EMK_OK;
    if (emk_lib_hit() || RAND_bytes_ex(c->lib, out, len, 0) != 1) {
        emk_wipe(out, len);
        return emk_lib_fail(e, "random: generator");
    }
    return EMK_OK;
}
