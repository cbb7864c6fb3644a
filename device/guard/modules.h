/* The modules that the dynamic linker loaded into this process: their code in memory and in
 * their files, and where their calls lead.
 *
 * Whatever reads a module's memory runs while the linker's lock is held, so that no module goes
 * away under it. */
#ifndef EMK_DEVICE_GUARD_MODULES_H
#define EMK_DEVICE_GUARD_MODULES_H

#include "core/base/span.h"
#include "core/base/status.h"

#define EMK_MODULES_MAX      1024u
#define EMK_MODULE_NAME_MAX  256u
#define EMK_MODULE_SEGMENTS  4u
#define EMK_MODULE_CALLS_MAX 65536u

/* A piece of a module's code; readable. */
typedef struct emk_module_segment {
    const uint8_t *p;
    size_t len;
    uint64_t file_off;
} emk_module_segment;

typedef struct emk_module {
    char path[EMK_MODULE_NAME_MAX]; /* of its file; "/proc/self/exe" for the program */
    uintptr_t start, end;           /* all it has mapped */
    emk_module_segment code[EMK_MODULE_SEGMENTS];
    size_t n_code;
    bool unreadable;   /* some of its code cannot be read */
    bool has_no_file;  /* its code is not in its file as it is in memory: encrypted there */
    emk_span build_id; /* the note that names its build, empty: none */
    uint64_t build_id_off;
    bool is_own; /* the library this function is in */
    bool is_program;
    const void *dynamic; /* private */
    uintptr_t base;      /* private */
} emk_module;

/* Calls fn for each module, with the linker's lock held, until it returns false.  fn must not
 * load or unload modules. */
typedef bool (*emk_module_fn)(void *self, const emk_module *m);
void emk_modules_each(emk_module_fn fn, void *self);

/* Calls fn with the name and the target of every call that the module makes through its table,
 * until it returns false.  Only inside emk_modules_each. */
typedef bool (*emk_module_call_fn)(void *self, const char *symbol, uintptr_t target);
void emk_module_calls_each(const emk_module *m, emk_module_call_fn fn, void *self);

#endif
