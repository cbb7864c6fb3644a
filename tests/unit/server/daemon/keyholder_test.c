/* The keyholder as a process of its own, and its client. */
#include "server/daemon/keyholder_internal.h"

#include "core/base/os_file.h"
#include "core/base/os_thread.h"
#include "core/base/os_time.h"
#include "core/proto/device_certificate.h"
#include "core/proto/ticket.h"
#include "server/daemon/keyholder_permit.h"
#include "server/daemon/keys.h"
#include "server/daemon/os_process.h"
#include "tests/support/test.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct world {
    char *dir;
    emk_crypto *crypto;
    emk_keyholder_options options;
    emk_keyholder_client *client;
    emk_keyholder_hello hello;
    emk_keyholder table;
} world;

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_error e = {0};

    w->dir = emk_test_dir_make();
    w->options = (emk_keyholder_options){
        .dir = w->dir,
        .origin = "log",
        .sealing_s = 3600,
        .limits = {.certificate_s = 3600, .ticket_s = 600, .lease_s = 7200, .policy_s = 86400},
        .sandbox = getenv("EMK_NO_SANDBOX") == NULL,
        .make = true};
    assert_ok(emk_keyholder_start(&w->options, &w->client, &w->hello, &e), &e);
    w->table = emk_keyholder_table(w->client, &w->hello);
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    *state = w;
    return 0;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_keyholder_hello_done(&w->hello);
    emk_keyholder_stop(w->client);
    emk_crypto_free(w->crypto);
    emk_test_dir_remove(w->dir);
    free(w);
    return 0;
}

static emk_status certify_for(world *w, emk_keyholder_purpose purpose, uint64_t life_s,
                              emk_buf *out, emk_error *e)
{
    uint8_t priv[32], signing[65], agree[65];
    emk_device_certificate cert = {.issued = emk_os_now_s(), .not_after = emk_os_now_s() + life_s};
    emk_keyholder_slot slot;
    emk_signer signer;
    emk_status st = emk_sign_generate(w->crypto, EMK_SIGN_ES256, priv, signing, e);

    if (st == EMK_OK)
        st = emk_sign_generate(w->crypto, EMK_SIGN_ES256, priv, agree, e);
    cert.signing_key = emk_span_of(signing, sizeof signing);
    cert.agree = (emk_agree_key){EMK_KEM_P256, emk_span_of(agree, sizeof agree)};
    if (st == EMK_OK)
        st = emk_keyholder_signer(w->crypto, &w->table, purpose, &slot, &signer, e);
    return st == EMK_OK ? emk_device_certificate_sign(w->crypto, &signer, &cert, out, e) : st;
}

static emk_status certify(world *w, emk_keyholder_purpose purpose, emk_buf *out, emk_error *e)
{
    return certify_for(w, purpose, 3600, out, e);
}

static void signs_nothing_for_longer_than_its_own_configuration_says(void **state)
{
    world *w = *state;
    emk_error e = {0};
    emk_buf out;

    emk_buf_init(&out, 65536);
    assert_status(certify_for(w, EMK_KEYHOLDER_DEVICE_CERTIFICATE, 86400, &out, &e), EMK_E_POLICY,
                  &e);
    assert_int_equal(out.len, 0);
    assert_ok(certify(w, EMK_KEYHOLDER_DEVICE_CERTIFICATE, &out, &e), &e);
    emk_buf_done(&out);
}

static void signs_a_certificate_that_verifies(void **state)
{
    world *w = *state;
    emk_verify_key *issuer;
    emk_device_certificate back;
    emk_error e = {0};
    emk_buf out;

    emk_buf_init(&out, 65536);
    assert_ok(certify(w, EMK_KEYHOLDER_DEVICE_CERTIFICATE, &out, &e), &e);
    assert_ok(emk_cose_verify_key(w->crypto,
                                  emk_span_of(w->hello.issuer_public, w->hello.issuer_public_len),
                                  &issuer, &e),
              &e);
    assert_ok(emk_device_certificate_verify(w->crypto, emk_buf_span(&out), issuer, 2, &back, &e),
              &e);
    emk_verify_key_free(issuer);
    emk_buf_done(&out);
}

