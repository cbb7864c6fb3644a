#include "server/attest/challenge.h"

#include "core/crypto/hash.h"
#include "tests/unit/core/crypto/context.h"

static uint8_t nonce[EMK_BINDING_CHALLENGE_LEN], signing[65], agreement[65];

static emk_binding right(void)
{
    return (emk_binding){SPAN(nonce), SPAN(signing), SPAN(agreement), emk_span_str("com.example")};
}

static void is_the_hash_of_all_in_order(void **state)
{
    const emk_binding b = right();
    uint8_t all[36 + 65 + 65 + 11], want[32], got[32];
    const emk_span whole = SPAN(all);
    emk_error e;

    (void)state;
    memcpy(all, nonce, 36);
    memcpy(all + 36, signing, 65);
    memcpy(all + 101, agreement, 65);
    memcpy(all + 166, "com.example", 11);
    assert_ok(emk_sha256(test_crypto(), &whole, 1, want, &e), &e);
    assert_ok(emk_binding_make(test_crypto(), &b, got, &e), &e);
    assert_bytes(SPAN(got), SPAN(want));
    assert_ok(emk_binding_verify(test_crypto(), &b, SPAN(got), &e), &e);
}

static void rejects_every_other_input(void **state)
{
    emk_binding b = right();
    uint8_t got[32];
    emk_error e;

    (void)state;
    assert_ok(emk_binding_make(test_crypto(), &b, got, &e), &e);
    for (size_t i = 0; i < 3; i++) {
        uint8_t *const at[] = {&nonce[35], &signing[64], &agreement[1]};

        *at[i] ^= 1;
        assert_status(emk_binding_verify(test_crypto(), &b, SPAN(got), &e), EMK_E_SIGNATURE, &e);
        *at[i] ^= 1;
    }
    b.app = emk_span_str("com.example2");
    assert_status(emk_binding_verify(test_crypto(), &b, SPAN(got), &e), EMK_E_SIGNATURE, &e);
    b = right();
    b.signing = SPAN(agreement);
    b.agreement = SPAN(signing);
    assert_status(emk_binding_verify(test_crypto(), &b, SPAN(got), &e), EMK_E_SIGNATURE, &e);
    b = right();
    assert_status(emk_binding_verify(test_crypto(), &b, emk_span_of(got, 31), &e), EMK_E_SIGNATURE,
                  &e);
    assert_status(emk_binding_verify(test_crypto(), &b, NONE, &e), EMK_E_SIGNATURE, &e);
}

static void rejects_lengths_that_would_read_two_ways(void **state)
{
    static const uint8_t LONG[256];
    uint8_t got[32];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 7; i++) {
        emk_binding b = right();

        switch (i) {
        case 0:
            b.challenge.len--;
            break;
        case 1:
            b.signing.len--;
            break;
        case 2:
            b.agreement.len--;
            break;
        case 3:
            b.app.len = 0;
            break;
        case 4:
            b.app = SPAN(LONG);
            break;
        case 5:
            b.agreement = b.signing;
            break;
        default:
            b.signing = emk_span_of(LONG, 65);
        }
        assert_status(emk_binding_make(test_crypto(), &b, got, &e), EMK_E_USAGE, &e);
    }
}

int main(void)
{
    memset(nonce, 1, sizeof nonce);
    memset(signing, 2, sizeof signing);
    memset(agreement, 3, sizeof agreement);
    signing[0] = agreement[0] = 4;
    return EMK_RUN(emk_rule(is_the_hash_of_all_in_order), emk_rule(rejects_every_other_input),
                   emk_rule(rejects_lengths_that_would_read_two_ways));
}
