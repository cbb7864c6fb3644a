/* Policy and identity: what a sealed model may be used for, and by whom.  [container 8] */
#ifndef EARMARK_POLICY_H
#define EARMARK_POLICY_H

#include <earmark/span.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMK_ID_LEN          16u /* of tickets, sealed files and vault entries */
#define EMK_HASH_LEN        32u /* SHA-256 */
#define EMK_DEVICE_ID_LEN   32u
#define EMK_MESSAGE_MAX     16384u /* bytes of one message */
#define EMK_TEXT_MAX        128u   /* bytes of one name */
#define EMK_GUARD_LEVEL_MAX 3u

typedef enum emk_policy_memory {
    EMK_POLICY_MEMORY_ANY = 0,
    EMK_POLICY_MEMORY_LOCKED = 1, /* refuse when the memory cannot be locked */
    EMK_POLICY_MEMORY_SECRET = 2  /* refuse when it cannot be memfd_secret */
} emk_policy_memory;

/* Zero means: no such rule.  Times are seconds since 1970, lengths of time seconds.
 *
 * A model under a lease opens until the lease ends, which is lease_s after it was issued, and
 * for grace_s after that, for devices that could not ask in time.  A device that can asks again
 * renewal_delay_s after each lease (0: after half of lease_s); that is how long after a
 * revocation a device that is online has the model still.  [messages 9] */
typedef struct emk_policy {
    uint64_t not_before;
    uint64_t expires; /* always present */
    uint64_t max_opens;
    uint64_t lease_s;
    uint64_t grace_s;         /* only with lease_s */
    uint64_t renewal_delay_s; /* only with lease_s */
    uint8_t min_guard;        /* 0..3 */
    uint8_t memory;           /* emk_policy_memory */
    uint64_t release;
} emk_policy;

/* Texts are borrowed; an empty span means: absent.  model, user and device are always there. */
typedef struct emk_identity {
    emk_span model;
    emk_span version;
    emk_span use;
    emk_span app;
    emk_span user;
    uint8_t device[EMK_DEVICE_ID_LEN];
} emk_identity;

/* What the device wrote.  [container 7.3] */
typedef struct emk_record {
    uint64_t generation;
    uint8_t vault_id[EMK_ID_LEN];
    uint64_t accepted; /* time */
    uint64_t floor;    /* time */
    uint64_t opens;
    uint64_t lease_time;  /* server time of the newest lease or refusal; 0: it needs no lease */
    uint64_t lease_until; /* time; grace not counted */
    uint8_t bound;        /* level of the guard that its key is bound to; 0: to none */
} emk_record;

#ifdef __cplusplus
}
#endif

#endif
