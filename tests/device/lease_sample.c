/* Writes vectors of one model under a lease, in the form of tests/vectors, for the second decoder:
 *   lease_sample DIR     DIR/<name>.emkv: delivered, awake and asleep, each with the lease secret
 *                        and without
 * Keys are random; nothing is kept. */
#include "core/crypto/hash.h"
#include "core/proto/lease.h"
#include "core/seal/accept.h"
#include "core/seal/seal.h"
#include "core/seal/vault.h"
#include "tests/support/test.h"

#include <string.h>

#define NOW       UINT64_C(1800000000)
#define MODEL_LEN 90000u

static emk_error e;
static emk_crypto *crypto;
static const char *folder;

static const emk_lease_source master = {(const uint8_t *)"a master that everybody may know", 9};

/* A key pair, raw. */
typedef struct pair {
    uint8_t priv[32], pub[65];
} pair;

static pair issuer_keys, agree_keys, request_keys, sign_keys;
static emk_sign_key *issuer_key;
static emk_signer issuer;
static emk_verify_key *issuer_public;
static emk_kem_private *device_key, *request_key;
static uint8_t model[MODEL_LEN], lease_key[EMK_LEASE_KEY_LEN], secret[32];
static emk_ticket ticket;
static emk_buf ticket_bytes, sealed, vault;

static void make_keys(void)
{
    assert_ok(emk_sign_generate(crypto, EMK_SIGN_ED25519, issuer_keys.priv, issuer_keys.pub, &e),
              &e);
    assert_ok(emk_sign_key_new(crypto, EMK_SIGN_ED25519, emk_span_of(issuer_keys.priv, 32),
                               &issuer_key, &e),
              &e);
    assert_ok(emk_signer_from_key(crypto, issuer_key, &issuer, &e), &e);
    assert_ok(emk_cose_verify_key(crypto, emk_span_of(issuer_keys.pub, 32), &issuer_public, &e),
              &e);
    assert_ok(emk_sign_generate(crypto, EMK_SIGN_ES256, sign_keys.priv, sign_keys.pub, &e), &e);
    assert_ok(emk_kem_generate(crypto, EMK_KEM_P256, agree_keys.priv, agree_keys.pub, &e), &e);
    assert_ok(emk_kem_private_new(crypto, EMK_KEM_P256, emk_span_of(agree_keys.priv, 32),
                                  &device_key, &e),
              &e);
    assert_ok(emk_kem_generate(crypto, EMK_KEM_X25519, request_keys.priv, request_keys.pub, &e),
              &e);
    assert_ok(emk_kem_private_new(crypto, EMK_KEM_X25519, emk_span_of(request_keys.priv, 32),
                                  &request_key, &e),
              &e);
}

static void make_ticket(void)
{
    emk_ticket t = {.id = "ticket id of 16",
                    .device_key = {EMK_KEM_P256, {agree_keys.pub, 65}},
                    .request_key = {EMK_KEM_X25519, {request_keys.pub, 32}},
                    .policy = {.expires = NOW + 86400, .lease_s = 3600, .grace_s = 60},
                    .identity = {.model = emk_span_str("cat-ears"), .user = emk_span_str("u-17")},
                    .issued = NOW,
                    .expires = NOW + 600};

    assert_ok(emk_device_id(crypto, emk_span_of(sign_keys.pub, 65), &t.device_key, t.device_id, &e),
              &e);
    memcpy(t.identity.device, t.device_id, 32);
    memset(t.request_hash, 0x9a, sizeof t.request_hash);
    assert_ok(emk_lease_prepare(crypto, &master, lease_key, &t, &e), &e);
    assert_ok(emk_lease_derive(crypto, &master, t.id, secret, &e), &e);
    assert_ok(emk_ticket_sign(crypto, &issuer, &t, &ticket_bytes, &e), &e);
    assert_ok(
        emk_ticket_verify(crypto, emk_buf_span(&ticket_bytes), issuer_public, NOW, &ticket, &e),
        &e);
}

static void seal(void)
{
    emk_source source = emk_source_from_span(emk_span_of(model, MODEL_LEN));
    emk_seal_in in = {.model = &source, .signer = &issuer, .now = NOW};
    emk_sealing *s = NULL;
    emk_plan plan;
    uint8_t *room;
    emk_sink sink;

    for (size_t i = 0; i < MODEL_LEN; i++)
        model[i] = (uint8_t)(i * i / 251 + i);
    assert_ok(emk_plan_init(&plan, crypto, MODEL_LEN, 1, &e), &e);
    plan.regions[0] = (emk_region){MODEL_LEN, EMK_REGION_TENSOR};
    assert_ok(emk_plan_digest(&plan, crypto, &source, 1, NULL, &e), &e);
    in.plan = &plan;
    memcpy(in.ticket_id, ticket.id, 16);
    memcpy(in.ticket_hash, ticket.hash, 32);
    memcpy(in.request_hash, ticket.request_hash, 32);
    in.policy = ticket.policy_bytes;
    in.identity = ticket.identity_bytes;
    in.lease_key = ticket.lease_key;
    in.device_key = ticket.device_key;
    in.request_key = ticket.request_key;
    assert_ok(emk_sealing_new(crypto, &in, &s, &e), &e);
    assert_ok(emk_buf_grow(&sealed, (size_t)emk_sealing_len(s), &room, &e), &e);
    sink = emk_sink_from_memory(room, sealed.len);
    assert_ok(emk_sealing_write(s, &sink, 1, NULL, &e), &e);
    emk_sealing_free(s);
    emk_plan_done(&plan);
}

