#include "device/guard/windows_facts.h"

#include <windows.h>
/* After windows.h, which it needs. */
#include <winternl.h>

#define DEBUG_PORT   7
#define DEBUG_OBJECT 30
#define REGIONS_MAX  65536u
#define CAN_EXECUTE \
    (PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY)

/* Of ntdll, which is in every process: asked without the copy that kernel32 keeps. */
static bool ask_kernel(int what, void *out, ULONG len, NTSTATUS *status)
{
    NTSTATUS(NTAPI * query)(HANDLE, PROCESSINFOCLASS, PVOID, ULONG, PULONG);
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    FARPROC found = ntdll ? GetProcAddress(ntdll, "NtQueryInformationProcess") : NULL;

    if (!found)
        return false;
    memcpy(&query, &found, sizeof query);
    *status = query(GetCurrentProcess(), (PROCESSINFOCLASS)what, out, len, NULL);
    return true;
}

static unsigned debug_registers(void)
{
    CONTEXT c = {.ContextFlags = CONTEXT_DEBUG_REGISTERS};

    if (!GetThreadContext(GetCurrentThread(), &c))
        return 0;
    return (c.Dr0 != 0) + (unsigned)(c.Dr1 != 0) + (unsigned)(c.Dr2 != 0) + (unsigned)(c.Dr3 != 0);
}

void emk_windows_facts_get(emk_windows_facts *out)
{
    DWORD_PTR port = 0;
    HANDLE object = NULL;
    NTSTATUS status = 0;
    BOOL remote = FALSE;

    *out = (emk_windows_facts){.debugged_here = IsDebuggerPresent() != 0};
    if (CheckRemoteDebuggerPresent(GetCurrentProcess(), &remote))
        out->debugged_remote = remote != 0;
    out->knows_port = ask_kernel(DEBUG_PORT, &port, sizeof port, &status) && status >= 0;
    out->has_port = out->knows_port && port != 0;
    /* It fails where there is none: that is the good answer. */
    out->has_object =
        ask_kernel(DEBUG_OBJECT, &object, sizeof object, &status) && status >= 0 && object != NULL;
    if (out->has_object)
        CloseHandle(object);
    out->n_hard_breaks = debug_registers();
}

bool emk_windows_regions_each(emk_windows_region_fn fn, void *self)
{
    MEMORY_BASIC_INFORMATION one;
    const char *at = NULL;

    for (unsigned i = 0; i < REGIONS_MAX; i++) {
        if (VirtualQuery(at, &one, sizeof one) != sizeof one)
            return true; /* the end */
        if (one.State == MEM_COMMIT && one.Type != MEM_IMAGE && (one.Protect & CAN_EXECUTE)) {
            const emk_windows_region r = {
                (uintptr_t)one.BaseAddress, one.RegionSize,
                (one.Protect & (PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY)) != 0,
                one.Type == MEM_MAPPED};

            if (!fn(self, &r))
                return true;
        }
        at = (const char *)one.BaseAddress + one.RegionSize;
    }
    return false;
}
