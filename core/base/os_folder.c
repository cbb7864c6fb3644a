#include "core/base/os_folder.h"

#include "core/base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define STEP_MAX      256u /* bytes of one step and its final zero */
#define MEMORY_FOLDER "/dev/shm"
#define MEMORY_NAME   "earmark-run-XXXXXX"
#define MEMORY_AGE_S  10 /* a younger one may be about to be locked */

static const int DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/* As in os_file.c: tests make the n-th system call fail. */
static bool io_allowed(void)
{
    if (!emk_fault_hit(EMK_FAULT_IO))
        return true;
    errno = EIO;
    return false;
}

static emk_os_kind kind_of(mode_t mode)
{
    if (S_ISREG(mode))
        return EMK_OS_FILE;
    if (S_ISDIR(mode))
        return EMK_OS_FOLDER;
    return S_ISLNK(mode) ? EMK_OS_LINK : EMK_OS_OTHER;
}

/* What opening a step without following links says. */
static emk_status fail_step(emk_error *e, const char *what)
{
    if (errno == ELOOP)
        return emk_fail(e, EMK_E_UNSUPPORTED, "folder: a link on the way", 0);
    return emk_fail_errno(e, what);
}

emk_status emk_os_path_kind(const char *path, emk_os_kind *out, emk_error *e)
{
    struct stat st;

    if (!io_allowed() || stat(path, &st) != 0)
        return emk_fail_errno(e, "file: cannot stat");
    *out = kind_of(st.st_mode);
    return EMK_OK;
}

emk_status emk_os_folder_open(const char *path, int *dir, emk_error *e)
{
    int fd = io_allowed() ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0)
        return emk_fail_errno(e, "folder: cannot open");
    *dir = fd;
    return EMK_OK;
}

static emk_status found_one(void *self, const char *name, emk_os_kind kind, emk_error *e)
{
    (void)self;
    (void)name;
    (void)kind;
    return emk_fail(e, EMK_E_USED, "folder: is there and not empty", 0);
}

emk_status emk_os_folder_take(const char *path, int *dir, bool *made, emk_error *e)
{
    bool is_new = io_allowed() && mkdir(path, 0700) == 0;
    int fd = -1;
    emk_status st;

    if (!is_new && errno != EEXIST)
        return emk_fail_errno(e, "folder: cannot make it");
    st = emk_os_folder_open(path, &fd, e);
    if (st == EMK_OK)
        st = emk_os_folder_each(fd, "", found_one, NULL, e);
    if (st != EMK_OK) {
        if (fd >= 0)
            close(fd);
        if (is_new)
            rmdir(path);
        return st;
    }
    *dir = fd;
    *made = is_new;
    return EMK_OK;
}

/* Copies the step at *rel, without slashes, and moves *rel behind it; false at the end. */
static bool take_step(const char **rel, char step[STEP_MAX])
{
    size_t len = strcspn(*rel, "/");

    if (len == 0 || len >= STEP_MAX)
        return false;
    memcpy(step, *rel, len);
    step[len] = 0;
    *rel += len;
    if (**rel == '/')
        ++*rel;
    return true;
}

/* Opens the folder that rel's last step is in, and gives that step.  With `make` folders that
 * are not there are made. */
static emk_status open_parent(int dir, const char *rel, bool make, char last[STEP_MAX], int *out,
                              emk_error *e)
{
    int at = io_allowed() ? openat(dir, ".", DIR_FLAGS) : -1;

    if (at < 0)
        return emk_fail_errno(e, "folder: cannot open");
    while (take_step(&rel, last)) {
        int next;

        if (*rel == 0) {
            *out = at;
            return EMK_OK;
        }
        if (make && (!io_allowed() || (mkdirat(at, last, 0700) != 0 && errno != EEXIST)))
            next = -1;
        else
            next = io_allowed() ? openat(at, last, DIR_FLAGS) : -1;
        close(at);
        if (next < 0)
            return fail_step(e, "folder: cannot open");
        at = next;
    }
    close(at);
    return emk_fail(e, EMK_E_USAGE, "folder: no path below it", 0);
}

