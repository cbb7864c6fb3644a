/* fetch: from a question to a model in the vault. */
#include "cli/commands.h"
#include "cli/delivery.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "core/base/os_file.h"
#include "core/seal/io.h"

#include <inttypes.h>
#include <string.h>

typedef struct fetching {
    emk_cli_online on;
    emk_cli_delivery delivery;
    emk_secret *token;
    emk_client_want want;
    char model[EMK_TEXT_MAX + 1], user[EMK_TEXT_MAX + 1];
    emk_cli_blob blob;
    emk_client_accepted accepted;
    bool keep;
} fetching;

/* ---- the question ---- */

static emk_status read_names(emk_cli *cli, fetching *x)
{
    const char *operand = emk_cli_operand_at(cli, 0), *app = emk_cli_option_value(cli, "app");
    const char *colon = strchr(operand, ':'), *user = emk_cli_option_value(cli, "user");
    size_t n = colon ? (size_t)(colon - operand) : strlen(operand);
    emk_status st = EMK_OK;

    if (n == 0 || n > EMK_TEXT_MAX || (colon && !colon[1]))
        return emk_cli_usage(cli, "it is MODEL or MODEL:VERSION");
    memcpy(x->model, operand, n);
    x->model[n] = 0;
    if (user && strlen(user) > EMK_TEXT_MAX)
        return emk_cli_usage(cli, "--user: too long");
    if (user)
        (void)snprintf(x->user, sizeof x->user, "%s", user);
    else if (x->on.profile.user[0])
        (void)snprintf(x->user, sizeof x->user, "%s", x->on.profile.user);
    else if (x->token)
        st = emk_cli_token_user(cli, x->token, x->user);
    else
        return emk_cli_usage(cli, "for whom? --token FILE or --user NAME");
    x->want = (emk_client_want){.model = emk_span_str(x->model),
                                .version = emk_span_str(colon ? colon + 1 : NULL),
                                .use = emk_span_str(emk_cli_option_value(cli, "use")),
                                .user = emk_span_str(x->user),
                                .app = emk_span_str(app)};
    return st;
}

static emk_status make_request(emk_cli *cli, fetching *x)
{
    uint8_t hash[EMK_HASH_LEN];
    char once[33];
    emk_buf message;
    emk_status st = emk_cli_once_make(cli, once);

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    if (st == EMK_OK)
        st = emk_client_request(x->on.device.client, &x->want, &message, hash, &cli->error);
    if (st == EMK_E_POLICY)
        st = emk_cli_advise(cli, st,
                            "The device's certificate is over: earmark enrol makes a newer one.");
    if (st == EMK_OK)
        st = emk_cli_delivery_put(cli, &x->delivery, "once", emk_span_str(once));
    if (st == EMK_OK) /* last: with it the two are there */
        st = emk_cli_delivery_put(cli, &x->delivery, "request", emk_buf_span(&message));
    emk_buf_done(&message);
    return st;
}

/* ---- the ticket ---- */

static emk_status put_member(emk_cli *cli, fetching *x, const emk_dom *json, const char *name)
{
    emk_buf b;
    emk_status st;

    emk_buf_init(&b, EMK_MESSAGE_MAX);
    st = emk_cli_member_bytes(cli, json, name, &b);
    if (st == EMK_OK)
        st = emk_cli_delivery_put(cli, &x->delivery, name, emk_buf_span(&b));
    emk_buf_done(&b);
    return st;
}

/* A text without spaces, as it can stand in the file. */
static bool take_word(const emk_dom *object, const char *name, char *out, size_t cap)
{
    const emk_dom *node = emk_dom_get_kind(object, name, EMK_DOM_STRING);

    if (!node || node->text.len == 0 || node->text.len >= cap)
        return false;
    for (size_t i = 0; i < node->text.len; i++) {
        if (node->text.p[i] <= 0x20 || node->text.p[i] >= 0x7f)
            return false;
    }
    memcpy(out, node->text.p, node->text.len);
    out[node->text.len] = 0;
    return true;
}

