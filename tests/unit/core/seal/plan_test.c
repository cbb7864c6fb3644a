#include "core/seal/plan.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/seal/digest.h"
#include "tests/unit/core/seal/pieces.h"

static world w;

#define MODEL_LEN 1000u

static const uint8_t ENTRY[] = {0x85, 0x0A, 0x14, 0x61, 'w', 0x63, 'f', '3', '2', 0x82, 2, 3};

/* Regions of 400 and 600 bytes, digests, one tensor. */
static pieces part(void)
{
    uint8_t rows[18] = {0}, bytes[64] = {3}, array[1 + sizeof ENTRY] = {0x81};
    pieces p = {0};

    emk_store_u64be(rows, 400);
    rows[8] = 0;
    emk_store_u64be(rows + 9, 600);
    rows[17] = 2;
    memcpy(array + 1, ENTRY, sizeof ENTRY);
    pieces_bytes(&p, 1, emk_span_of(bytes, 32));
    pieces_bytes(&p, 2, emk_span_of(rows, 18));
    pieces_bytes(&p, 3, emk_span_of(bytes, 64));
    pieces_bytes(&p, 4, emk_buf_span(&w.identity_bytes));
    pieces_text(&p, 5, "tflite");
    pieces_raw(&p, 6, emk_span_of(array, sizeof array));
    pieces_hex(&p, 7, "F5");
    return p;
}

static void expect(const pieces *p, emk_status want)
{
    emk_span identity = {NULL, 0};
    emk_plan plan, before;
    emk_buf in, again;
    emk_error e;

    memset(&plan, 0x5A, sizeof plan);
    before = plan;
    pieces_encode(p, &in);
    assert_status(emk_sealed_part_decode(emk_buf_span(&in), MODEL_LEN, &plan, &identity, &e), want,
                  &e);
    if (want != EMK_OK) {
        assert_memory_equal(&plan, &before, sizeof plan);
        assert_int_equal(identity.len, 0);
    } else {
        emk_buf_init(&again, EMK_SEALED_PART_MAX);
        assert_ok(emk_sealed_part_encode(&plan, identity, &again, &e), &e);
        assert_bytes(emk_buf_span(&again), emk_buf_span(&in));
        emk_buf_done(&again);
        emk_plan_done(&plan);
    }
    emk_buf_done(&in);
}

static void sealed_part_is_written_as_it_was_read(void **state)
{
    pieces p = part();

    (void)state;
    expect(&p, EMK_OK);
    pieces_drop(&p, 3); /* a file without digests */
    expect(&p, EMK_OK);
    pieces_hex(&p, 7, "F4");
    expect(&p, EMK_OK);
}

static void rejects_sealed_part_without_a_key(void **state)
{
    static const int64_t keys[] = {1, 2, 4, 5, 6, 7};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        pieces p = part();

        pieces_drop(&p, keys[i]);
        expect(&p, EMK_E_FORMAT);
    }
}

static void rejects_sealed_part_key_that_is_not_listed(void **state)
{
    static const int64_t keys[] = {0, 9, 31, 32, 33, 35, -1, INT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        pieces p = part();

        pieces_int(&p, keys[i], 1);
        expect(&p, EMK_E_FORMAT);
    }
}

static void rejects_values_of_other_kinds(void **state)
{
    (void)state;
    for (int64_t key = 1; key <= 7; key++) {
        pieces p = part();

        pieces_int(&p, key, 1);
        expect(&p, EMK_E_FORMAT);
        pieces_hex(&p, key, "F6");
        expect(&p, EMK_E_FORMAT);
    }
}

static void rejects_dsalt_of_31_and_33_bytes(void **state)
{
    uint8_t bytes[33] = {0};
    pieces p = part();

    (void)state;
    pieces_bytes(&p, 1, emk_span_of(bytes, 31));
    expect(&p, EMK_E_FORMAT);
    pieces_bytes(&p, 1, emk_span_of(bytes, 33));
    expect(&p, EMK_E_FORMAT);
}

