/* Events: a device says what became of its models, in numbered batches that are chained by their
 * hashes, so that one that is missing or made up shows.  [messages 12]
 *
 * What a device says of itself may raise a risk, never lower one. */
#ifndef EMK_CORE_PROTO_EVENTS_H
#define EMK_CORE_PROTO_EVENTS_H

#include "core/proto/message.h"

#define EMK_EVENTS_MAX       64u /* events of one batch */
#define EMK_EVENT_DETAIL_MAX 512u
#define EMK_EVENT_TYPE_MAX   255u /* a newer device may send more than we know */
#define EMK_EVENT_CODE_MAX   UINT32_MAX
#define EMK_EVENT_NUMBER_MAX UINT64_C(0xFFFFFFFFFFFF)

typedef enum emk_event_type {
    EMK_EVENT_OPEN = 1,  /* a model was opened */
    EMK_EVENT_OPEN_FAIL, /* or not; code: the status */
    EMK_EVENT_USE,       /* code: how often since the last one */
    EMK_EVENT_DELETE,    /* it was removed from the vault */
    EMK_EVENT_HEARTBEAT,
    EMK_EVENT_TAMPER, /* detail: the guard's summary */
    EMK_EVENT_CLOCK   /* the clock was set back; code: seconds */
} emk_event_type;

typedef struct emk_event {
    uint8_t type;                  /* emk_event_type, or of a newer device; not 0 */
    uint64_t time;                 /* seconds since 1970, by the device's clock */
    uint8_t ticket_id[EMK_ID_LEN]; /* of the model; has_ticket */
    bool has_ticket;
    uint32_t code;   /* 0: none */
    emk_span detail; /* opaque here; empty: none */
} emk_event;

typedef struct emk_events {
    uint8_t device_id[EMK_DEVICE_ID_LEN];
    uint64_t first; /* number of the first event, from 1; the others follow without gaps */
    uint8_t previous[EMK_HASH_LEN]; /* of the batch before; zeros in the first one */
    uint64_t time;                  /* by the device's clock */
    emk_event events[EMK_EVENTS_MAX];
    size_t n;                   /* 1.. */
    uint8_t hash[EMK_HASH_LEN]; /* of the message; worked out when read, not read by sign */
} emk_events;

/* Appends the message to out, signed by the device. */
emk_status emk_events_sign(const emk_crypto *c, const emk_signer *signer, const emk_events *in,
                           emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* Fills *out from a batch that `device` signed.  Whether it follows the one before is for who
 * remembers that. */
emk_status emk_events_verify(const emk_crypto *c, emk_span message, const emk_verify_key *device,
                             emk_events *out, emk_error *e) EMK_MUST_CHECK;

#endif
