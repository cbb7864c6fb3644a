/* The app itself, through the platform's table: who signed it, who installed it, whether it may
 * be debugged.  The table is code in the app, so a patched app can lie; what cannot is the
 * attestation, where the server reads the same certificate.
 * Honest look-alikes: test builds, stores of companies (name them as installers). */
#include "device/guard/internal.h"

#include <stdio.h>
#include <string.h>

static void look_at_signer(emk_guard_look *l)
{
    const emk_guard_platform *p = l->platform;
    uint8_t digest[EMK_GUARD_HASH_LEN];
    emk_status st;

    if (!l->rules->has_signer || !p->ops->signer)
        return;
    st = p->ops->signer(p->self, digest, NULL);
    if (st != EMK_OK)
        emk_guard_blind(l, st, "the app's signing certificate");
    else if (memcmp(digest, l->rules->signer, sizeof digest) != 0)
        emk_guard_saw(l, EMK_GUARD_REPACKAGED, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      "signed with another certificate");
}

static void look_at_installer(emk_guard_look *l)
{
    const emk_guard_platform *p = l->platform;
    char name[EMK_GUARD_NAME_MAX] = "";

    if (l->rules->n_installers == 0 || !p->ops->installer ||
        p->ops->installer(p->self, name, sizeof name, NULL) != EMK_OK)
        return;
    name[sizeof name - 1] = 0;
    for (size_t i = 0; i < l->rules->n_installers; i++) {
        if (strcmp(name, l->rules->installers[i]) == 0)
            return;
    }
    emk_guard_saw(l, EMK_GUARD_INSTALLER, EMK_GUARD_HINT, name[0] ? name : "nobody");
}

static void look_at_state(emk_guard_look *l)
{
    const emk_guard_platform *p = l->platform;
    uint32_t bits = 0;

    if (!p->ops->state || p->ops->state(p->self, &bits, NULL) != EMK_OK)
        return;
    if (bits & EMK_GUARD_HAS_DEBUGGABLE_APP)
        emk_guard_saw(l, EMK_GUARD_DEVELOPER, emk_guard_outside_development(l, EMK_GUARD_LIKELY),
                      "the app is debuggable");
    else if (bits & EMK_GUARD_HAS_REMOTE_DEBUGGING)
        emk_guard_saw(l, EMK_GUARD_DEVELOPER, EMK_GUARD_HINT, "remote debugging is on");
    else if (bits & EMK_GUARD_HAS_DEVELOPER_SETTINGS)
        emk_guard_saw(l, EMK_GUARD_DEVELOPER, EMK_GUARD_HINT, "developer settings are on");
}

static void look(emk_guard_look *l)
{
    if (!l->platform->ops)
        return;
    look_at_signer(l);
    look_at_installer(l);
    look_at_state(l);
}

const emk_detector emk_detect_package = {"package", look, true};
