#include "cli/commands.h"
#include "cli/guard.h"
#include "cli/opening.h"
#include "cli/os_child.h"
#include "cli/tree.h"
#include "core/base/alloc.h"
#include "core/base/os_folder.h"

#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 4096u /* words of the command */

/* The word with each {} replaced by path; owned. */
static char *replace_braces(const char *word, const char *path, bool *found)
{
    size_t n = 0, path_len = strlen(path);
    const char *next = word;
    char *out, *to;

    while ((next = strstr(next, "{}")) != NULL) {
        n++;
        next += 2;
    }
    out = emk_alloc(strlen(word) + n * path_len + 1, 1);
    if (!out)
        return NULL;
    *found = *found || n > 0;
    for (to = out; (next = strstr(word, "{}")) != NULL; word = next + 2) {
        memcpy(to, word, (size_t)(next - word));
        to += next - word;
        memcpy(to, path, path_len);
        to += path_len;
    }
    memcpy(to, word, strlen(word) + 1);
    return out;
}

static void free_words(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        emk_free(words[i]);
    emk_free(words);
}

static emk_status make_words(emk_cli *cli, const char *path, char ***out)
{
    size_t n = 0;
    bool found = false;
    char **words;

    while (cli->args.command[n])
        n++;
    if (n > ARGS_MAX)
        return emk_cli_usage(cli, "the command has too many words");
    words = emk_alloc(n + 1, sizeof *words);
    for (size_t i = 0; words && i < n; i++) {
        words[i] = replace_braces(cli->args.command[i], path, &found);
        if (!words[i]) {
            free_words(words);
            words = NULL;
        }
    }
    if (!words)
        return emk_fail(&cli->error, EMK_E_NO_MEMORY, "command: no memory", n);
    *out = words;
    return EMK_OK;
}

/* Before a counted open is spent. */
static emk_status check_braces(emk_cli *cli)
{
    for (size_t i = 0; cli->args.command[i]; i++) {
        if (strstr(cli->args.command[i], "{}"))
            return EMK_OK;
    }
    return emk_cli_usage(cli, "the command has no {}: put it where the model's path belongs");
}

static emk_status refuse_memory(emk_cli *cli, const char *what, const char *fix)
{
    emk_status st = emk_fail(&cli->error, EMK_E_POLICY, what, 0);

    return emk_cli_advise(cli, st, "%s", fix);
}

/* Moves the model into a memory file.  The private copy is wiped; where its memory was kept
 * out of swap the memory file's is too. */
static emk_status hand_out(emk_cli *cli, emk_opened **opened, emk_cli_memory_model *m)
{
    emk_policy_memory kind = emk_opened_memory(*opened);
    emk_status st;

    if (kind == EMK_POLICY_MEMORY_SECRET)
        return refuse_memory(cli, "memory: this model may be in memfd_secret only",
                             "Such a model cannot be handed to a program; use the library.");
    st = emk_cli_memory_model_new(emk_opened_bytes(*opened), m, &cli->error);
    if (st != EMK_OK)
        return st;
    if (kind == EMK_POLICY_MEMORY_LOCKED)
        (void)emk_cli_memory_model_lock(m); /* with a low limit it succeeds only below */
    emk_opened_close(*opened);
    *opened = NULL;
    if (kind == EMK_POLICY_MEMORY_LOCKED && !emk_cli_memory_model_lock(m))
        return refuse_memory(cli, "memory: the program's copy cannot be locked",
                             "Raise the memory-lock limit (`ulimit -l`); `earmark doctor` says by "
                             "how much.");
    return EMK_OK;
}

/* The model as a folder in memory. */
typedef struct memory_tree {
    char path[EMK_OS_MEMORY_FOLDER_PATH];
    int dir;
    emk_cli_memory_model held[EMK_FILES_MAX]; /* of files kept out of swap */
    uint32_t n_held;
} memory_tree;

