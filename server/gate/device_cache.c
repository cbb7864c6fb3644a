#include "server/gate/device_cache.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_thread.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"

#include <stdio.h>

#define WAYS      4u
#define SHARDS    16u
#define SETS_MAX  (1u << 20)
#define NS        UINT64_C(1000000000)
#define COORD_LEN 32u

/* The first bytes of an id choose its set and with it the shard. */
typedef struct shard {
    emk_lock *lock;     /* for its sets, the references, and: */
    uint64_t forgotten; /* raised by each forget: what was being looked up meanwhile is not kept */
} shard;

struct emk_device_cache {
    const emk_crypto *crypto;
    emk_known *known;
    emk_gate_directory directory;
    shard shards[SHARDS];
    emk_known_device **slots;
    uint64_t n_sets;
    uint64_t life_ns;
};

emk_status emk_device_cache_new(const emk_device_cache_config *config, emk_device_cache **out,
                                emk_error *e)
{
    const uint32_t n = config->n;
    emk_device_cache *d;
    emk_status st = EMK_OK;

    if (n == 0 || n > SETS_MAX * WAYS)
        return emk_fail(e, EMK_E_LIMIT, "device cache: size", n);
    d = emk_alloc(1, sizeof *d);
    if (!d)
        return emk_fail(e, EMK_E_NO_MEMORY, "device cache: memory", sizeof *d);
    d->crypto = config->crypto;
    d->known = config->known;
    d->directory = config->directory;
    d->life_ns = config->life_s * NS;
    d->n_sets = (n + WAYS - 1) / WAYS;
    d->slots = emk_alloc(d->n_sets * WAYS, sizeof(emk_known_device *));
    if (!d->slots)
        st = emk_fail(e, EMK_E_NO_MEMORY, "device cache: memory", n);
    for (size_t i = 0; i < SHARDS && st == EMK_OK; i++)
        st = emk_lock_new(&d->shards[i].lock, e);
    if (st != EMK_OK) {
        emk_device_cache_free(d);
        return st;
    }
    *out = d;
    return EMK_OK;
}

static void device_free(emk_device_cache *d, emk_known_device *k)
{
    if (!k)
        return;
    emk_known_give(d->known, k->lent);
    emk_free(k);
}

void emk_device_cache_free(emk_device_cache *d)
{
    if (!d)
        return;
    for (uint64_t i = 0; d->slots && i < d->n_sets * WAYS; i++)
        device_free(d, d->slots[i]);
    for (size_t i = 0; i < SHARDS; i++)
        emk_lock_free(d->shards[i].lock);
    emk_free(d->slots);
    emk_free(d);
}

static emk_known_device **set_of(emk_device_cache *d, const uint8_t *id, shard **out)
{
    uint64_t set = emk_load_u64be(id) % d->n_sets;

    *out = &d->shards[set % SHARDS];
    return &d->slots[set * WAYS];
}

/* The shard's lock is held; what comes back is to be freed without it. */
static emk_known_device *drop(emk_known_device *k)
{
    if (!k)
        return NULL;
    k->refs--;
    return k->refs == 0 ? k : NULL;
}

/* The lock is held. */
static emk_known_device **find(emk_known_device **set, const uint8_t *id)
{
    for (size_t i = 0; i < WAYS; i++)
        if (set[i] && memcmp(set[i]->id, id, EMK_GATE_DEVICE_ID_LEN) == 0)
            return &set[i];
    return NULL;
}

/* The lock is held.  Its own place, an empty one, or the one that is over first. */
static emk_known_device **place(emk_known_device **set, const uint8_t *id)
{
    emk_known_device **own = find(set, id);
    emk_known_device **best = &set[0];

    for (size_t i = 0; i < WAYS && !own; i++) {
        if (!set[i])
            return &set[i];
        if (set[i]->until_ns < (*best)->until_ns)
            best = &set[i];
    }
    return own ? own : best;
}

