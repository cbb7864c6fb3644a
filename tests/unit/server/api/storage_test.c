#include "server/api/storage.h"

#include "tests/support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK 65536u
#define HEAD  64u /* of the blob's file and the commitment */

typedef struct world {
    char *dir;
    emk_crypto *crypto;
    emk_blobs blobs;
    uint8_t object[32], key[32];
    emk_storage_file file;
} world;

static int make(void **state)
{
    world *w = calloc(1, sizeof *w);
    emk_blobs_directory o = {.quota_bytes = 1 << 20};
    emk_error e = {0};

    w->dir = emk_test_dir_make();
    o.path = w->dir;
    assert_ok(emk_crypto_new(NULL, NULL, &w->crypto, &e), &e);
    assert_ok(emk_blobs_open_directory(&o, &w->blobs, &e), &e);
    memset(w->object, 1, sizeof w->object);
    memset(w->key, 2, sizeof w->key);
    w->file = (emk_storage_file){w->crypto, &w->blobs, w->object, w->key, EMK_STORAGE_MODEL};
    *state = w;
    return 0;
}

static size_t count_files(const world *w, char path[512])
{
    DIR *d = opendir(w->dir);
    size_t n = 0;

    assert_non_null(d);
    for (struct dirent *f = readdir(d); f; f = readdir(d))
        if (strlen(f->d_name) > 8) {
            snprintf(path, 512, "%s/%s", w->dir, f->d_name);
            n++;
        }
    closedir(d);
    return n;
}

static int unmake(void **state)
{
    world *w = *state;

    emk_blobs_close(&w->blobs);
    emk_test_dir_remove(w->dir);
    emk_crypto_free(w->crypto);
    free(w);
    return 0;
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8) * 13 + 1);
}

static uint8_t *bytes_of(size_t len)
{
    uint8_t *p = malloc(len);

    assert_non_null(p);
    for (size_t i = 0; i < len; i++)
        p[i] = byte_at(i);
    return p;
}

static emk_status store(world *w, size_t len, size_t step, emk_error *e)
{
    emk_storage_new n = {.file = w->file, .len = len};
    uint8_t *p = bytes_of(len);
    emk_storage_writer *to = NULL;
    emk_status st = emk_storage_create(&n, &to, e);

    for (size_t at = 0; st == EMK_OK && at < len; at += step)
        st = emk_storage_append(to, emk_span_of(p + at, len - at < step ? len - at : step), e);
    free(p);
    if (st == EMK_OK)
        return emk_storage_finish(to, e);
    emk_storage_abort(to);
    return st;
}

static void reads_back_what_was_written(void **state)
{
    static const size_t LENGTHS[] = {1,         17,        CHUNK - 1,     CHUNK,
                                     CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5, 200000};
    world *w = *state;
    emk_error e = {0};

    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        size_t len = LENGTHS[i];
        uint8_t *want = bytes_of(len), *got = malloc(len);
        emk_storage_reader *r = NULL;

        assert_ok(store(w, len, 1000 + i, &e), &e);
        assert_ok(emk_storage_open(&w->file, 1, &r, &e), &e);
        assert_int_equal(emk_storage_len(r), len);
        assert_ok(emk_storage_read(r, 0, got, len, &e), &e);
        assert_memory_equal(got, want, len);
        for (size_t at = 0; at < len; at += 9973)
            for (size_t n = 1; n < len - at; n *= 40) {
                assert_ok(emk_storage_read(r, at, got, n, &e), &e);
                assert_memory_equal(got, want + at, n);
            }
        emk_storage_close(r);
        assert_ok(emk_storage_remove(&w->file, &e), &e);
        free(want);
        free(got);
    }
}

static void rejects_places_beyond_the_end(void **state)
{
    world *w = *state;
    emk_storage_reader *r = NULL;
    uint8_t room[16];
    emk_error e = {0};

    assert_ok(store(w, 1000, 1000, &e), &e);
    assert_ok(emk_storage_open(&w->file, 1, &r, &e), &e);
    assert_status(emk_storage_read(r, 1000, room, 1, &e), EMK_E_LIMIT, &e);
    assert_status(emk_storage_read(r, 990, room, 11, &e), EMK_E_LIMIT, &e);
    assert_status(emk_storage_read(r, UINT64_MAX, room, 2, &e), EMK_E_LIMIT, &e);
    assert_ok(emk_storage_read(r, 1000, room, 0, &e), &e);
    emk_storage_close(r);
}

