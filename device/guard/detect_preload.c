/* Libraries that were put before all others, by the environment the process was started with or
 * for the whole machine: the cheapest way to replace malloc, read or dlopen.
 * Evaded by clearing the environment after loading (the kernel's copy is read, not getenv's, but
 * a process can overwrite that too) or by other ways in; see detect_calls.c.
 * Honest look-alikes: allocators (jemalloc, tcmalloc), faketime, profilers.  Allow them by name. */
#include "device/guard/internal.h"

#include <stdio.h>
#include <string.h>

static const char *const variables[] = {"LD_PRELOAD=", "LD_AUDIT=", "DYLD_INSERT_LIBRARIES=", NULL};

/* Each of the names in a list that colons or spaces separate. */
static void look_at_list(emk_guard_look *l, const char *list, const char *where)
{
    while (*list) {
        const size_t len = strcspn(list, ": ,\t");
        char name[EMK_GUARD_NAME_MAX];
        char detail[EMK_GUARD_DETAIL_MAX];

        snprintf(name, sizeof name, "%.*s", (int)len, list);
        if (len > 0 && !emk_guard_is_allowed(l, name)) {
            snprintf(detail, sizeof detail, "%.16s %.64s", where, emk_guard_base_name(name));
            emk_guard_saw(l, EMK_GUARD_PRELOAD, emk_guard_outside_development(l, EMK_GUARD_LIKELY),
                          detail);
        }
        list += len;
        list += strspn(list, ": ,\t");
    }
}

static bool read_variable(void *self, const char *line)
{
    for (const char *const *v = variables; *v; v++) {
        if (strncmp(line, *v, strlen(*v)) == 0)
            look_at_list(self, line + strlen(*v), "environment:");
    }
    return true;
}

static bool read_global(void *self, const char *line)
{
    if (line[0] != '#')
        look_at_list(self, line, "ld.so.preload:");
    return true;
}

static void look(emk_guard_look *l)
{
    emk_status st;

    /* Lines end in zeros there; emk_env_each_line takes them as well. */
    st = emk_env_each_line(&l->env, "/proc/self/environ", read_variable, l, NULL);
    /* A process that made itself undumpable may not read it again; the first round did. */
    if (st != EMK_OK && !emk_env_is_dumpable())
        st = EMK_OK;
    if (st != EMK_OK)
        emk_guard_blind(l, st, "/proc/self/environ");
    st = emk_env_each_line(&l->env, "/etc/ld.so.preload", read_global, l, NULL);
    if (st == EMK_E_LIMIT)
        emk_guard_blind(l, st, "/etc/ld.so.preload");
}

const emk_detector emk_detect_preload = {"preload", look, false};
