/* The program that the strace test watches: a model is accepted, opened in every way that makes
 * no copy, and closed.  Then it looks for what is left of the model in its own memory.
 *
 *   no_plaintext FILE        FILE gets the model's bytes, before the watching begins
 *   no_plaintext FILE leak   the same, and 64 bytes of the model are written on purpose, and
 *                            kept on the heap: whoever watches must see both
 *
 * Exit codes: 0, 3 when bytes of the model were left in memory. */
#include "core/base/alloc.h"
#include "tests/support/memory_scan.h"
#include "tests/unit/device/client/stage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RUN_LEN  16u
#define SLOTS    (1u << 20)
#define LEFT     3
#define LEAK_LEN 64u

static stage s;

/* ---- the scan: every run of 16 bytes of the model, by a hash that shows nothing of it ---- */

static uint64_t *seen; /* SLOTS of them, outside of what is scanned */

static uint64_t hash_of(const uint8_t *p)
{
    uint64_t a, b;

    memcpy(&a, p, 8);
    memcpy(&b, p + 8, 8);
    a = (a ^ UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);
    a ^= b + (a >> 29);
    a *= UINT64_C(0xc4ceb9fe1a85ec53);
    return (a ^ (a >> 32)) | 1;
}

static void learn_model(void)
{
    seen =
        mmap(NULL, SLOTS * sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(seen != MAP_FAILED);
    for (size_t i = 0; i + RUN_LEN <= MODEL_LEN; i++) {
        uint64_t h = hash_of(s.model + i);
        size_t at = (size_t)(h >> 20) % SLOTS;

        while (seen[at] && seen[at] != h)
            at = (at + 1) % SLOTS;
        seen[at] = h;
    }
}

static bool is_of_the_model(const uint8_t *p)
{
    uint64_t h = hash_of(p);
    size_t at = (size_t)(h >> 20) % SLOTS;

    while (seen[at] && seen[at] != h)
        at = (at + 1) % SLOTS;
    return seen[at] == h;
}

/* By a file, as the pages of a guard fault. */
static size_t scan_range(int memory, uint64_t from, uint64_t to)
{
    static uint8_t page[4096 + RUN_LEN];
    size_t found = 0;

    for (uint64_t at = from; at < to; at += 4096) {
        ssize_t n = pread(memory, page, sizeof page, (off_t)at);

        for (ssize_t i = 0; i + (ssize_t)RUN_LEN <= n && i < 4096; i++)
            found += is_of_the_model(page + i);
    }
    emk_wipe(page, sizeof page);
    return found;
}

static size_t scan_all(void)
{
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "r");
    size_t found = 0;
    char line[512];

    assert_true(memory >= 0 && maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long long from, to;
        char rights[8];

        if (sscanf(line, "%llx-%llx %7s", &from, &to, rights) != 3 || rights[1] != 'w' ||
            from == (uintptr_t)seen)
            continue;
        found += scan_range(memory, from, to);
    }
    fclose(maps);
    close(memory);
    return found;
}

/* ---- what is watched ---- */

/* Marks for strace's log: a write to a descriptor that is none. */
static void mark(const char *text)
{
    if (write(-1, text, strlen(text)) >= 0)
        abort();
}

static void use_whole(void)
{
    emk_client_ask ask = stage_ask(&s);
    emk_opened *o = NULL;
    uint8_t some[512];
    emk_error e = {0};
    FILE *f;

    ask.memory = EMK_POLICY_MEMORY_LOCKED;
    assert_ok(emk_client_open(s.client, s.name, &ask, &o, &e), &e);
    assert_ok(emk_opened_stream(o, &f, &e), &e);
    assert_int_equal(fread(some, 1, sizeof some, f), sizeof some);
    assert_memory_equal(some, s.model, sizeof some);
    emk_wipe(some, sizeof some);
    fclose(f);
    emk_opened_close(o);
}

static void use_tensors(void)
{
    emk_client_ask ask = stage_ask(&s);
    emk_tensors *t = NULL;
    emk_span bytes;
    emk_error e = {0};

    assert_ok(emk_client_open_tensors(s.client, s.name, &ask, &t, &e), &e);
    assert_ok(emk_tensors_read(t, emk_span_str("second"), &bytes, &e), &e);
    assert_ok(emk_tensors_read(t, emk_span_str("first"), &bytes, &e), &e);
    emk_tensors_close(t);
}

static void run(void *self)
{
    emk_error e = {0};

    (void)self;
    assert_ok(stage_accept(&s, &e), &e);
    use_whole();
    use_tensors();
}

/* What must be noticed. */
static void leak(const char *path)
{
    uint8_t *kept = emk_alloc(LEAK_LEN, 1);
    char name[4200];
    emk_error e = {0};

    assert_non_null(kept);
    memcpy(kept, s.model + 500, LEAK_LEN);
    snprintf(name, sizeof name, "%.4000s.leak", path);
    assert_ok(emk_os_write_file(name, emk_span_of(kept, LEAK_LEN), &e), &e);
}

int main(int argc, char **argv)
{
    emk_error e = {0};
    size_t left = 0;

    setenv("CMOCKA_TEST_ABORT", "1", 1);
    if (argc < 2)
        return 2;
    stage_init(&s, NULL, false);
    stage_deliver(&s);
    assert_ok(emk_os_write_file(argv[1], emk_span_of(s.model, MODEL_LEN), &e), &e);
    learn_model();
    mark("EARMARK BEGIN");
    emk_scan_run_apart(run, NULL);
    if (argc > 2)
        leak(argv[1]);
    mark("EARMARK END");
    emk_wipe(s.model, MODEL_LEN); /* the test's own copy */
    if (emk_scan_works())
        left = scan_all();
    if (left)
        printf("%zu runs of the model are left in memory\n", left);
    stage_done(&s);
    return left ? LEFT : 0;
}
