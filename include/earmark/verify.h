/* Verifying device attestation on a server of one's own: libearmark-verify.
 *
 *   emk_attest_roots   anchors, revocation list and bundles, read from a directory that
 *                      `earmark attest update` keeps; see emk_attest_roots_open
 *   emk_attest_verify  evidence and a policy in, claims or a refusal out
 *
 * A verifier says whether evidence is genuine and what it proves; the policy says what is asked
 * of it.  Time, roots and the expected challenge are inputs: no clock, no network, no random
 * number in here.  Making the challenge, and using it only once, is the caller's part, and so is
 * storing the key and its counter.
 *
 * Level, one table, one function (emk_claims_level):
 *
 *   0  nothing is proven: no attestation, software keys, a development build
 *   1  a service vouched for the app and the device, and the key is only bound by the challenge;
 *      or the key is in a TPM, and nobody knows what booted
 *   2  the key is in hardware (a TEE, a TPM) of a device that booted what its maker signed
 *   3  the key is in hardware of its own (Secure Enclave, StrongBox), the same boot, the app known
 *
 * A clean chain says where a key lives, not who asked for the proof: a challenge can be passed on
 * to another, clean device.  docs/spec/attestation.md says what each kind proves and what not.
 *
 * Thread rule: roots and keys do not change once made and may be shared; emk_attest_verify may
 * run in any number of threads. */
#ifndef EARMARK_VERIFY_H
#define EARMARK_VERIFY_H

#include <earmark/crypto.h>
#include <earmark/span.h>
#include <earmark/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_CLAIMS_APP_MAX      256u /* bytes with the terminating zero */
#define EMK_CLAIMS_WARNINGS_MAX 16u

/* Numbers are part of the ABI and stand in databases: append, never renumber. */
typedef enum emk_attest_kind {
    EMK_ATTEST_NONE = 0,
    EMK_ATTEST_APP_ATTEST = 1,
    EMK_ATTEST_ANDROID_KEY = 2,
    EMK_ATTEST_PLAY_INTEGRITY = 3,
    EMK_ATTEST_SAFETYNET = 4, /* the service is retired: old clients, old records */
    EMK_ATTEST_TPM = 5
} emk_attest_kind;

/* Where the key lives. */
typedef enum emk_attest_key_home {
    EMK_KEY_HOME_UNKNOWN,
    EMK_KEY_HOME_SOFTWARE,
    EMK_KEY_HOME_TEE,     /* Android's trusted environment */
    EMK_KEY_HOME_SEPARATE /* a chip or core of its own: Secure Enclave, StrongBox, a TPM */
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
    EMK_WARN_SIGNED_RAW,      /* the nonce was not a hash of 32 bytes */
    EMK_WARN_KEY_UNBOUND,     /* nothing is said about the key; the challenge alone binds it */
    EMK_WARN_RETIRED,         /* the service behind this kind of evidence is retired */
    EMK_WARN_DEVICE_WEAK, /* the service vouches for less than an unmodified, certified device */
    EMK_WARN_UNLICENSED,  /* not installed or bought through the store */
    EMK_WARN_STALE_LIST,  /* a revocation list was older than it should be, and policy let it */
    EMK_WARN_SIMULATED,   /* made by a simulator whose root the policy allows: a test */
    EMK_WARN_SHA1,        /* genuine, but signed over SHA-1 */
    EMK_WARN_RELAYED      /* told by the caller, who asked the service, not by a signature */
} emk_attest_warning;

typedef struct emk_claims {
    emk_attest_kind kind;
    uint32_t level;               /* 0..3: see above */
    char app[EMK_CLAIMS_APP_MAX]; /* "TEAMID.bundle.id", or a package; empty: not known */
    uint8_t key_thumbprint[32];   /* SHA-256 of the key's SubjectPublicKeyInfo; zeros: no key */
    emk_attest_key_home key_home;
    emk_attest_boot boot;
    bool device_locked;    /* only where boot is known */
    bool device_certified; /* Play Integrity, SafetyNet: the service vouches for the device */
    uint32_t os_version;   /* Android: as 140000, or the SDK's number; 0: not said */
    uint32_t os_patch;     /* Android: YYYYMM; 0: not said */
    int64_t issued_s;      /* seconds since 1970; 0: the evidence does not say */
    int64_t valid_until_s; /* of the evidence; 0: it does not say */
    emk_attest_warning warnings[EMK_CLAIMS_WARNINGS_MAX];
    size_t n_warnings;
    uint64_t reserved[8]; /* zeros */
} emk_claims;

/* "app_attest" and so on: stable, for files and logs.  Never NULL. */
const char *emk_attest_kind_name(emk_attest_kind kind);
/* The other way; false for another name. */
bool emk_attest_kind_find(const char *name, emk_attest_kind *out);
/* "development_build" and so on: stable.  Never NULL. */
const char *emk_attest_warning_name(emk_attest_warning w);
bool emk_claims_has_warning(const emk_claims *claims, emk_attest_warning w);

