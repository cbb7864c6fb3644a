#include "device/guard/events.h"

#include "core/base/os_file.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define NS_IN_MS   1000000u
#define PIECE      4096u
#define PIECES_MAX 16u /* of one take: the rest stays for the next */
#define PATH_BYTES 64u

/* The numbers of watches of one kind. */
typedef struct kind {
    int *numbers;
    size_t *n;
    size_t max;
} kind;

static void add(const emk_guard_events *ev, kind to, const char *path)
{
    const int number = inotify_add_watch(ev->watch, path, IN_OPEN);

    if (number < 0 || *to.n == to.max)
        return;
    for (size_t i = 0; i < *to.n; i++) {
        if (to.numbers[i] == number)
            return;
    }
    to.numbers[(*to.n)++] = number;
}

static void add_memory(emk_guard_events *ev, const char *path)
{
    add(ev, (kind){ev->memory, &ev->n_memory, EMK_GUARD_EVENTS_THREADS}, path);
}

static void add_maps(emk_guard_events *ev)
{
    static const char *const paths[] = {"/proc/self/maps",      "/proc/self/smaps",
                                        "/proc/self/numa_maps", "/proc/self/pagemap",
                                        "/proc/self/map_files", "/proc/self/smaps_rollup"};

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        add(ev, (kind){ev->maps, &ev->n_maps, EMK_GUARD_EVENTS_MAPS}, paths[i]);
}

void emk_guard_events_follow(emk_guard_events *ev)
{
    const struct dirent *entry;
    char path[PATH_BYTES];
    unsigned left = EMK_GUARD_EVENTS_THREADS;
    DIR *tasks;

    if (ev->watch < 0)
        return;
    tasks = opendir("/proc/self/task");
    if (!tasks)
        return;
    while (left-- > 0 && (entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%.20s/mem", entry->d_name);
        add_memory(ev, path);
    }
    closedir(tasks);
}

void emk_guard_events_init(emk_guard_events *ev)
{
    *ev = (emk_guard_events){.watch = -1};
    ev->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ev->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (ev->watch < 0)
        return;
    add_memory(ev, "/proc/self/mem");
    add_maps(ev);
    emk_guard_events_follow(ev);
}

void emk_guard_events_done(emk_guard_events *ev)
{
    emk_os_close(ev->watch);
    emk_os_close(ev->wake);
    ev->watch = -1;
    ev->wake = -1;
}

/* Entries below zero are skipped by poll. */
static bool wait_for(const emk_guard_events *ev, int watch, uint64_t timeout_ns)
{
    struct pollfd p[2] = {{.fd = ev->wake, .events = POLLIN}, {.fd = watch, .events = POLLIN}};

    return poll(p, 2, (int)(timeout_ns / NS_IN_MS)) > 0;
}

/* Without descriptors poll waits for its time alone. */
bool emk_guard_events_can_wait(const emk_guard_events *ev)
{
    (void)ev;
    return true;
}

bool emk_guard_events_wait(const emk_guard_events *ev, uint64_t timeout_ns)
{
    return wait_for(ev, ev->watch, timeout_ns);
}

bool emk_guard_events_pause(const emk_guard_events *ev, uint64_t timeout_ns)
{
    return wait_for(ev, -1, timeout_ns);
}

void emk_guard_events_wake(const emk_guard_events *ev)
{
    const uint64_t one = 1;
    ssize_t n = write(ev->wake, &one, sizeof one);

    (void)n; /* it is full: then it wakes already */
}

static bool is_among(const int *numbers, size_t n, int number)
{
    for (size_t i = 0; i < n; i++) {
        if (numbers[i] == number)
            return true;
    }
    return false;
}

static void count(const emk_guard_events *ev, const char *p, size_t len, emk_guard_opens *out)
{
    struct inotify_event one;

    for (size_t at = 0; at + sizeof one <= len; at += sizeof one + one.len) {
        memcpy(&one, p + at, sizeof one);
        if (!(one.mask & IN_OPEN))
            continue;
        if (is_among(ev->maps, ev->n_maps, one.wd))
            out->maps++;
        else if (is_among(ev->memory, ev->n_memory, one.wd))
            out->memory++;
    }
}

emk_guard_opens emk_guard_events_take(const emk_guard_events *ev)
{
    emk_guard_opens out = {0, 0};
    char piece[PIECE];

    for (unsigned i = 0; ev->watch >= 0 && i < PIECES_MAX; i++) {
        const ssize_t n = read(ev->watch, piece, sizeof piece);

        if (n <= 0)
            break;
        count(ev, piece, (size_t)n, &out);
    }
    return out;
}
