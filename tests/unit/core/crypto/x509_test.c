#include "core/crypto/x509.h"

#include "core/base/fault.h"
#include "core/crypto/rsa.h"
#include "server/attest/sim/forge.h"
#include "tests/unit/core/crypto/context.h"

static forge f;

/* Root 0 signs authority 1 signs leaf 2. */
typedef struct path {
    forge_cert spec[2]; /* the leaf, its issuer */
    emk_buf der[3], ca;
    emk_x509 cert[3]; /* the root is the last */
    emk_x509_rules rules;
} path;

static void begin(path *p)
{
    *p = (path){0};
    emk_buf_init(&p->ca, 4096);
    forge_ca(&p->ca);
    p->spec[0] = (forge_cert){.key = 2, .issuer_key = 1, .subject = "leaf", .issuer = "middle"};
    p->spec[1] = (forge_cert){.key = 1,
                              .issuer_key = 0,
                              .subject = "middle",
                              .issuer = "root",
                              .extensions = emk_buf_span(&p->ca)};
    p->rules = (emk_x509_rules){.roots = &p->cert[2], .n_roots = 1, .time_s = FORGE_NOW};
}

static void make(path *p)
{
    forge_cert root = {.subject = "root", .issuer = "root", .extensions = emk_buf_span(&p->ca)};

    for (size_t i = 0; i < 3; i++) {
        emk_error e;

        emk_buf_init(&p->der[i], EMK_X509_CERT_MAX);
        forge_certificate(&f, i < 2 ? &p->spec[i] : &root, &p->der[i]);
        assert_ok(emk_x509_parse(emk_buf_span(&p->der[i]), &p->cert[i], &e), &e);
    }
}

static void end(path *p)
{
    for (size_t i = 0; i < 3; i++)
        emk_buf_done(&p->der[i]);
    emk_buf_done(&p->ca);
}

/* Verifies n certificates and frees the path. */
static void expect(path *p, size_t n, emk_status want, const char *what)
{
    size_t root = 99;
    emk_error e;
    emk_status st;

    if (!p->der[0].p)
        make(p);
    st = emk_x509_verify_chain(test_crypto(), p->cert, n, &p->rules, &root, &e);
    assert_status(st, want, &e);
    if (st != EMK_OK)
        assert_string_equal(e.what, what);
    assert_int_equal(root, st == EMK_OK ? 0 : 99);
    end(p);
}

static void accepts_chain_to_a_root(void **state)
{
    path p;

    (void)state;
    begin(&p);
    expect(&p, 2, EMK_OK, "");
    begin(&p);
    p.rules.root_in_chain = true;
    expect(&p, 3, EMK_OK, "");
}

static void reads_the_fields_of_a_certificate(void **state)
{
    static const uint8_t OID_CA[] = {0x55, 0x1d, 0x13}, OID_CN[] = {0x55, 0x04, 0x03};
    emk_span value;
    bool critical = false;
    path p;

    (void)state;
    begin(&p);
    make(&p);
    assert_int_equal(p.cert[1].key_kind, EMK_X509_KEY_P256);
    assert_bytes(p.cert[1].key, forge_public(&f, 1));
    assert_int_equal(p.cert[1].not_before, 1767225600);
    assert_int_equal(p.cert[1].not_after, 1830297600);
    assert_true(p.cert[1].ca && p.cert[1].has_constraints && !p.cert[1].has_path_len);
    assert_int_equal(p.cert[1].key_usage, EMK_X509_USE_CERT_SIGN);
    assert_true(emk_x509_extension(&p.cert[1], SPAN(OID_CA), &value, &critical));
    assert_true(critical);
    assert_int_equal(value.len, 5);
    assert_false(emk_x509_extension(&p.cert[0], SPAN(OID_CA), &value, &critical));
    assert_true(emk_x509_name_find(p.cert[1].subject, SPAN(OID_CN), &value));
    assert_bytes(value, emk_span_str("middle"));
    assert_false(emk_x509_name_find(p.cert[1].subject, SPAN(OID_CA), &value));
    end(&p);
}

static void rejects_chain_without_certificates_or_roots(void **state)
{
    path p;

    (void)state;
    begin(&p);
    expect(&p, 0, EMK_E_LIMIT, "x509: certificates in a chain");
    begin(&p);
    p.rules.n_roots = 0;
    expect(&p, 2, EMK_E_USAGE, "x509: no roots");
}

