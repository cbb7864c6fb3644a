#include "cli/admin.h"

#include "cli/os_files.h"
#include "cli/os_terminal.h"
#include "cli/text.h"
#include "core/base/alloc.h"
#include "core/base/os_file.h"

#include <stdlib.h>
#include <string.h>

#define FIRST        "earmark-operator-1"
#define FILE_TEXT    8192u
#define SHOW_DEPTH   6u
#define COLUMN_MAX   44u
#define COLUMNS_MAX  12u
#define PASSWORD_MAX 256u

/* ---- JSON, piece by piece ---- */

void emk_cli_piece_raw(emk_cli_pieces *p, const char *text)
{
    if (p->status == EMK_OK)
        p->status = emk_buf_append(&p->text, emk_span_str(text), NULL);
}

void emk_cli_piece_text(emk_cli_pieces *p, emk_span text)
{
    emk_cli_piece_raw(p, "\"");
    for (size_t i = 0; i < text.len && p->status == EMK_OK; i++) {
        uint8_t c = text.p[i];
        char escaped[8];

        if (c >= 0x20 && c != '"' && c != '\\') {
            p->status = emk_buf_append(&p->text, emk_span_of(&c, 1), NULL);
            continue;
        }
        (void)snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)c);
        emk_cli_piece_raw(p, escaped);
    }
    emk_cli_piece_raw(p, "\"");
}

/* ---- the kept session ---- */

static emk_status session_path(emk_cli *cli, bool make, char out[EMK_CLI_PATH_MAX])
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char dir[EMK_CLI_PATH_MAX];
    emk_status st;
    int n;

    if (config && config[0] == '/')
        n = snprintf(dir, sizeof dir, "%s/earmark", config);
    else if (home && home[0])
        n = snprintf(dir, sizeof dir, "%s/.config/earmark", home);
    else
        return emk_cli_usage(cli, "no home directory: give the session with --token FILE");
    if (n < 0 || (size_t)n >= sizeof dir - 64)
        return emk_cli_usage(cli, "the path of the home directory is too long");
    st = make ? emk_cli_make_dirs(cli, dir) : EMK_OK;
    return st == EMK_OK ? emk_cli_join(cli, dir, "operator", out) : st;
}

static emk_status keep(emk_cli *cli, const emk_cli_admin *a)
{
    emk_span token = emk_secret_span(a->token);
    char path[EMK_CLI_PATH_MAX];
    emk_secret *text = NULL;
    size_t cap = FILE_TEXT + token.len;
    emk_status st = session_path(cli, true, path);
    int n;

    if (st == EMK_OK)
        st = emk_secret_new(cap, &text, &cli->error);
    if (st != EMK_OK)
        return st;
    n = snprintf((char *)emk_secret_bytes(text), cap, FIRST "\nurl %s\nca %s\npin %s\ntoken %.*s\n",
                 a->profile.url, a->profile.ca, a->profile.pin, (int)token.len,
                 (const char *)token.p);
    if (n < 0 || (size_t)n >= cap)
        st = emk_fail(&cli->error, EMK_E_LIMIT, "session: too long to keep", cap);
    else
        st = emk_os_write_file(path, emk_span_of(emk_secret_span(text).p, (size_t)n), &cli->error);
    emk_secret_free(text);
    return emk_cli_about(cli, st, path);
}

emk_status emk_cli_admin_forget(emk_cli *cli)
{
    char path[EMK_CLI_PATH_MAX];
    emk_status st = session_path(cli, false, path);

    if (st == EMK_OK && emk_os_exists(path))
        st = emk_os_discard(path, &cli->error);
    return st;
}

/* "name value" lines; a value that does not fit is none. */
static void take_line(emk_span line, const char *name, char *out, size_t cap)
{
    size_t n = strlen(name);

    if (line.len <= n + 1 || memcmp(line.p, name, n) != 0 || line.p[n] != ' ')
        return;
    if (line.len - n - 1 < cap) {
        memcpy(out, line.p + n + 1, line.len - n - 1);
        out[line.len - n - 1] = 0;
    }
}

