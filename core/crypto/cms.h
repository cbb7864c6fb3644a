/* CMS SignedData as Apple's receipts are [RFC 5652 5]: one signer, named by issuer and serial
 * number, SHA-256 with ECDSA; certificates along with it.
 *
 * The outer layers may be BER with indefinite lengths and a content in pieces, as Apple writes
 * them; certificates and signer are strict DER.
 *
 * Where there are signed attributes the signature is over them and over nothing else: they must
 * name the content's type and its digest, and a signature over the content beside them is refused.
 * A content that could be passed off as attributes, or the other way, is refused too: it is no
 * SET OF Attribute with both of those. [RFC 5652 5.4, RFC 8933] */
#ifndef EMK_CORE_CRYPTO_CMS_H
#define EMK_CORE_CRYPTO_CMS_H

#include "core/base/buf.h"
#include "core/crypto/x509.h"

#define EMK_CMS_MAX 65536u /* bytes of the whole */

typedef struct emk_cms {
    emk_span certs[EMK_X509_CHAIN_MAX]; /* DER; these and all spans are lent from the input */
    size_t n_certs;
    emk_span issuer; /* Name, tag and length included */
    emk_span serial;
    emk_span sig;
    emk_span attributes; /* [0] of the signer, tag and length included; empty: none */
    emk_span digest;     /* of the content, as the attributes say */
    emk_buf content;     /* owned: the pieces put together */
} emk_cms;

/* Reads all of `in`.  End with emk_cms_done, after a failure too.  EMK_E_FORMAT, EMK_E_LIMIT,
 * EMK_E_UNSUPPORTED (another algorithm), EMK_E_NO_MEMORY. */
emk_status emk_cms_read(emk_span in, emk_cms *out, emk_error *e) EMK_MUST_CHECK;

/* Verifies the signature, and the signer's certificate up to a root of `rules`, whose
 * root_in_chain is not looked at: a root among the certificates is left out.  Fills signer (lent
 * from the input).  EMK_E_SIGNATURE and what emk_x509_parse and emk_x509_verify_chain say. */
emk_status emk_cms_verify(const emk_crypto *c, const emk_cms *cms, const emk_x509_rules *rules,
                          emk_x509 *signer, emk_error *e) EMK_MUST_CHECK;

/* Frees.  All-zero is fine. */
void emk_cms_done(emk_cms *cms);

#endif
