#include "core/proto/message.h"

#include "core/crypto/hash.h"
#include "tests/unit/core/proto/support.h"

#include <string.h>

static void device_id_is_the_hash_of_label_and_both_keys(void **state)
{
    uint8_t all[17 + 65 + 65], want[32], got[32];
    emk_span s = emk_span_of(all, sizeof all);
    emk_error e = {0};

    (void)state;
    memcpy(all, "earmark/1 device", 17);
    memcpy(all + 17, P.device_signer.public_key, 65);
    memcpy(all + 82, P.agree_pub, 65);
    assert_ok(emk_sha256(P.crypto, &s, 1, want, &e), &e);
    assert_ok(
        emk_device_id(P.crypto, emk_span_of(P.device_signer.public_key, 65), &P.agree, got, &e),
        &e);
    assert_memory_equal(got, want, 32);
}

static void device_id_refuses_keys_a_device_cannot_have(void **state)
{
    emk_span signing = emk_span_of(P.device_signer.public_key, 65);
    emk_span issuer = emk_span_of(P.issuer_signer.public_key, P.issuer_signer.public_len);
    emk_agree_key agree = P.agree;
    uint8_t out[32];
    emk_error e = {0};

    (void)state;
    assert_status(emk_device_id(P.crypto, issuer, &P.agree, out, &e), EMK_E_USAGE, &e);
    assert_status(emk_device_id(P.crypto, signing, &P.request_key, out, &e), EMK_E_USAGE, &e);
    agree.public_key.len = 64;
    assert_status(emk_device_id(P.crypto, signing, &agree, out, &e), EMK_E_USAGE, &e);
    agree = P.agree;
    agree.kem = EMK_KEM_MLKEM768_P256;
    assert_status(emk_device_id(P.crypto, signing, &agree, out, &e), EMK_E_USAGE, &e);
}

static void agreement_keys_are_equal_in_kem_and_bytes(void **state)
{
    emk_agree_key a = P.agree;

    (void)state;
    assert_true(emk_agree_key_equal(&a, &P.agree));
    a.kem = EMK_KEM_X25519;
    assert_false(emk_agree_key_equal(&a, &P.agree));
    a = P.agree;
    a.public_key = emk_span_of(P.device_signer.public_key, 65);
    assert_false(emk_agree_key_equal(&a, &P.agree));
}

int main(void)
{
    int failed;

    people_init();
    failed = EMK_RUN(emk_rule(device_id_is_the_hash_of_label_and_both_keys),
                     emk_rule(device_id_refuses_keys_a_device_cannot_have),
                     emk_rule(agreement_keys_are_equal_in_kem_and_bytes));
    people_done();
    return failed;
}