static void parse_kept(emk_span text, emk_cli_profile *p, char *token, size_t cap)
{
    while (text.len > 0) {
        const uint8_t *end = memchr(text.p, '\n', text.len);
        size_t len = end ? (size_t)(end - text.p) : text.len;
        emk_span line = emk_span_of(text.p, len);

        take_line(line, "url", p->url, sizeof p->url);
        take_line(line, "ca", p->ca, sizeof p->ca);
        take_line(line, "pin", p->pin, sizeof p->pin);
        take_line(line, "token", token, cap);
        text = emk_span_of(text.p + len + (end != NULL), text.len - len - (end != NULL));
    }
}

static emk_status set_token(emk_cli *cli, emk_cli_admin *a, emk_span token)
{
    emk_secret *fresh = NULL;
    emk_status st = emk_secret_new(token.len, &fresh, &cli->error);

    if (st != EMK_OK)
        return st;
    memcpy(emk_secret_bytes(fresh), token.p, token.len);
    emk_secret_free(a->token);
    a->token = fresh;
    return EMK_OK;
}

/* Fills what neither options nor the environment said. */
static emk_status read_kept(emk_cli *cli, emk_cli_admin *a, bool want_url)
{
    char path[EMK_CLI_PATH_MAX], token[EMK_CLI_TOKEN_MAX] = "";
    emk_cli_profile kept = {.url = ""};
    emk_secret *text = NULL;
    emk_status st = session_path(cli, false, path);

    if (st != EMK_OK || !emk_os_exists(path))
        return EMK_OK;
    if (!emk_cli_is_private(path))
        return emk_cli_about(
            cli, emk_fail(&cli->error, EMK_E_USAGE, "session: others may read the file", 0), path);
    st = emk_os_read_secret(path, (size_t)FILE_TEXT * 2, &text, &cli->error);
    if (st != EMK_OK)
        return emk_cli_about(cli, st, path);
    parse_kept(emk_secret_span(text), &kept, token, sizeof token);
    emk_secret_free(text);
    if (want_url)
        a->profile = kept;
    /* A session is shown to the server that gave it, and to no other. */
    if (!a->token && token[0] && strcmp(a->profile.url, kept.url) == 0)
        st = set_token(cli, a, emk_span_str(token));
    emk_wipe(token, sizeof token);
    return st;
}

static bool names_server(const emk_cli *cli)
{
    const char *env = getenv("EMK_SERVER");

    return emk_cli_option_value(cli, "server") || (env && env[0]);
}

emk_status emk_cli_admin_open(emk_cli *cli, bool session, emk_cli_admin *out)
{
    const emk_cli_bearer bearer = {"token", "EMK_TOKEN", "session: none", false};
    bool named = names_server(cli);
    emk_status st = EMK_OK;

    *out = (emk_cli_admin){.token = NULL};
    if (named)
        st = emk_cli_profile_from_options(cli, &out->profile);
    if (st == EMK_OK && session)
        st = emk_cli_bearer_read(cli, &bearer, &out->token);
    if (st == EMK_OK && (!named || session))
        st = read_kept(cli, out, !named);
    if (st == EMK_OK && !out->profile.url[0])
        return emk_cli_usage(cli, "--server URL is missing: where earmarkd is");
    if (st == EMK_OK && session && !out->token) {
        st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "session: none for this server", 0);
        return emk_cli_advise(cli, st, "Sign in first: earmark admin login NAME --server URL");
    }
    return st == EMK_OK ? emk_cli_remote_open(cli, &out->profile, NULL, &out->remote) : st;
}

void emk_cli_admin_close(emk_cli_admin *a)
{
    emk_secret_free(a->token);
    a->token = NULL;
}

/* ---- login ---- */

