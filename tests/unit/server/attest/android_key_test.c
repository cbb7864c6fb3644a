#include "server/attest/android_key.h"

#include "core/base/fault.h"
#include "server/attest/sim/evidence.h"
#include "tests/unit/core/crypto/context.h"

static forge f;
static emk_buf root_der;
static emk_x509 root;
static emk_revocation *empty;
static uint8_t digest[32];

typedef struct attempt {
    emk_android_policy policy;
    emk_buf der[FAKE_CERTS];
    emk_span certs[FAKE_CERTS];
    size_t n;
    emk_claims claims;
} attempt;

static void begin(attempt *a, const fake_android *x)
{
    *a = (attempt){.policy = {.challenge = emk_span_str(FAKE_HASH),
                              .roots = &root,
                              .n_roots = 1,
                              .time_s = FORGE_NOW,
                              .revocation = empty,
                              .verified_boot = true,
                              .package = FAKE_PACKAGE,
                              .app_digest = SPAN(digest),
                              .min_os_patch = 202401},
                   .n = FAKE_CERTS};
    for (size_t i = 0; i < FAKE_CERTS; i++)
        emk_buf_init(&a->der[i], EMK_X509_CERT_MAX);
    fake_make_android(&f, x, a->der);
    for (size_t i = 0; i < FAKE_CERTS; i++)
        a->certs[i] = emk_buf_span(&a->der[i]);
}

static emk_status verify(attempt *a, emk_error *e)
{
    return emk_android_key_verify(test_crypto(), &a->policy, a->certs, a->n, &a->claims, NULL, e);
}

static void end(attempt *a)
{
    for (size_t i = 0; i < FAKE_CERTS; i++)
        emk_buf_done(&a->der[i]);
}

static void accepts_key_in_a_tee_as_level_2(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_android){0});
    assert_ok(verify(&a, &e), &e);
    assert_int_equal(a.claims.level, 2);
    assert_string_equal(a.claims.app, FAKE_PACKAGE);
    assert_int_equal(a.claims.boot, EMK_BOOT_VERIFIED);
    assert_int_equal(a.claims.os_patch, 202412);
    assert_int_equal(a.claims.issued_s, 1800000000);
    assert_int_equal(a.claims.n_warnings, 0);
    end(&a);
}

static void accepts_key_in_a_strongbox_as_level_3(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_android){.attest_level = 2, .key_level = 2, .issuer_level = "StrongBox"});
    assert_ok(verify(&a, &e), &e);
    assert_int_equal(a.claims.level, 3);
    end(&a);
}

static void unlocked_device_is_level_0_and_refused_where_boot_counts(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_android){.unlocked = true, .boot_state = 2});
    assert_status(verify(&a, &e), EMK_E_POLICY, &e);
    a.policy.verified_boot = false;
    assert_ok(verify(&a, &e), &e);
    assert_int_equal(a.claims.level, 0);
    assert_int_equal(a.claims.boot, EMK_BOOT_UNVERIFIED);
    assert_true(emk_claims_has_warning(&a.claims, EMK_WARN_BOOT));
    end(&a);
}

static void expired_issuer_is_forgiven_only_to_factory_chains(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_android){.factory = true, .issuer_to = "270101000000Z"});
    assert_ok(verify(&a, &e), &e);
    assert_true(emk_claims_has_warning(&a.claims, EMK_WARN_FACTORY_CHAIN));
    assert_true(emk_claims_has_warning(&a.claims, EMK_WARN_EXPIRED_ISSUER));
    end(&a);
    begin(&a, &(fake_android){.issuer_to = "270101000000Z"});
    assert_status(verify(&a, &e), EMK_E_STALE, &e);
    end(&a);
}

#define ROOT_OF_TRUST "bf85400e 300c 0404deadbeef 0101ff 0a0100"
#define PATCH         "bf854205 02030316ac"

