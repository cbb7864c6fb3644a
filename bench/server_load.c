/* Asks a server over loopback with kept connections, as fast as it answers: the client's side of
 * bench/group_server.py.  It knows HTTP as far as it needs to, and nothing of Earmark.
 *
 *     server-load seal HOST:PORT KEY IDS CONNECTIONS     POST /v1/seals, then GET the URL; one a
 * ticket server-load get  HOST:PORT PATH TIMES              GET, thrown away server-load send
 * HOST:PORT FILE                    what was written before the clock starts server-load ask
 * HOST:PORT PATH TIMES CONNECTIONS  GET, small answers
 *
 * FILE has, for each request, a line "CONNECTION LENGTH" and then its bytes; those of one
 * connection go in their order, each when the one before was answered.  Prints one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_   64u
#define HEAD_MAX_   8192u
#define BODY_BYTES  (256u * 1024u)
#define THREADS_MAX 64u
#define LINES_MAX   1024u

static struct sockaddr_in server;
static char host[64];

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "server-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void parse_server(const char *text)
{
    char *colon;

    snprintf(host, sizeof host, "%s", text);
    server.sin_family = AF_INET;
    colon = strrchr(host, ':');
    if (!colon)
        die("host:port");
    *colon = 0;
    server.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &server.sin_addr) != 1)
        die(text);
    *colon = ':';
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

typedef struct answer {
    unsigned status;
    uint64_t length;
    char body[2048]; /* its beginning */
} answer;

static size_t read_head(int fd, char *head, size_t *end)
{
    size_t n = 0;

    for (;;) {
        ssize_t got = recv(fd, head + n, HEAD_MAX_ - 1 - n, 0);
        char *stop;

        if (got <= 0)
            die("answer");
        n += (size_t)got;
        head[n] = 0;
        stop = strstr(head, "\r\n\r\n");
        if (stop) {
            *end = (size_t)(stop - head) + 4;
            return n;
        }
        if (n == HEAD_MAX_ - 1)
            die("head");
    }
}

/* Reads one answer, throwing all but the beginning of its body away. */
static void read_answer(int fd, char *room, answer *a)
{
    char head[HEAD_MAX_], *line;
    size_t end, n = read_head(fd, head, &end), kept = n - end;
    uint64_t left;

    a->status = (unsigned)strtoul(head + 9, NULL, 10);
    line = strcasestr(head, "\r\ncontent-length:");
    a->length = line ? strtoull(line + 17, NULL, 10) : 0;
    kept = kept < sizeof a->body - 1 ? kept : sizeof a->body - 1;
    memcpy(a->body, head + end, kept);
    a->body[kept] = 0;
    left = a->length - (n - end);
    while (left > 0) {
        ssize_t got = recv(fd, room, left < BODY_BYTES ? (size_t)left : BODY_BYTES, 0);

        if (got <= 0)
            die("body");
        if (a->length < sizeof a->body) {
            memcpy(a->body + kept, room, (size_t)got);
            kept += (size_t)got;
            a->body[kept] = 0;
        }
        left -= (uint64_t)got;
    }
}

static void ask(int fd, const char *request, char *room, answer *a)
{
    size_t len = strlen(request);

    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send");
    read_answer(fd, room, a);
}

/* ---- seal and deliver ---- */

static struct {
    const char *key;
    char (*ids)[LINE_MAX_];
    size_t n;
    atomic_size_t next;
    atomic_ullong bytes, refused;
    double *times;
} work;

static bool seal_and_get(int fd, size_t i, char *room)
{
    char request[1024], path[256];
    answer a;
    const char *url, *stop;

    snprintf(request, sizeof request,
             "POST /v1/seals?ticket=%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
             work.ids[i], host, work.key);
    ask(fd, request, room, &a);
    url = a.status == 201 ? strstr(a.body, "/v1/blobs/") : NULL;
    stop = url ? strchr(url, '"') : NULL;
    if (!stop) {
        if (atomic_fetch_add(&work.refused, 1) == 0)
            fprintf(stderr, "server-load: %u %s\n", a.status, a.body);
        return false;
    }
    snprintf(path, sizeof path, "%.*s", (int)(stop - url), url);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host);
    ask(fd, request, room, &a);
    atomic_fetch_add(&work.bytes, a.length);
    if (a.status != 200)
        atomic_fetch_add(&work.refused, 1);
    return a.status == 200;
}

