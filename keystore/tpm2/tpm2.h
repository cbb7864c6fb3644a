/* A key holder in a TPM 2.0.  The private keys never leave the chip: what lies in the
 * directory are blobs that only this TPM opens, and only until it is cleared.
 *
 * The directory holds `keys` (the blobs), `state` (counters and secrets, sealed, tied to an
 * index in the TPM: see docs/decisions/0010-the-tpm-anchors-one-file.md), a `lock`, and
 * with an authority `policy`.  Every call opens a connection of its own, one at a time for each
 * directory, and leaves nothing loaded: processes may share the TPM, those with the same
 * directory even without a resource manager.
 * What goes to the TPM and comes from it is under a session salted with the TPM's storage key,
 * whose name is in `keys`: secrets do not show on the bus, and answers cannot be changed there.
 *
 * tpm2-tss writes its own log to standard error: TSS2_LOG=all+none silences it.
 *
 * All calls that reach the TPM: EMK_E_IO when it is not there, EMK_E_BUSY when it is locked out
 * or short of room (try again later), EMK_E_KEY_LOST when it was cleared or is another one. */
#ifndef EMK_KEYSTORE_TPM2_TPM2_H
#define EMK_KEYSTORE_TPM2_TPM2_H

#include "core/base/buf.h"
#include "keystore/keystore.h"

#define EMK_TPM2_NAME        "tpm2"
#define EMK_TPM2_TCTI        "device:/dev/tpmrm0"
#define EMK_TPM2_TCTI_MAX    256u /* bytes */
#define EMK_TPM2_PIN_MAX     32u  /* bytes */
#define EMK_TPM2_MESSAGE_LEN 52u  /* bytes that an authority signs for a policy */
#define EMK_TPM2_NONCE_MAX   32u  /* bytes in a quote */
#define EMK_TPM2_ATTEST_MAX  512u
#define EMK_TPM2_VALUES_MAX  768u        /* bytes: SHA-256 of all PCRs */
#define EMK_TPM2_PCRS        0x00FFFFFFu /* the PCRs there may be: 0 .. 23, SHA-256 bank */

typedef struct emk_tpm2_options {
    const char *tcti;   /* borrowed; NULL: EMK_TPM2_TCTI */
    emk_span pin;       /* borrowed; empty: none */
    emk_span authority; /* for create only, borrowed: the P-256 key (65 bytes) that signs which
                         * PCR values may use the keys; empty: no such policy */
} emk_tpm2_options;

/* Makes fresh keys in dir, which is made too (mode 0700) unless it is there.  With an authority
 * nothing can be used before emk_tpm2_policy_put.  EMK_E_USED when dir holds keys already;
 * EMK_E_USAGE for a PIN together with an authority, or beyond a limit; EMK_E_FORMAT for an
 * authority that is not on the curve; EMK_E_LIMIT when there is no room for an index;
 * EMK_E_SEALED when the owner hierarchy has a password. */
emk_status emk_tpm2_create(const emk_crypto *c, const char *dir, const emk_tpm2_options *options,
                           emk_error *e) EMK_MUST_CHECK;

/* Opens it into *out; end with emk_keystore_close.  Keeps c, borrows the rest.
 * EMK_E_KEY_LOST when there are no keys; EMK_E_SEALED for a wrong PIN (tried once: the TPM
 * counts) or damaged files; EMK_E_POLICY when no signed policy allows what was booted. */
emk_status emk_tpm2_open(const emk_crypto *c, const char *dir, const emk_tpm2_options *options,
                         emk_keystore *out, emk_error *e) EMK_MUST_CHECK;

/* Removes the keys and the index in the TPM for good, also those of an emk_tpm2_create that was
 * cut short.  Works also when the TPM was cleared; EMK_E_NOT_FOUND when dir has no keys. */
emk_status emk_tpm2_destroy(const emk_crypto *c, const char *dir, const emk_tpm2_options *options,
                            emk_error *e) EMK_MUST_CHECK;

/* Fills out with the present values of the PCRs whose bits are set, in order, 32 bytes each, and
 * *len. */
emk_status emk_tpm2_pcr_values(const char *tcti, uint32_t pcrs, uint8_t out[EMK_TPM2_VALUES_MAX],
                               size_t *len, emk_error *e) EMK_MUST_CHECK;

/* Fills digest with SHA-256 over the present values of the PCRs whose bits are set. */
emk_status emk_tpm2_pcr_digest(const emk_crypto *c, const char *tcti, uint32_t pcrs,
                               uint8_t digest[32], emk_error *e) EMK_MUST_CHECK;

/* Fills message with what the authority signs (ES256) to allow a device whose PCRs have this
 * digest.  Needs no TPM: who makes an update works out the digest and signs. */