static void accept_it(void)
{
    emk_source source = emk_source_from_span(emk_buf_span(&sealed));
    emk_accept_in in = {.sealed = &source,
                        .issuer = issuer_public,
                        .request_key = request_key,
                        .device_key = device_key,
                        .policy = ticket.policy_bytes,
                        .identity = ticket.identity_bytes,
                        .lease_key = ticket.lease_key,
                        .lease_secret = secret,
                        .now = NOW};
    emk_accept_out out = {
        .accepted = NOW, .floor = NOW, .lease_time = NOW, .lease_until = NOW + 3600, .threads = 1};
    emk_accept *a = NULL;
    uint8_t vault_id[16], *room;
    emk_sink sink;

    memcpy(in.request_hash, ticket.request_hash, 32);
    memcpy(in.ticket_id, ticket.id, 16);
    memcpy(in.ticket_hash, ticket.hash, 32);
    assert_ok(emk_accept_new(crypto, &in, &a, &e), &e);
    assert_ok(emk_buf_grow(&vault, (size_t)emk_accept_vault_len(a), &room, &e), &e);
    sink = emk_sink_from_memory(room, vault.len);
    out.vault = &sink;
    assert_ok(emk_accept_write(a, &out, vault_id, &e), &e);
    emk_accept_free(a);
}

static void fall_asleep(void)
{
    emk_source source = emk_source_from_span(emk_buf_span(&vault));
    emk_sink sink = emk_sink_from_memory(vault.p, vault.len);
    emk_vault_in in = {.file = &source, .issuer = issuer_public, .device_key = device_key};
    emk_vault_lease lease = {.time = NOW + 1, .until = NOW + 3600, .floor = NOW, .asleep = true};
    emk_vault *v = NULL;

    assert_ok(emk_vault_open(crypto, &in, &v, &e), &e);
    assert_ok(emk_vault_write_lease(v, &sink, &lease, &e), &e);
    assert_ok(emk_vault_clear_other(v, &sink, &e), &e);
    emk_vault_close(v);
}

static void put_hex(FILE *f, const char *key, const uint8_t *p, size_t len)
{
    fprintf(f, "%s: ", key);
    for (size_t i = 0; i < len; i++)
        fprintf(f, "%02x", p[i]);
    fprintf(f, "\n");
}

static void save(const char *name, const char *expect, emk_span body, bool with_secret)
{
    emk_span bytes = emk_span_of(model, MODEL_LEN);
    uint8_t hash[32];
    char path[4200];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s.emkv", folder, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_ok(emk_sha256(crypto, &bytes, 1, hash, &e), &e);
    fprintf(f, "expect: %s\nwhy: %s\nform: %s\nnow: %llu\nguard: 0\nuser: u-17\n", expect, name,
            strncmp(name, "delivered", 9) == 0 ? "file" : "vault", (unsigned long long)NOW);
    fprintf(f, "size: %zu\npayload-size: %u\nlease-until: %llu\n", body.len, MODEL_LEN,
            (unsigned long long)NOW + 3600);
    put_hex(f, "payload", hash, 32);
    put_hex(f, "issuer", issuer_keys.pub, 32);
    put_hex(f, "device-agree-private", agree_keys.priv, 32);
    put_hex(f, "device-sign-public", sign_keys.pub, 65);
    fprintf(f, "request-private: 0x20 ");
    for (size_t i = 0; i < 32; i++)
        fprintf(f, "%02x", request_keys.priv[i]);
    fprintf(f, "\n");
    put_hex(f, "request-hash", ticket.request_hash, 32);
    put_hex(f, "ticket", ticket_bytes.p, ticket_bytes.len);
    if (with_secret)
        put_hex(f, "lease-secret", secret, 32);
    fprintf(f, "\n");
    assert_int_equal(fwrite(body.p, 1, body.len, f), body.len);
    fclose(f);
}

int main(int argc, char **argv)
{
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    if (argc != 2)
        return 2;
    folder = argv[1];
    assert_ok(emk_crypto_new(NULL, NULL, &crypto, &e), &e);
    emk_buf_init(&ticket_bytes, EMK_MESSAGE_MAX);
    emk_buf_init(&sealed, 1u << 20);
    emk_buf_init(&vault, 1u << 20);
    make_keys();
    make_ticket();
    seal();
    accept_it();
    save("delivered-with-lease", "ok", emk_buf_span(&sealed), true);
    save("delivered-without-lease", "hpke failure", emk_buf_span(&sealed), false);
    save("awake", "ok", emk_buf_span(&vault), false);
    fall_asleep();
    save("asleep-with-lease", "ok", emk_buf_span(&vault), true);
    save("asleep-without-lease", "policy refused", emk_buf_span(&vault), false);
    emk_buf_done(&ticket_bytes);
    emk_buf_done(&sealed);
    emk_buf_done(&vault);
    emk_kem_private_free(device_key);
    emk_kem_private_free(request_key);
    emk_verify_key_free(issuer_public);
    emk_sign_key_free(issuer_key);
    emk_crypto_free(crypto);
    return 0;
}
