/* Where a server is: the device's file `server`, options, tokens. */
#include "cli/os_terminal.h"
#include "cli/remote.h"
#include "core/base/os_file.h"
#include "core/codec/base64url.h"

#include <stdlib.h>
#include <string.h>

#define OPERATOR_TOKEN "emko." /* how the server begins what it gives */
#define SERVICE_KEY    "emks."
#define FIRST          "earmark-server-1"
#define TEXT_MAX       8192u

typedef struct field {
    const char *name;
    size_t offset, cap;
} field;

static const field FIELDS[] = {
    {"url", offsetof(emk_cli_profile, url), EMK_CLI_URL_MAX + 1},
    {"ca", offsetof(emk_cli_profile, ca), EMK_CLI_PATH_MAX},
    {"pin", offsetof(emk_cli_profile, pin), sizeof((emk_cli_profile *)0)->pin},
    {"app", offsetof(emk_cli_profile, app), EMK_TEXT_MAX + 1},
    {"user", offsetof(emk_cli_profile, user), EMK_TEXT_MAX + 1},
    {"attestation", offsetof(emk_cli_profile, attestation),
     sizeof((emk_cli_profile *)0)->attestation},
};
#define N_FIELDS (sizeof FIELDS / sizeof FIELDS[0])

/* ---- URLs ---- */

/* This machine, by a name or number that cannot be another. */
static bool is_local(const char *host)
{
    size_t n = strcspn(host, ":");

    return (n == 9 && strncmp(host, "localhost", 9) == 0) ||
           (n == 9 && strncmp(host, "127.0.0.1", 9) == 0) || strncmp(host, "[::1]", 5) == 0;
}

/* The one form that the signature's @authority has: lower case, no default port, nothing else. */
static emk_status check_url(emk_cli *cli, char *url)
{
    bool https = strncmp(url, "https://", 8) == 0, http = strncmp(url, "http://", 7) == 0;
    char *host = url + (https ? 8 : 7);
    size_t len = strlen(url);

    if (!https && !http)
        return emk_cli_usage(cli, "--server is https://host[:port]");
    while (len > 0 && url[len - 1] == '/' && url + len > host)
        url[--len] = 0;
    for (char *p = host; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + ('a' - 'A')) : *p;
    if (!*host || strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]_") != strlen(host))
        return emk_cli_usage(cli, "--server is https://host[:port], and nothing behind it");
    if (http && !is_local(host))
        return emk_cli_usage(cli, "--server: http: is for this machine alone; use https:");
    len = strlen(host);
    if (https && len > 4 && strcmp(host + len - 4, ":443") == 0)
        host[len - 4] = 0;
    else if (http && len > 3 && strcmp(host + len - 3, ":80") == 0)
        host[len - 3] = 0;
    return EMK_OK;
}

static emk_status copy_option(emk_cli *cli, const char *name, const char *value, char *out,
                              size_t cap)
{
    if (!value)
        return EMK_OK;
    if (strlen(value) >= cap || strpbrk(value, "\r\n"))
        return emk_cli_usage(cli, "--%s: too long, or with a line break", name);
    memcpy(out, value, strlen(value) + 1);
    return EMK_OK;
}

/* Kept for later commands, which may run elsewhere. */
static emk_status absolute(emk_cli *cli, char path[EMK_CLI_PATH_MAX])
{
    char *whole;
    emk_status st = EMK_OK;

    if (!path[0])
        return EMK_OK;
    whole = realpath(path, NULL);
    if (!whole)
        return emk_cli_about(
            cli, emk_fail(&cli->error, EMK_E_NOT_FOUND, "server: certificates to trust", 0), path);
    st = copy_option(cli, "ca", whole, path, EMK_CLI_PATH_MAX);
    free(whole);
    return st;
}

emk_status emk_cli_profile_from_options(emk_cli *cli, emk_cli_profile *out)
{
    emk_cli_profile p = {.url = ""};
    const char *url = emk_cli_option_value(cli, "server");
    emk_status st;

    if (!url)
        url = getenv("EMK_SERVER");
    if (!url || !url[0])
        return emk_cli_usage(cli, "--server URL is missing: where earmarkd is");
    st = copy_option(cli, "server", url, p.url, sizeof p.url);
    if (st == EMK_OK)
        st = check_url(cli, p.url);
    if (st == EMK_OK)
        st = copy_option(cli, "ca", emk_cli_option_value(cli, "ca"), p.ca, sizeof p.ca);
    if (st == EMK_OK)
        st = absolute(cli, p.ca);
    if (st == EMK_OK)
        st = copy_option(cli, "pin", emk_cli_option_value(cli, "pin"), p.pin, sizeof p.pin);
    if (st == EMK_OK && p.pin[0] && strncmp(p.pin, "sha256//", 8) != 0)
        return emk_cli_usage(cli, "--pin is sha256// and the base64 of the key's SHA-256");
    if (st == EMK_OK)
        *out = p;
    return st;
}

