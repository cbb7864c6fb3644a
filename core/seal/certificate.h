/* The sealing certificate: the issuer's word that a key may seal models.
 * [container 4] [messages 5] */
#ifndef EMK_CORE_SEAL_CERTIFICATE_H
#define EMK_CORE_SEAL_CERTIFICATE_H

#include "core/seal/cose.h"

#define EMK_CERTIFICATE_MAX 1024u /* bytes of a sealing certificate in a header */

typedef struct emk_sealing_certificate {
    uint8_t public_key[EMK_SIGN_PUBLIC_MAX];
    size_t public_len; /* 32 or 65 */
    uint64_t not_before;
    uint64_t not_after; /* its last second */
} emk_sealing_certificate;

/* Appends a certificate signed by the issuer.  EMK_E_USAGE for a period that is empty, else
 * as emk_cose_sign. */
emk_status emk_sealing_certificate_make(const emk_crypto *c, const emk_signer *issuer,
                                        const emk_sealing_certificate *cert, emk_buf *out,
                                        emk_error *e) EMK_MUST_CHECK;

/* Fills *out from what the issuer signed.  The period is not judged: see
 * emk_signer_chain_verify.  EMK_E_FORMAT, EMK_E_SIGNATURE. */
emk_status emk_sealing_certificate_verify(const emk_crypto *c, emk_span in,
                                          const emk_verify_key *issuer,
                                          emk_sealing_certificate *out,
                                          emk_error *e) EMK_MUST_CHECK;

/* The word of an issuer, or of the root, for the issuer's next key, in the same form.  Who trusts
 * `by` trusts that key from then on; the period is when it may be learned, and is judged here
 * (EMK_E_POLICY outside of it).  [messages 13] */
emk_status emk_issuer_certificate_make(const emk_crypto *c, const emk_signer *by,
                                       const emk_sealing_certificate *cert, emk_buf *out,
                                       emk_error *e) EMK_MUST_CHECK;
emk_status emk_issuer_certificate_verify(const emk_crypto *c, emk_span in, const emk_verify_key *by,
                                         uint64_t now, emk_sealing_certificate *out,
                                         emk_error *e) EMK_MUST_CHECK;

/* Gives the key that may have signed a header: the issuer's when certificate is empty, else
 * the one it certifies for `now` and for the day `created_day` (both must lie in its
 * period).  Free with emk_verify_key_free.  EMK_E_SIGNATURE. */
typedef struct emk_signer_chain {
    const emk_verify_key *issuer;
    emk_span certificate; /* empty: the issuer itself signed */
    uint64_t now;
    uint64_t created_day;
} emk_signer_chain;
emk_status emk_signer_chain_verify(const emk_crypto *c, const emk_signer_chain *chain,
                                   emk_verify_key **out, emk_error *e) EMK_MUST_CHECK;

#endif
