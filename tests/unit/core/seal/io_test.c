#include "core/seal/io.h"

#include "core/base/os_file.h"
#include "core/seal/record.h"
#include "tests/support/test.h"

#include <unistd.h>

static char *dir;

static int make_file(const char *name, const void *bytes, size_t len)
{
    char path[4200];
    emk_error e;
    int fd;

    assert_ok(emk_os_join(path, sizeof path, dir, name, "", &e), &e);
    assert_ok(emk_os_create_new(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 0, bytes, len, &e), &e);
    return fd;
}

static void reads_the_same_from_memory_and_from_a_file(void **state)
{
    static const uint8_t bytes[] = "0123456789";
    int fd = make_file("same", bytes, 10);
    emk_source memory = emk_source_from_span(emk_span_of(bytes, 10)), file;
    emk_error e;

    (void)state;
    assert_ok(emk_source_from_fd(&fd, &file, &e), &e);
    assert_int_equal(file.len, 10);
    for (uint64_t off = 0; off <= 10; off++) {
        for (size_t len = 0; len <= 10 - off; len++) {
            uint8_t a[10] = {0}, b[10] = {0};

            assert_ok(emk_source_read(&memory, off, a, len, &e), &e);
            assert_ok(emk_source_read(&file, off, b, len, &e), &e);
            assert_memory_equal(a, b, 10);
            assert_memory_equal(a, bytes + off, len);
        }
    }
    emk_os_close(fd);
}

static void rejects_reads_beyond_the_end(void **state)
{
    static const struct {
        uint64_t off;
        size_t len;
    } rows[] = {{0, 11}, {10, 1}, {11, 0}, {5, SIZE_MAX}, {UINT64_MAX, 1}, {UINT64_MAX, SIZE_MAX}};
    uint8_t bytes[10] = {0}, out[1] = {0x5A};
    emk_source s = emk_source_from_span(emk_span_of(bytes, 10));
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_status(emk_source_read(&s, rows[i].off, out, rows[i].len, &e), EMK_E_FORMAT, &e);
    assert_int_equal(out[0], 0x5A);
}

static void rejects_file_that_shrank_since(void **state)
{
    uint8_t bytes[100] = {0}, out[100];
    int fd = make_file("shrinks", bytes, 100);
    emk_source s;
    emk_error e;

    (void)state;
    assert_ok(emk_source_from_fd(&fd, &s, &e), &e);
    assert_int_equal(ftruncate(fd, 50), 0);
    assert_ok(emk_source_read(&s, 0, out, 50, &e), &e);
    assert_status(emk_source_read(&s, 0, out, 51, &e), EMK_E_FORMAT, &e);
    emk_os_close(fd);
}

static void memory_sink_keeps_to_its_room(void **state)
{
    static const struct {
        uint64_t off;
        size_t len;
        emk_status want;
    } rows[] = {{0, 4, EMK_OK},
                {0, 5, EMK_E_USAGE},
                {4, 0, EMK_OK},
                {3, 2, EMK_E_USAGE},
                {5, 0, EMK_E_USAGE},
                {UINT64_MAX, 4, EMK_E_USAGE},
                {2, SIZE_MAX, EMK_E_USAGE}};
    uint8_t room[5] = {0, 0, 0, 0, 0x5A};
    emk_sink s = emk_sink_from_memory(room, 4);
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_status(emk_sink_write(&s, rows[i].off, (const uint8_t *)"abcd", rows[i].len, &e),
                      rows[i].want, &e);
    assert_int_equal(room[4], 0x5A);
}

static void file_sink_writes_at_offsets(void **state)
{
    int fd = make_file("sink", "", 0);
    emk_sink s = emk_sink_from_fd(&fd);
    uint8_t out[7];
    emk_error e;

    (void)state;
    assert_ok(emk_sink_write(&s, 4, (const uint8_t *)"def", 3, &e), &e);
    assert_ok(emk_sink_write(&s, 0, (const uint8_t *)"abcd", 4, &e), &e);
    assert_ok(emk_os_read_at(fd, 0, out, 7, &e), &e);
    assert_memory_equal(out, "abcddef", 7);
    emk_os_close(fd);
}

static void image_over_a_source_sees_its_bytes_and_its_end(void **state)
{
    static emk_image im;
    uint8_t bytes[5000];
    emk_source memory = emk_source_from_span(emk_span_of(bytes, sizeof bytes)), file;
    int fd;
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    fd = make_file("image", bytes, sizeof bytes);
    assert_ok(emk_source_from_fd(&fd, &file, &e), &e);
    for (int i = 0; i < 2; i++) {
        emk_image_from_source(&im, i ? &file : &memory);
        assert_int_equal(im.len, 5000);
        assert_int_equal(emk_image_u8(&im, 4999), bytes[4999]);
        assert_int_equal(emk_image_u8(&im, 4095), bytes[4095]);
        assert_false(im.cut);
        assert_int_equal(emk_image_u8(&im, 5000), 0);
        assert_true(im.cut);
    }
    memory = emk_source_from_span(emk_span_of(NULL, 0));
    emk_image_from_source(&im, &memory);
    assert_int_equal(emk_image_u8(&im, 0), 0);
    assert_true(im.cut);
    emk_os_close(fd);
}

static void zeros_reach_exactly_their_end(void **state)
{
    static uint8_t room[40000];
    static const size_t to[] = {100, 101, 16484, 16485, 39999};
    emk_sink s = emk_sink_from_memory(room, sizeof room);
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof to / sizeof to[0]; i++) {
        memset(room, 0xAA, sizeof room);
        assert_ok(emk_vault_zeros(&s, 100, to[i], &e), &e);
        for (size_t k = 0; k < sizeof room; k++)
            assert_int_equal(room[k], k >= 100 && k < to[i] ? 0 : 0xAA);
    }
    assert_ok(emk_vault_zeros(&s, sizeof room, sizeof room, &e), &e);
    assert_status(emk_vault_zeros(&s, 39000, sizeof room + 1, &e), EMK_E_USAGE, &e);
}

int main(void)
{
    int failed;

    dir = emk_test_dir_make();
    failed =
        EMK_RUN(emk_rule(reads_the_same_from_memory_and_from_a_file),
                emk_rule(rejects_reads_beyond_the_end), emk_rule(rejects_file_that_shrank_since),
                emk_rule(memory_sink_keeps_to_its_room), emk_rule(file_sink_writes_at_offsets),
                emk_rule(image_over_a_source_sees_its_bytes_and_its_end),
                emk_rule(zeros_reach_exactly_their_end));
    emk_test_dir_remove(dir);
    return failed;
}