static emk_status open_folder_below(int dir, const char *rel, int *out, emk_error *e)
{
    char last[STEP_MAX] = ".";
    int at = dir, fd;
    emk_status st = *rel ? open_parent(dir, rel, false, last, &at, e) : EMK_OK;

    if (st != EMK_OK)
        return st;
    fd = io_allowed() ? openat(at, last, DIR_FLAGS) : -1;
    st = fd < 0 ? fail_step(e, "folder: cannot open") : EMK_OK;
    if (at != dir)
        close(at);
    if (st == EMK_OK)
        *out = fd;
    return st;
}

emk_status emk_os_folder_each(int dir, const char *rel, emk_os_entry_fn fn, void *self,
                              emk_error *e)
{
    struct dirent *entry;
    struct stat info;
    int fd = -1;
    DIR *list;
    emk_status st = open_folder_below(dir, rel, &fd, e);

    if (st != EMK_OK)
        return st;
    list = fdopendir(fd); /* its fd from now on */
    if (!list) {
        close(fd);
        return emk_fail_errno(e, "folder: cannot read");
    }
    for (;;) {
        errno = 0;
        entry = io_allowed() ? readdir(list) : NULL;
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!io_allowed() || fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            st = emk_fail_errno(e, "file: cannot stat");
        else
            st = fn(self, entry->d_name, kind_of(info.st_mode), e);
        if (st != EMK_OK)
            break;
    }
    if (st == EMK_OK && errno != 0)
        st = emk_fail_errno(e, "folder: cannot read");
    closedir(list);
    return st;
}

emk_status emk_os_open_below(int dir, const char *rel, int *fd, emk_error *e)
{
    char last[STEP_MAX];
    struct stat info;
    int at, f;
    emk_status st = open_parent(dir, rel, false, last, &at, e);

    if (st != EMK_OK)
        return st;
    /* O_NONBLOCK: opening a FIFO must not hang before it can be refused. */
    f = io_allowed() ? openat(at, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
                     : -1;
    if (f < 0)
        st = fail_step(e, "file: cannot open");
    else if (!io_allowed() || fstat(f, &info) != 0)
        st = emk_fail_errno(e, "file: cannot stat");
    else if (!S_ISREG(info.st_mode))
        st = emk_fail(e, EMK_E_USAGE, "file: not a regular file", 0);
    close(at);
    if (st == EMK_OK)
        *fd = f;
    else if (f >= 0)
        close(f);
    return st;
}

emk_status emk_os_create_below(int dir, const char *rel, int *fd, emk_error *e)
{
    char last[STEP_MAX];
    int at, f;
    emk_status st = open_parent(dir, rel, true, last, &at, e);

    if (st != EMK_OK)
        return st;
    f = io_allowed() ? openat(at, last, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)
                     : -1;
    if (f < 0 && errno == EEXIST)
        st = emk_fail(e, EMK_E_USED, "file: exists already", EEXIST);
    else if (f < 0)
        st = emk_fail_errno(e, "file: cannot create");
    close(at);
    if (st == EMK_OK)
        *fd = f;
    return st;
}

emk_status emk_os_remove_below(int dir, const char *rel, emk_error *e)
{
    char last[STEP_MAX], path[4096];
    size_t len = strlen(rel);
    int at;
    emk_status st;

    if (len >= sizeof path)
        return emk_fail(e, EMK_E_LIMIT, "file: path is too long", len);
    memcpy(path, rel, len + 1);
    st = open_parent(dir, path, false, last, &at, e);
    if (st == EMK_OK) {
        if (!io_allowed() || (unlinkat(at, last, 0) != 0 && errno != ENOENT))
            st = emk_fail_errno(e, "file: cannot remove");
        close(at);
    }
    for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
        *slash = 0;
        if (open_parent(dir, path, false, last, &at, NULL) != EMK_OK)
            continue;
        (void)unlinkat(at, last, AT_REMOVEDIR); /* fails as long as something is in it */
        close(at);
    }
    return st == EMK_E_NOT_FOUND ? EMK_OK : st;
}

emk_status emk_os_folder_sync(int dir, emk_error *e)
{
    if (!io_allowed() || fsync(dir) != 0)
        return emk_fail_errno(e, "folder: cannot sync");
    return EMK_OK;
}

emk_status emk_os_folder_sync_path(const char *path, emk_error *e)
{
    int dir = -1;
    emk_status st = emk_os_folder_open(path, &dir, e);

    if (st == EMK_OK)
        st = emk_os_folder_sync(dir, e);
    if (dir >= 0)
        (void)close(dir);
    return st;
}