/* One defect each, the status and the text it must get. */
static const struct {
    fake_android x;
    emk_status want;
    const char *what;
} DEFECTS[] = {
    {{.challenge = "other"}, EMK_E_SIGNATURE, "android_key: challenge mismatch"},
    {{.challenge = FAKE_HASH "x"}, EMK_E_SIGNATURE, "android_key: challenge mismatch"},
    {{.challenge = "thirty-two"}, EMK_E_SIGNATURE, "android_key: challenge mismatch"},
    {{.challenge = ""}, EMK_E_SIGNATURE, "android_key: challenge mismatch"},
    {{.attest_level = -1}, EMK_E_POLICY, "android_key: security level is software"},
    {{.key_level = -1}, EMK_E_POLICY, "android_key: security level is software"},
    {{.key_level = 3}, EMK_E_UNSUPPORTED, "android_key: security level"},
    {{.attest_level = 2, .key_level = 2},
     EMK_E_SIGNATURE,
     "android_key: level is not the provisioned one"},
    {{.issuer_level = "StrongBox"},
     EMK_E_SIGNATURE,
     "android_key: level is not the provisioned one"},
    {{.version = 5}, EMK_E_UNSUPPORTED, "android_key: version of the description"},
    {{.version = 600}, EMK_E_UNSUPPORTED, "android_key: version of the description"},
    {{.unlocked = true}, EMK_E_POLICY, "android_key: bootloader is unlocked"},
    {{.boot_state = 1}, EMK_E_POLICY, "android_key: boot is not verified"},
    {{.boot_state = 2}, EMK_E_POLICY, "android_key: boot is not verified"},
    {{.boot_state = 3}, EMK_E_POLICY, "android_key: boot is not verified"},
    {{.boot_state = 4}, EMK_E_UNSUPPORTED, "android_key: verifiedBootState"},
    {{.hardware = PATCH}, EMK_E_POLICY, "android_key: no rootOfTrust in hardwareEnforced"},
    {{.hardware = PATCH, .software = "bf853e03020100" ROOT_OF_TRUST},
     EMK_E_POLICY,
     "android_key: no rootOfTrust in hardwareEnforced"},
    {{.hardware = ROOT_OF_TRUST PATCH},
     EMK_E_POLICY,
     "android_key: key was not made in the hardware"},
    {{.hardware = ROOT_OF_TRUST PATCH, .software = "bf853e03020100"},
     EMK_E_POLICY,
     "android_key: key was not made in the hardware"},
    {{.hardware = "bf853e03020102" ROOT_OF_TRUST PATCH},
     EMK_E_POLICY,
     "android_key: key was not made in the hardware"},
    {{.hardware = "bf8458020500 bf853e03020100" ROOT_OF_TRUST PATCH},
     EMK_E_POLICY,
     "android_key: key is for all applications"},
    {{.hardware = "bf853e03020100" ROOT_OF_TRUST}, EMK_E_POLICY, "android_key: patch level"},
    {{.hardware = "bf853e03020100" ROOT_OF_TRUST "bf854205 020303158b"},
     EMK_E_POLICY,
     "android_key: patch level"},
    {{.hardware = ROOT_OF_TRUST "bf853e03020100" PATCH},
     EMK_E_FORMAT,
     "android_key: tags out of order"},
    {{.hardware = "bf853e03020100 bf853e03020100" ROOT_OF_TRUST PATCH},
     EMK_E_FORMAT,
     "android_key: tag comes twice"},
    {{.hardware = "bf853e050201000500"}, EMK_E_FORMAT, "der: more in a value than expected"},
    {{.software = ""}, EMK_E_POLICY, "android_key: another package"},
    {{.package = "com.example.cam2"}, EMK_E_POLICY, "android_key: another package"},
    {{.package = "com.example\n"}, EMK_E_FORMAT, "android_key: package"},
    {{.other_digest = true}, EMK_E_POLICY, "android_key: app is signed by another"},
    {{.statement_above = true}, EMK_E_SIGNATURE, "android_key: key description above the leaf"},
    {{.statement_only_above = true}, EMK_E_FORMAT, "android_key: leaf has no key description"},
    {{.two_statements = true}, EMK_E_FORMAT, "x509: extension comes twice"},
    {{.description = "0500"}, EMK_E_FORMAT, "der: more in a value than expected"},
    {{.middle_signer = 4}, EMK_E_SIGNATURE, "x509: signature"},
    {{.middle_signer = 4, .factory = true}, EMK_E_SIGNATURE, "x509: signature"},
};

static void rejects_each_single_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof DEFECTS / sizeof DEFECTS[0]; i++) {
        emk_error e;
        attempt a;

        begin(&a, &DEFECTS[i].x);
        memset(&a.claims, 0x55, sizeof a.claims);
        assert_status(verify(&a, &e), DEFECTS[i].want, &e);
        assert_string_equal(e.what, DEFECTS[i].what);
        assert_int_equal(((uint8_t *)&a.claims)[0], 0x55);
        end(&a);
    }
    printf("forged proofs refused: android_key %zu\n", sizeof DEFECTS / sizeof DEFECTS[0]);
}

static void refuse_chain(const size_t *order, size_t n, emk_status want)
{
    emk_span certs[8];
    emk_error e;
    attempt a;

    begin(&a, &(fake_android){.factory = true});
    for (size_t i = 0; i < n; i++)
        certs[i] = a.certs[order[i]];
    assert_status(emk_android_key_verify(test_crypto(), &a.policy, certs, n, &a.claims, NULL, &e),
                  want, &e);
    end(&a);
}

