/* A model is sealed, accepted, opened, changed and closed, with and without failures, all from
 * and to files.  Afterwards no content key, no key made from one and nothing of the model is
 * left in any writable memory. */
#include "core/base/os_file.h"
#include "core/base/secret.h"
#include "core/crypto/kdf.h"
#include "core/crypto/random.h"
#include "core/seal/record.h"
#include "tests/support/memory_scan.h"
#include "tests/unit/core/seal/world.h"

#define MODEL_LEN   (2u * EMK_SEGMENT_LEN + 400000u)
#define SAMPLES     12u
#define SAMPLE_LEN  32u
#define FILES       3u
#define CLEAR_BYTES 50000u

static world w;
static char *dir;
static int fds[FILES]; /* model, sealed, vault */
enum { MODEL, SEALED, VAULT };

/* Runs on a stack of its own, where an assert must not jump. */
static void need(emk_status st, emk_status want)
{
    if (st != want)
        abort();
}

static void make_files(void)
{
    static const char *const names[FILES] = {"model", "sealed", "vault"};
    static uint8_t block[4096];
    char path[4200];
    emk_error e;

    dir = emk_test_dir_make();
    for (unsigned i = 0; i < FILES; i++) {
        assert_ok(emk_os_join(path, sizeof path, dir, names[i], "", &e), &e);
        assert_ok(emk_os_create_new(path, &fds[i], &e), &e);
    }
    for (uint64_t at = 0; at < MODEL_LEN; at += sizeof block) {
        size_t len = MODEL_LEN - at < sizeof block ? (size_t)(MODEL_LEN - at) : sizeof block;

        assert_ok(emk_random_secret(w.crypto, block, len, &e), &e);
        assert_ok(emk_os_write_at(fds[MODEL], at, block, len, &e), &e);
    }
    emk_wipe(block, sizeof block);
}

static void seal_it(void)
{
    emk_region regions[4] = {{100000, 0}, {EMK_SEGMENT_LEN + 5, 1}, {CLEAR_BYTES, 2}, {0, 0}};
    emk_sink sink = emk_sink_from_fd(&fds[SEALED]);
    emk_source model;
    emk_sealing *s;
    emk_seal_in in;
    emk_plan plan;

    regions[3].length = MODEL_LEN - 100000 - EMK_SEGMENT_LEN - 5 - CLEAR_BYTES;
    need(emk_source_from_fd(&fds[MODEL], &model, NULL), EMK_OK);
    need(emk_plan_init(&plan, w.crypto, MODEL_LEN, 4, NULL), EMK_OK);
    memcpy(plan.regions, regions, sizeof regions);
    need(emk_plan_digest(&plan, w.crypto, &model, 2, NULL, NULL), EMK_OK);
    world_seal_in(&w, &model, &plan, &in);
    need(emk_sealing_new(w.crypto, &in, &s, NULL), EMK_OK);
    need(emk_sealing_write(s, &sink, 2, NULL, NULL), EMK_OK);
    emk_sealing_free(s);
    emk_plan_done(&plan);
}

static void accept_it(emk_status want)
{
    emk_sink sink = emk_sink_from_fd(&fds[VAULT]);
    emk_accept_out out = {.vault = &sink, .accepted = WORLD_NOW, .floor = WORLD_NOW, .threads = 2};
    emk_source sealed;
    uint8_t id[16];
    emk_accept_in in;
    emk_accept *a;

    need(emk_source_from_fd(&fds[SEALED], &sealed, NULL), EMK_OK);
    world_accept_in(&w, &sealed, &in);
    need(emk_accept_new(w.crypto, &in, &a, NULL), EMK_OK);
    need(emk_accept_write(a, &out, id, NULL), want);
    emk_accept_free(a);
}

