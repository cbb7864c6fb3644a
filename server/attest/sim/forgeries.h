/* Forged proofs, each with one defect: what an attacker would send, made by the simulator.  A
 * verifier that accepts one of them has a hole; docs/spec/attestation.md 7. */
#ifndef EMK_SERVER_ATTEST_SIM_FORGERIES_H
#define EMK_SERVER_ATTEST_SIM_FORGERIES_H

#include "server/attest/sim/sim.h"

/* What is done to one part of right evidence. */
typedef enum emk_sim_edit {
    EMK_SIM_EDIT_NONE,
    EMK_SIM_EDIT_CUT,    /* so many bytes off the end */
    EMK_SIM_EDIT_FLIP,   /* the lowest bit of the byte at so many thousandths of the length */
    EMK_SIM_EDIT_APPEND, /* so many zeros behind it */
    EMK_SIM_EDIT_KEEP,   /* only so many thousandths of it are left */
    EMK_SIM_EDIT_REPLACE /* the bytes `find` become `with`, once */
} emk_sim_edit;

/* What the verifier asks for, where that is not what the proof was made for. */
typedef enum emk_sim_asked {
    EMK_SIM_ASKED_SAME,
    EMK_SIM_ASKED_NONCE,       /* another challenge: a replay */
    EMK_SIM_ASKED_APP,         /* another app */
    EMK_SIM_ASKED_EARLIER,     /* before the certificates begin */
    EMK_SIM_ASKED_LATER,       /* long after */
    EMK_SIM_ASKED_DEVELOPMENT, /* App Attest: the other environment */
    EMK_SIM_ASKED_KEY,         /* another key */
    EMK_SIM_ASKED_COUNTER,     /* App Attest: the counter was seen */
    EMK_SIM_ASKED_DIGEST,      /* another signer of the app */
    EMK_SIM_ASKED_REVOKED,     /* Android: `with` is a serial on the list */
    EMK_SIM_ASKED_SUSPENDED,
    EMK_SIM_ASKED_UNKNOWN_STATUS,
    EMK_SIM_ASKED_SECRET, /* TPM: another credential */
    EMK_SIM_ASKED_PCRS,   /* TPM: other PCRs */
    EMK_SIM_ASKED_GOOD,   /* TPM: values that are not these */
    EMK_SIM_ASKED_HOST    /* SafetyNet */
} emk_sim_asked;

typedef struct emk_sim_forgery {
    emk_attest_kind kind;
    bool assertion;
    const char *id;     /* unique within its kind */
    const char *reason; /* what is wrong, in words */
    emk_sim_field fields[2];
    emk_sim_edit edit;
    size_t part; /* of the evidence: number of the file that is edited */
    size_t amount;
    const char *find, *with; /* hex; see above */
    emk_sim_asked asked;
} emk_sim_forgery;

/* Lends number i; NULL when there are no more. */
const emk_sim_forgery *emk_sim_forgery_at(size_t i);

/* Applies the forgery's edit to evidence that emk_sim_make made with its fields.  EMK_E_USAGE when
 * there is nothing to edit at that place. */
emk_status emk_sim_forge(const emk_sim_forgery *f, emk_sim_evidence *x,
                         emk_error *e) EMK_MUST_CHECK;

#endif
