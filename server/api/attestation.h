/* Attestation as the routes of devices use it: what an operator allows, evidence out of a body,
 * claims into the record of a device.  server/attest verifies; here are app, binding, keys.
 *
 * What was wrong is told to the log and the audit; a client is told which step to repeat. */
#ifndef EMK_SERVER_API_ATTESTATION_H
#define EMK_SERVER_API_ATTESTATION_H

#include "server/api/directory.h"
#include "server/api/http.h"
#include "server/api/json_in.h"
#include "server/attest/tpm_enrol.h"

#define EMK_API_APPS_MAX     32u
#define EMK_EVIDENCE_MAX     36864u /* bytes of an object, token or chain */
#define EMK_API_GOOD_PCR_MAX 16u

/* An app whose devices may enrol. */
typedef struct emk_api_app {
    char id[EMK_APP_MAX + 1]; /* "TEAMID.bundle.id", a package, or a name for a TPM's program */
    uint32_t kinds;           /* 1 << emk_attest_kind */
    uint8_t digests[EMK_VERIFY_DIGESTS_MAX][32]; /* SHA-256 of Android signing certificates */
    size_t n_digests;
    uint32_t min_level, min_os_patch;
    uint64_t min_version;
    bool development;     /* App Attest's development environment, and no other */
    bool unverified_boot; /* Android: at level 0 */
    bool retired;         /* SafetyNet is taken */
    emk_play_keys *play_keys;
} emk_api_app;

typedef struct emk_api_attestation {
    /* NULL: none.  A reload swaps them, and keeps those of before for a while. */
    emk_attest_roots *_Atomic roots;
    emk_api_app apps[EMK_API_APPS_MAX];
    size_t n_apps;
    emk_attest_stale stale;
    int simulated;     /* as in emk_attest_policy; other than 0 only with --dev */
    bool sha1_ek;      /* endorsement certificates of old TPMs */
    emk_tpm_pcrs pcrs; /* to be quoted */
    uint8_t good[EMK_API_GOOD_PCR_MAX][32];
    size_t n_good;
} emk_api_attestation;

/* The member "attestation" of a body. */
typedef struct emk_evidence {
    emk_span kind;
    emk_span app;
    emk_span object;       /* object, token, or chain in PEM; App Attest's assertion in a refresh */
    emk_span key_id;       /* App Attest */
    emk_span hello, proof; /* TPM: one of them */
} emk_evidence;
extern const emk_json_shape emk_evidence_shape;

typedef enum emk_evidence_result {
    EMK_EVIDENCE_GOOD,
    EMK_EVIDENCE_CREDENTIAL, /* TPM, first step: the credential was answered */
    EMK_EVIDENCE_REFUSED     /* answered, logged and in the audit */
} emk_evidence_result;

/* Whose keys, and for which challenge. */
typedef struct emk_evidence_for {
    const uint8_t *device_id; /* 32 bytes */
    emk_span signing;         /* public keys */
    emk_span agreement;
    emk_span challenge;        /* verified, not used yet */
    emk_device_record *device; /* filled with what is proven; holds what was known before */
    bool refresh;
} emk_evidence_for;

/* Records that have to change together with the device's. */
#define EMK_EVIDENCE_CHANGES 1u
typedef struct emk_evidence_changes {
    emk_record_change v[EMK_EVIDENCE_CHANGES]; /* values and ids are in the arena */
    size_t n;
} emk_evidence_changes;

/* Verifies.  Never grants by itself: the caller commits `also` with the device's record.  What it
 * returns other than GOOD was answered; *e has the reason for the log. */
emk_evidence_result emk_evidence_verify(emk_call *call, const emk_evidence *in,
                                        const emk_evidence_for *who, emk_evidence_changes *also,
                                        emk_error *e) EMK_MUST_CHECK;

#endif