/* What a client may be told about a refusal: which of its steps to repeat, and nothing about
 * what gave it away.  e->what is for the operator's log. */
typedef enum emk_attest_client {
    EMK_CLIENT_OK = 0,
    EMK_CLIENT_AGAIN = 1,       /* make fresh evidence for a fresh challenge */
    EMK_CLIENT_REFUSED = 2,     /* this device or app does not pass */
    EMK_CLIENT_UNAVAILABLE = 3, /* not the client's fault: later */
    EMK_CLIENT_BAD_REQUEST = 4  /* not evidence of this kind at all */
} emk_attest_client;
emk_attest_client emk_attest_client_code(emk_status st);
/* "ok", "again", "refused", "unavailable", "bad_request".  Never NULL. */
const char *emk_attest_client_name(emk_attest_client code);

/* --- roots ------------------------------------------------------------------------------------ */

typedef enum emk_attest_role {
    EMK_ROLE_APP_ATTEST,     /* anchors */
    EMK_ROLE_RECEIPT,        /* anchors of App Attest receipts */
    EMK_ROLE_ANDROID_KEY,    /* anchors */
    EMK_ROLE_ANDROID_STATUS, /* Google's revocation list, JSON */
    EMK_ROLE_SAFETYNET,      /* anchors */
    EMK_ROLE_TPM,            /* anchors: makers of TPMs */
    EMK_ROLE_TPM_POOL,       /* intermediates to choose from, trusted for nothing */
    EMK_ROLES
} emk_attest_role;

/* "android_status" and so on.  Never NULL. */
const char *emk_attest_role_name(emk_attest_role role);
bool emk_attest_role_find(const char *name, emk_attest_role *out);

typedef struct emk_attest_roots emk_attest_roots;

/* Gives what the directory's index.json names; free with emk_attest_roots_free.  Borrows dir.
 * Every file must have the SHA-256 that the index says.  EMK_E_NOT_FOUND without an index or a
 * file of it; EMK_E_FORMAT, EMK_E_LIMIT; EMK_E_SIGNATURE for a file that is not as indexed;
 * EMK_E_IO, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_attest_roots_open(const emk_crypto *c, const char *dir, emk_attest_roots **out,
                                 emk_error *e) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_attest_roots_free(emk_attest_roots *r);

typedef struct emk_attest_root_file {
    const char *name; /* these and all texts are lent */
    const char *source;
    emk_attest_role role;
    int64_t fetched_s; /* seconds since 1970 */
    int64_t max_age_s; /* 0: it does not grow old */
    size_t n_entries;  /* certificates, or serials */
} emk_attest_root_file;

/* How many files it has. */
size_t emk_attest_roots_count(const emk_attest_roots *r);
/* i < count. */
emk_attest_root_file emk_attest_roots_file(const emk_attest_roots *r, size_t i);
/* EMK_E_STALE when a file of this role is older than it may be at time_s (where = its age in
 * seconds), EMK_E_NOT_FOUND when there is none. */
emk_status emk_attest_roots_check_age(const emk_attest_roots *r, emk_attest_role role,
                                      int64_t time_s, emk_error *e) EMK_MUST_CHECK;

/* --- policy and evidence ---------------------------------------------------------------------- */

#define EMK_VERIFY_DIGESTS_MAX 8u

/* What to do when a list that must be fresh is too old: its source may be down. */
typedef enum emk_attest_stale {
    EMK_STALE_REFUSE = 0,
    EMK_STALE_LEVEL_0, /* accepted, worth nothing but what the caller allows level 0 */
    EMK_STALE_WARN     /* accepted with a warning; for a declared time of grace only */
} emk_attest_stale;

/* Keys of the Play Console for one app. */
typedef struct emk_play_keys emk_play_keys;
/* Gives them; free with emk_play_keys_free.  Keeps c, borrows both: decryption is 32 bytes,
 * verification a SubjectPublicKeyInfo of P-256.  EMK_E_USAGE for another length or kind,
 * EMK_E_FORMAT, EMK_E_LIMIT, EMK_E_CRYPTO, EMK_E_NO_MEMORY. */
emk_status emk_play_keys_new(const emk_crypto *c, emk_span decryption, emk_span verification,
                             emk_play_keys **out, emk_error *e) EMK_MUST_CHECK;
/* Wipes and frees.  NULL is fine. */
void emk_play_keys_free(emk_play_keys *k);

/* What the caller expects.  Zeros are the strict choice everywhere.  Spans and texts are
 * borrowed. */
