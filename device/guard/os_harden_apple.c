#include "core/base/status.h"
#include "device/guard/darwin.h"

#include <earmark/guard.h>

static bool refuse_core_files(void)
{
    const emk_darwin_rlimit none = {0, 0};

    return setrlimit(EMK_DARWIN_RLIMIT_CORE, &none) == 0;
}

/* From here on a page that is not as it was signed ends the process. */
static bool insist_on_the_signature(void)
{
    return csops(getpid(), EMK_DARWIN_CS_OPS_MARKHARD, NULL, 0) == 0 &&
           csops(getpid(), EMK_DARWIN_CS_OPS_MARKKILL, NULL, 0) == 0;
}

emk_status emk_guard_harden(unsigned what, unsigned *done, emk_error *e)
{
    unsigned took = 0;

    if (what == 0 || (what & ~EMK_GUARD_HARDEN_ALL))
        return emk_fail(e, EMK_E_USAGE, "guard: hardening", what);
    if ((what & EMK_GUARD_HARDEN_UNDUMPABLE) && refuse_core_files())
        took |= EMK_GUARD_HARDEN_UNDUMPABLE;
    if ((what & EMK_GUARD_HARDEN_NO_NEW_CODE) && insist_on_the_signature())
        took |= EMK_GUARD_HARDEN_NO_NEW_CODE;
    /* A process that is traced already is ended by this: which is what it is for. */
    if ((what & EMK_GUARD_HARDEN_NO_TRACING) && ptrace(EMK_DARWIN_PT_DENY_ATTACH, 0, NULL, 0) == 0)
        took |= EMK_GUARD_HARDEN_NO_TRACING;
    *done = took;
    return EMK_OK;
}
