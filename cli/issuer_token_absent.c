/* In the place of issuer_token.c where p11-kit was not there at build time. */
#include "cli/issuer_token.h"

static emk_status absent(emk_cli *cli)
{
    return emk_cli_holder_check(cli, &EMK_CLI_HOLDER_PKCS11);
}

emk_status emk_cli_issuer_token_make(emk_cli *cli, const char *dir, emk_cli_public *pub)
{
    (void)dir;
    (void)pub;
    return absent(cli);
}

emk_status emk_cli_issuer_token_open(emk_cli *cli, const char *dir, emk_cli_issuer_token **out,
                                     emk_signer *signer)
{
    (void)dir;
    (void)out;
    (void)signer;
    return absent(cli);
}

void emk_cli_issuer_token_close(emk_cli_issuer_token *t)
{
    (void)t;
}
