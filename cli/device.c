#include "cli/device.h"

#include "cli/os_files.h"
#include "core/base/os_file.h"
#include "keystore/soft.h"

#include <string.h>

static const char NO_DEVICE[] =
    "Make one with `earmark device init --issuer issuer.pub`, or name its directory with "
    "--device DIR.";

void emk_cli_device_close(emk_cli_device *d)
{
    emk_client_free(d->client);
    emk_keystore_close(&d->keystore);
    d->client = NULL;
    d->keystore = (emk_keystore){0};
}

/* Tries without a passphrase first, unless one was given: most keys have none. */
static emk_status open_keys(emk_cli *cli, const char *dir, const emk_crypto *c, emk_keystore *out)
{
    char file[EMK_CLI_PATH_MAX];
    const emk_secret *passphrase = NULL;
    emk_status st = emk_cli_join(cli, dir, "keys", file);

    if (st == EMK_OK && !cli->passphrase && !emk_cli_passphrase_given(cli)) {
        st = emk_keystore_soft_open(c, dir, emk_span_of(NULL, 0), out, &cli->error);
        if (st != EMK_E_USAGE || !emk_cli_is_private(file))
            return st;
        st = EMK_OK;
    }
    if (st == EMK_OK)
        st = emk_cli_passphrase(cli, dir, &passphrase);
    if (st != EMK_OK)
        return st;
    st = emk_keystore_soft_open(c, dir, emk_secret_span(passphrase), out, &cli->error);
    if (st == EMK_E_SEALED)
        st = emk_cli_advise(cli, st,
                            "Try the passphrase again; without it the device's models "
                            "are lost, and are requested again by a new device.");
    return st;
}

static emk_status open_client(emk_cli *cli, const char *dir, const emk_crypto *c, emk_cli_device *d)
{
    char vault[EMK_CLI_PATH_MAX], path[EMK_CLI_PATH_MAX];
    emk_cli_public issuer = {.len = 0};
    emk_span pinned;
    emk_client_config config = {
        .crypto = c, .keystore = &d->keystore, .vault = vault, .issuers = &pinned, .n_issuers = 1};
    emk_status st = emk_cli_join(cli, dir, "vault", vault);

    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "issuer.pub", path);
    if (st == EMK_OK)
        st = emk_cli_public_read(cli, path, &issuer);
    if (st != EMK_OK)
        return st;
    pinned = emk_span_of(issuer.bytes, issuer.len);
    return emk_client_new(&config, &d->client, &cli->error);
}

emk_status emk_cli_device_open(emk_cli *cli, emk_cli_device *out)
{
    char keys[EMK_CLI_PATH_MAX];
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_home(cli, "device", out->dir);

    if (st == EMK_OK)
        st = emk_cli_join(cli, out->dir, "keys", keys);
    if (st == EMK_OK && !emk_os_exists(keys)) {
        st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "device: there is none here", 0);
        st = emk_cli_advise(cli, st, "%s", NO_DEVICE);
    }
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = open_keys(cli, keys, c, &out->keystore);
    if (st == EMK_OK)
        st = open_client(cli, out->dir, c, out);
    return emk_cli_about(cli, st, out->dir);
}

static emk_status make_keys(emk_cli *cli, const emk_cli_device_new *in, const emk_crypto *c)
{
    char keys[EMK_CLI_PATH_MAX];
    emk_keystore_soft_options options = {.post_quantum = in->post_quantum};
    emk_status st = emk_cli_join(cli, in->dir, "keys", keys);

    if (st != EMK_OK)
        return st;
    if (in->passphrase)
        options.passphrase = emk_secret_span(in->passphrase);
    st = emk_keystore_soft_create(c, keys, &options, &cli->error);
    if (st == EMK_E_USED)
        st = emk_cli_advise(cli, st,
                            "This device exists already. Keys are never replaced: choose "
                            "another directory with --device DIR.");
    return emk_cli_about(cli, st, keys);
}

emk_status emk_cli_device_make(emk_cli *cli, const emk_cli_device_new *in, emk_cli_device *out)
{
    char pub_path[EMK_CLI_PATH_MAX];
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_make_dirs(cli, in->dir);

    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = make_keys(cli, in, c);
    if (st == EMK_OK)
        st = emk_cli_public_write(cli, in->dir, in->issuer, pub_path);
    return st == EMK_OK ? emk_cli_device_open(cli, out) : st;
}
