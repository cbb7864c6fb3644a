/* lease request, lease issue, lease renew, lease show: a lease by files. */
#include "cli/commands.h"
#include "cli/device.h"
#include "cli/guard.h"
#include "cli/lease.h"
#include "cli/text.h"
#include "core/base/os_time.h"
#include "core/seal/policy.h"

#include <string.h>

/* ---- request ---- */

static emk_status run_request(emk_cli *cli)
{
    const char *name = emk_cli_operand_at(cli, 0), *path = emk_cli_option_value(cli, "output");
    emk_cli_device device = {0};
    emk_buf message;
    emk_status st = emk_cli_device_open(cli, &device);

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    if (st == EMK_OK) {
        st = emk_client_lease_request(device.client, name, emk_span_of(NULL, 0), &message,
                                      &cli->error);
        if (st == EMK_E_NOT_FOUND)
            st = emk_cli_advise(cli, st, "`earmark lease show` shows the names.");
        st = emk_cli_about(cli, st, name);
    }
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_buf_span(&message));
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "request", path);
        emk_cli_next(cli, ", at the issuer: earmark lease issue TICKET --request %s -o FILE", path);
    }
    emk_buf_done(&message);
    emk_cli_device_close(&device);
    return st;
}

/* ---- issue ---- */

static const char *const REFUSALS[] = {[EMK_LEASE_REVOKED] = "revoked",
                                       [EMK_LEASE_ATTEST] = "attest",
                                       [EMK_LEASE_UPGRADE] = "upgrade"};

static emk_status refusal_option(emk_cli *cli, emk_lease_refusal *out)
{
    const char *text = emk_cli_option_value(cli, "refuse");

    *out = EMK_LEASE_GRANTED;
    if (!text)
        return EMK_OK;
    for (int i = EMK_LEASE_REVOKED; i <= EMK_LEASE_REFUSAL_MAX; i++) {
        if (strcmp(text, REFUSALS[i]) == 0)
            *out = (emk_lease_refusal)i;
    }
    return *out == EMK_LEASE_GRANTED ? emk_cli_usage(cli, "--refuse is revoked, attest or upgrade")
                                     : EMK_OK;
}

/* The key that the device signed its ticket's request with, as noted then. */
static emk_status read_device_key(emk_cli *cli, const char *dir, const uint8_t *id,
                                  emk_verify_key **out)
{
    char folder[EMK_CLI_PATH_MAX], path[EMK_CLI_PATH_MAX], name[2 * EMK_DEVICE_ID_LEN + 1];
    emk_buf key;
    emk_status st;

    emk_cli_format_hex(emk_span_of(id, EMK_DEVICE_ID_LEN), name, sizeof name);
    st = emk_cli_join(cli, dir, "devices", folder);
    if (st == EMK_OK)
        st = emk_cli_join(cli, folder, name, path);
    if (st != EMK_OK)
        return st;
    st = emk_cli_read_input(cli, path, EMK_SIGN_PUBLIC_MAX, &key);
    if (st == EMK_OK)
        st = emk_verify_key_new(cli->crypto, EMK_SIGN_ES256, emk_buf_span(&key), out, &cli->error);
    emk_buf_done(&key);
    return emk_cli_about(cli, st, path);
}

static emk_status check_request(emk_cli *cli, const char *dir, const emk_ticket *ticket,
                                uint64_t now)
{
    const char *path = emk_cli_option_value(cli, "request");
    emk_lease_request request;
    emk_verify_key *device = NULL;
    emk_buf message;
    emk_status st;

    if (!path)
        return EMK_OK;
    st = emk_cli_read_input(cli, path, EMK_MESSAGE_MAX, &message);
    if (st == EMK_OK)
        st = read_device_key(cli, dir, ticket->device_id, &device);
    if (st == EMK_OK)
        st = emk_lease_request_verify(cli->crypto, emk_buf_span(&message), device, &request,
                                      &cli->error);
    if (st == EMK_OK)
        st = emk_lease_request_check(&request, ticket, now, &cli->error);
    if (st == EMK_OK)
        st = emk_cli_note_once(cli, dir, "lease-requests", emk_span_of(request.nonce, EMK_ID_LEN),
                               emk_span_of(request.ticket_id, EMK_ID_LEN));
    if (st == EMK_E_USED)
        st = emk_fail(&cli->error, st, "lease: this request was answered already", 0);
    emk_verify_key_free(device);
    emk_buf_done(&message);
    return emk_cli_about(cli, st, path);
}

