/* The tables of all subcommands; each stands at the end of its file. */
#ifndef EMK_CLI_COMMANDS_H
#define EMK_CLI_COMMANDS_H

#include "cli/command.h"

extern const emk_cli_command EMK_CLI_ISSUER_INIT;
extern const emk_cli_command EMK_CLI_ISSUER_ENROL;
extern const emk_cli_command EMK_CLI_ISSUER_SEALING_KEY;
extern const emk_cli_command EMK_CLI_DEVICE_INIT;
extern const emk_cli_command EMK_CLI_DEVICE_CERTIFY;
extern const emk_cli_command EMK_CLI_DEVICE_LIST;
extern const emk_cli_command EMK_CLI_DEVICE_REMOVE;
extern const emk_cli_command EMK_CLI_REQUEST;
extern const emk_cli_command EMK_CLI_TICKET;
extern const emk_cli_command EMK_CLI_SEAL;
extern const emk_cli_command EMK_CLI_ACCEPT;
extern const emk_cli_command EMK_CLI_OPEN;
extern const emk_cli_command EMK_CLI_RUN;
extern const emk_cli_command EMK_CLI_INSPECT;
extern const emk_cli_command EMK_CLI_DOCTOR;
extern const emk_cli_command EMK_CLI_VERSION_COMMAND;
extern const emk_cli_command EMK_CLI_COMPLETION;
extern const emk_cli_command EMK_CLI_HELP;

#endif
