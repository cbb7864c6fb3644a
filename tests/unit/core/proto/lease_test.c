#include "core/proto/lease.h"

#include "tests/unit/core/proto/support.h"

#include <string.h>

static const emk_lease_source FROM = {(const uint8_t *)"a master of a lease, 32 bytes...", 3};

static uint8_t device_priv[32], device_pub[65], lease_key[65];
static emk_kem_private *device_key;

static emk_ticket a_ticket(void)
{
    emk_ticket t = {.id = "ticket id of 16",
                    .device_id = "a device id has thirty-two bytes",
                    .device_key = {EMK_KEM_P256, {device_pub, 65}},
                    .policy = {.expires = NOW + 86400, .lease_s = 3600, .min_guard = 1},
                    .hash = "a hash of thirty-two bytes, too."};
    emk_error e = {0};

    assert_ok(emk_lease_prepare(P.crypto, &FROM, lease_key, &t, &e), &e);
    return t;
}

/* ---- the lease ---- */

static emk_lease example(void)
{
    static const uint8_t sealed[113] = {4};

    return (emk_lease){.ticket_id = "ticket id of 16",
                       .device_id = "a device id has thirty-two bytes",
                       .time = NOW,
                       .until = NOW + 3600,
                       .sealed = {sealed, sizeof sealed}};
}

static emk_status write_it(emk_buf *b, emk_error *e)
{
    emk_lease in = example();

    return emk_lease_sign(P.crypto, &P.issuer_signer, &in, b, e);
}

static emk_status read_it(emk_span m, emk_error *e)
{
    emk_lease out;

    return emk_lease_verify(P.crypto, m, P.issuer, &out, e);
}

static const map_rules LEASE_RULES = {
    .type = EMK_COSE_LEASE, .signer = &P.issuer_signer, .read = read_it, .write = write_it};

static void lease_follows_the_rules_of_messages(void **state)
{
    (void)state;
    check_map_rules(&LEASE_RULES);
}

static void rejects(uint64_t key, const char *hex)
{
    check_rejects(&LEASE_RULES, key, hex, EMK_E_FORMAT);
}

static void rejects_an_end_before_its_time(void **state)
{
    (void)state;
    rejects(4, "1a6b49d200"); /* NOW */
    rejects(4, "00");
}

static void rejects_an_empty_secret(void **state)
{
    (void)state;
    rejects(5, "40");
}

static void rejects_a_refusal_without_a_reason(void **state)
{
    emk_lease in = {.time = NOW, .until = NOW, .refusal = EMK_LEASE_REVOKED};
    emk_buf b, again;
    emk_error e = {0};
    fields f;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    emk_buf_init(&again, 65536);
    assert_ok(emk_lease_sign(P.crypto, &P.issuer_signer, &in, &b, &e), &e);
    f = fields_of(emk_buf_span(&b), EMK_COSE_LEASE);
    field_hex(&f, 6, "00");
    assert_status(read_it(sign_fields(&f, EMK_COSE_LEASE, &P.issuer_signer, &again), &e),
                  EMK_E_FORMAT, &e);
    field_hex(&f, 6, "04");
    assert_status(read_it(sign_fields(&f, EMK_COSE_LEASE, &P.issuer_signer, &again), &e),
                  EMK_E_FORMAT, &e);
    emk_buf_done(&b);
    emk_buf_done(&again);
}