static void *run(void *self)
{
    char *room = malloc(BODY_BYTES);
    int fd = dial();

    (void)self;
    for (;;) {
        size_t i = atomic_fetch_add(&work.next, 1);
        double start = now();

        if (i >= work.n)
            break;
        (void)seal_and_get(fd, i, room);
        work.times[i] = now() - start;
    }
    close(fd);
    free(room);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void read_ids(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[LINE_MAX_];
    size_t cap = 65536;

    if (!f)
        die(path);
    work.ids = calloc(cap, sizeof *work.ids);
    while (work.n < cap && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = 0;
        memcpy(work.ids[work.n++], line, sizeof line);
    }
    fclose(f);
    work.times = calloc(work.n, sizeof *work.times);
}

static int seal(char **v)
{
    unsigned n = (unsigned)strtoul(v[3], NULL, 10);
    pthread_t threads[THREADS_MAX];
    double start, seconds;

    parse_server(v[0]);
    work.key = v[1];
    read_ids(v[2]);
    n = n < THREADS_MAX ? n : THREADS_MAX;
    start = now();
    for (unsigned i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    seconds = now() - start;
    qsort(work.times, work.n, sizeof *work.times, compare);
    printf("{\"n\": %zu, \"seconds\": %.6f, \"per_s\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
           "\"bytes\": %llu, \"refused\": %llu}\n",
           work.n, seconds, (double)work.n / seconds, work.times[work.n / 2] * 1e3,
           work.times[work.n * 99 / 100] * 1e3, (unsigned long long)work.bytes,
           (unsigned long long)work.refused);
    return work.refused ? 1 : 0;
}

static int get(char **v)
{
    unsigned times = (unsigned)strtoul(v[2], NULL, 10);
    char request[1024], *room = malloc(BODY_BYTES);
    uint64_t bytes = 0;
    double start;
    answer a;
    int fd;

    parse_server(v[0]);
    fd = dial();
    start = now();
    for (unsigned i = 0; i < times; i++) {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", v[1], host);
        ask(fd, request, room, &a);
        if (a.status != 200)
            die("not 200");
        bytes += a.length;
    }
    printf("{\"bytes\": %llu, \"seconds\": %.6f}\n", (unsigned long long)bytes, now() - start);
    close(fd);
    free(room);
    return 0;
}

/* ---- send and ask: one thread, so that what it costs is small and can be told ---- */

typedef struct request {
    const char *p;
    size_t len;
    struct request *next; /* on its connection */
} request;

typedef struct line {
    int fd;
    request *first, **last;
    double sent;
    char head[HEAD_MAX_]; /* of the answer, and as much of its body as came with it */
    size_t n;
    uint64_t left; /* bytes of its body that are missing; NO_HEAD: its head is */
    unsigned status;
} line;

#define NO_HEAD UINT64_MAX

static struct {
    line lines[LINES_MAX];
    size_t n_lines, n, done, refused;
    double *times;
    char *text; /* what the requests point into */
} flow;

static line *line_of(size_t i)
{
    if (i >= LINES_MAX)
        die("number of a connection");
    while (flow.n_lines <= i) {
        line *l = &flow.lines[flow.n_lines++];

        l->fd = -1;
        l->last = &l->first;
    }
    return &flow.lines[i];
}

static void add_request(size_t to, const char *p, size_t len)
{
    line *l = line_of(to);
    request *r = calloc(1, sizeof *r);

    if (!r)
        die("memory");
    r->p = p;
    r->len = len;
    *l->last = r;
    l->last = &r->next;
    flow.n++;
}

static void read_requests(const char *path)
{
    FILE *f = fopen(path, "rb");
    long size;
    char *p, *end;

    if (!f || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0)
        die(path);
    rewind(f);
    flow.text = malloc((size_t)size + 1);
    if (!flow.text || fread(flow.text, 1, (size_t)size, f) != (size_t)size)
        die(path);
    fclose(f);
    flow.text[size] = 0;
    end = flow.text + size;
    for (p = flow.text; p < end;) {
        size_t to = strtoul(p, &p, 10), len = strtoul(p, &p, 10);

        if (p >= end || *p != '\n' || len > (size_t)(end - p) - 1)
            die("a request's line");
        add_request(to, p + 1, len);
        p += 1 + len;
    }
}

static void send_next(line *l)
{
    request *r = l->first;

    l->first = r->next;
    l->n = 0;
    l->left = NO_HEAD;
    l->sent = now();
    if (send(l->fd, r->p, r->len, MSG_NOSIGNAL) != (ssize_t)r->len)
        die("send");
    free(r);
}

static bool take_head(line *l)
{
    const char *stop, *field;
    uint64_t length, have;

    l->head[l->n] = 0;
    stop = strstr(l->head, "\r\n\r\n");
    if (!stop && l->n == HEAD_MAX_ - 1)
        die("head");
    if (!stop)
        return false;
    field = strcasestr(l->head, "\r\ncontent-length:");
    length = field && field < stop ? strtoull(field + 17, NULL, 10) : 0;
    have = l->n - (size_t)(stop + 4 - l->head);
    if (have > length)
        die("more than an answer");
    l->status = (unsigned)strtoul(l->head + 9, NULL, 10);
    l->left = length - have;
    return true;
}

/* What has come; true when the answer is whole. */
static bool take_bytes(line *l)
{
    static char thrown[BODY_BYTES];
    bool head = l->left == NO_HEAD;
    ssize_t got = head ? recv(l->fd, l->head + l->n, HEAD_MAX_ - 1 - l->n, 0)
                       : recv(l->fd, thrown, sizeof thrown, 0);

    if (got <= 0)
        die("answer");
    if (head) {
        l->n += (size_t)got;
        return take_head(l) && l->left == 0;
    }
    if ((uint64_t)got > l->left)
        die("more than an answer");
    l->left -= (uint64_t)got;
    return l->left == 0;
}

static void end_answer(line *l)
{
    flow.times[flow.done++] = now() - l->sent;
    if (l->status / 100 != 2 && flow.refused++ == 0)
        fprintf(stderr, "server-load: %.*s\n", (int)l->n, l->head);
}

static void run_lines(int poll)
{
    struct epoll_event events[LINES_MAX];
    size_t live = flow.n_lines;

    for (size_t i = 0; i < flow.n_lines; i++)
        send_next(&flow.lines[i]);
    while (live > 0) {
        int n = epoll_wait(poll, events, LINES_MAX, -1);

        for (int i = 0; i < n; i++) {
            line *l = events[i].data.ptr;

            if (!take_bytes(l))
                continue;
            end_answer(l);
            if (l->first)
                send_next(l);
            else
                live--;
        }
    }
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int run_flow(void)
{
    int poll = epoll_create1(0);
    double start, seconds, cpu;

    flow.times = calloc(flow.n, sizeof *flow.times);
    if (poll < 0 || !flow.times || flow.n == 0)
        die("nothing to send");
    for (size_t i = 0; i < flow.n_lines; i++) {
        line *l = &flow.lines[i];
        struct epoll_event on = {.events = EPOLLIN, .data.ptr = l};

        if (!l->first)
            die("a connection without requests");
        l->fd = dial();
        if (epoll_ctl(poll, EPOLL_CTL_ADD, l->fd, &on) != 0)
            die("epoll");
    }
    cpu = cpu_seconds();
    start = now();
    run_lines(poll);
    seconds = now() - start;
    cpu = cpu_seconds() - cpu;
    qsort(flow.times, flow.n, sizeof *flow.times, compare);
    printf("{\"n\": %zu, \"seconds\": %.6f, \"per_s\": %.1f, \"p50_ms\": %.2f, \"p99_ms\": %.2f, "
           "\"cpu\": %.6f, \"refused\": %zu}\n",
           flow.n, seconds, (double)flow.n / seconds, flow.times[flow.n / 2] * 1e3,
           flow.times[flow.n * 99 / 100] * 1e3, cpu, flow.refused);
    return flow.refused ? 1 : 0;
}

static int send_file(char **v)
{
    parse_server(v[0]);
    read_requests(v[1]);
    return run_flow();
}

static int ask_often(char **v)
{
    size_t times = strtoul(v[2], NULL, 10), connections = strtoul(v[3], NULL, 10);
    static char text[1024];
    int len;

    parse_server(v[0]);
    len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", v[1], host);
    for (size_t i = 0; i < times; i++)
        add_request(i % connections, text, (size_t)len);
    return run_flow();
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "seal") == 0)
        return seal(argv + 2);
    if (argc == 5 && strcmp(argv[1], "get") == 0)
        return get(argv + 2);
    if (argc == 4 && strcmp(argv[1], "send") == 0)
        return send_file(argv + 2);
    if (argc == 6 && strcmp(argv[1], "ask") == 0)
        return ask_often(argv + 2);
    fprintf(stderr, "usage: see the head of server_load.c\n");
    return 2;
}
