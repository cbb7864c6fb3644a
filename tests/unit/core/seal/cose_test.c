#include "core/seal/cose.h"

#include "core/codec/cbor.h"
#include "core/crypto/hash.h"
#include "tests/unit/core/seal/pieces.h"

static world w;
static const uint8_t PAYLOAD[] = "what is said";
#define TYPE EMK_COSE_RECEIPT

/* The parts of a signed object, to be bent. */
typedef struct object {
    pieces protected_map;
    const char *before; /* hex of tag and array head */
    const char *unprotected;
    const char *payload; /* hex of the whole item; NULL: PAYLOAD */
    size_t signature_len;
    bool signature_is_text;
    const char *after;
} object;

static object plain_object(void)
{
    object o = {.before = "D2 84", .unprotected = "A0", .signature_len = 64, .after = ""};

    pieces_int(&o.protected_map, 1, -19);
    pieces_bytes(&o.protected_map, 4, emk_span_of(w.issuer.kid, 8));
    pieces_int(&o.protected_map, -65537, TYPE);
    return o;
}

static void put_hex(emk_writer *wr, const char *hex)
{
    uint8_t raw[64];

    emk_write_bytes(wr, emk_span_of(raw, emk_unhex(hex, raw, sizeof raw)));
}

/* The signature is right when its length is. */
static void put_object(const object *o, uint8_t *space, size_t cap, emk_span *out)
{
    static uint8_t to_sign[512];
    uint8_t sig[64];
    emk_buf protected_bytes;
    emk_writer wr;
    emk_error e;

    pieces_encode(&o->protected_map, &protected_bytes);
    emk_writer_init(&wr, to_sign, sizeof to_sign);
    emk_cbor_put_array(&wr, 4);
    emk_cbor_put_text(&wr, emk_span_str("Signature1"));
    emk_cbor_put_bytes(&wr, emk_buf_span(&protected_bytes));
    emk_cbor_put_bytes(&wr, emk_span_of("", 0));
    emk_cbor_put_bytes(&wr, emk_span_of(PAYLOAD, sizeof PAYLOAD));
    assert_ok(emk_sign_make(w.issuer_key, emk_writer_span(&wr), sig, &e), &e);
    emk_writer_init(&wr, space, cap);
    put_hex(&wr, o->before);
    emk_cbor_put_bytes(&wr, emk_buf_span(&protected_bytes));
    put_hex(&wr, o->unprotected);
    if (o->payload)
        put_hex(&wr, o->payload);
    else
        emk_cbor_put_bytes(&wr, emk_span_of(PAYLOAD, sizeof PAYLOAD));
    if (o->signature_is_text)
        memset(sig, 'x', sizeof sig);
    if (o->signature_is_text)
        emk_cbor_put_text(&wr, emk_span_of(sig, 64));
    else
        emk_cbor_put_bytes(&wr, emk_span_of(sig, o->signature_len));
    put_hex(&wr, o->after);
    *out = emk_writer_span(&wr);
    emk_buf_done(&protected_bytes);
}

static void expect_parse(const object *o, emk_status want)
{
    emk_cose parsed, before;
    uint8_t space[512];
    emk_span in;
    emk_error e;

    memset(&parsed, 0x5A, sizeof parsed);
    before = parsed;
    put_object(o, space, sizeof space, &in);
    assert_status(emk_cose_parse(in, TYPE, &parsed, &e), want, &e);
    if (want != EMK_OK)
        assert_memory_equal(&parsed, &before, sizeof parsed);
}

static void takes_what_the_profile_describes(void **state)
{
    object o = plain_object();
    uint8_t space[512], hh[32];
    emk_cose parsed;
    emk_span in;
    emk_error e;

    (void)state;
    expect_parse(&o, EMK_OK);
    put_object(&o, space, sizeof space, &in);
    assert_ok(emk_cose_parse(in, TYPE, &parsed, &e), &e);
    assert_int_equal(parsed.alg, EMK_SIGN_ED25519);
    assert_bytes(parsed.payload, emk_span_of(PAYLOAD, sizeof PAYLOAD));
    assert_ok(emk_cose_verify(w.crypto, &parsed, emk_span_of("", 0), w.issuer_public, hh, &e), &e);
}

static void rejects_signature_with_another_alg(void **state)
{
    /* -8 EdDSA and -7 ES256 are other names for the same, -257 RS256, 5 HMAC */
    static const int64_t algs[] = {-8, -7, -257, 5, 0, -20};

    (void)state;
    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        object o = plain_object();

        pieces_int(&o.protected_map, 1, algs[i]);
        expect_parse(&o, EMK_E_SIGNATURE);
    }
}

