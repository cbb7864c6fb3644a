#include "server/daemon/tls.h"

#ifdef EMK_HAVE_GNUTLS
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#endif

#ifdef EMK_HAVE_GNUTLS

bool emk_tls_knows_clients(void)
{
    return true;
}

/* Asked for each request, not once: a certificate may end while its connection is kept. */
emk_tls_client emk_tls_client_certificate(void *session, emk_span *der)
{
    static char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st want = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                  .data = (unsigned char *)purpose};
    const gnutls_datum_t *shown;
    unsigned n = 0, status = 0;

    *der = emk_span_of(NULL, 0);
    if (!session)
        return EMK_TLS_CLIENT_NONE;
    shown = gnutls_certificate_get_peers(session, &n);
    if (!shown || n == 0)
        return EMK_TLS_CLIENT_NONE;
    if (gnutls_certificate_type_get2(session, GNUTLS_CTYPE_CLIENT) != GNUTLS_CRT_X509 ||
        gnutls_certificate_verify_peers(session, &want, 1, &status) != GNUTLS_E_SUCCESS ||
        status != 0 || shown[0].size == 0 || shown[0].size > EMK_TLS_CERTIFICATE_MAX)
        return EMK_TLS_CLIENT_BAD;
    *der = emk_span_of(shown[0].data, shown[0].size);
    return EMK_TLS_CLIENT_GOOD;
}

#else

bool emk_tls_knows_clients(void)
{
    return false;
}

emk_tls_client emk_tls_client_certificate(void *session, emk_span *der)
{
    *der = emk_span_of(NULL, 0);
    return session ? EMK_TLS_CLIENT_BAD : EMK_TLS_CLIENT_NONE;
}

#endif