static void expect_regions(const uint64_t *lens, const uint8_t *kinds, size_t n, emk_status want)
{
    uint8_t rows[64];
    pieces p = part();

    for (size_t i = 0; i < n; i++) {
        emk_store_u64be(rows + 9 * i, lens[i]);
        rows[9 * i + 8] = kinds[i];
    }
    pieces_bytes(&p, 2, emk_span_of(rows, 9 * n));
    expect(&p, want);
}

static void rejects_regions_that_do_not_add_up(void **state)
{
    static const uint8_t kinds[4] = {0, 1, 2, 0};

    (void)state;
    expect_regions((uint64_t[]){1, 999}, kinds, 2, EMK_OK);
    expect_regions((uint64_t[]){400, 599}, kinds, 2, EMK_E_FORMAT);
    expect_regions((uint64_t[]){400, 601}, kinds, 2, EMK_E_FORMAT);
    expect_regions((uint64_t[]){1001, 1}, kinds, 2, EMK_E_FORMAT);
    expect_regions((uint64_t[]){UINT64_MAX, 1001}, kinds, 2, EMK_E_FORMAT); /* adds up mod 2^64 */
    expect_regions((uint64_t[]){400, UINT64_MAX - 398}, kinds, 2, EMK_E_FORMAT);
}

static void rejects_region_of_no_bytes(void **state)
{
    static const uint8_t kinds[2] = {0, 0};

    (void)state;
    expect_regions((uint64_t[]){0, 1000}, kinds, 2, EMK_E_FORMAT);
    expect_regions((uint64_t[]){1000, 0}, kinds, 2, EMK_E_FORMAT);
}

static void rejects_region_of_another_kind(void **state)
{
    (void)state;
    expect_regions((uint64_t[]){400, 600}, (uint8_t[]){3, 0}, 2, EMK_E_FORMAT);
    expect_regions((uint64_t[]){400, 600}, (uint8_t[]){0, 255}, 2, EMK_E_FORMAT);
}

static void rejects_region_list_that_is_cut(void **state)
{
    uint8_t rows[19] = {0};
    pieces p = part();

    (void)state;
    emk_store_u64be(rows, 400);
    emk_store_u64be(rows + 9, 600);
    for (size_t len = 0; len <= 19; len++) {
        pieces_bytes(&p, 2, emk_span_of(rows, len));
        expect(&p, len == 18 ? EMK_OK : EMK_E_FORMAT);
    }
}

static void rejects_65537_regions(void **state)
{
    uint32_t n = EMK_REGIONS_MAX + 1;
    uint8_t *rows = emk_alloc(n, 9), *bytes = emk_alloc(n * 10, 1);
    emk_span identity;
    emk_plan plan;
    emk_error e;

    (void)state;
    for (uint32_t i = 0; i < n; i++)
        rows[9 * i + 7] = 1;
    for (uint32_t k = 0; k < 2; k++) {
        emk_writer wr;

        emk_writer_init(&wr, bytes, n * 10);
        emk_cbor_put_map(&wr, 6);
        emk_cbor_put_uint(&wr, 1);
        emk_cbor_put_bytes(&wr, emk_span_of(w.device_id, 32));
        emk_cbor_put_uint(&wr, 2);
        emk_cbor_put_bytes(&wr, emk_span_of(rows, 9 * (n - k)));
        emk_cbor_put_uint(&wr, 4);
        emk_cbor_put_bytes(&wr, emk_buf_span(&w.identity_bytes));
        emk_cbor_put_uint(&wr, 5);
        emk_cbor_put_text(&wr, emk_span_str("x"));
        emk_cbor_put_uint(&wr, 6);
        emk_cbor_put_array(&wr, 0);
        emk_cbor_put_uint(&wr, 7);
        emk_cbor_put_bool(&wr, false);
        assert_status(emk_sealed_part_decode(emk_writer_span(&wr), n - k, &plan, &identity, &e),
                      k ? EMK_OK : EMK_E_FORMAT, &e);
    }
    assert_int_equal(plan.n_regions, EMK_REGIONS_MAX);
    emk_plan_done(&plan);
    emk_free(rows);
    emk_free(bytes);
}

