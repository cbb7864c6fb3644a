/* device init, device certify, device list, device remove. */
#include "cli/commands.h"
#include "cli/device.h"
#include "cli/events.h"
#include "cli/keystore_options.h"
#include "cli/os_machine.h"
#include "cli/text.h"

/* "Linux-x86_64, software keys": for people, in the enrolment. */
static void describe_platform(const emk_keystore *ks, char out[EMK_TEXT_MAX])
{
    char system[64];

    emk_cli_system_name(system, sizeof system);
    snprintf(out, EMK_TEXT_MAX, "%s, %.40s keys", system, emk_keystore_name(ks));
}

static emk_status write_enrolment(emk_cli *cli, emk_cli_device *d, char *path)
{
    char platform[EMK_TEXT_MAX];
    emk_buf message;
    emk_status st;

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    describe_platform(&d->keystore, platform);
    st = emk_client_enrolment(d->client, emk_span_str(platform), &message, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_join(cli, d->dir, "device.enrolment", path);
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_buf_span(&message));
    emk_buf_done(&message);
    return st;
}

/* The key to pin: --issuer, or that of the issuer on this machine. */
static emk_status find_issuer(emk_cli *cli, emk_cli_public *out)
{
    char home[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_home(cli, "issuer", home);

    return st == EMK_OK ? emk_cli_public_read(cli, home, out) : st;
}

static void show_made(emk_cli *cli, const emk_cli_device *device, const char *enrolment)
{
    emk_cli_put_string(&cli->out, "device", device->dir);
    emk_cli_put_hex(&cli->out, "device_id",
                    emk_span_of(emk_client_device_id(device->client), EMK_DEVICE_ID_LEN));
    emk_cli_put_string(&cli->out, "keys", emk_keystore_describe(&device->keystore));
    emk_cli_put_bool(&cli->out, "hardware", emk_keystore_is_hardware(&device->keystore));
    emk_cli_put_string(&cli->out, "enrolment", enrolment);
    emk_cli_next(cli, ", at the issuer: earmark issuer enrol %s -o device.cert", enrolment);
}

static emk_status run_init(emk_cli *cli)
{
    char dir[EMK_CLI_PATH_MAX], path[EMK_CLI_PATH_MAX];
    emk_cli_public issuer = {.len = 0};
    emk_cli_keys_store store = {.authority = {0}};
    emk_cli_keys keys = {.post_quantum = false};
    emk_cli_device_new in = {.dir = dir, .issuer = &issuer, .keys = &keys};
    emk_cli_device device = {0};
    emk_status st = emk_cli_home(cli, "device", dir);

    if (st == EMK_OK)
        st = find_issuer(cli, &issuer);
    if (st == EMK_OK)
        st = emk_cli_keys_from_options(cli, &store, &keys);
    if (st == EMK_OK)
        st = emk_cli_device_make(cli, &in, &device);
    if (st == EMK_OK)
        st = write_enrolment(cli, &device, path);
    if (st == EMK_OK)
        st = emk_cli_device_made(cli, &device);
    if (st == EMK_OK)
        show_made(cli, &device, path);
    emk_cli_device_close(&device);
    return st;
}

static emk_status run_certify(emk_cli *cli)
{
    const char *path = emk_cli_operand_at(cli, 0);
    emk_cli_device device = {0};
    emk_buf cert;
    emk_status st = emk_cli_read_input(cli, path, EMK_MESSAGE_MAX, &cert);

    if (st == EMK_OK)
        st = emk_cli_device_open(cli, &device);
    if (st == EMK_OK)
        st = emk_cli_about(
            cli, emk_client_set_certificate(device.client, emk_buf_span(&cert), &cli->error), path);
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "device", device.dir);
        emk_cli_next(cli, ": earmark request --model NAME --user NAME -o FILE");
    }
    emk_cli_device_close(&device);
    emk_buf_done(&cert);
    return st;
}

