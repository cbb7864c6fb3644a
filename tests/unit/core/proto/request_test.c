#include "core/proto/request.h"

#include "core/crypto/hash.h"
#include "tests/unit/core/proto/support.h"

#include <string.h>

static emk_span certificate(emk_buf *b, uint64_t not_after, const emk_signer *issuer)
{
    emk_device_certificate in = {.signing_key = {P.device_signer.public_key, 65},
                                 .agree = P.agree,
                                 .issued = NOW,
                                 .not_after = not_after};
    emk_error e = {0};

    emk_buf_init(b, EMK_MESSAGE_MAX);
    assert_ok(emk_device_certificate_sign(P.crypto, issuer, &in, b, &e), &e);
    return emk_buf_span(b);
}

static emk_request example(emk_span cert)
{
    return (emk_request){.nonce = "0123456789abcde",
                         .model = emk_span_str("cat-ears"),
                         .user = emk_span_str("u-17"),
                         .version = emk_span_str("1.2"),
                         .use = emk_span_str("video-9"),
                         .app = emk_span_str("com.example.cam"),
                         .request_key = P.request_key,
                         .certificate_message = cert,
                         .created = NOW,
                         .summary = emk_span_str("saw nothing")};
}

static emk_status write_example(emk_buf *b, emk_error *e)
{
    emk_buf cert;
    emk_request in = example(certificate(&cert, NOW + 60, &P.issuer_signer));
    emk_status st = emk_request_sign(P.crypto, &P.device_signer, &in, b, e);

    emk_buf_done(&cert);
    return st;
}

static emk_status write_it(emk_buf *b, emk_error *e)
{
    emk_request in = example(emk_span_of("a certificate", 13));

    return emk_request_sign(P.crypto, &P.device_signer, &in, b, e);
}

static emk_status read_it(emk_span m, emk_error *e)
{
    emk_request out;

    return emk_request_verify(P.crypto, m, P.issuer, NOW, &out, e);
}

static const map_rules RULES = {.type = EMK_COSE_REQUEST,
                                .signer = &P.device_signer,
                                .may = 1u << 4 | 1u << 5 | 1u << 6 | 1u << 10,
                                .read = read_it,
                                .write = write_it,
                                .example = write_example};

static void what_was_signed_is_read(void **state)
{
    emk_request out;
    uint8_t hash[32];
    emk_error e = {0};
    emk_buf b;
    emk_span m = good_message(&RULES, &b);

    (void)state;
    assert_ok(emk_request_verify(P.crypto, m, P.issuer, NOW, &out, &e), &e);
    assert_memory_equal(out.nonce, "0123456789abcde", 16);
    assert_bytes(out.model, emk_span_str("cat-ears"));
    assert_bytes(out.user, emk_span_str("u-17"));
    assert_bytes(out.version, emk_span_str("1.2"));
    assert_bytes(out.use, emk_span_str("video-9"));
    assert_bytes(out.app, emk_span_str("com.example.cam"));
    assert_true(emk_agree_key_equal(&out.request_key, &P.request_key));
    assert_true(emk_agree_key_equal(&out.certificate.agree, &P.agree));
    assert_int_equal(out.created, NOW);
    assert_ok(emk_sha256(P.crypto, &m, 1, hash, &e), &e);
    assert_memory_equal(out.hash, hash, 32);
    emk_buf_done(&b);
}

