#include "core/base/alloc.h"
#include "tests/unit/core/seal/world.h"

#include <string.h>

static void round_trip(world *w, size_t len, const emk_region *regions, uint32_t n)
{
    uint8_t *bytes = emk_alloc(len + 1, 1);
    emk_span model = emk_span_of(bytes, len);
    emk_buf sealed, vault, opened;
    emk_plan plan;
    emk_error e;

    world_fill(bytes, len);
    world_plan(w, model, regions, n, &plan);
    assert_ok(world_seal(w, model, &plan, &sealed, &e), &e);
    assert_ok(world_accept(w, emk_buf_span(&sealed), &vault, NULL, &e), &e);
    assert_ok(world_open(w, emk_buf_span(&vault), &opened, NULL, &e), &e);
    assert_bytes(emk_buf_span(&opened), model);
    emk_buf_done(&sealed);
    emk_buf_done(&vault);
    emk_buf_done(&opened);
    emk_plan_done(&plan);
    emk_free(bytes);
}

/* Every length at which a chunk, a segment or a batch ends or begins. */
static void opens_what_was_sealed_at_every_edge(void **state)
{
    static const size_t lens[] = {0,       1,       15,      16,      4095,    65535,
                                  65536,   65537,   130000,  1048575, 1048576, 1048577,
                                  2097152, 2097153, 3000000, 4194304, 5242881};
    world w;

    (void)state;
    world_init(&w, EMK_KEM_X25519);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
        round_trip(&w, lens[i], NULL, 0);
    /* and where the weights layer ends exactly with a chunk, or a byte beside it */
    for (size_t i = 64000; i < 66000; i += 1)
        if (i % 97 == 0)
            round_trip(&w, i, NULL, 0);
    world_done(&w);
}

static void opens_files_of_many_regions_with_several_threads(void **state)
{
    emk_region regions[3000];
    size_t len = 0;
    world w;

    (void)state;
    world_init(&w, EMK_KEM_X25519);
    for (uint32_t i = 0; i < 3000; i++) {
        regions[i].length = i % 7 == 0 ? 1 : i % 501 == 0 ? 1500000 : 17 * i % 900 + 1;
        regions[i].kind = (uint8_t)(i % 3);
        len += (size_t)regions[i].length;
    }
    for (w.threads = 1; w.threads <= 6; w.threads++)
        round_trip(&w, len, regions, 3000);
    world_done(&w);
}

static void works_with_every_suite_this_libcrypto_has(void **state)
{
    static const uint16_t kems[] = {EMK_KEM_X25519, EMK_KEM_P256, EMK_KEM_XWING,
                                    EMK_KEM_MLKEM768_P256};
    world w;

    (void)state;
    for (size_t i = 0; i < sizeof kems / sizeof kems[0]; i++) {
        world_init(&w, EMK_KEM_X25519);
        if (emk_kem_is_supported(w.crypto, kems[i])) {
            world_done(&w);
            world_init(&w, kems[i]);
            round_trip(&w, 100000, NULL, 0);
            w.chacha = true;
            round_trip(&w, 100000, NULL, 0);
        }
        world_done(&w);
    }
}

/* A file whose every byte is flipped in turn must never open; the last line of defence is the
 * one outward error, the first the format. */
static void refuses_every_flipped_byte(void **state)
{
    uint8_t bytes[3000];
    emk_span model = emk_span_of(bytes, sizeof bytes);
    emk_buf sealed, vault;
    emk_plan plan;
    emk_error e;
    world w;

    (void)state;
    world_init(&w, EMK_KEM_X25519);
    world_fill(bytes, sizeof bytes);
    world_plan(&w, model, NULL, 0, &plan);
    assert_ok(world_seal(&w, model, &plan, &sealed, &e), &e);
    for (size_t i = 0; i < sealed.len; i++) {
        emk_status st;

        sealed.p[i] ^= 0x40;
        st = world_accept(&w, emk_buf_span(&sealed), &vault, NULL, &e);
        assert_int_not_equal(st, EMK_OK);
        assert_int_not_equal(st, EMK_E_CRYPTO);
        sealed.p[i] ^= 0x40;
    }
    for (size_t len = 0; len < sealed.len; len += 13) {
        emk_status st = world_accept(&w, emk_span_of(sealed.p, len), &vault, NULL, &e);

        assert_int_not_equal(st, EMK_OK);
    }
    emk_buf_done(&sealed);
    emk_plan_done(&plan);
    world_done(&w);
}

