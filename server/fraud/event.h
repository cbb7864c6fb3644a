/* What the engine is told: one event is one line of JSON, or this struct.
 * [docs/spec/fraud-events.md]
 *
 * One table (event_table.c) declares every field: its JSON place, its type, its limits and its
 * trust class.  The class says what a rule may do with it: what a client claims may raise a
 * risk and never lower it.
 *
 * Texts are borrowed spans into the line, ASCII without quotes, backslashes and spaces, so
 * that a text has one form only.  Numbers are thousandths, so that "38.7" is exact. */
#ifndef EMK_SERVER_FRAUD_EVENT_H
#define EMK_SERVER_FRAUD_EVENT_H

#include "core/base/buf.h"
#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_FRAUD_LINE_MAX 8192u                   /* bytes of one event's line */
#define EMK_FRAUD_ID_MAX   128u                    /* bytes of a text */
#define EMK_FRAUD_TS_MAX   UINT64_C(4102444800000) /* ms: 2100-01-01; no event is later */
#define EMK_FRAUD_MILLI    1000

typedef enum emk_fraud_trust {
    EMK_FRAUD_SERVER,   /* seen by the server or by the tenant's backend */
    EMK_FRAUD_ATTESTED, /* proven by a signature or an attestation that the server verified */
    EMK_FRAUD_CLAIMED   /* said by a client */
} emk_fraud_trust;

typedef enum emk_fraud_source {
    EMK_FRAUD_SRC_SERVER,
    EMK_FRAUD_SRC_SDK,
    EMK_FRAUD_SRC_BACKEND
} emk_fraud_source;

/* The order is that of the table in event_table.c; append only: snapshots hold the numbers. */
typedef enum emk_fraud_type {
    EMK_FRAUD_AUTH_OK,
    EMK_FRAUD_AUTH_FAIL,
    EMK_FRAUD_SIG_FAIL,
    EMK_FRAUD_REPLAY,
    EMK_FRAUD_ENROLL_REFUSED,
    EMK_FRAUD_CHALLENGE_PASS,
    EMK_FRAUD_CHALLENGE_FAIL,
    EMK_FRAUD_DEVICE_ENROLL,
    EMK_FRAUD_DEVICE_ATTEST,
    EMK_FRAUD_DEVICE_REVOKE,
    EMK_FRAUD_COUNTER_FORK,
    EMK_FRAUD_FOREIGN_URL,
    EMK_FRAUD_GENERATE,
    EMK_FRAUD_GRANT,
    EMK_FRAUD_LEASE,
    EMK_FRAUD_DOWNLOAD_START,
    EMK_FRAUD_DOWNLOAD_END,
    EMK_FRAUD_OPEN,
    EMK_FRAUD_OPEN_FAIL,
    EMK_FRAUD_USE,
    EMK_FRAUD_DELETE,
    EMK_FRAUD_HEARTBEAT,
    EMK_FRAUD_TAMPER,
    EMK_FRAUD_CLOCK,
    EMK_FRAUD_GAP,
    EMK_FRAUD_BATCH_FORGED,
    EMK_FRAUD_PURCHASE,
    EMK_FRAUD_REFUND,
    EMK_FRAUD_CHARGEBACK,
    EMK_FRAUD_TRIAL,
    EMK_FRAUD_REPORT_ABUSE,
    EMK_FRAUD_REPORT_FOREIGN,
    EMK_FRAUD_CANARY,
    EMK_FRAUD_ADMIN_BAN,
    EMK_FRAUD_ADMIN_UNBAN,
    EMK_FRAUD_ADMIN_REVIEW,
    EMK_FRAUD_ADMIN_CLEAR,
    EMK_FRAUD_ADMIN_SWITCH,
    EMK_FRAUD_LABEL_FRAUD,
    EMK_FRAUD_LABEL_OK,
    EMK_FRAUD_LABEL_UNSURE,
    EMK_FRAUD_ADMIN_RULES,
    EMK_FRAUD_TYPES
} emk_fraud_type;

typedef enum emk_fraud_kind { EMK_FRAUD_TEXT, EMK_FRAUD_NUMBER, EMK_FRAUD_FLAG } emk_fraud_kind;

