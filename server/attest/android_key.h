/* Android Key Attestation: a certificate chain whose leaf says what the secure hardware knows of
 * a key and of the system it serves.
 *
 * It proves, up to Google's root: where the key lives, that it was made there, which system the
 * device booted and whether its bootloader is locked.  The app's name is the system's word, worth
 * something only when the boot was verified.  It does not prove that the app is the one talking:
 * a challenge can be passed on to another, clean device.
 *
 * Chains of genuine devices break rules of RFC 5280 (dates of the leaf, CA flags of batches made
 * at the factory).  What is forgiven is what Google's own verifier forgives, and only for chains
 * put in at the factory; chains of remote provisioning are held to all of it. */
#ifndef EMK_SERVER_ATTEST_ANDROID_KEY_H
#define EMK_SERVER_ATTEST_ANDROID_KEY_H

#include "core/crypto/x509.h"
#include "server/attest/attest.h"
#include "server/attest/revocation.h"
#include "server/attest/simulated.h"

#define EMK_ANDROID_CHALLENGE_MAX 128u /* bytes */
#define EMK_ANDROID_CHAIN_MIN     3u   /* certificates */
#define EMK_ANDROID_CHAIN_MAX     6u
#define EMK_ANDROID_PACKAGES_MAX  32u /* names, and digests, in one application id */

/* What the caller expects. */
typedef struct emk_android_policy {
    emk_span challenge;    /* 1..EMK_ANDROID_CHALLENGE_MAX bytes, all of it */
    const emk_x509 *roots; /* Google's; borrowed.  Their keys decide */
    size_t n_roots;
    int64_t time_s;                   /* seconds since 1970 */
    const emk_revocation *revocation; /* must be there: without it a leaked key cannot be told */
    int64_t revocation_max_age_s;     /* how old it may be at time_s; 0: any age */
    bool verified_boot;    /* refuse unlocked devices, other systems, and tags out of order */
    const char *package;   /* NULL: any app */
    emk_span app_digest;   /* SHA-256 of the app's signing certificate; with package, 32 bytes */
    uint32_t min_os_patch; /* YYYYMM; 0: any */
    emk_x509_memo *memo;   /* NULL: none */
    emk_simulated_mode simulated;
} emk_android_policy;

/* Verifies a chain in DER, leaf first, root last, and fills claims and *leaf (lends from certs;
 * may be NULL).  Borrows all.  EMK_E_USAGE for an impossible policy; EMK_E_FORMAT, EMK_E_LIMIT,
 * EMK_E_UNSUPPORTED for evidence that is not well-formed; EMK_E_SIGNATURE for the chain, a
 * revoked certificate, or a challenge that differs; EMK_E_STALE for dates and for a revocation
 * list that is too old; EMK_E_POLICY for what the device or the app is; EMK_E_CRYPTO,
 * EMK_E_NO_MEMORY.  e->what names the reason for the operator. */
emk_status emk_android_key_verify(const emk_crypto *c, const emk_android_policy *policy,
                                  const emk_span *certs, size_t n_certs, emk_claims *claims,
                                  emk_x509 *leaf, emk_error *e) EMK_MUST_CHECK;

#endif
