#include "core/crypto/aead.h"
#include "core/crypto/test_hooks.h"
#include "tests/unit/core/crypto/context.h"

static const uint16_t IDS[] = {EMK_AEAD_AES_128_GCM, EMK_AEAD_AES_256_GCM,
                               EMK_AEAD_CHACHA20_POLY1305};
static const uint8_t KEY[32] = {1, 2, 3};
static const uint8_t NONCE[12] = {4, 5, 6};

static emk_aead *keyed(uint16_t id)
{
    emk_aead *a;
    emk_error e;

    assert_ok(emk_aead_new(test_crypto(), id, &a, &e), &e);
    assert_ok(emk_aead_set_key(a, KEY, &e), &e);
    return a;
}

/* GCM specification, test case 14: a zero key of 256 bits, zero nonce, 16 zero bytes. */
static void aes_256_gcm_of_the_gcm_specification(void **state)
{
    static const uint8_t zeros[32];
    uint8_t cipher[16], tag[16], want[32];
    emk_aead *a;
    emk_error e;

    (void)state;
    assert_ok(emk_aead_new(test_crypto(), EMK_AEAD_AES_256_GCM, &a, &e), &e);
    assert_ok(emk_aead_set_key(a, zeros, &e), &e);
    assert_ok(emk_aead_seal(a, zeros, NONE, emk_span_of(zeros, 16), cipher, tag, &e), &e);
    emk_unhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919", want, 32);
    assert_memory_equal(cipher, want, 16);
    assert_memory_equal(tag, want + 16, 16);
    emk_aead_free(a);
}

/* RFC 8439 2.8.2, its tag. */
static void chacha20_poly1305_of_rfc_8439(void **state)
{
    uint8_t key[32], nonce[12], aad[12], cipher[114], tag[16], want[16];
    emk_span plain = emk_span_str("Ladies and Gentlemen of the class of '99: If I could offer you "
                                  "only one tip for the future, sunscreen would be it.");
    emk_aead *a;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 32; i++)
        key[i] = (uint8_t)(0x80 + i);
    emk_unhex("070000004041424344454647", nonce, 12);
    emk_unhex("50515253c0c1c2c3c4c5c6c7", aad, 12);
    assert_int_equal(plain.len, sizeof cipher);
    assert_ok(emk_aead_new(test_crypto(), EMK_AEAD_CHACHA20_POLY1305, &a, &e), &e);
    assert_ok(emk_aead_set_key(a, key, &e), &e);
    assert_ok(emk_aead_seal(a, nonce, SPAN(aad), plain, cipher, tag, &e), &e);
    emk_unhex("1ae10b594f09e26a7e902ecbd0600691", want, 16);
    assert_memory_equal(tag, want, 16);
    emk_aead_free(a);
}

static void knows_its_ids_and_refuses_others(void **state)
{
    emk_aead *a = NULL;
    emk_error e;

    (void)state;
    assert_int_equal(emk_aead_key_len(EMK_AEAD_AES_128_GCM), 16);
    assert_int_equal(emk_aead_key_len(EMK_AEAD_AES_256_GCM), 32);
    assert_int_equal(emk_aead_key_len(EMK_AEAD_CHACHA20_POLY1305), 32);
    assert_int_equal(emk_aead_key_len(0), 0);
    assert_int_equal(emk_aead_key_len(EMK_AEAD_EXPORT_ONLY), 0);
    for (unsigned id = 0; id < 0x10000; id++)
        assert_int_equal(emk_aead_is_supported(test_crypto(), (uint16_t)id), id >= 1 && id <= 3);
    assert_status(emk_aead_new(test_crypto(), 4, &a, &e), EMK_E_UNSUPPORTED, &e);
    assert_status(emk_aead_new(test_crypto(), 0, &a, &e), EMK_E_UNSUPPORTED, &e);
    assert_status(emk_aead_new(test_crypto(), EMK_AEAD_EXPORT_ONLY, &a, &e), EMK_E_UNSUPPORTED, &e);
    assert_null(a);
}

static void opens_what_it_sealed_in_place_or_beside(void **state)
{
    static const size_t lens[] = {0, 1, 15, 16, 17, 1000};
    uint8_t plain[1000], buf[1000], tag[16];
    emk_error e;

    (void)state;
    memset(plain, 0x5a, sizeof plain);
    for (size_t i = 0; i < 3; i++) {
        emk_aead *a = keyed(IDS[i]);

        for (size_t j = 0; j < sizeof lens / sizeof lens[0]; j++) {
            emk_span p = emk_span_of(plain, lens[j]), b = emk_span_of(buf, lens[j]);

            assert_ok(emk_aead_seal(a, NONCE, emk_span_str("aad"), p, buf, tag, &e), &e);
            assert_ok(emk_aead_open(a, NONCE, emk_span_str("aad"), b, tag, buf, &e), &e);
            assert_bytes(b, p);
            assert_ok(emk_aead_seal(a, NONCE, NONE, b, buf, tag, &e), &e);
            assert_ok(emk_aead_open(a, NONCE, NONE, b, tag, buf, &e), &e);
            assert_bytes(b, p);
        }
        emk_aead_free(a);
    }
}

