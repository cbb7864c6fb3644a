#include "server/attest/app_attest.h"

#include "core/base/fault.h"
#include "server/attest/sim/evidence.h"
#include "tests/unit/core/crypto/context.h"

static forge f;
static emk_buf root_der;
static emk_x509 root;

typedef struct attempt {
    emk_app_attest_policy policy;
    emk_buf object;
    uint8_t key_id[32];
    emk_claims claims;
    emk_app_attest_key key;
} attempt;

static void begin(attempt *a, const fake_app_attest *x)
{
    *a = (attempt){
        .policy = {.app_id = FAKE_APP, .roots = &root, .n_roots = 1, .time_s = FORGE_NOW}};
    emk_buf_init(&a->object, (size_t)1 << 16);
    fake_make_attestation(&f, x, &a->object, a->key_id);
}

static emk_status verify(attempt *a, emk_error *e)
{
    emk_app_attest_evidence in = {emk_buf_span(&a->object), SPAN(a->key_id),
                                  emk_span_str(FAKE_HASH)};

    return emk_app_attest_verify(test_crypto(), &a->policy, &in, &a->claims, &a->key, e);
}

static void accepts_a_key_of_the_app(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_app_attest){0});
    assert_ok(verify(&a, &e), &e);
    assert_int_equal(a.claims.kind, EMK_ATTEST_APP_ATTEST);
    assert_int_equal(a.claims.level, 3);
    assert_string_equal(a.claims.app, FAKE_APP);
    assert_int_equal(a.claims.n_warnings, 0);
    assert_int_equal(a.claims.valid_until_s, 1830297600);
    assert_bytes(SPAN(a.key.public_key), forge_public(&f, 2));
    assert_bytes(SPAN(a.key.id), SPAN(a.key_id));
    assert_bytes(a.key.receipt, emk_span_str("receipt"));
    emk_buf_done(&a.object);
}

static void accepts_a_map_behind_the_key_and_no_receipt(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_app_attest){.tail = "a2 6161 44 03000000 6162 a10102", .no_receipt = true});
    assert_ok(verify(&a, &e), &e);
    assert_int_equal(a.key.receipt.len, 0);
    emk_buf_done(&a.object);
}

static void development_is_level_0_and_only_where_asked_for(void **state)
{
    static const fake_app_attest X = {.aaguid = "appattestdevelop"};
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &X);
    assert_status(verify(&a, &e), EMK_E_POLICY, &e);
    a.policy.development = true;
    assert_ok(verify(&a, &e), &e);
    assert_int_equal(a.claims.level, 0);
    assert_true(emk_claims_has_warning(&a.claims, EMK_WARN_DEVELOPMENT));
    emk_buf_done(&a.object);
    begin(&a, &(fake_app_attest){0});
    a.policy.development = true;
    assert_status(verify(&a, &e), EMK_E_POLICY, &e);
    emk_buf_done(&a.object);
}

