/* Empty memory that tells whether it was read: a page that was never touched is in no working
 * set, and ReadProcessMemory brings it into ours.  Not tried on a device. */
#include "device/guard/decoy.h"

#include <stdint.h>
#include <windows.h>
/* After windows.h, which it needs. */
#include <psapi.h>

#define DECOY_BYTES   ((size_t)16 << 20)
#define PAGE          4096u
#define PAGES_AT_ONCE 256u
#define IS_PRESENT    1u

static bool is_there(const emk_guard_decoy *d)
{
    PSAPI_WORKING_SET_EX_INFORMATION pages[PAGES_AT_ONCE];

    for (size_t at = 0; at < d->len; at += (size_t)PAGES_AT_ONCE * PAGE) {
        for (size_t i = 0; i < PAGES_AT_ONCE; i++)
            pages[i].VirtualAddress = (char *)d->p + at + i * PAGE;
        if (!QueryWorkingSetEx(GetCurrentProcess(), pages, sizeof pages))
            return false;
        for (size_t i = 0; i < PAGES_AT_ONCE; i++) {
            if (pages[i].VirtualAttributes.Flags & IS_PRESENT)
                return true;
        }
    }
    return false;
}

static void make_decoy(emk_guard_decoy *d)
{
    d->len = DECOY_BYTES;
    d->p = VirtualAlloc(NULL, d->len, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY);
    if (d->p && is_there(d)) {
        VirtualFree(d->p, 0, MEM_RELEASE);
        d->p = NULL;
    }
}

void emk_guard_decoys_init(emk_guard_decoys *d)
{
    for (size_t i = 0; i < EMK_GUARD_DECOYS; i++)
        make_decoy(&d->of[i]);
}

void emk_guard_decoys_done(emk_guard_decoys *d)
{
    for (size_t i = 0; i < EMK_GUARD_DECOYS; i++) {
        if (d->of[i].p)
            VirtualFree(d->of[i].p, 0, MEM_RELEASE);
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
