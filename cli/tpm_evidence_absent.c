/* In the place of tpm_evidence_tpm2.c in a build without TPMs. */
#include "cli/tpm_evidence.h"

emk_status emk_cli_tpm_hello(emk_cli *cli, const emk_cli_evidence_in *in, emk_buf *out)
{
    (void)in;
    (void)out;
    return emk_cli_holder_check(cli, &EMK_CLI_HOLDER_TPM2);
}

emk_status emk_cli_tpm_proof(emk_cli *cli, const emk_cli_evidence_in *in, const emk_dom *credential,
                             emk_buf *out)
{
    (void)in;
    (void)credential;
    (void)out;
    return emk_cli_holder_check(cli, &EMK_CLI_HOLDER_TPM2);
}
