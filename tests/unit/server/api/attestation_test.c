/* Evidence of every kind on its way into a device's record, made by the simulators. */
#include "server/api/attestation.h"

#include "core/base/os_file.h"
#include "core/crypto/x509.h"
#include "server/api/api.h"
#include "server/api/signals.h"
#include "server/attest/challenge.h"
#include "server/attest/pem.h"
#include "server/attest/roots.h"
#include "server/attest/sim/sim.h"
#include "tests/support/test.h"

#include <string.h>

#define NOW     1800000000u
#define APP_ID  "TEAM123456.com.example.cam"
#define PACKAGE "com.example.cam"
#define TPM_APP "example-desktop"

typedef struct world {
    emk_crypto *crypto;
    emk_sim *sim;
    char *dir;
    emk_api api;
    emk_api_attestation settings;
    emk_call call;
    emk_device_record device;
    uint8_t device_id[32];
    uint8_t challenge[36];
    uint8_t signing[65], agreement[65];
    emk_evidence_changes also;
    emk_error e;
} world;

static uint64_t clock_of(void *self)
{
    (void)self;
    return NOW;
}

static void write_root(world *w, const char *name, const char *text)
{
    char path[512];
    emk_buf pem;

    emk_buf_init(&pem, 8192);
    if (!text)
        assert_ok(emk_sim_root_pem(w->sim, &pem, &w->e), &w->e);
    snprintf(path, sizeof path, "%s/%s", w->dir, name);
    assert_ok(emk_os_write_file(path, text ? emk_span_str(text) : emk_buf_span(&pem), &w->e),
              &w->e);
    emk_buf_done(&pem);
}

static void add_app(world *w, const char *id, uint32_t kinds)
{
    emk_api_app *app = &w->settings.apps[w->settings.n_apps++];

    snprintf(app->id, sizeof app->id, "%s", id);
    app->kinds = kinds;
    memset(app->digests[0], 0xaa, 32);
    app->n_digests = 1;
}

static void fresh_call(world *w)
{
    emk_call_done(&w->call);
    emk_call_init(&w->call, &w->api);
    memset(&w->e, 0, sizeof w->e);
}

