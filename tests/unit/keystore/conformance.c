#include "tests/unit/keystore/conformance.h"

#include "core/base/secret.h"
#include "core/crypto/dh.h"
#include "core/crypto/sign.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const conformance_holder *holder;

static const uint8_t id_a[16] = "counter or secre";
static const uint8_t id_b[16] = "another id of 16";

static emk_keystore fresh(void)
{
    emk_keystore ks = {0};
    emk_error e = {0};

    holder->make(holder->self);
    assert_ok(holder->open(holder->self, &ks, &e), &e);
    assert_ok(emk_keystore_check(&ks, &e), &e);
    return ks;
}

static emk_keystore reopened(void)
{
    emk_keystore ks = {0};
    emk_error e = {0};

    assert_ok(holder->open(holder->self, &ks, &e), &e);
    return ks;
}

static void says_what_it_is(void **state)
{
    emk_keystore ks = fresh();

    (void)state;
    assert_true(strlen(emk_keystore_name(&ks)) > 0);
    assert_true(strlen(emk_keystore_describe(&ks)) > 0);
    if (!emk_keystore_is_hardware(&ks))
        assert_non_null(strstr(emk_keystore_describe(&ks), "not hardware"));
    emk_keystore_close(&ks);
}

static void keeps_its_keys_when_opened_again(void **state)
{
    emk_keystore ks = fresh(), again = reopened();
    emk_keystore_keys a, b;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_keystore_public_keys(&ks, &a, &e), &e);
    assert_ok(emk_keystore_public_keys(&again, &b, &e), &e);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_not_equal(a.signing, a.agreement, sizeof a.signing);
    emk_keystore_close(&ks);
    emk_keystore_close(&again);
}

static void two_devices_have_different_keys(void **state)
{
    emk_keystore ks = fresh();
    emk_keystore_keys a, b;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_keystore_public_keys(&ks, &a, &e), &e);
    emk_keystore_close(&ks);
    ks = fresh();
    assert_ok(emk_keystore_public_keys(&ks, &b, &e), &e);
    assert_memory_not_equal(a.signing, b.signing, sizeof a.signing);
    assert_memory_not_equal(a.agreement, b.agreement, sizeof a.agreement);
    emk_keystore_close(&ks);
}

static emk_status verify(const uint8_t pub[65], const char *msg, const uint8_t sig[64])
{
    emk_verify_key *key = NULL;
    emk_error e = {0};
    emk_status st;

    assert_ok(emk_verify_key_new(holder->crypto, EMK_SIGN_ES256, emk_span_of(pub, 65), &key, &e),
              &e);
    st = emk_sign_verify(key, emk_span_str(msg), emk_span_of(sig, 64), &e);
    emk_verify_key_free(key);
    return st;
}

static void signs_what_its_public_key_verifies(void **state)
{
    emk_keystore ks = fresh();
    emk_keystore_keys keys;
    uint8_t sig[64];
    emk_error e = {0};

    (void)state;
    assert_ok(emk_keystore_public_keys(&ks, &keys, &e), &e);
    assert_ok(emk_keystore_sign(&ks, emk_span_str("a message"), sig, &e), &e);
    assert_ok(verify(keys.signing, "a message", sig), NULL);
    assert_status(verify(keys.signing, "another message", sig), EMK_E_SIGNATURE, NULL);
    assert_status(verify(keys.agreement, "a message", sig), EMK_E_SIGNATURE, NULL);
    assert_ok(emk_keystore_sign(&ks, emk_span_str(""), sig, &e), &e);
    assert_ok(verify(keys.signing, "", sig), NULL);
    emk_keystore_close(&ks);
}

static void refuses_to_sign_beyond_the_limit(void **state)
{
    static const uint8_t big[EMK_KEYSTORE_MESSAGE_MAX + 1];
    emk_keystore ks = fresh();
    uint8_t sig[64];
    emk_error e = {0};

    (void)state;
    assert_status(emk_keystore_sign(&ks, emk_span_of(big, sizeof big), sig, &e), EMK_E_USAGE, &e);
    emk_keystore_close(&ks);
}

static void agrees_as_software_does_on_the_other_side(void **state)
{
    emk_keystore ks = fresh();
    emk_keystore_keys keys;
    uint8_t priv[32], pub[65], mine[32], theirs[32];
    emk_error e = {0};

    (void)state;
    assert_ok(emk_keystore_public_keys(&ks, &keys, &e), &e);
    for (int i = 0; i < 20; i++) { /* some x begin with a zero byte: never shortened */
        assert_ok(emk_p256_generate(holder->crypto, priv, pub, &e), &e);
        assert_ok(emk_keystore_agree(holder->crypto, &ks, pub, mine, &e), &e);
        assert_ok(emk_dh_p256(holder->crypto, priv, keys.agreement, theirs, &e), &e);
        assert_memory_equal(mine, theirs, sizeof mine);
        assert_ok(emk_dh_p256(holder->crypto, priv, keys.signing, theirs, &e), &e);
        assert_memory_not_equal(mine, theirs, sizeof mine);
    }
    emk_keystore_close(&ks);
}

