/* Known answers by Python's hashlib, from [container 6.4] alone, with
 * dsalt = bytes(range(0x40, 0x60)):
 *
 *     sha256(b"earmark/1 leaf\0" + dsalt + pack(">II", 1, 0) + b"plain")   and so on */
#include "core/seal/digest.h"

#include "tests/support/test.h"

static emk_crypto *crypto;
static emk_sha256_ctx *hash;
static uint8_t dsalt[32];

static void leaf(uint32_t r, uint32_t s, const char *plain, uint8_t out[32])
{
    emk_segment seg = {.region = r, .in_region = s, .number = 99, .len = 5, .at = 12345};
    emk_error e;

    assert_ok(emk_digest_leaf(hash, dsalt, &seg, emk_span_str(plain), out, &e), &e);
}

static void expect_hex(const uint8_t got[32], const char *hex)
{
    uint8_t want[32];

    assert_int_equal(emk_unhex(hex, want, 32), 32);
    assert_bytes(emk_span_of(got, 32), emk_span_of(want, 32));
}

static void leaves_are_known_answers(void **state)
{
    uint8_t got[32];

    (void)state;
    leaf(1, 0, "plain", got);
    expect_hex(got, "aec9aa9618976d92c603af563873466a378e10f86a069e6554e5c6e91fa54dff");
    leaf(258, 3, "plain", got);
    expect_hex(got, "4be4dcb7f73c21bc84cd3b9de4f61b9577b93c3c1d4c91e5625e6106b816c8d6");
}

static void digest_of_a_region_is_a_known_answer(void **state)
{
    uint8_t leaves[2][32], got[32];
    emk_digest_region_in in = {.dsalt = dsalt,
                               .region = 7,
                               .length = 1048577,
                               .leaves = (const uint8_t(*)[32])leaves,
                               .n_leaves = 2};
    emk_error e;

    (void)state;
    leaf(7, 0, "a", leaves[0]);
    leaf(7, 1, "b", leaves[1]);
    assert_ok(emk_digest_region(hash, &in, got, &e), &e);
    expect_hex(got, "4560ec40146753feb94cc4da79bb32039a6e7edac22bf89b629059306975b69a");
}

static void salt_region_segment_and_bytes_all_count(void **state)
{
    uint8_t first[32], got[32];

    (void)state;
    leaf(1, 0, "plain", first);
    leaf(2, 0, "plain", got);
    assert_memory_not_equal(first, got, 32);
    leaf(1, 1, "plain", got);
    assert_memory_not_equal(first, got, 32);
    leaf(1, 0, "plaiN", got);
    assert_memory_not_equal(first, got, 32);
    dsalt[31] ^= 1;
    leaf(1, 0, "plain", got);
    dsalt[31] ^= 1;
    assert_memory_not_equal(first, got, 32);
}

static void rejects_leaves_and_digests_that_differ(void **state)
{
    emk_region regions[3] = {{3, 0}, {EMK_SEGMENT_LEN + 1, 1}, {4, 2}};
    uint8_t digests[3][32], leaves[4][32] = {{1}, {2}, {3}, {4}};
    static const uint32_t of[4] = {0, 1, 1, 2};
    emk_plan plan = {
        .regions = regions, .n_regions = 3, .digests = digests, .model_len = 8 + EMK_SEGMENT_LEN};
    emk_layout l;
    emk_error e;

    (void)state;
    memcpy(plan.dsalt, dsalt, 32);
    assert_ok(emk_layout_init(&l, &plan, 10, &e), &e);
    for (uint32_t i = 0, at = 0; i < 3; i++) {
        emk_digest_region_in in = {.dsalt = dsalt,
                                   .region = i + 1,
                                   .length = regions[i].length,
                                   .leaves = (const uint8_t(*)[32])leaves + at,
                                   .n_leaves = emk_segments_of(regions[i].length)};

        assert_ok(emk_digest_region(hash, &in, digests[i], &e), &e);
        at += in.n_leaves;
    }
    assert_ok(emk_digest_check(crypto, &plan, &l, (const uint8_t(*)[32])leaves, &e), &e);
    for (uint32_t i = 0; i < 4; i++) {
        leaves[i][31] ^= 0x10;
        assert_status(emk_digest_check(crypto, &plan, &l, (const uint8_t(*)[32])leaves, &e),
                      EMK_E_SEALED, &e);
        assert_int_equal(e.where, of[i]);
        leaves[i][31] ^= 0x10;
    }
    for (uint32_t i = 0; i < 3; i++) {
        digests[i][0] ^= 1;
        assert_status(emk_digest_check(crypto, &plan, &l, (const uint8_t(*)[32])leaves, &e),
                      EMK_E_SEALED, &e);
        digests[i][0] ^= 1;
    }
    plan.digests = NULL; /* this file has none */
    leaves[0][0] ^= 1;
    assert_ok(emk_digest_check(crypto, &plan, &l, (const uint8_t(*)[32])leaves, &e), &e);
    emk_layout_done(&l);
}

int main(void)
{
    emk_error e;
    int failed;

    for (unsigned i = 0; i < 32; i++)
        dsalt[i] = (uint8_t)(0x40 + i);
    if (emk_crypto_new(NULL, NULL, &crypto, &e) != EMK_OK ||
        emk_sha256_ctx_new(crypto, &hash, &e) != EMK_OK)
        return 1;
    failed =
        EMK_RUN(emk_rule(leaves_are_known_answers), emk_rule(digest_of_a_region_is_a_known_answer),
                emk_rule(salt_region_segment_and_bytes_all_count),
                emk_rule(rejects_leaves_and_digests_that_differ));
    emk_sha256_ctx_free(hash);
    emk_crypto_free(crypto);
    return failed;
}
