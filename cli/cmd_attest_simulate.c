/* attest simulate: evidence by a test authority, for other people's CI. */
#include "cli/attest_forged.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "core/base/os_file.h"
#include "core/crypto/hash.h"
#include "server/attest/sim/sim.h"

#include <string.h>

#define ROOT_NAME "simulated_root.pem"
#define HASH_MAX  64u

typedef struct job {
    emk_cli *cli;
    const emk_crypto *crypto;
    emk_sim *sim;
    emk_sim_request request;
    emk_sim_field fields[EMK_SIM_FIELDS_MAX];
    char text[EMK_SIM_FIELDS_MAX][EMK_SIM_VALUE_MAX];
    uint8_t hash[HASH_MAX];
    uint8_t secret[EMK_TPM_SECRET_LEN];
    emk_tpm_credential credential;
} job;

static emk_status read_hex(emk_cli *cli, const char *option, uint8_t *out, size_t cap, size_t *len)
{
    static const char DIGITS[] = "0123456789abcdef";
    const char *text = emk_cli_option_value(cli, option);
    size_t n = text ? strlen(text) : 0;

    if (n == 0 || n % 2 != 0 || n / 2 > cap)
        return emk_cli_usage(cli, "--%s: up to %zu bytes in hex", option, cap);
    for (size_t i = 0; i < n; i++) {
        const char *at = strchr(DIGITS, text[i]);

        if (!at)
            return emk_cli_usage(cli, "--%s: hex", option);
        out[i / 2] = (uint8_t)((i % 2 ? (unsigned)out[i / 2] << 4 : 0) | (unsigned)(at - DIGITS));
    }
    *len = n / 2;
    return EMK_OK;
}

/* FIELD=VALUE among the operands. */
static emk_status read_fields(job *j)
{
    for (size_t i = 0; i < j->cli->args.n_operands; i++) {
        const char *word = emk_cli_operand_at(j->cli, i), *equals = strchr(word, '=');

        if (!equals || strlen(word) >= EMK_SIM_VALUE_MAX || i == EMK_SIM_FIELDS_MAX)
            return emk_cli_usage(j->cli, "FIELD=VALUE, at most %u of them", EMK_SIM_FIELDS_MAX);
        memcpy(j->text[i], word, strlen(word) + 1);
        j->text[i][equals - word] = 0;
        j->fields[i].name = j->text[i];
        j->fields[i].value = j->text[i] + (equals - word) + 1;
        j->request.n_fields = i + 1;
    }
    j->request.fields = j->fields;
    return EMK_OK;
}

/* As `attest verify` has it: App Attest signs the challenge's hash, others the challenge. */
static emk_status read_hash(job *j)
{
    size_t len = 0;
    emk_span challenge;
    emk_status st = read_hex(j->cli, "nonce", j->hash, sizeof j->hash, &len);

    if (st != EMK_OK)
        return st;
    challenge = emk_span_of(j->hash, len);
    if (j->request.kind == EMK_ATTEST_APP_ATTEST) {
        st = emk_sha256(j->crypto, &challenge, 1, j->hash, &j->cli->error);
        challenge.len = EMK_SHA256_LEN;
    }
    j->request.hash = challenge;
    return st;
}

static emk_status write_part(job *j, const char *dir, const char *name, emk_span bytes)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(j->cli, dir, name, path);

    if (st == EMK_OK)
        st = emk_cli_about(j->cli, emk_os_write_file(path, bytes, &j->cli->error), path);
    if (st == EMK_OK)
        emk_cli_put_string(&j->cli->out, NULL, path);
    return st;
}

static emk_status write_all(job *j, const char *dir, const emk_sim_evidence *made)
{
    emk_buf pem;
    emk_status st;

    emk_buf_init(&pem, 65536);
    emk_cli_begin_list(&j->cli->out, "files");
    st = emk_sim_root_pem(j->sim, &pem, &j->cli->error);
    if (st == EMK_OK)
        st = write_part(j, dir, ROOT_NAME, emk_buf_span(&pem));
    for (size_t i = 0; st == EMK_OK && i < made->n; i++)
        st = write_part(j, dir, made->parts[i].name, emk_buf_span(&made->parts[i].bytes));
    emk_cli_end(&j->cli->out);
    emk_buf_done(&pem);
    return st;
}

/* A server's answer to a hello: both parts of its credential, as TPM2_ActivateCredential takes
 * them. */
static emk_status read_part(job *j, const char *option, uint8_t *out, size_t cap, size_t *len)
{
    const char *path = emk_cli_option_value(j->cli, option);
    emk_buf file;
    emk_status st;

    if (!path)
        return emk_cli_usage(j->cli, "--%s is missing", option);
    emk_buf_init(&file, cap);
    st = emk_cli_read_input(j->cli, path, cap, &file);
    if (st == EMK_OK && file.len > 0)
        memcpy(out, file.p, file.len);
    *len = file.len;
    emk_buf_done(&file);
    return st;
}

static emk_status read_tpm(job *j)
{
    emk_tpm_credential *x = &j->credential;
    size_t len = 0;
    emk_status st = EMK_OK;

    if (j->request.kind != EMK_ATTEST_TPM)
        return EMK_OK;
    if (emk_cli_option_given(j->cli, "id-object")) {
        st = read_part(j, "id-object", x->id_object, sizeof x->id_object, &x->id_object_len);
        if (st == EMK_OK)
            st =
                read_part(j, "enc-secret", x->enc_secret, sizeof x->enc_secret, &x->enc_secret_len);
        j->request.credential = x;
        return st;
    }
    if (emk_cli_option_given(j->cli, "secret"))
        st = read_hex(j->cli, "secret", j->secret, sizeof j->secret, &len);
    if (st == EMK_OK && len != 0 && len != sizeof j->secret)
        return emk_cli_usage(j->cli, "--secret: 32 bytes in hex");
    j->request.secret = emk_span_of(j->secret, sizeof j->secret);
    return st;
}

