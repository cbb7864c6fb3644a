#include "server/api/attestation.h"

#include "core/codec/cbor.h"
#include "core/crypto/hash.h"
#include "server/api/api.h"
#include "server/api/entities.h"
#include "server/api/json_out.h"
#include "server/api/problem.h"
#include "server/api/signals.h"
#include "server/attest/challenge.h"
#include "server/attest/roots.h"

#include <string.h>

#define REASON_MAX 128u

static const emk_json_field FIELDS[] = {
    {"kind", EMK_JSON_TEXT, EMK_JSON_REQUIRED, 1, 32, offsetof(emk_evidence, kind), NULL},
    {"app", EMK_JSON_TEXT, 0, 1, EMK_APP_MAX, offsetof(emk_evidence, app), NULL},
    {"object", EMK_JSON_BYTES, 0, 1, EMK_EVIDENCE_MAX, offsetof(emk_evidence, object), NULL},
    {"key_id", EMK_JSON_BYTES, 0, 32, 32, offsetof(emk_evidence, key_id), NULL},
    {"hello", EMK_JSON_BYTES, 0, 1, EMK_TPM_HELLO_MAX, offsetof(emk_evidence, hello), NULL},
    {"proof", EMK_JSON_BYTES, 0, 1, EMK_TPM_PROOF_MAX, offsetof(emk_evidence, proof), NULL},
};
const emk_json_shape emk_evidence_shape = {FIELDS, sizeof FIELDS / sizeof FIELDS[0]};

/* One verification on its way. */
typedef struct job {
    emk_call *call;
    const emk_evidence *in;
    const emk_evidence_for *who;
    emk_evidence_changes *also;
    emk_attest_kind kind;
    const emk_api_app *app;
    uint8_t binding[EMK_BINDING_LEN];
    emk_claims claims;
    bool answered; /* with a credential */
} job;

static uint64_t now_of(const job *j)
{
    return emk_api_now(j->call->api);
}

static const emk_api_attestation *settings_of(const job *j)
{
    return j->call->api->settings.attestation;
}

/* ---- which kind and app ---- */

static emk_status find_kind(job *j, emk_error *e)
{
    char name[33] = "";

    memcpy(name, j->in->kind.p, j->in->kind.len); /* 1..32 bytes, by the table */
    if (!emk_attest_kind_find(name, &j->kind))
        return emk_fail(e, EMK_E_UNSUPPORTED, "attestation: unknown kind", 0);
    return EMK_OK;
}

static emk_status find_app(job *j, emk_error *e)
{
    const emk_api_attestation *a = settings_of(j);

    for (size_t i = 0; a && i < a->n_apps; i++) {
        if (!emk_span_equal(emk_span_str(a->apps[i].id), j->in->app))
            continue;
        if (!(a->apps[i].kinds >> j->kind & 1))
            return emk_fail(e, EMK_E_POLICY, "attestation: not this kind for this app",
                            (uint64_t)j->kind);
        j->app = &a->apps[i];
        return EMK_OK;
    }
    return emk_fail(e, EMK_E_POLICY, "attestation: no such app", 0);
}

static emk_status bind(job *j, emk_error *e)
{
    emk_binding b = {.challenge = j->who->challenge,
                     .signing = j->who->signing,
                     .agreement = j->who->agreement,
                     .app = j->in->app};

    if (b.agreement.len != EMK_BINDING_KEY_LEN)
        return emk_fail(e, EMK_E_UNSUPPORTED,
                        "attestation: agreement keys of this kind are not "
                        "attested",
                        b.agreement.len);
    return emk_binding_make(j->call->api->crypto, &b, j->binding, e);
}

/* ---- kinds with one step ---- */

static void fill_policy(const job *j, emk_attest_policy *p)
{
    const emk_api_attestation *a = settings_of(j);

    *p = (emk_attest_policy){.size = sizeof *p,
                             .min_level = j->app->min_level,
                             .time_s = (int64_t)now_of(j),
                             .challenge = emk_span_of(j->binding, sizeof j->binding),
                             .app = j->app->id,
                             .n_app_digests = j->app->n_digests,
                             .min_app_version = j->app->min_version,
                             .min_os_patch = j->app->min_os_patch,
                             .play_keys = j->app->play_keys,
                             .stale = a->stale,
                             .simulated = j->call->api->settings.dev ? a->simulated : 0,
                             .development = j->app->development,
                             .unverified_boot = j->app->unverified_boot,
                             .allow_retired = j->app->retired};
    p->allow_testing = p->simulated != 0;
    for (size_t i = 0; i < j->app->n_digests; i++)
        p->app_digests[i] = emk_span_of(j->app->digests[i], sizeof j->app->digests[i]);
}

