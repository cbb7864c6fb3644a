/* The project's own kit: sealed models with one defect or none.  [tests/vectors/README.md]
 *
 * Each is taken through what a device does: a ticket is verified, a delivered model accepted
 * into a vault file and read back from it; a vault file is opened and read.  Outside, most
 * refusals look alike; here emk_noticed tells which check it was, and it must be the one that
 * the vector is about. */
#include "core/crypto/hash.h"
#include "core/proto/ticket.h"
#include "core/seal/accept.h"
#include "core/seal/vault.h"
#include "tests/conformance/formats.h"
#include "tests/conformance/text_head.h"

#define MODEL_MAX (128u << 20) /* bytes of a model, or a vault file, that a test will make */

static const char *const noticed_names[] = {
    [EMK_NOTICED_PREAMBLE] = "bad preamble",    [EMK_NOTICED_CBOR] = "bad cbor",
    [EMK_NOTICED_SIGNATURE] = "bad signature",  [EMK_NOTICED_RECIPIENT] = "no matching recipient",
    [EMK_NOTICED_HPKE] = "hpke failure",        [EMK_NOTICED_COMMIT] = "commitment mismatch",
    [EMK_NOTICED_CHUNK] = "chunk failure",      [EMK_NOTICED_LENGTH] = "length mismatch",
    [EMK_NOTICED_REGION] = "region failure",    [EMK_NOTICED_DIGEST] = "digest mismatch",
    [EMK_NOTICED_BINDING] = "binding mismatch", [EMK_NOTICED_UNSUPPORTED] = "unsupported",
};

/* What the head says, and what was made of it. */
typedef struct kit {
    emk_vec *v;
    const emk_text_head *head;
    emk_source body;
    emk_verify_key *issuer;
    emk_kem_private *device_key, *request_key;
    uint8_t device_id[EMK_DEVICE_ID_LEN];
    uint64_t now, lease_until;   /* 0: there is no lease */
    const uint8_t *lease_secret; /* NULL: there is none */
    uint8_t guard;
    emk_noticed noticed;
    emk_error error;
    emk_span model; /* what was released */
} kit;

/* ---- the head ---- */

static uint64_t number(kit *k, const char *key)
{
    return emk_head_number(k->v, k->head, key);
}

static emk_span hex(kit *k, const char *key)
{
    return emk_head_hex(k->v, k->head, key);
}

static emk_span text(const kit *k, const char *key)
{
    emk_span out;

    (void)emk_head_get(k->head, key, &out);
    return out;
}

/* What a lease brought, where the head has one. */
static void read_lease(kit *k)
{
    emk_span value, secret;

    if (emk_head_get(k->head, "lease-until", &value))
        k->lease_until = number(k, "lease-until");
    if (!emk_head_get(k->head, "lease-secret", &value))
        return;
    secret = hex(k, "lease-secret");
    if (secret.len == EMK_LEASE_SECRET_LEN)
        k->lease_secret = secret.p;
    else
        emk_vec_malformed(k->v, "\"lease-secret\" has not 32 bytes");
}

static void read_head(kit *k)
{
    emk_span issuer = hex(k, "issuer"), agree = hex(k, "device-agree-private");
    emk_span sign = hex(k, "device-sign-public");
    emk_agree_key device = {.kem = EMK_KEM_P256};
    emk_error *e = &k->error;

    k->now = number(k, "now");
    k->guard = (uint8_t)number(k, "guard");
    read_lease(k);
    if (!emk_vec_is_well(k->v) ||
        !emk_vec_ok(k->v, "issuer", emk_cose_verify_key(k->v->crypto, issuer, &k->issuer, e), e) ||
        !emk_vec_ok(k->v, "device-agree-private",
                    emk_kem_private_new(k->v->crypto, EMK_KEM_P256, agree, &k->device_key, e), e))
        return;
    device.public_key = emk_kem_private_public(k->device_key);
    emk_vec_ok(k->v, "device id", emk_device_id(k->v->crypto, sign, &device, k->device_id, e), e);
}

