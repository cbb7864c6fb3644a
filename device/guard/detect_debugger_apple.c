/* A debugger on Apple's systems: the kernel marks a traced process (P_TRACED), and its word about
 * the code signature changes for good once a process was debugged, or runs code that is not as
 * it was signed: what a jailbreak does to every app it injects into.
 * Evaded by a patched kernel, and by hooks of sysctl and csops (detect_calls.c looks at those).
 * Honest look-alikes: none outside development; a build from Xcode says that debuggers may
 * attach, as ad-hoc test builds do. */
#include "device/guard/apple_facts.h"
#include "device/guard/detectors_apple.h"

static void judge_signature(emk_guard_look *l, uint32_t signature)
{
    if (signature & EMK_DARWIN_SIGNATURE_DEBUGGED)
        emk_guard_saw(l, EMK_GUARD_TRACER, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      "the kernel says that this process was debugged");
    if (!(signature & EMK_DARWIN_SIGNATURE_VALID))
        emk_guard_saw(l, EMK_GUARD_PATCHED_SELF,
                      emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      "the kernel no longer vouches for our code");
    if (signature & EMK_DARWIN_SIGNATURE_DEBUGGABLE)
        emk_guard_saw(l, EMK_GUARD_DEVELOPER, emk_guard_outside_development(l, EMK_GUARD_LIKELY),
                      "signed so that debuggers may attach");
}

static void look(emk_guard_look *l)
{
    emk_darwin_facts f = {0};

    emk_darwin_facts_get(&f);
    if (!f.knows_trace)
        emk_guard_blind(l, EMK_E_IO, "sysctl");
    if (f.is_traced)
        emk_guard_saw(l, EMK_GUARD_TRACER, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      "P_TRACED is set");
    if (f.knows_signature)
        judge_signature(l, f.signature);
    else if (f.is_phone && !f.is_simulator) /* a Mac runs programs without one */
        emk_guard_blind(l, EMK_E_IO, "csops");
}

const emk_detector emk_detect_darwin_debugger = {"debugger", look, false};