static void rejects_chains_that_are_cut_or_in_another_order(void **state)
{
    (void)state;
    refuse_chain((const size_t[]){0, 1, 2}, 3, EMK_E_SIGNATURE);    /* no root */
    refuse_chain((const size_t[]){1, 0, 2, 3}, 4, EMK_E_SIGNATURE); /* reordered */
    refuse_chain((const size_t[]){0, 2, 3}, 3, EMK_E_SIGNATURE);    /* one missing */
    refuse_chain((const size_t[]){1, 2, 3}, 3, EMK_E_FORMAT);       /* leaf missing */
    refuse_chain((const size_t[]){2, 3}, 2, EMK_E_LIMIT);           /* too short */
    refuse_chain((const size_t[]){0, 1, 2, 3, 3, 3, 3}, 7, EMK_E_LIMIT);
    refuse_chain((const size_t[]){0, 1, 2, 3, 3}, 5, EMK_E_SIGNATURE); /* root twice */
}

static void rejects_revoked_certificate_and_old_list(void **state)
{
    emk_revocation *list = NULL;
    emk_error e;
    attempt a;

    (void)state;
    assert_ok(
        emk_revocation_new(emk_span_str("{\"entries\":{\"4660\":{\"status\":\"SUSPENDED\"}}}"),
                           FORGE_NOW - 1000, &list, &e),
        &e);
    begin(&a, &(fake_android){.serial = "02021234"});
    assert_ok(verify(&a, &e), &e);
    a.policy.revocation = list;
    assert_status(verify(&a, &e), EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "android_key: certificate is revoked");
    assert_int_equal(e.where, 1);
    a.policy.revocation_max_age_s = 999;
    assert_status(verify(&a, &e), EMK_E_STALE, &e);
    end(&a);
    emk_revocation_free(list);
}

static void rejects_policies_that_are_none(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_android){0});
    a.policy.challenge.len = 0;
    assert_status(verify(&a, &e), EMK_E_USAGE, &e);
    a.policy.challenge = emk_span_str(FAKE_HASH);
    a.policy.revocation = NULL;
    assert_status(verify(&a, &e), EMK_E_USAGE, &e);
    a.policy.revocation = empty;
    a.policy.app_digest.len = 31;
    assert_status(verify(&a, &e), EMK_E_USAGE, &e);
    a.policy.app_digest.len = 32;
    a.policy.n_roots = 0;
    assert_status(verify(&a, &e), EMK_E_USAGE, &e);
    end(&a);
}

static void rejects_every_changed_byte_below_the_root(void **state)
{
    emk_error e;
    attempt a;

    (void)state;
    begin(&a, &(fake_android){.factory = true});
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < a.der[i].len; j++) {
            a.der[i].p[j] ^= 0x01;
            assert_int_not_equal(verify(&a, &e), EMK_OK);
            a.der[i].p[j] ^= 0x01;
        }
    end(&a);
}

static void every_failing_library_call_ends_in_an_error(void **state)
{
#ifdef EMK_FAULTS
    emk_status st;
    uint64_t n = 0;
    attempt a;

    (void)state;
    begin(&a, &(fake_android){0});
    do {
        emk_error e;

        emk_fault_fail_at(EMK_FAULT_CRYPTO, ++n);
        st = verify(&a, &e);
        if (st != EMK_OK)
            assert_status(st, EMK_E_CRYPTO, &e);
    } while (st != EMK_OK && n < 100);
    emk_fault_fail_at(EMK_FAULT_CRYPTO, 0);
    assert_int_equal(st, EMK_OK);
    assert_true(n > 10);
    end(&a);
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    int rc;

    memset(digest, 0xaa, sizeof digest);
    forge_init(&f, test_crypto());
    emk_buf_init(&root_der, EMK_X509_CERT_MAX);
    fake_make_root(&f, &root_der);
    if (emk_x509_parse(emk_buf_span(&root_der), &root, NULL) != EMK_OK ||
        emk_revocation_new(emk_span_str("{\"entries\": {}}"), FORGE_NOW, &empty, NULL) != EMK_OK)
        return 1;
    rc = EMK_RUN(emk_rule(accepts_key_in_a_tee_as_level_2),
                 emk_rule(accepts_key_in_a_strongbox_as_level_3),
                 emk_rule(unlocked_device_is_level_0_and_refused_where_boot_counts),
                 emk_rule(expired_issuer_is_forgiven_only_to_factory_chains),
                 emk_rule(rejects_each_single_defect),
                 emk_rule(rejects_chains_that_are_cut_or_in_another_order),
                 emk_rule(rejects_revoked_certificate_and_old_list),
                 emk_rule(rejects_policies_that_are_none),
                 emk_rule(rejects_every_changed_byte_below_the_root),
                 emk_rule(every_failing_library_call_ends_in_an_error));
    emk_revocation_free(empty);
    emk_buf_done(&root_der);
    forge_done(&f);
    return rc;
}
