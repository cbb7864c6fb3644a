#include "cli/issuer_token.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"

#include <string.h>

#define URI_MAX (EMK_PKCS11_URI_MAX + 64u)

struct emk_cli_issuer_token {
    emk_cli *cli;
    emk_cli_keys_config config;
    char uri[URI_MAX + 1]; /* of the key */
    emk_pkcs11_source source;
    emk_pkcs11_signer *signer;
};

static emk_status ask(void *self, uint8_t *pin, size_t *len, emk_error *e)
{
    emk_cli_issuer_token *t = self;
    emk_status st = emk_cli_pin(t->cli, t->config.token, pin, EMK_PKCS11_PIN_MAX, len);

    if (st != EMK_OK && e)
        *e = t->cli->error;
    return st;
}

static emk_status take_config(emk_cli *cli, const char *dir, emk_cli_issuer_token *t)
{
    emk_status st = emk_cli_keys_config_read(cli, dir, &t->config);

    if (st != EMK_OK)
        return st;
    if (strcmp(t->config.kind, EMK_PKCS11_NAME) != 0 || !t->config.id[0])
        return emk_fail(&cli->error, EMK_E_FORMAT, "issuer: its file `keystore` is damaged", 0);
    t->cli = cli;
    snprintf(t->uri, sizeof t->uri, "%s;object=earmark%%20%s%%20issuer", t->config.token,
             t->config.id);
    t->source =
        (emk_pkcs11_source){.module = t->config.module, .uri = t->uri, .ask = ask, .ask_self = t};
    return EMK_OK;
}

void emk_cli_issuer_token_close(emk_cli_issuer_token *t)
{
    if (!t)
        return;
    emk_pkcs11_signer_close(t->signer);
    emk_free(t);
}

static emk_status load(emk_cli *cli, const char *dir, emk_cli_issuer_token **out)
{
    emk_cli_issuer_token *t = emk_alloc(1, sizeof *t);
    emk_status st;

    if (!t)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "issuer: no memory", sizeof *t);
    st = take_config(cli, dir, t);
    if (st != EMK_OK) {
        emk_cli_issuer_token_close(t);
        return st;
    }
    *out = t;
    return EMK_OK;
}

/* What a generation that was cut short left of the key is of no use: half of it. */
static emk_status make_key(emk_cli_issuer_token *t, const emk_crypto *c, emk_error *e)
{
    emk_status st = emk_pkcs11_signer_destroy(c, &t->source, e);

    if (st == EMK_OK || st == EMK_E_NOT_FOUND)
        st = emk_pkcs11_signer_create(c, &t->source, EMK_SIGN_ES256, e);
    return st == EMK_OK ? emk_pkcs11_signer_open(c, &t->source, &t->signer, e) : st;
}

emk_status emk_cli_issuer_token_make(emk_cli *cli, const char *dir, emk_cli_public *pub)
{
    emk_cli_issuer_token *t = NULL;
    const emk_crypto *c = NULL;
    emk_span made;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = load(cli, dir, &t);
    if (st != EMK_OK)
        return st;
    st = emk_pkcs11_signer_open(c, &t->source, &t->signer, &cli->error);
    if (st == EMK_E_KEY_LOST)
        st = make_key(t, c, &cli->error);
    if (st == EMK_OK) {
        made = emk_pkcs11_signer_public(t->signer);
        memcpy(pub->bytes, made.p, made.len);
        pub->len = made.len;
    }
    emk_cli_issuer_token_close(t);
    return st;
}

emk_status emk_cli_issuer_token_open(emk_cli *cli, const char *dir, emk_cli_issuer_token **out,
                                     emk_signer *signer)
{
    emk_cli_issuer_token *t = NULL;
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = load(cli, dir, &t);
    if (st == EMK_OK)
        st = emk_pkcs11_signer_open(c, &t->source, &t->signer, &cli->error);
    if (st == EMK_OK)
        st = emk_signer_from_fn(c, emk_pkcs11_signer_public(t->signer), emk_pkcs11_signer_sign,
                                t->signer, signer, &cli->error);
    if (st != EMK_OK) {
        emk_cli_issuer_token_close(t);
        return st;
    }
    *out = t;
    return EMK_OK;
}