static void rejects_a_certificate_asked_for_as_a_ticket(void **state)
{
    world *w = *state;
    emk_error e = {0};
    emk_buf out;

    emk_buf_init(&out, 65536);
    assert_status(certify(w, EMK_KEYHOLDER_TICKET, &out, &e), EMK_E_POLICY, &e);
    assert_true(emk_keyholder_is_alive(w->client)); /* a refusal is an answer */
    assert_ok(emk_keyholder_ping(w->client, &e), &e);
    emk_buf_done(&out);
}

static void sealing_certificate_is_the_issuers(void **state)
{
    world *w = *state;
    emk_sealing_certificate cert;
    emk_verify_key *issuer;
    emk_error e = {0};
    emk_keyholder_keys keys;
    emk_permit permit = {.action = EMK_KEY_ROTATE_SEALING};
    uint8_t old[32];

    assert_ok(emk_cose_verify_key(w->crypto,
                                  emk_span_of(w->hello.issuer_public, w->hello.issuer_public_len),
                                  &issuer, &e),
              &e);
    assert_ok(emk_sealing_certificate_verify(
                  w->crypto, emk_span_of(w->hello.certificate, w->hello.certificate_len), issuer,
                  &cert, &e),
              &e);
    assert_memory_equal(cert.public_key, w->hello.sealing_public, 32);
    memcpy(old, w->hello.sealing_public, 32);
    permit.until_s = emk_os_now_s() + 60;
    assert_ok(emk_permit_write(w->dir, &permit, &e), &e);
    assert_ok(emk_keyholder_rotate(w->client, EMK_SIGNING_SEALING, &keys, &e), &e);
    assert_memory_not_equal(old, keys.sealing_public, 32);
    assert_ok(emk_sealing_certificate_verify(w->crypto,
                                             emk_span_of(keys.certificate, keys.certificate_len),
                                             issuer, &cert, &e),
              &e);
    assert_memory_equal(cert.public_key, keys.sealing_public, 32);
    emk_verify_key_free(issuer);
}

static void lease_secrets_depend_on_ticket_and_epoch(void **state)
{
    world *w = *state;
    uint8_t id[16] = {1}, a[32], b[32], c[32];
    emk_error e = {0};

    assert_ok(emk_keyholder_lease_secret(&w->table, id, 1, a, &e), &e);
    assert_ok(emk_keyholder_lease_secret(&w->table, id, 1, b, &e), &e);
    assert_memory_equal(a, b, 32);
    assert_ok(emk_keyholder_lease_secret(&w->table, id, 2, c, &e), &e);
    assert_memory_not_equal(a, c, 32);
    id[0] = 2;
    assert_ok(emk_keyholder_lease_secret(&w->table, id, 1, c, &e), &e);
    assert_memory_not_equal(a, c, 32);
}

static void storage_keys_open_only_their_object(void **state)
{
    world *w = *state;
    uint8_t object[32] = {1}, key[32], back[32], wrapped[EMK_KEYHOLDER_WRAPPED_LEN];
    emk_error e = {0};

    assert_ok(emk_keyholder_storage_new(&w->table, object, key, wrapped, &e), &e);
    assert_ok(emk_keyholder_storage_open(&w->table, object, wrapped, back, &e), &e);
    assert_memory_equal(key, back, 32);
    object[0] = 2;
    assert_status(emk_keyholder_storage_open(&w->table, object, wrapped, back, &e), EMK_E_SEALED,
                  &e);
    object[0] = 1;
    wrapped[20] ^= 1;
    assert_status(emk_keyholder_storage_open(&w->table, object, wrapped, back, &e), EMK_E_SEALED,
                  &e);
}

