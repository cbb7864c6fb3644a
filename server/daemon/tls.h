/* The certificate that a client shows in TLS.  tls.c is the only file that knows GnuTLS, which is
 * what libmicrohttpd speaks TLS with; a build without its header answers "bad" to every
 * certificate. */
#ifndef EMK_SERVER_DAEMON_TLS_H
#define EMK_SERVER_DAEMON_TLS_H

#include "core/base/span.h"

#include <stdbool.h>

#define EMK_TLS_CERTIFICATE_MAX 16384u /* bytes of a client's certificate */

typedef enum emk_tls_client {
    EMK_TLS_CLIENT_NONE, /* showed none, or there is no TLS */
    EMK_TLS_CLIENT_GOOD, /* by an anchor of the listener, for clients, within its time */
    EMK_TLS_CLIENT_BAD
} emk_tls_client;

/* Whether this build can tell. */
bool emk_tls_knows_clients(void);

/* Looks at what was shown in a session (a gnutls_session_t; NULL: no TLS) and whether it is good at
 * this moment.  When it is, *der lends the certificate until the session ends. */
emk_tls_client emk_tls_client_certificate(void *session, emk_span *der);

#endif
