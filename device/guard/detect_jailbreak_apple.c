/* Traces of a jailbreak on iOS: package managers and injectors, at their old places and at
 * the ones of rootless jailbreaks (/var/jb); a sandbox that lets an app write outside or fork.
 * A simulator has none of these walls and is told apart.  On a Mac nothing is looked for:
 * being root is nothing special there.
 * Evaded by hiding tweaks that hook access, open and fork, and by jailbreaks that leave the
 * sandbox whole: the attestation counts on the server, and this only raises. */
#include "device/guard/apple_facts.h"
#include "device/guard/detectors_apple.h"

static const char *const certain_files[] = {"/var/jb/usr/lib",
                                            "/private/preboot/jb",
                                            "/var/jb/Library/MobileSubstrate",
                                            "/Library/MobileSubstrate/MobileSubstrate.dylib",
                                            "/Library/MobileSubstrate/DynamicLibraries",
                                            "/usr/lib/TweakInject",
                                            "/usr/lib/libhooker.dylib",
                                            "/usr/lib/libsubstitute.dylib",
                                            "/usr/lib/libjailbreak.dylib",
                                            "/usr/libexec/cydia",
                                            "/usr/sbin/frida-server",
                                            "/var/jb/usr/sbin/frida-server",
                                            NULL};
static const char *const likely_files[] = {"/var/jb",
                                           "/var/binpack",
                                           "/.installed_unc0ver",
                                           "/.bootstrapped_electra",
                                           "/.installed_dopamine",
                                           "/cores/binpack",
                                           "/Applications/Cydia.app",
                                           "/Applications/Sileo.app",
                                           "/Applications/Zebra.app",
                                           "/var/jb/Applications/Sileo.app",
                                           "/private/var/lib/apt",
                                           "/private/var/lib/cydia",
                                           "/private/var/stash",
                                           "/etc/apt",
                                           "/usr/bin/sshd",
                                           "/bin/bash",
                                           NULL};

static void look_at_files(emk_guard_look *l, const char *const *files, emk_guard_confidence c)
{
    for (; *files; files++) {
        if (emk_env_exists(&l->env, *files))
            emk_guard_saw(l, EMK_GUARD_ROOTED, c, *files);
    }
}

static void look_at_sandbox(emk_guard_look *l)
{
    emk_darwin_facts f = {0};

    emk_darwin_try_sandbox(&f);
    if (f.wrote_outside)
        emk_guard_saw(l, EMK_GUARD_ROOTED, EMK_GUARD_CERTAIN, "the sandbox lets us write outside");
    if (f.forked)
        emk_guard_saw(l, EMK_GUARD_ROOTED, EMK_GUARD_CERTAIN, "the sandbox lets us fork");
}

static void look_at_platform(emk_guard_look *l)
{
    const emk_guard_platform *p = l->platform;
    uint32_t bits = 0;

    if (!p->ops || !p->ops->state || p->ops->state(p->self, &bits, NULL) != EMK_OK)
        return;
    if (bits & EMK_GUARD_HAS_ROOT_TRACES)
        emk_guard_saw(l, EMK_GUARD_ROOTED, EMK_GUARD_LIKELY, "the platform sees traces");
    if (bits & EMK_GUARD_HAS_EMULATOR_TRACES)
        emk_guard_saw(l, EMK_GUARD_EMULATOR, EMK_GUARD_LIKELY, "the platform sees traces");
}

static void look(emk_guard_look *l)
{
    emk_darwin_facts f = {0};

    emk_darwin_facts_get(&f);
    look_at_platform(l);
    if (f.is_simulator) {
        emk_guard_saw(l, EMK_GUARD_EMULATOR, emk_guard_outside_development(l, EMK_GUARD_LIKELY),
                      "a simulator");
        return;
    }
    if (!f.is_phone)
        return;
    look_at_files(l, certain_files, EMK_GUARD_CERTAIN);
    look_at_files(l, likely_files, EMK_GUARD_LIKELY);
    if (l->whole)
        look_at_sandbox(l);
}

const emk_detector emk_detect_darwin_jailbreak = {"jailbreak", look, true};
