#include "server/gate/token.h"

#include "core/base/alloc.h"
#include "core/codec/base64url.h"
#include "core/crypto/hash.h"
#include "core/jose/object.h"
#include "server/gate/token_cache.h"

#include <stdatomic.h>

#define JKT_CHARS   43u
#define PAYLOAD_MAX EMK_TOKEN_MAX
#define TENANT_MAX  32u

struct emk_tokens {
    const emk_crypto *crypto;
    emk_token_issuer issuers[EMK_TOKEN_ISSUERS_MAX];
    size_t n_issuers;
    uint32_t algs; /* of all of them */
    emk_token_cache *cache;
    atomic_uint_fast64_t hits, misses;
};

/* ---- making ---- */

static bool issuer_is_sound(const emk_token_issuer *i)
{
    return i->iss && i->iss[0] && strlen(i->iss) < EMK_TOKEN_URL_MAX && i->tenant &&
           strlen(i->tenant) <= TENANT_MAX && i->n_audiences > 0 &&
           i->n_audiences <= EMK_TOKEN_AUDIENCES && i->algs != 0 &&
           (i->algs & ~(uint32_t)EMK_JOSE_BITS_USER) == 0 && i->keys;
}

static emk_status issuers_copy(emk_tokens *t, const emk_token_issuer *issuers, size_t n,
                               emk_error *e)
{
    for (size_t i = 0; i < n; i++) {
        emk_token_issuer *own = &t->issuers[i];

        if (!issuer_is_sound(&issuers[i]))
            return emk_fail(e, EMK_E_USAGE, "tokens: an issuer makes no sense", i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(issuers[k].iss, issuers[i].iss) == 0)
                return emk_fail(e, EMK_E_USAGE, "tokens: an issuer twice", i);
        *own = issuers[i];
        if (own->life_max_s == 0)
            own->life_max_s = EMK_TOKEN_LIFE_MAX_S;
        if (own->skew_s == 0)
            own->skew_s = EMK_TOKEN_SKEW_S;
        t->algs |= own->algs;
    }
    t->n_issuers = n;
    return EMK_OK;
}

emk_status emk_tokens_new(const emk_crypto *c, const emk_token_issuer *issuers, size_t n,
                          uint32_t n_cached, emk_tokens **out, emk_error *e)
{
    emk_tokens *t;
    emk_status st;

    if (n == 0 || n > EMK_TOKEN_ISSUERS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "tokens: issuers", n);
    t = emk_alloc(1, sizeof *t);
    if (!t)
        return emk_fail(e, EMK_E_NO_MEMORY, "tokens: memory", sizeof *t);
    t->crypto = c;
    atomic_init(&t->hits, 0);
    atomic_init(&t->misses, 0);
    st = issuers_copy(t, issuers, n, e);
    if (st == EMK_OK)
        st = emk_token_cache_new(n_cached ? n_cached : EMK_TOKEN_CACHED, &t->cache, e);
    if (st != EMK_OK) {
        emk_free(t);
        return st;
    }
    *out = t;
    return EMK_OK;
}

void emk_tokens_free(emk_tokens *t)
{
    if (!t)
        return;
    emk_token_cache_free(t->cache);
    emk_free(t);
}

const char *emk_tokens_tenant(const emk_tokens *t, uint32_t issuer)
{
    return issuer < t->n_issuers ? t->issuers[issuer].tenant : "";
}

void emk_tokens_counts(const emk_tokens *t, uint64_t *hits, uint64_t *misses)
{
    *hits = atomic_load_explicit(&t->hits, memory_order_relaxed);
    *misses = atomic_load_explicit(&t->misses, memory_order_relaxed);
}

/* ---- claims ---- */

static const char *const NAMES[] = {"iss", "sub", "aud", "exp", "nbf", "iat", "cnf"};

enum { NAME_ISS, NAME_SUB, NAME_AUD, NAME_EXP, NAME_NBF, NAME_IAT, NAME_CNF };

#define N_NAMES (sizeof NAMES / sizeof NAMES[0])

/* What the payload says.  Whether an audience is ours is known only once the issuer is, so they
 * are kept. */
typedef struct read_claims {
    emk_token_claims c;
    char iss[EMK_TOKEN_URL_MAX];
    char aud[EMK_TOKEN_AUDIENCES][EMK_TOKEN_URL_MAX];
    size_t n_aud;
    uint64_t seen; /* bit per name */
} read_claims;

static void read_audience(emk_json *j, read_claims *out)
{
    size_t len;

    if (out->n_aud == EMK_TOKEN_AUDIENCES)
        emk_json_fail(j, EMK_E_LIMIT, "token: audiences", out->n_aud);
    else if (emk_json_copy_string(j, out->aud[out->n_aud], EMK_TOKEN_URL_MAX, &len)) {
        if (strlen(out->aud[out->n_aud]) != len) /* "ours\0..." is not ours */
            emk_json_fail(j, EMK_E_FORMAT, "token: aud", j->text_off);
        out->n_aud++;
    }
}