static int make(void **state)
{
    static const uint8_t seed[EMK_SIM_SEED_LEN] = {7};
    world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &w->e), &w->e);
    assert_ok(emk_sim_new(w->crypto, seed, &w->sim, &w->e), &w->e);
    assert_ok(emk_records_open_memory(&w->api.records, &w->e), &w->e);
    w->dir = emk_test_dir_make();
    write_root(w, "Apple_App_Attestation_Root_CA.pem", NULL);
    write_root(w, "google_hardware_attestation_roots.pem", NULL);
    write_root(w, "android_attestation_status.json", "{\"entries\":{}}");
    write_root(w, "tpm_roots.pem", NULL);
    add_app(w, APP_ID, 1u << EMK_ATTEST_APP_ATTEST);
    add_app(w, PACKAGE, 1u << EMK_ATTEST_ANDROID_KEY | 1u << EMK_ATTEST_PLAY_INTEGRITY);
    add_app(w, TPM_APP, 1u << EMK_ATTEST_TPM);
    w->settings.simulated = EMK_SIMULATED_COUNTS;
    w->settings.pcrs = (emk_tpm_pcrs){.n = 1, .banks = {{EMK_TPM_ALG_SHA256, 0x81}}};
    w->api.crypto = w->crypto;
    w->api.clock = clock_of;
    w->api.settings.dev = true;
    w->api.settings.attestation = &w->settings;
    memset(w->device_id, 1, sizeof w->device_id);
    memset(w->challenge, 2, sizeof w->challenge);
    memcpy(w->signing, emk_sim_signing_key(w->sim).p, 65);
    memcpy(w->agreement, emk_sim_agreement_key(w->sim).p, 65);
    emk_call_init(&w->call, &w->api);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_call_done(&w->call);
    for (size_t i = 0; i < w->settings.n_apps; i++)
        emk_play_keys_free(w->settings.apps[i].play_keys);
    emk_attest_roots_free(w->settings.roots);
    emk_records_close(&w->api.records);
    emk_test_dir_remove(w->dir);
    emk_sim_free(w->sim);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static void add_roots(world *w)
{
    emk_attest_roots *roots = NULL;
    static const struct {
        const char *name;
        emk_attest_role role;
    } FILES[] = {{"Apple_App_Attestation_Root_CA.pem", EMK_ROLE_APP_ATTEST},
                 {"google_hardware_attestation_roots.pem", EMK_ROLE_ANDROID_KEY},
                 {"android_attestation_status.json", EMK_ROLE_ANDROID_STATUS},
                 {"tpm_roots.pem", EMK_ROLE_TPM}};
    static emk_roots_index index;
    char path[512];
    emk_buf file, json;

    memset(&index, 0, sizeof index);
    emk_buf_init(&json, 65536);
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        emk_roots_row *row = &index.row[index.n++];
        emk_span whole;

        snprintf(row->name, sizeof row->name, "%s", FILES[i].name);
        snprintf(row->source, sizeof row->source, "https://example.com/");
        row->role = FILES[i].role;
        row->fetched_s = NOW;
        emk_buf_init(&file, 65536);
        snprintf(path, sizeof path, "%s/%s", w->dir, row->name);
        assert_ok(emk_os_read_file(path, 65536, &file, &w->e), &w->e);
        whole = emk_buf_span(&file);
        assert_ok(emk_sha256(w->crypto, &whole, 1, row->sha256, &w->e), &w->e);
        emk_buf_done(&file);
    }
    assert_ok(emk_roots_index_write(&index, &json, &w->e), &w->e);
    snprintf(path, sizeof path, "%s/%s", w->dir, EMK_ROOTS_INDEX);
    assert_ok(emk_os_write_file(path, emk_buf_span(&json), &w->e), &w->e);
    emk_buf_done(&json);
    assert_ok(emk_attest_roots_open(w->crypto, w->dir, &roots, &w->e), &w->e);
    w->settings.roots = roots;
}

static void bind(world *w, const char *app, uint8_t out[32])
{
    emk_binding b = {emk_span_of(w->challenge, 36), emk_span_of(w->signing, 65),
                     emk_span_of(w->agreement, 65), emk_span_str(app)};

    assert_ok(emk_binding_make(w->crypto, &b, out, &w->e), &w->e);
}

/* hash: what the simulator signs over. */
static emk_sim_evidence simulate(world *w, emk_attest_kind kind, const uint8_t hash[32],
                                 const emk_tpm_credential *credential)
{
    emk_sim_request q = {.kind = kind, .hash = emk_span_of(hash, 32), .credential = credential};
    emk_sim_evidence x;

    assert_ok(emk_sim_make(w->sim, &q, &x, &w->e), &w->e);
    return x;
}

static emk_evidence_result verify(world *w, const emk_evidence *in, bool refresh)
{
    emk_evidence_for who = {.device_id = w->device_id,
                            .signing = emk_span_of(w->signing, 65),
                            .agreement = emk_span_of(w->agreement, 65),
                            .challenge = emk_span_of(w->challenge, 36),
                            .device = &w->device,
                            .refresh = refresh};

    fresh_call(w);
    return emk_evidence_verify(&w->call, in, &who, &w->also, &w->e);
}

static void assert_refused(world *w, const emk_evidence *in, unsigned status, const char *why)
{
    assert_int_equal(verify(w, in, false), EMK_EVIDENCE_REFUSED);
    assert_int_equal(w->call.response.status, status);
    assert_string_equal(w->e.what, why);
}

static emk_span part(const emk_sim_evidence *x, size_t i)
{
    return emk_buf_span(&x->parts[i].bytes);
}

/* ---- none ---- */

