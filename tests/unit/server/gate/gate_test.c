#include "server/gate/device_cache.h"
#include "server/gate/gate.h"
#include "server/gate/service_key.h"

#include "core/base/fault.h"
#include "core/base/os_thread.h"
#include "core/codec/base64url.h"

#include "tests/unit/server/gate/kit.h"

#define ISS "https://id.example"

static const emk_gate_rule tickets = {.name = "tickets",
                                      .admits = EMK_PRINCIPAL_DEVICE_USER,
                                      .cost = 10,
                                      .klass = EMK_GATE_CLASS_GENERATE,
                                      .concurrency = "generate"};
static const emk_gate_rule leases = {.name = "leases", .admits = EMK_PRINCIPAL_DEVICE};
static const emk_gate_rule enrol = {
    .name = "enrol", .admits = EMK_PRINCIPAL_USER, .checks_binding = true};
static const emk_gate_rule whoami = {.name = "whoami", .admits = EMK_PRINCIPAL_USER};
static const emk_gate_rule attest = {
    .name = "attest", .admits = EMK_PRINCIPAL_DEVICE, .takes_expired_device = true};
static const emk_gate_rule redeem = {
    .name = "redeem", .admits = EMK_PRINCIPAL_SERVICE, .scopes = EMK_SCOPE_SEAL};
static const emk_gate_rule ban = {.name = "ban",
                                  .admits = EMK_PRINCIPAL_OPERATOR,
                                  .scopes = EMK_SCOPE_MODERATE,
                                  .needs_step_up = true};
static const emk_gate_rule open_door = {.name = "open", .admits = EMK_PRINCIPAL_ANYONE};
static const emk_gate_rule signed_door = {
    .name = "signed", .admits = EMK_PRINCIPAL_ANYONE, .device_may_sign = true};

/* ---- a small world ---- */

static kit_device device, stranger, signer;
static emk_gate_device record;
static unsigned device_calls;
static emk_status directory_says;
static emk_gate_service service;
static char service_text[EMK_SERVICE_KEY_TEXT_CHARS + 1];
static emk_service_key service_made;
static uint8_t fingerprint[32];
static emk_gate_operator operator_record;
static uint64_t bound;

static emk_status find_device(void *self, const uint8_t id[32], emk_gate_device *out, emk_error *e)
{
    (void)self;
    device_calls++;
    if (directory_says != EMK_OK)
        return emk_fail(e, directory_says, "test: directory", 0);
    if (memcmp(id, device.id, 32) != 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "test: no such device", 0);
    *out = record;
    return EMK_OK;
}

static emk_status find_service(void *self, const char *id, emk_gate_service *out, emk_error *e)
{
    (void)self;
    if (strcmp(id, service_made.id) != 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "test: no such service", 0);
    *out = service;
    return EMK_OK;
}

static emk_status find_certificate(void *self, const uint8_t print[32], emk_gate_service *out,
                                   emk_error *e)
{
    (void)self;
    if (memcmp(print, fingerprint, 32) != 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "test: no such certificate", 0);
    *out = service;
    return EMK_OK;
}

static emk_status find_operator(void *self, const char *name, emk_gate_operator *out, emk_error *e)
{
    (void)self;
    if (strcmp(name, "olga") != 0)
        return emk_fail(e, EMK_E_NOT_FOUND, "test: no such operator", 0);
    *out = operator_record;
    return EMK_OK;
}

static const emk_gate_directory_ops ops = {sizeof ops, find_device, find_service, find_certificate,
                                           find_operator};

static emk_status load_bound(void *self, const uint8_t id[32], uint64_t *out, emk_error *e)
{
    (void)self;
    (void)id;
    (void)e;
    *out = bound;
    return EMK_OK;
}

static emk_status save_bound(void *self, const uint8_t id[32], uint64_t new_bound, emk_error *e)
{
    (void)self;
    (void)id;
    (void)e;
    bound = new_bound;
    return EMK_OK;
}

static emk_counters counters;
static emk_replay_guard guard;
static emk_nonces *nonces;
static emk_jwks_cache *keys;
static emk_tokens *tokens;
static emk_sessions *sessions;
static emk_limits *limits;
static emk_firewall *firewall;
static emk_gate *gate;
static char token[4096];
static char nonce[EMK_NONCE_CHARS + 1];
static kit_request r;
static emk_gate_decision d;
static uint64_t counter;

static const char *const authorities[] = {"api.example"};

static void make_parts(void)
{
    static const emk_limit_rule rules[] = {
        {.name = "user", .by = EMK_LIMIT_BY_USER, .quota = 50, .window_s = 60},
        {.name = "failed",
         .by = EMK_LIMIT_BY_NET,
         .unit = EMK_LIMIT_FAILURES,
         .quota = 60,
         .window_s = 60},
    };
    static const emk_concurrency_rule places[] = {{"generate", EMK_LIMIT_BY_USER, 1, 60, false}};
    static const emk_counters_memory options = {
        .windows = 64, .limits = 64, .once = 64, .leases = 64};
    static const uint8_t key[32] = {5};
    emk_limits_config config = {&counters, rules, 2, places, 1, {0}};
    emk_error e;

    assert_ok(emk_counters_open_memory(&options, &counters, &e), &e);
    assert_ok(emk_nonces_new(kit_crypto(), emk_span_of(key, 32), &nonces, &e), &e);
    assert_ok(emk_sessions_new(kit_crypto(), emk_span_of(key, 32), &sessions, &e), &e);
    assert_ok(emk_limits_new(&config, &limits, &e), &e);
    assert_ok(emk_firewall_new(&firewall, &e), &e);
    guard.counters = &counters;
    guard.store.load = load_bound;
    guard.store.save = save_bound;
}

