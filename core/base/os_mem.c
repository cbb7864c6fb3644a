#include "core/base/os_mem.h"

#include "core/base/fault.h"
#include "core/base/secret.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same on x86-64 and arm64; missing from older headers */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Maps more than asked for and gives back the ends, so that the start is aligned: a huge
 * page needs a 2 MiB boundary. */
static void *map_aligned(size_t len, size_t align)
{
    uint8_t *raw, *start;
    size_t head;

    if (align <= (size_t)sysconf(_SC_PAGESIZE))
        return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    raw = mmap(NULL, len + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return raw;
    head = (align - (uintptr_t)raw % align) % align;
    start = raw + head;
    if (head)
        munmap(raw, head);
    if (align - head)
        munmap(start + len, align - head);
    return start;
}

/* A child gets zeros in its place.  Shared memory cannot be wiped for a child, so it gets
 * nothing; the owner is noted, because the child may have put something else there. */
static void keep_from_children(emk_os_map *m, size_t len)
{
    madvise(m->p, len, MADV_DONTDUMP);
    if (madvise(m->p, len, MADV_WIPEONFORK) == 0)
        return;
    madvise(m->p, len, MADV_DONTFORK);
    m->owner = getpid();
}

static emk_status map_secret(size_t len, emk_os_map *m, emk_error *e)
{
    int fd = (int)syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC);

    if (fd < 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "memory: memfd_secret is not available", 0);
    if (ftruncate(fd, (off_t)len) != 0) {
        close(fd);
        return emk_fail(e, EMK_E_NO_MEMORY, "memory: secret memory", len);
    }
    m->p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd); /* the mapping stays, and no child can map it again */
    if (m->p == MAP_FAILED)
        return emk_fail(e, EMK_E_LIMIT, "memory: secret memory is over the memory-lock limit", len);
    keep_from_children(m, len);
    m->secret = true;
    m->locked = true; /* the kernel never swaps it */
    return EMK_OK;
}

/* Locks while mapping: one call and one page fault less, which is a sixth of what a secret
 * costs.  Best effort, as lock_pages; for little memory, because it touches all of it. */
static bool map_locked(size_t len, emk_os_map *m)
{
    m->p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    m->locked = m->p != MAP_FAILED;
    return m->locked;
}

static emk_status map_plain(size_t len, unsigned flags, emk_os_map *m, emk_error *e)
{
    bool huge = (flags & EMK_OS_MAP_HUGE) && len % HUGE_PAGE == 0;
    bool lock_now = (flags & (EMK_OS_MAP_LOCK | EMK_OS_MAP_MUST_LOCK)) && len < HUGE_PAGE;

    if (!lock_now || !map_locked(len, m))
        m->p = map_aligned(len, huge ? HUGE_PAGE : 1);
    if (m->p == MAP_FAILED)
        return emk_fail(e, EMK_E_NO_MEMORY, "memory: no memory", len);
    keep_from_children(m, len);
    if (huge)
        m->huge = madvise(m->p, len, MADV_HUGEPAGE) == 0;
    return EMK_OK;
}

static emk_status lock_pages(emk_os_map *m, unsigned flags, emk_error *e)
{
    if (m->locked || !(flags & (EMK_OS_MAP_LOCK | EMK_OS_MAP_MUST_LOCK)))
        return EMK_OK;
    /* On fault: locking must not serialise the first touch of every page in this thread. */
    m->locked = syscall(SYS_mlock2, m->p, m->len, 1u /* MLOCK_ONFAULT */) == 0;
    if (!m->locked && (flags & EMK_OS_MAP_MUST_LOCK))
        return emk_fail(e, EMK_E_LIMIT, "memory: over the memory-lock limit (ulimit -l)", m->len);
    return EMK_OK;
}

emk_status emk_os_map_new(size_t len, unsigned flags, emk_os_map *out, emk_error *e)
{
    emk_os_map m = {.used = len};
    size_t unit = (size_t)sysconf(_SC_PAGESIZE);
    emk_status st;

    if (len == 0 || len > SIZE_MAX / 4)
        return emk_fail(e, EMK_E_USAGE, "memory: length", len);
    if ((flags & EMK_OS_MAP_HUGE) && !(flags & EMK_OS_MAP_SECRET) && len >= HUGE_PAGE)
        unit = HUGE_PAGE;
    m.len = round_up(len, unit);
    if (emk_fault_hit(EMK_FAULT_ALLOC))
        return emk_fail(e, EMK_E_NO_MEMORY, "memory: no memory", len);
    st = flags & EMK_OS_MAP_SECRET ? map_secret(m.len, &m, e) : map_plain(m.len, flags, &m, e);
    if (st != EMK_OK)
        return st;
    st = lock_pages(&m, flags, e);
    if (st != EMK_OK) {
        emk_os_map_free(&m);
        return st;
    }
    if (flags & EMK_OS_MAP_PREFAULT)
        madvise(m.p, m.len, MADV_POPULATE_WRITE);
    *out = m;
    return EMK_OK;
}

emk_status emk_os_map_protect(emk_os_map *m, emk_error *e)
{
    if (emk_fault_hit(EMK_FAULT_ALLOC) || mprotect(m->p, m->len, PROT_READ) != 0)
        return emk_fail(e, EMK_E_NO_MEMORY, "memory: cannot be made read-only", m->len);
    m->read_only = true;
    return EMK_OK;
}

void emk_os_map_blank(emk_os_map *m)
{
    void *p;

    if (m->owner && m->owner != getpid())
        return;
    if (!m->read_only || mprotect(m->p, m->len, PROT_READ | PROT_WRITE) == 0)
        emk_wipe(m->p, m->used);
    /* One call for all of it: there is no moment at which nothing is mapped. */
    p = mmap(m->p, m->len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    m->read_only = m->read_only || p != MAP_FAILED;
    m->huge = false;
}

void emk_os_map_free(emk_os_map *m)
{
    bool ours = m->p && (m->owner == 0 || m->owner == getpid());

    /* What cannot be made writable again is left to the kernel, which wipes what it gives on. */
    if (ours && (!m->read_only || mprotect(m->p, m->len, PROT_READ | PROT_WRITE) == 0))
        emk_wipe(m->p, m->used);
    if (ours)
        munmap(m->p, m->len);
    memset(m, 0, sizeof *m);
}

uint64_t emk_os_lock_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 0;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}

bool emk_os_has_secret_memory(void)
{
    int fd = (int)syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC);

    if (fd < 0)
        return false;
    close(fd);
    return true;
}

bool emk_os_has_huge_pages(void)
{
    char text[64] = "";
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    close(fd);
    return text[0] && !strstr(text, "[never]");
}