static void refuses_a_peer_that_is_not_on_the_curve(void **state)
{
    emk_keystore ks = fresh();
    uint8_t priv[32], pub[65], x[32];
    emk_error e = {0};

    (void)state;
    assert_ok(emk_p256_generate(holder->crypto, priv, pub, &e), &e);
    pub[64] ^= 1;
    assert_status(emk_keystore_agree(holder->crypto, &ks, pub, x, &e), EMK_E_FORMAT, &e);
    memset(pub, 0, sizeof pub);
    assert_status(emk_keystore_agree(holder->crypto, &ks, pub, x, &e), EMK_E_FORMAT, &e);
    emk_keystore_close(&ks);
}

static void its_kem_key_opens_what_is_sealed_to_its_public_key(void **state)
{
    emk_keystore ks = fresh();
    emk_kem_private *key = NULL;
    uint8_t enc[EMK_KEM_ENC_MAX], a[32], b[32];
    emk_error e = {0};
    uint16_t kem;

    (void)state;
    assert_ok(emk_keystore_kem_private(holder->crypto, &ks, &key, &e), &e);
    kem = emk_kem_private_id(key);
    assert_ok(emk_kem_encap(holder->crypto, kem, emk_kem_private_public(key), enc, a, &e), &e);
    assert_ok(emk_kem_decap(key, emk_span_of(enc, emk_kem_enc_len(kem)), b, &e), &e);
    assert_memory_equal(a, b, sizeof a);
    emk_kem_private_free(key);
    emk_keystore_close(&ks);
}

static uint64_t counter(const emk_keystore *ks, const uint8_t *id)
{
    uint64_t v = UINT64_MAX;
    emk_error e = {0};

    assert_ok(emk_keystore_counter_get(ks, id, &v, &e), &e);
    return v;
}

static void counter_starts_at_zero_and_only_goes_up(void **state)
{
    emk_keystore ks = fresh();
    emk_error e = {0};

    (void)state;
    if (!emk_keystore_has_counters(&ks)) {
        emk_keystore_close(&ks);
        skip();
    }
    assert_int_equal(counter(&ks, id_a), 0);
    assert_ok(emk_keystore_counter_set(&ks, id_a, 5, &e), &e);
    assert_ok(emk_keystore_counter_set(&ks, id_a, 5, &e), &e);
    assert_status(emk_keystore_counter_set(&ks, id_a, 4, &e), EMK_E_STALE, &e);
    assert_int_equal(counter(&ks, id_a), 5);
    assert_int_equal(counter(&ks, id_b), 0);
    emk_keystore_close(&ks);

    ks = reopened();
    assert_int_equal(counter(&ks, id_a), 5);
    assert_status(emk_keystore_counter_set(&ks, id_a, 0, &e), EMK_E_STALE, &e);
    assert_ok(emk_keystore_counter_set(&ks, id_a, UINT64_MAX, &e), &e);
    assert_true(counter(&ks, id_a) == UINT64_MAX);
    emk_keystore_close(&ks);
}

/* Each process opens for itself and tries to set most of 1..61 in an order of its own. */
static void child_counts(unsigned step)
{
    emk_keystore ks = {0};
    uint64_t last = 0;

    if (holder->open(holder->self, &ks, NULL) != EMK_OK)
        _exit(1);
    for (unsigned i = 0; i < 60; i++) {
        uint64_t v = 1 + i * step % 61, now = 0;
        emk_status st = emk_keystore_counter_set(&ks, id_a, v, NULL);

        if (st != EMK_OK && st != EMK_E_STALE)
            _exit(2);
        if (emk_keystore_counter_get(&ks, id_a, &now, NULL) != EMK_OK || now < last || now < v)
            _exit(3);
        last = now;
    }
    _exit(0);
}

