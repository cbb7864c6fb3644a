/* An emulator or a virtual machine: Android's emulator leaves devices of its own, a hypervisor
 * says so in the CPU's flags and the firmware's tables.  A server or an edge box in a virtual
 * machine is honest, so that is a hint only; an Android device in one is not.
 * Evaded by patched emulators. */
#include "device/guard/internal.h"

#include <string.h>

static const char *const android_files[] = {"/dev/qemu_pipe",
                                            "/dev/goldfish_pipe",
                                            "/dev/socket/qemud",
                                            "/system/lib/libc_malloc_debug_qemu.so",
                                            "/sys/qemu_trace",
                                            "/system/bin/qemu-props",
                                            "/dev/vboxguest",
                                            "/dev/vboxuser",
                                            NULL};
static const char *const machine_words[] = {
    "kvm", "qemu", "virtualbox", "vmware", "xen", "bochs", "parallels", "virtual machine", NULL};

static bool read_cpu(void *self, const char *line)
{
    static const char *const words[] = {" hypervisor", "goldfish", "ranchu", NULL};
    bool *virtual_ = self;

    if (emk_guard_find_word(line, words))
        *virtual_ = true;
    return !*virtual_;
}

static void look(emk_guard_look *l)
{
    static const char *const tables[] = {"/sys/class/dmi/id/product_name",
                                         "/sys/class/dmi/id/sys_vendor", "/proc/device-tree/model"};
    const emk_guard_platform *p = l->platform;
    bool is_virtual = false;
    char line[128];
    uint32_t bits = 0;

    for (const char *const *f = android_files; *f; f++) {
        if (emk_env_exists(&l->env, *f))
            emk_guard_saw(l, EMK_GUARD_EMULATOR, EMK_GUARD_LIKELY, *f);
    }
    emk_env_property(&l->env, "ro.kernel.qemu", line, sizeof line);
    if (strcmp(line, "1") == 0)
        emk_guard_saw(l, EMK_GUARD_EMULATOR, EMK_GUARD_LIKELY, "ro.kernel.qemu");
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        emk_env_first_line(&l->env, tables[i], line, sizeof line);
        if (emk_guard_find_word(line, machine_words))
            emk_guard_saw(l, EMK_GUARD_EMULATOR, EMK_GUARD_HINT, line);
    }
    /* A machine without it, or with an odd one, is no finding. */
    if (emk_env_each_line(&l->env, "/proc/cpuinfo", read_cpu, &is_virtual, NULL) == EMK_OK &&
        is_virtual)
        emk_guard_saw(l, EMK_GUARD_EMULATOR, EMK_GUARD_HINT, "the CPU names a hypervisor");
    if (p->ops && p->ops->state && p->ops->state(p->self, &bits, NULL) == EMK_OK &&
        (bits & EMK_GUARD_HAS_EMULATOR_TRACES))
        emk_guard_saw(l, EMK_GUARD_EMULATOR, EMK_GUARD_LIKELY, "the platform sees traces");
}

const emk_detector emk_detect_emulator = {"emulator", look, true};
