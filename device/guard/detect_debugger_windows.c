/* A debugger on Windows: the flag in our own memory, which anti-anti-debuggers clear, and the
 * kernel's debug port and object, which they have to hook a system call for (detect_code.c sees
 * that in ntdll).  Addresses in the debug registers of the thread that looks are breakpoints
 * that leave no trace in code.
 * Evaded by a kernel driver, and by debug registers of other threads alone.
 * Honest look-alikes: none outside development for the kernel's word; a few profilers and
 * copy protections use debug registers. */
#include "device/guard/detectors_windows.h"
#include "device/guard/windows_facts.h"

static void look(emk_guard_look *l)
{
    const emk_guard_confidence sure = emk_guard_outside_development(l, EMK_GUARD_CERTAIN);
    emk_windows_facts f = {false};

    emk_windows_facts_get(&f);
    if (f.has_port || f.debugged_remote)
        emk_guard_saw(l, EMK_GUARD_TRACER, sure, "a debug port");
    if (f.has_object)
        emk_guard_saw(l, EMK_GUARD_TRACER, sure, "a debug object");
    if (f.debugged_here)
        emk_guard_saw(l, EMK_GUARD_TRACER, sure, "the process's flag says that it is debugged");
    if (!f.knows_port)
        emk_guard_blind(l, EMK_E_IO, "NtQueryInformationProcess");
    if (f.n_hard_breaks > 0)
        emk_guard_saw(l, EMK_GUARD_BREAKPOINT, emk_guard_outside_development(l, EMK_GUARD_LIKELY),
                      "an address in a debug register");
}

const emk_detector emk_detect_windows_debugger = {"debugger", look, false};