static void rejects_chain_to_a_root_with_the_name_and_another_key(void **state)
{
    path p;

    (void)state;
    begin(&p);
    p.spec[1].issuer_key = 3;
    expect(&p, 2, EMK_E_SIGNATURE, "x509: signature");
}

static void rejects_chain_to_no_root(void **state)
{
    path p;

    (void)state;
    begin(&p);
    p.spec[1].issuer = "other";
    expect(&p, 2, EMK_E_SIGNATURE, "x509: chain does not end at a trusted root");
    begin(&p);
    p.rules.root_in_chain = true;
    expect(&p, 2, EMK_E_SIGNATURE, "x509: chain does not end at a trusted root");
}

static void rejects_root_inside_the_chain_and_alone(void **state)
{
    path p;

    (void)state;
    begin(&p);
    expect(&p, 3, EMK_E_SIGNATURE, "x509: root inside the chain");
    begin(&p);
    make(&p);
    p.cert[0] = p.cert[1];
    p.cert[1] = p.cert[2]; /* twice: it is signed by itself */
    p.rules.root_in_chain = true;
    expect(&p, 3, EMK_E_SIGNATURE, "x509: root inside the chain");
    begin(&p);
    make(&p);
    p.cert[0] = p.cert[2];
    p.rules.root_in_chain = true;
    expect(&p, 1, EMK_E_SIGNATURE, "x509: nothing below the root");
}

static void rejects_certificate_under_another_name(void **state)
{
    path p;

    (void)state;
    begin(&p);
    p.spec[0].issuer = "other";
    expect(&p, 2, EMK_E_SIGNATURE, "x509: issued under another name");
}

static void rejects_leaf_signed_by_another_key_or_changed(void **state)
{
    path p;

    (void)state;
    begin(&p);
    p.spec[0].issuer_key = 3;
    expect(&p, 2, EMK_E_SIGNATURE, "x509: signature");
    begin(&p);
    p.spec[0].bad_signature = true;
    expect(&p, 2, EMK_E_SIGNATURE, "x509: signature");
}

static void rejects_dates_outside_unless_forgiven(void **state)
{
    for (size_t i = 0; i < 2; i++) {
        path p;

        begin(&p);
        p.spec[i].not_after = "260601000000Z";
        expect(&p, 2, EMK_E_STALE, "x509: certificate has expired");
        begin(&p);
        p.spec[i].not_before = "270601000000Z";
        expect(&p, 2, EMK_E_STALE, "x509: certificate is not yet valid");
        begin(&p);
        p.spec[i].not_after = "260601000000Z";
        p.rules.leaf_dates = p.rules.issuer_dates = EMK_X509_DATES_NOT_BEFORE;
        expect(&p, 2, EMK_OK, "");
        begin(&p);
        p.spec[i].not_before = "270601000000Z";
        p.rules.leaf_dates = p.rules.issuer_dates = EMK_X509_DATES_NOT_BEFORE;
        expect(&p, 2, EMK_E_STALE, "x509: certificate is not yet valid");
        begin(&p);
        p.spec[i].not_before = "270601000000Z";
        p.rules.leaf_dates = p.rules.issuer_dates = EMK_X509_DATES_NONE;
        expect(&p, 2, EMK_OK, "");
    }
    (void)state;
}

/* Gives the issuer these extensions instead. */
static void with_extensions(path *p, const char *hex)
{
    begin(p);
    emk_buf_done(&p->ca);
    forge_hex(&p->ca, hex);
    p->spec[1].extensions = emk_buf_span(&p->ca);
}

static void rejects_issuer_that_is_no_authority_unless_forgiven(void **state)
{
    path p;

    (void)state;
    with_extensions(&p, "300c0603551d130101ff04023000");
    expect(&p, 2, EMK_E_SIGNATURE, "x509: issuer is no certificate authority");
    with_extensions(&p, "300e0603551d0f0101ff040403020204");
    expect(&p, 2, EMK_E_SIGNATURE, "x509: issuer is no certificate authority");
    with_extensions(&p, "300c0603551d130101ff04023000");
    p.rules.any_may_issue = true;
    expect(&p, 2, EMK_OK, "");
}

static void rejects_issuer_that_may_not_sign_certificates(void **state)
{
    path p;

    (void)state;
    with_extensions(&p, "300f0603551d130101ff040530030101ff300e0603551d0f0101ff040403020780");
    expect(&p, 2, EMK_E_SIGNATURE, "x509: issuer may not sign certificates");
}

