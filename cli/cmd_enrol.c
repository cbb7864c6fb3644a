/* enrol: a device belongs to a server from here on, or shows again what it is. */
#include "cli/commands.h"
#include "cli/keystore_options.h"
#include "cli/os_machine.h"
#include "cli/remote.h"
#include "cli/tpm_evidence.h"
#include "core/base/os_file.h"
#include "core/codec/base64url.h"

#include <string.h>

#define WELL_KNOWN "/.well-known/earmark"

typedef struct enrolling {
    emk_cli_profile profile;
    emk_cli_device device;
    emk_cli_remote remote;
    emk_secret *token;
    emk_cli_public issuer; /* as the server says */
    bool made;             /* the device is new */
    bool refresh;          /* no token: the device's own signature */
    emk_buf challenge, certificate;
    char platform[EMK_TEXT_MAX];
} enrolling;

/* ---- the server, and whom the device trusts ---- */

static emk_status ask_server(emk_cli *cli, enrolling *x)
{
    const emk_cli_call call = {.method = "GET", .path = WELL_KNOWN};
    emk_cli_remote anyone;
    emk_cli_answer a;
    emk_buf key;
    emk_status st = emk_cli_remote_open(cli, &x->profile, NULL, &anyone);

    if (st != EMK_OK)
        return st;
    emk_buf_init(&key, EMK_CLI_ANSWER_MAX);
    st = emk_cli_remote_call(cli, &anyone, &call, &a);
    if (st == EMK_OK)
        st = emk_cli_member_bytes(cli, emk_dom_get(a.json, "issuer"), "public_key", &key);
    if (st == EMK_OK && key.len != 32 && key.len != 65)
        st = emk_fail(&cli->error, EMK_E_FORMAT, "server: its issuer's key", key.len);
    if (st == EMK_OK) {
        memcpy(x->issuer.bytes, key.p, key.len);
        x->issuer.len = key.len;
    }
    emk_buf_done(&key);
    emk_cli_answer_done(&a);
    if (st == EMK_E_FORMAT)
        st = emk_cli_advise(cli, st, "Is it earmarkd that answers there?");
    return emk_cli_about(cli, st, x->profile.url);
}

/* What is pinned must be what the server signs with. */
static emk_status compare(emk_cli *cli, const enrolling *x, const char *path)
{
    emk_cli_public pinned = {.len = 0};
    emk_status st = emk_cli_public_read(cli, path, &pinned);

    if (st == EMK_OK &&
        (pinned.len != x->issuer.len || memcmp(pinned.bytes, x->issuer.bytes, pinned.len) != 0)) {
        st = emk_fail(&cli->error, EMK_E_SIGNATURE, "enrol: the server is another issuer's", 0);
        st = emk_cli_advise(cli, st,
                            "This device trusts one issuer for good: make another device for this "
                            "server (--device DIR), or see that the URL is right.");
    }
    return emk_cli_about(cli, st, path);
}

static bool knows_server(const enrolling *x)
{
    return emk_client_knows_key(x->device.client, emk_span_of(x->issuer.bytes, x->issuer.len));
}

static emk_status choose_keys(emk_cli *cli, emk_cli_keys *keys)
{
    const char *kind = emk_cli_option_value(cli, "keystore");
    const char *tcti = emk_cli_option_value(cli, "tcti");
    const emk_cli_holder *holder = emk_cli_holder_find(kind ? kind : "soft");
    const emk_crypto *c = NULL;
    emk_status st = emk_cli_crypto(cli, &c);

    if (!holder || strcmp(holder->name, "pkcs11") == 0)
        return emk_cli_usage(cli, "--keystore is soft or tpm2; others with `earmark device init`, "
                                  "then this again");
    if (tcti && (strcmp(holder->name, "tpm2") != 0 || strlen(tcti) > EMK_TPM2_TCTI_MAX))
        return emk_cli_usage(cli, "--tcti goes with --keystore tpm2");
    if (st == EMK_OK)
        st = emk_cli_holder_check(cli, holder);
    (void)snprintf(keys->config.kind, sizeof keys->config.kind, "%s", holder->name);
    if (tcti)
        (void)snprintf(keys->config.tcti, sizeof keys->config.tcti, "%s", tcti);
    keys->post_quantum = st == EMK_OK && !tcti && strcmp(holder->name, "soft") == 0 &&
                         emk_kem_is_supported(c, EMK_KEM_MLKEM768_P256);
    return st;
}