static void make_tokens(void)
{
    static const char *const audiences[] = {"earmark"};
    emk_token_issuer issuer = {.iss = ISS, .tenant = "main", .audiences = audiences};
    char jwks[2048];
    emk_error e;

    kit_jwks(jwks, sizeof jwks, &signer, 1);
    assert_ok(emk_jwks_cache_new(kit_crypto(), NULL, &keys, &e), &e);
    assert_ok(emk_jwks_cache_put(keys, emk_span_str(jwks), KIT_NOW_S, &e), &e);
    issuer.n_audiences = 1;
    issuer.algs = EMK_JOSE_BITS_USER;
    issuer.keys = keys;
    assert_ok(emk_tokens_new(kit_crypto(), &issuer, 1, 64, &tokens, &e), &e);
}

static void make_gate(void)
{
    emk_gate_config config = {.crypto = kit_crypto(), .nonces = nonces};
    emk_error e;

    config.directory.ops = &ops;
    config.replay = &guard;
    config.tokens = tokens;
    config.sessions = sessions;
    config.limits = limits;
    config.firewall = firewall;
    config.authorities = authorities;
    config.n_authorities = 1;
    config.n_cached_devices = 64;
    config.cached_device_s = 5;
    assert_ok(emk_gate_new(&config, &gate, &e), &e);
}

static void token_for(const char *sub, const char *more)
{
    char claims[1024];

    (void)snprintf(claims, sizeof claims,
                   "{\"iss\":\"" ISS "\",\"sub\":\"%s\",\"aud\":\"earmark\",\"iat\":1699999900,"
                   "\"exp\":1700000500%s}",
                   sub, more);
    strcpy(token, "Bearer ");
    kit_token(token + 7, sizeof token - 7, &signer, "k0", "", claims);
}

