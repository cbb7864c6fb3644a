/* The C interface of LiteRT 2.  Between its versions LiteRtCreateModelFromBuffer got one more
 * argument, in front, under the same name; see create_model. */
#include "device/engine/litert_internal.h"

#include <stddef.h>

#define ON_THE_CPU 1

enum {
    CREATE_ENVIRONMENT,
    CREATE_MODEL,
    CREATE_OPTIONS,
    SET_ACCELERATORS,
    CREATE_COMPILED,
    DESTROY_OPTIONS,
    GET_SIGNATURE,
    N_INPUTS,
    N_OUTPUTS,
    INPUT_TENSOR,
    OUTPUT_TENSOR,
    RANKED_TYPE,
    INPUT_NEEDS,
    OUTPUT_NEEDS,
    CREATE_BUFFER,
    CLEAR_BUFFER,
    DESTROY_BUFFER,
    RUN
};

static const char *const NAMES[] = {
    [CREATE_ENVIRONMENT] = "LiteRtCreateEnvironment",
    [CREATE_MODEL] = "LiteRtCreateModelFromBuffer",
    [CREATE_OPTIONS] = "LiteRtCreateOptions",
    [SET_ACCELERATORS] = "LiteRtSetOptionsHardwareAccelerators",
    [CREATE_COMPILED] = "LiteRtCreateCompiledModel",
    [DESTROY_OPTIONS] = "LiteRtDestroyOptions",
    [GET_SIGNATURE] = "LiteRtGetModelSignature",
    [N_INPUTS] = "LiteRtGetNumSignatureInputs",
    [N_OUTPUTS] = "LiteRtGetNumSignatureOutputs",
    [INPUT_TENSOR] = "LiteRtGetSignatureInputTensorByIndex",
    [OUTPUT_TENSOR] = "LiteRtGetSignatureOutputTensorByIndex",
    [RANKED_TYPE] = "LiteRtGetRankedTensorType",
    [INPUT_NEEDS] = "LiteRtGetCompiledModelInputBufferRequirements",
    [OUTPUT_NEEDS] = "LiteRtGetCompiledModelOutputBufferRequirements",
    [CREATE_BUFFER] = "LiteRtCreateManagedTensorBufferFromRequirements",
    [CLEAR_BUFFER] = "LiteRtClearTensorBuffer",
    [DESTROY_BUFFER] = "LiteRtDestroyTensorBuffer",
    [RUN] = "LiteRtRunCompiledModel",
};
#define N_NAMES (sizeof NAMES / sizeof NAMES[0])

/* All give 0, or a code. */
typedef int (*env_fn)(int n, const void *options, void **out);
typedef int (*model_fn)(const void *a, uintptr_t b, uintptr_t c, void **d);
typedef int (*make_fn)(void **out);
typedef int (*set_fn)(void *options, int value);
typedef int (*compile_fn)(void *env, void *model, void *options, void **out);
typedef int (*part_fn)(void *of, size_t i, void **out);
typedef int (*count_fn)(void *of, size_t *out);
typedef int (*type_fn)(void *tensor, void *out);
typedef int (*needs_fn)(void *compiled, size_t signature, size_t i, void **out);
typedef int (*buffer_fn)(void *env, const void *type, void *needs, void **out);
typedef int (*clear_fn)(void *buffer);
typedef int (*run_fn)(void *compiled, size_t signature, size_t n_in, void **in, size_t n_out,
                      void **out);
typedef void (*destroy_fn)(void *object);

/* Versions before 2.2 take (bytes, length, &model), later ones (environment, bytes, length,
 * &model); nothing in the library says which.  The first form is tried with NULL behind it: a later
 * version sees NULL where it wants &model and refuses at once. */
static int create_model(emk_litert *l, model_fn create, emk_span bytes)
{
    if (create(bytes.p, bytes.len, (uintptr_t)&l->model, NULL) == 0 && l->model)
        return 0;
    l->model = NULL;
    return create(l->env, (uintptr_t)bytes.p, bytes.len, &l->model);
}