static emk_status make_device(emk_cli *cli, enrolling *x, const char *dir)
{
    const char *issuer = emk_cli_option_value(cli, "issuer");
    emk_cli_keys keys = {.post_quantum = false};
    const emk_cli_device_new in = {.dir = dir, .issuer = &x->issuer, .keys = &keys};
    emk_status st = choose_keys(cli, &keys);

    if (st == EMK_OK && issuer)
        st = compare(cli, x, issuer);
    if (st == EMK_OK)
        st = emk_cli_device_make(cli, &in, &x->device);
    if (st == EMK_OK) /* what fails from here on, the next enrol goes on with */
        st = emk_cli_device_made(cli, &x->device);
    if (st == EMK_OK && !issuer)
        emk_cli_remark(cli, "the issuer's key is the one that %s gave; to pin it: --issuer FILE",
                       x->profile.url);
    x->made = st == EMK_OK;
    return st;
}

static emk_status open_device(emk_cli *cli, enrolling *x)
{
    char dir[EMK_CLI_PATH_MAX], keys[EMK_CLI_PATH_MAX], pinned[EMK_CLI_PATH_MAX];
    bool given = emk_cli_option_given(cli, "server");
    emk_status st = emk_cli_home(cli, "device", dir);
    bool there;

    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "keys", keys);
    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "server", pinned);
    if (st != EMK_OK)
        return st;
    there = emk_os_exists(keys);
    if (!given && there && emk_os_exists(pinned))
        st = emk_cli_profile_read(cli, dir, &x->profile);
    else
        st = emk_cli_profile_from_options(cli, &x->profile);
    if (st == EMK_OK)
        st = ask_server(cli, x);
    if (st == EMK_OK && !there)
        return make_device(cli, x, dir);
    if (st == EMK_OK)
        st = emk_cli_device_open(cli, &x->device);
    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, "issuer.pub", pinned);
    if (st != EMK_OK || knows_server(x))
        return st;
    st = emk_cli_issuer_learn(cli, &x->profile, &x->device); /* the issuer may have a newer key */
    return st == EMK_OK && !knows_server(x) ? compare(cli, x, pinned) : st;
}

/* ---- who asks ---- */

static emk_status find_user(emk_cli *cli, enrolling *x)
{
    const char *user = emk_cli_option_value(cli, "user");
    char dir[EMK_CLI_PATH_MAX];
    emk_status st = emk_cli_join(cli, x->device.dir, "server", dir);

    if (st == EMK_OK)
        st = emk_cli_user_token(cli, x->made || !emk_os_exists(dir), &x->token);
    if (st != EMK_OK)
        return st;
    x->refresh = x->token == NULL;
    if (emk_cli_token_is_operator(x->token) != (user != NULL))
        return emk_cli_usage(cli, user ? "--user goes with an operator's token"
                                       : "an operator's token needs --user NAME");
    if (user && strlen(user) > EMK_TEXT_MAX)
        return emk_cli_usage(cli, "--user: too long");
    if (user)
        (void)snprintf(x->profile.user, sizeof x->profile.user, "%s", user);
    else if (x->token)
        st = emk_cli_token_user(cli, x->token, x->profile.user);
    return st;
}

/* ---- enrolling ---- */

static emk_status get_challenge(emk_cli *cli, enrolling *x)
{
    const emk_cli_call call = {
        .method = "POST", .path = "/v1/challenges", .body = emk_span_str("{}"), .again = true};
    emk_cli_answer a;
    emk_status st = emk_cli_remote_call(cli, &x->remote, &call, &a);

    if (st == EMK_OK)
        st = emk_cli_member_bytes(cli, a.json, "challenge", &x->challenge);
    emk_cli_answer_done(&a);
    return st;
}

static emk_status put_enrolment(emk_cli *cli, enrolling *x, emk_cli_json *j)
{
    emk_buf message;
    emk_status st;

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    st = emk_client_enrolment(x->device.client, emk_span_str(x->platform), &message, &cli->error);
    if (st == EMK_OK)
        emk_cli_json_bytes(j, "enrolment", emk_buf_span(&message));
    emk_buf_done(&message);
    return st;
}

