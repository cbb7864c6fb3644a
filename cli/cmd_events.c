/* events send, events status. */
#include "cli/commands.h"
#include "cli/delivery.h"
#include "cli/events.h"

static emk_status show(emk_cli *cli, const char *dir)
{
    emk_cli_events_state state;
    emk_status st = emk_cli_events_look(cli, dir, &state);

    if (st != EMK_OK)
        return st;
    emk_cli_put_number(&cli->out, "waiting", state.waiting);
    emk_cli_put_number(&cli->out, "next", state.next);
    emk_cli_put_bool(&cli->out, "under_way", state.under_way);
    return EMK_OK;
}

static emk_status run_status(emk_cli *cli)
{
    char dir[EMK_CLI_PATH_MAX];
    emk_cli_profile profile;
    emk_status st = emk_cli_home(cli, "device", dir);

    if (st == EMK_OK)
        st = emk_cli_profile_read(cli, dir, &profile);
    return st == EMK_OK ? show(cli, dir) : st;
}

static emk_status run_send(emk_cli *cli)
{
    emk_cli_online on = {.device = {.client = NULL}};
    uint64_t sent = 0;
    emk_status st = emk_cli_online_open(cli, &on);

    if (st == EMK_OK)
        st = emk_cli_events_send(cli, &on.remote, &sent);
    if (st == EMK_OK) {
        emk_cli_put_number(&cli->out, "sent", sent);
        emk_cli_put_number(&cli->out, "receipts_waiting", emk_cli_receipts_send(cli, &on.remote));
        st = show(cli, on.device.dir);
    }
    emk_cli_device_close(&on.device);
    return st;
}

static const char *const send_paragraphs[] = {
    "Tells the server what happened to models on this device: what was opened, refused and "
    "removed. Commands note that in the device's directory; this signs it in numbered batches and "
    "sends them, and receipts that could not be sent. What could not be sent waits: run it from a "
    "timer.",
    NULL};

static const emk_cli_option send_options[] = {
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example send_examples[] = {
    {"From a timer:", "earmark events send --json"},
    {0},
};

static const emk_cli_exit send_exits[] = {
    {EMK_E_NOT_FOUND, "the device belongs to no server"},
    {EMK_E_FORMAT, "the queue is damaged"},
    {EMK_E_BUSY, "the server asks to wait"},
    {EMK_E_IO, "the server cannot be reached"},
    {0},
};

const emk_cli_command EMK_CLI_EVENTS_SEND = {
    .name = "events send",
    .summary = "tells the server what happened on this device",
    .synopsis = "[--device DIR]",
    .paragraphs = send_paragraphs,
    .options = send_options,
    .examples = send_examples,
    .exits = send_exits,
    .run = run_send,
};

static const char *const status_paragraphs[] = {
    "Says how many events wait to be sent, and the number of the first that the server does not "
    "have.",
    NULL};

static const emk_cli_option status_options[] = {
    EMK_CLI_OPTION_DEVICE_DIR,
    {0},
};

static const emk_cli_example status_examples[] = {
    {"What waits:", "earmark events status"},
    {0},
};

const emk_cli_command EMK_CLI_EVENTS_STATUS = {
    .name = "events status",
    .summary = "says how many events wait",
    .synopsis = "[--device DIR]",
    .paragraphs = status_paragraphs,
    .options = status_options,
    .examples = status_examples,
    .run = run_status,
};
