#include "core/proto/ticket.h"

#include "core/crypto/hash.h"
#include "tests/unit/core/proto/support.h"

#include <string.h>

static emk_ticket example(void)
{
    emk_ticket t = {.id = "ticket id of 16",
                    .device_key = P.agree,
                    .request_key = P.request_key,
                    .policy = {.expires = NOW + 86400, .max_opens = 3},
                    .identity = {.model = emk_span_str("cat-ears"), .user = emk_span_str("u-17")},
                    .issued = NOW,
                    .expires = NOW + 600};

    memset(t.device_id, 0xD1, sizeof t.device_id);
    memset(t.identity.device, 0xD1, sizeof t.identity.device);
    memset(t.request_hash, 0x9A, sizeof t.request_hash);
    return t;
}

static emk_status write_it(emk_buf *b, emk_error *e)
{
    emk_ticket in = example();

    return emk_ticket_sign(P.crypto, &P.issuer_signer, &in, b, e);
}

static emk_status read_it(emk_span m, emk_error *e)
{
    emk_ticket out;

    return emk_ticket_verify(P.crypto, m, P.issuer, NOW, &out, e);
}

static const map_rules RULES = {
    .type = EMK_COSE_TICKET, .signer = &P.issuer_signer, .read = read_it, .write = write_it};

static void what_was_signed_is_read(void **state)
{
    emk_ticket in = example(), out;
    emk_policy policy;
    uint8_t hash[32];
    emk_error e = {0};
    emk_buf b;
    emk_span m = good_message(&RULES, &b);

    (void)state;
    assert_ok(emk_ticket_verify(P.crypto, m, P.issuer, NOW, &out, &e), &e);
    assert_memory_equal(out.id, in.id, 16);
    assert_memory_equal(out.device_id, in.device_id, 32);
    assert_true(emk_agree_key_equal(&out.device_key, &in.device_key));
    assert_true(emk_agree_key_equal(&out.request_key, &in.request_key));
    assert_int_equal(out.policy.max_opens, 3);
    assert_bytes(out.identity.user, in.identity.user);
    assert_memory_equal(out.request_hash, in.request_hash, 32);
    assert_int_equal(out.issued, NOW);
    assert_int_equal(out.expires, NOW + 600);
    assert_ok(emk_policy_decode(out.policy_bytes, &policy, &e), &e);
    assert_int_equal(policy.expires, NOW + 86400);
    assert_ok(emk_sha256(P.crypto, &m, 1, hash, &e), &e);
    assert_memory_equal(out.hash, hash, 32);
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
    rejects(1, "4f 000000000000000000000000000000", EMK_E_FORMAT);
    rejects(2, "41 00", EMK_E_FORMAT);
    rejects(2, "5820 0000000000000000000000000000000000000000000000000000000000000000",
            EMK_E_FORMAT); /* the identity names another device */
    rejects(3, "8218204100", EMK_E_UNSUPPORTED);
    rejects(4, "8218504100", EMK_E_UNSUPPORTED);
    rejects(5, "41 a0", EMK_E_FORMAT); /* a policy without an end */
    rejects(5, "43 a10200", EMK_E_FORMAT);
    rejects(6, "41 a0", EMK_E_FORMAT); /* an identity of nobody */
    rejects(7, "41 00", EMK_E_FORMAT);
    rejects(9, "00", EMK_E_FORMAT);          /* expires before it is issued */
    rejects(9, "1a 6b49d200", EMK_E_FORMAT); /* at the very time it is issued */
}

static void ends_at_expires(void **state)
{
    emk_ticket out;
    emk_error e = {0};
    emk_buf b;
    emk_span m = good_message(&RULES, &b);

    (void)state;
    assert_ok(emk_ticket_verify(P.crypto, m, P.issuer, NOW + 599, &out, &e), &e);
    assert_status(emk_ticket_verify(P.crypto, m, P.issuer, NOW + 600, &out, &e), EMK_E_POLICY, &e);
    /* A slow clock is no reason: the device's floor is the time of issue. */
    assert_ok(emk_ticket_verify(P.crypto, m, P.issuer, NOW - 600, &out, &e), &e);
    emk_buf_done(&b);
}

