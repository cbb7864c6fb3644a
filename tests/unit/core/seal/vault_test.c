#include "core/seal/vault.h"

#include "core/base/alloc.h"
#include "core/base/bytes.h"
#include "core/base/os_file.h"
#include "core/seal/record.h"
#include "tests/unit/core/seal/world.h"

#define MODEL_LEN (3u * EMK_SEGMENT_LEN + 12345u)
#define SLOT_B    (EMK_VAULT_SLOT_A + EMK_VAULT_SLOT_LEN)

static world w;
static uint8_t *model;
static emk_buf fresh; /* a vault as it was accepted */
static emk_buf vault; /* a copy for each test */

static void make_all(void)
{
    emk_region regions[5] = {
        {1000, 0}, {EMK_SEGMENT_LEN + 77, 1}, {5, 2}, {EMK_SEGMENT_LEN, 2}, {0, 1}};
    emk_buf sealed;
    emk_plan plan;
    emk_span span;
    emk_error e;

    regions[4].length = MODEL_LEN - 1082 - 2 * EMK_SEGMENT_LEN;
    world_init(&w, EMK_KEM_X25519);
    model = emk_alloc(MODEL_LEN, 1);
    world_fill(model, MODEL_LEN);
    span = emk_span_of(model, MODEL_LEN);
    world_plan(&w, span, regions, 5, &plan);
    assert_ok(world_seal(&w, span, &plan, &sealed, &e), &e);
    assert_ok(world_accept(&w, emk_buf_span(&sealed), &fresh, NULL, &e), &e);
    emk_buf_done(&sealed);
    emk_plan_done(&plan);
}

static int copy_vault(void **state)
{
    emk_error e;

    (void)state;
    emk_buf_init(&vault, fresh.len);
    return emk_buf_append(&vault, emk_buf_span(&fresh), &e) == EMK_OK ? 0 : -1;
}

static int drop_vault(void **state)
{
    (void)state;
    emk_buf_done(&vault);
    return 0;
}

#define rule(fn) cmocka_unit_test_setup_teardown(fn, copy_vault, drop_vault)

static emk_source source;

static emk_status open_with(const emk_kem_private *key, emk_vault **v, emk_noticed *noticed,
                            emk_error *e)
{
    emk_vault_in in;

    source = emk_source_from_span(emk_buf_span(&vault));
    world_vault_in(&w, &source, &in);
    in.device_key = key;
    in.noticed = noticed;
    *v = NULL;
    return emk_vault_open(w.crypto, &in, v, e);
}

static emk_vault *open_it(void)
{
    emk_vault *v;
    emk_error e;

    assert_ok(open_with(w.device_key, &v, NULL, &e), &e);
    return v;
}

static void expect_open(emk_status want, emk_noticed want_noticed)
{
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    emk_vault *v;
    emk_error e;

    assert_status(open_with(w.device_key, &v, &noticed, &e), want, &e);
    assert_int_equal(noticed, want_noticed);
    assert_true((want == EMK_OK) == (v != NULL));
    emk_vault_close(v);
}

static emk_sink sink_of(void)
{
    return emk_sink_from_memory(vault.p, vault.len);
}

static void lends_what_was_sealed(void **state)
{
    emk_vault *v = open_it();

    (void)state;
    assert_int_equal(emk_vault_plan(v)->model_len, MODEL_LEN);
    assert_int_equal(emk_vault_plan(v)->n_regions, 5);
    assert_int_equal(emk_vault_policy(v)->expires, w.policy.expires);
    assert_bytes(emk_vault_identity(v)->user, w.identity.user);
    assert_memory_equal(emk_vault_core(v)->ticket_id, w.ticket_id, 16);
    assert_int_equal(emk_vault_record(v)->generation, 1);
    assert_int_equal(emk_vault_record(v)->accepted, WORLD_NOW);
    assert_int_equal(emk_vault_record(v)->floor, WORLD_NOW);
    assert_int_equal(emk_vault_record(v)->opens, 0);
    emk_vault_close(v);
    emk_vault_close(NULL);
}