static void open_it(emk_status want)
{
    emk_sink sink = emk_sink_from_fd(&fds[VAULT]);
    emk_agree_key to = {EMK_KEM_P256, emk_kem_private_public(w.device_key)};
    emk_source file;
    emk_vault_in in;
    emk_secret *room;
    emk_vault *v;

    need(emk_source_from_fd(&fds[VAULT], &file, NULL), EMK_OK);
    world_vault_in(&w, &file, &in);
    need(emk_vault_open(w.crypto, &in, &v, NULL), EMK_OK);
    need(emk_secret_new(EMK_SECRET_MAX, &room, NULL), EMK_OK);
    need(emk_vault_read(v, MODEL_LEN - 10000, emk_secret_bytes(room), 10000, NULL), want);
    need(emk_vault_verify(v, 2, NULL, NULL), want);
    emk_secret_free(room);
    need(emk_vault_write_record(v, &sink, 1, WORLD_NOW, NULL), EMK_OK);
    need(emk_vault_rewrap(v, &sink, &to, NULL), EMK_OK);
    emk_vault_close(v);
}

static void change_byte(int fd, uint64_t at)
{
    uint8_t byte;

    need(emk_os_read_at(fd, at, &byte, 1, NULL), EMK_OK);
    byte ^= 1;
    need(emk_os_write_at(fd, at, &byte, 1, NULL), EMK_OK);
}

static void everything(void *self)
{
    uint64_t len;

    (void)self;
    seal_it();
    need(emk_os_file_size(fds[SEALED], &len, NULL), EMK_OK);
    change_byte(fds[SEALED], len - 1);
    accept_it(EMK_E_SEALED);
    change_byte(fds[SEALED], len - 1);
    accept_it(EMK_OK);
    need(emk_os_file_size(fds[VAULT], &len, NULL), EMK_OK);
    change_byte(fds[VAULT], len - 1);
    open_it(EMK_E_SEALED);
    change_byte(fds[VAULT], len - 1);
    open_it(EMK_OK);
}

/* ---- what to look for, worked out once everything is over ---- */

static void look_for_key(const uint8_t prk[32], emk_span label)
{
    uint8_t key[32];

    need(emk_hkdf_expand(w.crypto, prk, label, key, 32, NULL), EMK_OK);
    emk_scan_look_for(key, 32);
    emk_wipe(key, 32);
}

static void look_for_keys(const uint8_t cek[32], const uint8_t hh[32], emk_layer layer)
{
    static const char region[] = "earmark/1 region key";
    uint8_t prk[32], label[sizeof region + 4] = {0};

    need(emk_hkdf_extract(w.crypto, emk_span_of(hh, 32), emk_span_of(cek, 32), prk, NULL), EMK_OK);
    emk_scan_look_for(cek, 32);
    emk_scan_look_for(prk, 32);
    if (layer == EMK_LAYER_FILE)
        look_for_key(prk, emk_span_str("earmark/1 file key"));
    else
        look_for_key(prk, emk_span_str("earmark/1 local mac"));
    memcpy(label, region, sizeof region);
    for (uint8_t r = 0; layer == EMK_LAYER_WEIGHTS && r <= 4; r++) {
        label[sizeof label - 1] = r;
        look_for_key(prk, emk_span_of(label, sizeof label));
    }
    emk_wipe(prk, 32);
}

static void read_header(const uint8_t *bytes, emk_layer layer, emk_header *h, uint8_t hh[32])
{
    uint32_t len;

    need(emk_preamble_read(bytes, layer, &len, NULL), EMK_OK);
    need(emk_header_parse(w.crypto, emk_span_of(bytes, 16 + len), layer, h, NULL), EMK_OK);
    need(emk_header_verify(w.crypto, h, w.issuer_public, WORLD_NOW, hh, NULL), EMK_OK);
}

