/* How often a model's weights lie in memory with an engine, and when.
 *
 *     engine-memory onnx|onnx-lean|litert|stdio MODEL [LIBRARY]
 *
 * The model is read into a map of its own, as an opened one is.  Then this process's writable
 * memory is searched for pieces of it (64 bytes, taken all over the model where its bytes look
 * like weights) and the copies are counted: after loading, after the session was made, after a
 * run, after the session was closed, and after the model was closed.  "1.00" is the model itself;
 * what is above that is the engine's.  A piece that the engine has rearranged is not found: the
 * figures are the least there is.  The last column needs no luck: resident memory.
 *
 * Exit status 77: the engine is not here. */
#include <earmark/engine_litert.h>
#include <earmark/engine_onnx.h>

#include "core/base/os_file.h"
#include "core/base/os_mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE     64u
#define PIECES    512u
#define SKIP      77
#define TABLE_LEN 65536u

/* A piece is known by a hash: remembering its bytes would find them here. */
typedef struct pieces {
    uint64_t hash[PIECES];
    uint64_t head[PIECES]; /* its first 8 bytes, scrambled */
    uint8_t table[TABLE_LEN];
    size_t n;
} pieces;

static uint64_t scramble(uint64_t v)
{
    v ^= UINT64_C(0x9E3779B97F4A7C15);
    v *= UINT64_C(0xD6E8FEB86659FD93);
    return v ^ v >> 32;
}

static uint64_t head_of(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return scramble(v);
}

static uint64_t hash_of(const uint8_t *p)
{
    uint64_t h = 0;

    for (size_t i = 0; i < PIECE; i += 8)
        h = scramble(h ^ head_of(p + i)) + i;
    return h;
}

/* Many different bytes: not padding, not text, not a table of small numbers. */
static int looks_like_weights(const uint8_t *p)
{
    uint8_t seen[32] = {0};
    unsigned n = 0;

    for (size_t i = 0; i < PIECE; i++) {
        n += !(seen[p[i] / 8] >> p[i] % 8 & 1u);
        seen[p[i] / 8] |= (uint8_t)(1u << p[i] % 8);
    }
    return n >= 24;
}

/* At multiples of 4: what engines align weights to at least. */
static void choose(pieces *s, const uint8_t *p, size_t len)
{
    size_t step = len / PIECES / 4 * 4 + 4;

    for (size_t at = 0; at + PIECE <= len && s->n < PIECES; at += step) {
        if (!looks_like_weights(p + at))
            continue;
        s->head[s->n] = head_of(p + at);
        s->hash[s->n] = hash_of(p + at);
        s->table[s->head[s->n] % TABLE_LEN] = 1;
        s->n++;
    }
}

static size_t count_in(const pieces *s, const uint8_t *p, size_t len)
{
    size_t found = 0;

    for (size_t at = 0; at + PIECE <= len; at++) {
        uint64_t head = head_of(p + at);

        if (!s->table[head % TABLE_LEN])
            continue;
        for (size_t i = 0; i < s->n; i++)
            found += s->head[i] == head && s->hash[i] == hash_of(p + at);
    }
    return found;
}

/* Memory files as well: an engine may map one. */
static size_t count_all(const pieces *s)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t found = 0;

    while (maps && fgets(line, sizeof line, maps)) {
        char *at = line;
        uintptr_t from = (uintptr_t)strtoull(at, &at, 16), to;
        const char *mode, *name;

        if (*at != '-')
            continue;
        to = (uintptr_t)strtoull(at + 1, &at, 16);
        mode = at + 1;
        name = strpbrk(line, "/[");
        name = name ? name : "";
        if (mode[0] != 'r' || strncmp(name, "[v", 2) == 0)
            continue;
        if (mode[1] != 'w' && name[0] == '/' && strncmp(name, "/memfd", 6) != 0)
            continue; /* code, and files on disk */
        found += count_in(s, (const uint8_t *)from, to - from);
    }
    if (maps)
        fclose(maps);
    return found;
}

static double resident_mib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    char line[128] = "", *at = line;
    long pages = 0;

    if (f && fgets(line, sizeof line, f)) {
        (void)strtol(line, &at, 10); /* all that is mapped */
        pages = strtol(at, NULL, 10);
    }
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void report(const pieces *s, const char *when)
{
    printf("  %-28s %6.2f copies   %7.1f MiB resident\n", when,
           s->n ? (double)count_all(s) / (double)s->n : 0.0, resident_mib());
    fflush(stdout);
}

