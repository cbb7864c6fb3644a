/* A lease as this client believes it; for accept.c. */
#ifndef EMK_DEVICE_CLIENT_LEASE_H
#define EMK_DEVICE_CLIENT_LEASE_H

#include "core/proto/lease.h"
#include "device/client/internal.h"

/* Fills *out from a message that a pinned issuer signed for this device.  EMK_E_SIGNATURE,
 * EMK_E_SEALED, EMK_E_FORMAT ... */
emk_status emk_client_verify_lease(const emk_client *cl, emk_span message, emk_lease *out,
                                   emk_error *e) EMK_MUST_CHECK;

#endif
