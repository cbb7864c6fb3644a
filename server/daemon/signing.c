/* The keys that sign, for handlers: a set for each rotation.  A set that another has replaced is
 * kept for a while, because a request may be at work with it; so there are only so many. */
#include "server/daemon/server.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "server/api/sealing.h"

#include <stdatomic.h>
#include <string.h>

#define SETS_MAX 256u                          /* of the last rotations */
#define KEEP_NS  (UINT64_C(3600) * 1000000000) /* longer than any request is at work */

typedef struct key_set {
    emk_keyholder_publics publics;
    emk_issuers issuers;
    uint8_t certificate[EMK_CERTIFICATE_MAX];
    size_t certificate_len;
    uint64_t made_ns;
} key_set;

struct emk_server_signing {
    emk_lock *lock; /* of changes */
    key_set *sets[SETS_MAX];
    size_t n;    /* so far; the last one is in use, and at n % SETS_MAX is room or the oldest */
    bool behind; /* the keyholder has changed them, and the new set could not be taken */
};

static void set_free(key_set *s)
{
    for (size_t i = 0; s && i < s->issuers.n; i++) {
        union {
            const emk_verify_key *in;
            emk_verify_key *out;
        } key = {s->issuers.v[i].key}; /* ours: handlers only look */

        emk_verify_key_free(key.out);
    }
    emk_free(s);
}

static emk_status parse_keys(emk_server *s, key_set *set, emk_error *e)
{
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < set->issuers.n; i++) {
        emk_issuer_key *k = &set->issuers.v[i];
        emk_verify_key *key = NULL;

        st = emk_cose_verify_key(s->crypto, emk_span_of(k->public_key, k->public_len), &key, e);
        k->key = key;
    }
    return st;
}

static void fill_set(const emk_keyholder_keys *keys, key_set *set)
{
    const emk_issuer_key *now = &keys->issuers.v[keys->issuers.n - 1];

    set->issuers = keys->issuers;
    memcpy(set->publics.issuer, now->public_key, now->public_len);
    set->publics.issuer_len = now->public_len;
    memcpy(set->publics.sealing, keys->sealing_public, keys->sealing_public_len);
    set->publics.sealing_len = keys->sealing_public_len;
    memcpy(set->certificate, keys->certificate, keys->certificate_len);
    set->certificate_len = keys->certificate_len;
    set->made_ns = emk_os_monotonic_ns();
}

static emk_span ring_key(const emk_issuers *ring, size_t i)
{
    return emk_span_of(ring->v[i].public_key, ring->v[i].public_len);
}

/* What is in use already needs no new set: a renewal that fails is tried every few seconds. */
static bool is_in_use(const emk_server_signing *g, const emk_keyholder_keys *keys)
{
    const key_set *now = g->n > 0 ? g->sets[(g->n - 1) % SETS_MAX] : NULL;

    if (!now || now->issuers.n != keys->issuers.n ||
        !emk_span_equal(emk_span_of(now->publics.sealing, now->publics.sealing_len),
                        emk_span_of(keys->sealing_public, keys->sealing_public_len)) ||
        !emk_span_equal(emk_span_of(now->certificate, now->certificate_len),
                        emk_span_of(keys->certificate, keys->certificate_len)))
        return false;
    for (size_t i = 0; i < now->issuers.n; i++)
        if (now->issuers.v[i].retired != keys->issuers.v[i].retired ||
            !emk_span_equal(ring_key(&now->issuers, i), ring_key(&keys->issuers, i)))
            return false;
    return true;
}

/* Whether there is a place for one more: an empty one, or the oldest's, when nobody can be at work
 * with that any more. */
static emk_status find_place(const emk_server_signing *g, emk_error *e)
{
    const key_set *after = g->sets[(g->n + 1) % SETS_MAX]; /* it replaced the oldest */

    if (g->n < SETS_MAX || emk_os_monotonic_ns() - after->made_ns >= KEEP_NS)
        return EMK_OK;
    return emk_fail(e, EMK_E_LIMIT, "signing: rotations of an hour; wait", g->n);
}

static void put_set(emk_server_signing *g, key_set *set)
{
    size_t place = g->n++ % SETS_MAX;

    set_free(g->sets[place]);
    g->sets[place] = set;
}

/* The sealing certificate's end is the issuer's word: read it, do not guess. */
static emk_status read_end(emk_server *s, const emk_keyholder_keys *keys, key_set *set,
                           emk_error *e)
{
    emk_sealing_certificate says;
    emk_status st;

    if (keys->certificate_len == 0)
        return EMK_OK;
    st = emk_sealing_certificate_verify(s->crypto,
                                        emk_span_of(keys->certificate, keys->certificate_len),
                                        set->issuers.v[set->issuers.n - 1].key, &says, e);
    if (st == EMK_OK)
        set->issuers.sealing_not_after = says.not_after;
    return st;
}

static emk_status certify_seals(emk_server *s, const emk_keyholder_keys *keys, const key_set *set,
                                emk_error *e)
{
    if (!s->api.seals || keys->certificate_len == 0)
        return EMK_OK;
    return emk_seals_certify(s->api.seals, emk_span_of(keys->certificate, keys->certificate_len),
                             set->issuers.v[set->issuers.n - 1].key,
                             emk_span_of(keys->sealing_public, keys->sealing_public_len), e);
}