static void optional_texts_may_be_absent(void **state)
{
    emk_buf cert, b;
    emk_request in = example(certificate(&cert, NOW + 60, &P.issuer_signer)), out;
    emk_error e = {0};

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in.version = in.use = in.app = emk_span_str("");
    assert_ok(emk_request_sign(P.crypto, &P.device_signer, &in, &b, &e), &e);
    assert_ok(emk_request_verify(P.crypto, emk_buf_span(&b), P.issuer, NOW, &out, &e), &e);
    assert_int_equal(out.version.len + out.use.len + out.app.len, 0);
    emk_buf_done(&b);
    emk_buf_done(&cert);
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
    rejects(1, "4f 000000000000000000000000000000", EMK_E_FORMAT); /* 15 bytes */
    for (uint64_t key = 2; key <= 6; key++) {
        rejects(key, "60", EMK_E_LIMIT);
        rejects(key, "61 7f", EMK_E_FORMAT);
        rejects(key, "62 c328", EMK_E_FORMAT);
    }
    rejects(7, "8218204100", EMK_E_FORMAT);       /* X25519 with 1 byte */
    rejects(7, "8218504100", EMK_E_UNSUPPORTED);  /* MLKEM768-P256 is for devices */
    rejects(7, "82184141 00", EMK_E_UNSUPPORTED); /* bare ML-KEM */
    rejects(8, "40", EMK_E_FORMAT);               /* an empty certificate */
}

static void rejects_text_over_the_limit(void **state)
{
    char hex[2 * 131 + 1] = "7881";

    (void)state;
    for (size_t i = 0; i < 129; i++)
        memcpy(hex + 4 + 2 * i, "61", 3);
    for (uint64_t key = 2; key <= 6; key++)
        rejects(key, hex, EMK_E_LIMIT);
}

static void read_with_certificate(emk_span cert, const emk_signer *signer, emk_status want)
{
    emk_request in = example(cert);
    emk_error e = {0};
    emk_buf b;

    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_request_sign(P.crypto, signer, &in, &b, &e), &e);
    assert_status(read_it(emk_buf_span(&b), &e), want, &e);
    emk_buf_done(&b);
}

static void rejects_certificate_that_is_expired_or_not_the_issuers(void **state)
{
    emk_buf c;

    (void)state;
    read_with_certificate(certificate(&c, NOW, &P.issuer_signer), &P.device_signer, EMK_E_POLICY);
    emk_buf_done(&c);
    read_with_certificate(certificate(&c, NOW + 1, &P.other_signer), &P.device_signer,
                          EMK_E_SIGNATURE);
    emk_buf_done(&c);
}

/* ---- a reader with a memory ---- */

typedef struct memory {
    uint8_t name[32];
    bool any;
    unsigned asked, kept, lent;
    emk_verify_key *key;
} memory;

static bool has(void *self, const uint8_t name[EMK_HASH_LEN])
{
    memory *m = self;

    m->asked++;
    return m->any && memcmp(m->name, name, sizeof m->name) == 0;
}

static void keep(void *self, const uint8_t name[EMK_HASH_LEN])
{
    memory *m = self;

    m->kept++;
    m->any = true;
    memcpy(m->name, name, sizeof m->name);
}

static emk_status lend(void *self, emk_span signing_key, const emk_verify_key **out, void **loan,
                       emk_error *e)
{
    memory *m = self;
    emk_status st = emk_verify_key_new(P.crypto, EMK_SIGN_ES256, signing_key, &m->key, e);

    m->lent += st == EMK_OK;
    *out = m->key;
    *loan = m->key;
    return st;
}

static void give(void *self, void *loan)
{
    memory *m = self;

    m->lent--;
    emk_verify_key_free(loan);
}

static void check_with(memory *m, emk_span message, const emk_verify_key *issuer, uint64_t now,
                       emk_status want)
{
    const emk_certificate_memory table = {m, has, keep, lend, give};
    const emk_certificate_check how = {issuer, now, &table};
    emk_request out;
    emk_error e = {0};

    assert_status(emk_request_check(P.crypto, message, &how, &out, &e), want, &e);
    assert_int_equal(m->lent, 0);
}

