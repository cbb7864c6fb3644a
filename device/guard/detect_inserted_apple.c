/* Libraries that dyld was told to insert before all others.  Evaded by taking the variable out of
 * the environment after the start: then the image is still on the list (detect_images.c), unless
 * it took itself off that, too.
 * Honest look-alikes: Xcode's own diagnostics; allow them by name in test builds. */
#include "device/guard/apple_facts.h"
#include "device/guard/detectors_apple.h"

#include <stdio.h>
#include <string.h>

static void look(emk_guard_look *l)
{
    emk_darwin_facts f = {0};
    const char *list;

    emk_darwin_facts_get(&f);
    for (list = f.inserted; list && *list; list += *list == ':') {
        const size_t len = strcspn(list, ":");
        char name[EMK_GUARD_NAME_MAX];

        snprintf(name, sizeof name, "%.*s", (int)len, list);
        if (len > 0 && !emk_guard_is_allowed(l, name))
            emk_guard_saw(l, EMK_GUARD_PRELOAD, emk_guard_outside_development(l, EMK_GUARD_LIKELY),
                          emk_guard_base_name(name));
        list += len;
    }
}

const emk_detector emk_detect_darwin_inserted = {"inserted", look, false};