emk_status emk_cli_admin_password(emk_cli *cli, const char *prompt, emk_secret **out)
{
    const char *path = emk_cli_option_value(cli, "password-file");
    emk_secret *text = NULL;
    emk_span s;
    emk_status st;

    if (!path)
        return emk_cli_advise(cli, emk_cli_ask_secret(prompt, PASSWORD_MAX, out, &cli->error),
                              "Give the password with --password-file FILE.");
    if (strcmp(path, "-") == 0)
        return emk_cli_read_secret_fd(0, PASSWORD_MAX, out, &cli->error);
    st = emk_os_read_secret(path, PASSWORD_MAX + 2, &text, &cli->error);
    if (st != EMK_OK)
        return emk_cli_about(cli, st, path);
    s = emk_secret_span(text);
    while (s.len > 0 && (s.p[s.len - 1] == '\n' || s.p[s.len - 1] == '\r'))
        s.len--;
    if (s.len == 0)
        st = emk_cli_about(cli, emk_fail(&cli->error, EMK_E_USAGE, "password: empty", 0), path);
    else
        st = emk_secret_new(s.len, out, &cli->error);
    if (st == EMK_OK)
        memcpy(emk_secret_bytes(*out), s.p, s.len);
    emk_secret_free(text);
    return st;
}

static emk_status login_body(emk_cli *cli, const char *name, emk_buf *out)
{
    emk_cli_pieces p = {.status = EMK_OK};
    emk_secret *password = NULL;
    emk_status st = emk_cli_admin_password(cli, "Password: ", &password);

    if (st != EMK_OK)
        return st;
    emk_buf_init(&p.text, FILE_TEXT);
    emk_cli_piece_raw(&p, "{");
    if (name) {
        emk_cli_piece_raw(&p, "\"name\":");
        emk_cli_piece_text(&p, emk_span_str(name));
        emk_cli_piece_raw(&p, ",");
    }
    emk_cli_piece_raw(&p, "\"password\":");
    emk_cli_piece_text(&p, emk_secret_span(password));
    emk_cli_piece_raw(&p, "}");
    emk_secret_free(password);
    *out = p.text;
    return p.status;
}

emk_status emk_cli_admin_login(emk_cli *cli, emk_cli_admin *a, const char *name)
{
    emk_cli_call call = {.method = "POST",
                         .path = name ? "/v1/admin/sessions" : "/v1/admin/sessions/step-up",
                         .bearer = name ? NULL : a->token};
    emk_cli_answer answer;
    const emk_dom *token;
    emk_buf body = {0};
    emk_status st = login_body(cli, name, &body);

    if (st != EMK_OK) {
        emk_buf_done(&body);
        return st;
    }
    call.body = emk_buf_span(&body);
    st = emk_cli_remote_call(cli, &a->remote, &call, &answer);
    emk_wipe(body.p, body.len);
    emk_buf_done(&body);
    token = st == EMK_OK ? emk_dom_get_kind(answer.json, "token", EMK_DOM_STRING) : NULL;
    if (st == EMK_OK && (!token || token->text.len == 0))
        st = emk_fail(&cli->error, EMK_E_FORMAT, "server: its answer lacks the session", 0);
    if (st == EMK_OK)
        st = set_token(cli, a, token->text);
    if (st == EMK_OK)
        st = keep(cli, a);
    emk_cli_answer_done(&answer);
    return emk_cli_advise(cli, st, "Name and password are those of an operator of this server.");
}

/* ---- calls ---- */

static bool wants_step_up(const emk_cli_answer *a)
{
    return a->code == 401 && emk_span_equal(emk_cli_problem_type(a), emk_span_str("step-up"));
}

emk_status emk_cli_admin_run(emk_cli *cli, emk_cli_admin *a, const emk_cli_admin_call *call,
                             emk_cli_answer *out)
{
    emk_cli_call c = {
        .method = call->method, .path = call->path, .body = call->body, .bearer = a->token};
    char once[33];
    emk_status st = EMK_OK;

    *out = (emk_cli_answer){.code = 0};
    if (strcmp(call->method, "GET") != 0) { /* an answer that got lost is asked for again */
        st = emk_cli_once_make(cli, once);
        c.once = once;
    }
    if (st == EMK_OK)
        st = emk_cli_remote_call(cli, &a->remote, &c, out);
    if (st == EMK_OK || !wants_step_up(out))
        return st;
    emk_cli_remark(cli, "this wants the password once more");
    cli->message[0] = cli->fix[0] = cli->subject[0] = 0;
    st = emk_cli_admin_login(cli, a, NULL);
    if (st != EMK_OK)
        return st;
    emk_cli_answer_done(out);
    c.bearer = a->token;
    return emk_cli_remote_call(cli, &a->remote, &c, out);
}