static void refuses_every_flipped_byte_of_a_vault_that_is_read(void **state)
{
    uint8_t bytes[3000];
    emk_span model = emk_span_of(bytes, sizeof bytes);
    emk_buf sealed, vault, opened;
    unsigned opened_n = 0;
    emk_plan plan;
    emk_error e;
    world w;

    (void)state;
    world_init(&w, EMK_KEM_X25519);
    world_fill(bytes, sizeof bytes);
    world_plan(&w, model, NULL, 0, &plan);
    assert_ok(world_seal(&w, model, &plan, &sealed, &e), &e);
    assert_ok(world_accept(&w, emk_buf_span(&sealed), &vault, NULL, &e), &e);
    for (size_t i = 0; i<vault.len; i += i> 1200 && i < 69600 ? 997 : 7) {
        emk_status st;

        vault.p[i] ^= 1;
        st = world_open(&w, emk_buf_span(&vault), &opened, NULL, &e);
        if (st == EMK_OK) { /* padding: of the header, between the parts, the empty slot */
            assert_bytes(emk_buf_span(&opened), model);
            emk_buf_done(&opened);
            opened_n++;
        }
        vault.p[i] ^= 1;
    }
    assert_true(opened_n > 100);
    emk_buf_done(&sealed);
    emk_buf_done(&vault);
    emk_plan_done(&plan);
    world_done(&w);
}

static void sealing_is_written_once(void **state)
{
    uint8_t bytes[10] = {1}, out[20000];
    emk_source source = emk_source_from_span(emk_span_of(bytes, sizeof bytes));
    emk_sink sink = emk_sink_from_memory(out, sizeof out);
    emk_seal_in in = {.model = &source};
    emk_sealing *s;
    emk_plan plan;
    emk_error e;
    world w;

    (void)state;
    world_init(&w, EMK_KEM_X25519);
    world_plan(&w, emk_span_of(bytes, sizeof bytes), NULL, 0, &plan);
    in.plan = &plan;
    in.signer = &w.issuer;
    in.policy = emk_buf_span(&w.policy_bytes);
    in.identity = emk_buf_span(&w.identity_bytes);
    in.device_key = (emk_agree_key){EMK_KEM_P256, emk_kem_private_public(w.device_key)};
    in.request_key = (emk_agree_key){EMK_KEM_X25519, emk_kem_private_public(w.request_key)};
    assert_ok(emk_sealing_new(w.crypto, &in, &s, &e), &e);
    assert_ok(emk_sealing_write(s, &sink, 1, NULL, &e), &e);
    assert_status(emk_sealing_write(s, &sink, 1, NULL, &e), EMK_E_USAGE, &e);
    emk_sealing_free(s);
    emk_plan_done(&plan);
    world_done(&w);
}

/* The same bytes sealed twice have nothing in common: fresh keys each time. */
static void two_sealings_share_no_ciphertext(void **state)
{
    uint8_t bytes[200000];
    emk_span model = emk_span_of(bytes, sizeof bytes);
    emk_buf a, b;
    emk_plan plan;
    emk_error e;
    world w;

    (void)state;
    memset(bytes, 0, sizeof bytes);
    world_init(&w, EMK_KEM_X25519);
    world_plan(&w, model, NULL, 0, &plan);
    assert_ok(world_seal(&w, model, &plan, &a, &e), &e);
    assert_ok(world_seal(&w, model, &plan, &b, &e), &e);
    assert_int_equal(a.len, b.len);
    for (size_t i = 2000; i + 16 < a.len; i += 16)
        assert_memory_not_equal(a.p + i, b.p + i, 16);
    emk_buf_done(&a);
    emk_buf_done(&b);
    emk_plan_done(&plan);
    world_done(&w);
}

int main(void)
{
    return EMK_RUN(emk_rule(opens_what_was_sealed_at_every_edge),
                   emk_rule(opens_files_of_many_regions_with_several_threads),
                   emk_rule(works_with_every_suite_this_libcrypto_has),
                   emk_rule(refuses_every_flipped_byte),
                   emk_rule(refuses_every_flipped_byte_of_a_vault_that_is_read),
                   emk_rule(sealing_is_written_once), emk_rule(two_sealings_share_no_ciphertext));
}
