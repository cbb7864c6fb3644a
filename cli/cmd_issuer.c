/* issuer init, issuer enrol, issuer sealing-key. */
#include "cli/commands.h"
#include "cli/device.h"
#include "cli/issuer_token.h"
#include "cli/keystore_options.h"
#include "cli/text.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/proto/device_certificate.h"
#include "core/proto/enrolment.h"

#include <string.h>

#define SEALING_VALID "90d"
#define DEVICE_VALID  "30d"

/* The option's duration, or the default's. */
static emk_status duration(emk_cli *cli, const char *option, const char *otherwise, uint64_t *out)
{
    const char *text = emk_cli_option_value(cli, option);
    emk_error e;

    if (emk_cli_parse_duration(text ? text : otherwise, out, &e) != EMK_OK || *out == 0)
        return emk_cli_usage(cli, "--%s: %s", option, *out == 0 ? "at least 1s" : e.what);
    return EMK_OK;
}

static void say_protection(emk_cli *cli, const emk_secret *passphrase)
{
    emk_cli_put_string(&cli->out, "protection",
                       passphrase ? "passphrase" : "file permissions (0600) only");
    emk_cli_put_bool(&cli->out, "hardware", false);
    if (!passphrase)
        emk_cli_remark(cli, "these are software keys in a file: not hardware. Whoever reads it has "
                            "them; --ask-passphrase protects copies of it.");
}

static emk_status make_issuer(emk_cli *cli, const char *dir, const emk_secret *passphrase,
                              uint64_t valid_s, char *pub_path)
{
    emk_cli_new_key key = {
        .dir = dir, .name = "issuer.key", .use = EMK_CLI_KEY_ISSUER, .passphrase = passphrase};
    emk_cli_public pub = {.len = 0};
    emk_status st = EMK_OK;

    if (emk_cli_issuer_has_token(cli, dir)) {
        st = emk_fail(&cli->error, EMK_E_USED, "issuer: there is one already, in a token", 0);
        st = emk_cli_about(cli, st, dir);
        return emk_cli_advise(cli, st, "Keys are never replaced: choose another directory.");
    }
    st = emk_cli_make_dirs(cli, dir);
    if (st == EMK_OK)
        st = emk_cli_key_make(cli, &key, &pub);
    if (st == EMK_OK)
        st = emk_cli_public_write(cli, dir, &pub, pub_path);
    if (st == EMK_OK)
        st = emk_cli_sealing_key_make(cli, dir, passphrase, valid_s);
    return st;
}

/* ---- with the key in a token ---- */

static emk_status refuse_existing(emk_cli *cli, const char *dir)
{
    static const char *const NAMES[] = {"issuer.key", "issuer.pub"};
    char path[EMK_CLI_PATH_MAX];
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < sizeof NAMES / sizeof NAMES[0]; i++) {
        st = emk_cli_join(cli, dir, NAMES[i], path);
        if (st == EMK_OK && emk_os_exists(path)) {
            st = emk_fail(&cli->error, EMK_E_USED, "issuer: there is one already", 0);
            st = emk_cli_about(cli, st, path);
        }
    }
    return emk_cli_advise(cli, st,
                          "Keys are never replaced: choose another directory, or move this one "
                          "away.");
}

/* Writes down which key it will be; or finds that written, where an init was cut short. */
static emk_status settle_token(emk_cli *cli, const char *dir)
{
    emk_cli_keys_config before, config = {.kind = EMK_PKCS11_NAME};
    emk_status st = emk_cli_token_options(cli, &config);

    if (st == EMK_OK) /* what cannot be reached is not written down */
        st = EMK_CLI_HOLDER_PKCS11.probe(cli, &config);
    if (st == EMK_OK && !emk_cli_issuer_has_token(cli, dir))
        return emk_cli_keys_config_write(cli, dir, &config);
    if (st == EMK_OK)
        st = emk_cli_keys_config_read(cli, dir, &before);
    if (st == EMK_OK &&
        (strcmp(before.module, config.module) != 0 || strcmp(before.token, config.token) != 0)) {
        st = emk_fail(&cli->error, EMK_E_USED, "issuer: begun with another token", 0);
        st = emk_cli_advise(cli, st,
                            "An earlier `earmark issuer init` was cut short here: name the same "
                            "--module and --token to finish it, or take another directory.");
    }
    return st;
}

