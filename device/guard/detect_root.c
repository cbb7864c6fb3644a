/* Traces of rooting on Android: su, Magisk, Zygisk, KernelSU, APatch; their mounts; properties that
 * no vendor ships; a system that does not enforce SELinux.  What only the platform's language can
 * see comes through its table, on Apple's systems all of it.  On a desktop or server Linux being
 * root is nothing special, and nothing is looked for. Evaded by hiding modules (Zygisk with a deny
 * list, mount namespaces): that is why a device's attestation counts on the server and this only
 * raises. */
#include "device/guard/internal.h"

#include <string.h>

static const char *const files[] = {"/system/bin/su",
                                    "/system/xbin/su",
                                    "/sbin/su",
                                    "/su/bin/su",
                                    "/vendor/bin/su",
                                    "/system/app/Superuser.apk",
                                    "/data/local/xbin/su",
                                    "/data/local/bin/su",
                                    "/data/adb/magisk",
                                    "/data/adb/ksu",
                                    "/data/adb/ap",
                                    "/data/adb/modules/zygisksu",
                                    "/data/adb/ksud",
                                    "/sbin/.magisk",
                                    "/cache/magisk.log",
                                    "/dev/.magisk.unblock",
                                    "/system/etc/init.d/99SuperSUDaemon",
                                    "/system/bin/magisk",
                                    "/debug_ramdisk/.magisk",
                                    "/system/framework/XposedBridge.jar",
                                    NULL};
static const char *const mount_words[] = {"magisk", "kernelsu", "/data/adb/",
                                          "apatch", "zygisk",   NULL};

static bool read_mount(void *self, const char *line)
{
    emk_guard_look *l = self;

    if (emk_guard_find_word(line, mount_words))
        emk_guard_saw(l, EMK_GUARD_ROOTED, EMK_GUARD_CERTAIN, "a root tool's mount");
    return true;
}

/* What no phone is sold with, and what a system somebody built alone has, too. */
static const struct {
    const char *name, *value; /* a part of it */
    emk_guard_confidence confidence;
} properties[] = {
    {"ro.secure", "0", EMK_GUARD_LIKELY},
    {"service.adb.root", "1", EMK_GUARD_LIKELY},
    {"ro.dalvik.vm.native.bridge", "zygisk", EMK_GUARD_CERTAIN},
    {"ro.dalvik.vm.native.bridge", "riru", EMK_GUARD_CERTAIN},
    {"ro.boot.verifiedbootstate", "orange", EMK_GUARD_HINT},
    {"ro.debuggable", "1", EMK_GUARD_HINT},
    {"ro.build.tags", "test-keys", EMK_GUARD_HINT},
};

static void look_at_properties(emk_guard_look *l)
{
    char value[EMK_GUARD_NAME_MAX];

    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        emk_env_property(&l->env, properties[i].name, value, sizeof value);
        if (strstr(value, properties[i].value))
            emk_guard_saw(l, EMK_GUARD_ROOTED, properties[i].confidence, properties[i].name);
    }
}

static bool is_android(const emk_env *env)
{
    return emk_env_exists(env, "/system/bin/app_process") ||
           emk_env_exists(env, "/system/bin/app_process64");
}

static void look_at_android(emk_guard_look *l)
{
    char enforce[8];
    emk_status st;

    for (const char *const *f = files; *f; f++) {
        if (emk_env_exists(&l->env, *f))
            emk_guard_saw(l, EMK_GUARD_ROOTED, EMK_GUARD_LIKELY, *f);
    }
    st = emk_env_each_line(&l->env, "/proc/self/mounts", read_mount, l, NULL);
    if (st != EMK_OK)
        emk_guard_blind(l, st, "/proc/self/mounts");
    look_at_properties(l);
    emk_env_first_line(&l->env, "/sys/fs/selinux/enforce", enforce, sizeof enforce);
    if (strcmp(enforce, "0") == 0)
        emk_guard_saw(l, EMK_GUARD_ROOTED, EMK_GUARD_LIKELY, "SELinux does not enforce");
}

static void look(emk_guard_look *l)
{
    const emk_guard_platform *p = l->platform;
    uint32_t bits = 0;

    if (is_android(&l->env))
        look_at_android(l);
    if (p->ops && p->ops->state && p->ops->state(p->self, &bits, NULL) == EMK_OK &&
        (bits & EMK_GUARD_HAS_ROOT_TRACES))
        emk_guard_saw(l, EMK_GUARD_ROOTED, EMK_GUARD_LIKELY, "the platform sees traces");
}

const emk_detector emk_detect_root = {"root", look, true};
