/* Memory that can be executed and is no image's: injected code, images that were mapped by hand.
 * Evaded by writing over an image that is there (detect_code.c sees it for ours, the system's and
 * watched engines').
 * Honest look-alikes: language runtimes that compile while running: a hint only. */
#include "device/guard/detectors_windows.h"
#include "device/guard/windows_facts.h"

static bool look_at_region(void *self, const emk_windows_region *r)
{
    emk_guard_look *l = self;

    if (r->writable)
        emk_guard_saw(l, EMK_GUARD_WRITABLE_CODE,
                      emk_guard_outside_development(l, EMK_GUARD_LIKELY), "anonymous memory");
    emk_guard_saw(l, EMK_GUARD_FOREIGN_CODE, EMK_GUARD_HINT,
                  r->from_file ? "a mapped file that is no image" : "anonymous memory");
    return !emk_env_is_late(&l->env);
}

static void look(emk_guard_look *l)
{
    if (!emk_windows_regions_each(look_at_region, l))
        emk_guard_blind(l, EMK_E_LIMIT, "more memory regions than can be looked at");
}

const emk_detector emk_detect_windows_regions = {"regions", look, false};