static void rejects_more_or_fewer_digests_than_regions(void **state)
{
    static const size_t lens[] = {0, 32, 63, 65, 96};
    uint8_t bytes[96] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        pieces p = part();

        pieces_bytes(&p, 3, emk_span_of(bytes, lens[i]));
        expect(&p, EMK_E_FORMAT);
    }
}

static void rejects_format_name_of_no_and_of_32_bytes(void **state)
{
    pieces p = part();

    (void)state;
    pieces_text(&p, 5, "");
    expect(&p, EMK_E_FORMAT);
    pieces_text(&p, 5, "1234567890123456789012345678901");
    expect(&p, EMK_OK);
    pieces_text(&p, 5, "12345678901234567890123456789012");
    expect(&p, EMK_E_FORMAT);
    pieces_text(&p, 5, "a\nb");
    expect(&p, EMK_E_FORMAT);
}

/* ---- index ---- */

static void expect_index(const char *hex, emk_status want)
{
    pieces p = part();

    pieces_hex(&p, 6, hex);
    expect(&p, want);
}

static void takes_tensors_anywhere_inside_the_model(void **state)
{
    (void)state;
    expect_index("80", EMK_OK);
    expect_index("81 85 00 00 6161 6162 80", EMK_OK);                       /* 0 bytes at 0 */
    expect_index("81 85 1903E8 00 6161 6162 80", EMK_OK);                   /* 0 bytes at the end */
    expect_index("81 85 00 1903E8 6161 6162 80", EMK_OK);                   /* all of it */
    expect_index("82 85 05 01 6161 6162 80 85 05 02 6163 6162 80", EMK_OK); /* the same place */
    expect_index("81 85 00 01 6161 6162 88 00 01 02 03 04 05 06 1BFFFFFFFFFFFFFFFF", EMK_OK);
}

static void rejects_index_that_is_not_sorted(void **state)
{
    (void)state;
    expect_index("82 85 05 01 6161 6162 80 85 04 01 6163 6162 80", EMK_E_FORMAT);
}

static void rejects_tensor_that_reaches_outside_the_model(void **state)
{
    (void)state;
    expect_index("81 85 1903E9 00 6161 6162 80", EMK_E_FORMAT);
    expect_index("81 85 00 1903E9 6161 6162 80", EMK_E_FORMAT);
    expect_index("81 85 1903E8 01 6161 6162 80", EMK_E_FORMAT);
    expect_index("81 85 01 1BFFFFFFFFFFFFFFFF 6161 6162 80", EMK_E_FORMAT);
    expect_index("81 85 1BFFFFFFFFFFFFFFFF 01 6161 6162 80", EMK_E_FORMAT);
}

static void rejects_tensor_with_9_dimensions(void **state)
{
    (void)state;
    expect_index("81 85 00 01 6161 6162 89 000000000000000000", EMK_E_FORMAT);
}

static void rejects_index_entries_of_another_shape(void **state)
{
    static const char *const entries[] = {
        "81 84 00 01 6161 6162",
        "81 86 00 01 6161 6162 80 00",
        "81 00",
        "81 A0",
        "81 85 20 01 6161 6162 80",
        "81 85 00 20 6161 6162 80",
        "81 85 00 01 4161 6162 80",
        "81 85 00 01 6161 4162 80",
        "81 85 00 01 6161 6162 00",
        "81 85 00 01 6161 6162 81 20",
        "81 85 00 01 6161 6162 81 6161",
        "A1 00 85 00 01 6161 6162 80",
        "9F FF",
    };

    (void)state;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        expect_index(entries[i], EMK_E_FORMAT);
}

