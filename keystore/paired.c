#include "keystore/paired.h"

#include "core/base/alloc.h"

typedef struct paired {
    emk_keystore keys;
    emk_keystore memory;
    emk_keystore_ops ops; /* with the flags and the name of `keys` */
} paired;

static const char *paired_describe(void *self)
{
    const paired *p = self;

    return emk_keystore_describe(&p->keys);
}

static emk_status paired_public_keys(void *self, uint8_t signing[65], uint8_t agreement[65],
                                     emk_error *e)
{
    const paired *p = self;

    return p->keys.ops->public_keys(p->keys.self, signing, agreement, e);
}

static emk_status paired_sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    const paired *p = self;

    return p->keys.ops->sign(p->keys.self, msg, sig, e);
}

static emk_status paired_agree(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    const paired *p = self;

    return p->keys.ops->agree(p->keys.self, peer, x, e);
}

static emk_status paired_counter_get(void *self, const uint8_t id[16], uint64_t *value,
                                     emk_error *e)
{
    const paired *p = self;

    return emk_keystore_counter_get(&p->memory, id, value, e);
}

static emk_status paired_counter_set(void *self, const uint8_t id[16], uint64_t value, emk_error *e)
{
    const paired *p = self;

    return emk_keystore_counter_set(&p->memory, id, value, e);
}

static emk_status paired_secret_put(void *self, const uint8_t id[16], emk_span secret, emk_error *e)
{
    const paired *p = self;

    return emk_keystore_secret_put(&p->memory, id, secret, e);
}

static emk_status paired_secret_get(void *self, const uint8_t id[16], uint8_t *out, size_t *len,
                                    emk_error *e)
{
    const paired *p = self;

    return emk_keystore_secret_get(&p->memory, id, out, len, e);
}

static emk_status paired_secret_delete(void *self, const uint8_t id[16], emk_error *e)
{
    const paired *p = self;

    return emk_keystore_secret_delete(&p->memory, id, e);
}

static void paired_close(void *self)
{
    paired *p = self;

    emk_keystore_close(&p->keys);
    emk_keystore_close(&p->memory);
    emk_free(p);
}

static const emk_keystore_ops paired_ops = {
    .size = sizeof paired_ops,
    .describe = paired_describe,
    .public_keys = paired_public_keys,
    .sign = paired_sign,
    .agree = paired_agree,
    .ml_kem_seed = NULL,
    .counter_get = paired_counter_get,
    .counter_set = paired_counter_set,
    .secret_put = paired_secret_put,
    .secret_get = paired_secret_get,
    .secret_delete = paired_secret_delete,
    .close = paired_close,
};

emk_status emk_keystore_paired_new(emk_keystore *keys, emk_keystore *memory, emk_keystore *out,
                                   emk_error *e)
{
    paired *p;

    if (!emk_keystore_has_secrets(memory) || !emk_keystore_has_counters(memory))
        return emk_fail(e, EMK_E_USAGE, "keystore: the second holder keeps nothing", 0);
    p = emk_alloc(1, sizeof *p);
    if (!p)
        return emk_fail(e, EMK_E_NO_MEMORY, "keystore: no memory", sizeof *p);
    p->keys = *keys;
    p->memory = *memory;
    p->ops = paired_ops;
    p->ops.name = emk_keystore_name(keys);
    p->ops.flags = keys->ops->flags & EMK_KEYSTORE_IS_HARDWARE;
    *keys = (emk_keystore){0};
    *memory = (emk_keystore){0};
    *out = (emk_keystore){.ops = &p->ops, .self = p};
    return EMK_OK;
}
