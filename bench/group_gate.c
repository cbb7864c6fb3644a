/* The gate: whole checks of signed requests on one core, beside the one ECDSA verification that
 * each of them cannot do without. */
#include "bench/bench.h"

#include "core/codec/base64url.h"
#include "server/gate/content_digest.h"
#include "server/gate/gate.h"
#include "server/gate/signature.h"

#include <stdio.h>
#include <string.h>

#define TIMES  64u /* requests of one run; each is signed before */
#define FIELDS 6u
#define ISSUER "https://id.example"
#define NOW_S  UINT64_C(1700000000)

typedef struct request {
    emk_gate_request rq;
    emk_http_field fields[FIELDS];
    char counter[24];
    emk_buf input, signature;
} request;

typedef struct gate_world {
    emk_crypto *crypto;
    emk_counters counters;
    emk_replay_guard guard;
    emk_nonces *nonces;
    emk_jwks_cache *keys;
    emk_tokens *tokens;
    emk_limits *limits;
    emk_firewall *firewall;
    emk_gate *gate;
    emk_sign_key *device, *issuer;
    emk_verify_key *verify;
    uint8_t id[32];
    char digest[EMK_CONTENT_DIGEST_TEXT_MAX], nonce[EMK_NONCE_CHARS + 1];
    emk_buf token; /* "Bearer " and a token */
    uint64_t counter, now_ns;
    request requests[TIMES];
    uint8_t message[800], sig[EMK_SIGN_LEN]; /* about what a signature base is */
    emk_gate_decision d;
} gate_world;

static gate_world world;

static emk_status find_device(void *self, const uint8_t id[32], emk_gate_device *out, emk_error *e)
{
    gate_world *w = self;

    (void)e;
    memset(out, 0, sizeof *out);
    out->alg = EMK_SIGN_ES256;
    out->not_after = NOW_S + 86400;
    if (memcmp(id, w->id, 32) != 0)
        return EMK_E_NOT_FOUND;
    memcpy(out->signing_key, emk_verify_key_public(w->verify).p, EMK_SIGN_PUBLIC_MAX);
    return EMK_OK;
}

static const emk_gate_directory_ops directory = {sizeof directory, find_device, NULL, NULL, NULL};

static emk_status bound_load(void *self, const uint8_t id[32], uint64_t *bound, emk_error *e)
{
    (void)self;
    (void)id;
    (void)e;
    *bound = 0;
    return EMK_OK;
}

static emk_status bound_save(void *self, const uint8_t id[32], uint64_t bound, emk_error *e)
{
    (void)self;
    (void)id;
    (void)bound;
    (void)e;
    return EMK_OK;
}

static void key_make(gate_world *w, emk_sign_key **sign, emk_verify_key **verify)
{
    uint8_t priv[32], pub[EMK_SIGN_PUBLIC_MAX];
    emk_error e = {0};

    bench_need(emk_sign_generate(w->crypto, EMK_SIGN_ES256, priv, pub, &e), &e, "key");
    bench_need(emk_sign_key_new(w->crypto, EMK_SIGN_ES256, emk_span_of(priv, 32), sign, &e), &e,
               "key");
    if (verify)
        bench_need(emk_verify_key_new(w->crypto, EMK_SIGN_ES256, emk_span_of(pub, 65), verify, &e),
                   &e, "key");
}

static void keys_make(gate_world *w)
{
    char set[512], x[64], y[64];
    const uint8_t *pub = emk_sign_key_public(w->issuer).p;
    emk_error e = {0};
    size_t len;

    bench_need(emk_base64url_encode(emk_span_of(pub + 1, 32), x, sizeof x, &len, &e), &e, "x");
    bench_need(emk_base64url_encode(emk_span_of(pub + 33, 32), y, sizeof y, &len, &e), &e, "y");
    (void)snprintf(set, sizeof set,
                   "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"%s\","
                   "\"y\":\"%s\"}]}",
                   x, y);
    bench_need(emk_jwks_cache_new(w->crypto, NULL, &w->keys, &e), &e, "keys");
    bench_need(emk_jwks_cache_put(w->keys, emk_span_str(set), NOW_S, &e), &e, "keys");
}

static void token_make(gate_world *w)
{
    static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"k\",\"typ\":\"at+jwt\"}";
    static const char claims[] = "{\"iss\":\"" ISSUER "\",\"sub\":\"a-user-of-some-length\","
                                 "\"aud\":\"earmark\",\"iat\":1699999900,\"exp\":1700000500,"
                                 "\"scope\":\"models:read profile\",\"jti\":\"0123456789abcdef\"}";
    static const char *const audiences[] = {"earmark"};
    emk_token_issuer row = {.iss = ISSUER, .tenant = "main", .audiences = audiences};
    emk_error e = {0};

    row.n_audiences = 1;
    row.algs = EMK_JOSE_BITS_USER;
    row.keys = w->keys;
    bench_need(emk_tokens_new(w->crypto, &row, 1, 0, &w->tokens, &e), &e, "tokens");
    emk_buf_init(&w->token, EMK_JWS_MAX);
    bench_need(emk_buf_append(&w->token, emk_span_str("Bearer "), &e), &e, "token");
    bench_need(emk_jws_make(w->issuer, emk_span_str(header), emk_span_str(claims), &w->token, &e),
               &e, "token");
}