emk_status emk_tpm2_policy_message(const emk_crypto *c, uint32_t pcrs, const uint8_t digest[32],
                                   uint8_t message[EMK_TPM2_MESSAGE_LEN],
                                   emk_error *e) EMK_MUST_CHECK;

typedef struct emk_tpm2_policy {
    uint32_t pcrs;
    uint8_t digest[32]; /* of the PCRs that it allows */
    uint8_t sig[64];    /* the authority's, over the message */
} emk_tpm2_policy;

/* Puts a signed policy in place of the one before; a holder that is open uses it from the next
 * call on.  Needs no TPM.  EMK_E_SIGNATURE unless the authority that the keys were made with
 * signed it; EMK_E_USAGE when they have none; EMK_E_KEY_LOST when there are no keys. */
emk_status emk_tpm2_policy_put(const emk_crypto *c, const char *dir, const emk_tpm2_policy *policy,
                               emk_error *e) EMK_MUST_CHECK;

typedef struct emk_tpm2_quote {
    uint8_t key[65];                     /* the attestation key: signs nothing but quotes */
    uint8_t attest[EMK_TPM2_ATTEST_MAX]; /* TPMS_ATTEST */
    size_t attest_len;
    uint8_t sig[64]; /* ES256 over attest, r || s */
} emk_tpm2_quote;

/* Has the TPM sign the present values of PCRs together with a nonce (1..EMK_TPM2_NONCE_MAX
 * bytes).  ks must be from emk_tpm2_open, else EMK_E_USAGE. */
emk_status emk_tpm2_quote_make(const emk_keystore *ks, emk_span nonce, uint32_t pcrs,
                               emk_tpm2_quote *out, emk_error *e) EMK_MUST_CHECK;

/* --- attestation: what a server needs to know that these keys are in a TPM -----------------------
 *
 * The server's half is server/attest/tpm_enrol.h.  In order: the endorsement certificate and the
 * attestation key go there; what comes back is activated; then quote and certify.  Not for
 * keys under an authority: a TPM certifies and activates only what its user may, and a signed
 * PCR policy gives less (EMK_E_UNSUPPORTED). */

#define EMK_TPM2_PUBLIC_MAX     256u  /* bytes of a TPMT_PUBLIC */
#define EMK_TPM2_EK_MAX         4096u /* bytes of a certificate, padding included */
#define EMK_TPM2_CREDENTIAL_MAX 64u   /* bytes of what a credential holds */
#define EMK_TPM2_SIG_LEN        72u   /* bytes of a TPMT_SIGNATURE, ES256 */

/* Appends the endorsement certificate as it lies in the TPM, for RSA 2048 or else P-256 [TCG EK
 * credential profile 2.2.1.4].  EMK_E_NOT_FOUND when the maker put none there. */
emk_status emk_tpm2_ek_certificate(const emk_keystore *ks, emk_buf *out,
                                   emk_error *e) EMK_MUST_CHECK;

/* Fills out with the attestation key's TPMT_PUBLIC, and *len. */
emk_status emk_tpm2_ak_public(const emk_keystore *ks, uint8_t out[EMK_TPM2_PUBLIC_MAX], size_t *len,
                              emk_error *e) EMK_MUST_CHECK;

/* Opens a credential that was made for this TPM's endorsement key and the attestation key.  Both
 * borrowed, contents of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.  Fills secret and *len; the
 * caller wipes it.  EMK_E_SEALED when it was made for another. */
emk_status emk_tpm2_activate(const emk_keystore *ks, emk_span id_object, emk_span enc_secret,
                             uint8_t secret[EMK_TPM2_CREDENTIAL_MAX], size_t *len,
                             emk_error *e) EMK_MUST_CHECK;

typedef enum emk_tpm2_key { EMK_TPM2_KEY_SIGNING, EMK_TPM2_KEY_AGREEMENT } emk_tpm2_key;

typedef struct emk_tpm2_certified {
    uint8_t key[EMK_TPM2_PUBLIC_MAX]; /* TPMT_PUBLIC */
    size_t key_len;
    uint8_t attest[EMK_TPM2_ATTEST_MAX]; /* TPMS_ATTEST */
    size_t attest_len;
    uint8_t sig[EMK_TPM2_SIG_LEN]; /* TPMT_SIGNATURE by the attestation key */
} emk_tpm2_certified;

/* Has the attestation key certify one of the device keys, over a nonce (1..EMK_TPM2_NONCE_MAX
 * bytes). */
emk_status emk_tpm2_certify(const emk_keystore *ks, emk_tpm2_key which, emk_span nonce,
                            emk_tpm2_certified *out, emk_error *e) EMK_MUST_CHECK;

/* r || s as a TPMT_SIGNATURE: what emk_tpm2_quote holds, for the server. */
void emk_tpm2_sig_wire(const uint8_t sig[64], uint8_t out[EMK_TPM2_SIG_LEN]);

#endif
