#include "core/crypto/dh.h"
#include "tests/unit/core/crypto/context.h"

#define P256_ORDER "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
#define P256_2G_X  "7cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc47669978"
#define P256_P     "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"

/* Every u that gives zero: orders 1, 2, 4, 8 and their unreduced forms.  [RFC 7748 6.1] */
static const char *const LOW_ORDER[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

/* RFC 7748 5.2, after 1 and after 1,000 rounds. */
static void x25519_of_rfc_7748(void **state)
{
    uint8_t k[32] = {9}, u[32] = {9}, x[32], want[32];
    emk_error e;

    (void)state;
    for (int i = 1; i <= 1000; i++) {
        assert_ok(emk_dh_x25519(test_crypto(), k, u, x, &e), &e);
        memcpy(u, k, 32);
        memcpy(k, x, 32);
        if (i == 1) {
            emk_unhex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079", want, 32);
            assert_memory_equal(k, want, 32);
        }
    }
    emk_unhex("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51", want, 32);
    assert_memory_equal(k, want, 32);
}

static void p256_public_and_secret_of_small_multiples_of_g(void **state)
{
    uint8_t priv[32] = {0}, g[65], pub[65], x[32], want[32];
    emk_error e;

    (void)state;
    emk_unhex(TEST_P256_G, g, sizeof g);
    emk_unhex(P256_2G_X, want, sizeof want);
    priv[31] = 1;
    assert_ok(emk_p256_public(test_crypto(), priv, pub, &e), &e);
    assert_memory_equal(pub, g, sizeof g);
    priv[31] = 2;
    assert_ok(emk_p256_public(test_crypto(), priv, pub, &e), &e);
    assert_memory_equal(pub + 1, want, 32);
    assert_ok(emk_dh_p256(test_crypto(), priv, g, x, &e), &e);
    assert_memory_equal(x, want, 32);
}

static void both_sides_of_a_generated_pair_agree(void **state)
{
    uint8_t a[32], b[32], a_pub[65], b_pub[65], x[32], y[32];
    emk_error e;

    (void)state;
    assert_ok(emk_p256_generate(test_crypto(), a, a_pub, &e), &e);
    assert_ok(emk_p256_generate(test_crypto(), b, b_pub, &e), &e);
    assert_ok(emk_dh_p256(test_crypto(), a, b_pub, x, &e), &e);
    assert_ok(emk_dh_p256(test_crypto(), b, a_pub, y, &e), &e);
    assert_memory_equal(x, y, 32);
    assert_ok(emk_x25519_generate(test_crypto(), a, a_pub, &e), &e);
    assert_ok(emk_x25519_generate(test_crypto(), b, b_pub, &e), &e);
    assert_ok(emk_dh_x25519(test_crypto(), a, b_pub, x, &e), &e);
    assert_ok(emk_dh_x25519(test_crypto(), b, a_pub, y, &e), &e);
    assert_memory_equal(x, y, 32);
    assert_ok(emk_x25519_public(test_crypto(), a, b_pub, &e), &e);
    assert_memory_equal(a_pub, b_pub, 32);
}

static void refuses_x25519_peer_of_low_order(void **state)
{
    uint8_t priv[32] = {1}, peer[32], x[32], before[32];
    emk_error e;

    (void)state;
    memset(x, 0xaa, sizeof x);
    memcpy(before, x, sizeof x);
    for (size_t i = 0; i < sizeof LOW_ORDER / sizeof LOW_ORDER[0]; i++) {
        for (int high = 0; high < 2; high++) {
            emk_unhex(LOW_ORDER[i], peer, sizeof peer);
            peer[31] |= (uint8_t)(high << 7);
            assert_status(emk_dh_x25519(test_crypto(), priv, peer, x, &e), EMK_E_FORMAT, &e);
            assert_memory_equal(x, before, sizeof x);
        }
    }
}

static void masks_the_high_bit_of_an_x25519_peer(void **state)
{
    uint8_t priv[32] = {1}, peer[32] = {9}, x[32], y[32];
    emk_error e;

    (void)state;
    assert_ok(emk_dh_x25519(test_crypto(), priv, peer, x, &e), &e);
    peer[31] |= 0x80;
    assert_ok(emk_dh_x25519(test_crypto(), priv, peer, y, &e), &e);
    assert_memory_equal(x, y, 32);
}

static void refuses_peer(const uint8_t peer[65])
{
    static const uint8_t priv[32] = {1};
    uint8_t x[32] = {0xaa};
    emk_error e;

    assert_status(emk_p256_check_public(test_crypto(), peer, &e), EMK_E_FORMAT, &e);
    assert_status(emk_dh_p256(test_crypto(), priv, peer, x, &e), EMK_E_FORMAT, &e);
    assert_int_equal(x[0], 0xaa);
}

static void refuses_p256_forms_other_than_uncompressed(void **state)
{
    uint8_t g[65];

    (void)state;
    emk_unhex(TEST_P256_G, g, sizeof g);
    for (unsigned first = 0; first < 256; first++) {
        g[0] = (uint8_t)first;
        if (first != 4)
            refuses_peer(g);
    }
}

static void refuses_p256_point_off_the_curve(void **state)
{
    uint8_t g[65];

    (void)state;
    emk_unhex(TEST_P256_G, g, sizeof g);
    for (size_t bit = 8; bit < 8 * sizeof g; bit++) {
        flip(g, bit);
        refuses_peer(g);
        flip(g, bit);
    }
    memset(g + 1, 0, 64);
    refuses_peer(g);
    g[32] = 1; /* (1, 2): on a curve with another b */
    g[64] = 2;
    refuses_peer(g);
}

static void refuses_p256_coordinate_of_p_and_above(void **state)
{
    uint8_t g[65], p[32];

    (void)state;
    emk_unhex(P256_P, p, sizeof p);
    emk_unhex(TEST_P256_G, g, sizeof g);
    memcpy(g + 1, p, 32);
    refuses_peer(g);
    emk_unhex(TEST_P256_G, g, sizeof g);
    memcpy(g + 33, p, 32);
    refuses_peer(g);
    /* x = 5 is on the curve; 5 + p still fits 32 bytes and means the same residue */
    emk_unhex("04ffffffff00000001000000000000000000000001000000000000000000000004"
              "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc",
              g, sizeof g);
    refuses_peer(g);
    emk_unhex("040000000000000000000000000000000000000000000000000000000000000005"
              "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc",
              g, sizeof g);
    assert_ok(emk_p256_check_public(test_crypto(), g, NULL), NULL);
}

/* (0, sqrt(b)) is a point like any other. */
static void accepts_a_p256_secret_of_zeros(void **state)
{
    static const uint8_t zeros[32];
    uint8_t priv[32] = {0}, peer[65], x[32] = {0x77};
    emk_error e;

    (void)state;
    priv[31] = 1;
    emk_unhex("040000000000000000000000000000000000000000000000000000000000000000"
              "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4",
              peer, sizeof peer);
    assert_ok(emk_dh_p256(test_crypto(), priv, peer, x, &e), &e);
    assert_memory_equal(x, zeros, sizeof x);
}

static void accepts_p256_private_keys_from_1_to_n_minus_1_only(void **state)
{
    uint8_t n[32], one[32] = {0}, zero[32] = {0}, g[65], pub[65], x[32];
    emk_error e;

    (void)state;
    emk_unhex(TEST_P256_G, g, sizeof g);
    emk_unhex(P256_ORDER, n, sizeof n);
    one[31] = 1;
    assert_true(emk_p256_private_is_valid(one));
    assert_false(emk_p256_private_is_valid(zero));
    n[31]--;
    assert_true(emk_p256_private_is_valid(n));
    assert_ok(emk_p256_public(test_crypto(), n, pub, &e), &e);
    assert_memory_equal(pub + 1, g + 1, 32); /* -G */
    assert_memory_not_equal(pub + 33, g + 33, 32);
    for (int i = 0; i < 3; i++) {
        const uint8_t *bad = i == 0 ? zero : n;

        if (i)
            n[31]++; /* n, then n + 1 */
        assert_false(emk_p256_private_is_valid(bad));
        assert_status(emk_p256_public(test_crypto(), bad, pub, &e), EMK_E_FORMAT, &e);
        assert_status(emk_dh_p256(test_crypto(), bad, g, x, &e), EMK_E_FORMAT, &e);
    }
    memset(n, 0xff, sizeof n);
    assert_false(emk_p256_private_is_valid(n));
    emk_unhex(P256_ORDER, n, sizeof n);
    n[0]--; /* far below n although every later byte may be above */
    memset(n + 1, 0xff, 31);
    assert_true(emk_p256_private_is_valid(n));
}

/* x of k times G is both the public key's and the secret's. */
static void the_p384_secret_with_g_is_the_public_x(void **state)
{
    uint8_t g[EMK_P384_PUBLIC_LEN], pub[EMK_P384_PUBLIC_LEN], x[EMK_P384_SHARED_LEN], before[48];
    emk_error e;

    (void)state;
    emk_unhex(TEST_P384_G, g, sizeof g);
    memset(before, 0, sizeof before);
    for (int i = 0; i < 3; i++) {
        assert_ok(emk_dh_p384_once(test_crypto(), g, pub, x, &e), &e);
        assert_int_equal(pub[0], 0x04);
        assert_memory_equal(pub + 1, x, sizeof x);
        assert_memory_not_equal(x, before, sizeof x); /* a fresh key each time */
        memcpy(before, x, sizeof x);
    }
}

static void refuses_p384_peers_that_are_no_point(void **state)
{
    uint8_t g[EMK_P384_PUBLIC_LEN], bad[EMK_P384_PUBLIC_LEN], pub[EMK_P384_PUBLIC_LEN] = {7};
    uint8_t x[EMK_P384_SHARED_LEN] = {7};
    emk_error e;

    (void)state;
    emk_unhex(TEST_P384_G, g, sizeof g);
    for (int i = 0; i < 5; i++) {
        memcpy(bad, g, sizeof bad);
        if (i == 0)
            bad[96] ^= 1; /* off the curve */
        else if (i == 1)
            memset(bad + 1, 0xff, 96); /* p and above */
        else if (i == 2)
            memset(bad + 1, 0, 96);
        else
            bad[0] = i == 3 ? 0x06 : 0x00; /* hybrid form, infinity */
        assert_status(emk_dh_p384_once(test_crypto(), bad, pub, x, &e), EMK_E_FORMAT, &e);
        assert_int_equal(pub[0], 7);
        assert_int_equal(x[0], 7);
    }
}

int main(void)
{
    return EMK_RUN(
        emk_rule(x25519_of_rfc_7748), emk_rule(p256_public_and_secret_of_small_multiples_of_g),
        emk_rule(both_sides_of_a_generated_pair_agree), emk_rule(refuses_x25519_peer_of_low_order),
        emk_rule(masks_the_high_bit_of_an_x25519_peer),
        emk_rule(refuses_p256_forms_other_than_uncompressed),
        emk_rule(refuses_p256_point_off_the_curve),
        emk_rule(refuses_p256_coordinate_of_p_and_above), emk_rule(accepts_a_p256_secret_of_zeros),
        emk_rule(accepts_p256_private_keys_from_1_to_n_minus_1_only),
        emk_rule(the_p384_secret_with_g_is_the_public_x),
        emk_rule(refuses_p384_peers_that_are_no_point));
}
