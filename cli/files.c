#include "cli/files.h"

#include "cli/os_terminal.h"
#include "cli/text.h"
#include "core/base/os_file.h"

#include <stdlib.h>
#include <string.h>

emk_status emk_cli_home(emk_cli *cli, const char *kind, char *out)
{
    bool issuer = strcmp(kind, "issuer") == 0;
    const char *given = emk_cli_option_value(cli, kind);
    const char *home = getenv("HOME"), *data = getenv("XDG_DATA_HOME");
    int n;

    if (!given)
        given = getenv(issuer ? "EARMARK_ISSUER" : "EARMARK_DEVICE");
    if (given && given[0])
        n = snprintf(out, EMK_CLI_PATH_MAX, "%s", given);
    else if (data && data[0] == '/')
        n = snprintf(out, EMK_CLI_PATH_MAX, "%s/earmark/%s", data, kind);
    else if (home && home[0])
        n = snprintf(out, EMK_CLI_PATH_MAX, "%s/.local/share/earmark/%s", home, kind);
    else
        return emk_cli_usage(cli, "no home directory: name one with --%s DIR", kind);
    if (n < 0 || (size_t)n >= EMK_CLI_PATH_MAX - 64)
        return emk_cli_usage(cli, "the path of --%s is too long", kind);
    return EMK_OK;
}

emk_status emk_cli_make_dirs(emk_cli *cli, const char *path)
{
    char part[EMK_CLI_PATH_MAX];
    size_t n = strlen(path);

    if (n >= sizeof part)
        return emk_cli_usage(cli, "a path is too long");
    for (size_t i = 1; i <= n; i++) {
        emk_status st;

        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (emk_os_exists(part))
            continue;
        st = emk_os_make_dir(part, &cli->error);
        if (st != EMK_OK)
            return emk_cli_about(cli, st, part);
    }
    return EMK_OK;
}

emk_status emk_cli_join(emk_cli *cli, const char *dir, const char *name, char *out)
{
    return emk_cli_about(cli, emk_os_join(out, EMK_CLI_PATH_MAX, dir, name, "", &cli->error), dir);
}

emk_status emk_cli_read_input(emk_cli *cli, const char *path, size_t max, emk_buf *out)
{
    emk_buf_init(out, max);
    if (strcmp(path, "-") == 0)
        return emk_cli_about(cli, emk_cli_read_stdin(out, &cli->error), "standard input");
    return emk_cli_about(cli, emk_os_read_file(path, max, out, &cli->error), path);
}

emk_status emk_cli_write_output(emk_cli *cli, const char *path, emk_span bytes)
{
    if (strcmp(path, "-") != 0)
        return emk_cli_about(cli, emk_os_write_file(path, bytes, &cli->error), path);
    if (fwrite(bytes.p, 1, bytes.len, stdout) != bytes.len || fflush(stdout) != 0)
        return emk_fail_errno(&cli->error, "standard output: cannot write");
    return EMK_OK;
}

bool emk_cli_passphrase_given(const emk_cli *cli)
{
    return emk_cli_option_given(cli, "passphrase-file") ||
           emk_cli_option_given(cli, "passphrase-fd");
}

static emk_status given_passphrase(emk_cli *cli, emk_secret **out)
{
    const char *path = emk_cli_option_value(cli, "passphrase-file");
    const char *number = emk_cli_option_value(cli, "passphrase-fd");
    uint64_t fd = 0;
    int file = -1;
    emk_status st;

    if (path && number)
        return emk_cli_usage(cli, "--passphrase-file and --passphrase-fd: one of them");
    if (number) {
        if (emk_cli_parse_number(number, &fd, NULL) != EMK_OK || fd > 65535)
            return emk_cli_usage(cli, "--passphrase-fd takes the number of a descriptor");
        return emk_cli_read_secret_fd((int)fd, EMK_CLI_PASSPHRASE_MAX, out, &cli->error);
    }
    st = emk_os_open_read(path, &file, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_read_secret_fd(file, EMK_CLI_PASSPHRASE_MAX, out, &cli->error);
    emk_os_close(file);
    return emk_cli_about(cli, st, path);
}

static emk_status typed_twice(emk_cli *cli, emk_secret **out)
{
    emk_secret *first = NULL, *second = NULL;
    emk_status st;

    st = emk_cli_ask_secret("New passphrase: ", EMK_CLI_PASSPHRASE_MAX, &first, &cli->error);
    if (st != EMK_OK)
        return st;
    st = emk_cli_ask_secret("The same again: ", EMK_CLI_PASSPHRASE_MAX, &second, &cli->error);
    if (st == EMK_OK &&
        (emk_secret_len(first) != emk_secret_len(second) ||
         !emk_ct_equal(emk_secret_span(first).p, emk_secret_span(second).p, emk_secret_len(first))))
        st = emk_fail(&cli->error, EMK_E_USAGE, "passphrase: the two differ", 0);
    emk_secret_free(second);
    if (st == EMK_OK)
        *out = first;
    else
        emk_secret_free(first);
    return st;
}

/* Asks or reads once; all keys of this run are under the same passphrase. */
static emk_status keep_passphrase(emk_cli *cli)
{
    if (cli->passphrase)
        return EMK_OK;
    if (emk_cli_passphrase_given(cli))
        return given_passphrase(cli, &cli->passphrase);
    return typed_twice(cli, &cli->passphrase);
}

emk_status emk_cli_new_passphrase(emk_cli *cli, const emk_secret **out)
{
    emk_status st;

    *out = NULL;
    if (!emk_cli_passphrase_given(cli) && !emk_cli_option_given(cli, "ask-passphrase"))
        return EMK_OK;
    st = keep_passphrase(cli);
    if (st == EMK_OK)
        *out = cli->passphrase;
    return st;
}

emk_status emk_cli_passphrase(emk_cli *cli, const char *whose, const emk_secret **out)
{
    char prompt[256], shown[200];
    emk_status st;

    if (cli->passphrase || emk_cli_passphrase_given(cli)) {
        st = keep_passphrase(cli);
        if (st == EMK_OK)
            *out = cli->passphrase;
        return st;
    }
    emk_secret_free(cli->typed);
    cli->typed = NULL;
    emk_cli_clean(emk_span_str(whose), shown, sizeof shown);
    snprintf(prompt, sizeof prompt, "Passphrase for %s: ", shown);
    st = emk_cli_ask_secret(prompt, EMK_CLI_PASSPHRASE_MAX, &cli->typed, &cli->error);
    if (st == EMK_OK)
        *out = cli->typed;
    return emk_cli_advise(cli, st,
                          "These keys need a passphrase: --passphrase-file FILE, or run this on a "
                          "terminal.");
}
