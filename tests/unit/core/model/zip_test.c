#include "core/model/extents.h"
#include "tests/support/test.h"
#include "tests/unit/core/model/fb_build.h"
#include "tests/unit/core/model/model_check.h"

enum { STORED = 0, DEFLATED = 8 };

static model_check check;

/* An archive under construction; the directory grows beside the members. */
typedef struct zip {
    uint8_t p[16384];
    size_t len;
    uint8_t directory[4096];
    size_t directory_len;
    uint16_t n;
    bool big; /* 64-bit fields everywhere */
} zip;

static void put(uint8_t *p, size_t *len, uint64_t v, unsigned width)
{
    for (unsigned i = 0; i < width; i++)
        p[(*len)++] = (uint8_t)(i < 8 ? v >> 8 * i : 0);
}

static void put_bytes(uint8_t *p, size_t *len, const void *bytes, size_t n)
{
    memcpy(p + *len, bytes, n);
    *len += n;
}

static void zip_begin(zip *z)
{
    memset(z, 0, sizeof *z);
}

static void put_entry(zip *z, uint16_t method, const char *name, size_t local, size_t len)
{
    uint8_t *d = z->directory;
    size_t *n = &z->directory_len;

    put(d, n, 0x02014b50, 4);
    put(d, n, 0, 6);
    put(d, n, method, 2);
    put(d, n, 0, 8);
    put(d, n, z->big ? UINT32_MAX : len, 4);
    put(d, n, z->big ? UINT32_MAX : len, 4);
    put(d, n, strlen(name), 2);
    put(d, n, z->big ? 34 : 0, 2);
    put(d, n, 0, 10);
    put(d, n, z->big ? UINT32_MAX : local, 4);
    put_bytes(d, n, name, strlen(name));
    if (z->big) {
        put(d, n, 0x7777, 2); /* somebody's field, then the 64-bit one */
        put(d, n, 2, 2);
        put(d, n, 0, 2);
        put(d, n, 1, 2);
        put(d, n, 24, 2);
        put(d, n, len, 8);
        put(d, n, len, 8);
        put(d, n, local, 8);
    }
}

/* Adds a member; returns where its bytes are. */
static size_t zip_add(zip *z, uint16_t method, const char *name, const void *bytes, size_t len)
{
    size_t local = z->len;

    put_entry(z, method, name, local, len);
    put(z->p, &z->len, 0x04034b50, 4);
    put(z->p, &z->len, 0, 4);
    put(z->p, &z->len, method, 2);
    put(z->p, &z->len, 0, 16);
    put(z->p, &z->len, strlen(name), 2);
    put(z->p, &z->len, 3, 2); /* an extra field only here, as PyTorch pads */
    put_bytes(z->p, &z->len, name, strlen(name));
    put(z->p, &z->len, 0, 3);
    if (bytes)
        memcpy(z->p + z->len, bytes, len);
    z->len += len;
    z->n++;
    return z->len - len;
}

/* Writes directory and end; returns where the end record is. */
static size_t zip_end(zip *z)
{
    size_t directory = z->len, end64, end;

    put_bytes(z->p, &z->len, z->directory, z->directory_len);
    if (z->big) {
        end64 = z->len;
        put(z->p, &z->len, 0x06064b50, 4);
        put(z->p, &z->len, 44, 8);
        put(z->p, &z->len, 0, 12);
        put(z->p, &z->len, z->n, 8);
        put(z->p, &z->len, z->n, 8);
        put(z->p, &z->len, z->directory_len, 8);
        put(z->p, &z->len, directory, 8);
        put(z->p, &z->len, 0x07064b50, 4);
        put(z->p, &z->len, 0, 4);
        put(z->p, &z->len, end64, 8);
        put(z->p, &z->len, 1, 4);
    }
    end = z->len;
    put(z->p, &z->len, 0x06054b50, 4);
    put(z->p, &z->len, 0, 4);
    put(z->p, &z->len, z->n, 2);
    put(z->p, &z->len, z->n, 2);
    put(z->p, &z->len, z->big ? UINT32_MAX : z->directory_len, 4);
    put(z->p, &z->len, z->big ? UINT32_MAX : directory, 4);
    put(z->p, &z->len, 0, 2);
    return end;
}