/* "KEM HEX" */
static void read_request_key(kit *k)
{
    emk_span in = text(k, "request-private"), raw;
    const uint8_t *space = in.len > 0 ? memchr(in.p, ' ', in.len) : NULL;
    size_t at = space ? (size_t)(space - in.p) : 0;
    uint64_t kem;
    emk_status st;

    if (!space || !emk_text_number(emk_span_of(in.p, at), &kem) || kem > UINT16_MAX ||
        !emk_vec_unhex(k->v, emk_span_of(in.p + at + 1, in.len - at - 1), &raw)) {
        emk_vec_malformed(k->v, "\"request-private\"");
        return;
    }
    if (kem != EMK_KEM_P256 && kem != EMK_KEM_X25519 &&
        !emk_crypto_has(k->v->crypto, EMK_CRYPTO_ML_KEM_768)) {
        emk_vec_skip(k->v, "libcrypto has no ML-KEM");
        return;
    }
    st = emk_kem_private_new(k->v->crypto, (uint16_t)kem, raw, &k->request_key, &k->error);
    emk_vec_ok(k->v, "request-private", st, &k->error);
}

/* ---- what a device does; each gives the outcome, "ok" to go on ---- */

/* Where the kit tells apart what the library has one status and one place for. */
static const char *outcome_by_text(const char *what)
{
    static const char *const rows[][2] = {
        {"signed object: of another type", "bad signature"},
        {"sealed part: regions do not cover the model", "length mismatch"},
        {"header: length of the weights layer", "length mismatch"},
        {"ticket: identity names another device", "binding mismatch"},
    };

    for (size_t i = 0; what && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(what, rows[i][0]) == 0)
            return rows[i][1];
    return NULL;
}

static const char *outcome_of(const kit *k, emk_status st)
{
    if (st == EMK_OK)
        return "ok";
    if (outcome_by_text(k->error.what))
        return outcome_by_text(k->error.what);
    if (k->noticed != EMK_NOTICED_NOTHING)
        return noticed_names[k->noticed];
    return st == EMK_E_POLICY ? "policy refused" : emk_status_name(st);
}

static const char *ticket_outcome(const kit *k, emk_status st)
{
    if (st != EMK_OK && outcome_by_text(k->error.what))
        return outcome_by_text(k->error.what);
    switch (st) {
    case EMK_OK:
        return "ok";
    case EMK_E_FORMAT:
    case EMK_E_LIMIT:
    case EMK_E_UNSUPPORTED:
        return "bad cbor";
    case EMK_E_SIGNATURE:
        return "bad signature";
    case EMK_E_POLICY:
        return "policy refused";
    default:
        return emk_status_name(st);
    }
}

static const char *check_ticket(const kit *k, const emk_ticket *t, emk_span request_hash)
{
    emk_agree_key device = {EMK_KEM_P256, emk_kem_private_public(k->device_key)};
    emk_agree_key request = {emk_kem_private_id(k->request_key),
                             emk_kem_private_public(k->request_key)};

    if (memcmp(t->device_id, k->device_id, EMK_DEVICE_ID_LEN) != 0 ||
        !emk_agree_key_equal(&t->device_key, &device) ||
        !emk_agree_key_equal(&t->request_key, &request) ||
        memcmp(t->request_hash, request_hash.p, EMK_HASH_LEN) != 0)
        return "binding mismatch";
    return "ok";
}

static const char *check_policy(kit *k, const emk_policy *policy, const emk_identity *identity,
                                const emk_record *record)
{
    emk_policy_ask ask = {.now = record->floor > k->now ? record->floor : k->now,
                          .opens = record->opens,
                          .guard = k->guard,
                          .user = text(k, "user"),
                          .app = text(k, "app"),
                          .use = text(k, "use"),
                          .device = k->device_id,
                          .lease_until = record->lease_until};

    if (memcmp(identity->device, k->device_id, EMK_DEVICE_ID_LEN) != 0)
        return "binding mismatch";
    return outcome_of(k, emk_policy_check(policy, identity, &ask, &k->error));
}

