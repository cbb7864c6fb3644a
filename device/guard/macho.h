/* A Mach-O image of 64 bits as dyld mapped it: where its code is, and where its calls lead.  Reads
 * memory of this process and believes none of its numbers. */
#ifndef EMK_DEVICE_GUARD_MACHO_H
#define EMK_DEVICE_GUARD_MACHO_H

#include "device/guard/modules.h"

#define EMK_MACHO_COMMANDS_MAX ((size_t)64 * 1024) /* bytes of load commands */

typedef struct emk_macho {
    const uint8_t *image; /* its header; kept */
    uintptr_t slide;      /* what dyld added to every address in it */
} emk_macho;

/* Fills the code, the extent, the build id and has_no_file of *m; leaves the rest.
 * EMK_E_FORMAT, EMK_E_UNSUPPORTED for 32 bits. */
emk_status emk_macho_describe(const emk_macho *in, emk_module *m, emk_error *e) EMK_MUST_CHECK;
/* Calls fn with each pointer of the tables of symbol pointers, until it returns false: what
 * hooking libraries rebind.  Names come without their underscore. */
void emk_macho_calls_each(const emk_macho *in, emk_module_call_fn fn, void *self);

#endif
