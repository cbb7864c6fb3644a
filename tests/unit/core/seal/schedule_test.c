/* The known answers were worked out with Python's hmac, hashlib and the AEADs of its
 * cryptography package, from [container 3.4] alone:
 *
 *     cek = bytes(range(32)); hh = bytes(range(0x80, 0xa0))
 *     prk = hmac(hh, cek);  expand(info) = hmac(prk, info + b"\x01")
 *     AESGCM(expand(b"earmark/1 file key")).encrypt(nonce, b"chunk", None)   and so on */
#include "core/seal/schedule.h"

#include "core/seal/segment.h"
#include "tests/support/test.h"

#define NONE emk_span_of(NULL, 0)

static emk_crypto *crypto;

static void fill(uint8_t *p, size_t n, unsigned from)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(from + i);
}

static emk_schedule schedule_of(emk_layer layer)
{
    uint8_t cek[32], hh[32];
    emk_schedule s;
    emk_error e;

    fill(cek, 32, 0);
    fill(hh, 32, 0x80);
    assert_ok(emk_schedule_init(&s, crypto, layer, cek, hh, &e), &e);
    return s;
}

static void expect_hex(const uint8_t *got, size_t len, const char *hex)
{
    uint8_t want[128];

    assert_int_equal(emk_unhex(hex, want, sizeof want), len);
    assert_bytes(emk_span_of(got, len), emk_span_of(want, len));
}

static void commitments_are_known_answers(void **state)
{
    emk_schedule file = schedule_of(EMK_LAYER_FILE), weights = schedule_of(EMK_LAYER_WEIGHTS);

    (void)state;
    expect_hex(file.commit, 32, "334c365deeefa2c926b3c59e2dcc3091904fb201e9dc6bcd04b7d21fc0733d05");
    expect_hex(weights.commit, 32,
               "5f8e04bdc38583c64fd90c7bf3dd82a550d1704170ce3a370dc11a30e5cb7c2c");
    emk_schedule_done(&file);
    emk_schedule_done(&weights);
}

static void file_key_is_a_known_answer(void **state)
{
    emk_schedule s = schedule_of(EMK_LAYER_FILE);
    uint8_t nonce[12], out[5 + 16];
    emk_aead *a;
    emk_error e;

    (void)state;
    assert_ok(emk_aead_new(crypto, EMK_AEAD_AES_256_GCM, &a, &e), &e);
    assert_ok(emk_schedule_file_key(&s, a, &e), &e);
    emk_nonce(0, true, nonce);
    assert_ok(emk_aead_seal(a, nonce, NONE, emk_span_of("chunk", 5), out, out + 5, &e), &e);
    expect_hex(out, sizeof out, "850570391453e8ccab6b6a516710e4d3eb1fdd8bd6");
    emk_aead_free(a);
    assert_ok(emk_aead_new(crypto, EMK_AEAD_CHACHA20_POLY1305, &a, &e), &e);
    assert_ok(emk_schedule_file_key(&s, a, &e), &e);
    emk_nonce(70000, false, nonce);
    assert_ok(emk_aead_seal(a, nonce, NONE, emk_span_of("chunk", 5), out, out + 5, &e), &e);
    expect_hex(out, sizeof out, "c58f270495201fdbaf1d45a6b63905380d309b0e6a");
    emk_aead_free(a);
    emk_schedule_done(&s);
}

static void seal_segment(uint16_t aead, const emk_segment *seg, uint8_t out[7 + 16])
{
    emk_schedule s = schedule_of(EMK_LAYER_WEIGHTS);
    emk_segment_cipher cipher;
    uint8_t plain[7];
    emk_error e;

    assert_ok(emk_segment_cipher_init(&cipher, &s, aead, &e), &e);
    assert_ok(emk_segment_seal(&cipher, seg, (const uint8_t *)"segment", out, out + 7, &e), &e);
    assert_ok(emk_segment_open(&cipher, seg, out, out + 7, plain, &e), &e);
    assert_memory_equal(plain, "segment", 7);
    emk_segment_cipher_done(&cipher);
    emk_schedule_done(&s);
}

static void region_keys_are_known_answers(void **state)
{
    emk_segment whole = {.region = 1, .len = 7, .last = true};
    emk_segment third = {.region = 1, .in_region = 2, .len = 7, .kind = EMK_REGION_TENSOR};
    uint8_t out[7 + 16];

    (void)state;
    seal_segment(EMK_AEAD_AES_256_GCM, &whole, out);
    expect_hex(out, sizeof out, "e303ea409255a05798271db5fbe0fc5d54f36c884daa1d");
    seal_segment(EMK_AEAD_CHACHA20_POLY1305, &third, out);
    expect_hex(out, sizeof out, "9e5aaae66bf978ab6d44f5c932f80eff89248348922ee8");
}