static void rejects_names_of_no_and_too_many_bytes(void **state)
{
    char hex[1200];

    (void)state;
    expect_index("81 85 00 01 60 6162 80", EMK_E_FORMAT);
    expect_index("81 85 00 01 6161 60 80", EMK_E_FORMAT);
    for (unsigned len = 255; len <= 256; len++) {
        int n = snprintf(hex, sizeof hex, len == 255 ? "81 85 00 01 78FF " : "81 85 00 01 790100 ");

        for (unsigned i = 0; i < len; i++)
            n += snprintf(hex + n, sizeof hex - (size_t)n, "61");
        snprintf(hex + n, sizeof hex - (size_t)n, "6162 80");
        expect_index(hex, len == 255 ? EMK_OK : EMK_E_FORMAT);
    }
    for (unsigned len = 31; len <= 32; len++) {
        int n = snprintf(hex, sizeof hex, "81 85 00 01 6161 78%02X ", len);

        for (unsigned i = 0; i < len; i++)
            n += snprintf(hex + n, sizeof hex - (size_t)n, "61");
        snprintf(hex + n, sizeof hex - (size_t)n, " 80");
        expect_index(hex, len == 31 ? EMK_OK : EMK_E_FORMAT);
    }
}

static emk_status stop_at_once(void *self, const emk_index_entry *entry, emk_error *e)
{
    emk_index_entry *kept = self;

    *kept = *entry;
    return emk_fail(e, EMK_E_BUSY, "test: enough", 0);
}

static void index_is_given_entry_by_entry_and_can_be_stopped(void **state)
{
    emk_index_entry got = {0};
    emk_span identity;
    pieces p = part();
    emk_plan plan;
    emk_buf in;
    emk_error e;

    (void)state;
    pieces_encode(&p, &in);
    assert_ok(emk_sealed_part_decode(emk_buf_span(&in), MODEL_LEN, &plan, &identity, &e), &e);
    assert_status(emk_index_each(&plan, stop_at_once, &got, &e), EMK_E_BUSY, &e);
    assert_int_equal(got.offset, 10);
    assert_int_equal(got.length, 20);
    assert_bytes(got.name, emk_span_str("w"));
    assert_bytes(got.dtype, emk_span_str("f32"));
    assert_int_equal(got.rank, 2);
    assert_int_equal(got.dims[1], 3);
    assert_bytes(identity, emk_buf_span(&w.identity_bytes));
    emk_plan_done(&plan);
    emk_buf_done(&in);
}

static void rejects_every_cut_and_every_byte_behind(void **state)
{
    pieces p = part();
    emk_span identity;
    emk_plan plan;
    emk_buf in;
    emk_error e;

    (void)state;
    pieces_encode(&p, &in);
    for (size_t len = 0; len < in.len; len++)
        assert_status(
            emk_sealed_part_decode(emk_span_of(in.p, len), MODEL_LEN, &plan, &identity, &e),
            EMK_E_FORMAT, &e);
    assert_ok(emk_buf_append(&in, emk_span_of("", 1), &e), &e);
    assert_status(emk_sealed_part_decode(emk_buf_span(&in), MODEL_LEN, &plan, &identity, &e),
                  EMK_E_FORMAT, &e);
    emk_buf_done(&in);
}

/* ---- models of several files ---- */

/* Lengths are the model's 1000 bytes shared out, the last gets the rest. */
static void expect_files(const char *const *paths, const uint64_t *lens, size_t n, emk_status want)
{
    uint8_t raw[PIECE_LEN_MAX];
    pieces p = part();
    emk_writer wr;

    emk_writer_init(&wr, raw, sizeof raw);
    emk_cbor_put_array(&wr, n);
    for (size_t i = 0; i < n; i++) {
        emk_cbor_put_array(&wr, 2);
        emk_cbor_put_text(&wr, emk_span_str(paths[i]));
        emk_cbor_put_uint(&wr, lens[i]);
    }
    pieces_raw(&p, 8, emk_writer_span(&wr));
    expect(&p, want);
}

static void expect_paths(const char *a, const char *b, emk_status want)
{
    expect_files((const char *[]){a, b}, (uint64_t[]){400, 600}, 2, want);
}

