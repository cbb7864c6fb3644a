/* publish: a model into the server's catalogue. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/remote.h"
#include "cli/text.h"
#include "core/base/os_file.h"

#include <string.h>

#define QUERY_MAX 1024u

/* ---- name:version ---- */

static emk_status split(emk_cli *cli, const char *text, char name[EMK_TEXT_MAX + 1],
                        char version[EMK_TEXT_MAX + 1])
{
    static const char SAFE[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;

    if (n == 0 || !colon[1] || n > EMK_TEXT_MAX || strlen(colon + 1) > EMK_TEXT_MAX ||
        strspn(text, SAFE) != n || strspn(colon + 1, SAFE) != strlen(colon + 1))
        return emk_cli_usage(cli, "it is NAME:VERSION, of letters, digits and - . _ ~");
    (void)snprintf(name, EMK_TEXT_MAX + 1, "%.*s", (int)n, text);
    (void)snprintf(version, EMK_TEXT_MAX + 1, "%s", colon + 1);
    return EMK_OK;
}

/* ---- the policy ---- */

typedef enum kind { NUMBER, DURATION, TEXT, FLAG } kind;

typedef struct setting {
    const char *option, *parameter;
    kind kind;
} setting;

static const setting SETTINGS[] = {
    {"expires", "life_s", DURATION},
    {"max-opens", "max_opens", NUMBER},
    {"lease", "lease_s", DURATION},
    {"grace", "grace_s", DURATION},
    {"renew", "renewal_delay_s", DURATION},
    {"min-guard", "min_guard", NUMBER},
    {"min-level", "min_level", NUMBER},
    {"release", "release", NUMBER},
    {"cost", "cost", NUMBER},
    {"plans", "plans", TEXT},
    {"as-bytes", "bytes", FLAG},
    {"decoy", "decoy", FLAG},
};

static emk_status put_setting(emk_cli *cli, const setting *s, char *query)
{
    const char *value = emk_cli_option_value(cli, s->option);
    size_t len = strlen(query);
    uint64_t number = 1;
    emk_status st = EMK_OK;

    if (!emk_cli_option_given(cli, s->option))
        return EMK_OK;
    if (s->kind == NUMBER)
        st = emk_cli_parse_number(value, &number, &cli->error);
    else if (s->kind == DURATION)
        st = emk_cli_parse_duration(value, &number, &cli->error);
    if (st != EMK_OK)
        return emk_cli_usage(cli, "--%s: %s", s->option, s->kind == NUMBER ? "a number" : "as 30d");
    if (s->kind == TEXT && (strlen(value) > EMK_TEXT_MAX ||
                            strspn(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                          "0123456789-._,") != strlen(value)))
        return emk_cli_usage(cli, "--%s: words with commas between them", s->option);
    if (s->kind == TEXT)
        (void)snprintf(query + len, QUERY_MAX - len, "&%s=%s", s->parameter, value);
    else
        (void)snprintf(query + len, QUERY_MAX - len, "&%s=%llu", s->parameter,
                       (unsigned long long)number);
    return EMK_OK;
}

/* Some formats are known by their names' ends; a name that would have to be escaped stays here. */
static void put_file_name(const char *path, char *query)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t len = strlen(query);

    if (name[0] && strlen(name) <= EMK_TEXT_MAX &&
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") ==
            strlen(name))
        (void)snprintf(query + len, QUERY_MAX - len, "&file=%s", name);
}

static emk_status make_path(emk_cli *cli, const char *file, char *path, size_t cap)
{
    char name[EMK_TEXT_MAX + 1], version[EMK_TEXT_MAX + 1], query[QUERY_MAX] = "";
    emk_status st = split(cli, emk_cli_operand_at(cli, 1), name, version);

    for (size_t i = 0; st == EMK_OK && i < sizeof SETTINGS / sizeof SETTINGS[0]; i++)
        st = put_setting(cli, &SETTINGS[i], query);
    if (st != EMK_OK)
        return st;
    put_file_name(file, query);
    (void)snprintf(path, cap, "/v1/models/%s/%s%s%s", name, version, query[0] ? "?" : "",
                   query[0] ? query + 1 : "");
    return EMK_OK;
}

/* ---- the upload ---- */

typedef struct upload {
    int fd;
    uint64_t at, len;
    emk_cli_progress bar;
} upload;

static emk_status read_part(void *self, uint8_t *out, size_t cap, size_t *len, emk_error *e)
{
    upload *u = self;
    size_t n = u->len - u->at < cap ? (size_t)(u->len - u->at) : cap;
    emk_status st = n > 0 ? emk_os_read_at(u->fd, u->at, out, n, e) : EMK_OK;

    if (st != EMK_OK)
        return st;
    u->at += n;
    *len = n;
    return EMK_OK;
}

static emk_status start_again(void *self, emk_error *e)
{
    upload *u = self;

    (void)e;
    u->at = 0;
    return EMK_OK;
}

static bool show_progress(void *self, uint64_t done, uint64_t all)
{
    upload *u = self;

    if (u->bar.call.fn)
        u->bar.call.fn(u->bar.call.self, done, all ? all : u->len);
    return true;
}

