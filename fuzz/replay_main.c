/* Feeds files, or all files of directories, to a fuzzer without libFuzzer, so that ctest
 * replays every seed with any compiler.  Fails by crashing, or when there is nothing to read. */
#include "core/base/os_file.h"
#include "fuzz/check.h"

#include <string.h>

#define SEED_MAX ((size_t)16 << 20)
#define PATH_CAP 4096

typedef struct replay {
    const char *dir;
    size_t n_seeds;
} replay;

/* From a block of exactly its size, so that a sanitizer sees a read one byte behind. */
static void feed(emk_span s)
{
    uint8_t *copy = malloc(s.len ? s.len : 1);

    must(copy != NULL, "memory for a seed");
    if (s.len)
        memcpy(copy, s.p, s.len);
    LLVMFuzzerTestOneInput(copy, s.len);
    free(copy);
}

static emk_status replay_file(replay *r, const char *path, emk_error *e)
{
    emk_buf buf;
    emk_status st;

    emk_buf_init(&buf, SEED_MAX);
    st = emk_os_read_file(path, SEED_MAX, &buf, e);
    if (st == EMK_OK) {
        feed(emk_buf_span(&buf));
        r->n_seeds++;
    }
    emk_buf_done(&buf);
    return st;
}

static emk_status replay_entry(void *self, const char *name, emk_error *e)
{
    replay *r = self;
    char path[PATH_CAP];
    emk_status st = emk_os_join(path, sizeof path, r->dir, name, "", e);

    return st == EMK_OK ? replay_file(r, path, e) : st;
}

int main(int argc, char **argv)
{
    replay r = {NULL, 0};

    for (int i = 1; i < argc; i++) {
        emk_error e = {EMK_OK, "", 0};
        emk_status st = replay_file(&r, argv[i], &e);

        if (st == EMK_E_USAGE) { /* no regular file: a directory */
            r.dir = argv[i];
            st = emk_os_list_dir(argv[i], replay_entry, &r, &e);
        }
        if (st != EMK_OK) {
            fprintf(stderr, "%s: %s\n", argv[i], e.what);
            return 2;
        }
    }
    printf("%zu seeds replayed\n", r.n_seeds);
    return 0;
}
