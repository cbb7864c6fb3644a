#include "cli/report.h"

#include "cli/keystores.h"
#include "cli/text.h"

#include <string.h>

#define FIRST_TIME UINT64_C(1000000000) /* a policy's number from here on is a date */

/* What `where` means, in words; empty when it says nothing. */
static void describe_where(const emk_error *e, char *out, size_t cap)
{
    char date[EMK_CLI_TIME_TEXT];

    out[0] = 0;
    if (emk_cli_is_keystore_error(e)) {
        if (e->where)
            snprintf(out, cap, "code 0x%llx", (unsigned long long)e->where);
    } else if (e->status == EMK_E_IO) {
        snprintf(out, cap, "%s", e->where > 0 && e->where < 4096 ? strerror((int)e->where) : "");
    } else if (e->status == EMK_E_POLICY && e->where >= FIRST_TIME) {
        emk_cli_format_time(e->where, date);
        snprintf(out, cap, "%s", date);
    } else if (e->status == EMK_E_FORMAT) {
        snprintf(out, cap, "at %llu", (unsigned long long)e->where);
    } else if (e->where != 0 && e->status != EMK_E_NOT_FOUND && e->status != EMK_E_USED) {
        snprintf(out, cap, "%llu", (unsigned long long)e->where);
    }
}

static void report_people(const emk_cli *cli, const char *what, const char *fix)
{
    char where[128];

    describe_where(&cli->error, where, sizeof where);
    fprintf(stderr, "earmark: %s: %s", emk_status_name(cli->error.status), what);
    if (cli->subject[0] || where[0])
        fprintf(stderr, " (%s%s%s)", cli->subject, cli->subject[0] && where[0] ? ", " : "", where);
    fprintf(stderr, "\n  fix: %s\n", fix);
}

static void report_json(emk_cli *cli, const char *what, const char *fix, int code)
{
    emk_cli_out_fail(&cli->out);
    emk_cli_put_string(&cli->out, "status", emk_status_name(cli->error.status));
    emk_cli_put_number(&cli->out, "exit", (uint64_t)code);
    emk_cli_put_string(&cli->out, "what", what);
    emk_cli_put_number(&cli->out, "where", cli->error.where);
    if (cli->subject[0])
        emk_cli_put_string(&cli->out, "subject", cli->subject);
    emk_cli_put_string(&cli->out, "fix", fix);
    if (emk_cli_out_finish(&cli->out, NULL) != EMK_OK)
        fprintf(stderr, "earmark: %s: %s\n", emk_status_name(cli->error.status), what);
}

int emk_cli_report(emk_cli *cli, emk_status st)
{
    int code = cli->usage ? EMK_CLI_EXIT_USAGE : (int)st;
    const char *what, *fix = cli->fix;
    char help[128];

    if (cli->error.status != st) /* a call that explained nothing */
        (void)emk_fail(&cli->error, st, "no details", 0);
    if (!fix[0])
        fix = emk_cli_keystore_fix(&cli->error);
    if (!fix)
        fix = emk_status_fix(st);
    what = cli->message[0] ? cli->message : cli->error.what;
    if (cli->usage && !cli->fix[0]) {
        snprintf(help, sizeof help, "earmark help%s%s", cli->command ? " " : "",
                 cli->command ? cli->command->name : "");
        fix = help;
    }
    fflush(stdout);
    if (cli->out.json)
        report_json(cli, what, fix, code);
    else
        report_people(cli, what, fix);
    return code;
}
