#include "core/proto/device_certificate.h"

#include "tests/unit/core/proto/support.h"

#include <string.h>

static emk_device_certificate example(void)
{
    return (emk_device_certificate){.signing_key = {P.device_signer.public_key, 65},
                                    .agree = P.agree,
                                    .attestation_level = 2,
                                    .issued = NOW - 10,
                                    .not_after = NOW + 3600};
}

static emk_status write_it(emk_buf *b, emk_error *e)
{
    emk_device_certificate in = example();

    return emk_device_certificate_sign(P.crypto, &P.issuer_signer, &in, b, e);
}

static emk_status read_it(emk_span m, emk_error *e)
{
    emk_device_certificate out;

    return emk_device_certificate_verify(P.crypto, m, P.issuer, NOW, &out, e);
}

static const map_rules RULES = {.type = EMK_COSE_DEVICE_CERTIFICATE,
                                .signer = &P.issuer_signer,
                                .read = read_it,
                                .write = write_it};

static void what_was_signed_is_read(void **state)
{
    emk_device_certificate in = example(), out;
    uint8_t id[32];
    emk_error e = {0};
    emk_buf b;

    (void)state;
    assert_ok(
        emk_device_certificate_verify(P.crypto, good_message(&RULES, &b), P.issuer, NOW, &out, &e),
        &e);
    assert_bytes(out.signing_key, in.signing_key);
    assert_true(emk_agree_key_equal(&out.agree, &in.agree));
    assert_int_equal(out.attestation_kind, 0);
    assert_int_equal(out.attestation_level, 2);
    assert_int_equal(out.issued, NOW - 10);
    assert_int_equal(out.not_after, NOW + 3600);
    assert_ok(emk_device_id(P.crypto, in.signing_key, &in.agree, id, &e), &e);
    assert_memory_equal(out.device_id, id, 32);
    emk_buf_done(&b);
}

static void rejects_whatever_no_message_may_be(void **state)
{
    (void)state;
    check_map_rules(&RULES);
}

static void rejects(uint64_t key, const char *hex, emk_status want)
{
    check_rejects(&RULES, key, hex, want);
}

static void rejects_bad_values(void **state)
{
    (void)state;
    rejects(1, "581f 00000000000000000000000000000000000000000000000000000000000000",
            EMK_E_FORMAT); /* 31 bytes */
    rejects(1, "5820 0000000000000000000000000000000000000000000000000000000000000000",
            EMK_E_FORMAT); /* not the hash of the keys */
    rejects(2, "4104", EMK_E_FORMAT);
    rejects(3, "8218204100", EMK_E_UNSUPPORTED);
    rejects(4, "06", EMK_E_UNSUPPORTED); /* an attestation kind of later */
    rejects(5, "04", EMK_E_FORMAT);
    rejects(5, "190102", EMK_E_FORMAT); /* 258: not cut to a byte */
    rejects(5, "20", EMK_E_FORMAT);     /* negative */
}

static void ends_at_not_after(void **state)
{
    emk_device_certificate out;
    emk_error e = {0};
    emk_buf b;
    emk_span m = good_message(&RULES, &b);

    (void)state;
    assert_ok(emk_device_certificate_verify(P.crypto, m, P.issuer, NOW + 3599, &out, &e), &e);
    assert_status(emk_device_certificate_verify(P.crypto, m, P.issuer, NOW + 3600, &out, &e),
                  EMK_E_POLICY, &e);
    assert_status(emk_device_certificate_verify(P.crypto, m, P.issuer, UINT64_MAX, &out, &e),
                  EMK_E_POLICY, &e);
    emk_buf_done(&b);
}

static void refuses_to_sign_what_it_cannot_say(void **state)
{
    emk_device_certificate in = example();
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in.attestation_level = 4;
    assert_status(emk_device_certificate_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE,
                  &e);
    in = example();
    in.attestation_kind = EMK_ATTESTATION_KIND_MAX + 1;
    assert_status(emk_device_certificate_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE,
                  &e);
    in = example();
    in.agree = P.request_key;
    assert_status(emk_device_certificate_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE,
                  &e);
    emk_buf_done(&b);
}

int main(void)
{
    int failed;

    people_init();
    failed = EMK_RUN(emk_rule(what_was_signed_is_read),
                     emk_rule(rejects_whatever_no_message_may_be), emk_rule(rejects_bad_values),
                     emk_rule(ends_at_not_after), emk_rule(refuses_to_sign_what_it_cannot_say));
    people_done();
    return failed;
}
