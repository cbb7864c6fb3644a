/* The guard's detectors for Windows in a real process of it (or of Wine): clean, and with what
 * they are for done to it.  Built and run by guard_elsewhere.py; what they need of core/base and
 * core/crypto, which have no Windows part, stands in at the end.
 * Exit codes: 0 as it should be, 1 not. */
#include "core/base/alloc.h"
#include "core/base/os_file.h"
#include "core/base/os_time.h"
#include "core/crypto/hash.h"
#include "device/guard/internal.h"

#include <io.h>
#include <stdio.h>
#include <string.h>
#include <windows.h>

#define PAGE 4096u

static emk_guard_rules rules = {.level = EMK_GUARD_STRICT};
static emk_guard_platform platform;
static emk_guard_memory memory;
static int n_wrong;

static emk_guard_look look_with(const emk_detector *d)
{
    emk_guard_look l = {.rules = &rules, .platform = &platform, .memory = &memory, .whole = true};

    d->look(&l);
    return l;
}

static void expect(const char *what, const emk_guard_look *l, emk_guard_signal s, unsigned at_least)
{
    const bool fine = at_least ? l->seen[s] >= at_least : l->seen[s] == 0;

    printf("%s %s: %s %u %s\n", fine ? "ok" : "WRONG", what, emk_guard_signal_about(s)->name,
           l->seen[s], l->details[s]);
    n_wrong += !fine;
}

/* Nothing above a hint. */
static void expect_clean(void)
{
    for (size_t i = 0; i < emk_n_detectors; i++) {
        const emk_guard_look l = look_with(emk_detectors[i]);

        for (unsigned s = 0; s < EMK_GUARD_SIGNALS; s++) {
            if (l.seen[s] > 0)
                printf("%s %s: %s %u %s\n", l.seen[s] > EMK_GUARD_HINT ? "WRONG" : "hint",
                       emk_detectors[i]->name, emk_guard_signal_about((emk_guard_signal)s)->name,
                       l.seen[s], l.details[s]);
            n_wrong += l.seen[s] > EMK_GUARD_HINT;
        }
    }
}

static uint8_t poke(void *at, uint8_t value)
{
    const uint8_t before = *(uint8_t *)at;
    DWORD rights;

    VirtualProtect(at, 1, PAGE_EXECUTE_READWRITE, &rights);
    *(uint8_t *)at = value;
    VirtualProtect(at, 1, rights, &rights);
    return before;
}

__attribute__((noinline)) static int nobody_calls_this(int x)
{
    return x * 7 + 1;
}

static void patched_code(void)
{
    int (*volatile own)(int) = nobody_calls_this;
    FARPROC other = GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "Beep");
    emk_guard_look l;
    uint8_t before;
    void *p;
    int (*keep)(int) = own;

    memcpy(&p, &keep, sizeof p);
    before = poke(p, 0xCC);
    l = look_with(&emk_detect_code);
    poke(p, before);
    expect("a breakpoint in our code", &l, EMK_GUARD_PATCHED_SELF, EMK_GUARD_CERTAIN);
    expect("a breakpoint in our code", &l, EMK_GUARD_BREAKPOINT, EMK_GUARD_CERTAIN);
    memcpy(&p, &other, sizeof p);
    before = poke(p, 0xE9);
    l = look_with(&emk_detect_code);
    poke(p, before);
    expect("an inline hook", &l, EMK_GUARD_PATCHED_FUNCTION, EMK_GUARD_CERTAIN);
}

typedef struct slot {
    const char *symbol;
    uintptr_t target;
} slot;

static bool find_target(void *self, const char *symbol, uintptr_t target)
{
    slot *s = self;

    if (strcmp(symbol, s->symbol) == 0)
        s->target = target;
    return s->target == 0;
}

static bool find_own(void *self, const emk_module *m)
{
    if (m->is_own)
        emk_module_calls_each(m, find_target, self);
    return !m->is_own;
}

static uintptr_t *slot_of(uintptr_t target)
{
    MEMORY_BASIC_INFORMATION region;
    uint8_t *at = (uint8_t *)GetModuleHandleW(NULL);

    while (VirtualQuery(at, &region, sizeof region) && region.Type == MEM_IMAGE) {
        for (size_t i = 0; i + sizeof target <= region.RegionSize; i += sizeof target) {
            if (memcmp((uint8_t *)region.BaseAddress + i, &target, sizeof target) == 0)
                return (uintptr_t *)(void *)((uint8_t *)region.BaseAddress + i);
        }
        at = (uint8_t *)region.BaseAddress + region.RegionSize;
    }
    return NULL;
}

