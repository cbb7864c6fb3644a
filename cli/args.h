/* The command line: finds the command, its options and operands by the command's table.
 * Messages name what is wrong and the nearest thing that would be right. */
#ifndef EMK_CLI_ARGS_H
#define EMK_CLI_ARGS_H

#include "cli/command.h"

/* The command that the first words of argv name, and *n_words of them (1 or 2); NULL when there
 * is none. */
const emk_cli_command *emk_cli_find(char **argv, int *n_words);
/* The name nearest to `word` among the commands, or NULL when none is near. */
const char *emk_cli_nearest_command(const char *word);
/* Whether `word` begins commands of two words ("issuer"). */
bool emk_cli_is_group(const char *word);

/* Fills cli->args by the table of cli->command from the words behind its name.  EMK_E_USAGE.
 * With --help among them nothing is missed that is required. */
emk_status emk_cli_parse(emk_cli *cli, char **words) EMK_MUST_CHECK;

#endif