static emk_status sign_answer(emk_cli *cli, const char *dir, const emk_ticket *ticket, uint64_t now,
                              emk_buf *out)
{
    emk_cli_signer signer = {0};
    emk_secret *master = NULL;
    emk_lease_refusal why = EMK_LEASE_GRANTED;
    emk_status st = refusal_option(cli, &why);

    if (st == EMK_OK)
        st = emk_cli_signer_open(cli, dir, EMK_CLI_KEY_ISSUER, &signer);
    if (st == EMK_OK && why == EMK_LEASE_GRANTED)
        st = emk_cli_lease_master(cli, dir, false, &master);
    if (st == EMK_OK && why == EMK_LEASE_GRANTED) {
        const emk_lease_grant_in in = {.signer = &signer.signer,
                                       .from = {.master = emk_secret_bytes(master), .epoch = 1},
                                       .ticket = ticket,
                                       .now = now};

        st = emk_lease_grant(cli->crypto, &in, out, &cli->error);
    } else if (st == EMK_OK) {
        const emk_lease_refuse_in in = {
            .signer = &signer.signer, .ticket = ticket, .why = why, .now = now};

        st = emk_lease_refuse(cli->crypto, &in, out, &cli->error);
    }
    emk_secret_free(master);
    emk_cli_signer_done(&signer);
    return st;
}

static emk_status answer(emk_cli *cli, const char *dir, emk_span message)
{
    const char *path = emk_cli_option_value(cli, "output");
    uint64_t now = emk_os_now_s();
    emk_verify_key *issuer = NULL;
    const emk_crypto *c = NULL;
    emk_ticket ticket;
    emk_buf out;
    emk_status st = emk_cli_crypto(cli, &c);

    emk_buf_init(&out, EMK_MESSAGE_MAX);
    if (st == EMK_OK)
        st = emk_cli_verify_key_read(cli, dir, &issuer);
    if (st == EMK_OK) /* at time 0: a ticket's own time is for sealing and accepting */
        st = emk_cli_about(cli, emk_ticket_verify(c, message, issuer, 0, &ticket, &cli->error),
                           emk_cli_operand_at(cli, 0));
    if (st == EMK_OK && ticket.policy.lease_s == 0)
        st = emk_fail(&cli->error, EMK_E_USAGE, "lease: the ticket wants none", 0);
    if (st == EMK_OK)
        st = check_request(cli, dir, &ticket, now);
    if (st == EMK_OK)
        st = sign_answer(cli, dir, &ticket, now, &out);
    if (st == EMK_OK)
        st = emk_cli_write_output(cli, path, emk_buf_span(&out));
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "lease", path);
        emk_cli_put_bool(&cli->out, "granted", !emk_cli_option_given(cli, "refuse"));
        emk_cli_next(cli, ", on the device: earmark lease renew --answer %s", path);
    }
    emk_verify_key_free(issuer);
    emk_buf_done(&out);
    return st;
}

static emk_status run_issue(emk_cli *cli)
{
    char dir[EMK_CLI_PATH_MAX];
    emk_buf message;
    emk_status st = emk_cli_home(cli, "issuer", dir);

    if (st != EMK_OK)
        return st;
    st = emk_cli_read_input(cli, emk_cli_operand_at(cli, 0), EMK_MESSAGE_MAX, &message);
    if (st == EMK_OK)
        st = answer(cli, dir, emk_buf_span(&message));
    emk_buf_done(&message);
    return st;
}

/* ---- renew ---- */

static void show_renewed(emk_cli *cli, const emk_client_lease *lease)
{
    emk_cli_put_string(&cli->out, "name", lease->name);
    emk_cli_put_bool(&cli->out, "granted", lease->refusal == EMK_LEASE_GRANTED);
    if (lease->refusal != EMK_LEASE_GRANTED) {
        emk_cli_put_string(&cli->out, "reason",
                           lease->refusal <= EMK_LEASE_REFUSAL_MAX ? REFUSALS[lease->refusal]
                                                                   : "another");
        return;
    }
    emk_cli_put_time(&cli->out, "until", lease->until);
    emk_cli_put_time(&cli->out, "ends", lease->ends);
    emk_cli_put_time(&cli->out, "renew_at", lease->renew_at);
}