static void rejects_another_object_key_or_part(void **state)
{
    world *w = *state;
    emk_storage_file other = w->file;
    uint8_t object[32] = {9}, key[32] = {9};
    emk_storage_reader *r = NULL;
    emk_error e = {0};

    assert_ok(store(w, 1000, 1000, &e), &e);
    other.object = object;
    assert_status(emk_storage_open(&other, 1, &r, &e), EMK_E_NOT_FOUND, &e);
    other = w->file;
    other.part = EMK_STORAGE_PLAN;
    assert_status(emk_storage_open(&other, 1, &r, &e), EMK_E_NOT_FOUND, &e);
    other = w->file;
    other.key = key;
    assert_status(emk_storage_open(&other, 1, &r, &e), EMK_E_SEALED, &e);
    assert_null(r);
}

static void flip(const char *path, long at)
{
    int fd = open(path, O_RDWR);
    uint8_t c;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= 1;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

static void rejects_changed_bytes(void **state)
{
    world *w = *state;
    uint8_t *room = malloc(3 * CHUNK);
    emk_storage_reader *r = NULL;
    char path[512];
    emk_error e = {0};

    assert_ok(store(w, 3 * CHUNK, CHUNK, &e), &e);
    assert_int_equal(count_files(w, path), 1);
    flip(path, HEAD + CHUNK + 16 + 5); /* in chunk 1 */
    assert_ok(emk_storage_open(&w->file, 1, &r, &e), &e);
    assert_ok(emk_storage_read(r, 0, room, CHUNK, &e), &e);
    assert_status(emk_storage_read(r, 0, room, 3 * CHUNK, &e), EMK_E_SEALED, &e);
    memset(room, 0x55, 10);
    assert_status(emk_storage_read(r, CHUNK + 1, room, 10, &e), EMK_E_SEALED, &e);
    assert_int_equal(room[0], 0x55);
    assert_ok(emk_storage_read(r, 2 * (uint64_t)CHUNK, room, CHUNK, &e), &e);
    emk_storage_close(r);
    flip(path, 40); /* the commitment */
    r = NULL;
    assert_status(emk_storage_open(&w->file, 1, &r, &e), EMK_E_SEALED, &e);
    free(room);
}

static emk_blob_new blob_like(const emk_span *id)
{
    return (emk_blob_new){.id = *id, .durable = false};
}

/* The last chunk is told by its nonce: a file cut between two chunks does not open there. */
static void rejects_a_file_that_was_cut_or_extended(void **state)
{
    static const size_t LENGTHS[] = {32 + CHUNK + 16, 32 + 100, 32 + 16, 32, 5};
    world *w = *state;
    char path[512], name[65];
    uint8_t id[32], *whole = malloc(32 + 2 * (CHUNK + 16)), room[CHUNK];
    emk_span as_span = {id, sizeof id};
    emk_error e = {0};
    int fd;

    assert_ok(store(w, 2 * CHUNK, CHUNK, &e), &e);
    assert_int_equal(count_files(w, path), 1);
    memcpy(name, strrchr(path, '/') + 1, 65);
    for (size_t i = 0; i < 32; i++) {
        char two[3] = {name[2 * i], name[2 * i + 1], 0};

        id[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, whole, 32 + 2 * (CHUNK + 16), 32), 32 + 2 * (CHUNK + 16));
    close(fd);
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        emk_blob_new n = blob_like(&as_span);
        emk_blob_writer b;
        emk_storage_reader *r = NULL;
        emk_status st;

        assert_ok(emk_blob_remove(&w->blobs, as_span, &e), &e);
        assert_ok(emk_blob_create(&w->blobs, &n, &b, &e), &e);
        assert_ok(emk_blob_append(&b, emk_span_of(whole, LENGTHS[i]), &e), &e);
        assert_ok(emk_blob_finish(&b, &e), &e);
        st = emk_storage_open(&w->file, 1, &r, &e);
        if (st == EMK_OK)
            st = emk_storage_read(r, 0, room, (size_t)emk_storage_len(r), &e);
        assert_true(st == EMK_E_SEALED || st == EMK_E_FORMAT);
        emk_storage_close(r);
    }
    free(whole);
}

