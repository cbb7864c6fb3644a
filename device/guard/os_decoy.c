#include "device/guard/decoy.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* As long as a small model, and where a process has little: nothing is used of it. */
#if UINTPTR_MAX > 0xFFFFFFFFu
#define DECOY_BYTES ((size_t)64 << 20)
#define LOW_ADDRESS                                                           \
    ((uintptr_t)128 << 30) /* below libraries, stacks and programs, above the \
                              heaps that run-time systems want low */
#else
#define DECOY_BYTES ((size_t)2 << 20)
#define LOW_ADDRESS ((uintptr_t)1 << 20)
#endif
#define PAGES_AT_ONCE 4096u

/* Whether any page of it is there; the system that cannot say is taken as one that says no. */
static bool is_there(const emk_guard_decoy *d)
{
    unsigned char pages[PAGES_AT_ONCE];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t n = d->len / page;

    for (size_t at = 0; at < n; at += PAGES_AT_ONCE) {
        const size_t some = n - at < PAGES_AT_ONCE ? n - at : PAGES_AT_ONCE;

        if (mincore((char *)d->p + at * page, some * page, pages) != 0)
            return false;
        for (size_t i = 0; i < some; i++) {
            if (pages[i] & 1)
                return true;
        }
    }
    return false;
}

/* False where it cannot be emptied: then this process has locked all its memory, and the pages
 * are there for that. */
static bool empty(const emk_guard_decoy *d)
{
    if (madvise(d->p, d->len, MADV_DONTNEED) == 0)
        return true;
    if (munlock(d->p, d->len) == 0)
        (void)madvise(d->p, d->len, MADV_DONTNEED);
    return false;
}

static void make_decoy(emk_guard_decoy *d, uintptr_t near)
{
    d->len = DECOY_BYTES;
    d->p = mmap((void *)near, d->len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                0); /* NOLINT */
    if (d->p == MAP_FAILED) {
        d->p = NULL;
        return;
    }
    madvise(d->p, d->len, MADV_NOHUGEPAGE); /* page by page takes a reader longer */
    if (is_there(d))
        (void)empty(d);
    /* Some systems say of every page that it is there (gVisor): that is no trace. */
    if (is_there(d)) {
        munmap(d->p, d->len);
        d->p = NULL;
    }
}

/* A process that was given so many addresses and no more needs them for itself. */
static bool may_take_addresses(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

void emk_guard_decoys_init(emk_guard_decoys *d)
{
    if (!may_take_addresses())
        return;
    make_decoy(&d->of[0], LOW_ADDRESS);
    make_decoy(&d->of[1], 0);
}

void emk_guard_decoys_done(emk_guard_decoys *d)
{
    for (size_t i = 0; i < EMK_GUARD_DECOYS; i++) {
        if (d->of[i].p)
            munmap(d->of[i].p, d->of[i].len);
        d->of[i].p = NULL;
    }
}

bool emk_guard_decoys_were_read(emk_guard_decoys *d)
{
    bool read = false;

    for (size_t i = 0; i < EMK_GUARD_DECOYS; i++) {
        if (d->of[i].p && is_there(&d->of[i]) && empty(&d->of[i]))
            read = true;
    }
    return read;
}
