/* Folders and what lies below them: reached by descriptor, one step of a path after the other
 * and never through a link, so that nobody can lead a read or a write elsewhere meanwhile.
 *
 * A `rel` is a relative path that was checked (core/seal/plan.h: emk_path_check).  Its steps are
 * opened one by one.  A link on the way is EMK_E_UNSUPPORTED. */
#ifndef EMK_CORE_BASE_OS_FOLDER_H
#define EMK_CORE_BASE_OS_FOLDER_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum emk_os_kind {
    EMK_OS_FILE,
    EMK_OS_FOLDER,
    EMK_OS_LINK,
    EMK_OS_OTHER /* a FIFO, a device, a socket */
} emk_os_kind;

/* What is at path, where a link leads to included.  EMK_E_NOT_FOUND, EMK_E_IO. */
emk_status emk_os_path_kind(const char *path, emk_os_kind *out, emk_error *e) EMK_MUST_CHECK;

/* Opens a folder; close with emk_os_close.  EMK_E_NOT_FOUND, EMK_E_IO. */
emk_status emk_os_folder_open(const char *path, int *dir, emk_error *e) EMK_MUST_CHECK;

/* Opens a folder to write into: one that is not there yet is made (mode 0700, *made says so),
 * one that is there must be empty (EMK_E_USED). */
emk_status emk_os_folder_take(const char *path, int *dir, bool *made, emk_error *e) EMK_MUST_CHECK;

/* Calls fn for each entry of the folder rel below dir ("": dir itself), not for . and ..; a link
 * is shown as one, not followed.  The order is the system's.  fn may stop it by a status. */
typedef emk_status (*emk_os_entry_fn)(void *self, const char *name, emk_os_kind kind, emk_error *e);
emk_status emk_os_folder_each(int dir, const char *rel, emk_os_entry_fn fn, void *self,
                              emk_error *e) EMK_MUST_CHECK;

/* Opens a regular file for reading.  EMK_E_USAGE for anything else. */
emk_status emk_os_open_below(int dir, const char *rel, int *fd, emk_error *e) EMK_MUST_CHECK;
/* Creates a file that must not exist (EMK_E_USED), mode 0600, and the folders above it that are
 * not there, mode 0700. */
emk_status emk_os_create_below(int dir, const char *rel, int *fd, emk_error *e) EMK_MUST_CHECK;
/* Removes a file and those folders above it, up to dir, that are empty then.  One that is not
 * there is fine. */
emk_status emk_os_remove_below(int dir, const char *rel, emk_error *e) EMK_MUST_CHECK;
/* Makes the folder's own entries durable. */
emk_status emk_os_folder_sync(int dir, emk_error *e) EMK_MUST_CHECK;
emk_status emk_os_folder_sync_path(const char *path, emk_error *e) EMK_MUST_CHECK;

#define EMK_OS_FOLDER_DEPTH 64u
/* Removes all that is in a folder of our own, whatever was put there; links are removed, not
 * followed.  EMK_E_LIMIT deeper than EMK_OS_FOLDER_DEPTH. */
emk_status emk_os_folder_clear(int dir, emk_error *e) EMK_MUST_CHECK;

/* Removes an empty folder.  One that is not there is fine. */
emk_status emk_os_folder_remove(const char *path, emk_error *e) EMK_MUST_CHECK;

#define EMK_OS_MEMORY_FOLDER_PATH 64u
/* Makes a folder of this user's alone (mode 0700) on a file system that is memory, and writes
 * its path to `path`; it is in use for as long as *dir is open.  Removes those that killed
 * processes of this user left.  EMK_E_UNSUPPORTED when this machine has none. */
emk_status emk_os_memory_folder(char path[EMK_OS_MEMORY_FOLDER_PATH], int *dir,
                                emk_error *e) EMK_MUST_CHECK;

#endif
