#include "keystore/keystore.h"

#include "core/base/secret.h"
#include "core/crypto/dh.h"

/* Whether the writer's table reaches as far as this entry, and has it. */
#define HAS(ks, entry)                                                                  \
    ((ks)->ops->size >= offsetof(emk_keystore_ops, entry) + sizeof((ks)->ops->entry) && \
     (ks)->ops->entry)

emk_status emk_keystore_check(const emk_keystore *ks, emk_error *e)
{
    if (!ks || !ks->ops)
        return emk_fail(e, EMK_E_USAGE, "keystore: no table", 0);
    if (!HAS(ks, name) || !HAS(ks, public_keys) || !HAS(ks, sign) || !HAS(ks, agree))
        return emk_fail(e, EMK_E_USAGE, "keystore: table lacks what every holder needs",
                        ks->ops->size);
    if (!HAS(ks, counter_get) != !HAS(ks, counter_set))
        return emk_fail(e, EMK_E_USAGE, "keystore: table has half of the counters", 0);
    if (!HAS(ks, secret_put) != !HAS(ks, secret_get) ||
        !HAS(ks, secret_put) != !HAS(ks, secret_delete))
        return emk_fail(e, EMK_E_USAGE, "keystore: table has some of the secrets' calls", 0);
    return EMK_OK;
}

const char *emk_keystore_name(const emk_keystore *ks)
{
    return ks->ops->name;
}

const char *emk_keystore_describe(const emk_keystore *ks)
{
    return HAS(ks, describe) ? ks->ops->describe(ks->self) : ks->ops->name;
}

bool emk_keystore_is_hardware(const emk_keystore *ks)
{
    return ks->ops->flags & EMK_KEYSTORE_IS_HARDWARE;
}

bool emk_keystore_has_counters(const emk_keystore *ks)
{
    return HAS(ks, counter_get);
}

bool emk_keystore_has_secrets(const emk_keystore *ks)
{
    return HAS(ks, secret_put);
}

emk_status emk_keystore_public_keys(const emk_keystore *ks, emk_keystore_keys *out, emk_error *e)
{
    emk_keystore_keys keys = {0};
    emk_status st = ks->ops->public_keys(ks->self, keys.signing, keys.agreement, e);

    if (st == EMK_OK)
        *out = keys;
    return st;
}

emk_status emk_keystore_sign(const emk_keystore *ks, emk_span msg,
                             uint8_t sig[EMK_KEYSTORE_SIG_LEN], emk_error *e)
{
    if (msg.len > EMK_KEYSTORE_MESSAGE_MAX)
        return emk_fail(e, EMK_E_USAGE, "keystore: message to sign is too long", msg.len);
    return ks->ops->sign(ks->self, msg, sig, e);
}

emk_status emk_keystore_agree(const emk_crypto *c, const emk_keystore *ks,
                              const uint8_t peer[EMK_KEYSTORE_PUBLIC_LEN],
                              uint8_t x[EMK_KEYSTORE_SHARED_LEN], emk_error *e)
{
    emk_status st = emk_p256_check_public(c, peer, e);

    if (st != EMK_OK)
        return st;
    return ks->ops->agree(ks->self, peer, x, e);
}

emk_status emk_keystore_counter_get(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                    uint64_t *value, emk_error *e)
{
    if (!HAS(ks, counter_get))
        return emk_fail(e, EMK_E_UNSUPPORTED, "keystore: holder has no counters", 0);
    return ks->ops->counter_get(ks->self, id, value, e);
}

emk_status emk_keystore_counter_set(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                    uint64_t value, emk_error *e)
{
    if (!HAS(ks, counter_set))
        return emk_fail(e, EMK_E_UNSUPPORTED, "keystore: holder has no counters", 0);
    return ks->ops->counter_set(ks->self, id, value, e);
}

emk_status emk_keystore_secret_put(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                   emk_span secret, emk_error *e)
{
    if (!HAS(ks, secret_put))
        return emk_fail(e, EMK_E_UNSUPPORTED, "keystore: holder keeps no secrets", 0);
    if (secret.len == 0 || secret.len > EMK_KEYSTORE_SECRET_MAX)
        return emk_fail(e, EMK_E_USAGE, "keystore: length of a secret", secret.len);
    return ks->ops->secret_put(ks->self, id, secret, e);
}

emk_status emk_keystore_secret_get(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                   uint8_t out[EMK_KEYSTORE_SECRET_MAX], size_t *len, emk_error *e)
{
    if (!HAS(ks, secret_get))
        return emk_fail(e, EMK_E_UNSUPPORTED, "keystore: holder keeps no secrets", 0);
    return ks->ops->secret_get(ks->self, id, out, len, e);
}

emk_status emk_keystore_secret_delete(const emk_keystore *ks, const uint8_t id[EMK_KEYSTORE_ID_LEN],
                                      emk_error *e)
{
    if (!HAS(ks, secret_delete))
        return emk_fail(e, EMK_E_UNSUPPORTED, "keystore: holder keeps no secrets", 0);
    return ks->ops->secret_delete(ks->self, id, e);
}

/* The KEM has checked `peer` already. */
static emk_status agree_for_kem(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    const emk_keystore *ks = self;

    return ks->ops->agree(ks->self, peer, x, e);
}

emk_status emk_keystore_kem_private(const emk_crypto *c, const emk_keystore *ks,
                                    emk_kem_private **out, emk_error *e)
{
    uint8_t seed[EMK_KEYSTORE_SEED_LEN] = {0};
    emk_keystore_keys keys;
    emk_kem_hardware hw = {.dh = agree_for_kem, .public_key = {keys.agreement, 65}};
    bool hybrid = HAS(ks, ml_kem_seed);
    emk_status st;

    hw.self = (void *)(uintptr_t)ks; /* the KEM hands it back to us, unchanged */
    st = emk_keystore_public_keys(ks, &keys, e);
    if (st != EMK_OK)
        return st;
    if (hybrid) {
        st = ks->ops->ml_kem_seed(ks->self, seed, e);
        hybrid = st == EMK_OK;
        if (st != EMK_OK && st != EMK_E_NOT_FOUND)
            goto done;
    }
    if (hybrid)
        hw.seed = emk_span_of(seed, sizeof seed);
    st =
        emk_kem_private_new_hardware(c, hybrid ? EMK_KEM_MLKEM768_P256 : EMK_KEM_P256, &hw, out, e);
done:
    emk_wipe(seed, sizeof seed);
    return st;
}

void emk_keystore_close(emk_keystore *ks)
{
    if (ks->ops && HAS(ks, close))
        ks->ops->close(ks->self);
    ks->ops = NULL;
    ks->self = NULL;
}