static void refuses_to_sign_what_is_no_lease(void **state)
{
    emk_lease in;
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in = example();
    in.refusal = EMK_LEASE_REVOKED; /* and granted */
    assert_status(emk_lease_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in.sealed.len = 0; /* but with an end */
    assert_status(emk_lease_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in.until = in.time;
    assert_ok(emk_lease_sign(P.crypto, &P.issuer_signer, &in, &b, &e), &e);
    in.refusal = EMK_LEASE_REFUSAL_MAX + 1;
    assert_status(emk_lease_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = example();
    in.until = in.time;
    assert_status(emk_lease_sign(P.crypto, &P.issuer_signer, &in, &b, &e), EMK_E_USAGE, &e);
    emk_buf_done(&b);
}

/* ---- the issuer ---- */

static void device_opens_what_was_granted(void **state)
{
    emk_ticket ticket = a_ticket();
    emk_lease_grant_in in = {&P.issuer_signer, FROM, &ticket, NOW, NULL};
    uint8_t secret[32], want[32];
    emk_error e = {0};
    emk_lease out;
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_lease_grant(P.crypto, &in, &b, &e), &e);
    assert_ok(emk_lease_verify(P.crypto, emk_buf_span(&b), P.issuer, &out, &e), &e);
    assert_int_equal(out.time, NOW);
    assert_int_equal(out.until, NOW + 3600);
    assert_int_equal(out.refusal, 0);
    assert_memory_equal(out.ticket_id, ticket.id, 16);
    assert_ok(emk_lease_derive(P.crypto, &FROM, ticket.id, want, &e), &e);
    assert_ok(emk_lease_open(&out, device_key, secret, &e), &e);
    assert_memory_equal(secret, want, 32);
    out.device_id[0] ^= 1; /* bound to the device ... */
    assert_status(emk_lease_open(&out, device_key, secret, &e), EMK_E_SEALED, &e);
    out.device_id[0] ^= 1;
    out.ticket_id[0] ^= 1; /* ... and to the ticket */
    assert_status(emk_lease_open(&out, device_key, secret, &e), EMK_E_SEALED, &e);
    out.ticket_id[0] ^= 1;
    out.sealed.len--;
    assert_status(emk_lease_open(&out, device_key, secret, &e), EMK_E_SEALED, &e);
    emk_buf_done(&b);
}

static void lease_is_no_longer_than_the_policy(void **state)
{
    emk_ticket ticket = a_ticket();
    emk_lease_grant_in in = {&P.issuer_signer, FROM, &ticket, NOW + 86399, NULL};
    emk_error e = {0};
    emk_lease out;
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_lease_grant(P.crypto, &in, &b, &e), &e);
    assert_ok(emk_lease_verify(P.crypto, emk_buf_span(&b), P.issuer, &out, &e), &e);
    assert_int_equal(out.until, NOW + 86400);
    in.now++;
    assert_status(emk_lease_grant(P.crypto, &in, &b, &e), EMK_E_POLICY, &e);
    emk_buf_done(&b);
}

static void grants_nothing_for_tickets_of_another_master(void **state)
{
    emk_ticket ticket = a_ticket();
    emk_lease_grant_in in = {&P.issuer_signer, FROM, &ticket, NOW, NULL};
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in.from.master = (const uint8_t *)"another master, also of 32 bytes";
    assert_status(emk_lease_grant(P.crypto, &in, &b, &e), EMK_E_USAGE, &e);
    in.from = FROM;
    in.from.epoch++;
    assert_status(emk_lease_grant(P.crypto, &in, &b, &e), EMK_E_USAGE, &e);
    in.from = FROM;
    ticket.policy.lease_s = 0;
    assert_status(emk_lease_grant(P.crypto, &in, &b, &e), EMK_E_USAGE, &e);
    assert_int_equal(b.len, 0);
    emk_buf_done(&b);
}

static void refusal_says_why_and_ends_now(void **state)
{
    emk_ticket ticket = a_ticket();
    emk_lease_refuse_in in = {&P.issuer_signer, &ticket, EMK_LEASE_ATTEST, NOW};
    emk_error e = {0};
    emk_lease out;
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_lease_refuse(P.crypto, &in, &b, &e), &e);
    assert_ok(emk_lease_verify(P.crypto, emk_buf_span(&b), P.issuer, &out, &e), &e);
    assert_int_equal(out.refusal, EMK_LEASE_ATTEST);
    assert_int_equal(out.until, NOW);
    assert_int_equal(out.sealed.len, 0);
    in.why = EMK_LEASE_GRANTED;
    assert_status(emk_lease_refuse(P.crypto, &in, &b, &e), EMK_E_USAGE, &e);
    emk_buf_done(&b);
}

/* ---- the request ---- */

static emk_lease_request a_request(void)
{
    return (emk_lease_request){.nonce = "sixteen bytes...",
                               .ticket_id = "ticket id of 16",
                               .ticket_hash = "a hash of thirty-two bytes, too.",
                               .device_id = "a device id has thirty-two bytes",
                               .created = NOW + 5,
                               .floor = NOW,
                               .guard = 2,
                               .summary = emk_span_str("all is well")};
}

static emk_status write_request(emk_buf *b, emk_error *e)
{
    emk_lease_request in = a_request();

    return emk_lease_request_sign(P.crypto, &P.device_signer, &in, b, e);
}

