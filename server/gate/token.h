/* OIDC tokens of users: whom they are from, for whom, from when to when, and bound to which key.
 *
 * Each trusted issuer has its keys in a JWKS cache (jwks.h), a list of algorithms, the audiences
 * that mean us, and a longest life.  A token that was verified once is remembered by its hash
 * until it is over, so that the next request pays for one SHA-256 only; the memory is bounded and
 * its answers are checked against the clock again.
 *
 * Thread rule: shared by all threads. */
#ifndef EMK_SERVER_GATE_TOKEN_H
#define EMK_SERVER_GATE_TOKEN_H

#include "server/gate/jwks.h"
#include "server/gate/principal.h"

#define EMK_TOKEN_MAX         8192u /* bytes */
#define EMK_TOKEN_LIFE_MAX_S  900u  /* exp - iat where the issuer says nothing else */
#define EMK_TOKEN_SKEW_S      60u   /* clocks of two servers */
#define EMK_TOKEN_ISSUERS_MAX 16u
#define EMK_TOKEN_AUDIENCES   8u /* of one issuer; and of one token */
#define EMK_TOKEN_URL_MAX     256u
#define EMK_TOKEN_CACHED      16384u /* verified tokens remembered by default */

typedef struct emk_token_issuer {
    const char *iss;              /* compared byte by byte */
    const char *tenant;           /* our name for it */
    const char *const *audiences; /* any one of them must be in aud */
    size_t n_audiences;
    const char *typ;     /* wanted in the header, without regard to case ("at+jwt"); NULL: absent,
                          * "JWT" or "at+jwt" */
    uint32_t algs;       /* EMK_JOSE_BITS_USER or fewer */
    uint32_t life_max_s; /* 0: EMK_TOKEN_LIFE_MAX_S */
    uint32_t skew_s;     /* 0: EMK_TOKEN_SKEW_S */
    emk_jwks_cache *keys;
} emk_token_issuer;

typedef struct emk_token_claims {
    char user[EMK_PRINCIPAL_NAME_MAX + 1]; /* sub */
    uint64_t exp, iat, nbf;                /* nbf 0: none */
    bool bound;                            /* cnf.jkt */
    uint8_t jkt[32];
    uint32_t issuer; /* which of the issuers */
} emk_token_claims;

typedef struct emk_tokens emk_tokens;

/* Gives the checker; free with emk_tokens_free.  Copies the rows; keeps strings, key caches and c.
 * n_cached 0: EMK_TOKEN_CACHED.  EMK_E_USAGE for a row that allows nothing or an algorithm that
 * users must not have; EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_tokens_new(const emk_crypto *c, const emk_token_issuer *issuers, size_t n,
                          uint32_t n_cached, emk_tokens **out, emk_error *e) EMK_MUST_CHECK;
void emk_tokens_free(emk_tokens *t);

/* Fills *out from a token that is good now.  EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED for what
 * is no such token; EMK_E_SIGNATURE; EMK_E_POLICY for claims (issuer, audience, times, typ);
 * EMK_E_NOT_FOUND for a key that the issuer does not have; EMK_E_STALE when the issuer's keys are
 * not here or too old to be believed: an outage, not the client's fault; EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY. */
emk_status emk_token_verify(emk_tokens *t, emk_span token, uint64_t now_s, emk_token_claims *out,
                            emk_error *e) EMK_MUST_CHECK;
/* Lends the tenant of an issuer by its place. */
const char *emk_tokens_tenant(const emk_tokens *t, uint32_t issuer);
/* Verified tokens that were remembered, and those that had to be verified. */
void emk_tokens_counts(const emk_tokens *t, uint64_t *hits, uint64_t *misses);

#endif
