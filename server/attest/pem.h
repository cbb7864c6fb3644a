/* Certificates in PEM files [RFC 7468, strict form]: roots, and chains that come as text. */
#ifndef EMK_SERVER_ATTEST_PEM_H
#define EMK_SERVER_ATTEST_PEM_H

#include "core/base/buf.h"
#include "core/crypto/x509.h"

#define EMK_PEM_MAX (256u << 10) /* bytes of text */

/* Decodes standard base64 with padding, canonical: no white space, no other alphabet, the bits
 * left over zero.  Fills out and *len.  EMK_E_FORMAT, or EMK_E_LIMIT when cap is too small. */
emk_status emk_base64_decode(emk_span text, uint8_t *out, size_t cap, size_t *len,
                             emk_error *e) EMK_MUST_CHECK;

/* Decodes every CERTIFICATE in `text` into der, an empty buffer, and fills certs[0..*n-1], which
 * lend from it: at most cap, and EMK_X509_CHAIN_MAX.  What stands between the blocks is ignored.
 * On failure der is to be done with all the same.  EMK_E_FORMAT for other labels, broken blocks,
 * or no certificate; EMK_E_LIMIT; and as emk_x509_parse. */
emk_status emk_pem_read_chain(emk_span text, emk_buf *der, emk_x509 *certs, size_t cap, size_t *n,
                              emk_error *e) EMK_MUST_CHECK;

#endif
