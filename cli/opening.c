#include "cli/opening.h"

#include "cli/events.h"
#include "cli/guard.h"
#include "cli/progress.h"

#include <string.h>

static const char *const MEMORY[] = {"ordinary", "locked", "secret"};

static emk_status memory_option(emk_cli *cli, emk_policy_memory *out)
{
    const char *text = emk_cli_option_value(cli, "memory");

    *out = EMK_POLICY_MEMORY_ANY;
    if (!text)
        return EMK_OK;
    for (int i = 1; i < 3; i++) {
        if (strcmp(text, MEMORY[i]) == 0)
            *out = (emk_policy_memory)i;
    }
    if (*out == EMK_POLICY_MEMORY_ANY)
        return emk_cli_usage(cli, "--memory is locked or secret");
    return EMK_OK;
}

static emk_status advise(emk_cli *cli, emk_status st)
{
    const char *what = cli->error.what ? cli->error.what : "";

    if (emk_cli_is_keystore_error(&cli->error)) /* it has advice of its own */
        return st;
    if (st == EMK_E_NOT_FOUND)
        return emk_cli_advise(cli, st,
                              "`earmark device list` shows the models on this device; "
                              "`earmark request` asks for one.");
    if (emk_cli_guard_refused(cli, st))
        return emk_cli_guard_advise(cli, st);
    if (st == EMK_E_POLICY && strstr(what, "user"))
        return emk_cli_advise(cli, st, "Open it as the user it was sealed for: --user NAME.");
    if (st == EMK_E_POLICY && strstr(what, "memory"))
        return emk_cli_advise(cli, st,
                              "Raise the memory-lock limit (`ulimit -l`); `earmark doctor` "
                              "says by how much.");
    if (st == EMK_E_POLICY && strstr(what, "lease"))
        return emk_cli_advise(cli, st,
                              "Ask for a longer lease: `earmark renew --all` where a server gave "
                              "it, else `earmark lease request`. A revoked device gets none.");
    if (st == EMK_E_POLICY)
        return emk_cli_advise(cli, st,
                              "What the issuer allowed is used up: request the model "
                              "again with `earmark fetch` or `earmark request`.");
    return st;
}

emk_status emk_cli_open_model(emk_cli *cli, emk_cli_device *device, emk_opened **out)
{
    const char *name = emk_cli_operand_at(cli, 0);
    emk_cli_progress progress;
    emk_client_ask ask = {.user = emk_span_str(emk_cli_option_value(cli, "user")),
                          .app = emk_span_str(emk_cli_option_value(cli, "app")),
                          .use = emk_span_str(emk_cli_option_value(cli, "use"))};
    emk_status st = memory_option(cli, &ask.memory);

    if (st == EMK_OK)
        st = emk_cli_device_open(cli, device);
    if (st != EMK_OK)
        return st;
    emk_cli_progress_init(&progress, cli, "opening");
    ask.progress = &progress.call;
    st = emk_client_open(device->client, name, &ask, out, &cli->error);
    emk_cli_progress_done(&progress);
    emk_cli_event_note(cli, device->dir,
                       &(emk_event){.type = st == EMK_OK ? EMK_EVENT_OPEN : EMK_EVENT_OPEN_FAIL,
                                    .code = (uint32_t)st});
    return emk_cli_about(cli, advise(cli, st), name);
}

void emk_cli_show_opened(emk_cli *cli, const emk_opened *o)
{
    uint64_t left = emk_opened_opens_left(o);

    emk_cli_put_size(&cli->out, "size", emk_opened_bytes(o).len);
    emk_cli_put_time(&cli->out, "expires", emk_opened_expires(o));
    if (left != UINT64_MAX)
        emk_cli_put_number(&cli->out, "opens_left", left);
    emk_cli_put_string(&cli->out, "memory", MEMORY[emk_opened_memory(o)]);
}
