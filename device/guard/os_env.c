#include "core/base/os_file.h"
#include "device/guard/env.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_AT_ONCE    4096u
#define PORT_TIMEOUT_MS 50

/* Fills out with root and path. */
static emk_status full_path(const emk_env *env, const char *path, char out[EMK_ENV_PATH_MAX],
                            emk_error *e)
{
    int n = snprintf(out, EMK_ENV_PATH_MAX, "%s%s", env->root, path);

    if (n < 0 || (size_t)n >= EMK_ENV_PATH_MAX)
        return emk_fail(e, EMK_E_LIMIT, "guard: path", strlen(path));
    return EMK_OK;
}

emk_status emk_env_open(const emk_env *env, const char *path, int *fd, emk_error *e)
{
    char full[EMK_ENV_PATH_MAX];
    emk_status st = full_path(env, path, full, e);
    int opened;

    if (st != EMK_OK)
        return st;
    /* Without O_NONBLOCK a FIFO that somebody put there would stop us for ever. */
    opened = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (opened < 0)
        return emk_fail_errno(e, "guard: open");
    *fd = opened;
    return EMK_OK;
}

emk_status emk_env_read(int fd, void *out, size_t cap, size_t *n, emk_error *e)
{
    ssize_t got;

    do
        got = read(fd, out, cap);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return emk_fail_errno(e, "guard: read");
    *n = (size_t)got;
    return EMK_OK;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t = {0};

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool emk_env_is_dumpable(void)
{
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
}

uint64_t emk_env_cpu_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t emk_env_boot_ns(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

bool emk_env_is_late(const emk_env *env)
{
    return env->deadline_ns != 0 && emk_env_cpu_ns() > env->deadline_ns;
}

/* Lines out of pieces. */
typedef struct splitter {
    char line[EMK_ENV_LINE_MAX];
    size_t len;
    size_t n_lines;
    emk_env_line_fn fn;
    void *self;
} splitter;

/* False when fn has enough. */
static bool end_line(splitter *s)
{
    s->line[s->len] = 0;
    s->len = 0;
    s->n_lines++;
    return s->fn(s->self, s->line);
}

static bool split(splitter *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || p[i] == 0) {
            if (!end_line(s))
                return false;
        } else if (s->len + 1 < sizeof s->line) {
            s->line[s->len++] = p[i];
        }
    }
    return true;
}

static emk_status each_line(const emk_env *env, int fd, splitter *s, emk_error *e)
{
    char piece[READ_AT_ONCE];
    size_t n = 0, total = 0;
    emk_status st;

    for (;;) {
        st = emk_env_read(fd, piece, sizeof piece, &n, e);
        if (st != EMK_OK)
            return st;
        if (n == 0)
            break;
        total += n;
        if (!split(s, piece, n))
            return EMK_OK;
        if (total > EMK_ENV_BYTES_MAX || s->n_lines > EMK_ENV_LINES_MAX)
            return emk_fail(e, EMK_E_LIMIT, "guard: a system file is enormous", total);
        if (emk_env_is_late(env))
            return emk_fail(e, EMK_E_LIMIT, "guard: a system file is slow", total);
    }
    if (s->len > 0)
        (void)end_line(s);
    return EMK_OK;
}

emk_status emk_env_each_line(const emk_env *env, const char *path, emk_env_line_fn fn, void *self,
                             emk_error *e)
{
    splitter s = {.fn = fn, .self = self};
    emk_status st;
    int fd = -1;

    st = emk_env_open(env, path, &fd, e);
    if (st != EMK_OK)
        return st;
    st = each_line(env, fd, &s, e);
    emk_os_close(fd);
    return st;
}

static emk_status each_name(const emk_env *env, DIR *dir, const splitter *s, emk_error *e)
{
    const struct dirent *entry;

    for (size_t n = 0; (entry = readdir(dir)) != NULL; n++) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (n > EMK_ENV_NAMES_MAX || emk_env_is_late(env))
            return emk_fail(e, EMK_E_LIMIT, "guard: a system folder is enormous", n);
        if (!s->fn(s->self, entry->d_name))
            break;
    }
    return EMK_OK;
}