static void counter_never_goes_down_under_several_processes(void **state)
{
    static const unsigned steps[] = {1, 7, 60};
    emk_keystore ks = fresh();
    pid_t pids[3];
    int status;

    (void)state;
    if (!emk_keystore_has_counters(&ks)) {
        emk_keystore_close(&ks);
        skip();
    }
    for (size_t i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            child_counts(steps[i]);
        assert_true(pids[i] > 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_int_equal(counter(&ks, id_a), 61);
    emk_keystore_close(&ks);
}

static void secret_comes_back_until_it_is_deleted(void **state)
{
    emk_keystore ks = fresh();
    uint8_t out[EMK_KEYSTORE_SECRET_MAX];
    size_t len = 0;
    emk_error e = {0};

    (void)state;
    if (!emk_keystore_has_secrets(&ks)) {
        emk_keystore_close(&ks);
        skip();
    }
    assert_status(emk_keystore_secret_get(&ks, id_a, out, &len, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_keystore_secret_delete(&ks, id_a, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_keystore_secret_put(&ks, id_a, emk_span_str("first"), &e), &e);
    assert_ok(emk_keystore_secret_put(&ks, id_a, emk_span_str("second"), &e), &e);
    emk_keystore_close(&ks);

    ks = reopened();
    assert_ok(emk_keystore_secret_get(&ks, id_a, out, &len, &e), &e);
    assert_bytes(emk_span_of(out, len), emk_span_str("second"));
    assert_status(emk_keystore_secret_get(&ks, id_b, out, &len, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_keystore_secret_delete(&ks, id_a, &e), &e);
    assert_status(emk_keystore_secret_get(&ks, id_a, out, &len, &e), EMK_E_NOT_FOUND, &e);
    emk_keystore_close(&ks);

    ks = reopened();
    assert_status(emk_keystore_secret_get(&ks, id_a, out, &len, &e), EMK_E_NOT_FOUND, &e);
    emk_keystore_close(&ks);
}

static void secret_may_have_every_length_to_the_limit(void **state)
{
    uint8_t in[EMK_KEYSTORE_SECRET_MAX + 1], out[EMK_KEYSTORE_SECRET_MAX];
    emk_keystore ks = fresh();
    size_t len = 0;
    emk_error e = {0};

    (void)state;
    if (!emk_keystore_has_secrets(&ks)) {
        emk_keystore_close(&ks);
        skip();
    }
    memset(in, 0xA5, sizeof in);
    assert_status(emk_keystore_secret_put(&ks, id_a, emk_span_of(in, 0), &e), EMK_E_USAGE, &e);
    assert_status(emk_keystore_secret_put(&ks, id_a, emk_span_of(in, sizeof in), &e), EMK_E_USAGE,
                  &e);
    for (size_t n = 1; n <= EMK_KEYSTORE_SECRET_MAX; n += 51) {
        assert_ok(emk_keystore_secret_put(&ks, id_a, emk_span_of(in, n), &e), &e);
        assert_ok(emk_keystore_secret_get(&ks, id_a, out, &len, &e), &e);
        assert_bytes(emk_span_of(out, len), emk_span_of(in, n));
    }
    emk_keystore_close(&ks);
}

static void counters_and_secrets_do_not_meet(void **state)
{
    emk_keystore ks = fresh();
    uint8_t out[EMK_KEYSTORE_SECRET_MAX];
    size_t len = 0;
    emk_error e = {0};

    (void)state;
    if (!emk_keystore_has_secrets(&ks) || !emk_keystore_has_counters(&ks)) {
        emk_keystore_close(&ks);
        skip();
    }
    assert_ok(emk_keystore_counter_set(&ks, id_a, 3, &e), &e);
    assert_status(emk_keystore_secret_get(&ks, id_a, out, &len, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_keystore_secret_put(&ks, id_a, emk_span_str("x"), &e), &e);
    assert_int_equal(counter(&ks, id_a), 3);
    assert_ok(emk_keystore_secret_delete(&ks, id_a, &e), &e);
    assert_int_equal(counter(&ks, id_a), 3);
    emk_keystore_close(&ks);
}

static void lost_keys_are_told_as_such(void **state)
{
    emk_keystore ks = fresh();
    emk_keystore_keys keys;
    emk_error e = {0};
    emk_status st;

    (void)state;
    emk_keystore_close(&ks);
    holder->lose(holder->self);
    st = holder->open(holder->self, &ks, &e);
    if (st == EMK_OK) { /* some holders notice only when asked */
        st = emk_keystore_public_keys(&ks, &keys, &e);
        emk_keystore_close(&ks);
    }
    assert_status(st, EMK_E_KEY_LOST, &e);
}

int conformance_run(const char *name, const conformance_holder *h)
{
    const struct CMUnitTest rules[] = {
        emk_rule(says_what_it_is),
        emk_rule(keeps_its_keys_when_opened_again),
        emk_rule(two_devices_have_different_keys),
        emk_rule(signs_what_its_public_key_verifies),
        emk_rule(refuses_to_sign_beyond_the_limit),
        emk_rule(agrees_as_software_does_on_the_other_side),
        emk_rule(refuses_a_peer_that_is_not_on_the_curve),
        emk_rule(its_kem_key_opens_what_is_sealed_to_its_public_key),
        emk_rule(counter_starts_at_zero_and_only_goes_up),
        emk_rule(counter_never_goes_down_under_several_processes),
        emk_rule(secret_comes_back_until_it_is_deleted),
        emk_rule(secret_may_have_every_length_to_the_limit),
        emk_rule(counters_and_secrets_do_not_meet),
        emk_rule(lost_keys_are_told_as_such),
    };

    holder = h;
    return emk_run_rules_(name, rules, sizeof rules / sizeof rules[0]);
}
