#include "cli/commands.h"
#include "cli/issuer.h"
#include "cli/view.h"
#include "core/base/alloc.h"
#include "core/base/os_file.h"

#include <string.h>

/* The head of a device's key file; what follows is secret.  (keystore/soft_keys.c) */
static bool is_device_keys(emk_span head)
{
    return head.len >= 8 && memcmp(head.p, "EMKK\x01", 5) == 0;
}

static emk_status show_key_file(emk_cli *cli, const char *kind, bool sealed)
{
    emk_cli_put_string(&cli->out, "kind", kind);
    emk_cli_put_string(&cli->out, "protection", sealed ? "passphrase" : "file permissions only");
    emk_cli_put_bool(&cli->out, "hardware", false);
    emk_cli_say(&cli->out, "the key itself is not shown");
    return EMK_OK;
}

static emk_status show_public(emk_cli *cli, emk_span text)
{
    const emk_crypto *c = NULL;
    emk_verify_key *key = NULL;
    uint8_t kid[EMK_COSE_KID_LEN];
    emk_cli_public pub = {.len = 0};
    emk_status st = emk_cli_public_parse(text, &pub, &cli->error);

    if (st == EMK_OK)
        st = emk_cli_crypto(cli, &c);
    if (st == EMK_OK)
        st = emk_cose_verify_key(c, emk_span_of(pub.bytes, pub.len), &key, &cli->error);
    if (st == EMK_OK)
        st = emk_cose_kid(c, emk_span_of(pub.bytes, pub.len), kid, &cli->error);
    emk_verify_key_free(key);
    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "kind", "issuer's public key");
    emk_cli_put_string(&cli->out, "algorithm",
                       pub.len == emk_sign_public_len(EMK_SIGN_ED25519) ? "Ed25519" : "ES256");
    emk_cli_put_hex(&cli->out, "public_key", emk_span_of(pub.bytes, pub.len));
    emk_cli_put_hex(&cli->out, "key_id", emk_span_of(kid, sizeof kid));
    return EMK_OK;
}

static const char *const KEY_USE[] = {[EMK_CLI_KEY_ISSUER] = "issuer's key",
                                      [EMK_CLI_KEY_SEALING] = "sealing key",
                                      [EMK_CLI_KEY_LEASE] = "lease master"};

static emk_status show_any(emk_cli *cli, const emk_cli_view *v)
{
    emk_cli_key_use use = EMK_CLI_KEY_ISSUER;
    bool sealed = false;
    emk_status st;

    if (emk_cli_view_is_sealed(v->head))
        return emk_cli_view_sealed(cli, v);
    if (emk_cli_view_is_message(v->head))
        return emk_cli_view_message(cli, v);
    if (v->head.len > 4 && memcmp(v->head.p, "emk-", 4) == 0)
        return show_public(cli, v->head);
    if (emk_cli_key_recognise(v->head, &use, &sealed))
        return show_key_file(cli, KEY_USE[use], sealed);
    if (is_device_keys(v->head))
        return show_key_file(cli, "device keys", v->head.p[5] == 1);
    st = emk_fail(&cli->error, EMK_E_FORMAT, "inspect: not a file of earmark's", 0);
    return emk_cli_advise(cli, st, "Models are looked at with `earmark inspect --model FILE`.");
}

/* Small messages may come from standard input; everything else is a file. */
static emk_status read_head(emk_cli *cli, const char *path, int *fd, emk_source *file,
                            emk_buf *head)
{
    uint8_t *p = NULL;
    size_t n;
    emk_status st;

    if (strcmp(path, "-") == 0) {
        st = emk_cli_read_input(cli, path, EMK_CLI_VIEW_HEAD, head);
        if (st == EMK_OK)
            *file = emk_source_from_span(emk_buf_span(head));
        return st;
    }
    st = emk_os_open_read(path, fd, &cli->error);
    if (st == EMK_OK)
        st = emk_source_from_fd(fd, file, &cli->error);
    if (st != EMK_OK)
        return st;
    n = file->len < EMK_CLI_VIEW_HEAD ? (size_t)file->len : EMK_CLI_VIEW_HEAD;
    st = emk_buf_grow(head, n, &p, &cli->error);
    return st == EMK_OK ? emk_source_read(file, 0, p, n, &cli->error) : st;
}

static emk_status inspect_file(emk_cli *cli, const char *path, const emk_verify_key *issuer)
{
    emk_source file;
    emk_buf head;
    int fd = -1;
    emk_status st;

    emk_buf_init(&head, EMK_CLI_VIEW_HEAD);
    st = read_head(cli, path, &fd, &file, &head);
    if (st == EMK_OK) {
        emk_cli_view v = {.file = &file, .head = emk_buf_span(&head), .issuer = issuer};

        st = show_any(cli, &v);
    }
    emk_buf_done(&head);
    emk_os_close(fd);
    return emk_cli_about(cli, st, path);
}

static emk_status run(emk_cli *cli)
{
    const char *issuer_path = emk_cli_option_value(cli, "issuer");
    emk_verify_key *issuer = NULL;
    emk_status st = EMK_OK;

    if (emk_cli_option_given(cli, "model"))
        return emk_cli_view_model(cli);
    if (cli->args.n_operands > 1)
        return emk_cli_usage(cli, "several files are looked at with --model only");
    if (emk_cli_option_given(cli, "format"))
        return emk_cli_usage(cli, "--format goes with --model");
    if (issuer_path)
        st = emk_cli_verify_key_read(cli, issuer_path, &issuer);
    if (st == EMK_OK)
        st = inspect_file(cli, emk_cli_operand_at(cli, 0), issuer);
    emk_verify_key_free(issuer);
    return st;
}

static const char *const paragraphs[] = {
    "Shows what is public about a file: a sealed model, a vault file, an enrolment, certificate, "
    "request, ticket or receipt, an issuer's key, or a key file (never the key). It needs no key "
    "and opens nothing. Nothing it shows has been verified, unless --issuer is given: then a "
    "wrong signature is refused.",
    "With --model it looks into a model, which may be several files or a folder, and lists its "
    "tensors: what `earmark seal` would know as weights, how many per cent of the model that is, "
    "and what may be weights and is not listed.",
    NULL};

static const emk_cli_operand operands[] = {
    {"FILE", EMK_CLI_FILE, "what to look at; - is standard input, for messages", false},
    {0},
};

static const emk_cli_option options[] = {
    {"model", 0, EMK_CLI_FLAG, NULL,
     "FILE is a model, or a folder or several files of one: list its tensors", false},
    {"format", 0, EMK_CLI_WORD, "NAME",
     "with --model: its format, where it cannot be seen; one file", false},
    {"issuer", 0, EMK_CLI_FILE, "FILE", "check the signature with this issuer.pub", false},
    {0},
};

static const emk_cli_example examples[] = {
    {"What anybody can see of a sealed model:", "earmark inspect cat.emk"},
    {"Before allowing it: who asks for what?", "earmark inspect cat.request --issuer issuer.pub"},
    {"Tensors, for a script:", "earmark inspect --model cat-ears.tflite --json"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_FORMAT, "damaged, cut short, or not a file of earmark's"},
    {EMK_E_SIGNATURE, "with --issuer: not signed by it"},
    {EMK_E_UNSUPPORTED, "of a later version; with --model: a format earmark does not know"},
    {0},
};

const emk_cli_command EMK_CLI_INSPECT = {
    .name = "inspect",
    .summary = "shows what is public about a file, or what is in a model",
    .synopsis = "FILE [--issuer issuer.pub] | --model FILE...",
    .paragraphs = paragraphs,
    .operands = operands,
    .many_operands = true,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