/* Fields, in the order of the canonical form.  Texts and numbers share one numbering. */
typedef enum emk_fraud_field {
    EMK_FRAUD_F_ID,
    EMK_FRAUD_F_SRC,
    EMK_FRAUD_F_PRODUCER,
    EMK_FRAUD_F_SEQ,
    EMK_FRAUD_F_TYPE,
    EMK_FRAUD_F_TS,
    EMK_FRAUD_F_TS_CLIENT,
    EMK_FRAUD_F_TENANT,
    EMK_FRAUD_F_APP_ID,
    EMK_FRAUD_F_APP_VER,
    EMK_FRAUD_F_APP_BUILD,
    EMK_FRAUD_F_USER,
    EMK_FRAUD_F_DEVICE,
    EMK_FRAUD_F_SESSION,
    EMK_FRAUD_F_IP,
    EMK_FRAUD_F_NET,
    EMK_FRAUD_F_ASN,
    EMK_FRAUD_F_CC,
    EMK_FRAUD_F_KEY,
    EMK_FRAUD_F_PAYMENT,
    EMK_FRAUD_F_LAT,
    EMK_FRAUD_F_LON,
    EMK_FRAUD_F_GEO_KM,
    EMK_FRAUD_F_NET_KIND,
    EMK_FRAUD_F_GEO_DB,
    EMK_FRAUD_F_ATT_KIND,
    EMK_FRAUD_F_ATT_LEVEL,
    EMK_FRAUD_F_ATT_AGE,
    EMK_FRAUD_F_ATT_APP_OK,
    EMK_FRAUD_F_ATT_VIRTUAL,
    EMK_FRAUD_F_ATT_ENR,
    EMK_FRAUD_F_ATT_TUPLE,
    EMK_FRAUD_F_MODEL,
    EMK_FRAUD_F_ARTIFACT,
    EMK_FRAUD_F_GRANT,
    EMK_FRAUD_F_BYTES,
    EMK_FRAUD_F_COST,
    EMK_FRAUD_F_CODE,
    EMK_FRAUD_F_REASON,
    EMK_FRAUD_F_LAT_US,
    EMK_FRAUD_F_COUNTER,
    EMK_FRAUD_F_SOLVE_MS,
    EMK_FRAUD_F_X_GAP,
    EMK_FRAUD_F_X_RTT,
    EMK_FRAUD_F_X_WEIGHT,
    EMK_FRAUD_F_PLAN_DEVICES,
    EMK_FRAUD_F_PLAN_ARTIFACTS_HOUR,
    EMK_FRAUD_F_PLAN_ARTIFACTS_DAY,
    EMK_FRAUD_F_PLAN_COST_HOUR,
    EMK_FRAUD_F_PLAN_COST_DAY,
    EMK_FRAUD_F_PLAN_LEASES,
    EMK_FRAUD_F_PLAN_MIN_VER,
    EMK_FRAUD_FIELDS
} emk_fraud_field;

/* The objects that fields stand in; TOP is the line itself. */
typedef enum emk_fraud_group {
    EMK_FRAUD_G_TOP,
    EMK_FRAUD_G_APP,
    EMK_FRAUD_G_SUBJ,
    EMK_FRAUD_G_ATT,
    EMK_FRAUD_G_OBJ,
    EMK_FRAUD_G_RES,
    EMK_FRAUD_G_X,
    EMK_FRAUD_G_PLAN,
    EMK_FRAUD_GROUPS
} emk_fraud_group;

/* Events of these sources may have this type; the bits are 1 << emk_fraud_source. */
typedef struct emk_fraud_type_row {
    const char *name;
    uint8_t sources;
    bool decides;       /* asked before something is given: the answer counts */
    bool authenticated; /* its subjects get entities; else they touch only those that exist */
} emk_fraud_type_row;

typedef struct emk_fraud_field_row {
    const char *name; /* "subj.user": as rules say it */
    emk_fraud_group group;
    char key[16]; /* "user", with zeros behind it */
    uint8_t key_len;
    emk_fraud_kind kind;
    emk_fraud_trust trust; /* in events of servers; in those of an SDK see the function below */
    int64_t min, max;      /* NUMBER: thousandths */
    bool fraction;         /* a decimal point is allowed */
} emk_fraud_field_row;

