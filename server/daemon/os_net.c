#include "server/daemon/os_net.h"

#include "core/base/fault.h"
#include "core/base/os_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SWALLOW_BYTES 16384u
#define BACKLOG       1024
#define FIRST_FD      3 /* SD_LISTEN_FDS_START */
#define SOCKET_MODE   0660

typedef union any_address {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
} any_address;

static emk_status parse_port(const char *text, uint16_t *port)
{
    unsigned long v = 0;

    if (!*text || strlen(text) > 5)
        return EMK_E_FORMAT;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return EMK_E_FORMAT;
        v = v * 10 + (unsigned long)(*text - '0');
    }
    if (v > UINT16_MAX)
        return EMK_E_FORMAT;
    *port = (uint16_t)v;
    return EMK_OK;
}

/* "host:port" with the host in brackets when it has colons. */
static emk_status parse_tcp(const char *where, any_address *out, socklen_t *len)
{
    const char *colon = strrchr(where, ':');
    char host[64];
    size_t n;
    uint16_t port;

    if (!colon || parse_port(colon + 1, &port) != EMK_OK)
        return EMK_E_FORMAT;
    n = (size_t)(colon - where);
    if (n == 0 || n >= sizeof host)
        return EMK_E_FORMAT;
    memcpy(host, where, n);
    host[n] = 0;
    memset(out, 0, sizeof *out);
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons(port);
        *len = sizeof out->v6;
        return inet_pton(AF_INET6, host + 1, &out->v6.sin6_addr) == 1 ? EMK_OK : EMK_E_FORMAT;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons(port);
    *len = sizeof out->v4;
    return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1 ? EMK_OK : EMK_E_FORMAT;
}

static emk_status parse_unix(const char *path, any_address *out, socklen_t *len)
{
    memset(out, 0, sizeof *out);
    if (path[0] != '/' || strlen(path) >= sizeof out->un.sun_path)
        return EMK_E_FORMAT;
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, path, strlen(path) + 1);
    *len = sizeof out->un;
    return EMK_OK;
}

/* An old socket in the way is removed, anything else is not. */
static void clear_path(const char *path)
{
    struct stat sb;

    if (lstat(path, &sb) == 0 && S_ISSOCK(sb.st_mode))
        (void)unlink(path);
}

static emk_status bind_it(int fd, const any_address *a, socklen_t len, emk_error *e)
{
    int on = 1;

    if (a->sa.sa_family == AF_UNIX)
        clear_path(a->un.sun_path);
    else if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
             setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        return emk_fail_errno(e, "listen: options");
    if (a->sa.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return emk_fail_errno(e, "listen: options");
    if (bind(fd, &a->sa, len) != 0)
        return emk_fail_errno(e, "listen: bind");
    if (a->sa.sa_family == AF_UNIX && chmod(a->un.sun_path, SOCKET_MODE) != 0)
        return emk_fail_errno(e, "listen: mode of the socket");
    if (listen(fd, BACKLOG) != 0)
        return emk_fail_errno(e, "listen: listen");
    return EMK_OK;
}

/* What was bound, with the port that the system chose for 0. */
static void describe(int fd, const char *where, char *text)
{
    any_address a = {0};
    socklen_t len = sizeof a;
    char host[INET6_ADDRSTRLEN];

    snprintf(text, EMK_LISTEN_TEXT_MAX, "%s", where);
    if (getsockname(fd, &a.sa, &len) != 0)
        return;
    if (a.sa.sa_family == AF_INET && inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host))
        snprintf(text, EMK_LISTEN_TEXT_MAX, "%s:%u", host, ntohs(a.v4.sin_port));
    else if (a.sa.sa_family == AF_INET6 && inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host))
        snprintf(text, EMK_LISTEN_TEXT_MAX, "[%s]:%u", host, ntohs(a.v6.sin6_port));
}