static emk_status jwk_write(emk_sign_alg alg, const uint8_t *pub, char *out, size_t cap,
                            emk_error *e)
{
    char x[EMK_BASE64URL_CHARS(COORD_LEN) + 1], y[EMK_BASE64URL_CHARS(COORD_LEN) + 1];
    bool ed = alg == EMK_SIGN_ED25519;
    const uint8_t *first = ed ? pub : pub + 1;
    size_t len;
    emk_status st;

    st = emk_base64url_encode(emk_span_of(first, COORD_LEN), x, sizeof x, &len, e);
    if (st == EMK_OK && !ed)
        st = emk_base64url_encode(emk_span_of(first + COORD_LEN, COORD_LEN), y, sizeof y, &len, e);
    if (st != EMK_OK)
        return st;
    if (ed)
        (void)snprintf(out, cap, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
    else
        (void)snprintf(out, cap, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x,
                       y);
    return EMK_OK;
}

emk_status emk_signing_key_thumbprint(const emk_crypto *c, emk_sign_alg alg, const uint8_t *pub,
                                      uint8_t out[32], emk_error *e)
{
    char json[192];
    emk_span part;
    emk_status st;

    st = jwk_write(alg, pub, json, sizeof json, e);
    if (st != EMK_OK)
        return st;
    part = emk_span_str(json);
    return emk_sha256(c, &part, 1, out, e);
}

static emk_status load(emk_device_cache *d, const uint8_t *id, emk_known_device *k, emk_error *e)
{
    const emk_gate_directory *dir = &d->directory;
    emk_span pub;
    emk_status st;

    if (!dir->ops->device)
        return emk_fail(e, EMK_E_NOT_FOUND, "device: no directory", 0);
    st = dir->ops->device(dir->self, id, &k->record, e);
    if (st != EMK_OK)
        return st;
    pub = emk_span_of(k->record.signing_key, emk_sign_public_len(k->record.alg));
    st = emk_known_lend(d->known, k->record.alg, pub, &k->lent, NULL);
    if (st != EMK_OK && st != EMK_E_NO_MEMORY)
        return emk_fail(e, EMK_E_CRYPTO, "device: its record has no key", 0);
    if (st != EMK_OK)
        return emk_fail(e, st, "device: memory", 0);
    k->key = emk_known_verifies(k->lent);
    return emk_signing_key_thumbprint(d->crypto, k->record.alg, k->record.signing_key, k->jkt, e);
}

static emk_status look_up(emk_device_cache *d, const uint8_t *id, emk_known_device **out,
                          emk_error *e)
{
    emk_known_device *k = emk_alloc(1, sizeof *k);
    emk_status st;

    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "device: memory", sizeof *k);
    memcpy(k->id, id, sizeof k->id);
    st = load(d, id, k, e);
    if (st != EMK_OK) {
        device_free(d, k);
        return st;
    }
    k->refs = 1;
    *out = k;
    return EMK_OK;
}

/* Found and fresh; fills *forgotten for a look-up that must follow. */
static emk_known_device *borrow(emk_device_cache *d, const uint8_t *id, uint64_t now_ns,
                                uint64_t *forgotten)
{
    shard *s;
    emk_known_device **set = set_of(d, id, &s), **own, *k = NULL;

    emk_lock_take(s->lock);
    *forgotten = s->forgotten;
    own = find(set, id);
    if (own && now_ns < (*own)->until_ns) {
        k = *own;
        k->refs++;
    }
    emk_lock_give(s->lock);
    return k;
}

static void keep(emk_device_cache *d, emk_known_device *k, uint64_t forgotten)
{
    shard *s;
    emk_known_device **set = set_of(d, k->id, &s), **at, *old = NULL;

    emk_lock_take(s->lock);
    if (s->forgotten == forgotten) {
        at = place(set, k->id);
        old = drop(*at);
        k->refs++;
        *at = k;
    }
    emk_lock_give(s->lock);
    device_free(d, old);
}

emk_status emk_device_cache_get(emk_device_cache *d, const uint8_t id[EMK_GATE_DEVICE_ID_LEN],
                                uint64_t now_ns, emk_known_device **out, emk_error *e)
{
    uint64_t forgotten;
    emk_known_device *k = borrow(d, id, now_ns, &forgotten);
    emk_status st;

    if (!k) {
        st = look_up(d, id, &k, e);
        if (st != EMK_OK)
            return st;
        k->until_ns = now_ns + d->life_ns;
        if (d->life_ns > 0)
            keep(d, k, forgotten);
    }
    *out = k;
    return EMK_OK;
}

void emk_device_cache_give(emk_device_cache *d, emk_known_device *k)
{
    shard *s;

    if (!k)
        return;
    (void)set_of(d, k->id, &s);
    emk_lock_take(s->lock);
    k = drop(k);
    emk_lock_give(s->lock);
    device_free(d, k);
}

void emk_device_cache_forget(emk_device_cache *d, const uint8_t id[EMK_GATE_DEVICE_ID_LEN])
{
    shard *s;
    emk_known_device **set = set_of(d, id, &s), **own, *old = NULL;

    emk_lock_take(s->lock);
    s->forgotten++;
    own = find(set, id);
    if (own) {
        old = drop(*own);
        *own = NULL;
    }
    emk_lock_give(s->lock);
    device_free(d, old);
}
