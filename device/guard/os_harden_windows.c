#include "core/base/status.h"

#include <earmark/guard.h>
#include <string.h>
#include <windows.h>
/* After windows.h, which they need. */
#include <sddl.h>
#include <winternl.h>

#define HIDE_FROM_DEBUGGER 17 /* of a thread: its events go to no debugger */

/* The system may do everything, the owner may wait for this process and end it, and nobody may
 * open it to read its memory; who has the privilege to debug is not asked. */
static bool close_to_others(void)
{
    PSECURITY_DESCRIPTOR d = NULL;
    bool closed;

    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(
            L"D:P(A;;0x001fffff;;;SY)(A;;0x00101001;;;OW)", SDDL_REVISION_1, &d, NULL))
        return false;
    closed = SetKernelObjectSecurity(GetCurrentProcess(), DACL_SECURITY_INFORMATION, d) != 0;
    LocalFree(d);
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    return closed;
}

static bool set_policy(PROCESS_MITIGATION_POLICY which, void *policy, size_t len)
{
    return SetProcessMitigationPolicy(which, policy, len) != 0;
}

/* No memory becomes executable, no library comes from the network or from a place of low trust,
 * and none is put in by windows and keyboards (input methods, hooks). */
static bool refuse_new_code(void)
{
    PROCESS_MITIGATION_DYNAMIC_CODE_POLICY code = {.Flags = 1};
    PROCESS_MITIGATION_EXTENSION_POINT_DISABLE_POLICY points = {.Flags = 1};
    PROCESS_MITIGATION_IMAGE_LOAD_POLICY images = {.Flags = 3};
    const bool took = set_policy(ProcessDynamicCodePolicy, &code, sizeof code);

    (void)set_policy(ProcessExtensionPointDisablePolicy, &points, sizeof points);
    (void)set_policy(ProcessImageLoadPolicy, &images, sizeof images);
    return took;
}

static bool hide_this_thread(void)
{
    NTSTATUS(NTAPI * set)(HANDLE, THREADINFOCLASS, PVOID, ULONG);
    HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");
    FARPROC found = ntdll ? GetProcAddress(ntdll, "NtSetInformationThread") : NULL;

    if (!found)
        return false;
    memcpy(&set, &found, sizeof set);
    return set(GetCurrentThread(), (THREADINFOCLASS)HIDE_FROM_DEBUGGER, NULL, 0) >= 0;
}

/* NO_PRIVILEGES has nothing that fits: a child's rights are its token's. */
emk_status emk_guard_harden(unsigned what, unsigned *done, emk_error *e)
{
    unsigned took = 0;

    if (what == 0 || (what & ~EMK_GUARD_HARDEN_ALL))
        return emk_fail(e, EMK_E_USAGE, "guard: hardening", what);
    if ((what & EMK_GUARD_HARDEN_UNDUMPABLE) && close_to_others())
        took |= EMK_GUARD_HARDEN_UNDUMPABLE;
    if ((what & EMK_GUARD_HARDEN_NO_NEW_CODE) && refuse_new_code())
        took |= EMK_GUARD_HARDEN_NO_NEW_CODE;
    if ((what & EMK_GUARD_HARDEN_NO_TRACING) && hide_this_thread())
        took |= EMK_GUARD_HARDEN_NO_TRACING;
    *done = took;
    return EMK_OK;
}