static emk_status open_model(emk_litert *l, emk_span bytes, emk_error *e)
{
    emk_any_fn fns[N_NAMES];
    void *options = NULL;
    emk_status st = emk_litert_fns(l, NAMES, fns, N_NAMES, e);
    int code;

    if (st != EMK_OK)
        return st;
    code = ((env_fn)fns[CREATE_ENVIRONMENT])(0, NULL, &l->env);
    if (code)
        return emk_fail(e, EMK_E_NO_MEMORY, "litert: the runtime does not start", (uint64_t)code);
    code = create_model(l, (model_fn)fns[CREATE_MODEL], bytes);
    if (code)
        return emk_fail(e, EMK_E_FORMAT, "litert: the runtime refuses the model", (uint64_t)code);
    code = ((make_fn)fns[CREATE_OPTIONS])(&options);
    if (!code)
        code = ((set_fn)fns[SET_ACCELERATORS])(options, ON_THE_CPU);
    if (!code)
        code = ((compile_fn)fns[CREATE_COMPILED])(l->env, l->model, options, &l->interpreter);
    if (options)
        ((destroy_fn)fns[DESTROY_OPTIONS])(options);
    if (code)
        return emk_fail(e, EMK_E_FORMAT, "litert: no kernels for this model", (uint64_t)code);
    return EMK_OK;
}

/* ---- one run ---- */

typedef struct side { /* inputs or outputs */
    emk_any_fn tensor, needs;
    size_t n;
    void *buffers[EMK_LITERT_INPUTS_MAX];
} side;

static emk_status make_buffers(emk_litert *l, const emk_any_fn *fns, void *signature, side *s,
                               emk_error *e)
{
    if (s->n > EMK_LITERT_INPUTS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "litert: too many inputs or outputs", s->n);
    for (size_t i = 0; i < s->n; i++) {
        max_align_t type[32] = {0}; /* the runtime's type of a tensor, well above its size */
        void *tensor = NULL, *needs = NULL;
        int code = ((part_fn)s->tensor)(signature, i, &tensor);

        if (!code)
            code = ((type_fn)fns[RANKED_TYPE])(tensor, type);
        if (!code)
            code = ((needs_fn)s->needs)(l->interpreter, 0, i, &needs);
        if (!code)
            code = ((buffer_fn)fns[CREATE_BUFFER])(l->env, type, needs, &s->buffers[i]);
        if (!code)
            code = ((clear_fn)fns[CLEAR_BUFFER])(s->buffers[i]);
        if (code)
            return emk_fail(e, EMK_E_UNSUPPORTED, "litert: no buffer for a tensor", (uint64_t)code);
    }
    return EMK_OK;
}

static void drop_buffers(const emk_any_fn *fns, side *s)
{
    for (size_t i = 0; i < s->n && i < EMK_LITERT_INPUTS_MAX; i++) {
        if (s->buffers[i])
            ((destroy_fn)fns[DESTROY_BUFFER])(s->buffers[i]);
    }
}

static emk_status run_zeros(emk_litert *l, emk_error *e)
{
    emk_any_fn fns[N_NAMES];
    side in = {.n = 0}, out = {.n = 0};
    void *signature = NULL;
    emk_status st = emk_litert_fns(l, NAMES, fns, N_NAMES, e);
    int code;

    if (st != EMK_OK)
        return st;
    in.tensor = fns[INPUT_TENSOR], in.needs = fns[INPUT_NEEDS];
    out.tensor = fns[OUTPUT_TENSOR], out.needs = fns[OUTPUT_NEEDS];
    code = ((part_fn)fns[GET_SIGNATURE])(l->model, 0, &signature);
    if (!code)
        code = ((count_fn)fns[N_INPUTS])(signature, &in.n);
    if (!code)
        code = ((count_fn)fns[N_OUTPUTS])(signature, &out.n);
    if (code)
        return emk_fail(e, EMK_E_UNSUPPORTED, "litert: the model has no signature", (uint64_t)code);
    st = make_buffers(l, fns, signature, &in, e);
    if (st == EMK_OK)
        st = make_buffers(l, fns, signature, &out, e);
    if (st == EMK_OK) {
        code = ((run_fn)fns[RUN])(l->interpreter, 0, in.n, in.buffers, out.n, out.buffers);
        st = code ? emk_fail(e, EMK_E_IO, "litert: the run failed", (uint64_t)code) : EMK_OK;
    }
    drop_buffers(fns, &in);
    drop_buffers(fns, &out);
    return st;
}

static void destroy(const emk_litert *l, const char *name, void *object)
{
    emk_any_fn fn = object ? emk_os_library_fn(l->library, name) : NULL;

    if (fn)
        ((destroy_fn)fn)(object);
}

static void close_model(emk_litert *l)
{
    destroy(l, "LiteRtDestroyCompiledModel", l->interpreter);
    destroy(l, "LiteRtDestroyModel", l->model);
    destroy(l, "LiteRtDestroyEnvironment", l->env);
}

const emk_litert_ops EMK_LITERT_COMPILED = {
    .open = open_model, .run_zeros = run_zeros, .close = close_model};