static void read_of_random_ranges_equals_the_model(void **state)
{
    uint8_t *out = emk_alloc(MODEL_LEN, 1);
    emk_vault *v = open_it();
    uint64_t x = 12345;
    emk_error e;

    (void)state;
    for (unsigned i = 0; i < 150; i++) {
        size_t off, len;

        x = x * 6364136223846793005u + 1442695040888963407u;
        off = (size_t)(x >> 33) % (MODEL_LEN + 1);
        len = (size_t)(x >> 13) % (i % 4 ? 3000 : MODEL_LEN);
        if (len > MODEL_LEN - off)
            len = MODEL_LEN - off;
        memset(out, 0xEE, MODEL_LEN);
        assert_ok(emk_vault_read(v, off, out, len, &e), &e);
        assert_memory_equal(out, model + off, len);
        assert_true(len == MODEL_LEN || out[len] == 0xEE);
    }
    emk_vault_close(v);
    emk_free(out);
}

static void read_at_every_edge_of_a_region(void **state)
{
    static const size_t edges[] = {0,
                                   1000,
                                   1000 + EMK_SEGMENT_LEN,
                                   1077 + EMK_SEGMENT_LEN,
                                   1082 + EMK_SEGMENT_LEN,
                                   1082 + 2 * EMK_SEGMENT_LEN,
                                   MODEL_LEN};
    emk_vault *v = open_it();
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        size_t from = edges[i] < 3 ? 0 : edges[i] - 3;
        size_t len = MODEL_LEN - from < 6 ? MODEL_LEN - from : 6;
        uint8_t out[6];

        assert_ok(emk_vault_read(v, from, out, len, &e), &e);
        assert_memory_equal(out, model + from, len);
    }
    emk_vault_close(v);
}

static void rejects_reads_outside_the_model(void **state)
{
    static const struct {
        uint64_t off;
        size_t len;
    } rows[] = {
        {MODEL_LEN, 1}, {MODEL_LEN + 1, 0}, {0, MODEL_LEN + 1}, {UINT64_MAX, 1}, {1, SIZE_MAX}};
    uint8_t out[1] = {0x5A};
    emk_vault *v = open_it();
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_status(emk_vault_read(v, rows[i].off, out, rows[i].len, &e), EMK_E_USAGE, &e);
    assert_int_equal(out[0], 0x5A);
    assert_ok(emk_vault_read(v, MODEL_LEN, out, 0, &e), &e);
    emk_vault_close(v);
}

static void reads_with_every_number_of_threads_and_no_other(void **state)
{
    uint8_t *out = emk_alloc(MODEL_LEN, 1);
    emk_vault *v = open_it();
    emk_error e;

    (void)state;
    for (unsigned threads = 1; threads <= EMK_SEAL_THREADS_MAX; threads++) {
        memset(out, 0, MODEL_LEN);
        assert_ok(emk_vault_read_all(v, out, threads, NULL, &e), &e);
        assert_memory_equal(out, model, MODEL_LEN);
        assert_ok(emk_vault_verify(v, threads, NULL, &e), &e);
    }
    assert_status(emk_vault_read_all(v, out, 0, NULL, &e), EMK_E_USAGE, &e);
    assert_status(emk_vault_read_all(v, out, 7, NULL, &e), EMK_E_USAGE, &e);
    assert_status(emk_vault_verify(v, 7, NULL, &e), EMK_E_USAGE, &e);
    emk_vault_close(v);
    emk_free(out);
}