static void refuses_a_change_of_any_bit_and_zeroes_the_output(void **state)
{
    static const uint8_t zeros[24];
    uint8_t cipher[24], tag[16], nonce[12], aad[3] = {1, 2, 3}, out[24];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        emk_aead *a = keyed(IDS[i]);

        memcpy(nonce, NONCE, 12);
        assert_ok(emk_aead_seal(a, nonce, SPAN(aad), SPAN(zeros), cipher, tag, &e), &e);
        for (size_t bit = 0; bit < (size_t)8 * (24 + 16 + 12 + 3); bit++) {
            uint8_t *p = bit < 192 ? cipher : bit < 320 ? tag : bit < 416 ? nonce : aad;
            size_t at = bit < 192 ? bit : bit < 320 ? bit - 192 : bit < 416 ? bit - 320 : bit - 416;

            flip(p, at);
            memset(out, 0xee, sizeof out);
            assert_status(emk_aead_open(a, nonce, SPAN(aad), SPAN(cipher), tag, out, &e),
                          EMK_E_SEALED, &e);
            assert_memory_equal(out, zeros, sizeof out);
            flip(p, at);
        }
        assert_ok(emk_aead_open(a, nonce, SPAN(aad), SPAN(cipher), tag, out, &e), &e);
        emk_aead_free(a);
    }
}

static void opens_a_part_and_verifies_the_whole(void **state)
{
    static uint8_t plain[3 * EMK_AEAD_PIECE + 5], cipher[sizeof plain], out[sizeof plain];
    static const struct {
        size_t from, len;
    } parts[] = {{0, 1},   {0, sizeof plain}, {EMK_AEAD_PIECE - 1, 2},
                 {100, 0}, {sizeof plain, 0}, {sizeof plain - 3, 3}};
    uint8_t tag[16], piece[EMK_AEAD_PIECE], zeros[sizeof piece] = {0};
    emk_aead_part part = {.tag = tag, .out = out, .piece = piece};
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7 + i / 251);
    for (size_t i = 0; i < 3; i++) {
        emk_aead *a = keyed(IDS[i]);

        assert_ok(emk_aead_seal(a, NONCE, NONE, SPAN(plain), cipher, tag, &e), &e);
        for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++) {
            part.from = parts[j].from;
            part.len = parts[j].len;
            memset(piece, 0xee, sizeof piece);
            assert_ok(emk_aead_open_part(a, NONCE, SPAN(cipher), &part, &e), &e);
            assert_memory_equal(out, plain + part.from, part.len);
            if (part.len < sizeof plain)
                assert_memory_equal(piece, zeros, sizeof piece);
        }
        part.from = 10;
        part.len = 100;
        flip(cipher, 8 * (sizeof cipher - 1)); /* far from what is asked for */
        assert_status(emk_aead_open_part(a, NONCE, SPAN(cipher), &part, &e), EMK_E_SEALED, &e);
        assert_memory_equal(out, zeros, part.len);
        part.from = sizeof plain;
        part.len = 1;
        assert_status(emk_aead_open_part(a, NONCE, SPAN(cipher), &part, &e), EMK_E_USAGE, &e);
        part.from = 1;
        part.len = SIZE_MAX;
        assert_status(emk_aead_open_part(a, NONCE, SPAN(cipher), &part, &e), EMK_E_USAGE, &e);
        emk_aead_free(a);
    }
}

static void refuses_other_lengths_of_the_same_message(void **state)
{
    uint8_t cipher[17] = {0}, tag[16], out[17];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        emk_aead *a = keyed(IDS[i]);

        assert_ok(emk_aead_seal(a, NONCE, NONE, emk_span_of(cipher, 16), cipher, tag, &e), &e);
        assert_status(emk_aead_open(a, NONCE, NONE, emk_span_of(cipher, 15), tag, out, &e),
                      EMK_E_SEALED, &e);
        assert_status(emk_aead_open(a, NONCE, NONE, emk_span_of(cipher, 17), tag, out, &e),
                      EMK_E_SEALED, &e);
        assert_status(emk_aead_open(a, NONCE, NONE, NONE, tag, out, &e), EMK_E_SEALED, &e);
        emk_aead_free(a);
    }
}

static void refuses_work_without_a_key(void **state)
{
    uint8_t buf[4] = {1, 2, 3, 4}, tag[16] = {9};
    emk_aead *a;
    emk_error e;

    (void)state;
    assert_ok(emk_aead_new(test_crypto(), EMK_AEAD_AES_256_GCM, &a, &e), &e);
    assert_status(emk_aead_seal(a, NONCE, NONE, SPAN(buf), buf, tag, &e), EMK_E_USAGE, &e);
    assert_status(emk_aead_open(a, NONCE, NONE, SPAN(buf), tag, buf, &e), EMK_E_USAGE, &e);
    assert_status(emk_aead_seal_prefix(a, NONCE, SPAN(buf), buf, &e), EMK_E_USAGE, &e);
    assert_int_equal(buf[0], 1);
    emk_aead_free(a);
    emk_aead_free(NULL);
}