/* ---- the file ---- */

static bool take_line(emk_cli_profile *p, emk_span line)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        size_t n = strlen(FIELDS[i].name);
        char *to = (char *)p + FIELDS[i].offset;

        if (line.len <= n + 1 || memcmp(line.p, FIELDS[i].name, n) != 0 || line.p[n] != ' ')
            continue;
        if (line.len - n > FIELDS[i].cap || to[0] || memchr(line.p, 0, line.len))
            return false;
        memcpy(to, line.p + n + 1, line.len - n - 1);
        return true;
    }
    return false;
}

emk_status emk_cli_profile_parse(emk_span text, emk_cli_profile *out, emk_error *e)
{
    emk_cli_profile p = {.url = ""};
    bool first = true;

    while (text.len > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.len);
        emk_span line = emk_span_of(text.p, end ? (size_t)(end - text.p) : text.len);
        bool good = first ? emk_span_equal(line, emk_span_str(FIRST)) : take_line(&p, line);

        if (!end || !good)
            return emk_fail(e, EMK_E_FORMAT, "device: its file `server` is damaged", 0);
        first = false;
        text = emk_span_of(end + 1, text.len - line.len - 1);
    }
    if (!p.url[0])
        return emk_fail(e, EMK_E_FORMAT, "device: its file `server` is damaged", 0);
    *out = p;
    return EMK_OK;
}

emk_status emk_cli_profile_read(emk_cli *cli, const char *device_dir, emk_cli_profile *out)
{
    char path[EMK_CLI_PATH_MAX];
    emk_buf text;
    emk_status st = emk_cli_join(cli, device_dir, "server", path);

    if (st != EMK_OK)
        return st;
    if (!emk_os_exists(path)) {
        st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "device: it belongs to no server", 0);
        return emk_cli_advise(cli, st, "Enrol it: earmark enrol --server URL --token FILE");
    }
    emk_buf_init(&text, TEXT_MAX);
    st = emk_os_read_file(path, TEXT_MAX, &text, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_profile_parse(emk_buf_span(&text), out, &cli->error);
    emk_buf_done(&text);
    if (st == EMK_OK)
        st = check_url(cli, out->url);
    if (st == EMK_E_FORMAT)
        st = emk_cli_advise(cli, st, "Enrol the device again: earmark enrol --server URL");
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_profile_write(emk_cli *cli, const char *device_dir,
                                 const emk_cli_profile *profile)
{
    char path[EMK_CLI_PATH_MAX], text[TEXT_MAX] = FIRST "\n";
    size_t len = sizeof FIRST;
    emk_status st = emk_cli_join(cli, device_dir, "server", path);

    for (size_t i = 0; i < N_FIELDS; i++) {
        const char *value = (const char *)profile + FIELDS[i].offset;

        if (value[0])
            len +=
                (size_t)snprintf(text + len, sizeof text - len, "%s %s\n", FIELDS[i].name, value);
    }
    return st == EMK_OK ? emk_cli_write_output(cli, path, emk_span_of(text, len)) : st;
}

/* ---- tokens ---- */

/* Without the line end that files have; nothing that could end a header line. */
static emk_status make_bearer(emk_cli *cli, emk_span text, emk_secret **out)
{
    emk_status st;

    while (text.len > 0 && (text.p[text.len - 1] == '\n' || text.p[text.len - 1] == '\r'))
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] <= 0x20 || text.p[i] >= 0x7f)
            return emk_fail(&cli->error, EMK_E_FORMAT, "token: not one word", i);
    }
    if (text.len == 0 || text.len > EMK_CLI_TOKEN_MAX)
        return emk_fail(&cli->error, EMK_E_FORMAT, "token: empty, or too long", text.len);
    st = emk_secret_new(text.len, out, &cli->error);
    if (st == EMK_OK)
        memcpy(emk_secret_bytes(*out), text.p, text.len);
    return st;
}

