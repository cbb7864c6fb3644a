/* Certificates in PEM files [RFC 7468, strict form]: roots, and chains that come as text. */
#ifndef EMK_SERVER_ATTEST_PEM_H
#define EMK_SERVER_ATTEST_PEM_H

#include "core/base/buf.h"
#include "core/codec/base64.h"
#include "core/crypto/x509.h"

#define EMK_PEM_MAX (256u << 10) /* bytes of text */

/* Decodes every CERTIFICATE in `text` into der, an empty buffer, and fills certs[0..*n-1], which
 * lend from it: at most cap, and EMK_X509_CHAIN_MAX.  What stands between the blocks is ignored.
 * On failure der is to be done with all the same.  EMK_E_FORMAT for other labels, broken blocks,
 * or no certificate; EMK_E_LIMIT; and as emk_x509_parse. */
emk_status emk_pem_read_chain(emk_span text, emk_buf *der, emk_x509 *certs, size_t cap, size_t *n,
                              emk_error *e) EMK_MUST_CHECK;

/* Appends the bytes of every CERTIFICATE in `text` to der, one behind the other; none is fine.
 * EMK_E_FORMAT as above, EMK_E_LIMIT or EMK_E_NO_MEMORY as der says; der may hold a part then. */
emk_status emk_pem_decode_all(emk_span text, emk_buf *der, emk_error *e) EMK_MUST_CHECK;

#endif