static void checkpoints_and_first_keys_go_to_it(void **state)
{
    static const char text[] = "log\n3\nq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=\n";
    world *w = *state;
    uint8_t sig[64], key[32] = {5};
    emk_verify_key *audit;
    char path[256];
    emk_error e = {0};

    assert_ok(emk_keyholder_sign_checkpoint(w->client, emk_span_str(text), sig, &e), &e);
    assert_ok(emk_verify_key_new(w->crypto, EMK_SIGN_ED25519,
                                 emk_span_of(w->hello.audit_public, 32), &audit, &e),
              &e);
    assert_ok(emk_sign_verify(audit, emk_span_str(text), emk_span_of(sig, 64), &e), &e);
    emk_verify_key_free(audit);
    assert_status(emk_keyholder_sign_checkpoint(w->client, emk_span_str("evil\n"), sig, &e),
                  EMK_E_POLICY, &e);
    assert_ok(emk_keyholder_escrow(w->client, 1, key, &e), &e);
    snprintf(path, sizeof path, "%s/journal-00000001.first", w->dir);
    assert_true(emk_os_exists(path));
}

static void killed_is_busy_for_ever(void **state)
{
    world *w = *state;
    uint8_t id[16] = {1}, out[32];
    emk_error e = {0};
    int code = 0;

    assert_int_equal(kill(emk_keyholder_pid(w->client), SIGKILL), 0);
    for (int i = 0; i < 100 && !emk_proc_ended(emk_keyholder_pid(w->client), &code); i++)
        usleep(10000);
    assert_int_equal(code, 128 + SIGKILL);
    assert_status(emk_keyholder_lease_secret(&w->table, id, 1, out, &e), EMK_E_BUSY, &e);
    assert_false(emk_keyholder_is_alive(w->client));
    assert_status(emk_keyholder_ping(w->client, &e), EMK_E_BUSY, &e);
}

static void signs_so_many_a_second(void **state)
{
    world *w = *state;
    emk_keyholder_client *client;
    emk_keyholder_hello hello;
    unsigned refused = 0;
    emk_error e = {0};

    w->options.per_second = 3;
    assert_ok(emk_keyholder_start(&w->options, &client, &hello, &e), &e);
    for (unsigned i = 0; i < 20; i++) {
        uint8_t sig[64];

        if (emk_keyholder_sign_checkpoint(
                client, emk_span_str("log\n3\nq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=\n"), sig,
                &e) == EMK_E_BUSY)
            refused++;
    }
    assert_true(refused >= 14); /* twenty may lie in two seconds */
    assert_true(emk_keyholder_is_alive(client));
    emk_keyholder_hello_done(&hello);
    emk_keyholder_stop(client);
}

static void rejects_key_files_that_are_not_good(void **state)
{
    world *w = *state;
    char path[256];
    emk_secret *key;
    emk_error e = {0};

    snprintf(path, sizeof path, "%s/lease.key", w->dir);
    assert_int_equal(chmod(path, 0644), 0);
    assert_status(emk_key_read(w->dir, EMK_KEY_LEASE, &key, &e), EMK_E_USAGE, &e);
    assert_ok(emk_os_write_file(path, emk_span_str("EMKS\x01\x04\x00\x00"), &e), &e);
    assert_status(emk_key_read(w->dir, EMK_KEY_LEASE, &key, &e), EMK_E_FORMAT, &e);
    assert_ok(emk_os_write_file(path, emk_span_of("EMKS\x01\x05\x01\x00", 8), &e), &e);
    assert_status(emk_key_read(w->dir, EMK_KEY_LEASE, &key, &e), EMK_E_UNSUPPORTED, &e);
    assert_ok(emk_os_write_file(path, emk_span_of("EMKS\x01\x05\x00\x00", 8), &e), &e);
    assert_status(emk_key_read(w->dir, EMK_KEY_LEASE, &key, &e), EMK_E_FORMAT, &e);
    assert_int_equal(unlink(path), 0);
    assert_status(emk_key_read(w->dir, EMK_KEY_LEASE, &key, &e), EMK_E_NOT_FOUND, &e);
}

