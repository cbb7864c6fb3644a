/* What the server remembers, beside devices, services and operators (directory.h).  Each struct
 * is one kind of record; entities.c has their tables, kinds.h their ids and owners. */
#ifndef EMK_SERVER_API_ENTITIES_H
#define EMK_SERVER_API_ENTITIES_H

#include "server/api/entity.h"

#define EMK_NAME_CAP   129u /* a text of EMK_TEXT_MAX bytes, and its zero */
#define EMK_REASON_CAP 257u
#define EMK_WORD_CAP   33u

/* A person, known by the token's subject.  Made by the first enrolment; id = owner of devices. */
typedef struct emk_user_entity {
    char subject[EMK_NAME_CAP]; /* as in the token */
    char tenant[EMK_NAME_CAP];
    char plan[EMK_WORD_CAP];
    uint64_t created_s, last_seen_s;
    bool banned;
    uint64_t banned_until_s; /* 0: for good */
    char ban_reason[EMK_REASON_CAP];
    char banned_by[EMK_NAME_CAP];
    uint64_t epoch; /* raised by a ban or revocation: older leases are not renewed */
} emk_user_entity;

typedef enum emk_ticket_state {
    EMK_TICKET_ISSUED = 1,
    EMK_TICKET_REDEEMED, /* by a sealer: once */
    EMK_TICKET_SEALED,   /* the model waits to be fetched */
    EMK_TICKET_ACCEPTED, /* the device has said so */
    EMK_TICKET_FAILED,   /* the device has refused it */
    EMK_TICKET_REVOKED
} emk_ticket_state;

typedef struct emk_ticket_entity {
    uint64_t state; /* emk_ticket_state */
    uint8_t device[32];
    uint8_t user[32];
    char model[EMK_NAME_CAP], version[EMK_NAME_CAP], use[EMK_NAME_CAP], app[EMK_NAME_CAP];
    uint8_t hash[32]; /* of the message */
    uint64_t issued_s, expires_s, policy_expires_s;
    uint64_t lease_s, grace_s, lease_epoch;
    char decision[EMK_WORD_CAP]; /* of the engine, when it was issued */
    char redeemed_by[EMK_NAME_CAP];
    uint64_t redeemed_s, sealed_s, accepted_s;
    uint8_t blob[32];
    uint64_t receipt_status; /* an emk_status, when it failed */
    uint64_t lease_until_s, n_leases;
    uint64_t cost;                     /* units */
    bool marked;                       /* a watermarked or decoy variant */
    char net[64];                      /* that asked for it; "": not known */
    EMK_ENTITY_BYTES_OF(4096) message; /* the ticket as issued */
} emk_ticket_entity;

/* A version of a model of the catalogue; id = "name/version". */
typedef struct emk_model_entity {
    char name[EMK_NAME_CAP], version[EMK_NAME_CAP];
    uint64_t release;
    char format[EMK_WORD_CAP];
    uint64_t size; /* bytes */
    uint64_t n_tensors;
    uint8_t digest[32];               /* SHA-256 of the plain file: never sent to devices */
    uint8_t object[32];               /* names the stored file, and its key's binding */
    EMK_ENTITY_BYTES_OF(128) wrapped; /* its key, wrapped to the storage key */
    uint64_t published_s;
    char published_by[EMK_NAME_CAP];
    bool withdrawn;
    bool decoy;                 /* in no catalogue: whoever asks for it is looking around */
    char plans[EMK_REASON_CAP]; /* who may have it: plans by commas; empty: everybody */
    uint64_t cost;              /* units of one delivery */
    /* The policy of its tickets; life_s: seconds from the ticket to the policy's end. */
    uint64_t life_s, max_opens, lease_s, grace_s, renewal_delay_s, min_guard, memory, min_level;
    char tenant[EMK_NAME_CAP]; /* whose users may have it; empty: everybody's */
} emk_model_entity;

/* A sealed model that waits to be fetched. */
typedef struct emk_blob_entity {
    uint8_t ticket[16];
    uint8_t device[32];
    uint64_t size;
    uint8_t digest[32]; /* not used: the ETag follows from the id */
    uint64_t created_s, expires_s;
    uint64_t n_fetches, n_bytes;
    bool whole; /* delivered to its end at least once */
} emk_blob_entity;

/* A prefix that the firewall knows; id = the prefix as text. */
typedef struct emk_wall_entity {
    char prefix[64];
    char action[EMK_WORD_CAP];
    char reason[EMK_REASON_CAP];
    char origin[EMK_NAME_CAP];
    char by[EMK_NAME_CAP];
    uint64_t created_s, expires_s;
} emk_wall_entity;

/* A value on a list that rules ask about; id = SHA-256 of list and value, owner = the list. */
typedef struct emk_list_entity {
    char list[EMK_NAME_CAP];
    char value[EMK_NAME_CAP];
    char reason[EMK_REASON_CAP];
    char by[EMK_NAME_CAP];
    uint64_t created_s, expires_s;
} emk_list_entity;

/* A limit that is not as configured; id = its name. */
typedef struct emk_limit_entity {
    char name[EMK_NAME_CAP];
    uint64_t burst, per_s; /* units at once, and the seconds that quota is for */
    bool shadow;
    char by[EMK_NAME_CAP];
    uint64_t changed_s;
    uint64_t quota; /* units in per_s */
} emk_limit_entity;

