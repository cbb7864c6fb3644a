/* SafetyNet attestations: a JWS by Google's attest.android.com that vouches for a device and an
 * app.
 *
 * THE SERVICE IS RETIRED (January 2025).  This is for old clients and old records: what it proves
 * is that Google said so then.  It says nothing about a key; level 1 is its end. */
#ifndef EMK_SERVER_ATTEST_SAFETYNET_H
#define EMK_SERVER_ATTEST_SAFETYNET_H

#include "core/crypto/x509.h"
#include "server/attest/attest.h"
#include "server/attest/simulated.h"

#define EMK_SAFETYNET_HOST      "attest.android.com"
#define EMK_SAFETYNET_TOKEN_MAX 32768u /* bytes */
#define EMK_SAFETYNET_NONCE_MAX 512u
#define EMK_SAFETYNET_SKEW_S    5  /* seconds a token may seem to come from the future */
#define EMK_SAFETYNET_AGE_S     60 /* seconds a token is good for in live use */

/* What the caller expects. */
typedef struct emk_safetynet_policy {
    const emk_x509 *roots; /* GlobalSign R2, GlobalSign Root CA, GTS Root R1; borrowed */
    size_t n_roots;
    int64_t time_s;      /* seconds since 1970: for the chain, and for the token's age */
    int64_t max_age_s;   /* of the token; 0: EMK_SAFETYNET_AGE_S */
    emk_span nonce;      /* the expected bytes, not their base64 */
    const char *host;    /* NULL: EMK_SAFETYNET_HOST */
    const char *package; /* NULL: any app */
    emk_span app_digest; /* SHA-256 of the app's signing certificate; with package, 32 bytes */
    bool device;         /* refuse unless ctsProfileMatch and basicIntegrity */
    bool hardware;       /* and unless evaluationType says HARDWARE_BACKED */
    emk_simulated_mode simulated;
} emk_safetynet_policy;

/* Verifies a token and fills claims.  EMK_E_USAGE for an impossible policy; EMK_E_FORMAT,
 * EMK_E_LIMIT, EMK_E_UNSUPPORTED; EMK_E_SIGNATURE for algorithm, chain, host name, signature and
 * nonce; EMK_E_STALE for dates and age; EMK_E_POLICY for what the device or app is;
 * EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_safetynet_verify(const emk_crypto *c, const emk_safetynet_policy *policy,
                                emk_span token, emk_claims *claims, emk_error *e) EMK_MUST_CHECK;

/* What the payload says of the device, WITHOUT verifying anything: for reports about tokens that
 * were refused.  EMK_OK, EMK_E_POLICY, and refusals for what is no token. */
emk_status emk_safetynet_peek_device(emk_span token, emk_error *e) EMK_MUST_CHECK;

#endif