static int setup(void **state)
{
    emk_span cert = emk_span_str("a certificate");
    emk_error e;

    (void)state;
    device = kit_device_make(EMK_SIGN_ES256, 1);
    stranger = kit_device_make(EMK_SIGN_ES256, 2);
    signer = kit_device_make(EMK_SIGN_ES256, 3);
    memset(&record, 0, sizeof record);
    record.alg = EMK_SIGN_ES256;
    memcpy(record.signing_key, device.pub, 65);
    strcpy(record.user, "anna");
    strcpy(record.tenant, "main");
    record.attestation_level = 2;
    record.not_after = KIT_NOW_S + 1000;
    directory_says = EMK_OK;
    device_calls = 0;
    bound = 0;
    counter = 0;
    assert_ok(emk_service_key_make(kit_crypto(), service_text, &service_made, &e), &e);
    memset(&service, 0, sizeof service);
    strcpy(service.name, "renderer");
    memcpy(service.secret_hash, service_made.hash, 32);
    service.scopes = EMK_SCOPE_SEAL;
    assert_ok(emk_sha256(kit_crypto(), &cert, 1, fingerprint, &e), &e);
    memset(&operator_record, 0, sizeof operator_record);
    operator_record.scopes = EMK_SCOPE_MODERATE;
    operator_record.generation = 4;
    make_parts();
    make_tokens();
    make_gate();
    token_for("anna", "");
    assert_ok(emk_nonce_make(nonces, emk_span_of(device.id, 32), KIT_NOW_S, nonce, &e), &e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    emk_gate_free(gate);
    emk_tokens_free(tokens);
    emk_jwks_cache_free(keys);
    emk_limits_free(limits);
    emk_firewall_free(firewall);
    emk_sessions_free(sessions);
    emk_nonces_free(nonces);
    emk_counters_close(&counters);
    kit_device_done(&device);
    kit_device_done(&stranger);
    kit_device_done(&signer);
    return 0;
}

static emk_gate_reason check(const emk_gate_rule *rule)
{
    emk_gate_check(gate, &r.rq, rule, &d);
    emk_gate_done(gate, &d);
    assert_true(d.pass == (d.reason == EMK_GATE_PASSED));
    return d.reason;
}

static const char *answer(const char *name)
{
    for (size_t i = 0; i < d.n_headers; i++)
        if (strcmp(d.headers[i].name, name) == 0)
            return d.headers[i].value;
    return NULL;
}

/* A good request of the device, with or without a token. */
static void request(const char *bearer)
{
    kit_request_init(&r);
    if (bearer)
        kit_add(&r, "authorization", bearer);
    kit_sign(&r, &device, ++counter, nonce);
}

/* A request with this Authorization and nothing else. */
static void bare(const char *authorization)
{
    kit_request_init(&r);
    if (authorization)
        kit_add(&r, "authorization", authorization);
}

/* ---- rules ---- */

static void device_and_user_pass_together(void **state)
{
    (void)state;
    request(token);
    assert_int_equal(check(&tickets), EMK_GATE_PASSED);
    assert_int_equal(d.who.kind, EMK_PRINCIPAL_DEVICE_USER);
    assert_string_equal(d.who.user, "anna");
    assert_string_equal(d.who.tenant, "main");
    assert_memory_equal(d.who.device_id, device.id, 32);
    assert_int_equal(d.who.attestation_level, 2);
    assert_true(d.has_body_digest);
    assert_string_equal(answer("Earmark-Nonce"), nonce);
    assert_string_equal(answer("RateLimit-Policy"), "\"user\";q=50;w=60");
    assert_non_null(answer("RateLimit"));
    assert_int_equal(strlen(d.id), EMK_DECISION_ID_LEN);
    request(NULL);
    assert_int_equal(check(&leases), EMK_GATE_PASSED);
    assert_string_equal(d.who.user, "anna"); /* who enrolled it */
    assert_int_equal(device_calls, 1);       /* the second time it was known */
}

static void where_a_device_may_sign_it_is_found_out_and_others_pass(void **state)
{
    (void)state;
    bare(NULL);
    assert_int_equal(check(&signed_door), EMK_GATE_PASSED);
    assert_int_equal(d.who.kind, EMK_PRINCIPAL_ANYONE);
    bare("Basic eDp5"); /* not looked at */
    assert_int_equal(check(&signed_door), EMK_GATE_PASSED);
    request(NULL);
    assert_int_equal(check(&signed_door), EMK_GATE_PASSED);
    assert_int_equal(d.who.kind, EMK_PRINCIPAL_DEVICE);
    assert_memory_equal(d.who.device_id, device.id, 32);
    assert_int_equal(check(&signed_door), EMK_GATE_REPLAYED);
    assert_int_equal(d.who.kind, EMK_PRINCIPAL_ANYONE);
    assert_false(d.has_body_digest);
    request(NULL);
    kit_add(&r, "signature", "sig1=:AAAA:");
    assert_int_not_equal(check(&signed_door), EMK_GATE_PASSED);
    assert_int_equal(d.who.kind, EMK_PRINCIPAL_ANYONE);
    request(NULL);
    assert_int_equal(check(&open_door), EMK_GATE_PASSED);
    assert_int_equal(d.who.kind, EMK_PRINCIPAL_ANYONE); /* nobody asked */
}

static void a_service_brings_its_tenant(void **state)
{
    char bearer[EMK_SERVICE_KEY_TEXT_CHARS + 8];

    (void)state;
    strcpy(service.tenant, "acme");
    snprintf(bearer, sizeof bearer, "Bearer %s", service_text);
    bare(bearer);
    assert_int_equal(check(&redeem), EMK_GATE_PASSED);
    assert_string_equal(d.who.tenant, "acme");
}

static void replayed_request_is_told_the_next_number(void **state)
{
    (void)state;
    request(token);
    assert_int_equal(check(&tickets), EMK_GATE_PASSED);
    assert_int_equal(check(&tickets), EMK_GATE_REPLAYED);
    assert_int_equal(d.status, 401);
    assert_string_equal(answer("Earmark-Counter"), "2");
    assert_non_null(answer("Earmark-Nonce"));
    assert_true(d.has_proven);
    assert_int_equal(d.who.kind, EMK_PRINCIPAL_ANYONE);
}

/* ECDSA has for each signature (r, s) another one, (r, n - s): it is the same request. */
static void second_form_of_a_signature_is_a_replay(void **state)
{
    static const uint8_t n[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                  0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                  0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    emk_http_signature s;
    char text[128], field[160];
    int borrow = 0;

    (void)state;
    request(token);
    assert_ok(emk_http_signature_parse(&r.rq, &s, NULL), NULL);
    assert_int_equal(check(&tickets), EMK_GATE_PASSED);
    for (size_t i = 32; i-- > 0;) {
        int v = n[i] - s.sig[32 + i] - borrow;

        borrow = v < 0;
        s.sig[32 + i] = (uint8_t)(v + (borrow ? 256 : 0));
    }
    assert_ok(emk_sf_bytes_write(emk_span_of(s.sig, 64), text, sizeof text, NULL), NULL);
    (void)snprintf(field, sizeof field, "sig1=%s", text);
    kit_set(&r, "signature", field);
    assert_int_equal(check(&tickets), EMK_GATE_REPLAYED);
}

static void nonce_is_asked_for_and_told(void **state)
{
    (void)state;
    kit_request_init(&r);
    kit_add(&r, "authorization", token);
    kit_sign(&r, &device, 1, NULL);
    assert_int_equal(check(&tickets), EMK_GATE_NONCE_MISSING);
    assert_int_equal(d.status, 401);
    assert_int_equal(d.type, EMK_GATE_PROBLEM_USE_NONCE);
    assert_string_equal(answer("Earmark-Nonce"), nonce);
    assert_non_null(strstr(answer("WWW-Authenticate"), "use_nonce"));
    kit_set(&r, "earmark-nonce", answer("Earmark-Nonce"));
    kit_sign_again(&r, &device);
    assert_int_equal(check(&tickets), EMK_GATE_PASSED);
    request(token);
    r.rq.now_s += 2 * EMK_NONCE_EPOCH_S;
    assert_int_equal(check(&tickets), EMK_GATE_NONCE_STALE);
    assert_string_not_equal(answer("Earmark-Nonce"), nonce);
    kit_request_init(&r); /* a nonce of another device */
    kit_sign(&r, &stranger, 1, nonce);
    assert_int_equal(check(&leases), EMK_GATE_NONCE_STALE);
}

static void body_and_answer_look_the_same(emk_gate_reason reason, const emk_gate_decision *like)
{
    char a[EMK_GATE_PROBLEM_BODY_MAX], b[EMK_GATE_PROBLEM_BODY_MAX];
    size_t la, lb;

    assert_int_equal(d.reason, reason);
    assert_int_equal(d.status, like->status);
    assert_int_equal(d.n_headers, like->n_headers);
    for (size_t i = 0; i < d.n_headers; i++)
        assert_string_equal(d.headers[i].name, like->headers[i].name);
    assert_string_equal(answer("WWW-Authenticate"), "Bearer realm=\"earmark\"");
    emk_gate_problem_body(&d, "r", a, sizeof a, &la);
    emk_gate_problem_body(like, "r", b, sizeof b, &lb);
    assert_int_equal(la, lb);
    memset(strstr(a, d.id), 'x', strlen(d.id));
    memset(strstr(b, like->id), 'x', strlen(like->id));
    assert_string_equal(a, b);
}

static void unknown_device_and_wrong_signature_look_the_same(void **state)
{
    char other[EMK_NONCE_CHARS + 1];
    static emk_gate_decision unknown;

    (void)state;
    assert_ok(emk_nonce_make(nonces, emk_span_of(stranger.id, 32), KIT_NOW_S, other, NULL), NULL);
    kit_request_init(&r);
    kit_sign(&r, &stranger, 1, other);
    assert_int_equal(check(&leases), EMK_GATE_DEVICE_UNKNOWN);
    unknown = d;
    request(NULL);
    r.rq.path = emk_span_str("/v1/other");
    (void)check(&leases);
    body_and_answer_look_the_same(EMK_GATE_SIGNATURE_BAD, &unknown);
    record.revoked = true; /* a stranger does not learn that either */
    emk_gate_forget_device(gate, device.id);
    (void)check(&leases);
    body_and_answer_look_the_same(EMK_GATE_SIGNATURE_BAD, &unknown);
}

static void unknown_service_and_wrong_secret_look_the_same(void **state)
{
    char text[128];
    static emk_gate_decision unknown;

    (void)state;
    (void)snprintf(text, sizeof text, "Bearer %s", service_text);
    text[7 + 6] = text[7 + 6] == 'A' ? 'E' : 'A'; /* another id */
    bare(text);
    assert_int_equal(check(&redeem), EMK_GATE_SERVICE_BAD);
    unknown = d;
    (void)snprintf(text, sizeof text, "Bearer %s", service_text);
    text[7 + 30] = text[7 + 30] == 'A' ? 'E' : 'A'; /* another secret */
    bare(text);
    (void)check(&redeem);
    body_and_answer_look_the_same(EMK_GATE_SERVICE_BAD, &unknown);
    service.revoked = true;
    (void)snprintf(text, sizeof text, "Bearer %s", service_text);
    bare(text);
    (void)check(&redeem);
    body_and_answer_look_the_same(EMK_GATE_SERVICE_BAD, &unknown);
}

static void device_that_proved_itself_is_told_its_state(void **state)
{
    (void)state;
    record.revoked = true;
    request(NULL);
    assert_int_equal(check(&leases), EMK_GATE_DEVICE_REVOKED);
    assert_int_equal(d.status, 403);
    record.revoked = false;
    record.not_after = KIT_NOW_S;
    emk_gate_forget_device(gate, device.id);
    request(NULL);
    assert_int_equal(check(&leases), EMK_GATE_DEVICE_EXPIRED);
    request(NULL);
    assert_int_equal(check(&attest), EMK_GATE_PASSED); /* that is where it gets a new one */
}

static void revocation_counts_when_the_device_is_forgotten_or_a_moment_later(void **state)
{
    (void)state;
    request(NULL);
    assert_int_equal(check(&leases), EMK_GATE_PASSED);
    record.revoked = true;
    request(NULL);
    assert_int_equal(check(&leases), EMK_GATE_PASSED); /* another node did it */
    request(NULL);
    r.rq.now_ns += UINT64_C(5000000001);
    assert_int_equal(check(&leases), EMK_GATE_DEVICE_REVOKED);
}

static void users_are_held_to_their_device_and_binding(void **state)
{
    char jkt[64], more[128];
    uint8_t print[32];
    size_t len;

    (void)state;
    token_for("eve", "");
    request(token);
    assert_int_equal(check(&tickets), EMK_GATE_DEVICE_OF_ANOTHER);
    token_for("anna", ",\"cnf\":{\"jkt\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}");
    request(token);
    assert_int_equal(check(&tickets), EMK_GATE_TOKEN_BINDING);
    bare(token);
    assert_int_equal(check(&whoami), EMK_GATE_TOKEN_BINDING); /* no proof at all */
    assert_int_equal(check(&enrol), EMK_GATE_PASSED);         /* its handler looks */
    assert_true(d.who.token_is_bound);
    assert_ok(emk_signing_key_thumbprint(kit_crypto(), EMK_SIGN_ES256, device.pub, print, NULL),
              NULL);
    assert_ok(emk_base64url_encode(emk_span_of(print, 32), jkt, sizeof jkt, &len, NULL), NULL);
    (void)snprintf(more, sizeof more, ",\"cnf\":{\"jkt\":\"%s\"}", jkt);
    token_for("anna", more);
    request(token);
    assert_int_equal(check(&tickets), EMK_GATE_PASSED);
}

static void each_route_takes_its_own_credentials(void **state)
{
    char key[128];

    (void)state;
    (void)snprintf(key, sizeof key, "Bearer %s", service_text);
    bare(NULL);
    assert_int_equal(check(&tickets), EMK_GATE_NO_CREDENTIALS);
    assert_int_equal(check(&open_door), EMK_GATE_PASSED);
    bare(token);
    assert_int_equal(check(&tickets), EMK_GATE_NOT_ADMITTED); /* a user without device */
    assert_int_equal(check(&redeem), EMK_GATE_NOT_ADMITTED);
    assert_int_equal(check(&ban), EMK_GATE_NOT_ADMITTED);
    assert_int_equal(check(&whoami), EMK_GATE_PASSED);
    request(NULL);
    assert_int_equal(check(&tickets), EMK_GATE_NOT_ADMITTED); /* a device without user */
    bare(key);
    assert_int_equal(check(&redeem), EMK_GATE_PASSED);
    assert_string_equal(d.who.name, "renderer");
    assert_int_equal(check(&tickets), EMK_GATE_NOT_ADMITTED);
    assert_int_equal(check(&whoami), EMK_GATE_NOT_ADMITTED);
    request(key); /* a service key on a signed request */
    assert_int_equal(check(&tickets), EMK_GATE_MIXED_CREDENTIALS);
    bare("Basic YTpi");
    assert_int_equal(check(&whoami), EMK_GATE_BAD_CREDENTIALS);
    bare("Bearer ");
    assert_int_equal(check(&whoami), EMK_GATE_BAD_CREDENTIALS);
    bare(token);
    kit_add(&r, "authorization", token);
    assert_int_equal(check(&whoami), EMK_GATE_MIXED_CREDENTIALS);
}

static void services_need_scopes_and_may_come_by_certificate(void **state)
{
    char key[128];

    (void)state;
    bare(NULL);
    r.rq.tls_client_der = emk_span_str("a certificate");
    assert_int_equal(check(&redeem), EMK_GATE_PASSED);
    assert_int_equal(check(&whoami), EMK_GATE_NO_CREDENTIALS);
    r.rq.tls_client_der = emk_span_str("another");
    assert_int_equal(check(&redeem), EMK_GATE_SERVICE_BAD);
    (void)snprintf(key, sizeof key, "Bearer %s", service_text);
    service.scopes = EMK_SCOPE_PUBLISH;
    bare(key);
    assert_int_equal(check(&redeem), EMK_GATE_SCOPE_MISSING);
    assert_int_equal(d.status, 403);
    service.scopes = EMK_SCOPE_SEAL;
    service.not_after = KIT_NOW_S;
    assert_int_equal(check(&redeem), EMK_GATE_SERVICE_BAD);
}

static void operators_need_a_session_scopes_and_a_second_look(void **state)
{
    emk_session s = {"olga", KIT_NOW_S, KIT_NOW_S + 3600, KIT_NOW_S + 300, 4};
    char text[EMK_SESSION_TEXT_MAX + 8] = "Bearer ";

    (void)state;
    assert_ok(emk_session_make(sessions, &s, text + 7, NULL), NULL);
    bare(text);
    assert_int_equal(check(&ban), EMK_GATE_PASSED);
    assert_true(d.who.step_up);
    r.rq.now_s += 300;
    assert_int_equal(check(&ban), EMK_GATE_STEP_UP_MISSING);
    assert_int_equal(d.status, 401);
    r.rq.now_s = KIT_NOW_S;
    operator_record.scopes = EMK_SCOPE_READ;
    assert_int_equal(check(&ban), EMK_GATE_SCOPE_MISSING);
    operator_record.generation = 5; /* logged out everywhere */
    assert_int_equal(check(&ban), EMK_GATE_SESSION_BAD);
    operator_record.generation = 4;
    operator_record.disabled = true;
    assert_int_equal(check(&ban), EMK_GATE_SESSION_BAD);
    operator_record.disabled = false;
    r.rq.now_s += 3600;
    assert_int_equal(check(&ban), EMK_GATE_SESSION_BAD);
    strcpy(s.name, "nobody");
    assert_ok(emk_session_make(sessions, &s, text + 7, NULL), NULL);
    bare(text);
    assert_int_equal(check(&ban), EMK_GATE_SESSION_BAD);
}

static void firewall_comes_first(void **state)
{
    emk_firewall_set *set = NULL;

    (void)state;
    assert_ok(emk_firewall_import(emk_span_str("192.0.2.0/24 deny\n"), &set, NULL), NULL);
    emk_firewall_swap(firewall, set);
    request(token);
    assert_int_equal(check(&tickets), EMK_GATE_WALL_DENY);
    assert_int_equal(d.status, 403);
    assert_int_equal(check(&open_door), EMK_GATE_WALL_DENY);
    assert_int_equal(device_calls, 0);
    assert_ok(emk_firewall_import(emk_span_str("192.0.2.0/24 challenge\n"), &set, NULL), NULL);
    emk_firewall_swap(firewall, set);
    assert_int_equal(check(&tickets), EMK_GATE_PASSED); /* it is attested */
    record.attestation_level = 0;
    emk_gate_forget_device(gate, device.id);
    request(token);
    assert_int_equal(check(&tickets), EMK_GATE_WALL_CHALLENGE);
    request(NULL);
    assert_int_equal(check(&attest), EMK_GATE_PASSED);
}

static void limits_answer_429_with_when_to_come_back(void **state)
{
    emk_gate_decision first, second;

    (void)state;
    for (int i = 0; i < 50; i++) {
        bare(token);
        assert_int_equal(check(&whoami), EMK_GATE_PASSED);
    }
    assert_int_equal(check(&whoami), EMK_GATE_LIMITED);
    assert_int_equal(d.status, 429);
    assert_string_equal(d.limit, "user");
    assert_in_range(d.retry_after_s, 2, 3);
    assert_non_null(answer("Retry-After"));
    assert_string_equal(answer("RateLimit"), "\"user\";r=0;t=2");
    r.rq.now_ns += UINT64_C(60000000000);
    request(token);
    r.rq.now_ns += UINT64_C(60000000000);
    emk_gate_check(gate, &r.rq, &tickets, &first);
    assert_true(first.pass);
    request(token);
    r.rq.now_ns += UINT64_C(60000000000);
    emk_gate_check(gate, &r.rq, &tickets, &second);
    assert_int_equal(second.reason, EMK_GATE_CONCURRENCY);
    emk_gate_done(gate, &second);
    emk_gate_done(gate, &first);
    request(token);
    r.rq.now_ns += UINT64_C(60000000000);
    assert_int_equal(check(&tickets), EMK_GATE_PASSED);
}

static emk_gate_reason admit(const emk_gate_rule *rule)
{
    emk_gate_admit(gate, &r.rq, rule, &d);
    emk_gate_done(gate, &d);
    assert_true(d.pass == (d.reason == EMK_GATE_PASSED));
    return d.reason;
}

/* A head costs nothing before its body is here, however many come. */
static void admitting_takes_nothing_from_limits_and_grants_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        bare(token);
        assert_int_equal(admit(&whoami), EMK_GATE_PASSED);
        assert_int_equal(d.who.kind, EMK_PRINCIPAL_ANYONE);
        assert_string_equal(d.who.user, "");
    }
    for (int i = 0; i < 50; i++) {
        bare(token);
        assert_int_equal(check(&whoami), EMK_GATE_PASSED);
    }
    assert_int_equal(admit(&whoami), EMK_GATE_LIMITED); /* said before the body is sent */
    assert_int_equal(d.status, 429);
    assert_string_equal(d.limit, "user");
    assert_in_range(d.retry_after_s, 2, 3);
    assert_non_null(answer("Retry-After"));
}