static void rejects_alg_of_the_other_kind_of_key(void **state)
{
    object o = plain_object();
    uint8_t space[512];
    emk_cose parsed;
    emk_span in;
    emk_error e;

    (void)state;
    pieces_int(&o.protected_map, 1, -9);
    put_object(&o, space, sizeof space, &in);
    assert_ok(emk_cose_parse(in, TYPE, &parsed, &e), &e);
    assert_status(emk_cose_verify(w.crypto, &parsed, emk_span_of("", 0), w.issuer_public, NULL, &e),
                  EMK_E_SIGNATURE, &e);
}

static void rejects_alg_as_text(void **state)
{
    object o = plain_object();

    (void)state;
    pieces_text(&o.protected_map, 1, "Ed25519");
    expect_parse(&o, EMK_E_FORMAT);
}

static void rejects_type_of_another_object(void **state)
{
    (void)state;
    for (int64_t type = 0; type < 12; type++) {
        object o = plain_object();

        pieces_int(&o.protected_map, -65537, type);
        expect_parse(&o, type == TYPE ? EMK_OK : EMK_E_FORMAT);
    }
}

static void rejects_kid_of_7_and_of_9_bytes(void **state)
{
    (void)state;
    for (size_t len = 7; len <= 9; len += 2) {
        object o = plain_object();
        uint8_t kid[9] = {0};

        pieces_bytes(&o.protected_map, 4, emk_span_of(kid, len));
        expect_parse(&o, EMK_E_FORMAT);
    }
}

static void rejects_kid_of_another_key(void **state)
{
    object o = plain_object();
    uint8_t space[512];
    emk_cose parsed;
    emk_span in;
    emk_error e;

    (void)state;
    pieces_bytes(&o.protected_map, 4, emk_span_of(w.sealer.kid, 8));
    put_object(&o, space, sizeof space, &in);
    assert_ok(emk_cose_parse(in, TYPE, &parsed, &e), &e);
    assert_status(emk_cose_verify(w.crypto, &parsed, emk_span_of("", 0), w.issuer_public, NULL, &e),
                  EMK_E_SIGNATURE, &e);
}

static void rejects_missing_alg_kid_or_type(void **state)
{
    static const int64_t keys[] = {1, 4, -65537};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        object o = plain_object();

        pieces_drop(&o.protected_map, keys[i]);
        expect_parse(&o, EMK_E_FORMAT);
    }
}

static void rejects_another_key_in_protected(void **state)
{
    static const int64_t keys[] = {0, 2, 3, 5, -1, -65536, -65538};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        object o = plain_object();

        pieces_int(&o.protected_map, keys[i], 1);
        expect_parse(&o, EMK_E_FORMAT);
    }
}

static void rejects_another_key_instead_of_one(void **state)
{
    static const int64_t keys[] = {1, 4, -65537};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        object o = plain_object();

        pieces_drop(&o.protected_map, keys[i]);
        pieces_int(&o.protected_map, 7, 1);
        expect_parse(&o, EMK_E_FORMAT);
    }
}