static const char *check_release(kit *k, const emk_policy *policy)
{
    emk_span value;

    if (!emk_head_get(k->head, "newest-release", &value))
        return "ok";
    return policy->release < number(k, "newest-release") ? "policy refused" : "ok";
}

static bool is_ok(const char *outcome)
{
    return strcmp(outcome, "ok") == 0;
}

/* A model that a failed read left behind would be one that got out. */
static const char *read_model(kit *k, emk_vault *vault)
{
    uint64_t len = emk_vault_plan(vault)->model_len;
    uint8_t *out, any = 0;
    emk_status st;

    if (len > MODEL_MAX) {
        emk_vec_skip(k->v, "a model larger than the tests may make");
        return "skipped";
    }
    out = emk_vec_take(k->v, (size_t)len);
    st = emk_vault_read_all(vault, out, 1, NULL, &k->error);
    if (st == EMK_OK)
        k->model = emk_span_of(out, (size_t)len);
    for (size_t i = 0; st != EMK_OK && i < (size_t)len; i++)
        any |= out[i];
    emk_vec_true(k->v, "nothing is left of a model that failed", any == 0);
    return outcome_of(k, st);
}

/* The counter of the device's key holder, where it keeps one.  [container 7.5] */
static const char *check_generation(kit *k, const emk_record *record)
{
    emk_span value;
    uint64_t counter;

    if (!emk_head_get(k->head, "counter", &value))
        return "ok";
    counter = number(k, "counter");
    return record->generation < counter || record->generation - counter > 1 ? "rollback" : "ok";
}

static const char *open_vault(kit *k, const emk_source *file)
{
    emk_vault_in in = {.file = file,
                       .issuer = k->issuer,
                       .device_key = k->device_key,
                       .lease_secret = k->lease_secret,
                       .noticed = &k->noticed};
    emk_vault *vault = NULL;
    emk_status st = emk_vault_open(k->v->crypto, &in, &vault, &k->error);
    const char *outcome = outcome_of(k, st);

    if (st == EMK_OK)
        outcome = check_generation(k, emk_vault_record(vault));
    if (is_ok(outcome))
        outcome = check_policy(k, emk_vault_policy(vault), emk_vault_identity(vault),
                               emk_vault_record(vault));
    if (is_ok(outcome))
        outcome = read_model(k, vault);
    emk_vault_close(vault);
    return outcome;
}

/* Into a vault file in memory, and out of it again. */
static const char *write_and_open(kit *k, emk_accept *accept, const emk_ticket *t)
{
    uint64_t len = emk_accept_vault_len(accept);
    uint8_t *bytes, vault_id[EMK_ID_LEN];
    emk_sink sink;
    emk_source source;
    emk_accept_out out = {.vault = &sink,
                          .accepted = k->now,
                          .floor = t->issued,
                          .lease_time = k->lease_until ? t->issued : 0,
                          .lease_until = k->lease_until,
                          .threads = 1};
    emk_status st;

    if (len > MODEL_MAX) {
        emk_vec_skip(k->v, "a model larger than the tests may make");
        return "skipped";
    }
    bytes = emk_vec_take(k->v, (size_t)len);
    sink = emk_sink_from_memory(bytes, len);
    st = emk_accept_write(accept, &out, vault_id, &k->error);
    if (st != EMK_OK)
        return outcome_of(k, st);
    source = emk_source_from_span(emk_span_of(bytes, (size_t)len));
    return open_vault(k, &source);
}

