/* TPM 2.0: evidence that keys live in a genuine TPM, and what its PCRs say.
 *
 * Trust goes in this order, and no step counts without the one before:
 *
 *   1. the endorsement key's certificate ends at a maker's root      emk_tpm_ek_verify
 *   2. the attestation key (AK) lives in the TPM with that EK: only
 *      it can open a credential made for EK and AK's Name            server/attest/tpm_credential.h
 *   3. the AK says which PCRs the machine has now, over a nonce      emk_tpm_quote_verify
 *   4. the AK says that a key lives beside it and cannot leave       emk_tpm_certify_verify
 *
 * server/attest/tpm_enrol.h goes through them for a device.  This proves a TPM, its keys and its
 * PCRs; it does not prove which app asked, and what PCR values are good is for the caller to
 * know.  [TPM 2.0 part 1; TCG EK credential profile 2.5; WebAuthn 3, 8.3] */
#ifndef EMK_SERVER_ATTEST_TPM_H
#define EMK_SERVER_ATTEST_TPM_H

#include "core/crypto/x509.h"
#include "server/attest/attest.h"
#include "server/attest/simulated.h"
#include "server/attest/tpm_wire.h"

#define EMK_TPM_POOL_MAX   512u  /* intermediate certificates to build a path from */
#define EMK_TPM_EK_MAX     8192u /* bytes of an endorsement certificate, padding included */
#define EMK_TPM_VENDOR_MAX 64u   /* bytes of a manufacturer, model or version */

/* How strict to be with what old TPMs made.  Zeros: strict. */
typedef struct emk_tpm_lenience {
    bool sha1;     /* signatures over SHA-1 count */
    bool no_nonce; /* an empty nonce is a nonce: for evidence out of an archive only */
} emk_tpm_lenience;

/* EMK_OK when sig is the key's (a SubjectPublicKeyInfo) over msg; EMK_E_SIGNATURE when not, also
 * for a scheme that is not the key's kind; EMK_E_POLICY for SHA-1; EMK_E_UNSUPPORTED,
 * EMK_E_LIMIT and EMK_E_FORMAT for keys; EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
typedef struct emk_tpm_signed {
    emk_span spki;
    const emk_tpm_sig *sig;
    emk_span msg;
    emk_tpm_lenience lenience;
} emk_tpm_signed;
emk_status emk_tpm_signature_verify(const emk_crypto *c, const emk_tpm_signed *s,
                                    emk_error *e) EMK_MUST_CHECK;

/* EMK_E_POLICY unless the attributes are those of an attestation key: made in this TPM, for good,
 * restricted, for signing and nothing else, with a scheme over SHA-256 or better. */
emk_status emk_tpm_ak_check(const emk_tpm_public *ak, emk_tpm_lenience lenience,
                            emk_error *e) EMK_MUST_CHECK;

/* --- quotes ---------------------------------------------------------------------------------- */

typedef struct emk_tpm_quote_in {
    const emk_tpm_public *ak; /* activated before; NULL: spki instead */
    emk_span ak_spki;         /* where the public area is not known; else empty */
    emk_span attest;          /* TPMS_ATTEST */
    emk_span sig;             /* TPMT_SIGNATURE */
    emk_span nonce;           /* expected, all of it */
    emk_tpm_pcrs selection;   /* expected: these banks and PCRs in this order */
    emk_span values;          /* of those PCRs, in order; from the client, proven by this call */
    emk_tpm_lenience lenience;
} emk_tpm_quote_in;

/* Verifies a quote and fills out (lends from in; may be NULL).  EMK_E_USAGE for an empty nonce or
 * selection; EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED for structures; EMK_E_SIGNATURE for the
 * signature, another nonce, another selection, other PCR values; EMK_E_POLICY as above. */
emk_status emk_tpm_quote_verify(const emk_crypto *c, const emk_tpm_quote_in *in,
                                emk_tpm_attest *out, emk_error *e) EMK_MUST_CHECK;

/* --- certified keys -------------------------------------------------------------------------- */