static void none_needs_to_be_allowed(void **state)
{
    world *w = *state;
    emk_evidence in = {.kind = emk_span_str("none")};

    assert_refused(w, &in, 403, "attest: evidence is required");
    w->api.settings.allow_no_attestation = true;
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_GOOD);
    assert_int_equal(w->device.gate.attestation_level, 0);
}

static void what_was_attested_is_not_refreshed_by_none(void **state)
{
    world *w = *state;
    emk_evidence in = {.kind = emk_span_str("none")};

    w->api.settings.allow_no_attestation = true;
    w->device.attestation_kind = EMK_ATTEST_APP_ATTEST;
    assert_int_equal(verify(w, &in, true), EMK_EVIDENCE_REFUSED);
}

static void rejects_unknown_kinds_apps_and_kinds_of_other_apps(void **state)
{
    world *w = *state;
    emk_evidence in = {.kind = emk_span_str("magic")};

    assert_refused(w, &in, 422, "attestation: unknown kind");
    in = (emk_evidence){.kind = emk_span_str("app_attest"), .app = emk_span_str("other")};
    assert_refused(w, &in, 403, "attestation: no such app");
    in.app = emk_span_str(PACKAGE);
    assert_refused(w, &in, 403, "attestation: not this kind for this app");
    in.app = emk_span_str(APP_ID);
    assert_refused(w, &in, 422, "attestation: no object");
}

/* ---- App Attest ---- */

static emk_sim_evidence app_attest(world *w, const char *app)
{
    uint8_t binding[32], hash[32];
    emk_span part_of = emk_span_of(binding, sizeof binding);

    bind(w, app, binding);
    assert_ok(emk_sha256(w->crypto, &part_of, 1, hash, &w->e), &w->e);
    return simulate(w, EMK_ATTEST_APP_ATTEST, hash, NULL);
}

static emk_evidence as_app_attest(const emk_sim_evidence *x)
{
    return (emk_evidence){.kind = emk_span_str("app_attest"),
                          .app = emk_span_str(APP_ID),
                          .object = part(x, 0),
                          .key_id = part(x, 1)};
}

static void app_attest_fills_the_record(void **state)
{
    world *w = *state;
    emk_sim_evidence x = app_attest(w, APP_ID);
    emk_evidence in = as_app_attest(&x);

    add_roots(w);
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_GOOD);
    assert_int_equal(w->device.gate.attestation_level, 3);
    assert_int_equal(w->device.attestation_kind, EMK_ATTEST_APP_ATTEST);
    assert_string_equal(w->device.app, APP_ID);
    assert_true(w->device.warnings & 1u << EMK_WARN_SIMULATED);
    assert_int_equal(w->also.n, 1); /* the key's id is taken */
    assert_int_equal(w->also.v[0].kind, EMK_KIND_APP_KEY);
    assert_bytes(w->also.v[0].id, in.key_id);
    emk_sim_evidence_done(&x);
}

static void simulators_are_refused_outside_of_dev(void **state)
{
    world *w = *state;
    emk_sim_evidence x = app_attest(w, APP_ID);
    emk_evidence in = as_app_attest(&x);

    add_roots(w);
    w->api.settings.dev = false;
    assert_refused(w, &in, 403, "attest: made by a simulator");
    emk_sim_evidence_done(&x);
}

static void rejects_evidence_for_another_challenge_key_and_app(void **state)
{
    world *w = *state;
    emk_sim_evidence x = app_attest(w, APP_ID);
    emk_evidence in = as_app_attest(&x);

    add_roots(w);
    w->challenge[5] ^= 1;
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_REFUSED);
    assert_int_equal(w->call.response.status, 403);
    w->challenge[5] ^= 1;
    w->agreement[64] ^= 1;
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_REFUSED);
    w->agreement[64] ^= 1;
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_GOOD);
    emk_sim_evidence_done(&x);
    x = app_attest(w, PACKAGE);
    in = as_app_attest(&x);
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_REFUSED);
    emk_sim_evidence_done(&x);
}