static emk_status send(emk_cli *cli, const emk_cli_remote *r, const emk_secret *key, upload *u)
{
    char path[QUERY_MAX + 512];
    emk_cli_call call = {.method = "PUT",
                         .path = path,
                         .read = read_part,
                         .rewind = start_again,
                         .read_self = u,
                         .body_len = u->len,
                         .progress = show_progress,
                         .progress_self = u,
                         .bearer = key,
                         .again = true};
    emk_cli_answer a;
    uint64_t tensors = 0;
    const emk_dom *format;
    emk_status st = make_path(cli, emk_cli_operand_at(cli, 0), path, sizeof path);

    if (st != EMK_OK)
        return st;
    emk_cli_progress_init(&u->bar, cli, "publishing");
    st = emk_cli_remote_call(cli, r, &call, &a);
    emk_cli_progress_done(&u->bar);
    if (st == EMK_OK) {
        format = emk_dom_get_kind(a.json, "format", EMK_DOM_STRING);
        emk_cli_put_string(&cli->out, "model", emk_cli_operand_at(cli, 1));
        if (format)
            emk_cli_put_text(&cli->out, "format", format->text);
        if (emk_dom_u64(emk_dom_get(a.json, "n_tensors"), &tensors))
            emk_cli_put_number(&cli->out, "tensors", tensors);
        emk_cli_put_size(&cli->out, "size", u->len);
        emk_cli_next(cli, ", on a device: earmark fetch %s", emk_cli_operand_at(cli, 1));
    }
    emk_cli_answer_done(&a);
    return st;
}

static emk_status run(emk_cli *cli)
{
    const emk_cli_bearer bearer = {"key", "EMK_SERVICE_KEY", "publish: a service key is needed",
                                   true};
    const char *path = emk_cli_operand_at(cli, 0);
    emk_cli_profile profile;
    emk_cli_remote remote;
    emk_secret *key = NULL;
    upload u = {.fd = -1};
    emk_status st = emk_cli_profile_from_options(cli, &profile);

    if (st == EMK_OK)
        st = emk_cli_bearer_read(cli, &bearer, &key);
    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_os_open_read(path, &u.fd, &cli->error), path);
    if (st == EMK_OK)
        st = emk_os_file_size(u.fd, &u.len, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_remote_open(cli, &profile, NULL, &remote);
    if (st == EMK_OK)
        st = send(cli, &remote, key, &u);
    emk_secret_free(key);
    emk_os_close(u.fd);
    return st;
}

static const char *const paragraphs[] = {
    "Puts a version of a model into the server's catalogue, from where devices fetch it, with the "
    "policy that its tickets have. It is stored encrypted; its bytes are never in a device's "
    "answer but sealed. A version never changes: publish another one.",
    "The key is a service key with the scope `publish`, or an operator's token.", NULL};

static const emk_cli_operand operands[] = {
    {"FILE", EMK_CLI_FILE, "the model", false},
    {"NAME:VERSION", EMK_CLI_WORD, "what it is called", false},
    {0},
};

static const emk_cli_option options[] = {
    EMK_CLI_OPTION_SERVER,
    EMK_CLI_OPTION_CA,
    EMK_CLI_OPTION_PIN,
    EMK_CLI_OPTION_SERVICE_KEY,
    {"expires", 0, EMK_CLI_WORD, "TIME", "how long a device may use it (30d)", false},
    {"max-opens", 0, EMK_CLI_WORD, "N", "how often it may be opened; default: any number", false},
    {"lease", 0, EMK_CLI_WORD, "TIME", "devices must ask again after this long", false},
    {"grace", 0, EMK_CLI_WORD, "TIME", "with --lease: and this much longer without a network",
     false},
    {"renew", 0, EMK_CLI_WORD, "TIME", "with --lease: ask this long after each one", false},
    {"min-guard", 0, EMK_CLI_WORD, "N", "least level of the device's guard, 0 to 3", false},
    {"min-level", 0, EMK_CLI_WORD, "N", "least level of attestation, 0 to 3", false},
    {"release", 0, EMK_CLI_WORD, "N", "a device never goes back below the highest it had", false},
    {"cost", 0, EMK_CLI_WORD, "N", "units of the user's limit that one delivery takes", false},
    {"plans", 0, EMK_CLI_WORD, "LIST", "who may have it, as pro,team; default: everybody", false},
    {"as-bytes", 0, EMK_CLI_FLAG, NULL, "do not look inside for tensors", false},
    {"decoy", 0, EMK_CLI_FLAG, NULL, "in no list: who asks for it is looking around", false},
    {0},
};

static const emk_cli_example examples[] = {
    {"A model for everybody:", "earmark publish ears.tflite cat-ears:1 --key publish.key"},
    {"Renewed every hour:", "earmark publish ears.tflite cat-ears:2 --lease 1h --grace 1d"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_SIGNATURE, "the service key is not taken"},
    {EMK_E_POLICY, "the key may not publish"},
    {EMK_E_USED, "there is such a version, and it is another"},
    {EMK_E_LIMIT, "it is larger than the server takes"},
    {EMK_E_FORMAT, "the server cannot read this format: --as-bytes"},
    {0},
};

const emk_cli_command EMK_CLI_PUBLISH = {
    .name = "publish",
    .summary = "puts a model into the server's catalogue",
    .synopsis = "FILE NAME:VERSION --server URL --key FILE [policy options]",
    .paragraphs = paragraphs,
    .operands = operands,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
