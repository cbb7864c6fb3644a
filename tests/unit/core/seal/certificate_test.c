#include "core/seal/certificate.h"

#include "tests/unit/core/seal/pieces.h"

static world w;

static pieces certificate_map(void)
{
    pieces p = {0};

    pieces_bytes(&p, 1, emk_sign_key_public(w.sealer_key));
    pieces_int(&p, 2, 1000);
    pieces_int(&p, 3, 2000);
    return p;
}

static void sign_map(const pieces *p, const emk_signer *signer, emk_cose_type type, emk_buf *out)
{
    emk_cose_in in = {.type = type};
    emk_buf payload;
    emk_error e;

    pieces_encode(p, &payload);
    in.payload = emk_buf_span(&payload);
    emk_buf_init(out, EMK_MESSAGE_MAX);
    assert_ok(emk_cose_sign(w.crypto, signer, &in, out, NULL, &e), &e);
    emk_buf_done(&payload);
}

static void expect_map(const pieces *p, emk_status want)
{
    emk_sealing_certificate cert, before;
    emk_buf signed_bytes;
    emk_error e;

    memset(&cert, 0x5A, sizeof cert);
    before = cert;
    sign_map(p, &w.issuer, EMK_COSE_SEALING_CERTIFICATE, &signed_bytes);
    assert_status(emk_sealing_certificate_verify(w.crypto, emk_buf_span(&signed_bytes),
                                                 w.issuer_public, &cert, &e),
                  want, &e);
    if (want != EMK_OK)
        assert_memory_equal(&cert, &before, sizeof cert);
    emk_buf_done(&signed_bytes);
}

static emk_status chain(emk_span certificate, uint64_t now, uint64_t day, emk_error *e)
{
    emk_signer_chain in = {
        .issuer = w.issuer_public, .certificate = certificate, .now = now, .created_day = day};
    emk_verify_key *key = NULL;
    emk_status st = emk_signer_chain_verify(w.crypto, &in, &key, e);

    assert_true((st == EMK_OK) == (key != NULL));
    emk_verify_key_free(key);
    return st;
}

static void reads_back_what_was_certified(void **state)
{
    pieces p = certificate_map();
    emk_sealing_certificate cert;
    emk_error e;

    (void)state;
    expect_map(&p, EMK_OK);
    assert_ok(emk_sealing_certificate_verify(w.crypto, emk_buf_span(&w.certificate),
                                             w.issuer_public, &cert, &e),
              &e);
    assert_bytes(emk_span_of(cert.public_key, cert.public_len), emk_sign_key_public(w.sealer_key));
    assert_int_equal(cert.not_before, WORLD_NOW - 1000);
    assert_int_equal(cert.not_after, WORLD_NOW + 1000);
}

static void rejects_missing_keys(void **state)
{
    (void)state;
    for (int64_t key = 1; key <= 3; key++) {
        pieces p = certificate_map();

        pieces_drop(&p, key);
        expect_map(&p, EMK_E_FORMAT);
        pieces_int(&p, 4, 7); /* another in its place */
        expect_map(&p, EMK_E_FORMAT);
    }
}

static void rejects_unknown_key(void **state)
{
    pieces p = certificate_map();

    (void)state;
    pieces_int(&p, 4, 7);
    expect_map(&p, EMK_E_FORMAT);
}

static void rejects_keys_of_other_lengths(void **state)
{
    static const size_t lens[] = {0, 31, 33, 64, 66};
    uint8_t bytes[66] = {4};

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        pieces p = certificate_map();

        pieces_bytes(&p, 1, emk_span_of(bytes, lens[i]));
        expect_map(&p, EMK_E_FORMAT);
    }
}

static void rejects_values_of_other_kinds(void **state)
{
    pieces p = certificate_map();

    (void)state;
    pieces_text(&p, 1, "a key");
    expect_map(&p, EMK_E_FORMAT);
    for (int64_t key = 2; key <= 3; key++) {
        p = certificate_map();
        pieces_int(&p, key, -1);
        expect_map(&p, EMK_E_FORMAT);
        pieces_bytes(&p, key, emk_span_of("", 0));
        expect_map(&p, EMK_E_FORMAT);
    }
}

static void rejects_certificate_by_the_sealer_itself(void **state)
{
    pieces p = certificate_map();
    emk_sealing_certificate cert;
    emk_buf signed_bytes;
    emk_error e;

    (void)state;
    sign_map(&p, &w.sealer, EMK_COSE_SEALING_CERTIFICATE, &signed_bytes);
    assert_status(emk_sealing_certificate_verify(w.crypto, emk_buf_span(&signed_bytes),
                                                 w.issuer_public, &cert, &e),
                  EMK_E_SIGNATURE, &e);
    assert_status(chain(emk_buf_span(&signed_bytes), 1500, 0, &e), EMK_E_SIGNATURE, &e);
    emk_buf_done(&signed_bytes);
}

static void rejects_another_object_by_the_issuer(void **state)
{
    pieces p = certificate_map();

    (void)state;
    for (int type = EMK_COSE_FILE_HEADER; type <= EMK_COSE_RECEIPT; type++) {
        emk_buf signed_bytes;
        emk_error e;

        sign_map(&p, &w.issuer, (emk_cose_type)type, &signed_bytes);
        assert_status(chain(emk_buf_span(&signed_bytes), 1500, 0, &e),
                      type == EMK_COSE_SEALING_CERTIFICATE ? EMK_OK : EMK_E_SIGNATURE, &e);
        emk_buf_done(&signed_bytes);
    }
}

