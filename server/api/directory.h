/* Devices, services and operators as records, and the gate's directory over them. */
#ifndef EMK_SERVER_API_DIRECTORY_H
#define EMK_SERVER_API_DIRECTORY_H

#include "core/seal/recipient.h"
#include "server/api/kinds.h"
#include "server/gate/directory.h"
#include "server/gate/replay.h"
#include "server/store/records.h"

#define EMK_PLATFORM_MAX 128u /* bytes */
#define EMK_APP_MAX      255u

/* What is kept of a device.  Its record's owner is the hash of its user's name. */
typedef struct emk_device_record {
    emk_gate_device gate;
    uint16_t kem;
    uint8_t agreement[1500]; /* emk_kem_public_len(kem) bytes */
    size_t agreement_len;
    uint8_t attestation_kind;
    char platform[EMK_PLATFORM_MAX + 1];
    uint64_t enrolled;
    /* What its attestation proved; zeros where there was none. */
    char app[EMK_APP_MAX + 1]; /* as the claims name it */
    uint64_t attested;         /* when, by our clock */
    uint64_t evidence_until;   /* of the evidence; 0: it does not say */
    uint32_t warnings;         /* 1 << emk_attest_warning */
    uint32_t key_home, boot;   /* emk_attest_key_home, emk_attest_boot */
    uint32_t traits;           /* emk_device_trait */
    uint32_t os_version, os_patch;
    uint8_t app_key[65]; /* App Attest: the key of its assertions */
    uint8_t app_key_id[32];
    uint32_t app_counter;      /* of the last assertion */
    uint8_t ek_thumbprint[32]; /* TPM: of the endorsement key */
    uint32_t tpm_resets, tpm_restarts;
    uint64_t tpm_firmware;
    /* What rules demand of it (effects.h); zeros where nothing is. */
    uint32_t demand;           /* emk_device_demand */
    uint64_t asked_s, ended_s; /* when a demand of that kind was last made, or met */
    uint64_t held_until_s;     /* nothing is made for it before */
    uint64_t version; /* of the record that this was read from; 0: of none, EMK_RECORD_ANY: there is
                       * one.  Not stored */
} emk_device_record;

/* What waits for its attesting anew. */
typedef enum emk_device_demand {
    EMK_DEMAND_CHALLENGED = 1, /* nothing: it was told to by a decision, which ends by itself */
    EMK_DEMAND_GRANTS = 2,     /* tickets */
    EMK_DEMAND_ALL = 4         /* whatever the engine is asked about */
} emk_device_demand;

typedef enum emk_device_trait {
    EMK_DEVICE_LOCKED = 1,    /* the bootloader */
    EMK_DEVICE_CERTIFIED = 2, /* a service vouches for it */
    EMK_DEVICE_HAS_TPM = 4    /* the TPM's fields are there */
} emk_device_trait;

/* A change for emk_records_commit that puts the device; value and owner live in the caller's
 * buffers.  EMK_E_LIMIT when value is too small. */
typedef struct emk_device_change {
    uint8_t owner[32];
    uint8_t value[4096];
    emk_record_change change;
} emk_device_change;
emk_status emk_device_change_make(const emk_crypto *c, const uint8_t id[32],
                                  const emk_device_record *d, uint64_t expect,
                                  emk_device_change *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out and *version (NULL: not wanted).  EMK_E_NOT_FOUND; EMK_E_FORMAT for a damaged record;
 * what the store says. */
emk_status emk_device_get(const emk_records *r, const uint8_t id[32], emk_device_record *out,
                          uint64_t *version, emk_error *e) EMK_MUST_CHECK;
/* A change for emk_records_commit: nothing is written for a device that was revoked or erased, or
 * changed otherwise, since d was read. */
emk_record_change emk_device_check(const uint8_t id[32], const emk_device_record *d);
/* Whether the record that d was read from is still there, whatever changed in it; of one that was
 * read from none: as if it were.  EMK_E_NOT_FOUND when it was erased; what the store says. */
emk_status emk_device_is_there(const emk_records *r, const uint8_t id[32],
                               const emk_device_record *d, emk_error *e) EMK_MUST_CHECK;
/* From a record's value. */
emk_status emk_device_read(emk_span value, emk_device_record *out, emk_error *e) EMK_MUST_CHECK;
/* The id of a user, who is owner of their devices and decisions: SHA-256("earmark/1 owner" || 0 ||
 * tenant || 0 || subject).  Two issuers may have the same subject; they are two tenants. */
emk_status emk_user_owner(const emk_crypto *c, const char *tenant, const char *user,
                          uint8_t owner[32], emk_error *e) EMK_MUST_CHECK;

/* Puts a service key or an operator, new or in place of what is there. */
emk_status emk_service_put(const emk_records *r, emk_kind kind, emk_span id,
                           const emk_gate_service *s, emk_error *e) EMK_MUST_CHECK;
emk_status emk_operator_put(const emk_records *r, const char *name, const emk_gate_operator *o,
                            emk_error *e) EMK_MUST_CHECK;

/* The gate's two tables over these records; keep r. */
emk_gate_directory emk_directory_of(const emk_records *r);
emk_replay_store emk_replay_store_of(const emk_records *r);

#endif