static void clear_segment_has_a_tag_over_its_bytes(void **state)
{
    emk_segment clear = {.region = 2, .len = 7, .kind = EMK_REGION_CLEAR, .last = true};
    uint8_t out[7 + 16];

    (void)state;
    seal_segment(EMK_AEAD_AES_256_GCM, &clear, out);
    assert_memory_equal(out, "segment", 7);
    expect_hex(out + 7, 16, "e4c7bc0a9cb3d6aea274841f39ed3a80");
}

static void local_mac_is_a_known_answer(void **state)
{
    emk_schedule s = schedule_of(EMK_LAYER_WEIGHTS);
    uint8_t mac[32];
    emk_error e;

    (void)state;
    assert_ok(emk_schedule_local_mac(&s, emk_span_of("abc", 3), mac, &e), &e);
    expect_hex(mac, 32, "2831a58033252646c6f78f47b39d3c8470b4d75e8e34fcb8c25188c34b852c78");
    emk_schedule_done(&s);
}

static void nonces_are_known_answers(void **state)
{
    static const struct {
        uint64_t i;
        bool last;
        const char *hex;
    } rows[] = {{0, false, "0000000000000000000000 00"},
                {0, true, "0000000000000000000000 01"},
                {1, false, "0000000000000000000001 00"},
                {255, true, "00000000000000000000ff 01"},
                {256, false, "0000000000000000000100 00"},
                {0x0102030405060708, true, "0000000102030405060708 01"},
                {UINT64_MAX, false, "000000ffffffffffffffff 00"}};
    uint8_t nonce[12];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        emk_nonce(rows[i].i, rows[i].last, nonce);
        expect_hex(nonce, 12, rows[i].hex);
    }
}

static void rejects_every_other_commitment(void **state)
{
    emk_schedule s = schedule_of(EMK_LAYER_FILE);
    uint8_t commit[32];
    emk_error e, one;

    (void)state;
    memcpy(commit, s.commit, 32);
    assert_ok(emk_schedule_check_commit(&s, commit, &e), &e);
    assert_int_equal(emk_fail_sealed(&one), EMK_E_SEALED);
    for (unsigned bit = 0; bit < 256; bit++) {
        commit[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_status(emk_schedule_check_commit(&s, commit, &e), EMK_E_SEALED, &e);
        assert_string_equal(e.what, one.what);
        commit[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    emk_schedule_done(&s);
}

static void every_input_changes_the_keys(void **state)
{
    emk_schedule a = schedule_of(EMK_LAYER_WEIGHTS), b;
    uint8_t cek[32], hh[32];
    emk_error e;

    (void)state;
    fill(cek, 32, 0);
    fill(hh, 32, 0x80);
    for (unsigned i = 0; i < 32; i++) {
        cek[i] ^= 1;
        assert_ok(emk_schedule_init(&b, crypto, EMK_LAYER_WEIGHTS, cek, hh, &e), &e);
        assert_memory_not_equal(a.commit, b.commit, 32);
        emk_schedule_done(&b);
        cek[i] ^= 1;
        hh[i] ^= 1;
        assert_ok(emk_schedule_init(&b, crypto, EMK_LAYER_WEIGHTS, cek, hh, &e), &e);
        assert_memory_not_equal(a.commit, b.commit, 32);
        emk_schedule_done(&b);
        hh[i] ^= 1;
    }
    emk_schedule_done(&a);
}

static void done_takes_a_schedule_of_zeros(void **state)
{
    emk_schedule s = {0};

    (void)state;
    emk_schedule_done(&s);
    emk_schedule_done(&s);
}

int main(void)
{
    emk_error e;
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    failed = EMK_RUN(
        emk_rule(commitments_are_known_answers), emk_rule(file_key_is_a_known_answer),
        emk_rule(region_keys_are_known_answers), emk_rule(clear_segment_has_a_tag_over_its_bytes),
        emk_rule(local_mac_is_a_known_answer), emk_rule(nonces_are_known_answers),
        emk_rule(rejects_every_other_commitment), emk_rule(every_input_changes_the_keys),
        emk_rule(done_takes_a_schedule_of_zeros));
    emk_crypto_free(crypto);
    return failed;
}