static emk_status run(const zip *z, uint32_t flags)
{
    return model_check_all(&check, EMK_MODEL_ZIP, emk_span_of(z->p, z->len), flags);
}

#define refuses(z, st, why)                     \
    do {                                        \
        assert_status(run(z, 0), st, &check.e); \
        assert_string_equal(check.e.what, why); \
    } while (0)

static zip z;

/* The archive most refusals bend: two members, the second a storage of 32 bytes. */
static size_t two_members(size_t *data, size_t *directory)
{
    size_t at, end;

    zip_begin(&z);
    zip_add(&z, STORED, "m/data.pkl", NULL, 20);
    at = zip_add(&z, STORED, "m/data/0", NULL, 32);
    if (data)
        *data = at;
    if (directory)
        *directory = z.len;
    end = zip_end(&z);
    return end;
}

/* Drops the checksums from the list; how many there are. */
static uint32_t keep_weights(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < check.x.n; i++) {
        if (check.v[i].kind != EMK_TENSOR_CHECKSUM)
            check.v[n++] = check.v[i];
    }
    return n;
}

static bool has_checksum_at(size_t at)
{
    for (uint32_t i = 0; i < check.x.n; i++) {
        if (check.v[i].kind == EMK_TENSOR_CHECKSUM && check.v[i].offset == at &&
            check.v[i].length == 4)
            return true;
    }
    return false;
}

static void emits_the_storages_of_pytorch(void **state)
{
    static const char *const weights[] = {"m/data/0", "m/data/17", "m/constants/3",
                                          "m/data/weights/weight_0", "m/data/constants/tensor_5"};
    static const char *const others[] = {"m/data.pkl", "m/data/x",  "m/data/",
                                         "m/data/1x",  "m/.data/0", "data/0",
                                         "/data/0",    "m/code/0",  "m/version"};

    (void)state;
    for (int big = 0; big < 2; big++) {
        zip_begin(&z);
        z.big = big;
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
            zip_add(&z, STORED, others[i], NULL, 10);
        for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
            zip_add(&z, STORED, weights[i], NULL, 100 + i);
        zip_end(&z);
        assert_ok(run(&z, 0), &check.e);
        assert_int_equal(keep_weights(), 5);
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(check.v[i].length, 100 + i);
            assert_bytes(emk_span_of(z.p + check.v[i].name_off, check.v[i].name_len),
                         emk_span_str(weights[i]));
        }
        assert_int_equal(check.report.clear[EMK_CLEAR_MEMBER], 90);
        assert_int_equal(check.report.checksum_bytes, 5 * 2 * 4);
    }
}

/* A TensorFlow Lite file with one buffer of 24 bytes; returns where they are in it. */
static uint32_t small_tflite(fb_build *b)
{
    static const uint8_t model_widths[] = {4, 0, 0, 0, 4}, buffer_widths[] = {4};
    uint32_t model, buffers, table, data;

    fb_build_init(b, "TFL3");
    model = fb_build_table(b, model_widths, 5);
    fb_build_ref(b, 0, model);
    fb_build_put_slot(b, model, 0, 3, 4);
    buffers = fb_build_vector(b, 2, 4);
    fb_build_ref_slot(b, model, 4, buffers);
    fb_build_ref(b, buffers + 4, fb_build_table(b, NULL, 0));
    table = fb_build_table(b, buffer_widths, 1);
    fb_build_ref(b, buffers + 8, table);
    data = fb_build_vector(b, 24, 1);
    fb_build_ref_slot(b, table, 0, data);
    return data + 4;
}

static void scans_tflite_members_where_they_are(void **state)
{
    fb_build b;
    uint32_t inside = small_tflite(&b);
    size_t first, second;

    (void)state;
    zip_begin(&z);
    first = zip_add(&z, STORED, "a.tflite", b.p, b.len);
    zip_add(&z, STORED, "labels.txt", "cat", 3);
    second = zip_add(&z, STORED, "b.tflite", b.p, b.len);
    zip_end(&z);
    assert_ok(run(&z, 0), &check.e);
    assert_int_equal(keep_weights(), 2);
    assert_int_equal(check.v[0].offset, first + inside);
    assert_int_equal(check.v[0].length, 24);
    assert_int_equal(check.v[1].offset, second + inside);
    fb_build_done(&b);
}

