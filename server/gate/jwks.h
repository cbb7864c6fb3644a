/* The keys of one token issuer, and when to ask for them again.  No network: whoever fetches asks
 * `wants`, fetches over https from the address the operator pinned, and hands over the bytes or
 * says that it failed.
 *
 *  - A good set is used for refresh_s, then refreshed in the background while it goes on being
 *    used; after usable_s without a good answer it is believed no more.
 *  - A key name that is not in the set asks for a refresh, at most one in 30 seconds however many
 *    such tokens come, and names found missing are remembered until the set changes.
 *  - A bad answer never replaces a good set; failures are retried after 5 s, doubling to 5 min.
 *
 * Thread rule: shared by all threads. */
#ifndef EMK_SERVER_GATE_JWKS_H
#define EMK_SERVER_GATE_JWKS_H

#include "core/jose/jws.h"

#define EMK_JWKS_REFRESH_S   600u
#define EMK_JWKS_USABLE_S    86400u
#define EMK_JWKS_FORCED_S    30u /* between two refreshes that strangers can cause */
#define EMK_JWKS_RETRY_MIN_S 5u
#define EMK_JWKS_RETRY_MAX_S 300u
#define EMK_JWKS_MISSING     64u /* names remembered as missing */

typedef struct emk_jwks_cache emk_jwks_cache;

typedef struct emk_jwks_times {
    uint32_t refresh_s; /* 0: EMK_JWKS_REFRESH_S */
    uint32_t usable_s;  /* 0: EMK_JWKS_USABLE_S */
} emk_jwks_times;

/* Gives an empty cache, which wants its keys at once; free with emk_jwks_cache_free.  Keeps c.
 * EMK_E_USAGE when usable_s is below refresh_s; EMK_E_NO_MEMORY. */
emk_status emk_jwks_cache_new(const emk_crypto *c, const emk_jwks_times *times,
                              emk_jwks_cache **out, emk_error *e) EMK_MUST_CHECK;
void emk_jwks_cache_free(emk_jwks_cache *j);

/* True when a fetch should start now; then one is under way until _put or _failed, or for a
 * minute, and it says false to others. */
bool emk_jwks_cache_wants(emk_jwks_cache *j, uint64_t now_s);
/* When to ask `wants` again at the latest, seconds since 1970. */
uint64_t emk_jwks_cache_next(emk_jwks_cache *j);
/* A fetch brought these bytes.  EMK_E_FORMAT, EMK_E_LIMIT and so on for what is no set: then it
 * counts as failed and the old set stays.  Borrows json. */
emk_status emk_jwks_cache_put(emk_jwks_cache *j, emk_span json, uint64_t now_s,
                              emk_error *e) EMK_MUST_CHECK;
void emk_jwks_cache_failed(emk_jwks_cache *j, uint64_t now_s);

/* Verifies with the key the token names.  EMK_E_STALE when there is no set to believe;
 * EMK_E_NOT_FOUND when it has no such key (a refresh may now be wanted); else as
 * emk_jws_verify. */
emk_status emk_jwks_cache_verify(emk_jwks_cache *j, const emk_jws *jws, uint64_t now_s,
                                 emk_error *e) EMK_MUST_CHECK;

typedef struct emk_jwks_state {
    size_t n_keys;
    uint64_t age_s;    /* of the set; 0 when there is none */
    uint64_t failures; /* since the last good answer */
    bool usable;
    uint64_t generation; /* raised by each set: what was verified under another one may be undone */
} emk_jwks_state;
/* For /readyz and metrics. */
void emk_jwks_cache_state(emk_jwks_cache *j, uint64_t now_s, emk_jwks_state *out);

#endif