static void refuses_to_sign_what_it_cannot_say(void **state)
{
    emk_ticket in = example();
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in.expires = in.issued;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.identity.device[0] ^= 1;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.policy.expires = 0;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.identity.model = emk_span_str("");
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.device_key = P.request_key;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.request_key.kem = EMK_KEM_MLKEM768_P256;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    assert_int_equal(b.len, 0);
    emk_buf_done(&b);
}

/* ---- under a lease ---- */

static emk_ticket with_lease(void)
{
    emk_ticket t = example();

    t.policy.lease_s = 60;
    t.lease_key = emk_span_of(P.agree_pub, 65);
    t.lease_epoch = 4;
    return t;
}

static void lease_key_and_epoch_are_read_as_signed(void **state)
{
    emk_ticket in = with_lease(), out;
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), &e);
    assert_ok(emk_ticket_verify(P.crypto, emk_buf_span(&b), P.issuer, NOW, &out, &e), &e);
    assert_bytes(out.lease_key, in.lease_key);
    assert_int_equal(out.lease_epoch, 4);
    emk_buf_done(&b);
}

/* Takes a field away, or changes it: what a reader must refuse. */
static void rejects_leased(uint64_t key, const char *hex)
{
    emk_ticket in = with_lease();
    emk_buf b, again;
    emk_error e = {0};
    fields f;

    emk_buf_init(&b, EMK_MESSAGE_MAX);
    emk_buf_init(&again, 65536);
    assert_ok(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), &e);
    f = fields_of(emk_buf_span(&b), EMK_COSE_TICKET);
    if (hex)
        field_hex(&f, key, hex);
    else
        field_drop(&f, key);
    assert_status(read_it(sign_fields(&f, EMK_COSE_TICKET, &P.issuer_signer, &again), &e),
                  EMK_E_FORMAT, &e);
    emk_buf_done(&b);
    emk_buf_done(&again);
}

static void rejects_half_a_lease(void **state)
{
    (void)state;
    rejects_leased(10, NULL);
    rejects_leased(11, NULL);
    rejects_leased(11, "00");
    rejects_leased(10, "4104");
    rejects_leased(5, "a102 1a6b4b2380"); /* a policy without lease_s */
}

static void signs_no_half_a_lease(void **state)
{
    emk_ticket in;
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in = with_lease();
    in.lease_epoch = 0;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = with_lease();
    in.lease_key.len = 64;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = with_lease();
    in.policy.lease_s = 0;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.policy.lease_s = 60;
    assert_status(emk_ticket_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    emk_buf_done(&b);
}

static void answers_a_request_with_what_it_asked(void **state)
{
    emk_request q = {.model = emk_span_str("m"),
                     .user = emk_span_str("u"),
                     .version = emk_span_str("v"),
                     .use = emk_span_str("s"),
                     .app = emk_span_str("a"),
                     .request_key = P.request_key,
                     .certificate = {.agree = P.agree}};
    emk_ticket t;

    (void)state;
    memset(q.hash, 1, sizeof q.hash);
    memset(q.certificate.device_id, 2, sizeof q.certificate.device_id);
    emk_ticket_answer(&q, &t);
    assert_memory_equal(t.request_hash, q.hash, 32);
    assert_memory_equal(t.device_id, q.certificate.device_id, 32);
    assert_memory_equal(t.identity.device, q.certificate.device_id, 32);
    assert_true(emk_agree_key_equal(&t.device_key, &P.agree));
    assert_true(emk_agree_key_equal(&t.request_key, &P.request_key));
    assert_bytes(t.identity.model, q.model);
    assert_bytes(t.identity.user, q.user);
    assert_bytes(t.identity.version, q.version);
    assert_bytes(t.identity.use, q.use);
    assert_bytes(t.identity.app, q.app);
    assert_int_equal(t.policy.expires, 0); /* the issuer has to say */
}

int main(void)
{
    int failed;

    people_init();
    failed =
        EMK_RUN(emk_rule(what_was_signed_is_read), emk_rule(rejects_whatever_no_message_may_be),
                emk_rule(rejects_bad_values), emk_rule(ends_at_expires),
                emk_rule(refuses_to_sign_what_it_cannot_say),
                emk_rule(lease_key_and_epoch_are_read_as_signed), emk_rule(rejects_half_a_lease),
                emk_rule(signs_no_half_a_lease), emk_rule(answers_a_request_with_what_it_asked));
    people_done();
    return failed;
}
