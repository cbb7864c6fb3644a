/* Threads that an instrumentation agent starts in its host.  Frida's JavaScript loop is called
 * gum-js-loop; gmain, gdbus and pool-spawner are GLib's, honest in a program that uses it.
 * Evaded by an agent built with other names. */
#include "device/guard/internal.h"

#include <stdio.h>
#include <string.h>

#define TASKS "/proc/self/task"

static const char *const agent_threads[] = {"gum-js-loop", "pool-frida", "frida", "linjector",
                                            NULL};

typedef struct tasks {
    emk_guard_look *l;
    unsigned n_glib;
} tasks;

static bool read_task(void *self, const char *name)
{
    tasks *t = self;
    char path[EMK_ENV_PATH_MAX], comm[64];

    snprintf(path, sizeof path, TASKS "/%.32s/comm", name);
    emk_env_first_line(&t->l->env, path, comm, sizeof comm);
    if (emk_guard_find_word(comm, agent_threads))
        emk_guard_saw(t->l, EMK_GUARD_AGENT_THREAD, EMK_GUARD_CERTAIN, comm);
    if (strcmp(comm, "gmain") == 0 || strcmp(comm, "gdbus") == 0)
        t->n_glib++;
    return true;
}

static bool is_glib(void *self, const emk_module *m)
{
    static const char *const names[] = {"libglib-2.0", NULL};
    bool *found = self;

    *found = emk_guard_find_word(m->path, names) != NULL;
    return !*found;
}

static void look(emk_guard_look *l)
{
    tasks t = {l, 0};
    bool has_glib = false;
    emk_status st = emk_env_each_name(&l->env, TASKS, read_task, &t, NULL);

    if (st != EMK_OK)
        emk_guard_blind(l, st, TASKS);
    if (t.n_glib < 2)
        return;
    emk_modules_each(is_glib, &has_glib);
    if (!has_glib) /* a program may have it linked in */
        emk_guard_saw(l, EMK_GUARD_AGENT_THREAD, EMK_GUARD_HINT, "GLib's threads without GLib");
}

const emk_detector emk_detect_threads = {"threads", look, false};
