/* ONNX Runtime's C interface is a table of functions that only grows: a function's place in it
 * never changes, and a version is asked for by its number.  The few places that are used here
 * stand in `place`. */
#include <earmark/engine_onnx.h>

#include "core/base/alloc.h"
#include "device/engine/os_library.h"

#include <string.h>

#define INPUTS_MAX 64u
#define DIMS_MAX   16u
#define BYTES_MAX  (UINT64_C(1) << 30) /* of one input */
#define LOG_ERRORS 3

enum place {
    GET_ERROR_CODE = 1,
    CREATE_ENV = 3,
    DISABLE_TELEMETRY = 6,
    CREATE_SESSION_FROM_ARRAY = 8,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    DISABLE_CPU_MEM_ARENA = 19,
    SET_INTRA_OP_NUM_THREADS = 24,
    SESSION_GET_INPUT_COUNT = 30,
    SESSION_GET_OUTPUT_COUNT = 31,
    SESSION_GET_INPUT_TYPE_INFO = 33,
    SESSION_GET_INPUT_NAME = 36,
    SESSION_GET_OUTPUT_NAME = 37,
    CREATE_TENSOR = 48,
    GET_TENSOR_MUTABLE_DATA = 51,
    CAST_TYPE_INFO_TO_TENSOR_INFO = 55,
    GET_TENSOR_ELEMENT_TYPE = 60,
    GET_DIMENSIONS_COUNT = 61,
    GET_DIMENSIONS = 62,
    ALLOCATOR_FREE = 76,
    GET_ALLOCATOR = 78,
    RELEASE_ENV = 92,
    RELEASE_STATUS = 93,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_TYPE_INFO = 98,
    RELEASE_SESSION_OPTIONS = 100,
    ADD_SESSION_CONFIG_ENTRY = 130
};

typedef struct api_base {
    const emk_any_fn *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} api_base;

struct emk_onnx {
    const emk_any_fn *api;
    void *env;
    void *session;
};

/* The shapes of the calls; what the runtime returns is NULL, or says why not and is released. */
typedef void *(*env_fn)(int level, const char *id, void **out);
typedef void *(*session_fn)(void *env, const void *model, size_t len, void *options, void **out);
typedef void *(*make_fn)(void **out);
typedef void *(*set_fn)(void *options);
typedef void *(*set_int_fn)(void *options, int value);
typedef void *(*set_text_fn)(void *options, const char *key, const char *value);
typedef void *(*count_fn)(const void *of, size_t *out);
typedef void *(*type_fn)(const void *session, size_t i, void **out);
typedef void *(*cast_fn)(const void *of, const void **out);
typedef void *(*number_fn)(const void *of, int *out);
typedef void *(*dims_fn)(const void *of, int64_t *out, size_t n);
typedef void *(*name_fn)(const void *session, size_t i, void *allocator, char **out);
typedef void *(*tensor_fn)(void *allocator, const int64_t *dims, size_t n, int type, void **out);
typedef void *(*data_fn)(void *value, void **out);
typedef void *(*free_fn)(void *allocator, void *p);
typedef void *(*run_fn)(void *session, const void *options, const char *const *in_names,
                        const void *const *in, size_t n_in, const char *const *out_names,
                        size_t n_out, void **out);
typedef void (*release_fn)(void *object);
typedef int (*code_fn)(const void *status);

/* EMK_OK, or `st` with the runtime's code; releases what it said. */
static emk_status settle(const emk_onnx *o, void *said, emk_status st, const char *what,
                         emk_error *e)
{
    int code;

    if (!said)
        return EMK_OK;
    code = ((code_fn)o->api[GET_ERROR_CODE])(said);
    ((release_fn)o->api[RELEASE_STATUS])(said);
    return emk_fail(e, st, what, (uint64_t)code);
}

static void release(const emk_onnx *o, enum place how, void *object)
{
    if (object)
        ((release_fn)o->api[how])(object);
}

static emk_status get_api(const emk_onnx_options *in, const emk_any_fn **out, emk_error *e)
{
    uint32_t version = in->api_version ? in->api_version : EMK_ONNX_API_VERSION;
    const api_base *(*get_base)(void);
    void *library = NULL;
    emk_status st = emk_os_library_load(in->library ? in->library : EMK_ONNX_LIBRARY, &library, e);

    if (st != EMK_OK)
        return st;
    if (version < EMK_ONNX_API_VERSION)
        return emk_fail(e, EMK_E_USAGE, "onnx: version of the interface", version);
    get_base = (const api_base *(*)(void))emk_os_library_fn(library, "OrtGetApiBase");
    if (!get_base)
        return emk_fail(e, EMK_E_UNSUPPORTED, "onnx: the library is not ONNX Runtime", 0);
    *out = get_base()->get_api(version);
    if (!*out)
        return emk_fail(e, EMK_E_UNSUPPORTED, "onnx: ONNX Runtime is too old", version);
    return EMK_OK;
}

