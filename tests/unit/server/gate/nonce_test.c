#include "server/gate/nonce.h"

#include "tests/unit/server/gate/kit.h"

static const uint8_t key[EMK_NONCE_KEY_LEN] = {1, 2, 3};
static emk_nonces *n;

static emk_nonces *nonces_of(const uint8_t *bytes)
{
    emk_nonces *made = NULL;
    emk_error e;

    assert_ok(emk_nonces_new(kit_crypto(), emk_span_of(bytes, EMK_NONCE_KEY_LEN), &made, &e), &e);
    return made;
}

static int setup(void **state)
{
    (void)state;
    n = nonces_of(key);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    emk_nonces_free(n);
    return 0;
}

static void nonce_is_good_for_two_spans(void **state)
{
    emk_span device = emk_span_str("device one");
    uint64_t begin = KIT_NOW_S - KIT_NOW_S % EMK_NONCE_EPOCH_S;
    char text[EMK_NONCE_CHARS + 1];
    emk_span s = emk_span_of(text, EMK_NONCE_CHARS);
    emk_error e;

    (void)state;
    assert_ok(emk_nonce_make(n, device, begin, text, &e), &e);
    assert_int_equal(strlen(text), EMK_NONCE_CHARS);
    assert_ok(emk_nonce_verify(n, device, s, begin, &e), &e);
    assert_ok(emk_nonce_verify(n, device, s, begin + 2 * EMK_NONCE_EPOCH_S - 1, &e), &e);
    assert_status(emk_nonce_verify(n, device, s, begin + 2 * EMK_NONCE_EPOCH_S, &e), EMK_E_STALE,
                  &e);
    /* another node, whose clock is a little behind */
    assert_ok(emk_nonce_verify(n, device, s, begin - 1, &e), &e);
    assert_status(emk_nonce_verify(n, device, s, begin - EMK_NONCE_EPOCH_S - 1, &e), EMK_E_STALE,
                  &e);
}

static void refuses_nonce_of_another_device_key_or_shape(void **state)
{
    static const uint8_t other_key[EMK_NONCE_KEY_LEN] = {9};
    emk_span device = emk_span_str("device one");
    char text[EMK_NONCE_CHARS + 1], bad[EMK_NONCE_CHARS + 1];
    emk_nonces *other = nonces_of(other_key);
    emk_span s = emk_span_of(text, EMK_NONCE_CHARS);
    emk_error e;

    (void)state;
    assert_ok(emk_nonce_make(n, device, KIT_NOW_S, text, &e), &e);
    assert_status(emk_nonce_verify(n, emk_span_str("device two"), s, KIT_NOW_S, &e),
                  EMK_E_SIGNATURE, &e);
    assert_status(emk_nonce_verify(other, device, s, KIT_NOW_S, &e), EMK_E_SIGNATURE, &e);
    assert_status(emk_nonce_verify(n, device, emk_span_of(text, 26), KIT_NOW_S, &e), EMK_E_FORMAT,
                  &e);
    for (size_t i = 0; i < EMK_NONCE_CHARS; i++) {
        memcpy(bad, text, sizeof bad);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_true(emk_nonce_verify(n, device, emk_span_of(bad, EMK_NONCE_CHARS), KIT_NOW_S,
                                     NULL) != EMK_OK);
    }
    emk_nonces_free(other);
}

static void challenges_differ_and_are_good_for_minutes(void **state)
{
    uint8_t a[EMK_CHALLENGE_LEN], b[EMK_CHALLENGE_LEN];
    emk_span s = emk_span_of(a, sizeof a);
    emk_error e;

    (void)state;
    assert_ok(emk_challenge_make(n, KIT_NOW_S, a, &e), &e);
    assert_ok(emk_challenge_make(n, KIT_NOW_S, b, &e), &e);
    assert_memory_not_equal(a, b, sizeof a);
    assert_ok(emk_challenge_verify(n, s, KIT_NOW_S + EMK_NONCE_EPOCH_S, &e), &e);
    assert_status(emk_challenge_verify(n, s, KIT_NOW_S + EMK_CHALLENGE_LIFE_S, &e), EMK_E_STALE,
                  &e);
    assert_status(emk_challenge_verify(n, emk_span_of(a, 35), KIT_NOW_S, &e), EMK_E_FORMAT, &e);
    for (size_t i = 0; i < sizeof a; i++) {
        a[i] ^= 1;
        assert_status(emk_challenge_verify(n, s, KIT_NOW_S, &e), EMK_E_SIGNATURE, &e);
        a[i] ^= 1;
    }
}

static void refuses_key_of_another_length(void **state)
{
    emk_nonces *made = NULL;
    emk_error e;

    (void)state;
    assert_status(emk_nonces_new(kit_crypto(), emk_span_of(key, 31), &made, &e), EMK_E_USAGE, &e);
    assert_null(made);
}

#define with_nonces(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    return EMK_RUN(with_nonces(nonce_is_good_for_two_spans),
                   with_nonces(refuses_nonce_of_another_device_key_or_shape),
                   with_nonces(challenges_differ_and_are_good_for_minutes),
                   emk_rule(refuses_key_of_another_length));
}
