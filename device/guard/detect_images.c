/* Images of instrumentation agents among those that are loaded, by their names: on systems that
 * list images and give no map of memory.  Evaded by an agent with another name, and by one that
 * takes itself off the list. */
#include "device/guard/internal.h"

#include <string.h>

static const char *const agent_words[] = {"frida",
                                          "cynject",
                                          "cydiasubstrate",
                                          "mobilesubstrate",
                                          "libsubstrate",
                                          "substitute",
                                          "libhooker",
                                          "ellekit",
                                          "tweakinject",
                                          "tweakloader",
                                          "libjailbreak",
                                          "rocketbootstrap",
                                          "cycript",
                                          "sslkillswitch",
                                          "xposed",
                                          "scyllahide",
                                          "titanhide",
                                          "cheatengine",
                                          NULL};

static bool look_at_image(void *self, const emk_module *m)
{
    emk_guard_look *l = self;
    const char *name = emk_guard_base_name(m->path);

    /* A program may be called what it likes. */
    if (!m->is_program && !m->is_own && emk_guard_find_word(name, agent_words) &&
        !emk_guard_is_allowed(l, m->path))
        emk_guard_saw(l, EMK_GUARD_AGENT_MAP, emk_guard_outside_development(l, EMK_GUARD_CERTAIN),
                      name);
    return !emk_env_is_late(&l->env);
}

static void look(emk_guard_look *l)
{
    emk_modules_each(look_at_image, l);
}

const emk_detector emk_detect_images = {"images", look, false};
