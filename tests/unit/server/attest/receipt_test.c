#include "core/crypto/cms.h"
#include "core/crypto/hash.h"
#include "server/attest/app_attest_receipt.h"
#include "server/attest/instant.h"
#include "server/attest/sim/forge.h"
#include "tests/unit/core/crypto/context.h"

#define APP "TEAMID.com.example"

static forge f;
static emk_buf root_der;
static emk_x509 root;

/* One receipt; zeros: a good one of Apple's form. */
typedef struct receipt_like {
    const char *app, *type, *env, *created, *expires, *risk, *not_before;
    const char *purpose;    /* OID of the signer's mark, hex; NULL: the right one */
    const char *digest;     /* AlgorithmIdentifier's OID */
    const char *attributes; /* hex between digest and signature algorithm */
    const char *attribute;  /* hex of signed attributes beside the digest's; NULL: none at all */
    const char *version, *tail, *inner_tail, *type_oid;
    size_t key;       /* of the signer; 0: 2 */
    size_t signed_by; /* 0: key */
    size_t issuer_key;
    const char *leaf_to; /* UTCTime */
    bool definite, no_certs, other_serial, twice, with_root, missing, signer_is_ca;
    bool key_is_point;
    bool no_digest, other_digest, content_signed; /* with signed attributes */
} receipt_like;

static const char *either(const char *given, const char *right)
{
    return given ? given : right;
}

static void field(emk_buf *b, unsigned type, emk_span value)
{
    emk_buf x;

    emk_buf_init(&x, 8192);
    forge_uint(&x, 0x02, type);
    forge_uint(&x, 0x02, 1);
    forge_tlv(&x, 0x04, value);
    forge_wrap(&x, 0x30);
    forge_raw(b, emk_buf_span(&x));
    emk_buf_done(&x);
}

static void text_field(emk_buf *b, unsigned type, const char *text)
{
    field(b, type, emk_span_str(text));
}

static void content(const receipt_like *x, emk_buf *b)
{
    emk_buf leaf;

    emk_buf_init(b, 16384);
    emk_buf_init(&leaf, 8192);
    forge_certificate(&f, &(forge_cert){.key = 4, .issuer_key = 5, .subject = "a", .issuer = "b"},
                      &leaf);
    text_field(b, 2, either(x->app, APP));
    field(b, 3, x->key_is_point ? forge_public(&f, 4) : emk_buf_span(&leaf));
    text_field(b, 6, either(x->type, "ATTEST"));
    if (x->twice)
        text_field(b, 6, "ATTEST");
    text_field(b, 7, either(x->env, "production"));
    text_field(b, 12, either(x->created, "2027-01-15T07:59:00.123Z"));
    if (x->risk)
        text_field(b, 17, x->risk);
    if (x->not_before)
        text_field(b, 19, x->not_before);
    if (!x->missing)
        text_field(b, 21, either(x->expires, "2027-04-15T07:59:00.123Z"));
    text_field(b, 99, "unknown fields are passed over");
    forge_wrap(b, 0x31);
    forge_hex(b, either(x->inner_tail, ""));
    emk_buf_done(&leaf);
}

static void signer_cert(const receipt_like *x, emk_buf *out)
{
    emk_buf list;

    emk_buf_init(&list, 4096);
    emk_buf_init(out, 8192);
    forge_extension(&list, either(x->purpose, "2a864886f763640c0f"), false, emk_span_of("\5", 2));
    if (x->signer_is_ca)
        forge_ca(&list);
    else
        forge_hex(&list, "300c0603551d130101ff04023000 300e0603551d0f0101ff040403020780");
    forge_certificate(&f,
                      &(forge_cert){.key = x->key ? x->key : 2,
                                    .issuer_key = x->issuer_key,
                                    .subject = "signer",
                                    .issuer = "root",
                                    .serial = "020142",
                                    .not_after = x->leaf_to,
                                    .extensions = emk_buf_span(&list)},
                      out);
    emk_buf_done(&list);
}

