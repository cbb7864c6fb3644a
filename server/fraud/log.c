#include "server/fraud/log.h"

#include "core/base/alloc.h"
#include "core/base/os_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_MAX_  1024u
#define CHUNK      (1u << 20)
#define DIGITS     20u
#define PREFIX     "events-"
#define PREFIX_LEN 7u

struct emk_fraud_log {
    char dir[EMK_FRAUD_DIR_MAX];
    uint64_t piece_max;
    uint64_t start, end; /* of the piece in hand, over all pieces */
    int fd;
};

/* The pieces of a folder, by offset. */
typedef struct pieces {
    uint64_t *start; /* owned */
    size_t n;
} pieces;

static emk_status path_of(const char *dir, uint64_t start, char out[PATH_MAX_], emk_error *e)
{
    int n = snprintf(out, PATH_MAX_, "%s/" PREFIX "%020" PRIu64 ".jsonl", dir, start);

    return n > 0 && (size_t)n < PATH_MAX_ ? EMK_OK
                                          : emk_fail(e, EMK_E_LIMIT, "fraud log: path", (size_t)n);
}

static emk_status note_piece(void *self, const char *name, emk_error *e)
{
    pieces *p = self;
    uint64_t v = 0;

    if (strncmp(name, PREFIX, PREFIX_LEN) != 0 || strlen(name) != PREFIX_LEN + DIGITS + 6 ||
        strcmp(name + PREFIX_LEN + DIGITS, ".jsonl") != 0)
        return EMK_OK;
    for (size_t i = PREFIX_LEN; i < PREFIX_LEN + DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9' || v > UINT64_MAX / 10 - 1)
            return EMK_OK;
        v = v * 10 + (uint64_t)(name[i] - '0');
    }
    if (p->n == EMK_FRAUD_PIECES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "fraud log: too many pieces", p->n);
    p->start[p->n++] = v;
    return EMK_OK;
}

