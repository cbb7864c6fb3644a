/* Play Integrity: Google vouches for the app (known to Play, unmodified) and the device
 * (certified, its boot verified), for one request.
 *
 * Classic tokens are decrypted and verified here, with the two keys of the Play Console
 * ("manage and download my response encryption keys"); whoever has the decryption key can read
 * tokens, but not make them.  Standard tokens can only be decoded by Google's server: what that
 * answered is checked by the same rules, but it was not signed, so it must come from the
 * operator's own request and never from a client (emk_play_integrity_check).
 *
 * It says nothing about a key, and it does not prove that the user wanted the request: level 1
 * is its end. */
#ifndef EMK_SERVER_ATTEST_PLAY_INTEGRITY_H
#define EMK_SERVER_ATTEST_PLAY_INTEGRITY_H

#include "core/base/buf.h"
#include "core/crypto/crypto.h"
#include "server/attest/attest.h"

#define EMK_PLAY_TOKEN_MAX   32768u /* bytes */
#define EMK_PLAY_NONCE_MAX   384u   /* bytes; Google allows 500 characters */
#define EMK_PLAY_HASH_MAX    500u   /* characters of a requestHash */
#define EMK_PLAY_DIGESTS_MAX 8u
#define EMK_PLAY_AGE_S       600 /* seconds a verdict is good for, unless the policy says */
#define EMK_PLAY_SKEW_S      5   /* seconds a verdict may seem to come from the future */

typedef enum emk_play_device {
    EMK_PLAY_DEVICE,  /* MEETS_DEVICE_INTEGRITY, or STRONG */
    EMK_PLAY_STRONG,  /* MEETS_STRONG_INTEGRITY */
    EMK_PLAY_BASIC,   /* or BASIC: the bootloader may be unlocked.  Level 0 */
    EMK_PLAY_VIRTUAL, /* DEVICE, or an emulator with Play.  Level 0 for that */
    EMK_PLAY_ANY      /* say what it is, refuse nothing */
} emk_play_device;

/* What the caller expects: nonce for a classic request, request_hash for a standard one; both where
 * the caller knows either, and a payload has exactly one. */
typedef struct emk_play_policy {
    const char *package;
    emk_span digests[EMK_PLAY_DIGESTS_MAX]; /* SHA-256 of certificates the app may be signed by */
    size_t n_digests;                       /* 0: EMK_E_USAGE */
    emk_span nonce;                         /* the bytes; classic requests */
    emk_span request_hash;                  /* the text; standard requests */
    int64_t time_s;                         /* seconds since 1970 */
    int64_t max_age_s;                      /* 0: EMK_PLAY_AGE_S */
    uint64_t min_version;                   /* versionCode; 0: any */
    emk_play_device device;
    bool licensed;      /* refuse unless LICENSED */
    bool allow_testing; /* accept testing responses: not in production */
} emk_play_policy;

/* Decrypts a classic token and verifies its signature; appends the payload, JSON, to out.  Nothing
 * in it is checked.  EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_UNSUPPORTED, EMK_E_SEALED (not for this
 * key, or damaged), EMK_E_SIGNATURE, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_play_integrity_open(const emk_play_keys *k, emk_span token, emk_buf *out,
                                   emk_error *e) EMK_MUST_CHECK;

/* Checks a payload, or the answer of Google's decodeIntegrityToken, which has it in
 * tokenPayloadExternal, and fills claims.  EMK_E_USAGE for an impossible policy; EMK_E_FORMAT,
 * EMK_E_LIMIT; EMK_E_SIGNATURE for another request (nonce, hash, package); EMK_E_STALE;
 * EMK_E_POLICY for what app or device are; EMK_E_NO_MEMORY. */
emk_status emk_play_integrity_check(const emk_play_policy *policy, emk_span json,
                                    emk_claims *claims, emk_error *e) EMK_MUST_CHECK;

/* Both. */
emk_status emk_play_integrity_verify(const emk_play_keys *k, const emk_play_policy *policy,
                                     emk_span token, emk_claims *claims,
                                     emk_error *e) EMK_MUST_CHECK;

#endif