/* A model in the runtime's own format is used where it lies, and so are its weights. */
static emk_status set_options(const emk_onnx *o, const emk_onnx_options *in, void *options,
                              emk_error *e)
{
    static const char *const always[] = {"session.use_ort_model_bytes_directly",
                                         "session.use_ort_model_bytes_for_initializers"};
    set_text_fn set_text = (set_text_fn)o->api[ADD_SESSION_CONFIG_ENTRY];
    void *said = NULL;

    for (size_t i = 0; i < 2 && !said; i++)
        said = set_text(options, always[i], "1");
    if (!said && in->lean)
        said = set_text(options, "session.disable_prepacking", "1");
    if (!said && in->lean)
        said = ((set_fn)o->api[DISABLE_CPU_MEM_ARENA])(options);
    if (!said && in->threads)
        said = ((set_int_fn)o->api[SET_INTRA_OP_NUM_THREADS])(options, (int)in->threads);
    return settle(o, said, EMK_E_UNSUPPORTED, "onnx: an option was refused", e);
}

static emk_status make_session(emk_onnx *o, emk_span model, const emk_onnx_options *in,
                               emk_error *e)
{
    void *options = NULL, *said;
    emk_status st;

    said = ((env_fn)o->api[CREATE_ENV])(LOG_ERRORS, "earmark", &o->env);
    if (!said) /* some builds tell their maker what models are loaded */
        said = ((set_fn)o->api[DISABLE_TELEMETRY])(o->env);
    if (!said)
        said = ((make_fn)o->api[CREATE_SESSION_OPTIONS])(&options);
    st = settle(o, said, EMK_E_NO_MEMORY, "onnx: the runtime does not start", e);
    if (st == EMK_OK)
        st = set_options(o, in, options, e);
    if (st == EMK_OK) {
        said = ((session_fn)o->api[CREATE_SESSION_FROM_ARRAY])(o->env, model.p, model.len, options,
                                                               &o->session);
        st = settle(o, said, EMK_E_FORMAT, "onnx: the runtime refuses the model", e);
    }
    release(o, RELEASE_SESSION_OPTIONS, options);
    return st;
}

emk_status emk_onnx_open(emk_span model, const emk_onnx_options *options, emk_onnx **out,
                         emk_error *e)
{
    const emk_onnx_options in = options ? *options : (emk_onnx_options){.library = NULL};
    const emk_any_fn *api = NULL;
    emk_onnx *o;
    emk_status st = get_api(&in, &api, e);

    if (st != EMK_OK || !api)
        return st;
    o = emk_alloc(1, sizeof *o);
    if (!o)
        return emk_fail(e, EMK_E_NO_MEMORY, "onnx: no memory", sizeof *o);
    o->api = api;
    st = make_session(o, model, &in, e);
    if (st != EMK_OK) {
        emk_onnx_close(o);
        return st;
    }
    *out = o;
    return EMK_OK;
}

const void *emk_onnx_api(const emk_onnx *o)
{
    return o->api;
}

void *emk_onnx_session(const emk_onnx *o)
{
    return o->session;
}

/* ---- one run ---- */

typedef struct one_run {
    void *allocator;
    size_t n_in, n_out;
    char *in_names[INPUTS_MAX], *out_names[INPUTS_MAX];
    void *in[INPUTS_MAX], *out[INPUTS_MAX];
} one_run;

/* Bytes of an element by the runtime's number for its type; 0: not a number. */
static size_t element_len(int type)
{
    static const uint8_t lens[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 0, 0, 2};

    return type > 0 && (size_t)type < sizeof lens ? lens[type] : 0;
}