/* Signed attributes as they are signed: a SET.  False when there are none. */
static bool signed_attributes(const receipt_like *x, emk_span content, emk_buf *b)
{
    uint8_t hash[32];
    emk_buf digest;

    emk_buf_init(b, 4096);
    if (!x->attribute)
        return false;
    emk_buf_init(&digest, 4096);
    assert_ok(emk_sha256(test_crypto(), &content, 1, hash, NULL), NULL);
    hash[0] ^= x->other_digest;
    forge_tlv(&digest, 0x04, SPAN(hash));
    forge_wrap(&digest, 0x31);
    {
        emk_buf whole;

        emk_buf_init(&whole, 4096);
        forge_hex(&whole, "06092a864886f70d010904");
        forge_raw(&whole, emk_buf_span(&digest));
        forge_wrap(&whole, 0x30);
        emk_buf_done(&digest);
        digest = whole;
    }
    forge_hex(b, x->attribute);
    if (!x->no_digest)
        forge_raw(b, emk_buf_span(&digest));
    forge_wrap(b, 0x31);
    emk_buf_done(&digest);
    return true;
}

static void signer_info(const receipt_like *x, emk_span message, emk_buf *b)
{
    size_t key = x->key ? x->key : 2;
    emk_buf sig, attributes;
    bool has = signed_attributes(x, message, &attributes);

    emk_buf_init(b, 4096);
    emk_buf_init(&sig, 256);
    if (has && !x->content_signed)
        message = emk_buf_span(&attributes);
    forge_sign(&f, x->signed_by ? x->signed_by : key, message, &sig);
    forge_hex(b, "300f310d300b06035504030c04726f6f74"); /* CN=root */
    forge_hex(b, x->other_serial ? "020143" : "020142");
    forge_wrap(b, 0x30);
    {
        emk_buf whole;

        emk_buf_init(&whole, 4096);
        forge_hex(&whole, either(x->version, "020101"));
        forge_raw(&whole, emk_buf_span(b));
        emk_buf_done(b);
        *b = whole;
    }
    forge_hex(b, either(x->digest, "300d06096086480165030402010500"));
    forge_hex(b, either(x->attributes, ""));
    if (has) {
        attributes.p[0] = 0xa0;
        forge_raw(b, emk_buf_span(&attributes));
    }
    emk_buf_done(&attributes);
    forge_hex(b, "300a06082a8648ce3d040302");
    forge_tlv(b, 0x04, emk_buf_span(&sig));
    forge_wrap(b, 0x30);
    forge_wrap(b, 0x31);
    emk_buf_done(&sig);
}

/* As Apple writes it: every outer layer without a length, the content in two pieces. */
static void make(const receipt_like *x, emk_buf *out)
{
    emk_buf data, cert, signer;

    content(x, &data);
    signer_cert(x, &cert);
    signer_info(x, emk_buf_span(&data), &signer);
    emk_buf_init(out, 32768);
    forge_hex(out,
              "3080 06092a864886f70d010702 a080 3080 020101 310f 300d06096086480165030402010500");
    forge_hex(out, "3080");
    forge_hex(out, either(x->type_oid, "06092a864886f70d010701"));
    forge_hex(out, "a080");
    if (x->definite) {
        forge_tlv(out, 0x04, emk_buf_span(&data));
    } else {
        forge_hex(out, "2480");
        forge_tlv(out, 0x04, emk_span_of(data.p, 100));
        forge_tlv(out, 0x04, emk_span_of(data.p + 100, data.len - 100));
        forge_hex(out, "0000");
    }
    forge_hex(out, "0000 0000 a080");
    if (!x->no_certs)
        forge_raw(out, emk_buf_span(&cert));
    if (x->with_root)
        forge_raw(out, emk_buf_span(&root_der));
    forge_hex(out, "0000");
    forge_raw(out, emk_buf_span(&signer));
    forge_hex(out, "0000 0000 0000");
    forge_hex(out, either(x->tail, ""));
    emk_buf_done(&signer);
    emk_buf_done(&cert);
    emk_buf_done(&data);
}

static emk_app_attest_receipt_policy good_policy(void)
{
    return (emk_app_attest_receipt_policy){.app_id = APP,
                                           .env = "production",
                                           .public_key = forge_public(&f, 4),
                                           .roots = &root,
                                           .n_roots = 1,
                                           .time_s = FORGE_NOW,
                                           .max_age_s = 300};
}