static emk_status lock_one(void *self, const emk_file_entry *entry, emk_error *e)
{
    char path[EMK_PATH_MAX + 1];
    memory_tree *t = self;
    emk_cli_memory_model *m = &t->held[t->n_held];
    emk_status st;

    memcpy(path, entry->path.p, entry->path.len); /* checked when it was written */
    path[entry->path.len] = 0;
    *m = (emk_cli_memory_model){.fd = -1, .len = entry->length};
    st = emk_os_open_below(t->dir, path, &m->fd, e);
    if (st != EMK_OK)
        return st;
    t->n_held++;
    if (emk_cli_memory_model_lock(m))
        return EMK_OK;
    return emk_fail(e, EMK_E_POLICY, "memory: the program's copy cannot be locked", entry->length);
}

static emk_status fill_tree(emk_cli *cli, const emk_opened *opened, memory_tree *t)
{
    emk_policy_memory kind = emk_opened_memory(opened);
    emk_status st;

    if (kind == EMK_POLICY_MEMORY_SECRET)
        return refuse_memory(cli, "memory: this model may be in memfd_secret only",
                             "Such a model cannot be handed to a program; use the library.");
    st = emk_os_memory_folder(t->path, &t->dir, &cli->error);
    if (st == EMK_E_UNSUPPORTED)
        return emk_cli_advise(cli, st,
                              "A model of several files needs a tmpfs at /dev/shm to run from: "
                              "mount one, or use the library.");
    if (st == EMK_OK)
        st = emk_cli_tree_write(cli, opened, t->dir);
    if (st == EMK_OK && kind == EMK_POLICY_MEMORY_LOCKED)
        st = emk_opened_files_each(opened, lock_one, t, &cli->error);
    if (st == EMK_E_POLICY)
        st = emk_cli_advise(cli, st,
                            "Raise the memory-lock limit (`ulimit -l`); `earmark doctor` says by "
                            "how much.");
    return st;
}

static void drop_tree(emk_cli *cli, memory_tree *t)
{
    emk_status st;

    for (uint32_t i = 0; i < t->n_held; i++)
        emk_cli_memory_model_done(&t->held[i]);
    if (t->dir < 0)
        return;
    st = emk_os_folder_clear(t->dir, NULL); /* with what the program left there */
    emk_os_close(t->dir);
    if (st == EMK_OK)
        st = emk_os_folder_remove(t->path, NULL);
    if (st != EMK_OK)
        emk_cli_remark(cli, "could not remove %s, which has the model in it", t->path);
}

static emk_status run_words(emk_cli *cli, const emk_cli_memory_model *m, const char *path,
                            uint64_t until)
{
    emk_cli_child child = {.model = m, .until = until};
    bool expired = false;
    int code = 0;
    emk_status st;

    st = make_words(cli, path, &child.argv);
    if (st != EMK_OK)
        return st;
    unsetenv("EARMARK_PIN"); /* nothing of the program's */
    st = emk_cli_child_run(&child, &code, &expired, &cli->error);
    free_words(child.argv);
    if (st != EMK_OK) {
        st = emk_cli_advise(cli, st,
                            "Check the name of the program behind --, and that it may be "
                            "executed.");
        return emk_cli_about(cli, st, cli->args.command[0]);
    }
    if (expired)
        return refuse_memory(cli, "policy: the model expired; the program was ended",
                             "Request the model again with `earmark request`.");
    cli->exit_code = code;
    if (cli->out.json) /* people see what the program did */
        emk_cli_put_number(&cli->out, "exit", (uint64_t)code);
    return EMK_OK;
}

static emk_status run_file(emk_cli *cli, const emk_cli_memory_model *m, uint64_t until)
{
    char path[EMK_CLI_MODEL_PATH_MAX];

    emk_cli_memory_model_path(m, path);
    return run_words(cli, m, path, until);
}