/* The name of an entry is its ticket's id. */
static void note_removed(emk_cli *cli, const char *dir, const char *name)
{
    emk_event event = {.type = EMK_EVENT_DELETE};

    event.has_ticket = emk_cli_parse_hex(name, event.ticket_id, sizeof event.ticket_id);
    emk_cli_event_note(cli, dir, &event);
}

static emk_status run_remove(emk_cli *cli)
{
    const char *name = emk_cli_operand_at(cli, 0);
    emk_cli_device device = {0};
    emk_status st = emk_cli_device_open(cli, &device);

    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_client_remove(device.client, name, &cli->error), name);
    if (st == EMK_E_NOT_FOUND)
        st = emk_cli_advise(cli, st, "`earmark device list` shows the names.");
    if (st == EMK_OK) {
        note_removed(cli, device.dir, name);
        emk_cli_put_string(&cli->out, "removed", name);
    }
    emk_cli_device_close(&device);
    return st;
}

static const char *const init_paragraphs[] = {
    "Makes a device: its own keys, a vault for models, and the issuer it trusts. Then the issuer "
    "has to certify the device: send it the enrolment that is named at the end.",
    "Without --keystore the keys are software keys: whoever can read the device's directory has "
    "them, and earmark says so wherever it matters. That is the default because it works on every "
    "machine and cannot be lost by clearing a chip; where there is a TPM, take it. `earmark "
    "doctor` "
    "says what is usable here. The choice is kept in the device's directory: later commands need "
    "no option but, where there is one, the PIN (--passphrase-file, --passphrase-fd, EARMARK_PIN, "
    "or "
    "typed; never on the command line).",
    "tpm2: keys made in the TPM, usable there alone, and counters that a restored disk does not "
    "turn back. With --ask-passphrase (or a file) under a PIN of at most 32 bytes. With --pcrs, "
    "--pcr-authority and --pcr-signature only while the PCRs have values that the authority "
    "signed: see `earmark device pcr-policy`. pkcs11: keys made in the token, which asks for its "
    "own PIN; counters and waiting requests are kept in software beside it. auto: tpm2 where this "
    "user can use one, else soft; earmark says which.",
    "Where it was cut short, give the command again: it removes what was left, in TPM and token "
    "too, and makes the device anew. Until then no other command opens it.",
    NULL};

static const emk_cli_option init_options[] = {
    {"issuer", 0, EMK_CLI_FILE, "FILE",
     "the issuer's public key, or its directory; default: the issuer on this machine", false},
    EMK_CLI_OPTION_DEVICE_DIR,
    {"keystore", 0, EMK_CLI_WORD, "KIND",
     "who holds the keys: soft (default), tpm2, pkcs11 or auto", false},
    EMK_CLI_OPTION_TCTI,
    EMK_CLI_OPTION_PCRS(false),
    {"pcr-authority", 0, EMK_CLI_FILE, "FILE", "tpm2: whose P-256 key signs PCR values (DER)",
     false},
    {"pcr-signature", 0, EMK_CLI_FILE, "FILE", "tpm2: its signature for the present values", false},
    {"module", 0, EMK_CLI_FILE, "FILE", "pkcs11: the token's library", false},
    {"token", 0, EMK_CLI_WORD, "NAME", "pkcs11: the token's label, or a pkcs11: URI", false},
    {"classic", 0, EMK_CLI_FLAG, NULL, "soft: a P-256 key alone, also where ML-KEM is to be had",
     false},
    EMK_CLI_OPTION_ASK_PASSPHRASE,
    EMK_CLI_OPTION_PASSPHRASE_FILE,
    EMK_CLI_OPTION_PASSPHRASE_FD,
    {0},
};

static const emk_cli_example init_examples[] = {
    {"A device of an issuer elsewhere:", "earmark device init --issuer issuer.pub"},
    {"Keys in this machine's TPM:", "earmark device init --issuer issuer.pub --keystore tpm2"},
    {"Keys in a token:",
     "earmark device init --keystore pkcs11 --token phone --module libpkcs11.so"},
    {"A second device on this machine:", "earmark device init --device ./tablet"},
    {0},
};