static void admitting_moves_no_replay_window_and_takes_no_place(void **state)
{
    emk_gate_decision many[3];

    (void)state;
    request(token);
    for (int i = 0; i < 3; i++) {
        emk_gate_admit(gate, &r.rq, &tickets, &many[i]);
        assert_true(many[i].pass);
    }
    assert_int_equal(device_calls, 0); /* its signature is for the body too */
    assert_int_equal(check(&tickets), EMK_GATE_PASSED);
    assert_int_equal(check(&tickets), EMK_GATE_REPLAYED);
    for (int i = 0; i < 3; i++)
        emk_gate_done(gate, &many[i]);
}

static void admitting_refuses_what_the_head_decides(void **state)
{
    emk_gate_rule broken = whoami;
    uint64_t before[EMK_GATE_REASONS], after[EMK_GATE_REASONS];

    (void)state;
    bare("Bearer e30.e30.AAAA");
    assert_int_equal(admit(&whoami), EMK_GATE_TOKEN_FORMAT);
    assert_int_equal(d.status, 401);
    bare(token);
    assert_int_equal(admit(&redeem), EMK_GATE_NOT_ADMITTED);
    bare(NULL);
    assert_int_equal(admit(&whoami), EMK_GATE_NO_CREDENTIALS);
    assert_int_equal(admit(&open_door), EMK_GATE_PASSED);
    r.rq.path = emk_span_str("x");
    assert_int_equal(admit(&whoami), EMK_GATE_BAD_REQUEST);
    broken.klass = EMK_GATE_CLASS_GENERATE;
    emk_limits_shed_set(limits, EMK_GATE_CLASS_DOWNLOAD);
    bare(token);
    assert_int_equal(admit(&broken), EMK_GATE_SHED);
    request(token);
    assert_int_equal(admit(&tickets), EMK_GATE_SHED);
    r.rq.admitted = true; /* once is enough */
    assert_int_equal(check(&tickets), EMK_GATE_PASSED);
    bare(token);
    emk_gate_counts_get(gate, before);
    assert_int_equal(admit(&whoami), EMK_GATE_PASSED);
    assert_int_equal(check(&whoami), EMK_GATE_PASSED);
    emk_gate_counts_get(gate, after);
    assert_int_equal(after[EMK_GATE_PASSED] - before[EMK_GATE_PASSED], 1);
}