static void refuses_what_a_tflite_member_is_refused_for(void **state)
{
    fb_build b;

    (void)state;
    small_tflite(&b);
    zip_begin(&z);
    zip_add(&z, STORED, "a.tflite", b.p, b.len - 8); /* the next member is not its rest */
    zip_add(&z, STORED, "m/data/0", NULL, 64);
    zip_end(&z);
    assert_status(run(&z, 0), EMK_E_FORMAT, &check.e);
    fb_build_done(&b);
}

static void reports_compressed_weights(void **state)
{
    (void)state;
    zip_begin(&z);
    zip_add(&z, DEFLATED, "m/data/0", NULL, 50);
    zip_add(&z, DEFLATED, "a.tflite", NULL, 60);
    zip_add(&z, DEFLATED, "m/code/x.py", NULL, 70);
    zip_end(&z);
    assert_ok(run(&z, 0), &check.e);
    assert_int_equal(check.report.clear[EMK_CLEAR_COMPRESSED], 110);
    assert_int_equal(check.report.clear[EMK_CLEAR_MEMBER], 70);
    assert_status(run(&z, EMK_MODEL_STRICT), EMK_E_UNSUPPORTED, &check.e);
}

static void finds_the_end_behind_a_comment(void **state)
{
    size_t end = two_members(NULL, NULL);

    (void)state;
    z.p[end + 20] = 100;
    z.len += 100;
    assert_ok(run(&z, 0), &check.e);
    assert_int_equal(keep_weights(), 1);
    z.len++;
    refuses(&z, EMK_E_FORMAT, "zip: no end record");
}

static void accepts_bytes_before_the_first_member(void **state)
{
    (void)state;
    zip_begin(&z);
    z.len = 2;
    zip_add(&z, STORED, "m/data/0", NULL, 32);
    zip_end(&z);
    assert_ok(run(&z, 0), &check.e);
    assert_int_equal(keep_weights(), 1);
    assert_int_equal(emk_model_detect(&check.im, NULL), EMK_MODEL_ZIP);
}

static void emits_the_checksums_of_weights_and_of_nothing_else(void **state)
{
    size_t data, directory;

    (void)state;
    two_members(&data, &directory);
    assert_ok(run(&z, 0), &check.e);
    assert_int_equal(check.x.n, 3);
    assert_true(has_checksum_at(data - 3 - 8 - 30 + 14));
    assert_true(has_checksum_at(directory + 46 + strlen("m/data.pkl") + 16));
}

/* Writers that learn the checksum last put it behind the bytes, in four ways. */
static void finds_checksums_behind_the_bytes(void **state)
{
    (void)state;
    for (int signature = 0; signature < 2; signature++) {
        for (unsigned width = 4; width <= 8; width += 4) {
            size_t behind, entry;

            zip_begin(&z);
            zip_add(&z, STORED, "m/data/0", NULL, 32);
            z.p[6] = 8;
            z.directory[8] = 8;
            behind = z.len;
            if (signature)
                put(z.p, &z.len, 0x08074b50, 4);
            put(z.p, &z.len, 0x12345678, 4);
            put(z.p, &z.len, 32, width);
            put(z.p, &z.len, 32, width);
            entry = z.len;
            zip_end(&z);
            assert_ok(run(&z, 0), &check.e);
            assert_int_equal(check.x.n, 4);
            assert_true(has_checksum_at(behind + (signature ? 4 : 0)));
            assert_true(has_checksum_at(entry + 16));
            z.p[behind + (signature ? 4 : 0) + 4] = 31;
            refuses(&z, EMK_E_FORMAT, "zip: checksum behind a member");
        }
    }
}

static void takes_the_weights_of_keras_for_one_tensor(void **state)
{
    size_t at;

    (void)state;
    zip_begin(&z);
    zip_add(&z, STORED, "config.json", NULL, 10);
    at = zip_add(&z, STORED, "model.weights.h5", NULL, 200);
    zip_end(&z);
    assert_ok(run(&z, 0), &check.e);
    assert_int_equal(keep_weights(), 1);
    assert_int_equal(check.v[0].offset, at);
    assert_int_equal(check.v[0].length, 200);
    zip_begin(&z);
    zip_add(&z, DEFLATED, "model.weights.h5", NULL, 200);
    zip_end(&z);
    assert_ok(run(&z, 0), &check.e);
    assert_int_equal(check.report.clear[EMK_CLEAR_COMPRESSED], 200);
}

