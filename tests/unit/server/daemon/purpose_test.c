#include "server/daemon/keyholder.h"

#include "core/codec/cbor.h"
#include "tests/support/test.h"

static const uint8_t KID[EMK_COSE_KID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8};

typedef struct shape {
    const char *context;
    int64_t alg;
    uint8_t kid;
    int64_t type;
    const char *aad;
    bool payload_is_map, payload_is_array;
} shape;

static const shape GOOD = {"Signature1", -19, 1, EMK_COSE_LEASE, "", true, false};

#define NOW 1800000000u

static const emk_purpose_limits LIMITS = {0}; /* a refusal ends when it begins */

/* The payload of a refused lease. */
static void put_lease(emk_writer *p)
{
    static const uint8_t ID[32] = {1};

    emk_cbor_put_map(p, 5);
    emk_cbor_put_uint(p, 1);
    emk_cbor_put_bytes(p, emk_span_of(ID, 16));
    emk_cbor_put_uint(p, 2);
    emk_cbor_put_bytes(p, emk_span_of(ID, 32));
    emk_cbor_put_uint(p, 3);
    emk_cbor_put_uint(p, NOW);
    emk_cbor_put_uint(p, 4);
    emk_cbor_put_uint(p, NOW);
    emk_cbor_put_uint(p, 6);
    emk_cbor_put_uint(p, 1);
}

static emk_span build(const shape *s, uint8_t out[512])
{
    uint8_t head[64], payload[128];
    emk_writer w, h, p;
    uint8_t kid[EMK_COSE_KID_LEN];

    memcpy(kid, KID, sizeof kid);
    kid[0] = s->kid;
    emk_writer_init(&h, head, sizeof head);
    emk_cbor_put_map(&h, 3);
    emk_cbor_put_int(&h, 1);
    emk_cbor_put_int(&h, s->alg);
    emk_cbor_put_int(&h, 4);
    emk_cbor_put_bytes(&h, emk_span_of(kid, sizeof kid));
    emk_cbor_put_int(&h, -65537);
    emk_cbor_put_int(&h, s->type);
    emk_writer_init(&p, payload, sizeof payload);
    if (s->payload_is_map)
        put_lease(&p);
    else if (s->payload_is_array)
        emk_cbor_put_array(&p, 3);
    else
        emk_cbor_put_uint(&p, 1);
    for (int i = 0; s->payload_is_array && i < 3; i++)
        emk_cbor_put_uint(&p, 1);
    emk_writer_init(&w, out, 512);
    emk_cbor_put_array(&w, 4);
    emk_cbor_put_text(&w, emk_span_str(s->context));
    emk_cbor_put_bytes(&w, emk_writer_span(&h));
    emk_cbor_put_bytes(&w, emk_span_str(s->aad));
    emk_cbor_put_bytes(&w, emk_writer_span(&p));
    return emk_writer_span(&w);
}

static emk_status check(const shape *s, emk_keyholder_purpose purpose)
{
    uint8_t bytes[512];
    uint64_t highest = 0;
    emk_purpose_check p = {purpose, EMK_SIGN_ED25519, KID, "log", &highest, &LIMITS, NOW};
    emk_error e = {0};

    return emk_purpose_check_message(&p, build(s, bytes), &e);
}

static void signs_an_object_of_the_purpose(void **state)
{
    shape header = GOOD;

    (void)state;
    assert_int_equal(check(&GOOD, EMK_KEYHOLDER_LEASE), EMK_OK);
    header.type = EMK_COSE_FILE_HEADER;
    header.aad = "sixteen bytes ..";
    assert_int_equal(check(&header, EMK_KEYHOLDER_FILE_HEADER), EMK_E_POLICY);
    header.payload_is_map = false;
    header.payload_is_array = true;
    assert_int_equal(check(&header, EMK_KEYHOLDER_FILE_HEADER), EMK_OK);
    header.type = EMK_COSE_LEASE;
    header.aad = "";
    assert_int_equal(check(&header, EMK_KEYHOLDER_LEASE), EMK_E_POLICY);
}