static void hooked_call(void)
{
    slot s = {"GetProcAddress", 0};
    void *foreign = VirtualAlloc(NULL, PAGE, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    emk_guard_look l = look_with(emk_detectors[3]);
    uintptr_t *at;
    DWORD rights;

    expect("memory to write and run", &l, EMK_GUARD_WRITABLE_CODE, EMK_GUARD_LIKELY);
    emk_modules_each(find_own, &s);
    at = s.target ? slot_of(s.target) : NULL;
    if (!at) {
        printf("WRONG no import table\n");
        n_wrong++;
        return;
    }
    VirtualProtect(at, sizeof *at, PAGE_READWRITE, &rights);
    *at = (uintptr_t)foreign;
    l = look_with(&emk_detect_calls);
    *at = s.target;
    VirtualProtect(at, sizeof *at, rights, &rights);
    expect("a rebound import", &l, EMK_GUARD_HOOKED_CALL, EMK_GUARD_CERTAIN);
    VirtualFree(foreign, 0, MEM_RELEASE);
}

static void read_decoy(void)
{
    static uint8_t here[PAGE];
    emk_guard_look l;
    SIZE_T n = 0;

    emk_guard_decoys_init(&memory.decoys);
    if (!memory.decoys.of[0].p) {
        printf("skip: this system does not say what was read\n");
        return;
    }
    l = look_with(&emk_detect_memory);
    expect("memory for nobody", &l, EMK_GUARD_MEMORY_READ, 0);
    ReadProcessMemory(GetCurrentProcess(), (char *)memory.decoys.of[0].p + PAGE, here, sizeof here,
                      &n);
    l = look_with(&emk_detect_memory);
    expect("memory for nobody, read", &l, EMK_GUARD_MEMORY_READ, EMK_GUARD_CERTAIN);
    emk_guard_decoys_done(&memory.decoys);
}

static void hardware_breakpoint(void)
{
    CONTEXT c = {.ContextFlags = CONTEXT_DEBUG_REGISTERS};
    emk_guard_look l;

    c.Dr0 = (DWORD64)(uintptr_t)&n_wrong;
    c.Dr7 = 0; /* the address alone shows; it is not armed */
    if (!SetThreadContext(GetCurrentThread(), &c))
        return;
    l = look_with(emk_detectors[0]);
    c.Dr0 = 0;
    SetThreadContext(GetCurrentThread(), &c);
    expect("a debug register", &l, EMK_GUARD_BREAKPOINT, EMK_GUARD_LIKELY);
}

int main(void)
{
    emk_error e = {0};
    unsigned done = 0;

    memory.wall_s = emk_os_now_s();
    memory.boot_ns = emk_env_boot_ns();
    expect_clean();
    patched_code();
    hooked_call();
    hardware_breakpoint();
    read_decoy();
    if (emk_guard_harden(EMK_GUARD_HARDEN_ALL, &done, &e) != EMK_OK)
        n_wrong++;
    printf("hardened: %u\n", done);
    expect_clean();
    return n_wrong != 0;
}

/* ---- what stands in ---- */

void emk_os_close(int fd)
{
    _close(fd);
}

emk_status emk_os_read_at(int fd, uint64_t off, void *out, size_t len, emk_error *e)
{
    (void)e;
    if (_lseeki64(fd, (int64_t)off, SEEK_SET) < 0 || _read(fd, out, (unsigned)len) != (int)len)
        return EMK_E_IO;
    return EMK_OK;
}

uint64_t emk_os_now_s(void)
{
    FILETIME t;

    GetSystemTimeAsFileTime(&t);
    return ((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) / 10000000u - 11644473600u;
}

uint64_t emk_os_monotonic_ns(void)
{
    LARGE_INTEGER now, per_s;

    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&per_s);
    return (uint64_t)((double)now.QuadPart / (double)per_s.QuadPart * 1e9);
}

emk_guard_opens emk_guard_events_take(const emk_guard_events *ev)
{
    (void)ev;
    return (emk_guard_opens){0, 0};
}

void emk_guard_events_follow(emk_guard_events *ev)
{
    (void)ev;
}

/* Nothing is measured here. */
emk_status emk_sha256_ctx_new(const emk_crypto *c, emk_sha256_ctx **out, emk_error *e)
{
    (void)c;
    (void)out;
    (void)e;
    return EMK_E_UNSUPPORTED;
}

void emk_sha256_ctx_free(emk_sha256_ctx *h)
{
    (void)h;
}

emk_status emk_sha256_ctx_reset(emk_sha256_ctx *h, emk_error *e)
{
    (void)h;
    (void)e;
    return EMK_E_UNSUPPORTED;
}

emk_status emk_sha256_ctx_update(emk_sha256_ctx *h, emk_span data, emk_error *e)
{
    (void)h;
    (void)data;
    (void)e;
    return EMK_E_UNSUPPORTED;
}

emk_status emk_sha256_ctx_finish(emk_sha256_ctx *h, uint8_t out[32], emk_error *e)
{
    (void)h;
    (void)out;
    (void)e;
    return EMK_E_UNSUPPORTED;
}