static void without_roots_it_is_not_the_clients_fault(void **state)
{
    world *w = *state;
    emk_sim_evidence x = app_attest(w, APP_ID);
    emk_evidence in = as_app_attest(&x);

    assert_refused(w, &in, 503, "attest: no roots");
    emk_sim_evidence_done(&x);
}

static void an_assertion_wants_the_key_that_was_attested(void **state)
{
    world *w = *state;
    emk_evidence in = {.kind = emk_span_str("app_attest"),
                       .app = emk_span_str(APP_ID),
                       .object = emk_span_str("x")};

    add_roots(w);
    assert_int_equal(verify(w, &in, true), EMK_EVIDENCE_REFUSED);
    assert_string_equal(w->e.what, "attestation: nothing to refresh by an assertion");
    w->device.attestation_kind = EMK_ATTEST_APP_ATTEST;
    snprintf(w->device.app, sizeof w->device.app, "%s", APP_ID);
    assert_int_equal(verify(w, &in, true), EMK_EVIDENCE_REFUSED);
    assert_int_equal(w->call.response.status, 422);
}

/* hash stands for the hash of the client data, which is the binding. */
static emk_evidence_result assert_it(world *w, const char *counter)
{
    const emk_sim_field field = {"counter", counter};
    uint8_t binding[32], hash[32];
    emk_span data = emk_span_of(binding, sizeof binding);
    emk_sim_request q = {.kind = EMK_ATTEST_APP_ATTEST,
                         .hash = emk_span_of(hash, sizeof hash),
                         .fields = &field,
                         .n_fields = 1,
                         .assertion = true};
    emk_evidence in = {.kind = emk_span_str("app_attest"), .app = emk_span_str(APP_ID)};
    emk_evidence_result result;
    emk_sim_evidence x;

    bind(w, APP_ID, binding);
    assert_ok(emk_sha256(w->crypto, &data, 1, hash, &w->e), &w->e);
    assert_ok(emk_sim_make(w->sim, &q, &x, &w->e), &w->e);
    in.object = part(&x, 0);
    result = verify(w, &in, true);
    emk_sim_evidence_done(&x);
    return result;
}

static void assertions_must_count_upwards(void **state)
{
    world *w = *state;
    emk_sim_evidence x = app_attest(w, APP_ID);
    emk_evidence in = as_app_attest(&x);

    add_roots(w);
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_GOOD);
    assert_int_equal(assert_it(w, "5"), EMK_EVIDENCE_GOOD);
    assert_int_equal(w->device.app_counter, 5);
    assert_int_equal(w->device.gate.attestation_level, 3);
    assert_int_equal(assert_it(w, "5"), EMK_EVIDENCE_REFUSED);
    assert_int_equal(w->call.response.status, 422);
    assert_int_equal(assert_it(w, "4"), EMK_EVIDENCE_REFUSED);
    w->challenge[3] ^= 1;
    assert_int_equal(assert_it(w, "6"), EMK_EVIDENCE_GOOD);
    w->device.app_key[40] ^= 1;
    assert_int_equal(assert_it(w, "7"), EMK_EVIDENCE_REFUSED);
    assert_int_equal(w->device.app_counter, 6);
    emk_sim_evidence_done(&x);
}

static emk_status count_fork(void *self, const emk_fraud_event *ev, emk_decide_answer *out,
                             emk_error *e)
{
    (void)out;
    (void)e;
    assert_int_equal(ev->type, EMK_FRAUD_COUNTER_FORK);
    assert_true(emk_fraud_has(ev, EMK_FRAUD_F_DEVICE));
    ++*(unsigned *)self;
    return EMK_OK;
}

static void use_challenge(world *w)
{
    emk_span challenge = emk_span_of(w->challenge, sizeof w->challenge);
    uint8_t id[EMK_SHA256_LEN];
    emk_record_change used = {.op = EMK_RECORD_PUT,
                              .kind = EMK_KIND_CHALLENGE,
                              .id = emk_span_of(id, sizeof id),
                              .expect = EMK_RECORD_ABSENT};

    assert_ok(emk_sha256(w->crypto, &challenge, 1, id, &w->e), &w->e);
    assert_ok(emk_records_commit(&w->api.records, &used, 1, NULL, &w->e), &w->e);
}

