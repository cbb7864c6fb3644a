#include "core/base/image.h"
#include "tests/support/test.h"

#define LEN (3u * EMK_IMAGE_PAGE + 100u)

static uint8_t bytes[LEN];
static emk_image im;

typedef struct source {
    uint64_t n_reads;
    uint64_t fail_page; /* the read of this page fails */
    bool outside;       /* something beyond the end was asked for */
} source;

static emk_status read_source(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    source *s = self;

    s->n_reads++;
    if (off > LEN || len > LEN - off) {
        s->outside = true;
        return emk_fail(e, EMK_E_USAGE, "outside", off);
    }
    if (off / EMK_IMAGE_PAGE == s->fail_page)
        return emk_fail(e, EMK_E_IO, "read", 5);
    memcpy(out, bytes + off, len);
    return EMK_OK;
}

static void flip(void *self, uint64_t off, uint8_t *p, size_t len)
{
    uint64_t *seen = self;

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(p[i] ^ 0xff ^ (off + i == 5000));
    (*seen)++;
}

static void fill(void)
{
    for (size_t i = 0; i < LEN; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
}

static void from_reader(source *s)
{
    fill();
    *s = (source){0, UINT64_MAX, false};
    emk_image_from_reader(&im, LEN, read_source, s);
}

/* The same questions to a buffer, a reader and a masked buffer. */
static void assert_reads_everywhere(uint8_t mask)
{
    static const uint64_t offs[] = {
        0, 1, EMK_IMAGE_PAGE - 3, EMK_IMAGE_PAGE, 2 * EMK_IMAGE_PAGE - 1, LEN - 8};
    uint8_t copy[8];

    for (size_t i = 0; i < sizeof offs / sizeof offs[0]; i++) {
        uint64_t o = offs[i], le = 0;

        for (unsigned k = 8; k-- > 0;)
            le = le << 8 | (uint8_t)(bytes[o + k] ^ mask);
        assert_true(emk_image_u64le(&im, o) == le);
        assert_true(emk_image_u32le(&im, o) == (uint32_t)le);
        assert_int_equal(emk_image_u16le(&im, o), (uint16_t)le);
        assert_int_equal(emk_image_u8(&im, o), (uint8_t)le);
        emk_image_copy(&im, o, copy, sizeof copy);
        assert_int_equal(copy[7], (uint8_t)(bytes[o + 7] ^ mask));
        assert_true(emk_image_equal(&im, o, emk_span_of(copy, sizeof copy)));
        copy[7] ^= 1;
        assert_false(emk_image_equal(&im, o, emk_span_of(copy, sizeof copy)));
    }
    assert_false(im.cut);
}

static void buffer_and_file_read_the_same(void **state)
{
    source s;

    (void)state;
    from_reader(&s);
    assert_reads_everywhere(0);
    assert_false(s.outside);
    emk_image_from_span(&im, emk_span_of(bytes, LEN));
    assert_reads_everywhere(0);
    assert_ok(emk_image_check(&im, "x", NULL), NULL);
}

static void pages_are_read_once(void **state)
{
    source s;

    (void)state;
    from_reader(&s);
    for (int round = 0; round < 3; round++) {
        for (uint64_t off = 0; off < LEN; off += 50)
            assert_int_equal(emk_image_u8(&im, off), bytes[off]);
    }
    assert_int_equal(s.n_reads, 4);
}

static void windows_cover_the_file(void **state)
{
    source s;
    uint64_t off = 0;
    size_t n, n_windows = 0;

    (void)state;
    from_reader(&s);
    while (off < LEN) {
        const uint8_t *p = emk_image_window(&im, off, &n);

        assert_non_null(p);
        assert_true(n > 0 && n <= LEN - off);
        assert_memory_equal(p, bytes + off, n);
        off += n;
        n_windows++;
    }
    assert_int_equal(n_windows, 4);
    emk_image_from_span(&im, emk_span_of(bytes, LEN));
    assert_ptr_equal(emk_image_window(&im, 3, &n), bytes + 3);
    assert_int_equal(n, LEN - 3);
}

static void more_pages_than_the_cache_holds_are_right(void **state)
{
    static uint8_t large[40 * EMK_IMAGE_PAGE];
    uint32_t x = 1;
    uint64_t seen = 0;

    (void)state;
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i >> 12 ^ i);
    emk_image_from_span(&im, emk_span_of(large, sizeof large));
    emk_image_set_mask(&im, flip, &seen);
    for (int i = 0; i < 5000; i++) {
        size_t off;

        x = x * 1664525 + 1013904223;
        off = x % sizeof large;
        if (off != 5000)
            assert_int_equal(emk_image_u8(&im, off), large[off] ^ 0xff);
    }
    assert_true(seen > EMK_IMAGE_PAGES);
}

