#include "core/proto/enrolment.h"

#include "tests/unit/core/proto/support.h"

#include <string.h>

static emk_enrolment example(void)
{
    return (emk_enrolment){.signing_key = {P.device_signer.public_key, 65},
                           .agree = P.agree,
                           .platform = emk_span_str("linux, software keys"),
                           .created = NOW};
}

static emk_status write_it(emk_buf *b, emk_error *e)
{
    emk_enrolment in = example();

    return emk_enrolment_sign(P.crypto, &P.device_signer, &in, b, e);
}

static emk_status read_it(emk_span m, emk_error *e)
{
    emk_enrolment out;

    return emk_enrolment_verify(P.crypto, m, &out, e);
}

static const map_rules RULES = {
    .type = EMK_COSE_ENROLMENT, .signer = &P.device_signer, .read = read_it, .write = write_it};

static void what_was_signed_is_read(void **state)
{
    emk_enrolment in = example(), out;
    uint8_t id[32];
    emk_error e = {0};
    emk_buf b;

    (void)state;
    assert_ok(emk_enrolment_verify(P.crypto, good_message(&RULES, &b), &out, &e), &e);
    assert_bytes(out.signing_key, in.signing_key);
    assert_true(emk_agree_key_equal(&out.agree, &in.agree));
    assert_bytes(out.platform, in.platform);
    assert_int_equal(out.created, NOW);
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

static void rejects_bad_keys(void **state)
{
    (void)state;
    rejects(1, "4104", EMK_E_FORMAT);            /* 1 byte */
    rejects(2, "8110", EMK_E_FORMAT);            /* no key bytes */
    rejects(2, "83104100 00", EMK_E_FORMAT);     /* three items */
    rejects(2, "82104100", EMK_E_FORMAT);        /* P-256 with 1 byte */
    rejects(2, "8218204100", EMK_E_UNSUPPORTED); /* X25519 is for requests */
    rejects(2, "821941004100", EMK_E_UNSUPPORTED);
    rejects(2, "821a000100104100", EMK_E_UNSUPPORTED); /* 0x10010: not cut to 16 bits */
}

static void rejects_agreement_key_off_the_curve(void **state)
{
    emk_enrolment in = example();
    uint8_t bad[65];
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    memcpy(bad, P.agree_pub, 65);
    bad[64] ^= 1;
    in.agree.public_key = emk_span_of(bad, 65);
    assert_ok(emk_enrolment_sign(P.crypto, &P.device_signer, &in, &b, &e), &e);
    assert_status(read_it(emk_buf_span(&b), &e), EMK_E_FORMAT, &e);
    emk_buf_done(&b);
}

static void rejects_bad_platform(void **state)
{
    (void)state;
    rejects(3, "60", EMK_E_LIMIT);       /* empty */
    rejects(3, "61 0a", EMK_E_FORMAT);   /* a control character */
    rejects(3, "62 c080", EMK_E_FORMAT); /* not UTF-8 */
    rejects(3, "41 61", EMK_E_FORMAT);   /* bytes */
}

static void refuses_to_sign_for_another_key(void **state)
{
    emk_enrolment in = example();
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_status(emk_enrolment_sign(P.crypto, &P.other_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in.platform = emk_span_str("");
    assert_status(emk_enrolment_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.agree = P.request_key;
    assert_status(emk_enrolment_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    assert_int_equal(b.len, 0);
    emk_buf_done(&b);
}

int main(void)
{
    int failed;

    people_init();
    failed =
        EMK_RUN(emk_rule(what_was_signed_is_read), emk_rule(rejects_whatever_no_message_may_be),
                emk_rule(rejects_bad_keys), emk_rule(rejects_agreement_key_off_the_curve),
                emk_rule(rejects_bad_platform), emk_rule(refuses_to_sign_for_another_key));
    people_done();
    return failed;
}
