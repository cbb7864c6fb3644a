/* dyld keeps its list while nobody loads or unloads; images of the system are never unloaded, an
 * app's own as a rule neither.  There is no lock to hold from outside: an index that is gone
 * gives NULL. */
#include "device/guard/darwin.h"
#include "device/guard/macho.h"

#include <stdio.h>

static bool visit(uint32_t i, emk_module *m)
{
    const emk_macho image = {_dyld_get_image_header(i), (uintptr_t)_dyld_get_image_vmaddr_slide(i)};
    const char *name = _dyld_get_image_name(i);

    if (!image.image || !name || emk_macho_describe(&image, m, NULL) != EMK_OK)
        return false;
    snprintf(m->path, sizeof m->path, "%s", name);
    m->is_program = i == 0;
    m->is_own = (uintptr_t)&emk_modules_each >= m->start && (uintptr_t)&emk_modules_each < m->end;
    m->dynamic = image.image;
    m->base = image.slide;
    return true;
}

void emk_modules_each(emk_module_fn fn, void *self)
{
    const uint32_t n = _dyld_image_count();

    for (uint32_t i = 0; i < n && i < EMK_MODULES_MAX; i++) {
        emk_module m = {.path = ""};

        if (visit(i, &m) && !fn(self, &m))
            return;
    }
}

void emk_module_calls_each(const emk_module *m, emk_module_call_fn fn, void *self)
{
    const emk_macho image = {m->dynamic, m->base};

    emk_macho_calls_each(&image, fn, self);
}
