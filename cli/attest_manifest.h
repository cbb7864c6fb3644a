/* Manifests of attestation evidence: JSON files that name evidence, inputs and the verdict that
 * a verifier should come to.  The format is that of docs/spec/attestation.md 9; manifests of
 * anybody's can be given. */
#ifndef EMK_CLI_ATTEST_MANIFEST_H
#define EMK_CLI_ATTEST_MANIFEST_H

#include "cli/command.h"
#include "server/attest/attest.h"

/* Runs every case of the manifest at `path` and prints expected, got and reason of each into
 * cli->out; *agrees says whether all verdicts are as claimed and every case could be run.  Roots
 * are looked for in roots_dir; NULL: in "roots" beside the manifest's folder, or in it.  Of accept
 * simulated and allow_testing count.  EMK_E_FORMAT,
 * EMK_E_LIMIT, EMK_E_NOT_FOUND and so on for a manifest that cannot be used at all. */
emk_status emk_attest_manifest_run(emk_cli *cli, const char *path, const char *roots_dir,
                                   const emk_attest_policy *accept, bool *agrees) EMK_MUST_CHECK;

#endif
