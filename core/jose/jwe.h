/* Compact JSON Web Encryption [RFC 7516 7.1] in the one form that Play Integrity uses: A256KW
 * around a content key, A256GCM around the content.
 *
 * No other algorithm is known, so a header cannot choose one: no dir, no RSA, no ECDH, no
 * password (whose iteration count would be the sender's), no zip.  The content key must be 32
 * bytes, the nonce 12, the tag 16: shorter ones, which libcrypto would take, are refused. */
#ifndef EMK_CORE_JOSE_JWE_H
#define EMK_CORE_JOSE_JWE_H

#include "core/base/buf.h"
#include "core/crypto/crypto.h"

#define EMK_JWE_MAX     65536u /* bytes of a token */
#define EMK_JWE_KEY_LEN 32u

/* Decrypts token with key (EMK_JWE_KEY_LEN bytes) and appends the content to out.  Borrows all.
 * EMK_E_FORMAT, EMK_E_LIMIT for what is no such token; EMK_E_UNSUPPORTED for another algorithm,
 * zip or crit; EMK_E_SEALED, always with the same text, when key, header, nonce, content or tag do
 * not belong together; EMK_E_USAGE for a key of another length; EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_jwe_open(const emk_crypto *c, emk_span key, emk_span token, emk_buf *out,
                        emk_error *e) EMK_MUST_CHECK;

/* Appends to out the token of `plain` under a header (JSON text, as it is), which should say
 * {"alg":"A256KW","enc":"A256GCM"}.  Key and nonce of the content are random.  For simulators and
 * tests.  EMK_E_USAGE, EMK_E_LIMIT, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_jwe_seal(const emk_crypto *c, emk_span key, emk_span header, emk_span plain,
                        emk_buf *out, emk_error *e) EMK_MUST_CHECK;

#endif