static int by_start(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static emk_status list_pieces(const char *dir, pieces *p, emk_error *e)
{
    emk_status st;

    p->n = 0;
    p->start = emk_alloc(EMK_FRAUD_PIECES_MAX, sizeof *p->start);
    if (!p->start)
        return emk_fail(e, EMK_E_NO_MEMORY, "fraud log: no memory", EMK_FRAUD_PIECES_MAX);
    st = emk_os_list_dir(dir, note_piece, p, e);
    if (st == EMK_OK)
        qsort(p->start, p->n, sizeof *p->start, by_start);
    return st;
}

/* ---- writing ---- */

static emk_status begin_piece(emk_fraud_log *l, uint64_t start, emk_error *e)
{
    char path[PATH_MAX_];
    int fd = -1;
    emk_status st = path_of(l->dir, start, path, e);

    if (st == EMK_OK)
        st = emk_os_create_new(path, &fd, e);
    if (st != EMK_OK)
        return st;
    emk_os_close(l->fd);
    l->fd = fd;
    l->start = l->end = start;
    return EMK_OK;
}

/* Where the last whole line ends, looking back from len. */
static emk_status whole_lines(int fd, uint64_t len, uint64_t *out, emk_error *e)
{
    uint8_t tail[EMK_FRAUD_LINE_MAX + 2];

    while (len > 0) {
        size_t n = len < sizeof tail ? (size_t)len : sizeof tail;
        emk_status st = emk_os_read_at(fd, len - n, tail, n, e);

        if (st != EMK_OK)
            return st;
        for (; n > 0 && tail[n - 1] != '\n'; n--)
            len--;
        if (n > 0)
            break;
    }
    *out = len;
    return EMK_OK;
}

static emk_status go_on(emk_fraud_log *l, uint64_t start, emk_error *e)
{
    char path[PATH_MAX_];
    uint64_t len = 0, whole = 0;
    emk_status st = path_of(l->dir, start, path, e);

    if (st == EMK_OK)
        st = emk_os_open_update(path, &l->fd, e);
    if (st == EMK_OK)
        st = emk_os_file_size(l->fd, &len, e);
    if (st == EMK_OK)
        st = whole_lines(l->fd, len, &whole, e);
    if (st == EMK_OK && whole < len)
        st = emk_os_truncate(l->fd, whole, e);
    l->start = start;
    l->end = start + whole;
    return st;
}

static emk_status open_last(emk_fraud_log *l, emk_error *e)
{
    pieces p;
    emk_status st = list_pieces(l->dir, &p, e);

    if (st == EMK_OK)
        st = p.n ? go_on(l, p.start[p.n - 1], e) : begin_piece(l, 0, e);
    emk_free(p.start);
    return st;
}

emk_status emk_fraud_log_open(const char *dir, uint64_t piece_max, emk_fraud_log **out,
                              emk_error *e)
{
    emk_fraud_log *l;
    emk_status st;

    if (strlen(dir) >= EMK_FRAUD_DIR_MAX)
        return emk_fail(e, EMK_E_LIMIT, "fraud log: path", strlen(dir));
    l = emk_alloc(1, sizeof *l);
    if (!l)
        return emk_fail(e, EMK_E_NO_MEMORY, "fraud log: no memory", sizeof *l);
    l->fd = -1;
    l->piece_max = piece_max;
    memcpy(l->dir, dir, strlen(dir) + 1);
    st = emk_os_make_dir(dir, e);
    if (st == EMK_OK)
        st = open_last(l, e);
    if (st != EMK_OK) {
        emk_fraud_log_close(l);
        return st;
    }
    *out = l;
    return EMK_OK;
}

void emk_fraud_log_close(emk_fraud_log *l)
{
    if (!l)
        return;
    emk_os_close(l->fd);
    emk_free(l);
}

uint64_t emk_fraud_log_end(const emk_fraud_log *l)
{
    return l->end;
}

emk_status emk_fraud_log_append(emk_fraud_log *l, emk_span line, emk_error *e)
{
    uint8_t bytes[EMK_FRAUD_LINE_MAX + 1];
    emk_status st = EMK_OK;

    if (line.len > EMK_FRAUD_LINE_MAX)
        return emk_fail(e, EMK_E_LIMIT, "fraud log: line", line.len);
    if (l->end > l->start && l->end - l->start + line.len + 1 > l->piece_max)
        st = begin_piece(l, l->end, e);
    if (st != EMK_OK)
        return st;
    memcpy(bytes, line.p, line.len);
    bytes[line.len] = '\n';
    /* What a failed write left is written over by the next one. */
    st = emk_os_write_at(l->fd, l->end - l->start, bytes, line.len + 1, e);
    if (st == EMK_OK)
        l->end += line.len + 1;
    return st;
}

emk_status emk_fraud_log_sync(emk_fraud_log *l, emk_error *e)
{
    return emk_os_sync_data(l->fd, e);
}

emk_status emk_fraud_log_drop(emk_fraud_log *l, uint64_t below, unsigned keep, emk_error *e)
{
    char path[PATH_MAX_];
    pieces p;
    emk_status st = list_pieces(l->dir, &p, e);

    for (size_t i = 0; st == EMK_OK && i + 1 < p.n && i + keep < p.n; i++) {
        if (p.start[i + 1] > below)
            break;
        st = path_of(l->dir, p.start[i], path, e);
        if (st == EMK_OK)
            st = emk_os_remove(path, e);
    }
    emk_free(p.start);
    return st;
}

/* ---- reading ---- */

typedef struct reading {
    uint64_t at, to; /* over all pieces */
    emk_fraud_log_fn fn;
    void *self;
    uint8_t *chunk; /* owned; CHUNK bytes */
} reading;

/* The lines in len bytes; *used: how many of them were whole lines. */
static emk_status read_lines(reading *r, size_t len, size_t *used, emk_error *e)
{
    emk_status st = EMK_OK;

    *used = 0;
    while (st == EMK_OK && r->at < r->to) {
        const uint8_t *from = r->chunk + *used;
        const uint8_t *end = memchr(from, '\n', len - *used);
        size_t n;

        if (!end)
            break;
        n = (size_t)(end - from);
        *used += n + 1;
        r->at += n + 1;
        st = r->fn(r->self, emk_span_of(from, n), r->at, e);
    }
    return st;
}

/* A failed write may have left bytes that the next piece's name does not count: most. */
static emk_status read_piece(reading *r, int fd, uint64_t start, uint64_t most, emk_error *e)
{
    uint64_t size = 0;
    emk_status st = emk_os_file_size(fd, &size, e);

    size = size < most ? size : most;
    while (st == EMK_OK && r->at < r->to && r->at - start < size) {
        uint64_t left = size - (r->at - start);
        size_t n = left < CHUNK ? (size_t)left : CHUNK, used = 0;

        st = emk_os_read_at(fd, r->at - start, r->chunk, n, e);
        if (st == EMK_OK)
            st = read_lines(r, n, &used, e);
        if (st == EMK_OK && used == 0)
            return emk_fail(e, EMK_E_FORMAT, "fraud log: a line without end", r->at);
    }
    return st;
}

static emk_status read_pieces(reading *r, const char *dir, const pieces *p, emk_error *e)
{
    char path[PATH_MAX_];
    emk_status st = EMK_OK;

    for (size_t i = 0; st == EMK_OK && i < p->n && r->at < r->to; i++) {
        int fd = -1;

        if (i + 1 < p->n && p->start[i + 1] <= r->at)
            continue;
        r->at = p->start[i] > r->at ? p->start[i] : r->at;
        st = path_of(dir, p->start[i], path, e);
        if (st == EMK_OK)
            st = emk_os_open_read(path, &fd, e);
        if (st == EMK_OK)
            st = read_piece(r, fd, p->start[i],
                            i + 1 < p->n ? p->start[i + 1] - p->start[i] : UINT64_MAX, e);
        emk_os_close(fd);
    }
    return st;
}

emk_status emk_fraud_log_read(const char *dir, uint64_t from, uint64_t to, emk_fraud_log_fn fn,
                              void *self, emk_error *e)
{
    reading r = {.at = from, .to = to, .fn = fn, .self = self};
    pieces p;
    emk_status st = list_pieces(dir, &p, e);

    r.chunk = emk_alloc(1, CHUNK);
    if (st == EMK_OK && !r.chunk)
        st = emk_fail(e, EMK_E_NO_MEMORY, "fraud log: no memory", CHUNK);
    if (st == EMK_OK)
        st = read_pieces(&r, dir, &p, e);
    emk_free(r.chunk);
    emk_free(p.start);
    return st;
}

/* ---- blanking ---- */

typedef struct blanking {
    const char *dir;
    const emk_span *names;
    size_t n_names;
    uint64_t *ends; /* owned: where lines that are to go end, and how long they are */
    uint64_t *lens; /* owned */
    size_t n, cap;
} blanking;

/* "name" with its quotes, so that no name is found within another. */
static bool has_name(emk_span line, emk_span name)
{
    for (size_t i = 0; name.len > 0 && i + name.len + 2 <= line.len; i++) {
        const uint8_t *quote = memchr(line.p + i, '"', line.len - i - name.len - 1);

        if (!quote)
            return false;
        i = (size_t)(quote - line.p);
        if (line.p[i + name.len + 1] == '"' && memcmp(quote + 1, name.p, name.len) == 0)
            return true;
    }
    return false;
}

static emk_status note_line(blanking *b, uint64_t end, size_t len, emk_error *e)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 256;
        uint64_t *ends = emk_alloc(cap, sizeof *ends), *lens = emk_alloc(cap, sizeof *lens);

        if (!ends || !lens) {
            emk_free(ends);
            emk_free(lens);
            return emk_fail(e, EMK_E_NO_MEMORY, "fraud log: no memory", cap);
        }
        if (b->n > 0) {
            memcpy(ends, b->ends, b->n * sizeof *ends);
            memcpy(lens, b->lens, b->n * sizeof *lens);
        }
        emk_free(b->ends);
        emk_free(b->lens);
        b->ends = ends;
        b->lens = lens;
        b->cap = cap;
    }
    b->ends[b->n] = end;
    b->lens[b->n++] = len;
    return EMK_OK;
}

