#include "core/seal/recipient.h"

#include "core/base/alloc.h"
#include "tests/unit/core/seal/pieces.h"

static world w;
static const uint8_t CEK[32] = {1, 2, 3, 4, 5};
static const uint8_t EXTRA[32] = {9};

static emk_envelope_context context(bool hint)
{
    emk_envelope_context ctx = {
        .content_alg = EMK_CONTENT_WEIGHTS_AES, .extra = EXTRA, .hint = hint};
    return ctx;
}

static emk_agree_key public_of(const emk_kem_private *k)
{
    emk_agree_key to = {emk_kem_private_id(k), emk_kem_private_public(k)};
    return to;
}

/* Wraps for the device into space and reads it back. */
static emk_recipient wrapped(bool hint, uint8_t *space, size_t cap)
{
    emk_envelope_context ctx = context(hint);
    emk_agree_key to = public_of(w.device_key);
    emk_cbor_reader r;
    emk_recipient got;
    emk_writer wr;
    emk_error e;

    emk_writer_init(&wr, space, cap);
    assert_ok(emk_recipient_wrap(w.crypto, &ctx, &to, CEK, &wr, &e), &e);
    emk_cbor_reader_init(&r, emk_writer_span(&wr));
    emk_recipient_read(&r, hint, &got);
    assert_ok(emk_cbor_finish(&r, &e), &e);
    return got;
}

static void opens_what_was_wrapped_for_every_kem(void **state)
{
    static const uint16_t kems[] = {EMK_KEM_X25519, EMK_KEM_P256, EMK_KEM_XWING,
                                    EMK_KEM_MLKEM768_P256};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        uint8_t priv[EMK_KEM_PRIVATE_MAX], pub[EMK_KEM_PUBLIC_MAX], space[EMK_RECIPIENT_MAX];
        emk_envelope_context ctx = context(true);
        uint8_t cek[32];
        emk_agree_key to = {kems[i], {pub, emk_kem_public_len(kems[i])}};
        emk_kem_private *key;
        emk_cbor_reader r;
        emk_recipient got;
        emk_writer wr;
        emk_error e;
        bool mine;

        if (!emk_kem_is_supported(w.crypto, kems[i]))
            continue;
        assert_ok(emk_kem_generate(w.crypto, kems[i], priv, pub, &e), &e);
        assert_ok(emk_kem_private_new(w.crypto, kems[i],
                                      emk_span_of(priv, emk_kem_private_len(kems[i])), &key, &e),
                  &e);
        emk_writer_init(&wr, space, sizeof space);
        assert_ok(emk_recipient_wrap(w.crypto, &ctx, &to, CEK, &wr, &e), &e);
        assert_false(wr.full);
        emk_cbor_reader_init(&r, emk_writer_span(&wr));
        emk_recipient_read(&r, true, &got);
        assert_ok(emk_cbor_finish(&r, &e), &e);
        assert_ok(emk_recipient_matches(w.crypto, &got, to.public_key, &mine, &e), &e);
        assert_true(mine);
        assert_ok(emk_recipient_unwrap(&got, &ctx, key, cek, &e), &e);
        assert_memory_equal(cek, CEK, 32);
        emk_kem_private_free(key);
    }
}

static void algs_and_suites_are_the_table_of_the_page(void **state)
{
    static const struct {
        uint16_t kem;
        int64_t alg;
        uint16_t aead;
    } rows[] = {{0x0020, 50, 3}, {0x647a, -65611, 3}, {0x0010, 53, 2}, {0x0050, -65612, 2}};
    emk_hpke_suite suite;
    emk_error e;
    int64_t alg;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_ok(emk_recipient_alg(rows[i].kem, &alg, &suite, &e), &e);
        assert_int_equal(alg, rows[i].alg);
        assert_int_equal(suite.kem, rows[i].kem);
        assert_int_equal(suite.kdf, 1);
        assert_int_equal(suite.aead, rows[i].aead);
    }
    assert_status(emk_recipient_alg(EMK_KEM_ML_KEM_768, &alg, &suite, &e), EMK_E_UNSUPPORTED, &e);
    assert_status(emk_recipient_alg(0, &alg, &suite, &e), EMK_E_UNSUPPORTED, &e);
}

