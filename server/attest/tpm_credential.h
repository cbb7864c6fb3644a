/* MakeCredential, the server's side of ActivateCredential: a secret that only the TPM with a given
 * endorsement key opens, and only for an object with a given Name.  [TPM 2.0 part 1, 24 and
 * annexes B.10.4, C.6.4] */
#ifndef EMK_SERVER_ATTEST_TPM_CREDENTIAL_H
#define EMK_SERVER_ATTEST_TPM_CREDENTIAL_H

#include "core/crypto/x509.h"
#include "server/attest/tpm_wire.h"

#define EMK_TPM_SECRET_LEN     32u /* bytes */
#define EMK_TPM_SECRET_MIN     16u
#define EMK_TPM_ID_OBJECT_MAX  128u /* bytes */
#define EMK_TPM_ENC_SECRET_MAX 1028u

/* How the endorsement key's template protects what is sent to it.  Zeros: SHA-256 and AES-128, as
 * the templates L-1, L-2, H-1 and H-2 have it. */
typedef struct emk_tpm_ek_template {
    uint16_t name_alg;       /* EMK_TPM_ALG_SHA256 or SHA384; 0: SHA-256 */
    uint16_t symmetric_bits; /* 128 or 256; 0: 128 */
} emk_tpm_ek_template;

/* Fills out with what the template for a key of this kind and length says: SHA-256 and AES-128 for
 * RSA of 2,048 bits and P-256; SHA-384 and AES-256 for longer RSA keys and P-384.  [TCG EK
 * credential profile B.3, B.4]  EMK_E_UNSUPPORTED for another kind, EMK_E_FORMAT, EMK_E_LIMIT,
 * EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_tpm_ek_template_of(const emk_crypto *c, emk_span ek_spki, emk_tpm_ek_template *out,
                                  emk_error *e) EMK_MUST_CHECK;

/* The two parameters of TPM2_ActivateCredential, contents of TPM2B_ID_OBJECT and
 * TPM2B_ENCRYPTED_SECRET. */
typedef struct emk_tpm_credential {
    uint8_t id_object[EMK_TPM_ID_OBJECT_MAX];
    size_t id_object_len;
    uint8_t enc_secret[EMK_TPM_ENC_SECRET_MAX];
    size_t enc_secret_len;
} emk_tpm_credential;

typedef struct emk_tpm_credential_in {
    emk_span
        ek_spki; /* of the endorsement certificate: RSA, also as id-RSAES-OAEP, P-256 or P-384 */
    emk_tpm_ek_template ek;
    const emk_tpm_name *name; /* the AK's, worked out here, not by a client */
    emk_span secret;          /* EMK_TPM_SECRET_MIN .. digest bytes; what must come back */
} emk_tpm_credential_in;

/* Fills out.  EMK_E_USAGE for a length or template; EMK_E_UNSUPPORTED for another kind of key;
 * EMK_E_FORMAT, EMK_E_LIMIT for a bad one; EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_tpm_credential_make(const emk_crypto *c, const emk_tpm_credential_in *in,
                                   emk_tpm_credential *out, emk_error *e) EMK_MUST_CHECK;

/* The same on P-256 with the ephemeral private key given: for tests and published vectors only,
 * a key used twice gives the secret away.  EMK_E_UNSUPPORTED on P-384. */
emk_status emk_tpm_credential_make_fixed(const emk_crypto *c, const emk_tpm_credential_in *in,
                                         const uint8_t ephemeral[32], emk_tpm_credential *out,
                                         emk_error *e) EMK_MUST_CHECK;

/* What a TPM does: opens a credential with the seed that it got out of enc_secret.  For
 * simulators and tests.  Fills secret (EMK_DIGEST_MAX bytes of room) and *len.  EMK_E_SEALED. */
typedef struct emk_tpm_activation {
    emk_tpm_ek_template ek;
    emk_span seed;
    const emk_tpm_name *name;
    emk_span id_object;
} emk_tpm_activation;
emk_status emk_tpm_credential_open(const emk_crypto *c, const emk_tpm_activation *in,
                                   uint8_t *secret, size_t *len, emk_error *e) EMK_MUST_CHECK;

/* KDFa and KDFe [part 1, 11.4.10]: fills out with `len` bytes (1 .. EMK_DIGEST_MAX).  The label
 * is hashed with its zero. */
typedef struct emk_tpm_kdf {
    emk_digest_alg hash;
    emk_span key; /* KDFa: of the HMAC; KDFe: Z */
    const char *label;
    emk_span u, v; /* contexts, or PartyUInfo and PartyVInfo; may be empty */
} emk_tpm_kdf;
emk_status emk_tpm_kdfa(const emk_crypto *c, const emk_tpm_kdf *k, uint8_t *out, size_t len,
                        emk_error *e) EMK_MUST_CHECK;
emk_status emk_tpm_kdfe(const emk_crypto *c, const emk_tpm_kdf *k, uint8_t *out, size_t len,
                        emk_error *e) EMK_MUST_CHECK;

#endif
