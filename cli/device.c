#include "cli/device.h"

#include "cli/guard.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"

#include <string.h>

#define SLOW_S 3u

static const char NO_DEVICE[] =
    "Make one with `earmark device init --issuer issuer.pub`, or name its directory with "
    "--device DIR.";

void emk_cli_device_close(emk_cli_device *d)
{
    emk_client_free(d->client);
    emk_guard_free(d->guard);
    emk_keystore_close(&d->keystore);
    d->client = NULL;
    d->guard = NULL;
    d->keystore = (emk_keystore){0};
}

/* Slow keys are worth a word: with a token behind a network nothing else tells why. */
static void remark_slow(const emk_cli *cli, uint64_t start_ns)
{
    uint64_t took_s = (emk_os_monotonic_ns() - start_ns) / 1000000000u;

    if (took_s >= SLOW_S)
        emk_cli_remark(cli,
                       "opening the device's keys took %llu s: its TPM or token is slow or busy",
                       (unsigned long long)took_s);
}

static emk_status open_keys(emk_cli *cli, const char *device_dir, const char *dir,
                            emk_keystore *out)
{
    emk_cli_keys keys = {.dir = dir};
    uint64_t start = emk_os_monotonic_ns();
    const emk_cli_holder *holder;
    emk_status st = emk_cli_keys_config_read(cli, device_dir, &keys.config);

    if (st != EMK_OK)
        return st;
    holder = emk_cli_holder_find(keys.config.kind);
    st = emk_cli_holder_check(cli, holder);
    if (st == EMK_OK)
        st = holder->open(cli, &keys, out);
    if (st == EMK_OK)
        remark_slow(cli, start);
    return st;
}

/* The file is a row of ids, as they are. */
static emk_status read_former(emk_cli *cli, const char *dir, emk_buf *out)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, dir, "former", path);

    emk_buf_init(out, (size_t)EMK_CLIENT_FORMER_MAX * EMK_DEVICE_ID_LEN);
    if (st == EMK_OK && emk_os_exists(path))
        st = emk_os_read_file(path, out->max, out, &cli->error);
    if (st == EMK_OK && out->len % EMK_DEVICE_ID_LEN != 0)
        st = emk_fail(&cli->error, EMK_E_FORMAT, "device: its file `former` is damaged", out->len);
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_former_add(emk_cli *cli, const char *dir, const uint8_t *id)
{
    char path[EMK_CLI_PATH_MAX];
    emk_buf ids;
    emk_status st = read_former(cli, dir, &ids);

    for (size_t at = 0; st == EMK_OK && at < ids.len; at += EMK_DEVICE_ID_LEN) {
        if (memcmp(ids.p + at, id, EMK_DEVICE_ID_LEN) == 0) {
            emk_buf_done(&ids);
            return EMK_OK;
        }
    }
    if (st == EMK_OK)
        st = emk_buf_append(&ids, emk_span_of(id, EMK_DEVICE_ID_LEN), &cli->error);
    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "former", path);
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_buf_span(&ids));
    emk_buf_done(&ids);
    return st;
}

static emk_status open_client(emk_cli *cli, const char *dir, const emk_crypto *c, emk_cli_device *d)
{
    char vault[EMK_CLI_PATH_MAX], path[EMK_CLI_PATH_MAX];
    emk_cli_public issuer = {.len = 0};
    emk_buf former;
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
    st = read_former(cli, dir, &former);
    if (st == EMK_OK) {
        config.former = (const uint8_t(*)[EMK_DEVICE_ID_LEN])former.p;
        config.n_former = former.len / EMK_DEVICE_ID_LEN;
        config.watcher = d->guard;
        st = emk_client_new(&config, &d->client, &cli->error);
    }
    emk_buf_done(&former);
    return st;
}

static emk_status open_here(emk_cli *cli, emk_cli_device *out)
{
    char keys[EMK_CLI_PATH_MAX];
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_join(cli, out->dir, "keys", keys);

    if (st == EMK_OK && !emk_os_exists(keys)) {
        st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "device: there is none here", 0);
        st = emk_cli_advise(cli, st, "%s", NO_DEVICE);
    }
    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = open_keys(cli, out->dir, keys, &out->keystore);
    if (st == EMK_OK)
        st = emk_cli_guard_open(cli, &out->guard);
    if (st == EMK_OK)
        st = open_client(cli, out->dir, c, out);
    return emk_cli_about(cli, st, out->dir);
}

emk_status emk_cli_device_open(emk_cli *cli, emk_cli_device *out)
{
    emk_status st = emk_cli_home(cli, "device", out->dir);

    return st == EMK_OK ? open_here(cli, out) : st;
}

emk_status emk_cli_device_open_at(emk_cli *cli, const char *dir, emk_cli_device *out)
{
    if (strlen(dir) >= sizeof out->dir - 64)
        return emk_cli_usage(cli, "the path of a device is too long");
    snprintf(out->dir, sizeof out->dir, "%s", dir);
    return open_here(cli, out);
}

/* Where an earlier `device init` in this directory was cut short. */
static emk_status clear_remains(emk_cli *cli, const char *dir)
{
    char pub[EMK_CLI_PATH_MAX];
    emk_cli_keys_config config;
    const emk_cli_holder *holder;
    emk_status st = emk_cli_keys_config_read(cli, dir, &config);

    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "issuer.pub", pub);
    if (st != EMK_OK)
        return st;
    holder = emk_cli_holder_find(config.kind);
    if (!holder->clear)
        return EMK_OK;
    if (emk_os_exists(pub)) /* it was complete: its keys may be all that is left of it */
        return emk_fail(&cli->error, EMK_E_USED, "device: it is there, without its file `keys`", 0);
    st = holder->clear(cli, &config);
    return emk_cli_advise(cli, st,
                          "An earlier `earmark device init` was cut short here and may have left "
                          "keys in its token: have that token at hand, or take another directory "
                          "with --device DIR.");
}

/* What the keys are is written down before they are made: keys that nobody can find again are
 * worse than a note about none. */
static emk_status make_keys(emk_cli *cli, const emk_cli_device_new *in, const char *dir)
{
    char file[EMK_CLI_PATH_MAX];
    const emk_cli_holder *holder = emk_cli_holder_find(in->keys->config.kind);
    emk_status st = emk_cli_join(cli, dir, "keys", file);

    if (st == EMK_OK && emk_os_exists(file))
        st = emk_fail(&cli->error, EMK_E_USED, "device: it exists already", 0);
    if (st == EMK_OK)
        st = emk_cli_make_dirs(cli, in->dir);
    if (st == EMK_OK)
        st = clear_remains(cli, in->dir);
    if (st == EMK_OK)
        st = emk_cli_keys_config_write(cli, in->dir, &in->keys->config);
    if (st == EMK_OK)
        st = holder->make(cli, in->keys);
    if (st == EMK_E_USED)
        st = emk_cli_advise(cli, st,
                            "This device exists already. Keys are never replaced: choose "
                            "another directory with --device DIR.");
    return emk_cli_about(cli, st, dir);
}

emk_status emk_cli_device_make(emk_cli *cli, const emk_cli_device_new *in, emk_cli_device *out)
{
    char pub_path[EMK_CLI_PATH_MAX], keys[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, in->dir, "keys", keys);

    if (st == EMK_OK) {
        in->keys->dir = keys;
        st = make_keys(cli, in, keys);
    }
    if (st == EMK_OK)
        st = emk_cli_public_write(cli, in->dir, in->issuer, pub_path);
    return st == EMK_OK ? emk_cli_device_open(cli, out) : st;
}
