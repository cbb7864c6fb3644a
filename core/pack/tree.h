/* A model on disk: one file, several files, or a folder with all that is in it.
 *
 * Files are opened once and stay open, so what is planned is what is sealed, whatever happens
 * to their names.  Inside a folder links, devices and FIFOs are refused; what the caller names
 * itself may be a link. */
#ifndef EMK_CORE_PACK_TREE_H
#define EMK_CORE_PACK_TREE_H

#include "core/base/os_file.h"
#include "core/pack/survey.h"

#define EMK_TREE_FOLDERS_MAX 4096u
#define EMK_TREE_ABOUT       4352u /* bytes for a path that a failure is about */

typedef struct emk_tree_file {
    char path[EMK_PATH_MAX + 1];
    int fd;
    emk_os_stamp stamp;
} emk_tree_file;

/* Must stay where it is while the source is in use. */
typedef struct emk_tree {
    emk_tree_file *files; /* owned; in the order of emk_path_compare */
    emk_pack_file *list;  /* owned; the same for core/pack/pack.h */
    uint32_t n_files;
    bool single;       /* one file, which has no name in the model */
    emk_source source; /* all of them, one behind the other; for several threads */
    int dir;           /* while it is opened */
} emk_tree;

/* Opens what the paths name: one file, one folder, or several files, which get the last steps of
 * their paths as names.  Fills *out; end with emk_tree_done.
 * `about` (NULL, or EMK_TREE_ABOUT bytes) gets the path a failure is about.
 * EMK_E_NOT_FOUND; EMK_E_UNSUPPORTED for a link or what is no file; EMK_E_FORMAT for a name that
 * no model can have; EMK_E_LIMIT for more than EMK_FILES_MAX files; EMK_E_USAGE for no file at
 * all, or a name that comes twice; EMK_E_IO, EMK_E_NO_MEMORY. */
emk_status emk_tree_open(const char *const *paths, size_t n_paths, emk_tree *out, char *about,
                         emk_error *e) EMK_MUST_CHECK;

/* EMK_E_IO when a file was written to, cut, or replaced since it was opened.  Call it when all
 * is read: what was sealed until then is no version of the model. */
emk_status emk_tree_check_unchanged(const emk_tree *t, char *about, emk_error *e) EMK_MUST_CHECK;

/* Closes the files.  An all-zero tree is fine. */
void emk_tree_done(emk_tree *t);

#endif