static emk_status verify(const receipt_like *x, emk_app_attest_receipt *out, emk_error *e)
{
    emk_app_attest_receipt_policy policy = good_policy();
    emk_buf receipt;
    emk_status st;

    make(x, &receipt);
    st = emk_app_attest_receipt_verify(test_crypto(), &policy, emk_buf_span(&receipt), out, e);
    emk_buf_done(&receipt);
    return st;
}

static int set_up(void **state)
{
    emk_buf ca;

    (void)state;
    forge_init(&f, test_crypto());
    emk_buf_init(&ca, 4096);
    emk_buf_init(&root_der, 8192);
    forge_ca(&ca);
    forge_certificate(
        &f, &(forge_cert){.subject = "root", .issuer = "root", .extensions = emk_buf_span(&ca)},
        &root_der);
    emk_buf_done(&ca);
    return emk_x509_parse(emk_buf_span(&root_der), &root, NULL) != EMK_OK;
}

static int tear_down(void **state)
{
    (void)state;
    emk_buf_done(&root_der);
    forge_done(&f);
    return 0;
}

static void accepts_both_types_in_both_encodings(void **state)
{
    emk_app_attest_receipt r;
    emk_error e;

    (void)state;
    assert_ok(verify(&(receipt_like){0}, &r, &e), &e);
    assert_false(r.refreshed);
    assert_false(r.has_risk);
    assert_int_equal(r.created_s, FORGE_NOW - 60);
    assert_bytes(SPAN(r.public_key), forge_public(&f, 4));
    assert_ok(verify(&(receipt_like){.type = "RECEIPT",
                                     .risk = "17",
                                     .not_before = "2027-01-16T08:00:00Z",
                                     .definite = true,
                                     .with_root = true,
                                     .key_is_point = true},
                     &r, &e),
              &e);
    assert_true(r.refreshed);
    assert_int_equal(r.risk, 17);
    assert_int_equal(r.not_before_s, FORGE_NOW + 86400);
}

/* contentType of data */
#define DATA_TYPE "301806092a864886f70d010903310b06092a864886f70d010701"

/* signingTime */
#define TIME "301c06092a864886f70d010905310f170d3237303131353037353930305a"

static void accepts_signed_attributes(void **state)
{
    static const char *const GOOD[] = {DATA_TYPE, DATA_TYPE TIME};
    emk_app_attest_receipt r;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_ok(verify(&(receipt_like){.attribute = GOOD[i]}, &r, &e), &e);
        assert_int_equal(r.created_s, FORGE_NOW - 60);
    }
}

/* The attributes of a signed message, presented as a content that the same signature is over. */
static void refuses_attributes_that_are_passed_off_as_content(void **state)
{
    emk_app_attest_receipt_policy policy = good_policy();
    emk_buf data, attributes, cert, signer, out;
    emk_app_attest_receipt r;
    emk_error e;

    (void)state;
    content(&(receipt_like){0}, &data);
    assert_true(signed_attributes(&(receipt_like){.attribute = DATA_TYPE}, emk_buf_span(&data),
                                  &attributes));
    signer_cert(&(receipt_like){0}, &cert);
    signer_info(&(receipt_like){0}, emk_buf_span(&attributes), &signer);
    emk_buf_init(&out, 32768);
    forge_hex(&out, "3080 06092a864886f70d010702 a080 3080 020101 310f 300d0609608648016503040201"
                    "0500 3080 06092a864886f70d010701 a080");
    forge_tlv(&out, 0x04, emk_buf_span(&attributes));
    forge_hex(&out, "0000 0000 a080");
    forge_raw(&out, emk_buf_span(&cert));
    forge_hex(&out, "0000");
    forge_raw(&out, emk_buf_span(&signer));
    forge_hex(&out, "0000 0000 0000");
    assert_status(emk_app_attest_receipt_verify(test_crypto(), &policy, emk_buf_span(&out), &r, &e),
                  EMK_E_SIGNATURE, &e);
    assert_string_equal(e.what, "cms: the content is another message's attributes");
    emk_buf_done(&out);
    emk_buf_done(&signer);
    emk_buf_done(&cert);
    emk_buf_done(&attributes);
    emk_buf_done(&data);
}

