#include "cli/tree.h"

#include "cli/os_child.h"
#include "cli/text.h"
#include "core/base/os_folder.h"

#include <string.h>

emk_status emk_cli_tree_open(emk_cli *cli, emk_tree *out)
{
    char about[EMK_TREE_ABOUT] = "";
    emk_status st = emk_tree_open(cli->args.operand, cli->args.n_operands, out, about, &cli->error);

    if (st == EMK_E_UNSUPPORTED)
        st = emk_cli_advise(cli, st,
                            "A model is made of regular files and folders: replace the link by "
                            "what it leads to, or take the file away.");
    if (st == EMK_E_LIMIT)
        st = emk_cli_advise(cli, st, "A model may have %u files.", (unsigned)EMK_FILES_MAX);
    if (st == EMK_E_FORMAT)
        st = emk_cli_advise(cli, st,
                            "Rename it: UTF-8 without control characters or \\, at most %u bytes "
                            "with its folders.",
                            (unsigned)EMK_PATH_MAX);
    return emk_cli_about(cli, st, about);
}

/* Writing, or removing what was written. */
typedef struct writing {
    emk_cli *cli;
    emk_span model;
    int dir;
    uint32_t n;    /* files written so far */
    uint32_t only; /* remove as many */
} writing;

/* A path as a string; checked again, as this is where it would do harm. */
static emk_status path_of(const emk_file_entry *entry, char path[EMK_PATH_MAX + 1], emk_error *e)
{
    emk_status st = emk_path_check(entry->path, e);

    if (st != EMK_OK)
        return st;
    memcpy(path, entry->path.p, entry->path.len);
    path[entry->path.len] = 0;
    return EMK_OK;
}

static emk_status fill_file(const writing *w, const emk_file_entry *entry, int fd, emk_error *e)
{
    emk_status st = emk_os_reserve(fd, entry->length, e);

    if (st == EMK_OK)
        st = emk_os_write_at(fd, 0, w->model.p + entry->offset, (size_t)entry->length, e);
    return st == EMK_OK ? emk_os_sync(fd, e) : st;
}

static emk_status write_one(void *self, const emk_file_entry *entry, emk_error *e)
{
    char path[EMK_PATH_MAX + 1];
    writing *w = self;
    int fd = -1;
    emk_status st = path_of(entry, path, e);

    if (st == EMK_OK &&
        (entry->offset > w->model.len || entry->length > w->model.len - entry->offset))
        st = emk_fail(e, EMK_E_FORMAT, "model: a file outside it", w->n);
    if (st == EMK_OK && emk_cli_signals_pending())
        st = emk_fail(e, EMK_E_IO, "model: stopped by a signal", 0);
    if (st != EMK_OK)
        return st;
    st = emk_os_create_below(w->dir, path, &fd, e);
    if (st == EMK_OK)
        st = fill_file(w, entry, fd, e);
    /* its folders, too; what was there is not ours */
    if (st != EMK_OK && st != EMK_E_USED && emk_os_remove_below(w->dir, path, NULL) != EMK_OK)
        emk_cli_remark(w->cli, "could not remove the unfinished %s", path);
    emk_os_close(fd);
    if (st == EMK_OK)
        w->n++;
    return emk_cli_about(w->cli, st, path);
}

static emk_status remove_one(void *self, const emk_file_entry *entry, emk_error *e)
{
    char path[EMK_PATH_MAX + 1];
    writing *w = self;
    emk_status st = path_of(entry, path, e);

    if (w->n == w->only || st != EMK_OK)
        return st;
    w->n++;
    return emk_os_remove_below(w->dir, path, e);
}

emk_status emk_cli_tree_write(emk_cli *cli, const emk_opened *o, int dir)
{
    writing w = {.cli = cli, .model = emk_opened_bytes(o), .dir = dir};
    emk_status st = emk_opened_files_each(o, write_one, &w, &cli->error);

    if (st == EMK_OK)
        return emk_os_folder_sync(dir, &cli->error);
    w.only = w.n;
    w.n = 0;
    if (emk_opened_files_each(o, remove_one, &w, NULL) != EMK_OK)
        emk_cli_remark(cli, "could not remove all that was written: look into the folder");
    return st;
}

void emk_cli_tree_show_file(emk_cli_out *o, emk_span path, uint64_t length, const char *format)
{
    char shown[EMK_PATH_MAX * 4];

    emk_cli_clean(path, shown, sizeof shown);
    emk_cli_say(o, "  %12llu  %-18s %s", (unsigned long long)length, format, shown);
    if (!o->json)
        return;
    emk_cli_begin(o, NULL);
    emk_cli_put_text(o, "path", path);
    emk_cli_put_number(o, "size", length);
    if (format[0])
        emk_cli_put_string(o, "format", format);
    emk_cli_end(o);
}
