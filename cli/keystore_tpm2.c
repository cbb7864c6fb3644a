#include "cli/keystores.h"

#include <stdlib.h>

/* tpm2-tss writes its own lines on standard error, which mean nothing to users.  The child of
 * `run` inherits this; whoever wants the lines sets the variable. */
static void hush(void)
{
    setenv("TSS2_LOG", "all+none", 0);
}

static emk_tpm2_options options_of(const emk_cli_keys_config *config)
{
    return (emk_tpm2_options){.tcti = config->tcti[0] ? config->tcti : NULL};
}

static emk_status tpm2_make(emk_cli *cli, emk_cli_keys *k)
{
    emk_tpm2_options o = options_of(&k->config);
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st != EMK_OK)
        return st;
    hush();
    o.authority = k->authority;
    if (k->secret)
        o.pin = emk_secret_span(k->secret);
    st = emk_tpm2_create(c, k->dir, &o, &cli->error);
    if (st != EMK_OK || !k->policy)
        return st;
    st = emk_tpm2_policy_put(c, k->dir, k->policy, &cli->error);
    if (st != EMK_OK && emk_tpm2_destroy(c, k->dir, &o, NULL) != EMK_OK)
        emk_cli_remark(cli, "unusable keys were left in %s", k->dir);
    return st;
}

static emk_status tpm2_clear(emk_cli *cli, const char *dir, const emk_cli_keys_config *config)
{
    const emk_tpm2_options o = options_of(config);
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    hush();
    if (st == EMK_OK)
        st = emk_tpm2_destroy(c, dir, &o, &cli->error);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status tpm2_open(emk_cli *cli, const emk_cli_keys *k, emk_keystore *out)
{
    emk_tpm2_options o = options_of(&k->config);
    uint8_t pin[EMK_TPM2_PIN_MAX];
    const emk_crypto *c = NULL;
    size_t len = 0;
    emk_status st = emk_cli_crypto(cli, &c);

    hush();
    if (st == EMK_OK && k->config.pin[0])
        st = emk_cli_pin(cli, k->dir, pin, sizeof pin, &len);
    if (st == EMK_OK) {
        o.pin = emk_span_of(pin, len);
        st = emk_tpm2_open(c, k->dir, &o, out, &cli->error);
    }
    emk_wipe(pin, sizeof pin);
    return st;
}

emk_status emk_cli_present_pcrs(emk_cli *cli, const char *tcti, uint32_t pcrs, uint8_t digest[32])
{
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    hush();
    return st == EMK_OK ? emk_tpm2_pcr_digest(c, tcti, pcrs, digest, &cli->error) : st;
}

emk_status emk_cli_policy_message(emk_cli *cli, const emk_tpm2_policy *policy,
                                  uint8_t message[EMK_TPM2_MESSAGE_LEN])
{
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    return st == EMK_OK
               ? emk_tpm2_policy_message(c, policy->pcrs, policy->digest, message, &cli->error)
               : st;
}

emk_status emk_cli_policy_put(emk_cli *cli, const char *keys_dir, const emk_tpm2_policy *policy)
{
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    return st == EMK_OK ? emk_tpm2_policy_put(c, keys_dir, policy, &cli->error) : st;
}

static emk_status tpm2_probe(emk_cli *cli, const emk_cli_keys_config *config)
{
    uint8_t digest[32];

    return emk_cli_present_pcrs(cli, config->tcti[0] ? config->tcti : NULL, 1, digest);
}

const emk_cli_holder EMK_CLI_HOLDER_TPM2 = {
    .name = "tpm2", .make = tpm2_make, .open = tpm2_open, .clear = tpm2_clear, .probe = tpm2_probe};
