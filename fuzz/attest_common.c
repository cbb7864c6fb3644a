#include "fuzz/attest_common.h"

#include "fuzz/check.h"

static struct {
    emk_crypto *crypto;
    forge f;
    emk_buf root_der, issuer_der;
    emk_x509 root;
    emk_revocation *list;
} g;

static void make_issuer(void)
{
    emk_buf ca;

    emk_buf_init(&ca, EMK_X509_CERT_MAX);
    emk_buf_init(&g.issuer_der, EMK_X509_CERT_MAX);
    forge_ca(&ca);
    forge_certificate(&g.f,
                      &(forge_cert){.key = 1,
                                    .issuer_key = 0,
                                    .subject = "issuer",
                                    .attribute = "550405",
                                    .issuer = "root",
                                    .extensions = emk_buf_span(&ca)},
                      &g.issuer_der);
    emk_buf_done(&ca);
}

/* Kept to the end of the process: fuzzers call a million times. */
static void set_up(void)
{
    if (g.crypto)
        return;
    must(emk_crypto_new(NULL, NULL, &g.crypto, NULL) == EMK_OK, "libcrypto");
    forge_init(&g.f, g.crypto);
    emk_buf_init(&g.root_der, EMK_X509_CERT_MAX);
    fake_make_root(&g.f, &g.root_der);
    must(emk_x509_parse(emk_buf_span(&g.root_der), &g.root, NULL) == EMK_OK, "root");
    must(emk_revocation_new(emk_span_str("{\"entries\":{}}"), 0, &g.list, NULL) == EMK_OK, "list");
    make_issuer();
}

const emk_crypto *attest_crypto(void)
{
    set_up();
    return g.crypto;
}

const emk_x509 *attest_root(void)
{
    set_up();
    return &g.root;
}

const emk_revocation *attest_revocation(void)
{
    set_up();
    return g.list;
}

void attest_make_android(emk_span description, emk_buf der[3])
{
    emk_buf x;

    set_up();
    for (int i = 0; i < 3; i++)
        emk_buf_init(&der[i], EMK_X509_CERT_MAX);
    emk_buf_init(&x, EMK_X509_CERT_MAX);
    forge_extension(&x, "2b06010401d679020111", false, description);
    forge_certificate(&g.f,
                      &(forge_cert){.key = 2,
                                    .issuer_key = 1,
                                    .subject = "leaf",
                                    .issuer = "issuer",
                                    .issuer_attribute = "550405",
                                    .extensions = emk_buf_span(&x)},
                      &der[0]);
    forge_raw(&der[1], emk_buf_span(&g.issuer_der));
    forge_raw(&der[2], emk_buf_span(&g.root_der));
    emk_buf_done(&x);
}

bool attest_contains(emk_span whole, emk_span part)
{
    for (size_t i = 0; i + part.len <= whole.len; i++)
        if (memcmp(whole.p + i, part.p, part.len) == 0)
            return true;
    return false;
}
