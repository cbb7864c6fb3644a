/* One entry of the audit log: deterministic CBOR.  [journal 2]
 *
 * What a caller says is an emk_journal_event; the journal adds the number, the epoch and the
 * link to the entry before. */
#ifndef EMK_SERVER_JOURNAL_RECORD_H
#define EMK_SERVER_JOURNAL_RECORD_H

#include "core/base/span.h"
#include "core/base/status.h"

#include <stdbool.h>

#define EMK_JOURNAL_TYPE_MAX     48u    /* bytes */
#define EMK_JOURNAL_ACTOR_MAX    128u   /* bytes */
#define EMK_JOURNAL_TENANT_MAX   64u    /* bytes */
#define EMK_JOURNAL_SUBJECT_MAX  64u    /* bytes; at most what a record's id may have */
#define EMK_JOURNAL_OBJECT_MAX   256u   /* bytes */
#define EMK_JOURNAL_DECISION_MAX 32u    /* bytes */
#define EMK_JOURNAL_RULESET_MAX  64u    /* bytes */
#define EMK_JOURNAL_DETAIL_MAX   8192u  /* bytes */
#define EMK_JOURNAL_PII_MAX      4096u  /* bytes, sealed */
#define EMK_JOURNAL_RECORD_MAX   16384u /* bytes of an entry */
#define EMK_JOURNAL_LINK_LEN     16u

typedef enum emk_journal_outcome {
    EMK_JOURNAL_DONE = 1, /* granted, changed, started */
    EMK_JOURNAL_DENIED = 2,
    EMK_JOURNAL_FAILED = 3
} emk_journal_outcome;

/* What happened.  Only time_ms, type, actor and outcome must be there.  Nothing in it but `pii`
 * may say who a person is: entries are never changed and may be shown to outsiders. */
typedef struct emk_journal_event {
    uint64_t time_ms; /* since 1970 */
    emk_span type;    /* a-z 0-9 and . _ - ("ticket.grant"); see docs/spec/journal.md */
    emk_span actor;   /* UTF-8: who did it: "device:…", "operator:…", "earmarkd" */
    emk_span tenant;  /* UTF-8 */
    emk_span subject; /* bytes: the pseudonym of whom it is about */
    emk_span object;  /* UTF-8: "model:cats/3" */
    emk_journal_outcome outcome;
    emk_span decision; /* bytes: what the refusal showed as its id */
    emk_span ruleset;  /* UTF-8: its version */
    emk_span detail;   /* one CBOR item of the profile: old and new value … */
    emk_span pii;      /* from emk_subjects_seal */
} emk_journal_event;

/* An entry.  All spans are lent by what it was read from. */
typedef struct emk_journal_record {
    emk_journal_event event;
    uint64_t seq;                       /* from 0, without gaps */
    uint64_t epoch;                     /* of the chain's key, from 1 */
    uint8_t link[EMK_JOURNAL_LINK_LEN]; /* of the entry before; zeros in entry 0 */
    bool late;                          /* written when the log could be written again */
} emk_journal_record;

/* EMK_E_USAGE, EMK_E_LIMIT or EMK_E_FORMAT when the event cannot become an entry. */
emk_status emk_journal_event_check(const emk_journal_event *ev, emk_error *e) EMK_MUST_CHECK;

/* Fills out and *len.  The event has been checked.  EMK_E_LIMIT when it is longer than
 * EMK_JOURNAL_RECORD_MAX or cap. */
emk_status emk_journal_record_write(const emk_journal_record *r, uint8_t *out, size_t cap,
                                    size_t *len, emk_error *e) EMK_MUST_CHECK;

/* Fills *out, which borrows from `in`.  EMK_E_FORMAT for anything that emk_journal_record_write
 * would not have written; EMK_E_LIMIT, EMK_E_UNSUPPORTED. */
emk_status emk_journal_record_read(emk_span in, emk_journal_record *out,
                                   emk_error *e) EMK_MUST_CHECK;

#endif
