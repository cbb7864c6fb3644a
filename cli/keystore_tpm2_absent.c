/* In the place of keystore_tpm2.c where tpm2-tss was not there at build time. */
#include "cli/keystores.h"

emk_status emk_cli_present_pcrs(emk_cli *cli, const char *tcti, uint32_t pcrs, uint8_t digest[32])
{
    (void)tcti;
    (void)pcrs;
    (void)digest;
    return emk_cli_holder_check(cli, &EMK_CLI_HOLDER_TPM2);
}

emk_status emk_cli_policy_message(emk_cli *cli, const emk_tpm2_policy *policy,
                                  uint8_t message[EMK_TPM2_MESSAGE_LEN])
{
    (void)policy;
    (void)message;
    return emk_cli_holder_check(cli, &EMK_CLI_HOLDER_TPM2);
}

emk_status emk_cli_policy_put(emk_cli *cli, const char *keys_dir, const emk_tpm2_policy *policy)
{
    (void)keys_dir;
    (void)policy;
    return emk_cli_holder_check(cli, &EMK_CLI_HOLDER_TPM2);
}

const emk_cli_holder EMK_CLI_HOLDER_TPM2 = {
    .name = "tpm2", .absent = "This build has no TPM support: install libtss2-dev and rebuild."};
