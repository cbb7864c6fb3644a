/* State: the recorded calls, and which descriptor is which file.  A file is known by a number
 * that stays with it through renames; its first content is read when recording begins. */
#include "tests/device/disk.h"

#include "tests/support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 256
#define CALLS_MAX 4096
#define FDS_MAX   1024
#define NAME_MAX_ 512
#define FILE_MAX_ (1u << 20)
#define SECTOR    512u

typedef enum kind { CREATE, WRITE, LENGTH, SYNC, SYNC_NAMES, RENAME, UNLINK } kind;

typedef struct call {
    kind kind;
    int file;
    char name[NAME_MAX_], to[NAME_MAX_]; /* below the directory */
    size_t off, len;
    uint8_t *data;
} call;

typedef struct content {
    uint8_t *p;
    size_t len;
} content;

static char root[NAME_MAX_];
static bool recording;
static call calls[CALLS_MAX];
static size_t n_calls;
static int file_of[FDS_MAX]; /* 0: not ours; -1: a directory of ours */
static int n_files;
/* at the beginning */
static char first_name[FILES_MAX][NAME_MAX_];
static content first[FILES_MAX];

/* As seen at any moment while recording: names and their files. */
static char live_name[FILES_MAX][NAME_MAX_];
static int live_file[FILES_MAX];

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_mkostemp(char *name, int flags);
int __wrap_mkostemp(char *name, int flags);
ssize_t __real_pwrite(int fd, const void *p, size_t len, off_t off);
ssize_t __wrap_pwrite(int fd, const void *p, size_t len, off_t off);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __real_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