static void read_aud(emk_json *j, read_claims *out)
{
    emk_json_token first = emk_json_next(j);

    if (first == EMK_JSON_STRING) {
        read_audience(j, out);
        return;
    }
    if (first != EMK_JSON_ARRAY_BEGIN) {
        emk_json_fail(j, EMK_E_FORMAT, "token: aud", j->pos);
        return;
    }
    while (emk_json_ok(j) && emk_json_next(j) == EMK_JSON_STRING)
        read_audience(j, out);
    if (emk_json_ok(j) && j->token != EMK_JSON_ARRAY_END)
        emk_json_fail(j, EMK_E_FORMAT, "token: aud", j->pos);
}

static void read_jkt(emk_json *j, read_claims *out)
{
    char text[JKT_CHARS + 1];
    size_t len = 0;

    if (!emk_jose_read_text(j, text, sizeof text))
        return;
    if (emk_base64url_decode(emk_span_str(text), out->c.jkt, sizeof out->c.jkt, &len, NULL) !=
            EMK_OK ||
        len != sizeof out->c.jkt)
        emk_json_fail(j, EMK_E_FORMAT, "token: cnf.jkt", j->pos);
    else
        out->c.bound = true;
}

/* A binding of another kind cannot be held to, so it must not be passed over.  [RFC 7800 3.1] */
static void read_cnf(emk_json *j, read_claims *out)
{
    static const char *const names[] = {"jkt"};
    emk_jose_object o;
    size_t i;

    emk_jose_object_enter(&o, j);
    while (emk_jose_object_next(&o, names, 1, &i)) {
        if (i == 0)
            read_jkt(j, out);
        else
            emk_json_skip_value(j);
    }
    if (emk_json_ok(j) && !out->c.bound)
        emk_json_fail(j, EMK_E_UNSUPPORTED, "token: cnf without jkt", j->pos);
}

static void read_time(emk_json *j, uint64_t *out)
{
    if (emk_json_expect(j, EMK_JSON_NUMBER) && emk_json_u64(j, out) && *out > INT64_MAX)
        emk_json_fail(j, EMK_E_FORMAT, "token: a time", j->text_off);
}

static void read_claim(emk_json *j, size_t i, read_claims *out)
{
    if (i < N_NAMES)
        out->seen |= UINT64_C(1) << i;
    switch (i) {
    case NAME_ISS:
        (void)emk_jose_read_text(j, out->iss, sizeof out->iss);
        break;
    case NAME_SUB:
        (void)emk_jose_read_text(j, out->c.user, sizeof out->c.user);
        break;
    case NAME_AUD:
        read_aud(j, out);
        break;
    case NAME_EXP:
        read_time(j, &out->c.exp);
        break;
    case NAME_NBF:
        read_time(j, &out->c.nbf);
        break;
    case NAME_IAT:
        read_time(j, &out->c.iat);
        break;
    case NAME_CNF:
        read_cnf(j, out);
        break;
    default:
        emk_json_skip_value(j);
    }
}

static bool user_is_sound(const char *user)
{
    for (const char *p = user; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return user[0] != 0;
}

static emk_status claims_read(emk_span payload, read_claims *out, emk_error *e)
{
    const uint64_t needed =
        1u << NAME_ISS | 1u << NAME_SUB | 1u << NAME_AUD | 1u << NAME_EXP | 1u << NAME_IAT;
    emk_jose_text t;
    emk_jose_object o;
    emk_status st;
    size_t i;

    memset(out, 0, sizeof *out);
    st = emk_jose_text_open(&t, payload, PAYLOAD_MAX, e);
    if (st == EMK_OK) {
        emk_jose_object_enter(&o, &t.j);
        while (emk_jose_object_next(&o, NAMES, N_NAMES, &i))
            read_claim(&t.j, i, out);
        st = emk_jose_text_close(&t, e);
    } else {
        (void)!emk_jose_text_close(&t, NULL);
    }
    if (st != EMK_OK)
        return st;
    if ((out->seen & needed) != needed || !user_is_sound(out->c.user))
        return emk_fail(e, EMK_E_POLICY, "token: a claim is missing", out->seen);
    return EMK_OK;
}

/* ---- held against the issuer's row ---- */

static emk_status issuer_find(const emk_tokens *t, const char *iss, uint32_t *out, emk_error *e)
{
    for (uint32_t i = 0; i < t->n_issuers; i++) {
        if (strcmp(t->issuers[i].iss, iss) != 0)
            continue;
        *out = i;
        return EMK_OK;
    }
    return emk_fail(e, EMK_E_POLICY, "token: issuer", 0);
}

static bool equals_no_case(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        char x = *a >= 'A' && *a <= 'Z' ? (char)(*a + ('a' - 'A')) : *a;
        char y = *b >= 'A' && *b <= 'Z' ? (char)(*b + ('a' - 'A')) : *b;

        if (x != y)
            return false;
    }
    return *a == *b;
}

