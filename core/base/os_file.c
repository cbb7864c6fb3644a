#include "core/base/os_file.h"

#include "core/base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PATH_CAP 4096

/* Every system call below passes here first, so that tests can make the n-th one fail as a
 * full disk would, or kill the process before it. */
static bool io_allowed(void)
{
    if (!emk_fault_hit(EMK_FAULT_IO))
        return true;
    errno = EIO;
    return false;
}

static emk_status check_regular(int fd, emk_error *e)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return emk_fail_errno(e, "file: cannot stat");
    if (!S_ISREG(st.st_mode))
        return emk_fail(e, EMK_E_USAGE, "file: not a regular file", 0);
    return EMK_OK;
}

static emk_status open_regular(const char *path, int flags, int *fd, emk_error *e)
{
    /* O_NONBLOCK: opening a FIFO must not hang before it can be refused. */
    int f = io_allowed() ? open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    emk_status st;

    if (f < 0)
        return emk_fail_errno(e, "file: cannot open");
    st = check_regular(f, e);
    if (st != EMK_OK) {
        close(f);
        return st;
    }
    *fd = f;
    return EMK_OK;
}

emk_status emk_os_open_read(const char *path, int *fd, emk_error *e)
{
    return open_regular(path, O_RDONLY, fd, e);
}

emk_status emk_os_open_update(const char *path, int *fd, emk_error *e)
{
    return open_regular(path, O_RDWR, fd, e);
}

emk_status emk_os_create_new(const char *path, int *fd, emk_error *e)
{
    int f = io_allowed() ? open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;

    if (f < 0 && errno == EEXIST)
        return emk_fail(e, EMK_E_USED, "file: exists already", EEXIST);
    if (f < 0)
        return emk_fail_errno(e, "file: cannot create");
    *fd = f;
    return EMK_OK;
}

void emk_os_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

emk_status emk_os_file_size(int fd, uint64_t *len, emk_error *e)
{
    emk_os_stamp s = {0};
    emk_status st = emk_os_file_stamp(fd, &s, e);

    if (st == EMK_OK)
        *len = s.size;
    return st;
}

emk_status emk_os_file_stamp(int fd, emk_os_stamp *out, emk_error *e)
{
    struct stat st;

    if (!io_allowed() || fstat(fd, &st) != 0)
        return emk_fail_errno(e, "file: cannot stat");
    *out = (emk_os_stamp){.dev = (uint64_t)st.st_dev,
                          .ino = (uint64_t)st.st_ino,
                          .size = (uint64_t)st.st_size,
                          .mtime_s = st.st_mtim.tv_sec,
                          .mtime_ns = st.st_mtim.tv_nsec,
                          .ctime_s = st.st_ctim.tv_sec,
                          .ctime_ns = st.st_ctim.tv_nsec};
    return EMK_OK;
}

emk_status emk_os_read_at(int fd, uint64_t off, void *out, size_t len, emk_error *e)
{
    uint8_t *p = out;

    while (len > 0) {
        ssize_t n = io_allowed() ? pread(fd, p, len, (off_t)off) : -1;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return emk_fail_errno(e, "file: cannot read");
        if (n == 0)
            return emk_fail(e, EMK_E_FORMAT, "file: ends too early", off);
        p += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return EMK_OK;
}

emk_status emk_os_write_at(int fd, uint64_t off, const void *p, size_t len, emk_error *e)
{
    const uint8_t *from = p;

    while (len > 0) {
        ssize_t n = io_allowed() ? pwrite(fd, from, len, (off_t)off) : -1;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return emk_fail_errno(e, "file: cannot write");
        from += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return EMK_OK;
}

/* On a file system in memory, reserving allocates every page while nobody else may touch the
 * file, which costs as much as writing it: there it is only asked whether there is room. */
static bool has_room_in_memory(int fd, uint64_t len)
{
    struct statfs s;

    if (fstatfs(fd, &s) != 0 || s.f_type != TMPFS_MAGIC)
        return false;
    return s.f_blocks == 0 || (uint64_t)s.f_bavail * (uint64_t)s.f_bsize >= len;
}

emk_status emk_os_reserve(int fd, uint64_t len, emk_error *e)
{
    struct stat st;

    if (!io_allowed())
        return emk_fail_errno(e, "file: cannot reserve space");
    if (len == 0)
        return EMK_OK;
    if (!has_room_in_memory(fd, len)) {
        if (fallocate(fd, 0, 0, (off_t)len) == 0)
            return EMK_OK;
        if (errno != EOPNOTSUPP && errno != ENOSYS)
            return emk_fail_errno(e, "file: cannot reserve space");
    }
    if (fstat(fd, &st) != 0)
        return emk_fail_errno(e, "file: cannot stat");
    /* Never shorter: fallocate would not cut either. */
    if ((uint64_t)st.st_size < len && ftruncate(fd, (off_t)len) != 0)
        return emk_fail_errno(e, "file: cannot set the length");
    return EMK_OK;
}

emk_status emk_os_sync(int fd, emk_error *e)
{
    if (!io_allowed() || fsync(fd) != 0)
        return emk_fail_errno(e, "file: cannot sync");
    return EMK_OK;
}

emk_status emk_os_sync_data(int fd, emk_error *e)
{
    if (!io_allowed() || fdatasync(fd) != 0)
        return emk_fail_errno(e, "file: cannot sync");
    return EMK_OK;
}

emk_status emk_os_sync_all(int fd, emk_error *e)
{
    if (!io_allowed() || syncfs(fd) != 0)
        return emk_fail_errno(e, "file: cannot sync");
    return EMK_OK;
}

emk_status emk_os_truncate(int fd, uint64_t len, emk_error *e)
{
    if (!io_allowed() || ftruncate(fd, (off_t)len) != 0)
        return emk_fail_errno(e, "file: cannot cut");
    return EMK_OK;
}

emk_status emk_os_lock(int fd, bool wait, emk_error *e)
{
    int r;

    do {
        r = io_allowed() ? flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) : -1;
    } while (r != 0 && errno == EINTR);
    if (r != 0 && errno == EWOULDBLOCK)
        return emk_fail(e, EMK_E_BUSY, "file: locked by another process", 0);
    if (r != 0)
        return emk_fail_errno(e, "file: cannot lock");
    return EMK_OK;
}

emk_status emk_os_lock_file(const char *path, bool wait, int *fd, emk_error *e)
{
    int f =
        io_allowed() ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600) : -1;
    emk_status st;

    if (f < 0)
        return emk_fail_errno(e, "file: cannot open a lock file");
    st = check_regular(f, e);
    if (st == EMK_OK)
        st = emk_os_lock(f, wait, e);
    if (st != EMK_OK) {
        close(f);
        return st;
    }
    *fd = f;
    return EMK_OK;
}