static void heads_that_fail_count_as_failures(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        bare("Bearer e30.e30.AAAA");
        assert_int_equal(admit(&whoami), EMK_GATE_TOKEN_FORMAT);
    }
    bare(token);
    assert_int_equal(admit(&whoami), EMK_GATE_LIMITED);
    request(token);
    assert_int_equal(admit(&tickets), EMK_GATE_LIMITED);
}

static void net_that_fails_too_often_waits(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        bare("Bearer e30.e30.AAAA");
        assert_int_equal(check(&whoami), EMK_GATE_TOKEN_FORMAT);
    }
    bare(token);
    assert_int_equal(check(&whoami), EMK_GATE_LIMITED);
    r.rq.peer.b[2]++;
    assert_int_equal(check(&whoami), EMK_GATE_PASSED);
}

static void trouble_inside_is_503_and_never_a_pass(void **state)
{
    (void)state;
    directory_says = EMK_E_IO;
    request(token);
    assert_int_equal(check(&tickets), EMK_GATE_DIRECTORY_FAILED);
    assert_int_equal(d.status, 503);
    assert_in_range(d.retry_after_s, 5, 6);
    assert_string_equal(d.detail, "test: directory");
    bare(token);
    r.rq.now_s += EMK_JWKS_USABLE_S + 60;
    assert_int_equal(check(&whoami), EMK_GATE_TOKEN_CLAIMS);
    emk_limits_shed_set(limits, EMK_GATE_CLASS_DOWNLOAD);
    assert_int_equal(check(&tickets), EMK_GATE_SHED);
    assert_int_equal(d.status, 503);
}