static const struct defect {
    receipt_like x;
    emk_status st;
    const char *what;
} DEFECTS[] = {
    {{.app = "TEAMID.com.exampl"}, EMK_E_POLICY, "receipt: another app"},
    {{.app = "TEAMID.com.example\n"}, EMK_E_POLICY, "receipt: another app"},
    {{.env = "sandbox"}, EMK_E_POLICY, "receipt: another environment"},
    {{.env = "Production"}, EMK_E_FORMAT, "receipt: environment"},
    {{.type = "ATTESTED"}, EMK_E_FORMAT, "receipt: type"},
    {{.created = "2027-01-15T07:54:59Z"}, EMK_E_STALE, "receipt: too old"},
    {{.created = "2027-01-15T08:01:01Z"}, EMK_E_STALE, "receipt: created in the future"},
    {{.created = "2027-01-15 08:00:00Z"}, EMK_E_FORMAT, NULL},
    {{.created = "2027-02-30T08:00:00Z"}, EMK_E_FORMAT, NULL},
    {{.created = "2027-01-15T08:00:00"}, EMK_E_FORMAT, NULL},
    {{.expires = "2027-01-15T07:59:59Z"}, EMK_E_STALE, "receipt: expired"},
    {{.risk = "-1"}, EMK_E_FORMAT, "receipt: risk metric"},
    {{.risk = ""}, EMK_E_FORMAT, "receipt: risk metric"},
    {{.risk = "4294967296"}, EMK_E_FORMAT, "receipt: risk metric"},
    {{.twice = true}, EMK_E_FORMAT, "receipt: field comes twice"},
    {{.missing = true}, EMK_E_FORMAT, "receipt: a field is missing"},
    {{.inner_tail = "00"}, EMK_E_FORMAT, NULL},
    {{.purpose = "2a864886f763640c10"},
     EMK_E_SIGNATURE,
     "receipt: the signer is for another purpose"},
    {{.signer_is_ca = true}, EMK_E_SIGNATURE, "receipt: the signer may not sign messages"},
    {{.signed_by = 3}, EMK_E_SIGNATURE, "x509: signature"},
    {{.issuer_key = 3}, EMK_E_SIGNATURE, NULL},
    {{.leaf_to = "270114000000Z"}, EMK_E_STALE, "x509: certificate has expired"},
    {{.no_certs = true}, EMK_E_SIGNATURE, "cms: the signer's certificate is not here"},
    {{.other_serial = true}, EMK_E_SIGNATURE, "cms: the signer's certificate is not here"},
    {{.digest = "300906052b0e03021a0500"}, EMK_E_UNSUPPORTED, "cms: algorithm"},
    {{.attributes = "a000"}, EMK_E_FORMAT, "cms: signed attributes"},
    {{.attribute = ""}, EMK_E_FORMAT, "cms: signed attributes"},
    {{.attribute = TIME}, EMK_E_FORMAT, "cms: signed attributes"},
    {{.attribute = DATA_TYPE, .no_digest = true}, EMK_E_FORMAT, "cms: signed attributes"},
    {{.attribute = DATA_TYPE DATA_TYPE}, EMK_E_FORMAT, NULL},
    {{.attribute = "301806092a864886f70d010903310b06092a864886f70d010702"}, EMK_E_FORMAT, NULL},
    {{.attribute = DATA_TYPE, .other_digest = true},
     EMK_E_SIGNATURE,
     "cms: digest of another content"},
    {{.attribute = DATA_TYPE, .content_signed = true}, EMK_E_SIGNATURE, "x509: signature"},
    {{.attribute = DATA_TYPE, .signed_by = 3}, EMK_E_SIGNATURE, "x509: signature"},
    {{.version = "020103"}, EMK_E_UNSUPPORTED, "cms: version of the signer"},
    {{.type_oid = "06092a864886f70d010703"}, EMK_E_FORMAT, "cms: not signed data of version 1"},
    {{.tail = "00"}, EMK_E_FORMAT, "cms: bytes behind the end"},
    {{.tail = "0000"}, EMK_E_FORMAT, "cms: bytes behind the end"},
};

