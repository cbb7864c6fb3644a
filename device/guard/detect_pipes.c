/* What an agent keeps open in its host: named pipes and memory files with its name, the sockets
 * of its injector.  Evaded by other names. */
#include "device/guard/internal.h"

#include <stdio.h>

#define DESCRIPTORS "/proc/self/fd"

static const char *const agent_words[] = {"frida", "linjector", "gum-js", NULL};

static bool read_descriptor(void *self, const char *name)
{
    emk_guard_look *l = self;
    char path[EMK_ENV_PATH_MAX], to[EMK_ENV_PATH_MAX];

    snprintf(path, sizeof path, DESCRIPTORS "/%.32s", name);
    if (emk_env_link(&l->env, path, to, sizeof to, NULL) == EMK_OK &&
        emk_guard_find_word(to, agent_words) && !emk_guard_is_allowed(l, to))
        emk_guard_saw(l, EMK_GUARD_AGENT_PIPE, EMK_GUARD_CERTAIN, to);
    return true;
}

static void look(emk_guard_look *l)
{
    emk_status st = emk_env_each_name(&l->env, DESCRIPTORS, read_descriptor, l, NULL);

    if (st != EMK_OK)
        emk_guard_blind(l, st, DESCRIPTORS);
}

const emk_detector emk_detect_pipes = {"pipes", look, false};