/* A key of App Attest serves one device: its id is put where it must not be yet. */
static emk_status keep_app_key(job *j, const emk_attest_key *key, emk_error *e)
{
    emk_device_record *d = j->who->device;
    emk_span id;
    emk_status st = emk_arena_copy(&j->call->arena, emk_span_of(key->id, sizeof key->id), &id, e);

    if (st != EMK_OK)
        return st;
    /* The same key attested again is a restored app, or a replay under a fresh challenge. */
    if (memcmp(d->app_key_id, key->id, sizeof key->id) != 0)
        j->also->v[j->also->n++] = (emk_record_change){.op = EMK_RECORD_PUT,
                                                       .kind = EMK_KIND_APP_KEY,
                                                       .id = id,
                                                       .expect = EMK_RECORD_ABSENT,
                                                       .owner = emk_span_of(j->who->device_id, 32)};
    memcpy(d->app_key, key->point, sizeof d->app_key);
    memcpy(d->app_key_id, key->id, sizeof d->app_key_id);
    d->app_counter = 0;
    return EMK_OK;
}

static emk_status verify_once(job *j, emk_error *e)
{
    emk_attest_evidence in = {
        .size = sizeof in, .kind = j->kind, .object = j->in->object, .key_id = j->in->key_id};
    emk_attest_policy policy;
    emk_attest_key key = {.receipt = {NULL, 0}};
    emk_status st;

    if (in.object.len == 0)
        return emk_fail(e, EMK_E_FORMAT, "attestation: no object", 0);
    fill_policy(j, &policy);
    /* App Attest makes a key of its own; the others are about ours, or about none. */
    if (j->kind == EMK_ATTEST_ANDROID_KEY)
        in.key = j->who->signing;
    st = emk_attest_verify(j->call->api->crypto, settings_of(j)->roots, &policy, &in, &j->claims,
                           &key, e);
    if (st == EMK_OK && j->kind == EMK_ATTEST_APP_ATTEST)
        st = keep_app_key(j, &key, e);
    return st;
}

static emk_status challenge_id(const job *j, emk_span *out, emk_error *e)
{
    uint8_t *id = emk_arena_take(&j->call->arena, EMK_SHA256_LEN);

    if (!id)
        return emk_fail(e, EMK_E_NO_MEMORY, "attestation: memory", EMK_SHA256_LEN);
    *out = emk_span_of(id, EMK_SHA256_LEN);
    return emk_sha256(j->call->api->crypto, &j->who->challenge, 1, id, e);
}

/* The attested key has signed a new binding with an old number: there are two of it.  The same
 * assertion again, whose answer was lost, has a challenge that was used, and says nothing. */
static void tell_fork(job *j)
{
    const emk_decide_in who = {.device_id = j->who->device_id, .device = j->who->device};
    emk_span id = {0};
    emk_error ignored;

    if (challenge_id(j, &id, &ignored) == EMK_OK &&
        emk_records_get(&j->call->api->records, EMK_KIND_CHALLENGE, id, NULL, NULL, &ignored) ==
            EMK_E_NOT_FOUND)
        emk_signal_device(j->call, &who, EMK_FRAUD_COUNTER_FORK);
}

/* A refresh: the key that was attested signs the binding; the caller's compare-and-swap of the
 * device's record sees to two with one counter. */
static emk_status verify_assertion(job *j, emk_error *e)
{
    emk_device_record *d = j->who->device;
    emk_attest_assertion a = {.assertion = j->in->object,
                              .client_data = emk_span_of(j->binding, sizeof j->binding),
                              .app = j->app->id,
                              .point = emk_span_of(d->app_key, sizeof d->app_key),
                              .counter = d->app_counter};
    uint32_t counter = 0;
    emk_status st;

    if (d->attestation_kind != EMK_ATTEST_APP_ATTEST || strcmp(d->app, j->app->id) != 0)
        return emk_fail(e, EMK_E_POLICY, "attestation: nothing to refresh by an assertion",
                        d->attestation_kind);
    st = emk_attest_assert(j->call->api->crypto, &a, &counter, e);
    if (st == EMK_E_USED)
        tell_fork(j);
    if (st != EMK_OK)
        return st;
    d->app_counter = counter;
    return EMK_OK;
}

/* ---- TPM, in two steps ---- */

