#include "cli/args.h"
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/help.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

static void list_exit_codes(emk_cli *cli)
{
    emk_cli_out *o = &cli->out;

    emk_cli_begin_list(o, "exit_codes");
    for (int st = 0; st <= (int)EMK_CLI_STATUS_LAST; st++) {
        if (o->json) {
            emk_cli_begin(o, NULL);
            emk_cli_put_number(o, "exit", (uint64_t)st);
            emk_cli_put_string(o, "status", emk_status_name((emk_status)st));
            emk_cli_put_string(o, "fix", emk_status_fix((emk_status)st));
            emk_cli_end(o);
        }
        emk_cli_say(o, "  %2d  %-14s %s", st, emk_status_name((emk_status)st),
                    emk_status_fix((emk_status)st));
    }
    emk_cli_end(o);
    emk_cli_say(o, "  %2d  %-14s The command line makes no sense: `earmark help COMMAND`.",
                EMK_CLI_EXIT_USAGE, "(usage)");
    emk_cli_say(o, "`earmark run` passes on the exit code of the program it ran.");
}

static emk_status find(emk_cli *cli, const emk_cli_command **c)
{
    char *words[3] = {NULL, NULL, NULL};
    char copies[2][64], shown[64];
    int n = 0;

    for (size_t i = 0; i < 2 && emk_cli_operand_at(cli, i); i++) {
        snprintf(copies[i], sizeof copies[i], "%s", emk_cli_operand_at(cli, i));
        words[i] = copies[i];
    }
    *c = emk_cli_find(words, &n);
    if (*c)
        return EMK_OK;
    emk_cli_clean(emk_span_str(words[0]), shown, sizeof shown);
    return emk_cli_usage(cli, "there is no command \"%s\"", shown);
}

static emk_status write_page(emk_cli *cli, const char *dir, const emk_cli_command *c)
{
    char page[64], name[80], path[EMK_CLI_PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    emk_status st;

    if (!f)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "help: no memory", 0);
    emk_cli_man(f, c);
    if (fclose(f) != 0)
        st = emk_fail(&cli->error, EMK_E_NO_MEMORY, "help: no memory", 0);
    else
        st = EMK_OK;
    emk_cli_page_name(c, page);
    snprintf(name, sizeof name, "%s.1", page);
    if (st == EMK_OK)
        st = emk_cli_join(cli, dir, name, path);
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_span_of(text, len));
    free(text);
    return st;
}

static emk_status write_pages(emk_cli *cli, const char *dir)
{
    emk_status st = emk_cli_make_dirs(cli, dir);
    size_t n = 0;

    if (st == EMK_OK)
        st = write_page(cli, dir, NULL);
    for (; st == EMK_OK && EMK_CLI_COMMANDS[n]; n++)
        st = write_page(cli, dir, EMK_CLI_COMMANDS[n]);
    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "directory", dir);
    emk_cli_put_number(&cli->out, "pages", n + 1);
    return EMK_OK;
}

/* About everything, or about a group; false when it is about one command. */
static bool help_on_many(const char *first, const char *second, bool man)
{
    if (!first || (man && strcmp(first, "earmark") == 0)) {
        if (man)
            emk_cli_man(stdout, NULL);
        else
            emk_cli_help_all(stdout);
        return true;
    }
    if (!emk_cli_is_group(first) || second || man)
        return false;
    emk_cli_help_group(stdout, first);
    return true;
}

static emk_status run(emk_cli *cli)
{
    const char *first = emk_cli_operand_at(cli, 0);
    bool man = emk_cli_option_given(cli, "man"), json = cli->out.json;
    const emk_cli_command *c = NULL;
    emk_status st = EMK_OK;

    if (emk_cli_option_given(cli, "man-pages"))
        return write_pages(cli, emk_cli_option_value(cli, "man-pages"));
    if (first && strcmp(first, "exit-codes") == 0 && !man) {
        list_exit_codes(cli);
        return EMK_OK;
    }
    cli->out.json = false;
    if (help_on_many(first, emk_cli_operand_at(cli, 1), man))
        return EMK_OK;
    st = find(cli, &c);
    if (st != EMK_OK)
        cli->out.json = json;
    else if (man)
        emk_cli_man(stdout, c);
    else
        emk_cli_help_command(stdout, c);
    return st;
}

static const char *const paragraphs[] = {
    "Explains a command: what it is for, its options, examples, exit codes. Without a command it "
    "lists them all.",
    NULL};

static const emk_cli_operand operands[] = {
    {"COMMAND", EMK_CLI_WORD, "a command, a group such as issuer, or exit-codes", true},
    {"SUBCOMMAND", EMK_CLI_WORD, "the second word of commands that have two", true},
    {0},
};

static const emk_cli_option options[] = {
    {"man", 0, EMK_CLI_FLAG, NULL, "print the manual page's source instead", false},
    {"man-pages", 0, EMK_CLI_DIR, "DIR", "write all manual pages into this directory", false},
    {0},
};

static const emk_cli_example examples[] = {
    {"About sealing:", "earmark help seal"},
    {"As a manual page:", "earmark help --man seal | man -l -"},
    {0},
};

const emk_cli_command EMK_CLI_HELP = {
    .name = "help",
    .summary = "explains a command",
    .synopsis = "[COMMAND [SUBCOMMAND]] [--man | --man-pages DIR]",
    .paragraphs = paragraphs,
    .operands = operands,
    .options = options,
    .examples = examples,
    .run = run,
};