static emk_status make_input(const emk_onnx *o, one_run *r, size_t i, const void *info,
                             emk_error *e)
{
    int64_t dims[DIMS_MAX] = {0};
    uint64_t len;
    size_t n = 0;
    int type = 0;
    void *data = NULL, *said;

    said = ((number_fn)o->api[GET_TENSOR_ELEMENT_TYPE])(info, &type);
    if (!said)
        said = ((count_fn)o->api[GET_DIMENSIONS_COUNT])(info, &n);
    if (!said && n <= DIMS_MAX)
        said = ((dims_fn)o->api[GET_DIMENSIONS])(info, dims, n);
    len = element_len(type);
    if (!said && (len == 0 || n > DIMS_MAX))
        return emk_fail(e, EMK_E_UNSUPPORTED, "onnx: an input that is no numbers", (uint64_t)type);
    for (size_t d = 0; d < n && !said; d++) {
        dims[d] = dims[d] > 0 ? dims[d] : 1;
        if ((uint64_t)dims[d] > BYTES_MAX / len)
            return emk_fail(e, EMK_E_LIMIT, "onnx: an input is too large", (uint64_t)dims[d]);
        len *= (uint64_t)dims[d];
    }
    if (!said)
        said = ((tensor_fn)o->api[CREATE_TENSOR])(r->allocator, dims, n, type, &r->in[i]);
    if (!said)
        said = ((data_fn)o->api[GET_TENSOR_MUTABLE_DATA])(r->in[i], &data);
    if (!said)
        memset(data, 0, (size_t)len);
    return settle(o, said, EMK_E_NO_MEMORY, "onnx: cannot make an input", e);
}

static emk_status take_input(const emk_onnx *o, one_run *r, size_t i, emk_error *e)
{
    void *type = NULL, *said;
    const void *info = NULL;
    emk_status st;

    said = ((type_fn)o->api[SESSION_GET_INPUT_TYPE_INFO])(o->session, i, &type);
    if (!said)
        said = ((cast_fn)o->api[CAST_TYPE_INFO_TO_TENSOR_INFO])(type, &info);
    if (!said)
        said =
            ((name_fn)o->api[SESSION_GET_INPUT_NAME])(o->session, i, r->allocator, &r->in_names[i]);
    st = settle(o, said, EMK_E_IO, "onnx: cannot ask about an input", e);
    if (st == EMK_OK)
        st = info ? make_input(o, r, i, info, e)
                  : emk_fail(e, EMK_E_UNSUPPORTED, "onnx: an input that is no tensor", i);
    release(o, RELEASE_TYPE_INFO, type);
    return st;
}

static emk_status prepare(const emk_onnx *o, one_run *r, emk_error *e)
{
    size_t n_in = 0, n_out = 0;
    void *said = ((make_fn)o->api[GET_ALLOCATOR])(&r->allocator);
    emk_status st;

    if (!said)
        said = ((count_fn)o->api[SESSION_GET_INPUT_COUNT])(o->session, &n_in);
    if (!said)
        said = ((count_fn)o->api[SESSION_GET_OUTPUT_COUNT])(o->session, &n_out);
    st = settle(o, said, EMK_E_IO, "onnx: cannot ask about inputs", e);
    if (st == EMK_OK && (n_in > INPUTS_MAX || n_out > INPUTS_MAX))
        st = emk_fail(e, EMK_E_LIMIT, "onnx: too many inputs or outputs", n_in + n_out);
    for (size_t i = 0; i < n_in && st == EMK_OK; i++) {
        r->n_in = i + 1;
        st = take_input(o, r, i, e);
    }
    for (size_t i = 0; i < n_out && st == EMK_OK; i++) {
        r->n_out = i + 1;
        said = ((name_fn)o->api[SESSION_GET_OUTPUT_NAME])(o->session, i, r->allocator,
                                                          &r->out_names[i]);
        st = settle(o, said, EMK_E_IO, "onnx: cannot ask about an output", e);
    }
    return st;
}

static void free_name(const emk_onnx *o, const one_run *r, char *name)
{
    if (name)
        (void)settle(o, ((free_fn)o->api[ALLOCATOR_FREE])(r->allocator, name), EMK_OK, "", NULL);
}

static void clear_up(const emk_onnx *o, one_run *r)
{
    for (size_t i = 0; i < r->n_in; i++) {
        free_name(o, r, r->in_names[i]);
        release(o, RELEASE_VALUE, r->in[i]);
    }
    for (size_t i = 0; i < r->n_out; i++) {
        free_name(o, r, r->out_names[i]);
        release(o, RELEASE_VALUE, r->out[i]);
    }
}

emk_status emk_onnx_run_zeros(emk_onnx *o, emk_error *e)
{
    one_run r = {.n_in = 0};
    emk_status st = prepare(o, &r, e);

    if (st == EMK_OK) {
        void *said = ((run_fn)o->api[RUN])(o->session, NULL, (const char *const *)r.in_names,
                                           (const void *const *)r.in, r.n_in,
                                           (const char *const *)r.out_names, r.n_out, r.out);

        st = settle(o, said, EMK_E_IO, "onnx: the run failed", e);
    }
    clear_up(o, &r);
    return st;
}

void emk_onnx_close(emk_onnx *o)
{
    if (!o)
        return;
    release(o, RELEASE_SESSION, o->session);
    release(o, RELEASE_ENV, o->env);
    emk_free(o);
}