static void rejects_an_object_of_another_purpose(void **state)
{
    (void)state;
    assert_int_equal(check(&GOOD, EMK_KEYHOLDER_DEVICE_CERTIFICATE), EMK_E_POLICY);
    assert_int_equal(check(&GOOD, EMK_KEYHOLDER_TICKET), EMK_E_POLICY);
    assert_int_equal(check(&GOOD, EMK_KEYHOLDER_FILE_HEADER), EMK_E_POLICY);
    assert_int_equal(check(&GOOD, EMK_KEYHOLDER_CHECKPOINT), EMK_E_POLICY);
    assert_int_equal(check(&GOOD, (emk_keyholder_purpose)99), EMK_E_POLICY);
}

static void rejects_each_part_that_is_wrong(void **state)
{
    shape s = GOOD;

    (void)state;
    s.context = "Signature";
    assert_int_equal(check(&s, EMK_KEYHOLDER_LEASE), EMK_E_POLICY);
    s = GOOD;
    s.alg = -9;
    assert_int_equal(check(&s, EMK_KEYHOLDER_LEASE), EMK_E_POLICY);
    s = GOOD;
    s.kid = 9;
    assert_int_equal(check(&s, EMK_KEYHOLDER_LEASE), EMK_E_POLICY);
    s = GOOD;
    s.aad = "x";
    assert_int_equal(check(&s, EMK_KEYHOLDER_LEASE), EMK_E_POLICY);
    s = GOOD;
    s.payload_is_map = false;
    assert_int_equal(check(&s, EMK_KEYHOLDER_LEASE), EMK_E_POLICY);
}

static void rejects_bytes_that_are_no_object(void **state)
{
    uint8_t bytes[512];
    emk_span good = build(&GOOD, bytes);
    uint64_t highest = 0;
    emk_purpose_check p = {
        EMK_KEYHOLDER_LEASE, EMK_SIGN_ED25519, KID, "log", &highest, &LIMITS, NOW};
    emk_error e = {0};

    (void)state;
    for (size_t len = 0; len < good.len; len++)
        assert_status(emk_purpose_check_message(&p, emk_span_of(good.p, len), &e), EMK_E_POLICY,
                      &e);
    bytes[good.len] = 0;
    assert_status(emk_purpose_check_message(&p, emk_span_of(good.p, good.len + 1), &e),
                  EMK_E_POLICY, &e);
}

#define ROOT "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="

static emk_status note(const char *text, uint64_t *highest)
{
    emk_purpose_check p = {
        EMK_KEYHOLDER_CHECKPOINT, EMK_SIGN_ED25519, KID, "log", highest, &LIMITS, NOW};
    emk_error e = {0};

    return emk_purpose_check_message(&p, emk_span_str(text), &e);
}

static void checkpoints_of_our_log_never_go_back(void **state)
{
    static const char *const BAD[] = {
        "",
        "log\n",
        "log\n5\n",
        "log\n5\n" ROOT,
        "other\n5\n" ROOT "\n",
        "log\n05\n" ROOT "\n",
        "log\n-5\n" ROOT "\n",
        "log\n5\nAAAA\n",
        "log\n5\n" ROOT "\nmore\n",
        "log\n99999999999999999999\n" ROOT "\n",
        "log\n\n" ROOT "\n",
    };
    uint64_t highest = 0;

    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_int_equal(note(BAD[i], &highest), EMK_E_POLICY);
    assert_int_equal(note("log\n0\n" ROOT "\n", &highest), EMK_OK);
    assert_int_equal(note("log\n7\n" ROOT "\n", &highest), EMK_OK);
    assert_int_equal(note("log\n6\n" ROOT "\n", &highest), EMK_E_POLICY);
    assert_int_equal(note("log\n7\n" ROOT "\n", &highest), EMK_OK);
    assert_int_equal(highest, 7);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(signs_an_object_of_the_purpose), emk_rule(rejects_an_object_of_another_purpose),
        emk_rule(rejects_each_part_that_is_wrong), emk_rule(rejects_bytes_that_are_no_object),
        emk_rule(checkpoints_of_our_log_never_go_back));
}