static emk_status take_id(emk_cli *cli, fetching *x, const emk_dom *json)
{
    emk_buf id;
    emk_status st;

    emk_buf_init(&id, 64);
    st = emk_cli_member_bytes(cli, json, "id", &id);
    if (st == EMK_OK && id.len != EMK_ID_LEN)
        st = emk_fail(&cli->error, EMK_E_FORMAT, "server: id of a ticket", id.len);
    if (st == EMK_OK)
        emk_cli_format_hex(emk_buf_span(&id), x->blob.ticket, sizeof x->blob.ticket);
    emk_buf_done(&id);
    return st;
}

/* Where the app's own backend seals, it also says where the sealed model is. */
static emk_status no_blob(emk_cli *cli)
{
    emk_status st =
        emk_fail(&cli->error, EMK_E_UNSUPPORTED, "fetch: this model is sealed by a backend", 0);

    return emk_cli_advise(cli, st,
                          "The server gave a ticket and does not have the model: the app's backend "
                          "seals it (earmark request, seal, accept carry it by files).");
}

static emk_status take_ticket(emk_cli *cli, fetching *x, const emk_cli_answer *a)
{
    const emk_dom *blob = emk_dom_get_kind(a->json, "blob", EMK_DOM_OBJECT);
    emk_status st = take_id(cli, x, a->json);

    if (st == EMK_OK && !blob)
        return no_blob(cli);
    if (st == EMK_OK && (!take_word(blob, "url", x->blob.url, sizeof x->blob.url) ||
                         !take_word(blob, "etag", x->blob.etag, sizeof x->blob.etag) ||
                         !emk_dom_u64(emk_dom_get(blob, "size"), &x->blob.size)))
        st = emk_fail(&cli->error, EMK_E_FORMAT, "server: its answer lacks something", 0);
    if (st == EMK_OK)
        st = put_member(cli, x, a->json, "ticket");
    if (st == EMK_OK && emk_dom_get(a->json, "lease"))
        st = put_member(cli, x, a->json, "lease");
    return st == EMK_OK ? emk_cli_blob_put(cli, &x->delivery, &x->blob) : st;
}

static emk_status ask(emk_cli *cli, fetching *x)
{
    char key[64] = "";
    emk_cli_call call = {
        .method = "POST", .path = "/v1/tickets", .bearer = x->token, .once = key, .sign = true};
    emk_cli_answer a;
    emk_cli_json j;
    emk_buf message, once;
    emk_status st;

    emk_buf_init(&message, EMK_MESSAGE_MAX);
    emk_buf_init(&once, sizeof key - 1);
    emk_cli_json_begin(&j);
    st = emk_cli_delivery_get(cli, &x->delivery, "request", &message);
    if (st == EMK_OK)
        st = emk_cli_delivery_get(cli, &x->delivery, "once", &once);
    if (st == EMK_OK) {
        memcpy(key, once.p, once.len);
        emk_cli_json_bytes(&j, "request", emk_buf_span(&message));
        st = emk_cli_json_end(cli, &j, &call.body);
    }
    if (st == EMK_OK) {
        st = emk_cli_remote_call(cli, &x->on.remote, &call, &a);
        if (st == EMK_OK)
            st = take_ticket(cli, x, &a);
        emk_cli_answer_done(&a);
    }
    emk_cli_json_done(&j);
    emk_buf_done(&once);
    emk_buf_done(&message);
    return st;
}

/* ---- the model ---- */

typedef struct looking {
    const char *name;
    bool found;
} looking;

static emk_status look(void *self, const emk_client_entry *entry, emk_error *e)
{
    looking *l = self;

    (void)e;
    l->found = l->found || strcmp(entry->name, l->name) == 0;
    return EMK_OK;
}

/* Killed between the vault and the receipt: the model is there, and that is what was asked for. */
static bool was_accepted(emk_cli *cli, fetching *x)
{
    looking l = {.name = x->blob.ticket};

    if (emk_client_list(x->on.device.client, look, &l, NULL) != EMK_OK || !l.found)
        return false;
    cli->error = (emk_error){.status = EMK_OK};
    (void)snprintf(x->accepted.name, sizeof x->accepted.name, "%s", x->blob.ticket);
    return true;
}

