/* State: a holder that is open keeps its private keys in one emk_secret and nothing else.
 * Each signature makes libcrypto's key afresh from there: that costs microseconds, and no
 * copy lies about in libcrypto's heap between calls.  Counters and secrets are read from
 * their files each time, because other processes change them; who writes holds `lock`. */
#include "keystore/soft.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/crypto/dh.h"
#include "core/crypto/random.h"
#include "core/crypto/sign.h"
#include "keystore/internal.h"

#define LOCK_FILE   "lock"
#define TEMP_MARK   ".tmp-" /* of emk_os_write_file */
#define COUNTER_LEN 8u

typedef struct soft {
    const emk_crypto *crypto;
    char *dir;
    emk_secret *keys;
    bool by_passphrase;
    emk_keystore_keys public_keys;
} soft;

static const uint8_t *key_at(const soft *s, size_t at)
{
    return emk_secret_span(s->keys).p + at;
}

static emk_status lock_dir(const char *dir, bool wait, int *fd, emk_error *e)
{
    char path[EMK_SOFT_PATH_MAX];
    emk_status st = emk_os_join(path, sizeof path, dir, LOCK_FILE, "", e);

    if (st != EMK_OK)
        return st;
    return emk_os_lock_file(path, wait, fd, e);
}

static emk_soft_entry entry_of(const soft *s, emk_soft_kind kind, const uint8_t *id)
{
    return (emk_soft_entry){.crypto = s->crypto,
                            .dir = s->dir,
                            .store = key_at(s, EMK_SOFT_STORE_AT),
                            .kind = kind,
                            .id = id};
}

static const char *soft_describe(void *self)
{
    const soft *s = self;

    if (s->by_passphrase)
        return "software keys in a file under a passphrase (not hardware)";
    return "software keys in a file protected by its permissions only (not hardware)";
}

static emk_status soft_public_keys(void *self, uint8_t signing[65], uint8_t agreement[65],
                                   emk_error *e)
{
    const soft *s = self;

    (void)e;
    memcpy(signing, s->public_keys.signing, 65);
    memcpy(agreement, s->public_keys.agreement, 65);
    return EMK_OK;
}

static emk_status soft_sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    const soft *s = self;
    emk_span raw = emk_span_of(key_at(s, EMK_SOFT_SIGNING_AT), EMK_SOFT_KEY_LEN);
    emk_sign_key *key = NULL;
    emk_status st;

    st = emk_sign_key_new(s->crypto, EMK_SIGN_ES256, raw, &key, e);
    if (st != EMK_OK)
        return st;
    st = emk_sign_make(key, msg, sig, e);
    emk_sign_key_free(key);
    return st;
}

static emk_status soft_agree(void *self, const uint8_t peer[65], uint8_t x[32], emk_error *e)
{
    const soft *s = self;

    return emk_dh_p256(s->crypto, key_at(s, EMK_SOFT_AGREEMENT_AT), peer, x, e);
}

static emk_status soft_ml_kem_seed(void *self, uint8_t seed[64], emk_error *e)
{
    const soft *s = self;

    if (emk_secret_len(s->keys) != EMK_SOFT_PAYLOAD_MAX)
        return emk_fail(e, EMK_E_NOT_FOUND, "keystore: keys have no post-quantum half", 0);
    memcpy(seed, key_at(s, EMK_SOFT_SEED_AT), EMK_KEYSTORE_SEED_LEN);
    return EMK_OK;
}

static emk_status soft_counter_get(void *self, const uint8_t id[16], uint64_t *value, emk_error *e)
{
    const emk_soft_entry x = entry_of(self, EMK_SOFT_COUNTER, id);
    uint8_t bytes[EMK_KEYSTORE_SECRET_MAX];
    size_t len = 0;
    emk_status st;

    st = emk_soft_entry_read(&x, bytes, &len, e);
    if (st != EMK_OK && st != EMK_E_NOT_FOUND)
        return st;
    if (st == EMK_OK && len != COUNTER_LEN)
        return emk_fail(e, EMK_E_SEALED, "keystore: a counter or secret is damaged", len);
    *value = st == EMK_OK ? emk_load_u64be(bytes) : 0;
    return EMK_OK;
}

