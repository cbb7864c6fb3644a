#include "core/base/os_thread.h"
#include "server/gate/known.h"
#include "tests/unit/server/gate/kit.h"

#define N_THREADS 4u
#define N_STEPS   2000u

static emk_crypto *crypto;

static int setup(void **state)
{
    emk_error e = {0};

    (void)state;
    assert_ok(emk_crypto_new(NULL, NULL, &crypto, &e), &e);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    emk_crypto_free(crypto);
    return 0;
}

static emk_known *table(uint32_t n)
{
    emk_known *k = NULL;
    emk_error e = {0};

    assert_ok(emk_known_new(crypto, n, &k, &e), &e);
    return k;
}

static void name_it(uint8_t name[EMK_KNOWN_NAME_LEN], uint8_t first, uint8_t last)
{
    memset(name, 0, EMK_KNOWN_NAME_LEN);
    name[0] = first;
    name[EMK_KNOWN_NAME_LEN - 1] = last;
}

static void has_what_was_kept_and_nothing_else(void **state)
{
    emk_known *k = table(64);
    uint8_t name[EMK_KNOWN_NAME_LEN];

    (void)state;
    name_it(name, 1, 1);
    assert_false(emk_known_has(k, name));
    emk_known_keep(k, name);
    emk_known_keep(k, name);
    assert_true(emk_known_has(k, name));
    name_it(name, 1, 2);
    assert_false(emk_known_has(k, name));
    memset(name, 0, sizeof name); /* as an empty place would be named */
    assert_false(emk_known_has(k, name));
    emk_known_free(k);
}

static void a_full_set_forgets_what_was_not_used_for_longest(void **state)
{
    emk_known *k = table(4); /* one set */
    uint8_t name[EMK_KNOWN_NAME_LEN];

    (void)state;
    for (uint8_t i = 1; i <= 4; i++) {
        name_it(name, i, 0);
        emk_known_keep(k, name);
    }
    name_it(name, 1, 0);
    assert_true(emk_known_has(k, name));
    name_it(name, 5, 0);
    emk_known_keep(k, name);
    assert_true(emk_known_has(k, name));
    name_it(name, 2, 0);
    assert_false(emk_known_has(k, name));
    name_it(name, 1, 0);
    assert_true(emk_known_has(k, name));
    emk_known_free(k);
}

static void lends_one_key_for_the_same_bytes(void **state)
{
    emk_known *k = table(4);
    emk_known_key *lent[7], *again;
    uint8_t priv[32], pub[7][65];
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < 7; i++) {
        assert_ok(emk_sign_generate(crypto, EMK_SIGN_ES256, priv, pub[i], &e), &e);
        assert_ok(emk_known_lend(k, EMK_SIGN_ES256, emk_span_of(pub[i], 65), &lent[i], &e), &e);
        assert_bytes(emk_verify_key_public(emk_known_verifies(lent[i])), emk_span_of(pub[i], 65));
    }
    assert_ok(emk_known_lend(k, EMK_SIGN_ES256, emk_span_of(pub[6], 65), &again, &e), &e);
    assert_ptr_equal(again, lent[6]);
    emk_known_give(k, again);
    /* Pushed out, and still good for who has it. */
    assert_bytes(emk_verify_key_public(emk_known_verifies(lent[0])), emk_span_of(pub[0], 65));
    for (size_t i = 0; i < 7; i++)
        emk_known_give(k, lent[i]);
    emk_known_give(k, NULL);
    emk_known_free(k);
}

static void rejects_what_is_no_key(void **state)
{
    emk_known *k = table(4);
    emk_known_key *key = NULL;
    uint8_t pub[65] = {4, 1};
    emk_error e = {0};

    (void)state;
    assert_status(emk_known_lend(k, EMK_SIGN_ES256, emk_span_of(pub, 65), &key, &e), EMK_E_FORMAT,
                  &e);
    assert_status(emk_known_lend(k, EMK_SIGN_ES256, emk_span_of(pub, 64), &key, &e), EMK_E_FORMAT,
                  &e);
    assert_null(key);
    assert_status(emk_known_new(crypto, 0, &k, &e), EMK_E_LIMIT, &e);
    emk_known_free(k);
}

typedef struct shared {
    emk_known *known;
    uint8_t pub[16][65];
} shared;

static void lend_and_give(void *self)
{
    shared *s = self;
    emk_error e = {0};

    for (size_t i = 0; i < N_STEPS; i++) {
        emk_span pub = emk_span_of(s->pub[i % 16], 65);
        emk_known_key *key = NULL;

        assert_ok(emk_known_lend(s->known, EMK_SIGN_ES256, pub, &key, &e), &e);
        assert_bytes(emk_verify_key_public(emk_known_verifies(key)), pub);
        emk_known_give(s->known, key);
    }
}

static void is_shared_by_threads(void **state)
{
    emk_thread *threads[N_THREADS] = {0};
    shared s = {.known = table(8)};
    uint8_t priv[32];
    emk_error e = {0};

    (void)state;
    for (size_t i = 0; i < 16; i++)
        assert_ok(emk_sign_generate(crypto, EMK_SIGN_ES256, priv, s.pub[i], &e), &e);
    for (size_t i = 0; i < N_THREADS; i++)
        assert_ok(emk_thread_start(lend_and_give, &s, &threads[i], &e), &e);
    for (size_t i = 0; i < N_THREADS; i++)
        emk_thread_join(threads[i]);
    emk_known_free(s.known);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(has_what_was_kept_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_set_forgets_what_was_not_used_for_longest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(lends_one_key_for_the_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(rejects_what_is_no_key, setup, teardown),
        cmocka_unit_test_setup_teardown(is_shared_by_threads, setup, teardown),
    };

    emk_known_free(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
