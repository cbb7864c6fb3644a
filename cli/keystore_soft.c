#include "cli/keystores.h"
#include "cli/os_files.h"
#include "keystore/soft.h"

static emk_status soft_make(emk_cli *cli, emk_cli_keys *k)
{
    emk_keystore_soft_options options = {.post_quantum = k->post_quantum};
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st != EMK_OK)
        return st;
    if (k->secret)
        options.passphrase = emk_secret_span(k->secret);
    return emk_keystore_soft_create(c, k->dir, &options, &cli->error);
}

/* Tries without a passphrase first, unless one was given: most keys have none. */
static emk_status soft_open(emk_cli *cli, const emk_cli_keys *k, emk_keystore *out)
{
    char file[EMK_CLI_PATH_MAX];
    const emk_secret *passphrase = NULL;
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = emk_cli_join(cli, k->dir, "keys", file);
    if (st == EMK_OK && !cli->passphrase && !emk_cli_passphrase_given(cli)) {
        st = emk_keystore_soft_open(c, k->dir, emk_span_of(NULL, 0), out, &cli->error);
        if (st != EMK_E_USAGE || !emk_cli_is_private(file))
            return st;
        st = EMK_OK;
    }
    if (st == EMK_OK)
        st = emk_cli_passphrase(cli, k->dir, &passphrase);
    if (st != EMK_OK)
        return st;
    st = emk_keystore_soft_open(c, k->dir, emk_secret_span(passphrase), out, &cli->error);
    if (st == EMK_E_SEALED)
        st = emk_cli_advise(cli, st,
                            "Try the passphrase again; without it the device's models "
                            "are lost, and are requested again by a new device.");
    return st;
}

const emk_cli_holder EMK_CLI_HOLDER_SOFT = {.name = "soft", .make = soft_make, .open = soft_open};
