/* A token has neither counters nor secrets: a software store beside it keeps them, in the
 * device's directory.  Its file `keys` is made last and says that the device is complete. */
#include "cli/keystores.h"
#include "keystore/paired.h"
#include "keystore/soft.h"

#define LABEL_MAX 48u

typedef struct token {
    emk_cli *cli;
    char signing[LABEL_MAX];
    char agreement[LABEL_MAX];
    emk_pkcs11_source source;
} token;

static emk_status ask(void *self, uint8_t *pin, size_t *len, emk_error *e)
{
    token *t = self;
    emk_status st = emk_cli_pin(t->cli, t->source.uri, pin, EMK_PKCS11_PIN_MAX, len);

    if (st != EMK_OK && e)
        *e = t->cli->error;
    return st;
}

static void take_token(emk_cli *cli, const emk_cli_keys_config *config, token *t)
{
    t->cli = cli;
    snprintf(t->signing, sizeof t->signing, "earmark %s signing", config->id);
    snprintf(t->agreement, sizeof t->agreement, "earmark %s agreement", config->id);
    t->source = (emk_pkcs11_source){.module = config->module,
                                    .uri = config->token,
                                    .ask = ask,
                                    .ask_self = t,
                                    .signing = t->signing,
                                    .agreement = t->agreement};
}

static emk_status make_memory(emk_cli *cli, const emk_crypto *c, const char *dir)
{
    const emk_keystore_soft_options options = {.post_quantum = false};

    return emk_keystore_soft_create(c, dir, &options, &cli->error);
}

static emk_status pkcs11_make(emk_cli *cli, emk_cli_keys *k)
{
    const emk_crypto *c = NULL;
    token t;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st != EMK_OK)
        return st;
    take_token(cli, &k->config, &t);
    st = emk_pkcs11_create(c, &t.source, &cli->error);
    if (st != EMK_OK)
        return st;
    st = make_memory(cli, c, k->dir);
    if (st != EMK_OK && emk_pkcs11_destroy(c, &t.source, NULL) != EMK_OK)
        emk_cli_remark(cli, "the token keeps the unused keys \"%s\" and \"%s\"", t.signing,
                       t.agreement);
    return st;
}

static emk_status pkcs11_clear(emk_cli *cli, const char *dir, const emk_cli_keys_config *config)
{
    const emk_crypto *c = NULL;
    token t;
    emk_status st = emk_cli_crypto(cli, &c);

    (void)dir;
    if (st != EMK_OK)
        return st;
    take_token(cli, config, &t);
    st = emk_pkcs11_destroy(c, &t.source, &cli->error);
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

static emk_status pkcs11_open(emk_cli *cli, const emk_cli_keys *k, emk_keystore *out)
{
    emk_keystore keys = {0}, memory = {0};
    const emk_crypto *c = NULL;
    token t;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st != EMK_OK)
        return st;
    take_token(cli, &k->config, &t);
    st = emk_pkcs11_open(c, &t.source, &keys, &cli->error);
    if (st == EMK_OK)
        st = emk_keystore_soft_open(c, k->dir, emk_span_of(NULL, 0), &memory, &cli->error);
    if (st == EMK_OK)
        st = emk_keystore_paired_new(&keys, &memory, out, &cli->error);
    emk_keystore_close(&keys);
    emk_keystore_close(&memory);
    return st;
}

static emk_status pkcs11_probe(emk_cli *cli, const emk_cli_keys_config *config)
{
    const emk_pkcs11_source source = {.module = config->module, .uri = config->token};

    if (!config->module[0])
        return emk_fail(&cli->error, EMK_E_USAGE, "pkcs11: no module was named", 0);
    return emk_pkcs11_probe(&source, &cli->error);
}

const emk_cli_holder EMK_CLI_HOLDER_PKCS11 = {.name = "pkcs11",
                                              .make = pkcs11_make,
                                              .open = pkcs11_open,
                                              .clear = pkcs11_clear,
                                              .probe = pkcs11_probe};
