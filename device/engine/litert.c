#include "device/engine/litert_internal.h"

#include "core/base/alloc.h"

emk_status emk_litert_fns(const emk_litert *l, const char *const *names, emk_any_fn *fns, size_t n,
                          emk_error *e)
{
    for (size_t i = 0; i < n; i++) {
        fns[i] = emk_os_library_fn(l->library, names[i]);
        if (!fns[i])
            return emk_fail(e, EMK_E_UNSUPPORTED, "litert: the library lacks a function", i);
    }
    return EMK_OK;
}

static emk_status choose(emk_litert *l, emk_error *e)
{
    if (emk_os_library_fn(l->library, "TfLiteModelCreate"))
        l->ops = &EMK_LITERT_INTERPRETER;
    else if (emk_os_library_fn(l->library, "LiteRtCreateModelFromBuffer"))
        l->ops = &EMK_LITERT_COMPILED;
    else
        return emk_fail(e, EMK_E_UNSUPPORTED, "litert: the library is not LiteRT", 0);
    return EMK_OK;
}

emk_status emk_litert_open(emk_span model, const char *library, emk_litert **out, emk_error *e)
{
    emk_litert *l = emk_alloc(1, sizeof *l);
    emk_status st;

    if (!l)
        return emk_fail(e, EMK_E_NO_MEMORY, "litert: no memory", sizeof *l);
    st = emk_os_library_load(library ? library : EMK_LITERT_LIBRARY, &l->library, e);
    if (st == EMK_OK)
        st = choose(l, e);
    if (st == EMK_OK)
        st = l->ops->open(l, model, e);
    if (st != EMK_OK) {
        emk_litert_close(l);
        return st;
    }
    *out = l;
    return EMK_OK;
}

bool emk_litert_is_compiled(const emk_litert *l)
{
    return l->ops == &EMK_LITERT_COMPILED;
}

void *emk_litert_model(const emk_litert *l)
{
    return l->model;
}

void *emk_litert_interpreter(const emk_litert *l)
{
    return l->interpreter;
}

emk_status emk_litert_run_zeros(emk_litert *l, emk_error *e)
{
    return l->ops->run_zeros(l, e);
}

void emk_litert_close(emk_litert *l)
{
    if (!l)
        return;
    if (l->ops)
        l->ops->close(l);
    emk_free(l);
}