static void gives_an_archive_without_weights_as_a_whole(void **state)
{
    (void)state;
    zip_begin(&z);
    zip_add(&z, STORED, "word/document.xml", NULL, 100);
    zip_end(&z);
    assert_ok(run(&z, 0), &check.e);
    assert_int_equal(check.x.n, 1);
    assert_int_equal(check.v[0].flags, EMK_TENSOR_WHOLE);
    assert_int_equal(check.v[0].length, z.len);
    assert_int_equal(check.report.clear[EMK_CLEAR_UNREAD], z.len);
    assert_status(run(&z, EMK_MODEL_STRICT), EMK_E_UNSUPPORTED, &check.e);
}

/* Bends one byte of a good archive. */
static void bend(size_t at, uint8_t value, emk_status st, const char *why)
{
    uint8_t was = z.p[at];

    assert_int_not_equal(was, value);
    z.p[at] = value;
    refuses(&z, st, why);
    z.p[at] = was;
    assert_ok(run(&z, 0), &check.e);
}

static void rejects_end_records_that_do_not_fit(void **state)
{
    size_t end = two_members(NULL, NULL);

    (void)state;
    bend(end + 3, 7, EMK_E_FORMAT, "zip: no end record");
    bend(end + 4, 1, EMK_E_UNSUPPORTED, "zip: more than one disk");
    bend(end + 6, 1, EMK_E_UNSUPPORTED, "zip: more than one disk");
    bend(end + 8, 1, EMK_E_UNSUPPORTED, "zip: more than one disk");
    bend(end + 12, (uint8_t)(z.directory_len - 1), EMK_E_FORMAT,
         "zip: directory does not end at the end record");
    bend(end + 19, 0xff, EMK_E_FORMAT, "zip: directory does not end at the end record");
}

static void rejects_other_counts_of_members(void **state)
{
    size_t end = two_members(NULL, NULL);

    (void)state;
    z.p[end + 8] = z.p[end + 10] = 1;
    refuses(&z, EMK_E_FORMAT, "zip: directory longer than its members");
    z.p[end + 8] = z.p[end + 10] = 3;
    refuses(&z, EMK_E_FORMAT, "zip: directory");
    z.p[end + 9] = z.p[end + 11] = 0xff;
    refuses(&z, EMK_E_FORMAT, "zip: more members than the file can hold");
}

static void rejects_64_bit_records_that_do_not_fit(void **state)
{
    size_t end, end64;

    (void)state;
    zip_begin(&z);
    z.big = true;
    zip_add(&z, STORED, "m/data/0", NULL, 32);
    end = zip_end(&z);
    end64 = end - 20 - 56;
    assert_ok(run(&z, 0), &check.e);
    bend(end64, 'X', EMK_E_FORMAT, "zip: 64-bit end record");
    bend(end64 + 16, 1, EMK_E_FORMAT, "zip: 64-bit end record");
    bend(end64 + 24, 9, EMK_E_FORMAT, "zip: 64-bit end record");
    bend(end64 + 40, 9, EMK_E_FORMAT, "zip: directory does not end at the end record");
    bend(end64 + 55, 9, EMK_E_FORMAT, "zip: directory does not end at the end record");
    bend(end - 20 + 15, 9, EMK_E_FORMAT, "zip: record outside the file");
    z.p[end + 8] = z.p[end + 10] = 2;
    refuses(&z, EMK_E_FORMAT, "zip: end records differ");
}

