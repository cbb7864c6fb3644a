/* A TPM that is none: endorsement certificate, attestation key, quotes and certified keys as a chip
 * would make them.  As in evidence.h a field that is zero is right. */
#ifndef EMK_SERVER_ATTEST_SIM_TPM_EVIDENCE_H
#define EMK_SERVER_ATTEST_SIM_TPM_EVIDENCE_H

#include "server/attest/sim/evidence.h"
#include "server/attest/tpm_enrol.h"

#define FAKE_TPM_PCRS UINT32_C(0x81) /* PCR 0 and 7 */

/* One TPMS_ATTEST and its signature. */
typedef struct fake_attest {
    uint32_t magic;
    uint16_t type;
    const char *extra;     /* hex; NULL: the binding */
    const char *tail;      /* hex behind the structure */
    size_t cut;            /* bytes taken off its end */
    const char *name;      /* hex; NULL: the key's */
    uint32_t attributes;   /* of the key that is certified */
    size_t key;            /* which of the forge's is certified */
    const char *key_tail;  /* hex behind its public area */
    uint8_t safe;          /* 0: 1 */
    const char *selection; /* hex; a whole TPML_PCR_SELECTION */
    const char *digest;    /* hex; NULL: of the values */
    size_t signer;         /* which key signs; 0: the AK */
    uint16_t sig_scheme, sig_hash;
    bool bad_signature, zero_r;
    const char *sig_tail; /* hex behind it */
} fake_attest;

typedef struct fake_tpm {
    /* endorsement certificate */
    const char *ek_purpose; /* hex of the ExtKeyUsage; "" none */
    const char *ek_name;    /* hex of the SubjectAltName; "" none */
    const char *ek_usage;   /* hex of the keyUsage extension; NULL: keyAgreement */
    const char *ek_to;      /* UTCTime */
    const char *ek_from;
    const char *ek_tail; /* hex behind it, as in an index that is too long */
    const char *middle_to;
    size_t ek_signer, middle_signer;
    bool ek_ca, ek_name_not_critical, middle_no_ca, no_middle;
    /* attestation key */
    uint32_t ak_attributes;
    uint16_t ak_scheme, ak_hash, ak_name_alg, ak_type, ak_curve;
    const char *ak_tail;
    size_t ak_cut;
    /* proof */
    fake_attest quote, signing, agreement;
    const char *pcr_values; /* hex; NULL: two digests */
    bool secret_wrong, secret_short;
    bool swap_keys; /* signing's proof for agreement and back */
} fake_tpm;

typedef struct fake_tpm_hello {
    emk_buf ek, middle, ak;
} fake_tpm_hello;

/* Keys: root 0, middle 1, EK 2, other 3, AK 4, signing 5, agreement 6. */
void fake_make_tpm_hello(const forge *f, const fake_tpm *x, fake_tpm_hello *out);
void fake_tpm_hello_done(fake_tpm_hello *h);
/* Lends what a server reads. */
emk_tpm_hello fake_tpm_hello_of(const fake_tpm_hello *h, bool no_middle);

typedef struct fake_tpm_proof {
    emk_buf quote, quote_sig, values;
    emk_buf key[2], attest[2], sig[2];
    uint8_t secret[EMK_DIGEST_MAX];
    size_t secret_len;
    bool swapped;
} fake_tpm_proof;

/* Opens the credential as the EK and answers.  EMK_E_SEALED when it is for another. */
emk_status fake_make_tpm_proof(const forge *f, const fake_tpm *x,
                               const emk_tpm_credential *credential, emk_span binding,
                               fake_tpm_proof *out, emk_error *e) EMK_MUST_CHECK;
void fake_tpm_proof_done(fake_tpm_proof *p);
emk_tpm_proof fake_tpm_proof_of(const fake_tpm_proof *p);

#endif