static void mask_changes_what_is_read_and_nothing_else(void **state)
{
    uint8_t before[LEN];
    uint64_t seen = 0;
    source s;

    (void)state;
    fill();
    memcpy(before, bytes, LEN);
    emk_image_from_span(&im, emk_span_of(bytes, LEN));
    emk_image_set_mask(&im, flip, &seen);
    assert_reads_everywhere(0xff);
    assert_int_equal(emk_image_u8(&im, 5000), bytes[5000] ^ 0xfe); /* the mask knows where it is */
    assert_int_equal(seen, 4);
    assert_memory_equal(bytes, before, LEN);

    from_reader(&s);
    assert_int_equal(emk_image_u8(&im, 0), bytes[0]);
    emk_image_set_mask(&im, flip, &seen);
    assert_int_equal(emk_image_u8(&im, 0), bytes[0] ^ 0xff); /* the cached page is forgotten */
}

static void reading_past_the_end_is_remembered(void **state)
{
    source s;
    uint8_t out[4] = {9, 9, 9, 9};
    emk_error e;

    (void)state;
    from_reader(&s);
    assert_true(emk_image_u32le(&im, LEN - 3) == 0);
    assert_true(im.cut);
    assert_int_equal(im.cut_at, LEN - 3);
    emk_image_copy(&im, UINT64_MAX - 1, out, 4);
    assert_memory_equal(out, "\0\0\0\0", 4);
    assert_int_equal(im.cut_at, LEN - 3);
    assert_status(emk_image_check(&im, "model: cut short", &e), EMK_E_FORMAT, &e);
    assert_string_equal(e.what, "model: cut short");
    assert_int_equal(e.where, LEN - 3);
    assert_false(s.outside);
}

static void window_past_the_end_is_null(void **state)
{
    source s;
    size_t n = 77;

    (void)state;
    from_reader(&s);
    assert_null(emk_image_window(&im, LEN, &n));
    assert_true(im.cut);
    assert_int_equal(n, 77);
    emk_image_from_span(&im, emk_span_of(NULL, 0));
    assert_null(emk_image_window(&im, 0, &n));
}

static void equal_past_the_end_is_false(void **state)
{
    source s;

    (void)state;
    from_reader(&s);
    assert_false(emk_image_equal(&im, LEN - 2, emk_span_of(bytes, 3)));
    assert_true(im.cut);
}

static void has_asks_without_setting_anything(void **state)
{
    source s;

    (void)state;
    from_reader(&s);
    assert_true(emk_image_has(&im, 0, LEN));
    assert_true(emk_image_has(&im, LEN, 0));
    assert_false(emk_image_has(&im, LEN, 1));
    assert_false(emk_image_has(&im, LEN + 1, 0));
    assert_false(emk_image_has(&im, 1, UINT64_MAX));
    assert_false(im.cut);
}

static void failed_read_gives_zeros_and_its_status(void **state)
{
    source s;
    uint8_t out[8];
    emk_error e;

    (void)state;
    from_reader(&s);
    s.fail_page = 1;
    memset(out, 9, sizeof out);
    emk_image_copy(&im, EMK_IMAGE_PAGE - 4, out, 8);
    assert_memory_equal(out, "\0\0\0\0\0\0\0\0", 8);
    assert_status(emk_image_check(&im, "model", &e), EMK_E_IO, &e);
    assert_int_equal(e.where, EMK_IMAGE_PAGE);
    s.fail_page = UINT64_MAX; /* the page was not kept as read */
    assert_int_equal(emk_image_u8(&im, EMK_IMAGE_PAGE), bytes[EMK_IMAGE_PAGE]);
    assert_true(im.cut);
}

static void epoch_tells_when_a_window_is_stale(void **state)
{
    static uint8_t large[(EMK_IMAGE_PAGES + 1) * EMK_IMAGE_PAGE];
    uint64_t seen = 0, epoch;

    (void)state;
    emk_image_from_span(&im, emk_span_of(large, sizeof large));
    emk_image_set_mask(&im, flip, &seen);
    (void)emk_image_u8(&im, 0);
    epoch = im.epoch;
    (void)emk_image_u8(&im, 100);
    assert_true(im.epoch == epoch);
    for (uint64_t page = 1; page <= EMK_IMAGE_PAGES; page++)
        (void)emk_image_u8(&im, page * EMK_IMAGE_PAGE);
    assert_true(im.epoch > epoch);
    epoch = im.epoch;
    emk_image_set_mask(&im, flip, &seen);
    assert_true(im.epoch > epoch);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(buffer_and_file_read_the_same), emk_rule(pages_are_read_once),
        emk_rule(windows_cover_the_file), emk_rule(more_pages_than_the_cache_holds_are_right),
        emk_rule(mask_changes_what_is_read_and_nothing_else),
        emk_rule(reading_past_the_end_is_remembered), emk_rule(window_past_the_end_is_null),
        emk_rule(equal_past_the_end_is_false), emk_rule(has_asks_without_setting_anything),
        emk_rule(failed_read_gives_zeros_and_its_status),
        emk_rule(epoch_tells_when_a_window_is_stale));
}