static emk_status text_once(emk_cli *cli, emk_cli_admin *a, const emk_cli_admin_call *call,
                            emk_fetch_response *http)
{
    char url[EMK_CLI_URL_MAX + 1024], *line;
    emk_span token = emk_secret_span(a->token);
    size_t cap = token.len + 32;
    const char *headers[] = {NULL, call->body.len > 0 ? "Content-Type: text/plain" : NULL, NULL};
    emk_fetch_request request = {.method = call->method,
                                 .url = url,
                                 .headers = headers,
                                 .body = call->body,
                                 .max_response = EMK_CLI_LONG_MAX,
                                 .ca_file = a->profile.ca[0] ? a->profile.ca : NULL,
                                 .pin = a->profile.pin[0] ? a->profile.pin : NULL,
                                 .allow_http = strncmp(a->profile.url, "http:", 5) == 0};
    emk_status st;

    if (snprintf(url, sizeof url, "%s%s", a->profile.url, call->path) >= (int)sizeof url)
        return emk_fail(&cli->error, EMK_E_LIMIT, "http: URL", strlen(call->path));
    line = emk_alloc(cap, 1);
    if (!line)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "http: memory", cap);
    (void)snprintf(line, cap, "Authorization: Bearer %.*s", (int)token.len, (const char *)token.p);
    headers[0] = line;
    http->body.len = 0;
    st = emk_fetch_run(&request, http, &cli->error);
    emk_wipe(line, cap);
    emk_free(line);
    return emk_cli_about(cli, st, a->profile.url);
}

/* A refusal, as emk_cli_problem has it. */
static emk_status refused(emk_cli *cli, const emk_fetch_response *http, bool *step_up)
{
    emk_cli_answer answer = {.code = http->code};
    emk_status st;

    emk_arena_init(&answer.arena, 1u << 20);
    if (emk_dom_parse(&answer.arena, emk_buf_span(&http->body), &answer.json, NULL) != EMK_OK)
        answer.json = NULL;
    *step_up = wants_step_up(&answer);
    st = emk_cli_problem(cli, &answer);
    emk_arena_reset(&answer.arena);
    return st;
}

emk_status emk_cli_admin_text(emk_cli *cli, emk_cli_admin *a, const emk_cli_admin_call *call,
                              emk_buf *out)
{
    emk_fetch_response *http = emk_alloc(1, sizeof *http);
    bool step_up = false;
    emk_status st;

    if (!http)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "http: memory", sizeof *http);
    emk_buf_init(&http->body, EMK_CLI_LONG_MAX);
    st = text_once(cli, a, call, http);
    if (st == EMK_OK && http->code / 100 != 2) {
        st = refused(cli, http, &step_up);
        if (step_up) {
            cli->message[0] = cli->fix[0] = cli->subject[0] = 0;
            st = emk_cli_admin_login(cli, a, NULL);
            if (st == EMK_OK)
                st = text_once(cli, a, call, http);
            if (st == EMK_OK && http->code / 100 != 2)
                st = refused(cli, http, &step_up);
        }
    }
    if (st == EMK_OK) {
        *out = http->body;
        emk_buf_init(&http->body, 0);
    }
    emk_buf_done(&http->body);
    emk_free(http);
    return st;
}

/* ---- answers ---- */

static void show(emk_cli_out *o, const char *key, const emk_dom *node, unsigned depth);

static void show_children(emk_cli_out *o, const emk_dom *node, unsigned depth)
{
    for (const emk_dom *d = node->first; d; d = d->next) {
        char key[64];

        emk_cli_clean(d->key, key, sizeof key);
        show(o, node->kind == EMK_DOM_OBJECT ? key : NULL, d, depth);
    }
}