static emk_status read_bearer_file(emk_cli *cli, const char *path, emk_secret **out)
{
    emk_secret *text = NULL;
    emk_status st;

    if (strcmp(path, "-") == 0)
        st = emk_cli_read_secret_fd(0, EMK_CLI_TOKEN_MAX, &text, &cli->error);
    else
        st = emk_os_read_secret(path, EMK_CLI_TOKEN_MAX + 2, &text, &cli->error);
    if (st == EMK_OK)
        st = make_bearer(cli, emk_secret_span(text), out);
    emk_secret_free(text);
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_bearer_read(emk_cli *cli, const emk_cli_bearer *in, emk_secret **out)
{
    const char *path = emk_cli_option_value(cli, in->option), *value = getenv(in->env);
    emk_status st;

    *out = NULL;
    if (path)
        return read_bearer_file(cli, path, out);
    if (value && value[0])
        return emk_cli_about(cli, make_bearer(cli, emk_span_str(value), out), in->env);
    if (!in->must)
        return EMK_OK;
    st = emk_fail(&cli->error, EMK_E_NOT_FOUND, in->what, 0);
    return emk_cli_advise(cli, st, "Give it with --%s FILE or in %s.", in->option, in->env);
}

emk_status emk_cli_user_token(emk_cli *cli, bool must, emk_secret **out)
{
    const emk_cli_bearer in = {"token", "EMK_TOKEN", "token: the user's is needed here", must};

    return emk_cli_bearer_read(cli, &in, out);
}

static bool token_begins(const emk_secret *token, const char *prefix)
{
    emk_span text = token ? emk_secret_span(token) : emk_span_of(NULL, 0);
    size_t n = strlen(prefix);

    return text.len > n && memcmp(text.p, prefix, n) == 0;
}

bool emk_cli_token_is_operator(const emk_secret *token)
{
    return token_begins(token, OPERATOR_TOKEN);
}

emk_status emk_cli_token_must_be_user(emk_cli *cli, const emk_secret *token)
{
    bool given = emk_cli_option_value(cli, "token") != NULL;
    bool operators = emk_cli_token_is_operator(token);
    emk_status st;

    if (!operators && !token_begins(token, SERVICE_KEY))
        return EMK_OK;
    st = emk_fail(&cli->error, EMK_E_USAGE,
                  operators ? "token: an operator's session, here a user's is asked for"
                            : "token: a service key, here a user's token is asked for",
                  0);
    st = emk_cli_advise(cli, st, "A user's token is the JWT of their login: %s.",
                        given ? "give that with --token FILE, or none"
                              : "give it with --token FILE, or unset EMK_TOKEN");
    return emk_cli_about(cli, st, given ? emk_cli_option_value(cli, "token") : "EMK_TOKEN");
}

emk_status emk_cli_token_user(emk_cli *cli, const emk_secret *token, char out[EMK_TEXT_MAX + 1])
{
    emk_span text = emk_secret_span(token), claims;
    const uint8_t *dot = memchr(text.p, '.', text.len), *end;
    uint8_t json[EMK_CLI_TOKEN_MAX];
    const emk_dom *dom = NULL, *sub;
    emk_arena arena;
    size_t len = 0;
    emk_status st = EMK_E_FORMAT;

    emk_arena_init(&arena, 1u << 20);
    end = dot ? memchr(dot + 1, '.', text.len - (size_t)(dot + 1 - text.p)) : NULL;
    if (end) {
        claims = emk_span_of(dot + 1, (size_t)(end - dot - 1));
        st = emk_base64url_decode(claims, json, sizeof json, &len, NULL);
    }
    if (st == EMK_OK)
        st = emk_dom_parse(&arena, emk_span_of(json, len), &dom, NULL);
    sub = st == EMK_OK ? emk_dom_get_kind(dom, "sub", EMK_DOM_STRING) : NULL;
    st = sub && sub->text.len > 0 && sub->text.len <= EMK_TEXT_MAX
             ? EMK_OK
             : emk_fail(&cli->error, EMK_E_FORMAT, "token: it names no user", 0);
    if (st == EMK_OK) {
        memcpy(out, sub->text.p, sub->text.len);
        out[sub->text.len] = 0;
    }
    emk_arena_reset(&arena);
    return emk_cli_advise(cli, st, "A user's token is a JWT; or name the user with --user.");
}
