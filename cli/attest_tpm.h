/* `earmark attest verify --kind tpm`: files of TPM evidence, told apart by how they begin. */
#ifndef EMK_CLI_ATTEST_TPM_H
#define EMK_CLI_ATTEST_TPM_H

#include "cli/attest_input.h"

/* Verifies what the files are: both messages of an enrolment, a quote, a certified key, or an
 * endorsement certificate.  Of an enrolment it fills claims, and *has; of the others it prints what
 * was proven.  EMK_E_USAGE for files that are none of these together; else what the verifiers
 * say. */
emk_status emk_attest_tpm_run(emk_cli *cli, emk_attest_input *in, emk_claims *claims,
                              bool *has) EMK_MUST_CHECK;

#endif
