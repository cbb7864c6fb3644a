/* What every kind of attestation ends in: one claims structure with a graded level.  The types are
 * public: <earmark/verify.h>.
 *
 * A verifier says whether evidence is genuine and what it proves; whether that is enough is for
 * the caller's policy.  Time, roots, revocation lists and the expected challenge are inputs:
 * nothing here has a clock, a network or a random number. */
#ifndef EMK_SERVER_ATTEST_ATTEST_H
#define EMK_SERVER_ATTEST_ATTEST_H

#include "core/base/span.h"
#include "core/base/status.h"

#include <earmark/verify.h>

/* Adds a warning once; more than EMK_CLAIMS_WARNINGS_MAX kinds do not exist. */
void emk_claims_warn(emk_claims *claims, emk_attest_warning w);

/* The level that the other fields amount to; a verifier calls it last. */
uint32_t emk_claims_level(const emk_claims *claims);

#endif
