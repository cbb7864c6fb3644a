#include "server/gate/jwks.h"

#include "core/base/alloc.h"
#include "core/base/os_thread.h"
#include "core/crypto/hash.h"

#define FETCH_LOST_S  60u /* a fetch that never reported is given up */
#define RETRY_DOUBLES 6u  /* 5 s * 2^6 is beyond the longest wait */

/* Sets are shared with those who verify, outside the lock. */
typedef struct shared_set {
    emk_jwks *jwks;
    uint8_t hash[EMK_SHA256_LEN]; /* of the bytes it came in */
    uint32_t refs;
} shared_set;

typedef struct missing {
    char kid[EMK_JOSE_ID_MAX];
    uint64_t until_s;
} missing;

struct emk_jwks_cache {
    const emk_crypto *crypto;
    emk_jwks_times times;
    emk_lock *lock; /* for all below */
    shared_set *set;
    uint64_t fetched_s;
    uint64_t next_s;   /* refresh or retry */
    uint64_t busy_s;   /* a fetch is under way until then */
    uint64_t forced_s; /* the last refresh that a stranger caused */
    bool wanted;       /* an unknown name asks for one */
    uint64_t failures;
    uint64_t generation;
    missing missing[EMK_JWKS_MISSING];
    size_t n_missing; /* written so far; the ring's place is this modulo its size */
};

emk_status emk_jwks_cache_new(const emk_crypto *c, const emk_jwks_times *times,
                              emk_jwks_cache **out, emk_error *e)
{
    emk_jwks_cache *j;
    emk_status st;

    j = emk_alloc(1, sizeof *j);
    if (!j)
        return emk_fail(e, EMK_E_NO_MEMORY, "jwks: memory", sizeof *j);
    j->crypto = c;
    j->times.refresh_s = times && times->refresh_s ? times->refresh_s : EMK_JWKS_REFRESH_S;
    j->times.usable_s = times && times->usable_s ? times->usable_s : EMK_JWKS_USABLE_S;
    if (j->times.usable_s < j->times.refresh_s) {
        emk_free(j);
        return emk_fail(e, EMK_E_USAGE, "jwks: usable for less than a refresh takes to come", 0);
    }
    st = emk_lock_new(&j->lock, e);
    if (st != EMK_OK) {
        emk_free(j);
        return st;
    }
    *out = j;
    return EMK_OK;
}

static void set_free(shared_set *s)
{
    if (!s)
        return;
    emk_jwks_free(s->jwks);
    emk_free(s);
}

void emk_jwks_cache_free(emk_jwks_cache *j)
{
    if (!j)
        return;
    set_free(j->set);
    emk_lock_free(j->lock);
    emk_free(j);
}

/* The lock is held; what comes back is to be freed without it. */
static shared_set *drop(shared_set *s)
{
    if (!s)
        return NULL;
    s->refs--;
    return s->refs == 0 ? s : NULL;
}

static bool forced_is_due(const emk_jwks_cache *j, uint64_t now_s)
{
    return j->wanted && (j->forced_s == 0 || now_s >= j->forced_s + EMK_JWKS_FORCED_S);
}

bool emk_jwks_cache_wants(emk_jwks_cache *j, uint64_t now_s)
{
    bool forced, start;

    emk_lock_take(j->lock);
    forced = forced_is_due(j, now_s);
    start = now_s >= j->busy_s && (forced || now_s >= j->next_s);
    if (start) {
        j->busy_s = now_s + FETCH_LOST_S;
        if (j->wanted)
            j->forced_s = now_s;
        j->wanted = false;
    }
    emk_lock_give(j->lock);
    return start;
}

uint64_t emk_jwks_cache_next(emk_jwks_cache *j)
{
    uint64_t next;

    emk_lock_take(j->lock);
    next = j->next_s;
    if (j->wanted && j->forced_s + EMK_JWKS_FORCED_S < next)
        next = j->forced_s + EMK_JWKS_FORCED_S;
    if (next < j->busy_s)
        next = j->busy_s;
    emk_lock_give(j->lock);
    return next;
}