static void rejects_path_that_is_too_long(void **state)
{
    emk_x509 chain[3];
    emk_error e;
    path p;

    (void)state;
    /* pathLenConstraint 0: good for the leaf, not for one more authority */
    with_extensions(&p, "30120603551d130101ff040830060101ff020100");
    make(&p);
    chain[0] = p.cert[0];
    chain[1] = chain[2] = p.cert[1];
    assert_ok(emk_x509_verify_chain(test_crypto(), chain, 2, &p.rules, NULL, &e), &e);
    assert_status(emk_x509_verify_chain(test_crypto(), chain, 3, &p.rules, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "x509: path is too long");
    end(&p);
}

static void rejects_unknown_critical_extension(void **state)
{
    path p;

    (void)state;
    with_extensions(&p, "300f0603551d130101ff040530030101ff300c0603551d1e0101ff04023000");
    expect(&p, 2, EMK_E_UNSUPPORTED, "x509: unknown critical extension");
}

static void rejects_algorithm_of_another_key(void **state)
{
    path p;

    (void)state;
    begin(&p);
    p.spec[0].alg = "300d06092a864886f70d01010b0500";
    expect(&p, 2, EMK_E_UNSUPPORTED, "x509: this signature algorithm with this key");
    begin(&p);
    p.spec[0].alg = "300906072a8648ce3d0401"; /* ecdsa-with-SHA1 */
    expect(&p, 2, EMK_E_UNSUPPORTED, "x509: this signature algorithm with this key");
}

static void rejects_point_that_is_not_on_the_curve(void **state)
{
    uint8_t spki[91];
    emk_x509_signed s = {EMK_X509_ALG_ECDSA_SHA256, {NULL, 0}, {NULL, 0}};
    emk_error e;
    path p;

    (void)state;
    begin(&p);
    make(&p);
    memcpy(spki, p.cert[1].spki.p, sizeof spki);
    spki[90] ^= 1;
    s.msg = p.cert[0].tbs;
    s.sig = p.cert[0].sig;
    assert_status(emk_x509_check_signature(test_crypto(), SPAN(spki), &s, &e), EMK_E_FORMAT, &e);
    end(&p);
}

/* sig is good for row `right` of the algorithms, and for no other. */
static void check_algs(emk_span spki, emk_span msg, emk_span sig, emk_x509_alg right)
{
    for (int alg = EMK_X509_ALG_RSA_SHA256; alg <= EMK_X509_ALG_ECDSA_SHA512; alg++) {
        emk_x509_signed s = {(emk_x509_alg)alg, msg, sig};
        emk_error e;

        if (s.alg == right)
            assert_ok(emk_x509_check_signature(test_crypto(), spki, &s, &e), &e);
        else
            assert_int_not_equal(emk_x509_check_signature(test_crypto(), spki, &s, &e), EMK_OK);
        s.msg.len--;
        assert_int_not_equal(emk_x509_check_signature(test_crypto(), spki, &s, &e), EMK_OK);
    }
}

static void verifies_rsa_with_each_hash_and_no_other(void **state)
{
    static const struct {
        emk_rsa_scheme scheme;
        emk_x509_alg alg;
    } ROWS[] = {{EMK_RSA_PKCS1_SHA256, EMK_X509_ALG_RSA_SHA256},
                {EMK_RSA_PKCS1_SHA384, EMK_X509_ALG_RSA_SHA384},
                {EMK_RSA_PKCS1_SHA512, EMK_X509_ALG_RSA_SHA512},
                {EMK_RSA_PSS_SHA256, EMK_X509_ALG_OTHER}};
    uint8_t spki[EMK_RSA_SPKI_MAX], sig[EMK_RSA_MODULUS_MAX];
    emk_span msg = emk_span_str("what a certificate says");
    emk_rsa_private *key = NULL;
    emk_error e;
    size_t len, sig_len;

    (void)state;
    assert_ok(emk_rsa_private_generate(test_crypto(), 2048, &key, &e), &e);
    assert_ok(emk_rsa_public_to_spki(emk_rsa_private_public(key), spki, &len, &e), &e);
    sig_len = emk_rsa_public_len(emk_rsa_private_public(key));
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        assert_ok(emk_rsa_sign(key, ROWS[i].scheme, msg, sig, &e), &e);
        check_algs(emk_span_of(spki, len), msg, emk_span_of(sig, sig_len), ROWS[i].alg);
    }
    emk_rsa_private_free(key);
}

