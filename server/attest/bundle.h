/* Many certificates from one PEM file: makers' roots and the pools that paths are built from.  A
 * certificate that this library cannot read is passed over and counted: nothing can be built on
 * it, and a bundle of a hundred must not fail for one. */
#ifndef EMK_SERVER_ATTEST_BUNDLE_H
#define EMK_SERVER_ATTEST_BUNDLE_H

#include "core/base/buf.h"
#include "core/crypto/x509.h"

#define EMK_BUNDLE_TEXT_MAX  (1u << 20) /* bytes of PEM */
#define EMK_BUNDLE_CERTS_MAX 512u

typedef struct emk_bundle {
    emk_buf der;     /* owned; what the certificates lend from */
    emk_x509 *certs; /* owned */
    size_t n;
    size_t n_skipped;
} emk_bundle;

/* An empty one. */
void emk_bundle_init(emk_bundle *b);

/* Adds every CERTIFICATE in text.  EMK_E_FORMAT for broken PEM, EMK_E_LIMIT, EMK_E_NO_MEMORY; then
 * b is as before.  Certificates lent from b before are not good any more. */
emk_status emk_bundle_add(emk_bundle *b, emk_span text, emk_error *e) EMK_MUST_CHECK;

void emk_bundle_done(emk_bundle *b);

#endif
