#include "cli/commands.h"
#include "cli/guard.h"
#include "cli/opening.h"
#include "cli/os_child.h"
#include "cli/text.h"
#include "cli/tree.h"
#include "core/base/os_file.h"
#include "core/base/os_folder.h"
#include "core/crypto/hash.h"

#include <string.h>

static emk_status check_options(emk_cli *cli)
{
    const char *path = emk_cli_option_value(cli, "output");
    bool plaintext = emk_cli_option_given(cli, "plaintext");

    if (path && !plaintext)
        return emk_cli_usage(cli,
                             "-o writes the model unprotected: say so with --plaintext, or use "
                             "`earmark run`, which needs no file");
    if (plaintext && !path)
        return emk_cli_usage(cli, "--plaintext needs -o FILE");
    return EMK_OK;
}

/* The folder is new or empty, and is left so by a failure. */
static emk_status write_folder(emk_cli *cli, const emk_opened *o, const char *path)
{
    bool made = false;
    int dir = -1;
    emk_status st;

    if (strcmp(path, "-") == 0)
        return emk_cli_usage(cli, "-o: this model is several files and needs a folder");
    emk_cli_signals_hold();
    st = emk_os_folder_take(path, &dir, &made, &cli->error);
    if (st != EMK_OK)
        st = emk_cli_advise(cli, emk_cli_about(cli, st, path),
                            "Name a folder for -o that is not there yet, or is empty.");
    if (st == EMK_OK) {
        st = emk_cli_tree_write(cli, o, dir);
        if (st != EMK_OK && made && emk_os_folder_remove(path, NULL) != EMK_OK)
            emk_cli_remark(cli, "could not remove the unfinished %s", path);
    }
    emk_os_close(dir);
    emk_cli_signals_release();
    return st;
}

static emk_status write_file(emk_cli *cli, emk_span model, const char *path)
{
    emk_status st;

    if (strcmp(path, "-") != 0 && emk_os_exists(path)) {
        st = emk_fail(&cli->error, EMK_E_USED, "file: exists already", 0);
        st = emk_cli_about(cli, st, path);
        return emk_cli_advise(cli, st, "Choose another name for -o, or remove the file.");
    }
    return emk_cli_write_output(cli, path, model);
}

static emk_status write_plaintext(emk_cli *cli, const emk_opened *o)
{
    const char *path = emk_cli_option_value(cli, "output");
    emk_status st;

    if (!path)
        return EMK_OK;
    st = emk_opened_n_files(o) ? write_folder(cli, o, path)
                               : write_file(cli, emk_opened_bytes(o), path);
    if (st != EMK_OK)
        return st;
    emk_cli_put_string(&cli->out, "plaintext", path);
    emk_cli_remark(cli, "%s is the model without any protection", path);
    return EMK_OK;
}

typedef struct hashing {
    emk_cli *cli;
    emk_span model;
} hashing;

static emk_status show_file(void *self, const emk_file_entry *entry, emk_error *e)
{
    hashing *h = self;
    emk_cli_out *o = &h->cli->out;
    emk_span file = emk_span_of(h->model.p + entry->offset, (size_t)entry->length);
    uint8_t hash[EMK_SHA256_LEN];
    char hex[2 * EMK_SHA256_LEN + 1] = "";
    emk_status st = EMK_OK;

    if (emk_cli_option_given(h->cli, "sha256")) {
        st = emk_sha256(h->cli->crypto, &file, 1, hash, e);
        emk_cli_format_hex(emk_span_of(hash, sizeof hash), hex, sizeof hex);
    }
    if (st != EMK_OK)
        return st;
    if (!o->json) { /* as sha256sum has it */
        char shown[EMK_PATH_MAX * 4];

        emk_cli_clean(entry->path, shown, sizeof shown);
        emk_cli_say(o, "  %s%s%s", hex, hex[0] ? "  " : "", shown);
        return EMK_OK;
    }
    emk_cli_begin(o, NULL);
    emk_cli_put_text(o, "path", entry->path);
    emk_cli_put_number(o, "size", entry->length);
    if (hex[0])
        emk_cli_put_string(o, "sha256", hex);
    emk_cli_end(o);
    return EMK_OK;
}

