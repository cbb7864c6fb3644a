/* What detectors use to say what they saw. */
#include "device/guard/internal.h"

#include <stdio.h>
#include <string.h>

void emk_guard_saw(emk_guard_look *l, emk_guard_signal s, emk_guard_confidence c,
                   const char *detail)
{
    char *to = l->details[s];

    if (l->seen[s] >= (uint8_t)c)
        return;
    l->seen[s] = (uint8_t)c;
    snprintf(to, EMK_GUARD_DETAIL_MAX, "%s", detail);
    /* It goes into logs and onto terminals, and comes from file names. */
    for (; *to; to++) {
        if (*to < ' ' || *to > '~')
            *to = '?';
    }
}

void emk_guard_blind(emk_guard_look *l, emk_status st, const char *what)
{
    char detail[EMK_GUARD_DETAIL_MAX];

    /* Debuggers, valgrind and sanitizers are slow: in development that is no news. */
    if (l->rules->development && st == EMK_E_LIMIT)
        return;
    snprintf(detail, sizeof detail, "%s: %.70s", emk_status_name(st), what);
    emk_guard_saw(l, EMK_GUARD_BLIND, EMK_GUARD_HINT, detail);
}

const char *emk_guard_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool emk_guard_is_allowed(const emk_guard_look *l, const char *path)
{
    const char *name = emk_guard_base_name(path);

    for (size_t i = 0; i < l->rules->n_allowed; i++) {
        if (strcmp(name, l->rules->allowed[i]) == 0 || strcmp(path, l->rules->allowed[i]) == 0)
            return true;
    }
    return false;
}

bool emk_guard_is_engine(const emk_guard_look *l, const char *path)
{
    const char *name = emk_guard_base_name(path);

    for (size_t i = 0; i < l->rules->n_engines; i++) {
        const char *engine = l->rules->engines[i];

        if (strncmp(name, engine, strlen(engine)) == 0)
            return true;
    }
    return false;
}

emk_guard_confidence emk_guard_outside_development(const emk_guard_look *l, emk_guard_confidence c)
{
    return l->rules->development ? EMK_GUARD_HINT : c;
}

static bool begins_without_case(const char *text, const char *word)
{
    for (; *word; text++, word++) {
        const char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;

        if (c != *word)
            return false;
    }
    return true;
}

const char *emk_guard_find_word(const char *text, const char *const *words)
{
    for (; *words; words++) {
        for (const char *p = text; *p; p++) {
            if (begins_without_case(p, *words))
                return *words;
        }
    }
    return NULL;
}