static void verifies_ed25519(void **state)
{
    static const uint8_t HEAD[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                   0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    static const uint8_t PRIVATE[32] = {7};
    uint8_t spki[sizeof HEAD + 32], sig[EMK_SIGN_LEN];
    emk_span msg = emk_span_str("what a certificate says");
    emk_sign_key *key = NULL;
    emk_error e;

    (void)state;
    assert_ok(emk_sign_key_new(test_crypto(), EMK_SIGN_ED25519, SPAN(PRIVATE), &key, &e), &e);
    memcpy(spki, HEAD, sizeof HEAD);
    memcpy(spki + sizeof HEAD, emk_sign_key_public(key).p, 32);
    assert_ok(emk_sign_make(key, msg, sig, &e), &e);
    check_algs(SPAN(spki), msg, SPAN(sig), EMK_X509_ALG_ED25519);
    emk_sign_key_free(key);
}

static void rejects_rsa_key_below_the_limit(void **state)
{
    static const char SPKI[] = "301d300d06092a864886f70d0101010500030c003009020200c90203010001";
    uint8_t spki[64];
    emk_x509_signed s = {EMK_X509_ALG_RSA_SHA256, {NULL, 0}, {NULL, 0}};
    emk_span key = emk_span_of(spki, emk_unhex(SPKI, spki, sizeof spki));
    emk_error e;

    (void)state;
    assert_status(emk_x509_check_signature(test_crypto(), key, &s, &e), EMK_E_LIMIT, &e);
}

/* --- refusals of the parser: a good leaf with one thing changed -------------------------- */

static void refuse(const forge_cert *change, emk_status want, const char *what)
{
    forge_cert cert = *change;
    emk_buf der;
    emk_x509 out;
    emk_error e;

    cert.subject = "leaf";
    cert.issuer = "root";
    emk_buf_init(&der, (size_t)64 << 10);
    forge_certificate(&f, &cert, &der);
    assert_status(emk_x509_parse(emk_buf_span(&der), &out, &e), want, &e);
    assert_string_equal(e.what, what);
    emk_buf_done(&der);
}

static void refuse_extensions(const char *hex, emk_status want, const char *what)
{
    forge_cert cert = {0};
    emk_buf x;

    emk_buf_init(&x, 4096);
    forge_hex(&x, hex);
    cert.extensions = emk_buf_span(&x);
    refuse(&cert, want, what);
    emk_buf_done(&x);
}

static void rejects_algorithms_that_differ(void **state)
{
    (void)state;
    refuse(&(forge_cert){.outer_alg = "300a06082a8648ce3d040303"}, EMK_E_FORMAT,
           "x509: signed with another algorithm than it says");
}

static void rejects_rsa_algorithm_without_null(void **state)
{
    (void)state;
    refuse(&(forge_cert){.alg = "300b06092a864886f70d01010b"}, EMK_E_FORMAT, "der: value missing");
}

static void rejects_versions_that_do_not_exist(void **state)
{
    (void)state;
    refuse(&(forge_cert){.version = "a003020103"}, EMK_E_FORMAT, "x509: version");
    refuse(&(forge_cert){.version = "a003020100"}, EMK_E_FORMAT, "x509: version");
}

static void rejects_serial_beyond_the_limit(void **state)
{
    (void)state;
    refuse(&(forge_cert){.serial = "0221010000000000000000000000000000000000"
                                   "0000000000000000000000000000000000"},
           EMK_E_LIMIT, "x509: serial number");
}

static void rejects_public_key_of_wrong_form(void **state)
{
    (void)state;
    refuse(&(forge_cert){.spki = "3019301306072a8648ce3d020106082a8648ce3d03010703020004"},
           EMK_E_FORMAT, "x509: public key");
    refuse(&(forge_cert){.spki = "300c300506032b65700303000102"}, EMK_E_FORMAT, "x509: public key");
}

static void rejects_extensions_in_version_2(void **state)
{
    uint8_t x[] = {0x30, 0x0b, 0x06, 0x03, 0x55, 0x1d, 0x25, 0x04, 0x04, 0x30, 0x02, 0x05, 0x00};

    (void)state;
    refuse(&(forge_cert){.version = "a003020101", .extensions = SPAN(x)}, EMK_E_FORMAT,
           "der: more in a value than expected");
}

static void rejects_extension_that_comes_twice(void **state)
{
    (void)state;
    refuse_extensions("30090603551d2504023000 30090603551d2504023000", EMK_E_FORMAT,
                      "x509: extension comes twice");
}

static void rejects_more_extensions_than_the_limit(void **state)
{
    char hex[33 * 16 + 1] = "";

    (void)state;
    for (int i = 0; i < 33; i++)
        (void)snprintf(hex + 16 * i, 17, "300606022a%02x0400", i);
    refuse_extensions(hex, EMK_E_LIMIT, "x509: extensions");
}

static void rejects_constraints_with_rubbish_behind(void **state)
{
    (void)state;
    refuse_extensions("300e0603551d1304073003 0101ff 0500", EMK_E_FORMAT,
                      "der: more in a value than expected");
}

static void rejects_bytes_behind_the_certificate(void **state)
{
    forge_cert cert = {.subject = "leaf", .issuer = "root"};
    emk_buf der;
    emk_x509 out;
    emk_error e;

    (void)state;
    emk_buf_init(&der, EMK_X509_CERT_MAX);
    forge_certificate(&f, &cert, &der);
    for (size_t cut = 0; cut < der.len; cut++)
        assert_status(emk_x509_parse(emk_span_of(der.p, cut), &out, &e), EMK_E_FORMAT, &e);
    forge_hex(&der, "00");
    assert_status(emk_x509_parse(emk_buf_span(&der), &out, &e), EMK_E_FORMAT, &e);
    emk_buf_done(&der);
}

static void rejects_certificate_beyond_the_limit(void **state)
{
    static const uint8_t ZEROS[EMK_X509_CERT_MAX + 1];
    emk_x509 out;
    emk_error e;

    (void)state;
    assert_status(emk_x509_parse(SPAN(ZEROS), &out, &e), EMK_E_LIMIT, &e);
}

/* --- the memo --------------------------------------------------------------------------------- */

static void memo_remembers_issuers_and_nothing_else(void **state)
{
    emk_x509_memo *memo = NULL;
    uint64_t hits = 0, misses = 0;
    emk_error e;

    (void)state;
    assert_ok(emk_x509_memo_new(2, &memo, &e), &e);
    for (unsigned i = 0; i < 3; i++) {
        path p;

        begin(&p);
        make(&p);
        p.rules.memo = memo;
        assert_ok(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e), &e);
        /* the same certificates once more: only the issuer's is known */
        assert_ok(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e), &e);
        end(&p);
    }
    emk_x509_memo_counts(memo, &hits, &misses);
    assert_int_equal(hits, 3); /* signatures differ each time a certificate is made */
    assert_int_equal(misses, 3);
    emk_x509_memo_free(memo);
}

