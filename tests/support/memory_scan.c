#include "tests/support/memory_scan.h"

#include "core/base/secret.h"
#include "tests/support/test.h"

#include <pthread.h>
#include <string.h>

#define WINDOW      12u
#define WINDOWS_MAX 8192u
#define MASK        UINT64_C(0x5bd1e995a7c3f08d)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

typedef struct window {
    uint64_t head; /* 8 bytes, masked */
    uint32_t tail; /* 4 bytes, masked */
} window;

static window windows[WINDOWS_MAX];
static size_t n_windows;
static uint8_t maybe[65536]; /* by the low half of masked heads' low half: a first sieve */

bool emk_scan_works(void)
{
    return !SANITIZED;
}

static void add_window(const uint8_t *p, bool reversed)
{
    uint8_t bytes[WINDOW];
    window w;

    for (size_t i = 0; i < WINDOW; i++)
        bytes[i] = p[reversed ? WINDOW - 1 - i : i];
    memcpy(&w.head, bytes, sizeof w.head); /* as hits_in takes them */
    memcpy(&w.tail, bytes + sizeof w.head, sizeof w.tail);
    emk_wipe(bytes, sizeof bytes);
    w.head ^= MASK;
    w.tail ^= (uint32_t)MASK;
    assert_true(n_windows < WINDOWS_MAX);
    windows[n_windows++] = w;
    maybe[w.head & 0xffff] = 1;
}

void emk_scan_look_for(const uint8_t *secret, size_t len)
{
    for (size_t i = 0; i + WINDOW <= len; i++) {
        add_window(secret + i, false);
        add_window(secret + i, true);
    }
}

void emk_scan_forget(void)
{
    n_windows = 0;
    memset(maybe, 0, sizeof maybe);
}

static size_t hits_in(const uint8_t *p, size_t len)
{
    size_t hits = 0;

    for (size_t i = 0; i + WINDOW <= len; i++) {
        uint64_t head;
        uint32_t tail;

        memcpy(&head, p + i, sizeof head);
        head ^= MASK;
        if (!maybe[head & 0xffff])
            continue;
        memcpy(&tail, p + i + 8, sizeof tail);
        tail ^= (uint32_t)MASK;
        for (size_t j = 0; j < n_windows; j++)
            hits += windows[j].head == head && windows[j].tail == tail;
    }
    return hits;
}

size_t emk_scan_count(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    size_t hits = 0;
    char line[512];

    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        char *rest, mode[5], name[256] = "";
        unsigned long from = strtoul(line, &rest, 16);
        unsigned long to = *rest == '-' ? strtoul(rest + 1, &rest, 16) : from;
        size_t found;

        if (sscanf(rest, "%4s %*s %*s %*s %255s", mode, name) < 1)
            continue;
        /* Read-only too where it is nobody's file: an opened model is. */
        if (mode[0] != 'r' || (mode[1] != 'w' && name[0] != '\0'))
            continue;
        found = hits_in((const uint8_t *)from, to - from);
        if (found)
            print_message("%zu windows in %lx-%lx %s\n", found, from, to, name);
        hits += found;
    }
    fclose(maps);
    return hits;
}

static uint8_t stack[1 << 20] __attribute__((aligned(64)));

typedef struct apart {
    void (*fn)(void *self);
    void *self;
} apart;

static void *run(void *arg)
{
    const apart *a = arg;

    a->fn(a->self);
    return NULL;
}

void emk_scan_run_apart(void (*fn)(void *self), void *self)
{
    apart a = {fn, self};
    pthread_attr_t attr;
    pthread_t thread;

    memset(stack, 0, sizeof stack);
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstack(&attr, stack, sizeof stack), 0);
    assert_int_equal(pthread_create(&thread, &attr, run, &a), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attr);
}