static emk_status read_kind(job *j)
{
    const char *kind = emk_cli_option_value(j->cli, "kind");

    if (!kind || !emk_cli_option_given(j->cli, "nonce") || !emk_cli_option_given(j->cli, "dir"))
        return emk_cli_usage(j->cli, "--kind, --nonce and --dir are needed, or --forged");
    if (strcmp(kind, "app_attest_assertion") == 0) {
        j->request.kind = EMK_ATTEST_APP_ATTEST;
        j->request.assertion = true;
        return EMK_OK;
    }
    return emk_attest_kind_find(kind, &j->request.kind)
               ? EMK_OK
               : emk_cli_usage(j->cli, "--kind: there is no such kind");
}

static emk_status open_authority(job *j)
{
    uint8_t seed[EMK_SIM_SEED_LEN] = {0};
    size_t len = 0;
    emk_status st = EMK_OK;

    if (emk_cli_option_given(j->cli, "seed"))
        st = read_hex(j->cli, "seed", seed, sizeof seed, &len);
    if (st == EMK_OK)
        st = emk_cli_crypto(j->cli, &j->crypto);
    return st == EMK_OK ? emk_sim_new(j->crypto, seed, &j->sim, &j->cli->error) : st;
}

static emk_status make_one(job *j)
{
    const char *dir = emk_cli_option_value(j->cli, "dir");
    emk_sim_evidence made = {.n = 0};
    emk_status st = read_kind(j);

    if (st == EMK_OK)
        st = read_fields(j);
    if (st == EMK_OK)
        st = read_hash(j);
    if (st == EMK_OK)
        st = read_tpm(j);
    if (st == EMK_OK)
        st = emk_cli_make_dirs(j->cli, dir);
    if (st == EMK_OK)
        st = emk_sim_make(j->sim, &j->request, &made, &j->cli->error);
    if (st == EMK_OK)
        st = write_all(j, dir, &made);
    emk_sim_evidence_done(&made);
    return st;
}

static emk_status run_simulate(emk_cli *cli)
{
    static job j;
    const char *forged = emk_cli_option_value(cli, "forged");
    emk_status st;

    j.cli = cli;
    st = open_authority(&j);
    if (st != EMK_OK)
        return st;
    if (!forged)
        st = make_one(&j);
    else if (emk_cli_option_given(cli, "kind") || cli->args.n_operands > 0)
        st = emk_cli_usage(cli, "--forged makes all kinds, and no fields are set");
    else
        st = emk_attest_forged_write(cli, j.crypto, j.sim, forged);
    emk_sim_free(j.sim);
    return st;
}

static const char *const paragraphs[] = {
    "Makes evidence as a device would send it, under a test authority of its own, with any field "
    "set: for tests of what you build on Earmark. The authority's root says SIMULATED in its name, "
    "and every verifier refuses it unless it was told otherwise (`attest verify --accept "
    "simulated`).",
    "One seed makes one authority; who knows the seed is the authority. For a TPM it makes both "
    "messages of an enrolment and the credential between them, with --secret in it; with "
    "--id-object and --enc-secret it answers the credential of a server.",
    "--forged writes some hundred proofs of all kinds, each with one defect, a right one of each "
    "kind, and a manifest.json: `attest verify --manifest DIR/manifest.json --accept "
    "simulated,testing` must refuse all that are forged, and so must any other verifier.",
    NULL};

static const emk_cli_operand operands[] = {
    {"FIELD=VALUE", EMK_CLI_WORD, "a field that is not as it should be", true},
    {0},
};

static const emk_cli_option options[] = {
    {"kind", 0, EMK_CLI_WORD, "KIND",
     "app_attest, app_attest_assertion, android_key, play_integrity, safetynet or tpm", false},
    {"nonce", 0, EMK_CLI_WORD, "HEX", "the challenge; for a TPM the binding, 32 bytes", false},
    {"seed", 0, EMK_CLI_WORD, "HEX", "32 bytes; zeros, unless told", false},
    {"dir", 0, EMK_CLI_DIR, "DIR", "where the files go", false},
    {"secret", 0, EMK_CLI_WORD, "HEX", "TPM: what the credential holds; zeros, unless told", false},
    {"id-object", 0, EMK_CLI_FILE, "FILE", "TPM: a server's credential, first part", false},
    {"enc-secret", 0, EMK_CLI_FILE, "FILE", "TPM: a server's credential, second part", false},
    {"forged", 0, EMK_CLI_DIR, "DIR", "write forged proofs of all kinds and a manifest", false},
    {0},
};

static const emk_cli_example examples[] = {
    {"Evidence that is right but for the app:", "earmark attest simulate --kind app_attest --nonce "
                                                "00112233445566778899aabbccddeeff --dir fake "
                                                "app_id=TEAM.other"},
    {"A test that a verifier refuses what it must:",
     "earmark attest simulate --forged forged && earmark attest verify --manifest "
     "forged/manifest.json --accept simulated,testing --json"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_USAGE, "an unknown field, or a value that does not fit it"},
    {EMK_E_UNSUPPORTED, "a kind that is not simulated"},
    {0},
};

const emk_cli_command EMK_CLI_ATTEST_SIMULATE = {
    .name = "attest simulate",
    .summary = "makes evidence under a test authority",
    .synopsis = "--kind KIND --nonce HEX --dir DIR [FIELD=VALUE...] | --forged DIR",
    .paragraphs = paragraphs,
    .operands = operands,
    .many_operands = true,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run_simulate,
};
