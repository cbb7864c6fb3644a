/* Evidence of the simulators of server/attest/sim, and what becomes of it.
 *
 * It verifies like any other: only the root tells, by its name.  Where nothing is said about
 * simulators such a root is refused even when it lies among the trusted ones: a test setting that
 * reached production must fail, not let everybody in. */
#ifndef EMK_SERVER_ATTEST_SIMULATED_H
#define EMK_SERVER_ATTEST_SIMULATED_H

#include "core/crypto/x509.h"
#include "server/attest/attest.h"

/* Every simulator's root has a commonName that begins so. */
#define EMK_SIMULATED_NAME "Earmark SIMULATED"

typedef enum emk_simulated_mode {
    EMK_SIMULATED_REFUSED = 0, /* what production wants */
    EMK_SIMULATED_LEVEL_0,     /* accepted, worth nothing */
    EMK_SIMULATED_COUNTS       /* graded like the real thing: for tests */
} emk_simulated_mode;

bool emk_simulated_is_root(const emk_x509 *root);

/* Judges claims whose evidence ended at `root`: EMK_E_POLICY, or a warning and the level that the
 * mode leaves.  A real root changes nothing. */
emk_status emk_simulated_judge(const emk_x509 *root, emk_simulated_mode mode, emk_claims *claims,
                               emk_error *e) EMK_MUST_CHECK;

#endif
