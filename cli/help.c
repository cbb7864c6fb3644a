#include "cli/help.h"

#include <string.h>

#define WIDTH 79

/* Writes a text from column `indent`, broken between words; the first line's indentation
 * was written before. */
static void wrap(FILE *f, const char *text, int indent)
{
    int column = indent;

    while (*text != 0) {
        int n = (int)strcspn(text, " ");

        if (column > indent && column + 1 + n > WIDTH) {
            fprintf(f, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', f);
            column++;
        }
        fprintf(f, "%.*s", n, text);
        column += n;
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', f);
}

/* A term and what it means, side by side or, for long terms, below each other. */
static void row(FILE *f, const char *term, const char *meaning, int column)
{
    int n = (int)strlen(term) + 2;

    fprintf(f, "  %s", term);
    if (n + 2 > column)
        fprintf(f, "\n%*s", column, "");
    else
        fprintf(f, "%*s", column - n, "");
    wrap(f, meaning, column);
}

static void option_row(FILE *f, const emk_cli_option *o)
{
    char term[64], letter[8] = "    ";

    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(term, sizeof term, "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
             o->arg ? o->arg : "");
    row(f, term, o->help, 28);
}

static void exit_rows(FILE *f, const emk_cli_command *c)
{
    char term[64];

    fputs("\nExit status:\n", f);
    row(f, "0", "it worked", 20);
    for (const emk_cli_exit *x = c->exits; x && x->status != EMK_OK; x++) {
        snprintf(term, sizeof term, "%d %s", (int)x->status, emk_status_name(x->status) + 2);
        row(f, term, x->when, 20);
    }
    row(f, "64", "the command line makes no sense", 20);
    fputs("  Other numbers: earmark help exit-codes\n", f);
}

void emk_cli_help_command(FILE *f, const emk_cli_command *c)
{
    fprintf(f, "earmark %s: %s\n\nUsage: earmark %s%s%s\n", c->name, c->summary, c->name,
            c->synopsis[0] ? " " : "", c->synopsis);
    for (size_t i = 0; c->paragraphs && c->paragraphs[i]; i++) {
        fputs("\n  ", f);
        wrap(f, c->paragraphs[i], 2);
    }
    if (c->operands)
        fputs("\nArguments:\n", f);
    for (const emk_cli_operand *o = c->operands; o && o->name; o++)
        row(f, o->name, o->help, 28);
    fputs("\nOptions:\n", f);
    for (const emk_cli_option *o = c->options; o && o->name; o++)
        option_row(f, o);
    for (const emk_cli_option *o = EMK_CLI_COMMON; o->name; o++)
        option_row(f, o);
    if (c->examples)
        fputs("\nExamples:\n", f);
    for (const emk_cli_example *x = c->examples; x && x->what; x++)
        fprintf(f, "  # %s\n  %s\n", x->what, x->line);
    exit_rows(f, c);
}

void emk_cli_help_all(FILE *f)
{
    fputs("earmark: seals machine-learning models for one user on one device\n\n"
          "Usage: earmark COMMAND [options] [arguments]\n\n"
          "Commands, in the order in which a model travels:\n",
          f);
    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++)
        row(f, EMK_CLI_COMMANDS[i]->name, EMK_CLI_COMMANDS[i]->summary, 24);
    fputs("\nOptions of every command:\n", f);
    for (const emk_cli_option *o = EMK_CLI_COMMON; o->name; o++)
        option_row(f, o);
    fputs("\n`earmark help COMMAND` explains a command, with examples;\n"
          "`earmark help exit-codes` lists what the exit codes mean.\n",
          f);
}

void emk_cli_help_group(FILE *f, const char *word)
{
    size_t n = strlen(word);

    fprintf(f, "Usage: earmark %s COMMAND [options] [arguments]\n\nCommands:\n", word);
    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++) {
        const emk_cli_command *c = EMK_CLI_COMMANDS[i];

        if (strncmp(c->name, word, n) == 0 && c->name[n] == ' ')
            row(f, c->name, c->summary, 24);
    }
}