/* The engine hears of a key that counts twice; not of one whose answer was lost, nor of one that
 * others forged. */
static void a_fork_is_told_and_a_retry_is_not(void **state)
{
    static const emk_decide_ops OPS = {.size = sizeof OPS, .name = "test", .note = count_fork};
    world *w = *state;
    emk_sim_evidence x = app_attest(w, APP_ID);
    emk_evidence in = as_app_attest(&x);
    unsigned n = 0;

    add_roots(w);
    assert_ok(emk_signals_new(w->crypto, &w->api.signals, &w->e), &w->e);
    w->api.decider = (emk_decider){&OPS, &n};
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_GOOD);
    assert_int_equal(assert_it(w, "5"), EMK_EVIDENCE_GOOD);
    use_challenge(w);
    assert_int_equal(assert_it(w, "5"), EMK_EVIDENCE_REFUSED);
    assert_int_equal(n, 0);
    w->challenge[3] ^= 1;
    assert_int_equal(assert_it(w, "5"), EMK_EVIDENCE_REFUSED);
    assert_int_equal(n, 1);
    w->device.app_key[40] ^= 1;
    assert_int_equal(assert_it(w, "4"), EMK_EVIDENCE_REFUSED);
    assert_int_equal(n, 1);
    emk_signals_free(w->api.signals);
    emk_sim_evidence_done(&x);
}

/* ---- Android, Play Integrity ---- */

static void android_keys_must_be_the_devices_own(void **state)
{
    world *w = *state;
    uint8_t binding[32] = {0};
    emk_sim_evidence x = simulate(w, EMK_ATTEST_ANDROID_KEY, binding, NULL);
    emk_x509 chain[EMK_X509_CHAIN_MAX];
    emk_evidence in = {.kind = emk_span_str("android_key"), .app = emk_span_str(PACKAGE)};
    emk_buf der;
    size_t n = 0;

    add_roots(w);
    emk_buf_init(&der, EMK_PEM_MAX);
    assert_ok(emk_pem_read_chain(part(&x, 0), &der, chain, EMK_X509_CHAIN_MAX, &n, &w->e), &w->e);
    bind(w, PACKAGE, binding);
    emk_sim_evidence_done(&x);
    x = simulate(w, EMK_ATTEST_ANDROID_KEY, binding, NULL);
    in.object = part(&x, 0);
    assert_refused(w, &in, 403, "attest: the evidence is about another key");
    emk_sim_evidence_done(&x);
    memcpy(w->signing, chain[0].key.p, 65);
    bind(w, PACKAGE, binding);
    x = simulate(w, EMK_ATTEST_ANDROID_KEY, binding, NULL);
    in.object = part(&x, 0);
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_GOOD);
    assert_int_equal(w->device.gate.attestation_level, 2);
    emk_sim_evidence_done(&x);
    emk_buf_done(&der);
}

static void play_integrity_binds_by_the_challenge(void **state)
{
    world *w = *state;
    uint8_t binding[32];
    emk_evidence in = {.kind = emk_span_str("play_integrity"), .app = emk_span_str(PACKAGE)};
    emk_sim_evidence x;

    bind(w, PACKAGE, binding);
    x = simulate(w, EMK_ATTEST_PLAY_INTEGRITY, binding, NULL);
    assert_ok(emk_play_keys_new(w->crypto, part(&x, 1), part(&x, 2), &w->settings.apps[1].play_keys,
                                &w->e),
              &w->e);
    in.object = part(&x, 0);
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_GOOD);
    assert_int_equal(w->device.gate.attestation_level, 1);
    w->api.settings.dev = false; /* testing responses are for tests */
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_REFUSED);
    emk_sim_evidence_done(&x);
}

