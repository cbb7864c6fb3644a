#include "server/gate/gate.h"

#include "core/base/alloc.h"
#include "core/base/secret.h"
#include "core/codec/base64url.h"
#include "core/crypto/random.h"
#include "server/gate/internal.h"

#include <stdatomic.h>
#include <stdio.h>

#define ID_BYTES         16u
#define RETRY_BUSY_NS    UINT64_C(1000000000)
#define RETRY_TROUBLE_NS UINT64_C(5000000000)

struct emk_gate {
    emk_gate_config config;
    emk_known *known;
    emk_device_cache *devices;
    emk_verify_key *nobody[EMK_SIGN_ES256 + 1];
    atomic_uint_fast64_t counts[EMK_GATE_REASONS];
};

/* ---- life ---- */

/* A key whose other half nobody has. */
static emk_status nobody_make(const emk_crypto *c, emk_sign_alg alg, emk_verify_key **out,
                              emk_error *e)
{
    uint8_t priv[EMK_SIGN_PRIVATE_LEN], pub[EMK_SIGN_PUBLIC_MAX];
    emk_status st;

    st = emk_sign_generate(c, alg, priv, pub, e);
    emk_wipe(priv, sizeof priv);
    if (st != EMK_OK)
        return st;
    return emk_verify_key_new(c, alg, emk_span_of(pub, emk_sign_public_len(alg)), out, e);
}

static emk_status parts_make(emk_gate *g, emk_error *e)
{
    const emk_gate_config *c = &g->config;
    uint32_t n = c->n_cached_devices ? c->n_cached_devices : EMK_GATE_CACHED_DEVICES;
    emk_device_cache_config devices = {
        .crypto = c->crypto, .directory = c->directory, .n = n, .life_s = c->cached_device_s};
    emk_status st = emk_known_new(c->crypto, EMK_GATE_KNOWN, &g->known, e);

    devices.known = g->known;
    if (st == EMK_OK)
        st = emk_device_cache_new(&devices, &g->devices, e);
    if (st == EMK_OK)
        st = nobody_make(c->crypto, EMK_SIGN_ED25519, &g->nobody[EMK_SIGN_ED25519], e);
    if (st == EMK_OK)
        st = nobody_make(c->crypto, EMK_SIGN_ES256, &g->nobody[EMK_SIGN_ES256], e);
    return st;
}

emk_status emk_gate_new(const emk_gate_config *config, emk_gate **out, emk_error *e)
{
    emk_gate *g;
    emk_status st;

    if (!config->crypto || !config->directory.ops || !config->nonces || !config->replay ||
        !config->limits)
        return emk_fail(e, EMK_E_USAGE, "gate: a part is missing", 0);
    g = emk_alloc(1, sizeof *g);
    if (!g)
        return emk_fail(e, EMK_E_NO_MEMORY, "gate: memory", sizeof *g);
    g->config = *config;
    for (size_t i = 0; i < EMK_GATE_REASONS; i++)
        atomic_init(&g->counts[i], 0);
    st = parts_make(g, e);
    if (st != EMK_OK) {
        emk_gate_free(g);
        return st;
    }
    *out = g;
    return EMK_OK;
}

void emk_gate_free(emk_gate *g)
{
    if (!g)
        return;
    emk_device_cache_free(g->devices);
    emk_known_free(g->known);
    emk_verify_key_free(g->nobody[EMK_SIGN_ED25519]);
    emk_verify_key_free(g->nobody[EMK_SIGN_ES256]);
    emk_free(g);
}

/* ---- the answer ---- */

void emk_gate_header_add(emk_gate_decision *d, const char *name, const char *value)
{
    emk_gate_header *h = &d->headers[d->n_headers];

    if (d->n_headers == EMK_GATE_HEADERS_MAX || value[0] == 0 ||
        strlen(value) >= EMK_GATE_HEADER_MAX)
        return;
    h->name = name;
    memcpy(h->value, value, strlen(value) + 1);
    d->n_headers++;
}

emk_gate_reason emk_gate_because(emk_gate_decision *d, emk_gate_reason reason, const emk_error *e)
{
    if (e->what)
        d->detail = e->what;
    return reason;
}

static bool is_token_trouble(emk_gate_reason reason)
{
    return reason == EMK_GATE_TOKEN_FORMAT || reason == EMK_GATE_TOKEN_CLAIMS ||
           reason == EMK_GATE_TOKEN_KEY || reason == EMK_GATE_TOKEN_SIGNATURE ||
           reason == EMK_GATE_TOKEN_BINDING;
}

