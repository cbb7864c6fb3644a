/* The receipt that comes with an App Attest attestation, and the newer ones that Apple gives for
 * it: CMS signed data up to "Apple Root CA - G3" (not the root of the attestations), with a count
 * of how many keys this device attested lately.
 *
 * A receipt proves nothing that the attestation does not, but for the count: it is for the fraud
 * engine.  Other services of Apple sign under the same root, so the signer must carry the mark of
 * this one. */
#ifndef EMK_SERVER_ATTEST_APP_ATTEST_RECEIPT_H
#define EMK_SERVER_ATTEST_APP_ATTEST_RECEIPT_H

#include "core/crypto/x509.h"
#include "server/attest/app_attest.h"

#define EMK_APP_ATTEST_RECEIPT_MAX 16384u /* bytes */
#define EMK_APP_ATTEST_RECEIPT_SKEW_S \
    60 /* seconds that a receipt may seem to come from the future */

/* What the caller expects. */
typedef struct emk_app_attest_receipt_policy {
    const char *app_id;    /* "TEAMID.bundle.id" */
    emk_span public_key;   /* EMK_APP_ATTEST_KEY_LEN bytes that must be in it; empty: any key */
    const char *env;       /* "production" or "sandbox"; NULL: either */
    const emk_x509 *roots; /* Apple Root CA - G3; borrowed */
    size_t n_roots;
    int64_t time_s; /* seconds since 1970 */
    int64_t
        max_age_s; /* since its creation; 0: up to its own end.  Apple advises 300 at enrolment */
} emk_app_attest_receipt_policy;

typedef struct emk_app_attest_receipt {
    bool refreshed; /* type RECEIPT: Apple made it when asked; else ATTEST: with the attestation */
    bool development; /* environment "sandbox" */
    bool has_risk;
    uint32_t risk; /* keys that this device attested for the app in the last 30 days, about */
    int64_t created_s;
    int64_t not_before_s; /* earliest time to ask for the next; 0: not said */
    int64_t expires_s;
    uint8_t public_key[EMK_APP_ATTEST_KEY_LEN];
} emk_app_attest_receipt;

/* Verifies a receipt and fills out.  EMK_E_USAGE for an impossible policy; EMK_E_FORMAT,
 * EMK_E_LIMIT, EMK_E_UNSUPPORTED; EMK_E_SIGNATURE for chain, signature, purpose or another key;
 * EMK_E_STALE for dates; EMK_E_POLICY for another app or environment; EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY. */
emk_status emk_app_attest_receipt_verify(const emk_crypto *c,
                                         const emk_app_attest_receipt_policy *policy,
                                         emk_span receipt, emk_app_attest_receipt *out,
                                         emk_error *e) EMK_MUST_CHECK;

#endif
