#include "cli/lease.h"

#include "core/base/os_file.h"
#include "core/crypto/random.h"

emk_status emk_cli_lease_master(emk_cli *cli, const char *dir, bool make, emk_secret **out)
{
    char path[EMK_CLI_PATH_MAX];
    const emk_crypto *c = NULL;
    emk_secret *master = NULL;
    emk_status st = emk_cli_join(cli, dir, "lease.key", path);

    if (st == EMK_OK && (!make || emk_os_exists(path)))
        return emk_cli_key_read(cli, path, EMK_CLI_KEY_LEASE, out);
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_secret_new(EMK_LEASE_MASTER_LEN, &master, &cli->error);
    if (st == EMK_OK)
        st = emk_random_secret(c, emk_secret_bytes(master), EMK_LEASE_MASTER_LEN, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_key_write(cli, path, EMK_CLI_KEY_LEASE, master, cli->passphrase);
    if (st == EMK_OK)
        *out = master;
    else
        emk_secret_free(master);
    return st;
}

emk_status emk_cli_lease_prepare(emk_cli *cli, const char *dir, const emk_request *request,
                                 uint8_t key[EMK_LEASE_KEY_LEN], emk_ticket *ticket)
{
    emk_lease_source from = {.epoch = 1};
    emk_secret *master = NULL;
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = emk_cli_lease_master(cli, dir, true, &master);
    if (st == EMK_OK) {
        from.master = emk_secret_bytes(master);
        st = emk_lease_prepare(c, &from, key, ticket, &cli->error);
    }
    emk_secret_free(master);
    if (st == EMK_OK)
        st = emk_cli_note_once(cli, dir, "devices",
                               emk_span_of(ticket->device_id, EMK_DEVICE_ID_LEN),
                               request->certificate.signing_key);
    return st == EMK_E_USED ? EMK_OK : st; /* the device is known already */
}