static emk_status look_at(void *self, emk_span line, uint64_t end, emk_error *e)
{
    blanking *b = self;

    for (size_t i = 0; i < b->n_names; i++)
        if (has_name(line, b->names[i]))
            return note_line(b, end, line.len, e);
    return EMK_OK;
}

static emk_status blank_piece(const blanking *b, const pieces *p, size_t i, emk_error *e)
{
    uint64_t start = p->start[i], next = i + 1 < p->n ? p->start[i + 1] : UINT64_MAX;
    uint8_t blanks[EMK_FRAUD_LINE_MAX];
    char path[PATH_MAX_];
    bool opened = false;
    int fd = -1;
    emk_status st = path_of(b->dir, start, path, e);

    memset(blanks, ' ', sizeof blanks);
    for (size_t k = 0; st == EMK_OK && k < b->n; k++) {
        if (b->ends[k] <= start || b->ends[k] > next || b->lens[k] > sizeof blanks)
            continue;
        if (!opened)
            st = emk_os_open_update(path, &fd, e);
        opened = true;
        if (st == EMK_OK)
            st = emk_os_write_at(fd, b->ends[k] - 1 - b->lens[k] - start, blanks,
                                 (size_t)b->lens[k], e);
    }
    if (st == EMK_OK && opened)
        st = emk_os_sync_data(fd, e);
    emk_os_close(fd);
    return st;
}

emk_status emk_fraud_log_blank(const char *dir, uint64_t to, const emk_span *names, size_t n_names,
                               emk_error *e)
{
    blanking b = {.dir = dir, .names = names, .n_names = n_names};
    pieces p = {NULL, 0};
    emk_status st;

    if (n_names > EMK_FRAUD_BLANK_MAX)
        return emk_fail(e, EMK_E_LIMIT, "fraud log: names", n_names);
    st = emk_fraud_log_read(dir, 0, to, look_at, &b, e);
    if (st == EMK_OK && b.n > 0)
        st = list_pieces(dir, &p, e);
    for (size_t i = 0; st == EMK_OK && i < p.n; i++)
        st = blank_piece(&b, &p, i, e);
    emk_free(p.start);
    emk_free(b.ends);
    emk_free(b.lens);
    return st;
}