static emk_status run_renew(emk_cli *cli)
{
    const char *path = emk_cli_option_value(cli, "answer");
    emk_cli_device device = {0};
    emk_client_lease lease = {.refusal = EMK_LEASE_GRANTED};
    emk_buf message;
    emk_status st = emk_cli_read_input(cli, path, EMK_MESSAGE_MAX, &message);

    if (st == EMK_OK)
        st = emk_cli_device_open(cli, &device);
    if (st == EMK_OK)
        st = emk_cli_about(
            cli,
            emk_client_lease_accept(device.client, emk_buf_span(&message), &lease, &cli->error),
            path);
    if (st == EMK_E_STALE)
        st = emk_cli_advise(cli, st,
                            "The device has a newer answer: ask again with `earmark lease "
                            "request`.");
    if (st == EMK_OK)
        show_renewed(cli, &lease);
    emk_cli_device_close(&device);
    emk_buf_done(&message);
    return st;
}

/* ---- show ---- */

static emk_status show_entry(void *self, const emk_client_entry *entry, emk_error *e)
{
    emk_cli_out *o = self;
    bool known = entry->policy && entry->record;
    uint64_t delay, now = emk_os_now_s();

    (void)e;
    if (entry->status == EMK_OK && (!known || entry->policy->lease_s == 0))
        return EMK_OK;
    emk_cli_begin(o, o->json ? NULL : entry->name);
    if (o->json)
        emk_cli_put_string(o, "name", entry->name);
    if (entry->status != EMK_OK)
        emk_cli_put_string(o, "status", emk_status_name(entry->status));
    if (known && entry->identity)
        emk_cli_put_text(o, "model", entry->identity->model);
    if (known && entry->record->lease_until > entry->record->lease_time) {
        uint64_t ends = emk_policy_lease_end(entry->policy, entry->record->lease_until);

        delay = entry->policy->renewal_delay_s ? entry->policy->renewal_delay_s
                                               : entry->policy->lease_s / 2;
        emk_cli_put_time(o, "until", entry->record->lease_until);
        emk_cli_put_time(o, "ends", ends);
        emk_cli_put_time(o, "renew_at", entry->record->lease_time + delay);
        emk_cli_put_bool(o, "opens", now < ends);
    } else {
        emk_cli_put_bool(o, "opens", false);
    }
    emk_cli_end(o);
    return EMK_OK;
}

static emk_status run_show(emk_cli *cli)
{
    emk_cli_device device = {0};
    emk_status st = emk_cli_device_open(cli, &device);

    if (st == EMK_OK) {
        emk_cli_begin_list(&cli->out, "leases");
        st = emk_client_list(device.client, show_entry, &cli->out, &cli->error);
        emk_cli_end(&cli->out);
    }
    emk_cli_device_close(&device);
    return st;
}

/* ---- tables ---- */

static const emk_cli_operand entry_operands[] = {
    {"NAME", EMK_CLI_WORD, "the entry, as `earmark lease show` has it", false},
    {0},
};

static const char *const request_paragraphs[] = {
    "Asks the issuer for a longer lease of a model on this device: writes a signed message, to be "
    "carried to the issuer. Good for one answer.",
    NULL};

