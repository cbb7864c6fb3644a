/* device pcr-policy: what a PCR policy's authority has to sign, and its signature put in place. */
#include "cli/commands.h"
#include "cli/device.h"
#include "cli/keystore_options.h"

#include <stdlib.h>
#include <string.h>

/* Digest: --digest, for values that will be, or what the TPM has now. */
static emk_status find_digest(emk_cli *cli, const char *tcti, emk_tpm2_policy *p)
{
    const char *hex = emk_cli_option_value(cli, "digest");

    if (!hex)
        return emk_cli_present_pcrs(cli, tcti, p->pcrs, p->digest);
    if (strlen(hex) != 64 || strspn(hex, "0123456789abcdefABCDEF") != 64)
        return emk_cli_usage(cli, "--digest takes 64 hexadecimal digits");
    for (size_t i = 0; i < 32; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};

        p->digest[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return EMK_OK;
}

static emk_status write_message(emk_cli *cli, const emk_tpm2_policy *p)
{
    const char *path = emk_cli_option_value(cli, "output");
    uint8_t message[EMK_TPM2_MESSAGE_LEN];
    emk_status st = emk_cli_policy_message(cli, p, message);

    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_span_of(message, sizeof message));
    if (st == EMK_OK) {
        emk_cli_put_hex(&cli->out, "digest", emk_span_of(p->digest, sizeof p->digest));
        emk_cli_put_string(&cli->out, "message", path);
        emk_cli_next(cli, ": openssl dgst -sha256 -sign AUTHORITY.pem -out SIGNATURE %s", path);
    }
    return st;
}

static emk_status put_signature(emk_cli *cli, const char *dir, emk_tpm2_policy *p)
{
    char keys[EMK_CLI_PATH_MAX];
    emk_status st =
        emk_cli_read_policy_signature(cli, emk_cli_option_value(cli, "signature"), p->sig);

    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "keys", keys);
    if (st == EMK_OK)
        st = emk_cli_policy_put(cli, keys, p);
    if (st == EMK_E_SIGNATURE)
        st = emk_cli_advise(cli, st,
                            "It must be over the message for these PCRs and this digest, by the "
                            "authority that the device was made with.");
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "device", dir);
        emk_cli_put_hex(&cli->out, "digest", emk_span_of(p->digest, sizeof p->digest));
    }
    return emk_cli_about(cli, st, dir);
}

static emk_status run(emk_cli *cli)
{
    bool put = emk_cli_option_given(cli, "signature");
    const char *tcti = emk_cli_option_value(cli, "tcti");
    char dir[EMK_CLI_PATH_MAX] = "";
    emk_cli_keys_config config = {.kind = ""};
    emk_tpm2_policy p = {0};
    emk_status st = EMK_OK;

    if (put == emk_cli_option_given(cli, "output"))
        return emk_cli_usage(cli,
                             "-o FILE (what is to be signed) or --signature FILE: one of them");
    if (put) {
        st = emk_cli_home(cli, "device", dir);
        if (st == EMK_OK)
            st = emk_cli_keys_config_read(cli, dir, &config);
        if (!tcti && config.tcti[0])
            tcti = config.tcti;
    }
    if (st == EMK_OK)
        st = emk_cli_parse_pcrs(cli, emk_cli_option_value(cli, "pcrs"), &p.pcrs);
    if (st == EMK_OK)
        st = find_digest(cli, tcti, &p);
    if (st != EMK_OK)
        return st;
    return put ? put_signature(cli, dir, &p) : write_message(cli, &p);
}

static const char *const paragraphs[] = {
    "For devices made with --pcr-authority: their keys work only while the TPM's PCRs have values "
    "that the authority has signed. With -o the message to sign is written (it needs no device: "
    "make the first one before `device init`); with --signature the answer is put in place.",
    "For an update, work out the digest of the values that will be, have it signed, and put it in "
    "place before the machine restarts: then nothing is lost.",
    "A policy that was signed once stays good for as long as its PCR values can be reached.", NULL};

static const emk_cli_option options[] = {
    EMK_CLI_OPTION_PCRS(true),
    {"digest", 0, EMK_CLI_WORD, "HEX",
     "SHA-256 over the values that will be, in order; default: the present ones", false},
    {"output", 'o', EMK_CLI_FILE, "FILE", "write what the authority signs (ES256) here", false},
    {"signature", 0, EMK_CLI_FILE, "FILE", "the authority's signature, as openssl writes it",
     false},
    EMK_CLI_OPTION_TCTI,
    EMK_CLI_OPTION_DEVICE_DIR,
    {0},
};

static const emk_cli_example examples[] = {
    {"What is to be signed:", "earmark device pcr-policy --pcrs 7,11 -o policy.message"},
    {"The answer:", "earmark device pcr-policy --pcrs 7,11 --signature policy.sig"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_SIGNATURE, "the device's authority did not sign this"},
    {EMK_E_USAGE, "the device's keys have no PCR policy"},
    {EMK_E_IO, "there is no TPM"},
    {0},
};

const emk_cli_command EMK_CLI_DEVICE_PCR_POLICY = {
    .name = "device pcr-policy",
    .summary = "says which PCR values may use a TPM's keys",
    .synopsis = "--pcrs LIST (-o FILE | --signature FILE)",
    .paragraphs = paragraphs,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
