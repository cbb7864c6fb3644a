#include "device/guard/pe.h"

#include <stdio.h>
#include <string.h>
#include <windows.h>
/* After windows.h, which it needs. */
#include <psapi.h>

/* Holds a module so that it is not unloaded under us; NULL when it is gone already. */
static HMODULE hold(HMODULE m)
{
    HMODULE held = NULL;

    if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (LPCWSTR)(void *)m, &held))
        return NULL;
    return held;
}

/* The path with slashes, as everything else in the guard has it, and in small letters: case means
 * nothing here. */
static bool path_of(HMODULE m, char out[EMK_MODULE_NAME_MAX])
{
    const DWORD n = GetModuleFileNameA(m, out, EMK_MODULE_NAME_MAX);

    if (n == 0 || n >= EMK_MODULE_NAME_MAX)
        return false;
    for (char *p = out; *p; p++) {
        if (*p == '\\')
            *p = '/';
        else if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    }
    return true;
}

static bool describe(HMODULE module, emk_module *m)
{
    MODULEINFO info;
    emk_pe pe;

    if (!GetModuleInformation(GetCurrentProcess(), module, &info, sizeof info))
        return false;
    pe = (emk_pe){(const uint8_t *)info.lpBaseOfDll, info.SizeOfImage};
    if (!path_of(module, m->path) || emk_pe_describe(&pe, m, NULL) != EMK_OK)
        return false;
    m->is_program = module == GetModuleHandleW(NULL);
    m->is_own = (uintptr_t)&emk_modules_each >= m->start && (uintptr_t)&emk_modules_each < m->end;
    m->dynamic = pe.image;
    m->base = pe.len;
    return true;
}

void emk_modules_each(emk_module_fn fn, void *self)
{
    HMODULE all[EMK_MODULES_MAX];
    DWORD bytes = 0;
    bool more = true;

    if (!EnumProcessModules(GetCurrentProcess(), all, sizeof all, &bytes))
        return;
    for (DWORD i = 0; more && i < bytes / sizeof all[0] && i < EMK_MODULES_MAX; i++) {
        emk_module m = {.path = ""};
        HMODULE held = hold(all[i]);

        if (!held)
            continue;
        if (describe(held, &m))
            more = fn(self, &m);
        FreeLibrary(held);
    }
}

void emk_module_calls_each(const emk_module *m, emk_module_call_fn fn, void *self)
{
    const emk_pe pe = {m->dynamic, m->base};

    emk_pe_calls_each(&pe, fn, self);
}