static void chain_without_certificate_is_the_issuer(void **state)
{
    emk_signer_chain in = {.issuer = w.issuer_public, .now = 5, .created_day = 9999999};
    emk_verify_key *key;
    emk_error e;

    (void)state;
    assert_ok(emk_signer_chain_verify(w.crypto, &in, &key, &e), &e);
    assert_bytes(emk_verify_key_public(key), emk_sign_key_public(w.issuer_key));
    emk_verify_key_free(key);
}

/* Whole period: both ends belong to it. */
static void rejects_times_outside_the_period(void **state)
{
    static const struct {
        uint64_t now;
        emk_status want;
    } rows[] = {{999, EMK_E_SIGNATURE}, {1000, EMK_OK},          {1500, EMK_OK},
                {2000, EMK_OK},         {2001, EMK_E_SIGNATURE}, {UINT64_MAX, EMK_E_SIGNATURE},
                {0, EMK_E_SIGNATURE}};
    pieces p = certificate_map();
    emk_buf signed_bytes;
    emk_error e;

    (void)state;
    sign_map(&p, &w.issuer, EMK_COSE_SEALING_CERTIFICATE, &signed_bytes);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_status(chain(emk_buf_span(&signed_bytes), rows[i].now, 0, &e), rows[i].want, &e);
    emk_buf_done(&signed_bytes);
}

/* First and last day count whole. */
static void rejects_days_outside_the_period(void **state)
{
    pieces p = certificate_map();
    emk_buf signed_bytes;
    emk_error e;

    (void)state;
    pieces_int(&p, 2, 10 * 86400 + 86399);
    pieces_int(&p, 3, 12 * 86400);
    sign_map(&p, &w.issuer, EMK_COSE_SEALING_CERTIFICATE, &signed_bytes);
    for (uint64_t day = 8; day < 15; day++)
        assert_status(chain(emk_buf_span(&signed_bytes), 11 * 86400, day, &e),
                      day >= 10 && day <= 12 ? EMK_OK : EMK_E_SIGNATURE, &e);
    assert_status(chain(emk_buf_span(&signed_bytes), 11 * 86400, UINT64_MAX, &e), EMK_E_SIGNATURE,
                  &e);
    emk_buf_done(&signed_bytes);
}

static void rejects_certified_point_off_the_curve(void **state)
{
    pieces p = certificate_map();
    uint8_t bytes[65] = {4};
    emk_buf signed_bytes;
    emk_error e;

    (void)state;
    pieces_bytes(&p, 1, emk_span_of(bytes, 65));
    sign_map(&p, &w.issuer, EMK_COSE_SEALING_CERTIFICATE, &signed_bytes);
    assert_int_not_equal(chain(emk_buf_span(&signed_bytes), 1500, 0, &e), EMK_OK);
    emk_buf_done(&signed_bytes);
}

static void rejects_every_cut_and_a_byte_behind(void **state)
{
    emk_buf more;
    emk_error e;

    (void)state;
    emk_buf_init(&more, EMK_MESSAGE_MAX);
    assert_ok(emk_buf_append(&more, emk_buf_span(&w.certificate), &e), &e);
    assert_ok(emk_buf_append(&more, emk_span_of("", 1), &e), &e);
    assert_ok(chain(emk_span_of(more.p, more.len - 1), WORLD_NOW, WORLD_NOW / 86400, &e), &e);
    assert_status(chain(emk_buf_span(&more), WORLD_NOW, WORLD_NOW / 86400, &e), EMK_E_SIGNATURE,
                  &e);
    for (size_t len = 1; len < more.len - 1; len++)
        assert_status(chain(emk_span_of(more.p, len), WORLD_NOW, WORLD_NOW / 86400, &e),
                      EMK_E_SIGNATURE, &e);
    emk_buf_done(&more);
}

static void makes_no_certificate_with_an_empty_period(void **state)
{
    emk_sealing_certificate cert = {.public_len = 32, .not_before = 2, .not_after = 1};
    emk_buf out;
    emk_error e;

    (void)state;
    emk_buf_init(&out, EMK_MESSAGE_MAX);
    assert_status(emk_sealing_certificate_make(w.crypto, &w.issuer, &cert, &out, &e), EMK_E_USAGE,
                  &e);
    assert_int_equal(out.len, 0);
    emk_buf_done(&out);
}

int main(void)
{
    int failed;

    world_init(&w, EMK_KEM_X25519);
    failed = EMK_RUN(
        emk_rule(reads_back_what_was_certified), emk_rule(rejects_missing_keys),
        emk_rule(rejects_unknown_key), emk_rule(rejects_keys_of_other_lengths),
        emk_rule(rejects_values_of_other_kinds), emk_rule(rejects_certificate_by_the_sealer_itself),
        emk_rule(rejects_another_object_by_the_issuer),
        emk_rule(chain_without_certificate_is_the_issuer),
        emk_rule(rejects_times_outside_the_period), emk_rule(rejects_days_outside_the_period),
        emk_rule(rejects_certified_point_off_the_curve),
        emk_rule(rejects_every_cut_and_a_byte_behind),
        emk_rule(makes_no_certificate_with_an_empty_period));
    world_done(&w);
    return failed;
}