/* The lock is held, or nobody else is there yet. */
static emk_status take_keys(emk_server *s, const emk_keyholder_keys *keys, emk_error *e)
{
    key_set *set;
    emk_status st;

    if (is_in_use(s->signing, keys))
        return EMK_OK;
    st = find_place(s->signing, e);
    if (st != EMK_OK)
        return st;
    set = emk_alloc(1, sizeof *set);
    if (!set)
        return emk_fail(e, EMK_E_NO_MEMORY, "signing: memory", sizeof *set);
    fill_set(keys, set);
    set->issuers.can_rotate =
        s->config.keys_issuer == EMK_KEYHOLDER_FILE ||
        (s->config.keys_issuer == EMK_KEYHOLDER_PKCS11 && s->config.keys_next_uri != NULL) ||
        (s->config.keys_issuer == EMK_KEYHOLDER_TPM2 && s->config.keys_next_tpm_dir != NULL);
    st = parse_keys(s, set, e);
    if (st == EMK_OK)
        st = read_end(s, keys, set, e);
    if (st == EMK_OK)
        st = certify_seals(s, keys, set, e);
    if (st != EMK_OK) {
        set_free(set);
        return st;
    }
    put_set(s->signing, set);
    atomic_store(&s->api.issuers, &set->issuers);
    atomic_store(&s->api.keyholder.rotated, &set->publics);
    return EMK_OK;
}

/* What the keyholder has now counts, also after a change that failed half way. */
static emk_status sync_keys(emk_server *s, emk_error *e)
{
    emk_keyholder_keys *keys = emk_alloc(1, sizeof *keys);
    emk_status st = keys ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "signing: memory", sizeof *keys);

    if (st == EMK_OK)
        st = emk_keyholder_keys_get(s->keyholder, keys, e);
    if (st == EMK_OK)
        st = take_keys(s, keys, e);
    s->signing->behind = st != EMK_OK;
    emk_free(keys);
    return st;
}

/* After a change that the keyholder made or refused.  The lock is held. */
static emk_status take_change(emk_server *s, emk_status how, const emk_keyholder_keys *keys,
                              emk_error *e)
{
    emk_error ignored;
    emk_status st = how;

    if (how == EMK_OK)
        st = take_keys(s, keys, e);
    if (st != EMK_OK && how != EMK_E_UNSUPPORTED && how != EMK_E_BUSY)
        (void)!sync_keys(s, &ignored);
    return st;
}

static emk_status rotate(void *self, emk_signing_key which, emk_error *e)
{
    emk_server *s = self;
    emk_keyholder_keys *keys = emk_alloc(1, sizeof *keys);
    emk_status st = keys ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "signing: memory", sizeof *keys);

    emk_lock_take(s->signing->lock);
    if (st == EMK_OK)
        st = take_change(s, emk_keyholder_rotate(s->keyholder, which, keys, e), keys, e);
    emk_lock_give(s->signing->lock);
    emk_free(keys);
    return st;
}

static emk_status retire(void *self, const uint8_t kid[EMK_COSE_KID_LEN], emk_error *e)
{
    emk_server *s = self;
    emk_keyholder_keys *keys = emk_alloc(1, sizeof *keys);
    emk_status st = keys ? EMK_OK : emk_fail(e, EMK_E_NO_MEMORY, "signing: memory", sizeof *keys);

    emk_lock_take(s->signing->lock);
    if (st == EMK_OK)
        st = take_change(s, emk_keyholder_retire(s->keyholder, kid, keys, e), keys, e);
    emk_lock_give(s->signing->lock);
    emk_free(keys);
    return st;
}

emk_status emk_server_signing_open(emk_server *s, emk_error *e)
{
    static const emk_signing_ops OPS = {.size = sizeof OPS, .rotate = rotate, .retire = retire};
    emk_status st;

    s->signing = emk_alloc(1, sizeof *s->signing);
    if (!s->signing)
        return emk_fail(e, EMK_E_NO_MEMORY, "signing: memory", sizeof *s->signing);
    st = emk_lock_new(&s->signing->lock, e);
    if (st == EMK_OK)
        st = sync_keys(s, e);
    if (st == EMK_OK)
        s->api.signing = (emk_signing){&OPS, s};
    return st;
}

void emk_server_signing_close(emk_server *s)
{
    if (!s->signing)
        return;
    atomic_store(&s->api.issuers, NULL);
    atomic_store(&s->api.keyholder.rotated, NULL);
    for (size_t i = 0; i < SETS_MAX; i++)
        set_free(s->signing->sets[i]);
    emk_lock_free(s->signing->lock);
    emk_free(s->signing);
    s->signing = NULL;
}

uint64_t emk_server_sealing_left(emk_server *s)
{
    const emk_issuers *now = atomic_load(&s->api.issuers);
    uint64_t end = now ? now->sealing_not_after : 0, clock = emk_os_now_s();

    if (end == 0)
        return UINT64_MAX;
    return end > clock ? end - clock : 0;
}

/* When a third of its life is left: then there is time to look after what does not work. */
void emk_server_signing_keep(emk_server *s)
{
    emk_error e = {0};

    emk_lock_take(s->signing->lock);
    if (s->signing->behind && sync_keys(s, &e) != EMK_OK)
        emk_log_write(EMK_LOG_ERROR, "the keys of the keyholder cannot be taken", NULL, &e);
    emk_lock_give(s->signing->lock);
    if (emk_server_sealing_left(s) > s->config.keys_sealing_s / 3)
        return;
    if (rotate(s, EMK_SIGNING_SEALING, &e) == EMK_OK)
        emk_log_write(EMK_LOG_INFO, "the sealing certificate was renewed", NULL, NULL);
    else
        emk_log_write(EMK_LOG_ERROR, "the sealing certificate cannot be renewed", NULL, &e);
}
