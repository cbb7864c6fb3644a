#include "server/attest/pem.h"

#include "server/attest/sim/forge.h"
#include "tests/support/test.h"

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END   "-----END CERTIFICATE-----\n"

/* A small certificate in base64, as any tool would write it. */
static void encode(emk_span in, char *out)
{
    static const char CHARS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;

    for (size_t i = 0; i < in.len; i += 3) {
        uint32_t v = (uint32_t)in.p[i] << 16;

        v |= i + 1 < in.len ? (uint32_t)in.p[i + 1] << 8 : 0;
        v |= i + 2 < in.len ? in.p[i + 2] : 0;
        out[at++] = CHARS[v >> 18];
        out[at++] = CHARS[v >> 12 & 63];
        out[at++] = i + 1 < in.len ? CHARS[v >> 6 & 63] : '=';
        out[at++] = i + 2 < in.len ? CHARS[v & 63] : '=';
        if (i % 48 == 45)
            out[at++] = '\n';
    }
    out[at++] = '\n';
    out[at] = 0;
}

static char *certificate_text(void)
{
    static char text[8192];
    emk_crypto *c = NULL;
    emk_error e;
    emk_buf der;
    forge f;

    if (text[0])
        return text;
    assert_ok(emk_crypto_new(NULL, NULL, &c, &e), &e);
    forge_init(&f, c);
    emk_buf_init(&der, EMK_X509_CERT_MAX);
    forge_certificate(&f, &(forge_cert){.subject = "s", .issuer = "i"}, &der);
    encode(emk_buf_span(&der), text);
    emk_buf_done(&der);
    forge_done(&f);
    emk_crypto_free(c);
    return text;
}

static emk_status read(const char *text, size_t cap, size_t *n, emk_error *e)
{
    emk_x509 certs[4];
    emk_buf der;
    emk_status st;

    emk_buf_init(&der, EMK_PEM_MAX);
    *n = 0;
    st = emk_pem_read_chain(emk_span_str(text), &der, certs, cap, n, e);
    emk_buf_done(&der);
    return st;
}

static void reads_certificates_in_order_past_other_text(void **state)
{
    char text[20000];
    emk_error e;
    size_t n;

    (void)state;
    (void)snprintf(text, sizeof text, "hello\n%s%s%s\n%s%s%s", BEGIN, certificate_text(), END,
                   BEGIN, certificate_text(), END);
    assert_ok(read(text, 4, &n, &e), &e);
    assert_int_equal(n, 2);
    assert_status(read(text, 1, &n, &e), EMK_E_LIMIT, &e);
}

static void refuse(const char *text, const char *what)
{
    emk_error e;
    size_t n;

    assert_status(read(text, 4, &n, &e), EMK_E_FORMAT, &e);
    assert_string_equal(e.what, what);
    assert_int_equal(n, 0);
}

static void rejects_text_without_certificates(void **state)
{
    (void)state;
    refuse("", "pem: no certificate");
    refuse("hello", "pem: no certificate");
    refuse("-----BEGIN PRIVATE KEY-----\nAAAA\n", "pem: not a certificate");
}

static void rejects_broken_blocks(void **state)
{
    (void)state;
    refuse(BEGIN "AAAA\n", "pem: block without an end");
    refuse(BEGIN "\n" END, "pem: line");
    refuse(BEGIN "AA==\nAAAA\n" END, "pem: line");
    refuse(BEGIN "AAA\n" END, "base64: length");
    refuse(BEGIN "A AA\n" END, "base64: character");
    refuse(BEGIN "AAAA\n" END, "der: tag");
}

static void decodes_base64_in_one_way_only(void **state)
{
    static const char *const BAD[] = {"Zg=", "Zh==", "Z===", "====", "Zg==Zg==", "Zm9_", "Zm9-"};
    uint8_t out[8];
    size_t len = 9;
    emk_error e;

    (void)state;
    assert_ok(emk_base64_decode(emk_span_str("+/8="), out, sizeof out, &len, &e), &e);
    assert_bytes(emk_span_of(out, len), emk_span_of("\xfb\xff", 2));
    assert_ok(emk_base64_decode(emk_span_str(""), out, sizeof out, &len, &e), &e);
    assert_int_equal(len, 0);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_status(emk_base64_decode(emk_span_str(BAD[i]), out, sizeof out, &len, &e),
                      EMK_E_FORMAT, &e);
    assert_status(emk_base64_decode(emk_span_str("Zm9vYmFyYmF6"), out, sizeof out, &len, &e),
                  EMK_E_LIMIT, &e);
}

int main(void)
{
    return EMK_RUN(emk_rule(reads_certificates_in_order_past_other_text),
                   emk_rule(rejects_text_without_certificates), emk_rule(rejects_broken_blocks),
                   emk_rule(decodes_base64_in_one_way_only));
}
