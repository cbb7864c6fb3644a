/* Forged proofs of every kind with a manifest, for `earmark attest simulate --forged`. */
#ifndef EMK_CLI_ATTEST_FORGED_H
#define EMK_CLI_ATTEST_FORGED_H

#include "cli/command.h"
#include "server/attest/sim/sim.h"

/* Writes every forgery of server/attest/sim/forgeries.h into dir, a right proof of each kind beside
 * them, the authority's root and a manifest.json that names the verdicts.  Prints how many. */
emk_status emk_attest_forged_write(emk_cli *cli, const emk_crypto *c, const emk_sim *sim,
                                   const char *dir) EMK_MUST_CHECK;

#endif