/* A token's failure may be named: who sent it can read it, and on a signed request has proved to
 * be the device by then. */
static void authenticate_add(emk_gate_decision *d)
{
    if (d->type == EMK_GATE_PROBLEM_USE_NONCE)
        emk_gate_header_add(d, "WWW-Authenticate",
                            "Earmark realm=\"earmark\", error=\"use_nonce\"");
    else if (is_token_trouble(d->reason))
        emk_gate_header_add(d, "WWW-Authenticate",
                            "Bearer realm=\"earmark\", error=\"invalid_token\"");
    else
        emk_gate_header_add(d, "WWW-Authenticate", "Bearer realm=\"earmark\"");
}

static void retry_add(emk_gate_decision *d, uint64_t retry_ns, uint8_t jitter)
{
    char text[16];

    if (d->reason == EMK_GATE_CONCURRENCY)
        retry_ns = RETRY_BUSY_NS;
    else if (d->status == 503)
        retry_ns = RETRY_TROUBLE_NS;
    d->retry_after_s = emk_limits_retry_s(retry_ns, jitter);
    (void)snprintf(text, sizeof text, "%u", d->retry_after_s);
    emk_gate_header_add(d, "Retry-After", text);
}

static void refuse(emk_gate_decision *d, emk_gate_reason reason, uint64_t retry_ns, uint8_t jitter)
{
    d->pass = false;
    d->reason = reason;
    d->type = emk_gate_reason_type(reason);
    d->status = emk_gate_problem_status(d->type);
    if (d->status == 401)
        authenticate_add(d);
    if (d->status == 429 || d->status == 503)
        retry_add(d, retry_ns, jitter);
}

/* ---- the way ---- */

/* One request with what is only needed on the way. */
typedef struct way {
    emk_gate_pass pass;
    emk_limits_ask ask;
    uint64_t retry_ns;
} way;

static bool authority_is_ours(const emk_gate_config *c, const emk_gate_request *rq)
{
    emk_span a = emk_request_authority(rq);

    for (size_t i = 0; i < c->n_authorities; i++) {
        const char *want = c->authorities[i];
        size_t k = 0;

        while (k < a.len && want[k] != 0 &&
               (a.p[k] == (uint8_t)want[k] ||
                (a.p[k] >= 'A' && a.p[k] <= 'Z' && (a.p[k] | 0x20) == (uint8_t)want[k])))
            k++;
        if (k == a.len && want[k] == 0)
            return true;
    }
    return c->n_authorities == 0;
}

static bool shape_is_sound(const emk_gate_config *c, const emk_gate_request *rq)
{
    return rq->n_fields <= EMK_REQUEST_FIELDS_MAX && rq->path.len > 0 && rq->path.p[0] == '/' &&
           rq->path.len + rq->query.len <= EMK_REQUEST_TARGET_MAX && rq->authority.len > 0 &&
           rq->authority.len <= EMK_REQUEST_HOST_MAX && rq->method.len > 0 &&
           authority_is_ours(c, rq);
}

/* What needs no credentials: shape, firewall, overload, too many failures from this net. */
static emk_gate_reason before(way *w)
{
    const emk_gate_config *c = w->pass.config;
    emk_gate_decision *d = w->pass.d;
    emk_limits_answer answer;
    emk_error e = {0};
    emk_status st;

    if (!shape_is_sound(c, w->pass.rq))
        return EMK_GATE_BAD_REQUEST;
    if (c->firewall)
        d->wall = emk_firewall_find(c->firewall, &d->client, w->pass.rq->now_s);
    if (d->wall.action == EMK_FIREWALL_DENY)
        return EMK_GATE_WALL_DENY;
    if (!w->pass.rq->admitted && emk_limits_sheds(c->limits, w->pass.rule->klass))
        return EMK_GATE_SHED;
    w->ask.limit_class = d->wall.limit_class;
    if (emk_gate_asks_nobody(&w->pass) || d->wall.action == EMK_FIREWALL_ALLOW)
        return EMK_GATE_PASSED;
    st = emk_limits_look(c->limits, &w->ask, &answer, &e);
    if (st != EMK_OK)
        return w->pass.rule->keeps_in_outage ? EMK_GATE_PASSED
                                             : emk_gate_because(d, EMK_GATE_COUNTERS_FAILED, &e);
    w->retry_ns = answer.retry_ns;
    d->limit = answer.limited ? answer.name : NULL;
    return answer.limited ? EMK_GATE_LIMITED : EMK_GATE_PASSED;
}