static emk_status read_request(emk_span m, emk_error *e)
{
    emk_lease_request out;

    return emk_lease_request_verify(P.crypto, m, P.device, &out, e);
}

static const map_rules REQUEST_RULES = {.type = EMK_COSE_LEASE_REQUEST,
                                        .signer = &P.device_signer,
                                        .may = 1u << 8,
                                        .read = read_request,
                                        .write = write_request};

static void request_follows_the_rules_of_messages(void **state)
{
    (void)state;
    check_map_rules(&REQUEST_RULES);
}

static void request_is_read_as_it_was_signed(void **state)
{
    emk_lease_request in = a_request(), out;
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(write_request(&b, &e), &e);
    assert_ok(emk_lease_request_verify(P.crypto, emk_buf_span(&b), P.device, &out, &e), &e);
    assert_memory_equal(out.nonce, in.nonce, 16);
    assert_memory_equal(out.ticket_id, in.ticket_id, 16);
    assert_memory_equal(out.ticket_hash, in.ticket_hash, 32);
    assert_memory_equal(out.device_id, in.device_id, 32);
    assert_int_equal(out.created, NOW + 5);
    assert_int_equal(out.floor, NOW);
    assert_int_equal(out.guard, 2);
    assert_bytes(out.summary, in.summary);
    emk_buf_done(&b);
}

static void request_has_limits(void **state)
{
    static const uint8_t many[EMK_LEASE_SUMMARY_MAX + 1];
    emk_lease_request in = a_request();
    emk_error e = {0};
    emk_buf b;

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in.guard = 4;
    assert_status(emk_lease_request_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = a_request();
    in.summary = emk_span_of(many, sizeof many);
    assert_status(emk_lease_request_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in.summary.len--;
    assert_ok(emk_lease_request_sign(P.crypto, &P.device_signer, &in, &b, &e), &e);
    assert_ok(read_request(emk_buf_span(&b), &e), &e);
    emk_buf_done(&b);
}

static void request_must_fit_ticket_device_and_policy(void **state)
{
    emk_ticket ticket = a_ticket();
    emk_lease_request q = a_request();
    emk_error e = {0};

    (void)state;
    assert_ok(emk_lease_request_check(&q, &ticket, NOW, &e), &e);
    q.ticket_id[3] ^= 1;
    assert_status(emk_lease_request_check(&q, &ticket, NOW, &e), EMK_E_POLICY, &e);
    q = a_request();
    q.ticket_hash[3] ^= 1;
    assert_status(emk_lease_request_check(&q, &ticket, NOW, &e), EMK_E_POLICY, &e);
    q = a_request();
    q.device_id[3] ^= 1;
    assert_status(emk_lease_request_check(&q, &ticket, NOW, &e), EMK_E_POLICY, &e);
    q = a_request();
    q.guard = 0;
    assert_status(emk_lease_request_check(&q, &ticket, NOW, &e), EMK_E_POLICY, &e);
    q = a_request();
    assert_status(emk_lease_request_check(&q, &ticket, NOW + 86400, &e), EMK_E_POLICY, &e);
    ticket.policy.lease_s = 0;
    assert_status(emk_lease_request_check(&q, &ticket, NOW, &e), EMK_E_POLICY, &e);
}

int main(void)
{
    emk_error e = {0};
    int failed;

    people_init();
    if (emk_kem_generate(P.crypto, EMK_KEM_P256, device_priv, device_pub, &e) != EMK_OK ||
        emk_kem_private_new(P.crypto, EMK_KEM_P256, emk_span_of(device_priv, 32), &device_key,
                            &e) != EMK_OK)
        return 1;
    failed = EMK_RUN(
        emk_rule(lease_follows_the_rules_of_messages), emk_rule(rejects_an_end_before_its_time),
        emk_rule(rejects_an_empty_secret), emk_rule(rejects_a_refusal_without_a_reason),
        emk_rule(refuses_to_sign_what_is_no_lease), emk_rule(device_opens_what_was_granted),
        emk_rule(lease_is_no_longer_than_the_policy),
        emk_rule(grants_nothing_for_tickets_of_another_master),
        emk_rule(refusal_says_why_and_ends_now), emk_rule(request_follows_the_rules_of_messages),
        emk_rule(request_is_read_as_it_was_signed), emk_rule(request_has_limits),
        emk_rule(request_must_fit_ticket_device_and_policy));
    emk_kem_private_free(device_key);
    people_done();
    return failed;
}