static emk_status show_files(emk_cli *cli, const emk_opened *opened)
{
    hashing h = {cli, emk_opened_bytes(opened)};
    emk_status st;

    emk_cli_begin_list(&cli->out, "files");
    st = emk_opened_files_each(opened, show_file, &h, &cli->error);
    emk_cli_end(&cli->out);
    return st;
}

static emk_status show_hash(emk_cli *cli, const emk_opened *opened)
{
    emk_span model = emk_opened_bytes(opened);
    uint8_t hash[EMK_SHA256_LEN];
    emk_status st;

    if (emk_opened_n_files(opened))
        return show_files(cli, opened);
    if (!emk_cli_option_given(cli, "sha256"))
        return EMK_OK;
    st = emk_sha256(cli->crypto, &model, 1, hash, &cli->error);
    if (st == EMK_OK)
        emk_cli_put_hex(&cli->out, "sha256", emk_span_of(hash, sizeof hash));
    return st;
}

static emk_status run(emk_cli *cli)
{
    emk_cli_device device = {0};
    emk_opened *opened = NULL;
    emk_status st = check_options(cli);

    if (st == EMK_OK)
        st = emk_cli_open_model(cli, &device, &opened);
    if (st == EMK_OK)
        st = write_plaintext(cli, opened);
    if (st == EMK_OK) {
        emk_cli_put_string(&cli->out, "model", emk_cli_operand_at(cli, 0));
        emk_cli_show_opened(cli, opened);
        st = show_hash(cli, opened);
    }
    if (st == EMK_OK && !emk_cli_option_given(cli, "output") &&
        !emk_cli_option_given(cli, "sha256"))
        emk_cli_say(&cli->out, "it opens: every byte was checked; nothing was written");
    emk_opened_close(opened);
    emk_cli_device_close(&device);
    return st;
}

static const char *const paragraphs[] = {
    "Opens a model of the vault in memory and checks every byte. That is all it does by itself: "
    "it says that the model opens. --sha256 prints the hash of what was sealed, of a model of "
    "several files the hash of each.",
    "With -o FILE --plaintext the model is written out, and from then on nothing protects it. A "
    "model of several files needs a folder there, a new or an empty one. To use a model without "
    "that, see `earmark run`.",
    "Where the policy counts opens, this is one.", NULL};

static const emk_cli_operand operands[] = {
    {"MODEL", EMK_CLI_WORD, "the model's name, or the entry's as in `earmark device list`", false},
    {0},
};

static const emk_cli_option options[] = {
    EMK_CLI_OPTION_USER,
    EMK_CLI_OPTION_USE,
    EMK_CLI_OPTION_APP,
    {"sha256", 0, EMK_CLI_FLAG, NULL, "print the SHA-256 of the model, or of each of its files",
     false},
    {"output", 'o', EMK_CLI_FILE, "FILE",
     "write the model here, a folder if it has several files; needs --plaintext", false},
    {"plaintext", 0, EMK_CLI_FLAG, NULL, "yes, write it without protection", false},
    EMK_CLI_OPTIONS_GUARD,
    EMK_CLI_OPTION_MEMORY,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example examples[] = {
    {"Is it what was sealed?", "earmark open cat-ears --user alice --sha256"},
    {"Take it out of Earmark's protection:",
     "earmark open cat-ears --user alice -o cat-ears.tflite --plaintext"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_NOT_FOUND, "there is no such model on this device"},
    {EMK_E_POLICY, "another user, expired, opens used up, or memory that cannot be locked"},
    {EMK_E_SEALED, "the vault file is damaged or of another device"},
    {EMK_E_STALE, "an older copy of the vault file was put back"},
    {EMK_E_KEY_LOST, "the device's keys are gone"},
    {EMK_E_USED, "the file of -o exists, or its folder is not empty"},
    {0},
};

const emk_cli_command EMK_CLI_OPEN = {
    .name = "open",
    .summary = "opens a model in memory and checks it",
    .synopsis = "MODEL --user NAME [--sha256] [-o FILE --plaintext]",
    .paragraphs = paragraphs,
    .operands = operands,
    .options = options,
    .examples = examples,
    .exits = exits,
    .run = run,
};