static void rejects_another_shape(void **state)
{
    static const struct {
        const char *before, *unprotected, *payload, *after;
        emk_status want;
    } rows[] = {
        {"84", "A0", NULL, "", EMK_E_FORMAT},            /* no tag */
        {"D1 84", "A0", NULL, "", EMK_E_UNSUPPORTED},    /* COSE_Mac0 */
        {"D8 62 84", "A0", NULL, "", EMK_E_UNSUPPORTED}, /* COSE_Sign */
        {"D2 D2 84", "A0", NULL, "", EMK_E_FORMAT},      /* two tags */
        {"D8 12 84", "A0", NULL, "", EMK_E_FORMAT},      /* not the shortest tag */
        {"D2 85", "A0", NULL, "40", EMK_E_FORMAT},       /* five parts */
        {"D2 83", "A0", NULL, "", EMK_E_FORMAT},         /* three, and one behind */
        {"D2 9F", "A0", NULL, "FF", EMK_E_FORMAT},       /* indefinite */
        {"D2 84", "A1 04 40", NULL, "", EMK_E_FORMAT},   /* a kid in unprotected */
        {"D2 84", "80", NULL, "", EMK_E_FORMAT},         /* unprotected is an array */
        {"D2 84", "40", NULL, "", EMK_E_FORMAT},
        {"D2 84", "A0", "F6", "", EMK_E_FORMAT}, /* detached payload */
        {"D2 84", "A0", "60", "", EMK_E_FORMAT}, /* payload is text */
        {"D2 84", "A0", NULL, "00", EMK_E_FORMAT},
        {"D2 84", "A0", NULL, "F6", EMK_E_FORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        object o = plain_object();

        o.before = rows[i].before;
        o.unprotected = rows[i].unprotected;
        o.payload = rows[i].payload;
        o.after = rows[i].after;
        expect_parse(&o, rows[i].want);
    }
}

static void rejects_signature_of_another_length(void **state)
{
    object o = plain_object();

    (void)state;
    for (o.signature_len = 0; o.signature_len < 64; o.signature_len += 21)
        expect_parse(&o, EMK_E_FORMAT);
    o.signature_is_text = true;
    o.signature_len = 64;
    expect_parse(&o, EMK_E_FORMAT);
}

static void rejects_every_cut(void **state)
{
    object o = plain_object();
    uint8_t space[512];
    emk_cose parsed;
    emk_span in;
    emk_error e;

    (void)state;
    put_object(&o, space, sizeof space, &in);
    for (size_t len = 0; len < in.len; len++)
        assert_status(emk_cose_parse(emk_span_of(in.p, len), TYPE, &parsed, &e), EMK_E_FORMAT, &e);
}

/* Payload, external_aad, protected, key and signature: each alone. */
static void verifies_nothing_that_was_changed(void **state)
{
    static const uint8_t aad[] = {1, 2, 3};
    emk_cose_in in = {
        .type = TYPE, .external_aad = {aad, sizeof aad}, .payload = {PAYLOAD, sizeof PAYLOAD}};
    emk_verify_key *other;
    uint8_t hh[32], again[32];
    emk_cose o;
    emk_buf out;
    emk_error e;

    (void)state;
    emk_buf_init(&out, 1000);
    assert_ok(emk_cose_sign(w.crypto, &w.issuer, &in, &out, hh, &e), &e);
    assert_int_equal(out.len, emk_cose_signed_len(&in));
    assert_ok(emk_cose_parse(emk_buf_span(&out), TYPE, &o, &e), &e);
    assert_ok(emk_cose_verify(w.crypto, &o, in.external_aad, w.issuer_public, again, &e), &e);
    assert_memory_equal(hh, again, 32);
    memset(again, 0, 32);
    assert_status(emk_cose_verify(w.crypto, &o, emk_span_of(aad, 2), w.issuer_public, again, &e),
                  EMK_E_SIGNATURE, &e);
    assert_int_equal(again[0] | again[31], 0);
    assert_status(emk_cose_verify(w.crypto, &o, emk_span_of(PAYLOAD, 3), w.issuer_public, NULL, &e),
                  EMK_E_SIGNATURE, &e);
    assert_ok(emk_cose_verify_key(w.crypto, emk_sign_key_public(w.sealer_key), &other, &e), &e);
    assert_status(emk_cose_verify(w.crypto, &o, in.external_aad, other, NULL, &e), EMK_E_SIGNATURE,
                  &e);
    for (size_t i = 0; i < out.len; i++) {
        emk_status st;

        out.p[i] ^= 1;
        st = emk_cose_parse(emk_buf_span(&out), TYPE, &o, &e);
        if (st == EMK_OK)
            st = emk_cose_verify(w.crypto, &o, in.external_aad, w.issuer_public, NULL, &e);
        assert_int_not_equal(st, EMK_OK);
        out.p[i] ^= 1;
    }
    emk_verify_key_free(other);
    emk_buf_done(&out);
}

static void signs_with_es256_too(void **state)
{
    emk_cose_in in = {.type = TYPE, .payload = {PAYLOAD, sizeof PAYLOAD}};
    uint8_t priv[32], pub[65];
    emk_sign_key *key;
    emk_verify_key *verify;
    emk_signer signer;
    emk_cose o;
    emk_buf out;
    emk_error e;

    (void)state;
    assert_ok(emk_sign_generate(w.crypto, EMK_SIGN_ES256, priv, pub, &e), &e);
    assert_ok(emk_sign_key_new(w.crypto, EMK_SIGN_ES256, emk_span_of(priv, 32), &key, &e), &e);
    assert_ok(emk_signer_from_key(w.crypto, key, &signer, &e), &e);
    assert_ok(emk_cose_verify_key(w.crypto, emk_span_of(pub, 65), &verify, &e), &e);
    emk_buf_init(&out, 1000);
    assert_ok(emk_cose_sign(w.crypto, &signer, &in, &out, NULL, &e), &e);
    assert_int_equal(out.len, emk_cose_signed_len(&in));
    assert_ok(emk_cose_parse(emk_buf_span(&out), TYPE, &o, &e), &e);
    assert_int_equal(o.alg, EMK_SIGN_ES256);
    assert_ok(emk_cose_verify(w.crypto, &o, emk_span_of("", 0), verify, NULL, &e), &e);
    emk_buf_done(&out);
    emk_verify_key_free(verify);
    emk_sign_key_free(key);
}

/* SHA-256("earmark/1 key" || 00 || 00 01 .. 1f)[0..8], by Python's hashlib. */
static void kid_is_a_known_answer(void **state)
{
    uint8_t pub[32], kid[8], want[8];
    emk_error e;

    (void)state;
    for (unsigned i = 0; i < 32; i++)
        pub[i] = (uint8_t)i;
    emk_unhex("40a537cdc7320413", want, 8);
    assert_ok(emk_cose_kid(w.crypto, emk_span_of(pub, 32), kid, &e), &e);
    assert_memory_equal(kid, want, 8);
}

static void rejects_public_keys_that_are_none(void **state)
{
    static const size_t lens[] = {0, 31, 33, 64, 66};
    emk_verify_key *key = NULL;
    uint8_t bytes[66] = {4};
    emk_signer signer;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        assert_status(emk_cose_verify_key(w.crypto, emk_span_of(bytes, lens[i]), &key, &e),
                      EMK_E_FORMAT, &e);
        assert_status(
            emk_signer_from_fn(w.crypto, emk_span_of(bytes, lens[i]), NULL, NULL, &signer, &e),
            EMK_E_USAGE, &e);
    }
    /* (0, 0) is not on the curve, and 03 is the compressed form */
    assert_status(emk_cose_verify_key(w.crypto, emk_span_of(bytes, 65), &key, &e), EMK_E_FORMAT,
                  &e);
    bytes[0] = 3;
    assert_status(emk_cose_verify_key(w.crypto, emk_span_of(bytes, 65), &key, &e), EMK_E_FORMAT,
                  &e);
    assert_null(key);
}

