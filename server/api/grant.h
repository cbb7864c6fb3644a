/* What enrolment, refresh and revocation of devices have in common. */
#ifndef EMK_SERVER_API_GRANT_H
#define EMK_SERVER_API_GRANT_H

#include "server/api/api.h"
#include "server/api/problem.h"

#define EMK_GRANT_CHANGES 8u

/* Records that change together, and what a client is told where one of them was there already or
 * changed meanwhile. */
typedef struct emk_grant_batch {
    emk_record_change v[EMK_GRANT_CHANGES];
    emk_api_problem clash[EMK_GRANT_CHANGES];
    const char *why[EMK_GRANT_CHANGES]; /* static */
    size_t n;
} emk_grant_batch;

/* Adds one; spans in it are lent until the commit. */
void emk_grant_add(emk_grant_batch *b, const emk_record_change *change, emk_api_problem clash,
                   const char *why);
/* Adds a device's record, made in the arena.  What emk_device_change_make says. */
emk_status emk_grant_add_device(emk_call *call, emk_grant_batch *b, const uint8_t id[32],
                                const emk_device_record *d, uint64_t expect,
                                emk_error *e) EMK_MUST_CHECK;
/* Commits; false after it answered. */
bool emk_grant_commit(emk_call *call, const emk_grant_batch *b, emk_error *e) EMK_MUST_CHECK;

/* False, after it answered, unless the challenge is ours and not over; adds to the batch that it
 * is used. */
bool emk_grant_challenge(emk_call *call, emk_span challenge, emk_grant_batch *b) EMK_MUST_CHECK;

/* Signs a certificate for what the record says, into the arena. */
emk_status emk_grant_certificate(emk_call *call, const emk_device_record *d, emk_span *out,
                                 emk_error *e) EMK_MUST_CHECK;
/* Answers with it. */
emk_status emk_grant_answer(emk_call *call, const uint8_t id[32], const emk_device_record *d,
                            emk_span certificate, unsigned status, emk_error *e) EMK_MUST_CHECK;

/* From the path's {id}: false, after 404 was answered, when it is not `len` bytes. */
bool emk_grant_id(emk_call *call, uint8_t *out, size_t len) EMK_MUST_CHECK;

#endif
