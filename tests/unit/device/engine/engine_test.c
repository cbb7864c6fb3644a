/* The adapters on the real engines where these are found (EMK_ORT_LIBRARY, EMK_LITERT_LIBRARY, or
 * what `tools/setup engines` puts into build/engines), and on a stand-in for TensorFlow Lite. */
#include <earmark/engine_litert.h>
#include <earmark/engine_onnx.h>

#include "core/base/os_file.h"
#include "tests/support/test.h"

#include <dlfcn.h>
#include <glob.h>
#include <string.h>

#define NO_ENGINE "libm.so.6"

static const char tflite[32] = {32, 0, 0, 0, 'T', 'F', 'L', '3'};

/* The library that the variable names, or the first that the pattern finds; NULL: none. */
static const char *find(const char *variable, const char *pattern)
{
    static char path[4096];
    glob_t found;

    if (getenv(variable))
        return getenv(variable);
    if (glob(pattern, 0, NULL, &found) != 0)
        return NULL;
    snprintf(path, sizeof path, "%s", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

static const char *onnx(void)
{
    const char *path = find("EMK_ORT_LIBRARY",
                            EMK_SOURCE_DIR "/build/engines/lib/python3*/"
                                           "site-packages/onnxruntime/capi/libonnxruntime.so.1*");

    if (!path)
        printf("SKIP ONNX Runtime is not here: tools/setup engines\n");
    return path;
}

static const char *litert(void)
{
    const char *path =
        find("EMK_LITERT_LIBRARY", EMK_SOURCE_DIR
             "/build/engines/lib/python3*/site-packages/ai_edge_litert/libLiteRt.so");

    if (!path)
        printf("SKIP LiteRT is not here: tools/setup engines\n");
    return path;
}

/* A file of the kit, whole; false when it is not here. */
static bool load(const char *rel, emk_buf *out)
{
    char *path = emk_test_shared(rel);
    emk_error e = {0};

    emk_buf_init(out, 64u << 20);
    if (!path)
        return false;
    assert_ok(emk_os_read_file(path, out->max, out, &e), &e);
    free(path);
    return true;
}

static void rejects_a_library_that_is_missing(void **state)
{
    const emk_onnx_options options = {.library = "/no/such/library.so"};
    emk_onnx *o = NULL;
    emk_litert *l = NULL;
    emk_error e = {0};

    (void)state;
    assert_status(emk_onnx_open(emk_span_str("x"), &options, &o, &e), EMK_E_NOT_FOUND, &e);
    assert_status(emk_litert_open(emk_span_str("x"), "/no/such/library.so", &l, &e),
                  EMK_E_NOT_FOUND, &e);
    assert_null(o);
    assert_null(l);
}

static void rejects_a_library_that_is_no_engine(void **state)
{
    const emk_onnx_options options = {.library = NO_ENGINE};
    emk_onnx *o = NULL;
    emk_litert *l = NULL;
    emk_error e = {0};

    (void)state;
    assert_status(emk_onnx_open(emk_span_str("x"), &options, &o, &e), EMK_E_UNSUPPORTED, &e);
    assert_status(emk_litert_open(emk_span_str("x"), NO_ENGINE, &l, &e), EMK_E_UNSUPPORTED, &e);
}

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    emk_onnx_close(NULL);
    emk_litert_close(NULL);
}

/* ---- TensorFlow Lite ---- */

static int *counter(const char *name)
{
    void *library = dlopen(STAND_IN, RTLD_NOW | RTLD_NOLOAD);
    int *at;

    assert_non_null(library);
    at = dlsym(library, name);
    assert_non_null(at);
    dlclose(library);
    return at;
}

static void gives_tensorflow_lite_the_bytes_where_they_lie(void **state)
{
    emk_litert *l = NULL;
    emk_error e = {0};

    (void)state;
    assert_ok(emk_litert_open(emk_span_of(tflite, sizeof tflite), STAND_IN, &l, &e), &e);
    assert_false(emk_litert_is_compiled(l));
    assert_ptr_equal(*(const void **)(void *)counter("stand_in_model"), tflite);
    assert_non_null(emk_litert_model(l));
    assert_non_null(emk_litert_interpreter(l));
    assert_ok(emk_litert_run_zeros(l, &e), &e);
    assert_int_equal(*counter("stand_in_runs"), 1);
    *counter("stand_in_refuses_to_run") = 1;
    assert_status(emk_litert_run_zeros(l, &e), EMK_E_IO, &e);
    *counter("stand_in_refuses_to_run") = 0;
    assert_int_equal(*counter("stand_in_alive"), 2);
    emk_litert_close(l);
    assert_int_equal(*counter("stand_in_alive"), 0);
}

static void tells_a_model_that_tensorflow_lite_refuses(void **state)
{
    emk_litert *l = NULL;
    emk_error e = {0};

    (void)state;
    assert_status(emk_litert_open(emk_span_str("no model at all"), STAND_IN, &l, &e), EMK_E_FORMAT,
                  &e);
    assert_null(l);
}

/* ---- the real ones ---- */

static void litert_runs_a_model(void **state)
{
    const char *library = litert();
    emk_litert *l = NULL;
    emk_error e = {0};
    emk_buf model;

    (void)state;
    if (!library || !load("models/tflite/mobilenet_v2_1.0_224_quant.tflite", &model))
        skip();
    assert_ok(emk_litert_open(emk_buf_span(&model), library, &l, &e), &e);
    assert_true(emk_litert_is_compiled(l));
    assert_ok(emk_litert_run_zeros(l, &e), &e);
    assert_ok(emk_litert_run_zeros(l, &e), &e);
    emk_litert_close(l);
    assert_status(
        emk_litert_open(emk_span_str("this is no model, not even nearly"), library, &l, &e),
        EMK_E_FORMAT, &e);
    emk_buf_done(&model);
}

static void onnx_runs_a_model(void **state)
{
    emk_onnx_options options = {.library = onnx(), .threads = 1};
    emk_onnx *o = NULL;
    emk_error e = {0};
    emk_buf model;

    (void)state;
    if (!options.library || !load("models/onnx/version-RFB-320.onnx", &model))
        skip();
    for (int lean = 0; lean < 2; lean++) {
        options.lean = lean == 1;
        assert_ok(emk_onnx_open(emk_buf_span(&model), &options, &o, &e), &e);
        assert_non_null(emk_onnx_api(o));
        assert_non_null(emk_onnx_session(o));
        assert_ok(emk_onnx_run_zeros(o, &e), &e);
        emk_onnx_close(o);
    }
    assert_status(emk_onnx_open(emk_span_str("no model"), &options, &o, &e), EMK_E_FORMAT, &e);
    options.api_version = 9999;
    assert_status(emk_onnx_open(emk_buf_span(&model), &options, &o, &e), EMK_E_UNSUPPORTED, &e);
    options.api_version = 1;
    assert_status(emk_onnx_open(emk_buf_span(&model), &options, &o, &e), EMK_E_USAGE, &e);
    emk_buf_done(&model);
}

int main(void)
{
    return EMK_RUN(emk_rule(rejects_a_library_that_is_missing),
                   emk_rule(rejects_a_library_that_is_no_engine), emk_rule(closing_nothing_is_fine),
                   emk_rule(gives_tensorflow_lite_the_bytes_where_they_lie),
                   emk_rule(tells_a_model_that_tensorflow_lite_refuses),
                   emk_rule(litert_runs_a_model), emk_rule(onnx_runs_a_model));
}