static void rejects_each_single_defect(void **state)
{
    static const struct {
        fake_app_attest x;
        emk_status want;
        const char *what;
    } ROWS[] = {
        {{.fmt = "packed"}, EMK_E_FORMAT, "app_attest: another fmt"},
        {{.app_id = "OTHER12345.com.example.cam"}, EMK_E_POLICY, "app_attest: rpIdHash mismatch"},
        {{.aaguid = "appattest0000000"},
         EMK_E_POLICY,
         "app_attest: aaguid of the other environment"},
        {{.counter = 1}, EMK_E_FORMAT, "app_attest: counter is not 0"},
        {{.hash = "another hash"}, EMK_E_SIGNATURE, "app_attest: nonce mismatch"},
        {{.no_nonce = true}, EMK_E_FORMAT, "app_attest: no nonce in the certificate"},
        {{.nonce_front = "0420"}, EMK_E_FORMAT, "der: another tag than expected"},
        {{.nonce_front = "3024a2220420"}, EMK_E_FORMAT, "der: another tag than expected"},
        {{.nonce_front = "3025a123042100"}, EMK_E_SIGNATURE, "app_attest: nonce mismatch"},
        {{.nonce_back = "0500"}, EMK_E_FORMAT, "der: bytes behind the value"},
        {{.nonce_front = "3026a1220420", .nonce_back = "0500"},
         EMK_E_FORMAT,
         "der: more in a value than expected"},
        {{.other_credential = true}, EMK_E_SIGNATURE, "app_attest: credential is not keyId"},
        {{.cose_key = 3}, EMK_E_SIGNATURE, "app_attest: COSE key is not the leaf's"},
        {{.middle_signer = 3}, EMK_E_SIGNATURE, "x509: signature"},
        {{.leaf_to = "270101000000Z"}, EMK_E_STALE, "x509: certificate has expired"},
        {{.n_certs = 1}, EMK_E_FORMAT, "app_attest: x5c is not two certificates"},
        {{.n_certs = 3}, EMK_E_FORMAT, "app_attest: x5c is not two certificates"},
        {{.double_key = true}, EMK_E_FORMAT, "cbor: key comes twice"},
        {{.object_tail = "00"}, EMK_E_FORMAT, "cbor: bytes behind the item"},
        {{.tail = "00"}, EMK_E_FORMAT, "cbor: another kind than expected"},
        {{.tail = "a000"}, EMK_E_FORMAT, "cbor: bytes behind the item"},
        {{.tail = "a2 616101 616101"}, EMK_E_FORMAT, "app_attest: key comes twice"},
        {{.tail = "a10101"}, EMK_E_FORMAT, "cbor: another kind than expected"},
        {{.tail = "bf6161 01ff"}, EMK_E_FORMAT, "cbor: kind or length of an item"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        emk_error e;
        attempt a;

        begin(&a, &ROWS[i].x);
        memset(&a.claims, 0x55, sizeof a.claims);
        assert_status(verify(&a, &e), ROWS[i].want, &e);
        assert_string_equal(e.what, ROWS[i].what);
        assert_int_equal(((uint8_t *)&a.claims)[0], 0x55);
        emk_buf_done(&a.object);
    }
    printf("forged proofs refused: app_attest %zu\n", sizeof ROWS / sizeof ROWS[0]);
}

static void rejects_what_the_caller_does_not_expect(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_app_attest){0});
    a.key_id[0] ^= 1;
    assert_status(verify(&a, &e), EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "app_attest: keyId is not the hash of the key");
    a.key_id[0] ^= 1;
    a.policy.time_s = 1767225599;
    assert_status(verify(&a, &e), EMK_E_STALE, &e);
    a.policy.time_s = FORGE_NOW;
    a.policy.app_id = "";
    assert_status(verify(&a, &e), EMK_E_USAGE, &e);
    a.policy.app_id = FAKE_APP;
    a.policy.n_roots = 0;
    assert_status(verify(&a, &e), EMK_E_USAGE, &e);
    emk_buf_done(&a.object);
}

static void rejects_every_changed_byte_and_every_prefix(void **state)
{
    emk_error e;
    attempt a;
    size_t n_accepted = 0;

    (void)state;
    begin(&a, &(fake_app_attest){.no_receipt = true});
    for (size_t i = 0; i < a.object.len; i++) {
        emk_app_attest_evidence in = {emk_span_of(a.object.p, i), SPAN(a.key_id),
                                      emk_span_str(FAKE_HASH)};

        assert_int_not_equal(
            emk_app_attest_verify(test_crypto(), &a.policy, &in, &a.claims, &a.key, &e), EMK_OK);
    }
    for (size_t i = 0; i < a.object.len; i++) {
        a.object.p[i] ^= 0x01;
        n_accepted += verify(&a, &e) == EMK_OK;
        a.object.p[i] ^= 0x01;
    }
    assert_int_equal(n_accepted, 0);
    emk_buf_done(&a.object);
}

static void rejects_object_beyond_the_limit(void **state)
{
    static const uint8_t ZEROS[EMK_APP_ATTEST_OBJECT_MAX + 1];
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_app_attest){0});
    emk_buf_done(&a.object);
    emk_buf_init(&a.object, sizeof ZEROS);
    assert_ok(emk_buf_append(&a.object, SPAN(ZEROS), &e), &e);
    assert_status(verify(&a, &e), EMK_E_LIMIT, &e);
    emk_buf_done(&a.object);
}

/* --- assertions --------------------------------------------------------------------------- */