static emk_status store_pending(job *j, const emk_tpm_pending *p, emk_error *e)
{
    emk_tpm_pending_entity *x = emk_arena_take(&j->call->arena, sizeof *x);
    emk_entity_put put = {.shape = &emk_tpm_pending_shape,
                          .in = x,
                          .expect = EMK_RECORD_ABSENT,
                          .expires_s = now_of(j) + EMK_TPM_PENDING_S};
    emk_status st = challenge_id(j, &put.id, e);

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "attestation: memory", sizeof *x);
    if (st != EMK_OK)
        return st;
    memcpy(x->device, j->who->device_id, sizeof x->device);
    memcpy(x->ak.p, p->ak, p->ak_len);
    x->ak.len = p->ak_len;
    memcpy(x->ek_thumbprint, p->ek_thumbprint, sizeof x->ek_thumbprint);
    memcpy(x->secret_hash, p->secret_hash, sizeof x->secret_hash);
    x->made_s = (uint64_t)p->made_s;
    x->sha1_ek = p->sha1_ek;
    x->simulated = p->simulated;
    x->simulated_counts = p->simulated_counts;
    memcpy(x->app, j->app->id, strlen(j->app->id) + 1);
    st = emk_entity_store(&j->call->api->records, &put, NULL, e);
    /* One challenge, one credential: or secrets could be collected for it. */
    return st == EMK_E_STALE ? emk_fail(e, EMK_E_USED, "attestation: second hello", 0) : st;
}

static emk_status answer_credential(job *j, const emk_tpm_credential *c, emk_error *e)
{
    emk_json_out o;

    emk_json_out_init(&o, &j->call->arena, 4096);
    emk_json_out_open(&o, NULL, '{');
    emk_json_out_open(&o, "credential", '{');
    emk_json_out_base64url(&o, "id_object", emk_span_of(c->id_object, c->id_object_len));
    emk_json_out_base64url(&o, "secret", emk_span_of(c->enc_secret, c->enc_secret_len));
    emk_json_out_close(&o);
    emk_json_out_uint(&o, "good_for_s", EMK_TPM_PENDING_S);
    emk_json_out_close(&o);
    return emk_json_out_reply(&o, j->call, 202, e);
}

static emk_status tpm_begin(job *j, emk_error *e)
{
    const emk_api_attestation *a = settings_of(j);
    const emk_attest_roots *all = a->roots; /* one set, whatever is reloaded meanwhile */
    const emk_bundle *roots, *pool;
    emk_tpm_roots with = {.time_s = (int64_t)now_of(j),
                          .sha1_leaf = a->sha1_ek,
                          .simulated =
                              (emk_simulated_mode)(j->call->api->settings.dev ? a->simulated : 0)};
    emk_tpm_pending pending;
    emk_tpm_credential credential;
    emk_tpm_hello hello;
    emk_status st;

    if (!all)
        return emk_fail(e, EMK_E_NOT_FOUND, "attestation: no roots", 0);
    st = emk_attest_roots_check_age(all, EMK_ROLE_TPM, with.time_s, e);
    roots = emk_attest_roots_bundle(all, EMK_ROLE_TPM);
    pool = emk_attest_roots_bundle(all, EMK_ROLE_TPM_POOL);
    with.roots = roots->certs;
    with.n_roots = roots->n;
    with.pool = pool->certs;
    with.n_pool = pool->n;
    if (st == EMK_OK)
        st = emk_tpm_hello_read(j->in->hello, &hello, e);
    if (st == EMK_OK)
        st = emk_tpm_enrol_begin(j->call->api->crypto, &with, &hello, &pending, &credential, e);
    if (st == EMK_OK)
        st = store_pending(j, &pending, e);
    if (st == EMK_OK)
        st = answer_credential(j, &credential, e);
    j->answered = st == EMK_OK;
    return st;
}

/* Whatever comes out of the proof: nobody tries twice. */
static emk_status use_pending(const job *j, emk_span id, uint64_t version, emk_error *e)
{
    emk_record_change gone = {
        .op = EMK_RECORD_DELETE, .kind = EMK_KIND_TPM_PENDING, .id = id, .expect = version};
    emk_status st = emk_records_commit(&j->call->api->records, &gone, 1, NULL, e);

    return st == EMK_E_STALE ? emk_fail(e, EMK_E_USED, "attestation: second proof", 0) : st;
}

