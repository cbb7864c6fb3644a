/* The certificates of the sealing key, while models are at work under them: a rotation brings a new
 * one, and what began under the one before ends under it.  One that is in use is never overwritten;
 * when all are, a new one is refused.
 *
 * Thread rule: any thread. */
#ifndef EMK_SERVER_API_CERTIFIED_H
#define EMK_SERVER_API_CERTIFIED_H

#include "core/base/os_thread.h"
#include "core/seal/certificate.h"

#define EMK_CERTIFIED_MAX 16u /* in use side by side */

/* A certificate, and what it says. */
typedef struct emk_certified_key {
    uint8_t bytes[EMK_CERTIFICATE_MAX];
    size_t len;
    emk_sealing_certificate says;
    unsigned users;
} emk_certified_key;

/* Lives in the caller, who makes the lock. */
typedef struct emk_certified {
    emk_lock *lock;
    emk_certified_key keys[EMK_CERTIFIED_MAX];
    unsigned now; /* the one that is taken for what begins; len 0: there is none yet */
} emk_certified;

/* From now on this one is taken; borrows and copies.  One that is the same as now changes nothing.
 * EMK_E_LIMIT when models are at work under all the others. */
emk_status emk_certified_put(emk_certified *c, const emk_certified_key *fresh,
                             emk_error *e) EMK_MUST_CHECK;
/* Lends the one of now until emk_certified_give. */
const emk_certified_key *emk_certified_take(emk_certified *c);
void emk_certified_give(emk_certified *c, const emk_certified_key *k);

#endif
