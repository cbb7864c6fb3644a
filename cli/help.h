/* What the commands' tables say, written out: help for people, man pages, and completions
 * for three shells. */
#ifndef EMK_CLI_HELP_H
#define EMK_CLI_HELP_H

#include "cli/command.h"

#include <stdio.h>

/* All commands, with what each is for. */
void emk_cli_help_all(FILE *f);
/* The commands that begin with this word. */
void emk_cli_help_group(FILE *f, const char *word);
void emk_cli_help_command(FILE *f, const emk_cli_command *c);

/* roff for man(7).  c NULL: the page of the program itself, earmark(1). */
void emk_cli_man(FILE *f, const emk_cli_command *c);
/* Everywhere on the system: "earmark-issuer-init"; out has 64 bytes. */
void emk_cli_page_name(const emk_cli_command *c, char out[64]);

void emk_cli_complete_bash(FILE *f);
void emk_cli_complete_zsh(FILE *f);
void emk_cli_complete_fish(FILE *f);

/* Statuses whose numbers are exit codes: the last one. */
#define EMK_CLI_STATUS_LAST EMK_E_CRYPTO

#endif