static emk_status load_pending(job *j, emk_tpm_pending *out, emk_error *e)
{
    emk_tpm_pending_entity *x = emk_arena_take(&j->call->arena, sizeof *x);
    emk_record_info info;
    emk_span id;
    emk_status st = challenge_id(j, &id, e);

    if (!x)
        return emk_fail(e, EMK_E_NO_MEMORY, "attestation: memory", sizeof *x);
    if (st == EMK_OK)
        st = emk_entity_get(&j->call->api->records, &emk_tpm_pending_shape, id, x, &info, e);
    if (st == EMK_E_NOT_FOUND)
        return emk_fail(e, EMK_E_STALE, "attestation: a proof without a hello", 0);
    if (st != EMK_OK)
        return st;
    if (memcmp(x->device, j->who->device_id, sizeof x->device) != 0 ||
        strcmp(x->app, j->app->id) != 0)
        return emk_fail(e, EMK_E_SIGNATURE, "attestation: a proof to another's hello", 0);
    *out = (emk_tpm_pending){.ak_len = x->ak.len,
                             .made_s = (int64_t)x->made_s,
                             .sha1_ek = x->sha1_ek,
                             .simulated = x->simulated,
                             .simulated_counts = x->simulated_counts};
    memcpy(out->ak, x->ak.p, x->ak.len);
    memcpy(out->ek_thumbprint, x->ek_thumbprint, sizeof out->ek_thumbprint);
    memcpy(out->secret_hash, x->secret_hash, sizeof out->secret_hash);
    return use_pending(j, id, info.version, e);
}

/* The same TPM as before, and not put back. */
static emk_status check_tpm_before(const job *j, const emk_tpm_pending *p, const emk_tpm_state *now,
                                   emk_error *e)
{
    const emk_device_record *d = j->who->device;
    emk_tpm_state before = {d->tpm_resets, d->tpm_restarts, d->tpm_firmware};

    if (!(d->traits & EMK_DEVICE_HAS_TPM))
        return EMK_OK;
    if (memcmp(d->ek_thumbprint, p->ek_thumbprint, sizeof d->ek_thumbprint) != 0)
        return emk_fail(e, EMK_E_POLICY, "attestation: another TPM than before", 0);
    return emk_tpm_state_check(&before, now, e);
}

static emk_status tpm_finish(job *j, emk_error *e)
{
    const emk_api_attestation *a = settings_of(j);
    emk_device_record *d = j->who->device;
    emk_tpm_policy policy = {.time_s = (int64_t)now_of(j),
                             .binding = emk_span_of(j->binding, sizeof j->binding),
                             .signing = j->who->signing,
                             .agreement = j->who->agreement,
                             .pcrs = a->pcrs,
                             .good = a->good,
                             .n_good = a->n_good};
    emk_tpm_state state = {0};
    emk_tpm_pending pending;
    emk_tpm_proof proof;
    emk_status st = emk_tpm_proof_read(j->in->proof, &proof, e);

    if (st == EMK_OK)
        st = load_pending(j, &pending, e);
    if (st == EMK_OK)
        st = emk_tpm_enrol_finish(j->call->api->crypto, &policy, &pending, &proof, &j->claims,
                                  &state, e);
    if (st == EMK_OK && j->claims.level < j->app->min_level)
        st = emk_fail(e, EMK_E_POLICY, "attest: the level is too low", j->claims.level);
    if (st == EMK_OK)
        st = check_tpm_before(j, &pending, &state, e);
    if (st != EMK_OK)
        return st;
    memcpy(d->ek_thumbprint, pending.ek_thumbprint, sizeof d->ek_thumbprint);
    d->tpm_resets = state.reset_count;
    d->tpm_restarts = state.restart_count;
    d->tpm_firmware = state.firmware;
    d->traits |= EMK_DEVICE_HAS_TPM;
    return EMK_OK;
}

static emk_status verify_tpm(job *j, emk_error *e)
{
    if ((j->in->hello.len > 0) == (j->in->proof.len > 0))
        return emk_fail(e, EMK_E_FORMAT, "attestation: a hello or a proof", 0);
    return j->in->hello.len > 0 ? tpm_begin(j, e) : tpm_finish(j, e);
}

/* ---- all ---- */

static void keep_claims(const job *j)
{
    const emk_claims *c = &j->claims;
    emk_device_record *d = j->who->device;

    d->attestation_kind = (uint8_t)c->kind;
    d->gate.attestation_level = (uint8_t)c->level;
    d->attested = now_of(j);
    memcpy(d->app, j->app ? j->app->id : "", j->app ? strlen(j->app->id) + 1 : 1);
    d->evidence_until = c->valid_until_s > 0 ? (uint64_t)c->valid_until_s : 0;
    d->key_home = (uint32_t)c->key_home;
    d->boot = (uint32_t)c->boot;
    d->os_version = c->os_version;
    d->os_patch = c->os_patch;
    d->traits &= EMK_DEVICE_HAS_TPM;
    d->traits |= c->device_locked ? EMK_DEVICE_LOCKED : 0u;
    d->traits |= c->device_certified ? EMK_DEVICE_CERTIFIED : 0u;
    d->warnings = 0;
    for (size_t i = 0; i < c->n_warnings; i++)
        d->warnings |= UINT32_C(1) << c->warnings[i];
}