static const char *below(const char *path)
{
    size_t n = strlen(root);

    if (!recording || strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

static struct {
    size_t at; /* 0: nowhere */
    disk_luck luck;
    const char *to;
} cut;

void disk_cut_at(size_t n, disk_luck luck, const char *to)
{
    cut.at = n;
    cut.luck = luck;
    cut.to = to;
}

static void cut_here(void)
{
    size_t n = disk_stop();

    disk_replay(n, cut.luck, cut.to);
    _exit(DISK_CUT);
}

static call *add(kind k, int file)
{
    call *c = &calls[n_calls++];

    if (cut.at && n_calls > cut.at) {
        n_calls = cut.at;
        cut_here();
    }
    assert_true(n_calls < CALLS_MAX);
    memset(c, 0, sizeof *c);
    c->kind = k;
    c->file = file;
    return c;
}

static int slot_of(char names[FILES_MAX][NAME_MAX_], const char *name)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (names[i][0] && strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static void set_name(char names[FILES_MAX][NAME_MAX_], int *files, const char *name, int file)
{
    int i = slot_of(names, name);

    for (int k = 0; i < 0; k++)
        if (!names[k][0])
            i = k;
    snprintf(names[i], NAME_MAX_, "%s", name);
    files[i] = file;
}

static void opened(const char *path, int fd)
{
    const char *name = below(path);
    struct stat st;
    int i;

    if (fd < 0 || !name)
        return;
    assert_true(fd < FDS_MAX);
    assert_int_equal(fstat(fd, &st), 0);
    if (S_ISDIR(st.st_mode)) {
        file_of[fd] = -1;
        return;
    }
    i = slot_of(live_name, name);
    if (i < 0) {
        int file = ++n_files;

        assert_true(file < FILES_MAX);
        snprintf(add(CREATE, file)->name, NAME_MAX_, "%s", name);
        set_name(live_name, live_file, name, file);
        i = slot_of(live_name, name);
    }
    file_of[fd] = live_file[i];
}

/* ---- the calls ---- */

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode;
    int fd;

    va_start(args, flags);
    mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    fd = __real_open(path, flags, mode);
    if (fd >= 0 && fd < FDS_MAX)
        file_of[fd] = 0;
    opened(path, fd);
    return fd;
}

int __wrap_mkostemp(char *name, int flags)
{
    int fd = __real_mkostemp(name, flags);

    if (fd >= 0 && fd < FDS_MAX)
        file_of[fd] = 0;
    opened(name, fd);
    return fd;
}

ssize_t __wrap_pwrite(int fd, const void *p, size_t len, off_t off)
{
    ssize_t n = __real_pwrite(fd, p, len, off);

    if (recording && n > 0 && file_of[fd] > 0) {
        call *c = add(WRITE, file_of[fd]);

        c->off = (size_t)off;
        c->len = (size_t)n;
        c->data = malloc(c->len);
        assert_non_null(c->data);
        memcpy(c->data, p, c->len);
    }
    return n;
}

int __wrap_ftruncate(int fd, off_t len)
{
    int r = __real_ftruncate(fd, len);

    if (recording && r == 0 && file_of[fd] > 0)
        add(LENGTH, file_of[fd])->len = (size_t)len;
    return r;
}

int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
    int r = __real_fallocate(fd, mode, off, len);

    if (recording && r == 0 && file_of[fd] > 0 && mode == 0)
        add(LENGTH, file_of[fd])->len = (size_t)(off + len);
    return r;
}

int __wrap_fsync(int fd)
{
    int r = __real_fsync(fd);

    if (recording && r == 0 && file_of[fd] > 0)
        add(SYNC, file_of[fd]);
    if (recording && r == 0 && file_of[fd] < 0)
        add(SYNC_NAMES, 0);
    return r;
}

int __wrap_rename(const char *from, const char *to)
{
    int r = __real_rename(from, to), i;

    if (r == 0 && below(from)) {
        call *c = add(RENAME, 0);

        snprintf(c->name, NAME_MAX_, "%s", below(from));
        snprintf(c->to, NAME_MAX_, "%s", below(to));
        i = slot_of(live_name, c->name);
        assert_true(i >= 0);
        c->file = live_file[i];
        live_name[i][0] = '\0';
        set_name(live_name, live_file, c->to, c->file);
    }
    return r;
}

int __wrap_unlink(const char *path)
{
    int r = __real_unlink(path), i;

    if (r == 0 && below(path)) {
        call *c = add(UNLINK, 0);

        snprintf(c->name, NAME_MAX_, "%s", below(path));
        i = slot_of(live_name, c->name);
        if (i >= 0)
            live_name[i][0] = '\0';
    }
    return r;
}

/* ---- recording ---- */

static content read_whole(const char *path)
{
    content c = {NULL, 0};
    struct stat st;
    int fd = __real_open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(st.st_size <= (off_t)FILE_MAX_);
    c.len = (size_t)st.st_size;
    c.p = malloc(c.len + 1);
    assert_non_null(c.p);
    assert_int_equal(pread(fd, c.p, c.len, 0), (ssize_t)c.len);
    close(fd);
    return c;
}

static void take_folder(const char *dir, const char *prefix)
{
    char path[2 * NAME_MAX_], name[2 * NAME_MAX_];
    DIR *d = opendir(dir);
    struct dirent *entry;
    struct stat st;

    assert_non_null(d);
    while ((entry = readdir(d))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        snprintf(name, sizeof name, "%s%s", prefix, entry->d_name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            snprintf(name, sizeof name, "%s%s/", prefix, entry->d_name);
            take_folder(path, name);
            continue;
        }
        n_files++;
        snprintf(first_name[n_files], NAME_MAX_, "%.500s", name);
        first[n_files] = read_whole(path);
        set_name(live_name, live_file, first_name[n_files], n_files);
    }
    closedir(d);
}

void disk_record(const char *dir)
{
    disk_forget();
    snprintf(root, sizeof root, "%.500s", dir);
    take_folder(dir, "");
    recording = true;
}

size_t disk_stop(void)
{
    recording = false;
    return n_calls;
}

void disk_forget(void)
{
    recording = false;
    for (size_t i = 0; i < n_calls; i++)
        free(calls[i].data);
    for (int i = 0; i < FILES_MAX; i++)
        free(first[i].p);
    n_calls = 0;
    n_files = 0;
    memset(first, 0, sizeof first);
    memset(first_name, 0, sizeof first_name);
    memset(live_name, 0, sizeof live_name);
    memset(file_of, 0, sizeof file_of);
}

/* ---- replaying ---- */

typedef struct disk {
    content files[FILES_MAX];
    char names[FILES_MAX][NAME_MAX_];
    int named[FILES_MAX];
} disk;

static void resize(content *c, size_t len)
{
    uint8_t *p = realloc(c->p, len + 1);

    assert_non_null(p);
    if (len > c->len)
        memset(p + c->len, 0, len - c->len);
    c->p = p;
    c->len = len;
}

static void put(content *c, const call *k, size_t from, size_t to)
{
    if (from == to)
        return;
    if (c->len < k->off + to)
        resize(c, k->off + to);
    memcpy(c->p + k->off + from, k->data + from, to - from);
}

/* Whether call i (< n) is certain: something after it, and before n, synced it. */
static bool is_certain(size_t i, size_t n)
{
    bool names = calls[i].kind == CREATE || calls[i].kind == RENAME || calls[i].kind == UNLINK;

    for (size_t k = i + 1; k < n; k++) {
        if (names && calls[k].kind == SYNC_NAMES)
            return true;
        /* A file system that keeps a file on fsync keeps the name it was created under. */
        if (calls[i].kind != RENAME && calls[i].kind != UNLINK && calls[k].kind == SYNC &&
            calls[k].file == calls[i].file)
            return true;
    }
    return false;
}

static size_t last_write(size_t n, int file)
{
    for (size_t i = n; i-- > 0;)
        if (calls[i].kind == WRITE && (!file || calls[i].file == file))
            return i;
    return SIZE_MAX;
}

static void do_write(disk *d, size_t i, size_t n, disk_luck luck)
{
    const call *c = &calls[i];
    size_t half = c->len / 2 / SECTOR * SECTOR;
    bool last = last_write(n, 0) == i;

    if (is_certain(i, n) || luck == DISK_ALL || luck == DISK_DATA_FIRST)
        put(&d->files[c->file], c, 0, c->len);
    else if (luck == DISK_TORN)
        put(&d->files[c->file], c, 0, last ? half : c->len);
    else if (luck == DISK_TORN_BACK)
        put(&d->files[c->file], c, last ? half : 0, c->len);
    else if (luck == DISK_LAST_ONLY && last_write(n, c->file) == i)
        put(&d->files[c->file], c, 0, c->len);
}

static void do_name(disk *d, const call *c)
{
    int i = slot_of(d->names, c->name);

    if (c->kind == CREATE) {
        set_name(d->names, d->named, c->name, c->file);
        return;
    }
    if (i >= 0)
        d->names[i][0] = '\0';
    if (c->kind == RENAME)
        set_name(d->names, d->named, c->to, c->file);
}

static void replay_call(disk *d, size_t i, size_t n, disk_luck luck)
{
    const call *c = &calls[i];
    bool names = luck != DISK_NOTHING && luck != DISK_DATA_FIRST;
    bool lengths = luck != DISK_NOTHING && luck != DISK_NAMES_FIRST;

    switch (c->kind) {
    case WRITE:
        do_write(d, i, n, luck);
        break;
    case LENGTH:
        if (lengths || is_certain(i, n))
            resize(&d->files[c->file], c->len);
        break;
    case CREATE:
    case RENAME:
    case UNLINK:
        if (names || is_certain(i, n))
            do_name(d, c);
        break;
    default:
        break;
    }
}

static void make_folders(char *path)
{
    for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
}

static void write_out(const disk *d, const char *to)
{
    for (int i = 0; i < FILES_MAX; i++) {
        char path[2 * NAME_MAX_ + 2];
        const content *c;
        int fd;

        if (!d->names[i][0])
            continue;
        c = &d->files[d->named[i]];
        snprintf(path, sizeof path, "%s/%s", to, d->names[i]);
        make_folders(path);
        fd = __real_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        if (c->len)
            assert_int_equal(__real_pwrite(fd, c->p, c->len, 0), (ssize_t)c->len);
        close(fd);
    }
}

void disk_replay(size_t n, disk_luck luck, const char *to)
{
    static disk d;

    memset(&d, 0, sizeof d);
    for (int i = 1; i < FILES_MAX; i++) {
        if (!first_name[i][0])
            continue;
        resize(&d.files[i], first[i].len);
        memcpy(d.files[i].p, first[i].p, first[i].len);
        set_name(d.names, d.named, first_name[i], i);
    }
    for (size_t i = 0; i < n; i++)
        replay_call(&d, i, n, luck);
    write_out(&d, to);
    for (int i = 0; i < FILES_MAX; i++)
        free(d.files[i].p);
}