static emk_status assert_with(const fake_assertion *x, uint32_t stored, uint32_t *counter,
                              emk_error *e)
{
    emk_app_attest_record record = {FAKE_APP, forge_public(&f, 2), stored};
    emk_buf out;
    emk_status st;

    emk_buf_init(&out, 4096);
    fake_make_assertion(&f, x, &out);
    st = emk_app_attest_assert(test_crypto(), &record, emk_buf_span(&out), emk_span_str(FAKE_HASH),
                               counter, e);
    emk_buf_done(&out);
    return st;
}

static void accepts_assertion_whose_counter_grew(void **state)
{
    uint32_t counter = 0;
    emk_error e;

    (void)state;
    assert_ok(assert_with(&(fake_assertion){.counter = 9}, 3, &counter, &e), &e);
    assert_int_equal(counter, 9);
    assert_ok(assert_with(&(fake_assertion){.counter = 1, .tail = "a1616102"}, 0, &counter, &e),
              &e);
}

static void rejects_each_single_defect_of_an_assertion(void **state)
{
    static const struct {
        fake_assertion x;
        emk_status want;
    } ROWS[] = {
        {{.counter = 4}, EMK_E_USED},
        {{.counter = 3}, EMK_E_USED},
        {{.counter = 5, .app_id = "OTHER12345.com.example.cam"}, EMK_E_POLICY},
        {{.counter = 5, .hash = "other client data"}, EMK_E_SIGNATURE},
        {{.counter = 5, .key = 3}, EMK_E_SIGNATURE},
        {{.counter = 5, .digest_signed = true}, EMK_E_SIGNATURE},
        {{.counter = 5, .double_key = true}, EMK_E_FORMAT},
        {{.counter = 5, .tail = "00"}, EMK_E_FORMAT},
        {{.counter = 5, .tail = "a0a0"}, EMK_E_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        uint32_t counter = 77;
        emk_error e;

        assert_status(assert_with(&ROWS[i].x, 4, &counter, &e), ROWS[i].want, &e);
        assert_int_equal(counter, 77);
    }
    printf("forged proofs refused: app_attest assertion %zu\n", sizeof ROWS / sizeof ROWS[0]);
}

static void every_failing_call_ends_in_an_error(void **state)
{
#ifdef EMK_FAULTS
    static const emk_fault_kind KINDS[] = {EMK_FAULT_ALLOC, EMK_FAULT_CRYPTO};
    emk_app_attest_record record = {FAKE_APP, forge_public(&f, 2), 0};
    emk_buf out;
    attempt a;

    (void)state;
    begin(&a, &(fake_app_attest){0});
    emk_buf_init(&out, 4096);
    fake_make_assertion(&f, &(fake_assertion){.counter = 1}, &out);
    for (size_t k = 0; k < 2; k++) {
        emk_status st;
        uint64_t n = 0;

        do {
            uint32_t counter;
            emk_error e;

            emk_fault_fail_at(KINDS[k], ++n);
            st = verify(&a, &e);
            if (st == EMK_OK)
                st = emk_app_attest_assert(test_crypto(), &record, emk_buf_span(&out),
                                           emk_span_str(FAKE_HASH), &counter, &e);
            assert_true(st == EMK_OK || st == EMK_E_NO_MEMORY || st == EMK_E_CRYPTO);
        } while (emk_fault_count(KINDS[k]) >= n);
        assert_int_equal(st, EMK_OK);
        emk_fault_fail_at(KINDS[k], 0);
    }
    emk_buf_done(&out);
    emk_buf_done(&a.object);
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    int rc;

    forge_init(&f, test_crypto());
    emk_buf_init(&root_der, EMK_X509_CERT_MAX);
    fake_make_root(&f, &root_der);
    if (emk_x509_parse(emk_buf_span(&root_der), &root, NULL) != EMK_OK)
        return 1;
    rc = EMK_RUN(
        emk_rule(accepts_a_key_of_the_app), emk_rule(accepts_a_map_behind_the_key_and_no_receipt),
        emk_rule(development_is_level_0_and_only_where_asked_for),
        emk_rule(rejects_each_single_defect), emk_rule(rejects_what_the_caller_does_not_expect),
        emk_rule(rejects_every_changed_byte_and_every_prefix),
        emk_rule(rejects_object_beyond_the_limit), emk_rule(accepts_assertion_whose_counter_grew),
        emk_rule(rejects_each_single_defect_of_an_assertion),
        emk_rule(every_failing_call_ends_in_an_error));
    emk_buf_done(&root_der);
    forge_done(&f);
    return rc;
}
