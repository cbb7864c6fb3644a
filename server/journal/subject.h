/* Keys of subjects: what an entry says about a person is encrypted under a key of that person
 * alone, so that it can be erased from a log that cannot be changed.  [journal 6]
 *
 * The keys are records of one kind, wrapped under a key of the caller's.  Erasing destroys the
 * key and then logs that; proofs stay valid.  A legal hold blocks it.
 *
 * Thread rule: any number of threads. */
#ifndef EMK_SERVER_JOURNAL_SUBJECT_H
#define EMK_SERVER_JOURNAL_SUBJECT_H

#include "core/base/buf.h"
#include "core/base/secret.h"
#include "server/journal/journal.h"
#include "server/store/records.h"

#define EMK_SUBJECT_PLAIN_MAX 4032u /* bytes to seal at once */

typedef struct emk_subjects {
    const emk_crypto *c;   /* kept */
    emk_records records;   /* kept */
    uint32_t kind;         /* of the records: the caller's number, used for nothing else */
    const emk_secret *kek; /* 32 bytes; kept */
} emk_subjects;

/* Appends the sealed form of `plain` for event->pii to *out, making the subject's key when there
 * is none.  It is bound to type, subject and object of the event, which must stay as they are.
 * EMK_E_POLICY when the subject was erased: log without it.  EMK_E_USAGE without a subject;
 * EMK_E_LIMIT; what the store says. */
emk_status emk_subjects_seal(const emk_subjects *s, const emk_journal_event *event, emk_span plain,
                             uint64_t now_s, emk_buf *out, emk_error *e) EMK_MUST_CHECK;

/* Appends to *plain what event->pii says.  EMK_E_KEY_LOST: erased.  EMK_E_SEALED: damaged, or
 * of another event. */
emk_status emk_subjects_unseal(const emk_subjects *s, const emk_journal_event *event,
                               emk_buf *plain, emk_error *e) EMK_MUST_CHECK;

typedef struct emk_erasure {
    emk_span subject;
    emk_span basis; /* UTF-8, up to 128 bytes: the legal ground, for the log */
    emk_span actor; /* as in an event */
    uint64_t now_s;
} emk_erasure;

/* Destroys the subject's key, then logs it.  Killed in between, emk_subjects_resume logs it.
 * EMK_E_POLICY under a legal hold; EMK_E_NOT_FOUND; EMK_E_USED when that was done before. */
emk_status emk_subjects_erase(const emk_subjects *s, emk_journal *j, const emk_erasure *what,
                              emk_error *e) EMK_MUST_CHECK;
/* Logs erasures that were not; at start.  Fills *n with their number. */
emk_status emk_subjects_resume(const emk_subjects *s, emk_journal *j, uint64_t now_s, uint64_t *n,
                               emk_error *e) EMK_MUST_CHECK;

/* Sets or lifts a legal hold, which logs nothing by itself.  EMK_E_NOT_FOUND, EMK_E_USED when it
 * was erased. */
emk_status emk_subjects_hold(const emk_subjects *s, emk_span subject, bool hold,
                             emk_error *e) EMK_MUST_CHECK;
/* Fills *held; EMK_OK also where the subject has no key. */
emk_status emk_subjects_is_held(const emk_subjects *s, emk_span subject, bool *held,
                                emk_error *e) EMK_MUST_CHECK;

#endif