static int engine_ends(const char *what, emk_status st, const emk_error *e)
{
    if (st == EMK_E_NOT_FOUND) {
        printf("SKIP %s: its library is not here\n", what);
        return SKIP;
    }
    fprintf(stderr, "engine-memory: %s: %s (%llu)\n", emk_status_name(st), e->what,
            (unsigned long long)e->where);
    return (int)st;
}

static int with_onnx(const pieces *s, emk_span model, const char *library, bool lean)
{
    const emk_onnx_options options = {.library = library, .lean = lean, .threads = 1};
    emk_error e = {EMK_OK, "", 0};
    emk_onnx *o = NULL;
    emk_status st = emk_onnx_open(model, &options, &o, &e);

    if (st != EMK_OK)
        return engine_ends("onnx", st, &e);
    report(s, "session made");
    st = emk_onnx_run_zeros(o, &e);
    if (st == EMK_OK)
        report(s, "after a run");
    else
        printf("  (no run: %s)\n", e.what);
    emk_onnx_close(o);
    report(s, "session closed");
    return 0;
}

static int with_litert(const pieces *s, emk_span model, const char *library)
{
    emk_error e = {EMK_OK, "", 0};
    emk_litert *l = NULL;
    emk_status st = emk_litert_open(model, library, &l, &e);

    if (st != EMK_OK)
        return engine_ends("litert", st, &e);
    report(s, "interpreter made");
    st = emk_litert_run_zeros(l, &e);
    if (st == EMK_OK)
        report(s, "after a run");
    else
        printf("  (no run: %s)\n", e.what);
    emk_litert_close(l);
    report(s, "interpreter closed");
    return 0;
}

/* What an engine does that reads its model with fread, as llama.cpp does without mmap: into a
 * buffer of its own, which it frees without wiping it. */
static int with_stdio(const pieces *s, emk_span model)
{
    FILE *f = fmemopen((void *)(uintptr_t)model.p, model.len, "r");
    uint8_t *own = malloc(model.len);

    bool ok = f && own && fread(own, 1, model.len, f) == model.len;

    if (f)
        fclose(f);
    if (ok)
        report(s, "read by fread");
    free(own);
    if (!ok)
        return EMK_E_IO;
    report(s, "the reader's memory freed");
    return 0;
}

static int run(const char *engine, const char *path, const char *library)
{
    static pieces s;
    emk_error e = {EMK_OK, "", 0};
    emk_os_map map;
    uint64_t len = 0;
    int fd = -1, code;
    emk_status st = emk_os_open_read(path, &fd, &e);

    if (st == EMK_OK)
        st = emk_os_file_size(fd, &len, &e);
    if (st == EMK_OK)
        st = emk_os_map_new((size_t)len, EMK_OS_MAP_HUGE, &map, &e);
    if (st == EMK_OK)
        st = emk_os_read_at(fd, 0, map.p, (size_t)len, &e);
    if (st != EMK_OK)
        return engine_ends(path, st, &e);
    emk_os_close(fd);
    choose(&s, map.p, (size_t)len);
    printf("%s, %s: %llu bytes, %zu pieces\n", engine, path, (unsigned long long)len, s.n);
    report(&s, "model opened");
    if (strcmp(engine, "litert") == 0)
        code = with_litert(&s, emk_span_of(map.p, (size_t)len), library);
    else if (strcmp(engine, "stdio") == 0)
        code = with_stdio(&s, emk_span_of(map.p, (size_t)len));
    else
        code = with_onnx(&s, emk_span_of(map.p, (size_t)len), library, engine[4] != 0);
    emk_os_map_free(&map);
    report(&s, "model closed");
    return code;
}

int main(int argc, char **argv)
{
    static const char *const engines[] = {"onnx", "onnx-lean", "litert", "stdio"};

    for (size_t i = 0; i < 4 && argc >= 3; i++) {
        if (strcmp(argv[1], engines[i]) == 0)
            return run(argv[1], argv[2], argc > 3 ? argv[3] : NULL);
    }
    fprintf(stderr, "usage: engine-memory onnx|onnx-lean|litert|stdio MODEL [LIBRARY]\n");
    return EMK_E_USAGE;
}