/* One step: the same body but for what is shown.  An answer without certificate is a TPM's task. */
static emk_status send_step(emk_cli *cli, enrolling *x, const emk_cli_evidence *shown,
                            emk_cli_answer *a)
{
    char path[128] = "/v1/devices", id[EMK_BASE64URL_CHARS(EMK_DEVICE_ID_LEN) + 1], once[33];
    emk_cli_call call = {
        .method = "POST", .path = path, .bearer = x->token, .sign = x->refresh, .once = once};
    emk_cli_json j;
    size_t len;
    emk_status st = emk_cli_once_make(cli, once);

    emk_cli_json_begin(&j);
    emk_cli_json_bytes(&j, "challenge", emk_buf_span(&x->challenge));
    if (st == EMK_OK && !x->refresh)
        st = put_enrolment(cli, x, &j);
    emk_cli_evidence_put(shown, &j);
    if (emk_cli_token_is_operator(x->token))
        emk_cli_json_text(&j, "user", emk_span_str(x->profile.user));
    if (st == EMK_OK && x->refresh)
        st = emk_base64url_encode(
            emk_span_of(emk_client_device_id(x->device.client), EMK_DEVICE_ID_LEN), id, sizeof id,
            &len, &cli->error);
    if (x->refresh) {
        (void)snprintf(path, sizeof path, "/v1/devices/%s/attestations", id);
        call.once = NULL;
    }
    if (st == EMK_OK)
        st = emk_cli_json_end(cli, &j, &call.body);
    if (st == EMK_OK)
        st = emk_cli_remote_call(cli, &x->remote, &call, a);
    emk_cli_json_done(&j);
    return st;
}

static emk_status take_certificate(emk_cli *cli, enrolling *x, const emk_cli_answer *a)
{
    uint64_t not_after = 0, level = 0;
    emk_status st = emk_cli_member_bytes(cli, a->json, "certificate", &x->certificate);

    if (st == EMK_OK)
        st = emk_client_set_certificate(x->device.client, emk_buf_span(&x->certificate),
                                        &cli->error);
    if (st == EMK_E_POLICY)
        st = emk_cli_advise(cli, st,
                            "The server and this machine do not agree on the time: set "
                            "this machine's clock.");
    if (st == EMK_OK)
        st = emk_cli_profile_write(cli, x->device.dir, &x->profile);
    if (st != EMK_OK)
        return st;
    (void)emk_dom_u64(emk_dom_get(a->json, "not_after"), &not_after);
    (void)emk_dom_u64(emk_dom_get(a->json, "attestation_level"), &level);
    emk_cli_put_string(&cli->out, "device", x->device.dir);
    emk_cli_put_string(&cli->out, "server", x->profile.url);
    if (x->profile.user[0])
        emk_cli_put_string(&cli->out, "user", x->profile.user);
    emk_cli_put_hex(&cli->out, "device_id",
                    emk_span_of(emk_client_device_id(x->device.client), EMK_DEVICE_ID_LEN));
    emk_cli_put_string(&cli->out, "keys", emk_keystore_describe(&x->device.keystore));
    emk_cli_put_number(&cli->out, "attestation_level", level);
    emk_cli_put_time(&cli->out, "not_after", not_after);
    emk_cli_next(cli, ": earmark fetch MODEL");
    return EMK_OK;
}

static emk_status show(emk_cli *cli, enrolling *x)
{
    emk_cli_evidence_in in = {
        .device = &x->device, .kind = x->profile.attestation, .app = x->profile.app};
    emk_cli_evidence shown;
    emk_cli_answer a;
    emk_status st = get_challenge(cli, x);

    if (st != EMK_OK)
        return st;
    in.challenge = emk_buf_span(&x->challenge);
    st = emk_cli_evidence_begin(cli, &in, &shown);
    if (st == EMK_OK) {
        st = send_step(cli, x, &shown, &a);
        if (st == EMK_OK && emk_dom_get(a.json, "credential")) {
            st = emk_cli_evidence_go_on(cli, &in, emk_dom_get(a.json, "credential"), &shown);
            emk_cli_answer_done(&a);
            if (st == EMK_OK)
                st = send_step(cli, x, &shown, &a);
        }
        if (st == EMK_OK)
            st = take_certificate(cli, x, &a);
        emk_cli_answer_done(&a);
    }
    emk_cli_evidence_done(&shown);
    return st;
}