static void rejects_directory_entries_that_do_not_fit(void **state)
{
    size_t directory, second;

    (void)state;
    two_members(NULL, &directory);
    second = directory + 46 + strlen("m/data.pkl");
    bend(second, 'X', EMK_E_FORMAT, "zip: directory");
    bend(second + 8, 0x01, EMK_E_UNSUPPORTED, "zip: encrypted member");
    bend(second + 8, 0x40, EMK_E_UNSUPPORTED, "zip: encrypted member");
    bend(second + 9, 0x20, EMK_E_UNSUPPORTED, "zip: encrypted member");
    bend(second + 20, 31, EMK_E_FORMAT, "zip: stored member of two lengths");
    bend(second + 29, 1, EMK_E_FORMAT, "zip: directory");
    bend(second + 34, 1, EMK_E_UNSUPPORTED, "zip: more than one disk");
    bend(second + 42, 0, EMK_E_UNSUPPORTED, "zip: members not one behind the other");
    bend(second + 45, 0xff, EMK_E_UNSUPPORTED, "zip: members not one behind the other");
}

static void rejects_64_bit_fields_that_are_missing(void **state)
{
    size_t directory;

    (void)state;
    two_members(NULL, &directory);
    for (size_t i = 0; i < 4; i++)
        z.p[directory + 24 + i] = 0xff;
    refuses(&z, EMK_E_FORMAT, "zip: stored member of two lengths");
    zip_begin(&z);
    z.big = true;
    zip_add(&z, STORED, "m/data/0", NULL, 32);
    directory = z.len;
    zip_end(&z);
    bend(directory + 46 + 8 + 6 + 2, 16, EMK_E_FORMAT, "zip: 64-bit sizes");
    bend(directory + 46 + 8 + 6 + 2, 25, EMK_E_FORMAT, "zip: extra field");
}

static void rejects_local_headers_that_differ(void **state)
{
    size_t data, local;

    (void)state;
    two_members(&data, NULL);
    local = data - 3 - 8 - 30;
    bend(local, 'X', EMK_E_FORMAT, "zip: local header differs");
    bend(local + 8, 8, EMK_E_FORMAT, "zip: local header differs");
    bend(local + 26, 9, EMK_E_FORMAT, "zip: local header differs");
    bend(local + 28, 4, EMK_E_FORMAT, "zip: member outside the file");
    bend(local + 30, 'n', EMK_E_FORMAT, "zip: local header has another name");
}

static void rejects_two_members_on_the_same_bytes(void **state)
{
    (void)state;
    zip_begin(&z);
    zip_add(&z, STORED, "m/data/0", NULL, 32);
    put_entry(&z, STORED, "m/data/0", 0, 32);
    z.n++;
    zip_end(&z);
    refuses(&z, EMK_E_UNSUPPORTED, "zip: members not one behind the other");
}

static void rejects_archives_cut_short(void **state)
{
    size_t len;

    (void)state;
    two_members(NULL, NULL);
    len = z.len;
    for (z.len = 0; z.len < len; z.len++)
        assert_int_not_equal(run(&z, 0), EMK_OK);
}

static void spends_no_more_than_its_budget(void **state)
{
    emk_model_limits limits = {.max_steps = 1};

    (void)state;
    two_members(NULL, NULL);
    emk_image_from_span(&check.im, emk_span_of(z.p, z.len));
    assert_status(emk_model_scan(EMK_MODEL_ZIP, &check.im, &limits, NULL, NULL, NULL, &check.e),
                  EMK_E_LIMIT, &check.e);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(emits_the_storages_of_pytorch), emk_rule(scans_tflite_members_where_they_are),
        emk_rule(refuses_what_a_tflite_member_is_refused_for), emk_rule(reports_compressed_weights),
        emk_rule(finds_the_end_behind_a_comment), emk_rule(accepts_bytes_before_the_first_member),
        emk_rule(emits_the_checksums_of_weights_and_of_nothing_else),
        emk_rule(finds_checksums_behind_the_bytes),
        emk_rule(takes_the_weights_of_keras_for_one_tensor),
        emk_rule(gives_an_archive_without_weights_as_a_whole),
        emk_rule(rejects_end_records_that_do_not_fit), emk_rule(rejects_other_counts_of_members),
        emk_rule(rejects_64_bit_records_that_do_not_fit),
        emk_rule(rejects_directory_entries_that_do_not_fit),
        emk_rule(rejects_64_bit_fields_that_are_missing),
        emk_rule(rejects_local_headers_that_differ),
        emk_rule(rejects_two_members_on_the_same_bytes), emk_rule(rejects_archives_cut_short),
        emk_rule(spends_no_more_than_its_budget));
}
