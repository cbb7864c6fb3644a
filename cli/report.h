/* How a failed command ends: the message that names cause and fix, and the exit code. */
#ifndef EMK_CLI_REPORT_H
#define EMK_CLI_REPORT_H

#include "cli/command.h"

/* Prints the failure that cli holds, st being its status, and returns the exit code. */
int emk_cli_report(emk_cli *cli, emk_status st);

#endif