extern const emk_fraud_type_row EMK_FRAUD_TYPE[EMK_FRAUD_TYPES];
extern const emk_fraud_field_row EMK_FRAUD_FIELD[EMK_FRAUD_FIELDS];
extern const char *const EMK_FRAUD_SOURCE[3];
extern const char EMK_FRAUD_GROUP[EMK_FRAUD_GROUPS][16]; /* with zeros behind them */

/* A sum type would be smaller, but most of an event is texts. */
typedef union emk_fraud_value {
    emk_span text;
    int64_t number; /* thousandths; FLAG: 0 or 1000 */
} emk_fraud_value;

typedef struct emk_fraud_event {
    emk_fraud_type type;
    emk_fraud_source src;
    uint64_t ts;  /* ms since 1970: when the server received it; the engine's only clock */
    uint64_t has; /* bit f: field f is there */
    emk_fraud_value f[EMK_FRAUD_FIELDS];
} emk_fraud_event;

static inline bool emk_fraud_has(const emk_fraud_event *ev, emk_fraud_field f)
{
    return (ev->has >> f & 1) != 0;
}

/* What a field is worth in events of type t, when any permitted source may have sent it: a
 * claim as soon as an SDK may say it, but for who is asking, which the signature proves. */
emk_fraud_trust emk_fraud_trust_of(emk_fraud_field f, emk_fraud_type t);

/* The type or field of that name; false when there is none. */
bool emk_fraud_type_find(emk_span name, emk_fraud_type *out);
bool emk_fraud_field_find(emk_span name, emk_fraud_field *out);

/* Starts an event. */
void emk_fraud_event_init(emk_fraud_event *ev, emk_fraud_type type, uint64_t ts);
/* Puts a text (borrowed) or a number; for producers and tests. */
void emk_fraud_event_text(emk_fraud_event *ev, emk_fraud_field f, emk_span text);
void emk_fraud_event_number(emk_fraud_event *ev, emk_fraud_field f, int64_t milli);

/* Reads one line, without its newline, into *out, which borrows from it.  Strict: unknown
 * keys (but for those in "x", which are passed over), double keys, texts outside the
 * alphabet, numbers out of range, a source that may not send this type.  null and an empty text
 * are the same as no key.  e->where is the offset in the line.  EMK_E_FORMAT, EMK_E_LIMIT,
 * EMK_E_UNSUPPORTED (another "v"). */
emk_status emk_fraud_event_read(emk_span line, emk_fraud_event *out, emk_error *e) EMK_MUST_CHECK;

/* What a reading passed over. */
#define EMK_FRAUD_IGNORED_FIRST 4u
typedef struct emk_fraud_ignored {
    uint32_t n;                              /* unknown keys, those of "x" not counted */
    emk_span first[EMK_FRAUD_IGNORED_FIRST]; /* their names, raw; borrowed from the line */
} emk_fraud_ignored;

/* The same for logs that somebody else wrote: keys that are unknown are passed over with all that
 * stands behind them, and texts may have spaces, UTF-8 and escapes, which stand for themselves.
 * For replays: what is read so cannot always be written again.  Fills *ignored. */
emk_status emk_fraud_event_read_foreign(emk_span line, emk_fraud_event *out,
                                        emk_fraud_ignored *ignored, emk_error *e) EMK_MUST_CHECK;

/* The same checks on a struct that was filled by hand.  EMK_E_FORMAT or EMK_E_LIMIT. */
emk_status emk_fraud_event_check(const emk_fraud_event *ev, emk_error *e) EMK_MUST_CHECK;

/* Appends the canonical line without newline: fields in the order of the table, no spaces,
 * nothing that is absent.  Reading it gives the same event.  EMK_E_LIMIT, EMK_E_NO_MEMORY. */
emk_status emk_fraud_event_write(const emk_fraud_event *ev, emk_buf *out,
                                 emk_error *e) EMK_MUST_CHECK;

#endif