/* issuer.pub is written last: with it the issuer is complete. */
static emk_status make_issuer_in_token(emk_cli *cli, const char *dir, const emk_secret *passphrase,
                                       uint64_t valid_s, char *pub_path)
{
    emk_cli_public pub = {.len = 0};
    emk_status st = refuse_existing(cli, dir);

    if (st == EMK_OK)
        st = emk_cli_holder_check(cli, &EMK_CLI_HOLDER_PKCS11);
    if (st == EMK_OK)
        st = emk_cli_make_dirs(cli, dir);
    if (st == EMK_OK)
        st = settle_token(cli, dir);
    if (st == EMK_OK)
        st = emk_cli_issuer_token_make(cli, dir, &pub);
    if (st == EMK_OK)
        st = emk_cli_sealing_key_make(cli, dir, passphrase, valid_s);
    if (st == EMK_OK)
        st = emk_cli_public_write(cli, dir, &pub, pub_path);
    return st;
}

static emk_status choose_holder(emk_cli *cli, bool *token)
{
    const char *kind = emk_cli_option_value(cli, "keystore");

    *token = kind && strcmp(kind, EMK_PKCS11_NAME) == 0;
    if (kind && !*token && strcmp(kind, "soft") != 0)
        return emk_cli_usage(cli, "--keystore is soft or pkcs11");
    if (*token && emk_cli_option_given(cli, "ask-passphrase"))
        return emk_cli_usage(cli, "--ask-passphrase does not go with --keystore pkcs11: the token "
                                  "has a PIN of its own");
    if (!*token && (emk_cli_option_given(cli, "module") || emk_cli_option_given(cli, "token")))
        return emk_cli_usage(cli, "--module and --token go with --keystore pkcs11");
    return EMK_OK;
}

static void say_token(emk_cli *cli)
{
    emk_cli_put_string(&cli->out, "keys", "in a PKCS#11 token; the sealing key is in a file");
}

static emk_status run_init(emk_cli *cli)
{
    char dir[EMK_CLI_PATH_MAX], pub_path[EMK_CLI_PATH_MAX];
    const emk_secret *passphrase = NULL;
    uint64_t valid_s = 0;
    bool token = false;
    emk_status st = emk_cli_home(cli, "issuer", dir);

    if (st == EMK_OK)
        st = choose_holder(cli, &token);

    if (st == EMK_OK)
        st = duration(cli, "valid", SEALING_VALID, &valid_s);
    if (st == EMK_OK)
        st = emk_cli_new_passphrase(cli, &passphrase);
    if (st == EMK_OK)
        st = (token ? make_issuer_in_token : make_issuer)(cli, dir, passphrase, valid_s, pub_path);
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "issuer", dir);
        emk_cli_put_string(&cli->out, "public_key", pub_path);
        emk_cli_put_time(&cli->out, "sealing_key_until", emk_os_now_s() + valid_s);
        if (token)
            say_token(cli);
        else
            say_protection(cli, passphrase);
        emk_cli_next(cli,
                     ": give %s to the devices: earmark device init --issuer "
                     "issuer.pub",
                     pub_path);
    }
    return st;
}

static emk_status run_sealing_key(emk_cli *cli)
{
    char dir[EMK_CLI_PATH_MAX];
    const emk_secret *passphrase = NULL;
    uint64_t valid_s = 0;
    emk_status st = emk_cli_home(cli, "issuer", dir);

    if (st == EMK_OK)
        st = duration(cli, "valid", SEALING_VALID, &valid_s);
    if (st == EMK_OK)
        st = emk_cli_new_passphrase(cli, &passphrase);
    if (st == EMK_OK)
        st = emk_cli_sealing_key_make(cli, dir, passphrase, valid_s);
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "issuer", dir);
        emk_cli_put_time(&cli->out, "sealing_key_until", emk_os_now_s() + valid_s);
        say_protection(cli, passphrase);
    }
    return st;
}

