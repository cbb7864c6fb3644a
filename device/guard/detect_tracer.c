/* A debugger, strace or an injector that is attached: the kernel says so in TracerPid.
 * Evaded by a kernel module, by a process that fakes /proc in a mount namespace, or by reading
 * memory without attaching (see docs/security/extraction.md). */
#include "device/guard/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS       "/proc/self/task"
#define PROBE_TASKS 16u /* threads that a probe looks at */

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

/* An injector may attach to one thread only. */
typedef struct tasks {
    emk_guard_look *l;
    unsigned left;
    unsigned long tracer;
} tasks;

static bool read_task(void *self, const char *name)
{
    status_file s = {0};
    tasks *t = self;
    char path[EMK_ENV_PATH_MAX];

    snprintf(path, sizeof path, TASKS "/%.32s/status", name);
    /* One that cannot be read has ended meanwhile. */
    if (emk_env_each_line(&t->l->env, path, read_line, &s, NULL) == EMK_OK)
        t->tracer = s.tracer;
    return t->tracer == 0 && --t->left > 0;
}

static unsigned long tracer_of_threads(emk_guard_look *l)
{
    tasks t = {.l = l, .left = l->whole ? EMK_ENV_NAMES_MAX : PROBE_TASKS};
    emk_status st = emk_env_each_name(&l->env, TASKS, read_task, &t, NULL);

    (void)st; /* detect_threads.c says when there is no such folder */
    return t.tracer;
}

static void look(emk_guard_look *l)
{
    status_file s = {0};
    emk_status st = emk_env_each_line(&l->env, "/proc/self/status", read_line, &s, NULL);

    if (s.tracer == 0)
        s.tracer = tracer_of_threads(l);

    if (st != EMK_OK || !s.has_tracer)
        emk_guard_blind(l, st == EMK_OK ? EMK_E_FORMAT : st, "/proc/self/status");
    else if (s.tracer != 0)
        emk_guard_saw(l, EMK_GUARD_TRACER, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      "TracerPid is set");
}

const emk_detector emk_detect_tracer = {"tracer", look, false};
