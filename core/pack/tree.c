#include "core/pack/tree.h"

#include "core/base/alloc.h"
#include "core/base/os_folder.h"

#include <stdio.h>
#include <stdlib.h>

#define FOLDERS_TEXT ((size_t)EMK_TREE_FOLDERS_MAX * (EMK_PATH_MAX + 1))

/* What is being opened.  Folders wait in a list, so that depth costs no stack. */
typedef struct walk {
    emk_tree *tree;
    emk_buf folders; /* relative paths, each with its final zero */
    uint32_t n_folders;
    char here[EMK_PATH_MAX + 2]; /* the folder that is read, and a slash; "" at the top */
    char *about;
} walk;

static void tell(char *about, const char *folder, const char *name)
{
    if (about)
        snprintf(about, EMK_TREE_ABOUT, "%s%s", folder, name);
}

static emk_status changed(emk_error *e)
{
    return emk_fail(e, EMK_E_IO, "model: changed while it was sealed", 0);
}

/* ---- the files as one source ---- */

/* The file that the byte at off is in; empty files have none. */
static uint32_t file_at(const emk_tree *t, uint64_t off)
{
    uint32_t lo = 0, hi = t->n_files;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (t->list[mid].offset + t->list[mid].length <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static emk_status read_tree(void *self, uint64_t off, uint8_t *out, size_t len, emk_error *e)
{
    const emk_tree *t = self;

    for (uint32_t i = file_at(t, off); len > 0; i++) {
        const emk_pack_file *f = &t->list[i];
        uint64_t left = f->length - (off - f->offset);
        size_t n = left < len ? (size_t)left : len;
        emk_status st;

        if (n == 0)
            continue;
        st = emk_os_read_at(t->files[i].fd, off - f->offset, out, n, e);
        if (st == EMK_E_FORMAT)
            return changed(e); /* it has become shorter */
        if (st != EMK_OK)
            return st;
        off += n;
        out += n;
        len -= n;
    }
    return EMK_OK;
}

/* ---- finding the files ---- */

static emk_status add_file(walk *w, const char *path, int fd, emk_error *e)
{
    emk_tree *t = w->tree;
    emk_tree_file *f = &t->files[t->n_files];
    emk_status st = emk_os_file_stamp(fd, &f->stamp, e);

    if (st != EMK_OK) {
        emk_os_close(fd);
        return st;
    }
    snprintf(f->path, sizeof f->path, "%s", path);
    f->fd = fd;
    t->n_files++;
    return EMK_OK;
}

static emk_status check_room(const walk *w, emk_error *e)
{
    if (w->tree->n_files == EMK_FILES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "model: too many files", EMK_FILES_MAX);
    return EMK_OK;
}

static emk_status add_folder(walk *w, const char *path, emk_error *e)
{
    if (w->n_folders == EMK_TREE_FOLDERS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "model: too many folders", EMK_TREE_FOLDERS_MAX);
    w->n_folders++;
    return emk_buf_append(&w->folders, emk_span_of(path, strlen(path) + 1), e);
}

static emk_status add_entry(void *self, const char *name, emk_os_kind kind, emk_error *e)
{
    char path[sizeof((walk *)0)->here + 256];
    walk *w = self;
    int fd = -1;
    emk_status st;

    tell(w->about, w->here, name);
    snprintf(path, sizeof path, "%s%s", w->here, name);
    st = emk_path_check(emk_span_str(path), e);
    if (st != EMK_OK)
        return st;
    if (kind == EMK_OS_FOLDER)
        return add_folder(w, path, e);
    if (kind == EMK_OS_LINK)
        return emk_fail(e, EMK_E_UNSUPPORTED, "model: a link, which a model cannot hold", 0);
    if (kind != EMK_OS_FILE)
        return emk_fail(e, EMK_E_UNSUPPORTED, "model: a device, a pipe or the like", 0);
    st = check_room(w, e);
    if (st == EMK_OK)
        st = emk_os_open_below(w->tree->dir, path, &fd, e);
    return st == EMK_OK ? add_file(w, path, fd, e) : st;
}

static emk_status walk_folder(walk *w, const char *path, emk_error *e)
{
    size_t at = 0;
    emk_status st;

    tell(w->about, path, "");
    st = emk_os_folder_open(path, &w->tree->dir, e);
    if (st == EMK_OK)
        st = add_folder(w, "", e);
    while (st == EMK_OK && at < w->folders.len) {
        char rel[EMK_PATH_MAX + 1];
        size_t len = strlen((const char *)w->folders.p + at);

        memcpy(rel, w->folders.p + at, len + 1); /* the buffer moves when it grows */
        snprintf(w->here, sizeof w->here, "%s%s", rel, len ? "/" : "");
        at += len + 1;
        tell(w->about, rel, "");
        st = emk_os_folder_each(w->tree->dir, rel, add_entry, w, e);
    }
    emk_os_close(w->tree->dir);
    w->tree->dir = -1;
    return st;
}

static const char *last_step(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static emk_status walk_named(walk *w, const char *path, emk_error *e)
{
    emk_os_kind kind = EMK_OS_OTHER;
    int fd = -1;
    emk_status st;

    tell(w->about, path, "");
    st = emk_os_path_kind(path, &kind, e);
    if (st == EMK_OK && kind == EMK_OS_FOLDER)
        return emk_fail(e, EMK_E_USAGE, "model: one folder, or several files, not both", 0);
    if (st == EMK_OK)
        st = check_room(w, e);
    if (st == EMK_OK && !w->tree->single)
        st = emk_path_check(emk_span_str(last_step(path)), e);
    if (st == EMK_OK)
        st = emk_os_open_read(path, &fd, e);
    return st == EMK_OK ? add_file(w, w->tree->single ? "" : last_step(path), fd, e) : st;
}

static emk_status find_files(walk *w, const char *const *paths, size_t n_paths, emk_error *e)
{
    emk_os_kind kind = EMK_OS_OTHER;
    emk_status st;

    tell(w->about, n_paths ? paths[0] : "", "");
    if (n_paths == 0)
        return emk_fail(e, EMK_E_USAGE, "model: no file is named", 0);
    w->tree->single = n_paths == 1;
    st = emk_os_path_kind(paths[0], &kind, e);
    if (st != EMK_OK)
        return st;
    if (n_paths == 1 && kind == EMK_OS_FOLDER) {
        w->tree->single = false;
        st = walk_folder(w, paths[0], e);
        if (st != EMK_OK || w->tree->n_files > 0)
            return st;
        tell(w->about, paths[0], "");
        return emk_fail(e, EMK_E_USAGE, "model: no file in this folder", 0);
    }
    for (size_t i = 0; st == EMK_OK && i < n_paths; i++)
        st = walk_named(w, paths[i], e);
    return st;
}

/* ---- in order ---- */

static int by_path(const void *a, const void *b)
{
    const emk_tree_file *x = a, *y = b;

    return emk_path_compare(emk_span_str(x->path), emk_span_str(y->path));
}

static emk_status put_in_order(emk_tree *t, char *about, emk_error *e)
{
    uint64_t offset = 0;

    qsort(t->files, t->n_files, sizeof *t->files, by_path);
    t->list = emk_alloc(t->n_files, sizeof *t->list);
    if (!t->list)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory for its files", t->n_files);
    for (uint32_t i = 0; i < t->n_files; i++) {
        emk_tree_file *f = &t->files[i];

        tell(about, f->path, "");
        if (i > 0 && strcmp(f->path, f[-1].path) == 0)
            return emk_fail(e, EMK_E_USAGE, "model: two of its files have this name", 0);
        if (f->stamp.size > UINT64_MAX - offset)
            return emk_fail(e, EMK_E_LIMIT, "model: too long", offset);
        t->list[i] = (emk_pack_file){f->path, offset, f->stamp.size};
        offset += f->stamp.size;
    }
    t->source.len = offset;
    return EMK_OK;
}

emk_status emk_tree_open(const char *const *paths, size_t n_paths, emk_tree *out, char *about,
                         emk_error *e)
{
    walk w = {.tree = out, .about = about};
    emk_status st;

    *out = (emk_tree){.dir = -1};
    emk_buf_init(&w.folders, FOLDERS_TEXT);
    out->files = emk_alloc(EMK_FILES_MAX, sizeof *out->files);
    if (!out->files)
        return emk_fail(e, EMK_E_NO_MEMORY, "model: no memory for its files", EMK_FILES_MAX);
    st = find_files(&w, paths, n_paths, e);
    emk_buf_done(&w.folders);
    if (st == EMK_OK)
        st = put_in_order(out, about, e);
    if (st != EMK_OK) {
        emk_tree_done(out);
        return st;
    }
    out->source.read = read_tree;
    out->source.self = out;
    return EMK_OK;
}

emk_status emk_tree_check_unchanged(const emk_tree *t, char *about, emk_error *e)
{
    for (uint32_t i = 0; i < t->n_files; i++) {
        emk_os_stamp now;
        emk_status st = emk_os_file_stamp(t->files[i].fd, &now, e);

        tell(about, t->files[i].path, "");
        if (st != EMK_OK)
            return st;
        if (memcmp(&now, &t->files[i].stamp, sizeof now) != 0)
            return changed(e);
    }
    return EMK_OK;
}

void emk_tree_done(emk_tree *t)
{
    for (uint32_t i = 0; i < t->n_files; i++)
        emk_os_close(t->files[i].fd);
    emk_free(t->files);
    emk_free(t->list);
    *t = (emk_tree){.dir = -1};
}