emk_status emk_env_each_name(const emk_env *env, const char *path, emk_env_line_fn fn, void *self,
                             emk_error *e)
{
    const splitter s = {.fn = fn, .self = self};
    char full[EMK_ENV_PATH_MAX];
    emk_status st = full_path(env, path, full, e);
    DIR *dir;

    if (st != EMK_OK)
        return st;
    dir = opendir(full);
    if (!dir)
        return emk_fail_errno(e, "guard: folder");
    st = each_name(env, dir, &s, e);
    closedir(dir);
    return st;
}

void emk_env_first_line(const emk_env *env, const char *path, char *out, size_t cap)
{
    size_t n = 0;
    int fd = -1;

    out[0] = 0;
    if (emk_env_open(env, path, &fd, NULL) != EMK_OK)
        return;
    if (emk_env_read(fd, out, cap - 1, &n, NULL) != EMK_OK)
        n = 0;
    emk_os_close(fd);
    out[n] = 0;
    out[strcspn(out, "\n")] = 0;
}

emk_status emk_env_link(const emk_env *env, const char *path, char *out, size_t cap, emk_error *e)
{
    char full[EMK_ENV_PATH_MAX];
    emk_status st = full_path(env, path, full, e);
    ssize_t n;

    if (st != EMK_OK)
        return st;
    n = readlink(full, out, cap - 1);
    if (n < 0)
        return emk_fail_errno(e, "guard: link");
    out[n] = 0;
    return EMK_OK;
}

bool emk_env_exists(const emk_env *env, const char *path)
{
    char full[EMK_ENV_PATH_MAX];

    return full_path(env, path, full, NULL) == EMK_OK && access(full, F_OK) == 0;
}

/* Of Android's C library; elsewhere there is none. */
extern int __system_property_get(const char *name, char *value) __attribute__((weak));

#define PROPERTY_MAX 92u /* what Android writes at most, with its zero */

typedef struct property {
    const char *name;
    char *out;
    size_t cap;
} property;

static bool read_property(void *self, const char *line)
{
    const property *p = self;
    const size_t len = strlen(p->name);

    if (strncmp(line, p->name, len) != 0 || line[len] != '=')
        return true;
    snprintf(p->out, p->cap, "%s", line + len + 1);
    return false;
}

void emk_env_property(const emk_env *env, const char *name, char *out, size_t cap)
{
    static const char *const files[] = {"/default.prop", "/system/build.prop",
                                        "/vendor/build.prop"};
    property p = {name, out, cap};
    char value[PROPERTY_MAX] = "";

    out[0] = 0;
    if (__system_property_get && env->root[0] == 0 && __system_property_get(name, value) > 0)
        snprintf(out, cap, "%s", value);
    /* Older systems let everybody read the files that properties come from. */
    for (size_t i = 0; i < sizeof files / sizeof files[0] && out[0] == 0; i++) {
        const emk_status st = emk_env_each_line(env, files[i], read_property, &p, NULL);

        (void)st; /* no file, no property */
    }
}

static bool wait_for(int fd, short what)
{
    struct pollfd p = {.fd = fd, .events = what};

    return poll(&p, 1, PORT_TIMEOUT_MS) == 1 && (p.revents & what) != 0;
}

static bool talk(int fd, emk_span hello, const char *answer)
{
    const size_t want = strlen(answer);
    char got[64] = {0};
    ssize_t n;

    if (want > sizeof got || !wait_for(fd, POLLOUT) ||
        send(fd, hello.p, hello.len, MSG_NOSIGNAL) < 0 || !wait_for(fd, POLLIN))
        return false;
    n = recv(fd, got, sizeof got, 0);
    return n >= (ssize_t)want && memcmp(got, answer, want) == 0;
}

bool emk_env_port_answers(unsigned port, emk_span hello, const char *answer)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool answers = false;

    if (fd < 0)
        return false;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 || errno == EINPROGRESS)
        answers = talk(fd, hello, answer);
    emk_os_close(fd);
    return answers;
}
