#include "server/attest/bundle.h"

#include "core/base/alloc.h"
#include "server/attest/pem.h"

#define DER_HEAD_LEN 4u /* 30 82 and two bytes of length: no certificate is shorter than 256 */

void emk_bundle_init(emk_bundle *b)
{
    *b = (emk_bundle){0};
    emk_buf_init(&b->der, EMK_BUNDLE_TEXT_MAX);
}

void emk_bundle_done(emk_bundle *b)
{
    emk_buf_done(&b->der);
    emk_free(b->certs);
    b->certs = NULL;
    b->n = 0;
}

/* Certificates lie one behind the other; each tells its own length. */
static emk_span next_cert(emk_span *rest)
{
    emk_span cert = *rest;
    size_t len = rest->len;

    if (rest->len >= DER_HEAD_LEN && rest->p[0] == 0x30 && rest->p[1] == 0x82)
        len = DER_HEAD_LEN + ((size_t)rest->p[2] << 8 | rest->p[3]);
    if (len > rest->len)
        len = rest->len;
    cert.len = len;
    *rest = emk_span_of(rest->p + len, rest->len - len);
    return cert;
}

static emk_status parse_all(emk_bundle *b, emk_error *e)
{
    emk_span rest = emk_buf_span(&b->der);

    b->n = 0;
    b->n_skipped = 0;
    while (rest.len > 0) {
        emk_span cert = next_cert(&rest);

        if (b->n == EMK_BUNDLE_CERTS_MAX)
            return emk_fail(e, EMK_E_LIMIT, "bundle: certificates", b->n);
        if (emk_x509_parse(cert, &b->certs[b->n], NULL) == EMK_OK)
            b->n++;
        else
            b->n_skipped++;
    }
    return EMK_OK;
}

emk_status emk_bundle_add(emk_bundle *b, emk_span text, emk_error *e)
{
    size_t before = b->der.len;
    emk_status st;

    if (text.len > EMK_BUNDLE_TEXT_MAX)
        return emk_fail(e, EMK_E_LIMIT, "bundle: text", text.len);
    if (!b->certs) {
        b->certs = emk_alloc(EMK_BUNDLE_CERTS_MAX, sizeof b->certs[0]);
        if (!b->certs)
            return emk_fail(e, EMK_E_NO_MEMORY, "bundle: certificates", EMK_BUNDLE_CERTS_MAX);
    }
    st = emk_pem_decode_all(text, &b->der, e);
    if (st == EMK_OK)
        st = parse_all(b, e);
    if (st != EMK_OK) {
        b->der.len = before;
        if (parse_all(b, NULL) != EMK_OK) /* it went well before */
            b->n = 0;
    }
    return st;
}