static void limits_make(gate_world *w)
{
    static const emk_limit_rule rules[] = {
        {.name = "all", .quota = 1000000000, .window_s = 60},
        {.name = "net", .by = EMK_LIMIT_BY_NET, .quota = 1000000000, .window_s = 60},
        {.name = "user", .by = EMK_LIMIT_BY_USER, .quota = 1000000000, .window_s = 60},
        {.name = "cost",
         .by = EMK_LIMIT_BY_USER,
         .unit = EMK_LIMIT_COST,
         .quota = 1000000000,
         .window_s = 60},
        {.name = "device", .by = EMK_LIMIT_BY_DEVICE, .quota = 1000000000, .window_s = 60},
        {.name = "route", .by = EMK_LIMIT_BY_ROUTE, .quota = 1000000000, .window_s = 60},
        {.name = "failed",
         .by = EMK_LIMIT_BY_NET,
         .unit = EMK_LIMIT_FAILURES,
         .quota = 1000000000,
         .window_s = 60},
    };
    static const emk_concurrency_rule places[] = {{"generate", EMK_LIMIT_BY_USER, 16, 60, false}};
    static const emk_counters_memory options = {.limits = 4096};
    emk_limits_config config = {&w->counters, rules, sizeof rules / sizeof rules[0],
                                places,       1,     {0}};
    emk_firewall_set *set = NULL;
    emk_error e = {0};

    bench_need(emk_counters_open_memory(&options, &w->counters, &e), &e, "counters");
    bench_need(emk_limits_new(&config, &w->limits, &e), &e, "limits");
    bench_need(emk_firewall_new(&w->firewall, &e), &e, "firewall");
    bench_need(
        emk_firewall_import(emk_span_str("10.0.0.0/8 deny\n198.51.100.0/24 limit:1\n"), &set, &e),
        &e, "firewall");
    emk_firewall_swap(w->firewall, set);
    w->guard.counters = &w->counters;
    w->guard.store.load = bound_load;
    w->guard.store.save = bound_save;
}

static void gate_make(gate_world *w)
{
    emk_gate_config config = {.crypto = w->crypto, .cached_device_s = 3600};
    emk_error e = {0};

    config.directory.ops = &directory;
    config.directory.self = w;
    config.nonces = w->nonces;
    config.replay = &w->guard;
    config.tokens = w->tokens;
    config.limits = w->limits;
    config.firewall = w->firewall;
    bench_need(emk_gate_new(&config, &w->gate, &e), &e, "gate");
}

static void world_make(gate_world *w)
{
    static const uint8_t key[EMK_NONCE_KEY_LEN] = {1};
    uint8_t nothing[32];
    emk_error e = {0};

    memset(w, 0, sizeof *w);
    memset(w->id, 7, sizeof w->id);
    w->now_ns = 1;
    bench_need(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e, "crypto");
    key_make(w, &w->device, &w->verify);
    key_make(w, &w->issuer, NULL);
    keys_make(w);
    token_make(w);
    limits_make(w);
    bench_need(emk_nonces_new(w->crypto, emk_span_of(key, sizeof key), &w->nonces, &e), &e,
               "nonce");
    bench_need(emk_nonce_make(w->nonces, emk_span_of(w->id, 32), NOW_S, w->nonce, &e), &e, "nonce");
    bench_need(emk_sha256(w->crypto, NULL, 0, nothing, &e), &e, "digest");
    emk_content_digest_format(nothing, w->digest);
    gate_make(w);
    bench_need(emk_sign_make(w->device, emk_span_of(w->message, sizeof w->message), w->sig, &e), &e,
               "sign");
}

static void world_free(gate_world *w)
{
    emk_gate_free(w->gate);
    emk_tokens_free(w->tokens);
    emk_jwks_cache_free(w->keys);
    emk_limits_free(w->limits);
    emk_firewall_free(w->firewall);
    emk_nonces_free(w->nonces);
    emk_counters_close(&w->counters);
    emk_sign_key_free(w->device);
    emk_sign_key_free(w->issuer);
    emk_verify_key_free(w->verify);
    emk_buf_done(&w->token);
    emk_crypto_free(w->crypto);
}

