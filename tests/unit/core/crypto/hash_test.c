#include "core/crypto/hash.h"
#include "tests/unit/core/crypto/context.h"

#define ABC_SHA256    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define EMPTY_SHA256  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_SHA3_256  "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"
#define EMPTY_SHAKE32 "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f"

static void assert_hex(emk_span got, const char *hex)
{
    uint8_t want[64];

    assert_bytes(got, emk_span_of(want, emk_unhex(hex, want, sizeof want)));
}

static void sha256_of_known_strings(void **state)
{
    const emk_span abc[] = {emk_span_str("a"), NONE, emk_span_str("bc")};
    uint8_t out[32];
    emk_error e;

    (void)state;
    assert_ok(emk_sha256(test_crypto(), abc, 3, out, &e), &e);
    assert_hex(SPAN(out), ABC_SHA256);
    assert_ok(emk_sha256(test_crypto(), NULL, 0, out, &e), &e);
    assert_hex(SPAN(out), EMPTY_SHA256);
}

static void sha3_and_shake_of_known_strings(void **state)
{
    const emk_span abc = emk_span_str("abc");
    uint8_t out[32];
    emk_error e;

    (void)state;
    assert_ok(emk_sha3_256(test_crypto(), &abc, 1, out, &e), &e);
    assert_hex(SPAN(out), ABC_SHA3_256);
    assert_ok(emk_shake256(test_crypto(), NONE, out, sizeof out, &e), &e);
    assert_hex(SPAN(out), EMPTY_SHAKE32);
}

static void shake_refuses_lengths_outside_its_limit(void **state)
{
    uint8_t out[1] = {7};
    emk_error e;

    (void)state;
    assert_status(emk_shake256(test_crypto(), NONE, out, 0, &e), EMK_E_USAGE, &e);
    assert_status(emk_shake256(test_crypto(), NONE, out, 65537, &e), EMK_E_USAGE, &e);
    assert_int_equal(out[0], 7);
}

static void steps_give_the_same_as_one_call_and_reset_starts_over(void **state)
{
    emk_sha256_ctx *h;
    uint8_t out[32];
    emk_error e;

    (void)state;
    assert_ok(emk_sha256_ctx_new(test_crypto(), &h, &e), &e);
    for (int i = 0; i < 3; i++) {
        assert_ok(emk_sha256_ctx_update(h, emk_span_str("ab"), &e), &e);
        assert_ok(emk_sha256_ctx_update(h, NONE, &e), &e);
        assert_ok(emk_sha256_ctx_update(h, emk_span_str("c"), &e), &e);
        assert_ok(emk_sha256_ctx_finish(h, out, &e), &e);
        assert_hex(SPAN(out), ABC_SHA256);
        assert_ok(emk_sha256_ctx_reset(h, &e), &e);
    }
    assert_ok(emk_sha256_ctx_update(h, emk_span_str("thrown away"), &e), &e);
    assert_ok(emk_sha256_ctx_reset(h, &e), &e);
    assert_ok(emk_sha256_ctx_finish(h, out, &e), &e);
    assert_hex(SPAN(out), EMPTY_SHA256);
    emk_sha256_ctx_free(h);
}

static void refuses_to_go_on_after_finish_without_reset(void **state)
{
    emk_sha256_ctx *h;
    uint8_t out[32];
    emk_error e;

    (void)state;
    assert_ok(emk_sha256_ctx_new(test_crypto(), &h, &e), &e);
    assert_ok(emk_sha256_ctx_finish(h, out, &e), &e);
    assert_status(emk_sha256_ctx_update(h, emk_span_str("x"), &e), EMK_E_USAGE, &e);
    assert_status(emk_sha256_ctx_finish(h, out, &e), EMK_E_USAGE, &e);
    emk_sha256_ctx_free(h);
    emk_sha256_ctx_free(NULL);
}

int main(void)
{
    return EMK_RUN(emk_rule(sha256_of_known_strings), emk_rule(sha3_and_shake_of_known_strings),
                   emk_rule(shake_refuses_lengths_outside_its_limit),
                   emk_rule(steps_give_the_same_as_one_call_and_reset_starts_over),
                   emk_rule(refuses_to_go_on_after_finish_without_reset));
}
