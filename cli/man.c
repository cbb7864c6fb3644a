#include "cli/help.h"

#include "cli/version.h"

#include <ctype.h>
#include <string.h>

void emk_cli_page_name(const emk_cli_command *c, char out[64])
{
    size_t n;

    snprintf(out, 64, "earmark%s%s", c ? "-" : "", c ? c->name : "");
    for (n = 0; out[n] != 0; n++) {
        if (out[n] == ' ')
            out[n] = '-';
    }
}

/* Text as roff takes it literally; `start` when it begins a line, where . and ' command. */
static void roff(FILE *f, const char *text, bool start)
{
    if (start && (*text == '.' || *text == '\''))
        fputs("\\&", f);
    for (; *text != 0; text++) {
        if (*text == '\\')
            fputs("\\e", f);
        else if (*text == '-')
            fputs("\\-", f);
        else if (*text == '~')
            fputs("\\(ti", f);
        else if (*text == '\'')
            fputs("\\(aq", f);
        else
            fputc(*text, f);
    }
}

static void paragraph(FILE *f, const char *text)
{
    fputs(".PP\n", f);
    roff(f, text, true);
    fputc('\n', f);
}

static void heading(FILE *f, const char *page, const char *summary)
{
    fputs(".TH \"", f);
    for (const char *p = page; *p != 0; p++) {
        if (*p == '-')
            fputs("\\-", f);
        else
            fputc(toupper((unsigned char)*p), f);
    }
    fprintf(f, "\" \"1\" \"\" \"Earmark %s\" \"Earmark\"\n.nh\n.SH NAME\n", EMK_CLI_VERSION);
    roff(f, page, true);
    fputs(" \\- ", f);
    roff(f, summary, false);
    fputc('\n', f);
}

static void tagged(FILE *f, const char *term, const char *meaning)
{
    fputs(".TP\n.B ", f);
    roff(f, term, false);
    fputc('\n', f);
    roff(f, meaning, true);
    fputc('\n', f);
}

static void options(FILE *f, const emk_cli_option *o)
{
    char term[64];

    for (; o && o->name; o++) {
        size_t n = 0;

        if (o->letter)
            n = (size_t)snprintf(term, sizeof term, "-%c, ", o->letter);
        snprintf(term + n, sizeof term - n, "--%s%s%s", o->name, o->arg ? " " : "",
                 o->arg ? o->arg : "");
        tagged(f, term, o->help);
    }
}

static void exits(FILE *f, const emk_cli_exit *x)
{
    char term[64];

    fputs(".SH EXIT STATUS\n", f);
    tagged(f, "0", "It worked.");
    for (; x && x->status != EMK_OK; x++) {
        snprintf(term, sizeof term, "%d (%s)", (int)x->status, emk_status_name(x->status));
        tagged(f, term, x->when);
    }
    tagged(f, "64", "The command line makes no sense.");
}

static void command_page(FILE *f, const emk_cli_command *c)
{
    char page[64];

    emk_cli_page_name(c, page);
    heading(f, page, c->summary);
    fprintf(f, ".SH SYNOPSIS\n.B earmark %s\n", c->name);
    roff(f, c->synopsis, true);
    fputs("\n.SH DESCRIPTION\n", f);
    for (size_t i = 0; c->paragraphs && c->paragraphs[i]; i++)
        paragraph(f, c->paragraphs[i]);
    for (const emk_cli_operand *o = c->operands; o && o->name; o++)
        tagged(f, o->name, o->help);
    fputs(".SH OPTIONS\n", f);
    options(f, c->options);
    options(f, EMK_CLI_COMMON);
    if (c->examples)
        fputs(".SH EXAMPLES\n", f);
    for (const emk_cli_example *x = c->examples; x && x->what; x++) {
        paragraph(f, x->what);
        fputs(".PP\n.RS 4\n.nf\n", f);
        roff(f, x->line, true);
        fputs("\n.fi\n.RE\n", f);
    }
    exits(f, c->exits);
    fputs(".SH SEE ALSO\n.BR earmark (1)\n", f);
}

static void program_page(FILE *f)
{
    char term[64];

    heading(f, "earmark", "seals machine-learning models for one user on one device");
    fputs(".SH SYNOPSIS\n.B earmark\n.I COMMAND\n[options] [arguments]\n.SH DESCRIPTION\n", f);
    paragraph(f, "An issuer allows a model to one user on one device by signing a ticket; whoever "
                 "has the model seals it for that ticket; the device accepts the sealed model into "
                 "its vault and opens it, in memory, for as long as its policy says.");
    fputs(".SH COMMANDS\n", f);
    for (size_t i = 0; EMK_CLI_COMMANDS[i]; i++)
        tagged(f, EMK_CLI_COMMANDS[i]->name, EMK_CLI_COMMANDS[i]->summary);
    fputs(".SH OPTIONS\n", f);
    options(f, EMK_CLI_COMMON);
    fputs(".SH ENVIRONMENT\n", f);
    tagged(f, "EARMARK_ISSUER", "The issuer's directory; default ~/.local/share/earmark/issuer.");
    tagged(f, "EARMARK_DEVICE", "The device's directory; default ~/.local/share/earmark/device.");
    fputs(".SH EXIT STATUS\n", f);
    tagged(f, "0", "It worked.");
    for (int st = 1; st <= (int)EMK_CLI_STATUS_LAST; st++) {
        snprintf(term, sizeof term, "%d (%s)", st, emk_status_name((emk_status)st));
        tagged(f, term, emk_status_fix((emk_status)st));
    }
    tagged(f, "64", "The command line makes no sense.");
}

void emk_cli_man(FILE *f, const emk_cli_command *c)
{
    if (c)
        command_page(f, c);
    else
        program_page(f);
}