/* Whether this one may come here. */
static emk_gate_reason authorise(const way *w)
{
    const emk_gate_rule *rule = w->pass.rule;
    const emk_principal *who = &w->pass.d->who;
    bool has_scopes = who->kind == EMK_PRINCIPAL_SERVICE || who->kind == EMK_PRINCIPAL_OPERATOR;
    bool is_device = who->kind == EMK_PRINCIPAL_DEVICE || who->kind == EMK_PRINCIPAL_DEVICE_USER;

    if (has_scopes && (who->scopes & rule->scopes) != rule->scopes)
        return EMK_GATE_SCOPE_MISSING;
    if (rule->needs_step_up && who->kind == EMK_PRINCIPAL_OPERATOR && !who->step_up)
        return EMK_GATE_STEP_UP_MISSING;
    /* A device that attests may: that is the proof that is asked for. */
    if (w->pass.d->wall.action == EMK_FIREWALL_CHALLENGE && is_device &&
        who->attestation_level == 0 && !rule->takes_expired_device)
        return EMK_GATE_WALL_CHALLENGE;
    return EMK_GATE_PASSED;
}

static void limit_headers(way *w, const emk_limits_answer *a)
{
    emk_gate_decision *d = w->pass.d;
    char text[EMK_LIMIT_HEADER_MAX];

    emk_limits_policy_write(w->pass.config->limits, a, text);
    emk_gate_header_add(d, "RateLimit-Policy", text);
    emk_limits_state_write(a, text);
    emk_gate_header_add(d, "RateLimit", text);
}

static emk_gate_reason room(way *w)
{
    const emk_limits *limits = w->pass.config->limits;
    emk_gate_decision *d = w->pass.d;
    emk_limits_answer answer = {0};
    emk_error e = {0};
    emk_status st;

    st = emk_limits_take(limits, &w->ask, &answer, &e);
    if (st != EMK_OK)
        return w->pass.rule->keeps_in_outage ? EMK_GATE_PASSED
                                             : emk_gate_because(d, EMK_GATE_COUNTERS_FAILED, &e);
    limit_headers(w, &answer);
    d->soft = answer.soft;
    d->tightest = answer.name;
    if (d->soft && !answer.limited)
        emk_gate_header_add(d, "Earmark-Limit-Near", answer.name);
    d->shadow_hits = answer.shadow_hits;
    w->retry_ns = answer.retry_ns;
    d->limit = answer.limited ? answer.name : NULL;
    if (answer.limited)
        return EMK_GATE_LIMITED;
    st = emk_limits_hold_take(limits, w->pass.rule->concurrency, &w->ask, &d->hold, &e);
    if (st == EMK_E_BUSY) {
        d->limit = w->pass.rule->concurrency;
        return EMK_GATE_CONCURRENCY;
    }
    return st == EMK_OK || w->pass.rule->keeps_in_outage
               ? EMK_GATE_PASSED
               : emk_gate_because(d, EMK_GATE_COUNTERS_FAILED, &e);
}

/* Whether room() would find some now. */
static emk_gate_reason look_for_room(way *w)
{
    emk_gate_decision *d = w->pass.d;
    emk_limits_answer answer = {0};
    emk_error e = {0};
    emk_status st = emk_limits_peek(w->pass.config->limits, &w->ask, &answer, &e);

    if (st != EMK_OK)
        return w->pass.rule->keeps_in_outage ? EMK_GATE_PASSED
                                             : emk_gate_because(d, EMK_GATE_COUNTERS_FAILED, &e);
    if (!answer.limited)
        return EMK_GATE_PASSED;
    limit_headers(w, &answer);
    d->tightest = d->limit = answer.name;
    w->retry_ns = answer.retry_ns;
    return EMK_GATE_LIMITED;
}

/* Refused credentials that an honest client does not send. */
static bool is_failure(emk_gate_reason reason)
{
    return is_token_trouble(reason) || reason == EMK_GATE_BAD_CREDENTIALS ||
           reason == EMK_GATE_MIXED_CREDENTIALS || reason == EMK_GATE_SIGNATURE_FORMAT ||
           reason == EMK_GATE_SIGNATURE_COMPONENTS || reason == EMK_GATE_SIGNATURE_BAD ||
           reason == EMK_GATE_DEVICE_UNKNOWN || reason == EMK_GATE_SERVICE_BAD ||
           reason == EMK_GATE_SESSION_BAD || reason == EMK_GATE_DIGEST_BAD;
}

