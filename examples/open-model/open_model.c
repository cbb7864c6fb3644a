/* Opens a model that `earmark accept` put into this device's vault and lends its bytes to a
 * function, as an app would to its inference engine.
 *
 *     open-model DEVICE ISSUER MODEL USER
 *
 * DEVICE is the directory that `earmark device init` made, ISSUER the issuer's public key in
 * hex: an app has it compiled in. */
#include <earmark/client.h>
#include <earmark/keystore_soft.h>
#include <stdio.h>
#include <stdlib.h>

/* Gets the model in memory that cannot be written to and is gone when it returns. */
typedef void (*model_fn)(const uint8_t *model, size_t len);

static void show(const uint8_t *model, size_t len)
{
    printf("%zu bytes, which begin with \"", len);
    for (size_t i = 0; i < len && i < 8; i++)
        putchar(model[i] >= ' ' && model[i] <= '~' ? model[i] : '.');
    printf("\"\n");
}

static emk_status with_model(emk_client *client, const char *name, const char *user, model_fn fn,
                             emk_error *e)
{
    emk_client_ask ask = {.user = emk_span_str(user)};
    emk_opened *opened;
    emk_status st = emk_client_open(client, name, &ask, &opened, e);

    if (st != EMK_OK)
        return st;
    fn(emk_opened_bytes(opened).p, emk_opened_bytes(opened).len);
    emk_opened_close(opened); /* wiped */
    return EMK_OK;
}

static emk_status open_and_show(const char *device, emk_span issuer, const char *name,
                                const char *user, emk_error *e)
{
    char keys[4096], vault[4096];
    emk_keystore keystore = {0};
    emk_crypto *crypto = NULL;
    emk_client *client = NULL;
    emk_client_config config = {
        .keystore = &keystore, .vault = vault, .issuers = &issuer, .n_issuers = 1};
    emk_span no_passphrase = {NULL, 0};
    emk_status st;

    snprintf(keys, sizeof keys, "%s/keys", device);
    snprintf(vault, sizeof vault, "%s/vault", device);
    st = emk_crypto_new(NULL, NULL, &crypto, e);
    if (st == EMK_OK)
        st = emk_keystore_soft_open(crypto, keys, no_passphrase, &keystore, e);
    if (st == EMK_OK) {
        config.crypto = crypto;
        st = emk_client_new(&config, &client, e);
    }
    if (st == EMK_OK)
        st = with_model(client, name, user, show, e);
    emk_client_free(client);
    emk_keystore_close(&keystore);
    emk_crypto_free(crypto);
    return st;
}

/* Its length, or 0 when it is not hex of an Ed25519 or P-256 key. */
static size_t read_hex(const char *hex, uint8_t key[65])
{
    size_t len = strlen(hex) / 2;

    if (strlen(hex) % 2 || (len != 32 && len != 65) || strspn(hex, "0123456789abcdef") < 2 * len)
        return 0;
    for (size_t i = 0; i < len; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return len;
}

int main(int argc, char **argv)
{
    emk_error e = {EMK_OK, "", 0};
    uint8_t issuer[65];
    size_t issuer_len = argc == 5 ? read_hex(argv[2], issuer) : 0;
    emk_status st;

    if (issuer_len == 0) {
        fprintf(stderr, "usage: open-model DEVICE ISSUER MODEL USER\n");
        return EMK_E_USAGE;
    }
    st = open_and_show(argv[1], emk_span_of(issuer, issuer_len), argv[3], argv[4], &e);
    if (st != EMK_OK)
        fprintf(stderr, "open-model: %s: %s\n%s\n", emk_status_name(st), e.what,
                emk_status_fix(st));
    return (int)st;
}
