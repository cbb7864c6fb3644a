/* What the fuzzers of attestation share: one context, one root whose key is ours. */
#ifndef EMK_FUZZ_ATTEST_COMMON_H
#define EMK_FUZZ_ATTEST_COMMON_H

#include "server/attest/revocation.h"
#include "server/attest/sim/evidence.h"

const emk_crypto *attest_crypto(void);
const emk_x509 *attest_root(void);
const emk_revocation *attest_revocation(void);

/* A leaf with this key description, its issuer at a factory, the root.  Free each. */
void attest_make_android(emk_span description, emk_buf der[3]);
bool attest_contains(emk_span whole, emk_span part);

#endif