static emk_gate_reason recognise(way *w)
{
    emk_gate_reason reason = emk_gate_authenticate(&w->pass);

    if (is_failure(reason))
        emk_limits_failed(w->pass.config->limits, &w->ask);
    return reason == EMK_GATE_PASSED ? authorise(w) : reason;
}

static emk_gate_reason walk(way *w)
{
    emk_gate_reason reason = before(w);

    if (reason == EMK_GATE_PASSED)
        reason = recognise(w);
    return reason == EMK_GATE_PASSED ? room(w) : reason;
}

/* What was found out is forgotten: until the body is here nothing is granted to anybody. */
static emk_gate_reason walk_early(way *w)
{
    emk_gate_reason reason = before(w);

    if (reason != EMK_GATE_PASSED || emk_gate_is_signed(&w->pass))
        return reason;
    reason = recognise(w);
    if (reason == EMK_GATE_PASSED)
        reason = look_for_room(w);
    if (reason == EMK_GATE_PASSED)
        w->pass.d->who = (emk_principal){.kind = EMK_PRINCIPAL_ANYONE};
    return reason;
}

typedef emk_gate_reason (*walk_fn)(way *w);

static bool id_make(const emk_crypto *c, emk_gate_decision *d, uint8_t *jitter)
{
    uint8_t id[ID_BYTES];
    size_t len;

    if (emk_random_public(c, id, sizeof id, NULL) != EMK_OK)
        return false;
    *jitter = id[0];
    return emk_base64url_encode(emk_span_of(id, sizeof id), d->id, sizeof d->id, &len, NULL) ==
           EMK_OK;
}

static way way_make(const emk_gate *g, const emk_gate_request *rq, const emk_gate_rule *rule,
                    emk_gate_decision *d)
{
    way w = {.pass = {&g->config, g->devices, {0}, rq, rule, d}};

    for (size_t i = 0; i < sizeof g->nobody / sizeof g->nobody[0]; i++)
        w.pass.nobody[i] = g->nobody[i];
    w.ask.who = &d->who;
    w.ask.client = d->client;
    w.ask.route = rule->name;
    w.ask.cost = rule->cost;
    w.ask.now_ns = rq->now_ns;
    return w;
}

static void decide(emk_gate *g, const emk_gate_request *rq, const emk_gate_rule *rule, walk_fn on,
                   emk_gate_decision *out)
{
    emk_gate_reason reason = EMK_GATE_INTERNAL;
    uint8_t jitter = 0;
    way w;

    memset(out, 0, sizeof *out);
    out->detail = "";
    out->who.kind = EMK_PRINCIPAL_ANYONE;
    out->client = emk_client_address(g->config.proxies, rq);
    w = way_make(g, rq, rule, out);
    if (id_make(g->config.crypto, out, &jitter))
        reason = on(&w);
    if (reason == EMK_GATE_PASSED) {
        out->pass = true;
        out->status = 200;
    } else {
        refuse(out, reason, w.retry_ns, jitter);
    }
    if (on == walk || reason != EMK_GATE_PASSED) /* who is admitted is decided upon once more */
        atomic_fetch_add_explicit(&g->counts[reason], 1, memory_order_relaxed);
}

void emk_gate_admit(emk_gate *g, const emk_gate_request *rq, const emk_gate_rule *rule,
                    emk_gate_decision *out)
{
    decide(g, rq, rule, walk_early, out);
}

void emk_gate_check(emk_gate *g, const emk_gate_request *rq, const emk_gate_rule *rule,
                    emk_gate_decision *out)
{
    decide(g, rq, rule, walk, out);
}

void emk_gate_done(emk_gate *g, emk_gate_decision *d)
{
    emk_limits_hold_give(g->config.limits, &d->hold);
}

void emk_gate_problem_body(const emk_gate_decision *d, const char *request, char *out, size_t cap,
                           size_t *len)
{
    const emk_gate_problem p = {d->type, request, d->id[0] ? d->id : NULL, d->limit};

    if (emk_gate_problem_write(&p, out, cap, len, NULL) == EMK_OK)
        return;
    if (cap > 0)
        out[0] = 0;
    *len = 0;
}

emk_known *emk_gate_known(const emk_gate *g)
{
    return g->known;
}

void emk_gate_forget_device(emk_gate *g, const uint8_t device_id[32])
{
    emk_device_cache_forget(g->devices, device_id);
}

void emk_gate_counts_get(const emk_gate *g, uint64_t out[EMK_GATE_REASONS])
{
    for (size_t i = 0; i < EMK_GATE_REASONS; i++)
        out[i] = atomic_load_explicit(&g->counts[i], memory_order_relaxed);
}
