#include "device/engine/os_library.h"

#include <dlfcn.h>
#include <string.h>

emk_status emk_os_library_load(const char *name, void **out, emk_error *e)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

    if (!library)
        return emk_fail(e, EMK_E_NOT_FOUND, "engine: its library cannot be loaded", 0);
    *out = library;
    return EMK_OK;
}

emk_any_fn emk_os_library_fn(void *library, const char *name)
{
    void *at = dlsym(library, name);
    emk_any_fn fn;

    memcpy(&fn, &at, sizeof fn); /* POSIX has them the same size; ISO C has no cast */
    return fn;
}
