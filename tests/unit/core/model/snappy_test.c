#include "core/model/crc32c.h"
#include "core/model/snappy.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/table_build.h"

static emk_image im;
static emk_snappy d;
static uint8_t out[300000];

/* Decodes hex in pieces of `piece` bytes; the status at the end. */
static emk_status decode(const char *hex, size_t piece)
{
    static uint8_t in[4096];
    size_t len = emk_unhex(hex, in, sizeof in);

    emk_image_from_span(&im, emk_span_of(in, len));
    emk_snappy_begin(&d, &im, 0, len);
    while (d.status == EMK_OK && d.produced < d.len) {
        size_t n = d.len - d.produced < piece ? d.len - d.produced : piece;

        if (d.len > sizeof out || !emk_snappy_read(&d, out + d.produced, n))
            break;
    }
    return d.status;
}

static void gives(const char *hex, const char *text)
{
    for (size_t piece = 1; piece < 9; piece++) {
        assert_int_equal(decode(hex, piece), EMK_OK);
        assert_true(emk_snappy_at_end(&d));
        assert_bytes(emk_span_of(out, d.len), emk_span_str(text));
    }
}

static void decodes_literals_and_copies(void **state)
{
    (void)state;
    gives("00", "");
    gives("03 08 616263", "abc");
    gives("03 f0 02 616263", "abc");         /* length in one byte of its own */
    gives("03 f4 0200 616263", "abc");       /* in two */
    gives("03 fc 02000000 616263", "abc");   /* in four */
    gives("0a 04 6162 11 02", "ababababab"); /* 8 from 2 back */
}

static void decodes_copies_of_each_width(void **state)
{
    (void)state;
    gives("06 04 6162 01 02", "ababab"); /* 11 bits: 4 from 2 back */
    gives("05 04 6162 0a 0200", "ababa");
    gives("05 04 6162 0b 02000000", "ababa");
    gives("08 00 61 1a 0100", "aaaaaaaa"); /* reads what it just wrote */
}

static void refuses(const char *hex, emk_status st, const char *what)
{
    assert_int_equal(decode(hex, 7), st);
    assert_string_equal(d.what, what);
}

static void rejects_what_is_not_snappy(void **state)
{
    (void)state;
    refuses("", EMK_E_FORMAT, "snappy: cut short");
    refuses("80", EMK_E_FORMAT, "snappy: cut short");
    refuses("ffffffff1f", EMK_E_FORMAT, "snappy: length");
    refuses("03", EMK_E_FORMAT, "snappy: cut short");
    refuses("03 08 6162", EMK_E_FORMAT, "snappy: cut short");
    refuses("03 f4 02", EMK_E_FORMAT, "snappy: cut short");
    refuses("03 fc ffffffff 61", EMK_E_FORMAT, "snappy: length of a literal");
    refuses("02 08 616263", EMK_E_FORMAT, "snappy: more than its head says");
    refuses("05 04 6162 01 02", EMK_E_FORMAT, "snappy: more than its head says");
    refuses("06 04 6162 01 00", EMK_E_FORMAT, "snappy: copies what was not there yet");
    refuses("06 04 6162 01 03", EMK_E_FORMAT, "snappy: copies what was not there yet");
    refuses("06 01 01", EMK_E_FORMAT, "snappy: copies what was not there yet");
    refuses("06 04 6162 0b ffffffff", EMK_E_FORMAT, "snappy: copies what was not there yet");
}

static void sees_bytes_behind_the_end(void **state)
{
    (void)state;
    assert_int_equal(decode("03 08 616263 00", 3), EMK_OK);
    assert_false(emk_snappy_at_end(&d));
    assert_false(emk_snappy_read(&d, out, 1));
    assert_string_equal(d.what, "snappy: less than was expected");
}

static void refers_back_as_far_as_the_window(void **state)
{
    static uint8_t in[70000 + 64], far[] = {0x0f, 0, 0, 0, 0};
    size_t len = 0, n = 66000;

    (void)state;
    for (uint32_t back = EMK_SNAPPY_WINDOW - 1; back <= EMK_SNAPPY_WINDOW + 1; back++) {
        len = table_varint(in, 0, n + 4);
        in[len++] = 0xf8; /* a literal, its length in three bytes */
        in[len++] = (uint8_t)(n - 1);
        in[len++] = (uint8_t)((n - 1) >> 8);
        in[len++] = (uint8_t)((n - 1) >> 16);
        for (size_t i = 0; i < n; i++)
            in[len++] = (uint8_t)(i * 31 >> 3);
        for (unsigned i = 0; i < 4; i++)
            far[1 + i] = (uint8_t)(back >> 8 * i);
        memcpy(in + len, far, sizeof far);
        len += sizeof far;
        emk_image_from_span(&im, emk_span_of(in, len));
        emk_snappy_begin(&d, &im, 0, len);
        assert_int_equal(emk_snappy_read(&d, out, n + 4), back <= EMK_SNAPPY_WINDOW);
        if (back <= EMK_SNAPPY_WINDOW)
            assert_bytes(emk_span_of(out + n, 4), emk_span_of(out + n - back, 4));
        else
            assert_int_equal(d.status, EMK_E_UNSUPPORTED);
    }
}

static void decodes_what_the_builder_packs(void **state)
{
    static uint8_t text[5000], packed[2 * 5000 + 16];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t) "dense/kernel"[i * i % 7 * (i % 100 < 50)];
    len = snappy_pack(emk_span_of(text, sizeof text), packed);
    assert_in_range(len, 10, sizeof text / 2);
    emk_image_from_span(&im, emk_span_of(packed, len));
    emk_snappy_begin(&d, &im, 0, len);
    assert_true(emk_snappy_read(&d, out, sizeof text));
    assert_true(emk_snappy_at_end(&d));
    assert_bytes(emk_span_of(out, sizeof text), emk_span_of(text, sizeof text));
}

/* The check value of the algorithm, and one of [RFC 3720 B.4]. */
static void computes_checksums_as_others_do(void **state)
{
    static const uint8_t zeros[32] = {0};
    uint32_t crc = emk_crc32c(EMK_CRC32C_INIT, emk_span_str("1234"));

    (void)state;
    assert_int_equal(emk_crc32c(EMK_CRC32C_INIT, emk_span_str("123456789")), 0xE3069283);
    assert_int_equal(emk_crc32c(crc, emk_span_str("56789")), 0xE3069283);
    assert_int_equal(emk_crc32c(EMK_CRC32C_INIT, emk_span_of(zeros, 32)), 0x8A9136AA);
}

int main(void)
{
    return EMK_RUN(emk_rule(decodes_literals_and_copies), emk_rule(decodes_copies_of_each_width),
                   emk_rule(rejects_what_is_not_snappy), emk_rule(sees_bytes_behind_the_end),
                   emk_rule(refers_back_as_far_as_the_window),
                   emk_rule(decodes_what_the_builder_packs),
                   emk_rule(computes_checksums_as_others_do));
}