static emk_status verify_none(job *j, emk_error *e)
{
    emk_attest_policy policy = {.size = sizeof policy,
                                .time_s = (int64_t)now_of(j),
                                .allow_none = j->call->api->settings.allow_no_attestation};
    emk_attest_evidence in = {.size = sizeof in, .kind = EMK_ATTEST_NONE};

    /* What was proven once is not thrown away for a certificate that needs no proof. */
    if (j->who->refresh && j->who->device->attestation_kind != EMK_ATTEST_NONE)
        return emk_fail(e, EMK_E_POLICY, "attestation: was attested, and must be again", 0);
    return emk_attest_verify(j->call->api->crypto, NULL, &policy, &in, &j->claims, NULL, e);
}

static emk_status verify(job *j, emk_error *e)
{
    emk_status st = find_kind(j, e);

    if (st == EMK_OK && j->kind == EMK_ATTEST_NONE)
        return verify_none(j, e);
    if (st == EMK_OK)
        st = find_app(j, e);
    if (st == EMK_OK)
        st = bind(j, e);
    if (st != EMK_OK)
        return st;
    if (j->kind == EMK_ATTEST_TPM)
        return verify_tpm(j, e);
    if (j->kind == EMK_ATTEST_APP_ATTEST && j->who->refresh && j->in->key_id.len == 0)
        return verify_assertion(j, e);
    return verify_once(j, e);
}

static void answer_refusal(emk_call *call, emk_status st)
{
    switch (emk_attest_client_code(st)) {
    case EMK_CLIENT_AGAIN:
        emk_problem_set(call, EMK_API_INVALID_OBJECT, "attestation: again, for a fresh challenge");
        break;
    case EMK_CLIENT_UNAVAILABLE:
        emk_problem_set(call, EMK_API_UNAVAILABLE, "attestation: later");
        break;
    case EMK_CLIENT_BAD_REQUEST:
        emk_problem_set(call, EMK_API_INVALID_OBJECT, "attestation: not evidence of this kind");
        break;
    default:
        emk_problem_set_help(call, "attestation: this device or app does not pass",
                             EMK_HELP_UPGRADE);
        break;
    }
}

/* The reason, for operators.  That it cannot be written changes nothing: it is a refusal. */
static void audit_refusal(job *j, const emk_error *why)
{
    const char *object =
        emk_arena_format(&j->call->arena, "attestation:%.32s", emk_attest_kind_name(j->kind));
    uint8_t detail[REASON_MAX + 8];
    emk_journal_event event;
    emk_writer w;
    size_t len = why->what ? strlen(why->what) : 0;
    emk_error ignored;

    emk_writer_init(&w, detail, sizeof detail);
    emk_cbor_put_text(&w, emk_span_of(why->what, len < REASON_MAX ? len : REASON_MAX));
    emk_meter_attest_refused(&j->call->api->meter);
    emk_api_event(j->call, "device.refuse", EMK_JOURNAL_DENIED, &event);
    event.subject = emk_span_of(j->who->device_id, 32);
    event.object = emk_span_str(object ? object : "");
    event.detail = emk_writer_span(&w);
    if (j->call->api->journal &&
        emk_journal_append(j->call->api->journal, &event, 1, NULL, &ignored) != EMK_OK)
        return;
}

emk_evidence_result emk_evidence_verify(emk_call *call, const emk_evidence *in,
                                        const emk_evidence_for *who, emk_evidence_changes *also,
                                        emk_error *e)
{
    job j = {.call = call, .in = in, .who = who, .also = also, .kind = EMK_ATTEST_NONE};
    emk_status st;

    also->n = 0;
    st = verify(&j, e);
    if (j.answered)
        return EMK_EVIDENCE_CREDENTIAL;
    if (st == EMK_OK) {
        /* An assertion proves that the key is there still; what it is, was proven before. */
        if (j.claims.kind == j.kind)
            keep_claims(&j);
        else
            who->device->attested = now_of(&j);
        return EMK_EVIDENCE_GOOD;
    }
    answer_refusal(call, st);
    audit_refusal(&j, e);
    return EMK_EVIDENCE_REFUSED;
}
