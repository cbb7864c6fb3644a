#include "cli/commands.h"
#include "cli/device.h"
#include "cli/guard.h"
#include "cli/progress.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/proto/ticket.h"
#include "core/seal/io.h"

#include <string.h>

static emk_status advise(emk_cli *cli, emk_status st)
{
    if (emk_cli_is_keystore_error(&cli->error)) /* it has advice of its own */
        return st;
    if (st == EMK_E_USED)
        return emk_cli_advise(cli, st,
                              "This delivery was accepted before, or this device did not ask for "
                              "it: make a new request.");
    if (emk_cli_guard_refused(cli, st))
        return emk_cli_guard_advise(cli, st);
    if (st == EMK_E_POLICY && cli->error.what && strstr(cli->error.what, "yet"))
        return emk_cli_advise(cli, st,
                              "Accept it after that time, while the ticket is still good.");
    if (st == EMK_E_POLICY)
        return emk_cli_advise(cli, st,
                              "The ticket's time is over, or its policy refuses this device: "
                              "request the model again.");
    return st;
}

/* Whether the ticket alone explains a refusal: it is not good, or for another device. */
static emk_status judge_ticket(emk_cli *cli, const emk_cli_device *d, emk_span message)
{
    char path[EMK_CLI_PATH_MAX];
    emk_verify_key *issuer = NULL;
    emk_ticket ticket;
    emk_status st = emk_cli_join(cli, d->dir, "issuer.pub", path);

    if (st == EMK_OK)
        st = emk_cli_verify_key_read(cli, path, &issuer);
    if (st != EMK_OK)
        return EMK_OK; /* nothing is known about the ticket */
    st = emk_ticket_verify(cli->crypto, message, issuer, emk_os_now_s(), &ticket, &cli->error);
    emk_verify_key_free(issuer);
    if (st == EMK_OK &&
        memcmp(ticket.device_id, emk_client_device_id(d->client), EMK_DEVICE_ID_LEN) != 0)
        return emk_cli_advise(cli, EMK_E_SEALED,
                              "It was sealed for another device: accept it there, or request the "
                              "model from this one.");
    return st;
}

/* Names what a refusal was about: the ticket or, later, the file. */
static emk_status blame(emk_cli *cli, const emk_cli_device *d, emk_span ticket, emk_status st)
{
    emk_error first = cli->error;
    bool guilty = st != EMK_OK && judge_ticket(cli, d, ticket) != EMK_OK;

    cli->error = first;
    return guilty ? emk_cli_about(cli, st, emk_cli_option_value(cli, "ticket")) : st;
}

/* The receipt goes out for refusals too: the issuer wants to know. */
static void write_receipt(emk_cli *cli, emk_span receipt)
{
    const char *path = emk_cli_option_value(cli, "receipt");
    emk_error e;

    if (!path || receipt.len == 0)
        return;
    if (emk_os_write_file(path, receipt, &e) != EMK_OK)
        emk_cli_remark(cli, "the receipt could not be written: %s", e.what);
}

static emk_status read_lease(emk_cli *cli, emk_buf *out)
{
    const char *path = emk_cli_option_value(cli, "lease");
    emk_status st;

    emk_buf_init(out, EMK_MESSAGE_MAX);
    st = path ? emk_cli_read_input(cli, path, EMK_MESSAGE_MAX, out) : EMK_OK;
    if (st != EMK_OK)
        emk_buf_done(out);
    return st;
}

static emk_status deliver(emk_cli *cli, emk_cli_device *d, emk_span ticket,
                          const emk_source *sealed)
{
    emk_cli_progress progress;
    emk_client_delivery in = {.ticket = ticket, .sealed = sealed};
    emk_client_accepted done;
    emk_buf receipt, lease;
    emk_status st = read_lease(cli, &lease);

    if (st != EMK_OK)
        return st;
    in.lease = emk_buf_span(&lease);
    emk_buf_init(&receipt, EMK_MESSAGE_MAX);
    emk_cli_progress_init(&progress, cli, "accepting");
    in.progress = &progress.call;
    st = emk_client_accept(d->client, &in, &done, &receipt, &cli->error);
    emk_cli_progress_done(&progress);
    write_receipt(cli, emk_buf_span(&receipt));
    emk_buf_done(&receipt);
    emk_buf_done(&lease);
    if (st != EMK_OK)
        return advise(cli, blame(cli, d, ticket, st));
    emk_cli_put_string(&cli->out, "name", done.name);
    emk_cli_put_size(&cli->out, "size", done.model_len);
    emk_cli_next(cli, ": earmark open MODEL --user NAME --sha256");
    return EMK_OK;
}

static emk_status run(emk_cli *cli)
{
    const char *path = emk_cli_operand_at(cli, 0);
    emk_cli_device device = {0};
    emk_source sealed;
    emk_buf ticket;
    int fd = -1;
    emk_status st =
        emk_cli_read_input(cli, emk_cli_option_value(cli, "ticket"), EMK_MESSAGE_MAX, &ticket);

    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_os_open_read(path, &fd, &cli->error), path);
    if (st == EMK_OK)
        st = emk_source_from_fd(&fd, &sealed, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_device_open(cli, &device);
    if (st == EMK_OK)
        st = emk_cli_about(cli, deliver(cli, &device, emk_buf_span(&ticket), &sealed), path);
    emk_cli_device_close(&device);
    emk_os_close(fd);
    emk_buf_done(&ticket);
    return st;
}

static const char *const paragraphs[] = {
    "Takes a sealed model into the device's vault: opens the delivery with the key that was made "
    "for the request, checks who sealed it, for whom, under which policy, and every byte; "
    "encrypts it again under a key that only this device has; and destroys the request's key. The "
    "sealed file is of no use after that and may be deleted.",
    "A refused delivery changes nothing: a damaged file can be fetched again.", NULL};

static const emk_cli_operand operands[] = {
    {"FILE", EMK_CLI_FILE, "the sealed model", false},
    {0},
};

static const emk_cli_option options[] = {
    {"ticket", 't', EMK_CLI_FILE, "FILE", "the ticket it was sealed for; - is standard input",
     true},
    {"lease", 0, EMK_CLI_FILE, "FILE", "the first lease, where the ticket wants one", false},
    {"receipt", 0, EMK_CLI_FILE, "FILE", "write a signed receipt for the issuer here", false},
    EMK_CLI_OPTIONS_GUARD,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example examples[] = {
    {"Take it in:", "earmark accept cat.emk --ticket cat.ticket"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_FORMAT, "the file is damaged, cut short, or no sealed model"},
    {EMK_E_SIGNATURE, "ticket or file are not from the issuer this device trusts"},
    {EMK_E_SEALED, "it is for another device, or damaged"},
    {EMK_E_POLICY, "the ticket has expired, or the policy refuses"},
    {EMK_E_USED, "this ticket was accepted before, or not asked for here"},
    {EMK_E_STALE, "a later release of this model was accepted before"},
    {0},
};

const emk_cli_command EMK_CLI_ACCEPT = {
    .name = "accept",
    .summary = "takes a sealed model into the device's vault",
    .synopsis = "FILE --ticket TICKET [--lease FILE] [--receipt FILE]",
    .paragraphs = paragraphs,
    .operands = operands,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
