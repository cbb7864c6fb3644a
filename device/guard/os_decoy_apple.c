/* Empty memory that tells whether it was read.  Not tried on a device: where the system says of
 * empty memory that it is there, there is no decoy. */
#include "device/guard/darwin.h"
#include "device/guard/decoy.h"

#define DECOY_BYTES   ((size_t)16 << 20)
#define PAGES_AT_ONCE 1024u

static bool is_there(const emk_guard_decoy *d)
{
    char pages[PAGES_AT_ONCE];
    const size_t page = (size_t)getpagesize();
    const size_t n = d->len / page;

    for (size_t at = 0; at < n; at += PAGES_AT_ONCE) {
        const size_t some = n - at < PAGES_AT_ONCE ? n - at : PAGES_AT_ONCE;

        if (mincore((const char *)d->p + at * page, some * page, pages) != 0)
            return false;
        for (size_t i = 0; i < some; i++) {
            if (pages[i] & 1)
                return true;
        }
    }
    return false;
}

static bool make_decoy(emk_guard_decoy *d)
{
    d->len = DECOY_BYTES;
    d->p = mmap(NULL, d->len, EMK_DARWIN_PROT_READ,
                EMK_DARWIN_MAP_PRIVATE | EMK_DARWIN_MAP_ANON | EMK_DARWIN_MAP_NORESERVE, -1, 0);
    if ((intptr_t)d->p == -1) {
        d->p = NULL;
        return false;
    }
    return !is_there(d);
}

void emk_guard_decoys_init(emk_guard_decoys *d)
{
    for (size_t i = 0; i < EMK_GUARD_DECOYS; i++) {
        if (make_decoy(&d->of[i]) || !d->of[i].p)
            continue;
        munmap(d->of[i].p, d->of[i].len);
        d->of[i].p = NULL;
    }
}

void emk_guard_decoys_done(emk_guard_decoys *d)
{
    for (size_t i = 0; i < EMK_GUARD_DECOYS; i++) {
        if (d->of[i].p)
            munmap(d->of[i].p, d->of[i].len);
        d->of[i].p = NULL;
    }
}

/* Read once is read for good: pages are not given back so that it can be told again. */
bool emk_guard_decoys_were_read(emk_guard_decoys *d)
{
    bool read = false;

    for (size_t i = 0; i < EMK_GUARD_DECOYS; i++)
        read = read || (d->of[i].p && is_there(&d->of[i]));
    return read;
}
