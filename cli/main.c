/* earmark: finds the subcommand, parses its words by its table, runs it, reports. */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/os_machine.h"
#include "cli/report.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

const emk_cli_command *const EMK_CLI_COMMANDS[] = {
    &EMK_CLI_ISSUER_INIT,
    &EMK_CLI_ISSUER_ENROL,
    &EMK_CLI_ISSUER_SEALING_KEY,
    &EMK_CLI_DEVICE_INIT,
    &EMK_CLI_DEVICE_CERTIFY,
    &EMK_CLI_DEVICE_PCR_POLICY,
    &EMK_CLI_DEVICE_LIST,
    &EMK_CLI_DEVICE_REMOVE,
    &EMK_CLI_REQUEST,
    &EMK_CLI_TICKET,
    &EMK_CLI_SEAL,
    &EMK_CLI_ACCEPT,
    &EMK_CLI_OPEN,
    &EMK_CLI_RUN,
    &EMK_CLI_VAULT_LIST,
    &EMK_CLI_VAULT_VERIFY,
    &EMK_CLI_VAULT_PURGE,
    &EMK_CLI_VAULT_REWRAP,
    &EMK_CLI_LEASE_REQUEST,
    &EMK_CLI_LEASE_ISSUE,
    &EMK_CLI_LEASE_RENEW,
    &EMK_CLI_LEASE_SHOW,
    &EMK_CLI_ENROL,
    &EMK_CLI_FETCH,
    &EMK_CLI_RENEW,
    &EMK_CLI_EVENTS_SEND,
    &EMK_CLI_EVENTS_STATUS,
    &EMK_CLI_PUBLISH,
    &EMK_CLI_INSPECT,
    &EMK_CLI_ATTEST_VERIFY,
    &EMK_CLI_ATTEST_UPDATE,
    &EMK_CLI_ATTEST_ROOTS,
    &EMK_CLI_ATTEST_SIMULATE,
#ifdef EMK_CLI_FRAUD
    &EMK_CLI_FRAUD_CHECK,
    &EMK_CLI_FRAUD_REPLAY,
    &EMK_CLI_FRAUD_DIFF,
    &EMK_CLI_FRAUD_EXPLAIN,
    &EMK_CLI_FRAUD_SIMULATE,
    &EMK_CLI_FRAUD_CAMPAIGN,
    &EMK_CLI_FRAUD_HISTORY,
#endif
    &EMK_CLI_AUDIT_VERIFY,
    &EMK_CLI_AUDIT_PROVE,
    &EMK_CLI_AUDIT_TAIL,
    &EMK_CLI_AUDIT_EXPORT,
    &EMK_CLI_ADMIN_LOGIN,
    &EMK_CLI_ADMIN_LOGOUT,
    &EMK_CLI_ADMIN_USERS,
    &EMK_CLI_ADMIN_BANS,
    &EMK_CLI_ADMIN_DEVICES,
    &EMK_CLI_ADMIN_TICKETS,
    &EMK_CLI_ADMIN_DECISIONS,
    &EMK_CLI_ADMIN_MODELS,
    &EMK_CLI_ADMIN_LISTS,
    &EMK_CLI_ADMIN_LIMITS,
    &EMK_CLI_ADMIN_FIREWALL,
    &EMK_CLI_ADMIN_RISK,
    &EMK_CLI_ADMIN_RULES,
    &EMK_CLI_ADMIN_KEYS,
    &EMK_CLI_ADMIN_SIGNING,
    &EMK_CLI_ADMIN_WEBHOOKS,
    &EMK_CLI_ADMIN_CAMPAIGNS,
    &EMK_CLI_ADMIN_RELOAD,
    &EMK_CLI_ADMIN_OPERATORS,
    &EMK_CLI_ADMIN_AUDIT,
    &EMK_CLI_STATS,
    &EMK_CLI_DOCTOR,
    &EMK_CLI_VERSION_COMMAND,
    &EMK_CLI_COMPLETION,
    &EMK_CLI_HELP,
    NULL,
};