/* Depth is limited: what a server sends is not trusted to end. */
static void show(emk_cli_out *o, const char *key, const emk_dom *node, unsigned depth)
{
    uint64_t number;

    switch (node->kind) {
    case EMK_DOM_NULL:
        break;
    case EMK_DOM_BOOL:
        emk_cli_put_bool(o, key, node->truth);
        break;
    case EMK_DOM_NUMBER:
        if (emk_dom_u64(node, &number))
            emk_cli_put_number(o, key, number);
        else
            emk_cli_put_text(o, key, node->text);
        break;
    case EMK_DOM_STRING:
        emk_cli_put_text(o, key, node->text);
        break;
    case EMK_DOM_ARRAY:
    case EMK_DOM_OBJECT:
        if (depth >= SHOW_DEPTH)
            break;
        if (node->kind == EMK_DOM_ARRAY)
            emk_cli_begin_list(o, key);
        else
            emk_cli_begin(o, key);
        show_children(o, node, depth + 1);
        emk_cli_end(o);
        break;
    }
}

void emk_cli_admin_show(emk_cli *cli, const char *key, const emk_dom *node)
{
    if (!node)
        return;
    if (!key && node->kind == EMK_DOM_OBJECT)
        show_children(&cli->out, node, 1);
    else
        show(&cli->out, key, node, 1);
}

/* One cell as people read it. */
static void cell(const emk_dom *item, const char *name, char out[COLUMN_MAX + 1])
{
    const emk_dom *node = emk_dom_get(item, name);
    size_t at = 0;

    out[0] = 0;
    if (!node)
        return;
    if (node->kind == EMK_DOM_BOOL) {
        (void)snprintf(out, COLUMN_MAX + 1, "%s", node->truth ? "yes" : "");
    } else if (node->kind == EMK_DOM_ARRAY) {
        for (const emk_dom *d = node->first; d && at < COLUMN_MAX; d = d->next) {
            char one[32];

            emk_cli_clean(d->text, one, sizeof one);
            at += (size_t)snprintf(out + at, COLUMN_MAX + 1 - at, "%s%s", at ? " " : "", one);
        }
    } else {
        emk_cli_clean(node->text, out, COLUMN_MAX + 1);
    }
}

static void widths(const emk_dom *items, const char *const *columns, size_t *width)
{
    char text[COLUMN_MAX + 1];

    for (size_t c = 0; columns[c] && c < COLUMNS_MAX; c++) {
        width[c] = strlen(columns[c]);
        for (const emk_dom *d = items->first; d; d = d->next) {
            cell(d, columns[c], text);
            if (strlen(text) > width[c])
                width[c] = strlen(text);
        }
    }
}

static void row(emk_cli *cli, const emk_dom *item, const char *const *columns, const size_t *width)
{
    char line[COLUMNS_MAX * (COLUMN_MAX + 3)], text[COLUMN_MAX + 1];
    size_t at = 0;

    for (size_t c = 0; columns[c] && c < COLUMNS_MAX; c++) {
        if (item)
            cell(item, columns[c], text);
        else
            (void)snprintf(text, sizeof text, "%s", columns[c]);
        at += (size_t)snprintf(line + at, sizeof line - at, "%-*s  ", (int)width[c], text);
    }
    while (at > 0 && line[at - 1] == ' ')
        line[--at] = 0;
    emk_cli_say(&cli->out, "%s", line);
}

void emk_cli_admin_table(emk_cli *cli, const emk_dom *items, const char *const *columns)
{
    size_t width[COLUMNS_MAX] = {0};

    if (!items || items->kind != EMK_DOM_ARRAY)
        return;
    if (cli->out.json) {
        show(&cli->out, "items", items, 1);
        return;
    }
    if (items->n == 0) {
        emk_cli_say(&cli->out, "nothing");
        return;
    }
    widths(items, columns, width);
    row(cli, NULL, columns, width);
    for (const emk_dom *d = items->first; d; d = d->next)
        row(cli, d, columns, width);
}