static void refuses_each_receipt_with_one_defect(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof DEFECTS / sizeof DEFECTS[0]; i++) {
        emk_app_attest_receipt r;
        emk_error e = {0};
        emk_status st = verify(&DEFECTS[i].x, &r, &e);

        if (st != DEFECTS[i].st)
            print_error("defect %zu: %s %s\n", i, emk_status_name(st), e.what);
        assert_status(st, DEFECTS[i].st, &e);
        if (DEFECTS[i].what)
            assert_string_equal(e.what, DEFECTS[i].what);
    }
}

static void refuses_another_key_than_the_attested(void **state)
{
    emk_app_attest_receipt_policy policy = good_policy();
    emk_app_attest_receipt r;
    emk_error e = {0};
    emk_buf receipt;

    (void)state;
    make(&(receipt_like){0}, &receipt);
    policy.public_key = forge_public(&f, 3);
    assert_status(
        emk_app_attest_receipt_verify(test_crypto(), &policy, emk_buf_span(&receipt), &r, &e),
        EMK_E_SIGNATURE, &e);
    policy = good_policy();
    policy.app_id = "";
    assert_status(
        emk_app_attest_receipt_verify(test_crypto(), &policy, emk_buf_span(&receipt), &r, &e),
        EMK_E_USAGE, &e);
    emk_buf_done(&receipt);
}

/* Cut anywhere, and every byte changed: no place is without protection, but for the lengths of
 * values that nobody looks at. */
static void refuses_every_cut_and_nothing_crashes_on_changes(void **state)
{
    emk_app_attest_receipt_policy policy = good_policy();
    emk_app_attest_receipt r;
    emk_error e = {0};
    emk_buf receipt;

    (void)state;
    make(&(receipt_like){0}, &receipt);
    for (size_t n = 0; n < receipt.len; n++)
        assert_int_not_equal(emk_app_attest_receipt_verify(test_crypto(), &policy,
                                                           emk_span_of(receipt.p, n), &r, &e),
                             EMK_OK);
    for (size_t i = 0; i < receipt.len; i += 5) {
        receipt.p[i] ^= 0x21;
        (void)!emk_app_attest_receipt_verify(test_crypto(), &policy, emk_buf_span(&receipt), &r,
                                             &e);
        receipt.p[i] ^= 0x21;
    }
    emk_buf_done(&receipt);
}

static void times_are_read_and_written_the_same(void **state)
{
    static const struct {
        const char *text;
        int64_t s;
    } ROWS[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T23:59:59Z", 951868799},
        {"2027-01-15T08:00:00Z", 1800000000},
        {"2100-03-01T00:00:00Z", 4107542400},
        {"9999-12-31T23:59:59Z", 253402300799},
    };
    char out[EMK_INSTANT_ROOM];
    int64_t s;

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        assert_ok(emk_instant_parse(emk_span_str(ROWS[i].text), &s, NULL), NULL);
        assert_int_equal(s, ROWS[i].s);
        emk_instant_write(s, out);
        assert_string_equal(out, ROWS[i].text);
    }
    assert_int_equal(emk_instant_parse(emk_span_str("2100-02-29T00:00:00Z"), &s, NULL),
                     EMK_E_FORMAT);
    assert_int_equal(emk_instant_parse(emk_span_str("2026-01-01T24:00:00Z"), &s, NULL),
                     EMK_E_FORMAT);
    assert_int_equal(emk_instant_parse(emk_span_str("2026-01-01T00:00:00.Z"), &s, NULL),
                     EMK_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest rules[] = {
        emk_rule(accepts_both_types_in_both_encodings),
        emk_rule(accepts_signed_attributes),
        emk_rule(refuses_attributes_that_are_passed_off_as_content),
        emk_rule(refuses_each_receipt_with_one_defect),
        emk_rule(refuses_another_key_than_the_attested),
        emk_rule(refuses_every_cut_and_nothing_crashes_on_changes),
        emk_rule(times_are_read_and_written_the_same),
    };

    return cmocka_run_group_tests(rules, set_up, tear_down);
}