static emk_status check_private(int fd, uid_t owner, emk_error *e)
{
    struct stat st;

    if (!io_allowed() || fstat(fd, &st) != 0)
        return emk_fail_errno(e, "file: cannot stat");
    if (st.st_uid != owner && st.st_uid != geteuid() && st.st_uid != 0)
        return emk_fail(e, EMK_E_USAGE, "file: belongs to another user", st.st_uid);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return emk_fail(e, EMK_E_USAGE, "file: others than its owner may open it (chmod 600)",
                        st.st_mode & 07777);
    return EMK_OK;
}

emk_status emk_os_check_private(int fd, emk_error *e)
{
    return check_private(fd, geteuid(), e);
}

emk_status emk_os_check_private_in(int fd, const char *dir, emk_error *e)
{
    struct stat st;

    if (!io_allowed() || stat(dir, &st) != 0)
        return emk_fail_errno(e, "file: cannot stat");
    return check_private(fd, st.st_uid, e);
}

/* A rename or removal is durable only once its directory is. */
static emk_status sync_parent(const char *path, emk_error *e)
{
    char dir[PATH_CAP];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 1;
    int fd, ok;

    if (len + 1 > sizeof dir)
        return emk_fail(e, EMK_E_LIMIT, "file: path is too long", len);
    if (slash && len == 0)
        len = 1; /* the root itself */
    memcpy(dir, slash ? path : ".", len);
    dir[len] = '\0';
    fd = io_allowed() ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return emk_fail_errno(e, "file: cannot open the directory");
    ok = io_allowed() && fsync(fd) == 0;
    close(fd);
    return ok ? EMK_OK : emk_fail_errno(e, "file: cannot sync the directory");
}

emk_status emk_os_replace(const char *from, const char *to, emk_error *e)
{
    if (!io_allowed() || rename(from, to) != 0)
        return emk_fail_errno(e, "file: cannot rename");
    return sync_parent(to, e);
}

emk_status emk_os_remove(const char *path, emk_error *e)
{
    if (!io_allowed() || unlink(path) != 0)
        return emk_fail_errno(e, "file: cannot remove");
    return sync_parent(path, e);
}

emk_status emk_os_rename(const char *from, const char *to, emk_error *e)
{
    if (!io_allowed() || rename(from, to) != 0)
        return emk_fail_errno(e, "file: cannot rename");
    return EMK_OK;
}

