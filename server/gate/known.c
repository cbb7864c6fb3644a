#include "server/gate/known.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_thread.h"
#include "core/crypto/hash.h"

#define WAYS     4u
#define SHARDS   16u
#define SETS_MAX (1u << 20)

struct emk_known_key {
    emk_verify_key *key;
    uint32_t refs; /* one for the table; under the shard's lock */
    uint8_t name[EMK_KNOWN_NAME_LEN];
};

typedef struct slot {
    uint8_t name[EMK_KNOWN_NAME_LEN];
    emk_known_key *key; /* NULL: a fact */
    uint64_t used;      /* 0: empty */
} slot;

typedef struct shard {
    emk_lock *lock;
    uint64_t uses; /* the clock of its slots */
} shard;

struct emk_known {
    const emk_crypto *crypto;
    shard shards[SHARDS];
    slot *slots;
    uint64_t n_sets;
};

static void key_free(emk_known_key *key)
{
    if (!key)
        return;
    emk_verify_key_free(key->key);
    emk_free(key);
}

emk_status emk_known_new(const emk_crypto *c, uint32_t n, emk_known **out, emk_error *e)
{
    emk_known *k;
    emk_status st = EMK_OK;

    if (n == 0 || n > SETS_MAX * WAYS)
        return emk_fail(e, EMK_E_LIMIT, "known: size", n);
    k = emk_alloc(1, sizeof *k);
    if (!k)
        return emk_fail(e, EMK_E_NO_MEMORY, "known: memory", sizeof *k);
    k->crypto = c;
    k->n_sets = (n + WAYS - 1) / WAYS;
    k->slots = emk_alloc(k->n_sets * WAYS, sizeof *k->slots);
    if (!k->slots)
        st = emk_fail(e, EMK_E_NO_MEMORY, "known: memory", n);
    for (size_t i = 0; i < SHARDS && st == EMK_OK; i++)
        st = emk_lock_new(&k->shards[i].lock, e);
    if (st != EMK_OK) {
        emk_known_free(k);
        return st;
    }
    *out = k;
    return EMK_OK;
}

void emk_known_free(emk_known *k)
{
    if (!k)
        return;
    for (uint64_t i = 0; k->slots && i < k->n_sets * WAYS; i++)
        key_free(k->slots[i].key);
    for (size_t i = 0; i < SHARDS; i++)
        emk_lock_free(k->shards[i].lock);
    emk_free(k->slots);
    emk_free(k);
}

/* Takes the lock of the set that `name` belongs to. */
static slot *enter(emk_known *k, const uint8_t *name, shard **out)
{
    uint64_t set = emk_load_u64be(name) % k->n_sets;

    *out = &k->shards[set % SHARDS];
    emk_lock_take((*out)->lock);
    return &k->slots[set * WAYS];
}

/* The lock is held. */
static slot *find(slot *set, shard *s, const uint8_t *name)
{
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].used != 0 && memcmp(set[i].name, name, sizeof set[i].name) == 0) {
            set[i].used = ++s->uses;
            return &set[i];
        }
    return NULL;
}

/* The lock is held.  Gives back what must be freed without it. */
static emk_known_key *drop(emk_known_key *key)
{
    if (!key)
        return NULL;
    key->refs--;
    return key->refs == 0 ? key : NULL;
}

/* The lock is held; `name` is not there.  Gives the key that had to go, to be freed without it. */
static emk_known_key *put(slot *set, shard *s, const uint8_t *name, emk_known_key *key)
{
    slot *best = &set[0];
    emk_known_key *old;

    for (size_t i = 1; i < WAYS; i++)
        if (set[i].used < best->used)
            best = &set[i];
    old = drop(best->key);
    memcpy(best->name, name, sizeof best->name);
    best->key = key;
    best->used = ++s->uses;
    return old;
}

bool emk_known_has(emk_known *k, const uint8_t name[EMK_KNOWN_NAME_LEN])
{
    shard *s;
    slot *set = enter(k, name, &s);
    bool found = find(set, s, name) != NULL;

    emk_lock_give(s->lock);
    return found;
}

void emk_known_keep(emk_known *k, const uint8_t name[EMK_KNOWN_NAME_LEN])
{
    shard *s;
    slot *set = enter(k, name, &s);
    emk_known_key *old = NULL;

    if (!find(set, s, name))
        old = put(set, s, name, NULL);
    emk_lock_give(s->lock);
    key_free(old);
}

static emk_status name_key(const emk_known *k, emk_sign_alg alg, emk_span pub, uint8_t name[32],
                           emk_error *e)
{
    static const char label[] = "earmark/1 known key"; /* with its zero */
    uint8_t number = (uint8_t)alg;
    emk_span parts[] = {emk_span_of(label, sizeof label), emk_span_of(&number, 1), pub};

    return emk_sha256(k->crypto, parts, sizeof parts / sizeof parts[0], name, e);
}

static emk_known_key *borrow(emk_known *k, const uint8_t *name)
{
    shard *s;
    slot *set = enter(k, name, &s), *at = find(set, s, name);
    emk_known_key *key = at ? at->key : NULL;

    if (key)
        key->refs++;
    emk_lock_give(s->lock);
    return key;
}

/* Puts a new key into the table, or drops it for the one that another thread has put meanwhile. */
static emk_known_key *add(emk_known *k, emk_known_key *made)
{
    shard *s;
    slot *set = enter(k, made->name, &s), *at = find(set, s, made->name);
    emk_known_key *key = at && at->key ? at->key : made, *gone = made;

    if (key == made)
        gone = put(set, s, made->name, made);
    key->refs++;
    emk_lock_give(s->lock);
    key_free(gone);
    return key;
}

emk_status emk_known_lend(emk_known *k, emk_sign_alg alg, emk_span pub, emk_known_key **out,
                          emk_error *e)
{
    uint8_t name[EMK_KNOWN_NAME_LEN];
    emk_known_key *key;
    emk_status st = name_key(k, alg, pub, name, e);

    if (st != EMK_OK)
        return st;
    key = borrow(k, name);
    if (!key) {
        emk_known_key *made = emk_alloc(1, sizeof *made);

        if (!made)
            return emk_fail(e, EMK_E_NO_MEMORY, "known: memory", sizeof *made);
        memcpy(made->name, name, sizeof made->name);
        made->refs = 1;
        st = emk_verify_key_new(k->crypto, alg, pub, &made->key, e);
        if (st != EMK_OK) {
            key_free(made);
            return st;
        }
        key = add(k, made);
    }
    *out = key;
    return EMK_OK;
}

const emk_verify_key *emk_known_verifies(const emk_known_key *key)
{
    return key->key;
}

void emk_known_give(emk_known *k, emk_known_key *key)
{
    shard *s;

    if (!key)
        return;
    (void)enter(k, key->name, &s);
    key = drop(key);
    emk_lock_give(s->lock);
    key_free(key);
}