/* HMAC-SHA256("earmark/1 hint", 04 x 65 || SHA-256(05 x 65)[0..4])[0..4], by Python's hmac. */
static void hint_is_a_known_answer(void **state)
{
    uint8_t enc[65], pub[65], want[4];
    emk_recipient r = {.has_hint = true, .enc = {enc, 65}};
    bool mine = false;
    emk_error e;

    (void)state;
    memset(enc, 4, 65);
    memset(pub, 5, 65);
    emk_unhex("acb0aae6", want, 4);
    memcpy(r.hint, want, 4);
    assert_ok(emk_recipient_matches(w.crypto, &r, emk_span_of(pub, 65), &mine, &e), &e);
    assert_true(mine);
    for (unsigned bit = 0; bit < 32; bit++) {
        memcpy(r.hint, want, 4);
        r.hint[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_ok(emk_recipient_matches(w.crypto, &r, emk_span_of(pub, 65), &mine, &e), &e);
        assert_false(mine);
    }
}

static void hint_of_two_envelopes_for_one_device_differs(void **state)
{
    uint8_t a[EMK_RECIPIENT_MAX], b[EMK_RECIPIENT_MAX];
    emk_recipient x = wrapped(true, a, sizeof a), y = wrapped(true, b, sizeof b);

    (void)state;
    assert_memory_not_equal(x.hint, y.hint, 4);
}

/* One of 64 is the device's; the others are for devices it has never heard of. */
static void hint_finds_own_envelope_among_64(void **state)
{
    static emk_recipient list[EMK_RECIPIENTS_MAX];
    static uint8_t space[EMK_RECIPIENTS_MAX][EMK_RECIPIENT_MAX];
    uint8_t hh[32] = {0}, cek[32], commit[32];
    emk_envelope_context ctx = context(true);
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    emk_unseal_in in = {.layer = EMK_LAYER_WEIGHTS,
                        .recipients = list,
                        .n_recipients = 64,
                        .key = w.device_key,
                        .context = ctx,
                        .hh = hh,
                        .commit = commit,
                        .cek = cek,
                        .noticed = &noticed};
    emk_schedule s;
    emk_error e;

    (void)state;
    assert_ok(emk_schedule_init(&s, w.crypto, EMK_LAYER_WEIGHTS, CEK, hh, &e), &e);
    memcpy(commit, s.commit, 32);
    emk_schedule_done(&s);
    for (unsigned i = 0; i < 64; i++) {
        uint8_t priv[32], pub[65];
        emk_agree_key to = {EMK_KEM_P256, {pub, 65}};
        uint8_t other[32] = {(uint8_t)i};
        emk_cbor_reader r;
        emk_writer wr;

        assert_ok(emk_kem_generate(w.crypto, EMK_KEM_P256, priv, pub, &e), &e);
        emk_writer_init(&wr, space[i], sizeof space[i]);
        assert_ok(emk_recipient_wrap(w.crypto, &ctx, &to, other, &wr, &e), &e);
        emk_cbor_reader_init(&r, emk_writer_span(&wr));
        emk_recipient_read(&r, true, &list[i]);
    }
    assert_status(emk_unseal(w.crypto, &in, &s, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_RECIPIENT);
    for (unsigned place = 0; place < 64; place += 21) {
        emk_recipient kept = list[place];

        noticed = EMK_NOTICED_NOTHING;
        list[place] = wrapped(true, space[place], sizeof space[place]);
        assert_ok(emk_unseal(w.crypto, &in, &s, &e), &e);
        assert_memory_equal(cek, CEK, 32);
        emk_schedule_done(&s);
        list[place] = kept;
    }
}

/* A hint that only happens to fit costs one try. */
static void goes_on_behind_a_hint_that_only_collides(void **state)
{
    uint8_t a[EMK_RECIPIENT_MAX], b[EMK_RECIPIENT_MAX], hh[32] = {0}, commit[32];
    emk_recipient list[2] = {wrapped(true, a, sizeof a), wrapped(true, b, sizeof b)};
    emk_unseal_in in = {.layer = EMK_LAYER_WEIGHTS,
                        .recipients = list,
                        .n_recipients = 2,
                        .key = w.device_key,
                        .context = context(true),
                        .hh = hh,
                        .commit = commit};
    emk_schedule s;
    emk_error e;

    (void)state;
    assert_ok(emk_schedule_init(&s, w.crypto, EMK_LAYER_WEIGHTS, CEK, hh, &e), &e);
    memcpy(commit, s.commit, 32);
    emk_schedule_done(&s);
    a[(size_t)(list[0].cipher.p - a)] ^= 1; /* matches, does not open */
    assert_ok(emk_unseal(w.crypto, &in, &s, &e), &e);
    emk_schedule_done(&s);
}

static void rejects_every_changed_input_of_hpke(void **state)
{
    uint8_t space[EMK_RECIPIENT_MAX], cek[32], other[32] = {8};
    emk_recipient r = wrapped(false, space, sizeof space);
    emk_envelope_context ctx = context(false);
    uint8_t *enc = space + (r.enc.p - space), *cipher = space + (r.cipher.p - space);
    emk_error e;

    (void)state;
    ctx.extra = other;
    assert_status(emk_recipient_unwrap(&r, &ctx, w.device_key, cek, &e), EMK_E_SEALED, &e);
    ctx = context(false);
    ctx.content_alg = EMK_CONTENT_WEIGHTS_CHACHA;
    assert_status(emk_recipient_unwrap(&r, &ctx, w.device_key, cek, &e), EMK_E_SEALED, &e);
    ctx = context(false);
    for (size_t i = 0; i < r.enc.len; i++) {
        enc[i] ^= 1;
        assert_status(emk_recipient_unwrap(&r, &ctx, w.device_key, cek, &e), EMK_E_SEALED, &e);
        enc[i] ^= 1;
    }
    for (size_t i = 0; i < r.cipher.len; i++) {
        cipher[i] ^= 0x80;
        assert_status(emk_recipient_unwrap(&r, &ctx, w.device_key, cek, &e), EMK_E_SEALED, &e);
        cipher[i] ^= 0x80;
    }
    assert_status(emk_recipient_unwrap(&r, &ctx, w.request_key, cek, &e), EMK_E_SEALED, &e);
    assert_ok(emk_recipient_unwrap(&r, &ctx, w.device_key, cek, &e), &e);
}

/* ---- reading ---- */

typedef struct bent {
    const char *head; /* hex: the array's head */
    pieces protected_map, unprotected;
    emk_span cipher;
    bool hint;
} bent;

static const uint8_t ZEROS[EMK_KEM_ENC_MAX + 1];

static bent plain(bool hint)
{
    bent b = {.head = "83", .cipher = {ZEROS, 48}, .hint = hint};

    pieces_int(&b.protected_map, 1, 53);
    pieces_bytes(&b.unprotected, -4, emk_span_of(ZEROS, 65));
    if (hint)
        pieces_bytes(&b.unprotected, -65541, emk_span_of(ZEROS, 4));
    return b;
}

static void expect(const bent *b, emk_status want)
{
    uint8_t space[4096];
    emk_buf protected_bytes;
    emk_cbor_reader r;
    emk_recipient got;
    emk_writer wr;
    emk_error e;

    pieces_encode(&b->protected_map, &protected_bytes);
    emk_writer_init(&wr, space, sizeof space);
    emk_write_u8(&wr, (uint8_t)strtoul(b->head, NULL, 16));
    emk_cbor_put_bytes(&wr, emk_buf_span(&protected_bytes));
    pieces_write(&b->unprotected, &wr);
    emk_cbor_put_bytes(&wr, b->cipher);
    emk_cbor_reader_init(&r, emk_writer_span(&wr));
    emk_recipient_read(&r, b->hint, &got);
    assert_status(emk_cbor_finish(&r, &e), want, &e);
    emk_buf_done(&protected_bytes);
}

static void rejects_ciphertext_of_47_bytes(void **state)
{
    bent b = plain(true);

    (void)state;
    expect(&b, EMK_OK);
    b.cipher.len = 47;
    expect(&b, EMK_E_FORMAT);
}

static void rejects_ciphertext_of_49_64_and_no_bytes(void **state)
{
    bent b = plain(false);

    (void)state;
    b.cipher.len = 49;
    expect(&b, EMK_E_FORMAT);
    b.cipher.len = 64;
    expect(&b, EMK_E_FORMAT);
    b.cipher.len = 0;
    expect(&b, EMK_E_FORMAT);
}

static void rejects_algs_that_no_envelope_has(void **state)
{
    static const int64_t algs[] = {0, -19, 35, 49, 51, 52, 54, 55, -65610, -65613};

    (void)state;
    for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
        bent b = plain(true);

        pieces_int(&b.protected_map, 1, algs[i]);
        expect(&b, EMK_E_UNSUPPORTED);
    }
}

static void rejects_other_protected_maps(void **state)
{
    bent b = plain(true);

    (void)state;
    pieces_int(&b.protected_map, 2, 1);
    expect(&b, EMK_E_FORMAT);
    pieces_drop(&b.protected_map, 1);
    expect(&b, EMK_E_FORMAT);
    pieces_drop(&b.protected_map, 2);
    expect(&b, EMK_E_FORMAT);
    b = plain(true);
    pieces_text(&b.protected_map, 1, "HPKE-4");
    expect(&b, EMK_E_FORMAT);
}

static void rejects_missing_or_more_unprotected_keys(void **state)
{
    bent b = plain(true);

    (void)state;
    pieces_drop(&b.unprotected, -65541);
    expect(&b, EMK_E_FORMAT);
    b = plain(true);
    pieces_drop(&b.unprotected, -4);
    expect(&b, EMK_E_FORMAT);
    b = plain(true);
    pieces_int(&b.unprotected, 4, 1);
    expect(&b, EMK_E_FORMAT);
    b = plain(false);
    pieces_int(&b.unprotected, 1, 53);
    expect(&b, EMK_E_FORMAT);
}

static void rejects_hint_where_none_may_be(void **state)
{
    bent b = plain(false);

    (void)state;
    pieces_bytes(&b.unprotected, -65541, emk_span_of(ZEROS, 4));
    expect(&b, EMK_E_FORMAT);
}

static void rejects_hint_of_3_and_5_bytes(void **state)
{
    bent b = plain(true);

    (void)state;
    pieces_bytes(&b.unprotected, -65541, emk_span_of(ZEROS, 3));
    expect(&b, EMK_E_FORMAT);
    pieces_bytes(&b.unprotected, -65541, emk_span_of(ZEROS, 5));
    expect(&b, EMK_E_FORMAT);
}

static void rejects_ek_that_is_no_bytes(void **state)
{
    bent b = plain(false);

    (void)state;
    pieces_text(&b.unprotected, -4, "ek");
    expect(&b, EMK_E_FORMAT);
}

static void rejects_other_shapes_than_three_parts(void **state)
{
    bent b = plain(true);

    (void)state;
    b.head = "82";
    expect(&b, EMK_E_FORMAT);
    b.head = "84";
    expect(&b, EMK_E_FORMAT);
    b.head = "A3";
    expect(&b, EMK_E_FORMAT);
}

/* An ek of another KEM's length, not on the curve, or all zero is found at opening, and is the
 * same error as a wrong tag. */
static void bad_ek_is_the_one_outward_error(void **state)
{
    static const size_t lens[] = {0, 1, 32, 64, 65, 66, 1120, EMK_KEM_ENC_MAX + 1};
    uint8_t space[EMK_RECIPIENT_MAX], cek[32];
    emk_recipient r = wrapped(false, space, sizeof space);
    emk_envelope_context ctx = context(false);
    emk_error e, first;

    (void)state;
    space[r.cipher.p - space] ^= 1;
    assert_status(emk_recipient_unwrap(&r, &ctx, w.device_key, cek, &first), EMK_E_SEALED, &first);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        r.enc = emk_span_of(ZEROS, lens[i]);
        assert_status(emk_recipient_unwrap(&r, &ctx, w.device_key, cek, &e), EMK_E_SEALED, &e);
        assert_string_equal(e.what, first.what);
        assert_int_equal(e.where, first.where);
    }
}

