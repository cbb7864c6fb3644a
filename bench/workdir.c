#include "bench/workdir.h"

#include "core/base/os_file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TMPFS_TYPE  0x01021994
#define PATH_CAP    512
#define WRITE_BLOCK ((size_t)1 << 20)
#define FILES_ALIVE 5u /* files as long as the model that exist at the same time */

/* Process-wide, because a signal or exit() must find it. */
static char dir[PATH_CAP];
static char paths[BENCH_FILES][PATH_CAP + 16];
static pid_t owner;

static const char *const NAMES[BENCH_FILES] = {"model",   "sealed",     "vault",
                                               "age-key", "age-sealed", "age-opened"};

static void clear_away(void)
{
    if (owner != getpid()) /* a child's exit is not the end of the run */
        return;
    for (size_t i = 0; i < BENCH_FILES; i++)
        unlink(paths[i]);
    rmdir(dir);
}

static void on_signal(int number)
{
    clear_away();
    _exit(128 + number);
}

static bool has_room(const char *where, uint64_t bytes, bool must_be_tmpfs)
{
    struct statfs s;

    if (statfs(where, &s) != 0 || (must_be_tmpfs && s.f_type != TMPFS_TYPE))
        return false;
    return (uint64_t)s.f_bavail * (uint64_t)s.f_bsize > bytes;
}

static const char *choose(const bench *b)
{
    const char *tmp = getenv("TMPDIR");

    if (b->dir)
        return b->dir;
    if (has_room("/dev/shm", b->size * (FILES_ALIVE + 1), true))
        return "/dev/shm";
    return tmp && tmp[0] ? tmp : "/tmp";
}

void bench_workdir_open(const bench *b)
{
    const char *where = choose(b);

    if (!has_room(where, b->size * FILES_ALIVE, false))
        bench_die("not enough room for the files (--dir DIR, --size BYTES)", NULL);
    if ((size_t)snprintf(dir, sizeof dir, "%s/earmark-bench-XXXXXX", where) >= sizeof dir)
        bench_die("the path of the directory is too long (--dir DIR)", NULL);
    if (!mkdtemp(dir))
        bench_die("cannot make a directory (--dir DIR)", NULL);
    for (size_t i = 0; i < BENCH_FILES; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s", dir, NAMES[i]);
    owner = getpid();
    atexit(clear_away);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
}

const char *bench_path(bench_file which)
{
    return paths[which];
}

void bench_remove(bench_file which)
{
    unlink(paths[which]);
}

bool bench_workdir_in_memory(void)
{
    struct statfs s;

    return statfs(dir, &s) == 0 && s.f_type == TMPFS_TYPE;
}

void bench_fill(uint8_t *p, size_t len, uint64_t seed)
{
    uint64_t x = (seed + 1) * 0x9E3779B97F4A7C15u;

    for (size_t i = 0; i < len; i += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(p + i, &x, len - i < sizeof x ? len - i : sizeof x);
    }
}

void bench_write_model(uint64_t len)
{
    uint8_t *block = malloc(WRITE_BLOCK);
    emk_error e = {0};
    int fd;

    bench_remove(BENCH_MODEL);
    if (!block)
        bench_die("no memory", NULL);
    bench_need(emk_os_create_new(bench_path(BENCH_MODEL), &fd, &e), &e, "model");
    for (uint64_t at = 0; at < len; at += WRITE_BLOCK) {
        size_t n = len - at < WRITE_BLOCK ? (size_t)(len - at) : WRITE_BLOCK;

        bench_fill(block, n, at);
        bench_need(emk_os_write_at(fd, at, block, n, &e), &e, "model");
    }
    emk_os_close(fd);
    free(block);
}