/* A changed byte costs its own segment, whichever kind, and nothing else. */
static void releases_nothing_of_a_changed_segment(void **state)
{
    static const size_t places[] = {
        5, 1000, 5000, EMK_SEGMENT_LEN + 1079, EMK_SEGMENT_LEN + 2000, MODEL_LEN - 1};
    uint8_t *out = emk_alloc(MODEL_LEN, 1);
    emk_vault *v = open_it();
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint8_t *byte = vault.p + vault.len - MODEL_LEN + places[i];
        size_t elsewhere = (places[i] + MODEL_LEN / 2) % MODEL_LEN;
        uint8_t some[16];

        *byte ^= 1;
        memset(out, 0xEE, MODEL_LEN);
        assert_status(emk_vault_read_all(v, out, 3, NULL, &e), EMK_E_SEALED, &e);
        for (size_t k = 0; k < MODEL_LEN; k += 4099)
            assert_int_equal(out[k], 0);
        assert_status(emk_vault_verify(v, 2, NULL, &e), EMK_E_SEALED, &e);
        memset(some, 0xEE, sizeof some);
        assert_status(emk_vault_read(v, places[i] < 8 ? 0 : places[i] - 8, some, 9, &e),
                      EMK_E_SEALED, &e);
        for (size_t k = 0; k < 9; k++)
            assert_int_equal(some[k], 0);
        assert_ok(emk_vault_read(v, elsewhere, some, 4, &e), &e);
        assert_memory_equal(some, model + elsewhere, 4);
        *byte ^= 1;
    }
    emk_vault_close(v);
    emk_free(out);
}

