/* The structures of TPM 2.0 that evidence is made of [TPM 2.0 part 2]: public areas, what a TPM
 * attests, signatures.  Readers only: strict, bounded, every byte accounted for, no heap; what is
 * lent points into the input.
 *
 * Numbers that a field may not have are refused here; whether what it says is good enough is for
 * server/attest/tpm.h. */
#ifndef EMK_SERVER_ATTEST_TPM_WIRE_H
#define EMK_SERVER_ATTEST_TPM_WIRE_H

#include "core/base/buf.h"
#include "core/base/reader.h"
#include "core/crypto/digest.h"

#define EMK_TPM_PUBLIC_MAX 1024u /* bytes of a TPMT_PUBLIC */
#define EMK_TPM_ATTEST_MAX 1024u /* bytes of a TPMS_ATTEST */
#define EMK_TPM_SIG_MAX    1100u /* bytes of a TPMT_SIGNATURE */
#define EMK_TPM_NAME_MAX   66u   /* bytes of a Name: algorithm and digest */
#define EMK_TPM_EXTRA_MAX  64u   /* bytes of extraData */
#define EMK_TPM_BANKS_MAX  4u    /* PCR banks in one selection */
#define EMK_TPM_SELECT_MAX 4u    /* bytes of one bitmap: PCRs 0 .. 31 */
#define EMK_TPM_ECC_MAX    48u   /* bytes of a coordinate: P-384 */
#define EMK_TPM_SPKI_MAX   1100u

/* TPM_ALG_ID */
#define EMK_TPM_ALG_RSA    0x0001u
#define EMK_TPM_ALG_SHA1   0x0004u
#define EMK_TPM_ALG_AES    0x0006u
#define EMK_TPM_ALG_SHA256 0x000Bu
#define EMK_TPM_ALG_SHA384 0x000Cu
#define EMK_TPM_ALG_SHA512 0x000Du
#define EMK_TPM_ALG_NULL   0x0010u
#define EMK_TPM_ALG_RSASSA 0x0014u
#define EMK_TPM_ALG_RSAPSS 0x0016u
#define EMK_TPM_ALG_ECDSA  0x0018u
#define EMK_TPM_ALG_ECC    0x0023u
#define EMK_TPM_ALG_CFB    0x0043u
#define EMK_TPM_CURVE_P256 0x0003u
#define EMK_TPM_CURVE_P384 0x0004u

/* TPMI_ST_ATTEST */
#define EMK_TPM_ST_CERTIFY  0x8017u
#define EMK_TPM_ST_QUOTE    0x8018u
#define EMK_TPM_ST_CREATION 0x801Au

/* TPMA_OBJECT */
#define EMK_TPM_FIXED_TPM    (UINT32_C(1) << 1)
#define EMK_TPM_FIXED_PARENT (UINT32_C(1) << 4)
#define EMK_TPM_ORIGIN       (UINT32_C(1) << 5) /* sensitiveDataOrigin: the TPM made it */
#define EMK_TPM_RESTRICTED   (UINT32_C(1) << 16)
#define EMK_TPM_DECRYPT      (UINT32_C(1) << 17)
#define EMK_TPM_SIGN         (UINT32_C(1) << 18)

/* False, alg untouched, for a number that is no hash known here. */
bool emk_tpm_hash(uint16_t number, emk_digest_alg *alg);

/* TPMT_PUBLIC of an RSA or ECC key.  All spans are lent. */
typedef struct emk_tpm_public {
    emk_span raw; /* the whole structure */
    uint16_t type;
    uint16_t name_alg;
    uint32_t attributes;
    emk_span auth_policy;
    uint16_t symmetric; /* EMK_TPM_ALG_NULL, or AES in CFB mode */
    uint16_t symmetric_bits;
    uint16_t scheme; /* EMK_TPM_ALG_NULL, or a signature's */
    uint16_t scheme_hash;
    uint32_t exponent; /* RSA; 65537 where the structure says 0 */
    uint16_t curve;    /* ECC */
    emk_span n;        /* RSA */
    emk_span x, y;     /* ECC; may be shorter than the curve's coordinates */
} emk_tpm_public;

/* Reads one, which is all of `in`.  EMK_E_FORMAT, EMK_E_LIMIT; EMK_E_UNSUPPORTED for other kinds
 * of object, algorithms or curves. */
emk_status emk_tpm_public_read(emk_span in, emk_tpm_public *out, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_tpm_name {
    uint8_t bytes[EMK_TPM_NAME_MAX];
    size_t len;
} emk_tpm_name;

/* Fills out with the Name: nameAlg and the hash of the whole.  Never take one from a client.
 * [part 1, 16] */
emk_status emk_tpm_public_name(const emk_crypto *c, const emk_tpm_public *pub, emk_tpm_name *out,
                               emk_error *e) EMK_MUST_CHECK;

/* Fills out with the key as a SubjectPublicKeyInfo, and *len.  EMK_E_FORMAT for a modulus or
 * exponent that no key here may have; that a point is on its curve is seen when it is used. */
emk_status emk_tpm_public_spki(const emk_crypto *c, const emk_tpm_public *pub,
                               uint8_t out[EMK_TPM_SPKI_MAX], size_t *len,
                               emk_error *e) EMK_MUST_CHECK;

/* TPML_PCR_SELECTION: bit n of `pcrs` is PCR n. */
typedef struct emk_tpm_pcrs {
    size_t n;
    struct {
        uint16_t hash;
        uint32_t pcrs;
    } banks[EMK_TPM_BANKS_MAX];
} emk_tpm_pcrs;

/* TPMS_ATTEST.  All spans are lent. */
typedef struct emk_tpm_attest {
    uint16_t type; /* EMK_TPM_ST_… */
    emk_span extra;
    uint64_t clock;
    uint32_t reset_count;
    uint32_t restart_count;
    bool safe;
    uint64_t firmware;
    emk_tpm_pcrs selection; /* quote */
    emk_span pcr_digest;
    emk_span name; /* certify, creation: the object's */
    emk_span creation_hash;
} emk_tpm_attest;

/* Reads one, which is all of `in`; the magic number says that a TPM made it, and a restricted key
 * signs nothing else that begins so.  EMK_E_FORMAT, EMK_E_LIMIT; EMK_E_UNSUPPORTED for other
 * types. */
emk_status emk_tpm_attest_read(emk_span in, emk_tpm_attest *out, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_tpm_sig {
    uint16_t scheme; /* RSASSA, RSAPSS, ECDSA */
    uint16_t hash;
    emk_span rsa;  /* lent */
    emk_span r, s; /* lent; big endian, any length up to EMK_TPM_ECC_MAX */
} emk_tpm_sig;

/* Reads a TPMT_SIGNATURE, which is all of `in`.  EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED. */
emk_status emk_tpm_sig_read(emk_span in, emk_tpm_sig *out, emk_error *e) EMK_MUST_CHECK;

#endif
