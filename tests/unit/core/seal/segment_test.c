#include "core/seal/segment.h"

#include "core/base/alloc.h"
#include "core/crypto/hash.h"
#include "tests/unit/core/seal/world.h"

static emk_crypto *crypto;
static emk_schedule weights, file;

static void make_schedules(void)
{
    uint8_t cek[32] = {1}, hh[32] = {2};
    emk_error e;

    assert_ok(emk_schedule_init(&weights, crypto, EMK_LAYER_WEIGHTS, cek, hh, &e), &e);
    assert_ok(emk_schedule_init(&file, crypto, EMK_LAYER_FILE, cek, hh, &e), &e);
}

/* ---- the sealed part ---- */

#define PART_LEN (2u * EMK_SEGMENT_LEN + 7u)

static void opens_sealed_part_of_several_segments(void **state)
{
    size_t stored_len = (size_t)emk_sealed_part_stored(PART_LEN);
    uint8_t *plain = emk_alloc(PART_LEN, 1), *stored = emk_alloc(stored_len, 1);
    uint8_t *got = emk_alloc(PART_LEN, 1), hash[32];
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    emk_sealed_part part = {.schedule = &weights,
                            .aead = EMK_AEAD_AES_256_GCM,
                            .len = PART_LEN,
                            .hash = hash,
                            .noticed = &noticed};
    emk_span span = emk_span_of(plain, PART_LEN);
    emk_error e;

    (void)state;
    world_fill(plain, PART_LEN);
    assert_ok(emk_sha256(crypto, &span, 1, hash, &e), &e);
    assert_ok(emk_sealed_part_seal(&part, plain, stored, &e), &e);
    assert_ok(emk_sealed_part_open(&part, stored, got, &e), &e);
    assert_memory_equal(got, plain, PART_LEN);
    for (size_t at = 0; at < stored_len; at += 262147) {
        stored[at] ^= 1;
        noticed = EMK_NOTICED_NOTHING;
        assert_status(emk_sealed_part_open(&part, stored, got, &e), EMK_E_SEALED, &e);
        assert_int_equal(noticed, EMK_NOTICED_REGION);
        stored[at] ^= 1;
    }
    /* whoever has the key can make the tags fit, but not the hash that was signed */
    hash[31] ^= 1;
    noticed = EMK_NOTICED_NOTHING;
    assert_status(emk_sealed_part_open(&part, stored, got, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_DIGEST);
    emk_free(plain);
    emk_free(stored);
    emk_free(got);
}

/* ---- segments ---- */

static emk_segment segment(uint8_t kind)
{
    emk_segment seg = {.region = 3, .in_region = 1, .len = 1000, .kind = kind, .last = true};
    return seg;
}

static void opens_a_part_of_a_segment_of_each_kind(void **state)
{
    uint8_t plain[1000], cipher[1000], tag[16], got[100], zeros[100] = {0};
    uint8_t piece[EMK_AEAD_PIECE];
    emk_error e;

    (void)state;
    world_fill(plain, sizeof plain);
    for (uint8_t kind = 0; kind <= 2; kind++) {
        emk_aead_part part = {.tag = tag, .from = 300, .len = 100, .out = got, .piece = piece};
        emk_segment seg = segment(kind);
        emk_segment_cipher c;

        assert_ok(emk_segment_cipher_init(&c, &weights, EMK_AEAD_AES_256_GCM, &e), &e);
        assert_ok(emk_segment_seal(&c, &seg, plain, cipher, tag, &e), &e);
        assert_ok(emk_segment_open_part(&c, &seg, cipher, &part, &e), &e);
        assert_memory_equal(got, plain + 300, sizeof got);
        cipher[999] ^= 1; /* behind it: the whole is verified */
        assert_status(emk_segment_open_part(&c, &seg, cipher, &part, &e), EMK_E_SEALED, &e);
        assert_memory_equal(got, zeros, sizeof got);
        cipher[999] ^= 1;
        part.from = 901;
        assert_status(emk_segment_open_part(&c, &seg, cipher, &part, &e), EMK_E_USAGE, &e);
        emk_segment_cipher_done(&c);
    }
}

/* Number, region, kind and being the last: each is under the tag. */
static void rejects_segment_in_another_place(void **state)
{
    uint8_t plain[1000], cipher[1000], tag[16], got[1000], zeros[1000] = {0};
    emk_error e;

    (void)state;
    world_fill(plain, sizeof plain);
    for (uint8_t kind = 0; kind <= 2; kind++) {
        emk_segment seg = segment(kind), other;
        emk_segment_cipher c;

        assert_ok(emk_segment_cipher_init(&c, &weights, EMK_AEAD_CHACHA20_POLY1305, &e), &e);
        assert_ok(emk_segment_seal(&c, &seg, plain, cipher, tag, &e), &e);
        for (unsigned i = 0; i < 4; i++) {
            other = seg;
            other.region += i == 0;
            other.in_region += i == 1;
            other.last = i != 2;
            if (i == 3)
                other.kind = kind == 2 ? 0 : 2;
            memset(got, 0xEE, sizeof got);
            assert_status(emk_segment_open(&c, &other, cipher, tag, got, &e), EMK_E_SEALED, &e);
            assert_memory_equal(got, zeros, sizeof got);
        }
        assert_ok(emk_segment_open(&c, &seg, cipher, tag, got, &e), &e);
        assert_memory_equal(got, plain, sizeof got);
        emk_segment_cipher_done(&c);
    }
}

static void works_in_place_and_zeroes_in_place(void **state)
{
    uint8_t plain[1000], bytes[1000], tag[16], zeros[1000] = {0};
    emk_error e;

    (void)state;
    world_fill(plain, sizeof plain);
    for (uint8_t kind = 0; kind <= 2; kind++) {
        emk_segment seg = segment(kind);
        emk_segment_cipher c;

        assert_ok(emk_segment_cipher_init(&c, &weights, EMK_AEAD_AES_256_GCM, &e), &e);
        memcpy(bytes, plain, sizeof bytes);
        assert_ok(emk_segment_seal(&c, &seg, bytes, bytes, tag, &e), &e);
        assert_true((memcmp(bytes, plain, sizeof bytes) == 0) == (kind == 2));
        assert_ok(emk_segment_open(&c, &seg, bytes, tag, bytes, &e), &e);
        assert_memory_equal(bytes, plain, sizeof bytes);
        tag[0] ^= 1;
        assert_status(emk_segment_open(&c, &seg, bytes, tag, bytes, &e), EMK_E_SEALED, &e);
        assert_memory_equal(bytes, zeros, sizeof bytes);
        emk_segment_cipher_done(&c);
    }
}

static void prefix_is_the_beginning_of_the_segment(void **state)
{
    uint8_t plain[1000], cipher[1000], tag[16], prefix[1001];
    emk_error e;

    (void)state;
    world_fill(plain, sizeof plain);
    for (uint8_t kind = 0; kind <= 2; kind++) {
        emk_segment seg = segment(kind);
        emk_segment_cipher c;

        assert_ok(emk_segment_cipher_init(&c, &weights, EMK_AEAD_AES_256_GCM, &e), &e);
        assert_ok(emk_segment_seal(&c, &seg, plain, cipher, tag, &e), &e);
        for (size_t len = 0; len <= 1000; len += 125) {
            memset(prefix, 0xEE, sizeof prefix);
            assert_ok(emk_segment_seal_prefix(&c, &seg, plain, prefix, len, &e), &e);
            assert_memory_equal(prefix, cipher, len);
            assert_int_equal(prefix[len], 0xEE);
        }
        emk_segment_cipher_done(&c);
    }
}

/* ---- chunks ---- */

static void chunks_are_counted_as_the_page_says(void **state)
{
    static const struct {
        uint64_t len, n, last;
    } rows[] = {{0, 1, 0},
                {1, 1, 1},
                {65535, 1, 65535},
                {65536, 1, 65536},
                {65537, 2, 1},
                {131072, 2, 65536},
                {UINT64_C(1) << 38, 1 << 22, 65536},
                {(UINT64_C(1) << 38) + 1, (1 << 22) + 1, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(emk_chunks_of(rows[i].len), rows[i].n);
        assert_int_equal(emk_chunk_len(rows[i].len, rows[i].n - 1), rows[i].last);
        if (rows[i].n > 1)
            assert_int_equal(emk_chunk_len(rows[i].len, 0), 65536);
    }
}

static void rejects_chunk_in_another_place_or_of_another_length(void **state)
{
    static uint8_t plain[EMK_CHUNK_LEN], out[EMK_CHUNK_LEN + 16], got[EMK_CHUNK_LEN];
    emk_chunk_cipher c, shorter;
    emk_error e;

    (void)state;
    world_fill(plain, sizeof plain);
    assert_ok(emk_chunk_cipher_init(&c, &file, EMK_AEAD_AES_256_GCM, 3 * EMK_CHUNK_LEN, &e), &e);
    assert_ok(emk_chunk_cipher_init(&shorter, &file, EMK_AEAD_AES_256_GCM, 2 * EMK_CHUNK_LEN, &e),
              &e);
    assert_ok(emk_chunk_seal(&c, 1, plain, out, &e), &e);
    assert_ok(emk_chunk_open(&c, 1, out, got, &e), &e);
    assert_memory_equal(got, plain, sizeof got);
    assert_status(emk_chunk_open(&c, 0, out, got, &e), EMK_E_SEALED, &e);
    assert_int_equal(got[0] | got[65535], 0);
    assert_status(emk_chunk_open(&c, 2, out, got, &e), EMK_E_SEALED, &e);
    /* it is the last one now */
    assert_status(emk_chunk_open(&shorter, 1, out, got, &e), EMK_E_SEALED, &e);
    out[EMK_CHUNK_LEN + 15] ^= 1;
    assert_status(emk_chunk_open(&c, 1, out, got, &e), EMK_E_SEALED, &e);
    assert_string_equal(e.what, "sealed: cannot be opened with the keys held here");
    emk_chunk_cipher_done(&c);
    emk_chunk_cipher_done(&shorter);
}

int main(void)
{
    emk_error e;
    int failed;

    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK)
        return 1;
    make_schedules();
    failed = EMK_RUN(emk_rule(opens_sealed_part_of_several_segments),
                     emk_rule(opens_a_part_of_a_segment_of_each_kind),
                     emk_rule(rejects_segment_in_another_place),
                     emk_rule(works_in_place_and_zeroes_in_place),
                     emk_rule(prefix_is_the_beginning_of_the_segment),
                     emk_rule(chunks_are_counted_as_the_page_says),
                     emk_rule(rejects_chunk_in_another_place_or_of_another_length));
    emk_schedule_done(&weights);
    emk_schedule_done(&file);
    emk_crypto_free(crypto);
    return failed;
}