/* Several threads may find something at once; one place tells what. */
static void threads_that_all_refuse_notice_one_thing(void **state)
{
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    uint8_t *out = emk_alloc(MODEL_LEN, 1);
    emk_vault *v;
    emk_error e;

    (void)state;
    memset(vault.p + vault.len - MODEL_LEN, 0, MODEL_LEN);
    assert_ok(open_with(w.device_key, &v, &noticed, &e), &e);
    assert_status(emk_vault_read_all(v, out, 4, NULL, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_REGION);
    noticed = EMK_NOTICED_NOTHING;
    assert_status(emk_vault_read(v, 0, out, 5, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_REGION);
    emk_vault_close(v);
    emk_free(out);
}

static void rejects_tags_that_changed_places(void **state)
{
    size_t table = vault.len - MODEL_LEN;
    uint8_t tag[16], byte;
    emk_vault *v;
    emk_error e;

    (void)state;
    table -= EMK_VAULT_ALIGN; /* six segments: the table is the page before the payload */
    assert_int_not_equal(emk_load_u64be(vault.p + table), 0);
    memcpy(tag, vault.p + table, 16);
    memcpy(vault.p + table, vault.p + table + 16, 16);
    memcpy(vault.p + table + 16, tag, 16);
    v = open_it();
    assert_status(emk_vault_read(v, 0, &byte, 1, &e), EMK_E_SEALED, &e);
    assert_status(emk_vault_read(v, 2000, &byte, 1, &e), EMK_E_SEALED, &e);
    assert_ok(emk_vault_read(v, MODEL_LEN - 1, &byte, 1, &e), &e);
    emk_vault_close(v);
}

static void rejects_vault_of_another_length(void **state)
{
    emk_error e;

    (void)state;
    vault.len--;
    expect_open(EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    vault.len = EMK_VAULT_SEALED - 1;
    expect_open(EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    vault.len = EMK_VAULT_SEALED;
    expect_open(EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    vault.len = 0;
    expect_open(EMK_E_FORMAT, EMK_NOTICED_LENGTH);
    vault.len = fresh.len;
    vault.max = fresh.len + 1;
    assert_ok(emk_buf_append(&vault, emk_span_of("", 1), &e), &e);
    expect_open(EMK_E_FORMAT, EMK_NOTICED_LENGTH);
}

static void rejects_another_device_and_another_issuer(void **state)
{
    emk_noticed noticed = EMK_NOTICED_NOTHING;
    emk_verify_key *mine = w.issuer_public;
    emk_vault *v;
    world other;
    emk_error e;

    (void)state;
    world_init(&other, EMK_KEM_X25519);
    assert_status(open_with(other.device_key, &v, &noticed, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_RECIPIENT);
    noticed = EMK_NOTICED_NOTHING;
    assert_status(open_with(w.request_key, &v, &noticed, &e), EMK_E_SEALED, &e);
    assert_int_equal(noticed, EMK_NOTICED_RECIPIENT);
    w.issuer_public = other.issuer_public;
    expect_open(EMK_E_SIGNATURE, EMK_NOTICED_SIGNATURE);
    w.issuer_public = mine;
    world_done(&other);
}

static void rejects_delivered_file_in_place_of_a_vault(void **state)
{
    (void)state;
    vault.p[9] = 1;
    expect_open(EMK_E_FORMAT, EMK_NOTICED_PREAMBLE);
}

static void rejects_region_0_with_a_changed_byte(void **state)
{
    (void)state;
    vault.p[EMK_VAULT_SEALED + 3] ^= 1;
    expect_open(EMK_E_SEALED, EMK_NOTICED_REGION);
}

/* ---- records ---- */

static void every_record_raises_the_generation_and_changes_slots(void **state)
{
    emk_sink sink = sink_of();
    emk_vault *v = open_it();
    emk_error e;

    (void)state;
    for (uint64_t i = 1; i <= 5; i++) {
        uint8_t a[EMK_VAULT_SLOT_LEN], b[EMK_VAULT_SLOT_LEN];

        memcpy(a, vault.p + EMK_VAULT_SLOT_A, sizeof a);
        memcpy(b, vault.p + SLOT_B, sizeof b);
        assert_ok(emk_vault_write_record(v, &sink, 10 * i, WORLD_NOW + i, &e), &e);
        assert_int_equal(emk_vault_record(v)->generation, i + 1);
        /* the slot in use is never touched */
        if (i % 2) {
            assert_memory_equal(a, vault.p + EMK_VAULT_SLOT_A, sizeof a);
            assert_memory_not_equal(b, vault.p + SLOT_B, sizeof b);
        } else {
            assert_memory_not_equal(a, vault.p + EMK_VAULT_SLOT_A, sizeof a);
            assert_memory_equal(b, vault.p + SLOT_B, sizeof b);
        }
        emk_vault_close(v);
        v = open_it();
        assert_int_equal(emk_vault_record(v)->generation, i + 1);
        assert_int_equal(emk_vault_record(v)->opens, 10 * i);
        assert_int_equal(emk_vault_record(v)->floor, WORLD_NOW + i);
        assert_int_equal(emk_vault_record(v)->accepted, WORLD_NOW);
    }
    emk_vault_close(v);
    assert_memory_equal(vault.p, fresh.p, EMK_VAULT_SLOT_A);
    assert_memory_equal(vault.p + EMK_VAULT_SEALED, fresh.p + EMK_VAULT_SEALED,
                        fresh.len - EMK_VAULT_SEALED);
}

static void write_second_record(void)
{
    emk_sink sink = sink_of();
    emk_vault *v = open_it();
    emk_error e;

    assert_ok(emk_vault_write_record(v, &sink, 1, WORLD_NOW + 7, &e), &e);
    emk_vault_close(v);
}

static uint64_t generation_now(void)
{
    emk_vault *v = open_it();
    uint64_t generation = emk_vault_record(v)->generation;

    emk_vault_close(v);
    return generation;
}

/* Wherever the second record was torn, the first is there. */
static void torn_slot_falls_back(void **state)
{
    (void)state;
    write_second_record();
    assert_int_equal(generation_now(), 2);
    for (size_t at = 0; at < EMK_VAULT_SLOT_LEN; at += at < 400 ? 3 : 211) {
        uint8_t kept[EMK_VAULT_SLOT_LEN];

        memcpy(kept, vault.p + SLOT_B, sizeof kept);
        memset(vault.p + SLOT_B + at, 0, sizeof kept - at);
        assert_int_equal(generation_now(), 1);
        memcpy(vault.p + SLOT_B, kept, sizeof kept);
        vault.p[SLOT_B + at] ^= 0x80;
        assert_int_equal(generation_now(), 1);
        vault.p[SLOT_B + at] ^= 0x80;
    }
    assert_int_equal(generation_now(), 2);
}

/* Whatever stands where the envelope was: also what the decoder calls too large. */
static void slot_with_any_bytes_in_its_envelope_falls_back(void **state)
{
    static const char *const starts[] = {"83 4A A1013BFFFFFFFFFFFFFFFF", /* an alg beyond 64 bits */
                                         "83 43 A10118 A2 3BFFFFFFFFFFFFFFFF", /* a key */
                                         "83 44 A1011835 A2 3BFFFFFFFFFFFFFFFF 40",
                                         "9BFFFFFFFFFFFFFFFF",
                                         "818181818181818181818181818181818181",
                                         "D8FF",
                                         "FF",
                                         "F97E00"};

    (void)state;
    write_second_record();
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        uint8_t kept[64], raw[64];
        size_t n = emk_unhex(starts[i], raw, sizeof raw);

        memcpy(kept, vault.p + SLOT_B + 64, n);
        memcpy(vault.p + SLOT_B + 64, raw, n);
        assert_int_equal(generation_now(), 1);
        memcpy(vault.p + SLOT_B + 64, kept, n);
    }
}

static void both_slots_torn_are_refused(void **state)
{
    (void)state;
    write_second_record();
    vault.p[EMK_VAULT_SLOT_A + 100] ^= 1;
    assert_int_equal(generation_now(), 2);
    vault.p[SLOT_B + 4032] ^= 1;
    expect_open(EMK_E_SEALED, EMK_NOTICED_COMMIT);
    memset(vault.p + EMK_VAULT_SLOT_A, 0, 2 * EMK_VAULT_SLOT_LEN);
    expect_open(EMK_E_FORMAT, EMK_NOTICED_CBOR);
}

static void wrong_mac_is_refused(void **state)
{
    static const size_t fields[] = {8 + 7, 32, 40, 48, 56, 62, 2000, 4064, 4095};

    (void)state;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        vault.p[EMK_VAULT_SLOT_A + fields[i]] ^= 2;
        /* a changed time of acceptance may be outside the certificate's period before that */
        if (fields[i] == 32)
            expect_open(EMK_E_SIGNATURE, EMK_NOTICED_SIGNATURE);
        else
            expect_open(EMK_E_SEALED, EMK_NOTICED_COMMIT);
        vault.p[EMK_VAULT_SLOT_A + fields[i]] ^= 2;
    }
}

static void vault_id_is_under_envelope_and_keys(void **state)
{
    (void)state;
    vault.p[EMK_VAULT_SLOT_A + 16] ^= 1;
    expect_open(EMK_E_SEALED, EMK_NOTICED_HPKE);
}

/* A slot of another vault of the same model on the same device. */
static void rejects_record_of_another_vault(void **state)
{
    emk_buf sealed, other;
    emk_plan plan;
    emk_error e;

    (void)state;
    world_plan(&w, emk_span_of(model, 1000), NULL, 0, &plan);
    assert_ok(world_seal(&w, emk_span_of(model, 1000), &plan, &sealed, &e), &e);
    assert_ok(world_accept(&w, emk_buf_span(&sealed), &other, NULL, &e), &e);
    memcpy(vault.p + EMK_VAULT_SLOT_A, other.p + EMK_VAULT_SLOT_A, EMK_VAULT_SLOT_LEN);
    expect_open(EMK_E_SEALED, EMK_NOTICED_HPKE);
    emk_buf_done(&sealed);
    emk_buf_done(&other);
    emk_plan_done(&plan);
}

static void failed_write_leaves_the_record_in_use(void **state)
{
    world_io to = {.fail_at = 1};
    emk_sink broken = world_io_sink(&to), sink = sink_of();
    emk_agree_key key = {EMK_KEM_P256, emk_kem_private_public(w.device_key)};
    emk_vault *v = open_it();
    emk_error e;

    (void)state;
    assert_status(emk_vault_write_record(v, &broken, 9, 9, &e), EMK_E_IO, &e);
    to.calls = 0;
    assert_status(emk_vault_rewrap(v, &broken, &key, &e), EMK_E_IO, &e);
    assert_int_equal(emk_vault_record(v)->generation, 1);
    assert_int_equal(emk_vault_record(v)->opens, 0);
    assert_ok(emk_vault_write_record(v, &sink, 1, WORLD_NOW, &e), &e);
    assert_int_equal(emk_vault_record(v)->generation, 2);
    emk_vault_close(v);
    assert_int_equal(generation_now(), 2);
}

/* ---- re-wrap ---- */

static void after_rewrap_the_old_key_is_refused_and_the_new_one_opens(void **state)
{
    emk_sink sink = sink_of();
    emk_agree_key to;
    uint8_t out[100];
    emk_vault *v;
    world other;
    emk_error e;

    (void)state;
    world_init(&other, EMK_KEM_X25519);
    to = (emk_agree_key){EMK_KEM_P256, emk_kem_private_public(other.device_key)};
    v = open_it();
    assert_ok(emk_vault_rewrap(v, &sink, &to, &e), &e);
    assert_int_equal(emk_vault_record(v)->generation, 2);
    /* the old slot would still open for the old key: the next record overwrites it */
    assert_ok(emk_vault_write_record(v, &sink, 3, WORLD_NOW + 3, &e), &e);
    emk_vault_close(v);
    assert_status(open_with(w.device_key, &v, NULL, &e), EMK_E_SEALED, &e);
    assert_ok(open_with(other.device_key, &v, NULL, &e), &e);
    assert_int_equal(emk_vault_record(v)->generation, 3);
    assert_int_equal(emk_vault_record(v)->opens, 3);
    assert_ok(emk_vault_read(v, 777, out, sizeof out, &e), &e);
    assert_memory_equal(out, model + 777, sizeof out);
    emk_vault_close(v);
    assert_memory_equal(vault.p, fresh.p, EMK_VAULT_SLOT_A);
    assert_memory_equal(vault.p + EMK_VAULT_SEALED, fresh.p + EMK_VAULT_SEALED,
                        fresh.len - EMK_VAULT_SEALED);
    world_done(&other);
}

/* [container 7.4]: only the KEMs a device's own key may have. */
static void rewrap_refuses_keys_that_no_device_has(void **state)
{
    emk_agree_key to = {EMK_KEM_X25519, emk_kem_private_public(w.request_key)};
    uint8_t zeros[65] = {4};
    emk_sink sink = sink_of();
    emk_vault *v = open_it();
    emk_error e;

    (void)state;
    assert_status(emk_vault_rewrap(v, &sink, &to, &e), EMK_E_UNSUPPORTED, &e);
    to.kem = 0x1234;
    assert_status(emk_vault_rewrap(v, &sink, &to, &e), EMK_E_UNSUPPORTED, &e);
    to = (emk_agree_key){EMK_KEM_P256, emk_span_of(zeros, 65)};
    assert_status(emk_vault_rewrap(v, &sink, &to, &e), EMK_E_FORMAT, &e);
    emk_vault_close(v);
    assert_bytes(emk_buf_span(&vault), emk_buf_span(&fresh));
}

/* ---- files ---- */

static void opens_and_changes_a_vault_in_a_file(void **state)
{
    char *dir = emk_test_dir_make(), path[4200];
    uint8_t *out = emk_alloc(MODEL_LEN, 1);
    emk_vault_in in;
    emk_source file;
    emk_sink sink;
    emk_vault *v;
    emk_error e;
    int fd;

    (void)state;
    assert_ok(emk_os_join(path, sizeof path, dir, "vault", "", &e), &e);
    assert_ok(emk_os_create_new(path, &fd, &e), &e);
    assert_ok(emk_os_write_at(fd, 0, fresh.p, fresh.len, &e), &e);
    assert_ok(emk_source_from_fd(&fd, &file, &e), &e);
    sink = emk_sink_from_fd(&fd);
    world_vault_in(&w, &file, &in);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_ok(emk_vault_open(w.crypto, &in, &v, &e), &e);
        assert_int_equal(emk_vault_record(v)->generation, i);
        assert_ok(emk_vault_read_all(v, out, 2, NULL, &e), &e);
        assert_memory_equal(out, model, MODEL_LEN);
        assert_ok(emk_vault_read(v, 1234567, out, 1000, &e), &e);
        assert_memory_equal(out, model + 1234567, 1000);
        assert_ok(emk_vault_verify(v, 2, NULL, &e), &e);
        assert_ok(emk_vault_write_record(v, &sink, i, WORLD_NOW + i, &e), &e);
        emk_vault_close(v);
    }
    emk_os_close(fd);
    emk_free(out);
    emk_test_dir_remove(dir);
}

static void hands_on_every_failure_of_the_source(void **state)
{
    uint8_t *out = emk_alloc(MODEL_LEN, 1);
    emk_status st = EMK_E_IO;
    uint64_t n;

    (void)state;
    for (n = 1; st != EMK_OK; n++) {
        world_io from = {.from = emk_buf_span(&vault), .fail_at = n};
        emk_source s = world_io_source(&from);
        emk_vault_in in;
        emk_vault *v;
        emk_error e;

        world_vault_in(&w, &s, &in);
        st = emk_vault_open(w.crypto, &in, &v, &e);
        if (st == EMK_OK) {
            memset(out, 0xEE, MODEL_LEN);
            st = emk_vault_read_all(v, out, 1, NULL, &e);
            for (size_t i = 0; st != EMK_OK && i < MODEL_LEN; i += 4099)
                assert_int_equal(out[i], 0);
            if (st == EMK_OK)
                st = emk_vault_verify(v, 1, NULL, &e);
            emk_vault_close(v);
        }
        if (st != EMK_OK)
            assert_status(st, EMK_E_IO, &e);
    }
    assert_true(n > 15);
    emk_free(out);
}

int main(void)
{
    int failed;

    make_all();
    failed = EMK_RUN(
        rule(lends_what_was_sealed), rule(read_of_random_ranges_equals_the_model),
        rule(read_at_every_edge_of_a_region), rule(rejects_reads_outside_the_model),
        rule(reads_with_every_number_of_threads_and_no_other),
        rule(releases_nothing_of_a_changed_segment), rule(threads_that_all_refuse_notice_one_thing),
        rule(rejects_tags_that_changed_places), rule(rejects_vault_of_another_length),
        rule(rejects_another_device_and_another_issuer),
        rule(rejects_delivered_file_in_place_of_a_vault),
        rule(rejects_region_0_with_a_changed_byte),
        rule(every_record_raises_the_generation_and_changes_slots), rule(torn_slot_falls_back),
        rule(slot_with_any_bytes_in_its_envelope_falls_back), rule(both_slots_torn_are_refused),
        rule(wrong_mac_is_refused), rule(vault_id_is_under_envelope_and_keys),
        rule(rejects_record_of_another_vault), rule(failed_write_leaves_the_record_in_use),
        rule(after_rewrap_the_old_key_is_refused_and_the_new_one_opens),
        rule(rewrap_refuses_keys_that_no_device_has), rule(opens_and_changes_a_vault_in_a_file),
        rule(hands_on_every_failure_of_the_source));
    emk_buf_done(&fresh);
    emk_free(model);
    world_done(&w);
    return failed;
}
