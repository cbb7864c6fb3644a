#include "cli/command.h"

#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

emk_status emk_cli_about(emk_cli *cli, emk_status st, const char *subject)
{
    if (st != EMK_OK && cli->subject[0] == 0)
        emk_cli_clean(emk_span_str(subject), cli->subject, sizeof cli->subject);
    return st;
}

emk_status emk_cli_advise(emk_cli *cli, emk_status st, const char *format, ...)
{
    va_list args;

    if (st == EMK_OK || cli->fix[0] != 0)
        return st;
    va_start(args, format);
    vsnprintf(cli->fix, sizeof cli->fix, format, args);
    va_end(args);
    return st;
}

emk_status emk_cli_usage(emk_cli *cli, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(cli->message, sizeof cli->message, format, args);
    va_end(args);
    cli->usage = true;
    return emk_fail(&cli->error, EMK_E_USAGE, "command line", 0);
}

emk_status emk_cli_crypto(emk_cli *cli, const emk_crypto **out)
{
    if (!cli->crypto) {
        emk_status st = emk_crypto_new(NULL, NULL, &cli->crypto, &cli->error);

        if (st != EMK_OK)
            return st;
    }
    *out = cli->crypto;
    return EMK_OK;
}

void emk_cli_remark(const emk_cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->quiet || cli->out.json)
        return;
    fflush(stdout);
    va_start(args, format);
    emk_cli_print_line(stderr, "note: ", format, args);
    va_end(args);
}

void emk_cli_next(const emk_cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->quiet || cli->out.json)
        return;
    va_start(args, format);
    emk_cli_print_line(cli->out.to, "next", format, args);
    va_end(args);
}