emk_status emk_os_rename_new(const char *from, const char *to, emk_error *e)
{
    if (io_allowed() && renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return EMK_OK;
    if (errno == EEXIST)
        return emk_fail(e, EMK_E_USED, "file: exists already", EEXIST);
    return emk_fail_errno(e, "file: cannot rename");
}

emk_status emk_os_discard(const char *path, emk_error *e)
{
    if (!io_allowed() || unlink(path) != 0)
        return emk_fail_errno(e, "file: cannot remove");
    return EMK_OK;
}

emk_status emk_os_make_dir(const char *path, emk_error *e)
{
    struct stat st;

    if (io_allowed() && mkdir(path, 0700) == 0)
        return sync_parent(path, e);
    if (errno != EEXIST)
        return emk_fail_errno(e, "file: cannot make the directory");
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return emk_fail(e, EMK_E_USAGE, "file: is there and not a directory", 0);
    return EMK_OK;
}

bool emk_os_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

emk_status emk_os_read_file(const char *path, size_t max, emk_buf *out, emk_error *e)
{
    uint64_t len = 0;
    uint8_t *room;
    emk_status st;
    int fd;

    st = emk_os_open_read(path, &fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_file_size(fd, &len, e);
    if (st == EMK_OK && len > max)
        st = emk_fail(e, EMK_E_LIMIT, "file: too large", len);
    if (st == EMK_OK)
        st = emk_buf_grow(out, (size_t)len, &room, e);
    if (st == EMK_OK) {
        st = emk_os_read_at(fd, 0, room, (size_t)len, e);
        if (st != EMK_OK)
            out->len -= (size_t)len;
    }
    emk_os_close(fd);
    return st;
}

emk_status emk_os_read_secret(const char *path, size_t max, emk_secret **out, emk_error *e)
{
    emk_secret *s = NULL;
    uint64_t len = 0;
    emk_status st;
    int fd;

    st = emk_os_open_read(path, &fd, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_file_size(fd, &len, e);
    if (st == EMK_OK && (len == 0 || len > max))
        st = emk_fail(e, EMK_E_LIMIT, "file: length of a key file", len);
    if (st == EMK_OK)
        st = emk_secret_new((size_t)len, &s, e);
    if (st == EMK_OK)
        st = emk_os_read_at(fd, 0, emk_secret_bytes(s), (size_t)len, e);
    emk_os_close(fd);
    if (st != EMK_OK) {
        emk_secret_free(s);
        return st;
    }
    *out = s;
    return EMK_OK;
}

emk_status emk_os_create_beside(const char *path, int *fd, char *name, size_t cap, emk_error *e)
{
    int n = snprintf(name, cap, "%s.tmp-XXXXXX", path);
    int f;

    if (n < 0 || (size_t)n >= cap)
        return emk_fail(e, EMK_E_LIMIT, "file: path is too long", cap);
    f = io_allowed() ? mkostemp(name, O_CLOEXEC) : -1;
    if (f < 0)
        return emk_fail_errno(e, "file: cannot create");
    *fd = f;
    return EMK_OK;
}

/* Synced, beside path, under a name of its own. */
static emk_status write_beside(const char *path, emk_span s, char *name, size_t cap, emk_error *e)
{
    emk_status st;
    int fd;

    st = emk_os_create_beside(path, &fd, name, cap, e);
    if (st != EMK_OK)
        return st;
    st = emk_os_write_at(fd, 0, s.p, s.len, e);
    if (st == EMK_OK)
        st = emk_os_sync(fd, e);
    emk_os_close(fd);
    if (st != EMK_OK)
        unlink(name);
    return st;
}

emk_status emk_os_write_file(const char *path, emk_span s, emk_error *e)
{
    char name[PATH_CAP];
    emk_status st = write_beside(path, s, name, sizeof name, e);

    if (st != EMK_OK)
        return st;
    st = emk_os_replace(name, path, e);
    if (st != EMK_OK)
        unlink(name); /* gone already when only the directory's sync failed */
    return st;
}

emk_status emk_os_write_file_new(const char *path, emk_span s, emk_error *e)
{
    char name[PATH_CAP];
    emk_status st = write_beside(path, s, name, sizeof name, e);

    if (st != EMK_OK)
        return st;
    st = emk_os_rename_new(name, path, e);
    if (st == EMK_OK)
        return sync_parent(path, e);
    unlink(name);
    return st;
}

emk_status emk_os_list_dir(const char *path, emk_status (*fn)(void *, const char *, emk_error *),
                           void *self, emk_error *e)
{
    emk_status st = EMK_OK;
    struct dirent *entry;
    DIR *dir = io_allowed() ? opendir(path) : NULL;

    if (!dir)
        return emk_fail_errno(e, "file: cannot open the directory");
    while (st == EMK_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            st = fn(self, entry->d_name, e);
    }
    closedir(dir);
    return st;
}

emk_status emk_os_memory_file(const char *name, bool inherit, int *fd, emk_error *e)
{
    int f =
        io_allowed() ? memfd_create(name, MFD_ALLOW_SEALING | (inherit ? 0u : MFD_CLOEXEC)) : -1;

    if (f < 0)
        return emk_fail_errno(e, "memory file: cannot create");
    *fd = f;
    return EMK_OK;
}

emk_status emk_os_memory_blank(int fd, emk_error *e)
{
    struct stat st;

    if (!io_allowed() || fstat(fd, &st) != 0)
        return emk_fail_errno(e, "memory file: cannot stat");
    if (st.st_size > 0 &&
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, st.st_size) != 0)
        return emk_fail_errno(e, "memory file: cannot blank");
    return EMK_OK;
}

emk_status emk_os_join(char *out, size_t cap, const char *dir, const char *name, const char *suffix,
                       emk_error *e)
{
    int n = snprintf(out, cap, "%s/%s%s", dir, name, suffix);

    if (n < 0 || (size_t)n >= cap)
        return emk_fail(e, EMK_E_LIMIT, "file: path is too long", cap);
    return EMK_OK;
}