/* Signals wait from before the first byte is in the folder until it is gone. */
static emk_status run_tree(emk_cli *cli, emk_opened *opened, emk_cli_device *device)
{
    static memory_tree t;
    uint64_t until = emk_opened_expires(opened);
    emk_status st;

    t.dir = -1;
    emk_cli_signals_hold();
    st = fill_tree(cli, opened, &t);
    emk_opened_close(opened);
    emk_cli_device_close(device);
    if (st == EMK_OK)
        st = run_words(cli, NULL, t.path, until);
    drop_tree(cli, &t);
    emk_cli_signals_release();
    return st;
}

static emk_status run(emk_cli *cli)
{
    emk_cli_device device = {0};
    emk_cli_memory_model m = {.fd = -1};
    emk_opened *opened = NULL;
    uint64_t until = 0;
    emk_status st = check_braces(cli);

    if (st == EMK_OK)
        st = emk_cli_open_model(cli, &device, &opened);
    if (st == EMK_OK && emk_opened_n_files(opened))
        return run_tree(cli, opened, &device);
    if (st == EMK_OK) {
        until = emk_opened_expires(opened);
        st = hand_out(cli, &opened, &m);
    }
    emk_opened_close(opened);
    emk_cli_device_close(&device);
    if (st == EMK_OK)
        st = run_file(cli, &m, until);
    emk_cli_memory_model_done(&m);
    return st;
}

static const char *const paragraphs[] = {
    "Opens a model and runs a program on it. The program finds the model at a path under "
    "/proc/self/fd, which takes the place of each {} in its words. The path leads to memory: the "
    "model is on no disk, has no name that another program could open, and nobody can change it.",
    "A model of several files becomes a folder in memory, under /dev/shm, that only this user may "
    "open, and {} is its path; it is removed, with all the program put there, when that has ended. "
    "Other programs of this "
    "user could open it until then; if earmark itself is killed (SIGKILL) the next run removes it.",
    "The program then holds the model unprotected, as does whatever it passes it on to: this "
    "protects the model on its way there, not from there on. When the policy's time is over the "
    "program is ended.",
    "The exit code is the program's (128 and the signal's number where one ended it); earmark's "
    "own refusals come before it starts. With --json the report is on stderr, as stdout is the "
    "program's. Where the policy counts opens, this is one.",
    NULL};

static const emk_cli_operand operands[] = {
    {"MODEL", EMK_CLI_WORD, "the model's name, or the entry's as in `earmark device list`", false},
    {0},
};

static const emk_cli_option options[] = {
    EMK_CLI_OPTION_USER,
    EMK_CLI_OPTION_USE,
    EMK_CLI_OPTION_APP,
    EMK_CLI_OPTION_MEMORY,
    EMK_CLI_OPTIONS_GUARD,
    EMK_CLI_OPTIONS_DEVICE,
    {0},
};

static const emk_cli_example examples[] = {
    {"Infer from memory:", "earmark run cat-ears --user alice -- python3 infer.py {}"},
    {"The hash, without any file:", "earmark run cat-ears --user alice -- sha256sum {}"},
    {0},
};

static const emk_cli_exit exits[] = {
    {EMK_E_NOT_FOUND, "there is no such model, or no such program"},
    {EMK_E_POLICY, "another user, expired, opens used up, or memory that cannot be locked"},
    {EMK_E_SEALED, "the vault file is damaged or of another device"},
    {EMK_E_STALE, "an older copy of the vault file was put back"},
    {EMK_E_UNSUPPORTED, "a model of several files, and no tmpfs at /dev/shm"},
    {0},
};

const emk_cli_command EMK_CLI_RUN = {
    .name = "run",
    .summary = "runs a program on a model that stays in memory",
    .synopsis = "MODEL --user NAME -- COMMAND [WORD | {}]...",
    .paragraphs = paragraphs,
    .operands = operands,
    .options = options,
    .examples = examples,
    .exits = exits,
    .takes_command = true,
    .run = run,
};