static const emk_cli_option request_options[] = {
    {"output", 'o', EMK_CLI_FILE, "FILE", "write the request here; - is standard output", true},
    EMK_CLI_OPTIONS_GUARD,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example request_examples[] = {
    {"Ask in time:", "earmark lease request 3f0c8e0b6a8f4b1e9d2c5a7b8e9f0a1b -o again.request"},
    {0},
};

static const emk_cli_exit request_exits[] = {
    {EMK_E_NOT_FOUND, "there is no such entry"},
    {EMK_E_USAGE, "this model needs no lease"},
    {0},
};

const emk_cli_command EMK_CLI_LEASE_REQUEST = {
    .name = "lease request",
    .summary = "asks for a longer lease",
    .synopsis = "NAME -o FILE",
    .paragraphs = request_paragraphs,
    .operands = entry_operands,
    .options = request_options,
    .examples = request_examples,
    .exits = request_exits,
    .run = run_request,
};

static const char *const issue_paragraphs[] = {
    "Grants a lease for a ticket that was made with --lease, from now on for as long as the ticket "
    "says; or, with --refuse, ends it. The first lease goes with the delivery (`earmark accept "
    "--lease`) and needs no request; each later one answers a request, whose signature and "
    "freshness are checked. Whether this device should still have the model you decide.",
    NULL};

static const emk_cli_operand issue_operands[] = {
    {"TICKET", EMK_CLI_FILE, "the ticket, or its copy in tickets/ of the issuer's directory",
     false},
    {0},
};

static const emk_cli_option issue_options[] = {
    {"output", 'o', EMK_CLI_FILE, "FILE", "write the answer here; - is standard output", true},
    {"request", 0, EMK_CLI_FILE, "FILE", "what `earmark lease request` wrote", false},
    {"refuse", 0, EMK_CLI_WORD, "WHY", "revoked, attest or upgrade: end the lease", false},
    EMK_CLI_OPTION_ISSUER_DIR,
    EMK_CLI_OPTION_PASSPHRASE_FILE,
    EMK_CLI_OPTION_PASSPHRASE_FD,
    {0},
};

static const emk_cli_example issue_examples[] = {
    {"The first one:", "earmark lease issue cat.ticket -o cat.lease"},
    {"A later one:", "earmark lease issue cat.ticket --request again.request -o cat.lease"},
    {"No more:", "earmark lease issue cat.ticket --refuse revoked -o cat.lease"},
    {0},
};

static const emk_cli_exit issue_exits[] = {
    {EMK_E_FORMAT, "this is not a ticket or not a request, or it is damaged"},
    {EMK_E_SIGNATURE, "the ticket is not this issuer's, or the request not its device's"},
    {EMK_E_POLICY, "the request is for another ticket, or the policy is over"},
    {EMK_E_USAGE, "the ticket wants no lease"},
    {EMK_E_USED, "this request was answered already"},
    {0},
};

const emk_cli_command EMK_CLI_LEASE_ISSUE = {
    .name = "lease issue",
    .summary = "grants or refuses a lease",
    .synopsis = "TICKET -o FILE [--request FILE] [--refuse WHY]",
    .paragraphs = issue_paragraphs,
    .operands = issue_operands,
    .options = issue_options,
    .examples = issue_examples,
    .exits = issue_exits,
    .run = run_issue,
};

static const char *const renew_paragraphs[] = {
    "Takes the issuer's answer. A lease moves the model's end; a refusal puts the model to sleep: "
    "nothing on this device opens it before there is a new lease. Both are the issuer's word and "
    "end with exit code 0; \"granted\" says which it was.",
    NULL};

static const emk_cli_option renew_options[] = {
    {"answer", 0, EMK_CLI_FILE, "FILE", "what `earmark lease issue` wrote; - is standard input",
     true},
    EMK_CLI_OPTIONS_GUARD,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example renew_examples[] = {
    {"Take it in:", "earmark lease renew --answer cat.lease"},
    {0},
};

static const emk_cli_exit renew_exits[] = {
    {EMK_E_FORMAT, "this is not an answer, or it is damaged"},
    {EMK_E_SIGNATURE, "it is not from the issuer this device trusts"},
    {EMK_E_SEALED, "it is for another device"},
    {EMK_E_STALE, "a newer answer was taken before"},
    {EMK_E_NOT_FOUND, "there is no such model on this device"},
    {0},
};

const emk_cli_command EMK_CLI_LEASE_RENEW = {
    .name = "lease renew",
    .summary = "takes a new lease, or a refusal",
    .synopsis = "--answer FILE",
    .paragraphs = renew_paragraphs,
    .options = renew_options,
    .examples = renew_examples,
    .exits = renew_exits,
    .run = run_renew,
};

static const char *const show_paragraphs[] = {
    "Lists the models on this device that are under a lease: until when it runs, when it ends with "
    "its grace, and when to ask again. Models that need no lease are left out.",
    NULL};

static const emk_cli_option show_options[] = {
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example show_examples[] = {
    {"For a script:", "earmark lease show --json"},
    {0},
};

const emk_cli_command EMK_CLI_LEASE_SHOW = {
    .name = "lease show",
    .summary = "lists leases and when they end",
    .synopsis = "[--device DIR] [--json]",
    .paragraphs = show_paragraphs,
    .options = show_options,
    .examples = show_examples,
    .run = run_show,
};
