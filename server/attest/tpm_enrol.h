/* A device with a TPM enrols, in two steps:
 *
 *   device -> server   hello: endorsement certificate, attestation key (AK)
 *   server -> device   credential, which only that TPM opens, and only for that AK
 *   device -> server   proof: what was in it, a quote, and both device keys certified by the AK
 *
 * Quote and certificates are over the binding of server/attest/challenge.h, so the proof is good
 * for these keys, this app and this challenge.  Between the steps the server keeps an
 * emk_tpm_pending, for minutes and for one use.  [docs/spec/attestation.md 5] */
#ifndef EMK_SERVER_ATTEST_TPM_ENROL_H
#define EMK_SERVER_ATTEST_TPM_ENROL_H

#include "server/attest/tpm.h"
#include "server/attest/tpm_credential.h"

#define EMK_TPM_HELLO_MAX   32768u /* bytes */
#define EMK_TPM_PROOF_MAX   16384u
#define EMK_TPM_PENDING_S   300  /* seconds between the steps, where the policy says nothing */
#define EMK_TPM_ISSUERS_MAX 4u   /* certificates that a client may send with its own */
#define EMK_TPM_AK_MAX      512u /* bytes of an AK's public area that is kept */
#define EMK_TPM_GOOD_MAX    256u /* allowed PCR digests */

/* CBOR map: 1 certificate, 2 array of issuers (may be empty), 3 TPMT_PUBLIC of the AK.  All
 * spans are lent. */
typedef struct emk_tpm_hello {
    emk_span ek;
    emk_span issuers[EMK_TPM_ISSUERS_MAX];
    size_t n_issuers;
    emk_span ak;
} emk_tpm_hello;

/* Reads one, which is all of `in`; EMK_E_FORMAT, EMK_E_LIMIT.  Writes one into out. */
emk_status emk_tpm_hello_read(emk_span in, emk_tpm_hello *out, emk_error *e) EMK_MUST_CHECK;
emk_status emk_tpm_hello_write(const emk_tpm_hello *hello, emk_buf *out,
                               emk_error *e) EMK_MUST_CHECK;

/* A key that the AK certified. */
typedef struct emk_tpm_certified {
    emk_span key;    /* TPMT_PUBLIC */
    emk_span attest; /* TPMS_ATTEST */
    emk_span sig;    /* TPMT_SIGNATURE */
} emk_tpm_certified;

/* CBOR map: 1 secret, 2 quote, 3 its signature, 4 values of the PCRs, 5 and 6 arrays of three
 * (key, attestation, signature) for signing and agreement. */
typedef struct emk_tpm_proof {
    emk_span secret;
    emk_span quote;
    emk_span quote_sig;
    emk_span pcr_values;
    emk_tpm_certified signing;
    emk_tpm_certified agreement;
} emk_tpm_proof;

emk_status emk_tpm_proof_read(emk_span in, emk_tpm_proof *out, emk_error *e) EMK_MUST_CHECK;
emk_status emk_tpm_proof_write(const emk_tpm_proof *proof, emk_buf *out,
                               emk_error *e) EMK_MUST_CHECK;

/* What the server keeps between the steps.  No secret is in it: of what the credential holds
 * only the hash. */
typedef struct emk_tpm_pending {
    uint8_t ak[EMK_TPM_AK_MAX]; /* TPMT_PUBLIC */
    size_t ak_len;
    uint8_t ek_thumbprint[32]; /* SHA-256 of the endorsement key's SubjectPublicKeyInfo */
    uint8_t secret_hash[32];
    int64_t made_s;
    bool sha1_ek;          /* the endorsement certificate is signed with SHA-1 */
    bool simulated;        /* it ends at a simulator's root */
    bool simulated_counts; /* and the policy grades that like the real thing */
} emk_tpm_pending;

/* First step: verifies the hello against the roots, and fills pending and the credential for the
 * client.  EMK_E_POLICY for an endorsement key that decrypts nothing or an AK that is none; else
 * as emk_tpm_ek_verify and emk_tpm_credential_make. */
emk_status emk_tpm_enrol_begin(const emk_crypto *c, const emk_tpm_roots *roots,
                               const emk_tpm_hello *hello, emk_tpm_pending *pending,
                               emk_tpm_credential *credential, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_tpm_policy {
    int64_t time_s;
    int64_t pending_max_s;       /* 0: EMK_TPM_PENDING_S */
    emk_span binding;            /* EMK_BINDING_LEN bytes of server/attest/challenge.h */
    emk_span signing, agreement; /* the device's keys, 65 bytes each */
    emk_tpm_pcrs pcrs;           /* to be quoted */
    const uint8_t (*good)[32];   /* SHA-256 of allowed PCR values; borrowed */
    size_t n_good;               /* 0: what booted does not count, and the level is 1 */
} emk_tpm_policy;

/* What to keep with the device, for refreshing. */
typedef struct emk_tpm_state {
    uint32_t reset_count;
    uint32_t restart_count;
    uint64_t firmware;
} emk_tpm_state;

/* Second step: verifies the proof and fills claims and state (may be NULL).  The caller makes sure
 * that pending is used once, whatever comes out.  EMK_E_USAGE for an impossible policy;
 * EMK_E_STALE for a pending that is too old; EMK_E_SIGNATURE for another secret, nonce, key or
 * PCR value; EMK_E_POLICY for attributes and for PCR values that are not among the allowed;
 * structures as in tpm.h. */
emk_status emk_tpm_enrol_finish(const emk_crypto *c, const emk_tpm_policy *policy,
                                const emk_tpm_pending *pending, const emk_tpm_proof *proof,
                                emk_claims *claims, emk_tpm_state *state,
                                emk_error *e) EMK_MUST_CHECK;

/* An enrolment that was kept: both messages, and what the credential between them held. */
typedef struct emk_tpm_kept {
    const emk_tpm_hello *hello;
    emk_span secret; /* EMK_TPM_SECRET_LEN bytes */
    const emk_tpm_proof *proof;
} emk_tpm_kept;

/* Verifies one as both steps would have at the times of roots and policy, and fills claims.  That
 * the secret was for this TPM and never elsewhere is the word of who kept it.  EMK_E_USAGE for
 * another length of the secret; else as above. */
emk_status emk_tpm_enrol_check(const emk_crypto *c, const emk_tpm_roots *roots,
                               const emk_tpm_policy *policy, const emk_tpm_kept *kept,
                               emk_claims *claims, emk_error *e) EMK_MUST_CHECK;

/* EMK_E_STALE when a later quote says that the TPM was reset less often than before: it is
 * another TPM, or one that was put back. */
emk_status emk_tpm_state_check(const emk_tpm_state *before, const emk_tpm_state *now,
                               emk_error *e) EMK_MUST_CHECK;

#endif