static emk_status clear_below(int dir, unsigned depth, emk_error *e);

typedef struct clearing {
    int dir;
    unsigned depth;
} clearing;

static emk_status clear_one(void *self, const char *name, emk_os_kind kind, emk_error *e)
{
    const clearing *c = self;
    int fd, flag = 0;
    emk_status st = EMK_OK;

    if (kind == EMK_OS_FOLDER) {
        flag = AT_REMOVEDIR;
        fd = io_allowed() ? openat(c->dir, name, DIR_FLAGS) : -1;
        if (fd < 0)
            return fail_step(e, "folder: cannot open");
        st = clear_below(fd, c->depth + 1, e);
        close(fd);
    }
    if (st == EMK_OK && (!io_allowed() || unlinkat(c->dir, name, flag) != 0))
        st = emk_fail_errno(e, "file: cannot remove");
    return st;
}

static emk_status clear_below(int dir, unsigned depth, emk_error *e)
{
    clearing c = {dir, depth};

    if (depth > EMK_OS_FOLDER_DEPTH)
        return emk_fail(e, EMK_E_LIMIT, "folder: too deep", depth);
    return emk_os_folder_each(dir, "", clear_one, &c, e);
}

emk_status emk_os_folder_clear(int dir, emk_error *e)
{
    return clear_below(dir, 0, e);
}

emk_status emk_os_folder_remove(const char *path, emk_error *e)
{
    if (!io_allowed() || (rmdir(path) != 0 && errno != ENOENT))
        return emk_fail_errno(e, "folder: cannot remove");
    return EMK_OK;
}

/* Whether a folder in memory is one of ours that nobody uses any more; then it is locked. */
static bool is_left_over(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 && info.st_uid == geteuid() && (info.st_mode & 07777) == 0700 &&
           info.st_mtim.tv_sec < time(NULL) - MEMORY_AGE_S && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* What cannot be removed now is looked at again the next time. */
static emk_status sweep_one(void *self, const char *name, emk_os_kind kind, emk_error *e)
{
    const int *memory = self;
    int fd;

    (void)e;
    if (kind != EMK_OS_FOLDER || strlen(name) != strlen(MEMORY_NAME) ||
        strncmp(name, MEMORY_NAME, strlen(MEMORY_NAME) - 6) != 0)
        return EMK_OK;
    fd = io_allowed() ? openat(*memory, name, DIR_FLAGS) : -1;
    if (fd < 0)
        return EMK_OK;
    if (is_left_over(fd) && clear_below(fd, 0, NULL) == EMK_OK)
        (void)unlinkat(*memory, name, AT_REMOVEDIR);
    close(fd);
    return EMK_OK;
}

static void sweep(void)
{
    int memory = -1;

    if (emk_os_folder_open(MEMORY_FOLDER, &memory, NULL) != EMK_OK)
        return;
    if (emk_os_folder_each(memory, "", sweep_one, &memory, NULL) != EMK_OK)
        errno = 0; /* another process swept at the same time */
    close(memory);
}

emk_status emk_os_memory_folder(char path[EMK_OS_MEMORY_FOLDER_PATH], int *dir, emk_error *e)
{
    char made[EMK_OS_MEMORY_FOLDER_PATH] = MEMORY_FOLDER "/" MEMORY_NAME;
    struct statfs s;
    int fd = -1;
    emk_status st;

    if (!io_allowed() || statfs(MEMORY_FOLDER, &s) != 0 || s.f_type != TMPFS_MAGIC)
        return emk_fail(e, EMK_E_UNSUPPORTED, "folder: no file system in memory at /dev/shm", 0);
    sweep();
    if (!io_allowed() || !mkdtemp(made))
        return emk_fail_errno(e, "folder: cannot make one in memory");
    st = emk_os_folder_open(made, &fd, e);
    if (st == EMK_OK && (!io_allowed() || flock(fd, LOCK_EX | LOCK_NB) != 0))
        st = emk_fail_errno(e, "folder: cannot lock it");
    if (st == EMK_OK) {
        memcpy(path, made, sizeof made);
        *dir = fd;
        return EMK_OK;
    }
    if (fd >= 0)
        close(fd);
    rmdir(made);
    return st;
}
