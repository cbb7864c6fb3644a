/* Public keys from certificates and JSON Web Keys, parsed once, that verify signatures in the form
 * JOSE gives them: r || s, an RSA block, 64 bytes of Ed25519.
 *
 * core/crypto/sign.h has what Earmark itself signs with; this has what others do.
 *
 * Thread rule: a finished key is immutable and may be shared. */
#ifndef EMK_CORE_CRYPTO_PUBKEY_H
#define EMK_CORE_CRYPTO_PUBKEY_H

#include "core/crypto/x509.h"

typedef enum emk_pubkey_alg {
    EMK_PUBKEY_ES256 = 1, /* P-256, SHA-256 */
    EMK_PUBKEY_ES384,     /* P-384, SHA-384 */
    EMK_PUBKEY_ED25519,
    EMK_PUBKEY_RS256, /* PKCS #1 v1.5, SHA-256 */
    EMK_PUBKEY_PS256  /* PSS, SHA-256 and MGF1 with it, 32 bytes of salt exactly [RFC 7518 3.5] */
} emk_pubkey_alg;

typedef struct emk_pubkey emk_pubkey;

/* Gives a key from a SubjectPublicKeyInfo in DER; free with emk_pubkey_free.  Keeps c, borrows
 * spki.  EMK_E_FORMAT (also for a point off the curve, and an RSA key
 * that is known to be weak), EMK_E_LIMIT (RSA: see EMK_X509_RSA_MIN),
 * EMK_E_UNSUPPORTED for another kind of key, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_pubkey_new(const emk_crypto *c, emk_span spki, emk_pubkey **out,
                          emk_error *e) EMK_MUST_CHECK;
/* P256, P384, ED25519 or RSA. */
emk_x509_key emk_pubkey_kind(const emk_pubkey *k);
/* NULL is fine. */
void emk_pubkey_free(emk_pubkey *k);

/* Whether a key of this kind can verify alg at all. */
bool emk_pubkey_fits(emk_x509_key kind, emk_pubkey_alg alg);

/* EMK_OK when sig is k's over msg; EMK_E_SIGNATURE when not, whatever the reason (length, r or s
 * out of range, an alg of another kind of key); EMK_E_CRYPTO or EMK_E_NO_MEMORY when that could
 * not be found out. */
emk_status emk_pubkey_verify(const emk_pubkey *k, emk_pubkey_alg alg, emk_span msg, emk_span sig,
                             emk_error *e) EMK_MUST_CHECK;

#endif