/* ---- TPM ---- */

typedef struct credential_text {
    emk_span id_object, secret;
} credential_text;

static void read_credential(world *w, emk_tpm_credential *out)
{
    static const emk_json_field INNER[] = {
        {"id_object", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, EMK_TPM_ID_OBJECT_MAX,
         offsetof(credential_text, id_object), NULL},
        {"secret", EMK_JSON_BYTES, EMK_JSON_REQUIRED, 1, EMK_TPM_ENC_SECRET_MAX,
         offsetof(credential_text, secret), NULL},
    };
    static const emk_json_shape INNER_SHAPE = {INNER, 2};
    typedef struct outer {
        credential_text credential;
        uint64_t good_for_s;
    } outer;
    static const emk_json_field OUTER[] = {
        {"credential", EMK_JSON_STRUCT, EMK_JSON_REQUIRED, 0, 0, offsetof(outer, credential),
         &INNER_SHAPE},
        {"good_for_s", EMK_JSON_UINT, EMK_JSON_REQUIRED, 1, 1000, offsetof(outer, good_for_s),
         NULL},
    };
    static const emk_json_shape OUTER_SHAPE = {OUTER, 2};
    outer got = {.good_for_s = 0};
    emk_json_complaint why;

    assert_int_equal(w->call.response.status, 202);
    assert_ok(
        emk_json_read(&w->call.arena, w->call.response.bytes, &OUTER_SHAPE, &got, &why, &w->e),
        &w->e);
    memset(out, 0, sizeof *out);
    out->id_object_len = got.credential.id_object.len;
    memcpy(out->id_object, got.credential.id_object.p, out->id_object_len);
    out->enc_secret_len = got.credential.secret.len;
    memcpy(out->enc_secret, got.credential.secret.p, out->enc_secret_len);
}

static void hello(world *w, emk_tpm_credential *credential)
{
    emk_evidence in = {.kind = emk_span_str("tpm"), .app = emk_span_str(TPM_APP)};
    uint8_t binding[32];
    emk_sim_evidence x;

    bind(w, TPM_APP, binding);
    x = simulate(w, EMK_ATTEST_TPM, binding, NULL);
    in.hello = part(&x, 0);
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_CREDENTIAL);
    read_credential(w, credential);
    emk_sim_evidence_done(&x);
}

static emk_evidence_result prove(world *w, const emk_tpm_credential *credential, bool refresh)
{
    emk_evidence in = {.kind = emk_span_str("tpm"), .app = emk_span_str(TPM_APP)};
    emk_evidence_result result;
    uint8_t binding[32];
    emk_sim_evidence x;

    bind(w, TPM_APP, binding);
    x = simulate(w, EMK_ATTEST_TPM, binding, credential);
    in.proof = part(&x, 0);
    result = verify(w, &in, refresh);
    emk_sim_evidence_done(&x);
    return result;
}

static void tpm_enrols_in_two_steps(void **state)
{
    world *w = *state;
    emk_tpm_credential credential;

    add_roots(w);
    hello(w, &credential);
    assert_int_equal(prove(w, &credential, false), EMK_EVIDENCE_GOOD);
    assert_int_equal(w->device.gate.attestation_level, 1);
    assert_true(w->device.traits & EMK_DEVICE_HAS_TPM);
}

static void tpm_proofs_are_tried_once(void **state)
{
    world *w = *state;
    emk_tpm_credential credential;

    add_roots(w);
    hello(w, &credential);
    w->device_id[0] ^= 1;
    assert_int_equal(prove(w, &credential, false), EMK_EVIDENCE_REFUSED);
    assert_string_equal(w->e.what, "attestation: a proof to another's hello");
    w->device_id[0] ^= 1;
    assert_int_equal(prove(w, &credential, false), EMK_EVIDENCE_GOOD);
    assert_int_equal(prove(w, &credential, false), EMK_EVIDENCE_REFUSED);
    assert_string_equal(w->e.what, "attestation: a proof without a hello");
}