static void memo_forgives_nothing(void **state)
{
    emk_x509_memo *memo = NULL;
    emk_error e;
    path p;

    (void)state;
    assert_ok(emk_x509_memo_new(8, &memo, &e), &e);
    begin(&p);
    make(&p);
    p.rules.memo = memo;
    assert_ok(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e), &e);
    p.rules.time_s = 1830297601; /* it is known, and it has expired */
    assert_status(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e), EMK_E_STALE,
                  &e);
    p.rules.time_s = FORGE_NOW;
    p.der[1].p[p.der[1].len - 1] ^= 1; /* another certificate, which nobody signed */
    assert_status(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    p.der[1].p[p.der[1].len - 1] ^= 1;
    p.cert[2].spki = p.cert[0].spki; /* another root's key */
    assert_status(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    end(&p);
    emk_x509_memo_free(memo);
}

static void memo_forgets_what_was_not_used_for_longest(void **state)
{
    emk_x509_memo *memo = NULL;
    uint64_t hits = 0;
    emk_error e;
    path p[3];
    const size_t order[] = {0, 1, 0, 2, 0, 1}; /* 2 pushes 1 out, 0 stays */

    (void)state;
    assert_ok(emk_x509_memo_new(2, &memo, &e), &e);
    for (size_t i = 0; i < 3; i++) {
        begin(&p[i]);
        make(&p[i]);
        p[i].rules.memo = memo;
        p[i].rules.roots = &p[i].cert[2];
    }
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        assert_ok(
            emk_x509_verify_chain(test_crypto(), p[order[i]].cert, 2, &p[order[i]].rules, NULL, &e),
            &e);
    emk_x509_memo_counts(memo, &hits, NULL);
    assert_int_equal(hits, 2);
    for (size_t i = 0; i < 3; i++)
        end(&p[i]);
    assert_status(emk_x509_memo_new(0, &memo, &e), EMK_E_USAGE, &e);
    assert_status(emk_x509_memo_new(EMK_X509_MEMO_MAX + 1, &memo, &e), EMK_E_USAGE, &e);
    emk_x509_memo_free(memo);
}

static void sha1_counts_for_a_leaf_where_the_rules_say_so(void **state)
{
    emk_error e;
    path p;

    (void)state;
    begin(&p);
    make(&p);
    p.cert[0].alg = EMK_X509_ALG_RSA_SHA1_LEGACY;
    assert_status(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e),
                  EMK_E_UNSUPPORTED, &e);
    assert_string_equal(e.what, "x509: signed with SHA-1");
    p.rules.sha1_leaf = true; /* let through, and then it is no RSA signature */
    assert_status(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e),
                  EMK_E_UNSUPPORTED, &e);
    assert_string_equal(e.what, "x509: this signature algorithm with this key");
    p.cert[1].alg = EMK_X509_ALG_RSA_SHA1_LEGACY;
    assert_status(emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e),
                  EMK_E_UNSUPPORTED, &e);
    assert_string_equal(e.what, "x509: signed with SHA-1");
    end(&p);
}