static void refuses_more_bytes_than_one_nonce_may_cover(void **state)
{
    uint8_t one[1] = {1}, tag[16];
    emk_span big = emk_span_of(one, (size_t)EMK_AEAD_MSG_MAX + 1);
    emk_error e;

    (void)state;
    if (SIZE_MAX < EMK_AEAD_MSG_MAX)
        skip(); /* no size_t says so much */
    for (size_t i = 0; i < 3; i++) {
        emk_aead *a = keyed(IDS[i]);

        assert_status(emk_aead_seal(a, NONCE, NONE, big, one, tag, &e), EMK_E_LIMIT, &e);
        assert_status(emk_aead_seal(a, NONCE, big, NONE, one, tag, &e), EMK_E_LIMIT, &e);
        assert_status(emk_aead_open(a, NONCE, NONE, big, tag, one, &e), EMK_E_LIMIT, &e);
        assert_status(emk_aead_seal_prefix(a, NONCE, big, one, &e), EMK_E_LIMIT, &e);
        assert_int_equal(one[0], 1);
        emk_aead_free(a);
    }
}

static void a_prefix_is_the_start_of_the_whole(void **state)
{
    uint8_t plain[300], whole[300], part[300], tag[16];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < 3; i++) {
        emk_aead *a = keyed(IDS[i]);

        assert_ok(emk_aead_seal(a, NONCE, emk_span_str("x"), SPAN(plain), whole, tag, &e), &e);
        for (size_t n = 0; n <= sizeof plain; n += 23) {
            assert_ok(emk_aead_seal_prefix(a, NONCE, emk_span_of(plain, n), part, &e), &e);
            assert_memory_equal(part, whole, n);
        }
        /* and leaves nothing behind that the next message would meet */
        assert_ok(emk_aead_open(a, NONCE, emk_span_str("x"), SPAN(whole), tag, part, &e), &e);
        emk_aead_free(a);
    }
}

static void a_new_key_replaces_the_old_one(void **state)
{
    static const uint8_t other[32] = {7};
    uint8_t a_cipher[16] = {0}, b_cipher[16] = {0}, tag[16], out[16];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        emk_aead *a = keyed(IDS[i]);

        assert_ok(emk_aead_seal(a, NONCE, NONE, SPAN(b_cipher), a_cipher, tag, &e), &e);
        assert_ok(emk_aead_set_key(a, other, &e), &e);
        assert_status(emk_aead_open(a, NONCE, NONE, SPAN(a_cipher), tag, out, &e), EMK_E_SEALED,
                      &e);
        assert_ok(emk_aead_set_key(a, KEY, &e), &e);
        assert_ok(emk_aead_open(a, NONCE, NONE, SPAN(a_cipher), tag, out, &e), &e);
        emk_aead_free(a);
    }
}

#ifdef EMK_FAULTS
static void long_messages_in_several_calls_are_one_message(void **state)
{
    uint8_t plain[1000], aad[100], whole[1000], steps[1000], tag[16], tag2[16];
    emk_error e;

    (void)state;
    memset(plain, 3, sizeof plain);
    memset(aad, 4, sizeof aad);
    for (size_t i = 0; i < 3; i++) {
        emk_aead *a = keyed(IDS[i]);

        assert_ok(emk_aead_seal(a, NONCE, SPAN(aad), SPAN(plain), whole, tag, &e), &e);
        for (size_t step = 1; step < 80; step += 13) {
            emk_aead_hook_step(a, step);
            assert_ok(emk_aead_seal(a, NONCE, SPAN(aad), SPAN(plain), steps, tag2, &e), &e);
            assert_memory_equal(whole, steps, sizeof whole);
            assert_memory_equal(tag, tag2, sizeof tag);
            assert_ok(emk_aead_open(a, NONCE, SPAN(aad), SPAN(steps), tag, steps, &e), &e);
            assert_memory_equal(steps, plain, sizeof plain);
        }
        emk_aead_free(a);
    }
}
#else
static void long_messages_in_several_calls_are_one_message(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    return EMK_RUN(
        emk_rule(aes_256_gcm_of_the_gcm_specification), emk_rule(chacha20_poly1305_of_rfc_8439),
        emk_rule(knows_its_ids_and_refuses_others),
        emk_rule(opens_what_it_sealed_in_place_or_beside),
        emk_rule(refuses_a_change_of_any_bit_and_zeroes_the_output),
        emk_rule(opens_a_part_and_verifies_the_whole),
        emk_rule(refuses_other_lengths_of_the_same_message), emk_rule(refuses_work_without_a_key),
        emk_rule(refuses_more_bytes_than_one_nonce_may_cover),
        emk_rule(a_prefix_is_the_start_of_the_whole), emk_rule(a_new_key_replaces_the_old_one),
        emk_rule(long_messages_in_several_calls_are_one_message));
}