/* Signs what an enrolment says.  Fills id. */
static emk_status certify(emk_cli *cli, const char *dir, emk_span enrolment, uint64_t valid_s,
                          emk_buf *cert)
{
    emk_cli_signer issuer = {0};
    const emk_crypto *c = NULL;
    emk_enrolment device;
    emk_device_certificate in = {.issued = emk_os_now_s()};
    emk_status st = emk_cli_crypto(cli, &c);

    if (st == EMK_OK)
        st = emk_enrolment_verify(c, enrolment, &device, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_signer_open(cli, dir, EMK_CLI_KEY_ISSUER, &issuer);
    if (st == EMK_OK) {
        in.signing_key = device.signing_key;
        in.agree = device.agree;
        in.not_after = in.issued + valid_s;
        st = emk_device_certificate_sign(c, &issuer.signer, &in, cert, &cli->error);
    }
    if (st == EMK_OK) {
        emk_cli_put_hex(&cli->out, "device", emk_span_of(device.device_id, EMK_DEVICE_ID_LEN));
        emk_cli_put_text(&cli->out, "platform", device.platform);
        emk_cli_put_time(&cli->out, "until", in.not_after);
    }
    emk_cli_signer_done(&issuer);
    return st;
}

/* On one machine the certificate goes straight to the device. */
static emk_status hand_over(emk_cli *cli, emk_span cert)
{
    const char *path = emk_cli_option_value(cli, "output");
    emk_cli_device device = {0};
    emk_status st;

    if (path) {
        st = emk_cli_write_output(cli, path, cert);
        if (st == EMK_OK)
            emk_cli_put_string(&cli->out, "certificate", path);
        return st;
    }
    st = emk_cli_device_open(cli, &device);
    if (st == EMK_OK)
        st = emk_client_set_certificate(device.client, cert, &cli->error);
    if (st == EMK_OK)
        emk_cli_put_string(&cli->out, "given_to", device.dir);
    emk_cli_device_close(&device);
    return st;
}

/* The enrolment named on the command line, or the one in the device's directory. */
static emk_status find_enrolment(emk_cli *cli, char *path)
{
    const char *named = emk_cli_operand_at(cli, 0);
    char dir[EMK_CLI_PATH_MAX];
    emk_status st;

    if (named && emk_cli_option_given(cli, "device"))
        return emk_cli_usage(cli, "ENROLMENT or --device DIR: one of them");
    if (named && !emk_cli_option_given(cli, "output"))
        return emk_cli_usage(cli, "-o FILE is missing: where the certificate goes");
    if (named) {
        snprintf(path, EMK_CLI_PATH_MAX, "%s", named);
        return EMK_OK;
    }
    st = emk_cli_home(cli, "device", dir);
    return st == EMK_OK ? emk_cli_join(cli, dir, "device.enrolment", path) : st;
}

static emk_status run_enrol(emk_cli *cli)
{
    char dir[EMK_CLI_PATH_MAX], path[EMK_CLI_PATH_MAX];
    emk_buf enrolment, cert;
    uint64_t valid_s = 0;
    emk_status st;

    emk_buf_init(&enrolment, EMK_MESSAGE_MAX);
    emk_buf_init(&cert, EMK_MESSAGE_MAX);
    st = find_enrolment(cli, path);
    if (st == EMK_OK)
        st = emk_cli_home(cli, "issuer", dir);
    if (st == EMK_OK)
        st = duration(cli, "valid", DEVICE_VALID, &valid_s);
    if (st == EMK_OK)
        st = emk_cli_read_input(cli, path, EMK_MESSAGE_MAX, &enrolment);
    if (st == EMK_OK)
        st = emk_cli_about(cli, certify(cli, dir, emk_buf_span(&enrolment), valid_s, &cert), path);
    if (st == EMK_OK)
        st = hand_over(cli, emk_buf_span(&cert));
    if (st == EMK_OK && emk_cli_option_given(cli, "output"))
        emk_cli_next(cli, ", on the device: earmark device certify %s",
                     emk_cli_option_value(cli, "output"));
    emk_buf_done(&enrolment);
    emk_buf_done(&cert);
    return st;
}

static const char *const init_paragraphs[] = {
    "Makes an issuer: the key that says who may have which model. Devices pin its public key, "
    "issuer.pub. A sealing key, certified by the issuer, is made too; it signs the sealed models "
    "and can be renewed with `earmark issuer sealing-key`.",
    "The keys are software keys in files that only you may read. With a passphrase a copy of the "
    "files alone is worthless.",
    "With --keystore pkcs11 the issuer's key (P-256) is made in a token and cannot leave it; the "
    "token's PIN is asked for, or taken from --passphrase-file, --passphrase-fd or EARMARK_PIN, by "
    "every command that signs as the issuer. The sealing key stays a file, so that sealing needs "
    "no token. An init that was cut short is finished by giving the same command again.",
    NULL};

static const emk_cli_option init_options[] = {
    EMK_CLI_OPTION_ISSUER_DIR,
    {"valid", 0, EMK_CLI_WORD, "DURATION", "how long the sealing key is good (" SEALING_VALID ")",
     false},
    {"keystore", 0, EMK_CLI_WORD, "KIND", "who holds the issuer's key: soft (default) or pkcs11",
     false},
    {"module", 0, EMK_CLI_FILE, "FILE", "pkcs11: the token's library", false},
    {"token", 0, EMK_CLI_WORD, "NAME", "pkcs11: the token's label, or a pkcs11: URI", false},
    EMK_CLI_OPTION_ASK_PASSPHRASE,
    EMK_CLI_OPTION_PASSPHRASE_FILE,
    EMK_CLI_OPTION_PASSPHRASE_FD,
    {0},
};

static const emk_cli_example init_examples[] = {
    {"An issuer in the default place:", "earmark issuer init"},
    {"One under a passphrase:", "earmark issuer init --issuer /srv/issuer --ask-passphrase"},
    {"Its key in a token:",
     "earmark issuer init --keystore pkcs11 --token issuer --module libpkcs11.so"},
    {0},
};

static const emk_cli_exit init_exits[] = {
    {EMK_E_USED, "there is an issuer already: keys are never replaced"},
    {EMK_E_IO, "the directory cannot be written, or there is no such token"},
    {EMK_E_SEALED, "the token refused the PIN"},
    {EMK_E_UNSUPPORTED, "this build has no PKCS#11 support, or the token cannot do it"},
    {0},
};

const emk_cli_command EMK_CLI_ISSUER_INIT = {
    .name = "issuer init",
    .summary = "makes an issuer: keys, and the public key that devices pin",
    .synopsis = "[--issuer DIR] [--keystore soft|pkcs11] [--ask-passphrase]",
    .paragraphs = init_paragraphs,
    .options = init_options,
    .examples = init_examples,
    .exits = init_exits,
    .run = run_init,
};

static const char *const enrol_paragraphs[] = {
    "Reads a device's enrolment, checks that the device holds the keys it shows, and signs a "
    "device certificate for them. What kind of device it is nobody has proven yet: the "
    "certificate says level 0. Look at it first with `earmark inspect`.",
    "On one machine, leave out ENROLMENT: the device's directory is read, and the certificate is "
    "put there.",
    NULL};

static const emk_cli_operand enrol_operands[] = {
    {"ENROLMENT", EMK_CLI_FILE, "the device's enrolment; - is standard input", true},
    {0},
};

static const emk_cli_option enrol_options[] = {
    {"output", 'o', EMK_CLI_FILE, "FILE", "write the certificate here; - is standard output",
     false},
    {"valid", 0, EMK_CLI_WORD, "DURATION", "how long the certificate is good (" DEVICE_VALID ")",
     false},
    EMK_CLI_OPTION_ISSUER_DIR,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example enrol_examples[] = {
    {"A device elsewhere:", "earmark issuer enrol device.enrolment -o device.cert"},
    {"A device on this machine:", "earmark issuer enrol"},
    {0},
};

static const emk_cli_exit enrol_exits[] = {
    {EMK_E_FORMAT, "this is not an enrolment, or it is damaged"},
    {EMK_E_SIGNATURE, "the device does not hold the keys it shows"},
    {EMK_E_NOT_FOUND, "there is no issuer, or no enrolment"},
    {EMK_E_SEALED, "wrong passphrase"},
    {0},
};

const emk_cli_command EMK_CLI_ISSUER_ENROL = {
    .name = "issuer enrol",
    .summary = "certifies a device's keys",
    .synopsis = "[ENROLMENT -o FILE | --device DIR] [--valid 30d]",
    .paragraphs = enrol_paragraphs,
    .operands = enrol_operands,
    .options = enrol_options,
    .examples = enrol_examples,
    .exits = enrol_exits,
    .run = run_enrol,
};

static const char *const sealing_paragraphs[] = {
    "Makes a new sealing key and the issuer's certificate for it, in place of the old ones. "
    "Models sealed with the old key stay good on devices that have accepted them.",
    "A machine that only seals needs issuer.pub, sealing.key and sealing.cert of the issuer's "
    "directory, and not issuer.key.",
    NULL};

static const emk_cli_option sealing_options[] = {
    EMK_CLI_OPTION_ISSUER_DIR,
    {"valid", 0, EMK_CLI_WORD, "DURATION", "how long it is good (" SEALING_VALID ")", false},
    EMK_CLI_OPTION_ASK_PASSPHRASE,
    EMK_CLI_OPTION_PASSPHRASE_FILE,
    EMK_CLI_OPTION_PASSPHRASE_FD,
    {0},
};

static const emk_cli_example sealing_examples[] = {
    {"Once a month:", "earmark issuer sealing-key --valid 40d"},
    {0},
};

static const emk_cli_exit sealing_exits[] = {
    {EMK_E_NOT_FOUND, "there is no issuer in this directory"},
    {EMK_E_SEALED, "wrong passphrase"},
    {0},
};

const emk_cli_command EMK_CLI_ISSUER_SEALING_KEY = {
    .name = "issuer sealing-key",
    .summary = "makes a new sealing key",
    .synopsis = "[--issuer DIR] [--valid 90d]",
    .paragraphs = sealing_paragraphs,
    .options = sealing_options,
    .examples = sealing_examples,
    .exits = sealing_exits,
    .run = run_sealing_key,
};
