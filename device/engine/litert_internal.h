/* What the two interfaces of LiteRT have in common here. */
#ifndef EMK_DEVICE_ENGINE_LITERT_INTERNAL_H
#define EMK_DEVICE_ENGINE_LITERT_INTERNAL_H

#include <earmark/engine_litert.h>

#include "device/engine/os_library.h"

#define EMK_LITERT_INPUTS_MAX 64u
#define EMK_LITERT_BYTES_MAX  (UINT64_C(1) << 30) /* of one input */

typedef struct emk_litert_ops {
    /* Fills model and interpreter, and maybe env; what was made by then is freed by close. */
    emk_status (*open)(emk_litert *l, emk_span bytes, emk_error *e);
    emk_status (*run_zeros)(emk_litert *l, emk_error *e);
    void (*close)(emk_litert *l); /* of what is not NULL */
} emk_litert_ops;

struct emk_litert {
    const emk_litert_ops *ops;
    void *library;
    void *env;
    void *model;
    void *interpreter;
};

extern const emk_litert_ops EMK_LITERT_INTERPRETER; /* TensorFlow Lite */
extern const emk_litert_ops EMK_LITERT_COMPILED;    /* LiteRT 2 */

/* Fills fns with the functions of these names.  EMK_E_UNSUPPORTED when one is missing (where: which
 * of them). */
emk_status emk_litert_fns(const emk_litert *l, const char *const *names, emk_any_fn *fns, size_t n,
                          emk_error *e) EMK_MUST_CHECK;

#endif