static void refuses_requests_of_no_shape(void **state)
{
    (void)state;
    bare(token);
    r.rq.path = emk_span_str("v1");
    assert_int_equal(check(&whoami), EMK_GATE_BAD_REQUEST);
    bare(token);
    r.rq.authority = emk_span_str("other.example");
    assert_int_equal(check(&whoami), EMK_GATE_BAD_REQUEST);
    r.rq.authority = emk_span_str("API.example:443");
    assert_int_equal(check(&whoami), EMK_GATE_PASSED);
    for (int i = 0; i < 64; i++)
        kit_add(&r, "x", "y");
    assert_int_equal(check(&whoami), EMK_GATE_BAD_REQUEST);
    assert_int_equal(d.status, 400);
}

static void body_that_is_there_is_compared(void **state)
{
    static const uint8_t wrong[32] = {1};

    (void)state;
    request(token);
    r.rq.body_sha256 = wrong;
    assert_int_equal(check(&tickets), EMK_GATE_DIGEST_BAD);
    assert_int_equal(d.status, 400);
    request(token);
    r.rq.body_sha256 = d.body_sha256;
    {
        uint8_t digest[32];

        assert_ok(emk_sha256(kit_crypto(), NULL, 0, digest, NULL), NULL);
        r.rq.body_sha256 = digest;
        assert_int_equal(check(&tickets), EMK_GATE_PASSED);
    }
}

