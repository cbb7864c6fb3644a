/* Calls that lead elsewhere.  The tables through which our library (and watched engines) call
 * malloc, free, memcpy, mmap, open, read, write and the loader must lead into the C library or
 * the linker; an extractor that hooks by LD_PRELOAD or by writing to the table makes them lead
 * into itself.  Evaded by patching the function itself: see detect_code.c.
 * Honest look-alikes: allocators, sanitizers, faketime; allow them by name. */
#include "device/guard/internal.h"

#include <stdio.h>
#include <string.h>

#define RANGES_MAX 512u

static const char *const watched[] = {
    "malloc", "calloc", "realloc", "free", "aligned_alloc", "posix_memalign", "memcpy", "memmove",
    "mmap", "mmap64", "munmap", "mprotect", "open", "open64", "openat", "read", "pread", "pread64",
    "write", "pwrite", "fopen", "fopen64", "fread", "fwrite", "dlopen", "dlsym", "memfd_create",
    "ioctl", "madvise", "ptrace", "sysctl", "csops",
    /* Windows */
    "VirtualAlloc", "VirtualFree", "VirtualProtect", "VirtualQuery", "CreateFileA", "CreateFileW",
    "ReadFile", "WriteFile", "LoadLibraryA", "LoadLibraryW", "LoadLibraryExW", "GetProcAddress",
    "IsDebuggerPresent", "CheckRemoteDebuggerPresent", "NtQueryInformationProcess",
    "GetThreadContext", NULL};

static const char *const sanitizer_names[] = {"libasan",     "libtsan",   "libubsan", "liblsan",
                                              "libclang_rt", "vgpreload", NULL};

typedef struct range {
    uintptr_t start, end;
    bool fine;
    char name[64];
} range;

typedef struct calls {
    emk_guard_look *l;
    range ranges[RANGES_MAX];
    size_t n;
    bool too_many;
} calls;

static bool begins(const char *name, const char *const *words)
{
    for (; *words; words++) {
        if (strncmp(name, *words, strlen(*words)) == 0)
            return true;
    }
    return false;
}

static bool note_range(void *self, const emk_module *m)
{
    calls *c = self;
    const char *name = emk_guard_base_name(m->path);
    range *r;

    if (c->n == RANGES_MAX) {
        c->too_many = true;
        return false;
    }
    r = &c->ranges[c->n++];
    *r = (range){.start = m->start, .end = m->end};
    snprintf(r->name, sizeof r->name, "%s", name);
    /* A program may have an allocator of its own linked in: nobody injects that. */
    r->fine = m->is_program || m->is_own || begins(name, emk_system_calls) ||
              emk_guard_is_engine(c->l, m->path) || emk_guard_is_allowed(c->l, m->path) ||
              (c->l->rules->development && begins(name, sanitizer_names));
    return true;
}

static const range *range_of(const calls *c, uintptr_t address)
{
    for (size_t i = 0; i < c->n; i++) {
        if (address >= c->ranges[i].start && address < c->ranges[i].end)
            return &c->ranges[i];
    }
    return NULL;
}

static bool is_watched(const char *symbol)
{
    for (const char *const *w = watched; *w; w++) {
        if (strcmp(symbol, *w) == 0)
            return true;
    }
    return false;
}

static bool look_at_call(void *self, const char *symbol, uintptr_t target)
{
    calls *c = self;
    char detail[EMK_GUARD_DETAIL_MAX];
    const range *r;

    if (target == 0 || !is_watched(symbol))
        return true;
    r = range_of(c, target);
    if (r && r->fine)
        return true;
    snprintf(detail, sizeof detail, "%.24s leads into %.56s", symbol,
             r ? r->name : "memory that is no module's");
    emk_guard_saw(c->l, EMK_GUARD_HOOKED_CALL,
                  r ? emk_guard_outside_development(c->l, EMK_GUARD_LIKELY) : EMK_GUARD_CERTAIN,
                  detail);
    return true;
}

static bool look_at_module(void *self, const emk_module *m)
{
    const calls *c = self;

    if (m->is_own || emk_guard_is_engine(c->l, m->path))
        emk_module_calls_each(m, look_at_call, self);
    return true;
}

static void look(emk_guard_look *l)
{
    calls c = {.l = l};

    emk_modules_each(note_range, &c);
    if (c.too_many) {
        emk_guard_blind(l, EMK_E_LIMIT, "more modules than can be looked at");
        return;
    }
    emk_modules_each(look_at_module, &c);
}

const emk_detector emk_detect_calls = {"calls", look, false};