static void takes_trees_of_files(void **state)
{
    (void)state;
    expect_files((const char *[]){"one"}, (uint64_t[]){1000}, 1, EMK_OK);
    expect_files((const char *[]){"a", "b", "c"}, (uint64_t[]){0, 1000, 0}, 3, EMK_OK);
    expect_paths("a/b", "a.b", EMK_OK); /* "/" is lower than any byte */
    expect_paths("a/b/c", "a/c", EMK_OK);
    expect_paths("...", "a..b", EMK_OK);
    expect_paths("\x20", "\xC3\xA4", EMK_OK);
}

static void rejects_files_that_are_not_the_model(void **state)
{
    static const char *const paths[] = {"a", "b"};

    (void)state;
    expect_files(paths, (uint64_t[]){400, 599}, 2, EMK_E_FORMAT);
    expect_files(paths, (uint64_t[]){400, 601}, 2, EMK_E_FORMAT);
    expect_files(paths, (uint64_t[]){UINT64_MAX, 1001}, 2, EMK_E_FORMAT);
    expect_files(paths, (uint64_t[]){1000, 0}, 0, EMK_E_LIMIT); /* no files at all */
}

static void rejects_paths_that_lead_out_of_their_folder(void **state)
{
    static const char *const paths[] = {"/a",   "a/",    "..",       ".",      "a/..", "../a",
                                        "a//b", "./a",   "a/./b",    "a/../b", "a\\b", "\\",
                                        "a\nb", "a\x7F", "\xC2\x85", "\xFF",   "",     "/"};
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        expect_files(&paths[i], (uint64_t[]){1000}, 1, EMK_E_FORMAT);
        assert_status(emk_path_check(emk_span_str(paths[i]), &e), EMK_E_FORMAT, &e);
    }
    assert_status(emk_path_check(emk_span_of("a\0b", 3), &e), EMK_E_FORMAT, &e);
}

static void rejects_path_of_256_bytes(void **state)
{
    char path[257];
    emk_error e;

    (void)state;
    memset(path, 'p', sizeof path);
    assert_ok(emk_path_check(emk_span_of(path, 255), &e), &e);
    assert_status(emk_path_check(emk_span_of(path, 256), &e), EMK_E_FORMAT, &e);
}

static void rejects_paths_out_of_order_twice_or_inside_one_another(void **state)
{
    (void)state;
    expect_paths("b", "a", EMK_E_FORMAT);
    expect_paths("a", "a", EMK_E_FORMAT);
    expect_paths("a.b", "a/b", EMK_E_FORMAT);
    expect_paths("a", "a/b", EMK_E_FORMAT);
    expect_paths("a/b", "a/b/c", EMK_E_FORMAT);
    expect_paths("a", "ab", EMK_OK);
    /* also where something else could have stood between them */
    expect_files((const char *[]){"a", "a/b", "b"}, (uint64_t[]){400, 300, 300}, 3, EMK_E_FORMAT);
    expect_files((const char *[]){"a", "a.b", "a/b"}, (uint64_t[]){400, 300, 300}, 3, EMK_E_FORMAT);
}

static void rejects_more_than_512_files(void **state)
{
    emk_plan p;
    char path[8];
    emk_error e;

    (void)state;
    assert_ok(emk_plan_init(&p, w.crypto, 1, 1, &e), &e);
    for (unsigned i = 0; i <= EMK_FILES_MAX; i++) {
        snprintf(path, sizeof path, "%04u", i);
        assert_status(emk_plan_add_file(&p, emk_span_str(path), 0, &e),
                      i < EMK_FILES_MAX ? EMK_OK : EMK_E_LIMIT, &e);
    }
    assert_int_equal(p.n_files, EMK_FILES_MAX);
    emk_plan_done(&p);
}

static void rejects_file_entries_of_another_shape(void **state)
{
    static const char *const lists[] = {"81 81 6161",
                                        "81 83 6161 1903E8 00",
                                        "81 82 4161 1903E8",
                                        "81 82 6161 20",
                                        "81 A1 6161 1903E8",
                                        "81 6161",
                                        "A0"};

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        pieces p = part();

        pieces_hex(&p, 8, lists[i]);
        expect(&p, EMK_E_FORMAT);
    }
}