static void hammer(void *self)
{
    static emk_gate_decision many[4];
    emk_gate_decision *own = &many[*(unsigned *)self];
    kit_request *mine = calloc(1, sizeof *mine);

    for (int i = 0; i < 200; i++) {
        kit_request_init(mine);
        kit_add(mine, "authorization", token);
        mine->rq.now_ns += (uint64_t)i * UINT64_C(10000000000);
        emk_gate_check(gate, &mine->rq, &whoami, own);
        emk_gate_done(gate, own);
        if (i % 50 == 0)
            emk_gate_forget_device(gate, device.id);
    }
    free(mine);
}

static void threads_share_a_gate(void **state)
{
    static unsigned numbers[4] = {0, 1, 2, 3};
    uint64_t counts[EMK_GATE_REASONS], sum = 0;
    emk_thread *t[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_ok(emk_thread_start(hammer, &numbers[i], &t[i], NULL), NULL);
    for (size_t i = 0; i < 4; i++)
        emk_thread_join(t[i]);
    emk_gate_counts_get(gate, counts);
    for (size_t i = 0; i < EMK_GATE_REASONS; i++)
        sum += counts[i];
    assert_int_equal(sum, 800);
    assert_int_equal(counts[EMK_GATE_PASSED] + counts[EMK_GATE_LIMITED], 800);
}

static void refuses_to_be_made_without_its_parts(void **state)
{
    emk_gate_config config = {.crypto = kit_crypto()};
    emk_gate *g = NULL;

    (void)state;
    assert_status(emk_gate_new(&config, &g, NULL), EMK_E_USAGE, NULL);
    assert_null(g);
}

#ifdef EMK_FAULTS
/* Whatever fails inside, the answer is a pass or 503: never a wrong reason, never a leak. */
static void failure_inside_is_never_somebody_elses_fault(void **state)
{
    static const emk_fault_kind kinds[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        for (uint64_t n = 1; n < 200; n++) {
            emk_gate_forget_device(gate, device.id);
            token_for("anna", n % 2 ? ",\"odd\":1" : ",\"even\":1");
            request(token);
            r.rq.now_ns += n * UINT64_C(60000000000);
            counter += 5000; /* windows end in between */
            emk_fault_fail_at(kinds[k], n);
            emk_gate_check(gate, &r.rq, &tickets, &d);
            n = emk_fault_count(kinds[k]) < n ? 200 : n;
            emk_fault_fail_at(kinds[k], 0);
            emk_gate_done(gate, &d);
            if (!d.pass && d.status != 503)
                fail_msg("kind %zu, call %llu: %s", k, (unsigned long long)n,
                         emk_gate_reason_name(d.reason));
        }
    }
}

static void parts_are_made_whole_or_not_at_all(void **state)
{
    static const uint8_t key[32] = {5};
    static const char *const audiences[] = {"a"};
    emk_token_issuer row = {.iss = "i", .tenant = "t", .audiences = audiences, .n_audiences = 1};
    emk_gate_config config = {.crypto = kit_crypto(), .nonces = nonces};
    emk_firewall_set *set;
    emk_firewall *f;
    emk_nonces *n;
    emk_sessions *s;
    emk_tokens *t;
    emk_jwks_cache *j;
    emk_gate *g;

    (void)state;
    row.algs = EMK_JOSE_BITS_USER;
    row.keys = keys;
    config.directory.ops = &ops;
    config.replay = &guard;
    config.limits = limits;
    config.n_cached_devices = 4;
    for (uint64_t i = 1; i < 60; i++) {
        emk_fault_fail_at(EMK_FAULT_ALLOC, i);
        set = NULL;
        f = NULL;
        n = NULL;
        s = NULL;
        t = NULL;
        j = NULL;
        g = NULL;
        (void)!emk_firewall_import(emk_span_str("10.0.0.0/8 deny\n"), &set, NULL);
        (void)!emk_firewall_new(&f, NULL);
        (void)!emk_nonces_new(kit_crypto(), emk_span_of(key, 32), &n, NULL);
        (void)!emk_sessions_new(kit_crypto(), emk_span_of(key, 32), &s, NULL);
        (void)!emk_tokens_new(kit_crypto(), &row, 1, 4, &t, NULL);
        (void)!emk_jwks_cache_new(kit_crypto(), NULL, &j, NULL);
        (void)!emk_gate_new(&config, &g, NULL);
        emk_fault_fail_at(EMK_FAULT_ALLOC, 0);
        emk_firewall_set_free(set);
        emk_firewall_free(f);
        emk_nonces_free(n);
        emk_sessions_free(s);
        emk_tokens_free(t);
        emk_jwks_cache_free(j);
        emk_gate_free(g);
    }
}
#define FAULT_RULES                                         \
    in_world(failure_inside_is_never_somebody_elses_fault), \
        in_world(parts_are_made_whole_or_not_at_all),
#else
#define FAULT_RULES
#endif

#define in_world(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    return EMK_RUN(
        FAULT_RULES in_world(device_and_user_pass_together),
        in_world(where_a_device_may_sign_it_is_found_out_and_others_pass),
        in_world(a_service_brings_its_tenant), in_world(replayed_request_is_told_the_next_number),
        in_world(second_form_of_a_signature_is_a_replay), in_world(nonce_is_asked_for_and_told),
        in_world(unknown_device_and_wrong_signature_look_the_same),
        in_world(unknown_service_and_wrong_secret_look_the_same),
        in_world(device_that_proved_itself_is_told_its_state),
        in_world(revocation_counts_when_the_device_is_forgotten_or_a_moment_later),
        in_world(users_are_held_to_their_device_and_binding),
        in_world(each_route_takes_its_own_credentials),
        in_world(services_need_scopes_and_may_come_by_certificate),
        in_world(operators_need_a_session_scopes_and_a_second_look), in_world(firewall_comes_first),
        in_world(limits_answer_429_with_when_to_come_back),
        in_world(admitting_takes_nothing_from_limits_and_grants_nothing),
        in_world(admitting_moves_no_replay_window_and_takes_no_place),
        in_world(admitting_refuses_what_the_head_decides),
        in_world(heads_that_fail_count_as_failures), in_world(net_that_fails_too_often_waits),
        in_world(trouble_inside_is_503_and_never_a_pass), in_world(refuses_requests_of_no_shape),
        in_world(body_that_is_there_is_compared), in_world(threads_share_a_gate),
        emk_rule(refuses_to_be_made_without_its_parts));
}