typedef struct emk_tpm_certify_in {
    const emk_tpm_public *ak; /* NULL: ak_spki */
    emk_span ak_spki;
    emk_span attest;   /* TPMS_ATTEST of type certify */
    emk_span sig;      /* TPMT_SIGNATURE */
    emk_span nonce;    /* expected extraData */
    emk_span key;      /* TPMT_PUBLIC of the key that is certified */
    uint32_t must;     /* attributes that it must have */
    uint32_t must_not; /* and those it must not */
    emk_tpm_lenience lenience;
} emk_tpm_certify_in;

#define EMK_TPM_KEY_MUST (EMK_TPM_FIXED_TPM | EMK_TPM_FIXED_PARENT | EMK_TPM_ORIGIN)

/* Verifies that the AK certified the key and fills *key (lends; may be NULL).  Statuses as
 * above; EMK_E_POLICY for attributes. */
emk_status emk_tpm_certify_verify(const emk_crypto *c, const emk_tpm_certify_in *in,
                                  emk_tpm_public *key, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_tpm_creation_in {
    const emk_tpm_public *signer; /* an activated AK; it may be the key itself */
    emk_span attest;              /* TPMS_ATTEST of type creation */
    emk_span sig;                 /* TPMT_SIGNATURE */
    emk_span nonce;               /* expected extraData; may be empty */
    emk_span key;                 /* TPMT_PUBLIC */
    emk_span creation_data;       /* TPMS_CREATION_DATA, hashed whole */
    emk_tpm_lenience lenience;
} emk_tpm_creation_in;

/* Verifies that the signer says the key was made with that creation data.  Statuses as above. */
emk_status emk_tpm_creation_verify(const emk_crypto *c, const emk_tpm_creation_in *in,
                                   emk_error *e) EMK_MUST_CHECK;

/* --- certificates of TPMs --------------------------------------------------------------------- */

/* Who made the TPM, from the certificate's alternative name. */
typedef struct emk_tpm_vendor {
    char manufacturer[EMK_TPM_VENDOR_MAX]; /* "id:53544D20" */
    char model[EMK_TPM_VENDOR_MAX];
    char version[EMK_TPM_VENDOR_MAX];
} emk_tpm_vendor;

typedef struct emk_tpm_roots {
    const emk_x509 *roots; /* makers' roots; borrowed */
    size_t n_roots;
    const emk_x509 *pool; /* intermediates to choose from, trusted for nothing; borrowed */
    size_t n_pool;        /* at most EMK_TPM_POOL_MAX */
    int64_t time_s;
    bool sha1_leaf;      /* endorsement certificates of old chips are signed with SHA-1 */
    emk_x509_memo *memo; /* NULL: none */
    emk_simulated_mode simulated;
} emk_tpm_roots;

/* Certificates in a row. */
typedef struct emk_x509_list {
    const emk_x509 *v; /* borrowed */
    size_t n;
} emk_x509_list;

typedef struct emk_tpm_ek {
    emk_x509 cert; /* lent */
    emk_tpm_vendor vendor;
    const emk_x509 *root; /* that it ends at; lent from the roots */
    bool sha1;            /* the certificate is signed with SHA-1 */
} emk_tpm_ek;

/* Verifies an endorsement certificate (DER, as it lies in the TPM: zeros or FFs behind it are
 * passed over) and fills out.  sent: what the client sent with it, a pool of its own (at most
 * EMK_X509_CHAIN_MAX).  EMK_E_SIGNATURE for a path that does not end at a root; EMK_E_STALE for
 * dates; EMK_E_POLICY for a certificate of another purpose; EMK_E_FORMAT, EMK_E_LIMIT,
 * EMK_E_UNSUPPORTED, EMK_E_USAGE without roots. */
emk_status emk_tpm_ek_verify(const emk_crypto *c, const emk_tpm_roots *roots, emk_span der,
                             const emk_x509_list *sent, emk_tpm_ek *out,
                             emk_error *e) EMK_MUST_CHECK;

/* The same for the certificate of an attestation key, as WebAuthn carries it (chain, leaf
 * first).  [WebAuthn 3, 8.3.1] */
emk_status emk_tpm_aik_verify(const emk_crypto *c, const emk_tpm_roots *roots,
                              const emk_x509_list *chain, emk_tpm_vendor *out,
                              emk_error *e) EMK_MUST_CHECK;

#endif
