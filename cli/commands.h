/* The tables of all subcommands; each stands at the end of its file. */
#ifndef EMK_CLI_COMMANDS_H
#define EMK_CLI_COMMANDS_H

#include "cli/command.h"

extern const emk_cli_command EMK_CLI_ISSUER_INIT;
extern const emk_cli_command EMK_CLI_ISSUER_ENROL;
extern const emk_cli_command EMK_CLI_ISSUER_SEALING_KEY;
extern const emk_cli_command EMK_CLI_DEVICE_INIT;
extern const emk_cli_command EMK_CLI_DEVICE_CERTIFY;
extern const emk_cli_command EMK_CLI_DEVICE_PCR_POLICY;
extern const emk_cli_command EMK_CLI_DEVICE_LIST;
extern const emk_cli_command EMK_CLI_DEVICE_REMOVE;
extern const emk_cli_command EMK_CLI_REQUEST;
extern const emk_cli_command EMK_CLI_TICKET;
extern const emk_cli_command EMK_CLI_SEAL;
extern const emk_cli_command EMK_CLI_ACCEPT;
extern const emk_cli_command EMK_CLI_OPEN;
extern const emk_cli_command EMK_CLI_RUN;
extern const emk_cli_command EMK_CLI_VAULT_LIST;
extern const emk_cli_command EMK_CLI_VAULT_VERIFY;
extern const emk_cli_command EMK_CLI_VAULT_PURGE;
extern const emk_cli_command EMK_CLI_VAULT_REWRAP;
extern const emk_cli_command EMK_CLI_LEASE_REQUEST;
extern const emk_cli_command EMK_CLI_LEASE_ISSUE;
extern const emk_cli_command EMK_CLI_LEASE_RENEW;
extern const emk_cli_command EMK_CLI_LEASE_SHOW;
extern const emk_cli_command EMK_CLI_ENROL;
extern const emk_cli_command EMK_CLI_FETCH;
extern const emk_cli_command EMK_CLI_RENEW;
extern const emk_cli_command EMK_CLI_EVENTS_SEND;
extern const emk_cli_command EMK_CLI_EVENTS_STATUS;
extern const emk_cli_command EMK_CLI_PUBLISH;
extern const emk_cli_command EMK_CLI_INSPECT;
extern const emk_cli_command EMK_CLI_ATTEST_VERIFY;
extern const emk_cli_command EMK_CLI_ATTEST_UPDATE;
extern const emk_cli_command EMK_CLI_ATTEST_ROOTS;
extern const emk_cli_command EMK_CLI_ATTEST_SIMULATE;
extern const emk_cli_command EMK_CLI_FRAUD_CHECK;
extern const emk_cli_command EMK_CLI_FRAUD_REPLAY;
extern const emk_cli_command EMK_CLI_FRAUD_DIFF;
extern const emk_cli_command EMK_CLI_FRAUD_EXPLAIN;
extern const emk_cli_command EMK_CLI_FRAUD_SIMULATE;
extern const emk_cli_command EMK_CLI_FRAUD_CAMPAIGN;
extern const emk_cli_command EMK_CLI_FRAUD_HISTORY;
extern const emk_cli_command EMK_CLI_AUDIT_VERIFY;
extern const emk_cli_command EMK_CLI_AUDIT_PROVE;
extern const emk_cli_command EMK_CLI_AUDIT_TAIL;
extern const emk_cli_command EMK_CLI_AUDIT_EXPORT;
extern const emk_cli_command EMK_CLI_ADMIN_LOGIN;
extern const emk_cli_command EMK_CLI_ADMIN_LOGOUT;
extern const emk_cli_command EMK_CLI_ADMIN_USERS;
extern const emk_cli_command EMK_CLI_ADMIN_BANS;
extern const emk_cli_command EMK_CLI_ADMIN_DEVICES;
extern const emk_cli_command EMK_CLI_ADMIN_TICKETS;
extern const emk_cli_command EMK_CLI_ADMIN_DECISIONS;
extern const emk_cli_command EMK_CLI_ADMIN_MODELS;
extern const emk_cli_command EMK_CLI_ADMIN_LISTS;
extern const emk_cli_command EMK_CLI_ADMIN_LIMITS;
extern const emk_cli_command EMK_CLI_ADMIN_FIREWALL;
extern const emk_cli_command EMK_CLI_ADMIN_RISK;
extern const emk_cli_command EMK_CLI_ADMIN_RULES;
extern const emk_cli_command EMK_CLI_ADMIN_KEYS;
extern const emk_cli_command EMK_CLI_ADMIN_SIGNING;
extern const emk_cli_command EMK_CLI_ADMIN_WEBHOOKS;
extern const emk_cli_command EMK_CLI_ADMIN_CAMPAIGNS;
extern const emk_cli_command EMK_CLI_ADMIN_RELOAD;
extern const emk_cli_command EMK_CLI_ADMIN_OPERATORS;
extern const emk_cli_command EMK_CLI_ADMIN_AUDIT;
extern const emk_cli_command EMK_CLI_STATS;
extern const emk_cli_command EMK_CLI_DOCTOR;
extern const emk_cli_command EMK_CLI_VERSION_COMMAND;
extern const emk_cli_command EMK_CLI_COMPLETION;
extern const emk_cli_command EMK_CLI_HELP;

#endif