/* The lock is held. */
static void note_failure(emk_jwks_cache *j, uint64_t now_s)
{
    uint64_t doubles = j->failures < RETRY_DOUBLES ? j->failures : RETRY_DOUBLES;
    uint64_t wait = (uint64_t)EMK_JWKS_RETRY_MIN_S << doubles;

    j->failures++;
    j->busy_s = 0;
    j->next_s = now_s + (wait < EMK_JWKS_RETRY_MAX_S ? wait : EMK_JWKS_RETRY_MAX_S);
}

void emk_jwks_cache_failed(emk_jwks_cache *j, uint64_t now_s)
{
    emk_lock_take(j->lock);
    note_failure(j, now_s);
    emk_lock_give(j->lock);
}

/* The lock is held.  Returns the set that is no longer needed, to be freed without it. */
static shared_set *exchange(emk_jwks_cache *j, shared_set *new, uint64_t now_s)
{
    bool same = j->set && memcmp(j->set->hash, new->hash, sizeof new->hash) == 0;
    shared_set *old;

    j->fetched_s = now_s;
    j->next_s = now_s + j->times.refresh_s;
    j->busy_s = 0;
    j->failures = 0;
    if (same)
        return new;
    old = drop(j->set);
    new->refs = 1;
    j->set = new;
    j->generation++;
    j->n_missing = 0;
    memset(j->missing, 0, sizeof j->missing);
    return old;
}

static emk_status set_parse(const emk_crypto *c, emk_span json, shared_set **out, emk_error *e)
{
    shared_set *s = emk_alloc(1, sizeof *s);
    emk_status st;

    if (!s)
        return emk_fail(e, EMK_E_NO_MEMORY, "jwks: memory", sizeof *s);
    st = emk_sha256(c, &json, 1, s->hash, e);
    if (st == EMK_OK)
        st = emk_jwks_parse(c, json, &s->jwks, e);
    if (st != EMK_OK) {
        emk_free(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

emk_status emk_jwks_cache_put(emk_jwks_cache *j, emk_span json, uint64_t now_s, emk_error *e)
{
    shared_set *set = NULL;
    emk_status st;

    st = set_parse(j->crypto, json, &set, e);
    emk_lock_take(j->lock);
    if (st == EMK_OK)
        set = exchange(j, set, now_s);
    else
        note_failure(j, now_s);
    emk_lock_give(j->lock);
    set_free(set);
    return st;
}

/* The lock is held. */
static bool is_usable(const emk_jwks_cache *j, uint64_t now_s)
{
    return j->set && (now_s <= j->fetched_s || now_s - j->fetched_s <= j->times.usable_s);
}

/* The lock is held.  A name that was asked for in vain in the last half minute asks for nothing. */
static void note_missing(emk_jwks_cache *j, const char *kid, uint64_t now_s)
{
    missing *m;

    for (size_t i = 0; i < EMK_JWKS_MISSING; i++)
        if (j->missing[i].until_s > now_s && strcmp(j->missing[i].kid, kid) == 0)
            return;
    m = &j->missing[j->n_missing++ % EMK_JWKS_MISSING];
    memcpy(m->kid, kid, strlen(kid) + 1);
    m->until_s = now_s + EMK_JWKS_FORCED_S;
    j->wanted = true;
}

emk_status emk_jwks_cache_verify(emk_jwks_cache *j, const emk_jws *jws, uint64_t now_s,
                                 emk_error *e)
{
    shared_set *set = NULL;
    emk_status st;

    emk_lock_take(j->lock);
    if (is_usable(j, now_s)) {
        set = j->set;
        set->refs++;
    }
    emk_lock_give(j->lock);
    if (!set)
        return emk_fail(e, EMK_E_STALE, "jwks: no keys to believe", 0);
    st = emk_jws_verify_by_set(jws, set->jwks, NULL, e);
    emk_lock_take(j->lock);
    if (st == EMK_E_NOT_FOUND && set == j->set)
        note_missing(j, jws->kid, now_s);
    set = drop(set);
    emk_lock_give(j->lock);
    set_free(set);
    return st;
}

void emk_jwks_cache_state(emk_jwks_cache *j, uint64_t now_s, emk_jwks_state *out)
{
    emk_lock_take(j->lock);
    out->n_keys = j->set ? emk_jwks_count(j->set->jwks) : 0;
    out->age_s = j->set && now_s > j->fetched_s ? now_s - j->fetched_s : 0;
    out->failures = j->failures;
    out->usable = is_usable(j, now_s);
    out->generation = j->generation;
    emk_lock_give(j->lock);
}
