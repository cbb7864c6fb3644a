/* What a process can no longer do: other users' rights, system calls, files.
 *
 * Order: emk_sandbox_user, then emk_sandbox_files, then emk_sandbox_calls; all before the first
 * thread, because they hold for the thread that calls and those it starts. */
#ifndef EMK_SERVER_DAEMON_OS_SANDBOX_H
#define EMK_SERVER_DAEMON_OS_SANDBOX_H

#include "core/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Becomes this user and its group for good.  EMK_E_NOT_FOUND; EMK_E_IO; EMK_E_POLICY when it could
 * become root again. */
emk_status emk_sandbox_user(const char *user, emk_error *e) EMK_MUST_CHECK;
/* Root becomes whom the folder belongs to, so that what it writes there can be used by who works
 * there; anybody else stays.  As above. */
emk_status emk_sandbox_owner(const char *folder, emk_error *e) EMK_MUST_CHECK;
/* Gives a folder and what is directly in it to a user; for data folders made as root. */
emk_status emk_sandbox_give(const char *path, const char *user, emk_error *e) EMK_MUST_CHECK;

/* No core dump, no debugger of the same user, nobody reads /proc/<pid>/mem. */
emk_status emk_sandbox_private(emk_error *e) EMK_MUST_CHECK;

/* Whether path is folder or lies below it, links followed; true when that cannot be found out. */
bool emk_sandbox_contains(const char *folder, const char *path);

#define EMK_SANDBOX_PATH_MAX 1024u
/* Fills out with the folder that `file` lies in, as files are replaced by renaming others over
 * them; with the file itself, as it is now, where `hidden` (NULL: nothing) lies below that. */
void emk_sandbox_around(const char *file, const char *hidden, char out[EMK_SANDBOX_PATH_MAX]);

/* From now on only what lies below these folders can be opened.  Sets no_new_privs.
 * EMK_E_UNSUPPORTED when the kernel has no Landlock: the caller decides. */
typedef struct emk_sandbox_paths {
    const char *const *write; /* read, write, make, remove */
    size_t n_write;
    const char *const *read; /* a file may be named too */
    size_t n_read;
} emk_sandbox_paths;
emk_status emk_sandbox_files(const emk_sandbox_paths *p, emk_error *e) EMK_MUST_CHECK;

/* Everything that a server of HTTP does not need is EPERM from now on: ptrace, process_vm_readv,
 * exec, mount, kernel keys, modules … Sets no_new_privs.  EMK_E_UNSUPPORTED without seccomp (this
 * build or this kernel). */
typedef enum emk_sandbox_role {
    EMK_SANDBOX_SERVER,
    EMK_SANDBOX_KEYHOLDER,       /* no sockets but the one it has, no new files */
    EMK_SANDBOX_MESSENGER,       /* connects outwards; listens to nobody, changes no file */
    EMK_SANDBOX_KEYHOLDER_MODULE /* a PKCS#11 module or TPM stack needs its own */
} emk_sandbox_role;
emk_status emk_sandbox_calls(emk_sandbox_role role, emk_error *e) EMK_MUST_CHECK;

#endif
