/* What gate.c and authenticate.c share. */
#ifndef EMK_SERVER_GATE_INTERNAL_H
#define EMK_SERVER_GATE_INTERNAL_H

#include "server/gate/device_cache.h"
#include "server/gate/gate.h"

/* One request on its way. */
typedef struct emk_gate_pass {
    const emk_gate_config *config;
    emk_device_cache *devices;
    const emk_verify_key *nobody[EMK_SIGN_ES256 + 1]; /* by algorithm: verified against where there
                                                       * is no device, so that it takes as long */
    const emk_gate_request *rq;
    const emk_gate_rule *rule;
    emk_gate_decision *d;
} emk_gate_pass;

/* Finds out who it is and fills d->who, or says why not.  Adds nonce and counter to the answer.
 * Nothing was taken from limits; the replay window knows the request. */
emk_gate_reason emk_gate_authenticate(const emk_gate_pass *p);
/* Whether it says that a device signed it. */
bool emk_gate_is_signed(const emk_gate_pass *p);
/* Whether nobody is asked who he is. */
bool emk_gate_asks_nobody(const emk_gate_pass *p);

/* Adds a header to the answer; one that does not fit is left out. */
void emk_gate_header_add(emk_gate_decision *d, const char *name, const char *value);

/* Says what the refusing module said, for the log. */
emk_gate_reason emk_gate_because(emk_gate_decision *d, emk_gate_reason reason, const emk_error *e);

#endif