emk_status emk_net_listen(const char *where, int *fd, char *text, emk_error *e)
{
    any_address a;
    socklen_t len = 0;
    int s;
    emk_status st = strncmp(where, "unix:", 5) == 0 ? parse_unix(where + 5, &a, &len)
                                                    : parse_tcp(where, &a, &len);

    if (st != EMK_OK)
        return emk_fail(e, EMK_E_FORMAT, "listen: not host:port, [host]:port or unix:/path", 0);
    if (emk_fault_hit(EMK_FAULT_IO)) {
        errno = EIO;
        return emk_fail_errno(e, "listen: socket");
    }
    s = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return emk_fail_errno(e, "listen: socket");
    st = bind_it(s, &a, len, e);
    if (st != EMK_OK) {
        emk_os_close(s);
        return st;
    }
    describe(s, where, text);
    *fd = s;
    return EMK_OK;
}

static unsigned long env_number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    unsigned long v = text ? strtoul(text, &end, 10) : 0;

    return text && *text && *end == 0 ? v : 0;
}

/* Takes the next word of "a:b:c". */
static const char *next_name(const char *names, char out[64])
{
    size_t n = strcspn(names, ":");

    snprintf(out, 64, "%.*s", (int)(n < 63 ? n : 63), names);
    return names[n] == ':' ? names + n + 1 : names + n;
}

size_t emk_net_inherited(emk_inherited out[EMK_INHERITED_MAX])
{
    unsigned long n = env_number("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    char empty[] = "";

    if (env_number("LISTEN_PID") != (unsigned long)getpid() || n > EMK_INHERITED_MAX)
        n = 0;
    if (!names)
        names = empty;
    for (unsigned long i = 0; i < n; i++) {
        int fd = FIRST_FD + (int)i;

        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        out[i].fd = fd;
        names = next_name(names, out[i].name);
    }
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    return n;
}

void emk_net_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    int fd;

    if (n < 2 || n >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(a.sun_path, path, n);
    if (a.sun_path[0] == '@')
        a.sun_path[0] = 0; /* the abstract name space */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&a,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    emk_os_close(fd);
}

uint64_t emk_net_watchdog_ms(void)
{
    unsigned long pid = env_number("WATCHDOG_PID");

    return pid == 0 || pid == (unsigned long)getpid() ? env_number("WATCHDOG_USEC") / 1000 : 0;
}

emk_address emk_net_peer(const void *sockaddr, uint16_t *port)
{
    const struct sockaddr *sa = sockaddr;
    any_address a;

    *port = 0;
    if (sa && sa->sa_family == AF_INET) {
        memcpy(&a.v4, sockaddr, sizeof a.v4);
        *port = ntohs(a.v4.sin_port);
        return emk_address_of(emk_span_of(&a.v4.sin_addr, 4));
    }
    if (sa && sa->sa_family == AF_INET6) {
        memcpy(&a.v6, sockaddr, sizeof a.v6);
        *port = ntohs(a.v6.sin6_port);
        return emk_address_of(emk_span_of(&a.v6.sin6_addr, 16));
    }
    return (emk_address){.family = EMK_ADDRESS_NONE};
}

void emk_net_break(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
}

bool emk_net_is_left(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    int unread = 0;

    return poll(&p, 1, 0) == 1 && ioctl(fd, FIONREAD, &unread) == 0 && unread == 0;
}

bool emk_net_swallow(int fd, size_t max, size_t *n)
{
    uint8_t block[SWALLOW_BYTES];

    *n = 0;
    while (*n < max) {
        ssize_t got = recv(fd, block, sizeof block, MSG_DONTWAIT);

        if (got < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        if (got == 0)
            return false;
        *n += (size_t)got;
    }
    return true;
}

int emk_net_dup(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

uint64_t emk_net_raise_files(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
    (void)getrlimit(RLIMIT_NOFILE, &r);
    return (uint64_t)r.rlim_cur;
}
