/* An issuer's key in a PKCS#11 token.  The issuer's directory then has a file `keystore`, as a
 * device's has, in the place of issuer.key.
 *
 * That file is written before the key is made, and issuer.pub last: an `issuer init` that was
 * cut short is taken up by the next one, with the key that it made or in its place. */
#ifndef EMK_CLI_ISSUER_TOKEN_H
#define EMK_CLI_ISSUER_TOKEN_H

#include "cli/issuer.h"
#include "cli/keystores.h"

/* True where the issuer of this directory has its key in a token, or is about to. */
bool emk_cli_issuer_has_token(emk_cli *cli, const char *dir);

/* Makes the key that the directory's file names, unless it is there.  Fills pub. */
emk_status emk_cli_issuer_token_make(emk_cli *cli, const char *dir,
                                     emk_cli_public *pub) EMK_MUST_CHECK;

/* Opens it; end with emk_cli_issuer_token_close.  EMK_E_UNSUPPORTED in a build without PKCS#11. */
emk_status emk_cli_issuer_token_open(emk_cli *cli, const char *dir, emk_cli_issuer_token **out,
                                     emk_signer *signer) EMK_MUST_CHECK;
/* NULL is fine. */
void emk_cli_issuer_token_close(emk_cli_issuer_token *t);

#endif