static emk_status take_options(emk_cli *cli, enrolling *x)
{
    const char *app = emk_cli_option_value(cli, "app");
    const char *kind = emk_cli_option_value(cli, "attestation");

    if (app && (strlen(app) > EMK_TEXT_MAX || strpbrk(app, "\r\n")))
        return emk_cli_usage(cli, "--app: too long, or with a line break");
    if (app)
        (void)snprintf(x->profile.app, sizeof x->profile.app, "%s", app);
    if (kind || !x->profile.attestation[0])
        (void)snprintf(x->profile.attestation, sizeof x->profile.attestation, "%s",
                       kind ? kind : "none");
    return EMK_OK;
}

static emk_status run(emk_cli *cli)
{
    enrolling x = {.made = false};
    char system[64];
    emk_status st = open_device(cli, &x);

    emk_buf_init(&x.challenge, 1024);
    emk_buf_init(&x.certificate, EMK_MESSAGE_MAX);
    if (st == EMK_OK)
        st = take_options(cli, &x);
    if (st == EMK_OK)
        st = find_user(cli, &x);
    if (st == EMK_OK)
        st = emk_cli_remote_open(cli, &x.profile, &x.device, &x.remote);
    if (st == EMK_OK) {
        emk_cli_system_name(system, sizeof system);
        (void)snprintf(x.platform, sizeof x.platform, "%s, %.40s keys", system,
                       emk_keystore_name(&x.device.keystore));
        st = show(cli, &x);
    }
    emk_buf_done(&x.challenge);
    emk_buf_done(&x.certificate);
    emk_secret_free(x.token);
    emk_cli_device_close(&x.device);
    return st;
}

static const char *const paragraphs[] = {
    "Makes a device known to a server, for the user whose token is given, and gets its "
    "certificate. "
    "Makes the device first where there is none; its issuer is the server's, and is trusted for "
    "good: name its key with --issuer where the way to the server is not trusted.",
    "Again without a token it shows once more what the device is and gets a newer certificate.",
    "--attestation tpm proves with the TPM that holds the device's keys that they cannot leave it; "
    "the server must know the TPM's maker, and the app by its --app name.",
    NULL};

static const emk_cli_option options[] = {
    EMK_CLI_OPTION_SERVER,
    EMK_CLI_OPTION_CA,
    EMK_CLI_OPTION_PIN,
    EMK_CLI_OPTION_USER_TOKEN,
    {"user", 0, EMK_CLI_WORD, "NAME", "with an operator's token: whose device it is", false},
    {"attestation", 0, EMK_CLI_WORD, "KIND",
     "what the device shows: none or tpm; default: as before, or none", false},
    {"app", 0, EMK_CLI_WORD, "NAME", "which app this is, as the server knows it", false},
    {"issuer", 0, EMK_CLI_FILE, "FILE", "for a new device: the issuer's public key, to be compared",
     false},
    {"keystore", 0, EMK_CLI_WORD, "KIND", "for a new device: soft (default) or tpm2", false},
    EMK_CLI_OPTION_TCTI,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example examples[] = {
    {"For the user whose token is in a file:",
     "earmark enrol --server https://models.example.com --token alice.jwt"},
    {"A newer certificate:", "earmark enrol"},
    {"Keys in the TPM, and shown to be there:",
     "earmark enrol --token alice.jwt --keystore tpm2 --attestation tpm --app com.example.ears"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_SIGNATURE, "the token is not taken, or the server is not the expected one"},
    {EMK_E_POLICY, "the server refuses this device, user or attestation"},
    {EMK_E_USED, "the device is another user's, or was revoked"},
    {EMK_E_BUSY, "the server asks to wait"},
    {EMK_E_IO, "the server cannot be reached"},
    {0},
};

const emk_cli_command EMK_CLI_ENROL = {
    .name = "enrol",
    .summary = "makes a device known to a server",
    .synopsis = "--server URL --token FILE [--attestation none|tpm] [--keystore soft|tpm2]",
    .paragraphs = paragraphs,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
