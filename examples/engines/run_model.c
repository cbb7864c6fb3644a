/* Opens a model of this device's vault and runs it once, on zeros, with an engine:
 *
 *     engine-run onnx|litert DEVICE ISSUER MODEL USER [LIBRARY]
 *     engine-run gguf|llama DEVICE ISSUER MODEL USER
 *
 * DEVICE is the directory that `earmark device init` made, ISSUER the issuer's public key in hex:
 * an app has it compiled in.  "llama" is llama.cpp, where it was built with it; "gguf" shows what a
 * reader on a FILE does, as llama.cpp's loader is one: it reads the head of the file through
 * emk_opened_stream.
 *
 * Exit status: that of the failure; 77 when the engine is not here. */
#include "examples/engines/run_llama.h"

#include <earmark/client.h>
#include <earmark/engine_litert.h>
#include <earmark/engine_onnx.h>
#include <earmark/keystore_soft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKIP 77

typedef struct job {
    const char *engine, *device, *issuer, *model, *user, *library;
} job;

/* The order matters: the session goes before the model's memory does. */
static emk_status run_onnx(const emk_opened *model, const char *library, emk_error *e)
{
    const emk_onnx_options options = {.library = library};
    emk_onnx *o = NULL;
    emk_status st = emk_onnx_open(emk_opened_bytes(model), &options, &o, e);

    if (st == EMK_OK)
        st = emk_onnx_run_zeros(o, e);
    if (st == EMK_OK)
        printf("ONNX Runtime ran the model\n");
    emk_onnx_close(o);
    return st;
}

static emk_status run_litert(const emk_opened *model, const char *library, emk_error *e)
{
    emk_litert *l = NULL;
    emk_status st = emk_litert_open(emk_opened_bytes(model), library, &l, e);

    if (st == EMK_OK)
        st = emk_litert_run_zeros(l, e);
    if (st == EMK_OK)
        printf("LiteRT ran the model\n");
    emk_litert_close(l);
    return st;
}

/* Little-endian, whatever this machine is. */
static uint64_t number(const unsigned char *p, size_t n)
{
    uint64_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

static emk_status read_gguf(const emk_opened *model, emk_error *e)
{
    unsigned char head[24];
    FILE *f = NULL;
    emk_status st = emk_opened_stream(model, &f, e);

    if (st != EMK_OK)
        return st;
    if (fread(head, 1, sizeof head, f) != sizeof head || memcmp(head, "GGUF", 4) != 0) {
        *e = (emk_error){EMK_E_FORMAT, "gguf: the model is no GGUF file", 0};
        st = EMK_E_FORMAT;
    } else {
        printf("GGUF version %llu, %llu tensors, %llu values\n",
               (unsigned long long)number(head + 4, 4), (unsigned long long)number(head + 8, 8),
               (unsigned long long)number(head + 16, 8));
    }
    fclose(f);
    return st;
}

static emk_status with_model(const job *j, emk_client *client, emk_error *e)
{
    const emk_client_ask ask = {.user = emk_span_str(j->user)};
    emk_opened *model = NULL;
    emk_status st = emk_client_open(client, j->model, &ask, &model, e);

    if (st != EMK_OK)
        return st;
    if (strcmp(j->engine, "onnx") == 0)
        st = run_onnx(model, j->library, e);
    else if (strcmp(j->engine, "litert") == 0)
        st = run_litert(model, j->library, e);
    else if (strcmp(j->engine, "llama") == 0)
        st = run_llama(model, e);
    else
        st = read_gguf(model, e);
    emk_opened_close(model); /* wiped */
    return st;
}

static emk_status with_device(const job *j, emk_span issuer, emk_error *e)
{
    char keys[4096], vault[4096];
    emk_keystore keystore = {0};
    emk_crypto *crypto = NULL;
    emk_client *client = NULL;
    emk_client_config config = {
        .keystore = &keystore, .vault = vault, .issuers = &issuer, .n_issuers = 1};
    const emk_span no_passphrase = {NULL, 0};
    emk_status st;

    snprintf(keys, sizeof keys, "%s/keys", j->device);
    snprintf(vault, sizeof vault, "%s/vault", j->device);
    st = emk_crypto_new(NULL, NULL, &crypto, e);
    if (st == EMK_OK)
        st = emk_keystore_soft_open(crypto, keys, no_passphrase, &keystore, e);
    if (st == EMK_OK) {
        config.crypto = crypto;
        st = emk_client_new(&config, &client, e);
    }
    if (st == EMK_OK)
        st = with_model(j, client, e);
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
    size_t issuer_len = argc >= 6 ? read_hex(argv[3], issuer) : 0;
    emk_status st;
    job j;

    if (issuer_len == 0 || argc > 7 ||
        (strcmp(argv[1], "onnx") != 0 && strcmp(argv[1], "litert") != 0 &&
         strcmp(argv[1], "gguf") != 0 && strcmp(argv[1], "llama") != 0)) {
        fprintf(stderr,
                "usage: engine-run onnx|litert|gguf|llama DEVICE ISSUER MODEL USER [LIBRARY]\n");
        return EMK_E_USAGE;
    }
    setenv("ORT_DISABLE_TELEMETRY", "1", 1); /* before its library is loaded: see engines.md */
    j = (job){argv[1], argv[2], argv[3], argv[4], argv[5], argc == 7 ? argv[6] : NULL};
    st = with_device(&j, emk_span_of(issuer, issuer_len), &e);
    if (st == EMK_E_NOT_FOUND && strncmp(e.what, "engine:", 7) == 0) {
        printf("SKIP %s is not here: name its library, or `tools/setup engines`\n", j.engine);
        return SKIP;
    }
    if (st != EMK_OK)
        fprintf(stderr, "engine-run: %s: %s (%llu)\n%s\n", emk_status_name(st), e.what,
                (unsigned long long)e.where, emk_status_fix(st));
    return (int)st;
}
