/* A debugger, strace or an injector that is attached: the kernel says so in TracerPid.
 * Evaded by a kernel module, by a process that fakes /proc in a mount namespace, or by reading
 * memory without attaching (see docs/security/extraction.md). */
#include "device/guard/internal.h"

#include <stdlib.h>
#include <string.h>

typedef struct status_file {
    bool has_tracer;
    unsigned long tracer;
} status_file;

static bool read_line(void *self, const char *line)
{
    static const char key[] = "TracerPid:";
    status_file *s = self;

    if (strncmp(line, key, sizeof key - 1) != 0)
        return true;
    s->has_tracer = true;
    s->tracer = strtoul(line + sizeof key - 1, NULL, 10);
    return false;
}

static void look(emk_guard_look *l)
{
    status_file s = {0};
    emk_status st = emk_env_each_line(&l->env, "/proc/self/status", read_line, &s, NULL);

    if (st != EMK_OK || !s.has_tracer)
        emk_guard_blind(l, st == EMK_OK ? EMK_E_FORMAT : st, "/proc/self/status");
    else if (s.tracer != 0)
        emk_guard_saw(l, EMK_GUARD_TRACER, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      "TracerPid is set");
}

const emk_detector emk_detect_tracer = {"tracer", look, false};