static void every_failing_library_call_ends_in_an_error(void **state)
{
#ifdef EMK_FAULTS
    path p;
    emk_error e;
    uint64_t n = 0;
    emk_status st;

    (void)state;
    begin(&p);
    make(&p);
    do {
        emk_fault_fail_at(EMK_FAULT_CRYPTO, ++n);
        st = emk_x509_verify_chain(test_crypto(), p.cert, 2, &p.rules, NULL, &e);
        if (st != EMK_OK)
            assert_status(st, EMK_E_CRYPTO, &e);
    } while (st != EMK_OK && n < 100);
    assert_true(n > 8);
    assert_ok(st, &e);
    emk_fault_fail_at(EMK_FAULT_CRYPTO, 0);
    end(&p);
#else
    (void)state;
    skip();
#endif
}

int main(void)
{
    forge_init(&f, test_crypto());
    int rc = EMK_RUN(
        emk_rule(memo_remembers_issuers_and_nothing_else), emk_rule(memo_forgives_nothing),
        emk_rule(memo_forgets_what_was_not_used_for_longest),
        emk_rule(sha1_counts_for_a_leaf_where_the_rules_say_so),
        emk_rule(every_failing_library_call_ends_in_an_error), emk_rule(accepts_chain_to_a_root),
        emk_rule(reads_the_fields_of_a_certificate),
        emk_rule(rejects_chain_without_certificates_or_roots),
        emk_rule(rejects_chain_to_a_root_with_the_name_and_another_key),
        emk_rule(rejects_chain_to_no_root), emk_rule(rejects_root_inside_the_chain_and_alone),
        emk_rule(rejects_certificate_under_another_name),
        emk_rule(rejects_leaf_signed_by_another_key_or_changed),
        emk_rule(rejects_dates_outside_unless_forgiven),
        emk_rule(rejects_issuer_that_is_no_authority_unless_forgiven),
        emk_rule(rejects_issuer_that_may_not_sign_certificates),
        emk_rule(rejects_path_that_is_too_long), emk_rule(rejects_unknown_critical_extension),
        emk_rule(rejects_algorithm_of_another_key),
        emk_rule(rejects_point_that_is_not_on_the_curve), emk_rule(rejects_rsa_key_below_the_limit),
        emk_rule(verifies_rsa_with_each_hash_and_no_other), emk_rule(verifies_ed25519),
        emk_rule(rejects_algorithms_that_differ), emk_rule(rejects_rsa_algorithm_without_null),
        emk_rule(rejects_versions_that_do_not_exist), emk_rule(rejects_serial_beyond_the_limit),
        emk_rule(rejects_public_key_of_wrong_form), emk_rule(rejects_extensions_in_version_2),
        emk_rule(rejects_extension_that_comes_twice),
        emk_rule(rejects_more_extensions_than_the_limit),
        emk_rule(rejects_constraints_with_rubbish_behind),
        emk_rule(rejects_bytes_behind_the_certificate),
        emk_rule(rejects_certificate_beyond_the_limit));
    forge_done(&f);
    return rc;
}