static void says_why_it_cannot_start(void **state)
{
    world *w = *state;
    emk_keyholder_client *client;
    emk_keyholder_hello hello;
    char path[256];
    emk_error e = {0};

    snprintf(path, sizeof path, "%s/storage.key", w->dir);
    assert_int_equal(unlink(path), 0);
    w->options.make = false;
    assert_status(emk_keyholder_start(&w->options, &client, &hello, &e), EMK_E_NOT_FOUND, &e);
}

#define ASKERS 12u
#define ASKED  50u

typedef struct asker {
    world *w;
    uint8_t number;
} asker;

/* Each must get the answer to its own question, whichever went with it. */
static void ask_much(void *self)
{
    asker *a = self;
    uint8_t first[32], again[32], id[16] = {a->number};
    emk_error e = {0};
    emk_buf out;

    assert_ok(emk_keyholder_lease_secret(&a->w->table, id, 7, first, &e), &e);
    for (unsigned i = 0; i < ASKED; i++) {
        assert_ok(emk_keyholder_lease_secret(&a->w->table, id, 7, again, &e), &e);
        assert_memory_equal(first, again, sizeof first);
        if (i % 5 != 0)
            continue;
        emk_buf_init(&out, 65536);
        assert_status(certify(a->w, EMK_KEYHOLDER_TICKET, &out, &e), EMK_E_POLICY, &e);
        assert_ok(emk_keyholder_ping(a->w->client, &e), &e);
        emk_buf_done(&out);
    }
}

static void answers_many_at_once_each_its_own(void **state)
{
    emk_thread *threads[ASKERS] = {0};
    asker askers[ASKERS];
    emk_error e = {0};

    for (uint8_t i = 0; i < ASKERS; i++) {
        askers[i] = (asker){*state, i};
        assert_ok(emk_thread_start(ask_much, &askers[i], &threads[i], &e), &e);
    }
    for (size_t i = 0; i < ASKERS; i++)
        emk_thread_join(threads[i]);
}

static void rejects_messages_that_are_cut_or_of_another_version(void **state)
{
    uint8_t two[2 * EMK_KEYHOLDER_HEAD_LEN + 3] = {0};
    emk_keyholder_message m;
    emk_span in = emk_span_of(two, sizeof two), cut = emk_span_of(two, EMK_KEYHOLDER_HEAD_LEN + 2);
    emk_error e = {0};

    (void)state;
    emk_keyholder_head_write(two, 3, 5, 3);
    emk_keyholder_head_write(two + EMK_KEYHOLDER_HEAD_LEN + 3, 2, 0, 0);
    assert_ok(emk_keyholder_message_next(&in, &m, &e), &e);
    assert_int_equal(m.operation, 3);
    assert_int_equal(m.number, 5);
    assert_int_equal(m.body.len, 3);
    assert_ok(emk_keyholder_message_next(&in, &m, &e), &e);
    assert_int_equal(m.body.len, 0);
    assert_int_equal(in.len, 0);
    assert_status(emk_keyholder_message_next(&in, &m, &e), EMK_E_FORMAT, &e);
    assert_status(emk_keyholder_message_next(&cut, &m, &e), EMK_E_FORMAT, &e);
    two[0]++;
    in = emk_span_of(two, sizeof two);
    assert_status(emk_keyholder_message_next(&in, &m, &e), EMK_E_FORMAT, &e);
}

#define RULE(fn) cmocka_unit_test_setup_teardown(fn, make, unmake)

int main(void)
{
    return EMK_RUN(
        RULE(signs_a_certificate_that_verifies),
        RULE(signs_nothing_for_longer_than_its_own_configuration_says),
        RULE(rejects_a_certificate_asked_for_as_a_ticket), RULE(sealing_certificate_is_the_issuers),
        RULE(lease_secrets_depend_on_ticket_and_epoch), RULE(storage_keys_open_only_their_object),
        RULE(checkpoints_and_first_keys_go_to_it), RULE(killed_is_busy_for_ever),
        RULE(signs_so_many_a_second), RULE(rejects_key_files_that_are_not_good),
        RULE(says_why_it_cannot_start), RULE(answers_many_at_once_each_its_own),
        emk_rule(rejects_messages_that_are_cut_or_of_another_version));
}
