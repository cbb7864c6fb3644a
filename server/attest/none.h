/* No attestation at all: a desktop, a test, an old device.  Nothing is proven, and the claims say
 * so; whether that is allowed is for the operator, and the default is no. */
#ifndef EMK_SERVER_ATTEST_NONE_H
#define EMK_SERVER_ATTEST_NONE_H

#include "server/attest/attest.h"

/* Fills claims of level 0.  EMK_E_POLICY unless allowed. */
emk_status emk_attest_none_verify(bool allowed, emk_claims *claims, emk_error *e) EMK_MUST_CHECK;

#endif
