/* What every kind of attestation ends in: one claims structure with a graded level.
 *
 * A verifier says whether evidence is genuine and what it proves; whether that is enough is for
 * the caller's policy.  Time, roots, revocation lists and the expected challenge are inputs:
 * nothing here has a clock, a network or a random number.
 *
 * Level, one table, one function (emk_claims_level):
 *
 *   0  nothing is proven: no attestation, software keys, a development build
 *   1  the app and the device were vouched for by a service, the key was not
 *   2  the key is in hardware (a TEE) of a device that booted what its maker signed
 *   3  the key is in hardware of its own (Secure Enclave, StrongBox), the same boot, the app known
 *
 * A clean chain says where a key lives, not who asked for the proof: see the warnings. */
#ifndef EMK_SERVER_ATTEST_ATTEST_H
#define EMK_SERVER_ATTEST_ATTEST_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_CLAIMS_APP_MAX      256u /* bytes with the terminating zero */
#define EMK_CLAIMS_WARNINGS_MAX 8u

typedef enum emk_attest_kind {
    EMK_ATTEST_NONE,
    EMK_ATTEST_APP_ATTEST,
    EMK_ATTEST_ANDROID_KEY
} emk_attest_kind;

/* Where the key lives. */
typedef enum emk_attest_key_home {
    EMK_KEY_HOME_UNKNOWN,
    EMK_KEY_HOME_SOFTWARE,
    EMK_KEY_HOME_TEE,     /* Android's trusted environment */
    EMK_KEY_HOME_SEPARATE /* a chip or core of its own: Secure Enclave, StrongBox */
} emk_attest_key_home;

/* How the device booted. */
typedef enum emk_attest_boot {
    EMK_BOOT_UNKNOWN, /* the kind of evidence does not say */
    EMK_BOOT_VERIFIED,
    EMK_BOOT_SELF_SIGNED, /* another system, with its owner's key, locked again */
    EMK_BOOT_UNVERIFIED,  /* unlocked */
    EMK_BOOT_FAILED
} emk_attest_boot;

/* What a caller should know about evidence that was accepted. */
typedef enum emk_attest_warning {
    EMK_WARN_DEVELOPMENT = 1, /* made by a development build: anybody with a developer account */
    EMK_WARN_BOOT,            /* the bootloader is unlocked, or the system is not verified */
    EMK_WARN_EXPIRED_ISSUER,  /* an issuer's certificate is past its end, as the kind allows */
    EMK_WARN_FACTORY_CHAIN,   /* the device's key was put in at the factory: only the revocation
                                 list protects against keys that leaked */
    EMK_WARN_APP_UNBOUND,     /* the evidence names no app */
    EMK_WARN_SIGNED_RAW       /* the nonce was not a hash of 32 bytes */
} emk_attest_warning;

typedef struct emk_claims {
    emk_attest_kind kind;
    uint32_t level;               /* 0..3: see above */
    char app[EMK_CLAIMS_APP_MAX]; /* "TEAMID.bundle.id", or a package; empty: not known */
    uint8_t key_thumbprint[32];   /* SHA-256 of the key's SubjectPublicKeyInfo */
    emk_attest_key_home key_home;
    emk_attest_boot boot;
    bool device_locked;    /* only where boot is known */
    uint32_t os_version;   /* Android: as 140000; 0: not said */
    uint32_t os_patch;     /* Android: YYYYMM; 0: not said */
    int64_t issued_s;      /* seconds since 1970; 0: the evidence does not say */
    int64_t valid_until_s; /* of the evidence; 0: it does not say */
    emk_attest_warning warnings[EMK_CLAIMS_WARNINGS_MAX];
    size_t n_warnings;
} emk_claims;

/* "app_attest" and so on: stable, for files and logs.  Never NULL. */
const char *emk_attest_kind_name(emk_attest_kind kind);
/* "development_build" and so on: stable.  Never NULL. */
const char *emk_attest_warning_name(emk_attest_warning w);

/* Adds a warning once; more than EMK_CLAIMS_WARNINGS_MAX kinds do not exist. */
void emk_claims_warn(emk_claims *claims, emk_attest_warning w);
bool emk_claims_has_warning(const emk_claims *claims, emk_attest_warning w);

/* The level that the other fields amount to; a verifier calls it last. */
uint32_t emk_claims_level(const emk_claims *claims);

#endif