static emk_status refuse_to_sign(void *self, emk_span msg, uint8_t sig[64], emk_error *e)
{
    (void)self;
    (void)msg;
    (void)sig;
    return emk_fail(e, EMK_E_KEY_LOST, "signer: gone", 0);
}

static void hands_the_signers_failure_on_and_leaves_the_buffer(void **state)
{
    emk_cose_in in = {.type = TYPE, .payload = {PAYLOAD, sizeof PAYLOAD}};
    uint8_t hh[32] = {0};
    emk_signer lost = w.issuer;
    emk_buf out;
    emk_error e;

    (void)state;
    lost.sign = refuse_to_sign;
    emk_buf_init(&out, 1000);
    assert_ok(emk_buf_append(&out, emk_span_of("ab", 2), &e), &e);
    assert_status(emk_cose_sign(w.crypto, &lost, &in, &out, hh, &e), EMK_E_KEY_LOST, &e);
    assert_bytes(emk_buf_span(&out), emk_span_of("ab", 2));
    assert_int_equal(hh[0] | hh[15], 0);
    emk_buf_done(&out);
    emk_buf_init(&out, 90); /* too small for the object */
    assert_status(emk_cose_sign(w.crypto, &w.issuer, &in, &out, hh, &e), EMK_E_LIMIT, &e);
    assert_int_equal(out.len, 0);
    emk_buf_done(&out);
}

int main(void)
{
    int failed;

    world_init(&w, EMK_KEM_X25519);
    failed = EMK_RUN(
        emk_rule(takes_what_the_profile_describes), emk_rule(rejects_signature_with_another_alg),
        emk_rule(rejects_alg_of_the_other_kind_of_key), emk_rule(rejects_alg_as_text),
        emk_rule(rejects_type_of_another_object), emk_rule(rejects_kid_of_7_and_of_9_bytes),
        emk_rule(rejects_kid_of_another_key), emk_rule(rejects_missing_alg_kid_or_type),
        emk_rule(rejects_another_key_in_protected), emk_rule(rejects_another_key_instead_of_one),
        emk_rule(rejects_another_shape), emk_rule(rejects_signature_of_another_length),
        emk_rule(rejects_every_cut), emk_rule(verifies_nothing_that_was_changed),
        emk_rule(signs_with_es256_too), emk_rule(kid_is_a_known_answer),
        emk_rule(rejects_public_keys_that_are_none),
        emk_rule(hands_the_signers_failure_on_and_leaves_the_buffer));
    world_done(&w);
    return failed;
}
