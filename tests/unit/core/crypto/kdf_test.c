#include "core/crypto/kdf.h"
#include "tests/unit/core/crypto/context.h"

static emk_span hex(const char *text, uint8_t *buf, size_t cap)
{
    return emk_span_of(buf, emk_unhex(text, buf, cap));
}

static void assert_hex(emk_span got, const char *text)
{
    uint8_t want[256];

    assert_bytes(got, hex(text, want, sizeof want));
}

/* RFC 4231, cases 1, 2 and 6 (a key longer than a block). */
static void hmac_of_rfc_4231(void **state)
{
    static const struct {
        const char *key, *data, *mac;
    } rows[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    };
    uint8_t key[131], data[64], mac[32];
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        emk_span k = hex(rows[i].key, key, sizeof key), d = hex(rows[i].data, data, sizeof data);
        emk_span parts[] = {emk_span_of(d.p, 3), NONE, emk_span_of(d.p + 3, d.len - 3)};

        assert_ok(emk_hmac_sha256(test_crypto(), k, parts, 3, mac, &e), &e);
        assert_hex(SPAN(mac), rows[i].mac);
    }
    memset(key, 0xaa, sizeof key);
    emk_span d = emk_span_str("Test Using Larger Than Block-Size Key - Hash Key First");
    assert_ok(emk_hmac_sha256(test_crypto(), SPAN(key), &d, 1, mac, &e), &e);
    assert_hex(SPAN(mac), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 5869 A.1 and A.3. */
static void hkdf_of_rfc_5869(void **state)
{
    uint8_t ikm[22], salt[13], info[10], prk[32], okm[42];
    emk_error e;

    (void)state;
    memset(ikm, 0x0b, sizeof ikm);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (uint8_t)(0xf0 + i);
    assert_ok(emk_hkdf_extract(test_crypto(), SPAN(salt), SPAN(ikm), prk, &e), &e);
    assert_hex(SPAN(prk), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
    assert_ok(emk_hkdf_expand(test_crypto(), prk, SPAN(info), okm, sizeof okm, &e), &e);
    assert_hex(SPAN(okm), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                          "34007208d5b887185865");
    assert_ok(emk_hkdf_extract(test_crypto(), NONE, SPAN(ikm), prk, &e), &e);
    assert_hex(SPAN(prk), "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
    assert_ok(emk_hkdf_expand(test_crypto(), prk, NONE, okm, sizeof okm, &e), &e);
    assert_hex(SPAN(okm), "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
                          "9d201395faa4b61a96c8");
}

static void an_empty_salt_is_32_zeros_and_ikm_may_be_empty(void **state)
{
    static const uint8_t zeros[32];
    uint8_t a[32], b[32];
    emk_error e;

    (void)state;
    assert_ok(emk_hkdf_extract(test_crypto(), NONE, NONE, a, &e), &e);
    assert_ok(emk_hkdf_extract(test_crypto(), SPAN(zeros), NONE, b, &e), &e);
    assert_bytes(SPAN(a), SPAN(b));
}

static void parts_are_one_string(void **state)
{
    const uint8_t prk[32] = {1};
    const emk_span two[] = {emk_span_str("ear"), emk_span_str("mark")};
    uint8_t a[100], b[100];
    emk_error e;

    (void)state;
    assert_ok(emk_hkdf_expand_parts(test_crypto(), prk, (emk_kdf_parts){two, 2}, a, 100, &e), &e);
    assert_ok(emk_hkdf_expand(test_crypto(), prk, emk_span_str("earmark"), b, 100, &e), &e);
    assert_bytes(SPAN(a), SPAN(b));
}

static void expand_gives_0_to_8160_bytes_and_no_more(void **state)
{
    const uint8_t prk[32] = {1};
    const emk_span many[EMK_KDF_PARTS_MAX + 1] = {{NULL, 0}};
    static uint8_t out[8161];
    uint8_t first[33];
    emk_error e;

    (void)state;
    out[0] = 9;
    assert_ok(emk_hkdf_expand(test_crypto(), prk, NONE, out, 0, &e), &e);
    assert_status(emk_hkdf_expand(test_crypto(), prk, NONE, out, 8161, &e), EMK_E_LIMIT, &e);
    assert_int_equal(out[0], 9);
    assert_ok(emk_hkdf_expand(test_crypto(), prk, NONE, out, 8160, &e), &e);
    assert_ok(emk_hkdf_expand(test_crypto(), prk, NONE, first, 33, &e), &e);
    assert_memory_equal(out, first, 33);
    assert_status(emk_hkdf_expand_parts(test_crypto(), prk,
                                        (emk_kdf_parts){many, EMK_KDF_PARTS_MAX + 1}, out, 1, &e),
                  EMK_E_USAGE, &e);
}

/* RFC 7914 11. */
static void pbkdf2_of_rfc_7914(void **state)
{
    emk_pbkdf2 p = {emk_span_str("passwd"), emk_span_str("salt"), 1};
    uint8_t out[64];
    emk_error e;

    (void)state;
    assert_ok(emk_pbkdf2_derive(test_crypto(), &p, out, sizeof out, &e), &e);
    assert_hex(SPAN(out), "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
                          "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
}

static void pbkdf2_refuses_parameters_beyond_its_limits(void **state)
{
    emk_pbkdf2 p = {emk_span_str("p"), emk_span_str("s"), 0};
    uint8_t out[32] = {5};
    emk_error e;

    (void)state;
    assert_status(emk_pbkdf2_derive(test_crypto(), &p, out, 32, &e), EMK_E_LIMIT, &e);
    p.iterations = EMK_PBKDF2_ITER_MAX + 1;
    assert_status(emk_pbkdf2_derive(test_crypto(), &p, out, 32, &e), EMK_E_LIMIT, &e);
    p.iterations = 1;
    assert_status(emk_pbkdf2_derive(test_crypto(), &p, out, 0, &e), EMK_E_LIMIT, &e);
    assert_status(emk_pbkdf2_derive(test_crypto(), &p, out, 1025, &e), EMK_E_LIMIT, &e);
    assert_int_equal(out[0], 5);
}

/* RFC 7914 12. */
static void scrypt_of_rfc_7914(void **state)
{
    emk_scrypt s = {NONE, NONE, 16, 1, 1, 1 << 20};
    uint8_t out[64];
    emk_error e;

    (void)state;
    assert_ok(emk_scrypt_derive(test_crypto(), &s, out, sizeof out, &e), &e);
    assert_hex(SPAN(out), "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
                          "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
    s = (emk_scrypt){emk_span_str("password"), emk_span_str("NaCl"), 1024, 8, 16, 4 << 20};
    assert_ok(emk_scrypt_derive(test_crypto(), &s, out, sizeof out, &e), &e);
    assert_hex(SPAN(out), "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
                          "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
}

static void scrypt_refuses_parameters_beyond_its_limits(void **state)
{
    static const emk_scrypt bad[] = {
        {.n = 0, .r = 8, .p = 1, .mem_max = 1 << 25},
        {.n = 1, .r = 8, .p = 1, .mem_max = 1 << 25},
        {.n = 1000, .r = 8, .p = 1, .mem_max = 1 << 25},
        {.n = 1024, .r = 0, .p = 1, .mem_max = 1 << 25},
        {.n = 1024, .r = 8, .p = 0, .mem_max = 1 << 25},
        {.n = 1024, .r = 8, .p = EMK_SCRYPT_P_MAX + 1, .mem_max = 1 << 25},
        {.n = 65536, .r = 1, .p = 1, .mem_max = 1 << 25},
        {.n = 1024, .r = 8, .p = 1, .mem_max = 128 * 8 * 1027 - 1},
        {.n = UINT64_C(1) << 63, .r = 8, .p = 1, .mem_max = 1 << 25},
        {.n = 2, .r = UINT32_MAX, .p = 16, .mem_max = 1 << 25},
        {.n = 1024, .r = 8, .p = 1, .mem_max = (uint64_t)EMK_SCRYPT_MEM_LIMIT + 1},
    };
    emk_scrypt just = {.n = 1024, .r = 8, .p = 1, .mem_max = UINT64_C(128) * 8 * 1027};
    uint8_t out[32] = {5};
    emk_error e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_status(emk_scrypt_derive(test_crypto(), &bad[i], out, 32, &e), EMK_E_LIMIT, &e);
    assert_status(emk_scrypt_derive(test_crypto(), &just, out, 0, &e), EMK_E_LIMIT, &e);
    assert_status(emk_scrypt_derive(test_crypto(), &just, out, 1025, &e), EMK_E_LIMIT, &e);
    assert_int_equal(out[0], 5);
    assert_ok(emk_scrypt_derive(test_crypto(), &just, out, 32, &e), &e);
}

int main(void)
{
    return EMK_RUN(
        emk_rule(hmac_of_rfc_4231), emk_rule(hkdf_of_rfc_5869),
        emk_rule(an_empty_salt_is_32_zeros_and_ikm_may_be_empty), emk_rule(parts_are_one_string),
        emk_rule(expand_gives_0_to_8160_bytes_and_no_more), emk_rule(pbkdf2_of_rfc_7914),
        emk_rule(pbkdf2_refuses_parameters_beyond_its_limits), emk_rule(scrypt_of_rfc_7914),
        emk_rule(scrypt_refuses_parameters_beyond_its_limits));
}