typedef struct emk_attest_policy {
    uint32_t size;                                /* sizeof of the caller's struct */
    uint32_t min_level;                           /* refuse evidence that amounts to less */
    int64_t time_s;                               /* seconds since 1970; required */
    int64_t max_age_s;                            /* of a token; 0: the kind's own limit */
    emk_span challenge;                           /* what the evidence must be made over */
    const char *app;                              /* "TEAMID.bundle.id", or a package */
    emk_span app_digests[EMK_VERIFY_DIGESTS_MAX]; /* SHA-256 of Android signing certificates */
    size_t n_app_digests;
    uint64_t min_app_version;       /* Play Integrity: versionCode */
    uint32_t min_os_patch;          /* Android: YYYYMM */
    const emk_play_keys *play_keys; /* Play Integrity, classic tokens */
    emk_attest_stale stale;         /* what an old revocation list does */
    int simulated;          /* evidence of simulators: 0 refused, 1 level 0, 2 counts (tests) */
    bool challenge_is_hash; /* App Attest: challenge is the client data's hash itself, 32 bytes;
                               else its SHA-256 is */
    bool development;       /* App Attest: the development environment, and no other */
    bool unverified_boot;   /* Android: accept unlocked devices and other systems; level 0 */
    bool allow_none;        /* accept the kind "none", which is level 0 */
    bool allow_retired;     /* accept SafetyNet */
    bool allow_decoded;     /* Play Integrity: object is what decodeIntegrityToken answered to
                               the caller itself, not something a client sent */
    bool allow_testing;     /* Play Integrity: testing responses */
    bool strong_device;     /* Play Integrity: STRONG; SafetyNet: HARDWARE_BACKED */
    bool weak_device;       /* Play Integrity, SafetyNet: accept less than a certified device */
    bool licensed;          /* Play Integrity: bought or installed through the store */
    /* TPM, whose challenge is the binding of 32 bytes; app is in it and the evidence names none. */
    emk_span tpm_secret;    /* what the credential held, 32 bytes: the proof must repeat it */
    emk_span tpm_signing;   /* the device's keys, 65 bytes each */
    emk_span tpm_agreement; /* which the TPM must have certified */
    uint32_t tpm_pcrs;      /* bit n: PCR n of the SHA-256 bank must be quoted */
    const uint8_t (*tpm_good)[32]; /* SHA-256 of allowed PCR values; NULL: level 1 at most */
    size_t n_tpm_good;
    bool tpm_sha1; /* endorsement certificates of old chips, signed over SHA-1 */
} emk_attest_policy;

/* What a client sent.  A TPM enrols in two steps (docs/spec/attestation.md 5); here both its
 * messages are verified together, with what was in the credential between them. */
typedef struct emk_attest_evidence {
    uint32_t size; /* sizeof of the caller's struct */
    emk_attest_kind kind;
    emk_span object;       /* App Attest: the attestation object.  Play Integrity, SafetyNet: the
                              token.  Android: the chain in PEM, unless certs has it.  TPM: the
                              proof */
    const emk_span *certs; /* Android: the chain in DER, leaf first, root last */
    size_t n_certs;
    emk_span key_id; /* App Attest: 32 bytes */
    emk_span key;    /* the SubjectPublicKeyInfo, or the point on P-256, that the caller was told:
                        refused when the evidence is about another; empty: not compared */
    emk_span hello;  /* TPM: the first message */
} emk_attest_evidence;

/* What to keep with the device. */
typedef struct emk_attest_key {
    uint8_t point[65]; /* 04 || x || y on P-256; zeros for another kind, or none */
    uint8_t id[32];    /* App Attest's key id; zeros for others */
    emk_span receipt;  /* App Attest: lent from the evidence; may be empty */
    uint64_t reserved[4];
} emk_attest_key;

/* Verifies evidence and fills claims, and key (may be NULL).  Borrows all.
 *
 * EMK_E_USAGE for an impossible policy, and a kind that has no verifier here; EMK_E_FORMAT,
 * EMK_E_LIMIT, EMK_E_UNSUPPORTED for what is not evidence; EMK_E_SIGNATURE and EMK_E_SEALED for
 * chains, signatures, keys and other challenges; EMK_E_STALE for dates, and for roots or lists
 * that are too old; EMK_E_POLICY for what app or device are, and for a level below the least;
 * EMK_E_NOT_FOUND when the roots for this kind are not there; EMK_E_CRYPTO, EMK_E_NO_MEMORY.
 * e->what names the reason for the operator; see emk_attest_client_code for clients. */
emk_status emk_attest_verify(const emk_crypto *c, const emk_attest_roots *roots,
                             const emk_attest_policy *policy, const emk_attest_evidence *evidence,
                             emk_claims *claims, emk_attest_key *key, emk_error *e) EMK_MUST_CHECK;

/* Verifies an App Attest assertion over client data, whose SHA-256 is made here, with a key that
 * emk_attest_verify gave before (its point).  Fills *counter, to be stored in the transaction that
 * read the one before.  EMK_E_USED when it did not grow; else as above. */
typedef struct emk_attest_assertion {
    emk_span assertion;
    emk_span client_data; /* the very bytes; that the challenge is in it is the caller's to see */
    const char *app;
    emk_span point;   /* 65 bytes */
    uint32_t counter; /* of the last one; 0 after the attestation */
} emk_attest_assertion;
emk_status emk_attest_assert(const emk_crypto *c, const emk_attest_assertion *a, uint32_t *counter,
                             emk_error *e) EMK_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