/* ---- making plans ---- */

static void refuses_models_and_region_counts_beyond_the_limits(void **state)
{
    emk_plan p;
    emk_error e;

    (void)state;
    assert_status(emk_plan_init(&p, w.crypto, EMK_MODEL_LEN_MAX + 1, 1, &e), EMK_E_LIMIT, &e);
    assert_status(emk_plan_init(&p, w.crypto, 1, EMK_REGIONS_MAX + 1, &e), EMK_E_LIMIT, &e);
    assert_ok(emk_plan_init(&p, w.crypto, EMK_MODEL_LEN_MAX, EMK_REGIONS_MAX, &e), &e);
    emk_plan_done(&p);
    emk_plan_done(&p); /* twice is fine */
}

static void every_plan_has_a_salt_of_its_own(void **state)
{
    emk_plan a, b;
    emk_error e;

    (void)state;
    assert_ok(emk_plan_init(&a, w.crypto, 1, 1, &e), &e);
    assert_ok(emk_plan_init(&b, w.crypto, 1, 1, &e), &e);
    assert_memory_not_equal(a.dsalt, b.dsalt, 32);
    emk_plan_done(&a);
    emk_plan_done(&b);
}

static void refuses_to_digest_another_model_or_with_no_threads(void **state)
{
    uint8_t bytes[10] = {0};
    emk_source s = emk_source_from_span(emk_span_of(bytes, 9));
    emk_plan p;
    emk_error e;

    (void)state;
    assert_ok(emk_plan_init(&p, w.crypto, 10, 1, &e), &e);
    p.regions[0].length = 10;
    assert_status(emk_plan_digest(&p, w.crypto, &s, 1, NULL, &e), EMK_E_USAGE, &e);
    s.len = 10;
    assert_status(emk_plan_digest(&p, w.crypto, &s, 0, NULL, &e), EMK_E_USAGE, &e);
    assert_status(emk_plan_digest(&p, w.crypto, &s, EMK_SEAL_THREADS_MAX + 1, NULL, &e),
                  EMK_E_USAGE, &e);
    assert_null(p.digests);
    assert_ok(emk_plan_digest(&p, w.crypto, &s, EMK_SEAL_THREADS_MAX, NULL, &e), &e);
    emk_plan_done(&p);
}

/* A plan whose regions reach beyond the model must be refused before a byte is read. */
static void refuses_plans_whose_regions_do_not_add_up(void **state)
{
    static const uint64_t lens[][2] = {{10, 11}, {21, 0}, {10, 9}, {UINT64_MAX, 21}, {0, 20}};
    uint8_t *bytes = emk_alloc(20, 1);
    emk_source s = emk_source_from_span(emk_span_of(bytes, 20));
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        emk_sealing *sealing = NULL;
        emk_seal_in in;
        emk_plan p;

        assert_ok(emk_plan_init(&p, w.crypto, 20, 2, &e), &e);
        p.regions[0].length = lens[i][0];
        p.regions[1].length = lens[i][1];
        assert_status(emk_plan_digest(&p, w.crypto, &s, 1, NULL, &e), EMK_E_USAGE, &e);
        world_seal_in(&w, &s, &p, &in);
        assert_status(emk_sealing_new(w.crypto, &in, &sealing, &e), EMK_E_USAGE, &e);
        assert_null(sealing);
        emk_plan_done(&p);
    }
    emk_free(bytes);
}