/* A decision of the engine, kept to be explained; owner = the user. */
typedef struct emk_decision_entity {
    char id[EMK_WORD_CAP];
    uint64_t time_ms;
    char point[EMK_WORD_CAP];     /* "ticket", "redeem", "blob", "lease", "event" */
    char action[EMK_WORD_CAP];    /* "allow", "challenge" ... */
    uint64_t score;               /* in hundredths */
    char reasons[EMK_REASON_CAP]; /* by commas */
    char rules[EMK_REASON_CAP];   /* that fired, by commas */
    uint8_t ruleset[32];          /* its hash */
    uint8_t device[32];
    char model[EMK_NAME_CAP];
    EMK_ENTITY_BYTES_OF(4096) event; /* as the engine saw it, JSON */
    uint64_t explore_ppm;            /* probability of being let through, by a million; 0: none */
    char would[EMK_WORD_CAP];        /* the action without that */
    char effects[EMK_NAME_CAP];      /* what its rules did besides, by commas */
} emk_decision_entity;

/* How far a device's own events came: batches are numbered and chained. */
typedef struct emk_events_entity {
    uint64_t next;     /* number of the next event */
    uint8_t last[32];  /* hash of the last batch */
    uint64_t n_gaps;   /* numbers that never came */
    uint64_t n_forged; /* batches that did not fit */
    uint64_t last_s;
} emk_events_entity;

/* A TPM that enrols, between its two steps; id = SHA-256 of the challenge. */
typedef struct emk_tpm_pending_entity {
    uint8_t device[32];
    EMK_ENTITY_BYTES_OF(512) ak; /* TPMT_PUBLIC */
    uint8_t ek_thumbprint[32];
    uint8_t secret_hash[32];
    uint64_t made_s;
    bool sha1_ek, simulated, simulated_counts;
    char app[EMK_REASON_CAP];
} emk_tpm_pending_entity;

/* An erasure under way; id = what is erased. */
typedef struct emk_erasure_entity {
    bool device;
    char basis[EMK_NAME_CAP];
    char actor[EMK_REASON_CAP];
    uint64_t asked_s;
} emk_erasure_entity;

/* A message that waits for a target of webhooks, or could not be delivered. */
typedef struct emk_outbox_entity {
    uint8_t id[16];
    uint64_t kind;      /* emk_webhook_kind */
    uint64_t created_s; /* what the receiver is told as its time */
    uint64_t tries;
    uint64_t next_ms; /* not before */
    bool dead;        /* tried often enough */
    uint64_t code;    /* of the last answer; 0: none */
    EMK_ENTITY_BYTES_OF(8192) body;
} emk_outbox_entity;

/* What operators set of a target of webhooks; id = its name. */
typedef struct emk_webhook_entity {
    bool disabled;
    char by[EMK_NAME_CAP];
    uint64_t changed_s;
} emk_webhook_entity;

/* A group of users that the campaign job found, for a person to decide upon. */
typedef struct emk_proposal_entity {
    char state[EMK_WORD_CAP]; /* "proposed", "waiting" (approved, and acts later), "approved",
                               * "refused", "withdrawn"; while members get their events
                               * "approving", "withdrawing" */
    char reason[EMK_REASON_CAP];
    char by[EMK_NAME_CAP]; /* who decided */
    uint64_t created_s, decided_s;
    uint64_t members; /* of the group; `users` names as many as fit */
    char tenant[EMK_NAME_CAP];
    EMK_ENTITY_BYTES_OF(12288) users; /* as events name them, by spaces */
    char kind[EMK_WORD_CAP];          /* of the group: EMK_FRAUD_CAMPAIGN's names */
    char evidence[EMK_REASON_CAP];    /* "name=number …" */
    uint64_t due_s;                   /* of one that is "waiting": when it acts; 0: none */
} emk_proposal_entity;

/* What a device's guard said last; id = the device's. */
typedef struct emk_guard_entity {
    uint64_t level, action, highest; /* highest: level that was ever shown */
    uint64_t looks, at_s;
    uint8_t measurement[32];
} emk_guard_entity;

/* That an operator has looked at a draft rule set; id = hash of set and name, owner = the set's. */
typedef struct emk_approval_entity {
    char ruleset[EMK_NAME_CAP]; /* its label */
    char by[EMK_NAME_CAP];
    char reason[EMK_REASON_CAP];
    uint64_t given_s, expires_s;
} emk_approval_entity;

extern const emk_entity_shape emk_user_shape;
extern const emk_entity_shape emk_ticket_shape;
extern const emk_entity_shape emk_model_shape;
extern const emk_entity_shape emk_blob_shape;
extern const emk_entity_shape emk_wall_shape;
extern const emk_entity_shape emk_list_shape;
extern const emk_entity_shape emk_limit_shape;
extern const emk_entity_shape emk_decision_shape;
extern const emk_entity_shape emk_events_shape;
extern const emk_entity_shape emk_tpm_pending_shape;
extern const emk_entity_shape emk_erasure_shape;
extern const emk_entity_shape emk_guard_shape;
extern const emk_entity_shape emk_outbox_shape;
extern const emk_entity_shape emk_webhook_shape;
extern const emk_entity_shape emk_proposal_shape;
extern const emk_entity_shape emk_approval_shape;

/* All of them, for tests and for exports. */
extern const emk_entity_shape *const emk_entity_shapes[];
extern const size_t emk_n_entity_shapes;

#endif