/* Before the words are parsed: also a wrong command line is to be reported as asked. */
static bool wants_json(char **argv)
{
    for (size_t i = 1; argv[i] && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            return true;
    }
    return false;
}

static emk_status unknown_command(emk_cli *cli, char **words)
{
    const char *near = emk_cli_nearest_command(words[0]);
    char shown[64], both[64];

    if (emk_cli_is_group(words[0]) && words[1] && words[1][0] != '-') {
        snprintf(both, sizeof both, "%s %s", words[0], words[1]);
        near = emk_cli_nearest_command(both);
        emk_cli_clean(emk_span_str(both), shown, sizeof shown);
    } else {
        emk_cli_clean(emk_span_str(words[0]), shown, sizeof shown);
    }
    if (emk_cli_is_group(words[0]) && !near)
        return emk_cli_usage(cli, "\"%s\" is not a command; see earmark help %s", shown, words[0]);
    if (near)
        return emk_cli_usage(cli, "there is no command \"%s\"; did you mean \"%s\"?", shown, near);
    return emk_cli_usage(cli, "there is no command \"%s\"", shown);
}

/* "-o -": stdout carries the result itself, so what is said goes to stderr. */
static bool writes_to_stdout(const emk_cli *cli)
{
    for (size_t i = 0; i < cli->args.n_options; i++) {
        if (strcmp(cli->args.option[i]->name, "output") == 0 &&
            strcmp(cli->args.value[i], "-") == 0)
            return true;
    }
    return false;
}

static emk_status run_command(emk_cli *cli, char **words)
{
    emk_status st = emk_cli_parse(cli, words);

    if (st != EMK_OK)
        return st;
    cli->quiet = emk_cli_option_given(cli, "quiet");
    if (cli->command->takes_command || writes_to_stdout(cli))
        cli->out.to = stderr;
    if (emk_cli_option_given(cli, "help")) {
        cli->out.json = false;
        emk_cli_help_command(stdout, cli->command);
        return EMK_OK;
    }
    return cli->command->run(cli);
}

/* Words: the command line without the program's name. */
static emk_status run(emk_cli *cli, char **words)
{
    int n_words = 0;

    while (words[0] && strcmp(words[0], "--json") == 0)
        words++;
    if (!words[0])
        return emk_cli_usage(cli, "which command?");
    if (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0) {
        cli->out.json = false;
        emk_cli_help_all(stdout);
        return EMK_OK;
    }
    if (strcmp(words[0], "--version") == 0)
        words[0] += 2;
    cli->command = emk_cli_find(words, &n_words);
    if (cli->command)
        return run_command(cli, words + n_words);
    if (emk_cli_is_group(words[0]) &&
        (!words[1] || strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0)) {
        cli->out.json = false;
        emk_cli_help_group(words[1] ? stdout : stderr, words[0]);
        cli->exit_code = words[1] ? 0 : EMK_CLI_EXIT_USAGE;
        return EMK_OK;
    }
    return unknown_command(cli, words);
}

int main(int argc, char **argv)
{
    static emk_cli cli;
    emk_status st;
    int code;

    emk_cli_harden();
    cli.exit_code = -1;
    emk_cli_out_init(&cli.out, argc > 0 && wants_json(argv));
    if (argc < 2 && !cli.out.json) {
        emk_cli_help_all(stderr);
        return EMK_CLI_EXIT_USAGE;
    }
    st = run(&cli, argv + (argc > 0));
    if (st == EMK_OK)
        st = emk_cli_out_finish(&cli.out, &cli.error);
    if (st != EMK_OK)
        code = emk_cli_report(&cli, st);
    else
        code = cli.exit_code >= 0 ? cli.exit_code : 0;
    emk_secret_free(cli.passphrase);
    emk_secret_free(cli.typed);
    emk_crypto_free(cli.crypto);
    emk_cli_out_done(&cli.out);
    return code;
}