static emk_status accept_from(emk_cli *cli, fetching *x, const emk_source *sealed)
{
    emk_cli_progress bar;
    emk_buf ticket, lease, receipt;
    emk_client_delivery in = {.sealed = sealed};
    emk_status st;

    emk_buf_init(&ticket, EMK_MESSAGE_MAX);
    emk_buf_init(&lease, EMK_MESSAGE_MAX);
    emk_buf_init(&receipt, EMK_MESSAGE_MAX);
    st = emk_cli_delivery_get(cli, &x->delivery, "ticket", &ticket);
    if (st == EMK_OK && emk_cli_delivery_has(cli, &x->delivery, "lease"))
        st = emk_cli_delivery_get(cli, &x->delivery, "lease", &lease);
    if (st == EMK_OK)
        st = emk_cli_issuer_catch_up(cli, &x->on, emk_buf_span(&ticket));
    if (st == EMK_OK) {
        in.ticket = emk_buf_span(&ticket);
        in.lease = emk_buf_span(&lease);
        emk_cli_progress_init(&bar, cli, "accepting");
        in.progress = &bar.call;
        st = emk_client_accept(x->on.device.client, &in, &x->accepted, &receipt, &cli->error);
        emk_cli_progress_done(&bar);
        if (receipt.len > 0 &&
            emk_cli_delivery_put(cli, &x->delivery, "receipt", emk_buf_span(&receipt)) != EMK_OK)
            emk_cli_remark(cli, "the receipt could not be kept");
    }
    emk_buf_done(&receipt);
    emk_buf_done(&lease);
    emk_buf_done(&ticket);
    return st == EMK_E_USED && was_accepted(cli, x) ? EMK_OK : st;
}

static emk_status accept_it(emk_cli *cli, fetching *x)
{
    char path[EMK_CLI_PATH_MAX];
    emk_source sealed;
    int fd = -1;
    emk_status st = emk_cli_join(cli, x->delivery.dir, "sealed", path);

    if (st == EMK_OK)
        st = emk_cli_about(cli, emk_os_open_read(path, &fd, &cli->error), path);
    if (st == EMK_OK)
        st = emk_source_from_fd(&fd, &sealed, &cli->error);
    if (st == EMK_OK)
        st = accept_from(cli, x, &sealed);
    emk_os_close(fd);
    if (st == EMK_E_POLICY)
        st =
            emk_cli_advise(cli, st,
                           "The ticket is over by this machine's clock, or the policy refuses: see "
                           "that the clock is right, then run this again.");
    return st;
}

/* ---- all of it ---- */

/* Where the last fetch stopped, or from the beginning. */
static emk_status go_on(emk_cli *cli, fetching *x)
{
    emk_status st = EMK_OK;

    if (!emk_cli_delivery_has(cli, &x->delivery, "blob")) {
        if (!emk_cli_delivery_has(cli, &x->delivery, "request"))
            st = make_request(cli, x);
        if (st == EMK_OK)
            st = ask(cli, x);
    } else {
        st = emk_cli_blob_get(cli, &x->delivery, &x->blob);
    }
    if (st == EMK_OK)
        st = emk_cli_download(cli, &x->on.remote, &x->delivery, &x->blob);
    return st == EMK_OK ? accept_it(cli, x) : st;
}

/* Failures that pass leave all there is for the next time. */
static bool passes(const emk_cli *cli, emk_status st)
{
    return st == EMK_E_IO || st == EMK_E_BUSY || st == EMK_E_NO_MEMORY || st == EMK_E_LIMIT ||
           emk_cli_is_keystore_error(&cli->error);
}

static emk_status fetch(emk_cli *cli, fetching *x)
{
    bool resumed = emk_cli_delivery_has(cli, &x->delivery, "request");
    emk_status st = go_on(cli, x);

    /* What was left from before may be over; what begins now is not. */
    if (resumed && st != EMK_OK && !passes(cli, st)) {
        emk_cli_delivery_clear(cli, &x->delivery, false);
        cli->error = (emk_error){.status = EMK_OK};
        cli->message[0] = cli->fix[0] = cli->subject[0] = 0;
        x->blob = (emk_cli_blob){.size = 0};
        st = go_on(cli, x);
    }
    if (st == EMK_OK || !passes(cli, st))
        emk_cli_delivery_clear(cli, &x->delivery, x->keep);
    return st;
}