static void look_for_file_keys(void)
{
    static uint8_t bytes[EMK_HEADER_MAX];
    static emk_header h;
    emk_envelope_context ctx = {.extra = h.core_hash};
    uint8_t hh[32], cek[32];

    need(emk_os_read_at(fds[SEALED], 0, bytes, sizeof bytes, NULL), EMK_OK);
    read_header(bytes, EMK_LAYER_FILE, &h, hh);
    ctx.content_alg = h.core.content_alg;
    need(emk_recipient_unwrap(&h.recipients[0], &ctx, w.request_key, cek, NULL), EMK_OK);
    look_for_keys(cek, hh, EMK_LAYER_FILE);
    emk_wipe(cek, 32);
}

/* The weights layer's keys as delivered, and the vault's. */
static void look_for_weights_keys(void)
{
    static uint8_t bytes[EMK_VAULT_SEALED];
    static emk_header h;
    uint8_t hh[32], vhh[32], extra[32], cek[32];
    emk_envelope_context ctx = {.extra = h.core_hash, .hint = true};
    emk_recipient local;
    emk_cbor_reader r;
    emk_slot slot;

    need(emk_os_read_at(fds[VAULT], 0, bytes, sizeof bytes, NULL), EMK_OK);
    read_header(bytes, EMK_LAYER_WEIGHTS, &h, hh);
    ctx.content_alg = h.core.content_alg;
    need(emk_recipient_unwrap(&h.recipients[0], &ctx, w.device_key, cek, NULL), EMK_OK);
    look_for_keys(cek, hh, EMK_LAYER_WEIGHTS);
    need(emk_slot_parse(bytes + EMK_VAULT_SLOT_A, &slot, NULL), EMK_OK);
    need(emk_vault_hash(w.crypto, hh, slot.record.vault_id, vhh, NULL), EMK_OK);
    need(emk_local_extra(w.crypto, h.core_hash, slot.record.vault_id, extra, NULL), EMK_OK);
    emk_cbor_reader_init(&r, slot.envelope);
    emk_recipient_read(&r, true, &local);
    ctx.extra = extra;
    need(emk_recipient_unwrap(&local, &ctx, w.device_key, cek, NULL), EMK_OK);
    look_for_keys(cek, vhh, EMK_LAYER_WEIGHTS);
    emk_wipe(cek, 32);
}

static void look_for_model(void)
{
    uint8_t sample[SAMPLE_LEN];

    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t at = i * (uint64_t)(MODEL_LEN - SAMPLE_LEN) / (SAMPLES - 1);

        if (at > 100000 + EMK_SEGMENT_LEN && at < 100005 + EMK_SEGMENT_LEN + CLEAR_BYTES)
            continue; /* clear, so no secret */
        need(emk_os_read_at(fds[MODEL], at, sample, sizeof sample, NULL), EMK_OK);
        emk_scan_look_for(sample, sizeof sample);
    }
    emk_wipe(sample, sizeof sample);
}

static void nothing_is_left_of_keys_and_model(void **state)
{
    (void)state;
    emk_scan_run_apart(everything, NULL);
    look_for_file_keys();
    look_for_weights_keys();
    look_for_model();
    assert_int_equal(emk_scan_count(), 0);
    emk_scan_forget();
}

static void would_be_found(void **state)
{
    static uint8_t copy[SAMPLE_LEN];
    emk_error e;

    (void)state;
    look_for_model();
    assert_ok(emk_os_read_at(fds[MODEL], 0, copy, sizeof copy, &e), &e);
    assert_true(emk_scan_count() > 0);
    emk_wipe(copy, sizeof copy);
    emk_scan_forget();
}

int main(void)
{
    int failed;

    if (!emk_scan_works()) {
        print_message("SKIP a sanitizer keeps freed memory and maps terabytes\n");
        return EMK_TEST_SKIP;
    }
    world_init(&w, EMK_KEM_X25519);
    make_files();
    failed = EMK_RUN(emk_rule(nothing_is_left_of_keys_and_model), emk_rule(would_be_found));
    for (unsigned i = 0; i < FILES; i++)
        emk_os_close(fds[i]);
    emk_test_dir_remove(dir);
    world_done(&w);
    return failed;
}