static void a_certificate_that_is_known_is_not_verified_again_but_for_all_else(void **state)
{
    memory m = {.any = false};
    emk_buf b, changed;
    emk_span good_one = good_message(&RULES, &b);
    emk_error e = {0};

    (void)state;
    emk_buf_init(&changed, EMK_MESSAGE_MAX);
    assert_ok(emk_buf_append(&changed, good_one, &e), &e);
    changed.p[changed.len - 1] ^= 1; /* of the device's signature */
    check_with(&m, good_one, P.issuer, NOW, EMK_OK);
    check_with(&m, good_one, P.issuer, NOW, EMK_OK);
    assert_int_equal(m.asked, 2);
    assert_int_equal(m.kept, 1);
    check_with(&m, good_one, P.issuer, NOW + 60, EMK_E_POLICY);
    check_with(&m, emk_buf_span(&changed), P.issuer, NOW, EMK_E_SIGNATURE);
    check_with(&m, good_one, P.other, NOW, EMK_E_SIGNATURE); /* another issuer knows nothing */
    assert_int_equal(m.kept, 1);
    emk_buf_done(&changed);
    emk_buf_done(&b);
}

static void a_certificate_that_is_not_good_is_not_kept(void **state)
{
    emk_request in;
    emk_error e = {0};
    memory m = {.any = false};
    emk_buf cert, b;

    (void)state;
    in = example(certificate(&cert, NOW + 1, &P.other_signer));
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    assert_ok(emk_request_sign(P.crypto, &P.device_signer, &in, &b, &e), &e);
    check_with(&m, emk_buf_span(&b), P.issuer, NOW, EMK_E_SIGNATURE);
    assert_int_equal(m.kept, 0);
    emk_buf_done(&b);
    emk_buf_done(&cert);
}

static void rejects_request_by_another_device(void **state)
{
    emk_buf c;

    (void)state;
    read_with_certificate(certificate(&c, NOW + 1, &P.issuer_signer), &P.other_signer,
                          EMK_E_SIGNATURE);
    emk_buf_done(&c);
}

static void refuses_to_sign_what_it_cannot_say(void **state)
{
    emk_buf cert, b;
    emk_request in, base = example(certificate(&cert, NOW + 60, &P.issuer_signer));
    static uint8_t big[EMK_MESSAGE_MAX];
    emk_error e = {0};

    (void)state;
    emk_buf_init(&b, EMK_MESSAGE_MAX);
    in = base;
    in.model = emk_span_str("");
    assert_status(emk_request_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = base;
    in.user = emk_span_str("");
    assert_status(emk_request_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = base;
    in.app = emk_span_str("a\nb");
    assert_status(emk_request_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = base;
    in.request_key.kem = EMK_KEM_MLKEM768_P256;
    assert_status(emk_request_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_USAGE, &e);
    in = base;
    in.certificate_message = emk_span_of(big, sizeof big);
    assert_status(emk_request_sign(P.crypto, &P.device_signer, &in, &b, &e), EMK_E_LIMIT, &e);
    assert_int_equal(b.len, 0);
    emk_buf_done(&b);
    emk_buf_done(&cert);
}

static void parse_shows_without_believing(void **state)
{
    emk_request out;
    emk_error e = {0};
    emk_buf b;
    emk_span m = good_message(&RULES, &b);

    (void)state;
    b.p[b.len - 1] ^= 1; /* in the signature */
    assert_status(read_it(m, &e), EMK_E_SIGNATURE, &e);
    assert_ok(emk_request_parse(m, &out, &e), &e);
    assert_bytes(out.model, emk_span_str("cat-ears"));
    emk_buf_done(&b);
}

int main(void)
{
    int failed;

    people_init();
    failed = EMK_RUN(emk_rule(what_was_signed_is_read), emk_rule(optional_texts_may_be_absent),
                     emk_rule(rejects_whatever_no_message_may_be), emk_rule(rejects_bad_values),
                     emk_rule(rejects_text_over_the_limit),
                     emk_rule(rejects_certificate_that_is_expired_or_not_the_issuers),
                     emk_rule(rejects_request_by_another_device),
                     emk_rule(a_certificate_that_is_known_is_not_verified_again_but_for_all_else),
                     emk_rule(a_certificate_that_is_not_good_is_not_kept),
                     emk_rule(refuses_to_sign_what_it_cannot_say),
                     emk_rule(parse_shows_without_believing));
    people_done();
    return failed;
}