static void refuses_to_wrap_for_keys_that_are_none(void **state)
{
    emk_envelope_context ctx = context(true);
    uint8_t space[EMK_RECIPIENT_MAX];
    emk_agree_key to = {EMK_KEM_P256, {ZEROS, 65}};
    emk_writer wr;
    emk_error e;

    (void)state;
    emk_writer_init(&wr, space, sizeof space);
    assert_status(emk_recipient_wrap(w.crypto, &ctx, &to, CEK, &wr, &e), EMK_E_FORMAT, &e);
    to.public_key.len = 64;
    assert_status(emk_recipient_wrap(w.crypto, &ctx, &to, CEK, &wr, &e), EMK_E_FORMAT, &e);
    to.kem = EMK_KEM_ML_KEM_768;
    assert_status(emk_recipient_wrap(w.crypto, &ctx, &to, CEK, &wr, &e), EMK_E_UNSUPPORTED, &e);
    assert_int_equal(wr.pos, 0);
}

int main(void)
{
    int failed;

    world_init(&w, EMK_KEM_X25519);
    failed = EMK_RUN(
        emk_rule(opens_what_was_wrapped_for_every_kem),
        emk_rule(algs_and_suites_are_the_table_of_the_page), emk_rule(hint_is_a_known_answer),
        emk_rule(hint_of_two_envelopes_for_one_device_differs),
        emk_rule(hint_finds_own_envelope_among_64),
        emk_rule(goes_on_behind_a_hint_that_only_collides),
        emk_rule(rejects_every_changed_input_of_hpke), emk_rule(rejects_ciphertext_of_47_bytes),
        emk_rule(rejects_ciphertext_of_49_64_and_no_bytes),
        emk_rule(rejects_algs_that_no_envelope_has), emk_rule(rejects_other_protected_maps),
        emk_rule(rejects_missing_or_more_unprotected_keys),
        emk_rule(rejects_hint_where_none_may_be), emk_rule(rejects_hint_of_3_and_5_bytes),
        emk_rule(rejects_ek_that_is_no_bytes), emk_rule(rejects_other_shapes_than_three_parts),
        emk_rule(bad_ek_is_the_one_outward_error),
        emk_rule(refuses_to_wrap_for_keys_that_are_none));
    world_done(&w);
    return failed;
}