static void tpm_hellos_are_once_for_a_challenge(void **state)
{
    world *w = *state;
    emk_evidence in = {.kind = emk_span_str("tpm"), .app = emk_span_str(TPM_APP)};
    emk_tpm_credential credential;
    uint8_t binding[32];
    emk_sim_evidence x;

    add_roots(w);
    hello(w, &credential);
    bind(w, TPM_APP, binding);
    x = simulate(w, EMK_ATTEST_TPM, binding, NULL);
    in.hello = part(&x, 0);
    assert_refused(w, &in, 422, "attestation: second hello");
    in.proof = in.hello;
    assert_refused(w, &in, 422, "attestation: a hello or a proof");
    emk_sim_evidence_done(&x);
}

static void a_refresh_must_come_from_the_same_tpm(void **state)
{
    world *w = *state;
    emk_tpm_credential credential;

    add_roots(w);
    hello(w, &credential);
    assert_int_equal(prove(w, &credential, false), EMK_EVIDENCE_GOOD);
    w->challenge[0] ^= 1;
    hello(w, &credential);
    assert_int_equal(prove(w, &credential, true), EMK_EVIDENCE_GOOD);
    w->device.ek_thumbprint[0] ^= 1;
    w->challenge[0] ^= 2;
    hello(w, &credential);
    assert_int_equal(prove(w, &credential, true), EMK_EVIDENCE_REFUSED);
    assert_string_equal(w->e.what, "attestation: another TPM than before");
}

/* ---- records ---- */

static void what_was_proven_reads_back(void **state)
{
    world *w = *state;
    emk_sim_evidence x = app_attest(w, APP_ID);
    emk_evidence in = as_app_attest(&x);
    emk_device_change put;
    emk_device_record got;

    add_roots(w);
    assert_int_equal(verify(w, &in, false), EMK_EVIDENCE_GOOD);
    w->device.gate.alg = EMK_SIGN_ES256;
    memcpy(w->device.gate.signing_key, w->signing, 65);
    memcpy(w->device.agreement, w->agreement, 65);
    w->device.agreement_len = 65;
    snprintf(w->device.gate.user, sizeof w->device.gate.user, "alice");
    snprintf(w->device.gate.tenant, sizeof w->device.gate.tenant, "tenant");
    assert_ok(
        emk_device_change_make(w->crypto, w->device_id, &w->device, EMK_RECORD_ABSENT, &put, &w->e),
        &w->e);
    assert_ok(emk_device_read(put.change.value, &got, &w->e), &w->e);
    assert_string_equal(got.app, APP_ID);
    assert_string_equal(got.gate.tenant, "tenant");
    assert_memory_equal(got.app_key, w->device.app_key, 65);
    assert_memory_equal(got.app_key_id, in.key_id.p, 32);
    assert_int_equal(got.warnings, w->device.warnings);
    assert_int_equal(got.attested, NOW);
    emk_sim_evidence_done(&x);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    return EMK_RUN(RULE(none_needs_to_be_allowed), RULE(what_was_attested_is_not_refreshed_by_none),
                   RULE(rejects_unknown_kinds_apps_and_kinds_of_other_apps),
                   RULE(app_attest_fills_the_record), RULE(simulators_are_refused_outside_of_dev),
                   RULE(rejects_evidence_for_another_challenge_key_and_app),
                   RULE(without_roots_it_is_not_the_clients_fault),
                   RULE(an_assertion_wants_the_key_that_was_attested),
                   RULE(assertions_must_count_upwards), RULE(a_fork_is_told_and_a_retry_is_not),
                   RULE(android_keys_must_be_the_devices_own),
                   RULE(play_integrity_binds_by_the_challenge), RULE(tpm_enrols_in_two_steps),
                   RULE(tpm_proofs_are_tried_once), RULE(tpm_hellos_are_once_for_a_challenge),
                   RULE(a_refresh_must_come_from_the_same_tpm), RULE(what_was_proven_reads_back));
}