static bool typ_is_right(const emk_token_issuer *i, const char *typ)
{
    if (i->typ)
        return equals_no_case(typ, i->typ);
    return typ[0] == 0 || equals_no_case(typ, "jwt") || equals_no_case(typ, "at+jwt");
}

static bool audience_is_ours(const emk_token_issuer *i, const read_claims *r)
{
    for (size_t k = 0; k < i->n_audiences; k++)
        for (size_t a = 0; a < r->n_aud; a++)
            if (strcmp(i->audiences[k], r->aud[a]) == 0)
                return true;
    return false;
}

/* Also for a token that was verified before: time goes on. */
static emk_status times_check(const emk_token_issuer *i, const emk_token_claims *c, uint64_t now_s,
                              emk_error *e)
{
    if (c->exp <= c->iat || c->exp - c->iat > i->life_max_s)
        return emk_fail(e, EMK_E_POLICY, "token: lifetime", c->exp);
    if (now_s >= c->exp + i->skew_s)
        return emk_fail(e, EMK_E_POLICY, "token: expired", c->exp);
    if (c->iat > now_s + i->skew_s)
        return emk_fail(e, EMK_E_POLICY, "token: issued in the future", c->iat);
    if (c->nbf > now_s + i->skew_s)
        return emk_fail(e, EMK_E_POLICY, "token: not yet", c->nbf);
    return EMK_OK;
}

static emk_status claims_check(const emk_tokens *t, const emk_jws *jws, read_claims *r,
                               uint64_t now_s, emk_error *e)
{
    const emk_token_issuer *i;
    emk_status st;

    st = issuer_find(t, r->iss, &r->c.issuer, e);
    if (st != EMK_OK)
        return st;
    i = &t->issuers[r->c.issuer];
    if ((i->algs & EMK_JOSE_BIT(jws->alg)) == 0)
        return emk_fail(e, EMK_E_SIGNATURE, "token: algorithm is not this issuer's", jws->alg);
    if (!typ_is_right(i, jws->typ))
        return emk_fail(e, EMK_E_POLICY, "token: typ", 0);
    if (!audience_is_ours(i, r))
        return emk_fail(e, EMK_E_POLICY, "token: audience", 0);
    return times_check(i, &r->c, now_s, e);
}

/* Claims before the signature: what is not for us anyway costs no verification and asks for no
 * keys. */
static emk_status verify_anew(emk_tokens *t, emk_span token, uint64_t now_s, emk_token_claims *out,
                              uint64_t *generation, emk_error *e)
{
    const emk_jws_rules rules = {.algs = t->algs, .max_len = EMK_TOKEN_MAX};
    emk_jwks_state keys;
    read_claims r;
    emk_jws jws;
    emk_status st;

    st = emk_jws_parse(&rules, token, &jws, e);
    if (st == EMK_OK)
        st = claims_read(jws.payload, &r, e);
    if (st == EMK_OK)
        st = claims_check(t, &jws, &r, now_s, e);
    if (st == EMK_OK) {
        /* Before verifying: a set that changes meanwhile makes the entry old, not wrong. */
        emk_jwks_cache_state(t->issuers[r.c.issuer].keys, now_s, &keys);
        st = emk_jwks_cache_verify(t->issuers[r.c.issuer].keys, &jws, now_s, e);
    }
    if (st == EMK_OK) {
        *out = r.c;
        *generation = keys.generation;
    }
    emk_jws_done(&jws);
    return st;
}

static bool is_remembered(emk_tokens *t, const uint8_t hash[32], uint64_t now_s,
                          emk_token_claims *out)
{
    emk_jwks_state keys;
    uint64_t generation;

    if (!emk_token_cache_find(t->cache, hash, out, &generation))
        return false;
    emk_jwks_cache_state(t->issuers[out->issuer].keys, now_s, &keys);
    return keys.generation == generation;
}

emk_status emk_token_verify(emk_tokens *t, emk_span token, uint64_t now_s, emk_token_claims *out,
                            emk_error *e)
{
    uint8_t hash[EMK_SHA256_LEN];
    emk_token_claims claims;
    uint64_t generation = 0;
    emk_status st;

    if (token.len > EMK_TOKEN_MAX)
        return emk_fail(e, EMK_E_LIMIT, "token: too long", token.len);
    st = emk_sha256(t->crypto, &token, 1, hash, e);
    if (st != EMK_OK)
        return st;
    if (is_remembered(t, hash, now_s, &claims)) {
        atomic_fetch_add_explicit(&t->hits, 1, memory_order_relaxed);
        st = times_check(&t->issuers[claims.issuer], &claims, now_s, e);
    } else {
        atomic_fetch_add_explicit(&t->misses, 1, memory_order_relaxed);
        st = verify_anew(t, token, now_s, &claims, &generation, e);
        if (st == EMK_OK)
            emk_token_cache_put(t->cache, hash, &claims, generation);
    }
    if (st == EMK_OK)
        *out = claims;
    return st;
}