/* Every digest worked out again, one segment after the other. */
static void digests_are_those_of_the_model_with_any_number_of_threads(void **state)
{
    emk_region regions[4] = {{1, 0}, {EMK_SEGMENT_LEN, 1}, {2 * EMK_SEGMENT_LEN + 5, 2}, {77, 0}};
    size_t len = 3 * EMK_SEGMENT_LEN + 83;
    uint8_t *bytes = emk_alloc(len, 1);
    emk_source s = emk_source_from_span(emk_span_of(bytes, len));
    emk_sha256_ctx *h;
    emk_layout l;
    emk_plan p;
    emk_error e;

    (void)state;
    world_fill(bytes, len);
    assert_ok(emk_sha256_ctx_new(w.crypto, &h, &e), &e);
    assert_ok(emk_plan_init(&p, w.crypto, len, 4, &e), &e);
    memcpy(p.regions, regions, sizeof regions);
    assert_ok(emk_layout_init(&l, &p, 0, &e), &e);
    for (unsigned threads = 1; threads <= EMK_SEAL_THREADS_MAX; threads++) {
        assert_ok(emk_plan_digest(&p, w.crypto, &s, threads, NULL, &e), &e);
        for (uint32_t r = 1; r <= 4; r++) {
            uint8_t leaves[3][32], got[32];
            emk_digest_region_in in = {.dsalt = p.dsalt,
                                       .region = r,
                                       .length = regions[r - 1].length,
                                       .leaves = (const uint8_t(*)[32])leaves};

            for (uint32_t i = 0; i < l.n_segments; i++) {
                emk_segment seg = emk_layout_segment(&l, i);

                if (seg.region == r)
                    assert_ok(emk_digest_leaf(h, p.dsalt, &seg,
                                              emk_span_of(bytes + seg.at, seg.len),
                                              leaves[in.n_leaves++], &e),
                              &e);
            }
            assert_ok(emk_digest_region(h, &in, got, &e), &e);
            assert_memory_equal(got, p.digests[r - 1], 32);
        }
    }
    emk_layout_done(&l);
    emk_plan_done(&p);
    emk_sha256_ctx_free(h);
    emk_free(bytes);
}

int main(void)
{
    int failed;

    world_init(&w, EMK_KEM_X25519);
    failed = EMK_RUN(
        emk_rule(sealed_part_is_written_as_it_was_read),
        emk_rule(rejects_sealed_part_without_a_key),
        emk_rule(rejects_sealed_part_key_that_is_not_listed),
        emk_rule(rejects_values_of_other_kinds), emk_rule(rejects_dsalt_of_31_and_33_bytes),
        emk_rule(rejects_regions_that_do_not_add_up), emk_rule(rejects_region_of_no_bytes),
        emk_rule(rejects_region_of_another_kind), emk_rule(rejects_region_list_that_is_cut),
        emk_rule(rejects_65537_regions), emk_rule(rejects_more_or_fewer_digests_than_regions),
        emk_rule(rejects_format_name_of_no_and_of_32_bytes),
        emk_rule(takes_tensors_anywhere_inside_the_model),
        emk_rule(rejects_index_that_is_not_sorted),
        emk_rule(rejects_tensor_that_reaches_outside_the_model),
        emk_rule(rejects_tensor_with_9_dimensions),
        emk_rule(rejects_index_entries_of_another_shape),
        emk_rule(rejects_names_of_no_and_too_many_bytes),
        emk_rule(index_is_given_entry_by_entry_and_can_be_stopped),
        emk_rule(rejects_every_cut_and_every_byte_behind), emk_rule(takes_trees_of_files),
        emk_rule(rejects_files_that_are_not_the_model),
        emk_rule(rejects_paths_that_lead_out_of_their_folder), emk_rule(rejects_path_of_256_bytes),
        emk_rule(rejects_paths_out_of_order_twice_or_inside_one_another),
        emk_rule(rejects_more_than_512_files), emk_rule(rejects_file_entries_of_another_shape),
        emk_rule(refuses_models_and_region_counts_beyond_the_limits),
        emk_rule(every_plan_has_a_salt_of_its_own),
        emk_rule(refuses_to_digest_another_model_or_with_no_threads),
        emk_rule(refuses_plans_whose_regions_do_not_add_up),
        emk_rule(digests_are_those_of_the_model_with_any_number_of_threads));
    world_done(&w);
    return failed;
}
