/* Signed objects: the closed COSE_Sign1 profile that headers and messages share.
 * [container 1.3] [RFC 9052 4.2]
 *
 * An object is signed by an emk_signer, a table of one function that a file, a hardware
 * holder or a remote service can fill.  Reading has two steps, so that nothing is believed
 * before it is verified: emk_cose_parse finds the parts, emk_cose_verify checks them with a
 * key that the caller trusts. */
#ifndef EMK_CORE_SEAL_COSE_H
#define EMK_CORE_SEAL_COSE_H

#include "core/base/buf.h"
#include "core/crypto/sign.h"

#include <earmark/policy.h>

#define EMK_COSE_KID_LEN 8u

/* What an object is: in protected, so that none is taken for another.  [container 1.3] */
typedef enum emk_cose_type {
    EMK_COSE_FILE_HEADER = 1,
    EMK_COSE_WEIGHTS_HEADER = 2,
    EMK_COSE_ENROLMENT = 3,
    EMK_COSE_DEVICE_CERTIFICATE = 4,
    EMK_COSE_SEALING_CERTIFICATE = 5,
    EMK_COSE_REQUEST = 6,
    EMK_COSE_TICKET = 7,
    EMK_COSE_RECEIPT = 8,
    EMK_COSE_LEASE = 9,
    EMK_COSE_EVENTS = 10,
    EMK_COSE_LEASE_REQUEST = 11,
    EMK_COSE_ISSUER_CERTIFICATE = 12
} emk_cose_type;

/* Signs 64 bytes over msg: Ed25519, or ES256 as r || s. */
typedef emk_status (*emk_sign_fn)(void *self, emk_span msg, uint8_t sig[64], emk_error *e);

/* Somebody who signs.  Lives in the caller; `self` must outlive it. */
typedef struct emk_signer {
    emk_sign_alg alg;
    uint8_t public_key[EMK_SIGN_PUBLIC_MAX];
    size_t public_len;
    uint8_t kid[EMK_COSE_KID_LEN];
    emk_sign_fn sign;
    void *self;
} emk_signer;

/* Fills a signer around a private key, which it keeps.  EMK_E_CRYPTO or EMK_E_NO_MEMORY. */
emk_status emk_signer_from_key(const emk_crypto *c, emk_sign_key *key, emk_signer *out,
                               emk_error *e) EMK_MUST_CHECK;

/* Fills a signer around a function.  The length of public_key decides the algorithm.
 * EMK_E_USAGE for another length. */
emk_status emk_signer_from_fn(const emk_crypto *c, emk_span public_key, emk_sign_fn sign,
                              void *self, emk_signer *out, emk_error *e) EMK_MUST_CHECK;

/* The 8 bytes that name a public key; they prove nothing.  [container 1.3] */
emk_status emk_cose_kid(const emk_crypto *c, emk_span public_key, uint8_t kid[EMK_COSE_KID_LEN],
                        emk_error *e) EMK_MUST_CHECK;

/* Gives a key that verifies, from 32 (Ed25519) or 65 (P-256) public bytes; free with
 * emk_verify_key_free.  EMK_E_FORMAT for another length or a point off the curve. */
emk_status emk_cose_verify_key(const emk_crypto *c, emk_span public_key, emk_verify_key **out,
                               emk_error *e) EMK_MUST_CHECK;

/* Appends the signed object to out.  Statuses of the signer, EMK_E_LIMIT, EMK_E_NO_MEMORY.
 * When hh is not NULL it gets SHA-256 of the Sig_structure.  [container 3.2] */
typedef struct emk_cose_in {
    emk_cose_type type;
    emk_span external_aad; /* borrowed; empty for messages */
    emk_span payload;      /* borrowed */
} emk_cose_in;
emk_status emk_cose_sign(const emk_crypto *c, const emk_signer *signer, const emk_cose_in *in,
                         emk_buf *out, uint8_t *hh, emk_error *e) EMK_MUST_CHECK;

/* Bytes that emk_cose_sign will append for a payload of that length. */
size_t emk_cose_signed_len(const emk_cose_in *in);

/* A parsed object.  All spans point into what was parsed. */
typedef struct emk_cose {
    emk_cose_type type;
    emk_sign_alg alg;
    uint8_t kid[EMK_COSE_KID_LEN];
    emk_span protected_bytes;
    emk_span payload;
    emk_span signature;
} emk_cose;

/* Finds the parts of exactly one signed object.  Nothing is verified.  EMK_E_FORMAT for what
 * is not in the profile or of another type; EMK_E_SIGNATURE for an alg that is not listed. */
emk_status emk_cose_parse(emk_span in, emk_cose_type want, emk_cose *out,
                          emk_error *e) EMK_MUST_CHECK;

/* EMK_OK when key signed it: alg, kid and signature all fit.  Else EMK_E_SIGNATURE.
 * When hh is not NULL it gets SHA-256 of the Sig_structure (on EMK_OK only). */
emk_status emk_cose_verify(const emk_crypto *c, const emk_cose *o, emk_span external_aad,
                           const emk_verify_key *key, uint8_t *hh, emk_error *e) EMK_MUST_CHECK;

#endif
