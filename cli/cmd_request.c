#include "cli/commands.h"
#include "cli/device.h"

#include <string.h>

static emk_status key_kind(emk_cli *cli, uint16_t *kem)
{
    static const struct {
        const char *name;
        uint16_t kem;
    } kinds[] = {{"xwing", EMK_KEM_XWING}, {"x25519", EMK_KEM_X25519}, {"p256", EMK_KEM_P256}};
    const char *name = emk_cli_option_value(cli, "key");

    *kem = 0;
    for (size_t i = 0; name && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(name, kinds[i].name) == 0)
            *kem = kinds[i].kem;
    }
    if (name && *kem == 0)
        return emk_cli_usage(cli, "--key is one of xwing, x25519, p256");
    return EMK_OK;
}

static emk_status advise(emk_cli *cli, emk_status st)
{
    if (st == EMK_E_NOT_FOUND)
        return emk_cli_advise(cli, st,
                              "Have the issuer certify this device first: `earmark issuer "
                              "enrol`, then `earmark device certify`.");
    if (st == EMK_E_POLICY)
        return emk_cli_advise(cli, st,
                              "The device's certificate has expired: have it made again "
                              "with `earmark issuer enrol`.");
    return st;
}

static emk_status run(emk_cli *cli)
{
    const char *path = emk_cli_option_value(cli, "output");
    emk_client_want want = {.model = emk_span_str(emk_cli_option_value(cli, "model")),
                            .version = emk_span_str(emk_cli_option_value(cli, "version")),
                            .use = emk_span_str(emk_cli_option_value(cli, "use")),
                            .user = emk_span_str(emk_cli_option_value(cli, "user")),
                            .app = emk_span_str(emk_cli_option_value(cli, "app"))};
    emk_cli_device device = {0};
    uint8_t hash[EMK_HASH_LEN];
    emk_buf message;
    emk_status st = key_kind(cli, &want.kem);

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    if (st == EMK_OK)
        st = emk_cli_device_open(cli, &device);
    if (st == EMK_OK)
        st = advise(cli, emk_client_request(device.client, &want, &message, hash, &cli->error));
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_buf_span(&message));
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "request", path);
        emk_cli_put_text(&cli->out, "model", want.model);
        emk_cli_put_text(&cli->out, "user", want.user);
        emk_cli_put_hex(&cli->out, "hash", emk_span_of(hash, sizeof hash));
        emk_cli_next(cli, ", at the issuer: earmark ticket %s -o FILE", path);
    }
    emk_cli_device_close(&device);
    emk_buf_done(&message);
    return st;
}

static const char *const paragraphs[] = {
    "Asks for one model, for one user of this device. A key is made for this request alone: the "
    "answer can be opened once, here, within a day, and by nobody later.",
    NULL};

static const emk_cli_option options[] = {
    {"model", 'm', EMK_CLI_WORD, "NAME", "the model to ask for", true},
    {"user", 'u', EMK_CLI_WORD, "NAME", "who is to use it: a pseudonym is best", true},
    {"output", 'o', EMK_CLI_FILE, "FILE", "write the request here; - is standard output", true},
    {"version", 0, EMK_CLI_WORD, "TEXT", "a particular version", false},
    {"use", 0, EMK_CLI_WORD, "TEXT", "for one use only, such as the id of one video", false},
    {"app", 0, EMK_CLI_WORD, "NAME", "for one app only", false},
    {"key", 0, EMK_CLI_WORD, "KIND",
     "xwing, x25519 or p256; default: xwing where ML-KEM is to be had, else x25519", false},
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example examples[] = {
    {"Ask for a model:", "earmark request --model cat-ears --user alice -o cat.request"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_NOT_FOUND, "there is no device here, or it has no certificate"},
    {EMK_E_POLICY, "the device's certificate has expired"},
    {EMK_E_LIMIT, "too many requests wait for their answers"},
    {EMK_E_USAGE, "a name is empty, too long, or has control characters"},
    {EMK_E_UNSUPPORTED, "this libcrypto does not have that kind of key"},
    {0},
};

const emk_cli_command EMK_CLI_REQUEST = {
    .name = "request",
    .summary = "asks for a model, for a user of this device",
    .synopsis = "--model NAME --user NAME -o FILE [--version TEXT] [--use TEXT] [--app NAME]",
    .paragraphs = paragraphs,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