static const char *accept_model(kit *k, const emk_ticket *t)
{
    emk_accept_in in = {.sealed = &k->body,
                        .issuer = k->issuer,
                        .request_key = k->request_key,
                        .device_key = k->device_key,
                        .policy = t->policy_bytes,
                        .identity = t->identity_bytes,
                        .lease_key = t->lease_key,
                        .lease_secret = k->lease_secret,
                        .now = k->now,
                        .noticed = &k->noticed};
    emk_record none = {.floor = t->issued, .lease_until = k->lease_until};
    emk_accept *accept = NULL;
    const char *outcome;
    emk_status st;

    memcpy(in.request_hash, t->request_hash, EMK_HASH_LEN);
    memcpy(in.ticket_id, t->id, EMK_ID_LEN);
    memcpy(in.ticket_hash, t->hash, EMK_HASH_LEN);
    st = emk_accept_new(k->v->crypto, &in, &accept, &k->error);
    outcome = outcome_of(k, st);
    if (is_ok(outcome))
        outcome = check_policy(k, &t->policy, &t->identity, &none);
    if (is_ok(outcome))
        outcome = check_release(k, &t->policy);
    if (is_ok(outcome))
        outcome = write_and_open(k, accept, t);
    emk_accept_free(accept);
    return outcome;
}

static const char *run_delivered(kit *k)
{
    emk_span ticket = hex(k, "ticket"), request_hash = hex(k, "request-hash");
    const char *outcome;
    emk_ticket t;

    read_request_key(k);
    if (request_hash.len != EMK_HASH_LEN)
        emk_vec_malformed(k->v, "\"request-hash\" has not 32 bytes");
    if (!emk_vec_is_well(k->v))
        return "skipped";
    outcome = ticket_outcome(
        k, emk_ticket_verify(k->v->crypto, ticket, k->issuer, k->now, &t, &k->error));
    if (is_ok(outcome))
        outcome = check_ticket(k, &t, request_hash);
    if (is_ok(outcome))
        outcome = accept_model(k, &t);
    return outcome;
}

/* ---- judging ---- */

static void check_model(kit *k)
{
    emk_span want = hex(k, "payload");
    uint8_t hash[EMK_SHA256_LEN];
    emk_status st = emk_sha256(k->v->crypto, &k->model, 1, hash, &k->error);

    emk_vec_true(k->v, "payload-size", number(k, "payload-size") == k->model.len);
    if (emk_vec_ok(k->v, "sha256", st, &k->error))
        emk_vec_same(k->v, "payload", emk_span_of(hash, sizeof hash), want);
}

static void run_body(kit *k, emk_span body)
{
    emk_span expect = text(k, "expect");
    const char *outcome = "skipped";

    emk_vec_true(k->v, "size", number(k, "size") == body.len);
    k->body = emk_source_from_span(body);
    if (emk_head_is(k->head, "form", "delivered"))
        outcome = run_delivered(k);
    else if (emk_head_is(k->head, "form", "vault"))
        outcome = open_vault(k, &k->body);
    else
        emk_vec_malformed(k->v, "\"form\" is not delivered or vault");
    if (k->v->skip[0] || k->v->broken[0])
        return;
    if (!emk_span_equal(expect, emk_span_str(outcome)) && !emk_head_is(k->head, "or", outcome))
        emk_vec_fail(k->v, "expected %.*s, got %s (%s)", EMK_VEC_SHOWN(expect), outcome,
                     k->error.what ? k->error.what : "-");
    else if (is_ok(outcome))
        check_model(k);
}

static bool is_kit(emk_span file)
{
    emk_text_head head;
    emk_span value;

    return emk_head_read(file, &head) && emk_head_get(&head, "expect", &value) &&
           emk_head_get(&head, "form", &value) && emk_head_get(&head, "issuer", &value);
}

static void run_kit(emk_vec *v, emk_span file)
{
    kit k = {.v = v};
    emk_text_head *head;
    emk_span body;

    emk_vec_begin(v, "file");
    head = emk_vec_take(v, sizeof *head);
    k.head = head;
    if (emk_head_read(file, head)) {
        body = emk_head_body(v, head);
        read_head(&k);
        if (emk_vec_is_well(v))
            run_body(&k, body);
    }
    emk_vec_end(v);
    emk_verify_key_free(k.issuer);
    emk_kem_private_free(k.device_key);
    emk_kem_private_free(k.request_key);
}

const emk_head_format emk_format_kit = {"Earmark kit", is_kit, run_kit};