static emk_status raise_counter(soft *s, const uint8_t *id, uint64_t value, emk_error *e)
{
    const emk_soft_entry x = entry_of(s, EMK_SOFT_COUNTER, id);
    uint8_t bytes[COUNTER_LEN];
    uint64_t now = 0;
    emk_status st;

    st = soft_counter_get(s, id, &now, e);
    if (st != EMK_OK)
        return st;
    if (value < now)
        return emk_fail(e, EMK_E_STALE, "keystore: a counter only goes up", now);
    if (value == now)
        return EMK_OK;
    emk_store_u64be(bytes, value);
    return emk_soft_entry_write(&x, emk_span_of(bytes, sizeof bytes), e);
}

static emk_status soft_counter_set(void *self, const uint8_t id[16], uint64_t value, emk_error *e)
{
    soft *s = self;
    emk_status st;
    int lock;

    st = lock_dir(s->dir, true, &lock, e);
    if (st != EMK_OK)
        return st;
    st = raise_counter(s, id, value, e);
    emk_os_close(lock);
    return st;
}

static emk_status soft_secret_put(void *self, const uint8_t id[16], emk_span secret, emk_error *e)
{
    soft *s = self;
    const emk_soft_entry x = entry_of(s, EMK_SOFT_SECRET, id);
    emk_status st;
    int lock;

    st = lock_dir(s->dir, true, &lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_soft_entry_write(&x, secret, e);
    emk_os_close(lock);
    return st;
}

static emk_status soft_secret_get(void *self, const uint8_t id[16], uint8_t *out, size_t *len,
                                  emk_error *e)
{
    const emk_soft_entry x = entry_of(self, EMK_SOFT_SECRET, id);

    return emk_soft_entry_read(&x, out, len, e);
}

static emk_status soft_secret_delete(void *self, const uint8_t id[16], emk_error *e)
{
    soft *s = self;
    const emk_soft_entry x = entry_of(s, EMK_SOFT_SECRET, id);
    emk_status st;
    int lock;

    st = lock_dir(s->dir, true, &lock, e);
    if (st != EMK_OK)
        return st;
    st = emk_soft_entry_delete(&x, e);
    emk_os_close(lock);
    return st;
}

static void soft_close(void *self)
{
    soft *s = self;

    if (!s)
        return;
    emk_secret_free(s->keys);
    emk_free(s->dir);
    emk_free(s);
}

static emk_status check_options(const emk_crypto *c, const emk_keystore_soft_options *o,
                                emk_error *e)
{
    if (o->passphrase.len > EMK_KEYSTORE_PASSPHRASE_MAX)
        return emk_fail(e, EMK_E_USAGE, "keys: passphrase is too long", o->passphrase.len);
    if (o->post_quantum && !emk_crypto_has(c, EMK_CRYPTO_ML_KEM_768))
        return emk_fail(e, EMK_E_UNSUPPORTED, "keys: libcrypto has no ML-KEM", 0);
    return EMK_OK;
}

static emk_status generate(const emk_crypto *c, bool post_quantum, emk_secret **out, emk_error *e)
{
    uint8_t pub[EMK_P256_PUBLIC_LEN];
    emk_secret *s = NULL;
    uint8_t *p;
    emk_status st;

    st = emk_secret_new(post_quantum ? EMK_SOFT_PAYLOAD_MAX : EMK_SOFT_PAYLOAD_LEN, &s, e);
    if (st != EMK_OK)
        return st;
    p = emk_secret_bytes(s);
    st = emk_p256_generate(c, p + EMK_SOFT_SIGNING_AT, pub, e);
    if (st == EMK_OK)
        st = emk_p256_generate(c, p + EMK_SOFT_AGREEMENT_AT, pub, e);
    if (st == EMK_OK)
        st = emk_random_secret(c, p + EMK_SOFT_STORE_AT, emk_secret_len(s) - EMK_SOFT_STORE_AT, e);
    if (st != EMK_OK) {
        emk_secret_free(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

/* With the directory locked: no other process can make keys at the same time. */
static emk_status create_locked(const emk_crypto *c, const char *dir,
                                const emk_keystore_soft_options *options, emk_error *e)
{
    char path[EMK_SOFT_PATH_MAX];
    emk_secret *payload = NULL;
    emk_status st;
    int fd;

    st = emk_os_join(path, sizeof path, dir, EMK_SOFT_KEYS_FILE, "", e);
    if (st != EMK_OK)
        return st;
    st = emk_os_open_read(path, &fd, e);
    if (st == EMK_OK) {
        emk_os_close(fd);
        return emk_fail(e, EMK_E_USED, "keys: there are keys in this directory already", 0);
    }
    if (st != EMK_E_NOT_FOUND)
        return st;
    st = generate(c, options->post_quantum, &payload, e);
    if (st != EMK_OK)
        return st;
    st = emk_soft_keys_write(c, dir, options, emk_secret_span(payload), e);
    emk_secret_free(payload);
    return st;
}

emk_status emk_keystore_soft_create(const emk_crypto *c, const char *dir,
                                    const emk_keystore_soft_options *options, emk_error *e)
{
    emk_status st;
    int lock;

    st = check_options(c, options, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_make_dir(dir, e);
    if (st != EMK_OK)
        return st;
    st = lock_dir(dir, true, &lock, e);
    if (st != EMK_OK)
        return st;
    st = create_locked(c, dir, options, e);
    emk_os_close(lock);
    return st;
}

static emk_status remove_leftover(void *self, const char *name, emk_error *e)
{
    char path[EMK_SOFT_PATH_MAX];
    const char *dir = self;

    if (!strstr(name, TEMP_MARK))
        return EMK_OK;
    if (emk_os_join(path, sizeof path, dir, name, "", e) != EMK_OK)
        return EMK_OK;
    return emk_os_remove(path, e);
}

/* Files of a process that was killed while it wrote.  Who writes holds the lock, so what is
 * there while we hold it belongs to nobody.  Best effort: opening must not depend on it. */
static void sweep(const soft *s)
{
    emk_status st;
    int lock;

    if (lock_dir(s->dir, false, &lock, NULL) != EMK_OK)
        return;
    st = emk_os_list_dir(s->dir, remove_leftover, s->dir, NULL);
    (void)st;
    emk_os_close(lock);
}

static emk_status load(soft *s, emk_span passphrase, emk_error *e)
{
    emk_status st;

    st = emk_soft_keys_read(s->crypto, s->dir, passphrase, &s->keys, &s->by_passphrase, e);
    if (st != EMK_OK)
        return st;
    st = emk_p256_public(s->crypto, key_at(s, EMK_SOFT_SIGNING_AT), s->public_keys.signing, e);
    if (st == EMK_OK)
        st = emk_p256_public(s->crypto, key_at(s, EMK_SOFT_AGREEMENT_AT), s->public_keys.agreement,
                             e);
    if (st == EMK_E_FORMAT)
        return emk_fail(e, EMK_E_SEALED, "keys: wrong passphrase, or damaged", 0);
    return st;
}

static const emk_keystore_ops ops = {
    .size = sizeof ops,
    .flags = 0, /* neither keys nor counters are in hardware */
    .name = EMK_KEYSTORE_SOFT_NAME,
    .describe = soft_describe,
    .public_keys = soft_public_keys,
    .sign = soft_sign,
    .agree = soft_agree,
    .ml_kem_seed = soft_ml_kem_seed,
    .counter_get = soft_counter_get,
    .counter_set = soft_counter_set,
    .secret_put = soft_secret_put,
    .secret_get = soft_secret_get,
    .secret_delete = soft_secret_delete,
    .close = soft_close,
};

emk_status emk_keystore_soft_open(const emk_crypto *c, const char *dir, emk_span passphrase,
                                  emk_keystore *out, emk_error *e)
{
    emk_status st = EMK_OK;
    soft *s;

    if (passphrase.len > EMK_KEYSTORE_PASSPHRASE_MAX)
        return emk_fail(e, EMK_E_USAGE, "keys: passphrase is too long", passphrase.len);
    s = emk_alloc(1, sizeof *s);
    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "keystore: no memory", sizeof *s);
    s->crypto = c;
    s->dir = emk_strdup(dir);
    if (!s->dir)
        st = emk_fail(e, EMK_E_NO_MEMORY, "keystore: no memory", 0);
    if (st == EMK_OK)
        st = load(s, passphrase, e);
    if (st != EMK_OK) {
        soft_close(s);
        return st;
    }
    sweep(s);
    *out = (emk_keystore){.ops = &ops, .self = s};
    return EMK_OK;
}
