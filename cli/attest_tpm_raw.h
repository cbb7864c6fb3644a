/* TPM evidence in the forms that others keep it in: names of hashes, keys in PEM, signatures
 * without their head. */
#ifndef EMK_CLI_ATTEST_TPM_RAW_H
#define EMK_CLI_ATTEST_TPM_RAW_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_TPM_RAW_HEAD 16u /* bytes that a signature may grow by */

/* "sha256" or "SHA256" and so on as TPM_ALG_ID; 0 for another name. */
uint16_t emk_tpm_raw_hash(emk_span name);

/* One PUBLIC KEY block; fills out with the SubjectPublicKeyInfo.  False for anything else. */
bool emk_tpm_raw_key(emk_span pem, uint8_t *out, size_t cap, size_t *len);

/* Whether it begins as a TPMT_SIGNATURE does. */
bool emk_tpm_raw_has_head(emk_span sig);

/* A TPMT_SIGNATURE around a bare one: r and s in DER of an ECDSA signature, else RSASSA.  Fills
 * out (sig.len + EMK_TPM_RAW_HEAD bytes of room) and gives its length. */
size_t emk_tpm_raw_wrap(uint16_t hash, emk_span sig, uint8_t *out);

#endif
