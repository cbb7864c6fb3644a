/* A library that is loaded when it is asked for, and stays: runtimes leave threads behind, which
 * must not find their code gone. */
#ifndef EMK_DEVICE_ENGINE_OS_LIBRARY_H
#define EMK_DEVICE_ENGINE_OS_LIBRARY_H

#include "core/base/status.h"

typedef void (*emk_any_fn)(void); /* cast it to what it is */

/* Gives a handle, never to be closed.  EMK_E_NOT_FOUND. */
emk_status emk_os_library_load(const char *name, void **out, emk_error *e) EMK_MUST_CHECK;
/* NULL when the library has no such function. */
emk_any_fn emk_os_library_fn(void *library, const char *name);

#endif