static void request_make(gate_world *w, request *r)
{
    static const uint8_t peer[] = {203, 0, 113, 9};
    const emk_device_signing with = {w->device, w->id, NOW_S};
    emk_http_field *f = r->fields;
    emk_error e = {0};

    memset(r, 0, sizeof *r);
    (void)snprintf(r->counter, sizeof r->counter, "%llu", (unsigned long long)++w->counter);
    r->rq.method = emk_span_str("POST");
    r->rq.scheme = emk_span_str("https");
    r->rq.authority = emk_span_str("api.example");
    r->rq.path = emk_span_str("/v1/tickets");
    r->rq.peer = emk_address_of(emk_span_of(peer, sizeof peer));
    r->rq.now_s = NOW_S;
    r->rq.now_ns = w->now_ns += 1000000;
    r->rq.fields = f;
    r->rq.n_fields = 4;
    f[0] = (emk_http_field){emk_span_str("authorization"), emk_buf_span(&w->token)};
    f[1] = (emk_http_field){emk_span_str("content-digest"), emk_span_str(w->digest)};
    f[2] = (emk_http_field){emk_span_str("earmark-counter"), emk_span_str(r->counter)};
    f[3] = (emk_http_field){emk_span_str("earmark-nonce"), emk_span_str(w->nonce)};
    emk_buf_init(&r->input, 4096);
    emk_buf_init(&r->signature, 4096);
    bench_need(emk_device_proof_make(&r->rq, &with, &r->input, &r->signature, &e), &e, "sign");
    f[4] = (emk_http_field){emk_span_str("signature-input"), emk_buf_span(&r->input)};
    f[5] = (emk_http_field){emk_span_str("signature"), emk_buf_span(&r->signature)};
    r->rq.n_fields = FIELDS;
}

static const emk_gate_rule rule = {.name = "tickets",
                                   .admits = EMK_PRINCIPAL_DEVICE_USER,
                                   .cost = 10,
                                   .klass = EMK_GATE_CLASS_GENERATE,
                                   .concurrency = "generate"};

static double checks(gate_world *w, emk_gate_reason want)
{
    double start = bench_now(), seconds;

    for (size_t i = 0; i < TIMES; i++) {
        emk_gate_check(w->gate, &w->requests[i].rq, &rule, &w->d);
        if (w->d.reason != want)
            bench_die(emk_gate_reason_name(w->d.reason), NULL);
        emk_gate_done(w->gate, &w->d);
    }
    seconds = bench_now() - start;
    for (size_t i = 0; i < TIMES; i++) {
        emk_buf_done(&w->requests[i].input);
        emk_buf_done(&w->requests[i].signature);
    }
    return seconds;
}

static double check_side(void *self)
{
    gate_world *w = self;

    for (size_t i = 0; i < TIMES; i++)
        request_make(w, &w->requests[i]);
    return checks(w, EMK_GATE_PASSED);
}

/* The device's nonce is over: what a flood of old requests costs. */
static double stale_side(void *self)
{
    gate_world *w = self;

    for (size_t i = 0; i < TIMES; i++) {
        request_make(w, &w->requests[i]);
        w->requests[i].rq.now_s += 7200;
    }
    return checks(w, EMK_GATE_NONCE_STALE);
}

static double verify_side(void *self)
{
    gate_world *w = self;
    double start = bench_now();
    emk_error e = {0};

    for (size_t i = 0; i < TIMES; i++)
        bench_need(emk_sign_verify(w->verify, emk_span_of(w->message, sizeof w->message),
                                   emk_span_of(w->sig, sizeof w->sig), &e),
                   &e, "verify");
    return bench_now() - start;
}

void bench_group_gate(bench *b)
{
    bench_side sides[] = {{.fn = check_side, .self = &world},
                          {.fn = verify_side, .self = &world},
                          {.fn = stale_side, .self = &world}};
    bench_pair p = {&sides[0], &sides[1], bench_rounds(b, 5), BENCH_SPEED, TIMES, TIMES};
    bench_row row = {.group = "gate", .unit = "1/s", .goal = BENCH_AT_LEAST, .limit = 0.8};

    world_make(&world);
    bench_run(sides, 3, p.rounds);
    (void)snprintf(row.name, sizeof row.name, "request of a device, token known");
    (void)snprintf(row.beside_name, sizeof row.beside_name, "one ES256 verification");
    (void)snprintf(row.note, sizeof row.note, "nonce, signature, replay, 7 limits, firewall");
    bench_compare(b, &p, &row);
    p.ours = &sides[2];
    row.limit = 2;
    (void)snprintf(row.name, sizeof row.name, "request with a nonce that is over");
    (void)snprintf(row.note, sizeof row.note, "refused before the signature");
    bench_compare(b, &p, &row);
    world_free(&world);
}
