/* Files: whole reads and writes at offsets, durable replacement, locks.
 * Descriptors are plain ints, close-on-exec always.  Errors: EMK_E_IO (where = errno),
 * EMK_E_NOT_FOUND, EMK_E_BUSY; `what` names the operation, the caller knows the path. */
#ifndef EMK_CORE_BASE_OS_FILE_H
#define EMK_CORE_BASE_OS_FILE_H

#include "core/base/buf.h"
#include "core/base/secret.h"

/* Opens for reading.  Refuses what is not a regular file (EMK_E_USAGE). */
emk_status emk_os_open_read(const char *path, int *fd, emk_error *e) EMK_MUST_CHECK;
/* Opens an existing regular file for reading and writing. */
emk_status emk_os_open_update(const char *path, int *fd, emk_error *e) EMK_MUST_CHECK;
/* Creates a file that must not exist (EMK_E_USED if it does), mode 0600. */
emk_status emk_os_create_new(const char *path, int *fd, emk_error *e) EMK_MUST_CHECK;
/* Closes; -1 is fine. */
void emk_os_close(int fd);

emk_status emk_os_file_size(int fd, uint64_t *len, emk_error *e) EMK_MUST_CHECK;
/* Changes whenever the content may have: compare two to see that a file was left alone. */
typedef struct emk_os_stamp {
    uint64_t dev, ino, size;
    int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
} emk_os_stamp;
emk_status emk_os_file_stamp(int fd, emk_os_stamp *out, emk_error *e) EMK_MUST_CHECK;

/* Exactly len bytes at off.  EMK_E_FORMAT when the file ends before. */
emk_status emk_os_read_at(int fd, uint64_t off, void *out, size_t len, emk_error *e) EMK_MUST_CHECK;
emk_status emk_os_write_at(int fd, uint64_t off, const void *p, size_t len,
                           emk_error *e) EMK_MUST_CHECK;
/* Sets the length, reserving the space where the file system can (so that a full disk is
 * noticed now, not half-way). */
emk_status emk_os_reserve(int fd, uint64_t len, emk_error *e) EMK_MUST_CHECK;
emk_status emk_os_sync(int fd, emk_error *e) EMK_MUST_CHECK;
/* The same for what is needed to read the bytes again, without the times: for appended logs. */
emk_status emk_os_sync_data(int fd, emk_error *e) EMK_MUST_CHECK;
/* All that was written to the file system that fd is on. */
emk_status emk_os_sync_all(int fd, emk_error *e) EMK_MUST_CHECK;
/* Cuts the file to len bytes; not durable by itself. */
emk_status emk_os_truncate(int fd, uint64_t len, emk_error *e) EMK_MUST_CHECK;

/* Takes an exclusive lock, waiting (wait true) or EMK_E_BUSY.  Gone when fd is closed. */
emk_status emk_os_lock(int fd, bool wait, emk_error *e) EMK_MUST_CHECK;
/* The same on a file made for it (empty, mode 0600) unless it is there; gives the open file. */
emk_status emk_os_lock_file(const char *path, bool wait, int *fd, emk_error *e) EMK_MUST_CHECK;
/* EMK_E_USAGE unless the file is this user's (or root's) and nobody else may open it. */
emk_status emk_os_check_private(int fd, emk_error *e) EMK_MUST_CHECK;

/* The same, or the file is of whom dir belongs to, who could put another one there anyway: for a
 * root that reads before it becomes that user. */
emk_status emk_os_check_private_in(int fd, const char *dir, emk_error *e) EMK_MUST_CHECK;

/* Renames over `to` and makes the directory entry durable. */
emk_status emk_os_replace(const char *from, const char *to, emk_error *e) EMK_MUST_CHECK;
/* Removes; durable.  A missing file is EMK_E_NOT_FOUND. */
emk_status emk_os_remove(const char *path, emk_error *e) EMK_MUST_CHECK;
/* Makes a directory, mode 0700; one that exists is fine. */
emk_status emk_os_make_dir(const char *path, emk_error *e) EMK_MUST_CHECK;
bool emk_os_exists(const char *path);
/* Renames over `to`, renames to a name that must be free (EMK_E_USED), and removes, all without
 * making it durable: for what a power cut may undo. */
emk_status emk_os_rename(const char *from, const char *to, emk_error *e) EMK_MUST_CHECK;
emk_status emk_os_rename_new(const char *from, const char *to, emk_error *e) EMK_MUST_CHECK;
emk_status emk_os_discard(const char *path, emk_error *e) EMK_MUST_CHECK;

/* Whole small files.  Reading: EMK_E_LIMIT beyond max.  Writing is a temporary file beside,
 * synced, renamed over, directory synced: a killed process leaves the old or the new. */
emk_status emk_os_read_file(const char *path, size_t max, emk_buf *out,
                            emk_error *e) EMK_MUST_CHECK;
emk_status emk_os_write_file(const char *path, emk_span s, emk_error *e) EMK_MUST_CHECK;
/* The same for a name that must be free: EMK_E_USED, and what is there stays.  A killed process
 * leaves nothing of that name, or all of it. */
emk_status emk_os_write_file_new(const char *path, emk_span s, emk_error *e) EMK_MUST_CHECK;
/* The same into a secret that *out gets; free with emk_secret_free. */
emk_status emk_os_read_secret(const char *path, size_t max, emk_secret **out,
                              emk_error *e) EMK_MUST_CHECK;

/* A fresh name beside `path` for a file to be renamed over it: "<path>.tmp-XXXXXX".
 * Gives the open file (mode 0600) and fills name (at least strlen(path) + 16 bytes). */
emk_status emk_os_create_beside(const char *path, int *fd, char *name, size_t cap,
                                emk_error *e) EMK_MUST_CHECK;

/* Calls fn for each entry of a directory, not for . and ..; order is the system's. */
emk_status emk_os_list_dir(const char *path,
                           emk_status (*fn)(void *self, const char *name, emk_error *e), void *self,
                           emk_error *e) EMK_MUST_CHECK;

/* An anonymous file in memory (memfd) that allows F_ADD_SEALS; close-on-exec off when
 * `inherit`; *fd is given. */
emk_status emk_os_memory_file(const char *name, bool inherit, int *fd, emk_error *e) EMK_MUST_CHECK;

/* Turns all of an anonymous file into zeros, its length kept, also for who has it mapped. */
emk_status emk_os_memory_blank(int fd, emk_error *e) EMK_MUST_CHECK;

/* "<dir>/<name><suffix>" into out.  EMK_E_LIMIT when cap is too small. */
emk_status emk_os_join(char *out, size_t cap, const char *dir, const char *name, const char *suffix,
                       emk_error *e) EMK_MUST_CHECK;

#endif
