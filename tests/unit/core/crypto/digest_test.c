#include "core/crypto/digest.h"

#include "core/crypto/cfb.h"
#include "tests/unit/core/crypto/context.h"

/* FIPS 180 examples: "abc". */
static void hashes_abc(void **state)
{
    static const struct {
        emk_digest_alg alg;
        const char *want;
    } ROWS[] = {
        {EMK_DIGEST_SHA1_LEGACY, "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {EMK_DIGEST_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {EMK_DIGEST_SHA384, "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                            "8086072ba1e7cc2358baeca134c825a7"},
        {EMK_DIGEST_SHA512, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                            "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        const emk_span parts[] = {emk_span_str("a"), NONE, emk_span_str("bc")};
        uint8_t got[EMK_DIGEST_MAX], want[EMK_DIGEST_MAX];
        size_t len = emk_unhex(ROWS[i].want, want, sizeof want);
        emk_error e;

        assert_int_equal(len, emk_digest_len(ROWS[i].alg));
        assert_ok(emk_digest(test_crypto(), ROWS[i].alg, parts, 3, got, &e), &e);
        assert_bytes(emk_span_of(got, len), emk_span_of(want, len));
    }
}

/* RFC 4231, test cases 1 and 6, and RFC 2202. */
static void macs_as_published(void **state)
{
    static uint8_t long_key[131], short_key[20];
    static const struct {
        emk_digest_alg alg;
        emk_span key;
        const char *msg, *want;
    } ROWS[] = {
        {EMK_DIGEST_SHA384,
         {short_key, 20},
         "Hi There",
         "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
         "faea9ea9076ede7f4af152e8b2fa9cb6"},
        {EMK_DIGEST_SHA256,
         {long_key, 131},
         "Test Using Larger Than Block-Size Key - Hash Key First",
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {EMK_DIGEST_SHA1_LEGACY,
         {short_key, 20},
         "Hi There",
         "b617318655057264e28bc0b6fb378c8ef146be00"},
    };

    (void)state;
    memset(long_key, 0xaa, sizeof long_key);
    memset(short_key, 0x0b, sizeof short_key);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        emk_hmac_key key = {ROWS[i].alg, ROWS[i].key};
        emk_span msg = emk_span_str(ROWS[i].msg);
        uint8_t got[EMK_DIGEST_MAX], want[EMK_DIGEST_MAX];
        size_t len = emk_unhex(ROWS[i].want, want, sizeof want);
        emk_error e;

        assert_ok(emk_hmac(test_crypto(), &key, &msg, 1, got, &e), &e);
        assert_bytes(emk_span_of(got, len), emk_span_of(want, len));
    }
}

static void rejects_numbers_that_are_none(void **state)
{
    uint8_t out[EMK_DIGEST_MAX];
    emk_hmac_key key = {(emk_digest_alg)0, NONE};
    emk_error e;

    (void)state;
    assert_int_equal(emk_digest_len((emk_digest_alg)5), 0);
    assert_status(emk_digest(test_crypto(), (emk_digest_alg)5, NULL, 0, out, &e), EMK_E_UNSUPPORTED,
                  &e);
    assert_status(emk_hmac(test_crypto(), &key, NULL, 0, out, &e), EMK_E_UNSUPPORTED, &e);
}

/* SP 800-38A F.3.13 begins with an IV of its own; with zeros the first block is AES(0) ^ plain:
 * FIPS 197's key over a block of zeros. */
static void cfb_begins_with_the_encrypted_zero_block(void **state)
{
    static const uint8_t KEY[16] = {0}, PLAIN[20] = {0};
    uint8_t want[16], got[20], back[20];
    emk_error e;

    (void)state;
    (void)emk_unhex("66e94bd4ef8a2c3b884cfa59ca342b2e", want, sizeof want);
    assert_ok(emk_aes_cfb_encrypt(test_crypto(), SPAN(KEY), SPAN(PLAIN), got, &e), &e);
    assert_bytes(emk_span_of(got, 16), SPAN(want));
    assert_ok(emk_aes_cfb_decrypt(test_crypto(), SPAN(KEY), SPAN(got), back, &e), &e);
    assert_bytes(SPAN(back), SPAN(PLAIN));
    assert_status(emk_aes_cfb_encrypt(test_crypto(), emk_span_of(KEY, 15), SPAN(PLAIN), got, &e),
                  EMK_E_USAGE, &e);
    assert_status(emk_aes_cfb_encrypt(test_crypto(), SPAN(KEY), NONE, got, &e), EMK_E_USAGE, &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(hashes_abc), emk_rule(macs_as_published),
                   emk_rule(rejects_numbers_that_are_none),
                   emk_rule(cfb_begins_with_the_encrypted_zero_block));
}