static const emk_cli_exit init_exits[] = {
    {EMK_E_NOT_FOUND, "there is no such issuer.pub"},
    {EMK_E_FORMAT, "this is not an issuer's public key"},
    {EMK_E_USED, "the device exists already: keys are never replaced"},
    {EMK_E_UNSUPPORTED, "this build has no such key holder, or the token cannot do it"},
    {EMK_E_IO, "there is no TPM, or no such token"},
    {EMK_E_SEALED, "the token refused the PIN"},
    {EMK_E_BUSY, "another `device init` is at work there, or the token is locked"},
    {0},
};

const emk_cli_command EMK_CLI_DEVICE_INIT = {
    .name = "device init",
    .summary = "makes a device: keys, a vault, and whom it trusts",
    .synopsis = "[--issuer issuer.pub] [--device DIR] [--keystore soft|tpm2|pkcs11|auto]",
    .paragraphs = init_paragraphs,
    .options = init_options,
    .examples = init_examples,
    .exits = init_exits,
    .run = run_init,
};

static const char *const certify_paragraphs[] = {
    "Gives the device the certificate that the issuer made of its enrolment. It goes into every "
    "request, until it expires.",
    NULL};

static const emk_cli_operand certify_operands[] = {
    {"CERTIFICATE", EMK_CLI_FILE, "what `earmark issuer enrol` wrote; - is standard input", false},
    {0},
};

static const emk_cli_option device_options[] = {
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example certify_examples[] = {
    {"After the issuer answered:", "earmark device certify device.cert"},
    {0},
};

static const emk_cli_exit certify_exits[] = {
    {EMK_E_FORMAT, "this is not a device certificate"},
    {EMK_E_SIGNATURE, "it is not signed by the issuer this device trusts"},
    {EMK_E_SEALED, "it is for another device; or a wrong passphrase"},
    {EMK_E_POLICY, "it has expired"},
    {0},
};

const emk_cli_command EMK_CLI_DEVICE_CERTIFY = {
    .name = "device certify",
    .summary = "gives the device its certificate",
    .synopsis = "CERTIFICATE [--device DIR]",
    .paragraphs = certify_paragraphs,
    .operands = certify_operands,
    .options = device_options,
    .examples = certify_examples,
    .exits = certify_exits,
    .run = run_certify,
};

static const char *const list_paragraphs[] = {
    "Lists the models in the device's vault, by the names that `open`, `run` and `device remove` "
    "take beside the model's own, with what their policies still allow. Counts nothing. `earmark "
    "vault list` is the same.",
    NULL};

static const emk_cli_example list_examples[] = {
    {"What is there, for a script:", "earmark device list --json"},
    {0},
};

const emk_cli_command EMK_CLI_DEVICE_LIST = {
    .name = "device list",
    .summary = "lists the models on the device",
    .synopsis = "[--device DIR] [--json]",
    .paragraphs = list_paragraphs,
    .options = device_options,
    .examples = list_examples,
    .run = emk_cli_vault_list,
};

static const char *const remove_paragraphs[] = {
    "Removes a model from the device's vault. A copy of the file that was kept elsewhere cannot "
    "be put back.",
    NULL};

static const emk_cli_operand remove_operands[] = {
    {"NAME", EMK_CLI_WORD, "the entry, as `earmark device list` shows it", false},
    {0},
};

static const emk_cli_example remove_examples[] = {
    {"One entry:", "earmark device remove 3f0c8e0b6a8f4b1e9d2c5a7b8e9f0a1b"},
    {0},
};

static const emk_cli_exit remove_exits[] = {
    {EMK_E_NOT_FOUND, "there is no such entry"},
    {0},
};

const emk_cli_command EMK_CLI_DEVICE_REMOVE = {
    .name = "device remove",
    .summary = "removes a model from the device",
    .synopsis = "NAME [--device DIR]",
    .paragraphs = remove_paragraphs,
    .operands = remove_operands,
    .options = device_options,
    .examples = remove_examples,
    .exits = remove_exits,
    .run = run_remove,
};