static void a_writer_takes_what_was_said_and_no_more(void **state)
{
    world *w = *state;
    emk_storage_new n = {.file = w->file, .len = 10};
    emk_storage_writer *to = NULL;
    char path[512];
    emk_error e = {0};

    assert_ok(emk_storage_create(&n, &to, &e), &e);
    assert_status(emk_storage_append(to, emk_span_str("eleven byte"), &e), EMK_E_LIMIT, &e);
    assert_ok(emk_storage_append(to, emk_span_str("nine byte"), &e), &e);
    assert_status(emk_storage_finish(to, &e), EMK_E_USAGE, &e);
    assert_int_equal(count_files(w, path), 0);
    n.len = 0;
    assert_status(emk_storage_create(&n, &to, &e), EMK_E_USAGE, &e);
    n.len = (UINT64_C(1) << 38) + 1;
    assert_status(emk_storage_create(&n, &to, &e), EMK_E_USAGE, &e);
}

static void nothing_is_seen_before_the_end(void **state)
{
    world *w = *state;
    emk_storage_new n = {.file = w->file, .len = 10};
    emk_storage_writer *to = NULL, *second = NULL;
    emk_storage_reader *r = NULL;
    emk_error e = {0};

    assert_ok(emk_storage_create(&n, &to, &e), &e);
    assert_ok(emk_storage_append(to, emk_span_str("ten bytes."), &e), &e);
    assert_status(emk_storage_open(&w->file, 1, &r, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_storage_create(&n, &second, &e), EMK_E_USED, &e);
    assert_ok(emk_storage_finish(to, &e), &e);
    assert_ok(emk_storage_open(&w->file, 1, &r, &e), &e);
    emk_storage_close(r);
    assert_status(emk_storage_create(&n, &second, &e), EMK_E_USED, &e);
}

static void a_full_store_is_a_full_disk(void **state)
{
    world *w = *state;
    char path[512];
    emk_error e = {0};

    assert_status(store(w, 2 << 20, 100000, &e), EMK_E_IO, &e);
    assert_int_equal(e.where, ENOSPC);
    assert_int_equal(count_files(w, path), 0);
}

static void spooled_files_expire(void **state)
{
    world *w = *state;
    emk_storage_new n = {.file = w->file, .len = 4, .expires_s = 100};
    emk_storage_writer *to = NULL;
    emk_storage_reader *r = NULL;
    uint64_t swept = 0;
    emk_error e = {0};

    assert_ok(emk_storage_create(&n, &to, &e), &e);
    assert_ok(emk_storage_append(to, emk_span_str("four"), &e), &e);
    assert_ok(emk_storage_finish(to, &e), &e);
    assert_ok(emk_storage_open(&w->file, 99, &r, &e), &e);
    emk_storage_close(r);
    assert_status(emk_storage_open(&w->file, 100, &r, &e), EMK_E_NOT_FOUND, &e);
    assert_ok(emk_blobs_sweep(&w->blobs, 100, &swept, &e), &e);
    assert_int_equal(swept, 1);
    assert_ok(emk_storage_remove(&w->file, &e), &e);
}

static void the_same_bytes_twice_look_different(void **state)
{
    world *w = *state;
    char path[512];
    uint8_t first[200], second[200], object[32] = {5};
    emk_error e = {0};

    for (int i = 0; i < 2; i++) {
        int fd;

        assert_ok(store(w, 100, 100, &e), &e);
        assert_int_equal(count_files(w, path), 1);
        fd = open(path, O_RDONLY);
        assert_int_equal(pread(fd, i ? second : first, 148, 32), 148);
        close(fd);
        assert_ok(emk_storage_remove(&w->file, &e), &e);
        w->file.object = object;
    }
    assert_memory_not_equal(first, second, 32);
    assert_memory_not_equal(first + 32, second + 32, 100);
}

#define RULE(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
    return EMK_RUN(RULE(reads_back_what_was_written), RULE(rejects_places_beyond_the_end),
                   RULE(rejects_another_object_key_or_part), RULE(rejects_changed_bytes),
                   RULE(rejects_a_file_that_was_cut_or_extended),
                   RULE(a_writer_takes_what_was_said_and_no_more),
                   RULE(nothing_is_seen_before_the_end), RULE(a_full_store_is_a_full_disk),
                   RULE(spooled_files_expire), RULE(the_same_bytes_twice_look_different));
}