static void show(emk_cli *cli, fetching *x, size_t waiting)
{
    char path[EMK_CLI_PATH_MAX];

    emk_cli_put_string(&cli->out, "model", x->model);
    emk_cli_put_string(&cli->out, "name", x->accepted.name);
    emk_cli_put_string(&cli->out, "user", x->user);
    if (x->accepted.model_len > 0)
        emk_cli_put_size(&cli->out, "size", x->accepted.model_len);
    emk_cli_put_bool(&cli->out, "receipt_sent", waiting == 0);
    if (x->keep && emk_cli_join(cli, x->delivery.dir, "sealed", path) == EMK_OK)
        emk_cli_put_string(&cli->out, "sealed", path);
    if (waiting > 0)
        emk_cli_remark(cli, "the receipt waits for the server: the next fetch sends it");
    emk_cli_next(cli, ": earmark open %s --user %s --sha256", x->model, x->user);
}

static emk_status run(emk_cli *cli)
{
    fetching x = {.delivery = {.lock = -1}, .keep = emk_cli_option_given(cli, "keep-sealed")};
    size_t waiting = 0;
    emk_status st = emk_cli_online_open(cli, &x.on);

    if (st == EMK_OK)
        st = emk_cli_user_token(cli, false, &x.token);
    if (st == EMK_OK)
        st = emk_cli_token_must_be_user(cli, x.token);
    if (st == EMK_OK)
        st = read_names(cli, &x);
    if (st == EMK_OK)
        st = emk_cli_delivery_open(cli, x.on.device.dir, &x.want, &x.delivery);
    if (st == EMK_OK) {
        st = emk_cli_about(cli, fetch(cli, &x), emk_cli_operand_at(cli, 0));
        waiting = emk_cli_receipts_send(cli, &x.on.remote);
    }
    if (st == EMK_OK)
        show(cli, &x, waiting);
    emk_cli_delivery_close(&x.delivery);
    emk_secret_free(x.token);
    emk_cli_device_close(&x.on.device);
    return st;
}

static const char *const paragraphs[] = {
    "Gets a model from the server into the device's vault: asks for a ticket with a key made for "
    "this one answer, fetches the sealed model, accepts it as `earmark accept` does, and sends the "
    "receipt.",
    "When the network fails or the program is killed, the same command goes on where it stopped. "
    "Which user's it is, the token says; the device must be enrolled for that user.",
    NULL};

static const emk_cli_operand operands[] = {
    {"MODEL[:VERSION]", EMK_CLI_WORD, "the model; without a version the newest", false},
    {0},
};

static const emk_cli_option options[] = {
    EMK_CLI_OPTION_USER_TOKEN,
    {"user", 0, EMK_CLI_WORD, "NAME", "who is to use it; default: whose device it is", false},
    {"use", 0, EMK_CLI_WORD, "TEXT", "for one use only, such as the id of one video", false},
    {"app", 0, EMK_CLI_WORD, "NAME", "for one app only, which then opens it", false},
    {"keep-sealed", 0, EMK_CLI_FLAG, NULL,
     "leave the sealed file, its ticket and lease, to look at", false},
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example examples[] = {
    {"The newest version:", "earmark fetch cat-ears --token alice.jwt"},
    {"One version, the token in the environment:", "EMK_TOKEN=$(cat alice.jwt) earmark fetch "
                                                   "cat-ears:2"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_NOT_FOUND, "there is no such model, or the device belongs to no server"},
    {EMK_E_POLICY, "the server refuses: revoked, banned, not in the plan, attestation too weak"},
    {EMK_E_SIGNATURE, "the token is not taken, or the server or file is not the expected issuer's"},
    {EMK_E_STALE, "the sealed model is gone from the server, or an older release than before"},
    {EMK_E_BUSY, "the server asks to wait, or another fetch of this model is under way"},
    {EMK_E_IO, "the network failed: the same command goes on"},
    {0},
};

const emk_cli_command EMK_CLI_FETCH = {
    .name = "fetch",
    .summary = "gets a model from the server into the vault",
    .synopsis = "MODEL[:VERSION] [--token FILE] [--use TEXT] [--keep-sealed]",
    .paragraphs = paragraphs,
    .operands = operands,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
