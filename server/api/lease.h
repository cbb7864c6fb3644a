/* Leases as the keyholder lets us make them: signed by it, and with a secret that it derives. */
#ifndef EMK_SERVER_API_LEASE_H
#define EMK_SERVER_API_LEASE_H

#include "core/proto/lease.h"
#include "server/api/api.h"

/* Lends a signed lease for the ticket from the arena, and fills *until.  EMK_E_POLICY when the
 * policy is over; what the keyholder says. */
emk_status emk_api_lease_grant(emk_call *call, const emk_ticket *ticket, emk_span *out,
                               uint64_t *until, emk_error *e) EMK_MUST_CHECK;
/* Lends a signed refusal. */
emk_status emk_api_lease_refuse(emk_call *call, const emk_ticket *ticket, emk_lease_refusal why,
                                emk_span *out, emk_error *e) EMK_MUST_CHECK;

#endif
