/* renew: leases over HTTP. */
#include "cli/commands.h"
#include "cli/remote.h"
#include "core/proto/lease.h"

#include <string.h>

#define ENTRIES_MAX 1024u

static const char *const REFUSALS[] = {[EMK_LEASE_REVOKED] = "revoked",
                                       [EMK_LEASE_ATTEST] = "attest",
                                       [EMK_LEASE_UPGRADE] = "upgrade"};

/* Entries with a lease whose model or name is the one that was named. */
typedef struct picking {
    const char *model; /* NULL: all */
    char (*names)[EMK_CLIENT_NAME_LEN + 1];
    size_t n;
} picking;

static emk_status pick(void *self, const emk_client_entry *entry, emk_error *e)
{
    picking *p = self;

    if (entry->status != EMK_OK || !entry->policy || entry->policy->lease_s == 0)
        return EMK_OK;
    if (p->model && strcmp(p->model, entry->name) != 0 &&
        !(entry->identity && emk_span_equal(entry->identity->model, emk_span_str(p->model))))
        return EMK_OK;
    if (p->n == ENTRIES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "renew: too many models at once", p->n);
    (void)snprintf(p->names[p->n++], EMK_CLIENT_NAME_LEN + 1, "%s", entry->name);
    return EMK_OK;
}

static emk_status exchange(emk_cli *cli, emk_cli_online *x, const char *name, emk_buf *answer)
{
    emk_cli_call call = {.method = "POST", .path = "/v1/leases", .sign = true};
    emk_cli_answer a;
    emk_cli_json j;
    emk_buf message;
    emk_status st;

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    emk_cli_json_begin(&j);
    st = emk_client_lease_request(x->device.client, name, emk_span_of(NULL, 0), &message,
                                  &cli->error);
    if (st == EMK_OK) {
        emk_cli_json_bytes(&j, "request", emk_buf_span(&message));
        st = emk_cli_json_end(cli, &j, &call.body);
    }
    if (st == EMK_OK) {
        st = emk_cli_remote_call(cli, &x->remote, &call, &a);
        if (st == EMK_OK)
            st = emk_cli_member_bytes(cli, a.json, "lease", answer);
        emk_cli_answer_done(&a);
    }
    emk_cli_json_done(&j);
    emk_buf_done(&message);
    return st;
}

static void show(emk_cli *cli, const emk_client_lease *l)
{
    emk_cli_out *o = &cli->out;

    emk_cli_begin(o, o->json ? NULL : l->name);
    if (o->json)
        emk_cli_put_string(o, "name", l->name);
    emk_cli_put_bool(o, "granted", l->refusal == EMK_LEASE_GRANTED);
    if (l->refusal != EMK_LEASE_GRANTED) {
        emk_cli_put_string(o, "reason",
                           l->refusal <= EMK_LEASE_REFUSAL_MAX ? REFUSALS[l->refusal] : "another");
    } else {
        emk_cli_put_time(o, "until", l->until);
        emk_cli_put_time(o, "ends", l->ends);
        emk_cli_put_time(o, "renew_at", l->renew_at);
    }
    emk_cli_end(o);
}

static emk_status exchange_and_take(emk_cli *cli, emk_cli_online *x, const char *name,
                                    emk_client_lease *lease)
{
    emk_buf answer;
    emk_status st;

    emk_buf_init(&answer, EMK_MESSAGE_MAX);
    st = exchange(cli, x, name, &answer);
    if (st == EMK_OK)
        st = emk_cli_issuer_catch_up(cli, x, emk_buf_span(&answer));
    if (st == EMK_OK)
        st = emk_client_lease_accept(x->device.client, emk_buf_span(&answer), lease, &cli->error);
    emk_buf_done(&answer);
    return st;
}

static emk_status renew(emk_cli *cli, emk_cli_online *x, const char *name)
{
    emk_client_lease lease = {.refusal = EMK_LEASE_GRANTED};
    emk_status st = exchange_and_take(cli, x, name, &lease);

    /* Leases are told apart by their second: two in one are one. */
    if (st == EMK_E_STALE) {
        cli->error = (emk_error){.status = EMK_OK};
        emk_fetch_pause(1, 1);
        st = exchange_and_take(cli, x, name, &lease);
    }
    if (st == EMK_OK)
        show(cli, &lease);
    return emk_cli_about(cli, st, name);
}

static emk_status renew_all(emk_cli *cli, emk_cli_online *x, picking *p)
{
    emk_status st = emk_client_list(x->device.client, pick, p, &cli->error);

    if (st == EMK_OK && p->n == 0 && p->model) {
        st = emk_fail(&cli->error, EMK_E_NOT_FOUND, "renew: no such model with a lease", 0);
        st = emk_cli_advise(cli, emk_cli_about(cli, st, p->model),
                            "`earmark lease show` lists the models that need one.");
    }
    emk_cli_begin_list(&cli->out, "leases");
    for (size_t i = 0; st == EMK_OK && i < p->n; i++)
        st = renew(cli, x, p->names[i]);
    emk_cli_end(&cli->out);
    return st;
}

static emk_status run(emk_cli *cli)
{
    static char names[ENTRIES_MAX][EMK_CLIENT_NAME_LEN + 1];
    picking p = {.model = emk_cli_operand_at(cli, 0), .names = names};
    emk_cli_online x = {.device = {.client = NULL}};
    emk_status st;

    if ((p.model != NULL) == emk_cli_option_given(cli, "all"))
        return emk_cli_usage(cli, "a MODEL, or --all");
    st = emk_cli_online_open(cli, &x);
    if (st == EMK_OK)
        st = renew_all(cli, &x, &p);
    emk_cli_device_close(&x.device);
    return st;
}

static const char *const paragraphs[] = {
    "Asks the server for a longer lease of a model, or of all that need one. A lease moves the "
    "model's end; a refusal puts the model to sleep: nothing on this device opens it before there "
    "is a new lease. Both are the issuer's word and end with exit code 0; \"granted\" says which "
    "it "
    "was.",
    NULL};

static const emk_cli_operand operands[] = {
    {"MODEL", EMK_CLI_WORD, "the model, or the entry as `earmark lease show` has it", true},
    {0},
};

static const emk_cli_option options[] = {
    {"all", 0, EMK_CLI_FLAG, NULL, "all models on this device that need a lease", false},
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example examples[] = {
    {"One model:", "earmark renew cat-ears"},
    {"All, from a timer:", "earmark renew --all --json"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_NOT_FOUND, "there is no such model with a lease, or the device belongs to no server"},
    {EMK_E_POLICY, "the server does not speak with this device"},
    {EMK_E_BUSY, "the server asks to wait"},
    {EMK_E_IO, "the server cannot be reached: models stay open for their grace"},
    {0},
};

const emk_cli_command EMK_CLI_RENEW = {
    .name = "renew",
    .summary = "asks the server for longer leases",
    .synopsis = "MODEL | --all",
    .paragraphs = paragraphs,
    .operands = operands,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
