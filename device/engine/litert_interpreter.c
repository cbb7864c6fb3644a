/* The C interface of TensorFlow Lite, as its documentation has it. */
#include "core/base/alloc.h"
#include "device/engine/litert_internal.h"

enum { MODEL_CREATE, INTERPRETER_CREATE, ALLOCATE, INPUT_COUNT, INPUT, BYTE_SIZE, COPY, INVOKE };

static const char *const NAMES[] = {
    [MODEL_CREATE] = "TfLiteModelCreate",
    [INTERPRETER_CREATE] = "TfLiteInterpreterCreate",
    [ALLOCATE] = "TfLiteInterpreterAllocateTensors",
    [INPUT_COUNT] = "TfLiteInterpreterGetInputTensorCount",
    [INPUT] = "TfLiteInterpreterGetInputTensor",
    [BYTE_SIZE] = "TfLiteTensorByteSize",
    [COPY] = "TfLiteTensorCopyFromBuffer",
    [INVOKE] = "TfLiteInterpreterInvoke",
};
#define N_NAMES (sizeof NAMES / sizeof NAMES[0])

typedef void *(*model_fn)(const void *data, size_t len);
typedef void *(*interpreter_fn)(const void *model, const void *options);
typedef int (*do_fn)(void *interpreter);
typedef int32_t (*count_fn)(const void *interpreter);
typedef void *(*input_fn)(const void *interpreter, int32_t i);
typedef size_t (*size_fn)(const void *tensor);
typedef int (*copy_fn)(void *tensor, const void *data, size_t len);
typedef void (*delete_fn)(void *object);

static emk_status open_model(emk_litert *l, emk_span bytes, emk_error *e)
{
    emk_any_fn fns[N_NAMES];
    emk_status st = emk_litert_fns(l, NAMES, fns, N_NAMES, e);
    int code;

    if (st != EMK_OK)
        return st;
    l->model = ((model_fn)fns[MODEL_CREATE])(bytes.p, bytes.len);
    if (!l->model)
        return emk_fail(e, EMK_E_FORMAT, "litert: the runtime refuses the model", 0);
    l->interpreter = ((interpreter_fn)fns[INTERPRETER_CREATE])(l->model, NULL);
    if (!l->interpreter)
        return emk_fail(e, EMK_E_FORMAT, "litert: no interpreter for this model", 0);
    code = ((do_fn)fns[ALLOCATE])(l->interpreter);
    if (code)
        return emk_fail(e, EMK_E_NO_MEMORY, "litert: no tensors for this model", (uint64_t)code);
    return EMK_OK;
}

static emk_status fill(emk_litert *l, const emk_any_fn *fns, int32_t i, emk_error *e)
{
    void *tensor = ((input_fn)fns[INPUT])(l->interpreter, i);
    size_t len = tensor ? ((size_fn)fns[BYTE_SIZE])(tensor) : 0;
    void *zeros;
    int code;

    if (len == 0)
        return emk_fail(e, EMK_E_UNSUPPORTED, "litert: an input of no size", (uint64_t)i);
    if (len > EMK_LITERT_BYTES_MAX)
        return emk_fail(e, EMK_E_LIMIT, "litert: an input is too large", len);
    zeros = emk_alloc(1, len);
    if (!zeros)
        return emk_fail(e, EMK_E_NO_MEMORY, "litert: no memory", len);
    code = ((copy_fn)fns[COPY])(tensor, zeros, len);
    emk_free(zeros);
    return code ? emk_fail(e, EMK_E_IO, "litert: an input was refused", (uint64_t)code) : EMK_OK;
}

static emk_status run_zeros(emk_litert *l, emk_error *e)
{
    emk_any_fn fns[N_NAMES];
    emk_status st = emk_litert_fns(l, NAMES, fns, N_NAMES, e);
    int32_t n;
    int code;

    if (st != EMK_OK)
        return st;
    n = ((count_fn)fns[INPUT_COUNT])(l->interpreter);
    if (n < 0 || n > (int32_t)EMK_LITERT_INPUTS_MAX)
        return emk_fail(e, EMK_E_LIMIT, "litert: too many inputs", (uint64_t)n);
    for (int32_t i = 0; i < n && st == EMK_OK; i++)
        st = fill(l, fns, i, e);
    if (st != EMK_OK)
        return st;
    code = ((do_fn)fns[INVOKE])(l->interpreter);
    return code ? emk_fail(e, EMK_E_IO, "litert: the run failed", (uint64_t)code) : EMK_OK;
}

static void remove_it(const emk_litert *l, const char *name, void *object)
{
    emk_any_fn fn = object ? emk_os_library_fn(l->library, name) : NULL;

    if (fn)
        ((delete_fn)fn)(object);
}

static void close_model(emk_litert *l)
{
    remove_it(l, "TfLiteInterpreterDelete", l->interpreter);
    remove_it(l, "TfLiteModelDelete", l->model);
}

const emk_litert_ops EMK_LITERT_INTERPRETER = {
    .open = open_model, .run_zeros = run_zeros, .close = close_model};
